/*
 * Simulation of Jobs: batch_plan against a world with virtual time and faults.
 *
 *   sim_batch FIRST_SEED COUNT [BUG]
 *
 * Each seed is one run: pods succeed, fail or are deleted by others; the controller sees the world through a cache that lags,
 * crashes between two writes and loses races for the status.
 * Checked: never more pods at work than parallelism, never more successes than completions; in the end each pod that
 * succeeded or failed is counted exactly once, none is held by a finalizer, and the verdict fits the counts.
 *
 * BUG plants one: the run must then fail (the tests' teeth); the table `bugs` names them.
 */
#include "batch_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PODS_MAX = 128, LAG_MAX = 8, STEPS = 6000 };

enum bug {
	BUG_NONE,
	BUG_EXPECTATIONS, /* plans again before its cache saw its own writes */
	BUG_UNTRACK,      /* finalizers go before the status names the pods */
	BUG_FORGET,       /* what is uncounted is dropped, not counted */
	BUG_BLIND,        /* pods that are ending are not seen */
	BUGS
};

static const char *const bugs[BUGS] = { "none", "expectations", "untrack", "forget", "blind" };

struct pod {
	int id;
	bool gone, succeeded, failed, deleting, tracked, quiet;
	int64_t ends_s, ended_s;
};

struct status {
	int64_t succeeded, failed, start_s, end_s;
	int un_ok[PODS_MAX], un_bad[PODS_MAX];
	size_t un_ok_len, un_bad_len;
	bool complete, gave_up;
	int64_t rev;
};

struct world {
	struct pod pods[PODS_MAX];
	size_t pods_len;
	struct status st;
	int64_t rev, now;
};

struct run {
	struct world w, history[LAG_MAX];
	uint64_t rng;
	enum bug bug;
	int64_t completions, parallelism, backoff_limit, seen_rev;
	uint64_t fail_percent;
	const char *broken;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return r->rng % n;
}

/* ---- the world ---- */

static bool works(const struct pod *p)
{
	return !p->gone && !p->succeeded && !p->failed;
}

static void pass_time(struct run *r)
{
	struct world *w = &r->w;
	memmove(&r->history[1], &r->history[0], sizeof(r->history[0]) * (LAG_MAX - 1));
	r->history[0] = *w;
	w->now++;
	for (size_t i = 0; i < w->pods_len; i++) {
		struct pod *p = &w->pods[i];
		if (works(p) && !p->deleting && rnd(r, 400) == 0)
			p->deleting = true; /* by a user, or the node went */
		if (works(p) && w->now >= p->ends_s) {
			bool bad = p->deleting || rnd(r, 100) < r->fail_percent;
			p->failed = bad;
			p->succeeded = !bad;
			p->ended_s = w->now;
			w->rev++;
		}
		if (p->deleting && !p->tracked && !works(p) && !p->gone) {
			p->gone = true;
			w->rev++;
		}
	}
}

static const struct world *cache(struct run *r)
{
	for (size_t lag = rnd(r, LAG_MAX); lag > 0; lag--)
		if (r->bug == BUG_EXPECTATIONS || r->history[lag - 1].rev >= r->seen_rev)
			return &r->history[lag - 1];
	return &r->w;
}

/* ---- the controller ---- */

static struct batch_uids uids(struct arena *a, const int *ids, size_t n)
{
	struct str *out = arena_new(a, struct str, n);
	for (size_t i = 0; i < n; i++)
		out[i] = arena_strf(a, "%d", ids[i]);
	return (struct batch_uids){ out, n };
}

static size_t ids(const struct batch_uids *u, int *out)
{
	for (size_t i = 0; i < u->len; i++) {
		int64_t id = 0;
		(void)str_to_i64(u->list[i], &id);
		out[i] = (int)id;
	}
	return u->len;
}

static size_t gather(struct run *r, struct arena *a, const struct world *c, struct batch_pod *pods,
		     size_t *index)
{
	size_t n = 0;
	for (size_t i = 0; i < c->pods_len; i++) {
		const struct pod *p = &c->pods[i];
		if (p->gone || (r->bug == BUG_BLIND && p->deleting))
			continue;
		index[n] = i;
		pods[n++] = (struct batch_pod){ .uid = arena_strf(a, "%d", p->id),
						.succeeded = p->succeeded,
						.failed = p->failed,
						.ready = true,
						.deleting = p->deleting,
						.tracked = p->tracked,
						.ended_s = p->ended_s };
	}
	return n;
}

static void write_status(struct run *r, const struct world *c, const struct batch_plan *p)
{
	struct status *st = &r->w.st;
	if (st->rev != c->st.rev)
		return;
	struct status next = { .succeeded = p->succeeded,
			       .failed = p->failed,
			       .start_s = p->start_s,
			       .end_s = st->end_s };
	if (r->bug != BUG_FORGET || rnd(r, 8)) {
		next.un_ok_len = ids(&p->uncounted_succeeded, next.un_ok);
		next.un_bad_len = ids(&p->uncounted_failed, next.un_bad);
	}
	next.complete = st->complete || (p->finished && p->verdict == BATCH_COMPLETE);
	next.gave_up = st->gave_up || (p->finished && p->verdict != BATCH_COMPLETE);
	if (!st->complete && !st->gave_up && p->finished)
		next.end_s = r->w.now;
	next.rev = ++r->w.rev;
	*st = next;
}

