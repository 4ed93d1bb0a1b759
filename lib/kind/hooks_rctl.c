/* Placement, AlertRule and PrometheusRule. */
#include "kind/hooks.h"
#include "selector/label.h"
#include "text/duration.h"

/* ---- Placement ---- */

static void check_one_of(struct kind_hook *h, const struct json *j, const char *x, const char *y,
			 struct str path)
{
	bool has_x = json_str(json_getc(j, x)).len > 0;
	const struct json *other = json_getc(j, y);
	bool has_y = json_is(other, JSON_OBJECT) || json_str(other).len > 0;
	if (has_x == has_y)
		hook_error(h, has_x ? FIELD_FORBIDDEN : FIELD_REQUIRED, path, NULL,
			   "exactly one of %s and %s must be given", x, y);
}

static void check_selector_at(struct kind_hook *h, const struct json *selector, struct str path)
{
	struct label_selector sel;
	struct error err;
	if (selector && label_selector_of_json(h->check->arena, selector, &sel, &err))
		hook_error(h, FIELD_INVALID, path, selector, "%s", err.msg);
}

static void check_targets(struct kind_hook *h, const struct json *targets)
{
	for (size_t i = 0; i < json_len(targets); i++) {
		const struct json *t = json_at(targets, i);
		struct str path = hook_path(h, "spec.targets[%zu]", i);
		check_one_of(h, t, "name", "selector", path);
		check_selector_at(h, json_getc(t, "selector"),
				  hook_path(h, "%.*s.selector", STR_ARG(path)));
	}
}

static void check_spread(struct kind_hook *h, const struct json *spread, bool divide)
{
	for (size_t i = 0; i < json_len(spread); i++) {
		const struct json *rule = json_at(spread, i);
		const struct json *max = json_getc(rule, "max");
		const struct json *skew = json_getc(rule, "maxSkew");
		int64_t min = json_i64(json_getc(rule, "min"), 1);
		if (max && json_i64(max, 0) < min)
			hook_error(h, FIELD_INVALID, hook_path(h, "spec.spread[%zu].max", i), max,
				   "must be at least min, %lld", (long long)min);
		if (skew && !divide)
			hook_error(h, FIELD_FORBIDDEN, hook_path(h, "spec.spread[%zu].maxSkew", i),
				   NULL, "only with replicas.mode Divide");
	}
}

static void check_weights(struct kind_hook *h, const struct json *replicas, bool divide)
{
	const struct json *weights = json_getc(replicas, "weights");
	bool weighted = str_is(json_str(json_getc(replicas, "prefer")), "Weighted");
	int64_t sum = 0;
	if (!json_len(weights))
		return;
	if (!divide || !weighted)
		hook_error(h, FIELD_FORBIDDEN, STR("spec.replicas.weights"), NULL,
			   "only with mode Divide and prefer Weighted");
	for (size_t i = 0; i < json_len(weights); i++) {
		const struct json *w = json_at(weights, i);
		check_one_of(h, w, "cluster", "region",
			     hook_path(h, "spec.replicas.weights[%zu]", i));
		sum += json_i64(json_getc(w, "weight"), 1);
	}
	if (sum <= 0)
		hook_error(h, FIELD_INVALID, STR("spec.replicas.weights"), weights,
			   "at least one weight must be above 0");
}

static void placement_validate(struct kind_hook *h)
{
	const struct json *spec = json_getc(h->obj, "spec");
	const struct json *replicas = json_getc(spec, "replicas");
	bool divide = str_is(json_str(json_getc(replicas, "mode")), "Divide");
	check_targets(h, json_getc(spec, "targets"));
	check_selector_at(h, json_dig(spec, "clusters", "selector", NULL),
			  STR("spec.clusters.selector"));
	check_spread(h, json_getc(spec, "spread"), divide);
	check_weights(h, replicas, divide);
	const struct json *after = json_dig(spec, "failover", "moveAfter", NULL);
	int64_t n;
	if (after && duration_parse_prom(json_str(after), &n, NULL) &&
	    duration_parse_go(json_str(after), &n, NULL))
		hook_error(h, FIELD_INVALID, STR("spec.failover.moveAfter"), after,
			   "must be a length of time such as 30s or 5m");
}

