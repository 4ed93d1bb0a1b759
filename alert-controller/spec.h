/*
 * spec - AlertRule, AlertReceiver and Silence objects as plain structs.
 *
 * Each owns one arena with everything in it and is replaced as a whole when its object changes.  What the API
 * has checked is not checked again; what it cannot check (expressions, regular expressions) is said in `problem`.
 */
#ifndef SPEC_H
#define SPEC_H

#include "alert_plan.h"
#include "base/arena.h"
#include "format.h"
#include "group_plan.h"
#include "json/json.h"
#include "telemetry/labels.h"
#include "telemetry/matcher.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rule_set;

/*
 * Series that the controllers make from the objects they watch, whether there are metrics or not.  A rule whose
 * expr is just such a name is evaluated without a query.
 */
enum builtin {
	BUILTIN_NONE,
	BUILTIN_NODE_SILENT,
	BUILTIN_POD_CRASHLOOPING,
	BUILTIN_ZONE_SILENT,
	BUILTIN_CLUSTER_SILENT,
	BUILTIN_WATCHDOG, /* one series, always */
	BUILTINS
};

struct rule {
	const struct rule_set *set;
	size_t group;
	struct str
		id; /* NAMESPACE/NAME/GROUP/ALERT, "#2" behind it for the second of that name … */
	struct str alert, expr;
	struct alert_timing timing;
	struct labels labels, annotations; /* templates */
	enum builtin builtin;
	struct str problem; /* why it cannot be evaluated, "" = it can */
};

struct rule_group {
	struct str name;
	int64_t interval_ms; /* 0 = the setting */
	int64_t offset_ms;   /* query_offset */
	int64_t limit;       /* alerts of one rule; 0 = no limit */
	struct labels labels;
	struct rule *rules;
	size_t len;
};

struct rule_set {
	struct arena arena;
	struct str key, ns, name, uid; /* NAMESPACE/NAME */
	int64_t generation;
	bool global; /* scope Global */
	struct rule_group *groups;
	size_t len;
	size_t rules;       /* in all groups */
	struct str problem; /* the first rule that cannot be evaluated, and why */
};

struct receiver {
	struct arena arena;
	struct str key, ns, name, uid;
	int64_t generation;
	struct group_timing timing;
	const struct matcher *match;
	size_t match_len;
	const struct str *group_by;
	size_t group_by_len;
	bool group_by_all; /* "..." */
	size_t max_alerts;
	char *url, *ca_pem; /* ca_pem NULL = the system's */
	int64_t timeout_ms;
	/* Secrets and their members; "" = none */
	struct str token_secret, token_member, headers_secret, sign_secret, sign_member;
	struct str key_secret, key_member; /* PagerDuty's routing key */
	enum format format;
	struct str problem;       /* nothing is sent: a matcher or the caBundle cannot be used */
	struct matcher *matchers; /* the same as match, to be freed */
};

enum silence_state { SILENCE_PENDING, SILENCE_ACTIVE, SILENCE_EXPIRED };

struct silence {
	struct arena arena;
	struct str key, ns, name, uid;
	int64_t generation;
	int64_t starts_ms, ends_ms; /* starts_ms 0 = at once */
	struct matcher *match;
	size_t match_len;
	struct str problem; /* silences nothing */
};

struct rule_set *rule_set_new(struct str key, const struct json *obj);
struct rule_set *rule_set_free(struct rule_set *r);
struct receiver *receiver_new(struct str key, const struct json *obj);
struct receiver *receiver_free(struct receiver *r);
struct silence *silence_new(struct str key, const struct json *obj);
/* Of the alerts about a node itself, not about pods on it, without an end. */
struct silence *silence_of_node(struct str key, struct str node);
struct silence *silence_free(struct silence *s);

enum silence_state silence_state(const struct silence *s, int64_t now_ms);
const char *silence_state_name(enum silence_state s);

/* Whether both put every alert into the same group. */
bool receiver_routes_alike(const struct receiver *a, const struct receiver *b);

#endif
