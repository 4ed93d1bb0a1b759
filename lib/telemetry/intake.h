/*
 * telemetry/intake - what the metrics store and the log store have in common: one database, one worker thread, push
 * streams with watermarks, the journal, and the series with their labels.
 *
 * A record that an agent pushed is one row of the journal, stored as it came, in the same transaction as the watermark of
 * its stream (node, incarnation, sequence): so it counts exactly once however often it is sent.  Many records
 * are one transaction (whatever arrived during the last commit), and each is acknowledged behind the commit.  Then the
 * store takes the record into its memory.  From time to time the store writes its memory into tables of its own
 * (checkpoint) and in the same transaction a new, empty journal takes the old one's place, so a restart has at
 * most one checkpoint interval of records to read again.
 *
 * What an agent's references mean is kept too (push_map, push_ref), so an agent need not explain them again.
 *
 * Tables: intake_state, series, push_mark, push_map, push_ref, part, journal_N.  The database belongs to one process at a
 * time (SQLite: lock=exclusive; PostgreSQL: an advisory lock on the schema).  When it cannot be had, or breaks, the
 * memory is dropped, streams fail with ERR_UNAVAILABLE and the worker tries again until it is there: agents keep
 * what was not acknowledged.  While it belongs to another process, it tries each INTAKE_TAKEOVER_MS: so the database
 * changes hands soon after its owner died.
 *
 * Threads: functions marked (worker) are for the store's callbacks on the worker thread, all others for any thread.
 */
#ifndef TELEMETRY_INTAKE_H
#define TELEMETRY_INTAKE_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/metric.h"
#include "sql/sql.h"
#include "telemetry/index.h"

#include <stdbool.h>
#include <stdint.h>

struct intake;
struct intake_stream;
struct loop;

enum {
	INTAKE_BATCH_RECORDS = 512, /* of one transaction, at most */
	INTAKE_BATCH_BYTES = 4 << 20,
	INTAKE_RETRY_MIN_MS = 500, /* between attempts to open the database; doubled up to … */
	INTAKE_RETRY_MAX_MS = 30000,
	INTAKE_TAKEOVER_MS = 1000,
};

/* A record whose turn it is. */
struct intake_record {
	uint32_t type;      /* enum record_type */
	struct str payload; /* unpacked */
	const uint32_t
		*ids; /* series of reference i + 1; NULL: references are series (intake_append) */
	size_t ids_len;
};

/* The series of a reference; 0 = none: unknown, or refused when it was defined. */
static inline uint32_t intake_id(const struct intake_record *r, uint32_t ref)
{
	if (!r->ids)
		return ref;
	return ref > 0 && ref <= r->ids_len ? r->ids[ref - 1] : 0;
}

/* All on the worker thread.  `store` is intake_config.store. */
struct intake_ops {
	/* Forget all memory: the index is about to be emptied, or was loaded anew. */
	void (*reset)(void *store);
	/* Reads tables of the store's own; before the journal is read. */
	int (*load)(void *store, struct error *err);
	/*
	 * Whether the record is good, before it is stored.  ERR_EXPIRED: it names a series that is no longer
	 * there, so the agent has to send its definitions again.  Else an error is a refusal for good.
	 */
	int (*check)(void *store, const struct intake_record *r, struct error *err);
	/* Takes effect in memory, behind the commit and when the journal is read. */
	void (*apply)(void *store, const struct intake_record *r);
	/* Writes the memory to tables, inside a transaction; then `checkpointed` once it is committed. */
	int (*checkpoint)(void *store, int64_t now_ms, struct error *err);
	void (*checkpointed)(void *store);
	/* Whether a checkpoint should not wait. */
	bool (*full)(void *store);
	/* Once an hour, inside a transaction: deletes what is over its time. */
	int (*expire)(void *store, int64_t now_ms, struct error *err);
	/* Each second, inside a transaction: may define series and append records.  May be NULL. */
	int (*sample)(void *store, int64_t now_ms, struct error *err);
};

struct intake_config {
	const char *url;          /* copied; as for sql_open */
	const char *component;    /* "metrics", "logs": a literal */
	const char *const *steps; /* schema of the store's own tables, for sql_migrate; literals */
	size_t steps_len;
	int64_t checkpoint_ms;
	int64_t series_max;
	int64_t label_bytes_max; /* names and values of one series */
	struct metrics *metrics; /* may be NULL */
	int64_t (*now_ms)(void); /* Unix time; NULL = the clock */
	/*
	 * On the worker: the database is there (NULL), or why it is not (ERR_CONFLICT: it belongs to another
	 * process); at each attempt.  May be NULL.
	 */
	void (*on_state)(void *arg, const struct error *down);
	void *on_state_arg;
	const struct intake_ops *ops;
	void *store;
};

