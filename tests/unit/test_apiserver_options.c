#include "tests/unit/apiserver_harness.h"

/* What the query, the Accept header and DeleteOptions ask for, one by one as kube-apiserver answers them. */

static struct harness h;
static struct wire wire;

static void start(void)
{
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
}

static void stop(void)
{
	harness_stop(&h);
}

TestSuite(options, .init = start, .fini = stop, .timeout = 60);

#define NS  "/api/v1/namespaces/default"
#define CMS NS "/configmaps"
#define DEP "/apis/apps/v1/namespaces/default/deployments"
#define RV0 "resourceVersion=0"

#define EXPECT(call, want) cr_assert_eq((call), (want), "%s", h.text.p)
#define IS(path, want)     cr_expect_str_eq(harness_str(&h, path), want, "%s: %s", path, h.text.p)

#define LIST_INVALID "ListOptions.meta.k8s.io \"\" is invalid: "

Test(options, lists_and_watches_are_refused_what_contradicts_itself)
{
	static const struct {
		const char *query, *message;
	} cases[] = {
		{ "resourceVersionMatch=Exact",
		  LIST_INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
			       "unless resourceVersion is provided" },
		{ RV0 "&resourceVersionMatch=Exact",
		  LIST_INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is "
			       "forbidden for resourceVersion \"0\"" },
		{ RV0 "&resourceVersionMatch=Newer",
		  LIST_INVALID "resourceVersionMatch: Unsupported value: \"Newer\": supported "
			       "values: \"Exact\", \"NotOlderThan\"" },
		{ RV0 "&resourceVersionMatch=NotOlderThan&continue=x",
		  LIST_INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
			       "when continue is provided" },
		{ RV0 "&resourceVersionMatch=NotOlderThan&sendInitialEvents=true",
		  LIST_INVALID "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for "
			       "list" },
		{ "watch=true&" RV0 "&resourceVersionMatch=NotOlderThan",
		  LIST_INVALID "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
			       "for watch unless sendInitialEvents is provided" },
		{ "watch=true&sendInitialEvents=true",
		  LIST_INVALID "resourceVersionMatch: Forbidden: sendInitialEvents requires "
			       "setting resourceVersionMatch to NotOlderThan" },
		{ "watch=true&sendInitialEvents=true&" RV0 "&resourceVersionMatch=Exact",
		  LIST_INVALID "resourceVersionMatch: Forbidden: sendInitialEvents requires "
			       "setting resourceVersionMatch to NotOlderThan" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *path = arena_printf(&h.arena, CMS "?%s", cases[i].query);
		cr_expect_eq(harness_get(&h, path), 422, "%s: %s", path, h.text.p);
		IS("reason", "Invalid");
		IS("message", cases[i].message);
	}
}

static const char *revision(void)
{
	EXPECT(harness_get(&h, CMS), 200);
	return arena_strdup(&h.arena, harness_str(&h, "metadata.resourceVersion"));
}

Test(options, a_list_is_of_the_revision_that_was_asked_for)
{
	EXPECT(harness_post(&h, CMS, "{\"metadata\":{\"name\":\"a\"}}"), 201);
	const char *rev = revision();
	EXPECT(harness_get(&h, arena_printf(&h.arena, CMS "?limit=1&resourceVersion=%s", rev)),
	       200);
	EXPECT(harness_post(&h, CMS, "{\"metadata\":{\"name\":\"b\"}}"), 201);
	EXPECT(harness_get(&h, arena_printf(&h.arena,
					    CMS "?resourceVersionMatch=NotOlderThan&"
						"resourceVersion=%s",
					    rev)),
	       200);
	cr_expect_eq(json_len(json_getc(&h.body, "items")), 2);
	EXPECT(harness_get(&h, arena_printf(&h.arena,
					    CMS "?resourceVersionMatch=Exact&resourceVersion=%s",
					    revision())),
	       200);
	EXPECT(harness_get(&h, CMS "?resourceVersionMatch=Exact&resourceVersion=1"), 410);
	IS("reason", "Expired");
}

Test(options, a_dry_run_of_any_verb_answers_and_changes_nothing)
{
	static const char deployment[] =
		"{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":"
		"\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{"
		"\"containers\":[{\"name\":\"c\",\"image\":\"host\"}]}}}}";
	EXPECT(harness_post(&h, DEP, deployment), 201);
	EXPECT(harness_post(&h, CMS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}"),
	       201);
	const char *before = revision();
	static const struct {
		const char *method, *path, *type, *body;
		int status;
	} calls[] = {
		{ "POST", CMS "?dryRun=All", "application/json", "{\"metadata\":{\"name\":\"b\"}}",
		  201 },
		{ "PUT", CMS "/a?dryRun=All", "application/json",
		  "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"2\"}}", 200 },
		{ "PATCH", CMS "/a?dryRun=All", "application/merge-patch+json",
		  "{\"data\":{\"k\":\"2\"}}", 200 },
		{ "PATCH", CMS "/a?dryRun=All", "application/strategic-merge-patch+json",
		  "{\"data\":{\"k\":\"2\"}}", 200 },
		{ "PATCH", CMS "/a?dryRun=All", "application/json-patch+json",
		  "[{\"op\":\"add\",\"path\":\"/data/x\",\"value\":\"2\"}]", 200 },
		{ "PATCH", CMS "/a?dryRun=All&fieldManager=m&force=true",
		  "application/apply-patch+yaml",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"k\":\"2\"}}", 200 },
		{ "PATCH", CMS "/new?dryRun=All&fieldManager=m", "application/apply-patch+yaml",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"k\":\"2\"}}", 201 },
		{ "PATCH", DEP "/d/scale?dryRun=All", "application/merge-patch+json",
		  "{\"spec\":{\"replicas\":7}}", 200 },
		{ "DELETE", CMS "/a?dryRun=All", "", "", 200 },
		{ "DELETE", CMS "/a", "application/json",
		  "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"dryRun\":[\"All\"]}", 200 },
		{ "DELETE", CMS "/a?dryRun=All&propagationPolicy=Foreground", "", "", 200 },
		{ "DELETE", CMS "?dryRun=All", "", "", 200 },
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		cr_expect_eq(harness_send(&h, calls[i].method, calls[i].path, calls[i].type,
					  calls[i].body),
			     calls[i].status, "%s %s: %s", calls[i].method, calls[i].path,
			     h.text.p);
	cr_expect_str_eq(revision(), before);
	EXPECT(harness_get(&h, DEP "/d"), 200);
	IS("spec.replicas", "1");
}

Test(options, delete_options_are_checked)
{
	static const struct {
		const char *path, *body, *message;
	} cases[] = {
		{ CMS "/a", "{\"dryRun\":[\"Some\"]}",
		  "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Some\": "
		  "supported values: \"All\"" },
		{ CMS "/a?dryRun=Some", "",
		  "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Some\": "
		  "supported values: \"All\"" },
		{ CMS "/a", "{\"orphanDependents\":true,\"propagationPolicy\":\"Orphan\"}",
		  "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: "
		  "\"Orphan\": orphanDependents and deletionPropagation cannot be both set" },
	};
	EXPECT(harness_post(&h, CMS, "{\"metadata\":{\"name\":\"a\"}}"), 201);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		EXPECT(harness_delete(&h, cases[i].path, cases[i].body), 422);
		IS("message", cases[i].message);
	}
	EXPECT(harness_get(&h, CMS "/a"), 200);
}

Test(options, strict_validation_tells_of_all_that_is_wrong_at_once)
{
	static const char body[] =
		"{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\",\"k\":\"2\"},\"foo\":1}";
	EXPECT(harness_post(&h, CMS "?fieldValidation=Strict", body), 400);
	IS("message", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict "
		      "decoding error: duplicate field \"data.k\", unknown field \"foo\"");
	EXPECT(harness_post(&h, CMS "?fieldValidation=Some", body), 422);
	IS("message", "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported "
		      "value: \"Some\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"");
	EXPECT(harness_post(&h, CMS "?fieldValidation=Warn", body), 201);
	IS("data.k", "2");
}

#define META_AS(what) "Accept: application/json;as=" what ";g=meta.k8s.io;v="

/* One object, then the bookmark that ends the start, both as `kind` of meta.k8s.io/`version`. */
static void expect_start(const char *accept, const char *query, const char *kind,
			 const char *version)
{
	const char *header = accept[0] ? arena_printf(&h.arena, "%s%s\r\n", accept, version) : "";
	const char *api = accept[0] ? arena_printf(&h.arena, "meta.k8s.io/%s", version) : version;
	wire_open(&wire, &h, "view",
		  arena_printf(&h.arena,
			       CMS "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&"
				   "resourceVersionMatch=NotOlderThan&timeoutSeconds=1%s",
			       query),
		  header);
	static const char *const types[] = { "ADDED", "BOOKMARK" };
	for (size_t i = 0; i < 2; i++) {
		const char *line = wire_line(&wire);
		cr_assert(line, "%s: no %s", kind, types[i]);
		struct json ev = { 0 };
		cr_assert_eq(
			json_parse(&h.arena, arena_str(&h.arena, str_of(line)), NULL, &ev, NULL),
			0);
		const struct json *obj = json_getc(&ev, "object");
		cr_expect(str_is(json_str(json_getc(&ev, "type")), types[i]), "%s", line);
		cr_expect(str_is(json_str(json_getc(obj, "kind")), kind), "%s", line);
		cr_expect(str_is(json_str(json_getc(obj, "apiVersion")), api), "%s", line);
		cr_expect(json_str(json_dig(obj, "metadata", "resourceVersion", NULL)).len, "%s",
			  line);
		const struct json *end =
			json_dig(obj, "metadata", "annotations", "k8s.io/initial-events-end", NULL);
		cr_expect_eq(str_is(json_str(end), "true"), i == 1, "%s", line);
		const struct json *row = json_at(json_getc(obj, "rows"), 0);
		if (i == 0 && str_is(str_of(kind), "Table"))
			cr_expect_eq(json_dig(row, "object", "data", NULL) != NULL, query[0] != 0,
				     "%s", line);
	}
	close(wire.fd);
}

Test(options, initial_events_end_with_a_bookmark_in_every_form)
{
	EXPECT(harness_post(&h, CMS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}"),
	       201);
	expect_start("", "", "ConfigMap", "v1");
	expect_start(META_AS("PartialObjectMetadata"), "", "PartialObjectMetadata", "v1");
	expect_start(META_AS("PartialObjectMetadata"), "", "PartialObjectMetadata", "v1beta1");
	expect_start(META_AS("Table"), "", "Table", "v1");
	expect_start(META_AS("Table"), "&includeObject=Object", "Table", "v1");
}

Test(options, what_pods_are_not_asked_over_the_api_is_said)
{
	static const struct {
		const char *method, *path;
	} calls[] = {
		{ "GET", NS "/pods/p/exec?command=ls&stdout=true" },
		{ "POST", NS "/pods/p/exec?command=ls&stdout=true" },
		{ "POST", NS "/pods/p/attach" },
		{ "POST", NS "/pods/p/portforward" },
		{ "PATCH", NS "/pods/p/ephemeralcontainers" },
		{ "GET", NS "/pods/p/proxy/x" },
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		EXPECT(harness_send(&h, calls[i].method, calls[i].path, "", ""), 501);
		IS("kind", "Status");
		IS("reason", "NotImplemented");
	}
	EXPECT(harness_get(&h, NS "/pods/p/nothing"), 404);
}

Test(options, what_is_applied_by_two_conflicts_only_where_it_means_something_else)
{
	static const char body[] =
		"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"spec\":{\"selector\":{"
		"\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":"
		"\"b\"}"
		"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"host\",\"resources\":{"
		"\"limits\":{\"cpu\":\"1000m\"}},\"env\":[{\"name\":\"E\",\"valueFrom\":{"
		"\"fieldRef\":{\"fieldPath\":\"%s\"}}}]}]}}}}";
	const char *name = arena_printf(&h.arena, body, "metadata.name");
	const char *uid = arena_printf(&h.arena, body, "metadata.uid");
	static const char apply[] = "application/apply-patch+yaml";
	EXPECT(harness_send(&h, "PATCH", DEP "/d?fieldManager=one", apply, name), 201);
	const char *rev = arena_strdup(&h.arena, harness_str(&h, "metadata.resourceVersion"));
	EXPECT(harness_send(&h, "PATCH", DEP "/d?fieldManager=one", apply, name), 200);
	IS("metadata.resourceVersion", rev);
	EXPECT(harness_send(&h, "PATCH", DEP "/d?fieldManager=two", apply, name), 200);
	EXPECT(harness_send(&h, "PATCH", DEP "/d?fieldManager=two", apply, uid), 409);
	IS("details.causes.0.reason", "FieldManagerConflict");
	IS("details.causes.0.field", ".spec.template.spec.containers[name=\"c\"].env[name=\"E\"]."
				     "valueFrom.fieldRef");
}
