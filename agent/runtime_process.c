/* The process driver: one resource-pod-shim a pod, spoken to over its socket. */
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "runtime.h"
#include "shim_proto.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "sys/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { STATE_BYTES_MAX = 8192, REMOVE_TRIES = 40, REMOVE_AGAIN_MS = 50 };

struct runtime_process {
	struct loop *loop;
	char *shim;
	const struct cgroups *cgroups;
	char boot[40];
};

struct request {
	struct list link;
	int id;
	rt_done_fn done;
	rt_exec_fn exec;
	void *arg;
	bool unsent;
};

struct rt_pod {
	struct runtime_process *rt;
	char *uid, *dir;
	struct rt_pod_events ev;
	int dir_fd;
	struct loop_io io;       /* the shim's socket; fd -1 = none */
	struct loop_child child; /* a shim that is starting */
	struct list requests;
	int next_id;
	struct loop_task fail_unsent;
	uint64_t spawned_ms;  /* when this shim was made; 0 = it was there already */
	bool is_up, starting; /* starting: a shim was made that does not listen yet */
	/* taking down */
	bool destroying;
	rt_done_fn destroyed;
	void *destroyed_arg;
	unsigned remove_tries;
	struct loop_timer remove_again;
};

static int read_small(int dir, const char *path, struct buf *out)
{
	buf_clear(out);
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	int rc = file_read_fd(fd, SHIM_SPEC_BYTES_MAX, out, NULL);
	close(fd);
	return rc;
}

/* ----------------------------------------------------------------------------------- requests */

static void request_end(struct request *r, const char *error)
{
	rt_done_fn done = r->done;
	rt_exec_fn exec = r->exec;
	void *arg = r->arg;
	list_del(&r->link);
	mem_free(r);
	if (exec)
		exec(arg, -1, STR_NONE, error);
	else if (done)
		done(arg, error);
}

static void requests_fail(struct rt_pod *p, const char *error)
{
	while (!list_empty(&p->requests))
		request_end(list_entry(p->requests.next, struct request, link), error);
}

static void packet_arg(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s) + 1);
}

static void packet_i64(struct buf *b, int64_t v)
{
	buf_add_i64(b, v);
	buf_addc(b, '\0');
}

/* Starts a packet; the request that waits for its answer is returned. */
static struct request *request_new(struct rt_pod *p, struct buf *b, const char *verb)
{
	struct request *r = mem_new(struct request, 1);
	r->id = ++p->next_id;
	list_append(&p->requests, &r->link);
	packet_i64(b, r->id);
	packet_arg(b, verb);
	return r;
}

static void on_fail_unsent(struct loop_task *t)
{
	struct rt_pod *p = container_of(t, struct rt_pod, fail_unsent);
	list_for_each(it, &p->requests)
	{
		struct request *r = list_entry(it, struct request, link);
		if (!r->unsent)
			continue;
		loop_defer(p->rt->loop, t); /* for the next one: this answer may free the pod */
		request_end(r, "the pod's shim cannot be reached");
		return;
	}
}

/* Never answers from inside the caller's call. */
static void request_send(struct rt_pod *p, struct request *r, struct buf *b)
{
	ssize_t n = -1;
	if (p->io.fd >= 0 && b->len <= SHIM_PACKET_MAX)
		n = send(p->io.fd, b->p, b->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0) {
		r->unsent = true;
		loop_defer(p->rt->loop, &p->fail_unsent);
	}
	buf_fini(b);
}

/* ------------------------------------------------------------------------------------ packets */

static bool next_arg(struct str *rest, struct str *arg)
{
	if (rest->len == 0)
		return false;
	return str_split(rest, '\0', arg);
}

static void take_answer(struct rt_pod *p, int64_t id, struct str verb, struct str rest)
{
	list_for_each(it, &p->requests)
	{
		struct request *r = list_entry(it, struct request, link);
		if (r->id != id)
			continue;
		struct str first = STR_NONE, output = STR_NONE;
		(void)next_arg(&rest, &first);
		if (str_is(verb, "exit") && r->exec) {
			int64_t code = -1;
			(void)str_to_i64(first, &code);
			(void)next_arg(&rest, &output);
			rt_exec_fn exec = r->exec;
			void *arg = r->arg;
			list_del(&r->link);
			mem_free(r);
			exec(arg, (int)code, output, NULL);
		} else {
			char text[512];
			snprintf(text, sizeof(text), "%.*s", STR_ARG(first));
			request_end(r, str_is(verb, "ok") ? NULL : text);
		}
		return;
	}
}

