#include "sql/sql.h"
#include "sql/sql_wire.h"
#include "tests/fixtures/pg_private.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <math.h>
#include <pthread.h>
#include <sys/stat.h>

static struct pg_private pg;

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
	(void)set;
	pg_private_start(&pg);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	pg_private_stop(&pg);
}

enum { BOTH = 2 };

/* A fresh database of each kind; false when this machine has none of it. */
static bool open_fresh(int kind, struct sql **ret)
{
	struct error err = { 0 };
	char url[512] = "sqlite::memory:";
	char schema[64];
	(void)snprintf(schema, sizeof(schema), "sql_%d", (int)getpid());
	if (kind == SQL_POSTGRES && !pg_private_url(url, sizeof(url), schema))
		return false;
	cr_assert_eq(sql_open(url, ret, &err), 0, "%s", err.msg);
	cr_assert_eq(sql_dialect(*ret), kind);
	return true;
}

static void close_fresh(struct sql *s)
{
	struct error err = { 0 };
	char drop[128];
	(void)snprintf(drop, sizeof(drop), "DROP SCHEMA sql_%d CASCADE", (int)getpid());
	if (sql_dialect(s) == SQL_POSTGRES)
		cr_assert_eq(sql_script(s, drop, &err), 0, "%s", err.msg);
	cr_assert_null(sql_close(s));
}

struct seen {
	size_t rows, columns;
	int64_t i[8];
	double d;
	char text[64];
	size_t text_len;
	enum sql_type type[8];
};

static int see(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)err;
	struct seen *s = arg;
	s->rows++;
	s->columns = columns;
	for (size_t k = 0; k < columns && k < 8; k++) {
		s->type[k] = row[k].type;
		if (row[k].type == SQL_INT)
			s->i[k] = row[k].i;
		if (row[k].type == SQL_DOUBLE)
			s->d = row[k].d;
		if (row[k].type == SQL_TEXT || row[k].type == SQL_BLOB) {
			cr_assert(row[k].s.len < sizeof(s->text));
			memcpy(s->text, row[k].s.p, row[k].s.len);
			s->text_len = row[k].s.len;
		}
	}
	return 0;
}

static void must(struct sql *s, const char *stmt, const struct sql_value *p, size_t n,
		 struct seen *seen)
{
	struct error err = { 0 };
	if (seen)
		*seen = (struct seen){ 0 };
	cr_assert_eq(sql_exec(s, stmt, p, n, seen ? see : NULL, seen, NULL, &err), 0, "%s: %s",
		     stmt, err.msg);
}

Test(sql, both_databases_take_and_give_back_every_type)
{
	for (int kind = 0; kind < BOTH; kind++) {
		struct sql *s = NULL;
		if (!open_fresh(kind, &s))
			continue;
		struct error err = { 0 };
		cr_assert_eq(sql_script(s,
					"CREATE TABLE t (id BIGINT PRIMARY KEY, d DOUBLE PRECISION,"
					" x TEXT, b BYTEA);",
					&err),
			     0, "%s", err.msg);
		struct sql_value v[] = { sql_int(INT64_MIN), sql_double(0.1),
					 sql_text(STR("a'b$1\"")), sql_blob(STR("\0\xff")) };
		must(s, "INSERT INTO t (x, b, d, id) VALUES ($3, $4, $2, $1)", v, 4, NULL);
		struct seen seen;
		must(s, "SELECT id, d, x FROM t WHERE x = 'a''b$1\"'", NULL, 0, &seen);
		cr_assert_eq(seen.rows, 1);
		cr_assert_eq(seen.i[0], INT64_MIN);
		cr_assert(seen.d == 0.1);
		cr_assert_str_eq(seen.text, "a'b$1\"");
		must(s, "SELECT b FROM t", NULL, 0, &seen);
		cr_assert_eq(seen.type[0], SQL_BLOB);
		cr_assert_eq(seen.text_len, 2);
		cr_assert_arr_eq(seen.text, "\0\xff", 2);
		struct sql_value nothing[] = { sql_int(2), sql_null(), sql_text(STR_NONE),
					       sql_blob(STR_NONE) };
		must(s, "INSERT INTO t (x, b, d, id) VALUES ($3, $4, $2, $1)", nothing, 4, NULL);
		must(s, "SELECT d, x, b FROM t WHERE id = 2", NULL, 0, &seen);
		cr_assert_eq(seen.type[0], SQL_NULL);
		cr_assert_eq(seen.type[1], SQL_TEXT);
		cr_assert_eq(seen.type[2], SQL_BLOB);
		must(s, "SELECT COUNT(*), SUM(2), MAX(d) FROM t", NULL, 0, &seen);
		cr_assert_eq(seen.i[0], 2);
		cr_assert_eq(seen.i[1], 4);
		close_fresh(s);
	}
}

