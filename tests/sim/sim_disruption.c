/*
 * Simulation of disruption budgets: somebody drains nodes while pods come and go, and the controller that counts them sees
 * the world late.
 *
 *   sim_disruption FIRST_SEED COUNT [BUG]
 *
 * Each seed is one run with another budget.  The API grants an eviction as it does: on the status as it
 * stands, which it changes with the deletion in one step.  Pods become ready and are replaced; none fails by itself.
 * Checked: no grant leaves fewer ready pods than the budget wants; when nothing changes any more, all that may be
 * evicted is allowed.
 *
 * BUG plants one: the run must then fail (the tests' teeth); the table `bugs` names them.
 */
#include "disruption_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PODS = 12, LAG_MAX = 10, STEPS = 300, SETTLE = 40 };

enum bug {
	BUG_NONE,
	BUG_UNGUARDED, /* the status is written whatever it was meanwhile */
	BUG_FORGETS,   /* the status loses its grants */
	BUG_HEALTHY,   /* a granted pod counts until it is seen to go */
	BUG_GOING,     /* a pod that is going still counts */
	BUG_GENEROUS,  /* one more than there is */
	BUG_MISER,     /* grants never end */
	BUGS
};

static const char *const bugs[BUGS] = { "none",  "unguarded", "forgets", "healthy",
					"going", "generous",  "miser" };

struct pod {
	bool there, ready, deleting;
	int id;
};

struct grant {
	int id; /* 0 = none */
	int64_t at_s;
};

struct budget {
	int64_t rev, allowed;
	struct grant grants[PODS];
};

struct world {
	struct pod pods[PODS];
	struct budget b;
};

struct run {
	struct world w, history[LAG_MAX];
	struct disruption_bound min, max;
	int64_t now_s;
	int next_id, want;
	int pods_at,
		budget_at; /* steps that the controller has seen: its caches lag, and never go back */
	uint64_t rng;
	enum bug bug;
	const char *broken;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return r->rng % n;
}

static int64_t ready_pods(const struct world *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < PODS; i++)
		n += w->pods[i].there && w->pods[i].ready && !w->pods[i].deleting;
	return n;
}

/* The rule in other words than the plan's. */
static int64_t needed(const struct run *r)
{
	const struct disruption_bound *b = r->max.set ? &r->max : &r->min;
	double v = b->percent ? (double)(b->value * r->want) / 100 : (double)b->value;
	int64_t up = (int64_t)v + (v > (double)(int64_t)v);
	int64_t n = r->max.set ? r->want - up : up;
	return n < 0 ? 0 : n;
}

static struct grant *grant_of(struct budget *b, int id)
{
	for (size_t i = 0; i < PODS; i++)
		if (b->grants[i].id == id)
			return &b->grants[i];
	return NULL;
}

static struct grant kept(struct budget *b, int id)
{
	const struct grant *g = grant_of(b, id);
	return g ? *g : (struct grant){ 0 };
}

static void evict(struct run *r)
{
	struct pod *p = &r->w.pods[rnd(r, PODS)];
	struct budget *b = &r->w.b;
	struct grant *g = grant_of(b, 0);
	if (!p->there || !p->ready || p->deleting || b->allowed <= 0 || !g)
		return;
	b->allowed--;
	b->rev++;
	*g = (struct grant){ p->id, r->now_s };
	/* An API that dies between the two grants what does not happen. */
	if (rnd(r, 20) == 0)
		return;
	p->deleting = true;
	if (ready_pods(&r->w) < needed(r))
		r->broken = "a grant left too few";
}

static void live(struct run *r)
{
	size_t there = 0;
	for (size_t i = 0; i < PODS; i++) {
		struct pod *p = &r->w.pods[i];
		if (p->there && p->deleting &&
		    rnd(r, p->id % 3 ? 4 : 100) == 0) /* some take their time */
			p->there = false;
		else if (p->there && !p->deleting && !p->ready && rnd(r, 3) == 0)
			p->ready = true;
		there += p->there && !p->deleting;
	}
	for (size_t i = 0; i < PODS && there < (size_t)r->want; i++)
		if (!r->w.pods[i].there) {
			r->w.pods[i] = (struct pod){ .there = true, .id = ++r->next_id };
			there++;
		}
}

