/* A channel: one HTTP/2 connection, its keepalive and its end. */
#include "base/mem.h"
#include "grpc/client_priv.h"

#include <assert.h>

enum { READ_BYTES = 16384, WRITE_BYTES_MAX = 65536 };

static void fill_defaults(struct rpc_channel_options *o)
{
	if (!o->connect_timeout_ms)
		o->connect_timeout_ms = 10000;
	if (!o->keepalive_ms)
		o->keepalive_ms = 20000;
	if (!o->keepalive_timeout_ms)
		o->keepalive_timeout_ms = 5000;
	if (!o->message_bytes_max)
		o->message_bytes_max = 4U << 20;
}

/* Frees calls that have no stream any more. */
static void prune(struct rpc_channel *ch, bool all)
{
	list_for_each(it, &ch->calls)
	{
		struct rpc_call *c = list_entry(it, struct rpc_call, link);
		if (all || (c->detached && c->ended && c->sid == 0))
			rpc_call_release(c);
	}
}

static void channel_free(struct rpc_channel *ch)
{
	rpc_conn_close(&ch->conn);
	if (ch->h2)
		nghttp2_session_del(ch->h2);
	prune(ch, true);
	loop_task_cancel(&ch->flush);
	loop_timer_stop(&ch->deadline);
	loop_timer_stop(&ch->keepalive);
	buf_fini(&ch->out);
	mem_free(ch->authority);
	mem_free(ch);
}

void rpc_channel_enter(struct rpc_channel *ch)
{
	ch->busy++;
}

bool rpc_channel_leave(struct rpc_channel *ch)
{
	assert(ch->busy > 0);
	if (--ch->busy == 0 && ch->closing) {
		channel_free(ch);
		return false;
	}
	if (ch->busy == 0)
		prune(ch, false);
	return true;
}

void rpc_channel_fail(struct rpc_channel *ch, const struct error *err)
{
	if (ch->is_lost || ch->closing)
		return;
	struct error e = *err;
	ch->is_lost = true;
	ch->connected = false;
	rpc_channel_enter(ch);
	rpc_conn_close(&ch->conn);
	loop_timer_stop(&ch->deadline);
	loop_timer_stop(&ch->keepalive);
	loop_task_cancel(&ch->flush);
	/* A callback may free other calls, but only by marking them: the list stays whole. */
	list_for_each(it, &ch->calls)
	{
		if (!ch->closing)
			rpc_call_finish(list_entry(it, struct rpc_call, link), RPC_UNAVAILABLE,
					e.msg);
	}
	if (!ch->closing && ch->opt.lost)
		ch->opt.lost(ch->opt.arg, &e);
	(void)rpc_channel_leave(ch);
}

/* ---------------------------------------------------------------------------------- writing */

void rpc_channel_kick(struct rpc_channel *ch)
{
	if (ch->connected && !ch->closing)
		loop_defer(ch->loop, &ch->flush);
}

