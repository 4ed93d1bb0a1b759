#include "base/mem.h"
#include "telemetry/chunk.h"
#include "telemetry/index.h"
#include "telemetry/logchunk.h"
#include "telemetry/pack.h"
#include "telemetry/record.h"
#include "telemetry/snappy.h"

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdio.h>

/* ---- the codec ---- */

static uint64_t rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void round_trip(const struct sample *s, size_t n, const char *what)
{
	struct sample got[CHUNK_SAMPLES_MAX];
	struct buf b = { 0 };
	buf_adds(&b, "before"); /* encoding appends */
	chunk_encode(s, n, &b);
	struct str bytes = str_sub(buf_str(&b), 6, b.len);
	cr_assert_eq(chunk_count(bytes), n, "%s", what);
	cr_assert_eq(chunk_decode(bytes, got), n, "%s of %zu", what, n);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(got[i].t_ms, s[i].t_ms, "%s: time %zu", what, i);
		cr_assert_eq(sample_bits(got[i].v), sample_bits(s[i].v), "%s: value %zu: %a %a",
			     what, i, got[i].v, s[i].v);
	}
	/* Cut anywhere, and with a byte too many, it is no chunk. */
	for (size_t cut = 0; cut < bytes.len && cut < 40; cut++)
		cr_assert_eq(chunk_decode(str_sub(bytes, 0, bytes.len - 1 - cut), got), 0,
			     "%s cut by %zu", what, cut + 1);
	buf_addc(&b, 0);
	cr_assert_eq(chunk_decode(str_sub(buf_str(&b), 6, b.len), got), 0, "%s", what);
	buf_fini(&b);
}

static double pick(unsigned kind, size_t i, uint64_t *state)
{
	static const double odd[] = { 0.0,    -0.0, 1e308, -1e308, DBL_MIN,
				      5e-324, 0.1,  1e15,  9e15,   9007199254740993.0 };
	switch (kind) {
	case 0:
		return 42;
	case 1:
		return (double)(i * 15);
	case 2:
		return (double)(rnd(state) % 1000) / 100;
	case 3:
		return (double)(int64_t)(rnd(state) % 2000001 - 1000000) / 1e9;
	case 4:
		return sample_of_bits(rnd(state)); /* any bits at all */
	case 5:
		return odd[rnd(state) % 10];
	case 6:
		return i % 7 == 6 ? sample_stale() : 3;
	case 7:
		return i % 2 ? (double)INFINITY : -(double)INFINITY;
	case 8:
		return sample_of_bits(0x7ff8000000000000ULL | rnd(state) % 1000);
	default:
		return (double)(rnd(state) >> 11) * (rnd(state) & 1 ? 1 : -1);
	}
}

Test(chunk, gives_back_every_double_bit_by_bit)
{
	uint64_t state = 88172645463325252ULL;
	static const size_t lengths[] = { 1, 2, 3, 7, 120, 480, CHUNK_SAMPLES_MAX };
	for (unsigned kind = 0; kind < 10; kind++)
		for (unsigned times = 0; times < 4; times++)
			for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
				struct sample s[CHUNK_SAMPLES_MAX];
				int64_t t = times == 3 ? INT64_MIN / 2 : 1700000000000;
				char what[64];
				for (size_t i = 0; i < lengths[k]; i++) {
					s[i] = (struct sample){ t, pick(kind, i, &state) };
					t += times == 0   ? 15000
					     : times == 1 ? 15000 + (int64_t)(rnd(&state) % 7)
					     : times == 2 ? (i % 50 == 49 ? 3600000 : 15000)
							  : INT64_MAX / 2 / CHUNK_SAMPLES_MAX;
				}
				snprintf(what, sizeof(what), "values %u, times %u", kind, times);
				round_trip(s, lengths[k], what);
			}
}

