/*
 * fleetquery - /api/v1/query, query_range, series, labels, label/NAME/values, metadata over all clusters: Prometheus' HTTP API
 * of the whole fleet.
 *
 * A query is taken apart (telemetry/promql_spread.h): each cluster is asked, as the same user, for what it can do alone, all
 * at once, and the rest is done here.  Series carry the labels `cluster` and `region`.  A cluster that does not
 * answer within --fleet-query-timeout, or refuses, is left out, and the answer says so in "warnings"; when none
 * answers, there is no answer.  What a cluster says about the query itself (too many samples …) is the answer.
 *
 * Questions go out from one loop; what comes back is put together on a thread of its own.
 */
#ifndef FLEETQUERY_H
#define FLEETQUERY_H

#include "apiserver/apiserver.h"
#include "forward.h"

struct fleetquery;

enum {
	FLEETQUERY_CLUSTERS_MAX = 1024,
	FLEETQUERY_BYTES_MAX = 256 << 20, /* of all answers of one query */
	FLEETQUERY_WAITING_MAX = 64,      /* queries whose answers wait to be put together */
};

struct fleetquery_config {
	struct apiserver *api;
	struct loop *loop; /* of forward */
	struct forward *forward;
	int64_t timeout_ms;             /* for the clusters' answers */
	int64_t samples_max, bytes_max; /* of the evaluation here */
};

/* Adds the routes; before apiserver_start(). */
struct fleetquery *fleetquery_new(const struct fleetquery_config *cfg);
/* Behind apiserver_free(), before forward_free(). */
struct fleetquery *fleetquery_free(struct fleetquery *q);

#endif
