/*
 * telemetry/matcher - one condition on a label: a="x", a!="x", a=~"x|y", a!~"x|y".
 *
 * Regular expressions match the whole value, with the reach of RE2.  A label that is absent has the value "".
 */
#ifndef TELEMETRY_MATCHER_H
#define TELEMETRY_MATCHER_H

#include "base/attr.h"
#include "base/error.h"
#include "telemetry/labels.h"

#include <stdbool.h>

struct regex;

enum matcher_op { MATCHER_EQUAL, MATCHER_NOT_EQUAL, MATCHER_REGEX, MATCHER_NOT_REGEX };

struct matcher {
	enum matcher_op op;
	struct str name, value; /* borrowed */
	struct regex *re;       /* owned; NULL without one */
};

/* ERR_BAD_REQUEST when value is no regular expression. */
ATTR_MUSTCHECK int matcher_init(struct matcher *m, enum matcher_op op, struct str name,
				struct str value, struct error *err);
void matcher_fini(struct matcher *m);

bool matcher_value(const struct matcher *m, struct str value);
bool matcher_all(const struct matcher *m, size_t n, struct labels l);

/* "=", "!=", "=~", "!~" */
const char *matcher_op_text(enum matcher_op op);

#endif
