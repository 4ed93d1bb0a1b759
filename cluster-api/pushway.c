#include "pushway.h"

#include "agent/v1/agent.pb-c.h"
#include "apiserver/relay.h"
#include "auth/auth.h"
#include "base/mem.h"
#include "http/server.h"
#include "telemetry/record.h"
#include "telemetry/wire.h"
#include "text/url.h"
#include "topology.h"
#include "watch/watch.h"

#include <inttypes.h>
#include <stdio.h>

#define PATH "/agent/v1/push"

/* The fields of the answer. */
enum { ANSWER_ACKED = 1, ANSWER_KNOWN, ANSWER_TOKEN, ANSWER_REFUSED, ANSWER_REASON };

/* ---- this side ---- */

/* A message that waits for its post. */
struct frame {
	struct list link;
	bool is_record;
	size_t len;
	char bytes[];
};

struct pushway_stream {
	struct peerway *way;
	enum peers_store store;
	char *user;
	struct intake_handlers on;
	void *arg;
	struct buf open; /* the first message, framed */
	struct list frames;
	size_t bytes, records; /* of those */
	struct peerway_call *call;
	uint64_t call_records;
	uint64_t token;
	bool opened, dead;
	bool calling, closed; /* a handler runs, and closed the stream meanwhile */
};

static void stream_free(struct pushway_stream *s)
{
	if (s->call)
		peerway_cancel(s->call);
	while (!list_empty(&s->frames)) {
		struct frame *f = list_entry(s->frames.next, struct frame, link);
		list_del(&f->link);
		mem_free(f);
	}
	buf_fini(&s->open);
	mem_free(s->user);
	mem_free(s);
}

static void fail(struct pushway_stream *s, const struct error *err)
{
	s->dead = true;
	s->on.failed(s->arg, err);
}

/* The messages of the next post behind the opening, taken off the queue. */
static void fill(struct pushway_stream *s, struct buf *body)
{
	s->call_records = 0;
	buf_add_str(body, buf_str(&s->open));
	while (!list_empty(&s->frames)) {
		struct frame *f = list_entry(s->frames.next, struct frame, link);
		if (body->len > s->open.len && body->len + f->len > PUSHWAY_BODY_BYTES)
			break;
		wire_add_bytes(body, str_n(f->bytes, f->len));
		list_del(&f->link);
		s->bytes -= f->len;
		s->records -= f->is_record;
		s->call_records += f->is_record;
		mem_free(f);
	}
}

static void on_done(void *arg, int status, struct str reply, const struct error *err);

/* Definitions wait for the records that need them. */
static bool send(struct pushway_stream *s)
{
	const struct str groups[] = { STR("system:nodes") };
	struct buf body = { 0 };
	char path[64];
	if (s->call || s->dead || (s->opened && !s->records && s->bytes < PUSHWAY_BODY_BYTES))
		return true;
	(void)snprintf(path, sizeof(path), s->opened ? PATH "?labels=%" PRIu64 : PATH, s->token);
	fill(s, &body);
	s->call = peerway_send(s->way, &(struct peerway_request){
					       .store = s->store,
					       .method = "POST",
					       .path = path,
					       .user = str_of(s->user),
					       .groups = groups,
					       .groups_len = 1,
					       .body = buf_str(&body),
					       .timeout_ms = PUSHWAY_TIMEOUT_MS,
					       .on_done = on_done,
					       .arg = s,
				       });
	buf_fini(&body);
	return s->call;
}

static void send_or_fail(struct pushway_stream *s)
{
	struct error err = { 0 };
	if (send(s))
		return;
	(void)error_set(&err, ERR_UNAVAILABLE, "no server has the database at this time");
	fail(s, &err);
}

static void take_answer(struct pushway_stream *s, struct str reply)
{
	struct wire r = wire_of(reply);
	struct wire_field f;
	uint64_t v[ANSWER_REASON] = { 0 };
	char reason[160] = "";
	while (wire_next(&r, &f)) {
		if (f.type == WIRE_VARINT && f.number < ANSWER_REASON)
			v[f.number] = f.u;
		else if (f.type == WIRE_BYTES && f.number == ANSWER_REASON)
			(void)snprintf(reason, sizeof(reason), "%.*s",
				       STR_ARG(str_sub(f.bytes, 0, sizeof(reason) - 1)));
	}
	s->token = v[ANSWER_TOKEN];
	if (!s->opened) {
		s->opened = true;
		s->on.opened(s->arg, v[ANSWER_ACKED], (uint32_t)v[ANSWER_KNOWN]);
	}
	if (!s->closed && (s->call_records || v[ANSWER_REFUSED]))
		s->on.acked(s->arg, v[ANSWER_ACKED], s->call_records, v[ANSWER_REFUSED], reason);
}

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	struct pushway_stream *s = arg;
	struct error why = { 0 };
	s->call = NULL;
	s->calling = true;
	if (err) {
		(void)error_set(&why, ERR_UNAVAILABLE, "%s", err->msg);
		fail(s, &why);
	} else if (status != 200) {
		(void)error_set(&why,
				status == 410   ? ERR_EXPIRED
				: status == 400 ? ERR_BAD_REQUEST
						: ERR_UNAVAILABLE,
				"the API server that has the database answers %d", status);
		fail(s, &why);
	} else {
		take_answer(s, reply);
	}
	if (!s->closed)
		send_or_fail(s);
	s->calling = false;
	if (s->closed)
		stream_free(s);
}

