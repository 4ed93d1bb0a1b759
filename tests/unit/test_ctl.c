#include "base/buf.h"
#include "client/client.h"
#include "ctl/ctl.h"
#include "fetch/fetch.h"
#include "http/server.h"
#include "json/json.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a scripted API server on the controller's own loop: one Lease, one kind, events ---- */

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"

enum { EVENTS_MAX = 64 };

static struct fake {
	struct loop *loop;
	struct http_server *server;
	struct fetch *fetch;
	struct client *client;
	struct ctl *ctl;
	/* the Lease */
	bool there, fail, renew_on_read; /* fail: 503 to all that has to do with it */
	char holder[64];
	int64_t version, transitions;
	int duration_s;
	unsigned reads, writes, failures;
	char fence[128]; /* of the last write of anything */
	/* the informer's kind */
	int64_t list_rev;
	bool hold_list; /* lists are answered with 503 */
	struct http_request *stream;
	/* events: "POST path" and "PATCH path" */
	struct {
		char method[8], path[320], body[1024];
	} events[EVENTS_MAX];
	unsigned events_len;
	/* what the manager told */
	unsigned led, lost;
	int64_t token;
	struct error lost_err;
} fake;

static void on_close(struct http_request *r)
{
	if (fake.stream == r)
		fake.stream = NULL;
}

static void reply_lease(struct http_request *r, int status)
{
	struct buf b = { 0 };
	buf_addf(&b,
		 "{\"metadata\":{\"resourceVersion\":\"%" PRId64
		 "\"},\"spec\":{\"holderIdentity\":\"%s\","
		 "\"leaseDurationSeconds\":%d,\"leaseTransitions\":%" PRId64 "}}",
		 fake.version, fake.holder, fake.duration_s, fake.transitions);
	http_reply_text(r, status, "application/json", buf_str(&b));
	buf_fini(&b);
}

static void refuse(struct http_request *r, int status, const char *reason)
{
	char body[128];
	(void)snprintf(body, sizeof(body),
		       "{\"kind\":\"Status\",\"reason\":\"%s\",\"message\":\"no\"}", reason);
	http_reply_text(r, status, "application/json", str_of(body));
}

static void write_lease(struct http_request *r)
{
	struct arena a = { 0 };
	struct json j;
	int64_t version = 0;
	cr_assert_eq(json_parse(&a, r->body, NULL, &j, NULL), 0);
	(void)str_to_i64(json_str(json_dig(&j, "metadata", "resourceVersion", NULL)), &version);
	bool create = str_is(r->method, "POST");
	if (create ? fake.there : (!fake.there || version != fake.version)) {
		refuse(r, 409, create ? "AlreadyExists" : "Conflict");
	} else {
		const struct json *spec = json_getc(&j, "spec");
		(void)snprintf(fake.holder, sizeof(fake.holder), "%.*s",
			       STR_ARG(json_str(json_getc(spec, "holderIdentity"))));
		fake.transitions = json_i64(json_getc(spec, "leaseTransitions"), -1);
		fake.duration_s = (int)json_i64(json_getc(spec, "leaseDurationSeconds"), -1);
		fake.there = true;
		fake.version++;
		fake.writes++;
		reply_lease(r, create ? 201 : 200);
	}
	arena_fini(&a);
}

static void on_lease(struct http_request *r)
{
	if (fake.fail) {
		fake.failures++;
		refuse(r, 503, "ServiceUnavailable");
	} else if (!str_is(r->method, "GET")) {
		write_lease(r);
	} else if (!fake.there) {
		refuse(r, 404, "NotFound");
	} else {
		fake.version += fake.renew_on_read;
		fake.reads++;
		reply_lease(r, 200);
	}
}

static void on_pods(struct http_request *r)
{
	if (str_find_str(r->query, STR("watch=true"), 0) >= 0) {
		const struct http_header h = { STR("content-type"), STR("application/json") };
		http_begin(r, 200, &h, 1);
		fake.stream = r;
	} else if (fake.hold_list) {
		refuse(r, 503, "ServiceUnavailable");
	} else {
		char list[128];
		(void)snprintf(list, sizeof(list),
			       "{\"metadata\":{\"resourceVersion\":\"%" PRId64 "\"},\"items\":[]}",
			       fake.list_rev);
		http_reply_text(r, 200, "application/json", str_of(list));
	}
}

