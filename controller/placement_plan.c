#include "placement_plan.h"

#include "placement_priv.h"

#include <assert.h>
#include <inttypes.h>

const char *placement_phase_name(enum place_phase p)
{
	static const char *const names[] = {
		[PLACE_PENDING] = "Pending",     [PLACE_APPLIED] = "Applied",
		[PLACE_READY] = "Ready",         [PLACE_UNREACHABLE] = "Unreachable",
		[PLACE_MOVING] = "Moving",       [PLACE_REMOVING] = "Removing",
		[PLACE_SUSPENDED] = "Suspended",
	};
	return names[p];
}

enum { RECORD_STEPS = 8 };

static int64_t min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* ---- the scene ---- */

static void set_scene(struct place_scene *s)
{
	s->len = s->in->clusters_len;
	s->w = arena_new(s->arena, struct place_work, s->len);
	for (size_t i = 0; i < s->len; i++) {
		const struct place_cluster *c = &s->in->clusters[i];
		struct place_work *w = &s->w[i];
		w->c = c;
		w->region = SIZE_MAX;
		w->up = c->contact == PLACE_UP && c->listed;
		w->current = w->up && c->exists ? c->current : 0;
		w->record = c->record;
		if (c->record == PLACE_UNRECORDED && w->up && c->exists && !c->deleting)
			w->record = min64(c->current,
					  c->ready); /* the record was lost, not the share */
		w->ready = w->up && c->exists && !c->deleting
				   ? max64(min64(min64(c->ready, w->current), w->record), 0)
				   : 0;
	}
}

static bool is_unsettled(const struct place_scene *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->w[i].c->contact == PLACE_UNKNOWN && (s->w[i].match || place_holds(&s->w[i])))
			return true;
	return false;
}

static bool fuse_blows(const struct place_scene *s, size_t *ret_lost, size_t *ret_held)
{
	size_t lost = 0;
	size_t held = 0;
	for (size_t i = 0; i < s->len; i++) {
		lost += s->w[i].lost;
		held += place_holds(&s->w[i]);
	}
	*ret_lost = lost;
	*ret_held = held;
	int64_t allowed = max64(max64(1, (int64_t)held / 2), s->in->spec->removals_max);
	return s->in->same_request && (int64_t)lost > allowed;
}

/* ---- shares ---- */

static struct place_share stay(const struct place_work *w)
{
	bool known = w->record != PLACE_UNRECORDED;
	return (struct place_share){
		.act = PLACE_STAY,
		.replicas = w->current,
		.target = place_holds(w) ? w->record : 0,
		.record = w->record,
		.decided = known,
		.phase = w->record == PLACE_LEAVING ? PLACE_REMOVING : PLACE_APPLIED,
		.reason = w->why,
	};
}

/* Takes the workload out where that can be done; elsewhere the record says that it is to be. */
static struct place_share leave(const struct place_work *w, const char *why)
{
	struct place_share x = stay(w);
	x.target = 0;
	x.phase = PLACE_REMOVING;
	x.reason = str_of(why);
	if (w->c->contact == PLACE_UNKNOWN)
		return x;
	if (!w->up) {
		x.record = w->c->listed && w->record != PLACE_UNRECORDED ? PLACE_LEAVING
									 : PLACE_UNRECORDED;
		x.decided = x.record != PLACE_UNRECORDED;
		return x;
	}
	x.record = w->c->exists ? PLACE_LEAVING : PLACE_UNRECORDED;
	x.act = w->c->exists && !w->c->deleting ? PLACE_REMOVE : PLACE_STAY;
	x.decided = w->c->exists;
	return x;
}

static void keep_all(struct place_scene *s, struct place_plan *p, bool held)
{
	for (size_t i = 0; i < s->len; i++) {
		p->shares[i] = stay(&s->w[i]);
		if (held)
			p->shares[i].phase = PLACE_SUSPENDED;
		p->desired += max64(p->shares[i].target, 0);
	}
	p->settled = false;
}

/* What is left to remove is removed; nothing else is touched. */
static void keep_or_leave(struct place_scene *s, struct place_plan *p)
{
	for (size_t i = 0; i < s->len; i++) {
		struct place_work *w = &s->w[i];
		p->shares[i] = w->record == PLACE_LEAVING
				       ? leave(w, "given up; it is removed from here")
				       : stay(w);
		p->desired += max64(p->shares[i].target, 0);
	}
}

