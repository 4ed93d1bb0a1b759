/* The functions, one row each; https://prometheus.io/docs/prometheus/latest/querying/functions/ says what they mean. */
#include "base/mem.h"
#include "telemetry/promql_priv.h"
#include "text/rfc3339.h"

#include <math.h>
#include <stdlib.h>

static const double PI = 3.14159265358979323846;

/* ---- of each number ---- */

#define EACH(name, expr) \
	static double e_##name(double v, const double *s) \
	{ \
		(void)s; \
		return (expr); \
	}

EACH(abs, fabs(v))
EACH(ceil, ceil(v))
EACH(floor, floor(v))
EACH(exp, exp(v))
EACH(ln, log(v))
EACH(log2, log2(v))
EACH(log10, log10(v))
EACH(sqrt, sqrt(v))
EACH(sgn, isnan(v) || v == 0 ? v : v > 0 ? 1 : -1)
EACH(acos, acos(v))
EACH(acosh, acosh(v))
EACH(asin, asin(v))
EACH(asinh, asinh(v))
EACH(atan, atan(v))
EACH(atanh, atanh(v))
EACH(cos, cos(v))
EACH(cosh, cosh(v))
EACH(sin, sin(v))
EACH(sinh, sinh(v))
EACH(tan, tan(v))
EACH(tanh, tanh(v))
EACH(deg, v * 180 / PI)
EACH(rad, v *PI / 180)

/* Up at the half, and a multiple of `to` by its inverse: 0.1 * 3 is not 0.3. */
static double e_round(double v, const double *s)
{
	double inverse = 1 / s[0];
	return floor(v * inverse + 0.5) / inverse;
}

static double e_clamp(double v, const double *s)
{
	if (s[0] > s[1])
		return sample_stale();
	if (isnan(s[0]) || isnan(s[1]) || isnan(v))
		return (double)NAN;
	return v < s[0] ? s[0] : v > s[1] ? s[1] : v;
}

static double e_clamp_min(double v, const double *s)
{
	return e_clamp(v, (const double[]){ s[0], (double)INFINITY });
}

static double e_clamp_max(double v, const double *s)
{
	return e_clamp(v, (const double[]){ -(double)INFINITY, s[0] });
}

/* ---- of a moment ---- */

enum date_part { YEAR, MONTH, DAY, WEEKDAY, YEARDAY, MONTHDAYS, HOUR, MINUTE };

static double date(double v, enum date_part part)
{
	if (!(fabs(v) < 1e14))
		return (double)NAN;
	int64_t t = (int64_t)v, days = t / 86400, s = t % 86400;
	if (s < 0) {
		s += 86400;
		days--;
	}
	struct civil c = civil_of_days(days);
	struct civil first = { c.year, 1, 1 };
	struct civil next = { c.month == 12 ? c.year + 1 : c.year, c.month % 12 + 1, 1 };
	struct civil month = { c.year, c.month, 1 };
	switch (part) {
	case YEAR:
		return (double)c.year;
	case MONTH:
		return (double)c.month;
	case DAY:
		return (double)c.day;
	case WEEKDAY:
		return (double)(((days + 4) % 7 + 7) % 7);
	case YEARDAY:
		return (double)(days - civil_to_days(first) + 1);
	case MONTHDAYS:
		return (double)(civil_to_days(next) - civil_to_days(month));
	case HOUR:
		return (double)(s / 3600);
	case MINUTE:
	default:
		return (double)(s / 60 % 60);
	}
}

EACH(year, date(v, YEAR))
EACH(month, date(v, MONTH))
EACH(day_of_month, date(v, DAY))
EACH(day_of_week, date(v, WEEKDAY))
EACH(day_of_year, date(v, YEARDAY))
EACH(days_in_month, date(v, MONTHDAYS))
EACH(hour, date(v, HOUR))
EACH(minute, date(v, MINUTE))

/* ---- scalars ---- */

