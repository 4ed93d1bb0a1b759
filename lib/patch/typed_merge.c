#include "patch/typed.h"

#include <string.h>

static bool merge(struct arena *a, const struct schema *s, const struct json *lhs,
		  const struct json *rhs, unsigned depth, struct json *ret);

/* The right side wins; what is equal stays as it was. */
static bool merge_leaf(const struct json *lhs, const struct json *rhs, struct json *ret)
{
	bool same = json_equal(lhs, rhs);
	*ret = same ? *lhs : *rhs;
	return !same;
}

/* ---- maps ---- */

/* Copies `lhs` at the first change: an unchanged map costs nothing. */
static struct json_member *own_members(struct arena *a, struct json_member *out,
				       const struct json *lhs, uint32_t more)
{
	if (out)
		return out;
	out = arena_new(a, struct json_member, (size_t)lhs->len + more + 1);
	if (lhs->len)
		memcpy(out, lhs->members, lhs->len * sizeof(out[0]));
	return out;
}

static bool merge_map(struct arena *a, const struct schema *s, const struct json *lhs,
		      const struct json *rhs, unsigned depth, struct json *ret)
{
	struct oindex old;
	oindex_init(&old, a, lhs);
	struct json_member *out = NULL;
	uint32_t len = lhs->len;
	for (uint32_t i = 0; i < rhs->len; i++) {
		const struct json_member *m = &rhs->members[i];
		ptrdiff_t at = oindex_find(&old, member_name(m), i);
		if (at < 0) {
			out = own_members(a, out, lhs, rhs->len);
			out[len++] = *m;
			continue;
		}
		struct json merged = { 0 };
		const struct schema *field = schema_member(s, member_name(m));
		if (!merge(a, field, &lhs->members[at].value, &m->value, depth + 1, &merged))
			continue;
		out = own_members(a, out, lhs, rhs->len);
		out[at].value = merged;
	}
	*ret = out ? json_of_members(out, len) : *lhs;
	return out != NULL;
}

/* ---- lists: the order of the right side, the rest of the left side between ---- */

struct zip {
	struct arena *a;
	const struct schema *items;
	const struct json *lhs, *rhs;
	unsigned depth;
	ptrdiff_t *r_of_l, *l_of_r; /* the (first) partner, or -1 */
	bool *repeats;              /* by r: the left side has it more than once */
	bool *used;                 /* by r: is in out */
	uint32_t *shared;           /* the r that the left side has too, in order */
	uint32_t shared_len, next;
	struct json *out;
	uint32_t len;
	bool changed;
};

static void zip_partners(struct zip *z, const struct pe *lpe, const struct pe *rpe)
{
	struct peindex index;
	peindex_init(&index, z->a, rpe, z->rhs->len);
	for (uint32_t r = 0; r < z->rhs->len; r++)
		z->l_of_r[r] = -1;
	for (uint32_t l = 0; l < z->lhs->len; l++) {
		ptrdiff_t r = peindex_find(&index, &lpe[l]);
		z->r_of_l[l] = r;
		if (r < 0)
			continue;
		if (z->l_of_r[r] < 0)
			z->l_of_r[r] = l;
		else
			z->repeats[r] = true;
	}
	for (uint32_t r = 0; r < z->rhs->len; r++) {
		if (z->l_of_r[r] >= 0)
			z->shared[z->shared_len++] = r;
	}
}

/* Elements that repeat on the left are replaced, not merged. */
static void zip_take_right(struct zip *z, uint32_t r)
{
	ptrdiff_t l = z->l_of_r[r];
	z->used[r] = true;
	struct json *out = &z->out[z->len++];
	*out = z->rhs->items[r];
	z->changed = z->changed || l != (ptrdiff_t)z->len - 1 || z->repeats[r];
	if (l >= 0 && !z->repeats[r] &&
	    merge(z->a, z->items, &z->lhs->items[l], &z->rhs->items[r], z->depth + 1, out))
		z->changed = true;
	if (z->next < z->shared_len && z->shared[z->next] == r)
		z->next++;
}

