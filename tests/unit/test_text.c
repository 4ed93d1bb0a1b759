#include "base/utf8.h"
#include "public_data.h"
#include "text/base64.h"
#include "text/duration.h"
#include "text/names.h"
#include "text/quantity.h"
#include "text/rfc3339.h"
#include "text/url.h"
#include "text/uuid.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- quantity ---- */

static const char *canonical(struct buf *out, struct quantity q)
{
	buf_clear(out);
	quantity_write(out, q);
	return buf_cstr(out);
}

Test(quantity, texts_have_one_canonical_form)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "0", "0" },
		{ "0Ki", "0" },
		{ "-0", "0" },
		{ "1000m", "1" },
		{ "0.5", "500m" },
		{ "1500m", "1500m" },
		{ "+5", "5" },
		{ "1024", "1024" },
		{ "1000", "1k" },
		{ "1024Ki", "1Mi" },
		{ "1.5Gi", "1536Mi" },
		{ "0.5Ki", "512" },
		{ "1000Ki", "1000Ki" },
		{ "0.1Ki", "102400m" },
		{ "1e3", "1e3" },
		{ "1E3", "1e3" },
		{ "1E", "1E" },
		{ "12e6", "12e6" },
		{ "1e-3", "1e-3" },
		{ "1.23e2", "123" },
		{ "1e0", "1" },
		{ "0.1n", "1n" },
		{ "-0.1n", "-1n" },
		{ "1.1n", "2n" },
		{ "1e-99999", "1e-9" },
		{ "8Ei", "9223372036854775807" },
		{ "-100Ei", "-9223372036854775807" },
		{ "7Ei", "7Ei" },
		{ "100E", "100E" },
		{ "1e99", "10e27" },
		{ "00012.500k", "12500" },
		{ "1.0000000000000000000000001", "1000000001n" },
		{ "1.1234567890123Ei", "1295257491548837945577984282n" },
		{ "123456789012345678901234567890e-20", "1234567890123456790e-9" },
	};
	struct buf out = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct quantity q;
		struct error err = { 0 };
		cr_assert_eq(quantity_parse(str_of(rows[i].in), &q, &err), 0, "%s: %s", rows[i].in,
			     err.msg);
		cr_expect_str_eq(canonical(&out, q), rows[i].out, "%s", rows[i].in);
		struct quantity again;
		cr_assert_eq(quantity_parse(str_of(canonical(&out, q)), &again, NULL), 0);
		cr_expect_eq(quantity_cmp(q, again), 0, "%s", rows[i].in);
	}
	buf_fini(&out);
}

Test(quantity, what_is_none_is_refused)
{
	static const char *const bad[] = { "",     " 1",    "1 ",  "1.1.M",   "1+1.0M", "0.1mi",
					   "aoeu", ".5i",   "1i",  "-3.01e-", "1ki",    "1KiB",
					   "e3",   ".",     "+",   "-",       "1mm",    "1Kii",
					   "0x10", "1e1.5", "--1", "1e--1" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct quantity q;
		cr_expect_eq(quantity_parse(str_of(bad[i]), &q, NULL), ERR_BAD_REQUEST, "%s",
			     bad[i]);
	}
	struct quantity q;
	cr_expect_eq(quantity_parse(STR("1\0"), &q, NULL), ERR_BAD_REQUEST);
	static char longest[QUANTITY_TEXT_MAX + 1];
	memset(longest, '9', sizeof(longest));
	cr_expect_eq(quantity_parse(str_n(longest, QUANTITY_TEXT_MAX), &q, NULL), 0);
	cr_expect_eq(quantity_parse(str_n(longest, sizeof(longest)), &q, NULL), ERR_BAD_REQUEST);
}

static struct quantity quantity(const char *text)
{
	struct quantity q = { 0 };
	cr_assert_eq(quantity_parse(str_of(text), &q, NULL), 0, "%s", text);
	return q;
}

