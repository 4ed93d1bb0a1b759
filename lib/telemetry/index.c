#include "telemetry/index.h"

#include "base/mem.h"

#include <assert.h>

struct index_name {
	struct map values; /* value → struct index_ids */
};

struct entry {
	struct index_entry e;
	struct labels_own *own;
};

/* ---- lists of ids ---- */

static void ids_add(struct index_ids *ids, uint32_t id)
{
	assert(ids->len == 0 || ids->v[ids->len - 1] < id);
	mem_grow(ids->v, ids->len, ids->cap);
	ids->v[ids->len++] = id;
}

static size_t ids_lower(const struct index_ids *ids, uint32_t id)
{
	size_t lo = 0, hi = ids->len;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (ids->v[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void ids_del(struct index_ids *ids, uint32_t id)
{
	size_t i = ids_lower(ids, id);
	if (i == ids->len || ids->v[i] != id)
		return;
	memmove(ids->v + i, ids->v + i + 1, (ids->len - i - 1) * sizeof(*ids->v));
	ids->len--;
}

/* ---- the index ---- */

void index_init(struct index *ix, uint64_t seed)
{
	*ix = (struct index){ 0 };
	map_init(&ix->keys, seed);
	map_init(&ix->names, seed);
}

static void name_free(struct index_name *name)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&name->values, &pos, &key, &value)) {
		mem_free(((struct index_ids *)value)->v);
		mem_free(value);
	}
	map_fini(&name->values);
	mem_free(name);
}

void index_fini(struct index *ix)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&ix->names, &pos, &key, &value))
		name_free(value);
	for (size_t i = 0; i < ix->by_id_len; i++) {
		struct entry *e = (struct entry *)(void *)ix->by_id[i];
		if (e)
			mem_free(e->own);
		mem_free(e);
	}
	map_fini(&ix->names);
	map_fini(&ix->keys);
	mem_free(ix->all.v);
	mem_free(ix->by_id);
	buf_fini(&ix->key);
	*ix = (struct index){ 0 };
}

struct index_entry *index_find(struct index *ix, struct labels l)
{
	buf_clear(&ix->key);
	labels_key(l, &ix->key);
	return map_get(&ix->keys, buf_str(&ix->key));
}

struct index_entry *index_at(const struct index *ix, uint32_t id)
{
	return id < ix->by_id_len ? ix->by_id[id] : NULL;
}

size_t index_count(const struct index *ix)
{
	return ix->all.len;
}

static struct index_ids *postings(const struct index *ix, struct str name, struct str value)
{
	const struct index_name *n = map_get(&ix->names, name);
	return n ? map_get(&n->values, value) : NULL;
}

static void post(struct index *ix, const struct label *l, uint32_t id)
{
	struct index_name *n = map_get(&ix->names, l->name);
	if (!n) {
		n = mem_new(struct index_name, 1);
		map_init(&n->values, ix->names.seed);
		(void)map_set(&ix->names, l->name, n);
	}
	struct index_ids *ids = map_get(&n->values, l->value);
	if (!ids) {
		ids = mem_new(struct index_ids, 1);
		(void)map_set(&n->values, l->value, ids);
	}
	ids_add(ids, id);
}

struct index_entry *index_add(struct index *ix, uint32_t id, struct labels l)
{
	assert(id > ix->last_id);
	ix->last_id = id;
	if (id >= ix->by_id_len) {
		size_t n = ix->by_id_len ? ix->by_id_len * 2 : 64;
		n = n > id ? n : (size_t)id + 1;
		ix->by_id = mem_resize(ix->by_id, n, sizeof(*ix->by_id));
		memset(ix->by_id + ix->by_id_len, 0, (n - ix->by_id_len) * sizeof(*ix->by_id));
		ix->by_id_len = n;
	}
	struct entry *e = mem_new(struct entry, 1);
	e->own = labels_own(l);
	e->e = (struct index_entry){ .id = id, .l = e->own->l };
	ix->by_id[id] = &e->e;
	buf_clear(&ix->key);
	labels_key(l, &ix->key);
	void *old = map_set(&ix->keys, buf_str(&ix->key), &e->e);
	assert(!old);
	ids_add(&ix->all, id);
	for (size_t i = 0; i < e->e.l.len; i++)
		post(ix, &e->e.l.v[i], id);
	return &e->e;
}

