/*
 * text/rfc3339 - times as the API writes them (RFC 3339): metav1.Time has
 * seconds, metav1.MicroTime exactly six digits, both in UTC with "Z".
 *
 * Times are counted from 1970-01-01T00:00:00Z without leap seconds; years 0 to
 * 9999.  Pure; knows no time zones and reads no clock.
 */
#ifndef TEXT_RFC3339_H
#define TEXT_RFC3339_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Any RFC 3339 time: "2006-01-02T15:04:05Z", "...05.123456789+07:00" (digits
 * behind the ninth are dropped).  `ret_nsec` (0 to 999,999,999) may be NULL.
 * False: no such time; second 60 is refused as Go does.
 */
bool rfc3339_parse(struct str s, int64_t *ret_sec, int32_t *ret_nsec);

/* The same in milliseconds, microseconds. */
bool rfc3339_parse_ms(struct str s, int64_t *ret_ms);
bool rfc3339_parse_us(struct str s, int64_t *ret_us);

/*
 * Outside of years 0 to 9999 the nearest time inside is written.
 *   rfc3339_write        "2006-01-02T15:04:05Z"             metav1.Time
 *   rfc3339_write_ms     "2006-01-02T15:04:05.123Z"         always three digits
 *   rfc3339_write_us     "2006-01-02T15:04:05.123456Z"      metav1.MicroTime
 *   rfc3339_write_nano   "2006-01-02T15:04:05.1234Z"        Go's RFC3339Nano: no trailing zeros
 */
void rfc3339_write(struct buf *out, int64_t sec);
void rfc3339_write_ms(struct buf *out, int64_t ms);
void rfc3339_write_us(struct buf *out, int64_t us);
void rfc3339_write_nano(struct buf *out, int64_t sec, int32_t nsec);

/* Civil date of a day count from 1970-01-01 and back (proleptic Gregorian calendar). */
struct civil {
	int64_t year;
	int month, day; /* from 1 */
};
struct civil civil_of_days(int64_t days);
int64_t civil_to_days(struct civil c);

#endif
