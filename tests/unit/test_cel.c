#include "cel/cel.h"

#include <criterion/criterion.h>

#include <stdio.h>

static const char *const vars[] = { "self", "oldSelf" };

static const char document[] = "{\"n\":3,\"d\":2.5,\"s\":\"Hello\",\"e\":\"\",\"b\":true,\"nil\":"
			       "null,\"big\":9223372036854775807,"
			       "\"l\":[1,2,3],\"w\":[\"a\",\"b\",\"c\"],\"m\":{\"k\":\"v\",\"x-y\":"
			       "1,\"namespace\":2,\"a.b\":3,"
			       "\"a__b\":4},\"o\":[{\"name\":\"x\",\"port\":1},{\"name\":\"y\","
			       "\"port\":2}],\"u\":\"\\u00e4b\","
			       "\"q\":\"1500m\",\"t\":\"2024-02-03T04:05:06.789Z\"}";

static const struct {
	const char *expr, *want; /* text of the value, or !error */
} cases[] = {
	/* literals and operators */
	{ "1 + 2 * 3", "7" },
	{ "(1 + 2) * 3", "9" },
	{ "-7 / 2", "-3" },
	{ "-7 % 2", "-1" },
	{ "7.0 / 2.0", "3.5" },
	{ "1 + 0.5", "1.5" },
	{ "0x1F", "31" },
	{ "2u + 3u", "5" },
	{ "1e3", "1000" },
	{ "9223372036854775807 + 1", "!integer overflow" },
	{ "-9223372036854775808 - 1", "!integer overflow" },
	{ "-9223372036854775808", "-9223372036854775808" },
	{ "1 / 0", "!divide by zero" },
	{ "1 % 0", "!modulus by zero" },
	{ "'a' + \"b\"", "ab" },
	{ "r'\\d' + '\\x41\\u00e4\\n'", "\\dA\xc3\xa4\n" },
	{ "'''a'b''' == \"a'b\"", "true" },
	{ "b'ab' == bytes('ab')", "true" },
	{ "1 == 1.0 && 1u == 1", "true" },
	{ "1 == '1'", "false" },
	{ "[1, 2] == [1, 2.0] && {'a': 1} == {'a': 1} && [1] != [2]", "true" },
	{ "[1] + [2, 3] == self.l", "true" },
	{ "'a' < 'b' && 2 > 1.5 && true > false", "true" },
	{ "'a' < 1", "!no such overload" },
	{ "!true || false", "false" },
	{ "!!true", "true" },
	{ "--3", "3" },
	{ "self.b ? 'yes' : 'no'", "yes" },
	{ "false ? 1 : true ? 2 : 3", "2" },
	{ "2 in self.l && !('z' in self.w) && 'k' in self.m", "true" },
	{ "null == self.nil", "true" },
	{ "1 // comment\n + 1", "2" },
	/* errors are forgiven on one side */
	{ "self.none || true", "true" },
	{ "true || self.none", "true" },
	{ "self.none && false", "false" },
	{ "self.none || false", "!no such key: none" },
	{ "self.n || true", "true" },
	{ "self.n && true", "!no such overload" },
	/* members */
	{ "self.m.k + self['s']", "vHello" },
	{ "self.m.x__dash__y + self.m.__namespace__ + self.m.a__dot__b + self.m.a__underscores__b",
	  "10" },
	{ "has(self.m.k) && !has(self.m.z)", "true" },
	{ "has(self.z.k)", "!no such key: z" },
	{ "self.l[2]", "3" },
	{ "self.l[3]", "!index out of bounds: 3" },
	{ "self.l[-1]", "!index out of bounds" },
	{ "{1: 'a', 'b': 2}[1]", "a" },
	{ "self.?none.orValue(5) + self.?n.orValue(5)", "8" },
	{ "self.?m.k.hasValue() && !self.m.?z.y.hasValue()", "true" },
	{ "self.w[?1].value() + self.w[?9].orValue('-')", "b-" },
	{ "optional.of(3).value() == 3 && !optional.none().hasValue()", "true" },
	/* macros */
	{ "self.l.all(x, x > 0)", "true" },
	{ "self.l.exists(x, x == 2)", "true" },
	{ "self.l.exists_one(x, x > 2) && !self.l.exists_one(x, x > 1)", "true" },
	{ "self.l.map(x, x * 2) == [2, 4, 6]", "true" },
	{ "self.l.map(x, x > 1, x * 2) == [4, 6]", "true" },
	{ "self.l.filter(x, x % 2 == 1).size()", "2" },
	{ "self.m.all(k, k.size() > 0)", "true" },
	{ "self.o.all(a, self.o.exists_one(b, b.name == a.name))", "true" },
	{ "self.o.map(x, x.port).sum()", "3" },
	{ "self.l.all(x, x.y)", "!no such overload" },
	{ "self.l.exists(x, x / (x - 1) == 2)", "true" },
	{ "[].all(x, false) && ![].exists(x, true)", "true" },
	/* strings */
	{ "size(self.s) == 5 && self.u.size() == 2", "true" },
	{ "self.s.startsWith('He') && self.s.endsWith('lo') && self.s.contains('ell')", "true" },
	{ "self.s.matches('^H.*o$') && !self.s.matches('^x') && matches('ab', 'b')", "true" },
	{ "'a,b,,c'.split(',').size()", "4" },
	{ "'a,b,c'.split(',', 2)[1]", "b,c" },
	{ "'abc'.split('').join('-')", "a-b-c" },
	{ "self.w.join(', ')", "a, b, c" },
	{ "self.s.lowerAscii() + self.s.upperAscii()", "helloHELLO" },
	{ "' a '.trim()", "a" },
	{ "'aXbX'.replace('X', '--') + 'aXbX'.replace('X', '', 1)", "a--b--abX" },
	{ "self.u.substring(1) + self.s.substring(1, 3) + self.u.charAt(0)", "bel\xc3\xa4" },
	{ "'a'.substring(2)", "!index out of range" },
	{ "'hello'.indexOf('l') * 10 + 'hello'.lastIndexOf('l')", "23" },
	{ "'abc 123'.find('[0-9]+') + string('a1b2'.findAll('[0-9]').size())", "1232" },
	{ "'%s is %d%%'.format(['x', 5])", "x is 5%" },
	{ "'abc'.reverse()", "cba" },
	/* lists and sets */
	{ "self.l.isSorted() && self.l.min() == 1 && self.l.max() == 3", "true" },
	{ "self.w.indexOf('c')", "2" },
	{ "sets.contains(self.l, [1]) && sets.intersects([1], self.l) && !sets.equivalent([1], "
	  "self.l)",
	  "true" },
	{ "math.greatest(1, 5, 3) - math.least([4, 2])", "3" },
	/* conversions */
	{ "int('12') + int(2.9) + int(3u)", "17" },
	{ "int('x')", "!type conversion error" },
	{ "double('1.5') + double(1)", "2.5" },
	{ "string(1) + string(true) + string(1.5)", "1true1.5" },
	{ "type(1) == int && type('a') == string && type([]) == list", "true" },
	{ "bool('true') && dyn(true)", "true" },
	/* quantities and times */
	{ "quantity(self.q).isLessThan(quantity('2')) && isQuantity('1Gi') && !isQuantity('x')",
	  "true" },
	{ "quantity('1Gi').compareTo(quantity('1024Mi'))", "0" },
	{ "quantity('1').add(quantity('500m')) == quantity('1500m')", "true" },
	{ "duration('1h') > duration('59m') && duration('90s').getMinutes() == 1", "true" },
	{ "timestamp(self.t).getFullYear() * 100 + timestamp(self.t).getHours()", "202404" },
	{ "timestamp(self.t) - timestamp('2024-02-03T04:05:06Z') < duration('1s')", "true" },
	{ "timestamp('x')", "!type conversion error" },
	/* the state before */
	{ "self.n >= oldSelf.n", "true" },
};

