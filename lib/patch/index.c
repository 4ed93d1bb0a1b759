#include "patch/patch_priv.h"

#include <math.h>

enum { LINEAR_MAX = 16 }; /* up to here looking at each is faster than sorting first */

/* ---- the order of values ---- */

static int rank(const struct json *j)
{
	switch (j ? (enum json_type)j->type : JSON_NULL) {
	case JSON_INT:
	case JSON_UINT:
	case JSON_DOUBLE:
		return 0;
	case JSON_STRING:
		return 1;
	case JSON_BOOL:
		return 2;
	case JSON_ARRAY:
		return 3;
	case JSON_OBJECT:
		return 4;
	case JSON_NULL:
		break;
	}
	return 5;
}

/* Sign of i - d, exact: a double beyond 2^53 has no fraction to lose. */
static int cmp_int_double(int64_t i, double d)
{
	if (d >= 0x1p63)
		return -1;
	if (d < -0x1p63)
		return 1;
	double whole = floor(d);
	int64_t w = (int64_t)whole;
	if (i != w)
		return i < w ? -1 : 1;
	return d > whole ? -1 : 0;
}

static int cmp_uint_double(uint64_t u, double d)
{
	if (d >= 0x1p64)
		return -1;
	if (d < 0x1p63)
		return 1;
	uint64_t w = (uint64_t)d;
	return u < w ? -1 : u > w;
}

static int cmp_number(const struct json *a, const struct json *b)
{
	if (a->type == JSON_DOUBLE && b->type == JSON_DOUBLE)
		return a->d < b->d ? -1 : a->d > b->d;
	if (b->type == JSON_DOUBLE)
		return a->type == JSON_INT ? cmp_int_double(a->i, b->d)
					   : cmp_uint_double(a->u, b->d);
	if (a->type == JSON_DOUBLE)
		return -cmp_number(b, a);
	if (a->type != b->type)
		return a->type == JSON_INT ? -1 : 1;
	if (a->type == JSON_INT)
		return a->i < b->i ? -1 : a->i > b->i;
	return a->u < b->u ? -1 : a->u > b->u;
}

static int by_name(const void *a, const void *b, void *members)
{
	const struct json_member *m = members;
	uint32_t i = *(const uint32_t *)a;
	uint32_t j = *(const uint32_t *)b;
	return str_cmp(member_name(&m[i]), member_name(&m[j]));
}

static uint32_t *sorted_by_name(struct arena *a, const struct json *obj)
{
	uint32_t *order = arena_new(a, uint32_t, obj->len);
	for (uint32_t i = 0; i < obj->len; i++)
		order[i] = i;
	if (obj->len > 1)
		qsort_r(order, obj->len, sizeof(order[0]), by_name, obj->members);
	return order;
}

static int cmp_arrays(const struct json *a, const struct json *b)
{
	for (uint32_t i = 0; i < a->len && i < b->len; i++) {
		int c = value_cmp(&a->items[i], &b->items[i]);
		if (c)
			return c;
	}
	return a->len < b->len ? -1 : a->len > b->len;
}

/* Names first, then values: a key of a list is never an object, so speed does not matter. */
static int cmp_objects(const struct json *a, const struct json *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	struct arena tmp = { 0 };
	uint32_t *x = sorted_by_name(&tmp, a);
	uint32_t *y = sorted_by_name(&tmp, b);
	int c = 0;
	for (uint32_t i = 0; i < a->len && !c; i++)
		c = str_cmp(member_name(&a->members[x[i]]), member_name(&b->members[y[i]]));
	for (uint32_t i = 0; i < a->len && !c; i++)
		c = value_cmp(&a->members[x[i]].value, &b->members[y[i]].value);
	arena_fini(&tmp);
	return c;
}

