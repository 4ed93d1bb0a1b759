/* The rules of CustomResourceDefinitions beyond their schema. */
#include "jsonpath/jsonpath.h"
#include "kind/kind_priv.h"
#include "kind/meta.h"

#include <ctype.h>

enum { SELECTABLE_MAX = 8 }; /* of a version, as in Kubernetes */

struct crd {
	struct field_errors *errors;
	struct arena *arena;
};

static struct str text_of(const struct json *j, const char *name)
{
	return json_str(json_getc(j, name));
}

static struct str path_of(struct crd *c, const char *fmt, size_t i)
{
	return arena_strf(c->arena, "spec.versions[%zu]%s", i, fmt);
}

static void check_word(struct crd *c, struct str path, struct str s, bool required)
{
	struct name_msgs msgs = { .len = 0 };
	struct json value = json_of_str(s);
	if (!s.len && !required)
		return;
	if (!s.len) {
		field_error_add(c->errors, FIELD_REQUIRED, path, NULL, "%s", "");
		return;
	}
	(void)name_check_dns1035_label(s, &msgs);
	for (size_t i = 0; i < msgs.len; i++)
		field_error_add(c->errors, FIELD_INVALID, path, &value, "%s", msgs.msg[i]);
}

/* Kinds are judged without regard to case. */
static void check_kind(struct crd *c, struct str path, struct str s, bool required)
{
	char *low = arena_alloc(c->arena, s.len + 1);
	for (size_t i = 0; i < s.len; i++)
		low[i] = (char)tolower((unsigned char)s.p[i]);
	check_word(c, path, str_n(low, s.len), required);
}

static void check_words(struct crd *c, const char *path, const struct json *list)
{
	for (size_t i = 0; i < json_len(list); i++)
		check_word(c, arena_strf(c->arena, "%s[%zu]", path, i), json_str(json_at(list, i)),
			   true);
}

static void check_names(struct crd *c, const struct json *crd)
{
	const struct json *spec = json_getc(crd, "spec");
	const struct json *names = json_getc(spec, "names");
	struct str group = text_of(spec, "group"), plural = text_of(names, "plural");
	const struct json *name = json_dig(crd, "metadata", "name", NULL);
	struct str want = arena_strf(c->arena, "%.*s.%.*s", STR_ARG(plural), STR_ARG(group));
	struct name_msgs msgs = { .len = 0 };
	struct json group_value = json_of_str(group);
	if (!group.len)
		field_error_add(c->errors, FIELD_REQUIRED, STR("spec.group"), NULL, "%s", "");
	else if (!name_check_dns1123_subdomain(group, &msgs))
		field_error_add(c->errors, FIELD_INVALID, STR("spec.group"), &group_value, "%s",
				msgs.msg[0]);
	else if (str_find(group, '.', 0) < 0)
		field_error_add(c->errors, FIELD_INVALID, STR("spec.group"), &group_value,
				"should be a domain with at least one dot");
	if (!str_eq(json_str(name), want))
		field_error_add(c->errors, FIELD_INVALID, STR("metadata.name"), name,
				"must be spec.names.plural+\".\"+spec.group");
	check_word(c, STR("spec.names.plural"), plural, true);
	check_word(c, STR("spec.names.singular"), text_of(names, "singular"), false);
	check_kind(c, STR("spec.names.kind"), text_of(names, "kind"), true);
	check_kind(c, STR("spec.names.listKind"), text_of(names, "listKind"), false);
	check_words(c, "spec.names.shortNames", json_getc(names, "shortNames"));
	check_words(c, "spec.names.categories", json_getc(names, "categories"));
	if (text_of(names, "kind").len &&
	    str_eq(text_of(names, "kind"), text_of(names, "listKind")))
		field_error_add(c->errors, FIELD_INVALID, STR("spec.names.listKind"),
				json_getc(names, "listKind"),
				"kind and listKind may not be the same");
}

static void check_columns(struct crd *c, const struct json *version, size_t i)
{
	static const char *const types[] = { "integer", "number", "string", "boolean", "date" };
	const struct json *list = json_getc(version, "additionalPrinterColumns");
	for (size_t n = 0; n < json_len(list); n++) {
		const struct json *col = json_at(list, n);
		const struct json *type = json_getc(col, "type");
		struct str at = arena_strf(
			c->arena, "spec.versions[%zu].additionalPrinterColumns[%zu]", i, n);
		struct jsonpath *path;
		struct error err;
		bool known = false;
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
			known |= str_is(json_str(type), types[t]);
		if (!known)
			field_error_add(c->errors, FIELD_INVALID,
					arena_strf(c->arena, "%.*s.type", STR_ARG(at)), type,
					"must be one of integer,number,string,boolean,date");
		if (jsonpath_compile(c->arena, text_of(col, "jsonPath"),
				     JSONPATH_ALLOW_MISSING | JSONPATH_RELAXED, &path, &err))
			field_error_add(c->errors, FIELD_INVALID,
					arena_strf(c->arena, "%.*s.jsonPath", STR_ARG(at)),
					json_getc(col, "jsonPath"), "%s", err.msg);
	}
}

/* The schema of a simple path (".spec.color"), or NULL. */
static const struct json *schema_of_path(const struct json *schema, struct str path)
{
	struct str rest = str_sub(path, 1, path.len), piece;
	if (!path.len || path.p[0] != '.' || !rest.len)
		return NULL;
	while (schema && rest.len && str_split(&rest, '.', &piece))
		schema = json_get(json_getc(schema, "properties"), piece);
	return schema;
}

