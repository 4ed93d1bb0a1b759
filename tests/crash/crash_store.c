/*
 * crash_store KIND [ROUNDS [SEED]] - kills under load and counts what was lost.
 *
 *   sqlite      kill -9 of the process that has the file
 *   postgres    kill -9 of the process that writes; the server goes on
 *   postmaster  kill -9 of the server under a process that goes on, then of that too
 *
 * A child writes as fast as it can and reports each acknowledged write through a pipe.  After
 * the kill the parent opens the store: every acknowledged write must be in the log, at its
 * revision and with its value; no revision may be there twice; objects must be what the
 * log says.  The child checks its own stream of events for gaps and duplicates.
 */
#include "sys/clock.h"
#include "tests/fixtures/pg_private.h"
#include "tests/fixtures/store_record.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

enum { CLIENTS = 16, KEYS_EACH = 4 };

enum report_kind { ACKED, WRONG };

/* One write(2) to the pipe. */
struct report {
	enum report_kind kind;
	int64_t rev;
	char value[64];
};

/* ---- the child ---- */

struct writer;

struct client {
	struct writer *w;
	unsigned id;
	int seq;
	char value[64];
};

struct writer {
	struct record rec;
	struct store *s;
	int fd;
	unsigned round;
	uint64_t seed;
	struct client client[CLIENTS];
};

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void report(struct writer *w, enum report_kind kind, int64_t rev, const char *value)
{
	struct report r = { .kind = kind, .rev = rev };
	(void)snprintf(r.value, sizeof(r.value), "%s", value);
	if (write(w->fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(3);
}

static void submit(struct client *c);

/* Called one at a time, like the events: the state needs no other lock. */
static void on_done(void *arg, const struct store_result *result, size_t n)
{
	struct client *c = arg;
	(void)n;
	if (result->code == ERR_OK)
		report(c->w, ACKED, result->rev, c->value);
	if (c->w->rec.wrong[0])
		report(c->w, WRONG, 0, c->w->rec.wrong);
	submit(c);
}

static void submit(struct client *c)
{
	struct writer *w = c->w;
	char key[32];
	(void)snprintf(key, sizeof(key), "c%u/k%u", c->id, (unsigned)(next(&w->seed) % KEYS_EACH));
	(void)snprintf(c->value, sizeof(c->value), "%u.%u.%d", w->round, c->id, c->seq++);
	int64_t rev = record_key(&w->rec, str_of(key))->rev;
	enum store_op op = rev == 0                  ? STORE_CREATE
			   : next(&w->seed) % 8 == 0 ? STORE_DELETE
						     : STORE_UPDATE;
	struct store_write sw = record_make(op, key, rev, c->value);
	store_submit(w->s, &sw, 1, false, on_done, c);
	bytes_unref(sw.value);
}

static struct store_config config_of(const char *url, struct record *rec)
{
	struct store_config cfg = record_config(url, rec);
	cfg.history_revs = INT32_MAX; /* the parent wants to see all */
	cfg.history_bytes = UINT64_MAX;
	return cfg;
}

_Noreturn static void run_child(const char *url, int fd, unsigned round, uint64_t seed)
{
	static struct writer w;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	w = (struct writer){ .fd = fd, .round = round, .seed = seed | 1 };
	record_init(&w.rec);
	struct store_config cfg = config_of(url, &w.rec);
	struct error err = { 0 };
	if (store_open(&cfg, &w.s, &err) < 0) {
		report(&w, WRONG, 0, err.msg);
		_exit(2);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		w.client[i] = (struct client){ .w = &w, .id = i };
		submit(&w.client[i]);
	}
	for (;;)
		(void)pause();
}

/* ---- the parent ---- */

struct ack {
	int64_t rev;
	char value[64];
};

struct judge {
	const char *url;
	struct ack *ack;
	size_t n, cap;
	size_t wrong;
	/* of the check */
	size_t at;
	int64_t last;
	struct map objects; /* the values, as C strings */
	size_t loaded;
};

static void complain(struct judge *j, const char *what, const char *detail)
{
	if (j->wrong++ < 10)
		(void)fprintf(stderr, "wrong: %s: %s\n", what, detail);
}

static void take(struct judge *j, const struct report *r)
{
	if (r->kind == WRONG) {
		complain(j, "child", r->value);
		return;
	}
	if (j->n == j->cap) {
		j->cap = j->cap ? j->cap * 2 : 4096;
		j->ack = mem_resize(j->ack, j->cap, sizeof(j->ack[0]));
	}
	j->ack[j->n].rev = r->rev;
	memcpy(j->ack[j->n++].value, r->value, sizeof(r->value));
}

/* Reads reports until `ms` are over (0 = until the end); false at the end of the pipe. */
static bool listen_for(struct judge *j, int fd, uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;
	for (;;) {
		uint64_t now = clock_mono_ms();
		if (ms && now >= end)
			return true;
		struct pollfd p = { fd, POLLIN, 0 };
		if (poll(&p, 1, ms ? (int)(end - now) : -1) <= 0)
			continue;
		struct report r;
		ssize_t n = read(fd, &r, sizeof(r));
		if (n != (ssize_t)sizeof(r))
			return n < 0 && errno == EINTR;
		take(j, &r);
	}
}

static int by_rev(const void *a, const void *b)
{
	int64_t x = ((const struct ack *)a)->rev;
	int64_t y = ((const struct ack *)b)->rev;
	return x < y ? -1 : x > y;
}

static void check_acks(struct judge *j, const struct store_event *ev)
{
	char value[64];
	record_text(value, bytes_str(ev->value));
	if (ev->rev <= j->last)
		complain(j, "a revision comes twice", value);
	j->last = ev->rev;
	while (j->at < j->n && j->ack[j->at].rev < ev->rev)
		complain(j, "an acknowledged write is lost", j->ack[j->at++].value);
	if (j->at < j->n && j->ack[j->at].rev == ev->rev) {
		if (strcmp(j->ack[j->at].value, value) != 0)
			complain(j, "an acknowledged write has another value", value);
		j->at++;
	}
}

/* The object that the log's last event of a key leaves. */
static void note_last(struct map *last, const struct store_event *ev)
{
	struct record_key *k = map_get(last, ev->key);
	if (!k) {
		k = mem_new(struct record_key, 1);
		(void)map_set(last, ev->key, k);
	}
	k->rev = ev->op == STORE_DELETE ? 0 : ev->rev;
	record_text(k->value, bytes_str(ev->value));
}

struct verdict {
	struct judge *j;
	struct map last; /* struct record_key */
};

static void judge_history(void *arg, const struct store_event *ev)
{
	struct verdict *v = arg;
	check_acks(v->j, ev);
	note_last(&v->last, ev);
}

static void judge_load(void *arg, struct str key, int64_t rev, int64_t create_rev,
		       struct bytes *value)
{
	struct judge *j = ((struct verdict *)arg)->j;
	(void)rev;
	(void)create_rev;
	j->loaded++;
	mem_free(map_set(&j->objects, key, mem_strndup(value->data, value->len)));
}

static void judge_events(void *arg, const struct store_event *ev, size_t n, int64_t rev)
{
	(void)arg;
	(void)ev;
	(void)n;
	(void)rev;
}

static void compare_objects(struct verdict *v)
{
	size_t pos = 0;
	size_t alive = 0;
	struct str key;
	void *value = NULL;
	while (map_next(&v->last, &pos, &key, &value)) {
		const struct record_key *k = value;
		const char *is = map_get(&v->j->objects, key);
		alive += k->rev != 0;
		if (k->rev ? !is || strcmp(is, k->value) != 0 : is != NULL)
			complain(v->j, "an object is not what the log says", k->value);
		mem_free(value);
	}
	if (alive != v->j->loaded)
		complain(v->j, "objects that the log does not know", "");
	map_fini(&v->last);
	pos = 0;
	while (map_next(&v->j->objects, &pos, NULL, &value))
		mem_free(value);
	map_fini(&v->j->objects);
}

static void check(struct judge *j)
{
	struct verdict v = { .j = j };
	qsort(j->ack, j->n, sizeof(j->ack[0]), by_rev);
	j->at = j->loaded = 0;
	j->last = 0;
	struct record unused;
	record_init(&unused);
	struct store_config cfg = config_of(j->url, &unused);
	cfg.handlers = (struct store_handlers){ .on_load = judge_load,
						.on_history = judge_history,
						.on_events = judge_events,
						.arg = &v };
	struct store *s = NULL;
	struct error err = { 0 };
	if (store_open(&cfg, &s, &err) < 0)
		complain(j, "the store does not open", err.msg);
	(void)store_close(s);
	record_fini(&unused);
	while (j->at < j->n)
		complain(j, "an acknowledged write is lost", j->ack[j->at++].value);
	compare_objects(&v);
}

/* ---- rounds ---- */

static void kill_postmaster(const char *dir)
{
	char path[128];
	int pid = 0;
	(void)snprintf(path, sizeof(path), "%s/data/postmaster.pid", dir);
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, "%d", &pid) == 1 && pid > 1)
		(void)kill(pid, SIGKILL);
	if (f)
		(void)fclose(f);
}

