#include "json/json.h"

#include "base/mem.h"
#include "json/json_priv.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>

/* ---- the index of a large object ---- */

void json_index_init(struct json_index *x, uint32_t members)
{
	uint64_t cap = 64;
	while (cap < (uint64_t)members * 2)
		cap *= 2;
	x->slots = mem_new(uint32_t, cap);
	x->mask = (uint32_t)(cap - 1);
	/* Where the heap lies is not known outside: enough against prepared collisions. */
	x->seed = (uint64_t)(uintptr_t)x->slots * 0x9E3779B97F4A7C15ULL ^ (uint64_t)(uintptr_t)x;
}

void json_index_fini(struct json_index *x)
{
	mem_free(x->slots);
}

uint32_t *json_index_slot(const struct json_index *x, const struct json_member *m, struct str key)
{
	for (uint64_t i = str_hash(key, x->seed);; i++) {
		uint32_t *slot = &x->slots[i & x->mask];
		if (!*slot || str_eq(json_key_str(&m[*slot - 1]), key))
			return slot;
	}
}

/* ---- reading ---- */

struct json *json_get(const struct json *j, struct str key)
{
	if (!json_is(j, JSON_OBJECT))
		return NULL;
	for (uint32_t i = 0; i < j->len; i++) {
		if (str_eq(json_key_str(&j->members[i]), key))
			return &j->members[i].value;
	}
	return NULL;
}

struct json *json_getc(const struct json *j, const char *key)
{
	return json_get(j, str_of(key));
}

struct json *json_dig(const struct json *j, ...)
{
	va_list ap;
	va_start(ap, j);
	struct json *at = NULL;
	for (const char *key = NULL; (key = va_arg(ap, const char *)) != NULL; j = at) {
		at = json_getc(j, key);
		if (!at)
			break;
	}
	va_end(ap);
	return at;
}

struct json *json_at(const struct json *j, size_t i)
{
	return json_is(j, JSON_ARRAY) && i < j->len ? &j->items[i] : NULL;
}

size_t json_len(const struct json *j)
{
	return json_is(j, JSON_ARRAY) || json_is(j, JSON_OBJECT) ? j->len : 0;
}

struct str json_str(const struct json *j)
{
	return json_is(j, JSON_STRING) ? str_n(j->s, j->len) : STR_NONE;
}

int64_t json_i64(const struct json *j, int64_t or_else)
{
	if (json_is(j, JSON_INT))
		return j->i;
	if (json_is(j, JSON_DOUBLE) && j->d >= -0x1p63 && j->d < 0x1p63 && j->d == floor(j->d))
		return (int64_t)j->d;
	return or_else;
}

double json_double(const struct json *j, double or_else)
{
	if (json_is(j, JSON_INT))
		return (double)j->i;
	if (json_is(j, JSON_UINT))
		return (double)j->u;
	return json_is(j, JSON_DOUBLE) ? j->d : or_else;
}

bool json_bool(const struct json *j, bool or_else)
{
	return json_is(j, JSON_BOOL) ? j->b : or_else;
}

const char *json_type_name(const struct json *j)
{
	switch (j ? (enum json_type)j->type : JSON_NULL) {
	case JSON_NULL:
		return "null";
	case JSON_BOOL:
		return "boolean";
	case JSON_INT:
	case JSON_UINT:
		return "integer";
	case JSON_DOUBLE:
		return "number";
	case JSON_STRING:
		return "string";
	case JSON_ARRAY:
		return "array";
	case JSON_OBJECT:
		return "object";
	}
	return "null";
}

/* ---- comparing ---- */

static bool is_number(const struct json *j)
{
	return j->type == JSON_INT || j->type == JSON_UINT || j->type == JSON_DOUBLE;
}

/* Exact: no integer is rounded to a double on the way. */
static bool number_equal(const struct json *a, const struct json *b)
{
	if (a->type == b->type)
		return a->type == JSON_DOUBLE ? a->d == b->d : a->u == b->u;
	if (a->type != JSON_DOUBLE && b->type != JSON_DOUBLE)
		return false; /* an int and a uint are never equal: uint is above INT64_MAX */
	double d = a->type == JSON_DOUBLE ? a->d : b->d;
	const struct json *n = a->type == JSON_DOUBLE ? b : a;
	if (n->type == JSON_INT)
		return d >= -0x1p63 && d < 0x1p63 && d == floor(d) && (int64_t)d == n->i;
	return d >= 0x1p63 && d < 0x1p64 && (uint64_t)d == n->u;
}

static bool members_equal_indexed(const struct json *a, const struct json *b)
{
	struct json_index x;
	json_index_init(&x, b->len);
	for (uint32_t i = 0; i < b->len; i++) {
		uint32_t *slot = json_index_slot(&x, b->members, json_key_str(&b->members[i]));
		if (!*slot)
			*slot = i + 1;
	}
	bool equal = true;
	for (uint32_t i = 0; i < a->len && equal; i++) {
		uint32_t at = *json_index_slot(&x, b->members, json_key_str(&a->members[i]));
		equal = at && json_equal(&a->members[i].value, &b->members[at - 1].value);
	}
	json_index_fini(&x);
	return equal;
}

static bool object_equal(const struct json *a, const struct json *b)
{
	uint32_t i = 0;
	/* Mostly the order is the same. */
	for (; i < a->len && str_eq(json_key_str(&a->members[i]), json_key_str(&b->members[i]));
	     i++) {
		if (!json_equal(&a->members[i].value, &b->members[i].value))
			return false;
	}
	if (a->len - i > JSON_LINEAR_MAX)
		return members_equal_indexed(a, b);
	for (; i < a->len; i++) {
		const struct json *other = json_get(b, json_key_str(&a->members[i]));
		if (!other || !json_equal(&a->members[i].value, other))
			return false;
	}
	return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
	if (!a || !b)
		return a == b;
	if (is_number(a) && is_number(b))
		return number_equal(a, b);
	if (a->type != b->type)
		return false;
	if (a->type == JSON_NULL)
		return true;
	if (a->type == JSON_BOOL)
		return a->b == b->b;
	if (a->type == JSON_STRING)
		return str_eq(json_str(a), json_str(b));
	if (a->len != b->len)
		return false;
	if (a->type == JSON_OBJECT)
		return object_equal(a, b);
	for (uint32_t i = 0; i < a->len; i++) {
		if (!json_equal(&a->items[i], &b->items[i]))
			return false;
	}
	return true;
}
