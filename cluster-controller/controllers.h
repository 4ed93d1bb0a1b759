/*
 * controllers - the controllers of a cluster, each a queue over the shared state: Deployments, ReplicaSets, Jobs,
 * the scheduler, the node lifecycle, PodDisruptionBudgets.  The decisions are in the *_plan files.
 */
#ifndef CONTROLLERS_H
#define CONTROLLERS_H

#include "ctl/ctl.h"
#include "state.h"

#include <stdint.h>

struct controllers;

struct controllers_config {
	struct ctl *ctl;
	struct client *client;
	struct loop *loop;
	int64_t node_grace_ms; /* lease unchanged for so long = unreachable */
	int64_t lease_poll_ms;
	int64_t zone_breaker_percent;
	int64_t evictions_per_turn;
};

struct controllers *controllers_new(const struct controllers_config *cfg);
struct controllers *controllers_free(struct controllers *c);

/* ---- shared by the controllers' files ---- */

struct controllers {
	struct controllers_config cfg;
	struct state state;
	struct ctl_queue *deployments, *sets, *jobs, *scheduler, *nodes, *disruptions;
	/* node lifecycle */
	struct loop_timer lease_poll;
	struct client_call *lease_call;
	struct lease_watch leases;
};

void deployment_reconcile(void *arg, struct ctl_queue *q, struct str key);
void replicaset_reconcile(void *arg, struct ctl_queue *q, struct str key);
void batch_reconcile(void *arg, struct ctl_queue *q, struct str key);
void scheduler_reconcile(void *arg, struct ctl_queue *q, struct str key);
void disruption_reconcile(void *arg, struct ctl_queue *q, struct str key);
void nodes_reconcile(void *arg, struct ctl_queue *q, struct str key);

/* Every unbound pod that was found unschedulable is looked at again: capacity appeared. */
void scheduler_retry_all(struct controllers *c);
/* The budgets of the namespace are counted anew: a pod or its owner changed. */
void disruption_look(struct controllers *c, struct str ns);
void nodes_start(struct controllers *c);

#endif