static const char *text_of(struct arena *a, const struct cel_value *v)
{
	switch ((int)v->type) {
	case CEL_BOOL:
		return v->b ? "true" : "false";
	case CEL_INT:
		return arena_printf(a, "%lld", (long long)v->i);
	case CEL_UINT:
		return arena_printf(a, "%llu", (unsigned long long)v->u);
	case CEL_DOUBLE:
		return arena_printf(a, "%g", v->d);
	case CEL_STRING:
		return arena_str(a, v->s).p;
	default:
		return "?";
	}
}

Test(cel, expressions_have_the_values_of_the_language)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena a = { 0 };
		struct json self = { 0 }, old = { 0 };
		struct error err = { 0 };
		struct cel *c = NULL;
		struct cel_value v = { 0 };
		uint64_t budget = 100000;
		cr_assert(json_parse(&a, str_of(document), NULL, &self, NULL) == 0);
		cr_assert(json_parse(&a, STR("{\"n\":2}"), NULL, &old, NULL) == 0);
		struct cel_value values[] = { cel_of_json(&self), cel_of_json(&old) };
		cr_assert(cel_compile(&a, str_of(cases[i].expr), vars, 2, &c, &err) == 0, "%s: %s",
			  cases[i].expr, err.msg);
		int rc = cel_eval(c, &a, values, &budget, &v, &err);
		if (cases[i].want[0] == '!')
			cr_expect(rc == ERR_INVALID && strstr(err.msg, cases[i].want + 1),
				  "%s: %d %s", cases[i].expr, rc, err.msg);
		else
			cr_expect(rc == 0 && strcmp(text_of(&a, &v), cases[i].want) == 0,
				  "%s: %s%s", cases[i].expr, rc ? err.msg : "",
				  rc ? "" : text_of(&a, &v));
		cel_fini(c);
		arena_fini(&a);
	}
}