/* In two steps, so that the store knows its intake when the worker begins; it opens the database. */
struct intake *intake_prepare(const struct intake_config *cfg);
void intake_start(struct intake *in);
/*
 * Commits what is queued, stops the worker, closes.  Streams should be closed before: those that are not get
 * no further callback.  Callbacks may still lie in loops' mailboxes.
 */
struct intake *intake_free(struct intake *in);

/* NULL while the database is there, else why not; for readyz.  A literal. */
const char *intake_down(const struct intake *in);

/* ---- push streams; all from one loop's thread for a stream ---- */

/* On the stream's loop, in order; `closed` is the last. */
struct intake_handlers {
	void (*opened)(void *arg, uint64_t acked, uint32_t known_series);
	/*
	 * Everything up to `acked` is stored; `records` were answered by this call, `refused` of them could not be used.
	 */
	void (*acked)(void *arg, uint64_t acked, uint64_t records, uint64_t refused,
		      const char *reason);
	/* The stream is of no use any more (ERR_UNAVAILABLE, ERR_EXPIRED, ERR_BAD_REQUEST): close it. */
	void (*failed)(void *arg, const struct error *err);
	void (*closed)(void *arg);
};

struct intake_open {
	struct str node;
	uint32_t stream;
	uint64_t incarnation;
	uint64_t next_sequence; /* of the agent: older ones were acknowledged once */
	struct labels added;    /* put onto every series; these win over labels of the agent */
};

/* Everything is copied. */
struct intake_stream *intake_stream_open(struct intake *in, struct loop *loop,
					 const struct intake_open *open,
					 const struct intake_handlers *on, void *arg);
void intake_stream_series(struct intake_stream *s, struct str series_table);
void intake_stream_record(struct intake_stream *s, uint64_t sequence, uint32_t type,
			  uint32_t compression, struct str payload);
void intake_stream_close(struct intake_stream *s);

/* ---- work on the worker thread ---- */

struct intake_work {
	struct list link;
	/* `down` says why there is no database, or is NULL.  The work may be freed in it. */
	void (*run)(struct intake_work *w, struct intake *in, const struct error *down);
};
void intake_post(struct intake *in, struct intake_work *w);

/* Writes a checkpoint now and waits for it; false when there is no database.  Not on the worker. */
bool intake_flush(struct intake *in);

/* (worker) */
struct index *intake_index(struct intake *in);
struct sql *intake_sql(struct intake *in);
int64_t intake_now_ms(const struct intake *in);

/*
 * sql_exec on the store's database: whatever fails here ends the transaction and has the database opened
 * again behind the callback.
 */
ATTR_MUSTCHECK int intake_exec(struct intake *in, const char *stmt, const struct sql_value *p,
			       size_t n, sql_row_fn row, void *arg, struct error *err);

/*
 * The series with these labels (sorted and changed in place), made when it is new.  ERR_BAD_REQUEST, ERR_LIMIT:
 * refused; else the database failed.  Only in check, sample, checkpoint and intake_transact().
 */
ATTR_MUSTCHECK int intake_define(struct intake *in, struct label *v, size_t n, int type,
				 uint32_t *ret, struct error *err);

/*
 * Runs fn in a transaction of its own, from a work: it may define series and append records, which take effect when it is
 * committed.  fn must fail for the database alone: what is in memory is dropped then, as always.
 */
ATTR_MUSTCHECK int intake_transact(struct intake *in, int (*fn)(void *arg, struct error *err),
				   void *arg, struct error *err);

/* A record of the store's own, whose references are series: journal now, apply behind the commit. */
ATTR_MUSTCHECK int intake_append(struct intake *in, uint32_t type, struct str payload,
				 struct error *err);

/* Deletes a series with its row; in expire. */
ATTR_MUSTCHECK int intake_delete(struct intake *in, uint32_t id, struct error *err);

/* ---- parts: tables that hold one stretch of time and are dropped as a whole (worker) ---- */

struct intake_part {
	char *table; /* "chunk_20100" */
	char *kind;
	int64_t start_ms, end_ms;
	/* Statements on this table, made once by the store: freed with the part. */
	char *statements[4];
};

struct intake_parts {
	struct intake_part *v; /* ascending by start */
	size_t len, cap;
};
const struct intake_parts *intake_parts(const struct intake *in);

/*
 * The part of `kind` that holds t_ms, made when it is new from `columns` (behind "CREATE TABLE name"), each
 * `span_ms` long.  The result lives until the next call.
 */
ATTR_MUSTCHECK int intake_part(struct intake *in, const char *kind, int64_t t_ms, int64_t span_ms,
			       const char *columns, struct intake_part **ret, struct error *err);

/* Drops the parts of a kind that end before t_ms. */
ATTR_MUSTCHECK int intake_parts_drop(struct intake *in, const char *kind, int64_t t_ms,
				     struct error *err);

#endif
