/*
 * crash_failover sync|async [ROUNDS [SEED]] - the primary dies under load, its standby is promoted.
 *
 * Two stores write to the same database and follow it.  Each round the standby stops receiving for a moment, the
 * primary is killed, the standby takes over, and a new standby is made of it.  With a synchronous standby nothing
 * acknowledged may be lost; with an asynchronous one losses are counted, and nobody who saw what was lost may be
 * told anything but the loss.  Either way no revision is used twice, and tests/checker judges the rest.
 */
#include "base/mem.h"
#include "store/store.h"
#include "sys/clock.h"
#include "tests/checker/checker.h"
#include "tests/fixtures/pg_private.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>

enum { STORES = 2, CLIENTS = 8, KEYS = 40, ITEMS_MAX = KEYS, PATIENCE_MS = 120000 };

struct test;

struct client {
	struct test *t;
	unsigned store;
	uint32_t id; /* of the write under way; 0 = none */
	int key;
};

struct node {
	struct test *t;
	struct store *s;
	struct checker_watch *seen;
	struct {
		int64_t rev;
		uint32_t id;
	} keys[KEYS];
	bool live, lost;
	int64_t floor;
};

struct test {
	pthread_mutex_t lock; /* over all that follows */
	struct checker *checker;
	struct node nodes[STORES];
	struct client clients[CLIENTS];
	int64_t closed; /* first revision of the last epoch known */
	uint64_t acked, seed;
	bool stopping;
	char url[512];
	unsigned restarts;
};

static uint64_t chance(struct test *t, uint64_t n)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return (t->seed >> 11) % n;
}

static int key_of(struct str key)
{
	int64_t n = 0;
	(void)str_to_i64(str_sub(key, 1, key.len), &n);
	return (int)n;
}

static uint32_t id_of(const struct bytes *value)
{
	int64_t n = 0;
	(void)str_to_i64(bytes_str(value), &n);
	return (uint32_t)n;
}

/* ---- what a store tells; its handlers come one at a time, but those of two stores at once ---- */

static void on_load(void *arg, struct str key, int64_t rev, int64_t create_rev, struct bytes *value)
{
	struct node *n = arg;
	(void)create_rev;
	n->keys[key_of(key)].rev = rev;
	n->keys[key_of(key)].id = id_of(value);
}

static void on_history(void *arg, const struct store_event *ev)
{
	(void)arg;
	(void)ev;
}

/* The state that it begins with is a list. */
static void begin(struct node *n, int64_t rev)
{
	struct checker_item items[ITEMS_MAX];
	size_t len = 0;
	for (int i = 0; i < KEYS; i++)
		if (n->keys[i].rev)
			items[len++] = (struct checker_item){ n->keys[i].rev, n->keys[i].id };
	checker_listed(n->t->checker, n->floor, rev, items, len);
	checker_watch_listed(n->seen, rev);
	n->live = true;
}

static void on_events(void *arg, const struct store_event *ev, size_t len, int64_t rev)
{
	struct node *n = arg;
	pthread_mutex_lock(&n->t->lock);
	if (!n->live)
		begin(n, rev);
	for (size_t i = 0; i < len; i++) {
		char key[CHECKER_KEY_BYTES];
		int at = key_of(ev[i].key);
		(void)snprintf(key, sizeof(key), "%.*s", STR_ARG(ev[i].key));
		n->keys[at].rev = ev[i].op == STORE_DELETE ? 0 : ev[i].rev;
		n->keys[at].id = id_of(ev[i].value);
		checker_watch_event(n->seen,
				    ev[i].op == STORE_CREATE   ? CHECKER_ADDED
				    : ev[i].op == STORE_UPDATE ? CHECKER_MODIFIED
							       : CHECKER_DELETED,
				    key, ev[i].rev, id_of(ev[i].value));
	}
	checker_watch_bookmark(n->seen, rev);
	pthread_mutex_unlock(&n->t->lock);
}

static void on_compacted(void *arg, int64_t rev)
{
	(void)arg;
	(void)rev;
}

static void on_epoch(void *arg, int64_t last, int64_t first)
{
	struct test *t = ((struct node *)arg)->t;
	pthread_mutex_lock(&t->lock);
	if (first > t->closed) {
		t->closed = first;
		checker_closed(t->checker, last, first);
	}
	pthread_mutex_unlock(&t->lock);
}

static void on_lost(void *arg, const char *why)
{
	struct node *n = arg;
	(void)why;
	pthread_mutex_lock(&n->t->lock);
	n->lost = true;
	pthread_mutex_unlock(&n->t->lock);
}

/* ---- clients ---- */

