/*
 * selector/field - field selectors: "metadata.name=web,status.phase!=Running".
 *
 * Operators = == !=.  In values a backslash escapes backslash, comma and equals
 * sign; any other use of the three is an error.
 *
 * Source: documentation of k8s.io/apimachinery/pkg/fields.  Ownership: lives in
 * the arena given.  Pure.
 */
#ifndef SELECTOR_FIELD_H
#define SELECTOR_FIELD_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { FIELD_SELECTOR_TEXT_MAX = 65536, FIELD_SELECTOR_REQS_MAX = 1000 };

struct field_req {
	struct str field;
	struct str value; /* unescaped */
	bool equal;       /* false: != */
};

/* No requirements: matches everything. */
struct field_selector {
	struct field_req *reqs;
	size_t reqs_len;
};

/* ERR_BAD_REQUEST with the words of Kubernetes; "" selects everything. */
ATTR_MUSTCHECK int field_selector_parse(struct arena *a, struct str text,
					struct field_selector *ret, struct error *err);

/* The value of a field; {NULL, 0} counts as "". */
typedef struct str (*field_get_fn)(void *arg, struct str field);
bool field_selector_match(const struct field_selector *s, field_get_fn get, void *arg);

/* The value that the selector demands of `field` ("metadata.name=web"). */
bool field_selector_requires(const struct field_selector *s, struct str field,
			     struct str *ret_value);

/* Canonical text with escapes, in the order given. */
void field_selector_write(struct buf *out, const struct field_selector *s);
void field_escape(struct buf *out, struct str value);

#endif
