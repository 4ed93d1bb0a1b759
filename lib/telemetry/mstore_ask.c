/* Questions: they run on the worker thread, their answers go to the loop that asked. */
#include "base/mem.h"
#include "json/json.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "telemetry/mstore_priv.h"

#include <inttypes.h>
#include <stdlib.h>

struct asking {
	struct intake_work work;
	struct mstore *s;
	struct loop *loop;
	struct mstore_ask ask;
	struct arena arena; /* of the copies */
	mstore_answer_fn fn;
	void *arg;
	uint64_t deadline_ms;
	bool failed;
	struct error err;
	struct buf out;
};

/* ---- the source of PromQL ---- */

static int source_select(void *arg, const struct matcher *m, size_t n,
			 int (*fn)(void *fn_arg, const struct promql_series *s, struct error *err),
			 void *fn_arg, struct error *err)
{
	struct asking *q = arg;
	const struct index *ix = intake_index(q->s->intake);
	struct index_ids ids = { 0 };
	int rc = 0;
	index_select(ix, m, n, &ids);
	for (size_t i = 0; !rc && i < ids.len; i++) {
		struct index_entry *e = index_at(ix, ids.v[i]);
		const struct promql_series s = { .labels = e->l, .handle = e };
		rc = fn(fn_arg, &s, err);
	}
	mem_free(ids.v);
	return rc;
}

static int source_read(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		       struct promql_samples *out, struct error *err)
{
	struct asking *q = arg;
	return mstore_read(q->s, s->handle, min_ms, max_ms, out, err);
}

static int source_last(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		       struct sample *ret, struct error *err)
{
	struct asking *q = arg;
	return mstore_last(q->s, s->handle, min_ms, max_ms, ret, err);
}

static bool is_late(void *arg)
{
	return clock_mono_ms() > ((struct asking *)arg)->deadline_ms;
}

static void write_notes(struct asking *q, const struct promql_result *r)
{
	static const char *const KEY[] = { "infos", "warnings" };
	for (int warning = 1; q->ask.with_notes && warning >= 0; warning--) {
		size_t n = 0;
		for (size_t i = 0; i < r->notes_len; i++) {
			if (r->notes[i].warning != (warning == 1))
				continue;
			if (n++)
				buf_addc(&q->out, ',');
			else
				buf_addf(&q->out, ",\"%s\":[", KEY[warning]);
			json_write_str(&q->out, r->notes[i].text);
		}
		buf_adds(&q->out, n ? "]" : "");
	}
}

static int evaluate(struct asking *q, struct promql *p, struct arena *a, struct promql_result *r,
		    struct error *err)
{
	const struct promql_source src = { source_select, source_read, source_last, q };
	const struct promql_limits limits = { .samples_max = q->s->cfg.query_samples_max,
					      .bytes_max = q->s->cfg.query_bytes_max,
					      .late = is_late,
					      .arg = q };
	const struct promql_range range = { q->ask.start_ms, q->ask.end_ms, q->ask.step_ms };
	int64_t at = q->ask.time_given ? q->ask.time_ms : intake_now_ms(q->s->intake);
	if (q->ask.kind == MSTORE_RANGE)
		return promql_eval_range(p, &range, &src, &limits, a, r, err);
	return promql_eval(p, at, &src, &limits, a, r, err);
}

static int answer_query(struct asking *q, struct error *err)
{
	struct promql *p = NULL;
	struct promql_result r;
	struct arena a = { 0 };
	int rc = promql_parse(q->ask.text, &p, err);
	if (!rc)
		rc = evaluate(q, p, &a, &r, err);
	if (!rc) {
		bool cut = q->ask.limit > 0 && r.len > (size_t)q->ask.limit;
		r.len = cut ? (size_t)q->ask.limit : r.len;
		promql_write_json(&r, &q->out);
		write_notes(q, &r);
	}
	promql_free(p);
	arena_fini(&a);
	return rc;
}

/* ---- labels, values, series ---- */

struct words {
	struct map seen;
	struct str *v;
	size_t len, cap;
};

