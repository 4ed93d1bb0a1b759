/*
 * selector/label - label selectors: "app=web,tier in (a,b),!old".
 *
 * Operators: = == != in notin exists (a bare key) !exists gt (>) lt (<).
 * A parsed selector is canonical: requirements sorted by key, values of in and
 * notin sorted and without repetition; label_selector_write() gives the same
 * text for selectors that mean the same up to that.
 *
 * Source: documentation of k8s.io/apimachinery/pkg/labels.
 * Ownership: everything lives in the arena given.  Threads: pure; a selector
 * may be read by many threads.
 */
#ifndef SELECTOR_LABEL_H
#define SELECTOR_LABEL_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LABEL_SELECTOR_TEXT_MAX = 65536,   /* bytes of a selector string */
	LABEL_SELECTOR_REQS_MAX = 1000,    /* requirements of one selector */
	LABEL_SELECTOR_VALUES_MAX = 10000, /* values of one selector */
};

enum label_op {
	LABEL_EXISTS,
	LABEL_NOT_EXISTS,
	LABEL_EQUALS, /* also == */
	LABEL_NOT_EQUALS,
	LABEL_IN,
	LABEL_NOT_IN,
	LABEL_GT,
	LABEL_LT,
};

struct label_req {
	struct str key;
	enum label_op op;
	const struct str *values;
	size_t values_len;
	int64_t number; /* of LABEL_GT, LABEL_LT */
};

/* No requirements: matches everything.  nothing: matches nothing (a null LabelSelector). */
struct label_selector {
	const struct label_req *reqs;
	size_t reqs_len;
	bool nothing;
};

struct label_pair {
	struct str key, value;
};

/* ERR_BAD_REQUEST with the words of Kubernetes; "" selects everything. */
ATTR_MUSTCHECK int label_selector_parse(struct arena *a, struct str text,
					struct label_selector *ret, struct error *err);

/*
 * From a LabelSelector object {matchLabels, matchExpressions}: {} selects
 * everything, NULL or null nothing.  ERR_INVALID for a wrong one.
 */
ATTR_MUSTCHECK int label_selector_of_json(struct arena *a, const struct json *j,
					  struct label_selector *ret, struct error *err);

/* From a plain map of labels (Service.spec.selector): {} or NULL select nothing, as a Service means it. */
ATTR_MUSTCHECK int label_selector_of_map(struct arena *a, const struct json *map,
					 struct label_selector *ret, struct error *err);

/* The value of a label, or {NULL, 0} when the object has no such label ("" has p != NULL). */
typedef struct str (*label_get_fn)(void *arg, struct str key);

bool label_selector_match(const struct label_selector *s, label_get_fn get, void *arg);
bool label_selector_match_pairs(const struct label_selector *s, const struct label_pair *pairs,
				size_t len);
/* Against metadata.labels (an object of strings, NULL = none). */
bool label_selector_match_json(const struct label_selector *s, const struct json *labels);

static inline bool label_selector_everything(const struct label_selector *s)
{
	return !s->nothing && s->reqs_len == 0;
}

/* The value that an object must have for `key` when the selector says "key=value" or "key in (value)". */
bool label_selector_requires(const struct label_selector *s, struct str key, struct str *ret_value);

/* Canonical text; "" for everything, and for nothing as well. */
void label_selector_write(struct buf *out, const struct label_selector *s);

#endif