Test(sql, errors_have_the_same_codes_on_both_databases)
{
	static const struct {
		const char *stmt;
		int code;
	} CASES[] = {
		{ "INSERT INTO t (id, n) VALUES (1, 1)", ERR_EXISTS },
		{ "INSERT INTO t (id, n) VALUES (2, NULL)", ERR_INVALID },
		{ "INSERT INTO t (id, n) VALUES (2, -1)", ERR_INVALID },
		{ "INSERT INTO no_such (id) VALUES (2)", ERR_INVALID },
		{ "SELEC 1", ERR_INVALID },
	};
	for (int kind = 0; kind < BOTH; kind++) {
		struct sql *s = NULL;
		if (!open_fresh(kind, &s))
			continue;
		struct error err = { 0 };
		cr_assert_eq(sql_script(s,
					"CREATE TABLE t (id BIGINT PRIMARY KEY,"
					" n BIGINT NOT NULL CHECK (n > 0));"
					"INSERT INTO t VALUES (1, 1)",
					&err),
			     0);
		for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
			int rc = sql_exec(s, CASES[i].stmt, NULL, 0, NULL, NULL, NULL, &err);
			cr_expect_eq(rc, CASES[i].code, "%d %s: %d %s", kind, CASES[i].stmt, rc,
				     err.msg);
		}
		struct seen seen;
		must(s, "SELECT COUNT(*) FROM t", NULL, 0, &seen);
		cr_assert_eq(seen.i[0], 1);
		close_fresh(s);
	}
}

Test(sql, a_transaction_is_all_or_nothing_and_counts_changes)
{
	for (int kind = 0; kind < BOTH; kind++) {
		struct sql *s = NULL;
		if (!open_fresh(kind, &s))
			continue;
		struct error err = { 0 };
		struct seen seen;
		int64_t changed = 0;
		must(s, "CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)", NULL, 0, NULL);
		cr_assert_eq(sql_begin(s, &err), 0);
		must(s, "INSERT INTO t (id, n) VALUES (1, 1), (2, 2)", NULL, 0, NULL);
		sql_rollback(s);
		must(s, "SELECT COUNT(*) FROM t", NULL, 0, &seen);
		cr_assert_eq(seen.i[0], 0);
		cr_assert_eq(sql_begin(s, &err), 0);
		must(s, "INSERT INTO t (id, n) VALUES (1, 1), (2, 2)", NULL, 0, NULL);
		cr_assert_eq(
			sql_exec(s, "UPDATE t SET n = n + 1", NULL, 0, NULL, NULL, &changed, &err),
			0);
		cr_assert_eq(changed, 2);
		cr_assert_eq(sql_commit(s, &err), 0);
		must(s,
		     "INSERT INTO t (id, n) VALUES (1, 9) ON CONFLICT (id) DO UPDATE SET n = "
		     "excluded.n RETURNING n",
		     NULL, 0, &seen);
		cr_assert_eq(seen.rows, 1);
		cr_assert_eq(seen.i[0], 9);
		/* An error inside makes the commit fail, on PostgreSQL by itself. */
		cr_assert_eq(sql_begin(s, &err), 0);
		int rc = sql_exec(s, "INSERT INTO t (id, n) VALUES (1, 1)", NULL, 0, NULL, NULL,
				  NULL, &err);
		cr_assert_eq(rc, ERR_EXISTS);
		if (kind == SQL_POSTGRES)
			cr_assert_lt(sql_commit(s, &err), 0);
		else
			sql_rollback(s);
		close_fresh(s);
	}
}

