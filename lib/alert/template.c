/* The interpreter. */
#include "base/mem.h"
#include "template_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct template_value run_fail(struct run *r, const char *fmt, ...)
{
	if (!r->problem.text[0]) {
		va_list ap;
		va_start(ap, fmt);
		(void)vsnprintf(r->problem.text, sizeof(r->problem.text), fmt, ap);
		va_end(ap);
	}
	return (struct template_value){ 0 };
}

static bool failed(const struct run *r)
{
	return r->problem.text[0] != '\0';
}

/* ---- values ---- */

struct template_value template_string(struct str s)
{
	return (struct template_value){ .kind = TEMPLATE_STRING, .s = s };
}

struct template_value template_number(double d)
{
	return (struct template_value){ .kind = TEMPLATE_FLOAT, .d = d };
}

struct template_value template_labels(struct arena *a, struct labels l, enum template_type type)
{
	struct template_value m = { .kind = TEMPLATE_MAP, .type = type };
	m.v = arena_new(a, struct template_value, l.len);
	m.keys = arena_new(a, struct str, l.len);
	m.len = l.len;
	for (size_t i = 0; i < l.len; i++) {
		m.keys[i] = l.v[i].name;
		m.v[i] = template_string(l.v[i].value);
	}
	return m;
}

struct template_value template_struct(struct arena *a, size_t n, const char *const *keys,
				      const struct template_value *values)
{
	struct template_value m = { .kind = TEMPLATE_MAP, .type = TEMPLATE_STRUCT };
	m.v = arena_new(a, struct template_value, n);
	m.keys = arena_new(a, struct str, n);
	m.len = n;
	for (size_t i = 0; i < n; i++) {
		m.keys[i] = str_of(keys[i]);
		m.v[i] = values[i];
	}
	return m;
}

/* ---- variables ---- */

static void declare(struct run *r, struct str name, struct template_value v)
{
	if (r->v_len == TEMPLATE_VARS_MAX) {
		(void)run_fail(r, "too many variables");
		return;
	}
	r->v[r->v_len].name = name;
	r->v[r->v_len++].value = v;
}

static struct template_value *variable(struct run *r, struct str name)
{
	for (size_t i = r->v_len; i > 0; i--)
		if (str_eq(r->v[i - 1].name, name))
			return &r->v[i - 1].value;
	return NULL;
}

/* ---- pipelines ---- */

static struct template_value eval_pipe(struct run *r, const struct pipe *p,
				       const struct template_value *dot);

static struct template_value start_of(struct run *r, const struct arg *x,
				      const struct template_value *dot)
{
	if (x->kind == ARG_CONSTANT)
		return x->constant;
	if (x->kind == ARG_FIELD)
		return *dot;
	if (x->kind == ARG_PIPE)
		return eval_pipe(r, x->pipe, dot);
	if (x->kind == ARG_FUNCTION)
		return function_call(r, x->name, NULL, 0);
	const struct template_value *v = variable(r, x->name);
	return v ? *v : run_fail(r, "undefined variable \"%.*s\"", STR_ARG(x->name));
}

static struct template_value eval_arg(struct run *r, const struct arg *x, size_t leave,
				      const struct template_value *dot)
{
	struct template_value v = start_of(r, x, dot);
	for (size_t i = 0; i + leave < x->chain_len && !failed(r); i++)
		v = value_member(r, &v, x->chain[i]);
	return v;
}

/* and, or: the first that decides; what is behind is not evaluated. */
static struct template_value eval_logic(struct run *r, const struct command *c, bool stop_at,
					const struct template_value *dot,
					const struct template_value *piped)
{
	struct template_value v = { 0 };
	for (size_t i = 1; i < c->len && !failed(r); i++) {
		v = eval_arg(r, &c->args[i], 0, dot);
		if (value_true(&v) == stop_at)
			return v;
	}
	return piped ? *piped : c->len > 1 ? v : run_fail(r, "wrong number of args");
}

static struct template_value eval_call(struct run *r, const struct command *c,
				       const struct template_value *dot,
				       const struct template_value *piped)
{
	struct template_value args[ARGS_MAX];
	size_t n = 0;
	struct str name = c->args[0].name;
	if (str_is(name, "and") || str_is(name, "or"))
		return eval_logic(r, c, str_is(name, "or"), dot, piped);
	for (size_t i = 1; i < c->len && !failed(r); i++)
		args[n++] = eval_arg(r, &c->args[i], 0, dot);
	if (piped)
		args[n++] = *piped;
	return failed(r) ? (struct template_value){ 0 } : function_call(r, name, args, n);
}

