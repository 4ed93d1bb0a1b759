#include "base/mem.h"
#include "http_site.h"

#include <criterion/criterion.h>

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>

enum { STREAMS_MAX = 1200 };

/* ---- a client ---- */

struct reply {
	int status;
	struct buf body;
	char trailer[32];
	bool closed;
	uint32_t code; /* why it closed */
};

struct upload {
	size_t left;
	bool hold; /* sends nothing more, and no end */
};

struct h2 {
	struct client c;
	nghttp2_session *session;
	struct reply *replies; /* by stream id / 2 */
	struct upload uploads[STREAMS_MAX];
	int goaways;
	int32_t last_stream; /* of the last GOAWAY */
	bool mute;           /* answers no PING: nothing is sent at all */
	bool end;            /* the server closed */
};

static struct reply *reply_of(struct h2 *h, int32_t stream)
{
	cr_assert(stream / 2 < STREAMS_MAX);
	return &h->replies[stream / 2];
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	struct reply *r = reply_of(user, f->hd.stream_id);
	(void)s;
	(void)flags;
	if (name_len == 7 && memcmp(name, ":status", 7) == 0)
		r->status = (int)strtol((const char *)value, NULL, 10);
	else if (r->body.len && value_len < sizeof(r->trailer))
		memcpy(r->trailer, value, value_len);
	return 0;
}

static int on_chunk(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
		    void *user)
{
	(void)s;
	(void)flags;
	buf_add(&reply_of(user, stream)->body, p, n);
	return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user)
{
	struct reply *r = reply_of(user, stream);
	(void)s;
	r->closed = true;
	r->code = code;
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	(void)s;
	if (f->hd.type == NGHTTP2_GOAWAY) {
		h->goaways++;
		h->last_stream = f->goaway.last_stream_id;
	}
	return 0;
}

static ssize_t read_upload(nghttp2_session *s, int32_t stream, uint8_t *p, size_t n,
			   uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct upload *u = source->ptr;
	size_t k = u->left < n ? u->left : n;
	(void)s;
	(void)stream;
	(void)user;
	memset(p, 'u', k);
	u->left -= k;
	if (u->left == 0 && !u->hold)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (k == 0)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)k;
}

