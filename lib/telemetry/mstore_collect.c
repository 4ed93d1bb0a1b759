/* Samples that the program itself makes: the same journal, the same memory. */
#include "base/mem.h"
#include "telemetry/mstore_priv.h"

#include <stdlib.h>

enum { SAMPLES_PER_RECORD = 50000 };

struct mstore_collect {
	struct mstore *s;
	struct error *err;
	int rc;
};

void mstore_put(struct mstore_collect *c, const char *metric, int type, double value,
		const struct label *labels, size_t n)
{
	struct label v[LABELS_MAX];
	struct mstore *s = c->s;
	struct error why = { 0 };
	uint32_t id = 0;
	if (c->rc || n + 1 > LABELS_MAX)
		return;
	memcpy(v, labels, n * sizeof(*v));
	v[n] = (struct label){ LABELS_NAME, str_of(metric) };
	int rc = intake_define(s->intake, v, n + 1, type, &id, &why);
	if (rc && rc != ERR_BAD_REQUEST && rc != ERR_LIMIT) {
		*c->err = why;
		c->rc = rc;
	}
	if (rc)
		return;
	mem_grow(s->collected, s->collected_len, s->collected_cap);
	s->collected[s->collected_len++] = (struct record_sample){ id, value };
}

static int by_ref(const void *a, const void *b)
{
	uint32_t x = ((const struct record_sample *)a)->ref;
	uint32_t y = ((const struct record_sample *)b)->ref;
	return x < y ? -1 : x > y;
}

/* Marks what was there in the last round and is not now; remembers what is there now. */
static void mark_stale(struct mstore *s)
{
	size_t n = s->collected_len, k = 0;
	uint32_t *now = mem_new(uint32_t, n);
	for (size_t i = 0; i < n; i++)
		now[i] = s->collected[i].ref;
	for (size_t i = 0; i < s->before_len; i++) {
		while (k < n && now[k] < s->before[i])
			k++;
		if (k < n && now[k] == s->before[i])
			continue;
		if (!index_at(intake_index(s->intake), s->before[i]))
			continue;
		mem_grow(s->collected, s->collected_len, s->collected_cap);
		s->collected[s->collected_len++] =
			(struct record_sample){ s->before[i], sample_stale() };
	}
	mem_free(s->before);
	s->before = now;
	s->before_len = n;
	if (s->collected_len)
		qsort(s->collected, s->collected_len, sizeof(*s->collected), by_ref);
}

static int store_all(struct mstore *s, int64_t t_ms, struct error *err)
{
	struct buf b = { 0 };
	int rc = 0;
	for (size_t i = 0; !rc && i < s->collected_len; i += SAMPLES_PER_RECORD) {
		size_t n = s->collected_len - i;
		n = n < SAMPLES_PER_RECORD ? n : SAMPLES_PER_RECORD;
		buf_clear(&b);
		record_write_metrics(t_ms, (uint32_t)s->cfg.collect_ms, s->collected + i, n, &b);
		rc = intake_append(s->intake, RECORD_METRICS, buf_str(&b), err);
	}
	buf_fini(&b);
	return rc;
}

int mstore_sample(void *store, int64_t now_ms, struct error *err)
{
	struct mstore *s = store;
	if (!s->cfg.collect_ms)
		return 0;
	int64_t t = now_ms - now_ms % s->cfg.collect_ms;
	if (t == s->collected_at_ms)
		return 0;
	s->collected_at_ms = t;
	struct mstore_collect c = { .s = s, .err = err };
	s->collected_len = 0;
	s->cfg.collect(s->cfg.collect_arg, &c);
	if (c.rc)
		return c.rc;
	if (s->collected_len)
		qsort(s->collected, s->collected_len, sizeof(*s->collected), by_ref);
	mark_stale(s);
	return store_all(s, t, err);
}
