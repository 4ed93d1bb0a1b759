/* adopt - carries out what adopt_plan decides, for ReplicaSets over pods and Deployments over ReplicaSets. */
#ifndef ADOPT_H
#define ADOPT_H

#include "adopt_plan.h"
#include "controllers.h"
#include "job.h"

/*
 * Sends what is to be adopted and released.  true: something is, and the rest of the reconcile waits for
 * the outcome.
 */
bool adopt_pods(struct controllers *c, struct job *j, const struct rs *r);
bool adopt_sets(struct controllers *c, struct job *j, const struct deployment *d);

/* Makes the owners due that may adopt this ownerless one. */
void adopt_find_sets(struct controllers *c, const struct pod *p);
void adopt_find_deployments(struct controllers *c, const struct rs *r);

#endif
