/* Shared by the files of lib/json alone. */
#ifndef JSON_JSON_PRIV_H
#define JSON_JSON_PRIV_H

#include "json/json.h"

/* Objects up to this size are searched member by member, larger ones through an index. */
enum { JSON_LINEAR_MAX = 32 };

/* Member names of one object to their positions: open addressing, at most half full. */
struct json_index {
	uint32_t *slots; /* position + 1; 0 = free */
	uint32_t mask;
	uint64_t seed;
};

void json_index_init(struct json_index *x, uint32_t members);
void json_index_fini(struct json_index *x);

/* The slot of `key` among members m: holds its position + 1, or 0 where it belongs. */
uint32_t *json_index_slot(const struct json_index *x, const struct json_member *m, struct str key);

static inline struct str json_key_str(const struct json_member *m)
{
	return (struct str){ m->key.s, m->key.len };
}

#endif
