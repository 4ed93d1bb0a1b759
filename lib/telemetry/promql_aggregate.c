#include "base/mem.h"
#include "telemetry/promql_priv.h"

#include <math.h>
#include <stdlib.h>

/* One group of the result; arrays have grid.n numbers. */
struct group {
	struct labels labels;
	bool nameless;
	double *a, *b, *c; /* as the operation needs them */
	uint32_t *n;       /* values so far */
	size_t *members;   /* of collected: topk … */
	size_t members_len, members_cap;
};

struct aggregation {
	struct eval *e;
	const struct node *n;
	double *parameter;
	struct map by_key;
	struct group **list;
	size_t len, cap;
	struct buf key;
	struct collected all; /* where all members are needed */
	series_fn fn;
	void *arg;
};

static struct group *group_new(struct aggregation *x, const struct series *s)
{
	struct eval *e = x->e;
	struct group *g = arena_new(e->arena, struct group, 1);
	g->labels = x->n->on ? labels_only(e->arena, s->labels, &x->n->labels)
			     : labels_without(e->arena, s->labels, &x->n->labels);
	g->nameless = s->nameless;
	if (eval_bytes(e, e->grid.n * (3 * sizeof(double) + sizeof(uint32_t))) != 0)
		return NULL;
	g->a = arena_new(e->arena, double, e->grid.n);
	g->b = arena_new(e->arena, double, e->grid.n);
	g->c = arena_new(e->arena, double, e->grid.n);
	g->n = arena_new(e->arena, uint32_t, e->grid.n);
	return g;
}

static struct group *group_of(struct aggregation *x, const struct series *s)
{
	labels_key_of(s->labels, x->n->on, &x->n->labels, &x->key);
	struct group *g = map_get(&x->by_key, buf_str(&x->key));
	if (g)
		return g;
	g = group_new(x, s);
	if (!g)
		return NULL;
	(void)map_set(&x->by_key, buf_str(&x->key), g);
	mem_grow(x->list, x->len, x->cap);
	x->list[x->len++] = g;
	return g;
}

/* ---- operations that take one value after the other ---- */

/* Neumaier's summation: a, and b what was lost of it. */
static inline void add_to(double *a, double *b, double v)
{
	double sum = *a, t = sum + v;
	if (__builtin_expect(isinf(t), 0))
		*b = 0;
	else if (fabs(sum) >= fabs(v))
		*b += (sum - t) + v;
	else
		*b += (v - t) + sum;
	*a = t;
}

static void add_sums(struct group *g, const double *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_absent(v[i]))
			continue;
		add_to(&g->a[i], &g->b[i], v[i]);
		g->n[i]++;
	}
}

/* As long as the sum is finite a sum (a, b); behind it a running mean (c, which the sum begins). */
static void add_means(struct group *g, const double *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_absent(v[i]))
			continue;
		double count = (double)++g->n[i], mean = g->c[i], x = v[i];
		add_to(&g->a[i], &g->b[i], x);
		if (count == 1)
			g->c[i] = x;
		else if (!isinf(mean) || (isinf(x) ? (mean > 0) != (x > 0) : isnan(x)))
			g->c[i] = mean * ((count - 1) / count) + x / count;
	}
}

static void add_extremes(struct group *g, const double *v, size_t n, bool most)
{
	for (size_t i = 0; i < n; i++) {
		if (is_absent(v[i]))
			continue;
		if (!g->n[i]++ || isnan(g->a[i]) || (most ? v[i] > g->a[i] : v[i] < g->a[i]))
			g->a[i] = v[i];
	}
}

static void add_counts(struct group *g, const double *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g->n[i] += !is_absent(v[i]);
}

/* Welford's: a the mean, c the squares of deviations. */
static void add_deviations(struct group *g, const double *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_absent(v[i]))
			continue;
		g->n[i]++;
		double d = v[i] - (g->a[i] + g->b[i]), low = 0;
		add_to(&g->a[i], &g->b[i], d / (double)g->n[i]);
		add_to(&g->c[i], &low, d * (v[i] - (g->a[i] + g->b[i])));
		g->c[i] += low;
	}
}

