/*
 * ctl - the controller runtime: informers → work queue → reconcile → effects,
 * behind a leader election with a fencing token.
 *
 * A controller is a pure plan over plain structs plus a thin shell: informers
 * keep the shell's structs up to date and add keys; reconcile() takes a key,
 * builds the snapshot, calls the plan and sends its effects through the client;
 * when the last answer is in it calls ctl_done().
 *
 * Promises:
 *   - a key is worked on by one reconcile at a time, added again while it runs
 *     it runs once more afterwards; failures come back with doubling delay;
 *   - nothing is reconciled before all informers of the manager are synced, nor
 *     while this process is not the leader;
 *   - after a write that answered revision R a key is not planned again before
 *     the informer of what was written has seen R (ctl_expect), whatever else
 *     happens; a write whose outcome is unknown holds its key for 10 s, whatever the
 *     informer says: the write may still be on its way;
 *   - leadership: a Lease with leaseTransitions as fencing token, sent with each
 *     write (our API refuses a token that was taken over).  Losing it ends the
 *     process (daemon_fail), as with kube-controller-manager.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/attr.h"
#include "base/error.h"
#include "base/metric.h"
#include "base/str.h"
#include "client/client.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl;
struct ctl_queue;

struct ctl_config {
	const char *name; /* "resource-cluster-controller": component of events, lease name */
	struct loop *loop;
	struct client *client; /* the API whose Lease is taken */
	struct metrics *metrics;
	const char *lease_ns;                  /* "kube-system" */
	const char *identity;                  /* unique: host_uuid */
	uint64_t lease_ms, renew_ms, retry_ms; /* 0 = 15 s, 10 s, 2 s */
	/* Became leader (fence is set on the client), lost it (fatal: stop). */
	void (*on_leading)(void *arg, int64_t token);
	void (*on_lost)(void *arg, const struct error *err);
	void *arg;
};

struct ctl *ctl_new(const struct ctl_config *cfg);
struct ctl *ctl_free(struct ctl *c);
void ctl_start(struct ctl *c);
/* Gives the lease back at once so that another may lead (graceful stop); done on the loop. */
void ctl_release(struct ctl *c, void (*done)(void *arg), void *arg);
bool ctl_leading(const struct ctl *c);
/* NULL when fine, else why not ready: "waiting for informers". Standing by is ready. */
const char *ctl_ready(void *c);

/*
 * Starts an informer that belongs to the manager (freed with it, or by
 * ctl_unwatch).  required: nothing is reconciled before its first list is in;
 * an informer of something that may be out of reach (a member cluster) is not required.
 */
struct client_informer *ctl_watch(struct ctl *c, struct client *from,
				  const struct client_informer_config *cfg, bool required);
void ctl_unwatch(struct ctl *c, struct client_informer *i); /* not from within its callbacks */

/* ---- queues ---- */

struct ctl_queue_config {
	const char *name; /* metrics, logs */
	/* Works on `key`; must lead to exactly one ctl_done(q, key, …), now or later. */
	void (*reconcile)(void *arg, struct ctl_queue *q, struct str key);
	void *arg;
	uint32_t parallel; /* keys worked on at once; 0 = 8 */
};

struct ctl_queue *ctl_queue_new(struct ctl *c, const struct ctl_queue_config *cfg);
void ctl_add(struct ctl_queue *q, struct str key); /* ready now */
void ctl_add_after(struct ctl_queue *q, struct str key,
		   uint64_t delay_ms); /* the earliest delay wins */
void ctl_done(struct ctl_queue *q, struct str key, bool ok);

/* `key` waits until `i` has seen rev (then it runs if it was added meanwhile). */
void ctl_expect(struct ctl_queue *q, struct str key, struct client_informer *i, int64_t rev);
void ctl_expect_unknown(struct ctl_queue *q, struct str key, struct client_informer *i);

/* ---- events (core/v1 Event objects, counted when repeated, rate-limited) ---- */

struct ctl_object_ref {
	struct str api_version, kind, ns, name, uid;
};
void ctl_event(struct ctl *c, const struct ctl_object_ref *about, bool warning, const char *reason,
	       const char *fmt, ...) ATTR_PRINTF(5, 6);

#endif
