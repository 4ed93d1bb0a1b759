#include "sys/loop.h"

#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 256, SIGNALS_MAX = 65 };

struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct signal_handler {
	void (*fn)(void *arg, int signo);
	void *arg;
};

struct loop {
	int epoll_fd;
	uint64_t now_ms;
	bool in_turn;
	/* Events of this turn not yet handed out; loop_io_del() takes its own out again. */
	struct epoll_event events[EVENTS_PER_TURN];
	int events_at, events_len;

	struct heap timers;
	struct list tasks;

	struct loop_io mail_io;
	pthread_mutex_t mail_lock; /* guards mail_head, mail_tail */
	struct post *mail_head, **mail_tail;
	atomic_bool stop;

	struct loop_io signal_io; /* fd -1 until the first loop_signal() */
	sigset_t signal_set;
	struct signal_handler signals[SIGNALS_MAX];
};

/* ---- descriptors ---- */

void loop_io_set(struct loop *l, struct loop_io *io, uint32_t events)
{
	assert(io->fn && events && (!io->loop || io->loop == l));
	if (io->events == events)
		return;
	struct epoll_event ev = { .events = events, .data.ptr = io };
	int op = io->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	/* Fails only for a bad descriptor or without memory: neither can be gone on with. */
	if (epoll_ctl(l->epoll_fd, op, io->fd, &ev) != 0)
		abort();
	io->events = events;
	io->loop = l;
}

void loop_io_del(struct loop_io *io)
{
	struct loop *l = io->loop;
	if (!l || !io->events)
		return;
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	io->events = 0;
	io->loop = NULL;
	for (int i = l->events_at; i < l->events_len; i++) {
		if (l->events[i].data.ptr == io)
			l->events[i].data.ptr = NULL;
	}
}

static void run_events(struct loop *l)
{
	while (l->events_at < l->events_len) {
		struct epoll_event ev = l->events[l->events_at++];
		struct loop_io *io = ev.data.ptr;
		if (!io)
			continue;
		/* an earlier callback of this turn may have disarmed some */
		uint32_t events = ev.events & (io->events | EPOLLERR | EPOLLHUP);
		if (events)
			io->fn(io, events);
	}
}

/* ---- timers ---- */

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	assert(t->fn);
	if (!l->in_turn)
		l->now_ms = clock_mono_ms();
	uint64_t due = l->now_ms + delay_ms;
	if (due < delay_ms)
		due = UINT64_MAX;
	loop_timer_stop(t);
	t->loop = l;
	heap_add(&l->timers, &t->node, due);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->loop)
		heap_del(&t->loop->timers, &t->node);
	t->loop = NULL;
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return t->loop != NULL;
}

static void run_timers(struct loop *l)
{
	uint64_t seq_end = l->timers.seq; /* what is armed from here on waits for the next turn */
	for (;;) {
		struct heap_node *n = heap_top(&l->timers);
		if (!n || n->due > l->now_ms || n->seq >= seq_end)
			return;
		struct loop_timer *t = container_of(n, struct loop_timer, node);
		loop_timer_stop(t);
		t->fn(t);
	}
}

/* ---- tasks ---- */

void loop_defer(struct loop *l, struct loop_task *t)
{
	assert(t->fn);
	if (!list_linked(&t->link))
		list_append(&l->tasks, &t->link);
}

void loop_task_cancel(struct loop_task *t)
{
	list_del(&t->link);
}

static void run_tasks(struct loop *l)
{
	if (list_empty(&l->tasks))
		return;
	struct list batch = l->tasks;
	batch.next->prev = batch.prev->next = &batch;
	list_init(&l->tasks);
	while (!list_empty(&batch)) {
		struct loop_task *t = list_entry(batch.next, struct loop_task, link);
		list_del(&t->link);
		t->fn(t);
	}
}

/* ---- mailbox ---- */

static void wake(struct loop *l)
{
	uint64_t one = 1;
	ssize_t k = write(l->mail_io.fd, &one, sizeof(one));
	(void)k; /* EAGAIN: the counter is full, so the loop is awake already */
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	assert(fn);
	struct post *p = mem_new(struct post, 1);
	p->fn = fn;
	p->arg = arg;
	(void)pthread_mutex_lock(&l->mail_lock);
	bool was_empty = !l->mail_head;
	*l->mail_tail = p;
	l->mail_tail = &p->next;
	/* under the lock: behind it, the message may have ended the loop's life already */
	if (was_empty)
		wake(l);
	(void)pthread_mutex_unlock(&l->mail_lock);
}

static bool run_posts(struct loop *l)
{
	(void)pthread_mutex_lock(&l->mail_lock);
	struct post *p = l->mail_head;
	l->mail_head = NULL;
	l->mail_tail = &l->mail_head;
	(void)pthread_mutex_unlock(&l->mail_lock);
	bool any = p != NULL;
	while (p) {
		struct post *next = p->next;
		p->fn(p->arg);
		mem_free(p);
		p = next;
	}
	return any;
}

