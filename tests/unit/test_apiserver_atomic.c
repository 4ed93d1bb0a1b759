/* Sets of writes: all at consecutive revisions or none, on every store. */
#include "apiserver_harness.h"
#include "tests/fixtures/pg_private.h"

#include <sys/stat.h>

#define ATOMIC "/rctl.io/atomic"
#define CORE   "/api/v1/namespaces"

enum { MEMORY, SQLITE, POSTGRES, STORES };

static struct pg_private pg;

static void begin(void)
{
	pg_private_start(&pg);
}

static void end(void)
{
	pg_private_stop(&pg);
}

TestSuite(atomic, .init = begin, .fini = end, .timeout = 120);

/* False: there is no such store here. */
static bool start(struct harness *h, int store)
{
	static char dir[] = "/tmp/rctl-atomic-XXXXXX";
	char url[320] = "memory:", arg[400], schema[32];
	(void)snprintf(schema, sizeof(schema), "at_%d", (int)getpid());
	if (store == POSTGRES && !pg_private_url(url, sizeof(url), schema))
		return false;
	if (store == SQLITE) {
		cr_assert_not_null(mkdtemp(dir));
		(void)snprintf(url, sizeof(url), "sqlite:%s/a.db", dir);
	}
	(void)snprintf(arg, sizeof(arg), "--store=%s", url);
	char *args[] = { arg };
	harness_start(h, KIND_CLUSTER, args, 1);
	harness_ready(h);
	return true;
}

static void stop(struct harness *h, int store)
{
	harness_stop(h);
	if (store == SQLITE)
		cr_assert_eq(system("rm -rf /tmp/rctl-atomic-*"), 0);
}

#define APPLY(path, body) \
	"{\"method\":\"PATCH\",\"contentType\":\"application/apply-patch+yaml\",\"path\":\"" path \
	"?fieldManager=t&fieldValidation=Strict\",\"body\":" body "}"
#define POST(path, body) "{\"method\":\"POST\",\"path\":\"" path "\",\"body\":" body "}"
#define SET(list)        "{\"requests\":[" list "]}"
#define NAMESPACE(name) \
	APPLY(CORE "/" name, \
	      "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"" name \
	      "\"}}")
#define MAP(ns, name, value) \
	APPLY(CORE "/" ns "/configmaps/" name, \
	      "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name \
	      "\"},\"data\":{\"v\":\"" value "\"}}")
#define SERVICE_ACCOUNT(ns, name) \
	POST(CORE "/" ns "/serviceaccounts", \
	     "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"" name \
	     "\"}}")

static int send_set(struct harness *h, const char *query, const char *set)
{
	char path[128];
	(void)snprintf(path, sizeof(path), ATOMIC "%s", query);
	return harness_post(h, path, set);
}

static long long number(struct harness *h, const char *path)
{
	return strtoll(harness_str(h, path), NULL, 10);
}

static void all_at_consecutive_revisions(struct harness *h)
{
	cr_assert_eq(send_set(h, "",
			      SET(MAP("shop", "a", "1") "," MAP("shop", "b",
								"1") "," NAMESPACE("shop"))),
		     200, "%s", h->text.p);
	long long first = number(h, "firstRevision"), last = number(h, "lastRevision");
	cr_assert_eq(last - first, 2);
	cr_assert_str_eq(harness_str(h, "items.0.object.data.v"), "1");
	cr_assert_str_eq(harness_str(h, "items.2.object.kind"), "Namespace");
	cr_assert_eq(number(h, "items.2.object.metadata.resourceVersion"), first);
	cr_assert_eq(number(h, "items.1.object.metadata.resourceVersion"), last);
	cr_assert_eq(number(h, "items.0.code"), 201);
	cr_assert_eq(harness_get(h, CORE "/shop/configmaps/b"), 200);
	cr_assert_eq(number(h, "metadata.resourceVersion"), last);

	/* What is as it should be is not written. */
	cr_assert_eq(send_set(h, "", SET(MAP("shop", "a", "1") "," MAP("shop", "b", "2"))), 200);
	cr_assert_str_eq(harness_str(h, "firstRevision"), harness_str(h, "lastRevision"));
	cr_assert_eq(send_set(h, "", SET(MAP("shop", "a", "1") "," MAP("shop", "b", "2"))), 200);
	cr_assert_str_eq(harness_str(h, "firstRevision"), "(none)");
}

