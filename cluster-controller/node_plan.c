#include "node_plan.h"

enum { PARTIAL_MIN_SILENT = 3 };

struct zone {
	struct str name;
	size_t nodes, silent;
};

static enum node_health judge(const struct node_plan_config *cfg, const struct node_state *n)
{
	/* before we see the lease change we know nothing: what is recorded stands, until the grace is over */
	if (n->silent_ms >= cfg->grace_ms)
		return NODE_UNREACHABLE;
	if (!n->lease_known)
		return n->recorded;
	return n->reported_ready ? NODE_READY : NODE_NOT_READY;
}

static struct zone *zone_of(struct zone *zones, size_t *len, struct str name)
{
	for (size_t i = 0; i < *len; i++)
		if (str_eq(zones[i].name, name))
			return &zones[i];
	zones[*len].name = name;
	return &zones[(*len)++];
}

static bool zone_is_broken(const struct node_plan_config *cfg, const struct zone *z,
			   bool all_silent)
{
	if (all_silent)
		return true;
	return z->silent < z->nodes && z->silent >= PARTIAL_MIN_SILENT &&
	       z->silent * 100 >= z->nodes * cfg->breaker_percent;
}

static void soonest(uint64_t *at, uint64_t ms)
{
	if (ms && (!*at || ms < *at))
		*at = ms;
}

/* The pods whose toleration of the taint is over; sets when the next one's will be. */
static void plan_evictions(struct arena *a, const struct node_state *n, uint32_t *budget,
			   bool rationed, struct node_action *act)
{
	size_t *out = arena_new(a, size_t, n->pods_len);
	for (size_t i = 0; i < n->pods_len; i++) {
		const struct node_pod *p = &n->pods[i];
		int64_t s = act->health == NODE_UNREACHABLE ? p->tolerates_unreachable_s
							    : p->tolerates_not_ready_s;
		if (p->deleting || s < 0)
			continue;
		uint64_t ms = (uint64_t)s * 1000;
		if (n->tainted_ms < ms) {
			soonest(&act->again_ms, ms - n->tainted_ms);
		} else if (rationed && *budget == 0) {
			soonest(&act->again_ms, 1000);
		} else {
			out[act->evict_len++] = i;
			*budget -= rationed;
		}
	}
	act->evict = out;
}

static bool taints_agree(const struct node_state *n, enum node_health h)
{
	return n->tainted_not_ready == (h == NODE_NOT_READY) &&
	       n->tainted_unreachable == (h == NODE_UNREACHABLE);
}

struct node_action *node_plan(struct arena *a, const struct node_plan_config *cfg,
			      const struct node_state *nodes, size_t n, uint64_t *ret_again_ms)
{
	struct node_action *acts = arena_new(a, struct node_action, n);
	struct zone *zones = arena_new(a, struct zone, n);
	size_t zones_len = 0;
	size_t silent = 0;
	for (size_t i = 0; i < n; i++) {
		acts[i].health = judge(cfg, &nodes[i]);
		struct zone *z = zone_of(zones, &zones_len, nodes[i].zone);
		z->nodes++;
		z->silent += acts[i].health == NODE_UNREACHABLE;
		silent += acts[i].health == NODE_UNREACHABLE;
	}
	uint32_t budget = cfg->evict_per_turn;
	*ret_again_ms = 0;
	for (size_t i = 0; i < n; i++) {
		struct node_action *act = &acts[i];
		act->set_health =
			act->health != nodes[i].recorded || !taints_agree(&nodes[i], act->health);
		if (act->health != NODE_UNREACHABLE && nodes[i].silent_ms < cfg->grace_ms)
			soonest(&act->again_ms, cfg->grace_ms - nodes[i].silent_ms);
		act->breaker =
			zone_is_broken(cfg, zone_of(zones, &zones_len, nodes[i].zone), silent == n);
		if (act->health != NODE_READY && !act->set_health && !act->breaker)
			plan_evictions(a, &nodes[i], &budget, cfg->evict_per_turn > 0, act);
		soonest(ret_again_ms, act->again_ms);
	}
	return acts;
}
