/*
 * sys/proc - starting processes and looking at them.
 */
#ifndef SYS_PROC_H
#define SYS_PROC_H

#include "base/attr.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_spec {
	const char *path;  /* absolute, or a name looked up in PATH */
	char *const *argv; /* ended by NULL */
	char *const *envp; /* ended by NULL; NULL = our own environment */
	const char *cwd;   /* NULL = ours */
	int fds[3];        /* stdin, stdout, stderr; -1 = /dev/null */
	bool new_session;  /* setsid: the process outlives our terminal and our group */
};

/*
 * Starts it (no fork of the caller's heap is seen by it: vfork semantics).  All
 * other descriptors are closed in the child.  ERR_NOT_FOUND when the program
 * does not exist, ERR_FORBIDDEN when it may not be run.
 */
ATTR_MUSTCHECK int proc_spawn(const struct proc_spec *spec, pid_t *ret, struct error *err);

/*
 * What tells two processes with the same pid apart: start time in clock ticks
 * since boot (field 22 of /proc/PID/stat); 0 when there is no such process (a zombie counts as none).
 */
uint64_t proc_start_time(pid_t pid);

/* Resident set in bytes; 0 when there is no such process. */
uint64_t proc_rss(pid_t pid);

/*
 * Proportional set in bytes: each page divided by the number of processes that have it, so that the sum over
 * processes counts no page twice.  0 when there is no such process, it is another user's, or the kernel keeps no
 * /proc/PID/smaps_rollup (before 4.14).  Costs a walk over the process's page tables.
 */
uint64_t proc_pss(pid_t pid);

/* The folder of the running program ("/usr/bin"), written to out (PATH_MAX). */
ATTR_MUSTCHECK int proc_self_dir(char *out, struct error *err);

/*
 * Gives back the pages of code and constants that only starting needed, of the program and its libraries: they stay in
 * the page cache, and what is used again is mapped again at the cost of a minor fault.  Segments that can be written are
 * left alone, so nothing is lost (madvise(2), MADV_DONTNEED of private mappings of files).
 */
void proc_drop_start_pages(void);

/* READY=1 and friends to the service manager of $NOTIFY_SOCKET; does nothing without one. */
void proc_notify(const char *state);

#endif
