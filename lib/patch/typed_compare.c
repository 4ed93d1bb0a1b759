#include "patch/typed.h"

/* What happened to a value itself, beside what happened below it. */
enum { ADDED = 1, REMOVED = 2, MODIFIED = 4 };

static unsigned compare(struct arena *a, const struct schema *s, const struct json *lhs,
			const struct json *rhs, unsigned depth, struct typed_diff *below);

static void push(struct arena *a, struct typed_diff *to, struct pe pe, unsigned what,
		 const struct typed_diff *below)
{
	fset_push(a, &to->added, pe, what & ADDED, below->added);
	fset_push(a, &to->removed, pe, what & REMOVED, below->removed);
	fset_push(a, &to->modified, pe, what & MODIFIED, below->modified);
}

static void item(struct arena *a, const struct schema *s, struct pe pe, const struct json *lhs,
		 const struct json *rhs, unsigned depth, struct typed_diff *to)
{
	struct typed_diff below = { 0 };
	unsigned what = compare(a, s, lhs, rhs, depth, &below);
	push(a, to, pe, what, &below);
}

static unsigned leaf(const struct json *lhs, const struct json *rhs)
{
	return lhs && rhs && !json_equal(lhs, rhs) ? MODIFIED : 0;
}

/* ---- maps ---- */

static void compare_maps(struct arena *a, const struct schema *s, const struct json *lhs,
			 const struct json *rhs, unsigned depth, struct typed_diff *to)
{
	struct oindex l;
	struct oindex r;
	oindex_init(&l, a, lhs);
	oindex_init(&r, a, rhs);
	for (uint32_t i = 0; l.obj && i < l.obj->len; i++) {
		const struct json_member *m = &l.obj->members[i];
		ptrdiff_t at = oindex_find(&r, member_name(m), i);
		item(a, schema_member(s, member_name(m)), pe_field(member_name(m)), &m->value,
		     at < 0 ? NULL : &rhs->members[at].value, depth + 1, to);
	}
	for (uint32_t i = 0; r.obj && i < r.obj->len; i++) {
		const struct json_member *m = &r.obj->members[i];
		if (oindex_find(&l, member_name(m), i) < 0)
			item(a, schema_member(s, member_name(m)), pe_field(member_name(m)), NULL,
			     &m->value, depth + 1, to);
	}
}

/* ---- lists ---- */

/* One side of a list: equal elements are chained from the first. */
struct chain {
	const struct json *list;
	const struct pe *pes;
	uint32_t len;
	struct peindex index;
	uint32_t *count; /* by position of the first */
	uint32_t *last;  /* by position of the first */
	uint32_t *next;  /* position + 1, 0 = end */
	uint32_t *first; /* of each element */
};

static bool chain_init(struct chain *c, struct arena *a, const struct schema *s,
		       const struct json *list)
{
	*c = (struct chain){ .list = list, .len = json_is(list, JSON_ARRAY) ? list->len : 0 };
	c->pes = typed_elements(a, s, list);
	if (!c->pes)
		return false;
	peindex_init(&c->index, a, c->pes, c->len);
	uint32_t *mem = arena_new(a, uint32_t, 4 * (size_t)c->len + 1);
	c->count = mem;
	c->last = mem + c->len;
	c->next = c->last + c->len;
	c->first = c->next + c->len;
	for (uint32_t i = 0; i < c->len; i++) {
		uint32_t f = (uint32_t)peindex_find(&c->index, &c->pes[i]);
		c->first[i] = f;
		if (c->count[f]++)
			c->next[c->last[f]] = i + 1;
		c->last[f] = i;
	}
	return true;
}

static bool chains_equal(const struct chain *l, uint32_t i, const struct chain *r, uint32_t j)
{
	if (l->count[i] != r->count[j])
		return false;
	for (;; i = l->next[i] - 1, j = r->next[j] - 1) {
		if (!json_equal(&l->list->items[i], &r->list->items[j]))
			return false;
		if (!l->next[i])
			return true;
	}
}

struct lists {
	struct arena *a;
	const struct schema *items;
	struct chain l, r;
	unsigned depth;
	struct typed_diff *to;
};

