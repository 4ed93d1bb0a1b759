/* The rules that make a user's schema structural. */
#include "schema/schema_priv.h"

struct structural {
	struct field_errors *errors;
	size_t nodes;
};

static void check_node(struct structural *s, const struct json *doc, const struct field_path *at,
		       unsigned depth, const char *untyped);
static void check_logic(struct structural *s, const struct json *outer, const struct json *doc,
			const struct field_path *at, unsigned depth);

static const char *const logic_words[] = { "allOf", "anyOf", "oneOf" };

static bool flag(const struct json *doc, const char *name)
{
	return json_bool(json_getc(doc, name), false);
}

static bool is_set(const struct json *doc, const char *name)
{
	const struct json *v = json_getc(doc, name);
	return v && v->type != JSON_NULL;
}

/* null stands for an absent keyword, as it does when compiled. */
static const struct json *keyword(const struct json *doc, const char *name)
{
	const struct json *v = json_getc(doc, name);
	return v && v->type != JSON_NULL ? v : NULL;
}

static void forbid(struct structural *s, const struct json *doc, const struct field_path *at,
		   const char *name, const char *why)
{
	if (is_set(doc, name))
		field_error_at(s->errors, FIELD_FORBIDDEN, &FIELD_MEMBER(at, str_of(name)), NULL,
			       "%s", why);
}

static void check_forbidden(struct structural *s, const struct json *doc,
			    const struct field_path *at)
{
	static const char *const unsupported[] = {
		"$ref",     "definitions", "dependencies",  "additionalItems",
		"id",       "deprecated",  "discriminator", "patternProperties",
		"readOnly", "writeOnly",   "xml",
	};
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
		forbid(s, doc, at, unsupported[i], "is not supported");
	if (flag(doc, "uniqueItems"))
		field_error_at(s->errors, FIELD_FORBIDDEN, &FIELD_MEMBER(at, STR("uniqueItems")),
			       NULL,
			       "uniqueItems cannot be set to true since the runtime "
			       "complexity becomes quadratic");
	struct field_path more = FIELD_MEMBER(at, STR("additionalProperties"));
	const struct json *additional = json_getc(doc, "additionalProperties");
	if (json_is(additional, JSON_BOOL) && !additional->b)
		field_error_at(s->errors, FIELD_FORBIDDEN, &more, NULL,
			       "additionalProperties cannot be set to false");
	if (is_set(doc, "additionalProperties") && json_len(json_getc(doc, "properties")))
		field_error_at(s->errors, FIELD_FORBIDDEN, &more, NULL,
			       "additionalProperties and properties are mutual exclusive");
}

static bool is_scalar(const struct json *doc)
{
	struct str type = json_str(json_getc(doc, "type"));
	return str_is(type, "string") || str_is(type, "integer") || str_is(type, "number") ||
	       str_is(type, "boolean") || flag(doc, "x-kubernetes-int-or-string");
}

static bool lists(const struct json *list, struct str name)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_at(list, i)), name))
			return true;
	return false;
}

static void check_list_keys(struct structural *s, const struct json *doc,
			    const struct field_path *at)
{
	struct field_path keys_at = FIELD_MEMBER(at, STR("x-kubernetes-list-map-keys"));
	const struct json *keys = json_getc(doc, "x-kubernetes-list-map-keys");
	const struct json *items = json_getc(doc, "items");
	if (!json_len(keys) || !json_is(keys, JSON_ARRAY)) {
		field_error_at(s->errors, FIELD_REQUIRED, &keys_at, NULL,
			       "must not be empty if x-kubernetes-list-type is map");
		return;
	}
	for (size_t i = 0; i < json_len(keys); i++) {
		struct str key = json_str(&keys->items[i]);
		const struct json *prop = json_get(json_getc(items, "properties"), key);
		if (!prop)
			field_error_at(s->errors, FIELD_INVALID, &FIELD_INDEX(&keys_at, i),
				       &keys->items[i],
				       "entries must all be names of item properties");
		else if (!is_scalar(prop))
			field_error_at(s->errors, FIELD_INVALID, &FIELD_INDEX(&keys_at, i),
				       &keys->items[i], "must be a scalar type");
		else if (!lists(json_getc(items, "required"), key) && !json_getc(prop, "default"))
			field_error_at(s->errors, FIELD_REQUIRED, &FIELD_INDEX(&keys_at, i), NULL,
				       "this property is in x-kubernetes-list-map-keys, so it must "
				       "have a default or be a required property");
	}
}

