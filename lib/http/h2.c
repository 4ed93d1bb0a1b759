#include "base/mem.h"
#include "http/http_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
	STREAM_WINDOW_BYTES = 256 * 1024,
	CONNECTION_WINDOW_BYTES = 1024 * 1024,
	ANSWER_HEADERS_MAX = 64,
};

static struct request *stream_request(nghttp2_session *s, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(s, stream);
}

/* ---- nghttp2's callbacks: input ---- */

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct conn *c = user;
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct request *r = request_new(c, f->hd.stream_id);
	conn_wait(c, WAIT_NONE);
	(void)nghttp2_session_set_stream_user_data(s, f->hd.stream_id, r);
	return 0;
}

static bool add_pseudo(struct request *r, struct str name, struct str value)
{
	uint32_t at = (uint32_t)r->text.len;
	struct header_span span = { .value = at, .value_len = (uint32_t)value.len };
	if (!request_add_text(r, value))
		return false;
	if (str_is(name, ":path")) {
		r->path_at = at;
		r->path_len = (uint32_t)value.len;
	} else if (str_is(name, ":method")) {
		r->method = span;
	} else if (str_is(name, ":authority")) {
		r->authority = span;
	}
	return true;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	(void)flags;
	(void)user;
	struct request *r = stream_request(s, f->hd.stream_id);
	if (!r || r->headers_done || r->too_large)
		return 0;
	struct str n = str_n((const char *)name, name_len);
	struct str v = str_n((const char *)value, value_len);
	bool pseudo = n.len && n.p[0] == ':';
	r->too_large = pseudo ? !add_pseudo(r, n, v) : !request_add_header(r, n, v);
	return 0;
}

static void headers_done(struct request *r, bool end)
{
	r->has_body = !end;
	if (r->too_large) {
		r->headers_done = true;
		r->pub.start_ms = loop_now_ms(r->conn->l->pub.loop);
		request_refuse(r, 431, "the headers are too large\n");
		return;
	}
	struct str method = str_n(r->text.p + r->method.value, r->method.value_len);
	if (!request_headers_done(r, method) || r->answered || end)
		return;
	if (http_request_header(&r->pub, "expect").len) {
		nghttp2_nv nv = { (uint8_t[]){ ":status" }, (uint8_t[]){ "100" }, 7, 3, 0 };
		(void)nghttp2_submit_headers(r->conn->h2, NGHTTP2_FLAG_NONE, r->stream, NULL, &nv,
					     1, NULL);
	}
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	(void)user;
	if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
		return 0;
	struct request *r = stream_request(s, f->hd.stream_id);
	bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (r && f->hd.type == NGHTTP2_HEADERS && !r->headers_done)
		headers_done(r, end);
	if (r && end)
		request_body_done(r);
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
		   void *user)
{
	(void)flags;
	(void)user;
	struct request *r = stream_request(s, stream);
	if (r)
		request_body(r, str_n((const char *)p, n));
	/* taken or thrown away: either way the client may send as much again */
	(void)nghttp2_session_consume(s, stream, n);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user)
{
	(void)code;
	(void)user;
	struct request *r = stream_request(s, stream);
	if (r) {
		(void)nghttp2_session_set_stream_user_data(s, stream, NULL);
		request_over(r);
	}
	return 0;
}

/* ---- output ---- */

static int submit_trailers(struct request *r)
{
	nghttp2_nv nv[ANSWER_HEADERS_MAX];
	size_t n = r->trailers_len < ANSWER_HEADERS_MAX ? r->trailers_len : ANSWER_HEADERS_MAX;
	union {
		const char *c;
		uint8_t *u;
	} p;
	for (size_t i = 0; i < n; i++) {
		nv[i] = (nghttp2_nv){ .namelen = r->trailers[i].name.len,
				      .valuelen = r->trailers[i].value.len };
		p.c = r->trailers[i].name.p;
		nv[i].name = p.u;
		p.c = r->trailers[i].value.p;
		nv[i].value = p.u;
	}
	return nghttp2_submit_trailer(r->conn->h2, r->stream, nv, n);
}

static ssize_t read_body(nghttp2_session *s, int32_t stream, uint8_t *p, size_t cap,
			 uint32_t *flags, nghttp2_data_source *source, void *user)
{
	(void)s;
	(void)stream;
	(void)user;
	struct request *r = source->ptr;
	size_t n = r->aborted ? 0 : request_take(r, p, cap);
	if (r->out.bytes == 0 && r->ended && !r->aborted) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (r->trailers_len && submit_trailers(r) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	} else if (n == 0) {
		r->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

/* nghttp2 copies both; its structure only forgot to say const. */
static nghttp2_nv pair(struct str name, struct str value)
{
	union {
		const char *c;
		uint8_t *u;
	} n = { .c = name.p }, v = { .c = value.p ? value.p : "" };
	return (nghttp2_nv){ n.u, v.u, name.len, value.len, NGHTTP2_NV_FLAG_NONE };
}

/* Control characters would let an h1 hop behind us see a new line. */
static struct str sane_value(struct request *r, struct str v)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];
		if ((c >= 0x20 || c == '\t') && c != 0x7f)
			continue;
		char *copy = arena_alloc(&r->pub.arena, v.len);
		for (size_t k = 0; k < v.len; k++)
			copy[k] = (unsigned char)v.p[k] < 0x20 || v.p[k] == 0x7f ? ' ' : v.p[k];
		return str_n(copy, v.len);
	}
	return v;
}

