#include "promql_bed.h"

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
	{ "a[5m:1m]", "{__name__=\"a\"}[5m:1m]" },
	{ "a[5m:] offset 1m @ 3", "{__name__=\"a\"}[5m:] @ 3.000 offset 1m" },
	{ "sum(a)[5m:1m]", "(sum by () ({__name__=\"a\"}))[5m:1m]" },
	{ "a @ 1.5", "{__name__=\"a\"} @ 1.500" },
	{ "a @ -1", "{__name__=\"a\"} @ -1.000" },
	{ "a[5m] @ start() offset 1m", "{__name__=\"a\"}[5m] @ start() offset 1m" },
	{ "a @ end()", "{__name__=\"a\"} @ end()" },
	{ "a @ 1 @ 2", "1:7: parse error: @ <timestamp> may not be set multiple times" },
	{ "a offset 1m offset 2m", "1:13: parse error: offset may not be set multiple times" },
	{ "a @ b", "1:5: parse error: unexpected b in @, expected timestamp" },
	{ "a @ inf", "1:5: parse error: timestamp out of bounds for @ modifier: inf" },
	{ "(a) @ 1", "1:5: parse error: @ modifier must be preceded by an instant vector selector "
		     "or range vector selector or a subquery" },
	{ "(a) offset 1m", "1:5: parse error: offset modifier must be preceded by an instant "
			   "vector selector or range vector selector or a subquery" },
	{ "a offset 1m[5m]", "1:12: parse error: no offset modifiers allowed before range" },
	{ "(a)[5m]", "1:4: parse error: ranges only allowed for vector selectors" },
	{ "1[5m:1m]", "1:2: parse error: subquery is only allowed on instant vector, got scalar" },
	{ "a[5m][5m:1m]",
	  "1:6: parse error: subquery is only allowed on instant vector, got range vector" },
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
	{ "1h", "3600" }, /* a length of time is a number of seconds */
	{ "1h30m + 1", "(5400 + 1)" },
	{ "count_values('a-b', up)", "1:14: parse error: invalid label name \"a-b\"" },
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
	{ "rate(reqs_total{node=\"n1\"}[5m])", "[{\"metric\":{\"node\":\"n1\",\"zone\":\"a\"},"
					       "\"value\":[1600,\"0.9999999999999999\"]}]" },
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
	  "error: found duplicate series for the match group {zone=\"a\"} on the right hand-side "
	  "of "
	  "the operation: [{__name__=\"up\", node=\"n1\", zone=\"a\"}, {__name__=\"up\", "
	  "node=\"n2\", zone=\"a\"}];many-to-many matching not allowed: matching labels must be "
	  "unique on one side" },
	{ "vector(1) == 1", "[{\"metric\":{},\"value\":[1600,\"1\"]}]" },
	{ "clamp_max(temp, 3)", "[{\"metric\":{\"node\":\"n1\"},\"value\":[1600,\"3\"]}]" },
	{ "{__name__=~\"up|temp\",node=\"n1\"} * 2", NULL },
	{ "temp @ 1000", "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"value\":[1600,"
			 "\"-5\"]}]" },
	{ "temp @ end() offset 5m", "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},"
				    "\"value\":[1600,\"5\"]}]" },
	{ "max_over_time(temp[5m:1m])", /* steps on whole minutes: the last is 1560 s */
	  "[{\"metric\":{\"node\":\"n1\"},\"value\":[1600,\"13.5\"]}]" },
	{ "count_over_time(up{node=\"n1\"}[3m:30s])",
	  "[{\"metric\":{\"node\":\"n1\",\"zone\":\"a\"},\"value\":[1600,\"6\"]}]" },
	{ "sum_over_time(sum(up)[2m:1m] offset 1m)", "[{\"metric\":{},\"value\":[1600,\"4\"]}]" },
	{ "label_replace(up{node=\"n1\"}, \"n\", \"x$1\", \"node\", \"n(.*)\")",
	  "[{\"metric\":{\"__name__\":\"up\",\"n\":\"x1\",\"node\":\"n1\",\"zone\":\"a\"},"
	  "\"value\":[1600,\"1\"]}]" },
	{ "label_replace(rate(reqs_total{node=\"n2\"}[5m]), \"__name__\", \"r\", \"\", \"\")",
	  "[{\"metric\":{\"__name__\":\"r\",\"node\":\"n2\",\"zone\":\"a\"},\"value\":[1600,"
	  "\"1.9999999999999998\"]}]" },
	{ "sum(label_replace(up, \"node\", \"x\", \"zone\", \"a\"))",
	  "error: vector cannot contain metrics with the same labelset" },
	{ "rate({__name__=~\"reqs_total|temp\",node=\"n1\"}[1m]) * 0", NULL },
	{ "timestamp(temp)", "[{\"metric\":{\"node\":\"n1\"},\"value\":[1600,\"1600\"]}]" },
	{ "predict_linear(temp[5m], 1h)",
	  "[{\"metric\":{\"node\":\"n1\"},\"value\":[1600,\"135\"]}]" },
	{ "histogram_quantile(0.5, h_bucket)", "[{\"metric\":{},\"value\":[1600,\"0.4\"]}]" },
	{ "histogram_fraction(0, 0.1, h_bucket)", "[{\"metric\":{},\"value\":[1600,\"0.2\"]}]" },
	{ "day_of_week() + month()", "[{\"metric\":{},\"value\":[1600,\"5\"]}]" },
	{ "quantile(0.5, up)", "[{\"metric\":{},\"value\":[1600,\"1\"]}]" },
	{ "double_exponential_smoothing(temp[1m], 2, 0.1)",
	  "error: invalid smoothing factor. Expected: 0 < sf < 1, got: 2.000000" },
};

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

