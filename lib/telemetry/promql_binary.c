#include "base/mem.h"
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

/* ---- scalars ---- */

int eval_binary_scalars(struct eval *e, const struct node *n, double *ret)
{
	double *r = eval_numbers(e);
	int rc = r ? eval_scalar(e, n->args[0], ret) : ERR_LIMIT;
	if (!rc)
		rc = eval_scalar(e, n->args[1], r);
	for (size_t i = 0; !rc && i < e->grid.n; i++) {
		bool holds = true;
		ret[i] = apply(n->op, ret[i], r[i], &holds);
		if (n->is_bool)
			ret[i] = holds;
	}
	return rc ? rc : eval_work(e, e->grid.n);
}

struct scaling {
	struct eval *e;
	const struct node *n;
	double *scalar;
	bool scalar_left;
	series_fn fn;
	void *arg;
};

static int scale(void *arg, const struct series *s)
{
	struct scaling *x = arg;
	const struct node *n = x->n;
	struct series out = *s;
	bool compare = binary_is_comparison(n->op), some = false;
	for (size_t i = 0; i < x->e->grid.n; i++) {
		bool holds = true;
		if (is_absent(s->v[i]))
			continue;
		double v = x->scalar_left ? apply(n->op, x->scalar[i], s->v[i], &holds)
					  : apply(n->op, s->v[i], x->scalar[i], &holds);
		if (n->is_bool)
			s->v[i] = holds;
		else if (!compare)
			s->v[i] = v;
		else if (!holds)
			s->v[i] = sample_stale();
		some |= holds || n->is_bool;
	}
	out.nameless |= n->is_bool || !compare;
	return some ? x->fn(x->arg, &out) : 0;
}

static int with_scalar(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct scaling x = { .e = e, .n = n, .fn = fn, .arg = arg };
	x.scalar_left = n->args[0]->type == PROMQL_SCALAR;
	x.scalar = eval_numbers(e);
	int rc = x.scalar ? eval_scalar(e, n->args[x.scalar_left ? 0 : 1], x.scalar) : ERR_LIMIT;
	return rc ? rc : eval_vector(e, n->args[x.scalar_left ? 1 : 0], scale, &x);
}

/* ---- sets ---- */

struct presence {
	bool *there; /* [grid.n] */
};

struct set {
	struct eval *e;
	const struct node *n;
	struct map groups; /* signature → struct presence */
	struct buf key;
	series_fn fn;
	void *arg;
};

static struct presence *presence_of(struct set *x, const struct series *s, bool make)
{
	labels_key_of(s->labels, x->n->on, &x->n->labels, &x->key);
	struct presence *p = map_get(&x->groups, buf_str(&x->key));
	if (p || !make || eval_bytes(x->e, x->e->grid.n) != 0)
		return p;
	p = arena_new(x->e->arena, struct presence, 1);
	p->there = arena_new(x->e->arena, bool, x->e->grid.n);
	(void)map_set(&x->groups, buf_str(&x->key), p);
	return p;
}

static int set_note(void *arg, const struct series *s)
{
	struct set *x = arg;
	struct presence *p = presence_of(x, s, true);
	if (!p)
		return ERR_LIMIT;
	for (size_t i = 0; i < x->e->grid.n; i++)
		p->there[i] |= !is_absent(s->v[i]);
	return eval_work(x->e, x->e->grid.n);
}

static int set_note_and_pass(void *arg, const struct series *s)
{
	struct set *x = arg;
	int rc = set_note(arg, s);
	return rc ? rc : x->fn(x->arg, s);
}

/* Passes what is there on the other side (and) or is not (or, unless). */
static int set_pass(void *arg, const struct series *s)
{
	struct set *x = arg;
	const struct presence *p = presence_of(x, s, false);
	bool want = x->n->op == OP_AND, some = false;
	for (size_t i = 0; i < x->e->grid.n; i++) {
		if ((p && p->there[i]) != want)
			s->v[i] = sample_stale();
		some |= !is_absent(s->v[i]);
	}
	return some ? x->fn(x->arg, s) : 0;
}

