/* PriorityClass, LimitRange, ResourceQuota and PodDisruptionBudget: rules beyond their schema. */
#include "kind/hooks.h"
#include "kind/meta.h"
#include "text/quantity.h"

enum { LIMITS_MAX = 256, RESOURCES_MAX = 256, SCOPES_MAX = 64 };

static struct str text_of(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static bool read_quantity(const struct json *j, struct quantity *ret)
{
	return json_is(j, JSON_STRING) && quantity_parse(json_str(j), ret, NULL) == 0;
}

/* ---- PriorityClass ---- */

enum { USER_PRIORITY_MAX = 1000000000 };

static const struct {
	const char *name;
	int64_t value;
} system_classes[] = { { "system-cluster-critical", 2000000000 },
		       { "system-node-critical", 2000001000 } };

static bool is_system_class(struct str name, int64_t value)
{
	for (size_t i = 0; i < sizeof(system_classes) / sizeof(*system_classes); i++)
		if (str_is(name, system_classes[i].name) && value == system_classes[i].value)
			return true;
	return false;
}

static void priority_class_validate(struct kind_hook *h)
{
	struct str name = text_of(json_getc(h->obj, "metadata"), "name");
	const struct json *value = json_getc(h->obj, "value");
	const struct json *policy = json_getc(h->obj, "preemptionPolicy");
	if (str_starts(name, STR("system-"))) {
		if (!is_system_class(name, json_i64(value, 0)))
			hook_error(h, FIELD_FORBIDDEN, STR("metadata.name"), NULL,
				   "priority class names with 'system-' prefix are reserved for "
				   "system use only");
	} else if (json_i64(value, 0) > USER_PRIORITY_MAX) {
		hook_error(h, FIELD_FORBIDDEN, STR("value"), NULL,
			   "maximum allowed value of a user defined priority is %d",
			   USER_PRIORITY_MAX);
	}
	if (!h->old)
		return;
	if (!json_equal(value, json_getc(h->old, "value")))
		hook_error(h, FIELD_FORBIDDEN, STR("value"), NULL,
			   "may not be changed in an update.");
	hook_immutable(h, STR("preemptionPolicy"), policy, json_getc(h->old, "preemptionPolicy"));
}

const struct kind_hooks kind_hooks_priority_class = {
	.resource = "scheduling.k8s.io/priorityclasses",
	.validate = priority_class_validate,
};

/* ---- LimitRange ---- */

/* What `to` does not name and `from` does. */
static void fill(struct arena *a, struct json *item, const char *to, const char *from)
{
	const struct json *source = json_getc(item, from);
	if (!json_is(source, JSON_OBJECT) || !json_len(source) || json_len(source) > RESOURCES_MAX)
		return;
	struct json *target = json_child(a, item, to);
	for (size_t i = 0; i < json_len(json_getc(item, from)); i++) {
		const struct json_member *m = &json_getc(item, from)->members[i];
		if (json_is(target, JSON_OBJECT) && !json_get(target, json_str(&m->key)))
			(void)json_set(a, target, json_str(&m->key), m->value);
	}
}

static void limit_range_prepare(struct kind_hook *h)
{
	struct json *spec = json_getc(h->obj, "spec");
	struct json *limits = json_getc(spec, "limits");
	for (size_t i = 0; json_is(limits, JSON_ARRAY) && i < json_len(limits); i++) {
		struct json *item = json_at(limits, i);
		if (!str_is(text_of(item, "type"), "Container"))
			continue;
		fill(h->check->arena, item, "default", "max");
		fill(h->check->arena, item, "defaultRequest", "default");
		fill(h->check->arena, item, "defaultRequest", "min");
	}
}

/* Of each pair the first may not be above the second. */
static const struct {
	const char *low, *high, *at, *low_text, *high_text;
} limit_pairs[] = {
	{ "min", "max", "min", "min", "max" },
	{ "min", "defaultRequest", "defaultRequest", "min", "default request" },
	{ "defaultRequest", "max", "defaultRequest", "default request", "max" },
	{ "defaultRequest", "default", "defaultRequest", "default request", "default limit" },
	{ "min", "default", "default", "min", "default" },
	{ "default", "max", "default", "default", "max" },
};

static void check_pair(struct kind_hook *h, const struct json *item, size_t p, struct str at)
{
	const struct json *low = json_getc(item, limit_pairs[p].low);
	for (size_t i = 0; json_is(low, JSON_OBJECT) && i < json_len(low); i++) {
		struct str name = json_str(&low->members[i].key);
		const struct json *other = json_get(json_getc(item, limit_pairs[p].high), name);
		struct quantity a, b;
		if (!read_quantity(&low->members[i].value, &a) || !read_quantity(other, &b) ||
		    quantity_cmp(a, b) <= 0)
			continue;
		const struct json *shown = json_get(json_getc(item, limit_pairs[p].at), name);
		hook_error(h, FIELD_INVALID,
			   hook_path(h, "%.*s.%s[%.*s]", STR_ARG(at), limit_pairs[p].at,
				     STR_ARG(name)),
			   shown, "%s value %.*s is greater than %s value %.*s",
			   limit_pairs[p].low_text, STR_ARG(json_str(&low->members[i].value)),
			   limit_pairs[p].high_text, STR_ARG(json_str(other)));
	}
}

static void check_ratio(struct kind_hook *h, const struct json *item, struct str at)
{
	const struct json *all = json_getc(item, "maxLimitRequestRatio");
	for (size_t i = 0; json_is(all, JSON_OBJECT) && i < json_len(all); i++) {
		struct str name = json_str(&all->members[i].key);
		const struct json *value = &all->members[i].value;
		struct str path =
			hook_path(h, "%.*s.maxLimitRequestRatio[%.*s]", STR_ARG(at), STR_ARG(name));
		struct quantity ratio, min, max;
		if (!read_quantity(value, &ratio))
			continue;
		if (quantity_cmp(ratio, quantity_of_value(1, QUANTITY_DECIMAL_SI)) < 0)
			hook_error(h, FIELD_INVALID, path, value, "ratio %.*s is less than 1",
				   STR_ARG(json_str(value)));
		if (!read_quantity(json_get(json_getc(item, "min"), name), &min) ||
		    !read_quantity(json_get(json_getc(item, "max"), name), &max) ||
		    quantity_sign(min) <= 0)
			continue;
		double most = quantity_double(max) / quantity_double(min);
		if (quantity_double(ratio) > most)
			hook_error(h, FIELD_INVALID, path, value,
				   "ratio %.*s is greater than max/min = %f",
				   STR_ARG(json_str(value)), most);
	}
}

static void limit_range_validate(struct kind_hook *h)
{
	static const char *const defaults[] = { "default", "defaultRequest" };
	static const char *const types[] = { "Container", "Pod", "PersistentVolumeClaim" };
	const struct json *limits = json_dig(h->obj, "spec", "limits", NULL);
	size_t seen[3] = { 0 };
	if (!kind_check_count(h->check, &FIELD_ROOT(STR("spec.limits")), limits, LIMITS_MAX))
		return;
	for (size_t i = 0; i < json_len(limits); i++) {
		const struct json *item = json_at(limits, i);
		struct str at = hook_path(h, "spec.limits[%zu]", i);
		struct str type_at = hook_path(h, "%.*s.type", STR_ARG(at));
		const struct json *type = json_getc(item, "type");
		for (size_t t = 0; t < 3; t++)
			if (str_is(json_str(type), types[t]) && seen[t]++)
				hook_error(h, FIELD_DUPLICATE, type_at, type, "%s", "");
		for (size_t d = 0; d < 2 && str_is(json_str(type), "Pod"); d++)
			if (json_len(json_getc(item, defaults[d])))
				hook_error(h, FIELD_FORBIDDEN,
					   hook_path(h, "%.*s.%s", STR_ARG(at), defaults[d]), NULL,
					   "may not be specified when `type` is 'Pod'");
		for (size_t p = 0; p < sizeof(limit_pairs) / sizeof(*limit_pairs); p++)
			check_pair(h, item, p, at);
		check_ratio(h, item, at);
	}
}

const struct kind_hooks kind_hooks_limit_range = {
	.resource = "/limitranges",
	.prepare = limit_range_prepare,
	.validate = limit_range_validate,
};

/* ---- ResourceQuota ---- */

static const char *const scope_names[] = { "Terminating",   "NotTerminating",
					   "BestEffort",    "NotBestEffort",
					   "PriorityClass", "CrossNamespacePodAffinity" };

enum { SCOPES = sizeof(scope_names) / sizeof(*scope_names), SCOPE_BEST_EFFORT = 2 };

/* The number of a scope, or SCOPES with an error. */
static size_t scope_of(struct kind_hook *h, const struct json *name, struct str at)
{
	for (size_t s = 0; s < SCOPES; s++)
		if (str_is(json_str(name), scope_names[s]))
			return s;
	hook_error(h, FIELD_INVALID, at, name, "unsupported scope");
	return SCOPES;
}

static void check_expression(struct kind_hook *h, const struct json *e, size_t i, bool *used)
{
	struct str at = hook_path(h, "spec.scopeSelector.matchExpressions[%zu]", i);
	size_t s =
		scope_of(h, json_getc(e, "scopeName"), hook_path(h, "%.*s.scopeName", STR_ARG(at)));
	struct str op = text_of(e, "operator");
	size_t values = json_len(json_getc(e, "values"));
	bool set = str_is(op, "In") || str_is(op, "NotIn");
	if (s == SCOPES)
		return;
	used[s] = true;
	if (!str_is(str_of(scope_names[s]), "PriorityClass") && !str_is(op, "Exists"))
		hook_error(h, FIELD_INVALID, hook_path(h, "%.*s.operator", STR_ARG(at)),
			   json_getc(e, "operator"),
			   "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
			   "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
			   "ResourceQuotaScopeNotBestEffort or "
			   "ResourceQuotaScopeCrossNamespacePodAffinity");
	if (set && values == 0)
		hook_error(h, FIELD_REQUIRED, hook_path(h, "%.*s.values", STR_ARG(at)), NULL,
			   "must be at least one value when `operator` is 'In' or 'NotIn' for "
			   "scope selector");
	if (!set && values)
		hook_error(h, FIELD_INVALID, hook_path(h, "%.*s.values", STR_ARG(at)),
			   json_getc(e, "values"),
			   "must be no value when `operator` is 'Exists' or 'DoesNotExist' for "
			   "scope selector");
}

/* What Kubernetes counts of other things than pods; of pods that ask for nothing it counts the number. */
static bool scope_fits(struct str name, bool best_effort)
{
	static const char *const others[] = {
		"configmaps",       "persistentvolumeclaims", "replicationcontrollers",
		"requests.storage", "resourcequotas",         "secrets",
		"services",         "services.loadbalancers", "services.nodeports"
	};
	static const char *const compute[] = { "cpu",
					       "ephemeral-storage",
					       "limits.cpu",
					       "limits.ephemeral-storage",
					       "limits.memory",
					       "memory",
					       "requests.cpu",
					       "requests.memory",
					       "requests.ephemeral-storage" };
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (str_is(name, others[i]))
			return false;
	for (size_t i = 0; best_effort && i < sizeof(compute) / sizeof(*compute); i++)
		if (str_is(name, compute[i]))
			return false;
	return true;
}

static void resource_quota_validate(struct kind_hook *h)
{
	const struct json *spec = json_getc(h->obj, "spec"), *old = json_getc(h->old, "spec");
	const struct json *list = json_getc(spec, "scopes");
	const struct json *selector = json_getc(spec, "scopeSelector");
	const struct json *expressions = json_getc(selector, "matchExpressions");
	const struct json *hard = json_getc(spec, "hard");
	bool used[SCOPES] = { false }, any = false;
	if (!kind_check_count(h->check, &FIELD_ROOT(STR("spec.scopes")), list, SCOPES_MAX) ||
	    !kind_check_count(h->check, &FIELD_ROOT(STR("spec.scopeSelector.matchExpressions")),
			      expressions, SCOPES_MAX) ||
	    !kind_check_count(h->check, &FIELD_ROOT(STR("spec.hard")), hard, RESOURCES_MAX))
		return;
	for (size_t i = 0; i < json_len(list); i++) {
		size_t s = scope_of(h, json_at(list, i), STR("spec.scopes"));
		if (s < SCOPES)
			used[s] = true;
	}
	for (size_t i = 0; i < json_len(expressions); i++)
		check_expression(h, json_at(expressions, i), i, used);
	for (size_t s = 0; s < SCOPES; s++)
		any |= used[s];
	if ((used[0] && used[1]) || (used[2] && used[3]))
		hook_error(h, FIELD_INVALID, STR("spec.scopes"), list, "conflicting scopes");
	for (size_t i = 0; any && json_is(hard, JSON_OBJECT) && i < json_len(hard); i++)
		if (!scope_fits(json_str(&hard->members[i].key), used[SCOPE_BEST_EFFORT]))
			hook_error(h, FIELD_INVALID, STR("spec.scopes"), list,
				   "unsupported scope applied to resource");
	if (h->old) {
		hook_immutable(h, STR("spec.scopes"), list, json_getc(old, "scopes"));
		hook_immutable(h, STR("spec.scopeSelector"), selector,
			       json_getc(old, "scopeSelector"));
	}
}

const struct kind_hooks kind_hooks_resource_quota = {
	.resource = "/resourcequotas",
	.validate = resource_quota_validate,
};

/* ---- PodDisruptionBudget ---- */

/* A count that is not negative, or a share of 0% to 100%. */
static void check_share(struct kind_hook *h, const struct json *spec, const char *name)
{
	const struct json *v = json_getc(spec, name);
	struct str path = hook_path(h, "spec.%s", name), text = json_str(v);
	uint64_t share = 0;
	if (!v)
		return;
	if (v->type != JSON_STRING) {
		if (json_i64(v, 0) < 0)
			hook_error(h, FIELD_INVALID, path, v, "must be greater than or equal to 0");
	} else if (!str_ends(text, STR("%")) ||
		   !str_to_u64(str_sub(text, 0, text.len - 1), &share)) {
		hook_error(h, FIELD_INVALID, path, v,
			   "a valid percent string must be a numeric string followed by an ending "
			   "'%%'");
	} else if (share > 100) {
		hook_error(h, FIELD_INVALID, path, v, "must not be greater than 100%%");
	}
}

static void disruption_budget_validate(struct kind_hook *h)
{
	const struct json *spec = json_getc(h->obj, "spec");
	if (json_getc(spec, "minAvailable") && json_getc(spec, "maxUnavailable"))
		hook_error(h, FIELD_INVALID, STR("spec"), NULL,
			   "minAvailable and maxUnavailable cannot be both set");
	check_share(h, spec, "minAvailable");
	check_share(h, spec, "maxUnavailable");
}

const struct kind_hooks kind_hooks_disruption_budget = {
	.resource = "policy/poddisruptionbudgets",
	.validate = disruption_budget_validate,
};