void h2_answer(struct request *r, const struct http_header *headers, size_t headers_len,
	       const char *length)
{
	struct conn *c = r->conn;
	nghttp2_nv nv[ANSWER_HEADERS_MAX + 3];
	char status[8];
	size_t n = 0;
	assert(headers_len <= ANSWER_HEADERS_MAX);
	(void)snprintf(status, sizeof(status), "%d", r->pub.status);
	nv[n++] = pair(STR(":status"), str_of(status));
	for (size_t i = 0; i < headers_len; i++)
		nv[n++] = pair(headers[i].name, sane_value(r, headers[i].value));
	nv[n++] = pair(STR("date"), str_of(server_date(c->l)));
	if (length)
		nv[n++] = pair(STR("content-length"), str_of(length));
	bool empty = r->no_body || (length && strcmp(length, "0") == 0);
	nghttp2_data_provider body = { .source.ptr = r, .read_callback = read_body };
	if (nghttp2_submit_response(c->h2, r->stream, nv, n, empty ? NULL : &body) != 0)
		conn_kill(c);
}

void h2_resume(struct request *r)
{
	if (!r->deferred)
		return;
	r->deferred = false;
	(void)nghttp2_session_resume_data(r->conn->h2, r->stream);
}

void h2_reset(struct request *r, uint32_t code)
{
	(void)nghttp2_submit_rst_stream(r->conn->h2, NGHTTP2_FLAG_NONE, r->stream, code);
	conn_mark(r->conn);
}

/* ---- the connection ---- */

bool h2_open(struct conn *c)
{
	struct http_server *s = loop_server(c->l);
	const struct http_limits *lim = &s->cfg.limits;
	if (nghttp2_session_server_new2(&c->h2, s->h2_callbacks, c, s->h2_options) != 0)
		return false;
	nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, lim->streams_max },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)lim->header_bytes_max },
	};
	if (nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, 3) != 0 ||
	    nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0,
						  CONNECTION_WINDOW_BYTES) != 0)
		return false;
	c->proto = PROTO_H2;
	conn_wait(c, WAIT_REQUEST);
	conn_mark(c);
	return true;
}

void h2_feed(struct conn *c, const unsigned char *p, size_t n)
{
	ssize_t k = nghttp2_session_mem_recv(c->h2, p, n);
	if (k == (ssize_t)n)
		return;
	/* not HTTP/2, or a flood: nghttp2 has queued a GOAWAY where one is due */
	server_cut(c->l, CUT_PROTOCOL);
	c->discard = true;
	c->closing = true;
}

size_t h2_fill(struct conn *c, unsigned char *out, size_t cap)
{
	size_t n = 0;
	while (cap - n >= WRITE_RESERVE) {
		const uint8_t *p = NULL;
		ssize_t k = nghttp2_session_mem_send(c->h2, &p);
		if (k < 0 || (size_t)k > cap - n) {
			c->dead = true;
			return 0;
		}
		if (k == 0)
			break;
		memcpy(out + n, p, (size_t)k);
		n += (size_t)k;
	}
	return n;
}

bool h2_finished(const struct conn *c)
{
	if (c->goaway_sent && c->requests_len == 0)
		return !nghttp2_session_want_write(c->h2);
	return !nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2);
}

void h2_begin_drain(struct conn *c)
{
	(void)nghttp2_submit_shutdown_notice(c->h2);
	conn_mark(c);
}

void h2_goaway(struct conn *c)
{
	c->goaway_sent = true;
	int32_t last = nghttp2_session_get_last_proc_stream_id(c->h2);
	(void)nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
	conn_mark(c);
}

int h2_setup(struct http_server *s, struct error *err)
{
	const struct http_limits *lim = &s->cfg.limits;
	if (nghttp2_session_callbacks_new(&s->h2_callbacks) != 0 ||
	    nghttp2_option_new(&s->h2_options) != 0)
		return error_set(err, ERR_INTERNAL, "no memory for HTTP/2");
	nghttp2_session_callbacks *cb = s->h2_callbacks;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_option_set_no_auto_window_update(s->h2_options, 1);
	nghttp2_option_set_no_closed_streams(s->h2_options, 1);
	nghttp2_option_set_stream_reset_rate_limit(s->h2_options, lim->reset_burst,
						   lim->reset_per_s);
	return 0;
}

void h2_teardown(struct http_server *s)
{
	nghttp2_session_callbacks_del(s->h2_callbacks);
	nghttp2_option_del(s->h2_options);
}
