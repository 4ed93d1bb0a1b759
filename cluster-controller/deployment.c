/* Deployments: rollouts over ReplicaSets. */
#include "adopt.h"
#include "base/buf.h"
#include "controllers.h"
#include "deployment_plan.h"
#include "job.h"
#include "parse.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdlib.h>

#define HASH_LABEL "pod-template-hash"
#define REVISION   "deployment.kubernetes.io/revision"

/* ---- templates ---- */

/* A copy of a ReplicaSet's template without the label that told it apart. */
static struct json plain_template(struct arena *a, const struct json *tmpl)
{
	struct json t = json_clone(a, tmpl);
	struct json *labels = json_dig(&t, "metadata", "labels", NULL);
	if (labels)
		(void)json_removec(labels, HASH_LABEL);
	return t;
}

/* Members in byte order, so that equal templates have equal text. */
static int by_key(const void *a, const void *b)
{
	return str_cmp(json_str(&((const struct json_member *)a)->key),
		       json_str(&((const struct json_member *)b)->key));
}

static void sort_members(struct json *j)
{
	if (json_is(j, JSON_OBJECT)) {
		if (j->len > 1)
			qsort(j->members, j->len, sizeof(*j->members), by_key);
		for (size_t i = 0; i < j->len; i++)
			sort_members(&j->members[i].value);
	} else if (json_is(j, JSON_ARRAY)) {
		for (size_t i = 0; i < j->len; i++)
			sort_members(&j->items[i]);
	}
}

/* Letters and digits that make no words, as Kubernetes chooses them. */
static struct str template_hash(struct arena *a, const struct json *tmpl, int64_t collisions)
{
	static const char safe[] = "bcdfghjklmnpqrstvwxz2456789";
	struct json sorted = json_clone(a, tmpl);
	sort_members(&sorted);
	uint64_t h = str_hash(json_text(a, &sorted), (uint64_t)collisions);
	char *out = arena_alloc(a, 11);
	for (size_t i = 0; i < 10; i++) {
		out[i] = safe[h % (sizeof(safe) - 1)];
		h /= sizeof(safe) - 1;
	}
	return str_n(out, 10);
}

/* ---- input ---- */

struct view {
	struct deployment *d;
	struct rs **sets; /* of input.sets, in the same order */
	struct deploy_input in;
	int64_t max_surge, max_unavailable;
};

static struct str int_or_string(struct arena *a, const struct json *j, const char *otherwise)
{
	if (j && j->type == JSON_INT)
		return arena_strf(a, "%" PRId64, j->i);
	return json_str(j).len ? json_str(j) : str_of(otherwise);
}

static void read_spec(struct arena *a, struct view *v)
{
	const struct json *spec = json_getc(&v->d->obj, "spec");
	const struct json *status = json_getc(&v->d->obj, "status");
	struct deploy_input *in = &v->in;
	in->replicas = json_i64(json_getc(spec, "replicas"), 1);
	in->recreate = str_is(json_str(json_dig(spec, "strategy", "type", NULL)), "Recreate");
	const struct json *roll = json_dig(spec, "strategy", "rollingUpdate", NULL);
	deployment_resolve(int_or_string(a, json_getc(roll, "maxSurge"), "25%"),
			   int_or_string(a, json_getc(roll, "maxUnavailable"), "25%"), in->replicas,
			   &in->max_surge, &in->max_unavailable);
	if (in->recreate)
		in->max_surge = in->max_unavailable = 0;
	in->paused = json_bool(json_getc(spec, "paused"), false);
	in->deleting = v->d->deleting;
	in->history_limit = json_i64(json_getc(spec, "revisionHistoryLimit"), 10);
	in->deadline_s = json_i64(json_getc(spec, "progressDeadlineSeconds"), 600);
	const struct json *prog = parse_condition(json_getc(status, "conditions"), "Progressing");
	in->progress_s = parse_time(json_getc(prog, "lastUpdateTime"));
	struct str reason = json_str(json_getc(prog, "reason"));
	in->was_complete = str_is(reason, "NewReplicaSetAvailable");
	in->was_timed_out = str_is(reason, "ProgressDeadlineExceeded");
	in->old_replicas = json_i64(json_getc(status, "replicas"), 0);
	in->old_updated = json_i64(json_getc(status, "updatedReplicas"), 0);
	in->old_ready = json_i64(json_getc(status, "readyReplicas"), 0);
	in->old_available = json_i64(json_getc(status, "availableReplicas"), 0);
	in->now_s = clock_unix_ms() / 1000;
}

