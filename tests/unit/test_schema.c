#include "base/buf.h"
#include "schema/schema.h"

#include <criterion/criterion.h>

#include <stdio.h>

static struct arena arena;

static struct json parse(const char *text)
{
	struct json j;
	struct error err;
	cr_assert(json_parse(&arena, str_of(text), NULL, &j, &err) == 0, "%s: %s", text, err.msg);
	return j;
}

static struct json *parse_heap(const char *text)
{
	struct json *j = arena_new(&arena, struct json, 1);
	*j = parse(text);
	return j;
}

/* "path: message" lines of what validation finds */
static const char *validate(const struct schema *s, const char *text)
{
	struct field_errors errors = { .arena = &arena };
	struct json value = parse(text);
	struct buf b = { 0 };
	schema_validate(s, &value, STR_NONE, &errors);
	for (size_t i = 0; i < errors.len; i++)
		buf_addf(&b, "%s%.*s: %.*s", i ? "\n" : "", STR_ARG(errors.list[i].path),
			 STR_ARG(errors.list[i].message));
	const char *out = arena_str(&arena, buf_str(&b)).p;
	buf_fini(&b);
	return out;
}

static const struct schema *compile(struct schema_set *set, const char *text, bool external)
{
	const struct schema *s = NULL;
	struct error err;
	cr_assert(schema_compile(set, parse_heap(text), external, &s, &err) == 0, "%s: %s", text,
		  err.msg);
	return s;
}

