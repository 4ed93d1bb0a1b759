/*
 * store - one ordered log of revisions and the current value of each key, in
 * PostgreSQL, SQLite or memory.
 *
 * Promises (docs/architecture.md, "Storage"):
 *   - a write is acknowledged only when durable (fsync on the database side);
 *     an acknowledged write is never lost, an unknown outcome is ERR_UNKNOWN;
 *   - revisions only grow; commit order is revision order; a revision is never
 *     used twice, not even after a failover or a restore (epochs);
 *   - events are handed out in revision order, each exactly once, only when
 *     durable, and before the writer of the same process gets its answer.
 *
 * How: a writer thread takes all that waits as one batch (group commit): no
 * timer, no artificial delay.  In PostgreSQL a batch is one statement that
 * locks the counter row first, so any number of processes may write; SQLite
 * has one process (the database file is locked).
 *
 * Keys are opaque here: 1..768 bytes of UTF-8 without NUL, compared as bytes.  Values are
 * opaque, 1 byte..value_bytes_max.
 *
 * Threads: store_submit() and store_rev() from any thread; callbacks run on
 * the store's own threads, one at a time, and must not block.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/metric.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

enum store_op {
	STORE_CREATE, /* ERR_EXISTS when the key is there */
	STORE_UPDATE, /* ERR_CONFLICT when the key's revision is not want_rev (or it is gone) */
	STORE_DELETE, /* likewise; `value` is the last state, recorded in the log */
};

struct store_write {
	enum store_op op;
	struct str key;      /* copied in */
	int64_t want_rev;    /* UPDATE, DELETE: the revision that the writer read */
	struct bytes *value; /* a reference is taken */
	/*
	 * Leader fencing (0 length = none): the write succeeds only while the
	 * fence `fence_key` stands at `fence_token`; else ERR_CONFLICT with
	 * store_result.fenced set.
	 */
	struct str fence_key;
	int64_t fence_token;
	/* Sets fence `set_fence_key` to `set_fence_token` with this write (Lease objects do this). */
	struct str set_fence_key;
	int64_t set_fence_token;
};

struct store_result {
	/*
	 * ERR_OK, ERR_EXISTS, ERR_CONFLICT, ERR_LIMIT (queue or disk full), ERR_UNAVAILABLE,
	 * ERR_UNKNOWN, ERR_INTERNAL; ERR_INVALID (key) and ERR_TOO_LARGE (value) for broken limits.
	 */
	enum err_code code;
	bool fenced;
	int64_t rev; /* ERR_OK: the revision of this write */
	char msg[160];
};

/* Results of all writes of one submission, in their order; lent until it returns. */
typedef void (*store_done_fn)(void *arg, const struct store_result *results, size_t n);

struct store_event {
	int64_t rev;
	enum store_op op;
	int64_t prev_rev; /* 0 for CREATE */
	int64_t create_rev; /* 0 = not known (older log row); else the revision of the key's creation */
	struct str key;
	struct bytes *value; /* the new value; DELETE: the last state */
};

/*
 * While store_open() runs: on_compacted with the oldest revision of the log, on_epoch for
 * each step ever made, on_load, on_history, then on_events(n = 0) with the revision reached.
 */
