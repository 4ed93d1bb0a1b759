/*
 * telemetry/sample - one number at one moment, and the mark of a series' end.
 */
#ifndef TELEMETRY_SAMPLE_H
#define TELEMETRY_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct sample {
	int64_t t_ms; /* Unix time */
	double v;
};

/* The NaN with which Prometheus marks that a series has ended (staleness marker). */
#define SAMPLE_STALE_BITS 0x7ff0000000000002ULL

/* How long a sample answers for the present when no newer one and no marker came. */
enum { SAMPLE_LOOKBACK_MS = 5 * 60 * 1000 };

static inline uint64_t sample_bits(double v)
{
	uint64_t u;
	memcpy(&u, &v, sizeof(u));
	return u;
}

static inline double sample_of_bits(uint64_t u)
{
	double v;
	memcpy(&v, &u, sizeof(v));
	return v;
}

static inline bool sample_is_stale(double v)
{
	return sample_bits(v) == SAMPLE_STALE_BITS;
}

static inline double sample_stale(void)
{
	return sample_of_bits(SAMPLE_STALE_BITS);
}

#endif
