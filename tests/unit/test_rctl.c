/* What rctl decides by itself: flags, columns, order, taints, drains, the merging of logs. */
#include "base/arena.h"
#include "base/buf.h"
#include "changes.h"
#include "columns.h"
#include "json/json.h"
#include "options.h"
#include "reasons.h"
#include "sets.h"
#include "taints.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json parse(struct arena *a, const char *text)
{
	struct json j;
	struct error err = { 0 };
	cr_assert_eq(json_parse(a, str_of(text), NULL, &j, &err), 0, "%s: %s", text, err.msg);
	return j;
}

Test(rctl, flags_stand_anywhere_and_wrong_ones_are_named)
{
	struct options *o = calloc(1, sizeof(*o));
	struct error err = { 0 };
	char *good[] = { (char[]){ "pods" },   (char[]){ "-wA" },
			 (char[]){ "-nshop" }, (char[]){ "--output" },
			 (char[]){ "json" },   (char[]){ "-l=app=web" },
			 (char[]){ "--" },     (char[]){ "--not-a-flag" } };
	cr_assert_eq(options_parse(o, OPT_GET | OPT_SELECT | OPT_OUTPUT, 8, good, &err), 0, "%s",
		     err.msg);
	cr_assert(o->watch && o->all_namespaces);
	cr_assert_str_eq(o->ns, "shop");
	cr_assert_str_eq(o->output, "json");
	cr_assert_str_eq(o->selector, "app=web");
	cr_assert_eq(o->args_len, 2);
	cr_assert_str_eq(o->args[1], "--not-a-flag");
	static const struct {
		const char *arg, *says;
	} bad[] = { { "--nope", "--nope" },
		    { "--watch=maybe", "--watch" },
		    { "--tail", "--tail" }, /* of another verb */
		    { "-o", "-o" } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "%s", bad[i].arg);
		char *argv[] = { text };
		err = (struct error){ 0 };
		cr_assert_eq(options_parse(o, OPT_GET | OPT_OUTPUT, 1, argv, &err),
			     ERR_BAD_REQUEST);
		cr_assert(strstr(err.msg, bad[i].says), "%s", err.msg);
	}
	free(o);
}

Test(rctl, custom_columns_are_read_and_filled)
{
	struct arena a = { 0 };
	struct error err = { 0 };
	struct columns c;
	struct json obj =
		parse(&a, "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"n\":3,\"l\":[{\"i\":\"x\"},"
			  "{\"i\":\"y\"}],\"m\":{\"k\":true}}}");
	cr_assert_eq(
		columns_parse(
			&a,
			STR("NAME:.metadata.name,N:.spec.n,ALL:.spec.l[*].i,TWO:.spec.l[0,1].i,"
			    "NO:.spec.none,M:.spec.m"),
			&c, &err),
		0, "%s", err.msg);
	cr_assert_eq(c.len, 6);
	struct json cells = columns_cells(&c, &a, &obj);
	static const char *const want[] = { "web", "3", "x,y", "x,y", "<none>", "{\"k\":true}" };
	for (size_t i = 0; i < 6; i++)
		cr_assert(str_is(json_str(json_at(&cells, i)), want[i]), "column %zu: %.*s", i,
			  STR_ARG(json_str(json_at(&cells, i))));
	cr_assert_eq(columns_parse(&a, STR("NAME"), &c, &err), ERR_BAD_REQUEST);
	cr_assert_eq(columns_parse(&a, STR(""), &c, &err), ERR_BAD_REQUEST);
	cr_assert_eq(columns_parse(&a, STR("A:.b["), &c, &err), ERR_BAD_REQUEST);
	cr_assert_eq(columns_parse_file(&a, STR("NAME  RSRC\n.metadata.name .spec.n\n"), &c, &err),
		     0, "%s", err.msg);
	cr_assert_eq(c.len, 2);
	cr_assert_eq(columns_parse_file(&a, STR("A B\n.x\n"), &c, &err), ERR_BAD_REQUEST);
	cr_assert_eq(columns_parse_file(&a, STR("A\n.x .y\n"), &c, &err), ERR_BAD_REQUEST);
	arena_fini(&a);
}

