#include "store/store_postgres.h"

#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>

/* Which history the server writes: its WAL timeline as of now, and the cluster's own number. */
#define TIMELINE \
	"('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint"
#define SYSID "(SELECT system_identifier FROM pg_control_system())"

static const char *const STEPS[] = {
	"CREATE TABLE meta (id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, rev BIGINT NOT NULL,"
	" compact_rev BIGINT NOT NULL, tl BIGINT NOT NULL, sysid BIGINT NOT NULL)"
	" WITH (fillfactor = 10);"
	"INSERT INTO meta VALUES (1, 1, 0, 0, " TIMELINE ", " SYSID ");"
	"CREATE TABLE obj (key TEXT COLLATE \"C\" PRIMARY KEY, rev BIGINT NOT NULL,"
	" create_rev BIGINT NOT NULL, value BYTEA NOT NULL) WITH (fillfactor = 70);"
	"CREATE TABLE log (rev BIGINT PRIMARY KEY, key TEXT COLLATE \"C\" NOT NULL,"
	" op BIGINT NOT NULL, prev_rev BIGINT NOT NULL, value BYTEA NOT NULL)"
	" PARTITION BY RANGE (rev);"
	"CREATE TABLE epochs (epoch BIGINT PRIMARY KEY, first_rev BIGINT NOT NULL,"
	" parent_last_rev BIGINT NOT NULL);"
	"CREATE TABLE fence (key TEXT COLLATE \"C\" PRIMARY KEY, token BIGINT NOT NULL)",
};

/*
 * One plan for ever, by index: it is made when the tables are empty and must be
 * right when they are large.  No timeout may cut a commit off; a frozen
 * client must not keep the counter locked.
 */
static const char SESSION[] =
	"SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;"
	"SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;"
	"SET statement_timeout = 0; SET lock_timeout = 0;"
	"SET idle_in_transaction_session_timeout = '10s';"
	"SET default_transaction_isolation = 'read committed';"
	"SELECT set_config('synchronous_commit', 'on', false)"
	" WHERE current_setting('synchronous_commit') = 'off';"
	"DO $$ BEGIN SET default_toast_compression = 'lz4';"
	" EXCEPTION WHEN OTHERS THEN NULL; END $$";

/* ---- questions ---- */

static int meta_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(struct pg_meta *)arg = (struct pg_meta){ v[0].i, v[1].i, v[2].i };
	return 0;
}

int pg_read_meta(struct sql *db, struct pg_meta *ret, struct error *err)
{
	return sql_exec(db, "SELECT epoch, rev, compact_rev FROM meta WHERE id = 1", NULL, 0,
			meta_row, ret, NULL, err);
}

static int number_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(int64_t *)arg = v[0].type == SQL_INT ? v[0].i : 0;
	return 0;
}

static int ask_number(struct sql *db, const char *stmt, int64_t *ret, struct error *err)
{
	return sql_exec(db, stmt, NULL, 0, number_row, ret, NULL, err);
}

/* ---- partitions ---- */

static int64_t floor_of(int64_t rev)
{
	return rev - rev % STORE_PARTITION_REVS;
}

/*
 * Made by itself and then attached: that lock is compatible with other
 * servers' batches and with a running dump.  Inside the caller's transaction.
 */
static int add_partition(struct sql *db, int64_t from, struct error *err)
{
	struct buf b = { 0 };
	buf_addf(&b,
		 "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7226351002);"
		 " IF to_regclass('log_%lld') IS NULL THEN"
		 " CREATE TABLE log_%lld (LIKE log INCLUDING ALL)"
		 " WITH (autovacuum_enabled = false);"
		 " ALTER TABLE log ATTACH PARTITION log_%lld FOR VALUES FROM (%lld) TO (%lld);"
		 " END IF; END $$",
		 (long long)from, (long long)from, (long long)from, (long long)from,
		 (long long)(from + STORE_PARTITION_REVS));
	int rc = sql_script(db, buf_cstr(&b), err);
	buf_fini(&b);
	return rc;
}

