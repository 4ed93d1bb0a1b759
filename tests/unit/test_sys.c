#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "sys/proc.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
	struct loop *loop;
	char trace[256]; /* one letter an event */
};

static void note(struct world *w, char c)
{
	size_t n = strlen(w->trace);
	w->trace[n] = c;
}

static struct world *world_new(void)
{
	struct world *w = mem_new(struct world, 1);
	struct error err;
	cr_assert_eq(loop_new(&w->loop, &err), 0);
	return w;
}

static void world_free(struct world *w)
{
	loop_free(w->loop);
	mem_free(w);
}

static char *temp_dir(char *out)
{
	(void)snprintf(out, PATH_MAX, "/tmp/test_sys.XXXXXX");
	cr_assert(mkdtemp(out));
	return out;
}

/* ---- clock ---- */

Test(clock, runs_forward_and_random_numbers_differ)
{
	uint64_t a = clock_mono_us();
	cr_assert(clock_mono_us() >= a);
	cr_assert(clock_mono_ms() >= a / 1000);
	cr_assert(clock_unix_ms() > 1500000000000);
	cr_assert(clock_unix_ns() / 1000000 >= clock_unix_ms() - 60000);
	cr_assert_neq(clock_random_u64(), clock_random_u64());
	unsigned char big[3000] = { 0 };
	clock_random(big, sizeof(big));
	int zeros = 0;
	for (size_t i = 0; i < sizeof(big); i++)
		zeros += big[i] == 0;
	cr_assert(zeros < 100);
}

/* ---- timers, tasks, mail ---- */

struct tick {
	struct loop_timer timer;
	struct world *w;
	struct tick *stops; /* stopped when this one fires */
	char letter;
	bool again;
};

static void on_tick(struct loop_timer *timer)
{
	struct tick *t = container_of(timer, struct tick, timer);
	note(t->w, t->letter);
	if (t->stops)
		loop_timer_stop(&t->stops->timer);
	if (t->again)
		loop_timer_set(t->w->loop, &t->timer, 0);
}

Test(loop, timers_fire_once_in_order_of_their_time)
{
	struct world *w = world_new();
	struct tick t[4] = { 0 };
	for (int i = 0; i < 4; i++)
		t[i] = (struct tick){ .timer.fn = on_tick, .w = w, .letter = (char)('a' + i) };
	t[1].stops = &t[3];
	loop_timer_set(w->loop, &t[0].timer, 6);
	loop_timer_set(w->loop, &t[1].timer, 2);
	loop_timer_set(w->loop, &t[2].timer, 90000);
	loop_timer_set(w->loop, &t[3].timer, 5);
	loop_timer_set(w->loop, &t[2].timer, 4); /* rearmed */
	while (strlen(w->trace) < 3)
		loop_turn(w->loop, -1);
	loop_turn(w->loop, 10);
	cr_assert_str_eq(w->trace, "bca");
	cr_assert(!loop_timer_armed(&t[0].timer) && !loop_timer_armed(&t[3].timer));
	loop_timer_stop(&t[0].timer);
	loop_timer_set(w->loop, &t[0].timer, 90000);
	cr_assert(loop_timer_armed(&t[0].timer));
	world_free(w);
}

Test(loop, a_timer_rearmed_with_no_delay_fires_once_a_turn)
{
	struct world *w = world_new();
	struct tick t = { .timer.fn = on_tick, .w = w, .letter = 'x', .again = true };
	loop_timer_set(w->loop, &t.timer, 0);
	for (int i = 0; i < 3; i++)
		loop_turn(w->loop, 0);
	cr_assert_str_eq(w->trace, "xxx");
	world_free(w);
}

struct job {
	struct loop_task task;
	struct world *w;
	struct job *next, *cancels;
	char letter;
};

static void on_job(struct loop_task *task)
{
	struct job *j = container_of(task, struct job, task);
	note(j->w, j->letter);
	if (j->next)
		loop_defer(j->w->loop, &j->next->task);
	if (j->cancels)
		loop_task_cancel(&j->cancels->task);
}

Test(loop, tasks_run_once_and_what_they_defer_runs_in_a_turn_that_does_not_wait)
{
	struct world *w = world_new();
	struct job j[3] = { 0 };
	for (int i = 0; i < 3; i++)
		j[i] = (struct job){ .task.fn = on_job, .w = w, .letter = (char)('a' + i) };
	j[0].next = &j[0];
	j[0].cancels = &j[2];
	loop_defer(w->loop, &j[0].task);
	loop_defer(w->loop, &j[1].task);
	loop_defer(w->loop, &j[2].task);
	loop_defer(w->loop, &j[1].task);
	loop_turn(w->loop, -1);
	cr_assert_str_eq(w->trace, "ab");
	loop_turn(w->loop, -1);
	cr_assert_str_eq(w->trace, "aba");
	loop_task_cancel(&j[0].task);
	world_free(w);
}

