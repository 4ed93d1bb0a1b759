#include "json/stack.h"

#include "base/mem.h"
#include "json/json_priv.h"

#include <assert.h>

/*
 * An open container on the stack uses its fields for itself: `len` is a filter
 * of the names seen, `cap` tells that a duplicate was seen, `u` is the index+1
 * of the container around it.
 */

void json_stack_init(struct json_stack *s, struct arena *a, const struct json_limits *limits)
{
	s->arena = a;
	s->limits = limits ? *limits : JSON_LIMITS;
	s->v = s->room;
	s->len = 0;
	s->cap = sizeof(s->room) / sizeof(s->room[0]);
	s->top = s->depth = s->values = 0;
}

void json_stack_fini(struct json_stack *s)
{
	if (s->v != s->room)
		mem_free(s->v);
	s->v = s->room;
}

__attribute__((noinline)) static void grow(struct json_stack *s)
{
	assert(s->cap < UINT32_MAX / 2);
	struct json *old = s->v;
	struct json *v = mem_resize(old == s->room ? NULL : old, (size_t)s->cap * 2, sizeof(*v));
	if (old == s->room)
		memcpy(v, s->room, sizeof(s->room));
	s->v = v;
	s->cap *= 2;
}

static inline void add(struct json_stack *s, struct json value)
{
	if (s->len == s->cap)
		grow(s);
	s->v[s->len++] = value;
}

int json_stack_push_slow(struct json_stack *s, struct json value, struct error *err)
{
	if (s->values >= s->limits.values_max)
		return error_set(err, ERR_TOO_LARGE, "more than %u values", s->limits.values_max);
	s->values++;
	add(s, value);
	return 0;
}

int json_stack_open(struct json_stack *s, enum json_type type, struct error *err)
{
	assert(type == JSON_OBJECT || type == JSON_ARRAY);
	if (s->depth >= s->limits.depth_max)
		return error_set(err, ERR_TOO_LARGE, "nested deeper than %u levels",
				 s->limits.depth_max);
	struct json open = { .type = (uint8_t)type };
	open.u = s->top;
	int rc = json_stack_push(s, open, err);
	if (rc)
		return rc;
	s->depth++;
	s->top = s->len;
	return 0;
}

static void path_of(const struct json_stack *s, uint32_t top, uint32_t at, struct buf *out)
{
	if (!top)
		return;
	const struct json *open = &s->v[top - 1];
	path_of(s, (uint32_t)open->u, top - 1, out);
	if (open->type == JSON_ARRAY) {
		buf_addf(out, "[%u]", at - top);
		return;
	}
	if ((at - top) % 2 == 0)
		return; /* between members */
	if (open->u)
		buf_addc(out, '.');
	buf_add_str(out, json_str(&s->v[at - 1]));
}

void json_stack_path(const struct json_stack *s, struct buf *out)
{
	path_of(s, s->top, s->len, out);
}

static void report(const struct json_stack *s, struct str key)
{
	if (!s->limits.on_duplicate)
		return;
	struct buf path = { 0 };
	path_of(s, (uint32_t)s->v[s->top - 1].u, s->top - 1, &path);
	if (path.len)
		buf_addc(&path, '.');
	buf_add_str(&path, key);
	s->limits.on_duplicate(s->limits.arg, buf_cstr(&path));
	buf_fini(&path);
}

/* One of 32 bits that equal names share. */
static inline uint32_t filter_bit(struct str key)
{
	if (!key.len)
		return 1;
	unsigned char first = (unsigned char)key.p[0];
	unsigned char last = (unsigned char)key.p[key.len - 1];
	return 1U << ((first + last * 5U + (uint32_t)key.len * 11U) & 31U);
}

/* Looks for `key` among the names before it in a small object. */
__attribute__((noinline)) static void check_duplicate(struct json_stack *s, struct str key)
{
	uint32_t members = (s->len - s->top) / 2;
	if (members >= JSON_LINEAR_MAX)
		return; /* seen when the object is closed */
	const struct json *k = &s->v[s->top];
	for (uint32_t i = 0; i < members; i++) {
		if (str_eq(json_str(&k[2 * (size_t)i]), key)) {
			s->v[s->top - 1].cap = 1;
			report(s, key);
			return;
		}
	}
}

void json_stack_key(struct json_stack *s, struct str key)
{
	assert(json_stack_in_object(s) && !json_stack_after_key(s) && key.len <= UINT32_MAX);
	uint32_t bit = filter_bit(key);
	if (s->v[s->top - 1].len & bit)
		check_duplicate(s, key);
	s->v[s->top - 1].len |= bit;
	add(s, (struct json){ .type = JSON_STRING, .len = (uint32_t)key.len, .s = key.p });
}

/* Leaves each name once, with its last value, in the place of its first.  Returns how many. */
static uint32_t dedupe(const struct json_stack *s, struct json_member *m, uint32_t n)
{
	struct json_index x;
	json_index_init(&x, n);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct str key = json_key_str(&m[i]);
		uint32_t *slot = json_index_slot(&x, m, key);
		if (*slot) {
			if (i >= JSON_LINEAR_MAX)
				report(s, key);
			m[*slot - 1].value = m[i].value;
			continue;
		}
		m[kept] = m[i];
		*slot = ++kept;
	}
	json_index_fini(&x);
	return kept;
}

void json_stack_close(struct json_stack *s)
{
	assert(s->top && !json_stack_after_key(s));
	struct json *open = &s->v[s->top - 1];
	struct json *children = open + 1;
	uint32_t n = s->len - s->top;
	size_t unit = sizeof(struct json);
	if (open->type == JSON_OBJECT) {
		n /= 2;
		unit = sizeof(struct json_member);
		if (open->cap || n > JSON_LINEAR_MAX)
			n = dedupe(s, (struct json_member *)(void *)children, n);
	}
	void *mem = NULL;
	if (n) {
		mem = arena_alloc(s->arena, n * unit);
		memcpy(mem, children, n * unit);
	}
	s->len = s->top;
	s->top = (uint32_t)open->u;
	s->depth--;
	*open = (struct json){ .type = open->type, .len = n, .items = mem };
}
