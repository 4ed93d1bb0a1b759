#include "public_data.h"
#include "selector/field.h"
#include "selector/label.h"

#include <criterion/criterion.h>

#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *written(struct arena *a, const struct label_selector *s)
{
	struct buf out = { 0 };
	label_selector_write(&out, s);
	const char *text = arena_str(a, buf_str(&out)).p;
	buf_fini(&out);
	return text;
}

Test(label_selector, texts_have_one_canonical_form)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "  ", "" },
		{ "b=1,a==2", "a=2,b=1" },
		{ "x in (b, a ,b)", "x in (a,b)" },
		{ "x notin ()", "x notin ()" },
		{ "!x , y", "!x,y" },
		{ "x>1,y<007", "x>1,y<007" },
		{ "in=notin,notin in (in)", "in=notin,notin in (in)" },
		{ "x=,y!=", "x=,y!=" },
		{ "example.com/a_b in(x)", "example.com/a_b in (x)" },
		{ "x,x=1,x!=2", "x,x=1,x!=2" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct label_selector s;
		struct error err = { 0 };
		cr_assert_eq(label_selector_parse(&a, str_of(rows[i].in), &s, &err), 0, "%s: %s",
			     rows[i].in, err.msg);
		cr_expect_str_eq(written(&a, &s), rows[i].out);
		cr_expect_eq(label_selector_everything(&s), rows[i].out[0] == '\0');
	}
	arena_fini(&a);
}

Test(label_selector, wrong_ones_are_refused_in_the_words_of_kubernetes)
{
	static const struct {
		const char *in, *msg;
	} rows[] = {
		{ "x=a||y=b", "unable to parse requirement: <nil>: values: Invalid value: "
			      "\"a||y\": a valid label must" },
		{ "x==a==b", "found '==', expected: ',' or 'end of string'" },
		{ "!x=a", "found '=', expected: ',' or 'end of string'" },
		{ "x<a", "unable to parse requirement: <nil>: values[0]: Invalid value: \"a\": for "
			 "'Gt', 'Lt' operators" },
		{ "x,,y", "found ',', expected: identifier after ','" },
		{ ",x", "found ',', expected: !, identifier, or 'end of string'" },
		{ "x,", "found '', expected: identifier after ','" },
		{ "x nott in (y)", "unable to parse requirement: found 'nott', expected: in, "
				   "notin, =, ==, !=, gt, lt" },
		{ "a notin(",
		  "unable to parse requirement: found '', expected: ',', or identifier" },
		{ "a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'" },
		{ "a in x", "unable to parse requirement: found 'x', expected: '('" },
		{ "(", "found '(', expected: !, identifier, or 'end of string'" },
		{ "!", "unable to parse requirement: found '', expected: identifier" },
		{ "a=(", "unable to parse requirement: found '(', expected: identifier" },
		{ "-a", "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must "
			"consist of" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct label_selector s;
		struct error err = { 0 };
		cr_expect_eq(label_selector_parse(&a, str_of(rows[i].in), &s, &err),
			     ERR_BAD_REQUEST, "%s", rows[i].in);
		cr_expect(str_starts(str_of(err.msg), str_of(rows[i].msg)), "%s: %s", rows[i].in,
			  err.msg);
	}
	arena_fini(&a);
}

static struct json parsed(struct arena *a, const char *text)
{
	struct json j = { 0 };
	cr_assert_eq(json_parse(a, str_of(text), NULL, &j, NULL), 0, "%s", text);
	return j;
}

Test(label_selector, matching_follows_the_operators)
{
	static const struct {
		const char *selector, *labels;
		bool match;
	} rows[] = {
		{ "", "{}", true },
		{ "a=1", "{\"a\":\"1\"}", true },
		{ "a=1", "{\"a\":\"2\"}", false },
		{ "a=1", "{}", false },
		{ "a!=1", "{}", true },
		{ "a!=1", "{\"a\":\"1\"}", false },
		{ "a in (1,2)", "{\"a\":\"2\"}", true },
		{ "a in ()", "{\"a\":\"\"}", true },
		{ "a in ()", "{}", false },
		{ "a notin (1,2)", "{\"a\":\"2\"}", false },
		{ "a notin (1,2)", "{}", true },
		{ "a", "{\"a\":\"\"}", true },
		{ "!a", "{\"a\":\"\"}", false },
		{ "!a", "{}", true },
		{ "a>5", "{\"a\":\"10\"}", true },
		{ "a>5", "{\"a\":\"5\"}", false },
		{ "a<5", "{\"a\":\"-1\"}", true },
		{ "a<5", "{\"a\":\"x\"}", false },
		{ "a>5", "{}", false },
		{ "a=1,b=2", "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}", true },
		{ "a=1,b=2", "{\"a\":\"1\",\"b\":\"3\"}", false },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct label_selector s;
		cr_assert_eq(label_selector_parse(&a, str_of(rows[i].selector), &s, NULL), 0);
		struct json labels = parsed(&a, rows[i].labels);
		cr_expect_eq(label_selector_match_json(&s, &labels), rows[i].match, "%s %s",
			     rows[i].selector, rows[i].labels);
		struct label_pair pairs[4];
		for (size_t k = 0; k < json_len(&labels); k++) {
			pairs[k].key = json_str(&labels.members[k].key);
			pairs[k].value = json_str(&labels.members[k].value);
		}
		cr_expect_eq(label_selector_match_pairs(&s, pairs, json_len(&labels)),
			     rows[i].match);
	}
	struct label_selector s;
	struct str value;
	cr_assert_eq(label_selector_parse(&a, STR("a=1,b in (2),c in (3,4)"), &s, NULL), 0);
	cr_expect(label_selector_requires(&s, STR("b"), &value) && str_is(value, "2"));
	cr_expect(!label_selector_requires(&s, STR("c"), &value));
	cr_expect(!label_selector_match_json(&s, NULL));
	arena_fini(&a);
}

Test(label_selector, objects_become_selectors)
{
	static const struct {
		const char *object, *text;
	} rows[] = {
		{ "{}", "" },
		{ "{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"}}", "a=1,b=2" },
		{ "{\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"In\",\"values\":[\"b\","
		  "\"a\"]},"
		  "{\"key\":\"y\",\"operator\":\"NotIn\",\"values\":[\"c\"]},{\"key\":\"z\","
		  "\"operator\":\"Exists\"},"
		  "{\"key\":\"w\",\"operator\":\"DoesNotExist\",\"values\":[]}]}",
		  "!w,x in (a,b),y notin (c),z" },
		{ "{\"matchLabels\":null,\"matchExpressions\":null}", "" },
	};
	struct arena a = { 0 };
	struct label_selector s;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena source = { 0 };
		struct json j = parsed(&source, rows[i].object);
		cr_assert_eq(label_selector_of_json(&a, &j, &s, NULL), 0, "%s", rows[i].object);
		arena_fini(&source);
		cr_expect_str_eq(written(&a, &s), rows[i].text);
		cr_expect(!s.nothing);
	}
