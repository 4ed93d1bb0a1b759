#include "base/mem.h"
#include "http/http_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
	CHUNK_HEAD_BYTES = 20, /* 16 hex digits and CRLF, with room */
	TAIL_BYTES = 8,        /* "\r\n" behind a chunk, "0\r\n\r\n" behind the last */
};

static struct request *current(const struct conn *c)
{
	return c->requests_len ? list_entry(c->requests.next, struct request, link) : NULL;
}

bool h1_busy(const struct conn *c)
{
	const struct request *r = current(c);
	return r && r->body_done;
}

/* ---- what llhttp does not refuse ---- */

/*
 * Watches the header section for a line that continues the one before (obs-fold, RFC 9112, 5.2) and for a line
 * that ends without CR: other parsers see other headers in such a message.  False when there is one.
 */
static bool scan_head(struct h1 *h, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n && h->scan != SCAN_DONE; i++) {
		unsigned char b = p[i];
		if (h->scan == SCAN_LINE) {
			const unsigned char *lf = memchr(p + i, '\n', n - i);
			if (!lf)
				break;
			i = (size_t)(lf - p);
			if ((i ? p[i - 1] : h->last) != '\r')
				return false;
			h->scan = SCAN_LF;
		} else if (h->scan == SCAN_START) {
			h->scan = b == '\r' || b == '\n' ? SCAN_START : SCAN_LINE;
		} else if (h->scan == SCAN_LF) {
			if (b == ' ' || b == '\t' || b == '\n')
				return false;
			h->scan = b == '\r' ? SCAN_LF_CR : SCAN_LINE;
		} else {
			h->scan = b == '\n' ? SCAN_DONE : SCAN_LINE;
		}
	}
	h->last = p[n - 1];
	return true;
}

/* Letters, digits and !#$%&'*+-.^_`|~ make a token (RFC 9110, 5.6.2): one bit a byte. */
static const uint32_t token_bits[8] = { 0x00000000, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };

/* llhttp lets "Host : a" pass. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (!(token_bits[c / 32] >> c % 32 & 1))
			return false;
	}
	return s.len > 0;
}

/* ---- llhttp's callbacks ---- */

/* Between a message's begin and its end there is always one. */
static struct request *incoming(const struct conn *c)
{
	struct request *r = current(c);
	assert(r);
	return r;
}

static int fail(struct conn *c, int status, const char *why)
{
	request_refuse(incoming(c), status, why);
	return HPE_USER;
}

static int too_large(struct conn *c)
{
	return fail(c, 431, "the headers are too large\n");
}

static int on_begin(llhttp_t *p)
{
	struct conn *c = p->data;
	(void)request_new(c, 0);
	c->h1->in_value = false;
	c->h1->name_at = c->h1->value_at = 0;
	c->h1->trailer_bytes = 0;
	conn_wait(c, WAIT_HEADERS);
	return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
	struct conn *c = p->data;
	struct request *r = incoming(c);
	if (!request_add_text(r, str_n(at, n)))
		return too_large(c);
	r->path_len += (uint32_t)n;
	return 0;
}

