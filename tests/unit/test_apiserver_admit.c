/* Admission of a cluster's server: limits, priorities, quotas. */
#include "apiserver_harness.h"

#include <criterion/criterion.h>

#define PODS    "/api/v1/namespaces/default/pods"
#define QUOTA   "/api/v1/namespaces/default/resourcequotas"
#define LIMITS  "/api/v1/namespaces/default/limitranges"
#define CLASSES "/apis/scheduling.k8s.io/v1/priorityclasses"

static void pod_body(char *out, size_t cap, const char *name, const char *container,
		     const char *spec)
{
	snprintf(out, cap,
		 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\","
		 "\"image\":\"i\"%s%s}]%s%s}}",
		 name, *container ? "," : "", container, *spec ? "," : "", spec);
}

static int pod(struct harness *h, const char *name, const char *container, const char *spec)
{
	char body[2048];
	pod_body(body, sizeof(body), name, container, spec);
	return harness_post(h, PODS, body);
}

static void create(struct harness *h, const char *path, const char *body)
{
	cr_assert_eq(harness_post(h, path, body), 201, "%s: %s", path, h->text.p);
}

static void until_used(struct harness *h, const char *quota, const char *name, const char *want)
{
	char path[256], at[128];
	snprintf(path, sizeof(path), QUOTA "/%s", quota);
	snprintf(at, sizeof(at), "status.used.%s", name);
	for (int i = 0; i < 1200; i++) {
		cr_assert_eq(harness_get(h, path), 200);
		if (strcmp(harness_str(h, at), want) == 0)
			return;
		usleep(25000);
	}
	cr_assert(false, "%s did not come to %s: %s", name, want, h->text.p);
}

