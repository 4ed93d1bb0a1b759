#include "base/mem.h"
#include "http/http_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IO_WAIT = -1, IO_GONE = -2 };

static void on_io(struct loop_io *io, uint32_t events);
static void on_again(struct loop_task *t);

/* ---- life ---- */

struct conn *conn_open(struct server_loop *l, int fd, const char *address)
{
	struct http_server *s = loop_server(l);
	struct conn *c = mem_new(struct conn, 1);
	c->l = l;
	c->io = (struct loop_io){ .fd = fd, .fn = on_io };
	c->again.fn = on_again;
	c->keep = true;
	c->read_ms = loop_now_ms(l->pub.loop);
	(void)strncpy(c->address, address, sizeof(c->address) - 1);
	list_init(&c->requests);
	list_append(&l->conns, &c->link);
	c->proto = PROTO_DETECT;
	conn_wait(c, WAIT_REQUEST);
	if (s->cfg.tls && fd >= 0) {
		c->tls = tls_accept(s->cfg.tls, fd);
		c->proto = PROTO_TLS;
		conn_wait(c, WAIT_HANDSHAKE);
	}
	if (fd >= 0)
		loop_io_set(l->pub.loop, &c->io, EPOLLIN);
	if (!loop_timer_armed(&l->tick))
		loop_timer_set(l->pub.loop, &l->tick, s->tick_ms);
	return c;
}

void conn_free(struct conn *c)
{
	struct server_loop *l = c->l;
	/* all first: a callback for one may touch another */
	list_for_each(it, &c->requests) request_over(list_entry(it, struct request, link));
	while (c->requests_len)
		request_free(list_entry(c->requests.next, struct request, link));
	loop_io_del(&c->io);
	loop_task_cancel(&c->again);
	list_del(&c->dirty);
	list_del(&c->link);
	nghttp2_session_del(c->h2);
	tls_conn_free(c->tls);
	if (c->io.fd >= 0)
		(void)close(c->io.fd);
	mem_free(c->h1);
	buf_fini(&c->pend);
	buf_fini(&c->out);
	mem_free(c);
	server_conn_gone(l);
}

void conn_mark(struct conn *c)
{
	if (!list_linked(&c->dirty))
		list_append(&c->l->dirty, &c->dirty);
	loop_defer(c->l->pub.loop, &c->l->flush);
}

void conn_kill(struct conn *c)
{
	c->dead = true;
	conn_mark(c);
}

void conn_wait(struct conn *c, enum waiting what)
{
	c->waiting = what;
	c->since_ms = loop_now_ms(c->l->pub.loop);
}

/* ---- the socket ---- */

/* Bytes, 0 at the end of input, IO_WAIT, IO_GONE */
static ssize_t io_read(struct conn *c, void *p, size_t n)
{
	if (!c->tls) {
		ssize_t k = recv(c->io.fd, p, n, 0);
		if (k >= 0)
			return k;
		return errno == EAGAIN || errno == EINTR ? IO_WAIT : IO_GONE;
	}
	struct error err;
	ssize_t k = tls_read(c->tls, p, n, &err);
	if (k >= 0)
		return k;
	c->want_write = k == TLS_WANT_WRITE;
	return k == TLS_WANT_READ || k == TLS_WANT_WRITE ? IO_WAIT : IO_GONE;
}

static ssize_t io_write(struct conn *c, const void *p, size_t n)
{
	if (c->io.fd < 0)
		return (ssize_t)n;
	if (!c->tls) {
		ssize_t k = send(c->io.fd, p, n, MSG_NOSIGNAL);
		if (k > 0)
			return k;
		return errno == EAGAIN || errno == EINTR ? IO_WAIT : IO_GONE;
	}
	struct error err;
	ssize_t k = tls_write(c->tls, p, n, &err);
	if (k > 0)
		return k;
	return k == TLS_WANT_READ || k == TLS_WANT_WRITE ? IO_WAIT : IO_GONE;
}

/* Whether the program's side can take more input. */
static bool wants_input(const struct conn *c)
{
	return !c->eof && !c->dead && c->pend.len - c->pend_at < PIPELINE_BYTES_MAX;
}

static void arm(struct conn *c)
{
	if (c->io.fd < 0)
		return;
	/* errors and hang-ups are always reported; a peer that only stopped sending must not wake us for ever */
	uint32_t events = c->eof || c->hung_up ? (uint32_t)EPOLLERR : (uint32_t)EPOLLRDHUP;
	if (wants_input(c) || c->proto == PROTO_LINGER)
		events = EPOLLIN;
	if (c->out.len || c->want_write)
		events |= EPOLLOUT;
	loop_io_set(c->l->pub.loop, &c->io, events);
}

