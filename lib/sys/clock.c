#include "sys/clock.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
	struct timespec ts = { 0 };
	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return read_ns(CLOCK_BOOTTIME) / 1000000;
}

uint64_t clock_mono_us(void)
{
	return read_ns(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_unix_ms(void)
{
	return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000);
}

int64_t clock_unix_ns(void)
{
	return (int64_t)read_ns(CLOCK_REALTIME);
}

void clock_random(void *p, size_t n)
{
	unsigned char *at = p;
	while (n) {
		ssize_t k = getrandom(at, n, 0);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			abort(); /* keys and tokens hang on this: there is no second best */
		at += k;
		n -= (size_t)k;
	}
}

uint64_t clock_random_u64(void)
{
	uint64_t v = 0;
	clock_random(&v, sizeof(v));
	return v;
}
