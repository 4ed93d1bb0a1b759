/* What places said to the parts of a query, as a source of samples. */
#include "base/map.h"
#include "base/mem.h"
#include "json/json.h"
#include "telemetry/promql_priv.h"
#include "telemetry/promql_spread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of an answer. */
enum { ANSWER_BYTES_MAX = 64 << 20, ANSWER_VALUES_MAX = 20000000, ANSWER_DEPTH_MAX = 16 };

struct told {
	struct labels labels;
	struct sample *v;
	size_t len;
	uint32_t *said; /* of a part `all`: how many places gave each step */
};

struct answers {
	struct told **v;
	size_t len, cap;
	size_t places;
	struct map by_labels; /* of a part `all`: key → struct told */
};

struct promql_gather {
	const struct promql_part *parts;
	struct answers *answers; /* [n] */
	size_t n;
	struct arena arena;
	struct buf key;
};

struct promql_gather *promql_gather_new(const struct promql_part *parts, size_t n)
{
	struct promql_gather *g = mem_new(struct promql_gather, 1);
	g->parts = parts;
	g->n = n;
	g->answers = mem_new(struct answers, n + 1);
	return g;
}

struct promql_gather *promql_gather_free(struct promql_gather *g)
{
	if (!g)
		return NULL;
	for (size_t i = 0; i < g->n; i++) {
		mem_free(g->answers[i].v);
		map_fini(&g->answers[i].by_labels);
	}
	mem_free(g->answers);
	buf_fini(&g->key);
	arena_fini(&g->arena);
	mem_free(g);
	return NULL;
}

/* ---- one answer ---- */

static bool is_kept(const struct promql_part *part, struct str name)
{
	for (size_t i = 0; i < part->keep_len; i++)
		if (str_eq(part->keep[i], name))
			return true;
	return false;
}

static struct labels read_labels(struct promql_gather *g, const struct promql_part *part,
				 const struct json *metric, struct labels place)
{
	size_t n = json_len(metric), k = 0;
	struct label *v = arena_new(&g->arena, struct label, n + place.len + 1);
	for (size_t i = 0; i < n && json_is(metric, JSON_OBJECT); i++) {
		const struct json_member *m = &metric->members[i];
		v[k++] = (struct label){ arena_str(&g->arena, json_str(&m->key)),
					 arena_str(&g->arena, json_str(&m->value)) };
	}
	const struct labels own = { v, k };
	for (size_t i = 0; i < place.len; i++)
		if (is_kept(part, place.v[i].name) && !labels_get(own, place.v[i].name).len)
			v[k++] = (struct label){ arena_str(&g->arena, place.v[i].name),
						 arena_str(&g->arena, place.v[i].value) };
	(void)!labels_check(v, &k, SIZE_MAX / 2, NULL);
	return (struct labels){ v, k };
}

static bool read_sample(const struct json *pair, struct sample *ret)
{
	char text[64], *end = NULL;
	struct str s = json_str(json_at(pair, 1));
	double t = json_double(json_at(pair, 0), NAN);
	if (!s.len || s.len >= sizeof(text) || !(fabs(t) < 9e12))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	*ret = (struct sample){ llround(t * 1000), strtod(text, &end) };
	return end == text + s.len;
}

/* Steps without a value are marked, so that none looks back to the one before. */
static bool read_steps(const struct promql_part *part, const struct json *values, struct told *to)
{
	const struct promql_range *r = &part->range;
	size_t steps = part->instant ? 1 : (size_t)((r->end_ms - r->start_ms) / r->step_ms) + 1;
	size_t k = 0;
	for (size_t i = 0; i < steps; i++)
		to->v[i] = (struct sample){ r->start_ms + (int64_t)i * r->step_ms, sample_stale() };
	to->len = steps;
	for (size_t i = 0; i < json_len(values); i++) {
		struct sample s;
		if (!read_sample(json_at(values, i), &s))
			return false;
		while (k < steps && to->v[k].t_ms < s.t_ms)
			k++;
		if (k == steps || to->v[k].t_ms != s.t_ms)
			return false;
		to->v[k++].v = s.v;
	}
	return true;
}

static bool read_raw(const struct json *values, struct told *to)
{
	for (size_t i = 0; i < json_len(values); i++) {
		if (!read_sample(json_at(values, i), &to->v[to->len]) ||
		    (to->len && to->v[to->len].t_ms <= to->v[to->len - 1].t_ms))
			return false;
		to->len++;
	}
	return true;
}

static bool read_vector(const struct promql_part *part, const struct json *value, struct told *to)
{
	struct sample s;
	if (!read_sample(value, &s))
		return false;
	to->v[0] = (struct sample){ part->range.start_ms, s.v };
	to->len = 1;
	return true;
}

