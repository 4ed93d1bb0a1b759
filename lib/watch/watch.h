/*
 * watch - the server's memory: every object as encoded JSON in a persistent
 * (copy-on-write) ordered tree, and the recent events for watchers.
 *
 * Fed by the store's callbacks on the store's thread; read by all loops.
 * Readers never block the writer: they take a snapshot (one reference) and walk
 * it for as long as they like.  Snapshots of different revisions share what is equal.
 *
 * Keys are "GROUP/RESOURCE/NAMESPACE/NAME" ("" for the core group and for
 * cluster-scoped objects: "/pods/default/web-1", "apps/deployments/default/web",
 * "/nodes//n1"), so one resource, and one namespace in it, is a range.
 *
 * The store's value is the object's JSON without metadata.resourceVersion; it
 * begins with {"apiVersion":…,"kind":…,"metadata":{ in this order.  The cache
 * puts "resourceVersion":"N", behind that brace once, when the event arrives.
 */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/metric.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store_event;
struct watch_cache;
struct watch_snap;

/* ---- objects: immutable, counted ---- */

/*
 * An object is one block of memory that starts with a struct bytes, its final
 * JSON (metadata.resourceVersion in it); behind the text stand revision, key and
 * index.  So the bytes of an object are the object: they share one count, and a
 * response that holds the bytes holds the object without a copy.
 *
 * Labels, fields and owners are offsets into the JSON where the text stands
 * there as it is, else into a decoded copy at the end of the block.
 */
struct watch_obj;

int64_t watch_obj_rev(const struct watch_obj *o);
int64_t watch_obj_create_rev(const struct watch_obj *o);

/* The JSON as bytes, borrowed: bytes_ref() to keep. */
struct bytes *watch_obj_bytes(struct watch_obj *o);

size_t watch_obj_labels(const struct watch_obj *o); /* number of labels */
size_t watch_obj_fields(
	const struct watch_obj *o); /* of selectable field values, in the order of the kind */
size_t watch_obj_owners(const struct watch_obj *o); /* of owner references (their uids) */

/* The value of label `key`; false when the object has none. */
bool watch_obj_label(const struct watch_obj *o, struct str key, struct str *ret);

struct watch_obj *watch_obj_ref(struct watch_obj *o);
void watch_obj_unref(struct watch_obj *o);
struct str watch_obj_key(const struct watch_obj *o);
struct str watch_obj_name(const struct watch_obj *o);
struct str watch_obj_namespace(const struct watch_obj *o);
struct str watch_obj_json(const struct watch_obj *o);
struct str watch_obj_label_key(const struct watch_obj *o, size_t i);
struct str watch_obj_label_value(const struct watch_obj *o, size_t i);
struct str watch_obj_field(const struct watch_obj *o, size_t i);
struct str watch_obj_owner_uid(const struct watch_obj *o, size_t i);

/* ---- what the cache is told of a value: called on the store's thread ---- */

enum { WATCH_LABELS_MAX = 256, WATCH_FIELDS_MAX = 16, WATCH_OWNERS_MAX = 64 };

struct watch_index {
	struct str label_key[WATCH_LABELS_MAX], label_value[WATCH_LABELS_MAX];
	struct str field[WATCH_FIELDS_MAX];
	struct str owner_uid[WATCH_OWNERS_MAX];
	size_t labels, fields, owners;
};

/*
 * Fills *ix from the value (the strings may point into it or into memory that
 * lives until the next call).
 */
typedef void (*watch_index_fn)(void *arg, struct str key, struct str json, struct watch_index *ix);

/* ---- events ---- */

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED };

struct watch_event {
	_Atomic uint32_t refs;
	enum watch_type type;
	int64_t rev;
	struct watch_obj *obj; /* DELETED: last state, with resourceVersion = rev of the deletion */
	/*
	 * The state before; NULL for ADDED, and for the first event of a key in the
	 * history that was read at start, where nobody knows it any more: a filter then
	 * treats the object as if it had matched before.
	 */
	struct watch_obj *prev;
	/* Made by watch_event_line() on first use, by type. */
	_Atomic(struct bytes *) line[3];
};

