#include "linkplan.h"

#include "base/str.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum link_class link_class_of(const struct link_plan *p, size_t endpoint)
{
	const struct link_endpoint *e = &p->endpoints[endpoint];
	bool region = p->region[0] && strcmp(e->region, p->region) == 0;
	if (region && p->network_az[0] && strcmp(e->network_az, p->network_az) == 0)
		return LINK_SAME_AZ;
	return region ? LINK_SAME_REGION : LINK_ELSEWHERE;
}

/* splitmix64: a shuffle needs no more. */
static uint64_t mix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15ULL;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

void link_plan_set(struct link_plan *p, const struct link_endpoint *list, size_t n, uint64_t seed)
{
	size_t shuffled[LINK_ENDPOINTS_MAX];
	p->len = 0;
	for (size_t i = 0; i < n && p->len < LINK_ENDPOINTS_MAX; i++) {
		if (list[i].address[0])
			p->endpoints[p->len++] = list[i];
	}
	for (size_t i = 0; i < p->len; i++) {
		size_t k = mix(&seed) % (i + 1);
		shuffled[i] = shuffled[k];
		shuffled[k] = i;
	}
	size_t at = 0;
	for (int c = LINK_SAME_AZ; c <= LINK_ELSEWHERE; c++) {
		for (size_t i = 0; i < p->len; i++) {
			if (link_class_of(p, shuffled[i]) == (enum link_class)c)
				p->order[at++] = shuffled[i];
		}
	}
	p->at = 0;
}

size_t link_plan_next(struct link_plan *p, uint64_t random, uint64_t *wait_ms)
{
	assert(p->len > 0);
	*wait_ms = 0;
	if (p->at >= p->len) {
		uint32_t doublings = p->rounds < 16 ? p->rounds : 16;
		uint64_t bound = (uint64_t)LINK_WAIT_MIN_MS << doublings;
		bound = bound > LINK_WAIT_MAX_MS ? LINK_WAIT_MAX_MS : bound;
		*wait_ms = random % (bound + 1);
		p->rounds++;
		p->at = 0;
	}
	return p->order[p->at++];
}

void link_plan_worked(struct link_plan *p)
{
	p->rounds = 0;
	p->at = p->len; /* a loss waits a moment first: a server that accepts and drops is not hammered */
}

int link_endpoint_parse(const char *text, struct link_endpoint *ret)
{
	struct str rest = str_of(text), part, key;
	memset(ret, 0, sizeof(*ret));
	if (!str_split(&rest, ',', &part) || !part.len || part.len >= sizeof(ret->address))
		return -1;
	snprintf(ret->address, sizeof(ret->address), "%.*s", STR_ARG(part));
	while (rest.len && str_split(&rest, ',', &part)) {
		char *to = NULL;
		if (!str_split(&part, '=', &key) || part.len >= sizeof(ret->region))
			return -1;
		if (str_is(key, "region"))
			to = ret->region;
		else if (str_is(key, "network-az"))
			to = ret->network_az;
		if (!to)
			return -1;
		snprintf(to, sizeof(ret->region), "%.*s", STR_ARG(part));
	}
	return 0;
}
