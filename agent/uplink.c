#include "uplink.h"

#include "base/mem.h"
#include "grpc/message.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <assert.h>

enum {
	REGISTER_TIMEOUT_MS = 20000,
	POSITIONS_MAX = 8,
	BETTER_AFTER_MS = 10 * 60 * 1000,
};

struct uplink {
	struct uplink_options opt;
	struct link_plan plan;
	size_t endpoint; /* in use */
	struct rpc_channel *ch;
	struct rpc_call *reg, *connect;
	struct buf answer; /* of RegisterNode */
	bool up, drop_wanted;
	uint64_t sequence, heartbeats;
	uint32_t heartbeat_ms;
	struct loop_timer dial, deadline, beat, better;
	struct loop_task drop;
	struct buf out;
};

static void later(struct uplink *l);

static union cast {
	const char *in;
	char *out;
} borrow(const char *s)
{
	return (union cast){ .in = s ? s : "" };
}

/* -------------------------------------------------------------------------------------- dropping */

static void disconnect(struct uplink *l)
{
	bool was_up = l->up;
	l->up = false;
	loop_timer_stop(&l->deadline);
	loop_timer_stop(&l->beat);
	loop_timer_stop(&l->better);
	loop_task_cancel(&l->drop);
	if (was_up)
		l->opt.connected(l->opt.arg, NULL);
	l->reg = l->connect = NULL;
	l->ch = rpc_channel_close(l->ch);
	buf_fini(&l->answer);
}

static void on_drop(struct loop_task *t)
{
	struct uplink *l = container_of(t, struct uplink, drop);
	disconnect(l);
	later(l);
}

/* Not at once: whoever notices may stand inside the channel. */
static void drop(struct uplink *l, const char *event, const char *text)
{
	l->opt.note(l->opt.arg, event, l->plan.endpoints[l->endpoint].address, text);
	loop_defer(l->opt.loop, &l->drop);
}

/* -------------------------------------------------------------------------------------- sending */

static void send_message(struct uplink *l, Rctl__Agent__V1__AgentMessage *m)
{
	if (!l->connect)
		return;
	m->sequence = ++l->sequence;
	buf_clear(&l->out);
	rpc_pack(&l->out, &m->base);
	(void)rpc_call_send(l->connect, buf_str(&l->out));
	if (l->out.cap > 65536)
		buf_fini(&l->out);
}

void uplink_pod_status(struct uplink *l, const Rctl__Agent__V1__PodStatus *s)
{
	Rctl__Agent__V1__AgentMessage m = RCTL__AGENT__V1__AGENT_MESSAGE__INIT;
	Rctl__Agent__V1__PodStatus copy = *s;
	m.kind_case = RCTL__AGENT__V1__AGENT_MESSAGE__KIND_POD_STATUS;
	m.pod_status = &copy;
	if (l->up)
		send_message(l, &m);
}

void uplink_node_status(struct uplink *l, struct str status)
{
	Rctl__Agent__V1__AgentMessage m = RCTL__AGENT__V1__AGENT_MESSAGE__INIT;
	Rctl__Agent__V1__NodeStatus s = RCTL__AGENT__V1__NODE_STATUS__INIT;
	s.status = rpc_binary(status);
	m.kind_case = RCTL__AGENT__V1__AGENT_MESSAGE__KIND_NODE_STATUS;
	m.node_status = &s;
	if (l->up)
		send_message(l, &m);
}

void uplink_applied(struct uplink *l, const char *revision)
{
	Rctl__Agent__V1__AgentMessage m = RCTL__AGENT__V1__AGENT_MESSAGE__INIT;
	Rctl__Agent__V1__AssignmentApplied a;
	rctl__agent__v1__assignment_applied__init(&a);
	a.revision = borrow(revision).out;
	m.kind_case = RCTL__AGENT__V1__AGENT_MESSAGE__KIND_APPLIED;
	m.applied = &a;
	if (l->up)
		send_message(l, &m);
}

