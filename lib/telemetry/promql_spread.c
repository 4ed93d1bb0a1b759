/* Which parts of a query a place can do alone. */
#include "telemetry/promql_spread.h"

#include "base/mem.h"
#include "telemetry/promql_priv.h"

#include <inttypes.h>
#include <string.h>

/* The label that tells places apart, and another one that all series have. */
#define PLACE  STR("cluster")
#define REGION STR("region")

enum { SUBQUERY_STEP_MS = 60000 };

enum scope {
	SCOPE_NONE,  /* no series at all */
	SCOPE_PLACE, /* each place alone */
	SCOPE_HERE,  /* several places at once */
};

struct spread {
	struct arena *arena, *tree; /* of the parts, of the query */
	struct grid query;
	struct promql_part *parts;
	size_t len;
	struct error *err;
};

static bool has(const struct names *names, struct str name)
{
	for (size_t i = 0; i < names->len; i++)
		if (str_eq(names->v[i], name))
			return true;
	return false;
}

static bool has_place(const struct names *names)
{
	return has(names, PLACE);
}

/* ---- scopes ---- */

static enum scope scope_of(const struct node *n);

static enum scope binary_scope(const struct node *n)
{
	enum scope a = scope_of(n->args[0]), b = scope_of(n->args[1]);
	bool scalar = n->args[0]->type == PROMQL_SCALAR || n->args[1]->type == PROMQL_SCALAR;
	if (a == SCOPE_HERE || b == SCOPE_HERE)
		return SCOPE_HERE;
	if (a == SCOPE_NONE && b == SCOPE_NONE)
		return SCOPE_NONE;
	if (a == SCOPE_NONE || b == SCOPE_NONE)
		return scalar ? SCOPE_PLACE : SCOPE_HERE;
	/* Series of two places never match when the label is among those compared. */
	return has_place(&n->labels) == n->on ? SCOPE_PLACE : SCOPE_HERE;
}

static bool is_named(const struct node *n, const char *name)
{
	return n->kind == NODE_CALL && strcmp(n->func->name, name) == 0;
}

static bool is_absence(const struct node *n)
{
	return is_named(n, "absent") || is_named(n, "absent_over_time");
}

static enum scope call_scope(const struct node *n)
{
	enum scope most = SCOPE_NONE;
	for (size_t i = 0; i < n->args_len; i++) {
		enum scope s = scope_of(n->args[i]);
		most = s > most ? s : most;
	}
	if (most != SCOPE_PLACE)
		return most;
	if (is_absence(n) || is_named(n, "scalar") || strncmp(n->func->name, "sort", 4) == 0)
		return SCOPE_HERE;
	bool relabels = is_named(n, "label_replace") || is_named(n, "label_join");
	return relabels && str_eq(n->args[1]->string, PLACE) ? SCOPE_HERE : SCOPE_PLACE;
}

static enum scope scope_of(const struct node *n)
{
	switch (n->kind) {
	case NODE_SELECTOR:
		return SCOPE_PLACE;
	case NODE_SUBQUERY:
	case NODE_NEGATE:
		return scope_of(n->args[0]);
	case NODE_BINARY:
		return binary_scope(n);
	case NODE_AGGREGATE: {
		enum scope s = scope_of(n->args[n->args_len - 1]);
		bool alone = has_place(&n->labels) == n->on;
		for (size_t i = 0; i + 1 < n->args_len; i++)
			alone = alone && scope_of(n->args[i]) == SCOPE_NONE;
		return s == SCOPE_PLACE && !alone ? SCOPE_HERE : s;
	}
	case NODE_CALL:
		return call_scope(n);
	case NODE_NUMBER:
	case NODE_STRING:
	default:
		return SCOPE_NONE;
	}
}

