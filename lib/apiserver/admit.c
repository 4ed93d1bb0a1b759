#include "apiserver/admit.h"

static bool is_kind(const struct kind *k, const char *resource_key)
{
	return k->builtin && str_is(k->resource_key, resource_key);
}

bool admit_forbid(struct req *r, const struct json *obj, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *why = arena_vprintf(&r->arena, fmt, ap);
	va_end(ap);
	struct str name = object_text(obj, "name");
	struct status st = { .code = ERR_FORBIDDEN,
			     .message = arena_strf(&r->arena, "%.*s \"%.*s\" is forbidden: %s",
						   STR_ARG(status_resource(&r->arena, r->kind)),
						   STR_ARG(name), why),
			     .name = name,
			     .group = r->kind->group,
			     .kind = r->kind->plural };
	req_fail_status(r, &st);
	return false;
}

bool admit_change(struct req *r, struct json *obj, const struct json *old)
{
	if (old)
		return true;
	if (!r->kind->builtin)
		return admit_crd_open(r);
	if (!is_kind(r->kind, "/pods"))
		return true;
	admit_limit_defaults(r, obj);
	return admit_pod_priority(r, obj);
}

bool admit_check(struct req *r, struct json *obj, const struct json *old)
{
	if (!old && is_kind(r->kind, "/pods") && !admit_limits(r, obj))
		return false;
	if (!admit_quota(r, obj, old))
		return false;
	if (!r->kind->builtin)
		return true;
	if (is_kind(r->kind, "apiextensions.k8s.io/customresourcedefinitions"))
		admit_crd_names(r, obj);
	if (is_kind(r->kind, "scheduling.k8s.io/priorityclasses"))
		return admit_priority_class(r, obj);
	if (str_is(r->kind->group, "rbac.authorization.k8s.io"))
		return str_ends(r->kind->plural, STR("bindings")) ? admit_binding(r, obj, old)
								  : admit_role(r, obj, old);
	return true;
}
