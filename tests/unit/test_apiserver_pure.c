#include "apiserver/apiserver_priv.h"

#include <criterion/criterion.h>

Test(apiserver_pure, paths_become_what_request_info_says)
{
	static const struct {
		const char *method, *target, *verb, *group, *version, *ns, *resource, *sub, *name;
	} cases[] = {
		{ "GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", "" },
		{ "GET", "/api/v1/namespaces/other", "get", "", "v1", "other", "namespaces", "",
		  "other" },
		{ "PUT", "/api/v1/namespaces/x/finalize", "update", "", "v1", "x", "namespaces",
		  "finalize", "x" },
		{ "PATCH", "/api/v1/namespaces/x/status", "patch", "", "v1", "x", "namespaces",
		  "status", "x" },
		{ "GET", "/api/v1/namespaces/other/pods", "list", "", "v1", "other", "pods", "",
		  "" },
		{ "GET", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "",
		  "foo" },
		{ "HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "",
		  "foo" },
		{ "GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", "" },
		{ "POST", "/api/v1/namespaces/other/pods", "create", "", "v1", "other", "pods", "",
		  "" },
		{ "DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "", "v1", "other",
		  "pods", "", "" },
		{ "DELETE", "/api/v1/namespaces/other/pods/a", "delete", "", "v1", "other", "pods",
		  "", "a" },
		{ "GET", "/api/v1/watch/namespaces/other/pods", "watch", "", "v1", "other", "pods",
		  "", "" },
		{ "GET", "/api/v1/namespaces/other/pods/foo/log", "get", "", "v1", "other", "pods",
		  "log", "foo" },
		{ "GET", "/apis/apps/v1/deployments", "list", "apps", "v1", "", "deployments", "",
		  "" },
		{ "PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch", "apps", "v1",
		  "a", "deployments", "scale", "d" },
		{ "GET", "/api/v1/nodes/a%20b", "get", "", "v1", "", "nodes", "", "a b" },
		{ "GET", "/api/v1//nodes//x/", "get", "", "v1", "", "nodes", "", "x" },
		{ "GET", "/healthz", "get", "", "", "", "", "", "" },
		{ "POST", "/healthz?x=1", "post", "", "", "", "", "", "" },
		{ "GET", "/api", "get", "", "", "", "", "", "" },
		{ "GET", "/api/v1", "get", "", "", "", "", "", "" },
		{ "GET", "/apis/apps/v1", "get", "", "", "", "", "", "" },
		{ "OPTIONS", "/", "options", "", "", "", "", "", "" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		struct route r;
		struct error err = { 0 };
		cr_assert_eq(
			route_parse(&a, str_of(cases[i].method), str_of(cases[i].target), &r, &err),
			0, "%s: %s", cases[i].target, err.msg);
		cr_expect(str_is(r.verb, cases[i].verb), "%s: verb %.*s", cases[i].target,
			  STR_ARG(r.verb));
		cr_expect(str_is(r.group, cases[i].group) && str_is(r.version, cases[i].version) &&
				  str_is(r.ns, cases[i].ns) &&
				  str_is(r.resource, cases[i].resource) &&
				  str_is(r.subresource, cases[i].sub) &&
				  str_is(r.name, cases[i].name),
			  "%s", cases[i].target);
		cr_expect_eq(r.is_resource, cases[i].resource[0] != 0, "%s", cases[i].target);
		arena_fini(&a);
	}
}

Test(apiserver_pure, paths_that_two_readers_could_take_differently_are_refused)
{
	static const struct {
		const char *method, *target;
		int want;
	} cases[] = {
		{ "GET", "/api/v1/nodes/a%2Fb", ERR_BAD_REQUEST },
		{ "GET", "/api/v1/nodes/a%00", ERR_BAD_REQUEST },
		{ "GET", "/api/v1/nodes/%zz", ERR_BAD_REQUEST },
		{ "GET", "api", ERR_BAD_REQUEST },
		{ "GET", "", ERR_BAD_REQUEST },
		{ "BREW", "/api/v1/nodes", ERR_METHOD },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		struct route r;
		cr_expect_eq(
			route_parse(&a, str_of(cases[i].method), str_of(cases[i].target), &r, NULL),
			cases[i].want, "%s", cases[i].target);
		arena_fini(&a);
	}
}

Test(apiserver_pure, options_are_read_as_kubernetes_reads_them)
{
	struct arena a = { 0 };
	struct options o;
	struct error err = { 0 };
	struct str q = STR(
		"labelSelector=app%3Ddemo%2Ctier+in+%28a%29&limit=500&watch=true&"
		"allowWatchBookmarks=1&"
		"resourceVersion=12&resourceVersionMatch=NotOlderThan&timeoutSeconds=30&dryRun=All&"
		"fieldValidation=Strict&sendInitialEvents=false&unknown=x");
	cr_assert_eq(options_parse(&a, q, &o, &err), 0, "%s", err.msg);
	cr_expect(str_is(o.label_selector, "app=demo,tier in (a)"));
	cr_expect(o.limit == 500 && o.watch && o.bookmarks && o.resource_version == 12 &&
		  o.timeout_s == 30);
	cr_expect(o.match == MATCH_NOT_OLDER && o.dry_run && o.send_initial_given &&
		  !o.send_initial);
	static const struct {
		const char *query;
		int code;
	} bad[] = {
		{ "limit=-1", ERR_BAD_REQUEST },
		{ "limit=x", ERR_BAD_REQUEST },
		{ "resourceVersion=abc", ERR_BAD_REQUEST },
		{ "watch=maybe", ERR_BAD_REQUEST },
		{ "timeoutSeconds=1.5", ERR_BAD_REQUEST },
		{ "a=%g1", ERR_BAD_REQUEST },
		{ "dryRun=Some", ERR_INVALID },
		{ "fieldValidation=Loud", ERR_INVALID },
		{ "resourceVersionMatch=Some", ERR_INVALID },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_eq(options_parse(&a, str_of(bad[i].query), &o, NULL), bad[i].code, "%s",
			     bad[i].query);
	cr_assert_eq(options_parse(&a, STR(""), &o, &err), 0);
	cr_expect(o.resource_version == -1 && o.grace_s == -1 && !o.watch);
	arena_fini(&a);
}

Test(apiserver_pure, the_first_representation_that_we_have_is_chosen)
{
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"
	static const struct {
		const char *accept;
		int want; /* -1 = 406 */
	} cases[] = {
		{ "", AS_OBJECT },
		{ "*/*", AS_OBJECT },
		{ "application/json", AS_OBJECT },
		{ TABLE, AS_TABLE },
		{ TABLE ",application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
		  AS_TABLE },
		{ "application/json;as=Table;v=v2;g=meta.k8s.io,application/json", AS_OBJECT },
		{ "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/"
		  "json",
		  AS_PARTIAL },
		{ "application/vnd.kubernetes.protobuf,application/json", AS_OBJECT },
		{ "application/vnd.kubernetes.protobuf", -1 },
		{ "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io," TABLE,
		  AS_TABLE },
		{ "application/json;q=0.5," TABLE, AS_TABLE },
		{ "text/html, application/json;q=0", -1 },
		{ "application/yaml", -1 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct accept got;
		int rc = accept_parse(str_of(cases[i].accept), STR("gzip, br;q=0"), &got, NULL);
		cr_expect_eq(rc, cases[i].want < 0 ? ERR_NOT_ACCEPTABLE : 0, "%s", cases[i].accept);
		cr_expect(rc || ((int)got.as == cases[i].want && got.gzip), "%s", cases[i].accept);
	}
	cr_expect(accept_wants_aggregated(
		STR("application/"
		    "json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")));
	cr_expect_not(accept_wants_aggregated(STR("application/json, */*")));
	cr_expect_not(accept_wants_aggregated(
		STR("application/json,application/"
		    "json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")));
}

Test(apiserver_pure, a_continue_token_reads_back_as_it_was_written)
{
	struct arena a = { 0 };
	struct continue_token t = { .rev = 1234567890123, .start = STR("shop/web-1") }, back;
	struct str text = continue_write(&a, &t);
	cr_assert_eq(continue_read(&a, text, &back, NULL), 0);
	cr_expect_eq(back.rev, t.rev);
	cr_expect(str_eq(back.start, t.start));
	/* As kube-apiserver writes it: {"v":"meta.k8s.io/v1","rv":5,"start":"a\u0000"}, with padding. */
	cr_assert_eq(
		continue_read(
			&a, STR("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhXHUwMDAwIn0="),
			&back, NULL),
		0);
	cr_expect(back.rev == 5 && back.start.len == 2);
	static const char *const bad[] = {
		"",
		"x",
		"!!!",
		"e30",
		"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0",
		"eyJ2IjoidjIiLCJydiI6NSwic3RhcnQiOiJhIn0"
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_eq(continue_read(&a, str_of(bad[i]), &back, NULL), ERR_BAD_REQUEST, "%s",
			     bad[i]);
	arena_fini(&a);
}

Test(apiserver_pure, a_status_has_the_members_of_kubernetes_in_its_order)
{
	struct buf out = { 0 };
	struct status_cause cause = { STR("FieldValueRequired"), STR("Required value"),
				      STR("spec.x") };
	struct status st = { .code = ERR_INVALID,
			     .message = STR("say \"no\""),
			     .name = STR("web"),
			     .group = STR("apps"),
			     .kind = STR("Deployment"),
			     .causes = &cause,
			     .causes_len = 1 };
	status_write(&out, &st);
	cr_expect_str_eq(buf_cstr(&out),
			 "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
			 "\"Failure\",\"message\":"
			 "\"say "
			 "\\\"no\\\"\",\"reason\":\"Invalid\",\"details\":{\"name\":\"web\","
			 "\"group\":\"apps\",\"kind\":"
			 "\"Deployment\",\"causes\":[{\"reason\":\"FieldValueRequired\","
			 "\"message\":\"Required value\",\"field\":"
			 "\"spec.x\"}]},\"code\":422}\n");
	buf_clear(&out);
	st = (struct status){ .code = ERR_EXPIRED,
			      .message = STR("old"),
			      .continue_token = STR("abc") };
	status_write(&out, &st);
	cr_expect_str_eq(buf_cstr(&out),
			 "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{\"continue\":"
			 "\"abc\"},\"status\":\"Failure\","
			 "\"message\":\"old\",\"reason\":\"Expired\",\"code\":410}\n");
	buf_fini(&out);
}

/* ---- deletion ---- */

static bool mark(struct arena *a, const char *resource, const struct delete_options *o,
		 const char *text, struct json *obj)
{
	static const struct {
		const char *name;
		bool ns;
	} kinds[] = { { "pods", true }, { "namespaces", false }, { "configmaps", true } };
	struct kind k = { .builtin = true };
	for (size_t i = 0; i < 3; i++)
		if (!strcmp(kinds[i].name, resource)) {
			k.plural = str_of(kinds[i].name);
			k.namespaced = kinds[i].ns;
		}
	cr_assert_eq(json_parse(a, str_of(text), NULL, obj, NULL), 0);
	return delete_marks(a, &k, o, 1000, obj);
}

Test(apiserver_pure, a_deletion_removes_or_marks)
{
	static const struct {
		const char *resource, *obj;
		enum route_propagation policy;
		int64_t grace;
		const char *want; /* NULL = removed at once */
	} cases[] = {
		{ "configmaps", "{\"metadata\":{}}", PROPAGATE_DEFAULT, -1, NULL },
		{ "configmaps", "{\"metadata\":{}}", PROPAGATE_BACKGROUND, 30, NULL },
		{ "configmaps", "{\"metadata\":{\"finalizers\":[\"x/y\"],\"generation\":3}}",
		  PROPAGATE_DEFAULT, -1,
		  "{\"metadata\":{\"finalizers\":[\"x/"
		  "y\"],\"generation\":4,\"deletionTimestamp\":\"1970-01-01T00:16:40Z\","
		  "\"deletionGracePeriodSeconds\":0}}" },
		{ "configmaps", "{\"metadata\":{}}", PROPAGATE_ORPHAN, -1,
		  "{\"metadata\":{\"finalizers\":[\"orphan\"],\"deletionTimestamp\":\"1970-01-"
		  "01T00:16:40Z\","
		  "\"deletionGracePeriodSeconds\":0}}" },
		{ "configmaps", "{\"metadata\":{\"finalizers\":[\"orphan\"]}}",
		  PROPAGATE_FOREGROUND, -1,
		  "{\"metadata\":{\"finalizers\":[\"foregroundDeletion\"],\"deletionTimestamp\":"
		  "\"1970-01-01T00:16:40Z\","
		  "\"deletionGracePeriodSeconds\":0}}" },
		{ "pods", "{\"metadata\":{},\"spec\":{}}", PROPAGATE_DEFAULT, -1, NULL },
		{ "pods",
		  "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\"},\"status\":{\"phase\":"
		  "\"Succeeded\"}}",
		  PROPAGATE_DEFAULT, -1, NULL },
		{ "pods", "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\"}}", PROPAGATE_DEFAULT, 0,
		  NULL },
		{ "pods", "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\"}}", PROPAGATE_DEFAULT, -1,
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:17:10Z\","
		  "\"deletionGracePeriodSeconds\":30},\"spec\":{\"nodeName\":\"n\"}}" },
		{ "pods",
		  "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\",\"terminationGracePeriodSeconds\":"
		  "5}}",
		  PROPAGATE_DEFAULT, -1,
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:16:45Z\","
		  "\"deletionGracePeriodSeconds\":5},\"spec\":{\"nodeName\":\"n\","
		  "\"terminationGracePeriodSeconds\":5}}" },
		{ "pods",
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:16:45Z\","
		  "\"deletionGracePeriodSeconds\":5},\"spec\":{\"nodeName\":\"n\"}}",
		  PROPAGATE_DEFAULT, 60,
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:16:45Z\","
		  "\"deletionGracePeriodSeconds\":5},\"spec\":{\"nodeName\":\"n\"}}" },
		{ "pods",
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:17:10Z\","
		  "\"deletionGracePeriodSeconds\":30},\"spec\":{\"nodeName\":\"n\"}}",
		  PROPAGATE_DEFAULT, 2,
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:16:42Z\","
		  "\"deletionGracePeriodSeconds\":2},\"spec\":{\"nodeName\":\"n\"}}" },
		{ "namespaces",
		  "{\"metadata\":{},\"spec\":{\"finalizers\":[\"kubernetes\"]},\"status\":{"
		  "\"phase\":\"Active\"}}",
		  PROPAGATE_DEFAULT, -1,
		  "{\"metadata\":{\"deletionTimestamp\":\"1970-01-01T00:16:40Z\","
		  "\"deletionGracePeriodSeconds\":0},\"spec\":{\"finalizers\":"
		  "[\"kubernetes\"]},\"status\":{\"phase\":\"Terminating\"}}" },
		{ "namespaces", "{\"metadata\":{},\"spec\":{\"finalizers\":[]}}", PROPAGATE_DEFAULT,
		  -1, NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct arena a = { 0 };
		struct json obj, want;
		struct delete_options o = { .propagation = cases[i].policy,
					    .grace_s = cases[i].grace };
		bool marked = mark(&a, cases[i].resource, &o, cases[i].obj, &obj);
		cr_expect_eq(marked, cases[i].want != NULL, "case %zu", i);
		if (marked && cases[i].want) {
			cr_assert_eq(json_parse(&a, str_of(cases[i].want), NULL, &want, NULL), 0);
			cr_expect(json_equal(&obj, &want), "case %zu: %s", i,
				  json_text(&a, &obj).p);
		}
		arena_fini(&a);
	}
}
