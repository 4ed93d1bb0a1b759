/*
 * http_site - a small site on http/server and a blocking client, for the tests of that module.
 */
#ifndef HTTP_SITE_H
#define HTTP_SITE_H

#include "base/buf.h"
#include "http/server.h"

#include <pthread.h>
#include <stdatomic.h>

struct site {
	struct http_server *server;
	struct tls_context *tls;
	uint16_t port;
	char dir[64]; /* certificates: ca.crt, srv.*, alice.*, late.*, stranger.* */
	atomic_int begun, closed, stopped, drained;
	atomic_bool drain_done;
	pthread_mutex_t lock; /* guards the rest */
	char tls_error[512];
	struct http_request *streams[1024]; /* on their loop; found by site_emit */
	size_t streams_len;
};

struct site_options {
	struct http_limits limits;
	bool tls;
	size_t threads; /* 0 = 1 */
};

/*
 * What it answers:
 *   /hello        "hello\n"
 *   /echo         the body
 *   /show         method, path, query, authority and headers, a line each
 *   /who          name and groups of the client's certificate, or "nobody"
 *   /later        "later\n", from a timer
 *   /list?N       N times "0123456789"
 *   /stream       a stream: "one\n", then what site_emit() says
 *   /flood        a stream written until it is refused
 *   /pump?N       N bytes of stream, 64 KiB whenever drained
 *   /trailers     "body" and the trailer x-sum: 4
 *   /early        401, already in on_headers
 *   /inject       a header whose value tries to begin a second line
 *   /none         204
 */
struct site *site_new(struct site_options opt);
void site_free(struct site *s);

void site_emit(struct site *s, const char *text); /* to every stream */
void site_end_streams(struct site *s);
void site_drain(struct site *s, uint32_t grace_ms);
void site_wait(atomic_int *count, int at_least); /* up to 20 s, then fails the test */

/* ---- a blocking client ---- */

struct client {
	int fd;
	struct tls_context *context;
	struct tls_conn *tls;
	struct buf in; /* read and not yet used */
};

/* `cert` NULL = plain text, "" = TLS without a certificate, "alice" = with that one */
void client_open(struct client *c, struct site *s, const char *cert, const char *alpn);
void client_close(struct client *c);
int client_handshake(struct client *c, struct error *err);
void client_send(struct client *c, const char *p, size_t n); /* a closed peer is no failure */
void client_say(struct client *c, const char *text);

/* One read appended to in; 0 = closed, -1 = error or nothing within the time. */
ssize_t client_read(struct client *c);
void client_read_all(struct client *c); /* until closed */

/* Reads one answer (head and body by its length or chunks) off `in`; its status, 0 when closed. */
int client_answer(struct client *c, struct buf *head, struct buf *body, bool no_body);

/* Sends text and reads one answer. */
int client_ask(struct client *c, const char *text, struct buf *body);

#endif