static int fold(void *arg, const struct series *s)
{
	struct aggregation *x = arg;
	size_t n = x->e->grid.n;
	struct group *g = group_of(x, s);
	if (!g)
		return ERR_LIMIT;
	switch (x->n->agg) {
	case AGG_SUM:
		add_sums(g, s->v, n);
		break;
	case AGG_AVG:
		add_means(g, s->v, n);
		break;
	case AGG_MIN:
	case AGG_MAX:
		add_extremes(g, s->v, n, x->n->agg == AGG_MAX);
		break;
	case AGG_STDDEV:
	case AGG_STDVAR:
		add_deviations(g, s->v, n);
		break;
	case AGG_COUNT:
	case AGG_GROUP:
	case AGG_TOPK:
	case AGG_BOTTOMK:
	case AGG_QUANTILE:
	case AGG_COUNT_VALUES:
	case AGG_LIMITK:
	case AGG_LIMIT_RATIO:
	default:
		add_counts(g, s->v, n);
		break;
	}
	return eval_work(x->e, n);
}

static double folded(enum aggregate_op op, const struct group *g, size_t i)
{
	double n = (double)g->n[i];
	switch (op) {
	case AGG_SUM:
		return isinf(g->a[i]) ? g->a[i] : g->a[i] + g->b[i];
	case AGG_AVG:
		return isinf(g->a[i]) || isinf(g->a[i] + g->b[i]) ? g->c[i]
								  : g->a[i] / n + g->b[i] / n;
	case AGG_COUNT:
	case AGG_COUNT_VALUES:
		return n;
	case AGG_STDDEV:
		return sqrt(g->c[i] / n);
	case AGG_STDVAR:
		return g->c[i] / n;
	case AGG_MIN:
	case AGG_MAX:
		return g->a[i];
	case AGG_GROUP:
	case AGG_TOPK:
	case AGG_BOTTOMK:
	case AGG_QUANTILE:
	case AGG_LIMITK:
	case AGG_LIMIT_RATIO:
	default:
		return 1;
	}
}

static int emit_groups(struct aggregation *x)
{
	int rc = 0;
	for (size_t k = 0; !rc && k < x->len; k++) {
		struct group *g = x->list[k];
		for (size_t i = 0; i < x->e->grid.n; i++)
			g->a[i] = g->n[i] ? folded(x->n->agg, g, i) : sample_stale();
		const struct series s = { g->labels, g->nameless, g->a };
		rc = x->fn(x->arg, &s);
	}
	return rc;
}

/* ---- operations that need all members ---- */

static int keep_member(void *arg, const struct series *s)
{
	struct aggregation *x = arg;
	struct group *g = group_of(x, s);
	int rc = g ? eval_keep(x->e, &x->all, s) : ERR_LIMIT;
	if (rc)
		return rc;
	mem_grow(g->members, g->members_len, g->members_cap);
	g->members[g->members_len++] = x->all.len - 1;
	return 0;
}

static void quantiles(struct aggregation *x, struct group *g, double *sorted)
{
	for (size_t i = 0; i < x->e->grid.n; i++) {
		size_t n = 0;
		for (size_t k = 0; k < g->members_len; k++) {
			double v = x->all.v[g->members[k]].v[i];
			if (!is_absent(v))
				sorted[n++] = v;
		}
		qsort(sorted, n, sizeof(*sorted), promql_by_number);
		g->a[i] = n ? promql_quantile(x->parameter[i], sorted, n) : sample_stale();
	}
}

