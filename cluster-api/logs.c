#include "logs.h"

#include "agent/v1/agent.pb-c.h"
#include "apiserver/passage.h"
#include "apiserver/relay.h"
#include "base/log.h"
#include "base/mem.h"
#include "grpc/message.h"
#include "http/server.h"
#include "json/json.h"
#include "sys/clock.h"
#include "telemetry/lstore.h"
#include "text/rfc3339.h"
#include "text/url.h"
#include "watch/watch.h"

#include <inttypes.h>
#include <stdio.h>

enum { ANSWER_MS = 10000 };

/* What is stored is wanted, whatever the node has: also between servers of a cluster, when the node was asked. */
#define STORED_HEADER "rctl-stored"

struct logs {
	struct apiserver *api;
	struct loop *loop;
	struct agents *agents;
	struct peerway *peerway;
	struct lstore *store; /* NULL = no lines are stored */
	struct map waiting;   /* request id → struct query */
};

/* One request, on the agents' loop. */
struct query {
	struct logs *logs;
	struct arena arena;
	struct str node;
	struct agents_log_query q;
	struct relay *relay;
	struct rpc_stream *stream; /* the node's answer; NULL until it opened it */
	struct loop_timer timer;   /* the node must answer in time */
	uint64_t id;
	bool begun, ended;
	/* The lines that the log store has, when the node does not give them. */
	struct lstore_cursor *cursor;
	bool cursor_waits; /* for room */
	/* The same from the server that has the log database; and as whom, with what, it is asked. */
	struct peerway_call *far;
	struct auth_user user;
	struct str target;
	bool only_stored, is_last; /* is_last: asked by a server that takes us for the owner */
	struct error why;          /* the node does not */
};

static struct str id_key(const uint64_t *id)
{
	return str_n((const char *)id, sizeof(*id));
}

/* The node's answer is not wanted any more. */
static void let_go(struct query *q)
{
	loop_timer_stop(&q->timer);
	if (q->id)
		(void)map_del(&q->logs->waiting, id_key(&q->id));
	if (q->stream)
		rpc_stream_set(q->stream, NULL);
	q->id = 0;
	q->stream = NULL;
}

static void query_free(struct query *q)
{
	let_go(q);
	if (q->cursor)
		lstore_close(q->cursor);
	if (q->far)
		peerway_cancel(q->far);
	relay_done(q->relay);
	arena_fini(&q->arena);
	mem_free(q);
}

static void fail(struct query *q, enum err_code code, const char *text)
{
	struct error err = { 0 };
	(void)error_set(&err, code, "%s", text);
	relay_fail(q->relay, &err);
	q->ended = true;
}

/* ---- lines of the log store ---- */

static void on_piece(void *arg, const struct error *err, struct str text, bool end)
{
	struct query *q = arg;
	if (err) {
		/* Nothing stored: then what the node said is the answer. */
		relay_fail(q->relay, err->code == ERR_NOT_FOUND ? &q->why : err);
		q->ended = true;
		return;
	}
	relay_begin(q->relay, 200, STR("text/plain; charset=utf-8"));
	relay_write(q->relay, text);
	q->begun = true;
	if (end) {
		relay_end(q->relay);
		q->ended = true;
	} else if (relay_full(q->relay)) {
		q->cursor_waits = true;
	} else {
		lstore_next(q->cursor);
	}
}

static void on_far_data(void *arg, int status, struct str data)
{
	struct query *q = arg;
	if (status != 200)
		return;
	q->begun = true;
	relay_begin(q->relay, 200, STR("text/plain; charset=utf-8"));
	relay_write(q->relay, data);
	if (relay_full(q->relay))
		peerway_pause(q->far);
}

static void on_far_done(void *arg, int status, struct str reply, const struct error *err)
{
	struct query *q = arg;
	(void)reply;
	q->far = NULL;
	q->ended = true;
	if (err || status != 200) {
		relay_fail(q->relay, err ? err : &q->why);
		return;
	}
	relay_begin(q->relay, 200, STR("text/plain; charset=utf-8"));
	relay_end(q->relay);
}

/* Asks the server that has the log database; false when there is none. */
static bool from_owner(struct query *q)
{
	static const struct fetch_header stored[] = { { STORED_HEADER, "true" }, { 0 } };
	q->far = peerway_send(q->logs->peerway, &(struct peerway_request){
							.store = PEERS_LOGS,
							.method = "GET",
							.path = q->target.p,
							.user = q->user.name,
							.groups = q->user.groups,
							.groups_len = q->user.groups_len,
							.extra = stored,
							.idle_ms = ANSWER_MS,
							.on_data = on_far_data,
							.on_done = on_far_done,
							.arg = q,
						});
	return q->far;
}

