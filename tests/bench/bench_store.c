/*
 * bench_store [SECONDS [URL...]] - durable compare-and-swap writes of 1 KiB.
 *
 * Without URLs: memory, an SQLite file in $TMPDIR (/tmp) and a private PostgreSQL, its
 * defaults unchanged.  A client has one write in flight and makes the next when the answer
 * comes.  Prints writes/s, latency, and CPU a write: ours, and of all processes named postgres.
 */
#include "base/mem.h"
#include "store/store.h"
#include "sys/clock.h"
#include "tests/fixtures/pg_private.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { KEYS = 16384, VALUE = 1024, CLIENTS_MAX = 256, SAMPLES = 1 << 22 };

struct client {
	struct bench *b;
	unsigned id;
	uint64_t since_us;
	size_t key;
};

struct bench {
	struct store *s;
	unsigned clients;
	int64_t rev[KEYS];
	struct bytes *value;
	struct client client[CLIENTS_MAX];
	uint32_t *sample;
	_Atomic size_t samples;
	_Atomic size_t failed, inflight;
	_Atomic int phase; /* 0 = warm up, 1 = measure, 2 = end */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	uint64_t seed;
};

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void on_load(void *arg, struct str key, int64_t rev, int64_t create_rev, struct bytes *value)
{
	struct bench *b = arg;
	int64_t n = 0;
	(void)create_rev;
	(void)value;
	if (str_to_i64(str_sub(key, key.len - 5, key.len), &n) && n >= 0 && n < KEYS)
		b->rev[n] = rev;
}

static void on_history(void *arg, const struct store_event *ev)
{
	(void)arg;
	(void)ev;
}

static void on_events(void *arg, const struct store_event *ev, size_t n, int64_t rev)
{
	(void)arg;
	(void)ev;
	(void)n;
	(void)rev;
}

static void submit(struct client *c);

static void leave(struct bench *b)
{
	if (atomic_fetch_sub(&b->inflight, 1) != 1)
		return;
	pthread_mutex_lock(&b->lock);
	pthread_cond_signal(&b->idle);
	pthread_mutex_unlock(&b->lock);
}

static void on_done(void *arg, const struct store_result *r, size_t n)
{
	struct client *c = arg;
	struct bench *b = c->b;
	(void)n;
	int phase = atomic_load(&b->phase);
	if (r->code != ERR_OK)
		atomic_fetch_add(&b->failed, 1);
	else
		b->rev[c->key] = r->rev;
	if (phase == 1) {
		size_t i = atomic_fetch_add(&b->samples, 1);
		if (i < SAMPLES)
			b->sample[i] = (uint32_t)(clock_mono_us() - c->since_us);
	}
	if (phase == 2)
		leave(b);
	else
		submit(c);
}

/* Each client has keys of its own, so that every compare succeeds. */
static void submit(struct client *c)
{
	struct bench *b = c->b;
	size_t share = KEYS / b->clients;
	c->key = c->id * share + next(&b->seed) % share;
	c->since_us = clock_mono_us();
	char key[64];
	int len = snprintf(key, sizeof(key), "apps/deployments/ns-%02zu/app-%05zu", c->key % 64,
			   c->key);
	struct store_write w = {
		.op = b->rev[c->key] ? STORE_UPDATE : STORE_CREATE,
		.key = str_n(key, (size_t)len),
		.want_rev = b->rev[c->key],
		.value = b->value,
	};
	store_submit(b->s, &w, 1, false, on_done, c);
}

static uint64_t own_cpu_us(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Of all processes named postgres: fields 14 and 15 of /proc/PID/stat. */
static uint64_t postgres_cpu_us(void)
{
	uint64_t ticks = 0;
	DIR *d = opendir("/proc");
	if (!d)
		return 0;
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		char path[300];
		char line[1024] = "";
		unsigned long user = 0;
		unsigned long system = 0;
		(void)snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(line, sizeof(line), f) && strstr(line, "(postgres)") &&
		    sscanf(strchr(line, ')'),
			   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) == 2)
			ticks += user + system;
		(void)fclose(f);
	}
	(void)closedir(d);
	return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void pause_ms(uint64_t ms)
{
	struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
	(void)nanosleep(&t, NULL);
}

