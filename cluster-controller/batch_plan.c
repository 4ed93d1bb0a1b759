#include "batch_plan.h"

static bool has(const struct batch_uids *u, struct str uid)
{
	for (size_t i = 0; i < u->len; i++)
		if (str_eq(u->list[i], uid))
			return true;
	return false;
}

static const struct batch_pod *tracked(const struct batch_input *in, struct str uid)
{
	for (size_t i = 0; i < in->pods_len; i++)
		if (in->pods[i].tracked && str_eq(in->pods[i].uid, uid))
			return &in->pods[i];
	return NULL;
}

static bool has_ended(const struct batch_pod *p)
{
	return p->succeeded || p->failed;
}

/* A pod that is deleted before it ended counts as failed. */
static bool counts_as_failed(const struct batch_pod *p)
{
	return p->failed || (p->deleting && !p->succeeded);
}

/* What was uncounted and is not tracked any more moves to the counter; what ended is put on the list. */
static struct batch_uids count(struct arena *a, const struct batch_input *in,
			       const struct batch_uids *stored, bool failed, int64_t *counter)
{
	struct str *out = arena_new(a, struct str, stored->len + in->pods_len);
	size_t n = 0;
	for (size_t i = 0; i < stored->len; i++) {
		if (tracked(in, stored->list[i]))
			out[n++] = stored->list[i];
		else
			++*counter;
	}
	for (size_t i = 0; i < in->pods_len && n < BATCH_UNCOUNTED_MAX; i++) {
		const struct batch_pod *p = &in->pods[i];
		bool its = failed ? counts_as_failed(p) : p->succeeded;
		if (p->tracked && its && !has(stored, p->uid))
			out[n++] = p->uid;
	}
	return (struct batch_uids){ out, n };
}

static void count_ends(struct arena *a, const struct batch_input *in, struct batch_plan *p)
{
	p->succeeded = in->succeeded;
	p->failed = in->failed;
	p->uncounted_succeeded = count(a, in, &in->uncounted_succeeded, false, &p->succeeded);
	p->uncounted_failed = count(a, in, &in->uncounted_failed, true, &p->failed);
	p->untrack = arena_new(a, size_t, 2 * in->pods_len);
	for (size_t i = 0; i < in->pods_len; i++)
		/* only what the status that is stored already names, or nobody will count any more */
		if (in->pods[i].tracked && (has(&in->uncounted_succeeded, in->pods[i].uid) ||
					    has(&in->uncounted_failed, in->pods[i].uid) ||
					    in->complete || in->gave_up || in->deleting))
			p->untrack[p->untrack_len++] = i;
}

static void count_live(const struct batch_input *in, struct batch_plan *p)
{
	for (size_t i = 0; i < in->pods_len; i++) {
		const struct batch_pod *pod = &in->pods[i];
		if (has_ended(pod))
			continue;
		p->terminating += pod->deleting;
		p->active += !pod->deleting;
		p->ready += !pod->deleting && pod->ready;
	}
}

/*
 * The first `most` of those that run, not ready ones before others.  Quietly: they are not to count as failed,
 * so each loses its finalizer first and is ended when that is seen.
 */
static void end_some(struct arena *a, const struct batch_input *in, size_t most, bool quietly,
		     struct batch_plan *p)
{
	size_t *out = arena_new(a, size_t, in->pods_len);
	size_t chosen = 0;
	for (int turn = 0; turn < 4; turn++) {
		bool is_tracked = turn >= 2;
		for (size_t i = 0; i < in->pods_len && chosen < most; i++) {
			const struct batch_pod *pod = &in->pods[i];
			if (has_ended(pod) || pod->deleting || pod->ready != (turn % 2 == 1) ||
			    pod->tracked != is_tracked)
				continue;
			chosen++;
			if (quietly && is_tracked)
				p->untrack[p->untrack_len++] = i;
			else
				out[p->end_len++] = i;
		}
	}
	p->end = out;
}

static void soonest(int64_t *at, int64_t s)
{
	if (s > 0 && (!*at || s < *at))
		*at = s;
}