/* The node does not answer, or has nothing (any more): `why` stands unless lines are stored. */
static void from_store(struct query *q, enum err_code code, const char *why)
{
	if (!q->logs->store || q->begun || q->cursor || q->far) {
		fail(q, code, why);
		return;
	}
	if (!q->is_last && intake_down(lstore_intake(q->logs->store))) {
		let_go(q);
		(void)error_set(&q->why, code, "%s", why);
		if (from_owner(q))
			return;
	}
	const struct lstore_query lq = { .uid = q->q.uid,
					 .container = q->q.container,
					 .previous = q->q.previous,
					 .timestamps = q->q.timestamps,
					 .tail_lines = q->q.tail_lines,
					 .since_unix_ns = q->q.since_unix_ns,
					 .limit_bytes = q->q.limit_bytes };
	let_go(q);
	(void)error_set(&q->why, code, "%s", why);
	q->cursor = lstore_open(q->logs->store, q->logs->loop, &lq, on_piece, q);
}

/* ---- the far side of the relay ---- */

static void on_late(struct loop_timer *t)
{
	struct query *q = container_of(t, struct query, timer);
	agents_cancel_request(q->logs->agents, q->node, q->id);
	from_store(q, ERR_TIMEOUT, "the node did not answer in time");
}

static void on_start(struct relay *r, void *data)
{
	struct query *q = data;
	struct logs *l = q->logs;
	q->relay = r;
	if (q->only_stored) {
		from_store(q, ERR_NOT_FOUND, "no lines are stored");
		return;
	}
	struct session *s = agents_session(l->agents, q->node);
	if (!s) {
		from_store(q, ERR_UNAVAILABLE,
			   arena_printf(&q->arena, "node \"%.*s\" is not connected to this server",
					STR_ARG(q->node)));
		return;
	}
	q->id = agents_open_logs(l->agents, s, &q->q);
	(void)map_set(&l->waiting, id_key(&q->id), q);
	q->timer.fn = on_late;
	loop_timer_set(l->loop, &q->timer, ANSWER_MS);
}

static void on_room(struct relay *r, void *data)
{
	(void)r;
	struct query *q = data;
	if (q->stream)
		rpc_stream_resume(q->stream);
	if (q->far)
		peerway_resume(q->far);
	if (q->cursor_waits && !q->ended) {
		q->cursor_waits = false;
		lstore_next(q->cursor);
	}
}

static void on_gone(struct relay *r, void *data)
{
	(void)r;
	struct query *q = data;
	if (!q->ended && q->id) {
		agents_cancel_request(q->logs->agents, q->node, q->id);
		if (q->stream)
			rpc_stream_end(q->stream, RPC_CANCELLED, "the client went away");
	}
	query_free(q);
}

static const struct relay_handlers relay_on = { .start = on_start,
						.room = on_room,
						.gone = on_gone };

/* ---- the node's answer ---- */

static void stream_open(void *arg, struct rpc_stream *s)
{
	(void)arg;
	if (!agents_peer_node(s).len)
		rpc_stream_end(s, RPC_PERMISSION_DENIED, "the certificate is not a node's");
}