/* Writes what is in ch->out; 0 = all, 1 = the socket is full, negative = broken. */
static int write_out(struct rpc_channel *ch, struct error *err)
{
	while (ch->out_off < ch->out.len) {
		long n = rpc_conn_send(&ch->conn, ch->out.p + ch->out_off,
				       ch->out.len - ch->out_off, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return 1;
		ch->out_off += (size_t)n;
	}
	buf_clear(&ch->out);
	ch->out_off = 0;
	return 0;
}

static int fill_out(struct rpc_channel *ch, struct error *err)
{
	while (ch->out.len < WRITE_BYTES_MAX) {
		const uint8_t *p = NULL;
		ssize_t n = nghttp2_session_mem_send(ch->h2, &p);
		if (n < 0)
			return error_set(err, ERR_UNAVAILABLE, "HTTP/2: %s",
					 nghttp2_strerror((int)n));
		if (n == 0)
			break;
		buf_add(&ch->out, p, (size_t)n);
	}
	return 0;
}

static void say_drained(struct rpc_channel *ch)
{
	list_for_each(it, &ch->calls)
	{
		struct rpc_call *c = list_entry(it, struct rpc_call, link);
		if (c->was_empty || c->ended || c->detached || rpc_call_queued(c))
			continue;
		c->was_empty = true;
		if (c->opt.drained)
			c->opt.drained(c->opt.arg, c);
		if (ch->closing || ch->is_lost)
			return;
	}
}

/* Sends until nothing is left or the socket is full; false when the channel is gone. */
static bool channel_flush(struct rpc_channel *ch)
{
	struct error err = { 0 };
	rpc_channel_enter(ch);
	list_for_each(it, &ch->calls)
	{
		struct rpc_call *c = list_entry(it, struct rpc_call, link);
		if (c->deferred && c->sid && (rpc_call_queued(c) || c->half_closed)) {
			c->deferred = false;
			(void)nghttp2_session_resume_data(ch->h2, c->sid);
		}
	}
	int rc = write_out(ch, &err);
	while (rc == 0) {
		rc = fill_out(ch, &err);
		if (rc < 0 || ch->out.len == 0)
			break;
		rc = write_out(ch, &err);
	}
	if (rc >= 0 && ch->out.cap > WRITE_BYTES_MAX && ch->out.len == 0)
		buf_fini(&ch->out);
	if (rc < 0)
		rpc_channel_fail(ch, &err);
	else
		say_drained(ch);
	if (!ch->closing && !ch->is_lost && !nghttp2_session_want_read(ch->h2) &&
	    !nghttp2_session_want_write(ch->h2) && ch->out.len == 0) {
		error_set(&err, ERR_UNAVAILABLE, "the server ended the connection");
		rpc_channel_fail(ch, &err);
	}
	return rpc_channel_leave(ch);
}

static void on_flush(struct loop_task *t)
{
	(void)channel_flush(container_of(t, struct rpc_channel, flush));
}

/* ---------------------------------------------------------------------------------- reading */

static struct rpc_call *call_of(nghttp2_session *h2, int32_t sid)
{
	return sid ? nghttp2_session_get_stream_user_data(h2, sid) : NULL;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *arg)
{
	(void)flags;
	(void)arg;
	struct rpc_call *c = call_of(h2, f->hd.stream_id);
	if (c && !c->ended)
		rpc_call_header(c, str_n((const char *)name, name_len),
				str_n((const char *)value, value_len));
	return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t sid, const uint8_t *p, size_t n,
		   void *arg)
{
	(void)flags;
	(void)arg;
	(void)nghttp2_session_consume_connection(h2, n);
	struct rpc_call *c = call_of(h2, sid);
	if (!c || c->ended || c->detached)
		return nghttp2_session_consume_stream(h2, sid, n) == NGHTTP2_ERR_NOMEM
			       ? NGHTTP2_ERR_CALLBACK_FAILURE
			       : 0;
	if (!rpc_call_data(c, str_n((const char *)p, n))) {
		(void)nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, sid, NGHTTP2_PROTOCOL_ERROR);
		rpc_call_finish(c, RPC_INTERNAL, "broken message framing");
	}
	return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
	struct rpc_channel *ch = arg;
	if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK) && !ch->connected) {
		ch->connected = true;
		loop_timer_stop(&ch->deadline);
		if (ch->opt.connected && !ch->closing)
			ch->opt.connected(ch->opt.arg);
		list_for_each(it, &ch->calls)
		{
			struct rpc_call *c = list_entry(it, struct rpc_call, link);
			if (c->sid == 0 && !c->ended && !c->detached)
				rpc_call_submit(c);
		}
	}
	if (f->hd.type == NGHTTP2_GOAWAY)
		ch->draining = true;
	struct rpc_call *c = call_of(h2, f->hd.stream_id);
	bool end = (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
		   (f->hd.flags & NGHTTP2_FLAG_END_STREAM);
	if (c && end) {
		/* The answer is complete: what we still had to say is not wanted. */
		if (!c->sent_all)
			(void)nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, f->hd.stream_id,
							NGHTTP2_NO_ERROR);
		rpc_call_end(c, rpc_call_status(c, NGHTTP2_NO_ERROR));
	}
	return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t sid, uint32_t h2_error, void *arg)
{
	(void)arg;
	struct rpc_call *c = call_of(h2, sid);
	if (!c)
		return 0;
	nghttp2_session_set_stream_user_data(h2, sid, NULL);
	c->sid = 0;
	if (!c->finishing)
		rpc_call_end(c, rpc_call_status(c, h2_error));
	return 0;
}

static void on_readable(struct rpc_conn *conn)
{
	struct rpc_channel *ch = container_of(conn, struct rpc_channel, conn);
	struct error err = { 0 };
	uint8_t p[READ_BYTES];
	rpc_channel_enter(ch);
	for (;;) {
		long n = rpc_conn_recv(conn, p, sizeof(p), &err);
		if (n == 0)
			break;
		ssize_t used = n > 0 ? nghttp2_session_mem_recv(ch->h2, p, (size_t)n) : n;
		if (n > 0 && used != n)
			error_set(&err, ERR_UNAVAILABLE, "HTTP/2: %s", nghttp2_strerror((int)used));
		if (ch->closing)
			break;
		if (used != n || n < 0) {
			rpc_channel_fail(ch, &err);
			break;
		}
		ch->last_rx_ms = loop_now_ms(ch->loop);
		ch->pinged = false;
	}
	bool alive = !ch->closing && !ch->is_lost;
	if (rpc_channel_leave(ch) && alive)
		(void)channel_flush(ch);
}

