#include "patch/typed.h"

static struct json remove_below(struct arena *a, const struct schema *s, const struct json *v,
				const struct fset *gone, unsigned depth);

static struct json remove_members(struct arena *a, const struct schema *s, const struct json *v,
				  const struct fset *gone, unsigned depth)
{
	struct json_member *out = arena_new(a, struct json_member, v->len);
	size_t len = 0;
	for (uint32_t i = 0; i < v->len; i++) {
		struct json_member m = v->members[i];
		struct pe pe = pe_field(member_name(&m));
		const struct fset_node *n = fset_find(gone, &pe);
		if (n && n->member)
			continue;
		if (n)
			m.value = remove_below(a, schema_member(s, member_name(&m)), &m.value,
					       &n->below, depth + 1);
		out[len++] = m;
	}
	return len ? json_of_members(out, len) : (struct json){ 0 };
}

static struct json remove_items(struct arena *a, const struct schema *s, const struct json *v,
				const struct fset *gone, unsigned depth)
{
	const struct pe *pes = typed_elements(a, s, v);
	if (!pes)
		return *v;
	struct json *out = arena_new(a, struct json, v->len);
	size_t len = 0;
	for (uint32_t i = 0; i < v->len; i++) {
		const struct fset_node *n = fset_find(gone, &pes[i]);
		if (n && n->member)
			continue;
		out[len++] = n ? remove_below(a, s->items, &v->items[i], &n->below, depth + 1)
			       : v->items[i];
	}
	return len ? json_of_items(out, len) : (struct json){ 0 };
}

static struct json remove_below(struct arena *a, const struct schema *s, const struct json *v,
				const struct fset *gone, unsigned depth)
{
	if (json_len(v) == 0 || gone->len == 0)
		return *v;
	switch (typed_shape(s, v, depth)) {
	case TYPED_MAP:
		return remove_members(a, s, v, gone, depth);
	case TYPED_LIST:
		return remove_items(a, s, v, gone, depth);
	case TYPED_LEAF:
		break;
	}
	return *v;
}

struct json typed_remove(struct arena *a, const struct schema *s, const struct json *v,
			 const struct fset *gone)
{
	return remove_below(a, s, v, gone, 0);
}

/* The schema below a path element, NULL when unknown. */
static const struct schema *schema_below(const struct schema *s, const struct pe *pe)
{
	if (s && pe->kind == PE_FIELD)
		return schema_member(s, str_n(pe->name, pe->len));
	return s && pe->kind == PE_KEY && s->type == SCHEMA_ARRAY ? s->items : NULL;
}

struct fset typed_named(struct arena *a, const struct schema *s, const struct fset *set)
{
	struct fset out = { .cap = set->len };
	if (!s)
		return (struct fset){ .nodes = set->nodes, .len = set->len, .cap = set->len };
	out.nodes = arena_new(a, struct fset_node, (size_t)set->len + 1);
	for (uint32_t i = 0; i < set->len; i++) {
		const struct fset_node *n = &set->nodes[i];
		bool named =
			n->pe.kind == PE_FIELD && schema_named(s, str_n(n->pe.name, n->pe.len));
		fset_push(a, &out, n->pe, n->member || (named && n->below.len),
			  typed_named(a, schema_below(s, &n->pe), &n->below));
	}
	return out;
}

static bool is_atomic(const struct schema *s)
{
	if (s->type == SCHEMA_ARRAY)
		return s->list == SCHEMA_LIST_ATOMIC;
	return s->map_atomic;
}

struct fset typed_reconcile(struct arena *a, const struct schema *s, const struct fset *set)
{
	struct fset out = { .cap = set->len };
	if (!s || set->len == 0)
		return (struct fset){ .nodes = set->nodes, .len = set->len, .cap = set->len };
	out.nodes = arena_new(a, struct fset_node, (size_t)set->len + 1);
	for (uint32_t i = 0; i < set->len; i++) {
		const struct fset_node *n = &set->nodes[i];
		const struct schema *below = schema_below(s, &n->pe);
		if (below && n->below.len && is_atomic(below))
			fset_push(a, &out, n->pe, true, (struct fset){ 0 });
		else
			fset_push(a, &out, n->pe, n->member, typed_reconcile(a, below, &n->below));
	}
	return out;
}