/* Whether a label that all series have is still there when n is through. */
static bool keeps(const struct node *n, struct str label)
{
	bool chooses =
		n->kind == NODE_AGGREGATE && (n->agg == AGG_TOPK || n->agg == AGG_BOTTOMK ||
					      n->agg == AGG_LIMITK || n->agg == AGG_LIMIT_RATIO);
	switch (n->kind) {
	case NODE_AGGREGATE:
		return keeps(n->args[n->args_len - 1], label) &&
		       (chooses || has(&n->labels, label) == n->on);
	case NODE_BINARY:
		if (scope_of(n->args[0]) == SCOPE_NONE)
			return keeps(n->args[1], label);
		if (n->side == GROUP_RIGHT)
			return keeps(n->args[1], label);
		if (n->side == GROUP_NONE && !binary_is_set(n->op) && n->matching_given &&
		    has(&n->labels, label) != n->on)
			return false;
		return keeps(n->args[0], label);
	case NODE_CALL:
		for (size_t i = 0; i < n->args_len; i++)
			if (scope_of(n->args[i]) != SCOPE_NONE)
				return keeps(n->args[i], label);
		return true;
	case NODE_SUBQUERY:
	case NODE_NEGATE:
		return keeps(n->args[0], label);
	case NODE_SELECTOR:
	case NODE_NUMBER:
	case NODE_STRING:
	default:
		return true;
	}
}

/* ---- parts ---- */

/* "@ start()" means the whole query, whatever a place is asked. */
static void fix_moments(struct node *n, const struct grid *query)
{
	if (n->at == AT_START || n->at == AT_END) {
		n->at_ms = n->at == AT_START ? query->start_ms : grid_at(query, query->n - 1);
		n->at = AT_TIME;
	}
	for (size_t i = 0; i < n->args_len; i++)
		fix_moments(n->args[i], query);
}

/* In the tree, a selector of the part's number stands for it. */
static struct node *leaf(struct spread *s, const struct node *n, size_t part)
{
	struct node *l = arena_new(s->tree, struct node, 1);
	l->kind = NODE_SELECTOR;
	l->type = n->type;
	l->pos = n->pos;
	if (n->type == PROMQL_MATRIX) {
		l->range_ms = n->range_ms;
		l->offset_ms = n->offset_ms;
		l->at = n->at;
		l->at_ms = n->at_ms;
	}
	l->matchers = arena_new(s->tree, struct matcher, 1);
	l->matchers_len = 1;
	l->matchers[0] = (struct matcher){ .op = MATCHER_EQUAL,
					   .name = STR("part"),
					   .value = arena_strf(s->tree, "%zu", part) };
	return l;
}

static struct node *take_out(struct spread *s, const struct node *n, const struct grid *grid,
			     bool all)
{
	struct buf text = { 0 };
	struct promql part = { .root = arena_new(s->arena, struct node, 1) };
	if (s->len == PROMQL_PARTS_MAX) {
		(void)error_set(s->err, ERR_LIMIT, "more than %d parts of a query over clusters",
				PROMQL_PARTS_MAX);
		return NULL;
	}
	*part.root = *n;
	promql_print(&part, &text);
	s->parts[s->len] = (struct promql_part){
		.text = arena_str(s->arena, buf_str(&text)),
		.instant = grid->n == 1,
		.range = { grid->start_ms, grid_at(grid, grid->n - 1), grid->step_ms },
		.matrix = n->type == PROMQL_MATRIX,
		.all = all,
	};
	struct promql_part *p = &s->parts[s->len];
	const struct str labels[] = { PLACE, REGION };
	for (size_t i = 0; i < 2 && !all; i++)
		if (keeps(n, labels[i]))
			p->keep[p->keep_len++] = labels[i];
	buf_fini(&text);
	return leaf(s, n, s->len++);
}

static int spread(struct spread *s, struct node **at, const struct grid *grid);

