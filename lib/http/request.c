#include "base/mem.h"
#include "http/http_priv.h"

#include <assert.h>
#include <string.h>

/* ---- memory ---- */

struct request *request_new(struct conn *c, int32_t stream)
{
	struct server_loop *l = c->l;
	struct request *r = NULL;
	if (!list_empty(&l->free_requests)) {
		r = list_entry(l->free_requests.next, struct request, link);
		list_del(&r->link);
		l->free_requests_len--;
	} else {
		r = mem_new(struct request, 1);
	}
	r->conn = c;
	r->stream = stream;
	r->pub.loop = &l->pub;
	r->pub.start_ms = loop_now_ms(l->pub.loop); /* until its headers are complete */
	r->pub.version = c->h2 ? 2 : 1;
	r->pub.tls = c->tls != NULL;
	r->pub.peer = c->tls ? tls_peer(c->tls) : NULL;
	r->pub.peer_address = str_of(c->address);
	list_append(&c->requests, &r->link);
	c->requests_len++;
	atomic_fetch_add_explicit(&l->requests_len, 1, memory_order_relaxed);
	server_count(loop_server(l)->m_requests[c->h2 ? 1 : 0], 1);
	return r;
}

static void trim(struct buf *b)
{
	if (b->cap > KEEP_BYTES_MAX)
		buf_fini(b);
	buf_clear(b);
}

/* Puts r aside with the memory it has, so that the next request needs none. */
static void recycle(struct server_loop *l, struct request *r)
{
	trim(&r->text);
	trim(&r->body);
	trim(&r->head_out);
	if (r->pub.arena.total > 4 * KEEP_BYTES_MAX)
		arena_fini(&r->pub.arena);
	else
		arena_reset(&r->pub.arena);
	struct request fresh = { .text = r->text,
				 .body = r->body,
				 .head_out = r->head_out,
				 .spans = r->spans,
				 .spans_cap = r->spans_cap,
				 .headers = r->headers,
				 .headers_cap = r->headers_cap };
	fresh.pub.arena = r->pub.arena;
	*r = fresh;
	list_add(&l->free_requests, &r->link);
	l->free_requests_len++;
}

void request_fini(struct request *r)
{
	buf_fini(&r->text);
	buf_fini(&r->body);
	buf_fini(&r->head_out);
	arena_fini(&r->pub.arena);
	mem_free(r->spans);
	mem_free(r->headers);
	mem_free(r);
}

void request_over(struct request *r)
{
	if (!r->over)
		r->conn->over_len++;
	r->over = true;
}

void request_free(struct request *r)
{
	struct conn *c = r->conn;
	struct server_loop *l = c->l;
	struct http_server *s = loop_server(l);
	if (r->over)
		c->over_len--;
	r->over = true;
	if (r->told && s->cfg.on.on_close)
		s->cfg.on.on_close(&r->pub);
	list_del(&r->link);
	c->requests_len--;
	atomic_fetch_sub_explicit(&l->requests_len, 1, memory_order_relaxed);
	if (r->body_counted)
		atomic_fetch_sub_explicit(&s->bodies_bytes, r->body_counted, memory_order_relaxed);
	http_body_fini(&r->out);
	held_sub(r, r->held);
	if (l->free_requests_len < FREE_REQUESTS_MAX) {
		recycle(l, r);
	} else {
		request_fini(r);
	}
}

/* ---- headers ---- */

bool request_add_text(struct request *r, struct str s)
{
	if (s.len > conn_limits(r->conn)->header_bytes_max - r->text.len)
		return false;
	buf_add_str(&r->text, s);
	return true;
}

bool request_add_header(struct request *r, struct str name, struct str value)
{
	if (r->spans_len >= conn_limits(r->conn)->headers_max)
		return false;
	struct header_span span = { .name = (uint32_t)r->text.len, .name_len = (uint32_t)name.len };
	if (!request_add_text(r, name))
		return false;
	span.value = (uint32_t)r->text.len;
	span.value_len = (uint32_t)value.len;
	if (!request_add_text(r, value))
		return false;
	mem_grow(r->spans, r->spans_len, r->spans_cap);
	r->spans[r->spans_len++] = span;
	return true;
}

struct str http_request_header(const struct http_request *r, const char *name)
{
	struct str want = str_of(name);
	for (size_t i = 0; i < r->headers_len; i++) {
		if (str_eq(r->headers[i].name, want))
			return r->headers[i].value;
	}
	return STR_NONE;
}

static size_t count_headers(const struct http_request *r, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < r->headers_len; i++)
		n += str_is(r->headers[i].name, name);
	return n;
}

static void fill_headers(struct request *r)
{
	if (r->headers_cap < r->spans_len) {
		r->headers_cap = r->spans_len < 16 ? 16 : r->spans_len;
		r->headers = mem_resize(r->headers, r->headers_cap, sizeof(*r->headers));
	}
	const char *text = r->text.p;
	for (size_t i = 0; i < r->spans_len; i++) {
		struct header_span *s = &r->spans[i];
		r->headers[i].name = str_n(text + s->name, s->name_len);
		r->headers[i].value = str_trim(str_n(text + s->value, s->value_len));
	}
	r->pub.headers = r->headers;
	r->pub.headers_len = r->spans_len;
}

/* Visible ASCII without '#': whatever else is in a target, two readers may see two things. */
static bool target_is_sane(struct str t)
{
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];
		if (c <= 0x20 || c >= 0x7f || c == '#')
			return false;
	}
	return t.len > 0;
}

