/*
 * bench_agent - what one push of the node's own metrics costs: CPU of collecting, packing and making the difference,
 * and bytes on the wire.
 *
 *   bench_agent [ROUNDS [INTERVAL_MS]]      default 30 rounds, 200 ms apart
 */
#include "base/mem.h"
#include "nodemetrics.h"
#include "sys/clock.h"
#include "telemetry/delta.h"
#include "telemetry/pack.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double cpu_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct totals {
	double collect_ms, write_ms, delta_ms;
	size_t plain, packed, delta, delta_packed, rounds;
};

/* What one moment costs until it is in the spool and on the wire. */
static void moment(struct nodemetrics *m, struct samples *s, struct ref_set *before,
		   struct delta *base, struct totals *t)
{
	struct buf batch = { 0 }, packed = { 0 }, delta = { 0 }, delta_packed = { 0 };
	uint64_t now = clock_mono_ms();
	int64_t unix_ms = clock_unix_ms();
	double a = cpu_ms();
	samples_clear(s);
	nodemetrics_collect(m, s, now);
	double b = cpu_ms();
	samples_write(s, unix_ms - unix_ms % 1000, 10000, before, &batch);
	pack_close(buf_str(&batch), 1, &packed);
	double c = cpu_ms();
	bool good = true;
	if (base->sequence) {
		good = delta_write(base, base->sequence + 1, buf_str(&batch), &delta, NULL) == 0;
		pack_close(buf_str(&delta), 1, &delta_packed);
		t->rounds++;
		t->collect_ms += b - a;
		t->write_ms += c - b;
		t->delta_ms += cpu_ms() - c;
		t->plain += batch.len;
		t->packed += packed.len;
		t->delta += delta.len;
		t->delta_packed += delta_packed.len < delta.len ? delta_packed.len : delta.len;
	} else {
		good = delta_base(base, 1, buf_str(&batch), NULL) == 0;
	}
	if (!good)
		abort();
	buf_fini(&batch);
	buf_fini(&packed);
	buf_fini(&delta);
	buf_fini(&delta_packed);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 30;
	long wait_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 200;
	struct series series = { .fd = open("/dev/null", O_WRONLY | O_CLOEXEC) };
	struct samples s;
	struct nodemetrics m;
	struct ref_set before = { 0 };
	struct delta base = { 0 };
	struct totals t = { 0 };
	struct rusage u;
	samples_init(&s, &series);
	nodemetrics_init(&m, &node_roots_own, &series);
	for (long i = 0; i <= rounds; i++) {
		moment(&m, &s, &before, &base, &t);
		(void)usleep((useconds_t)(wait_ms * 1000));
	}
	double n = (double)(t.rounds ? t.rounds : 1);
	(void)getrusage(RUSAGE_SELF, &u);
	printf("%zu series: %.3f ms CPU a push (collect %.3f, pack %.3f, difference %.3f)\n", s.len,
	       (t.collect_ms + t.write_ms + t.delta_ms) / n, t.collect_ms / n, t.write_ms / n,
	       t.delta_ms / n);
	printf("bytes a push: whole %.0f, packed %.0f; difference %.0f, packed %.0f\n",
	       (double)t.plain / n, (double)t.packed / n, (double)t.delta / n,
	       (double)t.delta_packed / n);
	printf("resident at most %ld KiB\n", u.ru_maxrss);
	samples_fini(&s);
	nodemetrics_fini(&m);
	delta_fini(&base);
	mem_free(before.refs);
	series_close(&series);
	return 0;
}
