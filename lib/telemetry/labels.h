/*
 * telemetry/labels - what names a series or a log stream: pairs of name and value, sorted by name.
 *
 * No name stands twice and no value is empty (an empty value means the label is absent, as in Prometheus).  The
 * metric's name is the label "__name__".
 */
#ifndef TELEMETRY_LABELS_H
#define TELEMETRY_LABELS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { LABELS_MAX = 64 }; /* in one set */

#define LABELS_NAME STR("__name__")

struct label {
	struct str name, value;
};

/* Borrows v and the strings. */
struct labels {
	const struct label *v;
	size_t len;
};

/* The value of a label, "" when there is none. */
struct str labels_get(struct labels l, struct str name);
bool labels_equal(struct labels a, struct labels b);

/* Appends "name NUL value NUL …": equal sets have equal keys.  Strings with NUL are not labels (labels_check). */
void labels_key(struct labels l, struct buf *out);

/*
 * Sorts v by name, drops empty values and checks the rest: names [a-zA-Z_][a-zA-Z0-9_]*, a metric name also
 * with ':', values UTF-8 without NUL, at most LABELS_MAX, together at most bytes_max bytes of names and values, no name
 * twice.  ERR_BAD_REQUEST; ERR_LIMIT.
 */
ATTR_MUSTCHECK int labels_check(struct label *v, size_t *len, size_t bytes_max, struct error *err);

bool labels_name_valid(struct str s);
bool labels_metric_valid(struct str s);

/* One heap block that owns its strings; free with mem_free(). */
struct labels_own {
	struct labels l;
	struct label v[];
};
struct labels_own *labels_own(struct labels l);

/* {"__name__":"up","node":"n1"} and back (pairs into the arena, checked and sorted). */
void labels_write_json(struct labels l, struct buf *out);
ATTR_MUSTCHECK int labels_read_json(struct arena *a, struct str json, struct labels *ret,
				    struct error *err);

/* up{node="n1"}, as Prometheus prints it in messages */
void labels_write_text(struct labels l, struct buf *out);
/* __name__="up", node="n1" */
void labels_write_pairs(struct labels l, struct buf *out);

#endif
