/*
 * topology - which places are silent: zones, networks, regions of a cluster, judged by their nodes.
 *
 * A zone or network is silent when PLACE_SILENT_MIN of its nodes are and these are half of all, and stays so until no
 * more than a third is; a region of several zones when all of them are.  Nodes that are excused (cordoned) count neither
 * way.  A zone and a network that have the same nodes are one place.
 *
 * Each place carries the names of the places around it, so that alerts of what is inside can be inhibited by one of
 * what is around it: see inhibit_builtin.
 *
 * Nothing but memory: no clock, no I/O.
 */
#ifndef TOPOLOGY_H
#define TOPOLOGY_H

#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"
#include "query.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	PLACE_SILENT_MIN = 3,
	PLACE_SILENT_PERCENT = 50,
	PLACE_HOLD_MS = 5000,
	PLACE_MEMBERS_BYTES_MAX = 32768, /* names beyond are counted only */
};

struct topology_node {
	struct str name, region, zone, network; /* "" = not said */
	bool silent, excused;
	size_t peers; /* set by topology_run: nodes of its zone or network, whichever has more */
};

enum topology_axis { AXIS_ZONE, AXIS_NETWORK, AXIS_BOTH, AXIS_REGION };
const char *topology_axis_name(enum topology_axis x); /* zone, network, both, region */

/* A silent place.  Of the names those that all its nodes share. */
struct topology_place {
	enum topology_axis axis;
	struct str region, zone, network;
	size_t nodes, silent;
	struct str members; /* who was silent since the place is, "a, b and 3 more", sorted */
};

struct topology {
	struct map down; /* AXIS/NAME → who was silent (struct map) */
};

void topology_init(struct topology *t, uint64_t seed);
void topology_fini(struct topology *t);

/* Takes a place for silent, as one remembers that was away: axis as named, and its names. */
void topology_recall(struct topology *t, struct str axis, struct str region, struct str zone,
		     struct str network);

/* The silent places, sorted by axis and name, in the arena. */
void topology_run(struct topology *t, struct arena *a, struct topology_node *nodes, size_t n,
		  struct topology_place **ret, size_t *ret_len);

/* How long the node is silent before its own alert fires, so that its place can be recognized first. */
int64_t topology_hold_ms(const struct topology_node *x);

/* The series rctl_zone_silent, see objects.h; borrows the places' strings. */
void topology_series(struct arena *a, const struct topology_place *places, size_t n,
		     struct series **ret, size_t *ret_len);

#endif