Test(quantity, counts_round_away_from_zero_and_saturate)
{
	cr_expect_eq(quantity_value(quantity("1.1")), 2);
	cr_expect_eq(quantity_value(quantity("-1.1")), -2);
	cr_expect_eq(quantity_value(quantity("1Gi")), 1073741824);
	cr_expect_eq(quantity_milli(quantity("0.1")), 100);
	cr_expect_eq(quantity_milli(quantity("100u")), 1);
	cr_expect_eq(quantity_value(quantity("100E")), INT64_MAX);
	cr_expect_eq(quantity_value(quantity("-100E")), INT64_MIN);
	cr_expect_eq(quantity_milli(quantity("9223372036854775807")), INT64_MAX);
	cr_expect_float_eq(quantity_double(quantity("2500m")), 2.5, 1e-12);
	cr_expect_eq(quantity_cmp(quantity("1"), quantity("1000m")), 0);
	cr_expect_eq(quantity_cmp(quantity("1Ki"), quantity("1k")), 1);
	cr_expect_eq(quantity_sign(quantity("-1n")), -1);
	struct quantity huge = quantity("1e40");
	cr_expect_eq(quantity_cmp(quantity_add(huge, huge), huge), 0);
	struct buf out = { 0 };
	cr_expect_str_eq(canonical(&out, quantity_add(quantity("0"), quantity("1Gi"))), "1Gi");
	cr_expect_str_eq(canonical(&out, quantity_sub(quantity("1Gi"), quantity("512Mi"))),
			 "512Mi");
	cr_expect_str_eq(canonical(&out, quantity_of_milli(1500, QUANTITY_DECIMAL_SI)), "1500m");
	cr_expect_str_eq(canonical(&out, quantity_of_value(1 << 20, QUANTITY_BINARY_SI)), "1Mi");
	buf_fini(&out);
}

/* A number, or an expression "10 * 1024 * 1024" or "-2". */
static double evaluated(const struct json *j)
{
	const struct json *expr = json_getc(j, "$expr");
	if (!expr)
		return json_double(j, NAN);
	double v = 1;
	struct str rest = json_str(expr);
	struct str piece;
	while (str_split(&rest, '*', &piece)) {
		char text[64];
		(void)snprintf(text, sizeof(text), "%.*s", STR_ARG(piece));
		v *= strtod(text, NULL);
	}
	return v;
}

/* {"$call": "decQuantity", "args": [value, exponent of ten, format]} */
static bool expected_quantity(const struct json *j, struct quantity *ret)
{
	const struct json *args = json_getc(j, "args");
	if (json_len(args) != 3)
		return false;
	struct str format = json_str(json_getc(json_at(args, 2), "$expr"));
	ret->format = str_is(format, "BinarySI")    ? QUANTITY_BINARY_SI
		      : str_is(format, "DecimalSI") ? QUANTITY_DECIMAL_SI
						    : QUANTITY_DECIMAL_EXPONENT;
	ret->nano = (__int128)evaluated(json_at(args, 0));
	int exp10 = (int)evaluated(json_at(args, 1)) + 9;
	for (; exp10 > 0; exp10--)
		ret->nano *= 10;
	return exp10 == 0;
}

