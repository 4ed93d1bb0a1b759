/*
 * telemetry/lstore - the log database of a cluster: takes lines of containers, keeps them, gives them back.
 *
 * On top of telemetry/intake.  A stream is a container of a pod (labels namespace, pod, container, uid and what the
 * server adds); its restarts are told apart by the attempt, which is the number the log file's name begins with.  Lines
 * are gathered in memory into blocks of LOGCHUNK_TEXT_BYTES, and written at each checkpoint as rows
 * logchunk_DAY(stream_id, id, attempt, t0, t1, nlines, rawlen, bloom, data), a table for each day of arrival.
 *
 * An agent that starts again may send lines a second time in other records: file and offset tell (table log_file).
 *
 * Threads: any; answers come on the loop that is named.
 */
#ifndef TELEMETRY_LSTORE_H
#define TELEMETRY_LSTORE_H

#include "base/error.h"
#include "base/metric.h"
#include "base/str.h"
#include "telemetry/intake.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct lstore;
struct lstore_cursor;

struct lstore_config {
	const char *url;
	int64_t retention_ms, checkpoint_ms;
	int64_t streams_max, label_bytes_max;
	int64_t memory_bytes_max; /* of lines that wait for a checkpoint: more makes it come at once */
	struct metrics *metrics;
	int64_t (*now_ms)(void); /* NULL = the clock */
	/* On the worker: the database is there (NULL), or why it is not.  For the log; may be NULL. */
	void (*on_state)(void *arg, const struct error *down);
	void *on_state_arg;
};

struct lstore *lstore_new(const struct lstore_config *cfg);
struct lstore *lstore_free(struct lstore *s);
struct intake *lstore_intake(struct lstore *s);

/* ---- reading a container's lines ---- */

struct lstore_query {
	struct str uid, container; /* of the pod */
	bool previous;             /* the attempt before the last one */
	bool timestamps;
	int64_t tail_lines;    /* -1 = all */
	int64_t since_unix_ns; /* 0 = from the start */
	int64_t limit_bytes;   /* 0 = no limit */
	struct str contains;   /* only lines with this text; "" = all */
};

/*
 * On `loop`: the next piece of text as kubectl logs shows it, lent; `end` with the last one.  err: nothing follows;
 * ERR_NOT_FOUND when there are no lines of this container (older ones than wanted are some).
 */
typedef void (*lstore_piece_fn)(void *arg, const struct error *err, struct str text, bool end);

/* What is there at this moment is what will be read.  The first piece comes by itself. */
struct lstore_cursor *lstore_open(struct lstore *s, struct loop *loop, const struct lstore_query *q,
				  lstore_piece_fn fn, void *arg);
/* Asks for the next piece; only after the one before came, and not after the end. */
void lstore_next(struct lstore_cursor *c);
/* No callback any more.  On the cursor's loop. */
void lstore_close(struct lstore_cursor *c);

#endif
