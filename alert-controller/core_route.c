/* Which receivers get an alert, and in which of their groups. */
#include "base/mem.h"
#include "core_priv.h"

/* ---- groups ---- */

struct core_receiver *core_receiver_get(struct core *c, struct str key)
{
	struct core_receiver *r = map_get(&c->receivers, key);
	if (r)
		return r;
	r = mem_calloc(1, sizeof(*r) + key.len + 1);
	memcpy(r->key, key.p, key.len);
	list_init(&r->ready);
	list_init(&r->parked);
	(void)map_set(&c->receivers, key, r);
	return r;
}

void core_group_touch(struct core *c, struct group *g, int64_t due_ms)
{
	heap_del(&c->due_groups, &g->due);
	heap_add(&c->due_groups, &g->due, (uint64_t)due_ms);
}

void core_group_dirty(struct core *c, struct group *g)
{
	if (!list_linked(&g->dirty))
		list_append(&c->dirty_groups, &g->dirty);
}

struct group *core_group_get(struct core *c, struct core_receiver *r, struct labels labels,
			     struct str key)
{
	struct group *g = map_get(&r->groups, key);
	if (g)
		return g;
	g = mem_new(struct group, 1);
	g->receiver = r;
	g->key = mem_strndup(key.p, key.len);
	g->labels = labels_own(labels);
	list_init(&g->members);
	list_init(&g->dirty);
	(void)map_set(&r->groups, key, g);
	core_group_touch(c, g, 0);
	return g;
}

void core_group_free(struct core *c, struct group *g, bool delete_row)
{
	if (delete_row && g->stored) {
		mem_grow(c->gone_groups, c->gone_groups_len, c->gone_groups_cap);
		c->gone_groups[c->gone_groups_len++] =
			(struct group_row){ .receiver = arena_str(&c->gone_arena,
								  str_of(g->receiver->key)),
					    .key = arena_str(&c->gone_arena, str_of(g->key)),
					    .gone = true };
	}
	list_for_each(it, &g->members)
	{
		struct core_alert *x = list_entry(it, struct member, by_group)->alert;
		core_member_free(list_entry(it, struct member, by_group));
		if (delete_row)
			core_alert_release(c, x);
	}
	core_delivery_free(c, g->open);
	/* those that ended and wait for the next batch */
	list_for_each(it, &c->dirty_deliveries)
	{
		struct delivery *d = list_entry(it, struct delivery, dirty);
		if (d->group == g)
			core_delivery_free(c, d);
	}
	heap_del(&c->due_groups, &g->due);
	list_del(&g->dirty);
	if (delete_row)
		(void)map_del(&g->receiver->groups, str_of(g->key));
	mem_free(g->key);
	mem_free(g->labels);
	mem_free(g);
}

/* ---- members ---- */

static struct member *member_find(const struct group *g, const struct core_alert *x)
{
	list_for_each(it, &x->members)
	{
		struct member *m = list_entry(it, struct member, by_alert);
		if (m->group == g)
			return m;
	}
	return NULL;
}

struct member *core_member_add(struct group *g, struct core_alert *x)
{
	struct member *m = member_find(g, x);
	if (m)
		return m;
	m = mem_new(struct member, 1);
	m->alert = x;
	m->group = g;
	list_append(&x->members, &m->by_alert);
	list_append(&g->members, &m->by_group);
	g->len++;
	return m;
}

void core_member_free(struct member *m)
{
	list_del(&m->by_alert);
	list_del(&m->by_group);
	m->group->len--;
	mem_free(m);
}

void core_groups_touch(struct core *c, struct core_alert *x)
{
	list_for_each(it, &x->members)
		core_group_touch(c, list_entry(it, struct member, by_alert)->group, 0);
}

void core_groups_touch_all(struct core *c)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->receivers, &pos, NULL, &v)) {
		size_t at = 0;
		void *g = NULL;
		while (map_next(&((struct core_receiver *)v)->groups, &at, NULL, &g))
			core_group_touch(c, g, 0);
	}
}

/* ---- routing ---- */

static bool grouped_by(const struct receiver *r, struct str name)
{
	if (r->group_by_all)
		return true;
	for (size_t i = 0; i < r->group_by_len; i++)
		if (str_eq(r->group_by[i], name))
			return true;
	return false;
}

/* What calls for nobody (a dead man's switch) goes only to those that name it. */
static bool asked_for(const struct receiver *r, struct labels l)
{
	if (!str_is(labels_get(l, STR("severity")), "none"))
		return true;
	for (size_t i = 0; i < r->match_len; i++)
		if (str_is(r->match[i].name, "alertname") || str_is(r->match[i].name, "severity"))
			return true;
	return false;
}

