/*
 * bench_telemetry - what samples and log lines cost: bytes each, and how many a CPU-second takes.
 *
 *   bench_telemetry [SERIES [STEPS]]      default 10000 series, 340 steps of 15 s
 *
 * Series are a mix as nodes have them: counters, gauges with decimals, constants, noise.  CPU-seconds are those of
 * the whole process: journal, commit, checkpoint; the records are made before.
 */
#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "telemetry/chunk.h"
#include "telemetry/logchunk.h"
#include "telemetry/mstore.h"
#include "telemetry/record.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static double cpu_s(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t state = 88172645463325252ULL;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* The next value of series i. */
static double next_value(size_t i, double before)
{
	switch (i % 5) {
	case 0:
		return before + (double)(rnd() % 1500);
	case 1:
		return before + (double)(rnd() % 1500) / 100;
	case 2:
		return (double)(i % 17);
	case 3:
		return (double)(rnd() % 10000) * 4096;
	default:
		return before + ((double)(rnd() % 2001) - 1000) / 1000;
	}
}

static void bench_codec(size_t series, size_t steps)
{
	struct sample *s = mem_new(struct sample, steps), back[CHUNK_SAMPLES_MAX];
	size_t bytes = 0, n = series * steps;
	double encode = 0, decode = 0;
	for (size_t i = 0; i < series; i++) {
		struct buf b = { 0 };
		double v = 0;
		for (size_t k = 0; k < steps; k++)
			s[k] = (struct sample){ 1700000100000 + (int64_t)k * 15000,
						v = next_value(i, v) };
		double t0 = cpu_s();
		for (size_t k = 0; k < steps; k += 480)
			chunk_encode(s + k, steps - k < 480 ? steps - k : 480, &b);
		encode += cpu_s() - t0;
		bytes += b.len;
		buf_clear(&b);
		chunk_encode(s, steps < 480 ? steps : 480, &b);
		t0 = cpu_s();
		for (size_t k = 0; k < steps; k += 480)
			if (!chunk_decode(buf_str(&b), back))
				abort();
		decode += cpu_s() - t0;
		buf_fini(&b);
	}
	printf("codec: %.2f bytes/sample, encode %.1f ns, decode %.1f ns a sample\n",
	       (double)bytes / (double)n, encode * 1e9 / (double)n, decode * 1e9 / (double)n);
	mem_free(s);
}

/* ---- the whole store on SQLite ---- */

struct flow {
	uint64_t records;
	bool opened;
};

static void on_opened(void *arg, uint64_t acked, uint32_t known)
{
	(void)acked;
	(void)known;
	((struct flow *)arg)->opened = true;
}

static void on_acked(void *arg, uint64_t acked, uint64_t records, uint64_t refused,
		     const char *reason)
{
	(void)acked;
	(void)reason;
	if (refused)
		abort();
	((struct flow *)arg)->records += records;
}

static void on_failed(void *arg, const struct error *err)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", err->msg);
	abort();
}

static void on_closed(void *arg)
{
	(void)arg;
}

static void define(struct intake_stream *s, size_t series)
{
	struct buf table = { 0 }, one = { 0 }, l = { 0 }, text = { 0 };
	for (size_t i = 0; i < series; i++) {
		static const char *const names[] = { "container", "pod", "az" };
		buf_clear(&one);
		wire_add_field(&one, 1, i + 1);
		wire_add_field_bytes(&one, 2, STR("x"));
		for (size_t k = 0; k < 3; k++) {
			buf_clear(&l);
			buf_clear(&text);
			buf_addf(&text, "%s-%zu", names[k], k == 2 ? i % 4 : i / (k * 7 + 1));
			wire_add_field_bytes(&l, 1, str_of(names[k]));
			wire_add_field_bytes(&l, 2, buf_str(&text));
			wire_add_field_bytes(&one, 3, buf_str(&l));
		}
		wire_add_field_bytes(&table, 1, buf_str(&one));
	}
	intake_stream_series(s, buf_str(&table));
	buf_fini(&table);
	buf_fini(&one);
	buf_fini(&l);
	buf_fini(&text);
}

