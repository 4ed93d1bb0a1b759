/*
 * reasons - why an object is as it is, in a sentence: what `rctl why` says of a pod, a workload, a node, and of
 * anything with conditions.  Pure.
 */
#ifndef REASONS_H
#define REASONS_H

#include "base/buf.h"
#include "json/json.h"

#include <stdbool.h>

/* What is known beside the object; each may be NULL. */
struct reasons {
	const struct json *node;   /* a pod's */
	const struct json *events; /* of the object: an array, any order */
};

/*
 * Appends one sentence, without the object's name at its front and without a full stop: "runs on node n1 and is
 * ready".  True when all is well.
 */
bool reasons_say(const struct json *obj, const struct reasons *known, struct buf *out);

/* The newest event of type Warning (any type when `any`), or NULL. */
const struct json *reasons_last_event(const struct json *events, bool any);

#endif