static void leave_all(struct place_scene *s, struct place_plan *p)
{
	p->settled = true;
	for (size_t i = 0; i < s->len; i++) {
		p->shares[i] = leave(&s->w[i], s->in->deleting ? "the workload was deleted"
							       : "its Placement lets go of it");
		p->settled = p->settled && p->shares[i].record == PLACE_UNRECORDED;
	}
}

/* ---- make before break ---- */

/*
 * What has to be ready in the clusters that can be reached before anything ready is taken away: what they are to
 * run together, and what cannot be given to any of them.
 */
static int64_t needed_up(const struct place_scene *s)
{
	int64_t wanted = 0;
	int64_t frozen = 0;
	bool any = false;
	for (size_t i = 0; i < s->len; i++) {
		const struct place_work *w = &s->w[i];
		if (w->up) {
			wanted += w->target;
			any |= w->chosen;
		} else if (w->chosen) {
			frozen += w->c->standing < 0 ? w->target : min64(w->target, w->c->standing);
		}
	}
	if (place_divides(s))
		return max64(wanted, s->in->replicas - frozen);
	return any ? wanted : s->in->replicas;
}

/* What was seen of it, whatever the record says. */
static int64_t seen_ready(const struct place_work *w)
{
	return w->c->deleting ? 0 : min64(w->c->ready, w->current);
}

/*
 * The least that `w` may be set to: what is not ready there may always go, what is ready as far as
 * the others make up for it.  A share that is moved away from a failing cluster goes at
 * once or not at all: what is not ready there may come back to life.
 * *have is what counts as ready everywhere; it is lowered by what goes.
 */
static int64_t shrink_to(struct place_work *w, int64_t need, int64_t *have)
{
	int64_t missing = max64(need - (*have - w->ready), 0);
	int64_t n = max64(w->target, min64(seen_ready(w), missing));
	if (w->moved && missing > w->target)
		n = w->current;
	*have += min64(w->ready, n) - w->ready;
	return n;
}

/*
 * The floor after this plan: it falls with the share at once, and rises with what was seen ready there, in
 * steps, so that a rollout is not a write for each replica.
 */
static int64_t next_record(const struct place_work *w, int64_t n)
{
	int64_t top = min64(n, w->current);
	int64_t old = min64(max64(w->record, 0), top);
	int64_t now = min64(seen_ready(w), top);
	int64_t step = max64(1, n / RECORD_STEPS);
	return now == top || now - old >= step ? max64(old, now) : old;
}

static struct place_share share_up(const struct place_scene *s, struct place_work *w, int64_t need,
				   int64_t *have)
{
	struct place_share x = stay(w);
	x.target = w->target;
	x.reason = w->why;
	bool wanted = w->chosen && (w->target > 0 || s->in->replicas == 0);
	if (!wanted && !w->c->exists) {
		x.record = PLACE_UNRECORDED;
		x.decided = w->record != PLACE_UNRECORDED;
		x.phase = PLACE_REMOVING;
		return x;
	}
	if (w->c->deleting) { /* comes back when it is gone */
		x.phase = PLACE_REMOVING;
		x.decided = true;
		x.record = wanted ? 0 : PLACE_LEAVING;
		return x;
	}
	int64_t n = w->target >= w->current ? w->target : shrink_to(w, need, have);
	x.decided = true;
	x.replicas = n;
	x.act = PLACE_APPLY;
	x.record = next_record(w, n);
	if (!wanted && n == 0) {
		x.act = PLACE_REMOVE;
		x.record = PLACE_LEAVING;
	}
	if (!wanted)
		x.phase = w->moved ? PLACE_MOVING : PLACE_REMOVING;
	else if (!w->c->exists)
		x.phase = PLACE_PENDING;
	else
		x.phase = w->current == n && n == w->target && w->c->ready >= n ? PLACE_READY
										: PLACE_APPLIED;
	return x;
}

static struct place_share share_down(const struct place_work *w, bool replaced)
{
	struct place_share x = stay(w);
	x.target = w->target;
	x.phase = PLACE_UNREACHABLE;
	x.decided = w->record != PLACE_UNRECORDED;
	if (!place_holds(w)) {
		if (!w->c->listed)
			x.record = PLACE_UNRECORDED;
		x.decided = x.record != PLACE_UNRECORDED;
		x.phase = PLACE_REMOVING;
	} else if (!w->chosen && replaced) {
		x.record = w->c->listed ? PLACE_LEAVING : PLACE_UNRECORDED;
		x.decided = w->c->listed;
		x.phase = PLACE_REMOVING;
	} else if (!w->chosen) {
		x.phase = PLACE_MOVING;
	}
	return x;
}

