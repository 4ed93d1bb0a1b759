/*
 * job - one reconcile under way: its effects and their answers.
 *
 *   struct job *j = job_new(q, key, client);
 *   job_send(j, …); job_send(j, …);      any number, also none
 *   job_end(j);                          ctl_done() once all answers are in
 *
 * Each answer with a revision makes the key wait until the informer given has seen it
 * (ctl_expect), an unknown outcome until 10 s passed.  404 on DELETE and 409 on a
 * precondition are no failures of ours: the key just comes back.
 */
#ifndef JOB_H
#define JOB_H

#include "base/arena.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "json/json.h"

#include <stdbool.h>

struct job;

struct job *job_new(struct ctl_queue *q, struct str key, struct client *client);

/* `body` is copied.  type NULL = application/json.  `seen_by` may be NULL. */
void job_send(struct job *j, const char *method, const char *path, const char *type,
	      struct str body, struct client_informer *seen_by);

/*
 * Asks the API, not a cache, for an object: `then` gets it when it is there (lent), and may send more.  Any
 * other answer but 404 fails the job.
 */
void job_ask(struct job *j, const char *path,
	     void (*then)(struct job *j, void *arg, const struct json *obj), void *arg);

/* The reconcile failed for another reason: the key comes back with a delay. */
void job_fail(struct job *j);

/* The plan's arena, freed with the job. */
struct arena *job_arena(struct job *j);

/* No more effects will be sent; j is gone behind this call or later. */
void job_end(struct job *j);

#endif