int value_cmp(const struct json *a, const struct json *b)
{
	int r = rank(a);
	int c = r - rank(b);
	if (c || !a || !b)
		return c;
	switch (r) {
	case 0:
		return cmp_number(a, b);
	case 1:
		return str_cmp(json_str(a), json_str(b));
	case 2:
		return (int)a->b - (int)b->b;
	case 3:
		return cmp_arrays(a, b);
	case 4:
		return cmp_objects(a, b);
	default:
		return 0;
	}
}

/* ---- members by name ---- */

void oindex_init(struct oindex *x, struct arena *a, const struct json *obj)
{
	*x = (struct oindex){ .obj = json_is(obj, JSON_OBJECT) ? obj : NULL };
	if (x->obj && obj->len > LINEAR_MAX)
		x->order = sorted_by_name(a, obj);
}

ptrdiff_t oindex_find(const struct oindex *x, struct str key, size_t hint)
{
	if (!x->obj)
		return -1;
	const struct json_member *m = x->obj->members;
	size_t len = x->obj->len;
	if (hint < len && str_eq(member_name(&m[hint]), key))
		return (ptrdiff_t)hint;
	if (!x->order) {
		for (size_t i = 0; i < len; i++) {
			if (str_eq(member_name(&m[i]), key))
				return (ptrdiff_t)i;
		}
		return -1;
	}
	size_t lo = 0;
	for (size_t hi = len; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (str_cmp(member_name(&m[x->order[mid]]), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < len && str_eq(member_name(&m[x->order[lo]]), key))
		return x->order[lo];
	return -1;
}

/* ---- list elements by value ---- */

static int by_value(const void *a, const void *b, void *values)
{
	const struct json *const *v = values;
	uint32_t i = *(const uint32_t *)a;
	uint32_t j = *(const uint32_t *)b;
	int c = value_cmp(v[i], v[j]);
	return c ? c : (i > j) - (i < j);
}

void vindex_init(struct vindex *x, struct arena *a, const struct json **values, size_t len)
{
	*x = (struct vindex){ .values = values, .len = len };
	if (len <= LINEAR_MAX)
		return;
	x->order = arena_new(a, uint32_t, len);
	for (size_t i = 0; i < len; i++)
		x->order[i] = (uint32_t)i;
	qsort_r(x->order, len, sizeof(x->order[0]), by_value, (void *)values);
}

ptrdiff_t vindex_find(const struct vindex *x, const struct json *v)
{
	if (!x->order) {
		for (size_t i = 0; i < x->len; i++) {
			if (x->values[i] && value_cmp(x->values[i], v) == 0)
				return (ptrdiff_t)i;
		}
		return -1;
	}
	size_t lo = 0;
	for (size_t hi = x->len; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (value_cmp(x->values[x->order[mid]], v) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* A missing value sorts with null and may stand before it. */
	for (; lo < x->len && value_cmp(x->values[x->order[lo]], v) == 0; lo++) {
		if (x->values[x->order[lo]])
			return x->order[lo];
	}
	return -1;
}

/* ---- small helpers ---- */

unsigned json_depth(const struct json *j)
{
	unsigned max = 0;
	if (json_is(j, JSON_ARRAY)) {
		for (uint32_t i = 0; i < j->len; i++) {
			unsigned d = json_depth(&j->items[i]);
			max = d > max ? d : max;
		}
		return max + 1;
	}
	if (json_is(j, JSON_OBJECT)) {
		for (uint32_t i = 0; i < j->len; i++) {
			unsigned d = json_depth(&j->members[i].value);
			max = d > max ? d : max;
		}
		return max + 1;
	}
	return 0;
}

const struct schema *schema_named(const struct schema *s, struct str name)
{
	size_t lo = 0;
	for (size_t hi = s ? s->props_len : 0; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		int c = str_cmp(s->props[mid].name, name);
		if (c == 0)
			return s->props[mid].schema;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct schema *schema_member(const struct schema *s, struct str name)
{
	const struct schema *named = schema_named(s, name);
	return named || !s ? named : s->additional;
}