/* Room for what comes after `rev`: its partition and the next one. */
static int ensure_partitions(struct postgres *q, int64_t rev, struct error *err)
{
	int64_t from = floor_of(rev + 1);
	if (q->partitions >= from + 2 * STORE_PARTITION_REVS)
		return 0;
	int rc = add_partition(q->db, from, err);
	if (rc == 0)
		rc = add_partition(q->db, from + STORE_PARTITION_REVS, err);
	if (rc == 0)
		q->partitions = from + 2 * STORE_PARTITION_REVS;
	return rc;
}

/* ---- epochs ---- */

static int step_in_transaction(struct postgres *q, struct error *err)
{
	/* Another server may have made the step while this one waited for the row. */
	int64_t rev = -1;
	int rc = ask_number(q->db,
			    "SELECT rev FROM meta WHERE id = 1 AND (tl <> " TIMELINE
			    " OR sysid <> " SYSID ") FOR UPDATE",
			    &rev, err);
	if (rc < 0 || rev < 0)
		return rc;
	int64_t next = store_epoch_rev(rev, clock_unix_ms());
	rc = add_partition(q->db, floor_of(next + 1), err);
	struct sql_value v[] = { sql_int(next), sql_int(rev) };
	if (rc == 0)
		rc = sql_exec(q->db,
			      "INSERT INTO epochs (epoch, first_rev, parent_last_rev)"
			      " SELECT epoch + 1, $1 + 1, $2 FROM meta WHERE id = 1",
			      v, 2, NULL, NULL, NULL, err);
	if (rc == 0)
		rc = sql_exec(q->db,
			      "UPDATE meta SET epoch = epoch + 1, rev = $1, tl = " TIMELINE
			      ", sysid = " SYSID " WHERE id = 1",
			      v, 1, NULL, NULL, NULL, err);
	return rc;
}

/* The server writes another history than the tables were last written in. */
static int step_epoch(struct postgres *q, struct error *err)
{
	int rc = sql_begin(q->db, err);
	if (rc < 0)
		return rc;
	rc = step_in_transaction(q, err);
	if (rc < 0) {
		sql_rollback(q->db);
		return rc;
	}
	return sql_commit(q->db, err);
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

static int history_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct store_event ev = event_of(v);
	store_open_history(arg, &ev);
	bytes_unref(ev.value);
	return 0;
}

/* All of one snapshot: what commits meanwhile comes as events. */
static int load(struct store *s, struct error *err)
{
	struct postgres *q = s->backend;
	struct pg_meta m = { 0 };
	int rc =
		sql_script(q->db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
	if (rc == 0)
		rc = pg_read_meta(q->db, &m, err);
	if (rc < 0)
		return rc;
	store_compacted(s, m.compact_rev);
	rc = sql_exec(q->db, "SELECT first_rev, parent_last_rev FROM epochs ORDER BY epoch", NULL,
		      0, epoch_row, s, NULL, err);
	if (rc == 0)
		rc = sql_exec(q->db, "SELECT key, rev, create_rev, value FROM obj ORDER BY key",
			      NULL, 0, obj_row, s, NULL, err);
	struct sql_value from = sql_int(m.compact_rev);
	if (rc == 0)
		rc = sql_exec(q->db,
			      "SELECT rev, key, op, prev_rev, value FROM log WHERE rev >= $1"
			      " ORDER BY rev",
			      &from, 1, history_row, s, NULL, err);
	s->epoch = m.epoch;
	atomic_store(&s->delivered, m.rev);
	return rc;
}

static int load_in_transaction(struct store *s, struct error *err)
{
	struct postgres *q = s->backend;
	int rc = sql_begin(q->db, err);
	if (rc < 0)
		return rc;
	rc = load(s, err);
	if (rc < 0) {
		sql_rollback(q->db);
		return rc;
	}
	return sql_commit(q->db, err);
}

static int schema_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	struct postgres *q = arg;
	if (v[0].type != SQL_TEXT || v[0].s.len > 63)
		return error_set(err, ERR_INVALID, "the search_path names no schema");
	(void)snprintf(q->channel, sizeof(q->channel), "rctl_store_%.*s", STR_ARG(v[0].s));
	return 0;
}

