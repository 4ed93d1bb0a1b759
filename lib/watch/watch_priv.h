/* watch_priv - what the files of the cache share: objects, the tree, the window of events. */
#ifndef WATCH_WATCH_PRIV_H
#define WATCH_WATCH_PRIV_H

#include "watch/watch.h"

#include <pthread.h>

/* ---- objects (watch_obj.c) ---- */

/*
 * Builds the block: `value` with "resourceVersion" put in, key and index behind it.  One reference.
 * A value that does not begin as the header says is kept as it is.
 */
struct watch_obj *watch_obj_new(struct str key, int64_t rev, int64_t create_rev, struct str value,
				const struct watch_index *ix);

/*
 * Where the object's key stands, for structures that compare keys much: reading the key from here
 * touches nothing else of the object.  Lives as long as the object.
 */
struct watch_tail;
const struct watch_tail *watch_obj_tail(const struct watch_obj *o);
struct str watch_tail_key(const struct watch_tail *t);

/* The JSON with another resourceVersion, appended. */
void watch_obj_with_rev(const struct watch_obj *o, int64_t rev, struct buf *out);

/* ---- the tree (watch_tree.c) ---- */

/*
 * A persistent B-tree.  A tree is a pointer to its root, NULL when empty, with one
 * reference; trees share nodes.  Changing takes the tree and gives another: nodes that
 * nobody else holds are changed in place, others are copied.  Reading and releasing
 * is safe from any thread, changing one tree from one.
 */
struct watch_node;

struct watch_node *watch_tree_ref(struct watch_node *root); /* NULL is allowed */
void watch_tree_unref(struct watch_node *root);

/* Takes the reference of o; *ret_old (with its reference) is what it replaces, or NULL. */
struct watch_node *watch_tree_put(struct watch_node *root, struct watch_obj *o,
				  struct watch_obj **ret_old);
struct watch_node *watch_tree_del(struct watch_node *root, struct str key,
				  struct watch_obj **ret_old);

struct watch_obj *watch_tree_find(const struct watch_node *root, struct str key);
size_t watch_tree_count(const struct watch_node *root, struct str prefix);
void watch_tree_walk(const struct watch_node *root, struct str prefix, struct str from,
		     bool (*fn)(void *arg, struct watch_obj *o), void *arg);

/* Asserts the tree's shape; the number of objects.  For tests. */
size_t watch_tree_check(const struct watch_node *root);

/* ---- the window (watch_window.c) ---- */

/*
 * The last events in chunks that hang together: a reader that holds one reaches all
 * behind it without a lock, also when the window has moved on.  Appending and
 * dropping from one thread, under the lock of the cache where said.
 */
struct watch_chunk {
	_Atomic uint32_t refs;
	_Atomic uint32_t n;                 /* grows until the chunk is full */
	_Atomic(struct watch_chunk *) next; /* holds a reference */
	size_t bytes;
	struct watch_event *ev[];
};

struct watch_window {
	struct watch_chunk **v; /* oldest first, each with a reference */
	size_t head, n, cap;    /* v[head .. head + n) */
	uint32_t chunk_events;
	size_t chunk_bytes;
	size_t events_max, bytes_max;
	size_t events, bytes;
};

void watch_window_init(struct watch_window *w, size_t events_max, size_t bytes_max);
void watch_window_fini(struct watch_window *w);

/* Takes the event.  `lock` is held only while the list of chunks changes. */
void watch_window_add(struct watch_window *w, struct watch_event *e, pthread_mutex_t *lock);

/*
 * Takes the oldest chunk out while the window is over its limits, or all events of the
 * chunk are below `rev`.  *floor rises to the last revision taken out, under the same lock, so
 * that no reader finds a window that begins behind what it was promised.
 */
void watch_window_trim(struct watch_window *w, int64_t rev, int64_t *floor, pthread_mutex_t *lock);

/* Under the lock: the chunk that holds the first event behind `rev`, with a reference, or NULL. */
struct watch_chunk *watch_window_from(const struct watch_window *w, int64_t rev);
void watch_chunk_unref(struct watch_chunk *c);

/* The event's cost in the window. */
size_t watch_event_bytes(const struct watch_event *e);

struct watch_event *watch_event_new(enum watch_type type, int64_t rev, struct watch_obj *obj,
				    struct watch_obj *prev);

#endif