static void on_event(struct http_request *r)
{
	cr_assert_lt(fake.events_len, EVENTS_MAX);
	(void)snprintf(fake.events[fake.events_len].method, 8, "%.*s", STR_ARG(r->method));
	(void)snprintf(fake.events[fake.events_len].path, 320, "%.*s", STR_ARG(r->path));
	(void)snprintf(fake.events[fake.events_len].body, 1024, "%.*s", STR_ARG(r->body));
	fake.events_len++;
	http_reply_text(r, 201, "application/json", STR("{}"));
}

static void on_request(struct http_request *r)
{
	if (!str_is(r->method, "GET"))
		(void)snprintf(fake.fence, sizeof(fake.fence), "%.*s",
			       STR_ARG(http_request_header(r, "rctl-fence")));
	if (str_starts(r->path, STR(LEASES)))
		on_lease(r);
	else if (str_is(r->path, "/api/v1/pods"))
		on_pods(r);
	else
		on_event(r);
}

static void on_leading(void *arg, int64_t token)
{
	(void)arg;
	fake.led++;
	fake.token = token;
}

static void on_lost(void *arg, const struct error *err)
{
	(void)arg;
	fake.lost++;
	fake.lost_err = *err;
}

static void setup(void)
{
	struct error err = { 0 };
	fake = (struct fake){ .list_rev = 10, .duration_s = 15 };
	cr_assert_eq(loop_new(&fake.loop, &err), 0, "%s", err.msg);
	const struct str listen = STR("127.0.0.1:0");
	struct loop *loops[] = { fake.loop };
	const struct http_server_config cfg = { .listen = &listen,
						.listen_len = 1,
						.loops = loops,
						.loops_len = 1,
						.on = { .on_request = on_request,
							.on_close = on_close } };
	cr_assert_eq(http_server_start(&cfg, &fake.server, &err), 0, "%s", err.msg);
	char url[64];
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", http_server_port(fake.server, 0));
	char ns[] = "default";
	char context[] = "test";
	const struct client_config cc = { .server = url, .ns = ns, .context = context };
	fake.fetch = fetch_new(fake.loop);
	fake.client = client_new(
		fake.fetch, fake.loop, &cc,
		&(struct client_options){ .user_agent = "test/1", .field_manager = "tester" });
	fake.ctl = ctl_new(&(struct ctl_config){ .name = "thing-controller",
						 .loop = fake.loop,
						 .client = fake.client,
						 .lease_ns = "kube-system",
						 .identity = "me",
						 .lease_ms = 3000,
						 .renew_ms = 2000,
						 .retry_ms = 20,
						 .on_leading = on_leading,
						 .on_lost = on_lost });
}

static void teardown(void)
{
	(void)ctl_free(fake.ctl);
	(void)client_free(fake.client);
	(void)fetch_free(fake.fetch);
	(void)http_server_free(fake.server);
	(void)loop_free(fake.loop);
}

static void run_until(bool (*done)(void *arg), void *arg)
{
	uint64_t deadline = clock_mono_ms() + 30000;
	while (!done(arg)) {
		cr_assert_lt(clock_mono_ms(), deadline, "nothing came of it");
		loop_turn(fake.loop, 20);
	}
}

/* Lets everything happen that is due now: tasks, answers on open connections. */
static void turns(unsigned n)
{
	while (n--)
		loop_turn(fake.loop, 1);
}

static bool leading(void *arg)
{
	(void)arg;
	return fake.led > 0;
}

static void lead(void)
{
	ctl_start(fake.ctl);
	run_until(leading, NULL);
}

static bool written(void *arg)
{
	const unsigned *pair =
		arg; /* {wanted} behind the counter's address would need two pointers */
	return fake.writes >= *pair;
}

/* ---- the lease ---- */

Test(ctl_lease, a_new_lease_is_made_and_renewed_and_its_token_goes_with_every_write, .init = setup,
     .fini = teardown)
{
	lead();
	cr_assert(ctl_leading(fake.ctl));
	cr_assert_str_eq(fake.holder, "me");
	cr_assert_eq(fake.token, fake.transitions);
	cr_assert_gt(fake.token, 0);
	cr_assert_eq(fake.duration_s, 3);
	unsigned four = 4;
	run_until(written, &four);
	cr_assert_eq(fake.led, 1, "renewing is not leading anew");
	cr_assert_eq(fake.transitions, fake.token, "renewing keeps the token");
	char want[64];
	(void)snprintf(want, sizeof(want), "kube-system/thing-controller/%" PRId64, fake.token);
	cr_assert_str_eq(fake.fence, want);
}

