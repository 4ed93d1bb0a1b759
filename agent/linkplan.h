/*
 * agent/linkplan - which API endpoint to try next, and when.  Pure.
 *
 * Endpoints of the node's own network AZ first, then of its region, then any; within a class in an order
 * shuffled by `seed`, so that nodes spread.  After all have been tried the wait before the next round is drawn
 * uniformly from 0 to a bound that doubles from 0.8 s to 30 s (full jitter), so that a fleet does not come
 * back as one.
 */
#ifndef AGENT_LINKPLAN_H
#define AGENT_LINKPLAN_H

#include <stddef.h>
#include <stdint.h>

enum { LINK_ENDPOINTS_MAX = 64, LINK_WAIT_MIN_MS = 800, LINK_WAIT_MAX_MS = 30000 };

enum link_class { LINK_SAME_AZ, LINK_SAME_REGION, LINK_ELSEWHERE };

struct link_endpoint {
	char address[256];
	char region[64], network_az[64];
};

struct link_plan {
	struct link_endpoint endpoints[LINK_ENDPOINTS_MAX];
	size_t len;
	char region[64], network_az[64]; /* of the node */
	size_t order[LINK_ENDPOINTS_MAX];
	size_t at;       /* into order: the next to try */
	uint32_t rounds; /* all tried without success, in a row */
};

enum link_class link_class_of(const struct link_plan *p, size_t endpoint);

/* Takes a new list (address "" entries are left out) and begins with its best. */
void link_plan_set(struct link_plan *p, const struct link_endpoint *list, size_t n, uint64_t seed);

/* The endpoint to try now (an index), after waiting *wait_ms.  `random` is a fresh random number.  len must not be 0. */
size_t link_plan_next(struct link_plan *p, uint64_t random, uint64_t *wait_ms);

/* It worked: the next loss starts with the best again. */
void link_plan_worked(struct link_plan *p);

/* Parses "host:port[,region=R][,network-az=A]"; 0 or -1. */
int link_endpoint_parse(const char *text, struct link_endpoint *ret);

#endif
