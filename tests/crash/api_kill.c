/*
 * crash_api_kill STORE [ROUNDS [SEED]] - kill -9 of the API server under load, pauses, a full disk.
 *
 *   STORE   sqlite or postgres (a private server, or $RCTL_TEST_POSTGRES)
 *
 * Writers create, replace, patch and delete objects and note what was acknowledged; watchers
 * follow through the losses of their connections, from the last revision they were told of,
 * and cut their streams themselves now and then.  Each round kills the server at a random
 * moment, some while it is still starting, and starts it again on the same data and port;
 * on the way it stands still now and then (SIGSTOP), and its files may not grow (RLIMIT_FSIZE:
 * for SQLite that is a full disk).
 * In the end nothing acknowledged may be missing, no watcher may have a gap, a duplicate or
 * another story than its neighbours, and the list must be the replay of each watch.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "client/client.h"
#include "fetch/fetch.h"
#include "json/json.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "tests/crash/history.h"
#include "tests/fixtures/pg_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WRITERS = 24,
	WATCHERS = 8,      /* the last one begins in the end, at the first revision */
	WRITES_A_KEY = 12, /* then the writer takes a new key */
	PAUSE_MS = 10,     /* before trying again without a server */
	PATIENCE_MS = 60000,
};

#define COLLECTION "/api/v1/namespaces/default/configmaps"

struct test;

struct writer {
	struct test *t;
	unsigned id, keys;
	struct record *rec; /* the key it works on; NULL = takes a new one */
	struct write next;
	int64_t rev;         /* of the last acknowledged write of the key */
	unsigned generation; /* of the server when the request was sent */
	bool busy;
	struct loop_timer again;
};

struct watcher {
	struct test *t;
	unsigned id;
	struct seen *seen;
	struct client_call *call;
	struct buf line;
	bool listing, expired;
	struct loop_timer again, cut;
};

struct test {
	struct loop *loop;
	struct fetch *fetch;
	struct client *client;
	struct history history;
	struct writer writers[WRITERS];
	struct watcher watchers[WATCHERS];
	struct seen seen[WATCHERS];
	char dir[64], store[256], bin[512], log[128];
	unsigned port, generation;
	pid_t pid;
	uint64_t seed;
	bool stopping;
	uint64_t acked, acked_since_start, unknown, relists, resumed;
	unsigned pauses, full;
	char why[WHY_BYTES];
};

static uint64_t chance(struct test *t)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return t->seed;
}

_Noreturn static void die(struct test *t, const char *what)
{
	(void)printf("not ok: %s\n", what);
	char cmd[256];
	(void)snprintf(cmd, sizeof(cmd), "tail -n 20 %s/api.log", t->dir);
	(void)fflush(stdout);
	(void)!system(cmd);
	if (t->pid > 0)
		(void)kill(t->pid, SIGKILL);
	exit(1);
}

/* ---- the server ---- */

