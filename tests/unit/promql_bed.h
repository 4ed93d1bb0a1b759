/* Series in memory as a source for PromQL; for tests. */
#ifndef TESTS_UNIT_PROMQL_BED_H
#define TESTS_UNIT_PROMQL_BED_H

#include "base/mem.h"
#include "telemetry/promql.h"
#include "text/duration.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>

struct serie {
	struct labels labels;
	struct sample *v;
	size_t len, cap;
	bool histogram; /* of the native kind: no samples of it are here */
};

struct bed {
	struct arena arena;
	struct serie series[400];
	size_t len;
	bool touched; /* a native histogram was asked for */
};

static inline int bed_select(void *arg, const struct matcher *m, size_t n,
			     int (*fn)(void *fn_arg, const struct promql_series *s,
				       struct error *err),
			     void *fn_arg, struct error *err)
{
	struct bed *b = arg;
	int rc = 0;
	for (size_t i = 0; !rc && i < b->len; i++) {
		const struct promql_series s = { b->series[i].labels, &b->series[i] };
		if (!matcher_all(m, n, s.labels))
			continue;
		b->touched |= b->series[i].histogram;
		rc = fn(fn_arg, &s, err);
	}
	return rc;
}

static inline int bed_read(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
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

static inline int bed_last(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
			   struct sample *ret, struct error *err)
{
	struct promql_samples all = { 0 };
	(void)bed_read(arg, s, min_ms, max_ms, &all, err);
	if (all.len)
		*ret = all.v[all.len - 1];
	mem_free(all.v);
	return all.len > 0;
}

static inline void bed_clear(struct bed *b)
{
	for (size_t i = 0; i < b->len; i++)
		mem_free(b->series[i].v);
	arena_fini(&b->arena);
	memset(b, 0, sizeof(*b));
}

static inline struct serie *bed_serie(struct bed *b, struct labels l)
{
	for (size_t i = 0; i < b->len; i++)
		if (labels_equal(b->series[i].labels, l))
			return &b->series[i];
	cr_assert_lt(b->len, 400u);
	b->series[b->len].labels = l;
	return &b->series[b->len++];
}

static inline void serie_add(struct serie *s, int64_t t_ms, double v)
{
	mem_grow(s->v, s->len, s->cap);
	s->v[s->len++] = (struct sample){ t_ms, v };
}

/* up{a="b"} of a test line, through the parser of selectors. */
static inline bool read_metric(struct arena *a, struct str text, struct labels *ret)
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

static inline void load_own(struct bed *b)
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
		{ "h_bucket{le=\"0.1\"}", 2, 0 },
		{ "h_bucket{le=\"0.5\"}", 6, 0 },
		{ "h_bucket{le=\"+Inf\"}", 10, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct labels l;
		cr_assert(read_metric(&b->arena, str_of(rows[i].metric), &l));
		struct serie *s = bed_serie(b, l);
		for (int k = 0; k <= 40; k++) /* 10 minutes, each 15 s */
			serie_add(s, 1000000 + k * 15000, rows[i].first + k * rows[i].step);
	}
}

static inline int eval(struct bed *b, struct promql *q, int64_t at_ms, struct arena *a,
		       struct promql_result *r, struct error *err)
{
	const struct promql_source src = { bed_select, bed_read, bed_last, b };
	const struct promql_limits limits = { .samples_max = 1000000 };
	return promql_eval(q, at_ms, &src, &limits, a, r, err);
}

#endif