Test(chunk, is_small_where_numbers_are_ordinary)
{
	struct sample s[480];
	const struct {
		unsigned kind;
		size_t most;
	} rows[] = { { 0, 24 }, { 1, 24 }, { 2, 480 * 2 }, { 3, 480 * 5 } };
	uint64_t state = 1;
	for (size_t r = 0; r < 4; r++) {
		struct buf b = { 0 };
		for (size_t i = 0; i < 480; i++)
			s[i] = (struct sample){ 1700000000000 + (int64_t)i * 15000,
						pick(rows[r].kind, i, &state) };
		chunk_encode(s, 480, &b);
		cr_assert_leq(b.len, rows[r].most, "kind %u: %zu bytes", rows[r].kind, b.len);
		buf_fini(&b);
	}
}

Test(chunk, any_bytes_are_safe_to_decode)
{
	uint64_t state = 7;
	struct sample got[CHUNK_SAMPLES_MAX];
	for (size_t i = 0; i < 200000; i++) {
		char bytes[64];
		size_t n = rnd(&state) % sizeof(bytes);
		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)rnd(&state);
		if (n > 1)
			bytes[1] = (char)(rnd(&state) % 20);
		cr_assert_leq(chunk_decode(str_n(bytes, n), got), (size_t)CHUNK_SAMPLES_MAX);
	}
}

/* ---- labels, matchers, index ---- */

static struct labels parse_labels(struct arena *a, const char *json)
{
	struct labels l = { 0 };
	struct error err = { 0 };
	cr_assert_eq(labels_read_json(a, str_of(json), &l, &err), 0, "%s: %s", json, err.msg);
	return l;
}

Test(labels, are_checked_sorted_and_without_empty_values)
{
	static const struct {
		struct label v[3];
		size_t len;
		int code;
		const char *text;
	} rows[] = {
		{ { { STR("b"), STR("2") }, { STR("a"), STR("1") } }, 2, 0, "{a=\"1\", b=\"2\"}" },
		{ { { STR("b"), STR("") }, { STR("a"), STR("1") } }, 2, 0, "{a=\"1\"}" },
		{ { { STR("__name__"), STR("up:sum") } }, 1, 0, "up:sum{}" },
		{ { { STR("__name__"), STR("1up") } }, 1, ERR_BAD_REQUEST, "" },
		{ { { STR("a-b"), STR("1") } }, 1, ERR_BAD_REQUEST, "" },
		{ { { STR("a:b"), STR("1") } }, 1, ERR_BAD_REQUEST, "" },
		{ { { STR(""), STR("1") } }, 1, ERR_BAD_REQUEST, "" },
		{ { { STR("a"), STR("\xff") } }, 1, ERR_BAD_REQUEST, "" },
		{ { { STR("a"), STR("x\0y") } }, 1, ERR_BAD_REQUEST, "" },
		{ { { STR("a"), STR("1") }, { STR("a"), STR("2") } }, 2, ERR_BAD_REQUEST, "" },
		{ { { STR("a"), STR("12345678901234567890") } }, 1, ERR_LIMIT, "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct label v[3];
		size_t n = rows[i].len;
		struct buf b = { 0 };
		memcpy(v, rows[i].v, sizeof(v));
		cr_assert_eq(labels_check(v, &n, 20, NULL), rows[i].code, "row %zu", i);
		labels_write_text((struct labels){ v, n }, &b);
		if (rows[i].code == 0)
			cr_assert_str_eq(buf_cstr(&b), rows[i].text);
		buf_fini(&b);
	}
}

Test(labels, go_to_json_and_back)
{
	struct arena a = { 0 };
	struct buf b = { 0 };
	static const char text[] = "{\"__name__\":\"up\",\"x\":\"a\\\"b\\\\ä\"}";
	struct labels l = parse_labels(&a, text);
	labels_write_json(l, &b);
	cr_assert_str_eq(buf_cstr(&b), text);
	struct labels_own *o = labels_own(l);
	cr_assert(labels_equal(o->l, l));
	cr_assert_eq(labels_get(o->l, STR("y")).len, 0);
	mem_free(o);
	buf_fini(&b);
	arena_fini(&a);
}

Test(matcher, matches_whole_values_as_prometheus_does)
{
	static const struct {
		enum matcher_op op;
		const char *value, *text;
		bool want;
	} rows[] = {
		{ MATCHER_EQUAL, "a", "a", true },
		{ MATCHER_EQUAL, "", "", true },
		{ MATCHER_NOT_EQUAL, "a", "", true },
		{ MATCHER_REGEX, "a", "xax", false }, /* anchored at both ends */
		{ MATCHER_REGEX, "a|b", "b", true },
		{ MATCHER_REGEX, "a|b", "bc", false },
		{ MATCHER_REGEX, ".*", "", true },
		{ MATCHER_REGEX, ".+", "", false },
		{ MATCHER_REGEX, "(?i:WEB).*", "web-1", true },
		{ MATCHER_REGEX, "a.b", "a\nb", true },
		{ MATCHER_NOT_REGEX, "a.*", "abc", false },
		{ MATCHER_NOT_REGEX, "a", "ab", true },
	};
	struct error err = { 0 };
	struct matcher m;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(matcher_init(&m, rows[i].op, STR("l"), str_of(rows[i].value), &err),
			     0);
		cr_assert_eq(matcher_value(&m, str_of(rows[i].text)), rows[i].want, "row %zu", i);
		matcher_fini(&m);
	}
	cr_assert_eq(matcher_init(&m, MATCHER_REGEX, STR("l"), STR("a("), &err), ERR_BAD_REQUEST);
}

