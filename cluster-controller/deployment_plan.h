/*
 * deployment_plan - the next step of a Deployment's rollout.
 *
 * Pure.  Semantics of Kubernetes' deployment controller: RollingUpdate never goes below
 * replicas - maxUnavailable available pods nor above replicas + maxSurge pods; Recreate stops the old before it
 * starts the new; a rollout that makes no progress for its deadline is reported, never undone.
 */
#ifndef DEPLOYMENT_PLAN_H
#define DEPLOYMENT_PLAN_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEPLOY_SETS_MAX = 256 }; /* ReplicaSets of one Deployment that are looked at */

struct deploy_set {
	struct str name;
	int64_t created_s;
	int64_t revision; /* annotation deployment.kubernetes.io/revision; 0 = none */
	bool current;     /* its template is the Deployment's */
	bool deleting;
	int64_t want;                       /* spec.replicas */
	int64_t replicas, ready, available; /* status */
	bool observed;                      /* status is of its current generation */
	size_t pods;                        /* pods that still exist, terminating ones too */
};

struct deploy_input {
	int64_t replicas;
	bool recreate;
	int64_t max_surge, max_unavailable; /* resolved, not both 0 */
	bool paused, deleting;
	int64_t history_limit; /* old empty sets to keep */
	int64_t deadline_s;    /* progressDeadlineSeconds */
	int64_t progress_s;    /* when the Progressing condition last moved; 0 = never */
	bool was_complete;     /* Progressing has reason NewReplicaSetAvailable */
	bool was_timed_out;    /* … ProgressDeadlineExceeded */
	int64_t old_updated, old_ready, old_available,
		old_replicas; /* status as stored: has anything moved? */
	const struct deploy_set *sets;
	size_t sets_len;
	int64_t now_s;
};

enum deploy_progress {
	DEPLOY_PROGRESSING, /* ReplicaSetUpdated / NewReplicaSetCreated */
	DEPLOY_COMPLETE,    /* NewReplicaSetAvailable */
	DEPLOY_TIMED_OUT,   /* ProgressDeadlineExceeded */
	DEPLOY_PAUSED,
};

struct deploy_scale {
	size_t set; /* index */
	int64_t replicas;
};

struct deploy_plan {
	bool create; /* a set for the current template, with create_replicas and `revision` */
	int64_t create_replicas;
	int64_t revision;  /* of the current set: 1 + the greatest of the others */
	bool set_revision; /* the current set exists with a smaller one (undo) */
	struct deploy_scale *scale;
	size_t scale_len;
	size_t *drop; /* sets beyond the history, oldest first */
	size_t drop_len;
	/* status */
	int64_t status_replicas, updated, ready, available, unavailable;
	bool minimum_available; /* condition Available */
	enum deploy_progress progress;
	bool moved;      /* progress was made: the deadline starts again */
	int64_t again_s; /* look again in so many seconds; 0 = events suffice */
};

struct deploy_plan deployment_plan(struct arena *a, const struct deploy_input *in);

/*
 * maxSurge or maxUnavailable ("25%" or a number) of `replicas`: surge rounds up, unavailable down.
 * Both 0 gives unavailable 1 (deployment_resolve).
 */
void deployment_resolve(struct str surge, struct str unavailable, int64_t replicas,
			int64_t *ret_surge, int64_t *ret_unavailable);

#endif