Test(apiserver_admit, a_limit_range_fills_what_containers_do_not_say)
{
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	create(&h, LIMITS,
	       "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[{\"type\":\"Container\","
	       "\"default\":{\"cpu\":\"1\",\"memory\":\"64Mi\"},\"defaultRequest\":{\"cpu\":"
	       "\"100m\"}}]}}");
	cr_assert_str_eq(harness_str(&h, "spec.limits.0.defaultRequest.memory"), "64Mi",
			 "what is limited is requested");
	static const struct {
		const char *container, *cpu, *cpu_limit, *memory, *note;
	} cases[] = {
		{ "", "100m", "1", "64Mi",
		  "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit "
		  "for container c" },
		{ "\"resources\":{\"limits\":{\"cpu\":\"500m\"}}", "500m", "500m", "64Mi",
		  "LimitRanger plugin set: memory request for container c; memory limit for "
		  "container c" },
		{ "\"resources\":{\"requests\":{\"cpu\":\"200m\",\"memory\":\"1Mi\"},\"limits\":{"
		  "\"cpu\":\"2\",\"memory\":\"2Mi\"}}",
		  "200m", "2", "1Mi", "(none)" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char name[16];
		snprintf(name, sizeof(name), "p%zu", i);
		cr_assert_eq(pod(&h, name, cases[i].container, ""), 201, "%s", h.text.p);
		const struct json *resources = harness_at(&h, "spec.containers.0.resources");
		const struct json *notes = harness_at(&h, "metadata.annotations");
		const struct json *note = json_getc(notes, "kubernetes.io/limit-ranger");
		cr_assert_str_eq(harness_str(&h, "spec.containers.0.resources.requests.cpu"),
				 cases[i].cpu);
		cr_assert_str_eq(harness_str(&h, "spec.containers.0.resources.limits.cpu"),
				 cases[i].cpu_limit);
		cr_assert(str_is(json_str(json_dig(resources, "requests", "memory", NULL)),
				 cases[i].memory));
		cr_assert(note ? str_is(json_str(note), cases[i].note)
			       : strcmp(cases[i].note, "(none)") == 0);
	}
	harness_stop(&h);
}

Test(apiserver_admit, a_limit_range_refuses_what_is_outside_it)
{
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	create(&h, LIMITS,
	       "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[{\"type\":\"Container\","
	       "\"min\":{\"cpu\":\"100m\"},\"max\":{\"cpu\":\"2\"},\"maxLimitRequestRatio\":{"
	       "\"cpu\":\"4\"}},{\"type\":\"Pod\",\"max\":{\"memory\":\"1Gi\"}}]}}");
	static const struct {
		const char *resources, *says; /* NULL: it is let in */
	} cases[] = {
		{ "{\"requests\":{\"cpu\":\"500m\"},\"limits\":{\"cpu\":\"2\",\"memory\":\"1Gi\"}}",
		  NULL },
		{ "{\"limits\":{\"cpu\":\"2500m\",\"memory\":\"1Gi\"}}",
		  "maximum cpu usage per Container is 2, but limit is 2500m" },
		{ "{\"limits\":{\"cpu\":\"50m\",\"memory\":\"1Gi\"}}",
		  "minimum cpu usage per Container is 100m, but request is 50m" },
		{ "{\"requests\":{\"cpu\":\"100m\"},\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}",
		  "cpu max limit to request ratio per Container is 4, but provided ratio is "
		  "10.000000" },
		{ "{\"limits\":{\"cpu\":\"1\"}}",
		  "maximum memory usage per Pod is 1Gi.  No limit is specified" },
		{ "{\"limits\":{\"cpu\":\"3\",\"memory\":\"2Gi\"}}",
		  "[maximum cpu usage per Container is 2, but limit is 3, maximum memory usage per "
		  "Pod is 1Gi, but limit is 2Gi]" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char container[512], want[512];
		snprintf(container, sizeof(container), "\"resources\":%s", cases[i].resources);
		snprintf(want, sizeof(want), "pods \"p\" is forbidden: %s",
			 cases[i].says ? cases[i].says : "");
		cr_assert_eq(pod(&h, "p", container, ""), cases[i].says ? 403 : 201, "%zu: %s", i,
			     h.text.p);
		if (cases[i].says)
			cr_assert_str_eq(harness_str(&h, "message"), want);
		else
			cr_assert_eq(harness_delete(&h, PODS "/p", ""), 200);
	}
	static const struct {
		const char *item, *says;
	} ranges[] = {
		{ "{\"type\":\"Container\",\"min\":{\"cpu\":\"2\"},\"max\":{\"cpu\":\"1\"}}",
		  "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max "
		  "value 1" },
		{ "{\"type\":\"Pod\",\"default\":{\"cpu\":\"1\"}}",
		  "spec.limits[0].default: Forbidden" },
		{ "{\"type\":\"Pod\",\"maxLimitRequestRatio\":{\"cpu\":\"500m\"}}",
		  "ratio 500m is less than 1" },
		{ "{\"type\":\"Pod\"},{\"type\":\"Pod\"}",
		  "spec.limits[1].type: Duplicate value: \"Pod\"" },
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		char body[512];
		snprintf(body, sizeof(body),
			 "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"limits\":[%s]}}",
			 ranges[i].item);
		cr_assert_eq(harness_post(&h, LIMITS, body), 422);
		cr_assert(strstr(harness_str(&h, "message"), ranges[i].says), "%s", h.text.p);
	}
	harness_stop(&h);
}

Test(apiserver_admit, a_pod_gets_the_priority_of_its_class)
{
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	cr_assert_eq(pod(&h, "none", "", ""), 201, "%s", h.text.p);
	cr_assert_str_eq(harness_str(&h, "spec.priority"), "0");
	cr_assert_str_eq(harness_str(&h, "spec.preemptionPolicy"), "PreemptLowerPriority");
	cr_assert_eq(pod(&h, "x", "", "\"priorityClassName\":\"high\""), 403);
	cr_assert_str_eq(harness_str(&h, "message"),
			 "pods \"x\" is forbidden: no PriorityClass with name high was found");
	create(&h, CLASSES,
	       "{\"metadata\":{\"name\":\"high\"},\"value\":1000,\"preemptionPolicy\":\"Never\"}");
	create(&h, CLASSES,
	       "{\"metadata\":{\"name\":\"usual\"},\"value\":7,\"globalDefault\":true}");
	cr_assert_eq(pod(&h, "high", "", "\"priorityClassName\":\"high\""), 201, "%s", h.text.p);
	cr_assert_str_eq(harness_str(&h, "spec.priority"), "1000");
	cr_assert_str_eq(harness_str(&h, "spec.preemptionPolicy"), "Never");
	cr_assert_eq(pod(&h, "usual", "", ""), 201);
	cr_assert_str_eq(harness_str(&h, "spec.priorityClassName"), "usual");
	cr_assert_str_eq(harness_str(&h, "spec.priority"), "7");
	cr_assert_eq(pod(&h, "node", "", "\"priorityClassName\":\"system-node-critical\""), 201);
	cr_assert_str_eq(harness_str(&h, "spec.priority"), "2000001000");
	static const struct {
		const char *spec, *says;
	} refused[] = {
		{ "\"priority\":5", "must not be provided in pod spec" },
		{ "\"priorityClassName\":\"high\",\"priority\":5", "computed 1000" },
		{ "\"priorityClassName\":\"high\",\"preemptionPolicy\":\"PreemptLowerPriority\"",
		  "computed Never" },
	};
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		cr_assert_eq(pod(&h, "x", "", refused[i].spec), 403);
		cr_assert(strstr(harness_str(&h, "message"), refused[i].says), "%s", h.text.p);
	}
	static const struct {
		const char *body;
		int status;
		const char *says;
	} classes[] = {
		{ "{\"metadata\":{\"name\":\"b\"},\"value\":1,\"globalDefault\":true}", 403,
		  "PriorityClass usual is already marked as default" },
		{ "{\"metadata\":{\"name\":\"b\"},\"value\":1000000001}", 422,
		  "value: Forbidden: maximum allowed value of a user defined priority is "
		  "1000000000" },
		{ "{\"metadata\":{\"name\":\"system-b\"},\"value\":1}", 422,
		  "metadata.name: Forbidden" },
	};
	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
		cr_assert_eq(harness_post(&h, CLASSES, classes[i].body), classes[i].status);
		cr_assert(strstr(harness_str(&h, "message"), classes[i].says), "%s", h.text.p);
	}
	cr_assert_eq(harness_send(&h, "PATCH", CLASSES "/high", "application/merge-patch+json",
				  "{\"value\":5}"),
		     422);
	harness_stop(&h);
}