static void add_word(void *arg, struct str s)
{
	struct words *w = arg;
	if (map_get(&w->seen, s))
		return;
	(void)map_set(&w->seen, s, w);
	mem_grow(w->v, w->len, w->cap);
	w->v[w->len++] = s;
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void write_words(struct asking *q, struct words *w)
{
	if (w->len)
		qsort(w->v, w->len, sizeof(*w->v), by_text);
	if (q->ask.limit > 0 && w->len > (size_t)q->ask.limit)
		w->len = (size_t)q->ask.limit;
	buf_addc(&q->out, '[');
	for (size_t i = 0; i < w->len; i++) {
		if (i)
			buf_addc(&q->out, ',');
		json_write_str(&q->out, w->v[i]);
	}
	buf_addc(&q->out, ']');
}

/* Whether a series has anything since then, as far as that is known without reading. */
static bool is_since(struct asking *q, const struct index_entry *e)
{
	const struct mseries *m = e->data;
	int64_t last = e->last_ms + MSTORE_LAST_STEP_MS;
	if (m && m->last_ms > last)
		last = m->last_ms;
	return last >= q->ask.since_ms;
}

/* Takes out the series that ended too early. */
static void drop_ended(struct asking *q, struct index_ids *ids)
{
	const struct index *ix = intake_index(q->s->intake);
	size_t n = 0;
	for (size_t i = 0; i < ids->len; i++)
		if (is_since(q, index_at(ix, ids->v[i])))
			ids->v[n++] = ids->v[i];
	ids->len = n;
}

/* The series that match any of match[]. */
static int matched(struct asking *q, struct index_ids *ids, struct error *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < q->ask.matches_len; i++) {
		struct promql *p = NULL;
		const struct matcher *m = NULL;
		size_t n = 0;
		rc = promql_parse(q->ask.matches[i], &p, err);
		if (!rc)
			rc = promql_selector(p, &m, &n, err);
		if (!rc)
			index_select(intake_index(q->s->intake), m, n, ids);
		promql_free(p);
	}
	if (!rc && q->ask.since_ms)
		drop_ended(q, ids);
	return rc;
}

