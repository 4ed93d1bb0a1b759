/* Roles and bindings: rules beyond their schema. */
#include "kind/hooks.h"

#define API_GROUP "rbac.authorization.k8s.io"

static struct str text_of(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

/* A field that its schema says is a list may still be of any shape here. */
static size_t count(const struct json *j, const char *name)
{
	const struct json *list = json_getc(j, name);
	return json_is(list, JSON_ARRAY) ? json_len(list) : 0;
}

static void role_validate(struct kind_hook *h)
{
	bool cluster = !h->kind->namespaced;
	const struct json *rules = json_getc(h->obj, "rules");
	for (size_t i = 0; json_is(rules, JSON_ARRAY) && i < json_len(rules); i++) {
		const struct json *r = json_at(rules, i);
		struct str at = hook_path(h, "rules[%zu]", i);
		if (count(r, "verbs") == 0)
			hook_error(h, FIELD_REQUIRED, hook_path(h, "%.*s.verbs", STR_ARG(at)), NULL,
				   "verbs must contain at least one value");
		if (count(r, "nonResourceURLs")) {
			struct str urls = hook_path(h, "%.*s.nonResourceURLs", STR_ARG(at));
			if (!cluster)
				hook_error(h, FIELD_INVALID, urls, json_getc(r, "nonResourceURLs"),
					   "namespaced rules cannot apply to non-resource URLs");
			if (count(r, "apiGroups") || count(r, "resources") ||
			    count(r, "resourceNames"))
				hook_error(h, FIELD_INVALID, urls, json_getc(r, "nonResourceURLs"),
					   "rules cannot apply to both regular resources and "
					   "non-resource URLs");
			continue;
		}
		if (count(r, "apiGroups") == 0)
			hook_error(h, FIELD_REQUIRED, hook_path(h, "%.*s.apiGroups", STR_ARG(at)),
				   NULL, "resource rules must supply at least one api group");
		if (count(r, "resources") == 0)
			hook_error(h, FIELD_REQUIRED, hook_path(h, "%.*s.resources", STR_ARG(at)),
				   NULL, "resource rules must supply at least one resource");
	}
}

static void binding_prepare(struct kind_hook *h)
{
	struct json *list = json_getc(h->obj, "subjects");
	struct json copy = { 0 };
	if (!json_is(list, JSON_ARRAY))
		return;
	copy = json_clone(h->check->arena, list);
	for (size_t i = 0; i < json_len(&copy); i++) {
		struct json *s = json_at(&copy, i);
		struct str kind = text_of(s, "kind");
		if ((str_is(kind, "User") || str_is(kind, "Group")) && !text_of(s, "apiGroup").len)
			(void)json_setc(h->check->arena, s, "apiGroup", json_of_cstr(API_GROUP));
	}
	*list = copy;
}

static void check_subject(struct kind_hook *h, const struct json *s, size_t i)
{
	struct str kind = text_of(s, "kind"), group = text_of(s, "apiGroup");
	bool account = str_is(kind, "ServiceAccount");
	if (!text_of(s, "name").len)
		hook_error(h, FIELD_REQUIRED, hook_path(h, "subjects[%zu].name", i), NULL, "%s",
			   "");
	if (!account && !str_is(kind, "User") && !str_is(kind, "Group"))
		hook_error(h, FIELD_NOT_SUPPORTED, hook_path(h, "subjects[%zu].kind", i),
			   json_getc(s, "kind"),
			   "supported values: \"Group\", \"ServiceAccount\", \"User\"");
	else if (!str_is(group, account ? "" : API_GROUP))
		hook_error(h, FIELD_NOT_SUPPORTED, hook_path(h, "subjects[%zu].apiGroup", i),
			   json_getc(s, "apiGroup"), "supported values: \"%s\"",
			   account ? "" : API_GROUP);
	if (account && !h->kind->namespaced && !text_of(s, "namespace").len)
		hook_error(h, FIELD_REQUIRED, hook_path(h, "subjects[%zu].namespace", i), NULL,
			   "%s", "");
}

static void binding_validate(struct kind_hook *h)
{
	const struct json *ref = json_getc(h->obj, "roleRef");
	const struct json *subjects = json_getc(h->obj, "subjects");
	struct str kind = text_of(ref, "kind");
	if (!str_is(text_of(ref, "apiGroup"), API_GROUP))
		hook_error(h, FIELD_NOT_SUPPORTED, STR("roleRef.apiGroup"),
			   json_getc(ref, "apiGroup"), "supported values: \"" API_GROUP "\"");
	if (!str_is(kind, "ClusterRole") && (!h->kind->namespaced || !str_is(kind, "Role")))
		hook_error(h, FIELD_NOT_SUPPORTED, STR("roleRef.kind"), json_getc(ref, "kind"),
			   h->kind->namespaced ? "supported values: \"ClusterRole\", \"Role\""
					       : "supported values: \"ClusterRole\"");
	if (!text_of(ref, "name").len)
		hook_error(h, FIELD_REQUIRED, STR("roleRef.name"), NULL, "%s", "");
	for (size_t i = 0; json_is(subjects, JSON_ARRAY) && i < json_len(subjects); i++)
		check_subject(h, json_at(subjects, i), i);
	if (h->old && !json_equal(ref, json_getc(h->old, "roleRef")))
		hook_error(h, FIELD_INVALID, STR("roleRef"), ref, "cannot change roleRef");
}

const struct kind_hooks kind_hooks_role = {
	.resource = "rbac.authorization.k8s.io/roles",
	.validate = role_validate,
};
const struct kind_hooks kind_hooks_cluster_role = {
	.resource = "rbac.authorization.k8s.io/clusterroles",
	.validate = role_validate,
};
const struct kind_hooks kind_hooks_role_binding = {
	.resource = "rbac.authorization.k8s.io/rolebindings",
	.prepare = binding_prepare,
	.validate = binding_validate,
};
const struct kind_hooks kind_hooks_cluster_role_binding = {
	.resource = "rbac.authorization.k8s.io/clusterrolebindings",
	.prepare = binding_prepare,
	.validate = binding_validate,
};
