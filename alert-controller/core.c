#include "base/mem.h"
#include "core_priv.h"
#include "json/json.h"

#include <assert.h>

enum { SWEEP_MS = 600000 };

struct core *core_new(const struct core_config *cfg)
{
	struct core *c = mem_new(struct core, 1);
	c->cfg = *cfg;
	struct list *lists[] = { &c->dirty_alerts, &c->dirty_groups, &c->dirty_deliveries,
				 &c->leasing,      &c->in_commit,    &c->sendable };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	c->silence_due = INT64_MAX;
	c->inhibit_due = INT64_MAX;
	inhibit_builtin(c->inhibit_rules);
	inhibit_init(&c->inhibit, c->inhibit_rules, INHIBIT_BUILTIN_LEN, c->alerts.seed);
	return c;
}

struct core *core_free(struct core *c)
{
	if (!c)
		return NULL;
	while (!list_empty(&c->dirty_deliveries))
		core_delivery_free(c, list_entry(c->dirty_deliveries.next, struct delivery, dirty));
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->receivers, &pos, NULL, &v))
		core_receiver_free(c, v);
	pos = 0;
	while (map_next(&c->alerts, &pos, NULL, &v)) {
		struct core_alert *x = v;
		mem_free(x->labels);
		mem_free(x->annotations);
		mem_free(x->expr);
		mem_free(x);
	}
	struct map *values[] = { &c->rules, &c->silences };
	for (size_t i = 0; i < 2; i++)
		for (pos = 0; map_next(values[i], &pos, NULL, &v);)
			mem_free(v);
	struct map *maps[] = { &c->rules, &c->alerts, &c->receivers, &c->silences, &c->deliveries };
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		map_fini(maps[i]);
	heap_fini(&c->due_groups);
	heap_fini(&c->due_deliveries);
	inhibit_fini(&c->inhibit);
	inhibit_rules_fini(c->inhibit_rules, INHIBIT_BUILTIN_LEN);
	arena_fini(&c->gone_arena);
	mem_free(c->gone_alerts);
	mem_free(c->gone_groups);
	mem_free(c);
	return NULL;
}

/* ---- rules and alerts ---- */

static struct core_rule *rule_get(struct core *c, struct str id)
{
	struct core_rule *r = map_get(&c->rules, id);
	if (r)
		return r;
	r = mem_calloc(1, sizeof(*r) + id.len + 1);
	char *text = (char *)(r + 1);
	memcpy(text, id.p, id.len);
	r->id = str_n(text, id.len);
	list_init(&r->alerts);
	(void)map_set(&c->rules, id, r);
	return r;
}

static struct str alert_key(struct arena *a, struct str rule, struct str fp)
{
	char *p = arena_alloc(a, rule.len + 1 + fp.len);
	memcpy(p, rule.p, rule.len);
	memcpy(p + rule.len + 1, fp.p, fp.len);
	return str_n(p, rule.len + 1 + fp.len);
}

struct core_alert *core_alert_find(const struct core *c, struct str rule, struct str fp)
{
	struct arena a = { 0 };
	struct core_alert *x = map_get(&c->alerts, alert_key(&a, rule, fp));
	arena_fini(&a);
	return x;
}

static struct core_alert *alert_new(struct core *c, struct core_rule *r, struct str fp)
{
	struct core_alert *x = mem_new(struct core_alert, 1);
	assert(fp.len <= FINGERPRINT_LEN);
	memcpy(x->fp, fp.p, fp.len);
	x->rule = r;
	list_append(&r->alerts, &x->by_rule);
	r->len++;
	list_init(&x->members);
	list_init(&x->dirty);
	struct arena a = { 0 };
	(void)map_set(&c->alerts, alert_key(&a, r->id, fp), x);
	arena_fini(&a);
	return x;
}

void core_alert_dirty(struct core *c, struct core_alert *x)
{
	if (!list_linked(&x->dirty))
		list_append(&c->dirty_alerts, &x->dirty);
}

static void bury(struct core *c, const struct core_alert *x)
{
	if (!x->stored)
		return;
	mem_grow(c->gone_alerts, c->gone_alerts_len, c->gone_alerts_cap);
	c->gone_alerts[c->gone_alerts_len++] =
		(struct alert_row){ .rule = arena_str(&c->gone_arena, x->rule->id),
				    .fp = arena_str(&c->gone_arena, str_of(x->fp)),
				    .gone = true };
}

void core_alert_release(struct core *c, struct core_alert *x)
{
	enum alert_state s = x->record.state;
	if (s == ALERT_FIRING || s == ALERT_PENDING || !list_empty(&x->members))
		return;
	bury(c, x);
	struct core_rule *r = x->rule;
	struct arena a = { 0 };
	(void)map_del(&c->alerts, alert_key(&a, r->id, str_of(x->fp)));
	arena_fini(&a);
	list_del(&x->by_rule);
	list_del(&x->dirty);
	mem_free(x->labels);
	mem_free(x->annotations);
	mem_free(x->expr);
	mem_free(x);
	r->len--;
}