static struct h2 *h2_new(struct site *s, const char *cert, bool window_updates)
{
	struct h2 *h = mem_new(struct h2, 1);
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	struct error err = { 0 };
	h->replies = mem_new(struct reply, STREAMS_MAX);
	client_open(&h->c, s, cert, "h2");
	if (cert) {
		cr_assert_eq(client_handshake(&h->c, &err), 0, "%s", err.msg);
		cr_assert(str_is(tls_alpn(h->c.tls), "h2"));
	}
	cr_assert_eq(nghttp2_session_callbacks_new(&cb), 0);
	cr_assert_eq(nghttp2_option_new(&opt), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_option_set_no_auto_window_update(opt, !window_updates);
	cr_assert_eq(nghttp2_session_client_new2(&h->session, cb, h, opt), 0);
	cr_assert_eq(nghttp2_submit_settings(h->session, 0, NULL, 0), 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
	return h;
}

static void h2_free(struct h2 *h)
{
	nghttp2_session_del(h->session);
	client_close(&h->c);
	for (int i = 0; i < STREAMS_MAX; i++)
		buf_fini(&h->replies[i].body);
	mem_free(h->replies);
	mem_free(h);
}

static void h2_send(struct h2 *h)
{
	const uint8_t *p = NULL;
	for (ssize_t n; !h->mute && (n = nghttp2_session_mem_send(h->session, &p)) > 0;)
		client_send(&h->c, (const char *)p, (size_t)n);
}

static void h2_read(struct h2 *h)
{
	h2_send(h);
	buf_clear(&h->c.in);
	if (client_read(&h->c) <= 0) {
		h->end = true;
		return;
	}
	cr_assert_eq(nghttp2_session_mem_recv(h->session, (uint8_t *)h->c.in.p, h->c.in.len),
		     (ssize_t)h->c.in.len);
	h2_send(h);
}

#define NV(n, v) \
	{ \
		(uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), 0 \
	}

static int32_t h2_ask(struct h2 *h, const char *method, const char *path, size_t body, bool hold)
{
	nghttp2_nv nv[] = { NV(":method", method), NV(":scheme", "http"),   NV(":path", path),
			    NV(":authority", "x"), NV("x-header", "value"), NV("te", "trailers") };
	int32_t next = (int32_t)nghttp2_session_get_next_stream_id(h->session);
	struct upload *u = &h->uploads[next / 2];
	*u = (struct upload){ body, hold };
	nghttp2_data_provider data = { .source.ptr = u, .read_callback = read_upload };
	int32_t stream = nghttp2_submit_request(h->session, NULL, nv, sizeof(nv) / sizeof(*nv),
						body || hold ? &data : NULL, NULL);
	cr_assert_eq(stream, next);
	return stream;
}

static struct reply *h2_wait(struct h2 *h, int32_t stream)
{
	struct reply *r = reply_of(h, stream);
	while (!r->closed && !h->end)
		h2_read(h);
	return r;
}

static struct reply *h2_get(struct h2 *h, const char *path)
{
	return h2_wait(h, h2_ask(h, "GET", path, 0, false));
}

/* ---- requests ---- */

struct exchange {
	const char *method, *path;
	size_t body;
	int status;
	const char *answer;
};

static const struct exchange exchanges[] = {
	{ "GET", "/hello", 0, 200, "hello\n" },
	{ "HEAD", "/hello", 0, 200, "" },
	{ "GET", "/none", 0, 204, "" },
	{ "GET", "/later", 0, 200, "later\n" },
	{ "POST", "/echo", 5, 200, "uuuuu" },
	{ "GET", "/show?a=b", 0, 200, "GET|/show|a=b|x\nx-header=value\nte=trailers\n" },
	{ "GET", "/early", 0, 401, "who are you\n" },
	{ "POST", "/early", 100000, 401, "who are you\n" },
	{ "GET", "/inject", 0, 200, "ok" },
	{ "GET", "/a#b", 0, 400, "bad request target\n" },
	{ "GET", "/nothing", 0, 404, "not found\n" },
};

static void check_exchanges(struct h2 *h)
{
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(*exchanges); i++) {
		const struct exchange *e = &exchanges[i];
		struct reply *r = h2_wait(h, h2_ask(h, e->method, e->path, e->body, false));
		cr_assert_eq(r->status, e->status, "%s: %d", e->path, r->status);
		cr_assert_str_eq(buf_cstr((buf_addc(&r->body, '\0'), &r->body)), e->answer, "%s",
				 e->path);
		cr_assert_eq(r->code, NGHTTP2_NO_ERROR);
	}
	struct reply *r = h2_get(h, "/list?300000");
	cr_assert_eq(r->body.len, 3000000);
	r = h2_wait(h, h2_ask(h, "POST", "/echo", 2000000, false));
	cr_assert_eq(r->body.len, 2000000);
	r = h2_get(h, "/trailers");
	cr_assert(str_is(buf_str(&r->body), "body"));
	cr_assert_str_eq(r->trailer, "4");
}

Test(h2, requests_are_answered_with_prior_knowledge_and_by_alpn)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct h2 *h = h2_new(s, NULL, true);
	check_exchanges(h);
	h2_free(h);
	site_free(s);
	s = site_new((struct site_options){ .tls = true });
	h = h2_new(s, "alice", true);
	check_exchanges(h);
	cr_assert(str_is(buf_str(&h2_get(h, "/who")->body), "alice system:masters ops"));
	h2_free(h);
	site_free(s);
}

Test(h2, a_preface_in_single_bytes_is_recognised)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct h2 *h = h2_new(s, NULL, true);
	(void)h2_ask(h, "GET", "/hello", 0, false);
	const uint8_t *p = NULL;
	for (ssize_t n; (n = nghttp2_session_mem_send(h->session, &p)) > 0;) {
		for (ssize_t i = 0; i < n; i++)
			client_send(&h->c, (const char *)p + i, 1);
	}
	cr_assert_eq(h2_wait(h, 1)->status, 200);
	h2_free(h);
	site_free(s);
}

Test(h2, many_streams_share_a_connection)
{
	struct site *s = site_new((struct site_options){ .limits.streams_max = 100 });
	struct h2 *h = h2_new(s, NULL, true);
	cr_assert_eq(h2_get(h, "/hello")->status, 200); /* the server's settings are known */
	int32_t first = h2_ask(h, "GET", "/stream", 0, false);
	for (int i = 1; i < 100; i++)
		(void)h2_ask(h, "GET", "/stream", 0, false);
	h2_send(h);
	site_wait(&s->begun, 101);
	for (int i = 0; i < 50; i++)
		site_emit(s, "event\n");
	site_end_streams(s);
	for (int i = 0; i < 100; i++) {
		struct reply *r = h2_wait(h, first + 2 * i);
		cr_assert_eq(r->status, 200);
		cr_assert_eq(r->body.len, 4 + 50 * 6);
	}
	/* the program saw the end of each */
	site_wait(&s->closed, 101);
	h2_free(h);
	site_free(s);
}

