#include "watch/watch.h"

#include "base/map.h"
#include "base/mem.h"
#include "store/store.h"
#include "watch/watch_priv.h"

#include <assert.h>

enum {
	WINDOW_EVENTS = 100000,
	KEPT_MAX = 1000,
	KEPT_MS = 5 * 60 * 1000,
	EPOCHS_MAX = 64, /* older intervals lie far below any window */
};

static const size_t WINDOW_BYTES = 64U << 20;

struct watch_snap {
	_Atomic uint32_t refs;
	int64_t rev;
	struct watch_node *root;
};

struct kept {
	struct watch_snap *snap;
	uint64_t until_ms;
};

struct epoch {
	int64_t last, first;
};

struct watch_cache {
	struct watch_config cfg;

	/* the store's thread alone */
	struct watch_node *root;
	struct watch_index *ix;
	struct watch_event **batch;
	size_t batch_len, batch_cap;
	struct map history; /* the last object of each key in the history at start */
	int64_t loaded;     /* highest revision of on_load */
	bool live;          /* the first on_events came */

	/* by all, under the lock; the writer reads its own writes without it */
	pthread_mutex_t lock;
	struct watch_snap *snap;
	struct watch_window window;
	int64_t floor; /* watches from below it are 410 */
	bool floor_known;
	struct epoch epochs[EPOCHS_MAX];
	size_t epochs_len;
	struct kept kept[KEPT_MAX];
	size_t kept_len;

	_Atomic int64_t rev;
	_Atomic int64_t objects, window_events, window_bytes;
};

/* ---- snapshots ---- */

static struct watch_snap *snap_new(int64_t rev, struct watch_node *root)
{
	struct watch_snap *s = mem_new(struct watch_snap, 1);
	atomic_init(&s->refs, 1);
	s->rev = rev;
	s->root = watch_tree_ref(root);
	return s;
}

struct watch_snap *watch_snap_ref(struct watch_snap *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void watch_snap_unref(struct watch_snap *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	watch_tree_unref(s->root);
	mem_free(s);
}

struct watch_snap *watch_snap_get(struct watch_cache *c)
{
	pthread_mutex_lock(&c->lock);
	struct watch_snap *s = watch_snap_ref(c->snap);
	pthread_mutex_unlock(&c->lock);
	return s;
}

int64_t watch_snap_rev(const struct watch_snap *s)
{
	return s->rev;
}

struct watch_obj *watch_snap_find(const struct watch_snap *s, struct str key)
{
	return watch_tree_find(s->root, key);
}

void watch_snap_walk(const struct watch_snap *s, struct str prefix, struct str from,
		     bool (*fn)(void *arg, struct watch_obj *o), void *arg)
{
	watch_tree_walk(s->root, prefix, from, fn, arg);
}

size_t watch_snap_count(const struct watch_snap *s, struct str prefix)
{
	return watch_tree_count(s->root, prefix);
}

/* ---- kept snapshots: oldest first ---- */

/* Takes entry i out; its snapshot is the caller's to release, outside of the lock. */
static struct watch_snap *unkeep(struct watch_cache *c, size_t i)
{
	struct watch_snap *s = c->kept[i].snap;
	c->kept_len--;
	memmove(&c->kept[i], &c->kept[i + 1], (c->kept_len - i) * sizeof(c->kept[0]));
	return s;
}

static struct watch_snap *unkeep_one_old(struct watch_cache *c, uint64_t now_ms, size_t room)
{
	struct watch_snap *s = NULL;
	pthread_mutex_lock(&c->lock);
	if (c->kept_len > 0 && (c->kept[0].until_ms <= now_ms || c->kept_len > KEPT_MAX - room))
		s = unkeep(c, 0);
	pthread_mutex_unlock(&c->lock);
	return s;
}

static void drop_old(struct watch_cache *c, uint64_t now_ms, size_t room)
{
	for (struct watch_snap *s = unkeep_one_old(c, now_ms, room); s;
	     s = unkeep_one_old(c, now_ms, room))
		watch_snap_unref(s);
}

void watch_snap_keep(struct watch_cache *c, struct watch_snap *s, uint64_t now_ms)
{
	drop_old(c, now_ms, 1);
	struct watch_snap *twin = NULL;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->kept_len && !twin; i++) {
		if (c->kept[i].snap->rev == s->rev)
			twin = unkeep(c, i);
	}
	struct watch_snap *crowded = c->kept_len == KEPT_MAX ? unkeep(c, 0) : NULL;
	c->kept[c->kept_len++] = (struct kept){ watch_snap_ref(s), now_ms + KEPT_MS };
	pthread_mutex_unlock(&c->lock);
	watch_snap_unref(twin);
	watch_snap_unref(crowded);
}

