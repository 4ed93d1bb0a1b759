/* One pod: from its object to its end. */
#include "base/mem.h"
#include "podmgr_priv.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "text/rfc3339.h"
#include "volume.h"

#include <stdarg.h>

static void on_evaluate(struct loop_task *t);

struct podenv_facts mpod_facts(const struct mpod *p)
{
	const struct podmgr_options *o = &p->mgr->opt;
	return (struct podenv_facts){ .node_name = o->node_name,
				      .host_ip = o->host_ip,
				      .pod_ip = o->host_ip,
				      .node_cpu_m = o->node_cpu_m,
				      .node_memory = o->node_memory,
				      .volumes_dir = p->volumes_dir };
}

void mpod_event(struct mpod *p, const struct mctr *c, const char *type, const char *reason,
		const char *fmt, ...)
{
	char message[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	p->mgr->opt.event(p->mgr->opt.arg, p->spec, c ? c->name : NULL, type, reason, message);
}

/* Which runtime a pod needs is named by runtimeClassName; images need a driver that we do not have here. */
static bool runtime_missing(struct mpod *p)
{
	const char *why = NULL;
	if (!str_is(p->spec->runtime_class, "host"))
		why = "this node runs no images: it has only runtimeClassName \"host\"";
	for (size_t i = 0; !why && i < p->spec->ctrs_len; i++) {
		if (p->spec->ctrs[i].image.len && !str_is(p->spec->ctrs[i].image, "host"))
			why = "runtimeClassName \"host\" runs only image \"host\"";
	}
	if (!why)
		return false;
	if (!p->reason)
		mpod_event(p, NULL, "Warning", "RuntimeUnavailable", "%s", why);
	p->reason = "RuntimeUnavailable";
	snprintf(p->message, sizeof(p->message), "%s", why);
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		p->ctrs[i].status.waiting = "RuntimeUnavailable";
		p->ctrs[i].status.waiting_message = p->message;
	}
	return true;
}

/* ------------------------------------------------------------------------------------- sandbox */

static void on_up(void *arg, const struct error *err);
static void on_changed(void *arg, const char *ctr, uint32_t attempt);
static void on_lost(void *arg);

static void reopen_later(struct mpod *p)
{
	p->open_wait_ms = p->open_wait_ms ? p->open_wait_ms * 2 : OPEN_AGAIN_MIN_MS;
	if (p->open_wait_ms > OPEN_AGAIN_MAX_MS)
		p->open_wait_ms = OPEN_AGAIN_MAX_MS;
	loop_timer_set(p->mgr->opt.loop, &p->reopen, p->open_wait_ms);
}

static void drop_sandbox(struct mpod *p)
{
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		mctr_probes_stop(&p->ctrs[i]);
		p->ctrs[i].pre_stop = false;
	}
	if (p->rt)
		p->mgr->opt.ops->close(p->rt);
	p->rt = NULL;
	p->rt_up = false;
}

static void open_sandbox(struct mpod *p)
{
	const struct rt_pod_events ev = { on_up, on_changed, on_lost, p };
	struct error err = { 0 };
	if (p->rt || loop_timer_armed(&p->reopen))
		return;
	if (p->mgr->opt.ops->open(p->mgr->opt.driver, p->uid, p->dir, &ev, &p->rt, &err) == 0)
		return;
	p->rt = NULL;
	mpod_event(p, NULL, "Warning", "FailedCreatePodSandBox", "%s", err.msg);
	reopen_later(p);
}

static void on_reopen(struct loop_timer *t)
{
	mpod_kick(container_of(t, struct mpod, reopen));
}

static void on_up(void *arg, const struct error *err)
{
	struct mpod *p = arg;
	if (err) {
		mpod_event(p, NULL, "Warning", "FailedCreatePodSandBox", "%s", err->msg);
		drop_sandbox(p);
		reopen_later(p);
		return;
	}
	p->rt_up = true;
	p->open_wait_ms = 0;
	if (!p->restored) {
		p->restored = true;
		for (size_t i = 0; i < p->spec->ctrs_len; i++)
			mctr_restore(&p->ctrs[i]);
	}
	mpod_kick(p);
}

