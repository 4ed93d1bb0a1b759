#include "base/buf.h"
#include "client/client.h"
#include "fetch/fetch.h"
#include "http/server.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a scripted API server on the client's own loop ---- */

enum { STREAMS_MAX = 8 };

static struct fake {
	struct loop *loop;
	struct http_server *server;
	struct fetch *fetch;
	struct client *client;
	/* what the next list answers */
	const char *list;
	int list_status;
	unsigned lists, watches;
	char last_query[512], last_path[512], last_body[1024], last_type[128], last_fence[128];
	struct http_request *streams[STREAMS_MAX];
	int watch_status; /* not 200: the watch is refused with it */
} fake;

static void on_close(struct http_request *r)
{
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (fake.streams[i] == r)
			fake.streams[i] = NULL;
}

static void note(char *to, size_t size, struct str s)
{
	(void)snprintf(to, size, "%.*s", STR_ARG(s));
}

static void on_request(struct http_request *r)
{
	note(fake.last_path, sizeof(fake.last_path), r->path);
	note(fake.last_query, sizeof(fake.last_query), r->query);
	note(fake.last_body, sizeof(fake.last_body), r->body);
	note(fake.last_type, sizeof(fake.last_type), http_request_header(r, "content-type"));
	note(fake.last_fence, sizeof(fake.last_fence), http_request_header(r, "rctl-fence"));
	if (str_find_str(r->query, STR("watch=true"), 0) >= 0) {
		fake.watches++;
		if (fake.watch_status != 200) {
			http_reply_text(r, fake.watch_status, "application/json",
					STR("{\"kind\":\"Status\",\"reason\":\"Expired\","
					    "\"message\":\"too old\"}"));
			return;
		}
		const struct http_header h = { STR("content-type"), STR("application/json") };
		http_begin(r, 200, &h, 1);
		for (size_t i = 0; i < STREAMS_MAX; i++) {
			if (!fake.streams[i]) {
				fake.streams[i] = r;
				break;
			}
		}
		return;
	}
	if (str_is(r->method, "GET"))
		fake.lists++;
	http_reply_text(r, fake.list_status, "application/json", str_of(fake.list));
}

static void setup(void)
{
	struct error err = { 0 };
	fake = (struct fake){ .list_status = 200, .watch_status = 200 };
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
}

static void teardown(void)
{
	(void)client_free(fake.client);
	(void)fetch_free(fake.fetch);
	(void)http_server_free(fake.server);
	(void)loop_free(fake.loop);
}

static void run_until(bool (*done)(void *arg), void *arg)
{
	uint64_t deadline = clock_mono_ms() + 20000;
	while (!done(arg)) {
		cr_assert_lt(clock_mono_ms(), deadline, "nothing came of it");
		loop_turn(fake.loop, 50);
	}
}

/* ---- requests ---- */

struct answer {
	bool done;
	int status;
	struct error err;
	char body[512];
};

static void on_answer(void *arg, int status, struct str body, const struct error *err)
{
	struct answer *a = arg;
	a->status = status;
	note(a->body, sizeof(a->body), body);
	if (err)
		a->err = *err;
	a->done = true;
}

static bool answered(void *arg)
{
	return ((struct answer *)arg)->done;
}

Test(client, writes_carry_manager_fence_and_type, .init = setup, .fini = teardown)
{
	fake.list = "{}";
	struct answer a = { 0 };
	client_set_fence(fake.client, "kube-system/x/7");
	(void)client_apply(fake.client, "/api/v1/namespaces/a", STR("{\"a\":1}"), true, on_answer,
			   &a);
	run_until(answered, &a);
	cr_assert_eq(a.status, 200);
	cr_assert_str_eq(fake.last_path, "/api/v1/namespaces/a");
	cr_assert_str_eq(fake.last_query, "force=true&fieldManager=tester");
	cr_assert_str_eq(fake.last_type, "application/apply-patch+yaml");
	cr_assert_str_eq(fake.last_body, "{\"a\":1}");
	cr_assert_str_eq(fake.last_fence, "kube-system/x/7");
}

