/*
 * Simulation of the node lifecycle and the scheduler against a cluster in virtual time, with faults.
 *
 *   sim_nodes FIRST_SEED COUNT [BUG]
 *
 * Each seed is one run of three zones: nodes die, flap and come back, zones are lost or cut off, the API goes away or starts
 * again without its soft state, the controller crashes and another one, which knows nothing, takes over.
 * Checked all the time: a node that sends heartbeats is never called unreachable, a dead one is within 15 s and never called
 * ready again; nothing is evicted before its toleration of the taint is over, where the breaker stands
 * (most of a zone silent, or everything), or from a living node; a pod is bound only to a ready node with room, within maxSkew.
 * After the last fault each pod runs on a living node.
 *
 * BUG plants one: the run must then fail (the tests' teeth); the table `bugs` names them.
 */
#include "node_lease.h"
#include "node_plan.h"
#include "sched_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ZONES = 3,
	NODES_MAX = 18,
	PODS = 24,
	ROOM = 6, /* pods a node */
	STEPS = 300,
	SETTLE = 150, /* seconds */
	BEAT_S = 3,
	GRACE_S = 12,
	TOLERATION_S = 5,
	FAR = 1000000
};

enum bug {
	BUG_NONE,
	BUG_FIRST_SIGHT, /* a lease seen for the first time is a sign of life */
	BUG_NO_EPOCH,    /* silence counts while the API is away */
	BUG_BREAKER,     /* no zone breaker */
	BUG_ALONE,       /* that all are silent is not noticed */
	BUG_TOLERATION,  /* a new leader takes taints for old ones */
	BUG_GRACE,       /* twice the grace */
	BUG_TAINTS,      /* the scheduler looks past taints and conditions */
	BUG_ASSUME,      /* the scheduler forgets what it bound just now */
	BUG_SPREAD,      /* the scheduler does not see pods of other zones */
	BUGS
};

static const char *const bugs[BUGS] = {
	"none",       "first-sight", "no-epoch", "breaker", "alone",
	"toleration", "grace",       "taints",   "assume",  "spread"
};

struct node {
	char name[24];
	int zone;
	bool alive, cut;   /* cut: lives, and its heartbeats do not arrive */
	int64_t changed_s; /* when it last began or ceased to be heard */
	uint64_t lease;    /* soft state of the API; 0 = none */
	enum node_health recorded;
	bool tainted; /* unreachable */
	int64_t tainted_s;
	/* the controller's memory */
	struct lease_seen seen;
	int64_t taint_seen_s; /* 0 = not */
};

struct pod {
	char uid[24];
	int node; /* -1: not bound */
	int64_t bound_s;
};

struct run {
	uint64_t rng;
	enum bug bug;
	int64_t now;
	struct node nodes[NODES_MAX];
	size_t nodes_len;
	struct pod pods[PODS];
	int next_uid;
	int64_t api_back_s; /* the API is away until then */
	int64_t quiet_s;    /* the API answers and one controller works since then */
	struct lease_watch watch;
	const char *broken;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return r->rng % n;
}

static bool heard(const struct node *n)
{
	return n->alive && !n->cut;
}

static bool api_up(const struct run *r)
{
	return r->now >= r->api_back_s;
}

/* ---- the world ---- */

static void set_node(struct run *r, struct node *n, bool alive, bool cut)
{
	bool before = heard(n);
	n->alive = alive;
	n->cut = cut;
	if (heard(n) != before)
		n->changed_s = r->now;
}

static void set_zone(struct run *r, int zone, bool alive, bool cut, uint64_t percent)
{
	for (size_t i = 0; i < r->nodes_len; i++)
		if ((zone < 0 || r->nodes[i].zone == zone) && rnd(r, 100) < percent)
			set_node(r, &r->nodes[i], alive, cut);
}

static void controller_starts(struct run *r)
{
	r->watch = (struct lease_watch){ 0 };
	for (size_t i = 0; i < r->nodes_len; i++) {
		r->nodes[i].seen = (struct lease_seen){ 0 };
		r->nodes[i].taint_seen_s =
			r->bug == BUG_TOLERATION && r->nodes[i].tainted ? -FAR : 0;
	}
	r->quiet_s = r->now;
}

