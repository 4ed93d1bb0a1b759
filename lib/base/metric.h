/*
 * base/metric - the process's own counters, gauges and histograms, printed in
 * the Prometheus text format 0.0.4.
 *
 * A registry belongs to main(); metrics are added at start and live as long as
 * the registry.  Updating a metric is one atomic operation and safe from any
 * thread; metric_print() may run at the same time.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/buf.h"

#include <stdint.h>

struct metrics;
struct metric;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);

/*
 * One time series.  `labels` is the inside of the braces, already quoted, or
 * "": `verb="GET",code="200"`.  Asking again for the same (name, labels) gives
 * the same metric.  Name and help are literals.
 */
struct metric *metric_counter(struct metrics *m, const char *name, const char *labels,
			      const char *help);
struct metric *metric_gauge(struct metrics *m, const char *name, const char *labels,
			    const char *help);

/* Seconds in the buckets .001 .0025 .005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 +Inf. */
struct metric *metric_seconds(struct metrics *m, const char *name, const char *labels,
			      const char *help);

void metric_add(struct metric *x, int64_t n);          /* counter (n >= 0) or gauge */
void metric_set(struct metric *x, int64_t v);          /* gauge */
void metric_observe_us(struct metric *x, uint64_t us); /* histogram */
int64_t metric_value(const struct metric *x);

/* A gauge whose value is asked for at print time. */
void metric_gauge_fn(struct metrics *m, const char *name, const char *labels, const char *help,
		     int64_t (*fn)(void *arg), void *arg);

void metrics_print(struct metrics *m, struct buf *out);

#endif
