#include "store/store_priv.h"
#include "sys/clock.h"
#include "tests/fixtures/store_bed.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- compare and swap ---- */

static void check_cas(struct bed *b)
{
	struct store *s = b->s;
	struct store_result made = record_write(s, STORE_CREATE, "/pods/a/x", 0, "1");
	must_be(made, ERR_OK);
	must_be(record_write(s, STORE_CREATE, "/pods/a/x", 0, "2"), ERR_EXISTS);
	must_be(record_write(s, STORE_UPDATE, "/pods/a/x", made.rev + 1, "2"), ERR_CONFLICT);
	must_be(record_write(s, STORE_UPDATE, "/pods/a/y", made.rev, "2"), ERR_CONFLICT);
	must_be(record_write(s, STORE_DELETE, "/pods/a/y", made.rev, "2"), ERR_CONFLICT);
	struct store_result changed = record_write(s, STORE_UPDATE, "/pods/a/x", made.rev, "2");
	must_be(changed, ERR_OK);
	cr_assert_gt(changed.rev, made.rev);
	must_be(record_write(s, STORE_DELETE, "/pods/a/x", made.rev, "2"), ERR_CONFLICT);
	struct store_result gone = record_write(s, STORE_DELETE, "/pods/a/x", changed.rev, "2");
	must_be(gone, ERR_OK);
	must_be(record_write(s, STORE_UPDATE, "/pods/a/x", gone.rev, "3"), ERR_CONFLICT);
	struct store_result again = record_write(s, STORE_CREATE, "/pods/a/x", 0, "4");
	must_be(again, ERR_OK);
	const struct record *r = &b->rec;
	static const enum store_op OPS[] = { STORE_CREATE, STORE_UPDATE, STORE_DELETE,
					     STORE_CREATE };
	const int64_t revs[] = { made.rev, changed.rev, gone.rev, again.rev };
	cr_assert_eq(r->n, 4);
	for (size_t i = 0; i < 4; i++) {
		cr_assert_eq(r->ev[i].op, OPS[i]);
		cr_assert_eq(r->ev[i].rev, revs[i]);
		cr_assert_eq(r->ev[i].prev_rev, OPS[i] == STORE_CREATE ? 0 : revs[i - 1]);
		cr_assert(r->ev[i].create_rev == 0 ||
			  r->ev[i].create_rev == (i < 3 ? made.rev : again.rev));
	}
	cr_assert_eq(store_rev(s) >= again.rev, true);
	cr_assert(store_healthy(s));
	cr_assert_eq(store_is_shared(s), b->kind == POSTGRES);
}

Test(store, a_write_succeeds_only_on_the_revision_it_was_made_from)
{
	on_each(check_cas);
}

static void check_limits(struct bed *b)
{
	static char long_key[770];
	memset(long_key, 'k', sizeof(long_key) - 1);
	static const struct {
		const char *key;
		const char *value;
		enum err_code code;
	} CASES[] = {
		{ "", "v", ERR_INVALID },
		{ "k", "", ERR_INVALID },
		{ "\xff", "v", ERR_INVALID },
		{ "a\xc0\x80", "v", ERR_INVALID },
		{ "\xed\xa0\x80", "v", ERR_INVALID },
		{ long_key, "v", ERR_INVALID },
		{ "k", "longer than 16 bytes", ERR_TOO_LARGE },
		{ "schl\xc3\xbcssel/\xf0\x9f\x94\x91", "sixteen bytes ok", ERR_OK },
		{ long_key + 1, "v", ERR_OK },
	};
	bed_close(b);
	b->cfg.value_bytes_max = 16;
	bed_open(b);
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		must_be(record_write(b->s, STORE_CREATE, CASES[i].key, 0, CASES[i].value),
			CASES[i].code);
	/* In one submission the broken ones do not stop the others, in a group they do. */
	struct store_write w[] = { record_make(STORE_CREATE, "p", 0, "v"),
				   record_make(STORE_CREATE, "", 0, "v"),
				   record_make(STORE_CREATE, "q", 0, "v") };
	struct store_result r[3];
	record_write_all(b->s, w, 3, true, r);
	must_be(r[0], ERR_CONFLICT);
	must_be(r[1], ERR_INVALID);
	must_be(r[2], ERR_CONFLICT);
	record_write_all(b->s, w, 3, false, r);
	must_be(r[0], ERR_OK);
	must_be(r[1], ERR_INVALID);
	must_be(r[2], ERR_OK);
	for (size_t i = 0; i < 3; i++)
		bytes_unref(w[i].value);
}

