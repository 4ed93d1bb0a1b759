#include "podstatus.h"

#include "json/json.h"
#include "text/rfc3339.h"

#include <stdio.h>
#include <string.h>

const char *podstatus_phase(enum plan_phase phase)
{
	static const char *const names[] = { "Pending", "Running", "Succeeded", "Failed" };
	return names[phase];
}

const char *podstatus_condition(enum pod_condition c)
{
	static const char *const names[] = { "PodScheduled", "Initialized", "ContainersReady",
					     "Ready" };
	return names[c];
}

const char *podstatus_ended_reason(const struct ended_run *e)
{
	return e->not_started ? "StartError"
	       : e->oom       ? "OOMKilled"
	       : e->lost      ? "ContainerStatusUnknown"
	       : e->code      ? "Error"
			      : "Completed";
}

void podstatus_conditions(const struct pod_spec *spec, const struct plan_pod *plan,
			  const struct plan *next, bool ret[POD_CONDITIONS])
{
	bool ready = next->phase == PHASE_RUNNING && plan->ending == WHY_NONE;
	for (size_t i = 0; i < spec->ctrs_len && ready; i++) {
		if (plan->ctrs[i].role != CTR_INIT)
			ready = plan->ctrs[i].state == PLAN_RUNNING && plan->ctrs[i].ready;
	}
	/* A gate that nobody on the node sets holds Ready back; the API's own view has it. */
	bool gated = json_len(json_getc(spec->spec, "readinessGates")) > 0;
	ret[POD_SCHEDULED] = true;
	ret[POD_INITIALIZED] = next->initialized || next->phase == PHASE_SUCCEEDED;
	ret[POD_CONTAINERS_READY] = ready;
	ret[POD_READY] = ready && !gated;
}

/* ------------------------------------------------------------------------------------- writing */

static void key(struct buf *b, const char *name)
{
	if (b->len && b->p[b->len - 1] != '{' && b->p[b->len - 1] != '[')
		buf_addc(b, ',');
	buf_addf(b, "\"%s\":", name);
}

static void text(struct buf *b, const char *name, const char *value)
{
	key(b, name);
	json_write_str(b, str_of(value));
}

static void when(struct buf *b, const char *name, int64_t unix_s)
{
	key(b, name);
	buf_addc(b, '"');
	rfc3339_write(b, unix_s);
	buf_addc(b, '"');
}

static void container_id(struct buf *b, const struct status_pod *p, const struct ctr_spec *c,
			 uint32_t n)
{
	key(b, "containerID");
	buf_addf(b, "\"process://%.*s/%.*s/%u\"", STR_ARG(p->spec->uid), STR_ARG(c->name), n);
}

static void terminated(struct buf *b, const struct status_pod *p, const struct ctr_spec *c,
		       uint32_t n, const struct ended_run *e)
{
	key(b, "terminated");
	buf_addf(b, "{\"exitCode\":%d", e->code);
	if (e->signal)
		buf_addf(b, ",\"signal\":%d", e->signal);
	text(b, "reason", podstatus_ended_reason(e));
	if (e->message[0])
		text(b, "message", e->message);
	when(b, "startedAt", e->started_ns / 1000000000);
	when(b, "finishedAt", e->ended_ns / 1000000000);
	container_id(b, p, c, n);
	buf_addc(b, '}');
}

static void waiting(struct buf *b, const char *reason, const char *message)
{
	key(b, "waiting");
	buf_addc(b, '{');
	text(b, "reason", reason);
	if (message && message[0])
		text(b, "message", message);
	buf_addc(b, '}');
}

/* An ended container that waits for its next run: only a real back-off is called so. */
static bool backs_off(const struct status_pod *p, size_t i)
{
	const struct plan_ctr *c = &p->plan->ctrs[i];
	return c->state == PLAN_ENDED && plan_restart_at(p->plan, i) > c->ended_ms;
}

static void state(struct buf *b, const struct status_pod *p, size_t i)
{
	const struct plan_ctr *c = &p->plan->ctrs[i];
	const struct status_ctr *s = &p->ctrs[i];
	const struct ctr_spec *spec = &p->spec->ctrs[i];
	char message[256];
	key(b, "state");
	buf_addc(b, '{');
	if (c->state == PLAN_RUNNING) {
		key(b, "running");
		buf_addc(b, '{');
		when(b, "startedAt", s->started_ns / 1000000000);
		buf_addc(b, '}');
	} else if (s->waiting) {
		waiting(b, s->waiting, s->waiting_message);
	} else if (backs_off(p, i)) {
		uint64_t wait_s = (plan_restart_at(p->plan, i) - c->ended_ms) / 1000;
		snprintf(message, sizeof(message),
			 "back-off %llus restarting failed container=%.*s pod=%.*s_%.*s(%.*s)",
			 (unsigned long long)wait_s, STR_ARG(spec->name), STR_ARG(p->spec->name),
			 STR_ARG(p->spec->ns), STR_ARG(p->spec->uid));
		waiting(b, "CrashLoopBackOff", message);
	} else if (c->state == PLAN_ENDED && s->now.known) {
		terminated(b, p, spec, s->attempt, &s->now);
	} else {
		bool init_first =
			c->role == CTR_MAIN && p->spec->first_main > 0 && !p->next->initialized;
		waiting(b, init_first ? "PodInitializing" : "ContainerCreating", NULL);
	}
	buf_addc(b, '}');
}

