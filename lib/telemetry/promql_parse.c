/* A recursive descent over the grammar of Prometheus' query language. */
#include "base/mem.h"
#include "base/utf8.h"
#include "telemetry/promql_priv.h"

#include <math.h>
#include <stdio.h>

struct parser {
	struct promql *q;
	struct lexer lx;
};

static const char *const BINARY[] = {
	[OP_ADD] = "+", [OP_SUB] = "-",   [OP_MUL] = "*",       [OP_DIV] = "/",
	[OP_MOD] = "%", [OP_POW] = "^",   [OP_ATAN2] = "atan2", [OP_EQ] = "==",
	[OP_NE] = "!=", [OP_GT] = ">",    [OP_LT] = "<",        [OP_GE] = ">=",
	[OP_LE] = "<=", [OP_AND] = "and", [OP_OR] = "or",       [OP_UNLESS] = "unless",
};

static const char *const AGGREGATE[] = {
	[AGG_SUM] = "sum",           [AGG_AVG] = "avg",
	[AGG_COUNT] = "count",       [AGG_MIN] = "min",
	[AGG_MAX] = "max",           [AGG_GROUP] = "group",
	[AGG_STDDEV] = "stddev",     [AGG_STDVAR] = "stdvar",
	[AGG_TOPK] = "topk",         [AGG_BOTTOMK] = "bottomk",
	[AGG_QUANTILE] = "quantile", [AGG_COUNT_VALUES] = "count_values",
	[AGG_LIMITK] = "limitk",     [AGG_LIMIT_RATIO] = "limit_ratio",
};

const char *binary_text(enum binary_op op)
{
	return BINARY[op];
}

const char *aggregate_text(enum aggregate_op op)
{
	return AGGREGATE[op];
}

bool binary_is_comparison(enum binary_op op)
{
	return op >= OP_EQ && op <= OP_LE;
}

bool binary_is_set(enum binary_op op)
{
	return op >= OP_AND;
}

static const char *type_text(enum promql_type t)
{
	static const char *const TEXT[] = { "scalar", "instant vector", "range vector", "string" };
	return TEXT[t];
}

static int find(const char *const *list, size_t n, struct str word)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(word, str_of(list[i])))
			return (int)i;
	return -1;
}

/* ---- tokens ---- */

static bool is(const struct parser *p, const char *text)
{
	return p->lx.token == TOKEN_OPERATOR && str_is(p->lx.word, text);
}

static bool is_word(const struct parser *p, const char *text)
{
	return p->lx.token == TOKEN_IDENTIFIER && str_eq_nocase(p->lx.word, str_of(text));
}

static int unexpected(struct parser *p, const char *where)
{
	if (p->lx.token == TOKEN_BAD)
		return ERR_BAD_REQUEST;
	if (p->lx.token == TOKEN_END)
		return lexer_fail(&p->lx, p->lx.start, "unexpected end of input%s%s",
				  *where ? " in " : "", where);
	struct str word = str_sub(p->lx.text, p->lx.start, p->lx.pos);
	return lexer_fail(&p->lx, p->lx.start, "unexpected %.*s%s%s", STR_ARG(str_sub(word, 0, 60)),
			  *where ? " in " : "", where);
}

static int expect(struct parser *p, const char *symbol, const char *where)
{
	if (!is(p, symbol))
		return unexpected(p, where);
	lexer_next(&p->lx);
	return 0;
}

static struct node *node_new(struct parser *p, enum node_kind kind, size_t pos)
{
	struct node *n = arena_new(&p->q->arena, struct node, 1);
	n->kind = kind;
	n->pos = pos;
	p->q->nodes++;
	return n;
}

/* ---- selectors ---- */

