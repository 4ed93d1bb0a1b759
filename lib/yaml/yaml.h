/*
 * yaml - YAML documents as JSON trees, by the rules of kubectl, and back.
 *
 * Plain scalars follow YAML 1.1 as sigs.k8s.io/yaml reads it: y, yes, on, no
 * and off are booleans, 017 is 15, 0x1f, 0o17, 0b11 and 1_000 are integers,
 * 1:30 and dates stay strings, .5 and 1e3 are floats; .inf and .nan cannot be
 * JSON and are errors.  Keys that are no strings become strings (true -> "true",
 * 1 -> "1").  "<<" merges.  Duplicate keys are an error.  JSON is YAML, so JSON
 * input is accepted.
 *
 * Ownership: trees, strings and line tables live in the arena given; the input
 * may go.  Threads: pure.
 * Limits: yaml_limits, the nesting depth is checked event by event, because the
 * scanner's work grows with the square of the depth.
 */
#ifndef YAML_YAML_H
#define YAML_YAML_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stdint.h>

struct yaml_limits {
	size_t bytes_max;       /* default 3 MiB */
	uint32_t depth_max;     /* default 100 */
	uint32_t values_max;    /* default 1,000,000; what aliases expand to counts */
	uint32_t documents_max; /* default 10,000 */
};
#define YAML_LIMITS ((struct yaml_limits){ 3U << 20, 100, 1000000, 10000 })

struct yaml_line; /* one entry of the line table */

struct yaml_doc {
	struct json root;
	uint32_t line; /* of the first content, from 1 */
	const struct yaml_line *lines;
	uint32_t lines_len;
};

/*
 * All documents of `text`; documents without content (a lone "---", comments)
 * are left out.  ERR_BAD_REQUEST "yaml: line N: ..." for wrong YAML, ERR_TOO_LARGE
 * over a limit.  NULL limits = YAML_LIMITS.  *ret is an array in the arena.
 */
ATTR_MUSTCHECK int yaml_parse_documents(struct arena *a, struct str text,
					const struct yaml_limits *limits, struct yaml_doc **ret,
					size_t *ret_len, struct error *err);

/* Exactly one document; null when there is none; ERR_BAD_REQUEST for several. */
ATTR_MUSTCHECK int yaml_parse(struct arena *a, struct str text, struct json *ret,
			      struct error *err);

/*
 * The line (from 1) where the value at `path` begins: "spec.containers[0].image".
 * A path that is not there gives the line of the deepest part that is; 0 for
 * an empty document.  What an alias or a merge brought in has the line of its
 * anchor.
 */
uint32_t yaml_line_of(const struct yaml_doc *doc, struct str path);

enum {
	YAML_SORT_KEYS = 1
}; /* as kubectl: letters last, runs of digits by value ("a2" before "a10") */

/*
 * Appends `j` in block style with two blanks of indent, strings quoted exactly
 * when they would else be read as something else, texts with line breaks as
 * "|" blocks, long lines folded behind column 80: byte for byte what kubectl get
 * -o yaml prints (flags = YAML_SORT_KEYS), save that "<<" and line separators
 * outside ASCII are quoted here and integral doubles above 2^53 exact.  Ends
 * with a newline.
 */
void yaml_write(struct buf *out, const struct json *j, unsigned flags);

#endif
