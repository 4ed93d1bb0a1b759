/*
 * agent/checks - what the node itself finds wrong: alerts with a beginning and an end.
 *
 * Every round the agent says what it sees (checks_see), then ends the round.  A thing that was seen bad in
 * `occurrences` rounds in a row begins to fire; it is told at once, again every CHECKS_REISSUE_MS while it lasts (so that the
 * other side may forget what it hears nothing of), and once more when it is over.  What is not seen in a round is over.
 *
 * Pure: time comes in.
 */
#ifndef AGENT_CHECKS_H
#define AGENT_CHECKS_H

#include "base/buf.h"
#include "base/map.h"
#include "series.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	CHECKS_REISSUE_MS = 60000,
	CHECKS_MAX = 1000, /* alerts at a time; more are not begun, and counted */
	CHECK_LABELS_MAX = 6,
};

struct checks {
	struct series *series; /* of the alerts' stream */
	struct map all;        /* name and labels → struct check */
	uint64_t round, not_begun;
};

struct check_seen {
	const char *name;          /* "NodeDiskPressure" */
	const char *const *labels; /* pairs, sorted by name, ended by NULL; may be NULL */
	const char *summary;       /* one sentence for whoever is on call */
	uint32_t occurrences;      /* 0 = 1 */
};

/* `series` is borrowed for ever. */
void checks_init(struct checks *c, struct series *series);
void checks_fini(struct checks *c);

/* Something is wrong now. */
void checks_see(struct checks *c, const struct check_seen *seen);

/* Ends the round: appends an AlertBatch of what is to be told, nothing when there is nothing. */
void checks_round(struct checks *c, int64_t now_ms, struct buf *batch);

size_t checks_firing(const struct checks *c);

#endif
