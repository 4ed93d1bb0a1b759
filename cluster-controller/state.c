#include "state.h"

#include "base/mem.h"
#include "parse.h"
#include "sys/clock.h"

struct owner {
	struct list members;
};

/* ---- indexes ---- */

static void index_add(struct map *m, struct str key, struct list *member)
{
	if (!key.len)
		return;
	struct owner *o = map_get(m, key);
	if (!o) {
		o = mem_new(struct owner, 1);
		list_init(&o->members);
		(void)map_set(m, key, o);
	}
	list_append(&o->members, member);
}

static void index_del(struct map *m, struct str key, struct list *member)
{
	list_del(member);
	struct owner *o = key.len ? map_get(m, key) : NULL;
	if (o && list_empty(&o->members)) {
		(void)map_del(m, key);
		mem_free(o);
	}
}

static struct list *index_get(const struct map *m, struct str key)
{
	struct owner *o = map_get(m, key);
	return o ? &o->members : NULL;
}

struct list *state_pods_of(const struct state *s, struct str owner_uid)
{
	return index_get(&s->pods_by_owner, owner_uid);
}

struct list *state_sets_of(const struct state *s, struct str owner_uid)
{
	return index_get(&s->sets_by_owner, owner_uid);
}

/* No uid begins with a slash. */
static struct list *orphans(const struct map *m, struct str ns)
{
	struct arena a = { 0 };
	struct list *l = index_get(m, arena_strf(&a, "/%.*s", STR_ARG(ns)));
	arena_fini(&a);
	return l;
}

static struct str index_key(struct arena *a, struct str owner_uid, struct str ns)
{
	return owner_uid.len ? owner_uid : arena_strf(a, "/%.*s", STR_ARG(ns));
}

struct list *state_orphan_pods(const struct state *s, struct str ns)
{
	return orphans(&s->pods_by_owner, ns);
}

struct list *state_orphan_sets(const struct state *s, struct str ns)
{
	return orphans(&s->sets_by_owner, ns);
}

struct list *state_pods_on(const struct state *s, struct str node)
{
	return index_get(&s->pods_by_node, node);
}

struct pod *state_pod(const struct state *s, struct str key)
{
	return map_get(&s->pods, key);
}

struct rs *state_set(const struct state *s, struct str key)
{
	return map_get(&s->sets, key);
}

struct deployment *state_deployment(const struct state *s, struct str key)
{
	return map_get(&s->deployments, key);
}

struct rs *state_set_by_uid(const struct state *s, struct str uid)
{
	return map_get(&s->set_by_uid, uid);
}

struct deployment *state_deployment_by_uid(const struct state *s, struct str uid)
{
	return map_get(&s->deployment_by_uid, uid);
}

struct batch *state_job(const struct state *s, struct str key)
{
	return map_get(&s->jobs, key);
}

struct batch *state_job_by_uid(const struct state *s, struct str uid)
{
	return map_get(&s->job_by_uid, uid);
}

struct budget *state_budget(const struct state *s, struct str key)
{
	return map_get(&s->budgets, key);
}

struct node *state_node(const struct state *s, struct str name)
{
	return map_get(&s->nodes, name);
}

/* ---- pods ---- */

static void pod_free(struct state *s, struct pod *p)
{
	index_del(&s->pods_by_owner, p->index_key, &p->by_owner);
	index_del(&s->pods_by_node, p->node, &p->by_node);
	arena_fini(&p->arena);
	mem_free(p);
}

static void on_pod_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct state *s = arg;
	struct pod *p = mem_new(struct pod, 1);
	parse_pod(p, obj);
	struct pod *old = map_set(&s->pods, key, p);
	/* our binding may be ahead of what the informer shows */
	if (old && old->assumed_ms && !p->node.len && clock_mono_ms() < old->assumed_ms) {
		p->node = arena_str(&p->arena, old->node);
		p->assumed_ms = old->assumed_ms;
	}
	if (old && !str_eq(old->owner_uid, p->owner_uid))
		s->on_pod(s->arg, old, true); /* for its owner until now it is gone */
	if (old)
		pod_free(s, old);
	p->index_key = index_key(&p->arena, p->owner_uid, p->ns);
	index_add(&s->pods_by_owner, p->index_key, &p->by_owner);
	index_add(&s->pods_by_node, p->node, &p->by_node);
	s->on_pod(s->arg, p, false);
}

