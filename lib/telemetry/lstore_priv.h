/* lstore_priv - shared by the files lstore*.c; everything is the worker thread's. */
#ifndef TELEMETRY_LSTORE_PRIV_H
#define TELEMETRY_LSTORE_PRIV_H

#include "telemetry/logchunk.h"
#include "telemetry/lstore.h"

/* A packed block that waits for the next checkpoint. */
struct lblock {
	struct lblock *next;
	uint32_t stream, attempt;
	int64_t t0_ns, t1_ns;
	size_t lines, raw_bytes;
	struct buf data, bloom;
};

/* Lines of one attempt of one container that are not packed yet. */
struct lhead {
	uint32_t stream, attempt;
	struct logchunk chunk;
};

/* How far a file has been taken. */
struct lfile {
	uint32_t stream;
	char *file;
	uint64_t end_offset;
	int64_t last_ns;
	bool dirty;
};

struct lstore {
	struct lstore_config cfg;
	struct intake *intake;
	struct map heads; /* stream and attempt, 8 bytes → struct lhead */
	struct map files; /* stream, 4 bytes, and file → struct lfile */
	struct lblock *blocks, **blocks_end;
	size_t bytes; /* of heads and blocks */
	int64_t last_id;
	struct metric *lines, *text_bytes, *again;
};

/* ---- lstore_sql.c ---- */
extern const char *const lstore_steps[];
extern const size_t lstore_steps_len;
int lstore_load(void *store, struct error *err);
int lstore_checkpoint(void *store, int64_t now_ms, struct error *err);
int lstore_expire(void *store, int64_t now_ms, struct error *err);

/* Packs what a head holds into a block at the end of s->blocks. */
void lstore_seal(struct lstore *s, struct lhead *h);
struct lfile *lstore_file(struct lstore *s, uint32_t stream, struct str file);
void lstore_block_free(struct lblock *b);

#endif