Test(ctl_lease, one_that_another_renews_is_left_alone_and_taken_over_when_it_expired, .init = setup,
     .fini = teardown)
{
	fake.there = true;
	fake.duration_s = 1;
	fake.transitions = 7;
	fake.renew_on_read = true;
	(void)snprintf(fake.holder, sizeof(fake.holder), "other");
	ctl_start(fake.ctl);
	uint64_t until = clock_mono_ms() + 1500; /* longer than its duration */
	while (clock_mono_ms() < until || fake.reads < 10)
		loop_turn(fake.loop, 20);
	cr_assert_eq(fake.led, 0);
	cr_assert_eq(fake.writes, 0);
	cr_assert_str_eq(fake.holder, "other");
	fake.renew_on_read = false;
	run_until(leading, NULL);
	cr_assert_eq(fake.token, 8, "a takeover raises the token");
	cr_assert_str_eq(fake.holder, "me");
}

Test(ctl_lease, our_own_former_one_is_taken_at_once_with_a_new_token, .init = setup,
     .fini = teardown)
{
	fake.there = true;
	fake.duration_s = 3600;
	fake.transitions = 7;
	(void)snprintf(fake.holder, sizeof(fake.holder), "me");
	lead();
	cr_assert_eq(fake.token, 8);
}

Test(ctl_lease, one_that_was_given_back_is_taken_at_once, .init = setup, .fini = teardown)
{
	fake.there = true;
	fake.duration_s = 3600;
	fake.transitions = 3;
	lead();
	cr_assert_eq(fake.token, 4);
}

static bool lost(void *arg)
{
	(void)arg;
	return fake.lost > 0;
}

Test(ctl_lease, losing_it_to_another_is_told_once_and_ends_the_lead, .init = setup,
     .fini = teardown)
{
	lead();
	fake.transitions++;
	fake.version++;
	(void)snprintf(fake.holder, sizeof(fake.holder), "other");
	run_until(lost, NULL);
	cr_assert_eq(fake.lost_err.code, ERR_CONFLICT);
	cr_assert(strstr(fake.lost_err.msg, "taken over"), "%s", fake.lost_err.msg);
	cr_assert_not(ctl_leading(fake.ctl));
	unsigned writes = fake.writes;
	turns(100);
	cr_assert_eq(fake.writes, writes, "it does not try again");
	cr_assert_eq(fake.lost, 1);
	cr_assert_str_eq(fake.holder, "other");
}

Test(ctl_lease, a_takeover_and_back_under_our_own_name_is_a_loss_too, .init = setup,
     .fini = teardown)
{
	lead();
	fake.transitions += 2; /* a twin with the same identity led in between */
	fake.version++;
	run_until(lost, NULL);
	cr_assert_eq(fake.lost_err.code, ERR_CONFLICT);
}

Test(ctl_lease, failures_are_borne_until_the_renew_deadline, .init = setup, .fini = teardown)
{
	lead();
	fake.fail = true;
	run_until(lost, NULL);
	cr_assert_gt(fake.failures, 1, "not by the first failure");
	cr_assert_not(ctl_leading(fake.ctl));
}

Test(ctl_lease, a_short_failure_changes_nothing, .init = setup, .fini = teardown)
{
	lead();
	fake.fail = true;
	loop_turn(fake.loop, 30);
	loop_turn(fake.loop, 30);
	fake.fail = false;
	unsigned more = fake.writes + 3;
	run_until(written, &more);
	cr_assert_eq(fake.lost, 0);
	cr_assert_eq(fake.led, 1);
}

static void on_released(void *arg)
{
	*(bool *)arg = true;
}

static bool is_true(void *arg)
{
	return *(bool *)arg;
}

Test(ctl_lease, a_graceful_stop_gives_it_back, .init = setup, .fini = teardown)
{
	lead();
	bool released = false;
	ctl_release(fake.ctl, on_released, &released);
	cr_assert_not(ctl_leading(fake.ctl));
	run_until(is_true, &released);
	cr_assert_str_eq(fake.holder, "");
	cr_assert_eq(fake.lost, 0);
	unsigned writes = fake.writes;
	turns(50);
	cr_assert_eq(fake.writes, writes);
}

Test(ctl_lease, one_that_never_led_has_nothing_to_give_back, .init = setup, .fini = teardown)
{
	bool released = false;
	fake.there = true;
	fake.renew_on_read = true;
	(void)snprintf(fake.holder, sizeof(fake.holder), "other");
	ctl_start(fake.ctl);
	turns(20);
	ctl_release(fake.ctl, on_released, &released);
	run_until(is_true, &released);
	cr_assert_str_eq(fake.holder, "other");
	cr_assert_eq(fake.writes, 0);
}