static void run(struct bench *b, const char *name, unsigned clients, double seconds)
{
	b->clients = clients;
	atomic_store(&b->phase, 0);
	atomic_store(&b->samples, 0);
	atomic_store(&b->failed, 0);
	atomic_store(&b->inflight, clients);
	for (unsigned i = 0; i < clients; i++) {
		b->client[i] = (struct client){ .b = b, .id = i };
		submit(&b->client[i]);
	}
	pause_ms(500);
	uint64_t own = own_cpu_us();
	uint64_t server = postgres_cpu_us();
	uint64_t from = clock_mono_us();
	atomic_store(&b->phase, 1);
	pause_ms((uint64_t)(seconds * 1000));
	atomic_store(&b->phase, 2);
	uint64_t us = clock_mono_us() - from;
	own = own_cpu_us() - own;
	server = postgres_cpu_us() - server;
	pthread_mutex_lock(&b->lock);
	while (atomic_load(&b->inflight))
		pthread_cond_wait(&b->idle, &b->lock);
	pthread_mutex_unlock(&b->lock);
	size_t n = atomic_load(&b->samples);
	size_t kept = n < SAMPLES ? n : SAMPLES;
	if (n == 0) {
		(void)printf("%-9s %3u clients: no write succeeded\n", name, clients);
		return;
	}
	qsort(b->sample, kept, sizeof(b->sample[0]), by_value);
	(void)printf("%-9s %3u clients %8.0f writes/s  p50 %7.2f ms  p99 %7.2f ms"
		     "  CPU/write %5.1f us own %5.1f us postgres  failed %zu\n",
		     name, clients, (double)n * 1e6 / (double)us, b->sample[kept / 2] / 1e3,
		     b->sample[kept * 99 / 100] / 1e3, (double)own / (double)n,
		     strncmp(name, "postgres", 8) == 0 ? (double)server / (double)n : 0,
		     atomic_load(&b->failed));
	(void)fflush(stdout);
}

static int bench_url(const char *url, double seconds)
{
	static const unsigned CLIENTS[] = { 1, 16, 64 };
	struct bench *b = mem_new(struct bench, 1);
	b->sample = mem_new(uint32_t, SAMPLES);
	b->seed = 88172645463325252U;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->idle, NULL);
	char value[VALUE];
	for (size_t i = 0; i < VALUE; i++)
		value[i] = (char)('a' + next(&b->seed) % 26);
	b->value = bytes_new(value, VALUE);
	struct store_config cfg = { STORE_CONFIG_DEFAULTS, .url = url,
				    .handlers = { .on_load = on_load,
						  .on_history = on_history,
						  .on_events = on_events,
						  .arg = b } };
	struct error err = { 0 };
	int rc = store_open(&cfg, &b->s, &err);
	if (rc < 0) {
		(void)fprintf(stderr, "bench_store: %s: %s\n", url, err.msg);
	} else {
		char name[16];
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(url, ":"), url);
		for (size_t i = 0; i < sizeof(CLIENTS) / sizeof(CLIENTS[0]); i++)
			run(b, name, CLIENTS[i], seconds);
		b->s = store_close(b->s);
	}
	bytes_unref(b->value);
	mem_free(b->sample);
	mem_free(b);
	return rc;
}

static int bench_sqlite(double seconds)
{
	char dir[256];
	char text[512];
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(dir, sizeof(dir), "%s/rctl-bench-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(text, sizeof(text), "sqlite:%s/s.db", dir);
	int rc = bench_url(text, seconds);
	(void)snprintf(text, sizeof(text), "rm -r '%s'", dir);
	return system(text) == 0 ? rc : -1;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 5;
	int failures = 0;
	for (int i = 2; i < argc; i++)
		failures += bench_url(argv[i], seconds) < 0;
	if (argc > 2)
		return failures != 0;
	failures += bench_url("memory:", seconds) < 0;
	failures += bench_sqlite(seconds) < 0;
	struct pg_private pg;
	char url[512];
	pg_private_start(&pg);
	if (pg_private_url(url, sizeof(url), "bench_store"))
		failures += bench_url(url, seconds) < 0;
	pg_private_stop(&pg);
	return failures != 0;
}
