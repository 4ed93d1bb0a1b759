/* One Connect: hello, assignments down, states and heartbeats up, acknowledgements in order. */
#include "agents_priv.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "grpc/message.h"
#include "json/json.h"
#include "peers.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <inttypes.h>

enum { STATUS_BYTES_MAX = 512 << 10, CATCH_UP_MS = 10000 };

/* A write that an AgentMessage caused; the message is acknowledged when it and all before it are stored. */
struct write {
	struct session *session;
	struct list link;
	uint64_t sequence;
	bool done;
	bool release; /* of a pod: delete the object when the status is stored */
	char *path;   /* of the pod */
	char *uid;
};

static void session_unref(struct session *s)
{
	if (--s->refcount)
		return;
	assign_forget(s);
	mem_free(s->node);
	mem_free(s);
}

void session_send(struct session *s, Rctl__Agent__V1__ServerMessage *m)
{
	if (!s->stream)
		return;
	/* all writes before the first unfinished one are stored */
	uint64_t acked = s->received;
	if (!list_empty(&s->writes))
		acked = list_entry(s->writes.next, struct write, link)->sequence - 1;
	m->acked = acked;
	s->acked_sent = acked;
	struct buf b = { 0 };
	rpc_pack(&b, &m->base);
	(void)rpc_stream_send(s->stream, buf_str(&b));
	buf_fini(&b);
}

static void send_ack(struct session *s)
{
	uint64_t acked = list_empty(&s->writes)
				 ? s->received
				 : list_entry(s->writes.next, struct write, link)->sequence - 1;
	if (acked == s->acked_sent || !s->stream)
		return;
	Rctl__Agent__V1__AckOnly only = RCTL__AGENT__V1__ACK_ONLY__INIT;
	Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
	m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_ACK;
	m.ack = &only;
	session_send(s, &m);
}

void session_end(struct session *s, enum rpc_status status, const char *text)
{
	if (s->stream)
		rpc_stream_end(s->stream, status, text);
}

void session_events(struct session *s, struct watch_event *const *ev, size_t n, int64_t rev)
{
	if (!s->hello || !s->stream)
		return;
	if (!s->await_rev) {
		assign_events(s, ev, n, rev);
	} else if (rev >= s->await_rev) {
		s->await_rev = 0;
		assign_full(s);
	}
}

/* ---- writes ---- */

static void write_free(struct write *w)
{
	list_del(&w->link);
	mem_free(w->path);
	mem_free(w->uid);
	struct session *s = w->session;
	mem_free(w);
	session_unref(s);
}

static void finish(struct write *w)
{
	struct session *s = w->session;
	s->refcount++; /* over the loop: the writes hold the others */
	w->done = true;
	while (!list_empty(&s->writes) && list_entry(s->writes.next, struct write, link)->done)
		write_free(list_entry(s->writes.next, struct write, link));
	send_ack(s);
	session_unref(s);
}

static void on_deleted(void *arg, int status, struct str reply)
{
	(void)reply;
	struct write *w = arg;
	if (status >= 500 || status == 429)
		session_end(w->session, RPC_UNAVAILABLE,
			    "the state could not be stored; report it again");
	finish(w);
}

/* Nothing of the pod runs any more: a terminating object may go. */
static void delete_pod(struct write *w)
{
	static const struct auth_user self = { .name = { "system:apiserver", 16 },
					       .groups = { { "system:masters", 14 } },
					       .groups_len = 1 };
	struct buf body = { 0 };
	buf_addf(&body, "{\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":\"%s\"}}", w->uid);
	const struct apiserver_call call = {
		.method = STR("DELETE"),
		.path = str_of(w->path),
		.content_type = STR("application/json"),
		.body = buf_str(&body),
		.user = &self,
	};
	struct agents *a = w->session->agents;
	apiserver_call(a->cfg.api, a->cfg.loop, &call, on_deleted, w);
	buf_fini(&body);
}

static bool is_terminating(struct agents *a, const struct write *w)
{
	struct sent_pod *p = map_get(&w->session->pods, str_of(w->uid));
	if (!p)
		return false;
	struct buf key = { 0 };
	buf_addf(&key, "/pods/%s", p->key);
	struct watch_snap *snap = watch_snap_get(apiserver_cache(a->cfg.api));
	struct watch_obj *o = watch_snap_find(snap, buf_str(&key));
	bool yes = o && str_find_str(watch_obj_json(o), STR("\"deletionTimestamp\":"), 0) >= 0;
	watch_snap_unref(snap);
	buf_fini(&key);
	return yes;
}

