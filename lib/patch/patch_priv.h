/*
 * patch_priv - what the engines of lib/patch share: an order of JSON values and
 * lookups that stay fast in objects and lists of any size.
 *
 * All memory comes from the arena of the caller.  Nothing here changes its input.
 */
#ifndef PATCH_PATCH_PRIV_H
#define PATCH_PATCH_PRIV_H

#include "base/arena.h"
#include "json/json.h"
#include "schema/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * A total order in which equal means json_equal: numbers, strings, false, true,
 * arrays, objects, null (the order of path elements in fieldsV1).
 */
int value_cmp(const struct json *a, const struct json *b);

/* ---- members of one object by name ---- */

struct oindex {
	const struct json *obj; /* NULL or anything but an object has no members */
	uint32_t *order;        /* members sorted by name; NULL: few, searched in turn */
};

void oindex_init(struct oindex *x, struct arena *a, const struct json *obj);

/* The position of `key`, or -1.  `hint` is looked at first. */
ptrdiff_t oindex_find(const struct oindex *x, struct str key, size_t hint);

/* ---- values of one list by equality ---- */

struct vindex {
	const struct json **values; /* an element may be NULL: it is never found */
	size_t len;
	uint32_t *order; /* positions sorted by (value, position) */
};

/* `values` (len entries) is kept. */
void vindex_init(struct vindex *x, struct arena *a, const struct json **values, size_t len);

/* The first position of a value equal to v, or -1. */
ptrdiff_t vindex_find(const struct vindex *x, const struct json *v);

static inline struct str member_name(const struct json_member *m)
{
	return str_n(m->key.s, m->key.len);
}

/* An object or array of exactly these children. */
static inline struct json json_of_members(struct json_member *m, size_t len)
{
	return (struct json){ .type = JSON_OBJECT, .len = (uint32_t)len, .members = m };
}

static inline struct json json_of_items(struct json *items, size_t len)
{
	return (struct json){ .type = JSON_ARRAY, .len = (uint32_t)len, .items = items };
}

/* Levels of containers in a value: 0 for a scalar. */
unsigned json_depth(const struct json *j);

/* The named property of an object schema, additionalProperties not counted; NULL when none. */
const struct schema *schema_named(const struct schema *s, struct str name);

/* The schema of a member: named, else of additionalProperties, else NULL (unknown). */
const struct schema *schema_member(const struct schema *s, struct str name);

#endif
