#include "base/map.h"
#include "base/mem.h"
#include "store/store_priv.h"
#include "sys/clock.h"

/*
 * For tests and for state that may go with the process: the same answers and
 * events as the databases, nothing kept but revisions.
 */

struct memory_key {
	int64_t rev, create_rev;
};

struct memory {
	struct map keys;   /* struct memory_key */
	struct map fences; /* int64_t */
	int64_t rev;
};

static int memory_open(struct store *s, struct error *err)
{
	(void)err;
	struct memory *m = mem_new(struct memory, 1);
	map_init(&m->keys, clock_random_u64());
	map_init(&m->fences, clock_random_u64());
	s->backend = m;
	store_compacted(s, 0);
	return 0;
}

static void free_values(struct map *map)
{
	size_t pos = 0;
	void *value = NULL;
	while (map_next(map, &pos, NULL, &value))
		mem_free(value);
	map_fini(map);
}

static void memory_close(struct store *s)
{
	struct memory *m = s->backend;
	free_values(&m->keys);
	free_values(&m->fences);
	mem_free(m);
}

static bool fits(const struct memory *m, struct store_item *it)
{
	const struct memory_key *k = map_get(&m->keys, it->key);
	if (it->fence_key.len) {
		const int64_t *token = map_get(&m->fences, it->fence_key);
		if (!token || *token != it->fence_token) {
			store_set_result(it, ERR_CONFLICT, "the writer lost its lease");
			it->result->fenced = true;
			return false;
		}
	}
	if (it->op == STORE_CREATE && k)
		store_set_result(it, ERR_EXISTS, "the key exists");
	else if (it->op != STORE_CREATE && (!k || k->rev != it->want_rev))
		store_set_result(it, ERR_CONFLICT, "the key has another revision");
	else
		return true;
	return false;
}

static void apply(struct memory *m, struct store_item *it)
{
	struct memory_key *k = map_get(&m->keys, it->key);
	it->result->rev = ++m->rev;
	if (it->op == STORE_CREATE) {
		k = mem_new(struct memory_key, 1);
		*k = (struct memory_key){ m->rev, m->rev };
		(void)map_set(&m->keys, it->key, k);
	} else if (it->op == STORE_UPDATE) {
		k->rev = m->rev;
		it->create_rev = k->create_rev;
	} else {
		it->create_rev = k->create_rev;
		mem_free(map_del(&m->keys, it->key));
	}
	if (it->set_fence_key.len) {
		int64_t *token = mem_new(int64_t, 1);
		*token = it->set_fence_token;
		mem_free(map_set(&m->fences, it->set_fence_key, token));
	}
}

static int memory_commit(struct store *s, struct store_batch *b, struct error *err)
{
	(void)err;
	struct memory *m = s->backend;
	b->base = m->rev;
	for (size_t i = 0; i < b->n;) {
		const struct store_sub *sub = b->items[i]->sub;
		size_t n = sub->atomic ? sub->n : 1;
		size_t fit = 0;
		for (size_t k = i; k < i + n; k++)
			fit += fits(m, b->items[k]);
		for (size_t k = i; k < i + n; k++) {
			struct store_item *it = b->items[k];
			if (fit == n)
				apply(m, it);
			else if (it->result->code == ERR_OK)
				store_set_result(it, ERR_CONFLICT,
						 "another write of the group failed");
		}
		i += n;
	}
	b->rev = m->rev;
	return 0;
}

static int memory_catch_up(struct store *s, int64_t rev, struct error *err)
{
	(void)s;
	(void)rev;
	return error_set(err, ERR_INTERNAL, "memory has no other writers");
}

static int memory_compact(struct store *s, int64_t rev, struct error *err)
{
	(void)err;
	store_compacted(s, rev);
	return 0;
}

const struct store_ops STORE_MEMORY = {
	.mixes_groups = true,
	.open = memory_open,
	.commit = memory_commit,
	.catch_up = memory_catch_up,
	.compact = memory_compact,
	.close = memory_close,
};
