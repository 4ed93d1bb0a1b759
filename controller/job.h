/*
 * job - one reconcile under way: its effects, in several clusters, and their answers.
 *
 *   struct job *j = job_new(jobs, q, key);
 *   job_send(j, …); job_apply(j, …);     any number, also none
 *   job_end(j);                          ctl_done() once all answers are in
 *
 * Each answer with a revision makes the key wait until the informer given has seen it
 * (ctl_expect), an unknown outcome until 10 s passed.  404 on DELETE and a conflict are no failures to
 * talk of: the key just comes back.
 */
#ifndef JOB_H
#define JOB_H

#include "base/arena.h"
#include "base/list.h"
#include "base/str.h"
#include "ctl/ctl.h"

#include <stdbool.h>

struct job;

/* All effects under way; owned by the fleet, zeroed and job_list_init()ed. */
struct job_list {
	struct list effects;
};

void job_list_init(struct job_list *l);

/* The client goes away: its effects end with an unknown outcome. */
void job_abandon(struct job_list *l, const struct client *client);
/* At the end of the process: frees everything, calls nothing. */
void job_list_fini(struct job_list *l);

struct job *job_new(struct job_list *l, struct ctl_queue *q, struct str key);

/* Told once for each effect with a `where`; err NULL = done.  looked: it was a job_look(). */
typedef void (*job_result_fn)(void *arg, struct str where, struct str key, bool looked,
			      const struct error *err);
void job_on_result(struct job *j, job_result_fn fn, void *arg);

struct job_effect {
	struct client *client;
	struct client_informer *seen_by; /* or NULL */
	struct str where;                /* cluster, "" = the global API */
	const char *path;
};

/* `body` is copied.  type NULL = application/json. */
void job_send(struct job *j, const struct job_effect *e, const char *method, const char *type,
	      struct str body);

/* Server-side apply over what is ours (force). */
void job_apply(struct job *j, const struct job_effect *e, struct str body);

/*
 * The same for what is not there as far as we know: looks first, and applies without force only when there is
 * none.  One that is not `managed` by us is an error (ERR_EXISTS), one that is comes back later.
 */
void job_create(struct job *j, const struct job_effect *e, struct str body,
		bool (*managed)(const struct json *have));

/*
 * Only asks how the object is and waits until the informer has seen that: after a write whose outcome is unknown.
 * An object that the cache still shows (`shown`) and that is gone is a conflict: the watch is behind.
 */
void job_look(struct job *j, const struct job_effect *e, bool shown);

/* The reconcile failed for another reason: the key comes back with a delay. */
void job_fail(struct job *j);

/* The plan's arena, freed with the job. */
struct arena *job_arena(struct job *j);
/* Effects sent so far. */
unsigned job_sent(const struct job *j);

/* No more effects will be sent; j is gone behind this call or later. */
void job_end(struct job *j);

#endif
