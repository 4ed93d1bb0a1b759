#include "base/mem.h"
#include "sql/sql_priv.h"

#include <sqlite3.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct sql_sqlite {
	struct sql base;
	sqlite3 *db;
	struct map statements; /* text -> sqlite3_stmt */
	bool in_tx;
};

static struct sql_sqlite *sqlite_of(struct sql *s)
{
	return container_of(s, struct sql_sqlite, base);
}

static enum err_code code_of(int extended)
{
	switch (extended & 0xff) {
	case SQLITE_CONSTRAINT:
		return extended == SQLITE_CONSTRAINT_UNIQUE ||
				       extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
				       extended == SQLITE_CONSTRAINT_ROWID
			       ? ERR_EXISTS
			       : ERR_INVALID;
	case SQLITE_FULL:
		return ERR_LIMIT;
	case SQLITE_TOOBIG:
		return ERR_TOO_LARGE;
	case SQLITE_ERROR:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return ERR_INVALID;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

static int fail(struct sql_sqlite *q, struct error *err)
{
	int extended = sqlite3_extended_errcode(q->db);
	return error_set(err, code_of(extended), "SQLite: %s (%d)", sqlite3_errmsg(q->db),
			 extended);
}

/* SQLite numbers $1 by its first appearance; ?1 means what PostgreSQL means by $1. */
static void translate(const char *stmt, struct buf *out)
{
	char quote = 0;
	for (const char *p = stmt; *p; p++) {
		if (quote) {
			quote = *p == quote ? 0 : quote;
		} else if (*p == '\'' || *p == '"') {
			quote = *p;
		}
		bool parameter = !quote && *p == '$' && p[1] >= '1' && p[1] <= '9';
		buf_addc(out, parameter ? '?' : *p);
	}
}

static void drop_statements(struct sql_sqlite *q)
{
	size_t pos = 0;
	void *st = NULL;
	while (map_next(&q->statements, &pos, NULL, &st))
		sqlite3_finalize(st);
	map_fini(&q->statements);
}

static int prepare(struct sql_sqlite *q, const char *stmt, sqlite3_stmt **ret, struct error *err)
{
	*ret = map_get(&q->statements, str_of(stmt));
	if (*ret)
		return 0;
	if (q->statements.len >= SQL_STATEMENTS_MAX)
		drop_statements(q);
	struct buf text = { 0 };
	translate(stmt, &text);
	int rc = sqlite3_prepare_v3(q->db, buf_cstr(&text), (int)text.len + 1,
				    SQLITE_PREPARE_PERSISTENT, ret, NULL);
	buf_fini(&text);
	if (rc != SQLITE_OK)
		return fail(q, err);
	if (!*ret)
		return error_set(err, ERR_INVALID, "SQLite: empty statement");
	(void)map_set(&q->statements, str_of(stmt), *ret);
	return 0;
}

static int bind_one(sqlite3_stmt *st, int i, const struct sql_value *v)
{
	/* A NULL pointer would bind NULL, not an empty string. */
	const char *p = v->s.p ? v->s.p : "";
	switch (v->type) {
	case SQL_INT:
		return sqlite3_bind_int64(st, i, v->i);
	case SQL_DOUBLE:
		return sqlite3_bind_double(st, i, v->d);
	case SQL_TEXT:
		return sqlite3_bind_text64(st, i, p, v->s.len, SQLITE_STATIC, SQLITE_UTF8);
	case SQL_BLOB:
		return sqlite3_bind_blob64(st, i, p, v->s.len, SQLITE_STATIC);
	case SQL_NULL:
		return sqlite3_bind_null(st, i);
	case SQL_ARRAY:
		break;
	}
	assert(v->type != SQL_ARRAY); /* PostgreSQL only */
	return SQLITE_MISUSE;
}

static struct sql_value column(sqlite3_stmt *st, int i)
{
	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		return sql_int(sqlite3_column_int64(st, i));
	case SQLITE_FLOAT:
		return sql_double(sqlite3_column_double(st, i));
	case SQLITE_TEXT: {
		const char *p = (const char *)sqlite3_column_text(st, i);
		return sql_text(str_n(p, (size_t)sqlite3_column_bytes(st, i)));
	}
	case SQLITE_BLOB: {
		const char *p = sqlite3_column_blob(st, i); /* NULL when it has no bytes */
		return sql_blob(str_n(p ? p : "", (size_t)sqlite3_column_bytes(st, i)));
	}
	default:
		return sql_null();
	}
}

static int hand_over(sqlite3_stmt *st, const struct sql_rows *rows, struct error *err)
{
	if (!rows->fn)
		return 0;
	struct sql_value v[SQL_COLUMNS_MAX];
	int n = sqlite3_column_count(st);
	assert(n <= SQL_COLUMNS_MAX);
	for (int i = 0; i < n; i++)
		v[i] = column(st, i);
	return rows->fn(rows->arg, v, (size_t)n, err);
}

static int run(struct sql_sqlite *q, sqlite3_stmt *st, const struct sql_rows *rows,
	       struct error *err)
{
	for (;;) {
		int rc = sqlite3_step(st);
		if (rc == SQLITE_DONE)
			break;
		if (rc != SQLITE_ROW) {
			rc = fail(q, err);
			/* By itself a statement is its own commit, and that may have reached the disk. */
			bool io = (sqlite3_extended_errcode(q->db) & 0xff) == SQLITE_IOERR;
			if (io && !q->in_tx && !sqlite3_stmt_readonly(st) && err)
				rc = err->code = ERR_UNKNOWN;
			return rc;
		}
		rc = hand_over(st, rows, err);
		if (rc < 0)
			return rc;
	}
	*rows->changed = sqlite3_stmt_readonly(st) ? 0 : sqlite3_changes64(q->db);
	return 0;
}

static int op_exec(struct sql *s, const char *stmt, const struct sql_value *params, size_t n,
		   const struct sql_rows *rows, struct error *err)
{
	struct sql_sqlite *q = sqlite_of(s);
	sqlite3_stmt *st = NULL;
	int rc = prepare(q, stmt, &st, err);
	if (rc < 0)
		return rc;
	assert(!sqlite3_stmt_busy(st));
	for (size_t i = 0; i < n; i++) {
		if (bind_one(st, (int)i + 1, &params[i]) != SQLITE_OK) {
			(void)sqlite3_clear_bindings(st);
			return fail(q, err);
		}
	}
	rc = run(q, st, rows, err);
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return rc;
}

static int op_script(struct sql *s, const char *script, struct error *err)
{
	struct sql_sqlite *q = sqlite_of(s);
	return sqlite3_exec(q->db, script, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(q, err);
}

static int simple(struct sql_sqlite *q, const char *stmt, struct error *err)
{
	int64_t changed = 0;
	struct sql_rows none = { NULL, NULL, &changed };
	return op_exec(&q->base, stmt, NULL, 0, &none, err);
}

static int op_begin(struct sql *s, struct error *err)
{
	struct sql_sqlite *q = sqlite_of(s);
	assert(!q->in_tx);
	int rc = simple(q, "BEGIN IMMEDIATE", err);
	q->in_tx = rc == 0;
	return rc;
}

static void op_rollback(struct sql *s)
{
	struct sql_sqlite *q = sqlite_of(s);
	q->in_tx = false;
	if (!sqlite3_get_autocommit(q->db)) /* some errors have rolled back already */
		(void)simple(q, "ROLLBACK", NULL);
}

static int op_commit(struct sql *s, struct error *err)
{
	struct sql_sqlite *q = sqlite_of(s);
	assert(q->in_tx);
	struct error e = { 0 };
	int rc = simple(q, "COMMIT", &e);
	if (rc == 0) {
		q->in_tx = false;
		return 0;
	}
	/*
	 * An I/O error of a commit (fsync) leaves it open what reached the disk: the
	 * log is read again when the file is opened the next time.
	 */
	bool io = (sqlite3_extended_errcode(q->db) & 0xff) == SQLITE_IOERR;
	op_rollback(s);
	return error_set(err, io ? ERR_UNKNOWN : e.code, "commit: %s", e.msg);
}

static void op_close(struct sql *s)
{
	struct sql_sqlite *q = sqlite_of(s);
	drop_statements(q);
	int rc = sqlite3_close(q->db);
	assert(rc == SQLITE_OK);
	mem_free(q);
}

static const struct sql_ops SQLITE_OPS = {
	.close = op_close,
	.exec = op_exec,
	.script = op_script,
	.begin = op_begin,
	.commit = op_commit,
	.rollback = op_rollback,
};

/* SQLite gives its other files the mode of the database. */
static int create_private(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, ERR_UNAVAILABLE, errno, "%s", path);
	(void)close(fd);
	return 0;
}

static int set_up(struct sql_sqlite *q, bool exclusive, struct error *err)
{
	(void)sqlite3_extended_result_codes(q->db, 1);
	(void)sqlite3_busy_timeout(q->db, exclusive ? 1000 : 5000);
	int rc = 0;
	/* Must stand before the first access: the index of the WAL is then no shared memory. */
	if (exclusive)
		rc = op_script(&q->base, "PRAGMA locking_mode = EXCLUSIVE", err);
	if (rc == 0)
		rc = op_script(&q->base,
			       "PRAGMA journal_mode = WAL;"
			       "PRAGMA synchronous = FULL;"
			       "PRAGMA foreign_keys = ON;"
			       "PRAGMA secure_delete = OFF;"
			       "PRAGMA cache_size = -16384;"
			       "PRAGMA wal_autocheckpoint = 1000;"
			       "PRAGMA journal_size_limit = 67108864;",
			       err);
	if (rc == 0 && exclusive)
		rc = op_script(&q->base, "BEGIN EXCLUSIVE; COMMIT", err);
	if (rc < 0 && exclusive && (sqlite3_extended_errcode(q->db) & 0xff) == SQLITE_BUSY)
		return error_set(err, ERR_CONFLICT, "the file is in use by another process");
	return rc;
}

int sql_sqlite_open(struct str path, bool exclusive, struct sql **ret, struct error *err)
{
	char *name = mem_strndup(path.p, path.len);
	int rc = str_is(path, ":memory:") ? 0 : create_private(name, err);
	if (rc < 0) {
		mem_free(name);
		return rc;
	}
	struct sql_sqlite *q = mem_new(struct sql_sqlite, 1);
	q->base = (struct sql){ &SQLITE_OPS, SQL_SQLITE };
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_PRIVATECACHE;
	if (sqlite3_open_v2(name, &q->db, flags, NULL) != SQLITE_OK)
		rc = error_set(err, ERR_UNAVAILABLE, "%s",
			       q->db ? sqlite3_errmsg(q->db) : "out of memory");
	else
		rc = set_up(q, exclusive, err);
	if (rc < 0) {
		(void)error_wrap(err, "%s", name);
		op_close(&q->base);
	} else {
		*ret = &q->base;
	}
	mem_free(name);
	return rc;
}
