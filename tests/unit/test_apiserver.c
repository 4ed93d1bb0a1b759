#include "http/server.h"
#include "tests/unit/apiserver_harness.h"

static struct harness h;

static void start_global(void)
{
	harness_start(&h, KIND_GLOBAL, NULL, 0);
	harness_ready(&h);
}

static void start_cluster(void)
{
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
}

static void stop(void)
{
	harness_stop(&h);
}

TestSuite(apiserver, .init = start_global, .fini = stop, .timeout = 60);
TestSuite(apiserver_cluster, .init = start_cluster, .fini = stop, .timeout = 60);

#define NS  "/api/v1/namespaces/default"
#define CMS NS "/configmaps"

static const char *cm(const char *name, const char *meta, const char *value)
{
	return arena_printf(
		&h.arena,
		"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"%s},"
		"\"data\":{\"k\":\"%s\"}}",
		name, meta, value);
}

#define EXPECT(call, want) cr_assert_eq((call), (want), "%s", h.text.p)
#define IS(path, want)     cr_expect_str_eq(harness_str(&h, path), want, "%s: %s", path, h.text.p)

Test(apiserver, an_object_is_created_read_updated_and_deleted)
{
	EXPECT(harness_post(&h, CMS, cm("a", ",\"labels\":{\"app\":\"x\"}", "1")), 201);
	IS("kind", "ConfigMap");
	IS("metadata.namespace", "default");
	cr_expect_eq(strlen(harness_str(&h, "metadata.uid")), 36);
	const char *rev = harness_str(&h, "metadata.resourceVersion");
	EXPECT(harness_get(&h, CMS "/a"), 200);
	IS("data.k", "1");
	IS("metadata.resourceVersion", rev);
	IS("metadata.managedFields.0.operation", "Update");

	EXPECT(harness_put(&h, CMS "/a", cm("a", "", "2")), 200);
	IS("data.k", "2");
	IS("metadata.labels", "(none)");
	EXPECT(harness_put(
		       &h, CMS "/a",
		       cm("a", arena_printf(&h.arena, ",\"resourceVersion\":\"%s\"", rev), "3")),
	       409);
	IS("reason", "Conflict");
	IS("message", "Operation cannot be fulfilled on configmaps \"a\": the object has been "
		      "modified; please apply your "
		      "changes to the latest version and try again");
	EXPECT(harness_delete(&h, CMS "/a", "{\"propagationPolicy\":\"Background\"}"), 200);
	IS("status", "Success");
	IS("details.kind", "configmaps");
	EXPECT(harness_get(&h, CMS "/a"), 404);
	IS("message", "configmaps \"a\" not found");
	IS("reason", "NotFound");
}

Test(apiserver, wrong_requests_are_told_why)
{
	static const struct {
		const char *method, *path, *type, *body;
		int status;
		const char *reason, *message;
	} cases[] = {
		{ "POST", CMS, "application/json",
		  "{\"metadata\":{\"name\":\"x\",\"namespace\":\"other\"}}", 400, "BadRequest",
		  "the namespace of the provided object does not match the namespace sent on the "
		  "request" },
		{ "POST", CMS, "application/json",
		  "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"x\"}}", 400, "BadRequest", NULL },
		{ "POST", CMS, "application/json",
		  "{\"apiVersion\":\"v2\",\"metadata\":{\"name\":\"x\"}}", 400, "BadRequest",
		  "the API version in the data (v2) does not match the expected API version (v1)" },
		{ "POST", CMS, "application/json", "{", 400, "BadRequest", NULL },
		{ "POST", CMS, "application/json", "[]", 400, "BadRequest", NULL },
		{ "POST", CMS, "application/json", "{\"metadata\":[]}", 400, "BadRequest", NULL },
		{ "POST", CMS, "application/vnd.kubernetes.protobuf", "k8s", 400, "BadRequest",
		  "protobuf: the body does not begin with the magic of Kubernetes" },
		{ "POST", CMS, "application/cbor", "", 415, "UnsupportedMediaType",
		  "the body of the request was in an unknown format - accepted media types "
		  "include: application/json, application/yaml, "
		  "application/vnd.kubernetes.protobuf" },
		{ "POST", CMS, "application/json",
		  "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\"}}", 400, "BadRequest",
		  "resourceVersion should not be set on objects to be created" },
		{ "POST", CMS, "application/json", "{\"metadata\":{}}", 422, "Invalid", NULL },
		{ "POST", CMS, "application/json", "{\"metadata\":{\"name\":\"A_b\"}}", 422,
		  "Invalid", NULL },
		{ "POST", "/api/v1/namespaces/nope/configmaps", "application/json",
		  "{\"metadata\":{\"name\":\"x\"}}", 404, "NotFound",
		  "namespaces \"nope\" not found" },
		{ "POST", "/api/v1/configmaps", "application/json",
		  "{\"metadata\":{\"name\":\"x\"}}", 405, "MethodNotAllowed", NULL },
		{ "GET", "/api/v1/nothings", "", "", 404, "NotFound",
		  "the server could not find the requested resource" },
		{ "GET", "/apis/none.io/v1/x", "", "", 404, "NotFound", NULL },
		{ "GET", CMS "/a/status", "", "", 404, "NotFound", NULL },
		{ "GET", CMS "?fieldSelector=spec.x%3Dy", "", "", 400, "BadRequest",
		  "field label not supported: spec.x" },
		{ "GET", CMS "?labelSelector=a%3D%3D%3Db", "", "", 400, "BadRequest", NULL },
		{ "GET", CMS "?limit=x", "", "", 400, "BadRequest", NULL },
		{ "GET", CMS "?continue=junk", "", "", 400, "BadRequest", NULL },
		{ "GET", CMS "?resourceVersionMatch=Exact", "", "", 422, "Invalid", NULL },
		{ "PUT", CMS "/x", "application/json", "{\"metadata\":{\"name\":\"y\"}}", 404,
		  "NotFound", NULL },
		{ "PATCH", CMS "/x", "application/json", "{}", 415, "UnsupportedMediaType",
		  "the body of the request was in an unknown format - accepted media types "
		  "include: application/json-patch+json, "
		  "application/merge-patch+json, application/strategic-merge-patch+json, "
		  "application/apply-patch+yaml" },
		{ "PATCH", CMS "/x", "application/merge-patch+json", "{}", 404, "NotFound",
		  "configmaps \"x\" not found" },
		{ "PATCH", CMS "/x?force=true", "application/merge-patch+json", "{}", 422,
		  "Invalid", NULL },
		{ "PATCH", CMS "/x", "application/apply-patch+yaml",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"}", 422, "Invalid", NULL },
		{ "DELETE", CMS "/x", "application/json", "{\"propagationPolicy\":\"Sometimes\"}",
		  422, "Invalid",
		  "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported "
		  "value: "
		  "\"Sometimes\": supported values: \"Background\", \"Foreground\", \"Orphan\"" },
		{ "DELETE", "/api/v1/namespaces/default", "", "", 403, "Forbidden",
		  "namespaces \"default\" is forbidden: this namespace may not be deleted" },
		{ "POST", "/version", "", "", 405, "MethodNotAllowed", NULL },
		{ "GET", "/nowhere", "", "", 404, "NotFound", NULL },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cr_expect_eq(harness_send(&h, cases[i].method, cases[i].path, cases[i].type,
					  cases[i].body),
			     cases[i].status, "%s %s %s: %s", cases[i].method, cases[i].path,
			     cases[i].body, h.text.p);
		IS("reason", cases[i].reason);
		IS("kind", "Status");
		if (cases[i].message)
			IS("message", cases[i].message);
	}
}

