#include "base/mem.h"
#include "telemetry/promql.h"
#include "text/duration.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>

/* ---- a source of data in memory ---- */

struct serie {
	struct labels labels;
	struct sample *v;
	size_t len, cap;
};

struct bed {
	struct arena arena;
	struct serie series[400];
	size_t len;
	struct str histograms[64]; /* metrics that are left out */
	size_t histograms_len;
};

static int bed_select(void *arg, const struct matcher *m, size_t n,
		      int (*fn)(void *fn_arg, const struct promql_series *s, struct error *err),
		      void *fn_arg, struct error *err)
{
	struct bed *b = arg;
	int rc = 0;
	for (size_t i = 0; !rc && i < b->len; i++) {
		const struct promql_series s = { b->series[i].labels, &b->series[i] };
		if (matcher_all(m, n, s.labels))
			rc = fn(fn_arg, &s, err);
	}
	return rc;
}

static int bed_read(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		    struct promql_samples *out, struct error *err)
{
	const struct serie *x = s->handle;
	(void)arg;
	(void)err;
	for (size_t i = 0; i < x->len; i++) {
		if (x->v[i].t_ms <= min_ms || x->v[i].t_ms > max_ms)
			continue;
		mem_grow(out->v, out->len, out->cap);
		out->v[out->len++] = x->v[i];
	}
	return 0;
}

static int bed_last(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		    struct sample *ret, struct error *err)
{
	struct promql_samples all = { 0 };
	(void)bed_read(arg, s, min_ms, max_ms, &all, err);
	if (all.len)
		*ret = all.v[all.len - 1];
	mem_free(all.v);
	return all.len > 0;
}

static void bed_clear(struct bed *b)
{
	for (size_t i = 0; i < b->len; i++)
		mem_free(b->series[i].v);
	arena_fini(&b->arena);
	memset(b, 0, sizeof(*b));
}

static struct serie *bed_serie(struct bed *b, struct labels l)
{
	for (size_t i = 0; i < b->len; i++)
		if (labels_equal(b->series[i].labels, l))
			return &b->series[i];
	cr_assert_lt(b->len, 400u);
	b->series[b->len].labels = l;
	return &b->series[b->len++];
}

static void serie_add(struct serie *s, int64_t t_ms, double v)
{
	mem_grow(s->v, s->len, s->cap);
	s->v[s->len++] = (struct sample){ t_ms, v };
}

/* up{a="b"} of a test line, through the parser of selectors. */
static bool read_metric(struct arena *a, struct str text, struct labels *ret)
{
	struct promql *q = NULL;
	const struct matcher *m;
	size_t n = 0;
	if (str_is(text, "{}")) {
		*ret = (struct labels){ 0 };
		return true;
	}
	if (promql_parse(text, &q, NULL) != 0)
		return false;
	bool good = promql_selector(q, &m, &n, NULL) == 0;
	struct label *v = arena_new(a, struct label, n + 1);
	for (size_t i = 0; good && i < n; i++)
		v[i] = (struct label){ arena_str(a, m[i].name), arena_str(a, m[i].value) };
	promql_free(q);
	*ret = (struct labels){ v, n };
	return good && labels_check(v, &ret->len, SIZE_MAX, NULL) == 0;
}

/* ---- the language's own table ---- */