void uplink_request_failed(struct uplink *l, uint64_t id, enum rpc_status code, const char *text)
{
	Rctl__Agent__V1__AgentMessage m = RCTL__AGENT__V1__AGENT_MESSAGE__INIT;
	Rctl__Agent__V1__RequestFailed f;
	rctl__agent__v1__request_failed__init(&f);
	f.id = id;
	f.code = code;
	f.message = borrow(text).out;
	m.kind_case = RCTL__AGENT__V1__AGENT_MESSAGE__KIND_REQUEST_FAILED;
	m.request_failed = &f;
	if (l->up)
		send_message(l, &m);
}

static void on_beat(struct loop_timer *t)
{
	struct uplink *l = container_of(t, struct uplink, beat);
	Rctl__Agent__V1__AgentMessage m = RCTL__AGENT__V1__AGENT_MESSAGE__INIT;
	Rctl__Agent__V1__Heartbeat h = RCTL__AGENT__V1__HEARTBEAT__INIT;
	h.count = ++l->heartbeats;
	h.unix_ms = clock_unix_ms();
	l->opt.heartbeat(l->opt.arg, &h);
	m.kind_case = RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HEARTBEAT;
	m.heartbeat = &h;
	send_message(l, &m);
	loop_timer_set(l->opt.loop, t, l->heartbeat_ms);
}

/* -------------------------------------------------------------------------------------- Connect */

static void on_drain(struct uplink *l, const Rctl__Agent__V1__Drain *d)
{
	uint64_t wait = d->spread_ms ? clock_random_u64() % d->spread_ms : 0;
	l->opt.note(l->opt.arg, "draining", l->plan.endpoints[l->endpoint].address, "");
	l->drop_wanted = true;
	loop_timer_set(l->opt.loop, &l->better, wait);
}

