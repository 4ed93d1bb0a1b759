/*
 * base/str - a borrowed run of bytes: pointer and length, not necessarily NUL-terminated.
 *
 * Passed by value.  Who made the bytes owns them; a struct str in a structure
 * says beside it where they live.  {NULL, 0} is the empty string too.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t len;
};

/* STR("literal"); printf("%.*s", STR_ARG(s)) */
#define STR(lit)   ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE   ((struct str){ NULL, 0 })
#define STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

static inline struct str str_of(const char *s)
{
	return (struct str){ s, s ? strlen(s) : 0 };
}

static inline struct str str_n(const char *p, size_t len)
{
	return (struct str){ p, len };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool str_is(struct str a, const char *b)
{
	return str_eq(a, str_of(b));
}

/* Byte order, as strcmp. */
int str_cmp(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */

bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);

/* Index of the first c (of needle) at or behind `from`, or -1. */
ptrdiff_t str_find(struct str s, char c, size_t from);
ptrdiff_t str_find_str(struct str s, struct str needle, size_t from);

/* Bytes from..to (to excluded); both are cut to the length. */
struct str str_sub(struct str s, size_t from, size_t to);

/* Without leading and trailing blanks, tabs, CR, LF. */
struct str str_trim(struct str s);

/*
 * Takes the piece before the first `sep` off *rest; false when *rest was used
 * up.  "a,,b" gives "a", "", "b"; "" gives one empty piece and then false when
 * started with rest->p != NULL.
 */
bool str_split(struct str *rest, char sep, struct str *piece);

/* Strict decimal, all of s; false on anything else or out of range. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);

/* Keyed hash (SipHash-1-3 class quality is not needed: seeded wyhash-like mix). */
uint64_t str_hash(struct str s, uint64_t seed);

#endif
