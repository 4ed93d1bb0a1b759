/* tests/bench/kload_util - what kload needs of its own: it links nothing of the project, so that it measures any server alike. */
#ifndef KLOAD_UTIL_H
#define KLOAD_UTIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "kload: ");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---------- growing buffers and samples ---------- */
struct buf {
	char *p;
	size_t len, cap;
};
static void buf_need(struct buf *b, size_t extra)
{
	if (b->len + extra + 1 <= b->cap)
		return;
	size_t c = b->cap ? b->cap : 4096;
	while (c < b->len + extra + 1)
		c *= 2;
	if (!(b->p = realloc(b->p, c)))
		die("out of memory");
	b->cap = c;
}
static void buf_add(struct buf *b, const void *d, size_t n)
{
	buf_need(b, n);
	memcpy(b->p + b->len, d, n);
	b->len += n;
	b->p[b->len] = 0;
}
static void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	va_list ap2;
	va_copy(ap2, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	buf_need(b, (size_t)n);
	vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap2);
	b->len += (size_t)n;
	va_end(ap);
	va_end(ap2);
}

struct samples {
	uint32_t *v;
	size_t n, cap;
}; /* microseconds */
static void sample_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 65536;
		if (!(s->v = realloc(s->v, s->cap * sizeof *s->v)))
			die("out of memory");
	}
	uint64_t us = ns / 1000;
	s->v[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}
static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}
static double pct(const struct samples *s, double p)
{
	if (!s->n)
		return 0;
	size_t i = (size_t)(p * (double)(s->n - 1) + 0.5);
	return s->v[i] / 1000.0;
}

/* ---------- accounting of CPU ---------- */
static double proc_cpu(int pid)
{
	char p[64], s[1024];
	snprintf(p, sizeof p, "/proc/%d/stat", pid);
	FILE *f = fopen(p, "r");
	if (!f)
		return 0;
	size_t n = fread(s, 1, sizeof s - 1, f);
	fclose(f);
	s[n] = 0;
	char *r = strrchr(s, ')');
	unsigned long u = 0, k = 0;
	if (r)
		sscanf(r + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &k);
	return (double)(u + k) / (double)sysconf(_SC_CLK_TCK);
}
/* With its children, such as the processes that serve a database's connections. */
static double tree_cpu(int pid)
{
	char p[64];
	snprintf(p, sizeof p, "/proc/%d/task/%d/children", pid, pid);
	FILE *f = fopen(p, "r");
	double sum = proc_cpu(pid);
	int child = 0;
	while (f && fscanf(f, "%d", &child) == 1)
		sum += proc_cpu(child);
	if (f)
		fclose(f);
	return sum;
}
static double proc_rss(int pid)
{
	char p[64], s[256];
	snprintf(p, sizeof p, "/proc/%d/status", pid);
	FILE *f = fopen(p, "r");
	double kb = 0;
	if (!f)
		return 0;
	while (fgets(s, sizeof s, f))
		if (sscanf(s, "VmRSS: %lf", &kb) == 1)
			break;
	fclose(f);
	return kb / 1024;
}
static double host_busy(void)
{
	FILE *f = fopen("/proc/stat", "r");
	unsigned long long u = 0, n = 0, s = 0, i = 0, w = 0, q = 0, sq = 0, st = 0;
	if (f) {
		if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &u, &n, &s, &i, &w, &q,
			   &sq, &st) < 8)
			st = 0;
		fclose(f);
	}
	return (double)(u + n + s + q + sq + st) / (double)sysconf(_SC_CLK_TCK);
}
static double self_cpu(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void usage(void)
{
	puts("usage: kload [flags] create|update|patch|apply|get|list|delete|watch\n"
	     "  --base URL        http(s)://host:port            (https://127.0.0.1:6443)\n"
	     "  --token T | --token-file F                       bearer token\n"
	     "  --ca F | --insecure | --cert F --key F           TLS\n"
	     "  -c N              connections                    (16)\n"
	     "  -n N              requests in all (or --duration)\n"
	     "  --duration S      seconds\n"
	     "  --size N          bytes of a request's body      (1024)\n"
	     "  --ns NS --prefix P --first I                     object PREFIX-IIIIIII\n"
	     "  --objects N       update/get over N objects      (1000)\n"
	     "  --one | --random                                 always the first / a random one\n"
	     "  --api /api/v1 --resource configmaps --kind ConfigMap --field data\n"
	     "  --query Q         added to the URL\n"
	     "  --accept TYPE  --gzip  --label V\n"
	     "  --watchers N --rate R   (watch) N streams, one writer at R/s (0: as fast as it is "
	     "answered)\n"
	     "  --pid name=PID    count the CPU of a process and its children, and its RSS "
	     "(repeatable)\n");
	exit(2);
}

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f)
		die("%s: %s", path, strerror(errno));
	char *s = calloc(1, 65536);
	size_t n = fread(s, 1, 65535, f);
	fclose(f);
	while (n && (s[n - 1] == '\n' || s[n - 1] == ' '))
		s[--n] = 0;
	return s;
}

#endif
