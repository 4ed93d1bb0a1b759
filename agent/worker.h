/*
 * agent/worker - one thread for what may block: the files of the spools.
 *
 * Jobs run one after the other in the order they were posted; `done` comes on the loop in the same order.
 *
 * Threads: everything here is for the loop's thread but worker_job.run, which is the worker's.
 */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include "base/attr.h"
#include "base/error.h"
#include "base/list.h"

struct loop;
struct worker;

/* Embedded in what the job is about, which belongs to the job until `done`. */
struct worker_job {
	struct list link;
	void (*run)(struct worker_job *job);  /* on the worker */
	void (*done)(struct worker_job *job); /* on the loop; may post again */
};

/* ERR_INTERNAL: no thread to be had. */
ATTR_MUSTCHECK int worker_new(struct loop *l, struct worker **ret, struct error *err);

/* Waits for all jobs, `done` of each included.  Accepts NULL, returns NULL. */
struct worker *worker_free(struct worker *w);

void worker_post(struct worker *w, struct worker_job *job);

/* Waits until all that was posted has run, and calls `done` of each here.  For the end alone. */
void worker_flush(struct worker *w);

#endif
