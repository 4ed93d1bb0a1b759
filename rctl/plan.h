/*
 * plan - what apply would do with a set of documents, and a hash of it.
 *
 * The hash covers path, live state and state to be of each document, without what the server alone writes.  It
 * stands for "these changes to this state": any other change of the objects or of the files gives another one.
 */
#ifndef PLAN_H
#define PLAN_H

#include "changes.h"
#include "rctl.h"

enum { PLAN_HASH_LEN = 16 };

struct plan_step {
	const struct client_resource *resource;
	struct str name;
	char *path;
	bool there;
	struct json live, merged;
	struct change *changes;
	size_t changes_len;
};

struct plan {
	struct plan_step *steps;
	size_t len, created, changed;
	char hash[65]; /* PLAN_HASH_LEN hexadecimal digits */
};

/* Asks the server about each document; 0, or the exit status with what is wrong said. */
int plan_make(struct rctl *r, struct documents *ds, struct plan *ret);

#endif