static void untrack(struct run *r, size_t at)
{
	struct pod *p = &r->w.pods[at];
	bool named = p->succeeded || p->failed || p->deleting;
	p->tracked = false;
	p->quiet = !named;
	r->w.rev++;
}

static void reconcile(struct run *r)
{
	const struct world *c = cache(r);
	struct arena a = { 0 };
	struct batch_pod pods[PODS_MAX];
	size_t index[PODS_MAX];
	size_t n = gather(r, &a, c, pods, index);
	const struct batch_input in = {
		.completions = r->completions,
		.parallelism = r->parallelism,
		.backoff_limit = r->backoff_limit,
		.deadline_s = -1,
		.ttl_s = -1,
		.pods = pods,
		.pods_len = n,
		.succeeded = c->st.succeeded,
		.failed = c->st.failed,
		.uncounted_succeeded = uids(&a, c->st.un_ok, c->st.un_ok_len),
		.uncounted_failed = uids(&a, c->st.un_bad, c->st.un_bad_len),
		.start_s = c->st.start_s,
		.complete = c->st.complete,
		.gave_up = c->st.gave_up,
		.end_s = c->st.end_s,
		.now_s = c->now,
	};
	struct batch_plan p = batch_plan(&a, &in);
	bool crash = rnd(r, 30) == 0;
	for (size_t i = 0; i < p.create && r->w.pods_len < PODS_MAX; i++) {
		struct world *w = &r->w;
		w->pods[w->pods_len] = (struct pod){ .id = (int)w->pods_len + 1,
						     .tracked = true,
						     .ends_s = w->now + 1 + (int64_t)rnd(r, 12) };
		w->pods_len++;
		w->rev++;
	}
	for (size_t i = 0; i < p.untrack_len; i++)
		untrack(r, index[p.untrack[i]]);
	for (size_t i = 0; r->bug == BUG_UNTRACK && i < n; i++)
		if (pods[i].succeeded && rnd(r, 4) == 0)
			untrack(r, index[i]);
	for (size_t i = 0; i < p.end_len; i++)
		r->w.pods[index[p.end[i]]].deleting = true;
	if (!crash)
		write_status(r, c, &p);
	r->seen_rev = r->w.rev;
	arena_fini(&a);
}

/* ---- one run ---- */

static void check(struct run *r)
{
	int64_t at_work = 0;
	int64_t succeeded = 0;
	for (size_t i = 0; i < r->w.pods_len; i++) {
		at_work += works(&r->w.pods[i]);
		succeeded += r->w.pods[i].succeeded;
	}
	if (at_work > r->parallelism)
		r->broken = "more pods at work than parallelism";
	if (succeeded > r->completions)
		r->broken = "more successes than completions";
}

static void check_rest(struct run *r)
{
	const struct status *st = &r->w.st;
	int64_t succeeded = 0;
	int64_t failed = 0;
	for (size_t i = 0; i < r->w.pods_len; i++) {
		const struct pod *p = &r->w.pods[i];
		succeeded += p->succeeded && !p->quiet;
		failed += p->failed && !p->quiet;
		if (!p->gone && p->tracked)
			r->broken = "a pod is held by its finalizer";
		if (works(p))
			r->broken = "a pod works on behind the end";
	}
	if (st->succeeded != succeeded)
		r->broken = "successes are not counted once each";
	else if (st->failed != failed)
		r->broken = "failures are not counted once each";
	else if (st->complete && succeeded < r->completions)
		r->broken = "complete without the successes";
	else if (st->gave_up && failed <= r->backoff_limit)
		r->broken = "gave up too early";
}

static const char *simulate(uint64_t seed, enum bug bug)
{
	static struct run run;
	run = (struct run){ .rng = seed * 0x9e3779b97f4a7c15ULL + 1, .bug = bug };
	struct run *r = &run;
	r->w.now = 1000;
	r->completions = 1 + (int64_t)rnd(r, 30);
	r->parallelism = 1 + (int64_t)rnd(r, 6);
	r->backoff_limit = (int64_t)rnd(r, 6);
	r->fail_percent = rnd(r, 3) ? 3 : 30;
	for (size_t i = 0; i < LAG_MAX; i++)
		r->history[i] = r->w;
	int64_t settle = 60;
	for (int step = 0; step < STEPS && settle > 0 && !r->broken; step++) {
		pass_time(r);
		if (rnd(r, 3))
			reconcile(r);
		check(r);
		settle -= r->w.st.complete || r->w.st.gave_up;
	}
	if (!r->broken && settle > 0)
		r->broken = "did not come to an end";
	if (!r->broken)
		check_rest(r);
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