static void rule_release(struct core *c, struct core_rule *r)
{
	if (r->len)
		return;
	struct arena a = { 0 };
	(void)map_del(&c->rules, arena_str(&a, r->id));
	arena_fini(&a);
	mem_free(r);
}

static struct core_alert_view view_of(const struct core_alert *x)
{
	return (struct core_alert_view){ .rule = x->rule->id,
					 .fp = str_of(x->fp),
					 .labels = x->labels->l,
					 .annotations = x->annotations->l,
					 .record = &x->record,
					 .value = x->value };
}

/* ---- evaluation ---- */

static bool same_record(const struct alert_record *a, const struct alert_record *b)
{
	return a->state == b->state && a->active_ms == b->active_ms &&
	       a->starts_ms == b->starts_ms && a->ends_ms == b->ends_ms && a->keep_ms == b->keep_ms;
}

/* It began or ended to fire: what it stands for is looked at in the next turn. */
static void inhibit_note(struct core *c, const struct core_alert *x, int64_t now_ms)
{
	if (inhibit_change(&c->inhibit, x->labels->l, x->record.state == ALERT_FIRING, now_ms,
			   &c->inhibit_due))
		c->inhibit_due = 0;
}

static void apply(struct core *c, struct core_alert *x, const struct alert_timing *t,
		  enum alert_seen seen, int64_t now_ms)
{
	enum alert_state from = x->record.state;
	struct alert_record next = alert_plan(t, &x->record, seen, now_ms);
	bool same = same_record(&next, &x->record);
	x->record = next;
	if (same)
		return;
	core_alert_dirty(c, x);
	if (next.state == from)
		return;
	if (next.state == ALERT_FIRING || from == ALERT_FIRING)
		inhibit_note(c, x, now_ms);
	if (next.state == ALERT_FIRING)
		core_route(c, x);
	core_groups_touch(c, x);
	if (c->cfg.on_change) {
		struct core_alert_view v = view_of(x);
		c->cfg.on_change(c->cfg.arg, &v, from);
	}
}

struct print {
	char s[FINGERPRINT_LEN + 1];
};

static int by_print(const void *a, const void *b)
{
	return memcmp(a, b, FINGERPRINT_LEN);
}

/* The prints of all that was seen, in its order; NULL with *err when two are the same. */
static const struct print *prints_of(struct arena *a, const struct core_round *r, struct error *err)
{
	struct print *fp = arena_new(a, struct print, r->len);
	struct print *sorted = arena_new(a, struct print, r->len);
	for (size_t i = 0; i < r->len; i++) {
		fingerprint(r->seen[i].labels, fp[i].s);
		sorted[i] = fp[i];
	}
	qsort(sorted, r->len, sizeof(*sorted), by_print);
	for (size_t i = 1; i < r->len; i++) {
		if (by_print(&sorted[i - 1], &sorted[i]) != 0)
			continue;
		(void)error_set(err, ERR_EXISTS,
				"two series of the result make alerts with the same labels");
		return NULL;
	}
	return fp;
}

static void see(struct core *c, struct core_rule *r, struct str expr, const struct core_seen *seen,
		const char *fp, int64_t now_ms)
{
	struct core_alert *x = core_alert_find(c, r->id, str_of(fp));
	if (!x) {
		x = alert_new(c, r, str_of(fp));
		x->labels = labels_own(seen->labels);
		x->expr = mem_strdup("");
	}
	if (!str_is(expr, x->expr)) {
		mem_free(x->expr);
		x->expr = mem_strndup(expr.p, expr.len);
	}
	if (!x->annotations || !labels_equal(x->annotations->l, seen->annotations)) {
		mem_free(x->annotations);
		x->annotations = labels_own(seen->annotations);
	}
	x->value = seen->value;
	x->round = r->round;
	apply(c, x, &seen->timing, ALERT_SEEN, now_ms);
}

int core_observe(struct core *c, const struct core_round *round, int64_t now_ms, struct error *err)
{
	struct arena a = { 0 };
	const struct print *fp = prints_of(&a, round, err);
	const struct core_rule *old = map_get(&c->rules, round->rule);
	bool full = c->alerts.len - (old ? old->len : 0) + round->len > CORE_ALERTS_MAX;
	if (!fp || full) {
		arena_fini(&a);
		return fp ? error_set(err, ERR_LIMIT, "there are more than %d alerts",
				      CORE_ALERTS_MAX)
			  : ERR_EXISTS;
	}
	struct core_rule *r = rule_get(c, round->rule);
	r->round++;
	for (size_t i = 0; i < round->len; i++)
		see(c, r, round->expr, &round->seen[i], fp[i].s, now_ms);
	arena_fini(&a);
	list_for_each(it, &r->alerts)
	{
		struct core_alert *x = list_entry(it, struct core_alert, by_rule);
		if (x->round == r->round)
			continue;
		apply(c, x, &round->timing, ALERT_ABSENT, now_ms);
		core_alert_release(c, x);
	}
	rule_release(c, r);
	return 0;
}