static int spread_subquery(struct spread *s, struct node *n, const struct grid *grid)
{
	struct eval e = { .grid = *grid, .query = s->query };
	int64_t step = n->step_ms ? n->step_ms : SUBQUERY_STEP_MS;
	int64_t from = eval_moment(&e, n, 0) - n->range_ms;
	int64_t to = eval_moment(&e, n, grid->n - 1), start = from / step * step;
	if (start <= from)
		start += step;
	if (start > to)
		return 0; /* it has no steps: nobody is asked */
	uint64_t steps = ((uint64_t)to - (uint64_t)start) / (uint64_t)step + 1;
	if (steps > PROMQL_STEPS_MAX)
		return error_set(s->err, ERR_LIMIT,
				 "a subquery of more than %d steps over clusters",
				 PROMQL_STEPS_MAX);
	const struct grid inner = { start, step, (size_t)steps };
	return spread(s, &n->args[0], &inner);
}

/* Sums, counts and the best k of places can be taken again; averages cannot. */
static int spread_aggregate(struct spread *s, struct node *n, const struct grid *grid)
{
	static const bool again[] = {
		[AGG_SUM] = true,     [AGG_COUNT] = true,       [AGG_MIN] = true,
		[AGG_MAX] = true,     [AGG_GROUP] = true,       [AGG_TOPK] = true,
		[AGG_BOTTOMK] = true, [AGG_LIMIT_RATIO] = false
	};
	size_t last = n->args_len - 1;
	bool whole = again[n->agg] && scope_of(n->args[last]) == SCOPE_PLACE &&
		     (last == 0 || scope_of(n->args[0]) == SCOPE_NONE);
	int rc = 0;
	if (!whole) {
		for (size_t i = 0; !rc && i < n->args_len; i++)
			rc = spread(s, &n->args[i], grid);
		return rc;
	}
	struct node *l = take_out(s, n, grid, false);
	if (!l)
		return ERR_LIMIT;
	n->args[last] = l;
	if (n->agg == AGG_COUNT)
		n->agg = AGG_SUM;
	return 0;
}

static int spread(struct spread *s, struct node **at, const struct grid *grid)
{
	struct node *n = *at;
	enum scope scope = scope_of(n);
	if (scope == SCOPE_NONE)
		return 0;
	if (scope == SCOPE_PLACE && n->type == PROMQL_MATRIX)
		return error_set(s->err, ERR_BAD_REQUEST,
				 "a range of samples of all clusters is not taken together");
	bool all = is_absence(n) && scope_of(n->args[0]) == SCOPE_PLACE;
	if (scope == SCOPE_PLACE || all) {
		struct node *l = take_out(s, n, grid, all);
		*at = l ? l : n;
		return l ? 0 : ERR_LIMIT;
	}
	if (n->kind == NODE_SUBQUERY)
		return spread_subquery(s, n, grid);
	if (n->kind == NODE_AGGREGATE)
		return spread_aggregate(s, n, grid);
	int rc = 0;
	for (size_t i = 0; !rc && i < n->args_len; i++)
		rc = spread(s, &n->args[i], grid);
	return rc;
}

int promql_spread(struct promql *q, const struct promql_range *range, struct arena *a,
		  struct promql_part **ret, size_t *ret_len, struct error *err)
{
	struct spread s = { .arena = a, .tree = &q->arena, .err = err };
	s.query = (struct grid){ range->start_ms, range->step_ms, 1 };
	if (range->step_ms > 0 && range->end_ms > range->start_ms)
		s.query.n = (size_t)(((uint64_t)range->end_ms - (uint64_t)range->start_ms) /
				     (uint64_t)range->step_ms) +
			    1;
	if (s.query.n > PROMQL_STEPS_MAX)
		return error_set(err, ERR_BAD_REQUEST,
				 "exceeded maximum resolution of %d points per timeseries. Try "
				 "decreasing the query resolution (?step=XX)",
				 PROMQL_STEPS_MAX);
	s.parts = arena_new(a, struct promql_part, PROMQL_PARTS_MAX);
	fix_moments(q->root, &s.query);
	int rc = 0;
	if (q->root->type == PROMQL_MATRIX && scope_of(q->root) == SCOPE_PLACE) {
		struct node *l = take_out(&s, q->root, &s.query, false);
		q->root = l ? l : q->root;
	} else {
		rc = spread(&s, &q->root, &s.query);
	}
	*ret = s.parts;
	*ret_len = s.len;
	return rc;
}