static int eval_set(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct set x = { .e = e, .n = n, .fn = fn, .arg = arg };
	bool either = n->op == OP_OR;
	int rc = eval_vector(e, n->args[either ? 0 : 1], either ? set_note_and_pass : set_note, &x);
	if (!rc)
		rc = eval_vector(e, n->args[either ? 1 : 0], set_pass, &x);
	map_fini(&x.groups);
	buf_fini(&x.key);
	return rc;
}

/* ---- vector and vector ---- */

/* The series of the side "one" that have one signature; in each step one of them at most is there. */
struct ones {
	struct series *v;
	size_t len, cap;
	bool *taken; /* [grid.n], without group_…: a match was found */
};

struct out {
	struct labels labels;
	bool nameless;
	double *v;
};

struct matching {
	struct eval *e;
	const struct node *n;
	bool one_right;
	struct map groups, results;
	struct out **list; /* in the order of their making */
	size_t len, cap;
	struct buf key;
};

static int many_error(struct matching *x, const struct series *a, const struct series *b)
{
	struct buf text = { 0 };
	const struct node *n = x->n;
	buf_addc(&text, '{');
	struct labels group = n->on ? labels_only(x->e->arena, a->labels, &n->labels)
				    : labels_without(x->e->arena, a->labels, &n->labels);
	labels_write_pairs(group, &text);
	buf_addf(&text, "} on the %s hand-side of the operation: [{",
		 x->one_right ? "right" : "left");
	labels_write_pairs(a->labels, &text);
	buf_adds(&text, "}, {");
	labels_write_pairs(b->labels, &text);
	buf_adds(&text, "}];many-to-many matching not allowed: matching labels must be unique on "
			"one side");
	int rc = error_set(x->e->err, ERR_INVALID, "found duplicate series for the match group %s",
			   buf_cstr(&text));
	buf_fini(&text);
	return rc;
}

static int add_one(struct matching *x, struct ones *o, const struct series *s)
{
	struct eval *e = x->e;
	struct collected c = { o->v, o->len, o->cap };
	for (size_t k = 0; k < o->len; k++)
		for (size_t i = 0; i < e->grid.n; i++)
			if (!is_absent(s->v[i]) && !is_absent(o->v[k].v[i]))
				return many_error(x, &o->v[k], s);
	int rc = eval_keep(e, &c, s);
	o->v = c.v;
	o->len = c.len;
	o->cap = c.cap;
	return rc;
}

static struct ones *ones_of(struct matching *x, const struct series *s, bool make)
{
	labels_key_of(s->labels, x->n->on, &x->n->labels, &x->key);
	struct ones *o = map_get(&x->groups, buf_str(&x->key));
	if (o || !make)
		return o;
	o = arena_new(x->e->arena, struct ones, 1);
	(void)map_set(&x->groups, buf_str(&x->key), o);
	return o;
}

static int on_one(void *arg, const struct series *s)
{
	struct matching *x = arg;
	return add_one(x, ones_of(x, s, true), s);
}

/* The labels of a match: of the "many" side, with those of group_…(…) taken from the "one". */
static struct labels result_labels(struct matching *x, struct labels many, struct labels one)
{
	const struct node *n = x->n;
	struct arena *a = x->e->arena;
	bool compare = binary_is_comparison(n->op);
	if (n->side == GROUP_NONE) {
		if (n->on)
			return labels_only(a, many, &n->labels);
		struct labels l = labels_without(a, many, &n->labels);
		struct str name = labels_get(many, LABELS_NAME);
		if (!compare || !name.len)
			return l;
		struct label *v = arena_new(a, struct label, l.len + 1);
		memcpy(v, l.v, l.len * sizeof(*v));
		v[l.len] = (struct label){ LABELS_NAME, name };
		size_t len = l.len + 1;
		return labels_check(v, &len, SIZE_MAX, NULL) == 0 ? (struct labels){ v, len } : l;
	}
	struct label *v = arena_new(a, struct label, many.len + n->include.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < many.len; i++) {
		bool named = false;
		for (size_t k = 0; k < n->include.len; k++)
			named |= str_eq(n->include.v[k], many.v[i].name);
		if (!named && (compare || !str_eq(many.v[i].name, LABELS_NAME)))
			v[len++] = many.v[i];
	}
	for (size_t k = 0; k < n->include.len; k++)
		v[len++] = (struct label){ n->include.v[k], labels_get(one, n->include.v[k]) };
	/* Both sets were checked when they came in; only their order is new. */
	if (labels_check(v, &len, SIZE_MAX, NULL) != 0)
		return many;
	return (struct labels){ v, len };
}

