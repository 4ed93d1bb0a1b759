/* Selectors and subqueries: where samples come from; and helpers over labels. */
#include "base/mem.h"
#include "telemetry/promql_priv.h"

/* Of a subquery without one, as Prometheus' default evaluation interval. */
enum { SUBQUERY_STEP_MS = 60000, SUBQUERY_STEPS_MAX = 1000000 };

/* ---- labels ---- */

static bool has(const struct names *names, struct str name)
{
	for (size_t i = 0; i < names->len; i++)
		if (str_eq(names->v[i], name))
			return true;
	return false;
}

static bool stays(struct str name, bool keep, const struct names *names)
{
	return has(names, name) == keep && (keep || !str_eq(name, LABELS_NAME));
}

static struct labels pick(struct arena *a, struct labels l, bool keep, const struct names *names)
{
	struct label *v = arena_new(a, struct label, l.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < l.len; i++)
		if (stays(l.v[i].name, keep, names))
			v[n++] = l.v[i];
	return (struct labels){ v, n };
}

struct labels labels_without(struct arena *a, struct labels l, const struct names *drop)
{
	return pick(a, l, false, drop);
}

struct labels labels_only(struct arena *a, struct labels l, const struct names *names)
{
	return pick(a, l, true, names);
}

struct labels labels_nameless(struct arena *a, struct labels l)
{
	static const struct names none = { NULL, 0 };
	return pick(a, l, false, &none);
}

void labels_key_of(struct labels l, bool keep, const struct names *names, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < l.len; i++) {
		if (!stays(l.v[i].name, keep, names))
			continue;
		buf_add_str(out, l.v[i].name);
		buf_addc(out, '\0');
		buf_add_str(out, l.v[i].value);
		buf_addc(out, '\0');
	}
	buf_addc(out, '.'); /* no key is empty */
}

/* ---- instant vectors ---- */

int64_t eval_moment(const struct eval *e, const struct node *n, size_t i)
{
	int64_t t = n->at == AT_NONE    ? grid_at(&e->grid, i)
		    : n->at == AT_TIME  ? n->at_ms
		    : n->at == AT_START ? e->query.start_ms
					: grid_at(&e->query, e->query.n - 1);
	return t - n->offset_ms;
}

static int count(struct eval *e, size_t n)
{
	e->samples += (int64_t)n;
	if (e->samples > e->limits.samples_max)
		return error_set(e->err, ERR_LIMIT,
				 "query processing would load too many samples into memory in "
				 "query execution");
	return eval_work(e, n);
}

struct selection {
	struct eval *e;
	const struct node *n;
	bool times;
	double *v;
	series_fn fn;
	ranged_fn ranged;
	void *arg;
};

/* The newest sample of each step out of e->buf; false = none at all. */
static bool sweep(struct selection *x)
{
	struct eval *e = x->e;
	size_t k = 0;
	bool some = false;
	for (size_t i = 0; i < e->grid.n; i++) {
		int64_t at = eval_moment(e, x->n, i);
		while (k < e->buf.len && e->buf.v[k].t_ms <= at)
			k++;
		x->v[i] = sample_stale();
		if (!k || e->buf.v[k - 1].t_ms <= at - SAMPLE_LOOKBACK_MS ||
		    sample_is_stale(e->buf.v[k - 1].v))
			continue;
		x->v[i] = x->times ? (double)e->buf.v[k - 1].t_ms / 1000 : e->buf.v[k - 1].v;
		some = true;
	}
	return some;
}

static int on_instant(void *arg, const struct promql_series *s, struct error *err)
{
	struct selection *x = arg;
	struct eval *e = x->e;
	int64_t from = eval_moment(e, x->n, 0), to = eval_moment(e, x->n, e->grid.n - 1);
	const struct series out = { .labels = s->labels, .v = x->v };
	int rc = 0;
	e->buf.len = 0;
	if (e->grid.n == 1) {
		struct sample last;
		rc = e->src->last(e->src->arg, s, to - SAMPLE_LOOKBACK_MS, to, &last, err);
		if (rc <= 0)
			return rc;
		mem_grow(e->buf.v, e->buf.len, e->buf.cap);
		e->buf.v[e->buf.len++] = last;
		rc = 0;
	} else {
		rc = e->src->read(e->src->arg, s, from - SAMPLE_LOOKBACK_MS, to, &e->buf, err);
	}
	if (!rc)
		rc = count(e, e->buf.len);
	return rc || !sweep(x) ? rc : x->fn(x->arg, &out);
}

