/* names - labels, annotations and finalizers of the fleet; docs/how-to/operate-a-fleet.md explains them to people. */
#ifndef NAMES_H
#define NAMES_H

#define FLEET_MANAGER "resource-controller"

/* On objects in clusters. */
#define FLEET_LABEL_MANAGED "fleet.rctl.io/managed-by" /* = FLEET_MANAGER */
#define FLEET_NOTE_ORIGIN   "fleet.rctl.io/origin-uid" /* uid of the object in the global API */
#define FLEET_NOTE_HASH     "fleet.rctl.io/content"    /* hash of what was applied */

/* On workloads in the global API, and of the first also on their copies. */
#define FLEET_NOTE_PLACEMENT \
	"fleet.rctl.io/placement" /* Placement that placed it: "NAME" or "NAME@GENERATION" */
#define FLEET_NOTE_PLACED \
	"fleet.rctl.io/placed" /* where it may be: "eu-1=3,us-1=-"; see records.h */
#define FLEET_FINALIZER "fleet.rctl.io/placement" /* removed from the clusters first */

/* On Placements: the fuse is raised to so many clusters. */
#define FLEET_NOTE_REMOVALS "fleet.rctl.io/removals-max"

/* On Clusters: what is to be removed there once it can be reached; see tombstones.h */
#define FLEET_NOTE_TOMBSTONES "fleet.rctl.io/tombstones"

/* Kept out of copies: other tools' bookkeeping of the global object. */
#define NOTE_LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define NOTE_REVISION     "deployment.kubernetes.io/revision"

#endif