static void read_sets(struct arena *a, const struct controllers *c, struct view *v)
{
	struct list *list = state_sets_of(&c->state, v->d->uid);
	struct deploy_set *out = arena_new(a, struct deploy_set, DEPLOY_SETS_MAX);
	v->sets = arena_new(a, struct rs *, DEPLOY_SETS_MAX);
	v->in.sets = out;
	if (!list)
		return;
	struct json want = plain_template(a, json_dig(&v->d->obj, "spec", "template", NULL));
	list_for_each(it, list)
	{
		struct rs *r = list_entry(it, struct rs, by_owner);
		if (v->in.sets_len == DEPLOY_SETS_MAX)
			break;
		struct json have = plain_template(a, json_dig(&r->obj, "spec", "template", NULL));
		struct list *pods = state_pods_of(&c->state, r->uid);
		size_t n = 0;
		if (pods)
			list_for_each(p, pods) n += !list_entry(p, struct pod, by_owner)->finished;
		v->sets[v->in.sets_len] = r;
		out[v->in.sets_len++] = (struct deploy_set){
			.name = r->name,
			.created_s = r->created_s,
			.revision = r->revision,
			.current = json_equal(&want, &have),
			.deleting = r->deleting,
			.want = r->want,
			.replicas = r->replicas,
			.ready = r->ready,
			.available = r->available,
			.observed = r->observed >= r->generation,
			.pods = n,
		};
	}
}

/* ---- effects ---- */

static struct str set_body(struct arena *a, const struct deployment *d, int64_t replicas,
			   int64_t revision, struct str hash)
{
	const struct json *spec = json_getc(&d->obj, "spec");
	struct json rs = json_object();
	(void)json_setc(a, &rs, "apiVersion", json_of_cstr("apps/v1"));
	(void)json_setc(a, &rs, "kind", json_of_cstr("ReplicaSet"));
	struct json *meta = json_setc(a, &rs, "metadata", json_object());
	(void)json_setc(a, meta, "name",
			json_of_str(arena_strf(a, "%.*s-%.*s", STR_ARG(str_sub(d->name, 0, 230)),
					       STR_ARG(hash))));
	(void)json_setc(a, meta, "namespace", json_of_str(d->ns));
	struct json tmpl = plain_template(a, json_getc(spec, "template"));
	struct json *labels = json_child(a, json_child(a, &tmpl, "metadata"), "labels");
	(void)json_setc(a, labels, HASH_LABEL, json_of_str(hash));
	(void)json_setc(a, meta, "labels", json_clone(a, labels));
	const struct json *notes = json_dig(&d->obj, "metadata", "annotations", NULL);
	struct json *anno =
		json_setc(a, meta, "annotations", notes ? json_clone(a, notes) : json_object());
	(void)json_removec(anno, "kubectl.kubernetes.io/last-applied-configuration");
	(void)json_setc(a, anno, REVISION, json_of_str(arena_strf(a, "%" PRId64, revision)));
	struct json *ref =
		json_push(a, json_setc(a, meta, "ownerReferences", json_array()), json_object());
	(void)json_setc(a, ref, "apiVersion", json_of_cstr("apps/v1"));
	(void)json_setc(a, ref, "kind", json_of_cstr("Deployment"));
	(void)json_setc(a, ref, "name", json_of_str(d->name));
	(void)json_setc(a, ref, "uid", json_of_str(d->uid));
	(void)json_setc(a, ref, "controller", json_of_bool(true));
	(void)json_setc(a, ref, "blockOwnerDeletion", json_of_bool(true));
	struct json *out = json_setc(a, &rs, "spec", json_object());
	(void)json_setc(a, out, "replicas", json_of_i64(replicas));
	const struct json *min_ready = json_getc(spec, "minReadySeconds");
	if (min_ready)
		(void)json_setc(a, out, "minReadySeconds", *min_ready);
	const struct json *selector = json_getc(spec, "selector");
	struct json *sel =
		json_setc(a, out, "selector", selector ? json_clone(a, selector) : json_object());
	(void)json_setc(a, json_child(a, sel, "matchLabels"), HASH_LABEL, json_of_str(hash));
	(void)json_setc(a, out, "template", tmpl);
	return json_text(a, &rs);
}