static const struct {
	const char *text, *want; /* the tree printed, or the error */
} PARSE[] = {
	{ "1", "1" },
	{ "0x1F", "31" },
	{ "1e3", "1000" },
	{ ".5", "0.5" },
	{ "+Inf", "+Inf" },
	{ "-1", "-(1)" },
	{ "'a\\'b\\x41\\u00e4\\101'", "\"a'bAäA\"" },
	{ "`a\\n`", "\"a\\\\n\"" },
	{ "up", "{__name__=\"up\"}" },
	{ "up{a='x',b!=\"y\",c=~\"z.*\",d!~'w',}",
	  "{__name__=\"up\",a=\"x\",b!=\"y\",c=~\"z.*\",d!~\"w\"}" },
	{ "{'up', a=\"x\"}", "{__name__=\"up\",a=\"x\"}" },
	{ "up[5m]", "{__name__=\"up\"}[5m]" },
	{ "up[1h30m] offset 1d", "{__name__=\"up\"}[1h30m] offset 1d" },
	{ "up offset -5m", "{__name__=\"up\"} offset -5m" },
	{ "up # comment\n > 1", "({__name__=\"up\"} > 1)" },
	{ "1 + 2 * 3 ^ 4 ^ 5 - 6", "((1 + (2 * (3 ^ (4 ^ 5)))) - 6)" },
	{ "-2 ^ 2", "-((2 ^ 2))" },
	{ "2 ^ -1", "(2 ^ -(1))" },
	{ "a or b and c unless d", "({__name__=\"a\"} or (({__name__=\"b\"} and {__name__=\"c\"}) "
				   "unless {__name__=\"d\"}))" },
	{ "a > bool 1", "({__name__=\"a\"} > bool 1)" },
	{ "a == on(x, y) group_left(z) b",
	  "({__name__=\"a\"} == on (x, y) group_left (z) {__name__=\"b\"})" },
	{ "a / ignoring() b", "({__name__=\"a\"} / ignoring () {__name__=\"b\"})" },
	{ "sum(a)", "sum by () ({__name__=\"a\"})" },
	{ "SUM by (x) (a)", "sum by (x) ({__name__=\"a\"})" },
	{ "sum(a) without (x)", "sum without (x) ({__name__=\"a\"})" },
	{ "topk(3, a)", "topk by () (3, {__name__=\"a\"})" },
	{ "rate(a[5m])", "rate({__name__=\"a\"}[5m])" },
	{ "sum", "{__name__=\"sum\"}" }, /* words of the language are names where they can be */
	{ "avg{by='x'}", "{__name__=\"avg\",by=\"x\"}" },
	{ "a:b:c", "{__name__=\"a:b:c\"}" },
	{ "", "unknown position: parse error: no expression found in input" },
	{ "1 +", "1:4: parse error: unexpected end of input" },
	{ "1 2", "1:3: parse error: unexpected 2" },
	{ "(1", "1:3: parse error: unexpected end of input in paren expression" },
	{ "a{", "1:3: parse error: unexpected end of input in label matching, expected identifier "
		"or \"}\"" },
	{ "a{b}",
	  "1:4: parse error: unexpected } in label matching, expected label matching operator" },
	{ "a{b=c}", "1:5: parse error: unexpected c in label matching, expected string" },
	{ "a{b=~'('}", NULL },
	{ "{}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
	{ "{a=~'.*'}",
	  "1:1: parse error: vector selector must contain at least one non-empty matcher" },
	{ "a{__name__='b'}", "1:1: parse error: metric name must not be set twice" },
	{ "'abc", "1:1: parse error: unterminated quoted string" },
	{ "'\\q'", "1:3: parse error: unknown escape sequence" },
	{ "a[5m:1m]", "1:5: parse error: subqueries are not supported" },
	{ "a @ 1", "1:3: parse error: the @ modifier is not supported" },
	{ "a[0s]", "1:2: parse error: duration must be greater than 0" },
	{ "1[5m]", "1:2: parse error: ranges only allowed for vector selectors" },
	{ "rate(a)", "1:6: parse error: expected type range vector in call to function \"rate\", "
		     "got instant vector" },
	{ "rate(a[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2" },
	{ "nope(a)", "1:1: parse error: unknown function with name \"nope\"" },
	{ "sum(1)",
	  "1:5: parse error: expected type instant vector in aggregation expression, got scalar" },
	{ "1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier" },
	{ "1 and a",
	  "1:3: parse error: set operator \"and\" not allowed in binary scalar expression" },
	{ "a + bool b",
	  "1:5: parse error: bool modifier can only be used on comparison operators" },
	{ "a and on() group_left b",
	  "1:12: parse error: no grouping allowed for \"and\" operation" },
	{ "a[5m] + 1",
	  "1:1: parse error: binary expression must contain only scalar and instant vector types" },
	{ "a\n+ $", "2:3: parse error: unexpected character: '$'" },
	{ "1h", "1:1: parse error: unexpected 1h" },
	{ "5mm", "1:1: parse error: bad number or duration syntax: \"5mm\"" },
};

Test(promql, parses_to_the_tree_of_prometheus_or_says_where_it_cannot)
{
	for (size_t i = 0; i < sizeof(PARSE) / sizeof(PARSE[0]); i++) {
		struct promql *q = NULL;
		struct error err = { 0 };
		struct buf b = { 0 };
		if (promql_parse(str_of(PARSE[i].text), &q, &err) == 0)
			promql_print(q, &b);
		else
			buf_adds(&b, err.msg);
		if (PARSE[i].want)
			cr_assert_str_eq(buf_cstr(&b), PARSE[i].want, "%s", PARSE[i].text);
		else
			cr_assert_eq(err.code, ERR_BAD_REQUEST);
		buf_fini(&b);
		promql_free(q);
	}
}

Test(promql, depth_and_length_have_their_limits)
{
	struct buf b = { 0 };
	struct promql *q = NULL;
	for (int i = 0; i < 5000; i++)
		buf_addc(&b, '(');
	cr_assert_eq(promql_parse(buf_str(&b), &q, NULL), ERR_BAD_REQUEST);
	buf_clear(&b);
	for (int i = 0; i < 5000; i++)
		buf_addc(&b, '-');
	cr_assert_eq(promql_parse(buf_str(&b), &q, NULL), ERR_BAD_REQUEST);
	buf_clear(&b);
	for (int i = 0; i < 8000; i++)
		buf_adds(&b, "1+");
	buf_addc(&b, '1');
	cr_assert_eq(promql_parse(buf_str(&b), &q, NULL), ERR_BAD_REQUEST);
	buf_fini(&b);
}

/* ---- evaluation: a table of our own ---- */

static void load_own(struct bed *b)
{
	static const struct {
		const char *metric;
		double first, step;
	} rows[] = {
		{ "up{node=\"n1\",zone=\"a\"}", 1, 0 },
		{ "up{node=\"n2\",zone=\"a\"}", 0, 0 },
		{ "up{node=\"n3\",zone=\"b\"}", 1, 0 },
		{ "reqs_total{node=\"n1\",zone=\"a\"}", 0, 15 },
		{ "reqs_total{node=\"n2\",zone=\"a\"}", 100, 30 },
		{ "temp{node=\"n1\"}", -5, 0.5 },
		{ "info{node=\"n1\",version=\"1.2\"}", 1, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct labels l;
		cr_assert(read_metric(&b->arena, str_of(rows[i].metric), &l));
		struct serie *s = bed_serie(b, l);
		for (int k = 0; k <= 40; k++) /* 10 minutes, each 15 s */
			serie_add(s, 1000000 + k * 15000, rows[i].first + k * rows[i].step);
	}
}

/* At the time of the last sample, 1600 s. */
static const struct {
	const char *query, *want;
} EVAL[] = {
	{ "up == 0", "[{\"metric\":{\"__name__\":\"up\",\"node\":\"n2\",\"zone\":\"a\"},\"value\":["
		     "1600,\"0\"]}]" },
	{ "up == bool 0 > 0",
	  "[{\"metric\":{\"node\":\"n2\",\"zone\":\"a\"},\"value\":[1600,\"1\"]}]" },
	{ "count(up == 1)", "[{\"metric\":{},\"value\":[1600,\"2\"]}]" },
	{ "sum by (zone) (up) > 1", "[]" },
	{ "max by (zone) (up{zone=~\"b|c\"})",
	  "[{\"metric\":{\"zone\":\"b\"},\"value\":[1600,\"1\"]}]" },
	{ "avg(up)", "[{\"metric\":{},\"value\":[1600,\"0.6666666666666666\"]}]" },
	{ "rate(reqs_total{node=\"n1\"}[5m])",
	  "[{\"metric\":{\"node\":\"n1\",\"zone\":\"a\"},\"value\":[1600,\"1\"]}]" },
	{ "increase(reqs_total{node=\"n2\"}[1m])",
	  "[{\"metric\":{\"node\":\"n2\",\"zone\":\"a\"},\"value\":[1600,\"120\"]}]" },
	{ "temp",
	  "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"value\":[1600,\"15\"]}]" },
	{ "temp offset 5m",
	  "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"value\":[1600,\"5\"]}]" },
	{ "min_over_time(temp[10m])",
	  "[{\"metric\":{\"node\":\"n1\"},\"value\":[1600,\"-4.5\"]}]" },
	{ "up * on (node) group_left (version) info",
	  "[{\"metric\":{\"node\":\"n1\",\"version\":\"1.2\",\"zone\":\"a\"},\"value\":[1600,\"1\"]"
	  "}]" },
	{ "up{node=\"n1\"} and on (node) info", "[{\"metric\":{\"__name__\":\"up\",\"node\":\"n1\","
						"\"zone\":\"a\"},\"value\":[1600,\"1\"]}]" },
	{ "count(up unless on (node) info)", "[{\"metric\":{},\"value\":[1600,\"2\"]}]" },
	{ "absent(nope{a=\"b\"})", "[{\"metric\":{\"a\":\"b\"},\"value\":[1600,\"1\"]}]" },
	{ "absent(up)", "[]" },
	{ "1 / 0", "[1600,\"+Inf\"]" },
	{ "time()", "[1600,\"1600\"]" },
	{ "scalar(temp) + 0.5", "[1600,\"15.5\"]" },
	{ "temp[30s]", "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"values\":[[1585,"
		       "\"14.5\"],[1600,\"15\"]]}]" },
	{ "sum(up) by (node) / on () group_left sum(up)", NULL },
	{ "up + on (zone) up",
	  "error: found duplicate series for the match group on the right hand-side of the "
	  "operation: up{node=\"n2\", zone=\"a\"}; many-to-many matching not allowed: matching "
	  "labels must be unique on one side" },
	{ "vector(1) == 1", "[{\"metric\":{},\"value\":[1600,\"1\"]}]" },
	{ "clamp_max(temp, 3)", "[{\"metric\":{\"node\":\"n1\"},\"value\":[1600,\"3\"]}]" },
	{ "{__name__=~\"up|temp\",node=\"n1\"} * 2", NULL },
};

static int eval(struct bed *b, struct promql *q, int64_t at_ms, struct arena *a,
		struct promql_result *r, struct error *err)
{
	const struct promql_source src = { bed_select, bed_read, bed_last, b };
	const struct promql_limits limits = { 1000000, NULL, NULL };
	return promql_eval(q, at_ms, &src, &limits, a, r, err);
}

Test(promql, evaluates_what_alert_rules_ask)
{
	struct bed b = { 0 };
	load_own(&b);
	for (size_t i = 0; i < sizeof(EVAL) / sizeof(EVAL[0]); i++) {
		struct promql *q = NULL;
		struct arena a = { 0 };
		struct promql_result r;
		struct error err = { 0 };
		struct buf out = { 0 };
		cr_assert_eq(promql_parse(str_of(EVAL[i].query), &q, &err), 0, "%s", err.msg);
		if (eval(&b, q, 1600000, &a, &r, &err) == 0)
			promql_write_json(&r, &out);
		else
			buf_addf(&out, "\"result\":error: %s}", err.msg);
		struct str got = buf_str(&out);
		ptrdiff_t at = str_find_str(got, STR("\"result\":"), 0);
		got = str_sub(got, (size_t)at + 9, got.len - 1);
		if (EVAL[i].want)
			cr_assert(str_is(got, EVAL[i].want), "%s: %.*s", EVAL[i].query,
				  STR_ARG(got));
		buf_fini(&out);
		arena_fini(&a);
		promql_free(q);
	}
	bed_clear(&b);
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

Test(promql, limits_end_a_query)
{
	struct bed b = { 0 };
	struct promql *q = NULL;
	struct arena a = { 0 };
	struct promql_result r;
	struct error err = { 0 };
	const struct promql_source src = { bed_select, bed_read, bed_last, &b };
	struct promql_limits limits = { 100, NULL, NULL };
	load_own(&b);
	cr_assert_eq(promql_parse(STR("sum(count_over_time({node=~\".+\"}[1h]))"), &q, NULL), 0);
	cr_assert_eq(promql_eval(q, 1600000, &src, &limits, &a, &r, &err), ERR_LIMIT);
	limits = (struct promql_limits){ 1000000, always, NULL };
	cr_assert_eq(promql_eval(q, 1600000, &src, &limits, &a, &r, &err), ERR_TIMEOUT);
	promql_free(q);
	arena_fini(&a);
	bed_clear(&b);
}

Test(promql, a_series_is_gone_with_its_marker_or_after_five_minutes)
{
	struct bed b = { 0 };
	struct labels l;
	struct promql *q = NULL;
	static const struct {
		int64_t at_ms;
		size_t want;
	} rows[] = { { 9999, 0 },  { 10000, 1 }, { 19999, 1 },  { 20000, 0 },
		     { 29999, 0 }, { 30000, 1 }, { 329999, 1 }, { 330000, 0 } };
	cr_assert(read_metric(&b.arena, STR("m"), &l));
	struct serie *s = bed_serie(&b, l);
	serie_add(s, 10000, 1);
	serie_add(s, 20000, sample_stale());
	serie_add(s, 30000, 2);
	cr_assert_eq(promql_parse(STR("m"), &q, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a = { 0 };
		struct promql_result r;
		cr_assert_eq(eval(&b, q, rows[i].at_ms, &a, &r, NULL), 0);
		cr_assert_eq(r.len, rows[i].want, "at %lld", (long long)rows[i].at_ms);
		arena_fini(&a);
	}
	promql_free(q);
	bed_clear(&b);
}

/* ---- the tests of Prometheus itself, where they are ---- */

struct tally {
	size_t passed, unsupported, wrong;
};

static bool number_of(struct str s, double *ret)
{
	char text[64], *end = NULL;
	if (!s.len || s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	*ret = strtod(text, &end);
	return !*end;
}

/* One word of a load line: "0+10x5", "1", "_x3", "stale"; appends samples. */
static bool load_word(struct serie *s, struct str word, int64_t *t, int64_t step)
{
	struct str rest = word, head;
	double times = 0, first = 0, delta = 0;
	ptrdiff_t x = str_find(word, 'x', 0);
	if (x > 0) {
		if (!number_of(str_sub(word, (size_t)x + 1, word.len), &times))
			return false;
		rest = str_sub(word, 0, (size_t)x);
	}
	if (str_is(rest, "_")) {
		*t += step * (int64_t)(x > 0 ? times : 1);
		return true;
	}
	if (str_is(rest, "stale")) {
		serie_add(s, *t, sample_stale());
		*t += step;
		return true;
	}
	head = rest;
	for (size_t i = 1; x > 0 && i < rest.len; i++)
		if ((rest.p[i] == '+' || rest.p[i] == '-') && (rest.p[i - 1] | 32) != 'e') {
			head = str_sub(rest, 0, i);
			if (!number_of(str_sub(rest, i + (rest.p[i] == '+'), rest.len), &delta))
				return false;
			break;
		}
	if (!number_of(head, &first))
		return false;
	for (int i = 0; i <= (int)times; i++, *t += step)
		serie_add(s, *t, first + i * delta);
	return true;
}

/* Splits "metric{…} words" behind the metric. */
static struct str metric_of(struct str line, struct str *rest)
{
	size_t i = 0;
	char quote = 0;
	int depth = 0;
	for (; i < line.len; i++) {
		char c = line.p[i];
		if (quote) {
			i += c == '\\';
			quote = c == quote ? 0 : quote;
		} else if (c == '"' || c == '\'' || c == '`') {
			quote = c;
		} else {
			depth += (c == '{') - (c == '}');
			if ((c == ' ' || c == '\t') && depth == 0)
				break;
		}
	}
	*rest = str_trim(str_sub(line, i, line.len));
	return str_sub(line, 0, i);
}

static void load_line(struct bed *b, struct str line, int64_t step)
{
	struct str rest, word;
	struct labels l;
	struct str metric = metric_of(line, &rest);
	if (str_find_str(rest, STR("{{"), 0) >= 0) {
		ptrdiff_t brace = str_find(metric, '{', 0);
		cr_assert_lt(b->histograms_len, 64u);
		b->histograms[b->histograms_len++] =
			brace < 0 ? metric : str_sub(metric, 0, (size_t)brace);
		return;
	}
	cr_assert(read_metric(&b->arena, metric, &l), "%.*s", STR_ARG(line));
	struct serie *s = bed_serie(b, l);
	int64_t t = 0;
	while (str_split(&rest, ' ', &word))
		if (word.len)
			cr_assert(load_word(s, word, &t, step), "%.*s", STR_ARG(line));
}

static bool same_number(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	if (a == b)
		return true;
	return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static bool matches(struct bed *b, const struct promql_result *r, const struct str *lines, size_t n)
{
	struct labels l;
	struct str rest;
	double v;
	if (r->type == PROMQL_SCALAR)
		return n == 1 && number_of(lines[0], &v) && same_number(v, r->scalar);
	if (r->type != PROMQL_VECTOR || r->len != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct str metric = metric_of(lines[i], &rest);
		bool found = false;
		if (!read_metric(&b->arena, metric, &l) || !number_of(rest, &v))
			return false;
		for (size_t k = 0; k < r->len && !found; k++)
			found = labels_equal(r->points[k].labels, l) &&
				same_number(r->points[k].v, v);
		if (!found)
			return false;
	}
	return true;
}

static bool is_unsupported(const struct error *err)
{
	static const char *const words[] = { "unknown function", "not supported", "unexpected",
					     "bad number" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(err->msg, words[i]))
			return true;
	return false;
}

struct block {
	struct str lines[64];
	size_t len;
	bool fail, strange; /* native histograms and strings in the result */
};

static void run_eval(struct bed *b, struct str text, const struct block *x, struct tally *t)
{
	struct str at, rest = text;
	int64_t at_ms = 0;
	struct promql *q = NULL;
	struct promql_result r;
	struct arena a = { 0 };
	struct error err = { 0 };
	bool histogram = str_find_str(text, STR("histogram"), 0) >= 0;
	for (size_t i = 0; i < b->histograms_len; i++)
		histogram |= str_find_str(text, b->histograms[i], 0) >= 0;
	(void)str_split(&rest, ' ', &at);
	if (duration_parse_prom(at, &at_ms, NULL) != 0) {
		double s = 0;
		cr_assert(number_of(at, &s), "%.*s", STR_ARG(text));
		at_ms = (int64_t)(s * 1000);
	}
	int rc = promql_parse(str_trim(rest), &q, &err);
	if ((rc && !x->fail && is_unsupported(&err)) || x->strange || histogram) {
		t->unsupported++;
		promql_free(q);
		return;
	}
	if (!rc)
		rc = eval(b, q, at_ms, &a, &r, &err);
	if (rc ? x->fail : !x->fail && matches(b, &r, x->lines, x->len)) {
		t->passed++;
	} else {
		struct buf out = { 0 };
		t->wrong++;
		if (!rc)
			promql_write_json(&r, &out);
		fprintf(stderr, "# %.*s: %s%.600s\n", STR_ARG(text), rc ? err.msg : "",
			buf_cstr(&out));
		buf_fini(&out);
	}
	arena_fini(&a);
	promql_free(q);
}

static bool indented(struct str line)
{
	return line.len && (line.p[0] == ' ' || line.p[0] == '\t');
}

static struct str clean(struct str line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			return str_sub(line, 0, i);
	return line;
}

static void run_file(struct str text, struct tally *t)
{
	struct bed *b = mem_new(struct bed, 1);
	struct str line, next = text;
	bool more = str_split(&next, '\n', &line);
	while (more) {
		struct str head = str_trim(clean(line));
		struct block x = { .len = 0 };
		int64_t step = 0;
		if (str_starts(head, STR("load ")))
			cr_assert_eq(duration_parse_prom(str_trim(str_sub(head, 5, head.len)),
							 &step, NULL),
				     0);
		while ((more = str_split(&next, '\n', &line)) &&
		       (indented(line) || !str_trim(clean(line)).len) && head.len) {
			struct str inner = str_trim(clean(line));
			if (!str_trim(line).len)
				break;
			if (step && inner.len)
				load_line(b, inner, step);
			x.fail |= str_starts(inner, STR("expect fail"));
			x.strange |= str_find_str(inner, STR("{{"), 0) >= 0 ||
				     str_starts(inner, STR("expect string"));
			if (inner.len && !str_starts(inner, STR("expect")) && x.len < 64)
				x.lines[x.len++] = inner;
		}
		x.fail |= str_starts(head, STR("eval_fail"));
		ptrdiff_t at = str_find_str(head, STR(" instant at "), 0);
		if (str_starts(head, STR("eval")) && at >= 0)
			run_eval(b, str_sub(head, (size_t)at + 12, head.len), &x, t);
		if (str_is(head, "clear"))
			bed_clear(b);
	}
	bed_clear(b);
	mem_free(b);
}

static bool read_file(const char *path, struct buf *out)
{
	char piece[16384];
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
		buf_add(out, piece, n);
	(void)fclose(f);
	for (size_t i = 0; i < out->len; i++)
		if (out->p[i] == '\t')
			out->p[i] = ' ';
	return true;
}

Test(promql, answers_as_the_tests_of_prometheus_want)
{
	static const char *const files[] = { "aggregators", "collision", "functions", "literals",
					     "operators",   "selectors", "staleness" };
	const char *data = getenv("RCTL_TEST_DATA"), *src = getenv("RCTL_SRC");
	struct tally t = { 0 };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[512];
		struct buf text = { 0 };
		struct tally before = t;
		if (data)
			snprintf(path, sizeof(path), "%s/promql/%s.test", data, files[i]);
		else
			snprintf(path, sizeof(path), "%s/../shared/data/promql/%s.test",
				 src ? src : ".", files[i]);
		if (!read_file(path, &text))
			continue;
		run_file(buf_str(&text), &t);
		fprintf(stderr, "# %s: %zu right, %zu not supported, %zu wrong\n", files[i],
			t.passed - before.passed, t.unsupported - before.unsupported,
			t.wrong - before.wrong);
		buf_fini(&text);
	}
	if (!t.passed)
		fprintf(stderr, "# skipped: no public data\n");
	cr_assert_eq(t.wrong, 0u, "%zu evaluations differ", t.wrong);
}