static int pg_open(struct store *s, struct error *err)
{
	struct postgres *q = mem_new(struct postgres, 1);
	s->backend = q;
	(void)snprintf(q->id, sizeof(q->id), "%016llx", (unsigned long long)clock_random_u64());
	int rc = sql_open(s->cfg.url, &q->db, err);
	if (rc == 0)
		rc = sql_session(q->db, SESSION, err);
	if (rc == 0)
		rc = sql_exec(q->db, "SELECT current_schema()::text", NULL, 0, schema_row, q, NULL,
			      err);
	if (rc == 0)
		rc = sql_migrate(q->db, "store", STEPS, sizeof(STEPS) / sizeof(STEPS[0]), err);
	if (rc == 0)
		rc = step_epoch(q, err);
	int64_t rev = 0;
	if (rc == 0)
		rc = ask_number(q->db, "SELECT rev FROM meta WHERE id = 1", &rev, err);
	if (rc == 0)
		rc = ensure_partitions(q, rev, err);
	return rc < 0 ? rc : load_in_transaction(s, err);
}

static void pg_close(struct store *s)
{
	struct postgres *q = s->backend;
	pg_follow_stop(s);
	(void)sql_close(q->db);
	struct sql_array *all[] = { &q->op,    &q->key,   &q->want,      &q->value,
				    &q->fence, &q->token, &q->set_fence, &q->set_token };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sql_array_fini(all[i]);
	mem_free(q);
}

/* ---- batches ---- */

/*
 * The counter row first: it is locked to the end of the commit, so commits have
 * the order of revisions.  Rows that changed since the statement's snapshot are checked
 * again in their newest version (READ COMMITTED), so a compare is against what the
 * batch before left.  No row from c: the server's history is not that of the tables.
 */
#define COUNT \
	"WITH c AS (UPDATE meta SET rev = rev + $5 WHERE id = 1 AND tl = " TIMELINE \
	" AND sysid = " SYSID " RETURNING rev - $5 AS base," \
	" CASE WHEN $6 <> '' THEN pg_notify($6, $7) END),"

#define ITEMS \
	"unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[])" \
	" WITH ORDINALITY AS t(op, key, want, val, ord)"

#define CREATE(src) \
	"n AS (INSERT INTO obj (key, rev, create_rev, value)" \
	" SELECT i.key, c.base + i.ord, c.base + i.ord, i.val FROM c, " src \
	" i WHERE i.op = 0 ON CONFLICT (key) DO NOTHING RETURNING rev, key, value),"

#define UPDATE(src) \
	"u AS (UPDATE obj o SET rev = c.base + i.ord, value = i.val FROM c, " src \
	" i WHERE i.op = 1 AND o.key = i.key AND o.rev = i.want" \
	" RETURNING o.rev, o.create_rev, i.key, i.want, i.val),"

#define LOG "l AS (INSERT INTO log (rev, key, op, prev_rev, value)"

/* From `src`: creates, updates, deletes, and the rows of the log that they make. */
#define WRITE(src) \
	CREATE(src) \
	UPDATE(src) \
	"d AS (DELETE FROM obj o USING c, " src " i" \
	" WHERE i.op = 2 AND o.key = i.key AND o.rev = i.want" \
	" RETURNING c.base + i.ord AS rev, o.create_rev, i.key, i.want, i.val)," LOG \
	" SELECT rev, key, 0, 0, value FROM n UNION ALL SELECT rev, key, 1, want, val FROM u" \
	" UNION ALL SELECT rev, key, 2, want, val FROM d)"

/* What was done; each row in its CTE once, with its value. */
#define DONE \
	"(SELECT rev, rev AS create_rev FROM n UNION ALL SELECT rev, create_rev FROM u" \
	" UNION ALL SELECT rev, create_rev FROM d) w"