static void zip_run(struct zip *z)
{
	uint32_t l = 0;
	uint32_t r = 0;
	while (l < z->lhs->len || r < z->rhs->len) {
		bool both = l < z->lhs->len && r < z->rhs->len;
		if (both && z->r_of_l[l] == (ptrdiff_t)r) {
			zip_take_right(z, r++);
			l++;
			continue;
		}
		/* Shared, but another shared element comes first. */
		if (both && z->r_of_l[l] >= 0 && z->next < z->shared_len &&
		    z->shared[z->next] != (uint32_t)z->r_of_l[l]) {
			l++;
			continue;
		}
		if (l < z->lhs->len && z->r_of_l[l] < 0) {
			z->out[z->len++] = z->lhs->items[l++];
			continue;
		}
		if (l < z->lhs->len && z->used[z->r_of_l[l]])
			l++;
		if (r < z->rhs->len)
			zip_take_right(z, r++);
	}
}

static bool merge_list(struct arena *a, const struct schema *s, const struct json *lhs,
		       const struct json *rhs, unsigned depth, struct json *ret)
{
	const struct pe *lpe = typed_elements(a, s, lhs);
	const struct pe *rpe = typed_elements(a, s, rhs);
	if (!lpe || !rpe)
		return merge_leaf(lhs, rhs, ret);
	struct zip z = { .a = a, .items = s->items, .lhs = lhs, .rhs = rhs, .depth = depth };
	z.r_of_l = arena_new(a, ptrdiff_t, (size_t)lhs->len + 1);
	z.l_of_r = arena_new(a, ptrdiff_t, (size_t)rhs->len + 1);
	z.repeats = arena_new(a, bool, (size_t)rhs->len + 1);
	z.used = arena_new(a, bool, (size_t)rhs->len + 1);
	z.shared = arena_new(a, uint32_t, (size_t)rhs->len + 1);
	z.out = arena_new(a, struct json, (size_t)lhs->len + rhs->len + 1);
	zip_partners(&z, lpe, rpe);
	zip_run(&z);
	z.changed = z.changed || z.len != lhs->len;
	*ret = z.changed ? json_of_items(z.out, z.len) : *lhs;
	return z.changed;
}

/* ---- any ---- */

/* null and the like count as empty. */
static const struct json *as(const struct json *v, enum json_type type)
{
	static const struct json empty_map = { .type = JSON_OBJECT };
	static const struct json empty_list = { .type = JSON_ARRAY };
	if (v->type == type)
		return v;
	return type == JSON_OBJECT ? &empty_map : &empty_list;
}

static bool merge(struct arena *a, const struct schema *s, const struct json *lhs,
		  const struct json *rhs, unsigned depth, struct json *ret)
{
	enum typed_shape shape = typed_shape(s, rhs, depth);
	if (shape == TYPED_LEAF)
		return merge_leaf(lhs, rhs, ret);
	enum json_type type = shape == TYPED_MAP ? JSON_OBJECT : JSON_ARRAY;
	const struct json *l = as(lhs, type);
	const struct json *r = as(rhs, type);
	/* Two empty ones are a leaf: whether it is null or {} matters. */
	if (l->len == 0 && r->len == 0)
		return merge_leaf(lhs, rhs, ret);
	if (l->len == 0) {
		*ret = *r;
		return true;
	}
	return shape == TYPED_MAP ? merge_map(a, s, l, r, depth, ret)
				  : merge_list(a, s, l, r, depth, ret);
}

bool typed_merge(struct arena *a, const struct schema *s, const struct json *lhs,
		 const struct json *rhs, struct json *ret)
{
	if (!lhs || !rhs) {
		*ret = lhs ? *lhs : *rhs;
		return !lhs;
	}
	return merge(a, s, lhs, rhs, 0, ret);
}