static int s_time(struct eval *e, const struct node *n, double *ret)
{
	(void)n;
	for (size_t i = 0; i < e->grid.n; i++)
		ret[i] = (double)grid_at(&e->grid, i) / 1000;
	return 0;
}

static int constant(struct eval *e, double v, double *ret)
{
	for (size_t i = 0; i < e->grid.n; i++)
		ret[i] = v;
	return 0;
}

static int s_pi(struct eval *e, const struct node *n, double *ret)
{
	(void)n;
	return constant(e, PI, ret);
}

static int s_start(struct eval *e, const struct node *n, double *ret)
{
	(void)n;
	return constant(e, (double)e->query.start_ms / 1000, ret);
}

static int s_end(struct eval *e, const struct node *n, double *ret)
{
	(void)n;
	return constant(e, (double)grid_at(&e->query, e->query.n - 1) / 1000, ret);
}

static int s_range(struct eval *e, const struct node *n, double *ret)
{
	(void)n;
	return constant(e, (double)((int64_t)(e->query.n - 1) * e->query.step_ms) / 1000, ret);
}

static int s_step(struct eval *e, const struct node *n, double *ret)
{
	(void)n;
	return constant(e, (double)e->query.step_ms / 1000, ret);
}

static int extreme(struct eval *e, const struct node *n, bool most, double *ret)
{
	double *other = eval_numbers(e);
	int rc = other ? eval_scalar(e, n->args[0], ret) : ERR_LIMIT;
	if (!rc)
		rc = eval_scalar(e, n->args[1], other);
	for (size_t i = 0; !rc && i < e->grid.n; i++) {
		if (isnan(ret[i]) || isnan(other[i]))
			ret[i] = (double)NAN;
		else if (most ? other[i] > ret[i] : other[i] < ret[i])
			ret[i] = other[i];
	}
	return rc;
}

static int s_max_of(struct eval *e, const struct node *n, double *ret)
{
	return extreme(e, n, true, ret);
}

static int s_min_of(struct eval *e, const struct node *n, double *ret)
{
	return extreme(e, n, false, ret);
}

struct only {
	struct eval *e;
	uint32_t *seen;
	double *v;
};

static int only_one(void *arg, const struct series *s)
{
	struct only *x = arg;
	for (size_t i = 0; i < x->e->grid.n; i++)
		if (!is_absent(s->v[i])) {
			x->seen[i]++;
			x->v[i] = s->v[i];
		}
	return 0;
}

static int s_scalar(struct eval *e, const struct node *n, double *ret)
{
	struct only x = { e, arena_new(e->arena, uint32_t, e->grid.n), ret };
	int rc = eval_vector(e, n->args[0], only_one, &x);
	for (size_t i = 0; !rc && i < e->grid.n; i++)
		if (x.seen[i] != 1)
			ret[i] = (double)NAN;
	return rc;
}

int eval_call_scalar(struct eval *e, const struct node *n, double *ret)
{
	return n->func->scalar(e, n, ret);
}

/* ---- vectors of another kind ---- */

static int v_vector(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct series s = { .v = eval_numbers(e) };
	int rc = s.v ? eval_scalar(e, n->args[0], s.v) : ERR_LIMIT;
	return rc ? rc : fn(arg, &s);
}

struct timing {
	struct eval *e;
	series_fn fn;
	void *arg;
};

static int at_its_time(void *arg, const struct series *s)
{
	struct timing *x = arg;
	struct series out = *s;
	out.nameless = true;
	for (size_t i = 0; i < x->e->grid.n; i++)
		if (!is_absent(s->v[i]))
			s->v[i] = (double)grid_at(&x->e->grid, i) / 1000;
	return x->fn(x->arg, &out);
}

static int nameless(void *arg, const struct series *s)
{
	struct timing *x = arg;
	struct series out = *s;
	out.nameless = true;
	return x->fn(x->arg, &out);
}

/* Of a selector the samples' own times, of all else the step's. */
static int v_timestamp(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct timing x = { e, fn, arg };
	if (n->args[0]->kind == NODE_SELECTOR)
		return eval_instant(e, n->args[0], true, nameless, &x);
	return eval_vector(e, n->args[0], at_its_time, &x);
}

