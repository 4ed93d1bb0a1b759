#include "telemetry/mstore.h"

#include "base/mem.h"
#include "telemetry/mstore_priv.h"
#include "telemetry/remote.h"

#include <assert.h>
#include <inttypes.h>

/* A checkpoint does not wait for its time when so much is in tails. */
enum { TAIL_BYTES_MAX = 512 << 20 };

/* Room for the ids up to this one. */
static void reach(struct mstore *s, uint32_t id)
{
	if (id < s->by_id_len)
		return;
	size_t n = s->by_id_len ? s->by_id_len * 2 : 1024;
	n = n > id ? n : (size_t)id + 1;
	s->by_id = mem_resize(s->by_id, n, sizeof(struct mseries *));
	memset(s->by_id + s->by_id_len, 0, (n - s->by_id_len) * sizeof(struct mseries *));
	s->by_id_len = n;
}

struct mseries *mstore_series(struct mstore *s, struct index_entry *e)
{
	if (!e->data) {
		struct mseries *m = mem_new(struct mseries, 1);
		m->last_ms = INT64_MIN;
		m->db_last_ms = INT64_MAX;
		m->sealed_end = &m->sealed;
		e->data = m;
		reach(s, e->id);
		s->by_id[e->id] = m;
	}
	return e->data;
}

size_t mstore_open_chunk(const struct mseries *m, struct sample *out)
{
	size_t n = 0;
	if (m->blob_n) {
		n = chunk_decode(str_n(m->blob, m->blob_len), out);
		assert(n == m->blob_n);
	}
	if (m->tail_len)
		memcpy(out + n, m->tail, m->tail_len * sizeof(*out));
	return n + m->tail_len;
}

static void seal(struct mstore *s, struct mseries *m)
{
	struct sample all[CHUNK_SAMPLES_MAX];
	size_t n = mstore_open_chunk(m, all);
	buf_clear(&s->scratch);
	chunk_encode(all, n, &s->scratch);
	struct sealed *x = mem_new_flex(struct sealed, data, s->scratch.len);
	x->t0 = all[0].t_ms;
	x->t1 = all[n - 1].t_ms;
	x->n = n;
	x->len = s->scratch.len;
	memcpy(x->data, s->scratch.p, s->scratch.len);
	*m->sealed_end = x;
	m->sealed_end = &x->next;
	mem_free(m->blob);
	m->blob = NULL;
	m->blob_len = m->blob_n = 0;
	m->tail_len = 0;
}

void mstore_append(struct mstore *s, struct mseries *m, int64_t t_ms, double v)
{
	if (t_ms <= m->last_ms) {
		/* The same sample from two sides, as of a container's restarts, is no loss. */
		bool same = t_ms == m->last_ms && sample_bits(m->last) == sample_bits(v);
		metric_add(s->out_of_order, !same);
		return;
	}
	size_t n = m->blob_n + m->tail_len;
	if (n == MSTORE_CHUNK_SAMPLES || (n && t_ms - m->first_ms >= MSTORE_CHUNK_SPAN_MS)) {
		seal(s, m);
		n = 0;
	}
	if (m->tail_len == m->tail_cap) {
		uint32_t cap = m->tail_cap ? m->tail_cap + m->tail_cap / 2 : 4;
		m->tail = mem_resize(m->tail, cap, sizeof(*m->tail));
		s->tail_bytes += (cap - m->tail_cap) * sizeof(*m->tail);
		m->tail_cap = cap;
	}
	if (!n)
		m->first_ms = t_ms;
	m->tail[m->tail_len++] = (struct sample){ t_ms, v };
	m->last_ms = t_ms;
	m->last = v;
}

/* ---- the intake's callbacks ---- */

void mstore_series_free(struct mseries *m)
{
	if (!m)
		return;
	while (m->sealed) {
		struct sealed *x = m->sealed;
		m->sealed = x->next;
		mem_free(x);
	}
	mem_free(m->tail);
	mem_free(m->blob);
	mem_free(m);
}

