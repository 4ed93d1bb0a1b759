#include "telemetry/intake.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "telemetry/intake_priv.h"
#include "telemetry/record.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TICK_MS = 1000, EXPIRE_MS = 3600 * 1000 };

enum push_kind { PUSH_OPEN, PUSH_SERIES, PUSH_RECORD, PUSH_CLOSE };

/* What a stream's loop said. */
struct push {
	struct list link;
	enum push_kind kind;
	struct intake_stream *stream;
	uint64_t sequence;
	uint32_t type, compression;
	struct bytes *data;
	/* RECORD: to take effect behind the commit */
	bool fresh;
	const struct refmap *map;
	struct buf unpacked;
	struct str payload;
};

/* Works and pushes share the mailbox; a work is told apart by its tag. */
struct mail {
	struct list link;
	struct push *push;
	struct intake_work *work;
};

int64_t intake_now_ms(const struct intake *in)
{
	return in->cfg.now_ms ? in->cfg.now_ms() : clock_unix_ms();
}

struct index *intake_index(struct intake *in)
{
	return &in->index;
}

struct sql *intake_sql(struct intake *in)
{
	return in->db;
}

const char *intake_down(const struct intake *in)
{
	return atomic_load(&in->up) ? NULL : "its database is not there";
}

/* ---- to the loops ---- */

enum note_kind { NOTE_OPENED, NOTE_ACKED, NOTE_FAILED, NOTE_CLOSED };

struct note {
	enum note_kind kind;
	struct intake_handlers on;
	void *arg;
	uint64_t acked, records, refused;
	uint32_t known;
	char reason[160];
	struct error err;
};

static void deliver(void *arg)
{
	struct note *n = arg;
	switch (n->kind) {
	case NOTE_OPENED:
		n->on.opened(n->arg, n->acked, n->known);
		break;
	case NOTE_ACKED:
		n->on.acked(n->arg, n->acked, n->records, n->refused, n->reason);
		break;
	case NOTE_FAILED:
		n->on.failed(n->arg, &n->err);
		break;
	case NOTE_CLOSED:
	default:
		n->on.closed(n->arg);
		break;
	}
	mem_free(n);
}

static struct note *note_new(const struct intake_stream *s, enum note_kind kind)
{
	struct note *n = mem_new(struct note, 1);
	n->kind = kind;
	n->on = s->on;
	n->arg = s->arg;
	n->acked = s->mark ? s->mark->acked : 0;
	return n;
}

static void fail_stream(struct intake_stream *s, const struct error *err)
{
	if (s->dead)
		return;
	s->dead = true;
	struct note *n = note_new(s, NOTE_FAILED);
	n->err = *err;
	loop_post(s->loop, deliver, n);
}

/* What a commit means to a stream. */
static void tell(struct intake_stream *s)
{
	if (s->opened && !s->dead) {
		struct note *n = note_new(s, NOTE_OPENED);
		n->known = (uint32_t)s->map->len;
		loop_post(s->loop, deliver, n);
	}
	if ((s->records || s->refused) && !s->dead) {
		struct note *n = note_new(s, NOTE_ACKED);
		n->records = s->records;
		n->refused = s->refused;
		memcpy(n->reason, s->reason, sizeof(n->reason));
		loop_post(s->loop, deliver, n);
	}
	s->opened = s->touched = false;
	s->records = s->refused = 0;
	s->reason[0] = '\0';
}

/* ---- one push, inside a transaction ---- */

static void push_free(struct push *p)
{
	bytes_unref(p->data);
	buf_fini(&p->unpacked);
	mem_free(p);
}

static void refuse(struct intake *in, struct intake_stream *s, const struct error *why)
{
	s->refused++;
	metric_add(in->m.refused, 1);
	(void)snprintf(s->reason, sizeof(s->reason), "%.150s", why->msg);
}

/* A gap is a number: records that the agent lost. */
static void count_gap(struct intake *in, struct str payload)
{
	struct wire r = wire_of(payload);
	struct wire_field f;
	uint64_t from = 0, to = 0;
	while (wire_next(&r, &f)) {
		from = f.number == 1 ? f.u : from;
		to = f.number == 2 ? f.u : to;
	}
	if (!r.bad && from && to >= from && to - from < INT32_MAX)
		metric_add(in->m.lost, (int64_t)(to - from + 1));
}

