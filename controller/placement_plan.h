/*
 * placement_plan - decides in which clusters one workload runs, with how many replicas, and what may be changed now.
 *
 * Pure: no clock, no I/O; the same input gives the same plan.  Nothing is remembered between
 * plans but what the caller keeps durably for each cluster: its record.  That there is one says that the workload
 * may be there; its number is a floor: so many replicas were seen ready there and were not taken away.  It is
 * written before a share shrinks, and after what it grew by was seen ready.
 *
 * Promises, whatever is stale, lost or partitioned:
 *   - in a cluster that cannot be reached nothing is changed and nothing deleted;
 *   - a share shrinks only by replicas that are not ready, or while the replicas that are ready in all
 *     clusters that can be reached stay at or above what those clusters are to run (make before break), unless the
 *     user deleted the workload or its Placement;
 *   - a replica counts as ready only within the record of its cluster, so that a shrink whose
 *     reply was lost, or that a predecessor asked for before it crashed, is never counted on;
 *   - the share of a lost cluster is given up once its replacement is ready, and removed when the cluster returns
 *     unless it is then given a share again;
 *   - when more clusters than the fuse allows would lose the workload though nobody changed the Placement, nothing is
 *     changed and the plan says so.
 */
#ifndef PLACEMENT_PLAN_H
#define PLACEMENT_PLAN_H

#include "base/arena.h"
#include "base/str.h"
#include "selector/label.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PLACE_CLUSTERS_MAX = 4096, /* clusters of one plan */
	PLACE_REPLICAS_MAX = 1 << 24,
};

/* ---- what the Placement asks for ---- */

enum place_effect {
	PLACE_EFFECT_ANY,
	PLACE_PREFER_NO_SCHEDULE,
	PLACE_NO_SCHEDULE,
	PLACE_NO_EXECUTE
};

struct place_taint {
	struct str key, value;
	enum place_effect effect;
};

struct place_toleration {
	struct str key, value; /* key "" with exists: every taint */
	bool exists;           /* operator Exists: any value */
	enum place_effect effect;
};

struct place_weight {
	struct str cluster, region; /* one of them */
	int64_t weight;
};

struct place_spread {
	int64_t min, max, skew; /* 0 = not given */
};

struct place_spec {
	struct label_selector selector;
	bool has_names;
	const struct str *names, *excludes;
	size_t names_len, excludes_len;
	const struct place_toleration *tolerations;
	size_t tolerations_len;
	struct place_spread regions, clusters;
	bool divide;      /* else every chosen cluster runs all replicas */
	bool by_capacity; /* Divide by free resources, else by weights */
	const struct place_weight *weights;
	size_t weights_len;
	bool failover; /* shares of failing clusters move after move_after_ms … */
	uint64_t move_after_ms;
	bool keep_disconnected; /* … but not of those that cannot be reached */
	bool suspend;
	int64_t removals_max; /* the fuse is raised to so many clusters; 0 = as usual */
};

/* ---- what is known ---- */

enum place_contact {
	PLACE_UNKNOWN, /* not known yet: this process just started, or the Cluster is new */
	PLACE_UP,      /* can be reached, and what it holds was listed */
	PLACE_DOWN,
};

enum {
	PLACE_UNRECORDED = -1, /* nothing of the workload is there as far as we know */
	PLACE_LEAVING = -2,    /* given up: to be removed once the cluster can be reached */
};

struct place_cluster {
	struct str name, region;
	const struct label_pair *labels;
	size_t labels_len;
	const struct place_taint *taints;
	size_t taints_len;
	bool listed;        /* there is a Cluster object; else only its record is left */
	bool unschedulable; /* nothing new */
	enum place_contact contact;
	bool well;           /* PLACE_UP: has a node that is ready */
	uint64_t failing_ms; /* down or not well for so long */
	int64_t fits;        /* by_capacity: further replicas that fit */
	int64_t record;      /* floor that was recorded last, or PLACE_UNRECORDED, PLACE_LEAVING */
	int64_t standing; /* not PLACE_UP: ready replicas when it was last seen, -1 = not known */
	/* seen there; only with PLACE_UP */
	bool exists, deleting;
	int64_t current; /* spec.replicas there; 1 when it has none */
	int64_t ready;   /* ready replicas there */
};

struct place_input {
	const struct place_spec *spec; /* the Placement, or NULL: none selects the workload */
	bool released; /* the Placement that had it was deleted or does not select it any more */
	bool deleting; /* the workload itself is being deleted */
	bool scalable; /* has replicas; else it is there or not */
	int64_t replicas;
	bool same_request; /* the Placement did not change since the records were written */
	const struct place_cluster *clusters; /* sorted by name, each once */
	size_t clusters_len;                  /* at most PLACE_CLUSTERS_MAX */
};

/* ---- what to do ---- */

enum place_act {
	PLACE_STAY,   /* change nothing */
	PLACE_APPLY,  /* have it there with .replicas */
	PLACE_REMOVE, /* delete what is ours there */
};

enum place_phase { /* of status.decisions[].phase */
		   PLACE_PENDING,
		   PLACE_APPLIED,
		   PLACE_READY,
		   PLACE_UNREACHABLE,
		   PLACE_MOVING,
		   PLACE_REMOVING,
		   PLACE_SUSPENDED,
};

struct place_share {
	enum place_act act; /* allowed only once `record` is durable */
	int64_t replicas;   /* PLACE_APPLY; else what stands */
	int64_t target;     /* where it is going */
	int64_t record;     /* to be kept; may equal what was recorded */
	bool decided;       /* belongs into status.decisions */
	enum place_phase phase;
	struct str reason; /* one sentence, in the arena or static */
};

enum place_verdict {
	PLACE_OK,
	PLACE_NOT_SELECTED, /* no Placement */
	PLACE_WAITING,      /* a cluster in question is not known yet */
	PLACE_TOO_FEW,      /* fewer regions or clusters than asked for: nothing changes */
	PLACE_NOWHERE,      /* no cluster in question */
	PLACE_FUSE,         /* too many would lose it: nothing changes */
	PLACE_HELD,         /* suspended */
	PLACE_LEAVES,       /* deleted or released */
};

struct place_plan {
	struct place_share *shares; /* clusters_len, in the order of the input; in the arena */
	enum place_verdict verdict;
	struct str message; /* why, one sentence */
	int64_t desired;    /* sum of the targets */
	int64_t ready;      /* in clusters that can be reached */
	bool records_changed;
	size_t lost;       /* clusters that hold a share and are not in question any more */
	bool settled;      /* all is as it is to be */
	uint64_t again_ms; /* 0, or when time alone makes another plan */
};

void placement_plan(struct arena *a, const struct place_input *in, struct place_plan *ret);

/*
 * Shares `total` out in proportion to weights[0..n-1] by the method of the largest remainder.
 * Equal remainders go to the larger held[] (what is there now), then to the lower index.  All weights 0: all 0.
 */
void placement_divide(struct arena *a, int64_t total, const int64_t *weights, const int64_t *held,
		      size_t n, int64_t *ret);

/* Moves as little as possible between the n shares so that no two differ by more than `skew`; the sum stays. */
void placement_level(int64_t *shares, size_t n, int64_t skew);

const char *placement_phase_name(enum place_phase p);

#endif
