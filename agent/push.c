#include "push.h"

#include "agent/v1/agent.pb-c.h"
#include "base/arena.h"
#include "base/mem.h"
#include "grpc/client.h"
#include "grpc/message.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"

#include <assert.h>

enum {
	WINDOW_BYTES = 1 << 20,
	QUEUE_BYTES = 256 << 10, /* of it handed to HTTP/2 at a time */
	SERIES_PER_MESSAGE = 500,
	AGAIN_MIN_MS = 1000,
	AGAIN_MAX_MS = 30000,
	LABELS_MAX = 64,
};

struct push {
	struct push_options opt;
	char *dir, *node;
	struct spool *spool;
	struct series series;
	uint64_t lost;
	struct loop_timer sync, again, slow;
	struct rpc_channel *ch;
	struct rpc_call *call;
	bool opened, slowed;
	uint32_t series_sent;
	uint64_t next; /* number to send next */
	uint64_t window;
	uint64_t in_flight; /* bytes sent and not acknowledged, at most */
	struct {
		uint64_t sequence, bytes;
	} flight[256]; /* sent records not acknowledged, oldest first */
	size_t flight_len;
	uint32_t again_ms;
	struct buf read_buf, out;
};

static void push_send(struct push *p);

static void send_message(struct push *p, const Rctl__Agent__V1__PushRequest *m)
{
	buf_clear(&p->out);
	rpc_pack(&p->out, &m->base);
	(void)rpc_call_send(p->call, buf_str(&p->out));
	if (p->out.cap > 65536)
		buf_fini(&p->out);
}

/* --------------------------------------------------------------------------------------- series */

static char *cstr(struct arena *a, struct str s)
{
	return arena_printf(a, "%.*s", STR_ARG(s));
}

static Rctl__Agent__V1__Series *series_message(struct arena *a, const struct series_def *def,
					       uint32_t ref)
{
	Rctl__Agent__V1__Series *s = arena_new(a, Rctl__Agent__V1__Series, 1);
	struct str rest = def->key, name, value;
	rctl__agent__v1__series__init(s);
	s->ref = ref;
	s->type = (Rctl__Agent__V1__MetricType)def->type;
	if (series_part(&rest, &name))
		s->name = cstr(a, name);
	s->labels = arena_new(a, Rctl__Agent__V1__Label *, LABELS_MAX);
	while (s->n_labels < LABELS_MAX && series_part(&rest, &name) &&
	       series_part(&rest, &value)) {
		Rctl__Agent__V1__Label *l = arena_new(a, Rctl__Agent__V1__Label, 1);
		rctl__agent__v1__label__init(l);
		l->name = cstr(a, name);
		l->value = cstr(a, value);
		s->labels[s->n_labels++] = l;
	}
	return s;
}

/* Definitions always go ahead of the records that use them. */
static void send_series(struct push *p)
{
	while (p->series_sent < p->series.len) {
		struct arena a = { 0 };
		Rctl__Agent__V1__SeriesTable t = RCTL__AGENT__V1__SERIES_TABLE__INIT;
		Rctl__Agent__V1__PushRequest m = RCTL__AGENT__V1__PUSH_REQUEST__INIT;
		t.series = arena_new(&a, Rctl__Agent__V1__Series *, SERIES_PER_MESSAGE);
		while (t.n_series < SERIES_PER_MESSAGE && p->series_sent < p->series.len) {
			t.series[t.n_series++] = series_message(&a, &p->series.defs[p->series_sent],
								p->series_sent + 1);
			p->series_sent++;
		}
		m.kind_case = RCTL__AGENT__V1__PUSH_REQUEST__KIND_SERIES;
		m.series = &t;
		send_message(p, &m);
		arena_fini(&a);
	}
}

/* -------------------------------------------------------------------------------------- records */

static void send_gap(struct push *p, const struct spool_record *r)
{
	union {
		const char *in;
		char *out;
	} reason = { .in = r->gap_reason };
	struct buf b = { 0 };
	Rctl__Agent__V1__Gap g;
	Rctl__Agent__V1__Record rec = RCTL__AGENT__V1__RECORD__INIT;
	Rctl__Agent__V1__PushRequest m = RCTL__AGENT__V1__PUSH_REQUEST__INIT;
	rctl__agent__v1__gap__init(&g);
	g.from_sequence = r->gap_from;
	g.to_sequence = r->sequence;
	g.bytes = r->gap_bytes;
	g.reason = reason.out;
	rpc_pack(&b, &g.base);
	rec.sequence = r->sequence;
	rec.type = RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_GAP;
	rec.payload = rpc_binary(buf_str(&b));
	m.kind_case = RCTL__AGENT__V1__PUSH_REQUEST__KIND_RECORD;
	m.record = &rec;
	send_message(p, &m);
	buf_fini(&b);
}