static struct out *out_of(struct matching *x, const struct series *many, const struct series *one)
{
	struct labels l = result_labels(x, many->labels, one->labels);
	buf_clear(&x->key);
	labels_key(l, &x->key);
	buf_addc(&x->key, '.');
	struct out *o = map_get(&x->results, buf_str(&x->key));
	if (o)
		return o;
	double *v = eval_numbers(x->e);
	if (!v)
		return NULL;
	o = arena_new(x->e->arena, struct out, 1);
	*o = (struct out){ .labels = l, .nameless = x->n->is_bool || many->nameless, .v = v };
	for (size_t i = 0; i < x->e->grid.n; i++)
		v[i] = sample_stale();
	(void)map_set(&x->results, buf_str(&x->key), o);
	mem_grow(x->list, x->len, x->cap);
	x->list[x->len++] = o;
	return o;
}

static int multiple_error(struct matching *x)
{
	return error_set(x->e->err, ERR_INVALID, "multiple matches for labels: %s",
			 x->n->side == GROUP_NONE
				 ? "many-to-one matching must be explicit (group_left/group_right)"
				 : "grouping labels must ensure unique matches");
}

static int match(struct matching *x, struct ones *g, const struct series *many,
		 const struct series *one)
{
	struct out *o = NULL;
	for (size_t i = 0; i < x->e->grid.n; i++) {
		double m = many->v[i], s = one->v[i];
		bool holds = true;
		if (is_absent(m) || is_absent(s))
			continue;
		/* An error, also where the comparison lets nothing through. */
		if (g->taken && g->taken[i])
			return multiple_error(x);
		if (g->taken)
			g->taken[i] = true;
		double v = apply(x->n->op, x->one_right ? m : s, x->one_right ? s : m, &holds);
		if (x->n->is_bool)
			v = holds;
		else if (!holds)
			continue;
		if (!o)
			o = out_of(x, many, one);
		if (!o)
			return ERR_LIMIT;
		if (!is_absent(o->v[i]))
			return multiple_error(x);
		o->v[i] = v;
	}
	return eval_work(x->e, x->e->grid.n);
}

static int on_many(void *arg, const struct series *s)
{
	struct matching *x = arg;
	struct ones *g = ones_of(x, s, false);
	int rc = 0;
	if (!g)
		return 0;
	if (x->n->side == GROUP_NONE && !g->taken)
		g->taken = arena_new(x->e->arena, bool, x->e->grid.n);
	for (size_t k = 0; !rc && k < g->len; k++)
		rc = match(x, g, s, &g->v[k]);
	return rc;
}

static int eval_vectors(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	struct matching x = { .e = e, .n = n, .one_right = n->side != GROUP_RIGHT };
	int rc = eval_vector(e, n->args[x.one_right ? 1 : 0], on_one, &x);
	if (!rc)
		rc = eval_vector(e, n->args[x.one_right ? 0 : 1], on_many, &x);
	for (size_t i = 0; !rc && i < x.len; i++) {
		const struct series s = { x.list[i]->labels, x.list[i]->nameless, x.list[i]->v };
		rc = fn(arg, &s);
	}
	map_fini(&x.groups);
	map_fini(&x.results);
	mem_free(x.list);
	buf_fini(&x.key);
	return rc;
}

int eval_binary(struct eval *e, const struct node *n, series_fn fn, void *arg)
{
	if (binary_is_set(n->op))
		return eval_set(e, n, fn, arg);
	if (n->args[0]->type == PROMQL_VECTOR && n->args[1]->type == PROMQL_VECTOR)
		return eval_vectors(e, n, fn, arg);
	return with_scalar(e, n, fn, arg);
}