struct watch_snap *watch_snap_at(struct watch_cache *c, int64_t rev, uint64_t now_ms)
{
	drop_old(c, now_ms, 0);
	struct watch_snap *s = NULL;
	pthread_mutex_lock(&c->lock);
	if (c->snap->rev == rev)
		s = watch_snap_ref(c->snap);
	for (size_t i = 0; i < c->kept_len && !s; i++) {
		if (c->kept[i].snap->rev == rev)
			s = watch_snap_ref(c->kept[i].snap);
	}
	pthread_mutex_unlock(&c->lock);
	return s;
}

/* ---- the cache ---- */

static int64_t metric_of(void *arg)
{
	return atomic_load_explicit((_Atomic int64_t *)arg, memory_order_relaxed);
}

struct watch_cache *watch_cache_new(const struct watch_config *cfg)
{
	struct watch_cache *c = mem_new(struct watch_cache, 1);
	c->cfg = *cfg;
	c->ix = mem_new(struct watch_index, 1);
	pthread_mutex_init(&c->lock, NULL);
	c->snap = snap_new(0, NULL);
	watch_window_init(&c->window, cfg->window_events ? cfg->window_events : WINDOW_EVENTS,
			  cfg->window_bytes ? cfg->window_bytes : WINDOW_BYTES);
	if (cfg->metrics) {
		metric_gauge_fn(cfg->metrics, "rctl_watch_objects", "", "Objects in memory",
				metric_of, &c->objects);
		metric_gauge_fn(cfg->metrics, "rctl_watch_window_events", "",
				"Events kept for watchers", metric_of, &c->window_events);
		metric_gauge_fn(cfg->metrics, "rctl_watch_window_bytes", "",
				"Bytes of the events kept for watchers", metric_of,
				&c->window_bytes);
	}
	return c;
}

static void forget_history(struct watch_cache *c)
{
	size_t pos = 0;
	void *o = NULL;
	while (map_next(&c->history, &pos, NULL, &o))
		watch_obj_unref(o);
	map_fini(&c->history);
}

struct watch_cache *watch_cache_free(struct watch_cache *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->kept_len; i++)
		watch_snap_unref(c->kept[i].snap);
	watch_snap_unref(c->snap);
	watch_tree_unref(c->root);
	watch_window_fini(&c->window);
	forget_history(c);
	pthread_mutex_destroy(&c->lock);
	mem_free(c->batch);
	mem_free(c->ix);
	mem_free(c);
	return NULL;
}

int64_t watch_cache_rev(const struct watch_cache *c)
{
	return atomic_load_explicit(&c->rev, memory_order_acquire);
}

static struct watch_obj *build(struct watch_cache *c, struct str key, int64_t rev,
			       int64_t create_rev, const struct bytes *value)
{
	struct str json = bytes_str(value);
	c->ix->labels = c->ix->fields = c->ix->owners = 0;
	if (c->cfg.index)
		c->cfg.index(c->cfg.index_arg, key, json, c->ix);
	return watch_obj_new(key, rev, create_rev, json, c->ix);
}

