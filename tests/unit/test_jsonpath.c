#include "jsonpath/jsonpath.h"

#include <criterion/criterion.h>

#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Modelled on the examples of the documentation of kubectl. */
static const char nodes[] =
	"{\"kind\":\"List\",\"items\":[{\"kind\":\"None\",\"metadata\":{\"name\":\"127.0.0.1\","
	"\"labels\":{"
	"\"kubernetes.io/"
	"hostname\":\"127.0.0.1\"}},\"status\":{\"capacity\":{\"cpu\":\"4\"},\"ready\":true,"
	"\"addresses\":[{\"type\":\"LegacyHostIP\",\"address\":\"127.0.0.1\"}]}},{\"kind\":"
	"\"None\",\"metadata\":{"
	"\"name\":\"127.0.0.2\",\"labels\":{\"kubernetes.io/"
	"hostname\":\"127.0.0.2\"}},\"status\":{\"capacity\":{"
	"\"cpu\":\"8\"},\"ready\":false,\"addresses\":[{\"type\":\"LegacyHostIP\",\"address\":"
	"\"127.0.0.2\"},{\"type\":"
	"\"another\",\"address\":\"127.0.0.3\"}]}}],\"users\":[{\"name\":\"myself\",\"user\":{}},{"
	"\"name\":\"e2e\","
	"\"user\":{\"username\":\"admin\",\"password\":\"secret\"}}],\"n\":[0,1,2,3,4],\"f\":[1.5,"
	"5.0,1e21,1234567.5],"
	"\"x\":{\"z\":\"<&>\",\"a\":null,\"m\":[]},\"t\":true,\"nil\":null,\"s\":\"a b\"}";

/* The text, or the error message in angle brackets. */
static const char *printed(struct arena *a, const char *text, unsigned flags)
{
	struct json root;
	struct jsonpath *p = NULL;
	struct error err = { 0 };
	struct buf out = { 0 };
	cr_assert_eq(json_parse(a, str_of(nodes), NULL, &root, NULL), 0);
	if (jsonpath_compile(a, str_of(text), flags, &p, &err) ||
	    jsonpath_print(p, a, &root, &out, &err)) {
		cr_expect_eq(out.len, 0);
		buf_fini(&out);
		return arena_printf(a, "<%s>", err.msg);
	}
	const char *s = arena_strdup(a, buf_cstr(&out));
	buf_fini(&out);
	return s;
}

struct row {
	const char *in, *out;
};

static void check(const struct row *rows, size_t n, unsigned flags)
{
	struct arena a = { 0 };
	for (size_t i = 0; i < n; i++)
		cr_expect_str_eq(printed(&a, rows[i].in, flags), rows[i].out, "%s", rows[i].in);
	arena_fini(&a);
}