static size_t count_matches(const struct index *ix, const struct matcher *m, size_t n)
{
	struct index_ids ids = { 0 };
	index_select(ix, m, n, &ids);
	for (size_t i = 1; i < ids.len; i++)
		cr_assert_lt(ids.v[i - 1], ids.v[i]);
	mem_free(ids.v);
	return ids.len;
}

static void count_word(void *arg, struct str s)
{
	(void)s;
	++*(size_t *)arg;
}

Test(index, selects_what_a_walk_over_all_series_selects)
{
	struct index ix;
	struct arena a = { 0 };
	uint64_t state = 99;
	index_init(&ix, 5);
	for (uint32_t id = 1; id <= 500; id++) {
		char json[120];
		snprintf(json, sizeof(json), "{\"__name__\":\"m%u\",\"a\":\"%u\",\"id\":\"%u\"%s}",
			 id % 5, id % 7, id, id % 3 ? "" : ",\"odd\":\"x\"");
		(void)index_add(&ix, id, parse_labels(&a, json));
	}
	for (uint32_t id = 1; id <= 500; id += 11)
		index_del(&ix, id);
	static const char *const names[] = { "__name__", "a", "odd", "none" };
	static const char *const values[] = { "m1", "3", "x", "", "m[0-2]", "3|4", ".*", ".+" };
	for (size_t round = 0; round < 3000; round++) {
		struct matcher m[3];
		size_t n = 1 + rnd(&state) % 3, want = 0;
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(matcher_init(&m[i], (enum matcher_op)(rnd(&state) % 4),
						  str_of(names[rnd(&state) % 4]),
						  str_of(values[rnd(&state) % 8]), NULL),
				     0);
		for (uint32_t id = 1; id <= 500; id++)
			want += index_at(&ix, id) && matcher_all(m, n, index_at(&ix, id)->l);
		cr_assert_eq(count_matches(&ix, m, n), want);
		for (size_t i = 0; i < n; i++)
			matcher_fini(&m[i]);
	}
	size_t names_len = 0, values_len = 0;
	index_names(&ix, count_word, &names_len);
	index_values(&ix, STR("a"), count_word, &values_len);
	cr_assert_eq(names_len, 4);
	cr_assert_eq(values_len, 7);
	cr_assert_null(index_find(&ix, parse_labels(&a, "{\"a\":\"none\"}")));
	index_fini(&ix);
	arena_fini(&a);
}

/* ---- records ---- */

struct got {
	struct record_sample v[64];
	size_t len;
};

static void take(void *arg, uint32_t ref, double v)
{
	struct got *g = arg;
	cr_assert_lt(g->len, 64u);
	g->v[g->len++] = (struct record_sample){ ref, v };
}

