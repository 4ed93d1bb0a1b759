/* CustomResourceDefinition: computed names and status; the rules are in crd.c. */
#include "kind/hooks.h"
#include "kind/kind_priv.h"

#include <ctype.h>

static bool is_null_or_absent(const struct json *obj, const char *name)
{
	const struct json *v = json_getc(obj, name);
	return !v || v->type == JSON_NULL || (v->type == JSON_STRING && v->len == 0);
}

static void fill_names(struct arena *a, struct json *names)
{
	struct str kind = json_str(json_getc(names, "kind"));
	if (!kind.len)
		return;
	if (is_null_or_absent(names, "singular")) {
		char *lower = arena_alloc(a, kind.len + 1);
		for (size_t i = 0; i < kind.len; i++)
			lower[i] = (char)tolower((unsigned char)kind.p[i]);
		(void)json_setc(a, names, "singular", json_of_cstr(lower));
	}
	if (is_null_or_absent(names, "listKind"))
		(void)json_setc(a, names, "listKind",
				json_of_str(arena_strf(a, "%.*sList", STR_ARG(kind))));
}

static void add_stored_version(struct arena *a, struct json *status, const struct json *versions)
{
	struct json *stored = json_getc(status, "storedVersions");
	if (!json_is(stored, JSON_ARRAY))
		stored = json_setc(a, status, "storedVersions", json_array());
	for (size_t i = 0; i < json_len(versions); i++) {
		const struct json *v = json_at(versions, i);
		struct str name = json_str(json_getc(v, "name"));
		bool known = !json_bool(json_getc(v, "storage"), false);
		for (size_t n = 0; n < json_len(stored); n++)
			known |= str_eq(json_str(json_at(stored, n)), name);
		if (!known)
			(void)json_push(a, stored, json_of_str(name));
	}
}

static void crd_prepare(struct kind_hook *h)
{
	struct arena *a = h->check->arena;
	struct json *spec = json_getc(h->obj, "spec");
	struct json *names = json_getc(spec, "names");
	const struct json *versions = json_getc(spec, "versions");
	if (!json_is(names, JSON_OBJECT) || h->subresource.len ||
	    json_len(versions) > KIND_VERSIONS_MAX)
		return;
	fill_names(a, names);
	if (is_null_or_absent(spec, "conversion"))
		(void)json_setc(a, json_child(a, spec, "conversion"), "strategy",
				json_of_cstr("None"));
	/* It may be shared with the stored object, which must not change. */
	struct json *status = json_child(a, h->obj, "status");
	*status = json_clone(a, status);
	if (!json_is(json_getc(status, "conditions"), JSON_ARRAY))
		(void)json_setc(a, status, "conditions", json_array());
	if (!json_is(json_getc(status, "acceptedNames"), JSON_OBJECT))
		(void)json_setc(a, status, "acceptedNames", json_clone(a, names));
	add_stored_version(a, status, versions);
}

/* What is stored in a version cannot be read once the version is gone. */
static void check_stored_versions(struct kind_hook *h)
{
	const struct json *versions = json_dig(h->obj, "spec", "versions", NULL);
	const struct json *stored = json_dig(h->obj, "status", "storedVersions", NULL);
	for (size_t i = 0; i < json_len(stored); i++) {
		struct str name = json_str(json_at(stored, i));
		bool there = false;
		for (size_t v = 0; v < json_len(versions); v++)
			there |= str_eq(json_str(json_getc(json_at(versions, v), "name")), name);
		if (!there)
			hook_error(h, FIELD_INVALID, hook_path(h, "status.storedVersions[%zu]", i),
				   json_at(stored, i), "must appear in spec.versions");
	}
}

/* What passes the rules can be served: the definition is made once for trial. */
static void check_compiles(struct kind_hook *h)
{
	struct error err = { .code = ERR_OK };
	struct kind_unit *u = kind_unit_new();
	if (kind_unit_add(u, kind_info(h->kind)->unit, h->obj, false, &err))
		hook_error(h, FIELD_INVALID, STR("spec"), NULL, "%s", err.msg);
	kind_unit_unref(u);
}

static void crd_validate(struct kind_hook *h)
{
	const struct json *spec = json_getc(h->obj, "spec");
	const struct json *before = json_getc(h->old, "spec");
	if (h->subresource.len)
		return;
	kind_validate_crd(h->obj, &h->check->errors);
	check_stored_versions(h);
	if (h->check->errors.len == 0)
		check_compiles(h);
	if (before) {
		hook_immutable(h, STR("spec.scope"), json_getc(spec, "scope"),
			       json_getc(before, "scope"));
		hook_immutable(h, STR("spec.names.plural"), json_dig(spec, "names", "plural", NULL),
			       json_dig(before, "names", "plural", NULL));
		hook_immutable(h, STR("spec.names.kind"), json_dig(spec, "names", "kind", NULL),
			       json_dig(before, "names", "kind", NULL));
	}
	if (str_is(json_str(json_dig(spec, "conversion", "strategy", NULL)), "Webhook"))
		hook_warn(h, "spec.conversion.strategy: Webhook is stored, but versions are "
			     "converted as with None");
}

const struct kind_hooks kind_hooks_crd = {
	.resource = "apiextensions.k8s.io/customresourcedefinitions",
	.prepare = crd_prepare,
	.validate = crd_validate,
};
