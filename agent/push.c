#include "push.h"

#include "agent/v1/agent.pb-c.h"
#include "base/arena.h"
#include "base/mem.h"
#include "grpc/client.h"
#include "grpc/message.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "telemetry/delta.h"
#include "telemetry/pack.h"
#include "worker.h"

#include <assert.h>

enum {
	WINDOW_BYTES = 1 << 20,
	QUEUE_BYTES = 256 << 10, /* of it handed to HTTP/2 at a time */
	SERIES_PER_MESSAGE = 500,
	AGAIN_MIN_MS = 1000,
	AGAIN_MAX_MS = 30000,
	LABELS_MAX = 64,
	READ_RECORDS = 64, /* in a turn */
};

/* What waits for the disk: records one behind the other, each with a head. */
struct waiting_head {
	uint32_t len;
	uint8_t type;
};

/* A record as the worker read it. */
struct read_record {
	struct spool_record r;
	size_t off; /* of its payload in turn.read */
};

/* One turn of the worker: write, make durable, acknowledge, read.  One at a time. */
struct turn {
	struct worker_job job;
	struct push *push;
	bool under_way;
	struct buf series; /* entries to write first */
	struct buf records;
	uint64_t records_len, skipped;
	uint64_t ack;        /* 0 = none */
	uint64_t read_from;  /* 0 = nothing is to be read */
	size_t read_bytes;   /* about so much */
	uint64_t call_count; /* the call it is read for */
	struct buf read;
	struct read_record list[READ_RECORDS];
	size_t list_len;
	/* worker's own */
	struct buf packed, one;
	struct push_state state;
};

struct push {
	struct push_options opt;
	char *dir, *node;
	struct spool *spool; /* the worker's while a turn is under way */
	struct series series;
	struct push_state state;
	uint64_t added, settled;
	struct buf waiting; /* records for the next turn */
	uint64_t waiting_len, skipped;
	uint64_t refused; /* for lack of room, ever */
	uint64_t ack;     /* to be written */
	bool due;         /* what waits is to be written now */
	struct turn turn;
	struct loop_timer sync, again, slow;
	struct rpc_channel *ch;
	struct rpc_call *call;
	uint64_t call_count;
	bool opened, slowed, closing;
	bool metric_delta; /* the server takes them */
	struct delta base; /* of the batch sent last on this call */
	uint32_t series_sent;
	uint64_t next; /* number to send next */
	uint64_t window;
	uint64_t in_flight; /* bytes sent and not acknowledged, at most */
	struct {
		uint64_t sequence, bytes;
	} flight[256]; /* sent records not acknowledged, oldest first */
	size_t flight_len;
	uint32_t again_ms;
	struct buf out;
};

static void turn_begin(struct push *p);

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

static void send_whole(struct push *p, const struct spool_record *r)
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

/* A MetricBatch as its difference to the one before on this call; false = it has to be sent whole. */
static bool send_delta(struct push *p, const struct spool_record *r)
{
	struct spool_record less = *r;
	struct buf plain = { 0 }, delta = { 0 }, packed = { 0 };
	struct str batch = r->payload;
	bool smaller = false;
	if (r->compression && pack_open(batch, SPOOL_RECORD_BYTES_MAX * 8, &plain, NULL) != 0)
		batch = STR_NONE; /* not a batch: it goes as it is, and there is no base behind it */
	else
		batch = r->compression ? buf_str(&plain) : batch;
	if (p->base.sequence)
		smaller = delta_write(&p->base, r->sequence, batch, &delta, NULL) == 0;
	if (!smaller)
		(void)!delta_base(&p->base, r->sequence, batch, NULL);
	if (smaller) {
		pack_close(buf_str(&delta), 1, &packed);
		bool pack = packed.len < delta.len;
		less.type = RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_METRIC_DELTA;
		less.compression = pack ? RCTL__AGENT__V1__COMPRESSION__COMPRESSION_ZSTD : 0;
		less.payload = buf_str(pack ? &packed : &delta);
		send_whole(p, &less);
	}
	buf_fini(&plain);
	buf_fini(&delta);
	buf_fini(&packed);
	return smaller;
}

static void send_record(struct push *p, const struct spool_record *r)
{
	if (!p->metric_delta || r->type != RCTL__AGENT__V1__RECORD_TYPE__RECORD_TYPE_METRICS ||
	    !send_delta(p, r))
		send_whole(p, r);
}

/* ---------------------------------------------------------------------------------------- turns */

static void state_of(const struct spool *s, struct push_state *st)
{
	st->incarnation = spool_incarnation(s);
	st->first = spool_first(s);
	st->last = spool_last(s);
	st->durable = spool_durable(s);
	st->acked = spool_acked(s);
	st->bytes = spool_bytes(s);
	st->dropped = spool_dropped(s);
}