Test(store, broken_keys_and_large_values_are_refused)
{
	on_each(check_limits);
}

/* ---- groups ---- */

static void check_groups(struct bed *b)
{
	struct store_write w[] = { record_make(STORE_CREATE, "g/1", 0, "a"),
				   record_make(STORE_CREATE, "g/2", 0, "b"),
				   record_make(STORE_CREATE, "g/3", 0, "c") };
	struct store_result r[3];
	record_write_all(b->s, w, 3, true, r);
	for (size_t i = 0; i < 3; i++) {
		must_be(r[i], ERR_OK);
		cr_assert_eq(r[i].rev, r[0].rev + (int64_t)i);
	}
	w[0].op = STORE_UPDATE;
	w[0].want_rev = r[0].rev;
	w[1].op = STORE_DELETE;
	w[1].want_rev = r[1].rev + 99;
	w[2].key = STR("g/4");
	struct store_result failed[3];
	size_t before = b->rec.n;
	record_write_all(b->s, w, 3, true, failed);
	for (size_t i = 0; i < 3; i++)
		must_be(failed[i], ERR_CONFLICT);
	w[1].key = STR("g/3");
	w[1].op = STORE_CREATE;
	record_write_all(b->s, w, 3, true, failed);
	must_be(failed[0], ERR_CONFLICT);
	must_be(failed[1], ERR_EXISTS);
	must_be(failed[2], ERR_CONFLICT);
	cr_assert_eq(b->rec.n, before, "a failed group leaves no event");
	w[1].op = STORE_DELETE;
	w[1].want_rev = r[2].rev;
	record_write_all(b->s, w, 3, true, r);
	for (size_t i = 0; i < 3; i++)
		must_be(r[i], ERR_OK);
	w[2].key = w[0].key;
	record_write_all(b->s, w, 3, true, failed);
	for (size_t i = 0; i < 3; i++) {
		must_be(failed[i], ERR_INVALID);
		bytes_unref(w[i].value);
	}
}

Test(store, a_group_succeeds_as_a_whole_or_not_at_all)
{
	on_each(check_groups);
}

static void check_twins(struct bed *b)
{
	struct store_write w[] = { record_make(STORE_CREATE, "t/1", 0, "a"),
				   record_make(STORE_CREATE, "t/1", 0, "b"),
				   record_make(STORE_CREATE, "t/2", 0, "c"),
				   record_make(STORE_CREATE, "t/1", 0, "d") };
	struct store_result r[4];
	record_write_all(b->s, w, 4, false, r);
	must_be(r[0], ERR_OK);
	must_be(r[1], ERR_EXISTS);
	must_be(r[2], ERR_OK);
	must_be(r[3], ERR_EXISTS);
	for (size_t i = 0; i < 4; i++)
		bytes_unref(w[i].value);
}

Test(store, two_writes_of_one_key_that_come_together_are_done_in_order)
{
	on_each(check_twins);
}

/* ---- fences ---- */

static void check_fences(struct bed *b)
{
	struct store_write lease = record_make(STORE_CREATE, "leases/x", 0, "l");
	struct store_write led = record_make(STORE_CREATE, "led/1", 0, "v");
	struct store_result r;
	led.fence_key = STR("x");
	led.fence_token = 1;
	record_write_all(b->s, &led, 1, false, &r);
	must_be(r, ERR_CONFLICT);
	cr_assert(r.fenced, "a fence that nobody set stands for nobody");
	lease.set_fence_key = STR("x");
	lease.set_fence_token = 1;
	record_write_all(b->s, &lease, 1, false, &r);
	must_be(r, ERR_OK);
	int64_t lease_rev = r.rev;
	record_write_all(b->s, &led, 1, false, &r);
	must_be(r, ERR_OK);
	must_be(record_write(b->s, STORE_CREATE, "led/1", 0, "v"), ERR_EXISTS);
	record_write_all(b->s, &led, 1, false, &r);
	must_be(r, ERR_EXISTS);
	cr_assert_not(r.fenced);
	/* A takeover whose own write fails moves no fence. */
	lease.op = STORE_UPDATE;
	lease.want_rev = lease_rev + 50;
	lease.set_fence_token = 2;
	record_write_all(b->s, &lease, 1, false, &r);
	must_be(r, ERR_CONFLICT);
	/* All of this arrives at once: before, takeover, after by the old and the new leader. */
	struct store_write w[4] = { led, lease, led, led };
	w[0].key = STR("led/2");
	w[1].want_rev = lease_rev;
	w[2].key = STR("led/3");
	w[3].key = STR("led/4");
	w[3].fence_token = 2;
	struct store_result many[4];
	record_write_all(b->s, w, 4, false, many);
	must_be(many[0], ERR_OK);
	must_be(many[1], ERR_OK);
	must_be(many[2], ERR_CONFLICT);
	cr_assert(many[2].fenced);
	must_be(many[3], ERR_OK);
	cr_assert_lt(many[0].rev, many[1].rev);
	cr_assert_lt(many[1].rev, many[3].rev);
	/* In a group the fence stops all. */
	struct store_write group[2] = { led, led };
	group[0].key = STR("led/5");
	group[0].fence_token = 2;
	group[1].key = STR("led/6");
	record_write_all(b->s, group, 2, true, many);
	must_be(many[0], ERR_CONFLICT);
	must_be(many[1], ERR_CONFLICT);
	cr_assert(many[1].fenced);
	if (b->kind != MEMORY) {
		bed_reopen(b);
		led.key = STR("led/7");
		record_write_all(b->s, &led, 1, false, &r);
		cr_assert(r.fenced, "fences are durable");
		led.fence_token = 2;
		record_write_all(b->s, &led, 1, false, &r);
		must_be(r, ERR_OK);
	}
	bytes_unref(lease.value);
	bytes_unref(led.value);
}

