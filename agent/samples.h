/*
 * agent/samples - the numbers of one moment on their way into a MetricBatch.
 */
#ifndef AGENT_SAMPLES_H
#define AGENT_SAMPLES_H

#include "base/buf.h"
#include "series.h"

enum { SAMPLE_COUNTER = 1, SAMPLE_GAUGE = 2, SAMPLES_MAX = 20000, SAMPLE_LABELS_MAX = 24 };

struct sample {
	uint32_t ref;
	double value;
};

struct samples {
	struct series *series;
	struct sample *list;
	size_t len, cap;
	struct buf key;
};

void samples_init(struct samples *s, struct series *series);
void samples_fini(struct samples *s);
void samples_clear(struct samples *s);

/* labels: pairs of name and value, sorted by name, ended by NULL; a value NULL or "" leaves its pair out (no
 * label and an empty one are the same). */
void samples_add(struct samples *s, int type, const char *name, double value,
		 const char *const *labels);

/* Adds what another one holds; both are of one series table. */
void samples_copy(struct samples *s, const struct samples *from);

/* Shorter: samples_add with the labels written out. */
#define samples_put(s, type, name, value, ...) \
	samples_add((s), (type), (name), (value), (const char *const[]){ __VA_ARGS__ })

/*
 * Appends the MetricBatch.  `before` are the references of the last batch: those missing now get a
 * staleness marker; it is replaced by the present ones.
 */
struct ref_set {
	uint32_t *refs;
	size_t len, cap;
};
void samples_write(struct samples *s, int64_t time_ms, uint32_t interval_ms, struct ref_set *before,
		   struct buf *out);

/* value = mantissa / 10^scale exactly, scale 0 to 9; false when there is none.  Pure. */
bool samples_decimal(double value, int64_t *mantissa, uint32_t *scale);

#endif