/* {"type":"object","properties":{"x":<schema>}} against {"x":<value>} */
static const struct {
	const char *schema, *value, *errors;
} values[] = {
	{ "{\"type\":\"integer\"}", "1", "" },
	{ "{\"type\":\"integer\"}", "2.0", "" },
	{ "{\"type\":\"integer\"}", "\"a\"",
	  "x: Invalid value: \"string\": x in body must be of type integer: \"string\"" },
	{ "{\"type\":\"integer\"}", "1.5",
	  "x: Invalid value: \"number\": x in body must be of type integer: \"number\"" },
	{ "{\"type\":\"string\"}", "{}",
	  "x: Invalid value: \"object\": x in body must be of type string: \"object\"" },
	{ "{\"type\":\"string\"}", "null",
	  "x: Invalid value: \"null\": x in body must be of type string: \"null\"" },
	{ "{\"type\":\"string\",\"nullable\":true}", "null", "" },
	{ "{\"type\":\"boolean\"}", "true", "" },
	{ "{\"type\":\"boolean\"}", "0",
	  "x: Invalid value: \"integer\": x in body must be of type boolean: \"integer\"" },
	{ "{\"type\":\"number\"}", "1", "" },
	{ "{\"type\":\"integer\",\"format\":\"int32\"}", "2147483647", "" },
	{ "{\"type\":\"integer\",\"format\":\"int32\"}", "2147483648",
	  "x: Invalid value: 2147483648: x in body must be of type int32: \"2147483648\"" },
	{ "{\"type\":\"integer\",\"format\":\"int64\"}", "18446744073709551615",
	  "x: Invalid value: 18446744073709551615: x in body must be of type int64: "
	  "\"18446744073709551615\"" },
	{ "{\"type\":\"string\",\"format\":\"byte\"}", "\"aGk=\"", "" },
	{ "{\"type\":\"string\",\"format\":\"byte\"}", "\"\"", "" },
	{ "{\"type\":\"string\",\"format\":\"byte\"}", "\"a\"",
	  "x: Invalid value: \"a\": x in body must be of type byte: \"a\"" },
	{ "{\"type\":\"string\",\"format\":\"byte\"}", "\"a=b=\"",
	  "x: Invalid value: \"a=b=\": x in body must be of type byte: \"a=b=\"" },
	{ "{\"type\":\"string\",\"format\":\"date-time\"}", "\"2024-02-29T12:00:00Z\"", "" },
	{ "{\"type\":\"string\",\"format\":\"date-time\"}", "\"2023-02-29T12:00:00Z\"",
	  "x: Invalid value: \"2023-02-29T12:00:00Z\": x in body must be of type date-time: "
	  "\"2023-02-29T12:00:00Z\"" },
	{ "{\"type\":\"string\",\"format\":\"duration\"}", "\"1h30m\"", "" },
	{ "{\"type\":\"string\",\"format\":\"duration\"}", "\"soon\"",
	  "x: Invalid value: \"soon\": x in body must be of type duration: \"soon\"" },
	{ "{\"type\":\"string\",\"format\":\"hostname\"}", "\"what ever\"", "" },
	{ "{\"x-kubernetes-int-or-string\":true}", "1", "" },
	{ "{\"x-kubernetes-int-or-string\":true}", "\"25%\"", "" },
	{ "{\"x-kubernetes-int-or-string\":true}", "true",
	  "x: Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\"" },
	{ "{\"x-kubernetes-int-or-string\":true,\"x-rctl-format\":\"quantity\"}", "0.5", "" },
	{ "{\"x-kubernetes-int-or-string\":true,\"x-rctl-format\":\"quantity\"}", "\"1Zi\"",
	  "x: Invalid value: \"1Zi\": x in body must be of type quantity: \"1Zi\"" },
	{ "{\"type\":\"integer\",\"minimum\":1,\"maximum\":5}", "1", "" },
	{ "{\"type\":\"integer\",\"minimum\":1}", "0",
	  "x: Invalid value: 0: x in body should be greater than or equal to 1" },
	{ "{\"type\":\"integer\",\"minimum\":1,\"exclusiveMinimum\":true}", "1",
	  "x: Invalid value: 1: x in body should be greater than 1" },
	{ "{\"type\":\"number\",\"maximum\":0.5}", "0.75",
	  "x: Invalid value: 0.75: x in body should be less than or equal to 0.5" },
	{ "{\"type\":\"number\",\"maximum\":2,\"exclusiveMaximum\":true}", "2",
	  "x: Invalid value: 2: x in body should be less than 2" },
	{ "{\"type\":\"integer\",\"multipleOf\":5}", "10", "" },
	{ "{\"type\":\"integer\",\"multipleOf\":5}", "7",
	  "x: Invalid value: 7: x in body should be a multiple of 5" },
	{ "{\"type\":\"string\",\"maxLength\":3}", "\"\xc3\xa4\xc3\xb6\xc3\xbc\"", "" },
	{ "{\"type\":\"string\",\"maxLength\":3}", "\"abcd\"",
	  "x: Too long: may not be more than 3 bytes" },
	{ "{\"type\":\"string\",\"minLength\":2}", "\"\xc3\xa4\"",
	  "x: Invalid value: \"\xc3\xa4\": x in body should be at least 2 chars long" },
	{ "{\"type\":\"string\",\"pattern\":\"^a+$\"}", "\"aaa\"", "" },
	{ "{\"type\":\"string\",\"pattern\":\"b\"}", "\"abc\"", "" },
	{ "{\"type\":\"string\",\"pattern\":\"^a+$\"}", "\"ab\"",
	  "x: Invalid value: \"ab\": x in body should match '^a+$'" },
	{ "{\"type\":\"string\",\"enum\":[\"A\",\"B\"]}", "\"B\"", "" },
	{ "{\"type\":\"string\",\"enum\":[\"A\",\"B\"]}", "\"C\"",
	  "x: Unsupported value: \"C\": supported values: \"A\", \"B\"" },
	{ "{\"type\":\"integer\",\"enum\":[1,2]}", "3",
	  "x: Unsupported value: 3: supported values: \"1\", \"2\"" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", "[1,\"a\"]",
	  "x[1]: Invalid value: \"string\": x[1] in body must be of type integer: \"string\"" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"maxItems\":1}", "[1,2]",
	  "x: Too many: 2: must have at most 1 items" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1}", "[]",
	  "x: Invalid value: []: x in body should have at least 1 items" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"x-kubernetes-list-type\":\"set\"}",
	  "[\"a\",\"b\",\"a\"]", "x[2]: Duplicate value: \"a\"" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{"
	  "\"n\":{\"type\":\"string\"}}},\"x-kubernetes-list-type\":\"map\","
	  "\"x-kubernetes-list-map-keys\":[\"n\"]}",
	  "[{\"n\":\"a\"},{\"n\":\"a\"}]", "x[1].n: Duplicate value: \"a\"" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"n\",\"m\"],"
	  "\"properties\":{\"n\":{\"type\":\"integer\"},\"m\":{\"type\":\"integer\"}}},"
	  "\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"n\",\"m\"]}",
	  "[{\"n\":1,\"m\":2},{\"n\":2,\"m\":1},{\"m\":2,\"n\":1}]",
	  "x[2]: Duplicate value: {\"n\":1,\"m\":2}" },
	{ "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", "{\"a.b\":1}",
	  "x[a.b]: Invalid value: \"integer\": x[a.b] in body must be of type string: "
	  "\"integer\"" },
	{ "{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":{\"type\":\"string\"}"
	  "}",
	  "{}", "x: Invalid value: {}: x in body should have at least 1 properties" },
	{ "{\"type\":\"object\",\"maxProperties\":1,\"additionalProperties\":{\"type\":\"string\"}"
	  "}",
	  "{\"a\":\"\",\"b\":\"\"}", "x: Too many: 2: must have at most 1 items" },
	{ "{\"type\":\"object\",\"required\":[\"a\",\"b\"],\"properties\":{\"a\":{\"type\":"
	  "\"string\"},\"b\":{\"type\":\"string\"}}}",
	  "{\"a\":\"\"}", "x.b: Required value" },
	{ "{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true,"
	  "\"x-kubernetes-preserve-unknown-fields\":true}",
	  "{\"kind\":\"A\"}", "x.apiVersion: Required value: must not be empty" },
	{ "{\"type\":\"integer\",\"anyOf\":[{\"minimum\":10},{\"maximum\":1}]}", "0", "" },
	{ "{\"type\":\"integer\",\"anyOf\":[{\"minimum\":10},{\"maximum\":1}]}", "5",
	  "x: Invalid value: \"\": \"x\" must validate at least one schema (anyOf)" },
	{ "{\"type\":\"integer\",\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "3", "" },
	{ "{\"type\":\"integer\",\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "7",
	  "x: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found "
	  "several valid" },
	{ "{\"type\":\"integer\",\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "0",
	  "x: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found none "
	  "valid" },
	{ "{\"type\":\"integer\",\"allOf\":[{\"minimum\":1},{\"minimum\":5}]}", "3",
	  "x: Invalid value: 3: x in body should be greater than or equal to 5" },
	{ "{\"type\":\"integer\",\"not\":{\"minimum\":5}}", "7",
	  "x: Invalid value: \"\": \"x\" must not validate the schema (not)" },
	{ "{\"x-kubernetes-int-or-string\":true,\"anyOf\":[{\"type\":\"integer\"},{\"type\":"
	  "\"string\"}]}",
	  "\"1\"", "" },
};

Test(schema, values_are_judged_with_the_words_of_kubernetes)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct schema_set *set = schema_set_new();
		char *schema =
			arena_printf(&arena, "{\"type\":\"object\",\"properties\":{\"x\":%s}}",
				     values[i].schema);
		char *value = arena_printf(&arena, "{\"x\":%s}", values[i].value);
		const struct schema *s = compile(set, schema, true);
		const char *got = validate(s, value);
		cr_expect_str_eq(got, values[i].errors, "%s for %s:\n  got  %s\n  want %s",
				 values[i].value, values[i].schema, got, values[i].errors);
		schema_set_free(set);
	}
	arena_fini(&arena);
}

static const struct {
	const char *schema, *error;
} wrong[] = {
	{ "{}", "type: Required value: must not be empty at the root" },
	{ "{\"type\":\"string\"}", "type: Invalid value: \"string\": must be object at the root" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{}}}",
	  "properties[a].type: Required value: must not be empty for specified object fields" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{}}}}",
	  "properties[a].items.type: Required value: must not be empty for specified array items" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"}}}",
	  "properties[a].items: Required value: must be specified" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"x\",\"type\":\"string\"}}}",
	  "properties[a].$ref: Forbidden: is not supported" },
	{ "{\"type\":\"object\",\"additionalProperties\":false}",
	  "additionalProperties: Forbidden: additionalProperties cannot be set to false" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"foo\"}}}",
	  "properties[a].type: must be string, integer, number, boolean, object or array" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"(\"}}}",
	  "properties[a].pattern: " },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":\"x\"}}}",
	  "properties[a].default: Invalid value" },
	{ "{\"type\":\"object\",\"anyOf\":[{\"properties\":{\"b\":{\"minimum\":1}}}]}",
	  "anyOf[0].properties[b]: Required value: must be specified outside" },
	{ "{\"type\":\"object\",\"anyOf\":[{\"type\":\"object\"}]}",
	  "anyOf[0].type: Forbidden: must be undefined to be structural" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
	  "\"object\"},\"x-kubernetes-list-type\":\"map\"}}}",
	  "properties[a].x-kubernetes-list-map-keys: Required value" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
	  "\"object\",\"properties\":{\"k\":{\"type\":\"string\"}}},\"x-kubernetes-list-type\":"
	  "\"map\",\"x-kubernetes-list-map-keys\":[\"k\"]}}}",
	  "properties[a].x-kubernetes-list-map-keys[0]: Required value" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-kubernetes-list-"
	  "type\":"
	  "\"set\"}}}",
	  "properties[a].type: Invalid value: \"string\": must be array" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"nullable\":1}}}",
	  "properties[a].nullable: must be a boolean" },
	{ "{\"type\":\"object\",\"properties\":[]}", "properties: must be an object" },
	{ "[]", "Invalid value: must be an object" },
};