static int64_t db_bytes(const char *dir)
{
	char path[128];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/m.db", dir);
	return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

static long rss_kib(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

/* Records as an agent would send them: [steps]; of the mix, or of counters alone. */
static struct buf *make_records(size_t series, size_t steps, bool counters)
{
	struct record_sample *batch = mem_new(struct record_sample, series);
	struct buf *all = mem_new(struct buf, steps);
	int64_t start = clock_unix_ms() - (int64_t)steps * 15000;
	for (size_t k = 0; k < steps; k++) {
		for (size_t i = 0; i < series; i++)
			batch[i] = (struct record_sample){
				(uint32_t)i + 1, next_value(counters ? i % 2 : i, batch[i].v)
			};
		record_write_metrics(start - start % 15000 + (int64_t)k * 15000, 15000, batch,
				     series, &all[k]);
	}
	mem_free(batch);
	return all;
}

static void push_all(struct intake_stream *s, struct flow *f, struct loop *loop,
		     const struct buf *all, size_t steps)
{
	for (size_t k = 0; k < steps; k++) {
		intake_stream_record(s, k + 1, RECORD_METRICS, RECORD_PLAIN, buf_str(&all[k]));
		while (k > f->records + 64)
			loop_turn(loop, -1);
	}
	while (f->records < steps)
		loop_turn(loop, -1);
}

static void on_answer(void *arg, const struct error *err, struct str data)
{
	if (err)
		on_failed(NULL, err);
	*(size_t *)arg = data.len;
}

/* Over steps of 15 s up to now; range_ms 0 = now alone. */
static void ask(struct mstore *m, struct loop *loop, const char *text, int64_t range_ms)
{
	int64_t now = clock_unix_ms() / 15000 * 15000;
	const struct mstore_ask q = { .kind = range_ms ? MSTORE_RANGE : MSTORE_QUERY,
				      .text = str_of(text),
				      .start_ms = now - range_ms,
				      .end_ms = now,
				      .step_ms = 15000 };
	size_t len = 0;
	double t0 = cpu_s();
	mstore_ask(m, loop, &q, on_answer, &len);
	while (!len)
		loop_turn(loop, -1);
	printf("  %-36s %-12s %8.2f CPU-ms, %zu bytes\n", text, range_ms ? "1 h, 15 s" : "now",
	       (cpu_s() - t0) * 1000, len);
}

/* One store with its stream, open; what the process needs for it. */
struct bed {
	char dir[32], url[96];
	struct loop *loop;
	struct metrics *metrics;
	struct mstore *m;
	struct intake_stream *s;
	struct flow f;
};

static void bed_store(struct bed *b)
{
	const struct mstore_config cfg = { .url = b->url,
					   .retention_ms = 86400000,
					   .checkpoint_ms = 3600000,
					   .series_max = 10000000,
					   .label_bytes_max = 4096,
					   .query_samples_max = 1 << 30,
					   .query_ms = 60000,
					   .metrics = b->metrics };
	b->m = mstore_new(&cfg);
	while (intake_down(mstore_intake(b->m)))
		loop_turn(b->loop, 1);
}

static void bed_open(struct bed *b)
{
	static const struct label added[] = { { { "cluster", 7 }, { "c1", 2 } },
					      { { "node", 4 }, { "n1", 2 } } };
	const struct intake_handlers on = { on_opened, on_acked, on_failed, on_closed };
	const struct intake_open open = {
		.node = STR("n1"), .stream = 1, .incarnation = 1, .added = { added, 2 }
	};
	b->metrics = metrics_new();
	if (loop_new(&b->loop, NULL) != 0)
		abort();
	bed_store(b);
	b->s = intake_stream_open(mstore_intake(b->m), b->loop, &open, &on, &b->f);
	while (!b->f.opened)
		loop_turn(b->loop, -1);
}

static void bed_dir(struct bed *b)
{
	memcpy(b->dir, "/tmp/rctl-bench-XXXXXX", 23);
	if (!mkdtemp(b->dir))
		abort();
	(void)snprintf(b->url, sizeof(b->url), "sqlite:%s/m.db", b->dir);
}

static void free_records(struct buf *all, size_t steps)
{
	for (size_t k = 0; k < steps; k++)
		buf_fini(&all[k]);
	mem_free(all);
}

/* Killed with everything in its journal: how long until the store answers again. */
static void bench_restart(size_t series, size_t steps)
{
	struct bed b = { 0 };
	bed_dir(&b);
	(void)fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct buf *all = make_records(series, steps, false);
		bed_open(&b);
		define(b.s, series);
		push_all(b.s, &b.f, b.loop, all, steps);
		(void)raise(SIGKILL);
	}
	(void)waitpid(child, NULL, 0);
	b.metrics = metrics_new();
	if (loop_new(&b.loop, NULL) != 0)
		abort();
	double t0 = cpu_s();
	uint64_t wall = clock_mono_ms();
	bed_store(&b);
	printf("restart behind kill -9 (%zu samples in the journal): %.0f CPU-ms, %" PRIu64
	       " ms on the clock\n",
	       series * steps, (cpu_s() - t0) * 1000, clock_mono_ms() - wall);
	mstore_free(b.m);
	loop_free(b.loop);
	metrics_free(b.metrics);
	(void)!file_remove_tree(b.dir, NULL);
}

static void bench_store(size_t series, size_t steps, bool counters)
{
	struct bed b = { 0 };
	struct buf *all = make_records(series, steps, counters);
	bed_dir(&b);
	bed_open(&b);
	double n = (double)series * (double)steps, t0 = cpu_s();
	define(b.s, series);
	push_all(b.s, &b.f, b.loop, all, steps);
	double pushed = cpu_s();
	ask(b.m, b.loop, "sum(x)", 0);
	ask(b.m, b.loop, "sum by (az) (rate(x[5m]))", 0);
	ask(b.m, b.loop, "sum by (az) (rate(x[5m]))", 3600000);
	ask(b.m, b.loop, "topk(10, rate(x[1h]))", 0);
	double asked = cpu_s();
	(void)intake_flush(mstore_intake(b.m));
	double flushed = cpu_s() - asked + pushed;
	printf("store (SQLite, %zu series of %s, %zu records): %.2f M samples per CPU-second to "
	       "the "
	       "acknowledgement, %.2f with its checkpoint; %.2f bytes/sample on disk, journal "
	       "space included; %ld MiB resident\n",
	       series, counters ? "counters" : "a mix", steps, n / (pushed - t0) / 1e6,
	       n / (flushed - t0) / 1e6, (double)db_bytes(b.dir) / n, rss_kib() / 1024);
	ask(b.m, b.loop, "sum by (az) (rate(x[5m]))", 3600000);
	ask(b.m, b.loop, "count({node=\"n1\"})", 0);
	intake_stream_close(b.s);
	mstore_free(b.m);
	t0 = cpu_s();
	bed_store(&b);
	printf("  opened again in %.1f CPU-ms\n", (cpu_s() - t0) * 1000);
	ask(b.m, b.loop, "sum by (az) (rate(x[5m]))", 3600000);
	mstore_free(b.m);
	loop_free(b.loop);
	metrics_free(b.metrics);
	free_records(all, steps);
	(void)!file_remove_tree(b.dir, NULL);
}

static void bench_logs(void)
{
	struct logchunk c = { 0 };
	struct buf packed = { 0 }, bloom = { 0 };
	size_t raw = 0, out = 0, blooms = 0;
	double t0 = cpu_s();
	for (int64_t i = 0; i < 200000; i++) {
		char text[160];
		int n = snprintf(text, sizeof(text),
				 "GET /api/v1/items/%u?user=%08x 200 %u bytes in %u.%u ms from "
				 "10.1.%u.%u",
				 (unsigned)(rnd() % 5000), (unsigned)rnd(),
				 (unsigned)(rnd() % 90000), (unsigned)(rnd() % 90),
				 (unsigned)(rnd() % 10), (unsigned)(rnd() % 4),
				 (unsigned)(rnd() % 255));
		const struct record_line l = { i * 1000000, false, false, str_n(text, (size_t)n) };
		logchunk_add(&c, &l);
		if (c.text.len < LOGCHUNK_TEXT_BYTES)
			continue;
		buf_clear(&packed);
		buf_clear(&bloom);
		logchunk_pack(&c, &packed);
		logchunk_bloom(buf_str(&c.text), &bloom);
		raw += c.text.len;
		out += packed.len;
		blooms += bloom.len;
		logchunk_clear(&c);
	}
	printf("logs: %.0f MB per CPU-second packed, %.2f of the raw size, filter %.2f\n",
	       (double)raw / (cpu_s() - t0) / 1e6, (double)out / (double)raw,
	       (double)blooms / (double)raw);
	logchunk_fini(&c);
	buf_fini(&packed);
	buf_fini(&bloom);
}

int main(int argc, char **argv)
{
	size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
	size_t steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 340;
	if (!series || !steps || steps > 5000)
		return 2;
	bench_codec(series, steps);
	bench_restart(series, steps);
	bench_store(series, steps, false);
	bench_store(series, steps, true);
	bench_logs();
	return 0;
}