static int take_record(struct intake *in, struct push *p, struct error *err)
{
	struct intake_stream *s = p->stream;
	struct error why = { 0 };
	s->touched = true;
	s->records++;
	if (p->sequence <= s->mark->acked) {
		metric_add(in->m.duplicates, 1);
		return 0;
	}
	struct intake_record r = { .type = p->type, .ids = s->map->ids, .ids_len = s->map->len };
	int rc = record_unpack(p->compression, bytes_str(p->data), &p->unpacked, &p->payload, &why);
	r.payload = p->payload;
	if (!rc && p->type == RECORD_GAP)
		count_gap(in, p->payload);
	if (!rc && p->type != RECORD_GAP)
		rc = in->cfg.ops->check(in->cfg.store, &r, &why);
	if (rc == ERR_EXPIRED) {
		rc = intake_new_map(in, s, err);
		if (!rc)
			fail_stream(s, &why);
		return rc;
	}
	s->mark->acked = p->sequence;
	s->mark->dirty = true;
	metric_add(in->m.records, 1);
	if (rc) {
		refuse(in, s, &why);
		return 0;
	}
	if (p->type == RECORD_GAP)
		return 0;
	p->fresh = true;
	p->map = s->map;
	return intake_journal(in, s->map->id, p->sequence, p->type, p->compression,
			      bytes_str(p->data), err);
}

static int take_push(struct intake *in, struct push *p, struct error *err)
{
	struct intake_stream *s = p->stream;
	if (p->kind == PUSH_OPEN)
		list_append(&in->streams, &s->link);
	if (s->dead || p->kind == PUSH_CLOSE)
		return 0;
	if (p->kind == PUSH_OPEN) {
		s->opened = s->touched = true;
		return intake_attach(in, s, err);
	}
	if (p->kind == PUSH_RECORD)
		return take_record(in, p, err);
	s->touched = true;
	struct error why = { 0 };
	int rc = intake_take_series(in, s, bytes_str(p->data), &why);
	if (rc && in->broken) {
		*err = why;
		return rc;
	}
	if (rc)
		fail_stream(s, &why);
	return 0;
}

/* ---- a batch ---- */

static void apply_own(struct intake *in)
{
	while (!list_empty(&in->own)) {
		struct own_record *o = list_entry(in->own.next, struct own_record, link);
		struct intake_record r = { .type = o->type, .payload = bytes_str(o->payload) };
		list_del(&o->link);
		in->cfg.ops->apply(in->cfg.store, &r);
		bytes_unref(o->payload);
		mem_free(o);
	}
}

static void stream_free(struct intake_stream *s)
{
	list_del(&s->link);
	mem_free(s->node);
	mem_free(s->added);
	mem_free(s);
}

/* Behind the commit, or behind its failure (maps and streams are dead then). */
static void finish_push(struct intake *in, struct push *p, bool committed)
{
	struct intake_stream *s = p->stream;
	if (p->fresh && committed) {
		struct intake_record r = { .type = p->type,
					   .payload = p->payload,
					   .ids = p->map->ids,
					   .ids_len = p->map->len };
		in->cfg.ops->apply(in->cfg.store, &r);
	}
	if (p->kind == PUSH_CLOSE) {
		loop_post(s->loop, deliver, note_new(s, NOTE_CLOSED));
		stream_free(s);
	}
}

/* Nothing in memory is sure any more: drop it, and take it from the database when that is there again. */
static void lose(struct intake *in, const struct error *err)
{
	uint64_t now = clock_mono_ms();
	intake_rollback(in);
	in->db = sql_close(in->db);
	in->broken = false;
	/* Every failing attempt is told: the reason may be another one. */
	in->why = *err;
	atomic_store(&in->up, false);
	metric_set(in->m.up, 0);
	if (in->cfg.on_state)
		in->cfg.on_state(in->cfg.on_state_arg, err);
	list_for_each(it, &in->streams)
	{
		struct intake_stream *s = list_entry(it, struct intake_stream, link);
		fail_stream(s, err);
		s->mark = NULL;
		s->map = NULL;
	}
	intake_forget(in);
	in->retry_ms = in->retry_ms ? in->retry_ms * 2 : INTAKE_RETRY_MIN_MS;
	if (in->retry_ms > INTAKE_RETRY_MAX_MS)
		in->retry_ms = INTAKE_RETRY_MAX_MS;
	/* An owner that dies is not to be missed for long. */
	if (err->code == ERR_CONFLICT)
		in->retry_ms = INTAKE_TAKEOVER_MS;
	in->retry_at_ms = now + in->retry_ms;
}

