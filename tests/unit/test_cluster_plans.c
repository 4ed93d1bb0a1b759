#include "adopt_plan.h"
#include "batch_plan.h"
#include "deployment_plan.h"
#include "disruption_plan.h"
#include "node_lease.h"
#include "node_plan.h"
#include "replicaset_plan.h"
#include "sched_plan.h"

#include <criterion/criterion.h>

#include <stdio.h>

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/* ---- PodDisruptionBudget ---- */

Test(disruption_plan, allows_what_is_healthy_beyond_what_is_wanted)
{
#define N(v) \
	{ \
		true, false, (v) \
	}
#define PCT(v) \
	{ \
		true, true, (v) \
	}
	/* Pods: r ready, n not ready, d deleting, g ready and granted, o ready after an old grant. */
	static const struct {
		struct disruption_bound min, max;
		const char *pods;
		int64_t scale, expected, desired, healthy, allowed, again_s;
		size_t granted;
	} cases[] = {
		{ N(2), { 0 }, "rrr", 3, 3, 2, 3, 1, 0, 0 },
		{ N(2), { 0 }, "rrn", 3, 3, 2, 2, 0, 0, 0 },
		{ N(2), { 0 }, "rrd", 3, 3, 2, 2, 0, 0, 0 },
		{ N(2), { 0 }, "rrrg", 4, 4, 2, 3, 1, 20, 1 },
		{ N(2), { 0 }, "rro", 3, 3, 2, 3, 1, 0, 0 },
		{ N(5), { 0 }, "rrr", 3, 3, 5, 3, 0, 0, 0 },
		{ N(0), { 0 }, "", 0, 0, 0, 0, 0, 0, 0 },
		{ PCT(50), { 0 }, "rrr", 3, 3, 2, 3, 1, 0, 0 },
		{ PCT(50), { 0 }, "rr", 5, 5, 3, 2, 0, 0, 0 },
		{ { 0 }, N(1), "rrr", 3, 3, 2, 3, 1, 0, 0 },
		{ { 0 }, N(1), "rr", 3, 3, 2, 2, 0, 0, 0 },
		{ { 0 }, N(9), "rrr", 3, 3, 0, 3, 3, 0, 0 },
		{ { 0 }, PCT(34), "rrr", 3, 3, 1, 3, 2, 0, 0 },
		{ { 0 }, PCT(0), "rrr", 3, 3, 3, 3, 0, 0, 0 },
		{ { 0 }, PCT(100), "rrr", 3, 3, 0, 3, 3, 0, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct arena a = { 0 };
		struct disruption_pod pods[8];
		size_t n = strlen(cases[i].pods);
		for (size_t k = 0; k < n; k++) {
			char c = cases[i].pods[k];
			pods[k] = (struct disruption_pod){ .ready = c != 'n',
							   .deleting = c == 'd',
							   .granted_s = c == 'g'   ? 900
									: c == 'o' ? 880
										   : 0 };
		}
		struct disruption_plan p = disruption_plan(
			&a, &(struct disruption_input){ cases[i].min, cases[i].max, pods, n,
							&cases[i].scale, 1, 1000 });
		cr_assert_eq(p.expected, cases[i].expected, "%zu: expected %ld", i,
			     (long)p.expected);
		cr_assert_eq(p.desired, cases[i].desired, "%zu: desired %ld", i, (long)p.desired);
		cr_assert_eq(p.healthy, cases[i].healthy, "%zu: healthy %ld", i, (long)p.healthy);
		cr_assert_eq(p.allowed, cases[i].allowed, "%zu: allowed %ld", i, (long)p.allowed);
		cr_assert_eq(p.granted_len, cases[i].granted, "%zu", i);
		cr_assert_eq(p.again_s, cases[i].again_s, "%zu: again %ld", i, (long)p.again_s);
		arena_fini(&a);
	}
}

/* ---- ReplicaSet ---- */

Test(replicaset_plan, creates_what_is_missing_and_does_not_count_what_is_going)
{
	struct arena a = { 0 };
	const struct rs_pod pods[] = {
		{ .name = STR("a"), .running = true, .ready_s = 5 },
		{ .name = STR("b"), .running = true, .deleting = true },
		{ .name = STR("c"), .finished = true },
	};
	struct rs_input in = { .replicas = 3, .pods = pods, .pods_len = LEN(pods), .now_s = 100 };
	struct rs_plan p = replicaset_plan(&a, &in);
	cr_assert_eq(p.create, 2);
	cr_assert_eq(p.replicas, 1);
	cr_assert_eq(p.ready, 1);
	in.deleting = true;
	cr_assert_eq(replicaset_plan(&a, &in).create, 0);
	in.deleting = false;
	in.replicas = 100000;
	cr_assert_eq(replicaset_plan(&a, &in).create, RS_BURST);
	arena_fini(&a);
}

Test(replicaset_plan, deletes_those_that_serve_least_first)
{
	struct arena a = { 0 };
	const struct rs_pod pods[] = {
		{ .name = STR("old-ready"),
		  .node = STR("n1"),
		  .running = true,
		  .ready_s = 10,
		  .created_s = 1 },
		{ .name = STR("new-ready"),
		  .node = STR("n1"),
		  .running = true,
		  .ready_s = 90,
		  .created_s = 80 },
		{ .name = STR("pending"), .node = STR("n2"), .created_s = 95 },
		{ .name = STR("unbound"), .created_s = 96 },
		{ .name = STR("starting"), .node = STR("n2"), .running = true, .created_s = 50 },
		{ .name = STR("cheap"),
		  .node = STR("n3"),
		  .running = true,
		  .ready_s = 1,
		  .deletion_cost = -5 },
	};
	const char *want[] = { "unbound", "pending", "starting", "cheap", "new-ready" };
	const struct rs_input in = {
		.replicas = 1, .pods = pods, .pods_len = LEN(pods), .now_s = 100
	};
	struct rs_plan p = replicaset_plan(&a, &in);
	cr_assert_eq(p.delete_len, 5);
	for (size_t i = 0; i < 5; i++)
		cr_assert(str_is(pods[p.delete_idx[i]].name, want[i]), "%zu is %.*s", i,
			  STR_ARG(pods[p.delete_idx[i]].name));
	arena_fini(&a);
}

Test(replicaset_plan, pods_are_available_when_they_were_ready_long_enough)
{
	struct arena a = { 0 };
	const struct rs_pod pods[] = { { .name = STR("a"), .ready_s = 80 },
				       { .name = STR("b"), .ready_s = 95 } };
	const struct rs_input in = {
		.replicas = 2, .min_ready_s = 10, .pods = pods, .pods_len = 2, .now_s = 100
	};
	struct rs_plan p = replicaset_plan(&a, &in);
	cr_assert_eq(p.ready, 2);
	cr_assert_eq(p.available, 1);
	cr_assert_eq(p.again_s, 5);
	arena_fini(&a);
}

/* ---- Deployment ---- */

Test(deployment_plan, percentages_round_up_for_surge_and_down_for_unavailable)
{
	static const struct {
		const char *surge, *unavailable;
		int64_t replicas, want_surge, want_unavailable;
	} rows[] = {
		{ "25%", "25%", 6, 2, 1 }, { "25%", "25%", 1, 1, 0 }, { "0", "0", 5, 0, 1 },
		{ "3", "50%", 5, 3, 2 },   { "0%", "1%", 3, 0, 1 },   { "100%", "0", 4, 4, 0 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		int64_t s = -1;
		int64_t u = -1;
		deployment_resolve(str_of(rows[i].surge), str_of(rows[i].unavailable),
				   rows[i].replicas, &s, &u);
		cr_assert_eq(s, rows[i].want_surge, "row %zu: %lld", i, (long long)s);
		cr_assert_eq(u, rows[i].want_unavailable, "row %zu", i);
	}
}

static struct deploy_input rolling(const struct deploy_set *sets, size_t n)
{
	return (struct deploy_input){ .replicas = 4,
				      .max_surge = 1,
				      .max_unavailable = 1,
				      .history_limit = 2,
				      .deadline_s = 600,
				      .progress_s = 1000,
				      .sets = sets,
				      .sets_len = n,
				      .now_s = 1000 };
}

Test(deployment_plan, a_new_deployment_gets_a_set_with_all_replicas)
{
	struct arena a = { 0 };
	struct deploy_input in = rolling(NULL, 0);
	struct deploy_plan p = deployment_plan(&a, &in);
	cr_assert(p.create);
	cr_assert_eq(p.create_replicas, 4);
	cr_assert_eq(p.revision, 1);
	cr_assert_not(p.minimum_available);
	arena_fini(&a);
}

Test(deployment_plan, a_new_template_starts_within_the_surge_and_stops_within_unavailable)
{
	struct arena a = { 0 };
	const struct deploy_set sets[] = {
		{ .name = STR("old"),
		  .want = 4,
		  .replicas = 4,
		  .ready = 4,
		  .available = 4,
		  .observed = true,
		  .revision = 3 },
	};
	struct deploy_input in = rolling(sets, 1);
	struct deploy_plan p = deployment_plan(&a, &in);
	cr_assert(p.create);
	cr_assert_eq(p.create_replicas, 1);
	cr_assert_eq(p.revision, 4);
	cr_assert_eq(p.scale_len, 1);
	cr_assert_eq(p.scale[0].replicas, 3);
	arena_fini(&a);
}

Test(deployment_plan, pods_of_the_old_set_that_are_not_available_go_first)
{
	struct arena a = { 0 };
	const struct deploy_set sets[] = {
		{ .name = STR("old"),
		  .created_s = 1,
		  .want = 4,
		  .replicas = 4,
		  .ready = 1,
		  .available = 1,
		  .observed = true },
		{ .name = STR("new"),
		  .created_s = 2,
		  .current = true,
		  .want = 1,
		  .replicas = 1,
		  .observed = true },
	};
	struct deploy_input in = rolling(sets, 2);
	struct deploy_plan p = deployment_plan(&a, &in);
	/* 5 pods, 3 must be available, the new one is not yet: one may go, and it is a broken one */
	for (size_t i = 0; i < p.scale_len; i++)
		if (p.scale[i].set == 0)
			cr_assert_geq(p.scale[i].replicas, 3);
	arena_fini(&a);
}

Test(deployment_plan, recreate_waits_until_the_old_pods_are_gone)
{
	struct arena a = { 0 };
	struct deploy_set sets[] = {
		{ .name = STR("old"), .want = 0, .pods = 1, .observed = true },
		{ .name = STR("new"),
		  .current = true,
		  .want = 0,
		  .observed = true,
		  .created_s = 2 },
	};
	struct deploy_input in = rolling(sets, 2);
	in.recreate = true;
	cr_assert_eq(deployment_plan(&a, &in).scale_len, 0);
	sets[0].pods = 0;
	struct deploy_plan p = deployment_plan(&a, &in);
	cr_assert_eq(p.scale_len, 1);
	cr_assert_eq(p.scale[0].replicas, 4);
	arena_fini(&a);
}

Test(deployment_plan, old_empty_sets_beyond_the_history_are_dropped_oldest_first)
{
	struct arena a = { 0 };
	const struct deploy_set sets[] = {
		{ .name = STR("c"), .created_s = 3, .observed = true },
		{ .name = STR("a"), .created_s = 1, .observed = true },
		{ .name = STR("b"), .created_s = 2, .observed = true },
		{ .name = STR("d"),
		  .created_s = 4,
		  .observed = true,
		  .current = true,
		  .want = 4,
		  .replicas = 4,
		  .available = 4 },
	};
	struct deploy_input in = rolling(sets, 4);
	struct deploy_plan p = deployment_plan(&a, &in);
	cr_assert_eq(p.drop_len, 1);
	cr_assert_eq(p.drop[0], 1);
	cr_assert_eq(p.progress, DEPLOY_COMPLETE);
	arena_fini(&a);
}

Test(deployment_plan, a_stalled_rollout_times_out_and_a_finished_one_does_not)
{
	struct arena a = { 0 };
	const struct deploy_set sets[] = {
		{ .name = STR("new"),
		  .current = true,
		  .want = 4,
		  .replicas = 4,
		  .ready = 2,
		  .available = 2,
		  .observed = true,
		  .revision = 1 },
	};
	struct deploy_input in = rolling(sets, 1);
	in.old_replicas = in.old_updated = 4;
	in.old_ready = in.old_available = 2;
	in.now_s = 1000 + 599;
	cr_assert_eq(deployment_plan(&a, &in).progress, DEPLOY_PROGRESSING);
	in.now_s = 1000 + 600;
	cr_assert_eq(deployment_plan(&a, &in).progress, DEPLOY_TIMED_OUT);
	in.was_complete = true;
	cr_assert_eq(deployment_plan(&a, &in).progress, DEPLOY_COMPLETE);
	in.paused = true;
	cr_assert_eq(deployment_plan(&a, &in).progress, DEPLOY_PAUSED);
	arena_fini(&a);
}

/* ---- scheduler ---- */

static struct sched_node make_node(const char *name, struct sched_label *labels, size_t n)
{
	struct sched_node node = { .name = str_of(name), .labels = { labels, n } };
	sched_resources_add(&node.allocatable, STR("cpu"), 4000);
	sched_resources_add(&node.allocatable, STR("memory"), 8LL << 30);
	sched_resources_add(&node.allocatable, STR("pods"), 110);
	return node;
}

Test(sched_plan, says_how_many_nodes_failed_for_which_reason)
{
	struct arena a = { 0 };
	struct sched_label za[] = { { STR("disk"), STR("ssd") } };
	const struct sched_taint taint[] = { { STR("dedicated"), STR("db"), SCHED_NO_SCHEDULE } };
	struct sched_node nodes[4] = { make_node("a", za, 1), make_node("b", NULL, 0),
				       make_node("c", za, 1), make_node("d", za, 1) };
	nodes[0].taints = taint;
	nodes[0].taints_len = 1;
	nodes[2].unschedulable = true;
	sched_resources_add(&nodes[3].used, STR("cpu"), 3900);
	struct sched_label want[] = { { STR("disk"), STR("ssd") } };
	struct sched_pod pod = { .uid = STR("u"), .node_selector = want, .node_selector_len = 1 };
	sched_resources_add(&pod.requests, STR("cpu"), 500);
	struct buf why = { 0 };
	cr_assert_eq(sched_plan(&a, &pod, nodes, 4, &why), SCHED_NONE);
	cr_assert_str_eq(
		buf_cstr(&why),
		"0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node "
		"affinity/selector, "
		"1 node(s) had untolerated taint {dedicated: db}, 1 node(s) were unschedulable.");
	const struct sched_toleration tol[] = {
		{ .key = STR("dedicated"), .exists = true, .any_effect = true }
	};
	pod.tolerations = tol;
	pod.tolerations_len = 1;
	buf_clear(&why);
	cr_assert_eq(sched_plan(&a, &pod, nodes, 4, &why), 0);
	buf_fini(&why);
	arena_fini(&a);
}

Test(sched_plan, a_hard_spread_keeps_the_skew_over_zones)
{
	struct arena a = { 0 };
	struct sched_label z1[] = { { STR("zone"), STR("1") } };
	struct sched_label z2[] = { { STR("zone"), STR("2") } };
	struct sched_label app[] = { { STR("app"), STR("web") } };
	struct sched_node nodes[3] = { make_node("a", z1, 1), make_node("b", z1, 1),
				       make_node("c", z2, 1) };
	struct str values[] = { STR("web") };
	const struct sched_requirement req[] = {
		{ .key = STR("app"), .op = SCHED_IN, .values = values, .values_len = 1 }
	};
	const struct sched_spread spread[] = {
		{ .topology_key = STR("zone"), .max_skew = 1, .hard = true, .selector = { req, 1 } }
	};
	const struct sched_pod pod = { .uid = STR("u"),
				       .ns = STR("d"),
				       .labels = { app, 1 },
				       .spreads = spread,
				       .spreads_len = 1 };
	struct sched_placed placed[3][16];
	struct buf why = { 0 };
	int zones[2] = { 0, 0 };
	for (int i = 0; i < 12; i++) {
		int at = sched_plan(&a, &pod, nodes, 3, &why);
		cr_assert_neq(at, SCHED_NONE, "%s", buf_cstr(&why));
		placed[at][nodes[at].pods_len++] =
			(struct sched_placed){ STR("d"), { app, 1 }, false };
		nodes[at].pods = placed[at];
		sched_resources_add(&nodes[at].used, STR("pods"), 1);
		zones[at == 2]++;
		cr_assert_leq(zones[0] - zones[1], 1);
		cr_assert_leq(zones[1] - zones[0], 1);
	}
	/* zone 2 takes no more: one in zone 1 is still within the skew, a second is not */
	nodes[2].unschedulable = true;
	int at = sched_plan(&a, &pod, nodes, 3, &why);
	cr_assert_neq(at, SCHED_NONE);
	placed[at][nodes[at].pods_len++] = (struct sched_placed){ STR("d"), { app, 1 }, false };
	buf_clear(&why);
	cr_assert_eq(sched_plan(&a, &pod, nodes, 3, &why), SCHED_NONE);
	cr_assert_str_eq(
		buf_cstr(&why),
		"0/3 nodes are available: 2 node(s) didn't match pod topology spread constraints, "
		"1 node(s) were unschedulable.");
	buf_fini(&why);
	arena_fini(&a);
}

Test(sched_plan, the_same_input_gives_the_same_node_and_equal_nodes_share)
{
	struct arena a = { 0 };
	struct sched_node nodes[4] = { make_node("a", NULL, 0), make_node("b", NULL, 0),
				       make_node("c", NULL, 0), make_node("d", NULL, 0) };
	int seen[4] = { 0 };
	for (int i = 0; i < 64; i++) {
		char uid[16];
		(void)snprintf(uid, sizeof(uid), "uid-%d", i);
		const struct sched_pod pod = { .uid = str_of(uid) };
		struct buf why = { 0 };
		int at = sched_plan(&a, &pod, nodes, 4, &why);
		cr_assert_eq(at, sched_plan(&a, &pod, nodes, 4, &why));
		seen[at]++;
	}
	for (int i = 0; i < 4; i++)
		cr_assert_gt(seen[i], 0);
	arena_fini(&a);
}

/* ---- node lifecycle ---- */

static const struct node_plan_config node_cfg = { .grace_ms = 12000,
						  .breaker_percent = 55,
						  .evict_per_turn = 100 };

Test(node_plan, a_silent_node_is_marked_first_and_evicted_when_the_toleration_is_over)
{
	struct arena a = { 0 };
	const struct node_pod pods[] = { { STR("d/p"), 5, 5, false },
					 { STR("d/daemon"), -1, -1, false } };
	struct node_state n[2] = {
		{ .name = STR("n1"),
		  .zone = STR("z1"),
		  .silent_ms = 13000,
		  .lease_known = true,
		  .pods = pods,
		  .pods_len = 2 },
		{ .name = STR("n2"),
		  .zone = STR("z2"),
		  .silent_ms = 100,
		  .lease_known = true,
		  .reported_ready = true },
	};
	uint64_t again = 0;
	struct node_action *act = node_plan(&a, &node_cfg, n, 2, &again);
	cr_assert(act[0].set_health);
	cr_assert_eq(act[0].health, NODE_UNREACHABLE);
	cr_assert_eq(act[0].evict_len, 0);
	cr_assert_eq(act[1].health, NODE_READY);

	n[0].recorded = NODE_UNREACHABLE;
	n[0].tainted_unreachable = true;
	n[0].tainted_ms = 4000;
	act = node_plan(&a, &node_cfg, n, 2, &again);
	cr_assert_eq(act[0].evict_len, 0);
	cr_assert_eq(act[0].again_ms, 1000);
	n[0].tainted_ms = 5000;
	act = node_plan(&a, &node_cfg, n, 2, &again);
	cr_assert_eq(act[0].evict_len, 1);
	cr_assert_eq(act[0].evict[0], 0);
	arena_fini(&a);
}

Test(node_plan, the_breaker_stops_evictions_when_most_of_a_zone_or_everything_is_silent)
{
	static const struct {
		int silent_z1, of_z1, silent_z2, of_z2;
		bool evicts_z1;
	} rows[] = {
		{ 1, 4, 0, 4, true },  /* one node */
		{ 2, 4, 0, 4, true },  /* half: not yet */
		{ 3, 4, 0, 4, false }, /* 75 %: it is rather the network */
		{ 4, 4, 0, 4, true },  /* the whole zone, another is well: it is lost */
		{ 4, 4, 4, 4, false }, /* everything: it is us */
		{ 1, 1, 0, 1, true },  { 1, 1, 1, 1, false },
	};
	for (size_t r = 0; r < LEN(rows); r++) {
		struct arena a = { 0 };
		const struct node_pod pod = { STR("d/p"), 0, 0, false };
		struct node_state n[8] = { 0 };
		size_t len = 0;
		for (int z = 0; z < 2; z++) {
			int of = z ? rows[r].of_z2 : rows[r].of_z1;
			int silent = z ? rows[r].silent_z2 : rows[r].silent_z1;
			for (int i = 0; i < of; i++)
				n[len++] = (struct node_state){
					.name = STR("n"),
					.zone = z ? STR("z2") : STR("z1"),
					.recorded = i < silent ? NODE_UNREACHABLE : NODE_READY,
					.reported_ready = true,
					.lease_known = true,
					.silent_ms = i < silent ? 60000 : 0,
					.tainted_unreachable = i < silent,
					.tainted_ms = 1000,
					.pods = &pod,
					.pods_len = 1,
				};
		}
		uint64_t again = 0;
		struct node_action *act = node_plan(&a, &node_cfg, n, len, &again);
		cr_assert_eq(act[0].evict_len == 1, rows[r].evicts_z1, "row %zu", r);
		arena_fini(&a);
	}
}

Test(node_plan, a_controller_that_just_started_knows_nothing_and_does_nothing)
{
	struct arena a = { 0 };
	const struct node_state n[] = {
		{ .name = STR("n1"), .zone = STR("z"), .recorded = NODE_READY, .silent_ms = 500 },
		{ .name = STR("n2"),
		  .zone = STR("z"),
		  .recorded = NODE_UNREACHABLE,
		  .silent_ms = 500,
		  .tainted_unreachable = true },
	};
	uint64_t again = 0;
	struct node_action *act = node_plan(&a, &node_cfg, n, 2, &again);
	cr_assert_not(act[0].set_health);
	cr_assert_not(act[1].set_health);
	cr_assert_gt(again, 0);
	arena_fini(&a);
}

Test(node_plan, evictions_are_rationed)
{
	struct arena a = { 0 };
	struct node_pod pods[10];
	for (size_t i = 0; i < 10; i++)
		pods[i] = (struct node_pod){ STR("d/p"), 0, 0, false };
	const struct node_plan_config cfg = { .grace_ms = 1000,
					      .breaker_percent = 55,
					      .evict_per_turn = 3 };
	const struct node_state n[] = {
		{ .name = STR("a"),
		  .zone = STR("z"),
		  .recorded = NODE_UNREACHABLE,
		  .silent_ms = 5000,
		  .lease_known = true,
		  .tainted_unreachable = true,
		  .pods = pods,
		  .pods_len = 10 },
		{ .name = STR("b"), .zone = STR("y"), .reported_ready = true, .lease_known = true },
	};
	uint64_t again = 0;
	struct node_action *act = node_plan(&a, &cfg, n, 2, &again);
	cr_assert_eq(act[0].evict_len, 3);
	cr_assert_eq(again, 1000);
	arena_fini(&a);
}

/* ---- heartbeats ---- */

Test(node_lease, only_a_change_within_one_unbroken_watch_is_a_sign_of_life)
{
	struct lease_watch w = { 0 };
	struct lease_seen s = { 0 };
	lease_polled(&w, true, 1000);
	cr_assert_not(lease_alive(&w, &s));
	lease_see(&w, &s, 7, 1000);
	cr_assert_not(lease_alive(&w, &s), "it may be a dead node's last word");
	lease_see(&w, &s, 7, 2000);
	cr_assert_eq(lease_silent_ms(&w, &s, 0, 5000), 4000);
	lease_see(&w, &s, 8, 6000);
	cr_assert(lease_alive(&w, &s));
	cr_assert_eq(lease_silent_ms(&w, &s, 0, 6500), 500);
	lease_polled(&w, false, 7000);
	lease_polled(&w, true, 60000);
	cr_assert_not(lease_alive(&w, &s), "what was before the gap proves nothing");
	cr_assert_eq(lease_silent_ms(&w, &s, 0, 61000), 1000, "the gap is not the node's silence");
	lease_see(&w, &s, 9, 61000);
	cr_assert_not(lease_alive(&w, &s));
	lease_see(&w, &s, 10, 62000);
	cr_assert(lease_alive(&w, &s));
	struct lease_seen fresh = { 0 };
	cr_assert_eq(lease_silent_ms(&w, &fresh, 63000, 64000), 1000, "a node that just came");
}

/* ---- adoption ---- */

Test(adopt_plan, takes_what_is_nobodys_and_lets_go_what_no_longer_matches)
{
	static const struct {
		const char *app, *controller;
		bool owner_goes, child_goes, finished, other_ns, no_selector;
		enum adopt_what want;
	} rows[] = {
		{ .app = "x", .controller = "", .want = ADOPT_TAKE },
		{ .app = "x", .controller = "me", .want = ADOPT_NOTHING },
		{ .app = "x", .controller = "other", .want = ADOPT_NOTHING },
		{ .app = "y", .controller = "", .want = ADOPT_NOTHING },
		{ .app = "y", .controller = "me", .want = ADOPT_RELEASE },
		{ .app = "y", .controller = "other", .want = ADOPT_NOTHING },
		{ .app = "x", .controller = "", .owner_goes = true, .want = ADOPT_NOTHING },
		{ .app = "y", .controller = "me", .owner_goes = true, .want = ADOPT_NOTHING },
		{ .app = "x", .controller = "", .child_goes = true, .want = ADOPT_NOTHING },
		{ .app = "y", .controller = "me", .child_goes = true, .want = ADOPT_NOTHING },
		{ .app = "x", .controller = "", .finished = true, .want = ADOPT_NOTHING },
		{ .app = "x", .controller = "", .other_ns = true, .want = ADOPT_NOTHING },
		{ .app = "x", .controller = "", .no_selector = true, .want = ADOPT_NOTHING },
	};
	const struct str x = STR("x");
	const struct sched_requirement is = { STR("app"), SCHED_IN, &x, 1 };
	for (size_t i = 0; i < LEN(rows); i++) {
		const struct sched_label app = { STR("app"), str_of(rows[i].app) };
		const struct adopt_owner o = { .uid = STR("me"),
					       .ns = STR("d"),
					       .selector = { &is, rows[i].no_selector ? 0 : 1 },
					       .deleting = rows[i].owner_goes };
		const struct adopt_child c = { .ns = rows[i].other_ns ? STR("e") : STR("d"),
					       .controller_uid = str_of(rows[i].controller),
					       .labels = { &app, 1 },
					       .deleting = rows[i].child_goes,
					       .finished = rows[i].finished };
		cr_assert_eq(adopt_plan(&o, &c), rows[i].want, "row %zu", i);
	}
}

/* ---- jobs ---- */

Test(batch_plan, starts_ends_counts_and_judges)
{
	static const struct {
		const char *what;
		int64_t completions, parallelism, backoff_limit, deadline_s;
		int64_t succeeded, failed, start_s; /* stored */
		int active, ok, bad;                /* tracked pods */
		bool suspend;
		size_t create, untrack, end;
		enum batch_end verdict;
		bool finished;
	} rows[] = {
		{ "begins", 5, 2, 6, -1, .create = 2 },
		{ "no more than are missing", 5, 3, 6, -1, .succeeded = 4, .create = 1 },
		{ "none beside those at work", 5, 2, 6, -1, .active = 2 },
		{ "an end is named before its finalizer goes", 5, 2, 6, -1, .active = 1, .ok = 1,
		  .create = 1 },
		{ "less parallelism: let go before they are ended", 5, 1, 6, -1, .active = 2,
		  .untrack = 1 },
		{ "enough", 2, 2, 6, -1, .succeeded = 2, .verdict = BATCH_COMPLETE,
		  .finished = true },
		{ "enough, but not all counted", 2, 2, 6, -1, .succeeded = 1, .ok = 1,
		  .verdict = BATCH_COMPLETE },
		{ "too many failures", 2, 2, 0, -1, .failed = 1, .active = 1, .end = 1,
		  .verdict = BATCH_BACKOFF_LIMIT },
		{ "gave up", 2, 2, 0, -1, .failed = 1, .verdict = BATCH_BACKOFF_LIMIT,
		  .finished = true },
		{ "too late", 2, 1, 6, 10, .start_s = 980, .active = 1, .end = 1,
		  .verdict = BATCH_DEADLINE },
		{ "in time", 2, 1, 6, 30, .start_s = 980, .active = 1 },
		{ "suspended", 5, 2, 6, -1, .active = 2, .suspend = true, .untrack = 2 },
		{ "a failure is waited behind", 5, 1, 6, -1, .bad = 1 },
		{ "of a queue, the first success stops the starts", -1, 3, 6, -1, .active = 1,
		  .ok = 1 },
		{ "a queue ends with its last worker", -1, 3, 6, -1, .succeeded = 1,
		  .verdict = BATCH_COMPLETE, .finished = true },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct arena a = { 0 };
		struct batch_pod pods[8];
		size_t n = 0;
		for (int k = 0; k < rows[i].active + rows[i].ok + rows[i].bad; k++)
			pods[n++] = (struct batch_pod){
				.uid = arena_strf(&a, "u%d", k),
				.tracked = true,
				.succeeded = k >= rows[i].active && k < rows[i].active + rows[i].ok,
				.failed = k >= rows[i].active + rows[i].ok,
				.ended_s = 999,
			};
		const struct batch_input in = {
			.completions = rows[i].completions,
			.parallelism = rows[i].parallelism,
			.backoff_limit = rows[i].backoff_limit,
			.deadline_s = rows[i].deadline_s,
			.ttl_s = -1,
			.suspend = rows[i].suspend,
			.pods = pods,
			.pods_len = n,
			.succeeded = rows[i].succeeded,
			.failed = rows[i].failed,
			.start_s = rows[i].start_s,
			.now_s = 1000,
		};
		struct batch_plan p = batch_plan(&a, &in);
		cr_assert_eq(p.create, rows[i].create, "%s: %zu", rows[i].what, p.create);
		cr_assert_eq(p.untrack_len, rows[i].untrack, "%s", rows[i].what);
		cr_assert_eq(p.end_len, rows[i].end, "%s", rows[i].what);
		cr_assert_eq(p.verdict, rows[i].verdict, "%s", rows[i].what);
		cr_assert_eq(p.finished, rows[i].finished, "%s", rows[i].what);
		arena_fini(&a);
	}
}
