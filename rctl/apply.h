/*
 * apply - what apply's ways of sending documents have in common.
 */
#ifndef APPLY_H
#define APPLY_H

#include "rctl.h"

/* What was there before a document was sent. */
struct before {
	bool there;
	struct str revision;
	struct json live; /* in a server dry run only: the revision tells nothing there */
};
void apply_before(struct rctl *r, const char *path, struct before *ret);

/* "created", "configured" or "unchanged" */
const char *apply_outcome(struct rctl *r, const struct before *b, int status,
			  const struct json *obj);

/* One line, or the object as -o asks; the exit status.  Remembers the uid. */
int apply_say(struct rctl *r, struct document *d, const struct client_resource *res,
	      struct json *obj, const char *outcome);

/* apply --atomic (atomic.c): all documents or none; the exit status. */
int apply_atomic(struct rctl *r, struct documents *ds);

#endif
