#include "push.h"

#include "agent/v1/agent.pb-c.h"
#include "agents.h"
#include "base/log.h"
#include "base/mem.h"
#include "grpc/message.h"
#include "push_events.h"
#include "pushway.h"
#include "telemetry/delta.h"
#include "telemetry/intake.h"
#include "telemetry/pack.h"
#include "telemetry/record.h"
#include "topology.h"
#include "watch/watch.h"

enum {
	WINDOW_BYTES = 1 << 20,
	/* Twice what an agent that keeps to its window can have under way. */
	PENDING_BYTES_MAX = 2 * WINDOW_BYTES,
	PENDING_RECORDS_MAX = 4096,
};

struct push {
	struct push_config cfg;
};

/* One call; lives until the gRPC stream and the store both let go of it. */
struct stream {
	struct push *push;
	struct rpc_stream *rpc; /* NULL: gone */
	struct intake_stream *in;
	struct pushway_stream *far; /* instead of `in`: another server has the database */
	struct push_events *events;
	char *node;
	uint64_t pending_records, pending_bytes;
	bool opened, paused;
	bool deltas;       /* metrics, and the store is here: differences are made whole again */
	struct delta base; /* the batch that came last */
};

static void stream_free(struct stream *s)
{
	if (s->rpc || s->in || s->far || s->events)
		return;
	delta_fini(&s->base);
	mem_free(s->node);
	mem_free(s);
}

static void respond(struct stream *s, const Rctl__Agent__V1__PushResponse *m)
{
	struct buf b = { 0 };
	if (!s->rpc)
		return;
	rpc_pack(&b, &m->base);
	(void)rpc_stream_send(s->rpc, buf_str(&b));
	buf_fini(&b);
}

static void send_opened(struct stream *s, uint64_t acked, uint32_t known)
{
	Rctl__Agent__V1__PushOpened o = RCTL__AGENT__V1__PUSH_OPENED__INIT;
	Rctl__Agent__V1__PushResponse m = RCTL__AGENT__V1__PUSH_RESPONSE__INIT;
	o.acked_sequence = acked;
	o.known_series = known;
	o.window_bytes = WINDOW_BYTES;
	o.metric_delta = s->deltas;
	m.kind_case = RCTL__AGENT__V1__PUSH_RESPONSE__KIND_OPENED;
	m.opened = &o;
	respond(s, &m);
}

static void send_ack(struct stream *s, uint64_t acked, uint64_t refused, const char *reason)
{
	union {
		const char *in;
		char *out;
	} text = { .in = reason };
	Rctl__Agent__V1__Ack a = RCTL__AGENT__V1__ACK__INIT;
	Rctl__Agent__V1__PushResponse m = RCTL__AGENT__V1__PUSH_RESPONSE__INIT;
	a.acked_sequence = acked;
	a.refused_records = refused;
	a.refused_reason = text.out;
	m.kind_case = RCTL__AGENT__V1__PUSH_RESPONSE__KIND_ACK;
	m.ack = &a;
	respond(s, &m);
}

/* ---- what the store says ---- */

static void on_opened(void *arg, uint64_t acked, uint32_t known)
{
	send_opened(arg, acked, known);
}

static void on_acked(void *arg, uint64_t acked, uint64_t records, uint64_t refused,
		     const char *reason)
{
	struct stream *s = arg;
	s->pending_records -= records < s->pending_records ? records : s->pending_records;
	if (!s->pending_records)
		s->pending_bytes = 0;
	if (refused)
		log_warn("push-refused", "node", LOG_S(s->node), "records", LOG_I(refused),
			 "reason", LOG_S(reason), NULL);
	send_ack(s, acked, refused, reason);
	if (s->paused && s->rpc && s->pending_records < PENDING_RECORDS_MAX / 2) {
		s->paused = false;
		s->pending_bytes /= 2;
		rpc_stream_resume(s->rpc);
	}
}

static void on_failed(void *arg, const struct error *err)
{
	struct stream *s = arg;
	enum rpc_status status = err->code == ERR_EXPIRED       ? RPC_ABORTED
				 : err->code == ERR_BAD_REQUEST ? RPC_INVALID_ARGUMENT
								: RPC_UNAVAILABLE;
	if (s->rpc)
		rpc_stream_end(s->rpc, status, err->msg);
}

