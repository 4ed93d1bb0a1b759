/* Jobs: the selector that the server makes, rules of their pods. */
#include "kind/hooks.h"
#include "kind/meta.h"

#define UID_LABEL  "batch.kubernetes.io/controller-uid"
#define NAME_LABEL "batch.kubernetes.io/job-name"

static void set_label(struct kind_hook *h, struct json *labels, const char *key,
		      const struct json *value)
{
	if (value)
		(void)json_setc(h->check->arena, labels, key, *value);
}

static void job_prepare(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	struct json *spec = json_getc(h->obj, "spec");
	struct json *tmpl = json_getc(spec, "template");
	if (!json_is(tmpl, JSON_OBJECT))
		return;
	struct json *pod = json_getc(tmpl, "spec");
	if (json_is(pod, JSON_OBJECT))
		hook_pod_spec_prepare(h, pod);
	if (json_bool(json_getc(spec, "manualSelector"), false) || json_getc(spec, "selector"))
		return;
	struct json *meta = json_child(a, tmpl, "metadata");
	struct json *labels = json_is(meta, JSON_OBJECT) ? json_child(a, meta, "labels") : NULL;
	if (!json_is(labels, JSON_OBJECT))
		return;
	const struct json *uid = json_dig(h->obj, "metadata", "uid", NULL);
	const struct json *name = json_dig(h->obj, "metadata", "name", NULL);
	set_label(h, labels, UID_LABEL, uid);
	set_label(h, labels, NAME_LABEL, name);
	set_label(h, labels, "controller-uid", uid);
	set_label(h, labels, "job-name", name);
	struct json *sel = json_setc(a, spec, "selector", json_object());
	set_label(h, json_setc(a, sel, "matchLabels", json_object()), UID_LABEL, uid);
}

static void job_validate(struct kind_hook *h)
{
	const struct json *spec = json_getc(h->obj, "spec");
	const struct json *pod = json_dig(spec, "template", "spec", NULL);
	const struct json *policy = json_getc(pod, "restartPolicy");
	struct str p = json_str(policy);
	if (!str_is(p, "Never") && !str_is(p, "OnFailure"))
		hook_error(h, FIELD_NOT_SUPPORTED, STR("spec.template.spec.restartPolicy"), policy,
			   "supported values: \"OnFailure\", \"Never\"");
	hook_pod_spec_validate(h, pod, STR("spec.template.spec"));
	static const char *const later[] = { "podFailurePolicy", "successPolicy",
					     "backoffLimitPerIndex", "maxFailedIndexes" };
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (json_getc(spec, later[i]))
			hook_warn(h, "spec.%s: is stored, and not acted on yet", later[i]);
	if (str_is(json_str(json_getc(spec, "completionMode")), "Indexed"))
		hook_error(h, FIELD_NOT_SUPPORTED, STR("spec.completionMode"),
			   json_getc(spec, "completionMode"), "supported values: \"NonIndexed\"");
	if (!h->old)
		return;
	const struct json *old = json_getc(h->old, "spec");
	hook_immutable(h, STR("spec.selector"), json_getc(spec, "selector"),
		       json_getc(old, "selector"));
	hook_immutable(h, STR("spec.completions"), json_getc(spec, "completions"),
		       json_getc(old, "completions"));
	if (!json_bool(json_getc(old, "suspend"), false))
		hook_immutable(h, STR("spec.template"), json_getc(spec, "template"),
			       json_getc(old, "template"));
}

const struct kind_hooks kind_hooks_job = {
	.resource = "batch/jobs",
	.prepare = job_prepare,
	.validate = job_validate,
};