Test(cel, wrong_expressions_are_refused_with_their_place)
{
	static const struct {
		const char *expr, *msg;
	} wrong[] = {
		{ "", "<input>:1:1: Syntax error" },
		{ "self.", "expecting a name" },
		{ "1 +", "Syntax error" },
		{ "(1", "expecting ')'" },
		{ "1 2", "extraneous input" },
		{ "'a", "token recognition" },
		{ "'\\q'", "token recognition" },
		{ "self = 1", "token recognition" },
		{ "self & 1", "token recognition" },
		{ "x.y", "undeclared reference to 'x'" },
		{ "foo(1)", "undeclared reference to 'foo'" },
		{ "self.foo()", "undeclared reference to 'foo'" },
		{ "self.startsWith()", "undeclared reference to 'startsWith'" },
		{ "has(self)", "invalid argument to has()" },
		{ "self.all(1, true)", "argument must be a simple name" },
		{ "self.all(x)", "expecting ','" },
		{ "self.l.all(x, true) && x", "undeclared reference to 'x'" },
		{ "self.s.matches('(')", "invalid matches argument" },
		{ "99999999999999999999", "invalid int literal" },
		{ "1\n+\n  $", "<input>:3:3" },
		{ "-!1", "cannot be mixed" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error err = { 0 };
		struct cel *c = NULL;
		int rc = cel_compile(&a, str_of(wrong[i].expr), vars, 2, &c, &err);
		cr_expect(rc == ERR_BAD_REQUEST && strstr(err.msg, wrong[i].msg), "%s: %d %s",
			  wrong[i].expr, rc, err.msg);
	}
	struct buf deep = { 0 };
	for (int i = 0; i < 1000; i++)
		buf_addc(&deep, '(');
	struct cel *c = NULL;
	cr_expect(cel_compile(&a, buf_str(&deep), vars, 2, &c, NULL) == ERR_BAD_REQUEST);
	buf_clear(&deep);
	for (int i = 0; i < 1000; i++)
		buf_adds(&deep, "1+");
	buf_addc(&deep, '1');
	cr_expect(cel_compile(&a, buf_str(&deep), vars, 2, &c, NULL) == ERR_BAD_REQUEST);
	buf_fini(&deep);
	arena_fini(&a);
}

Test(cel, an_evaluation_ends_when_its_budget_is_spent)
{
	static const char *const hungry[] = {
		"self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a + b + c + d >= 0))))",
		"self.l.map(x, self.l.map(y, self.l.map(z, [x, y, z]))).size() > 0",
		"self.l.map(x, self.s + self.s).map(x, x + x + x + x).join(self.s).size() > 0",
		"self.l.all(x, self.s.matches(self.s + 'a'))",
	};
	struct arena a = { 0 };
	struct json doc = json_object(), list = json_array();
	struct buf text = { 0 };
	for (int i = 0; i < 500; i++)
		json_push(&a, &list, json_of_i64(i));
	for (int i = 0; i < 2000; i++)
		buf_addc(&text, 'a');
	json_setc(&a, &doc, "l", list);
	json_setc(&a, &doc, "s", json_of_str(buf_str(&text)));
	struct cel_value values[] = { cel_of_json(&doc), cel_of_json(&doc) }, v;
	for (size_t i = 0; i < sizeof(hungry) / sizeof(hungry[0]); i++) {
		struct error err = { 0 };
		struct cel *c = NULL;
		uint64_t budget = 20000;
		cr_assert(cel_compile(&a, str_of(hungry[i]), vars, 2, &c, &err) == 0, "%s",
			  err.msg);
		cr_expect(cel_eval(c, &a, values, &budget, &v, &err) == ERR_LIMIT, "%s", hungry[i]);
		cr_expect(budget == 0);
		cel_fini(c);
	}
	cr_expect(a.total < 8U << 20, "memory is bounded by the budget: %zu", a.total);
	buf_fini(&text);
	arena_fini(&a);
}

Test(cel, an_expression_knows_which_variables_it_uses)
{
	struct arena a = { 0 };
	struct cel *c = NULL;
	cr_assert(cel_compile(&a, STR("[1].all(self, self > 0)"), vars, 2, &c, NULL) == 0);
	cr_expect(!cel_uses(c, 0) && !cel_uses(c, 1));
	cr_assert(cel_compile(&a, STR("self == oldSelf"), vars, 2, &c, NULL) == 0);
	cr_expect(cel_uses(c, 0) && cel_uses(c, 1));
	arena_fini(&a);
}
