/* A query taken apart over places says what it says over all series in one place. */
#include "promql_bed.h"
#include "telemetry/promql_spread.h"

enum { PLACES = 3, STEP = 15000, FIRST = 1000000 };

static struct bed places[PLACES], all;

static struct labels place_of(struct arena *a, size_t i)
{
	struct label *v = arena_new(a, struct label, 2);
	v[0] = (struct label){ STR("cluster"), arena_strf(a, "c%zu", i) };
	v[1] = (struct label){ STR("region"), i < 2 ? STR("r1") : STR("r2") };
	return (struct labels){ v, 2 };
}

static void put(struct bed *b, const char *metric, double first, double step, int from, int to)
{
	struct labels l;
	cr_assert(read_metric(&b->arena, str_of(metric), &l), "%s", metric);
	struct serie *s = bed_serie(b, l);
	for (int k = from; k <= to; k++)
		serie_add(s, FIRST + k * STEP, first + k * step);
}

static void load(void)
{
	for (size_t p = 0; p < PLACES; p++) {
		const char *region = p < 2 ? "r1" : "r2";
		char text[200];
		for (int n = 0; n < 4; n++) {
			for (int m = 0; m < 3; m++) {
				static const char *const metric[] = { "reqs_total", "up", "temp" };
				(void)snprintf(text, sizeof(text),
					       "%s{cluster=\"c%zu\",region=\"%s\",node=\"n%d\","
					       "zone=\"z%d\"}",
					       metric[m], p, region, n, n % 2);
				double first = m == 1 ? n != 2 : (double)(p * 100) + n;
				double step = m == 0 ? 15 * (n + 1) : m == 2 ? n - 1 : 0;
				/* One ends early: nothing may look back to it for ever. */
				int to = n == 3 && p == 1 ? 20 : 80;
				put(&all, text, first, step, 0, to);
				put(&places[p], text, first, step, 0, to);
			}
		}
		/* Written by a stranger: it does not say where it is. */
		(void)snprintf(text, sizeof(text), "bare{cluster=\"c%zu\",region=\"%s\",job=\"j\"}",
			       p, region);
		put(&all, text, (double)p, 1, 0, 80);
		put(&places[p], "bare{job=\"j\"}", (double)p, 1, 0, 80);
	}
	put(&all, "only{cluster=\"c2\",region=\"r2\"}", 1, 0, 0, 80);
	put(&places[2], "only{cluster=\"c2\",region=\"r2\"}", 1, 0, 0, 80);
}

static int run(struct bed *b, struct promql *q, const struct promql_source *own,
	       const struct promql_range *r, struct arena *a, struct promql_result *ret,
	       struct error *err)
{
	const struct promql_source mem = { bed_select, bed_read, bed_last, b };
	const struct promql_limits limits = { .samples_max = 10000000 };
	const struct promql_source *src = own ? own : &mem;
	return r->step_ms ? promql_eval_range(q, r, src, &limits, a, ret, err)
			  : promql_eval(q, r->start_ms, src, &limits, a, ret, err);
}

static void ask_place(struct promql_gather *g, size_t k, const struct promql_part *part, size_t p,
		      struct arena *a)
{
	struct promql *q = NULL;
	struct promql_result r;
	struct error err = { 0 };
	struct buf json = { 0 };
	struct promql_range range = part->range;
	range.step_ms = part->instant ? 0 : range.step_ms;
	cr_assert_eq(promql_parse(part->text, &q, &err), 0, "%.*s: %s", STR_ARG(part->text),
		     err.msg);
	cr_assert_eq(run(&places[p], q, NULL, &range, a, &r, &err), 0, "%s", err.msg);
	buf_adds(&json, "{\"status\":\"success\",\"data\":");
	promql_write_json(&r, &json);
	buf_addc(&json, '}');
	cr_assert_eq(promql_gather_add(g, k, place_of(a, p), buf_str(&json), &err), 0, "%s: %s",
		     buf_cstr(&json), err.msg);
	buf_fini(&json);
	promql_free(q);
}

static int by_labels(const void *x, const void *y)
{
	struct buf a = { 0 }, b = { 0 };
	labels_key(((const struct promql_point *)x)->labels, &a);
	labels_key(((const struct promql_point *)y)->labels, &b);
	int d = str_cmp(buf_str(&a), buf_str(&b));
	buf_fini(&a);
	buf_fini(&b);
	return d;
}