Test(rctl, lists_are_sorted_as_people_expect)
{
	static const struct {
		const char *list, *want;
	} t[] = {
		{ "[{\"v\":\"a10\"},{\"v\":\"a9\"},{\"v\":\"a09x\"}]",
		  "[{\"v\":\"a9\"},{\"v\":\"a09x\"},{\"v\":\"a10\"}]" },
		{ "[{\"v\":10},{\"v\":9.5},{\"v\":-1}]", "[{\"v\":-1},{\"v\":9.5},{\"v\":10}]" },
		{ "[{\"v\":\"1Gi\"},{\"v\":\"900Mi\"},{\"v\":\"2k\"}]",
		  "[{\"v\":\"2k\"},{\"v\":\"900Mi\"},{\"v\":\"1Gi\"}]" },
		{ "[{\"v\":\"b\"},{},{\"v\":\"a\"}]", "[{},{\"v\":\"a\"},{\"v\":\"b\"}]" },
		{ "[{\"v\":\"a\",\"i\":1},{\"v\":\"a\",\"i\":2}]",
		  "[{\"v\":\"a\",\"i\":1},{\"v\":\"a\",\"i\":2}]" },
		{ "[]", "[]" },
	};
	struct arena a = { 0 };
	struct error err = { 0 };
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct json list = parse(&a, t[i].list);
		cr_assert_eq(columns_sort(&a, &list, NULL, STR(".v"), &err), 0, "%s", err.msg);
		cr_assert_str_eq(json_text(&a, &list).p, t[i].want);
	}
	struct json list = parse(&a, "[{\"a\":1}]");
	cr_assert_eq(columns_sort(&a, &list, NULL, STR(".nope"), &err), ERR_BAD_REQUEST);
	cr_assert_eq(columns_natural_cmp(STR("a01"), STR("a1")), 0);
	cr_assert_eq(columns_natural_cmp(STR("n2"), STR("n10")), -1);
	cr_assert_eq(columns_natural_cmp(STR("n"), STR("n1")), -1);
	arena_fini(&a);
}

Test(rctl, logs_are_merged_by_time_and_each_keeps_its_own_order)
{
	const struct log_text logs[] = {
		{ STR("2026-01-01T00:00:01.5Z one\n2026-01-01T00:00:03Z four\n  at line\n"), "a " },
		{ STR("2026-01-01T00:00:01.25Z zero\n2026-01-01T00:00:02+00:00 "
		      "two\n2026-01-01T00:00:02Z \n"),
		  "b " },
		{ STR(""), "c " },
	};
	struct buf out = { 0 };
	columns_merge_logs(logs, 3, false, &out);
	cr_assert_str_eq(buf_cstr(&out), "b zero\na one\nb two\nb \na four\na   at line\n");
	buf_clear(&out);
	columns_merge_logs(logs, 1, true, &out);
	cr_assert_str_eq(buf_cstr(&out),
			 "a 2026-01-01T00:00:01.5Z one\na 2026-01-01T00:00:03Z four\n"
			 "a   at line\n");
	buf_fini(&out);
}

Test(rctl, paths_with_keys_become_paths_with_numbers)
{
	static const struct {
		const char *path, *want;
	} t[] = {
		{ "spec.c[name=\"web\"].env[name=\"B\"].value", "spec.c[1].env[0].value" },
		{ "spec.c[0].env", "spec.c[0].env" },
		{ "spec.p[port=80,protocol=\"UDP\"].x", "spec.p[1].x" },
		{ "spec.c[name=\"none\"].env", "spec.c" },
		{ "spec.none.deeper", "spec.none.deeper" },
		{ "spec.c[", "spec.c" },
		{ "", "" },
	};
	struct arena a = { 0 };
	struct json root =
		parse(&a, "{\"spec\":{\"c\":[{\"name\":\"x\"},{\"name\":\"web\",\"env\":[{\"name\":"
			  "\"B\"}]}],\"p\":[{\"port\":80,\"protocol\":\"TCP\"},{\"port\":80,"
			  "\"protocol\":\"UDP\"}]}}");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct str got = columns_index_path(&a, &root, str_of(t[i].path));
		cr_assert(str_is(got, t[i].want), "%s: %.*s", t[i].path, STR_ARG(got));
	}
	arena_fini(&a);
}

