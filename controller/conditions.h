/* conditions - status.conditions with times that move only when something changed.  Pure. */
#ifndef CONDITIONS_H
#define CONDITIONS_H

#include "base/arena.h"
#include "json/json.h"

#include <stdbool.h>
#include <stdint.h>

struct condition {
	const char *type, *status, *reason; /* literals */
	struct str message;
	bool touch;         /* lastUpdateTime moves although nothing else does */
	int64_t generation; /* observedGeneration, 0 = none */
};

struct conditions {
	struct arena *arena;
	const struct json *old; /* the list as it stands, or NULL */
	int64_t now_s;
	bool with_update_time; /* Deployments have lastUpdateTime */
	struct json list;
};

/* The condition of that type in a list, or NULL. */
const struct json *conditions_find(const struct json *list, const char *type);
void conditions_add(struct conditions *c, struct condition x);
/* The new list, with those conditions of the old one that nobody added. */
struct json conditions_done(struct conditions *c);

#endif
