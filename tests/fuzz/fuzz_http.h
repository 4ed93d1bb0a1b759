/*
 * fuzz_http - feeds bytes to a server's connection without sockets.
 *
 * The first byte says into how large pieces the rest is cut.  Whatever comes, the connection must end without
 * a request left over and with what it held given back.
 */
#ifndef FUZZ_HTTP_H
#define FUZZ_HTTP_H

#include "http/http_priv.h"

#include <assert.h>

struct fuzz {
	struct loop *loop;
	struct http_server *server;
	int open; /* requests that the server told of and did not take back */
};

static void fuzz_request(struct http_request *r)
{
	struct fuzz *f = http_server_user(r->loop->server);
	f->open++;
	if (r->path.len % 3 == 0) {
		http_begin(r, 200, r->headers, r->headers_len < 8 ? r->headers_len : 8);
		http_reply_text(r, 500, "text/plain", STR("the second answer is none"));
		struct bytes *b = bytes_of_str(r->body);
		(void)http_write(r, b);
		bytes_unref(b);
		http_end(r);
	} else {
		http_reply(r, r->path.len % 3 == 1 ? 204 : 200, NULL, 0, r->body);
	}
}

static void fuzz_close(struct http_request *r)
{
	struct fuzz *f = http_server_user(r->loop->server);
	f->open--;
}

/* Response header names come from the request here; the server asserts on names that are no tokens. */
static struct fuzz *fuzz_setup(void)
{
	static struct fuzz f;
	struct error err;
	if (f.server)
		return &f;
	struct http_server_config cfg = { .limits = { .body_bytes_max = 4096,
						      .header_bytes_max = 2048,
						      .headers_max = 16,
						      .streams_max = 8 },
					  .loops = &f.loop,
					  .loops_len = 1,
					  .on = { .on_request = fuzz_request,
						  .on_close = fuzz_close },
					  .user = &f };
	if (loop_new(&f.loop, &err) != 0 || http_server_start(&cfg, &f.server, &err) != 0)
		abort();
	return &f;
}

static void fuzz_feed(const uint8_t *data, size_t len, const char *first, size_t first_len)
{
	struct fuzz *f = fuzz_setup();
	struct server_loop *l = f->server->loops[0];
	size_t step = len ? (data[0] & 63) + 1U : 1;
	atomic_fetch_add(&l->conns_len, 1);
	struct conn *c = conn_open(l, -1, "fuzz");
	conn_feed(c, (const unsigned char *)first, first_len);
	for (size_t at = 1; at < len && !list_empty(&l->conns); at += step) {
		conn_feed(c, data + at, len - at < step ? len - at : step);
		if (at % 3 == 0)
			loop_turn(f->loop, 0);
	}
	loop_turn(f->loop, 0);
	if (!list_empty(&l->conns)) {
		conn_kill(c);
		loop_turn(f->loop, 0);
	}
	assert(list_empty(&l->conns) && f->open == 0);
	assert(atomic_load(&l->conns_len) == 0 && atomic_load(&l->requests_len) == 0);
	assert(atomic_load(&f->server->bodies_bytes) == 0);
}

#endif
