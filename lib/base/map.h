/*
 * base/map - string keys to pointers: open addressing, linear probing,
 * deletion by shifting back, seeded hash.
 *
 * Keys are copied in when added.  Values are the caller's.  Not for several
 * threads at once.  All zero is an empty map with seed 0; daemons set a random
 * seed with map_init() wherever keys come from outside.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t hash;
	char *key; /* NULL = free slot */
	size_t key_len;
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t len, cap; /* cap is 0 or a power of two */
	uint64_t seed;
};

void map_init(struct map *m, uint64_t seed);
void map_fini(struct map *m); /* frees the keys; values are the caller's */

/* The value of `key`, or NULL. */
void *map_get(const struct map *m, struct str key);

/* Sets the value (not NULL) and returns the one it replaces, or NULL. */
void *map_set(struct map *m, struct str key, void *value);

/* Takes the key out and returns its value, or NULL. */
void *map_del(struct map *m, struct str key);

/*
 * Walks all entries in no particular order: start with *pos = 0; false at the
 * end.  The map must not change on the way, except that values may be freed by
 * the caller when the map itself is dropped next.
 */
bool map_next(const struct map *m, size_t *pos, struct str *key, void **value);

#endif