static void on_closed(void *arg)
{
	struct stream *s = arg;
	s->in = NULL;
	s->far = NULL;
	stream_free(s);
}

static const struct intake_handlers INTAKE = { on_opened, on_acked, on_failed, on_closed };

static void events_stored(void *arg, uint64_t acked, uint64_t refused)
{
	send_ack(arg, acked, refused, refused ? "events that are not valid" : "");
}

static void events_failed(void *arg)
{
	struct stream *s = arg;
	if (s->rpc)
		rpc_stream_end(s->rpc, RPC_UNAVAILABLE, "the events could not be stored");
}

static void events_closed(void *arg)
{
	struct stream *s = arg;
	s->events = NULL;
	stream_free(s);
}

/* ---- what the agent says ---- */

static void open_here(struct stream *s, struct intake *in, const struct request *q)
{
	struct arena a = { 0 };
	struct buf key = { 0 };
	struct apiserver *api = s->push->cfg.api;
	buf_addf(&key, "/nodes//%s", s->node);
	struct watch_snap *snap = watch_snap_get(apiserver_cache(api));
	const struct intake_open open = {
		.node = str_of(s->node),
		.stream = q->stream,
		.incarnation = q->incarnation,
		.next_sequence = q->next_sequence,
		.added = topology_labels(&a, str_of(s->push->cfg.cluster), str_of(s->node),
					 watch_snap_find(snap, buf_str(&key))),
	};
	s->in = intake_stream_open(in, s->push->cfg.loop, &open, &INTAKE, s);
	watch_snap_unref(snap);
	buf_fini(&key);
	arena_fini(&a);
}

static void open_store(struct stream *s, enum peers_store store, const struct request *q,
		       struct str msg)
{
	const struct push_config *cfg = &s->push->cfg;
	struct intake *in = store == PEERS_LOGS ? cfg->logs : cfg->metrics;
	if (!in) {
		rpc_stream_end(s->rpc, RPC_UNIMPLEMENTED,
			       "this server has no store for this stream");
		return;
	}
	if (intake_down(in))
		s->far = pushway_open(cfg->peerway, store, str_of(s->node), msg, &INTAKE, s);
	if (!s->far) {
		s->deltas = q->stream == RCTL__AGENT__V1__STREAM__STREAM_METRICS;
		open_here(s, in, q);
	}
}

static void on_open_request(struct stream *s, const struct request *q, struct str msg)
{
	static const struct push_events_handlers events = { events_stored, events_failed,
							    events_closed };
	if (s->opened || !str_is(q->node, s->node)) {
		rpc_stream_end(s->rpc, RPC_PERMISSION_DENIED,
			       "open names another node than the certificate, or stands twice");
		return;
	}
	s->opened = true;
	switch (q->stream) {
	case RCTL__AGENT__V1__STREAM__STREAM_METRICS:
		open_store(s, PEERS_METRICS, q, msg);
		break;
	case RCTL__AGENT__V1__STREAM__STREAM_ALERTS: /* alerts are kept as samples */
		open_store(s, PEERS_METRICS, q, msg);
		break;
	case RCTL__AGENT__V1__STREAM__STREAM_LOGS:
		open_store(s, PEERS_LOGS, q, msg);
		break;
	case RCTL__AGENT__V1__STREAM__STREAM_EVENTS:
		s->events = push_events_new(s->push->cfg.api, s->push->cfg.loop, str_of(s->node),
					    q->next_sequence, &events, s);
		send_opened(s, q->next_sequence ? q->next_sequence - 1 : 0, 0);
		break;
	default:
		rpc_stream_end(s->rpc, RPC_UNIMPLEMENTED, "this server does not know this stream");
		break;
	}
}

/*
 * A batch is the base of the differences behind it, a difference becomes a batch again: the store knows whole ones alone.
 * False: it cannot, and the agent has to begin anew with a whole one.
 */
