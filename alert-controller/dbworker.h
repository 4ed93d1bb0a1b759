/*
 * dbworker - the alerts database on a thread of its own: requests by mailbox, answers on the loop.
 *
 * One request is under way at a time (asserted); the database is opened with the first one, and again after it
 * could not be.
 */
#ifndef DBWORKER_H
#define DBWORKER_H

#include "alert_db.h"
#include "sys/loop.h"

struct dbworker;

struct dbanswer {
	int rc;
	struct error err;
	struct alert_image image; /* of a claim; lent with its arena */
};

typedef void (*dbworker_fn)(void *arg, const struct dbanswer *answer);

/* `url` is copied. */
struct dbworker *dbworker_new(struct loop *l, const char *url);
/* Waits for the request under way; its callback is not called.  Accepts NULL. */
struct dbworker *dbworker_free(struct dbworker *w);

void dbworker_claim(struct dbworker *w, struct str lease, int64_t token, dbworker_fn done,
		    void *arg);
/* The batch and all it points at live in *a, which is given away (reset to empty). */
void dbworker_commit(struct dbworker *w, int64_t epoch, const struct alert_batch *b,
		     struct arena *a, dbworker_fn done, void *arg);
void dbworker_prune(struct dbworker *w, int64_t epoch, int64_t before_ms, dbworker_fn done,
		    void *arg);

#endif
