/* Queries from anybody: parsed, printed, parsed again to the same, and evaluated over a few series. */
#include "base/mem.h"
#include "telemetry/promql.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fixture {
	struct label labels[2][2];
};

static int select_all(void *arg, const struct matcher *m, size_t n,
		      int (*fn)(void *fn_arg, const struct promql_series *s, struct error *err),
		      void *fn_arg, struct error *err)
{
	struct fixture *f = arg;
	int rc = 0;
	for (size_t i = 0; !rc && i < 2; i++) {
		const struct promql_series s = { .labels = { f->labels[i], 2 } };
		if (matcher_all(m, n, s.labels))
			rc = fn(fn_arg, &s, err);
	}
	return rc;
}

static int read_some(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		     struct promql_samples *out, struct error *err)
{
	static const double values[] = { 1, 5, -0.0, 1e308 };
	(void)arg;
	(void)s;
	(void)err;
	for (size_t i = 0; i < 4; i++) {
		int64_t t = max_ms - (int64_t)(4 - i) * 15000;
		if (t <= min_ms || t > max_ms)
			continue;
		mem_grow(out->v, out->len, out->cap);
		out->v[out->len++] = (struct sample){ t, values[i] };
	}
	return 0;
}

static int last_one(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		    struct sample *ret, struct error *err)
{
	(void)arg;
	(void)s;
	(void)err;
	*ret = (struct sample){ max_ms, 3 };
	return max_ms > min_ms;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct promql *q = NULL, *again = NULL;
	struct buf text = { 0 }, second = { 0 }, out = { 0 };
	struct arena a = { 0 };
	struct promql_result r;
	struct error err = { 0 };
	struct fixture f = { { { { LABELS_NAME, STR("m") }, { STR("a"), STR("1") } },
			       { { LABELS_NAME, STR("m") }, { STR("a"), STR("2") } } } };
	const struct promql_source src = { select_all, read_some, last_one, &f };
	const struct promql_limits limits = { .samples_max = 10000, .bytes_max = 4 << 20 };
	if (promql_parse(str_n((const char *)data, size), &q, &err) != 0)
		return 0;
	promql_print(q, &text);
	/* The printed form may be longer or deeper than what is taken; else it means the same. */
	if (text.len < PROMQL_TEXT_MAX / 2 && promql_parse(buf_str(&text), &again, &err) == 0) {
		promql_print(again, &second);
		assert(str_eq(buf_str(&text), buf_str(&second)));
	}
	if (promql_eval(q, 1700000000000, &src, &limits, &a, &r, &err) == 0)
		promql_write_json(&r, &out);
	const struct promql_range range = { 1700000000000, 1700000060000, 15000 };
	if (promql_eval_range(q, &range, &src, &limits, &a, &r, &err) == 0)
		promql_write_json(&r, &out);
	promql_free(q);
	promql_free(again);
	arena_fini(&a);
	buf_fini(&text);
	buf_fini(&second);
	buf_fini(&out);
	return 0;
}