static int answer_words(struct asking *q, struct error *err)
{
	struct words w = { 0 };
	struct index_ids ids = { 0 };
	const struct index *ix = intake_index(q->s->intake);
	bool names = q->ask.kind == MSTORE_LABELS;
	int rc = matched(q, &ids, err);
	for (size_t i = 0; !rc && i < ids.len; i++) {
		struct labels l = index_at(ix, ids.v[i])->l;
		struct str value = names ? STR("") : labels_get(l, q->ask.text);
		for (size_t k = 0; names && k < l.len; k++)
			add_word(&w, l.v[k].name);
		if (value.len)
			add_word(&w, value);
	}
	if (!rc && !q->ask.matches_len && names)
		index_names(ix, add_word, &w);
	else if (!rc && !q->ask.matches_len)
		index_values(ix, q->ask.text, add_word, &w);
	if (!rc)
		write_words(q, &w);
	mem_free(ids.v);
	mem_free(w.v);
	map_fini(&w.seen);
	return rc;
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static int answer_series(struct asking *q, struct error *err)
{
	struct index_ids ids = { 0 };
	if (!q->ask.matches_len)
		return error_set(err, ERR_BAD_REQUEST, "no match[] parameter provided");
	int rc = matched(q, &ids, err);
	if (ids.len)
		qsort(ids.v, ids.len, sizeof(*ids.v), by_id);
	size_t written = 0;
	buf_addc(&q->out, '[');
	for (size_t i = 0; !rc && i < ids.len; i++) {
		if (i && ids.v[i] == ids.v[i - 1])
			continue;
		if (q->ask.limit > 0 && written == (size_t)q->ask.limit)
			break;
		if (written++)
			buf_addc(&q->out, ',');
		labels_write_json(index_at(intake_index(q->s->intake), ids.v[i])->l, &q->out);
	}
	buf_addc(&q->out, ']');
	mem_free(ids.v);
	return rc;
}

/* ---- metadata ---- */

struct typed_metric {
	struct str name;
	int type;
};

static int by_metric(const void *a, const void *b)
{
	return str_cmp(((const struct typed_metric *)a)->name,
		       ((const struct typed_metric *)b)->name);
}

/* One type for each metric, as its first series says. */
static int answer_metadata(struct asking *q)
{
	static const char *const TYPE[] = { "unknown", "counter", "gauge" };
	const struct index *ix = intake_index(q->s->intake);
	struct typed_metric *v = NULL;
	struct map seen = { 0 };
	size_t len = 0, cap = 0;
	for (size_t i = 0; i < ix->all.len; i++) {
		const struct index_entry *e = index_at(ix, ix->all.v[i]);
		struct str name = labels_get(e->l, LABELS_NAME);
		bool wanted = name.len && (!q->ask.text.len || str_eq(name, q->ask.text));
		if (!wanted || map_set(&seen, name, &seen))
			continue;
		mem_grow(v, len, cap);
		v[len++] = (struct typed_metric){ name, e->type };
	}
	if (len)
		qsort(v, len, sizeof(*v), by_metric);
	if (q->ask.limit > 0 && len > (size_t)q->ask.limit)
		len = (size_t)q->ask.limit;
	buf_addc(&q->out, '{');
	for (size_t i = 0; i < len; i++) {
		buf_adds(&q->out, i ? "," : "");
		json_write_str(&q->out, v[i].name);
		buf_addf(&q->out, ":[{\"type\":\"%s\",\"help\":\"\",\"unit\":\"\"}]",
			 TYPE[v[i].type == 1 || v[i].type == 2 ? v[i].type : 0]);
	}
	buf_addc(&q->out, '}');
	map_fini(&seen);
	mem_free(v);
	return 0;
}

/* ---- there and back ---- */

static void deliver(void *arg)
{
	struct asking *q = arg;
	q->fn(q->arg, q->failed ? &q->err : NULL, buf_str(&q->out));
	buf_fini(&q->out);
	arena_fini(&q->arena);
	mem_free(q);
}

static int answer(struct asking *q, const struct error *down)
{
	if (down)
		return error_set(&q->err, ERR_UNAVAILABLE, "%s", down->msg);
	if (is_late(q))
		return error_set(&q->err, ERR_TIMEOUT, "query timed out in queue");
	switch (q->ask.kind) {
	case MSTORE_QUERY:
	case MSTORE_RANGE:
		return answer_query(q, &q->err);
	case MSTORE_LABELS:
	case MSTORE_VALUES:
		return answer_words(q, &q->err);
	case MSTORE_TSDB:
		mstore_write_tsdb(q->s, q->ask.limit, &q->out);
		return 0;
	case MSTORE_METADATA:
		return answer_metadata(q);
	case MSTORE_SERIES:
	default:
		return answer_series(q, &q->err);
	}
}

static void run(struct intake_work *w, struct intake *in, const struct error *down)
{
	struct asking *q = container_of(w, struct asking, work);
	(void)in;
	q->failed = answer(q, down) != 0;
	metric_add(q->s->queries, 1);
	loop_post(q->loop, deliver, q);
}

void mstore_ask(struct mstore *s, struct loop *loop, const struct mstore_ask *ask,
		mstore_answer_fn fn, void *arg)
{
	struct asking *q = mem_new(struct asking, 1);
	int64_t timeout = s->cfg.query_ms;
	q->work.run = run;
	q->s = s;
	q->loop = loop;
	q->ask = *ask;
	q->ask.text = arena_str(&q->arena, ask->text);
	for (size_t i = 0; i < ask->matches_len; i++)
		q->ask.matches[i] = arena_str(&q->arena, ask->matches[i]);
	q->fn = fn;
	q->arg = arg;
	if (ask->timeout_ms > 0 && ask->timeout_ms < timeout)
		timeout = ask->timeout_ms;
	q->deadline_ms = clock_mono_ms() + (uint64_t)timeout;
	intake_post(s->intake, &q->work);
}
