#include "json/json.h"
#include "json/stack.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static char *compact(struct arena *a, const struct json *j)
{
	struct str s = json_text(a, j);
	return arena_printf(a, "%.*s", STR_ARG(s));
}

/* What `text` parses to, written compactly, or the error message. */
static const char *reread(struct arena *a, const char *text)
{
	struct json j;
	struct error err = { 0 };
	if (json_parse(a, str_of(text), NULL, &j, &err))
		return arena_strdup(a, err.msg);
	return compact(a, &j);
}

Test(json, writes_what_it_read_in_the_same_order)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "{}", "{}" },
		{ " [ ] ", "[]" },
		{ "{\"b\":1,\"a\":[true,false,null,{}]}", "{\"b\":1,\"a\":[true,false,null,{}]}" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "-9223372036854775808", "-9223372036854775808" },
		{ "18446744073709551615", "18446744073709551615" },
		{ "18446744073709551616", "18446744073709552000" },
		{ "-9223372036854775809", "-9223372036854775808" },
		{ "9007199254740993", "9007199254740993" },
		{ "-0", "0" },
		{ "-0.0", "-0.0" },
		{ "1.0", "1" },
		{ "1E2", "100" },
		{ "0.1", "0.1" },
		{ "1.1", "1.1" },
		{ "123.456", "123.456" },
		{ "1e-7", "1e-7" },
		{ "0.000001", "0.000001" },
		{ "1.5e300", "1.5e+300" },
		{ "1e21", "1e+21" },
		{ "1e20", "100000000000000000000" },
		{ "5e-324", "5e-324" },
		{ "1.7976931348623157e308", "1.7976931348623157e+308" },
		{ "2.2250738585072011e-308", "2.225073858507201e-308" },
		{ "1e-400", "0" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "\"a\\u0000\\u001f\\n\\t\\\"\\\\\\/\\u00e9\"",
		  "\"a\\u0000\\u001f\\n\\t\\\"\\\\/é\"" },
		{ "\"\\ud83d\\ude00\"", "\"😀\"" },
		{ "\"plain text longer than eight bytes, then \xF0\x9F\x98\x80 and more text\"",
		  "\"plain text longer than eight bytes, then \xF0\x9F\x98\x80 and more text\"" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(reread(&a, rows[i].in), rows[i].out, "%s", rows[i].in);
	arena_fini(&a);
}

Test(json, says_where_the_input_is_wrong)
{
	static const struct {
		const char *in, *msg;
	} rows[] = {
		{ "", "line 1 column 1: unexpected end of input" },
		{ "{\n \"a\": tru}", "line 2 column 7: unexpected character" },
		{ "[1,]", "line 1 column 4: unexpected character" },
		{ "[1 2]", "line 1 column 4: expected ',' or ']'" },
		{ "{\"a\" 1}", "line 1 column 6: expected ':'" },
		{ "{a:1}", "line 1 column 2: expected a member name" },
		{ "{\"a\":1]", "line 1 column 7: expected ',' or '}'" },
		{ "01", "line 1 column 2: bad number" },
		{ "1.", "line 1 column 3: unexpected end of input" },
		{ "1e400", "line 1 column 1: number out of range" },
		{ "-", "line 1 column 2: unexpected end of input" },
		{ "\"\x01\"", "line 1 column 2: control character in string" },
		{ "\"\xC3\"", "line 1 column 2: invalid UTF-8" },
		{ "\"a\\n\xED\xA0\x80\"", "line 1 column 5: invalid UTF-8" },
		{ "\"\\ud800x\"", "line 1 column 2: lone surrogate" },
		{ "\"\\q\"", "line 1 column 2: bad escape" },
		{ "\"abc", "line 1 column 5: unexpected end of input" },
		{ "\"a\\", "line 1 column 4: unexpected end of input" },
		{ "1 x", "line 1 column 3: trailing input" },
		{ "NaN", "line 1 column 1: unexpected character" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(reread(&a, rows[i].in), rows[i].msg, "%s", rows[i].in);
	arena_fini(&a);
}

static char *nested(struct arena *a, const char *open, const char *close, size_t levels)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < levels; i++)
		buf_adds(&b, open);
	buf_adds(&b, "1");
	for (size_t i = 0; i < levels; i++)
		buf_adds(&b, close);
	char *text = arena_strdup(a, buf_cstr(&b));
	buf_fini(&b);
	return text;
}

