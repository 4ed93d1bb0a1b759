#include "alert_plan.h"

static struct alert_record fire(int64_t active_ms, int64_t now_ms)
{
	return (struct alert_record){ .state = ALERT_FIRING,
				      .active_ms = active_ms,
				      .starts_ms = now_ms };
}

static struct alert_record seen_now(const struct alert_timing *t, struct alert_record r,
				    int64_t now_ms)
{
	if (r.state == ALERT_FIRING) {
		r.keep_ms = 0;
		return r;
	}
	if (r.state != ALERT_PENDING) {
		r.state = ALERT_PENDING;
		r.active_ms = now_ms;
		r.keep_ms = 0;
	}
	if (r.active_ms > now_ms) /* the clock was set back */
		r.active_ms = now_ms;
	return now_ms - r.active_ms >= t->for_ms ? fire(r.active_ms, now_ms) : r;
}

static struct alert_record calm(struct alert_record r)
{
	if (!r.ends_ms)
		return (struct alert_record){ .state = ALERT_INACTIVE };
	r.state = ALERT_RESOLVED;
	r.active_ms = 0;
	return r;
}

static struct alert_record absent_now(const struct alert_timing *t, struct alert_record r,
				      int64_t now_ms)
{
	if (r.state == ALERT_PENDING)
		return calm(r);
	if (r.state != ALERT_FIRING)
		return r;
	if (!r.keep_ms || r.keep_ms > now_ms)
		r.keep_ms = now_ms;
	if (now_ms - r.keep_ms < t->keep_firing_ms)
		return r;
	r.state = ALERT_RESOLVED;
	r.keep_ms = 0;
	r.ends_ms = now_ms > r.starts_ms ? now_ms : r.starts_ms;
	return r;
}

struct alert_record alert_plan(const struct alert_timing *t, const struct alert_record *old,
			       enum alert_seen seen, int64_t now_ms)
{
	struct alert_record r = old ? *old : (struct alert_record){ .state = ALERT_INACTIVE };
	if (seen == ALERT_SEEN)
		return seen_now(t, r, now_ms);
	return seen == ALERT_ABSENT ? absent_now(t, r, now_ms) : r;
}

int64_t alert_plan_due(const struct alert_timing *t, const struct alert_record *r)
{
	if (r->state == ALERT_PENDING)
		return r->active_ms + t->for_ms;
	if (r->state == ALERT_FIRING && r->keep_ms)
		return r->keep_ms + t->keep_firing_ms;
	return 0;
}

struct alert_record alert_plan_resume(const struct alert_record *r, int64_t last_ms, int64_t now_ms)
{
	if (r->state == ALERT_PENDING && now_ms - last_ms > ALERT_OUTAGE_MS)
		return calm(*r);
	return *r;
}

const char *alert_state_name(enum alert_state s)
{
	static const char *const names[] = { [ALERT_INACTIVE] = "inactive",
					     [ALERT_PENDING] = "pending",
					     [ALERT_FIRING] = "firing",
					     [ALERT_RESOLVED] = "resolved" };
	return names[s];
}
