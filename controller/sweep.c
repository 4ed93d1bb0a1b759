/*
 * What nobody needs any more: copies of ConfigMaps, Secrets and service accounts; and Namespaces that were deleted.
 *
 * A copy is needed as long as a workload of the namespace, in the global API or in the cluster, names it, and
 * until the rollout that dropped it is over: pods of the old revision may still start.  An
 * object in the cluster whose origin is unknown keeps what it names: it is not ours to judge.
 */
#include "bury.h"
#include "fleet.h"
#include "manifest.h"
#include "member.h"
#include "object.h"

enum { LATER_MS = 10000 };

struct sweep {
	struct fleet *fleet;
	struct job *job;
	struct arena *arena;
	struct member *m;
	struct str ns;
	struct refs needed;
	bool unsure; /* something is not known, or a rollout is under way */
};

static void need_all(struct sweep *s, const struct json *obj)
{
	struct refs r = refs_of(s->arena, obj);
	for (size_t i = 0; i < r.len; i++) {
		if (refs_has(&s->needed, r.a[i].kind, r.a[i].name))
			continue;
		if (s->needed.len == REFS_MAX)
			s->unsure = true;
		else
			s->needed.a[s->needed.len++] = r.a[i];
	}
}

static bool in_namespace(struct str key, struct str ns)
{
	return str_starts(key, ns) && key.len > ns.len && key.p[ns.len] == '/';
}

static bool is_rolling(const struct json *have)
{
	const struct json *st = json_getc(have, "status");
	int64_t want = json_i64(json_dig(have, "spec", "replicas", NULL), -1);
	if (want < 0 || !refs_template(have))
		return false;
	return json_i64(json_getc(st, "observedGeneration"), 0) <
		       json_i64(json_dig(have, "metadata", "generation", NULL), 0) ||
	       json_i64(json_getc(st, "updatedReplicas"), 0) < want ||
	       json_i64(json_getc(st, "replicas"), 0) > want;
}

static void see_copy(void *arg, struct str key, struct str text)
{
	struct sweep *s = arg;
	struct json obj;
	if (!in_namespace(key, s->ns))
		return;
	if (json_parse(s->arena, text, NULL, &obj, NULL) != 0) {
		s->unsure = true;
		return;
	}
	need_all(s, &obj);
	s->unsure |= is_rolling(&obj);
}

static void see_origin(void *arg, struct str key, struct str text)
{
	struct sweep *s = arg;
	struct json obj;
	if (!in_namespace(key, s->ns))
		return;
	if (json_parse(s->arena, text, NULL, &obj, NULL) == 0)
		need_all(s, &obj);
	else
		s->unsure = true;
}

/* Pull secrets of service accounts that are needed themselves. */
static void see_account(void *arg, struct str key, struct str text)
{
	struct sweep *s = arg;
	struct json obj;
	if (!in_namespace(key, s->ns) || json_parse(s->arena, text, NULL, &obj, NULL) != 0)
		return;
	if (refs_has(&s->needed, REF_SERVICE_ACCOUNT, str_sub(key, s->ns.len + 1, key.len)))
		need_all(s, &obj);
}

struct dropper {
	struct sweep *s;
	enum ref_kind kind;
	struct client_informer *from;
};

static void drop_unneeded(void *arg, struct str key, struct str text)
{
	const struct dropper *d = arg;
	struct sweep *s = d->s;
	struct json obj;
	struct str name = str_sub(key, s->ns.len + 1, key.len);
	if (!in_namespace(key, s->ns) || refs_has(&s->needed, d->kind, name) ||
	    json_parse(s->arena, text, NULL, &obj, NULL) != 0)
		return;
	if (!manifest_is_managed(&obj) || !manifest_origin(&obj).len || !object_uid(&obj).len ||
	    object_is_deleting(&obj))
		return;
	struct job_effect e = { .client = s->m->client,
				.seen_by = d->from,
				.where = str_of(s->m->name),
				.path = fleet_path(s->arena, "/api/v1", fleet_ref_plural(d->kind),
						   s->ns, name) };
	job_send(s->job, &e, "DELETE", NULL, object_delete_options(s->arena, &obj));
}

