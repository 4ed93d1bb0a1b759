/*
 * regex - regular expressions with the reach of RE2, as PromQL, Alertmanager
 * and relabelling mean them.
 *
 * Backreferences, lookaround, recursion and the like are refused; "." matches
 * a newline where Prometheus says so (always here); texts are UTF-8.  The
 * engine is PCRE2 with a bound on the work of one match, so that a hostile
 * expression costs milliseconds.
 *
 * Ownership: struct regex belongs to whoever compiled it.
 * Threads:   a compiled expression may be used by many threads at once.
 */
#ifndef REGEX_REGEX_H
#define REGEX_REGEX_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	REGEX_PATTERN_MAX = 16384,  /* bytes of an expression */
	REGEX_MATCH_LIMIT = 100000, /* backtracking steps of one match */
	REGEX_GROUPS_MAX = 64,      /* capture groups that can be read */
};

enum regex_mode {
	REGEX_FULL,   /* the whole text must match (PromQL =~, relabelling) */
	REGEX_SEARCH, /* anywhere in the text */
};

struct regex;

/* NULL with ERR_BAD_REQUEST in *err when the pattern is wrong or not of RE2. */
ATTR_MUSTCHECK struct regex *regex_compile(struct str pattern, enum regex_mode mode,
					   struct error *err);
struct regex *regex_free(struct regex *re); /* accepts NULL, returns NULL */

/*
 * 1 = matches, 0 = not, ERR_LIMIT = gave up at REGEX_MATCH_LIMIT.  Text that is
 * not UTF-8 never matches.
 */
ATTR_MUSTCHECK int regex_match(const struct regex *re, struct str text);

/*
 * As regex_match from byte `from` on; on a match groups[0] is what matched and
 * groups[i] group i ({NULL, 0} when it took no part), for i < max.
 */
ATTR_MUSTCHECK int regex_exec(const struct regex *re, struct str text, size_t from,
			      struct str *groups, size_t max);

/* Number of capture groups, group 0 not counted; index of a named one or -1. */
size_t regex_groups(const struct regex *re);
int regex_group_index(const struct regex *re, struct str name);

/*
 * Appends `tmpl` with $1, ${1}, $name, ${name} replaced by the groups of a
 * match (unknown: empty) and $$ by $: Go's Regexp.Expand, Prometheus' relabel
 * "replacement".
 */
void regex_expand(const struct regex *re, struct str tmpl, const struct str *groups, size_t len,
		  struct buf *out);

/* Appends text with every match replaced by the expanded tmpl.  1 if any was, 0, or ERR_LIMIT. */
ATTR_MUSTCHECK int regex_replace_all(const struct regex *re, struct str text, struct str tmpl,
				     struct buf *out);

/* Appends s with all that is special in an expression escaped. */
void regex_quote(struct buf *out, struct str s);

#endif
