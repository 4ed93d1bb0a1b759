#include "telemetry/promql_priv.h"

#include <assert.h>
#include <math.h>

/* The number, or for comparisons whether it holds. */
static double apply(enum binary_op op, double l, double r, bool *holds)
{
	*holds = true;
	switch (op) {
	case OP_ADD:
		return l + r;
	case OP_SUB:
		return l - r;
	case OP_MUL:
		return l * r;
	case OP_DIV:
		return l / r;
	case OP_MOD:
		return fmod(l, r);
	case OP_POW:
		return pow(l, r);
	case OP_ATAN2:
		return atan2(l, r);
	case OP_EQ:
		*holds = l == r;
		break;
	case OP_NE:
		*holds = l != r;
		break;
	case OP_GT:
		*holds = l > r;
		break;
	case OP_LT:
		*holds = l < r;
		break;
	case OP_GE:
		*holds = l >= r;
		break;
	case OP_LE:
		*holds = l <= r;
		break;
	case OP_AND:
	case OP_OR:
	case OP_UNLESS:
	default:
		assert(!binary_is_set(op)); /* they have no number */
	}
	return l;
}

/* ---- with a scalar ---- */

static void with_scalar(struct eval *e, const struct node *n, const struct value *vec, double s,
			bool scalar_left, struct value *ret)
{
	for (size_t i = 0; i < vec->len; i++) {
		const struct promql_point *p = &vec->v[i];
		bool holds = true;
		double x =
			scalar_left ? apply(n->op, s, p->v, &holds) : apply(n->op, p->v, s, &holds);
		if (n->is_bool)
			x = holds;
		else if (binary_is_comparison(n->op))
			x = p->v;
		if (!holds && !n->is_bool)
			continue;
		bool nameless = n->is_bool || !binary_is_comparison(n->op);
		(void)value_add(e, ret, nameless ? labels_nameless(e->arena, p->labels) : p->labels,
				x);
	}
}

/* ---- vector and vector ---- */

struct side {
	struct map groups; /* signature → struct promql_point */
	struct buf key;
};

static void signature(struct eval *e, const struct node *n, struct labels l, struct buf *key)
{
	buf_clear(key);
	labels_key(n->on ? labels_only(e->arena, l, &n->labels)
			 : labels_without(e->arena, l, &n->labels),
		   key);
}

static int eval_set(struct eval *e, const struct node *n, const struct value *l,
		    const struct value *r, struct value *ret)
{
	struct map there = { 0 };
	struct buf key = { 0 };
	const struct value *probe = n->op == OP_OR ? l : r;
	for (size_t i = 0; i < probe->len; i++) {
		signature(e, n, probe->v[i].labels, &key);
		(void)map_set(&there, buf_str(&key), &probe->v[i]);
	}
	for (size_t i = 0; i < l->len; i++) {
		signature(e, n, l->v[i].labels, &key);
		bool found = map_get(&there, buf_str(&key)) != NULL;
		if (n->op == OP_OR || found == (n->op == OP_AND))
			(void)value_add(e, ret, l->v[i].labels, l->v[i].v);
	}
	for (size_t i = 0; n->op == OP_OR && i < r->len; i++) {
		signature(e, n, r->v[i].labels, &key);
		if (!map_get(&there, buf_str(&key)))
			(void)value_add(e, ret, r->v[i].labels, r->v[i].v);
	}
	map_fini(&there);
	buf_fini(&key);
	return 0;
}

/* The labels of a match: of the "many" side, with those of group_…(…) taken from the "one". */
static struct labels result_labels(struct eval *e, const struct node *n, struct labels many,
				   struct labels one)
{
	bool nameless = n->is_bool || !binary_is_comparison(n->op);
	if (n->side == GROUP_NONE) {
		if (n->on)
			return labels_only(e->arena, many, &n->labels);
		if (nameless || n->labels.len)
			return labels_without(e->arena, many, &n->labels);
		return many;
	}
	struct label *v = arena_new(e->arena, struct label, many.len + n->include.len + 1);
	size_t len = 0, bytes = SIZE_MAX;
	for (size_t i = 0; i < many.len; i++) {
		bool named = false;
		for (size_t k = 0; k < n->include.len; k++)
			named |= str_eq(n->include.v[k], many.v[i].name);
		if (!named && !(nameless && str_eq(many.v[i].name, LABELS_NAME)))
			v[len++] = many.v[i];
	}
	for (size_t k = 0; k < n->include.len; k++)
		v[len++] = (struct label){ n->include.v[k], labels_get(one, n->include.v[k]) };
	/* Both sets were checked when they came in; only their order is new. */
	if (labels_check(v, &len, bytes, NULL) != 0)
		return many;
	return (struct labels){ v, len };
}