Test(store, a_leader_that_was_replaced_cannot_write)
{
	on_each(check_fences);
}

/* ---- many writers ---- */

/* What was recorded is what a fresh start reads. */
static void check_same_after_reopen(struct bed *b)
{
	bed_close(b);
	struct record before = b->rec;
	record_init(&b->rec);
	bed_open(b);
	size_t alive = 0, pos = 0;
	struct str key;
	void *value = NULL;
	while (map_next(&before.keys, &pos, &key, &value)) {
		const struct record_key *was = value;
		const struct record_key *is = record_key(&b->rec, key);
		alive += was->rev != 0;
		cr_assert_eq(was->rev, is->rev, "%.*s", STR_ARG(key));
		cr_assert(was->rev == 0 || strcmp(was->value, is->value) == 0);
	}
	cr_assert_eq(b->rec.loaded, alive);
	cr_assert_eq(b->rec.history, before.n);
	cr_assert_geq(b->rec.rev, before.n ? before.ev[before.n - 1].rev : 0);
	record_fini(&before);
}

static void check_many(struct bed *b)
{
	static struct writer w[WRITERS];
	pthread_t t[WRITERS];
	start_writers(b, w, t, WRITERS, 0);
	join_writers(t, WRITERS);
	size_t ok = 0;
	for (int i = 0; i < WRITERS; i++) {
		check_acked(&b->rec, &w[i]);
		cr_assert_eq(w[i].lost + w[i].unknown, 0);
		ok += w[i].ok;
	}
	cr_assert_eq(ok, b->rec.n, "each success is one event and nothing else is");
	cr_assert_gt(ok, 0);
	if (b->kind != MEMORY)
		check_same_after_reopen(b);
}

Test(store, events_of_many_writers_come_in_order_and_once)
{
	on_each(check_many);
}

/* ---- the queue ---- */

static void check_queue(struct bed *b)
{
	bed_close(b);
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	b->cfg.queue_writes_max = 4;
	bed_open(b);
	b->rec.gate = &gate;
	pthread_mutex_lock(&gate);
	/* The first may be taken already; while its event is held up, four more fit at most. */
	static struct record_answer a[8];
	int refused = 0;
	for (int i = 0; i < 8; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "q%d", i);
		a[i] = (struct record_answer){ 0 };
		pthread_mutex_init(&a[i].lock, NULL);
		pthread_cond_init(&a[i].cond, NULL);
		struct store_write w = record_make(STORE_CREATE, key, 0, "v");
		store_submit(b->s, &w, 1, false, tell, &a[i]);
		bytes_unref(w.value);
		if (a[i].done) {
			cr_assert_eq(a[i].result[0].code, ERR_LIMIT);
			refused++;
		}
		if (i == 0) {
			/* Until the writer stands at the gate. */
			size_t waiting = 1;
			while (waiting) {
				pthread_mutex_lock(&b->s->lock);
				waiting = b->s->waiting;
				pthread_mutex_unlock(&b->s->lock);
			}
		}
	}
	cr_assert_eq(refused, 3);
	pthread_mutex_unlock(&gate);
	bed_close(b);
	for (int i = 0; i < 8; i++)
		cr_assert(a[i].done, "closing answers all");
	cr_assert_eq(b->rec.n, 5);
}