void mstore_forget(struct mstore *s, struct index_entry *e)
{
	mstore_series_free(e->data);
	e->data = NULL;
	if (e->id < s->by_id_len)
		s->by_id[e->id] = NULL;
}

static void reset(void *store)
{
	struct mstore *s = store;
	const struct index *ix = intake_index(s->intake);
	for (size_t i = 0; i < ix->by_id_len; i++)
		if (ix->by_id[i])
			mstore_forget(s, ix->by_id[i]);
	s->tail_bytes = 0;
	s->before_len = 0;
}

static int load(void *store, struct error *err)
{
	(void)store;
	(void)err;
	return 0; /* chunks are read when they are asked for */
}

struct checking {
	const struct index *index;
	const struct intake_record *r;
	bool unknown, gone;
};

static void check_one(void *arg, uint32_t ref, double v)
{
	struct checking *c = arg;
	(void)v;
	uint32_t id = intake_id(c->r, ref);
	c->unknown |= ref > c->r->ids_len;
	c->gone |= id && !index_at(c->index, id);
}

static int check(void *store, const struct intake_record *r, struct error *err)
{
	struct mstore *s = store;
	if (r->type == RECORD_ALERTS) {
		struct buf batch = { 0 };
		struct intake_record m = { .type = RECORD_METRICS,
					   .ids = r->ids,
					   .ids_len = r->ids_len };
		int bad = record_alerts(r->payload, &batch, err);
		m.payload = buf_str(&batch);
		bad = bad ? bad : check(store, &m, err);
		buf_fini(&batch);
		return bad;
	}
	struct checking c = { .index = intake_index(s->intake), .r = r };
	struct record_batch b;
	if (r->type != RECORD_METRICS)
		return error_set(err, ERR_BAD_REQUEST, "record type %" PRIu32 " in a metric stream",
				 r->type);
	int rc = record_metrics(r->payload, &b, check_one, &c, err);
	if (rc)
		return rc;
	int64_t now = intake_now_ms(s->intake);
	if (c.unknown)
		return error_set(err, ERR_BAD_REQUEST, "a sample of a series that was not defined");
	if (b.time_ms > now + MSTORE_FUTURE_MS || b.time_ms < 0)
		return error_set(err, ERR_BAD_REQUEST,
				 "samples of a time in the future: the node's clock is wrong");
	if (b.time_ms < now - s->cfg.retention_ms)
		return error_set(err, ERR_BAD_REQUEST, "samples older than they are kept");
	if (c.gone)
		return error_set(err, ERR_EXPIRED, "a series was forgotten: define it again");
	return 0;
}

/*
 * Samples wait a few turns between the look-up of their series and the write, so that the memory of the one comes
 * while others are worked on.
 */
enum { APPLY_AHEAD = 16, APPLY_TAIL = 8 };

struct applying {
	struct mstore *s;
	const struct index *index;
	const struct intake_record *r;
	struct record_batch b;
	struct {
		struct mseries *m;
		double v;
	} ahead[APPLY_AHEAD];
	size_t n;
};

static void apply_next(struct applying *a, struct mseries *m, double v)
{
	size_t at = a->n++ % APPLY_AHEAD;
	struct mseries *now = a->ahead[at].m, *next = a->ahead[(at + APPLY_TAIL) % APPLY_AHEAD].m;
	if (m)
		__builtin_prefetch(m, 1);
	if (next && next->tail)
		__builtin_prefetch(&next->tail[next->tail_len], 1);
	if (now)
		mstore_append(a->s, now, a->b.time_ms, a->ahead[at].v);
	a->ahead[at].m = m;
	a->ahead[at].v = v;
}

