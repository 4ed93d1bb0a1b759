/*
 * topology - the labels that the server puts onto what a node sends: node, region, zone, network_az, cluster.
 */
#ifndef TOPOLOGY_H
#define TOPOLOGY_H

#include "base/arena.h"
#include "telemetry/labels.h"

struct watch_obj;

enum { TOPOLOGY_LABELS = 5 };

/* From the Node's labels; node NULL: only the cluster and the name.  Copied into the arena. */
struct labels topology_labels(struct arena *a, struct str cluster, struct str node_name,
			      const struct watch_obj *node);

#endif