static void on_written(void *arg, const struct store_result *r, size_t n)
{
	struct client *c = arg;
	struct test *t = c->t;
	(void)n;
	pthread_mutex_lock(&t->lock);
	checker_written(t->checker, c->id,
			r->code == ERR_OK                                  ? CHECKER_ACKED
			: r->code == ERR_CONFLICT || r->code == ERR_EXISTS ? CHECKER_REFUSED
									   : CHECKER_UNKNOWN,
			r->rev);
	t->acked += r->code == ERR_OK;
	c->id = 0;
	pthread_mutex_unlock(&t->lock);
}

static void write_one(struct client *c)
{
	struct test *t = c->t;
	struct node *n = &t->nodes[c->store];
	char key[16], value[16];
	pthread_mutex_lock(&t->lock);
	c->key = (int)chance(t, KEYS);
	int64_t rev = n->keys[c->key].rev;
	uint32_t last = n->keys[c->key].id;
	bool removes = rev && chance(t, 6) == 0;
	(void)snprintf(key, sizeof(key), "k%d", c->key);
	c->id = checker_write(t->checker,
			      !rev      ? CHECKER_CREATE
			      : removes ? CHECKER_DELETE
					: CHECKER_UPDATE,
			      key, rev);
	(void)snprintf(value, sizeof(value), "%u", removes ? last : c->id);
	pthread_mutex_unlock(&t->lock);
	struct store_write w = { .op = !rev      ? STORE_CREATE
				       : removes ? STORE_DELETE
						 : STORE_UPDATE,
				 .key = str_of(key),
				 .want_rev = rev,
				 .value = bytes_of_str(str_of(value)) };
	store_submit(n->s, &w, 1, false, on_written, c);
	bytes_unref(w.value);
}

/* ---- stores ---- */

static bool node_open(struct node *n)
{
	struct error err = { 0 };
	struct store_config cfg = { STORE_CONFIG_DEFAULTS, .url = n->t->url,
				    .handlers = { on_load, on_history, on_events, on_compacted,
						  on_epoch, on_lost, n } };
	memset(n->keys, 0, sizeof(n->keys));
	n->live = n->lost = false;
	pthread_mutex_lock(&n->t->lock);
	n->floor = checker_list_floor(n->t->checker);
	pthread_mutex_unlock(&n->t->lock);
	for (uint64_t until = clock_mono_ms() + PATIENCE_MS; clock_mono_ms() < until;) {
		if (store_open(&cfg, &n->s, &err) == 0)
			return true;
		(void)usleep(50000);
	}
	(void)printf("not ok: the store does not open: %s\n", err.msg);
	return false;
}

/* What lost its history starts again, as a process would. */
static bool mend(struct test *t)
{
	for (int i = 0; i < STORES; i++) {
		struct node *n = &t->nodes[i];
		pthread_mutex_lock(&t->lock);
		bool lost = n->lost;
		pthread_mutex_unlock(&t->lock);
		if (!lost)
			continue;
		n->s = store_close(n->s);
		t->restarts++;
		if (!node_open(n))
			return false;
	}
	return true;
}

static bool load(struct test *t, uint64_t ms, uint64_t acks)
{
	uint64_t now = clock_mono_ms();
	uint64_t until = now + ms;
	uint64_t late = now + PATIENCE_MS;
	pthread_mutex_lock(&t->lock);
	uint64_t want = t->acked + acks;
	pthread_mutex_unlock(&t->lock);
	for (;;) {
		pthread_mutex_lock(&t->lock);
		bool enough = t->acked >= want;
		uint32_t busy[CLIENTS];
		for (int i = 0; i < CLIENTS; i++)
			busy[i] = t->clients[i].id;
		pthread_mutex_unlock(&t->lock);
		now = clock_mono_ms();
		if (enough && now >= until)
			return true;
		if (now > late) {
			(void)printf("not ok: nothing was acknowledged for %d s\n",
				     PATIENCE_MS / 1000);
			return false;
		}
		if (!mend(t))
			return false;
		for (int i = 0; i < CLIENTS; i++)
			if (!busy[i])
				write_one(&t->clients[i]);
		(void)usleep(500);
	}
}

/* ---- servers ---- */

static bool sh(const char *fmt, const char *a, const char *b)
{
	char cmd[1024];
	const char *src = getenv("RCTL_SRC") ? getenv("RCTL_SRC") : ".";
	int at = snprintf(cmd, sizeof(cmd), "{ src='%s' a='%s' b='%s'; %s; } >/dev/null 2>&1", src,
			  a, b, fmt);
	return at < (int)sizeof(cmd) && system(cmd) == 0;
}

static bool make_standby(const char *dir, const char *of)
{
	return sh("\"$src/scripts/pg-private\" standby \"$a\" \"$b\"", dir, of);
}