static void free_over(struct conn *c)
{
	if (!c->over_len)
		return;
	list_for_each(it, &c->requests)
	{
		struct request *r = list_entry(it, struct request, link);
		if (r->over)
			request_free(r);
	}
	if (c->requests_len == 0)
		conn_wait(c, WAIT_REQUEST);
}

/* Closing: what we said must arrive, so the peer's bytes are read until it closes too (RFC 9112, 9.6). */
static void start_linger(struct conn *c)
{
	list_for_each(it, &c->requests) request_over(list_entry(it, struct request, link));
	free_over(c);
	if (c->io.fd < 0 || c->eof) {
		conn_kill(c);
		return;
	}
	if (c->tls)
		tls_shutdown(c->tls);
	(void)shutdown(c->io.fd, SHUT_WR);
	c->proto = PROTO_LINGER;
	c->want_write = false;
	conn_wait(c, WAIT_LINGER);
}

static void read_linger(struct conn *c)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t k = recv(c->io.fd, c->l->rbuf, READ_BYTES, 0);
		if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
			conn_kill(c);
		if (k <= 0)
			return;
	}
}

/* ---- input ---- */

/* An h2 client may begin without asking (prior knowledge, RFC 9113, 3.3): its first three bytes tell. */
static void detect(struct conn *c, const unsigned char *p, size_t n)
{
	static const unsigned char magic[3] = { 'P', 'R', 'I' };
	if (c->waiting == WAIT_REQUEST)
		conn_wait(c, WAIT_HEADERS);
	struct buf first = c->pend;
	c->pend = (struct buf){ 0 };
	buf_add(&first, p, n);
	size_t known = first.len < sizeof(magic) ? first.len : sizeof(magic);
	bool same = memcmp(first.p, magic, known) == 0;
	if (same && known < sizeof(magic)) {
		c->pend = first;
		return;
	}
	if (same ? h2_open(c) : h1_open(c))
		conn_feed(c, (const unsigned char *)first.p, first.len);
	else
		conn_kill(c);
	buf_fini(&first);
}

void conn_feed(struct conn *c, const unsigned char *p, size_t n)
{
	if (c->discard || c->closing || c->dead)
		return;
	if (c->proto == PROTO_DETECT)
		detect(c, p, n);
	else if (c->proto == PROTO_H2)
		h2_feed(c, p, n);
	else if (c->proto == PROTO_H1)
		h1_feed(c, p, n);
	conn_mark(c);
}

/* True when the connection can be read. */
static bool handshake(struct conn *c)
{
	struct http_server *s = loop_server(c->l);
	struct error err = { 0 };
	int rc = tls_handshake(c->tls, &err);
	c->want_write = rc == TLS_WANT_WRITE;
	if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE) {
		arm(c);
		return false;
	}
	if (rc < 0) {
		server_cut(c->l, CUT_TLS);
		if (s->cfg.on.on_tls_error)
			s->cfg.on.on_tls_error(&c->l->pub, str_of(c->address), &err);
		/* lingering, because an alert that says why is on its way */
		start_linger(c);
		conn_mark(c);
		return false;
	}
	conn_wait(c, WAIT_REQUEST);
	c->proto = PROTO_DETECT;
	if (str_is(tls_alpn(c->tls), "h2") && !h2_open(c))
		conn_kill(c);
	return !c->dead;
}

/*
 * A client that half-closed still gets the answers it waits for.  One that watches a stream has gone: nothing
 * would tell us later.
 */
static bool may_wait(const struct conn *c)
{
	if (c->proto != PROTO_H1 || c->requests_len == 0)
		return false;
	const struct request *r = list_entry(c->requests.next, struct request, link);
	return r->body_done && !(r->begun && !r->ended);
}

static void input_ended(struct conn *c)
{
	c->eof = true;
	if (may_wait(c))
		arm(c);
	else if (c->proto == PROTO_H1 && c->closing)
		conn_mark(c);
	else
		conn_kill(c);
}

/* The peer sends no more, while we are not reading what it sent before. */
static void hung_up(struct conn *c)
{
	c->hung_up = true;
	if (may_wait(c))
		arm(c);
	else
		conn_kill(c);
}

static void conn_read(struct conn *c)
{
	if (c->dead)
		return;
	if (c->proto == PROTO_LINGER) {
		read_linger(c);
		return;
	}
	if (c->proto == PROTO_TLS && !handshake(c))
		return;
	for (int i = 0; i < READS_PER_TURN && wants_input(c); i++) {
		ssize_t k = io_read(c, c->l->rbuf, READ_BYTES);
		if (k == IO_WAIT)
			return;
		if (k == IO_GONE) {
			conn_kill(c);
			return;
		}
		if (k == 0) {
			input_ended(c);
			return;
		}
		c->read_ms = loop_now_ms(c->l->pub.loop);
		c->ping_out = false;
		conn_feed(c, c->l->rbuf, (size_t)k);
		if (c->tls ? !tls_pending(c->tls) : k < READ_BYTES)
			return;
	}
	if (c->tls && wants_input(c))
		loop_defer(c->l->pub.loop, &c->again);
}