static void fault(struct run *r)
{
	struct node *n = &r->nodes[rnd(r, r->nodes_len)];
	int zone = (int)rnd(r, ZONES);
	switch (rnd(r, 40)) {
	case 0:
	case 1:
		set_node(r, n, false, false);
		break;
	case 2:
	case 3:
		set_node(r, n, true, false);
		break;
	case 4:
		set_node(r, n, true, true);
		break;
	case 5:
		set_zone(r, zone, false, false, rnd(r, 2) ? 100 : 70);
		break;
	case 6:
		set_zone(r, zone, true, false, 100);
		break;
	case 7:
		set_zone(r, rnd(r, 2) ? -1 : zone, true, true, 100);
		break;
	case 8:
		set_zone(r, -1, true, false, 100);
		break;
	case 9: /* soft state is lost with the server; agents need a moment to be back */
		r->api_back_s = r->now + 2 + (int64_t)rnd(r, 30);
		for (size_t i = 0; rnd(r, 2) && i < r->nodes_len; i++)
			r->nodes[i].lease = 0;
		break;
	case 10:
		controller_starts(r);
		break;
	default:
		break;
	}
}

static void beats(struct run *r)
{
	for (size_t i = 0; api_up(r) && i < r->nodes_len; i++) {
		struct node *n = &r->nodes[i];
		if (heard(n) && (r->now + (int64_t)i) % BEAT_S == 0)
			n->lease = (uint64_t)r->now + 1000;
	}
}

/* ---- the node lifecycle ---- */

static void poll(struct run *r)
{
	uint64_t ms = (uint64_t)r->now * 1000;
	if (r->bug != BUG_NO_EPOCH || api_up(r))
		lease_polled(&r->watch, api_up(r), ms);
	if (!api_up(r)) {
		r->quiet_s = r->now + 1;
		return;
	}
	for (size_t i = 0; i < r->nodes_len; i++) {
		struct node *n = &r->nodes[i];
		if (!n->lease)
			continue;
		lease_see(&r->watch, &n->seen, n->lease, ms);
		n->seen.alive |= r->bug == BUG_FIRST_SIGHT;
	}
}

static struct node_state view_of(struct run *r, struct arena *a, size_t at, size_t **ret_pods)
{
	struct node *n = &r->nodes[at];
	if (!n->tainted)
		n->taint_seen_s = 0;
	else if (!n->taint_seen_s)
		n->taint_seen_s = r->now;
	struct node_state s = {
		.name = str_of(n->name),
		.zone = arena_strf(a, "z%d", n->zone),
		.recorded = n->recorded,
		.reported_ready = true,
		.silent_ms = lease_silent_ms(&r->watch, &n->seen, 0, (uint64_t)r->now * 1000),
		.lease_known = lease_alive(&r->watch, &n->seen),
		.tainted_unreachable = n->tainted,
		.tainted_ms = n->tainted ? (uint64_t)(r->now - n->taint_seen_s) * 1000 : 0,
	};
	struct node_pod *pods = arena_new(a, struct node_pod, PODS);
	*ret_pods = arena_new(a, size_t, PODS);
	for (size_t i = 0; i < PODS; i++) {
		if (r->pods[i].node != (int)at)
			continue;
		(*ret_pods)[s.pods_len] = i;
		pods[s.pods_len++] = (struct node_pod){ str_of(r->pods[i].uid), TOLERATION_S,
							TOLERATION_S, false };
	}
	s.pods = pods;
	return s;
}

/* What the checks know of a zone: by the records, as the breaker must. */
static bool eviction_is_wrong(const struct run *r, const struct node *n)
{
	int64_t of = 0;
	int64_t silent = 0;
	int64_t all = 0;
	for (size_t i = 0; i < r->nodes_len; i++) {
		bool gone = r->nodes[i].recorded == NODE_UNREACHABLE;
		all += gone;
		if (r->nodes[i].zone != n->zone)
			continue;
		of++;
		silent += gone;
	}
	if (all == (int64_t)r->nodes_len)
		return true;
	return silent < of && silent >= 3 && silent * 100 >= of * 55;
}

static void evict(struct run *r, struct node *n, struct pod *p)
{
	if (eviction_is_wrong(r, n))
		r->broken = "evicted although the breaker stands";
	if (!n->tainted || r->now - n->tainted_s < TOLERATION_S)
		r->broken = "evicted before the toleration was over";
	if (heard(n) && r->now - n->changed_s > GRACE_S && r->now - r->quiet_s > GRACE_S)
		r->broken = "evicted from a living node";
	p->node = -1;
	(void)snprintf(p->uid, sizeof(p->uid), "u%d", r->next_uid++);
}

