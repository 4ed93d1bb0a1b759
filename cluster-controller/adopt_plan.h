/*
 * adopt_plan - whose pod (or ReplicaSet) is it: what an owner takes in and lets go.
 *
 * Pure.  The rules of Kubernetes' controller references:
 *   - what another controller owns is never touched;
 *   - what the owner owns and its selector no longer matches is released, unless the owner is going;
 *   - what nobody owns, matches and is not going is adopted, unless the owner is going.
 * Whoever carries out an adoption asks the API for the owner once more first: the view may be from before the
 * owner was deleted with its dependents orphaned, and would take them right back.
 */
#ifndef ADOPT_PLAN_H
#define ADOPT_PLAN_H

#include "sched_plan.h"

enum adopt_what { ADOPT_NOTHING, ADOPT_TAKE, ADOPT_RELEASE };

struct adopt_owner {
	struct str uid, ns;
	struct sched_term selector;
	bool deleting;
};

struct adopt_child {
	struct str ns;
	struct str controller_uid; /* "" = nobody's */
	struct sched_labels labels;
	bool deleting;
	bool finished; /* pods: Succeeded or Failed; left as they are */
};

enum adopt_what adopt_plan(const struct adopt_owner *o, const struct adopt_child *c);

#endif