static struct template_value eval_command(struct run *r, const struct command *c,
					  const struct template_value *dot,
					  const struct template_value *piped)
{
	const struct arg *x = &c->args[0];
	if (++r->steps > TEMPLATE_STEPS_MAX)
		return run_fail(r, "the template takes too many steps");
	if (x->kind == ARG_FUNCTION)
		return eval_call(r, c, dot, piped);
	if (c->len == 1 && !piped)
		return eval_arg(r, x, 0, dot);
	if (x->chain_len && str_is(x->chain[x->chain_len - 1], "Remove")) {
		struct template_value of = eval_arg(r, x, 1, dot);
		struct template_value names =
			c->len > 1 ? eval_arg(r, &c->args[1], 0, dot) : *piped;
		return failed(r) ? of : value_remove(r, &of, &names);
	}
	return run_fail(r, "can't give argument to non-function");
}

static struct template_value eval_pipe(struct run *r, const struct pipe *p,
				       const struct template_value *dot)
{
	struct template_value v = { 0 };
	if (++r->depth > TEMPLATE_DEPTH_MAX)
		return run_fail(r, "the template is nested too deeply");
	for (const struct command *c = p->commands; c && !failed(r); c = c->next) {
		struct template_value next = eval_command(r, c, dot, c == p->commands ? NULL : &v);
		v = next;
	}
	r->depth--;
	return v;
}

/* With its variable declared or set. */
static struct template_value eval_and_bind(struct run *r, const struct pipe *p,
					   const struct template_value *dot)
{
	struct template_value v = eval_pipe(r, p, dot);
	if (!p->vars_len || failed(r))
		return v;
	struct template_value *old = p->assign ? variable(r, p->vars[0]) : NULL;
	if (old)
		*old = v;
	else if (p->assign)
		return run_fail(r, "undefined variable \"%.*s\"", STR_ARG(p->vars[0]));
	else
		declare(r, p->vars[0], v);
	return v;
}

/* ---- nodes ---- */

static enum flow walk(struct run *r, const struct node *n, const struct template_value *dot);

static enum flow walk_range(struct run *r, const struct node *n, const struct template_value *dot)
{
	struct template_value all = eval_pipe(r, n->pipe, dot);
	bool map = all.kind == TEMPLATE_MAP;
	if (failed(r))
		return FLOW_ON;
	if (all.kind != TEMPLATE_LIST && !map && all.kind != TEMPLATE_NIL) {
		(void)run_fail(r, "range can't iterate over %.*s", STR_ARG(value_text(r, &all)));
		return FLOW_ON;
	}
	if (all.kind == TEMPLATE_NIL || !all.len)
		return walk(r, n->otherwise, dot);
	size_t mark = r->v_len;
	for (size_t i = 0; i < all.len && !failed(r); i++) {
		struct template_value index = { .kind = TEMPLATE_INT, .i = (int64_t)i };
		if (n->pipe->vars_len == 2)
			declare(r, n->pipe->vars[0], map ? template_string(all.keys[i]) : index);
		if (n->pipe->vars_len)
			declare(r, n->pipe->vars[n->pipe->vars_len - 1], all.v[i]);
		enum flow f = walk(r, n->list, &all.v[i]);
		r->v_len = mark;
		if (f == FLOW_BREAK)
			break;
	}
	return FLOW_ON;
}

static enum flow walk_branch(struct run *r, const struct node *n, const struct template_value *dot)
{
	struct template_value v = eval_and_bind(r, n->pipe, dot);
	if (failed(r))
		return FLOW_ON;
	if (!value_true(&v))
		return walk(r, n->otherwise, dot);
	return walk(r, n->list, n->kind == NODE_WITH ? &v : dot);
}

static const struct node *find(const struct run *r, struct str name)
{
	const struct node *n = map_get(r->defined, name);
	return n || !r->shared ? n : map_get(r->shared, name);
}

static void call(struct run *r, struct str name, const struct template_value *dot)
{
	const struct node *n = find(r, name);
	if (!n) {
		(void)run_fail(r, "template \"%.*s\" not defined", STR_ARG(name));
		return;
	}
	/* a template sees none of its caller's variables but what every text has */
	size_t mark = r->v_len;
	declare(r, STR("$"), *dot);
	if (++r->depth > TEMPLATE_DEPTH_MAX)
		(void)run_fail(r, "the template is nested too deeply");
	else
		(void)walk(r, n, dot);
	r->depth--;
	r->v_len = mark;
}

struct template_value run_named(struct run *r, struct str name, const struct template_value *dot)
{
	struct buf own = { 0 };
	struct buf *out = r->out;
	r->out = &own;
	call(r, name, dot);
	r->out = out;
	struct template_value v = template_string(arena_str(r->a, buf_str(&own)));
	buf_fini(&own);
	return v;
}

