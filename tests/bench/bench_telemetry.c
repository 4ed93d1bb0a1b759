/*
 * bench_telemetry - what samples and log lines cost: bytes each, and how many a CPU-second takes.
 *
 *   bench_telemetry [SERIES [STEPS]]      default 2000 series, 480 steps of 15 s
 *
 * Series are a mix as nodes have them: counters, gauges with decimals, constants, noise.  CPU-seconds are those of
 * the whole process: encoding, journal, commit, checkpoint.
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
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

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
		static const char *const names[] = { "container", "mode", "pod" };
		buf_clear(&one);
		wire_add_field(&one, 1, i + 1);
		buf_clear(&text);
		buf_addf(&text, "metric_%zu_total", i % 50);
		wire_add_field_bytes(&one, 2, buf_str(&text));
		for (size_t k = 0; k < 3; k++) {
			buf_clear(&l);
			buf_clear(&text);
			buf_addf(&text, "%s-%zu", names[k], i / (k * 7 + 1));
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

static void push_all(struct intake_stream *s, struct flow *f, struct loop *loop, size_t series,
		     size_t steps)
{
	struct record_sample *batch = mem_new(struct record_sample, series);
	struct buf b = { 0 };
	int64_t start = clock_unix_ms() - (int64_t)steps * 15000;
	for (size_t k = 0; k < steps; k++) {
		for (size_t i = 0; i < series; i++)
			batch[i] = (struct record_sample){ (uint32_t)i + 1,
							   next_value(i, batch[i].v) };
		buf_clear(&b);
		record_write_metrics(start - start % 15000 + (int64_t)k * 15000, 15000, batch,
				     series, &b);
		intake_stream_record(s, k + 1, RECORD_METRICS, RECORD_PLAIN, buf_str(&b));
		while (k > f->records + 64)
			loop_turn(loop, -1);
	}
	while (f->records < steps)
		loop_turn(loop, -1);
	buf_fini(&b);
	mem_free(batch);
}

static void on_answer(void *arg, const struct error *err, struct str data)
{
	if (err)
		on_failed(NULL, err);
	*(size_t *)arg = data.len;
}

static void ask(struct mstore *m, struct loop *loop, const char *text)
{
	const struct mstore_ask q = { .kind = MSTORE_QUERY, .text = str_of(text) };
	size_t len = 0;
	double t0 = cpu_s();
	mstore_ask(m, loop, &q, on_answer, &len);
	while (!len)
		loop_turn(loop, -1);
	printf("  %-44s %8.2f CPU-ms, %zu bytes\n", text, (cpu_s() - t0) * 1000, len);
}

static void bench_store(size_t series, size_t steps)
{
	char dir[] = "/tmp/rctl-bench-XXXXXX", url[96];
	struct loop *loop = NULL;
	struct metrics *metrics = metrics_new();
	struct flow f = { 0 };
	const struct label added[] = { { STR("cluster"), STR("c1") }, { STR("node"), STR("n1") } };
	const struct intake_handlers on = { on_opened, on_acked, on_failed, on_closed };
	const struct intake_open open = {
		.node = STR("n1"), .stream = 1, .incarnation = 1, .added = { added, 2 }
	};
	if (!mkdtemp(dir) || loop_new(&loop, NULL) != 0)
		return;
	(void)snprintf(url, sizeof(url), "sqlite:%s/m.db", dir);
	const struct mstore_config cfg = { .url = url,
					   .retention_ms = 86400000,
					   .checkpoint_ms = 3600000,
					   .series_max = 10000000,
					   .label_bytes_max = 4096,
					   .query_samples_max = 1 << 30,
					   .query_ms = 60000,
					   .metrics = metrics };
	struct mstore *m = mstore_new(&cfg);
	while (intake_down(mstore_intake(m)))
		loop_turn(loop, 1);
	struct intake_stream *s = intake_stream_open(mstore_intake(m), loop, &open, &on, &f);
	while (!f.opened)
		loop_turn(loop, -1);
	double n = (double)series * (double)steps, t0 = cpu_s();
	define(s, series);
	push_all(s, &f, loop, series, steps);
	double pushed = cpu_s();
	(void)intake_flush(mstore_intake(m));
	double flushed = cpu_s();
	printf("store (SQLite, %zu series, %zu records): %.2f M samples per CPU-second to the "
	       "acknowledgement, %.2f with its checkpoint; %.2f bytes/sample on disk, journal "
	       "space included; %ld MiB resident\n",
	       series, steps, n / (pushed - t0) / 1e6, n / (flushed - t0) / 1e6,
	       (double)db_bytes(dir) / n, rss_kib() / 1024);
	ask(m, loop, "sum(metric_1_total)");
	ask(m, loop, "sum by (mode) (rate(metric_1_total[5m]))");
	ask(m, loop, "count({node=\"n1\"})");
	ask(m, loop, "sum(rate({node=\"n1\"}[1h]))");
	intake_stream_close(s);
	mstore_free(m);
	t0 = cpu_s();
	m = mstore_new(&cfg);
	while (intake_down(mstore_intake(m)))
		loop_turn(loop, 1);
	printf("  opened again in %.1f CPU-ms\n", (cpu_s() - t0) * 1000);
	mstore_free(m);
	loop_free(loop);
	metrics_free(metrics);
	(void)!file_remove_tree(dir, NULL);
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
	size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000;
	size_t steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 480;
	if (!series || !steps || steps > 5000)
		return 2;
	bench_codec(series, steps);
	bench_store(series, steps);
	bench_logs();
	return 0;
}
