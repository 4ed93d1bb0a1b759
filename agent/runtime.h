/*
 * agent/runtime - what runs containers: one table of functions a driver.
 *
 * The agent's core decides (podplan) and prepares (volumes, environment); a driver only starts,
 * signals, watches and forgets.  Pods of a driver outlive the agent; rt_pod opens the same pod again.
 *
 * Drivers: "process" (runtime_process.c): plain processes under resource-pod-shim, for
 * runtimeClassName "host".
 *
 * Threads: the loop's.  Callbacks come from the loop, never from inside a call.
 */
#ifndef AGENT_RUNTIME_H
#define AGENT_RUNTIME_H

#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "cgroup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rt_pod;

struct rt_mount {
	char *source, *target;
	bool read_only;
};

/* One run of a container, all resolved. */
struct rt_ctr {
	const char *name;
	uint32_t attempt;
	char *const *argv; /* ended by NULL */
	char *const *env;
	const char *cwd;  /* "" = / */
	int64_t uid, gid; /* -1 = the agent's own */
	const int64_t *groups;
	size_t groups_len;
	bool no_new_privs;
	int oom_score_adj;
	const char *log_path;
	int64_t log_bytes_max, log_files_max; /* of one file; files kept */
	const struct rt_mount *mounts;
	size_t mounts_len;
	struct cgroup_limits limits;
	const char *notes; /* "x-key=value" lines kept with the run; rt_notes() gives them back */
};

/* How a run is or ended. */
struct rt_state {
	bool started, ended, lost; /* lost: it ended unobserved (reboot, the shim was killed) */
	uint32_t attempt;
	pid_t pid;
	uint64_t start_ticks;
	int64_t started_ns, ended_ns;  /* Unix */
	uint64_t started_ms, ended_ms; /* CLOCK_BOOTTIME; 0 when of another boot */
	int code, signal;
	bool oom_killed;
	char error[256]; /* not "": it could not be started */
};

struct rt_pod_events {
	/* The pod's sandbox is there (err NULL), or could not be had. */
	void (*up)(void *arg, const struct error *err);
	/* The state of a run changed: ask with state(). */
	void (*changed)(void *arg, const char *ctr, uint32_t attempt);
	/* The sandbox died; everything in it is gone.  open it again to go on. */
	void (*lost)(void *arg);
	void *arg;
};

typedef void (*rt_done_fn)(void *arg, const char *error); /* NULL = done */
typedef void (*rt_exec_fn)(void *arg, int code, struct str output,
			   const char *error); /* -1 = timeout */

struct runtime_ops {
	const char *name;
	/*
	 * `dir` is the pod's folder, which exists.  A sandbox that still lives there is taken over, else one
	 * is made; `up` follows.
	 */
	int (*open)(void *driver, const char *uid, const char *dir, const struct rt_pod_events *ev,
		    struct rt_pod **ret, struct error *err);
	/*
	 * Lets go of it without touching what runs.  Executions under way are answered with an error from
	 * inside; there is no other callback any more.
	 */
	void (*close)(struct rt_pod *p);
	/* Ends everything in it and frees what it took from the machine, then close().  done may be NULL. */
	void (*destroy)(struct rt_pod *p, rt_done_fn done, void *arg);

	void (*start)(struct rt_pod *p, const struct rt_ctr *c, struct buf *refused_limits,
		      rt_done_fn done, void *arg);
	void (*signal)(struct rt_pod *p, const char *ctr, int signo);
	void (*kill)(struct rt_pod *p, const char *ctr);
	void (*exec)(struct rt_pod *p, const char *ctr, char *const *argv, uint32_t timeout_ms,
		     rt_exec_fn done, void *arg);
	/* The newest run that was ever prepared; false = none.  With attempt_max: the newest not above it. */
	bool (*state)(struct rt_pod *p, const char *ctr, uint32_t attempt_max,
		      struct rt_state *ret);
	/* Notes of a run into `out`; false = none. */
	bool (*notes)(struct rt_pod *p, const char *ctr, uint32_t attempt, struct buf *out);
	bool (*stats)(struct rt_pod *p, const char *ctr, struct cgroup_stats *ret);
};

/* ---- the process driver ---- */

struct loop;
struct runtime_process;

extern const struct runtime_ops runtime_process_ops;

/*
 * `shim` is the path of resource-pod-shim; cgroups are borrowed.  ERR_NOT_FOUND when there is no shim.
 */
ATTR_MUSTCHECK int runtime_process_new(struct loop *l, const char *shim, const struct cgroups *g,
				       struct runtime_process **ret, struct error *err);
struct runtime_process *runtime_process_free(struct runtime_process *r);

#endif
