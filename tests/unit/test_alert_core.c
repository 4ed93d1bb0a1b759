/* The core with the real database, on SQLite and, where there is one, PostgreSQL. */
#include "../fixtures/pg_private.h"
#include "alert_db.h"
#include "core.h"
#include "json/json.h"
#include "sql/sql.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <stdio.h>

static struct pg_private pg;

static void start_server(void)
{
	pg_private_start(&pg);
}

static void stop_server(void)
{
	pg_private_stop(&pg);
}

TestSuite(alert_core);

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	start_server();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	stop_server();
}

/* Runs a check on each store that there is. */
static void on_each_store(const char *schema, void (*check)(const char *url))
{
	check("sqlite::memory:");
	char url[512];
	if (pg_private_url(url, sizeof(url), schema))
		check(url);
}

static struct alert_db *open_db(const char *url)
{
	struct alert_db *db = NULL;
	struct error err = { 0 };
	cr_assert_eq(alert_db_open(url, &db, &err), 0, "%s: %s", url, err.msg);
	return db;
}

static struct receiver *make_receiver(const char *name, const char *spec)
{
	struct arena a = { 0 };
	struct json j;
	struct str text = arena_strf(&a,
				     "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\"},"
				     "\"spec\":{%s\"webhook\":{\"url\":\"http://x/\"}}}",
				     name, spec);
	struct error err = { 0 };
	cr_assert_eq(json_parse(&a, text, NULL, &j, &err), 0, "%s", err.msg);
	struct receiver *r = receiver_new(arena_strf(&a, "ns/%s", name), &j);
	arena_fini(&a);
	return r;
}

struct world {
	struct alert_db *db;
	struct core *core;
	int64_t epoch, now;
	const struct receiver *receiver;
};

static void take_over(struct world *w, int64_t token)
{
	struct arena a = { 0 };
	struct alert_image image;
	struct error err = { 0 };
	w->core = core_free(w->core);
	cr_assert_eq(alert_db_claim(w->db, STR("uid"), token, &a, &image, &err), 0, "%s", err.msg);
	w->epoch = image.epoch;
	w->core = core_new(&(struct core_config){ .origin = STR("c"),
						  .external_url = STR("http://e"),
						  .deadline_ms = 60000,
						  .retention_ms = 3600000 });
	core_load(w->core, &image, w->now);
	if (w->receiver)
		core_set_receiver(w->core, w->receiver);
	core_receivers_known(w->core);
	arena_fini(&a);
}

/* Sees n alerts of a rule: nodes n0, n1 … */
static int see(struct world *w, size_t n)
{
	static const char *const names[] = { "n0", "n1", "n2", "n3" };
	struct label labels[4][2];
	struct core_seen seen[4];
	for (size_t i = 0; i < n; i++) {
		labels[i][0] = (struct label){ STR("alertname"), STR("A") };
		labels[i][1] = (struct label){ STR("node"), str_of(names[i]) };
		seen[i] = (struct core_seen){ .labels = { labels[i], 2 }, .value = 1 };
	}
	const struct core_round r = {
		.rule = STR("ns/r/g/A"), .expr = STR("x"), .seen = seen, .len = n
	};
	struct error err;
	return core_observe(w->core, &r, w->now, &err);
}

static int turn(struct world *w)
{
	struct arena a = { 0 };
	struct alert_batch b;
	struct error err = { 0 };
	core_run(w->core, w->now);
	int rc = core_flush(w->core, w->now, &a, &b) ? alert_db_commit(w->db, w->epoch, &b, &err)
						     : 0;
	if (rc == 0)
		core_flushed(w->core);
	arena_fini(&a);
	return rc;
}

static bool next(struct world *w, struct core_send *s, char idem[40])
{
	if (!core_next_send(w->core, w->now, s))
		return false;
	(void)snprintf(idem, 40, "%.*s", STR_ARG(s->idem));
	return true;
}

