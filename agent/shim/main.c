/* resource-pod-shim POD: parent of a pod's processes.  See shim_proto.h. */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CONNS = 8,
	ARGS_MAX = 256,
	POLLS_MAX = 2 + CONNS + 2 * SHIM_CONTAINERS_MAX + SHIM_EXECS_MAX,
};

/* ------------------------------------------------------------------------------------ sending */

static struct packet *packet_begin(struct shim *s)
{
	s->packet.len = 0;
	return &s->packet;
}

static void put(struct packet *k, const char *s, size_t n)
{
	if (n > sizeof(k->p) - k->len - 1)
		n = sizeof(k->p) - k->len - 1;
	memcpy(k->p + k->len, s, n);
	k->len += n;
	k->p[k->len++] = '\0';
}

static void put_int(struct packet *k, long long v)
{
	char text[24];
	put(k, text, (size_t)snprintf(text, sizeof(text), "%lld", v));
}

/* An agent that does not read is not waited for: it reads the state files when it is back. */
static void send_to(struct shim *s, int conn, const struct packet *k)
{
	if (s->conns[conn] >= 0)
		(void)!send(s->conns[conn], k->p, k->len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer(struct shim *s, int conn, int id, const char *error)
{
	struct packet *k = packet_begin(s);
	put_int(k, id);
	put(k, error ? "error" : "ok", error ? 5 : 2);
	if (error)
		put(k, error, strlen(error));
	send_to(s, conn, k);
}

void tell_state(struct shim *s, const struct ctr *c)
{
	struct packet *k = packet_begin(s);
	put(k, "0", 1);
	put(k, "state", 5);
	put(k, c->name, strlen(c->name));
	put_int(k, c->attempt);
	for (int i = 0; i < CONNS; i++)
		send_to(s, i, k);
}

/* ------------------------------------------------------------------------------------- requests */

static struct exec *exec_slot(struct shim *s)
{
	for (size_t i = 0; i < SHIM_EXECS_MAX; i++) {
		if (!s->execs[i].id)
			return &s->execs[i];
	}
	return NULL;
}

static const char *start_exec(struct shim *s, int conn, int id, struct ctr *c, char **args)
{
	struct exec *e = exec_slot(s);
	if (!c || !c->pid)
		return "the container does not run";
	if (!e)
		return "too many executions at once";
	if (!args[0] || !args[1])
		return "no command";
	memset(e, 0, sizeof(*e));
	e->conn = conn;
	e->ctr = c;
	e->deadline_ms = now_ms() + strtoll(args[0], NULL, 10);
	const char *error = ctr_exec(s, e, args + 1);
	if (!error)
		e->id = id;
	return error;
}

static void start_ctr(struct shim *s, int conn, int id, const char *name, const char *attempt)
{
	char why[1024] = "";
	bool sane = strlen(name) <= SHIM_NAME_MAX && name[0] != '.' && !strchr(name, '/');
	const char *error =
		sane ? ctr_start(s, name, (unsigned)strtoul(attempt, NULL, 10), why, sizeof(why))
		     : "bad container name";
	const struct ctr *c = ctr_find(s, name);
	answer(s, conn, id, error);
	if (!error && c)
		tell_state(s, c);
}

static void shutdown_all(struct shim *s, int conn, int id)
{
	for (size_t i = 0; i < SHIM_CONTAINERS_MAX; i++) {
		struct ctr *c = &s->ctrs[i];
		int status = 0;
		if (!c->name[0] || !c->pid)
			continue;
		ctr_kill(c);
		if (waitpid(c->pid, &status, 0) == c->pid)
			ctr_ended(s, c, status);
	}
	kill_descendants();
	(void)unlinkat(s->dir, "shim.sock", 0);
	(void)unlinkat(s->dir, "shim.pid", 0);
	answer(s, conn, id, NULL);
	s->over = true;
}

static void request(struct shim *s, int conn, char *p, size_t len)
{
	char *args[ARGS_MAX + 1];
	size_t n = 0;
	for (size_t at = 0; at < len && n < ARGS_MAX; at += strlen(p + at) + 1)
		args[n++] = p + at;
	args[n] = NULL;
	if (n < 2)
		return;
	int id = (int)strtol(args[0], NULL, 10);
	struct ctr *c = n > 2 ? ctr_find(s, args[2]) : NULL;
	if (strcmp(args[1], "start") == 0 && n == 4) {
		start_ctr(s, conn, id, args[2], args[3]);
	} else if (strcmp(args[1], "signal") == 0 && n == 4) {
		int rc = c && c->pid ? kill(c->pid, (int)strtol(args[3], NULL, 10)) : 0;
		answer(s, conn, id, rc ? strerror(errno) : NULL);
	} else if (strcmp(args[1], "kill") == 0 && n == 3) {
		if (c)
			ctr_kill(c);
		answer(s, conn, id, NULL);
	} else if (strcmp(args[1], "exec") == 0 && n >= 5) {
		const char *error = start_exec(s, conn, id, c, args + 3);
		if (error)
			answer(s, conn, id, error);
	} else if (strcmp(args[1], "shutdown") == 0) {
		shutdown_all(s, conn, id);
	} else {
		answer(s, conn, id, "unknown request");
	}
}

/* -------------------------------------------------------------------------------------- events */

static void exec_finish(struct shim *s, struct exec *e)
{
	struct packet *k = packet_begin(s);
	put_int(k, e->id);
	put(k, "exit", 4);
	put_int(k, e->timed_out ? -1 : e->code);
	put(k, e->out.buf, e->out.len);
	send_to(s, e->conn, k);
	if (e->out.fd >= 0)
		close(e->out.fd);
	e->out.fd = -1;
	e->id = 0;
}

/* Output is kept up to the limit; the rest is read and dropped so that the command can end. */
static void exec_output(struct exec *e)
{
	char rest[4096];
	for (;;) {
		bool full = e->out.len >= SHIM_OUTPUT_MAX;
		ssize_t n = full ? read(e->out.fd, rest, sizeof(rest))
				 : read(e->out.fd, e->out.buf + e->out.len,
					SHIM_OUTPUT_MAX - e->out.len);
		if (n < 0)
			return;
		if (n == 0) {
			close(e->out.fd);
			e->out.fd = -1;
			return;
		}
		e->out.len += full ? 0 : (size_t)n;
	}
}

static void ended(struct shim *s, pid_t pid)
{
	int status = 0;
	for (size_t i = 0; i < SHIM_CONTAINERS_MAX; i++) {
		struct ctr *c = &s->ctrs[i];
		if (!c->name[0] || c->pid != pid)
			continue;
		/* What it started and left behind ends with it, as in a pid namespace; not
		 * reaped yet, its number cannot mean another process group. */
		ctr_kill(c);
		(void)waitpid(pid, &status, 0);
		ctr_ended(s, c, status);
		return;
	}
	(void)waitpid(pid, &status, 0);
	for (size_t i = 0; i < SHIM_EXECS_MAX; i++) {
		struct exec *e = &s->execs[i];
		if (!e->id || e->pid != pid)
			continue;
		e->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (e->out.fd >= 0)
			exec_output(e);
		exec_finish(s, e);
	}
}

static void reap(struct shim *s)
{
	for (;;) {
		siginfo_t si = { .si_pid = 0 };
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) != 0 || si.si_pid == 0)
			return;
		ended(s, si.si_pid);
	}
}