struct letter {
	struct world *w;
	char c;
};

static void on_letter(void *arg)
{
	struct letter *m = arg;
	note(m->w, m->c);
	if (m->c == 'z')
		loop_stop(m->w->loop);
	mem_free(m);
}

static void post_letter(struct world *w, char c)
{
	struct letter *m = mem_new(struct letter, 1);
	*m = (struct letter){ w, c };
	loop_post(w->loop, on_letter, m);
}

static void *post_from_thread(void *arg)
{
	for (const char *c = "abcz"; *c; c++)
		post_letter(arg, *c);
	return NULL;
}

Test(loop, mail_of_another_thread_arrives_in_order_and_the_rest_runs_when_freed)
{
	struct world *w = world_new();
	pthread_t th;
	cr_assert_eq(pthread_create(&th, NULL, post_from_thread, w), 0);
	loop_run(w->loop);
	cr_assert_eq(pthread_join(th, NULL), 0);
	cr_assert_str_eq(w->trace, "abcz");
	post_letter(w, 'd');
	loop_free(w->loop);
	cr_assert_str_eq(w->trace, "abczd");
	mem_free(w);
}

Test(loop, a_stop_before_the_run_ends_it_at_once)
{
	struct world *w = world_new();
	loop_stop(w->loop);
	loop_run(w->loop);
	world_free(w);
}

/* ---- descriptors ---- */

struct pipe_end {
	struct loop_io io;
	struct world *w;
	struct pipe_end *kills;
};

static void on_readable(struct loop_io *io, uint32_t events)
{
	struct pipe_end *p = container_of(io, struct pipe_end, io);
	char c = '?';
	if (events & EPOLLIN)
		cr_assert_eq(read(io->fd, &c, 1), 1);
	note(p->w, c);
	if (p->kills) {
		loop_io_del(&p->kills->io);
		memset(p->kills, 0xa5, sizeof(*p->kills)); /* its memory is gone */
	}
}

Test(loop, a_descriptor_removed_within_the_turn_is_never_called)
{
	struct world *w = world_new();
	struct pipe_end *end[2];
	int fds[2][2];
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(pipe2(fds[i], O_CLOEXEC | O_NONBLOCK), 0);
		end[i] = mem_new(struct pipe_end, 1);
		*end[i] = (struct pipe_end){ .io = { .fd = fds[i][0], .fn = on_readable }, .w = w };
		loop_io_set(w->loop, &end[i]->io, EPOLLIN);
		cr_assert_eq(write(fds[i][1], "x", 1), 1);
	}
	end[0]->kills = end[1];
	end[1]->kills = end[0];
	loop_turn(w->loop, 0);
	cr_assert_str_eq(w->trace, "x");
	loop_turn(w->loop, 0);
	cr_assert_str_eq(w->trace, "x");
	for (int i = 0; i < 2; i++) {
		if (end[i]->w == w)
			loop_io_del(&end[i]->io);
		mem_free(end[i]);
	}
	world_free(w);
}

