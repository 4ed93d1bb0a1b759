/*
 * telemetry/snappy - unpacks Snappy's block format (github.com/google/snappy, format_description.txt), in which
 * Prometheus and Loki push.
 *
 * Any bytes are safe.  Pure.
 */
#ifndef TELEMETRY_SNAPPY_H
#define TELEMETRY_SNAPPY_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>

/* Appends the text to `out`; ERR_BAD_REQUEST, ERR_TOO_LARGE when it is longer than bytes_max. */
ATTR_MUSTCHECK int snappy_unpack(struct str packed, size_t bytes_max, struct buf *out,
				 struct error *err);

#endif
