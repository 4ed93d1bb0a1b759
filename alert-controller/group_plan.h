/*
 * group_plan - when a receiver is told what about a group of alerts; how a notification is tried again.
 *
 * Pure.  The rules are Alertmanager's (dispatch, notify):
 *   - the first notification waits group wait from the first firing alert on, so that others join it;
 *   - a change (an alert more fires, one that was told is resolved) is told when group interval has passed since the last
 *     notification and group wait since the change;
 *   - a group that fires unchanged is told again after repeat interval;
 *   - a notification holds all alerts of the group that fire, and those that were told and are resolved.
 * And three that Alertmanager does not have:
 *   - one notification of a group is under way at a time; the next one is made when its fate is known, from what is
 *     true then.  Notifications of a group are numbered without holes, and a receiver sees them in order;
 *   - what a receiver was told is resolved, it is told so, also when a silence came between;
 *   - a notification that was given up may have arrived: its alerts count as told for what is resolved, and as
 *     not told for what fires.
 */
#ifndef GROUP_PLAN_H
#define GROUP_PLAN_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct group_timing {
	int64_t wait_ms, interval_ms, repeat_ms;
	bool send_resolved;
	bool suspended; /* nothing is sent; what fires counts as told */
};

/* A member of the group. */
struct group_alert {
	bool firing, silenced;
	int64_t starts_ms, ends_ms;
	int64_t told_ms; /* the starts_ms that the receiver was told as firing; 0 = was not, or was told the end */
};

struct group_past {
	int64_t flushed_ms; /* when the last notification was made, or given up; 0 = never */
	bool under_way;
	bool unsure; /* the last one was given up: what fires is told again */
};

enum group_act {
	GROUP_REST,   /* nothing to tell now; due_ms says when that may change by itself */
	GROUP_NOTIFY, /* tell: see `include` */
	GROUP_ADOPT, /* send nothing and count all as told (suspended, or ends that are not sent) */
	GROUP_DROP,  /* nothing fires, nothing is told: the group may go */
};

struct group_decision {
	enum group_act act;
	int64_t due_ms; /* GROUP_REST: 0 = not by itself */
	/* GROUP_NOTIFY: indexes, firing ones first; how many of them fire */
	const size_t *include;
	size_t include_len, firing;
};

struct group_decision group_plan(struct arena *a, const struct group_timing *t,
				 const struct group_past *past, const struct group_alert *alerts,
				 size_t n, int64_t now_ms);

/* ---- one notification's attempts ---- */

enum delivery_fate { DELIVERY_DONE, DELIVERY_RETRY, DELIVERY_DEAD };

struct delivery_attempt {
	int status;    /* HTTP; 0 = no answer */
	bool hopeless; /* no answer, and another attempt cannot get one (the address is not allowed) */
	int64_t retry_after_ms; /* what the receiver asked for; 0 = nothing */
	uint32_t attempt;       /* from 1 */
	int64_t deadline_ms;    /* from then on it is given up */
};

enum {
	DELIVERY_BACKOFF_MIN_MS = 500,
	DELIVERY_BACKOFF_MAX_MS = 15000,
	DELIVERY_RETRY_AFTER_MAX_MS = 300000,
};

/*
 * 2xx is done; no answer, 408, 429 and 5xx are tried again with full jitter (chance: 64 random bits), everything
 * else is dead at once.  *ret_next_ms: when to try again.
 */
enum delivery_fate delivery_plan(const struct delivery_attempt *d, int64_t now_ms, uint64_t chance,
				 int64_t *ret_next_ms);

#endif
