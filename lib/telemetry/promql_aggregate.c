#include "base/mem.h"
#include "telemetry/promql_priv.h"

#include <math.h>

/* One group of the result. */
struct group {
	struct labels labels;
	double sum, low; /* Neumaier's summation: sum and what was lost of it */
	double least, most;
	double mean, square; /* Welford's: of the deviations */
	size_t n;
	struct promql_point **members; /* topk, bottomk, quantile */
	size_t members_len, members_cap;
};

struct groups {
	struct map by_key;
	struct group **list;
	size_t len, cap;
	struct buf key;
};

static struct group *group_of(struct eval *e, const struct node *n, struct groups *g,
			      struct labels l)
{
	struct labels own = n->on ? labels_only(e->arena, l, &n->labels)
				  : labels_without(e->arena, l, &n->labels);
	buf_clear(&g->key);
	labels_key(own, &g->key);
	struct group *x = map_get(&g->by_key, buf_str(&g->key));
	if (x)
		return x;
	x = arena_new(e->arena, struct group, 1);
	x->labels = own;
	(void)map_set(&g->by_key, buf_str(&g->key), x);
	mem_grow(g->list, g->len, g->cap);
	g->list[g->len++] = x;
	return x;
}

static void add_sum(struct group *g, double v)
{
	double t = g->sum + v;
	if (isinf(t))
		g->low = 0;
	else if (fabs(g->sum) >= fabs(v))
		g->low += (g->sum - t) + v;
	else
		g->low += (v - t) + g->sum;
	g->sum = t;
}

static void add(struct group *g, double v)
{
	if (g->n++ == 0) {
		g->least = g->most = v;
	} else {
		if (v < g->least || isnan(g->least))
			g->least = v;
		if (v > g->most || isnan(g->most))
			g->most = v;
	}
	add_sum(g, v);
	double d = v - g->mean;
	g->mean += d / (double)g->n;
	g->square += d * (v - g->mean);
}

static double average(const struct group *g)
{
	double x = (g->sum + g->low) / (double)g->n;
	/* The sum of large numbers overflows where their mean does not. */
	return isfinite(x) || !isfinite(g->mean) ? x : g->mean;
}

static double result(const struct node *n, const struct group *g)
{
	switch (n->agg) {
	case AGG_SUM:
		return g->sum + g->low;
	case AGG_AVG:
		return average(g);
	case AGG_COUNT:
		return (double)g->n;
	case AGG_MIN:
		return g->least;
	case AGG_MAX:
		return g->most;
	case AGG_STDDEV:
		return sqrt(g->square / (double)g->n);
	case AGG_STDVAR:
		return g->square / (double)g->n;
	case AGG_GROUP:
	case AGG_TOPK:
	case AGG_BOTTOMK:
	case AGG_QUANTILE:
	case AGG_COUNT_VALUES:
	default:
		return 1;
	}
}

/* ---- with all members ---- */

static int ascending(const void *a, const void *b)
{
	double x = (*(struct promql_point *const *)a)->v, y = (*(struct promql_point *const *)b)->v;
	if (isnan(x) || isnan(y))
		return isnan(y) - isnan(x); /* NaN is the least */
	return x < y ? -1 : x > y;
}

static int best_first(const void *a, const void *b)
{
	double x = (*(struct promql_point *const *)a)->v, y = (*(struct promql_point *const *)b)->v;
	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y); /* NaN comes last */
	return x > y ? -1 : x < y;
}

static int least_first(const void *a, const void *b)
{
	double x = (*(struct promql_point *const *)a)->v, y = (*(struct promql_point *const *)b)->v;
	if (isnan(x) || isnan(y))
		return isnan(x) - isnan(y);
	return x < y ? -1 : x > y;
}

static void take_k(struct eval *e, const struct node *n, struct group *g, double k,
		   struct value *ret)
{
	size_t want = k < 1 ? 0 : k > (double)g->members_len ? g->members_len : (size_t)k;
	qsort(g->members, g->members_len, sizeof(struct promql_point *),
	      n->agg == AGG_TOPK ? best_first : least_first);
	for (size_t i = 0; i < want; i++)
		(void)value_add(e, ret, g->members[i]->labels, g->members[i]->v);
}

