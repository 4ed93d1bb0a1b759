/*
 * grpc/server_priv - what server.c (listening, certificates, threads) and stream.c (calls) share.
 *
 * The core reports on a completion queue; one thread of ours takes the reports and hands them to the
 * loop, where everything else happens.  So nothing here needs a lock except `inbox` and `certs`.
 */
#ifndef GRPC_SERVER_PRIV_H
#define GRPC_SERVER_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "grpc/server.h"
#include "sys/loop.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <pthread.h>

/* One operation under way.  A tag given to the core comes back exactly once. */
struct rpc_tag {
	void (*fn)(struct rpc_tag *t, bool ok);
	struct rpc_tag *next;
	bool ok;
};

/*
 * Reports on their way from the queue's thread to the loop.  Counted, because a
 * wake-up may still sit in the loop's mailbox when the server is gone.
 */
struct rpc_inbox {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct rpc_tag *head, **tail;
	struct rpc_server *server; /* NULL once it is gone; loop thread only */
	bool woken;                /* a wake-up is in the mailbox */
	bool ended;                /* the queue is shut down and empty */
	unsigned refs;
};

struct rpc_certs {
	pthread_mutex_t lock;
	char *ca_file, *cert_file, *key_file;
	struct buf ca, cert, key;
	bool fresh; /* changed since the core last asked */
};

struct rpc_server {
	struct loop *loop;
	grpc_server *core;
	grpc_completion_queue *cq;
	pthread_t thread;
	struct rpc_inbox *inbox;
	struct rpc_certs certs;
	struct rpc_method methods[RPC_METHODS_MAX];
	size_t methods_len;
	struct rpc_server_limits limits;
	uint16_t port;

	struct list streams; /* opened and not closed */
	size_t slots;        /* streams that exist, waiting ones included */
	bool stopping, stopped;
	struct rpc_tag stop_tag;
	struct loop_timer grace;
	void (*done)(void *arg);
	void *done_arg;
};

struct rpc_out {
	struct rpc_out *next;
	grpc_byte_buffer *bytes;
	size_t len;
};

struct rpc_stream {
	struct rpc_server *server;
	const struct rpc_method *method;
	struct list link; /* server->streams */
	grpc_call *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	struct rpc_tag accept_tag, read_tag, write_tag, close_tag;
	unsigned refs; /* tags under way, and one while it is open */
	int cancelled;
	void *data;

	struct rpc_peer peer;
	char *cn, *org, *spiffe, *address, *path;

	grpc_byte_buffer *in; /* read and not yet delivered */
	bool reading, in_ready, peer_done, paused;
	struct loop_task deliver;

	struct rpc_out *out, **out_tail;
	grpc_byte_buffer *sending;
	size_t sending_len, queued;
	bool writing, head_sent, ending, status_sent, gone;
	enum rpc_status status;
	char *status_text;
};

/* Posts one waiting slot for a call to arrive in. */
void rpc_stream_accept(struct rpc_server *s);

/* Calls the server's `done` when it is stopped and the last slot is gone. */
void rpc_server_settle(struct rpc_server *s);

#endif
