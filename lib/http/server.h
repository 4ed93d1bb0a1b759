/*
 * http/server - HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) over TLS or plain TCP.
 *
 * One listener hands each connection to the loop with the least to do; from
 * then on only that loop's thread touches it.  All calls on a request come from
 * the thread of request->loop; other threads reach it with loop_post().
 *
 * A request's life:
 *   on_headers  optional; may answer at once (then the body is thrown away and
 *               on_request is not called)
 *   on_request  the body is there.  The program answers now or later: with one
 *               http_reply…(), or http_begin(), http_write() …, http_end().
 *   on_drained  a begun stream's queue has become empty: room for more
 *   on_stop     the server is draining: end what has no end of its own
 *   on_close    the last sight of the request, exactly once for each one of which
 *               on_headers or on_request was called: answered to the last byte,
 *               or the client went away.  The pointer is dead behind it.
 * No callback runs inside a http_…() call.  Calls on a request that the client
 * left meanwhile do nothing until on_close comes.
 *
 * What the server does by itself: keep-alive, pipelining, chunked bodies both
 * ways, Expect: 100-continue, HEAD (a body given is counted, not sent), Date,
 * Content-Length; 400, 408, 413, 417, 431, 505 and 503 as text/plain; refusal of all
 * that lets two parsers disagree about where a request ends.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/metric.h"
#include "base/str.h"
#include "http/body.h"
#include "sys/loop.h"
#include "tls/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_request;

struct http_header {
	struct str name; /* lower case */
	struct str value;
};

/* A loop as this server uses it. */
struct http_loop {
	struct loop *loop;
	struct http_server *server;
	size_t index;
	void *user; /* the program's; touched on this loop's thread only */
};

/* Each 0 = the default in brackets.  Crossing one is answered or cut as said. */
struct http_limits {
	size_t body_bytes_max;    /* request body [3 MiB]; 413 */
	size_t bodies_bytes_max;  /* request bodies held by the server at once [256 MiB]; 503 */
	size_t header_bytes_max;  /* path and headers of one request [64 KiB]; 431 */
	uint32_t headers_max;     /* how many [128]; 431 */
	uint32_t streams_max;     /* requests at once on one h2 connection [250] */
	uint32_t connections_max; /* of the server [10,000]; closed at once */
	size_t queue_bytes_max;   /* http_write() ahead of a slow reader [4 MiB]; cut */
	size_t answers_bytes_max; /* memory of answers that wait for their readers [256 MiB]; cut */
	uint32_t idle_timeout_ms; /* connection without a request [120 s]; closed */
	uint32_t
		header_timeout_ms; /* from a request's first byte to its headers' end [10 s]; 408 */
	uint32_t body_timeout_ms;  /* from there to the body's end [60 s]; 408 */
	uint32_t handshake_timeout_ms; /* TLS [10 s]; closed */
	uint32_t write_timeout_ms;     /* bytes wait and none is taken [60 s]; cut */
	uint32_t ping_interval_ms;     /* h2 PING when nothing was received for so long [30 s] */
	uint32_t ping_timeout_ms;      /* then nothing at all for so long [15 s]; closed */
	uint32_t reset_burst;          /* h2 streams reset by the client at once [1,000]; closed */
	uint32_t reset_per_s;          /* and afterwards [33] */
};

struct http_handlers {
	/* Once for each loop inside http_server_start(), before it serves: to set user.  May be NULL. */
	void (*on_loop)(struct http_loop *l);
	void (*on_headers)(struct http_request *r); /* may be NULL */
	void (*on_request)(struct http_request *r);
	void (*on_close)(struct http_request *r);   /* may be NULL */
	void (*on_stop)(struct http_request *r);    /* NULL: http_end() of begun streams */
	void (*on_drained)(struct http_request *r); /* may be NULL */
	/* A client's TLS failed ("certificate has expired" …): for the log.  May be NULL. */
	void (*on_tls_error)(struct http_loop *l, struct str peer_address, const struct error *err);
};

struct http_server_config {
	/* "127.0.0.1:8443", "[::]:0", "api.example:443", ":8443" (all addresses) */
	const struct str *listen;
	size_t listen_len;

	/*
	 * Either loops to start, each with a thread (at least 1), or loops of the
	 * program's, whose first one accepts.  Given loops must not run yet on
	 * other threads when http_server_start() is called.
	 */
	size_t threads;
	struct loop *const *loops;
	size_t loops_len;

	struct tls_context *tls; /* borrowed until the server is freed; NULL = plain text */
	struct http_limits limits;
	struct http_handlers on;
	struct metrics *metrics; /* borrowed; NULL = none */
	void *user;
};