static void on_server(void *arg, struct rpc_call *c, struct str msg)
{
	struct uplink *l = arg;
	(void)c;
	Rctl__Agent__V1__ServerMessage *m =
		rpc_unpack(&rctl__agent__v1__server_message__descriptor, msg);
	if (!m) {
		drop(l, "refused", "the server's message is not understood");
		return;
	}
	switch (m->kind_case) {
	case RCTL__AGENT__V1__SERVER_MESSAGE__KIND_ASSIGNMENT:
		l->opt.assignment(l->opt.arg, m->assignment);
		break;
	case RCTL__AGENT__V1__SERVER_MESSAGE__KIND_REQUEST:
		l->opt.request(l->opt.arg, m->request);
		break;
	case RCTL__AGENT__V1__SERVER_MESSAGE__KIND_CANCEL:
		l->opt.cancel(l->opt.arg, m->cancel->id);
		break;
	case RCTL__AGENT__V1__SERVER_MESSAGE__KIND_DRAIN:
		on_drain(l, m->drain);
		break;
	case RCTL__AGENT__V1__SERVER_MESSAGE__KIND_ACK:
	case RCTL__AGENT__V1__SERVER_MESSAGE__KIND__NOT_SET:
	case _RCTL__AGENT__V1__SERVER_MESSAGE__KIND__CASE_IS_INT_SIZE:
	default:
		break;
	}
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void on_connect_closed(void *arg, struct rpc_call *c, enum rpc_status status,
			      const char *text)
{
	struct uplink *l = arg;
	char why[300];
	(void)c;
	l->connect = NULL;
	snprintf(why, sizeof(why), "status %d: %s", (int)status, text);
	drop(l, "lost", why);
}

static void start_connect(struct uplink *l)
{
	const struct rpc_call_options o = { .path = "/rctl.agent.v1.Agent/Connect",
					    .message = on_server,
					    .closed = on_connect_closed,
					    .arg = l };
	l->connect = rpc_call_start(l->ch, &o);
	if (!l->connect) {
		drop(l, "lost", "no stream");
		return;
	}
	l->sequence = 0;
	Rctl__Agent__V1__AgentMessage m = RCTL__AGENT__V1__AGENT_MESSAGE__INIT;
	Rctl__Agent__V1__Hello h;
	rctl__agent__v1__hello__init(&h);
	h.node = borrow(l->opt.node).out;
	h.incarnation = l->opt.incarnation;
	h.revision = borrow(l->opt.revision(l->opt.arg)).out;
	m.kind_case = RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HELLO;
	m.hello = &h;
	send_message(l, &m);
	l->up = true;
	l->drop_wanted = false;
	link_plan_worked(&l->plan);
	l->opt.note(l->opt.arg, "connected", l->plan.endpoints[l->endpoint].address, "");
	loop_timer_set(l->opt.loop, &l->beat, 0);
	if (link_class_of(&l->plan, l->endpoint) != link_class_of(&l->plan, l->plan.order[0]))
		loop_timer_set(l->opt.loop, &l->better, BETTER_AFTER_MS);
	l->opt.connected(l->opt.arg, l->ch);
}

/* Time to try a better endpoint, or to leave a server that stops. */
static void on_better(struct loop_timer *t)
{
	struct uplink *l = container_of(t, struct uplink, better);
	l->plan.at = 0;
	drop(l, l->drop_wanted ? "drained" : "leaving", "");
}

/* ------------------------------------------------------------------------------------- register */

static void learn_endpoints(struct uplink *l, const Rctl__Agent__V1__RegisterResponse *r)
{
	struct link_endpoint list[LINK_ENDPOINTS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < r->n_endpoints && n < LINK_ENDPOINTS_MAX; i++) {
		const Rctl__Agent__V1__Endpoint *e = r->endpoints[i];
		struct link_endpoint *to = &list[n];
		int a = snprintf(to->address, sizeof(to->address), "%s", e->address);
		int b = snprintf(to->region, sizeof(to->region), "%s", e->region);
		int c = snprintf(to->network_az, sizeof(to->network_az), "%s", e->network_az);
		if (a > 0 && a < (int)sizeof(to->address) && b < (int)sizeof(to->region) &&
		    c < (int)sizeof(to->network_az))
			n++;
	}
	/* What the settings say stays known: a list that leads nowhere must not strand the node. */
	for (size_t i = 0; i < l->opt.endpoints_len && n < LINK_ENDPOINTS_MAX && n > 0; i++) {
		bool known = false;
		for (size_t k = 0; k < n; k++)
			known |= strcmp(list[k].address, l->opt.endpoints[i].address) == 0;
		if (!known)
			list[n++] = l->opt.endpoints[i];
	}
	if (n == 0)
		return;
	char now[sizeof(list[0].address)];
	snprintf(now, sizeof(now), "%s", l->plan.endpoints[l->endpoint].address);
	link_plan_set(&l->plan, list, n, clock_random_u64());
	l->endpoint = 0;
	for (size_t i = 0; i < l->plan.len; i++) {
		if (strcmp(l->plan.endpoints[i].address, now) == 0)
			l->endpoint = i;
	}
}

static void on_registered(void *arg, struct rpc_call *c, struct str msg)
{
	struct uplink *l = arg;
	(void)c;
	buf_clear(&l->answer);
	buf_add_str(&l->answer, msg);
}

static void on_register_closed(void *arg, struct rpc_call *c, enum rpc_status status,
			       const char *text)
{
	struct uplink *l = arg;
	char why[300];
	(void)c;
	l->reg = NULL;
	loop_timer_stop(&l->deadline);
	Rctl__Agent__V1__RegisterResponse *r = NULL;
	if (status == RPC_OK)
		r = rpc_unpack(&rctl__agent__v1__register_response__descriptor,
			       buf_str(&l->answer));
	if (!r) {
		snprintf(why, sizeof(why), "RegisterNode: status %d: %s", (int)status, text);
		drop(l, "refused", why);
		return;
	}
	l->heartbeat_ms = r->heartbeat_interval_ms ? r->heartbeat_interval_ms : l->opt.heartbeat_ms;
	learn_endpoints(l, r);
	protobuf_c_message_free_unpacked(&r->base, NULL);
	buf_fini(&l->answer);
	start_connect(l);
}

static void on_deadline(struct loop_timer *t)
{
	drop(container_of(t, struct uplink, deadline), "refused", "RegisterNode is not answered");
}

static void send_register(struct uplink *l)
{
	Rctl__Agent__V1__RegisterRequest q;
	Rctl__Agent__V1__StreamPosition list[POSITIONS_MAX], *at[POSITIONS_MAX];
	char *runtimes[] = { borrow("process").out };
	struct buf node = { 0 };
	rctl__agent__v1__register_request__init(&q);
	for (size_t i = 0; i < POSITIONS_MAX; i++) {
		rctl__agent__v1__stream_position__init(&list[i]);
		at[i] = &list[i];
	}
	q.node = borrow(l->opt.node).out;
	q.agent_version = borrow(RCTL_VERSION).out;
	q.region = borrow(l->opt.region).out;
	q.zone = borrow(l->opt.zone).out;
	q.network_az = borrow(l->opt.network_az).out;
	q.incarnation = l->opt.incarnation;
	q.runtimes = runtimes;
	q.n_runtimes = 1;
	l->opt.node_object(l->opt.arg, &node);
	q.node_object = rpc_binary(buf_str(&node));
	q.streams = at;
	q.n_streams = l->opt.positions(l->opt.arg, list, POSITIONS_MAX);
	buf_clear(&l->out);
	rpc_pack(&l->out, &q.base);
	(void)rpc_call_send(l->reg, buf_str(&l->out));
	rpc_call_half_close(l->reg);
	buf_fini(&node);
}

static void on_channel_up(void *arg)
{
	struct uplink *l = arg;
	const struct rpc_call_options o = { .path = "/rctl.agent.v1.Agent/RegisterNode",
					    .message = on_registered,
					    .closed = on_register_closed,
					    .arg = l };
	l->reg = rpc_call_start(l->ch, &o);
	if (!l->reg)
		return;
	send_register(l);
	loop_timer_set(l->opt.loop, &l->deadline, REGISTER_TIMEOUT_MS);
}

static void on_channel_lost(void *arg, const struct error *err)
{
	struct uplink *l = arg;
	l->reg = l->connect = NULL;
	drop(l, "lost", err->msg);
}

/* ----------------------------------------------------------------------------------------- dial */

static void on_dial(struct loop_timer *t)
{
	struct uplink *l = container_of(t, struct uplink, dial);
	struct error err = { 0 };
	const struct rpc_channel_options o = { .address = l->plan.endpoints[l->endpoint].address,
					       .tls = l->opt.tls,
					       .connected = on_channel_up,
					       .lost = on_channel_lost,
					       .arg = l };
	assert(!l->ch);
	if (rpc_channel_open(l->opt.loop, &o, &l->ch, &err) != 0) {
		l->ch = NULL;
		drop(l, "refused", err.msg);
	}
}

static void later(struct uplink *l)
{
	uint64_t wait = 0;
	l->endpoint = link_plan_next(&l->plan, clock_random_u64(), &wait);
	loop_timer_set(l->opt.loop, &l->dial, wait);
}

struct uplink *uplink_new(const struct uplink_options *opt)
{
	struct uplink *l = mem_new(struct uplink, 1);
	assert(opt->endpoints_len > 0);
	l->opt = *opt;
	struct link_endpoint *copy = mem_new(struct link_endpoint, opt->endpoints_len);
	memcpy(copy, opt->endpoints, opt->endpoints_len * sizeof(*copy));
	l->opt.endpoints = copy;
	snprintf(l->plan.region, sizeof(l->plan.region), "%s", opt->region);
	snprintf(l->plan.network_az, sizeof(l->plan.network_az), "%s", opt->network_az);
	link_plan_set(&l->plan, copy, opt->endpoints_len, clock_random_u64());
	l->heartbeat_ms = opt->heartbeat_ms;
	l->dial.fn = on_dial;
	l->deadline.fn = on_deadline;
	l->beat.fn = on_beat;
	l->better.fn = on_better;
	l->drop.fn = on_drop;
	later(l);
	return l;
}

struct uplink *uplink_free(struct uplink *l)
{
	if (!l)
		return NULL;
	disconnect(l);
	loop_timer_stop(&l->dial);
	buf_fini(&l->out);
	union {
		const struct link_endpoint *in;
		struct link_endpoint *out;
	} u = { .in = l->opt.endpoints };
	mem_free(u.out);
	mem_free(l);
	return NULL;
}

bool uplink_is_up(const struct uplink *l)
{
	return l->up;
}
