/* What rctl decides by itself: flags, columns, order, taints, drains, the merging of logs. */
#include "base/arena.h"
#include "base/buf.h"
#include "columns.h"
#include "json/json.h"
#include "options.h"
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