/*
 * Starting a statement costs as much as a dozen writes, most of it for each table that it
 * may write: so batches of creates alone and of updates alone have their own.
 */
/* clang-format off: it reads pasted macros as calls. */
static const char CREATES[] = COUNT "i AS (SELECT * FROM " ITEMS ")," CREATE("i") LOG
	" SELECT rev, key, 0, 0, value FROM n)"
	" SELECT c.base, n.rev, n.rev, 0::bigint FROM c LEFT JOIN n ON true";

static const char UPDATES[] = COUNT "i AS MATERIALIZED (SELECT * FROM " ITEMS ")," UPDATE("i") LOG
	" SELECT rev, key, 1, want, val FROM u)"
	" SELECT c.base, u.rev, u.create_rev, 0::bigint FROM c LEFT JOIN u ON true";

static const char MIXED[] = COUNT "i AS MATERIALIZED (SELECT * FROM " ITEMS ")," WRITE(
	"i") " SELECT c.base, w.rev, w.create_rev, 0::bigint FROM c LEFT JOIN " DONE " ON true";

/*
 * With fences.  Their rows are locked behind the counter's, which also gives
 * their newest version: the token that counts is the one of the commit before.
 */
static const char FENCED[] = COUNT
	"i AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[],"
	" $4::bytea[], $8::text[], $9::bigint[], $10::text[], $11::bigint[]) WITH ORDINALITY"
	" AS t(op, key, want, val, fence, token, set_fence, set_token, ord)),"
	"f AS MATERIALIZED (SELECT x.key, x.token FROM c, fence x"
	" WHERE x.key = ANY($8::text[]) FOR UPDATE OF x),"
	"a AS MATERIALIZED (SELECT i.*, i.fence = '' OR EXISTS (SELECT FROM f"
	" WHERE f.key = i.fence AND f.token = i.token) AS ok FROM i),"
	"j AS MATERIALIZED (SELECT * FROM a WHERE ok)," WRITE(
		"j") ","
		     "s AS (INSERT INTO fence (key, token) SELECT j.set_fence, j.set_token"
		     " FROM c, (SELECT * FROM j WHERE set_fence <> '') j, " DONE
		     " WHERE w.rev = c.base + j.ord ON CONFLICT (key) DO UPDATE SET token = "
		     "excluded.token)"
		     " SELECT c.base, w.rev, w.create_rev, 0::bigint FROM c LEFT JOIN " DONE
		     " ON true"
		     " UNION ALL SELECT c.base, c.base + a.ord, 0, 1 FROM c, a WHERE NOT a.ok";
/* clang-format on */

struct outcome {
	struct store_batch *b;
	size_t rows, done;
};

static int batch_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	struct outcome *o = arg;
	o->rows++;
	o->b->base = v[0].i;
	if (v[1].type == SQL_NULL)
		return 0;
	int64_t at = v[1].i - v[0].i - 1;
	if (at < 0 || (uint64_t)at >= o->b->n)
		return error_set(err, ERR_INTERNAL, "a revision outside of its batch");
	struct store_item *it = o->b->items[at];
	if (v[3].i) {
		it->result->fenced = true;
		return 0;
	}
	it->result->rev = v[1].i;
	it->create_rev = v[2].i;
	o->done++;
	return 0;
}

