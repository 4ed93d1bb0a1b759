#include "base/mem.h"
#include "regex/regex.h"
#include "schema/schema_priv.h"

#include <assert.h>
#include <stdlib.h>

/* A keyword fills the member at `off`, or says why it cannot. */
typedef int (*keyword_fn)(struct schema_compiler *c, struct schema *n, const struct json *v,
			  size_t off, const struct field_path *at);

static int compile_child(struct schema_compiler *c, const struct json *doc,
			 const struct field_path *at, const struct schema **ret);

static void *member_at(struct schema *n, size_t off)
{
	return (char *)n + off;
}

static int kw_bool(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		   const struct field_path *at)
{
	if (!json_is(v, JSON_BOOL))
		return schema_compile_error(c, at, "must be a boolean");
	*(bool *)member_at(n, off) = v->b;
	return 0;
}

static int kw_str(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		  const struct field_path *at)
{
	if (!json_is(v, JSON_STRING))
		return schema_compile_error(c, at, "must be a string");
	*(struct str *)member_at(n, off) = json_str(v);
	return 0;
}

static int kw_number(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		     const struct field_path *at)
{
	if (!json_is(v, JSON_INT) && !json_is(v, JSON_UINT) && !json_is(v, JSON_DOUBLE))
		return schema_compile_error(c, at, "must be a number");
	*(double *)member_at(n, off) = json_double(v, 0);
	if (off == offsetof(struct schema, min))
		n->has_min = true;
	else if (off == offsetof(struct schema, max))
		n->has_max = true;
	else if (json_double(v, 0) <= 0)
		return schema_compile_error(c, at, "must be above 0");
	return 0;
}

/* minLength, maxItems, … count only for their own type; a schema without one takes them all. */
static int kw_length(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		     const struct field_path *at)
{
	int64_t len = json_i64(v, -1);
	if (len < 0)
		return schema_compile_error(c, at, "must be an integer of at least 0");
	char what = at->name.p[3]; /* min|maxLength, Items, Properties */
	bool fits = n->type == SCHEMA_ANY || n->type == SCHEMA_INT_OR_STRING ||
		    (what == 'L' && n->type == SCHEMA_STRING) ||
		    (what == 'I' && n->type == SCHEMA_ARRAY) ||
		    (what == 'P' && n->type == SCHEMA_OBJECT);
	if (fits)
		*(int64_t *)member_at(n, off) = len;
	return 0;
}

static int kw_json(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		   const struct field_path *at)
{
	(void)c, (void)at;
	*(const struct json **)member_at(n, off) = v;
	return 0;
}

static int kw_enum(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		   const struct field_path *at)
{
	if (!json_is(v, JSON_ARRAY) || json_len(v) == 0)
		return schema_compile_error(c, at, "must be a list of values");
	return kw_json(c, n, v, off, at);
}

static int kw_strings(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		      const struct field_path *at)
{
	if (!json_is(v, JSON_ARRAY))
		return schema_compile_error(c, at, "must be a list of strings");
	struct str *list = arena_new(&c->set->arena, struct str, json_len(v));
	for (size_t i = 0; i < json_len(v); i++) {
		if (!json_is(&v->items[i], JSON_STRING))
			return schema_compile_error(c, at, "must be a list of strings");
		list[i] = json_str(&v->items[i]);
	}
	if (off == offsetof(struct schema, required)) {
		n->required = list;
		n->required_len = json_len(v);
	} else {
		n->list_keys = list;
		n->list_keys_len = json_len(v);
	}
	return 0;
}

static int kw_schema(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		     const struct field_path *at)
{
	return compile_child(c, v, at, member_at(n, off));
}

static int kw_additional(struct schema_compiler *c, struct schema *n, const struct json *v,
			 size_t off, const struct field_path *at)
{
	if (!json_is(v, JSON_BOOL))
		return kw_schema(c, n, v, off, at);
	n->additional = v->b ? &c->set->any : NULL;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct schema_property *x = a, *y = b;
	return str_cmp(x->name, y->name);
}