Test(schema, a_wrong_schema_is_refused_with_its_path)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct schema_set *set = schema_set_new();
		const struct schema *s = NULL;
		struct error err = { .msg = "" };
		int rc = schema_compile(set, parse_heap(wrong[i].schema), true, &s, &err);
		cr_expect(rc == ERR_INVALID, "%s", wrong[i].schema);
		cr_expect(strstr(err.msg, wrong[i].error), "%s:\n  got  %s\n  want %s",
			  wrong[i].schema, err.msg, wrong[i].error);
		schema_set_free(set);
	}
	arena_fini(&arena);
}

Test(schema, a_schema_of_hostile_depth_is_refused)
{
	struct schema_set *set = schema_set_new();
	struct buf b = { 0 };
	struct error err;
	const struct schema *s = NULL;
	for (int i = 0; i < 45; i++)
		buf_adds(&b, "{\"type\":\"object\",\"properties\":{\"a\":");
	buf_adds(&b, "{\"type\":\"string\"}");
	for (int i = 0; i < 45; i++)
		buf_adds(&b, "}}");
	cr_expect(schema_compile(set, parse_heap(buf_cstr(&b)), true, &s, &err) == 0);
	buf_clear(&b);
	for (int i = 0; i < 90; i++)
		buf_adds(&b, "{\"type\":\"array\",\"items\":");
	buf_adds(&b, "{\"type\":\"string\"}");
	for (int i = 0; i < 90; i++)
		buf_adds(&b, "}");
	cr_expect(schema_compile(set, parse_heap(buf_cstr(&b)), true, &s, &err) == ERR_INVALID);
	buf_fini(&b);
	schema_set_free(set);
	arena_fini(&arena);
}

