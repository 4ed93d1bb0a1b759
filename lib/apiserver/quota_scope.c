/* Scopes of quotas: which pods one counts. */
#include "apiserver/admit.h"

/* Whether a required or preferred term reaches beyond the pod's own namespace. */
static bool crosses(const struct json *affinity)
{
	static const char *const members[] = { "requiredDuringSchedulingIgnoredDuringExecution",
					       "preferredDuringSchedulingIgnoredDuringExecution" };
	for (size_t m = 0; m < 2; m++) {
		const struct json *list = json_getc(affinity, members[m]);
		for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
			const struct json *term = json_at(list, i);
			const struct json *inner = json_getc(term, "podAffinityTerm");
			term = inner ? inner : term;
			if (json_len(json_getc(term, "namespaces")) ||
			    json_getc(term, "namespaceSelector"))
				return true;
		}
	}
	return false;
}

static bool in_list(const struct json *list, struct str s)
{
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++)
		if (str_eq(json_str(json_at(list, i)), s))
			return true;
	return false;
}

static bool priority_matches(struct str class, struct str op, const struct json *values)
{
	if (str_is(op, "In"))
		return class.len && in_list(values, class);
	if (str_is(op, "NotIn"))
		return !class.len || !in_list(values, class);
	return str_is(op, "DoesNotExist") ? !class.len : class.len > 0;
}

static bool holds(const struct json *pod, struct str scope, struct str op,
		  const struct json *values)
{
	const struct json *spec = json_getc(pod, "spec");
	const struct json *affinity = json_getc(spec, "affinity");
	bool ends = json_i64(json_getc(spec, "activeDeadlineSeconds"), -1) >= 0;
	bool best = str_is(json_str(json_dig(pod, "status", "qosClass", NULL)), "BestEffort");
	if (str_is(scope, "Terminating"))
		return ends;
	if (str_is(scope, "NotTerminating"))
		return !ends;
	if (str_is(scope, "BestEffort"))
		return best;
	if (str_is(scope, "NotBestEffort"))
		return !best;
	if (str_is(scope, "PriorityClass"))
		return priority_matches(json_str(json_getc(spec, "priorityClassName")), op, values);
	return str_is(scope, "CrossNamespacePodAffinity") &&
	       (crosses(json_getc(affinity, "podAffinity")) ||
		crosses(json_getc(affinity, "podAntiAffinity")));
}

bool quota_in_scope(const struct kind *k, const struct json *obj, const struct json *quota_spec)
{
	const struct json *list = json_getc(quota_spec, "scopes");
	const struct json *more = json_dig(quota_spec, "scopeSelector", "matchExpressions", NULL);
	if (!json_len(list) && !json_len(more))
		return true;
	if (!k->builtin || !str_is(k->resource_key, "/pods"))
		return false;
	for (size_t i = 0; i < json_len(list); i++)
		if (!holds(obj, json_str(json_at(list, i)), STR("Exists"), NULL))
			return false;
	for (size_t i = 0; i < json_len(more); i++) {
		const struct json *e = json_at(more, i);
		if (!holds(obj, json_str(json_getc(e, "scopeName")),
			   json_str(json_getc(e, "operator")), json_getc(e, "values")))
			return false;
	}
	return true;
}
