/* object - small things that all reconciles do with objects.  Pure. */
#ifndef OBJECT_H
#define OBJECT_H

#include "base/arena.h"
#include "json/json.h"

#include <stdbool.h>

bool object_has_finalizer(const struct json *obj); /* ours */
/* metadata.finalizers with or without ours; those of others stay. */
struct json object_finalizers(struct arena *a, const struct json *obj, bool ours);
/* {"metadata": {"resourceVersion": of obj}}: a merge patch that only fits this version; returns the metadata. */
struct json *object_patch(struct arena *a, const struct json *obj, struct json *ret_patch);
bool object_is_deleting(const struct json *obj);
struct str object_uid(const struct json *obj);
/* Body of a DELETE that only fits the object of that uid. */
struct str object_delete_options(struct arena *a, const struct json *have);
/* Whether a member of `a` is not in `b` or not equal there. */
bool object_differs(const struct json *a, const struct json *b);

#endif