int eval_instant(struct eval *e, const struct node *n, bool times, series_fn fn, void *arg)
{
	struct selection x = { .e = e, .n = n, .times = times, .fn = fn, .arg = arg };
	x.v = eval_numbers(e);
	if (!x.v)
		return ERR_LIMIT;
	return e->src->select(e->src->arg, n->matchers, n->matchers_len, on_instant, &x, e->err);
}

/* ---- range vectors ---- */

static int on_range(void *arg, const struct promql_series *s, struct error *err)
{
	struct selection *x = arg;
	struct eval *e = x->e;
	int64_t from = eval_moment(e, x->n, 0) - x->n->range_ms;
	e->buf.len = 0;
	int rc = e->src->read(e->src->arg, s, from, eval_moment(e, x->n, e->grid.n - 1), &e->buf,
			      err);
	if (!rc)
		rc = count(e, e->buf.len);
	if (rc)
		return rc;
	size_t n = 0;
	for (size_t i = 0; i < e->buf.len; i++) {
		e->buf.v[n] = e->buf.v[i];
		n += !sample_is_stale(e->buf.v[i].v);
	}
	const struct ranged r = { .labels = s->labels, .v = e->buf.v, .len = n };
	return n ? x->ranged(x->arg, &r) : 0;
}

struct subquery {
	struct eval *e;
	struct grid inner, outer;
	struct sample *v;
	ranged_fn fn;
	void *arg;
};

static int on_subquery(void *arg, const struct series *s)
{
	struct subquery *x = arg;
	struct ranged r = { .labels = s->labels, .nameless = s->nameless, .v = x->v };
	for (size_t i = 0; i < x->inner.n; i++)
		if (!is_absent(s->v[i]))
			x->v[r.len++] = (struct sample){ grid_at(&x->inner, i), s->v[i] };
	if (!r.len)
		return 0;
	x->e->grid = x->outer;
	int rc = x->fn(x->arg, &r);
	x->e->grid = x->inner;
	return rc;
}

/* The steps of a subquery lie on multiples of its step, whatever the outer ones are. */
static int subquery(struct eval *e, const struct node *n, ranged_fn fn, void *arg)
{
	struct subquery x = { .e = e, .outer = e->grid, .fn = fn, .arg = arg };
	int64_t step = n->step_ms ? n->step_ms : SUBQUERY_STEP_MS;
	int64_t from = eval_moment(e, n, 0) - n->range_ms;
	int64_t to = eval_moment(e, n, e->grid.n - 1), start = from / step * step;
	if (start <= from)
		start += step;
	if (start > to)
		return 0;
	uint64_t steps = ((uint64_t)to - (uint64_t)start) / (uint64_t)step + 1;
	if (steps > SUBQUERY_STEPS_MAX)
		return error_set(e->err, ERR_LIMIT, "a subquery of more than %d steps",
				 SUBQUERY_STEPS_MAX);
	int rc = eval_bytes(e, (size_t)steps * sizeof(struct sample));
	if (rc)
		return rc;
	x.inner = (struct grid){ start, step, (size_t)steps };
	x.v = arena_new(e->arena, struct sample, (size_t)steps);
	e->grid = x.inner;
	rc = eval_vector(e, n->args[0], on_subquery, &x);
	e->grid = x.outer;
	return rc;
}

int eval_ranged(struct eval *e, const struct node *n, ranged_fn fn, void *arg)
{
	struct selection x = { .e = e, .n = n, .ranged = fn, .arg = arg };
	if (n->kind == NODE_SUBQUERY)
		return subquery(e, n, fn, arg);
	return e->src->select(e->src->arg, n->matchers, n->matchers_len, on_range, &x, e->err);
}
