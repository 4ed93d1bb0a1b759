/*
 * agent/podmgr - the pods of this node: what they should be, what they are, and the way between.
 *
 * Runs from its own state on disk: a pod that was assigned runs on for ever, with or without an API, over
 * restarts of the agent and reboots of the node, until it is removed or its object says that it
 * is deleted.
 *
 *   <state>/pods/<uid>/pod.json          the object as last assigned
 *   <state>/pods/<uid>/status.json       the status as last reported
 *   <state>/pods/<uid>/volumes/<name>/   volumes
 *   <state>/pods/<uid>/<ctr>/…           runs (shim_proto.h)
 *   <state>/configs/…                    ConfigMaps and Secrets (mode 0600)
 *   <state>/logs/<ns>_<pod>_<uid>/<ctr>/<attempt>.log[.N]
 *
 * All on one loop.
 */
#ifndef AGENT_PODMGR_H
#define AGENT_PODMGR_H

#include "base/attr.h"
#include "base/error.h"
#include "cgroup.h"
#include "configs.h"
#include "podspec.h"
#include "runtime.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct podmgr;
struct mpod;

struct podmgr_options {
	struct loop *loop;
	const char *state_dir, *node_name, *host_ip;
	int64_t node_cpu_m, node_memory;
	const struct runtime_ops *ops;
	void *driver;
	int64_t log_bytes_max; /* of one file */
	int64_t log_files_max;

	/* The pod's status changed (or podmgr_report_all): JSON of Pod.status. */
	void (*status)(void *arg, const struct pod_spec *pod, struct str status, bool released);
	/* type "Normal" or "Warning". */
	void (*event)(void *arg, const struct pod_spec *pod, const char *ctr, const char *type,
		      const char *reason, const char *message);
	/* The pod is forgotten; its logs are the receiver's to remove when it has done with them. */
	void (*gone)(void *arg, const char *log_dir);
	void *arg;
};

/* Takes over what is on disk (pods start at once).  ERR_INTERNAL when the state folder is not usable. */
ATTR_MUSTCHECK int podmgr_new(const struct podmgr_options *opt, struct podmgr **ret,
			      struct error *err);

/* Lets go: what runs goes on running. */
struct podmgr *podmgr_free(struct podmgr *m);

/* A pod to run, or a newer version of one.  ERR_INVALID …: it cannot be; nothing changed. */
ATTR_MUSTCHECK int podmgr_assign(struct podmgr *m, struct str pod_json, struct error *err);

/* The object is gone: terminates within grace_ms (-1 = the pod's own) and forgets. */
void podmgr_remove(struct podmgr *m, struct str uid, int64_t grace_ms);

/* The full set is known: pods for which `wanted` says no are removed with their own grace. */
void podmgr_retain(struct podmgr *m, bool (*wanted)(void *arg, struct str uid), void *arg);

ATTR_MUSTCHECK int podmgr_config_put(struct podmgr *m, struct str kind, struct str ns,
				     struct str name, struct str json, struct error *err);
void podmgr_config_remove(struct podmgr *m, struct str kind, struct str ns, struct str name);

/* Calls `status` for every pod. */
void podmgr_report_all(struct podmgr *m);

bool podmgr_has(const struct podmgr *m, struct str uid);
size_t podmgr_count(const struct podmgr *m);
size_t podmgr_running(const struct podmgr *m);

/* For metrics and logs: walks all containers that run. */
struct podmgr_ctr_view {
	const struct pod_spec *pod;
	const struct ctr_spec *ctr;
	uint32_t restarts;
	bool running;
	bool backs_off; /* ended, and waits longer than no time for its next run */
	int64_t started_ns;
	struct cgroup_stats stats; /* with_stats */
	bool has_stats;
};
void podmgr_each_ctr(struct podmgr *m, bool with_stats,
		     void (*fn)(void *arg, const struct podmgr_ctr_view *v), void *arg);

/* Where a container's logs are; false = no such pod (or another uid) or container.  `ctr` "" = the only one. */
struct podmgr_log {
	char dir[4096];   /* holds "<attempt>.log" */
	uint32_t attempt; /* newest */
	bool started, running;
	char ctr[64];
};
ATTR_MUSTCHECK int podmgr_log_find(struct podmgr *m, struct str uid, struct str ns, struct str pod,
				   struct str ctr, struct podmgr_log *ret, struct error *err);

#endif
