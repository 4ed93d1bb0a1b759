/* bury - tombstones on Cluster objects: what to remove there once it can be reached. */
#ifndef BURY_H
#define BURY_H

#include "fleet.h"
#include "records.h"

struct tombstones bury_list(struct arena *a, const struct fleet *f, const struct member *m);

/*
 * Whether the tombstone stands (as the cache shows it); else it is sent.  ERR_LIMIT in *err, which may be NULL,
 * when the Cluster has no room for more.
 */
bool bury(struct fleet *f, struct job *j, const struct member *m, const struct tombstone *x,
	  struct error *err);

#endif
