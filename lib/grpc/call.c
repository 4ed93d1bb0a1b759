/* One call: message framing, status, flow control. */
#include "base/mem.h"
#include "grpc/client_priv.h"

#include <assert.h>

enum { FRAME_HEAD = 5, STATUS_TEXT_MAX = 1024 };

static ssize_t on_need(nghttp2_session *h2, int32_t sid, uint8_t *p, size_t cap, uint32_t *flags,
		       nghttp2_data_source *src, void *arg)
{
	(void)h2;
	(void)sid;
	(void)arg;
	struct rpc_call *c = src->ptr;
	size_t n = c->out.len - c->out_off;
	if (n > cap)
		n = cap;
	if (n)
		memcpy(p, c->out.p + c->out_off, n);
	c->out_off += n;
	if (c->out_off == c->out.len) {
		if (c->out.cap > 65536)
			buf_fini(&c->out);
		buf_clear(&c->out);
		c->out_off = 0;
		if (c->half_closed) {
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			c->sent_all = true;
		}
	}
	if (n == 0 && !c->half_closed) {
		c->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
	union {
		const char *in;
		uint8_t *out;
	} n = { .in = name }, v = { .in = value };
	return (nghttp2_nv){ n.out, v.out, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

void rpc_call_submit(struct rpc_call *c)
{
	struct rpc_channel *ch = c->ch;
	nghttp2_nv h[] = {
		header(":method", "POST"),
		header(":scheme", ch->opt.tls ? "https" : "http"),
		header(":path", c->path),
		header(":authority", ch->authority),
		header("content-type", "application/grpc"),
		header("te", "trailers"),
		header("user-agent", "rctl/" RCTL_VERSION),
	};
	nghttp2_data_provider body = { .source.ptr = c, .read_callback = on_need };
	c->sid = nghttp2_submit_request(ch->h2, NULL, h, sizeof(h) / sizeof(h[0]), &body, c);
	if (c->sid < 0) {
		c->sid = 0;
		rpc_call_finish(c, RPC_UNAVAILABLE, "no stream left on the connection");
	}
}

/* -------------------------------------------------------------------------------- receiving */

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static char *percent_decode(struct str s)
{
	struct buf out = { 0 };
	for (size_t i = 0; i < s.len && out.len < STATUS_TEXT_MAX; i++) {
		int hi = s.p[i] == '%' && i + 2 < s.len ? hex(s.p[i + 1]) : -1;
		int lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
		if (lo >= 0) {
			buf_addc(&out, (char)(hi * 16 + lo));
			i += 2;
		} else {
			buf_addc(&out, s.p[i]);
		}
	}
	char *text = mem_strndup(out.p, out.len);
	buf_fini(&out);
	return text;
}

void rpc_call_header(struct rpc_call *c, struct str name, struct str value)
{
	uint64_t n = 0;
	if (str_is(name, ":status")) {
		c->http_status = str_to_u64(value, &n) && n < 1000 ? (int)n : 0;
	} else if (str_is(name, "grpc-status")) {
		c->grpc_status =
			str_to_u64(value, &n) && n <= RPC_UNAUTHENTICATED ? (int)n : RPC_UNKNOWN;
	} else if (str_is(name, "grpc-message")) {
		mem_free(c->text);
		c->text = percent_decode(value);
	}
}

int rpc_call_status(const struct rpc_call *c, uint32_t h2_error)
{
	if (c->grpc_status >= 0)
		return c->grpc_status;
	if (h2_error == NGHTTP2_CANCEL)
		return RPC_CANCELLED;
	if (h2_error == NGHTTP2_REFUSED_STREAM)
		return RPC_UNAVAILABLE;
	if (h2_error == NGHTTP2_ENHANCE_YOUR_CALM)
		return RPC_RESOURCE_EXHAUSTED;
	if (h2_error != NGHTTP2_NO_ERROR)
		return RPC_INTERNAL;
	switch (c->http_status) {
	case 400:
		return RPC_INTERNAL;
	case 401:
		return RPC_UNAUTHENTICATED;
	case 403:
		return RPC_PERMISSION_DENIED;
	case 404:
		return RPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return RPC_UNAVAILABLE;
	default:
		return RPC_UNKNOWN;
	}
}

static uint32_t frame_len(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return (uint32_t)u[1] << 24 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 8 | u[4];
}

/* Hands out the whole messages that are there; false when the framing is broken. */
static bool deliver(struct rpc_call *c)
{
	size_t off = 0;
	bool sound = true;
	c->delivering = true;
	while (!c->paused && !c->ended && !c->detached && c->in.len - off >= FRAME_HEAD) {
		uint32_t n = frame_len(c->in.p + off);
		if (c->in.p[off] != 0 || n > c->ch->opt.message_bytes_max) {
			sound = false;
			break;
		}
		if (c->in.len - off - FRAME_HEAD < n)
			break;
		struct str msg = str_n(c->in.p + off + FRAME_HEAD, n);
		off += FRAME_HEAD + n;
		c->opt.message(c->opt.arg, c, msg);
	}
	c->delivering = false;
	buf_consume(&c->in, off);
	if (c->in.len == 0 && c->in.cap > 65536)
		buf_fini(&c->in);
	return sound;
}

bool rpc_call_data(struct rpc_call *c, struct str bytes)
{
	buf_add(&c->in, bytes.p, bytes.len);
	c->held += bytes.len;
	bool sound = deliver(c);
	if (!c->paused && c->held && c->sid) {
		(void)nghttp2_session_consume_stream(c->ch->h2, c->sid, c->held);
		c->held = 0;
	}
	return sound;
}

static void on_deliver(struct loop_task *t)
{
	struct rpc_call *c = container_of(t, struct rpc_call, deliver);
	struct rpc_channel *ch = c->ch;
	if (c->ended || c->detached || c->paused || ch->is_lost)
		return;
	rpc_channel_enter(ch);
	if (!rpc_call_data(c, STR_NONE))
		rpc_call_finish(c, RPC_INTERNAL, "broken message framing");
	else if (c->finishing && !c->paused)
		rpc_call_finish(c, c->finish_status, c->text);
	if (rpc_channel_leave(ch))
		rpc_channel_kick(ch);
}

/* ------------------------------------------------------------------------------ begin, end */

struct rpc_call *rpc_call_start(struct rpc_channel *ch, const struct rpc_call_options *opt)
{
	if (ch->is_lost || ch->draining || ch->closing)
		return NULL;
	struct rpc_call *c = mem_new(struct rpc_call, 1);
	c->ch = ch;
	c->opt = *opt;
	c->path = mem_strdup(opt->path);
	c->opt.path = c->path;
	c->grpc_status = -1;
	c->was_empty = true;
	c->deliver.fn = on_deliver;
	list_append(&ch->calls, &c->link);
	if (ch->connected) {
		rpc_call_submit(c);
		rpc_channel_kick(ch);
	}
	return c;
}

bool rpc_call_send(struct rpc_call *c, struct str msg)
{
	if (c->ended || c->half_closed || msg.len > UINT32_MAX)
		return false;
	uint32_t n = (uint32_t)msg.len;
	unsigned char head[FRAME_HEAD] = { 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16),
					   (unsigned char)(n >> 8), (unsigned char)n };
	if (c->out_off) {
		buf_consume(&c->out, c->out_off);
		c->out_off = 0;
	}
	buf_add(&c->out, head, sizeof(head));
	buf_add_str(&c->out, msg);
	c->was_empty = false;
	rpc_channel_kick(c->ch);
	return true;
}

size_t rpc_call_queued(const struct rpc_call *c)
{
	return c->out.len - c->out_off;
}

void rpc_call_half_close(struct rpc_call *c)
{
	c->half_closed = true;
	rpc_channel_kick(c->ch);
}

void rpc_call_pause(struct rpc_call *c)
{
	c->paused = true;
}

void rpc_call_resume(struct rpc_call *c)
{
	c->paused = false;
	if (!c->ended && !c->delivering)
		loop_defer(c->ch->loop, &c->deliver);
}

void rpc_call_release(struct rpc_call *c)
{
	loop_task_cancel(&c->deliver);
	list_del(&c->link);
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c->path);
	mem_free(c->text);
	mem_free(c);
}

/*
 * Memory that HTTP/2 may still ask for bytes from (a stream not closed yet) is kept
 * on the list as `detached` until on_stream_close or the end of the channel.
 */
void rpc_call_finish(struct rpc_call *c, int status, const char *text)
{
	if (c->ended)
		return;
	c->ended = true;
	loop_task_cancel(&c->deliver);
	if (c->detached)
		return;
	c->detached = true;
	c->opt.closed(c->opt.arg, c, (enum rpc_status)status, text ? text : "");
}

void rpc_call_end(struct rpc_call *c, int status)
{
	if (c->paused && c->in.len && !c->ended && !c->detached) {
		c->finishing = true;
		c->finish_status = status;
		return;
	}
	rpc_call_finish(c, status, c->text);
}

struct rpc_call *rpc_call_free(struct rpc_call *c)
{
	if (!c || c->detached)
		return NULL;
	c->detached = true;
	c->half_closed = true;
	loop_task_cancel(&c->deliver);
	struct rpc_channel *ch = c->ch;
	if (!ch->h2 || ch->is_lost)
		return NULL; /* the channel frees it */
	if (c->sid)
		(void)nghttp2_submit_rst_stream(ch->h2, NGHTTP2_FLAG_NONE, c->sid, NGHTTP2_CANCEL);
	else
		c->ended = true;
	rpc_channel_kick(ch);
	return NULL;
}