Test(client, a_status_object_becomes_an_error_with_its_reason, .init = setup, .fini = teardown)
{
	fake.list = "{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"message\":\"pods "
		    "\\\"x\\\" already exists\"}";
	fake.list_status = 409;
	struct answer a = { 0 };
	(void)client_send(fake.client, &(struct client_request){ .method = "POST",
								 .path = "/p",
								 .body = STR("{}"),
								 .done = on_answer,
								 .arg = &a });
	run_until(answered, &a);
	cr_assert_eq(a.err.code, ERR_EXISTS);
	cr_assert_str_eq(a.err.msg, "pods \"x\" already exists");

	fake.list = "<html>bad gateway</html>";
	fake.list_status = 502;
	a = (struct answer){ 0 };
	(void)client_send(fake.client,
			  &(struct client_request){
				  .method = "GET", .path = "/p", .done = on_answer, .arg = &a });
	run_until(answered, &a);
	cr_assert_eq(a.status, 502);
	cr_assert_neq(a.err.code, 0);
}

Test(client, a_server_that_is_not_there_is_unavailable, .init = setup, .fini = teardown)
{
	fake.server = http_server_free(fake.server);
	struct answer a = { 0 };
	(void)client_send(fake.client,
			  &(struct client_request){
				  .method = "GET", .path = "/p", .done = on_answer, .arg = &a });
	run_until(answered, &a);
	cr_assert_eq(a.status, 0);
	cr_assert_eq(a.err.code, ERR_UNAVAILABLE, "%s", a.err.msg);
}

Test(fetch, the_guard_refuses_private_addresses, .init = setup, .fini = teardown)
{
	fake.list = "{}";
	char url[64];
	(void)snprintf(url, sizeof(url), "http://localhost:%u/", http_server_port(fake.server, 0));
	struct answer a = { 0 };
	struct fetch_request r = {
		.method = "GET", .url = url, .guard = true, .on_done = on_answer, .arg = &a
	};
	(void)fetch_send(fake.fetch, &r);
	run_until(answered, &a);
	cr_assert_eq(a.err.code, ERR_FORBIDDEN, "%s", a.err.msg);
	cr_assert_eq(fake.lists, 0);
	r.allow_private = true;
	a = (struct answer){ 0 };
	(void)fetch_send(fake.fetch, &r);
	run_until(answered, &a);
	cr_assert_eq(a.status, 200);
}

Test(fetch, a_reply_over_its_limit_is_an_error, .init = setup, .fini = teardown)
{
	fake.list = "0123456789";
	char url[64];
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", http_server_port(fake.server, 0));
	struct answer a = { 0 };
	(void)fetch_send(fake.fetch, &(struct fetch_request){ .method = "GET",
							      .url = url,
							      .reply_bytes_max = 5,
							      .on_done = on_answer,
							      .arg = &a });
	run_until(answered, &a);
	cr_assert_eq(a.err.code, ERR_TOO_LARGE, "%s", a.err.msg);
}

/* ---- informer ---- */

static struct seen {
	char log[2048]; /* "+a:5 -b ..." */
	unsigned synced, lost, found;
	int64_t rev;
} seen;

static void add(char sign, struct str key, struct str rv)
{
	size_t n = strlen(seen.log);
	(void)snprintf(seen.log + n, sizeof(seen.log) - n, "%c%.*s%s%.*s ", sign, STR_ARG(key),
		       rv.len ? ":" : "", STR_ARG(rv));
}

static void on_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)arg;
	cr_assert(text.len > 0);
	add('+', key, json_str(json_dig(obj, "metadata", "resourceVersion", NULL)));
}

static void on_delete(void *arg, struct str key, struct str text)
{
	(void)arg;
	cr_assert(text.len > 0);
	add('-', key, STR(""));
}

static void on_synced(void *arg)
{
	(void)arg;
	seen.synced++;
}