void core_each_rule(const struct core *c, void (*fn)(void *arg, struct str rule), void *arg)
{
	size_t pos = 0;
	struct str id;
	void *v = NULL;
	while (map_next(&c->rules, &pos, &id, &v))
		fn(arg, id);
}

void core_each_alert(const struct core *c, struct str rule,
		     void (*fn)(void *arg, const struct core_alert_view *a), void *arg)
{
	struct core_rule *r = map_get(&c->rules, rule);
	if (!r)
		return;
	list_for_each(it, &r->alerts)
	{
		struct core_alert_view v = view_of(list_entry(it, struct core_alert, by_rule));
		fn(arg, &v);
	}
}

size_t core_count(const struct core *c, enum alert_state s)
{
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->alerts, &pos, NULL, &v))
		n += ((const struct core_alert *)v)->record.state == s;
	return n;
}

/* ---- silences ---- */

static bool silences(const struct silence *s, const struct core_alert *x, int64_t now_ms)
{
	return !s->problem.len && silence_state(s, now_ms) == SILENCE_ACTIVE &&
	       matcher_all(s->match, s->match_len, x->labels->l);
}

bool core_alert_muted(const struct core *c, const struct core_alert *x, int64_t now_ms)
{
	if (inhibit_is(&c->inhibit, x->labels->l, now_ms, NULL))
		return true;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->silences, &pos, NULL, &v))
		if (silences(((const struct silence_ref *)v)->s, x, now_ms))
			return true;
	return false;
}

size_t core_silenced(const struct core *c, const struct silence *s, int64_t now_ms)
{
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->alerts, &pos, NULL, &v)) {
		const struct core_alert *x = v;
		n += x->record.state == ALERT_FIRING && silences(s, x, now_ms);
	}
	return n;
}

void core_set_silence(struct core *c, const struct silence *s)
{
	struct silence_ref *ref = mem_new(struct silence_ref, 1);
	ref->s = s;
	mem_free(map_set(&c->silences, s->key, ref));
	c->silence_due = 0;
}

void core_del_silence(struct core *c, struct str key)
{
	mem_free(map_del(&c->silences, key));
	c->silence_due = 0;
}

/* One began or ended: every group is looked at again; and when that happens next. */
static void silences_run(struct core *c, int64_t now_ms)
{
	if (now_ms < c->silence_due)
		return;
	c->silence_due = INT64_MAX;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->silences, &pos, NULL, &v)) {
		const struct silence *s = ((const struct silence_ref *)v)->s;
		int64_t next = s->starts_ms > now_ms ? s->starts_ms : s->ends_ms;
		if (next > now_ms && next < c->silence_due)
			c->silence_due = next;
	}
	core_groups_touch_all(c);
}

/* ---- inhibition ---- */

size_t core_inhibited(const struct core *c, int64_t now_ms)
{
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->alerts, &pos, NULL, &v)) {
		const struct core_alert *x = v;
		n += x->record.state == ALERT_FIRING &&
		     inhibit_is(&c->inhibit, x->labels->l, now_ms, NULL);
	}
	return n;
}

static void inhibit_run(struct core *c, int64_t now_ms)
{
	if (now_ms < c->inhibit_due)
		return;
	c->inhibit_due = INT64_MAX;
	inhibit_sweep(&c->inhibit, now_ms, &c->inhibit_due);
	core_groups_touch_all(c);
}

/* ---- turns ---- */

/* Resolutions that nobody can be told (the receiver has been away for too long) and groups that rest. */
static void sweep(struct core *c, int64_t now_ms)
{
	if (now_ms < c->sweep_ms)
		return;
	c->sweep_ms = now_ms + SWEEP_MS;
	struct core_alert **old = mem_new(struct core_alert *, c->alerts.len);
	struct group **idle = NULL;
	size_t n = 0;
	size_t idle_len = 0;
	size_t idle_cap = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->alerts, &pos, NULL, &v)) {
		struct core_alert *x = v;
		if (x->record.state == ALERT_RESOLVED &&
		    now_ms - x->record.ends_ms > c->cfg.retention_ms)
			old[n++] = x;
	}
	for (size_t i = 0; i < n; i++) {
		list_for_each(it, &old[i]->members)
		{
			struct member *m = list_entry(it, struct member, by_alert);
			core_group_dirty(c, m->group);
			core_member_free(m);
		}
		core_alert_release(c, old[i]);
	}
	pos = 0;
	while (map_next(&c->receivers, &pos, NULL, &v)) {
		size_t at = 0;
		void *w = NULL;
		while (map_next(&((struct core_receiver *)v)->groups, &at, NULL, &w)) {
			struct group *g = w;
			if (g->len || g->open || now_ms - g->flushed_ms <= c->cfg.retention_ms)
				continue;
			mem_grow(idle, idle_len, idle_cap);
			idle[idle_len++] = g;
		}
	}
	for (size_t i = 0; i < idle_len; i++)
		core_group_free(c, idle[i], true);
	mem_free(old);
	mem_free(idle);
}