/* The labels that the selector's equalities say, each name once. */
static struct labels said(struct eval *e, const struct node *sel)
{
	struct label *v = arena_new(e->arena, struct label, LABELS_MAX);
	size_t n = 0;
	for (size_t i = 0; sel->kind == NODE_SELECTOR && i < sel->matchers_len; i++) {
		const struct matcher *m = &sel->matchers[i];
		size_t same = 0;
		for (size_t k = 0; k < sel->matchers_len; k++)
			same += str_eq(sel->matchers[k].name, m->name);
		if (same == 1 && m->op == MATCHER_EQUAL && !str_eq(m->name, LABELS_NAME))
			v[n++] = (struct label){ m->name, m->value };
	}
	return labels_check(v, &n, SIZE_MAX, NULL) == 0 ? (struct labels){ v, n }
							: (struct labels){ 0 };
}

struct absence {
	struct eval *e;
	const struct node *n;
	double *v;
};

static int not_absent(void *arg, const struct series *s)
{
	struct absence *x = arg;
	for (size_t i = 0; i < x->e->grid.n; i++)
		if (!is_absent(s->v[i]))
			x->v[i] = sample_stale();
	return 0;
}

static int not_absent_over(void *arg, const struct ranged *r)
{
	struct absence *x = arg;
	const struct node *n = x->n->args[0];
	size_t k = 0;
	for (size_t i = 0; i < x->e->grid.n; i++) {
		int64_t at = eval_moment(x->e, n, i);
		while (k < r->len && r->v[k].t_ms <= at)
			k++;
		if (k && r->v[k - 1].t_ms > at - n->range_ms)
			x->v[i] = sample_stale();
	}
	return 0;
}

static int v_absent(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct absence x = { e, n, eval_numbers(e) };
	if (!x.v)
		return ERR_LIMIT;
	(void)constant(e, 1, x.v);
	int rc = n->args[0]->type == PROMQL_MATRIX ? eval_ranged(e, n->args[0], not_absent_over, &x)
						   : eval_vector(e, n->args[0], not_absent, &x);
	const struct series s = { .labels = said(e, n->args[0]), .v = x.v };
	return rc ? rc : fn(arg, &s);
}

/* ---- the table ---- */