Test(json, limits_are_exact)
{
	struct arena a = { 0 };
	struct json j;
	struct json_limits l = JSON_LIMITS;
	const char *text = nested(&a, "[", "]", 100);
	cr_expect_eq(json_parse(&a, str_of(text), NULL, &j, NULL), 0);
	text = nested(&a, "{\"a\":", "}", 101);
	cr_expect_eq(json_parse(&a, str_of(text), NULL, &j, NULL), ERR_TOO_LARGE);

	l.values_max = 4;
	cr_expect_eq(json_parse(&a, STR("[1,2,3]"), &l, &j, NULL), 0);
	cr_expect_eq(json_parse(&a, STR("[1,2,3,4]"), &l, &j, NULL), ERR_TOO_LARGE);
	l = JSON_LIMITS;
	l.bytes_max = 7;
	cr_expect_eq(json_parse(&a, STR("[1,2,3]"), &l, &j, NULL), 0);
	cr_expect_eq(json_parse(&a, STR("[1,2,3] "), &l, &j, NULL), ERR_TOO_LARGE);
	arena_fini(&a);
}

static void note(void *arg, const char *path)
{
	buf_addf(arg, "%s;", path);
}

Test(json, duplicates_are_reported_with_their_path_and_the_last_wins)
{
	static const struct {
		const char *in, *paths, *out;
	} rows[] = {
		{ "{\"a\":1,\"b\":2,\"a\":3}", "a;", "{\"a\":3,\"b\":2}" },
		{ "{\"spec\":{\"containers\":[{},{\"name\":1,\"name\":2,\"name\":3}]}}",
		  "spec.containers[1].name;spec.containers[1].name;",
		  "{\"spec\":{\"containers\":[{},{\"name\":3}]}}" },
		{ "{\"a\":{\"x\":1},\"a\":{\"y\":1,\"y\":2}}", "a;a.y;", "{\"a\":{\"y\":2}}" },
		{ "[[{\"\":1,\"\":2}]]", "[0][0].;", "[[{\"\":2}]]" },
		{ "{\"a\":1,\"\\u0061\":2}", "a;", "{\"a\":2}" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf paths = { 0 };
		struct json_limits l = JSON_LIMITS;
		l.on_duplicate = note;
		l.arg = &paths;
		struct json j;
		cr_assert_eq(json_parse(&a, str_of(rows[i].in), &l, &j, NULL), 0);
		cr_expect_str_eq(buf_cstr(&paths), rows[i].paths);
		cr_expect_str_eq(compact(&a, &j), rows[i].out);
		buf_fini(&paths);
	}
	arena_fini(&a);
}

Test(json, large_objects_are_deduplicated_and_compared_through_an_index)
{
	enum { KEYS = 100000 };
	struct arena a = { 0 };
	struct buf up = { 0 };
	struct buf down = { 0 };
	for (int i = 0; i < KEYS; i++) {
		buf_addf(&up, "%c\"key-%d\":%d", i ? ',' : '{', i, i);
		buf_addf(&down, "%c\"key-%d\":%d", i ? ',' : '{', KEYS - 1 - i, KEYS - 1 - i);
	}
	buf_adds(&up, ",\"key-40\":\"again\",\"key-10\":\"too\"}");
	buf_adds(&down, ",\"key-10\":\"too\",\"key-40\":\"again\"}");
	struct buf paths = { 0 };
	struct json_limits l = JSON_LIMITS;
	l.on_duplicate = note;
	l.arg = &paths;
	struct json x;
	struct json y;
	cr_assert_eq(json_parse(&a, buf_str(&up), &l, &x, NULL), 0);
	cr_assert_eq(json_parse(&a, buf_str(&down), NULL, &y, NULL), 0);
	cr_expect_str_eq(buf_cstr(&paths), "key-40;key-10;");
	cr_expect_eq(json_len(&x), KEYS);
	cr_expect_eq(json_len(&y), KEYS);
	cr_expect_str_eq(compact(&a, json_getc(&x, "key-40")), "\"again\"");
	cr_expect(json_equal(&x, &y));
	*json_getc(&y, "key-777") = json_of_i64(-1);
	cr_expect(!json_equal(&x, &y));
	buf_fini(&up);
	buf_fini(&down);
	buf_fini(&paths);
	arena_fini(&a);
}

static bool equal_texts(struct arena *a, const char *x, const char *y)
{
	struct json jx;
	struct json jy;
	cr_assert_eq(json_parse(a, str_of(x), NULL, &jx, NULL), 0, "%s", x);
	cr_assert_eq(json_parse(a, str_of(y), NULL, &jy, NULL), 0, "%s", y);
	return json_equal(&jx, &jy) && json_equal(&jy, &jx);
}

Test(json, equality_is_of_values)
{
	static const struct {
		const char *x, *y;
		bool equal;
	} rows[] = {
		{ "1", "1.0", true },
		{ "9007199254740993", "9007199254740992.0", false },
		{ "9007199254740992", "9007199254740992.0", true },
		{ "18446744073709551615", "18446744073709551616.0", false },
		{ "9223372036854775808", "9223372036854775808.0", true },
		{ "-9223372036854775808", "-9223372036854775808.0", true },
		{ "9223372036854775807", "9223372036854775808", false },
		{ "0", "-0.0", true },
		{ "0", "false", false },
		{ "null", "false", false },
		{ "\"1\"", "1", false },
		{ "[1,2]", "[2,1]", false },
		{ "[1,2]", "[1,2,3]", false },
		{ "{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"a\":1}", true },
		{ "{\"a\":1}", "{\"b\":1}", false },
		{ "{\"a\":1}", "{\"a\":1,\"b\":1}", false },
		{ "{}", "[]", false },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(equal_texts(&a, rows[i].x, rows[i].y), rows[i].equal, "%s and %s",
			     rows[i].x, rows[i].y);
	cr_expect(json_equal(NULL, NULL));
	arena_fini(&a);
}

Test(json, reading_never_minds_absence_or_type)
{
	struct arena a = { 0 };
	struct json j;
	cr_assert_eq(json_parse(&a,
				STR("{\"a\":{\"b\":[1,2.5,\"x\",true,1e3,18446744073709551615]}}"),
				NULL, &j, NULL),
		     0);
	const struct json *b = json_dig(&j, "a", "b", NULL);
	cr_expect_eq(json_len(b), 6);
	cr_expect_eq(json_i64(json_at(b, 0), -1), 1);
	cr_expect_eq(json_i64(json_at(b, 1), -1), -1);
	cr_expect_eq(json_i64(json_at(b, 4), -1), 1000);
	cr_expect_eq(json_i64(json_at(b, 5), -1), -1);
	cr_expect_float_eq(json_double(json_at(b, 1), 0), 2.5, DBL_EPSILON);
	cr_expect(str_is(json_str(json_at(b, 2)), "x"));
	cr_expect(json_bool(json_at(b, 3), false));
	cr_expect_null(json_at(b, 6));
	cr_expect_null(json_dig(&j, "a", "c", "d", NULL));
	cr_expect_null(json_dig(NULL, "a", NULL));
	cr_expect_null(json_getc(json_at(b, 0), "x"));
	cr_expect_eq(json_len(NULL), 0);
	cr_expect_str_eq(json_type_name(NULL), "null");
	cr_expect_str_eq(json_type_name(json_at(b, 1)), "number");
	cr_expect_str_eq(json_type_name(json_at(b, 5)), "integer");
	arena_fini(&a);
}

Test(json, trees_are_built_and_changed_in_place)
{
	struct arena a = { 0 };
	struct json j = json_object();
	json_setc(&a, json_child(&a, &j, "metadata"), "name", json_of_cstr("web"));
	struct json *list = json_setc(&a, &j, "list", json_array());
	for (int i = 0; i < 100; i++)
		json_push(&a, list, json_of_i64(i));
	while (json_len(list) > 3)
		json_remove_at(list, 1);
	json_insert_at(&a, list, 0, json_of_double(0.5));
	json_insert_at(&a, list, 4, json_of_cstr(NULL));
	json_setc(&a, &j, "metadata2", json_of_u64(UINT64_MAX));
	json_setc(&a, &j, "gone", json_of_bool(true));
	cr_expect(json_removec(&j, "gone"));
	cr_expect(!json_removec(&j, "gone"));
	cr_expect_str_eq(compact(&a, &j),
			 "{\"metadata\":{\"name\":\"web\"},\"list\":[0.5,0,98,99,null],"
			 "\"metadata2\":18446744073709551615}");
	struct arena other = { 0 };
	struct json copy = json_clone(&other, &j);
	cr_expect(json_equal(&copy, &j));
	json_push(&other, json_getc(&copy, "list"), json_of_i64(1));
	cr_expect(!json_equal(&copy, &j));
	cr_expect_eq(json_len(json_getc(&j, "list")), 5);
	for (int i = 0; i < 200; i++) {
		char *key = arena_printf(&a, "k%d", i % 100);
		json_setc(&a, &j, key, json_of_i64(i));
	}
	cr_expect_eq(json_len(&j), 103);
	cr_expect_eq(json_i64(json_getc(&j, "k99"), 0), 199);
	arena_fini(&other);
	arena_fini(&a);
}

Test(json, a_parsed_tree_can_grow)
{
	struct arena a = { 0 };
	struct json j;
	cr_assert_eq(json_parse(&a, STR("{\"a\":[1],\"b\":{}}"), NULL, &j, NULL), 0);
	json_push(&a, json_getc(&j, "a"), json_of_i64(2));
	json_setc(&a, json_getc(&j, "b"), "c", json_of_i64(3));
	json_setc(&a, &j, "d", json_of_i64(4));
	cr_expect_str_eq(compact(&a, &j), "{\"a\":[1,2],\"b\":{\"c\":3},\"d\":4}");
	arena_fini(&a);
}

Test(json, pretty_text_is_indented_as_kubectl_does_it)
{
	struct arena a = { 0 };
	struct json j;
	cr_assert_eq(json_parse(&a, STR("{\"a\":[1,{\"b\":[]}],\"c\":{}}"), NULL, &j, NULL), 0);
	struct buf out = { 0 };
	json_write_pretty(&out, &j, 4);
	cr_expect_str_eq(buf_cstr(&out),
			 "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n"
			 "        }\n    ],\n    \"c\": {}\n}");
	buf_fini(&out);
	arena_fini(&a);
}

Test(json, written_strings_are_json_whatever_the_bytes)
{
	struct buf out = { 0 };
	json_write_str(&out, STR("a\xFF\xC0\x80\x7F-longer-than-eight\xE2\x82"));
	cr_expect_str_eq(buf_cstr(&out),
			 "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x7F-longer-than-eight"
			 "\xEF\xBF\xBD\xEF\xBF\xBD\"");
	buf_clear(&out);
	json_write_str(&out, STR_NONE);
	cr_expect_str_eq(buf_cstr(&out), "\"\"");
	buf_fini(&out);
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state ^ *state >> 29;
}

/* strtod and printf of the C library are the judges. */
Test(json, doubles_read_back_the_same_and_are_shortest)
{
	uint64_t seed = 42;
	for (int i = 0; i < 30000; i++) {
		uint64_t bits = next_random(&seed);
		double d = 0;
		memcpy(&d, &bits, sizeof(d));
		if (i % 3 == 1)
			d = (double)(bits >> 40) / 1000;
		else if (i % 3 == 2)
			d = (double)(int64_t)bits / 1e6;
		if (!isfinite(d))
			continue;
		struct buf out = { 0 };
		json_write_double(&out, d);
		const char *text = buf_cstr(&out);
		cr_assert_eq(strtod(text, NULL), d, "%s", text);
		struct arena a = { 0 };
		struct json j;
		cr_assert_eq(json_parse(&a, buf_str(&out), NULL, &j, NULL), 0);
		struct json exact = json_of_double(d);
		cr_assert(json_equal(&j, &exact) || j.type == JSON_DOUBLE, "%s", text);
		cr_assert(json_double(&j, 0) == d, "%s", text);
		size_t digits = 0;
		size_t zeros = 0;
		bool begun = false;
		for (const char *c = text; *c && *c != 'e'; c++) {
			begun |= *c >= '1' && *c <= '9';
			zeros = *c == '0' ? zeros + 1 : *c == '.' ? zeros : 0;
			digits += begun && *c >= '0' && *c <= '9';
		}
		for (int p = 1; p < 17 && fabs(d) < 1e15; p++) {
			char shorter[40];
			(void)snprintf(shorter, sizeof(shorter), "%.*g", p, d);
			if (strtod(shorter, NULL) == d) {
				cr_assert_leq(digits - zeros, (size_t)p, "%s against %s", text,
					      shorter);
				break;
			}
		}
		arena_fini(&a);
		buf_fini(&out);
	}
}

Test(json, numbers_are_read_to_the_nearest_double)
{
	static const char *const texts[] = {
		"0.1",
		"123456789012345678901234567890",
		"1.7976931348623158e308",
		"4.9e-324",
		"2.4703282292062327e-324",
		"2.4703282292062328e-324",
		"9007199254740993.0",
		"9007199254740992.99999",
		"1e22",
		"1e23",
		"8.5e22",
		"179769313486231580793e288",
		"0.000000000000000000000000000000000000000123e-10",
		"100000000000000000000000000000000e-32",
		"3.0e-44",
		"1.00000000000000011102230246251565404236316680908203125",
		"1.00000000000000011102230246251565404236316680908203124",
		"1.00000000000000011102230246251565404236316680908203126",
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json j;
		cr_assert_eq(json_parse(&a, str_of(texts[i]), NULL, &j, NULL), 0, "%s", texts[i]);
		cr_expect(json_double(&j, -1) == strtod(texts[i], NULL), "%s", texts[i]);
	}
	/* a midpoint whose last digit, far behind, decides */
	struct buf b = { 0 };
	buf_adds(&b, "1.00000000000000011102230246251565404236316680908203125");
	for (int i = 0; i < 2000; i++)
		buf_addc(&b, '0');
	buf_addc(&b, '1');
	struct json j;
	cr_assert_eq(json_parse(&a, buf_str(&b), NULL, &j, NULL), 0);
	cr_expect(json_double(&j, 0) == 1.0000000000000002);
	buf_fini(&b);
	arena_fini(&a);
}

Test(json, the_stack_tells_the_path_of_the_next_value)
{
	struct arena a = { 0 };
	struct json_stack s;
	json_stack_init(&s, &a, NULL);
	struct buf path = { 0 };
	cr_assert_eq(json_stack_open(&s, JSON_OBJECT, NULL), 0);
	json_stack_key(&s, STR("spec"));
	cr_assert_eq(json_stack_open(&s, JSON_ARRAY, NULL), 0);
	cr_assert_eq(json_stack_push(&s, json_of_i64(1), NULL), 0);
	cr_assert_eq(json_stack_open(&s, JSON_OBJECT, NULL), 0);
	json_stack_key(&s, STR("x"));
	cr_expect(json_stack_after_key(&s));
	json_stack_path(&s, &path);
	cr_expect_str_eq(buf_cstr(&path), "spec[1].x");
	cr_assert_eq(json_stack_push(&s, json_of_bool(true), NULL), 0);
	json_stack_close(&s);
	json_stack_close(&s);
	json_stack_close(&s);
	cr_expect_str_eq(compact(&a, &s.v[0]), "{\"spec\":[1,{\"x\":true}]}");
	json_stack_fini(&s);
	buf_fini(&path);
	arena_fini(&a);
}

static bool accepted(const char *dir, const char *name)
{
	struct buf path = { 0 };
	buf_addf(&path, "%s/%s", dir, name);
	FILE *f = fopen(buf_cstr(&path), "rbe");
	cr_assert_not_null(f, "%s", name);
	buf_fini(&path);
	struct buf text = { 0 };
	buf_reserve(&text, 1 << 20);
	text.len = fread(text.p, 1, 1 << 20, f);
	(void)fclose(f);
	struct arena a = { 0 };
	struct json_limits l = JSON_LIMITS;
	l.depth_max = 1000;
	struct json j;
	bool ok = json_parse(&a, buf_str(&text), &l, &j, NULL) == 0;
	if (ok) {
		struct json again;
		struct str out = json_text(&a, &j);
		cr_expect_eq(json_parse(&a, out, &l, &again, NULL), 0, "%s", name);
		cr_expect(json_equal(&j, &again), "%s", name);
	}
	arena_fini(&a);
	buf_fini(&text);
	return ok;
}

Test(json, reaches_the_verdicts_of_the_public_test_suite)
{
	const char *data = getenv("RCTL_TEST_DATA");
	const char *src = getenv("RCTL_SRC");
	char dir[500];
	(void)snprintf(dir, sizeof(dir), "%s%s/JSONTestSuite/test_parsing",
		       data  ? data
		       : src ? src
			     : ".",
		       data ? "" : "/../shared/data");
	DIR *d = opendir(dir);
	if (!d) {
		cr_skip_test("%s is absent", dir);
		return;
	}
	size_t judged = 0;
	for (const struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		bool ok = accepted(dir, e->d_name);
		if (e->d_name[0] == 'y' || e->d_name[0] == 'n') {
			judged++;
			cr_expect_eq(ok, e->d_name[0] == 'y', "%s", e->d_name);
		}
	}
	(void)closedir(d);
	cr_expect_gt(judged, 280);
}