static void take_packet(struct rt_pod *p, struct str packet)
{
	struct str id_text, verb, name = STR_NONE, attempt = STR_NONE;
	int64_t id = -1, n = 0;
	if (!next_arg(&packet, &id_text) || !str_to_i64(id_text, &id) || !next_arg(&packet, &verb))
		return;
	if (id != 0) {
		take_answer(p, id, verb, packet);
	} else if (str_is(verb, "hello") && !p->is_up && !p->destroying) {
		p->is_up = true;
		p->ev.up(p->ev.arg, NULL);
	} else if (str_is(verb, "state") && next_arg(&packet, &name) &&
		   next_arg(&packet, &attempt) && name.len <= SHIM_NAME_MAX &&
		   str_to_i64(attempt, &n)) {
		char ctr[SHIM_NAME_MAX + 1];
		snprintf(ctr, sizeof(ctr), "%.*s", STR_ARG(name));
		p->ev.changed(p->ev.arg, ctr, (uint32_t)n);
	}
}

static void destroy_finish(struct rt_pod *p, const char *error);

static void on_socket(struct loop_io *io, uint32_t events)
{
	(void)events;
	struct rt_pod *p = container_of(io, struct rt_pod, io);
	char packet[SHIM_PACKET_MAX];
	ssize_t n = recv(io->fd, packet, sizeof(packet), MSG_DONTWAIT);
	if (n > 0) {
		take_packet(p, str_n(packet, (size_t)n)); /* one a turn: it may free the pod */
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_io_del(io);
	close(io->fd);
	io->fd = -1;
	bool was_up = p->is_up;
	p->is_up = false;
	if (p->destroying) {
		destroy_finish(p, NULL);
		return;
	}
	cgroup_kill(p->rt->cgroups, p->uid);
	requests_fail(p, "the pod's shim is gone");
	struct error err = { 0 };
	error_set(&err, ERR_UNAVAILABLE, "the pod's shim ended");
	if (was_up)
		p->ev.lost(p->ev.arg);
	else
		p->ev.up(p->ev.arg, &err);
}

/* ------------------------------------------------------------------------------------ opening */

static int connect_shim(struct rt_pod *p)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/shim.sock", p->dir_fd);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	p->io.fd = fd;
	loop_io_set(p->rt->loop, &p->io, EPOLLIN);
	return 0;
}

/* Its pid, and when it started (CLOCK_BOOTTIME, rounded down to a tick). */
static bool shim_alive(const struct rt_pod *p, pid_t *ret, uint64_t *ret_started_ms)
{
	struct buf b = { 0 };
	struct str pid_text, rest;
	int64_t pid = 0;
	uint64_t start = 0;
	bool alive = false;
	if (read_small(p->dir_fd, "shim.pid", &b) == 0) {
		rest = str_trim(buf_str(&b));
		alive = str_split(&rest, ' ', &pid_text) && str_to_i64(pid_text, &pid) &&
			str_to_u64(rest, &start) && pid > 1 && start &&
			proc_start_time((pid_t)pid) == start;
	}
	*ret = (pid_t)pid;
	*ret_started_ms = start * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	buf_fini(&b);
	return alive;
}

static void shutdown_shim(struct rt_pod *p);

static void on_shim_forked(struct loop_child *c, int status)
{
	struct rt_pod *p = container_of(c, struct rt_pod, child);
	struct error err = { 0 };
	p->starting = false;
	if (status == 0 && connect_shim(p) == 0) {
		if (p->destroying)
			shutdown_shim(p);
		return; /* its hello comes */
	}
	if (p->destroying) {
		destroy_finish(p, NULL);
		return;
	}
	error_set(&err, ERR_INTERNAL, "resource-pod-shim did not start (status %d)", status);
	p->ev.up(p->ev.arg, &err);
}

static int spawn_shim(struct rt_pod *p, struct error *err)
{
	char *argv[] = { p->rt->shim, p->dir, NULL };
	char *envp[] = { NULL };
	struct proc_spec spec = { .path = p->rt->shim,
				  .argv = argv,
				  .envp = envp,
				  .fds = { -1, -1, -1 },
				  .new_session = true };
	pid_t pid;
	p->spawned_ms = clock_mono_ms();
	int rc = proc_spawn(&spec, &pid, err);
	if (!rc)
		rc = loop_child_watch(p->rt->loop, &p->child, pid, err);
	p->starting = rc == 0;
	return rc;
}

