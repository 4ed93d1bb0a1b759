/* ReplicaSets: keep so many pods. */
#include "adopt.h"
#include "controllers.h"
#include "job.h"
#include "replicaset_plan.h"
#include "sys/clock.h"

#include <inttypes.h>

static bool has_labels(const struct sched_labels *have, const struct json *want)
{
	for (size_t i = 0; i < json_len(want) && json_is(want, JSON_OBJECT); i++) {
		struct str v = sched_label_get(have, json_str(&want->members[i].key));
		if (!v.p || !str_eq(v, json_str(&want->members[i].value)))
			return false;
	}
	return true;
}

static size_t gather(struct arena *a, const struct controllers *c, const struct rs *r,
		     struct rs_pod **ret, struct pod ***ret_pods)
{
	struct list *list = state_pods_of(&c->state, r->uid);
	size_t n = 0;
	if (list)
		list_for_each(it, list) n++;
	struct rs_pod *out = arena_new(a, struct rs_pod, n);
	struct pod **pods = arena_new(a, struct pod *, n);
	const struct json *labels =
		json_dig(&r->obj, "spec", "template", "metadata", "labels", NULL);
	size_t i = 0;
	for (struct list *it = list ? list->next : NULL; it && it != list; it = it->next) {
		struct pod *p = list_entry(it, struct pod, by_owner);
		pods[i] = p;
		out[i++] = (struct rs_pod){
			.name = p->name,
			.node = p->node,
			.created_s = p->created_s,
			.ready_s = p->ready_s,
			.deletion_cost = p->deletion_cost,
			.restarts = p->restarts,
			.running = str_is(p->phase, "Running"),
			.unknown = str_is(p->phase, "Unknown"),
			.finished = p->finished,
			.deleting = p->deleting,
			.all_labels = has_labels(&p->sched.labels, labels),
		};
	}
	*ret = out;
	*ret_pods = pods;
	return n;
}

/* The pod of the template, owned by the set. */
static struct str pod_body(struct arena *a, const struct rs *r)
{
	const struct json *tmpl = json_dig(&r->obj, "spec", "template", NULL);
	struct json pod = json_object();
	(void)json_setc(a, &pod, "apiVersion", json_of_cstr("v1"));
	(void)json_setc(a, &pod, "kind", json_of_cstr("Pod"));
	struct json *meta = json_setc(a, &pod, "metadata", json_object());
	(void)json_setc(a, meta, "generateName",
			json_of_str(arena_strf(a, "%.*s-", STR_ARG(str_sub(r->name, 0, 240)))));
	(void)json_setc(a, meta, "namespace", json_of_str(r->ns));
	static const char *const copied[] = { "labels", "annotations", "finalizers" };
	for (size_t i = 0; i < 3; i++) {
		const struct json *v = json_dig(tmpl, "metadata", copied[i], NULL);
		if (v)
			(void)json_setc(a, meta, copied[i], *v);
	}
	struct json *refs = json_setc(a, meta, "ownerReferences", json_array());
	struct json *ref = json_push(a, refs, json_object());
	(void)json_setc(a, ref, "apiVersion", json_of_cstr("apps/v1"));
	(void)json_setc(a, ref, "kind", json_of_cstr("ReplicaSet"));
	(void)json_setc(a, ref, "name", json_of_str(r->name));
	(void)json_setc(a, ref, "uid", json_of_str(r->uid));
	(void)json_setc(a, ref, "controller", json_of_bool(true));
	(void)json_setc(a, ref, "blockOwnerDeletion", json_of_bool(true));
	const struct json *spec = json_getc(tmpl, "spec");
	if (spec)
		(void)json_setc(a, &pod, "spec", *spec);
	return json_text(a, &pod);
}

static void send_pods(struct controllers *c, struct job *j, const struct rs *r,
		      const struct rs_plan *plan, struct pod *const *pods)
{
	struct arena *a = job_arena(j);
	const char *path = arena_printf(a, "/api/v1/namespaces/%.*s/pods", STR_ARG(r->ns));
	struct str body = plan->create ? pod_body(a, r) : STR_NONE;
	for (size_t i = 0; i < plan->create; i++)
		job_send(j, "POST", path, NULL, body, c->state.i_pods);
	for (size_t i = 0; i < plan->delete_len; i++) {
		const struct pod *p = pods[plan->delete_idx[i]];
		struct str opt = arena_strf(a,
					    "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
					    "\"preconditions\":{\"uid\":\"%.*s\"}}",
					    STR_ARG(p->uid));
		job_send(j, "DELETE", arena_printf(a, "%s/%.*s", path, STR_ARG(p->name)), NULL, opt,
			 c->state.i_pods);
	}
	const struct ctl_object_ref about = { STR("apps/v1"), STR("ReplicaSet"), r->ns, r->name,
					      r->uid };
	if (plan->create)
		ctl_event(c->cfg.ctl, &about, false, "SuccessfulCreate", "Creating %zu pods",
			  plan->create);
	if (plan->delete_len)
		ctl_event(c->cfg.ctl, &about, false, "SuccessfulDelete", "Deleting %zu pods",
			  plan->delete_len);
}

static void send_status(struct controllers *c, struct job *j, const struct rs *r,
			const struct rs_plan *p)
{
	const struct json *st = json_getc(&r->obj, "status");
	if (json_i64(json_getc(st, "replicas"), -1) == p->replicas &&
	    json_i64(json_getc(st, "fullyLabeledReplicas"), 0) == p->fully_labeled &&
	    r->ready == p->ready && r->available == p->available && r->observed == r->generation)
		return;
	struct arena *a = job_arena(j);
	struct str body =
		arena_strf(a,
			   "{\"status\":{\"replicas\":%" PRId64 ",\"fullyLabeledReplicas\":%" PRId64
			   ",\"readyReplicas\":%" PRId64 ",\"availableReplicas\":%" PRId64
			   ",\"observedGeneration\":%" PRId64 "}}",
			   p->replicas, p->fully_labeled, p->ready, p->available, r->generation);
	job_send(j, "PATCH",
		 arena_printf(a, "/apis/apps/v1/namespaces/%.*s/replicasets/%.*s/status",
			      STR_ARG(r->ns), STR_ARG(r->name)),
		 "application/merge-patch+json", body, c->state.i_sets);
}

void replicaset_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct controllers *c = arg;
	struct job *j = job_new(q, key, c->cfg.client);
	struct rs *r = state_set(&c->state, key);
	if (r && !adopt_pods(c, j, r)) {
		struct arena *a = job_arena(j);
		struct rs_pod *in_pods = NULL;
		struct pod **pods = NULL;
		size_t n = gather(a, c, r, &in_pods, &pods);
		const struct rs_input in = {
			.replicas = r->want,
			.min_ready_s = r->min_ready_s,
			.deleting = r->deleting,
			.pods = in_pods,
			.pods_len = n,
			.now_s = clock_unix_ms() / 1000,
		};
		struct rs_plan plan = replicaset_plan(a, &in);
		send_pods(c, j, r, &plan, pods);
		send_status(c, j, r, &plan);
		if (plan.again_s)
			ctl_add_after(q, key, (uint64_t)plan.again_s * 1000);
	}
	job_end(j);
}
