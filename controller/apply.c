/* Carries a plan's shares out in the clusters: what the workload needs first, then its copy. */
#include "base/log.h"
#include "manifest.h"
#include "object.h"
#include "workload.h"

#include <inttypes.h>

enum { REMOVALS_WINDOW_MS = 600000 };

/* ---- what a workload needs ---- */

static bool is_managed(const struct json *have)
{
	return manifest_is_managed(have);
}

static struct job_effect in_cluster(const struct workload *w, size_t i, const char *path,
				    struct client_informer *seen_by)
{
	return (struct job_effect){ .client = w->copies[i].member->client,
				    .seen_by = seen_by,
				    .where = w->clusters[i].name,
				    .path = path };
}

/* The global Namespace gets our finalizer before its first copy is made. */
static void guard_namespace(struct workload *w, const struct json *ns)
{
	struct json body;
	struct json *meta = object_patch(w->arena, ns, &body);
	(void)json_setc(w->arena, meta, "finalizers", object_finalizers(w->arena, ns, true));
	struct job_effect e = {
		.client = w->fleet->cfg.client,
		.seen_by = w->fleet->i_namespaces,
		.path = arena_printf(w->arena, "/api/v1/namespaces/%.*s", STR_ARG(w->ns)),
	};
	job_send(w->job, &e, "PATCH", "application/merge-patch+json", json_text(w->arena, &body));
}

static bool need_namespace(struct workload *w, size_t i)
{
	struct member *m = w->copies[i].member;
	if (member_has_namespace(m, w->ns)) {
		const struct json *have = fleet_read(w->arena, m->i_namespaces, w->ns);
		if (!object_is_deleting(have))
			return true;
		workload_trouble(w,
				 arena_strf(w->arena, "cluster %s: namespace %.*s is being deleted",
					    m->name, STR_ARG(w->ns)));
		return false;
	}
	const struct json *ns = fleet_read(w->arena, w->fleet->i_namespaces, w->ns);
	if (!ns || object_is_deleting(ns))
		return false;
	if (!object_has_finalizer(ns)) {
		guard_namespace(w, ns);
		return false;
	}
	const struct json want = manifest_of(w->arena, ns, STR(""), MANIFEST_AS_IT_IS);
	struct job_effect e =
		in_cluster(w, i, arena_printf(w->arena, "/api/v1/namespaces/%.*s", STR_ARG(w->ns)),
			   m->i_namespaces);
	job_create(w->job, &e, json_text(w->arena, &want), is_managed);
	return false;
}

/* Whether one of the things referred to is as it is to be; else what is missing is sent. */
static bool need_ref(struct workload *w, size_t i, const struct ref *r)
{
	struct member *m = w->copies[i].member;
	bool known = false;
	bool there_known = false;
	struct client_informer *seen_by = NULL;
	const struct json *from = fleet_read_ref(w->arena, w->fleet, w->ns, r, &known);
	const struct json *have =
		member_read_ref(w->arena, m, w->ns, r->kind, r->name, &there_known, &seen_by);
	if (!known || !there_known)
		return false; /* the first list wakes the workload */
	if (!from) {
		if (!r->optional && !have)
			workload_trouble(w, arena_strf(w->arena, "%s %.*s does not exist",
						       fleet_ref_name(r->kind), STR_ARG(r->name)));
		return true;
	}
	if (have && object_is_deleting(have))
		return false;
	const struct json want = manifest_of(w->arena, from, STR(""), MANIFEST_AS_IT_IS);
	if (have && manifest_is_there(&want, have))
		return true;
	struct job_effect e = in_cluster(
		w, i, fleet_path(w->arena, "/api/v1", fleet_ref_plural(r->kind), w->ns, r->name),
		seen_by);
	if (have)
		job_apply(w->job, &e, json_text(w->arena, &want));
	else
		job_create(w->job, &e, json_text(w->arena, &want), is_managed);
	return false;
}

bool workload_deps(struct workload *w, size_t i, const struct refs *refs)
{
	if (!need_namespace(w, i))
		return false;
	bool all = true;
	for (size_t k = 0; k < refs->len; k++)
		all = need_ref(w, i, &refs->a[k]) && all;
	return all;
}

/* A service account brings its pull secrets along. */
static struct refs all_refs(struct workload *w)
{
	struct refs r = refs_of(w->arena, w->obj);
	size_t own = r.len;
	for (size_t i = 0; i < own; i++) {
		if (r.a[i].kind != REF_SERVICE_ACCOUNT)
			continue;
		bool known = false;
		const struct json *sa = fleet_read_ref(w->arena, w->fleet, w->ns, &r.a[i], &known);
		struct refs more = sa ? refs_of(w->arena, sa) : (struct refs){ 0 };
		for (size_t k = 0; k < more.len && r.len < REFS_MAX; k++)
			if (!refs_has(&r, more.a[k].kind, more.a[k].name))
				r.a[r.len++] = more.a[k];
	}
	return r;
}

