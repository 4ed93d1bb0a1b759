#include "base/buf.h"
#include "base/mem.h"
#include "sql/sql.h"
#include "store/store_priv.h"
#include "sys/clock.h"

#include <fcntl.h>
#include <sys/stat.h>

/*
 * The same tables as in PostgreSQL, in one file that belongs to one process.
 * Rows keep their place (no WITHOUT ROWID): a value of 1 KiB would leave the
 * page of a key-ordered table for an overflow page of its own.
 */
static const char *const STEPS[] = {
	"CREATE TABLE meta (id INTEGER PRIMARY KEY, epoch BIGINT NOT NULL, rev BIGINT NOT NULL,"
	" compact_rev BIGINT NOT NULL, tl BIGINT NOT NULL, sysid BIGINT NOT NULL);"
	"INSERT INTO meta VALUES (1, 1, 0, 0, 0, 0);"
	"CREATE TABLE obj (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, rev BIGINT NOT NULL,"
	" create_rev BIGINT NOT NULL, value BYTEA NOT NULL);"
	"CREATE TABLE log (rev INTEGER PRIMARY KEY, key TEXT NOT NULL, op BIGINT NOT NULL,"
	" prev_rev BIGINT NOT NULL, value BYTEA NOT NULL);"
	"CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, first_rev BIGINT NOT NULL,"
	" parent_last_rev BIGINT NOT NULL);"
	"CREATE TABLE fence (key TEXT PRIMARY KEY, token BIGINT NOT NULL)",
};

enum { COMPACT_ROWS = 2000 }; /* a turn: some milliseconds */

struct sqlite {
	char *url, *path;
	struct sql *db; /* NULL = open it again */
	int64_t rev;    /* the counter, while db is open */
};

struct meta {
	int64_t epoch, rev, compact_rev, tl, sysid;
};

static int meta_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(struct meta *)arg = (struct meta){ v[0].i, v[1].i, v[2].i, v[3].i, v[4].i };
	return 0;
}

static int read_meta(struct sqlite *q, struct meta *m, struct error *err)
{
	return sql_exec(q->db, "SELECT epoch, rev, compact_rev, tl, sysid FROM meta WHERE id = 1",
			NULL, 0, meta_row, m, NULL, err);
}

/*
 * What a copy of the file does not share with it: the inode and when it was made.
 * A file that comes from a backup is noticed by it, as PostgreSQL notices a new timeline.
 */
static int identity(const char *path, int64_t *ret, struct error *err)
{
	struct statx st;
	if (strcmp(path, ":memory:") == 0) {
		*ret = 1;
		return 0;
	}
	if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &st) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: cannot be looked at", path);
	uint64_t parts[] = { st.stx_ino, 0, 0 };
	if (st.stx_mask & STATX_BTIME) {
		parts[1] = (uint64_t)st.stx_btime.tv_sec;
		parts[2] = st.stx_btime.tv_nsec;
	}
	uint64_t hash = str_hash(str_n((const char *)parts, sizeof(parts)), 0);
	*ret = (int64_t)(hash >> 1 | 1);
	return 0;
}

/* First use of the file: takes it.  A copy of another: steps over the revisions it may have lost. */
static int own_file(struct sqlite *q, struct meta *m, int64_t id, struct error *err)
{
	struct sql_value own = sql_int(id);
	if (m->sysid == 0)
		return sql_exec(q->db, "UPDATE meta SET sysid = $1 WHERE id = 1", &own, 1, NULL,
				NULL, NULL, err);
	int64_t last = m->rev;
	m->epoch++;
	m->rev = store_epoch_rev(last, clock_unix_ms());
	struct sql_value meta[] = { sql_int(m->epoch), sql_int(m->rev), own };
	struct sql_value epoch[] = { sql_int(m->epoch), sql_int(m->rev + 1), sql_int(last) };
	int rc = sql_begin(q->db, err);
	if (rc < 0)
		return rc;
	rc = sql_exec(q->db,
		      "UPDATE meta SET epoch = $1, rev = $2, tl = 0, sysid = $3 WHERE id = 1", meta,
		      3, NULL, NULL, NULL, err);
	if (rc == 0)
		rc = sql_exec(q->db,
			      "INSERT INTO epochs (epoch, first_rev, parent_last_rev)"
			      " VALUES ($1, $2, $3)",
			      epoch, 3, NULL, NULL, NULL, err);
	if (rc < 0) {
		sql_rollback(q->db);
		return rc;
	}
	return sql_commit(q->db, err);
}

