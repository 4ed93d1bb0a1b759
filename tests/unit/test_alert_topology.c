#include "base/mem.h"
#include "inhibit.h"
#include "topology.h"

#include <criterion/criterion.h>

#include <stdio.h>

/* ---- topology ---- */

/* Nodes as words "NAME:ZONE:NETWORK" with a mark: "!" silent, "-" cordoned and silent. */
static size_t nodes_of(struct arena *a, const char *text, struct topology_node v[16])
{
	size_t n = 0;
	struct str rest = str_of(text);
	struct str word;
	while (rest.len && str_split(&rest, ' ', &word)) {
		struct str name, zone;
		bool silent = str_starts(word, STR("!"));
		bool excused = str_starts(word, STR("-"));
		word = str_sub(word, silent || excused, word.len);
		(void)str_split(&word, ':', &name);
		(void)str_split(&word, ':', &zone);
		v[n++] = (struct topology_node){ .name = arena_str(a, name),
						 .region = STR("r"),
						 .zone = arena_str(a, zone),
						 .network = arena_str(a, word),
						 .silent = silent || excused,
						 .excused = excused };
	}
	return n;
}

/* The silent places as "AXIS zone/network silent/nodes [members]; …". */
static void check_places(struct topology *t, const char *text, const char *want)
{
	struct arena a = { 0 };
	struct topology_node v[16];
	struct topology_place *p = NULL;
	size_t n = 0;
	struct buf b = { 0 };
	topology_run(t, &a, v, nodes_of(&a, text, v), &p, &n);
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s%s %.*s/%.*s %zu/%zu [%.*s]", i ? "; " : "",
			 topology_axis_name(p[i].axis), STR_ARG(p[i].zone), STR_ARG(p[i].network),
			 p[i].silent, p[i].nodes, STR_ARG(p[i].members));
	cr_expect_str_eq(buf_cstr(&b), want, "%s\n  gives %s\n  not   %s", text, buf_cstr(&b),
			 want);
	buf_fini(&b);
	arena_fini(&a);
}