Test(quantity, agrees_with_the_public_tables)
{
	struct arena a = { 0 };
	struct buf out = { 0 };
	const struct json *tables =
		public_json(&a, "apimachinery/tables/pkg_api_resource_quantity_test.json");
	if (!tables) {
		cr_skip_test("public data absent");
		return;
	}
	const struct json *rows = json_getc(tables, "TestQuantityParse.table");
	size_t judged = 0;
	for (size_t i = 0; i < json_len(rows); i++) {
		struct str text = json_str(json_at(json_at(rows, i), 0));
		struct quantity want;
		struct quantity got;
		cr_assert_eq(quantity_parse(text, &got, NULL), 0, "%.*s", STR_ARG(text));
		if (!expected_quantity(json_at(json_at(rows, i), 1), &want))
			continue;
		judged++;
		cr_expect_eq(quantity_cmp(got, want), 0, "%.*s", STR_ARG(text));
		if (want.nano)
			cr_expect_eq(got.format, want.format, "%.*s", STR_ARG(text));
	}
	cr_expect_gt(judged, 80);
	rows = json_getc(tables, "TestQuantityParse.invalid");
	for (size_t i = 0; i < json_len(rows); i++) {
		struct quantity q;
		cr_expect_eq(quantity_parse(json_str(json_at(rows, i)), &q, NULL), ERR_BAD_REQUEST);
	}
	rows = json_getc(tables, "TestParseQuantity.tests");
	for (size_t i = 0; i < json_len(rows); i++) {
		struct str in = json_str(json_getc(json_at(rows, i), "input"));
		struct str want = json_str(json_getc(json_at(rows, i), "canonical"));
		struct quantity q;
		cr_assert_eq(quantity_parse(in, &q, NULL), 0);
		cr_expect_str_eq(canonical(&out, q), arena_str(&a, want.len ? want : in).p);
	}
	rows = json_getc(tables, "TestQuantityParseEmit.table");
	for (size_t i = 0; i < json_len(rows); i++) {
		struct quantity q;
		cr_assert_eq(quantity_parse(json_str(json_at(json_at(rows, i), 0)), &q, NULL), 0);
		struct str want = json_str(json_at(json_at(rows, i), 1));
		cr_expect_str_eq(canonical(&out, q), arena_str(&a, want).p);
	}
	buf_fini(&out);
	arena_fini(&a);
}

/* ---- rfc3339 ---- */

Test(rfc3339, times_are_read_and_written)
{
	static const struct {
		const char *in;
		int64_t sec;
		int32_t nsec;
		const char *out; /* nano form */
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z" },
		{ "2006-01-02T15:04:05.123456789+07:00", 1136189045, 123456789,
		  "2006-01-02T08:04:05.123456789Z" },
		{ "1998-05-05T05:05:05.000000Z", 894344705, 0, "1998-05-05T05:05:05Z" },
		{ "2024-02-29T23:59:59.5-00:30", 1709252999, 500000000, "2024-03-01T00:29:59.5Z" },
		{ "0000-01-01T00:00:00Z", -62167219200, 0, "0000-01-01T00:00:00Z" },
		{ "9999-12-31T23:59:59Z", 253402300799, 0, "9999-12-31T23:59:59Z" },
		{ "1969-12-31T23:59:59.25Z", -1, 250000000, "1969-12-31T23:59:59.25Z" },
		{ "2000-01-01T00:00:00.1234567899Z", 946684800, 123456789,
		  "2000-01-01T00:00:00.123456789Z" },
	};
	struct buf out = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t sec = 0;
		int32_t nsec = 0;
		cr_assert(rfc3339_parse(str_of(rows[i].in), &sec, &nsec), "%s", rows[i].in);
		cr_expect_eq(sec, rows[i].sec, "%s: %lld", rows[i].in, (long long)sec);
		cr_expect_eq(nsec, rows[i].nsec, "%s", rows[i].in);
		buf_clear(&out);
		rfc3339_write_nano(&out, sec, nsec);
		cr_expect_str_eq(buf_cstr(&out), rows[i].out);
	}
	buf_clear(&out);
	rfc3339_write_ms(&out, -1);
	buf_addc(&out, ' ');
	rfc3339_write_us(&out, 1);
	buf_addc(&out, ' ');
	rfc3339_write(&out, INT64_MAX);
	buf_addc(&out, ' ');
	rfc3339_write_us(&out, INT64_MIN);
	cr_expect_str_eq(buf_cstr(&out), "1969-12-31T23:59:59.999Z 1970-01-01T00:00:00.000001Z "
					 "9999-12-31T23:59:59Z 0000-01-01T00:00:00.224192Z");
	int64_t t = 0;
	cr_expect(rfc3339_parse_ms(STR("1969-12-31T23:59:59.25Z"), &t) && t == -750);
	cr_expect(rfc3339_parse_us(STR("1970-01-01T00:00:01.000002Z"), &t) && t == 1000002);
	buf_fini(&out);
}