Test(apiserver_admit, a_quota_counts_what_pods_take_and_gets_it_back)
{
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	create(&h, QUOTA,
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"cpu\":\"1\",\"pods\":\"3\"}}"
	       "}");
	cr_assert_eq(pod(&h, "silent", "", ""), 403);
	cr_assert_str_eq(harness_str(&h, "message"),
			 "pods \"silent\" is forbidden: failed quota: q: must specify cpu for: c");
	static const char *const names[] = { "a", "b" };
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(
			pod(&h, names[i], "\"resources\":{\"requests\":{\"cpu\":\"400m\"}}", ""),
			201, "%s", h.text.p);
	cr_assert_eq(pod(&h, "c", "\"resources\":{\"requests\":{\"cpu\":\"400m\"}}", ""), 403);
	cr_assert_str_eq(harness_str(&h, "message"),
			 "pods \"c\" is forbidden: exceeded quota: q, requested: cpu=400m, used: "
			 "cpu=800m, limited: cpu=1");
	until_used(&h, "q", "cpu", "800m");
	until_used(&h, "q", "pods", "2");
	/* What is there no more is not held against anybody, even before the status says so. */
	cr_assert_eq(harness_delete(&h, PODS "/a", "{\"gracePeriodSeconds\":0}"), 200);
	cr_assert_eq(pod(&h, "c", "\"resources\":{\"requests\":{\"cpu\":\"600m\"}}", ""), 201, "%s",
		     h.text.p);
	until_used(&h, "q", "cpu", "1");
	/* A pod that has ended takes nothing. */
	cr_assert_eq(harness_send(&h, "PATCH", PODS "/c/status", "application/merge-patch+json",
				  "{\"status\":{\"phase\":\"Succeeded\"}}"),
		     200);
	until_used(&h, "q", "cpu", "400m");
	until_used(&h, "q", "pods", "1");
	/* Other limits are seen at once. */
	cr_assert_eq(harness_send(&h, "PATCH", QUOTA "/q", "application/merge-patch+json",
				  "{\"spec\":{\"hard\":{\"memory\":\"1Gi\"}}}"),
		     200);
	until_used(&h, "q", "memory", "0");
	harness_stop(&h);
}

