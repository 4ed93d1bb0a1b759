/*
 * manifest - what is applied to a cluster for an object of the global API, and whether it is there already.  Pure.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "base/arena.h"
#include "json/json.h"

#include <stdbool.h>
#include <stdint.h>

enum { MANIFEST_AS_IT_IS = -1 };

/*
 * The copy of `obj`: without status and what servers fill in, without nulls, with our label and notes.
 * `placement` "" = none.  replicas MANIFEST_AS_IT_IS leaves spec.replicas alone.
 */
struct json manifest_of(struct arena *a, const struct json *obj, struct str placement,
			int64_t replicas);

/*
 * Whether `have`, as the cluster shows it, is what `want` (of manifest_of) asks for: applied from the same
 * content, and nobody changed a field that we set.  Fields that we do not set are others'.
 */
bool manifest_is_there(const struct json *want, const struct json *have);

/*
 * Whether all that `want` says stands in `have`.  Lists of objects are matched by the key that their
 * elements have in common (name, mountPath, containerPort and protocol …), else by position; quantities by value.
 */
bool manifest_covers(const struct json *want, const struct json *have);

/* Carries our label; "" or the uid of its origin. */
bool manifest_is_managed(const struct json *have);
struct str manifest_origin(const struct json *have);

#endif
