#include "base/mem.h"
#include "telemetry/promql_priv.h"

#include <assert.h>
#include <math.h>

/* ---- values and labels ---- */

struct promql_point *value_add(struct eval *e, struct value *v, struct labels l, double x)
{
	if (v->len == v->cap) {
		size_t cap = v->cap ? v->cap * 2 : 16;
		struct promql_point *p = arena_new(e->arena, struct promql_point, cap);
		if (v->len)
			memcpy(p, v->v, v->len * sizeof(*p));
		v->v = p;
		v->cap = cap;
	}
	v->v[v->len] = (struct promql_point){ .labels = l, .v = x };
	return &v->v[v->len++];
}

static bool has(const struct names *names, struct str name)
{
	for (size_t i = 0; i < names->len; i++)
		if (str_eq(names->v[i], name))
			return true;
	return false;
}

static struct labels keep(struct arena *a, struct labels l, const struct names *names,
			  bool keep_named)
{
	struct label *v = arena_new(a, struct label, l.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < l.len; i++)
		if (has(names, l.v[i].name) == keep_named &&
		    (keep_named || !str_eq(l.v[i].name, LABELS_NAME)))
			v[n++] = l.v[i];
	return (struct labels){ v, n };
}

struct labels labels_without(struct arena *a, struct labels l, const struct names *drop)
{
	return keep(a, l, drop, false);
}

struct labels labels_only(struct arena *a, struct labels l, const struct names *names)
{
	return keep(a, l, names, true);
}

struct labels labels_nameless(struct arena *a, struct labels l)
{
	static const struct names none = { NULL, 0 };
	return keep(a, l, &none, false);
}

int eval_check(struct eval *e)
{
	if (e->limits.late && e->limits.late(e->limits.arg))
		return error_set(e->err, ERR_TIMEOUT, "query timed out in expression evaluation");
	return 0;
}

/* ---- selectors ---- */

struct selection {
	struct eval *e;
	const struct node *n;
	struct value *to;
};

static int count(struct eval *e, size_t n)
{
	e->samples += (int64_t)n;
	if (e->samples > e->limits.samples_max)
		return error_set(e->err, ERR_LIMIT,
				 "query processing would load too many samples into memory in "
				 "query execution");
	return e->samples % 1024 < (int64_t)n ? eval_check(e) : 0;
}

static int on_instant(void *arg, const struct promql_series *s, struct error *err)
{
	struct selection *x = arg;
	struct eval *e = x->e;
	int64_t at = e->time_ms - x->n->offset_ms;
	struct sample last;
	int got = e->src->last(e->src->arg, s, at - SAMPLE_LOOKBACK_MS, at, &last, err);
	if (got <= 0)
		return got;
	int rc = count(e, 1);
	if (rc || sample_is_stale(last.v))
		return rc;
	(void)value_add(e, x->to, s->labels, last.v);
	return 0;
}

static int on_range(void *arg, const struct promql_series *s, struct error *err)
{
	struct selection *x = arg;
	struct eval *e = x->e;
	int64_t at = e->time_ms - x->n->offset_ms;
	e->buf.len = 0;
	int rc = e->src->read(e->src->arg, s, at - x->n->range_ms, at, &e->buf, err);
	if (!rc)
		rc = count(e, e->buf.len);
	if (rc)
		return rc;
	struct sample *v = arena_new(e->arena, struct sample, e->buf.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < e->buf.len; i++)
		if (!sample_is_stale(e->buf.v[i].v))
			v[n++] = e->buf.v[i];
	if (!n)
		return 0;
	struct promql_point *p = value_add(e, x->to, s->labels, 0);
	p->samples = v;
	p->samples_len = n;
	return 0;
}

static int eval_selector(struct eval *e, const struct node *n, struct value *ret)
{
	struct selection x = { e, n, ret };
	return e->src->select(e->src->arg, n->matchers, n->matchers_len,
			      n->type == PROMQL_MATRIX ? on_range : on_instant, &x, e->err);
}

/* ---- the rest ---- */

static int eval_negate(struct eval *e, const struct node *n, struct value *ret)
{
	int rc = eval_node(e, n->args[0], ret);
	ret->scalar = -ret->scalar;
	for (size_t i = 0; !rc && i < ret->len; i++) {
		ret->v[i].v = -ret->v[i].v;
		ret->v[i].labels = labels_nameless(e->arena, ret->v[i].labels);
	}
	return rc;
}

static int eval_call(struct eval *e, const struct node *n, struct value *ret)
{
	struct value args[ARGS_MAX] = { 0 };
	for (size_t i = 0; i < n->args_len; i++) {
		int rc = eval_node(e, n->args[i], &args[i]);
		if (rc)
			return rc;
	}
	return n->func->fn(e, n, args, ret);
}

int eval_node(struct eval *e, const struct node *n, struct value *ret)
{
	*ret = (struct value){ .type = n->type };
	switch (n->kind) {
	case NODE_NUMBER:
		ret->scalar = n->number;
		return 0;
	case NODE_STRING:
		ret->string = n->string;
		return 0;
	case NODE_SELECTOR:
		return eval_selector(e, n, ret);
	case NODE_NEGATE:
		return eval_negate(e, n, ret);
	case NODE_BINARY:
		return eval_binary(e, n, ret);
	case NODE_AGGREGATE:
		return eval_aggregate(e, n, ret);
	case NODE_CALL:
	default:
		return eval_call(e, n, ret);
	}
}

/* Two series of one result must not have the same labels. */
static int check_unique(struct eval *e, const struct value *v)
{
	struct map seen = { 0 };
	struct buf key = { 0 };
	bool twice = false;
	for (size_t i = 0; i < v->len && !twice; i++) {
		buf_clear(&key);
		labels_key(v->v[i].labels, &key);
		twice = map_set(&seen, buf_str(&key), &v->v[i]) != NULL;
	}
	map_fini(&seen);
	buf_fini(&key);
	return twice ? error_set(e->err, ERR_INVALID,
				 "vector cannot contain metrics with the same labelset")
		     : 0;
}

int promql_eval(struct promql *q, int64_t time_ms, const struct promql_source *src,
		const struct promql_limits *limits, struct arena *a, struct promql_result *ret,
		struct error *err)
{
	struct eval e = {
		.arena = a, .time_ms = time_ms, .src = src, .limits = *limits, .err = err
	};
	struct value v;
	int rc = eval_node(&e, q->root, &v);
	if (!rc && (v.type == PROMQL_VECTOR || v.type == PROMQL_MATRIX))
		rc = check_unique(&e, &v);
	mem_free(e.buf.v);
	if (rc)
		return rc;
	*ret = (struct promql_result){ .type = v.type,
				       .time_ms = time_ms,
				       .scalar = v.scalar,
				       .string = v.string,
				       .points = v.v,
				       .len = v.len,
				       .ordered = v.ordered };
	return 0;
}