static void apply_one(void *arg, uint32_t ref, double v)
{
	struct applying *a = arg;
	uint32_t id = intake_id(a->r, ref);
	struct mseries *m = id < a->s->by_id_len ? a->s->by_id[id] : NULL;
	if (!m) {
		struct index_entry *e = id ? index_at(a->index, id) : NULL;
		m = e ? mstore_series(a->s, e) : NULL;
	}
	if (m)
		apply_next(a, m, v);
}

static void apply_sample(void *arg, uint32_t id, struct sample x)
{
	struct applying *a = arg;
	struct index_entry *e = index_at(a->index, id);
	if (!e)
		return;
	mstore_append(a->s, mstore_series(a->s, e), x.t_ms, x.v);
	metric_add(a->s->samples, 1);
}

static void apply(void *store, const struct intake_record *r)
{
	struct mstore *s = store;
	struct applying a = { .s = s, .index = intake_index(s->intake), .r = r };
	if (r->type == RECORD_SAMPLES && !r->ids)
		(void)!remote_record_walk(r->payload, apply_sample, &a, NULL);
	if (r->type == RECORD_ALERTS) {
		struct buf batch = { 0 };
		struct intake_record m = { .type = RECORD_METRICS,
					   .ids = r->ids,
					   .ids_len = r->ids_len };
		if (record_alerts(r->payload, &batch, NULL) == 0) {
			m.payload = buf_str(&batch);
			apply(store, &m);
		}
		buf_fini(&batch);
	}
	if (r->type != RECORD_METRICS)
		return;
	if (record_metrics(r->payload, &a.b, apply_one, &a, NULL) == 0)
		metric_add(s->samples, (int64_t)a.b.samples);
	for (size_t i = 0; i < APPLY_AHEAD; i++)
		apply_next(&a, NULL, 0);
}

static void checkpointed(void *store)
{
	(void)store; /* memory changed while it was written: had that failed, memory would be gone */
}

static bool full(void *store)
{
	return ((struct mstore *)store)->tail_bytes > TAIL_BYTES_MAX;
}

static const struct intake_ops OPS = {
	.reset = reset,
	.load = load,
	.check = check,
	.apply = apply,
	.checkpoint = mstore_checkpoint,
	.checkpointed = checkpointed,
	.full = full,
	.expire = mstore_expire,
	.sample = mstore_sample,
};

struct intake *mstore_intake(struct mstore *s)
{
	return s->intake;
}

static void add_metrics(struct mstore *s, struct metrics *m)
{
	s->samples = metric_counter(m, "rctl_metrics_samples_total", "",
				    "Samples taken into the metrics store");
	s->out_of_order =
		metric_counter(m, "rctl_metrics_out_of_order_samples_total", "",
			       "Samples dropped because a newer one of their series was there");
	s->queries = metric_counter(m, "rctl_metrics_queries_total", "",
				    "Questions answered by the metrics store");
}

struct mstore *mstore_new(const struct mstore_config *cfg)
{
	struct mstore *s = mem_new(struct mstore, 1);
	s->cfg = *cfg;
	assert(cfg->metrics);
	add_metrics(s, cfg->metrics);
	const struct intake_config in = {
		.url = cfg->url,
		.component = "metrics",
		.steps = mstore_steps,
		.steps_len = mstore_steps_len,
		.checkpoint_ms = cfg->checkpoint_ms,
		.series_max = cfg->series_max,
		.label_bytes_max = cfg->label_bytes_max,
		.metrics = cfg->metrics,
		.now_ms = cfg->now_ms,
		.on_state = cfg->on_state,
		.on_state_arg = cfg->on_state_arg,
		.ops = &OPS,
		.store = s,
	};
	s->cfg.url = NULL;
	s->intake = intake_prepare(&in);
	intake_start(s->intake);
	return s;
}

struct mstore *mstore_free(struct mstore *s)
{
	if (!s)
		return NULL;
	intake_free(s->intake);
	mem_free(s->by_id);
	mem_free(s->collected);
	mem_free(s->before);
	buf_fini(&s->scratch);
	mem_free(s);
	return NULL;
}