static void on_contact(void *arg, bool ok, const struct error *err)
{
	(void)arg;
	(void)err;
	seen.found += ok;
	seen.lost += !ok;
}

static void on_progress(void *arg, int64_t rev)
{
	(void)arg;
	seen.rev = rev;
}

static struct client_informer *start_informer(void)
{
	seen = (struct seen){ 0 };
	return client_informer_new(
		fake.client, &(struct client_informer_config){ .path = "/api/v1/pods",
							       .field_selector = "spec.nodeName=a",
							       .on_set = on_set,
							       .on_delete = on_delete,
							       .on_synced = on_synced,
							       .on_contact = on_contact,
							       .on_progress = on_progress,
							       .backoff_min_ms = 5,
							       .backoff_max_ms = 20,
							       .keep_text = true });
}

static bool watching(void *arg)
{
	(void)arg;
	return fake.streams[0] != NULL;
}

static bool seen_rev(void *arg)
{
	return seen.rev == *(int64_t *)arg;
}

static void send_line(const char *line)
{
	struct bytes *b = bytes_of_str(str_of(line));
	cr_assert(http_write(fake.streams[0], b));
	bytes_unref(b);
}

#define LIST(rv, items) "{\"metadata\":{\"resourceVersion\":\"" rv "\"},\"items\":[" items "]}"
#define POD(ns, name, rv) \
	"{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"resourceVersion\":\"" rv \
	"\"}}"

Test(informer, lists_then_follows_the_watch_in_order, .init = setup, .fini = teardown)
{
	fake.list = LIST("10", POD("d", "a", "3") "," POD("d", "b", "7"));
	struct client_informer *in = start_informer();
	run_until(watching, NULL);
	cr_assert_eq(seen.synced, 1);
	cr_assert_str_eq(seen.log, "+d/a:3 +d/b:7 ");
	cr_assert(strstr(fake.last_query, "resourceVersion=10&"));
	cr_assert(strstr(fake.last_query, "fieldSelector=spec.nodeName%3Da"));
	/* two events in one piece, a third cut in the middle */
	send_line("{\"type\":\"MODIFIED\",\"object\":" POD(
		"d", "a",
		"11") "}\n{\"type\":\"DELETED\",\"object\":" POD("d", "b",
								 "12") "}\n{\"type\":\"ADD");
	int64_t rev = 12;
	run_until(seen_rev, &rev);
	send_line("ED\",\"object\":" POD("d", "c", "13") "}\n");
	rev = 13;
	run_until(seen_rev, &rev);
	cr_assert_str_eq(seen.log, "+d/a:3 +d/b:7 +d/a:11 -d/b +d/c:13 ");
	cr_assert_eq(client_informer_count(in), 2);
	cr_assert(str_find_str(client_informer_get(in, STR("d/c")), STR("\"13\""), 0) > 0);
	(void)client_informer_free(in);
}

Test(informer, goes_on_from_the_last_revision_when_the_watch_ends, .init = setup, .fini = teardown)
{
	fake.list = LIST("10", "");
	struct client_informer *in = start_informer();
	run_until(watching, NULL);
	send_line(
		"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"99\"}}}\n");
	int64_t rev = 99;
	run_until(seen_rev, &rev);
	struct http_request *r = fake.streams[0];
	fake.streams[0] = NULL;
	http_end(r);
	run_until(watching, NULL);
	cr_assert(strstr(fake.last_query, "resourceVersion=99&"), "%s", fake.last_query);
	cr_assert_eq(fake.lists, 1);
	cr_assert_eq(seen.lost, 0);
	(void)client_informer_free(in);
}

static bool relisted(void *arg)
{
	(void)arg;
	return fake.lists >= 2 && fake.streams[0];
}