static double quantile(struct group *g, double q)
{
	if (isnan(q))
		return (double)NAN;
	if (q < 0)
		return -(double)INFINITY;
	if (q > 1)
		return (double)INFINITY;
	qsort(g->members, g->members_len, sizeof(struct promql_point *), ascending);
	double rank = q * (double)(g->members_len - 1);
	size_t lower = (size_t)floor(rank);
	size_t upper = lower + 1 < g->members_len ? lower + 1 : lower;
	double weight = rank - floor(rank);
	return g->members[lower]->v * (1 - weight) + g->members[upper]->v * weight;
}

static void add_member(struct group *g, struct promql_point *p)
{
	mem_grow(g->members, g->members_len, g->members_cap);
	g->members[g->members_len++] = p;
}

/* ---- count_values ---- */

static struct labels with_value(struct eval *e, const struct node *n, const struct promql_point *p)
{
	struct labels own = n->on ? labels_only(e->arena, p->labels, &n->labels)
				  : labels_without(e->arena, p->labels, &n->labels);
	struct label *v = arena_new(e->arena, struct label, own.len + 1);
	struct buf text = { 0 };
	size_t len = 0;
	for (size_t i = 0; i < own.len; i++)
		if (!str_eq(own.v[i].name, n->args[0]->string))
			v[len++] = own.v[i];
	promql_write_number(&text, p->v);
	v[len++] = (struct label){ n->args[0]->string, arena_str(e->arena, buf_str(&text)) };
	buf_fini(&text);
	if (labels_check(v, &len, SIZE_MAX, NULL) != 0)
		return own;
	return (struct labels){ v, len };
}

static void count_values(struct eval *e, const struct node *n, const struct value *in,
			 struct value *ret)
{
	struct map by_key = { 0 };
	struct buf key = { 0 };
	for (size_t i = 0; i < in->len; i++) {
		struct labels l = with_value(e, n, &in->v[i]);
		buf_clear(&key);
		labels_key(l, &key);
		size_t at = (size_t)(uintptr_t)map_get(&by_key, buf_str(&key));
		if (at) {
			ret->v[at - 1].v++;
			continue;
		}
		(void)value_add(e, ret, l, 1);
		(void)map_set(&by_key, buf_str(&key), (void *)(uintptr_t)ret->len);
	}
	map_fini(&by_key);
	buf_fini(&key);
}

static void finish(struct eval *e, const struct node *n, double parameter, struct groups *g,
		   struct value *ret)
{
	for (size_t i = 0; i < g->len; i++) {
		struct group *x = g->list[i];
		if (n->agg == AGG_TOPK || n->agg == AGG_BOTTOMK)
			take_k(e, n, x, parameter, ret);
		else if (n->agg == AGG_QUANTILE)
			(void)value_add(e, ret, x->labels, quantile(x, parameter));
		else
			(void)value_add(e, ret, x->labels, result(n, x));
		mem_free(x->members);
	}
	ret->ordered = n->agg == AGG_TOPK || n->agg == AGG_BOTTOMK;
}

int eval_aggregate(struct eval *e, const struct node *n, struct value *ret)
{
	struct value in, parameter = { 0 };
	struct groups g = { 0 };
	int rc = eval_node(e, n->args[n->args_len - 1], &in);
	if (!rc && n->args_len == 2)
		rc = eval_node(e, n->args[0], &parameter);
	if (!rc)
		rc = eval_check(e);
	if (rc)
		return rc;
	if (n->agg == AGG_COUNT_VALUES) {
		count_values(e, n, &in, ret);
		return 0;
	}
	if ((n->agg == AGG_TOPK || n->agg == AGG_BOTTOMK) && isnan(parameter.scalar))
		return error_set(e->err, ERR_INVALID, "Parameter value is NaN");
	bool members = n->agg == AGG_TOPK || n->agg == AGG_BOTTOMK || n->agg == AGG_QUANTILE;
	for (size_t i = 0; i < in.len; i++) {
		struct group *x = group_of(e, n, &g, in.v[i].labels);
		if (members)
			add_member(x, &in.v[i]);
		else
			add(x, in.v[i].v);
	}
	finish(e, n, parameter.scalar, &g, ret);
	map_fini(&g.by_key);
	mem_free(g.list);
	buf_fini(&g.key);
	return 0;
}
