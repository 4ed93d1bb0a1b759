/*
 * The global view: what the AlertRules of each cluster say of their alerts, polled through the global API.  A cluster
 * that does not answer is shown as it was last seen; that it is silent is an alert of its own.
 */
#include "base/mem.h"
#include "engine_priv.h"

enum { TIMEOUT_MS = 10000, ALERTS_MAX = 100, BYTES_MAX = 64 << 20 };

enum { ALERT_RULES, PROMETHEUS_RULES, LISTS };

/* The rules of one kind. */
struct mirror_list {
	struct mirror *mirror;
	struct client_call *call;
	struct arena arena;
	struct json list; /* {key: status}, in the arena */
};

struct mirror {
	struct engine *engine;
	struct mirror_list lists[LISTS];
	bool there; /* of the clusters that there are now */
	char cluster[];
};

static void mirror_free(struct mirror *m)
{
	for (size_t i = 0; i < LISTS; i++) {
		client_cancel(m->lists[i].call);
		arena_fini(&m->lists[i].arena);
	}
	mem_free(m);
}

static void tell_all(struct engine *e)
{
	size_t pos = 0;
	struct str key;
	void *v = NULL;
	while (map_next(&e->rules, &pos, &key, &v))
		if (!((const struct rule_entry *)v)->set->global || str_is(key, builtin_keys[1]))
			status_rule(e, key);
}

/* {key: status} of a list of rules; keys are those of the engine's rules. */
static struct json statuses(struct arena *a, const struct json *list, const char *mark)
{
	struct json all = json_object();
	const struct json *items = json_getc(list, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *x = json_at(items, i);
		const struct json *m = json_getc(x, "metadata");
		const struct json *status = json_getc(x, "status");
		if (!status || str_is(json_str(json_dig(x, "spec", "scope", NULL)), "Global"))
			continue;
		(void)json_set(a, &all,
			       arena_strf(a, "%s%.*s/%.*s", mark,
					  STR_ARG(json_str(json_getc(m, "namespace"))),
					  STR_ARG(json_str(json_getc(m, "name")))),
			       json_clone(a, status));
	}
	return all;
}

static void on_list(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct mirror_list *m = arg;
	bool alien = m == &m->mirror->lists[PROMETHEUS_RULES];
	m->call = NULL;
	struct arena a = { 0 };
	struct json list;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = BYTES_MAX;
	limits.values_max = 8U << 20;
	if (!err && json_parse(&a, body, &limits, &list, NULL) == 0) {
		struct arena fresh = { 0 };
		struct json now = statuses(&fresh, &list, alien ? "+" : "");
		bool same = json_equal(&now, &m->list);
		arena_fini(&m->arena);
		m->arena = fresh;
		m->list = now;
		if (!same)
			tell_all(m->mirror->engine);
	}
	arena_fini(&a);
}

static void ask_list(struct mirror_list *l, struct str cluster, const char *path)
{
	if (l->call)
		return;
	struct arena a = { 0 };
	l->call = client_send(
		l->mirror->engine->cfg.client,
		&(struct client_request){
			.method = "GET",
			.path = arena_printf(&a, "/clusters/%.*s/apis/%s", STR_ARG(cluster), path),
			.timeout_ms = TIMEOUT_MS,
			.done = on_list,
			.arg = l });
	arena_fini(&a);
}

static void ask(struct engine *e, struct str cluster)
{
	struct mirror *m = map_get(&e->mirrors, cluster);
	if (!m) {
		m = mem_calloc(1, sizeof(*m) + cluster.len + 1);
		memcpy(m->cluster, cluster.p, cluster.len);
		m->engine = e;
		for (size_t i = 0; i < LISTS; i++)
			m->lists[i].mirror = m;
		(void)map_set(&e->mirrors, cluster, m);
	}
	m->there = true;
	ask_list(&m->lists[ALERT_RULES], cluster, "monitoring.rctl.io/v1alpha1/alertrules");
	ask_list(&m->lists[PROMETHEUS_RULES], cluster, "monitoring.coreos.com/v1/prometheusrules");
}

/* Of clusters that are no more nothing is shown. */
static void forget(struct engine *e)
{
	for (;;) {
		struct mirror *gone = NULL;
		size_t pos = 0;
		void *v = NULL;
		while (!gone && map_next(&e->mirrors, &pos, NULL, &v))
			gone = ((struct mirror *)v)->there ? NULL : v;
		if (!gone)
			return;
		(void)map_del(&e->mirrors, str_of(gone->cluster));
		mirror_free(gone);
		tell_all(e);
	}
}

static void on_timer(struct loop_timer *t)
{
	struct engine *e = container_of(t, struct engine, mirror_timer);
	loop_timer_set(e->cfg.loop, t, (uint64_t)e->cfg.mirror_ms);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->mirrors, &pos, NULL, &v))
		((struct mirror *)v)->there = false;
	struct arena a = { 0 };
	struct objects_cluster *c = NULL;
	size_t n = 0;
	objects_clusters(&e->objects, &a, &c, &n);
	for (size_t i = 0; i < n; i++)
		ask(e, c[i].name);
	forget(e);
	arena_fini(&a);
}

void mirror_start(struct engine *e)
{
	if (!e->cfg.global)
		return;
	e->mirror_timer.fn = on_timer;
	loop_timer_set(e->cfg.loop, &e->mirror_timer, 0);
}

void mirror_fini(struct engine *e)
{
	loop_timer_stop(&e->mirror_timer);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->mirrors, &pos, NULL, &v))
		mirror_free(v);
	map_fini(&e->mirrors);
}

/* ---- sums ---- */

static void add(struct mirror_sum *s, struct arena *a, const struct json *status)
{
	s->firing += json_i64(json_getc(status, "firing"), 0);
	s->pending += json_i64(json_getc(status, "pending"), 0);
	s->omitted += (size_t)json_i64(json_getc(status, "alertsOmitted"), 0);
	const struct json *alerts = json_getc(status, "alerts");
	for (size_t i = 0; i < json_len(alerts); i++) {
		if (s->alerts.len < ALERTS_MAX)
			(void)json_push(a, &s->alerts, json_clone(a, json_at(alerts, i)));
		else
			s->omitted++;
	}
}

static void sum_list(struct engine *e, const struct json *list, struct str key, struct arena *a,
		     struct mirror_sum *ret)
{
	if (key.len) {
		add(ret, a, json_get(list, key));
		return;
	}
	for (size_t i = 0; json_is(list, JSON_OBJECT) && i < json_len(list); i++)
		if (!map_get(&e->rules, json_str(&list->members[i].key)))
			add(ret, a, &list->members[i].value);
}

void mirror_sum(struct engine *e, struct str key, struct arena *a, struct mirror_sum *ret)
{
	*ret = (struct mirror_sum){ .alerts = json_array() };
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->mirrors, &pos, NULL, &v))
		for (size_t i = 0; i < LISTS; i++)
			sum_list(e, &((const struct mirror *)v)->lists[i].list, key, a, ret);
}