Test(apiserver_admit, a_quota_with_scopes_counts_some_pods)
{
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	create(&h, CLASSES, "{\"metadata\":{\"name\":\"high\"},\"value\":1000}");
	create(&h, QUOTA,
	       "{\"metadata\":{\"name\":\"best\"},\"spec\":{\"hard\":{\"pods\":\"1\"},\"scopes\":["
	       "\"BestEffort\"]}}");
	create(&h, QUOTA,
	       "{\"metadata\":{\"name\":\"ends\"},\"spec\":{\"hard\":{\"pods\":\"1\"},\"scopes\":["
	       "\"Terminating\"]}}");
	create(&h, QUOTA,
	       "{\"metadata\":{\"name\":\"high\"},\"spec\":{\"hard\":{\"count/pods\":\"0\"},"
	       "\"scopeSelector\":{\"matchExpressions\":[{\"scopeName\":\"PriorityClass\","
	       "\"operator\":\"In\",\"values\":[\"high\"]}]}}}");
	static const char some[] = "\"resources\":{\"requests\":{\"cpu\":\"1\"}}";
	static const struct {
		const char *name, *container, *spec;
		int status;
	} cases[] = {
		{ "best", "", "", 201 },
		{ "best2", "", "", 403 },
		{ "some", some, "", 201 },
		{ "ends", some, "\"activeDeadlineSeconds\":60", 201 },
		{ "ends2", some, "\"activeDeadlineSeconds\":60", 403 },
		{ "high", some, "\"priorityClassName\":\"high\"", 403 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_assert_eq(pod(&h, cases[i].name, cases[i].container, cases[i].spec),
			     cases[i].status, "%s: %s", cases[i].name, h.text.p);
	until_used(&h, "best", "pods", "1");
	/* An update comes under a quota by another scope. */
	cr_assert_eq(harness_send(&h, "PATCH", PODS "/some", "application/merge-patch+json",
				  "{\"spec\":{\"activeDeadlineSeconds\":60}}"),
		     403, "%s", h.text.p);
	cr_assert_eq(harness_delete(&h, PODS "/ends", "{\"gracePeriodSeconds\":0}"), 200);
	cr_assert_eq(harness_send(&h, "PATCH", PODS "/some", "application/merge-patch+json",
				  "{\"spec\":{\"activeDeadlineSeconds\":60}}"),
		     200, "%s", h.text.p);
	until_used(&h, "ends", "pods", "1");
	static const struct {
		const char *spec, *says;
	} refused[] = {
		{ "\"hard\":{\"pods\":\"1\"},\"scopes\":[\"BestEffort\",\"NotBestEffort\"]",
		  "conflicting scopes" },
		{ "\"hard\":{\"configmaps\":\"1\"},\"scopes\":[\"Terminating\"]",
		  "unsupported scope applied to resource" },
		{ "\"hard\":{\"pods\":\"1\"},\"scopes\":[\"Other\"]", "unsupported scope" },
	};
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		char body[512];
		snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"x\"},\"spec\":{%s}}",
			 refused[i].spec);
		cr_assert_eq(harness_post(&h, QUOTA, body), 422, "%s", h.text.p);
		cr_assert(strstr(harness_str(&h, "message"), refused[i].says), "%s", h.text.p);
	}
	harness_stop(&h);
}