#define EXPRESSION(inside) "{\"matchExpressions\":[{" inside "}]}"
	static const char *const bad[] = {
		"[]",
		"{\"matchLabels\":{\"a\":1}}",
		"{\"matchLabels\":[]}",
		"{\"matchLabels\":{\"-\":\"\"}}",
		"{\"matchLabels\":{\"a\":\"-\"}}",
		"{\"matchExpressions\":{}}",
		EXPRESSION(""),
		EXPRESSION("\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\"]"),
		EXPRESSION("\"key\":\"a\",\"operator\":\"In\""),
		EXPRESSION("\"key\":\"a\",\"operator\":\"In\",\"values\":[1]"),
		EXPRESSION("\"key\":\"a\",\"operator\":\"In\",\"values\":\"x\""),
		EXPRESSION("\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"x\"]"),
		EXPRESSION("\"operator\":\"Exists\""),
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct json j = parsed(&a, bad[i]);
		cr_expect_eq(label_selector_of_json(&a, &j, &s, NULL), ERR_INVALID, "%s", bad[i]);
	}
	cr_assert_eq(label_selector_of_json(&a, NULL, &s, NULL), 0);
	cr_expect(s.nothing && !label_selector_everything(&s) &&
		  !label_selector_match_json(&s, NULL));
	struct json map = parsed(&a, "{\"app\":\"web\"}");
	cr_assert_eq(label_selector_of_map(&a, &map, &s, NULL), 0);
	cr_expect(label_selector_match_json(&s, &map));
	cr_assert_eq(label_selector_of_map(&a, NULL, &s, NULL), 0);
	cr_expect(!label_selector_match_json(&s, &map));
	arena_fini(&a);
}

