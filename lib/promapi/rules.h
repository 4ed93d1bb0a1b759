/*
 * promapi/rules - /api/v1/rules and /api/v1/alerts of Prometheus' HTTP API, out of the objects AlertRule and PrometheusRule.
 *
 * What fires or waits is in the status that the alert controller writes: at most 100 alerts an object, without their values.
 * `type=alert|record` of the query is followed.  Who may read at the path, reads the rules of all namespaces.
 */
#ifndef PROMAPI_RULES_H
#define PROMAPI_RULES_H

#include "base/buf.h"
#include "base/str.h"

struct apiserver;
struct json;

/* The routes; before apiserver_start(). */
void promapi_rules_add(struct apiserver *api);

/* ---- the answer; pure ---- */

struct promapi_rules {
	bool alerts;     /* /api/v1/alerts, else /api/v1/rules */
	struct str type; /* "alert", "record", "" = both */
	size_t n;        /* groups or alerts so far */
	struct buf out;  /* they, with commas */
};

/* Appends what one object says. */
void promapi_rules_object(struct promapi_rules *r, const struct json *object);

#endif
