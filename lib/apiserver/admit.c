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
	(void)old;
	if (is_kind(r->kind, "apiextensions.k8s.io/customresourcedefinitions"))
		admit_crd_names(r, obj);
	return true;
}