static void send_sets(struct controllers *c, struct job *j, const struct view *v,
		      const struct deploy_plan *p)
{
	struct arena *a = job_arena(j);
	const struct deployment *d = v->d;
	const char *base =
		arena_printf(a, "/apis/apps/v1/namespaces/%.*s/replicasets", STR_ARG(d->ns));
	const struct ctl_object_ref about = { STR("apps/v1"), STR("Deployment"), d->ns, d->name,
					      d->uid };
	if (p->create) {
		struct json tmpl = plain_template(a, json_dig(&d->obj, "spec", "template", NULL));
		int64_t collisions =
			json_i64(json_dig(&d->obj, "status", "collisionCount", NULL), 0);
		struct str hash = template_hash(a, &tmpl, collisions);
		job_send(j, "POST", base, NULL,
			 set_body(a, d, p->create_replicas, p->revision, hash), c->state.i_sets);
		ctl_event(c->cfg.ctl, &about, false, "ScalingReplicaSet",
			  "Scaled up replica set %.*s-%.*s from 0 to %" PRId64, STR_ARG(d->name),
			  STR_ARG(hash), p->create_replicas);
	}
	for (size_t i = 0; i < p->scale_len; i++) {
		const struct rs *r = v->sets[p->scale[i].set];
		struct str body = arena_strf(a,
					     "{\"metadata\":{\"resourceVersion\":\"%.*s\"},"
					     "\"spec\":{\"replicas\":%" PRId64 "}}",
					     STR_ARG(r->rv), p->scale[i].replicas);
		job_send(j, "PATCH", arena_printf(a, "%s/%.*s", base, STR_ARG(r->name)),
			 "application/merge-patch+json", body, c->state.i_sets);
		ctl_event(c->cfg.ctl, &about, false, "ScalingReplicaSet",
			  "Scaled %s replica set %.*s from %" PRId64 " to %" PRId64,
			  p->scale[i].replicas > r->want ? "up" : "down", STR_ARG(r->name), r->want,
			  p->scale[i].replicas);
	}
	for (size_t i = 0; i < p->drop_len; i++) {
		const struct rs *r = v->sets[p->drop[i]];
		struct str opt = arena_strf(a, "{\"preconditions\":{\"resourceVersion\":\"%.*s\"}}",
					    STR_ARG(r->rv));
		job_send(j, "DELETE", arena_printf(a, "%s/%.*s", base, STR_ARG(r->name)), NULL, opt,
			 c->state.i_sets);
	}
}

/* The revision is on the current ReplicaSet and on the Deployment itself (kubectl rollout history and undo read both). */
static void send_revision(struct controllers *c, struct job *j, const struct view *v,
			  const struct deploy_plan *p)
{
	struct arena *a = job_arena(j);
	struct str body =
		arena_strf(a, "{\"metadata\":{\"annotations\":{\"" REVISION "\":\"%" PRId64 "\"}}}",
			   p->revision);
	for (size_t i = 0; p->set_revision && i < v->in.sets_len; i++)
		if (v->in.sets[i].current && !v->in.sets[i].deleting)
			job_send(j, "PATCH",
				 arena_printf(a, "/apis/apps/v1/namespaces/%.*s/replicasets/%.*s",
					      STR_ARG(v->d->ns), STR_ARG(v->sets[i]->name)),
				 "application/merge-patch+json", body, c->state.i_sets);
	int64_t have = 0;
	(void)str_to_i64(json_str(json_dig(&v->d->obj, "metadata", "annotations", REVISION, NULL)),
			 &have);
	if (have != p->revision && !v->d->deleting)
		job_send(j, "PATCH",
			 arena_printf(a, "/apis/apps/v1/namespaces/%.*s/deployments/%.*s",
				      STR_ARG(v->d->ns), STR_ARG(v->d->name)),
			 "application/merge-patch+json", body, c->state.i_deployments);
}

/* ---- status ---- */

struct wanted {
	const char *type, *status, *reason;
	struct str message;
	bool touch; /* lastUpdateTime moves although nothing else does */
};

/* Keeps the times of a condition that did not change. */
static bool put_condition(struct arena *a, struct json *list, const struct json *old_list,
			  const struct wanted *w, struct str now)
{
	const struct json *old = parse_condition(old_list, w->type);
	bool same_status = str_is(json_str(json_getc(old, "status")), w->status);
	bool same = same_status && str_is(json_str(json_getc(old, "reason")), w->reason) &&
		    str_eq(json_str(json_getc(old, "message")), w->message) && !w->touch;
	struct json *c = json_push(a, list, json_object());
	(void)json_setc(a, c, "type", json_of_cstr(w->type));
	(void)json_setc(a, c, "status", json_of_cstr(w->status));
	(void)json_setc(a, c, "reason", json_of_cstr(w->reason));
	(void)json_setc(a, c, "message", json_of_str(w->message));
	(void)json_setc(a, c, "lastUpdateTime",
			same ? *json_getc(old, "lastUpdateTime") : json_of_str(now));
	(void)json_setc(a, c, "lastTransitionTime",
			same_status ? *json_getc(old, "lastTransitionTime") : json_of_str(now));
	return !same;
}

