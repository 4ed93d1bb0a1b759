/*
 * sys/clock - the only place that reads the clock and the kernel's random numbers.
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic time that also runs while the machine sleeps (CLOCK_BOOTTIME). */
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);

/* Unix time.  May jump: for what people and other machines read, never for durations. */
int64_t clock_unix_ms(void);
int64_t clock_unix_ns(void);

/* Fills p with random bytes from the kernel (getrandom). */
void clock_random(void *p, size_t n);
uint64_t clock_random_u64(void);

#endif