Test(rfc3339, what_is_no_time_is_refused)
{
	static const char *const bad[] = {
		"",
		"2006-01-02",
		"2006-01-02T15:04:05",
		"2006-01-02 15:04:05Z",
		"2006-13-02T15:04:05Z",
		"2006-02-29T15:04:05Z",
		"2006-00-01T15:04:05Z",
		"2006-01-00T15:04:05Z",
		"2006-01-02T24:00:00Z",
		"2006-01-02T15:60:05Z",
		"2006-01-02T15:04:60Z",
		"2006-01-02T15:04:05.Z",
		"2006-01-02T15:04:05z ",
		"2006-01-02T15:04:05+0700",
		"2006-01-02T15:04:05+24:00",
		"06-01-02T15:04:05Z",
		"2006-1-02T15:04:05Z",
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		int64_t sec = 0;
		cr_expect(!rfc3339_parse(str_of(bad[i]), &sec, NULL), "%s", bad[i]);
	}
}

Test(rfc3339, every_day_of_the_calendar_comes_back)
{
	struct civil last = civil_of_days(-719529);
	for (int64_t days = -719528; days < 2932897; days++) {
		struct civil c = civil_of_days(days);
		cr_assert_eq(civil_to_days(c), days);
		bool next_day =
			c.day == last.day + 1 && c.month == last.month && c.year == last.year;
		bool next_month = c.day == 1 && last.day >= 28 &&
				  c.year * 12 + c.month == last.year * 12 + last.month + 1;
		cr_assert(next_day || next_month);
		last = c;
	}
}

/* ---- duration ---- */

Test(duration, go_durations_are_read_and_written)
{
	static const struct {
		const char *in;
		int64_t ns;
		const char *out;
	} rows[] = {
		{ "0", 0, "0s" },
		{ "1h2m3s", 3723000000000, "1h2m3s" },
		{ "1.5h", 5400000000000, "1h30m0s" },
		{ "-1.5h", -5400000000000, "-1h30m0s" },
		{ "300ms", 300000000, "300ms" },
		{ "1.5ms", 1500000, "1.5ms" },
		{ "1us", 1000, "1\xC2\xB5s" },
		{ "1\xC2\xB5s", 1000, "1\xC2\xB5s" },
		{ "1ns", 1, "1ns" },
		{ "100s", 100000000000, "1m40s" },
		{ "1.000000001s", 1000000001, "1.000000001s" },
		{ ".5s", 500000000, "500ms" },
		{ "1.s", 1000000000, "1s" },
		{ "+5s", 5000000000, "5s" },
		{ "9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s" },
		{ "-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s" },
		{ "0.3333333333333333333h", 1200000000000, "20m0s" },
	};
	struct buf out = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ns = -1;
		cr_assert_eq(duration_parse_go(str_of(rows[i].in), &ns, NULL), 0, "%s", rows[i].in);
		cr_expect_eq(ns, rows[i].ns, "%s: %lld", rows[i].in, (long long)ns);
		buf_clear(&out);
		duration_write_go(&out, rows[i].ns);
		cr_expect_str_eq(buf_cstr(&out), rows[i].out);
	}
	buf_fini(&out);
	static const struct {
		const char *in, *msg;
	} bad[] = {
		{ "", "time: invalid duration \"\"" },
		{ "3", "time: missing unit in duration \"3\"" },
		{ "-", "time: invalid duration \"-\"" },
		{ "s", "time: invalid duration \"s\"" },
		{ ".s", "time: invalid duration \".s\"" },
		{ "3d", "time: unknown unit \"d\" in duration \"3d\"" },
		{ "9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"" },
		{ "3000000h", "time: invalid duration \"3000000h\"" },
		{ "2562047h2562047h", "time: invalid duration \"2562047h2562047h\"" },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error err = { 0 };
		int64_t ns = 0;
		cr_expect_eq(duration_parse_go(str_of(bad[i].in), &ns, &err), ERR_BAD_REQUEST);
		cr_expect_str_eq(err.msg, bad[i].msg);
	}
}

