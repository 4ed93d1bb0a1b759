/*
 * Simulation of lost zones: 500 nodes with heartbeats, the builtin rules, the core, two receivers, virtual time.
 *
 *   sim_topology FIRST_SEED COUNT [BUG]
 *
 * Zone az1 (with its network) has 500 nodes, az2 and az3 have 20 each; az2 and az3 share a network.  An alert of a user's
 * rule names one node of az1.  Then:
 *   1. az1 goes silent: each receiver gets one notification within 10 s of the last heartbeat, with all members;
 *   2. its nodes come back one by one, meanwhile the controller restarts: one notification more, its end;
 *   3. one node of az2 is lost and comes back: one and one;
 *   4. a cordoned node is lost: nothing.
 *
 * BUG plants one, which must be found (without BUG each is tried behind the seeds):
 *   hold      nodes are told before their zone can be recognized
 *   inhibit   nothing inhibits
 *   linger    what a zone stood for is told at once when it is over
 *   recall    a restart does not know which zones are silent
 *   cordon    a cordoned node is like any other
 *   early     the zone is told before all its nodes are silent
 */
#include "base/mem.h"
#include "builtin.h"
#include "core_priv.h"
#include "topology.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ZONE_NODES = 500,
	NODES = ZONE_NODES + 40,
	RECEIVERS = 2,
	BEAT_MS = 2000,
	GRACE_MS = 4000, /* of the node lifecycle */
	STEP_MS = 250,
	RULE_NODE = 0, /* in the builtin group */
	RULE_ZONE = 1,
};

enum bug { BUG_NONE, BUG_HOLD, BUG_INHIBIT, BUG_LINGER, BUG_RECALL, BUG_CORDON, BUG_EARLY, BUGS };
static const char *const bug_names[BUGS] = { "none",   "hold",   "inhibit", "linger",
					     "recall", "cordon", "early" };

struct node {
	char name[8];
	bool up, cordoned;
	int64_t phase_ms, beat_ms;
};

struct inbox {
	size_t firing, resolved, members;
	int64_t first_ms;
};

struct run {
	uint64_t rng;
	enum bug bug;
	int64_t now;
	struct node nodes[NODES];
	struct topology topology;
	struct rule_set *rules;
	struct receiver *receivers[RECEIVERS];
	struct silence *cordon;
	struct core *core;
	struct inbox inbox[RECEIVERS];
	const char *broken;
};

static uint64_t rnd(struct run *r, uint64_t n)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return n ? r->rng % n : 0;
}

static const struct label outside[] = { { { "cluster", 7 }, { "c1", 2 } },
					{ { "region", 6 }, { "r1", 2 } } };

static bool is_silent(const struct run *r, const struct node *x)
{
	return r->now - x->beat_ms >= GRACE_MS;
}

static size_t look(struct run *r, struct topology_node v[NODES])
{
	for (size_t i = 0; i < NODES; i++) {
		struct str zone = i < ZONE_NODES        ? STR("az1")
				  : i < ZONE_NODES + 20 ? STR("az2")
							: STR("az3");
		v[i] = (struct topology_node){
			.name = str_of(r->nodes[i].name),
			.region = STR("r1"),
			.zone = zone,
			.network = i < ZONE_NODES ? STR("net1") : STR("net2"),
			.silent = is_silent(r, &r->nodes[i]),
			.excused = r->nodes[i].cordoned && r->bug != BUG_CORDON,
		};
	}
	return NODES;
}

static void observe(struct run *r, struct arena *a, size_t rule, const struct series *s, size_t n)
{
	const struct rule *x = &r->rules->groups[0].rules[rule];
	const struct template_vars env = { .external = { outside, 2 } };
	struct core_seen *seen = arena_new(a, struct core_seen, n);
	struct error err = { 0 };
	for (size_t i = 0; i < n; i++)
		if (query_alert(a, x, &s[i], &env, &seen[i], &err))
			r->broken = "a series makes no alert";
	struct core_round round = {
		.rule = x->id, .expr = x->expr, .seen = seen, .len = n, .timing = x->timing
	};
	for (size_t i = 0; r->bug == BUG_EARLY && rule == RULE_ZONE && i < n; i++)
		seen[i].timing.for_ms = 0;
	if (core_observe(r->core, &round, r->now, &err))
		r->broken = "a result was refused";
}