static const struct function FUNCTIONS[] = {
	{ "abs", "v", PROMQL_VECTOR, .each = e_abs },
	{ "absent", "v", PROMQL_VECTOR, .vector = v_absent },
	{ "absent_over_time", "m", PROMQL_VECTOR, .vector = v_absent },
	{ "acos", "v", PROMQL_VECTOR, .each = e_acos },
	{ "acosh", "v", PROMQL_VECTOR, .each = e_acosh },
	{ "asin", "v", PROMQL_VECTOR, .each = e_asin },
	{ "asinh", "v", PROMQL_VECTOR, .each = e_asinh },
	{ "atan", "v", PROMQL_VECTOR, .each = e_atan },
	{ "atanh", "v", PROMQL_VECTOR, .each = e_atanh },
	{ "avg_over_time", "m", PROMQL_VECTOR, .window = window_avg },
	{ "ceil", "v", PROMQL_VECTOR, .each = e_ceil },
	{ "changes", "m", PROMQL_VECTOR, .window = window_changes },
	{ "clamp", "vss", PROMQL_VECTOR, .each = e_clamp },
	{ "clamp_max", "vs", PROMQL_VECTOR, .each = e_clamp_max },
	{ "clamp_min", "vs", PROMQL_VECTOR, .each = e_clamp_min },
	{ "cos", "v", PROMQL_VECTOR, .each = e_cos },
	{ "cosh", "v", PROMQL_VECTOR, .each = e_cosh },
	{ "count_over_time", "m", PROMQL_VECTOR, .window = window_count },
	{ "day_of_month", "?v", PROMQL_VECTOR, .each = e_day_of_month },
	{ "day_of_week", "?v", PROMQL_VECTOR, .each = e_day_of_week },
	{ "day_of_year", "?v", PROMQL_VECTOR, .each = e_day_of_year },
	{ "days_in_month", "?v", PROMQL_VECTOR, .each = e_days_in_month },
	{ "deg", "v", PROMQL_VECTOR, .each = e_deg },
	{ "delta", "m", PROMQL_VECTOR, .window = window_delta },
	{ "deriv", "m", PROMQL_VECTOR, .window = window_deriv },
	{ "double_exponential_smoothing", "mss", PROMQL_VECTOR, .window = window_smoothing },
	{ "end", "", PROMQL_SCALAR, .scalar = s_end },
	{ "exp", "v", PROMQL_VECTOR, .each = e_exp },
	{ "first_over_time", "m", PROMQL_VECTOR, .window = window_first, .keeps_name = true },
	{ "floor", "v", PROMQL_VECTOR, .each = e_floor },
	{ "histogram_fraction", "ssv", PROMQL_VECTOR, .vector = function_histogram_fraction },
	{ "histogram_quantile", "sv", PROMQL_VECTOR, .vector = function_histogram_quantile },
	{ "hour", "?v", PROMQL_VECTOR, .each = e_hour },
	{ "idelta", "m", PROMQL_VECTOR, .window = window_idelta },
	{ "increase", "m", PROMQL_VECTOR, .window = window_increase },
	{ "irate", "m", PROMQL_VECTOR, .window = window_irate },
	{ "label_join", "vttT", PROMQL_VECTOR, .vector = function_label_join },
	{ "label_replace", "vtttt", PROMQL_VECTOR, .vector = function_label_replace },
	{ "last_over_time", "m", PROMQL_VECTOR, .window = window_last, .keeps_name = true },
	{ "ln", "v", PROMQL_VECTOR, .each = e_ln },
	{ "log10", "v", PROMQL_VECTOR, .each = e_log10 },
	{ "log2", "v", PROMQL_VECTOR, .each = e_log2 },
	{ "mad_over_time", "m", PROMQL_VECTOR, .window = window_mad },
	{ "max_of", "ss", PROMQL_SCALAR, .scalar = s_max_of },
	{ "max_over_time", "m", PROMQL_VECTOR, .window = window_max },
	{ "min_of", "ss", PROMQL_SCALAR, .scalar = s_min_of },
	{ "min_over_time", "m", PROMQL_VECTOR, .window = window_min },
	{ "minute", "?v", PROMQL_VECTOR, .each = e_minute },
	{ "month", "?v", PROMQL_VECTOR, .each = e_month },
	{ "pi", "", PROMQL_SCALAR, .scalar = s_pi },
	{ "predict_linear", "ms", PROMQL_VECTOR, .window = window_predict_linear },
	{ "present_over_time", "m", PROMQL_VECTOR, .window = window_present },
	{ "quantile_over_time", "sm", PROMQL_VECTOR, .window = window_quantile },
	{ "rad", "v", PROMQL_VECTOR, .each = e_rad },
	{ "range", "", PROMQL_SCALAR, .scalar = s_range },
	{ "rate", "m", PROMQL_VECTOR, .window = window_rate },
	{ "resets", "m", PROMQL_VECTOR, .window = window_resets },
	{ "round", "v?s", PROMQL_VECTOR, .each = e_round },
	{ "scalar", "v", PROMQL_SCALAR, .scalar = s_scalar },
	{ "sgn", "v", PROMQL_VECTOR, .each = e_sgn },
	{ "sin", "v", PROMQL_VECTOR, .each = e_sin },
	{ "sinh", "v", PROMQL_VECTOR, .each = e_sinh },
	{ "sort", "v", PROMQL_VECTOR, .vector = function_sort },
	{ "sort_by_label", "vT", PROMQL_VECTOR, .vector = function_sort_by_label },
	{ "sort_by_label_desc", "vT", PROMQL_VECTOR, .vector = function_sort_by_label_desc },
	{ "sort_desc", "v", PROMQL_VECTOR, .vector = function_sort_desc },
	{ "sqrt", "v", PROMQL_VECTOR, .each = e_sqrt },
	{ "start", "", PROMQL_SCALAR, .scalar = s_start },
	{ "stddev_over_time", "m", PROMQL_VECTOR, .window = window_stddev },
	{ "stdvar_over_time", "m", PROMQL_VECTOR, .window = window_stdvar },
	{ "step", "", PROMQL_SCALAR, .scalar = s_step },
	{ "sum_over_time", "m", PROMQL_VECTOR, .window = window_sum },
	{ "tan", "v", PROMQL_VECTOR, .each = e_tan },
	{ "tanh", "v", PROMQL_VECTOR, .each = e_tanh },
	{ "time", "", PROMQL_SCALAR, .scalar = s_time },
	{ "timestamp", "v", PROMQL_VECTOR, .vector = v_timestamp },
	{ "ts_of_first_over_time", "m", PROMQL_VECTOR, .window = window_ts_of_first },
	{ "ts_of_last_over_time", "m", PROMQL_VECTOR, .window = window_ts_of_last },
	{ "ts_of_max_over_time", "m", PROMQL_VECTOR, .window = window_ts_of_max },
	{ "ts_of_min_over_time", "m", PROMQL_VECTOR, .window = window_ts_of_min },
	{ "vector", "s", PROMQL_VECTOR, .vector = v_vector },
	{ "year", "?v", PROMQL_VECTOR, .each = e_year },
};

