/*
 * query - Prometheus' HTTP API over the metrics store: /api/v1/query, query_range, labels, label/NAME/values, series,
 * metadata, status/buildinfo; GET, and POST with a form; and /api/v1/write, remote write 1.0.
 *
 * Answers and errors are worded as Prometheus' own (https://prometheus.io/docs/prometheus/latest/querying/api/): 400
 * bad_data, 422 execution, 503 timeout, unavailable.
 */
#ifndef QUERY_H
#define QUERY_H

#include "apiserver/apiserver.h"

struct mstore;
struct peerway;
struct query;

/*
 * Routes, before apiserver_start(); `loop` carries the answers.  Whoever has the database answers: another server
 * through `peerway`.  All are borrowed until query_free().
 */
struct query *query_new(struct apiserver *api, struct loop *loop, struct mstore *store,
			struct peerway *peerway);
/* After the store is gone. */
struct query *query_free(struct query *q);

#endif