static int stop_at_two(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)row;
	(void)columns;
	return ++*(int *)arg == 2 ? error_set(err, ERR_LIMIT, "enough") : 0;
}

Test(sql, a_callback_stops_a_result_and_the_connection_goes_on)
{
	for (int kind = 0; kind < BOTH; kind++) {
		struct sql *s = NULL;
		if (!open_fresh(kind, &s))
			continue;
		struct error err = { 0 };
		int n = 0;
		int rc = sql_exec(s, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", NULL, 0,
				  stop_at_two, &n, NULL, &err);
		cr_assert_eq(rc, ERR_LIMIT);
		cr_assert_eq(n, 2);
		struct seen seen;
		must(s, "SELECT 7", NULL, 0, &seen);
		cr_assert_eq(seen.i[0], 7);
		close_fresh(s);
	}
}

Test(sql, more_statements_than_the_cache_holds_still_run)
{
	for (int kind = 0; kind < BOTH; kind++) {
		struct sql *s = NULL;
		if (!open_fresh(kind, &s))
			continue;
		for (int i = 0; i < 1200; i++) {
			char stmt[64];
			struct seen seen;
			(void)snprintf(stmt, sizeof(stmt), "SELECT %d", i % 700);
			must(s, stmt, NULL, 0, &seen);
			cr_assert_eq(seen.i[0], i % 700);
		}
		close_fresh(s);
	}
}

Test(sql, migrations_run_once_in_order_and_refuse_newer_tables)
{
	static const char *const STEPS[] = {
		"CREATE TABLE m (id BIGINT)",
		"INSERT INTO m VALUES (1); INSERT INTO m VALUES (2)",
	};
	for (int kind = 0; kind < BOTH; kind++) {
		struct sql *s = NULL;
		if (!open_fresh(kind, &s))
			continue;
		struct error err = { 0 };
		struct seen seen;
		cr_assert_eq(sql_migrate(s, "test", STEPS, 1, &err), 0, "%s", err.msg);
		cr_assert_eq(sql_migrate(s, "test", STEPS, 2, &err), 0, "%s", err.msg);
		cr_assert_eq(sql_migrate(s, "test", STEPS, 2, &err), 0, "%s", err.msg);
		must(s, "SELECT COUNT(*) FROM m", NULL, 0, &seen);
		cr_assert_eq(seen.i[0], 2);
		cr_assert_eq(sql_migrate(s, "test", STEPS, 1, &err), ERR_INVALID);
		cr_assert_eq(sql_migrate(s, "other", STEPS + 1, 1, &err), 0, "%s", err.msg);
		must(s, "SELECT COUNT(*) FROM m", NULL, 0, &seen);
		cr_assert_eq(seen.i[0], 4);
		close_fresh(s);
	}
}

