#include "agents_priv.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <assert.h>

enum { DRAIN_SPREAD_MS = 5000, DRAIN_GRACE_MS = 2000, BEHIND_LOOK_MS = 1000 };

struct str agents_peer_node(const struct rpc_stream *s)
{
	const struct rpc_peer *p = rpc_stream_peer(s);
	const struct str prefix = STR("system:node:");
	if (!str_starts(p->common_name, prefix) || !str_is(p->organization, "system:nodes"))
		return STR("");
	return str_sub(p->common_name, prefix.len, p->common_name.len);
}

/* ---- the cache's events ---- */

static void on_batch(void *arg, struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct agents *a = arg;
	watch_snap_unref(a->snap);
	a->snap = watch_snap_get(apiserver_cache(a->cfg.api));
	list_for_each(it, &a->open)
		session_events(list_entry(it, struct session, link), ev, n, rev);
}

/* A cache that does not catch up: the agent is better off with another server. */
static void on_behind(struct loop_timer *t)
{
	struct agents *a = container_of(t, struct agents, behind);
	list_for_each(it, &a->open)
		session_overdue(list_entry(it, struct session, link), loop_now_ms(a->cfg.loop));
	loop_timer_set(a->cfg.loop, t, BEHIND_LOOK_MS);
}

static size_t find_node_field(struct apiserver *api)
{
	struct kind_set *kinds = apiserver_kinds(api);
	const struct kind *pod = kind_find_key(kinds, STR("/pods"));
	size_t at = SIZE_MAX;
	for (size_t i = 0; pod && i < pod->selectable_len; i++)
		if (str_is(pod->selectable[i], "spec.nodeName"))
			at = i;
	kind_set_unref(kinds);
	return at;
}

/* ---- life ---- */

int agents_new(const struct agents_config *cfg, struct agents **ret, struct error *err)
{
	(void)err;
	struct agents *a = mem_new(struct agents, 1);
	a->cfg = *cfg;
	list_init(&a->open);
	map_init(&a->sessions, clock_random_u64());
	a->m_connected = metric_gauge(cfg->metrics, "rctl_agents_connected", "",
				      "Agents with an open stream.");
	a->m_statuses = metric_counter(cfg->metrics, "rctl_agent_statuses_total", "",
				       "Pod and node states that agents reported.");
	*ret = a;
	return 0;
}

int agents_start(struct agents *a, struct error *err)
{
	a->node_field = find_node_field(a->cfg.api);
	if (a->node_field == SIZE_MAX)
		return error_set(err, ERR_INTERNAL,
				 "kind Pod has no selectable field spec.nodeName");
	a->behind.fn = on_behind;
	loop_timer_set(a->cfg.loop, &a->behind, BEHIND_LOOK_MS);
	a->sub = apiserver_subscribe(a->cfg.api, a->cfg.loop, on_batch, a, &a->snap);

	struct rpc_method methods[RPC_METHODS_MAX];
	size_t n = 0;
	methods[n] = session_method;
	methods[n++].arg = a;
	methods[n] = register_method;
	methods[n++].arg = a;
	assert(a->cfg.more_len <= RPC_METHODS_MAX - n);
	for (size_t i = 0; i < a->cfg.more_len; i++)
		methods[n++] = a->cfg.more[i];
	return rpc_server_new(a->cfg.loop, a->cfg.address,
			      a->cfg.tls.cert_file ? &a->cfg.tls : NULL, methods, n, NULL, &a->rpc,
			      err);
}

void agents_drain(struct agents *a, void (*done)(void *arg), void *arg)
{
	Rctl__Agent__V1__Drain drain = RCTL__AGENT__V1__DRAIN__INIT;
	drain.spread_ms = DRAIN_SPREAD_MS;
	list_for_each(it, &a->open)
	{
		struct session *s = list_entry(it, struct session, link);
		Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
		m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_DRAIN;
		m.drain = &drain;
		session_send(s, &m);
		session_end(s, RPC_UNAVAILABLE, "the server stops");
	}
	if (a->rpc)
		rpc_server_stop(a->rpc, DRAIN_GRACE_MS, done, arg);
	else
		loop_post(a->cfg.loop, done, arg);
}

struct agents *agents_free(struct agents *a)
{
	if (!a)
		return NULL;
	loop_timer_stop(&a->behind);
	(void)rpc_server_free(a->rpc);
	if (a->sub)
		apiserver_unsubscribe(a->sub);
	watch_snap_unref(a->snap);
	map_fini(&a->sessions);
	arena_fini(&a->arena);
	mem_free(a);
	return NULL;
}

struct arena *agents_arena(struct agents *a)
{
	return &a->arena;
}

uint16_t agents_port(const struct agents *a)
{
	return rpc_server_port(a->rpc);
}

size_t agents_connected(const struct agents *a)
{
	return a->sessions.len;
}

struct session *agents_session(const struct agents *a, struct str node)
{
	return map_get(&a->sessions, node);
}

void agents_on_failed(struct agents *a, agents_failed_fn fn, void *arg)
{
	a->failed = fn;
	a->failed_arg = arg;
}

/* ---- requests ---- */

static char *cstr(struct arena *a, struct str s)
{
	union {
		const char *in;
		char *out;
	} u = { .in = arena_str(a, s).p };
	return u.out;
}

uint64_t agents_open_logs(struct agents *a, struct session *s, const struct agents_log_query *q)
{
	struct arena mem = { 0 };
	Rctl__Agent__V1__OpenLogs logs = RCTL__AGENT__V1__OPEN_LOGS__INIT;
	logs.uid = cstr(&mem, q->uid);
	logs.namespace_ = cstr(&mem, q->ns);
	logs.pod = cstr(&mem, q->pod);
	logs.container = cstr(&mem, q->container);
	logs.follow = q->follow;
	logs.previous = q->previous;
	logs.timestamps = q->timestamps;
	logs.tail_lines_plus_one = q->tail_lines + 1;
	logs.since_unix_ns = q->since_unix_ns;
	logs.limit_bytes = q->limit_bytes;
	Rctl__Agent__V1__Request req = RCTL__AGENT__V1__REQUEST__INIT;
	req.id = ++a->next_request;
	req.kind_case = RCTL__AGENT__V1__REQUEST__KIND_OPEN_LOGS;
	req.open_logs = &logs;
	Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
	m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_REQUEST;
	m.request = &req;
	session_send(s, &m);
	arena_fini(&mem);
	return req.id;
}

void agents_cancel_request(struct agents *a, struct str node, uint64_t id)
{
	struct session *s = agents_session(a, node);
	if (!s)
		return;
	Rctl__Agent__V1__CancelRequest c = RCTL__AGENT__V1__CANCEL_REQUEST__INIT;
	c.id = id;
	Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
	m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_CANCEL;
	m.cancel = &c;
	session_send(s, &m);
}
