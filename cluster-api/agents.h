/*
 * agents - the server's side of proto/agent/v1: registers nodes, keeps one Connect a node, sends
 * assignments from the watch cache, stores what agents report, remembers heartbeats.
 *
 * Everything runs on one loop (the API server's first one).  What an agent reports is
 * written through apiserver_call() as the node's own user, so a node can do nothing here that it could not do over HTTPS.
 */
#ifndef AGENTS_H
#define AGENTS_H

#include "apiserver/apiserver.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/list.h"
#include "base/map.h"
#include "grpc/server.h"
#include "peers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agents;
struct session;

struct agents_config {
	struct apiserver *api;
	struct loop *loop;
	struct metrics *metrics;
	const char *address;             /* host:port of the gRPC listener */
	const char *cluster;             /* name of the cluster */
	const char *server;              /* name of this instance */
	const char *region, *network_az; /* of this instance, told to agents; may be "" */
	const char *advertise;           /* endpoint told to agents; "" = none */
	struct rpc_server_tls tls;
	int64_t heartbeat_ms;
	struct peers *peers; /* heartbeats go there; the other servers are told to agents */
	/* further methods of the same port (Push, Logs); copied */
	const struct rpc_method *more;
	size_t more_len;
};

ATTR_MUSTCHECK int agents_new(const struct agents_config *cfg, struct agents **ret,
			      struct error *err);

/* After apiserver_start(): subscribes to the cache and listens. */
ATTR_MUSTCHECK int agents_start(struct agents *a, struct error *err);

/* Tells agents to go elsewhere and ends their streams; done on the loop. */
void agents_drain(struct agents *a, void (*done)(void *arg), void *arg);
struct agents *agents_free(struct agents *a);
uint16_t agents_port(const struct agents *a);
size_t agents_connected(const struct agents *a);

/* Who is on the other end of a stream: the node's name out of CN=system:node:NAME, O=system:nodes; "" = no node. */
struct str agents_peer_node(const struct rpc_stream *s);

/* Memory that lives as long as the agents: what routes hold on to. */
struct arena *agents_arena(struct agents *a);

/* ---- requests to a node ---- */

/* The node's session, or NULL when it is not connected here. */
struct session *agents_session(const struct agents *a, struct str node);

/*
 * Sends Request.open_logs (packed by the caller's fill) on the session; the id chosen, or 0 when it could not be sent.
 */
struct agents_log_query {
	struct str uid, ns, pod, container;
	bool follow, previous, timestamps;
	int64_t tail_lines;    /* -1 = all */
	int64_t since_unix_ns; /* 0 = from the start */
	int64_t limit_bytes;   /* 0 = no limit */
};
uint64_t agents_open_logs(struct agents *a, struct session *s, const struct agents_log_query *q);
void agents_cancel_request(struct agents *a, struct str node, uint64_t id);

/* The node said that request `id` failed (set once by the owner of log requests). */
typedef void (*agents_failed_fn)(void *arg, uint64_t id, uint32_t code, const char *message);
void agents_on_failed(struct agents *a, agents_failed_fn fn, void *arg);

#endif