Test(record, samples_come_back_whatever_their_scale)
{
	static const double values[] = { 1, 2.5, -3, 0.001, 1e300, NAN, -0.0, 123456789.25, 0 };
	struct record_sample in[10];
	struct buf b = { 0 };
	struct got g = { 0 };
	struct record_batch batch;
	for (uint32_t i = 0; i < 9; i++)
		in[i] = (struct record_sample){ i * 3 + 1, values[i] };
	in[9] = (struct record_sample){ 40, sample_stale() };
	record_write_metrics(1700000000000, 15000, in, 10, &b);
	cr_assert_eq(record_metrics(buf_str(&b), &batch, take, &g, NULL), 0);
	cr_assert_eq(batch.time_ms, 1700000000000);
	cr_assert_eq(batch.interval_ms, 15000u);
	cr_assert_eq(batch.samples, 10u);
	cr_assert_eq(g.len, 10u);
	for (size_t i = 0; i < 10; i++) {
		size_t k = 0;
		while (k < 10 && g.v[k].ref != in[i].ref)
			k++;
		cr_assert_lt(k, 10u);
		cr_assert_eq(sample_bits(g.v[k].v), sample_bits(in[i].v), "sample %zu", i);
	}
	for (size_t cut = 1; cut < b.len; cut++) { /* never more than is there, never a crash */
		g.len = 0;
		(void)!record_metrics(str_n(b.p, cut), &batch, take, &g, NULL);
	}
	buf_fini(&b);
}

Test(record, a_batch_that_is_wrong_is_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "\x1a\x05\x08\x0a\x12\x01\x01\x1a", 8 },              /* cut */
		{ "\x1a\x08\x08\x0a\x12\x01\x01\x1a\x01\x02", 10 },     /* scale 10 */
		{ "\x1a\x08\x08\x00\x12\x01\x00\x1a\x01\x02", 10 },     /* reference 0 */
		{ "\x1a\x09\x08\x00\x12\x02\x01\x01\x1a\x01\x02", 11 }, /* more references */
		{ "\x1a\x09\x08\x00\x12\x01\x01\x1a\x02\x02\x02", 11 }, /* more values */
		{ "\x22\x01\x00", 3 },                                  /* stale 0 */
		{ "\x08", 1 },
	};
	struct record_batch b;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(
			record_metrics(str_n(rows[i].bytes, rows[i].len), &b, NULL, NULL, NULL),
			ERR_BAD_REQUEST, "row %zu", i);
}

Test(record, zstd_is_unpacked_within_its_limit)
{
	struct buf in = { 0 }, frame = { 0 }, out = { 0 };
	struct str got;
	for (size_t i = 0; i < RECORD_UNPACKED_BYTES_MAX + 1; i++)
		buf_addc(&in, 'x');
	pack_close(str_n(in.p, 5000), 1, &frame);
	cr_assert_eq(record_unpack(RECORD_ZSTD, buf_str(&frame), &out, &got, NULL), 0);
	cr_assert(str_eq(got, str_n(in.p, 5000)));
	frame.p[frame.len / 2] = (char)(frame.p[frame.len / 2] ^ 0x55);
	cr_assert_lt(record_unpack(RECORD_ZSTD, str_n(frame.p, frame.len - 2), &out, &got, NULL),
		     0);
	buf_clear(&frame);
	pack_close(buf_str(&in), 1, &frame); /* a bomb of a few hundred bytes */
	cr_assert_lt(frame.len, 2000u);
	cr_assert_eq(record_unpack(RECORD_ZSTD, buf_str(&frame), &out, &got, NULL), ERR_TOO_LARGE);
	cr_assert_eq(record_unpack(9, STR("x"), &out, &got, NULL), ERR_BAD_REQUEST);
	cr_assert_eq(record_unpack(RECORD_PLAIN, STR("x"), &out, &got, NULL), 0);
	buf_fini(&in);
	buf_fini(&frame);
	buf_fini(&out);
}

/* ---- blocks of log lines ---- */