Test(duration, prometheus_durations_are_read_and_written)
{
	static const struct {
		const char *in;
		int64_t ms;
		const char *out;
	} rows[] = {
		{ "0", 0, "0s" },
		{ "0w", 0, "0s" },
		{ "324ms", 324, "324ms" },
		{ "3s", 3000, "3s" },
		{ "5m", 300000, "5m" },
		{ "1h", 3600000, "1h" },
		{ "4d", 345600000, "4d" },
		{ "4d1h", 349200000, "4d1h" },
		{ "14d", 1209600000, "2w" },
		{ "3w2d1h", 1990800000, "23d1h" },
		{ "10y", 315360000000, "10y" },
		{ "90s", 90000, "1m30s" },
		{ "1m30ms", 60030, "1m30ms" },
	};
	struct buf out = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ms = -1;
		cr_assert_eq(duration_parse_prom(str_of(rows[i].in), &ms, NULL), 0, "%s",
			     rows[i].in);
		cr_expect_eq(ms, rows[i].ms, "%s", rows[i].in);
		buf_clear(&out);
		duration_write_prom(&out, ms);
		cr_expect_str_eq(buf_cstr(&out), rows[i].out);
	}
	buf_fini(&out);
	static const char *const bad[] = { "",
					   "1",
					   "1y1m1d",
					   "-1w",
					   "1.5d",
					   "d",
					   "5m5m",
					   "294y",
					   "200y10400w107675d2584200h",
					   "1h 2m",
					   "99999999999999999999s" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		int64_t ms = 0;
		cr_expect_eq(duration_parse_prom(str_of(bad[i]), &ms, NULL), ERR_BAD_REQUEST, "%s",
			     bad[i]);
	}
}

Test(duration, ages_read_as_kubectl_prints_them)
{
	static const struct {
		int64_t sec;
		const char *human, *brief;
	} rows[] = {
		{ -2, "<invalid>", "<invalid>" },
		{ -1, "0s", "0s" },
		{ 0, "0s", "0s" },
		{ 59, "59s", "59s" },
		{ 70, "70s", "1m" },
		{ 119, "119s", "1m" },
		{ 120, "2m", "2m" },
		{ 184, "3m4s", "3m" },
		{ 600, "10m", "10m" },
		{ 10799, "179m", "2h" },
		{ 10800, "3h", "3h" },
		{ 18600, "5h10m", "5h" },
		{ 28800, "8h", "8h" },
		{ 172799, "47h", "1d" },
		{ 172800, "2d", "2d" },
		{ 180000, "2d2h", "2d" },
		{ 691200, "8d", "8d" },
		{ 34560000, "400d", "1y" },
		{ 63072000, "2y", "2y" },
		{ 63158400, "2y1d", "2y" },
		{ 252288000, "8y", "8y" },
		{ 3153600000, "100y", "100y" },
	};
	struct buf out = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&out);
		duration_write_human(&out, rows[i].sec);
		cr_expect_str_eq(buf_cstr(&out), rows[i].human);
		buf_clear(&out);
		duration_write_human_short(&out, rows[i].sec);
		cr_expect_str_eq(buf_cstr(&out), rows[i].brief);
	}
	buf_fini(&out);
}

/* ---- uuid, base64 ---- */