static bool near(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

static bool same(const struct promql_result *x, const struct promql_result *y, struct arena *a)
{
	if (x->type != y->type || x->len != y->len)
		return false;
	if (x->type == PROMQL_SCALAR)
		return near(x->scalar, y->scalar);
	struct promql_point *v = arena_new(a, struct promql_point, x->len + 1);
	struct promql_point *w = arena_new(a, struct promql_point, x->len + 1);
	for (size_t i = 0; i < x->len; i++) {
		v[i] = x->points[i];
		w[i] = y->points[i];
	}
	if (x->len && !x->ordered) {
		qsort(v, x->len, sizeof(*v), by_labels);
		qsort(w, x->len, sizeof(*w), by_labels);
	}
	for (size_t i = 0; i < x->len; i++) {
		if (!labels_equal(v[i].labels, w[i].labels) ||
		    v[i].samples_len != w[i].samples_len ||
		    (x->type == PROMQL_VECTOR && !near(v[i].v, w[i].v)))
			return false;
		for (size_t k = 0; k < v[i].samples_len; k++)
			if (v[i].samples[k].t_ms != w[i].samples[k].t_ms ||
			    !near(v[i].samples[k].v, w[i].samples[k].v))
				return false;
	}
	return true;
}

static void check(const char *text, struct promql_range range, size_t want_parts)
{
	struct arena a = { 0 };
	struct promql *q = NULL, *whole = NULL;
	struct promql_result got, want;
	struct promql_part *parts = NULL;
	struct error err = { 0 };
	struct buf x = { 0 }, y = { 0 };
	size_t n = 0;
	cr_assert_eq(promql_parse(str_of(text), &whole, &err), 0, "%s: %s", text, err.msg);
	cr_assert_eq(run(&all, whole, NULL, &range, &a, &want, &err), 0, "%s: %s", text, err.msg);
	cr_assert_eq(promql_parse(str_of(text), &q, &err), 0);
	cr_assert_eq(promql_spread(q, &range, &a, &parts, &n, &err), 0, "%s: %s", text, err.msg);
	cr_assert_eq(n, want_parts, "%s: %zu parts, first %.*s", text, n,
		     n ? (int)parts[0].text.len : 0, n ? parts[0].text.p : "");
	struct promql_gather *g = promql_gather_new(parts, n);
	for (size_t k = 0; k < n; k++)
		for (size_t p = 0; p < PLACES; p++)
			ask_place(g, k, &parts[k], p, &a);
	const struct promql_source src = promql_gather_source(g);
	cr_assert_eq(run(NULL, q, &src, &range, &a, &got, &err), 0, "%s: %s", text, err.msg);
	promql_write_json(&got, &x);
	promql_write_json(&want, &y);
	cr_assert(same(&got, &want, &a), "%s\n got %s\nwant %s", text, buf_cstr(&x), buf_cstr(&y));
	buf_fini(&x);
	buf_fini(&y);
	promql_gather_free(g);
	promql_free(q);
	promql_free(whole);
	arena_fini(&a);
}

Test(promql_spread, a_query_taken_apart_says_what_the_whole_one_says)
{
	static const struct {
		const char *text;
		size_t parts;
	} rows[] = {
		{ "1 + 2 * time()", 0 },
		{ "vector(3)", 0 },
		{ "up", 1 },
		{ "bare", 1 },
		{ "up == 0", 1 },
		{ "up offset 1m", 1 },
		{ "-temp", 1 },
		{ "timestamp(temp)", 1 },
		{ "rate(reqs_total[5m])", 1 },
		{ "sum(rate(reqs_total[5m]))", 1 },
		{ "sum by (zone) (rate(reqs_total[5m]))", 1 },
		{ "sum by (cluster) (temp)", 1 },
		{ "avg by (cluster, zone) (temp)", 1 },
		{ "max without (node, zone) (temp)", 1 },
		{ "sum without (cluster, region) (temp)", 1 },
		{ "count(up)", 1 },
		{ "count by (region) (up == 1)", 1 },
		{ "min(temp)", 1 },
		{ "max by (node) (temp)", 1 },
		{ "group by (zone) (temp)", 1 },
		{ "avg(temp)", 1 },
		{ "avg by (node) (rate(reqs_total[2m]))", 1 },
		{ "stddev by (zone) (temp)", 1 },
		{ "quantile(0.5, temp)", 1 },
		{ "topk(2, reqs_total)", 1 },
		{ "bottomk by (zone) (1, reqs_total)", 1 },
		{ "count_values(\"v\", up)", 1 },
		{ "up * on (cluster, node) temp", 1 },
		{ "up * temp", 1 },
		{ "up / ignoring (zone) temp", 1 },
		{ "sum by (node) (up) / on (node) count by (node) (up)", 2 },
		{ "temp - on (node, cluster) group_left () (temp offset 1m)", 1 },
		{ "temp > scalar(avg(temp))", 2 },
		{ "up or vector(7)", 1 },
		{ "temp unless on (cluster) only", 1 },
		{ "only * on () group_right () up", 2 },
		{ "absent(up)", 1 },
		{ "absent(only)", 1 },
		{ "absent(nothing{a=\"b\"})", 1 },
		{ "absent_over_time(nothing{a=\"b\"}[5m])", 1 },
		{ "absent_over_time(only[5m])", 1 },
		{ "absent(sum(nothing))", 1 },
		{ "max_over_time(sum(temp)[5m:30s])", 1 },
		{ "avg_over_time(sum by (zone) (rate(reqs_total[1m]))[4m:1m] offset 1m)", 1 },
		{ "max_over_time(rate(reqs_total[1m])[4m:1m])", 1 },
		{ "sum(max_over_time(avg(temp)[4m:30s]))", 1 },
		{ "label_replace(up, \"x\", \"$1\", \"node\", \"n(.*)\")", 1 },
		{ "label_replace(sum(up), \"cluster\", \"all\", \"\", \"\")", 1 },
		{ "sort_desc(sum by (zone) (temp))", 1 },
		{ "sum(temp) - sum(temp offset 1m) + scalar(count(up))", 3 },
		{ "sum(temp @ end()) - sum(temp @ start())", 2 },
		{ "clamp_max(temp, scalar(min(temp)) + 10)", 2 },
		{ "histogram_quantile(0.9, sum by (le) (label_replace(temp, \"le\", \"$1\", "
		  "\"node\", \"n(.*)\")))",
		  1 },
	};
	const struct promql_range instant = { FIRST + 70 * STEP, 0, 0 };
	const struct promql_range early = { FIRST + 30 * STEP, 0, 0 };
	const struct promql_range range = { FIRST + 10 * STEP, FIRST + 75 * STEP, 30000 };
	load();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check(rows[i].text, instant, rows[i].parts);
		check(rows[i].text, early, rows[i].parts);
		check(rows[i].text, range, rows[i].parts);
	}
	check("temp[2m]", instant, 1);
	check("sum(temp)[2m:30s]", instant, 1);
	check("temp[2m] offset 3m", early, 1);
}