/* ---- the queue ---- */

enum { RUNS_MAX = 64 };

static struct work {
	struct ctl_queue *q;
	struct {
		char key[16];
		uint64_t at_ms;
	} runs[RUNS_MAX];
	unsigned runs_len, running, running_max;
	bool fail, at_once; /* at_once: done within reconcile */
} work;

static void finish(const char *key, bool ok)
{
	work.running--;
	ctl_done(work.q, str_of(key), ok);
}

static void reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	cr_assert_eq(arg, &work);
	cr_assert_lt(work.runs_len, RUNS_MAX);
	work.q = q;
	(void)snprintf(work.runs[work.runs_len].key, 16, "%.*s", STR_ARG(key));
	work.runs[work.runs_len++].at_ms = loop_now_ms(fake.loop);
	work.running++;
	work.running_max = work.running > work.running_max ? work.running : work.running_max;
	if (work.at_once)
		finish(work.runs[work.runs_len - 1].key, !work.fail);
}

static struct ctl_queue *queue(uint32_t parallel)
{
	work = (struct work){ 0 };
	work.q = ctl_queue_new(fake.ctl, &(struct ctl_queue_config){ .name = "things",
								     .reconcile = reconcile,
								     .arg = &work,
								     .parallel = parallel });
	return work.q;
}

static bool ran(void *arg)
{
	return work.runs_len >= *(unsigned *)arg;
}

static void run_until_ran(unsigned n)
{
	run_until(ran, &n);
}

Test(ctl_queue, a_key_is_worked_on_once_at_a_time_and_again_when_it_was_added_meanwhile,
     .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	lead();
	ctl_add(q, STR("a"));
	ctl_add(q, STR("a"));
	run_until_ran(1);
	ctl_add(q, STR("a"));
	ctl_add(q, STR("a"));
	turns(5);
	cr_assert_eq(work.runs_len, 1, "it runs already");
	finish("a", true);
	run_until_ran(2);
	finish("a", true);
	turns(10);
	cr_assert_eq(work.runs_len, 2, "three additions are one more run");
}

Test(ctl_queue, no_more_keys_than_allowed_run_at_once_and_all_get_their_turn, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(2);
	static const char *const keys[] = { "a", "b", "c", "d", "e" };
	for (size_t i = 0; i < 5; i++)
		ctl_add(q, str_of(keys[i]));
	lead();
	for (unsigned i = 0; i < 5; i++) {
		run_until_ran(i + 1);
		turns(3);
		cr_assert_str_eq(work.runs[i].key, keys[i], "first come, first served");
		finish(keys[i], true);
	}
	cr_assert_eq(work.running_max, 2);
}

Test(ctl_queue, failures_come_back_with_doubling_delay_until_one_success, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	work.at_once = true;
	work.fail = true;
	lead();
	ctl_add(q, STR("a"));
	run_until_ran(4);
	static const uint64_t least[] = { 100, 200, 400 };
	for (size_t i = 0; i < 3; i++)
		cr_assert_geq(work.runs[i + 1].at_ms - work.runs[i].at_ms, least[i]);
	/* waiting out 800 ms; whoever adds it does not wait */
	ctl_add(q, STR("a"));
	work.fail = false;
	turns(3);
	cr_assert_eq(work.runs_len, 5);
	work.fail = true;
	ctl_add(q, STR("a"));
	turns(3);
	cr_assert_eq(work.runs_len, 6);
	/* it starts from the shortest again: another key that waits 700 ms comes behind */
	ctl_add_after(q, STR("later"), 700);
	run_until_ran(7);
	cr_assert_str_eq(work.runs[6].key, "a");
}

Test(ctl_queue, of_several_delays_the_earliest_wins, .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	work.at_once = true;
	lead();
	ctl_add_after(q, STR("a"), 600000);
	ctl_add_after(q, STR("a"), 5);
	ctl_add_after(q, STR("a"), 600000);
	run_until_ran(1);
	turns(10);
	cr_assert_eq(work.runs_len, 1, "the later ones are gone with it");
	ctl_add_after(q, STR("b"), 600000);
	ctl_add(q, STR("b"));
	ctl_add_after(q, STR("b"), 1);
	run_until_ran(2);
}

