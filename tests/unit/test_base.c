#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

Test(error, keeps_code_and_adds_context_in_front)
{
	struct error err = { 0 };
	cr_assert_eq(error_set(&err, ERR_NOT_FOUND, "no pod %s", "a"), ERR_NOT_FOUND);
	cr_assert_eq(error_wrap(&err, "get"), ERR_NOT_FOUND);
	cr_assert_str_eq(err.msg, "get: no pod a");
	cr_assert_eq(error_http_status(ERR_NOT_FOUND), 404);
	cr_assert_eq(error_set(NULL, ERR_LIMIT, "x"), ERR_LIMIT);
}

Test(error, http_answers_map_back_to_the_code_they_came_from)
{
	for (int c = ERR_CODE_MIN; c < 0; c++)
		cr_assert_eq(error_from_http(error_http_status(c), error_reason(c)),
			     c == ERR_UNKNOWN ? ERR_INTERNAL : c);
	cr_assert_eq(error_from_http(409, ""), ERR_CONFLICT);
	cr_assert_eq(error_from_http(502, ""), ERR_INTERNAL);
	cr_assert_eq(error_from_http(201, ""), ERR_OK);
}

Test(arena, memory_is_zero_aligned_and_keeps_its_content)
{
	struct arena a = { 0 };
	char *p[200];
	for (int i = 0; i < 200; i++) {
		p[i] = arena_alloc(&a, (size_t)(i * 37 + 1));
		cr_assert_eq((uintptr_t)p[i] % 16, 0);
		for (int k = 0; k <= i * 37; k++)
			cr_assert_eq(p[i][k], 0);
		memset(p[i], i, (size_t)(i * 37 + 1));
	}
	for (int i = 0; i < 200; i++)
		cr_assert_eq((unsigned char)p[i][i * 37], i);
	arena_reset(&a);
	char *q = arena_alloc(&a, 100);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(q[i], 0);
	cr_assert_str_eq(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	arena_fini(&a);
}

Test(arena, formatted_text_is_whole_at_every_end_of_a_block_and_dirties_nothing)
{
	for (size_t before = 3900; before < 4100; before++) {
		struct arena a = { 0 };
		(void)arena_alloc(&a, before);
		struct str s = arena_strf(&a, "%s-%0100d", "text", 7);
		cr_assert_eq(s.len, 105);
		cr_assert(str_starts(s, STR("text-000")) && str_ends(s, STR("007")));
		const char *next = arena_alloc(&a, 4096);
		for (size_t i = 0; i < 4096; i++)
			cr_assert_eq(next[i], 0);
		arena_fini(&a);
	}
}

Test(buf, formatted_text_is_whole_whatever_room_there_was)
{
	for (size_t before = 0; before < 600; before++) {
		struct buf b = { 0 };
		for (size_t i = 0; i < before; i++)
			buf_addc(&b, 'x');
		buf_addf(&b, "%s-%0100d", "text", 7);
		cr_assert_eq(b.len, before + 105);
		cr_assert(str_ends(buf_str(&b), STR("007")));
		cr_assert_eq(str_find_str(buf_str(&b), STR("text-000"), 0), (ptrdiff_t)before);
		buf_fini(&b);
	}
}

static int64_t leap_day(void)
{
	return 1709210096007; /* 2024-02-29T12:34:56.007Z */
}

Test(log, a_line_is_one_object_with_everything_escaped)
{
	int fds[2];
	static char line[32768];
	cr_assert_eq(pipe(fds), 0);
	cr_assert(dup2(fds[1], STDERR_FILENO) >= 0);
	log_setup("tester", LOG_INFO, leap_day);
	log_debug("hidden", NULL);
	log_info("seen", "text", LOG_STR(str_n("a\"b\\c\nd\x01\x7f\0e", 11)), "n", LOG_I(-5),
		 "none", LOG_STR(STR_NONE), "d", LOG_D(0.5), NULL);
	ssize_t n = read(fds[0], line, sizeof(line));
	cr_assert_gt(n, 0);
	line[n] = '\0';
	cr_assert_str_eq(
		line,
		"{\"ts\":\"2024-02-29T12:34:56.007Z\",\"level\":\"info\",\"component\":"
		"\"tester\",\"event\":\"seen\",\"text\":\"a\\\"b\\\\c\\nd\\u0001\\u007f\\u0000e\","
		"\"n\":-5,\"none\":\"\",\"d\":0.5}\n");
	/* what is too long is cut, the line stays an object */
	static char huge[30000];
	memset(huge, 'x', sizeof(huge) - 1);
	log_info("huge", "text", LOG_S(huge), "n", LOG_I(1), NULL);
	n = read(fds[0], line, sizeof(line));
	cr_assert(n > 16000 && n < 17000, "%zd", n);
	cr_assert(str_ends(str_n(line, (size_t)n), STR("x\",\"n\":1}\n")));
}

Test(log, kept_lines_are_written_whole_and_no_more_at_once_than_a_pipe_takes)
{
	int fds[2];
	static char text[200000];
	struct buf lines = { 0 };
	size_t got = 0;
	cr_assert_eq(pipe2(fds, O_DIRECT), 0); /* a read is a write */
	cr_assert(dup2(fds[1], STDERR_FILENO) >= 0);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK | O_DIRECT);
	log_setup("tester", LOG_INFO, NULL);
	static char huge[5000];
	memset(huge, 'x', sizeof(huge) - 1);
	for (int i = 0; i < 100; i++) {
		log_add(&lines, LOG_DEBUG, "hidden", NULL);
		log_add(&lines, LOG_INFO, "kept", "i", LOG_I(i), "text", LOG_S(i == 50 ? huge : ""),
			NULL);
	}
	log_write(&lines);
	log_write(&lines);
	cr_assert_eq(lines.len, 0);
	ssize_t n = 0;
	size_t writes = 0;
	for (; (n = read(fds[0], text + got, sizeof(text) - got)) > 0; writes++) {
		got += (size_t)n;
		bool part = memmem(text, got, huge, 2000) != NULL; /* the kernel splits that one */
		cr_assert(part || text[got - 1] == '\n');
	}
	cr_assert_lt(writes, 10);
	struct str rest = str_n(text, got);
	struct str line;
	for (int i = 0; i < 100; i++) {
		char want[100];
		(void)snprintf(want, sizeof(want), "\"kept\",\"i\":%d,", i);
		cr_assert(str_split(&rest, '\n', &line));
		cr_assert(str_find_str(line, str_of(want), 0) > 0);
		cr_assert(str_starts(line, STR("{\"level\"")) && str_ends(line, STR("\"}")));
	}
	cr_assert_eq(rest.len, 0);
	buf_fini(&lines);
}