/* The group for the alert; NULL when it does not go there (or, with !make, when there is none yet). */
static struct group *group_for(struct core *c, struct core_receiver *r, struct labels l, bool make)
{
	const struct receiver *cfg = r->cfg;
	if (!cfg || cfg->problem.len || !matcher_all(cfg->match, cfg->match_len, l) ||
	    !asked_for(cfg, l))
		return NULL;
	struct label v[LABELS_MAX];
	size_t n = 0;
	for (size_t i = 0; i < l.len && n < LABELS_MAX; i++)
		if (grouped_by(cfg, l.v[i].name))
			v[n++] = l.v[i];
	struct labels labels = { v, n };
	struct buf key = { 0 };
	group_key_write(labels, &key);
	struct group *g = make ? core_group_get(c, r, labels, buf_str(&key))
			       : map_get(&r->groups, buf_str(&key));
	buf_fini(&key);
	return g;
}

static void route_to(struct core *c, struct core_receiver *r, struct core_alert *x)
{
	bool firing = x->record.state == ALERT_FIRING;
	struct group *g = group_for(c, r, x->labels->l, firing);
	list_for_each(it, &x->members)
	{
		struct member *m = list_entry(it, struct member, by_alert);
		if (m->group->receiver != r || m->group == g)
			continue;
		core_group_dirty(c, m->group);
		core_group_touch(c, m->group, 0);
		core_member_free(m);
	}
	if (!g)
		return;
	if (firing)
		(void)core_member_add(g, x);
	core_group_touch(c, g, 0);
}

void core_route(struct core *c, struct core_alert *x)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->receivers, &pos, NULL, &v))
		route_to(c, v, x);
}

/* ---- receivers ---- */

static void route_all_to(struct core *c, struct core_receiver *r)
{
	struct core_alert **all = mem_new(struct core_alert *, c->alerts.len);
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->alerts, &pos, NULL, &v))
		all[n++] = v;
	for (size_t i = 0; i < n; i++) {
		route_to(c, r, all[i]);
		if (c->receivers_known)
			core_alert_release(c, all[i]);
	}
	mem_free(all);
}

void core_set_receiver(struct core *c, const struct receiver *cfg)
{
	struct core_receiver *r = core_receiver_get(c, cfg->key);
	bool alike = r->cfg && receiver_routes_alike(r->cfg, cfg);
	r->cfg = cfg;
	if (!alike)
		route_all_to(c, r);
	size_t pos = 0;
	void *g = NULL;
	while (map_next(&r->groups, &pos, NULL, &g))
		core_group_touch(c, g, 0);
}

void core_receiver_free(struct core *c, struct core_receiver *r)
{
	size_t pos = 0;
	void *g = NULL;
	while (map_next(&r->groups, &pos, NULL, &g))
		core_group_free(c, g, false);
	map_fini(&r->groups);
	mem_free(r);
}

static void receiver_drop(struct core *c, struct core_receiver *r)
{
	struct group **all = mem_new(struct group *, r->groups.len);
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&r->groups, &pos, NULL, &v))
		all[n++] = v;
	for (size_t i = 0; i < n; i++)
		core_group_free(c, all[i], true);
	mem_free(all);
	struct arena a = { 0 };
	(void)map_del(&c->receivers, arena_str(&a, str_of(r->key)));
	arena_fini(&a);
	core_receiver_free(c, r);
}

void core_del_receiver(struct core *c, struct str key)
{
	struct core_receiver *r = map_get(&c->receivers, key);
	if (r)
		receiver_drop(c, r);
}

void core_receivers_known(struct core *c)
{
	if (c->receivers_known)
		return;
	c->receivers_known = true;
	struct core_receiver **gone = mem_new(struct core_receiver *, c->receivers.len);
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->receivers, &pos, NULL, &v))
		if (!((struct core_receiver *)v)->cfg)
			gone[n++] = v;
	for (size_t i = 0; i < n; i++)
		receiver_drop(c, gone[i]);
	mem_free(gone);
	struct core_alert **all = mem_new(struct core_alert *, c->alerts.len);
	n = 0;
	pos = 0;
	while (map_next(&c->alerts, &pos, NULL, &v))
		all[n++] = v;
	for (size_t i = 0; i < n; i++)
		core_alert_release(c, all[i]);
	mem_free(all);
}

size_t core_queued(const struct core *c, struct str receiver)
{
	const struct core_receiver *r = map_get(&c->receivers, receiver);
	return r ? r->open : 0;
}