static struct wanted progressing(struct arena *a, const struct view *v, const struct deploy_plan *p)
{
	struct wanted w = { .type = "Progressing", .status = "True", .touch = p->moved };
	struct str name = v->d->name;
	switch (p->progress) {
	case DEPLOY_COMPLETE:
		w.reason = "NewReplicaSetAvailable";
		w.message = arena_strf(a, "Deployment \"%.*s\" has successfully progressed.",
				       STR_ARG(name));
		w.touch = !v->in.was_complete;
		break;
	case DEPLOY_TIMED_OUT:
		w.status = "False";
		w.reason = "ProgressDeadlineExceeded";
		w.message = arena_strf(a, "Deployment \"%.*s\" has timed out progressing.",
				       STR_ARG(name));
		w.touch = false;
		break;
	case DEPLOY_PAUSED:
		w.status = "Unknown";
		w.reason = "DeploymentPaused";
		w.message = STR("Deployment is paused");
		w.touch = false;
		break;
	case DEPLOY_PROGRESSING:
		w.reason = p->create ? "NewReplicaSetCreated" : "ReplicaSetUpdated";
		w.message = arena_strf(a, "Deployment \"%.*s\" is progressing.", STR_ARG(name));
		break;
	}
	return w;
}

static void send_status(struct controllers *c, struct job *j, const struct view *v,
			const struct deploy_plan *p)
{
	struct arena *a = job_arena(j);
	const struct json *old = json_getc(&v->d->obj, "status");
	const struct json *old_conditions = json_getc(old, "conditions");
	struct buf t = { 0 };
	rfc3339_write(&t, v->in.now_s);
	struct str now = arena_str(a, buf_str(&t));
	buf_fini(&t);

	struct json status = json_object();
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = {
		{ "observedGeneration", v->d->generation },
		{ "replicas", p->status_replicas },
		{ "updatedReplicas", p->updated },
		{ "readyReplicas", p->ready },
		{ "availableReplicas", p->available },
		{ "unavailableReplicas", p->unavailable },
	};
	bool changed = !old;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		changed |= json_i64(json_getc(old, numbers[i].name), 0) != numbers[i].value;
		(void)json_setc(a, &status, numbers[i].name, json_of_i64(numbers[i].value));
	}
	struct json *conditions = json_setc(a, &status, "conditions", json_array());
	struct wanted avail = {
		.type = "Available",
		.status = p->minimum_available ? "True" : "False",
		.reason = p->minimum_available ? "MinimumReplicasAvailable"
					       : "MinimumReplicasUnavailable",
		.message = p->minimum_available
				   ? STR("Deployment has minimum availability.")
				   : STR("Deployment does not have minimum availability."),
	};
	changed |= put_condition(a, conditions, old_conditions, &avail, now);
	struct wanted prog = progressing(a, v, p);
	changed |= put_condition(a, conditions, old_conditions, &prog, now);
	for (size_t i = 0; i < json_len(old_conditions); i++) { /* conditions of others stay */
		struct str type = json_str(json_getc(json_at(old_conditions, i), "type"));
		if (!str_is(type, "Available") && !str_is(type, "Progressing"))
			(void)json_push(a, conditions, *json_at(old_conditions, i));
	}
	if (!changed)
		return;
	struct json patch = json_object();
	(void)json_setc(a, &patch, "status", status);
	job_send(j, "PATCH",
		 arena_printf(a, "/apis/apps/v1/namespaces/%.*s/deployments/%.*s/status",
			      STR_ARG(v->d->ns), STR_ARG(v->d->name)),
		 "application/merge-patch+json", json_text(a, &patch), c->state.i_deployments);
}

void deployment_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct controllers *c = arg;
	struct job *j = job_new(q, key, c->cfg.client);
	struct view v = { .d = state_deployment(&c->state, key) };
	if (v.d && !adopt_sets(c, j, v.d)) {
		struct arena *a = job_arena(j);
		read_spec(a, &v);
		read_sets(a, c, &v);
		struct deploy_plan plan = deployment_plan(a, &v.in);
		send_sets(c, j, &v, &plan);
		send_revision(c, j, &v, &plan);
		send_status(c, j, &v, &plan);
		if (plan.again_s)
			ctl_add_after(q, key, (uint64_t)plan.again_s * 1000 + 100);
	}
	job_end(j);
}
