/*
 * telemetry/remote - Prometheus' remote write 1.0 (prometheus.io/docs/specs/prw/remote_write_spec): the protobuf message
 * behind the Snappy block; and the record that samples of such a message become in the journal.
 *
 * Nothing is copied: strings point into the message.  Any bytes are safe.  Pure.
 */
#ifndef TELEMETRY_REMOTE_H
#define TELEMETRY_REMOTE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "telemetry/labels.h"
#include "telemetry/sample.h"
#include "telemetry/wire.h"

#include <stddef.h>
#include <stdint.h>

enum {
	REMOTE_BYTES_MAX = 32 << 20, /* of a message, unpacked */
};

/* One TimeSeries; labels as sent, not checked. */
struct remote_series {
	struct label labels[LABELS_MAX];
	size_t len, samples;
	struct str bytes; /* for remote_samples() */
};

/*
 * Calls fn (may be NULL: only checks) for each series; its error ends the walk.  Exemplars, native histograms and metadata
 * are passed over.  ERR_BAD_REQUEST.
 */
ATTR_MUSTCHECK int remote_walk(struct str msg,
			       int (*fn)(void *arg, struct remote_series *s, struct error *err),
			       void *arg, struct error *err);

/* The samples of a series that remote_walk() gave. */
struct remote_samples {
	struct wire series;
};
struct remote_samples remote_samples(const struct remote_series *s);
bool remote_sample_next(struct remote_samples *it, struct sample *ret);

/* ---- the record: series and samples, as many as there are ---- */

/* Appends one series with its samples. */
void remote_record_add(struct buf *out, uint32_t series, const struct remote_series *s);
/* Calls fn for each sample; ERR_BAD_REQUEST when the bytes are no such record. */
ATTR_MUSTCHECK int remote_record_walk(struct str record,
				      void (*fn)(void *arg, uint32_t series, struct sample s),
				      void *arg, struct error *err);

#endif
