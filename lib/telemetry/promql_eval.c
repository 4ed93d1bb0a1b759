/* The walk over the tree; what comes out of it. */
#include "base/mem.h"
#include "telemetry/promql_priv.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORK_BETWEEN_CHECKS = 1 << 16 };

int eval_work(struct eval *e, size_t n)
{
	e->work += (int64_t)n + 1;
	if (e->work < WORK_BETWEEN_CHECKS)
		return 0;
	e->work = 0;
	if (e->limits.late && e->limits.late(e->limits.arg))
		return error_set(e->err, ERR_TIMEOUT, "query timed out in expression evaluation");
	return 0;
}

int eval_bytes(struct eval *e, size_t n)
{
	int64_t most = e->limits.bytes_max ? e->limits.bytes_max : PROMQL_BYTES;
	e->bytes += (int64_t)n;
	if (e->bytes > most || e->arena->total > (size_t)most * 2)
		return error_set(e->err, ERR_LIMIT,
				 "query processing would need too much memory in query execution");
	return 0;
}

double *eval_numbers(struct eval *e)
{
	if (eval_bytes(e, e->grid.n * sizeof(double)) != 0)
		return NULL;
	return arena_new(e->arena, double, e->grid.n);
}

int eval_keep(struct eval *e, struct collected *c, const struct series *s)
{
	double *v = eval_numbers(e);
	if (!v)
		return ERR_LIMIT;
	memcpy(v, s->v, e->grid.n * sizeof(*v));
	if (c->len == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 16;
		struct series *p = arena_new(e->arena, struct series, cap);
		if (c->len)
			memcpy(p, c->v, c->len * sizeof(*p));
		c->v = p;
		c->cap = cap;
	}
	c->v[c->len] = *s;
	c->v[c->len++].v = v;
	return eval_work(e, e->grid.n);
}

struct collecting {
	struct eval *e;
	struct collected *to;
};

static int collect_one(void *arg, const struct series *s)
{
	struct collecting *c = arg;
	return eval_keep(c->e, c->to, s);
}

int eval_collect(struct eval *e, const struct node *n, struct collected *ret)
{
	struct collecting c = { e, ret };
	*ret = (struct collected){ 0 };
	return eval_vector(e, n, collect_one, &c);
}

void eval_note(struct eval *e, bool warning, const struct node *n, const char *fmt, ...)
{
	va_list ap;
	if (!e->notes)
		e->notes = arena_new(e->arena, struct promql_note, PROMQL_NOTES_MAX);
	va_start(ap, fmt);
	char *text = arena_vprintf(e->arena, fmt, ap);
	va_end(ap);
	struct str s = arena_strf(e->arena, "PromQL %s: %s (1:%zu)", warning ? "warning" : "info",
				  text, n->pos + 1);
	for (size_t i = 0; i < e->notes_len; i++)
		if (str_eq(e->notes[i].text, s))
			return;
	if (e->notes_len < PROMQL_NOTES_MAX)
		e->notes[e->notes_len++] = (struct promql_note){ warning, s };
}

/* ---- scalars ---- */

int eval_scalar(struct eval *e, const struct node *n, double *ret)
{
	int rc = 0;
	assert(n->type == PROMQL_SCALAR);
	switch (n->kind) {
	case NODE_NUMBER:
		for (size_t i = 0; i < e->grid.n; i++)
			ret[i] = n->number;
		return eval_work(e, e->grid.n);
	case NODE_NEGATE:
		rc = eval_scalar(e, n->args[0], ret);
		for (size_t i = 0; !rc && i < e->grid.n; i++)
			ret[i] = -ret[i];
		return rc;
	case NODE_BINARY:
		return eval_binary_scalars(e, n, ret);
	case NODE_STRING:
	case NODE_SELECTOR:
	case NODE_SUBQUERY:
	case NODE_AGGREGATE:
	case NODE_CALL:
	default:
		return eval_call_scalar(e, n, ret);
	}
}

/* ---- vectors ---- */

struct negating {
	struct eval *e;
	series_fn fn;
	void *arg;
};

static int negate(void *arg, const struct series *s)
{
	struct negating *x = arg;
	struct series out = *s;
	for (size_t i = 0; i < x->e->grid.n; i++)
		if (!is_absent(s->v[i]))
			s->v[i] = -s->v[i];
	out.nameless = true;
	return x->fn(x->arg, &out);
}