static void set_floor(struct watch_cache *c, int64_t rev)
{
	pthread_mutex_lock(&c->lock);
	if (rev > c->floor)
		c->floor = rev;
	pthread_mutex_unlock(&c->lock);
}

static void add_to_window(struct watch_cache *c, struct watch_event *e)
{
	watch_window_add(&c->window, e, &c->lock);
}

static void trim_window(struct watch_cache *c, int64_t rev)
{
	watch_window_trim(&c->window, rev, &c->floor, &c->lock);
	atomic_store_explicit(&c->window_events, (int64_t)c->window.events, memory_order_relaxed);
	atomic_store_explicit(&c->window_bytes, (int64_t)c->window.bytes, memory_order_relaxed);
}

/* ---- while the store opens ---- */

void watch_cache_load(void *arg, struct str key, int64_t rev, int64_t create_rev,
		      struct bytes *value)
{
	struct watch_cache *c = arg;
	assert(!c->live);
	struct watch_obj *old = NULL;
	c->root = watch_tree_put(c->root, build(c, key, rev, create_rev, value), &old);
	watch_obj_unref(old);
	if (rev > c->loaded)
		c->loaded = rev;
}

static enum watch_type type_of(enum store_op op)
{
	return op == STORE_CREATE   ? WATCH_ADDED
	       : op == STORE_UPDATE ? WATCH_MODIFIED
				    : WATCH_DELETED;
}

void watch_cache_history(void *arg, const struct store_event *ev)
{
	struct watch_cache *c = arg;
	assert(!c->live);
	struct watch_obj *now = watch_tree_find(c->root, ev->key);
	struct watch_obj *prev = map_get(&c->history, ev->key);
	struct watch_obj *o = NULL;
	if (now && watch_obj_rev(now) == ev->rev)
		o = watch_obj_ref(now);
	else
		o = build(c, ev->key, ev->rev, ev->create_rev, ev->value);
	if (prev && watch_obj_rev(prev) != ev->prev_rev)
		prev = NULL;
	if (prev)
		(void)watch_obj_ref(prev);
	struct watch_obj *was = NULL;
	if (ev->op == STORE_DELETE)
		was = map_del(&c->history, ev->key);
	else
		was = map_set(&c->history, ev->key, watch_obj_ref(o));
	watch_obj_unref(was);
	add_to_window(c, watch_event_new(type_of(ev->op), ev->rev, o, prev));
	trim_window(c, 0);
}

/* ---- events ---- */

static struct watch_event *apply(struct watch_cache *c, const struct store_event *ev)
{
	struct watch_obj *old = watch_tree_find(c->root, ev->key);
	int64_t create_rev = ev->create_rev;
	if (create_rev == 0 && old)
		create_rev = watch_obj_create_rev(old);
	struct watch_obj *o = build(c, ev->key, ev->rev, create_rev, ev->value);
	if (ev->op == STORE_DELETE)
		c->root = watch_tree_del(c->root, ev->key, &old);
	else
		c->root = watch_tree_put(c->root, watch_obj_ref(o), &old);
	return watch_event_new(type_of(ev->op), ev->rev, o, old);
}

/* The window first: whoever sees the revision finds its events. */
static void publish(struct watch_cache *c, int64_t rev)
{
	for (size_t i = 0; i < c->batch_len; i++)
		add_to_window(c, watch_event_ref(c->batch[i]));
	struct watch_snap *s = snap_new(rev, c->root);
	pthread_mutex_lock(&c->lock);
	struct watch_snap *old = c->snap;
	c->snap = s;
	atomic_store_explicit(&c->rev, rev, memory_order_release);
	pthread_mutex_unlock(&c->lock);
	watch_snap_unref(old);
	trim_window(c, 0);
	atomic_store_explicit(&c->objects, (int64_t)watch_tree_count(c->root, STR("")),
			      memory_order_relaxed);
}

static void go_live(struct watch_cache *c)
{
	c->live = true;
	forget_history(c);
	if (!c->floor_known) /* nobody said how far back the history goes */
		set_floor(c, c->loaded);
}