const struct function *function_find(struct str name)
{
	for (size_t i = 0; i < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]); i++)
		if (str_is(name, FUNCTIONS[i].name))
			return &FUNCTIONS[i];
	return NULL;
}

/* ---- calls ---- */

enum { SCALARS_MAX = 3 };

struct calling {
	struct eval *e;
	const struct node *n, *ranged;
	double *scalars[SCALARS_MAX];
	size_t scalars_len;
	uint32_t *resets;
	double *scratch, *v;
	size_t cap;
	bool noted;
	series_fn fn;
	void *arg;
};

static void scalars_at(const struct calling *x, size_t i, double *s)
{
	for (size_t k = 0; k < x->scalars_len; k++)
		s[k] = x->scalars[k][i];
}

static int call_each(void *arg, const struct series *s)
{
	struct calling *x = arg;
	double scalars[SCALARS_MAX] = { 1, 1, 1 };
	struct series out = *s;
	out.nameless = true;
	for (size_t i = 0; i < x->e->grid.n; i++) {
		if (is_absent(s->v[i]))
			continue;
		scalars_at(x, i, scalars);
		s->v[i] = x->n->func->each(s->v[i], scalars);
	}
	return x->fn(x->arg, &out);
}

static void note_counter(struct calling *x, const struct ranged *r)
{
	struct str name = labels_get(r->labels, LABELS_NAME);
	bool rate = x->n->func->window == window_rate || x->n->func->window == window_increase;
	bool first = !x->noted;
	x->noted = true;
	if (!rate || !first || !name.len || str_ends(name, STR("_total")) ||
	    str_ends(name, STR("_sum")) || str_ends(name, STR("_count")) ||
	    str_ends(name, STR("_bucket")))
		return;
	eval_note(x->e, false, x->ranged,
		  "metric might not be a counter, name does not end in "
		  "_total/_sum/_count/_bucket: \"%.*s\"",
		  STR_ARG(name));
}

/* What holds for a whole series: room, and where counters were reset. */
static void prepare(struct calling *x, const struct ranged *r)
{
	if (r->len > x->cap) {
		x->cap = r->len * 2;
		x->resets = arena_new(x->e->arena, uint32_t, x->cap);
		x->scratch = arena_new(x->e->arena, double, x->cap);
	}
	uint32_t resets = 0;
	x->resets[0] = 0;
	for (size_t i = 1; i < r->len; i++) {
		resets += r->v[i].v < r->v[i - 1].v;
		x->resets[i] = resets;
	}
}

