/* The whole agent against a server that speaks its protocol: the contract of proto/agent/v1. */
#include "agent.h"
#include "agent/v1/agent.pb-c.h"
#include "base/mem.h"
#include "base/metric.h"
#include "grpc/message.h"
#include "grpc/server.h"
#include "json/json.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "telemetry/pack.h"

#include <criterion/criterion.h>

#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, PUSHES = 8 };

struct stream_state {
	struct rpc_stream *s;
	int stream;
	uint64_t incarnation, acked;
	uint32_t known;
};

struct world {
	struct loop *loop;
	struct rpc_server *server;
	struct agent *agent;
	struct agent_config cfg;
	char dir[64], address[64], bin[256];
	char *server_item[1];
	struct rpc_stream *connect;
	int registered, hellos, heartbeats, statuses, failures;
	uint64_t incarnation;
	struct arena arena;
	struct json node, status;
	bool released, has_revision;
	struct buf revision, applied, log, failure;
	bool log_done;
	struct stream_state push[PUSHES];
	size_t push_len;
	uint64_t acked[8], incarnations[8]; /* by stream: what the server holds */
	uint32_t series[8];
	int metrics, events, lines;
	bool has_cpu;
	size_t metric_bytes, packed_bytes;
	bool mute; /* does not acknowledge pushes */
};

static void send_server(struct world *w, const Rctl__Agent__V1__ServerMessage *m)
{
	struct buf b = { 0 };
	rpc_pack(&b, &m->base);
	cr_assert(rpc_stream_send(w->connect, buf_str(&b)));
	buf_fini(&b);
}

/* ------------------------------------------------------------------------------- RegisterNode */

static void none_open(void *arg, struct rpc_stream *s)
{
	rpc_stream_set(s, arg);
}

static void reg_message(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	struct error err = { 0 };
	struct buf b = { 0 };
	Rctl__Agent__V1__RegisterRequest *q =
		rpc_unpack(&rctl__agent__v1__register_request__descriptor, msg);
	cr_assert(q);
	cr_assert_str_eq(q->node, w->cfg.node_name);
	cr_assert_str_eq(q->region, "r1");
	cr_assert_eq(q->n_streams, 4);
	w->incarnation = q->incarnation;
	cr_assert_eq(json_parse(&w->arena, arena_str(&w->arena, rpc_bytes(q->node_object)), NULL,
				&w->node, &err),
		     0, "%s", err.msg);
	w->registered++;
	protobuf_c_message_free_unpacked(&q->base, NULL);
	Rctl__Agent__V1__RegisterResponse r = RCTL__AGENT__V1__REGISTER_RESPONSE__INIT;
	r.heartbeat_interval_ms = 50;
	rpc_pack(&b, &r.base);
	rpc_stream_reply(s, buf_str(&b));
	buf_fini(&b);
}

static void none_closed(void *arg, struct rpc_stream *s, bool cancelled)
{
	struct world *w = arg;
	(void)cancelled;
	if (w->connect == s)
		w->connect = NULL;
	for (size_t i = 0; i < w->push_len; i++) {
		if (w->push[i].s == s)
			w->push[i].s = NULL;
	}
}

/* ------------------------------------------------------------------------------------ Connect */

