/* Histograms of the classic kind: series of cumulative buckets with the label le. */
#include "base/mem.h"
#include "telemetry/promql_priv.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define BUCKET_LABEL STR("le")

struct bucket {
	double bound, count;
};

struct member {
	double bound;
	size_t series;
};

struct histogram {
	struct labels labels;
	struct member *v;
	size_t len, cap;
};

struct histograms {
	struct eval *e;
	const struct node *vector;
	struct collected all;
	struct map by_key;
	struct histogram **list;
	size_t len, cap, widest;
	struct buf key;
};

static bool bound_of(struct str s, double *ret)
{
	char text[64], *end = NULL;
	if (!s.len || s.len >= sizeof(text) || s.p[0] == ' ')
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	*ret = strtod(text, &end);
	return !*end;
}

/* The labels without le; the name stays to tell histograms apart. */
static struct labels without_bucket(struct arena *a, struct labels l)
{
	struct label *v = arena_new(a, struct label, l.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < l.len; i++)
		if (!str_eq(l.v[i].name, BUCKET_LABEL))
			v[n++] = l.v[i];
	return (struct labels){ v, n };
}

static int on_bucket(void *arg, const struct series *s)
{
	struct histograms *x = arg;
	struct eval *e = x->e;
	double bound = 0;
	struct str le = labels_get(s->labels, BUCKET_LABEL);
	if (!bound_of(le, &bound)) {
		struct str name = labels_get(s->labels, LABELS_NAME);
		eval_note(e, true, x->vector,
			  "bucket label \"le\" is missing or has a malformed value of \"%.*s\" for "
			  "metric name \"%.*s\"",
			  STR_ARG(le), STR_ARG(name));
		return 0;
	}
	struct labels l = without_bucket(e->arena, s->labels);
	buf_clear(&x->key);
	labels_key(l, &x->key);
	buf_addc(&x->key, '.');
	struct histogram *h = map_get(&x->by_key, buf_str(&x->key));
	if (!h) {
		h = arena_new(e->arena, struct histogram, 1);
		h->labels = l;
		(void)map_set(&x->by_key, buf_str(&x->key), h);
		mem_grow(x->list, x->len, x->cap);
		x->list[x->len++] = h;
	}
	int rc = eval_keep(e, &x->all, s);
	if (rc)
		return rc;
	mem_grow(h->v, h->len, h->cap);
	h->v[h->len++] = (struct member){ bound, x->all.len - 1 };
	x->widest = h->len > x->widest ? h->len : x->widest;
	return 0;
}

static int by_bound(const void *a, const void *b)
{
	double x = ((const struct member *)a)->bound, y = ((const struct member *)b)->bound;
	return x < y ? -1 : x > y;
}

/* The buckets that are there in a step, those with the same bound put together. */
static size_t buckets_at(const struct histograms *x, const struct histogram *h, size_t i,
			 struct bucket *out)
{
	size_t n = 0;
	for (size_t k = 0; k < h->len; k++) {
		double v = x->all.v[h->v[k].series].v[i];
		if (is_absent(v))
			continue;
		if (n && out[n - 1].bound == h->v[k].bound)
			out[n - 1].count += v;
		else
			out[n++] = (struct bucket){ h->v[k].bound, v };
	}
	return n;
}

static bool almost_equal(double a, double b)
{
	double sum = fabs(a) + fabs(b), difference = fabs(a - b);
	if (a == 0 || b == 0 || sum < DBL_MIN)
		return difference < 1e-12 * DBL_MIN;
	return difference / fmin(sum, DBL_MAX) < 1e-12;
}

/* Counts that fall are raised to those before; whether any had to be by more than rounding. */
static bool make_monotonic(struct bucket *b, size_t n)
{
	double before = b[0].count;
	bool forced = false;
	for (size_t i = 1; i < n; i++) {
		double now = b[i].count;
		if (now == before)
			continue;
		if (almost_equal(before, now) || now < before) {
			forced |= !almost_equal(before, now);
			b[i].count = before;
			continue;
		}
		before = now;
	}
	return forced;
}

static double quantile_of(double q, struct bucket *b, size_t n, bool *forced)
{
	if (isnan(q) || !n)
		return (double)NAN;
	if (q < 0 || q > 1)
		return q < 0 ? -(double)INFINITY : (double)INFINITY;
	if (!(isinf(b[n - 1].bound) && b[n - 1].bound > 0))
		return (double)NAN;
	*forced |= make_monotonic(b, n);
	double all = b[n - 1].count, rank = q * all;
	if (n < 2 || all == 0)
		return (double)NAN;
	size_t lo = 0, hi = n - 1;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (b[mid].count >= rank)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo == n - 1)
		return b[n - 2].bound;
	if (lo == 0 && b[0].bound <= 0)
		return b[0].bound;
	double start = lo ? b[lo - 1].bound : 0, count = b[lo].count;
	if (lo) {
		count -= b[lo - 1].count;
		rank -= b[lo - 1].count;
	}
	return start + (b[lo].bound - start) * (rank / count);
}