static void on_changed(void *arg, const char *ctr, uint32_t attempt)
{
	struct mpod *p = arg;
	struct rt_state s;
	ptrdiff_t i = pod_spec_find(p->spec, str_of(ctr));
	if (i < 0 || !p->mgr->opt.ops->state(p->rt, ctr, attempt, &s) || s.attempt != attempt)
		return;
	if (s.ended && attempt == p->plan.ctrs[i].attempt)
		mctr_ended(&p->ctrs[i], &s);
}

/* The shim was killed: everything in the pod died with it. */
static void on_lost(void *arg)
{
	struct mpod *p = arg;
	drop_sandbox(p);
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		struct rt_state s = { .started = true, .ended = true, .lost = true, .code = 137 };
		s.attempt = p->plan.ctrs[i].attempt;
		mctr_ended(&p->ctrs[i], &s);
	}
	mpod_event(p, NULL, "Warning", "SandboxChanged", "the pod's shim ended; it is made anew");
	mpod_kick(p);
}

/* ---------------------------------------------------------------------------------- evaluation */

static void on_destroyed(void *arg, const char *error)
{
	struct mpod *p = arg;
	(void)error;
	p->rt = NULL;
	p->rt_up = false;
	p->destroying = false;
	p->destroyed = true;
	mpod_kick(p);
}

/* Nothing runs and nothing will: gives the node its resources back, then forgets what is to be forgotten. */
static bool finish(struct mpod *p)
{
	for (size_t i = 0; i < p->spec->ctrs_len; i++)
		mctr_probes_stop(&p->ctrs[i]);
	loop_timer_stop(&p->reopen);
	if (p->destroying)
		return true;
	if (p->rt) {
		p->destroying = true;
		p->mgr->opt.ops->destroy(p->rt, on_destroyed, p);
		return true;
	}
	p->destroyed = true;
	mpod_report(p, false);
	if (p->forget) {
		podmgr_forget(p);
		return false;
	}
	return true;
}

/* Volumes must be there before anything starts. */
static bool admit(struct mpod *p)
{
	struct podenv_facts facts = mpod_facts(p);
	struct error err = { 0 };
	if (p->plan.admitted)
		return true;
	if (!p->rt_up)
		return false;
	uint64_t now = loop_now_ms(p->mgr->opt.loop);
	if (p->ctrs[0].prepare_at_ms > now)
		return false;
	if (volume_sync(p->spec, &p->mgr->configs, &facts, &err) == 0) {
		p->plan.admitted = true;
		return true;
	}
	p->ctrs[0].prepare_at_ms = now + PREPARE_AGAIN_MS;
	mpod_event(p, NULL, "Warning", "FailedMount", "%s", err.msg);
	return false;
}

static void act(struct mpod *p)
{
	for (size_t i = 0; i < p->next.actions_len; i++) {
		const struct plan_action *a = &p->next.actions[i];
		switch (a->verb) {
		case PLAN_START:
			mctr_start(&p->ctrs[a->ctr], a->backoff);
			break;
		case PLAN_STOP:
			mctr_stop(&p->ctrs[a->ctr]);
			break;
		case PLAN_KILL:
			mctr_kill(&p->ctrs[a->ctr]);
			break;
		default:
			break;
		}
	}
}

static void wake_at(struct mpod *p, uint64_t now)
{
	uint64_t at = p->next.wake_ms;
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		if (p->ctrs[i].prepare_at_ms > now && p->ctrs[i].prepare_at_ms < at)
			at = p->ctrs[i].prepare_at_ms;
	}
	if (at == UINT64_MAX)
		loop_timer_stop(&p->wake);
	else
		loop_timer_set(p->mgr->opt.loop, &p->wake, at > now ? at - now : 0);
}

static void evaluate(struct mpod *p)
{
	uint64_t now = loop_now_ms(p->mgr->opt.loop);
	bool missing = runtime_missing(p);
	if (p->plan.deadline_ms && p->plan.deadline_ms <= now && p->plan.ending == WHY_NONE) {
		p->reason = "DeadlineExceeded";
		snprintf(p->message, sizeof(p->message),
			 "Pod was active on the node longer than the specified deadline");
		mpod_end(p, WHY_DEADLINE, (uint64_t)p->spec->grace_ms);
	}
	if (!missing && !p->destroyed && !p->destroying)
		open_sandbox(p);
	/* Before the old runs are known nothing can be decided about new ones. */
	if (!missing && !p->restored && !p->destroyed) {
		mpod_report(p, false);
		return;
	}
	if (!missing && p->plan.ending == WHY_NONE)
		(void)admit(p);
	plan_next(&p->plan, now, &p->next);
	if (p->next.released) {
		(void)finish(p);
		return;
	}
	if (p->rt_up && p->next.actions_len)
		act(p);
	plan_next(&p->plan, now, &p->next);
	wake_at(p, now);
	mpod_report(p, false);
}

