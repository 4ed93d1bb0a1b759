/*
 * json - RFC 8259 documents as trees in an arena.
 *
 * A value is 16 bytes; the elements of an array and the members of an object
 * are contiguous, in document order.  Integers from -2^63 to 2^64-1 are kept
 * exact; other numbers are doubles and are written in the shortest form that
 * reads back the same.  Strings are UTF-8, checked; lone surrogates, control
 * characters, trailing input and all else that RFC 8259 forbids are errors.
 *
 * Ownership: a tree lives in the arena it was parsed or built in; strings may
 * also be literals or point into the parsed text (parsing in place is NOT done:
 * the text is not changed, but unescaped strings point into it, so the text
 * must outlive the tree).  Values are copied by assignment (a shallow copy
 * shares its children: change one and the other sees it, see json_clone).
 * Threads:   a tree that nobody changes may be read by many threads.
 * Limits:    json_limits, checked while parsing; the defaults below.
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type {
	JSON_NULL, /* a zeroed struct json is null */
	JSON_BOOL,
	JSON_INT,  /* fits int64_t */
	JSON_UINT, /* above INT64_MAX */
	JSON_DOUBLE,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_member;

struct json {
	uint8_t type; /* enum json_type */
	uint8_t cap;  /* arrays, objects: room for 2^cap - 1 children; 0 = exactly len */
	uint32_t len; /* string bytes, elements or members */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		const char *s; /* not NUL-terminated */
		struct json *items;
		struct json_member *members;
	};
};
_Static_assert(sizeof(struct json) == 16, "a value is 16 bytes");

struct json_member {
	struct json key; /* always JSON_STRING */
	struct json value;
};

/* ---- parsing ---- */

struct json_limits {
	size_t bytes_max;    /* default 3 MiB (what Kubernetes accepts) */
	uint32_t depth_max;  /* default 100 */
	uint32_t values_max; /* default 1,000,000 */
	/*
	 * Called for each member whose name stood before in the same object, with
	 * the path as Kubernetes writes it ("spec.containers[0].name"); the last
	 * one wins in the tree.  NULL: not reported.
	 */
	void (*on_duplicate)(void *arg, const char *path);
	void *arg;
};
#define JSON_LIMITS ((struct json_limits){ 3U << 20, 100, 1000000, NULL, NULL })

/*
 * Parses all of `text` (NULL limits = JSON_LIMITS).  ERR_BAD_REQUEST with line
 * and column, ERR_TOO_LARGE over a limit; the arena may hold garbage then.
 */
ATTR_MUSTCHECK int json_parse(struct arena *a, struct str text, const struct json_limits *limits,
			      struct json *ret, struct error *err);

/* ---- reading; every function accepts NULL and any type ---- */

/* The member `key` of an object, or NULL (also when j is no object). */
struct json *json_get(const struct json *j, struct str key);
struct json *json_getc(const struct json *j, const char *key);

/* Follows member names, ended by NULL: json_dig(pod, "status", "phase", NULL). */
struct json *json_dig(const struct json *j, ...) __attribute__((sentinel));

/* Element i of an array, or NULL. */
struct json *json_at(const struct json *j, size_t i);

/* Elements or members; 0 for anything else. */
size_t json_len(const struct json *j);

static inline bool json_is(const struct json *j, enum json_type type)
{
	return j && j->type == type;
}

/* The string, or {NULL, 0} when j is no string. */
struct str json_str(const struct json *j);
/* The number as an integer, or `or_else` when it is none or does not fit. */
int64_t json_i64(const struct json *j, int64_t or_else);
double json_double(const struct json *j, double or_else); /* any number type */
bool json_bool(const struct json *j, bool or_else);

/* Equal as JSON values: objects regardless of order, 1 equals 1.0. */
bool json_equal(const struct json *a, const struct json *b);

/* The name Kubernetes uses in messages: "string", "integer", "number", "object", "array", "boolean", "null". */
const char *json_type_name(const struct json *j);

/* ---- building and changing; `a` must be the arena of the tree or outlive it ---- */

struct json json_of_str(struct str s);   /* borrows the bytes */
struct json json_of_cstr(const char *s); /* borrows; NULL gives null */
struct json json_of_i64(int64_t i);
struct json json_of_u64(uint64_t u);
struct json json_of_double(double d); /* finite */
struct json json_of_bool(bool b);
struct json json_object(void);
struct json json_array(void);

/*
 * Sets member `key` (borrowed) of object `obj`, replacing or appending, and
 * returns its value in place.  The pointer is valid until the next change of
 * the same object.  A `value` of null sets null; removing is json_remove().
 */
struct json *json_set(struct arena *a, struct json *obj, struct str key, struct json value);
struct json *json_setc(struct arena *a, struct json *obj, const char *key, struct json value);

/* The member `key`, created as an empty object when absent or not an object. */
struct json *json_child(struct arena *a, struct json *obj, const char *key);

/* Removes; true when it was there.  Order of the others is kept. */
bool json_remove(struct json *obj, struct str key);
bool json_removec(struct json *obj, const char *key);

/* Appends to an array and returns the element in place. */
struct json *json_push(struct arena *a, struct json *arr, struct json value);
void json_remove_at(struct json *arr, size_t i);
struct json *json_insert_at(struct arena *a, struct json *arr, size_t i,
			    struct json value); /* i <= len */

/* Deep copy into `a`, strings included. */
struct json json_clone(struct arena *a, const struct json *j);

/* ---- writing ---- */

void json_write(struct buf *out, const struct json *j); /* compact */
void json_write_pretty(struct buf *out, const struct json *j,
		       int indent);                 /* as kubectl -o json: indent 4 */
void json_write_str(struct buf *out, struct str s); /* quoted and escaped */
void json_write_double(struct buf *out, double d);  /* shortest round trip */
void json_write_double_go(
	struct buf *out,
	double d); /* as Go prints it: an exponent below 1e-4 and from 1e6, 1e-05 */

/* The compact text in the arena, NUL behind. */
struct str json_text(struct arena *a, const struct json *j);

#endif
