/*
 * grpc/client - the client's half of gRPC without libgrpc: its framing over
 * nghttp2 and TLS 1.2 or newer, on a sys/loop.  For programs whose memory counts
 * (libgrpc alone takes 10 MB resident).
 *
 * Protocol: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md; no compression, no
 * service configuration, one connection a channel, no hidden retries: choosing endpoints and waiting
 * before the next try belong to the program, which knows the topology.
 *
 * Threads: all on the loop's thread.  Callbacks never run inside a function that the
 * program called, except where said.
 *
 * Keepalive: an HTTP/2 PING after keepalive_ms without a byte from the peer; without an answer
 * within keepalive_timeout_ms the connection is lost.
 */
#ifndef GRPC_CLIENT_H
#define GRPC_CLIENT_H

#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "grpc/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct rpc_channel;
struct rpc_call;

/*
 * TLS of a channel.  The files are read at every rpc_channel_open(), so a renewed certificate counts from
 * the next connection on.
 */
struct rpc_client_tls {
	const char *ca_file;   /* PEM: signs the servers */
	const char *cert_file; /* PEM: our chain */
	const char *key_file;
};

struct rpc_channel_options {
	const char *address;     /* "10.0.0.1:7443", "[::1]:7443", "api.example:7443" */
	const char *server_name; /* name the certificate must have; NULL = the address's host */
	const struct rpc_client_tls
		*tls; /* borrowed during rpc_channel_open; NULL = plaintext, for tests */
	uint32_t connect_timeout_ms;   /* name, TCP, TLS and HTTP/2 settings together; 0 = 10 s */
	uint32_t keepalive_ms;         /* 0 = 20 s */
	uint32_t keepalive_timeout_ms; /* 0 = 5 s */
	uint32_t message_bytes_max;    /* received; 0 = 4 MiB */

	/* The connection is up: TLS done and the server's SETTINGS seen.  At most once. */
	void (*connected)(void *arg);

	/*
	 * The connection could not be made or is lost.  At most once, and after `closed` of each call on it
	 * (status UNAVAILABLE).  Free the channel here or later.
	 */
	void (*lost)(void *arg, const struct error *err);
	void *arg;
};

/*
 * Starts connecting; the outcome comes by callback.  Fails at once only for an address that does not
 * parse (ERR_INVALID).  Names are looked up in /etc/hosts and DNS, on a helper thread that
 * ends by itself; numeric addresses need none.
 */
ATTR_MUSTCHECK int rpc_channel_open(struct loop *l, const struct rpc_channel_options *opt,
				    struct rpc_channel **ret, struct error *err);

/* Closes at once; calls get no further callback.  Accepts NULL, returns NULL. */
struct rpc_channel *rpc_channel_close(struct rpc_channel *ch);

bool rpc_channel_connected(const struct rpc_channel *ch);

/* The server said GOAWAY: open calls go on, new ones must use another channel. */
bool rpc_channel_draining(const struct rpc_channel *ch);

struct rpc_call_options {
	const char *path; /* "/rctl.agent.v1.Agent/Connect" */

	/* One whole message; borrowed until the callback returns. */
	void (*message)(void *arg, struct rpc_call *c, struct str msg);

	/* All queued bytes have been taken by HTTP/2 after they were not.  May be NULL. */
	void (*drained)(void *arg, struct rpc_call *c);

	/* The end, exactly once unless the program called rpc_call_free(); then the pointer is dead. */
	void (*closed)(void *arg, struct rpc_call *c, enum rpc_status status, const char *text);
	void *arg;
};

/* Starts a call; allowed before `connected` (it then waits).  NULL when the channel is lost or draining. */
struct rpc_call *rpc_call_start(struct rpc_channel *ch, const struct rpc_call_options *opt);

/* Queues one message (copied).  False when the call has ended or is half-closed. */
bool rpc_call_send(struct rpc_call *c, struct str msg);
size_t rpc_call_queued(
	const struct rpc_call *c); /* bytes not yet taken by HTTP/2: bound your sending by it */
void rpc_call_half_close(struct rpc_call *c);

/*
 * Holds the delivery of messages (a started one is finished first); the peer is held back by flow
 * control at 64 KiB.
 */
void rpc_call_pause(struct rpc_call *c);
void rpc_call_resume(struct rpc_call *c);

/* Cancels (RST_STREAM) and forgets; no further callback.  Accepts NULL, returns NULL. */
struct rpc_call *rpc_call_free(struct rpc_call *c);

#endif
