/*
 * jsonpath - the JSONPath templates of kubectl.
 *
 *   text {.metadata.name}{"\n"}         text and expressions
 *   .a.b  ['a']  ['a','b']  .*  ..a      fields, unions, wildcard, recursive descent
 *   [0]  [-1]  [0,2]  [1:3]  [::2]       elements and slices
 *   [?(@.name=="x")]                     filters: == != < <= > >=, existence; && and || (kubectl: not)
 *   {range .items[*]}...{end}            repetition
 *
 * Results print as kubectl prints them: strings raw, objects and arrays as
 * compact JSON with sorted names, several results of one expression with a
 * blank between.  Where Go walks maps in random order (".*", ".."), the order is
 * that of the document.  A quoted name is a path, as kubectl has it: write
 * ['example\.com/x'] or .example\.com/x for a name with dots.
 *
 * Source: kubernetes.io/docs/reference/kubectl/jsonpath.
 * Ownership: the program lives in the arena it was compiled in.
 * Threads: a program may be evaluated by many threads.
 * Limits: below; ERR_TOO_LARGE when crossed.
 */
#ifndef JSONPATH_JSONPATH_H
#define JSONPATH_JSONPATH_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	JSONPATH_TEXT_MAX = 65536,      /* bytes of a template */
	JSONPATH_NODES_MAX = 4096,      /* parts of a template */
	JSONPATH_DEPTH_MAX = 16,        /* ranges or filters inside each other */
	JSONPATH_RESULTS_MAX = 1000000, /* values made on the way of one evaluation */
};

struct jsonpath;

/* flags */
enum {
	/*
	 * A missing field yields nothing instead of ERR_NOT_FOUND "x is not found"
	 * (kubectl get -o jsonpath has this on by default).
	 */
	JSONPATH_ALLOW_MISSING = 1,
	/* The text is one expression with optional braces and leading dot: ".spec.x", "{.spec.x}", "spec.x". */
	JSONPATH_RELAXED = 2,
};

/* ERR_BAD_REQUEST for a wrong template. */
ATTR_MUSTCHECK int jsonpath_compile(struct arena *a, struct str text, unsigned flags,
				    struct jsonpath **ret, struct error *err);

/* Evaluates the template on `root` and appends the text.  `scratch` holds what is needed on the way. */
ATTR_MUSTCHECK int jsonpath_print(const struct jsonpath *p, struct arena *scratch,
				  const struct json *root, struct buf *out, struct error *err);

struct jsonpath_results {
	const struct json **v; /* point into the tree, or into the arena for literals */
	size_t len;
};

/*
 * The values of the first expression, unprinted: for additionalPrinterColumns,
 * `kubectl wait --for=jsonpath` and --sort-by.
 */
ATTR_MUSTCHECK int jsonpath_find(const struct jsonpath *p, struct arena *a, const struct json *root,
				 struct jsonpath_results *ret, struct error *err);

#endif