Test(sql, an_sqlite_file_is_private_and_an_exclusive_one_has_one_owner)
{
	char dir[] = "/tmp/rctl-sql-XXXXXX";
	cr_assert_not_null(mkdtemp(dir));
	char path[64], url[128];
	(void)snprintf(path, sizeof(path), "%s/a.db", dir);
	(void)snprintf(url, sizeof(url), "sqlite:%s?lock=exclusive", path);
	struct sql *one = NULL, *two = NULL;
	struct error err = { 0 };
	cr_assert_eq(sql_open(url, &one, &err), 0, "%s", err.msg);
	must(one, "CREATE TABLE t (id BIGINT)", NULL, 0, NULL);
	struct stat st;
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(sql_open(url, &two, &err), ERR_CONFLICT, "%s", err.msg);
	(void)sql_close(one);
	cr_assert_eq(sql_open(url, &two, &err), 0, "%s", err.msg);
	struct seen seen;
	must(two, "PRAGMA synchronous", NULL, 0, &seen);
	cr_assert_eq(seen.i[0], 2, "synchronous is FULL");
	(void)sql_close(two);
	cr_assert_eq(sql_open("sqlite:/no/such/dir/a.db", &one, &err), ERR_UNAVAILABLE);
	cr_assert_eq(sql_open("mysql://x", &one, &err), ERR_INVALID);
	cr_assert_eq(sql_open("postgres:///x?schema=A-b", &one, &err), ERR_INVALID);
	cr_assert_eq(sql_open("postgres:///x?host=/no/such/dir", &one, &err), ERR_UNAVAILABLE);
	char cmd[128];
	(void)snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	cr_assert_eq(system(cmd), 0);
}

Test(sql, arrays_become_rows_in_order)
{
	struct sql *s = NULL;
	if (!open_fresh(SQL_POSTGRES, &s))
		return;
	struct sql_array key = { 0 }, num = { 0 }, blob = { 0 };
	sql_array_clear(&key, SQL_TEXT);
	sql_array_clear(&num, SQL_INT);
	sql_array_clear(&blob, SQL_BLOB);
	for (int i = 0; i < 300; i++) {
		char k[16];
		(void)snprintf(k, sizeof(k), "k%d", i);
		sql_array_add(&key, str_of(k));
		sql_array_add_int(&num, -i);
		sql_array_add(&blob, str_n("\0\1", 2));
	}
	struct sql_value v[] = { sql_array(&key), sql_array(&num), sql_array(&blob) };
	struct seen seen;
	must(s,
	     "SELECT COUNT(*), SUM(n), SUM(length(b)), SUM((k = 'k' || (ord - 1))::int)"
	     " FROM unnest($1::text[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS t(k, n, b, "
	     "ord)",
	     v, 3, &seen);
	cr_assert_eq(seen.i[0], 300);
	cr_assert_eq(seen.i[1], -300 * 299 / 2);
	cr_assert_eq(seen.i[2], 600);
	cr_assert_eq(seen.i[3], 300);
	sql_array_clear(&num, SQL_INT);
	struct sql_value none = sql_array(&num);
	must(s, "SELECT COUNT(*) FROM unnest($1::bigint[])", &none, 1, &seen);
	cr_assert_eq(seen.i[0], 0);
	sql_array_fini(&key);
	sql_array_fini(&num);
	sql_array_fini(&blob);
	close_fresh(s);
}

Test(sql, a_numeric_is_an_integer_when_it_is_one)
{
	static const struct {
		const char *expr;
		bool whole;
		double d;
	} CASES[] = {
		{ "0::numeric", true, 0 },
		{ "-1::numeric", true, -1 },
		{ "123456789012::numeric", true, 123456789012.0 },
		{ "10000::numeric", true, 10000 },
		{ "9000000000000000000::numeric", true, 9e18 },
		{ "1e30::numeric", false, 1e30 },
		{ "0.00012::numeric", false, 0.00012 },
		{ "-12345.5::numeric", false, -12345.5 },
		{ "'Infinity'::numeric", false, INFINITY },
	};
	struct sql *s = NULL;
	if (!open_fresh(SQL_POSTGRES, &s))
		return;
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		char stmt[128];
		struct seen seen;
		(void)snprintf(stmt, sizeof(stmt), "SELECT %s", CASES[i].expr);
		must(s, stmt, NULL, 0, &seen);
		cr_expect_eq(seen.type[0], CASES[i].whole ? SQL_INT : SQL_DOUBLE, "%s", stmt);
		double got = CASES[i].whole ? (double)seen.i[0] : seen.d;
		bool same = got == CASES[i].d || fabs(got - CASES[i].d) < fabs(got) * 1e-12;
		cr_expect(same, "%s: %g", stmt, got);
	}
	close_fresh(s);
}