struct store_handlers {
	/* Each object once while store_open() runs, in key order (store thread or caller's; never at once). */
	void (*on_load)(void *arg, struct str key, int64_t rev, int64_t create_rev,
			struct bytes *value);
	/* Then the log from `compact_rev` on, oldest first, as events with rev <= loaded_rev. */
	void (*on_history)(void *arg, const struct store_event *ev);
	/*
	 * Then, for ever: batches of committed events in revision order, those of
	 * this process and of others.  `rev` = all up to here is delivered; n may be
	 * 0 (the counter moved without an event).  Lent until it returns; take
	 * references to keep values.
	 */
	void (*on_events)(void *arg, const struct store_event *ev, size_t n, int64_t rev);
	/* Revisions below `rev` are gone from the log: watches from there are 410. */
	void (*on_compacted)(void *arg, int64_t rev);
	/*
	 * An epoch step: the open interval (last, first) of revisions was never
	 * committed here; whoever holds one gets 410.  `first` itself is where the counter
	 * stood behind the step: lists are at it until the next write.
	 */
	void (*on_epoch)(void *arg, int64_t last, int64_t first);
	/*
	 * What was delivered is no longer the truth, or cannot be continued: a failover lost
	 * acknowledged writes that this process had seen, or others compacted the log while it was
	 * cut off.  The store answers nothing but ERR_UNAVAILABLE from here on; the process must
	 * start again.  NULL: abort().
	 */
	void (*on_lost)(void *arg, const char *why);
	void *arg;
};

struct store_config {
	const char *url; /* "sqlite:/path/file.db", "postgres://…[?schema=NAME]" or "memory:" */
	struct store_handlers handlers;
	struct metrics *metrics;   /* NULL = none */
	uint32_t batch_writes_max; /* default 512 */
	uint32_t batch_bytes_max;  /* default 4 MiB */
	uint32_t queue_writes_max; /* default 65536 waiting writes; more is ERR_LIMIT at once */
	uint64_t queue_bytes_max;  /* … and bytes of waiting values; default 256 MiB */
	uint32_t value_bytes_max;  /* default 3 MiB */
	uint64_t history_revs;  /* compaction keeps at least this many revisions; default 100,000 */
	uint64_t history_ms;    /* … and at least this much time; default 10 minutes */
	uint64_t history_bytes; /* … but at most this many bytes of values; default 256 MiB */
};
#define STORE_CONFIG_DEFAULTS \
	.batch_writes_max = 512, .batch_bytes_max = 4U << 20, .queue_writes_max = 65536, \
	.queue_bytes_max = 256ULL << 20, .value_bytes_max = 3U << 20, .history_revs = 100000, \
	.history_ms = 600000, .history_bytes = 256ULL << 20

/*
 * Opens or creates the database, takes it through on_load, on_history and then
 * starts.  ERR_UNAVAILABLE when the database does not answer, ERR_CONFLICT when
 * an SQLite file belongs to another process, ERR_INVALID for a bad URL or a schema of a newer version.
 * The password of a PostgreSQL URL comes from PGPASSFILE or the file itself, never from argv.
 */
ATTR_MUSTCHECK int store_open(const struct store_config *cfg, struct store **ret,
			      struct error *err);

/*
 * Finishes what was submitted (with ERR_UNAVAILABLE when the database is away), then stops.
 * Not from a callback.  Accepts NULL, returns NULL.
 */
struct store *store_close(struct store *s);

/*
 * Queues n writes (1..batch_writes_max).  atomic: all succeed at consecutive
 * revisions or none does (the others of a failed group answer ERR_CONFLICT with rev 0).
 * Always ends in one call of done, on a store thread; ERR_LIMIT (queue full) is
 * answered through done too, from within the call.
 */
void store_submit(struct store *s, const struct store_write *writes, size_t n, bool atomic,
		  store_done_fn done, void *arg);

/* Up to here all events were delivered. */
int64_t store_rev(const struct store *s);

/* Whether other processes write to the same store, so that a fresh read must ask it. */
bool store_is_shared(const struct store *s);

/*
 * Calls done(arg, code, rev) when all that was committed anywhere before this
 * call has been delivered through on_events (code 0), or ERR_UNAVAILABLE.  Calls that
 * come together share one question to the database.  At once when not shared.
 */
void store_sync(struct store *s, void (*done)(void *arg, enum err_code code, int64_t rev),
		void *arg);

/* Whether the last batch or probe reached the database, and none waits for over 10 s (for readyz). */
bool store_healthy(const struct store *s);

#endif
