#include "shim/shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CODE_NOT_STARTED = 128, FREEZE_TRIES = 50 };

int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static ssize_t slurp(const char *path, char *to, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, to, cap - 1) : -1;
	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n;
}

static int spew(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
	if (fd >= 0)
		close(fd);
	return n >= 0 ? 0 : -1;
}

/* Fields 4 (ppid) and 22 (start time) of /proc/PID/stat; the name before them may hold anything. */
static bool proc_stat(pid_t pid, pid_t *ppid, uint64_t *start, char *state)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (slurp(path, text, sizeof(text)) <= 0)
		return false;
	char *at = strrchr(text, ')');
	if (!at || at[1] != ' ')
		return false;
	*state = at[2];
	at += 3;
	*ppid = (pid_t)strtol(at, &at, 10);
	for (int field = 5; field <= 21; field++)
		(void)strtoll(at, &at, 10);
	*start = strtoull(at, &at, 10);
	return true;
}

uint64_t start_time(pid_t pid)
{
	pid_t ppid;
	uint64_t start = 0;
	char state;
	return proc_stat(pid, &ppid, &start, &state) ? start : 0;
}

struct ctr *ctr_find(struct shim *s, const char *name)
{
	for (size_t i = 0; i < SHIM_CONTAINERS_MAX; i++) {
		if (name[0] && strcmp(s->ctrs[i].name, name) == 0)
			return &s->ctrs[i];
	}
	return NULL;
}

/* -------------------------------------------------------------------------------- state file */

/* "oom_kill N" of memory.events or memory.oom_control. */
static long oom_kills(const struct spec *s)
{
	char text[1024];
	const char *path = spec_get(s, "oom");
	if (!path || slurp(path, text, sizeof(text)) <= 0)
		return 0;
	const char *at = strstr(text, "oom_kill ");
	return at && (at == text || at[-1] == '\n') ? strtol(at + 9, NULL, 10) : 0;
}

static void write_state(struct shim *s, const struct ctr *c, const char *more)
{
	char path[160], tmp[168], text[2048];
	snprintf(path, sizeof(path), "%s/%u.state", c->name, c->attempt);
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	int n = snprintf(text, sizeof(text),
			 "pid=%d\nstart=%llu\nstarted_ns=%lld\nstarted_ms=%lld\nboot=%s\n%s",
			 (int)c->pid, (unsigned long long)c->start, (long long)c->started_ns,
			 (long long)c->started_ms, s->boot, more);
	int fd = openat(s->dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	bool whole = write(fd, text, (size_t)n) == n;
	close(fd);
	if (whole)
		(void)renameat(s->dir, tmp, s->dir, path);
}

static void write_end(struct shim *s, const struct ctr *c, int code, int sig, const char *error)
{
	char more[1200], line[600] = "";
	size_t n = 0;
	if (error) {
		snprintf(line, sizeof(line), "error=%s", error);
		for (n = 0; line[n]; n++)
			line[n] = line[n] == '\n' ? ' ' : line[n];
		line[n++] = '\n';
		line[n] = '\0';
	}
	snprintf(more, sizeof(more),
		 "finished_ns=%lld\nfinished_ms=%lld\ncode=%d\nsignal=%d\noom=%ld\n%s",
		 (long long)now_ns(), (long long)now_ms(), code, sig, oom_kills(&c->spec), line);
	write_state(s, c, more);
}

/* ------------------------------------------------------------------------------------- start */

static void pipes_close(struct ctr *c)
{
	if (c->out.fd >= 0)
		close(c->out.fd);
	if (c->err.fd >= 0)
		close(c->err.fd);
	c->out.fd = c->err.fd = -1;
}

static void ctr_release(struct ctr *c)
{
	pipes_close(c);
	log_close(&c->log);
	spec_free(&c->spec);
	c->name[0] = '\0';
	c->pid = 0;
}

static struct ctr *ctr_slot(struct shim *s, const char *name)
{
	struct ctr *c = ctr_find(s, name);
	for (size_t i = 0; !c && i < SHIM_CONTAINERS_MAX; i++) {
		if (!s->ctrs[i].name[0])
			c = &s->ctrs[i];
	}
	return c;
}

/* Forks the process; *why_len is how much the child said about why it could not. */
static pid_t fork_ctr(struct ctr *c, char *why, size_t cap)
{
	int out[2], err[2], report[2];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) ||
	    pipe2(report, O_CLOEXEC)) {
		snprintf(why, cap, "no descriptors: %s", strerror(errno));
		return -1;
	}
	pid_t pid = fork();
	if (pid == 0) {
		struct child_io io = { null, out[1], err[1], report[1] };
		child_run(&c->spec, &io);
	}
	int e = errno;
	close(null);
	close(out[1]);
	close(err[1]);
	close(report[1]);
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(err[0], F_SETFL, O_NONBLOCK);
	c->out = (struct logpipe){ .fd = out[0], .stream = "stdout" };
	c->err = (struct logpipe){ .fd = err[0], .stream = "stderr" };
	ssize_t n = 0;
	if (pid < 0)
		snprintf(why, cap, "fork: %s", strerror(e));
	else
		n = read(report[0], why, cap - 1); /* ends when exec closes the pipe */
	close(report[0]);
	if (pid > 0)
		why[n > 0 ? n : 0] = '\0';
	return pid;
}

