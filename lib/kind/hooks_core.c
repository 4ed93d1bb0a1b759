/* Namespace and Event. */
#include "kind/hooks.h"

static void namespace_prepare(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	struct json *meta = json_child(a, h->obj, "metadata");
	struct str name = json_str(json_getc(meta, "name"));
	struct json *labels = json_getc(meta, "labels");
	if (name.len && (!labels || labels->type == JSON_OBJECT))
		(void)json_setc(a, json_child(a, meta, "labels"), "kubernetes.io/metadata.name",
				json_of_str(name));
	struct json *spec = json_child(a, h->obj, "spec");
	if (!h->old && !json_len(json_getc(spec, "finalizers"))) {
		struct json list = json_array();
		(void)json_push(a, &list, json_of_cstr("kubernetes"));
		(void)json_setc(a, spec, "finalizers", list);
	}
	struct json *status = json_child(a, h->obj, "status");
	if (!json_str(json_getc(status, "phase")).len)
		(void)json_setc(a, status, "phase", json_of_cstr("Active"));
	if (json_is(json_getc(meta, "deletionTimestamp"), JSON_STRING))
		(void)json_setc(a, status, "phase", json_of_cstr("Terminating"));
}

const struct kind_hooks kind_hooks_namespace = {
	.resource = "/namespaces",
	.prepare = namespace_prepare,
};

static void event_validate(struct kind_hook *h)
{
	const struct json *about = json_dig(h->obj, "involvedObject", "namespace", NULL);
	struct str ns = json_str(json_dig(h->obj, "metadata", "namespace", NULL));
	struct str want = json_str(about).len ? json_str(about) : STR("default");
	bool system = !json_str(about).len && str_is(ns, "kube-system");
	if (!str_eq(ns, want) && !system)
		hook_error(h, FIELD_INVALID, STR("involvedObject.namespace"), about,
			   "does not match event.namespace");
}

const struct kind_hooks kind_hooks_event = {
	.resource = "/events",
	.validate = event_validate,
};
