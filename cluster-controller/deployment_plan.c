#include "deployment_plan.h"

#include <stdlib.h>

/* ---- arithmetic ---- */

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t share(struct str s, int64_t of, bool up)
{
	int64_t v = 0;
	if (s.len && s.p[s.len - 1] == '%') {
		if (!str_to_i64(str_sub(s, 0, s.len - 1), &v) || v < 0)
			return 0;
		return (v * of + (up ? 99 : 0)) / 100;
	}
	return str_to_i64(s, &v) && v > 0 ? v : 0;
}

void deployment_resolve(struct str surge, struct str unavailable, int64_t replicas,
			int64_t *ret_surge, int64_t *ret_unavailable)
{
	*ret_surge = share(surge, replicas, true);
	*ret_unavailable = share(unavailable, replicas, false);
	if (*ret_surge == 0 && *ret_unavailable == 0)
		*ret_unavailable = 1;
}

/* ---- a working copy: what the sets will be asked for ---- */

struct work {
	const struct deploy_input *in;
	struct deploy_plan *plan;
	int64_t *want;  /* per set */
	size_t current; /* index, or sets_len */
	size_t *by_age; /* old sets, oldest first */
	size_t old_len;
};

static int64_t total_want(const struct work *w)
{
	int64_t n = w->plan->create ? w->plan->create_replicas : 0;
	for (size_t i = 0; i < w->in->sets_len; i++)
		n += w->want[i];
	return n;
}

static int64_t old_want(const struct work *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < w->old_len; i++)
		n += w->want[w->by_age[i]];
	return n;
}

/*
 * What will still be available once every set is as small as asked: a status may lag behind
 * the size that was written, and pods beyond it are as good as gone.
 */
static int64_t total_available(const struct work *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < w->in->sets_len; i++)
		n += min64(w->in->sets[i].available, w->want[i]);
	return n;
}

static bool is_older(const struct deploy_set *a, const struct deploy_set *b)
{
	return a->created_s != b->created_s ? a->created_s < b->created_s
					    : str_cmp(a->name, b->name) < 0;
}

/* Insertion sort: there are few, and nearly always in order already. */
static void sort_old(struct work *w)
{
	for (size_t i = 0; i < w->in->sets_len; i++) {
		if (i == w->current || w->in->sets[i].deleting)
			continue;
		size_t k = w->old_len++;
		for (; k && is_older(&w->in->sets[i], &w->in->sets[w->by_age[k - 1]]); k--)
			w->by_age[k] = w->by_age[k - 1];
		w->by_age[k] = i;
	}
}

static void find_current(struct work *w)
{
	w->current = w->in->sets_len;
	for (size_t i = 0; i < w->in->sets_len; i++) {
		const struct deploy_set *s = &w->in->sets[i];
		if (s->current && !s->deleting &&
		    (w->current == w->in->sets_len || is_older(s, &w->in->sets[w->current])))
			w->current = i;
	}
}

/* ---- the two strategies ---- */

/* Pods that may be there: what is asked for, or what still is of a set that was asked to shrink. */
static int64_t total_present(const struct work *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < w->in->sets_len; i++)
		n += max64(w->want[i], w->in->sets[i].replicas);
	return n;
}

/* How many pods the current set may have now without exceeding the surge. */
static int64_t surge_to(const struct work *w, int64_t have)
{
	const struct deploy_input *in = w->in;
	if (have > in->replicas)
		return in->replicas;
	for (size_t i = 0; i < w->old_len; i++)
		if (!in->sets[w->by_age[i]].observed)
			return have; /* it may still be making pods of its former size */
	int64_t room = in->replicas + in->max_surge - total_present(w);
	return room <= 0 ? have : have + min64(room, in->replicas - have);
}

static void grow_current(struct work *w)
{
	if (w->plan->create)
		w->plan->create_replicas = surge_to(w, 0);
	else if (w->current < w->in->sets_len)
		w->want[w->current] = surge_to(w, w->want[w->current]);
}

/* Pods of old sets that are not available go first: deleting them costs nothing. */
static int64_t drop_unhealthy(struct work *w, int64_t budget)
{
	int64_t dropped = 0;
	for (size_t i = 0; i < w->old_len && dropped < budget; i++) {
		const struct deploy_set *s = &w->in->sets[w->by_age[i]];
		int64_t *want = &w->want[w->by_age[i]];
		int64_t n = min64(budget - dropped, max64(*want - s->available, 0));
		*want -= n;
		dropped += n;
	}
	return dropped;
}

static void shrink_old(struct work *w)
{
	const struct deploy_input *in = w->in;
	if (!old_want(w))
		return;
	const struct deploy_set *cur = w->current < in->sets_len ? &in->sets[w->current] : NULL;
	int64_t min_available = in->replicas - in->max_unavailable;
	int64_t new_want = w->plan->create ? w->plan->create_replicas
			   : cur           ? w->want[w->current]
					   : 0;
	int64_t new_unavailable = max64(new_want - (cur ? cur->available : 0), 0);
	int64_t budget = total_want(w) - min_available - new_unavailable;
	if (budget <= 0)
		return;
	budget -= drop_unhealthy(w, budget);

	int64_t spare = min64(total_available(w) - min_available, budget);
	for (size_t i = 0; i < w->old_len && spare > 0; i++) {
		int64_t *want = &w->want[w->by_age[i]];
		int64_t n = min64(spare, *want);
		*want -= n;
		spare -= n;
	}
}