static void connect_message(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	struct error err = { 0 };
	Rctl__Agent__V1__AgentMessage *m =
		rpc_unpack(&rctl__agent__v1__agent_message__descriptor, msg);
	cr_assert(m);
	switch (m->kind_case) {
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HELLO:
		w->connect = s;
		w->hellos++;
		buf_clear(&w->revision);
		buf_adds(&w->revision, m->hello->revision);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_HEARTBEAT:
		w->heartbeats++;
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_POD_STATUS:
		w->statuses++;
		w->released = m->pod_status->released;
		cr_assert_eq(json_parse(&w->arena,
					arena_str(&w->arena, rpc_bytes(m->pod_status->status)),
					NULL, &w->status, &err),
			     0);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_APPLIED:
		buf_clear(&w->applied);
		buf_adds(&w->applied, m->applied->revision);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_REQUEST_FAILED:
		w->failures++;
		buf_clear(&w->failure);
		buf_adds(&w->failure, m->request_failed->message);
		break;
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND_NODE_STATUS:
	case RCTL__AGENT__V1__AGENT_MESSAGE__KIND__NOT_SET:
	case _RCTL__AGENT__V1__AGENT_MESSAGE__KIND__CASE_IS_INT_SIZE:
	default:
		break;
	}
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

/* --------------------------------------------------------------------------------------- Push */

static struct stream_state *push_of(struct world *w, struct rpc_stream *s)
{
	for (size_t i = 0; i < w->push_len; i++) {
		if (w->push[i].s == s)
			return &w->push[i];
	}
	for (size_t i = 0; i < w->push_len; i++) {
		if (!w->push[i].s) {
			w->push[i] = (struct stream_state){ .s = s };
			return &w->push[i];
		}
	}
	cr_assert_lt(w->push_len, PUSHES);
	w->push[w->push_len] = (struct stream_state){ .s = s };
	return &w->push[w->push_len++];
}

static void send_push(struct rpc_stream *s, const Rctl__Agent__V1__PushResponse *m)
{
	struct buf b = { 0 };
	rpc_pack(&b, &m->base);
	(void)rpc_stream_send(s, buf_str(&b));
	buf_fini(&b);
}

static void push_open(struct world *w, struct stream_state *p, const Rctl__Agent__V1__PushOpen *o)
{
	Rctl__Agent__V1__PushResponse m = RCTL__AGENT__V1__PUSH_RESPONSE__INIT;
	Rctl__Agent__V1__PushOpened opened = RCTL__AGENT__V1__PUSH_OPENED__INIT;
	p->stream = (int)o->stream;
	if (w->incarnations[p->stream] != o->incarnation) {
		w->incarnations[p->stream] = o->incarnation;
		w->acked[p->stream] = 0;
		w->series[p->stream] = 0;
	}
	p->acked = opened.acked_sequence = w->acked[p->stream];
	opened.known_series = w->series[p->stream];
	m.kind_case = RCTL__AGENT__V1__PUSH_RESPONSE__KIND_OPENED;
	m.opened = &opened;
	send_push(p->s, &m);
}

static void push_record(struct world *w, struct stream_state *p, const Rctl__Agent__V1__Record *r)
{
	struct str payload = rpc_bytes(r->payload);
	struct buf unpacked = { 0 };
	if (r->compression == RCTL__AGENT__V1__COMPRESSION__COMPRESSION_ZSTD) {
		cr_assert_eq(pack_open(payload, 8 << 20, &unpacked, NULL), 0);
		w->packed_bytes = payload.len;
		payload = buf_str(&unpacked);
	}
	cr_assert_eq(r->sequence, w->acked[p->stream] + 1, "stream %d: %llu behind %llu", p->stream,
		     (unsigned long long)r->sequence, (unsigned long long)w->acked[p->stream]);
	if (r->type == RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_METRICS) {
		Rctl__Agent__V1__MetricBatch *m =
			rpc_unpack(&rctl__agent__v1__metric_batch__descriptor, payload);
		cr_assert(m);
		cr_assert_eq(m->time_unix_ms % 1000, 0);
		for (size_t i = 0; i < m->n_groups; i++) {
			uint32_t ref = 0;
			for (size_t k = 0; k < m->groups[i]->n_ref_delta; k++)
				ref += m->groups[i]->ref_delta[k];
			cr_assert_leq(ref, w->series[p->stream], "a reference nobody defined");
		}
		w->metrics++;
		w->metric_bytes = payload.len;
		protobuf_c_message_free_unpacked(&m->base, NULL);
	} else if (r->type == RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_LOGS) {
		Rctl__Agent__V1__LogBatch *b =
			rpc_unpack(&rctl__agent__v1__log_batch__descriptor, payload);
		cr_assert(b);
		for (size_t i = 0; i < b->n_blocks; i++)
			w->lines += (int)b->blocks[i]->n_length;
		protobuf_c_message_free_unpacked(&b->base, NULL);
	} else if (r->type == RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_EVENTS) {
		w->events++;
	}
	buf_fini(&unpacked);
	w->acked[p->stream] = r->sequence;
	Rctl__Agent__V1__PushResponse m = RCTL__AGENT__V1__PUSH_RESPONSE__INIT;
	Rctl__Agent__V1__Ack ack;
	rctl__agent__v1__ack__init(&ack);
	ack.acked_sequence = r->sequence;
	m.kind_case = RCTL__AGENT__V1__PUSH_RESPONSE__KIND_ACK;
	m.ack = &ack;
	send_push(p->s, &m);
}

static void push_message(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	struct stream_state *p = push_of(w, s);
	Rctl__Agent__V1__PushRequest *m =
		rpc_unpack(&rctl__agent__v1__push_request__descriptor, msg);
	cr_assert(m);
	if (m->kind_case == RCTL__AGENT__V1__PUSH_REQUEST__KIND_OPEN) {
		push_open(w, p, m->open);
	} else if (m->kind_case == RCTL__AGENT__V1__PUSH_REQUEST__KIND_SERIES) {
		for (size_t i = 0; i < m->series->n_series; i++) {
			cr_assert_eq(m->series->series[i]->ref, ++w->series[p->stream]);
			w->has_cpu |=
				strcmp(m->series->series[i]->name, "node_cpu_seconds_total") == 0;
		}
	} else if (m->kind_case == RCTL__AGENT__V1__PUSH_REQUEST__KIND_RECORD && !w->mute) {
		push_record(w, p, m->record);
	}
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

/* --------------------------------------------------------------------------------------- Logs */

static void logs_message(void *arg, struct rpc_stream *s, struct str msg)
{
	struct world *w = arg;
	(void)s;
	Rctl__Agent__V1__LogChunk *c = rpc_unpack(&rctl__agent__v1__log_chunk__descriptor, msg);
	cr_assert(c);
	buf_add_str(&w->log, rpc_bytes(c->data));
	protobuf_c_message_free_unpacked(&c->base, NULL);
}

static void logs_half(void *arg, struct rpc_stream *s)
{
	((struct world *)arg)->log_done = true;
	rpc_stream_end(s, RPC_OK, "");
}

static void ask_log(struct world *w, const char *uid, bool follow, int64_t tail)
{
	static uint64_t id;
	Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
	Rctl__Agent__V1__Request r = RCTL__AGENT__V1__REQUEST__INIT;
	Rctl__Agent__V1__OpenLogs q;
	rctl__agent__v1__open_logs__init(&q);
	char u[64], ns[] = "d", pod[] = "p";
	snprintf(u, sizeof(u), "%s", uid);
	q.uid = u;
	q.namespace_ = ns;
	q.pod = pod;
	q.follow = follow;
	q.tail_lines_plus_one = tail;
	r.id = ++id;
	r.kind_case = RCTL__AGENT__V1__REQUEST__KIND_OPEN_LOGS;
	r.open_logs = &q;
	m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_REQUEST;
	m.request = &r;
	buf_clear(&w->log);
	w->log_done = false;
	send_server(w, &m);
}

/* -------------------------------------------------------------------------------------- world */

static void serve(struct world *w, const char *address)
{
	struct error err = { 0 };
	const struct rpc_method m[] = {
		{ "/rctl.agent.v1.Agent/RegisterNode", none_open, reg_message, NULL, NULL,
		  none_closed, w },
		{ "/rctl.agent.v1.Agent/Connect", none_open, connect_message, NULL, NULL,
		  none_closed, w },
		{ "/rctl.agent.v1.Agent/Push", none_open, push_message, NULL, NULL, none_closed,
		  w },
		{ "/rctl.agent.v1.Agent/Logs", none_open, logs_message, logs_half, NULL,
		  none_closed, w },
	};
	cr_assert_eq(rpc_server_new(w->loop, address, NULL, m, 4, NULL, &w->server, &err), 0, "%s",
		     err.msg);
	snprintf(w->address, sizeof(w->address), "127.0.0.1:%u",
		 (unsigned)rpc_server_port(w->server));
}

static void agent_starts(struct world *w)
{
	struct error err = { 0 };
	static char region[] = "r1", zone[] = "z1", az[] = "az1", ip[] = "127.0.0.1";
	const char *bin = getenv("RCTL_BIN");
	cr_assert(bin, "RCTL_BIN is not set");
	snprintf(w->bin, sizeof(w->bin), "%s/resource-pod-shim", bin);
	w->server_item[0] = w->address;
	w->cfg = (struct agent_config){ .node_name = w->dir + 5, /* tests run side by side */
					.region = region,
					.zone = zone,
					.network_az = az,
					.node_address = ip,
					.state_dir = w->dir,
					.shim = w->bin,
					.server = { w->server_item, 1 },
					.heartbeat_ms = 1000,
					.metrics_interval_ms = 1000,
					.spool_bytes_max = 32 << 20,
					.log_bytes_max = 1 << 20,
					.log_files_max = 5,
					.insecure = true };
	cr_assert_eq(agent_new(w->loop, &w->cfg, NULL, &w->agent, &err), 0, "%s", err.msg);
}

static void world_new(struct world *w)
{
	struct error err;
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/test-agentl-XXXXXX");
	cr_assert(mkdtemp(w->dir));
	chmod(w->dir, 0755);
	cr_assert_eq(loop_new(&w->loop, &err), 0);
	serve(w, "127.0.0.1:0");
	agent_starts(w);
}

#define until(w, cond) \
	do { \
		uint64_t end_ = clock_mono_ms() + PATIENCE_MS; \
		while (!(cond) && clock_mono_ms() < end_) \
			loop_turn((w)->loop, 10); \
		cr_assert(cond, "gave up waiting for " #cond); \
	} while (0)

static void world_free(struct world *w)
{
	struct error err = { 0 };
	w->agent = agent_free(w->agent);
	w->server = rpc_server_free(w->server);
	cr_assert_eq(agent_stop_pods(&w->cfg, &err), 0, "%s", err.msg);
	w->loop = loop_free(w->loop);
	arena_fini(&w->arena);
	buf_fini(&w->revision);
	buf_fini(&w->applied);
	buf_fini(&w->log);
	buf_fini(&w->failure);
	cr_assert_eq(file_remove_tree(w->dir, &err), 0);
}

/* script NULL: an empty set */
static void assign(struct world *w, const char *revision, const char *script)
{
	Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
	Rctl__Agent__V1__Assignment a;
	Rctl__Agent__V1__PodAssignment p, *pods[] = { &p };
	rctl__agent__v1__assignment__init(&a);
	rctl__agent__v1__pod_assignment__init(&p);
	char rev[32], uid[] = "u-1", version[] = "7";
	snprintf(rev, sizeof(rev), "%s", revision);
	a.full = true;
	a.revision = rev;
	if (script) {
		char *json = arena_printf(&w->arena,
					  "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"
					  "\"name\":\"p\",\"namespace\":\"d\",\"uid\":"
					  "\"u-1\",\"resourceVersion\":\"7\"},\"spec\":{"
					  "\"runtimeClassName\":\"host\","
					  "\"terminationGracePeriodSeconds\":1,\"containers\":[{"
					  "\"name\":\"c\",\"image\":\"host\","
					  "\"command\":[\"sh\",\"-c\",\"%s\"]}]}}",
					  script);
		p.uid = uid;
		p.resource_version = version;
		p.pod = rpc_binary(str_of(json));
		a.pods = pods;
		a.n_pods = 1;
	}
	m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_ASSIGNMENT;
	m.assignment = &a;
	send_server(w, &m);
}

static bool running(const struct world *w)
{
	return str_is(json_str(json_getc(&w->status, "phase")), "Running");
}

Test(agent_link, an_agent_registers_runs_what_it_is_given_and_reports, .timeout = 180)
{
	struct world w;
	world_new(&w);
	until(&w, w.hellos == 1 && w.heartbeats >= 3);
	cr_assert_eq(w.incarnation, 1);
	cr_assert_eq(w.revision.len, 0);
	cr_assert(str_is(json_str(json_dig(&w.node, "metadata", "labels",
					   "topology.kubernetes.io/zone", NULL)),
			 "z1"));
	cr_assert(str_is(json_str(json_dig(&w.node, "metadata", "labels",
					   "topology.rctl.io/network-az", NULL)),
			 "az1"));
	cr_assert_gt(json_len(json_dig(&w.node, "status", "conditions", NULL)), 3);
	cr_assert_not_null(agent_ready(w.agent));
	assign(&w, "100", "echo one; echo two; echo three; sleep 1000");
	until(&w, running(&w) && str_is(buf_str(&w.applied), "100"));
	cr_assert_null(agent_ready(w.agent));
	until(&w, w.metrics >= 2 && w.events >= 2 && w.lines >= 3);
	cr_assert(w.has_cpu);
	cr_assert_lt(w.metric_bytes, 16384);
	cr_assert_gt(w.packed_bytes, 0, "records travel packed");

	ask_log(&w, "u-1", false, 0);
	until(&w, w.log_done);
	cr_assert(str_is(buf_str(&w.log), "one\ntwo\nthree\n"), "%.*s", STR_ARG(buf_str(&w.log)));
	ask_log(&w, "u-1", false, 3);
	until(&w, w.log_done);
	cr_assert(str_is(buf_str(&w.log), "two\nthree\n"), "%.*s", STR_ARG(buf_str(&w.log)));
	ask_log(&w, "no-such", false, 0);
	until(&w, w.failures == 1);
	cr_assert(str_find_str(buf_str(&w.failure), STR("not on this node"), 0) >= 0);

	/* A set without the pod takes it away; a reader that follows comes to its end. */
	ask_log(&w, "u-1", true, 0);
	until(&w, str_is(buf_str(&w.log), "one\ntwo\nthree\n"));
	assign(&w, "101", NULL);
	until(&w, w.released && w.log_done);
	until(&w, !file_exists(arena_printf(&w.arena, "%s/pods/u-1", w.dir)));
	world_free(&w);
}

static void on_stopped(void *arg)
{
	(void)arg;
}

Test(agent_link, losing_the_api_changes_nothing_and_nothing_is_lost_or_counted_twice,
     .timeout = 180)
{
	struct world w;
	char address[64];
	world_new(&w);
	until(&w, w.hellos == 1);
	char *out = arena_printf(&w.arena, "%s/out", w.dir);
	assign(&w, "100",
	       arena_printf(
		       &w.arena,
		       "i=0; while [ ! -e %s ]; do echo line $i; i=$((i+1)); sleep 0.02; done; "
		       "echo $i > %s.count; sleep 1000",
		       out, out));
	until(&w, running(&w) && w.lines > 5);
	snprintf(address, sizeof(address), "%s", w.address);
	rpc_server_stop(w.server, 0, on_stopped, NULL);
	w.server = rpc_server_free(w.server);
	w.status = (struct json){ .type = JSON_NULL };
	int lines = w.lines;
	uint64_t end = clock_mono_ms() + 3000;
	while (clock_mono_ms() < end)
		loop_turn(w.loop, 10);
	/* The agent is replaced meanwhile: it comes back with what it had. */
	w.agent = agent_free(w.agent);
	agent_starts(&w);
	end = clock_mono_ms() + 500;
	while (clock_mono_ms() < end)
		loop_turn(w.loop, 10);
	serve(&w, address);
	until(&w, w.hellos == 2 && running(&w));
	cr_assert_eq(w.incarnation, 2);
	cr_assert(str_is(buf_str(&w.revision), "100"));
	until(&w, w.lines > lines + 50);
	struct error err = { 0 };
	struct buf b = { 0 };
	cr_assert_eq(file_write_atomic(out, STR("x"), 0600, &err), 0);
	char *count = arena_printf(&w.arena, "%s.count", out);
	until(&w, file_exists(count));
	uint64_t written = 0;
	usleep(50000);
	cr_assert_eq(file_read(count, 64, &b, &err), 0);
	cr_assert(str_to_u64(str_trim(buf_str(&b)), &written));
	buf_fini(&b);
	until(&w, w.lines >= (int)written);
	end = clock_mono_ms() + 1500;
	while (clock_mono_ms() < end)
		loop_turn(w.loop, 10);
	cr_assert_eq(w.lines, (int)written);
	assign(&w, "101", NULL);
	until(&w, w.released);
	world_free(&w);
}
