#include "base/metric.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
	uint64_t us;
	const char *le;
} buckets[] = {
	{ 1000, "0.001" },  { 2500, "0.0025" },     { 5000, "0.005" },  { 10000, "0.01" },
	{ 25000, "0.025" }, { 50000, "0.05" },      { 100000, "0.1" },  { 250000, "0.25" },
	{ 500000, "0.5" },  { 1000000, "1" },       { 2500000, "2.5" }, { 5000000, "5" },
	{ 10000000, "10" }, { UINT64_MAX, "+Inf" },
};
enum { BUCKETS = sizeof(buckets) / sizeof(buckets[0]) };

struct metric {
	struct metric *next;
	const char *name, *help;
	char *labels;
	enum metric_type type;
	_Atomic int64_t value; /* counter, gauge; histogram: sum in µs */
	int64_t (*fn)(void *arg);
	void *arg;
	_Atomic uint64_t *counts; /* histogram: BUCKETS of them, not cumulative */
};

struct metrics {
	pthread_mutex_t mu; /* guards the list; values are atomic */
	struct metric *head, **tail;
};

struct metrics *metrics_new(void)
{
	struct metrics *m = mem_new(struct metrics, 1);
	(void)pthread_mutex_init(&m->mu, NULL);
	m->tail = &m->head;
	return m;
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	for (struct metric *x = m->head; x;) {
		struct metric *next = x->next;
		mem_free(x->labels);
		mem_free(x->counts);
		mem_free(x);
		x = next;
	}
	(void)pthread_mutex_destroy(&m->mu);
	mem_free(m);
	return NULL;
}

static struct metric *find_or_add(struct metrics *m, enum metric_type type, const char *name,
				  const char *labels, const char *help)
{
	(void)pthread_mutex_lock(&m->mu);
	struct metric *x = m->head;
	struct metric **same = NULL; /* behind the last of the same name: families stay together */
	struct metric **at = &m->head;
	for (; x; at = &x->next, x = x->next) {
		if (strcmp(x->name, name) != 0)
			continue;
		if (strcmp(x->labels, labels) == 0)
			break;
		same = &x->next;
	}
	if (!x) {
		x = mem_new(struct metric, 1);
		x->name = name;
		x->help = help;
		x->labels = mem_strdup(labels);
		x->type = type;
		if (type == METRIC_HISTOGRAM)
			x->counts = mem_new(_Atomic uint64_t, BUCKETS);
		struct metric **where = same ? same : at;
		x->next = *where;
		*where = x;
	}
	(void)pthread_mutex_unlock(&m->mu);
	return x;
}

struct metric *metric_counter(struct metrics *m, const char *name, const char *labels,
			      const char *help)
{
	return find_or_add(m, METRIC_COUNTER, name, labels, help);
}

struct metric *metric_gauge(struct metrics *m, const char *name, const char *labels,
			    const char *help)
{
	return find_or_add(m, METRIC_GAUGE, name, labels, help);
}

struct metric *metric_seconds(struct metrics *m, const char *name, const char *labels,
			      const char *help)
{
	return find_or_add(m, METRIC_HISTOGRAM, name, labels, help);
}

void metric_gauge_fn(struct metrics *m, const char *name, const char *labels, const char *help,
		     int64_t (*fn)(void *arg), void *arg)
{
	struct metric *x = find_or_add(m, METRIC_GAUGE, name, labels, help);
	x->fn = fn;
	x->arg = arg;
}

void metric_add(struct metric *x, int64_t n)
{
	atomic_fetch_add_explicit(&x->value, n, memory_order_relaxed);
}

void metric_set(struct metric *x, int64_t v)
{
	atomic_store_explicit(&x->value, v, memory_order_relaxed);
}

void metric_observe_us(struct metric *x, uint64_t us)
{
	size_t i = 0;
	while (us > buckets[i].us)
		i++;
	atomic_fetch_add_explicit(&x->counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&x->value, (int64_t)us, memory_order_relaxed);
}

int64_t metric_value(const struct metric *x)
{
	return x->fn ? x->fn(x->arg) : atomic_load_explicit(&x->value, memory_order_relaxed);
}

static void print_line(const struct metric *x, struct buf *out)
{
	buf_adds(out, x->name);
	if (x->labels[0])
		buf_addf(out, "{%s}", x->labels);
	buf_addc(out, ' ');
	buf_add_i64(out, metric_value(x));
	buf_addc(out, '\n');
}

static void print_histogram(const struct metric *x, struct buf *out)
{
	const char *comma = x->labels[0] ? "," : "";
	uint64_t sum = 0;
	for (size_t i = 0; i < BUCKETS; i++) {
		sum += atomic_load_explicit(&x->counts[i], memory_order_relaxed);
		buf_addf(out, "%s_bucket{%s%sle=\"%s\"} ", x->name, x->labels, comma,
			 buckets[i].le);
		buf_add_u64(out, sum);
		buf_addc(out, '\n');
	}
	int64_t us = metric_value(x);
	const char *open = x->labels[0] ? "{" : "";
	const char *close = x->labels[0] ? "}" : "";
	buf_addf(out, "%s_sum%s%s%s %lld.%06lld\n", x->name, open, x->labels, close,
		 (long long)(us / 1000000), (long long)(us % 1000000));
	buf_addf(out, "%s_count%s%s%s %llu\n", x->name, open, x->labels, close,
		 (unsigned long long)sum);
}

void metrics_print(struct metrics *m, struct buf *out)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	(void)pthread_mutex_lock(&m->mu);
	const char *family = "";
	for (struct metric *x = m->head; x; x = x->next) {
		if (strcmp(family, x->name) != 0)
			buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", x->name, x->help, x->name,
				 types[x->type]);
		family = x->name;
		if (x->type == METRIC_HISTOGRAM)
			print_histogram(x, out);
		else
			print_line(x, out);
	}
	(void)pthread_mutex_unlock(&m->mu);
}
