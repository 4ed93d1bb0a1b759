/*
 * http/http_priv - what the files of this module share.
 *
 *   server.c   configuration, listeners, handing over, draining
 *   conn.c     a connection: bytes in, bytes out, its end
 *   timeout.c  what becomes of those who take too long
 *   h1.c       HTTP/1.1 on llhttp
 *   h2.c       HTTP/2 on nghttp2
 *   request.c  a request's memory, coming in
 *   reply.c    its answer, going out
 *   body.c     chains of pieces
 *   status.c   phrases and dates
 *
 * Nothing is freed inside a callback of llhttp or nghttp2, nor inside a function that the program
 * calls: connections and requests that are over go in conn_flush(), which runs once at the end of a
 * loop's turn and also writes what the turn produced, in one go.
 */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "http/server.h"

#include <llhttp/llhttp.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
	READ_BYTES = 32 * 1024,  /* one read */
	WRITE_BYTES = 80 * 1024, /* one write; h2 frames are appended while 20 KiB are left */
	WRITE_RESERVE = 20 * 1024,
	READS_PER_TURN = 4, /* so that one peer cannot hog the loop */
	WRITES_PER_TURN = 16,
	PIPELINE_BYTES_MAX = 64 * 1024, /* read ahead of a busy h1 request */
	FREE_REQUESTS_MAX = 256,        /* kept by a loop for the next ones */
	KEEP_BYTES_MAX = 8 * 1024,      /* a kept request's buffers */
	LINGER_MS = 2000,
	GOAWAY_DELAY_MS = 250, /* between the two steps of closing h2 */
	ADDRESS_BYTES = 64,
};

struct conn;

/* ---- requests ---- */

struct header_span {
	uint32_t name, name_len, value, value_len; /* offsets into text */
};

struct request {
	struct http_request pub;
	struct conn *conn;
	struct list link; /* conn->requests, or the loop's free ones */
	int32_t stream;   /* h2; 0 on h1 */

	/* coming in */
	struct buf text; /* path, names and values */
	struct header_span *spans;
	size_t spans_len, spans_cap;
	struct http_header *headers;
	size_t headers_cap;
	struct buf body;
	size_t body_counted;                  /* part of the server's bodies_bytes */
	uint32_t path_at, path_len;           /* of text; the target as it was sent */
	struct header_span method, authority; /* h2 pseudo headers: value is used */
	bool headers_done, has_body, body_done;
	bool too_large; /* h2: refused once its headers have ended */
	bool told;      /* the program knows it: on_close is owed */
	bool discard;   /* the rest of the body is read and thrown away */
	bool head;      /* HEAD: the answer's body is counted, not sent */

	/* going out */
	struct buf head_out; /* h1: status line and headers */
	struct http_body out;
	uint64_t held;                /* what `out` alone keeps in memory, at most (held.c) */
	uint64_t written;             /* body bytes ever queued */
	uint64_t exempt;              /* written up to here does not count for queue_bytes_max */
	uint64_t stalled_ms;          /* when bytes began to wait without progress; 0 = none wait */
	struct http_header *trailers; /* in pub.arena */
	size_t trailers_len;
	bool answered, begun, ended;
	bool chunked, no_body, deferred;
	bool drain_owed; /* on_drained is due when the queue is empty */
	bool stop_told, aborted;
	bool over; /* left by the client, or done: freed at the next flush */
};

struct request *request_new(struct conn *c, int32_t stream);
void request_over(struct request *r); /* the client left it, or it is done */
void request_free(struct request *r); /* calls on_close when owed */
void request_fini(struct request *r); /* of one put aside: gives its memory back */

/* Appends to the text; false when a limit is crossed. */
bool request_add_text(struct request *r, struct str s);
bool request_add_header(struct request *r, struct str name, struct str value);

/* All headers are there: fills pub.  False: answered with an error status. */
bool request_headers_done(struct request *r, struct str method);
void request_body(struct request *r, struct str bytes);
void request_body_done(struct request *r);

/* The next bytes of the answer's body, at most n; how many. */
size_t request_take(struct request *r, void *p, size_t n);

/* Counts n bytes that the answer alone keeps; cuts the worst of the slow readers where it is too much. */
void held_add(struct request *r, uint64_t n);
void held_sub(struct request *r, uint64_t n);

/* An answer of the server's own.  The connection is closed behind it (h1). */
void request_refuse(struct request *r, int status, const char *why);

static inline struct request *request_of(struct http_request *pub)
{
	return (struct request *)(void *)pub;
}

/* ---- connections ---- */

enum proto { PROTO_TLS, PROTO_DETECT, PROTO_H1, PROTO_H2, PROTO_LINGER };

/* What the connection's clock is running for. */
enum waiting { WAIT_HANDSHAKE, WAIT_REQUEST, WAIT_HEADERS, WAIT_NONE, WAIT_LINGER };

enum head_scan { SCAN_START, SCAN_LINE, SCAN_LF, SCAN_LF_CR, SCAN_DONE };

struct h1 {
	llhttp_t parser;
	enum head_scan scan;
	unsigned char last;         /* byte of the input before this one */
	uint32_t name_at, value_at; /* of the header coming in, offsets into text */
	bool in_value;
	uint32_t trailer_bytes;
};