static int kw_properties(struct schema_compiler *c, struct schema *n, const struct json *v,
			 size_t off, const struct field_path *at)
{
	(void)off;
	if (!json_is(v, JSON_OBJECT))
		return schema_compile_error(c, at, "must be an object");
	size_t len = json_len(v);
	struct schema_property *props = arena_new(&c->set->arena, struct schema_property, len);
	for (size_t i = 0; i < len; i++) {
		const struct json *doc = &v->members[i].value;
		struct str name = json_str(&v->members[i].key);
		const struct schema *child = NULL;
		int rc = compile_child(c, doc, &FIELD_KEY(at, name), &child);
		if (rc)
			return rc;
		props[i] = schema_property_of(name, child);
		if (json_getc(doc, "default") || json_getc(doc, "$ref"))
			n->props_default = true;
	}
	if (len)
		qsort(props, len, sizeof(*props), by_name);
	n->props = props;
	n->props_len = len;
	return 0;
}

static int kw_pattern(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		      const struct field_path *at)
{
	int rc = kw_str(c, n, v, off, at);
	if (rc)
		return rc;
	struct schema_set *s = c->set;
	if (c->external && n->pattern_text.len > SCHEMA_PATTERN_BYTES_MAX)
		return schema_compile_error(c, at, "is too long");
	struct error e;
	struct regex *re = regex_compile(n->pattern_text, REGEX_SEARCH, &e);
	if (!re)
		return schema_compile_error(c, at, e.msg);
	mem_grow(s->patterns, s->patterns_len, s->patterns_cap);
	s->patterns[s->patterns_len++] = re;
	n->pattern = re;
	return 0;
}

static struct schema_logic *logic_of(struct schema_compiler *c, struct schema *n)
{
	struct schema_logic *l = arena_new(&c->set->arena, struct schema_logic, 1);
	if (n->logic)
		*l = *n->logic;
	n->logic = l;
	return l;
}

static int kw_logic(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		    const struct field_path *at)
{
	struct schema_logic *l = logic_of(c, n);
	if (off == offsetof(struct schema_logic, not_of))
		return compile_child(c, v, at, &l->not_of);
	if (!json_is(v, JSON_ARRAY))
		return schema_compile_error(c, at, "must be a list of schemas");
	size_t len = json_len(v);
	const struct schema **list = arena_new(&c->set->arena, const struct schema *, len);
	for (size_t i = 0; i < len; i++) {
		int rc = compile_child(c, &v->items[i], &FIELD_INDEX(at, i), &list[i]);
		if (rc)
			return rc;
	}
	if (off == offsetof(struct schema_logic, all_of)) {
		l->all_of = list;
		l->all_of_len = len;
	} else if (off == offsetof(struct schema_logic, any_of)) {
		l->any_of = list;
		l->any_of_len = len;
	} else {
		l->one_of = list;
		l->one_of_len = len;
	}
	return 0;
}

static int kw_word(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		   const struct field_path *at)
{
	(void)off;
	struct str s = json_str(v);
	if (str_is(at->name, "x-kubernetes-list-type")) {
		if (str_is(s, "map"))
			n->list = SCHEMA_LIST_MAP;
		else if (str_is(s, "set"))
			n->list = SCHEMA_LIST_SET;
		else if (!str_is(s, "atomic"))
			return schema_compile_error(c, at, "must be atomic, set or map");
	} else if (str_is(at->name, "x-kubernetes-map-type")) {
		if (!str_is(s, "atomic") && !str_is(s, "granular"))
			return schema_compile_error(c, at, "must be atomic or granular");
		n->map_atomic = str_is(s, "atomic");
	} else if (str_is(at->name, "x-kubernetes-patch-strategy")) {
		struct str word;
		while (s.len && str_split(&s, ',', &word)) {
			n->patch_merge |= str_is(word, "merge");
			n->patch_retain_keys |= str_is(word, "retainKeys");
		}
	} else { /* format, x-rctl-format */
		n->format = schema_format_of(s);
	}
	return 0;
}

static int kw_validations(struct schema_compiler *c, struct schema *n, const struct json *v,
			  size_t off, const struct field_path *at)
{
	(void)off;
	n->validations = json_len(v) > 0;
	return schema_rules_compile(c, n, v, at);
}

