/* The functions, one row each; https://prometheus.io/docs/prometheus/latest/querying/functions/ says what they mean. */
#include "telemetry/promql_priv.h"

#include <math.h>
#include <stdlib.h>

typedef double (*number_fn)(double v);
typedef bool (*range_fn)(const struct promql_point *p, double *ret);

/* ---- of each number ---- */

static int each(struct eval *e, const struct value *in, number_fn fn, struct value *ret)
{
	for (size_t i = 0; i < in->len; i++)
		(void)value_add(e, ret, labels_nameless(e->arena, in->v[i].labels), fn(in->v[i].v));
	return 0;
}

#define EACH(name, fn) \
	static int f_##name(struct eval *e, const struct node *n, struct value *args, \
			    struct value *ret) \
	{ \
		(void)n; \
		return each(e, &args[0], (fn), ret); \
	}

static double sign(double v)
{
	return isnan(v) ? v : (double)((v > 0) - (v < 0));
}

EACH(abs, fabs)
EACH(ceil, ceil)
EACH(floor, floor)
EACH(exp, exp)
EACH(ln, log)
EACH(log2, log2)
EACH(log10, log10)
EACH(sqrt, sqrt)
EACH(sgn, sign)

static int f_round(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	/* Up at the half, and a multiple of `to` by its inverse: 0.1 * 3 is not 0.3. */
	double inverse = 1 / (n->args_len > 1 ? args[1].scalar : 1);
	for (size_t i = 0; i < args[0].len; i++)
		(void)value_add(e, ret, labels_nameless(e->arena, args[0].v[i].labels),
				floor(args[0].v[i].v * inverse + 0.5) / inverse);
	return 0;
}

static int clamp(struct eval *e, const struct value *in, double low, double high, struct value *ret)
{
	if (low > high)
		return 0;
	for (size_t i = 0; i < in->len; i++) {
		double v = in->v[i].v;
		if (isnan(low) || isnan(high))
			v = (double)NAN;
		v = v < low ? low : v > high ? high : v;
		(void)value_add(e, ret, labels_nameless(e->arena, in->v[i].labels), v);
	}
	return 0;
}

static int f_clamp(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)n;
	return clamp(e, &args[0], args[1].scalar, args[2].scalar, ret);
}

static int f_clamp_min(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)n;
	return clamp(e, &args[0], args[1].scalar, (double)INFINITY, ret);
}

static int f_clamp_max(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)n;
	return clamp(e, &args[0], -(double)INFINITY, args[1].scalar, ret);
}

/* ---- scalars and vectors ---- */

static int f_time(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)n;
	(void)args;
	ret->scalar = (double)e->time_ms / 1000;
	return 0;
}

static int f_vector(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)n;
	(void)value_add(e, ret, (struct labels){ 0 }, args[0].scalar);
	return 0;
}

static int f_scalar(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)e;
	(void)n;
	ret->scalar = args[0].len == 1 ? args[0].v[0].v : (double)NAN;
	return 0;
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

static int f_absent(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	if (!args[0].len)
		(void)value_add(e, ret, said(e, n->args[0]), 1);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = ((const struct promql_point *)a)->v, y = ((const struct promql_point *)b)->v;
	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return x < y ? -1 : x > y;
}

static int by_value_desc(const void *a, const void *b)
{
	double x = ((const struct promql_point *)a)->v, y = ((const struct promql_point *)b)->v;
	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return x > y ? -1 : x < y;
}

static int sorted(struct value *in, int (*cmp)(const void *, const void *), struct value *ret)
{
	*ret = *in;
	ret->ordered = true;
	if (ret->len)
		qsort(ret->v, ret->len, sizeof(*ret->v), cmp);
	return 0;
}

static int f_sort(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)e;
	(void)n;
	return sorted(&args[0], by_value, ret);
}

static int f_sort_desc(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)e;
	(void)n;
	return sorted(&args[0], by_value_desc, ret);
}

/* ---- of a range ---- */

static int over(struct eval *e, const struct value *in, range_fn fn, struct value *ret)
{
	for (size_t i = 0; i < in->len; i++) {
		double v = 0;
		if (fn(&in->v[i], &v))
			(void)value_add(e, ret, labels_nameless(e->arena, in->v[i].labels), v);
	}
	return 0;
}

