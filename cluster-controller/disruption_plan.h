/*
 * disruption_plan - how many of a PodDisruptionBudget's pods may be evicted now.
 *
 * Pure.  The rules are those of Kubernetes' disruption controller: healthy is a ready pod that is not
 * going; a pod whose eviction was granted counts as gone until it is, or until the grant is
 * DISRUPTION_GRANT_S old.  The API grants an eviction by writing it into the status, in one transaction with the
 * deletion; so the status that a plan makes must be written on condition that it is still the one that was read.
 */
#ifndef DISRUPTION_PLAN_H
#define DISRUPTION_PLAN_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISRUPTION_GRANT_S = 120 };

/* minAvailable or maxUnavailable. */
struct disruption_bound {
	bool set, percent;
	int64_t value;
};

struct disruption_pod {
	struct str name;
	bool ready;
	bool deleting;
	size_t owner;      /* index into scales; SIZE_MAX = nobody's */
	int64_t granted_s; /* time of the grant in the status; 0 = none */
};

struct disruption_input {
	struct disruption_bound min_available, max_unavailable;
	const struct disruption_pod *pods; /* those that the selector matches */
	size_t pods_len;
	const int64_t *scales; /* replicas wanted by each owner of these pods */
	size_t scales_len;
	int64_t now_s;
};

struct disruption_plan {
	int64_t expected, desired, healthy, allowed;
	const size_t *granted_idx; /* pods whose grant stays in the status */
	size_t granted_len;
	/* When a grant ends, seconds from now; 0 = nothing to wait for. */
	int64_t again_s;
};

struct disruption_plan disruption_plan(struct arena *a, const struct disruption_input *in);

#endif