Test(jsonpath, templates_print_as_kubectl_prints_them)
{
	static const struct row rows[] = {
		{ "plain text", "plain text" },
		{ "", "" },
		{ "{.kind}", "List" },
		{ "kind is {.kind}!", "kind is List!" },
		{ "{$.kind} {@.kind}", "List List" },
		{ "{ .kind }", "List" },
		{ "{.items[0].metadata.name}", "127.0.0.1" },
		{ "{.items[-1].metadata.name}", "127.0.0.2" },
		{ "{.items[-2].metadata.name}", "127.0.0.1" },
		{ "{['kind']}{[\"kind\"]}", "ListList" },
		{ "{.items[*].metadata.name}", "127.0.0.1 127.0.0.2" },
		{ "{.items[*]['metadata.name', 'status.capacity']}",
		  "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}" },
		{ "{.items[0].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1" },
		{ "{.items[0].metadata.labels['kubernetes\\.io/hostname']}", "127.0.0.1" },
		{ "{.n[1,3,4]}", "1 3 4" },
		{ "{.n[0:2]} {.n[:2]} {.n[3:]} {.n[::2]} {.n[1::2]} {.n[-1:]} {.n[0:-1]}",
		  "0 1 0 1 3 4 0 2 4 1 3 4 0 1 2 3" },
		{ "{.n[2:2]}", "" },
		{ "{.n}", "[0,1,2,3,4]" },
		{ "{.f[*]}", "1.5 5 1e+21 1.2345675e+06" },
		{ "{.f}", "[1.5,5,1e+21,1234567.5]" },
		{ "{.x}", "{\"a\":null,\"m\":[],\"z\":\"\\u003c\\u0026\\u003e\"}" },
		{ "{.x.z}{.t}{.nil}{.x.m}", "<&>truenull[]" },
		{ "{.x.*}", "<&> null []" },
		{ "{..name}", "127.0.0.1 127.0.0.2 myself e2e" },
		{ "{...name}", "127.0.0.1 127.0.0.2 myself e2e" },
		{ "{..addresses[0].address}", "127.0.0.1 127.0.0.2" },
		{ "{.items[?(@.status.ready==true)].metadata.name}", "127.0.0.1" },
		{ "{.users[?(@.name==\"e2e\")].user.password}", "secret" },
		{ "{.users[?(@.name=='e2e')].user.password}", "secret" },
		{ "{.users[?(@.user.password)].name}", "e2e" },
		{ "{.n[?(@>=3)]} {.n[?(@<2)]} {.n[?(@!=2)]} {.n[?(@ == 2)]}", "3 4 0 1 0 1 3 4 2" },
		{ "{.n[?(@>1.5)]}", "2 3 4" },
		{ "{.n[?(@>0 && @<3)]} {.n[?(@==0 || @==4)]} {.n[?(@>3 || @>0 && @<2)]}",
		  "1 2 0 4 1 4" },
		{ "{.items[?(@.metadata.labels.kubernetes\\.io/hostname==\"127.0.0.1\")].kind}",
		  "None" },
		{ "{.items[?(@..ready==true)].metadata.name}", "127.0.0.1" },
		{ "{.items[?(@.status.addresses[?(@.type==\"another\")])].metadata.name}",
		  "127.0.0.2" },
		{ "{range .items[*]}{.metadata.name}, {end}{.kind}", "127.0.0.1, 127.0.0.2, List" },
		{ "{range .items[*]}{.metadata.name}{\"\\t\"}{.status.capacity.cpu}{\"\\n\"}{end}",
		  "127.0.0.1\t4\n127.0.0.2\t8\n" },
		{ "{range .items[*]}{range .status.addresses[*]}{.address}, {end}{end}",
		  "127.0.0.1, 127.0.0.2, 127.0.0.3, " },
		{ "{range .x.m[*]}{.name}{end}.", "." },
		{ "{\"{\"}{'}'}{\"\\u00e9\\\"\"}", "{}é\"" },
		{ "{.users[0].user}", "{}" },
		{ "{5}{-1.5}{true}", "5-1.5true" },
		{ "{@.s}", "a b" },
		{ "}", "}" },
	};
	check(rows, COUNT(rows), 0);
	struct arena a = { 0 };
	cr_expect_eq(strlen(printed(&a, "{.}", 0)) > 100, true);
	cr_expect_str_eq(printed(&a, "{@}", 0), printed(&a, "{.}", 0));
	arena_fini(&a);
}

Test(jsonpath, errors_are_those_of_kubectl)
{
	static const struct row rows[] = {
		{ "{.hello}", "<hello is not found>" },
		{ "{hello}", "<unrecognized identifier hello>" },
		{ "{.x[0]}", "<object is not array or slice>" },
		{ "{.n[9]}", "<array index out of bounds: index 9, length 5>" },
		{ "{.n[-9]}", "<array index out of bounds: index -4, length 5>" },
		{ "{.n[0:9]}", "<array index out of bounds: index 8, length 5>" },
		{ "{.n[3:1]}", "<starting index 3 is greater than ending index 1>" },
		{ "{.n[::0]}", "<step must be > 0>" },
		{ "{.n[?(@<>1)]}", "<unrecognized filter operator <>>" },
		{ "{.n[?(@==\"1\")]}", "<incompatible types for comparison>" },
		{ "{.x[?(@.a)]}", "<object is not array or slice and cannot be filtered>" },
		{ "{.kind", "<error parsing jsonpath {.kind, unclosed action>" },
		{ "{.n[0}", "<error parsing jsonpath .n[0, unterminated array>" },
		{ "{.n[x]}", "<invalid array index x>" },
		{ "{.n[]}", "<invalid array index >" },
		{ "{.n[1:2:3:4]}", "<invalid array index 1:2:3:4>" },
		{ "{.n[?(@==1]}", "<error parsing jsonpath .n[?(@==1], unterminated filter>" },
		{ "{.a}{end}", "<error parsing jsonpath {.a}{end}, not in range, nothing to end>" },
		{ "{range .items[*]}",
		  "<error parsing jsonpath {range .items[*]}, range without end>" },
		{ "{*}", "<unrecognized character in action: U+002A '*'>" },
		{ "{....x}", "<error parsing jsonpath ....x, invalid multiple recursive descent>" },
		{ "{.n[?(@==)]}", "<error parsing jsonpath .n[?(@==)], nothing to compare with>" },
		{ "{\"\\q\"}",
		  "<error parsing jsonpath \"\\q\", invalid escape in quoted string>" },
	};
	check(rows, COUNT(rows), 0);
}