static void unpost(struct index *ix, const struct label *l, uint32_t id)
{
	struct index_name *n = map_get(&ix->names, l->name);
	struct index_ids *ids = map_get(&n->values, l->value);
	ids_del(ids, id);
	if (ids->len)
		return;
	mem_free(ids->v);
	mem_free(map_del(&n->values, l->value));
	if (n->values.len == 0)
		name_free(map_del(&ix->names, l->name));
}

void index_del(struct index *ix, uint32_t id)
{
	struct index_entry *e = index_at(ix, id);
	assert(e);
	for (size_t i = 0; i < e->l.len; i++)
		unpost(ix, &e->l.v[i], id);
	ids_del(&ix->all, id);
	buf_clear(&ix->key);
	labels_key(e->l, &ix->key);
	(void)map_del(&ix->keys, buf_str(&ix->key));
	ix->by_id[id] = NULL;
	mem_free(((struct entry *)(void *)e)->own);
	mem_free(e);
}

/* ---- selection ---- */

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* The shortest list that holds every match; *empty when there can be none. */
static const struct index_ids *shortest(const struct index *ix, const struct matcher *m, size_t n,
					bool *empty)
{
	const struct index_ids *best = &ix->all;
	for (size_t i = 0; i < n; i++) {
		if (m[i].op != MATCHER_EQUAL || !m[i].value.len)
			continue;
		const struct index_ids *ids = postings(ix, m[i].name, m[i].value);
		if (!ids) {
			*empty = true;
			return best;
		}
		if (ids->len < best->len)
			best = ids;
	}
	return best;
}

/* Without an equality: the values that a regular expression takes, when it does not take "". */
static bool by_regex(const struct index *ix, const struct matcher *m, size_t n,
		     struct index_ids *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (m[i].op != MATCHER_REGEX || matcher_value(&m[i], STR("")))
			continue;
		const struct index_name *name = map_get(&ix->names, m[i].name);
		size_t pos = 0;
		struct str value;
		void *ids;
		while (name && map_next(&name->values, &pos, &value, &ids)) {
			const struct index_ids *list = ids;
			size_t take = matcher_value(&m[i], value) ? list->len : 0;
			for (size_t k = 0; k < take; k++) {
				mem_grow(ret->v, ret->len, ret->cap);
				ret->v[ret->len++] = list->v[k];
			}
		}
		if (ret->len)
			qsort(ret->v, ret->len, sizeof(*ret->v), by_id);
		return true;
	}
	return false;
}

void index_select(const struct index *ix, const struct matcher *m, size_t n, struct index_ids *ret)
{
	bool empty = false;
	struct index_ids found = { 0 };
	const struct index_ids *from = shortest(ix, m, n, &empty);
	if (empty)
		return;
	if (from == &ix->all && by_regex(ix, m, n, &found))
		from = &found;
	for (size_t i = 0; i < from->len; i++) {
		if (!matcher_all(m, n, ix->by_id[from->v[i]]->l))
			continue;
		mem_grow(ret->v, ret->len, ret->cap);
		ret->v[ret->len++] = from->v[i];
	}
	mem_free(found.v);
}

void index_names(const struct index *ix, void (*fn)(void *arg, struct str name), void *arg)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&ix->names, &pos, &key, &value))
		fn(arg, key);
}

void index_values(const struct index *ix, struct str name, void (*fn)(void *arg, struct str value),
		  void *arg)
{
	const struct index_name *n = map_get(&ix->names, name);
	size_t pos = 0;
	struct str key;
	void *value;
	while (n && map_next(&n->values, &pos, &key, &value))
		fn(arg, key);
}

void index_pairs(const struct index *ix,
		 void (*fn)(void *arg, struct str name, struct str value, size_t series), void *arg)
{
	size_t pos = 0;
	struct str name;
	void *v = NULL;
	while (map_next(&ix->names, &pos, &name, &v)) {
		const struct index_name *n = v;
		size_t at = 0;
		struct str value;
		void *ids = NULL;
		while (map_next(&n->values, &at, &value, &ids))
			fn(arg, name, value, ((const struct index_ids *)ids)->len);
	}
}