struct refusal {
	const char *what, *set;
	int status;
	const char *says;
};

static const struct refusal refusals[] = {
	{ "one is invalid", SET(MAP("shop", "new", "1") "," MAP("shop", "Bad_Name", "1")), 422,
	  "1 of 2 requests failed; requests[1]: ConfigMap \"Bad_Name\" is invalid" },
	{ "one is not there", SET(MAP("shop", "new", "1") "," MAP("nowhere", "x", "1")), 404,
	  "requests[1]: namespaces \"nowhere\" not found" },
	{ "one is there", SET(MAP("shop", "new", "1") "," SERVICE_ACCOUNT("shop", "here")), 409,
	  "requests[1]: serviceaccounts \"here\" already exists" },
	{ "one object twice", SET(MAP("shop", "new", "1") "," MAP("shop", "new", "2")), 400,
	  "requests[1]: the set writes this object twice" },
	{ "an old revision",
	  SET(MAP("shop", "new", "1") "," APPLY(
		  CORE "/shop/configmaps/a",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\","
		  "\"resourceVersion\":\"1\"},\"data\":{\"v\":\"9\"}}")),
	  409, "requests[1]: " },
	{ "unknown fields",
	  SET(MAP("shop", "new", "1") "," APPLY(CORE "/shop/configmaps/a",
						"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
						"\"metadata\":{\"name\":\"a\"},\"nope\":1}")),
	  400, "requests[1]: " },
	{ "a read", SET(MAP("shop", "new", "1") ",{\"method\":\"GET\",\"path\":\"" CORE "\"}"), 405,
	  "only create, update, patch, apply and delete" },
	{ "many at once",
	  SET(MAP("shop", "new", "1") ",{\"method\":\"DELETE\",\"path\":\"" CORE
				      "/shop/configmaps\"}"),
	  405, "only create, update, patch, apply and delete" },
	{ "a set in a set",
	  SET(MAP("shop", "new", "1") ",{\"method\":\"POST\",\"path\":\"" ATOMIC "\"}"), 405,
	  "only create, update, patch, apply and delete" },
	{ "no list", "{}", 400, "requests: must be a list" },
	{ "no path", SET("{\"method\":\"POST\"}"), 400, "requests[0]: must be an object" },
	{ "twice the same member", "{\"requests\":[],\"requests\":[]}", 400, "duplicate field" },
};

static void none_when_one_fails(struct harness *h)
{
	cr_assert_eq(send_set(h, "", SET(SERVICE_ACCOUNT("shop", "here"))), 200, "%s", h->text.p);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		const struct refusal *f = &refusals[i];
		int status = send_set(h, "", f->set);
		cr_expect_eq(status, f->status, "%s: %d %s", f->what, status, h->text.p);
		cr_expect(strstr(harness_str(h, "message"), f->says), "%s: %s", f->what, h->text.p);
		cr_expect_eq(harness_get(h, CORE "/shop/configmaps/new"), 404, "%s", f->what);
	}
	cr_assert_eq(harness_get(h, CORE "/shop/configmaps/a"), 200);
	cr_assert_str_eq(harness_str(h, "data.v"), "1");
}

static void a_dry_run_writes_nothing(struct harness *h)
{
	cr_assert_eq(send_set(h, "?dryRun=All", SET(NAMESPACE("dry") "," MAP("dry", "a", "1"))),
		     200, "%s", h->text.p);
	cr_assert_str_eq(harness_str(h, "items.1.object.data.v"), "1");
	cr_assert_str_eq(harness_str(h, "firstRevision"), "(none)");
	cr_assert_eq(harness_get(h, CORE "/dry"), 404);
	cr_assert_eq(send_set(h, "?dryRun=All", SET(MAP("dry", "a", "1"))), 404);
	cr_assert_eq(send_set(h, "?dryRun=Some", SET(MAP("dry", "a", "1"))), 400);
}

static void each_is_authorized(struct harness *h)
{
	struct auth_user admin = h->user;
	h->user = (struct auth_user){ .name = STR("joe") };
	cr_assert_eq(send_set(h, "", SET(MAP("shop", "new", "1"))), 403, "%s", h->text.p);
	h->user = (struct auth_user){ 0 };
	cr_assert_eq(send_set(h, "", SET(MAP("shop", "new", "1"))), 401, "%s", h->text.p);
	h->user = admin;
	cr_assert_eq(harness_get(h, CORE "/shop/configmaps/new"), 404);
}

