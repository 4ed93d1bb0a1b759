/*
 * sim_podplan FIRST COUNT - lives of pods under faults, in virtual time, against the pure plan.
 *
 * A world of processes that end, ignore signals, fail to start and turn unhealthy; an agent that is late, is
 * restarted at any moment and then knows only what the runtime remembers. Checked at every step:
 *   - main containers start only after every init container succeeded; init containers run one at a time
 *   - no run begins while the pod ends, nor before its back-off is over, nor beside another of its own
 *   - a deleted pod is gone at its time; a pod is reported finished only when nothing runs
 *   - what policy says about the end is what is reported
 * The same world with a bug planted between plan and world must be noticed: a check that finds nothing checks nothing.
 */
#include "podplan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 400, SLACK_MS = 3000 };

enum bug {
	BUG_NONE,
	BUG_NO_KILL,      /* kills are forgotten */
	BUG_EAGER,        /* restarts do not wait */
	BUG_INIT_SKIPPED, /* main containers start with the first init container */
	BUG_START_ENDING, /* an ended container is started again in an ending pod */
	BUG_FORGET_GRACE, /* the grace period is doubled */
	BUG_PHASE,        /* a failed pod is called Succeeded */
	BUGS,
};

struct process {
	bool runs;
	uint64_t began_ms, ends_ms; /* by itself; UINT64_MAX = never */
	int code;
	bool deaf; /* ignores SIGTERM */
	uint32_t runs_total;
	uint64_t last_end_ms, last_wait_ms; /* wait that was due for the next run */
	bool ever_ended;
	int last_code;
};

struct world {
	uint64_t rng, now_ms, deleted_ms, grace_ms;
	enum bug bug;
	struct plan_pod plan;
	struct plan_pod fresh; /* as at the beginning */
	struct process proc[POD_CONTAINERS_MAX];
	const char *broken;
};

static uint64_t rnd(struct world *w, uint64_t n)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return n ? w->rng % n : 0;
}

static void expect(struct world *w, bool holds, const char *what)
{
	if (!holds && !w->broken)
		w->broken = what;
}

static void begin(struct world *w)
{
	struct plan_pod *p = &w->plan;
	p->restart = (enum pod_restart)rnd(w, 3);
	p->first_main = rnd(w, 4);
	p->ctrs_len = p->first_main + 1 + rnd(w, 3);
	p->admitted = true;
	for (size_t i = 0; i < p->ctrs_len; i++) {
		struct plan_ctr *c = &p->ctrs[i];
		c->role = i >= p->first_main ? CTR_MAIN : rnd(w, 3) ? CTR_INIT : CTR_SIDECAR;
		c->has_readiness = rnd(w, 2) == 0;
		c->grace_ms = 1000 + rnd(w, 30000);
	}
	w->fresh = *p;
}

/* ------------------------------------------------------------------------------------ effects */

static void check_start(struct world *w, size_t i)
{
	const struct plan_pod *p = &w->plan;
	const struct process *x = &w->proc[i];
	expect(w, !x->runs, "a second run beside the first");
	expect(w, p->ending == WHY_NONE, "a start in an ending pod");
	if (x->ever_ended)
		expect(w, w->now_ms >= x->last_end_ms + x->last_wait_ms,
		       "a restart before its time");
	bool begun = false;
	for (size_t k = p->first_main; k < p->ctrs_len; k++)
		begun |= w->proc[k].runs_total > 0;
	for (size_t k = 0; k < p->first_main; k++) {
		const struct process *o = &w->proc[k];
		if (p->ctrs[k].role == CTR_INIT && i >= p->first_main && !begun)
			expect(w, !o->runs && o->ever_ended && o->last_code == 0,
			       "a main container before the init containers are through");
		if (p->ctrs[k].role == CTR_INIT && p->ctrs[i].role == CTR_INIT && k != i)
			expect(w, !o->runs, "two init containers at once");
	}
}

