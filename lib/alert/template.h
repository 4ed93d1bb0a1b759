/*
 * alert/template - texts with {{ … }} as Prometheus' rules and Alertmanager's notifications have them.
 *
 *   {{ $labels.node }} has {{ $value | humanize1024 }}B left{{ if $labels.az }} in {{ $labels.az }}{{ end }}
 *
 * The language is Go's text/template: actions with {{- and -}}, comments, pipelines, variables, if, with, range (with
 * break and continue), define, block, template; the functions and, or, not, eq, ne, lt, le, gt, ge, len, index, slice,
 * print, printf, println, html, js, urlquery; of Prometheus args, externalURL, first, graphLink, humanize,
 * humanize1024, humanizeDuration, humanizePercentage, humanizeTimestamp, label, match, now, parseDuration, pathPrefix,
 * query, reReplaceAll, safeHtml, sortByLabel, stripDomain, stripPort, strvalue, tableLink, title, tmpl, toLower, toTime,
 * toUpper, value; of Alertmanager join, safeUrl, stringSlice, toJson, trimSpace.  A text that cannot be expanded
 * becomes "<error expanding template: …>", as in Prometheus.
 *
 * Differences: upper and lower case is that of ASCII; times are numbers of seconds.
 *
 * Pure: what `query` asks for comes through a function.  An expansion is bounded by TEMPLATE_STEPS_MAX,
 * TEMPLATE_DEPTH_MAX and TEMPLATE_OUT_MAX.
 * Source: prometheus/template, alertmanager/template, Go's text/template and fmt.
 */
#ifndef ALERT_TEMPLATE_H
#define ALERT_TEMPLATE_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "telemetry/labels.h"

#include <stddef.h>
#include <stdint.h>

enum {
	TEMPLATE_TEXT_MAX = 262144, /* bytes of one text */
	TEMPLATE_OUT_MAX = 65536,   /* bytes of one expansion */
	TEMPLATE_STEPS_MAX = 200000,
	TEMPLATE_DEPTH_MAX = 50, /* nesting of actions and calls */
	TEMPLATE_VARS_MAX = 64,  /* variables in sight */
};

/* ---- values ---- */

enum template_kind {
	TEMPLATE_NIL,
	TEMPLATE_BOOL,
	TEMPLATE_INT,
	TEMPLATE_FLOAT,
	TEMPLATE_STRING,
	TEMPLATE_LIST,
	TEMPLATE_MAP
};

/* What a map is beside a map: whether what it lacks is "", which methods it has. */
enum template_type {
	TEMPLATE_STRUCT, /* a member that is not there is an error */
	TEMPLATE_LABELS, /* …is "" */
	TEMPLATE_KV      /* as LABELS, with SortedPairs, Names, Values, Remove */
};

struct template_value {
	enum template_kind kind;
	enum template_type type; /* MAP */
	union {
		bool b;
		int64_t i;
		double d;
		struct str s;
		struct {
			struct template_value *v; /* MAP: sorted by key */
			struct str *keys;         /* MAP */
			size_t len;
		};
	};
};

struct template_value template_string(struct str s);
struct template_value template_number(double d);
struct template_value template_labels(struct arena *a, struct labels l, enum template_type type);
/* A struct of n members; keys are literals. */
struct template_value template_struct(struct arena *a, size_t n, const char *const *keys,
				      const struct template_value *values);

/* ---- expansion ---- */

struct template_sample {
	struct labels labels;
	double value;
};

/*
 * The result of an instant query, in the arena.  Errors: ERR_UNAVAILABLE: not known yet; the text is to be
 * expanded again when it is.
 */
typedef int (*template_query_fn)(void *arg, struct arena *a, struct str expr,
				 const struct template_sample **ret, size_t *ret_len,
				 struct error *err);

struct template_vars {
	struct labels labels, external;
	double value;
	struct str external_url;
	int64_t now_ms;
	template_query_fn query; /* NULL: the function query is an error */
	void *arg;
};

/* A text of a rule: $labels, $externalLabels, $externalURL, $value. */
void template_expand(struct str text, const struct template_vars *vars, struct buf *out);

struct template_set;

/* Named templates, from files of Alertmanager's kind ({{ define "slack.text" }}…{{ end }}); copies. */
struct template_set *template_set_new(void);
struct template_set *template_set_free(struct template_set *s);
ATTR_MUSTCHECK int template_set_add(struct template_set *s, struct str text, struct error *err);

/* Expands a text with the set's templates (may be NULL) and "." as data.  ERR_INVALID. */
ATTR_MUSTCHECK int template_execute(const struct template_set *s, struct str text,
				    const struct template_value *dot, struct buf *out,
				    struct error *err);

#endif