Test(informer, lists_again_when_its_revision_expired_and_tells_only_what_differs, .init = setup,
     .fini = teardown)
{
	fake.list = LIST("10", POD("d", "a", "3") "," POD("d", "b", "7") "," POD("d", "c", "8"));
	struct client_informer *in = start_informer();
	run_until(watching, NULL);
	fake.list = LIST("50", POD("d", "a", "3") "," POD("d", "b", "40"));
	send_line("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n");
	struct http_request *r = fake.streams[0];
	fake.streams[0] = NULL;
	http_end(r);
	run_until(relisted, NULL);
	cr_assert_str_eq(seen.log, "+d/a:3 +d/b:7 +d/c:8 +d/b:40 -d/c ");
	cr_assert_eq(seen.synced, 1);
	(void)client_informer_free(in);
}

static bool lost_and_found(void *arg)
{
	(void)arg;
	return seen.lost == 1 && seen.found == 2 && fake.streams[0];
}

static bool lost(void *arg)
{
	(void)arg;
	return seen.lost == 1;
}

Test(informer, keeps_what_it_knows_while_the_server_fails, .init = setup, .fini = teardown)
{
	fake.list = LIST("10", POD("d", "a", "3"));
	struct client_informer *in = start_informer();
	run_until(watching, NULL);
	struct http_request *r = fake.streams[0];
	fake.streams[0] = NULL;
	fake.watch_status = 503;
	http_end(r);
	run_until(lost, NULL);
	cr_assert_eq(client_informer_count(in), 1);
	fake.watch_status = 200;
	run_until(watching, NULL);
	send_line(
		"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"11\"}}}\n");
	run_until(lost_and_found, NULL);
	cr_assert_str_eq(seen.log, "+d/a:3 ");
	(void)client_informer_free(in);
}

/* ---- kubeconfig ---- */

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	struct error err = { 0 };
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	cr_assert_eq(file_write_atomic(path, str_of(text), 0600, &err), 0, "%s", err.msg);
}

Test(kubeconfig, merges_files_and_says_what_is_wrong)
{
	char dir[] = "/tmp/rctl-kubeconfig-XXXXXX";
	cr_assert(mkdtemp(dir));
	write_file(dir, "a",
		   "current-context: one\ncontexts:\n- name: one\n  context: {cluster: c, user: u, "
		   "namespace: prod}\n");
	write_file(dir, "b",
		   "current-context: two\nclusters:\n- name: c\n  cluster: {server: 'https://h:1', "
		   "certificate-authority: ca.pem}\n"
		   "users:\n- name: u\n  user: {token: secret}\n- name: x\n  user: {exec: "
		   "{command: aws}}\n"
		   "contexts:\n- name: two\n  context: {cluster: c, user: x}\n- name: three\n  "
		   "context: {cluster: nowhere}\n");
	write_file(dir, "ca.pem", "PEM\n");
	char env[600];
	(void)snprintf(env, sizeof(env), "%s/a:%s/missing:%s/b", dir, dir, dir);
	struct client_config c = { 0 };
	struct error err = { 0 };
	cr_assert_eq(client_config_load(NULL, env, NULL, NULL, &c, &err), 0, "%s", err.msg);
	cr_assert_str_eq(c.server, "https://h:1");
	cr_assert_str_eq(c.ns, "prod");
	cr_assert_str_eq(c.token, "secret");
	cr_assert_str_eq(c.ca_pem, "PEM\n");
	client_config_fini(&c);

	static const struct {
		const char *context;
		enum err_code code;
		const char *text;
	} rows[] = {
		{ "two", ERR_INVALID, "plug-in" },
		{ "three", ERR_INVALID, "\"nowhere\"" },
		{ "four", ERR_NOT_FOUND, "no context \"four\"" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err = (struct error){ 0 };
		cr_assert_eq(client_config_load(NULL, env, NULL, rows[i].context, &c, &err),
			     rows[i].code);
		cr_assert(strstr(err.msg, rows[i].text), "%s", err.msg);
	}
	cr_assert_eq(client_config_load(NULL, NULL, "/nonexistent", NULL, &c, &err), ERR_NOT_FOUND);
	cr_assert_eq(file_remove_tree(dir, &err), 0);
}
