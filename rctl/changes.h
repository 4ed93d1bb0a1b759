/*
 * changes - what differs between two states of an object, when it was changed and by whom.  Pure.
 */
#ifndef CHANGES_H
#define CHANGES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHANGES_MAX = 200 };

struct change {
	struct str path;              /* "spec.template.spec.containers[name=web].image" */
	const struct json *old, *new; /* NULL = was or is not there */
};

/*
 * The leaves that differ, in document order, at most CHANGES_MAX; either object may be NULL.  Elements of lists
 * are matched by name, type, key or cluster where they have one, else by place.  Returns how many.
 */
size_t changes_find(struct arena *a, const struct json *old, const struct json *new,
		    struct change *out);

/* "spec.replicas: 6 -> 8" */
void changes_write(struct arena *a, const struct change *c, struct buf *out);

/* A copy without what the server alone writes: status, revision, uid, times, managedFields, generation. */
struct json changes_wanted(struct arena *a, const struct json *obj);

/* And without what controllers note on the object: finalizers, owners, their annotations. */
struct json changes_intended(struct arena *a, const struct json *obj);

/* Puts the notes of controllers that `now` bears into `want`, in place of those it had. */
void changes_keep_notes(struct arena *a, struct json *want, const struct json *now);

/*
 * The newest time of metadata.managedFields in ms, else the creation's; *who is its manager.  Seconds fine, and
 * false for what changes without a manager: deletions.
 */
bool changes_when(const struct json *obj, int64_t *ret_ms, struct str *who);

#endif