/* ---- the copy ---- */

static void tell_scaled(struct workload *w, size_t i, int64_t from, int64_t to)
{
	if (!w->scalable || from == to)
		return;
	const struct ctl_object_ref about = { str_of(w->kind->api_version), str_of(w->kind->name),
					      w->ns, w->name, w->uid };
	const struct place_share *s = &w->plan.shares[i];
	ctl_event(w->fleet->cfg.ctl, &about, false, "ScaledShare",
		  "Scaled share in cluster %.*s from %" PRId64 " to %" PRId64 ": %.*s",
		  STR_ARG(w->clusters[i].name), from, to, STR_ARG(s->reason));
}

static bool apply_copy(struct workload *w, size_t i, const struct refs *refs)
{
	struct copy *x = &w->copies[i];
	const struct place_share *s = &w->plan.shares[i];
	if (!workload_deps(w, i, refs))
		return false;
	struct str by = w->placement ? w->placement->name : STR("");
	const struct json want =
		manifest_of(w->arena, w->obj, by, w->scalable ? s->replicas : MANIFEST_AS_IT_IS);
	if (x->have && manifest_is_there(&want, x->have))
		return true;
	struct job_effect e = in_cluster(w, i, fleet_kind_path(w->arena, w->kind, w->ns, w->name),
					 x->member->kinds[w->kind->index]);
	if (x->have)
		job_apply(w->job, &e, json_text(w->arena, &want));
	else
		job_create(w->job, &e, json_text(w->arena, &want), is_managed);
	log_info("copy-applied", "workload", LOG_STR(w->key), "cluster",
		 LOG_STR(w->clusters[i].name), "replicas", LOG_I(s->replicas), "created",
		 LOG_I(!x->have), NULL);
	tell_scaled(w, i, x->have ? w->clusters[i].current : 0, s->replicas);
	return false;
}

/*
 * Brake over all workloads: what users did not delete themselves may leave clusters only so often.  A wrong label
 * on many Clusters, or a bug of ours, must not empty a fleet.
 */
static bool may_remove(struct workload *w)
{
	struct fleet *f = w->fleet;
	if (w->plan.verdict == PLACE_LEAVES)
		return true;
	uint64_t now = loop_now_ms(f->cfg.loop);
	if (now - f->removals_since_ms >= REMOVALS_WINDOW_MS) {
		f->removals_since_ms = now;
		f->removals = 0;
	}
	if (f->removals < f->cfg.removals_max) {
		f->removals++;
		return true;
	}
	workload_trouble(w, arena_strf(w->arena,
				       "%" PRId64 " copies were removed from clusters within ten "
				       "minutes (--removals-max); no more are for now",
				       f->removals));
	ctl_add_after(f->workloads, w->key,
		      REMOVALS_WINDOW_MS - (now - f->removals_since_ms) + 1000);
	return false;
}

/* Only what came from this very object, and only as long as it is that copy. */
static void remove_copy(struct workload *w, size_t i)
{
	struct copy *x = &w->copies[i];
	if (!x->have || !x->ours || !manifest_is_managed(x->have) || !object_uid(x->have).len ||
	    !may_remove(w))
		return;
	struct job_effect e = in_cluster(w, i, fleet_kind_path(w->arena, w->kind, w->ns, w->name),
					 x->member->kinds[w->kind->index]);
	job_send(w->job, &e, "DELETE", NULL, object_delete_options(w->arena, x->have));
	log_info("copy-removed", "workload", LOG_STR(w->key), "cluster",
		 LOG_STR(w->clusters[i].name), "why", LOG_STR(w->plan.shares[i].reason), NULL);
	tell_scaled(w, i, w->clusters[i].current, 0);
}

bool workload_apply(struct workload *w)
{
	struct refs refs = all_refs(w);
	bool applied = true;
	for (size_t i = 0; i < w->len; i++) {
		const struct place_share *s = &w->plan.shares[i];
		if (w->clusters[i].contact != PLACE_UP)
			continue;
		if (s->act == PLACE_APPLY)
			applied = apply_copy(w, i, &refs) && applied;
		else if (s->act == PLACE_REMOVE)
			remove_copy(w, i);
	}
	return applied && !w->trouble.len;
}
