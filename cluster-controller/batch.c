/* Jobs: run pods until so many succeeded. */
#include "base/buf.h"
#include "batch_plan.h"
#include "controllers.h"
#include "job.h"
#include "parse.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

#include <inttypes.h>

#define FINALIZER "batch.kubernetes.io/job-tracking"

/* ---- input ---- */

static bool holds(const struct json *conditions, const char *type, int64_t *since_s)
{
	const struct json *c = parse_condition(conditions, type);
	if (!str_is(json_str(json_getc(c, "status")), "True"))
		return false;
	*since_s = parse_time(json_getc(c, "lastTransitionTime"));
	return true;
}

static struct batch_uids uids_of(struct arena *a, const struct json *list)
{
	struct str *out = arena_new(a, struct str, json_len(list));
	for (size_t i = 0; i < json_len(list); i++)
		out[i] = json_str(json_at(list, i));
	return (struct batch_uids){ out, json_len(list) };
}

static struct pod **read_pods(struct arena *a, const struct controllers *c, const struct batch *b,
			      struct batch_input *in)
{
	struct list *list = state_pods_of(&c->state, b->uid);
	size_t n = 0;
	if (list)
		list_for_each(it, list) n++;
	struct batch_pod *out = arena_new(a, struct batch_pod, n);
	struct pod **pods = arena_new(a, struct pod *, n);
	for (struct list *it = list ? list->next : NULL; it && it != list; it = it->next) {
		struct pod *p = list_entry(it, struct pod, by_owner);
		pods[in->pods_len] = p;
		out[in->pods_len++] = (struct batch_pod){
			.uid = p->uid,
			.succeeded = str_is(p->phase, "Succeeded"),
			.failed = str_is(p->phase, "Failed"),
			.ready = p->ready_s > 0,
			.deleting = p->deleting,
			.tracked = p->tracked,
			.ended_s = p->ended_s,
		};
	}
	in->pods = out;
	return pods;
}

static struct batch_input read_job(struct arena *a, const struct batch *b)
{
	const struct json *spec = json_getc(&b->obj, "spec");
	const struct json *status = json_getc(&b->obj, "status");
	const struct json *conditions = json_getc(status, "conditions");
	const struct json *uncounted = json_getc(status, "uncountedTerminatedPods");
	struct batch_input in = {
		.parallelism = json_i64(json_getc(spec, "parallelism"), 1),
		.backoff_limit = json_i64(json_getc(spec, "backoffLimit"), 6),
		.deadline_s = json_i64(json_getc(spec, "activeDeadlineSeconds"), -1),
		.ttl_s = json_i64(json_getc(spec, "ttlSecondsAfterFinished"), -1),
		.suspend = json_bool(json_getc(spec, "suspend"), false),
		.deleting = b->deleting,
		.succeeded = json_i64(json_getc(status, "succeeded"), 0),
		.failed = json_i64(json_getc(status, "failed"), 0),
		.uncounted_succeeded = uids_of(a, json_getc(uncounted, "succeeded")),
		.uncounted_failed = uids_of(a, json_getc(uncounted, "failed")),
		.start_s = parse_time(json_getc(status, "startTime")),
		.now_s = clock_unix_ms() / 1000,
	};
	in.completions = json_i64(json_getc(spec, "completions"), in.parallelism == 1 ? 1 : -1);
	in.complete = holds(conditions, "Complete", &in.end_s);
	in.gave_up = holds(conditions, "Failed", &in.end_s);
	return in;
}

/* ---- effects ---- */

static struct str pod_body(struct arena *a, const struct batch *b)
{
	const struct json *tmpl = json_dig(&b->obj, "spec", "template", NULL);
	struct json pod = json_object();
	(void)json_setc(a, &pod, "apiVersion", json_of_cstr("v1"));
	(void)json_setc(a, &pod, "kind", json_of_cstr("Pod"));
	struct json *meta = json_setc(a, &pod, "metadata", json_object());
	(void)json_setc(a, meta, "generateName",
			json_of_str(arena_strf(a, "%.*s-", STR_ARG(str_sub(b->name, 0, 240)))));
	(void)json_setc(a, meta, "namespace", json_of_str(b->ns));
	static const char *const copied[] = { "labels", "annotations" };
	for (size_t i = 0; i < 2; i++)
		if (json_dig(tmpl, "metadata", copied[i], NULL))
			(void)json_setc(a, meta, copied[i],
					*json_dig(tmpl, "metadata", copied[i], NULL));
	(void)json_push(a, json_setc(a, meta, "finalizers", json_array()), json_of_cstr(FINALIZER));
	struct json *ref =
		json_push(a, json_setc(a, meta, "ownerReferences", json_array()), json_object());
	(void)json_setc(a, ref, "apiVersion", json_of_cstr("batch/v1"));
	(void)json_setc(a, ref, "kind", json_of_cstr("Job"));
	(void)json_setc(a, ref, "name", json_of_str(b->name));
	(void)json_setc(a, ref, "uid", json_of_str(b->uid));
	(void)json_setc(a, ref, "controller", json_of_bool(true));
	(void)json_setc(a, ref, "blockOwnerDeletion", json_of_bool(true));
	const struct json *spec = json_getc(tmpl, "spec");
	if (spec)
		(void)json_setc(a, &pod, "spec", *spec);
	return json_text(a, &pod);
}

