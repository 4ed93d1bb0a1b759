#include "podplan.h"

#include <assert.h>
#include <string.h>

void plan_init(struct plan_pod *p, const struct pod_spec *spec)
{
	memset(p, 0, sizeof(*p));
	p->restart = spec->restart;
	p->ctrs_len = spec->ctrs_len;
	p->first_main = spec->first_main;
	for (size_t i = 0; i < spec->ctrs_len; i++) {
		struct plan_ctr *c = &p->ctrs[i];
		c->role = spec->ctrs[i].role;
		c->has_startup = spec->ctrs[i].probes[PROBE_STARTUP].kind != PROBE_NONE;
		c->has_readiness = spec->ctrs[i].probes[PROBE_READINESS].kind != PROBE_NONE;
		c->grace_ms = (uint64_t)spec->grace_ms;
	}
}

static bool runs(const struct plan_ctr *c)
{
	return c->state == PLAN_RUNNING || c->state == PLAN_STARTING;
}

/* Whether an ended container gets another run, while the pod lives. */
static bool restarts(const struct plan_pod *p, const struct plan_ctr *c)
{
	switch (c->role) {
	case CTR_SIDECAR:
		return true;
	case CTR_INIT:
		return c->exit_code != 0 && p->restart != RESTART_NEVER;
	case CTR_MAIN:
	default:
		return p->restart == RESTART_ALWAYS ||
		       (p->restart == RESTART_ON_FAILURE && c->exit_code != 0);
	}
}

static bool backoff_over(const struct plan_ctr *c)
{
	return c->ended_ms - c->backoff_set_ms > PLAN_BACKOFF_RESET_MS;
}

static uint64_t restart_at(const struct plan_ctr *c)
{
	if (c->backoff_ms == 0 || backoff_over(c))
		return c->ended_ms;
	return c->ended_ms + c->backoff_ms;
}

uint64_t plan_restart_at(const struct plan_pod *p, size_t ctr)
{
	const struct plan_ctr *c = &p->ctrs[ctr];
	if (c->state != PLAN_ENDED || p->ending != WHY_NONE || !restarts(p, c))
		return 0;
	return restart_at(c);
}

static void act(struct plan *r, enum plan_verb verb, size_t ctr, bool backoff)
{
	assert(r->actions_len < POD_CONTAINERS_MAX);
	r->actions[r->actions_len++] = (struct plan_action){ verb, ctr, backoff };
}

static void wake(struct plan *r, uint64_t at_ms)
{
	if (at_ms < r->wake_ms)
		r->wake_ms = at_ms;
}

/* Ends a running container: asks first, kills when its time is over. */
static void end_ctr(struct plan *r, const struct plan_ctr *c, size_t i, uint64_t now_ms)
{
	if (!c->stopping)
		act(r, PLAN_STOP, i, false);
	else if (c->killed)
		return;
	else if (c->kill_at_ms <= now_ms)
		act(r, PLAN_KILL, i, false);
	else
		wake(r, c->kill_at_ms);
}

/* Starts a container that is due; returns whether it is where a following init container may begin. */
static bool run_ctr(const struct plan_pod *p, size_t i, uint64_t now_ms, struct plan *r)
{
	const struct plan_ctr *c = &p->ctrs[i];
	switch (c->state) {
	case PLAN_NEW:
		act(r, PLAN_START, i, false);
		return false;
	case PLAN_STARTING:
		return false;
	case PLAN_RUNNING:
		if (c->unhealthy || c->stopping)
			end_ctr(r, c, i, now_ms);
		return c->role == CTR_SIDECAR && c->started_ok;
	case PLAN_ENDED:
	default:
		break;
	}
	if (c->role == CTR_INIT && c->exit_code == 0)
		return true;
	if (restarts(p, c)) {
		uint64_t at = restart_at(c);
		if (at <= now_ms)
			act(r, PLAN_START, i, at > c->ended_ms);
		else
			wake(r, at);
	}
	return false;
}