static int open_file(struct sqlite *q, struct meta *m, struct error *err)
{
	int64_t id = 0;
	int rc = sql_open(q->url, &q->db, err);
	if (rc < 0)
		return rc;
	rc = sql_migrate(q->db, "store", STEPS, sizeof(STEPS) / sizeof(STEPS[0]), err);
	if (rc == 0)
		rc = read_meta(q, m, err);
	if (rc == 0)
		rc = identity(q->path, &id, err);
	if (rc == 0 && (m->sysid != id || m->tl != 0))
		rc = own_file(q, m, id, err);
	if (rc < 0)
		q->db = sql_close(q->db);
	else
		q->rev = m->rev;
	return rc;
}

/* Opens the file again after trouble; it must be the one this process has told of. */
static int reopen(struct store *s, struct error *err)
{
	struct sqlite *q = s->backend;
	struct meta m = { 0 };
	if (q->db)
		return 0;
	int rc = open_file(q, &m, err);
	if (rc < 0)
		return err->code = ERR_UNAVAILABLE;
	if (m.epoch == s->epoch && m.rev >= store_rev(s))
		return 0;
	q->db = sql_close(q->db);
	store_lose(s, "the database file was replaced by another one");
	return error_set(err, ERR_UNAVAILABLE, "the database file was replaced");
}

/* ---- opening ---- */

static int epoch_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct store *s = arg;
	if (s->cfg.handlers.on_epoch)
		s->cfg.handlers.on_epoch(s->cfg.handlers.arg, v[1].i, v[0].i - 1);
	return 0;
}

static int obj_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct store *s = arg;
	struct bytes *value = bytes_of_str(v[3].s);
	s->cfg.handlers.on_load(s->cfg.handlers.arg, v[0].s, v[1].i, v[2].i, value);
	bytes_unref(value);
	return 0;
}

static struct store_event event_of(const struct sql_value *v)
{
	return (struct store_event){
		.rev = v[0].i,
		.key = v[1].s,
		.op = (enum store_op)v[2].i,
		.prev_rev = v[3].i,
		.create_rev = v[2].i == STORE_CREATE ? v[0].i : 0,
		.value = bytes_of_str(v[4].s),
	};
}

static int log_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct store_event ev = event_of(v);
	store_open_history(arg, &ev);
	bytes_unref(ev.value);
	return 0;
}

static int load(struct store *s, const struct meta *m, struct error *err)
{
	struct sqlite *q = s->backend;
	store_compacted(s, m->compact_rev);
	int rc = sql_exec(q->db, "SELECT first_rev, parent_last_rev FROM epochs ORDER BY epoch",
			  NULL, 0, epoch_row, s, NULL, err);
	if (rc == 0)
		rc = sql_exec(q->db, "SELECT key, rev, create_rev, value FROM obj ORDER BY key",
			      NULL, 0, obj_row, s, NULL, err);
	if (rc == 0)
		rc = sql_exec(q->db, "SELECT rev, key, op, prev_rev, value FROM log ORDER BY rev",
			      NULL, 0, log_row, s, NULL, err);
	s->epoch = m->epoch;
	atomic_store(&s->delivered, m->rev);
	return rc;
}

static int sqlite_open(struct store *s, struct error *err)
{
	struct sqlite *q = mem_new(struct sqlite, 1);
	s->backend = q;
	struct buf url = { 0 };
	buf_adds(&url, s->cfg.url);
	q->path = mem_strdup(buf_cstr(&url) + strlen("sqlite:"));
	buf_adds(&url, "?lock=exclusive");
	q->url = mem_strdup(buf_cstr(&url));
	buf_fini(&url);
	struct meta m = { 0 };
	int rc = open_file(q, &m, err);
	return rc < 0 ? rc : load(s, &m, err);
}

static void sqlite_close(struct store *s)
{
	struct sqlite *q = s->backend;
	(void)sql_close(q->db);
	mem_free(q->path);
	mem_free(q->url);
	mem_free(q);
}

/* ---- committing ---- */

static int token_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(struct sql_value *)arg = v[0];
	return 0;
}

