/*
 * typed - JSON values seen through their schema: which parts are owned one by
 * one and which as a whole (KEP-555; the rules of structured-merge-diff).
 *
 *   leaf   scalars, atomic lists and maps, and all below TYPED_DEPTH_MAX levels
 *   map    objects: each member by itself
 *   list   list-type set (by value) and map (by keys): each element by itself
 *
 * What the schema does not know, or knows only as "anything", is deduced from
 * the value: objects are maps, lists are leaves.  A value that does not fit its
 * schema, or a list whose elements cannot be told apart, is a leaf.  Elements
 * that repeat (lists of stored objects may) are owned together.
 *
 * The functions are pure; values may be NULL for "absent".
 */
#ifndef PATCH_TYPED_H
#define PATCH_TYPED_H

#include "patch/fieldset.h"
#include "patch/patch_priv.h"

/*
 * Ownership is kept to this depth.  fieldsV1 stands four levels deep in an
 * object, so sets of the deepest object stay below the limit of documents.
 */
enum { TYPED_DEPTH_MAX = 80 };

enum typed_shape { TYPED_LEAF, TYPED_MAP, TYPED_LIST };

/* What a value (or NULL, null) at this schema is. */
enum typed_shape typed_shape(const struct schema *s, const struct json *v, unsigned depth);

/* The element that stands for an item of a list; < 0 when there is none. */
int typed_element(struct arena *a, const struct schema *list, const struct json *item,
		  struct pe *ret, struct error *err);

/* The elements of all items, or NULL when one has none.  `list` may be NULL or no array. */
struct pe *typed_elements(struct arena *a, const struct schema *list, const struct json *value);

/* ---- elements of one list by equality ---- */

struct peindex {
	const struct pe *pes;
	uint32_t len;
	uint32_t *order; /* NULL: few, searched in turn */
};

void peindex_init(struct peindex *x, struct arena *a, const struct pe *pes, uint32_t len);
ptrdiff_t peindex_find(const struct peindex *x, const struct pe *pe); /* the first */

/* ---- what is done with values ---- */

/*
 * That a value fits: types, no unknown fields, lists whose elements have keys
 * and do not repeat.  ERR_BAD_REQUEST with the path.
 */
ATTR_MUSTCHECK int typed_check(struct arena *a, const struct schema *s, const struct json *v,
			       bool duplicates, struct error *err);

/*
 * Writes what is owned as a whole in the form in which objects are stored: with defaults inside
 * atomic values, quantities canonical.  So an applied value that means what is stored equals it.
 * Nothing is added that would be owned by itself.
 */
void typed_settle(struct arena *a, const struct schema *s, struct json *v);

/* The paths that a value holds. */
struct fset typed_set(struct arena *a, const struct schema *s, const struct json *v);

/* lhs with rhs over it; true when it differs from lhs (else *ret is lhs). */
bool typed_merge(struct arena *a, const struct schema *s, const struct json *lhs,
		 const struct json *rhs, struct json *ret);

struct typed_diff {
	struct fset added, removed, modified;
};

static inline bool typed_same(const struct typed_diff *d)
{
	return !d->added.len && !d->removed.len && !d->modified.len;
}

void typed_compare(struct arena *a, const struct schema *s, const struct json *lhs,
		   const struct json *rhs, struct typed_diff *ret);

/* The value without the members of the set; null when nothing is left. */
struct json typed_remove(struct arena *a, const struct schema *s, const struct json *v,
			 const struct fset *gone);

/* Fields that the schema names become members wherever something below them is one. */
struct fset typed_named(struct arena *a, const struct schema *s, const struct fset *set);

/*
 * What a manager owned below a field that is atomic now, it owns as the field:
 * the schema changed since the set was written.
 */
struct fset typed_reconcile(struct arena *a, const struct schema *s, const struct fset *set);

#endif