static int add_matcher(struct parser *p, struct node *n, struct str name, enum matcher_op op,
		       struct str value)
{
	if (n->matchers_len == LABELS_MAX)
		return lexer_fail(&p->lx, p->lx.start, "more than %d label matchers", LABELS_MAX);
	if (!n->matchers)
		n->matchers = arena_new(&p->q->arena, struct matcher, LABELS_MAX);
	bool regex = op == MATCHER_REGEX || op == MATCHER_NOT_REGEX;
	if (regex && p->q->regexes_len == PROMQL_REGEXES_MAX)
		return lexer_fail(&p->lx, p->lx.start, "more than %d regular expressions",
				  PROMQL_REGEXES_MAX);
	struct matcher *m = &n->matchers[n->matchers_len];
	struct error why = { 0 };
	if (matcher_init(m, op, name, value, &why) != 0)
		return lexer_fail(&p->lx, p->lx.start, "%s", why.msg);
	if (regex)
		p->q->regexes[p->q->regexes_len++] = m;
	n->matchers_len++;
	return 0;
}

static int parse_matcher(struct parser *p, struct node *n)
{
	static const char *const ops[] = { "=", "!=", "=~", "!~" };
	struct str name = p->lx.word;
	bool quoted = p->lx.token == TOKEN_STRING;
	if (!quoted && (p->lx.token != TOKEN_IDENTIFIER || !labels_name_valid(name)))
		return unexpected(p, "label matching, expected identifier or \"}\"");
	lexer_next(&p->lx);
	if (quoted && (is(p, ",") || is(p, "}"))) /* {"up"}: the metric's name */
		return add_matcher(p, n, LABELS_NAME, MATCHER_EQUAL, name);
	int op = p->lx.token == TOKEN_OPERATOR ? find(ops, 4, p->lx.word) : -1;
	if (op < 0)
		return unexpected(p, "label matching, expected label matching operator");
	lexer_next(&p->lx);
	if (p->lx.token != TOKEN_STRING)
		return unexpected(p, "label matching, expected string");
	int rc = add_matcher(p, n, name, (enum matcher_op)op, p->lx.word);
	if (!rc)
		lexer_next(&p->lx);
	return rc;
}

static int parse_matchers(struct parser *p, struct node *n)
{
	lexer_next(&p->lx);
	while (!is(p, "}")) {
		int rc = parse_matcher(p, n);
		if (rc)
			return rc;
		if (!is(p, ","))
			break;
		lexer_next(&p->lx);
	}
	return expect(p, "}", "label matching");
}

static int check_selector(struct parser *p, const struct node *n)
{
	size_t names = 0;
	bool some = false;
	for (size_t i = 0; i < n->matchers_len; i++) {
		names += str_eq(n->matchers[i].name, LABELS_NAME) &&
			 n->matchers[i].op == MATCHER_EQUAL;
		some |= !matcher_value(&n->matchers[i], STR(""));
	}
	if (names > 1)
		return lexer_fail(&p->lx, n->pos, "metric name must not be set twice");
	if (!some)
		return lexer_fail(&p->lx, n->pos,
				  "vector selector must contain at least one non-empty matcher");
	return 0;
}

static int parse_selector(struct parser *p, struct node **ret)
{
	struct node *n = node_new(p, NODE_SELECTOR, p->lx.start);
	int rc = 0;
	n->type = PROMQL_VECTOR;
	if (p->lx.token == TOKEN_IDENTIFIER) {
		rc = add_matcher(p, n, LABELS_NAME, MATCHER_EQUAL, p->lx.word);
		if (!rc)
			lexer_next(&p->lx);
	}
	if (!rc && is(p, "{"))
		rc = parse_matchers(p, n);
	if (!rc)
		rc = check_selector(p, n);
	*ret = n;
	return rc;
}

/* 5m, or a number of seconds */
static int parse_duration(struct parser *p, int64_t *ret)
{
	double s = p->lx.number;
	if (p->lx.token == TOKEN_DURATION)
		*ret = p->lx.duration;
	else if (p->lx.token == TOKEN_NUMBER && fabs(s) < 1e12)
		*ret = (int64_t)(s * 1000);
	else
		return unexpected(p, "duration");
	lexer_next(&p->lx);
	return 0;
}

