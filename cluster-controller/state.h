/*
 * state - what the cluster controller knows: nodes, pods, ReplicaSets and Deployments as plain structs, kept up to
 * date by informers.
 *
 * Each record owns one arena with everything parsed of its object; it is replaced as a whole when the
 * object changes.  One loop owns all of it.
 */
#ifndef STATE_H
#define STATE_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "ctl/ctl.h"
#include "disruption_plan.h"
#include "json/json.h"
#include "node_lease.h"
#include "sched_plan.h"

#include <stdbool.h>
#include <stdint.h>

struct owner; /* pods or sets of one owner uid, see state.c */

struct pod {
	struct arena arena;
	struct list by_owner, by_node;
	struct str key, ns, name, uid, node, phase, owner_uid, rv;
	struct str
		index_key; /* of by_owner: the owner's uid, or of those without one in the namespace */
	int64_t created_s, ready_s, deletion_cost, priority;
	uint32_t restarts;
	bool deleting, finished, gated;
	bool tracked;             /* carries the finalizer of jobs */
	int64_t ended_s;          /* of the container that ended last */
	struct str scheduler;     /* spec.schedulerName */
	struct str unschedulable; /* message of the condition PodScheduled=False, "" */
	struct sched_pod sched;
	int64_t tolerates_not_ready_s, tolerates_unreachable_s; /* -1 for ever, 0 not */
	bool daemon;         /* tolerates everything for ever by design */
	uint64_t assumed_ms; /* bound by us, not yet seen: counts on `node` until this time */
};

struct node {
	struct arena arena;
	struct str name, zone, rv;
	struct sched_node sched; /* without pods and used: those are counted at planning */
	struct json taints;      /* spec.taints as they stand */
	struct str ready;        /* status of condition Ready: True, False, Unknown, "" */
	struct str ready_reason;
	struct list pods; /* struct pod.by_node */
	/* what was observed; survives updates of the object */
	struct lease_seen lease;
	uint64_t born_ms, tainted_since_ms;
};

struct rs {
	struct arena arena;
	struct list by_owner;
	struct str key, ns, name, uid, owner_uid, rv;
	struct str index_key;
	struct sched_labels labels;
	struct sched_term selector;
	struct json obj; /* the whole object */
	int64_t created_s, want, generation, observed, revision;
	int64_t replicas, ready, available, min_ready_s;
	bool deleting;
};

struct deployment {
	struct arena arena;
	struct str key, ns, name, uid, rv;
	struct sched_term selector;
	struct json obj;
	int64_t generation;
	bool deleting;
};

struct batch {
	struct arena arena;
	struct str key, ns, name, uid, rv;
	struct json obj;
	bool deleting;
};

struct budget { /* a PodDisruptionBudget */
	struct arena arena;
	struct str key, ns, name;
	struct sched_term selector;
	bool selects; /* has a selector; without one it is of no pod */
	struct disruption_bound min_available, max_unavailable;
	struct json obj;
	int64_t generation;
	bool deleting;
};

struct state {
	struct ctl *ctl;
	struct client *client;
	struct map pods, nodes, sets, deployments, jobs, budgets; /* key → record */
	struct map pods_by_owner, sets_by_owner;                  /* uid → struct owner */
	struct map set_by_uid, deployment_by_uid, job_by_uid;     /* uid → record */
	struct map pods_by_node; /* node name → struct owner (for nodes not known too) */
	struct client_informer *i_pods, *i_nodes, *i_sets, *i_deployments, *i_jobs, *i_budgets;
	/* told after the state changed */
	void (*on_pod)(void *arg, struct pod *p, bool gone);
	void (*on_node)(void *arg, struct node *n, bool gone);
	void (*on_set)(void *arg, struct rs *r, bool gone);
	void (*on_job)(void *arg, struct batch *b, bool gone);
	void (*on_deployment)(void *arg, struct deployment *d, bool gone);
	void (*on_budget)(void *arg, struct budget *b, bool gone);
	void *arg;
};

void state_init(struct state *s, struct ctl *ctl, struct client *client);
void state_watch(struct state *s); /* after the callbacks are set */
void state_fini(struct state *s);

struct pod *state_pod(const struct state *s, struct str key);
struct rs *state_set(const struct state *s, struct str key);
struct deployment *state_deployment(const struct state *s, struct str key);
struct rs *state_set_by_uid(const struct state *s, struct str uid);
struct deployment *state_deployment_by_uid(const struct state *s, struct str uid);
struct batch *state_job(const struct state *s, struct str key);
struct batch *state_job_by_uid(const struct state *s, struct str uid);
struct budget *state_budget(const struct state *s, struct str key);
struct node *state_node(const struct state *s, struct str name);

/* The list (of struct pod.by_owner, struct rs.by_owner, struct pod.by_node), or NULL when there is none. */
struct list *state_pods_of(const struct state *s, struct str owner_uid);
struct list *state_sets_of(const struct state *s, struct str owner_uid);
struct list *state_pods_on(const struct state *s, struct str node);

/* Those of the namespace that no controller owns. */
struct list *state_orphan_pods(const struct state *s, struct str ns);
struct list *state_orphan_sets(const struct state *s, struct str ns);

/* The pod counts on the node from now on, until its own event says so (or 30 s passed). */
void state_assume(struct state *s, struct pod *p, struct str node, uint64_t now_ms);

#endif