static void check_extensions(struct structural *s, const struct json *doc,
			     const struct field_path *at)
{
	struct str type = json_str(json_getc(doc, "type"));
	struct str list = json_str(json_getc(doc, "x-kubernetes-list-type"));
	struct json shown = json_of_str(type);
	struct field_path type_at = FIELD_MEMBER(at, STR("type"));
	if (list.len && !str_is(type, "array"))
		field_error_at(s->errors, FIELD_INVALID, &type_at, &shown,
			       "must be array if x-kubernetes-list-type is specified");
	else if (str_is(list, "map"))
		check_list_keys(s, doc, at);
	else if (json_len(json_getc(doc, "x-kubernetes-list-map-keys")))
		field_error_at(s->errors, FIELD_INVALID,
			       &FIELD_MEMBER(at, STR("x-kubernetes-list-type")), NULL,
			       "must be map if x-kubernetes-list-map-keys is non-empty");
	if (is_set(doc, "x-kubernetes-map-type") && !str_is(type, "object"))
		field_error_at(s->errors, FIELD_INVALID, &type_at, &shown,
			       "must be object if x-kubernetes-map-type is specified");
	if (flag(doc, "x-kubernetes-int-or-string") && type.len)
		field_error_at(s->errors, FIELD_INVALID, &type_at, &shown,
			       "must be empty if x-kubernetes-int-or-string is true");
	if (flag(doc, "x-kubernetes-embedded-resource") && !str_is(type, "object"))
		field_error_at(s->errors, FIELD_INVALID, &type_at, &shown,
			       "must be object if x-kubernetes-embedded-resource is true");
	if (str_is(type, "array") && !is_set(doc, "items"))
		field_error_at(s->errors, FIELD_REQUIRED, &FIELD_MEMBER(at, STR("items")), NULL,
			       "must be specified");
}

/* {type: integer} or {type: string} and nothing else: the usual twin of int-or-string. */
static bool is_bare_type(const struct json *doc)
{
	struct str type = json_str(json_getc(doc, "type"));
	return json_len(doc) == 1 && (str_is(type, "integer") || str_is(type, "string"));
}

static void check_logic_children(struct structural *s, const struct json *outer,
				 const struct json *doc, const struct field_path *at,
				 unsigned depth)
{
	const struct json *props = json_getc(doc, "properties");
	const struct json *own = json_getc(outer, "properties");
	bool open = flag(outer, "x-kubernetes-preserve-unknown-fields");
	for (size_t i = 0; json_is(props, JSON_OBJECT) && i < json_len(props); i++) {
		struct str name = json_str(&props->members[i].key);
		struct field_path props_at = FIELD_MEMBER(at, STR("properties"));
		struct field_path here = FIELD_KEY(&props_at, name);
		const struct json *inner = json_get(own, name);
		if (!inner)
			inner = keyword(outer, "additionalProperties");
		if (!inner && !open)
			field_error_at(
				s->errors, FIELD_REQUIRED, &here, NULL,
				"must be specified outside of allOf, anyOf, oneOf and not as "
				"well");
		check_logic(s, inner, &props->members[i].value, &here, depth);
	}
	const struct json *items = keyword(doc, "items");
	if (items)
		check_logic(s, keyword(outer, "items"), items, &FIELD_MEMBER(at, STR("items")),
			    depth);
}

