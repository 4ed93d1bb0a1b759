/*
 * replicaset_plan - what a ReplicaSet needs done: pods to create, pods to delete, status.
 *
 * Pure.  The rules are those of Kubernetes' ReplicaSet controller: terminating and finished
 * pods do not count; when there are too many, those that serve least go first.
 */
#ifndef REPLICASET_PLAN_H
#define REPLICASET_PLAN_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RS_BURST = 250 }; /* creates or deletes in one plan */

struct rs_pod {
	struct str name;
	struct str node;       /* "" = not bound */
	int64_t created_s;     /* Unix time */
	int64_t ready_s;       /* since when ready; 0 = not ready */
	int64_t deletion_cost; /* annotation controller.kubernetes.io/pod-deletion-cost */
	uint32_t restarts;
	bool running;    /* phase Running */
	bool unknown;    /* phase Unknown */
	bool finished;   /* phase Succeeded or Failed */
	bool deleting;   /* deletionTimestamp is set */
	bool all_labels; /* carries every label of the template */
};

struct rs_input {
	int64_t replicas;    /* wanted */
	int64_t min_ready_s; /* ready for so long = available */
	bool deleting;       /* the ReplicaSet itself is going: nothing is created or deleted */
	const struct rs_pod *pods;
	size_t pods_len;
	int64_t now_s;
};

struct rs_plan {
	size_t create;            /* so many new pods */
	const size_t *delete_idx; /* indexes into pods, in the order to delete */
	size_t delete_len;
	/* status */
	int64_t replicas, fully_labeled, ready, available;
	/* When a ready pod becomes available, seconds from now; 0 = nothing to wait for. */
	int64_t again_s;
};

struct rs_plan replicaset_plan(struct arena *a, const struct rs_input *in);

#endif