static void on_writable(struct rpc_conn *conn)
{
	(void)channel_flush(container_of(conn, struct rpc_channel, conn));
}

/* ------------------------------------------------------------------------ begin, keep, end */

static void on_keepalive(struct loop_timer *t)
{
	struct rpc_channel *ch = container_of(t, struct rpc_channel, keepalive);
	uint64_t silent_ms = loop_now_ms(ch->loop) - ch->last_rx_ms;
	if (ch->pinged) {
		struct error err = { 0 };
		error_set(&err, ERR_UNAVAILABLE, "the server does not answer a ping");
		rpc_channel_fail(ch, &err);
	} else if (silent_ms >= ch->opt.keepalive_ms) {
		ch->pinged = true;
		(void)nghttp2_submit_ping(ch->h2, NGHTTP2_FLAG_NONE, NULL);
		loop_timer_set(ch->loop, t, ch->opt.keepalive_timeout_ms);
		(void)channel_flush(ch);
	} else {
		loop_timer_set(ch->loop, t, ch->opt.keepalive_ms - silent_ms);
	}
}

static void on_deadline(struct loop_timer *t)
{
	struct rpc_channel *ch = container_of(t, struct rpc_channel, deadline);
	struct error err = { 0 };
	error_set(&err, ERR_TIMEOUT, "no connection to %s in time", ch->authority);
	rpc_channel_fail(ch, &err);
}

static void session_new(struct rpc_channel *ch)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	if (nghttp2_session_callbacks_new(&cb) || nghttp2_option_new(&o))
		mem_abort();
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_option_set_no_auto_window_update(o, 1);
	if (nghttp2_session_client_new2(&ch->h2, cb, ch, o))
		mem_abort();
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	nghttp2_settings_entry s[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
				       { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384 } };
	(void)nghttp2_submit_settings(ch->h2, NGHTTP2_FLAG_NONE, s, sizeof(s) / sizeof(s[0]));
}

static void on_ready(struct rpc_conn *conn)
{
	struct rpc_channel *ch = container_of(conn, struct rpc_channel, conn);
	session_new(ch);
	ch->last_rx_ms = loop_now_ms(ch->loop);
	loop_timer_set(ch->loop, &ch->keepalive, ch->opt.keepalive_ms);
	(void)channel_flush(ch);
}

static void on_failed(struct rpc_conn *conn, const struct error *err)
{
	rpc_channel_fail(container_of(conn, struct rpc_channel, conn), err);
}

int rpc_channel_open(struct loop *l, const struct rpc_channel_options *opt,
		     struct rpc_channel **ret, struct error *err)
{
	struct rpc_channel *ch = mem_new(struct rpc_channel, 1);
	ch->loop = l;
	ch->opt = *opt;
	fill_defaults(&ch->opt);
	list_init(&ch->calls);
	ch->authority = mem_strdup(opt->address);
	ch->opt.address = ch->authority;
	ch->flush.fn = on_flush;
	ch->deadline.fn = on_deadline;
	ch->keepalive.fn = on_keepalive;
	ch->conn.ready = on_ready;
	ch->conn.readable = on_readable;
	ch->conn.writable = on_writable;
	ch->conn.failed = on_failed;
	int rc = rpc_conn_open(&ch->conn, l, &ch->opt, err);
	if (rc) {
		channel_free(ch);
		return rc;
	}
	loop_timer_set(l, &ch->deadline, ch->opt.connect_timeout_ms);
	*ret = ch;
	return 0;
}

struct rpc_channel *rpc_channel_close(struct rpc_channel *ch)
{
	if (!ch)
		return NULL;
	assert(!ch->closing);
	list_for_each(it, &ch->calls) list_entry(it, struct rpc_call, link)->detached = true;
	rpc_channel_enter(ch);
	ch->closing = true;
	(void)rpc_channel_leave(ch);
	return NULL;
}

bool rpc_channel_connected(const struct rpc_channel *ch)
{
	return ch->connected && !ch->is_lost;
}

bool rpc_channel_draining(const struct rpc_channel *ch)
{
	return ch->draining;
}
