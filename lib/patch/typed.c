#include "patch/typed.h"

#include <string.h>

enum { LINEAR_MAX = 16 };

/* ---- shapes ---- */

enum typed_shape typed_shape(const struct schema *s, const struct json *v, unsigned depth)
{
	if (depth >= TYPED_DEPTH_MAX)
		return TYPED_LEAF;
	enum json_type type = v ? (enum json_type)v->type : JSON_NULL;
	if (!s || s->type == SCHEMA_ANY) {
		bool map = type == JSON_OBJECT || type == JSON_NULL;
		return map && !(s && s->map_atomic) ? TYPED_MAP : TYPED_LEAF;
	}
	if (s->type == SCHEMA_OBJECT && (type == JSON_OBJECT || type == JSON_NULL))
		return s->map_atomic ? TYPED_LEAF : TYPED_MAP;
	if (s->type == SCHEMA_ARRAY && (type == JSON_ARRAY || type == JSON_NULL))
		return s->list == SCHEMA_LIST_ATOMIC ? TYPED_LEAF : TYPED_LIST;
	return TYPED_LEAF;
}

/* ---- elements of lists ---- */

static int keyed_element(struct arena *a, const struct schema *list, const struct json *item,
			 struct pe *ret, struct error *err)
{
	if (item->type != JSON_OBJECT)
		return error_set(err, ERR_BAD_REQUEST,
				 "associative list with keys may not have %s elements",
				 item->type == JSON_NULL ? "null" : "non-map");
	struct pe_key *keys = arena_new(a, struct pe_key, list->list_keys_len);
	uint32_t len = 0;
	for (size_t i = 0; i < list->list_keys_len; i++) {
		struct str name = list->list_keys[i];
		const struct json *value = json_get(item, name);
		if (!value) {
			const struct schema *field = schema_named(list->items, name);
			value = field ? field->default_value : NULL;
		}
		if (!value)
			continue;
		uint32_t at = len++;
		for (; at > 0 && str_cmp(keys[at - 1].name, name) > 0; at--)
			keys[at] = keys[at - 1];
		keys[at] = (struct pe_key){ name, *value };
	}
	if (len == 0)
		return error_set(
			err, ERR_BAD_REQUEST,
			"associative list with keys has an element that omits all key fields "
			"(and doesn't have default values for any key fields)");
	*ret = (struct pe){ .kind = PE_KEY, .len = len, .keys = keys };
	return 0;
}

int typed_element(struct arena *a, const struct schema *list, const struct json *item,
		  struct pe *ret, struct error *err)
{
	if (list->list_keys_len)
		return keyed_element(a, list, item, ret, err);
	if (item->type == JSON_OBJECT || item->type == JSON_ARRAY || item->type == JSON_NULL)
		return error_set(err, ERR_BAD_REQUEST,
				 "associative list without keys has an element that's %s",
				 item->type == JSON_OBJECT  ? "a map type"
				 : item->type == JSON_ARRAY ? "a list"
							    : "an explicit null");
	*ret = (struct pe){ .kind = PE_VALUE, .value = item };
	return 0;
}

struct pe *typed_elements(struct arena *a, const struct schema *list, const struct json *value)
{
	uint32_t len = json_is(value, JSON_ARRAY) ? value->len : 0;
	struct pe *pes = arena_new(a, struct pe, (size_t)len + 1);
	for (uint32_t i = 0; i < len; i++) {
		if (typed_element(a, list, &value->items[i], &pes[i], NULL) < 0)
			return NULL;
	}
	return pes;
}

static int by_pe(const void *a, const void *b, void *pes)
{
	const struct pe *p = pes;
	uint32_t i = *(const uint32_t *)a;
	uint32_t j = *(const uint32_t *)b;
	int c = pe_cmp(&p[i], &p[j]);
	return c ? c : (i > j) - (i < j);
}

void peindex_init(struct peindex *x, struct arena *a, const struct pe *pes, uint32_t len)
{
	*x = (struct peindex){ .pes = pes, .len = len };
	if (len <= LINEAR_MAX)
		return;
	x->order = arena_new(a, uint32_t, len);
	for (uint32_t i = 0; i < len; i++)
		x->order[i] = i;
	struct pe *base = arena_new(a, struct pe, len);
	memcpy(base, pes, len * sizeof(base[0]));
	x->pes = base;
	qsort_r(x->order, len, sizeof(x->order[0]), by_pe, base);
}