Test(label_selector, sizes_are_bounded)
{
	struct arena a = { 0 };
	struct buf text = { 0 };
	struct label_selector s;
	buf_adds(&text, "x in (a");
	for (int i = 1; i < LABEL_SELECTOR_VALUES_MAX; i++)
		buf_addf(&text, ",%d", i);
	buf_adds(&text, ")");
	cr_expect_eq(label_selector_parse(&a, buf_str(&text), &s, NULL), 0);
	text.len--;
	buf_adds(&text, ",b)");
	cr_expect_eq(label_selector_parse(&a, buf_str(&text), &s, NULL), ERR_BAD_REQUEST);
	buf_clear(&text);
	for (int i = 0; i < LABEL_SELECTOR_REQS_MAX; i++)
		buf_addf(&text, "%sx%d", i ? "," : "", i);
	cr_expect_eq(label_selector_parse(&a, buf_str(&text), &s, NULL), 0);
	buf_adds(&text, ",y");
	cr_expect_eq(label_selector_parse(&a, buf_str(&text), &s, NULL), ERR_BAD_REQUEST);
	buf_fini(&text);
	arena_fini(&a);
}

static enum label_op op_of(struct str name)
{
	static const struct {
		const char *name;
		enum label_op op;
	} ops[] = {
		{ "selection.In", LABEL_IN },
		{ "selection.NotIn", LABEL_NOT_IN },
		{ "selection.Exists", LABEL_EXISTS },
		{ "selection.DoesNotExist", LABEL_NOT_EXISTS },
		{ "selection.Equals", LABEL_EQUALS },
		{ "selection.DoubleEquals", LABEL_EQUALS },
		{ "selection.NotEquals", LABEL_NOT_EQUALS },
		{ "selection.GreaterThan", LABEL_GT },
		{ "selection.LessThan", LABEL_LT },
	};
	for (size_t i = 0; i < COUNT(ops); i++) {
		if (str_is(name, ops[i].name))
			return ops[i].op;
	}
	cr_assert(0, "operator %.*s", STR_ARG(name));
	return LABEL_EXISTS;
}

/* getRequirement(key, op, sets.NewString(...)) is one requirement of s. */
static bool has_requirement(const struct label_selector *s, const struct json *call)
{
	const struct json *args = json_getc(call, "args");
	const struct json *values = json_getc(json_at(args, 2), "args");
	for (size_t i = 0; i < s->reqs_len; i++) {
		const struct label_req *r = &s->reqs[i];
		if (!str_eq(r->key, json_str(json_at(args, 0))) ||
		    r->values_len != json_len(values) ||
		    r->op != op_of(json_str(json_getc(json_at(args, 1), "$expr"))))
			continue;
		size_t found = 0;
		for (size_t k = 0; k < r->values_len; k++)
			for (size_t v = 0; v < json_len(values); v++)
				found += str_eq(r->values[k], json_str(json_at(values, v)));
		if (found == r->values_len)
			return true;
	}
	return false;
}

Test(label_selector, agrees_with_the_public_tables)
{
	struct arena a = { 0 };
	const struct json *tables =
		public_json(&a, "apimachinery/tables/pkg_labels_selector_test.json");
	if (!tables) {
		cr_skip_test("public data absent");
		return;
	}
	const struct json *rows = json_getc(tables, "TestSetSelectorParser.setSelectorParserTests");
	cr_assert_gt(json_len(rows), 30);
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *row = json_at(rows, i);
		struct str in = json_str(json_at(row, 0));
		struct label_selector s;
		bool valid = label_selector_parse(&a, in, &s, NULL) == 0;
		cr_assert_eq(valid, json_bool(json_at(row, 3), false), "%.*s", STR_ARG(in));
		const struct json *items = json_getc(json_at(row, 1), "$items");
		if (!valid || !items)
			continue;
		cr_expect_eq(s.reqs_len, json_len(items), "%.*s", STR_ARG(in));
		for (size_t k = 0; k < json_len(items); k++)
			cr_expect(has_requirement(&s, json_at(items, k)), "%.*s", STR_ARG(in));
	}
	struct label_selector s;
	rows = json_getc(tables, "TestSelectorParse.testGoodStrings");
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect_eq(label_selector_parse(&a, json_str(json_at(rows, i)), &s, NULL), 0);
	rows = json_getc(tables, "TestSelectorParse.testBadStrings");
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect_neq(label_selector_parse(&a, json_str(json_at(rows, i)), &s, NULL), 0);
	arena_fini(&a);
}