/* The statement that does it; *ret_fenced: whether any of them has to do with a fence. */
static const char *fill_arrays(struct postgres *q, const struct store_batch *b, bool *ret_fenced)
{
	bool fenced = false;
	unsigned ops = 0;
	sql_array_clear(&q->op, SQL_INT);
	sql_array_clear(&q->key, SQL_TEXT);
	sql_array_clear(&q->want, SQL_INT);
	sql_array_clear(&q->value, SQL_BLOB);
	for (size_t i = 0; i < b->n; i++) {
		const struct store_item *it = b->items[i];
		ops |= 1U << it->op;
		sql_array_add_int(&q->op, (int64_t)it->op);
		sql_array_add(&q->key, it->key);
		sql_array_add_int(&q->want, it->want_rev);
		sql_array_add(&q->value, bytes_str(it->value));
		fenced |= it->fence_key.len || it->set_fence_key.len;
	}
	*ret_fenced = fenced;
	if (!fenced)
		return ops == 1U << STORE_CREATE   ? CREATES
		       : ops == 1U << STORE_UPDATE ? UPDATES
						   : MIXED;
	sql_array_clear(&q->fence, SQL_TEXT);
	sql_array_clear(&q->token, SQL_INT);
	sql_array_clear(&q->set_fence, SQL_TEXT);
	sql_array_clear(&q->set_token, SQL_INT);
	for (size_t i = 0; i < b->n; i++) {
		const struct store_item *it = b->items[i];
		sql_array_add(&q->fence, it->fence_key);
		sql_array_add_int(&q->token, it->fence_token);
		sql_array_add(&q->set_fence, it->set_fence_key);
		sql_array_add_int(&q->set_token, it->set_fence_token);
	}
	return FENCED;
}

static void name_failures(struct store_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct store_item *it = b->items[i];
		if (it->result->rev)
			continue;
		bool create = it->op == STORE_CREATE;
		if (it->result->fenced)
			store_set_result(it, ERR_CONFLICT, "the writer lost its lease");
		else
			store_set_result(it, create ? ERR_EXISTS : ERR_CONFLICT,
					 create ? "the key exists"
						: "the key has another revision");
	}
}

/* One try.  *ret_done: how many of the writes were done; rows 0: another epoch. */
static int run_statement(struct postgres *q, struct outcome *o, struct error *err)
{
	bool fenced = false;
	const char *stmt = fill_arrays(q, o->b, &fenced);
	bool notify = atomic_load_explicit(&q->notify, memory_order_relaxed);
	struct sql_value v[] = {
		sql_array(&q->op),
		sql_array(&q->key),
		sql_array(&q->want),
		sql_array(&q->value),
		sql_int((int64_t)o->b->n),
		sql_text(notify ? str_of(q->channel) : STR("")),
		sql_text(str_of(q->id)),
		fenced ? sql_array(&q->fence) : sql_null(),
		fenced ? sql_array(&q->token) : sql_null(),
		fenced ? sql_array(&q->set_fence) : sql_null(),
		fenced ? sql_array(&q->set_token) : sql_null(),
	};
	return sql_exec(q->db, stmt, v, fenced ? 11 : 7, batch_row, o, NULL, err);
}

/* A group: its failed compare rolls back the whole. */
static int run_group(struct postgres *q, struct outcome *o, struct error *err)
{
	int rc = sql_begin(q->db, err);
	if (rc < 0)
		return rc;
	rc = run_statement(q, o, err);
	if (rc == 0 && o->done == o->b->n)
		return sql_commit(q->db, err);
	sql_rollback(q->db);
	if (rc < 0 || o->rows == 0)
		return rc;
	name_failures(o->b);
	for (size_t i = 0; i < o->b->n; i++) {
		struct store_item *it = o->b->items[i];
		if (it->result->code == ERR_OK)
			store_set_result(it, ERR_CONFLICT, "another write of the group failed");
	}
	return 0;
}

static int run(struct postgres *q, struct outcome *o, struct error *err)
{
	for (size_t i = 0; i < o->b->n; i++)
		*o->b->items[i]->result = (struct store_result){ 0 };
	*o = (struct outcome){ .b = o->b };
	return o->b->items[0]->sub->atomic ? run_group(q, o, err) : run_statement(q, o, err);
}

/* Nothing was done in all three cases; others may have moved the counter past our partitions. */
static int repair(struct postgres *q, int rc, struct error *err)
{
	if (rc == 0)
		return step_epoch(q, err);
	if (rc == ERR_CONFLICT)
		return err->code = ERR_UNAVAILABLE;
	int64_t before = q->partitions;
	struct pg_meta m = { 0 };
	struct error ignored = { 0 };
	if (rc != ERR_INVALID || pg_read_meta(q->db, &m, &ignored) < 0)
		return rc;
	q->partitions = 0;
	if (ensure_partitions(q, m.rev, &ignored) < 0 || q->partitions == before)
		return rc;
	return 0;
}