struct watch_event *watch_event_ref(struct watch_event *e);
void watch_event_unref(struct watch_event *e);

/*
 * The event as one watch line {"type":…,"object":…}\n of type `as`, encoded once and
 * shared by all watchers.  MODIFIED as DELETED (the object left a filter) carries
 * the state before with the new revision, as Kubernetes does.  A reference for the caller.
 */
struct bytes *watch_event_line(struct watch_event *e, enum watch_type as);

/* ---- the cache ---- */

struct watch_config {
	watch_index_fn index;
	void *index_arg;
	size_t window_events; /* kept for watchers, and up to a sixteenth more; default (0) 100,000 */
	size_t window_bytes; /* … and at most so many bytes of values; default (0) 64 MiB */
	/* Called on the store's thread after each batch is visible (a few ns: post and return). */
	void (*on_batch)(void *arg, struct watch_event *const *ev, size_t n, int64_t rev);
	void *on_batch_arg;
	struct metrics *metrics; /* may be NULL */
};

struct watch_cache *watch_cache_new(const struct watch_config *cfg);

/* All snapshots must be released and all readers gone. */
struct watch_cache *watch_cache_free(struct watch_cache *c);

/* The store's handlers (store/store.h), to be wired by whoever opens the store. */
void watch_cache_load(void *c, struct str key, int64_t rev, int64_t create_rev,
		      struct bytes *value);
void watch_cache_history(void *c, const struct store_event *ev);
void watch_cache_events(void *c, const struct store_event *ev, size_t n, int64_t rev);
void watch_cache_compacted(void *c, int64_t rev);
void watch_cache_epoch(void *c, int64_t last, int64_t first);

/* Revision up to which everything is in the cache. Any thread. */
int64_t watch_cache_rev(const struct watch_cache *c);

/* ---- reading ---- */

/* The newest state.  Cheap; release soon, or keep it for a paged list. */
struct watch_snap *watch_snap_get(struct watch_cache *c);
struct watch_snap *watch_snap_ref(struct watch_snap *s);
void watch_snap_unref(struct watch_snap *s);
int64_t watch_snap_rev(const struct watch_snap *s);

/* The object, borrowed from the snapshot, or NULL. */
struct watch_obj *watch_snap_find(const struct watch_snap *s, struct str key);

/*
 * Walks the objects with from <= key and key starting with `prefix`, in key
 * order; fn returns false to stop.  Borrowed from the snapshot.
 */
void watch_snap_walk(const struct watch_snap *s, struct str prefix, struct str from,
		     bool (*fn)(void *arg, struct watch_obj *o), void *arg);

/* Number of objects whose key starts with prefix (O(log n), counts are kept in the tree). */
size_t watch_snap_count(const struct watch_snap *s, struct str prefix);

/*
 * Keeps the snapshot for continue tokens for about 5 minutes (at most 1,000 of
 * them); watch_snap_at() gives a kept one back, or NULL when it is gone.
 */
void watch_snap_keep(struct watch_cache *c, struct watch_snap *s, uint64_t now_ms);
struct watch_snap *watch_snap_at(struct watch_cache *c, int64_t rev, uint64_t now_ms);

/*
 * The events with rev > from of keys that start with prefix, oldest first, each
 * lent to fn; they end at *ret_rev (then on_batch's go on without a gap when
 * the caller compares revisions).  ERR_EXPIRED when `from` is below the window
 * or inside a closed epoch interval; ERR_TIMEOUT when it lies in the future (the caller waits).
 */
ATTR_MUSTCHECK int watch_replay(struct watch_cache *c, int64_t from, struct str prefix,
				void (*fn)(void *arg, struct watch_event *e), void *arg,
				int64_t *ret_rev, struct error *err);

/* The oldest revision that watch_replay() goes on from, at this moment. */
int64_t watch_cache_floor(struct watch_cache *c);

/* ERR_EXPIRED when a holder of `rev` must relist, else 0. */
ATTR_MUSTCHECK int watch_check_rev(struct watch_cache *c, int64_t rev, struct error *err);

#endif
