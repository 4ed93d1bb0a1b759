/* spec - Placements and Clusters as the plan's plain structs.  Pure. */
#ifndef SPEC_H
#define SPEC_H

#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"
#include "placement_plan.h"

#include <stdint.h>

struct spec_target {
	struct str api_version, kind;
	struct str name; /* "" = by selector */
	struct label_selector selector;
};

struct spec_placement {
	struct place_spec place;
	struct spec_target *targets;
	size_t targets_len;
};

/* Strings are in the arena.  ERR_INVALID for a selector that makes no sense. */
ATTR_MUSTCHECK int spec_read_placement(struct arena *a, const struct json *obj,
				       struct spec_placement *ret, struct error *err);

bool spec_selects(const struct spec_placement *p, struct str api_version, struct str kind,
		  struct str name, const struct json *labels);

/* name, region, labels, taints and unschedulable of a Cluster object; labels and strings in the arena. */
void spec_read_cluster(struct arena *a, const struct json *obj, struct place_cluster *ret);

/* "30s", "1m30s" … in milliseconds; `or_else` when it cannot be read. */
uint64_t spec_duration_ms(const struct json *j, uint64_t or_else);

#endif