/* Behind the colon of [range:step]. */
static int parse_subquery(struct parser *p, size_t pos, int64_t range_ms, struct node **np)
{
	struct node *inner = *np, *n = node_new(p, NODE_SUBQUERY, inner->pos);
	lexer_next(&p->lx);
	n->range_ms = range_ms;
	n->args[0] = inner;
	n->args_len = 1;
	int rc = is(p, "]") ? 0 : parse_duration(p, &n->step_ms);
	if (rc)
		return rc;
	if (inner->type != PROMQL_VECTOR)
		return lexer_fail(&p->lx, pos, "subquery is only allowed on instant vector, got %s",
				  type_text(inner->type));
	n->type = PROMQL_MATRIX;
	*np = n;
	return expect(p, "]", "subquery");
}

static int parse_range(struct parser *p, bool closed, struct node **np)
{
	struct node *n = *np;
	size_t pos = p->lx.start;
	int64_t range = 0;
	lexer_next(&p->lx);
	int rc = parse_duration(p, &range);
	if (rc)
		return rc;
	if (range <= 0)
		return lexer_fail(&p->lx, pos, "duration must be greater than 0");
	if (is(p, ":"))
		return parse_subquery(p, pos, range, np);
	if (closed || n->kind != NODE_SELECTOR || n->type != PROMQL_VECTOR)
		return lexer_fail(&p->lx, pos, "ranges only allowed for vector selectors");
	if (n->offset_given || n->at)
		return lexer_fail(&p->lx, pos, "no offset modifiers allowed before range");
	n->range_ms = range;
	n->type = PROMQL_MATRIX;
	return expect(p, "]", "range");
}

/* offset and @ stand behind selectors and subqueries, not behind what stands in parentheses. */
static int check_modified(struct parser *p, const struct node *n, bool closed, size_t pos,
			  const char *what)
{
	if (!closed && (n->kind == NODE_SELECTOR || n->kind == NODE_SUBQUERY))
		return 0;
	return lexer_fail(&p->lx, pos,
			  "%s modifier must be preceded by an instant vector selector or range "
			  "vector selector or a subquery",
			  what);
}

static int parse_offset(struct parser *p, struct node *n, bool closed)
{
	size_t pos = p->lx.start;
	lexer_next(&p->lx);
	bool minus = is(p, "-");
	if (minus || is(p, "+"))
		lexer_next(&p->lx);
	int64_t ms = 0;
	int rc = parse_duration(p, &ms);
	if (!rc)
		rc = check_modified(p, n, closed, pos, "offset");
	if (rc)
		return rc;
	if (n->offset_given)
		return lexer_fail(&p->lx, pos, "offset may not be set multiple times");
	n->offset_given = true;
	n->offset_ms = minus ? -ms : ms;
	return 0;
}

static int parse_at_time(struct parser *p, struct node *n)
{
	bool minus = is(p, "-");
	if (minus || is(p, "+"))
		lexer_next(&p->lx);
	if (p->lx.token != TOKEN_NUMBER)
		return unexpected(p, "@, expected timestamp");
	double s = minus ? -p->lx.number : p->lx.number;
	if (!(fabs(s) < 9e12))
		return lexer_fail(&p->lx, p->lx.start, "timestamp out of bounds for @ modifier: %g",
				  s);
	n->at = AT_TIME;
	n->at_ms = (int64_t)llround(s * 1000);
	lexer_next(&p->lx);
	return 0;
}

static int parse_at(struct parser *p, struct node *n, bool closed)
{
	size_t pos = p->lx.start;
	lexer_next(&p->lx);
	int rc = check_modified(p, n, closed, pos, "@");
	if (rc)
		return rc;
	if (n->at)
		return lexer_fail(&p->lx, pos, "@ <timestamp> may not be set multiple times");
	if (!is_word(p, "start") && !is_word(p, "end"))
		return parse_at_time(p, n);
	n->at = is_word(p, "start") ? AT_START : AT_END;
	lexer_next(&p->lx);
	rc = expect(p, "(", "@");
	return rc ? rc : expect(p, ")", "@");
}

static int parse_suffixes(struct parser *p, bool closed, struct node **np)
{
	int rc = 0;
	while (!rc) {
		struct node *n = *np;
		if (is(p, "["))
			rc = parse_range(p, closed, np);
		else if (is_word(p, "offset"))
			rc = parse_offset(p, n, closed);
		else if (is(p, "@"))
			rc = parse_at(p, n, closed);
		else
			break;
		closed &= *np == n; /* a subquery of something closed is open again */
		if (p->q->nodes > PROMQL_NODES_MAX)
			rc = rc ? rc : lexer_fail(&p->lx, p->lx.start, "too long");
	}
	return rc;
}

