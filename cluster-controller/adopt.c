#include "adopt.h"

/* The owner as the patches name it. */
struct side {
	const char *api, *kind; /* of the owner */
	struct str name, path;  /* path: of the owner */
	struct adopt_owner plan;
	const char *children; /* path of their collection */
	struct client_informer *seen_by;
};

/* One adoption, until the API confirmed that the owner still wants it; in the job's arena. */
struct taking {
	struct side side;
	struct str child, body;
};

static void patch_child(struct job *j, const struct side *s, struct str child, struct str body)
{
	job_send(j, "PATCH", arena_printf(job_arena(j), "%s/%.*s", s->children, STR_ARG(child)),
		 "application/strategic-merge-patch+json", body, s->seen_by);
}

static void on_owner(struct job *j, void *arg, const struct json *owner)
{
	const struct taking *t = arg;
	const struct json *meta = json_getc(owner, "metadata");
	if (str_eq(json_str(json_getc(meta, "uid")), t->side.plan.uid) &&
	    !json_getc(meta, "deletionTimestamp"))
		patch_child(j, &t->side, t->child, t->body);
}

static void send(struct job *j, const struct side *s, enum adopt_what what, struct str child,
		 struct str uid, struct str rv)
{
	struct arena *a = job_arena(j);
	if (what == ADOPT_RELEASE) {
		patch_child(
			j, s, child,
			arena_strf(
				a,
				"{\"metadata\":{\"uid\":\"%.*s\",\"resourceVersion\":\"%.*s\","
				"\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%.*s\"}]}}",
				STR_ARG(uid), STR_ARG(rv), STR_ARG(s->plan.uid)));
		return;
	}
	struct taking *t = arena_new(a, struct taking, 1);
	t->side = *s;
	t->child = arena_str(a, child);
	t->body = arena_strf(a,
			     "{\"metadata\":{\"uid\":\"%.*s\",\"resourceVersion\":\"%.*s\","
			     "\"ownerReferences\":[{\"apiVersion\":\"%s\",\"kind\":\"%s\","
			     "\"name\":\"%.*s\",\"uid\":\"%.*s\",\"controller\":true,"
			     "\"blockOwnerDeletion\":true}]}}",
			     STR_ARG(uid), STR_ARG(rv), s->api, s->kind, STR_ARG(s->name),
			     STR_ARG(s->plan.uid));
	job_ask(j, arena_str(a, s->path).p, on_owner, t);
}

/* ---- pods of ReplicaSets ---- */

static struct adopt_child child_of_pod(const struct pod *p)
{
	return (struct adopt_child){ p->ns, p->owner_uid, p->sched.labels, p->deleting,
				     p->finished };
}

static struct adopt_owner owner_of_rs(const struct rs *r)
{
	return (struct adopt_owner){ r->uid, r->ns, r->selector, r->deleting };
}

static bool adopt_pod_list(struct job *j, const struct side *s, struct list *pods)
{
	bool any = false;
	for (struct list *it = pods ? pods->next : NULL; it && it != pods; it = it->next) {
		const struct pod *p = list_entry(it, struct pod, by_owner);
		struct adopt_child child = child_of_pod(p);
		enum adopt_what what = adopt_plan(&s->plan, &child);
		if (what != ADOPT_NOTHING)
			send(j, s, what, p->name, p->uid, p->rv);
		any |= what != ADOPT_NOTHING;
	}
	return any;
}

bool adopt_pods(struct controllers *c, struct job *j, const struct rs *r)
{
	struct arena *a = job_arena(j);
	const struct side s = {
		.api = "apps/v1",
		.kind = "ReplicaSet",
		.name = r->name,
		.path = arena_strf(a, "/apis/apps/v1/namespaces/%.*s/replicasets/%.*s",
				   STR_ARG(r->ns), STR_ARG(r->name)),
		.plan = owner_of_rs(r),
		.children = arena_printf(a, "/api/v1/namespaces/%.*s/pods", STR_ARG(r->ns)),
		.seen_by = c->state.i_pods,
	};
	bool own = adopt_pod_list(j, &s, state_pods_of(&c->state, r->uid));
	return adopt_pod_list(j, &s, state_orphan_pods(&c->state, r->ns)) || own;
}

void adopt_find_sets(struct controllers *c, const struct pod *p)
{
	struct adopt_child child = child_of_pod(p);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->state.sets, &pos, NULL, &v)) {
		const struct rs *r = v;
		struct adopt_owner owner = owner_of_rs(r);
		if (adopt_plan(&owner, &child) == ADOPT_TAKE)
			ctl_add(c->sets, r->key);
	}
}

/* ---- ReplicaSets of Deployments ---- */

static struct adopt_child child_of_rs(const struct rs *r)
{
	return (struct adopt_child){ r->ns, r->owner_uid, r->labels, r->deleting, false };
}

static struct adopt_owner owner_of_deployment(const struct deployment *d)
{
	return (struct adopt_owner){ d->uid, d->ns, d->selector, d->deleting };
}

static bool adopt_set_list(struct job *j, const struct side *s, struct list *sets)
{
	bool any = false;
	for (struct list *it = sets ? sets->next : NULL; it && it != sets; it = it->next) {
		const struct rs *r = list_entry(it, struct rs, by_owner);
		struct adopt_child child = child_of_rs(r);
		enum adopt_what what = adopt_plan(&s->plan, &child);
		if (what != ADOPT_NOTHING)
			send(j, s, what, r->name, r->uid, r->rv);
		any |= what != ADOPT_NOTHING;
	}
	return any;
}

bool adopt_sets(struct controllers *c, struct job *j, const struct deployment *d)
{
	struct arena *a = job_arena(j);
	const struct side s = {
		.api = "apps/v1",
		.kind = "Deployment",
		.name = d->name,
		.path = arena_strf(a, "/apis/apps/v1/namespaces/%.*s/deployments/%.*s",
				   STR_ARG(d->ns), STR_ARG(d->name)),
		.plan = owner_of_deployment(d),
		.children = arena_printf(a, "/apis/apps/v1/namespaces/%.*s/replicasets",
					 STR_ARG(d->ns)),
		.seen_by = c->state.i_sets,
	};
	bool own = adopt_set_list(j, &s, state_sets_of(&c->state, d->uid));
	return adopt_set_list(j, &s, state_orphan_sets(&c->state, d->ns)) || own;
}

void adopt_find_deployments(struct controllers *c, const struct rs *r)
{
	struct adopt_child child = child_of_rs(r);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->state.deployments, &pos, NULL, &v)) {
		const struct deployment *d = v;
		struct adopt_owner owner = owner_of_deployment(d);
		if (adopt_plan(&owner, &child) == ADOPT_TAKE)
			ctl_add(c->deployments, d->key);
	}
}
