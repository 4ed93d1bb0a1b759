/* ClusterRoles made of others: aggregationRule. */
#include "apiserver/janitor.h"
#include "base/mem.h"

#define PREFIX "rbac.authorization.k8s.io/clusterroles/"

static bool add_aggregated(void *arg, struct watch_obj *o)
{
	struct janitor *j = arg;
	if (str_find_str(watch_obj_json(o), STR("\"clusterRoleSelectors\":"), 0) >= 0)
		janitor_add(j, watch_obj_key(o));
	return true;
}

void aggregate_event(struct janitor *j)
{
	struct watch_snap *snap = watch_snap_get(j->s->cache);
	watch_snap_walk(snap, STR(PREFIX), STR(PREFIX), add_aggregated, j);
	watch_snap_unref(snap);
}

struct gather {
	struct pass *p;
	struct label_selector *selectors;
	size_t len;
	struct json rules;
};

static struct str get_label(void *arg, struct str key)
{
	const struct watch_obj *o = arg;
	struct str v = STR_NONE;
	if (!watch_obj_label(o, key, &v))
		return STR_NONE;
	return v.p ? v : STR("");
}

static void add_rules(struct gather *g, const struct json *rules)
{
	for (size_t i = 0; i < json_len(rules); i++) {
		const struct json *rule = json_at(rules, i);
		bool there = false;
		for (size_t n = 0; n < json_len(&g->rules) && !there; n++)
			there = json_equal(&g->rules.items[n], rule);
		if (!there)
			json_push(&g->p->arena, &g->rules, *rule);
	}
}

static bool gather(void *arg, struct watch_obj *o)
{
	struct gather *g = arg;
	bool wanted = false;
	if (str_eq(watch_obj_key(o), watch_obj_key(g->p->obj)))
		return true;
	for (size_t i = 0; i < g->len && !wanted; i++)
		wanted = label_selector_match(&g->selectors[i], get_label, o);
	struct json role = { 0 };
	if (wanted && object_parse(&g->p->arena, g->p->kind, o, &role, NULL) == 0)
		add_rules(g, json_getc(&role, "rules"));
	return true;
}

void aggregate_pass(struct pass *p)
{
	const struct json *list =
		json_dig(&p->tree, "aggregationRule", "clusterRoleSelectors", NULL);
	struct gather g = { .p = p, .rules = json_array() };
	g.selectors = arena_new(&p->arena, struct label_selector, json_len(list));
	for (size_t i = 0; i < json_len(list); i++)
		if (label_selector_of_json(&p->arena, json_at(list, i), &g.selectors[g.len],
					   NULL) == 0)
			g.len++;
	if (g.len == 0)
		return;
	watch_snap_walk(p->snap, STR(PREFIX), STR(PREFIX), gather, &g);
	const struct json *have = json_getc(&p->tree, "rules");
	if (have ? json_equal(have, &g.rules) : json_len(&g.rules) == 0)
		return;
	json_setc(&p->arena, &p->tree, "rules", g.rules);
	janitor_call(p, "PUT", janitor_path(&p->arena, p->kind, STR_NONE, watch_obj_name(p->obj)),
		     &p->tree);
}
