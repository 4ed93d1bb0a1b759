/*
 * sets - the objects that apply --applyset remembers under a name, so that --prune deletes exactly those that the
 * set had and the files have no more: no labels, no guesses, and only while the uid is the one applied.  Pure.
 */
#ifndef SETS_H
#define SETS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum { SET_MEMBERS_MAX = 10000 };

struct set_member {
	struct str api_version, kind, ns, name;
	struct str uid; /* "" = not known yet: it is about to be applied */
};

struct set {
	struct set_member *v;
	size_t len, cap;
};

/* From the text that set_text() made; ERR_INVALID for anything else. */
ATTR_MUSTCHECK int set_parse(struct arena *a, struct str text, struct set *ret, struct error *err);
struct str set_text(struct arena *a, const struct set *s);

/* Adds it, or takes over its uid and version when it is there (another version of a kind is the same object). */
void set_put(struct arena *a, struct set *s, const struct set_member *m);
const struct set_member *set_find(const struct set *s, const struct set_member *m);

/* The members of `old` that `now` has no more and whose uid is known, the last first. */
struct set set_stale(struct arena *a, const struct set *old, const struct set *now);

#endif
