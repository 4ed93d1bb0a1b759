/*
 * fleet - what the controller knows: the objects of the global API, and a member for each Cluster.
 *
 * Objects are kept as the texts of their informers and read where they are needed; only Placements and
 * Clusters are kept as plain structs.  One loop owns all of it.
 */
#ifndef FLEET_H
#define FLEET_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "ctl/ctl.h"
#include "fetch/fetch.h"
#include "job.h"
#include "placement_plan.h"
#include "refs.h"
#include "spec.h"

#include <stdbool.h>
#include <stdint.h>

enum { FLEET_KINDS_MAX = 64 };

struct member;

/* A kind whose objects are copied to clusters. */
struct kind {
	struct fleet *fleet;
	size_t index;
	const char *api_version, *name; /* "apps/v1", "Deployment" */
	const char *base, *plural;      /* "/apis/apps/v1", "deployments" */
	bool broadcast;                 /* goes to every cluster of ours, no Placement */
	bool native;                    /* only clusters of our own have it */
	bool has_status, synced;
	struct client_informer *global;
};

struct placement {
	struct arena arena;
	struct str key, ns, name, uid, created;
	int64_t generation;
	bool deleting, has_finalizer;
	struct spec_placement spec;
	struct str bad; /* why the spec cannot be used, "" */
};

/* What the last reconcile of a workload found: Placements tell it in their status. */
struct outcome_share {
	struct str cluster;
	int64_t replicas, ready;
	int64_t last_ready; /* when the cluster was last seen, -1 = not known */
	enum place_phase phase;
	struct str reason;
	bool left; /* nothing is to be done before the cluster can be reached */
};

struct outcome {
	struct arena arena;
	struct str placement; /* key, "" = none */
	enum place_verdict verdict;
	struct str message;
	struct str trouble; /* what could not be applied, "" */
	struct outcome_share *shares;
	size_t shares_len;
	bool settled, applied;
	int64_t desired, ready;
};

struct fleet_config {
	struct ctl *ctl;
	struct client *client; /* the global API */
	struct fetch *fetch;
	struct loop *loop;
	const struct client_config *own; /* credential where a Cluster names none; borrowed */
	int64_t probe_ms, silent_ms;
	int64_t removals_max; /* copies of living workloads removed in ten minutes */
};

struct fleet {
	struct fleet_config cfg;
	struct kind kinds[FLEET_KINDS_MAX];
	size_t kinds_len;
	struct client_informer *i_placements, *i_clusters, *i_namespaces, *i_regions, *i_zones;
	struct client_informer *deps
		[REF_KINDS];   /* [REF_SECRET] unused: Secrets are watched a namespace at a time */
	struct map secrets;    /* namespace → struct secrets */
	struct map placements; /* key → struct placement */
	struct map members;    /* name → struct member */
	struct list retired;   /* members whose Cluster is gone */
	struct map outcomes;   /* workload key → struct outcome */
	struct map troubles;   /* "CLUSTER WORKLOAD" → char *: why the last write failed */
	struct map doubts; /* "CLUSTER WORKLOAD" → uint64_t *: when a write's outcome was lost */
	struct job_list jobs;
	struct ctl_queue *workloads, *status, *clusters, *sweeps, *topology, *namespaces;
	/* discovery of kinds that Placements name */
	bool discovering;
	uint64_t discovered_ms;
	/* removals in the current window, see workload.c */
	int64_t removals;
	uint64_t removals_since_ms;
	bool by_capacity; /* some Placement asks for free resources: pods are watched */
};

struct fleet *fleet_new(const struct fleet_config *cfg);
struct fleet *fleet_free(struct fleet *f); /* after ctl_free */

/* Drops an informer; NULL is fine, and after the manager went nothing is left to drop. */
void fleet_unwatch(struct fleet *f, struct client_informer *i);

/* ---- objects ---- */

/* The object in the arena, or NULL when there is none (or, never seen, it cannot be read). */
struct json *fleet_read(struct arena *a, const struct client_informer *i, struct str key);

/* The source of what a workload refers to; NULL = none.  *known is false while that cannot be told yet. */
struct json *fleet_read_ref(struct arena *a, struct fleet *f, struct str ns, const struct ref *r,
			    bool *known);

/* "Deployment.apps/v1 NS/NAME" and back (the strings point into key). */
struct str fleet_workload_key(struct arena *a, const struct kind *k, struct str object_key);
struct kind *fleet_workload_of(struct fleet *f, struct str key, struct str *ret_object_key);
struct kind *fleet_kind(struct fleet *f, struct str api_version, struct str name);

/* The Placement that decides: the oldest that selects it and is not being deleted. */
struct placement *fleet_placement_of(struct fleet *f, const struct kind *k, const struct json *obj);
struct placement *fleet_placement(struct fleet *f, struct str key);
/* Calls fn with the key of each object of every kind that p selects. */
void fleet_each_target(struct fleet *f, const struct placement *p,
		       void (*fn)(void *arg, const struct kind *k, struct str object_key),
		       void *arg);

/* Kinds that p names and nobody knows yet are looked for, now and then. */
void fleet_need_kinds(struct fleet *f, const struct placement *p);

/* "/apis/apps/v1/namespaces/NS/deployments/NAME" */
const char *fleet_path(struct arena *a, const char *base, const char *plural, struct str ns,
		       struct str name);
const char *fleet_kind_path(struct arena *a, const struct kind *k, struct str ns, struct str name);
/* base and plural of what workloads refer to */
const char *fleet_ref_plural(enum ref_kind k);
const char *fleet_ref_name(enum ref_kind k); /* "ConfigMap" */

/* ---- what changed ---- */

void fleet_add_all(struct fleet *f); /* every workload is looked at again */
/* What member m holds of a kind changed, or its contact (key of the workload, or all). */
void fleet_member_changed(struct fleet *f, struct member *m);
void fleet_copy_changed(struct fleet *f, struct member *m, const struct kind *k,
			struct str object_key);
void fleet_dep_changed(struct fleet *f, struct member *m, struct str object_key);
void fleet_add_in_namespace(struct fleet *f, struct str ns);

/* ---- why the last write of a workload to a cluster failed ---- */

struct str fleet_trouble(const struct fleet *f, struct str cluster, struct str workload);
void fleet_set_trouble(struct fleet *f, struct str cluster, struct str workload, const char *text);

/*
 * A write of the workload to the cluster had no answer: until the cluster was asked again, what the cache shows
 * of it proves nothing.  0 = no doubt, else since when.
 */
uint64_t fleet_doubt(const struct fleet *f, struct str cluster, struct str workload);
void fleet_set_doubt(struct fleet *f, struct str cluster, struct str workload, bool on);

/* ---- the queues ---- */

void workload_reconcile(void *arg, struct ctl_queue *q, struct str key);
void status_reconcile(void *arg, struct ctl_queue *q, struct str key);
void cluster_reconcile(void *arg, struct ctl_queue *q, struct str key);
void sweep_reconcile(void *arg, struct ctl_queue *q, struct str key);
void topology_reconcile(void *arg, struct ctl_queue *q, struct str key);
void namespace_reconcile(void *arg, struct ctl_queue *q, struct str key);

#endif