static void answer(struct world *w, const char *idem, int status)
{
	const struct core_sent sent = { .status = status };
	(void)core_sent(w->core, str_of(idem), &sent, w->now, 0);
}

static bool says(struct core_send *s, const char *text)
{
	return str_find_str(s->payload, str_of(text), 0) >= 0;
}

static void check_fence(const char *url)
{
	struct alert_db *db = open_db(url);
	struct arena a = { 0 };
	struct alert_image one, two;
	struct error err = { 0 };
	cr_assert_eq(alert_db_claim(db, STR("uid"), 5, &a, &one, &err), 0);
	const struct alert_batch nothing = { .now_ms = 77 };
	cr_expect_eq(alert_db_commit(db, one.epoch, &nothing, &err), 0);
	cr_expect_eq(alert_db_claim(db, STR("uid"), 4, &a, &two, &err), ERR_FORBIDDEN,
		     "an older token of the same lease");
	cr_expect_eq(alert_db_claim(db, STR("uid"), 6, &a, &two, &err), 0);
	cr_expect_eq(two.last_ms, 77);
	cr_expect_eq(alert_db_commit(db, one.epoch, &nothing, &err), ERR_FORBIDDEN,
		     "an owner of before");
	cr_expect_eq(alert_db_commit(db, two.epoch, &nothing, &err), 0);
	cr_expect_eq(alert_db_claim(db, STR("new"), 1, &a, &two, &err), 0,
		     "a lease that was made anew");
	arena_fini(&a);
	(void)alert_db_close(db);
}

Test(alert_core, one_owner_writes_the_database)
{
	on_each_store("alert_fence", check_fence);
}

static void check_story(const char *url)
{
	struct world w = { .db = open_db(url), .now = 1000000 };
	struct receiver *r = make_receiver("r", "\"groupBy\":[\"alertname\"],\"groupWait\":\"1s\","
						"\"groupInterval\":\"10s\",");
	w.receiver = r;
	struct core_send s;
	char idem[40], again[40];
	take_over(&w, 1);
	cr_expect_eq(see(&w, 2), 0);
	cr_expect_eq(turn(&w), 0);
	cr_expect(!next(&w, &s, idem), "others are waited for");
	cr_expect_eq(core_due(w.core), 1001000);
	w.now = 1001000;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(s.seq == 1 && s.attempt == 1 && says(&s, "\"n0\"") && says(&s, "\"n1\"") &&
		  says(&s, "\"groupSequence\":1") && says(&s, "http://e/api/v1/query?query=x"));
	cr_expect_eq(core_queued(w.core, STR("ns/r")), 1);

	/* killed with the post under way: the next one waits for its end, then asks with the same key */
	take_over(&w, 2);
	cr_expect_eq(turn(&w), 0);
	cr_expect(!next(&w, &s, again));
	w.now += 10000 + CORE_LEASE_SLACK_MS + CORE_LEASE_AHEAD_MS;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, again));
	cr_expect(s.attempt == 2 && strcmp(idem, again) == 0);
	answer(&w, again, 500);
	cr_expect_eq(turn(&w), 0);
	w.now += 1000;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, again));
	cr_expect(s.attempt == 3 && strcmp(idem, again) == 0);
	answer(&w, again, 200);
	cr_expect_eq(turn(&w), 0);
	cr_expect_eq(core_queued(w.core, STR("ns/r")), 0);

	/* nothing is told twice, by nobody */
	take_over(&w, 3);
	w.now += 60000;
	cr_expect_eq(see(&w, 2), 0);
	cr_expect_eq(turn(&w), 0);
	cr_expect(!next(&w, &s, idem));

	/* one ends, then the other; everything is forgotten */
	cr_expect_eq(see(&w, 1), 0);
	w.now += 1000;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(s.seq == 2 && says(&s, "\"status\":\"resolved\"") && says(&s, "\"n1\""));
	answer(&w, idem, 204);
	w.now += 20000;
	cr_expect_eq(see(&w, 0), 0);
	w.now += 20000;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(s.seq == 3 && says(&s, "\"n0\"") && !says(&s, "\"n1\""));
	answer(&w, idem, 200);
	cr_expect_eq(turn(&w), 0);
	cr_expect_eq(turn(&w), 0);
	struct arena a = { 0 };
	struct alert_image image;
	struct error err;
	cr_assert_eq(alert_db_claim(w.db, STR("uid"), 4, &a, &image, &err), 0);
	cr_expect(image.rows.alerts_len == 0 && image.rows.deliveries_len == 0 &&
		  image.rows.groups_len == 1 && image.rows.groups[0].seq == 3);
	cr_expect_eq(turn(&w), 0, "nothing to write");
	cr_expect_eq(alert_db_prune(w.db, image.epoch, INT64_MAX, &err), 0);
	arena_fini(&a);
	w.core = core_free(w.core);
	(void)alert_db_close(w.db);
	(void)receiver_free(r);
}

