/* placement_priv - shared by the files of the placement plan. */
#ifndef PLACEMENT_PRIV_H
#define PLACEMENT_PRIV_H

#include "placement_plan.h"

/* One cluster in the course of planning. */
struct place_work {
	const struct place_cluster *c;
	int64_t record;  /* of the input; what exists unrecorded counts as recorded */
	int64_t current; /* replicas there, 0 when it does not exist */
	int64_t ready;   /* ready there, no more than current and record allow */
	bool up;
	bool match;  /* in question by names, labels and taints */
	bool avoid;  /* a taint says: if it can be helped */
	bool moved;  /* failing for so long that its share goes elsewhere */
	bool lost;   /* has a share, but is not in question any more */
	bool frozen; /* chosen, has a share, cannot be reached: the share stands */
	bool chosen;
	size_t region; /* index into regions */
	int64_t target;
	struct str why; /* reason that is not the usual one */
};

struct place_region {
	struct str name;
	size_t clusters, chosen; /* in question, chosen */
	bool held;               /* one of its clusters has a share */
	bool good;               /* nothing speaks against one of its clusters */
};

struct place_scene {
	struct arena *arena;
	const struct place_input *in;
	struct place_work *w; /* in->clusters_len */
	size_t len;
	struct place_region *regions;
	size_t regions_len;
	uint64_t again_ms;
};

static inline bool place_holds(const struct place_work *w)
{
	return w->record >= 0;
}

/* What a cluster has or was last known to have. */
static inline int64_t place_held(const struct place_work *w)
{
	if (!place_holds(w))
		return 0;
	return w->current > w->record ? w->current : w->record;
}

static inline bool place_divides(const struct place_scene *s)
{
	return s->in->spec->divide && s->in->scalable;
}

/* Fills match, avoid, moved, lost and frozen. */
void place_match(struct place_scene *s);

/* Picks by spread; PLACE_OK, PLACE_TOO_FEW or PLACE_NOWHERE with *why. */
enum place_verdict place_choose(struct place_scene *s, struct str *why);

/* Fills target and the usual reasons of all clusters. */
void place_targets(struct place_scene *s);

#endif