/* Whether init containers are through for good: a main container was started, or each has done its part. */
static bool initialized(const struct plan_pod *p)
{
	for (size_t i = p->first_main; i < p->ctrs_len; i++) {
		if (p->ctrs[i].state != PLAN_NEW)
			return true;
	}
	for (size_t i = 0; i < p->first_main; i++) {
		const struct plan_ctr *c = &p->ctrs[i];
		bool through = c->role == CTR_SIDECAR ? c->state == PLAN_RUNNING && c->started_ok
						      : c->state == PLAN_ENDED && c->exit_code == 0;
		if (!through)
			return false;
	}
	return true;
}

/* Every main container has ended and none will run again (or an init container failed for good). */
static bool finished(const struct plan_pod *p, bool *failed)
{
	*failed = false;
	bool init = initialized(p);
	for (size_t i = 0; i < p->first_main && !init; i++) {
		const struct plan_ctr *c = &p->ctrs[i];
		if (c->role == CTR_INIT && c->state == PLAN_ENDED && c->exit_code != 0 &&
		    !restarts(p, c)) {
			*failed = true;
			return true;
		}
	}
	for (size_t i = p->first_main; i < p->ctrs_len; i++) {
		const struct plan_ctr *c = &p->ctrs[i];
		if (c->state != PLAN_ENDED || restarts(p, c))
			return false;
		*failed |= c->exit_code != 0;
	}
	return true;
}

/* The pod ends: main (and init) containers first, then sidecars from the last to the first. */
static void end_all(const struct plan_pod *p, uint64_t now_ms, struct plan *r)
{
	bool waiting = false;
	for (size_t i = 0; i < p->ctrs_len; i++) {
		if (p->ctrs[i].role == CTR_SIDECAR || !runs(&p->ctrs[i]))
			continue;
		waiting = true;
		if (p->ctrs[i].state == PLAN_RUNNING)
			end_ctr(r, &p->ctrs[i], i, now_ms);
	}
	bool late = now_ms >= p->ending_ms + p->grace_ms;
	for (size_t i = p->first_main; i-- > 0 && (!waiting || late);) {
		if (p->ctrs[i].role != CTR_SIDECAR || !runs(&p->ctrs[i]))
			continue;
		waiting = true;
		if (p->ctrs[i].state == PLAN_RUNNING)
			end_ctr(r, &p->ctrs[i], i, now_ms);
	}
	if (waiting && !late)
		wake(r, p->ending_ms + p->grace_ms);
}

static bool anything_runs(const struct plan_pod *p)
{
	for (size_t i = 0; i < p->ctrs_len; i++) {
		if (runs(&p->ctrs[i]))
			return true;
	}
	return false;
}

static enum plan_phase phase_of(const struct plan_pod *p, bool all_over, bool failed)
{
	if (p->ending == WHY_DEADLINE || p->ending == WHY_EVICTED)
		return PHASE_FAILED;
	if (all_over)
		return failed ? PHASE_FAILED : PHASE_SUCCEEDED;
	bool begun = false, left_new = false;
	for (size_t i = p->first_main; i < p->ctrs_len; i++) {
		enum plan_state s = p->ctrs[i].state;
		begun |= s == PLAN_RUNNING || s == PLAN_ENDED;
		left_new |= s == PLAN_NEW;
	}
	/* A deleted pod stays what it was until nothing runs; then it has failed unless all succeeded. */
	if (p->ending == WHY_DELETED && !anything_runs(p)) {
		bool ok = begun && !left_new;
		for (size_t i = p->first_main; i < p->ctrs_len; i++)
			ok &= p->ctrs[i].exit_code == 0;
		return ok ? PHASE_SUCCEEDED : PHASE_FAILED;
	}
	return begun ? PHASE_RUNNING : PHASE_PENDING;
}

