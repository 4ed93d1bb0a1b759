#include "regex/regex.h"

#include <criterion/criterion.h>

#include <pthread.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int matches(const char *pattern, enum regex_mode mode, struct str text)
{
	struct error err = { 0 };
	struct regex *re = regex_compile(str_of(pattern), mode, &err);
	cr_assert_not_null(re, "%s: %s", pattern, err.msg);
	int rc = regex_match(re, text);
	regex_free(re);
	return rc;
}

Test(regex, full_and_search_modes_mean_what_prometheus_means)
{
	static const struct {
		const char *pattern, *text;
		int full, search;
	} rows[] = {
		{ "", "", 1, 1 },
		{ "", "a", 0, 1 },
		{ "a|ab", "ab", 1, 1 },
		{ "web-.*", "web-1\nx", 1, 1 },
		{ "a$", "a\n", 0, 0 },
		{ "(?m)a$", "a\n", 0, 1 },
		{ "^a", "ba", 0, 0 },
		{ "(?i)ABC", "abc", 1, 1 },
		{ "[[:alpha:]_]+", "ab_", 1, 1 },
		{ "[]a]+", "a]", 1, 1 },
		{ "[^]a]+", "a]", 0, 0 },
		{ "[a[.]+", "[.a", 1, 1 },
		{ "\\d{2,}", "12", 1, 1 },
		{ "a{,2}", "a{,2}", 1, 1 },
		{ "a{x", "a{x", 1, 1 },
		{ "\\Qa.b\\E+", "a.bb", 1, 1 },
		{ "\\s", "\v", 0, 0 },
		{ "[\\s]", " ", 1, 1 },
		{ "\\S", "\v", 1, 1 },
		{ "\\v", "\n", 0, 0 },
		{ "\\v", "\v", 1, 1 },
		{ "\\x{e9}.", "é€", 1, 1 },
		{ "\\p{Greek}+", "αβ", 1, 1 },
		{ "\\bfoo\\b", "a foo b", 0, 1 },
		{ "(?P<x>a)(?<y>b)(?:c)(?i:D)", "abcd", 1, 1 },
		{ "(?U)a+", "aa", 1, 1 },
		{ "(|a)*", "aaa", 1, 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str text = str_of(rows[i].text);
		cr_expect_eq(matches(rows[i].pattern, REGEX_FULL, text), rows[i].full, "full %s",
			     rows[i].pattern);
		cr_expect_eq(matches(rows[i].pattern, REGEX_SEARCH, text), rows[i].search,
			     "search %s", rows[i].pattern);
	}
	cr_expect_eq(matches(".*", REGEX_FULL, STR("\xFF")), 0, "not UTF-8");
	cr_expect_eq(matches(".*", REGEX_FULL, STR_NONE), 1);
	cr_expect_eq(matches("a.b", REGEX_FULL, STR("a\0b")), 1);
}

Test(regex, what_re2_does_not_know_is_refused)
{
	static const char *const bad[] = {
		"(a)\\1",
		"(?P<n>a)(?P=n)",
		"\\k<n>",
		"\\g1",
		"(?=a)",
		"(?!a)",
		"(?<=a)",
		"(?<!a)",
		"(?>a)",
		"a++",
		"a*+",
		"a?+",
		"a{2}+",
		"a**",
		"(?R)",
		"(?1)",
		"(?&n)",
		"(?(1)a|b)",
		"(?#c)",
		"(*FAIL)",
		"(*UTF)a",
		"\\K",
		"\\R",
		"\\X",
		"\\C",
		"\\G",
		"\\Z",
		"\\h",
		"(?x)a b",
		"(?'n'a)",
		"(",
		")",
		"[a",
		"a\\",
		"*",
		"a|*",
		"(+a)",
		"[z-a]",
		"\\p{Nope}",
		"(?C)a",
		"(?|a|b)",
		"(?^)a",
		"\xFF",
		"(?)",
		"(?P<n>a)(?P<n>b)",
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error err = { 0 };
		struct regex *re = regex_compile(str_of(bad[i]), REGEX_SEARCH, &err);
		cr_expect_null(re, "%s", bad[i]);
		cr_expect_eq(err.code, ERR_BAD_REQUEST, "%s", bad[i]);
		regex_free(re);
	}
	static char longest[REGEX_PATTERN_MAX + 1];
	memset(longest, 'a', sizeof(longest));
	cr_expect_null(regex_compile(str_n(longest, sizeof(longest)), REGEX_FULL, NULL));
}

Test(regex, a_hostile_expression_gives_up)
{
	struct regex *re = regex_compile(STR("(a+)+[b-z]{2}"), REGEX_FULL, NULL);
	cr_assert_not_null(re);
	char text[64];
	memset(text, 'a', sizeof(text));
	text[63] = 'c';
	cr_expect_eq(regex_match(re, str_n(text, sizeof(text))), ERR_LIMIT);
	regex_free(re);
}

Test(regex, groups_are_read_and_expanded)
{
	struct regex *re = regex_compile(STR("(?P<host>[^:]+):(\\d+)(/.*)?"), REGEX_FULL, NULL);
	cr_assert_not_null(re);
	struct str g[REGEX_GROUPS_MAX];
	cr_assert_eq(regex_exec(re, STR("web:80"), 0, g, REGEX_GROUPS_MAX), 1);
	cr_expect_eq(regex_groups(re), 3);
	cr_expect_eq(regex_group_index(re, STR("host")), 1);
	cr_expect_eq(regex_group_index(re, STR("nope")), -1);
	cr_expect(str_is(g[0], "web:80") && str_is(g[1], "web") && str_is(g[2], "80") && !g[3].p &&
		  !g[4].p);
	static const struct {
		const char *tmpl, *out;
	} rows[] = {
		{ "$1", "web" },        { "${1}x", "webx" },
		{ "$1x", "" },          { "$host:$2", "web:80" },
		{ "${host}", "web" },   { "$$1", "$1" },
		{ "$", "$" },           { "${1", "${1" },
		{ "a$3b", "a" },        { "$0", "web:80" },
		{ "$99999999999", "" }, { "$1-$2", "web-80" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };
		regex_expand(re, str_of(rows[i].tmpl), g, REGEX_GROUPS_MAX, &out);
		cr_expect_str_eq(buf_cstr(&out), rows[i].out, "%s", rows[i].tmpl);
		buf_fini(&out);
	}
	regex_free(re);
}

Test(regex, replacing_finds_every_match_once)
{
	static const struct {
		const char *pattern, *text, *tmpl, *out;
		int any;
	} rows[] = {
		{ "a", "banana", "<$0>", "b<a>n<a>n<a>", 1 },
		{ "x", "banana", "y", "banana", 0 },
		{ "a*", "baac", "-", "-b-c-", 1 },
		{ "", "é€", ".", ".é.€.", 1 },
		{ "(\\w+) (\\w+)", "ab cd ef gh", "$2 $1", "cd ab gh ef", 1 },
		{ "", "", "x", "x", 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct regex *re = regex_compile(str_of(rows[i].pattern), REGEX_SEARCH, NULL);
		struct buf out = { 0 };
		cr_expect_eq(
			regex_replace_all(re, str_of(rows[i].text), str_of(rows[i].tmpl), &out),
			rows[i].any);
		cr_expect_str_eq(buf_cstr(&out), rows[i].out, "%s", rows[i].pattern);
		buf_fini(&out);
		regex_free(re);
	}
	struct buf quoted = { 0 };
	regex_quote(&quoted, STR("a.b*[c]"));
	cr_expect_str_eq(buf_cstr(&quoted), "a\\.b\\*\\[c\\]");
	buf_fini(&quoted);
}

static void *hammer(void *arg)
{
	const struct regex *re = arg;
	intptr_t hits = 0;
	for (int i = 0; i < 2000; i++)
		hits += regex_match(re, i % 2 ? STR("web-17") : STR("db-17"));
	return (void *)hits;
}

Test(regex, one_expression_serves_many_threads)
{
	struct regex *re = regex_compile(STR("web-[0-9]+"), REGEX_FULL, NULL);
	pthread_t t[4];
	for (size_t i = 0; i < COUNT(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, hammer, re), 0);
	for (size_t i = 0; i < COUNT(t); i++) {
		void *hits = NULL;
		cr_assert_eq(pthread_join(t[i], &hits), 0);
		cr_expect_eq((intptr_t)hits, 1000);
	}
	regex_free(re);
}
