/*
 * Simulation of rollouts: the plans of Deployments and ReplicaSets against a world with virtual time and faults.
 *
 *   sim_rollout FIRST_SEED COUNT [BUG]
 *
 * Each seed is one run: a Deployment whose template and size change at random, two controllers that see
 * the world through caches that lag, replies that get lost, controllers that crash between two writes, pods that die.
 * Checked at every step: no more live pods than replicas + surge, and, once all were available and known to be and while no
 * pod died, never fewer available ones than replicas - unavailable; after the last fault the world must come to rest as asked.
 *
 * BUG plants one: the run must then fail (the tests' teeth).
 *   expectations   a controller plans again before its cache saw its own writes
 *   surge          the surge is taken from what is available in place of what is wanted
 *   observed       a ReplicaSet's status claims to be of a generation that was not looked at
 */
#include "deployment_plan.h"
#include "replicaset_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETS_MAX = 24, PODS_MAX = 400, STEPS = 300, SETTLE = 150, LAG_MAX = 12 };
enum bug { BUG_NONE, BUG_EXPECTATIONS, BUG_SURGE, BUG_OBSERVED };

struct pod {
	int id, set;                              /* set: index */
	int64_t created_s, ready_at_s, gone_at_s; /* gone_at_s: terminating until then */
	bool deleting;
};

struct set {
	int template;
	int64_t want, created_s;
	int64_t replicas, ready, available; /* status, written by the ReplicaSet controller */
	int64_t generation, observed;
	bool exists;
};

struct world {
	int64_t now, rev;
	int template;
	int64_t replicas, surge, unavailable;
	struct set sets[SETS_MAX];
	size_t sets_len;
	struct pod pods[PODS_MAX];
	size_t pods_len;
	int next_id;
};

struct run {
	struct world w, history[LAG_MAX]; /* history[k]: the world k steps ago */
	uint64_t rng;
	enum bug bug;
	bool faults;
	int64_t up_since_s; /* 0 = not fully up; the lower bound holds once every cache can know that it was */
	int64_t seen_rev[2]; /* of each controller: its cache must be at least this new */
	int64_t grace_until; /* after a change of size or a death the lower bound is void until then */
	const char *broken;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return n ? r->rng % n : 0;
}

/* ---- the world ---- */

static bool is_ready(const struct world *w, const struct pod *p)
{
	return !p->deleting && w->now >= p->ready_at_s;
}

static void add_pod(struct run *r, int set)
{
	struct world *w = &r->w;
	if (w->pods_len == PODS_MAX) {
		r->broken = "pods without end";
		return;
	}
	w->pods[w->pods_len++] = (struct pod){ .id = w->next_id++,
					       .set = set,
					       .created_s = w->now,
					       .ready_at_s = w->now + 1 + (int64_t)rnd(r, 6) };
	w->rev++;
}

static void delete_pod(struct run *r, int id)
{
	struct world *w = &r->w;
	for (size_t i = 0; i < w->pods_len; i++) {
		if (w->pods[i].id == id && !w->pods[i].deleting) {
			w->pods[i].deleting = true;
			w->pods[i].gone_at_s = w->now + 1 + (int64_t)rnd(r, 4);
			w->rev++;
		}
	}
}

static void pass_time(struct run *r)
{
	struct world *w = &r->w;
	memmove(&r->history[1], &r->history[0], sizeof(r->history[0]) * (LAG_MAX - 1));
	r->history[0] = *w;
	w->now++;
	for (size_t i = 0; i < w->pods_len; i++) {
		if (w->pods[i].deleting && w->now >= w->pods[i].gone_at_s) {
			w->pods[i--] = w->pods[--w->pods_len];
			w->rev++;
		}
	}
}

/* What a controller sees: some older world, but never one before its own writes. */
static const struct world *cache(struct run *r, int controller)
{
	size_t lag = r->faults ? rnd(r, LAG_MAX) : 0;
	for (; lag > 0; lag--)
		if (r->bug == BUG_EXPECTATIONS ||
		    r->history[lag - 1].rev >= r->seen_rev[controller])
			return &r->history[lag - 1];
	return &r->w;
}

/* ---- the two controllers ---- */

