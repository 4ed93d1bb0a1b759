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

/* The condition stands at True since the definition was made. */
static void push_condition(struct arena *a, struct json *list, const char *type, const char *reason,
			   const char *message, struct str since)
{
	struct json c = json_object();
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), type))
			return;
	if (since.len)
		(void)json_setc(a, &c, "lastTransitionTime", json_of_str(since));
	(void)json_setc(a, &c, "message", json_of_cstr(message));
	(void)json_setc(a, &c, "reason", json_of_cstr(reason));
	(void)json_setc(a, &c, "status", json_of_cstr("True"));
	(void)json_setc(a, &c, "type", json_of_cstr(type));
	(void)json_push(a, list, c);
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
	struct str since = json_str(json_dig(h->obj, "metadata", "creationTimestamp", NULL));
	struct json *status = json_child(a, h->obj, "status");
	(void)json_setc(a, status, "acceptedNames", json_clone(a, names));
	struct json *conditions = json_getc(status, "conditions");
	if (!json_is(conditions, JSON_ARRAY))
		conditions = json_setc(a, status, "conditions", json_array());
	push_condition(a, conditions, "NamesAccepted", "NoConflicts", "no conflicts found", since);
	push_condition(a, conditions, "Established", "InitialNamesAccepted",
		       "the initial names have been accepted", since);
	add_stored_version(a, status, versions);
}

/* Whether rules in CEL stand anywhere below. */
static bool has_rules(const struct json *schema)
{
	if (json_is(schema, JSON_OBJECT)) {
		for (size_t i = 0; i < json_len(schema); i++)
			if (str_is(json_str(&schema->members[i].key), "x-kubernetes-validations") ||
			    has_rules(&schema->members[i].value))
				return true;
	} else if (json_is(schema, JSON_ARRAY)) {
		for (size_t i = 0; i < json_len(schema); i++)
			if (has_rules(&schema->items[i]))
				return true;
	}
	return false;
}

static void crd_validate(struct kind_hook *h)
{
	const struct json *spec = json_getc(h->obj, "spec");
	const struct json *before = json_getc(h->old, "spec");
	if (h->subresource.len)
		return;
	kind_validate_crd(h->obj, &h->check->errors);
	if (before) {
		hook_immutable(h, STR("spec.scope"), json_getc(spec, "scope"),
			       json_getc(before, "scope"));
		hook_immutable(h, STR("spec.names.plural"), json_dig(spec, "names", "plural", NULL),
			       json_dig(before, "names", "plural", NULL));
		hook_immutable(h, STR("spec.names.kind"), json_dig(spec, "names", "kind", NULL),
			       json_dig(before, "names", "kind", NULL));
	}
	if (has_rules(json_getc(spec, "versions")))
		hook_warn(h,
			  "x-kubernetes-validations: stored, but rules in CEL are not evaluated");
	if (str_is(json_str(json_dig(spec, "conversion", "strategy", NULL)), "Webhook"))
		hook_warn(h, "spec.conversion.strategy: Webhook is stored, but versions are "
			     "converted as with None");
}

const struct kind_hooks kind_hooks_crd = {
	.resource = "apiextensions.k8s.io/customresourcedefinitions",
	.prepare = crd_prepare,
	.validate = crd_validate,
};