struct answer {
	int status;
	size_t *waiting;
};

static void on_answer(void *arg, int status, struct str reply)
{
	struct answer *a = arg;
	(void)reply;
	a->status = status;
	--*a->waiting;
}

Test(apiserver_admit, of_many_pods_at_once_exactly_those_pass_that_fit)
{
	enum { PODS_MAX = 60, FIT = 10 };
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	create(&h, QUOTA,
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"requests.cpu\":\"1\"}}}");
	struct answer answers[PODS_MAX];
	size_t waiting = PODS_MAX, created = 0;
	for (int i = 0; i < PODS_MAX; i++) {
		char name[16], body[512];
		snprintf(name, sizeof(name), "p%d", i);
		pod_body(body, sizeof(body), name,
			 "\"resources\":{\"requests\":{\"cpu\":\"100m\"}}", "");
		struct apiserver_call c = { .method = STR("POST"),
					    .path = STR(PODS),
					    .content_type = STR("application/json"),
					    .body = str_of(body),
					    .user = &h.user };
		answers[i] = (struct answer){ 0, &waiting };
		apiserver_call(h.s, h.loop, &c, on_answer, &answers[i]);
	}
	while (waiting)
		loop_turn(h.loop, 1000);
	for (int i = 0; i < PODS_MAX; i++) {
		cr_assert(answers[i].status == 201 || answers[i].status == 403, "%d",
			  answers[i].status);
		created += answers[i].status == 201;
	}
	cr_assert_eq(created, FIT);
	cr_assert_eq(harness_get(&h, QUOTA "/q"), 200);
	cr_assert(str_is(json_str(json_getc(harness_at(&h, "status.used"), "requests.cpu")), "1"));
	harness_stop(&h);
}

/* ---- disruption budgets ---- */

#define BUDGETS "/apis/policy/v1/namespaces/default/poddisruptionbudgets"

static void run_pod(struct harness *h, const char *name, const char *label, const char *ready)
{
	char body[512], path[512];
	snprintf(body, sizeof(body),
		 "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"%s\"}},\"spec\":{"
		 "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
		 name, label);
	create(h, PODS, body);
	snprintf(path, sizeof(path), PODS "/%s/status", name);
	snprintf(
		body, sizeof(body),
		"{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
		"\"%s\"}]}}",
		ready);
	cr_assert_eq(harness_send(h, "PATCH", path, "application/merge-patch+json", body), 200);
}

static void set_budget(struct harness *h, const char *name, int allowed, int healthy, int desired)
{
	char path[512], body[512];
	snprintf(path, sizeof(path), BUDGETS "/%s/status", name);
	snprintf(body, sizeof(body),
		 "{\"status\":{\"observedGeneration\":1,\"disruptionsAllowed\":%d,"
		 "\"currentHealthy\":%d,\"desiredHealthy\":%d,\"expectedPods\":3}}",
		 allowed, healthy, desired);
	cr_assert_eq(harness_send(h, "PATCH", path, "application/merge-patch+json", body), 200,
		     "%s", h->text.p);
}

static int evict(struct harness *h, const char *name)
{
	char path[512], body[256];
	snprintf(path, sizeof(path), PODS "/%s/eviction", name);
	snprintf(body, sizeof(body),
		 "{\"apiVersion\":\"policy/"
		 "v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%s\"},"
		 "\"deleteOptions\":{\"gracePeriodSeconds\":0}}",
		 name);
	return harness_post(h, path, body);
}