static void collect(struct sweep *s)
{
	for (size_t i = 0; i < s->fleet->kinds_len; i++) {
		const struct kind *k = &s->fleet->kinds[i];
		client_informer_each(k->global, see_origin, s);
		s->unsure |= !client_informer_synced(k->global);
		if (k->native && !s->m->native)
			continue;
		struct client_informer *there = s->m->kinds[k->index];
		s->unsure |= !there || !client_informer_synced(there);
		if (there)
			client_informer_each(there, see_copy, s);
	}
	client_informer_each(s->fleet->deps[REF_SERVICE_ACCOUNT], see_account, s);
	client_informer_each(s->m->deps[REF_SERVICE_ACCOUNT], see_account, s);
}

static void sweep(struct sweep *s)
{
	s->needed.a = arena_new(s->arena, struct ref, REFS_MAX);
	collect(s);
	if (s->unsure)
		return;
	for (int k = 0; k < REF_KINDS; k++) {
		/* Secrets are only watched where some workload asked for them */
		bool synced = false;
		struct client_informer *from = NULL;
		if (k == REF_SECRET && !map_get(&s->m->secrets, s->ns))
			continue;
		(void)member_read_ref(s->arena, s->m, s->ns, (enum ref_kind)k, STR("-"), &synced,
				      &from);
		struct dropper d = { s, (enum ref_kind)k, from };
		if (synced)
			client_informer_each(from, drop_unneeded, &d);
	}
}

/* key: "CLUSTER NAMESPACE" */
void sweep_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct fleet *f = arg;
	struct job *j = job_new(&f->jobs, q, key);
	struct sweep s = { .fleet = f, .job = j, .arena = job_arena(j) };
	ptrdiff_t blank = str_find(key, ' ', 0);
	s.m = map_get(&f->members, str_sub(key, 0, blank < 0 ? 0 : (size_t)blank));
	s.ns = arena_str(s.arena, str_sub(key, (size_t)(blank + 1), key.len));
	if (s.m && member_contact(s.m, NULL) == PLACE_UP) {
		sweep(&s);
		if (s.unsure)
			ctl_add_after(q, key, LATER_MS);
	}
	job_end(j);
}

/* ---- Namespaces ---- */

/* Whether member m is done with the Namespace: its copy is gone, or a tombstone stands for it. */
static bool take_out(struct fleet *f, struct job *j, struct member *m, const struct json *ns)
{
	struct arena *a = job_arena(j);
	struct str name = json_str(json_dig(ns, "metadata", "name", NULL));
	enum place_contact contact = member_contact(m, NULL);
	if (contact == PLACE_DOWN) {
		const struct tombstone x = { STR("v1"), STR("Namespace"), STR(""), name,
					     object_uid(ns) };
		return bury(f, j, m, &x, NULL);
	}
	if (contact != PLACE_UP)
		return false;
	const struct json *have = fleet_read(a, m->i_namespaces, name);
	if (!have || !manifest_is_managed(have) || !str_eq(manifest_origin(have), object_uid(ns)))
		return true;
	if (object_is_deleting(have))
		return false;
	struct job_effect e = { .client = m->client,
				.seen_by = m->i_namespaces,
				.where = str_of(m->name),
				.path = arena_printf(a, "/api/v1/namespaces/%.*s", STR_ARG(name)) };
	job_send(j, &e, "DELETE", NULL, object_delete_options(a, have));
	return false;
}

static void take_out_everywhere(struct fleet *f, struct job *j, struct ctl_queue *q,
				const struct json *ns, struct str key)
{
	struct arena *a = job_arena(j);
	bool done = true;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&f->members, &pos, NULL, &v))
		done = take_out(f, j, v, ns) && done;
	if (!done) {
		ctl_add_after(q, key, LATER_MS);
		return;
	}
	struct json body;
	struct json *meta = object_patch(a, ns, &body);
	(void)json_setc(a, meta, "finalizers", object_finalizers(a, ns, false));
	struct job_effect e = { .client = f->cfg.client,
				.seen_by = f->i_namespaces,
				.path = arena_printf(a, "/api/v1/namespaces/%.*s", STR_ARG(key)) };
	job_send(j, &e, "PATCH", "application/merge-patch+json", json_text(a, &body));
}

/* A Namespace that its user deleted leaves the clusters too; one that nobody uses stays. */
void namespace_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct fleet *f = arg;
	struct job *j = job_new(&f->jobs, q, key);
	const struct json *ns = fleet_read(job_arena(j), f->i_namespaces, key);
	if (ns && object_is_deleting(ns) && object_has_finalizer(ns))
		take_out_everywhere(f, j, q, ns, key);
	job_end(j);
}