Test(store, a_full_queue_refuses_at_once)
{
	on_each(check_queue);
}

/* ---- history ---- */

static bool is_compacted(const struct bed *b)
{
	return b->rec.compacted > 0;
}

static void check_compaction(struct bed *b)
{
	bed_close(b);
	b->cfg.history_revs = 20;
	b->cfg.history_ms = 0;
	bed_open(b);
	int64_t rev = 0;
	for (int i = 0; i < 100; i++) {
		struct store_result r =
			record_write(b->s, rev ? STORE_UPDATE : STORE_CREATE, "c", rev, "v");
		must_be(r, ERR_OK);
		rev = r.rev;
	}
	if (b->kind == POSTGRES) {
		/* The log goes in whole partitions: as if some had been filled. */
		bed_close(b);
		struct sql *db = bed_sql(b);
		script(db, "UPDATE meta SET rev = rev + 40000");
		(void)sql_close(db);
		bed_open(b);
		rev = record_write(b->s, STORE_UPDATE, "c", rev, "v").rev;
		cr_assert_gt(rev, 40000);
	}
	wait_until(b, is_compacted);
	cr_assert_leq(b->rec.compacted, rev - 19, "what must be kept is kept");
	if (b->kind == MEMORY)
		return;
	bed_reopen(b);
	cr_assert_geq(b->rec.history_first, b->rec.compacted);
	cr_assert_lt(b->rec.history, 101);
	cr_assert_eq(b->rec.history_last, rev);
	cr_assert_eq(b->rec.loaded, 1);
}

Test(store, old_history_is_dropped_and_said_to_be)
{
	on_each(check_compaction);
}

Test(store, compaction_keeps_revisions_and_time_but_never_too_many_bytes)
{
	static const struct {
		uint64_t revs, ms, bytes; /* limits */
		int64_t rev;
		uint64_t each_ms, each_bytes; /* one note a revision */
		int64_t least, most;          /* target */
	} CASES[] = {
		{ 100, 1000, 1000000, 50, 100, 10, 0, 0 },        /* too few */
		{ 100, 1000, 1000000, 1000, 100, 10, 880, 901 },  /* by count */
		{ 100, 50000, 1000000, 1000, 100, 10, 480, 502 }, /* by time */
		{ 100, 1000000, 1000000, 1000, 100, 10, 0, 0 },   /* too young */
		{ 100, 1000000, 1000, 1000, 100, 10, 900, 920 },  /* too large */
		{ 100, 1000000, 1, 1000, 100, 10, 990, 1001 },    /* hardly anything fits */
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct store_history h = { 0 };
		struct store_history_limits l = { CASES[i].revs, CASES[i].ms, CASES[i].bytes };
		uint64_t now = 1;
		for (int64_t rev = 1; rev <= CASES[i].rev; rev++, now += CASES[i].each_ms)
			store_history_note(&h, &l, now, rev, CASES[i].each_bytes);
		int64_t target = store_history_target(&h, &l, now, CASES[i].rev);
		cr_expect(target >= CASES[i].least && target <= CASES[i].most, "case %zu: %lld", i,
			  (long long)target);
		store_history_drop(&h, target);
		int64_t again = store_history_target(&h, &l, now, CASES[i].rev);
		cr_expect(again <= target || again <= CASES[i].most, "case %zu again: %lld", i,
			  (long long)again);
	}
	/* However long it runs, the marks do not run over. */
	struct store_history h = { 0 };
	struct store_history_limits l = { 1, 1, 1 };
	for (int64_t rev = 1; rev < 5000; rev++)
		store_history_note(&h, &l, (uint64_t)rev * 9, rev, 9);
	cr_assert_leq(h.n, STORE_HISTORY_MARKS);
}

Test(store, backoff_is_spread_and_bounded)
{
	for (unsigned attempt = 0; attempt < 100; attempt++) {
		cr_assert_leq(store_backoff_ms(attempt, 20, 1000, UINT64_MAX), 1000);
		cr_assert_eq(store_backoff_ms(attempt, 20, 1000, 0), 0);
	}
	cr_assert_eq(store_backoff_ms(0, 20, 1000, 20), 20);
	cr_assert_eq(store_backoff_ms(1, 20, 1000, 40), 40);
}

/* ---- epochs ---- */