#define QUOTA_BODY(n) \
	"{\"apiVersion\":\"v1\",\"kind\":\"ResourceQuota\",\"metadata\":{\"name\":\"q\"}," \
	"\"spec\":{" \
	"\"hard\":{\"count/serviceaccounts\":\"" n "\"}}}"

#define GROW_QUOTA \
	"{\"method\":\"PATCH\",\"contentType\":\"application/merge-patch+json\",\"path\":\"" CORE \
	"/shop/resourcequotas/q\",\"body\":" QUOTA_BODY("5") "}"

static void a_quota_counts_the_whole_set(struct harness *h)
{
	cr_assert_eq(harness_post(h, CORE "/shop/resourcequotas", QUOTA_BODY("4")), 201);
	/* One is there: three more fit, four do not. */
	cr_assert_eq(send_set(h, "",
			      SET(SERVICE_ACCOUNT("shop", "s1") "," SERVICE_ACCOUNT(
				      "shop",
				      "s2") "," SERVICE_ACCOUNT("shop",
								"s3") "," SERVICE_ACCOUNT("shop",
											  "s4"))),
		     403, "%s", h->text.p);
	cr_assert(strstr(harness_str(h, "message"), "requests[3]: "), "%s", h->text.p);
	cr_assert_eq(send_set(h, "",
			      SET(SERVICE_ACCOUNT("shop", "s1") "," SERVICE_ACCOUNT(
				      "shop", "s2") "," SERVICE_ACCOUNT("shop", "s3"))),
		     200, "%s", h->text.p);
	cr_assert_eq(harness_get(h, CORE "/shop/resourcequotas/q"), 200);
	cr_assert_str_eq(harness_str(h, "status.used.count/serviceaccounts"), "4");
	/* The quota that the set writes itself counts as it will be. */
	cr_assert_eq(send_set(h, "",
			      SET(SERVICE_ACCOUNT("shop", "s4") "," SERVICE_ACCOUNT(
				      "shop", "s5") "," GROW_QUOTA)),
		     403, "%s", h->text.p);
	cr_assert_eq(send_set(h, "", SET(SERVICE_ACCOUNT("shop", "s4") "," GROW_QUOTA)), 200, "%s",
		     h->text.p);
	cr_assert_eq(send_set(h, "", SET(SERVICE_ACCOUNT("shop", "s5"))), 403, "%s", h->text.p);
}

static void a_deletion_goes_along(struct harness *h)
{
	cr_assert_eq(send_set(h, "",
			      SET(MAP("shop", "c", "1") ",{\"method\":\"DELETE\",\"path\":\"" CORE
							"/shop/configmaps/b\"}")),
		     200, "%s", h->text.p);
	cr_assert_eq(harness_get(h, CORE "/shop/configmaps/b"), 404);
	cr_assert_eq(harness_get(h, CORE "/shop/configmaps/c"), 200);
}

static void bounds_are_named(struct harness *h)
{
	struct buf set = { 0 };
	for (int n = 400; n <= 401; n++) {
		buf_clear(&set);
		buf_adds(&set, "{\"requests\":[");
		for (int i = 0; i < n; i++)
			buf_addf(&set,
				 "%s{\"method\":\"POST\",\"path\":\"" CORE "/shop/"
				 "configmaps\",\"body\":{\"metadata\":{\"generateName\":\"many-\"}"
				 "}}",
				 i ? "," : "");
		buf_adds(&set, "]}");
		cr_assert_eq(send_set(h, "", buf_cstr(&set)), n == 400 ? 200 : 413, "%s",
			     h->text.p);
	}
	buf_fini(&set);
	cr_assert_eq(harness_get(h, CORE "/shop/configmaps?limit=1"), 200);
}

Test(atomic, a_set_is_written_whole_or_not_at_all_on_every_store)
{
	for (int store = 0; store < STORES; store++) {
		struct harness h;
		if (!start(&h, store))
			continue;
		all_at_consecutive_revisions(&h);
		none_when_one_fails(&h);
		a_dry_run_writes_nothing(&h);
		each_is_authorized(&h);
		a_quota_counts_the_whole_set(&h);
		a_deletion_goes_along(&h);
		bounds_are_named(&h);
		stop(&h, store);
	}
}