static void pod_free(struct rt_pod *p)
{
	list_for_each(it, &p->requests) mem_free(list_entry(it, struct request, link));
	loop_child_unwatch(&p->child);
	loop_timer_stop(&p->remove_again);
	loop_task_cancel(&p->fail_unsent);
	if (p->io.fd >= 0) {
		loop_io_del(&p->io);
		close(p->io.fd);
	}
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	mem_free(p->uid);
	mem_free(p->dir);
	mem_free(p);
}

static void on_remove_again(struct loop_timer *t)
{
	destroy_finish(container_of(t, struct rt_pod, remove_again), NULL);
}

static int process_open(void *driver, const char *uid, const char *dir,
			const struct rt_pod_events *ev, struct rt_pod **ret, struct error *err)
{
	struct rt_pod *p = mem_new(struct rt_pod, 1);
	p->rt = driver;
	p->uid = mem_strdup(uid);
	p->dir = mem_strdup(dir);
	p->ev = *ev;
	p->io.fd = -1;
	p->io.fn = on_socket;
	p->child.fn = on_shim_forked;
	p->remove_again.fn = on_remove_again;
	p->fail_unsent.fn = on_fail_unsent;
	list_init(&p->requests);
	p->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	pid_t pid = 0;
	if (p->dir_fd < 0) {
		rc = error_errno(err, ERR_INTERNAL, errno, "%s", dir);
	} else {
		/* states of before this shim are of an earlier one, also when it is taken over */
		bool alive = shim_alive(p, &pid, &p->spawned_ms);
		if (!alive || connect_shim(p) != 0) {
			if (alive)
				(void)kill(pid,
					   SIGKILL); /* it lives but does not listen: of no use */
			cgroup_kill(p->rt->cgroups, uid);
			rc = spawn_shim(p, err);
		}
	}
	if (rc) {
		pod_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

static void process_close(struct rt_pod *p)
{
	pod_free(p);
}

/* ------------------------------------------------------------------------------------ running */

static void spec_line(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "%s=%s", key, value);
	buf_addc(b, '\0');
}

static void spec_i64(struct buf *b, const char *key, int64_t value)
{
	buf_addf(b, "%s=%lld", key, (long long)value);
	buf_addc(b, '\0');
}

static void write_spec(const struct rt_pod *p, const struct rt_ctr *c, struct buf *b,
		       struct buf *refused)
{
	for (size_t i = 0; c->argv[i]; i++)
		spec_line(b, "arg", c->argv[i]);
	for (size_t i = 0; c->env[i]; i++)
		spec_line(b, "env", c->env[i]);
	spec_line(b, "cwd", c->cwd ? c->cwd : "");
	if (c->uid >= 0)
		spec_i64(b, "uid", c->uid);
	if (c->gid >= 0)
		spec_i64(b, "gid", c->gid);
	for (size_t i = 0; i < c->groups_len; i++)
		spec_i64(b, "group", c->groups[i]);
	if (c->no_new_privs)
		spec_line(b, "nnp", "1");
	spec_i64(b, "oomadj", c->oom_score_adj);
	spec_line(b, "log", c->log_path);
	spec_i64(b, "logmax", c->log_bytes_max);
	spec_i64(b, "lognum", c->log_files_max);
	for (size_t i = 0; i < c->mounts_len; i++) {
		spec_line(b, "msrc", c->mounts[i].source);
		spec_line(b, "mdst", c->mounts[i].target);
		spec_line(b, "mro", c->mounts[i].read_only ? "1" : "0");
	}
	cgroup_make(p->rt->cgroups, p->uid, c->name, &c->limits, b, refused);
	struct str rest = str_of(c->notes ? c->notes : ""), note;
	while (rest.len && str_split(&rest, '\n', &note)) {
		buf_add_str(b, note);
		buf_addc(b, '\0');
	}
}

static void process_start(struct rt_pod *p, const struct rt_ctr *c, struct buf *refused_limits,
			  rt_done_fn done, void *arg)
{
	struct buf path = { 0 }, spec = { 0 }, packet = { 0 };
	struct request *r = request_new(p, &packet, "start");
	r->done = done;
	r->arg = arg;
	(void)mkdirat(p->dir_fd, c->name, 0700);
	buf_addf(&path, "%s/%s/%u.spec", p->dir, c->name, c->attempt);
	write_spec(p, c, &spec, refused_limits);
	/* A shim that finds no spec says so in its answer. */
	(void)!file_write_atomic(buf_cstr(&path), buf_str(&spec), 0600, NULL);
	if (spec.p)
		explicit_bzero(spec.p, spec.len);
	packet_arg(&packet, c->name);
	packet_i64(&packet, c->attempt);
	request_send(p, r, &packet);
	buf_fini(&path);
	buf_fini(&spec);
}

static void process_signal(struct rt_pod *p, const char *ctr, int signo)
{
	struct buf b = { 0 };
	struct request *r = request_new(p, &b, "signal");
	packet_arg(&b, ctr);
	packet_i64(&b, signo);
	request_send(p, r, &b);
}

static void process_kill(struct rt_pod *p, const char *ctr)
{
	struct buf b = { 0 };
	struct request *r = request_new(p, &b, "kill");
	packet_arg(&b, ctr);
	request_send(p, r, &b);
}

static void process_exec(struct rt_pod *p, const char *ctr, char *const *argv, uint32_t timeout_ms,
			 rt_exec_fn done, void *arg)
{
	struct buf b = { 0 };
	struct request *r = request_new(p, &b, "exec");
	r->exec = done;
	r->arg = arg;
	packet_arg(&b, ctr);
	packet_i64(&b, timeout_ms);
	for (size_t i = 0; argv[i]; i++)
		packet_arg(&b, argv[i]);
	request_send(p, r, &b);
}

/* ------------------------------------------------------------------------------------- ending */

static void destroy_finish(struct rt_pod *p, const char *error)
{
	if (!cgroup_remove(p->rt->cgroups, p->uid) && p->remove_tries++ < REMOVE_TRIES) {
		cgroup_kill(p->rt->cgroups, p->uid);
		loop_timer_set(p->rt->loop, &p->remove_again, REMOVE_AGAIN_MS);
		return;
	}
	rt_done_fn done = p->destroyed;
	void *arg = p->destroyed_arg;
	pod_free(p);
	if (done)
		done(arg, error);
}

/* Its end closes the socket. */
static void shutdown_shim(struct rt_pod *p)
{
	struct buf b = { 0 };
	struct request *r = request_new(p, &b, "shutdown");
	request_send(p, r, &b);
}

static void process_destroy(struct rt_pod *p, rt_done_fn done, void *arg)
{
	p->destroying = true;
	p->destroyed = done;
	p->destroyed_arg = arg;
	requests_fail(p, "the pod ends");
	if (p->starting)
		return; /* it must listen before it can be told to end */
	if (p->io.fd < 0)
		loop_timer_set(p->rt->loop, &p->remove_again, 0);
	else
		shutdown_shim(p);
}

/* -------------------------------------------------------------------------------------- state */

static int64_t number_of(struct str text, const char *key)
{
	struct str line;
	int64_t v = 0;
	size_t n = strlen(key);
	while (str_split(&text, '\n', &line)) {
		if (line.len > n && line.p[n] == '=' && memcmp(line.p, key, n) == 0)
			return str_to_i64(str_sub(line, n + 1, line.len), &v) ? v : 0;
	}
	return 0;
}

static struct str text_of(struct str text, const char *key)
{
	struct str line;
	size_t n = strlen(key);
	while (str_split(&text, '\n', &line)) {
		if (line.len > n && line.p[n] == '=' && memcmp(line.p, key, n) == 0)
			return str_sub(line, n + 1, line.len);
	}
	return STR_NONE;
}

/* The largest N not above `max` for which "CTR/N.spec" exists. */
static bool newest_attempt(const struct rt_pod *p, const char *ctr, uint32_t max, uint32_t *ret)
{
	int fd = openat(p->dir_fd, ctr, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool found = false;
	for (struct dirent *e; d && (e = readdir(d));) {
		struct str name = str_of(e->d_name);
		uint64_t n = 0;
		if (!str_ends(name, STR(".spec")) ||
		    !str_to_u64(str_sub(name, 0, name.len - 5), &n) || n > max ||
		    (found && n <= *ret))
			continue;
		*ret = (uint32_t)n;
		found = true;
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return found;
}

static void fill_state(const struct rt_pod *p, struct str t, struct rt_state *s)
{
	s->started = true;
	s->pid = (pid_t)number_of(t, "pid");
	s->start_ticks = (uint64_t)number_of(t, "start");
	s->started_ns = number_of(t, "started_ns");
	s->ended_ns = number_of(t, "finished_ns");
	s->code = (int)number_of(t, "code");
	s->signal = (int)number_of(t, "signal");
	s->oom_killed = number_of(t, "oom") > 0;
	s->ended = s->ended_ns != 0;
	struct str error = text_of(t, "error");
	snprintf(s->error, sizeof(s->error), "%.*s", STR_ARG(error));
	bool this_boot = str_is(text_of(t, "boot"), p->rt->boot);
	if (this_boot) {
		s->started_ms = (uint64_t)number_of(t, "started_ms");
		s->ended_ms = (uint64_t)number_of(t, "finished_ms");
	}
	/* What an earlier shim was the parent of has died with it. */
	if (!s->ended && (!this_boot || s->started_ms < p->spawned_ms)) {
		s->ended = s->lost = true;
		s->code = 137;
	}
}

static bool process_state(struct rt_pod *p, const char *ctr, uint32_t attempt_max,
			  struct rt_state *ret)
{
	struct buf b = { 0 };
	char path[SHIM_NAME_MAX + 32];
	memset(ret, 0, sizeof(*ret));
	if (!newest_attempt(p, ctr, attempt_max, &ret->attempt))
		return false;
	snprintf(path, sizeof(path), "%s/%u.state", ctr, ret->attempt);
	if (read_small(p->dir_fd, path, &b) == 0)
		fill_state(p, buf_str(&b), ret);
	buf_fini(&b);
	return true;
}

static bool process_notes(struct rt_pod *p, const char *ctr, uint32_t attempt, struct buf *out)
{
	struct buf b = { 0 };
	char path[SHIM_NAME_MAX + 32];
	snprintf(path, sizeof(path), "%s/%u.spec", ctr, attempt);
	bool found = read_small(p->dir_fd, path, &b) == 0;
	struct str rest = buf_str(&b), line;
	while (rest.len && str_split(&rest, '\0', &line)) {
		if (!str_starts(line, STR("x-")))
			continue;
		buf_add_str(out, line);
		buf_addc(out, '\n');
	}
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return found;
}

static bool process_stats(struct rt_pod *p, const char *ctr, struct cgroup_stats *ret)
{
	struct rt_state s;
	if (cgroup_read(p->rt->cgroups, p->uid, ctr, ret))
		return true;
	if (!process_state(p, ctr, UINT32_MAX, &s) || !s.started || s.ended)
		return false;
	/* Without cgroups: the main process alone. */
	ret->memory_bytes = ret->working_set_bytes = proc_rss(s.pid);
	ret->has_memory = ret->memory_bytes > 0;
	return ret->has_memory;
}

const struct runtime_ops runtime_process_ops = {
	.name = "process",
	.open = process_open,
	.close = process_close,
	.destroy = process_destroy,
	.start = process_start,
	.signal = process_signal,
	.kill = process_kill,
	.exec = process_exec,
	.state = process_state,
	.notes = process_notes,
	.stats = process_stats,
};

int runtime_process_new(struct loop *l, const char *shim, const struct cgroups *g,
			struct runtime_process **ret, struct error *err)
{
	if (access(shim, X_OK) != 0)
		return error_errno(err, ERR_NOT_FOUND, errno, "%s", shim);
	struct runtime_process *r = mem_new(struct runtime_process, 1);
	struct buf boot = { 0 };
	r->loop = l;
	r->shim = mem_strdup(shim);
	r->cgroups = g;
	if (file_read("/proc/sys/kernel/random/boot_id", sizeof(r->boot), &boot, NULL) == 0) {
		struct str id = str_trim(buf_str(&boot));
		snprintf(r->boot, sizeof(r->boot), "%.*s", STR_ARG(id));
	}
	buf_fini(&boot);
	*ret = r;
	return 0;
}

struct runtime_process *runtime_process_free(struct runtime_process *r)
{
	if (r)
		mem_free(r->shim);
	mem_free(r);
	return NULL;
}