static void reconcile(struct run *r, const struct world *pods_seen, const struct world *seen)
{
	struct arena a = { 0 };
	struct disruption_pod in[PODS];
	int ids[PODS];
	size_t n = 0;
	struct budget b = seen->b;
	int64_t scale = r->want;
	for (size_t i = 0; i < PODS; i++) {
		const struct pod *p = &pods_seen->pods[i];
		const struct grant *g = p->there ? grant_of(&b, p->id) : NULL;
		if (!p->there)
			continue;
		ids[n] = p->id;
		in[n++] = (struct disruption_pod){
			.ready = p->ready,
			.deleting = p->deleting && r->bug != BUG_GOING,
			.granted_s = g && r->bug != BUG_HEALTHY ? g->at_s : 0,
		};
		if (r->bug == BUG_MISER && g)
			in[n - 1].granted_s = r->now_s;
	}
	struct disruption_plan p = disruption_plan(
		&a, &(struct disruption_input){ r->min, r->max, in, n, &scale, 1, r->now_s });
	if (r->w.b.rev == b.rev || r->bug == BUG_UNGUARDED) {
		struct budget next = { .rev = r->w.b.rev + 1,
				       .allowed = p.allowed + (r->bug == BUG_GENEROUS) };
		for (size_t i = 0; i < p.granted_len && r->bug != BUG_FORGETS; i++)
			next.grants[i] = kept(&b, ids[p.granted_idx[i]]);
		r->w.b = next;
	}
	arena_fini(&a);
}

static int late(struct run *r, int step, int seen, uint64_t lag)
{
	int at = step - (int)rnd(r, lag);
	return at > seen ? at : seen;
}

static void set_budget(struct run *r)
{
	struct disruption_bound *b = rnd(r, 2) ? &r->min : &r->max;
	b->set = true;
	b->percent = rnd(r, 2);
	b->value = (int64_t)rnd(r, b->percent ? 101 : 6);
	r->want = 1 + (int)rnd(r, PODS - 2);
}

static const char *simulate(uint64_t seed, enum bug bug)
{
	struct run run = { .rng = seed * 0x9e3779b97f4a7c15ULL + 1, .bug = bug, .now_s = 1000 };
	struct run *r = &run;
	set_budget(r);
	for (size_t i = 0; i < LAG_MAX; i++)
		r->history[i] = r->w;
	for (int step = 0; step < STEPS + SETTLE && !r->broken; step++) {
		bool busy = step < STEPS;
		memmove(&r->history[1], &r->history[0], sizeof(r->w) * (LAG_MAX - 1));
		r->history[0] = r->w;
		r->now_s += 1 + (int64_t)rnd(r, busy ? 4 : 30);
		live(r);
		if (busy && rnd(r, 2))
			evict(r);
		r->pods_at = late(r, step, r->pods_at, busy ? LAG_MAX : 1);
		r->budget_at = late(r, step, r->budget_at, busy ? 3 : 1);
		if (rnd(r, 2))
			reconcile(r, &r->history[step - r->pods_at],
				  &r->history[step - r->budget_at]);
	}
	struct world end = r->w;
	reconcile(r, &end, &end);
	int64_t more = ready_pods(&r->w) - needed(r);
	if (!r->broken && r->w.b.allowed < (more < 0 ? 0 : more))
		r->broken = "less is allowed than could be";
	return r->broken;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	enum bug bug = BUG_NONE;
	for (int i = 0; argc > 3 && i < BUGS; i++)
		if (strcmp(argv[3], bugs[i]) == 0)
			bug = (enum bug)i;
	for (uint64_t s = first; s < first + count; s++) {
		const char *why = simulate(s, bug);
		if (why) {
			printf("seed %" PRIu64 ": %s\n", s, why);
			return 1;
		}
	}
	/* teeth: each planted bug must be found within the same seeds */
	for (int b = 1; argc <= 3 && b < BUGS; b++) {
		uint64_t s = first;
		const char *why = NULL;
		while (s < first + count && !(why = simulate(s, (enum bug)b)))
			s++;
		if (!why) {
			printf("planted bug \"%s\" was not found in %" PRIu64 " seeds\n", bugs[b],
			       count);
			return 1;
		}
		printf("planted bug \"%s\": found by seed %" PRIu64 ": %s\n", bugs[b], s, why);
	}
	printf("%" PRIu64 " seeds\n", count);
	return 0;
}