Test(alert_core, tells_once_over_kills_and_errors)
{
	on_each_store("alert_story", check_story);
}

static struct world world_with(struct receiver *r)
{
	struct world w = { .db = open_db("sqlite::memory:"), .now = 1000000, .receiver = r };
	take_over(&w, 1);
	return w;
}

static void world_end(struct world *w, struct receiver *r)
{
	w->core = core_free(w->core);
	(void)alert_db_close(w->db);
	(void)receiver_free(r);
}

#define SOON "\"groupWait\":\"0s\",\"groupInterval\":\"1s\","

Test(alert_core, refuses_a_result_with_the_same_labels_twice)
{
	struct receiver *r = make_receiver("r", SOON);
	struct world w = world_with(r);
	const struct label l = { STR("alertname"), STR("A") };
	const struct core_seen twice[2] = { { .labels = { &l, 1 } }, { .labels = { &l, 1 } } };
	const struct core_round round = { .rule = STR("x"), .seen = twice, .len = 2 };
	struct error err = { 0 };
	cr_expect_eq(see(&w, 1), 0);
	cr_expect_eq(core_observe(w.core, &round, w.now, &err), ERR_EXISTS);
	cr_expect_eq(core_count(w.core, ALERT_FIRING), 1);
	world_end(&w, r);
}

Test(alert_core, sends_only_what_a_receiver_wants)
{
	struct receiver *r =
		make_receiver("r", SOON "\"match\":[{\"name\":\"node\",\"value\":\"n1\"}],");
	struct world w = world_with(r);
	struct core_send s;
	char idem[40];
	cr_expect_eq(see(&w, 3), 0);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(says(&s, "\"n1\"") && !says(&s, "\"n0\"") && !says(&s, "\"n2\""));
	cr_expect(!next(&w, &s, idem));
	world_end(&w, r);
}

Test(alert_core, is_quiet_while_a_silence_holds_and_tells_the_end_all_the_same)
{
	struct receiver *r = make_receiver("r", SOON);
	struct world w = world_with(r);
	struct arena a = { 0 };
	struct json j;
	struct error err;
	cr_assert_eq(json_parse(&a,
				STR("{\"spec\":{\"startsAt\":\"1970-01-01T00:20:00Z\",\"endsAt\":"
				    "\"1970-01-01T00:30:00Z\",\"matchers\":[{\"name\":\"node\","
				    "\"value\":\"n1\"}]}}"),
				NULL, &j, &err),
		     0);
	struct silence *quiet = silence_new(STR("ns/s"), &j);
	struct core_send s;
	char idem[40];
	core_set_silence(w.core, quiet);
	cr_expect_eq(see(&w, 1), 0);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	answer(&w, idem, 200);
	w.now = 1300000; /* the silence holds */
	cr_expect_eq(see(&w, 2), 0);
	cr_expect_eq(core_silenced(w.core, quiet, w.now), 1);
	cr_expect_eq(turn(&w), 0);
	cr_expect(!next(&w, &s, idem), "n1 is silenced");
	cr_expect_eq(core_due(w.core) <= 1800000, true);
	w.now = 1800000; /* it ends */
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(says(&s, "\"n1\""));
	answer(&w, idem, 200);
	quiet->starts_ms = 0; /* and holds again */
	quiet->ends_ms = 9000000;
	core_set_silence(w.core, quiet);
	w.now += 5000;
	cr_expect_eq(see(&w, 1), 0);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem), "what was told has an end that is told");
	cr_expect(says(&s, "\"n1\"") && says(&s, "resolved"));
	answer(&w, idem, 200);
	world_end(&w, r);
	(void)silence_free(quiet);
	arena_fini(&a);
}