Test(loop, level_triggered_events_follow_what_is_armed)
{
	struct world *w = world_new();
	int fds[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	file_set_nonblock(fds[0]);
	cr_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	struct pipe_end e = { .io = { .fd = fds[0], .fn = on_readable }, .w = w };
	loop_io_set(w->loop, &e.io, EPOLLOUT);
	loop_turn(w->loop, 0);
	cr_assert_str_eq(w->trace, "?");
	loop_io_set(w->loop, &e.io, EPOLLIN);
	loop_turn(w->loop, 0);
	cr_assert_str_eq(w->trace, "?");
	cr_assert_eq(write(fds[1], "ab", 2), 2);
	loop_turn(w->loop, 0);
	loop_turn(w->loop, 0);
	cr_assert_str_eq(w->trace, "?ab");
	loop_io_del(&e.io);
	loop_io_del(&e.io);
	world_free(w);
}

/* ---- signals and children ---- */

static void on_signal(void *arg, int signo)
{
	note(arg, signo == SIGTERM ? 'T' : 'H');
}

Test(loop, signals_arrive_as_callbacks)
{
	struct world *w = world_new();
	struct error err;
	cr_assert_eq(loop_signal(w->loop, SIGTERM, on_signal, w, &err), 0);
	cr_assert_eq(loop_signal(w->loop, SIGHUP, on_signal, w, &err), 0);
	cr_assert_eq(kill(getpid(), SIGHUP), 0);
	loop_turn(w->loop, 1000);
	cr_assert_eq(kill(getpid(), SIGTERM), 0);
	loop_turn(w->loop, 1000);
	cr_assert_str_eq(w->trace, "HT");
	world_free(w);
}

struct kid {
	struct loop_child child;
	struct world *w;
	int status;
	bool done;
};

static void on_exit_of(struct loop_child *c, int status)
{
	struct kid *k = container_of(c, struct kid, child);
	k->status = status;
	k->done = true;
}

static int run_sh(struct world *w, const char *script, struct proc_spec spec)
{
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, mem_strdup(script), NULL };
	struct kid k = { .child.fn = on_exit_of, .w = w };
	struct error err = { 0 };
	pid_t pid = 0;
	spec.path = "sh";
	spec.argv = argv;
	cr_assert_eq(proc_spawn(&spec, &pid, &err), 0, "%s", err.msg);
	cr_assert_eq(loop_child_watch(w->loop, &k.child, pid, &err), 0, "%s", err.msg);
	while (!k.done)
		loop_turn(w->loop, -1);
	mem_free(argv[2]);
	cr_assert_eq(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
	return k.status;
}

Test(proc, children_are_started_clean_and_reaped)
{
	struct world *w = world_new();
	struct proc_spec spec = { .fds = { -1, -1, -1 } };
	int status = run_sh(w, "exit 7", spec);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	status = run_sh(w, "kill -9 $$", spec);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	int leak = open("/dev/null", O_RDONLY); /* on purpose without close-on-exec */
	int out[2];
	cr_assert(leak >= 0 && pipe2(out, O_CLOEXEC) == 0);
	sigset_t term;
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	char *envp[] = { (char[]){ "PATH=/usr/bin:/bin" }, (char[]){ "A=b" }, NULL };
	spec = (struct proc_spec){
		.fds = { -1, out[1], 2 }, .envp = envp, .cwd = "/", .new_session = true
	};
	status = run_sh(w,
			"for fd in /proc/self/fd/*; do case ${fd##*/} in 0|1|2) ;; *) "
			"readlink \"$fd\" | grep -v '^/proc'; esac; done; "
			"pwd; echo \"$A\"; grep SigBlk /proc/self/status; cat; kill -TERM $$",
			spec);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	char text[256] = { 0 };
	cr_assert(read(out[0], text, sizeof(text) - 1) > 0);
	cr_assert_str_eq(text, "/\nb\nSigBlk:\t0000000000000000\n");
	world_free(w);
}

Test(proc, a_program_that_cannot_be_started_says_why)
{
	char *argv[] = { (char[]){ "x" }, NULL };
	struct error err = { 0 };
	pid_t pid = 0;
	struct proc_spec spec = { .path = "/nonexistent/x", .argv = argv, .fds = { -1, -1, -1 } };
	cr_assert_eq(proc_spawn(&spec, &pid, &err), ERR_NOT_FOUND);
	cr_assert_str_eq(err.msg, "start /nonexistent/x: No such file or directory");
	spec.path = "/dev/null";
	cr_assert_eq(proc_spawn(&spec, &pid, &err), ERR_FORBIDDEN);
	spec.path = "no-such-program-anywhere";
	cr_assert_eq(proc_spawn(&spec, &pid, &err), ERR_NOT_FOUND);
	struct world *w = world_new();
	struct kid k = { .child.fn = on_exit_of };
	cr_assert_eq(loop_child_watch(w->loop, &k.child, 4194304 + 7, &err) < 0, true);
	loop_child_unwatch(&k.child);
	world_free(w);
}

Test(proc, a_process_is_told_by_its_start_time)
{
	uint64_t mine = proc_start_time(getpid());
	cr_assert_neq(mine, 0);
	cr_assert_eq(proc_start_time(getpid()), mine);
	cr_assert(proc_rss(getpid()) > 100000);
	cr_assert_eq(proc_start_time(4194304 + 7), 0);
	cr_assert_eq(proc_rss(4194304 + 7), 0);
	cr_assert_eq(proc_pss(4194304 + 7), 0);
	if (access("/proc/self/smaps_rollup", R_OK) == 0)
		cr_assert(proc_pss(getpid()) > 10000 &&
			  proc_pss(getpid()) <= 2 * proc_rss(getpid()));
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(proc_start_time(pid), 0, "a zombie counts as none");
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	char dir[PATH_MAX];
	struct error err;
	cr_assert_eq(proc_self_dir(dir, &err), 0);
	cr_assert(file_exists(dir) && !strstr(dir, "test_sys"));
}

Test(proc, the_service_manager_is_told)
{
	char dir[PATH_MAX];
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%.80s/s", temp_dir(dir));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	proc_notify("READY=1"); /* nobody asked */
	cr_assert_eq(setenv("NOTIFY_SOCKET", sa.sun_path, 1), 0);
	proc_notify("STOPPING=1");
	char text[64] = { 0 };
	cr_assert_eq(recv(fd, text, sizeof(text), 0), 10);
	cr_assert_str_eq(text, "STOPPING=1");
	struct error err;
	cr_assert_eq(file_remove_tree(dir, &err), 0);
}

/* ---- files ---- */

Test(file, writes_as_a_whole_and_reads_up_to_the_limit)
{
	char dir[PATH_MAX];
	char path[PATH_MAX + 16];
	struct error err = { 0 };
	struct buf b = { 0 };
	(void)snprintf(path, sizeof(path), "%s/f", temp_dir(dir));
	cr_assert_eq(file_read(path, 10, &b, &err), ERR_NOT_FOUND);
	cr_assert_eq(file_write_atomic(path, STR("0123456789"), 0640, &err), 0);
	struct stat st;
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	buf_adds(&b, ">");
	cr_assert_eq(file_read(path, 10, &b, &err), 0);
	cr_assert_str_eq(buf_cstr(&b), ">0123456789");
	cr_assert_eq(file_read(path, 9, &b, &err), ERR_TOO_LARGE);
	cr_assert_eq(b.len, 11);
	char *big = mem_calloc(1, 100000);
	memset(big, 'q', 100000);
	cr_assert_eq(file_write_atomic(path, str_n(big, 100000), 0600, &err), 0);
	buf_clear(&b);
	cr_assert_eq(file_read(path, 1 << 20, &b, &err), 0);
	cr_assert(b.len == 100000 && memcmp(b.p, big, 100000) == 0);
	cr_assert_eq(file_write_atomic("/nonexistent/x", STR("x"), 0600, &err), ERR_NOT_FOUND);
	mem_free(big);
	buf_fini(&b);
	cr_assert_eq(file_remove_tree(dir, &err), 0);
	cr_assert(!file_exists(dir));
}

Test(file, a_tree_is_made_and_removed_without_following_links)
{
	char dir[PATH_MAX];
	char path[PATH_MAX + 64];
	struct error err = { 0 };
	temp_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/keep/inside", dir);
	cr_assert_eq(file_mkdirs(path, 0755, &err), 0);
	cr_assert_eq(file_mkdirs(path, 0755, &err), 0, "again is fine");
	(void)snprintf(path, sizeof(path), "%s/gone/a/b/c/", dir);
	cr_assert_eq(file_mkdirs(path, 0755, &err), 0);
	(void)snprintf(path, sizeof(path), "%s/gone/a/file", dir);
	cr_assert_eq(file_write_atomic(path, STR("x"), 0600, &err), 0);
	cr_assert_neq(file_mkdirs(path, 0755, &err), 0);
	char target[PATH_MAX + 64];
	(void)snprintf(target, sizeof(target), "%s/keep", dir);
	(void)snprintf(path, sizeof(path), "%s/gone/a/b/link", dir);
	cr_assert_eq(symlink(target, path), 0);
	(void)snprintf(path, sizeof(path), "%s/gone", dir);
	cr_assert_eq(file_remove_tree(path, &err), 0, "%s", err.msg);
	cr_assert(!file_exists(path));
	(void)snprintf(path, sizeof(path), "%s/keep/inside", dir);
	cr_assert(file_exists(path));
	cr_assert_eq(file_remove_tree("/nonexistent/x", &err), 0);
	cr_assert_eq(file_remove_tree(dir, &err), 0);
}

Test(file, a_tree_deeper_than_any_path_and_any_descriptor_table_is_removed)
{
	char dir[PATH_MAX];
	struct error err = { 0 };
	temp_dir(dir);
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		cr_assert_eq(mkdirat(at, "deeper", 0700), 0);
		int fd = openat(at, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		cr_assert(fd >= 0);
		(void)close(fd);
		int next = openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cr_assert(next >= 0);
		(void)close(at);
		at = next;
	}
	(void)close(at);
	cr_assert_eq(file_remove_tree(dir, &err), 0, "%s", err.msg);
	cr_assert(!file_exists(dir));
}
