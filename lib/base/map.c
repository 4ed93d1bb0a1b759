#include "base/map.h"

#include "base/mem.h"

#include <assert.h>

enum { CAP_MIN = 16 };

void map_init(struct map *m, uint64_t seed)
{
	*m = (struct map){ .seed = seed };
}

void map_fini(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		mem_free(m->slots[i].key);
	mem_free(m->slots);
	*m = (struct map){ .seed = m->seed };
}

/* The slot that holds key, or the free one where it belongs.  cap > len. */
static struct map_slot *probe(const struct map *m, struct str key, uint64_t hash)
{
	size_t mask = m->cap - 1;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct map_slot *s = &m->slots[i];
		if (!s->key || (s->hash == hash && str_eq(str_n(s->key, s->key_len), key)))
			return s;
	}
}

void *map_get(const struct map *m, struct str key)
{
	return m->cap ? probe(m, key, str_hash(key, m->seed))->value : NULL;
}

static void grow(struct map *m)
{
	struct map old = *m;
	m->cap = old.cap ? old.cap * 2 : CAP_MIN;
	m->slots = mem_new(struct map_slot, m->cap);
	for (size_t i = 0; i < old.cap; i++) {
		struct map_slot *s = &old.slots[i];
		if (s->key)
			*probe(m, str_n(s->key, s->key_len), s->hash) = *s;
	}
	mem_free(old.slots);
}

void *map_set(struct map *m, struct str key, void *value)
{
	assert(value);
	if (m->len * 4 >= m->cap * 3)
		grow(m);
	uint64_t hash = str_hash(key, m->seed);
	struct map_slot *s = probe(m, key, hash);
	void *old = s->value;
	if (!s->key) {
		s->key = mem_strndup(key.p, key.len);
		s->key_len = key.len;
		s->hash = hash;
		m->len++;
	}
	s->value = value;
	return old;
}

void *map_del(struct map *m, struct str key)
{
	if (!m->cap)
		return NULL;
	struct map_slot *s = probe(m, key, str_hash(key, m->seed));
	if (!s->key)
		return NULL;
	void *value = s->value;
	mem_free(s->key);
	m->len--;

	/* Close the hole: move up each follower that the hole would cut off from its home. */
	size_t mask = m->cap - 1;
	size_t hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){ 0 };
	return value;
}

bool map_next(const struct map *m, size_t *pos, struct str *key, void **value)
{
	while (*pos < m->cap) {
		const struct map_slot *s = &m->slots[(*pos)++];
		if (!s->key)
			continue;
		if (key)
			*key = str_n(s->key, s->key_len);
		if (value)
			*value = s->value;
		return true;
	}
	return false;
}