Test(alert_core, gives_up_at_the_deadline_and_tells_the_present_then)
{
	struct receiver *r = make_receiver("r", SOON);
	struct world w = world_with(r);
	struct core_send s;
	char first[40], idem[40];
	cr_expect_eq(see(&w, 1), 0);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, first));
	w.now += 60000;
	answer(&w, first, 0);
	cr_expect_eq(turn(&w), 0);
	cr_expect_eq(core_queued(w.core, STR("ns/r")), 0);
	take_over(&w, 2); /* the database knows that nobody is sure */
	cr_expect_eq(see(&w, 1), 0);
	w.now += 1000;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(s.seq == 2 && says(&s, "firing") && strcmp(first, idem) != 0);
	answer(&w, idem, 404);
	w.now += 1000;
	cr_expect_eq(see(&w, 0), 0);
	w.now += 1000;
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	cr_expect(s.seq == 3 && says(&s, "\"status\":\"resolved\""),
		  "what may have arrived gets its end");
	world_end(&w, r);
}

Test(alert_core, forgets_a_receiver_that_is_no_more)
{
	struct receiver *r = make_receiver("r", SOON);
	struct world w = world_with(r);
	struct core_send s;
	char idem[40];
	cr_expect_eq(see(&w, 2), 0);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	w.receiver = NULL;
	take_over(&w, 2);
	cr_expect_eq(turn(&w), 0);
	answer(&w, idem, 200); /* of a delivery that is no more */
	cr_expect_eq(core_count(w.core, ALERT_FIRING), 2);
	w.receiver = r;
	core_set_receiver(w.core, r);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem), "it came back and knows nothing");
	cr_expect_eq(s.seq, 1);
	core_del_receiver(w.core, r->key);
	cr_expect_eq(turn(&w), 0);
	cr_expect_eq(see(&w, 0), 0);
	cr_expect_eq(turn(&w), 0);
	struct arena a = { 0 };
	struct alert_image image;
	struct error err;
	cr_assert_eq(alert_db_claim(w.db, STR("uid"), 3, &a, &image, &err), 0);
	cr_expect(image.rows.alerts_len == 0 && image.rows.groups_len == 0 &&
		  image.rows.deliveries_len == 0);
	arena_fini(&a);
	world_end(&w, r);
}

Test(alert_core, regroups_when_a_receiver_groups_otherwise)
{
	struct receiver *r = make_receiver("r", SOON);
	struct receiver *by_node = make_receiver("r", SOON "\"groupBy\":[\"node\"],");
	struct world w = world_with(r);
	struct core_send s;
	char idem[40];
	cr_expect_eq(see(&w, 2), 0);
	cr_expect_eq(turn(&w), 0);
	cr_assert(next(&w, &s, idem));
	answer(&w, idem, 200);
	core_set_receiver(w.core, by_node);
	cr_expect_eq(turn(&w), 0);
	cr_expect(next(&w, &s, idem) && next(&w, &s, idem) && !next(&w, &s, idem));
	world_end(&w, r);
	(void)receiver_free(by_node);
}

