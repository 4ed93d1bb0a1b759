/*
 * telemetry/logchunk - the lines of one container's log, some hundred KB of them, as one packed block, and the
 * filter that says which words are in it.
 *
 *   packed = zstd( varint bytes of the columns, columns, text )
 *   columns, for each line: time as zigzag varint (the first in Unix ns, then differences), flags u8 (1 stderr, 2 partial),
 *   varint length
 *
 * Pure.
 */
#ifndef TELEMETRY_LOGCHUNK_H
#define TELEMETRY_LOGCHUNK_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "telemetry/record.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	LOGCHUNK_TEXT_BYTES = 256 << 10, /* full from here on */
	LOGCHUNK_BYTES_MAX = 4 << 20,    /* unpacked */
	LOGCHUNK_TOKEN_BITS = 12,
	LOGCHUNK_TOKENS_MAX = 1 << 17, /* more distinct words: no filter */
};

/* A block being filled.  All zero is an empty one. */
struct logchunk {
	struct buf columns, text;
	int64_t t0_ns, t1_ns;
	size_t lines;
};

void logchunk_add(struct logchunk *c, const struct record_line *line);
void logchunk_fini(struct logchunk *c);
void logchunk_clear(struct logchunk *c);

/* Appends the packed bytes. */
void logchunk_pack(const struct logchunk *c, struct buf *out);

/* Walks a packed block; `raw` holds it unpacked and must outlive the walk.  ERR_BAD_REQUEST, ERR_TOO_LARGE. */
struct logchunk_walk {
	struct wire columns;
	struct str text;
	int64_t ns;
};
ATTR_MUSTCHECK int logchunk_open(struct str packed, struct buf *raw, struct logchunk_walk *ret,
				 struct error *err);
/* False at the end, or where the block is damaged. */
bool logchunk_next(struct logchunk_walk *w, struct record_line *ret);

/*
 * The filter (Bloom, 4 probes) over the words [A-Za-z0-9_]+ of the text; appends nothing when there are none or too
 * many.
 */
void logchunk_bloom(struct str text, struct buf *out);
/* False: the word is not in the text.  An empty filter knows nothing. */
bool logchunk_bloom_has(struct str bloom, struct str word);

#endif
