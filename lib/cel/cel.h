/*
 * cel - the Common Expression Language as validation rules of
 * CustomResourceDefinitions use it.
 *
 * There: literals (with r"…", '''…''', bytes), lists, maps, member and index
 * access, the optional forms a.?b and a[?b], arithmetic, comparison, in, !, &&
 * and || (which forgive an error on one side, as the language says), ?:, has(),
 * the macros all, exists, exists_one, filter and map, conversions, the string
 * functions of the strings library, matches/find/findAll, list functions
 * (isSorted, sum, min, max, indexOf, lastIndexOf), sets.…, math.greatest/least,
 * quantities, durations and timestamps.
 * Types are found while evaluating: a call on the wrong type is an error of the
 * evaluation, not of the compilation.  Integers and doubles may be mixed.
 * Not there: protobuf messages, url(), ip(), cidr(), format names, two-variable macros.
 *
 * Member names are also found in the escaped form of Kubernetes (foo__dash__bar,
 * __namespace__).
 *
 * Source: the language definition of CEL (cel-spec) and Kubernetes' "Common
 * Expression Language in Kubernetes".
 * Threads: a compiled expression may be used by many threads at once.
 * Pure: no clock, no I/O.
 */
#ifndef CEL_CEL_H
#define CEL_CEL_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CEL_TEXT_MAX = 16384,  /* bytes of an expression */
	CEL_NODES_MAX = 4096,  /* of its tree */
	CEL_DEPTH_MAX = 128,   /* of its tree */
	CEL_VARS_MAX = 16,     /* variables at one place, those of macros included */
	CEL_VALUE_DEPTH = 100, /* of values that are compared */
};

struct cel;
struct cel_list;
struct cel_map;

enum cel_type {
	CEL_ERROR, /* a zeroed value: the evaluation failed */
	CEL_NULL,
	CEL_BOOL,
	CEL_INT,
	CEL_UINT,
	CEL_DOUBLE,
	CEL_STRING,
	CEL_BYTES,
	CEL_LIST,
	CEL_MAP,
	CEL_DURATION,  /* i: nanoseconds */
	CEL_TIMESTAMP, /* i: nanoseconds since 1970 */
	CEL_QUANTITY,  /* s: its text */
	CEL_TYPE,      /* i: enum cel_type */
	CEL_OPTIONAL,  /* some: the value, or NULL */
};

struct cel_value {
	enum cel_type type;
	const struct json *json; /* LIST, MAP: the document they stand for, or NULL: list, map */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		struct str s;
		const struct cel_list *list;
		const struct cel_map *map;
		const struct cel_value *some;
	};
};

/* A value of a document, borrowed. */
struct cel_value cel_of_json(const struct json *j);
/* optional.of(j), or optional.none() for NULL. */
struct cel_value cel_optional(struct arena *a, const struct json *j);

/*
 * Compiles into the arena; `vars` are the names that may be used freely, in the
 * order in which cel_eval() gets them.  ERR_BAD_REQUEST with line and column.
 * What was compiled has to be finished with cel_fini().
 */
ATTR_MUSTCHECK int cel_compile(struct arena *a, struct str text, const char *const *vars,
			       size_t vars_len, struct cel **ret, struct error *err);
void cel_fini(struct cel *c); /* its regular expressions; accepts NULL */

/* Whether the expression uses variable i. */
bool cel_uses(const struct cel *c, size_t i);

/*
 * Evaluates.  Strings and lists that are made live in `a`.  *budget is what the
 * evaluation may cost, about one unit for a node of the expression or ten bytes
 * of a string looked at, and is lowered by what it did cost.
 * ERR_LIMIT when it does not suffice, ERR_INVALID for an error of the evaluation
 * ("no such key: x").
 */
ATTR_MUSTCHECK int cel_eval(const struct cel *c, struct arena *a, const struct cel_value *vars,
			    uint64_t *budget, struct cel_value *ret, struct error *err);

#endif