static void on_status_stored(void *arg, int status, struct str reply)
{
	struct write *w = arg;
	struct session *s = w->session;
	if (status >= 500 || status == 429) {
		/* the agent sends every state again when it comes back */
		session_end(s, RPC_UNAVAILABLE, "the state could not be stored; report it again");
	} else if (status >= 400 && status != 404) {
		log_warn("agent-state-refused", "node", LOG_S(s->node), "path", LOG_S(w->path),
			 "reply", LOG_STR(str_sub(reply, 0, 400)), NULL);
	}
	if (w->release && status < 300 && is_terminating(s->agents, w))
		delete_pod(w);
	else
		finish(w);
}

static struct write *write_new(struct session *s, uint64_t sequence)
{
	struct write *w = mem_new(struct write, 1);
	w->session = s;
	w->sequence = sequence;
	s->refcount++;
	list_append(&s->writes, &w->link);
	metric_add(s->agents->m_statuses, 1);
	return w;
}

/* Replaces /status as a whole, if the object is still the one meant. */
static void store_status(struct write *w, const char *path, const char *uid, struct str status)
{
	struct session *s = w->session;
	struct buf body = { 0 };
	struct buf full = { 0 };
	buf_addf(&full, "%s/status?fieldManager=resource-cluster-agent", path);
	buf_addc(&body, '[');
	if (uid) {
		buf_adds(&body, "{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":");
		json_write_str(&body, str_of(uid));
		buf_adds(&body, "},");
	}
	buf_adds(&body, "{\"op\":\"add\",\"path\":\"/status\",\"value\":");
	buf_add_str(&body, status);
	buf_adds(&body, "}]");
	const struct apiserver_call call = {
		.method = STR("PATCH"),
		.path = buf_str(&full),
		.content_type = STR("application/json-patch+json"),
		.body = buf_str(&body),
		.user = &s->user,
	};
	apiserver_call(s->agents->cfg.api, s->agents->cfg.loop, &call, on_status_stored, w);
	buf_fini(&body);
	buf_fini(&full);
}

/* ---- messages ---- */

static void on_pod_status(struct session *s, uint64_t sequence, const Rctl__Agent__V1__PodStatus *m)
{
	/* of pods that were assigned here, nothing else is taken */
	struct sent_pod *p = map_get(&s->pods, str_of(m->uid));
	if (!p || m->status.len > STATUS_BYTES_MAX)
		return;
	struct str slash = str_of(p->key);
	ptrdiff_t at = str_find(slash, '/', 0);
	struct buf path = { 0 };
	buf_addf(&path, "/api/v1/namespaces/%.*s/pods/%s", (int)at, p->key, p->key + at + 1);
	struct write *w = write_new(s, sequence);
	w->path = mem_strdup(buf_cstr(&path));
	w->uid = mem_strdup(m->uid);
	w->release = m->released;
	buf_fini(&path);
	store_status(w, w->path, w->uid, rpc_bytes(m->status));
}

static void on_node_status(struct session *s, uint64_t sequence,
			   const Rctl__Agent__V1__NodeStatus *m)
{
	if (m->status.len > STATUS_BYTES_MAX)
		return;
	struct write *w = write_new(s, sequence);
	struct buf path = { 0 };
	buf_addf(&path, "/api/v1/nodes/%s", s->node);
	w->path = mem_strdup(buf_cstr(&path));
	buf_fini(&path);
	store_status(w, w->path, NULL, rpc_bytes(m->status));
}

static void beat(struct session *s)
{
	if (s->newest)
		peers_heard(s->agents->cfg.peers, str_of(s->node));
}

/*
 * The agent may have come from a server that is ahead of this one: a list of before then would end pods that were
 * assigned there.
 */
static void assign_or_wait(struct session *s, const char *revision)
{
	struct agents *a = s->agents;
	int64_t rev = 0;
	(void)str_to_i64(str_of(revision), &rev);
	if (rev <= watch_snap_rev(a->snap)) {
		assign_full(s);
		return;
	}
	s->await_rev = rev;
	s->await_until_ms = loop_now_ms(a->cfg.loop) + CATCH_UP_MS;
}

void session_overdue(struct session *s, uint64_t now_ms)
{
	if (!s->await_rev || now_ms < s->await_until_ms)
		return;
	s->await_until_ms = now_ms + CATCH_UP_MS;
	session_end(s, RPC_UNAVAILABLE, "this server is behind what the agent has seen");
}

static void on_hello(struct session *s, const Rctl__Agent__V1__Hello *m)
{
	struct agents *a = s->agents;
	if (s->hello || !str_is(str_of(m->node), s->node)) {
		session_end(s, RPC_PERMISSION_DENIED,
			    "hello names another node than the certificate");
		return;
	}
	struct session *old = map_get(&a->sessions, str_of(s->node));
	if (old && old->incarnation > m->incarnation) {
		session_end(s, RPC_FAILED_PRECONDITION, "a newer start of this agent is connected");
		return;
	}
	if (old) {
		old->newest = false;
		session_end(old, RPC_ABORTED, "the agent connected again");
	}
	s->incarnation = m->incarnation;
	s->hello = s->newest = true;
	(void)map_set(&a->sessions, str_of(s->node), s);
	metric_set(a->m_connected, (int64_t)a->sessions.len);
	beat(s);
	log_info("agent-connected", "node", LOG_S(s->node), "incarnation", LOG_I(m->incarnation),
		 NULL);
	assign_or_wait(s, m->revision);
}

static void dispatch(struct session *s, const Rctl__Agent__V1__AgentMessage *m)
{
	s->received = m->sequence;
	if (!s->hello && m->kind_case != RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HELLO) {
		session_end(s, RPC_FAILED_PRECONDITION, "the first message must be hello");
		return;
	}
	switch (m->kind_case) {
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HELLO:
		on_hello(s, m->hello);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HEARTBEAT:
		beat(s);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_POD_STATUS:
		on_pod_status(s, m->sequence, m->pod_status);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_NODE_STATUS:
		on_node_status(s, m->sequence, m->node_status);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_REQUEST_FAILED:
		if (s->agents->failed)
			s->agents->failed(s->agents->failed_arg, m->request_failed->id,
					  m->request_failed->code, m->request_failed->message);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_APPLIED:
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND__NOT_SET:
	default: /* newer agents may say more */
		break;
	}
	send_ack(s);
}

/* ---- the stream ---- */

static void on_open(void *arg, struct rpc_stream *stream)
{
	struct agents *a = arg;
	struct str node = agents_peer_node(stream);
	if (!node.len) {
		rpc_stream_end(stream, RPC_PERMISSION_DENIED, "the certificate is not a node's");
		return;
	}
	struct session *s = mem_new(struct session, 1);
	s->agents = a;
	s->stream = stream;
	s->node = mem_strndup(node.p, node.len);
	s->user.name = rpc_stream_peer(stream)->common_name;
	s->user.groups[0] = STR("system:nodes");
	s->user.groups[1] = STR("system:authenticated");
	s->user.groups_len = 2;
	s->refcount = 1;
	list_init(&s->writes);
	map_init(&s->pods, clock_random_u64());
	map_init(&s->refs, clock_random_u64());
	list_append(&a->open, &s->link);
	rpc_stream_set(stream, s);
}

static void on_message(void *arg, struct rpc_stream *stream, struct str msg)
{
	(void)arg;
	struct session *s = rpc_stream_get(stream);
	if (!s)
		return;
	Rctl__Agent__V1__AgentMessage *m =
		rpc_unpack(&rctl__agent__v1__agent_message__descriptor, msg);
	if (!m) {
		session_end(s, RPC_INVALID_ARGUMENT, "not an AgentMessage");
		return;
	}
	dispatch(s, m);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void on_closed(void *arg, struct rpc_stream *stream, bool cancelled)
{
	(void)cancelled;
	struct agents *a = arg;
	struct session *s = rpc_stream_get(stream);
	if (!s)
		return;
	s->stream = NULL;
	s->user.name = STR(
		"system:node:"); /* the peer's strings end with the stream; nothing is sent as it any more */
	list_del(&s->link);
	if (map_get(&a->sessions, str_of(s->node)) == s) {
		(void)map_del(&a->sessions, str_of(s->node));
		peers_left(a->cfg.peers, str_of(s->node));
		metric_set(a->m_connected, (int64_t)a->sessions.len);
		log_info("agent-disconnected", "node", LOG_S(s->node), NULL);
	}
	session_unref(s);
}

const struct rpc_method session_method = {
	.path = "/rctl.agent.v1.Agent/Connect",
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};
