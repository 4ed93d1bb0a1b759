/*
 * agent/podstatus - Pod.status as a kubelet reports it.  Pure.
 */
#ifndef AGENT_PODSTATUS_H
#define AGENT_PODSTATUS_H

#include "base/buf.h"
#include "podplan.h"
#include "podspec.h"

enum pod_condition {
	POD_SCHEDULED,
	POD_INITIALIZED,
	POD_CONTAINERS_READY,
	POD_READY,
	POD_CONDITIONS
};

struct ended_run {
	bool known;
	int code, signal;
	bool oom, lost, not_started;
	int64_t started_ns, ended_ns; /* Unix */
	char message[256];
};

struct status_ctr {
	int64_t started_ns; /* of the run that is on */
	uint32_t attempt;
	struct ended_run now;                  /* how the newest run ended */
	struct ended_run last;                 /* how the one before it ended */
	const char *waiting, *waiting_message; /* overrides what the plan says; NULL = does not */
};

struct status_pod {
	const struct pod_spec *spec;
	const struct plan_pod *plan;
	const struct plan *next;
	const struct status_ctr *ctrs;
	const char *host_ip, *pod_ip;
	int64_t start_s;                /* Unix; 0 = not yet */
	const char *reason, *message;   /* of the pod, or NULL */
	bool condition[POD_CONDITIONS]; /* podstatus_conditions() */
	int64_t condition_since_s[POD_CONDITIONS];
};

/* Works the four conditions out. */
void podstatus_conditions(const struct pod_spec *spec, const struct plan_pod *plan,
			  const struct plan *next, bool ret[POD_CONDITIONS]);

/* Appends the JSON. */
void podstatus_write(const struct status_pod *p, struct buf *out);

/* "Pending", "Running", "Succeeded", "Failed" */
const char *podstatus_phase(enum plan_phase phase);

/* "Completed", "Error", "OOMKilled", "StartError", "ContainerStatusUnknown" */
const char *podstatus_ended_reason(const struct ended_run *e);

/* Names of the conditions, as in the API. */
const char *podstatus_condition(enum pod_condition c);

#endif
