/*
 * text/duration - lengths of time as text.  Pure.
 *
 *   Go            "1h2m3.5s", "-1.5h", "300ms"     metav1.Duration, time.ParseDuration
 *   Prometheus    "5m", "1d12h", "1w", "500ms"     rule files, PromQL
 *   kubectl age   "5s", "3m4s", "5h10m", "2d", "400d"
 */
#ifndef TEXT_DURATION_H
#define TEXT_DURATION_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

/* Nanoseconds; ERR_BAD_REQUEST ("time: invalid duration ...", as Go says it). */
ATTR_MUSTCHECK int duration_parse_go(struct str s, int64_t *ret_ns, struct error *err);
/* As Go's Duration.String(): "1h0m0s", "1.5s", "100ms", "0s". */
void duration_write_go(struct buf *out, int64_t ns);

/* Milliseconds, not negative; ERR_BAD_REQUEST.  Units y w d h m s ms in this order, each at most once; "0". */
ATTR_MUSTCHECK int duration_parse_prom(struct str s, int64_t *ret_ms, struct error *err);
/* As Prometheus writes it: "1d12h", "90s" is "1m30s", "0s". */
void duration_write_prom(struct buf *out, int64_t ms);

/* The AGE column of kubectl: two or three significant figures; "<invalid>" below -1 s. */
void duration_write_human(struct buf *out, int64_t sec);
/* One unit only: "5s", "3m", "7h", "12d", "1y". */
void duration_write_human_short(struct buf *out, int64_t sec);

#endif