Test(apiserver, names_are_generated_and_taken_names_refused)
{
	EXPECT(harness_post(&h, CMS, "{\"metadata\":{\"generateName\":\"web-\"}}"), 201);
	cr_expect_eq(strlen(harness_str(&h, "metadata.name")), 9);
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 409);
	IS("reason", "AlreadyExists");
	IS("message", "configmaps \"a\" already exists");
	EXPECT(harness_post(&h, CMS "?dryRun=All", cm("a", "", "1")), 409);
	EXPECT(harness_post(&h, CMS "?dryRun=All", cm("dry", "", "1")), 201);
	EXPECT(harness_get(&h, CMS "/dry"), 404);
}

Test(apiserver, field_validation_refuses_warns_or_stays_silent)
{
	static const char body[] =
		"{\"metadata\":{\"name\":\"v\"},\"data\":{\"k\":\"1\"},\"nope\":1}";
	EXPECT(harness_post(&h, CMS "?fieldValidation=Strict", body), 400);
	IS("message", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict "
		      "decoding error: unknown field \"nope\"");
	EXPECT(harness_post(&h, CMS "?fieldValidation=Strict",
			    "{\"metadata\":{\"name\":\"v\",\"name\":\"w\"}}"),
	       400);
	IS("message", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict "
		      "decoding error: duplicate field "
		      "\"metadata.name\"");
	EXPECT(harness_post(&h, CMS "?fieldValidation=Warn", body), 201);
	IS("nope", "(none)");
	EXPECT(harness_post(&h, CMS "?fieldValidation=Ignore",
			    "{\"metadata\":{\"name\":\"u\",\"name\":\"w\"},\"nope\":1}"),
	       201);
	IS("metadata.name", "w");
}

Test(apiserver, an_update_that_changes_nothing_writes_nothing)
{
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	const char *rev = harness_str(&h, "metadata.resourceVersion");
	EXPECT(harness_put(&h, CMS "/a", cm("a", "", "1")), 200);
	IS("metadata.resourceVersion", rev);
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/merge-patch+json",
			    "{\"data\":{\"k\":\"1\"}}"),
	       200);
	IS("metadata.resourceVersion", rev);
	EXPECT(harness_put(&h, CMS "/a?dryRun=All", cm("a", "", "2")), 200);
	IS("data.k", "2");
	EXPECT(harness_get(&h, CMS "/a"), 200);
	IS("data.k", "1");
}

Test(apiserver, the_four_patches_change_an_object)
{
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/merge-patch+json",
			    "{\"data\":{\"k\":null,\"m\":\"2\"}}"),
	       200);
	IS("data.k", "(none)");
	IS("data.m", "2");
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/json-patch+json",
			    "[{\"op\":\"test\",\"path\":\"/data/"
			    "m\",\"value\":\"2\"},{\"op\":\"add\",\"path\":\"/data/"
			    "j\",\"value\":\"3\"}]"),
	       200);
	IS("data.j", "3");
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/json-patch+json",
			    "[{\"op\":\"test\",\"path\":\"/data/m\",\"value\":\"9\"}]"),
	       422);
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/strategic-merge-patch+json",
			    "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"),
	       200);
	IS("metadata.labels.a", "b");
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/merge-patch+json",
			    "{\"metadata\":{\"resourceVersion\":\"1\"},\"data\":{\"z\":\"1\"}}"),
	       409);
	EXPECT(harness_send(&h, "PATCH", CMS "/a", "application/merge-patch+json",
			    "{\"metadata\":{\"name\":\"b\"}}"),
	       422);
}

