#include "base/mem.h"
#include "watch/watch_priv.h"

#include <assert.h>

enum { CHUNKS = 16, CHUNK_EVENTS_MAX = 256 };

void watch_window_init(struct watch_window *w, size_t events_max, size_t bytes_max)
{
	size_t events = events_max / CHUNKS;
	*w = (struct watch_window){
		.chunk_events = (uint32_t)(events < 1                  ? 1
					   : events > CHUNK_EVENTS_MAX ? CHUNK_EVENTS_MAX
								       : events),
		.chunk_bytes = bytes_max / CHUNKS,
		.events_max = events_max,
		.bytes_max = bytes_max,
	};
}

void watch_window_fini(struct watch_window *w)
{
	for (size_t i = 0; i < w->n; i++)
		watch_chunk_unref(w->v[w->head + i]);
	mem_free(w->v);
	*w = (struct watch_window){ 0 };
}

void watch_chunk_unref(struct watch_chunk *c)
{
	while (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
		struct watch_chunk *next = atomic_load_explicit(&c->next, memory_order_acquire);
		uint32_t n = atomic_load_explicit(&c->n, memory_order_acquire);
		for (uint32_t i = 0; i < n; i++)
			watch_event_unref(c->ev[i]);
		mem_free(c);
		c = next;
	}
}

static struct watch_chunk *last_chunk(const struct watch_window *w)
{
	return w->n ? w->v[w->head + w->n - 1] : NULL;
}

/* Under the lock. */
static void push(struct watch_window *w, struct watch_chunk *c)
{
	if (w->head + w->n == w->cap && w->head > w->cap / 2) {
		memmove(w->v, w->v + w->head, w->n * sizeof(w->v[0]));
		w->head = 0;
	} else if (w->head + w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : CHUNKS;
		w->v = mem_resize(w->v, w->cap, sizeof(w->v[0]));
	}
	w->v[w->head + w->n++] = c;
}

void watch_window_add(struct watch_window *w, struct watch_event *e, pthread_mutex_t *lock)
{
	size_t bytes = watch_event_bytes(e);
	struct watch_chunk *last = last_chunk(w);
	uint32_t n = last ? atomic_load_explicit(&last->n, memory_order_relaxed) : 0;
	w->events++;
	w->bytes += bytes;
	if (last && n < w->chunk_events && last->bytes + bytes <= w->chunk_bytes) {
		last->ev[n] = e;
		last->bytes += bytes;
		atomic_store_explicit(&last->n, n + 1, memory_order_release);
		return;
	}
	struct watch_chunk *c = mem_new_flex(struct watch_chunk, ev, w->chunk_events);
	atomic_init(&c->refs, last ? 2 : 1); /* the list's, and that of the chunk before */
	atomic_init(&c->n, 1);
	c->ev[0] = e;
	c->bytes = bytes;
	pthread_mutex_lock(lock);
	if (last)
		atomic_store_explicit(&last->next, c, memory_order_release);
	push(w, c);
	pthread_mutex_unlock(lock);
}

static int64_t last_rev(const struct watch_chunk *c)
{
	return c->ev[atomic_load_explicit(&c->n, memory_order_acquire) - 1]->rev;
}

void watch_window_trim(struct watch_window *w, int64_t rev, int64_t *floor, pthread_mutex_t *lock)
{
	while (w->n > 1) {
		struct watch_chunk *c = w->v[w->head];
		uint32_t n = atomic_load_explicit(&c->n, memory_order_relaxed);
		bool old = last_rev(c) < rev;
		if (!old && w->events - n < w->events_max && w->bytes <= w->bytes_max)
			break;
		pthread_mutex_lock(lock);
		if (last_rev(c) > *floor)
			*floor = last_rev(c);
		w->head++;
		w->n--;
		pthread_mutex_unlock(lock);
		w->events -= n;
		w->bytes -= c->bytes;
		watch_chunk_unref(c);
	}
}

struct watch_chunk *watch_window_from(const struct watch_window *w, int64_t rev)
{
	size_t from = 0;
	size_t to = w->n;
	while (from < to) {
		size_t mid = (from + to) / 2;
		if (last_rev(w->v[w->head + mid]) <= rev)
			from = mid + 1;
		else
			to = mid;
	}
	if (from == w->n)
		return NULL;
	struct watch_chunk *c = w->v[w->head + from];
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

/* ---- events ---- */

struct watch_event *watch_event_new(enum watch_type type, int64_t rev, struct watch_obj *obj,
				    struct watch_obj *prev)
{
	struct watch_event *e = mem_new(struct watch_event, 1);
	atomic_init(&e->refs, 1);
	e->type = type;
	e->rev = rev;
	e->obj = obj;
	e->prev = prev;
	return e;
}

struct watch_event *watch_event_ref(struct watch_event *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void watch_event_unref(struct watch_event *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	watch_obj_unref(e->obj);
	watch_obj_unref(e->prev);
	for (size_t i = 0; i < sizeof(e->line) / sizeof(e->line[0]); i++)
		bytes_unref(atomic_load_explicit(&e->line[i], memory_order_acquire));
	mem_free(e);
}

/* The state before goes when the object is changed again: it counts here, not in the tree. */
size_t watch_event_bytes(const struct watch_event *e)
{
	return sizeof(*e) + watch_obj_json(e->obj).len;
}

static struct bytes *encode(const struct watch_event *e, enum watch_type as)
{
	static const char *const NAMES[] = { "ADDED", "MODIFIED", "DELETED" };
	struct buf b = { 0 };
	bool left = e->type == WATCH_MODIFIED && as == WATCH_DELETED && e->prev;
	buf_reserve(&b, watch_obj_json(left ? e->prev : e->obj).len + 64);
	buf_adds(&b, "{\"type\":\"");
	buf_adds(&b, NAMES[as]);
	buf_adds(&b, "\",\"object\":");
	if (left)
		watch_obj_with_rev(e->prev, e->rev, &b);
	else
		buf_add_str(&b, watch_obj_json(e->obj));
	buf_adds(&b, "}\n");
	struct bytes *line = bytes_of_str(buf_str(&b));
	buf_fini(&b);
	return line;
}

struct bytes *watch_event_line(struct watch_event *e, enum watch_type as)
{
	assert(as >= WATCH_ADDED && as <= WATCH_DELETED);
	struct bytes *line = atomic_load_explicit(&e->line[as], memory_order_acquire);
	if (!line) {
		struct bytes *made = encode(e, as);
		if (atomic_compare_exchange_strong(&e->line[as], &line, made))
			line = made;
		else
			bytes_unref(made); /* another thread was first */
	}
	return bytes_ref(line);
}