static void send_record(struct push *p, const struct spool_record *r)
{
	Rctl__Agent__V1__Record rec = RCTL__AGENT__V1__RECORD__INIT;
	Rctl__Agent__V1__PushRequest m = RCTL__AGENT__V1__PUSH_REQUEST__INIT;
	rec.sequence = r->sequence;
	rec.type = (Rctl__Agent__V1__RecordType)r->type;
	rec.compression = (Rctl__Agent__V1__Compression)r->compression;
	rec.payload = rpc_binary(r->payload);
	m.kind_case = RCTL__AGENT__V1__PUSH_REQUEST__KIND_RECORD;
	m.record = &rec;
	send_message(p, &m);
}

static void push_send(struct push *p)
{
	const size_t flights = sizeof(p->flight) / sizeof(p->flight[0]);
	struct spool_record r;
	if (!p->call || !p->opened || p->slowed)
		return;
	send_series(p);
	while (p->next <= spool_durable(p->spool) && p->in_flight < p->window &&
	       p->flight_len < flights && rpc_call_queued(p->call) < QUEUE_BYTES &&
	       spool_read(p->spool, p->next, &p->read_buf, &r)) {
		size_t bytes = r.payload.len + SPOOL_RECORD_HEAD_BYTES;
		if (r.type)
			send_record(p, &r);
		else
			send_gap(p, &r);
		p->flight[p->flight_len].sequence = r.sequence;
		p->flight[p->flight_len++].bytes = bytes;
		p->in_flight += bytes;
		p->next = r.sequence + 1;
	}
	if (p->read_buf.cap > 65536)
		buf_fini(&p->read_buf);
}

static void take_ack(struct push *p, uint64_t sequence)
{
	size_t done = 0;
	spool_ack(p->spool, sequence);
	while (done < p->flight_len && p->flight[done].sequence <= sequence)
		p->in_flight -= p->flight[done++].bytes;
	p->flight_len -= done;
	memmove(p->flight, p->flight + done, p->flight_len * sizeof(p->flight[0]));
}

/* ----------------------------------------------------------------------------------------- call */

static void on_message(void *arg, struct rpc_call *c, struct str msg)
{
	struct push *p = arg;
	(void)c;
	Rctl__Agent__V1__PushResponse *m =
		rpc_unpack(&rctl__agent__v1__push_response__descriptor, msg);
	if (!m)
		return;
	switch (m->kind_case) {
	case RCTL__AGENT__V1__PUSH_RESPONSE__KIND_OPENED:
		take_ack(p, m->opened->acked_sequence);
		p->opened = true;
		p->again_ms = 0;
		p->next = spool_acked(p->spool) + 1;
		p->window = m->opened->window_bytes ? m->opened->window_bytes : WINDOW_BYTES;
		p->series_sent =
			m->opened->known_series > p->series.len ? 0 : m->opened->known_series;
		break;
	case RCTL__AGENT__V1__PUSH_RESPONSE__KIND_ACK:
		take_ack(p, m->ack->acked_sequence);
		break;
	case RCTL__AGENT__V1__PUSH_RESPONSE__KIND_SLOW_DOWN:
		p->slowed = m->slow_down->delay_ms > 0;
		loop_timer_set(p->opt.loop, &p->slow, m->slow_down->delay_ms);
		break;
	case RCTL__AGENT__V1__PUSH_RESPONSE__KIND__NOT_SET:
	case _RCTL__AGENT__V1__PUSH_RESPONSE__KIND__CASE_IS_INT_SIZE:
	default:
		break;
	}
	protobuf_c_message_free_unpacked(&m->base, NULL);
	push_send(p);
}

static void on_drained(void *arg, struct rpc_call *c)
{
	(void)c;
	push_send(arg);
}

static void forget_call(struct push *p)
{
	p->call = NULL;
	p->opened = p->slowed = false;
	p->in_flight = 0;
	p->flight_len = 0;
	loop_timer_stop(&p->slow);
}

static void on_closed(void *arg, struct rpc_call *c, enum rpc_status status, const char *text)
{
	struct push *p = arg;
	(void)c;
	(void)status;
	(void)text;
	forget_call(p);
	if (!p->ch)
		return;
	p->again_ms = p->again_ms ? p->again_ms * 2 : AGAIN_MIN_MS;
	p->again_ms = p->again_ms > AGAIN_MAX_MS ? AGAIN_MAX_MS : p->again_ms;
	loop_timer_set(p->opt.loop, &p->again, clock_random_u64() % p->again_ms + AGAIN_MIN_MS / 2);
}