static void start(struct world *w, size_t i)
{
	struct process *x = &w->proc[i];
	check_start(w, i);
	if (w->plan.ctrs[i].state == PLAN_RUNNING || w->plan.ctrs[i].state == PLAN_STARTING)
		return;
	plan_starting(&w->plan, i, w->now_ms);
	x->runs = true;
	x->runs_total++;
	x->began_ms = w->now_ms;
	x->deaf = rnd(w, 3) == 0;
	x->code = rnd(w, 2) ? 0 : 1 + (int)rnd(w, 100);
	bool forever = w->plan.ctrs[i].role == CTR_SIDECAR ||
		       (w->plan.ctrs[i].role == CTR_MAIN && rnd(w, 2));
	x->ends_ms = forever ? UINT64_MAX : w->now_ms + rnd(w, 20000);
	if (rnd(w, 10) == 0) { /* the program does not exist */
		x->ends_ms = w->now_ms;
		x->code = 128;
	}
	plan_started(&w->plan, i, w->now_ms);
}

static void over(struct world *w, size_t i, int code)
{
	struct process *x = &w->proc[i];
	x->runs = false;
	x->ever_ended = true;
	x->last_end_ms = w->now_ms;
	x->last_code = code;
	plan_ended(&w->plan, i, code, w->now_ms);
	uint64_t at = plan_restart_at(&w->plan, i);
	x->last_wait_ms = at > w->now_ms ? at - w->now_ms : 0;
}

static void act(struct world *w, const struct plan_action *a)
{
	struct process *x = &w->proc[a->ctr];
	switch (a->verb) {
	case PLAN_START:
		start(w, a->ctr);
		return;
	case PLAN_STOP:
		plan_stopping(&w->plan, a->ctr, w->now_ms);
		if (w->bug == BUG_FORGET_GRACE)
			w->plan.ctrs[a->ctr].kill_at_ms += w->grace_ms + 2 * SLACK_MS;
		if (x->runs && !x->deaf && w->now_ms + 200 < x->ends_ms) {
			x->ends_ms = w->now_ms + rnd(w, 500);
			x->code = 143;
		}
		return;
	case PLAN_KILL:
		if (w->bug != BUG_NO_KILL && x->runs) {
			x->ends_ms = w->now_ms;
			x->code = 137;
		}
		plan_killed(&w->plan, a->ctr);
		return;
	default:
		return;
	}
}

static void sabotage(struct world *w, struct plan *r)
{
	for (size_t i = 0; i < w->plan.ctrs_len && r->actions_len < POD_CONTAINERS_MAX; i++) {
		const struct plan_ctr *c = &w->plan.ctrs[i];
		bool eager = w->bug == BUG_EAGER && c->state == PLAN_ENDED &&
			     plan_restart_at(&w->plan, i);
		bool skip = w->bug == BUG_INIT_SKIPPED && i >= w->plan.first_main &&
			    w->plan.first_main && c->state == PLAN_NEW &&
			    w->plan.ending == WHY_NONE;
		bool undead = w->bug == BUG_START_ENDING && w->plan.ending != WHY_NONE &&
			      c->state == PLAN_ENDED && !r->released;
		if (eager || skip || undead)
			r->actions[r->actions_len++] = (struct plan_action){ PLAN_START, i, false };
	}
	if (w->bug == BUG_PHASE && r->phase == PHASE_FAILED)
		r->phase = PHASE_SUCCEEDED;
}

/* ------------------------------------------------------------------------------------- faults */

/* The agent starts again: it knows runs and ends from the files of the runtime, and the pod's object. */
static void restart_agent(struct world *w)
{
	struct plan_pod p = w->fresh;
	const struct plan_pod *old = &w->plan;
	for (size_t i = 0; i < p.ctrs_len; i++) {
		const struct process *x = &w->proc[i];
		struct plan_ctr *c = &p.ctrs[i];
		if (!x->runs_total)
			continue;
		c->attempt = x->runs_total - 1;
		c->backoff_ms = old->ctrs[i].backoff_ms;
		c->backoff_set_ms = old->ctrs[i].backoff_set_ms;
		c->state = PLAN_STARTING;
		c->started_ms = x->began_ms;
		plan_started(&p, i, x->began_ms);
		if (!x->runs)
			plan_ended(&p, i, x->last_code, x->last_end_ms);
	}
	w->plan = p;
	if (w->deleted_ms)
		plan_end_pod(&w->plan, WHY_DELETED, w->grace_ms, w->now_ms);
}