static enum err_code code_of(uint32_t code)
{
	switch (code) {
	case RPC_NOT_FOUND:
		return ERR_NOT_FOUND;
	case RPC_INVALID_ARGUMENT:
	case RPC_FAILED_PRECONDITION:
		return ERR_BAD_REQUEST;
	case RPC_UNAVAILABLE:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

/* The first chunk says which request it is about; it must be one that this very node was asked. */
static struct query *claim(struct logs *l, struct rpc_stream *s, uint64_t id)
{
	struct query *q = map_get(&l->waiting, id_key(&id));
	if (!q || !str_eq(q->node, agents_peer_node(s))) {
		rpc_stream_end(s, RPC_NOT_FOUND, "nobody waits for this request");
		return NULL;
	}
	q->stream = s;
	rpc_stream_set(s, q);
	loop_timer_stop(&q->timer);
	return q;
}

static void stream_message(void *arg, struct rpc_stream *s, struct str msg)
{
	struct logs *l = arg;
	Rctl__Agent__V1__LogChunk *m = rpc_unpack(&rctl__agent__v1__log_chunk__descriptor, msg);
	if (!m) {
		rpc_stream_end(s, RPC_INVALID_ARGUMENT, "not a LogChunk");
		return;
	}
	struct query *q = rpc_stream_get(s);
	if (!q)
		q = claim(l, s, m->request_id);
	if (q && !q->ended) {
		if (m->code) {
			from_store(q, code_of(m->code), m->message);
		} else {
			q->begun = true;
			relay_begin(q->relay, 200, STR("text/plain; charset=utf-8"));
			relay_write(q->relay, rpc_bytes(m->data));
			if (relay_full(q->relay))
				rpc_stream_pause(s);
		}
	}
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void finish(struct query *q)
{
	if (q->ended)
		return;
	q->ended = true;
	relay_begin(q->relay, 200, STR("text/plain; charset=utf-8"));
	relay_end(q->relay);
}

static void stream_half_closed(void *arg, struct rpc_stream *s)
{
	(void)arg;
	struct query *q = rpc_stream_get(s);
	if (q)
		finish(q);
	rpc_stream_end(s, RPC_OK, "");
}

static void stream_closed(void *arg, struct rpc_stream *s, bool cancelled)
{
	(void)arg;
	struct query *q = rpc_stream_get(s);
	if (!q)
		return;
	q->stream = NULL;
	if (cancelled && !q->ended)
		from_store(q, ERR_UNAVAILABLE, "the connection to the node was lost");
	else
		finish(q);
	/* the relay's gone comes when the client closed: q lives until then */
}

struct rpc_method logs_method(struct logs *l)
{
	return (struct rpc_method){ .path = "/rctl.agent.v1.Agent/Logs",
				    .open = stream_open,
				    .message = stream_message,
				    .half_closed = stream_half_closed,
				    .closed = stream_closed,
				    .arg = l };
}

static void on_failed(void *arg, uint64_t id, uint32_t code, const char *message)
{
	struct logs *l = arg;
	struct query *q = map_get(&l->waiting, id_key(&id));
	if (q && !q->ended)
		from_store(q, code_of(code), message);
}

/* ---- the route (any API loop) ---- */

static bool has_container(const struct json *list, struct str name)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_getc(json_at(list, i), "name")), name))
			return true;
	return false;
}

/* The words of kube-apiserver, which people and tools know. */
static int choose_container(struct arena *a, const struct json *pod, struct str want,
			    struct str *ret, struct error *err)
{
	struct str name = json_str(json_dig(pod, "metadata", "name", NULL));
	const struct json *list = json_dig(pod, "spec", "containers", NULL);
	struct str annotated = json_str(json_dig(pod, "metadata", "annotations",
						 "kubectl.kubernetes.io/default-container", NULL));
	if (!want.len && annotated.len)
		want = annotated;
	if (!want.len && json_len(list) == 1)
		want = json_str(json_getc(json_at(list, 0), "name"));
	if (!want.len) {
		struct buf names = { 0 };
		for (size_t i = 0; i < json_len(list); i++)
			buf_addf(&names, "%s%.*s", i ? " " : "",
				 STR_ARG(json_str(json_getc(json_at(list, i), "name"))));
		int rc = error_set(
			err, ERR_BAD_REQUEST,
			"a container name must be specified for pod %.*s, choose one of: [%s]",
			STR_ARG(name), buf_cstr(&names));
		buf_fini(&names);
		return rc;
	}
	if (!has_container(list, want) &&
	    !has_container(json_dig(pod, "spec", "initContainers", NULL), want))
		return error_set(err, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s",
				 STR_ARG(want), STR_ARG(name));
	*ret = arena_str(a, want);
	return 0;
}

static int number(struct arena *a, struct str query, const char *name, int64_t absent, int64_t *ret,
		  struct error *err)
{
	struct str v = url_query_get(a, query, name);
	*ret = absent;
	if (v.len && (!str_to_i64(v, ret) || *ret < 0))
		return error_set(err, ERR_BAD_REQUEST,
				 "%s must be a number that is not negative, not \"%.*s\"", name,
				 STR_ARG(v));
	return 0;
}

static bool flag(struct arena *a, struct str query, const char *name)
{
	struct str v = url_query_get(a, query, name);
	return str_is(v, "true") || str_is(v, "1");
}

