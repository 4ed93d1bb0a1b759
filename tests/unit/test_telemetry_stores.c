#include "telemetry_bed.h"

static void on_answer(void *arg, const struct error *err, struct str data)
{
	struct bed *b = arg;
	b->err = err ? *err : (struct error){ 0 };
	buf_clear(&b->answer);
	buf_add_str(&b->answer, data);
	b->answered = true;
}

static const char *ask(struct bed *b, enum mstore_kind kind, const char *text, int64_t at_ms,
		       const char *match)
{
	struct mstore_ask q = {
		.kind = kind, .text = str_of(text), .time_given = at_ms != 0, .time_ms = at_ms
	};
	if (match)
		q.matches[q.matches_len++] = str_of(match);
	b->answered = false;
	mstore_ask(b->m, b->loop, &q, on_answer, b);
	while (!b->answered)
		loop_turn(b->loop, -1);
	return buf_cstr(&b->answer);
}

/* The one number of a query's vector; NAN when it has none or several. */
static double number(struct bed *b, const char *text, int64_t at_ms)
{
	struct arena a = { 0 };
	struct json doc;
	double v = (double)NAN;
	(void)ask(b, MSTORE_QUERY, text, at_ms, NULL);
	cr_assert_eq(b->err.code, 0, "%s: %s", text, b->err.msg);
	cr_assert_eq(json_parse(&a, buf_str(&b->answer), NULL, &doc, NULL), 0);
	const struct json *list = json_getc(&doc, "result");
	if (json_len(list) == 1)
		v = strtod(json_str(json_at(json_getc(json_at(list, 0), "value"), 1)).p, NULL);
	arena_fini(&a);
	return v;
}

static bool is(double got, double want)
{
	return got == want;
}

/* ---- a push stream ---- */

struct flow {
	struct bed *b;
	struct intake_stream *s;
	bool opened, failed, closed;
	uint64_t acked, records, refused, sent;
	uint32_t known;
	char reason[200];
	struct error err;
};

static void flow_opened(void *arg, uint64_t acked, uint32_t known)
{
	struct flow *f = arg;
	f->opened = true;
	f->acked = acked;
	f->known = known;
}