static int call_window(void *arg, const struct ranged *r)
{
	struct calling *x = arg;
	struct eval *e = x->e;
	double scalars[SCALARS_MAX] = { 0 };
	double (*const fn)(const struct window *, const double *) = x->n->func->window;
	size_t from = 0, to = 0;
	bool some = false;
	note_counter(x, r);
	prepare(x, r);
	struct rate_memo memo = { 0 };
	struct window w = { .range_ms = x->ranged->range_ms, .scratch = x->scratch, .memo = &memo };
	const int64_t step = x->ranged->at ? 0 : e->grid.step_ms;
	int64_t at = eval_moment(e, x->ranged, 0);
	for (size_t i = 0; i < e->grid.n; i++, at += step) {
		while (to < r->len && r->v[to].t_ms <= at)
			to++;
		while (from < to && r->v[from].t_ms <= at - w.range_ms)
			from++;
		x->v[i] = sample_stale();
		if (from == to)
			continue;
		w.v = r->v + from;
		w.n = to - from;
		w.resets = x->resets + from;
		w.from_ms = at - w.range_ms;
		w.to_ms = at;
		w.at_ms = grid_at(&e->grid, i);
		scalars_at(x, i, scalars);
		x->v[i] = fn(&w, scalars);
		some |= !is_absent(x->v[i]);
	}
	const struct series out = { .labels = r->labels,
				    .nameless = r->nameless || !x->n->func->keeps_name,
				    .v = x->v };
	int rc = eval_work(e, e->grid.n);
	return rc || !some ? rc : x->fn(x->arg, &out);
}

static int read_scalars(struct calling *x)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < x->n->args_len; i++) {
		if (x->n->args[i]->type != PROMQL_SCALAR)
			continue;
		double *v = eval_numbers(x->e);
		x->scalars[x->scalars_len++] = v;
		rc = v ? eval_scalar(x->e, x->n->args[i], v) : ERR_LIMIT;
	}
	return rc;
}

static const struct node *argument(const struct node *n, enum promql_type type)
{
	for (size_t i = 0; i < n->args_len; i++)
		if (n->args[i]->type == type)
			return n->args[i];
	return NULL;
}

/* Functions of dates without an argument: of now. */
static int call_now(struct calling *x)
{
	struct series s = { .v = eval_numbers(x->e) };
	if (!s.v)
		return ERR_LIMIT;
	(void)s_time(x->e, x->n, s.v);
	return call_each(x, &s);
}

static int check_parameters(struct calling *x)
{
	struct eval *e = x->e;
	const double *q = x->scalars[0];
	for (size_t i = 0; i < e->grid.n; i++) {
		if (x->n->func->window == window_quantile && !(q[i] >= 0 && q[i] <= 1))
			eval_note(e, true, x->n->args[0],
				  "quantile value should be between 0 and 1, got %g", q[i]);
		if (x->n->func->window != window_smoothing)
			continue;
		for (size_t k = 0; k < 2; k++)
			if (!(x->scalars[k][i] > 0 && x->scalars[k][i] < 1))
				return error_set(e->err, ERR_INVALID,
						 "invalid %s factor. Expected: 0 < %s < 1, got: %f",
						 k ? "trend" : "smoothing", k ? "tf" : "sf",
						 x->scalars[k][i]);
	}
	return 0;
}

int eval_call(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct calling x = { .e = e, .n = n, .fn = fn, .arg = arg };
	if (n->func->vector)
		return n->func->vector(e, n, fn, arg);
	int rc = read_scalars(&x);
	if (!rc && x.scalars_len && n->func->window)
		rc = check_parameters(&x);
	if (rc)
		return rc;
	if (n->func->each && !n->args_len)
		return call_now(&x);
	if (n->func->each)
		return eval_vector(e, argument(n, PROMQL_VECTOR), call_each, &x);
	x.ranged = argument(n, PROMQL_MATRIX);
	x.v = eval_numbers(e);
	return x.v ? eval_ranged(e, x.ranged, call_window, &x) : ERR_LIMIT;
}
