/* PodDisruptionBudgets: tells the API how many evictions it may grant. */
#include "base/buf.h"
#include "controllers.h"
#include "disruption_plan.h"
#include "job.h"
#include "parse.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

#include <inttypes.h>

/* A ReplicaSet of a Deployment wants what the Deployment wants. */
static int64_t scale_of(const struct controllers *c, const struct rs *r)
{
	const struct deployment *d = state_deployment_by_uid(&c->state, r->owner_uid);
	return d ? json_i64(json_dig(&d->obj, "spec", "replicas", NULL), 1) : r->want;
}

struct owners {
	struct str *uids;
	int64_t *scales;
	size_t len;
};

/* Sets of one Deployment are one owner. */
static size_t owner_of(const struct controllers *c, struct owners *o, const struct pod *p)
{
	const struct rs *r = state_set_by_uid(&c->state, p->owner_uid);
	if (!r)
		return SIZE_MAX;
	const struct deployment *d = state_deployment_by_uid(&c->state, r->owner_uid);
	struct str uid = d ? d->uid : r->uid;
	for (size_t i = 0; i < o->len; i++)
		if (str_eq(o->uids[i], uid))
			return i;
	o->uids[o->len] = uid;
	o->scales[o->len] = scale_of(c, r);
	return o->len++;
}

static struct disruption_input gather(struct arena *a, const struct controllers *c,
				      const struct budget *b)
{
	size_t pos = 0, n = 0, room = c->state.pods.len + 1;
	void *v = NULL;
	struct disruption_pod *pods = arena_new(a, struct disruption_pod, room);
	struct owners o = { arena_new(a, struct str, room), arena_new(a, int64_t, room), 0 };
	const struct json *granted = json_dig(&b->obj, "status", "disruptedPods", NULL);
	while (map_next(&c->state.pods, &pos, NULL, &v)) {
		const struct pod *p = v;
		if (!b->selects || !str_eq(p->ns, b->ns) ||
		    !sched_term_matches(&b->selector, &p->sched.labels))
			continue;
		pods[n++] = (struct disruption_pod){ .name = p->name,
						     .ready = p->ready_s > 0 && !p->finished,
						     .deleting = p->deleting,
						     .owner = owner_of(c, &o, p),
						     .granted_s = parse_time(
							     json_get(granted, p->name)) };
	}
	return (struct disruption_input){ .min_available = b->min_available,
					  .max_unavailable = b->max_unavailable,
					  .pods = pods,
					  .pods_len = n,
					  .scales = o.scales,
					  .scales_len = o.len,
					  .now_s = clock_unix_ms() / 1000 };
}

/* The condition as it is, or a new one from now on. */
static void set_condition(struct arena *a, struct json *status, const struct json *old,
			  const struct disruption_plan *p, int64_t generation)
{
	bool allowed = p->allowed > 0;
	struct json *list = json_setc(a, status, "conditions", json_array());
	struct json c = json_object();
	struct buf now = { 0 };
	struct str since = STR_NONE;
	const struct json *was = NULL;
	for (size_t i = 0; i < json_len(old); i++)
		if (str_is(json_str(json_getc(json_at(old, i), "type")), "DisruptionAllowed"))
			was = json_at(old, i);
	if (str_is(json_str(json_getc(was, "status")), allowed ? "True" : "False"))
		since = json_str(json_getc(was, "lastTransitionTime"));
	rfc3339_write(&now, clock_unix_ms() / 1000);
	(void)json_setc(a, &c, "type", json_of_cstr("DisruptionAllowed"));
	(void)json_setc(a, &c, "status", json_of_cstr(allowed ? "True" : "False"));
	(void)json_setc(a, &c, "observedGeneration", json_of_i64(generation));
	(void)json_setc(a, &c, "reason",
			json_of_cstr(allowed ? "SufficientPods" : "InsufficientPods"));
	(void)json_setc(a, &c, "message", json_of_cstr(""));
	(void)json_setc(a, &c, "lastTransitionTime",
			json_of_str(since.len ? since : arena_str(a, buf_str(&now))));
	(void)json_push(a, list, c);
	buf_fini(&now);
}

/* On condition that no eviction was granted since: the object carries its revision. */
static void send_status(struct controllers *c, struct job *j, const struct budget *b,
			const struct disruption_input *in, const struct disruption_plan *p)
{
	struct arena *a = job_arena(j);
	const struct json *old = json_getc(&b->obj, "status");
	const struct json *granted = json_getc(old, "disruptedPods");
	struct json obj = json_clone(a, &b->obj), status = json_object();
	struct json kept = json_object();
	for (size_t i = 0; i < p->granted_len; i++) {
		struct str name = in->pods[p->granted_idx[i]].name;
		(void)json_set(a, &kept, name, *json_get(granted, name));
	}
	(void)json_setc(a, &status, "observedGeneration", json_of_i64(b->generation));
	if (p->granted_len)
		(void)json_setc(a, &status, "disruptedPods", kept);
	(void)json_setc(a, &status, "disruptionsAllowed", json_of_i64(p->allowed));
	(void)json_setc(a, &status, "currentHealthy", json_of_i64(p->healthy));
	(void)json_setc(a, &status, "desiredHealthy", json_of_i64(p->desired));
	(void)json_setc(a, &status, "expectedPods", json_of_i64(p->expected));
	set_condition(a, &status, json_getc(old, "conditions"), p, b->generation);
	if (old && json_equal(old, &status))
		return;
	(void)json_setc(a, &obj, "status", status);
	job_send(j, "PUT",
		 arena_printf(a, "/apis/policy/v1/namespaces/%.*s/poddisruptionbudgets/%.*s/status",
			      STR_ARG(b->ns), STR_ARG(b->name)),
		 NULL, json_text(a, &obj), c->state.i_budgets);
}

void disruption_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct controllers *c = arg;
	struct job *j = job_new(q, key, c->cfg.client);
	const struct budget *b = state_budget(&c->state, key);
	if (b && !b->deleting) {
		struct disruption_input in = gather(job_arena(j), c, b);
		struct disruption_plan plan = disruption_plan(job_arena(j), &in);
		send_status(c, j, b, &in, &plan);
		if (plan.again_s)
			ctl_add_after(q, key, (uint64_t)plan.again_s * 1000);
	}
	job_end(j);
}

void disruption_look(struct controllers *c, struct str ns)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&c->state.budgets, &pos, NULL, &v)) {
		const struct budget *b = v;
		if (str_eq(b->ns, ns))
			ctl_add(c->disruptions, b->key);
	}
}
