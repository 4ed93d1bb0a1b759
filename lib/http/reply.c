#include "base/mem.h"
#include "http/http_priv.h"

#include <assert.h>
#include <stdio.h>

/* Statuses that never have a body (RFC 9110, 6.4.1). */
static bool bodyless(int status)
{
	return status < 200 || status == 204 || status == 304;
}

/* `length` NULL: a stream. */
static void answer(struct request *r, int status, const struct http_header *headers,
		   size_t headers_len, const char *length)
{
	assert(status >= 200 && status < 600);
	r->answered = true;
	r->begun = length == NULL;
	r->pub.status = status;
	r->no_body = r->head || bodyless(status);
	if (bodyless(status))
		length = NULL;
	if (r->conn->h2)
		h2_answer(r, headers, headers_len, length);
	else
		h1_answer(r, headers, headers_len, length);
	conn_mark(r->conn);
}

static bool closed(const struct request *r)
{
	return r->over || r->ended || r->aborted;
}

static void wake(struct request *r)
{
	if (r->stalled_ms == 0)
		r->stalled_ms = loop_now_ms(r->pub.loop->loop);
	if (r->conn->h2)
		h2_resume(r);
	conn_mark(r->conn);
}

size_t request_take(struct request *r, void *p, size_t n)
{
	size_t k = http_body_take(&r->out, p, n);
	r->pub.sent_bytes += k;
	r->stalled_ms = r->out.bytes ? loop_now_ms(r->pub.loop->loop) : 0;
	if (r->held > r->out.bytes)
		held_sub(r, r->held - r->out.bytes);
	if (k)
		r->conn->held_ms = loop_now_ms(r->pub.loop->loop);
	return k;
}

void http_reply_body(struct http_request *pub, int status, const struct http_header *headers,
		     size_t headers_len, struct http_body *body)
{
	struct request *r = request_of(pub);
	char length[24];
	if (!r->answered && !r->over && !r->conn->dead) {
		(void)snprintf(length, sizeof(length), "%zu", body->bytes);
		answer(r, status, headers, headers_len, length);
		r->begun = false;
		size_t own = r->no_body ? 0 : http_body_own(body);
		if (!r->no_body) {
			r->written += body->bytes;
			http_body_move(&r->out, body);
		}
		r->ended = true;
		wake(r);
		held_add(r, own);
	}
	http_body_fini(body);
}

void http_reply(struct http_request *pub, int status, const struct http_header *headers,
		size_t headers_len, struct str body)
{
	struct http_body b = { 0 };
	http_body_copy(&b, body);
	http_reply_body(pub, status, headers, headers_len, &b);
}

void http_reply_bytes(struct http_request *pub, int status, const struct http_header *headers,
		      size_t headers_len, struct bytes *body)
{
	struct http_body b = { 0 };
	http_body_add(&b, body);
	http_reply_body(pub, status, headers, headers_len, &b);
}

void http_reply_text(struct http_request *pub, int status, const char *content_type,
		     struct str body)
{
	struct http_header type = { STR("content-type"), str_of(content_type) };
	http_reply(pub, status, &type, 1, body);
}

void http_begin(struct http_request *pub, int status, const struct http_header *headers,
		size_t headers_len)
{
	struct request *r = request_of(pub);
	if (r->answered || r->over)
		return;
	answer(r, status, headers, headers_len, NULL);
	if (r->conn->eof || r->conn->hung_up)
		conn_kill(r->conn); /* nothing would ever tell that such a client has gone */
	wake(r);
}

/* What counts for queue_bytes_max: bytes behind those that were let through. */
static uint64_t live_bytes(const struct request *r)
{
	uint64_t sent = r->written - r->out.bytes;
	return r->written - (sent > r->exempt ? sent : r->exempt);
}

bool http_write(struct http_request *pub, struct bytes *b)
{
	struct request *r = request_of(pub);
	if (!r->begun || closed(r))
		return false;
	if (b->len == 0 || r->no_body)
		return true;
	uint64_t ahead = live_bytes(r);
	if (ahead && ahead + b->len > conn_limits(r->conn)->queue_bytes_max) {
		server_cut(r->conn->l, CUT_SLOW_READER);
		http_abort(pub);
		return false;
	}
	/* one reference is the caller's: nobody else has it */
	bool own = atomic_load_explicit(&b->refs, memory_order_relaxed) == 1;
	http_body_add(&r->out, b);
	r->written += b->len;
	r->drain_owed = true;
	wake(r);
	held_add(r, own ? b->len : 0);
	return !r->conn->dead;
}

bool http_write_body(struct http_request *pub, struct http_body *body)
{
	struct request *r = request_of(pub);
	bool open = r->begun && !closed(r);
	if (open && body->bytes && !r->no_body) {
		r->written += body->bytes;
		r->exempt = r->written;
		size_t own = http_body_own(body);
		http_body_move(&r->out, body);
		r->drain_owed = true;
		wake(r);
		held_add(r, own);
	}
	http_body_fini(body);
	return open;
}

void http_end(struct http_request *pub)
{
	struct request *r = request_of(pub);
	if (!r->begun || closed(r))
		return;
	r->ended = true;
	wake(r);
}

void http_end_trailers(struct http_request *pub, const struct http_header *trailers,
		       size_t trailers_len)
{
	struct request *r = request_of(pub);
	if (!r->begun || closed(r))
		return;
	r->trailers = arena_new(&pub->arena, struct http_header, trailers_len);
	for (size_t i = 0; i < trailers_len; i++) {
		r->trailers[i].name = arena_str(&pub->arena, trailers[i].name);
		r->trailers[i].value = arena_str(&pub->arena, trailers[i].value);
	}
	r->trailers_len = trailers_len;
	http_end(pub);
}

void http_abort(struct http_request *pub)
{
	struct request *r = request_of(pub);
	if (r->over || r->aborted || (r->ended && r->out.bytes == 0))
		return;
	r->answered = r->ended = r->aborted = true;
	http_body_fini(&r->out);
	held_sub(r, r->held);
	r->stalled_ms = 0;
	if (r->conn->h2)
		h2_reset(r, NGHTTP2_INTERNAL_ERROR);
	else
		conn_kill(r->conn);
	conn_mark(r->conn);
}

size_t http_queued(const struct http_request *pub)
{
	return ((const struct request *)(const void *)pub)->out.bytes;
}
