/*
 * batch_plan - what a Job needs done: pods to start, pods to end, ends to count, its status.
 *
 * Pure.  The rules of Kubernetes' job controller for jobs whose pods are all alike.  Each end is counted exactly
 * once, whatever is lost in between: a pod carries a finalizer until its uid stands in
 * status.uncountedTerminatedPods, and leaves that list for the counters when the finalizer is gone.
 */
#ifndef BATCH_PLAN_H
#define BATCH_PLAN_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BATCH_BURST = 500,    /* pods started in one plan */
	BATCH_BACKOFF_S = 10, /* after the first failure; doubled by each */
	BATCH_BACKOFF_MAX_S = 600,
	BATCH_UNCOUNTED_MAX = 500, /* uids in the status at a time */
};

struct batch_pod {
	struct str uid;
	bool succeeded, failed; /* phase */
	bool ready, deleting;
	bool tracked; /* carries the finalizer */
	int64_t ended_s;
};

struct batch_uids {
	const struct str *list;
	size_t len;
};

struct batch_input {
	int64_t completions; /* -1: one success, then no more are started */
	int64_t parallelism, backoff_limit;
	int64_t deadline_s; /* -1 = none */
	int64_t ttl_s;      /* -1 = the job stays */
	bool suspend, deleting;
	const struct batch_pod *pods;
	size_t pods_len;
	/* status as stored */
	int64_t succeeded, failed;
	struct batch_uids uncounted_succeeded, uncounted_failed;
	int64_t start_s;        /* 0 = not started */
	bool complete, gave_up; /* conditions Complete, Failed */
	int64_t end_s;          /* of the condition */
	int64_t now_s;
};

enum batch_end { BATCH_GOES_ON, BATCH_COMPLETE, BATCH_BACKOFF_LIMIT, BATCH_DEADLINE };

struct batch_plan {
	size_t create;
	const size_t *end; /* indexes of pods to delete */
	size_t end_len;
	size_t *untrack; /* … to take the finalizer from */
	size_t untrack_len;
	bool drop; /* the job itself: its time after the end is over */
	/* status to store */
	int64_t succeeded, failed, active, ready, terminating;
	struct batch_uids uncounted_succeeded, uncounted_failed;
	int64_t start_s;
	enum batch_end
		verdict; /* known now; `finished`: all is counted and the condition may say so */
	bool finished;
	int64_t again_s; /* 0 = nothing to wait for */
};

struct batch_plan batch_plan(struct arena *a, const struct batch_input *in);

#endif
