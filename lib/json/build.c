#include "json/json.h"
#include "json/json_priv.h"

#include <assert.h>
#include <math.h>

struct json json_of_str(struct str s)
{
	assert(s.len <= UINT32_MAX);
	return (struct json){ .type = JSON_STRING, .len = (uint32_t)s.len, .s = s.p ? s.p : "" };
}

struct json json_of_cstr(const char *s)
{
	return s ? json_of_str(str_of(s)) : (struct json){ 0 };
}

struct json json_of_i64(int64_t i)
{
	return (struct json){ .type = JSON_INT, .i = i };
}

struct json json_of_u64(uint64_t u)
{
	return (struct json){ .type = u > INT64_MAX ? JSON_UINT : JSON_INT, .u = u };
}

struct json json_of_double(double d)
{
	assert(isfinite(d));
	return (struct json){ .type = JSON_DOUBLE, .d = d };
}

struct json json_of_bool(bool b)
{
	struct json j = { .type = JSON_BOOL };
	j.b = b;
	return j;
}

struct json json_object(void)
{
	return (struct json){ .type = JSON_OBJECT };
}

struct json json_array(void)
{
	return (struct json){ .type = JSON_ARRAY };
}

static uint32_t room(const struct json *j)
{
	return j->cap ? (uint32_t)((1ULL << j->cap) - 1) : j->len;
}

/* `items` (of `size` bytes each) with room for one more. */
static void *grown(struct arena *a, struct json *j, void *items, size_t size)
{
	if (j->len < room(j))
		return items;
	assert(j->len < UINT32_MAX / 4);
	uint8_t cap = j->cap ? j->cap : 2;
	while ((1ULL << cap) - 1 <= j->len)
		cap++;
	void *mem = arena_alloc_n(a, (size_t)((1ULL << cap) - 1), size);
	if (j->len)
		memcpy(mem, items, j->len * size);
	j->cap = cap;
	return mem;
}

struct json *json_set(struct arena *a, struct json *obj, struct str key, struct json value)
{
	assert(json_is(obj, JSON_OBJECT));
	struct json *old = json_get(obj, key);
	if (old) {
		*old = value;
		return old;
	}
	obj->members = grown(a, obj, obj->members, sizeof(obj->members[0]));
	struct json_member *m = &obj->members[obj->len++];
	m->key = json_of_str(key);
	m->value = value;
	return &m->value;
}

struct json *json_setc(struct arena *a, struct json *obj, const char *key, struct json value)
{
	return json_set(a, obj, str_of(key), value);
}

struct json *json_child(struct arena *a, struct json *obj, const char *key)
{
	struct json *child = json_getc(obj, key);
	return json_is(child, JSON_OBJECT) ? child : json_setc(a, obj, key, json_object());
}

bool json_remove(struct json *obj, struct str key)
{
	const struct json *value = json_get(obj, key);
	if (!value)
		return false;
	struct json_member *m = obj->members;
	while (&m->value != value)
		m++;
	size_t behind = obj->len - (size_t)(m - obj->members) - 1;
	memmove(m, m + 1, behind * sizeof(*m));
	obj->len--;
	return true;
}

bool json_removec(struct json *obj, const char *key)
{
	return json_remove(obj, str_of(key));
}

struct json *json_push(struct arena *a, struct json *arr, struct json value)
{
	assert(json_is(arr, JSON_ARRAY));
	arr->items = grown(a, arr, arr->items, sizeof(arr->items[0]));
	struct json *at = &arr->items[arr->len++];
	*at = value;
	return at;
}

void json_remove_at(struct json *arr, size_t i)
{
	assert(json_is(arr, JSON_ARRAY) && i < arr->len);
	memmove(&arr->items[i], &arr->items[i + 1], (arr->len - i - 1) * sizeof(arr->items[0]));
	arr->len--;
}

struct json *json_insert_at(struct arena *a, struct json *arr, size_t i, struct json value)
{
	assert(json_is(arr, JSON_ARRAY) && i <= arr->len);
	arr->items = grown(a, arr, arr->items, sizeof(arr->items[0]));
	memmove(&arr->items[i + 1], &arr->items[i], (arr->len - i) * sizeof(arr->items[0]));
	arr->len++;
	arr->items[i] = value;
	return &arr->items[i];
}

static struct json clone_str(struct arena *a, const struct json *j)
{
	return json_of_str(arena_str(a, json_str(j)));
}

struct json json_clone(struct arena *a, const struct json *j)
{
	if (!j)
		return (struct json){ 0 };
	struct json copy = *j;
	copy.cap = 0;
	if (j->type == JSON_STRING)
		return clone_str(a, j);
	if (json_len(j) == 0)
		return copy;
	if (j->type == JSON_ARRAY) {
		copy.items = arena_new(a, struct json, j->len);
		for (uint32_t i = 0; i < j->len; i++)
			copy.items[i] = json_clone(a, &j->items[i]);
	} else if (j->type == JSON_OBJECT) {
		copy.members = arena_new(a, struct json_member, j->len);
		for (uint32_t i = 0; i < j->len; i++) {
			copy.members[i].key = clone_str(a, &j->members[i].key);
			copy.members[i].value = json_clone(a, &j->members[i].value);
		}
	}
	return copy;
}