/* 1 = the fence stands where the writer believes, 0 = not */
static int check_fence(struct sqlite *q, const struct store_item *it, struct error *err)
{
	struct sql_value key = sql_text(it->fence_key);
	struct sql_value token = sql_null();
	int rc = sql_exec(q->db, "SELECT token FROM fence WHERE key = $1", &key, 1, token_row,
			  &token, NULL, err);
	return rc < 0 ? rc : token.type == SQL_INT && token.i == it->fence_token;
}

static int set_fence(struct sqlite *q, const struct store_item *it, struct error *err)
{
	struct sql_value v[] = { sql_text(it->set_fence_key), sql_int(it->set_fence_token) };
	return sql_exec(q->db,
			"INSERT INTO fence (key, token) VALUES ($1, $2)"
			" ON CONFLICT (key) DO UPDATE SET token = excluded.token",
			v, 2, NULL, NULL, NULL, err);
}

static int change_obj(struct sqlite *q, const struct store_item *it, int64_t rev, int64_t *changed,
		      struct error *err)
{
	struct sql_value key = sql_text(it->key);
	struct sql_value value = sql_blob(bytes_str(it->value));
	struct sql_value insert[] = { key, sql_int(rev), value };
	struct sql_value update[] = { key, sql_int(rev), value, sql_int(it->want_rev) };
	struct sql_value delete[] = { key, sql_int(it->want_rev) };
	switch (it->op) {
	case STORE_CREATE:
		return sql_exec(q->db,
				"INSERT INTO obj (key, rev, create_rev, value)"
				" VALUES ($1, $2, $2, $3) ON CONFLICT (key) DO NOTHING",
				insert, 3, NULL, NULL, changed, err);
	case STORE_UPDATE:
		return sql_exec(q->db,
				"UPDATE obj SET rev = $2, value = $3 WHERE key = $1 AND rev = $4",
				update, 4, NULL, NULL, changed, err);
	case STORE_DELETE:
		break;
	}
	return sql_exec(q->db, "DELETE FROM obj WHERE key = $1 AND rev = $2", delete, 2, NULL, NULL,
			changed, err);
}

static int add_log(struct sqlite *q, const struct store_item *it, int64_t rev, struct error *err)
{
	struct sql_value v[] = { sql_int(rev), sql_text(it->key), sql_int(it->op),
				 sql_int(it->want_rev), sql_blob(bytes_str(it->value)) };
	return sql_exec(q->db,
			"INSERT INTO log (rev, key, op, prev_rev, value)"
			" VALUES ($1, $2, $3, $4, $5)",
			v, 5, NULL, NULL, NULL, err);
}

/* Fills the item's result and counts *rev up on success; < 0 when the database failed. */
static int write_item(struct sqlite *q, struct store_item *it, int64_t *rev, struct error *err)
{
	if (it->fence_key.len) {
		int rc = check_fence(q, it, err);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			store_set_result(it, ERR_CONFLICT, "the writer lost its lease");
			it->result->fenced = true;
			return 0;
		}
	}
	int64_t changed = 0;
	int rc = change_obj(q, it, *rev + 1, &changed, err);
	if (rc == 0 && changed == 0) {
		bool create = it->op == STORE_CREATE;
		store_set_result(it, create ? ERR_EXISTS : ERR_CONFLICT,
				 create ? "the key exists" : "the key has another revision");
		return 0;
	}
	if (rc == 0)
		rc = add_log(q, it, *rev + 1, err);
	if (rc == 0 && it->set_fence_key.len)
		rc = set_fence(q, it, err);
	if (rc == 0)
		it->result->rev = ++*rev;
	return rc;
}

static int write_group(struct sqlite *q, struct store_item **items, size_t n, int64_t *rev,
		       struct error *err)
{
	int64_t before = *rev;
	size_t failed = 0;
	int rc = sql_script(q->db, "SAVEPOINT g", err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = write_item(q, items[i], rev, err);
		failed += items[i]->result->code != ERR_OK;
	}
	if (rc < 0 || failed == 0)
		return rc < 0 ? rc : sql_script(q->db, "RELEASE g", err);
	*rev = before;
	for (size_t i = 0; i < n; i++) {
		if (items[i]->result->code == ERR_OK)
			store_set_result(items[i], ERR_CONFLICT,
					 "another write of the group failed");
	}
	return sql_script(q->db, "ROLLBACK TO g; RELEASE g", err);
}