static const char *other_history(const struct bed *b)
{
	return b->kind == POSTGRES ? "UPDATE meta SET tl = tl + 7"
				   : "UPDATE meta SET sysid = sysid + 1";
}

static void check_epoch(struct bed *b)
{
	if (b->kind == MEMORY)
		return;
	struct store_result first = record_write(b->s, STORE_CREATE, "e", 0, "1");
	must_be(first, ERR_OK);
	bed_close(b);
	struct sql *db = bed_sql(b);
	script(db, other_history(b));
	(void)sql_close(db);
	bed_open(b);
	cr_assert_eq(b->rec.epochs, 1);
	cr_assert_eq(b->rec.epoch_last[0], first.rev);
	cr_assert_geq(b->rec.epoch_first[0], first.rev + STORE_EPOCH_STEP);
	/* who lists now can watch from there */
	cr_assert_eq(b->rec.epoch_first[0], b->rec.rev);
	struct store_result second = record_write(b->s, STORE_UPDATE, "e", first.rev, "2");
	must_be(second, ERR_OK);
	cr_assert_geq(second.rev, b->rec.epoch_first[0]);
	bed_reopen(b);
	cr_assert_eq(b->rec.epochs, 1, "the step is remembered and not made again");
	cr_assert_eq(b->rec.epoch_last[0], first.rev);
	must_be(record_write(b->s, STORE_DELETE, "e", second.rev, "2"), ERR_OK);
}

Test(store, a_restored_database_never_uses_a_revision_again)
{
	on_each(check_epoch);
}

Test(store, two_steps_from_one_place_never_meet)
{
	const int64_t now = INT64_C(1790000000000);
	cr_assert_eq(store_epoch_rev(5, 0), 5 + STORE_EPOCH_STEP);
	/* a branch may write a billion times before the other one begins */
	cr_assert_geq(store_epoch_rev(5, now + 1000) - store_epoch_rev(5, now), INT64_C(1) << 30);
	cr_assert_geq(store_epoch_rev(INT64_C(1) << 61, now),
		      (INT64_C(1) << 61) + STORE_EPOCH_STEP);
	cr_assert_eq(store_epoch_rev(5, INT64_MAX), INT64_C(1) << 62);
}

Test(store, a_copied_sqlite_file_is_another_history)
{
	struct bed b;
	cr_assert(bed_init(&b, SQLITE));
	bed_open(&b);
	must_be(record_write(b.s, STORE_CREATE, "e", 0, "1"), ERR_OK);
	bed_close(&b);
	char cmd[256];
	(void)snprintf(cmd, sizeof(cmd), "cd %s && cp s.db copy.db && mv copy.db s.db", b.dir);
	cr_assert_eq(system(cmd), 0);
	bed_open(&b);
	cr_assert_eq(b.rec.epochs, 1);
	bed_fini(&b);
}

Test(store, a_failover_under_an_open_store_steps_between_two_batches)
{
	struct bed b;
	if (!bed_init(&b, POSTGRES))
		return;
	bed_open(&b);
	struct store_result first = record_write(b.s, STORE_CREATE, "e", 0, "1");
	struct sql *db = bed_sql(&b);
	script(db, other_history(&b));
	struct store_result second = record_write(b.s, STORE_UPDATE, "e", first.rev, "2");
	must_be(second, ERR_OK);
	cr_assert_eq(b.rec.epochs, 1);
	cr_assert_eq(b.rec.epoch_last[0], first.rev);
	cr_assert_geq(second.rev, b.rec.epoch_first[0]);
	script(db, other_history(&b));
	struct store_write w[] = { record_make(STORE_UPDATE, "e", second.rev, "3"),
				   record_make(STORE_CREATE, "f", 0, "3") };
	struct store_result r[2];
	record_write_all(b.s, w, 2, true, r);
	must_be(r[0], ERR_OK);
	must_be(r[1], ERR_OK);
	cr_assert_eq(b.rec.epochs, 2);
	bytes_unref(w[0].value);
	bytes_unref(w[1].value);
	(void)sql_close(db);
	bed_fini(&b);
}

static bool is_lost(const struct bed *b)
{
	return b->rec.lost;
}

