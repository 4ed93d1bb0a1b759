#include "group_plan.h"

static int64_t max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What there is to say, as one look over the members gives it. */
struct look {
	size_t firing, told;
	bool news, ends;   /* something new fires; something told has ended */
	int64_t change_ms; /* the first of these; INT64_MAX = none */
};

static struct look look_at(const struct group_alert *alerts, size_t n)
{
	struct look l = { .change_ms = INT64_MAX };
	for (size_t i = 0; i < n; i++) {
		const struct group_alert *x = &alerts[i];
		l.told += x->told_ms != 0;
		if (x->firing && !x->silenced) {
			l.firing++;
			if (x->told_ms != x->starts_ms) {
				l.news = true;
				l.change_ms = min(l.change_ms, x->starts_ms);
			}
		} else if (!x->firing && x->told_ms) {
			l.ends = true;
			l.change_ms = min(l.change_ms, x->ends_ms);
		}
	}
	return l;
}

static struct group_decision rest(int64_t due_ms)
{
	return (struct group_decision){ .act = GROUP_REST, .due_ms = due_ms };
}

static struct group_decision notify(struct arena *a, const struct group_timing *t,
				    const struct group_alert *alerts, size_t n)
{
	size_t *include = arena_new(a, size_t, n);
	struct group_decision d = { .act = GROUP_NOTIFY, .include = include };
	for (size_t i = 0; i < n; i++)
		if (alerts[i].firing && !alerts[i].silenced)
			include[d.firing++] = i;
	d.include_len = d.firing;
	for (size_t i = 0; i < n; i++)
		if (t->send_resolved && !alerts[i].firing && alerts[i].told_ms)
			include[d.include_len++] = i;
	return d;
}

struct group_decision group_plan(struct arena *a, const struct group_timing *t,
				 const struct group_past *past, const struct group_alert *alerts,
				 size_t n, int64_t now_ms)
{
	if (past->under_way)
		return rest(0);
	struct look l = look_at(alerts, n);
	if (!l.firing && !l.told)
		return (struct group_decision){ .act = GROUP_DROP };
	if (t->suspended || (l.ends && !t->send_resolved && !l.news))
		return l.news || l.ends ? (struct group_decision){ .act = GROUP_ADOPT } : rest(0);
	bool again = past->unsure && l.firing > 0;
	if (!l.news && !(l.ends && t->send_resolved) && !again) {
		if (!l.firing)
			return rest(0);
		int64_t repeat = past->flushed_ms + t->repeat_ms;
		return now_ms >= repeat ? notify(a, t, alerts, n) : rest(repeat);
	}
	int64_t wait = past->flushed_ms ? min(t->wait_ms, t->interval_ms) : t->wait_ms;
	int64_t change = l.change_ms == INT64_MAX ? past->flushed_ms : l.change_ms;
	/* what lies in the future was written before the clock was set back: nobody waits for that */
	int64_t due = change > now_ms ? now_ms : change + wait;
	if (past->flushed_ms && past->flushed_ms <= now_ms)
		due = max(due, past->flushed_ms + t->interval_ms);
	return now_ms >= due ? notify(a, t, alerts, n) : rest(due);
}

enum delivery_fate delivery_plan(const struct delivery_attempt *d, int64_t now_ms, uint64_t chance,
				 int64_t *ret_next_ms)
{
	if (d->status >= 200 && d->status < 300)
		return DELIVERY_DONE;
	bool retry =
		d->status ? d->status == 408 || d->status == 429 || d->status >= 500 : !d->hopeless;
	if (!retry || now_ms >= d->deadline_ms)
		return DELIVERY_DEAD;
	uint32_t doublings = d->attempt < 8 ? d->attempt : 8;
	int64_t most = min(DELIVERY_BACKOFF_MAX_MS, (int64_t)DELIVERY_BACKOFF_MIN_MS << doublings);
	int64_t delay = 1 + (int64_t)(chance % (uint64_t)most);
	delay = max(delay, min(d->retry_after_ms, DELIVERY_RETRY_AFTER_MAX_MS));
	*ret_next_ms = min(now_ms + delay, d->deadline_ms);
	return DELIVERY_RETRY;
}