static void on_again(struct loop_task *t)
{
	conn_read(container_of(t, struct conn, again));
}

static void on_io(struct loop_io *io, uint32_t events)
{
	struct conn *c = container_of(io, struct conn, io);
	if (c->dead)
		return;
	if (events & EPOLLOUT)
		conn_mark(c);
	if (events & EPOLLIN || c->want_write || c->proto == PROTO_TLS)
		conn_read(c);
	else if (events & (EPOLLERR | EPOLLHUP))
		conn_kill(c);
	else if (events & EPOLLRDHUP)
		hung_up(c);
}

/* ---- output ---- */

static size_t fill(struct conn *c)
{
	struct server_loop *l = c->l;
	if (c->proto == PROTO_H2)
		return h2_fill(c, l->wbuf, WRITE_BYTES);
	return c->proto == PROTO_H1 ? h1_fill(c, l->wbuf, WRITE_BYTES) : 0;
}

/* Writes p; what the socket does not take is kept.  False when it took less than all. */
static bool write_some(struct conn *c, const unsigned char *p, size_t n)
{
	size_t at = 0;
	while (at < n) {
		ssize_t k = io_write(c, p + at, n - at);
		if (k == IO_GONE) {
			c->dead = true;
			return false;
		}
		if (k == IO_WAIT) {
			buf_add(&c->out, p + at, n - at);
			c->stalled_ms = loop_now_ms(c->l->pub.loop);
			return false;
		}
		at += (size_t)k;
	}
	return true;
}

static bool write_kept(struct conn *c)
{
	while (c->out.len > c->out_at) {
		ssize_t k = io_write(c, c->out.p + c->out_at, c->out.len - c->out_at);
		if (k == IO_GONE)
			c->dead = true;
		if (k < 0)
			return false;
		c->out_at += (size_t)k;
		c->stalled_ms = loop_now_ms(c->l->pub.loop);
	}
	buf_fini(&c->out);
	c->out_at = 0;
	c->stalled_ms = 0;
	return true;
}

static void write_all(struct conn *c)
{
	for (int i = 0; i < WRITES_PER_TURN && !c->dead; i++) {
		if (c->out.len && !write_kept(c))
			return;
		size_t n = fill(c);
		if (n == 0 && c->out.len == 0)
			return;
		/* "100 Continue" may have been queued meanwhile: it goes first */
		if (c->out.len)
			buf_add(&c->out, c->l->wbuf, n);
		else if (!write_some(c, c->l->wbuf, n))
			return;
	}
	if (!c->dead)
		conn_mark(c); /* others first */
}

static void tell_streams(struct conn *c)
{
	const struct http_handlers *on = &loop_server(c->l)->cfg.on;
	list_for_each(it, &c->requests)
	{
		struct request *r = list_entry(it, struct request, link);
		if (!r->begun || r->ended || r->over)
			continue;
		if (c->l->draining && !r->stop_told) {
			r->stop_told = true;
			if (on->on_stop)
				on->on_stop(&r->pub);
			else
				http_end(&r->pub);
		} else if (r->drain_owed && r->out.bytes == 0 && c->out.len == 0) {
			r->drain_owed = false;
			if (on->on_drained)
				on->on_drained(&r->pub);
		}
	}
}

static void drain(struct conn *c)
{
	if (c->proto == PROTO_H2 && !c->drain_seen)
		h2_begin_drain(c);
	c->drain_seen = true;
	if ((c->proto == PROTO_H1 || c->proto == PROTO_DETECT) && c->waiting == WAIT_REQUEST)
		c->closing = true;
}

static void flush(struct conn *c)
{
	if (!c->dead && c->l->draining)
		drain(c);
	if (!c->dead && c->proto != PROTO_LINGER && c->proto != PROTO_TLS) {
		write_all(c);
		free_over(c);
		tell_streams(c);
		bool over = c->closing || (c->proto == PROTO_H2 && h2_finished(c));
		if (over && !c->dead && c->out.len == 0 && !list_linked(&c->dirty))
			start_linger(c);
	}
	if (c->dead)
		conn_free(c);
	else
		arm(c);
}

void conn_flush_all(struct loop_task *t)
{
	struct server_loop *l = container_of(t, struct server_loop, flush);
	struct list batch;
	if (list_empty(&l->dirty))
		return;
	batch = l->dirty;
	batch.next->prev = batch.prev->next = &batch;
	list_init(&l->dirty);
	while (!list_empty(&batch)) {
		struct conn *c = list_entry(batch.next, struct conn, dirty);
		list_del(&c->dirty);
		flush(c);
	}
}
