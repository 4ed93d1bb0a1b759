#include "worker.h"

#include "base/mem.h"
#include "sys/loop.h"

#include <errno.h>
#include <pthread.h>

enum { STACK_BYTES = 256 << 10 };

struct worker {
	struct loop *loop;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake, idle;
	struct list queue, finished;
	bool busy, stop;
	/* of the loop's thread: */
	bool mailed; /* guarded by the lock too: on_mail is under way */
	bool freed;
};

static void on_mail(void *arg);

static void *work(void *arg)
{
	struct worker *w = arg;
	(void)pthread_mutex_lock(&w->lock);
	while (!w->stop || !list_empty(&w->queue)) {
		if (list_empty(&w->queue)) {
			(void)pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		struct worker_job *job = list_entry(w->queue.next, struct worker_job, link);
		list_del(&job->link);
		w->busy = true;
		(void)pthread_mutex_unlock(&w->lock);
		job->run(job);
		(void)pthread_mutex_lock(&w->lock);
		w->busy = false;
		list_append(&w->finished, &job->link);
		if (!w->mailed)
			loop_post(w->loop, on_mail, w);
		w->mailed = true;
		(void)pthread_cond_signal(&w->idle);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void finish(struct worker *w)
{
	struct worker_job *job;
	do {
		job = NULL;
		(void)pthread_mutex_lock(&w->lock);
		if (!list_empty(&w->finished)) {
			job = list_entry(w->finished.next, struct worker_job, link);
			list_del(&job->link);
		}
		(void)pthread_mutex_unlock(&w->lock);
		if (job)
			job->done(job);
	} while (job);
}

static void destroy(struct worker *w)
{
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_cond_destroy(&w->idle);
	mem_free(w);
}

static void on_mail(void *arg)
{
	struct worker *w = arg;
	if (w->freed) {
		destroy(w);
		return;
	}
	(void)pthread_mutex_lock(&w->lock);
	w->mailed = false;
	(void)pthread_mutex_unlock(&w->lock);
	finish(w);
}

void worker_post(struct worker *w, struct worker_job *job)
{
	(void)pthread_mutex_lock(&w->lock);
	list_append(&w->queue, &job->link);
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

void worker_flush(struct worker *w)
{
	bool more = true;
	while (more) {
		(void)pthread_mutex_lock(&w->lock);
		while (w->busy || !list_empty(&w->queue))
			(void)pthread_cond_wait(&w->idle, &w->lock);
		(void)pthread_mutex_unlock(&w->lock);
		finish(w);
		(void)pthread_mutex_lock(&w->lock);
		more = w->busy || !list_empty(&w->queue);
		(void)pthread_mutex_unlock(&w->lock);
	}
}

int worker_new(struct loop *l, struct worker **ret, struct error *err)
{
	struct worker *w = mem_new(struct worker, 1);
	pthread_attr_t attr;
	w->loop = l;
	list_init(&w->queue);
	list_init(&w->finished);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	(void)pthread_cond_init(&w->idle, NULL);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	int rc = pthread_create(&w->thread, &attr, work, w);
	(void)pthread_attr_destroy(&attr);
	if (rc) {
		destroy(w);
		return error_errno(err, ERR_INTERNAL, rc, "thread of the spools");
	}
	*ret = w;
	return 0;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	worker_flush(w);
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	w->freed = true;
	if (!w->mailed) /* else the mail that is under way frees it */
		destroy(w);
	return NULL;
}
