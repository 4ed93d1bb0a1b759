/*
 * agent/cgroup - limits and accounting of containers in cgroup v1 or v2.
 *
 * Layout: <mount>/rctl-<node>/<pod uid>/<container>, in v1 below each controller that is mounted.
 * Machines differ: controllers may be missing, mounted together, read-only or not mounted at all (a
 * chroot), and we may not be root.  Whatever cannot be had is named once by cgroups_open() and then done without:
 * the pod runs with fewer limits, never not at all.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum cgroup_controller { CG_MEMORY, CG_CPU, CG_CPUACCT, CG_PIDS, CG_FREEZER, CG_CONTROLLERS };

struct cgroups {
	bool v2;
	char *root
		[CG_CONTROLLERS]; /* "<mount>/rctl-<node>"; NULL = not to be had.  v2: all in [CG_MEMORY] */
};

struct cgroup_limits {
	int64_t cpu_request_m, cpu_limit_m; /* 0 = none */
	int64_t memory_limit;               /* bytes, 0 = none */
	int64_t pids_max;                   /* 0 = none */
};

struct cgroup_stats {
	bool has_cpu, has_memory;
	uint64_t cpu_ns, memory_bytes, working_set_bytes, cache_bytes, oom_kills;
};

/* Looks at /proc/self/mountinfo; `missing` gets the names of what cannot be used. */
void cgroups_open(struct cgroups *g, const char *node, struct buf *missing);
void cgroups_close(struct cgroups *g);

/* For tests: the mount points of a mountinfo text, mount[CG_MEMORY] alone for v2. */
bool cgroups_find(struct str mountinfo, char *mount[CG_CONTROLLERS]);

/*
 * Makes the container's cgroups, sets the limits and appends the lines for its shim spec ("cgroup",
 * "kill", "freeze", "members", "oom") to `spec`.  `refused` gets what could not be limited.
 */
void cgroup_make(const struct cgroups *g, const char *uid, const char *ctr,
		 const struct cgroup_limits *lim, struct buf *spec, struct buf *refused);

/* SIGKILL to everything in the pod's cgroups. */
void cgroup_kill(const struct cgroups *g, const char *uid);

/* Removes the pod's cgroups; nothing must run in them.  False when something still does. */
bool cgroup_remove(const struct cgroups *g, const char *uid);

/* False when there is no such cgroup. */
bool cgroup_read(const struct cgroups *g, const char *uid, const char *ctr,
		 struct cgroup_stats *ret);

#endif