static int read_query(struct query *q, struct str query, struct error *err)
{
	struct arena *a = &q->arena;
	int64_t seconds = 0;
	int rc = number(a, query, "tailLines", -1, &q->q.tail_lines, err);
	if (!rc)
		rc = number(a, query, "limitBytes", 0, &q->q.limit_bytes, err);
	if (!rc)
		rc = number(a, query, "sinceSeconds", 0, &seconds, err);
	if (rc)
		return rc;
	q->q.follow = flag(a, query, "follow");
	q->q.previous = flag(a, query, "previous");
	q->q.timestamps = flag(a, query, "timestamps");
	struct str since = url_query_get(a, query, "sinceTime");
	int64_t us = 0;
	if (since.len && !rfc3339_parse_us(since, &us))
		return error_set(err, ERR_BAD_REQUEST, "sinceTime is no RFC 3339 time: \"%.*s\"",
				 STR_ARG(since));
	q->q.since_unix_ns = since.len ? us * 1000
			     : seconds ? clock_unix_ns() - seconds * 1000000000
				       : 0;
	return 0;
}

static int read_pod(struct query *q, const struct apiserver_info *info, struct error *err)
{
	struct arena *a = &q->arena;
	struct str key = arena_strf(a, "/pods/%.*s/%.*s", STR_ARG(info->action.ns),
				    STR_ARG(info->action.name));
	struct watch_snap *snap = watch_snap_get(apiserver_cache(q->logs->api));
	struct watch_obj *o = watch_snap_find(snap, key);
	struct json pod;
	int rc = 0;
	if (!o)
		rc = error_set(err, ERR_NOT_FOUND, "pods \"%.*s\" not found",
			       STR_ARG(info->action.name));
	else
		rc = json_parse(a, arena_str(a, watch_obj_json(o)), NULL, &pod, err);
	watch_snap_unref(snap);
	if (rc)
		return rc;
	q->q.ns = arena_str(a, info->action.ns);
	q->q.pod = arena_str(a, info->action.name);
	q->q.uid = json_str(json_dig(&pod, "metadata", "uid", NULL));
	q->node = json_str(json_dig(&pod, "spec", "nodeName", NULL));
	rc = choose_container(a, &pod, url_query_get(a, info->query, "container"), &q->q.container,
			      err);
	if (!rc && !q->node.len)
		rc = error_set(err, ERR_BAD_REQUEST,
			       "container \"%.*s\" in pod \"%.*s\" is waiting to start: the pod is "
			       "not bound to a node",
			       STR_ARG(q->q.container), STR_ARG(q->q.pod));
	return rc;
}

/* What a question to another server needs, when it comes to that. */
static void keep_caller(struct query *q, struct http_request *req,
			const struct apiserver_info *info)
{
	struct arena *a = &q->arena;
	q->is_last = q->only_stored && http_request_header(req, PASSAGE_PEER_HEADER).len > 0;
	q->user.name = arena_str(a, info->user->name);
	q->user.groups_len = info->user->groups_len;
	for (size_t i = 0; i < info->user->groups_len; i++)
		q->user.groups[i] = arena_str(a, info->user->groups[i]);
	q->target = req->query.len
			    ? arena_strf(a, "%.*s?%.*s", STR_ARG(req->path), STR_ARG(req->query))
			    : arena_str(a, req->path);
}

static void serve(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	struct logs *l = arg;
	struct query *q = mem_new(struct query, 1);
	struct error err = { 0 };
	q->logs = l;
	int rc = read_pod(q, info, &err);
	if (!rc)
		rc = read_query(q, info->query, &err);
	if (rc)
		apiserver_fail(req, &err);
	q->only_stored = http_request_header(req, STORED_HEADER).len > 0;
	if (rc || (!q->only_stored && peerway_take(l->peerway, req, info, q->node))) {
		arena_fini(&q->arena);
		mem_free(q);
		return;
	}
	keep_caller(q, req, info);
	relay_new(req, l->loop, &relay_on, q);
}

struct logs *logs_new(struct apiserver *api, struct loop *loop)
{
	struct logs *l = mem_new(struct logs, 1);
	l->api = api;
	l->loop = loop;
	map_init(&l->waiting, clock_random_u64());
	return l;
}

struct logs *logs_free(struct logs *l)
{
	if (!l)
		return NULL;
	map_fini(&l->waiting);
	mem_free(l);
	return NULL;
}

void logs_add_route(struct logs *l, struct agents *agents, struct peerway *peerway,
		    struct lstore *store)
{
	l->peerway = peerway;
	l->agents = agents;
	l->store = store;
	agents_on_failed(agents, on_failed, l);
	const struct apiserver_route route = { .resource = "pods",
					       .subresource = "log",
					       .stream = true,
					       .fn = serve,
					       .closed = relay_closed,
					       .drained = relay_drained,
					       .arg = l };
	apiserver_add_route(l->api, &route);
}