Test(schema, validation_of_nested_alternatives_is_bounded)
{
	struct schema_set *set = schema_set_new();
	struct buf b = { 0 };
	buf_adds(&b,
		 "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"not\":");
	for (int i = 0; i < 24; i++)
		buf_adds(&b,
			 "{\"oneOf\":[{\"minProperties\":9},{\"not\":{}},{\"minProperties\":8}],"
			 "\"not\":");
	buf_adds(&b, "{}");
	for (int i = 0; i < 24; i++)
		buf_adds(&b, "}");
	buf_adds(&b, "}");
	const struct schema *s = compile(set, buf_cstr(&b), true);
	(void)validate(s, "{\"a\":1}");
	buf_clear(&b);
	const char *leaf = "{\"minProperties\":1}";
	buf_adds(&b, leaf);
	for (int i = 0; i < 12; i++) {
		char *inner = arena_strdup(&arena, buf_cstr(&b));
		buf_clear(&b);
		buf_addf(&b, "{\"allOf\":[%s,%s,%s]}", inner, inner, inner);
		if (b.len > 200000)
			break;
	}
	char *deep = arena_printf(&arena,
				  "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":"
				  "\"array\",\"items\":{\"type\":\"object\",%s}}}",
				  buf_cstr(&b) + 1);
	s = compile(set, deep, true);
	buf_clear(&b);
	buf_adds(&b, "{\"x\":[{}");
	for (int i = 0; i < 3000; i++)
		buf_adds(&b, ",{}");
	buf_adds(&b, "]}");
	const char *got = validate(s, buf_cstr(&b));
	cr_expect(got[0] != '\0');
	buf_fini(&b);
	schema_set_free(set);
	arena_fini(&arena);
}