/* ---- aggregations and calls ---- */

static int parse_expr(struct parser *p, int level, struct node **ret);

static int parse_names(struct parser *p, struct names *names)
{
	int rc = expect(p, "(", "grouping opts");
	names->v = arena_new(&p->q->arena, struct str, LABELS_MAX);
	while (!rc && !is(p, ")")) {
		bool good = p->lx.token == TOKEN_IDENTIFIER || p->lx.token == TOKEN_STRING;
		if (!good || !labels_name_valid(p->lx.word))
			return unexpected(p, "grouping opts, expected label");
		if (names->len == LABELS_MAX)
			return lexer_fail(&p->lx, p->lx.start, "more than %d labels", LABELS_MAX);
		names->v[names->len++] = p->lx.word;
		lexer_next(&p->lx);
		if (!is(p, ","))
			break;
		lexer_next(&p->lx);
	}
	return rc ? rc : expect(p, ")", "grouping opts");
}

static int parse_args(struct parser *p, struct node *n)
{
	int rc = expect(p, "(", "function call");
	while (!rc && !is(p, ")")) {
		if (n->args_len == ARGS_MAX)
			return lexer_fail(&p->lx, p->lx.start, "more than %d arguments", ARGS_MAX);
		rc = parse_expr(p, 0, &n->args[n->args_len]);
		if (rc)
			return rc;
		n->args_len++;
		if (!is(p, ","))
			break;
		lexer_next(&p->lx);
	}
	return rc ? rc : expect(p, ")", "function call");
}

static int want_type(struct parser *p, const struct node *arg, enum promql_type type,
		     const char *where)
{
	if (arg->type == type)
		return 0;
	return lexer_fail(&p->lx, arg->pos, "expected type %s in %s, got %s", type_text(type),
			  where, type_text(arg->type));
}

static int invalid_name(struct parser *p, const struct node *n)
{
	char text[200];
	size_t len = 0;
	for (size_t i = 0; i < n->string.len && len + 5 < sizeof(text); i++) {
		uint8_t c = (uint8_t)n->string.p[i];
		bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
		len += (size_t)snprintf(text + len, sizeof(text) - len, plain ? "%c" : "\\x%02x",
					c);
	}
	text[len] = '\0';
	return lexer_fail(&p->lx, n->pos, "invalid label name \"%s\"", text);
}

static int check_aggregate(struct parser *p, const struct node *n)
{
	size_t want = n->agg >= AGG_TOPK ? 2 : 1;
	if (n->args_len != want)
		return lexer_fail(&p->lx, n->pos,
				  "wrong number of arguments for aggregate expression provided, "
				  "expected %zu, got %zu",
				  want, n->args_len);
	int rc = 0;
	if (want == 2)
		rc = want_type(p, n->args[0],
			       n->agg == AGG_COUNT_VALUES ? PROMQL_STRING : PROMQL_SCALAR,
			       "aggregation parameter");
	if (!rc && n->agg == AGG_COUNT_VALUES && !labels_name_valid(n->args[0]->string))
		rc = invalid_name(p, n->args[0]);
	return rc ? rc : want_type(p, n->args[want - 1], PROMQL_VECTOR, "aggregation expression");
}

static int parse_grouping(struct parser *p, struct node *n)
{
	n->on = is_word(p, "by");
	if (!n->on && !is_word(p, "without"))
		return 0;
	if (n->matching_given)
		return unexpected(p, "aggregation");
	n->matching_given = true;
	lexer_next(&p->lx);
	return parse_names(p, &n->labels);
}

static int parse_aggregate(struct parser *p, enum aggregate_op op, size_t pos, struct node **ret)
{
	struct node *n = node_new(p, NODE_AGGREGATE, pos);
	n->agg = op;
	n->type = PROMQL_VECTOR;
	int rc = parse_grouping(p, n);
	bool before = n->matching_given;
	if (!rc)
		rc = parse_args(p, n);
	if (!rc && !before)
		rc = parse_grouping(p, n);
	if (!rc && !n->matching_given)
		n->on = true; /* by () */
	if (!rc)
		rc = check_aggregate(p, n);
	*ret = n;
	return rc;
}