static const struct {
	const char *query;
	int64_t start, end, step; /* seconds */
	const char *want;
} RANGE[] = {
	{ "temp", 1580, 1600, 10,
	  "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"values\":[[1580,\"14\"],[1590,"
	  "\"14.5\"],[1600,\"15\"]]}]" },
	{ "temp", 1890, 1910, 10, /* five minutes behind the last sample */
	  "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"values\":[[1890,\"15\"]]}]" },
	{ "temp > 14.2", 1580, 1600, 10,
	  "[{\"metric\":{\"__name__\":\"temp\",\"node\":\"n1\"},\"values\":[[1590,\"14.5\"],[1600,"
	  "\"15\"]]}]" },
	{ "time() - 1580", 1580, 1600, 20,
	  "[{\"metric\":{},\"values\":[[1580,\"0\"],[1600,\"20\"]]}]" },
	{ "temp @ end() - temp", 1585, 1600, 15,
	  "[{\"metric\":{\"node\":\"n1\"},\"values\":[[1585,\"0.5\"],[1600,\"0\"]]}]" },
	{ "sum(rate(reqs_total[1m]))", 1540, 1600, 30, NULL },
	{ "topk(1, {__name__=~\"temp|reqs_total\",node=\"n1\"})", 1000, 1015, 15,
	  "[{\"metric\":{\"__name__\":\"reqs_total\",\"node\":\"n1\",\"zone\":\"a\"},"
	  "\"values\":[[1000,\"0\"],[1015,\"15\"]]}]" },
	{ "absent(temp)", 990, 1000, 10, "[{\"metric\":{},\"values\":[[990,\"1\"]]}]" },
	{ "count_values(\"v\", temp)", 1000, 1010, 10,
	  "[{\"metric\":{\"v\":\"-5\"},\"values\":[[1000,\"1\"],[1010,\"1\"]]}]" },
	{ "nope or temp", 1600, 1600, 1, NULL },
	{ "temp[5m]", 1600, 1600, 1,
	  "error: invalid expression type \"range vector\" for range query, must be Scalar or "
	  "instant Vector" },
	{ "temp", 0, 11000, 1,
	  "error: exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the "
	  "query resolution (?step=XX)" },
};

Test(promql, evaluates_over_a_range)
{
	struct bed b = { 0 };
	const struct promql_source src = { bed_select, bed_read, bed_last, &b };
	const struct promql_limits limits = { .samples_max = 100000 };
	load_own(&b);
	for (size_t i = 0; i < sizeof(RANGE) / sizeof(RANGE[0]); i++) {
		const struct promql_range range = { RANGE[i].start * 1000, RANGE[i].end * 1000,
						    RANGE[i].step * 1000 };
		struct promql *q = NULL;
		struct arena a = { 0 };
		struct promql_result r;
		struct error err = { 0 };
		struct buf out = { 0 };
		cr_assert_eq(promql_parse(str_of(RANGE[i].query), &q, &err), 0, "%s", err.msg);
		if (promql_eval_range(q, &range, &src, &limits, &a, &r, &err) == 0)
			promql_write_json(&r, &out);
		else
			buf_addf(&out, "\"result\":error: %s}", err.msg);
		struct str got = buf_str(&out);
		ptrdiff_t at = str_find_str(got, STR("\"result\":"), 0);
		got = str_sub(got, (size_t)at + 9, got.len - 1);
		if (RANGE[i].want)
			cr_assert(str_is(got, RANGE[i].want), "%s: %.*s", RANGE[i].query,
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
	struct promql_limits limits = { .samples_max = 100 };
	load_own(&b);
	cr_assert_eq(promql_parse(STR("sum(count_over_time({node=~\".+\"}[1h]))"), &q, NULL), 0);
	cr_assert_eq(promql_eval(q, 1600000, &src, &limits, &a, &r, &err), ERR_LIMIT);
	limits = (struct promql_limits){ .samples_max = 1000000, .late = always };
	cr_assert_eq(promql_eval(q, 1600000, &src, &limits, &a, &r, &err), ERR_TIMEOUT);
	promql_free(q);
	arena_fini(&a);
	limits = (struct promql_limits){ .samples_max = 1000000, .bytes_max = 100000 };
	const struct promql_range range = { 0, 1000000, 100 };
	cr_assert_eq(promql_parse(STR("count_values('x', {node=~\".+\"} * time())"), &q, NULL), 0);
	cr_assert_eq(promql_eval_range(q, &range, &src, &limits, &a, &r, &err), ERR_LIMIT);
	promql_free(q);
	arena_fini(&a);
	limits.bytes_max = 0;
	cr_assert_eq(promql_parse(STR("sum(up)[100d:1ms]"), &q, NULL), 0);
	cr_assert_eq(promql_eval(q, 1600000, &src, &limits, &a, &r, &err), ERR_LIMIT);
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