static int apply(const char *manager, const char *extra, const char *data)
{
	const char *path = arena_printf(&h.arena, CMS "/s?fieldManager=%s%s", manager, extra);
	const char *body = arena_printf(
		&h.arena, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata: %s\n", data);
	return harness_send(&h, "PATCH", path, "application/apply-patch+yaml", body);
}

Test(apiserver, server_side_apply_creates_merges_and_conflicts)
{
	EXPECT(apply("one", "", "{a: x}"), 201);
	IS("metadata.managedFields.0.manager", "one");
	IS("metadata.managedFields.0.operation", "Apply");
	const char *rev = harness_str(&h, "metadata.resourceVersion");
	EXPECT(apply("one", "", "{a: x}"), 200);
	IS("metadata.resourceVersion", rev);
	EXPECT(apply("two", "", "{b: why}"), 200);
	IS("data.a", "x");
	EXPECT(apply("two", "", "{a: zed}"), 409);
	IS("reason", "Conflict");
	IS("message", "Apply failed with 1 conflict: conflict with \"one\": .data.a");
	IS("details.causes.0.reason", "FieldManagerConflict");
	IS("details.causes.0.field", ".data.a");
	EXPECT(apply("two", "&force=true", "{a: zed}"), 200);
	IS("data.a", "zed");
	IS("data.b", "(none)");
	EXPECT(apply("one", "", "{}"), 200);
	IS("data.a", "zed");
}

static bool same_pages(const char *path, int expect)
{
	int seen = 0;
	const char *url = path, *rev = NULL;
	for (;;) {
		if (harness_get(&h, url) != 200)
			return false;
		const struct json *items = harness_at(&h, "items");
		seen += (int)json_len(items);
		if (rev && strcmp(rev, harness_str(&h, "metadata.resourceVersion")) != 0)
			return false;
		rev = harness_str(&h, "metadata.resourceVersion");
		struct str more = json_str(harness_at(&h, "metadata.continue"));
		if (!more.len)
			return seen == expect;
		/* What is written between the pages must not be seen in them. */
		harness_post(&h, CMS, "{\"metadata\":{\"generateName\":\"zz-\"}}");
		url = arena_printf(&h.arena, "%s&continue=%.*s", path, STR_ARG(more));
	}
}

Test(apiserver, pages_of_a_list_are_of_one_revision)
{
	for (int i = 0; i < 10; i++)
		EXPECT(harness_post(&h, CMS,
				    cm(arena_printf(&h.arena, "c%02d", i),
				       i % 2 ? ",\"labels\":{\"odd\":\"1\"}" : "", "1")),
		       201);
	cr_expect(same_pages(CMS "?limit=3", 10));
	cr_expect(same_pages(CMS "?limit=2&labelSelector=odd", 5));
	cr_expect(same_pages("/api/v1/configmaps?limit=4&labelSelector=odd%3D1", 5));
	EXPECT(harness_get(&h, CMS "?limit=4"), 200);
	cr_expect_str_neq(harness_str(&h, "metadata.remainingItemCount"), "(none)");
	EXPECT(harness_get(&h, CMS "?fieldSelector=metadata.name%3Dc03"), 200);
	cr_expect_eq(json_len(harness_at(&h, "items")), 1);
	IS("items.0.metadata.name", "c03");
	IS("kind", "ConfigMapList");
}

Test(apiserver, a_list_of_a_revision_to_come_waits_and_gives_up)
{
	EXPECT(harness_get(&h, CMS "?resourceVersion=1000000"), 504);
	IS("details.causes.0.reason", "ResourceVersionTooLarge");
	EXPECT(harness_get(&h, CMS "?resourceVersion=0"), 200);
}

Test(apiserver, a_lost_snapshot_is_gone_with_a_token_to_go_on)
{
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	/* {"v":"meta.k8s.io/v1","rv":1,"start":"a"}: revision 1 was never kept */
	EXPECT(harness_get(
		       &h, CMS
		       "?limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0"),
	       410);
	IS("reason", "Expired");
	const char *token = harness_str(&h, "metadata.continue");
	EXPECT(harness_get(&h, arena_printf(&h.arena, CMS "?continue=%s", token)), 200);
	IS("items.0.metadata.name", "a");
}

Test(apiserver, finalizers_hold_an_object_until_they_are_gone)
{
	EXPECT(harness_post(&h, CMS, cm("f", ",\"finalizers\":[\"a.io/x\"]", "1")), 201);
	EXPECT(harness_delete(&h, CMS "/f", ""), 200);
	IS("kind", "ConfigMap");
	cr_expect_str_neq(harness_str(&h, "metadata.deletionTimestamp"), "(none)");
	const char *rev = harness_str(&h, "metadata.resourceVersion");
	EXPECT(harness_delete(&h, CMS "/f", ""), 200);
	IS("metadata.resourceVersion", rev);
	EXPECT(harness_send(&h, "PATCH", CMS "/f", "application/merge-patch+json",
			    "{\"metadata\":{\"finalizers\":[\"a.io/x\",\"b.io/y\"]}}"),
	       422);
	EXPECT(harness_send(&h, "PATCH", CMS "/f", "application/merge-patch+json",
			    "{\"metadata\":{\"finalizers\":null}}"),
	       200);
	EXPECT(harness_get(&h, CMS "/f"), 404);
}

Test(apiserver, a_deletion_keeps_to_its_preconditions)
{
	EXPECT(harness_post(&h, CMS, cm("p", "", "1")), 201);
	const char *rev = harness_str(&h, "metadata.resourceVersion"),
		   *uid = harness_str(&h, "metadata.uid");
	EXPECT(harness_delete(&h, CMS "/p", "{\"preconditions\":{\"uid\":\"other\"}}"), 409);
	EXPECT(harness_delete(&h, CMS "/p", "{\"preconditions\":{\"resourceVersion\":\"1\"}}"),
	       409);
	EXPECT(harness_delete(&h, CMS "/p?dryRun=All", ""), 200);
	EXPECT(harness_get(&h, CMS "/p"), 200);
	EXPECT(harness_delete(
		       &h, CMS "/p",
		       arena_printf(
			       &h.arena,
			       "{\"preconditions\":{\"uid\":\"%s\",\"resourceVersion\":\"%s\"}}",
			       uid, rev)),
	       200);
}

static const char *owned(const char *name, const char *owner, const char *uid)
{
	return cm(name,
		  arena_printf(&h.arena,
			       ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":"
			       "\"ConfigMap\",\"name\":\"%s\",\"uid\":\"%s\","
			       "\"blockOwnerDeletion\":true}]",
			       owner, uid),
		  "1");
}

static void make_family(void)
{
	EXPECT(harness_post(&h, CMS, cm("own", "", "1")), 201);
	const char *uid = harness_str(&h, "metadata.uid");
	EXPECT(harness_post(&h, CMS, owned("child", "own", uid)), 201);
	uid = harness_str(&h, "metadata.uid");
	EXPECT(harness_post(&h, CMS, owned("grandchild", "child", uid)), 201);
}

Test(apiserver, dependents_go_behind_their_owner_in_the_background)
{
	make_family();
	EXPECT(harness_delete(&h, CMS "/own", "{\"propagationPolicy\":\"Background\"}"), 200);
	harness_until(&h, CMS "/child", 404);
	harness_until(&h, CMS "/grandchild", 404);
}

Test(apiserver, in_the_foreground_the_owner_goes_last)
{
	make_family();
	EXPECT(harness_delete(&h, CMS "/own", "{\"propagationPolicy\":\"Foreground\"}"), 200);
	IS("metadata.finalizers.0", "foregroundDeletion");
	harness_until(&h, CMS "/own", 404);
	EXPECT(harness_get(&h, CMS "/child"), 404);
	EXPECT(harness_get(&h, CMS "/grandchild"), 404);
}

Test(apiserver, orphans_stay_without_the_reference)
{
	make_family();
	EXPECT(harness_delete(&h, CMS "/own", "{\"propagationPolicy\":\"Orphan\"}"), 200);
	harness_until(&h, CMS "/own", 404);
	EXPECT(harness_get(&h, CMS "/child"), 200);
	IS("metadata.ownerReferences", "(none)");
	EXPECT(harness_get(&h, CMS "/grandchild"), 200);
}

Test(apiserver, an_object_of_an_owner_that_never_was_is_collected)
{
	EXPECT(harness_post(&h, CMS,
			    owned("stray", "nobody", "00000000-0000-4000-8000-000000000000")),
	       201);
	harness_until(&h, CMS "/stray", 404);
}

Test(apiserver, a_namespace_is_emptied_before_it_goes)
{
	EXPECT(harness_post(&h, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"shop\"}}"), 201);
	IS("status.phase", "Active");
	EXPECT(harness_post(&h, "/api/v1/namespaces/shop/configmaps",
			    "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"x.io/y\"]}}"),
	       201);
	EXPECT(harness_post(&h, "/api/v1/namespaces/shop/secrets",
			    "{\"metadata\":{\"name\":\"b\"}}"),
	       201);
	EXPECT(harness_delete(&h, "/api/v1/namespaces/shop", ""), 200);
	IS("status.phase", "Terminating");
	EXPECT(harness_post(&h, "/api/v1/namespaces/shop/configmaps",
			    "{\"metadata\":{\"name\":\"c\"}}"),
	       403);
	IS("details.causes.0.reason", "NamespaceTerminating");
	harness_until(&h, "/api/v1/namespaces/shop/secrets/b", 404);
	EXPECT(harness_get(&h, "/api/v1/namespaces/shop"), 200);
	EXPECT(harness_send(&h, "PATCH", "/api/v1/namespaces/shop/configmaps/a",
			    "application/merge-patch+json", "{\"metadata\":{\"finalizers\":null}}"),
	       200);
	harness_until(&h, "/api/v1/namespaces/shop", 404);
}

static struct wire wire;
static struct json next_event(struct wire *w);

#define CRD_PATH "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define WIDGETS  "/apis/example.com/v1/namespaces/default/widgets"

static const char crd[] =
	"{\"apiVersion\":\"apiextensions.k8s.io/"
	"v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"widgets.example.com\"}"
	","
	"\"spec\":{\"group\":\"example.com\",\"scope\":\"Namespaced\",\"names\":{\"plural\":"
	"\"widgets\",\"singular\":\"widget\",\"kind\":\"Widget\","
	"\"shortNames\":[\"wd\"]},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
	"\"subresources\":{\"status\":{},\"scale\":"
	"{\"specReplicasPath\":\".spec.size\",\"statusReplicasPath\":\".status.size\"}},"
	"\"additionalPrinterColumns\":[{\"name\":\"Size\",\"type\":"
	"\"integer\",\"jsonPath\":\".spec.size\"}],\"schema\":{\"openAPIV3Schema\":{\"type\":"
	"\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
	"\"properties\":{\"size\":{\"type\":\"integer\",\"minimum\":0},\"color\":{\"type\":"
	"\"string\",\"default\":\"red\"}}},\"status\":{\"type\":"
	"\"object\",\"properties\":{\"size\":{\"type\":\"integer\"}}}}}}}]}}";

static const char widget[] =
	"{\"apiVersion\":\"example.com/"
	"v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\"},\"spec\":{\"size\":2},"
	"\"status\":{\"size\":9}}";

Test(apiserver, a_custom_resource_is_served_as_soon_as_it_is_defined)
{
	EXPECT(harness_get(&h, WIDGETS), 404);
	EXPECT(harness_post(&h, CRD_PATH, crd), 201);
	IS("status.acceptedNames.listKind", "WidgetList");
	EXPECT(harness_post(&h, WIDGETS, widget), 201);
	IS("spec.color", "red");
	IS("status", "(none)");
	IS("metadata.generation", "1");
	EXPECT(harness_post(&h, WIDGETS, "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"size\":-1}}"),
	       422);
	IS("details.causes.0.field", "spec.size");
	EXPECT(harness_send(&h, "PATCH", WIDGETS "/w", "application/strategic-merge-patch+json",
			    "{}"),
	       415);
	EXPECT(harness_send(&h, "PATCH", WIDGETS "/w/status", "application/merge-patch+json",
			    "{\"status\":{\"size\":3},\"spec\":{\"size\":7}}"),
	       200);
	IS("status.size", "3");
	IS("spec.size", "2");
	IS("metadata.generation", "1");
	EXPECT(harness_send(&h, "PATCH", WIDGETS "/w/scale", "application/merge-patch+json",
			    "{\"spec\":{\"replicas\":5}}"),
	       200);
	IS("kind", "Scale");
	IS("spec.replicas", "5");
	IS("status.replicas", "3");
	EXPECT(harness_get(&h, WIDGETS "/w"), 200);
	IS("metadata.generation", "2");
	EXPECT(harness_put(&h, WIDGETS "/w", widget), 422);
	EXPECT(harness_send(&h, "PATCH", WIDGETS "/w?fieldManager=me",
			    "application/apply-patch+yaml",
			    "{\"apiVersion\":\"example.com/"
			    "v1\",\"kind\":\"Widget\",\"spec\":{\"color\":\"blue\"}}"),
	       409);
	EXPECT(harness_get(&h, "/apis/example.com/v1"), 200);
	EXPECT(harness_get(&h, "/openapi/v3/apis/example.com/v1"), 200);
	EXPECT(harness_delete(&h, CRD_PATH "/widgets.example.com", ""), 200);
	harness_until(&h, CRD_PATH "/widgets.example.com", 404);
	EXPECT(harness_get(&h, WIDGETS "/w"), 404);
	EXPECT(harness_post(&h, CRD_PATH, crd), 201);
	EXPECT(harness_get(&h, WIDGETS), 200);
	cr_expect_eq(json_len(harness_at(&h, "items")), 0,
		     "the objects went with their definition");
}

Test(apiserver, an_object_is_served_in_every_version_whichever_it_was_stored_in)
{
	static const char versions[] = "[{\"name\":\"v1\",\"served\":true,\"storage\":%s,"
				       "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
				       "\"x-kubernetes-preserve-unknown-fields\":true}}},{\"name\":"
				       "\"v2\",\"served\":true,\"storage\":%s,\"schema\":"
				       "{\"openAPIV3Schema\":{\"type\":\"object\",\"x-kubernetes-"
				       "preserve-unknown-fields\":true}}}]";
	const char *body = arena_printf(
		&h.arena,
		"{\"metadata\":{\"name\":\"gears.example.com\"},\"spec\":{\"group\":\"example."
		"com\",\"scope\":"
		"\"Cluster\",\"names\":{\"plural\":\"gears\",\"kind\":\"Gear\"},\"versions\":%s}}",
		arena_printf(&h.arena, versions, "true", "false"));
	EXPECT(harness_post(&h, CRD_PATH, body), 201);
	EXPECT(harness_post(&h, "/apis/example.com/v2/gears", "{\"metadata\":{\"name\":\"g\"}}"),
	       201);
	IS("apiVersion", "example.com/v2");
	const char *patch = arena_printf(&h.arena, "{\"spec\":{\"versions\":%s}}",
					 arena_printf(&h.arena, versions, "false", "true"));
	EXPECT(harness_send(&h, "PATCH", CRD_PATH "/gears.example.com",
			    "application/merge-patch+json", patch),
	       200);
	static const char *const want[] = { "v1", "v2" };
	for (int i = 0; i < 2; i++) {
		EXPECT(harness_get(&h,
				   arena_printf(&h.arena, "/apis/example.com/%s/gears/g", want[i])),
		       200);
		IS("apiVersion", arena_printf(&h.arena, "example.com/%s", want[i]));
		EXPECT(harness_get(&h,
				   arena_printf(&h.arena, "/apis/example.com/%s/gears", want[i])),
		       200);
		IS("items.0.apiVersion", arena_printf(&h.arena, "example.com/%s", want[i]));
		wire_open(&wire, &h, "admin",
			  arena_printf(&h.arena, "/apis/example.com/%s/gears?watch=true", want[i]),
			  "");
		struct json ev = next_event(&wire);
		cr_expect(str_is(json_str(json_dig(&ev, "object", "apiVersion", NULL)),
				 arena_printf(&h.arena, "example.com/%s", want[i])));
		close(wire.fd);
	}
}

Test(apiserver, a_collection_is_deleted_by_selector)
{
	for (int i = 0; i < 600; i++)
		EXPECT(harness_post(&h, CMS,
				    cm(arena_printf(&h.arena, "d%d", i),
				       i % 3 ? ",\"labels\":{\"go\":\"1\"}" : "", "1")),
		       201);
	EXPECT(harness_delete(&h, CMS "?labelSelector=go", ""), 200);
	cr_expect_eq(json_len(harness_at(&h, "items")), 400);
	EXPECT(harness_get(&h, CMS), 200);
	cr_expect_eq(json_len(harness_at(&h, "items")), 200);
}

Test(apiserver, a_leader_that_was_replaced_cannot_write)
{
#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
	EXPECT(harness_post(&h, LEASES,
			    "{\"metadata\":{\"name\":\"lead\"},\"spec\":{\"holderIdentity\":\"a\","
			    "\"leaseTransitions\":1}}"),
	       201);
	h.fence = STR("kube-system/lead/1");
	EXPECT(harness_post(&h, CMS, cm("one", "", "1")), 201);
	h.fence = STR("");
	EXPECT(harness_send(&h, "PATCH", LEASES "/lead", "application/merge-patch+json",
			    "{\"spec\":{\"holderIdentity\":\"b\",\"leaseTransitions\":2}}"),
	       200);
	h.fence = STR("kube-system/lead/1");
	EXPECT(harness_post(&h, CMS, cm("two", "", "1")), 409);
	EXPECT(harness_delete(&h, CMS "/one", ""), 409);
	h.fence = STR("kube-system/lead/2");
	EXPECT(harness_post(&h, CMS, cm("two", "", "1")), 201);
	h.fence = STR("nonsense");
	EXPECT(harness_post(&h, CMS, cm("three", "", "1")), 400);
}

Test(apiserver, documents_of_discovery_and_health_are_served)
{
	static const char *const paths[] = { "/",
					     "/api",
					     "/apis",
					     "/api/v1",
					     "/apis/apps",
					     "/apis/apps/v1",
					     "/openapi/v3",
					     "/openapi/v3/api/v1",
					     "/openapi/v3/apis/apps/v1",
					     "/version",
					     "/healthz",
					     "/livez?verbose",
					     "/readyz",
					     "/metrics",
					     "/healthz/store" };
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		cr_expect_eq(harness_get(&h, paths[i]), 200, "%s: %s", paths[i], h.text.p);
	EXPECT(harness_get(&h, "/version"), 200);
	IS("major", "1");
	IS("minor", "32");
	EXPECT(harness_get(&h, "/healthz/none"), 404);
}

/* ---- watching ---- */

static struct json next_event(struct wire *w)
{
	char *line = wire_line(w);
	cr_assert_not_null(line, "the watch ended, status %d", w->status);
	struct json ev;
	struct error err = { 0 };
	struct str copy = arena_str(&h.arena, str_of(line));
	cr_assert_eq(json_parse(&h.arena, copy, NULL, &ev, &err), 0, "%s: %s", err.msg, line);
	return ev;
}

static void expect_event(struct wire *w, const char *type, const char *name)
{
	struct json ev = next_event(w);
	cr_expect(str_is(json_str(json_getc(&ev, "type")), type), "want %s %s, got %s", type, name,
		  json_text(&h.arena, &ev).p);
	cr_expect(str_is(json_str(json_dig(&ev, "object", "metadata", "name", NULL)), name),
		  "want %s %s, got %s", type, name, json_text(&h.arena, &ev).p);
}

static const char *current_rev(void)
{
	cr_assert_eq(harness_get(&h, CMS), 200);
	return harness_str(&h, "metadata.resourceVersion");
}

Test(apiserver, a_watch_sees_every_change_in_order_from_its_revision_on)
{
	EXPECT(harness_post(&h, CMS, cm("before", "", "1")), 201);
	const char *rev = current_rev();
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	wire_open(&wire, &h, "view",
		  arena_printf(&h.arena, CMS "?watch=true&resourceVersion=%s", rev), "");
	expect_event(&wire, "ADDED", "a");
	EXPECT(harness_put(&h, CMS "/a", cm("a", "", "2")), 200);
	EXPECT(harness_post(&h, "/api/v1/namespaces/kube-system/configmaps",
			    "{\"metadata\":{\"name\":\"elsewhere\"}}"),
	       201);
	EXPECT(harness_delete(&h, CMS "/a", ""), 200);
	EXPECT(harness_post(&h, CMS, cm("b", "", "1")), 201);
	expect_event(&wire, "MODIFIED", "a");
	expect_event(&wire, "DELETED", "a");
	expect_event(&wire, "ADDED", "b");
	cr_expect_eq(wire.status, 200);
	close(wire.fd);
}

Test(apiserver, a_filtered_watch_turns_transitions_into_additions_and_deletions)
{
	wire_open(&wire, &h, "view", CMS "?watch=true&labelSelector=in", "");
	EXPECT(harness_post(&h, CMS, cm("x", "", "1")), 201);
	EXPECT(harness_put(&h, CMS "/x", cm("x", ",\"labels\":{\"in\":\"1\"}", "1")), 200);
	EXPECT(harness_put(&h, CMS "/x", cm("x", ",\"labels\":{\"in\":\"2\"}", "1")), 200);
	EXPECT(harness_put(&h, CMS "/x", cm("x", "", "1")), 200);
	EXPECT(harness_put(&h, CMS "/x", cm("x", ",\"labels\":{\"in\":\"3\"}", "1")), 200);
	EXPECT(harness_delete(&h, CMS "/x", ""), 200);
	static const char *const types[] = { "ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED" };
	for (size_t i = 0; i < 5; i++)
		expect_event(&wire, types[i], "x");
	close(wire.fd);
}

Test(apiserver, a_watch_without_a_revision_begins_with_what_is_there)
{
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	wire_open(&wire, &h, "view",
		  CMS "?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Da", "");
	expect_event(&wire, "ADDED", "a");
	close(wire.fd);
	wire_open(&wire, &h, "view",
		  CMS "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
		      "allowWatchBookmarks=true",
		  "");
	expect_event(&wire, "ADDED", "a");
	struct json ev = next_event(&wire);
	cr_expect(str_is(json_str(json_getc(&ev, "type")), "BOOKMARK"));
	cr_expect(str_is(json_str(json_dig(&ev, "object", "metadata", "annotations",
					   "k8s.io/initial-events-end", NULL)),
			 "true"));
	close(wire.fd);
}

Test(apiserver, a_watch_ends_at_its_time_with_a_bookmark)
{
	const char *rev = current_rev();
	EXPECT(harness_post(&h, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}"), 201);
	wire_open(
		&wire, &h, "view",
		arena_printf(
			&h.arena,
			CMS
			"?watch=true&resourceVersion=%s&timeoutSeconds=1&allowWatchBookmarks=true",
			rev),
		"");
	struct json ev = next_event(&wire);
	cr_expect(str_is(json_str(json_getc(&ev, "type")), "BOOKMARK"), "%s",
		  json_text(&h.arena, &ev).p);
	cr_expect_null(wire_line(&wire));
	close(wire.fd);
}

Test(apiserver, a_table_watch_prints_rows)
{
	wire_open(&wire, &h, "view", CMS "?watch=true",
		  "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n");
	EXPECT(harness_post(&h, CMS, cm("t", "", "1")), 201);
	struct json ev = next_event(&wire);
	const struct json *row = json_at(json_dig(&ev, "object", "rows", NULL), 0);
	cr_expect(str_is(json_str(json_dig(&ev, "object", "kind", NULL)), "Table"));
	cr_expect(str_is(json_str(json_at(json_getc(row, "cells"), 0)), "t"), "%s",
		  json_text(&h.arena, &ev).p);
	cr_expect(str_is(json_str(json_dig(row, "object", "kind", NULL)), "PartialObjectMetadata"));
	close(wire.fd);
}

Test(apiserver, a_token_says_who_asks_and_what_that_one_may)
{
	static const struct {
		const char *token, *path, *headers;
		int status;
	} cases[] = {
		{ "admin", CMS, "", 200 },
		{ "view", CMS, "", 200 },
		{ "view", NS "/secrets", "", 403 },
		{ "wrong", CMS, "", 401 },
		{ "wrong", "/healthz", "", 401 },
		{ "plain", CMS, "", 403 },
		{ "plain", "/api", "", 200 },
		{ "plain", "/metrics", "", 403 },
		{ "admin", CMS, "Impersonate-User: joe\r\n", 403 },
		{ "admin", CMS, "Impersonate-User: joe\r\nImpersonate-Group: rctl:viewers\r\n",
		  200 },
		{ "admin", CMS, "Impersonate-Group: rctl:viewers\r\n", 400 },
		{ "view", CMS, "Impersonate-User: admin\r\n", 403 },
		{ "view", CMS, "Accept: application/vnd.kubernetes.protobuf\r\n", 406 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		wire_open(&wire, &h, cases[i].token, cases[i].path, cases[i].headers);
		(void)wire_line(&wire);
		cr_expect_eq(wire.status, cases[i].status, "%s %s %s: %d", cases[i].token,
			     cases[i].path, cases[i].headers, wire.status);
		close(wire.fd);
	}
}

/* ---- a cluster's API: pods and nodes ---- */

#define PODS NS "/pods"

static const char pod[] =
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{"
	"\"containers\":[{\"name\":\"c\","
	"\"image\":\"host\",\"envFrom\":[{\"secretRef\":{\"name\":\"conf\"}}]}]}}";

static void as_node(void)
{
	h.user = (struct auth_user){ .name = STR("system:node:n1"),
				     .groups = { STR("system:nodes") },
				     .groups_len = 1 };
}

static void as_admin(void)
{
	h.user = (struct auth_user){ .name = STR("admin"),
				     .groups = { STR("system:masters") },
				     .groups_len = 1 };
}

static void bind_pod(const char *node)
{
	EXPECT(harness_post(&h, PODS "/p/binding",
			    arena_printf(&h.arena,
					 "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":"
					 "{\"name\":\"p\"},"
					 "\"target\":{\"kind\":\"Node\",\"name\":\"%s\"}}",
					 node)),
	       201);
}

Test(apiserver_cluster, a_bound_pod_is_deleted_when_its_node_says_so)
{
	EXPECT(harness_post(&h, PODS, pod), 201);
	IS("status.phase", "Pending");
	bind_pod("n1");
	EXPECT(harness_post(&h, PODS "/p/binding", "{\"target\":{\"name\":\"n2\"}}"), 409);
	EXPECT(harness_get(&h, PODS "?fieldSelector=spec.nodeName%3Dn1"), 200);
	cr_expect_eq(json_len(harness_at(&h, "items")), 1);
	EXPECT(harness_delete(&h, PODS "/p", ""), 200);
	IS("metadata.deletionGracePeriodSeconds", "30");
	EXPECT(harness_get(&h, PODS "/p"), 200);
	as_node();
	EXPECT(harness_delete(&h, PODS "/p", "{\"gracePeriodSeconds\":0}"), 200);
	as_admin();
	EXPECT(harness_get(&h, PODS "/p"), 404);
	EXPECT(harness_post(&h, PODS, pod), 201);
	EXPECT(harness_delete(&h, PODS "/p", ""), 200);
	EXPECT(harness_get(&h, PODS "/p"), 404);
}

Test(apiserver_cluster, a_node_touches_its_own_and_nothing_else)
{
	EXPECT(harness_post(&h, NS "/secrets", "{\"metadata\":{\"name\":\"conf\"}}"), 201);
	EXPECT(harness_post(&h, NS "/secrets", "{\"metadata\":{\"name\":\"other\"}}"), 201);
	EXPECT(harness_post(&h, PODS, pod), 201);
	as_node();
	EXPECT(harness_get(&h, NS "/secrets/conf"), 403);
	as_admin();
	bind_pod("n1");
	as_node();
	EXPECT(harness_get(&h, NS "/secrets/conf"), 200);
	EXPECT(harness_get(&h, NS "/secrets/other"), 403);
	EXPECT(harness_get(&h, NS "/secrets"), 403);
	EXPECT(harness_get(&h, PODS "/p"), 200);
	EXPECT(harness_get(&h, PODS), 403);
	EXPECT(harness_get(&h, PODS "?fieldSelector=spec.nodeName%3Dn1"), 200);
	EXPECT(harness_send(&h, "PATCH", PODS "/p/status", "application/merge-patch+json",
			    "{\"status\":{\"phase\":\"Running\"}}"),
	       200);
	IS("status.phase", "Running");
	EXPECT(harness_send(&h, "PATCH", PODS "/p", "application/merge-patch+json",
			    "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"),
	       403);
	EXPECT(harness_post(&h, "/api/v1/nodes",
			    "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"capacity\":{\"cpu\":"
			    "\"2\"}}}"),
	       201);
	IS("status.capacity.cpu", "2");
	EXPECT(harness_post(&h, "/api/v1/nodes", "{\"metadata\":{\"name\":\"n2\"}}"), 403);
#define NODE_LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
	EXPECT(harness_post(
		       &h, NODE_LEASES,
		       "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"holderIdentity\":\"n1\"}}"),
	       201);
	EXPECT(harness_post(
		       &h, NODE_LEASES,
		       "{\"metadata\":{\"name\":\"n2\"},\"spec\":{\"holderIdentity\":\"n1\"}}"),
	       403);
	static const char event[] = "{\"metadata\":{\"name\":\"%s\"},\"involvedObject\":{\"kind\":"
				    "\"Pod\",\"namespace\":\"default\",\"name\":\"%s\"},"
				    "\"reason\":\"Started\",\"message\":\"x\",\"type\":\"Normal\"}";
	EXPECT(harness_post(&h, NS "/events", arena_printf(&h.arena, event, "e1", "p")), 201);
	EXPECT(harness_post(&h, NS "/events", arena_printf(&h.arena, event, "e2", "q")), 403);
}

Test(apiserver_cluster, a_deployment_scales_through_its_subresource)
{
#define DEPLOYS "/apis/apps/v1/namespaces/default/deployments"
	EXPECT(harness_post(&h, DEPLOYS,
			    "{\"apiVersion\":\"apps/"
			    "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":"
			    "{\"selector\":"
			    "{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{"
			    "\"labels\":{\"app\":\"web\"}},\"spec\":"
			    "{\"containers\":[{\"name\":\"c\",\"image\":\"host\"}]}}}}"),
	       201);
	IS("spec.replicas", "1");
	IS("metadata.generation", "1");
	EXPECT(harness_get(&h, DEPLOYS "/web/scale"), 200);
	IS("status.selector", "app=web");
	EXPECT(harness_send(&h, "PATCH", DEPLOYS "/web/scale", "application/merge-patch+json",
			    "{\"spec\":{\"replicas\":3}}"),
	       200);
	EXPECT(harness_get(&h, DEPLOYS "/web"), 200);
	IS("spec.replicas", "3");
	IS("metadata.generation", "2");
	EXPECT(harness_send(&h, "PATCH", DEPLOYS "/web/scale", "application/merge-patch+json",
			    "{\"spec\":{\"replicas\":-1}}"),
	       422);
	EXPECT(harness_send(&h, "PATCH", DEPLOYS "/web/status", "application/merge-patch+json",
			    "{\"status\":{\"replicas\":3}}"),
	       200);
	IS("metadata.generation", "2");
}

/* ---- limits, routes of a program ---- */

Test(apiserver_alone, a_server_at_its_limit_asks_to_try_again_later, .timeout = 60)
{
	char *args[] = { (char *)(uintptr_t) "--watches-max=1",
			 (char *)(uintptr_t) "--list-limit-max=2" };
	harness_start(&h, KIND_GLOBAL, args, 2);
	harness_ready(&h);
	static struct wire second;
	EXPECT(harness_post(&h, CMS, cm("a", "", "1")), 201);
	wire_open(&wire, &h, "view", CMS "?watch=true", "");
	expect_event(&wire, "ADDED", "a");
	wire_open(&second, &h, "view", CMS "?watch=true", "");
	char *line = wire_line(&second);
	cr_assert_not_null(line);
	cr_expect_eq(second.status, 429);
	cr_expect_not_null(strstr(line, "TooManyRequests"));
	close(second.fd);
	close(wire.fd);
	EXPECT(harness_get(&h, "/api/v1/namespaces"), 200);
	cr_expect_eq(json_len(harness_at(&h, "items")), 2);
	harness_stop(&h);
}

Test(apiserver_alone, an_event_goes_after_its_time, .timeout = 60)
{
	char *args[] = { (char *)(uintptr_t) "--event-ttl=1s" };
	harness_start(&h, KIND_GLOBAL, args, 1);
	harness_ready(&h);
	EXPECT(harness_post(&h, NS "/events",
			    "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":"
			    "\"ConfigMap\",\"namespace\":"
			    "\"default\",\"name\":\"x\"},\"reason\":\"R\",\"message\":\"m\","
			    "\"type\":\"Normal\"}"),
	       201);
	harness_until(&h, NS "/events/e", 404);
	harness_stop(&h);
}

static int closed;

static void serve_echo(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	(void)arg;
	char text[256];
	*apiserver_route_state(req) = text;
	int n = snprintf(text, sizeof(text),
			 "{\"rest\":\"%.*s\",\"query\":\"%.*s\",\"user\":\"%.*s\"}\n",
			 STR_ARG(info->path_rest), STR_ARG(info->query), STR_ARG(info->user->name));
	http_reply_text(req, 200, "application/json", str_n(text, (size_t)n));
}

static void on_closed(void *arg, struct http_request *req)
{
	(void)arg;
	(void)req;
	closed++;
}

static const char *not_yet(void *arg)
{
	(void)arg;
	return "the part is not there yet";
}

static void add_routes(struct harness *x)
{
	const struct apiserver_route echo = { .prefix = "/echo/",
					      .fn = serve_echo,
					      .closed = on_closed };
	const struct apiserver_route log = { .resource = "pods",
					     .subresource = "log",
					     .fn = serve_echo };
	apiserver_add_route(x->s, &echo);
	apiserver_add_route(x->s, &log);
	apiserver_add_group(x->s, "metrics.k8s.io", "v1beta1",
			    "[{\"name\":\"nodes\",\"singularName\":\"\",\"namespaced\":false,"
			    "\"kind\":\"NodeMetrics\",\"verbs\":"
			    "[\"get\",\"list\"]}]");
	apiserver_add_check(x->s, "part", not_yet, NULL);
}

Test(apiserver_alone, a_program_serves_routes_groups_and_checks_of_its_own, .timeout = 60)
{
	harness_start_with(&h, KIND_CLUSTER, NULL, 0, add_routes);
	wire_open(&wire, &h, "admin", "/echo/a/b?c=d", "");
	cr_expect_str_eq(wire_line(&wire),
			 "{\"rest\":\"a/b\",\"query\":\"c=d\",\"user\":\"admin\"}");
	close(wire.fd);
	wire_open(&wire, &h, "plain", "/echo/a", "");
	(void)wire_line(&wire);
	cr_expect_eq(wire.status, 403);
	close(wire.fd);
	wire_open(&wire, &h, "admin", NS "/pods/p/log?follow=true", "");
	cr_expect_str_eq(wire_line(&wire),
			 "{\"rest\":\"\",\"query\":\"follow=true\",\"user\":\"admin\"}");
	close(wire.fd);
	EXPECT(harness_get(&h, "/apis/metrics.k8s.io/v1beta1"), 200);
	IS("resources.0.kind", "NodeMetrics");
	EXPECT(harness_get(&h, "/apis"), 200);
	cr_expect_not_null(strstr(h.text.p, "metrics.k8s.io"));
	EXPECT(harness_get(&h, "/readyz"), 503);
	cr_expect_not_null(strstr(h.text.p, "part failed: the part is not there yet"));
	EXPECT(harness_get(&h, "/livez"), 200);
	harness_stop(&h);
	cr_expect_eq(closed, 1);
}
