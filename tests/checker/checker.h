/*
 * checker - every client operation and every watch of a run, and whether they keep the promises of the storage.
 *
 * The promises (store/store.h, watch/watch.h), each checked on what clients saw, with no help of the server:
 *   - an acknowledged write is never lost or undone; its revision is above that of all that was acknowledged before it
 *     began; what was refused is never seen; a revision belongs to one write, for ever
 *   - a write that named the revision it replaces replaced just that one
 *   - a list at R is exactly the state at R, and R is no less than what was acknowledged before the list began
 *   - a watch tells each change once, in order, without a gap; a bookmark at R: all up to R was told; DELETED
 *     carries the last state
 *   - a closed interval of revisions (a failover that lost a tail): who holds one is never served on from it
 *
 * Revisions are unique, so there is no search: one sort by revision, then each record is looked at once.  Every value
 * written names its write: the id that checker_write() gives.
 *
 * All is recorded in the order in which it happened, by one thread.
 */
#ifndef TESTS_CHECKER_CHECKER_H
#define TESTS_CHECKER_CHECKER_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHECKER_KEY_BYTES = 28, CHECKER_WHY_BYTES = 300 };

struct checker;
struct checker_watch;

struct checker *checker_new(void);
struct checker *checker_free(struct checker *c);

/* ---- writes ---- */

enum checker_op { CHECKER_CREATE, CHECKER_UPDATE, CHECKER_DELETE };
enum checker_outcome { CHECKER_UNKNOWN, CHECKER_ACKED, CHECKER_REFUSED };

/* A write begins; want_rev: of UPDATE and DELETE, the revision to be replaced.  Its id, from 1 on. */
uint32_t checker_write(struct checker *c, enum checker_op op, const char *key, int64_t want_rev);

/* Its answer; one that never comes is UNKNOWN. */
void checker_written(struct checker *c, uint32_t id, enum checker_outcome outcome, int64_t rev);

/* ---- lists ---- */

struct checker_item {
	int64_t rev;
	uint32_t id; /* of the write that made the value */
};

/* A list begins: the least revision it may show. */
int64_t checker_list_floor(const struct checker *c);

/* A whole list at rev; floor: from checker_list_floor(), 0 when an older state is allowed. */
void checker_listed(struct checker *c, int64_t floor, int64_t rev, const struct checker_item *items,
		    size_t n);

/* ---- watches ---- */

enum checker_type { CHECKER_ADDED, CHECKER_MODIFIED, CHECKER_DELETED };

/* One follower: lists, watches, resumes, lists again. */
struct checker_watch *checker_watch(struct checker *c);

/* It begins anew from a list at rev. */
void checker_watch_listed(struct checker_watch *w, int64_t rev);

/* id: of the write in the value; DELETED: in the last state. */
void checker_watch_event(struct checker_watch *w, enum checker_type type, const char *key,
			 int64_t rev, uint32_t id);
void checker_watch_bookmark(struct checker_watch *w, int64_t rev);

/* ---- the verdict ---- */

/* Revisions in (last, first) were closed: acknowledged writes there are counted, not held against the run. */
void checker_closed(struct checker *c, int64_t last, int64_t first);

struct checker_verdict {
	size_t writes, acked, unknown, lost; /* lost: acknowledged, in a closed interval */
	size_t events, lists;
	char why[CHECKER_WHY_BYTES]; /* the first broken promise; "" = none */
};

/* Whether all holds. */
bool checker_holds(struct checker *c, struct checker_verdict *ret);

#endif
