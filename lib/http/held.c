/* What answers alone keep in memory while their readers are slow. */
#include "http/http_priv.h"

/* A reader that took nothing for so long is cut first. */
enum { SLOW_MS = 1000 };

void held_sub(struct request *r, uint64_t n)
{
	r->held -= n;
	r->conn->held -= n;
	r->conn->l->held -= n;
}

/* The connection but `except` that holds most, of all or of the slow ones; NULL = none holds anything. */
static struct conn *worst(struct server_loop *l, const struct conn *except, bool slow_only)
{
	uint64_t now = loop_now_ms(l->pub.loop);
	struct conn *found = NULL;
	list_for_each(it, &l->conns)
	{
		struct conn *c = list_entry(it, struct conn, link);
		bool slow = now - c->held_ms >= SLOW_MS;
		if (c != except && c->held > (found ? found->held : 0) && (slow || !slow_only))
			found = c;
	}
	return found;
}

static void cut(struct conn *c)
{
	list_for_each(it, &c->requests)
	{
		struct request *r = list_entry(it, struct request, link);
		held_sub(r, r->held);
	}
	server_cut(c->l, CUT_SLOW_READER);
	conn_kill(c);
}

void held_add(struct request *r, uint64_t n)
{
	struct conn *c = r->conn;
	struct server_loop *l = c->l;
	struct http_server *s = loop_server(l);
	if (n == 0 || c->dead)
		return;
	if (c->held == 0)
		c->held_ms = loop_now_ms(l->pub.loop);
	r->held += n;
	c->held += n;
	l->held += n;
	if (l->held > l->held_peak)
		l->held_peak = l->held;
	uint64_t max = s->cfg.limits.answers_bytes_max / s->loops_len;
	/* who reads may go on for a while; one answer alone may be of any size */
	const struct conn *except = c->held == r->held ? c : NULL;
	struct conn *victim = NULL;
	while (l->held > max && (victim = worst(l, except, l->held <= 2 * max)) != NULL)
		cut(victim);
}