static const struct {
	const char *schema, *before, *after;
} defaults[] = {
	{ "{\"a\":{\"type\":\"string\",\"default\":\"d\"}}", "{}", "{\"a\":\"d\"}" },
	{ "{\"a\":{\"type\":\"string\",\"default\":\"d\"}}", "{\"a\":\"x\"}", "{\"a\":\"x\"}" },
	{ "{\"a\":{\"type\":\"string\",\"default\":\"d\"}}", "{\"a\":null}", "{\"a\":\"d\"}" },
	{ "{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}}", "{\"a\":null,\"b\":\"\"}",
	  "{\"b\":\"\"}" },
	{ "{\"a\":{\"type\":\"string\",\"nullable\":true}}", "{\"a\":null}", "{\"a\":null}" },
	{ "{\"a\":{\"type\":\"object\",\"default\":{},\"properties\":{\"b\":{\"type\":\"integer\","
	  "\"default\":1}}}}",
	  "{}", "{\"a\":{\"b\":1}}" },
	{ "{\"a\":{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"integer\",\"default\":1}}}"
	  "}",
	  "{}", "{}" },
	{ "{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"b\":{"
	  "\"type\":"
	  "\"integer\",\"default\":1}}}}}",
	  "{\"a\":[{},{\"b\":2}]}", "{\"a\":[{\"b\":1},{\"b\":2}]}" },
	{ "{\"a\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\","
	  "\"properties\":"
	  "{\"b\":{\"type\":\"integer\",\"default\":1}}}}}",
	  "{\"a\":{\"k\":{}}}", "{\"a\":{\"k\":{\"b\":1}}}" },
	{ "{\"a\":{\"type\":\"object\",\"additionalProperties\":{\"x-kubernetes-int-or-string\":"
	  "true,"
	  "\"x-rctl-format\":\"quantity\"}}}",
	  "{\"a\":{\"cpu\":0.5,\"memory\":\"1024Mi\",\"x\":2,\"y\":\"bad!\"}}",
	  "{\"a\":{\"cpu\":\"500m\",\"memory\":\"1Gi\",\"x\":\"2\",\"y\":\"bad!\"}}" },
};

Test(schema, defaults_fill_what_is_absent)
{
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		struct schema_set *set = schema_set_new();
		const struct schema *s =
			compile(set,
				arena_printf(&arena, "{\"type\":\"object\",\"properties\":%s}",
					     defaults[i].schema),
				true);
		struct json v = parse(defaults[i].before);
		schema_default(&arena, s, &v);
		struct str got = json_text(&arena, &v);
		cr_expect_str_eq(got.p, defaults[i].after, "%s", defaults[i].schema);
		schema_default(&arena, s, &v);
		cr_expect(str_eq(json_text(&arena, &v), got), "twice is once");
		schema_set_free(set);
	}
	arena_fini(&arena);
}

static void collect(void *arg, struct str path)
{
	struct buf *b = arg;
	buf_addf(b, "%s%.*s", b->len ? " " : "", STR_ARG(path));
}

static const struct {
	const char *schema, *before, *after, *unknown;
} prunes[] = {
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}",
	  "{\"x\":1,\"a\":\"b\",\"y\":{\"z\":1}}", "{\"a\":\"b\"}", "x y" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\"}}}", "{\"a\":{\"b\":1}}",
	  "{\"a\":{}}", "a.b" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\","
	  "\"x-kubernetes-preserve-unknown-fields\":true,\"properties\":{\"k\":{\"type\":"
	  "\"object\"}}}}}",
	  "{\"a\":{\"b\":1,\"k\":{\"no\":1}}}", "{\"a\":{\"b\":1,\"k\":{}}}", "a.k.no" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
	  "\"object\",\"properties\":{\"b\":{\"type\":\"integer\"}}}}}}",
	  "{\"a\":[{\"b\":1},{\"c\":2}]}", "{\"a\":[{\"b\":1},{}]}", "a[1].c" },
	{ "{\"type\":\"object\",\"additionalProperties\":true}", "{\"a\":{\"b\":1}}",
	  "{\"a\":{\"b\":1}}", "" },
	{ "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\"}}",
	  "{\"k\":{\"b\":1}}", "{\"k\":{}}", "[k].b" },
	{ "{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true}",
	  "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"n\"},\"spec\":1}",
	  "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"n\"}}", "spec" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"a\":{\"b\":1}}",
	  "{\"a\":{\"b\":1}}", "" },
};

