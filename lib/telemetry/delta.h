/*
 * telemetry/delta - a MetricBatch as the difference to the one before it on the same call (proto/agent/v1, MetricDelta).
 *
 * Both ends keep the batch that was sent last, its base: most numbers of a node do not change from one moment to the next,
 * and those that do change by little.  Numbers are decimal integers with a scale; a series keeps its scale as long as its
 * numbers fit, so that a difference is exact.
 *
 * Any bytes are safe.  Pure.
 */
#ifndef TELEMETRY_DELTA_H
#define TELEMETRY_DELTA_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DELTA_SERIES_MAX = 1 << 18 }; /* in a batch */

struct delta_item {
	uint32_t ref;
	uint8_t scale; /* DELTA_RAW: the number is none with a scale, its bits are in mantissa */
	int64_t mantissa;
};

/* All zero: no base yet. */
struct delta {
	struct delta_item *items; /* sorted by ref */
	size_t len, cap;
	uint64_t sequence; /* of the base; 0 = none */
};

void delta_fini(struct delta *d); /* and back to none */

/* A whole batch was sent or came: it is the base.  ERR_BAD_REQUEST: then there is no base. */
ATTR_MUSTCHECK int delta_base(struct delta *d, uint64_t sequence, struct str batch,
			      struct error *err);

/* Appends the MetricDelta that makes `batch` of the base; `batch` is the base then.  There must be one. */
ATTR_MUSTCHECK int delta_write(struct delta *d, uint64_t sequence, struct str batch,
			       struct buf *out, struct error *err);

/* Appends the MetricBatch that a MetricDelta stands for; it is the base then.  ERR_BAD_REQUEST; nothing changed. */
ATTR_MUSTCHECK int delta_read(struct delta *d, uint64_t sequence, struct str delta,
			      struct buf *batch, struct error *err);

#endif