/* Seconds until a pod may be started again after failures in a row; 0 = now. */
static int64_t backoff(const struct batch_input *in)
{
	int64_t success = 0;
	int64_t last = 0;
	int64_t row = 0;
	for (size_t i = 0; i < in->pods_len; i++)
		if (in->pods[i].succeeded && in->pods[i].ended_s > success)
			success = in->pods[i].ended_s;
	for (size_t i = 0; i < in->pods_len; i++) {
		if (!in->pods[i].failed || in->pods[i].ended_s <= success)
			continue;
		row++;
		if (in->pods[i].ended_s > last)
			last = in->pods[i].ended_s;
	}
	if (!row)
		return 0;
	int64_t wait = row > 7 ? BATCH_BACKOFF_MAX_S : (int64_t)BATCH_BACKOFF_S << (row - 1);
	wait = wait > BATCH_BACKOFF_MAX_S ? BATCH_BACKOFF_MAX_S : wait;
	return last + wait > in->now_s ? last + wait - in->now_s : 0;
}

static enum batch_end judge(const struct batch_input *in, const struct batch_plan *p)
{
	int64_t failed = p->failed + (int64_t)p->uncounted_failed.len;
	int64_t succeeded = p->succeeded + (int64_t)p->uncounted_succeeded.len;
	if (failed > in->backoff_limit)
		return BATCH_BACKOFF_LIMIT;
	if (in->deadline_s >= 0 && p->start_s && in->now_s - p->start_s >= in->deadline_s)
		return BATCH_DEADLINE;
	bool enough =
		in->completions < 0 ? succeeded > 0 && !p->active : succeeded >= in->completions;
	return enough ? BATCH_COMPLETE : BATCH_GOES_ON;
}

static void balance(struct arena *a, const struct batch_input *in, struct batch_plan *p)
{
	int64_t succeeded = p->succeeded + (int64_t)p->uncounted_succeeded.len;
	int64_t want = in->parallelism;
	if (in->completions >= 0 && in->completions - succeeded < want)
		want = in->completions - succeeded;
	if (in->completions < 0 && succeeded > 0)
		want = p->active < want ? p->active : want;
	if (p->active > want) {
		end_some(a, in, (size_t)(p->active - want), true, p);
		return;
	}
	/* one that is ending may still hold what the next one needs */
	int64_t missing = want - p->active - p->terminating;
	int64_t wait = missing > 0 ? backoff(in) : 0;
	soonest(&p->again_s, wait);
	if (missing > 0 && !wait)
		p->create = missing > BATCH_BURST ? BATCH_BURST : (size_t)missing;
}

struct batch_plan batch_plan(struct arena *a, const struct batch_input *in)
{
	struct batch_plan p = { .start_s = in->start_s };
	count_ends(a, in, &p);
	count_live(in, &p);
	if (in->complete || in->gave_up) {
		int64_t left = in->end_s + in->ttl_s - in->now_s;
		p.verdict = in->complete ? BATCH_COMPLETE : BATCH_BACKOFF_LIMIT;
		p.finished = true;
		p.drop = in->ttl_s >= 0 && left <= 0 && !in->deleting;
		if (in->ttl_s >= 0)
			soonest(&p.again_s, left);
		end_some(a, in, in->pods_len, false, &p);
		return p;
	}
	if (in->deleting)
		return p;
	if (in->suspend) {
		p.start_s = 0;
		end_some(a, in, in->pods_len, true, &p);
		return p;
	}
	if (!p.start_s)
		p.start_s = in->now_s;
	p.verdict = judge(in, &p);
	if (p.verdict != BATCH_GOES_ON) {
		end_some(a, in, in->pods_len, false, &p);
		p.finished = !p.active && !p.terminating && !p.uncounted_succeeded.len &&
			     !p.uncounted_failed.len;
		return p;
	}
	if (in->deadline_s >= 0)
		soonest(&p.again_s, p.start_s + in->deadline_s - in->now_s);
	balance(a, in, &p);
	return p;
}
