/*
 * sys/loop - one epoll event loop a thread: descriptors, timers, tasks,
 * mailbox, signals, child processes.
 *
 * Everything registered here is intrusive: the structure belongs to the
 * caller, is zeroed before its first use and must be removed before its memory
 * goes away.  Callbacks run on the loop's thread, one at a time, and may add
 * and remove anything, also themselves.
 *
 * Threads: only loop_post() and loop_stop() may be called from another thread.
 * Time:    monotonic milliseconds, read once a turn (loop_now_ms).
 */
#ifndef SYS_LOOP_H
#define SYS_LOOP_H

#include "base/attr.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

struct loop;

ATTR_MUSTCHECK int loop_new(struct loop **ret, struct error *err);

/* Posts still in the mailbox are run first.  Accepts NULL, returns NULL. */
struct loop *loop_free(struct loop *l);

/* Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread */

/* One turn: waits at most wait_ms (-1 = until something happens).  For tests. */
void loop_turn(struct loop *l, int wait_ms);

uint64_t loop_now_ms(const struct loop *l);

/* ---- descriptors (level-triggered) ---- */

struct loop_io {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLRDHUP … as armed; 0 = not added */
	void (*fn)(struct loop_io *io, uint32_t events);
	struct loop *loop;
};

/*
 * Arms io->fd for `events` (not 0; EPOLLERR alone waits for errors only); again with other events changes
 * them.  The fd stays the caller's.  Aborts for a descriptor that cannot be polled.
 */
void loop_io_set(struct loop *l, struct loop_io *io, uint32_t events);
void loop_io_del(struct loop_io *io); /* before close(); safe when not added */

/* ---- timers ---- */

struct loop_timer {
	struct heap_node node;
	void (*fn)(struct loop_timer *t);
	struct loop *loop;
};

/* (Re)arms t to fire once, delay_ms from now (0 = in the next turn). */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *t); /* safe when not armed */
bool loop_timer_armed(const struct loop_timer *t);

/*
 * ---- tasks: run once at the end of the current turn, before the next wait ----
 * What a task defers in its turn runs at the end of the next one, which does not wait.
 */

struct loop_task {
	struct list link;
	void (*fn)(struct loop_task *t);
};

/* Queues t; does nothing when it is queued already. */
void loop_defer(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

/* ---- mailbox ---- */

/*
 * Runs fn(arg) on the loop's thread, in the order of posting a thread.  Any
 * thread.  Memory for the message is small and from the heap.
 */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/*
 * ---- signals: blocked in the calling thread and delivered here; one loop a process does this ----
 * Called before other threads are started, so that they inherit the block.
 */

ATTR_MUSTCHECK int loop_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo),
			       void *arg, struct error *err);

/* ---- child processes (pidfd) ---- */

struct loop_child {
	struct loop_io io;
	pid_t pid;
	/* Reaped, and no longer watched; wait_status as waitpid. */
	void (*fn)(struct loop_child *c, int wait_status);
};

/* Watches a child of this process; reaps it. */
ATTR_MUSTCHECK int loop_child_watch(struct loop *l, struct loop_child *c, pid_t pid,
				    struct error *err);
void loop_child_unwatch(struct loop_child *c);

#endif
