/* template_priv - the tree of a template, shared by its parser, its interpreter and its functions. */
#ifndef ALERT_TEMPLATE_PRIV_H
#define ALERT_TEMPLATE_PRIV_H

#include "alert/template.h"
#include "base/map.h"

enum { PROBLEM_MAX = 200, ARGS_MAX = 16 };

enum arg_kind { ARG_CONSTANT, ARG_FIELD, ARG_VARIABLE, ARG_FUNCTION, ARG_PIPE };

/* One word of a command: .a.b, $x.a.b, name, (pipe).a.b, "text". */
struct arg {
	enum arg_kind kind;
	struct str name; /* of the variable (with $) or function */
	struct str *chain;
	size_t chain_len;
	struct template_value constant;
	struct pipe *pipe;
};

struct command {
	struct arg *args;
	size_t len;
	struct command *next;
};

struct pipe {
	struct str vars[2];
	size_t vars_len;
	bool assign; /* = instead of := */
	struct command *commands;
};

enum node_kind {
	NODE_TEXT,
	NODE_ACTION,
	NODE_IF,
	NODE_WITH,
	NODE_RANGE,
	NODE_TEMPLATE,
	NODE_BREAK,
	NODE_CONTINUE
};

struct node {
	enum node_kind kind;
	struct str text; /* or the template's name */
	struct pipe *pipe;
	struct node *list, *otherwise;
	struct node *next;
};

/* What went wrong first; "" = nothing. */
struct problem {
	char text[PROBLEM_MAX];
};

void problem_set(struct problem *p, const char *fmt, ...) ATTR_PRINTF(2, 3);

/* Parses into the arena; templates that it defines go into the map (name → struct node, NODE_TEXT in front). */
struct node *template_parse(struct arena *a, struct str text, struct map *defined,
			    struct problem *p);

struct run {
	struct arena *a;
	struct map *defined;
	const struct map *shared; /* of a set; may be NULL */
	const struct template_vars *vars;
	struct problem problem;
	struct buf *out;
	size_t steps, depth;
	struct {
		struct str name;
		struct template_value value;
	} v[TEMPLATE_VARS_MAX];
	size_t v_len;
};

struct template_value run_fail(struct run *r, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* Executes a named template to its own text. */
struct template_value run_named(struct run *r, struct str name, const struct template_value *dot);

/* False when there is no such function. */
bool function_known(struct str name);
struct template_value function_call(struct run *r, struct str name,
				    const struct template_value *args, size_t n);
/* .a of a value */
struct template_value value_member(struct run *r, const struct template_value *v, struct str name);
/* A method of one that takes arguments: Remove. */
struct template_value value_remove(struct run *r, const struct template_value *v,
				   const struct template_value *names);
bool value_true(const struct template_value *v);
struct str value_text(struct run *r, const struct template_value *v);
void value_print(struct buf *out, const struct template_value *v);
struct str value_special(double d); /* NaN, +Inf, -Inf */
/* The buffer as text in the run's arena; the buffer is freed. */
struct str value_taken(struct run *r, struct buf *b);
double value_number(struct run *r, const struct template_value *v);
const char *value_type(const struct template_value *v); /* as Go names it */
/* A list of so many nils. */
struct template_value value_list(struct run *r, size_t len);
/* A member of a map, NULL = none. */
const struct template_value *value_find(const struct template_value *v, struct str name);
/* printf; print and println. */
struct template_value value_format(struct run *r, const struct template_value *args, size_t n);
struct template_value value_concat(struct run *r, const struct template_value *args, size_t n,
				   bool line);

#endif