static enum flow walk_one(struct run *r, const struct node *n, const struct template_value *dot)
{
	struct template_value v;
	switch (n->kind) {
	case NODE_TEXT:
		buf_add_str(r->out, n->text);
		return FLOW_ON;
	case NODE_ACTION:
		v = eval_and_bind(r, n->pipe, dot);
		if (!n->pipe->vars_len && !failed(r))
			value_print(r->out, &v);
		return FLOW_ON;
	case NODE_IF:
	case NODE_WITH:
		return walk_branch(r, n, dot);
	case NODE_RANGE:
		return walk_range(r, n, dot);
	case NODE_TEMPLATE:
		v = n->pipe ? eval_pipe(r, n->pipe, dot) : (struct template_value){ 0 };
		if (!failed(r))
			call(r, n->text, &v);
		return FLOW_ON;
	case NODE_BREAK:
		return FLOW_BREAK;
	case NODE_CONTINUE:
		return FLOW_CONTINUE;
	}
	return FLOW_ON;
}

static enum flow walk(struct run *r, const struct node *n, const struct template_value *dot)
{
	size_t mark = r->v_len;
	enum flow f = FLOW_ON;
	if (++r->depth > TEMPLATE_DEPTH_MAX)
		(void)run_fail(r, "the template is nested too deeply");
	for (; n && f == FLOW_ON && !failed(r); n = n->next) {
		if (++r->steps > TEMPLATE_STEPS_MAX)
			(void)run_fail(r, "the template takes too many steps");
		if (r->out->len > TEMPLATE_OUT_MAX)
			(void)run_fail(r, "the text is too long");
		size_t before = r->v_len;
		f = walk_one(r, n, dot);
		/* variables of if and with end there; those of an action last to the end of the list */
		if (n->kind != NODE_ACTION)
			r->v_len = before;
	}
	r->depth--;
	r->v_len = mark;
	return f;
}

/* ---- from outside ---- */

static void expand(struct run *r, struct str text, const struct template_value *dot)
{
	struct map defined = { 0 };
	r->defined = &defined;
	struct node *n = template_parse(r->a, text, &defined, &r->problem);
	if (!failed(r)) {
		declare(r, STR("$"), *dot);
		(void)walk(r, n, dot);
		if (r->out->len > TEMPLATE_OUT_MAX)
			(void)run_fail(r, "the text is too long");
	}
	map_fini(&defined);
}

void template_expand(struct str t, const struct template_vars *vars, struct buf *out)
{
	if (str_find_str(t, STR("{{"), 0) < 0) {
		buf_add_str(out, str_sub(t, 0, TEMPLATE_OUT_MAX));
		return;
	}
	struct arena a = { 0 };
	struct buf b = { 0 };
	struct run *r = mem_new(struct run, 1);
	r->a = &a;
	r->vars = vars;
	r->out = &b;
	static const char *const keys[] = { "Labels", "ExternalLabels", "ExternalURL", "Value" };
	static const char *const names[] = { "$labels", "$externalLabels", "$externalURL",
					     "$value" };
	const struct template_value values[] = {
		template_labels(&a, vars->labels, TEMPLATE_LABELS),
		template_labels(&a, vars->external, TEMPLATE_LABELS),
		template_string(vars->external_url),
		template_number(vars->value),
	};
	const struct template_value dot = template_struct(&a, 4, keys, values);
	for (size_t i = 0; i < 4; i++)
		declare(r, str_of(names[i]), values[i]);
	expand(r, t, &dot);
	if (failed(r))
		buf_addf(out, "<error expanding template: %s>", r->problem.text);
	else
		buf_add_str(out, buf_str(&b));
	buf_fini(&b);
	mem_free(r);
	arena_fini(&a);
}

struct template_set {
	struct arena arena;
	struct map defined;
};

struct template_set *template_set_new(void)
{
	return mem_new(struct template_set, 1);
}

struct template_set *template_set_free(struct template_set *s)
{
	if (!s)
		return NULL;
	map_fini(&s->defined);
	arena_fini(&s->arena);
	mem_free(s);
	return NULL;
}

int template_set_add(struct template_set *s, struct str text, struct error *err)
{
	struct problem p = { 0 };
	(void)template_parse(&s->arena, arena_str(&s->arena, text), &s->defined, &p);
	return p.text[0] ? error_set(err, ERR_BAD_REQUEST, "template: %s", p.text) : 0;
}

int template_execute(const struct template_set *s, struct str text,
		     const struct template_value *dot, struct buf *out, struct error *err)
{
	static const struct template_vars none = { .value = 0 };
	struct arena a = { 0 };
	struct buf b = { 0 };
	struct run *r = mem_new(struct run, 1);
	r->a = &a;
	r->vars = &none;
	r->shared = s ? &s->defined : NULL;
	r->out = &b;
	expand(r, text, dot);
	int rc = failed(r) ? error_set(err, ERR_INVALID, "template: %s", r->problem.text) : 0;
	if (rc == 0)
		buf_add_str(out, buf_str(&b));
	buf_fini(&b);
	mem_free(r);
	arena_fini(&a);
	return rc;
}