static void recreate(struct work *w)
{
	bool old_pods = false;
	for (size_t i = 0; i < w->old_len; i++) {
		w->want[w->by_age[i]] = 0;
		old_pods |= w->in->sets[w->by_age[i]].pods > 0;
	}
	int64_t n = old_pods ? 0 : w->in->replicas;
	if (w->plan->create)
		w->plan->create_replicas = n;
	else if (!old_pods)
		w->want[w->current] = n;
}

/* A paused Deployment still follows its replica count, on the newest set that has pods. */
static void scale_paused(struct work *w)
{
	size_t active = w->in->sets_len;
	size_t n = 0;
	for (size_t i = 0; i < w->in->sets_len; i++) {
		if (w->want[i] > 0) {
			active = i;
			n++;
		}
	}
	if (n == 0)
		active = w->current;
	if (n <= 1 && active < w->in->sets_len)
		w->want[active] = w->in->replicas;
}

/* ---- revision, history ---- */

static void plan_revision(struct work *w)
{
	int64_t greatest = 0;
	for (size_t i = 0; i < w->in->sets_len; i++)
		if (i != w->current)
			greatest = max64(greatest, w->in->sets[i].revision);
	int64_t have = w->current < w->in->sets_len ? w->in->sets[w->current].revision : 0;
	w->plan->revision = have > greatest ? have : greatest + 1;
	w->plan->set_revision = w->current < w->in->sets_len && have != w->plan->revision;
}

static void plan_history(struct arena *a, struct work *w)
{
	size_t empty = 0;
	w->plan->drop = arena_new(a, size_t, w->old_len);
	for (size_t i = 0; i < w->old_len; i++) {
		const struct deploy_set *s = &w->in->sets[w->by_age[i]];
		empty += s->want == 0 && s->replicas == 0 && s->observed;
	}
	for (size_t i = 0; i < w->old_len && (int64_t)empty > w->in->history_limit; i++) {
		const struct deploy_set *s = &w->in->sets[w->by_age[i]];
		if (s->want || s->replicas || !s->observed || w->want[w->by_age[i]])
			continue;
		w->plan->drop[w->plan->drop_len++] = w->by_age[i];
		empty--;
	}
}

/* ---- status ---- */

static void plan_status(struct work *w)
{
	const struct deploy_input *in = w->in;
	struct deploy_plan *p = w->plan;
	for (size_t i = 0; i < in->sets_len; i++) {
		p->status_replicas += in->sets[i].replicas;
		p->ready += in->sets[i].ready;
		p->available += in->sets[i].available;
	}
	p->updated = w->current < in->sets_len ? in->sets[w->current].replicas : 0;
	p->unavailable = max64(total_want(w) - p->available, 0);
	p->minimum_available = p->available >= in->replicas - in->max_unavailable;

	bool complete = !p->create && w->current < in->sets_len && p->updated == in->replicas &&
			p->status_replicas == in->replicas && p->available == in->replicas &&
			in->sets[w->current].observed;
	p->moved = p->create || p->set_revision || p->updated > in->old_updated ||
		   p->ready > in->old_ready || p->available > in->old_available ||
		   p->status_replicas - p->updated < in->old_replicas - in->old_updated;
	if (in->paused) {
		p->progress = DEPLOY_PAUSED;
	} else if (complete) {
		p->progress = DEPLOY_COMPLETE;
	} else if (p->moved || !in->progress_s) {
		p->progress = DEPLOY_PROGRESSING;
	} else if (in->was_complete) {
		/* pods went away after the rollout: not a stalled rollout */
		p->progress = DEPLOY_COMPLETE;
	} else {
		int64_t left = in->progress_s + in->deadline_s - in->now_s;
		p->progress =
			left > 0 && !in->was_timed_out ? DEPLOY_PROGRESSING : DEPLOY_TIMED_OUT;
		p->again_s = left > 0 ? left : 0;
	}
	if (p->progress == DEPLOY_PROGRESSING && !p->again_s)
		p->again_s = in->deadline_s;
}

struct deploy_plan deployment_plan(struct arena *a, const struct deploy_input *in)
{
	struct deploy_plan plan = { 0 };
	struct work w = { .in = in, .plan = &plan };
	w.want = arena_new(a, int64_t, in->sets_len);
	w.by_age = arena_new(a, size_t, in->sets_len);
	for (size_t i = 0; i < in->sets_len; i++)
		w.want[i] = in->sets[i].deleting ? 0 : in->sets[i].want;
	find_current(&w);
	sort_old(&w);
	plan_revision(&w);
	if (!in->deleting) {
		plan.create = w.current == in->sets_len && !in->paused;
		if (in->paused) {
			scale_paused(&w);
		} else if (in->recreate) {
			recreate(&w);
		} else {
			grow_current(&w);
			shrink_old(&w);
		}
		plan_history(a, &w);
	}
	plan.scale = arena_new(a, struct deploy_scale, in->sets_len);
	for (size_t i = 0; i < in->sets_len; i++)
		if (!in->sets[i].deleting && w.want[i] != in->sets[i].want)
			plan.scale[plan.scale_len++] = (struct deploy_scale){ i, w.want[i] };
	plan_status(&w);
	return plan;
}