static int append_packed(struct turn *t, uint8_t type, struct str payload)
{
	struct spool *s = t->push->spool;
	if (payload.len >= PUSH_PACK_BYTES_MIN) {
		buf_clear(&t->packed);
		pack_close(payload, 1, &t->packed);
		if (t->packed.len < payload.len)
			return spool_append(s, type, RCTL__AGENT__V1__COMPRESSION__COMPRESSION_ZSTD,
					    buf_str(&t->packed), NULL);
	}
	return spool_append(s, type, RCTL__AGENT__V1__COMPRESSION__COMPRESSION_NONE, payload, NULL);
}

static void turn_write(struct turn *t)
{
	struct push *p = t->push;
	struct str rest = buf_str(&t->records);
	if (t->skipped)
		spool_skip(p->spool, t->skipped);
	if (series_write(p->series.fd, buf_str(&t->series)) == 0) {
		buf_fini(&t->series);
	} else {
		/* What these records speak of cannot be kept, so neither can they. */
		spool_skip(p->spool, t->records_len);
		t->state.lost += t->records_len;
		rest = STR_NONE;
	}
	while (rest.len) {
		struct waiting_head h;
		memcpy(&h, rest.p, sizeof(h));
		if (append_packed(t, h.type, str_sub(rest, sizeof(h), sizeof(h) + h.len)) != 0)
			t->state.lost++;
		rest = str_sub(rest, sizeof(h) + h.len, rest.len);
	}
	if (spool_sync(p->spool, NULL) != 0)
		t->state.lost++;
}

static void turn_read(struct turn *t)
{
	struct spool *s = t->push->spool;
	uint64_t at = t->read_from;
	t->list_len = 0;
	buf_clear(&t->read);
	while (at && t->list_len < READ_RECORDS && t->read.len < t->read_bytes &&
	       at <= spool_durable(s) && spool_read(s, at, &t->one, &t->list[t->list_len].r)) {
		struct read_record *r = &t->list[t->list_len++];
		r->off = t->read.len;
		if (r->r.type)
			buf_add_str(&t->read, r->r.payload);
		at = r->r.sequence + 1;
	}
}

/* On the worker. */
static void turn_run(struct worker_job *job)
{
	struct turn *t = container_of(job, struct turn, job);
	turn_write(t);
	if (t->ack)
		spool_ack(t->push->spool, t->ack);
	turn_read(t);
	state_of(t->push->spool, &t->state);
	/* Much was a burst: memory is not kept for the next one. */
	if (t->packed.cap > 65536)
		buf_fini(&t->packed);
	if (t->one.cap > 65536)
		buf_fini(&t->one);
}

static void send_read(struct push *p)
{
	struct turn *t = &p->turn;
	for (size_t i = 0; i < t->list_len; i++) {
		struct spool_record *r = &t->list[i].r;
		size_t bytes = r->payload.len + SPOOL_RECORD_HEAD_BYTES;
		if (r->type)
			r->payload = str_n(t->read.p + t->list[i].off, r->payload.len);
		if (r->sequence < p->next)
			continue;
		if (r->type)
			send_record(p, r);
		else
			send_gap(p, r);
		p->flight[p->flight_len].sequence = r->sequence;
		p->flight[p->flight_len++].bytes = bytes;
		p->in_flight += bytes;
		p->next = r->sequence + 1;
	}
}

/* On the loop. */
static void turn_done(struct worker_job *job)
{
	struct turn *t = container_of(job, struct turn, job);
	struct push *p = t->push;
	uint64_t acked = p->state.acked;
	t->under_way = false;
	p->state = t->state;
	p->state.lost += p->refused;
	p->state.acked = acked > t->state.acked ? acked : t->state.acked;
	p->settled += t->records_len + t->skipped;
	if (t->series.len) { /* not written: they come before those made since */
		buf_add_str(&t->series, buf_str(&p->series.unwritten));
		buf_fini(&p->series.unwritten);
		p->series.unwritten = t->series;
		t->series = (struct buf){ 0 };
	}
	if (p->call && p->opened && t->list_len && t->call_count == p->call_count) {
		send_series(p);
		send_read(p);
	}
	t->list_len = 0;
	buf_clear(&t->records);
	if (t->records.cap > 65536)
		buf_fini(&t->records);
	if (t->read.cap > 65536)
		buf_fini(&t->read);
	turn_begin(p);
}

/* How many bytes of records may be sent now. */
static size_t room(const struct push *p)
{
	const size_t flights = sizeof(p->flight) / sizeof(p->flight[0]);
	if (!p->call || !p->opened || p->slowed || p->in_flight >= p->window ||
	    p->flight_len + READ_RECORDS > flights || rpc_call_queued(p->call) >= QUEUE_BYTES)
		return 0;
	uint64_t n = p->window - p->in_flight;
	return n > QUEUE_BYTES ? QUEUE_BYTES : (size_t)n;
}

