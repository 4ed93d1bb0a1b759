#include "http/http_priv.h"

#include <malloc.h>

enum {
	TICK_MS_MIN = 10,
	TICK_MS_MAX = 1000,
	DRAIN_TICK_MS = 100,
	TRIM_CONNECTIONS = 256,
	TRIM_BYTES = 32 << 20
};

uint64_t timeout_period(const struct http_limits *lim)
{
	const uint32_t all[] = { lim->idle_timeout_ms,  lim->header_timeout_ms,
				 lim->body_timeout_ms,  lim->handshake_timeout_ms,
				 lim->write_timeout_ms, lim->ping_interval_ms,
				 lim->ping_timeout_ms };
	uint64_t least = UINT32_MAX;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		least = all[i] < least ? all[i] : least;
	least /= 4;
	if (least < TICK_MS_MIN)
		return TICK_MS_MIN;
	return least > TICK_MS_MAX ? TICK_MS_MAX : least;
}

static uint64_t allowed(const struct conn *c)
{
	const struct http_limits *lim = conn_limits(c);
	switch (c->waiting) {
	case WAIT_HANDSHAKE:
		return lim->handshake_timeout_ms;
	case WAIT_REQUEST:
		return lim->idle_timeout_ms;
	case WAIT_HEADERS:
		return lim->header_timeout_ms;
	case WAIT_LINGER:
		return LINGER_MS;
	case WAIT_NONE:
		break;
	}
	return UINT64_MAX;
}

static void waited_too_long(struct conn *c)
{
	if (c->waiting == WAIT_HEADERS && c->h1 && c->requests_len) {
		request_refuse(list_entry(c->requests.next, struct request, link), 408,
			       "the headers did not come in time\n");
	} else if (c->waiting == WAIT_REQUEST && c->h2) {
		(void)nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
		c->closing = true;
		conn_wait(c, WAIT_NONE);
		conn_mark(c);
	} else {
		if (c->waiting != WAIT_LINGER && c->waiting != WAIT_REQUEST)
			server_cut(c->l, CUT_TIMEOUT);
		conn_kill(c);
	}
}

static void check_request(struct conn *c, struct request *r, uint64_t now)
{
	const struct http_limits *lim = conn_limits(c);
	if (r->over)
		return;
	/* in the middle of a header block nothing else can be said on the connection */
	if (c->h2 && !r->headers_done && now - r->pub.start_ms > lim->header_timeout_ms) {
		server_cut(c->l, CUT_TIMEOUT);
		conn_kill(c);
		return;
	}
	if (r->headers_done && !r->body_done && now - r->pub.start_ms > lim->body_timeout_ms) {
		if (!r->answered)
			request_refuse(r, 408, "the body did not come in time\n");
		else if (c->h2 && r->ended && r->out.bytes == 0)
			h2_reset(r, NGHTTP2_NO_ERROR);
		r->pub.start_ms = now; /* next: the same again, after as long */
	}
	if (r->out.bytes && r->stalled_ms && now - r->stalled_ms > lim->write_timeout_ms) {
		server_cut(c->l, CUT_SLOW_READER);
		http_abort(&r->pub);
	}
}

/* h2 clients are asked whether they are there; on h1 the kernel's keep-alive does it. */
static void check_alive(struct conn *c, uint64_t now)
{
	const struct http_limits *lim = conn_limits(c);
	if (!c->h2 || c->requests_len == 0)
		return;
	uint64_t silent = now - c->read_ms;
	if (c->ping_out && silent > (uint64_t)lim->ping_interval_ms + lim->ping_timeout_ms) {
		server_cut(c->l, CUT_TIMEOUT);
		conn_kill(c);
	} else if (!c->ping_out && silent > lim->ping_interval_ms) {
		c->ping_out = true;
		(void)nghttp2_submit_ping(c->h2, NGHTTP2_FLAG_NONE, NULL);
		conn_mark(c);
	}
}

static void check(struct conn *c, uint64_t now)
{
	struct server_loop *l = c->l;
	if (now - c->since_ms > allowed(c))
		waited_too_long(c);
	if (c->stalled_ms && now - c->stalled_ms > conn_limits(c)->write_timeout_ms) {
		server_cut(l, CUT_SLOW_READER);
		conn_kill(c);
	}
	list_for_each(it, &c->requests) check_request(c, list_entry(it, struct request, link), now);
	check_alive(c, now);
	if (!l->draining)
		return;
	if (now >= l->drain_end_ms)
		conn_kill(c);
	else if (c->h2 && c->drain_seen && !c->goaway_sent &&
		 now - l->drain_start_ms >= GOAWAY_DELAY_MS)
		h2_goaway(c);
	conn_mark(c);
}

void timeout_tick(struct loop_timer *t)
{
	struct server_loop *l = container_of(t, struct server_loop, tick);
	uint64_t now = loop_now_ms(l->pub.loop);
	list_for_each(it, &l->conns) check(list_entry(it, struct conn, link), now);
	uint64_t open = atomic_load_explicit(&l->conns_len, memory_order_relaxed);
	if (open > l->conns_peak)
		l->conns_peak = open;
	/* the allocator keeps what thousands of connections or long answers used unless it is told */
	if ((l->conns_peak > open + TRIM_CONNECTIONS && open < l->conns_peak / 2) ||
	    (l->held_peak > TRIM_BYTES && l->held < l->held_peak / 2)) {
		(void)malloc_trim(0);
		l->conns_peak = open;
		l->held_peak = l->held;
	}
	uint64_t period = loop_server(l)->tick_ms;
	if (l->draining && period > DRAIN_TICK_MS)
		period = DRAIN_TICK_MS;
	if (!list_empty(&l->conns))
		loop_timer_set(l->pub.loop, &l->tick, period);
}
