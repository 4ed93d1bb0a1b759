/*
 * query - an instant query of Prometheus' HTTP API: its path, and what the answer says; alerts made of series.
 *
 * Pure.  Source: prometheus.io/docs/prometheus/latest/querying/api.
 */
#ifndef QUERY_H
#define QUERY_H

#include "alert/template.h"
#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "core.h"
#include "spec.h"

enum { QUERY_BYTES_MAX = 32 << 20, QUERY_SERIES_MAX = CORE_ALERTS_MAX };

struct series {
	struct labels labels; /* sorted */
	double value;
	struct alert_timing timing; /* builtin ones: longer than the rule's where they say so */
};

struct labels query_labels_copy(struct arena *a, struct labels l);

/* base: "" or "/clusters/NAME"; time_ms 0 = now */
char *query_path(struct arena *a, struct str base, struct str expr, int64_t time_ms);

/* The series of an answer's body.  ERR_INVALID with Prometheus' own error; ERR_BAD_REQUEST: no such answer. */
ATTR_MUSTCHECK int query_parse(struct arena *a, struct str body, struct series **ret,
			       size_t *ret_len, struct error *err);

/*
 * The alert of a series: its labels without those that begin with __, then those of the group and the rule (expanded, later
 * ones win), alertname, and those of env->external where they are not there.  env says what templates know beside
 * the series: external, external_url, now_ms, query, arg.  ERR_LIMIT, ERR_BAD_REQUEST: no label set.
 */
ATTR_MUSTCHECK int query_alert(struct arena *a, const struct rule *r, const struct series *s,
			       const struct template_vars *env, struct core_seen *ret,
			       struct error *err);

#endif