const struct kind_hooks kind_hooks_placement = {
	.resource = "fleet.rctl.io/placements",
	.validate = placement_validate,
};

/* ---- AlertRule and PrometheusRule ---- */

/* [a-zA-Z_][a-zA-Z0-9_]* and not reserved */
static bool is_label_name(struct str s)
{
	if (!s.len || str_starts(s, STR("__")))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return true;
}

static void check_label_names(struct kind_hook *h, const struct json *rule, const char *what,
			      struct str path)
{
	const struct json *labels = json_getc(rule, what);
	for (size_t i = 0; i < json_len(labels); i++) {
		const struct json *key = &labels->members[i].key;
		struct str name = json_str(key);
		bool taken = str_is(str_of(what), "labels") && str_is(name, "alertname");
		if (!is_label_name(name) || taken)
			hook_error(h, FIELD_INVALID, hook_path(h, "%.*s.%s", STR_ARG(path), what),
				   key,
				   "must be a label name: letters, digits and _, not alertname");
	}
}

static void check_length(struct kind_hook *h, const struct json *j, const char *name,
			 struct str path)
{
	const struct json *v = json_getc(j, name);
	int64_t ms;
	struct error err;
	if (v && json_str(v).len && duration_parse_prom(json_str(v), &ms, &err))
		hook_error(h, FIELD_INVALID, hook_path(h, "%.*s.%s", STR_ARG(path), name), v, "%s",
			   err.msg);
}

/* [a-zA-Z_:][a-zA-Z0-9_:]* */
static bool is_metric_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return s.len > 0;
}

/* What only alerts have. */
static void check_record(struct kind_hook *h, const struct json *rule, struct str path)
{
	static const char *const of_alerts[] = { "for", "keep_firing_for", "annotations" };
	const struct json *record = json_getc(rule, "record");
	if (!json_str(record).len)
		return;
	if (!is_metric_name(json_str(record)))
		hook_error(h, FIELD_INVALID, hook_path(h, "%.*s.record", STR_ARG(path)), record,
			   "must be the name of a metric: letters, digits, _ and :");
	for (size_t i = 0; i < sizeof(of_alerts) / sizeof(of_alerts[0]); i++) {
		const struct json *v = json_getc(rule, of_alerts[i]);
		if (json_str(v).len || json_is(v, JSON_OBJECT))
			hook_error(h, FIELD_FORBIDDEN,
				   hook_path(h, "%.*s.%s", STR_ARG(path), of_alerts[i]), NULL,
				   "only alerts have it, not recording rules");
	}
}

static void check_rule(struct kind_hook *h, const struct json *rule, struct str path)
{
	const struct json *expr = json_getc(rule, "expr");
	if (json_is(expr, JSON_STRING) && !str_trim(json_str(expr)).len)
		hook_error(h, FIELD_REQUIRED, hook_path(h, "%.*s.expr", STR_ARG(path)), NULL,
			   "an expression must be given");
	check_one_of(h, rule, "alert", "record", path);
	check_record(h, rule, path);
	check_length(h, rule, "for", path);
	check_length(h, rule, "keep_firing_for", path);
	check_label_names(h, rule, "labels", path);
	check_label_names(h, rule, "annotations", path);
}

static void alert_rule_validate(struct kind_hook *h)
{
	const struct json *groups = json_dig(h->obj, "spec", "groups", NULL);
	for (size_t i = 0; i < json_len(groups); i++) {
		const struct json *group = json_at(groups, i);
		const struct json *rules = json_getc(group, "rules");
		struct str path = hook_path(h, "spec.groups[%zu]", i);
		check_length(h, group, "interval", path);
		check_length(h, group, "query_offset", path);
		check_label_names(h, group, "labels", path);
		for (size_t n = 0; n < json_len(rules); n++)
			check_rule(h, json_at(rules, n),
				   hook_path(h, "spec.groups[%zu].rules[%zu]", i, n));
	}
}

const struct kind_hooks kind_hooks_prometheus_rule = {
	.resource = "monitoring.coreos.com/prometheusrules",
	.validate = alert_rule_validate,
};

const struct kind_hooks kind_hooks_alert_rule = {
	.resource = "monitoring.rctl.io/alertrules",
	.validate = alert_rule_validate,
};