/* Outside the range of client ports: a client trying a dead port there may connect to itself. */
static unsigned free_port(uint64_t start)
{
	for (unsigned i = 0; i < 1000; i++) {
		unsigned port = 20000 + (unsigned)((start + i) % 10000);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_in a = { .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
		(void)close(fd);
		if (rc == 0)
			return port;
	}
	return 0;
}

static void server_start(struct test *t)
{
	char listen[64];
	char store[300];
	char tokens[128];
	(void)snprintf(listen, sizeof(listen), "--listen-address=127.0.0.1:%u", t->port);
	(void)snprintf(store, sizeof(store), "--store=%s", t->store);
	(void)snprintf(tokens, sizeof(tokens), "--token-auth-file=%s/tokens", t->dir);
	t->acked_since_start = 0;
	t->pid = fork();
	if (t->pid)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(t->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	(void)dup2(fd, 2);
	(void)close_range(3, ~0U, 0);
	execl(t->bin, "resource-api", listen, store, tokens, "--request-log=false", (char *)NULL);
	_exit(127);
}

static void server_kill(struct test *t)
{
	int status = 0;
	if (waitpid(t->pid, &status, WNOHANG) == t->pid)
		die(t, "the server ended by itself");
	(void)kill(t->pid, SIGKILL);
	(void)waitpid(t->pid, &status, 0);
	t->generation++;
}

/* ---- writers ---- */

static void writer_go(struct writer *w);

static void on_writer_timer(struct loop_timer *timer)
{
	writer_go(container_of(timer, struct writer, again));
}

static int64_t revision_of(struct str body)
{
	struct arena a = { 0 };
	struct json j;
	int64_t rev = 0;
	if (json_parse(&a, body, NULL, &j, NULL) == 0)
		(void)str_to_i64(json_str(json_dig(&j, "metadata", "resourceVersion", NULL)), &rev);
	arena_fini(&a);
	return rev;
}

static void on_written(void *arg, int status, struct str body, const struct error *err)
{
	struct writer *w = arg;
	struct test *t = w->t;
	w->busy = false;
	if (status == 200 || status == 201) {
		w->next.outcome = ACKED;
		w->next.rev = w->next.deletion ? 0 : revision_of(body);
		if (!w->next.rev && !w->next.deletion)
			(void)snprintf(t->why, sizeof(t->why),
				       "an acknowledged write without a revision: %.*s",
				       STR_ARG(str_sub(body, 0, 300)));
		record_add(w->rec, w->next);
		w->rev = w->next.rev;
		t->acked++;
		t->acked_since_start += w->generation == t->generation;
		if (w->next.deletion || w->rec->len >= WRITES_A_KEY)
			w->rec = NULL;
		writer_go(w);
		return;
	}
	/* nothing is known: the client may also have sent it twice over a kept connection */
	if (w->generation == t->generation && status && status != 429 && status < 500 && !t->why[0])
		(void)snprintf(t->why, sizeof(t->why), "%s was refused with %d: %.200s",
			       w->rec->key, status, err ? err->msg : "");
	w->next.outcome = UNKNOWN;
	record_add(w->rec, w->next);
	w->rec = NULL;
	t->unknown++;
	loop_timer_set(t->loop, &w->again, PAUSE_MS);
}

static void body_of(const struct writer *w, struct buf *b, bool whole)
{
	buf_addf(b, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"",
		 w->rec->key);
	if (whole && w->rev)
		buf_addf(b, ",\"resourceVersion\":\"%" PRId64 "\"", w->rev);
	buf_addf(b, "},\"data\":{\"seq\":\"%u\"}}", w->next.seq);
}

static void writer_go(struct writer *w)
{
	struct test *t = w->t;
	if (t->stopping)
		return;
	if (!w->rec) {
		char key[KEY_BYTES];
		(void)snprintf(key, sizeof(key), "w%u-%u", w->id, w->keys++);
		w->rec = history_record(&t->history, key);
		w->rev = 0;
	}
	char path[128];
	(void)snprintf(path, sizeof(path), COLLECTION "/%s", w->rec->key);
	struct client_request r = { .method = "PUT", .path = path, .done = on_written, .arg = w };
	struct buf body = { 0 };
	uint64_t c = chance(t) % 10;
	size_t n = w->rec->len;
	w->next = (struct write){ .seq = n ? w->rec->writes[n - 1].seq + 1 : 1 };
	if (n == 0) {
		r.method = "POST";
		r.path = COLLECTION;
	} else if (c == 0) {
		r.method = "DELETE";
		w->next.seq--;
		w->next.deletion = true;
	} else if (c < 4) {
		r.method = "PATCH";
		r.content_type = "application/merge-patch+json";
	}
	if (!w->next.deletion) {
		body_of(w, &body, r.content_type == NULL);
		r.body = buf_str(&body);
	}
	w->generation = t->generation;
	w->busy = true;
	(void)client_send(t->client, &r);
	buf_fini(&body);
}

/* ---- watchers ---- */

static void watcher_go(struct watcher *w);

static void on_watcher_timer(struct loop_timer *timer)
{
	watcher_go(container_of(timer, struct watcher, again));
}

static void cut_later(struct watcher *w)
{
	loop_timer_set(w->t->loop, &w->cut, 200 + chance(w->t) % 2000);
}

static void on_cut(struct loop_timer *timer)
{
	struct watcher *w = container_of(timer, struct watcher, cut);
	if (w->call && !w->listing) {
		client_cancel(w->call);
		w->call = NULL;
		watcher_go(w);
	}
	cut_later(w);
}

static bool object_of(const struct json *o, char key[KEY_BYTES], int64_t *rev, uint32_t *seq)
{
	struct str name = json_str(json_dig(o, "metadata", "name", NULL));
	int64_t n = 0;
	if (name.len >= KEY_BYTES ||
	    !str_to_i64(json_str(json_dig(o, "metadata", "resourceVersion", NULL)), rev))
		return false;
	(void)str_to_i64(json_str(json_dig(o, "data", "seq", NULL)), &n);
	memset(key, 0, KEY_BYTES);
	memcpy(key, name.p, name.len);
	*seq = (uint32_t)n;
	return true;
}

static void take_line(struct watcher *w, struct str line)
{
	struct arena a = { 0 };
	struct json j;
	struct event e = { 0 };
	if (json_parse(&a, line, NULL, &j, NULL)) {
		(void)snprintf(w->t->why, sizeof(w->t->why), "a watch sent: %.*s",
			       STR_ARG(str_sub(line, 0, 300)));
		arena_fini(&a);
		return;
	}
	struct str type = json_str(json_getc(&j, "type"));
	const struct json *o = json_getc(&j, "object");
	if (str_is(type, "ERROR")) {
		w->expired = true;
	} else if (!object_of(o, e.key, &e.rev, &e.seq)) {
		(void)snprintf(w->t->why, sizeof(w->t->why), "a watch sent: %.*s",
			       STR_ARG(str_sub(line, 0, 300)));
	} else if (str_is(type, "BOOKMARK")) {
		if (e.rev < w->seen->last && !w->seen->why[0])
			(void)snprintf(w->seen->why, WHY_BYTES,
				       "a bookmark at %" PRId64 " after %" PRId64, e.rev,
				       w->seen->last);
		w->seen->last = e.rev > w->seen->last ? e.rev : w->seen->last;
	} else {
		e.type = str_is(type, "ADDED")     ? ADDED
			 : str_is(type, "DELETED") ? DELETED
						   : MODIFIED;
		seen_event(w->seen, &e);
	}
	arena_fini(&a);
}

static void on_data(void *arg, int status, struct str data)
{
	struct watcher *w = arg;
	if (status != 200)
		return;
	buf_add_str(&w->line, data);
	size_t from = 0;
	for (ptrdiff_t nl; (nl = str_find(buf_str(&w->line), '\n', from)) >= 0;) {
		take_line(w, str_sub(buf_str(&w->line), from, (size_t)nl));
		from = (size_t)nl + 1;
	}
	buf_consume(&w->line, from);
}

static void on_watch_end(void *arg, int status, struct str body, const struct error *err)
{
	(void)body;
	(void)err;
	struct watcher *w = arg;
	w->call = NULL;
	w->expired = w->expired || status == 410;
	loop_timer_set(w->t->loop, &w->again, PAUSE_MS);
}

static bool read_list(struct str body, struct item **ret, uint32_t **ret_seqs, size_t *ret_len,
		      int64_t *ret_rev)
{
	struct arena a = { 0 };
	struct json j;
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = 256U << 20;
	limits.values_max = 64U << 20;
	bool ok = json_parse(&a, body, &limits, &j, NULL) == 0 &&
		  str_to_i64(json_str(json_dig(&j, "metadata", "resourceVersion", NULL)), ret_rev);
	const struct json *items = json_getc(&j, "items");
	size_t n = ok ? json_len(items) : 0;
	*ret = mem_new(struct item, n);
	*ret_seqs = mem_new(uint32_t, n);
	for (size_t i = 0; i < n && ok; i++)
		ok = object_of(json_at(items, i), (*ret)[i].key, &(*ret)[i].rev, &(*ret_seqs)[i]);
	*ret_len = n;
	arena_fini(&a);
	return ok;
}

static void on_list(void *arg, int status, struct str body, const struct error *err)
{
	(void)err;
	struct watcher *w = arg;
	w->call = NULL;
	w->listing = false;
	if (status == 200) {
		struct item *items = NULL;
		uint32_t *seqs = NULL;
		size_t n = 0;
		int64_t rev = 0;
		if (read_list(body, &items, &seqs, &n, &rev)) {
			w->t->relists += w->seen->start != 0;
			seen_list(w->seen, items, seqs, n, rev);
			w->expired = false;
		} else {
			(void)snprintf(w->t->why, sizeof(w->t->why), "a list was no list");
		}
		mem_free(items);
		mem_free(seqs);
		watcher_go(w);
		return;
	}
	loop_timer_set(w->t->loop, &w->again, PAUSE_MS);
}

static void watcher_go(struct watcher *w)
{
	struct client_request r = { .method = "GET", .path = COLLECTION, .arg = w };
	char path[256];
	buf_clear(&w->line); /* half a line of a cut stream comes again */
	if (!w->seen->start || w->expired) {
		w->listing = true;
		r.done = on_list;
	} else {
		(void)snprintf(path, sizeof(path),
			       COLLECTION
			       "?watch=true&allowWatchBookmarks=true&resourceVersion=%" PRId64,
			       w->seen->last);
		r.path = path;
		r.on_data = on_data;
		r.done = on_watch_end;
		w->t->resumed++;
	}
	w->call = client_send(w->t->client, &r);
}

/* ---- the rounds ---- */

static void turn(struct test *t)
{
	loop_turn(t->loop, 5);
	if (t->why[0])
		die(t, t->why);
}

static void wait_acks(struct test *t, uint64_t n)
{
	uint64_t until = clock_mono_ms() + PATIENCE_MS;
	while (t->acked_since_start < n) {
		if (clock_mono_ms() > until)
			die(t, "the server acknowledged nothing for a minute");
		turn(t);
	}
}

static void run_for(struct test *t, uint64_t ms)
{
	for (uint64_t until = clock_mono_ms() + ms; clock_mono_ms() < until;)
		turn(t);
}

/* Stands still, and goes on as if nothing had been. */
static void server_pause(struct test *t)
{
	(void)kill(t->pid, SIGSTOP);
	run_for(t, 50 + chance(t) % 400);
	(void)kill(t->pid, SIGCONT);
	t->pauses++;
}

/* No file of the server may grow for a while: what cannot be stored must not be acknowledged. */
static void server_full(struct test *t)
{
	const struct rlimit none = { 4096, RLIM_INFINITY };
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	if (prlimit(t->pid, RLIMIT_FSIZE, &none, NULL) != 0)
		return;
	run_for(t, 50 + chance(t) % 400);
	if (prlimit(t->pid, RLIMIT_FSIZE, &all, NULL) != 0)
		die(t, "the server did not survive a full disk");
	t->full++;
	wait_acks(t, t->acked_since_start + 1); /* and it goes on */
}

static void one_round(struct test *t)
{
	if (chance(t) % 5 == 0)
		server_pause(t);
	/* every fifth loss hits a server that is just starting */
	if (chance(t) % 5 == 0) {
		run_for(t, chance(t) % 60);
	} else {
		wait_acks(t, 1 + chance(t) % 200);
		if (chance(t) % 5 == 0)
			server_full(t);
		run_for(t, chance(t) % 300);
	}
	server_kill(t);
	run_for(t, chance(t) % 3 ? 0 : chance(t) % 100);
	server_start(t);
}

static bool idle(const struct test *t)
{
	for (size_t i = 0; i < WRITERS; i++)
		if (t->writers[i].busy || loop_timer_armed(&t->writers[i].again))
			return false;
	return true;
}

struct last_list {
	struct history *h;
	int64_t rev; /* 0 = not there yet */
	bool failed;
};

static void on_last_list(void *arg, int status, struct str body, const struct error *err)
{
	struct last_list *l = arg;
	uint32_t *seqs = NULL;
	if (status != 200 || !read_list(body, &l->h->list, &seqs, &l->h->list_len, &l->rev)) {
		(void)printf("# the last list: %d, %zu bytes: %s\n", status, body.len,
			     err ? err->msg : "");
		l->failed = true;
	}
	mem_free(seqs);
}

static bool all_told(const struct test *t, int64_t rev)
{
	for (size_t i = 0; i < WATCHERS; i++)
		if (t->seen[i].last < rev)
			return false;
	return true;
}

/* Lets everything come to rest, lists, and waits until each watcher was told as much. */
static void settle(struct test *t)
{
	uint64_t until = clock_mono_ms() + PATIENCE_MS;
	t->stopping = true;
	while (!idle(t) && clock_mono_ms() < until)
		turn(t);
	struct watcher *late = &t->watchers[WATCHERS - 1];
	late->seen->start = late->seen->last = t->seen[0].start;
	watcher_go(late);
	struct last_list l = { .h = &t->history };
	(void)client_send(t->client, &(struct client_request){ .method = "GET",
							       .path = COLLECTION,
							       .done = on_last_list,
							       .arg = &l });
	while ((!l.rev && !l.failed) && clock_mono_ms() < until)
		turn(t);
	int64_t told = 0; /* the last change; bookmarks need not have come yet */
	for (size_t i = 0; i + 1 < WATCHERS; i++)
		told = t->seen[i].last > told ? t->seen[i].last : told;
	while (!all_told(t, told) && clock_mono_ms() < until)
		turn(t);
	run_for(t, 300); /* what should not come would come now */
	if (!l.rev || !all_told(t, told))
		die(t, "the last list or a watcher was not there within a minute");
}

static void test_start(struct test *t, const char *kind)
{
	struct error err = { 0 };
	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/rctl-api-kill-XXXXXX");
	const char *bin = getenv("RCTL_BIN");
	if (!mkdtemp(t->dir) || !bin) {
		(void)printf("not ok: RCTL_BIN must name the folder of the programs\n");
		exit(2);
	}
	(void)snprintf(t->bin, sizeof(t->bin), "%s/resource-api", bin);
	(void)snprintf(t->log, sizeof(t->log), "%s/api.log", t->dir);
	if (strcmp(kind, "sqlite") == 0) {
		(void)snprintf(t->store, sizeof(t->store), "sqlite:%s/api.db", t->dir);
	} else if (!pg_private_url(t->store, sizeof(t->store), "api_kill")) {
		(void)printf("skipped: no PostgreSQL server on this machine\n");
		(void)!file_remove_tree(t->dir, &err);
		exit(77);
	}
	char tokens[128];
	(void)snprintf(tokens, sizeof(tokens), "%s/tokens", t->dir);
	if (file_write_atomic(tokens, STR("sesame,admin,1,\"system:masters\"\n"), 0600, &err) ||
	    loop_new(&t->loop, &err)) {
		(void)printf("not ok: %s\n", err.msg);
		exit(2);
	}
	t->port = free_port(chance(t));
	char server[64];
	char token[] = "sesame";
	char ns[] = "default";
	char context[] = "test";
	(void)snprintf(server, sizeof(server), "http://127.0.0.1:%u", t->port);
	t->fetch = fetch_new(t->loop);
	t->client =
		client_new(t->fetch, t->loop,
			   &(struct client_config){
				   .server = server, .token = token, .ns = ns, .context = context },
			   &(struct client_options){ .user_agent = "api-kill" });
	t->history.watchers = t->seen;
	t->history.watchers_len = WATCHERS;
	server_start(t);
}

static void load_start(struct test *t)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct watcher *w = &t->watchers[i];
		*w = (struct watcher){ .t = t, .id = i, .seen = &t->seen[i] };
		w->again.fn = on_watcher_timer;
		w->cut.fn = on_cut;
		map_init(&w->seen->state, i + 1);
		if (i + 1 == WATCHERS)
			break;
		watcher_go(w);
		if (i % 2)
			cut_later(w);
		/* the first one sees everything, from before the first write on */
		uint64_t until = clock_mono_ms() + PATIENCE_MS;
		while (!w->seen->start && clock_mono_ms() < until)
			turn(t);
		if (!w->seen->start)
			die(t, "the server did not start within a minute");
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *w = &t->writers[i];
		*w = (struct writer){ .t = t, .id = i };
		w->again.fn = on_writer_timer;
		writer_go(w);
	}
}

