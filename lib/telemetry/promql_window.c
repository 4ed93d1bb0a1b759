/* Functions of a range: one step's samples to one number, or none. */
#include "telemetry/promql_priv.h"

#include <math.h>
#include <stdlib.h>

static double none(void)
{
	return sample_stale();
}

/* ---- rates ---- */

/*
 * The part of the range that the samples do not reach, as Prometheus fills it: half a step at most at each end.
 * to_zero: seconds before the first sample at which a counter was zero, or more than that matters.
 */
static double extrapolation(const struct window *w, double to_zero)
{
	const struct sample *first = &w->v[0], *last = &w->v[w->n - 1];
	double before = (double)(first->t_ms - w->from_ms) / 1000;
	double behind = (double)(w->to_ms - last->t_ms) / 1000;
	double covered = (double)(last->t_ms - first->t_ms) / 1000;
	double step = covered / (double)(w->n - 1);
	double most = step * 1.1;
	if (before >= most)
		before = step / 2;
	before = to_zero < before ? to_zero : before;
	if (behind >= most)
		behind = step / 2;
	return (covered + before + behind) / covered;
}

/* The same, of a step like the one before. */
static double remembered(const struct window *w)
{
	struct rate_memo *m = w->memo;
	int64_t first = w->v[0].t_ms, last = w->v[w->n - 1].t_ms;
	if (m->n != w->n || m->before_ms != first - w->from_ms || m->covered_ms != last - first ||
	    m->behind_ms != w->to_ms - last)
		*m = (struct rate_memo){ w->n, first - w->from_ms, last - first, w->to_ms - last,
					 extrapolation(w, (double)INFINITY) };
	return m->factor;
}

static double extrapolated(const struct window *w, bool counter, bool per_second)
{
	if (w->n < 2)
		return none();
	double first = w->v[0].v, d = w->v[w->n - 1].v - first, factor = 0;
	if (counter && w->resets[0] != w->resets[w->n - 1])
		for (size_t i = 1; i < w->n; i++)
			if (w->v[i].v < w->v[i - 1].v)
				d += w->v[i - 1].v;
	if (counter && d > 0 && first >= 0 && first < d * 2) {
		/* A counter cannot have been below zero. */
		double covered = (double)(w->v[w->n - 1].t_ms - w->v[0].t_ms) / 1000;
		factor = extrapolation(w, covered * (first / d));
	} else {
		factor = remembered(w);
	}
	if (per_second)
		factor /= (double)w->range_ms / 1000;
	return d * factor;
}

WINDOW(rate)
{
	(void)s;
	return extrapolated(w, true, true);
}

WINDOW(increase)
{
	(void)s;
	return extrapolated(w, true, false);
}

WINDOW(delta)
{
	(void)s;
	return extrapolated(w, false, false);
}

WINDOW(irate)
{
	(void)s;
	if (w->n < 2)
		return none();
	const struct sample *a = &w->v[w->n - 2], *b = a + 1;
	return (b->v < a->v ? b->v : b->v - a->v) * 1000 / (double)(b->t_ms - a->t_ms);
}

WINDOW(idelta)
{
	(void)s;
	return w->n < 2 ? none() : w->v[w->n - 1].v - w->v[w->n - 2].v;
}

WINDOW(changes)
{
	double n = 0;
	(void)s;
	for (size_t i = 1; i < w->n; i++) {
		double a = w->v[i - 1].v, b = w->v[i].v;
		n += a != b && !(isnan(a) && isnan(b));
	}
	return n;
}

WINDOW(resets)
{
	(void)s;
	return (double)(w->resets[w->n - 1] - w->resets[0]);
}

/* ---- over time ---- */

/* Neumaier's summation: what is lost of the sum is kept aside. */
static void add(double *sum, double *low, double v)
{
	double t = *sum + v;
	if (isinf(t))
		*low = 0;
	else if (fabs(*sum) >= fabs(v))
		*low += (*sum - t) + v;
	else
		*low += (v - t) + *sum;
	*sum = t;
}

WINDOW(sum)
{
	double sum = 0, low = 0;
	(void)s;
	for (size_t i = 0; i < w->n; i++)
		add(&sum, &low, w->v[i].v);
	return isinf(sum) ? sum : sum + low;
}

/* Of numbers whose sum is beyond what a double holds. */
static double running_mean(const struct window *w)
{
	double mean = 0, low = 0;
	for (size_t i = 0; i < w->n; i++) {
		double v = w->v[i].v, n = (double)(i + 1);
		if (isinf(mean) && (isinf(v) ? (mean > 0) == (v > 0) : !isnan(v)))
			continue;
		double q = (n - 1) / n;
		low *= q;
		mean *= q;
		add(&mean, &low, v / n);
	}
	return isinf(mean) ? mean : mean + low;
}

WINDOW(avg)
{
	double sum = window_sum(w, s);
	return isinf(sum) ? running_mean(w) : sum / (double)w->n;
}

WINDOW(count)
{
	(void)s;
	return (double)w->n;
}

WINDOW(min)
{
	double v = w->v[0].v;
	(void)s;
	for (size_t i = 1; i < w->n; i++)
		if (w->v[i].v < v || isnan(v))
			v = w->v[i].v;
	return v;
}