static void flow_acked(void *arg, uint64_t acked, uint64_t records, uint64_t refused,
		       const char *reason)
{
	struct flow *f = arg;
	f->acked = acked;
	f->records += records;
	f->refused += refused;
	if (refused)
		(void)snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static void flow_failed(void *arg, const struct error *err)
{
	struct flow *f = arg;
	f->failed = true;
	f->err = *err;
}

static void flow_closed(void *arg)
{
	((struct flow *)arg)->closed = true;
}

static const struct intake_handlers FLOW = { flow_opened, flow_acked, flow_failed, flow_closed };

static void flow_open_as(struct flow *f, struct bed *b, struct intake *in, const char *zone,
			 uint64_t next)
{
	const struct label added[] = { { STR("cluster"), STR("c1") },
				       { STR("node"), STR("n1") },
				       { STR("zone"), str_of(zone) } };
	const struct intake_open open = { .node = STR("n1"),
					  .stream = 1,
					  .incarnation = UINT64_MAX - 7, /* beyond what SQL knows */
					  .next_sequence = next,
					  .added = { added, 3 } };
	*f = (struct flow){ .b = b };
	f->s = intake_stream_open(in, b->loop, &open, &FLOW, f);
	while (!f->opened && !f->failed)
		loop_turn(b->loop, -1);
}

static void flow_open(struct flow *f, struct bed *b, struct intake *in)
{
	flow_open_as(f, b, in, "z1", 1);
}

static void flow_wait(struct flow *f)
{
	while (f->records < f->sent && !f->failed)
		loop_turn(f->b->loop, -1);
}

static void flow_close(struct flow *f)
{
	intake_stream_close(f->s);
	while (!f->closed)
		loop_turn(f->b->loop, -1);
}

static void add_series(struct buf *table, uint32_t ref, const char *name, const char *label,
		       const char *value)
{
	struct buf l = { 0 }, s = { 0 };
	wire_add_field_bytes(&l, 1, str_of(label));
	wire_add_field_bytes(&l, 2, str_of(value));
	wire_add_field(&s, 1, ref);
	if (*name)
		wire_add_field_bytes(&s, 2, str_of(name));
	wire_add_field_bytes(&s, 3, buf_str(&l));
	wire_add_field_bytes(table, 1, buf_str(&s));
	buf_fini(&l);
	buf_fini(&s);
}

/* m{i="1"}, m{i="2"}, m{i="3"} */
static void flow_series(struct flow *f)
{
	struct buf table = { 0 };
	add_series(&table, 1, "m", "i", "1");
	add_series(&table, 2, "m", "i", "2");
	add_series(&table, 3, "m", "i", "3");
	intake_stream_series(f->s, buf_str(&table));
	buf_fini(&table);
}

static void flow_samples(struct flow *f, uint64_t sequence, int64_t t_ms, double v)
{
	struct buf b = { 0 };
	const struct record_sample s[] = { { 1, v }, { 2, v * 2 }, { 3, v / 8 } };
	record_write_metrics(t_ms, 15000, s, 3, &b);
	intake_stream_record(f->s, sequence, RECORD_METRICS, RECORD_PLAIN, buf_str(&b));
	f->sent++;
	buf_fini(&b);
}

/* ---- metrics ---- */

static void check_restart(struct bed *b)
{
	struct flow f;
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	cr_assert_eq(f.acked, 0u);
	cr_assert_eq(f.known, 0u);
	flow_series(&f);
	for (int i = 0; i < 10; i++)
		flow_samples(&f, (uint64_t)i + 1, T0 + i * 15000, i);
	flow_wait(&f);
	cr_assert_eq(f.acked, 10u);
	flow_close(&f);
	for (int round = 0; round < 4; round++) {
		cr_assert(is(number(b, "count_over_time(m{i=\"1\"}[1h])", T0 + 150000), 10));
		cr_assert(is(number(b, "m{i=\"3\"}", T0 + 9 * 15000), 9.0 / 8));
		cr_assert(
			is(number(b, "sum(m{cluster=\"c1\",node=\"n1\",zone=\"z1\"})", T0 + 15000),
			   3.125));
		if (round == 1)
			cr_assert(intake_flush(mstore_intake(b->m)));
		reopen(b); /* 1: from the journal, 2: from chunks, 3: both again */
	}
	flow_open(&f, b, mstore_intake(b->m));
	cr_assert_eq(f.acked, 10u);
	cr_assert_eq(f.known, 3u); /* it need not explain them again */
	flow_samples(&f, 11, T0 + 150000, 10);
	flow_wait(&f);
	flow_close(&f);
	cr_assert(is(number(b, "count_over_time(m{i=\"1\"}[1h])", T0 + 150000), 11));
}

Test(mstore, what_was_acknowledged_is_there_after_a_restart)
{
	on_each(check_restart);
}

static void check_duplicates(struct bed *b)
{
	struct flow f;
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	for (int i = 0; i < 5; i++)
		flow_samples(&f, (uint64_t)i + 1, T0 + i * 15000, i);
	for (int i = 0; i < 5; i++) /* with other values: they must not be seen */
		flow_samples(&f, (uint64_t)i + 1, T0 + HOUR / 2 + i * 15000, 1000);
	flow_wait(&f);
	flow_close(&f);
	reopen(b);
	flow_open(&f, b, mstore_intake(b->m));
	for (int i = 2; i < 7; i++)
		flow_samples(&f, (uint64_t)i + 1, T0 + i * 15000, i);
	flow_wait(&f);
	cr_assert_eq(f.acked, 7u);
	cr_assert_eq(f.refused, 0u);
	flow_close(&f);
	cr_assert(is(number(b, "count_over_time(m{i=\"1\"}[2h])", T0 + HOUR), 7));
	cr_assert(is(number(b, "sum_over_time(m{i=\"1\"}[2h])", T0 + HOUR), 21));
	/* Older samples of a series are dropped, also in a record that is new. */
	flow_open(&f, b, mstore_intake(b->m));
	flow_samples(&f, 8, T0, 99);
	flow_wait(&f);
	cr_assert_eq(f.acked, 8u);
	flow_close(&f);
	cr_assert(is(number(b, "max_over_time(m{i=\"1\"}[2h])", T0 + HOUR), 6));
}

Test(mstore, a_record_that_comes_again_counts_once)
{
	on_each(check_duplicates);
}

static void check_refusals(struct bed *b)
{
	struct flow f;
	struct buf x = { 0 }, table = { 0 };
	const struct record_sample unknown = { 4, 1 };
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	flow_samples(&f, 1, T0, 1);
	intake_stream_record(f.s, 2, RECORD_METRICS, RECORD_PLAIN, STR("\x1a\xff"));
	record_write_metrics(T0 + 15000, 15000, &unknown, 1, &x);
	intake_stream_record(f.s, 3, RECORD_METRICS, RECORD_PLAIN, buf_str(&x));
	flow_samples(&f, 4, now + HOUR, 1);           /* from the future */
	flow_samples(&f, 5, now - 20 * 24 * HOUR, 1); /* older than kept */
	intake_stream_record(f.s, 6, RECORD_LOGS, RECORD_PLAIN, STR(""));
	intake_stream_record(f.s, 7, RECORD_METRICS, RECORD_ZSTD, STR("no frame"));
	flow_samples(&f, 8, T0 + 15000, 2);
	f.sent += 4;
	flow_wait(&f);
	cr_assert_eq(f.acked, 8u);
	cr_assert_eq(f.refused, 6u, "%d", (int)f.refused);
	cr_assert(is(number(b, "count_over_time(m{i=\"1\"}[2h])", T0 + HOUR), 2));
	/* Series that cannot be: the others are taken, in their place. */
	char longer[300];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	add_series(&table, 4, "bad-name", "i", "4");
	add_series(&table, 5, "m", "i", longer);
	add_series(&table, 6, "m", "node", "spoofed"); /* the server's label wins */
	intake_stream_series(f.s, buf_str(&table));
	buf_clear(&x);
	const struct record_sample s[] = { { 4, 4 }, { 5, 5 }, { 6, 6 } };
	record_write_metrics(T0 + 30000, 15000, s, 3, &x);
	intake_stream_record(f.s, 9, RECORD_METRICS, RECORD_PLAIN, buf_str(&x));
	f.sent++;
	flow_wait(&f);
	cr_assert_eq(f.refused, 8u);
	cr_assert(is(number(b, "m{i=\"\",node=\"n1\"}", T0 + 30000), 6));
	cr_assert(is(number(b, "count(m)", T0 + 30000), 4));
	flow_close(&f);
	reopen(b);
	cr_assert(is(number(b, "count(m)", T0 + 30000), 4));
	/* A table with a hole cannot be understood at all. */
	flow_open(&f, b, mstore_intake(b->m));
	cr_assert_eq(f.known, 6u);
	buf_clear(&table);
	add_series(&table, 9, "m", "i", "9");
	intake_stream_series(f.s, buf_str(&table));
	while (!f.failed)
		loop_turn(b->loop, -1);
	cr_assert_eq(f.err.code, ERR_BAD_REQUEST);
	flow_close(&f);
	buf_fini(&x);
	buf_fini(&table);
}

Test(mstore, what_cannot_be_used_is_refused_and_told)
{
	on_each(check_refusals);
}

static void check_chunks(struct bed *b)
{
	struct flow f;
	open_metrics(b);
	now = T0 + 40 * HOUR;
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	/* Two hours are 480 samples: full chunks, provisional ones, and a day's border. */
	for (int i = 0; i < 5000; i++) {
		flow_samples(&f, (uint64_t)i + 1, T0 + i * 15000, i % 1000);
		if (i % 700 == 350) {
			flow_wait(&f);
			cr_assert(intake_flush(mstore_intake(b->m)));
		}
		if (i == 2000 || i == 4100) {
			flow_wait(&f);
			flow_close(&f);
			reopen(b);
			flow_open(&f, b, mstore_intake(b->m));
		}
	}
	flow_wait(&f);
	flow_close(&f);
	for (int round = 0; round < 2; round++) {
		int64_t end = T0 + 4999 * 15000;
		cr_assert(is(number(b, "count_over_time(m{i=\"1\"}[30h])", end), 5000));
		cr_assert(is(number(b, "sum_over_time(m{i=\"1\"}[30h])", end), 499.5 * 5000));
		cr_assert(is(number(b, "changes(m{i=\"2\"}[30h])", end), 4999));
		for (int i = 3; i < 5000; i += 97) {
			cr_assert(is(number(b, "m{i=\"1\"}", T0 + i * 15000 + 7000), i % 1000),
				  "%d", i);
			cr_assert(is(number(b, "count_over_time(m{i=\"3\"}[45s])", T0 + i * 15000),
				     3),
				  "%d", i);
		}
		reopen(b);
	}
}

Test(mstore, every_sample_is_found_over_chunks_days_checkpoints_and_restarts)
{
	on_each(check_chunks);
}

static void check_retention(struct bed *b)
{
	struct flow f;
	b->mcfg.retention_ms = HOUR;
	now = T0;
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	flow_samples(&f, 1, T0, 1);
	flow_wait(&f);
	cr_assert(intake_flush(mstore_intake(b->m)));
	flow_close(&f);
	now = T0 + 72 * HOUR;
	reopen(b); /* expires at start */
	cr_assert_str_eq(ask(b, MSTORE_VALUES, "i", 0, NULL), "[]");
	cr_assert(number(b, "m{i=\"1\"}", T0) != 1);
	/* The agent's references mean series that are gone: it is asked for them again. */
	flow_open(&f, b, mstore_intake(b->m));
	cr_assert_eq(f.known, 3u);
	flow_samples(&f, 2, now, 2);
	while (!f.failed)
		loop_turn(b->loop, -1);
	cr_assert_eq(f.err.code, ERR_EXPIRED);
	flow_close(&f);
	flow_open(&f, b, mstore_intake(b->m));
	cr_assert_eq(f.acked, 1u);
	cr_assert_eq(f.known, 0u);
	flow_series(&f);
	flow_samples(&f, 2, now, 2);
	flow_wait(&f);
	cr_assert_eq(f.acked, 2u);
	flow_close(&f);
	cr_assert(is(number(b, "m{i=\"1\"}", now), 2));
	reopen(b);
	cr_assert(is(number(b, "m{i=\"1\"}", now), 2));
}

Test(mstore, days_and_series_go_when_their_time_is_over)
{
	on_each(check_retention);
}

static void check_topology(struct bed *b)
{
	struct flow f;
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	flow_samples(&f, 1, T0, 1);
	flow_wait(&f);
	flow_close(&f);
	flow_open_as(&f, b, mstore_intake(b->m), "z2", 1); /* the node moved */
	cr_assert_eq(f.acked, 1u);
	cr_assert_eq(f.known, 0u);
	flow_series(&f);
	flow_samples(&f, 2, T0 + 15000, 2);
	flow_wait(&f);
	flow_close(&f);
	for (int round = 0; round < 2; round++) {
		cr_assert(is(number(b, "m{i=\"1\",zone=\"z1\"}", T0 + 15000), 1));
		cr_assert(is(number(b, "m{i=\"1\",zone=\"z2\"}", T0 + 15000), 2));
		reopen(b);
	}
}

Test(mstore, a_node_that_moved_has_new_series)
{
	on_each(check_topology);
}

static void check_limits(struct bed *b)
{
	struct flow f;
	struct buf table = { 0 }, x = { 0 };
	b->mcfg.series_max = 3;
	b->mcfg.query_samples_max = 5;
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	add_series(&table, 4, "m", "i", "4");
	intake_stream_series(f.s, buf_str(&table));
	for (int i = 0; i < 6; i++)
		flow_samples(&f, (uint64_t)i + 1, T0 + i * 15000, 1);
	flow_wait(&f);
	cr_assert_eq(f.refused, 1u);
	cr_assert_not_null(strstr(f.reason, "more than 3 series"));
	cr_assert(is(number(b, "count(m)", T0), 3));
	(void)ask(b, MSTORE_QUERY, "count_over_time(m[1h])", T0 + HOUR, NULL);
	cr_assert_eq(b->err.code, ERR_LIMIT);
	flow_close(&f);
	buf_fini(&table);
	buf_fini(&x);
}

Test(mstore, limits_hold)
{
	on_each(check_limits);
}

static const char *ask_more(struct bed *b, struct mstore_ask q)
{
	b->answered = false;
	mstore_ask(b->m, b->loop, &q, on_answer, b);
	while (!b->answered)
		loop_turn(b->loop, -1);
	return buf_cstr(&b->answer);
}

/* A range; the time 0, which is one; notes; what ended before the time that is asked for. */
static void check_range(struct bed *b)
{
	struct mstore_ask q = { .kind = MSTORE_RANGE,
				.text = STR("sum(m) + rate(m[1m]) * 0 or sum(m)"),
				.start_ms = T0 - 30000,
				.end_ms = T0 + 30000,
				.step_ms = 30000,
				.with_notes = true };
	cr_assert_str_eq(
		ask_more(b, q),
		"{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[["
		"1700000100,\"3.125\"],[1700000130,\"3.125\"]]}]},\"infos\":[\"PromQL info: metric "
		"might not be a counter, name does not end in _total/_sum/_count/_bucket: "
		"\\\"m\\\" (1:15)\"]");
	q = (struct mstore_ask){ .kind = MSTORE_QUERY, .text = STR("time()"), .time_given = true };
	cr_assert_str_eq(ask_more(b, q), "{\"resultType\":\"scalar\",\"result\":[0,\"0\"]}");
	q = (struct mstore_ask){ .kind = MSTORE_SERIES, .since_ms = T0, .matches_len = 1 };
	q.matches[0] = STR("m{i=\"2\"}");
	cr_assert(strstr(ask_more(b, q), "\"i\":\"2\""));
	q.since_ms = T0 + 86400000;
	cr_assert_str_eq(ask_more(b, q), "[]");
}

static void on_written(void *arg, const struct error *err)
{
	on_answer(arg, err, STR(""));
}

/* w{job="j"} 1.5 at T0, as a literal of Snappy; twice is once. */
static void check_remote_write(struct bed *b)
{
	static const char body[] =
		"\x2d\xb0\x0a\x2b\x0a\x0d\x0a\x08__name__\x12\x01w\x0a\x08\x0a\x03job"
		"\x12\x01j\x12\x10\x09\0\0\0\0\0\0\xf8\x3f\x10";
	struct buf whole = { 0 };
	buf_add(&whole, body, sizeof(body) - 1);
	wire_add(&whole, T0);
	for (int i = 0; i < 3; i++) {
		struct bytes *bytes = bytes_of_str(i < 2 ? buf_str(&whole) : STR("\x05zz"));
		b->answered = false;
		mstore_write(b->m, b->loop, bytes, on_written, b);
		bytes_unref(bytes);
		while (!b->answered)
			loop_turn(b->loop, -1);
		cr_assert_eq(b->err.code, i < 2 ? 0 : ERR_BAD_REQUEST, "%s", b->err.msg);
	}
	buf_fini(&whole);
	cr_assert(is(number(b, "count_over_time(w{job=\"j\"}[5m]) + w", T0), 2.5));
}

static void check_questions(struct bed *b)
{
	struct flow f;
	open_metrics(b);
	flow_open(&f, b, mstore_intake(b->m));
	flow_series(&f);
	flow_samples(&f, 1, T0, 1);
	flow_wait(&f);
	flow_close(&f);
	cr_assert_str_eq(ask(b, MSTORE_LABELS, "", 0, NULL),
			 "[\"__name__\",\"cluster\",\"i\",\"node\",\"zone\"]");
	cr_assert_str_eq(ask(b, MSTORE_LABELS, "", 0, "none"), "[]");
	cr_assert_str_eq(ask(b, MSTORE_VALUES, "i", 0, NULL), "[\"1\",\"2\",\"3\"]");
	cr_assert_str_eq(ask(b, MSTORE_VALUES, "i", 0, "m{i!=\"2\"}"), "[\"1\",\"3\"]");
	cr_assert_str_eq(ask(b, MSTORE_SERIES, "", 0, "{i=\"2\"}"),
			 "[{\"__name__\":\"m\",\"cluster\":\"c1\",\"i\":\"2\",\"node\":\"n1\","
			 "\"zone\":\"z1\"}]");
	cr_assert_str_eq(
		ask(b, MSTORE_QUERY, "m{i=~\"1|3\"} > 0.5", T0, NULL),
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"m\","
		"\"cluster\":\"c1\",\"i\":\"1\",\"node\":\"n1\",\"zone\":\"z1\"},\"value\":["
		"1700000100,\"1\"]}]}");
	cr_assert_str_eq(ask(b, MSTORE_METADATA, "m", 0, NULL),
			 "{\"m\":[{\"type\":\"unknown\",\"help\":\"\",\"unit\":\"\"}]}");
	cr_assert_str_eq(ask(b, MSTORE_METADATA, "none", 0, NULL), "{}");
	check_range(b);
	check_remote_write(b);
	(void)ask(b, MSTORE_SERIES, "", 0, NULL);
	cr_assert_eq(b->err.code, ERR_BAD_REQUEST);
	(void)ask(b, MSTORE_SERIES, "", 0, "1 + 1");
	cr_assert_eq(b->err.code, ERR_BAD_REQUEST);
	(void)ask(b, MSTORE_QUERY, "m{", 0, NULL);
	cr_assert_eq(b->err.code, ERR_BAD_REQUEST);
}

Test(mstore, answers_about_labels_and_series)
{
	on_each(check_questions);
}

static void check_owner(struct bed *b)
{
	struct flow f;
	open_metrics(b);
	struct mstore *second = mstore_new(&b->mcfg);
	struct mstore *first = b->m;
	for (int i = 0; i < 30; i++)
		loop_turn(b->loop, 10);
	cr_assert_not_null(intake_down(mstore_intake(second)));
	flow_open(&f, b, mstore_intake(second));
	cr_assert(f.failed);
	cr_assert_eq(f.err.code, b->kind == SQLITE ? f.err.code : ERR_CONFLICT);
	flow_close(&f);
	b->m = second;
	(void)ask(b, MSTORE_QUERY, "m", 0, NULL);
	cr_assert_eq(b->err.code, ERR_UNAVAILABLE);
	mstore_free(first);
	wait_up(b, mstore_intake(second));
	flow_open(&f, b, mstore_intake(second));
	cr_assert(f.opened);
	flow_close(&f);
}

Test(mstore, a_database_belongs_to_one_process_at_a_time)
{
	on_each(check_owner);
}

static size_t rounds;

static void collect(void *arg, struct mstore_collect *c)
{
	const struct label l[] = { { STR("pod"), STR("p1") } };
	const struct label gone[] = { { STR("pod"), STR("p2") } };
	(void)arg;
	rounds++;
	mstore_put(c, "kube_x", 2, (double)rounds, l, 1);
	if (rounds == 1)
		mstore_put(c, "kube_x", 2, 1, gone, 1);
}

static void check_collect(struct bed *b)
{
	rounds = 0;
	now = T0;
	b->mcfg.collect = collect;
	b->mcfg.collect_ms = 15000;
	open_metrics(b);
	while (!is(number(b, "count(kube_x)", T0), 2))
		loop_turn(b->loop, 10);
	now = T0 + 15000;
	while (!is(number(b, "kube_x", T0 + 15000), 2)) /* p2 ended, with a marker */
		loop_turn(b->loop, 10);
	cr_assert(is(number(b, "count(kube_x)", T0 + 14999), 2));
	b->mcfg.collect_ms = 0;
	reopen(b);
	cr_assert(is(number(b, "kube_x", T0 + 15000), 2));
	cr_assert(is(number(b, "count(kube_x)", T0 + 14999), 2));
}

Test(mstore, samples_of_the_program_itself_are_kept_like_all_others)
{
	on_each(check_collect);
}

/* ---- logs ---- */

struct lines {
	struct buf deltas, flags, lengths, text;
};

static void lines_add(struct lines *l, int64_t delta_ns, unsigned flags, const char *text)
{
	wire_add(&l->deltas, wire_zigzag(delta_ns));
	wire_add(&l->flags, flags);
	wire_add(&l->lengths, strlen(text));
	buf_adds(&l->text, text);
}

static void send_block(struct flow *f, uint64_t sequence, const char *file, uint64_t offset,
		       uint64_t end, int64_t first_ns, struct lines *l)
{
	struct buf block = { 0 }, batch = { 0 };
	wire_add_field(&block, 1, 1);
	wire_add_field_bytes(&block, 2, str_of(file));
	wire_add_field(&block, 3, offset);
	wire_add_field(&block, 4, end);
	wire_add_field(&block, 5, (uint64_t)first_ns);
	wire_add_field_bytes(&block, 6, buf_str(&l->deltas));
	wire_add_field_bytes(&block, 7, buf_str(&l->flags));
	wire_add_field_bytes(&block, 8, buf_str(&l->lengths));
	wire_add_field_bytes(&block, 9, buf_str(&l->text));
	wire_add_field_bytes(&batch, 1, buf_str(&block));
	intake_stream_record(f->s, sequence, RECORD_LOGS, RECORD_PLAIN, buf_str(&batch));
	f->sent++;
	buf_fini(&block);
	buf_fini(&batch);
	buf_fini(&l->deltas);
	buf_fini(&l->flags);
	buf_fini(&l->lengths);
	buf_fini(&l->text);
	*l = (struct lines){ 0 };
}

/* A container of a pod as the agent defines it. */
static void define_container(struct flow *f)
{
	struct buf s = { 0 }, table = { 0 };
	static const char *const labels[] = { "container", "web", "namespace", "d",
					      "pod",       "p1",  "uid",       "u1" };
	wire_add_field(&s, 1, 1);
	for (size_t i = 0; i < 8; i += 2) {
		struct buf l = { 0 };
		wire_add_field_bytes(&l, 1, str_of(labels[i]));
		wire_add_field_bytes(&l, 2, str_of(labels[i + 1]));
		wire_add_field_bytes(&s, 3, buf_str(&l));
		buf_fini(&l);
	}
	wire_add_field_bytes(&table, 1, buf_str(&s));
	intake_stream_series(f->s, buf_str(&table));
	buf_fini(&s);
	buf_fini(&table);
}

struct reading {
	struct buf text;
	struct lstore_cursor *c;
	bool end;
	struct error err;
};

static void on_piece(void *arg, const struct error *err, struct str text, bool end)
{
	struct reading *r = arg;
	r->end = end || err;
	if (err)
		r->err = *err;
	else
		buf_add_str(&r->text, text);
	if (!r->end)
		lstore_next(r->c);
}

static int read_logs(struct bed *b, struct lstore_query q, struct buf *text)
{
	struct reading r = { .end = false };
	q.uid = q.uid.p ? q.uid : STR("u1");
	q.container = STR("web");
	r.c = lstore_open(b->l, b->loop, &q, on_piece, &r);
	while (!r.end)
		loop_turn(b->loop, -1);
	lstore_close(r.c);
	buf_clear(text);
	buf_add_str(text, buf_str(&r.text));
	buf_fini(&r.text);
	if (r.err.code && r.err.code != ERR_NOT_FOUND)
		fprintf(stderr, "# %s\n", r.err.msg);
	return r.err.code;
}

static void check_logs(struct bed *b)
{
	struct flow f;
	struct lines l = { 0 };
	struct buf got = { 0 };
	const int64_t t = 1700000100000000000;
	open_logs(b);
	flow_open(&f, b, lstore_intake(b->l));
	define_container(&f);
	lines_add(&l, 0, 0, "old one");
	send_block(&f, 1, "0.log@77", 0, 50, t, &l);
	flow_wait(&f);
	const struct lstore_query before = { .tail_lines = -1, .previous = true };
	cr_assert_eq(read_logs(b, before, &got), ERR_NOT_FOUND);
	lines_add(&l, 0, 0, "first");
	lines_add(&l, 1000000000, 1, "second ");
	send_block(&f, 2, "1.log@78", 0, 100, t + 5000000000, &l);
	lines_add(&l, 0, 2, "half");
	lines_add(&l, 1, 0, " and half");
	send_block(&f, 3, "1.log@78", 100, 160, t + 7000000000, &l);
	flow_wait(&f);
	cr_assert_eq(f.acked, 3u);
	for (int round = 0; round < 4; round++) {
		static const struct {
			struct lstore_query q;
			const char *want;
		} rows[] = {
			{ { .tail_lines = -1 }, "first\nsecond \nhalf and half\n" },
			{ { .tail_lines = -1, .previous = true }, "old one\n" },
			{ { .tail_lines = 3 }, "second \nhalf and half\n" },
			{ { .tail_lines = 0 }, "" },
			{ { .tail_lines = -1, .limit_bytes = 8 }, "first\nse" },
			{ { .tail_lines = -1, .since_unix_ns = 1700000107000000000 },
			  "half and half\n" },
			{ { .tail_lines = 4, .timestamps = true },
			  "2023-11-14T22:15:05Z first\n2023-11-14T22:15:06Z second \n"
			  "2023-11-14T22:15:07Z half and half\n" },
			{ { .tail_lines = -1, .contains = { "second", 6 } }, "second \n" },
			{ { .tail_lines = -1, .since_unix_ns = 1800000000000000000 }, "" },
			{ { .tail_lines = 5, .since_unix_ns = 1800000000000000000 }, "" },
			{ { .tail_lines = 2, .since_unix_ns = 1700000106000000000 },
			  "half and half\n" },
			{ { .tail_lines = 3, .since_unix_ns = 1700000105000000000 },
			  "second \nhalf and half\n" },
			{ { .tail_lines = 1, .contains = { "first", 5 } }, "first\n" },
			{ { .tail_lines = 0, .contains = { "first", 5 } }, "" },
		};
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			cr_assert_eq(read_logs(b, rows[i].q, &got), 0);
			cr_assert_str_eq(buf_cstr(&got), rows[i].want, "round %d row %zu", round,
					 i);
		}
		if (round == 0) {
			flow_close(&f);
			reopen(b); /* from the journal */
		} else if (round == 1) {
			cr_assert(intake_flush(lstore_intake(b->l)));
		} else if (round == 2) {
			reopen(b); /* from rows */
		}
	}
	const struct lstore_query other = { .uid = STR("u2"), .tail_lines = -1 };
	cr_assert_eq(read_logs(b, other, &got), ERR_NOT_FOUND);
	buf_fini(&got);
}