Test(schema, pruning_takes_out_what_is_unknown_and_tells_its_path)
{
	for (size_t i = 0; i < sizeof(prunes) / sizeof(prunes[0]); i++) {
		struct schema_set *set = schema_set_new();
		const struct schema *s = compile(set, prunes[i].schema, true);
		struct json v = parse(prunes[i].before);
		struct buf unknown = { 0 };
		schema_prune(s, &v, STR_NONE, collect, &unknown);
		cr_expect_str_eq(json_text(&arena, &v).p, prunes[i].after, "%s", prunes[i].schema);
		cr_expect_str_eq(unknown.len ? buf_cstr(&unknown) : "", prunes[i].unknown);
		buf_fini(&unknown);
		schema_set_free(set);
	}
	arena_fini(&arena);
}

static const char definitions[] =
	"{\"T.Pod\":{\"type\":\"object\",\"properties\":{\"spec\":{\"$ref\":\"T.Spec\","
	"\"description\":\"what is wanted\"},\"again\":{\"$ref\":\"T.Alias\"}}},"
	"\"T.Alias\":{\"$ref\":\"T.Spec\",\"nullable\":true},"
	"\"T.Spec\":{\"type\":\"object\",\"description\":\"own\",\"properties\":{\"n\":{\"type\":"
	"\"integer\",\"default\":3},\"child\":{\"$ref\":\"T.Spec\"},\"list\":{\"type\":\"array\","
	"\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"n\"],\"items\":"
	"{\"$ref\":\"T.Spec\"},\"x-kubernetes-patch-strategy\":\"merge,retainKeys\","
	"\"x-kubernetes-patch-merge-key\":\"n\"},\"old\":{\"type\":\"string\",\"x-rctl-"
	"unsupported\":"
	"true}}}}";

Test(schema, definitions_are_shared_and_may_be_recursive)
{
	struct schema_set *set = schema_set_new();
	struct error err;
	cr_assert(schema_set_define(set, parse_heap(definitions), &err) == 0, "%s", err.msg);
	cr_assert(schema_set_finish(set, &err) == 0, "%s", err.msg);
	const struct schema *pod = schema_find(set, STR("T.Pod"));
	const struct schema *spec = schema_find(set, STR("T.Spec"));
	cr_assert(pod && spec);
	cr_expect(!schema_find(set, STR("T.None")));
	cr_expect(schema_at(spec, STR("child")) == spec, "a bare reference is the definition");
	cr_expect(schema_at(spec, STR("list.list.child.list")) == schema_at(spec, STR("list")));
	const struct schema *own = schema_at(pod, STR("spec"));
	cr_expect(str_is(own->description, "what is wanted"));
	cr_expect(str_is(own->ref, "T.Spec"));
	cr_expect(own->props == spec->props, "an overridden reference shares the properties");
	cr_expect(schema_at(pod, STR("again"))->nullable);
	cr_expect(!spec->nullable);
	const struct schema *list = schema_at(pod, STR("spec.list"));
	cr_expect(list->patch_merge && list->patch_retain_keys);
	cr_expect(str_is(list->patch_merge_key, "n"));
	cr_expect(list->list == SCHEMA_LIST_MAP && list->list_keys_len == 1);
	cr_expect(!schema_at(pod, STR("spec.nothing.at.all")));

	struct json v = parse("{\"spec\":{\"child\":{\"list\":[{},{\"old\":\"x\"}]}}}");
	schema_default(&arena, pod, &v);
	cr_expect_str_eq(
		json_text(&arena, &v).p,
		"{\"spec\":{\"child\":{\"list\":[{\"n\":3},{\"old\":\"x\",\"n\":3}],\"n\":3},"
		"\"n\":3}}");
	struct buf b = { 0 };
	schema_warnings(pod, &v, STR_NONE, collect, &b);
	cr_expect_str_eq(buf_cstr(&b), "spec.child.list[1].old");
	buf_fini(&b);

	const struct schema *late = compile(set,
					    "{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":"
					    "\"T.Pod\"}}}",
					    false);
	cr_expect(schema_at(late, STR("p")) == pod);
	schema_set_free(set);
	arena_fini(&arena);
}