WINDOW(max)
{
	double v = w->v[0].v;
	(void)s;
	for (size_t i = 1; i < w->n; i++)
		if (w->v[i].v > v || isnan(v))
			v = w->v[i].v;
	return v;
}

WINDOW(first)
{
	(void)s;
	return w->v[0].v;
}

WINDOW(last)
{
	(void)s;
	return w->v[w->n - 1].v;
}

WINDOW(present)
{
	(void)w;
	(void)s;
	return 1;
}

WINDOW(ts_of_first)
{
	(void)s;
	return (double)w->v[0].t_ms / 1000;
}

WINDOW(ts_of_last)
{
	(void)s;
	return (double)w->v[w->n - 1].t_ms / 1000;
}

/* The last of equal ones. */
static double ts_of(const struct window *w, double v)
{
	size_t best = 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].v == v || (isnan(v) && i == w->n - 1))
			best = i;
	return (double)w->v[best].t_ms / 1000;
}

WINDOW(ts_of_min)
{
	return ts_of(w, window_min(w, s));
}

WINDOW(ts_of_max)
{
	return ts_of(w, window_max(w, s));
}

/* Welford's, with the lost digits kept. */
WINDOW(stdvar)
{
	double n = 0, mean = 0, mean_low = 0, aux = 0, aux_low = 0;
	(void)s;
	for (size_t i = 0; i < w->n; i++) {
		double v = w->v[i].v;
		n++;
		double d = v - (mean + mean_low);
		add(&mean, &mean_low, d / n);
		add(&aux, &aux_low, d * (v - (mean + mean_low)));
	}
	return (aux + aux_low) / n;
}

WINDOW(stddev)
{
	return sqrt(window_stdvar(w, s));
}

int promql_by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	if (isnan(x) || isnan(y))
		return isnan(y) - isnan(x);
	return x < y ? -1 : x > y;
}

double promql_quantile(double q, const double *v, size_t n)
{
	if (!n || isnan(q))
		return (double)NAN;
	if (q < 0)
		return -(double)INFINITY;
	if (q > 1)
		return (double)INFINITY;
	double rank = q * (double)(n - 1);
	size_t lower = (size_t)floor(rank);
	size_t upper = lower + 1 < n ? lower + 1 : lower;
	double weight = rank - floor(rank);
	return v[lower] * (1 - weight) + v[upper] * weight;
}

static void sorted(const struct window *w)
{
	for (size_t i = 0; i < w->n; i++)
		w->scratch[i] = w->v[i].v;
	qsort(w->scratch, w->n, sizeof(double), promql_by_number);
}

WINDOW(quantile)
{
	sorted(w);
	return promql_quantile(s[0], w->scratch, w->n);
}

WINDOW(mad)
{
	(void)s;
	for (size_t i = 0; i < w->n; i++)
		if (isnan(w->v[i].v))
			return (double)NAN;
	sorted(w);
	double median = promql_quantile(0.5, w->scratch, w->n);
	for (size_t i = 0; i < w->n; i++)
		w->scratch[i] = fabs(w->v[i].v - median);
	qsort(w->scratch, w->n, sizeof(double), promql_by_number);
	return promql_quantile(0.5, w->scratch, w->n);
}

/* ---- lines through the samples ---- */

/* Least squares; x counts seconds from `at_ms`. */
static double slope(const struct window *w, int64_t at_ms, double *intercept)
{
	double n = 0, x_sum = 0, y_sum = 0, xy_sum = 0, xx_sum = 0;
	double x_low = 0, y_low = 0, xy_low = 0, xx_low = 0;
	bool constant = true;
	for (size_t i = 0; i < w->n; i++) {
		double x = (double)(w->v[i].t_ms - at_ms) / 1000, y = w->v[i].v;
		constant &= y == w->v[0].v;
		n++;
		add(&x_sum, &x_low, x);
		add(&y_sum, &y_low, y);
		add(&xy_sum, &xy_low, x * y);
		add(&xx_sum, &xx_low, x * x);
	}
	if (constant) {
		*intercept = isinf(w->v[0].v) ? (double)NAN : w->v[0].v;
		return isinf(w->v[0].v) ? (double)NAN : 0;
	}
	x_sum += x_low;
	y_sum += y_low;
	double cov = xy_sum + xy_low - x_sum * y_sum / n;
	double var = xx_sum + xx_low - x_sum * x_sum / n;
	*intercept = y_sum / n - cov / var * x_sum / n;
	return cov / var;
}

WINDOW(deriv)
{
	double intercept;
	(void)s;
	return w->n < 2 ? none() : slope(w, w->v[0].t_ms, &intercept);
}

WINDOW(predict_linear)
{
	double intercept;
	if (w->n < 2)
		return none();
	double k = slope(w, w->at_ms, &intercept);
	return k * s[0] + intercept;
}

/* Holt's: s[0] smooths the level, s[1] the trend. */
WINDOW(smoothing)
{
	if (w->n < 2)
		return none();
	double before = 0, level = w->v[0].v, trend = w->v[1].v - w->v[0].v;
	for (size_t i = 1; i < w->n; i++) {
		if (i > 1)
			trend = s[1] * (level - before) + (1 - s[1]) * trend;
		double x = s[0] * w->v[i].v, y = (1 - s[0]) * (level + trend);
		before = level;
		level = x + y;
	}
	return level;
}
