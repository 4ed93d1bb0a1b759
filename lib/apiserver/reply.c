/* Answers: headers, warnings, compression, and the way back to callers inside the process. */
#include "apiserver/apiserver_priv.h"
#include "apiserver/atomic.h"
#include "apiserver/gzip.h"
#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>
#include <stdarg.h>

enum { HEADERS_MAX = 12 + REQ_WARNINGS_MAX };

struct headers {
	struct http_header v[HEADERS_MAX];
	size_t len;
};

static void add(struct headers *h, const char *name, struct str value)
{
	assert(h->len < HEADERS_MAX);
	h->v[h->len++] = (struct http_header){ .name = str_of(name), .value = value };
}

static void add_if(struct headers *h, const char *name, const char *value)
{
	if (value)
		add(h, name, str_of(value));
}

static void usual_headers(struct req *r, const char *type, const struct reply_extra *x,
			  struct headers *h)
{
	add_if(h, "content-type", type);
	add(h, "audit-id", str_of(r->audit_id));
	add_if(h, "cache-control", x && x->cache_control ? x->cache_control : "no-cache, private");
	if (x) {
		add_if(h, "etag", x->etag);
		add_if(h, "vary", x->vary);
		add_if(h, "last-modified", x->last_modified);
		add_if(h, "expires", x->expires);
	}
	for (size_t i = 0; i < r->warnings_len; i++)
		add(h, "warning", r->warnings[i]);
	if (r->retry_after_s)
		add(h, "retry-after", arena_strf(&r->arena, "%lld", (long long)r->retry_after_s));
	if (r->status == 401)
		add(h, "www-authenticate", STR("Bearer realm=\"rctl\""));
}

/* ---- to callers inside the process ---- */

struct call_answer {
	apiserver_done_fn done;
	void *arg;
	int status;
	struct buf body;
};

static void deliver(void *arg)
{
	struct call_answer *a = arg;
	a->done(a->arg, a->status, buf_str(&a->body));
	buf_fini(&a->body);
	mem_free(a);
}

static void answer_one_of_set(struct req *r, int status, struct http_body *body)
{
	struct buf text = { 0 };
	buf_reserve(&text, body->bytes + 1);
	text.len = http_body_take(body, text.p, body->bytes);
	http_body_fini(body);
	atomic_answered(r, status, buf_str(&text));
	buf_fini(&text);
}

static void answer_inside(struct req *r, int status, struct http_body *body)
{
	if (r->atomic) {
		answer_one_of_set(r, status, body);
		return;
	}
	struct call_answer *a = mem_new(struct call_answer, 1);
	*a = (struct call_answer){ .done = r->call_done, .arg = r->call_arg, .status = status };
	buf_reserve(&a->body, body->bytes + 1);
	a->body.len = http_body_take(body, a->body.p, body->bytes);
	http_body_fini(body);
	loop_post(r->call_loop, deliver, a);
}

/* ---- the end of every request ---- */

static void account(struct req *r, int status)
{
	r->answered = true;
	r->status = status;
	if (r->counted)
		atomic_fetch_sub(&r->s->inflight, 1);
	r->counted = false;
	metric_add(r->s->by_class[status / 100 % 6], 1);
	metric_observe_us(r->s->by_verb[r->verb], clock_mono_us() - r->start_us);
}

void req_reply_body(struct req *r, int status, const char *type, const struct reply_extra *x,
		    struct http_body *body)
{
	if (r->answered) {
		http_body_fini(body);
		return;
	}
	account(r, status);
	if (r->inside) {
		answer_inside(r, status, body);
		return;
	}
	if (!r->http) {
		http_body_fini(body);
		return;
	}
	struct headers h = { 0 };
	usual_headers(r, type, x, &h);
	if (r->accept.gzip && body->bytes >= GZIP_BYTES_MIN) {
		add(&h, "content-encoding", STR("gzip"));
		if (!x || !x->vary)
			add(&h, "vary", STR("Accept-Encoding"));
		http_begin(r->http, status, h.v, h.len);
		r->gzip = gzip_start(r->http, r->shard->loop, body);
		return;
	}
	http_reply_body(r->http, status, h.v, h.len, body);
}

void req_reply_text(struct req *r, int status, const char *type, struct buf *text)
{
	req_reply_bytes(r, status, type, NULL, bytes_of_str(buf_str(text)));
	buf_fini(text);
}

void req_reply_bytes(struct req *r, int status, const char *type, const struct reply_extra *x,
		     struct bytes *b)
{
	struct http_body body = { 0 };
	http_body_give(&body, b);
	req_reply_body(r, status, type, x, &body);
}

void req_reply_object(struct req *r, int status, struct bytes *json)
{
	if (r->accept.as == AS_OBJECT) {
		struct http_body body = { 0 };
		http_body_give(&body, json);
		http_body_lit(&body, STR("\n"));
		req_reply_body(r, status, "application/json", NULL, &body);
		return;
	}
	struct buf out = { 0 };
	object_form(r, bytes_str(json), &out);
	buf_addc(&out, '\n');
	bytes_unref(json);
	req_reply_text(r, status, "application/json", &out);
}

void req_begin_stream(struct req *r, const char *type)
{
	account(r, 200);
	if (!r->http)
		return;
	struct headers h = { 0 };
	usual_headers(r, type, NULL, &h);
	http_begin(r->http, 200, h.v, h.len);
}

/* RFC 7234 section 5.5: `299 - "text"`; what cannot stand in a header is left out. */
void req_warn(struct req *r, const char *fmt, ...)
{
	if (r->warnings_len == REQ_WARNINGS_MAX)
		return;
	va_list ap;
	va_start(ap, fmt);
	struct str text = str_of(arena_vprintf(&r->arena, fmt, ap));
	va_end(ap);
	if (r->warnings_bytes + text.len > WARNING_BYTES_MAX)
		return;
	struct buf out = { 0 };
	buf_adds(&out, "299 - \"");
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		if (c == '"' || c == '\\')
			buf_addc(&out, '\\');
		if ((unsigned char)c >= 0x20 && c != 0x7F)
			buf_addc(&out, c);
	}
	buf_addc(&out, '"');
	struct str header = arena_str(&r->arena, buf_str(&out));
	buf_fini(&out);
	for (size_t i = 0; i < r->warnings_len; i++)
		if (str_eq(r->warnings[i], header))
			return;
	r->warnings_bytes += header.len;
	r->warnings[r->warnings_len++] = header;
}

void apiserver_fail(struct http_request *http, const struct error *err)
{
	struct req *r = http->user;
	req_fail(r, err);
}
