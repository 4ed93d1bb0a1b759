/*
 * objects - the series that are made of the objects of the API: silent nodes and zones, pods in a crash loop, silent
 * clusters.
 *
 *   rctl_node_silent{node, zone, network_az, region}        a Node whose Ready is Unknown, or False for 30 s
 *   rctl_zone_silent{axis, zone, network_az, region}        a place most of whose nodes are silent, see topology.h; its
 *                                                           value is their number; for templates there are also
 *                                                           __nodes__ (of the place) and __members__ (names)
 *   rctl_pod_crashlooping{namespace, pod, container, node}  a container that waits in CrashLoopBackOff
 *   rctl_cluster_silent{cluster, region, …}                 a Cluster that is not Reachable for spec.alerts.silentAfter
 *   rctl_watchdog                                           always there: an alert that says that alerts arrive
 *
 * The value of the others is 1.  Nodes that are cordoned are told: what is said of them is not to be notified, and they
 * do not make a zone silent.  One loop owns all of it.
 */
#ifndef OBJECTS_H
#define OBJECTS_H

#include "base/map.h"
#include "ctl/ctl.h"
#include "query.h"
#include "topology.h"

struct objects {
	struct map nodes;    /* name → struct object; all of them */
	struct map pods;     /* NAMESPACE/NAME → struct object; only those that crash */
	struct map clusters; /* name → struct object */
	void (*on_change)(void *arg, enum builtin what); /* some series came, went or changed */
	void (*on_cluster)(void *arg);                   /* a cluster came or went */
	void (*on_cordon)(void *arg, struct str node, bool cordoned); /* that changed */
	void *arg;
	struct topology topology;
};

/* global: watches Clusters; else Nodes and Pods. */
void objects_init(struct objects *o, struct ctl *ctl, struct client *client, bool global);
void objects_fini(struct objects *o);

/* The series now, in the arena, borrowing the objects' strings. */
void objects_series(struct objects *o, enum builtin what, struct arena *a, struct series **ret,
		    size_t *ret_len);

struct objects_cluster {
	struct str name, region;
	bool reachable;
};
/* All clusters, in the arena. */
void objects_clusters(const struct objects *o, struct arena *a, struct objects_cluster **ret,
		      size_t *ret_len);

#endif