static int emit_quantiles(struct aggregation *x)
{
	int rc = 0;
	double *sorted = arena_new(x->e->arena, double, x->all.len + 1);
	for (size_t i = 0; i < x->e->grid.n; i++)
		if (!(x->parameter[i] >= 0 && x->parameter[i] <= 1))
			eval_note(x->e, true, x->n->args[0],
				  "quantile value should be between 0 and 1, got %s",
				  isnan(x->parameter[i])
					  ? "NaN"
					  : arena_printf(x->e->arena, "%g", x->parameter[i]));
	for (size_t k = 0; !rc && k < x->len; k++) {
		struct group *g = x->list[k];
		quantiles(x, g, sorted);
		const struct series s = { g->labels, g->nameless, g->a };
		rc = eval_work(x->e, g->members_len * x->e->grid.n);
		rc = rc ? rc : x->fn(x->arg, &s);
	}
	return rc;
}

struct ranked {
	double v;
	size_t member;
};

static int best_first(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int c = isnan(x->v) || isnan(y->v) ? isnan(x->v) - isnan(y->v)
		: x->v != y->v             ? (x->v > y->v ? -1 : 1)
					   : 0;
	return c ? c : (x->member > y->member) - (x->member < y->member);
}

static int least_first(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int c = isnan(x->v) || isnan(y->v) ? isnan(x->v) - isnan(y->v)
		: x->v != y->v             ? (x->v < y->v ? -1 : 1)
					   : 0;
	return c ? c : (x->member > y->member) - (x->member < y->member);
}

static size_t how_many(double k, size_t n)
{
	return !(k >= 1) ? 0 : k >= (double)n ? n : (size_t)k;
}

/* limit_ratio: each series has a place in [0, 1) by its labels; a ratio below 0 takes the complement. */
static bool in_ratio(double ratio, struct labels l, struct buf *key)
{
	uint64_t h = 0xcbf29ce484222325ULL;
	static const struct names none = { NULL, 0 };
	labels_key_of(l, false, &none, key);
	for (size_t i = 0; i < key->len; i++)
		h = (h ^ (uint8_t)key->p[i]) * 0x100000001b3ULL;
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ULL;
	double at = (double)(h >> 11) / (double)(1ULL << 53);
	return ratio >= 0 ? at < ratio : at >= 1 + ratio;
}

/* Takes what is not among the chosen out of one step; the chosen first, in their order. */
static void choose(struct aggregation *x, struct group *g, size_t i, struct ranked *r)
{
	enum aggregate_op op = x->n->agg;
	size_t n = 0;
	for (size_t k = 0; k < g->members_len; k++) {
		double v = x->all.v[g->members[k]].v[i];
		if (!is_absent(v))
			r[n++] = (struct ranked){ v, g->members[k] };
	}
	size_t take = how_many(x->parameter[i], n);
	if ((op == AGG_TOPK || op == AGG_BOTTOMK) && n)
		qsort(r, n, sizeof(*r), op == AGG_TOPK ? best_first : least_first);
	for (size_t k = 0; k < n; k++) {
		struct series *s = &x->all.v[r[k].member];
		bool stays = op == AGG_LIMIT_RATIO ? in_ratio(x->parameter[i], s->labels, &x->key)
						   : k < take;
		if (!stays)
			s->v[i] = sample_stale();
	}
	if (x->e->grid.n > 1)
		return;
	for (size_t k = 0; k < n; k++)
		g->members[k] = r[k].member;
	g->members_len = n;
}

static int emit_chosen(struct aggregation *x)
{
	int rc = 0;
	struct ranked *r = arena_new(x->e->arena, struct ranked, x->all.len + 1);
	for (size_t k = 0; !rc && k < x->len; k++) {
		struct group *g = x->list[k];
		for (size_t i = 0; !rc && i < x->e->grid.n; i++) {
			choose(x, g, i, r);
			rc = eval_work(x->e, g->members_len);
		}
		for (size_t m = 0; !rc && m < g->members_len; m++)
			rc = x->fn(x->arg, &x->all.v[g->members[m]]);
	}
	x->e->ordered = true;
	return rc;
}