static void record(struct run *r, struct node *n, enum node_health h)
{
	int64_t steady = r->now - n->changed_s;
	if (h == NODE_UNREACHABLE && heard(n) && steady > GRACE_S)
		r->broken = "a living node was called unreachable";
	if (h == NODE_READY && !heard(n) && steady > BEAT_S + 1)
		r->broken = "a dead node was called ready";
	n->recorded = h;
	if (n->tainted != (h == NODE_UNREACHABLE))
		n->tainted_s = r->now;
	n->tainted = h == NODE_UNREACHABLE;
}

static void lifecycle(struct run *r)
{
	struct arena a = { 0 };
	if (!api_up(r))
		return;
	const struct node_plan_config cfg = {
		.grace_ms = 1000 * GRACE_S * (r->bug == BUG_GRACE ? 2 : 1),
		.breaker_percent = r->bug == BUG_BREAKER ? 101 : 55,
		.evict_per_turn = 10,
	};
	struct node_state in[NODES_MAX + 1];
	size_t *pods[NODES_MAX];
	size_t n = r->nodes_len;
	for (size_t i = 0; i < n; i++)
		in[i] = view_of(r, &a, i, &pods[i]);
	if (r->bug == BUG_ALONE) /* somebody else is always well */
		in[n++] = (struct node_state){ .name = STR("x"),
					       .zone = STR("zx"),
					       .lease_known = true,
					       .reported_ready = true };
	uint64_t again = 0;
	struct node_action *act = node_plan(&a, &cfg, in, n, &again);
	for (size_t i = 0; i < r->nodes_len && !r->broken; i++) {
		if (act[i].set_health)
			record(r, &r->nodes[i], act[i].health);
	}
	for (size_t i = 0; i < r->nodes_len && !r->broken; i++) {
		for (size_t k = 0; k < act[i].evict_len; k++)
			evict(r, &r->nodes[i], &r->pods[pods[i][act[i].evict[k]]]);
	}
	arena_fini(&a);
}

/* ---- the scheduler ---- */

static int pods_on(const struct run *r, int node, bool all)
{
	int n = 0;
	for (size_t i = 0; i < PODS; i++)
		n += r->pods[i].node == node && (all || r->pods[i].bound_s != r->now);
	return n;
}

static int pods_in(const struct run *r, int zone)
{
	int n = 0;
	for (size_t i = 0; i < r->nodes_len; i++)
		if (r->nodes[i].zone == zone)
			n += pods_on(r, (int)i, true);
	return n;
}

static void check_binding(struct run *r, int at)
{
	const struct node *n = &r->nodes[at];
	if (n->recorded != NODE_READY || n->tainted)
		r->broken = "bound to a node that is not ready";
	if (pods_on(r, at, true) > ROOM)
		r->broken = "more on a node than it has room for";
	int least = FAR;
	for (int z = 0; z < ZONES; z++) {
		bool usable = false;
		for (size_t i = 0; i < r->nodes_len; i++)
			usable |= r->nodes[i].zone == z && !r->nodes[i].tainted;
		if (usable && pods_in(r, z) < least)
			least = pods_in(r, z);
	}
	/* pods on tainted nodes do not count for the spread, so the zone itself is counted without */
	int here = 0;
	for (size_t i = 0; i < r->nodes_len; i++)
		if (r->nodes[i].zone == n->zone && !r->nodes[i].tainted)
			here += pods_on(r, (int)i, true);
	if (here > least + 1)
		r->broken = "spread beyond maxSkew";
}