int eval_vector(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct negating x = { e, fn, arg };
	assert(n->type == PROMQL_VECTOR);
	switch (n->kind) {
	case NODE_SELECTOR:
		return eval_instant(e, n, false, fn, arg);
	case NODE_NEGATE:
		return eval_vector(e, n->args[0], negate, &x);
	case NODE_BINARY:
		return eval_binary(e, n, fn, arg);
	case NODE_AGGREGATE:
		return eval_aggregate(e, n, fn, arg);
	case NODE_NUMBER:
	case NODE_STRING:
	case NODE_SUBQUERY:
	case NODE_CALL:
	default:
		return eval_call(e, n, fn, arg);
	}
}

/* ---- results ---- */

static int by_labels(const void *a, const void *b)
{
	struct labels x = ((const struct promql_point *)a)->labels;
	struct labels y = ((const struct promql_point *)b)->labels;
	for (size_t i = 0; i < x.len && i < y.len; i++) {
		int c = str_cmp(x.v[i].name, y.v[i].name);
		if (!c)
			c = str_cmp(x.v[i].value, y.v[i].value);
		if (c)
			return c;
	}
	return x.len < y.len ? -1 : x.len > y.len;
}

static bool merge(double *to, const double *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_absent(from[i]))
			continue;
		if (!is_absent(to[i]))
			return false;
		to[i] = from[i];
	}
	return true;
}

/* Names go now; series that have become one are put together where they do not overlap. */
static int finish_names(struct eval *e, struct collected *c)
{
	struct map seen = { 0 };
	struct buf key = { 0 };
	size_t len = 0;
	int rc = 0;
	for (size_t i = 0; i < c->len && !rc; i++) {
		struct series *s = &c->v[i];
		if (s->nameless)
			s->labels = labels_nameless(e->arena, s->labels);
		buf_clear(&key);
		labels_key(s->labels, &key);
		buf_addc(&key, '.');
		size_t at = (size_t)(uintptr_t)map_get(&seen, buf_str(&key));
		if (!at) {
			c->v[len++] = *s;
			(void)map_set(&seen, buf_str(&key), (void *)(uintptr_t)len);
		} else if (!merge(c->v[at - 1].v, s->v, e->grid.n)) {
			rc = error_set(e->err, ERR_INVALID,
				       "vector cannot contain metrics with the same labelset");
		}
	}
	c->len = len;
	map_fini(&seen);
	buf_fini(&key);
	return rc;
}

static size_t present(const struct eval *e, const struct series *s)
{
	size_t n = 0;
	for (size_t i = 0; i < e->grid.n; i++)
		n += !is_absent(s->v[i]);
	return n;
}

static int finish_matrix(struct eval *e, const struct collected *c, struct promql_result *ret)
{
	struct promql_point *p = arena_new(e->arena, struct promql_point, c->len + 1);
	size_t len = 0;
	for (size_t i = 0; i < c->len; i++) {
		const struct series *s = &c->v[i];
		size_t n = present(e, s), k = 0;
		if (!n)
			continue;
		int rc = eval_bytes(e, n * sizeof(struct sample));
		if (rc)
			return rc;
		struct sample *v = arena_new(e->arena, struct sample, n);
		for (size_t t = 0; t < e->grid.n; t++)
			if (!is_absent(s->v[t]))
				v[k++] = (struct sample){ grid_at(&e->grid, t), s->v[t] };
		p[len++] = (struct promql_point){ .labels = s->labels,
						  .samples = v,
						  .samples_len = n };
	}
	qsort(p, len, sizeof(*p), by_labels);
	ret->type = PROMQL_MATRIX;
	ret->points = p;
	ret->len = len;
	return 0;
}

static void finish_vector(struct eval *e, const struct collected *c, struct promql_result *ret)
{
	struct promql_point *p = arena_new(e->arena, struct promql_point, c->len + 1);
	for (size_t i = 0; i < c->len; i++)
		if (!is_absent(c->v[i].v[0]))
			p[ret->len++] = (struct promql_point){ .labels = c->v[i].labels,
							       .v = c->v[i].v[0] };
	ret->points = p;
	ret->ordered = e->ordered;
}

static int result_vector(struct eval *e, const struct node *n, bool range,
			 struct promql_result *ret)
{
	struct collected c;
	int rc = eval_collect(e, n, &c);
	if (!rc)
		rc = finish_names(e, &c);
	if (!rc && range)
		return finish_matrix(e, &c, ret);
	if (!rc)
		finish_vector(e, &c, ret);
	return rc;
}