static int write_all(struct sqlite *q, struct store_batch *b, struct error *err)
{
	for (size_t i = 0; i < b->n;) {
		const struct store_sub *sub = b->items[i]->sub;
		size_t n = sub->atomic ? sub->n : 1;
		int rc = n == 1 ? write_item(q, b->items[i], &b->rev, err)
				: write_group(q, &b->items[i], n, &b->rev, err);
		if (rc < 0)
			return rc;
		i += n;
	}
	if (b->rev == b->base)
		return 0;
	struct sql_value rev = sql_int(b->rev);
	return sql_exec(q->db, "UPDATE meta SET rev = $1 WHERE id = 1", &rev, 1, NULL, NULL, NULL,
			err);
}

static int commit(struct sqlite *q, struct store_batch *b, struct error *err)
{
	int rc = sql_begin(q->db, err);
	if (rc < 0)
		return rc;
	b->base = b->rev = q->rev;
	rc = write_all(q, b, err);
	if (rc < 0) {
		sql_rollback(q->db);
		return rc;
	}
	if (b->rev == b->base) {
		sql_rollback(q->db);
		return 0;
	}
	rc = sql_commit(q->db, err);
	if (rc == 0)
		q->rev = b->rev;
	return rc;
}

static int sqlite_commit(struct store *s, struct store_batch *b, struct error *err)
{
	struct sqlite *q = s->backend;
	int rc = reopen(s, err);
	if (rc < 0)
		return rc;
	rc = commit(q, b, err);
	/* After an I/O error nothing in SQLite's memory is trusted: the file says what is. */
	if (rc == ERR_UNKNOWN || rc == ERR_UNAVAILABLE || rc == ERR_INTERNAL)
		q->db = sql_close(q->db);
	return rc;
}

/* ---- what may have happened ---- */

static int catch_up_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct store_event ev = event_of(v);
	store_reader_add(arg, &ev);
	return 0;
}

static int sqlite_catch_up(struct store *s, int64_t rev, struct error *err)
{
	struct sqlite *q = s->backend;
	int rc = reopen(s, err);
	if (rc < 0)
		return rc;
	struct store_reader *r = mem_new(struct store_reader, 1);
	r->s = s;
	struct sql_value v[] = { sql_int(store_rev(s)), sql_int(rev) };
	rc = sql_exec(q->db,
		      "SELECT rev, key, op, prev_rev, value FROM log"
		      " WHERE rev > $1 AND rev <= $2 ORDER BY rev",
		      v, 2, catch_up_row, r, NULL, err);
	if (rc == 0)
		store_reader_end(r, rev);
	else
		store_reader_drop(r);
	mem_free(r);
	return rc;
}

static int sqlite_reconcile(struct store *s, struct error *err)
{
	struct sqlite *q = s->backend;
	int rc = reopen(s, err);
	if (rc < 0 || q->rev <= store_rev(s))
		return rc;
	return sqlite_catch_up(s, q->rev, err);
}

/* ---- compaction ---- */

static int lowest_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	if (v[0].type == SQL_INT)
		*(int64_t *)arg = v[0].i;
	return 0;
}

static int sqlite_compact(struct store *s, int64_t rev, struct error *err)
{
	struct sqlite *q = s->backend;
	if (!q->db)
		return error_set(err, ERR_UNAVAILABLE, "the file is closed");
	int64_t lowest = rev;
	int rc = sql_exec(q->db, "SELECT min(rev) FROM log", NULL, 0, lowest_row, &lowest, NULL,
			  err);
	if (rc < 0)
		return rc;
	int64_t to = lowest + COMPACT_ROWS < rev ? lowest + COMPACT_ROWS : rev;
	struct sql_value v = sql_int(to);
	rc = sql_begin(q->db, err);
	if (rc < 0)
		return rc;
	rc = sql_exec(q->db, "DELETE FROM log WHERE rev < $1", &v, 1, NULL, NULL, NULL, err);
	if (rc == 0)
		rc = sql_exec(q->db, "UPDATE meta SET compact_rev = $1 WHERE id = 1", &v, 1, NULL,
			      NULL, NULL, err);
	if (rc < 0) {
		sql_rollback(q->db);
		return rc;
	}
	rc = sql_commit(q->db, err);
	if (rc == 0)
		store_compacted(s, to);
	return rc;
}

const struct store_ops STORE_SQLITE = {
	.mixes_groups = true,
	.open = sqlite_open,
	.commit = sqlite_commit,
	.catch_up = sqlite_catch_up,
	.reconcile = sqlite_reconcile,
	.compact = sqlite_compact,
	.close = sqlite_close,
};
