/* mstore_priv - shared by the files mstore*.c; everything is the worker thread's. */
#ifndef TELEMETRY_MSTORE_PRIV_H
#define TELEMETRY_MSTORE_PRIV_H

#include "telemetry/chunk.h"
#include "telemetry/mstore.h"
#include "telemetry/promql.h"
#include "telemetry/record.h"

/* How far a series' last_ms in its table may be behind its newest sample. */
#define MSTORE_LAST_STEP_MS (12LL * 3600 * 1000)

/* A chunk that is full and waits for the next checkpoint. */
struct sealed {
	struct sealed *next;
	int64_t t0, t1;
	size_t n, len;
	char data[];
};

struct mseries {
	/* What a new sample touches, together. */
	struct sample *tail; /* behind the blob */
	uint32_t tail_len, tail_cap;
	int64_t last_ms;  /* INT64_MIN = none since the start */
	double last;      /* what most queries ask for */
	int64_t first_ms; /* of the open chunk */
	uint32_t blob_len, blob_n;
	char *blob;                          /* the open chunk as the last checkpoint wrote it */
	int64_t db_last_ms;                  /* newest in the database; INT64_MAX = not known */
	struct sealed *sealed, **sealed_end; /* oldest first */
};

struct mstore {
	struct mstore_config cfg;
	struct intake *intake;
	size_t tail_bytes;
	struct mseries *
		*by_id; /* as the index has them, without the way through it; NULL = ask there */
	size_t by_id_len;
	struct metric *samples, *out_of_order, *queries;
	struct record_sample *collected; /* by this round */
	size_t collected_len, collected_cap;
	uint32_t *before; /* series of the last round */
	size_t before_len;
	int64_t collected_at_ms;
	struct buf scratch;
};

struct mseries *mstore_series(struct mstore *s, struct index_entry *e);
/* Frees what is kept of a series; it may come again. */
void mstore_forget(struct mstore *s, struct index_entry *e);
void mstore_series_free(struct mseries *m); /* accepts NULL */
void mstore_append(struct mstore *s, struct mseries *m, int64_t t_ms, double v);
/* The open chunk, whole, into `out` (room for CHUNK_SAMPLES_MAX); how many. */
size_t mstore_open_chunk(const struct mseries *m, struct sample *out);

/* ---- mstore_sql.c ---- */
extern const char *const mstore_steps[];
extern const size_t mstore_steps_len;
int mstore_checkpoint(void *store, int64_t now_ms, struct error *err);
int mstore_expire(void *store, int64_t now_ms, struct error *err);

/* Samples in (min, max] of a series, from the database and from memory. */
int mstore_read(struct mstore *s, struct index_entry *e, int64_t min_ms, int64_t max_ms,
		struct promql_samples *out, struct error *err);
int mstore_last(struct mstore *s, struct index_entry *e, int64_t min_ms, int64_t max_ms,
		struct sample *ret, struct error *err);

/* ---- mstore_collect.c ---- */
int mstore_sample(void *store, int64_t now_ms, struct error *err);

/* ---- mstore_tsdb.c ---- */
void mstore_write_tsdb(struct mstore *s, int64_t limit, struct buf *out);

#endif
