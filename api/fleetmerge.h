/*
 * fleetmerge - what clusters know of labels, series and metrics, put together.  Pure.
 */
#ifndef FLEETMERGE_H
#define FLEETMERGE_H

#include "telemetry/labels.h"
#include "telemetry/mstore.h"

struct fleetmerge_answer {
	struct labels place; /* cluster, region */
	struct str body;     /* of the cluster's answer */
};

/*
 * LABELS, VALUES, SERIES, METADATA: appends the member "data".  Series get the labels of their place that they do not have, and
 * names and values of those are among the names and values.  ERR_BAD_REQUEST: an answer is none.
 */
ATTR_MUSTCHECK int fleetmerge(const struct mstore_ask *ask, const struct fleetmerge_answer *v,
			      size_t n, struct buf *out, struct error *err);

#endif
