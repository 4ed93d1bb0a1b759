/*
 * sql - the two databases behind one small blocking interface.
 *
 * The only module that includes libpq and SQLite.  Statements are written once
 * for both: parameters are $1, $2 …; types BIGINT, DOUBLE PRECISION, TEXT,
 * BYTEA (an SQLite column declared so has BLOB values); INSERT … ON CONFLICT …
 * DO UPDATE and RETURNING mean the same in both.  Where they differ, ask
 * sql_dialect().
 *
 * A connection belongs to one thread.  Calls block: use them on a worker
 * thread, never on a server's loop.
 *
 * SQLite: WAL, synchronous=FULL, foreign keys on, busy timeout 5 s,
 * secure_delete off.  PostgreSQL: the connection is opened again on the next
 * call after it broke; a call that broke it answers ERR_UNAVAILABLE (nothing
 * was done), or ERR_UNKNOWN when a commit may have happened.
 */
#ifndef SQL_SQL_H
#define SQL_SQL_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sql;

enum sql_dialect { SQL_SQLITE, SQL_POSTGRES };

/*
 * "sqlite:/path/file.db" (created, mode 0600), "sqlite::memory:", "postgres://…".
 *
 * A PostgreSQL URL may carry ?schema=NAME (a lower-case identifier): tables live there (created).
 * What the URL does not set: connect_timeout 10 s, target_session_attrs=read-write, keep-alives
 * that notice a dead server within 25 s.
 * An SQLite URL may carry ?lock=exclusive: the file belongs to this connection as long as it is
 * open; ERR_CONFLICT when it belongs to another one.
 */
ATTR_MUSTCHECK int sql_open(const char *url, struct sql **ret, struct error *err);
struct sql *sql_close(struct sql *s);
enum sql_dialect sql_dialect(const struct sql *s);

enum sql_type {
	SQL_NULL,
	SQL_INT,
	SQL_DOUBLE,
	SQL_TEXT,
	SQL_BLOB,
	SQL_ARRAY /* parameters only */
};

enum { SQL_PARAMS_MAX = 32, SQL_COLUMNS_MAX = 64 };

struct sql_value {
	enum sql_type type;
	int64_t i;
	double d;
	struct str s; /* TEXT, BLOB; ARRAY: its encoding */
};

static inline struct sql_value sql_int(int64_t i)
{
	return (struct sql_value){ .type = SQL_INT, .i = i };
}

static inline struct sql_value sql_double(double d)
{
	return (struct sql_value){ .type = SQL_DOUBLE, .d = d };
}

static inline struct sql_value sql_text(struct str s)
{
	return (struct sql_value){ .type = SQL_TEXT, .s = s };
}

static inline struct sql_value sql_blob(struct str s)
{
	return (struct sql_value){ .type = SQL_BLOB, .s = s };
}

static inline struct sql_value sql_null(void)
{
	return (struct sql_value){ .type = SQL_NULL };
}

/*
 * An array parameter, for unnest($1::bigint[]).  PostgreSQL only.  `elem` is
 * SQL_INT, SQL_TEXT or SQL_BLOB; sql_array_clear() keeps the memory for the next use.
 */
struct sql_array {
	struct buf b;
	uint32_t n;
	enum sql_type elem;
};

void sql_array_clear(struct sql_array *a, enum sql_type elem); /* also the first call */
void sql_array_fini(struct sql_array *a);
void sql_array_add_int(struct sql_array *a, int64_t v);
void sql_array_add(struct sql_array *a, struct str v);
struct sql_value sql_array(struct sql_array *a); /* borrows until the next change */

/*
 * One row of a result, lent until the callback returns.  Return 0 to go on, an
 * error code (with err filled) to stop.
 */
typedef int (*sql_row_fn)(void *arg, const struct sql_value *row, size_t columns,
			  struct error *err);

/*
 * Runs one statement (prepared and cached by its text: pass literals).  row may
 * be NULL; it must not use the connection.  Rows are provisional until the call returns 0.
 * *changed (may be NULL) is the number of rows inserted, updated or deleted.
 * ERR_EXISTS on a unique violation, ERR_INVALID on another broken constraint or a wrong
 * statement, ERR_UNAVAILABLE, ERR_UNKNOWN, ERR_LIMIT (disk full), ERR_CONFLICT (a deadlock or a
 * lock timeout: rolled back, try again).
 */
ATTR_MUSTCHECK int sql_exec(struct sql *s, const char *stmt, const struct sql_value *params,
			    size_t n, sql_row_fn row, void *arg, int64_t *changed,
			    struct error *err);

/* Several statements separated by ';' without parameters: schemas. */
ATTR_MUSTCHECK int sql_script(struct sql *s, const char *script, struct error *err);

/* BEGIN IMMEDIATE / BEGIN; COMMIT; ROLLBACK (never fails: a broken connection rolled back by itself). */
ATTR_MUSTCHECK int sql_begin(struct sql *s, struct error *err);
ATTR_MUSTCHECK int sql_commit(struct sql *s, struct error *err);
void sql_rollback(struct sql *s);

/*
 * Brings the tables of `component` to the last version: steps[i] is the script
 * from version i to i+1 (expand-only).  Version in table rctl_schema.  ERR_INVALID when the
 * database is newer than n.
 */
ATTR_MUSTCHECK int sql_migrate(struct sql *s, const char *component, const char *const *steps,
			       size_t n, struct error *err);

/* ---- PostgreSQL only: sessions and notifications ---- */

/* Runs now and after each reconnect (SET, LISTEN).  Kept: pass a literal or what lives as long. */
ATTR_MUSTCHECK int sql_session(struct sql *s, const char *script, struct error *err);

/* Grows with each connection: whoever keeps something of the session asks for it again. */
uint64_t sql_generation(struct sql *s);

/*
 * Waits until a notification is there, `fd` is readable (-1 = none) or timeout_ms is over, and
 * hands over all notifications that came.  ERR_UNAVAILABLE when the connection is broken.
 */
typedef void (*sql_notify_fn)(void *arg, struct str channel, struct str payload);
ATTR_MUSTCHECK int sql_wait(struct sql *s, int fd, int timeout_ms, sql_notify_fn fn, void *arg,
			    struct error *err);

#endif
