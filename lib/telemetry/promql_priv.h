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
};

enum group_side { GROUP_NONE, GROUP_LEFT, GROUP_RIGHT };

enum { ARGS_MAX = 8 };

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
	int64_t range_ms, offset_ms;
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

struct value {
	enum promql_type type;
	double scalar;
	struct str string;
	struct promql_point *v;
	size_t len, cap;
	bool ordered;
};

struct eval {
	struct arena *arena;
	int64_t time_ms;
	const struct promql_source *src;
	struct promql_limits limits;
	int64_t samples;
	struct promql_samples buf;
	struct error *err;
	const struct node *node; /* being evaluated: for messages */
};

int eval_node(struct eval *e, const struct node *n, struct value *ret);
int eval_binary(struct eval *e, const struct node *n, struct value *ret);
int eval_aggregate(struct eval *e, const struct node *n, struct value *ret);

struct promql_point *value_add(struct eval *e, struct value *v, struct labels l, double x);
/* The labels without those named (and without the metric's name), or only those named. */
struct labels labels_without(struct arena *a, struct labels l, const struct names *drop);
struct labels labels_only(struct arena *a, struct labels l, const struct names *keep);
struct labels labels_nameless(struct arena *a, struct labels l);
/* ERR_TIMEOUT when the query has had its time. */
int eval_check(struct eval *e);

/* ---- functions ---- */

struct function {
	const char *name;
	const char
		*args; /* s, v, m, t: scalar, vector, matrix, string; behind '?': may be left out */
	enum promql_type type;
	int (*fn)(struct eval *e, const struct node *n, struct value *args, struct value *ret);
};
const struct function *function_find(struct str name);

#endif
