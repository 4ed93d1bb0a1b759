/* Shared by the files of lib/jsonpath alone: the program. */
#ifndef JSONPATH_JSONPATH_PRIV_H
#define JSONPATH_JSONPATH_PRIV_H

#include "jsonpath/jsonpath.h"

enum step_type {
	STEP_LITERAL, /* quoted text, number, boolean: one result whatever came before */
	STEP_FIELD,
	STEP_SLICE,
	STEP_WILDCARD,
	STEP_RECURSIVE,
	STEP_UNION,
	STEP_FILTER,
};

/* [from:to:step] as written; `single`: [from] */
struct slice {
	int64_t from, to, step;
	bool has_from, has_to, has_step;
	bool single;
};

/* One comparison of a filter, or a test for existence. */
struct condition {
	struct step *left, *right; /* right is NULL for existence */
	struct str op;
	struct condition *and_next; /* all of these ... */
	struct condition *or_next;  /* ... or any of those (set on the first of a chain) */
};

struct step {
	enum step_type type;
	struct str field;
	struct json literal;
	struct slice slice;
	struct alternative *alternatives; /* of a union */
	struct condition *condition;      /* of a filter */
	struct step *next;
};

struct alternative {
	struct step *steps;
	struct alternative *next;
};

enum part_type { PART_TEXT, PART_EXPR, PART_RANGE };

/* One piece of a template. */
struct part {
	enum part_type type;
	struct str text;    /* PART_TEXT */
	struct step *steps; /* PART_EXPR, PART_RANGE */
	struct part *body;  /* PART_RANGE */
	struct part *next;
};

struct jsonpath {
	struct part *parts;
	bool allow_missing;
};

/* Values under way: pointers in a tree or to literals of the program. */
struct values {
	const struct json **v;
	size_t len, cap;
};

struct eval {
	struct arena *arena;
	struct error *err;
	bool allow_missing;
	size_t results; /* made so far, against JSONPATH_RESULTS_MAX */
};

/* Runs `steps` on each of `in`. */
ATTR_MUSTCHECK int jsonpath_eval(struct eval *e, const struct step *steps, const struct values *in,
				 struct values *ret);

#endif