static void start_postmaster(struct judge *j, const char *dir)
{
	const char *src = getenv("RCTL_SRC") ? getenv("RCTL_SRC") : ".";
	char cmd[512];
	(void)snprintf(cmd, sizeof(cmd), "'%s/scripts/pg-private' start '%s' >/dev/null 2>&1", src,
		       dir);
	/* The dead server's backends go by themselves, in their own time. */
	for (int i = 0; i < 50; i++) {
		if (system(cmd) == 0)
			return;
		(void)usleep(200000);
	}
	complain(j, "the server does not start again", dir);
}

static bool run_round(struct judge *j, unsigned round, uint64_t *seed, const char *server_dir)
{
	int fds[2];
	if (pipe(fds) != 0)
		return false;
	uint64_t child_seed = next(seed);
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		return false;
	if (pid == 0) {
		(void)close(fds[0]);
		run_child(j->url, fds[1], round, child_seed);
	}
	(void)close(fds[1]);
	size_t before = j->n;
	bool alive = true;
	while (alive && j->n == before)
		alive = listen_for(j, fds[0], 1);
	if (alive)
		alive = listen_for(j, fds[0], 1 + next(seed) % 100);
	if (alive && server_dir) {
		kill_postmaster(server_dir);
		alive = listen_for(j, fds[0], 1 + next(seed) % 300);
		start_postmaster(j, server_dir);
		size_t at_restart = j->n;
		while (alive && j->n < at_restart + 100)
			alive = listen_for(j, fds[0], 10);
	}
	if (!alive)
		complain(j, "the child ended by itself", "");
	(void)kill(pid, SIGKILL);
	while (listen_for(j, fds[0], 0))
		continue;
	(void)close(fds[0]);
	(void)waitpid(pid, NULL, 0);
	check(j);
	return j->wrong == 0;
}