static void reconcile_set(struct run *r, size_t index)
{
	const struct world *c = cache(r, 0);
	if (index >= c->sets_len || !c->sets[index].exists)
		return;
	struct arena a = { 0 };
	struct rs_pod *pods = arena_new(&a, struct rs_pod, c->pods_len);
	int *ids = arena_new(&a, int, c->pods_len);
	size_t n = 0;
	for (size_t i = 0; i < c->pods_len; i++) {
		const struct pod *p = &c->pods[i];
		if (p->set != (int)index)
			continue;
		ids[n] = p->id;
		pods[n++] = (struct rs_pod){ .name = arena_strf(&a, "p%d", p->id),
					     .node = STR("n"),
					     .created_s = p->created_s,
					     .ready_s = is_ready(c, p) ? p->ready_at_s : 0,
					     .running = true,
					     .deleting = p->deleting };
	}
	const struct rs_input in = {
		.replicas = c->sets[index].want, .pods = pods, .pods_len = n, .now_s = c->now
	};
	struct rs_plan plan = replicaset_plan(&a, &in);
	struct set *live = &r->w.sets[index];
	for (size_t i = 0; i < plan.create && !r->broken; i++) {
		add_pod(r, (int)index);
		if (r->faults && rnd(r, 40) == 0)
			break; /* crash between two writes */
	}
	for (size_t i = 0; i < plan.delete_len; i++)
		delete_pod(r, ids[plan.delete_idx[i]]);
	int64_t observed = r->bug == BUG_OBSERVED ? live->generation : c->sets[index].generation;
	if (live->replicas != plan.replicas || live->ready != plan.ready ||
	    live->available != plan.available || live->observed != observed) {
		live->replicas = plan.replicas;
		live->ready = plan.ready;
		live->available = plan.available;
		live->observed = observed;
		r->w.rev++;
	}
	r->seen_rev[0] = r->w.rev;
	arena_fini(&a);
}

static void create_set(struct run *r, int template, int64_t want)
{
	struct world *w = &r->w;
	for (size_t i = 0; i < w->sets_len; i++)
		if (w->sets[i].exists && w->sets[i].template == template)
			return; /* its name is the hash of the template: 409 */
	if (w->sets_len == SETS_MAX)
		return;
	w->sets[w->sets_len++] = (struct set){ .template = template,
					       .want = want,
					       .created_s = w->now,
					       .generation = 1,
					       .exists = true };
	w->rev++;
}

static void reconcile_deployment(struct run *r)
{
	const struct world *c = cache(r, 1);
	struct arena a = { 0 };
	struct deploy_set *sets = arena_new(&a, struct deploy_set, c->sets_len);
	size_t *index = arena_new(&a, size_t, c->sets_len);
	size_t n = 0;
	for (size_t i = 0; i < c->sets_len; i++) {
		const struct set *s = &c->sets[i];
		if (!s->exists)
			continue;
		index[n] = i;
		sets[n++] =
			(struct deploy_set){ .name = arena_strf(&a, "s%zu", i),
					     .created_s = s->created_s,
					     .current = s->template == c->template,
					     .want = r->bug == BUG_SURGE ? s->available : s->want,
					     .replicas = s->replicas,
					     .ready = s->ready,
					     .available = s->available,
					     .observed = s->observed == s->generation };
	}
	const struct deploy_input in = { .replicas = c->replicas,
					 .max_surge = c->surge,
					 .max_unavailable = c->unavailable,
					 .history_limit = 2,
					 .deadline_s = 600,
					 .sets = sets,
					 .sets_len = n,
					 .now_s = c->now };
	struct deploy_plan plan = deployment_plan(&a, &in);
	if (plan.create)
		create_set(r, c->template, plan.create_replicas);
	for (size_t i = 0; i < plan.scale_len; i++) {
		struct set *live = &r->w.sets[index[plan.scale[i].set]];
		/* guarded by the resourceVersion that was read */
		if (live->generation != c->sets[index[plan.scale[i].set]].generation)
			continue;
		live->want = plan.scale[i].replicas;
		live->generation++;
		r->w.rev++;
		if (r->faults && rnd(r, 20) == 0)
			break; /* crash between two writes */
	}
	for (size_t i = 0; i < plan.drop_len; i++) {
		struct set *live = &r->w.sets[index[plan.drop[i]]];
		if (live->generation == c->sets[index[plan.drop[i]]].generation && !live->want)
			live->exists = false;
	}
	r->seen_rev[1] = r->w.rev;
	arena_fini(&a);
}