void core_run(struct core *c, int64_t now_ms)
{
	if (!c->receivers_known)
		return;
	silences_run(c, now_ms);
	inhibit_run(c, now_ms);
	sweep(c, now_ms);
	struct heap_node *top;
	while ((top = heap_top(&c->due_groups)) && top->due <= (uint64_t)now_ms) {
		struct group *g = container_of(top, struct group, due);
		heap_del(&c->due_groups, top);
		core_group_run(c, g, now_ms);
	}
	core_deliveries_run(c, now_ms);
}

int64_t core_due(const struct core *c)
{
	if (!c->receivers_known)
		return INT64_MAX;
	int64_t due = c->silence_due < c->sweep_ms ? c->silence_due : c->sweep_ms;
	if (c->inhibit_due < due)
		due = c->inhibit_due;
	const struct heap *heaps[] = { &c->due_groups, &c->due_deliveries };
	for (size_t i = 0; i < 2; i++) {
		const struct heap_node *top = heap_top(heaps[i]);
		if (top && (int64_t)top->due < due)
			due = (int64_t)top->due;
	}
	return due;
}

/* ---- loading ---- */

struct labels_own *core_labels_parse(struct str json)
{
	struct arena a = { 0 };
	struct labels l = { 0 };
	if (labels_read_json(&a, json, &l, NULL)) /* not written by us: it is nobody's any more */
		l = (struct labels){ 0 };
	struct labels_own *own = labels_own(l);
	arena_fini(&a);
	return own;
}

static void load_alert(struct core *c, const struct alert_row *row, int64_t last_ms, int64_t now_ms)
{
	if (row->fp.len > FINGERPRINT_LEN)
		return;
	struct core_alert *x = alert_new(c, rule_get(c, row->rule), row->fp);
	x->labels = core_labels_parse(row->labels);
	x->annotations = core_labels_parse(row->annotations);
	x->expr = mem_strndup(row->expr.p, row->expr.len);
	x->value = row->value;
	x->stored = true;
	x->record = alert_plan_resume(&row->record, last_ms, now_ms);
	if (!same_record(&x->record, &row->record))
		core_alert_dirty(c, x);
	if (x->record.state == ALERT_FIRING || x->record.state == ALERT_RESOLVED)
		inhibit_note(c, x, x->record.state == ALERT_FIRING ? now_ms : x->record.ends_ms);
}

static void load_told(struct core *c, struct group *g, struct str told)
{
	struct arena a = { 0 };
	struct json list;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = told.len;
	limits.values_max = 5 * CORE_ALERTS_MAX + 1;
	if (json_parse(&a, told, &limits, &list, NULL))
		list = json_array();
	for (size_t i = 0; i < json_len(&list); i++) {
		const struct json *j = json_at(&list, i);
		struct core_alert *x =
			core_alert_find(c, json_str(json_at(j, 0)), json_str(json_at(j, 1)));
		if (!x)
			continue;
		struct member *m = core_member_add(g, x);
		m->told_ms = json_i64(json_at(j, 2), 0);
		m->next_ms = json_i64(json_at(j, 3), 0);
	}
	arena_fini(&a);
}

void core_load(struct core *c, const struct alert_image *image, int64_t now_ms)
{
	const struct alert_batch *b = &image->rows;
	for (size_t i = 0; i < b->alerts_len; i++)
		load_alert(c, &b->alerts[i], image->last_ms, now_ms);
	for (size_t i = 0; i < b->groups_len; i++) {
		const struct group_row *row = &b->groups[i];
		struct labels_own *l = core_labels_parse(row->labels);
		struct group *g =
			core_group_get(c, core_receiver_get(c, row->receiver), l->l, row->key);
		mem_free(l);
		g->seq = row->seq;
		g->flushed_ms = row->flushed_ms;
		g->unsure = row->unsure;
		g->stored = true;
		load_told(c, g, row->told);
	}
	for (size_t i = 0; i < b->deliveries_len; i++)
		core_delivery_load(c, &b->deliveries[i]);
}
