/* intake_priv - shared by intake.c (thread, streams, transactions) and intake_sql.c (tables). */
#ifndef TELEMETRY_INTAKE_PRIV_H
#define TELEMETRY_INTAKE_PRIV_H

#include "base/buf.h"
#include "telemetry/intake.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the references of one (node, stream, incarnation, added labels) mean. */
struct refmap {
	int64_t id;
	char *key;
	uint32_t *ids; /* [ref - 1]; 0 = refused */
	size_t len, cap;
};

/* How far a (node, stream, incarnation) is stored. */
struct mark {
	char *node;
	uint32_t stream;
	uint64_t incarnation, acked;
	int64_t at_ms;
	bool dirty;
};

struct counters {
	struct metric *records, *duplicates, *refused, *lost, *commits, *series, *up;
};

struct intake {
	struct intake_config cfg;
	char *url;
	pthread_t thread;
	pthread_mutex_t lock;
	int wake;            /* eventfd */
	struct list mailbox; /* under lock: works and pushes */
	bool stop;           /* under lock */
	atomic_bool up;
	struct counters m;
	struct metrics *own_metrics; /* when none were given */

	/* ---- the worker's own ---- */
	struct sql *db; /* NULL = not open */
	uint64_t generation;
	bool broken; /* a statement failed: nothing in memory is sure any more */
	bool in_tx;
	struct error why; /* … there is no database */
	uint64_t retry_ms, retry_at_ms;
	uint64_t checkpoint_at_ms, expire_at_ms, tick_at_ms;
	struct index index;
	struct map maps;       /* key → newest struct refmap */
	struct map maps_by_id; /* 8 bytes → struct refmap */
	struct map marks;      /* key → struct mark */
	struct intake_parts parts;
	int64_t journal;      /* number of the table */
	int64_t journal_next; /* number of the next row */
	int64_t last_map_id;
	size_t journal_rows;
	char journal_insert[160];
	struct list streams; /* all that are open */
	struct list own;     /* struct own_record: appended in this transaction */
	struct buf unpacked, key;
};

struct own_record {
	struct list link;
	uint32_t type;
	struct bytes *payload;
};

struct intake_stream {
	struct intake *in;
	struct loop *loop;
	struct intake_handlers on;
	void *arg;
	/* the worker's own */
	struct list link;
	char *node;
	uint32_t stream;
	uint64_t incarnation, next_sequence;
	struct labels_own *added;
	struct mark *mark;
	struct refmap *map;
	bool dead;
	/* to be told behind the commit */
	bool opened, touched;
	uint64_t records, refused;
	char reason[160];
};

/* ---- intake_sql.c ---- */

/* Opens, migrates, locks and loads everything, the journal last. */
int intake_load(struct intake *in, struct error *err);
void intake_forget(struct intake *in);

int intake_begin(struct intake *in, struct error *err);
int intake_commit(struct intake *in, struct error *err);
void intake_rollback(struct intake *in);

/* Finds or makes mark and map of a stream that opens. */
int intake_attach(struct intake *in, struct intake_stream *s, struct error *err);
/* A new, empty map in place of the stream's. */
int intake_new_map(struct intake *in, struct intake_stream *s, struct error *err);
/* Takes a SeriesTable.  ERR_BAD_REQUEST: the table is wrong. */
int intake_take_series(struct intake *in, struct intake_stream *s, struct str table,
		       struct error *err);
int intake_journal(struct intake *in, int64_t map_id, uint64_t sequence, uint32_t type,
		   uint32_t compression, struct str payload, struct error *err);
int intake_save_mark(struct intake *in, struct mark *m, struct error *err);
int intake_checkpoint(struct intake *in, struct error *err);
int intake_expire(struct intake *in, struct error *err);

#endif