static void begin(struct push *p)
{
	const struct rpc_call_options o = { .path = "/rctl.agent.v1.Agent/Push",
					    .message = on_message,
					    .drained = on_drained,
					    .closed = on_closed,
					    .arg = p };
	if (!p->ch || p->call)
		return;
	p->call = rpc_call_start(p->ch, &o);
	if (!p->call)
		return;
	Rctl__Agent__V1__PushOpen open;
	Rctl__Agent__V1__PushRequest m = RCTL__AGENT__V1__PUSH_REQUEST__INIT;
	rctl__agent__v1__push_open__init(&open);
	open.node = p->node;
	open.stream = (Rctl__Agent__V1__Stream)p->opt.stream;
	open.incarnation = spool_incarnation(p->spool);
	open.next_sequence = spool_first(p->spool);
	open.series = (uint32_t)p->series.len;
	m.kind_case = RCTL__AGENT__V1__PUSH_REQUEST__KIND_OPEN;
	m.open = &open;
	send_message(p, &m);
}

static void on_again(struct loop_timer *t)
{
	begin(container_of(t, struct push, again));
}

static void on_slow(struct loop_timer *t)
{
	struct push *p = container_of(t, struct push, slow);
	p->slowed = false;
	push_send(p);
}

void push_attach(struct push *p, struct rpc_channel *ch)
{
	if (p->call)
		rpc_call_free(p->call);
	forget_call(p);
	loop_timer_stop(&p->again);
	p->again_ms = 0;
	p->ch = ch;
	begin(p);
}

/* ----------------------------------------------------------------------------------------- spool */

static void on_sync(struct loop_timer *t)
{
	struct push *p = container_of(t, struct push, sync);
	struct error err = { 0 };
	if (spool_sync(p->spool, &err) != 0)
		p->lost++;
	push_send(p);
}

void push_add(struct push *p, uint8_t type, struct str payload)
{
	struct error err = { 0 };
	if (spool_append(p->spool, type, payload, &err) != 0)
		p->lost++;
	if (spool_unsynced(p->spool) >= SPOOL_SYNC_BYTES)
		on_sync(&p->sync);
	else if (!loop_timer_armed(&p->sync))
		loop_timer_set(p->opt.loop, &p->sync, SPOOL_SYNC_MS);
}

struct series *push_series(struct push *p)
{
	return &p->series;
}

const struct spool *push_spool(const struct push *p)
{
	return p->spool;
}

uint64_t push_lost(const struct push *p)
{
	return p->lost;
}

static int open_spool(struct push *p, struct error *err)
{
	const struct spool_options o = { .dir = p->dir,
					 .stream = (uint32_t)p->opt.stream,
					 .new_incarnation = clock_random_u64() | 1,
					 .quota_bytes = p->opt.quota_bytes };
	return spool_open(&o, &p->spool, err);
}

int push_new(const struct push_options *opt, struct push **ret, struct error *err)
{
	struct push *p = mem_new(struct push, 1);
	struct buf path = { 0 };
	bool kept = false;
	p->opt = *opt;
	p->dir = mem_strdup(opt->dir);
	p->node = mem_strdup(opt->node);
	p->sync.fn = on_sync;
	p->again.fn = on_again;
	p->slow.fn = on_slow;
	p->series.fd = -1;
	buf_addf(&path, "%s/series", p->dir);
	int rc = open_spool(p, err);
	if (!rc)
		rc = series_open(&p->series, buf_cstr(&path), spool_incarnation(p->spool), &kept,
				 err);
	if (!rc && !kept && spool_last(p->spool) > 0 &&
	    p->opt.stream != RCTL__AGENT__V1__STREAM__STREAM_EVENTS) {
		/* Records whose references nobody can explain are of no use: begin anew. */
		p->lost += spool_last(p->spool) - spool_acked(p->spool);
		p->spool = spool_close(p->spool);
		series_close(&p->series);
		rc = file_remove_tree(p->dir, err);
		if (!rc)
			rc = open_spool(p, err);
		if (!rc)
			rc = series_open(&p->series, buf_cstr(&path), spool_incarnation(p->spool),
					 &kept, err);
	}
	buf_fini(&path);
	if (rc) {
		push_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

struct push *push_free(struct push *p)
{
	if (!p)
		return NULL;
	if (p->call)
		rpc_call_free(p->call);
	loop_timer_stop(&p->sync);
	loop_timer_stop(&p->again);
	loop_timer_stop(&p->slow);
	spool_close(p->spool);
	series_close(&p->series);
	buf_fini(&p->read_buf);
	buf_fini(&p->out);
	mem_free(p->dir);
	mem_free(p->node);
	mem_free(p);
	return NULL;
}
