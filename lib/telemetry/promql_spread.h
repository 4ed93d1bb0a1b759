/*
 * telemetry/promql_spread - one query over many places, each with its own series: what can be done there is done there, the
 * rest here.
 *
 * Every series of a place carries the labels `cluster` with the place's name, and `region`.  So all that looks at one series,
 * or at series of one place, gives the same there; sums, counts, minima, maxima and the best k are
 * taken there and taken once more of what comes back.  promql_spread() takes such parts out of the tree and leaves
 * selectors in their place, which struct promql_gather answers from what the places said.
 *
 * A place is asked for each part over /api/v1/query or query_range.  What a place cannot be asked, it is left out
 * of: the query is then about the others, and the caller says so.
 */
#ifndef TELEMETRY_PROMQL_SPREAD_H
#define TELEMETRY_PROMQL_SPREAD_H

#include "telemetry/promql.h"

enum { PROMQL_PARTS_MAX = 64 };

/* A question for every place. */
struct promql_part {
	struct str text;           /* PromQL */
	bool instant;              /* at range.start_ms alone: /api/v1/query */
	struct promql_range range; /* the answers are wanted at these steps */
	bool matrix;               /* the answer has raw samples */
	bool all;                  /* absent(): a step counts when every place says so */
	struct str keep[2];        /* labels of the place that its series still have */
	size_t keep_len;
};

/*
 * Changes the tree of q, which must then be evaluated over the same range (step_ms 0: at start_ms alone) with the source of a
 * gather.  The parts live in the arena.  ERR_BAD_REQUEST: not over places (a range of samples inside of what
 * needs several places at once); ERR_LIMIT: more parts than PROMQL_PARTS_MAX.
 */
ATTR_MUSTCHECK int promql_spread(struct promql *q, const struct promql_range *range,
				 struct arena *a, struct promql_part **ret, size_t *ret_len,
				 struct error *err);

/* ---- the answers ---- */

struct promql_gather;

struct promql_gather *promql_gather_new(const struct promql_part *parts, size_t n); /* borrowed */
struct promql_gather *promql_gather_free(struct promql_gather *g);

/*
 * Takes the answer of a place to a part: a body of Prometheus' HTTP API.  Labels of `place` that a series does not have, and
 * would have if the query had not been taken apart, are added to it.  ERR_BAD_REQUEST: no such answer.
 */
ATTR_MUSTCHECK int promql_gather_add(struct promql_gather *g, size_t part, struct labels place,
				     struct str json, struct error *err);

/* Behind all answers; lives as long as the gather. */
struct promql_source promql_gather_source(struct promql_gather *g);

#endif
