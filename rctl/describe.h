/*
 * describe - kinds that have a form of their own in describe, as kubectl shows them.
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "rctl.h"

enum { DESCRIBE_WIDTH = 20 };

/* "NAME:   VALUE"; without a value just "NAME:". */
void describe_line(int indent, const char *name, const char *fmt, ...) ATTR_PRINTF(3, 4);
/* "NAME:  k=v" and one more line for each pair; "<none>". */
void describe_pairs(struct rctl *r, int indent, const char *name, const struct json *obj,
		    const char *between);
void describe_conditions(const struct json *list);

/* What comes behind name, namespace, labels and annotations, but for the events.  False: no such form. */
bool describe_kind(struct rctl *r, struct json *obj);

#endif