Test(str, splits_trims_and_converts)
{
	struct str rest = STR("a,,b");
	struct str piece;
	const char *want[] = { "a", "", "b" };
	for (int i = 0; i < 3; i++) {
		cr_assert(str_split(&rest, ',', &piece));
		cr_assert(str_is(piece, want[i]));
	}
	cr_assert_not(str_split(&rest, ',', &piece));
	cr_assert(str_is(str_trim(STR(" \t x y\r\n")), "x y"));

	static const struct {
		const char *s;
		bool ok;
		int64_t v;
	} rows[] = {
		{ "0", true, 0 },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775807", true, INT64_MAX },
		{ "9223372036854775808", false, 0 },
		{ "", false, 0 },
		{ "-", false, 0 },
		{ "1x", false, 0 },
		{ "+1", false, 0 },
		{ "99999999999999999999", false, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t v = 0;
		cr_assert_eq(str_to_i64(str_of(rows[i].s), &v), rows[i].ok, "%s", rows[i].s);
		cr_assert_eq(v, rows[i].v);
	}
	cr_assert_eq(str_find_str(STR("hello"), STR("lo"), 0), 3);
	cr_assert_eq(str_find_str(STR("hello"), STR("lo"), 4), -1);
	cr_assert(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")));
	cr_assert_lt(str_cmp(STR("ab"), STR("abc")), 0);
}

Test(map, behaves_as_a_naive_table_under_random_changes)
{
	enum { KEYS = 500, STEPS = 40000 };
	struct map m;
	map_init(&m, 42);
	static int present[KEYS];
	static int value[KEYS];
	uint64_t x = 88172645463325252ULL;
	size_t len = 0;
	for (int i = 0; i < STEPS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size_t k = x % KEYS;
		char key[32];
		size_t n = (size_t)snprintf(key, sizeof(key), "key-%zu", k);
		if (x >> 60 & 1) {
			void *old = map_set(&m, str_n(key, n), &value[k]);
			cr_assert_eq(old != NULL, present[k]);
			len += !present[k];
			present[k] = 1;
		} else {
			void *old = map_del(&m, str_n(key, n));
			cr_assert_eq(old, present[k] ? &value[k] : NULL);
			len -= (size_t)present[k];
			present[k] = 0;
		}
		cr_assert_eq(m.len, len);
		cr_assert_eq(map_get(&m, str_n(key, n)), present[k] ? &value[k] : NULL);
	}
	size_t pos = 0;
	size_t seen = 0;
	while (map_next(&m, &pos, NULL, NULL))
		seen++;
	cr_assert_eq(seen, len);
	map_fini(&m);
}

Test(heap, gives_nodes_in_order_of_due_then_of_adding)
{
	struct heap h = { 0 };
	struct heap_node n[100] = { 0 };
	for (size_t i = 0; i < 100; i++)
		heap_add(&h, &n[i], (i * 7919) % 13);
	for (size_t i = 0; i < 100; i += 3)
		heap_del(&h, &n[i]);
	heap_del(&h, &n[0]);
	uint64_t due = 0;
	uint64_t seq = 0;
	size_t got = 0;
	for (struct heap_node *t; (t = heap_top(&h)); got++) {
		cr_assert(t->due > due || (t->due == due && t->seq >= seq));
		due = t->due;
		seq = t->seq;
		heap_del(&h, t);
	}
	cr_assert_eq(got, 66);
	heap_fini(&h);
}

Test(list, deletes_while_walking)
{
	struct item {
		int v;
		struct list l;
	} it[4] = { { .v = 0 }, { .v = 1 }, { .v = 2 }, { .v = 3 } };
	struct list head;
	list_init(&head);
	for (int i = 0; i < 4; i++)
		list_append(&head, &it[i].l);
	list_for_each(p, &head) if (list_entry(p, struct item, l)->v % 2) list_del(p);
	int sum = 0;
	list_for_each(p, &head) sum = sum * 10 + list_entry(p, struct item, l)->v;
	cr_assert_eq(sum, 2);
	cr_assert_not(list_linked(&it[1].l));
}

Test(metric, prints_families_once_and_buckets_cumulatively)
{
	struct metrics *m = metrics_new();
	metric_add(metric_counter(m, "a_total", "x=\"1\"", "A."), 3);
	metric_observe_us(metric_seconds(m, "t_seconds", "", "T."), 1500);
	metric_add(metric_counter(m, "a_total", "x=\"2\"", "A."), 4);
	metric_add(metric_counter(m, "a_total", "x=\"1\"", "A."), 1);
	struct buf b = { 0 };
	metrics_print(m, &b);
	const char *want = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} "
			   "4\na_total{x=\"2\"} 4\n"
			   "# HELP t_seconds T.\n# TYPE t_seconds "
			   "histogram\nt_seconds_bucket{le=\"0.001\"} 0\n"
			   "t_seconds_bucket{le=\"0.0025\"} 1\n";
	cr_assert(str_starts(buf_str(&b), str_of(want)), "%s", buf_cstr(&b));
	cr_assert(strstr(buf_cstr(&b), "t_seconds_sum 0.001500\nt_seconds_count 1\n"));
	buf_fini(&b);
	metrics_free(m);
}

Test(bytes, are_shared_and_end_with_nul)
{
	struct bytes *b = bytes_of_str(STR("abc"));
	struct bytes *c = bytes_ref(b);
	bytes_unref(b);
	cr_assert_str_eq(c->data, "abc");
	bytes_unref(c);
	bytes_unref(NULL);
}