static void on_evaluate(struct loop_task *t)
{
	evaluate(container_of(t, struct mpod, evaluate));
}

static void on_wake(struct loop_timer *t)
{
	evaluate(container_of(t, struct mpod, wake));
}

void mpod_kick(struct mpod *p)
{
	loop_defer(p->mgr->opt.loop, &p->evaluate);
}

void mpod_end(struct mpod *p, enum plan_why why, uint64_t grace_ms)
{
	plan_end_pod(&p->plan, why, grace_ms, loop_now_ms(p->mgr->opt.loop));
}

void mpod_refresh(struct mpod *p)
{
	struct podenv_facts facts = mpod_facts(p);
	struct error err = { 0 };
	if (volume_sync(p->spec, &p->mgr->configs, &facts, &err) != 0)
		mpod_event(p, NULL, "Warning", "FailedMount", "%s", err.msg);
}

/* -------------------------------------------------------------------------------------- status */

static void note_conditions(struct mpod *p, int64_t now_s)
{
	bool fresh[POD_CONDITIONS];
	podstatus_conditions(p->spec, &p->plan, &p->next, fresh);
	if (p->reason && p->plan.ending == WHY_NONE)
		fresh[POD_INITIALIZED] = fresh[POD_CONTAINERS_READY] = fresh[POD_READY] = false;
	for (size_t i = 0; i < POD_CONDITIONS; i++) {
		if (fresh[i] != p->condition[i] || !p->condition_since_s[i])
			p->condition_since_s[i] = now_s;
		p->condition[i] = fresh[i];
	}
}

void mpod_report(struct mpod *p, bool always)
{
	struct status_ctr views[POD_CONTAINERS_MAX];
	struct buf b = { 0 };
	bool released = p->destroyed && p->next.released;
	note_conditions(p, clock_unix_ms() / 1000);
	for (size_t i = 0; i < p->spec->ctrs_len; i++)
		views[i] = p->ctrs[i].status;
	const struct status_pod s = { .spec = p->spec,
				      .plan = &p->plan,
				      .next = &p->next,
				      .ctrs = views,
				      .host_ip = p->mgr->opt.host_ip,
				      .pod_ip = p->mgr->opt.host_ip,
				      .start_s = p->start_s,
				      .reason = p->reason,
				      .message = p->reason ? p->message : NULL };
	struct status_pod full = s;
	memcpy(full.condition, p->condition, sizeof(full.condition));
	memcpy(full.condition_since_s, p->condition_since_s, sizeof(full.condition_since_s));
	podstatus_write(&full, &b);
	bool changed =
		!str_eq(buf_str(&b), buf_str(&p->last_status)) || released != p->last_released;
	if (changed) {
		char path[4200];
		buf_clear(&p->last_status);
		buf_add_str(&p->last_status, buf_str(&b));
		p->last_released = released;
		/* Only times are read back from it: losing the newest version is harmless. */
		snprintf(path, sizeof(path), "%s/status.json", p->dir);
		(void)!file_write_atomic(path, buf_str(&b), 0600, NULL);
	}
	if (changed || always)
		p->mgr->opt.status(p->mgr->opt.arg, p->spec, buf_str(&b), released);
	buf_fini(&b);
}

/* Start time and transition times survive a restart of the agent. */
static void recall_status(struct mpod *p)
{
	struct buf b = { 0 };
	struct arena a = { 0 };
	struct json j;
	char path[4200];
	int64_t s = 0;
	snprintf(path, sizeof(path), "%s/status.json", p->dir);
	if (file_read(path, POD_BYTES_MAX, &b, NULL) == 0 &&
	    json_parse(&a, buf_str(&b), NULL, &j, NULL) == 0) {
		if (rfc3339_parse(json_str(json_getc(&j, "startTime")), &s, NULL))
			p->start_s = s;
		const struct json *list = json_getc(&j, "conditions");
		for (size_t i = 0; i < json_len(list); i++) {
			const struct json *c = json_at(list, i);
			for (size_t k = 0; k < POD_CONDITIONS; k++) {
				if (!str_is(json_str(json_getc(c, "type")),
					    podstatus_condition((enum pod_condition)k)) ||
				    !rfc3339_parse(json_str(json_getc(c, "lastTransitionTime")), &s,
						   NULL))
					continue;
				p->condition_since_s[k] = s;
				p->condition[k] = str_is(json_str(json_getc(c, "status")), "True");
			}
		}
	}
	arena_fini(&a);
	buf_fini(&b);
}

