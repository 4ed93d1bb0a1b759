/*
 * telemetry/mstore - the metrics database of a cluster: takes samples, keeps them, answers queries.
 *
 * On top of telemetry/intake (journal, watermarks, series).  The newest samples of each series are in memory: a tail of
 * raw samples, and the open chunk as it was written last.  A checkpoint writes each open chunk as a row
 * chunk_DAY(series_id, t0, t1, n, data), over the one it wrote before; a chunk ends at MSTORE_CHUNK_SAMPLES or
 * MSTORE_CHUNK_SPAN_MS and never changes then.  Old days are dropped as whole tables.
 *
 * Samples of a series must come in the order of time; one that does not is dropped and counted.
 *
 * Threads: any; answers come on the loop that is named.  Everything happens on the intake's one worker thread, so a query
 * sees each commit as a whole.
 */
#ifndef TELEMETRY_MSTORE_H
#define TELEMETRY_MSTORE_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/metric.h"
#include "base/str.h"
#include "telemetry/intake.h"

#include <stdint.h>

struct loop;
struct mstore;
struct mstore_collect;

enum {
	MSTORE_CHUNK_SAMPLES = 480,
	MSTORE_CHUNK_SPAN_MS = 2 * 3600 * 1000,
	MSTORE_FUTURE_MS = 10 * 60 * 1000, /* samples further ahead of our clock are refused */
	MSTORE_MATCHES_MAX = 64,           /* match[] parameters of one request */
};

struct mstore_config {
	const char *url;
	int64_t retention_ms, checkpoint_ms;
	int64_t series_max, label_bytes_max;
	int64_t query_samples_max, query_bytes_max, query_ms;
	struct metrics *metrics;
	int64_t (*now_ms)(void); /* NULL = the clock */
	/* On the worker: the database is there (NULL), or why it is not.  For the log; may be NULL. */
	void (*on_state)(void *arg, const struct error *down);
	void *on_state_arg;
	/* Called each collect_ms (0 = never) on the worker thread: puts samples of the program's own. */
	void (*collect)(void *arg, struct mstore_collect *c);
	void *collect_arg;
	int64_t collect_ms;
};

struct mstore *mstore_new(const struct mstore_config *cfg);
struct mstore *mstore_free(struct mstore *s);

/* For push streams. */
struct intake *mstore_intake(struct mstore *s);

/* ---- questions ---- */

enum mstore_kind {
	MSTORE_QUERY,  /* text: PromQL, at time_ms */
	MSTORE_RANGE,  /* text: PromQL, at each step_ms of start_ms … end_ms */
	MSTORE_LABELS, /* names of labels; of series that match, if there are matches */
	MSTORE_VALUES, /* values of label `text` */
	MSTORE_SERIES, /* label sets of series that match */
	MSTORE_TSDB,   /* which metrics and labels make the most series; `limit` of each, 0 = 10 */
	MSTORE_METADATA, /* {"metric":[{"type":"counter","help":"","unit":""}]}; of `text` alone, when given */
};

/* Copied. */
struct mstore_ask {
	enum mstore_kind kind;
	struct str text;
	bool time_given;                   /* else QUERY is asked for now */
	int64_t time_ms;                   /* any, also 0 and before */
	int64_t start_ms, end_ms, step_ms; /* RANGE */
	int64_t since_ms;   /* LABELS, VALUES, SERIES: nothing that ended before; 0 = all */
	int64_t timeout_ms; /* 0 = the setting; more is cut to it */
	struct str matches[MSTORE_MATCHES_MAX];
	size_t matches_len;
	int64_t limit; /* LABELS, VALUES, SERIES, METADATA, and series of RANGE: 0 = none */
	/* Behind the value come ,"warnings":[…] and ,"infos":[…], the members that stand beside "data". */
	bool with_notes;
};

/*
 * On `loop`: err is NULL and `data` the JSON of the answer's member "data" (lent), or err says what
 * was wrong: ERR_BAD_REQUEST, ERR_INVALID (execution), ERR_LIMIT, ERR_TIMEOUT, ERR_UNAVAILABLE.
 */
typedef void (*mstore_answer_fn)(void *arg, const struct error *err, struct str data);
void mstore_ask(struct mstore *s, struct loop *loop, const struct mstore_ask *ask,
		mstore_answer_fn fn, void *arg);

/* ---- remote write ---- */

/*
 * Takes the body of a remote write request (Snappy, a WriteRequest).  On `loop`, when its samples are stored: err is NULL,
 * or ERR_BAD_REQUEST (what could be stored is; a sender need not come again), ERR_TOO_LARGE, ERR_UNAVAILABLE.  Samples
 * that are older than the newest of their series are dropped and counted.  `body` is referenced.
 */
typedef void (*mstore_write_fn)(void *arg, const struct error *err);
void mstore_write(struct mstore *s, struct loop *loop, struct bytes *body, mstore_write_fn fn,
		  void *arg);

/* ---- samples of the program's own; in collect ---- */

/* labels: pairs of name and value, ended by NULL; the name last in the call is the metric's. */
void mstore_put(struct mstore_collect *c, const char *metric, int type, double value,
		const struct label *labels, size_t n);

#endif