/* How many observations are below v; linear inside a bucket, none of the endless ones. */
static double rank_of(double v, const struct bucket *b, size_t n)
{
	double rank = 0;
	for (size_t i = 0; i < n; i++) {
		double low = i ? b[i - 1].bound : b[0].bound > 0 ? 0 : -(double)INFINITY;
		if (low >= v)
			return rank;
		if (b[i].bound > v)
			return isinf(low) ? b[i].count
					  : rank + (b[i].count - rank) * (v - low) /
							    (b[i].bound - low);
		rank = b[i].count;
	}
	return b[n - 1].count;
}

static double fraction_of(double lower, double upper, struct bucket *b, size_t n)
{
	if (!n || !(isinf(b[n - 1].bound) && b[n - 1].bound > 0))
		return (double)NAN;
	double all = b[n - 1].count;
	if (all == 0 || isnan(lower) || isnan(upper))
		return (double)NAN;
	if (lower >= upper)
		return 0;
	return (fmin(rank_of(upper, b, n), all) - fmin(rank_of(lower, b, n), all)) / all;
}

struct asked {
	bool fraction;
	double *first, *second;
};

static int emit_one(struct histograms *x, struct histogram *h, const struct asked *q,
		    struct bucket *b, struct series *s)
{
	bool forced = false, some = false;
	s->labels = h->labels;
	s->nameless = true;
	qsort(h->v, h->len, sizeof(*h->v), by_bound);
	for (size_t i = 0; i < x->e->grid.n; i++) {
		size_t n = buckets_at(x, h, i, b);
		s->v[i] = !n            ? sample_stale()
			  : q->fraction ? fraction_of(q->first[i], q->second[i], b, n)
					: quantile_of(q->first[i], b, n, &forced);
		some |= n > 0;
	}
	if (forced) {
		struct str name = labels_get(h->labels, LABELS_NAME);
		eval_note(x->e, false, x->vector,
			  "input to histogram_quantile needed to be fixed for monotonicity (see "
			  "https://prometheus.io/docs/prometheus/latest/querying/functions/"
			  "#histogram_quantile) for metric name \"%.*s\"",
			  STR_ARG(name));
	}
	int rc = eval_work(x->e, x->e->grid.n * h->len);
	return rc ? rc : some;
}

static int emit_all(struct histograms *x, const struct asked *q, series_fn fn, void *arg)
{
	struct series s = { .v = eval_numbers(x->e) };
	struct bucket *b = arena_new(x->e->arena, struct bucket, x->widest + 1);
	int rc = s.v ? 0 : ERR_LIMIT;
	for (size_t i = 0; rc >= 0 && i < x->len; i++) {
		rc = emit_one(x, x->list[i], q, b, &s);
		if (rc > 0)
			rc = fn(arg, &s);
	}
	return rc < 0 ? rc : 0;
}

static int run(struct eval *e, const struct node *vector, const struct asked *q, series_fn fn,
	       void *arg)
{
	struct histograms x = { .e = e, .vector = vector };
	int rc = eval_vector(e, vector, on_bucket, &x);
	if (!rc)
		rc = emit_all(&x, q, fn, arg);
	for (size_t i = 0; i < x.len; i++)
		mem_free(x.list[i]->v);
	mem_free(x.list);
	map_fini(&x.by_key);
	buf_fini(&x.key);
	return rc;
}

VECTOR_FUNCTION(histogram_quantile)
{
	struct asked q = { .first = eval_numbers(e) };
	int rc = q.first ? eval_scalar(e, n->args[0], q.first) : ERR_LIMIT;
	for (size_t i = 0; !rc && i < e->grid.n; i++)
		if (!(q.first[i] >= 0 && q.first[i] <= 1))
			eval_note(e, true, n->args[0],
				  "quantile value should be between 0 and 1, got %g", q.first[i]);
	return rc ? rc : run(e, n->args[1], &q, fn, arg);
}

VECTOR_FUNCTION(histogram_fraction)
{
	struct asked q = { .fraction = true, .first = eval_numbers(e), .second = eval_numbers(e) };
	int rc = q.first && q.second ? eval_scalar(e, n->args[0], q.first) : ERR_LIMIT;
	if (!rc)
		rc = eval_scalar(e, n->args[1], q.second);
	return rc ? rc : run(e, n->args[2], &q, fn, arg);
}