static int check_k(struct aggregation *x)
{
	for (size_t i = 0; i < x->e->grid.n; i++) {
		double v = x->parameter[i];
		if (isnan(v))
			return error_set(x->e->err, ERR_INVALID, "%s value is NaN",
					 x->n->agg == AGG_LIMIT_RATIO ? "Ratio" : "Parameter");
		if (x->n->agg != AGG_LIMIT_RATIO && !(fabs(v) < 9.2e18))
			return error_set(x->e->err, ERR_INVALID, "Scalar value %g %s int64", v,
					 v < 0 ? "underflows" : "overflows");
	}
	return 0;
}

/* ---- count_values ---- */

static struct labels with_value(struct aggregation *x, struct labels l, double value)
{
	struct eval *e = x->e;
	struct labels own = x->n->on ? labels_only(e->arena, l, &x->n->labels)
				     : labels_without(e->arena, l, &x->n->labels);
	struct label *v = arena_new(e->arena, struct label, own.len + 1);
	struct str name = x->n->args[0]->string;
	struct buf text = { 0 };
	size_t len = 0;
	for (size_t i = 0; i < own.len; i++)
		if (!str_eq(own.v[i].name, name))
			v[len++] = own.v[i];
	promql_write_number(&text, value);
	v[len++] = (struct label){ name, arena_str(e->arena, buf_str(&text)) };
	buf_fini(&text);
	if (labels_check(v, &len, SIZE_MAX, NULL) != 0)
		return own;
	return (struct labels){ v, len };
}

static int count_one(void *arg, const struct series *s)
{
	static const struct names none = { NULL, 0 };
	struct aggregation *x = arg;
	int rc = 0;
	double before = sample_stale();
	struct series as = *s;
	struct group *g = NULL;
	for (size_t i = 0; !rc && i < x->e->grid.n; i++) {
		if (is_absent(s->v[i]))
			continue;
		if (!g || sample_bits(before) != sample_bits(s->v[i])) {
			as.labels = with_value(x, s->labels, s->v[i]);
			labels_key_of(as.labels, false, &none, &x->key);
			g = map_get(&x->by_key, buf_str(&x->key));
		}
		before = s->v[i];
		if (!g) {
			g = group_new(x, &as);
			if (!g)
				return ERR_LIMIT;
			g->labels = as.labels;
			(void)map_set(&x->by_key, buf_str(&x->key), g);
			mem_grow(x->list, x->len, x->cap);
			x->list[x->len++] = g;
		}
		g->n[i]++;
		rc = eval_work(x->e, 1);
	}
	return rc;
}

static int run(struct aggregation *x)
{
	const struct node *in = x->n->args[x->n->args_len - 1];
	int rc = 0;
	switch (x->n->agg) {
	case AGG_TOPK:
	case AGG_BOTTOMK:
	case AGG_LIMITK:
	case AGG_LIMIT_RATIO:
		rc = check_k(x);
		rc = rc ? rc : eval_vector(x->e, in, keep_member, x);
		return rc ? rc : emit_chosen(x);
	case AGG_QUANTILE:
		rc = eval_vector(x->e, in, keep_member, x);
		return rc ? rc : emit_quantiles(x);
	case AGG_COUNT_VALUES:
		rc = eval_vector(x->e, in, count_one, x);
		break;
	case AGG_SUM:
	case AGG_AVG:
	case AGG_COUNT:
	case AGG_MIN:
	case AGG_MAX:
	case AGG_GROUP:
	case AGG_STDDEV:
	case AGG_STDVAR:
	default:
		rc = eval_vector(x->e, in, fold, x);
		break;
	}
	return rc ? rc : emit_groups(x);
}

int eval_aggregate(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct aggregation x = { .e = e, .n = n, .fn = fn, .arg = arg };
	int rc = 0;
	if (n->args_len == 2 && n->agg != AGG_COUNT_VALUES) {
		x.parameter = eval_numbers(e);
		rc = x.parameter ? eval_scalar(e, n->args[0], x.parameter) : ERR_LIMIT;
	}
	if (!rc)
		rc = run(&x);
	for (size_t k = 0; k < x.len; k++)
		mem_free(x.list[k]->members);
	map_fini(&x.by_key);
	mem_free(x.list);
	buf_fini(&x.key);
	return rc;
}