/* ---- one run ---- */

static void change_something(struct run *r)
{
	struct world *w = &r->w;
	if (rnd(r, 25) == 0 && w->sets_len < SETS_MAX - 2)
		w->template ++;
	if (rnd(r, 250) == 0) {
		w->replicas = 1 + (int64_t)rnd(r, 12);
		r->grace_until = w->now + 60;
	}
	if (rnd(r, 200) == 0 && w->pods_len) {
		w->pods[rnd(r, w->pods_len)].ready_at_s =
			w->now + 5; /* died, restarted by its node */
		r->grace_until = w->now + 60;
	}
	w->rev++;
}

/* By the statuses, and not more than is wanted. */
static int64_t known_available(const struct world *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < w->sets_len; i++)
		if (w->sets[i].exists)
			n += w->sets[i].available < w->sets[i].want ? w->sets[i].available
								    : w->sets[i].want;
	return n;
}

static void check(struct run *r)
{
	const struct world *w = &r->w;
	int64_t live = 0;
	int64_t available = 0;
	for (size_t i = 0; i < w->pods_len; i++) {
		live += !w->pods[i].deleting;
		available += is_ready(w, &w->pods[i]);
	}
	if (w->now < r->grace_until) {
		r->up_since_s = 0;
		return;
	}
	if (!r->up_since_s && available >= w->replicas && known_available(w) >= w->replicas)
		r->up_since_s = w->now;
	if (live > w->replicas + w->surge)
		r->broken = "more pods than replicas + maxSurge";
	bool was_up = r->up_since_s && w->now - r->up_since_s > LAG_MAX;
	if (was_up && available < w->replicas - w->unavailable)
		r->broken = "fewer available pods than replicas - maxUnavailable";
}

static void check_rest(struct run *r)
{
	const struct world *w = &r->w;
	int64_t right = 0;
	for (size_t i = 0; i < w->pods_len; i++)
		right +=
			w->sets[w->pods[i].set].template == w->template && is_ready(w, &w->pods[i]);
	if (right != w->replicas || (int64_t)w->pods_len != w->replicas)
		r->broken = "did not come to rest as asked";
}

static const char *simulate(uint64_t seed, enum bug bug)
{
	static struct run run;
	run = (struct run){ .rng = seed * 0x9e3779b97f4a7c15ULL + 1, .bug = bug, .faults = true };
	struct run *r = &run;
	r->w.replicas = 1 + (int64_t)rnd(r, 10);
	r->w.surge = (int64_t)rnd(r, 4);
	r->w.unavailable = r->w.surge ? (int64_t)rnd(r, 3) : 1 + (int64_t)rnd(r, 3);
	for (int step = 0; step < STEPS + SETTLE && !r->broken; step++) {
		r->faults = step < STEPS;
		pass_time(r);
		if (r->faults)
			change_something(r);
		if (!r->faults || rnd(r, 3))
			reconcile_deployment(r);
		for (size_t i = 0; i < r->w.sets_len; i++)
			if (!r->faults || rnd(r, 3))
				reconcile_set(r, i);
		check(r);
	}
	if (!r->broken)
		check_rest(r);
	return r->broken;
}

int main(int argc, char **argv)
{
	static const char *const bugs[] = { "none", "expectations", "surge", "observed" };
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	enum bug bug = BUG_NONE;
	for (int i = 0; argc > 3 && i < 4; i++)
		if (strcmp(argv[3], bugs[i]) == 0)
			bug = (enum bug)i;
	for (uint64_t s = first; s < first + count; s++) {
		const char *why = simulate(s, bug);
		if (why && bug == BUG_NONE) {
			printf("seed %" PRIu64 ": %s\n", s, why);
			return 1;
		}
	}
	/* teeth: each planted bug must be found within the same seeds */
	for (int b = 1; argc <= 3 && b < 4; b++) {
		uint64_t s = first;
		while (s < first + count && !simulate(s, (enum bug)b))
			s++;
		if (s == first + count) {
			printf("planted bug \"%s\" was not found in %" PRIu64 " seeds\n", bugs[b],
			       count);
			return 1;
		}
		printf("planted bug \"%s\": found by seed %" PRIu64 "\n", bugs[b], s);
	}
	printf("%" PRIu64 " seeds\n", count);
	return 0;
}