static struct str reason_of(struct place_scene *s, const struct place_work *w)
{
	uint64_t sec = w->c->failing_ms / 1000;
	if (w->c->contact == PLACE_DOWN && w->c->listed && place_holds(w))
		return w->moved ? arena_strf(s->arena,
					     "cluster unreachable for %" PRIu64
					     "s; its share is started elsewhere",
					     sec)
				: arena_strf(s->arena,
					     "cluster unreachable; its share stands (%.*s)",
					     STR_ARG(w->why));
	if (w->up && w->moved)
		return arena_strf(s->arena,
				  "no ready node for %" PRIu64 "s; its share is started elsewhere",
				  sec);
	return w->why;
}

static void carry_out(struct place_scene *s, struct place_plan *p)
{
	int64_t need = needed_up(s);
	int64_t have = 0;
	for (size_t i = 0; i < s->len; i++) {
		have += s->w[i].ready;
		s->w[i].why = reason_of(s, &s->w[i]);
	}
	bool replaced = have >= need;
	p->ready = have;
	p->settled = true;
	/* Failing clusters let go last: what is spare goes to those that can tell what they run. */
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < s->len; i++) {
			struct place_work *w = &s->w[i];
			if (w->moved != (turn == 1))
				continue;
			p->shares[i] =
				w->up ? share_up(s, w, need, &have) : share_down(w, replaced);
		}
	}
	for (size_t i = 0; i < s->len; i++) {
		const struct place_share *x = &p->shares[i];
		p->desired += s->w[i].target;
		bool later = x->record == PLACE_LEAVING && !s->w[i].up;
		p->settled = p->settled && (!x->decided || later || x->phase == PLACE_READY ||
					    (s->w[i].frozen && x->act == PLACE_STAY));
	}
}

/* ---- the plan ---- */

static void decide(struct place_scene *s, struct place_plan *p)
{
	const struct place_input *in = s->in;
	if (in->deleting || (in->released && !in->spec)) {
		p->verdict = PLACE_LEAVES;
		p->message = in->deleting ? STR("deleted; it is taken out of the clusters")
					  : STR("its Placement lets go of it");
		leave_all(s, p);
		return;
	}
	if (!in->spec) {
		p->verdict = PLACE_NOT_SELECTED;
		p->message = STR("no Placement selects it");
		keep_or_leave(s, p);
		return;
	}
	place_match(s);
	if (in->spec->suspend) {
		p->verdict = PLACE_HELD;
		p->message = STR("the Placement is suspended; nothing is changed");
		keep_all(s, p, true);
		return;
	}
	if (is_unsettled(s)) {
		p->verdict = PLACE_WAITING;
		p->message = STR("waiting for the first contact with the clusters");
		keep_all(s, p, false);
		return;
	}
	size_t held = 0;
	if (fuse_blows(s, &p->lost, &held)) {
		p->verdict = PLACE_FUSE;
		p->message = arena_strf(
			s->arena,
			"%zu of %zu clusters would lose it though the Placement did not change; "
			"nothing is changed until it does, or allows so many by the annotation "
			"fleet.rctl.io/removals-max",
			p->lost, held);
		keep_all(s, p, false);
		return;
	}
	p->verdict = place_choose(s, &p->message);
	if (p->verdict != PLACE_OK) {
		keep_all(s, p, false);
		return;
	}
	place_targets(s);
	p->again_ms = s->again_ms;
	carry_out(s, p);
}

void placement_plan(struct arena *a, const struct place_input *in, struct place_plan *ret)
{
	assert(in->clusters_len <= PLACE_CLUSTERS_MAX);
	assert(in->replicas >= 0 && in->replicas <= PLACE_REPLICAS_MAX);
	struct place_scene s = { .arena = a, .in = in };
	set_scene(&s);
	*ret = (struct place_plan){ .shares = arena_new(a, struct place_share, s.len) };
	decide(&s, ret);
	for (size_t i = 0; i < s.len; i++) {
		struct place_share *x = &ret->shares[i];
		ret->records_changed |= x->record != in->clusters[i].record;
		if (x->phase == PLACE_APPLIED && !s.w[i].up && s.w[i].c->contact == PLACE_DOWN)
			x->phase = PLACE_UNREACHABLE;
	}
}