Test(ctl_queue, nothing_runs_before_it_leads, .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	fake.fail = true;
	ctl_start(fake.ctl);
	ctl_add(q, STR("a"));
	ctl_add_after(q, STR("b"), 1);
	turns(60);
	cr_assert_eq(work.runs_len, 0);
	fake.fail = false;
	run_until_ran(2);
}

Test(ctl_queue, nothing_runs_after_the_lead_was_lost, .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	lead();
	fake.transitions++;
	fake.version++;
	run_until(lost, NULL);
	ctl_add(q, STR("a"));
	ctl_add_after(q, STR("b"), 1);
	turns(60);
	cr_assert_eq(work.runs_len, 0);
}

/* ---- informers and expectations ---- */

static void on_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	if (arg)
		ctl_add(arg, key);
}

static struct client_informer *watch(struct ctl_queue *q, bool required)
{
	return ctl_watch(fake.ctl, fake.client,
			 &(struct client_informer_config){ .path = "/api/v1/pods",
							   .on_set = on_set,
							   .arg = q,
							   .backoff_min_ms = 5,
							   .backoff_max_ms = 20 },
			 required);
}

static bool streaming(void *arg)
{
	(void)arg;
	return fake.stream != NULL;
}

static void send_event(const char *type, const char *name, int64_t rev)
{
	char line[256];
	(void)snprintf(line, sizeof(line),
		       "{\"type\":\"%s\",\"object\":{\"metadata\":{\"name\":\"%s\","
		       "\"resourceVersion\":\"%" PRId64 "\"}}}\n",
		       type, name, rev);
	struct bytes *b = bytes_of_str(str_of(line));
	cr_assert(http_write(fake.stream, b));
	bytes_unref(b);
}

struct seen {
	const struct client_informer *i;
	int64_t rev;
};

static bool has_seen(void *arg)
{
	const struct seen *s = arg;
	return client_informer_rev(s->i) >= s->rev;
}

static void run_until_seen(const struct client_informer *i, int64_t rev)
{
	struct seen s = { i, rev };
	run_until(has_seen, &s);
	turns(3);
}

Test(ctl_queue, nothing_runs_before_every_required_informer_has_its_list, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	fake.hold_list = true;
	(void)watch(NULL, true);
	lead();
	ctl_add(q, STR("a"));
	turns(60);
	cr_assert_eq(work.runs_len, 0);
	cr_assert_str_eq(ctl_ready(fake.ctl), "waiting for informers");
	fake.hold_list = false;
	run_until_ran(1);
	cr_assert_null(ctl_ready(fake.ctl));
}

Test(ctl_queue, an_informer_that_is_not_required_holds_nothing_up, .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	fake.hold_list = true;
	(void)watch(NULL, false);
	lead();
	ctl_add(q, STR("a"));
	run_until_ran(1);
	cr_assert_null(ctl_ready(fake.ctl));
}

Test(ctl_queue, after_a_write_a_key_waits_until_the_informer_has_seen_it, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	struct client_informer *i = watch(NULL, true);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	run_until_ran(1);
	ctl_expect(q, STR("a"), i, 12);
	finish("a", true);
	ctl_add(q, STR("a"));
	ctl_add(q, STR("b"));
	run_until_ran(2);
	cr_assert_str_eq(work.runs[1].key, "b", "others do not wait");
	send_event("ADDED", "x", 11);
	run_until_seen(i, 11);
	cr_assert_eq(work.runs_len, 2, "11 is not 12");
	send_event("BOOKMARK", "", 12);
	run_until_ran(3);
	cr_assert_str_eq(work.runs[2].key, "a");
}

Test(ctl_queue, what_is_not_added_does_not_run_when_the_wait_is_over, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	struct client_informer *i = watch(NULL, true);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	run_until_ran(1);
	ctl_expect(q, STR("a"), i, 12);
	finish("a", true);
	send_event("ADDED", "x", 12);
	run_until_seen(i, 12);
	cr_assert_eq(work.runs_len, 1);
	ctl_expect(q, STR("a"), i, 12); /* seen already: no wait */
	ctl_add(q, STR("a"));
	run_until_ran(2);
}

Test(ctl_queue, several_writes_and_a_failure_wait_for_the_last_of_them, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	struct client_informer *i = watch(NULL, true);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	run_until_ran(1);
	ctl_expect(q, STR("a"), i, 14);
	ctl_expect(q, STR("a"), i, 12);
	finish("a", false); /* comes back after 100 ms, but not before 14 was seen */
	send_event("ADDED", "x", 13);
	run_until_seen(i, 13);
	uint64_t until = clock_mono_ms() + 300;
	while (clock_mono_ms() < until)
		loop_turn(fake.loop, 20);
	cr_assert_eq(work.runs_len, 1);
	send_event("ADDED", "y", 14);
	run_until_ran(2);
}