ptrdiff_t peindex_find(const struct peindex *x, const struct pe *pe)
{
	if (!x->order) {
		for (uint32_t i = 0; i < x->len; i++) {
			if (pe_cmp(&x->pes[i], pe) == 0)
				return i;
		}
		return -1;
	}
	uint32_t lo = 0;
	for (uint32_t hi = x->len; lo < hi;) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (pe_cmp(&x->pes[x->order[mid]], pe) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < x->len && pe_cmp(&x->pes[x->order[lo]], pe) == 0)
		return x->order[lo];
	return -1;
}

/* ---- the stored form ---- */

static void settle(struct arena *a, const struct schema *s, struct json *v, unsigned depth)
{
	if (!s || v->type == JSON_NULL)
		return;
	switch (typed_shape(s, v, depth)) {
	case TYPED_LEAF:
		schema_default(a, s, v);
		break;
	case TYPED_MAP:
		for (uint32_t i = 0; i < v->len; i++) {
			const struct schema *named = schema_named(s, member_name(&v->members[i]));
			settle(a, named ? named : s->additional, &v->members[i].value, depth + 1);
		}
		break;
	case TYPED_LIST:
		for (uint32_t i = 0; i < v->len; i++)
			settle(a, s->items, &v->items[i], depth + 1);
		break;
	}
}

void typed_settle(struct arena *a, const struct schema *s, struct json *v)
{
	settle(a, s, v, 0);
}

/* ---- the set of a value ---- */

static bool set_of(struct arena *a, const struct schema *s, const struct json *v, unsigned depth,
		   struct fset *ret);

static void set_of_map(struct arena *a, const struct schema *s, const struct json *v,
		       unsigned depth, struct fset *ret)
{
	uint32_t len = json_is(v, JSON_OBJECT) ? v->len : 0;
	ret->cap = len;
	ret->nodes = arena_new(a, struct fset_node, (size_t)len + 1);
	for (uint32_t i = 0; i < len; i++) {
		const struct json_member *m = &v->members[i];
		const struct schema *named = schema_named(s, member_name(m));
		struct fset below = { 0 };
		bool member = set_of(a, named || !s ? named : s->additional, &m->value, depth + 1,
				     &below);
		bool empty = m->value.type == JSON_NULL ||
			     (m->value.type == JSON_OBJECT && m->value.len == 0);
		fset_push(a, ret, pe_field(member_name(m)), member || empty || !named, below);
	}
	fset_sort(a, ret);
}

/* Elements that repeat are members without anything below. */
static bool set_of_list(struct arena *a, const struct schema *s, const struct json *v,
			unsigned depth, struct fset *ret)
{
	uint32_t len = json_is(v, JSON_ARRAY) ? v->len : 0;
	const struct pe *pes = typed_elements(a, s, v);
	if (!pes)
		return false;
	struct peindex index;
	peindex_init(&index, a, pes, len);
	bool *again = arena_new(a, bool, (size_t)len + 1);
	for (uint32_t i = 0; i < len; i++) {
		ptrdiff_t first = peindex_find(&index, &pes[i]);
		if (first != (ptrdiff_t)i)
			again[first] = again[i] = true;
	}
	ret->cap = len;
	ret->nodes = arena_new(a, struct fset_node, (size_t)len + 1);
	for (uint32_t i = 0; i < len; i++) {
		struct fset below = { 0 };
		if (!again[i])
			(void)set_of(a, s->items, &v->items[i], depth + 1, &below);
		fset_push(a, ret, pes[i], true, below);
	}
	fset_sort(a, ret);
	return true;
}

/* True when the value itself is a member. */
static bool set_of(struct arena *a, const struct schema *s, const struct json *v, unsigned depth,
		   struct fset *ret)
{
	switch (typed_shape(s, v, depth)) {
	case TYPED_MAP:
		set_of_map(a, s, v, depth, ret);
		return false;
	case TYPED_LIST:
		return !set_of_list(a, s, v, depth, ret);
	case TYPED_LEAF:
		break;
	}
	return true;
}

struct fset typed_set(struct arena *a, const struct schema *s, const struct json *v)
{
	struct fset set = { 0 };
	if (v)
		(void)set_of(a, s, v, 0, &set);
	return set;
}
