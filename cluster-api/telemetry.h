/*
 * telemetry - the metrics and log stores of resource-cluster-api, and all that speaks to them: settings, Push, queries,
 * metrics.k8s.io, state metrics.
 *
 * On PostgreSQL several servers may name the same databases: one has each open, whoever comes first, and the others hand
 * pushes and queries on to it until they can have it themselves.
 */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include "apiserver/apiserver.h"
#include "grpc/server.h"
#include "peerway.h"
#include "settings/settings.h"

struct lstore;
struct mstore;

struct telemetry_config {
	char *metrics_store, *logs_store;
	int64_t metrics_retention_ms, logs_retention_ms, checkpoint_ms;
	int64_t series_max, label_bytes_max, streams_max, logs_memory_bytes;
	int64_t query_samples_max, query_bytes_max, query_ms;
};

size_t telemetry_settings(struct telemetry_config *cfg, struct setting *rows, size_t cap);

struct telemetry;

struct telemetry_context {
	struct apiserver *api;
	struct loop *loop; /* of the agents, and of peerway */
	struct metrics *metrics;
	const char *cluster;
	struct peers *peers;
	struct peerway *peerway;
};

/* Opens what the settings name and adds the routes; before apiserver_start(). */
struct telemetry *telemetry_new(const struct telemetry_config *cfg,
				const struct telemetry_context *ctx);
/* Behind apiserver_start(): the state of objects is sampled from now on. */
void telemetry_start(struct telemetry *t);

/* The method Push, for agents_config.more. */
struct rpc_method telemetry_method(struct telemetry *t);
struct lstore *telemetry_logs(struct telemetry *t); /* or NULL */

/* After the gRPC server is gone, before the API server and the loop are: nothing is answered behind it. */
struct telemetry *telemetry_free(struct telemetry *t);

#endif