Test(topology, judges_places_by_their_nodes)
{
	static const struct {
		const char *nodes, *want;
	} table[] = {
		{ "", "" },
		{ "!a:z1:n1 !b:z1:n1", "" }, /* too few */
		{ "!a:z1:n1 !b:z1:n1 !c:z1:n1 d:z2:n2", "both z1/n1 3/3 [a, b, c]" },
		{ "!a:z1:n1 !b:z1:n1 !c:z1:n1 d:z1:n1 e:z1:n1 f:z1:n1",
		  "both z1/n1 3/6 [a, b, c]" },
		{ "!a:z1:n1 !b:z1:n1 !c:z1:n1 d:z1:n1 e:z1:n1 f:z1:n1 g:z1:n1", "" },
		{ "!a:z1: !b:z1: !c:z1: x:z2:", "zone z1/ 3/3 [a, b, c]" },
		{ "!a::n1 !b::n1 !c::n1 x::n2", "network /n1 3/3 [a, b, c]" },
		/* a network with another zone in it that is well */
		{ "!a:z1:n1 !b:z1:n1 !c:z1:n1 d:z2:n1 e:z2:n1 f:z2:n1 g:z2:n1",
		  "zone z1/n1 3/3 [a, b, c]" },
		/* a zone with two networks, one of them silent */
		{ "!a:z1:n1 !b:z1:n1 !c:z1:n1 d:z1:n2 e:z1:n2 f:z1:n2 g:z1:n2",
		  "network z1/n1 3/3 [a, b, c]" },
		{ "-a:z1:n1 -b:z1:n1 !c:z1:n1 d:z1:n1", "" }, /* somebody works at them */
		{ "-a:z1:n1 !b:z1:n1 !c:z1:n1 !d:z1:n1 e:z2:n2", "both z1/n1 3/3 [b, c, d]" },
		{ "!a:z1:n1 !b:z1:n1 !c:z1:n1 !d:z2:n2 !e:z2:n2 !f:z2:n2",
		  "both z1/n1 3/3 [a, b, c]; both z2/n2 3/3 [d, e, f]; region / 6/6 [a, b, c, d, "
		  "e, f]" },
		{ "!a:: !b:: !c::", "" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct topology t;
		topology_init(&t, 1);
		check_places(&t, table[i].nodes, table[i].want);
		topology_fini(&t);
	}
}

Test(topology, keeps_a_place_silent_until_few_of_its_nodes_are)
{
	struct topology t;
	topology_init(&t, 1);
	check_places(&t, "!a:z:n !b:z:n !c:z:n d:z:n", "both z/n 3/4 [a, b, c]");
	check_places(&t, "a:z:n b:z:n !c:z:n !d:z:n", "both z/n 2/4 [a, b, c, d]");
	check_places(&t, "a:z:n b:z:n c:z:n !d:z:n", "");
	check_places(&t, "a:z:n b:z:n !c:z:n !d:z:n", "");
	topology_recall(&t, STR("both"), STR("r"), STR("z"), STR("n"));
	check_places(&t, "a:z:n b:z:n !c:z:n !d:z:n", "both z/n 2/4 [c, d]");
	topology_recall(&t, STR("zone"), STR("r"), STR("gone"), STR(""));
	check_places(&t, "", "");
	cr_expect_eq(t.down.len, 0);
	topology_fini(&t);
}

Test(topology, holds_back_nodes_that_have_peers)
{
	struct arena a = { 0 };
	struct topology t;
	struct topology_node v[16];
	struct topology_place *p = NULL;
	size_t n = 0;
	topology_init(&t, 1);
	topology_run(&t, &a, v, nodes_of(&a, "!a:z1:n1 b:z1:n1 c:z1:n1 !d:z2:n2 !e::", v), &p, &n);
	cr_expect_eq(topology_hold_ms(&v[0]), PLACE_HOLD_MS);
	cr_expect_eq(topology_hold_ms(&v[3]), 0);
	cr_expect_eq(topology_hold_ms(&v[4]), 0);
	topology_fini(&t);
	arena_fini(&a);
}

/* ---- inhibition ---- */

static struct labels labels(struct arena *a, const char *text)
{
	struct label *v = arena_new(a, struct label, 8);
	size_t n = 0;
	struct str rest = str_of(text);
	struct str word;
	struct str name;
	struct error err = { 0 };
	while (str_split(&rest, ' ', &word)) {
		(void)str_split(&word, '=', &name);
		v[n++] = (struct label){ name, word };
	}
	cr_assert_eq(labels_check(v, &n, 4096, &err), 0, "%s", err.msg);
	return (struct labels){ v, n };
}

Test(inhibit, follows_from_the_topology)
{
	static const struct {
		const char *source, *target;
		bool inhibited;
	} table[] = {
		{ "alertname=ZoneSilent axis=both cluster=c zone=z1 network_az=n1 region=r",
		  "alertname=NodeSilent cluster=c node=a zone=z1 network_az=n1 region=r", true },
		{ "alertname=ZoneSilent axis=both cluster=c zone=z1 network_az=n1 region=r",
		  "alertname=NodeSilent cluster=c node=a zone=z2 network_az=n2 region=r", false },
		{ "alertname=ZoneSilent axis=both cluster=c zone=z1 network_az=n1 region=r",
		  "alertname=NodeSilent cluster=other node=a zone=z1 network_az=n1 region=r",
		  false },
		{ "alertname=ZoneSilent axis=both cluster=c zone=z1 network_az=n1 region=r",
		  "alertname=ZoneSilent axis=both cluster=c zone=z1 network_az=n1 region=r",
		  false },
		{ "alertname=ZoneSilent axis=network cluster=c network_az=n1 region=r",
		  "alertname=ZoneSilent axis=zone cluster=c zone=z1 network_az=n1 region=r", true },
		{ "alertname=ZoneSilent axis=zone cluster=c zone=z1 network_az=n1 region=r",
		  "alertname=ZoneSilent axis=network cluster=c network_az=n1 region=r", false },
		{ "alertname=ZoneSilent axis=zone cluster=c zone=z1 region=r",
		  "alertname=ZoneSilent axis=network cluster=c zone=z1 network_az=n1 region=r",
		  true },
		{ "alertname=ZoneSilent axis=region cluster=c region=r",
		  "alertname=ZoneSilent axis=both cluster=c zone=z1 network_az=n1 region=r", true },
		{ "alertname=ZoneSilent axis=region cluster=c region=r",
		  "alertname=Mine cluster=c region=r", false },
		{ "alertname=NodeSilent cluster=c node=a zone=z1",
		  "alertname=TargetDown cluster=c node=a", true },
		{ "alertname=NodeSilent cluster=c node=a zone=z1",
		  "alertname=TargetDown cluster=c node=b", false },
		{ "alertname=NodeSilent cluster=c node=a", "alertname=Mine cluster=c", false },
		{ "alertname=ClusterSilent cluster=c", "alertname=Mine cluster=c", true },
		{ "alertname=ClusterSilent cluster=c", "alertname=Mine cluster=d", false },
		{ "alertname=ClusterSilent cluster=c", "alertname=Mine", false },
		{ "alertname=Other cluster=c node=a", "alertname=Mine cluster=c node=a", false },
	};
	struct inhibit_rule rules[INHIBIT_BUILTIN_LEN];
	inhibit_builtin(rules);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct arena a = { 0 };
		struct inhibit x;
		int64_t due = INT64_MAX;
		inhibit_init(&x, rules, INHIBIT_BUILTIN_LEN, 1);
		(void)inhibit_change(&x, labels(&a, table[i].source), true, 1000, &due);
		cr_expect_eq(inhibit_is(&x, labels(&a, table[i].target), 1000, NULL),
			     table[i].inhibited, "%s: %s", table[i].source, table[i].target);
		inhibit_fini(&x);
		arena_fini(&a);
	}
	inhibit_rules_fini(rules, INHIBIT_BUILTIN_LEN);
}

