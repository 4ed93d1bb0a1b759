#include "checks.h"

#include "agent/v1/agent.pb-c.h"
#include "base/arena.h"
#include "base/mem.h"
#include "grpc/message.h"

#include <string.h>

struct check {
	char *name, *summary;
	char *labels[CHECK_LABELS_MAX * 2]; /* pairs */
	size_t labels_len;                  /* pairs */
	uint32_t times, occurrences;        /* rounds in a row, and how many are needed */
	uint64_t round;                     /* last seen */
	bool firing;
	int64_t since_ms, told_ms;
};

void checks_init(struct checks *c, struct series *series)
{
	memset(c, 0, sizeof(*c));
	c->series = series;
}

static struct check *check_free(struct check *k)
{
	for (size_t i = 0; i < k->labels_len * 2; i++)
		mem_free(k->labels[i]);
	mem_free(k->name);
	mem_free(k->summary);
	mem_free(k);
	return NULL;
}

void checks_fini(struct checks *c)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&c->all, &pos, &key, &value))
		check_free(value);
	map_fini(&c->all);
}

static struct check *check_new(const struct check_seen *seen)
{
	struct check *k = mem_new(struct check, 1);
	k->name = mem_strdup(seen->name);
	for (size_t i = 0; seen->labels && seen->labels[i] && i < CHECK_LABELS_MAX * 2; i += 2) {
		k->labels[i] = mem_strdup(seen->labels[i]);
		k->labels[i + 1] = mem_strdup(seen->labels[i + 1]);
		k->labels_len++;
	}
	k->occurrences = seen->occurrences ? seen->occurrences : 1;
	return k;
}

void checks_see(struct checks *c, const struct check_seen *seen)
{
	struct buf key = { 0 };
	buf_adds(&key, seen->name);
	for (size_t i = 0; seen->labels && seen->labels[i]; i++) {
		buf_addc(&key, '\0');
		buf_adds(&key, seen->labels[i]);
	}
	struct check *k = map_get(&c->all, buf_str(&key));
	if (!k && c->all.len >= CHECKS_MAX) {
		c->not_begun++;
	} else if (!k) {
		k = check_new(seen);
		(void)map_set(&c->all, buf_str(&key), k);
	}
	buf_fini(&key);
	if (!k || k->round == c->round + 1)
		return;
	k->round = c->round + 1;
	k->times++;
	if (!k->summary || strcmp(k->summary, seen->summary) != 0) {
		mem_free(k->summary);
		k->summary = mem_strdup(seen->summary);
	}
}

static Rctl__Agent__V1__Label *pair(struct arena *a, const char *name, const char *value)
{
	Rctl__Agent__V1__Label *l = arena_new(a, Rctl__Agent__V1__Label, 1);
	rctl__agent__v1__label__init(l);
	l->name = arena_strdup(a, name);
	l->value = arena_strdup(a, value);
	return l;
}

/* rctl_node_alert{check=NAME, …}; "check" sorts before what we use, see_* keep to that. */
static uint32_t ref_of(struct series *series, const struct check *k)
{
	struct buf key = { 0 };
	buf_adds(&key, "rctl_node_alert");
	buf_addc(&key, '\0');
	buf_adds(&key, "check");
	buf_addc(&key, '\0');
	buf_adds(&key, k->name);
	buf_addc(&key, '\0');
	for (size_t i = 0; i < k->labels_len * 2; i++) {
		buf_adds(&key, k->labels[i]);
		buf_addc(&key, '\0');
	}
	uint32_t ref =
		series_ref(series, buf_str(&key), RCTL__AGENT__V1__METRIC_TYPE__METRIC_TYPE_GAUGE);
	buf_fini(&key);
	return ref;
}

static Rctl__Agent__V1__Alert *message(struct arena *a, struct series *series,
				       const struct check *k, int64_t now_ms)
{
	Rctl__Agent__V1__Alert *m = arena_new(a, Rctl__Agent__V1__Alert, 1);
	rctl__agent__v1__alert__init(m);
	m->name = arena_strdup(a, k->name);
	m->labels = arena_new(a, Rctl__Agent__V1__Label *, CHECK_LABELS_MAX);
	for (size_t i = 0; i < k->labels_len; i++)
		m->labels[m->n_labels++] = pair(a, k->labels[i * 2], k->labels[i * 2 + 1]);
	m->annotations = arena_new(a, Rctl__Agent__V1__Label *, 1);
	m->annotations[m->n_annotations++] = pair(a, "summary", k->summary);
	m->firing = k->firing;
	m->starts_unix_ms = k->since_ms;
	m->ends_unix_ms = k->firing ? 0 : now_ms;
	m->told_unix_ms = now_ms;
	m->ref = ref_of(series, k);
	return m;
}

/* Whether it is to be told now. */
static bool step(struct check *k, bool seen, int64_t now_ms)
{
	if (!seen) {
		bool over = k->firing;
		k->firing = false;
		return over;
	}
	if (!k->firing && k->times >= k->occurrences) {
		k->firing = true;
		k->since_ms = k->told_ms = now_ms;
		return true;
	}
	if (k->firing && now_ms - k->told_ms >= CHECKS_REISSUE_MS) {
		k->told_ms = now_ms;
		return true;
	}
	return false;
}

void checks_round(struct checks *c, int64_t now_ms, struct buf *batch)
{
	struct arena a = { 0 };
	Rctl__Agent__V1__AlertBatch m = RCTL__AGENT__V1__ALERT_BATCH__INIT;
	struct map keep = { .seed = c->all.seed };
	size_t pos = 0;
	struct str key;
	void *value;
	c->round++;
	m.alerts = arena_new(&a, Rctl__Agent__V1__Alert *, CHECKS_MAX);
	while (map_next(&c->all, &pos, &key, &value)) {
		struct check *k = value;
		bool seen = k->round == c->round;
		if (step(k, seen, now_ms))
			m.alerts[m.n_alerts++] = message(&a, c->series, k, now_ms);
		if (seen)
			(void)map_set(&keep, key, k);
		else
			check_free(k);
	}
	map_fini(&c->all);
	c->all = keep;
	if (m.n_alerts)
		rpc_pack(batch, &m.base);
	arena_fini(&a);
}

size_t checks_firing(const struct checks *c)
{
	size_t pos = 0, n = 0;
	struct str key;
	void *value;
	while (map_next(&c->all, &pos, &key, &value))
		n += ((const struct check *)value)->firing;
	return n;
}
