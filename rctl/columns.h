/*
 * columns - what rctl get does to lists of objects on this side of the wire: --sort-by, -o custom-columns, and the
 * merging of several logs by time.  Pure.
 */
#ifndef COLUMNS_H
#define COLUMNS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum { CUSTOM_COLUMNS_MAX = 30 };

struct jsonpath;

struct columns {
	struct str names[CUSTOM_COLUMNS_MAX];
	struct jsonpath *paths[CUSTOM_COLUMNS_MAX];
	size_t len;
};

/* "NAME:.metadata.name,IMAGES:.spec.containers[*].image"; ERR_BAD_REQUEST as kubectl words it. */
ATTR_MUSTCHECK int columns_parse(struct arena *a, struct str spec, struct columns *ret,
				 struct error *err);
/* The same from a file of two lines: names, and paths below them. */
ATTR_MUSTCHECK int columns_parse_file(struct arena *a, struct str text, struct columns *ret,
				      struct error *err);

/* The cells of one object as an array of strings: several results joined by ",", none is "<none>". */
struct json columns_cells(const struct columns *c, struct arena *a, const struct json *obj);

/*
 * Orders the elements of an array by the value at `path`, or of their member `inside` when that is not NULL.
 * Numbers by value, texts that are quantities by value, other texts with runs of digits by value; what lacks
 * the field comes first; equals keep their order.
 */
ATTR_MUSTCHECK int columns_sort(struct arena *a, struct json *list, const char *inside,
				struct str path, struct error *err);

/* -1, 0, 1: "a2" before "a10". */
int columns_natural_cmp(struct str a, struct str b);

/*
 * "containers[name=\"web\"].image" as "containers[0].image", by looking the element up in `root`; what is not
 * found ends the path there.
 */
struct str columns_index_path(struct arena *a, const struct json *root, struct str path);

/* One log to merge: lines that begin with an RFC 3339 time and a blank. */
struct log_text {
	struct str text;
	const char *prefix; /* put before each of its lines */
};

/*
 * Appends all lines in the order of their times; lines of one log never change their order, a line without a
 * time has that of the line before it.  The times are left out unless keep_times.
 */
void columns_merge_logs(const struct log_text *logs, size_t n, bool keep_times, struct buf *out);

#endif
