/*
 * push - rpc Push: telemetry streams of agents into the stores, and their Events into the API.
 *
 * A stream is acknowledged when its store has committed it; a stream that runs ahead of the store is held
 * back by flow control.  When another server of the cluster has the database, streams go there (pushway.h).  Events become objects under the node's own user: their names are the agent's, so one that
 * comes again is the same one.
 */
#ifndef PUSH_H
#define PUSH_H

#include "apiserver/apiserver.h"
#include "grpc/server.h"

struct push;
struct intake;

struct push_config {
	struct apiserver *api;
	struct loop *loop; /* of the gRPC server */
	const char *cluster;
	struct intake *metrics, *logs; /* NULL: streams of this kind are refused */
	struct peerway *peerway;       /* to the server that has a database that this one has not */
};

struct push *push_new(const struct push_config *cfg);
/* After the gRPC server and the stores are gone. */
struct push *push_free(struct push *p);

/* The method, to be given to agents_new (agents_config.more). */
struct rpc_method push_method(struct push *p);

#endif
