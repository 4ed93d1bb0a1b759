#include "apiserver/admit.h"

static bool is_kind(const struct kind *k, const char *resource_key)
{
	return k->builtin && str_is(k->resource_key, resource_key);
}

bool admit_change(struct req *r, struct json *obj, const struct json *old)
{
	(void)obj;
	return old || r->kind->builtin || admit_crd_open(r);
}

bool admit_check(struct req *r, struct json *obj, const struct json *old)
{
	if (!old && !admit_quota(r, obj))
		return false;
	if (!r->kind->builtin)
		return true;
	if (is_kind(r->kind, "apiextensions.k8s.io/customresourcedefinitions"))
		admit_crd_names(r, obj);
	if (str_is(r->kind->group, "rbac.authorization.k8s.io"))
		return str_ends(r->kind->plural, STR("bindings")) ? admit_binding(r, obj, old)
								  : admit_role(r, obj, old);
	return true;
}