Test(apiserver_admit, an_eviction_needs_the_grant_of_the_budget)
{
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	static const char *const pods[] = { "a", "b", "c" };
	for (size_t i = 0; i < 3; i++)
		run_pod(&h, pods[i], "web", "True");
	run_pod(&h, "sick", "web", "False");
	run_pod(&h, "free", "other", "True");
	create(&h, BUDGETS,
	       "{\"metadata\":{\"name\":\"keep\"},\"spec\":{\"minAvailable\":2,\"selector\":{"
	       "\"matchLabels\":{\"app\":\"web\"}}}}");
	cr_assert_eq(evict(&h, "free"), 201, "%s", h.text.p);
	cr_assert_eq(evict(&h, "a"), 429);
	cr_assert_str_eq(harness_str(&h, "message"),
			 "Cannot evict pod as it would violate the pod's disruption budget.");
	cr_assert_str_eq(harness_str(&h, "reason"), "TooManyRequests");
	cr_assert_str_eq(harness_str(&h, "details.causes.0.reason"), "DisruptionBudget");
	cr_assert_str_eq(harness_str(&h, "details.causes.0.message"),
			 "The disruption budget keep is still being processed by the server.");
	cr_assert_str_eq(harness_str(&h, "details.retryAfterSeconds"), "10");
	set_budget(&h, "keep", 1, 3, 2);
	cr_assert_eq(
		harness_send(&h, "POST", PODS "/a/eviction?dryRun=All", "application/json",
			     "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{"
			     "\"name\":\"a\"}}"),
		201, "%s", h.text.p);
	cr_assert_eq(evict(&h, "a"), 201, "%s", h.text.p);
	cr_assert_eq(harness_get(&h, PODS "/a"), 404);
	cr_assert_eq(evict(&h, "b"), 429);
	cr_assert_str_eq(harness_str(&h, "details.causes.0.message"),
			 "The disruption budget keep needs 2 healthy pods and has 3 currently");
	cr_assert_eq(harness_get(&h, BUDGETS "/keep"), 200);
	cr_assert_str_eq(harness_str(&h, "status.disruptionsAllowed"), "0");
	cr_assert(harness_at(&h, "status.disruptedPods.a"));
	/* One that is not ready may go while the others are enough, or when the budget says so. */
	set_budget(&h, "keep", 0, 1, 2);
	cr_assert_eq(evict(&h, "sick"), 429);
	set_budget(&h, "keep", 0, 2, 2);
	cr_assert_eq(evict(&h, "sick"), 201, "%s", h.text.p);
	/* Two budgets for one pod are a mistake. */
	create(&h, BUDGETS,
	       "{\"metadata\":{\"name\":\"more\"},\"spec\":{\"maxUnavailable\":1,\"selector\":{}}"
	       "}");
	cr_assert_eq(evict(&h, "b"), 500);
	cr_assert_eq(harness_delete(&h, PODS "/b", "{\"gracePeriodSeconds\":0}"), 200);
	cr_assert_eq(
		harness_post(&h, BUDGETS,
			     "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"minAvailable\":\"120%\","
			     "\"maxUnavailable\":1}}"),
		422);
	harness_stop(&h);
}