void watch_cache_events(void *arg, const struct store_event *ev, size_t n, int64_t rev)
{
	struct watch_cache *c = arg;
	if (!c->live)
		go_live(c);
	if (n > c->batch_cap) {
		c->batch_cap = n;
		c->batch = mem_resize(c->batch, n, sizeof(c->batch[0]));
	}
	for (size_t i = 0; i < n; i++)
		c->batch[i] = apply(c, &ev[i]);
	c->batch_len = n;
	publish(c, rev);
	if (c->cfg.on_batch)
		c->cfg.on_batch(c->cfg.on_batch_arg, c->batch, n, rev);
	for (size_t i = 0; i < n; i++)
		watch_event_unref(c->batch[i]);
	c->batch_len = 0;
}

void watch_cache_compacted(void *arg, int64_t rev)
{
	struct watch_cache *c = arg;
	c->floor_known = true;
	set_floor(c, rev);
	trim_window(c, rev);
}

void watch_cache_epoch(void *arg, int64_t last, int64_t first)
{
	struct watch_cache *c = arg;
	pthread_mutex_lock(&c->lock);
	if (c->epochs_len == EPOCHS_MAX) {
		/* What was known of the oldest is kept by the floor. */
		if (c->floor < c->epochs[0].first)
			c->floor = c->epochs[0].first;
		memmove(&c->epochs[0], &c->epochs[1], (EPOCHS_MAX - 1) * sizeof(c->epochs[0]));
		c->epochs_len--;
	}
	c->epochs[c->epochs_len++] = (struct epoch){ last, first };
	pthread_mutex_unlock(&c->lock);
}

/* ---- replay ---- */

/* Under the lock. */
static int check_rev(const struct watch_cache *c, int64_t rev, struct error *err)
{
	if (rev < c->floor)
		return error_set(err, ERR_EXPIRED, "too old resource version: %lld (%lld)",
				 (long long)rev, (long long)c->floor);
	for (size_t i = 0; i < c->epochs_len; i++) {
		if (rev > c->epochs[i].last && rev < c->epochs[i].first)
			return error_set(err, ERR_EXPIRED,
					 "resource version %lld was lost in a failover",
					 (long long)rev);
	}
	return 0;
}

int64_t watch_cache_floor(struct watch_cache *c)
{
	pthread_mutex_lock(&c->lock);
	int64_t floor = c->floor;
	pthread_mutex_unlock(&c->lock);
	return floor;
}

int watch_check_rev(struct watch_cache *c, int64_t rev, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	int rc = check_rev(c, rev, err);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

int watch_replay(struct watch_cache *c, int64_t from, struct str prefix,
		 void (*fn)(void *arg, struct watch_event *e), void *arg, int64_t *ret_rev,
		 struct error *err)
{
	pthread_mutex_lock(&c->lock);
	int64_t to = c->snap->rev;
	int rc = check_rev(c, from, err);
	if (rc == 0 && from > to)
		rc = error_set(err, ERR_TIMEOUT, "too large resource version: %lld, current: %lld",
			       (long long)from, (long long)to);
	struct watch_chunk *first = rc == 0 ? watch_window_from(&c->window, from) : NULL;
	pthread_mutex_unlock(&c->lock);
	if (rc < 0)
		return rc;
	bool more = true;
	for (struct watch_chunk *k = first; k && more;
	     k = atomic_load_explicit(&k->next, memory_order_acquire)) {
		uint32_t n = atomic_load_explicit(&k->n, memory_order_acquire);
		for (uint32_t i = 0; i < n && more; i++) {
			struct watch_event *e = k->ev[i];
			more = e->rev <= to;
			if (more && e->rev > from && str_starts(watch_obj_key(e->obj), prefix))
				fn(arg, e);
		}
	}
	watch_chunk_unref(first);
	*ret_rev = to;
	return 0;
}
