/*
 * alert_plan - the state of one alert: inactive → pending → firing → resolved.
 *
 * Pure.  Times are Unix milliseconds, so that they mean the same after a restart: `for` goes on counting
 * while the controller is away (alert_plan_resume says for how long that is believed).
 *
 *   seen     inactive, resolved → pending, or firing when `for` is 0; pending → firing when `for` is over
 *   absent   pending → inactive (or resolved again); firing → resolved, after keep_firing_for
 *   unknown  nothing changes: what cannot be evaluated is neither better nor worse
 */
#ifndef ALERT_PLAN_H
#define ALERT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum alert_state { ALERT_INACTIVE, ALERT_PENDING, ALERT_FIRING, ALERT_RESOLVED };

enum alert_seen { ALERT_SEEN, ALERT_ABSENT, ALERT_UNKNOWN };

enum { ALERT_OUTAGE_MS = 3600000 }; /* away for longer: pending alerts begin anew */

struct alert_timing {
	int64_t for_ms, keep_firing_ms;
};

struct alert_record {
	enum alert_state state;
	int64_t active_ms; /* seen without a break since then */
	/*
	 * When it last began to fire and when that ended (0 while it fires).  A pending alert keeps them: receivers
	 * may not know of the end yet.
	 */
	int64_t starts_ms, ends_ms;
	int64_t keep_ms; /* firing, but absent since then; 0 = seen */
};

/* `old` NULL is inactive. */
struct alert_record alert_plan(const struct alert_timing *t, const struct alert_record *old,
			       enum alert_seen seen, int64_t now_ms);

/* When the state may change by itself while it is seen as it is now; 0 = never. */
int64_t alert_plan_due(const struct alert_timing *t, const struct alert_record *r);

/* What is left of a record after the controller was away from last_ms to now_ms. */
struct alert_record alert_plan_resume(const struct alert_record *r, int64_t last_ms,
				      int64_t now_ms);

const char *alert_state_name(enum alert_state s);

#endif