Test(alert_core, posts_to_one_receiver_within_its_limit)
{
	struct receiver *r = make_receiver("r", SOON "\"groupBy\":[\"...\"],");
	struct world w = world_with(r);
	char name[40][16];
	struct label labels[40];
	struct core_seen seen[40] = { 0 };
	for (int i = 0; i < 40; i++) {
		(void)snprintf(name[i], sizeof(name[i]), "n%d", i);
		labels[i] = (struct label){ STR("node"), str_of(name[i]) };
		seen[i].labels = (struct labels){ &labels[i], 1 };
	}
	const struct core_round round = { .rule = STR("x"), .seen = seen, .len = 40 };
	struct error err;
	cr_assert_eq(core_observe(w.core, &round, w.now, &err), 0);
	struct core_send s;
	char idem[CORE_RECEIVER_SENDS_MAX][40];
	size_t told = 0;
	for (int rounds = 0; rounds < 5; rounds++) {
		cr_expect_eq(turn(&w), 0);
		size_t n = 0;
		while (n < CORE_RECEIVER_SENDS_MAX && next(&w, &s, idem[n]))
			n++;
		cr_expect(!core_next_send(w.core, w.now, &s));
		for (size_t i = 0; i < n; i++)
			answer(&w, idem[i], 200);
		told += n;
	}
	cr_expect_eq(told, 40);
	world_end(&w, r);
}

/* ---- many at once ---- */

static void see_many(struct world *w, size_t n)
{
	struct arena a = { 0 };
	struct core_seen *seen = arena_new(&a, struct core_seen, n);
	for (size_t i = 0; i < n; i++) {
		struct label *l = arena_new(&a, struct label, 2);
		l[0] = (struct label){ STR("alertname"), STR("A") };
		l[1] = (struct label){ STR("node"), arena_strf(&a, "n%zu", i) };
		seen[i] = (struct core_seen){ .labels = { l, 2 }, .value = 1 };
	}
	const struct core_round r = { .rule = STR("ns/r/g/A"), .seen = seen, .len = n };
	struct error err;
	cr_assert_eq(core_observe(w->core, &r, w->now, &err), 0);
	arena_fini(&a);
}

Test(alert_core, leases_with_one_commit_what_it_posts_one_after_the_other)
{
	struct world w = { .db = open_db("sqlite::memory:"), .now = 1000000 };
	struct receiver *r = make_receiver("r", "\"groupBy\":[\"...\"],\"groupWait\":\"0s\",");
	char idem[20][40];
	char one[40];
	struct core_send s;
	size_t n = 0;
	w.receiver = r;
	take_over(&w, 1);
	see_many(&w, 20);
	cr_expect_eq(turn(&w), 0);
	while (n < 20 && next(&w, &s, idem[n]))
		n++;
	cr_expect_eq(n, CORE_RECEIVER_SENDS_MAX, "%zu at once", n);
	answer(&w, idem[0], 200);
	cr_expect(next(&w, &s, one), "a place is free, and no commit is needed");
	cr_expect(!next(&w, &s, one));

	/* what waited for longer than its lease allows is leased anew: its attempt has not begun */
	w.now += CORE_LEASE_SLACK_MS + CORE_LEASE_AHEAD_MS + 1;
	for (size_t i = 1; i < n; i++)
		answer(&w, idem[i], 200);
	cr_expect(!next(&w, &s, one));
	cr_expect(core_due(w.core) <= w.now);
	cr_expect_eq(turn(&w), 0);
	cr_expect(next(&w, &s, one) && s.attempt == 1);
	size_t rest = 1;
	for (bool more = true; more; rest += more) {
		answer(&w, one, 200);
		more = next(&w, &s, one);
	}
	cr_expect_eq(turn(&w), 0);
	cr_expect_eq(n + 1 + rest, 20, "%zu and one and %zu", n, rest);
	w.core = core_free(w.core);
	(void)receiver_free(r);
	(void)alert_db_close(w.db);
}