struct pushway_stream *pushway_open(struct peerway *w, enum peers_store store, struct str node,
				    struct str open, const struct intake_handlers *on, void *arg)
{
	struct pushway_stream *s = mem_new(struct pushway_stream, 1);
	struct buf user = { 0 };
	s->way = w;
	s->store = store;
	s->on = *on;
	s->arg = arg;
	list_init(&s->frames);
	buf_addf(&user, "system:node:%.*s", STR_ARG(node));
	s->user = mem_strdup(buf_cstr(&user));
	buf_fini(&user);
	wire_add_bytes(&s->open, open);
	if (send(s))
		return s;
	stream_free(s);
	return NULL;
}

void pushway_message(struct pushway_stream *s, struct str msg, bool is_record)
{
	if (s->dead)
		return;
	struct frame *f = mem_new_flex(struct frame, bytes, msg.len);
	f->is_record = is_record;
	f->len = msg.len;
	memcpy(f->bytes, msg.p, msg.len);
	list_append(&s->frames, &f->link);
	s->bytes += msg.len;
	s->records += is_record;
	send_or_fail(s);
}

void pushway_close(struct pushway_stream *s)
{
	s->closed = true;
	s->on.closed(s->arg);
	if (!s->calling)
		stream_free(s);
}

/* ---- the owner's side ---- */

/* One request. */
struct post {
	struct pushway_owner *owner;
	struct bytes *body;
	struct buf user; /* the node's name */
	bool token_given, gone, answered;
	uint64_t token;
	struct relay *relay;
	struct intake_stream *in;
	struct request open;
	uint64_t acked, refused;
	uint32_t known;
	char reason[160];
	struct error err;
};

static void post_free(struct post *p)
{
	relay_done(p->relay);
	bytes_unref(p->body);
	buf_fini(&p->user);
	mem_free(p);
}

static void answer(struct post *p)
{
	struct buf b = { 0 };
	p->answered = true;
	if (p->gone) {
		post_free(p);
		return;
	}
	if (p->err.code) {
		relay_fail(p->relay, &p->err);
		return;
	}
	wire_add_field(&b, ANSWER_ACKED, p->acked);
	wire_add_field(&b, ANSWER_KNOWN, p->known);
	wire_add_field(&b, ANSWER_TOKEN, p->token);
	wire_add_field(&b, ANSWER_REFUSED, p->refused);
	wire_add_field_bytes(&b, ANSWER_REASON, str_of(p->reason));
	relay_begin(p->relay, 200, STR("application/octet-stream"));
	relay_write(p->relay, buf_str(&b));
	relay_end(p->relay);
	buf_fini(&b);
}

static void on_opened(void *arg, uint64_t acked, uint32_t known)
{
	struct post *p = arg;
	p->acked = acked;
	p->known = known;
}

static void on_acked(void *arg, uint64_t acked, uint64_t records, uint64_t refused,
		     const char *reason)
{
	struct post *p = arg;
	(void)records;
	p->acked = acked;
	p->refused += refused;
	if (refused)
		(void)snprintf(p->reason, sizeof(p->reason), "%s", reason);
}

static void on_failed(void *arg, const struct error *err)
{
	struct post *p = arg;
	p->err = *err;
}

/* Behind all that was to be said about what was posted. */
static void on_closed(void *arg)
{
	struct post *p = arg;
	p->in = NULL;
	answer(p);
}

static struct str next_frame(struct wire *r)
{
	return wire_take(r, wire_get(r));
}

static void feed(struct post *p)
{
	struct wire r = wire_of(bytes_str(p->body));
	struct request q;
	(void)next_frame(&r);
	while (wire_more(&r)) {
		/* checked before */
		if (record_request(next_frame(&r), &q, &p->err) != 0)
			break;
		if (q.kind == REQUEST_SERIES)
			intake_stream_series(p->in, q.series);
		else if (q.kind == REQUEST_RECORD)
			intake_stream_record(p->in, q.sequence, q.type, q.compression, q.payload);
	}
}