Test(h2, on_drained_paces_a_large_stream)
{
	struct site *s = site_new((struct site_options){ .limits.queue_bytes_max = 65536 });
	struct h2 *h = h2_new(s, NULL, true);
	struct reply *r = h2_get(h, "/pump?8388608");
	cr_assert_eq(r->body.len, 8388608);
	cr_assert_eq(r->code, NGHTTP2_NO_ERROR);
	h2_free(h);
	site_free(s);
}

/* ---- limits ---- */

Test(h2, a_body_over_the_limit_is_413)
{
	struct site *s = site_new((struct site_options){ .limits.body_bytes_max = 100000 });
	struct h2 *h = h2_new(s, NULL, true);
	for (int i = 0; i < 2; i++) {
		struct reply *r = h2_wait(h, h2_ask(h, "POST", "/echo", 4000000, false));
		cr_assert_eq(r->status, 413);
		cr_assert(str_is(buf_str(&r->body), "the body is too large\n"));
	}
	cr_assert_eq(h2_get(h, "/hello")->status, 200, "the connection goes on");
	cr_assert_eq(atomic_load(&s->begun), 1);
	h2_free(h);
	site_free(s);
}

Test(h2, headers_over_the_limit_are_431)
{
	struct site *s = site_new(
		(struct site_options){ .limits = { .header_bytes_max = 4000, .headers_max = 20 } });
	struct h2 *h = h2_new(s, NULL, true);
	char path[6000] = "/";
	memset(path + 1, 'p', sizeof(path) - 2);
	cr_assert_eq(h2_get(h, path)->status, 431);
	cr_assert_eq(h2_get(h, "/hello")->status, 200);
	h2_free(h);
	site_free(s);
}

Test(h2, a_body_that_does_not_end_is_408)
{
	struct site *s = site_new((struct site_options){ .limits.body_timeout_ms = 100 });
	struct h2 *h = h2_new(s, NULL, true);
	int32_t stream = h2_ask(h, "POST", "/echo", 10, true);
	struct reply *r = reply_of(h, stream);
	while (r->status == 0 && !h->end)
		h2_read(h);
	cr_assert_eq(r->status, 408);
	/* and the stream that the client leaves open is reset */
	(void)h2_wait(h, stream);
	cr_assert(r->closed);
	h2_free(h);
	site_free(s);
}

Test(h2, a_reader_that_does_not_read_is_cut_and_only_that_stream)
{
	struct site *s = site_new((struct site_options){ .limits.queue_bytes_max = 300000 });
	struct h2 *h = h2_new(s, NULL, false); /* never opens a window */
	struct reply *r = h2_get(h, "/flood");
	cr_assert_eq(r->code, NGHTTP2_INTERNAL_ERROR);
	site_wait(&s->closed, 1);
	h2_free(h);
	/* windows that never open for an answer that was made as a whole */
	site_free(s);
	s = site_new((struct site_options){ .limits.write_timeout_ms = 200 });
	h = h2_new(s, NULL, false);
	r = h2_get(h, "/list?300000");
	cr_assert_eq(r->status, 200);
	cr_assert_eq(r->code, NGHTTP2_INTERNAL_ERROR);
	site_wait(&s->closed, 1);
	h2_free(h);
	site_free(s);
}

Test(h2, readers_that_do_not_read_cannot_fill_the_memory)
{
	struct site *s = site_new((struct site_options){ .limits.answers_bytes_max = 10000000 });
	struct h2 *greedy = h2_new(s, NULL, false); /* never opens a window */
	struct h2 *modest = h2_new(s, NULL, false);
	struct h2 *reader = h2_new(s, NULL, true);
	int32_t one = h2_ask(modest, "GET", "/list?300000", 0, false);
	while (reply_of(modest, one)->status == 0)
		h2_read(modest);
	for (int i = 0; i < 20; i++)
		(void)h2_ask(greedy, "GET", "/list?300000", 0, false);
	while (!greedy->end)
		h2_read(greedy);
	cr_assert(!reply_of(modest, one)->closed);
	cr_assert_eq(h2_get(reader, "/list?300000")->body.len, 3000000);
	cr_assert_eq(http_server_connections(s->server), 2);
	/* a single answer may be larger than all together should be, for who reads it */
	cr_assert_eq(h2_get(reader, "/list?3000000")->body.len, 30000000);
	h2_free(greedy);
	h2_free(modest);
	h2_free(reader);
	site_free(s);
}

