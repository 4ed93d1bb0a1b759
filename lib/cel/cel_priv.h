/* cel_priv - what the files of lib/cel share. */
#ifndef CEL_CEL_PRIV_H
#define CEL_CEL_PRIV_H

#include "base/buf.h"
#include "cel/cel.h"

struct regex;

enum cel_op {
	OP_LITERAL,
	OP_VAR, /* slot */
	OP_LIST,
	OP_MAP,        /* args: key, value, key, value … */
	OP_SELECT,     /* args[0] . name */
	OP_OPT_SELECT, /* args[0] .? name */
	OP_HAS,        /* has(args[0] . name) */
	OP_INDEX,      /* args[0] [ args[1] ] */
	OP_OPT_INDEX,  /* args[0] [? args[1] ] */
	OP_CALL,       /* name(args …) */
	OP_METHOD,     /* args[0] . name(args[1] …) */
	OP_NOT,
	OP_NEGATE,
	OP_AND,
	OP_OR,
	OP_TERNARY,
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_IN,
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_DIV,
	OP_MOD,
	/* macros: args[0] the range, args[1] (and [2]) evaluated with `slot` as the variable */
	OP_ALL,
	OP_EXISTS,
	OP_EXISTS_ONE,
	OP_FILTER,
	OP_MAP_MACRO,
};

struct cel_node {
	enum cel_op op;
	uint16_t slot, depth;
	struct str name;
	struct cel_value literal;
	struct cel_node **args;
	size_t len;
	const struct regex *regex; /* matches with a literal pattern */
};

struct cel_list {
	const struct cel_value *items;
	size_t len;
};

struct cel_map {
	const struct cel_value *keys, *values;
	size_t len;
};

struct cel {
	struct cel_node *root;
	uint32_t used; /* bit for each free variable */
	size_t vars_len;
	struct regex **regexes;
	size_t regexes_len;
};

/* One evaluation. */
struct cel_eval {
	struct arena *a;
	struct cel_value vars[CEL_VARS_MAX];
	uint64_t budget;
	bool spent;
	char msg[200]; /* of the last error */
};

/* ---- value.c ---- */

struct cel_value cel_error(struct cel_eval *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
const char *cel_type_name(enum cel_type t);
/* Takes `cost` off the budget; false when it is spent. */
bool cel_pay(struct cel_eval *e, uint64_t cost);

static inline struct cel_value cel_bool(bool b)
{
	return (struct cel_value){ .type = CEL_BOOL, .b = b };
}

static inline struct cel_value cel_int(int64_t i)
{
	return (struct cel_value){ .type = CEL_INT, .i = i };
}

static inline struct cel_value cel_str(struct str s)
{
	return (struct cel_value){ .type = CEL_STRING, .s = s };
}

size_t cel_len(const struct cel_value *v);                           /* of a list or map */
struct cel_value cel_item(const struct cel_value *v, size_t i);      /* of a list */
struct cel_value cel_key(const struct cel_value *v, size_t i);       /* of a map */
struct cel_value cel_map_value(const struct cel_value *v, size_t i); /* of a map */
/* The member of a map; false when there is none. */
bool cel_find(struct cel_eval *e, const struct cel_value *map, const struct cel_value *key,
	      struct cel_value *ret);
/* By a name of the expression: as it stands, else unescaped. */
bool cel_member(const struct cel_value *map, struct str name, struct cel_value *ret,
		struct cel_eval *e);
bool cel_equal(struct cel_eval *e, const struct cel_value *x, const struct cel_value *y,
	       unsigned depth);
/* -1, 0, 1; 2 when they cannot be ordered (NaN), 3 when the types do not fit. */
int cel_compare(const struct cel_value *x, const struct cel_value *y);
struct cel_value cel_arith(struct cel_eval *e, enum cel_op op, const struct cel_value *x,
			   const struct cel_value *y);

/* ---- call.c, strings.c ---- */

/* name(args …); a method when `method`: args[0] is what it is called on. */
struct cel_value cel_call(struct cel_eval *e, const struct cel_node *n,
			  const struct cel_value *args);
/* Whether there is a function of the name, for an error at compile time. */
bool cel_call_known(struct str name, bool method, size_t args);
struct cel_value cel_string_call(struct cel_eval *e, const struct cel_node *n,
				 const struct cel_value *args, bool *ret_known);
struct cel_value cel_to_string(struct cel_eval *e, const struct cel_value *v);

struct cel_value cel_node_eval(struct cel_eval *e, const struct cel_node *n);

#endif