/* NUMBER, OUTER.NUMBER, each with a "?" behind when zero is said. */
static bool parse_wire(struct str text, struct schema_wire *ret)
{
	uint64_t outer = 0, number = 0;
	if (text.len && text.p[text.len - 1] == '?') {
		ret->zero = true;
		text.len--;
	}
	ptrdiff_t dot = str_find(text, '.', 0);
	bool ok = dot < 0 || str_to_u64(str_sub(text, 0, (size_t)dot), &outer);
	if (dot >= 0)
		text = str_sub(text, (size_t)dot + 1, text.len);
	ok = ok && str_to_u64(text, &number) && number > 0 && number <= SCHEMA_WIRE_MAX &&
	     outer <= SCHEMA_WIRE_MAX;
	ret->outer = (uint32_t)outer;
	ret->number = (uint32_t)number;
	return ok;
}

static int kw_wire(struct schema_compiler *c, struct schema *n, const struct json *v, size_t off,
		   const struct field_path *at)
{
	(void)off;
	if (c->external)
		return 0;
	struct schema_wire *wire = arena_new(&c->set->arena, struct schema_wire, json_len(v));
	for (size_t i = 0; i < json_len(v); i++) {
		const struct json_member *m = &v->members[i];
		struct schema_wire *w = &wire[i];
		w->name = json_str(&m->key);
		w->number = (uint32_t)json_i64(&m->value, 0);
		if (w->number == 0 && !parse_wire(json_str(&m->value), w))
			return schema_compile_error(c, at, "must be numbers of fields");
	}
	n->wire = wire;
	n->wire_len = json_len(v);
	return 0;
}

#define AT(m) offsetof(struct schema, m)

/* Sorted by name.  What is not here says nothing about values. */
static const struct keyword {
	const char *name;
	keyword_fn fn;
	size_t off;
} keywords[] = {
	{ "additionalProperties", kw_additional, AT(additional) },
	{ "allOf", kw_logic, offsetof(struct schema_logic, all_of) },
	{ "anyOf", kw_logic, offsetof(struct schema_logic, any_of) },
	{ "default", kw_json, AT(default_value) },
	{ "description", kw_str, AT(description) },
	{ "enum", kw_enum, AT(enums) },
	{ "exclusiveMaximum", kw_bool, AT(exclusive_max) },
	{ "exclusiveMinimum", kw_bool, AT(exclusive_min) },
	{ "format", kw_word, 0 },
	{ "items", kw_schema, AT(items) },
	{ "maxItems", kw_length, AT(len_max) },
	{ "maxLength", kw_length, AT(len_max) },
	{ "maxProperties", kw_length, AT(len_max) },
	{ "maximum", kw_number, AT(max) },
	{ "minItems", kw_length, AT(len_min) },
	{ "minLength", kw_length, AT(len_min) },
	{ "minProperties", kw_length, AT(len_min) },
	{ "minimum", kw_number, AT(min) },
	{ "multipleOf", kw_number, AT(multiple_of) },
	{ "not", kw_logic, offsetof(struct schema_logic, not_of) },
	{ "nullable", kw_bool, AT(nullable) },
	{ "oneOf", kw_logic, offsetof(struct schema_logic, one_of) },
	{ "pattern", kw_pattern, AT(pattern_text) },
	{ "properties", kw_properties, AT(props) },
	{ "required", kw_strings, AT(required) },
	{ "x-kubernetes-embedded-resource", kw_bool, AT(embedded_resource) },
	{ "x-kubernetes-list-map-keys", kw_strings, AT(list_keys) },
	{ "x-kubernetes-list-type", kw_word, 0 },
	{ "x-kubernetes-map-type", kw_word, 0 },
	{ "x-kubernetes-patch-merge-key", kw_str, AT(patch_merge_key) },
	{ "x-kubernetes-patch-strategy", kw_word, 0 },
	{ "x-kubernetes-preserve-unknown-fields", kw_bool, AT(preserve_unknown) },
	{ "x-kubernetes-validations", kw_validations, 0 },
	{ "x-rctl-duplicates", kw_bool, AT(duplicates_ok) },
	{ "x-rctl-format", kw_word, 0 },
	{ "x-rctl-proto", kw_wire, 0 },
	{ "x-rctl-unsupported", kw_bool, AT(warn) },
};