Test(uuid, random_bytes_become_version_4)
{
	uint8_t bytes[16];
	memset(bytes, 0xFF, sizeof(bytes));
	char text[UUID_LEN + 1];
	uuid_v4(bytes, text);
	cr_expect_str_eq(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 0x12;
	uuid_v4(bytes, text);
	cr_expect_str_eq(text, "12000000-0000-4000-8000-000000000000");
	uint8_t back[16];
	cr_expect(uuid_parse(STR("12000000-0000-4000-8000-0000000000AB"), back));
	cr_expect(back[0] == 0x12 && back[6] == 0x40 && back[15] == 0xAB);
	cr_expect(!uuid_valid(STR("12000000-0000-4000-8000-00000000000")));
	cr_expect(!uuid_valid(STR("12000000-0000-4000-8000-00000000000g")));
	cr_expect(!uuid_valid(STR("120000000000-4000-8000-0000-00000000")));
}

Test(base64, both_alphabets_go_there_and_back_strictly)
{
	static const struct {
		const char *plain, *std, *url;
	} rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xFB\xFF\xFE", "+//+", "-__-" },
	};
	struct buf out = { 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&out);
		base64_write(&out, rows[i].plain, strlen(rows[i].plain));
		cr_expect_str_eq(buf_cstr(&out), rows[i].std);
		buf_clear(&out);
		base64url_write(&out, rows[i].plain, strlen(rows[i].plain));
		cr_expect_str_eq(buf_cstr(&out), rows[i].url);
		buf_clear(&out);
		cr_expect(base64_read(&out, str_of(rows[i].std)));
		cr_expect_str_eq(buf_cstr(&out), rows[i].plain);
		buf_clear(&out);
		cr_expect(base64url_read(&out, str_of(rows[i].url)));
		cr_expect_str_eq(buf_cstr(&out), rows[i].plain);
	}
	static const char *const bad[] = { "Zg",   "Zg=",  "Zh==", "Zm9=", "Zm9v\n",
					   "Zm-v", "====", "Z===", "=g==", "Zg==Zg==" };
	buf_clear(&out);
	for (size_t i = 0; i < COUNT(bad); i++)
		cr_expect(!base64_read(&out, str_of(bad[i])) && out.len == 0, "%s", bad[i]);
	cr_expect(!base64url_read(&out, STR("Zg==")));
	cr_expect(!base64url_read(&out, STR("Zm9v+")));
	cr_expect(!base64url_read(&out, STR("A")));
	buf_fini(&out);
}

/* ---- names ---- */

