#include "tests/fixtures/store_bed.h"

/* ---- several processes on one PostgreSQL ---- */

struct question {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	enum err_code code;
	int64_t rev;
};

static void on_answer(void *arg, enum err_code code, int64_t rev)
{
	struct question *q = arg;
	pthread_mutex_lock(&q->lock);
	q->done = true;
	q->code = code;
	q->rev = rev;
	pthread_cond_signal(&q->cond);
	pthread_mutex_unlock(&q->lock);
}

static struct question ask(struct store *s)
{
	struct question q = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	store_sync(s, on_answer, &q);
	pthread_mutex_lock(&q.lock);
	while (!q.done)
		pthread_cond_wait(&q.cond, &q.lock);
	pthread_mutex_unlock(&q.lock);
	return q;
}

static void check_sync(struct bed *b)
{
	struct store_result r = record_write(b->s, STORE_CREATE, "s", 0, "v");
	struct question q = ask(b->s);
	cr_assert_eq(q.code, 0);
	cr_assert_geq(q.rev, r.rev);
}

Test(store, a_question_is_answered_when_all_before_it_was_delivered)
{
	on_each(check_sync);
}

static void same_events(const struct record *a, const struct record *b)
{
	cr_assert_eq(a->n, b->n, "%zu %zu", a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		cr_assert_eq(a->ev[i].rev, b->ev[i].rev);
		cr_assert_eq(a->ev[i].op, b->ev[i].op);
		cr_assert_str_eq(a->ev[i].key, b->ev[i].key);
		cr_assert_str_eq(a->ev[i].value, b->ev[i].value);
	}
}

Test(store, two_servers_on_one_database_tell_the_same_story)
{
	struct bed a, b;
	if (!bed_init(&a, POSTGRES) || !bed_init(&b, POSTGRES))
		return;
	bed_open(&a);
	bed_open(&b);
	for (int i = 0; i < 20; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "s%d", i);
		struct store_result r = record_write(a.s, STORE_CREATE, key, 0, "v");
		must_be(r, ERR_OK);
		cr_assert_geq(ask(b.s).rev, r.rev);
		cr_assert_geq(store_rev(b.s), r.rev);
		must_be(record_write(b.s, STORE_UPDATE, key, r.rev, "w"), ERR_OK);
	}
	static struct writer w[WRITERS];
	pthread_t t[WRITERS];
	start_writers(&a, w, t, WRITERS / 2, 0);
	start_writers(&b, w + WRITERS / 2, t + WRITERS / 2, WRITERS / 2, WRITERS / 2);
	join_writers(t, WRITERS);
	cr_assert_eq(ask(a.s).code, 0);
	cr_assert_eq(ask(b.s).code, 0);
	size_t ok = 0;
	for (int i = 0; i < WRITERS; i++) {
		check_acked(&a.rec, &w[i]);
		check_acked(&b.rec, &w[i]);
		ok += w[i].ok;
	}
	cr_assert_eq(ok + 40, a.rec.n);
	same_events(&a.rec, &b.rec);
	bed_close(&a);
	record_fini(&a.rec);
	bed_fini(&b);
}

static int first_number(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(int64_t *)arg = row[0].i;
	return 0;
}

/* Another server in the middle of its batch: takes over the lease, changes a, creates b. */
static void begin_foreign_batch(struct sql *db)
{
	struct error err = { 0 };
	cr_assert_eq(sql_begin(db, &err), 0);
	script(db, "UPDATE meta SET rev = rev + 3");
	script(db, "UPDATE fence SET token = 2 WHERE key = 'x'");
	script(db, "WITH o AS (UPDATE obj SET rev = meta.rev - 1 FROM meta WHERE key = 'a'"
		   " RETURNING obj.rev) INSERT INTO log"
		   " SELECT o.rev, 'a', 1, o.rev - 2, '2' FROM o");
	script(db, "INSERT INTO obj SELECT 'b', rev, rev, '1' FROM meta");
	script(db, "INSERT INTO log SELECT rev, 'b', 0, 0, '1' FROM meta");
}