Test(sql, broken_bytes_on_the_wire_are_refused)
{
	static const uint32_t TYPES[] = { 16, 20, 21, 23, 26, 700, 701, 1700, 99999 };
	struct sql_value v;
	for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++)
		cr_expect_not(sql_wire_decode(TYPES[i], STR("\0\1\0"), &v), "type %u", TYPES[i]);
	cr_expect_not(sql_wire_decode(1700, STR("\0\7\0\0\0\0\0\0"), &v));
}

static void kill_backend(struct sql *killer, int64_t pid)
{
	struct sql_value p = sql_int(pid);
	must(killer, "SELECT pg_terminate_backend($1::int)", &p, 1, NULL);
	struct seen seen = { .rows = 1 };
	while (seen.i[0] || seen.rows == 0 || seen.columns == 0)
		must(killer, "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = $1", &p, 1, &seen);
}

Test(sql, a_lost_connection_is_opened_again_and_a_lost_transaction_says_so)
{
	struct sql *s = NULL, *killer = NULL;
	if (!open_fresh(SQL_POSTGRES, &s) || !open_fresh(SQL_POSTGRES, &killer))
		return;
	struct error err = { 0 };
	struct seen seen;
	must(s, "CREATE TABLE t (id BIGINT)", NULL, 0, NULL);
	cr_assert_eq(sql_session(s, "SET application_name = 'mine'", &err), 0);
	uint64_t generation = sql_generation(s);
	must(s, "SELECT pg_backend_pid()", NULL, 0, &seen);
	cr_assert_eq(sql_begin(s, &err), 0);
	must(s, "INSERT INTO t VALUES (1)", NULL, 0, NULL);
	kill_backend(killer, seen.i[0]);
	int rc = sql_exec(s, "INSERT INTO t VALUES (2)", NULL, 0, NULL, NULL, NULL, &err);
	cr_assert_eq(rc, ERR_UNAVAILABLE, "%d %s", rc, err.msg);
	rc = sql_exec(s, "INSERT INTO t VALUES (3)", NULL, 0, NULL, NULL, NULL, &err);
	cr_assert_eq(rc, ERR_UNAVAILABLE, "a broken transaction stays broken");
	sql_rollback(s);
	must(s, "SELECT COUNT(*) FROM t", NULL, 0, &seen);
	cr_assert_eq(seen.i[0], 0);
	cr_assert_gt(sql_generation(s), generation);
	must(s, "SELECT current_setting('application_name')", NULL, 0, &seen);
	cr_assert_str_eq(seen.text, "mine");
	(void)sql_close(killer);
	close_fresh(s);
}

struct sleeper {
	struct sql *s;
	int rc;
	struct error err;
};

static void *sleep_in_database(void *arg)
{
	struct sleeper *z = arg;
	z->rc = sql_exec(z->s, "INSERT INTO t SELECT 1 FROM pg_sleep(60)", NULL, 0, NULL, NULL,
			 NULL, &z->err);
	return NULL;
}

Test(sql, a_write_that_the_server_gave_up_was_not_done)
{
	struct sql *s = NULL, *killer = NULL;
	if (!open_fresh(SQL_POSTGRES, &s) || !open_fresh(SQL_POSTGRES, &killer))
		return;
	struct seen pid;
	must(s, "CREATE TABLE t (id BIGINT)", NULL, 0, NULL);
	must(s, "SELECT pg_backend_pid()", NULL, 0, &pid);
	struct sleeper z = { .s = s };
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, sleep_in_database, &z), 0);
	struct seen seen = { 0 };
	struct sql_value p = sql_int(pid.i[0]);
	while (seen.i[0] == 0)
		must(killer,
		     "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = "
		     "'PgSleep'",
		     &p, 1, &seen);
	kill_backend(killer, pid.i[0]);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(z.rc, ERR_UNAVAILABLE, "%d %s", z.rc, z.err.msg);
	(void)sql_close(killer);
	close_fresh(s);
}

