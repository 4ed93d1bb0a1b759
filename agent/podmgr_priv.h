/*
 * agent/podmgr_priv - podmgr.c (the set of pods, the disk), mpod.c (one pod's life), mpod_run.c (its
 * effects).
 */
#ifndef AGENT_PODMGR_PRIV_H
#define AGENT_PODMGR_PRIV_H

#include "base/map.h"
#include "podenv.h"
#include "podmgr.h"
#include "podplan.h"
#include "podstatus.h"
#include "probe.h"
#include "sys/loop.h"

enum { PREPARE_AGAIN_MS = 5000, OPEN_AGAIN_MIN_MS = 1000, OPEN_AGAIN_MAX_MS = 30000 };

struct podmgr {
	struct podmgr_options opt;
	struct map pods; /* uid → struct mpod */
	struct configs configs;
	char *pods_dir, *configs_dir, *logs_dir;
};

struct mctr {
	struct mpod *pod;
	size_t index;
	char name[64];
	struct probe probes[PROBE_USES];
	struct status_ctr status;
	char *waiting_message;  /* or NULL */
	uint64_t prepare_at_ms; /* not before: a ConfigMap is missing or so */
	bool pre_stop;          /* runs: SIGTERM comes behind it */
};

struct mpod {
	struct podmgr *mgr;
	struct pod_spec *spec;
	char *uid, *dir, *volumes_dir, *log_dir;
	struct plan_pod plan;
	struct plan next;
	struct mctr *ctrs; /* as many as the spec has */

	struct rt_pod *rt; /* NULL = no sandbox */
	bool rt_up, restored, destroyed, destroying;
	uint64_t open_wait_ms;
	bool forget; /* its object is gone: forget it when nothing runs */
	const char *reason;
	char message[256];

	struct loop_timer wake;
	struct loop_timer reopen;
	struct loop_task evaluate;
	struct buf last_status; /* as reported */
	bool last_released;
	int64_t start_s;
	bool condition[POD_CONDITIONS];
	int64_t condition_since_s[POD_CONDITIONS];
};

struct mpod *mpod_new(struct podmgr *m, struct pod_spec *spec); /* takes the spec */
void mpod_free(struct mpod *p);
void mpod_update(struct mpod *p, struct pod_spec *spec); /* takes the spec */
void mpod_end(struct mpod *p, enum plan_why why, uint64_t grace_ms);
void mpod_kick(struct mpod *p);
void mpod_report(struct mpod *p, bool always);
/* Volumes again, after a ConfigMap or Secret changed. */
void mpod_refresh(struct mpod *p);
void mpod_event(struct mpod *p, const struct mctr *c, const char *type, const char *reason,
		const char *fmt, ...) ATTR_PRINTF(5, 6);
struct podenv_facts mpod_facts(const struct mpod *p);

/* ---- effects (mpod_run.c) ---- */

void mctr_start(struct mctr *c, bool backoff);
void mctr_stop(struct mctr *c);
void mctr_kill(struct mctr *c);
void mctr_ended(struct mctr *c, const struct rt_state *s);
void mctr_probes_start(struct mctr *c);
void mctr_probes_stop(struct mctr *c);
/* Reads what the runtime knows of runs from before this agent. */
void mctr_restore(struct mctr *c);

/* The pod can be forgotten: frees it and removes its folder. */
void podmgr_forget(struct mpod *p);

#endif