/* host, host:port, [address]:port; empty is allowed (RFC 9112, 3.2) */
static bool authority_is_sane(struct str a)
{
	for (size_t i = 0; i < a.len; i++) {
		unsigned char c = (unsigned char)a.p[i];
		if (c <= 0x20 || c >= 0x7f || strchr("/\\?#@,<>\"{}|^`", c))
			return false;
	}
	return true;
}

/* Splits the target; takes the absolute form (RFC 9112, 3.2.2) apart. */
static bool fill_target(struct request *r, struct str target)
{
	if (!target_is_sane(target))
		return false;
	if (str_starts(target, STR("http://")) || str_starts(target, STR("https://"))) {
		ptrdiff_t slash = str_find(target, '/', target.p[4] == 's' ? 8 : 7);
		target = slash < 0 ? STR("/") : str_sub(target, (size_t)slash, target.len);
	}
	if (target.p[0] != '/' && !(str_is(target, "*") && str_is(r->pub.method, "OPTIONS")))
		return false;
	ptrdiff_t mark = str_find(target, '?', 0);
	r->pub.path = mark < 0 ? target : str_sub(target, 0, (size_t)mark);
	r->pub.query = mark < 0 ? STR("") : str_sub(target, (size_t)mark + 1, target.len);
	return true;
}

/* Why these headers cannot be served, or 0. */
static int check_h1(const struct request *r, const llhttp_t *p, const char **why)
{
	const struct http_request *q = &r->pub;
	size_t hosts = count_headers(q, "host");
	size_t codings = count_headers(q, "transfer-encoding");
	if (p->http_major != 1) {
		*why = "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here\n";
		return 505;
	}
	if (hosts > 1 || (hosts == 0 && p->http_minor > 0)) {
		*why = "exactly one Host header is needed\n";
		return 400;
	}
	if (codings > 1 || (codings && p->http_minor == 0)) {
		*why = "Transfer-Encoding is not usable here\n";
		return 400;
	}
	if (codings &&
	    !str_eq_nocase(http_request_header(q, "transfer-encoding"), STR("chunked"))) {
		*why = "the only Transfer-Encoding known is chunked\n";
		return 501;
	}
	return 0;
}

static int check(struct request *r, struct str method, const char **why)
{
	const struct conn *c = r->conn;
	const char *text = r->text.p;
	r->pub.method = method;
	r->head = str_is(method, "HEAD");
	*why = "bad request target\n";
	if (!r->path_len || !fill_target(r, str_n(text + r->path_at, r->path_len)))
		return 400;
	if (c->h1) {
		int status = check_h1(r, &c->h1->parser, why);
		if (status)
			return status;
		r->pub.authority = http_request_header(&r->pub, "host");
	} else {
		r->pub.authority = str_n(text + r->authority.value, r->authority.value_len);
		if (!r->authority.value_len)
			r->pub.authority = http_request_header(&r->pub, "host");
	}
	*why = "bad Host\n";
	if (!authority_is_sane(r->pub.authority))
		return 400;
	struct str expect = http_request_header(&r->pub, "expect");
	*why = "the only expectation known is 100-continue\n";
	if (expect.len && !str_eq_nocase(expect, STR("100-continue")))
		return 417;
	uint64_t length = 0;
	*why = "the body is too large\n";
	if (str_to_u64(http_request_header(&r->pub, "content-length"), &length) &&
	    length > conn_limits(c)->body_bytes_max)
		return 413;
	return 0;
}

bool request_headers_done(struct request *r, struct str method)
{
	struct http_server *s = loop_server(r->conn->l);
	const char *why = NULL;
	r->headers_done = true;
	r->pub.start_ms = loop_now_ms(r->conn->l->pub.loop);
	fill_headers(r);
	int status = check(r, method, &why);
	if (status) {
		request_refuse(r, status, why);
		return false;
	}
	if (s->cfg.on.on_headers) {
		r->told = true;
		s->cfg.on.on_headers(&r->pub);
		r->discard = r->answered;
	}
	return true;
}

/* ---- bodies ---- */

void request_body(struct request *r, struct str bytes)
{
	struct http_server *s = loop_server(r->conn->l);
	const struct http_limits *lim = &s->cfg.limits;
	if (r->discard || r->over)
		return;
	if (r->answered) {
		r->discard = true;
		return;
	}
	if (bytes.len > lim->body_bytes_max - r->body.len) {
		request_refuse(r, 413, "the body is too large\n");
		return;
	}
	uint64_t held =
		atomic_fetch_add_explicit(&s->bodies_bytes, bytes.len, memory_order_relaxed);
	r->body_counted += bytes.len;
	if (held + bytes.len > lim->bodies_bytes_max) {
		request_refuse(r, 503, "too many requests with bodies at once\n");
		return;
	}
	buf_add_str(&r->body, bytes);
}

void request_body_done(struct request *r)
{
	struct http_server *s = loop_server(r->conn->l);
	r->body_done = true;
	r->pub.body = buf_str(&r->body);
	if (r->answered || r->over || !r->headers_done || r->conn->dead)
		return;
	r->told = true;
	s->cfg.on.on_request(&r->pub);
}

void request_refuse(struct request *r, int status, const char *why)
{
	struct conn *c = r->conn;
	r->discard = true;
	if (c->h1) {
		c->keep = false;
		c->discard = true;
		conn_wait(c, WAIT_NONE);
	}
	static const struct http_header headers[] = {
		{ { "content-type", 12 }, { "text/plain; charset=utf-8", 25 } },
		{ { "retry-after", 11 }, { "1", 1 } },
	};
	http_reply(&r->pub, status, headers, status == 503 ? 2 : 1, str_of(why));
	server_cut(c->l, CUT_REFUSED);
}
