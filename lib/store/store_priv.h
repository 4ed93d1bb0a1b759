/*
 * store_priv - what the files of the store share: the queue and its writer
 * thread (store.c, store_writer.c), the policy of compaction (store_history.c)
 * and the contract of a backend.
 *
 * Threads: the writer thread alone calls the backend's commit, catch_up and
 * compact.  `delivering` orders all callbacks; nobody holds it while the
 * database is asked.  A lock order is needed nowhere: no thread holds two.
 */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STORE_KEY_BYTES_MAX = 768 };

/* An epoch step moves the counter by at least this much: more than any lost tail can hold. */
#define STORE_EPOCH_STEP (INT64_C(1) << 32)

/*
 * The counter behind an epoch step from `rev`.  The same backup restored twice, or a standby that never saw the step of
 * another, steps twice from one place: so it moves on to 2^30 revisions for each second since 2020 too, which is
 * above all that a branch which stepped a second ago or earlier has reached.
 */
int64_t store_epoch_rev(int64_t rev, int64_t unix_ms);

/* ---- what waits ---- */

struct store_sub;

struct store_item {
	struct store_item *next;
	struct store_sub *sub;
	enum store_op op;
	struct str key, fence_key, set_fence_key; /* in the submission's memory */
	int64_t want_rev, fence_token, set_fence_token;
	int64_t create_rev; /* set by commit where the backend knows it at no cost, else 0 */
	struct bytes *value;
	struct store_result *result;
};

/* One call of store_submit(): one allocation with results, items and keys behind it. */
struct store_sub {
	store_done_fn done;
	void *arg;
	uint64_t since_ms;
	size_t n, left; /* left: items without a result */
	bool atomic;    /* and n > 1 */
	struct store_result *results;
	struct store_item items[];
};

/* ---- one commit ---- */

struct store_batch {
	struct store_item **items;
	size_t n;
	/* Set by commit: the counter before and after. */
	int64_t base, rev;
};

/* Marks of keys that a batch touches, as hashes: a chance hit only makes a write wait. */
enum { STORE_MARKS = 8192 };
struct store_marks {
	struct {
		uint64_t hash;
		uint64_t turn;
	} slot[STORE_MARKS];
	uint64_t turn, seed;
	size_t used;
};

/* ---- compaction's policy ---- */

enum { STORE_HISTORY_MARKS = 512 };

struct store_history {
	struct store_history_mark {
		uint64_t ms;
		int64_t rev;
		uint64_t bytes; /* of all values up to rev */
	} mark[STORE_HISTORY_MARKS];
	size_t n;
	uint64_t bytes;
};

struct store_history_limits {
	uint64_t revs, ms, bytes;
};

/* Counts `bytes` of values at `rev`. */
void store_history_note(struct store_history *h, const struct store_history_limits *l,
			uint64_t now_ms, int64_t rev, uint64_t bytes);

/* The revision below which the log may go now; 0 = nothing. */
int64_t store_history_target(const struct store_history *h, const struct store_history_limits *l,
			     uint64_t now_ms, int64_t rev);

/* Forgets what lies below `rev`. */
void store_history_drop(struct store_history *h, int64_t rev);

/* ---- backends ---- */

struct store_ops {
	/* Whether a batch may hold atomic groups beside other writes. */
	bool mixes_groups;
	/* Other processes may write: every question goes through sync. */
	bool shared;
	/*
	 * Opens the database and hands out compacted revision, epochs, objects and
	 * history; sets s->delivered to the counter.  On failure close is called.
	 */
	int (*open)(struct store *s, struct error *err);
	/* After s->delivered stands: threads of the backend's own. */
	int (*start)(struct store *s, struct error *err); /* may be NULL */
	/*
	 * Commits the batch, fills every item's result (code, rev, fenced), base and rev.
	 * ERR_UNKNOWN: it may have happened; ERR_UNAVAILABLE: nothing was done, try again;
	 * ERR_LIMIT: nothing was done and no part of it would fare better; else
	 * nothing was done because of one of the writes.
	 */
	int (*commit)(struct store *s, struct store_batch *b, struct error *err);
	/* Delivers the log behind s->delivered up to `rev` (what this process did not commit or know). */
	int (*catch_up)(struct store *s, int64_t rev, struct error *err);
	/* After ERR_UNKNOWN: delivers what that commit did, if it did; until it returns 0.  May be NULL. */
	int (*reconcile)(struct store *s, struct error *err);
	/* Drops log rows below `rev`, as many as take no long time; reports through store_compacted(). */
	int (*compact)(struct store *s, int64_t rev, struct error *err);
	void (*sync)(struct store *s, void (*done)(void *, enum err_code, int64_t), void *arg);
	void (*close)(struct store *s);
};

extern const struct store_ops STORE_MEMORY, STORE_SQLITE, STORE_POSTGRES;

struct store {
	struct store_config cfg;
	const struct store_ops *ops;
	void *backend;

	/* the queue */
	pthread_mutex_t lock;
	struct store_item *head, **tail;
	size_t waiting;
	uint64_t waiting_bytes;
	bool sleeping, closing;
	int wake_fd;
	pthread_t writer;

	/* the writer thread's */
	struct store_marks *marks;
	struct store_item **items;  /* of the batch */
	struct store_event *events; /* of the batch */
	uint64_t compact_at_ms;
	bool uncertain; /* a commit had an unknown outcome; reconcile is due */

	/* order of callbacks */
	pthread_mutex_t delivering;
	_Atomic int64_t delivered;
	int64_t epoch;                /* the last one handed out; under delivering */
	int64_t compacted;            /* likewise */
	struct store_history history; /* likewise */

	_Atomic bool healthy, lost;
	_Atomic uint64_t busy_since_ms; /* a commit is under way; 0 = none */

	struct metric *writes, *conflicts, *failures, *unknowns, *batches, *commit_time;
};

void *store_writer_run(void *s);

/* An item's outcome where it is decided; the caller answers with store_answer(). */
void store_set_result(struct store_item *it, enum err_code code, const char *msg);

/*
 * Delivers events (revision order, all above the last delivered except such as were delivered
 * already, which are skipped) and moves on to `rev`.  Any of the store's threads.
 */
void store_deliver(struct store *s, const struct store_event *ev, size_t n, int64_t rev);

/* An epoch step up to whose start all was delivered; once an epoch. False: this process saw what was lost. */
bool store_step(struct store *s, int64_t epoch, int64_t last, int64_t first);

void store_compacted(struct store *s, int64_t rev);
void store_lose(struct store *s, const char *why);

/* Full jitter: a random time up to base * 2^attempt, at most max. */
uint64_t store_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms, uint64_t random);

/* Notes a row of the log while opening. */
void store_open_history(struct store *s, const struct store_event *ev);

/* Rows of the log as events, handed on in pieces: for catch_up. */
enum { STORE_PIECE_EVENTS = 512, STORE_PIECE_BYTES = 4 << 20 };
struct store_reader {
	struct store *s;
	struct store_event ev[STORE_PIECE_EVENTS];
	char keys[STORE_PIECE_EVENTS][STORE_KEY_BYTES_MAX];
	size_t n, bytes;
};
void store_reader_add(struct store_reader *r, const struct store_event *ev); /* takes the value */
void store_reader_end(struct store_reader *r, int64_t rev);
void store_reader_drop(struct store_reader *r);

#endif
