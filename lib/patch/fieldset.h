/*
 * fieldset - sets of field paths, the currency of server-side apply.
 *
 * A set is a tree: a node stands for one step of a path, says whether the path
 * up to here is a member, and holds the steps below.  Nodes are sorted, unique
 * and never both no member and childless, so equal sets are equal trees and an
 * empty set has no nodes.  Finished sets are immutable and share subtrees.
 *
 * Text form ("fieldsV1", KEP-555): an object of "f:NAME", "k:{KEYS}", "v:VALUE"
 * and "i:INDEX", "." for "the path up to here too".
 *
 * Memory comes from the arena given; names and values are borrowed.
 */
#ifndef PATCH_FIELDSET_H
#define PATCH_FIELDSET_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The kinds sort in this order. */
enum pe_kind { PE_FIELD, PE_KEY, PE_VALUE, PE_INDEX };

struct pe_key {
	struct str name;
	struct json value;
};

/* One path element. */
struct pe {
	uint8_t kind; /* enum pe_kind */
	uint32_t len; /* of name or keys */
	union {
		const char *name;
		const struct pe_key *keys; /* sorted by name */
		const struct json *value;
		int64_t index;
	};
};

struct fset_node;

struct fset {
	struct fset_node *nodes;
	uint32_t len, cap;
};

struct fset_node {
	struct pe pe;
	bool member;
	struct fset below;
};

int pe_cmp(const struct pe *a, const struct pe *b);

static inline struct pe pe_field(struct str name)
{
	return (struct pe){ .kind = PE_FIELD, .len = (uint32_t)name.len, .name = name.p };
}

/* ---- building: append in any order, then sort once ---- */

/* Does nothing for a node that is no member and has nothing below. */
void fset_push(struct arena *a, struct fset *s, struct pe pe, bool member, struct fset below);

/* Sorts; nodes of equal elements become one. */
void fset_sort(struct arena *a, struct fset *s);

/* Adds one path; for few paths, a set is better built from its leaves.  Empty paths are ignored. */
void fset_insert(struct arena *a, struct fset *s, const struct pe *path, size_t len);

/* ---- asking ---- */

const struct fset_node *fset_find(const struct fset *s, const struct pe *pe);
bool fset_has(const struct fset *s, const struct pe *path, size_t len);
bool fset_equal(const struct fset *a, const struct fset *b);

static inline bool fset_empty(const struct fset *s)
{
	return s->len == 0;
}

/* ---- algebra ---- */

struct fset fset_union(struct arena *a, const struct fset *x, const struct fset *y);
struct fset fset_intersection(struct arena *a, const struct fset *x, const struct fset *y);
struct fset fset_difference(struct arena *a, const struct fset *x, const struct fset *y);

/* ---- text ---- */

/* ERR_BAD_REQUEST.  null is the empty set, as {} is. */
ATTR_MUSTCHECK int fset_parse(struct arena *a, const struct json *fields, struct fset *ret,
			      struct error *err);
ATTR_MUSTCHECK int pe_parse(struct arena *a, struct str text, struct pe *ret, struct error *err);

struct json fset_json(struct arena *a, const struct fset *s);
struct str pe_text(struct arena *a, const struct pe *pe);

/* .spec.containers[name="web"].image */
void pe_print(struct buf *out, const struct pe *pe);

/* Calls fn for each member, in order; `path` is valid during the call.  Stops when fn says false. */
enum { FSET_DEPTH_MAX = 128 };
typedef bool (*fset_path_fn)(void *arg, const struct pe *path, size_t len);
bool fset_each(const struct fset *s, fset_path_fn fn, void *arg);

#endif