static int pg_commit(struct store *s, struct store_batch *b, struct error *err)
{
	enum { TRIES = 3 };
	struct postgres *q = s->backend;
	struct outcome o = { .b = b };
	for (int i = 0; i < TRIES; i++) {
		int rc = run(q, &o, err);
		if (rc == 0 && o.rows > 0) {
			bool undone = b->items[0]->sub->atomic && o.done < b->n;
			b->rev = undone ? b->base : b->base + (int64_t)b->n;
			if (!undone)
				name_failures(b);
			/* A failure shows again where there is no room: the batch's own repair. */
			struct error ignored = { 0 };
			if (b->rev + (int64_t)s->cfg.batch_writes_max >=
			    q->partitions - STORE_PARTITION_REVS)
				(void)ensure_partitions(q, b->rev, &ignored);
			return 0;
		}
		if (rc == ERR_UNKNOWN || rc == ERR_UNAVAILABLE || rc == ERR_LIMIT)
			return rc;
		rc = repair(q, rc, err);
		if (rc == ERR_UNKNOWN) /* the repair's, not the batch's */
			return err->code = ERR_UNAVAILABLE;
		if (rc < 0)
			return rc;
	}
	return error_set(err, ERR_UNAVAILABLE, "the database changes its epoch again and again");
}

/* ---- others' writes ---- */

struct steps {
	struct store *s;
	struct pg_step {
		int64_t epoch, first, last;
	} step[64];
	size_t n;
};

static int step_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct steps *x = arg;
	if (x->n < sizeof(x->step) / sizeof(x->step[0]))
		x->step[x->n++] = (struct pg_step){ v[0].i, v[1].i, v[2].i };
	return 0;
}

static int log_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct store_event ev = event_of(v);
	store_reader_add(arg, &ev);
	return 0;
}

/*
 * The log of one epoch up to `rev`, from a database in epoch min..max: another one behind the same
 * address (a standby was promoted meanwhile) may never have had it.
 */
static int read_log(struct store *s, struct sql *db, int64_t rev, const int64_t epochs[2],
		    struct error *err)
{
	int64_t from = store_rev(s);
	if (from >= rev)
		return 0;
	struct store_reader *r = mem_new(struct store_reader, 1);
	r->s = s;
	struct sql_value v[] = { sql_int(from), sql_int(rev) };
	int rc = sql_exec(db,
			  "SELECT rev, key, op, prev_rev, value FROM log"
			  " WHERE rev > $1 AND rev <= $2 ORDER BY rev",
			  v, 2, log_row, r, NULL, err);
	/* Asked afterwards: rows that were dropped while they were read would be a silent gap. */
	struct pg_meta m = { 0 };
	if (rc == 0)
		rc = pg_read_meta(db, &m, err);
	if (rc == 0 && m.compact_rev > from + 1) {
		store_lose(s, "other servers compacted the history that this one had not read");
		rc = error_set(err, ERR_EXPIRED, "the history is compacted");
	}
	if (rc == 0 && (m.rev < rev || m.epoch < epochs[0] || m.epoch > epochs[1]))
		rc = error_set(err, ERR_UNAVAILABLE, "the database changed while it was read");
	if (rc == 0)
		store_reader_end(r, rev);
	else
		store_reader_drop(r);
	mem_free(r);
	return rc;
}

