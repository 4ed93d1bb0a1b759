/*
 * agent/podplan - what to do next for one pod.  Pure: no clock, no I/O, no chance.
 *
 * The caller keeps one plan_pod a pod, writes into it what it observes (processes that
 * started and ended, probe outcomes, deletion) and asks.  The answer is a list of actions, each
 * about one container, and when to ask again.  Doing an action changes nothing here by itself:
 * the caller writes what came of it (plan_started, plan_ended, …), so a lost or
 * failed effect is simply asked for again.
 *
 * Rules, as a kubelet has them:
 *   - init containers one after the other, each to exit code 0; a sidecar (an init container that
 *     restarts always) lets the next begin once it runs and its startup probe has passed
 *   - main containers all at once after that
 *   - restart: Always, OnFailure (code not 0), Never; sidecars always while the pod lives; the first restart
 *     at once, the following after 10 s, 20 s … 300 s since the end; 10 minutes without an end start anew
 *   - liveness or startup failed: terminate with grace, then as any end
 *   - deletion, deadline: terminate main containers, then sidecars in reverse order, all within the grace
 *   - a pod whose main containers have all ended for good is Succeeded or Failed for ever
 */
#ifndef AGENT_PODPLAN_H
#define AGENT_PODPLAN_H

#include "podspec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PLAN_BACKOFF_FIRST_MS = 10000,
	PLAN_BACKOFF_MAX_MS = 300000,
	PLAN_BACKOFF_RESET_MS = 600000
};

enum plan_state {
	PLAN_NEW,      /* never started */
	PLAN_STARTING, /* a start is under way: nothing to decide until it is answered */
	PLAN_RUNNING,
	PLAN_ENDED,
};

struct plan_ctr {
	/* given */
	enum ctr_role role;
	bool has_startup, has_readiness;
	/* observed; times in milliseconds of a clock that never jumps */
	enum plan_state state;
	uint32_t attempt; /* of the newest start, from 0; the restart count */
	int exit_code;    /* PLAN_ENDED */
	uint64_t started_ms, ended_ms;
	bool started_ok;   /* startup probe passed, or there is none and it runs */
	bool ready;        /* readiness probe passes, or there is none and started_ok */
	bool unhealthy;    /* liveness or startup failed: this run is to end */
	uint64_t grace_ms; /* for ending this run */
	/* kept by plan_… */
	uint64_t backoff_ms;     /* wait before the next restart; 0 = none yet */
	uint64_t backoff_set_ms; /* when it was set */
	bool stopping;           /* asked to end */
	bool killed;             /* and killed */
	uint64_t kill_at_ms;
};

enum plan_why { WHY_NONE, WHY_DELETED, WHY_DEADLINE, WHY_EVICTED };

struct plan_pod {
	enum pod_restart restart;
	struct plan_ctr ctrs[POD_CONTAINERS_MAX];
	size_t ctrs_len, first_main;
	bool admitted;        /* volumes and runtime are ready: containers may start */
	enum plan_why ending; /* the pod as a whole is to end */
	uint64_t ending_ms;   /* since when */
	uint64_t grace_ms;    /* within how long */
	uint64_t deadline_ms; /* when it ends by itself; 0 = never */
};

enum plan_verb {
	PLAN_START, /* start the next run: attempt + 1, or 0 when it is new */
	PLAN_STOP,  /* ask the process to end (preStop, SIGTERM) */
	PLAN_KILL,  /* end it now */
};

struct plan_action {
	enum plan_verb verb;
	size_t ctr;
	bool backoff; /* PLAN_START after a wait was due: for the event */
};

enum plan_phase { PHASE_PENDING, PHASE_RUNNING, PHASE_SUCCEEDED, PHASE_FAILED };

struct plan {
	struct plan_action actions[POD_CONTAINERS_MAX];
	size_t actions_len;
	uint64_t wake_ms; /* ask again then, at the latest; UINT64_MAX = when something happens */
	enum plan_phase phase;
	bool initialized; /* all init containers are through */
	bool released;    /* nothing runs and nothing will */
};

/* Sets up `p` for a pod's containers, nothing started. */
void plan_init(struct plan_pod *p, const struct pod_spec *spec);

void plan_next(const struct plan_pod *p, uint64_t now_ms, struct plan *ret);

/* ---- what was done and seen ---- */

void plan_starting(struct plan_pod *p, size_t ctr, uint64_t now_ms); /* PLAN_START is under way */
void plan_started(struct plan_pod *p, size_t ctr, uint64_t now_ms);
void plan_ended(struct plan_pod *p, size_t ctr, int exit_code, uint64_t now_ms);
/* PLAN_STOP was sent; the kill follows grace_ms later (in an ending pod: at the pod's own time). */
void plan_stopping(struct plan_pod *p, size_t ctr, uint64_t now_ms);
void plan_killed(struct plan_pod *p, size_t ctr);
/* The pod is to end.  A later call can only shorten the time that is left. */
void plan_end_pod(struct plan_pod *p, enum plan_why why, uint64_t grace_ms, uint64_t now_ms);

/* When an ended container that will be restarted may be; 0 = it will not. */
uint64_t plan_restart_at(const struct plan_pod *p, size_t ctr);

#endif