Test(names, messages_are_those_of_kubernetes)
{
	static const struct {
		name_check_fn check;
		const char *name, *msg;
	} rows[] = {
		{ name_check_dns1123_label, "a.b", "must not contain dots" },
		{ name_check_dns1123_label, "A",
		  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters "
		  "or '-', and must "
		  "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
		  "regex used for "
		  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')" },
		{ name_check_dns1123_subdomain, "a..b",
		  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
		  "characters, '-' or '.', and "
		  "must start and end with an alphanumeric character (e.g. 'example.com', regex "
		  "used for validation "
		  "is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')" },
		{ name_check_dns1035_label, "1a",
		  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
		  "start with an "
		  "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  "
		  "or 'abc-123', "
		  "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')" },
		{ name_check_qualified, "/a", "prefix part must be non-empty" },
		{ name_check_qualified, "a/", "name part must be non-empty" },
		{ name_check_qualified, "-",
		  "name part must consist of alphanumeric characters, '-', '_' or '.', and must "
		  "start and end with an "
		  "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
		  "for validation is "
		  "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')" },
		{ name_check_config_map_key, "..", "must not be '..'" },
		{ name_check_path_segment, "a/b", "may not contain '/'" },
		{ name_check_port_name, "a--b", "must not contain consecutive hyphens" },
		{ name_check_ip, "1.2.3.04",
		  "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)" },
		{ name_check_cidr, "1.2.3.4/33",
		  "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct name_msgs msgs;
		cr_expect(!rows[i].check(str_of(rows[i].name), &msgs), "%s", rows[i].name);
		cr_assert_geq(msgs.len, 1);
		cr_expect_str_eq(msgs.msg[0], rows[i].msg);
		cr_expect(!rows[i].check(str_of(rows[i].name), NULL));
	}
	struct name_msgs msgs;
	static char long_name[300];
	memset(long_name, 'a', sizeof(long_name) - 1);
	cr_expect(!name_check_dns1123_subdomain(str_of(long_name), &msgs));
	cr_expect_eq(msgs.len, 1);
	cr_expect_str_eq(msgs.msg[0], "must be no more than 253 bytes");
	cr_expect(!name_check_qualified(STR("A_/-"), &msgs));
	cr_expect_eq(msgs.len, 2);
	cr_expect(name_check_ip(STR("2001:db8::1"), NULL) && name_check_cidr(STR("::/0"), NULL));
	cr_expect(!name_check_ip(STR_NONE, NULL) && !name_check_cidr(STR("10.0.0.0/08"), NULL));
}

/* Appends "text" or strings.Repeat("text", 64). */
static void add_term(struct buf *out, const char *term)
{
	char what[64] = "";
	int times = 1;
	if (sscanf(term, " strings.Repeat(\"%63[^\"]\", %d)", what, &times) != 2)
		cr_assert_eq(sscanf(term, " \"%63[^\"]\"", what), 1, "%s", term);
	for (int i = 0; i < times; i++)
		buf_adds(out, what);
}

/* A string of the tables: plain, a call of strings.Repeat, or a sum of both. */
static struct str table_string(struct arena *a, const struct json *j)
{
	if (json_is(j, JSON_STRING))
		return json_str(j);
	struct buf b = { 0 };
	const struct json *args = json_getc(j, "args");
	for (int64_t i = json_i64(json_at(args, 1), 0); i > 0; i--)
		buf_add_str(&b, json_str(json_at(args, 0)));
	struct str rest = json_str(json_getc(j, "$expr"));
	struct str term;
	while (str_split(&rest, '+', &term))
		add_term(&b, arena_str(a, term).p);
	struct str s = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return s;
}

Test(names, verdicts_agree_with_the_public_tables)
{
	static const struct {
		const char *table;
		name_check_fn check;
		bool valid;
	} rows[] = {
		{ "TestIsConfigMapKey.failureCases", name_check_config_map_key, false },
		{ "TestIsConfigMapKey.successCases", name_check_config_map_key, true },
		{ "TestIsDNS1035Label.badValues", name_check_dns1035_label, false },
		{ "TestIsDNS1035Label.goodValues", name_check_dns1035_label, true },
		{ "TestIsDNS1123Label.badValues", name_check_dns1123_label, false },
		{ "TestIsDNS1123Label.goodValues", name_check_dns1123_label, true },
		{ "TestIsDNS1123Subdomain.badValues", name_check_dns1123_subdomain, false },
		{ "TestIsDNS1123Subdomain.goodValues", name_check_dns1123_subdomain, true },
		{ "TestIsQualifiedName.errorCases", name_check_qualified, false },
		{ "TestIsQualifiedName.successCases", name_check_qualified, true },
		{ "TestIsValidLabelValue.errorCases", name_check_label_value, false },
		{ "TestIsValidLabelValue.successCases", name_check_label_value, true },
		{ "TestIsValidPortName.badValues", name_check_port_name, false },
		{ "TestIsValidPortName.goodValues", name_check_port_name, true },
		{ "TestIsWildcardDNS1123Subdomain.badValues", name_check_wildcard_subdomain,
		  false },
		{ "TestIsWildcardDNS1123Subdomain.goodValues", name_check_wildcard_subdomain,
		  true },
	};
	struct arena a = { 0 };
	const struct json *tables =
		public_json(&a, "apimachinery/tables/pkg_util_validation_validation_test.json");
	if (!tables) {
		cr_skip_test("public data absent");
		return;
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct json *names = json_getc(tables, rows[i].table);
		cr_assert_gt(json_len(names), 0, "%s", rows[i].table);
		for (size_t k = 0; k < json_len(names); k++) {
			struct str name = table_string(&a, json_at(names, k));
			struct name_msgs msgs;
			cr_expect_eq(rows[i].check(name, &msgs), rows[i].valid, "%s: %.*s",
				     rows[i].table, STR_ARG(name));
			cr_expect_eq(msgs.len == 0, rows[i].valid);
		}
	}
	arena_fini(&a);
}

/* ---- url ---- */

static bool piece_is(struct str s, const char *want)
{
	return want ? s.p && str_is(s, want) : !s.p;
}

Test(url, splits_into_its_pieces)
{
	static const struct {
		const char *in, *scheme, *user, *host, *path, *query, *fragment;
		unsigned port;
	} rows[] = {
		{ "https://example.com", "https", NULL, "example.com", "", NULL, NULL, 0 },
		{ "https://u:p@example.com:8443/a/b?x=1&y#z", "https", "u:p", "example.com", "/a/b",
		  "x=1&y", "z", 8443 },
		{ "http://[::1]:80/", "http", NULL, "::1", "/", NULL, NULL, 80 },
		{ "http://[fe80::1]", "http", NULL, "fe80::1", "", NULL, NULL, 0 },
		{ "/api/v1/pods?watch=true", NULL, NULL, NULL, "/api/v1/pods", "watch=true", NULL,
		  0 },
		{ "http://h?q", "http", NULL, "h", "", "q", NULL, 0 },
		{ "/a%20b?", NULL, NULL, NULL, "/a%20b", "", NULL, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct url u;
		cr_assert_eq(url_split(str_of(rows[i].in), &u, NULL), 0, "%s", rows[i].in);
		cr_expect(
			piece_is(u.scheme, rows[i].scheme) && piece_is(u.userinfo, rows[i].user) &&
				piece_is(u.host, rows[i].host) && piece_is(u.path, rows[i].path) &&
				piece_is(u.query, rows[i].query) &&
				piece_is(u.fragment, rows[i].fragment) && u.port == rows[i].port,
			"%s", rows[i].in);
	}
	static const char *const bad[] = { "",
					   "example.com",
					   "http://",
					   "http://h:0/",
					   "http://h:65536",
					   "http://h:x",
					   "http://[::1",
					   "http://[1.2.3.4]",
					   "/a b",
					   "/a%2",
					   "/a%zz",
					   "/\xC3\xA9",
					   "/a\n",
					   "1http://h",
					   "http://a\\b/",
					   "http://[::1]x/",
					   "http://h:/" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct url u;
		cr_expect_eq(url_split(str_of(bad[i]), &u, NULL), ERR_BAD_REQUEST, "%s", bad[i]);
	}
}

Test(url, queries_are_walked_decoded_and_built)
{
	struct arena a = { 0 };
	struct str query = STR("limit=500&&labelSelector=app%3Ddemo+x&empty=&bare&bad=%zz&limit=1");
	cr_expect(str_is(url_query_get(&a, query, "limit"), "500"));
	cr_expect(str_is(url_query_get(&a, query, "labelSelector"), "app=demo x"));
	cr_expect(url_query_get(&a, query, "empty").p && !url_query_get(&a, query, "empty").len);
	cr_expect(url_query_get(&a, query, "bare").p && !url_query_get(&a, query, "bare").len);
	cr_expect_null(url_query_get(&a, query, "bad").p);
	cr_expect_null(url_query_get(&a, query, "absent").p);
	cr_expect_null(url_query_get(&a, STR_NONE, "absent").p);
	size_t pairs = 0;
	struct str key;
	struct str value;
	for (struct str rest = query; url_query_next(&rest, &key, &value);)
		pairs++;
	cr_expect_eq(pairs, 6);

	struct buf out = { 0 };
	buf_adds(&out, "/p?");
	url_query_add(&out, 3, STR("a b"), STR("1/2&\xC3\xA9~"));
	url_query_add(&out, 3, STR("c"), STR(""));
	cr_expect_str_eq(buf_cstr(&out), "/p?a%20b=1%2F2%26%C3%A9~&c=");
	buf_clear(&out);
	url_encode_path(&out, STR("/a b/c"));
	cr_expect_str_eq(buf_cstr(&out), "/a%20b/c");
	struct str plain;
	cr_expect(url_decode(&a, STR("%41%00+"), false, &plain) && plain.len == 3 &&
		  plain.p[1] == '\0');
	cr_expect(!url_decode(&a, STR("%4"), false, &plain));
	buf_fini(&out);
	arena_fini(&a);
}

Test(utf8, code_points_go_there_and_back_and_nothing_else_passes)
{
	for (uint32_t c = 0; c <= 0x10FFFF; c += c == 0xD7FF ? 0x801 : 1) {
		char p[UTF8_MAX];
		size_t n = utf8_encode(p, c);
		cr_assert_eq(utf8_len(p, p + n), n);
		cr_assert_eq(utf8_decode(p, n), c);
		cr_assert_eq(n > 1 ? utf8_len(p, p + n - 1) : 0, 0);
	}
	static const char *const bad[] = {
		"\x80",         "\xC0\x80",         "\xC1\xBF",         "\xE0\x9F\xBF",
		"\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
		"\xE2\x28\xA1"
	};
	for (size_t i = 0; i < COUNT(bad); i++)
		cr_expect(!utf8_valid(str_of(bad[i])));
	cr_expect(utf8_valid(STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")));
}