static void check_junctors(struct structural *s, const struct json *outer, const struct json *doc,
			   const struct field_path *at, unsigned depth)
{
	for (size_t w = 0; w < 3; w++) {
		const struct json *list = json_getc(doc, logic_words[w]);
		struct field_path list_at = FIELD_MEMBER(at, str_of(logic_words[w]));
		for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++)
			check_logic(s, outer, &list->items[i], &FIELD_INDEX(&list_at, i), depth);
	}
	const struct json *not_of = keyword(doc, "not");
	if (not_of)
		check_logic(s, outer, not_of, &FIELD_MEMBER(at, STR("not")), depth);
}

/* `doc` stands below allOf, anyOf, oneOf or not of the node `outer` (NULL: unknown). */
static void check_logic(struct structural *s, const struct json *outer, const struct json *doc,
			const struct field_path *at, unsigned depth)
{
	static const char *const words[] = { "description", "type", "default",
					     "additionalProperties", "nullable" };
	if (depth > SCHEMA_DEPTH_MAX || ++s->nodes > SCHEMA_NODES_MAX) {
		field_error_at(s->errors, FIELD_TOO_MANY, at, NULL, "the schema is too large");
		return;
	}
	if (!json_is(doc, JSON_OBJECT)) {
		field_error_at(s->errors, FIELD_INVALID, at, NULL, "must be an object");
		return;
	}
	check_forbidden(s, doc, at);
	if (!(flag(outer, "x-kubernetes-int-or-string") && is_bare_type(doc)))
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			forbid(s, doc, at, words[i], "must be undefined to be structural");
	check_logic_children(s, outer, doc, at, depth + 1);
	check_junctors(s, outer, doc, at, depth + 1);
}

static void check_children(struct structural *s, const struct json *doc,
			   const struct field_path *at, unsigned depth)
{
	static const char field[] = "must not be empty for specified object fields";
	const struct json *props = json_getc(doc, "properties");
	struct field_path props_at = FIELD_MEMBER(at, STR("properties"));
	for (size_t i = 0; json_is(props, JSON_OBJECT) && i < json_len(props); i++)
		check_node(s, &props->members[i].value,
			   &FIELD_KEY(&props_at, json_str(&props->members[i].key)), depth, field);
	const struct json *more = keyword(doc, "additionalProperties");
	if (json_is(more, JSON_OBJECT))
		check_node(s, more, &FIELD_MEMBER(at, STR("additionalProperties")), depth, field);
	const struct json *items = keyword(doc, "items");
	if (items)
		check_node(s, items, &FIELD_MEMBER(at, STR("items")), depth,
			   "must not be empty for specified array items");
}

static void check_node(struct structural *s, const struct json *doc, const struct field_path *at,
		       unsigned depth, const char *untyped)
{
	if (depth > SCHEMA_DEPTH_MAX || ++s->nodes > SCHEMA_NODES_MAX) {
		field_error_at(s->errors, FIELD_TOO_MANY, at, NULL, "the schema is too large");
		return;
	}
	if (!json_is(doc, JSON_OBJECT)) {
		field_error_at(s->errors, FIELD_INVALID, at, NULL, "must be an object");
		return;
	}
	bool free_type = flag(doc, "x-kubernetes-int-or-string") ||
			 flag(doc, "x-kubernetes-preserve-unknown-fields");
	if (!json_str(json_getc(doc, "type")).len && (!free_type || depth == 0))
		field_error_at(s->errors, FIELD_REQUIRED, &FIELD_MEMBER(at, STR("type")), NULL,
			       "%s", untyped);
	check_forbidden(s, doc, at);
	check_extensions(s, doc, at);
	check_junctors(s, doc, doc, at, depth + 1);
	check_children(s, doc, at, depth + 1);
}

void schema_check_structural(const struct json *doc, struct str path, struct field_errors *errors)
{
	struct structural s = { .errors = errors };
	struct field_path root = FIELD_ROOT(path);
	const struct json *type = json_getc(doc, "type");
	check_node(&s, doc, &root, 0, "must not be empty at the root");
	if (json_is(type, JSON_STRING) && type->len && !str_is(json_str(type), "object"))
		field_error_at(errors, FIELD_INVALID, &FIELD_MEMBER(&root, STR("type")), type,
			       "must be object at the root");
}