struct conn {
	struct server_loop *l;
	struct loop_io io;      /* fd -1: bytes go nowhere (fuzzing) */
	struct loop_task again; /* reads on: bytes may lie where no poll sees them */
	struct list link;       /* l->conns */
	struct list dirty;      /* l->dirty */
	struct tls_conn *tls;
	enum proto proto;
	enum waiting waiting;
	uint64_t since_ms;   /* when that waiting began */
	uint64_t read_ms;    /* last byte of the peer's */
	uint64_t stalled_ms; /* since when `out` waits without progress; 0 = empty */
	uint64_t held;       /* sum of its requests' */
	uint64_t held_ms;    /* since when it holds without progress */
	bool keep;           /* h1: another request may follow */
	bool closing;        /* when all is written */
	bool dead;           /* now */
	bool eof;            /* all that the peer sent has been read */
	bool hung_up;        /* it sends no more; some may be unread */
	bool discard;        /* what comes is thrown away */
	bool want_write;     /* TLS cannot read before it has written */
	bool ping_out, goaway_sent, drain_seen;
	struct h1 *h1;
	nghttp2_session *h2;
	struct buf pend; /* input ahead of a busy h1 request, used up to pend_at */
	size_t pend_at;
	struct buf out; /* what the socket did not take */
	size_t out_at;
	struct list requests;
	uint32_t requests_len;
	uint32_t over_len; /* of those, waiting to be freed */
	char address[ADDRESS_BYTES];
};

struct conn *conn_open(struct server_loop *l, int fd, const char *address);
void conn_mark(struct conn *c); /* something to write or to clean up at the end of this turn */
void conn_kill(struct conn *c); /* closed at the end of this turn */
void conn_wait(struct conn *c, enum waiting what);
void conn_feed(struct conn *c, const unsigned char *p, size_t n);
void conn_free(struct conn *c);
void conn_flush_all(struct loop_task *t);

bool h1_open(struct conn *c);
void h1_feed(struct conn *c, const unsigned char *p, size_t n);
size_t h1_fill(struct conn *c, unsigned char *out, size_t cap); /* bytes written to out */
bool h1_busy(const struct conn *c);

bool h2_open(struct conn *c);
void h2_feed(struct conn *c, const unsigned char *p, size_t n);
size_t h2_fill(struct conn *c, unsigned char *out, size_t cap);
bool h2_finished(const struct conn *c);
void h2_begin_drain(struct conn *c);
void h2_goaway(struct conn *c);
void h2_answer(struct request *r, const struct http_header *headers, size_t headers_len,
	       const char *length);
void h2_resume(struct request *r);
void h2_reset(struct request *r, uint32_t code);

void h1_answer(struct request *r, const struct http_header *headers, size_t headers_len,
	       const char *length);

/* ---- the server ---- */

struct server_loop {
	struct http_loop pub;
	pthread_t thread;
	bool own; /* loop and thread are the server's */
	struct list conns;
	struct list dirty;
	struct loop_task flush;
	struct loop_timer tick;
	_Atomic uint64_t conns_len; /* counted by who hands over, so that a burst spreads */
	_Atomic uint64_t requests_len;
	uint64_t held;                  /* sum of its connections' */
	uint64_t conns_peak, held_peak; /* since memory was last given back */
	struct list free_requests;
	size_t free_requests_len;
	bool draining, drained_told;
	uint64_t drain_start_ms, drain_end_ms;
	char date[32];
	uint64_t date_ms; /* loop time that `date` was made */
	unsigned char rbuf[READ_BYTES];
	unsigned char wbuf[WRITE_BYTES];
};

struct listener {
	struct loop_io io;
	struct loop_timer retry; /* after running out of descriptors */
	struct http_server *server;
	uint16_t port;
};

enum cut { CUT_SLOW_READER, CUT_TIMEOUT, CUT_REFUSED, CUT_TLS, CUT_PROTOCOL, CUT_COUNT };

struct http_server {
	_Atomic uint32_t refs; /* the maker's and each message's under way */
	atomic_bool gone;      /* freed by its maker; messages do nothing */
	atomic_bool draining;
	struct http_server_config cfg; /* limits filled in */
	struct server_loop **loops;
	size_t loops_len;
	struct listener *listeners;
	size_t listeners_len;
	nghttp2_session_callbacks *h2_callbacks;
	nghttp2_option *h2_options;
	_Atomic uint64_t bodies_bytes; /* request bodies held */
	uint64_t tick_ms;
	size_t loops_drained; /* first loop only */
	void (*drain_done)(void *arg);
	void *drain_arg;
	uint32_t drain_grace_ms;
	struct metric *m_conns, *m_accepted, *m_requests[2], *m_cut[CUT_COUNT];
};

static inline struct http_server *loop_server(const struct server_loop *l)
{
	return l->pub.server;
}

static inline const struct http_limits *conn_limits(const struct conn *c)
{
	return &c->l->pub.server->cfg.limits;
}

int h2_setup(struct http_server *s, struct error *err);
void h2_teardown(struct http_server *s);

void server_count(struct metric *m, int64_t n); /* m may be NULL */
void server_cut(struct server_loop *l, enum cut why);
void server_conn_gone(struct server_loop *l);

void timeout_tick(struct loop_timer *t);
uint64_t timeout_period(const struct http_limits *lim);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7) */
void http_date(int64_t unix_s, char out[32]);
const char *server_date(struct server_loop *l);

#endif