/* All listeners are open when it returns.  ERR_INVALID (address), ERR_UNAVAILABLE (in use …). */
ATTR_MUSTCHECK int http_server_start(const struct http_server_config *cfg, struct http_server **ret,
				     struct error *err);

/* The port of listener i, as the kernel chose it for port 0. */
uint16_t http_server_port(const struct http_server *s, size_t i);

size_t http_server_loops(const struct http_server *s);
struct http_loop *http_server_loop(struct http_server *s, size_t i);
void *http_server_user(const struct http_server *s);

/* Connections and requests at this moment.  Any thread. */
uint64_t http_server_connections(const struct http_server *s);
uint64_t http_server_requests(const struct http_server *s);

/*
 * Graceful: stops listening, calls on_stop for begun streams, tells h2 clients (GOAWAY
 * in two steps, so that no request of theirs fails), lets what runs finish, closes
 * idle connections; whatever is left after grace_ms is cut.  done runs on the
 * first loop when the last connection is gone.  Once; any thread.
 */
void http_server_drain(struct http_server *s, uint32_t grace_ms, void (*done)(void *arg),
		       void *arg);

/*
 * Cuts what is left, joins own threads.  Given loops must stand still (or be
 * the caller's own).  on_close is called for what was open, on the calling thread.
 * Accepts NULL, returns NULL.
 */
struct http_server *http_server_free(struct http_server *s);

/* ---- requests ---- */

/* Read only, except user and arena.  All strings live until on_close has returned. */
struct http_request {
	struct http_loop *loop;
	struct str method;    /* "GET" */
	struct str path;      /* before '?', still percent-encoded; begins with '/' (or is "*") */
	struct str query;     /* behind '?', without it; "" = none */
	struct str authority; /* Host or :authority */
	const struct http_header
		*headers; /* names in lower case, in the order sent; h2: without pseudo headers */
	size_t headers_len;
	struct str body;             /* from on_request on */
	const struct pki_info *peer; /* client certificate; NULL = none */
	struct str peer_address;     /* "10.0.0.7:51234", "[::1]:51234" */
	struct arena arena;          /* for whatever shall live as long as the request */
	void *user;                  /* the program's */
	int version;                 /* 1 or 2 */
	bool tls;
	int status;          /* of the answer; 0 = not answered yet */
	uint64_t sent_bytes; /* of the answer's body, handed to the connection so far */
	uint64_t start_ms;   /* loop_now_ms() when the headers were complete */
};

/* First header of that name (lower case), or {NULL, 0}. */
struct str http_request_header(const struct http_request *r, const char *name);

/* ---- answers ---- */

/*
 * One whole answer.  Headers are copied in; Content-Length, Date and Connection are the
 * server's and must not be among them.  A second answer to a request does nothing.
 */
void http_reply(struct http_request *r, int status, const struct http_header *headers,
		size_t headers_len, struct str body /* copied */);
void http_reply_bytes(struct http_request *r, int status, const struct http_header *headers,
		      size_t headers_len, struct bytes *body /* takes a reference */);
void http_reply_body(struct http_request *r, int status, const struct http_header *headers,
		     size_t headers_len, struct http_body *body /* taken, left empty */);
void http_reply_text(struct http_request *r, int status, const char *content_type, struct str body);

/* A stream: chunked on h1, DATA as it comes on h2. */
void http_begin(struct http_request *r, int status, const struct http_header *headers,
		size_t headers_len);

/*
 * Takes a reference.  False when the stream is over: ended, left by the client,
 * or cut just now because more than queue_bytes_max wait (on_close follows).
 */
bool http_write(struct http_request *r, struct bytes *b);

/*
 * The same for many pieces (taken, left empty).  They do not count for the limit: for what is as
 * large as it is, such as the objects a watch begins with.
 */
bool http_write_body(struct http_request *r, struct http_body *body);

void http_end(struct http_request *r);

/* With trailers (names and values copied in): h2, and h1 where the client sent TE: trailers. */
void http_end_trailers(struct http_request *r, const struct http_header *trailers,
		       size_t trailers_len);

/* Cuts it: RST_STREAM(INTERNAL_ERROR) on h2; h1 closes the connection without the last chunk. */
void http_abort(struct http_request *r);

/* Bytes queued and not yet handed to the connection. */
size_t http_queued(const struct http_request *r);

/* The standard phrase of a status ("Not Found"), or "Status". */
const char *http_status_text(int status);

#endif