static bool failover(struct test *t, const char *old, const char *new)
{
	/* the last moments do not reach the standby */
	static const char receiver[] =
		"r=$(pgrep -P $(head -n 1 \"$a/data/postmaster.pid\") -f walreceiver)";
	char stop[256], go[256];
	(void)snprintf(stop, sizeof(stop), "%s && kill -STOP $r", receiver);
	(void)snprintf(go, sizeof(go), "%s && kill -CONT $r", receiver);
	bool stopped = sh(stop, new, "");
	bool ok = load(t, 30 + chance(t, 200), 0);
	ok = ok && sh("kill -9 $(head -n 1 \"$a/data/postmaster.pid\")", old, "");
	if (stopped)
		(void)sh(go, new, "");
	return ok && sh("\"$src/scripts/pg-private\" promote \"$a\"", new, "");
}

static bool run(struct test *t, bool synchronous, unsigned rounds, char dirs[2][64])
{
	bool ok = true;
	for (unsigned i = 0; i < rounds && ok; i++) {
		const char *primary = dirs[i % 2];
		const char *standby = dirs[(i + 1) % 2];
		if (synchronous && i == 0) /* the standby takes the setting over */
			ok = sh("\"$src/scripts/pg-private\" sync \"$a\"", primary, "");
		ok = ok && make_standby(standby, primary);
		ok = ok && load(t, 200 + chance(t, 300), 100);
		ok = ok && failover(t, primary, standby);
		(void)sh("\"$src/scripts/pg-private\" stop \"$a\"", primary, "");
		if (ok && !synchronous)
			ok = load(t, 100, 100);
		if (!ok)
			(void)printf("not ok: round %u\n", i);
	}
	/* so that the last word of a synchronous one is heard */
	ok = ok && make_standby(dirs[(rounds + 1) % 2], dirs[rounds % 2]) && load(t, 100, 100);
	return ok;
}

static bool judge(struct test *t, bool synchronous, unsigned rounds)
{
	for (int i = 0; i < STORES; i++)
		t->nodes[i].s = store_close(t->nodes[i].s);
	/* who comes last sees the end of it all */
	bool ok = node_open(&t->nodes[0]);
	t->nodes[0].s = store_close(t->nodes[0].s);
	struct checker_verdict v;
	ok = checker_holds(t->checker, &v) && ok;
	if (ok && synchronous && v.lost) {
		ok = false;
		(void)snprintf(v.why, sizeof(v.why), "%zu acknowledged writes were lost", v.lost);
	}
	(void)printf(
		"%s: %u failovers to a%ssynchronous standby, %zu writes acknowledged, %zu lost, "
		"%zu unknown; %u stores began again; %zu events and %zu lists checked%s%s\n",
		ok ? "ok" : "not ok", rounds, synchronous ? " " : "n a", v.acked, v.lost, v.unknown,
		t->restarts, v.events, v.lists, v.why[0] ? ": " : "", v.why);
	return ok;
}

int main(int argc, char **argv)
{
	bool synchronous = argc > 1 && strcmp(argv[1], "sync") == 0;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 3;
	static struct test t;
	t.seed = argc > 3 ? strtoull(argv[3], NULL, 0) : clock_random_u64() | 1;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)printf("# seed %" PRIu64 "\n", t.seed);
	/* servers of its own, whatever others use */
	(void)unsetenv("RCTL_TEST_POSTGRES");
	char dirs[2][64];
	struct pg_private pg;
	pg_private_start(&pg);
	if (!getenv("RCTL_TEST_POSTGRES"))
		return 77;
	(void)snprintf(dirs[0], sizeof(dirs[0]), "%s", pg.dir);
	(void)snprintf(dirs[1], sizeof(dirs[1]), "%s-b", pg.dir);
	(void)snprintf(t.url, sizeof(t.url),
		       "postgres://postgres@/postgres?host=%s,%s&schema=failover", dirs[0],
		       dirs[1]);
	pthread_mutex_init(&t.lock, NULL);
	t.checker = checker_new();
	bool ok = true;
	for (unsigned i = 0; i < STORES; i++) {
		t.nodes[i].t = &t;
		t.nodes[i].seen = checker_watch(t.checker);
		ok = ok && node_open(&t.nodes[i]);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		t.clients[i] = (struct client){ .t = &t, .store = i % STORES };
	ok = ok && run(&t, synchronous, rounds, dirs);
	ok = ok && judge(&t, synchronous, rounds);
	t.checker = checker_free(t.checker);
	for (int i = 0; i < 2; i++)
		(void)sh("\"$src/scripts/pg-private\" stop \"$a\"", dirs[i], "");
	pg_private_stop(&pg);
	return ok ? 0 : 1;
}
