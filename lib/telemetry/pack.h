/*
 * telemetry/pack - compression (zstd) of what goes into a database.
 */
#ifndef TELEMETRY_PACK_H
#define TELEMETRY_PACK_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"

/* Appends `in` as one zstd frame with its size in the head.  Level 1 … 19. */
void pack_close(struct str in, int level, struct buf *out);

/*
 * Appends what a frame holds, at most `max` bytes: ERR_TOO_LARGE before anything of it is
 * unpacked (the frame must name its size); ERR_BAD_REQUEST when it is none.
 */
ATTR_MUSTCHECK int pack_open(struct str frame, size_t max, struct buf *out, struct error *err);

#endif
