/*
 * store_postgres - what the two halves of the PostgreSQL backend share: the
 * writer (store_postgres.c: opening, batches, epochs, compaction) and the
 * follower (store_follow.c: other writers' events, questions).
 */
#ifndef STORE_STORE_POSTGRES_H
#define STORE_STORE_POSTGRES_H

#include "sql/sql.h"
#include "store/store_priv.h"

/*
 * Revisions a partition of the log: what compaction drops at once.  A power of
 * two, so that an epoch step keeps the borders.
 */
enum { STORE_PARTITION_REVS = 32768 };

struct store_follower;

struct postgres {
	struct sql *db;     /* the writer thread's */
	char channel[96];   /* of LISTEN: one a schema */
	char id[20];        /* this store's, in its notifications */
	int64_t partitions; /* the log can take revisions below this */
	struct sql_array op, key, want, value, fence, token, set_fence, set_token;
	_Atomic bool notify; /* others listen */
	struct store_follower *follower;
};

struct pg_meta {
	int64_t epoch, rev, compact_rev;
};

int pg_read_meta(struct sql *db, struct pg_meta *ret, struct error *err);

/*
 * Delivers epochs and log rows behind s->delivered up to `rev`, over `db`.
 * Ends the store (store_lose) when they cannot be continued.
 */
int pg_catch_up(struct store *s, struct sql *db, int64_t rev, struct error *err);

int pg_follow_start(struct store *s, struct error *err);
void pg_follow_stop(struct store *s);
void pg_follow_sync(struct store *s, void (*done)(void *, enum err_code, int64_t), void *arg);

#endif