/* Trailers of a request say nothing we would act on; they are counted only. */
static int count_trailer(struct conn *c, size_t n)
{
	if (n > conn_limits(c)->header_bytes_max - c->h1->trailer_bytes)
		return too_large(c);
	c->h1->trailer_bytes += (uint32_t)n;
	return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct conn *c = p->data;
	struct request *r = incoming(c);
	if (r->headers_done)
		return count_trailer(c, n);
	if (c->h1->name_at == 0)
		c->h1->name_at = (uint32_t)r->text.len;
	size_t from = r->text.len;
	if (!request_add_text(r, str_n(at, n)))
		return too_large(c);
	for (size_t i = from; i < r->text.len; i++) {
		char ch = r->text.p[i];
		r->text.p[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
	}
	return 0;
}

static int on_field_done(llhttp_t *p)
{
	struct conn *c = p->data;
	struct request *r = incoming(c);
	if (!r->headers_done)
		c->h1->value_at = (uint32_t)r->text.len;
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct conn *c = p->data;
	struct request *r = incoming(c);
	if (r->headers_done)
		return count_trailer(c, n);
	return request_add_text(r, str_n(at, n)) ? 0 : too_large(c);
}

static int on_value_done(llhttp_t *p)
{
	struct conn *c = p->data;
	struct request *r = incoming(c);
	struct h1 *h = c->h1;
	if (r->headers_done)
		return 0;
	struct header_span s = { .name = h->name_at,
				 .name_len = h->value_at - h->name_at,
				 .value = h->value_at,
				 .value_len = (uint32_t)r->text.len - h->value_at };
	h->name_at = 0;
	if (h->value_at == 0 || !is_token(str_n(r->text.p + s.name, s.name_len)))
		return fail(c, 400, "bad header name\n");
	if (r->spans_len >= conn_limits(c)->headers_max)
		return too_large(c);
	mem_grow(r->spans, r->spans_len, r->spans_cap);
	r->spans[r->spans_len++] = s;
	return 0;
}

static int on_headers(llhttp_t *p)
{
	struct conn *c = p->data;
	struct request *r = incoming(c);
	conn_wait(c, WAIT_NONE);
	if (p->method == HTTP_CONNECT)
		return fail(c, 501, "this is no proxy\n");
	p->upgrade = 0; /* an offer that we are free not to take */
	c->keep = llhttp_should_keep_alive(p) && !c->l->draining;
	r->has_body = (p->flags & F_CHUNKED) || p->content_length > 0;
	if (!request_headers_done(r, str_of(llhttp_method_name((llhttp_method_t)p->method))))
		return HPE_USER;
	if (r->has_body && !r->answered && p->http_minor > 0 &&
	    http_request_header(&r->pub, "expect").len) {
		buf_adds(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		conn_mark(c);
	}
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct conn *c = p->data;
	request_body(incoming(c), str_n(at, n));
	return c->discard ? HPE_USER : 0;
}

static int on_done(llhttp_t *p)
{
	(void)p;
	return HPE_PAUSED; /* one request at a time: what follows waits for the answer */
}

static const llhttp_settings_t settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_field_complete = on_field_done,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_done,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_done,
};

/* ---- bytes in ---- */

bool h1_open(struct conn *c)
{
	c->h1 = mem_new(struct h1, 1);
	llhttp_init(&c->h1->parser, HTTP_REQUEST, &settings);
	c->h1->parser.data = c;
	c->proto = PROTO_H1;
	return true;
}

static void refuse_input(struct conn *c)
{
	if (c->discard)
		return; /* refused already, with its reason */
	if (!current(c))
		(void)request_new(c, 0);
	request_refuse(current(c), 400, "not a valid HTTP request\n");
}

/* How many bytes of p were used; the rest belongs to the next request. */
static size_t parse(struct conn *c, const unsigned char *p, size_t n)
{
	struct h1 *h = c->h1;
	if (!scan_head(h, p, n)) {
		if (!current(c))
			(void)request_new(c, 0);
		refuse_input(c);
		return n;
	}
	const char *at = (const char *)p;
	llhttp_errno_t e = llhttp_execute(&h->parser, at, n);
	if (e == HPE_OK)
		return n;
	if (e != HPE_PAUSED) {
		refuse_input(c);
		return n;
	}
	size_t used = (size_t)(llhttp_get_error_pos(&h->parser) - at);
	llhttp_resume(&h->parser);
	h->scan = SCAN_START;
	request_body_done(current(c));
	return used < n ? used : n;
}

void h1_feed(struct conn *c, const unsigned char *p, size_t n)
{
	while (n && !c->discard) {
		if (h1_busy(c)) {
			buf_add(&c->pend, p, n);
			return;
		}
		size_t used = parse(c, p, n);
		p += used;
		n -= used;
	}
}

static void feed_pending(struct conn *c)
{
	while (c->pend_at < c->pend.len && !h1_busy(c) && !c->discard)
		c->pend_at += parse(c, (const unsigned char *)c->pend.p + c->pend_at,
				    c->pend.len - c->pend_at);
	if (c->pend_at == c->pend.len && c->pend.cap) {
		buf_fini(&c->pend);
		c->pend_at = 0;
		loop_defer(c->l->pub.loop, &c->again); /* reading may have stopped meanwhile */
	}
}

/* ---- bytes out ---- */

/* Control characters would let a value end its line. */
static void add_value(struct buf *b, struct str value)
{
	size_t from = b->len;
	buf_add_str(b, value);
	for (size_t i = from; i < b->len; i++) {
		unsigned char ch = (unsigned char)b->p[i];
		if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
			b->p[i] = ' ';
	}
}

static void add_header(struct buf *b, struct str name, struct str value)
{
	assert(is_token(name));
	buf_add_str(b, name);
	buf_add(b, ": ", 2);
	add_value(b, value);
	buf_add(b, "\r\n", 2);
}

void h1_answer(struct request *r, const struct http_header *headers, size_t headers_len,
	       const char *length)
{
	struct conn *c = r->conn;
	struct buf *b = &r->head_out;
	bool old = c->h1->parser.http_minor == 0 || c->h1->parser.http_major != 1;
	r->chunked = !length && !r->no_body && !old;
	/* a body that ends with the connection, or one that is not read to its end */
	if ((!length && !r->no_body && old) || (r->has_body && !r->body_done) || c->l->draining)
		c->keep = false;
	buf_adds(b, "HTTP/1.1 ");
	buf_add_i64(b, r->pub.status);
	buf_addc(b, ' ');
	buf_adds(b, http_status_text(r->pub.status));
	buf_add(b, "\r\n", 2);
	for (size_t i = 0; i < headers_len; i++)
		add_header(b, headers[i].name, headers[i].value);
	add_header(b, STR("date"), str_of(server_date(c->l)));
	if (length)
		add_header(b, STR("content-length"), str_of(length));
	else if (r->chunked)
		add_header(b, STR("transfer-encoding"), STR("chunked"));
	if (!c->keep)
		add_header(b, STR("connection"), STR("close"));
	else if (old)
		add_header(b, STR("connection"), STR("keep-alive"));
	buf_add(b, "\r\n", 2);
}

/* Head first; it may be larger than the room there is, so it goes in parts. */
static size_t fill_head(struct request *r, unsigned char *out, size_t cap)
{
	size_t n = r->head_out.len < cap ? r->head_out.len : cap;
	memcpy(out, r->head_out.p, n);
	buf_consume(&r->head_out, n);
	return n;
}

static size_t fill_chunk(struct request *r, unsigned char *out, size_t cap)
{
	size_t room = cap - CHUNK_HEAD_BYTES - TAIL_BYTES;
	size_t k = r->out.bytes < room ? r->out.bytes : room;
	char head[CHUNK_HEAD_BYTES];
	int len = snprintf(head, sizeof(head), "%zx\r\n", k);
	size_t n = (size_t)len;
	memcpy(out, head, n);
	n += request_take(r, out + n, k);
	memcpy(out + n, "\r\n", 2);
	return n + 2;
}

static bool wants_trailers(const struct request *r)
{
	return r->trailers_len &&
	       str_find_str(http_request_header(&r->pub, "te"), STR("trailers"), 0) >= 0;
}

static void queue_end(struct request *r)
{
	struct buf *b = &r->head_out; /* its bytes are gone: now it holds the end */
	buf_add(b, "0\r\n", 3);
	for (size_t i = 0; i < r->trailers_len && wants_trailers(r); i++)
		add_header(b, r->trailers[i].name, r->trailers[i].value);
	buf_add(b, "\r\n", 2);
}

/* The answer is out: makes room for the next request or begins to close. */
static void finish(struct conn *c, struct request *r)
{
	if (!r->body_done)
		c->keep = false;
	request_free(r);
	if (!c->keep || c->l->draining) {
		c->closing = true;
		return;
	}
	conn_wait(c, WAIT_REQUEST);
	feed_pending(c);
	if (c->eof && !h1_busy(c))
		c->closing = true; /* whatever is left can never be complete */
}

size_t h1_fill(struct conn *c, unsigned char *out, size_t cap)
{
	size_t n = 0;
	while (!c->closing && cap - n > 256) {
		struct request *r = current(c);
		if (!r || !r->answered || r->aborted)
			break;
		if (r->head_out.len) {
			n += fill_head(r, out + n, cap - n);
		} else if (r->out.bytes) {
			n += r->chunked ? fill_chunk(r, out + n, cap - n)
					: request_take(r, out + n, cap - n);
		} else if (r->ended && r->chunked) {
			queue_end(r);
			r->chunked = false;
		} else if (r->ended) {
			finish(c, r);
		} else {
			break;
		}
	}
	return n;
}