/* ---- fields ---- */

static struct str field_of(void *arg, struct str field)
{
	return json_str(json_get(arg, field));
}

Test(field_selector, parses_matches_and_writes)
{
	static const struct {
		const char *in, *out;
		bool match; /* {"foo":"bar","baz":"blah","complex":"=value\\,\\"} */
	} rows[] = {
		{ "", "", true },
		{ "foo=bar,baz==blah", "foo=bar,baz=blah", true },
		{ "foo!=bar", "foo!=bar", false },
		{ "zzz!=bar", "zzz!=bar", true },
		{ "zzz=", "zzz=", true },
		{ "complex=\\=value\\\\\\,\\\\", "complex=\\=value\\\\\\,\\\\", true },
		{ "foo=bar,", "foo=bar", true },
		{ "foo=a||y\\=b", "foo=a||y\\=b", false },
	};
	struct arena a = { 0 };
	struct json set =
		parsed(&a, "{\"foo\":\"bar\",\"baz\":\"blah\",\"complex\":\"=value\\\\,\\\\\"}");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct field_selector s;
		struct error err = { 0 };
		cr_assert_eq(field_selector_parse(&a, str_of(rows[i].in), &s, &err), 0, "%s: %s",
			     rows[i].in, err.msg);
		struct buf out = { 0 };
		field_selector_write(&out, &s);
		cr_expect_str_eq(buf_cstr(&out), rows[i].out);
		cr_expect_eq(field_selector_match(&s, field_of, &set), rows[i].match, "%s",
			     rows[i].in);
		buf_fini(&out);
	}
	static const struct {
		const char *in, *msg;
	} bad[] = {
		{ "x", "invalid selector: 'x'; can't understand 'x'" },
		{ "x=a,b", "invalid selector: 'x=a,b'; can't understand 'b'" },
		{ "x in (a)", "invalid selector: 'x in (a)'; can't understand 'x in (a)'" },
		{ "x==a==b", "invalid field selector: unescaped character in value: 61" },
		{ "x=\\a", "invalid field selector: invalid escape sequence: \\a" },
		{ "x=\\", "invalid field selector: invalid escape sequence: \\" },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct field_selector s;
		struct error err = { 0 };
		cr_expect_eq(field_selector_parse(&a, str_of(bad[i].in), &s, &err),
			     ERR_BAD_REQUEST);
		cr_expect_str_eq(err.msg, bad[i].msg);
	}
	struct field_selector s;
	struct str value;
	cr_assert_eq(field_selector_parse(&a, STR("metadata.name=web,a!=b"), &s, NULL), 0);
	cr_expect(field_selector_requires(&s, STR("metadata.name"), &value) &&
		  str_is(value, "web"));
	cr_expect(!field_selector_requires(&s, STR("a"), &value));
	arena_fini(&a);
}

Test(field_selector, agrees_with_the_public_tables)
{
	struct arena a = { 0 };
	const struct json *tables =
		public_json(&a, "apimachinery/tables/pkg_fields_selector_test.json");
	if (!tables) {
		cr_skip_test("public data absent");
		return;
	}
	struct field_selector s;
	const struct json *rows = json_getc(tables, "TestSelectorParse.testGoodStrings");
	cr_assert_gt(json_len(rows), 3);
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect_eq(field_selector_parse(&a, json_str(json_at(rows, i)), &s, NULL), 0);
	rows = json_getc(tables, "TestSelectorParse.testBadStrings");
	for (size_t i = 0; i < json_len(rows); i++)
		cr_expect_neq(field_selector_parse(&a, json_str(json_at(rows, i)), &s, NULL), 0);
	rows = json_getc(tables, "TestEscapeValue.testcases");
	cr_assert_gt(json_len(rows), 3);
	for (size_t i = 0; i < json_len(rows); i++) {
		if (str_is(json_str(&rows->members[i].key), "$type"))
			continue;
		struct buf out = { 0 };
		field_escape(&out, json_str(&rows->members[i].key));
		cr_expect(str_eq(buf_str(&out), json_str(&rows->members[i].value)));
		buf_fini(&out);
	}
	arena_fini(&a);
}