/* Submits and ends the foreign batch once this one waits for it. */
static void overtake(struct bed *b, struct sql *db, const struct store_write *w, size_t n,
		     struct record_answer *a)
{
	struct error err = { 0 };
	int64_t waits = 0;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->cond, NULL);
	begin_foreign_batch(db);
	store_submit(b->s, w, n, false, record_done, a);
	while (waits == 0)
		cr_assert_eq(sql_exec(db,
				      "SELECT count(*) FROM pg_stat_activity, pg_locks l"
				      " WHERE pg_stat_activity.pid = l.pid AND NOT l.granted"
				      " AND query LIKE 'WITH c AS%'",
				      NULL, 0, first_number, &waits, NULL, &err),
			     0);
	cr_assert_eq(sql_commit(db, &err), 0);
	pthread_mutex_lock(&a->lock);
	while (!a->done)
		pthread_cond_wait(&a->cond, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

/* Each kind of batch has a statement of its own; all must see the same. */
static void check_overtaken(enum store_op only, bool mixed, bool fenced)
{
	struct bed b;
	if (!bed_init(&b, POSTGRES))
		return;
	bed_open(&b);
	struct store_write lease = record_make(STORE_CREATE, "lease", 0, "l");
	lease.set_fence_key = STR("x");
	lease.set_fence_token = 1;
	struct store_result first;
	record_write_all(b.s, &lease, 1, false, &first);
	must_be(first, ERR_OK);
	struct store_result d = record_write(b.s, STORE_CREATE, "d", 0, "1");
	struct store_result made = record_write(b.s, STORE_CREATE, "a", 0, "1");
	struct store_write w[5];
	enum err_code want[5];
	size_t n = 0;
	if (fenced) {
		w[n] = record_make(STORE_CREATE, "led", 0, "v");
		w[n].fence_key = STR("x");
		w[n].fence_token = 1;
		want[n++] = ERR_CONFLICT;
	}
	if (mixed || only == STORE_UPDATE) {
		w[n] = record_make(STORE_UPDATE, "a", made.rev, "3");
		want[n++] = ERR_CONFLICT;
		w[n] = record_make(STORE_UPDATE, "d", d.rev, "3");
		want[n++] = ERR_OK;
	}
	if (mixed || only == STORE_CREATE) {
		w[n] = record_make(STORE_CREATE, "b", 0, "3");
		want[n++] = ERR_EXISTS;
		w[n] = record_make(STORE_CREATE, "c", 0, "3");
		want[n++] = ERR_OK;
	}
	struct sql *db = bed_sql(&b);
	struct record_answer a = { 0 };
	overtake(&b, db, w, n, &a);
	size_t done = 0;
	for (size_t i = 0; i < n; i++) {
		cr_expect_eq(a.result[i].code, want[i], "%d %d: %.*s", mixed, fenced,
			     STR_ARG(w[i].key));
		done += a.result[i].code == ERR_OK;
		bytes_unref(w[i].value);
	}
	cr_assert_eq(a.result[0].fenced, fenced, "the paused leader alone is refused");
	cr_assert_eq(b.rec.n, 5 + done, "lease, d, a, then the other server's two, then ours");
	cr_assert_str_eq(b.rec.ev[4].key, "b");
	bytes_unref(lease.value);
	(void)sql_close(db);
	bed_fini(&b);
}

Test(store, a_batch_that_waited_for_another_server_sees_what_that_one_did)
{
	check_overtaken(STORE_CREATE, false, false);
	check_overtaken(STORE_UPDATE, false, false);
	check_overtaken(STORE_CREATE, true, false);
	check_overtaken(STORE_CREATE, true, true);
}

static int count_row(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)err;
	(void)columns;
	struct record *r = arg;
	struct store_event ev = { .rev = row[0].i,
				  .key = row[1].s,
				  .op = (enum store_op)row[2].i,
				  .prev_rev = row[3].i,
				  .value = bytes_of_str(row[4].s) };
	record_one(r, &ev);
	bytes_unref(ev.value);
	return 0;
}

Test(store, lost_connections_lose_no_acknowledged_write_and_no_event)
{
	struct bed b;
	if (!bed_init(&b, POSTGRES))
		return;
	(void)snprintf(b.url + strlen(b.url), sizeof(b.url) - strlen(b.url),
		       "&application_name=victim%d", (int)getpid());
	bed_open(&b);
	char kill_all[256];
	(void)snprintf(kill_all, sizeof(kill_all),
		       "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		       " WHERE application_name = 'victim%d' AND pid <> pg_backend_pid()",
		       (int)getpid());
	char url[512];
	cr_assert(pg_private_url(url, sizeof(url), b.schema));
	struct sql *db = NULL;
	struct error err = { 0 };
	cr_assert_eq(sql_open(url, &db, &err), 0);
	static struct writer w[WRITERS];
	pthread_t t[WRITERS];
	size_t unknown = 0;
	for (int round = 0; round < 3; round++) {
		start_writers(&b, w, t, WRITERS, (unsigned)round * WRITERS);
		for (int k = 0; k < 15; k++) {
			script(db, kill_all);
			(void)usleep(7000);
		}
		join_writers(t, WRITERS);
		cr_assert_eq(ask(b.s).code == 0 || ask(b.s).code == ERR_UNAVAILABLE, true);
		while (ask(b.s).code != 0)
			continue;
		for (int i = 0; i < WRITERS; i++) {
			check_acked(&b.rec, &w[i]);
			unknown += w[i].unknown;
		}
	}
	struct record truth;
	record_init(&truth);
	cr_assert_eq(sql_exec(db, "SELECT rev, key, op, prev_rev, value FROM log ORDER BY rev",
			      NULL, 0, count_row, &truth, NULL, &err),
		     0, "%s", err.msg);
	same_events(&truth, &b.rec);
	cr_assert_str_eq(truth.wrong, "");
	record_fini(&truth);
	(void)printf("# %zu outcomes unknown\n", unknown);
	(void)sql_close(db);
	bed_fini(&b);
}