Test(schema, a_reference_to_nothing_or_to_itself_is_an_error)
{
	static const char *const docs[] = { "{\"A\":{\"$ref\":\"B\"}}", "{\"A\":{\"$ref\":\"A\"}}",
					    "{\"A\":{\"$ref\":\"B\"},\"B\":{\"$ref\":\"A\"}}" };
	for (size_t i = 0; i < 3; i++) {
		struct schema_set *set = schema_set_new();
		struct error err;
		cr_assert(schema_set_define(set, parse_heap(docs[i]), &err) == 0);
		cr_expect(schema_set_finish(set, &err) == ERR_INVALID, "%s", docs[i]);
		schema_set_free(set);
	}
	struct schema_set *set = schema_set_new();
	struct error err;
	cr_assert(schema_set_define(set, parse_heap("{\"A\":{\"type\":\"string\"}}"), &err) == 0);
	cr_expect(schema_set_define(set, parse_heap("{\"A\":{\"type\":\"string\"}}"), &err) ==
		  ERR_EXISTS);
	schema_set_free(set);
	arena_fini(&arena);
}

Test(schema, properties_are_found_whatever_their_order)
{
	struct schema_set *set = schema_set_new();
	struct buf b = { 0 };
	buf_adds(&b, "{\"type\":\"object\",\"properties\":{");
	for (int i = 0; i < 200; i++)
		buf_addf(&b, "%s\"p%d\":{\"type\":\"integer\",\"minimum\":%d}", i ? "," : "",
			 i * 7919 % 200, i * 7919 % 200);
	buf_adds(&b, "}}");
	const struct schema *s = compile(set, buf_cstr(&b), true);
	for (int i = 0; i < 200; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "p%d", i);
		const struct schema *p = schema_property(s, str_of(name));
		cr_assert(p, "%s", name);
		cr_expect(p->min == i);
	}
	cr_expect(!schema_property(s, STR("p")));
	cr_expect(!schema_property(s, STR("p200")));
	cr_expect(!schema_property(s, STR_NONE));
	buf_fini(&b);
	schema_set_free(set);
	arena_fini(&arena);
}

Test(schema, many_errors_are_counted_and_many_duplicates_cost_little)
{
	struct schema_set *set = schema_set_new();
	const struct schema *s =
		compile(set,
			"{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"array\","
			"\"items\":{\"type\":\"integer\"},\"x-kubernetes-list-type\":"
			"\"set\"}}}",
			true);
	struct buf b = { 0 };
	struct field_errors errors = { .arena = &arena };
	buf_adds(&b, "{\"x\":[0");
	for (int i = 1; i < 100000; i++)
		buf_addf(&b, ",%d", i % 50000);
	buf_adds(&b, "]}");
	struct json v = parse(buf_cstr(&b));
	schema_validate(s, &v, STR_NONE, &errors);
	cr_expect(errors.len == FIELD_ERRORS_MAX);
	cr_expect(errors.len + errors.dropped == 50000);
	buf_fini(&b);
	schema_set_free(set);
	arena_fini(&arena);
}

Test(schema, reasons_and_long_values_are_written_as_kubernetes_does)
{
	struct field_errors e = { .arena = &arena };
	struct json v = parse("\"a\\\"b\"");
	field_error_add(&e, FIELD_INVALID, STR("spec.a"), &v, "must be %d", 3);
	field_error_add(&e, FIELD_IMMUTABLE, STR("spec.a"), &v, "field is immutable");
	field_error_add(&e, FIELD_FORBIDDEN, STR("spec.a"), &v, "no");
	field_error_add(&e, FIELD_REQUIRED, STR("spec.a"), NULL, "%s", "");
	cr_expect_str_eq(e.list[0].message.p, "Invalid value: \"a\\\"b\": must be 3");
	cr_expect_str_eq(e.list[1].message.p, "Invalid value: \"a\\\"b\": field is immutable");
	cr_expect_str_eq(e.list[2].message.p, "Forbidden: no");
	cr_expect_str_eq(e.list[3].message.p, "Required value");
	cr_expect_str_eq(field_reason_text(FIELD_INVALID), "FieldValueInvalid");
	cr_expect_str_eq(field_reason_text(FIELD_NOT_SUPPORTED), "FieldValueNotSupported");
	struct buf b = { 0 };
	buf_addc(&b, '"');
	for (int i = 0; i < 4000; i++)
		buf_adds(&b, "\xc3\xa4");
	buf_addc(&b, '"');
	v = parse(buf_cstr(&b));
	field_error_add(&e, FIELD_INVALID, STR("spec.a"), &v, "%s", "");
	cr_expect(e.list[4].message.len < 1100);
	struct json again = json_of_str(e.list[4].message);
	struct str quoted = json_text(&arena, &again);
	cr_expect(json_parse(&arena, quoted, NULL, &again, NULL) == 0, "cut between characters");
	buf_fini(&b);
	arena_fini(&arena);
}