Test(lstore, lines_come_back_as_kubectl_shows_them_before_and_after_restarts)
{
	on_each(check_logs);
}

static void check_again(struct bed *b)
{
	struct flow f;
	struct lines l = { 0 };
	struct buf got = { 0 };
	const int64_t t = 1700000100000000000;
	const struct lstore_query all = { .tail_lines = -1 };
	open_logs(b);
	flow_open(&f, b, lstore_intake(b->l));
	define_container(&f);
	lines_add(&l, 0, 0, "one");
	lines_add(&l, 10, 0, "two");
	send_block(&f, 1, "0.log@9", 0, 100, t, &l);
	flow_wait(&f);
	cr_assert(intake_flush(lstore_intake(b->l)));
	flow_close(&f);
	reopen(b);
	flow_open(&f, b, lstore_intake(b->l));
	/* The agent started again and had forgotten how far it had read. */
	lines_add(&l, 0, 0, "one");
	lines_add(&l, 10, 0, "two");
	send_block(&f, 2, "0.log@9", 0, 100, t, &l);
	lines_add(&l, 0, 0, "two");
	lines_add(&l, 10, 0, "three");
	send_block(&f, 3, "0.log@9", 50, 150, t + 10, &l);
	lines_add(&l, 0, 0, "four");
	send_block(&f, 4, "0.log@9", 150, 200, t + 30, &l);
	flow_wait(&f);
	cr_assert_eq(f.acked, 4u);
	flow_close(&f);
	cr_assert_eq(read_logs(b, all, &got), 0);
	cr_assert_str_eq(buf_cstr(&got), "one\ntwo\nthree\nfour\n");
	buf_fini(&got);
}