static int commit_batch(struct intake *in, struct error *err)
{
	int rc = 0;
	list_for_each(it, &in->streams)
	{
		struct intake_stream *s = list_entry(it, struct intake_stream, link);
		if (!rc && s->touched && s->mark)
			rc = intake_save_mark(in, s->mark, err);
	}
	if (!rc)
		rc = intake_commit(in, err);
	metric_add(in->m.commits, 1);
	return rc;
}

/* Takes pushes off `all` up to the limits of a batch, into `done`. */
static int fill_batch(struct intake *in, struct list *all, struct list *done, struct error *err)
{
	size_t records = 0, bytes = 0;
	int rc = 0;
	while (!rc && !list_empty(all) && records < INTAKE_BATCH_RECORDS &&
	       bytes < INTAKE_BATCH_BYTES) {
		struct push *p = list_entry(all->next, struct push, link);
		list_del(&p->link);
		list_append(done, &p->link);
		records++;
		bytes += p->data ? p->data->len : 0;
		rc = take_push(in, p, err);
	}
	return rc;
}

static void end_batch(struct intake *in, struct list *done, bool committed)
{
	list_for_each(it, &in->streams)
	{
		struct intake_stream *s = list_entry(it, struct intake_stream, link);
		if (s->touched)
			tell(s);
	}
	list_for_each(it, done)
	{
		struct push *p = list_entry(it, struct push, link);
		finish_push(in, p, committed);
		push_free(p);
	}
}

/* Without a database: openings fail, closings close. */
static void turn_away(struct intake *in, struct list *all)
{
	list_for_each(it, all)
	{
		struct push *p = list_entry(it, struct push, link);
		if (p->kind == PUSH_OPEN) {
			list_append(&in->streams, &p->stream->link);
			fail_stream(p->stream, &in->why);
		}
		finish_push(in, p, false);
		push_free(p);
	}
	list_init(all);
}

static void run_pushes(struct intake *in, struct list *all)
{
	while (in->db && !list_empty(all)) {
		struct list done;
		struct error err = { 0 };
		list_init(&done);
		int rc = intake_begin(in, &err);
		if (!rc)
			rc = fill_batch(in, all, &done, &err);
		if (!rc)
			rc = commit_batch(in, &err);
		if (rc)
			lose(in, &err);
		end_batch(in, &done, rc == 0);
	}
	turn_away(in, all);
}

/* ---- upkeep ---- */

static void check_broken(struct intake *in, const struct error *err)
{
	if (in->broken)
		lose(in, err);
}

int intake_transact(struct intake *in, int (*fn)(void *arg, struct error *err), void *arg,
		    struct error *err)
{
	int rc = intake_begin(in, err);
	if (!rc)
		rc = fn(arg, err);
	if (!rc && !in->broken)
		rc = intake_commit(in, err);
	else
		in->broken = true;
	if (in->broken)
		lose(in, err);
	else
		apply_own(in);
	return in->db ? rc : ERR_UNAVAILABLE;
}

static int sample_now(void *arg, struct error *err)
{
	struct intake *in = arg;
	return in->cfg.ops->sample(in->cfg.store, intake_now_ms(in), err);
}

static void sample(struct intake *in)
{
	struct error err = { 0 };
	if (in->cfg.ops->sample)
		(void)!intake_transact(in, sample_now, in, &err);
}

static void upkeep(struct intake *in)
{
	uint64_t now = clock_mono_ms();
	struct error err = { 0 };
	if (!in->db && now >= in->retry_at_ms) {
		if (intake_load(in, &err) != 0) {
			lose(in, &err);
			return;
		}
		atomic_store(&in->up, true);
		metric_set(in->m.up, 1);
		if (in->cfg.on_state)
			in->cfg.on_state(in->cfg.on_state_arg, NULL);
		in->retry_ms = 0;
		in->checkpoint_at_ms = now + (uint64_t)in->cfg.checkpoint_ms;
		in->expire_at_ms = now;
	}
	if (in->db && now >= in->tick_at_ms) {
		in->tick_at_ms = now + TICK_MS;
		sample(in);
	}
	if (in->db && (now >= in->checkpoint_at_ms || in->cfg.ops->full(in->cfg.store))) {
		in->checkpoint_at_ms = now + (uint64_t)in->cfg.checkpoint_ms;
		(void)!intake_checkpoint(in, &err);
		check_broken(in, &err);
	}
	if (in->db && now >= in->expire_at_ms) {
		in->expire_at_ms = now + EXPIRE_MS;
		(void)!intake_expire(in, &err);
		check_broken(in, &err);
	}
}