const char *ctr_start(struct shim *s, const char *name, unsigned attempt, char *why, size_t why_len)
{
	struct ctr *c = ctr_slot(s, name);
	char path[160];
	if (!c)
		return "too many containers";
	if (c->pid)
		return "it runs already";
	if (c->name[0])
		ctr_release(c);
	snprintf(path, sizeof(path), "%s/%u.spec", name, attempt);
	c->log.fd = c->out.fd = c->err.fd = -1;
	if (spec_load(&c->spec, s->dir, path) != 0 || log_open(&c->log, &c->spec) != 0) {
		snprintf(why, why_len, "%s or its log: %s", path, strerror(errno));
		spec_free(&c->spec);
		return why;
	}
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->attempt = attempt;
	c->started_ns = now_ns();
	c->started_ms = now_ms();
	pid_t pid = fork_ctr(c, why, why_len);
	if (pid < 0) {
		ctr_release(c);
		return why;
	}
	c->pid = pid;
	c->start = start_time(pid);
	if (why[0]) {
		write_end(s, c, CODE_NOT_STARTED, 0, why);
		(void)waitpid(pid, NULL, 0);
		ctr_release(c);
		return why;
	}
	write_state(s, c, "");
	return NULL;
}

/* --------------------------------------------------------------------------------------- end */

/* cgroup v1: nothing of it can fork while it is frozen, so one pass gets all. */
static void kill_frozen(const char *freeze, const char *members)
{
	char text[32768], state[32];
	(void)spew(freeze, "FROZEN");
	for (int i = 0; i < FREEZE_TRIES; i++) {
		if (slurp(freeze, state, sizeof(state)) > 0 && strncmp(state, "FROZEN", 6) == 0)
			break;
		usleep(1000);
	}
	if (slurp(members, text, sizeof(text)) > 0) {
		for (char *at = text; *at;) {
			pid_t pid = (pid_t)strtol(at, &at, 10);
			if (pid > 1)
				(void)kill(pid, SIGKILL);
			while (*at == '\n')
				at++;
		}
	}
	(void)spew(freeze, "THAWED");
}

void ctr_kill(struct ctr *c)
{
	const char *kill_file = spec_get(&c->spec, "kill");
	const char *freeze = spec_get(&c->spec, "freeze"), *members = spec_get(&c->spec, "members");
	if (c->pid) {
		(void)kill(-c->pid, SIGKILL); /* its process group: all that did not leave it */
		(void)kill(c->pid, SIGKILL);
	}
	if (kill_file)
		(void)spew(kill_file, "1");
	else if (freeze && members)
		kill_frozen(freeze, members);
}

void ctr_ended(struct shim *s, struct ctr *c, int wait_status)
{
	int sig = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
	int code = sig ? 128 + sig : WEXITSTATUS(wait_status);
	/* A process that escaped may hold the pipes open: what is there counts, not their end. */
	while (c->out.fd >= 0 && log_pump(&c->log, &c->out) > 0)
		;
	while (c->err.fd >= 0 && log_pump(&c->log, &c->err) > 0)
		;
	write_end(s, c, code, sig, NULL);
	tell_state(s, c);
	ctr_release(c);
}

void kill_descendants(void)
{
	for (int round = 0; round < 8; round++) {
		unsigned hit = 0;
		DIR *d = opendir("/proc");
		for (struct dirent *e; d && (e = readdir(d));) {
			pid_t pid = (pid_t)strtol(e->d_name, NULL, 10), ppid = 0;
			uint64_t start;
			char state = 0;
			/* Grandchildren become children when their parents are gone. */
			if (pid > 0 && proc_stat(pid, &ppid, &start, &state) && ppid == getpid() &&
			    state != 'Z') {
				(void)kill(pid, SIGKILL);
				hit++;
			}
		}
		if (d)
			closedir(d);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (!hit)
			return;
		usleep(2000);
	}
}

/* -------------------------------------------------------------------------------------- exec */

const char *ctr_exec(struct shim *s, struct exec *e, char **argv)
{
	(void)s;
	int out[2];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || pipe2(out, O_CLOEXEC | O_NONBLOCK)) {
		if (null >= 0)
			close(null);
		return "no descriptors";
	}
	pid_t inside = e->ctr->pid;
	pid_t pid = fork();
	if (pid == 0) {
		/* Why it could not be executed goes to its own output. */
		(void)fcntl(out[1], F_SETFL, 0);
		struct child_io io = { null, out[1], out[1], out[1] };
		child_exec(&e->ctr->spec, inside, argv, &io);
	}
	close(null);
	close(out[1]);
	if (pid < 0) {
		close(out[0]);
		return "cannot fork";
	}
	e->pid = pid;
	e->out = (struct logpipe){ .fd = out[0], .stream = "exec" };
	return NULL;
}
