#include "samples.h"

#include "agent/v1/agent.pb-c.h"
#include "base/arena.h"
#include "base/mem.h"
#include "grpc/message.h"

#include <math.h>
#include <stdlib.h>

enum { SCALES = 10, GROUP_RAW = SCALES };

void samples_init(struct samples *s, struct series *series)
{
	memset(s, 0, sizeof(*s));
	s->series = series;
}

void samples_fini(struct samples *s)
{
	mem_free(s->list);
	buf_fini(&s->key);
}

void samples_clear(struct samples *s)
{
	s->len = 0;
}

void samples_add(struct samples *s, int type, const char *name, double value,
		 const char *const *labels)
{
	if (s->len == SAMPLES_MAX)
		return;
	buf_clear(&s->key);
	buf_adds(&s->key, name);
	buf_addc(&s->key, '\0');
	for (size_t i = 0; labels && labels[i] && i < SAMPLE_LABELS_MAX * 2; i += 2) {
		if (!labels[i + 1] || !labels[i + 1][0])
			continue;
		buf_adds(&s->key, labels[i]);
		buf_addc(&s->key, '\0');
		buf_adds(&s->key, labels[i + 1]);
		buf_addc(&s->key, '\0');
	}
	uint32_t ref = series_ref(s->series, buf_str(&s->key), type);
	if (!ref)
		return;
	mem_grow(s->list, s->len, s->cap);
	s->list[s->len++] = (struct sample){ ref, value };
}

void samples_copy(struct samples *s, const struct samples *from)
{
	for (size_t i = 0; i < from->len && s->len < SAMPLES_MAX; i++) {
		mem_grow(s->list, s->len, s->cap);
		s->list[s->len++] = from->list[i];
	}
}

bool samples_decimal(double value, int64_t *mantissa, uint32_t *scale)
{
	static const double power[SCALES] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };
	if (!(fabs(value) < 9e15) || (value == 0 && signbit(value)))
		return false;
	for (uint32_t k = 0; k < SCALES; k++) {
		double scaled = value * power[k];
		if (fabs(scaled) >= 9e15)
			return false;
		double whole = nearbyint(scaled);
		if (whole / power[k] == value) {
			*mantissa = (int64_t)whole;
			*scale = k;
			return true;
		}
	}
	return false;
}

static int by_ref(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	return x->ref < y->ref ? -1 : x->ref > y->ref;
}

static void add_to_group(struct arena *a, Rctl__Agent__V1__SampleGroup **groups, uint32_t *last,
			 const struct sample *x, size_t max)
{
	int64_t mantissa = 0;
	uint32_t scale = 0;
	bool exact = samples_decimal(x->value, &mantissa, &scale);
	size_t g = exact ? scale : GROUP_RAW;
	if (!groups[g]) {
		groups[g] = arena_new(a, Rctl__Agent__V1__SampleGroup, 1);
		rctl__agent__v1__sample_group__init(groups[g]);
		groups[g]->scale = exact ? scale : 0;
		groups[g]->ref_delta = arena_new(a, uint32_t, max);
		if (exact)
			groups[g]->mantissa = arena_new(a, int64_t, max);
		else
			groups[g]->value = arena_new(a, double, max);
	}
	groups[g]->ref_delta[groups[g]->n_ref_delta++] = x->ref - last[g];
	last[g] = x->ref;
	if (exact)
		groups[g]->mantissa[groups[g]->n_mantissa++] = mantissa;
	else
		groups[g]->value[groups[g]->n_value++] = x->value;
}

/* References of `before` (sorted) that are in no sample now; `before` becomes what is now. */
static size_t stale_refs(struct samples *s, struct ref_set *before, uint32_t *stale)
{
	size_t n = 0, k = 0;
	for (size_t i = 0; i < before->len; i++) {
		while (k < s->len && s->list[k].ref < before->refs[i])
			k++;
		if (k == s->len || s->list[k].ref != before->refs[i])
			stale[n++] = before->refs[i];
	}
	if (s->len > before->cap) {
		before->refs = mem_resize(before->refs, s->len, sizeof(*before->refs));
		before->cap = s->len;
	}
	for (size_t i = 0; i < s->len; i++)
		before->refs[i] = s->list[i].ref;
	before->len = s->len;
	return n;
}

void samples_write(struct samples *s, int64_t time_ms, uint32_t interval_ms, struct ref_set *before,
		   struct buf *out)
{
	struct arena a = { 0 };
	Rctl__Agent__V1__SampleGroup *groups[SCALES + 1] = { NULL }, *used[SCALES + 1];
	uint32_t last[SCALES + 1] = { 0 };
	Rctl__Agent__V1__MetricBatch m = RCTL__AGENT__V1__METRIC_BATCH__INIT;
	if (s->len)
		qsort(s->list, s->len, sizeof(*s->list), by_ref);
	for (size_t i = 0; i < s->len; i++)
		add_to_group(&a, groups, last, &s->list[i], s->len);
	for (size_t g = 0; g <= SCALES; g++) {
		if (groups[g])
			used[m.n_groups++] = groups[g];
	}
	m.time_unix_ms = time_ms;
	m.interval_ms = interval_ms;
	m.groups = used;
	m.stale = arena_new(&a, uint32_t, before->len + 1);
	m.n_stale = stale_refs(s, before, m.stale);
	rpc_pack(out, &m.base);
	arena_fini(&a);
}