/* A step of a part `all` counts for every place that gives it. */
static void count_said(struct promql_gather *g, struct answers *a, struct told *t)
{
	buf_clear(&g->key);
	labels_key(t->labels, &g->key);
	struct told *known = map_get(&a->by_labels, buf_str(&g->key));
	if (!known) {
		known = t;
		t->said = arena_new(&g->arena, uint32_t, t->len + 1);
		(void)map_set(&a->by_labels, buf_str(&g->key), t);
		mem_grow(a->v, a->len, a->cap);
		a->v[a->len++] = t;
	}
	for (size_t i = 0; i < t->len && i < known->len; i++) {
		if (sample_is_stale(t->v[i].v))
			continue;
		known->v[i] = t->v[i];
		known->said[i]++;
	}
}

static bool read_series(struct promql_gather *g, size_t part, struct labels place,
			const struct json *item)
{
	const struct promql_part *p = &g->parts[part];
	struct answers *a = &g->answers[part];
	const struct json *values = json_getc(item, "values"), *value = json_getc(item, "value");
	size_t room = json_len(values) + 1;
	if (!p->instant && !p->matrix)
		room = (size_t)((p->range.end_ms - p->range.start_ms) / p->range.step_ms) + 1;
	struct told *t = arena_new(&g->arena, struct told, 1);
	t->v = arena_new(&g->arena, struct sample, room);
	t->labels = read_labels(g, p, json_getc(item, "metric"), place);
	bool good = value       ? read_vector(p, value, t)
		    : p->matrix ? read_raw(values, t)
				: read_steps(p, values, t);
	if (!good)
		return false;
	if (p->all) {
		count_said(g, a, t);
		return true;
	}
	mem_grow(a->v, a->len, a->cap);
	a->v[a->len++] = t;
	return true;
}

int promql_gather_add(struct promql_gather *g, size_t part, struct labels place, struct str json,
		      struct error *err)
{
	struct arena a = { 0 };
	struct json doc;
	const struct json_limits limits = { .bytes_max = ANSWER_BYTES_MAX,
					    .depth_max = ANSWER_DEPTH_MAX,
					    .values_max = ANSWER_VALUES_MAX };
	int rc = json_parse(&a, json, &limits, &doc, err);
	const struct json *data = rc ? NULL : json_getc(&doc, "data");
	const struct json *list = json_getc(data, "result");
	struct str type = json_str(json_getc(data, "resultType"));
	if (!rc && !str_is(type, "vector") && !str_is(type, "matrix"))
		rc = error_set(err, ERR_BAD_REQUEST, "no vector and no matrix");
	for (size_t i = 0; !rc && i < json_len(list); i++)
		if (!read_series(g, part, place, json_at(list, i)))
			rc = error_set(err, ERR_BAD_REQUEST, "samples that were not asked for");
	g->answers[part].places += rc == 0;
	arena_fini(&a);
	return rc;
}

/* ---- the source ---- */

static int source_select(void *arg, const struct matcher *m, size_t n,
			 int (*fn)(void *fn_arg, const struct promql_series *s, struct error *err),
			 void *fn_arg, struct error *err)
{
	struct promql_gather *g = arg;
	uint64_t part = 0;
	if (n != 1 || !str_to_u64(m->value, &part) || part >= g->n)
		return error_set(err, ERR_INTERNAL, "a selector that is no part");
	const struct answers *a = &g->answers[part];
	int rc = 0;
	for (size_t i = 0; !rc && i < a->len; i++) {
		const struct promql_series s = { .labels = a->v[i]->labels, .handle = a->v[i] };
		rc = fn(fn_arg, &s, err);
	}
	return rc;
}

static int source_read(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		       struct promql_samples *out, struct error *err)
{
	const struct told *t = s->handle;
	(void)arg;
	(void)err;
	for (size_t i = 0; i < t->len && t->v[i].t_ms <= max_ms; i++) {
		if (t->v[i].t_ms <= min_ms)
			continue;
		mem_grow(out->v, out->len, out->cap);
		out->v[out->len++] = t->v[i];
	}
	return 0;
}

static int source_last(void *arg, const struct promql_series *s, int64_t min_ms, int64_t max_ms,
		       struct sample *ret, struct error *err)
{
	const struct told *t = s->handle;
	(void)arg;
	(void)err;
	size_t i = t->len;
	while (i > 0 && t->v[i - 1].t_ms > max_ms)
		i--;
	if (!i || t->v[i - 1].t_ms <= min_ms)
		return 0;
	*ret = t->v[i - 1];
	return 1;
}

struct promql_source promql_gather_source(struct promql_gather *g)
{
	for (size_t p = 0; p < g->n; p++) {
		const struct answers *a = &g->answers[p];
		for (size_t i = 0; g->parts[p].all && i < a->len; i++)
			for (size_t k = 0; k < a->v[i]->len; k++)
				if (a->v[i]->said[k] < a->places)
					a->v[i]->v[k].v = sample_stale();
	}
	return (struct promql_source){ source_select, source_read, source_last, g };
}