Test(jsonpath, missing_fields_may_be_allowed)
{
	static const struct row rows[] = {
		{ "before-{.hello}after", "before-after" },
		{ "{.hello.world[0].x}", "" },
		{ "{.items[*].nope}", "" },
		{ "{.items[?(@.nope==1)].kind}", "" },
		{ "{range .items[*]}{.nope}{\"|\"}{end}", "||" },
		{ "{.nil.x}{.nil[0]}", "" },
	};
	check(rows, COUNT(rows), JSONPATH_ALLOW_MISSING);
}

Test(jsonpath, relaxed_expressions_need_no_braces)
{
	static const struct row rows[] = {
		{ "kind", "List" },
		{ ".kind", "List" },
		{ "{kind}", "List" },
		{ "{.kind}", "List" },
		{ " .kind ", "List" },
		{ ".items[0].metadata.name", "127.0.0.1" },
		{ "['kind']", "List" },
		{ "$.kind", "List" },
		{ "", "" },
	};
	check(rows, COUNT(rows), JSONPATH_RELAXED);
}

Test(jsonpath, values_can_be_had_unprinted)
{
	struct arena a = { 0 };
	struct json root;
	struct jsonpath *p = NULL;
	struct jsonpath_results r;
	cr_assert_eq(json_parse(&a, str_of(nodes), NULL, &root, NULL), 0);
	cr_assert_eq(jsonpath_compile(&a, STR(".n[1:3]"), JSONPATH_RELAXED, &p, NULL), 0);
	cr_assert_eq(jsonpath_find(p, &a, &root, &r, NULL), 0);
	cr_assert_eq(r.len, 2);
	cr_expect_eq(json_i64(r.v[0], 0), 1);
	cr_expect_eq(r.v[1], json_at(json_getc(&root, "n"), 2));
	cr_assert_eq(jsonpath_compile(&a, STR(".nope"), JSONPATH_RELAXED, &p, NULL), 0);
	cr_expect_eq(jsonpath_find(p, &a, &root, &r, NULL), ERR_NOT_FOUND);
	cr_assert_eq(jsonpath_compile(&a, STR("{@}"), 0, &p, NULL), 0);
	cr_assert_eq(jsonpath_find(p, &a, &root, &r, NULL), 0);
	cr_expect(r.len == 1 && r.v[0] == &root);
	arena_fini(&a);
}

Test(jsonpath, work_is_bounded)
{
	struct arena a = { 0 };
	struct buf text = { 0 };
	struct jsonpath *p = NULL;
	struct json root;
	for (int i = 0; i < JSONPATH_NODES_MAX + 1; i++)
		buf_adds(&text, "{@}");
	cr_expect_eq(jsonpath_compile(&a, buf_str(&text), 0, &p, NULL), ERR_TOO_LARGE);
	buf_clear(&text);
	for (int i = 0; i < 100; i++)
		buf_adds(&text, "{range .a}");
	cr_expect_eq(jsonpath_compile(&a, buf_str(&text), 0, &p, NULL), ERR_TOO_LARGE);
	buf_clear(&text);
	buf_adds(&text, "{");
	for (int i = 0; i < 100; i++)
		buf_adds(&text, "[?(@");
	for (int i = 0; i < 100; i++)
		buf_adds(&text, ")]");
	buf_adds(&text, "}");
	cr_expect_eq(jsonpath_compile(&a, buf_str(&text), 0, &p, NULL), ERR_TOO_LARGE);
	buf_clear(&text);
	/* each step multiplies */
	cr_assert_eq(json_parse(&a, STR("[[1,2,3,4,5,6,7,8,9,10]]"), NULL, &root, NULL), 0);
	buf_adds(&text, "{@");
	for (int i = 0; i < 30; i++)
		buf_adds(&text, "[@,@]");
	buf_adds(&text, "}");
	struct error err = { 0 };
	int rc = jsonpath_compile(&a, buf_str(&text), 0, &p, &err);
	if (rc == 0) {
		struct buf out = { 0 };
		rc = jsonpath_print(p, &a, &root, &out, &err);
		buf_fini(&out);
	}
	cr_expect_neq(rc, 0);
	buf_clear(&text);
	buf_adds(&text, "{@");
	for (int i = 0; i < 30; i++)
		buf_adds(&text, "['','']");
	buf_adds(&text, "}");
	cr_assert_eq(jsonpath_compile(&a, buf_str(&text), 0, &p, NULL), 0);
	struct buf out = { 0 };
	cr_expect_eq(jsonpath_print(p, &a, &root, &out, NULL), ERR_TOO_LARGE);
	buf_fini(&out);
	buf_fini(&text);
	arena_fini(&a);
}