static void send_pods(struct controllers *c, struct job *j, const struct batch *b,
		      const struct batch_plan *p, struct pod *const *pods)
{
	struct arena *a = job_arena(j);
	const char *path = arena_printf(a, "/api/v1/namespaces/%.*s/pods", STR_ARG(b->ns));
	struct str body = p->create ? pod_body(a, b) : STR_NONE;
	for (size_t i = 0; i < p->create; i++)
		job_send(j, "POST", path, NULL, body, c->state.i_pods);
	for (size_t i = 0; i < p->untrack_len; i++) {
		const struct pod *pod = pods[p->untrack[i]];
		job_send(j, "PATCH", arena_printf(a, "%s/%.*s", path, STR_ARG(pod->name)),
			 "application/strategic-merge-patch+json",
			 arena_strf(a,
				    "{\"metadata\":{\"uid\":\"%.*s\","
				    "\"$deleteFromPrimitiveList/finalizers\":[\"" FINALIZER "\"]}}",
				    STR_ARG(pod->uid)),
			 c->state.i_pods);
	}
	for (size_t i = 0; i < p->end_len; i++) {
		const struct pod *pod = pods[p->end[i]];
		job_send(j, "DELETE", arena_printf(a, "%s/%.*s", path, STR_ARG(pod->name)), NULL,
			 arena_strf(a, "{\"preconditions\":{\"uid\":\"%.*s\"}}", STR_ARG(pod->uid)),
			 c->state.i_pods);
	}
	const struct ctl_object_ref about = { STR("batch/v1"), STR("Job"), b->ns, b->name, b->uid };
	if (p->create)
		ctl_event(c->cfg.ctl, &about, false, "SuccessfulCreate", "Creating %zu pods",
			  p->create);
	if (p->end_len)
		ctl_event(c->cfg.ctl, &about, false, "SuccessfulDelete", "Deleting %zu pods",
			  p->end_len);
}

/* ---- status ---- */

struct verdict {
	const char *type, *reason, *message;
};

static struct verdict verdict_of(const struct batch_plan *p)
{
	switch (p->verdict) {
	case BATCH_COMPLETE:
		return (struct verdict){ p->finished ? "Complete" : "SuccessCriteriaMet",
					 "CompletionsReached",
					 "Reached expected number of succeeded pods" };
	case BATCH_BACKOFF_LIMIT:
		return (struct verdict){ p->finished ? "Failed" : "FailureTarget",
					 "BackoffLimitExceeded",
					 "Job has reached the specified backoff limit" };
	case BATCH_DEADLINE:
		return (struct verdict){ p->finished ? "Failed" : "FailureTarget",
					 "DeadlineExceeded",
					 "Job was active longer than specified deadline" };
	case BATCH_GOES_ON:
	default:
		return (struct verdict){ 0 };
	}
}

static void set_condition(struct arena *a, struct json *list, const char *type, const char *status,
			  const struct verdict *v, struct str now)
{
	const struct json *old = parse_condition(list, type);
	if (str_is(json_str(json_getc(old, "status")), status))
		return;
	struct json kept = json_array();
	for (size_t i = 0; i < json_len(list); i++)
		if (json_at(list, i) != old)
			(void)json_push(a, &kept, *json_at(list, i));
	struct json *c = json_push(a, &kept, json_object());
	(void)json_setc(a, c, "type", json_of_cstr(type));
	(void)json_setc(a, c, "status", json_of_cstr(status));
	(void)json_setc(a, c, "reason", json_of_cstr(v->reason));
	(void)json_setc(a, c, "message", json_of_cstr(v->message));
	(void)json_setc(a, c, "lastProbeTime", json_of_str(now));
	(void)json_setc(a, c, "lastTransitionTime", json_of_str(now));
	*list = kept;
}

static struct json uid_list(struct arena *a, const struct batch_uids *u)
{
	struct json l = json_array();
	for (size_t i = 0; i < u->len; i++)
		(void)json_push(a, &l, json_of_str(u->list[i]));
	return l;
}