#define OVER(name) \
	static int f_##name(struct eval *e, const struct node *n, struct value *args, \
			    struct value *ret) \
	{ \
		(void)n; \
		return over(e, &args[0], r_##name, ret); \
	}

static bool r_sum(const struct promql_point *p, double *ret)
{
	double sum = 0, low = 0;
	for (size_t i = 0; i < p->samples_len; i++) {
		double v = p->samples[i].v, t = sum + v;
		if (isinf(t))
			low = 0;
		else
			low += fabs(sum) >= fabs(v) ? (sum - t) + v : (v - t) + sum;
		sum = t;
	}
	*ret = sum + low;
	return true;
}

static bool r_count(const struct promql_point *p, double *ret)
{
	*ret = (double)p->samples_len;
	return true;
}

static bool r_avg(const struct promql_point *p, double *ret)
{
	double mean = 0;
	for (size_t i = 0; i < p->samples_len; i++)
		mean += (p->samples[i].v - mean) / (double)(i + 1);
	(void)r_sum(p, ret);
	*ret /= (double)p->samples_len;
	*ret = isfinite(*ret) || !isfinite(mean) ? *ret : mean;
	return true;
}

static bool r_min(const struct promql_point *p, double *ret)
{
	*ret = p->samples[0].v;
	for (size_t i = 1; i < p->samples_len; i++)
		if (p->samples[i].v < *ret || isnan(*ret))
			*ret = p->samples[i].v;
	return true;
}

static bool r_max(const struct promql_point *p, double *ret)
{
	*ret = p->samples[0].v;
	for (size_t i = 1; i < p->samples_len; i++)
		if (p->samples[i].v > *ret || isnan(*ret))
			*ret = p->samples[i].v;
	return true;
}

static bool r_last(const struct promql_point *p, double *ret)
{
	*ret = p->samples[p->samples_len - 1].v;
	return true;
}

static bool r_present(const struct promql_point *p, double *ret)
{
	(void)p;
	*ret = 1;
	return true;
}

static bool r_changes(const struct promql_point *p, double *ret)
{
	*ret = 0;
	for (size_t i = 1; i < p->samples_len; i++) {
		double a = p->samples[i - 1].v, b = p->samples[i].v;
		*ret += a != b && !(isnan(a) && isnan(b));
	}
	return true;
}

static bool r_resets(const struct promql_point *p, double *ret)
{
	*ret = 0;
	for (size_t i = 1; i < p->samples_len; i++)
		*ret += p->samples[i].v < p->samples[i - 1].v;
	return true;
}

static bool r_irate(const struct promql_point *p, double *ret)
{
	if (p->samples_len < 2)
		return false;
	const struct sample *a = &p->samples[p->samples_len - 2], *b = a + 1;
	if (b->t_ms == a->t_ms)
		return false;
	*ret = (b->v < a->v ? b->v : b->v - a->v) * 1000 / (double)(b->t_ms - a->t_ms);
	return true;
}

static bool r_idelta(const struct promql_point *p, double *ret)
{
	if (p->samples_len < 2)
		return false;
	*ret = p->samples[p->samples_len - 1].v - p->samples[p->samples_len - 2].v;
	return true;
}

OVER(sum)
OVER(count)
OVER(avg)
OVER(min)
OVER(max)
OVER(present)
OVER(changes)
OVER(resets)
OVER(irate)
OVER(idelta)

static int f_last(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	(void)n;
	for (size_t i = 0; i < args[0].len; i++) {
		double v = 0;
		(void)r_last(&args[0].v[i], &v);
		(void)value_add(e, ret, args[0].v[i].labels, v); /* the one that keeps the name */
	}
	return 0;
}

enum { RATE_COUNTER = 1, RATE_PER_SECOND = 2 };

/* The part of the range that the samples do not reach, as Prometheus fills it: half a step at most at each end. */
static double extrapolation(const struct promql_point *p, int64_t from_ms, int64_t to_ms,
			    double increase, bool counter)
{
	const struct sample *first = &p->samples[0], *last = &p->samples[p->samples_len - 1];
	double before = (double)(first->t_ms - from_ms) / 1000;
	double behind = (double)(to_ms - last->t_ms) / 1000;
	double covered = (double)(last->t_ms - first->t_ms) / 1000;
	double step = covered / (double)(p->samples_len - 1);
	double most = step * 1.1;
	if (before >= most)
		before = step / 2;
	if (counter && increase > 0 && first->v >= 0) {
		/* A counter cannot have been below zero. */
		double to_zero = covered * (first->v / increase);
		before = to_zero < before ? to_zero : before;
	}
	if (behind >= most)
		behind = step / 2;
	return (covered + before + behind) / covered;
}

static int extrapolated(struct eval *e, const struct node *n, const struct value *in,
			unsigned flags, struct value *ret)
{
	const struct node *range = n->args[0];
	int64_t to = e->time_ms - range->offset_ms, from = to - range->range_ms;
	for (size_t i = 0; i < in->len; i++) {
		const struct promql_point *p = &in->v[i];
		if (p->samples_len < 2)
			continue;
		double d = p->samples[p->samples_len - 1].v - p->samples[0].v;
		for (size_t k = 1; (flags & RATE_COUNTER) && k < p->samples_len; k++)
			if (p->samples[k].v < p->samples[k - 1].v)
				d += p->samples[k - 1].v;
		d *= extrapolation(p, from, to, d, flags & RATE_COUNTER);
		if (flags & RATE_PER_SECOND)
			d /= (double)range->range_ms / 1000;
		(void)value_add(e, ret, labels_nameless(e->arena, p->labels), d);
	}
	return 0;
}

static int f_rate(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	return extrapolated(e, n, &args[0], RATE_COUNTER | RATE_PER_SECOND, ret);
}

static int f_increase(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	return extrapolated(e, n, &args[0], RATE_COUNTER, ret);
}

static int f_delta(struct eval *e, const struct node *n, struct value *args, struct value *ret)
{
	return extrapolated(e, n, &args[0], 0, ret);
}

static const struct function FUNCTIONS[] = {
	{ "abs", "v", PROMQL_VECTOR, f_abs },
	{ "absent", "v", PROMQL_VECTOR, f_absent },
	{ "absent_over_time", "m", PROMQL_VECTOR, f_absent },
	{ "avg_over_time", "m", PROMQL_VECTOR, f_avg },
	{ "ceil", "v", PROMQL_VECTOR, f_ceil },
	{ "changes", "m", PROMQL_VECTOR, f_changes },
	{ "clamp", "vss", PROMQL_VECTOR, f_clamp },
	{ "clamp_max", "vs", PROMQL_VECTOR, f_clamp_max },
	{ "clamp_min", "vs", PROMQL_VECTOR, f_clamp_min },
	{ "count_over_time", "m", PROMQL_VECTOR, f_count },
	{ "delta", "m", PROMQL_VECTOR, f_delta },
	{ "exp", "v", PROMQL_VECTOR, f_exp },
	{ "floor", "v", PROMQL_VECTOR, f_floor },
	{ "idelta", "m", PROMQL_VECTOR, f_idelta },
	{ "increase", "m", PROMQL_VECTOR, f_increase },
	{ "irate", "m", PROMQL_VECTOR, f_irate },
	{ "last_over_time", "m", PROMQL_VECTOR, f_last },
	{ "ln", "v", PROMQL_VECTOR, f_ln },
	{ "log10", "v", PROMQL_VECTOR, f_log10 },
	{ "log2", "v", PROMQL_VECTOR, f_log2 },
	{ "max_over_time", "m", PROMQL_VECTOR, f_max },
	{ "min_over_time", "m", PROMQL_VECTOR, f_min },
	{ "present_over_time", "m", PROMQL_VECTOR, f_present },
	{ "rate", "m", PROMQL_VECTOR, f_rate },
	{ "resets", "m", PROMQL_VECTOR, f_resets },
	{ "round", "v?s", PROMQL_VECTOR, f_round },
	{ "scalar", "v", PROMQL_SCALAR, f_scalar },
	{ "sgn", "v", PROMQL_VECTOR, f_sgn },
	{ "sort", "v", PROMQL_VECTOR, f_sort },
	{ "sort_desc", "v", PROMQL_VECTOR, f_sort_desc },
	{ "sqrt", "v", PROMQL_VECTOR, f_sqrt },
	{ "sum_over_time", "m", PROMQL_VECTOR, f_sum },
	{ "time", "", PROMQL_SCALAR, f_time },
	{ "vector", "s", PROMQL_VECTOR, f_vector },
};

const struct function *function_find(struct str name)
{
	for (size_t i = 0; i < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]); i++)
		if (str_is(name, FUNCTIONS[i].name))
			return &FUNCTIONS[i];
	return NULL;
}