static int many_error(struct eval *e, const char *side, const struct promql_point *p)
{
	struct buf b = { 0 };
	labels_write_text(p->labels, &b);
	int rc = error_set(e->err, ERR_INVALID,
			   "found duplicate series for the match group on the %s hand-side of the "
			   "operation: %.*s; many-to-many matching not allowed: matching labels "
			   "must be unique on one side",
			   side, STR_ARG(str_sub(buf_str(&b), 0, 250)));
	buf_fini(&b);
	return rc;
}

static int fill_one(struct eval *e, const struct node *n, const struct value *one, const char *name,
		    struct side *s)
{
	for (size_t i = 0; i < one->len; i++) {
		signature(e, n, one->v[i].labels, &s->key);
		if (map_set(&s->groups, buf_str(&s->key), &one->v[i]))
			return many_error(e, name, &one->v[i]);
	}
	return 0;
}

static int multiple_error(struct eval *e, const struct node *n)
{
	return error_set(e->err, ERR_INVALID, "multiple matches for labels: %s",
			 n->side == GROUP_NONE
				 ? "many-to-one matching must be explicit (group_left/group_right)"
				 : "grouping labels must ensure unique matches");
}

static int match_many(struct eval *e, const struct node *n, const struct value *many,
		      struct side *one, struct value *ret)
{
	struct map seen = { 0 };
	int rc = 0;
	for (size_t i = 0; i < many->len && !rc; i++) {
		struct promql_point *p = &many->v[i];
		signature(e, n, p->labels, &one->key);
		struct promql_point *o = map_get(&one->groups, buf_str(&one->key));
		if (!o)
			continue;
		/* An error, also where the comparison lets nothing through. */
		if (n->side == GROUP_NONE && map_set(&seen, buf_str(&one->key), p)) {
			rc = multiple_error(e, n);
			break;
		}
		bool swap = n->side == GROUP_RIGHT, holds = true;
		double x = apply(n->op, swap ? o->v : p->v, swap ? p->v : o->v, &holds);
		if (n->is_bool)
			x = holds;
		else if (!holds)
			continue;
		struct labels l = result_labels(e, n, p->labels, o->labels);
		buf_clear(&one->key);
		labels_key(l, &one->key);
		if (n->side != GROUP_NONE && map_set(&seen, buf_str(&one->key), p))
			rc = multiple_error(e, n);
		else
			(void)value_add(e, ret, l, x);
	}
	map_fini(&seen);
	return rc;
}

static int eval_vectors(struct eval *e, const struct node *n, const struct value *l,
			const struct value *r, struct value *ret)
{
	struct side one = { 0 };
	bool right_is_one = n->side != GROUP_RIGHT;
	if (!l->len || !r->len)
		return 0;
	int rc = fill_one(e, n, right_is_one ? r : l, right_is_one ? "right" : "left", &one);
	if (!rc)
		rc = match_many(e, n, right_is_one ? l : r, &one, ret);
	map_fini(&one.groups);
	buf_fini(&one.key);
	return rc;
}

int eval_binary(struct eval *e, const struct node *n, struct value *ret)
{
	struct value l, r;
	int rc = eval_node(e, n->args[0], &l);
	if (!rc)
		rc = eval_node(e, n->args[1], &r);
	if (!rc)
		rc = eval_check(e);
	if (rc)
		return rc;
	if (binary_is_set(n->op))
		return eval_set(e, n, &l, &r, ret);
	if (l.type == PROMQL_VECTOR && r.type == PROMQL_VECTOR)
		return eval_vectors(e, n, &l, &r, ret);
	bool holds = true;
	if (l.type == PROMQL_VECTOR)
		with_scalar(e, n, &l, r.scalar, false, ret);
	else if (r.type == PROMQL_VECTOR)
		with_scalar(e, n, &r, l.scalar, true, ret);
	else
		ret->scalar = apply(n->op, l.scalar, r.scalar, &holds);
	if (ret->type == PROMQL_SCALAR && n->is_bool)
		ret->scalar = holds;
	return 0;
}
