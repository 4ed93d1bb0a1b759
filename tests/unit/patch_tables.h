/*
 * patch_tables - what the table tests of lib/patch need to read the public
 * tables: values, paths and sets as their Go calls say them, and the schemas of
 * structured-merge-diff as nodes of lib/schema.  Test files only.
 */
#ifndef TESTS_UNIT_PATCH_TABLES_H
#define TESTS_UNIT_PATCH_TABLES_H

#include "patch/typed.h"
#include "tests/unit/public_data.h"
#include "yaml/yaml.h"

#include <string.h>

/* ---- values ---- */

static inline const struct json *call_args(const struct json *j, const char *name)
{
	const struct json *call = json_getc(j, "$call");
	return call && str_is(json_str(call), name) ? json_getc(j, "args") : NULL;
}

/* A number of the Go source with a fraction stands in the table as a string. */
static inline bool is_float_literal(struct str s)
{
	bool dot = false;
	for (size_t i = 0; i < s.len; i++) {
		dot |= s.p[i] == '.';
		if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	}
	return dot && s.len > 2;
}

/* The plain value that a table entry stands for. */
static inline struct json literal(struct arena *a, const struct json *j)
{
	const struct json *wrapped = call_args(j, "value.NewValueInterface");
	if (!wrapped)
		wrapped = call_args(j, "float64");
	if (!wrapped)
		wrapped = call_args(j, "_V");
	if (wrapped)
		return literal(a, json_at(wrapped, 0));
	struct json out = json_clone(a, j);
	if (is_float_literal(json_str(&out)))
		(void)!json_parse(a, json_str(j), NULL, &out, NULL);
	if (out.type == JSON_OBJECT)
		(void)json_removec(&out, "$type");
	for (uint32_t i = 0; out.type == JSON_OBJECT && i < out.len; i++)
		out.members[i].value = literal(a, &out.members[i].value);
	return out;
}

/* YAML in a string, or in a call of typed.YAMLObject; nothing is {}. */
static inline bool yaml_value(struct arena *a, const struct json *j, struct json *ret)
{
	const struct json *wrapped = call_args(j, "typed.YAMLObject");
	struct str text = json_str(wrapped ? json_at(wrapped, 0) : j);
	struct buf b = { 0 };
	/* Indentation by tabs is the Go source's, not YAML's. */
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] != '\t')
			buf_addc(&b, text.p[i]);
	}
	struct str clean = arena_str(a, buf_str(&b));
	buf_fini(&b);
	*ret = json_object();
	if (str_trim(clean).len == 0)
		return true;
	return yaml_parse(a, clean, ret, NULL) == 0;
}

/* ---- paths and sets ---- */

static inline struct pe key_of(struct arena *a, const struct json *args)
{
	uint32_t len = (uint32_t)json_len(args) / 2;
	struct pe_key *keys = arena_new(a, struct pe_key, len + 1);
	for (uint32_t i = 0; i < len; i++) {
		struct str name = json_str(json_at(args, 2 * i));
		uint32_t at = i;
		for (; at > 0 && str_cmp(keys[at - 1].name, name) > 0; at--)
			keys[at] = keys[at - 1];
		keys[at] = (struct pe_key){ name, literal(a, json_at(args, 2 * i + 1)) };
	}
	return (struct pe){ .kind = PE_KEY, .len = len, .keys = keys };
}

static inline struct pe value_of(struct arena *a, const struct json *v)
{
	struct json *own = arena_new(a, struct json, 1);
	*own = literal(a, v);
	return (struct pe){ .kind = PE_VALUE, .value = own };
}

static inline struct pe element_of(struct arena *a, const struct json *j)
{
	if (json_is(j, JSON_STRING))
		return pe_field(json_str(j));
	if (json_is(j, JSON_INT))
		return (struct pe){ .kind = PE_INDEX, .index = j->i };
	const struct json *args = call_args(j, "_KBF");
	if (!args)
		args = call_args(j, "KeyByFields");
	if (args)
		return key_of(a, args);
	if ((args = call_args(j, "FieldNameElement")))
		return pe_field(json_str(json_at(args, 0)));
	if ((args = call_args(j, "IndexElement")))
		return (struct pe){ .kind = PE_INDEX, .index = json_i64(json_at(args, 0), -1) };
	if ((args = call_args(j, "ValueElement")) || (args = call_args(j, "_V")))
		return value_of(a, json_at(args, 0));
	args = call_args(j, "KeyElement");
	struct json pairs = json_array();
	for (size_t i = 0; i < json_len(args); i++) {
		json_push(a, &pairs, *json_getc(json_at(args, i), "Name"));
		json_push(a, &pairs, *json_getc(json_at(args, i), "Value"));
	}
	return key_of(a, &pairs);
}

static inline const struct json *path_args(const struct json *j)
{
	const struct json *args = call_args(j, "_P");
	return args ? args : call_args(j, "MakePathOrDie");
}

static inline size_t path_of(struct arena *a, const struct json *j, struct pe *path, size_t max)
{
	const struct json *args = path_args(j);
	size_t len = json_len(args);
	for (size_t i = 0; i < len && i < max; i++)
		path[i] = element_of(a, json_at(args, i));
	return len;
}