static int check_call(struct parser *p, const struct node *n)
{
	size_t required = 0, most = 0;
	bool optional = false;
	for (const char *a = n->func->args; *a; a++) {
		optional |= *a == '?' || *a == 'T';
		most += *a == 'T' ? ARGS_MAX : *a != '?';
		required += !optional;
	}
	if (n->args_len < required || n->args_len > most)
		return lexer_fail(
			&p->lx, n->pos, "expected %s%zu argument(s) in call to \"%s\", got %zu",
			n->args_len < required && required != most ? "at least " : "",
			n->args_len < required ? required : most, n->func->name, n->args_len);
	size_t i = 0;
	for (const char *a = n->func->args; *a && i < n->args_len; a += *a != 'T') {
		static const char letters[] = "svmtT";
		if (*a == '?')
			continue;
		enum promql_type type = *a == 'T'
						? PROMQL_STRING
						: (enum promql_type)(strchr(letters, *a) - letters);
		char where[80];
		(void)snprintf(where, sizeof(where), "call to function \"%s\"", n->func->name);
		int rc = want_type(p, n->args[i++], type, where);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_call(struct parser *p, struct str name, size_t pos, struct node **ret)
{
	struct node *n = node_new(p, NODE_CALL, pos);
	n->func = function_find(name);
	if (!n->func)
		return lexer_fail(&p->lx, pos, "unknown function with name \"%.*s\"",
				  STR_ARG(str_sub(name, 0, 60)));
	n->type = n->func->type;
	int rc = parse_args(p, n);
	*ret = n;
	return rc ? rc : check_call(p, n);
}

/* A word: an aggregation, a function, or a metric's name. */
static int parse_word(struct parser *p, struct node **ret)
{
	struct lexer ahead = p->lx;
	struct error dropped = { 0 };
	ahead.err = &dropped;
	lexer_next(&ahead);
	bool paren = ahead.token == TOKEN_OPERATOR && str_is(ahead.word, "(");
	bool group = ahead.token == TOKEN_IDENTIFIER && (str_eq_nocase(ahead.word, STR("by")) ||
							 str_eq_nocase(ahead.word, STR("without")));
	int op = find(AGGREGATE, sizeof(AGGREGATE) / sizeof(AGGREGATE[0]), p->lx.word);
	struct str name = p->lx.word;
	size_t pos = p->lx.start;
	if (op >= 0 && (paren || group)) {
		lexer_next(&p->lx);
		return parse_aggregate(p, (enum aggregate_op)op, pos, ret);
	}
	if (paren) {
		lexer_next(&p->lx);
		return parse_call(p, name, pos, ret);
	}
	return parse_selector(p, ret);
}

/* ---- expressions ---- */

static int parse_atom(struct parser *p, struct node **ret)
{
	size_t pos = p->lx.start;
	int rc = 0;
	bool closed = false;
	switch (p->lx.token) {
	case TOKEN_NUMBER:
		*ret = node_new(p, NODE_NUMBER, pos);
		(*ret)->number = p->lx.number;
		lexer_next(&p->lx);
		break;
	case TOKEN_DURATION:
		*ret = node_new(p, NODE_NUMBER, pos);
		(*ret)->number = (double)p->lx.duration / 1000;
		lexer_next(&p->lx);
		break;
	case TOKEN_STRING:
		*ret = node_new(p, NODE_STRING, pos);
		(*ret)->type = PROMQL_STRING;
		(*ret)->string = p->lx.word;
		lexer_next(&p->lx);
		break;
	case TOKEN_IDENTIFIER:
		rc = parse_word(p, ret);
		break;
	case TOKEN_OPERATOR:
		if (is(p, "{")) {
			rc = parse_selector(p, ret);
			break;
		}
		if (!is(p, "("))
			return unexpected(p, "");
		lexer_next(&p->lx);
		closed = true;
		rc = parse_expr(p, 0, ret);
		if (!rc)
			rc = expect(p, ")", "paren expression");
		break;
	case TOKEN_END:
	case TOKEN_BAD:
	default:
		return unexpected(p, "");
	}
	return rc ? rc : parse_suffixes(p, closed, ret);
}

enum { LEVEL_UNARY = 5, LEVEL_POWER = 6 };

static int parse_unary(struct parser *p, struct node **ret)
{
	if (!is(p, "-") && !is(p, "+"))
		return parse_atom(p, ret);
	bool minus = is(p, "-");
	size_t pos = p->lx.start;
	struct node *arg = NULL;
	lexer_next(&p->lx);
	int rc = parse_expr(p, LEVEL_UNARY, &arg);
	if (rc)
		return rc;
	if (arg->type != PROMQL_SCALAR && arg->type != PROMQL_VECTOR)
		return lexer_fail(&p->lx, pos,
				  "unary expression only allowed on expressions of type scalar or "
				  "instant vector, got \"%s\"",
				  type_text(arg->type));
	*ret = arg;
	if (!minus)
		return 0;
	*ret = node_new(p, NODE_NEGATE, pos);
	(*ret)->type = arg->type;
	(*ret)->args[0] = arg;
	(*ret)->args_len = 1;
	return 0;
}

/* How tightly an operator binds; 0 = the token is none. */
static int level_of(const struct parser *p, enum binary_op *op)
{
	static const int LEVEL[] = {
		[OP_OR] = 1,  [OP_AND] = 2, [OP_UNLESS] = 2, [OP_EQ] = 3,
		[OP_NE] = 3,  [OP_GT] = 3,  [OP_LT] = 3,     [OP_GE] = 3,
		[OP_LE] = 3,  [OP_ADD] = 4, [OP_SUB] = 4,    [OP_MUL] = 5,
		[OP_DIV] = 5, [OP_MOD] = 5, [OP_ATAN2] = 5,  [OP_POW] = 6,
	};
	if (p->lx.token != TOKEN_OPERATOR && p->lx.token != TOKEN_IDENTIFIER)
		return 0;
	int i = find(BINARY, sizeof(BINARY) / sizeof(BINARY[0]), p->lx.word);
	if (i < 0)
		return 0;
	*op = (enum binary_op)i;
	return LEVEL[i];
}

static int parse_matching(struct parser *p, struct node *n)
{
	int rc = 0;
	if (is_word(p, "bool")) {
		if (!binary_is_comparison(n->op))
			return lexer_fail(&p->lx, p->lx.start,
					  "bool modifier can only be used on comparison operators");
		n->is_bool = true;
		lexer_next(&p->lx);
	}
	if (is_word(p, "on") || is_word(p, "ignoring")) {
		n->on = is_word(p, "on");
		n->matching_given = true;
		lexer_next(&p->lx);
		rc = parse_names(p, &n->labels);
	}
	if (rc || !n->matching_given || (!is_word(p, "group_left") && !is_word(p, "group_right")))
		return rc;
	n->side = is_word(p, "group_left") ? GROUP_LEFT : GROUP_RIGHT;
	if (binary_is_set(n->op))
		return lexer_fail(&p->lx, p->lx.start, "no grouping allowed for \"%s\" operation",
				  BINARY[n->op]);
	lexer_next(&p->lx);
	return is(p, "(") ? parse_names(p, &n->include) : 0;
}

static int check_binary(struct parser *p, struct node *n)
{
	const struct node *l = n->args[0], *r = n->args[1];
	for (size_t i = 0; i < 2; i++)
		if (n->args[i]->type > PROMQL_VECTOR)
			return lexer_fail(&p->lx, n->args[i]->pos,
					  "binary expression must contain only scalar and instant "
					  "vector types");
	bool scalars = l->type == PROMQL_SCALAR && r->type == PROMQL_SCALAR;
	bool vectors = l->type == PROMQL_VECTOR && r->type == PROMQL_VECTOR;
	if (scalars && binary_is_comparison(n->op) && !n->is_bool)
		return lexer_fail(&p->lx, n->pos,
				  "comparisons between scalars must use BOOL modifier");
	if (!vectors && binary_is_set(n->op))
		return lexer_fail(&p->lx, n->pos,
				  "set operator \"%s\" not allowed in binary scalar expression",
				  BINARY[n->op]);
	if (!vectors && n->matching_given)
		return lexer_fail(&p->lx, n->pos,
				  "vector matching only allowed between instant vectors");
	for (size_t i = 0; n->on && i < n->include.len; i++)
		for (size_t k = 0; k < n->labels.len; k++)
			if (str_eq(n->include.v[i], n->labels.v[k]))
				return lexer_fail(
					&p->lx, n->pos,
					"label \"%.*s\" must not occur in ON and GROUP clause at "
					"once",
					STR_ARG(n->include.v[i]));
	n->type = scalars ? PROMQL_SCALAR : PROMQL_VECTOR;
	return 0;
}

static int parse_binary(struct parser *p, enum binary_op op, int level, struct node **left)
{
	struct node *n = node_new(p, NODE_BINARY, p->lx.start);
	n->op = op;
	n->args[0] = *left;
	n->args_len = 2;
	lexer_next(&p->lx);
	int rc = parse_matching(p, n);
	/* ^ is right-associative, all others bind to the left. */
	if (!rc)
		rc = parse_expr(p, level == LEVEL_POWER ? level - 1 : level, &n->args[1]);
	if (!rc)
		rc = check_binary(p, n);
	*left = n;
	return rc;
}

/* An expression of operators that bind tighter than `level`. */
static int parse_expr(struct parser *p, int level, struct node **ret)
{
	enum binary_op op = OP_ADD;
	if (++p->q->depth > PROMQL_DEPTH_MAX)
		return lexer_fail(&p->lx, p->lx.start, "nested too deeply");
	int rc = parse_unary(p, ret);
	for (int next; !rc && (next = level_of(p, &op)) > level;) {
		if (p->q->nodes > PROMQL_NODES_MAX)
			return lexer_fail(&p->lx, p->lx.start, "too long");
		rc = parse_binary(p, op, next, ret);
	}
	p->q->depth--;
	return rc;
}

static int parse_all(struct parser *p, struct error *err)
{
	if (p->lx.text.len > PROMQL_TEXT_MAX)
		return error_set(err, ERR_BAD_REQUEST, "a query of %zu bytes, at most %d",
				 p->lx.text.len, PROMQL_TEXT_MAX);
	if (!utf8_valid(p->lx.text))
		return error_set(err, ERR_BAD_REQUEST, "the query is not UTF-8");
	lexer_next(&p->lx);
	if (p->lx.token == TOKEN_END)
		return error_set(err, ERR_BAD_REQUEST,
				 "unknown position: parse error: no expression found in input");
	int rc = parse_expr(p, 0, &p->q->root);
	if (!rc && p->lx.token != TOKEN_END)
		rc = unexpected(p, "");
	return rc;
}

int promql_parse(struct str text, struct promql **ret, struct error *err)
{
	struct promql *q = mem_new(struct promql, 1);
	struct error own = { 0 };
	err = err ? err : &own;
	struct parser p = { .q = q, .lx = { .arena = &q->arena, .err = err } };
	p.lx.text = arena_str(&q->arena, str_sub(text, 0, PROMQL_TEXT_MAX + 1));
	int rc = parse_all(&p, err);
	if (rc) {
		promql_free(q);
		return rc;
	}
	*ret = q;
	return 0;
}

struct promql *promql_free(struct promql *q)
{
	if (!q)
		return NULL;
	for (size_t i = 0; i < q->regexes_len; i++)
		matcher_fini(q->regexes[i]);
	arena_fini(&q->arena);
	mem_free(q);
	return NULL;
}

enum promql_type promql_type(const struct promql *q)
{
	return q->root->type;
}

int promql_selector(const struct promql *q, const struct matcher **m, size_t *n, struct error *err)
{
	const struct node *root = q->root;
	if (root->kind != NODE_SELECTOR || root->type != PROMQL_VECTOR || root->offset_given ||
	    root->at)
		return error_set(err, ERR_BAD_REQUEST, "expected a series selector");
	*m = root->matchers;
	*n = root->matchers_len;
	return 0;
}
