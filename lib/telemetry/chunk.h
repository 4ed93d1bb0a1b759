/*
 * telemetry/chunk - the samples of one series as few bytes: the decimal-integer codec.
 *
 *   flags   u8: 1 times irregular, 2 all values equal, 4 values as XOR bits, 8 second differences,
 *           high half: k, values are integers / 10^k
 *   n       varint, then the first time (zigzag) and, with n > 1, the first step (zigzag)
 *   times   only when irregular: changes of the step as zigzag varints; 0 and a count for a run of none
 *   values  equal: 8 bytes.  Integers: the first as a zigzag varint, then differences (or differences of these), as the
 *           times.  XOR: the bits, as in Facebook's Gorilla paper, where no scale up to 9 gives all numbers exactly.
 *
 * Every double comes back bit by bit, NaNs with their payload.  Pure.
 */
#ifndef TELEMETRY_CHUNK_H
#define TELEMETRY_CHUNK_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/str.h"
#include "telemetry/sample.h"

#include <stdbool.h>
#include <stddef.h>

enum { CHUNK_SAMPLES_MAX = 1024 };

/* Appends 1 … CHUNK_SAMPLES_MAX samples, ascending in time. */
void chunk_encode(const struct sample *s, size_t n, struct buf *out);

/*
 * Decodes into `out` (room for CHUNK_SAMPLES_MAX); the number of samples, or 0 when the bytes are no
 * chunk.  Any bytes are safe.
 */
ATTR_MUSTCHECK size_t chunk_decode(struct str bytes, struct sample *out);

/* The number of samples as the head says it; 0 = no chunk. */
size_t chunk_count(struct str bytes);

/* value = *mantissa / 10^scale for the smallest such scale up to 9; false when there is none. */
bool chunk_decimal(double value, int64_t *mantissa, unsigned *scale);

/* mantissa / 10^scale; scale up to CHUNK_SCALE_MAX */
enum { CHUNK_SCALE_MAX = 9 };
double chunk_of_decimal(int64_t mantissa, unsigned scale);

#endif
