/*
 * telemetry/promql - the query language of Prometheus: parsed to a tree, evaluated at one moment or over a range of them.
 *
 * The language is that of Prometheus 3: ranges and lookback are open at their left, names of metrics go when the query
 * is done.  Everything of it is there but native histograms, info(), and what Prometheus hides behind feature
 * flags (duration expressions, anchored and smoothed selectors, fill).  A word that is not known is refused by the parser.
 *
 * The evaluation asks for data through struct promql_source, so it knows no store; it is pure otherwise.
 * Errors of the parser read "1:5: parse error: …" as Prometheus' own.
 */
#ifndef TELEMETRY_PROMQL_H
#define TELEMETRY_PROMQL_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "telemetry/labels.h"
#include "telemetry/matcher.h"
#include "telemetry/sample.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROMQL_TEXT_MAX = 16384,  /* bytes of a query */
	PROMQL_DEPTH_MAX = 100,   /* nesting */
	PROMQL_NODES_MAX = 4096,  /* of the tree */
	PROMQL_REGEXES_MAX = 100, /* compiled in one query */
};

struct promql;

enum promql_type { PROMQL_SCALAR, PROMQL_VECTOR, PROMQL_MATRIX, PROMQL_STRING };

/* ERR_BAD_REQUEST.  The query belongs to the caller; it may be evaluated many times, by one thread at once. */
ATTR_MUSTCHECK int promql_parse(struct str text, struct promql **ret, struct error *err);
struct promql *promql_free(struct promql *q);
enum promql_type promql_type(const struct promql *q);

/* The tree as text with all parentheses: for tests and messages. */
void promql_print(const struct promql *q, struct buf *out);

/* Only matchers: up{job="x"}, for /api/v1/series.  They live as long as the query. */
ATTR_MUSTCHECK int promql_selector(const struct promql *q, const struct matcher **m, size_t *n,
				   struct error *err);

/* ---- data ---- */

/* One series as the source hands it out; the labels live until the evaluation ends. */
struct promql_series {
	struct labels labels;
	void *handle; /* the source's */
};

/* Samples appended here in order of time; kept from call to call. */
struct promql_samples {
	struct sample *v;
	size_t len, cap;
};

struct promql_source {
	/* Calls fn for each series that matches; fn's error ends it and is passed up. */
	int (*select)(void *arg, const struct matcher *m, size_t n,
		      int (*fn)(void *fn_arg, const struct promql_series *s, struct error *err),
		      void *fn_arg, struct error *err);
	/* Samples with min_ms < t <= max_ms. */
	int (*read)(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		    struct promql_samples *out, struct error *err);
	/* The newest of them: 1 and *ret, 0 = none, or an error. */
	int (*last)(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		    struct sample *ret, struct error *err);
	void *arg;
};

/* ---- evaluation ---- */

enum {
	PROMQL_STEPS_MAX = 11000, /* of a range query, as Prometheus */
	PROMQL_NOTES_MAX = 10,
};

struct promql_limits {
	int64_t samples_max; /* read for one query: more is ERR_LIMIT */
	int64_t bytes_max; /* of memory for one query, about: more is ERR_LIMIT; 0 = PROMQL_BYTES */
	/* Called now and then; true = the query has had its time: ERR_TIMEOUT.  NULL = never. */
	bool (*late)(void *arg);
	void *arg;
};
#define PROMQL_BYTES (256LL << 20)

struct promql_point {
	struct labels labels;
	double v;
	/* MATRIX */
	const struct sample *samples;
	size_t samples_len;
};

/* What Prometheus calls an annotation: the result is there, but look at it. */
struct promql_note {
	bool warning; /* else an information */
	struct str text;
};

struct promql_result {
	enum promql_type type;
	int64_t time_ms;
	double scalar;
	struct str string;
	const struct promql_point *points;
	size_t len;
	bool ordered; /* of topk, sort: the order counts */
	const struct promql_note *notes;
	size_t notes_len;
};

/*
 * Evaluates at time_ms; the result lives in the arena.  ERR_INVALID: the data do not allow it
 * (many-to-many matching …); ERR_LIMIT, ERR_TIMEOUT; what the source says.
 */
ATTR_MUSTCHECK int promql_eval(struct promql *q, int64_t time_ms, const struct promql_source *src,
			       const struct promql_limits *limits, struct arena *a,
			       struct promql_result *ret, struct error *err);

/*
 * Evaluates at start_ms, start_ms + step_ms … end_ms: the result is a MATRIX.  ERR_BAD_REQUEST: the query gives no scalar and
 * no instant vector, or there are more than PROMQL_STEPS_MAX steps.
 */
struct promql_range {
	int64_t start_ms, end_ms, step_ms;
};
ATTR_MUSTCHECK int promql_eval_range(struct promql *q, const struct promql_range *range,
				     const struct promql_source *src,
				     const struct promql_limits *limits, struct arena *a,
				     struct promql_result *ret, struct error *err);

/* The member "data" of Prometheus' answer: {"resultType":"vector","result":[…]}. */
void promql_write_json(const struct promql_result *r, struct buf *out);

/* A number as Prometheus writes samples: shortest digits, "NaN", "+Inf", "-Inf". */
void promql_write_number(struct buf *out, double v);

#endif
