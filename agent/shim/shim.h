/*
 * shim - the parts of resource-pod-shim.  Standard library and system calls only: the program is
 * static and stays below 1 MB resident.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include "shim_proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- spec.c ---- */

struct spec {
	char *bytes;
	size_t len;
};

/* 0 or -1 with errno. */
int spec_load(struct spec *s, int dir, const char *path);
void spec_free(struct spec *s);
/* Walks values of `key`: start with *pos = 0; NULL at the end. */
const char *spec_next(const struct spec *s, const char *key, size_t *pos);
const char *spec_get(const struct spec *s, const char *key);
long long spec_number(const struct spec *s, const char *key, long long or_else);
/* All values of `key`, ended by NULL; the array is the caller's, the strings the spec's. */
char **spec_list(const struct spec *s, const char *key);

/* ---- log.c: CRI log files ---- */

enum { LOG_LINE_MAX = 16384 };

struct logfile {
	char *path;
	int fd;
	uint64_t size, size_max;
	unsigned keep;    /* files, the open one included */
	unsigned rotated; /* number of the newest rotated file */
};

struct logpipe {
	int fd; /* -1 = closed */
	const char *stream;
	char buf[LOG_LINE_MAX];
	size_t len;
};

int log_open(struct logfile *l, const struct spec *s);
void log_close(struct logfile *l);
/*
 * Reads once and writes whole lines: 1 = there was something, -1 = nothing now,
 * 0 = the pipe has ended; it is closed and the last, unfinished line written.
 */
int log_pump(struct logfile *l, struct logpipe *p);

/* ---- mount.c: volumes of a container, in its own mount namespace ---- */

/* In the new process: 0, or -1 with the reason in `why`. */
int mount_all(const struct spec *s, char *why, size_t why_len);

/* ---- child.c: from fork to exec ---- */

struct child_io {
	int in, out, err;
	int report; /* CLOEXEC pipe: the reason when exec does not happen */
};

_Noreturn void child_run(const struct spec *s, const struct child_io *io);
/* Runs argv in the surroundings of a container's process. */
_Noreturn void child_exec(const struct spec *s, pid_t inside, char **argv,
			  const struct child_io *io);

/* ---- ctr.c ---- */

struct ctr {
	char name[SHIM_NAME_MAX + 1]; /* "" = free slot */
	unsigned attempt;
	struct spec spec;
	pid_t pid; /* 0 = not running */
	uint64_t start;
	int64_t started_ns, started_ms;
	struct logfile log;
	struct logpipe out, err;
};

struct exec {
	int id; /* 0 = free slot */
	int conn;
	struct ctr *ctr;
	pid_t pid;
	int64_t deadline_ms;
	bool timed_out, reaped;
	int code;
	struct logpipe out;
};

struct packet {
	char p[SHIM_PACKET_MAX];
	size_t len;
};

struct shim {
	struct packet packet; /* being put together */
	int dir;              /* the pod's folder */
	int listen_fd, signal_fd;
	int conns[8]; /* -1 = free */
	struct ctr ctrs[SHIM_CONTAINERS_MAX];
	struct exec execs[SHIM_EXECS_MAX];
	char boot[40];
	bool over;
};

struct ctr *ctr_find(struct shim *s, const char *name);
/* NULL on success, else the reason (static or in `why`). */
const char *ctr_start(struct shim *s, const char *name, unsigned attempt, char *why,
		      size_t why_len);
void ctr_kill(struct ctr *c);
void ctr_ended(struct shim *s, struct ctr *c, int wait_status);
const char *ctr_exec(struct shim *s, struct exec *e, char **argv);
/* SIGKILL to every descendant of the shim. */
void kill_descendants(void);

int64_t now_ns(void);
int64_t now_ms(void);
uint64_t start_time(pid_t pid);
void tell_state(struct shim *s, const struct ctr *c);

#endif
