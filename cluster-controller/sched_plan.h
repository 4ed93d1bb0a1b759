/*
 * sched_plan - on which node a pod is to run, or why on none.
 *
 * Pure and stable: the same input gives the same node; equal nodes are told apart by a hash of pod uid and node name,
 * so pods spread without a random number.  Filters and scores follow Kubernetes' default
 * scheduler: ready and schedulable, nodeName, nodeSelector, required node affinity, taints and
 * tolerations, resources (cpu, memory, pods and any other resource asked for), topology spread (DoNotSchedule filters, ScheduleAnyway
 * scores); least-allocated nodes score higher.  Messages read as the default scheduler's.
 */
#ifndef SCHED_PLAN_H
#define SCHED_PLAN_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sched_label {
	struct str key, value;
};

struct sched_labels {
	const struct sched_label *list;
	size_t len;
};

enum sched_effect { SCHED_NO_SCHEDULE, SCHED_PREFER_NO_SCHEDULE, SCHED_NO_EXECUTE };

struct sched_taint {
	struct str key, value;
	enum sched_effect effect;
};

struct sched_toleration {
	struct str key, value; /* key "" with exists = everything */
	bool exists;           /* operator Exists, else Equal */
	bool any_effect;
	enum sched_effect effect;
};

/* A resource that a pod asks for or a node has; cpu in milli units, others in whole units. */
struct sched_resource {
	struct str name;
	int64_t amount;
};

enum { SCHED_RESOURCES_MAX = 16 };

struct sched_resources {
	struct sched_resource list[SCHED_RESOURCES_MAX];
	size_t len;
};

enum sched_op { SCHED_IN, SCHED_NOT_IN, SCHED_EXISTS, SCHED_NOT_EXISTS, SCHED_GT, SCHED_LT };

struct sched_requirement {
	struct str key;
	enum sched_op op;
	const struct str *values;
	size_t values_len;
};

/* All requirements of a term must hold. */
struct sched_term {
	const struct sched_requirement *list;
	size_t len;
};

struct sched_spread {
	struct str topology_key;
	int64_t max_skew;
	int64_t min_domains;        /* 0 = not given */
	bool hard;                  /* DoNotSchedule */
	bool honor_taints;          /* nodeTaintsPolicy: Honor */
	bool ignore_affinity;       /* nodeAffinityPolicy: Ignore */
	struct sched_term selector; /* of the pods that count, matchLabelKeys included */
};

/* A pod that is bound already. */
struct sched_placed {
	struct str ns;
	struct sched_labels labels;
	bool deleting;
};

struct sched_node {
	struct str name;
	struct sched_labels labels;
	const struct sched_taint *taints;
	size_t taints_len;
	bool unschedulable;                       /* spec.unschedulable */
	bool not_ready;                           /* its condition Ready is not True */
	struct sched_resources allocatable, used; /* "pods" is one of them */
	const struct sched_placed *pods;
	size_t pods_len;
};

struct sched_pod {
	struct str uid, ns;
	struct sched_labels labels;
	struct sched_resources requests; /* without "pods" */
	const struct sched_label *node_selector;
	size_t node_selector_len;
	const struct sched_term *affinity; /* required node affinity: one of the terms */
	size_t affinity_len;
	const struct sched_toleration *tolerations;
	size_t tolerations_len;
	const struct sched_spread *spreads;
	size_t spreads_len;
};

enum { SCHED_NONE = -1 };

/*
 * Index of the chosen node, or SCHED_NONE with the reason appended to `why`:
 * "0/4 nodes are available: 1 node(s) had untolerated taint {key: value}, 3 Insufficient cpu."
 */
int sched_plan(struct arena *a, const struct sched_pod *pod, const struct sched_node *nodes,
	       size_t n, struct buf *why);

/* Adds to the resource `name`. */
void sched_resources_add(struct sched_resources *r, struct str name, int64_t amount);
int64_t sched_resources_get(const struct sched_resources *r, struct str name);

bool sched_term_matches(const struct sched_term *t, const struct sched_labels *labels);
bool sched_tolerates(const struct sched_toleration *list, size_t n,
		     const struct sched_taint *taint);
struct str sched_label_get(const struct sched_labels *labels, struct str key); /* p NULL = absent */

#endif