Test(inhibit, lingers_and_is_forgotten)
{
	struct arena a = { 0 };
	struct inhibit_rule rules[INHIBIT_BUILTIN_LEN];
	struct inhibit x;
	int64_t due = INT64_MAX;
	inhibit_builtin(rules);
	inhibit_init(&x, rules, INHIBIT_BUILTIN_LEN, 1);
	struct labels source = labels(&a, "alertname=NodeSilent cluster=c node=a");
	struct labels target = labels(&a, "alertname=T cluster=c node=a");
	cr_expect(!inhibit_change(&x, target, true, 1000, &due));
	cr_expect(inhibit_change(&x, source, true, 1000, &due));
	cr_expect(inhibit_change(&x, source, true, 1000, &due)); /* of two rules */
	cr_expect(inhibit_change(&x, source, false, 2000, &due));
	cr_expect(inhibit_is(&x, target, 900000, NULL), "one still fires");
	cr_expect(inhibit_change(&x, source, false, 3000, &due));
	size_t by = 99;
	cr_expect(inhibit_is(&x, target, 3000 + INHIBIT_LINGER_MS - 1, &by) && by == 4);
	cr_expect(!inhibit_is(&x, target, 3000 + INHIBIT_LINGER_MS, NULL));
	due = INT64_MAX;
	inhibit_sweep(&x, 3000, &due);
	cr_expect_eq(due, 3000 + INHIBIT_LINGER_MS);
	due = INT64_MAX;
	inhibit_sweep(&x, 3000 + INHIBIT_LINGER_MS, &due);
	cr_expect_eq(due, INT64_MAX);
	cr_expect_eq(x.v[4].sources.len, 0);
	inhibit_fini(&x);
	inhibit_rules_fini(rules, INHIBIT_BUILTIN_LEN);
	arena_fini(&a);
}

Test(inhibit, what_is_both_source_and_target_does_not_inhibit_itself)
{
	struct arena a = { 0 };
	struct inhibit_rule r = { .equal = { STR("zone") }, .equal_len = 1 };
	struct error err;
	struct inhibit x;
	int64_t due = INT64_MAX;
	cr_assert_eq(matcher_init(&r.source[0], MATCHER_REGEX, STR("s"), STR("1|2"), &err), 0);
	cr_assert_eq(matcher_init(&r.target[0], MATCHER_REGEX, STR("s"), STR("2|3"), &err), 0);
	r.source_len = r.target_len = 1;
	inhibit_init(&x, &r, 1, 1);
	(void)inhibit_change(&x, labels(&a, "s=2"), true, 1000, &due);
	cr_expect(!inhibit_is(&x, labels(&a, "s=2"), 1000, NULL));
	cr_expect(inhibit_is(&x, labels(&a, "s=3"), 1000, NULL));
	(void)inhibit_change(&x, labels(&a, "s=1"), true, 1000, &due);
	cr_expect(inhibit_is(&x, labels(&a, "s=2"), 1000, NULL));
	(void)inhibit_change(&x, labels(&a, "s=1"), false, 1000, &due);
	cr_expect(!inhibit_is(&x, labels(&a, "s=2"), 1000, NULL));
	inhibit_fini(&x);
	inhibit_rules_fini(&r, 1);
	arena_fini(&a);
}