static void evaluate(struct run *r)
{
	struct arena a = { 0 };
	struct topology_node *v = arena_new(&a, struct topology_node, NODES);
	struct topology_place *places = NULL;
	size_t places_len = 0;
	struct series *s = arena_new(&a, struct series, NODES);
	size_t n = 0;
	topology_run(&r->topology, &a, v, look(r, v), &places, &places_len);
	for (size_t i = 0; i < NODES; i++) {
		if (!v[i].silent)
			continue;
		struct label *l = arena_new(&a, struct label, 4);
		l[0] = (struct label){ STR("network_az"), v[i].network };
		l[1] = (struct label){ STR("node"), v[i].name };
		l[2] = (struct label){ STR("region"), v[i].region };
		l[3] = (struct label){ STR("zone"), v[i].zone };
		s[n++] = (struct series){
			.labels = { l, 4 },
			.value = 1,
			.timing = { r->bug == BUG_HOLD ? 0 : topology_hold_ms(&v[i]), 0 }
		};
	}
	observe(r, &a, RULE_NODE, s, n);
	topology_series(&a, places, places_len, &s, &n);
	observe(r, &a, RULE_ZONE, s, n);
	/* of a rule somebody wrote: what runs on node n7 is away a while after the node */
	const struct label l[] = { { STR("alertname"), STR("TargetDown") },
				   { STR("cluster"), STR("c1") },
				   { STR("node"), STR("n7") } };
	const struct core_seen seen = { .labels = { l, 3 }, .timing = { 8000, 0 } };
	const struct core_round mine = { .rule = STR("team/x/g/TargetDown"),
					 .seen = &seen,
					 .len = is_silent(r, &r->nodes[7]) };
	(void)!core_observe(r->core, &mine, r->now, NULL);
	arena_fini(&a);
}

/* ---- receivers ---- */

/* Names in the description of the first alert. */
static size_t members(struct str payload)
{
	static const char intro[] = "once for all of them: ";
	ptrdiff_t at = str_find_str(payload, str_of(intro), 0);
	size_t n = at >= 0;
	for (size_t i = at < 0 ? payload.len : (size_t)at + sizeof(intro) - 1;
	     i < payload.len && payload.p[i] != '"'; i++)
		n += payload.p[i] == ',';
	return n;
}

static void receive(struct run *r, const struct core_send *s)
{
	struct inbox *in = &r->inbox[s->receiver == r->receivers[0] ? 0 : 1];
	if (str_find_str(s->payload, STR("\"status\":\"firing\",\"alerts\""), 0) >= 0) {
		in->firing++;
		in->members = members(s->payload);
		if (!in->first_ms)
			in->first_ms = r->now;
	} else {
		in->resolved++;
	}
	if (getenv("SIM_VERBOSE"))
		(void)printf("%6.1f %s %.*s\n", (double)(r->now - 1700000000000) / 1000,
			     s->receiver->key.p, STR_ARG(str_sub(s->payload, 0, 300)));
}

static void turn(struct run *r)
{
	struct arena a = { 0 };
	struct alert_batch b;
	struct core_send s;
	evaluate(r);
	core_run(r->core, r->now);
	(void)core_flush(r->core, r->now, &a, &b);
	core_flushed(r->core);
	arena_fini(&a);
	while (core_next_send(r->core, r->now, &s)) {
		struct buf idem = { 0 };
		const struct core_sent sent = { .status = 200 };
		buf_add_str(&idem, s.idem);
		receive(r, &s);
		(void)core_sent(r->core, buf_str(&idem), &sent, r->now, 0);
		buf_fini(&idem);
	}
}

static void go(struct run *r, int64_t ms)
{
	for (int64_t end = r->now + ms; r->now < end;) {
		r->now += STEP_MS;
		for (size_t i = 0; i < NODES; i++) {
			struct node *x = &r->nodes[i];
			if (x->up && (r->now + x->phase_ms) % BEAT_MS < STEP_MS)
				x->beat_ms = r->now;
		}
		if (r->now % 1000 < STEP_MS)
			turn(r);
	}
}

static struct receiver *make_receiver(const char *name, const char *group_by, const char *wait)
{
	struct arena a = { 0 };
	struct json j;
	struct str text = arena_strf(&a,
				     "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\"},"
				     "\"spec\":{\"groupBy\":[%s],\"groupWait\":\"%s\","
				     "\"groupInterval\":\"2s\",\"repeatInterval\":\"1000h\","
				     "\"webhook\":{\"url\":\"http://x/\"}}}",
				     name, group_by, wait);
	struct receiver *r = json_parse(&a, text, NULL, &j, NULL)
				     ? NULL
				     : receiver_new(arena_strf(&a, "ns/%s", name), &j);
	arena_fini(&a);
	return r;
}

static void core_make(struct run *r)
{
	r->core = core_new(&(struct core_config){
		.origin = STR("c1"), .deadline_ms = 600000, .retention_ms = 3600000 });
	if (r->bug == BUG_INHIBIT)
		r->core->inhibit.len = 0;
	for (size_t i = 0; r->bug == BUG_LINGER && i < INHIBIT_BUILTIN_LEN; i++)
		r->core->inhibit_rules[i].linger_ms = 0;
	for (size_t i = 0; i < RECEIVERS; i++)
		core_set_receiver(r->core, r->receivers[i]);
	if (r->bug != BUG_CORDON)
		core_set_silence(r->core, r->cordon);
	core_receivers_known(r->core);
}