static void on_pod_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct state *s = arg;
	struct pod *p = map_del(&s->pods, key);
	if (!p)
		return;
	s->on_pod(s->arg, p, true);
	pod_free(s, p);
}

void state_assume(struct state *s, struct pod *p, struct str node, uint64_t now_ms)
{
	index_del(&s->pods_by_node, p->node, &p->by_node);
	p->node = arena_str(&p->arena, node);
	p->assumed_ms = node.len ? now_ms + 30000 : 0;
	index_add(&s->pods_by_node, p->node, &p->by_node);
}

/* ---- nodes ---- */

static void node_free(struct node *n)
{
	arena_fini(&n->arena);
	mem_free(n);
}

static void on_node_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct state *s = arg;
	struct node *n = mem_new(struct node, 1);
	parse_node(n, obj);
	struct node *old = map_set(&s->nodes, key, n);
	n->born_ms = clock_mono_ms();
	if (old) { /* what was observed is not in the object */
		n->lease = old->lease;
		n->born_ms = old->born_ms;
		n->tainted_since_ms = old->tainted_since_ms;
		node_free(old);
	}
	s->on_node(s->arg, n, false);
}

static void on_node_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct state *s = arg;
	struct node *n = map_del(&s->nodes, key);
	if (!n)
		return;
	s->on_node(s->arg, n, true);
	node_free(n);
}

/* ---- workloads ---- */

static void rs_free(struct state *s, struct rs *r)
{
	index_del(&s->sets_by_owner, r->index_key, &r->by_owner);
	if (map_get(&s->set_by_uid, r->uid) == r)
		(void)map_del(&s->set_by_uid, r->uid);
	arena_fini(&r->arena);
	mem_free(r);
}

static void on_rs_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct state *s = arg;
	struct rs *r = mem_new(struct rs, 1);
	parse_rs(r, obj);
	struct rs *old = map_set(&s->sets, key, r);
	if (old && !str_eq(old->owner_uid, r->owner_uid))
		s->on_set(s->arg, old, true);
	if (old)
		rs_free(s, old);
	r->index_key = index_key(&r->arena, r->owner_uid, r->ns);
	index_add(&s->sets_by_owner, r->index_key, &r->by_owner);
	(void)map_set(&s->set_by_uid, r->uid, r);
	s->on_set(s->arg, r, false);
}

static void on_rs_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct state *s = arg;
	struct rs *r = map_del(&s->sets, key);
	if (!r)
		return;
	s->on_set(s->arg, r, true);
	rs_free(s, r);
}

static void deployment_free(struct state *s, struct deployment *d)
{
	if (map_get(&s->deployment_by_uid, d->uid) == d)
		(void)map_del(&s->deployment_by_uid, d->uid);
	arena_fini(&d->arena);
	mem_free(d);
}

static void on_deployment_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct state *s = arg;
	struct deployment *d = mem_new(struct deployment, 1);
	parse_deployment(d, obj);
	struct deployment *old = map_set(&s->deployments, key, d);
	if (old)
		deployment_free(s, old);
	(void)map_set(&s->deployment_by_uid, d->uid, d);
	s->on_deployment(s->arg, d, false);
}

static void on_deployment_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct state *s = arg;
	struct deployment *d = map_del(&s->deployments, key);
	if (!d)
		return;
	s->on_deployment(s->arg, d, true);
	deployment_free(s, d);
}

static void job_free(struct state *s, struct batch *b)
{
	if (map_get(&s->job_by_uid, b->uid) == b)
		(void)map_del(&s->job_by_uid, b->uid);
	arena_fini(&b->arena);
	mem_free(b);
}