/* Elements that repeat are compared as one value and owned by their common path. */
static void compare_elements(struct lists *x, ptrdiff_t li, ptrdiff_t ri)
{
	uint32_t ln = li < 0 ? 0 : x->l.count[li];
	uint32_t rn = ri < 0 ? 0 : x->r.count[ri];
	struct pe pe = ln ? x->l.pes[li] : x->r.pes[ri];
	const struct json *lv = ln ? &x->l.list->items[li] : NULL;
	const struct json *rv = rn ? &x->r.list->items[ri] : NULL;
	struct typed_diff below = { 0 };
	unsigned what = 0;
	if (ln <= 1 && rn <= 1) {
		what = compare(x->a, x->items, lv, rv, x->depth + 1, &below);
	} else if (ln >= 2 && rn >= 2) {
		what = chains_equal(&x->l, (uint32_t)li, &x->r, (uint32_t)ri) ? 0 : MODIFIED;
	} else if (ln >= 2) {
		what = rn ? compare(x->a, x->items, NULL, rv, x->depth + 1, &below) : 0;
		what |= REMOVED;
	} else {
		what = ln ? compare(x->a, x->items, lv, NULL, x->depth + 1, &below) : 0;
		what |= ADDED;
	}
	push(x->a, x->to, pe, what, &below);
}

static bool compare_lists(struct arena *a, const struct schema *s, const struct json *lhs,
			  const struct json *rhs, unsigned depth, struct typed_diff *to)
{
	struct lists x = { .a = a, .items = s->items, .depth = depth, .to = to };
	if (!chain_init(&x.l, a, s, lhs) || !chain_init(&x.r, a, s, rhs))
		return false;
	for (uint32_t i = 0; i < x.l.len; i++) {
		if (x.l.first[i] == i)
			compare_elements(&x, i, peindex_find(&x.r.index, &x.l.pes[i]));
	}
	for (uint32_t i = 0; i < x.r.len; i++) {
		if (x.r.first[i] == i && peindex_find(&x.l.index, &x.r.pes[i]) < 0)
			compare_elements(&x, -1, i);
	}
	return true;
}

/* ---- any ---- */

/* Both sides looked at in one shape. */
static unsigned compare_as(struct arena *a, const struct schema *s, enum typed_shape shape,
			   const struct json *lhs, const struct json *rhs, unsigned depth,
			   struct typed_diff *below)
{
	enum json_type type = shape == TYPED_MAP ? JSON_OBJECT : JSON_ARRAY;
	bool empty =
		(!json_is(lhs, type) || lhs->len == 0) && (!json_is(rhs, type) || rhs->len == 0);
	if (shape == TYPED_LEAF || empty)
		return leaf(lhs, rhs);
	if (shape == TYPED_LIST)
		return compare_lists(a, s, lhs, rhs, depth, below) ? 0 : leaf(lhs, rhs);
	compare_maps(a, s, lhs, rhs, depth, below);
	return 0;
}

static bool identical(const struct json *lhs, const struct json *rhs)
{
	return (lhs->type == JSON_OBJECT || lhs->type == JSON_ARRAY) && lhs->type == rhs->type &&
	       lhs->len == rhs->len && lhs->items == rhs->items;
}

static unsigned compare(struct arena *a, const struct schema *s, const struct json *lhs,
			const struct json *rhs, unsigned depth, struct typed_diff *below)
{
	if (lhs && rhs && identical(lhs, rhs))
		return 0;
	unsigned what = (lhs ? 0U : ADDED) | (rhs ? 0U : REMOVED);
	enum typed_shape l = typed_shape(s, lhs ? lhs : rhs, depth);
	enum typed_shape r = typed_shape(s, rhs ? rhs : lhs, depth);
	what |= compare_as(a, s, r, lhs, rhs, depth, below);
	if (l != r)
		what |= compare_as(a, s, l, lhs, rhs, depth, below);
	fset_sort(a, &below->added);
	fset_sort(a, &below->removed);
	fset_sort(a, &below->modified);
	return what;
}

void typed_compare(struct arena *a, const struct schema *s, const struct json *lhs,
		   const struct json *rhs, struct typed_diff *ret)
{
	*ret = (struct typed_diff){ 0 };
	if (lhs || rhs)
		(void)compare(a, s, lhs, rhs, 0, ret);
}
