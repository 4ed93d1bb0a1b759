/*
 * sim_watch_db - a database as the storage uses one, in memory, with the faults that databases have.
 *
 * Commits in order of revision, a standby that lags, a power cut, a failover that loses the tail and closes its
 * revisions, compaction.  Bugs can be planted: a sound check of the whole must notice each.
 */
#ifndef TESTS_SIM_WATCH_DB_H
#define TESTS_SIM_WATCH_DB_H

#include "store/store.h"

enum { KEYS = 12, LOG_MAX = 4096, EPOCHS = 16, ROW_BYTES = 160 };

enum bug {
	BUG_NONE,
	BUG_SEQUENCE, /* revisions are taken first and become visible later, in another order */
	BUG_NORMAL,   /* acknowledged before it is durable: a power cut undoes it */
	BUG_FENCE, /* a server that slept through a failover acknowledges what the old primary takes */
	BUG_REUSED, /* a failover goes on counting where the standby stood */
	BUG_STEP, /* a failover counts on from the standby alone: two that lose the first step meet */
	BUG_BOOKMARK, /* bookmarks of the database's counter, ahead of what was delivered */
	BUG_RESUME,   /* a watch begins one event late */
	BUG_LIST,     /* a list has one event more than its revision says */
	BUG_PAGES,    /* pages of a list come from different revisions */
	BUG_STALE,    /* who holds a lost revision is served on */
	BUG_COMPACT,  /* a watch from before the compaction is served from what is left */
	BUG_DELETED,  /* DELETED carries an older state */
	BUGS,
};

struct row {
	int64_t rev, prev_rev, create_rev;
	enum store_op op;
	int key;
	uint32_t id, last_id; /* of the write in the value, and in the one before */
};

struct db {
	enum bug bug;
	struct row log[LOG_MAX]; /* by revision */
	size_t len, replicated, durable;
	struct row obj[KEYS]; /* rev 0 = absent */
	int64_t rev, compact_rev;
	uint64_t epoch;
	struct {
		int64_t last, first;
	} closed[EPOCHS];
	size_t closed_len;
	bool synchronous;
};

struct db_write {
	uint32_t id;
	enum store_op op;
	int key;
	int64_t want;
	int64_t rev; /* BUG_SEQUENCE: taken already */
	bool ok;
};

void db_init(struct db *d, enum bug bug, bool synchronous);

/* One batch: sets ok and rev of each. */
void db_commit(struct db *d, struct db_write *w, size_t n);

/* The first row of the log above rev. */
size_t db_behind(const struct db *d, int64_t rev);

void db_power_cut(struct db *d);
void db_failover(struct db *d, uint64_t now_ms); /* at most EPOCHS - 1 times */
void db_compact(struct db *d, size_t keep);

void db_key(int key, char out[32]);
struct bytes *db_value(const struct row *r);

#endif