/* Until it waits for a standby: the server's checkpointer tells it to, some time after a reload. */
static void *insert_many(void *arg)
{
	struct sleeper *z = arg;
	while (z->rc == 0)
		z->rc = sql_exec(z->s, "INSERT INTO t VALUES (1)", NULL, 0, NULL, NULL, NULL,
				 &z->err);
	return NULL;
}

Test(sql, a_cancelled_wait_for_a_standby_is_an_unknown_outcome)
{
	/* A server of its own: the setting holds up every writer. */
	struct pg_private own;
	(void)unsetenv("RCTL_TEST_POSTGRES");
	pg_private_start(&own);
	struct sql *s = NULL, *killer = NULL;
	if (!open_fresh(SQL_POSTGRES, &s) || !open_fresh(SQL_POSTGRES, &killer))
		return;
	struct seen pid;
	must(s, "CREATE TABLE t (id BIGINT)", NULL, 0, NULL);
	must(s, "SELECT pg_backend_pid()", NULL, 0, &pid);
	must(killer, "SET synchronous_commit = local", NULL, 0, NULL);
	must(killer, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", NULL, 0, NULL);
	must(killer, "SELECT pg_reload_conf()", NULL, 0, NULL);
	struct sleeper z = { .s = s };
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, insert_many, &z), 0);
	struct sql_value p = sql_int(pid.i[0]);
	struct seen seen = { 0 };
	while (seen.i[0] == 0)
		must(killer,
		     "SELECT COUNT(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = "
		     "'SyncRep'",
		     &p, 1, &seen);
	must(killer, "SELECT pg_cancel_backend($1::int)", &p, 1, NULL);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_assert_eq(z.rc, ERR_UNKNOWN, "%d %s", z.rc, z.err.msg);
	(void)sql_close(killer);
	(void)sql_close(s);
	pg_private_stop(&own);
}

struct notes {
	int n;
	char last[32];
};

static void note(void *arg, struct str channel, struct str payload)
{
	struct notes *x = arg;
	cr_assert(str_is(channel, "ch"));
	x->n++;
	(void)snprintf(x->last, sizeof(x->last), "%.*s", STR_ARG(payload));
}

Test(sql, a_listener_hears_what_another_connection_says)
{
	struct sql *s = NULL, *other = NULL;
	if (!open_fresh(SQL_POSTGRES, &s) || !open_fresh(SQL_POSTGRES, &other))
		return;
	struct error err = { 0 };
	struct notes notes = { 0 };
	cr_assert_eq(sql_session(s, "LISTEN ch", &err), 0, "%s", err.msg);
	cr_assert_eq(sql_wait(s, -1, 0, note, &notes, &err), 0);
	cr_assert_eq(notes.n, 0);
	struct sql_value p = sql_text(STR("hello"));
	must(other, "SELECT pg_notify('ch', $1)", &p, 1, NULL);
	while (notes.n == 0)
		cr_assert_eq(sql_wait(s, -1, 1000, note, &notes, &err), 0, "%s", err.msg);
	cr_assert_str_eq(notes.last, "hello");
	int fds[2];
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(sql_wait(s, fds[0], -1, note, &notes, &err), 0, "another descriptor wakes it");
	struct seen pid;
	must(s, "SELECT pg_backend_pid()", NULL, 0, &pid);
	kill_backend(other, pid.i[0]);
	int rc = 0;
	while (rc == 0)
		rc = sql_wait(s, -1, 1000, note, &notes, &err);
	cr_assert_eq(rc, ERR_UNAVAILABLE);
	(void)sql_close(other);
	close_fresh(s);
}