static void on_mail(struct loop_io *io, uint32_t events)
{
	(void)events;
	uint64_t count = 0;
	ssize_t k = read(io->fd, &count, sizeof(count));
	(void)k; /* EAGAIN is as good: the list says what there is */
	(void)run_posts(container_of(io, struct loop, mail_io));
}

/* ---- signals ---- */

static void on_signal(struct loop_io *io, uint32_t events)
{
	(void)events;
	struct loop *l = container_of(io, struct loop, signal_io);
	struct signalfd_siginfo info;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		struct signal_handler *h = &l->signals[info.ssi_signo % SIGNALS_MAX];
		if (h->fn)
			h->fn(h->arg, (int)info.ssi_signo);
	}
}

int loop_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg,
		struct error *err)
{
	assert(fn && signo > 0 && signo < SIGNALS_MAX);
	sigset_t set = l->signal_set;
	(void)sigaddset(&set, signo);
	int fd = signalfd(l->signal_io.fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_errno(err, ERR_INTERNAL, errno, "signalfd");
	l->signal_set = set;
	l->signals[signo] = (struct signal_handler){ fn, arg };
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	l->signal_io.fd = fd;
	loop_io_set(l, &l->signal_io, EPOLLIN);
	return 0;
}

/* ---- child processes ---- */

static void on_child(struct loop_io *io, uint32_t events)
{
	(void)events;
	struct loop_child *c = container_of(io, struct loop_child, io);
	int status = 0;
	pid_t pid = waitpid(c->pid, &status, WNOHANG);
	if (pid == 0 || (pid < 0 && errno == EINTR))
		return;
	loop_child_unwatch(c);
	c->fn(c, pid < 0 ? 0 : status);
}

int loop_child_watch(struct loop *l, struct loop_child *c, pid_t pid, struct error *err)
{
	assert(c->fn && !c->io.events);
	int fd = pidfd_open(pid, 0);
	if (fd < 0)
		return error_errno(err, errno == ESRCH ? ERR_NOT_FOUND : ERR_INTERNAL, errno,
				   "watch process %d", (int)pid);
	c->pid = pid;
	c->io.fd = fd;
	c->io.fn = on_child;
	loop_io_set(l, &c->io, EPOLLIN);
	return 0;
}

void loop_child_unwatch(struct loop_child *c)
{
	if (!c->io.events)
		return;
	loop_io_del(&c->io);
	(void)close(c->io.fd);
	c->io.fd = -1;
}

/* ---- the loop ---- */

int loop_new(struct loop **ret, struct error *err)
{
	struct loop *l = mem_new(struct loop, 1);
	l->signal_io = (struct loop_io){ .fd = -1, .fn = on_signal };
	l->mail_io = (struct loop_io){ .fd = -1, .fn = on_mail };
	l->mail_tail = &l->mail_head;
	list_init(&l->tasks);
	(void)sigemptyset(&l->signal_set);
	(void)pthread_mutex_init(&l->mail_lock, NULL);
	l->now_ms = clock_mono_ms();
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd >= 0)
		l->mail_io.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->mail_io.fd < 0) {
		int errnum = errno;
		loop_free(l);
		return error_errno(err, ERR_INTERNAL, errnum, "make an event loop");
	}
	loop_io_set(l, &l->mail_io, EPOLLIN);
	*ret = l;
	return 0;
}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	while (run_posts(l))
		;
	while (!list_empty(&l->tasks))
		list_del(l->tasks.next);
	while (heap_top(&l->timers))
		loop_timer_stop(container_of(heap_top(&l->timers), struct loop_timer, node));
	heap_fini(&l->timers);
	if (l->mail_io.fd >= 0)
		(void)close(l->mail_io.fd);
	if (l->signal_io.fd >= 0)
		(void)close(l->signal_io.fd);
	if (l->epoll_fd >= 0)
		(void)close(l->epoll_fd);
	(void)pthread_mutex_destroy(&l->mail_lock);
	mem_free(l);
	return NULL;
}

static int wait_time(struct loop *l, int wait_ms)
{
	if (!list_empty(&l->tasks))
		return 0;
	struct heap_node *n = heap_top(&l->timers);
	if (!n)
		return wait_ms;
	uint64_t now = clock_mono_ms();
	uint64_t left = n->due > now ? n->due - now : 0;
	if (wait_ms >= 0 && left > (uint64_t)wait_ms)
		return wait_ms;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

void loop_turn(struct loop *l, int wait_ms)
{
	int n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_TURN, wait_time(l, wait_ms));
	l->now_ms = clock_mono_ms();
	l->in_turn = true;
	l->events_at = 0;
	l->events_len = n > 0 ? n : 0;
	run_events(l);
	l->events_at = l->events_len = 0;
	run_timers(l);
	run_tasks(l);
	l->in_turn = false;
}

void loop_run(struct loop *l)
{
	while (!atomic_load(&l->stop))
		loop_turn(l, -1);
	atomic_store(&l->stop, false);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}