static bool take_batch(struct stream *s, const struct request *q)
{
	struct buf plain = { 0 }, batch = { 0 }, packed = { 0 };
	struct str bytes;
	bool whole = q->type == RECORD_METRICS;
	int rc = record_unpack(q->compression, q->payload, &plain, &bytes, NULL);
	if (whole) {
		/* One that is broken is the store's to refuse. */
		if (rc || delta_base(&s->base, q->sequence, bytes, NULL) != 0)
			delta_fini(&s->base);
		intake_stream_record(s->in, q->sequence, q->type, q->compression, q->payload);
		rc = 0;
	} else if (!rc) {
		rc = delta_read(&s->base, q->sequence, bytes, &batch, NULL);
	}
	if (!rc && !whole) {
		pack_close(buf_str(&batch), 1, &packed);
		intake_stream_record(s->in, q->sequence, RECORD_METRICS, RECORD_ZSTD,
				     buf_str(&packed));
	}
	buf_fini(&plain);
	buf_fini(&batch);
	buf_fini(&packed);
	return rc == 0;
}

static void on_record(struct stream *s, const struct request *q, struct str msg)
{
	if (q->payload.len > RECORD_BYTES_MAX) {
		rpc_stream_end(s->rpc, RPC_INVALID_ARGUMENT, "the record is too large");
		return;
	}
	if (s->events) {
		push_events_record(s->events, q->sequence, q->type, q->compression, q->payload);
		return;
	}
	s->pending_records++;
	s->pending_bytes += q->payload.len;
	bool batch = q->type == RECORD_METRICS || q->type == RECORD_METRIC_DELTA;
	if (s->far)
		pushway_message(s->far, msg, true);
	else if (s->deltas && batch && !take_batch(s, q))
		rpc_stream_end(s->rpc, RPC_ABORTED, "a difference to a batch that is not here");
	else if (!s->deltas || !batch)
		intake_stream_record(s->in, q->sequence, q->type, q->compression, q->payload);
	if (s->pending_bytes > PENDING_BYTES_MAX || s->pending_records > PENDING_RECORDS_MAX) {
		s->paused = true;
		rpc_stream_pause(s->rpc);
	}
}

static void method_message(void *arg, struct rpc_stream *rpc, struct str msg)
{
	struct stream *s = rpc_stream_get(rpc);
	struct request q;
	struct error err = { 0 };
	(void)arg;
	if (!s)
		return;
	if (record_request(msg, &q, &err) != 0) {
		rpc_stream_end(rpc, RPC_INVALID_ARGUMENT, err.msg);
		return;
	}
	if (q.kind == REQUEST_OPEN)
		on_open_request(s, &q, msg);
	else if (q.kind != REQUEST_NONE && !s->in && !s->far && !s->events)
		rpc_stream_end(rpc, RPC_FAILED_PRECONDITION, "the first message must be open");
	else if (q.kind == REQUEST_SERIES && s->in)
		intake_stream_series(s->in, q.series);
	else if (q.kind == REQUEST_SERIES && s->far)
		pushway_message(s->far, msg, false);
	else if (q.kind == REQUEST_RECORD)
		on_record(s, &q, msg);
}

static void method_open(void *arg, struct rpc_stream *rpc)
{
	struct str node = agents_peer_node(rpc);
	if (!node.len) {
		rpc_stream_end(rpc, RPC_PERMISSION_DENIED, "the certificate is not a node's");
		return;
	}
	struct stream *s = mem_new(struct stream, 1);
	s->push = arg;
	s->rpc = rpc;
	s->node = mem_strndup(node.p, node.len);
	rpc_stream_set(rpc, s);
}

static void method_closed(void *arg, struct rpc_stream *rpc, bool cancelled)
{
	struct stream *s = rpc_stream_get(rpc);
	(void)arg;
	(void)cancelled;
	if (!s)
		return;
	s->rpc = NULL;
	/* The last word of either frees s. */
	if (s->in)
		intake_stream_close(s->in);
	else if (s->far)
		pushway_close(s->far);
	else if (s->events)
		push_events_close(s->events);
	else
		stream_free(s);
}

struct rpc_method push_method(struct push *p)
{
	return (struct rpc_method){ .path = "/rctl.agent.v1.Agent/Push",
				    .open = method_open,
				    .message = method_message,
				    .closed = method_closed,
				    .arg = p };
}

struct push *push_new(const struct push_config *cfg)
{
	struct push *p = mem_new(struct push, 1);
	p->cfg = *cfg;
	return p;
}

struct push *push_free(struct push *p)
{
	mem_free(p);
	return NULL;
}