Test(apiserver_admit, of_many_evictions_at_once_exactly_those_pass_that_are_granted)
{
	enum { PODS_MAX = 20, GRANTED = 7 };
	struct harness h;
	harness_start(&h, KIND_CLUSTER, NULL, 0);
	harness_ready(&h);
	create(&h, BUDGETS,
	       "{\"metadata\":{\"name\":\"keep\"},\"spec\":{\"minAvailable\":13,\"selector\":{}}}");
	char names[PODS_MAX][16];
	for (int i = 0; i < PODS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "p%d", i);
		run_pod(&h, names[i], "web", "True");
	}
	set_budget(&h, "keep", GRANTED, PODS_MAX, PODS_MAX - GRANTED);
	struct answer answers[PODS_MAX];
	size_t waiting = PODS_MAX, gone = 0;
	for (int i = 0; i < PODS_MAX; i++) {
		char path[512];
		snprintf(path, sizeof(path), PODS "/%s/eviction", names[i]);
		struct apiserver_call c = {
			.method = STR("POST"),
			.path = str_of(path),
			.content_type = STR("application/json"),
			.body = STR("{\"deleteOptions\":{\"gracePeriodSeconds\":0}}"),
			.user = &h.user
		};
		answers[i] = (struct answer){ 0, &waiting };
		apiserver_call(h.s, h.loop, &c, on_answer, &answers[i]);
	}
	while (waiting)
		loop_turn(h.loop, 1000);
	for (int i = 0; i < PODS_MAX; i++) {
		cr_assert(answers[i].status == 201 || answers[i].status == 429, "%d",
			  answers[i].status);
		gone += answers[i].status == 201;
	}
	cr_assert_eq(gone, GRANTED);
	harness_stop(&h);
}

/* ---- default roles ---- */

#define ROLES "/apis/rbac.authorization.k8s.io/v1/clusterroles"

static const char *database;

static void start_again(struct harness *h)
{
	char url[300];
	snprintf(url, sizeof(url), "--store=sqlite:%s", database);
	harness_start(h, KIND_GLOBAL, (char *[]){ url }, 1);
	harness_ready(h);
}

Test(apiserver_admit, default_roles_of_an_older_server_get_what_they_lack)
{
	char path[] = "/tmp/test_roles_XXXXXX", file[64];
	cr_assert(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/db", path);
	database = file;
	struct harness h;
	start_again(&h);
	cr_assert_eq(harness_get(&h, ROLES "/system:aggregate-to-view"), 200);
	cr_assert(strstr(h.text.p, "prometheusrules"));
	size_t rules = json_len(harness_at(&h, "rules"));
	/* As an older one made it, with a rule of the operator's own. */
	static const char *const bodies[] = {
		"{\"metadata\":{\"labels\":null,\"annotations\":null},\"rules\":[{\"apiGroups\":["
		"\"x\"],"
		"\"resources\":[\"own\"],\"verbs\":[\"get\"]}]}",
		"{\"metadata\":{\"annotations\":{\"rbac.authorization.kubernetes.io/autoupdate\":"
		"\"false\"}},\"rules\":[]}",
	};
	cr_assert_eq(harness_send(&h, "PATCH", ROLES "/system:aggregate-to-view",
				  "application/merge-patch+json", bodies[0]),
		     200);
	cr_assert_eq(harness_send(&h, "PATCH", ROLES "/system:aggregate-to-edit",
				  "application/merge-patch+json", bodies[1]),
		     200);
	harness_stop(&h);
	start_again(&h);
	cr_assert_eq(harness_get(&h, ROLES "/system:aggregate-to-view"), 200);
	cr_assert_eq(json_len(harness_at(&h, "rules")), rules + 1, "%s", h.text.p);
	cr_assert_str_eq(harness_str(&h, "rules.0.resources.0"), "own");
	cr_assert(strstr(h.text.p, "io/aggregate-to-view\":\"true\""), "the label is back");
	cr_assert_eq(harness_get(&h, ROLES "/system:aggregate-to-edit"), 200);
	cr_assert_eq(json_len(harness_at(&h, "rules")), 0, "as the operator wants it");
	harness_stop(&h);
	start_again(&h);
	cr_assert_eq(harness_get(&h, ROLES "/system:aggregate-to-view"), 200);
	cr_assert_eq(json_len(harness_at(&h, "rules")), rules + 1, "nothing is added twice");
	harness_stop(&h);
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", path);
	cr_assert_eq(system(command), 0);
}