static void test_end(struct test *t)
{
	struct error err = { 0 };
	server_kill(t);
	(void)client_free(t->client);
	(void)fetch_free(t->fetch);
	for (unsigned i = 0; i < WATCHERS; i++) {
		loop_timer_stop(&t->watchers[i].again);
		loop_timer_stop(&t->watchers[i].cut);
		buf_fini(&t->watchers[i].line);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		loop_timer_stop(&t->writers[i].again);
	history_fini(&t->history);
	(void)loop_free(t->loop);
	(void)!file_remove_tree(t->dir, &err);
}

int main(int argc, char **argv)
{
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	const char *kind = argc > 1 ? argv[1] : "sqlite";
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	static struct test t;
	t.seed = argc > 3 ? strtoull(argv[3], NULL, 0) : clock_random_u64() | 1;
	if (strcmp(kind, "sqlite") != 0 && strcmp(kind, "postgres") != 0) {
		(void)fprintf(stderr, "usage: crash_api_kill sqlite|postgres [ROUNDS [SEED]]\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (!history_has_teeth())
		return 1;
	struct pg_private pg = { .dir = "" };
	if (strcmp(kind, "postgres") == 0)
		pg_private_start(&pg);
	(void)printf("# %s, %d rounds, seed %" PRIu64 "\n", kind, rounds, t.seed);
	test_start(&t, kind);
	load_start(&t);
	for (int i = 0; i < rounds; i++)
		one_round(&t);
	wait_acks(&t, 1);
	settle(&t);
	char why[WHY_BYTES];
	size_t events = t.seen[0].len;
	bool ok = history_holds(&t.history, why);
	if (!ok)
		die(&t, why);
	(void)printf("ok: %s, %d kills, %u pauses, %u times full, %" PRIu64
		     " writes acknowledged, 0 lost, %" PRIu64
		     " unknown; %d watchers of %zu events, resumed %" PRIu64 " times, %" PRIu64
		     " lists again\n",
		     kind, rounds, t.pauses, t.full, t.acked, t.unknown, WATCHERS, events,
		     t.resumed, t.relists);
	test_end(&t);
	pg_private_stop(&pg);
	return 0;
}