/* ---- the thread ---- */

static void wait_for_mail(struct intake *in, struct list *mail, bool *stop)
{
	struct pollfd fd = { .fd = in->wake, .events = POLLIN };
	uint64_t count;
	if (poll(&fd, 1, TICK_MS) == 1)
		(void)!read(in->wake, &count, sizeof(count));
	(void)pthread_mutex_lock(&in->lock);
	list_init(mail);
	while (!list_empty(&in->mailbox)) {
		struct list *first = in->mailbox.next;
		list_del(first);
		list_append(mail, first);
	}
	*stop = in->stop;
	(void)pthread_mutex_unlock(&in->lock);
}

static void wake(struct intake *in)
{
	const uint64_t one = 1;
	(void)!write(in->wake, &one, sizeof(one));
}

/* Pushes first, so that they share a commit; the order among works, and among pushes, stays. */
static void run_mail(struct intake *in, struct list *mail)
{
	struct list pushes, works;
	list_init(&pushes);
	list_init(&works);
	list_for_each(it, mail)
	{
		struct mail *m = list_entry(it, struct mail, link);
		list_del(&m->link);
		if (m->push)
			list_append(&pushes, &m->push->link);
		else
			list_append(&works, &m->work->link);
		mem_free(m);
	}
	run_pushes(in, &pushes);
	list_for_each(it, &works)
	{
		struct intake_work *w = list_entry(it, struct intake_work, link);
		struct error err = { 0 };
		list_del(&w->link);
		w->run(w, in, in->db ? NULL : &in->why);
		(void)error_set(&err, ERR_UNAVAILABLE, "the database failed");
		check_broken(in, &err);
	}
}

static void *worker(void *arg)
{
	struct intake *in = arg;
	bool stop = false;
	while (!stop) {
		struct list mail;
		upkeep(in);
		wait_for_mail(in, &mail, &stop);
		run_mail(in, &mail);
	}
	return NULL;
}

static void send_mail(struct intake *in, struct push *p, struct intake_work *w)
{
	struct mail *m = mem_new(struct mail, 1);
	m->push = p;
	m->work = w;
	(void)pthread_mutex_lock(&in->lock);
	bool first = list_empty(&in->mailbox);
	list_append(&in->mailbox, &m->link);
	(void)pthread_mutex_unlock(&in->lock);
	if (first)
		wake(in);
}

void intake_post(struct intake *in, struct intake_work *w)
{
	send_mail(in, NULL, w);
}

static void add_metrics(struct intake *in)
{
	struct metrics *m = in->cfg.metrics;
	char labels[64];
	if (!m)
		m = metrics_new();
	in->own_metrics = in->cfg.metrics ? NULL : m;
	(void)snprintf(labels, sizeof(labels), "store=\"%s\"", in->cfg.component);
	in->m.records = metric_counter(m, "rctl_telemetry_records_total", labels,
				       "Records that agents pushed and that are stored");
	in->m.duplicates = metric_counter(m, "rctl_telemetry_duplicate_records_total", labels,
					  "Records that came again and were dropped");
	in->m.refused = metric_counter(m, "rctl_telemetry_refused_records_total", labels,
				       "Records that could not be used");
	in->m.lost = metric_counter(m, "rctl_telemetry_lost_records_total", labels,
				    "Records that agents had to drop");
	in->m.commits = metric_counter(m, "rctl_telemetry_commits_total", labels,
				       "Transactions that stored records");
	in->m.up = metric_gauge(m, "rctl_telemetry_up", labels, "1 while the database is there");
	in->m.series = metric_gauge(m, "rctl_telemetry_series", labels, "Series in the index");
}

