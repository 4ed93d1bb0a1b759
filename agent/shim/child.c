#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GROUPS_MAX = 64, CODE_NOT_STARTED = 128 };

_Noreturn static void give_up(const struct child_io *io, const char *why)
{
	if (io->report >= 0 && write(io->report, why, strlen(why)) < 0)
		_exit(CODE_NOT_STARTED);
	_exit(CODE_NOT_STARTED);
}

_Noreturn static void give_up_errno(const struct child_io *io, const char *what, const char *name)
{
	char why[512];
	snprintf(why, sizeof(why), "%s %s: %s", what, name, strerror(errno));
	give_up(io, why);
}

/* A cgroup that cannot be entered costs limits, not the pod: the agent has said so already. */
static void join_cgroups(const struct spec *s)
{
	for (size_t pos = 0;;) {
		const char *path = spec_next(s, "cgroup", &pos);
		if (!path)
			return;
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t n = write(fd, "0", 1);
		(void)n;
		close(fd);
	}
}

static void set_oom_score(const struct spec *s)
{
	const char *v = spec_get(s, "oomadj");
	int fd = v ? open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	ssize_t n = write(fd, v, strlen(v));
	(void)n;
	close(fd);
}

static void set_limits(void)
{
	struct rlimit core = { 0, 0 }, files;
	(void)setrlimit(RLIMIT_CORE, &core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void become_user(const struct spec *s, const struct child_io *io)
{
	long long uid = spec_number(s, "uid", -1), gid = spec_number(s, "gid", -1);
	gid_t groups[GROUPS_MAX];
	size_t n = 0;
	for (size_t pos = 0; n < GROUPS_MAX;) {
		const char *g = spec_next(s, "group", &pos);
		if (!g)
			break;
		groups[n++] = (gid_t)strtoul(g, NULL, 10);
	}
	bool change =
		(uid >= 0 && (uid_t)uid != geteuid()) || (gid >= 0 && (gid_t)gid != getegid());
	if ((n || change) && setgroups(n, groups) != 0)
		give_up_errno(io, "set", "groups");
	if (gid >= 0 && setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) != 0)
		give_up_errno(io, "become", "group");
	if (uid >= 0 && setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) != 0)
		give_up_errno(io, "become", "user");
	if (spec_get(s, "nnp") && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		give_up_errno(io, "set", "no_new_privs");
}

static void wire_up(const struct child_io *io)
{
	if (dup2(io->in, 0) < 0 || dup2(io->out, 1) < 0 || dup2(io->err, 2) < 0)
		give_up_errno(io, "wire", "stdio");
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char *path_of(char **env)
{
	for (; *env; env++) {
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Looks argv[0] up in the container's own PATH. */
_Noreturn static void exec_argv(char **argv, char **env, const struct child_io *io)
{
	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, env);
		give_up_errno(io, "exec", argv[0]);
	}
	int e = ENOENT;
	char path[4096];
	for (const char *p = path_of(env); *p; p += *p == ':') {
		size_t n = strcspn(p, ":");
		snprintf(path, sizeof(path), "%.*s/%s", (int)n, p, argv[0]);
		p += n;
		execve(path, argv, env);
		if (errno != ENOENT && errno != ENOTDIR)
			e = errno;
	}
	errno = e;
	give_up_errno(io, "exec", argv[0]);
}

_Noreturn void child_run(const struct spec *s, const struct child_io *io)
{
	char why[512];
	char **argv = spec_list(s, "arg"), **env = spec_list(s, "env");
	if (!argv || !env || !argv[0])
		give_up(io, "no command");
	if (setsid() < 0)
		give_up_errno(io, "new", "session");
	/* Without the shim nobody would know of this process: it ends with it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	join_cgroups(s);
	set_oom_score(s);
	set_limits();
	if (mount_all(s, why, sizeof(why)) != 0)
		give_up(io, why);
	become_user(s, io);
	if (spec_get(s, "uid"))
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* changing the user cleared it */
	const char *cwd = spec_get(s, "cwd");
	if (chdir(cwd && *cwd ? cwd : "/") != 0)
		give_up_errno(io, "enter", cwd ? cwd : "/");
	wire_up(io);
	exec_argv(argv, env, io);
}

/* Its user namespace first, when it has one: that gives the right to the others. */
static bool enter_user(int proc)
{
	struct stat own, its;
	int ns = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || fstat(ns, &its) != 0 || stat("/proc/self/ns/user", &own) != 0)
		return false;
	bool done = own.st_ino == its.st_ino || setns(ns, CLONE_NEWUSER) == 0;
	close(ns);
	return done;
}

/* The container's mount namespace, root and working folder. */
static void enter(pid_t inside, const struct child_io *io)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d", (int)inside);
	int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ns = openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
	int root = openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int cwd = openat(proc, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || ns < 0 || root < 0)
		give_up_errno(io, "enter", "the container");
	if (!enter_user(proc) || setns(ns, CLONE_NEWNS) != 0 || fchdir(root) != 0 ||
	    chroot(".") != 0)
		give_up_errno(io, "enter", "the container");
	if (cwd < 0 || fchdir(cwd) != 0)
		(void)!chdir("/");
}

_Noreturn void child_exec(const struct spec *s, pid_t inside, char **argv,
			  const struct child_io *io)
{
	char **env = spec_list(s, "env");
	if (!env || setsid() < 0)
		give_up(io, "no memory or session");
	join_cgroups(s);
	set_limits();
	const char *cwd = spec_get(s, "cwd");
	if (spec_get(s, "msrc"))
		enter(inside, io);
	else if (chdir(cwd && *cwd ? cwd : "/") != 0)
		give_up_errno(io, "enter", cwd ? cwd : "/");
	become_user(s, io);
	wire_up(io);
	exec_argv(argv, env, io);
}