static int run_rounds(struct judge *j, unsigned rounds, uint64_t seed, const char *server_dir)
{
	unsigned done = 0;
	bool ok = true;
	for (; done < rounds && ok; done++)
		ok = run_round(j, done, &seed, server_dir);
	(void)printf("%u rounds, %zu writes acknowledged, %zu wrong\n", done, j->n, j->wrong);
	mem_free(j->ack);
	return ok ? 0 : 1;
}

static int run_sqlite(unsigned rounds, uint64_t seed)
{
	char dir[] = "/tmp/rctl-crash-XXXXXX";
	char text[128];
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(text, sizeof(text), "sqlite:%s/s.db", dir);
	struct judge j = { .url = text };
	int rc = run_rounds(&j, rounds, seed, NULL);
	char cmd[128];
	(void)snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd) == 0 ? rc : 1;
}

static int run_postgres(unsigned rounds, uint64_t seed, bool kill_server)
{
	struct pg_private pg;
	char url[512];
	if (kill_server) /* a server of our own, whatever others use */
		(void)unsetenv("RCTL_TEST_POSTGRES");
	pg_private_start(&pg);
	if (!pg_private_url(url, sizeof(url), "crash_store"))
		return 0; /* said why */
	struct judge j = { .url = url };
	int rc = run_rounds(&j, rounds, seed, kill_server ? pg.dir : NULL);
	pg_private_stop(&pg);
	return rc;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : clock_random_u64();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)printf("seed %llu\n", (unsigned long long)(seed |= 1));
	if (strcmp(kind, "sqlite") == 0)
		return run_sqlite(rounds, seed);
	if (strcmp(kind, "postgres") == 0 || strcmp(kind, "postmaster") == 0)
		return run_postgres(rounds, seed, strcmp(kind, "postmaster") == 0);
	(void)fprintf(stderr, "usage: crash_store sqlite|postgres|postmaster [ROUNDS [SEED]]\n");
	return 2;
}