Test(rctl, taints_are_set_replaced_and_removed)
{
	static const struct {
		const char *old, *change;
		bool overwrite;
		int code;
		const char *want;
	} t[] = {
		{ "[]", "k=v:NoSchedule", false, 0,
		  "[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]" },
		{ "[{\"key\":\"k\",\"effect\":\"NoExecute\"}]", "k:NoSchedule", false, 0,
		  "[{\"key\":\"k\",\"effect\":\"NoExecute\"},{\"key\":\"k\",\"effect\":"
		  "\"NoSchedule\"}]" },
		{ "[{\"key\":\"k\",\"value\":\"a\",\"effect\":\"NoSchedule\"}]", "k=b:NoSchedule",
		  false, ERR_CONFLICT, NULL },
		{ "[{\"key\":\"k\",\"value\":\"a\",\"effect\":\"NoSchedule\"}]", "k=b:NoSchedule",
		  true, 0, "[{\"key\":\"k\",\"value\":\"b\",\"effect\":\"NoSchedule\"}]" },
		{ "[{\"key\":\"k\",\"effect\":\"NoSchedule\"},{\"key\":\"k\",\"effect\":"
		  "\"NoExecute\"}]",
		  "k-", false, 0, "[]" },
		{ "[{\"key\":\"k\",\"effect\":\"NoSchedule\"},{\"key\":\"k\",\"effect\":"
		  "\"NoExecute\"}]",
		  "k:NoExecute-", false, 0, "[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]" },
		{ "[]", "k-", false, ERR_NOT_FOUND, NULL },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct taint change;
		struct error err = { 0 };
		struct json old = parse(&a, t[i].old);
		struct json got;
		cr_assert_eq(taint_parse(str_of(t[i].change), &change, &err), 0, "%s", err.msg);
		cr_assert_eq(taints_apply(&a, &old, &change, 1, t[i].overwrite, &got, &err),
			     t[i].code, "case %zu: %s", i, err.msg);
		if (t[i].want)
			cr_assert_str_eq(json_text(&a, &got).p, t[i].want);
	}
	static const char *const bad[] = { "k", "k=v", "k=v:Never", ":NoSchedule", "k:Never-" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct taint change;
		struct error err = { 0 };
		cr_assert_eq(taint_parse(str_of(bad[i]), &change, &err), ERR_BAD_REQUEST, "%s",
			     bad[i]);
	}
	arena_fini(&a);
}

Test(rctl, drain_evicts_only_what_comes_back_or_may_be_lost)
{
#define OWNED(kind) \
	"\"metadata\":{\"ownerReferences\":[{\"kind\":\"" kind "\",\"controller\":true}]}"
	static const struct {
		const char *pod;
		struct drain_rules rules;
		enum drain_verdict want;
	} t[] = {
		{ "{" OWNED("ReplicaSet") "}", { 0 }, DRAIN_EVICT },
		{ "{}", { 0 }, DRAIN_REFUSE },
		{ "{}", { .force = true }, DRAIN_EVICT },
		{ "{\"status\":{\"phase\":\"Succeeded\"}}", { 0 }, DRAIN_EVICT },
		{ "{" OWNED("DaemonSet") "}", { 0 }, DRAIN_REFUSE },
		{ "{" OWNED("DaemonSet") "}", { .ignore_daemonsets = true }, DRAIN_SKIP },
		{ "{" OWNED("ReplicaSet") ",\"spec\":{\"volumes\":[{\"emptyDir\":{}}]}}",
		  { 0 },
		  DRAIN_REFUSE },
		{ "{" OWNED("ReplicaSet") ",\"spec\":{\"volumes\":[{\"emptyDir\":{}}]}}",
		  { .delete_emptydir = true },
		  DRAIN_EVICT },
		{ "{\"metadata\":{\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}}}",
		  { 0 },
		  DRAIN_SKIP },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *why = NULL;
		struct json pod = parse(&a, t[i].pod);
		cr_assert_eq(drain_judge(&pod, &t[i].rules, &why), t[i].want, "case %zu", i);
		cr_assert_eq(*why == '\0', t[i].want == DRAIN_EVICT, "case %zu: %s", i, why);
	}
	arena_fini(&a);
}