/* --------------------------------------------------------------------------------- begin, end */

static void name_ctrs(struct mpod *p)
{
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		p->ctrs[i].pod = p;
		p->ctrs[i].index = i;
		snprintf(p->ctrs[i].name, sizeof(p->ctrs[i].name), "%.*s",
			 STR_ARG(p->spec->ctrs[i].name));
	}
}

struct mpod *mpod_new(struct podmgr *m, struct pod_spec *spec)
{
	struct mpod *p = mem_new(struct mpod, 1);
	struct buf b = { 0 };
	p->mgr = m;
	p->spec = spec;
	p->ctrs = mem_new(struct mctr, spec->ctrs_len);
	p->uid = mem_strndup(spec->uid.p, spec->uid.len);
	buf_addf(&b, "%s/%s", m->pods_dir, p->uid);
	p->dir = mem_strdup(buf_cstr(&b));
	buf_adds(&b, "/volumes");
	p->volumes_dir = mem_strdup(buf_cstr(&b));
	buf_clear(&b);
	buf_addf(&b, "%s/%.*s_%.*s_%s", m->logs_dir, STR_ARG(spec->ns), STR_ARG(spec->name),
		 p->uid);
	p->log_dir = mem_strdup(buf_cstr(&b));
	buf_fini(&b);
	p->wake.fn = on_wake;
	p->reopen.fn = on_reopen;
	p->evaluate.fn = on_evaluate;
	plan_init(&p->plan, spec);
	plan_next(&p->plan, loop_now_ms(m->opt.loop), &p->next);
	name_ctrs(p);
	recall_status(p);
	if (!p->start_s)
		p->start_s = clock_unix_ms() / 1000;
	if (spec->active_deadline_ms) {
		int64_t ran_ms = clock_unix_ms() - p->start_s * 1000;
		int64_t left_ms = spec->active_deadline_ms - (ran_ms > 0 ? ran_ms : 0);
		p->plan.deadline_ms =
			loop_now_ms(m->opt.loop) + (uint64_t)(left_ms > 0 ? left_ms : 1);
	}
	if (spec->deleting)
		mpod_end(p, WHY_DELETED, (uint64_t)spec->deletion_grace_ms);
	return p;
}

void mpod_free(struct mpod *p)
{
	loop_timer_stop(&p->wake);
	loop_timer_stop(&p->reopen);
	loop_task_cancel(&p->evaluate);
	drop_sandbox(p);
	for (size_t i = 0; i < p->spec->ctrs_len; i++)
		mem_free(p->ctrs[i].waiting_message);
	mem_free(p->ctrs);
	pod_spec_free(p->spec);
	buf_fini(&p->last_status);
	mem_free(p->uid);
	mem_free(p->dir);
	mem_free(p->volumes_dir);
	mem_free(p->log_dir);
	mem_free(p);
}

/*
 * A pod's containers cannot change after creation: what may (labels, annotations, deletion) is in the new
 * object.  Were they different all the same, the old ones stay, and say so.
 */
void mpod_update(struct mpod *p, struct pod_spec *spec)
{
	if (!pod_spec_same_containers(p->spec, spec)) {
		mpod_event(p, NULL, "Warning", "SpecChangeIgnored",
			   "containers of a pod cannot be changed; make a new pod");
		pod_spec_free(spec);
		return;
	}
	bool probing[POD_CONTAINERS_MAX];
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		probing[i] = p->plan.ctrs[i].state == PLAN_RUNNING;
		mctr_probes_stop(&p->ctrs[i]); /* they point into the old object */
	}
	struct pod_spec *old = p->spec;
	p->spec = spec;
	pod_spec_free(old);
	name_ctrs(p);
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		if (probing[i])
			mctr_probes_start(&p->ctrs[i]);
	}
	if (p->plan.admitted)
		mpod_refresh(p); /* the downward API shows labels and annotations */
}