static const struct keyword *keyword_find(struct str name)
{
	size_t lo = 0, hi = sizeof(keywords) / sizeof(keywords[0]);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int d = str_cmp(str_of(keywords[mid].name), name);
		if (d == 0)
			return &keywords[mid];
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int compile_type(struct schema_compiler *c, struct schema *n, const struct json *doc,
			const struct field_path *at)
{
	static const char *const names[] = {
		[SCHEMA_STRING] = "string", [SCHEMA_INTEGER] = "integer",
		[SCHEMA_NUMBER] = "number", [SCHEMA_BOOLEAN] = "boolean",
		[SCHEMA_OBJECT] = "object", [SCHEMA_ARRAY] = "array",
	};
	if (json_bool(json_getc(doc, "x-kubernetes-int-or-string"), false)) {
		n->type = SCHEMA_INT_OR_STRING;
		return 0;
	}
	const struct json *type = json_getc(doc, "type");
	if (!type || (json_is(type, JSON_STRING) && type->len == 0))
		return 0;
	for (size_t i = SCHEMA_STRING; i <= SCHEMA_ARRAY; i++) {
		if (str_is(json_str(type), names[i])) {
			n->type = (enum schema_type)i;
			return 0;
		}
	}
	return schema_compile_error(c, &FIELD_MEMBER(at, STR("type")),
				    "must be string, integer, number, boolean, object or array");
}

static int compile_keywords(struct schema_compiler *c, struct schema *n, const struct json *doc,
			    const struct field_path *at)
{
	for (size_t i = 0; i < json_len(doc); i++) {
		const struct json_member *m = &doc->members[i];
		const struct keyword *k = keyword_find(json_str(&m->key));
		/* An explicit null is an absent keyword, save for values. */
		if (!k || (m->value.type == JSON_NULL && k->fn != kw_json))
			continue;
		struct field_path here = FIELD_MEMBER(at, str_of(k->name));
		int rc = k->fn(c, n, &m->value, k->off, &here);
		if (rc)
			return rc;
	}
	return 0;
}

int schema_node_override(struct schema_compiler *c, struct schema *n, const struct json *doc,
			 const struct field_path *at)
{
	n->source = doc;
	return compile_keywords(c, n, doc, at);
}

int schema_node_compile(struct schema_compiler *c, struct schema *n, const struct json *doc,
			const struct field_path *at)
{
	if (!json_is(doc, JSON_OBJECT))
		return schema_compile_error(c, at, "must be an object");
	if (c->external && ++c->nodes > SCHEMA_NODES_MAX)
		return schema_compile_error(c, at, "the schema is too large");
	*n = (struct schema){ .len_min = -1, .len_max = -1, .source = doc };
	if (json_getc(doc, "$ref")) {
		if (c->external)
			return schema_compile_error(c, at, "$ref is not allowed here");
		struct schema_link *l = arena_new(&c->set->arena, struct schema_link, 1);
		*l = (struct schema_link){ .node = n, .doc = doc, .next = c->set->links };
		c->set->links = l;
		(void)schema_def_get(c->set, json_str(json_getc(doc, "$ref")));
		return 0;
	}
	int rc = compile_type(c, n, doc, at);
	if (rc == 0)
		rc = compile_keywords(c, n, doc, at);
	if (c->external)
		schema_rules_note(n);
	return rc;
}

static int compile_child(struct schema_compiler *c, const struct json *doc,
			 const struct field_path *at, const struct schema **ret)
{
	const struct json *ref = json_getc(doc, "$ref");
	if (ref && json_len(doc) == 1 && !c->external) {
		*ret = &schema_def_get(c->set, json_str(ref))->node;
		return 0;
	}
	struct schema *n = arena_new(&c->set->arena, struct schema, 1);
	*ret = n;
	return schema_node_compile(c, n, doc, at);
}