static void take_waiting(struct push *p)
{
	struct turn *t = &p->turn;
	struct buf empty = t->records;
	t->records = p->waiting;
	p->waiting = empty;
	t->records_len = p->waiting_len;
	t->skipped = p->skipped;
	t->series = p->series.unwritten;
	p->series.unwritten = (struct buf){ 0 };
	p->waiting_len = p->skipped = 0;
	loop_timer_stop(&p->sync);
	p->due = false;
}

static void turn_begin(struct push *p)
{
	struct turn *t = &p->turn;
	size_t send = room(p);
	bool read = send && p->next <= p->state.durable;
	if (t->under_way || p->closing || !(p->due || read || p->ack))
		return;
	t->records_len = t->skipped = 0;
	if (p->due)
		take_waiting(p);
	t->ack = p->ack;
	t->read_from = send ? p->next : 0;
	t->read_bytes = send;
	t->call_count = p->call_count;
	p->ack = 0;
	t->under_way = true;
	worker_post(p->opt.worker, &t->job);
}

static void take_ack(struct push *p, uint64_t sequence)
{
	size_t done = 0;
	if (sequence > p->state.acked)
		p->ack = p->state.acked = sequence;
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
		p->metric_delta = m->opened->metric_delta;
		p->again_ms = 0;
		p->next = p->state.acked + 1;
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
	turn_begin(p);
}

static void on_drained(void *arg, struct rpc_call *c)
{
	(void)c;
	turn_begin(arg);
}

static void forget_call(struct push *p)
{
	p->call = NULL;
	p->call_count++;
	delta_fini(&p->base);
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
	open.incarnation = p->state.incarnation;
	open.next_sequence = p->state.first;
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
	turn_begin(p);
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
	p->due = true;
	turn_begin(p);
}

void push_add(struct push *p, uint8_t type, struct str payload)
{
	const struct waiting_head h = { .len = (uint32_t)payload.len, .type = type };
	p->added++;
	if (payload.len > SPOOL_RECORD_BYTES_MAX ||
	    p->waiting.len + payload.len > PUSH_WAITING_BYTES_MAX) {
		p->skipped++;
		p->refused++;
		p->state.lost++;
	} else {
		buf_add(&p->waiting, (const char *)&h, sizeof(h));
		buf_add_str(&p->waiting, payload);
		p->waiting_len++;
	}
	if (p->waiting.len >= SPOOL_SYNC_BYTES)
		on_sync(&p->sync);
	else if (!p->due && !loop_timer_armed(&p->sync))
		loop_timer_set(p->opt.loop, &p->sync, SPOOL_SYNC_MS);
}

struct series *push_series(struct push *p)
{
	return &p->series;
}

const struct push_state *push_state(const struct push *p)
{
	return &p->state;
}

uint64_t push_added(const struct push *p)
{
	return p->added;
}

uint64_t push_settled(const struct push *p)
{
	return p->settled;
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
	p->turn.push = p;
	p->turn.job.run = turn_run;
	p->turn.job.done = turn_done;
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
		p->turn.state.lost += spool_last(p->spool) - spool_acked(p->spool);
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
	state_of(p->spool, &p->turn.state);
	p->state = p->turn.state;
	*ret = p;
	return 0;
}

void push_flush(struct push *p)
{
	bool closing = p->closing;
	p->closing = true; /* no turn of its own accord */
	if (p->turn.under_way)
		worker_flush(p->opt.worker);
	if (p->spool) {
		take_waiting(p);
		p->turn.ack = p->ack;
		p->turn.read_from = p->ack = 0;
		turn_run(&p->turn.job);
		turn_done(&p->turn.job);
	}
	p->closing = closing;
}

struct push *push_free(struct push *p)
{
	if (!p)
		return NULL;
	if (p->call)
		rpc_call_free(p->call);
	p->call = NULL;
	p->closing = true;
	loop_timer_stop(&p->sync);
	loop_timer_stop(&p->again);
	loop_timer_stop(&p->slow);
	push_flush(p);
	spool_close(p->spool);
	series_close(&p->series);
	buf_fini(&p->turn.series);
	buf_fini(&p->turn.records);
	buf_fini(&p->turn.read);
	buf_fini(&p->turn.packed);
	buf_fini(&p->turn.one);
	delta_fini(&p->base);
	buf_fini(&p->waiting);
	buf_fini(&p->out);
	mem_free(p->dir);
	mem_free(p->node);
	mem_free(p);
	return NULL;
}