static void begin(struct run *r)
{
	struct arena a = { 0 };
	struct json j;
	topology_init(&r->topology, 1);
	if (json_parse(&a, str_of(builtin_rules[0]), NULL, &j, NULL) == 0)
		r->rules = rule_set_new(str_of(builtin_keys[0]), &j);
	arena_fini(&a);
	r->receivers[0] = make_receiver("all", "\"alertname\",\"cluster\"", "1s");
	r->receivers[1] = make_receiver("each", "\"...\"", "0s");
	r->cordon = silence_of_node(STR("cordoned/n505"), STR("n505"));
	for (size_t i = 0; i < NODES; i++) {
		struct node *x = &r->nodes[i];
		(void)snprintf(x->name, sizeof(x->name), "n%zu", i);
		x->up = true;
		x->phase_ms = (int64_t)rnd(r, BEAT_MS);
		x->beat_ms = r->now;
	}
	r->nodes[505].cordoned = true;
	core_make(r);
}

static void finish(struct run *r)
{
	r->core = core_free(r->core);
	topology_fini(&r->topology);
	(void)rule_set_free(r->rules);
	(void)silence_free(r->cordon);
	for (size_t i = 0; i < RECEIVERS; i++)
		(void)receiver_free(r->receivers[i]);
}

/* A restart: what fires is remembered by the database, of which here the alert of the zone is enough. */
static void restart(struct run *r)
{
	topology_fini(&r->topology);
	topology_init(&r->topology, 2);
	if (r->bug != BUG_RECALL)
		topology_recall(&r->topology, STR("both"), STR("r1"), STR("az1"), STR("net1"));
}

static void want(struct run *r, size_t firing, size_t resolved, const char *why)
{
	for (size_t i = 0; i < RECEIVERS && !r->broken; i++)
		if (r->inbox[i].firing != firing || r->inbox[i].resolved != resolved)
			r->broken = why;
}

static void lose_zone(struct run *r)
{
	go(r, 5000);
	want(r, 0, 0, "something is told while all is well");
	int64_t last = 0;
	for (size_t i = 0; i < ZONE_NODES; i++)
		r->nodes[i].up = false;
	for (size_t i = 0; i < ZONE_NODES; i++)
		last = r->nodes[i].beat_ms > last ? r->nodes[i].beat_ms : last;
	go(r, 40000);
	want(r, 1, 0, "a lost zone is not one notification");
	for (size_t i = 0; i < RECEIVERS && !r->broken; i++) {
		if (r->inbox[i].members != ZONE_NODES)
			r->broken = "not all members are told";
		if (r->inbox[i].first_ms - last > 10000)
			r->broken = "the loss is told after more than 10 s";
	}
}

static void find_zone(struct run *r)
{
	for (size_t i = 0; i < ZONE_NODES; i++) { /* first 60 %, then the others */
		r->nodes[i].up = i < ZONE_NODES * 6 / 10;
		if (i % 50 == 0)
			go(r, 500);
	}
	go(r, 3000);
	restart(r);
	go(r, 15000);
	want(r, 1, 0, "a zone of which 40 % is silent is not silent any more");
	for (size_t i = 0; i < ZONE_NODES; i++) {
		r->nodes[i].up = true;
		if (i % 20 == 0)
			go(r, 1000);
	}
	go(r, 150000);
	want(r, 1, 1, "a zone that came back is not one notification");
}

/* NULL when all held, else what did not. */
static const char *run(uint64_t seed, enum bug bug)
{
	struct run *r = mem_new(struct run, 1);
	r->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	r->bug = bug;
	r->now = 1700000000000;
	begin(r);
	lose_zone(r);
	if (!r->broken)
		find_zone(r);
	if (!r->broken) {
		r->nodes[ZONE_NODES + 3].up = false;
		go(r, 20000);
		r->nodes[ZONE_NODES + 3].up = true;
		go(r, 20000);
		want(r, 2, 2, "a lost node is not one notification and its end");
	}
	if (!r->broken) {
		r->nodes[505].up = false;
		go(r, 20000);
		want(r, 2, 2, "a cordoned node is told");
	}
	const char *why = r->broken;
	finish(r);
	mem_free(r);
	return why;
}

static bool bug_is_found(enum bug bug, uint64_t first, uint64_t most)
{
	for (uint64_t s = first; s < first + most; s++) {
		const char *why = run(s, bug);
		if (!why)
			continue;
		(void)printf("planted %s: found with seed %" PRIu64 ": %s\n", bug_names[bug], s,
			     why);
		return true;
	}
	(void)printf("planted %s: NOT FOUND in %" PRIu64 " seeds\n", bug_names[bug], most);
	return false;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 3;
	if (argc > 3) {
		for (int b = 1; b < BUGS; b++)
			if (strcmp(argv[3], bug_names[b]) == 0)
				return bug_is_found((enum bug)b, first, seeds) ? 1 : 0;
		(void)fprintf(stderr, "unknown bug %s\n", argv[3]);
		return 2;
	}
	for (uint64_t s = first; s < first + seeds; s++) {
		const char *why = run(s, BUG_NONE);
		if (why) {
			(void)printf("seed %" PRIu64 ": %s\n", s, why);
			return 1;
		}
	}
	(void)printf("%" PRIu64 " seeds, each zone of %d nodes: 1 notification and 1 end\n", seeds,
		     ZONE_NODES);
	bool all = true;
	for (int b = 1; b < BUGS; b++)
		all = bug_is_found((enum bug)b, first, 3) && all;
	return all ? 0 : 1;
}