Test(logchunk, lines_come_back_in_order_with_time_and_flags)
{
	struct logchunk c = { 0 };
	struct buf packed = { 0 }, raw = { 0 };
	struct logchunk_walk w;
	struct record_line line;
	for (int64_t i = 0; i < 5000; i++) {
		char text[64];
		snprintf(text, sizeof(text), "request %lld took %lld ms", (long long)i,
			 (long long)(i * 37 % 113));
		line = (struct record_line){ 1700000000000000000 + i * 1000 - (i % 3) * 5000,
					     i % 5 == 0, i % 7 == 0, str_of(i % 11 ? text : "") };
		logchunk_add(&c, &line);
	}
	logchunk_pack(&c, &packed);
	cr_assert_lt(packed.len, (c.text.len + c.columns.len) / 2);
	cr_assert_eq(logchunk_open(buf_str(&packed), &raw, &w, NULL), 0);
	for (int64_t i = 0; i < 5000; i++) {
		cr_assert(logchunk_next(&w, &line));
		cr_assert_eq(line.unix_ns, 1700000000000000000 + i * 1000 - (i % 3) * 5000);
		cr_assert_eq(line.is_stderr, i % 5 == 0);
		cr_assert_eq(line.partial, i % 7 == 0);
		cr_assert_eq(line.text.len == 0, i % 11 == 0);
	}
	cr_assert_not(logchunk_next(&w, &line));
	cr_assert_lt(logchunk_open(str_n(packed.p, packed.len - 1), &raw, &w, NULL), 0);
	logchunk_fini(&c);
	buf_fini(&packed);
	buf_fini(&raw);
}

Test(logchunk, the_filter_never_denies_a_word_that_is_there_and_rarely_grants_another)
{
	struct buf text = { 0 }, bloom = { 0 };
	size_t wrong = 0;
	for (unsigned i = 0; i < 4000; i++)
		buf_addf(&text, "word%u id=%08x; ", i, i * 2654435761U);
	logchunk_bloom(buf_str(&text), &bloom);
	cr_assert_lt(bloom.len, text.len / 4);
	for (unsigned i = 0; i < 4000; i++) {
		char word[32];
		snprintf(word, sizeof(word), "word%u", i);
		cr_assert(logchunk_bloom_has(buf_str(&bloom), str_of(word)));
		snprintf(word, sizeof(word), "other%u", i);
		wrong += logchunk_bloom_has(buf_str(&bloom), str_of(word));
	}
	cr_assert_lt(wrong, 4000u / 50, "%zu of 4000 granted", wrong);
	cr_assert(logchunk_bloom_has(STR(""), STR("anything")));
	buf_fini(&text);
	buf_fini(&bloom);
}

/* ---- remote write ---- */

Test(snappy, blocks_are_unpacked_within_their_limit)
{
	static const struct {
		struct str packed;
		const char *want; /* NULL = refused */
	} rows[] = {
		{ { "\x00", 1 }, "" },
		{ { "\x03\x08"
		    "abc",
		    5 },
		  "abc" },
		{ { "\x0a\x04"
		    "ab\x11\x02",
		    6 },
		  "ababababab" },
		{ { "\x0a\x04"
		    "ab\x1d\x02",
		    6 },
		  NULL }, /* longer */
		{ { "\x0a\x04"
		    "ab\x11\x02",
		    5 },
		  NULL },
		{ { "\x0a\x04"
		    "ab\x1e\x02\x00",
		    7 },
		  "ababababab" },
		{ { "\x0a\x04"
		    "ab\x1f\x02\x00\x00\x00",
		    9 },
		  "ababababab" },
		{ { "\x06\x04"
		    "ab\x01\x02",
		    6 },
		  "ababab" },
		{ { "\x06\x04"
		    "ab\x01\x03",
		    6 },
		  NULL }, /* before the beginning */
		{ { "\x06\x04"
		    "ab\x01\x00",
		    6 },
		  NULL },
		{ { "\x03\xf0\x02"
		    "abc",
		    6 },
		  "abc" },
		{ { "\x03\x08"
		    "ab",
		    4 },
		  NULL },
		{ { "\xff\xff\xff\xff\x0f", 5 }, NULL },
		{ { "", 0 }, NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = { 0 };
		int rc = snappy_unpack(rows[i].packed, 1 << 20, &out, NULL);
		cr_assert_eq(rc == 0, rows[i].want != NULL, "row %zu", i);
		cr_assert_str_eq(buf_cstr(&out), rows[i].want ? rows[i].want : "", "row %zu", i);
		buf_fini(&out);
	}
}