int pg_catch_up(struct store *s, struct sql *db, int64_t rev, struct error *err)
{
	struct steps x = { .s = s };
	pthread_mutex_lock(&s->delivering);
	struct sql_value known = sql_int(s->epoch);
	pthread_mutex_unlock(&s->delivering);
	int rc = sql_exec(db,
			  "SELECT epoch, first_rev, parent_last_rev FROM epochs WHERE epoch > $1"
			  " ORDER BY epoch",
			  &known, 1, step_row, &x, NULL, err);
	for (size_t i = 0; i < x.n && rc == 0 && x.step[i].last < rev; i++) {
		rc = read_log(s, db, x.step[i].last, (int64_t[]){ x.step[i].epoch, INT64_MAX },
			      err);
		if (rc == 0 && !store_step(s, x.step[i].epoch, x.step[i].last, x.step[i].first)) {
			store_lose(s, "a failover lost writes that this server had told of");
			rc = error_set(err, ERR_EXPIRED, "the history has changed");
		}
	}
	int64_t epoch = x.n ? x.step[x.n - 1].epoch : known.i;
	return rc < 0 ? rc : read_log(s, db, rev, (int64_t[]){ epoch, epoch }, err);
}

static int writer_catch_up(struct store *s, int64_t rev, struct error *err)
{
	struct postgres *q = s->backend;
	return pg_catch_up(s, q->db, rev, err);
}

/* The follower finds by itself what became of it; this only keeps the order of things simple. */
static int pg_reconcile(struct store *s, struct error *err)
{
	struct postgres *q = s->backend;
	struct pg_meta m = { 0 };
	int rc = pg_read_meta(q->db, &m, err);
	return rc < 0 ? rc : pg_catch_up(s, q->db, m.rev, err);
}

/* ---- compaction ---- */

struct partitions {
	struct buf drop; /* names, each ended by NUL */
	int64_t rev;     /* only those below */
	int64_t lowest;  /* of those that stay */
};

static int partition_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct partitions *p = arg;
	int64_t from = 0;
	if (v[0].s.len <= 4 || !str_to_i64(str_sub(v[0].s, 4, v[0].s.len), &from))
		return 0;
	if (from + STORE_PARTITION_REVS <= p->rev) {
		buf_add_str(&p->drop, v[0].s);
		buf_addc(&p->drop, '\0');
	} else if (p->lowest < 0 || from < p->lowest) {
		p->lowest = from;
	}
	return 0;
}

/*
 * Dropping needs the log for itself.  A dump may hold it for hours, and all
 * batches would queue behind the one who waits: so a short wait, and again later.
 */
static int drop_partition(struct postgres *q, const char *name, struct error *err)
{
	struct buf b = { 0 };
	buf_addf(&b, "SET lock_timeout = '100ms'; DROP TABLE IF EXISTS %s; SET lock_timeout = 0",
		 name);
	int rc = sql_script(q->db, buf_cstr(&b), err);
	buf_fini(&b);
	return rc;
}

static int pg_compact(struct store *s, int64_t rev, struct error *err)
{
	struct postgres *q = s->backend;
	struct partitions p = { .rev = rev, .lowest = -1 };
	int rc = sql_exec(q->db,
			  "SELECT c.relname::text FROM pg_inherits i, pg_class c"
			  " WHERE i.inhrelid = c.oid AND i.inhparent = to_regclass('log')",
			  NULL, 0, partition_row, &p, NULL, err);
	if (rc < 0 || p.drop.len == 0 || p.lowest < 0) {
		buf_fini(&p.drop);
		return rc;
	}
	struct sql_value v = sql_int(p.lowest);
	rc = sql_exec(q->db, "UPDATE meta SET compact_rev = $1 WHERE id = 1 AND compact_rev < $1",
		      &v, 1, NULL, NULL, NULL, err);
	for (size_t at = 0; at < p.drop.len && rc == 0; at += strlen(p.drop.p + at) + 1)
		rc = drop_partition(q, p.drop.p + at, err);
	buf_fini(&p.drop);
	if (rc == 0)
		store_compacted(s, p.lowest);
	return rc;
}

const struct store_ops STORE_POSTGRES = {
	.shared = true,
	.open = pg_open,
	.start = pg_follow_start,
	.commit = pg_commit,
	.catch_up = writer_catch_up,
	.reconcile = pg_reconcile,
	.compact = pg_compact,
	.sync = pg_follow_sync,
	.close = pg_close,
};