static int expire(struct shim *s)
{
	int64_t now = now_ms(), next = -1;
	for (size_t i = 0; i < SHIM_EXECS_MAX; i++) {
		struct exec *e = &s->execs[i];
		if (!e->id || e->timed_out)
			continue;
		if (e->deadline_ms <= now) {
			e->timed_out = true;
			(void)kill(-e->pid, SIGKILL);
			(void)kill(e->pid, SIGKILL);
		} else if (next < 0 || e->deadline_ms - now < next) {
			next = e->deadline_ms - now;
		}
	}
	return (int)(next > 60000 ? 60000 : next);
}

static void accept_agent(struct shim *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct ucred who;
	socklen_t len = sizeof(who);
	bool mine = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
		    (who.uid == geteuid() || who.uid == 0);
	for (int i = 0; mine && i < CONNS; i++) {
		if (s->conns[i] >= 0)
			continue;
		s->conns[i] = fd;
		struct packet *k = packet_begin(s);
		put(k, "0", 1);
		put(k, "hello", 5);
		put(k, SHIM_VERSION, strlen(SHIM_VERSION));
		send_to(s, i, k);
		return;
	}
	close(fd);
}

static void receive(struct shim *s, int conn)
{
	static char p[SHIM_PACKET_MAX + 1];
	ssize_t n = recv(s->conns[conn], p, SHIM_PACKET_MAX, 0);
	if (n > 0) {
		p[n] = '\0';
		request(s, conn, p, (size_t)n);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		close(s->conns[conn]);
		s->conns[conn] = -1;
	}
}