Test(h2, a_silent_peer_is_asked_and_then_closed)
{
	struct site *s = site_new((struct site_options){
		.limits = { .ping_interval_ms = 100, .ping_timeout_ms = 100 } });
	struct h2 *h = h2_new(s, NULL, true);
	(void)h2_ask(h, "GET", "/stream", 0, false);
	h2_send(h);
	site_wait(&s->begun, 1);
	/* one that answers stays */
	struct pollfd p = { .fd = h->c.fd, .events = POLLIN };
	for (int i = 0; i < 12; i++) {
		if (poll(&p, 1, 50) > 0)
			h2_read(h);
	}
	cr_assert(!h->end);
	cr_assert_eq(atomic_load(&s->closed), 0);
	h->mute = true;
	while (!h->end)
		h2_read(h);
	site_wait(&s->closed, 1);
	h2_free(h);
	site_free(s);
}

Test(h2, rapid_resets_end_the_connection)
{
	struct site *s = site_new(
		(struct site_options){ .limits = { .reset_burst = 100, .reset_per_s = 1 } });
	struct h2 *h = h2_new(s, NULL, true);
	for (int i = 0; i < 1000 && !h->end; i++) {
		int32_t stream = h2_ask(h, "GET", "/stream", 0, false);
		(void)nghttp2_submit_rst_stream(h->session, 0, stream, NGHTTP2_CANCEL);
		h2_send(h);
		(void)nghttp2_submit_rst_stream(h->session, 0, stream, NGHTTP2_CANCEL);
		h2_send(h);
		struct pollfd p = { .fd = h->c.fd, .events = POLLIN };
		if (poll(&p, 1, 0) > 0)
			h2_read(h);
	}
	while (!h->end)
		h2_read(h);
	int begun = atomic_load(&s->begun);
	cr_assert(begun < 1000, "%d", begun);
	site_wait(&s->closed, begun);
	h2_free(h);
	site_free(s);
}

Test(h2, what_is_not_http2_is_closed)
{
	struct site *s = site_new((struct site_options){ 0 });
	static const char *const bad[] = {
		"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"PRI * HTTP/1.1\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct client c;
		client_open(&c, s, NULL, "");
		client_say(&c, bad[i]);
		client_read_all(&c);
		client_close(&c);
	}
	site_free(s);
}

Test(h2, a_stream_that_the_client_leaves_is_noticed)
{
	struct site *s = site_new((struct site_options){ 0 });
	struct h2 *h = h2_new(s, NULL, true);
	int32_t stream = h2_ask(h, "GET", "/stream", 0, false);
	while (reply_of(h, stream)->body.len == 0)
		h2_read(h);
	(void)nghttp2_submit_rst_stream(h->session, 0, stream, NGHTTP2_CANCEL);
	h2_send(h);
	site_wait(&s->closed, 1);
	cr_assert_eq(h2_get(h, "/hello")->status, 200);
	(void)h2_ask(h, "GET", "/stream", 0, false);
	(void)h2_ask(h, "GET", "/later", 0, false);
	h2_send(h);
	site_wait(&s->begun, 3);
	h2_free(h); /* the connection goes under two requests */
	site_wait(&s->closed, atomic_load(&s->begun));
	site_free(s);
}

/* ---- draining ---- */

Test(h2, a_drain_ends_streams_serves_what_is_under_way_and_closes)
{
	struct site *s = site_new((struct site_options){ .tls = true, .threads = 2 });
	struct h2 *h = h2_new(s, "alice", true);
	int32_t stream = h2_ask(h, "GET", "/stream", 0, false);
	int32_t upload = h2_ask(h, "POST", "/echo", 5, true);
	while (reply_of(h, stream)->body.len == 0)
		h2_read(h);
	site_drain(s, 20000);
	struct reply *r = h2_wait(h, stream);
	cr_assert_eq(r->code, NGHTTP2_NO_ERROR, "the watch ends cleanly");
	cr_assert_eq(atomic_load(&s->stopped), 1);
	while (h->goaways == 0)
		h2_read(h);
	cr_assert_eq(h->last_stream, INT32_MAX, "the first step refuses nothing");
	while (h->goaways == 1 && !h->end)
		h2_read(h);
	cr_assert_eq(h->last_stream, upload, "the second one says where it ends");
	h->uploads[upload / 2].hold = false;
	(void)nghttp2_session_resume_data(h->session, upload);
	r = h2_wait(h, upload);
	cr_assert_eq(r->status, 200);
	cr_assert(str_is(buf_str(&r->body), "uuuuu"));
	while (!h->end)
		h2_read(h);
	for (int i = 0; i < 20000 && !atomic_load(&s->drain_done); i++)
		(void)poll(NULL, 0, 1);
	cr_assert(atomic_load(&s->drain_done));
	h2_free(h);
	site_free(s);
}
