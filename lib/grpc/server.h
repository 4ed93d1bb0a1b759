/*
 * grpc/server - a gRPC server for mutually authenticated peers, on the gRPC C core.
 *
 * Module names start with rpc_, because libgrpc itself exports grpc_server_….
 *
 * Model: every call is a stream of messages in both directions; a unary call is a stream
 * with one message each way (rpc_stream_reply).  The library's own threads stay inside: all
 * callbacks run on the loop given at start, and every function here is called on that loop's
 * thread.  Other threads use loop_post().
 *
 * A stream's life: open → message* → half_closed? → closed.  `closed` comes exactly once for each
 * stream that was opened, whatever ended it, and is its last callback; the pointer is dead behind it.
 *
 * Back-pressure: the next message is read only after the `message` callback returned
 * and the stream is not paused, so HTTP/2 flow control holds the peer back.  Sending queues; a
 * reader that does not keep up (rpc_server_limits.queue_bytes_max) is ended with RESOURCE_EXHAUSTED.
 *
 * Security: TLS 1.2 or newer, a client certificate of the given CA is required before any HTTP/2 frame
 * is read.  Debian's core has no answer to HTTP/2 rapid reset by certified peers:
 * the port is for our own agents, never for the public.
 *
 * fork: after rpc_server_new() the process must not fork without exec (posix_spawn is fine).
 */
#ifndef GRPC_SERVER_H
#define GRPC_SERVER_H

#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "grpc/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct rpc_server;
struct rpc_stream;

/* Who calls: from the verified certificate; strings live as long as the stream. */
struct rpc_peer {
	struct str common_name;  /* "system:node:n1" */
	struct str organization; /* first O of the subject: "system:nodes" */
	struct str spiffe_id;    /* URI SAN spiffe://…, or "" */
	struct str address;      /* "ipv4:127.0.0.1:4711"; for logs, no identity */
};

struct rpc_method {
	const char *path; /* "/rctl.agent.v1.Agent/Connect" */

	/* A call arrived.  Keep state with rpc_stream_set(); rpc_stream_end() may be called here already. */
	void (*open)(void *arg, struct rpc_stream *s);

	/* One whole message; borrowed until the callback returns. */
	void (*message)(void *arg, struct rpc_stream *s, struct str msg);

	/* The peer sends no more.  NULL = the stream is ended with OK behind what is queued. */
	void (*half_closed)(void *arg, struct rpc_stream *s);

	/* All that was queued has been taken by the transport after it was not.  May be NULL. */
	void (*drained)(void *arg, struct rpc_stream *s);

	/* Gone.  cancelled = by the peer, its deadline or a lost connection; false = after our status was sent. */
	void (*closed)(void *arg, struct rpc_stream *s, bool cancelled);
	void *arg;
};

struct rpc_server_limits {
	uint32_t
		message_bytes_max; /* larger ends the call with RESOURCE_EXHAUSTED; default 4 MiB */
	uint32_t queue_bytes_max;  /* unsent, per stream; default 8 MiB */
	uint32_t streams_per_peer_max; /* concurrent streams of a connection; default 64 */
	uint32_t keepalive_ms;         /* ping when nothing was heard; default 30 s */
	uint32_t keepalive_timeout_ms; /* then lost; default 10 s */
	uint32_t ping_interval_min_ms; /* a peer that pings more often is sent away; default 5 s */
};
#define RPC_SERVER_LIMITS ((struct rpc_server_limits){ 4U << 20, 8U << 20, 64, 30000, 10000, 5000 })

struct rpc_server_tls {
	const char *ca_file;   /* PEM: signs the clients */
	const char *cert_file; /* PEM: chain of ours */
	const char *key_file;
};

enum { RPC_METHODS_MAX = 32 };

/*
 * Listens on `address` ("127.0.0.1:0", "[::]:7443") and serves `methods` (copied; at most
 * RPC_METHODS_MAX).  NULL limits = RPC_SERVER_LIMITS.  tls NULL = plaintext without identity, for tests.
 * ERR_NOT_FOUND, ERR_INVALID: certificates; ERR_UNAVAILABLE: the address cannot be had.
 */
ATTR_MUSTCHECK int rpc_server_new(struct loop *l, const char *address,
				  const struct rpc_server_tls *tls,
				  const struct rpc_method *methods, size_t n,
				  const struct rpc_server_limits *limits, struct rpc_server **ret,
				  struct error *err);

uint16_t rpc_server_port(const struct rpc_server *s);

/*
 * Reads the certificate files again for the handshakes from now on (not for listening servers in
 * plaintext).  On error the old ones stay.
 */
ATTR_MUSTCHECK int rpc_server_reload(struct rpc_server *s, struct error *err);

/*
 * Graceful stop: no new calls; streams that are open get their `closed` when the program ends them
 * or after grace_ms by cancellation.  `done` is called on the loop when the last is gone; then rpc_server_free().
 */
void rpc_server_stop(struct rpc_server *s, uint32_t grace_ms, void (*done)(void *arg), void *arg);

/*
 * Frees; without a finished stop it cancels all streams, delivers their `closed` from inside this
 * call and waits for the library's threads.  Accepts NULL, returns NULL.
 */
struct rpc_server *rpc_server_free(struct rpc_server *s);

/* ---- a stream; valid from `open` until `closed` returns ---- */

const struct rpc_peer *rpc_stream_peer(const struct rpc_stream *s);
const char *rpc_stream_path(const struct rpc_stream *s);

/* One pointer of the program's; NULL at first. */
void rpc_stream_set(struct rpc_stream *s, void *data);
void *rpc_stream_get(const struct rpc_stream *s);

/*
 * Queues one message (copied).  False when the stream has ended or is ending, or when the queue is over
 * its limit: then the stream is being ended with RESOURCE_EXHAUSTED and `closed` follows.
 */
bool rpc_stream_send(struct rpc_stream *s, struct str msg);
size_t rpc_stream_queued(const struct rpc_stream *s); /* bytes not yet taken by the transport */

/* No further message is delivered until resumed.  What was already under way comes after resuming. */
void rpc_stream_pause(struct rpc_stream *s);
void rpc_stream_resume(struct rpc_stream *s);

/* Ends the call with a status behind what is queued.  text is copied.  Twice is harmless: the first counts. */
void rpc_stream_end(struct rpc_stream *s, enum rpc_status status, const char *text);

/* Answer of a unary call: the message, then OK. */
void rpc_stream_reply(struct rpc_stream *s, struct str msg);

#endif