static size_t collect(struct shim *s, struct pollfd *f, struct logpipe **pipes, struct ctr **owners)
{
	size_t n = 0;
	f[n++] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	f[n++] = (struct pollfd){ .fd = s->listen_fd, .events = POLLIN };
	for (int i = 0; i < CONNS; i++)
		f[n++] = (struct pollfd){ .fd = s->conns[i], .events = POLLIN };
	for (size_t i = 0; i < SHIM_CONTAINERS_MAX; i++) {
		struct ctr *c = &s->ctrs[i];
		struct logpipe *both[] = { &c->out, &c->err };
		for (int k = 0; c->name[0] && k < 2; k++) {
			if (both[k]->fd < 0)
				continue;
			pipes[n] = both[k];
			owners[n] = c;
			f[n++] = (struct pollfd){ .fd = both[k]->fd, .events = POLLIN };
		}
	}
	for (size_t i = 0; i < SHIM_EXECS_MAX; i++) {
		struct exec *e = &s->execs[i];
		if (!e->id || e->out.fd < 0)
			continue;
		pipes[n] = &e->out;
		owners[n] = NULL;
		f[n++] = (struct pollfd){ .fd = e->out.fd, .events = POLLIN };
	}
	return n;
}

static void turn(struct shim *s)
{
	static struct pollfd f[POLLS_MAX];
	static struct logpipe *pipes[POLLS_MAX];
	static struct ctr *owners[POLLS_MAX];
	size_t n = collect(s, f, pipes, owners);
	if (poll(f, n, expire(s)) <= 0)
		return;
	/* Output first: the last lines of a process come before its end. */
	for (size_t i = 2 + CONNS; i < n; i++) {
		if (!f[i].revents || pipes[i]->fd != f[i].fd)
			continue;
		if (owners[i])
			(void)log_pump(&owners[i]->log, pipes[i]);
		else
			exec_output((struct exec *)(void *)((char *)pipes[i] -
							    offsetof(struct exec, out)));
	}
	if (f[0].revents) {
		struct signalfd_siginfo si;
		while (read(s->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
			;
		reap(s);
	}
	if (f[1].revents)
		accept_agent(s);
	for (int i = 0; i < CONNS && !s->over; i++) {
		if (f[2 + i].revents && f[2 + i].fd == s->conns[i])
			receive(s, i);
	}
}

/* --------------------------------------------------------------------------------------- start */

/* Through /proc/self/fd: a pod's folder may be deeper than a socket address is long. */
static int listen_in(int dir)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/shim.sock", dir);
	(void)unlinkat(dir, "shim.sock", 0);
	mode_t old = umask(0077);
	int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&a, sizeof(a));
	umask(old);
	return rc == 0 && listen(fd, CONNS) == 0 ? fd : -1;
}

static int write_pid(const struct shim *s, pid_t pid)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %llu\n", (int)pid,
			 (unsigned long long)start_time(pid));
	int fd = openat(s->dir, "shim.pid", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	if (fd < 0)
		return -1;
	bool whole = write(fd, text, (size_t)n) == n;
	close(fd);
	return whole ? 0 : -1;
}

static void read_boot(struct shim *s)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, s->boot, 36) : 0;
	if (fd >= 0)
		close(fd);
	s->boot[n > 0 ? n : 0] = '\0';
}

int main(int argc, char **argv)
{
	static struct shim s;
	if (argc != 2) {
		fprintf(stderr, "usage: resource-pod-shim POD-FOLDER (started by "
				"resource-cluster-agent)\n");
		return 2;
	}
	for (int i = 0; i < CONNS; i++)
		s.conns[i] = -1;
	s.dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s.listen_fd = s.dir >= 0 ? listen_in(s.dir) : -1;
	if (s.listen_fd < 0) {
		fprintf(stderr, "resource-pod-shim: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	/* The one who started us waits for this exit: from then on the socket answers. */
	pid_t pid = fork();
	if (pid != 0)
		return pid > 0 && write_pid(&s, pid) == 0 ? 0 : 1;
	(void)setsid();
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	(void)prctl(PR_SET_NAME, "pod-shim", 0, 0, 0);
	(void)!chdir("/");
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	s.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	read_boot(&s);
	if (s.signal_fd < 0)
		return 1;
	while (!s.over)
		turn(&s);
	return 0;
}