Test(ctl_queue, an_expectation_met_before_the_reconcile_ends_does_not_lose_the_next_run,
     .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	struct client_informer *i = watch(NULL, true);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	run_until_ran(1);
	ctl_expect(q, STR("a"), i, 12);
	ctl_add(q, STR("a"));
	send_event("ADDED", "x", 12);
	run_until_seen(i, 12);
	cr_assert_eq(work.runs_len, 1, "it still runs");
	finish("a", true);
	run_until_ran(2);
}

Test(ctl_queue, a_key_that_was_ready_waits_too, .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(1);
	struct client_informer *i = watch(NULL, true);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	ctl_add(q, STR("b")); /* ready, but only one may run */
	run_until_ran(1);
	ctl_expect(q, STR("b"), i, 12);
	finish("a", true);
	turns(10);
	cr_assert_eq(work.runs_len, 1);
	send_event("ADDED", "x", 12);
	run_until_ran(2);
	cr_assert_str_eq(work.runs[1].key, "b");
}

Test(ctl_queue, an_informer_that_goes_away_frees_those_who_wait_for_it, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	struct client_informer *i = watch(NULL, false);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	run_until_ran(1);
	ctl_expect(q, STR("a"), i, 12);
	finish("a", true);
	ctl_add(q, STR("a"));
	turns(5);
	cr_assert_eq(work.runs_len, 1);
	ctl_unwatch(fake.ctl, i);
	run_until_ran(2);
}

Test(ctl_queue, a_write_of_unknown_outcome_holds_its_key_whatever_the_informer_says, .init = setup,
     .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	struct client_informer *i = watch(NULL, true);
	lead();
	run_until(streaming, NULL);
	ctl_add(q, STR("a"));
	run_until_ran(1);
	uint64_t start = loop_now_ms(fake.loop);
	ctl_expect_unknown(q, STR("a"), i);
	finish("a", true);
	ctl_add(q, STR("a"));
	send_event("ADDED", "x", 99);
	run_until_seen(i, 99);
	cr_assert_eq(work.runs_len, 1, "the write may still be on its way");
	run_until_ran(2);
	cr_assert_geq(work.runs[1].at_ms - start, 10000);
}

Test(ctl_queue, what_an_informer_adds_in_its_first_list_runs, .init = setup, .fini = teardown)
{
	struct ctl_queue *q = queue(0);
	work.at_once = true;
	(void)watch(q, true);
	lead();
	run_until(streaming, NULL);
	send_event("ADDED", "x", 11);
	run_until_ran(1);
	cr_assert_str_eq(work.runs[0].key, "x");
}

/* ---- events ---- */

static bool told(void *arg)
{
	return fake.events_len >= *(unsigned *)arg;
}

Test(ctl_event, a_repeated_event_is_counted_on_the_first_and_a_burst_is_bounded, .init = setup,
     .fini = teardown)
{
	const struct ctl_object_ref about = {
		.api_version = STR("apps/v1"),
		.kind = STR("Deployment"),
		.ns = STR("shop"),
		.name = STR("web"),
		.uid = STR("u-1"),
	};
	ctl_event(fake.ctl, &about, true, "Failed", "no %s", "nodes");
	unsigned n = 1;
	run_until(told, &n);
	cr_assert_str_eq(fake.events[0].method, "POST");
	cr_assert_str_eq(fake.events[0].path, "/api/v1/namespaces/shop/events");
	cr_assert(strstr(fake.events[0].body, "\"message\":\"no nodes\""), "%s",
		  fake.events[0].body);
	cr_assert(strstr(fake.events[0].body, "\"type\":\"Warning\""));
	ctl_event(fake.ctl, &about, true, "Failed", "no %s", "nodes");
	n = 2;
	run_until(told, &n);
	cr_assert_str_eq(fake.events[1].method, "PATCH");
	cr_assert(str_starts(str_of(fake.events[1].path),
			     STR("/api/v1/namespaces/shop/events/web.")));
	cr_assert(strstr(fake.events[1].body, "\"count\":2"), "%s", fake.events[1].body);
	for (unsigned i = 0; i < 40; i++)
		ctl_event(fake.ctl, &about, false, "Many", "number %u", i);
	n = 25;
	run_until(told, &n);
	turns(50);
	cr_assert_eq(fake.events_len, 25, "the budget of one object");
}