Test(promql_spread, what_cannot_be_taken_apart_is_refused)
{
	struct promql *q = NULL;
	struct promql_part *parts = NULL;
	struct arena a = { 0 };
	struct error err = { 0 };
	size_t n = 0;
	const struct promql_range at = { FIRST, 0, 0 };
	cr_assert_eq(promql_parse(STR("quantile_over_time(scalar(sum(x)), y[5m])"), &q, &err), 0);
	cr_assert_eq(promql_spread(q, &at, &a, &parts, &n, &err), ERR_BAD_REQUEST);
	promql_free(q);
	const struct promql_range wide = { 0, 1000000000, 1000 };
	cr_assert_eq(promql_parse(STR("up"), &q, &err), 0);
	cr_assert_eq(promql_spread(q, &wide, &a, &parts, &n, &err), ERR_BAD_REQUEST);
	promql_free(q);
	arena_fini(&a);
}

Test(promql_spread, answers_that_are_none_are_refused)
{
	static const char *const rows[] = {
		"",
		"{}",
		"[]",
		"{\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"2\"]}}",
		"{\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1]}]}}",
		"{\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,"
		"\"x\"]}]}}",
		"{\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[7,"
		"\"1\"]]}]}}",
		"{\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":[],\"values\":[[0,"
		"\"1\"],[0,\"1\"]]}]}}",
	};
	const struct promql_part part = { .text = STR("up"), .range = { 0, 60000, 30000 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct promql_gather *g = promql_gather_new(&part, 1);
		struct error err = { 0 };
		cr_assert_neq(promql_gather_add(g, 0, (struct labels){ 0 }, str_of(rows[i]), &err),
			      0, "%s", rows[i]);
		promql_gather_free(g);
	}
}