void plan_next(const struct plan_pod *p, uint64_t now_ms, struct plan *r)
{
	bool failed = false;
	r->actions_len = 0;
	r->wake_ms = UINT64_MAX;
	r->initialized = initialized(p);
	bool over = finished(p, &failed);
	r->phase = phase_of(p, over, failed);
	r->released = (over || p->ending != WHY_NONE) && !anything_runs(p);
	if (r->released)
		return;
	if (over || p->ending != WHY_NONE) {
		end_all(p, now_ms, r);
		return;
	}
	if (p->deadline_ms)
		wake(r, p->deadline_ms);
	if (!p->admitted)
		return;
	bool go_on = true;
	for (size_t i = 0; i < p->first_main; i++) {
		const struct plan_ctr *c = &p->ctrs[i];
		/* Once main containers run, finished init containers are history. */
		if (c->role == CTR_INIT && r->initialized)
			continue;
		if (go_on || c->state != PLAN_NEW)
			go_on &= run_ctr(p, i, now_ms, r);
	}
	for (size_t i = p->first_main; i < p->ctrs_len && r->initialized; i++)
		(void)run_ctr(p, i, now_ms, r);
}

/* ------------------------------------------------------------------------------ observations */

void plan_starting(struct plan_pod *p, size_t ctr, uint64_t now_ms)
{
	struct plan_ctr *c = &p->ctrs[ctr];
	assert(c->state == PLAN_NEW || c->state == PLAN_ENDED);
	if (c->state == PLAN_ENDED) {
		uint64_t next = PLAN_BACKOFF_FIRST_MS;
		if (c->backoff_ms && !backoff_over(c))
			next = c->backoff_ms * 2;
		c->backoff_ms = next > PLAN_BACKOFF_MAX_MS ? PLAN_BACKOFF_MAX_MS : next;
		c->backoff_set_ms = now_ms;
		c->attempt++;
	}
	c->state = PLAN_STARTING;
	c->started_ms = now_ms;
	c->exit_code = 0;
	c->started_ok = c->ready = c->unhealthy = c->stopping = c->killed = false;
}

void plan_started(struct plan_pod *p, size_t ctr, uint64_t now_ms)
{
	struct plan_ctr *c = &p->ctrs[ctr];
	if (c->state != PLAN_STARTING)
		return;
	c->state = PLAN_RUNNING;
	c->started_ms = now_ms;
	c->started_ok = !c->has_startup;
	c->ready = c->started_ok && !c->has_readiness;
}

void plan_ended(struct plan_pod *p, size_t ctr, int exit_code, uint64_t now_ms)
{
	struct plan_ctr *c = &p->ctrs[ctr];
	if (!runs(c))
		return;
	c->state = PLAN_ENDED;
	c->exit_code = exit_code;
	c->ended_ms = now_ms;
	c->started_ok = c->ready = c->unhealthy = false;
}

void plan_stopping(struct plan_pod *p, size_t ctr, uint64_t now_ms)
{
	struct plan_ctr *c = &p->ctrs[ctr];
	c->stopping = true;
	c->kill_at_ms = now_ms + c->grace_ms;
	uint64_t pod_end = p->ending_ms + p->grace_ms;
	/* A sidecar that is asked when the pod's time is over still gets two seconds. */
	if (p->ending != WHY_NONE && c->kill_at_ms > pod_end)
		c->kill_at_ms =
			pod_end > now_ms ? pod_end : now_ms + (c->role == CTR_SIDECAR ? 2000 : 0);
}

void plan_killed(struct plan_pod *p, size_t ctr)
{
	p->ctrs[ctr].killed = true;
}

void plan_end_pod(struct plan_pod *p, enum plan_why why, uint64_t grace_ms, uint64_t now_ms)
{
	if (p->ending == WHY_NONE) {
		p->ending = why;
		p->ending_ms = now_ms;
		p->grace_ms = grace_ms;
	} else if (now_ms + grace_ms < p->ending_ms + p->grace_ms) {
		p->grace_ms = now_ms + grace_ms - p->ending_ms;
	}
	uint64_t end = p->ending_ms + p->grace_ms;
	for (size_t i = 0; i < p->ctrs_len; i++) {
		if (p->ctrs[i].stopping && p->ctrs[i].kill_at_ms > end)
			p->ctrs[i].kill_at_ms = end;
	}
}
