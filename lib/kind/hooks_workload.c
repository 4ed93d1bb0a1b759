/* Workloads with a pod template: the selector, the template's labels, its pod spec. */
#include "kind/hooks.h"
#include "kind/meta.h"
#include "selector/label.h"

static void workload_prepare(struct kind_hook *h)
{
	struct json *spec = json_dig(h->obj, "spec", "template", "spec", NULL);
	if (json_is(spec, JSON_OBJECT))
		hook_pod_spec_prepare(h, spec);
}

static void check_selector(struct kind_hook *h, const char *what)
{
	const struct json *selector = json_dig(h->obj, "spec", "selector", NULL);
	const struct json *labels =
		json_dig(h->obj, "spec", "template", "metadata", "labels", NULL);
	struct label_selector sel;
	struct error err;
	if (label_selector_of_json(h->check->arena, selector, &sel, &err)) {
		hook_error(h, FIELD_INVALID, STR("spec.selector"), selector, "%s", err.msg);
		return;
	}
	if (label_selector_everything(&sel)) {
		hook_error(h, FIELD_INVALID, STR("spec.selector"), selector,
			   "empty selector is invalid for %s", what);
		return;
	}
	struct json none = json_object();
	if (!label_selector_match_json(&sel, labels))
		hook_error(h, FIELD_INVALID, STR("spec.template.metadata.labels"),
			   labels ? labels : &none, "`selector` does not match template `labels`");
	if (h->old)
		hook_immutable(h, STR("spec.selector"), selector,
			       json_dig(h->old, "spec", "selector", NULL));
}

static void check_template(struct kind_hook *h)
{
	const struct json *tmpl = json_dig(h->obj, "spec", "template", NULL);
	const struct json *spec = json_getc(tmpl, "spec");
	const struct json *policy = json_getc(spec, "restartPolicy");
	kind_check_labels(h->check, STR("spec.template.labels"),
			  json_dig(tmpl, "metadata", "labels", NULL));
	if (policy && !str_is(json_str(policy), "Always"))
		hook_error(h, FIELD_NOT_SUPPORTED, STR("spec.template.spec.restartPolicy"), policy,
			   "supported values: \"Always\"");
	hook_pod_spec_validate(h, spec, STR("spec.template.spec"));
}

static bool is_zero(const struct json *v)
{
	struct str s = json_str(v);
	if (json_is(v, JSON_STRING))
		return str_is(s, "0%") || str_is(s, "0");
	return json_i64(v, 1) == 0;
}

static void deployment_validate(struct kind_hook *h)
{
	check_selector(h, "deployment");
	check_template(h);
	const struct json *strategy = json_dig(h->obj, "spec", "strategy", NULL);
	const struct json *rolling = json_getc(strategy, "rollingUpdate");
	if (str_is(json_str(json_getc(strategy, "type")), "Recreate") && rolling)
		hook_error(h, FIELD_FORBIDDEN, STR("spec.strategy.rollingUpdate"), NULL,
			   "may not be specified when strategy `type` is 'Recreate'");
	const struct json *surge = json_getc(rolling, "maxSurge");
	const struct json *down = json_getc(rolling, "maxUnavailable");
	if (surge && down && is_zero(surge) && is_zero(down))
		hook_error(h, FIELD_INVALID, STR("spec.strategy.rollingUpdate.maxUnavailable"),
			   down, "may not be 0 when `maxSurge` is 0");
	const struct json *ready = json_dig(h->obj, "spec", "minReadySeconds", NULL);
	const struct json *deadline = json_dig(h->obj, "spec", "progressDeadlineSeconds", NULL);
	if (deadline && json_i64(deadline, 0) <= json_i64(ready, 0))
		hook_error(h, FIELD_INVALID, STR("spec.progressDeadlineSeconds"), deadline,
			   "must be greater than minReadySeconds");
}

/* RollingUpdate unless told otherwise: a quarter more, a quarter less. */
static void deployment_prepare(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	struct json *spec = json_getc(h->obj, "spec");
	workload_prepare(h);
	if (!json_is(spec, JSON_OBJECT))
		return;
	struct json *strategy = json_getc(spec, "strategy");
	if (strategy && strategy->type != JSON_OBJECT)
		return;
	strategy = json_child(a, spec, "strategy");
	if (!json_getc(strategy, "type"))
		(void)json_setc(a, strategy, "type", json_of_cstr("RollingUpdate"));
	if (!str_is(json_str(json_getc(strategy, "type")), "RollingUpdate"))
		return;
	struct json *rolling = json_getc(strategy, "rollingUpdate");
	if (rolling && rolling->type != JSON_OBJECT)
		return;
	rolling = json_child(a, strategy, "rollingUpdate");
	if (!json_getc(rolling, "maxSurge"))
		(void)json_setc(a, rolling, "maxSurge", json_of_cstr("25%"));
	if (!json_getc(rolling, "maxUnavailable"))
		(void)json_setc(a, rolling, "maxUnavailable", json_of_cstr("25%"));
}

static void replica_set_validate(struct kind_hook *h)
{
	check_selector(h, "replicaset");
	check_template(h);
}

static void stateful_set_validate(struct kind_hook *h)
{
	check_selector(h, "statefulset");
	check_template(h);
}

static void daemon_set_validate(struct kind_hook *h)
{
	check_selector(h, "daemonset");
	check_template(h);
}

const struct kind_hooks kind_hooks_deployment = {
	.resource = "apps/deployments",
	.prepare = deployment_prepare,
	.validate = deployment_validate,
};

const struct kind_hooks kind_hooks_replica_set = {
	.resource = "apps/replicasets",
	.prepare = workload_prepare,
	.validate = replica_set_validate,
};

const struct kind_hooks kind_hooks_stateful_set = {
	.resource = "apps/statefulsets",
	.prepare = workload_prepare,
	.validate = stateful_set_validate,
};

const struct kind_hooks kind_hooks_daemon_set = {
	.resource = "apps/daemonsets",
	.prepare = workload_prepare,
	.validate = daemon_set_validate,
};