/* A scalar over a range is a series without labels. */
static int result_scalar(struct eval *e, const struct node *n, bool range,
			 struct promql_result *ret)
{
	struct series s = { .v = eval_numbers(e) };
	struct collected c = { &s, 1, 1 };
	if (!s.v)
		return ERR_LIMIT;
	int rc = eval_scalar(e, n, s.v);
	if (rc)
		return rc;
	if (range)
		return finish_matrix(e, &c, ret);
	ret->scalar = s.v[0];
	return 0;
}

struct ranging {
	struct eval *e;
	struct promql_point *v;
	size_t len, cap;
};

static int keep_range(void *arg, const struct ranged *r)
{
	struct ranging *x = arg;
	int rc = eval_bytes(x->e, r->len * sizeof(struct sample));
	if (rc || !r->len)
		return rc;
	struct sample *v = arena_new(x->e->arena, struct sample, r->len);
	memcpy(v, r->v, r->len * sizeof(*v));
	if (x->len == x->cap) {
		size_t cap = x->cap ? x->cap * 2 : 16;
		struct promql_point *p = arena_new(x->e->arena, struct promql_point, cap);
		if (x->len)
			memcpy(p, x->v, x->len * sizeof(*p));
		x->v = p;
		x->cap = cap;
	}
	x->v[x->len++] = (struct promql_point){
		.labels = r->nameless ? labels_nameless(x->e->arena, r->labels) : r->labels,
		.samples = v,
		.samples_len = r->len,
	};
	return 0;
}

static int result_ranged(struct eval *e, const struct node *n, struct promql_result *ret)
{
	struct ranging x = { .e = e };
	int rc = eval_ranged(e, n, keep_range, &x);
	ret->points = x.v;
	ret->len = x.len;
	return rc;
}

static int result(struct eval *e, const struct node *n, bool range, struct promql_result *ret)
{
	switch (n->type) {
	case PROMQL_SCALAR:
		return result_scalar(e, n, range, ret);
	case PROMQL_VECTOR:
		return result_vector(e, n, range, ret);
	case PROMQL_MATRIX:
		return result_ranged(e, n, ret);
	case PROMQL_STRING:
	default:
		ret->string = n->string;
		return 0;
	}
}

static int evaluate(struct eval *e, const struct node *root, bool range, struct promql_result *ret)
{
	struct promql_result r = { .type = root->type, .time_ms = e->grid.start_ms };
	int rc = 0;
	e->query = e->grid;
	e->work = WORK_BETWEEN_CHECKS; /* a query that comes late does nothing */
	rc = eval_work(e, 0);
	if (!rc)
		rc = result(e, root, range, &r);
	mem_free(e->buf.v);
	if (rc)
		return rc;
	r.notes = e->notes;
	r.notes_len = e->notes_len;
	*ret = r;
	return 0;
}

int promql_eval(struct promql *q, int64_t time_ms, const struct promql_source *src,
		const struct promql_limits *limits, struct arena *a, struct promql_result *ret,
		struct error *err)
{
	struct error own = { 0 };
	struct eval e = { .arena = a,
			  .grid = { .start_ms = time_ms, .n = 1 },
			  .src = src,
			  .limits = *limits,
			  .err = err ? err : &own };
	return evaluate(&e, q->root, false, ret);
}

int promql_eval_range(struct promql *q, const struct promql_range *range,
		      const struct promql_source *src, const struct promql_limits *limits,
		      struct arena *a, struct promql_result *ret, struct error *err)
{
	static const char *const TYPE[] = { "scalar", "instant vector", "range vector", "string" };
	struct error own = { 0 };
	err = err ? err : &own;
	assert(range->step_ms > 0 && range->end_ms >= range->start_ms);
	uint64_t steps =
		((uint64_t)range->end_ms - (uint64_t)range->start_ms) / (uint64_t)range->step_ms +
		1;
	if (steps > PROMQL_STEPS_MAX)
		return error_set(err, ERR_BAD_REQUEST,
				 "exceeded maximum resolution of 11,000 points per timeseries. Try "
				 "decreasing the query resolution (?step=XX)");
	if (q->root->type > PROMQL_VECTOR)
		return error_set(err, ERR_BAD_REQUEST,
				 "invalid expression type \"%s\" for range query, must be Scalar "
				 "or instant Vector",
				 TYPE[q->root->type]);
	struct eval e = {
		.arena = a,
		.grid = { range->start_ms, range->step_ms, (size_t)steps },
		.src = src,
		.limits = *limits,
		.err = err,
	};
	return evaluate(&e, q->root, true, ret);
}