static inline struct fset set_from(struct arena *a, const struct json *j)
{
	const struct json *args = call_args(j, "_NS");
	if (!args)
		args = call_args(j, "NewSet");
	struct fset set = { 0 };
	for (size_t i = 0; i < json_len(args); i++) {
		struct pe path[16];
		size_t len = path_of(a, json_at(args, i), path, 16);
		fset_insert(a, &set, path, len);
	}
	return set;
}

static inline const char *set_text(struct arena *a, const struct fset *s)
{
	struct json j = fset_json(a, s);
	return json_text(a, &j).p;
}

/* ---- schemas of structured-merge-diff ---- */

enum { SMD_TYPES_MAX = 600 };

struct smd {
	struct arena *a;
	const struct json *types;
	struct schema *done[SMD_TYPES_MAX]; /* by position in types */
};

static inline const struct schema *smd_ref(struct smd *x, const struct json *ref);

static inline void smd_list(struct smd *x, const struct json *list, struct schema *s)
{
	const struct json *keys = json_getc(list, "keys");
	s->type = SCHEMA_ARRAY;
	s->items = smd_ref(x, json_getc(list, "elementType"));
	if (!str_is(json_str(json_getc(list, "elementRelationship")), "associative"))
		return;
	s->list = json_len(keys) ? SCHEMA_LIST_MAP : SCHEMA_LIST_SET;
	struct str *names = arena_new(x->a, struct str, json_len(keys) + 1);
	for (size_t i = 0; i < json_len(keys); i++)
		names[i] = json_str(json_at(keys, i));
	s->list_keys = names;
	s->list_keys_len = json_len(keys);
}

static inline void smd_map(struct smd *x, const struct json *map, struct schema *s)
{
	const struct json *fields = json_getc(map, "fields");
	const struct json *element = json_getc(map, "elementType");
	struct schema_property *props =
		arena_new(x->a, struct schema_property, json_len(fields) + 1);
	s->type = SCHEMA_OBJECT;
	s->map_atomic = str_is(json_str(json_getc(map, "elementRelationship")), "atomic");
	s->additional = element ? smd_ref(x, element) : NULL;
	for (size_t i = 0; i < json_len(fields); i++) {
		const struct json *f = json_at(fields, i);
		struct schema_property p = { .name = json_str(json_getc(f, "name")),
					     .schema = smd_ref(x, json_getc(f, "type")) };
		const struct json *value = json_getc(f, "default");
		if (value) {
			struct schema *own = arena_new(x->a, struct schema, 1);
			*own = *p.schema;
			own->default_value = value;
			p.schema = own;
		}
		size_t at = i;
		for (; at > 0 && str_cmp(props[at - 1].name, p.name) > 0; at--)
			props[at] = props[at - 1];
		props[at] = p;
	}
	s->props = props;
	s->props_len = json_len(fields);
}

static inline void smd_fill(struct smd *x, const struct json *atom, struct schema *s)
{
	const struct json *list = json_getc(atom, "list");
	const struct json *map = json_getc(atom, "map");
	struct str scalar = json_str(json_getc(atom, "scalar"));
	if (list && map) {
		s->type = SCHEMA_ANY;
		s->map_atomic = str_is(json_str(json_getc(map, "elementRelationship")), "atomic");
	} else if (list) {
		smd_list(x, list, s);
	} else if (map) {
		smd_map(x, map, s);
	} else {
		s->type = str_is(scalar, "string")         ? SCHEMA_STRING
			  : str_is(scalar, "boolean")      ? SCHEMA_BOOLEAN
			  : str_starts(scalar, STR("num")) ? SCHEMA_NUMBER
							   : SCHEMA_INT_OR_STRING;
	}
}

static inline const struct schema *smd_named(struct smd *x, struct str name)
{
	for (size_t i = 0; i < json_len(x->types) && i < SMD_TYPES_MAX; i++) {
		const struct json *type = json_at(x->types, i);
		if (!str_eq(json_str(json_getc(type, "name")), name))
			continue;
		if (!x->done[i]) {
			x->done[i] = arena_new(x->a, struct schema, 1);
			smd_fill(x, type, x->done[i]);
		}
		return x->done[i];
	}
	return NULL;
}

static inline const struct schema *smd_ref(struct smd *x, const struct json *ref)
{
	struct str name = json_str(json_getc(ref, "namedType"));
	struct str relation = json_str(json_getc(ref, "elementRelationship"));
	const struct schema *s = name.len ? smd_named(x, name) : NULL;
	if (s && !relation.len)
		return s;
	struct schema *own = arena_new(x->a, struct schema, 1);
	if (s)
		*own = *s;
	else
		smd_fill(x, ref, own);
	if (str_is(relation, "atomic")) {
		own->map_atomic = true;
		own->list = SCHEMA_LIST_ATOMIC;
	}
	return own;
}

/* `yaml`: a string or call in a table. */
static inline const struct schema *smd_schema(struct arena *a, const struct json *yaml,
					      const char *root)
{
	struct json *doc = arena_new(a, struct json, 1);
	struct smd *x = arena_new(a, struct smd, 1);
	if (!yaml_value(a, yaml, doc))
		return NULL;
	*x = (struct smd){ .a = a, .types = json_getc(doc, "types") };
	return smd_named(x, str_of(root));
}

#endif
