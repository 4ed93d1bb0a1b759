/*
 * node_plan - which nodes are silent, and whose pods are to be evicted.
 *
 * Pure.  A node is silent when its lease did not change for grace_ms by the controller's own clock.
 * Eviction follows the pods' tolerations of the taints that this plan sets
 * (node.kubernetes.io/unreachable, not-ready: NoExecute).
 *
 * The breaker, per zone, as in Kubernetes' node lifecycle controller:
 *   - all nodes of all zones silent: it is we who are cut off; nothing is evicted anywhere;
 *   - a zone with more than 2 silent nodes that are at least 55 % of it, but not all: nothing is evicted there (partial disruption);
 *   - a whole zone silent while another is well: the zone is lost, its pods are evicted.
 * Evictions are rationed by evict_per_turn, so that a mistake stays small.
 */
#ifndef NODE_PLAN_H
#define NODE_PLAN_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_health { NODE_READY, NODE_NOT_READY, NODE_UNREACHABLE };

struct node_pod {
	struct str key; /* NAMESPACE/NAME */
	/* Seconds that the pod tolerates the taint; -1 = for ever, 0 = not at all. */
	int64_t tolerates_not_ready_s, tolerates_unreachable_s;
	bool deleting;
};

struct node_state {
	struct str name, zone;
	enum node_health recorded; /* what the Node object says: Ready True, False, Unknown */
	bool reported_ready;       /* the agent's own word, when it speaks */
	uint64_t silent_ms;        /* since the lease last changed */
	bool lease_known; /* it was seen to change since the controller began to look: the node lives */
	bool tainted_not_ready, tainted_unreachable; /* NoExecute taints on the object now */
	uint64_t tainted_ms;                         /* how long the present taint has been there */
	const struct node_pod *pods;
	size_t pods_len;
};

struct node_plan_config {
	uint64_t grace_ms;        /* silent for so long = unreachable; default 12 s */
	uint32_t breaker_percent; /* 55 */
	uint32_t evict_per_turn;  /* pods; 0 = no ration */
};

struct node_action {
	enum node_health health; /* what the object should say */
	bool set_health;         /* … and does not yet (condition and taints) */
	bool breaker;            /* its zone's evictions are stopped */
	const size_t *evict;     /* indexes into its pods */
	size_t evict_len;
	uint64_t again_ms; /* next moment something can change by itself; 0 = none */
};

/* ret has one action a node, in order. */
struct node_action *node_plan(struct arena *a, const struct node_plan_config *cfg,
			      const struct node_state *nodes, size_t n, uint64_t *ret_again_ms);

#endif