Test(store, a_store_whose_history_was_lost_says_so_and_stops)
{
	static const char *const LOSSES[] = {
		"UPDATE meta SET rev = rev - 1",
		"UPDATE meta SET rev = rev + 100, compact_rev = rev + 50",
		"WITH m AS (UPDATE meta SET rev = rev + 4294967295, epoch = epoch + 1"
		" RETURNING rev, epoch) INSERT INTO epochs (epoch, first_rev, parent_last_rev)"
		" SELECT epoch, rev, rev - 4294967296 FROM m",
	};
	for (size_t i = 0; i < sizeof(LOSSES) / sizeof(LOSSES[0]); i++) {
		struct bed b;
		if (!bed_init(&b, POSTGRES))
			return;
		bed_open(&b);
		must_be(record_write(b.s, STORE_CREATE, "a", 0, "1"), ERR_OK);
		must_be(record_write(b.s, STORE_CREATE, "b", 0, "1"), ERR_OK);
		struct sql *db = bed_sql(&b);
		script(db, LOSSES[i]);
		wait_until(&b, is_lost);
		must_be(record_write(b.s, STORE_CREATE, "c", 0, "1"), ERR_UNAVAILABLE);
		cr_assert_not(store_healthy(b.s));
		(void)sql_close(db);
		bed_fini(&b);
	}
}

/* ---- errors of the database ---- */

static void check_poison(struct bed *b)
{
	if (b->kind == MEMORY)
		return;
	bed_close(b);
	struct sql *db = bed_sql(b);
	script(db, b->kind == POSTGRES
			   ? "ALTER TABLE obj ADD CHECK (key <> 'poison')"
			   : "CREATE TRIGGER t BEFORE INSERT ON obj WHEN new.key = 'poison'"
			     " BEGIN SELECT RAISE(ABORT, 'poison'); END");
	(void)sql_close(db);
	bed_open(b);
	struct store_write w[] = { record_make(STORE_CREATE, "a", 0, "v"),
				   record_make(STORE_CREATE, "poison", 0, "v"),
				   record_make(STORE_CREATE, "b", 0, "v") };
	struct store_result r[3];
	record_write_all(b->s, w, 3, false, r);
	must_be(r[0], ERR_OK);
	cr_assert_eq(r[1].code, ERR_INVALID, "%d %s", r[1].code, r[1].msg);
	must_be(r[2], ERR_OK);
	w[0].key = STR("c");
	w[2].key = STR("d");
	record_write_all(b->s, w, 3, true, r);
	for (size_t i = 0; i < 3; i++) {
		cr_assert_lt(r[i].code, 0, "a group fails as a whole");
		bytes_unref(w[i].value);
	}
	cr_assert_eq(b->rec.n, 2);
}

Test(store, a_write_that_the_database_refuses_harms_no_other)
{
	on_each(check_poison);
}

Test(store, an_sqlite_file_has_one_process)
{
	struct bed b;
	cr_assert(bed_init(&b, SQLITE));
	bed_open(&b);
	struct record other;
	record_init(&other);
	struct store_config cfg = record_config(b.url, &other);
	struct store *s = NULL;
	struct error err = { 0 };
	cr_assert_eq(store_open(&cfg, &s, &err), ERR_CONFLICT, "%s", err.msg);
	cfg.url = "redis://x";
	cr_assert_eq(store_open(&cfg, &s, &err), ERR_INVALID);
	cfg.url = "postgres:///x?host=/no/such/dir";
	cr_assert_eq(store_open(&cfg, &s, &err), ERR_UNAVAILABLE, "%s", err.msg);
	record_fini(&other);
	bed_fini(&b);
}

Test(store, a_full_disk_fails_writes_and_loses_nothing)
{
	struct bed b;
	cr_assert(bed_init(&b, SQLITE));
	bed_open(&b);
	(void)signal(SIGXFSZ, SIG_IGN);
	struct rlimit was, tight;
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	size_t ok = 0, failed = 0;
	char value[4000];
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 60; i++) {
		tight = was;
		if (i >= 20 && i < 40)
			tight.rlim_cur = 64 * 1024;
		cr_assert_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
		char key[16];
		(void)snprintf(key, sizeof(key), "k%d", i);
		struct store_result r = record_write(b.s, STORE_CREATE, key, 0, value);
		ok += r.code == ERR_OK;
		failed += r.code != ERR_OK;
		cr_assert(i >= 20 || r.code == ERR_OK, "%s", r.msg);
		cr_assert(i < 40 || r.code == ERR_OK, "%d %s", r.code, r.msg);
	}
	cr_assert_gt(failed, 0);
	/* An unknown outcome may turn out to have happened; a success always did. */
	cr_assert_geq(b.rec.n, ok);
	check_same_after_reopen(&b);
	bed_fini(&b);
}
