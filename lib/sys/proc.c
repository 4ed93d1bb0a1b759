#include "sys/proc.h"

#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What the child gets; descriptors were moved above 2 before, so that no dup2 overwrites a later one's source. */
static int add_actions(posix_spawn_file_actions_t *fa, const struct proc_spec *spec,
		       const int fds[3])
{
	int rc = 0;
	for (int i = 0; i < 3 && rc == 0; i++) {
		if (fds[i] < 0)
			rc = posix_spawn_file_actions_addopen(fa, i, "/dev/null",
							      i ? O_WRONLY : O_RDONLY, 0);
		else
			rc = posix_spawn_file_actions_adddup2(fa, fds[i], i);
	}
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(fa, 3);
	if (rc == 0 && spec->cwd)
		rc = posix_spawn_file_actions_addchdir_np(fa, spec->cwd);
	return rc;
}

static int spawn(const struct proc_spec *spec, const int fds[3], pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&fa);
	if (rc != 0)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		sigset_t none;
		sigset_t all;
		(void)sigemptyset(&none);
		(void)sigfillset(&all);
		short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
		if (spec->new_session)
			flags |= POSIX_SPAWN_SETSID;
		(void)posix_spawnattr_setsigmask(&attr, &none);
		(void)posix_spawnattr_setsigdefault(&attr, &all);
		(void)posix_spawnattr_setflags(&attr, flags);
		rc = add_actions(&fa, spec, fds);
		char *const *envp = spec->envp ? spec->envp : environ;
		if (rc == 0)
			rc = strchr(spec->path, '/')
				     ? posix_spawn(pid, spec->path, &fa, &attr, spec->argv, envp)
				     : posix_spawnp(pid, spec->path, &fa, &attr, spec->argv, envp);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&fa);
	return rc;
}

int proc_spawn(const struct proc_spec *spec, pid_t *ret, struct error *err)
{
	assert(spec->path && spec->argv && spec->argv[0]);
	int fds[3] = { -1, -1, -1 };
	int rc = 0;
	for (int i = 0; i < 3 && rc == 0; i++) {
		if (spec->fds[i] < 0)
			continue;
		fds[i] = fcntl(spec->fds[i], F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0)
			rc = errno;
	}
	if (rc == 0)
		rc = spawn(spec, fds, ret);
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	if (rc == 0)
		return 0;
	enum err_code code = ERR_INTERNAL;
	if (rc == ENOENT || rc == ENOTDIR)
		code = ERR_NOT_FOUND;
	else if (rc == EACCES || rc == EPERM)
		code = ERR_FORBIDDEN;
	return error_errno(err, code, rc, "start %s%s%s", spec->path, spec->cwd ? " in " : "",
			   spec->cwd ? spec->cwd : "");
}

/* A small file of /proc, as a string; its length, or -1. */
static ssize_t read_small(pid_t pid, const char *name, char *out, size_t cap)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, out, cap - 1);
	(void)close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n;
}

uint64_t proc_start_time(pid_t pid)
{
	char line[1024];
	ssize_t n = read_small(pid, "stat", line, sizeof(line));
	if (n <= 0)
		return 0;
	/* the command name stands in brackets and may hold anything, brackets too */
	char *p = strrchr(line, ')');
	if (!p)
		return 0;
	struct str rest = str_trim(str_of(p + 1));
	struct str field = STR_NONE;
	uint64_t ticks = 0;
	for (int i = 3; i <= 22; i++) {
		if (!str_split(&rest, ' ', &field))
			return 0;
		if (i == 3 && field.len == 1 && strchr("ZXx", field.p[0]))
			return 0;
	}
	return str_to_u64(field, &ticks) ? ticks : 0;
}

uint64_t proc_rss(pid_t pid)
{
	char line[256];
	if (read_small(pid, "statm", line, sizeof(line)) <= 0)
		return 0;
	struct str rest = str_of(line);
	struct str field = STR_NONE;
	uint64_t pages = 0;
	if (!str_split(&rest, ' ', &field) || !str_split(&rest, ' ', &field) ||
	    !str_to_u64(field, &pages))
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t proc_pss(pid_t pid)
{
	char text[4096];
	ssize_t n = read_small(pid, "smaps_rollup", text, sizeof(text));
	if (n <= 0)
		return 0;
	struct str rest = str_n(text, (size_t)n);
	struct str line = STR_NONE;
	uint64_t kib = 0;
	while (str_split(&rest, '\n', &line)) {
		if (!str_starts(line, STR("Pss:")) || !str_ends(line, STR(" kB")))
			continue;
		if (str_to_u64(str_trim(str_sub(line, 4, line.len - 3)), &kib))
			return kib * 1024;
	}
	return 0;
}

int proc_self_dir(char *out, struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	if (n <= 0)
		return error_errno(err, ERR_INTERNAL, n < 0 ? errno : ENOENT, "/proc/self/exe");
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	if (slash)
		slash[slash == out ? 1 : 0] = '\0';
	return 0;
}

void proc_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(sa.sun_path))
		return;
	size_t len = strlen(path);
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

static int drop_object(struct dl_phdr_info *o, size_t size, void *arg)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	(void)size;
	(void)arg;
	for (size_t i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &o->dlpi_phdr[i];
		if (h->p_type != PT_LOAD || h->p_flags & PF_W)
			continue;
		uintptr_t from = (o->dlpi_addr + h->p_vaddr + page - 1) & ~(page - 1);
		uintptr_t to = (o->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(page - 1);
		if (from < to && to - from < UINT32_MAX)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void proc_drop_start_pages(void)
{
	(void)dl_iterate_phdr(drop_object, NULL);
}