struct intake *intake_prepare(const struct intake_config *cfg)
{
	struct intake *in = mem_new(struct intake, 1);
	in->cfg = *cfg;
	in->url = mem_strdup(cfg->url);
	if (strncmp(cfg->url, "sqlite:", 7) == 0 && strcmp(cfg->url, "sqlite::memory:") != 0) {
		struct buf b = { 0 };
		mem_free(in->url);
		buf_addf(&b, "%s%clock=exclusive", cfg->url, strchr(cfg->url, '?') ? '&' : '?');
		in->url = mem_strdup(buf_cstr(&b));
		buf_fini(&b);
	}
	(void)error_set(&in->why, ERR_UNAVAILABLE, "the database is being opened");
	list_init(&in->mailbox);
	list_init(&in->streams);
	list_init(&in->own);
	add_metrics(in);
	(void)pthread_mutex_init(&in->lock, NULL);
	in->wake = eventfd(0, EFD_CLOEXEC);
	if (in->wake < 0)
		mem_abort();
	return in;
}

void intake_start(struct intake *in)
{
	if (pthread_create(&in->thread, NULL, worker, in) != 0)
		mem_abort();
}

struct intake *intake_free(struct intake *in)
{
	if (!in)
		return NULL;
	(void)pthread_mutex_lock(&in->lock);
	in->stop = true;
	(void)pthread_mutex_unlock(&in->lock);
	wake(in);
	(void)pthread_join(in->thread, NULL);
	while (!list_empty(&in->streams))
		stream_free(list_entry(in->streams.next, struct intake_stream, link));
	in->db = sql_close(in->db);
	intake_forget(in);
	index_fini(&in->index);
	map_fini(&in->maps);
	map_fini(&in->maps_by_id);
	map_fini(&in->marks);
	buf_fini(&in->unpacked);
	buf_fini(&in->key);
	metrics_free(in->own_metrics);
	(void)close(in->wake);
	(void)pthread_mutex_destroy(&in->lock);
	mem_free(in->url);
	mem_free(in);
	return NULL;
}

/* ---- flush ---- */

struct flush {
	struct intake_work work;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done, good;
};

static void run_flush(struct intake_work *w, struct intake *in, const struct error *down)
{
	struct flush *f = container_of(w, struct flush, work);
	struct error err = { 0 };
	bool good = !down && intake_checkpoint(in, &err) == 0;
	(void)pthread_mutex_lock(&f->lock);
	f->done = true;
	f->good = good;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
}

bool intake_flush(struct intake *in)
{
	struct flush f = { .work.run = run_flush };
	(void)pthread_mutex_init(&f.lock, NULL);
	(void)pthread_cond_init(&f.wake, NULL);
	intake_post(in, &f.work);
	(void)pthread_mutex_lock(&f.lock);
	while (!f.done)
		(void)pthread_cond_wait(&f.wake, &f.lock);
	(void)pthread_mutex_unlock(&f.lock);
	(void)pthread_cond_destroy(&f.wake);
	(void)pthread_mutex_destroy(&f.lock);
	return f.good;
}

/* ---- streams, on their loops ---- */

static void send_push(struct intake_stream *s, enum push_kind kind, struct bytes *data,
		      const struct push *more)
{
	struct push *p = mem_new(struct push, 1);
	if (more)
		*p = *more;
	p->kind = kind;
	p->stream = s;
	p->data = data;
	send_mail(s->in, p, NULL);
}

struct intake_stream *intake_stream_open(struct intake *in, struct loop *loop,
					 const struct intake_open *open,
					 const struct intake_handlers *on, void *arg)
{
	struct intake_stream *s = mem_new(struct intake_stream, 1);
	s->in = in;
	s->loop = loop;
	s->on = *on;
	s->arg = arg;
	s->node = mem_strndup(open->node.p, open->node.len);
	s->stream = open->stream;
	s->incarnation = open->incarnation;
	s->next_sequence = open->next_sequence;
	s->added = labels_own(open->added);
	send_push(s, PUSH_OPEN, NULL, NULL);
	return s;
}

void intake_stream_series(struct intake_stream *s, struct str series_table)
{
	send_push(s, PUSH_SERIES, bytes_of_str(series_table), NULL);
}

void intake_stream_record(struct intake_stream *s, uint64_t sequence, uint32_t type,
			  uint32_t compression, struct str payload)
{
	const struct push p = { .sequence = sequence, .type = type, .compression = compression };
	send_push(s, PUSH_RECORD, bytes_of_str(payload), &p);
}

void intake_stream_close(struct intake_stream *s)
{
	send_push(s, PUSH_CLOSE, NULL, NULL);
}
