/*
 * bench_alerts - what alerts cost: the core and its database, from an evaluation to the end of each notification.
 *
 *   bench_alerts [ALERTS [STORE]]      default 10000, in as many groups; sqlite: a file in $TMPDIR that is deleted
 *
 *   burst      ALERTS alerts fire at once, each a group and a notification; until each is known to have arrived
 *   heartbeat  the same result again: nothing changes
 *   latency    one alert at a time: evaluation → its notification may be posted, the row being committed
 *
 * The receiver is a function: HTTP is not in it.  Every lease of a post is a durable commit.
 */
#include "base/mem.h"
#include "core.h"
#include "json/json.h"
#include "sys/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LATENCIES = 500 };

struct bench {
	struct alert_db *db;
	struct core *core;
	struct receiver *receiver;
	int64_t epoch;
	size_t sent, commits;
};

static double cpu_s(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double resident_mb(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}

static void check(int rc, const struct error *err)
{
	if (!rc)
		return;
	(void)fprintf(stderr, "%s\n", err->msg);
	exit(1);
}

static double seconds(void)
{
	return (double)clock_unix_ns() / 1e9;
}

/* One batch to the database; then what may be posted is answered 200. */
static bool turn(struct bench *b)
{
	struct arena a = { 0 };
	struct alert_batch batch;
	struct error err = { 0 };
	core_run(b->core, clock_unix_ms());
	bool any = core_flush(b->core, clock_unix_ms(), &a, &batch);
	if (any) {
		check(alert_db_commit(b->db, b->epoch, &batch, &err), &err);
		b->commits++;
	}
	core_flushed(b->core);
	arena_fini(&a);
	return any;
}

static void answer(struct bench *b)
{
	struct core_send s;
	while (core_next_send(b->core, clock_unix_ms(), &s)) {
		char idem[64];
		const struct core_sent sent = { .status = 200 };
		(void)snprintf(idem, sizeof(idem), "%.*s", STR_ARG(s.idem));
		(void)core_sent(b->core, str_of(idem), &sent, clock_unix_ms(), 0);
		b->sent++;
	}
}

static void observe(struct bench *b, struct str rule, size_t n)
{
	struct arena a = { 0 };
	struct core_seen *seen = arena_new(&a, struct core_seen, n);
	struct label *text = arena_new(&a, struct label, 1);
	struct error err = { 0 };
	text[0] = (struct label){ STR("summary"), STR("The disk of a node is nearly full") };
	for (size_t i = 0; i < n; i++) {
		struct label *l = arena_new(&a, struct label, 5);
		l[0] = (struct label){ STR("alertname"), STR("NodeDiskFull") };
		l[1] = (struct label){ STR("cluster"), STR("r1c1") };
		l[2] = (struct label){ STR("node"), arena_strf(&a, "r1c1n%zu", i) };
		l[3] = (struct label){ STR("rule"), rule };
		l[4] = (struct label){ STR("severity"), STR("critical") };
		seen[i] = (struct core_seen){ .labels = { l, 5 },
					      .annotations = { text, 1 },
					      .value = (double)i };
	}
	const struct core_round r = {
		.rule = rule, .expr = STR("disk_free < 0.1"), .seen = seen, .len = n
	};
	check(core_observe(b->core, &r, clock_unix_ms(), &err), &err);
	arena_fini(&a);
}

static void begin(struct bench *b, const char *store)
{
	struct arena a = { 0 };
	struct alert_image image;
	struct error err = { 0 };
	struct json j;
	check(alert_db_open(store, &b->db, &err), &err);
	check(alert_db_claim(b->db, STR("lease"), 1, &a, &image, &err), &err);
	b->epoch = image.epoch;
	b->core = core_new(&(struct core_config){
		.origin = STR("r1c1"), .deadline_ms = 900000, .retention_ms = 86400000 });
	core_load(b->core, &image, clock_unix_ms());
	check(json_parse(&a,
			 STR("{\"metadata\":{\"namespace\":\"ns\",\"name\":\"r\"},\"spec\":{"
			     "\"groupBy\":[\"...\"],\"groupWait\":\"0s\",\"groupInterval\":\"1s\","
			     "\"webhook\":{\"url\":\"http://x/\"}}}"),
			 NULL, &j, &err),
	      &err);
	b->receiver = receiver_new(STR("ns/r"), &j);
	core_set_receiver(b->core, b->receiver);
	core_receivers_known(b->core);
	arena_fini(&a);
}

static void burst(struct bench *b, size_t n)
{
	double wall = seconds();
	double cpu = cpu_s();
	observe(b, STR("ns/r/g/burst"), n);
	while (b->sent < n && turn(b))
		answer(b);
	(void)turn(b); /* the ends of the last ones */
	wall = seconds() - wall;
	cpu = cpu_s() - cpu;
	(void)printf("burst: %zu alerts in %zu groups, %zu notifications, %zu commits: %.0f/s, "
		     "%.0f per CPU-s, %.0f MB resident at most\n",
		     n, n, b->sent, b->commits, (double)n / wall, (double)n / cpu, resident_mb());
	cpu = cpu_s();
	for (int i = 0; i < 10; i++) {
		observe(b, STR("ns/r/g/burst"), n);
		(void)turn(b);
	}
	(void)printf("heartbeat: %.0f alerts per CPU-s\n", 10 * (double)n / (cpu_s() - cpu));
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void latency(struct bench *b)
{
	double *v = mem_new(double, LATENCIES);
	for (size_t i = 0; i < LATENCIES; i++) {
		struct arena a = { 0 };
		size_t before = b->sent;
		double start = seconds();
		observe(b, arena_strf(&a, "ns/r/g/one%zu", i), 1);
		for (int k = 0; k < 3 && b->sent == before; k++) {
			(void)turn(b);
			answer(b);
		}
		v[i] = seconds() - start;
		(void)turn(b);
		arena_fini(&a);
	}
	qsort(v, LATENCIES, sizeof(*v), by_value);
	(void)printf("latency: p50 %.2f ms, p99 %.2f ms\n", v[LATENCIES / 2] * 1000,
		     v[LATENCIES * 99 / 100] * 1000);
	mem_free(v);
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 10000;
	const char *tmp = getenv("TMPDIR");
	struct arena a = { 0 };
	char *path = arena_printf(&a, "%s/bench_alerts.%d.db", tmp ? tmp : "/tmp", (int)getpid());
	struct bench b = { 0 };
	begin(&b, argc > 2 ? argv[2] : arena_printf(&a, "sqlite:%s", path));
	burst(&b, n);
	latency(&b);
	b.core = core_free(b.core);
	(void)receiver_free(b.receiver);
	(void)alert_db_close(b.db);
	static const char *const parts[] = { "", "-wal", "-shm" };
	for (size_t i = 0; argc <= 2 && i < 3; i++)
		(void)unlink(arena_printf(&a, "%s%s", path, parts[i]));
	arena_fini(&a);
	return 0;
}