static void disturb(struct world *w)
{
	size_t i = rnd(w, w->plan.ctrs_len);
	struct plan_ctr *c = &w->plan.ctrs[i];
	switch (rnd(w, 30)) {
	case 0:
		if (!w->deleted_ms) {
			w->deleted_ms = w->now_ms;
			w->grace_ms = rnd(w, 20000);
			plan_end_pod(&w->plan, WHY_DELETED, w->grace_ms, w->now_ms);
		}
		return;
	case 1:
		if (!w->deleted_ms)
			restart_agent(w);
		return;
	case 2:
		if (w->proc[i].runs)
			w->proc[i].ends_ms = w->now_ms; /* somebody kills it */
		return;
	case 3:
		c->unhealthy = c->state == PLAN_RUNNING;
		return;
	case 4:
		w->now_ms += rnd(w, 2000); /* the agent is late */
		return;
	default:
		return;
	}
}

/* --------------------------------------------------------------------------------------- run */

static bool anything_runs(const struct world *w)
{
	for (size_t i = 0; i < w->plan.ctrs_len; i++) {
		if (w->proc[i].runs)
			return true;
	}
	return false;
}

static void check(struct world *w, const struct plan *r)
{
	expect(w, !r->released || !anything_runs(w), "reported finished while something runs");
	if (w->deleted_ms && w->now_ms > w->deleted_ms + w->grace_ms + 2 * SLACK_MS + 2000)
		expect(w, !anything_runs(w), "a deleted pod outlives its grace");
	if (!r->released || w->deleted_ms)
		return;
	bool failed = false;
	for (size_t i = 0; i < w->plan.ctrs_len; i++) {
		if (w->plan.ctrs[i].role != CTR_SIDECAR && w->proc[i].ever_ended)
			failed |= w->proc[i].last_code != 0;
	}
	expect(w, r->phase == (failed ? PHASE_FAILED : PHASE_SUCCEEDED),
	       "the phase is not what the exit codes say");
}

static const char *live(uint64_t seed, enum bug bug)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	w->bug = bug;
	w->now_ms = 1000;
	begin(w);
	for (int step = 0; step < STEPS && !w->broken; step++) {
		struct plan r;
		plan_next(&w->plan, w->now_ms, &r);
		sabotage(w, &r);
		for (size_t i = 0; i < r.actions_len; i++)
			act(w, &r.actions[i]);
		for (size_t i = 0; i < w->plan.ctrs_len; i++) {
			if (w->proc[i].runs && w->proc[i].ends_ms <= w->now_ms)
				over(w, i, w->proc[i].code);
		}
		struct plan after;
		plan_next(&w->plan, w->now_ms, &after);
		if (bug == BUG_PHASE)
			sabotage(w, &after);
		check(w, &after);
		disturb(w);
		w->now_ms += 1 + rnd(w, 700);
	}
	const char *broken = w->broken;
	free(w);
	return broken;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000;
	int failed = 0;
	for (uint64_t seed = first; seed < first + count; seed++) {
		const char *broken = live(seed, BUG_NONE);
		if (broken && failed++ < 10)
			printf("seed %llu: %s\n", (unsigned long long)seed, broken);
	}
	for (int bug = BUG_NONE + 1; bug < BUGS; bug++) {
		uint64_t found = 0;
		for (uint64_t seed = first; seed < first + count; seed++)
			found += live(seed, (enum bug)bug) != NULL;
		if (!found) {
			printf("planted bug %d was not found in %llu lives\n", bug,
			       (unsigned long long)count);
			failed++;
		}
	}
	printf("%llu lives, %d failures\n", (unsigned long long)count, failed);
	return failed ? 1 : 0;
}
