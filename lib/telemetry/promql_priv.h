/* promql_priv - shared by the files promql_*.c. */
#ifndef TELEMETRY_PROMQL_PRIV_H
#define TELEMETRY_PROMQL_PRIV_H

#include "base/map.h"
#include "telemetry/promql.h"

/* ---- tokens ---- */

enum token {
	TOKEN_END,
	TOKEN_IDENTIFIER, /* letters, digits, _ and : */
	TOKEN_NUMBER,
	TOKEN_DURATION,
	TOKEN_STRING,
	TOKEN_OPERATOR, /* a symbol: text is it */
	TOKEN_BAD,      /* err is filled */
};

struct lexer {
	struct str text;
	size_t pos;
	struct arena *arena;
	struct error *err;
	/* the token at hand */
	enum token token;
	size_t start;
	struct str word;  /* IDENTIFIER, OPERATOR, DURATION; STRING: its value */
	double number;    /* NUMBER */
	int64_t duration; /* DURATION, ms */
};

void lexer_next(struct lexer *lx);
/* "1:5: parse error: …" */
int lexer_fail(const struct lexer *lx, size_t pos, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* ---- the tree ---- */

enum node_kind {
	NODE_NUMBER,
	NODE_STRING,
	NODE_SELECTOR, /* with range_ms: a matrix */
	NODE_SUBQUERY, /* args[0] each step_ms over range_ms: a matrix */
	NODE_NEGATE,
	NODE_BINARY,
	NODE_AGGREGATE,
	NODE_CALL,
};

enum binary_op {
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_DIV,
	OP_MOD,
	OP_POW,
	OP_ATAN2,
	OP_EQ,
	OP_NE,
	OP_GT,
	OP_LT,
	OP_GE,
	OP_LE,
	OP_AND,
	OP_OR,
	OP_UNLESS,
};

enum aggregate_op {
	AGG_SUM,
	AGG_AVG,
	AGG_COUNT,
	AGG_MIN,
	AGG_MAX,
	AGG_GROUP,
	AGG_STDDEV,
	AGG_STDVAR,
	AGG_TOPK,
	AGG_BOTTOMK,
	AGG_QUANTILE,
	AGG_COUNT_VALUES,
	AGG_LIMITK,
	AGG_LIMIT_RATIO,
};

enum at_kind { AT_NONE, AT_TIME, AT_START, AT_END };

enum group_side { GROUP_NONE, GROUP_LEFT, GROUP_RIGHT };

enum { ARGS_MAX = 16 };

struct names {
	struct str *v;
	size_t len;
};

struct node {
	enum node_kind kind;
	enum promql_type type;
	size_t pos;
	double number;
	struct str string;
	/* SELECTOR */
	struct matcher *matchers;
	size_t matchers_len;
	/* SELECTOR, SUBQUERY */
	int64_t range_ms, offset_ms, step_ms;
	bool offset_given;
	enum at_kind at;
	int64_t at_ms;
	/* BINARY, AGGREGATE, CALL: operands, arguments */
	struct node *args[ARGS_MAX];
	size_t args_len;
	enum binary_op op;
	bool is_bool;
	bool on; /* else ignoring; AGGREGATE: by, else without */
	bool matching_given;
	enum group_side side;
	struct names labels, include;
	enum aggregate_op agg;
	const struct function *func;
};

struct promql {
	struct arena arena;
	struct node *root;
	struct matcher *regexes[PROMQL_REGEXES_MAX]; /* those to be freed */
	size_t regexes_len, nodes, depth;
};

const char *binary_text(enum binary_op op);
const char *aggregate_text(enum aggregate_op op);
bool binary_is_comparison(enum binary_op op);
bool binary_is_set(enum binary_op op);

/* ---- evaluation ---- */

/*
 * Everything is evaluated for all steps at once: an instant query has one.  Vectors are not held: an evaluation hands
 * one series after the other to its user, who keeps what it needs (eval_collect).
 */
struct grid {
	int64_t start_ms, step_ms;
	size_t n;
};

static inline int64_t grid_at(const struct grid *g, size_t i)
{
	return g->start_ms + (int64_t)i * g->step_ms;
}

/* No value at this step: the bits of the staleness marker, which no arithmetic gives. */
static inline bool is_absent(double v)
{
	return sample_is_stale(v);
}

struct series {
	struct labels labels;
	bool nameless; /* the metric's name goes when the query is done (PromQL of version 3) */
	double *v;     /* [grid.n]; lent: the receiver may change it */
};
typedef int (*series_fn)(void *arg, const struct series *s);

/* A range vector's series: all samples that any step sees. */
struct ranged {
	struct labels labels;
	bool nameless;
	const struct sample *v;
	size_t len;
};
typedef int (*ranged_fn)(void *arg, const struct ranged *r);

struct collected {
	struct series *v;
	size_t len, cap;
};

struct eval {
	struct arena *arena;
	struct grid grid, query;
	const struct promql_source *src;
	struct promql_limits limits;
	int64_t samples, bytes, work;
	struct promql_samples buf;
	struct error *err;
	struct promql_note *notes;
	size_t notes_len;
	bool ordered;
};

/* [grid.n] numbers */
int eval_scalar(struct eval *e, const struct node *n, double *ret);
int eval_vector(struct eval *e, const struct node *n, series_fn fn, void *arg);
int eval_ranged(struct eval *e, const struct node *n, ranged_fn fn, void *arg);
int eval_binary_scalars(struct eval *e, const struct node *n, double *ret);
int eval_binary(struct eval *e, const struct node *n, series_fn fn, void *arg);
int eval_aggregate(struct eval *e, const struct node *n, series_fn fn, void *arg);
int eval_call(struct eval *e, const struct node *n, series_fn fn, void *arg);
int eval_call_scalar(struct eval *e, const struct node *n, double *ret);

/* All series, copied into the arena. */
int eval_collect(struct eval *e, const struct node *n, struct collected *ret);
int eval_keep(struct eval *e, struct collected *c, const struct series *s);
/* grid.n numbers of the arena, counted against the limit of memory; NULL = ERR_LIMIT */
double *eval_numbers(struct eval *e);
/* Counts work done; ERR_TIMEOUT when the query has had its time. */
int eval_work(struct eval *e, size_t n);
int eval_bytes(struct eval *e, size_t n);
/* The moment that a selector or subquery with offset and @ looks at in step i. */
int64_t eval_moment(const struct eval *e, const struct node *n, size_t i);
/* "PromQL info: … (1:6)"; once each. */
void eval_note(struct eval *e, bool warning, const struct node *n, const char *fmt, ...)
	ATTR_PRINTF(4, 5);
/* The values of a selector's samples, or with `times` their times in seconds. */
int eval_instant(struct eval *e, const struct node *n, bool times, series_fn fn, void *arg);

/* The labels without those named (and without the metric's name), or only those named. */
struct labels labels_without(struct arena *a, struct labels l, const struct names *drop);
struct labels labels_only(struct arena *a, struct labels l, const struct names *keep);
struct labels labels_nameless(struct arena *a, struct labels l);
/* The same as a key (labels_key), with nothing allocated. */
void labels_key_of(struct labels l, bool keep, const struct names *names, struct buf *out);

/* Of ascending numbers, interpolated: quantile, quantile_over_time. */
double promql_quantile(double q, const double *v, size_t n);
int promql_by_number(const void *a, const void *b); /* NaN first */

/* ---- functions ---- */

/* Steps of regular series differ in nothing that the factor of a rate comes from. */
struct rate_memo {
	size_t n;
	int64_t before_ms, covered_ms, behind_ms;
	double factor;
};

/* What a step of a range vector sees. */
struct window {
	const struct sample *v;
	size_t n;
	const uint32_t *resets;  /* [n]: counter resets before each sample, of the whole series */
	int64_t from_ms, to_ms;  /* the range: (from, to] */
	int64_t range_ms, at_ms; /* at: the step itself */
	double *scratch;         /* room for n numbers */
	struct rate_memo *memo;  /* kept from step to step */
};

struct function {
	const char *name;
	const char *
		args; /* s, v, m, t: scalar, vector, matrix, string; behind '?': may be left out; '*': any number */
	enum promql_type type;
	/* One of these. */
	double (*each)(double v, const double *scalars);
	double (*window)(const struct window *w, const double *scalars);
	int (*scalar)(struct eval *e, const struct node *n, double *ret);
	int (*vector)(struct eval *e, const struct node *n, series_fn fn, void *arg);
	bool keeps_name;
};
const struct function *function_find(struct str name);

/* Range functions: promql_window.c */
#define WINDOW(name) double window_##name(const struct window *w, const double *s)
WINDOW(rate);
WINDOW(increase);
WINDOW(delta);
WINDOW(irate);
WINDOW(idelta);
WINDOW(changes);
WINDOW(resets);
WINDOW(sum);
WINDOW(avg);
WINDOW(count);
WINDOW(min);
WINDOW(max);
WINDOW(first);
WINDOW(last);
WINDOW(present);
WINDOW(stddev);
WINDOW(stdvar);
WINDOW(mad);
WINDOW(quantile);
WINDOW(deriv);
WINDOW(predict_linear);
WINDOW(smoothing);
WINDOW(ts_of_first);
WINDOW(ts_of_last);
WINDOW(ts_of_min);
WINDOW(ts_of_max);

/* promql_label.c, promql_histogram.c */
#define VECTOR_FUNCTION(name) \
	int function_##name(struct eval *e, const struct node *n, series_fn fn, void *arg)
VECTOR_FUNCTION(label_replace);
VECTOR_FUNCTION(label_join);
VECTOR_FUNCTION(sort);
VECTOR_FUNCTION(sort_desc);
VECTOR_FUNCTION(sort_by_label);
VECTOR_FUNCTION(sort_by_label_desc);
VECTOR_FUNCTION(histogram_quantile);
VECTOR_FUNCTION(histogram_fraction);

#endif
