/* workload - one object of the global API with its copies, in the course of a reconcile. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "fleet.h"
#include "member.h"
#include "records.h"

struct copy {                  /* beside plan input and share of the same index */
	struct member *member; /* NULL: only a record is left */
	struct json *have;     /* what the cluster shows, or NULL */
	bool ours;             /* have comes from this very object */
};

struct workload {
	struct fleet *fleet;
	struct job *job;
	struct arena *arena; /* the job's */
	const struct kind *kind;
	struct str key, ns, name, uid;
	struct json *obj;
	bool deleting, has_finalizer, scalable;
	struct placement *placement; /* or NULL */
	struct str placed_by;        /* Placement of the records, "" */
	int64_t placed_generation;
	struct records records;
	struct place_cluster *clusters;
	struct copy *copies;
	size_t len;
	struct place_plan plan;
	struct str trouble; /* first thing that could not be done */
};

void workload_trouble(struct workload *w, struct str text);

/* apply.c: carries the shares out; returns whether all that can be reached is as it is to be. */
bool workload_apply(struct workload *w);

/* progress.c: sums the status of the copies up into the object's own. */
void workload_progress(struct workload *w, bool applied);

/* apply.c: the namespace and all that `refs` names are in the cluster; else sends what is missing. */
bool workload_deps(struct workload *w, size_t i, const struct refs *refs);

#endif
