/*
 * strategic - the halves of the strategic merge patch: strategic.c merges
 * objects and reads their directives, strategic_list.c merges and orders lists.
 */
#ifndef PATCH_STRATEGIC_H
#define PATCH_STRATEGIC_H

#include "patch/patch_priv.h"

struct smp {
	struct arena *a;
	struct error *err;
};

/* What the schema says of a list.  Merging needs a key when elements are objects. */
struct smp_list {
	const struct schema *items; /* or NULL */
	struct str key;             /* or empty */
	bool merge;
};

/* Both may be NULL (absent). */
int smp_object(struct smp *m, const struct schema *s, const struct json *doc,
	       const struct json *patch, struct json *ret);

/* A list with merge strategy: `doc` and `patch` are arrays. */
int smp_list_merge(struct smp *m, const struct smp_list *l, const struct json *doc,
		   const struct json *patch, struct json *ret);

/* The elements of `doc` that are not in `gone`. */
struct json smp_list_without(struct smp *m, const struct json *doc, const struct json *gone);

/* That the patch's elements stand in $setElementOrder in the same order. */
int smp_check_order(struct smp *m, const struct smp_list *l, const struct json *patch,
		    const struct json *order);

/*
 * The order of the server's elements after a merge: those that are left, and
 * for each that was deleted one of the patch's new elements (Kubernetes puts
 * them in the place that became free).
 */
struct json smp_list_seats(struct smp *m, const struct smp_list *l, const struct json *doc,
			   const struct json *patch, const struct json *merged);

/*
 * `merged` with the elements named by `order` in that order and the others
 * between them where `server` had them.
 */
int smp_list_order(struct smp *m, const struct smp_list *l, const struct json *merged,
		   const struct json *order, const struct json *server, struct json *ret);

/* The value without directives and nulls; false when it says that it is to be deleted. */
bool smp_plain(struct smp *m, const struct json *patch, struct json *ret);

#endif