static struct intake *store_of(const struct pushway_owner *o, uint32_t stream)
{
	if (stream == RCTL__AGENT__V1__STREAM__STREAM_METRICS)
		return o->metrics;
	return stream == RCTL__AGENT__V1__STREAM__STREAM_LOGS ? o->logs : NULL;
}

/* Labels as they are now; an error when references were given out for others. */
static int look_up_labels(struct post *p, struct arena *a, struct labels *ret)
{
	struct buf key = { 0 };
	struct watch_snap *snap = watch_snap_get(apiserver_cache(p->owner->api));
	buf_addf(&key, "/nodes//%.*s", STR_ARG(buf_str(&p->user)));
	*ret = topology_labels(a, str_of(p->owner->cluster), buf_str(&p->user),
			       watch_snap_find(snap, buf_str(&key)));
	watch_snap_unref(snap);
	buf_clear(&key);
	labels_key(*ret, &key);
	uint64_t token = str_hash(buf_str(&key), 0);
	bool same = !p->token_given || token == p->token;
	p->token = token;
	buf_fini(&key);
	return same ? 0
		    : error_set(&p->err, ERR_EXPIRED,
				"the labels of the node changed: define the series again");
}

static void on_start(struct relay *r, void *data)
{
	static const struct intake_handlers handlers = { on_opened, on_acked, on_failed,
							 on_closed };
	struct post *p = data;
	struct intake *in = store_of(p->owner, p->open.stream);
	struct arena a = { 0 };
	struct labels added;
	p->relay = r;
	if (!p->err.code && (!in || intake_down(in)))
		(void)error_set(&p->err, ERR_UNAVAILABLE, "%s",
				in ? intake_down(in) : "there is no store for this stream");
	if (p->err.code || look_up_labels(p, &a, &added) != 0) {
		answer(p);
	} else {
		const struct intake_open open = { .node = buf_str(&p->user),
						  .stream = p->open.stream,
						  .incarnation = p->open.incarnation,
						  .next_sequence = p->open.next_sequence,
						  .added = added };
		p->in = intake_stream_open(in, p->owner->loop, &open, &handlers, p);
		feed(p);
		intake_stream_close(p->in);
	}
	arena_fini(&a);
}

static void on_gone(struct relay *r, void *data)
{
	(void)r;
	struct post *p = data;
	p->gone = true;
	if (p->answered)
		post_free(p);
}

static int check_body(struct post *p, struct error *err)
{
	struct wire r = wire_of(bytes_str(p->body));
	struct request q;
	int rc = record_request(next_frame(&r), &p->open, err);
	if (!rc && (p->open.kind != REQUEST_OPEN || !str_eq(p->open.node, buf_str(&p->user))))
		rc = error_set(err, ERR_BAD_REQUEST,
			       "the first message must be the opening of a stream of this node");
	while (!rc && wire_more(&r)) {
		rc = record_request(next_frame(&r), &q, err);
		if (!rc && q.kind == REQUEST_OPEN)
			rc = error_set(err, ERR_BAD_REQUEST, "an opening stands twice");
		if (!rc && q.kind == REQUEST_RECORD && q.payload.len > RECORD_BYTES_MAX)
			rc = error_set(err, ERR_BAD_REQUEST, "a record is too large");
	}
	if (!rc && r.bad)
		rc = error_set(err, ERR_BAD_REQUEST, "the body ends within a message");
	return rc;
}

static void serve(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	static const struct relay_handlers on = { .start = on_start, .gone = on_gone };
	struct pushway_owner *o = arg;
	struct post *p = mem_new(struct post, 1);
	struct arena a = { 0 };
	struct str node = auth_node_of(info->user);
	struct str token = url_query_get(&a, info->query, "labels");
	p->owner = o;
	p->body = bytes_of_str(req->body);
	buf_add_str(&p->user, node);
	p->token_given = token.len > 0;
	if (!node.len)
		(void)error_set(&p->err, ERR_FORBIDDEN, "only nodes push");
	else if (!str_is(req->method, "POST"))
		(void)error_set(&p->err, ERR_BAD_REQUEST, "a push is a POST");
	else if (token.len && !str_to_u64(token, &p->token))
		(void)error_set(&p->err, ERR_BAD_REQUEST, "labels must be a number");
	else
		(void)!check_body(p, &p->err);
	arena_fini(&a);
	relay_new(req, o->loop, &on, p);
}

void pushway_add_route(struct pushway_owner *o)
{
	const struct apiserver_route r = { .prefix = PATH,
					   .exact = true,
					   .body = true,
					   .fn = serve,
					   .closed = relay_closed,
					   .drained = relay_drained,
					   .arg = o };
	apiserver_add_route(o->api, &r);
}
