/* podrefs - the ConfigMaps and Secrets that a pod names.  Pure. */
#ifndef PODREFS_H
#define PODREFS_H

#include "base/arena.h"
#include "base/str.h"
#include "json/json.h"

#include <stddef.h>

enum { PODREFS_MAX = 1024 };

/* Distinct "ConfigMap/NAMESPACE/NAME" and "Secret/NAMESPACE/NAME" of the pod object, in the arena. */
size_t podrefs(struct arena *a, const struct json *pod, struct str **ret);

#endif