Test(rctl, changes_are_named_leaf_by_leaf)
{
	static const struct {
		const char *old, *new, *want;
	} t[] = {
		{ "{\"spec\":{\"n\":6,\"x\":1}}", "{\"spec\":{\"n\":8,\"x\":1}}",
		  "spec.n: 6 -> 8\n" },
		{ "{\"a\":1}", "{\"b\":{\"c\":2}}", "a: 1 -> (none)\nb: (none) -> {\"c\":2}\n" },
		{ "{\"c\":[{\"name\":\"web\",\"image\":\"a\"},{\"name\":\"log\"}]}",
		  "{\"c\":[{\"name\":\"log\"},{\"name\":\"web\",\"image\":\"b\"}]}",
		  "c[name=web].image: a -> b\n" },
		{ "{\"l\":[1,2]}", "{\"l\":[2,1]}", "l: [1,2] -> [2,1]\n" },
		{ "{\"labels\":{\"a.b/c\":\"x\"}}", "{\"labels\":{\"a.b/c\":\"y\"}}",
		  "labels[a.b/c]: x -> y\n" },
		{ "{\"a\":1.0}", "{\"a\":1}", "" },
		{ "{\"t\":\"one\\ntwo\"}", "{}", "t: one two... (7 bytes) -> (none)\n" },
		{ "null", "{\"a\":true}", "a: (none) -> true\n" },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct change *list = arena_new(&a, struct change, CHANGES_MAX);
		struct json x = parse(&a, t[i].old);
		struct json y = parse(&a, t[i].new);
		struct buf out = { 0 };
		size_t n = changes_find(&a, &x, &y, list);
		for (size_t k = 0; k < n; k++) {
			changes_write(&a, &list[k], &out);
			buf_addc(&out, '\n');
		}
		cr_assert_str_eq(buf_cstr(&out), t[i].want, "case %zu: %s", i, buf_cstr(&out));
		buf_fini(&out);
	}
	struct json obj =
		parse(&a, "{\"metadata\":{\"name\":\"x\",\"uid\":\"u\",\"resourceVersion\":\"3\","
			  "\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":["
			  "{\"manager\":\"one\",\"time\":\"2026-01-01T00:00:05Z\"},"
			  "{\"manager\":\"two\",\"time\":\"2026-01-01T00:00:09Z\"},{}]},"
			  "\"status\":{\"a\":1},\"spec\":{}}");
	int64_t ms = 0;
	struct str who;
	cr_assert(changes_when(&obj, &ms, &who));
	cr_assert_eq(ms, 1767225609000);
	cr_assert(str_is(who, "two"));
	struct json wanted = changes_wanted(&a, &obj);
	cr_assert_str_eq(json_text(&a, &wanted).p, "{\"metadata\":{\"name\":\"x\"},\"spec\":{}}");
	cr_assert(json_getc(&obj, "status"), "the object itself stays as it was");
	arena_fini(&a);
}

Test(rctl, a_set_forgets_only_what_it_knew_by_its_uid)
{
	struct arena a = { 0 };
	struct error err = { 0 };
	struct set old;
	struct set now = { 0 };
	cr_assert_eq(set_parse(&a,
			       STR("[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"namespace\":"
				   "\"n\",\"name\":"
				   "\"a\",\"uid\":\"1\"},{\"apiVersion\":\"apps/"
				   "v1beta1\",\"kind\":\"Deployment\","
				   "\"namespace\":\"n\",\"name\":\"w\",\"uid\":\"2\"},{"
				   "\"apiVersion\":\"v1\",\"kind\":"
				   "\"ConfigMap\",\"namespace\":\"n\",\"name\":\"never\"},{"
				   "\"apiVersion\":\"v1\","
				   "\"kind\":\"ConfigMap\",\"namespace\":\"m\",\"name\":\"a\","
				   "\"uid\":\"4\"}]"),
			       &old, &err),
		     0, "%s", err.msg);
	cr_assert_eq(old.len, 4);
	/* another version of the kind is the same object */
	const struct set_member w = { STR("apps/v1"), STR("Deployment"), STR("n"), STR("w"),
				      STR("") };
	set_put(&a, &now, &w);
	struct set stale = set_stale(&a, &old, &now);
	cr_assert_eq(stale.len, 2);
	cr_assert(str_is(stale.v[0].uid, "4") && str_is(stale.v[1].uid, "1"));
	set_put(&a, &old, &w);
	cr_assert_eq(old.len, 4);
	cr_assert(str_is(set_find(&old, &w)->uid, "2"), "an unknown uid does not hide a known one");
	struct set again;
	cr_assert_eq(set_parse(&a, set_text(&a, &old), &again, &err), 0);
	cr_assert(str_eq(set_text(&a, &again), set_text(&a, &old)));
	static const char *const bad[] = { "", "{}", "[1]", "[{\"kind\":\"x\"}]", "[" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(set_parse(&a, str_of(bad[i]), &again, &err), ERR_INVALID, "%s",
			     bad[i]);
	arena_fini(&a);
}

Test(rctl, why_says_the_reason_in_a_sentence)
{
#define POD "\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}"
#define ON  "\"spec\":{\"nodeName\":\"n1\"}"
	static const struct {
		const char *obj, *node, *events, *want;
		bool well;
	} t[] = {
		{ "{" POD ",\"spec\":{},\"status\":{\"phase\":\"Pending\",\"conditions\":[{"
		  "\"type\":\"PodScheduled\","
		  "\"status\":\"False\",\"message\":\"0/2 nodes are available: 2 Insufficient "
		  "cpu.\"}]}}",
		  NULL, NULL, "has no node: 0/2 nodes are available: 2 Insufficient cpu", false },
		{ "{" POD ",\"spec\":{},\"status\":{\"phase\":\"Pending\"}}", NULL, NULL,
		  "has no node yet: the scheduler has not decided", false },
		{ "{" POD "," ON ",\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":"
		  "\"Ready\",\"status\":"
		  "\"True\"}]}}",
		  "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}", NULL,
		  "runs on node n1 and is ready", true },
		{ "{" POD "," ON ",\"status\":{\"phase\":\"Running\"}}",
		  "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"conditions\":[{\"type\":\"Ready\","
		  "\"status\":"
		  "\"Unknown\",\"message\":\"no heartbeat for 20 s\"}]}}",
		  NULL, "is on node n1, which is not ready: no heartbeat for 20 s", false },
		{ "{" POD "," ON
		  ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"web\","
		  "\"restartCount\":4,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},"
		  "\"lastState\":{"
		  "\"terminated\":{\"exitCode\":3,\"reason\":\"Error\"}}}]}}",
		  NULL, NULL,
		  "is not running because container web ended with exit code 3, 4 restarts so far; "
		  "it is "
		  "started again after a pause (see its last words with 'rctl logs --previous')",
		  false },
		{ "{" POD "," ON
		  ",\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"web\","
		  "\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\",\"message\":\"no driver for "
		  "images\"}}}]}}",
		  NULL, NULL, "waits because container web is not started: no driver for images",
		  false },
		{ "{" POD "," ON
		  ",\"status\":{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"web\","
		  "\"state\":{\"terminated\":{\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]}}",
		  NULL, NULL,
		  "has failed because container web was killed because it used more memory than "
		  "its limit",
		  false },
		{ "{" POD "," ON
		  ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"web\","
		  "\"ready\":false,\"state\":{\"running\":{}}}]}}",
		  NULL,
		  "[{\"type\":\"Warning\",\"message\":\"Readiness probe failed: exit code "
		  "1\",\"lastTimestamp\":"
		  "\"2026-01-01T00:00:02Z\"},{\"type\":\"Warning\",\"message\":\"older\","
		  "\"lastTimestamp\":"
		  "\"2026-01-01T00:00:01Z\"},{\"type\":\"Normal\",\"message\":\"newest\","
		  "\"lastTimestamp\":"
		  "\"2026-01-01T00:00:03Z\"}]",
		  "runs on node n1 but is not ready: container web: Readiness probe failed: exit "
		  "code 1",
		  false },
		{ "{" POD "," ON ",\"status\":{\"phase\":\"Succeeded\"}}", NULL, NULL,
		  "has done its work and ended well", true },
		{ "{\"kind\":\"Pod\",\"metadata\":{\"deletionTimestamp\":\"T\"}," ON "}", NULL,
		  NULL, "is being deleted since T, until node n1 says that it has ended", false },
		{ "{\"kind\":\"Deployment\",\"spec\":{\"replicas\":3},\"status\":{\"replicas\":0,"
		  "\"conditions\":[{"
		  "\"type\":\"Placed\",\"status\":\"False\",\"message\":\"no Placement selects "
		  "it\"}]}}",
		  NULL, NULL, "wants 3 replicas, has 0, 0 of them ready: no Placement selects it",
		  false },
		{ "{\"kind\":\"Node\",\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":"
		  "[{\"type\":"
		  "\"MemoryPressure\",\"status\":\"False\"},{\"type\":\"Ready\",\"status\":"
		  "\"True\"}]}}",
		  NULL, NULL, "is well but takes no new pods: it is cordoned", true },
		{ "{\"kind\":\"Node\",\"status\":{\"conditions\":[{\"type\":\"MemoryPressure\","
		  "\"status\":"
		  "\"True\",\"message\":\"10 MB left\"}]}}",
		  NULL, NULL, "has condition MemoryPressure=True: 10 MB left", false },
		{ "{\"kind\":\"ConfigMap\"}", NULL, NULL,
		  "is there; it has no conditions that would say more", true },
	};
	struct arena a = { 0 };
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct json obj = parse(&a, t[i].obj);
		struct json node = parse(&a, t[i].node ? t[i].node : "null");
		struct json events = parse(&a, t[i].events ? t[i].events : "[]");
		struct reasons known = { .node = t[i].node ? &node : NULL, .events = &events };
		struct buf out = { 0 };
		cr_assert_eq(reasons_say(&obj, &known, &out), t[i].well, "case %zu", i);
		cr_assert_str_eq(buf_cstr(&out), t[i].want, "case %zu: %s", i, buf_cstr(&out));
		buf_fini(&out);
	}
	arena_fini(&a);
}

Test(changes, notes_of_controllers_are_nobodys_intention_and_stay)
{
	static const char was[] = "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"replicas\":6}}";
	static const char now[] =
		"{\"metadata\":{\"name\":\"w\",\"finalizers\":[\"f\"],\"annotations\":{"
		"\"fleet.rctl.io/placed\":\"a=6\"}},\"spec\":{\"replicas\":6}}";
	struct arena a = { 0 };
	struct json x, y;
	cr_assert_eq(json_parse(&a, str_of(was), NULL, &x, NULL), 0);
	cr_assert_eq(json_parse(&a, str_of(now), NULL, &y, NULL), 0);
	struct json ix = changes_intended(&a, &x), iy = changes_intended(&a, &y);
	cr_assert(json_equal(&ix, &iy));
	changes_keep_notes(&a, &x, &y);
	cr_assert(json_equal(&x, &y), "%s", json_text(&a, &x).p);
	json_setc(&a, json_getc(&x, "spec"), "replicas", json_of_i64(7));
	ix = changes_intended(&a, &x);
	cr_assert(!json_equal(&ix, &iy));
	arena_fini(&a);
}
