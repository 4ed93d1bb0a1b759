/*
 * telemetry/record - what agents push (proto/agent/v1), read straight from its bytes.
 *
 * Nothing is copied: strings point into the message.  Packed fields must be packed and stand once.  Any
 * bytes are safe; what is wrong is ERR_BAD_REQUEST.
 */
#ifndef TELEMETRY_RECORD_H
#define TELEMETRY_RECORD_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "telemetry/labels.h"
#include "telemetry/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of the protocol's enums. */
enum record_type {
	RECORD_GAP = 1,
	RECORD_METRICS = 2,
	RECORD_LOGS = 3,
	RECORD_EVENTS = 4,
	RECORD_ALERTS = 5,
	RECORD_METRIC_DELTA = 6,
	RECORD_SAMPLES = 1000, /* of the store's own journal alone (telemetry/remote.h) */
};
enum record_compression { RECORD_PLAIN = 0, RECORD_ZSTD = 1 };

enum {
	RECORD_BYTES_MAX = 1 << 20,          /* of a payload as it travels */
	RECORD_UNPACKED_BYTES_MAX = 8 << 20, /* and unpacked */
	RECORD_SAMPLES_MAX = 1 << 20,        /* in one MetricBatch */
};

/* ---- PushRequest ---- */

enum request_kind { REQUEST_NONE, REQUEST_OPEN = 1, REQUEST_SERIES = 2, REQUEST_RECORD = 3 };

struct request {
	enum request_kind kind; /* NONE: of a later version; to be ignored */
	/* OPEN */
	struct str node;
	uint32_t stream;
	uint64_t incarnation, next_sequence;
	/* SERIES: a SeriesTable for record_series() */
	struct str series;
	/* RECORD */
	uint64_t sequence;
	uint32_t type, compression;
	struct str payload;
};

ATTR_MUSTCHECK int record_request(struct str msg, struct request *ret, struct error *err);

/* ---- SeriesTable ---- */

/* One definition; labels with the name as __name__ (absent without one), as sent: not checked. */
struct record_series {
	uint32_t ref;
	int type; /* MetricType */
	struct label labels[LABELS_MAX];
	size_t len;
};
ATTR_MUSTCHECK int record_series(struct str table,
				 int (*fn)(void *arg, struct record_series *s, struct error *err),
				 void *arg, struct error *err);

/* ---- MetricBatch ---- */

struct record_batch {
	int64_t time_ms;
	uint32_t interval_ms;
	size_t samples; /* staleness markers included */
};

/*
 * Calls fn (may be NULL: only checks) for each sample; a series that ended has the value sample_stale().
 * The times in *ret are there before the first call.
 */
ATTR_MUSTCHECK int record_metrics(struct str payload, struct record_batch *ret,
				  void (*fn)(void *arg, uint32_t ref, double v), void *arg,
				  struct error *err);

/* Writes a MetricBatch of samples sorted by ref. */
struct record_sample {
	uint32_t ref;
	double v;
};
void record_write_metrics(int64_t time_ms, uint32_t interval_ms, const struct record_sample *s,
			  size_t n, struct buf *out);

/* ---- LogBatch ---- */

/* Lines of one file; the columns are checked to be of equal length and to fit the text. */
struct record_block {
	uint32_t ref;
	struct str file;
	uint64_t offset, end_offset;
	int64_t first_ns;
	size_t lines;
	struct str deltas, flags, lengths; /* packed */
	struct str text;
};

ATTR_MUSTCHECK int record_logs(struct str payload,
			       void (*fn)(void *arg, const struct record_block *b), void *arg,
			       struct error *err);

struct record_line {
	int64_t unix_ns;
	bool is_stderr, partial;
	struct str text;
};

/* Walks the lines of a block. */
struct record_lines {
	struct wire deltas, flags, lengths;
	struct str text;
	int64_t ns;
	bool started;
};
struct record_lines record_lines(const struct record_block *b);
bool record_line_next(struct record_lines *it, struct record_line *ret);

/* ---- EventBatch ---- */

ATTR_MUSTCHECK int record_events(struct str payload, void (*fn)(void *arg, struct str event),
				 void *arg, struct error *err);

/* ---- AlertBatch ---- */

enum { RECORD_ALERTS_MAX = 10000 };

/* Appends the MetricBatch of the alerts: 1 fires, 0 is over, at the time they were told. */
ATTR_MUSTCHECK int record_alerts(struct str payload, struct buf *batch, struct error *err);

/* ---- compression ---- */

/* The payload unpacked: itself, or into `out`.  ERR_TOO_LARGE, ERR_BAD_REQUEST. */
ATTR_MUSTCHECK int record_unpack(uint32_t compression, struct str payload, struct buf *out,
				 struct str *ret, struct error *err);

#endif