static struct json conditions_of(struct arena *a, const struct batch *b,
				 const struct batch_input *in, const struct batch_plan *p,
				 struct str now)
{
	const struct json *old = json_dig(&b->obj, "status", "conditions", NULL);
	struct json list = old ? json_clone(a, old) : json_array();
	struct verdict v = verdict_of(p);
	bool over = in->complete || in->gave_up;
	if (v.type && !over)
		set_condition(a, &list, v.type, "True", &v, now);
	const struct verdict suspended = { "Suspended", "JobSuspended", "Job suspended" };
	const struct verdict resumed = { "Suspended", "JobResumed", "Job resumed" };
	if (in->suspend && !over)
		set_condition(a, &list, "Suspended", "True", &suspended, now);
	else if (parse_condition(&list, "Suspended") && !over)
		set_condition(a, &list, "Suspended", "False", &resumed, now);
	return list;
}

/* All of the status is this controller's: what is the same is not written again. */
static void send_status(struct controllers *c, struct job *j, const struct batch *b,
			const struct batch_input *in, const struct batch_plan *p)
{
	struct arena *a = job_arena(j);
	struct buf t = { 0 };
	rfc3339_write(&t, in->now_s);
	struct str now = arena_str(a, buf_str(&t));
	buf_fini(&t);
	const struct json *old = json_getc(&b->obj, "status");
	struct json st = json_object();
	struct json conditions = conditions_of(a, b, in, p, now);
	if (conditions.len)
		(void)json_setc(a, &st, "conditions", conditions);
	if (p->start_s)
		(void)json_setc(a, &st, "startTime",
				in->start_s ? *json_getc(old, "startTime") : json_of_str(now));
	if (json_getc(old, "completionTime"))
		(void)json_setc(a, &st, "completionTime", *json_getc(old, "completionTime"));
	else if (p->finished && p->verdict == BATCH_COMPLETE)
		(void)json_setc(a, &st, "completionTime", json_of_str(now));
	const struct {
		const char *name;
		int64_t value;
	} numbers[] = { { "active", p->active },
			{ "succeeded", p->succeeded },
			{ "failed", p->failed },
			{ "ready", p->ready },
			{ "terminating", p->terminating } };
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value)
			(void)json_setc(a, &st, numbers[i].name, json_of_i64(numbers[i].value));
	struct json *un = json_setc(a, &st, "uncountedTerminatedPods", json_object());
	if (p->uncounted_succeeded.len)
		(void)json_setc(a, un, "succeeded", uid_list(a, &p->uncounted_succeeded));
	if (p->uncounted_failed.len)
		(void)json_setc(a, un, "failed", uid_list(a, &p->uncounted_failed));
	if (old && json_equal(old, &st))
		return;
	struct str body = arena_strf(
		a,
		"[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":\"%.*s\"},"
		"{\"op\":\"add\",\"path\":\"/status\",\"value\":%.*s}]",
		STR_ARG(b->rv), STR_ARG(json_text(a, &st)));
	job_send(j, "PATCH",
		 arena_printf(a, "/apis/batch/v1/namespaces/%.*s/jobs/%.*s/status", STR_ARG(b->ns),
			      STR_ARG(b->name)),
		 "application/json-patch+json", body, c->state.i_jobs);
	const struct ctl_object_ref about = { STR("batch/v1"), STR("Job"), b->ns, b->name, b->uid };
	struct verdict v = verdict_of(p);
	if (p->finished && !in->complete && !in->gave_up)
		ctl_event(c->cfg.ctl, &about, p->verdict != BATCH_COMPLETE,
			  p->verdict == BATCH_COMPLETE ? "Completed" : v.reason, "%s",
			  p->verdict == BATCH_COMPLETE ? "Job completed" : v.message);
}

void batch_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct controllers *c = arg;
	struct job *j = job_new(q, key, c->cfg.client);
	const struct batch *b = state_job(&c->state, key);
	if (b) {
		struct arena *a = job_arena(j);
		struct batch_input in = read_job(a, b);
		struct pod **pods = read_pods(a, c, b, &in);
		struct batch_plan plan = batch_plan(a, &in);
		send_pods(c, j, b, &plan, pods);
		send_status(c, j, b, &in, &plan);
		if (plan.drop)
			job_send(j, "DELETE",
				 arena_printf(a, "/apis/batch/v1/namespaces/%.*s/jobs/%.*s",
					      STR_ARG(b->ns), STR_ARG(b->name)),
				 NULL,
				 arena_strf(a,
					    "{\"propagationPolicy\":\"Foreground\","
					    "\"preconditions\":{\"uid\":\"%.*s\"}}",
					    STR_ARG(b->uid)),
				 c->state.i_jobs);
		if (plan.again_s)
			ctl_add_after(q, key, (uint64_t)plan.again_s * 1000 + 100);
	}
	job_end(j);
}