static void check_selectable(struct crd *c, const struct json *version, size_t i)
{
	const struct json *list = json_getc(version, "selectableFields");
	const struct json *schema = json_dig(version, "schema", "openAPIV3Schema", NULL);
	if (json_len(list) > SELECTABLE_MAX) {
		struct json n = json_of_u64(json_len(list));
		field_error_add(c->errors, FIELD_TOO_MANY, path_of(c, ".selectableFields", i), &n,
				"must have at most %d items", SELECTABLE_MAX);
		return;
	}
	for (size_t n = 0; n < json_len(list); n++) {
		const struct json *path = json_getc(json_at(list, n), "jsonPath");
		struct str at = arena_strf(
			c->arena, "spec.versions[%zu].selectableFields[%zu].jsonPath", i, n);
		struct str type = text_of(schema_of_path(schema, json_str(path)), "type");
		bool fine = str_is(type, "string") || str_is(type, "integer") ||
			    str_is(type, "boolean");
		if (!json_str(path).len)
			field_error_add(c->errors, FIELD_REQUIRED, at, NULL, "%s", "");
		else if (str_starts(json_str(path), STR(".metadata")))
			field_error_add(c->errors, FIELD_INVALID, at, path,
					"must not point to fields in metadata");
		else if (!fine)
			field_error_add(c->errors, FIELD_INVALID, at, path,
					"must point to a field of type string, boolean or integer; "
					"enum fields and fields with formats are allowed");
		for (size_t o = 0; o < n; o++)
			if (str_eq(text_of(json_at(list, o), "jsonPath"), json_str(path)))
				field_error_add(c->errors, FIELD_DUPLICATE, at, path, "%s", "");
	}
}

static void check_scale_path(struct crd *c, const struct json *scale, const char *name,
			     const char *prefix, size_t i)
{
	const struct json *path = json_getc(scale, name);
	bool optional = prefix == NULL;
	struct str at = arena_strf(c->arena, "spec.versions[%zu].subresources.scale.%s", i, name);
	if (!json_str(path).len && !optional)
		field_error_add(c->errors, FIELD_REQUIRED, at, NULL, "%s", "");
	else if (prefix && !str_starts(json_str(path), str_of(prefix)))
		field_error_add(c->errors, FIELD_INVALID, at, path,
				"should be a json path under %.*s", (int)strlen(prefix) - 1,
				prefix);
}

static void check_version(struct crd *c, const struct json *version, size_t i)
{
	const struct json *schema = json_dig(version, "schema", "openAPIV3Schema", NULL);
	const struct json *scale = json_dig(version, "subresources", "scale", NULL);
	check_word(c, path_of(c, ".name", i), text_of(version, "name"), true);
	if (!json_is(schema, JSON_OBJECT)) {
		field_error_add(c->errors, FIELD_REQUIRED, path_of(c, ".schema.openAPIV3Schema", i),
				NULL, "schemas are required");
		return;
	}
	size_t before = c->errors->len;
	struct str at = path_of(c, ".schema.openAPIV3Schema", i);
	schema_check_structural(schema, at, c->errors);
	if (c->errors->len == before) {
		struct schema_set *set = schema_set_new();
		const struct schema *compiled;
		struct error err;
		if (schema_compile(set, schema, true, &compiled, &err))
			field_error_add(c->errors, FIELD_INVALID, at, NULL, "%s", err.msg);
		schema_set_free(set);
	}
	check_columns(c, version, i);
	check_selectable(c, version, i);
	if (json_is(scale, JSON_OBJECT)) {
		check_scale_path(c, scale, "specReplicasPath", ".spec.", i);
		check_scale_path(c, scale, "statusReplicasPath", ".status.", i);
		check_scale_path(c, scale, "labelSelectorPath", NULL, i);
	}
}

static void check_versions(struct crd *c, const struct json *versions)
{
	size_t stored = 0;
	if (!json_len(versions))
		field_error_add(c->errors, FIELD_REQUIRED, STR("spec.versions"), NULL,
				"must have at least one version");
	if (json_len(versions) > KIND_VERSIONS_MAX) {
		struct json n = json_of_u64(json_len(versions));
		field_error_add(c->errors, FIELD_TOO_MANY, STR("spec.versions"), &n,
				"must have at most %d items", KIND_VERSIONS_MAX);
		return;
	}
	for (size_t i = 0; i < json_len(versions); i++) {
		const struct json *v = json_at(versions, i);
		stored += json_bool(json_getc(v, "storage"), false);
		check_version(c, v, i);
		for (size_t n = 0; n < i; n++) {
			if (!str_eq(text_of(json_at(versions, n), "name"), text_of(v, "name")))
				continue;
			field_error_add(c->errors, FIELD_INVALID, path_of(c, ".name", i),
					json_getc(v, "name"), "must be unique");
			break;
		}
	}
	if (json_len(versions) && stored != 1)
		field_error_add(c->errors, FIELD_INVALID, STR("spec.versions"), NULL,
				"must have exactly one version marked as storage version");
}

void kind_validate_crd(const struct json *crd, struct field_errors *errors)
{
	struct crd c = { .errors = errors, .arena = errors->arena };
	const struct json *spec = json_getc(crd, "spec");
	check_names(&c, crd);
	check_versions(&c, json_getc(spec, "versions"));
	struct str scope = text_of(spec, "scope");
	if (!str_is(scope, "Namespaced") && !str_is(scope, "Cluster"))
		field_error_add(errors, FIELD_NOT_SUPPORTED, STR("spec.scope"),
				json_getc(spec, "scope"),
				"supported values: \"Cluster\", \"Namespaced\"");
}