static void bind(struct run *r, struct pod *p)
{
	struct arena a = { 0 };
	struct buf why = { 0 };
	const struct sched_label app = { STR("app"), STR("x") };
	const struct str value = STR("x");
	const struct sched_requirement is = { STR("app"), SCHED_IN, &value, 1 };
	const struct sched_spread spread = { .topology_key = STR("zone"),
					     .max_skew = 1,
					     .hard = true,
					     .honor_taints = true,
					     .selector = { &is, 1 } };
	const struct sched_taint taint = { STR("node.kubernetes.io/unreachable"), STR(""),
					   SCHED_NO_SCHEDULE };
	const struct sched_pod pod = { .uid = str_of(p->uid),
				       .ns = STR("d"),
				       .labels = { &app, 1 },
				       .spreads = &spread,
				       .spreads_len = 1 };
	struct sched_node nodes[NODES_MAX];
	for (size_t i = 0; i < r->nodes_len; i++) {
		const struct node *n = &r->nodes[i];
		struct sched_label *zone = arena_new(&a, struct sched_label, 1);
		*zone = (struct sched_label){ STR("zone"), arena_strf(&a, "z%d", n->zone) };
		size_t count = (size_t)pods_on(r, (int)i, r->bug != BUG_ASSUME);
		struct sched_placed *placed = arena_new(&a, struct sched_placed, count);
		for (size_t k = 0; k < count; k++)
			placed[k] = (struct sched_placed){ STR("d"), { &app, 1 }, false };
		nodes[i] = (struct sched_node){ .name = str_of(n->name),
						.labels = { zone, 1 },
						.pods = placed,
						.pods_len = r->bug == BUG_SPREAD ? 0 : count };
		if (n->tainted && r->bug != BUG_TAINTS) {
			nodes[i].taints = &taint;
			nodes[i].taints_len = 1;
			nodes[i].not_ready = true;
		}
		sched_resources_add(&nodes[i].allocatable, STR("pods"), ROOM);
		sched_resources_add(&nodes[i].used, STR("pods"), (int64_t)count);
	}
	int at = sched_plan(&a, &pod, nodes, r->nodes_len, &why);
	if (at != SCHED_NONE) {
		p->node = at;
		p->bound_s = r->now;
		check_binding(r, at);
	}
	buf_fini(&why);
	arena_fini(&a);
}

/* ---- one run ---- */

static void check_marked(struct run *r)
{
	for (size_t i = 0; i < r->nodes_len; i++) {
		const struct node *n = &r->nodes[i];
		int64_t since = n->changed_s > r->quiet_s ? n->changed_s : r->quiet_s;
		if (!heard(n) && n->recorded != NODE_UNREACHABLE && r->now - since > 15)
			r->broken = "a dead node was not noticed within 15 s";
		if (heard(n) && n->recorded != NODE_READY && r->now - since > 15)
			r->broken = "a living node was not noticed within 15 s";
	}
}

static void check_rest(struct run *r)
{
	for (size_t i = 0; i < PODS; i++)
		if (r->pods[i].node < 0 || !r->nodes[r->pods[i].node].alive)
			r->broken = "a pod does not run in the end";
}

static const char *simulate(uint64_t seed, enum bug bug)
{
	struct run run = { .rng = seed * 0x9e3779b97f4a7c15ULL + 1, .bug = bug };
	struct run *r = &run;
	r->nodes_len = ZONES * (size_t)(4 + rnd(r, 3));
	for (size_t i = 0; i < r->nodes_len; i++) {
		r->nodes[i] = (struct node){ .zone = (int)(i % ZONES), .alive = true };
		(void)snprintf(r->nodes[i].name, sizeof(r->nodes[i].name), "n%zu", i);
	}
	for (size_t i = 0; i < PODS; i++) {
		r->pods[i].node = -1;
		(void)snprintf(r->pods[i].uid, sizeof(r->pods[i].uid), "u%d", r->next_uid++);
	}
	for (r->now = 100; r->now < 100 + STEPS + SETTLE && !r->broken; r->now++) {
		if (r->now < 100 + STEPS)
			fault(r);
		else if (r->now == 100 + STEPS)
			set_zone(r, -1, true, false, 100);
		beats(r);
		poll(r);
		lifecycle(r);
		for (size_t i = 0; i < PODS && api_up(r) && !r->broken; i++)
			if (r->pods[i].node < 0)
				bind(r, &r->pods[i]);
		if (!r->broken)
			check_marked(r);
	}
	if (!r->broken)
		check_rest(r);
	return r->broken;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	enum bug bug = BUG_NONE;
	for (int i = 0; argc > 3 && i < BUGS; i++)
		if (strcmp(argv[3], bugs[i]) == 0)
			bug = (enum bug)i;
	for (uint64_t s = first; s < first + count; s++) {
		const char *why = simulate(s, bug);
		if (why) {
			printf("seed %" PRIu64 ": %s\n", s, why);
			return 1;
		}
	}
	/* teeth: each planted bug must be found within the same seeds */
	for (int b = 1; argc <= 3 && b < BUGS; b++) {
		uint64_t s = first;
		const char *why = NULL;
		while (s < first + count && !(why = simulate(s, (enum bug)b)))
			s++;
		if (!why) {
			printf("planted bug \"%s\" was not found in %" PRIu64 " seeds\n", bugs[b],
			       count);
			return 1;
		}
		printf("planted bug \"%s\": found by seed %" PRIu64 ": %s\n", bugs[b], s, why);
	}
	printf("%" PRIu64 " seeds\n", count);
	return 0;
}
