/*
 * json/stack - a tree built from events in document order, as parsers give
 * them: values are pushed, containers opened and closed.
 *
 * The children of all open containers lie on one stack; closing a container
 * copies its children to the arena in one piece.  So every array and object of
 * the tree is exactly as large as it must be, and nothing is searched.  Both
 * the JSON parser and readers of other formats (YAML, protobuf) use it.
 *
 *   json_stack_init(&s, arena, limits);
 *   json_stack_open(&s, JSON_OBJECT, &err);
 *   json_stack_key(&s, STR("a"));
 *   json_stack_push(&s, json_of_i64(1), &err);
 *   json_stack_close(&s);
 *   root = s.v[0];
 *   json_stack_fini(&s);
 *
 * Inside an object each pushed or opened value must follow a key: asserted.
 */
#ifndef JSON_STACK_H
#define JSON_STACK_H

#include "json/json.h"

#include <assert.h>

struct json_stack {
	struct arena *arena;
	struct json_limits limits;
	struct json *v; /* room, or memory of its own once that is full */
	uint32_t len, cap;
	uint32_t top;    /* index + 1 of the innermost open container in v; 0 = none */
	uint32_t depth;  /* open containers */
	uint32_t values; /* pushed so far, keys not counted */
	struct json room[64];
};

/* NULL limits = JSON_LIMITS. */
void json_stack_init(struct json_stack *s, struct arena *a, const struct json_limits *limits);
void json_stack_fini(struct json_stack *s);

/* The innermost open container is an object / waits for the value of a key. */
static inline bool json_stack_in_object(const struct json_stack *s)
{
	return s->top && s->v[s->top - 1].type == JSON_OBJECT;
}

static inline bool json_stack_after_key(const struct json_stack *s)
{
	return json_stack_in_object(s) && (s->len - s->top) % 2 == 1;
}

/* json_stack_push() when room or limit is reached. */
ATTR_MUSTCHECK int json_stack_push_slow(struct json_stack *s, struct json value, struct error *err);

/* ERR_TOO_LARGE over values_max (open: or depth_max). */
ATTR_MUSTCHECK static inline int json_stack_push(struct json_stack *s, struct json value,
						 struct error *err)
{
	assert(!json_stack_in_object(s) || json_stack_after_key(s));
	if (s->len == s->cap || s->values >= s->limits.values_max)
		return json_stack_push_slow(s, value, err);
	s->values++;
	s->v[s->len++] = value;
	return 0;
}

ATTR_MUSTCHECK int json_stack_open(struct json_stack *s, enum json_type type, struct error *err);

/* The name of the next member (borrowed); reports duplicates. */
void json_stack_key(struct json_stack *s, struct str key);

/* Closes the innermost container (one must be open); its value takes its place. */
void json_stack_close(struct json_stack *s);

/*
 * Writes the path of the place where the next value goes ("spec.containers[0].name"
 * after the key "name"); empty at the root.
 */
void json_stack_path(const struct json_stack *s, struct buf *out);

#endif
