#include "inhibit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

#include <assert.h>

/* All sources of one rule with the same values. */
struct inhibit_source {
	size_t firing;
	size_t pure;                     /* of them: those that are not targets too */
	int64_t until_ms, pure_until_ms; /* the end of the lingering */
};

void inhibit_init(struct inhibit *x, const struct inhibit_rule *rules, size_t n, uint64_t seed)
{
	x->v = mem_new(struct inhibitor, n ? n : 1);
	x->len = n;
	for (size_t i = 0; i < n; i++) {
		x->v[i].rule = &rules[i];
		map_init(&x->v[i].sources, seed);
	}
}

void inhibit_fini(struct inhibit *x)
{
	for (size_t i = 0; i < x->len; i++) {
		size_t pos = 0;
		void *v = NULL;
		while (map_next(&x->v[i].sources, &pos, NULL, &v))
			mem_free(v);
		map_fini(&x->v[i].sources);
	}
	mem_free(x->v);
	*x = (struct inhibit){ 0 };
}

static void key_of(const struct inhibit_rule *r, struct labels l, struct buf *out)
{
	for (size_t i = 0; i < r->equal_len; i++) {
		buf_add_str(out, labels_get(l, r->equal[i]));
		buf_addc(out, '\0');
	}
}

static bool is_target(const struct inhibit_rule *r, struct labels l)
{
	return matcher_all(r->target, r->target_len, l);
}

static bool is_source(const struct inhibit_rule *r, struct labels l)
{
	return matcher_all(r->source, r->source_len, l);
}

static int64_t max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void change(struct inhibitor *x, struct labels l, bool firing, int64_t now_ms)
{
	bool pure = !is_target(x->rule, l);
	struct buf key = { 0 };
	key_of(x->rule, l, &key);
	struct inhibit_source *s = map_get(&x->sources, buf_str(&key));
	if (!s) {
		s = mem_new(struct inhibit_source, 1);
		(void)map_set(&x->sources, buf_str(&key), s);
	}
	if (firing) {
		s->firing++;
		s->pure += pure;
	} else {
		s->firing -= s->firing > 0;
		s->pure -= pure && s->pure > 0;
		int64_t until = now_ms + x->rule->linger_ms;
		s->until_ms = max(s->until_ms, until);
		if (pure)
			s->pure_until_ms = max(s->pure_until_ms, until);
	}
	buf_fini(&key);
}

bool inhibit_change(struct inhibit *x, struct labels l, bool firing, int64_t now_ms,
		    int64_t *due_ms)
{
	bool any = false;
	for (size_t i = 0; i < x->len; i++) {
		if (!is_source(x->v[i].rule, l))
			continue;
		any = true;
		change(&x->v[i], l, firing, now_ms);
		int64_t until = now_ms + x->v[i].rule->linger_ms;
		if (!firing && until < *due_ms)
			*due_ms = until;
	}
	return any;
}

bool inhibit_is(const struct inhibit *x, struct labels l, int64_t now_ms, size_t *ret_by)
{
	for (size_t i = 0; i < x->len; i++) {
		const struct inhibitor *in = &x->v[i];
		if (!in->sources.len || !is_target(in->rule, l))
			continue;
		struct buf key = { 0 };
		key_of(in->rule, l, &key);
		const struct inhibit_source *s = map_get(&in->sources, buf_str(&key));
		buf_fini(&key);
		if (!s)
			continue;
		bool both = is_source(in->rule, l);
		if (both ? s->pure || now_ms < s->pure_until_ms
			 : s->firing || now_ms < s->until_ms) {
			if (ret_by)
				*ret_by = i;
			return true;
		}
	}
	return false;
}

static void sweep(struct inhibitor *x, int64_t now_ms, int64_t *due_ms)
{
	struct arena a = { 0 };
	struct str *gone = arena_new(&a, struct str, x->sources.len);
	size_t n = 0;
	size_t pos = 0;
	struct str key;
	void *v = NULL;
	while (map_next(&x->sources, &pos, &key, &v)) {
		const struct inhibit_source *s = v;
		if (s->firing)
			continue;
		if (s->until_ms <= now_ms)
			gone[n++] = arena_str(&a, key);
		else if (s->until_ms < *due_ms)
			*due_ms = s->until_ms;
	}
	for (size_t i = 0; i < n; i++)
		mem_free(map_del(&x->sources, gone[i]));
	arena_fini(&a);
}

void inhibit_sweep(struct inhibit *x, int64_t now_ms, int64_t *due_ms)
{
	for (size_t i = 0; i < x->len; i++)
		sweep(&x->v[i], now_ms, due_ms);
}

/* ---- the topology ---- */

static void add(struct matcher *v, size_t *len, enum matcher_op op, const char *name,
		const char *value)
{
	struct error err;
	int rc = matcher_init(&v[*len], op, str_of(name), str_of(value), &err);
	assert(rc == 0 && *len < INHIBIT_MATCHERS_MAX);
	(*len)++;
}

static void source(struct inhibit_rule *r, enum matcher_op op, const char *name, const char *value)
{
	add(r->source, &r->source_len, op, name, value);
}

static void target(struct inhibit_rule *r, enum matcher_op op, const char *name, const char *value)
{
	add(r->target, &r->target_len, op, name, value);
}

static void equal(struct inhibit_rule *r, const char *name)
{
	r->equal[r->equal_len++] = str_of(name);
}

/* A silent place of these axes that its label names: for what is in it, and no such place itself. */
static void place(struct inhibit_rule *r, const char *axes, const char *label)
{
	source(r, MATCHER_EQUAL, "alertname", "ZoneSilent");
	source(r, MATCHER_REGEX, "axis", axes);
	target(r, MATCHER_NOT_EQUAL, "axis", "region");
	target(r, MATCHER_NOT_REGEX, "axis", axes);
	target(r, MATCHER_NOT_EQUAL, label, "");
	equal(r, "cluster");
	equal(r, label);
}

void inhibit_builtin(struct inhibit_rule v[INHIBIT_BUILTIN_LEN])
{
	memset(v, 0, INHIBIT_BUILTIN_LEN * sizeof(*v));
	source(&v[0], MATCHER_EQUAL, "alertname", "ClusterSilent");
	target(&v[0], MATCHER_NOT_EQUAL, "alertname", "ClusterSilent");
	target(&v[0], MATCHER_NOT_EQUAL, "cluster", "");
	equal(&v[0], "cluster");

	source(&v[1], MATCHER_EQUAL, "alertname", "ZoneSilent");
	source(&v[1], MATCHER_EQUAL, "axis", "region");
	target(&v[1], MATCHER_REGEX, "alertname", "NodeSilent|ZoneSilent");
	target(&v[1], MATCHER_NOT_EQUAL, "axis", "region");
	equal(&v[1], "cluster");
	equal(&v[1], "region");

	place(&v[2], "network|both", "network_az");
	place(&v[3], "zone|both", "zone");

	source(&v[4], MATCHER_EQUAL, "alertname", "NodeSilent");
	target(&v[4], MATCHER_NOT_EQUAL, "alertname", "NodeSilent");
	target(&v[4], MATCHER_NOT_EQUAL, "node", "");
	equal(&v[4], "cluster");
	equal(&v[4], "node");
	for (size_t i = 0; i < INHIBIT_BUILTIN_LEN; i++)
		v[i].linger_ms = INHIBIT_LINGER_MS;
}

void inhibit_rules_fini(struct inhibit_rule *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < v[i].source_len; k++)
			matcher_fini(&v[i].source[k]);
		for (size_t k = 0; k < v[i].target_len; k++)
			matcher_fini(&v[i].target[k]);
	}
}