static void on_job_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct state *s = arg;
	struct batch *b = mem_new(struct batch, 1);
	parse_job(b, obj);
	struct batch *old = map_set(&s->jobs, key, b);
	if (old)
		job_free(s, old);
	(void)map_set(&s->job_by_uid, b->uid, b);
	s->on_job(s->arg, b, false);
}

static void on_job_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct state *s = arg;
	struct batch *b = map_del(&s->jobs, key);
	if (!b)
		return;
	s->on_job(s->arg, b, true);
	job_free(s, b);
}

static void budget_free(struct budget *b)
{
	arena_fini(&b->arena);
	mem_free(b);
}

static void on_budget_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct state *s = arg;
	struct budget *b = mem_new(struct budget, 1);
	parse_budget(b, obj);
	struct budget *old = map_set(&s->budgets, key, b);
	if (old)
		budget_free(old);
	s->on_budget(s->arg, b, false);
}

static void on_budget_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct state *s = arg;
	struct budget *b = map_del(&s->budgets, key);
	if (!b)
		return;
	s->on_budget(s->arg, b, true);
	budget_free(b);
}

/* ---- life ---- */

void state_init(struct state *s, struct ctl *ctl, struct client *client)
{
	*s = (struct state){ .ctl = ctl, .client = client };
	struct map *maps[] = { &s->pods,         &s->nodes,         &s->sets,
			       &s->deployments,  &s->pods_by_owner, &s->sets_by_owner,
			       &s->pods_by_node, &s->jobs,          &s->job_by_uid,
			       &s->budgets };
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		map_init(maps[i], clock_random_u64());
}

static struct client_informer *watch(struct state *s, const char *path,
				     void (*set)(void *, struct str, const struct json *,
						 struct str),
				     void (*del)(void *, struct str, struct str))
{
	const struct client_informer_config cfg = {
		.path = path, .on_set = set, .on_delete = del, .arg = s
	};
	return ctl_watch(s->ctl, s->client, &cfg, true);
}

void state_watch(struct state *s)
{
	s->i_nodes = watch(s, "/api/v1/nodes", on_node_set, on_node_delete);
	s->i_pods = watch(s, "/api/v1/pods", on_pod_set, on_pod_delete);
	s->i_sets = watch(s, "/apis/apps/v1/replicasets", on_rs_set, on_rs_delete);
	s->i_jobs = watch(s, "/apis/batch/v1/jobs", on_job_set, on_job_delete);
	s->i_budgets =
		watch(s, "/apis/policy/v1/poddisruptionbudgets", on_budget_set, on_budget_delete);
	s->i_deployments =
		watch(s, "/apis/apps/v1/deployments", on_deployment_set, on_deployment_delete);
}

void state_fini(struct state *s)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&s->pods, &pos, NULL, &v))
		pod_free(s, v);
	pos = 0;
	while (map_next(&s->sets, &pos, NULL, &v))
		rs_free(s, v);
	pos = 0;
	while (map_next(&s->nodes, &pos, NULL, &v))
		node_free(v);
	pos = 0;
	while (map_next(&s->deployments, &pos, NULL, &v))
		deployment_free(s, v);
	pos = 0;
	while (map_next(&s->jobs, &pos, NULL, &v))
		job_free(s, v);
	pos = 0;
	while (map_next(&s->budgets, &pos, NULL, &v))
		budget_free(v);
	map_fini(&s->budgets);
	map_fini(&s->jobs);
	map_fini(&s->job_by_uid);
	map_fini(&s->pods);
	map_fini(&s->sets);
	map_fini(&s->nodes);
	map_fini(&s->deployments);
	map_fini(&s->pods_by_owner);
	map_fini(&s->sets_by_owner);
	map_fini(&s->pods_by_node);
	map_fini(&s->set_by_uid);
	map_fini(&s->deployment_by_uid);
}
