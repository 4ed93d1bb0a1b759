/*
 * grpc/client_priv - a channel's parts: conn.c (name, TCP, TLS), channel.c (HTTP/2), call.c (streams).
 */
#ifndef GRPC_CLIENT_PRIV_H
#define GRPC_CLIENT_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "grpc/client.h"
#include "sys/loop.h"

#include <nghttp2/nghttp2.h>

/* ---- conn: a byte stream to one address ---- */

struct rpc_conn_tls;
struct rpc_conn_lookup;

enum rpc_conn_state { CONN_LOOKUP, CONN_CONNECTING, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSED };

struct rpc_conn {
	struct loop *loop;
	struct loop_io io;
	struct loop_task start;
	enum rpc_conn_state state;
	struct rpc_conn_lookup *lookup;
	struct rpc_conn_tls *tls; /* NULL = plaintext */
	char *host, *port;
	char *server_name;
	bool want_write;                      /* the last send could not finish */
	void (*ready)(struct rpc_conn *c);    /* open for bytes */
	void (*readable)(struct rpc_conn *c); /* rpc_conn_recv until it gives 0 */
	void (*writable)(struct rpc_conn *c); /* after want_write */
	void (*failed)(struct rpc_conn *c,
		       const struct error *err); /* before or while open; last callback */
};

/* ERR_INVALID when the address does not parse; what comes later goes to `failed`. */
ATTR_MUSTCHECK int rpc_conn_open(struct rpc_conn *c, struct loop *l,
				 const struct rpc_channel_options *opt, struct error *err);
void rpc_conn_close(struct rpc_conn *c);

/* Bytes read, 0 = none for now, negative enum err_code = closed or broken. */
long rpc_conn_recv(struct rpc_conn *c, void *p, size_t n, struct error *err);
/* Bytes written, 0 = none for now (then `writable` comes), negative = broken. */
long rpc_conn_send(struct rpc_conn *c, const void *p, size_t n, struct error *err);

/* ---- TLS under a conn (conn_tls.c) ---- */

/* Reads the files; ERR_INVALID, ERR_NOT_FOUND.  Then rpc_conn_tls_start() when there is a descriptor. */
ATTR_MUSTCHECK int rpc_conn_tls_open(struct rpc_conn *c, const struct rpc_client_tls *files,
				     struct error *err);
void rpc_conn_tls_start(struct rpc_conn *c);
/* 0 = done, 1 = again when *want (epoll events) is there, negative = refused. */
int rpc_conn_tls_handshake(struct rpc_conn *c, uint32_t *want, struct error *err);
long rpc_conn_tls_recv(struct rpc_conn *c, void *p, size_t n, struct error *err);
long rpc_conn_tls_send(struct rpc_conn *c, const void *p, size_t n, struct error *err);
void rpc_conn_tls_close(struct rpc_conn *c);

/* ---- channel ---- */

struct rpc_channel {
	struct loop *loop;
	struct rpc_channel_options opt;
	struct rpc_conn conn;
	nghttp2_session *h2;
	struct list calls;
	struct buf out; /* HTTP/2 bytes not yet written */
	size_t out_off;
	struct loop_task flush;
	struct loop_timer deadline;  /* of connecting */
	struct loop_timer keepalive; /* next look at last_rx_ms */
	uint64_t last_rx_ms;
	unsigned busy; /* inside HTTP/2 or a callback: freeing waits */
	bool pinged, connected, draining, is_lost, closing;
	char *authority;
};

struct rpc_call {
	struct rpc_channel *ch;
	struct list link;
	struct rpc_call_options opt;
	char *path;
	int32_t sid; /* 0 = not submitted yet */
	struct buf in, out;
	size_t out_off;
	size_t held;                  /* received bytes not yet given back to flow control */
	int http_status, grpc_status; /* -1 = not seen */
	char *text;
	bool deferred;  /* HTTP/2 waits for bytes of ours */
	bool was_empty; /* `drained` has been said for what was queued */
	bool half_closed, sent_all, paused, delivering, ended, detached;
	bool finishing; /* the end is known, but messages wait to be delivered */
	int finish_status;
	struct loop_task deliver;
};

void rpc_channel_fail(struct rpc_channel *ch, const struct error *err);
void rpc_channel_kick(struct rpc_channel *ch); /* something to send */
void rpc_channel_enter(struct rpc_channel *ch);
/* False when the channel was freed by it. */
bool rpc_channel_leave(struct rpc_channel *ch);

void rpc_call_submit(struct rpc_call *c);
void rpc_call_header(struct rpc_call *c, struct str name, struct str value);
/* Takes received bytes; false = the peer broke the framing. */
bool rpc_call_data(struct rpc_call *c, struct str bytes);
/* The stream is over: delivers what waits, unless paused, then rpc_call_finish(). */
void rpc_call_end(struct rpc_call *c, int status);
/* The stream is over: says `closed` once and frees what nobody holds. */
void rpc_call_finish(struct rpc_call *c, int status, const char *text);
void rpc_call_release(struct rpc_call *c);
/* Status from what was seen when HTTP/2 closed the stream with `h2_error`. */
int rpc_call_status(const struct rpc_call *c, uint32_t h2_error);

#endif