static void container(struct buf *b, const struct status_pod *p, size_t i)
{
	const struct plan_ctr *c = &p->plan->ctrs[i];
	const struct status_ctr *s = &p->ctrs[i];
	const struct ctr_spec *spec = &p->spec->ctrs[i];
	bool ran = s->now.known || s->last.known || s->started_ns;
	/* While it waits for the next run, the run that just ended is the last one. */
	bool shows_end = c->state == PLAN_ENDED && !backs_off(p, i) && !s->waiting;
	const struct ended_run *last = c->state == PLAN_ENDED && !shows_end ? &s->now : &s->last;
	uint32_t last_n = c->state == PLAN_ENDED && !shows_end ? s->attempt : s->attempt - 1;
	buf_adds(b, "{");
	key(b, "name");
	json_write_str(b, spec->name);
	state(b, p, i);
	key(b, "lastState");
	buf_addc(b, '{');
	if (last->known)
		terminated(b, p, spec, last_n, last);
	buf_addc(b, '}');
	bool init_done = c->role == CTR_INIT && c->state == PLAN_ENDED && c->exit_code == 0;
	buf_addf(b, ",\"ready\":%s,\"restartCount\":%u", c->ready || init_done ? "true" : "false",
		 c->attempt);
	key(b, "image");
	json_write_str(b, spec->image);
	text(b, "imageID", "");
	if (ran)
		container_id(b, p, spec, s->attempt);
	buf_addf(b, ",\"started\":%s}",
		 c->state == PLAN_RUNNING && c->started_ok ? "true" : "false");
}

static void containers(struct buf *b, const struct status_pod *p, const char *name, size_t from,
		       size_t to)
{
	if (from == to)
		return;
	key(b, name);
	buf_addc(b, '[');
	for (size_t i = from; i < to; i++) {
		if (i > from)
			buf_addc(b, ',');
		container(b, p, i);
	}
	buf_addc(b, ']');
}

/* "containers with unready status: [web]" */
static void unready(struct buf *b, const struct status_pod *p, enum pod_condition which)
{
	bool first = true;
	struct buf m = { 0 };
	buf_addf(&m, "containers with %s status: [",
		 which == POD_INITIALIZED ? "incomplete" : "unready");
	for (size_t i = 0; i < p->spec->ctrs_len; i++) {
		const struct plan_ctr *c = &p->plan->ctrs[i];
		bool bad = which == POD_INITIALIZED
				   ? i < p->spec->first_main &&
					     !(c->state == PLAN_ENDED && c->exit_code == 0) &&
					     !c->started_ok
				   : c->role != CTR_INIT && !(c->state == PLAN_RUNNING && c->ready);
		if (bad)
			buf_addf(&m, "%s%.*s", first ? "" : " ", STR_ARG(p->spec->ctrs[i].name));
		first &= !bad;
	}
	buf_addc(&m, ']');
	text(b, "message", buf_cstr(&m));
	buf_fini(&m);
}

static void condition(struct buf *b, const struct status_pod *p, enum pod_condition c)
{
	bool over = p->next->phase == PHASE_SUCCEEDED || p->next->phase == PHASE_FAILED;
	buf_addc(b, '{');
	text(b, "type", podstatus_condition(c));
	text(b, "status", p->condition[c] ? "True" : "False");
	key(b, "lastProbeTime");
	buf_adds(b, "null");
	when(b, "lastTransitionTime", p->condition_since_s[c]);
	if (!p->condition[c] && p->reason) {
		text(b, "reason", p->reason);
		text(b, "message", p->message ? p->message : "");
	} else if (!p->condition[c] && over) {
		text(b, "reason", p->next->phase == PHASE_SUCCEEDED ? "PodCompleted" : "PodFailed");
	} else if (!p->condition[c]) {
		text(b, "reason",
		     c == POD_INITIALIZED ? "ContainersNotInitialized" : "ContainersNotReady");
		unready(b, p, c);
	}
	buf_addc(b, '}');
}

void podstatus_write(const struct status_pod *p, struct buf *b)
{
	static const enum pod_condition order[] = { POD_INITIALIZED, POD_READY,
						    POD_CONTAINERS_READY, POD_SCHEDULED };
	buf_addc(b, '{');
	text(b, "phase", podstatus_phase(p->next->phase));
	key(b, "conditions");
	buf_addc(b, '[');
	for (size_t i = 0; i < POD_CONDITIONS; i++) {
		if (i)
			buf_addc(b, ',');
		condition(b, p, order[i]);
	}
	buf_addc(b, ']');
	if (p->reason)
		text(b, "reason", p->reason);
	if (p->message)
		text(b, "message", p->message);
	text(b, "hostIP", p->host_ip);
	buf_adds(b, ",\"hostIPs\":[{\"ip\":");
	json_write_str(b, str_of(p->host_ip));
	buf_adds(b, "}]");
	if (p->pod_ip[0]) {
		text(b, "podIP", p->pod_ip);
		buf_adds(b, ",\"podIPs\":[{\"ip\":");
		json_write_str(b, str_of(p->pod_ip));
		buf_adds(b, "}]");
	}
	if (p->start_s)
		when(b, "startTime", p->start_s);
	containers(b, p, "initContainerStatuses", 0, p->spec->first_main);
	containers(b, p, "containerStatuses", p->spec->first_main, p->spec->ctrs_len);
	text(b, "qosClass", pod_spec_qos(p->spec));
	buf_addc(b, '}');
}