Test(lstore, lines_that_are_sent_again_are_kept_once)
{
	on_each(check_again);
}

static void check_many(struct bed *b)
{
	struct flow f;
	struct lines l = { 0 };
	struct buf got = { 0 }, want = { 0 };
	uint64_t offset = 0;
	const struct lstore_query all = { .tail_lines = -1 };
	const struct lstore_query tail = { .tail_lines = 7 };
	open_logs(b);
	flow_open(&f, b, lstore_intake(b->l));
	define_container(&f);
	for (unsigned i = 0; i < 60; i++) {
		for (unsigned k = 0; k < 300; k++) {
			char text[100];
			(void)snprintf(text, sizeof(text),
				       "line %u of block %u says something %08x to everybody", k, i,
				       (i * 300 + k) * 2654435761U);
			lines_add(&l, k ? 1000 : 0, 0, text);
			buf_addf(&want, "%s\n", text);
		}
		send_block(&f, i + 1, "0.log@9", offset, offset + 1000,
			   1700000100000000000 + i * 1000000, &l);
		offset += 1000;
		if (i == 30) {
			flow_wait(&f);
			cr_assert(intake_flush(lstore_intake(b->l)));
		}
	}
	flow_wait(&f);
	flow_close(&f);
	for (int round = 0; round < 2; round++) {
		cr_assert_eq(read_logs(b, all, &got), 0);
		cr_assert_eq(got.len, want.len);
		cr_assert_arr_eq(got.p, want.p, want.len);
		cr_assert_eq(read_logs(b, tail, &got), 0);
		cr_assert_arr_eq(got.p, want.p + want.len - got.len, got.len);
		size_t lines = 0;
		for (size_t i = 0; i < got.len; i++)
			lines += got.p[i] == '\n';
		cr_assert_eq(lines, 7u);
		reopen(b);
	}
	now += 30 * 24 * HOUR;
	cr_assert(intake_flush(lstore_intake(b->l)));
	now += 30 * 24 * HOUR;
	reopen(b); /* expires */
	cr_assert_eq(read_logs(b, all, &got), ERR_NOT_FOUND);
	buf_fini(&got);
	buf_fini(&want);
}

Test(lstore, many_blocks_are_read_piece_by_piece_and_go_with_their_day)
{
	on_each(check_many);
}
