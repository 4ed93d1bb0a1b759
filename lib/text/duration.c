#include "text/duration.h"

#define US 1000LL
#define MS (1000 * US)
#define S  (1000 * MS)
#define M  (60 * S)
#define H  (60 * M)

struct unit {
	const char *name;
	int64_t size;
};

/* ---- Go ---- */

static const struct unit go_units[] = {
	{ "ns", 1 },         { "us", US },
	{ "\xC2\xB5s", US }, { "\xCE\xBCs", US }, /* micro sign, Greek mu */
	{ "ms", MS },        { "s", S },
	{ "m", M },          { "h", H },
};

static size_t digit_run(struct str s)
{
	size_t n = 0;
	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

/* One "1.5h" off *s, as a count of nanoseconds not above 2^63.  False: the error is in *err. */
static bool go_piece(struct str all, struct str *s, uint64_t *ret, struct error *err)
{
	size_t whole = digit_run(*s);
	uint64_t v = 0;
	bool fits =
		!whole || (str_to_u64(str_sub(*s, 0, whole), &v) && v <= (uint64_t)INT64_MAX + 1);
	struct str rest = str_sub(*s, whole, s->len);
	struct str fraction = STR_NONE;
	if (rest.len && rest.p[0] == '.') {
		rest = str_sub(rest, 1, rest.len);
		fraction = str_sub(rest, 0, digit_run(rest));
		rest = str_sub(rest, fraction.len, rest.len);
	}
	size_t name = 0;
	while (name < rest.len && rest.p[name] != '.' && (rest.p[name] < '0' || rest.p[name] > '9'))
		name++;
	struct str unit = str_sub(rest, 0, name);
	uint64_t size = 0;
	for (size_t i = 0; i < sizeof(go_units) / sizeof(go_units[0]) && !size; i++)
		size = str_is(unit, go_units[i].name) ? (uint64_t)go_units[i].size : 0;
	if (!fits || whole + fraction.len == 0) {
		(void)error_set(err, ERR_BAD_REQUEST, "time: invalid duration \"%.*s\"",
				STR_ARG(all));
		return false;
	}
	if (!size) {
		if (!name)
			(void)error_set(err, ERR_BAD_REQUEST,
					"time: missing unit in duration \"%.*s\"", STR_ARG(all));
		else
			(void)error_set(err, ERR_BAD_REQUEST,
					"time: unknown unit \"%.*s\" in duration \"%.*s\"",
					STR_ARG(unit), STR_ARG(all));
		return false;
	}
	/* As Go rounds: digits as far as they fit, then one multiplication. */
	uint64_t part = 0;
	double scale = 1;
	for (size_t i = 0; i < fraction.len && part <= (INT64_MAX - 9) / 10; i++) {
		part = part * 10 + (uint64_t)(fraction.p[i] - '0');
		scale *= 10;
	}
	if (__builtin_mul_overflow(v, size, &v) ||
	    __builtin_add_overflow(v, (uint64_t)((double)part * ((double)size / scale)), &v) ||
	    v > (uint64_t)INT64_MAX + 1) {
		(void)error_set(err, ERR_BAD_REQUEST, "time: invalid duration \"%.*s\"",
				STR_ARG(all));
		return false;
	}
	*ret = v;
	*s = str_sub(rest, name, rest.len);
	return true;
}

int duration_parse_go(struct str s, int64_t *ret_ns, struct error *err)
{
	struct str rest = s;
	bool negative = s.len && s.p[0] == '-';
	if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
		rest = str_sub(s, 1, s.len);
	if (str_is(rest, "0")) {
		*ret_ns = 0;
		return 0;
	}
	uint64_t sum = 0;
	bool empty = rest.len == 0;
	while (rest.len) {
		uint64_t v = 0;
		if (!go_piece(s, &rest, &v, err))
			return ERR_BAD_REQUEST;
		sum = sum + v > (uint64_t)INT64_MAX + 1 ? UINT64_MAX / 2 + 2 : sum + v;
		if (sum > (uint64_t)INT64_MAX + 1)
			break;
	}
	if (empty || sum > (uint64_t)INT64_MAX + negative)
		return error_set(err, ERR_BAD_REQUEST, "time: invalid duration \"%.*s\"",
				 STR_ARG(s));
	*ret_ns = (int64_t)(negative ? 0 - sum : sum);
	return 0;
}

/* v / 10^digits without trailing zeros */
static void write_decimal(struct buf *out, uint64_t v, int digits)
{
	uint64_t scale = 1;
	for (int i = 0; i < digits; i++)
		scale *= 10;
	buf_add_u64(out, v / scale);
	uint64_t part = v % scale;
	if (!part)
		return;
	while (part % 10 == 0) {
		part /= 10;
		digits--;
	}
	buf_addf(out, ".%0*llu", digits, (unsigned long long)part);
}

void duration_write_go(struct buf *out, int64_t ns)
{
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	if (ns < 0)
		buf_addc(out, '-');
	if (v == 0) {
		buf_adds(out, "0s");
	} else if (v < US) {
		buf_addf(out, "%lluns", (unsigned long long)v);
	} else if (v < MS) {
		write_decimal(out, v, 3);
		buf_adds(out, "\xC2\xB5s");
	} else if (v < S) {
		write_decimal(out, v, 6);
		buf_adds(out, "ms");
	} else {
		if (v >= H)
			buf_addf(out, "%lluh", (unsigned long long)(v / H));
		if (v >= M)
			buf_addf(out, "%llum", (unsigned long long)(v / M % 60));
		write_decimal(out, v % M, 9);
		buf_addc(out, 's');
	}
}

/* ---- Prometheus ---- */

static const struct unit prom_units[] = {
	{ "y", 31536000000 }, { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 },
	{ "m", 60000 },       { "s", 1000 },      { "ms", 1 },
};
enum { PROM_UNITS = sizeof(prom_units) / sizeof(prom_units[0]) };

int duration_parse_prom(struct str s, int64_t *ret_ms, struct error *err)
{
	if (s.len == 0)
		return error_set(err, ERR_BAD_REQUEST, "empty duration string");
	if (str_is(s, "0")) {
		*ret_ms = 0;
		return 0;
	}
	int64_t sum = 0;
	size_t next = 0; /* units must come in order */
	for (struct str rest = s; rest.len;) {
		size_t n = digit_run(rest);
		struct str number = str_sub(rest, 0, n);
		rest = str_sub(rest, n, rest.len);
		n = 0;
		while (n < rest.len && rest.p[n] >= 'a' && rest.p[n] <= 'z')
			n++;
		struct str unit = str_sub(rest, 0, n);
		rest = str_sub(rest, n, rest.len);
		while (next < PROM_UNITS && !str_is(unit, prom_units[next].name))
			next++;
		if (!number.len || next == PROM_UNITS)
			return error_set(err, ERR_BAD_REQUEST,
					 "not a valid duration string: \"%.*s\"", STR_ARG(s));
		int64_t v = 0;
		/* Go keeps nanoseconds: what exceeds them is out of range there too. */
		if (!str_to_i64(number, &v) ||
		    __builtin_mul_overflow(v, prom_units[next].size, &v) ||
		    __builtin_add_overflow(sum, v, &sum) || sum > INT64_MAX / 1000000)
			return error_set(err, ERR_BAD_REQUEST, "duration out of range");
		next++;
	}
	*ret_ms = sum;
	return 0;
}

void duration_write_prom(struct buf *out, int64_t ms)
{
	uint64_t v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	if (ms < 0)
		buf_addc(out, '-');
	if (v == 0) {
		buf_adds(out, "0s");
		return;
	}
	for (size_t i = 0; i < PROM_UNITS; i++) {
		uint64_t size = (uint64_t)prom_units[i].size;
		bool exact_only = i < 2; /* 90d reads easier than 12w6d */
		if ((exact_only && v % size) || v < size)
			continue;
		buf_add_u64(out, v / size);
		buf_adds(out, prom_units[i].name);
		v %= size;
	}
}

/* ---- kubectl ---- */

static void pair(struct buf *out, int64_t a, char unit_a, int64_t b, char unit_b)
{
	buf_addf(out, "%lld%c", (long long)a, unit_a);
	if (b)
		buf_addf(out, "%lld%c", (long long)b, unit_b);
}

void duration_write_human(struct buf *out, int64_t sec)
{
	int64_t minutes = sec / 60;
	int64_t hours = sec / 3600;
	int64_t days = hours / 24;
	if (sec < -1)
		buf_adds(out, "<invalid>");
	else if (sec < 0)
		buf_adds(out, "0s");
	else if (sec < 120)
		pair(out, sec, 's', 0, 0);
	else if (minutes < 10)
		pair(out, minutes, 'm', sec % 60, 's');
	else if (minutes < 180)
		pair(out, minutes, 'm', 0, 0);
	else if (hours < 8)
		pair(out, hours, 'h', minutes % 60, 'm');
	else if (hours < 48)
		pair(out, hours, 'h', 0, 0);
	else if (hours < 192)
		pair(out, days, 'd', hours % 24, 'h');
	else if (days < 365 * 2)
		pair(out, days, 'd', 0, 0);
	else if (days < 365 * 8)
		pair(out, days / 365, 'y', days % 365, 'd');
	else
		pair(out, days / 365, 'y', 0, 0);
}

void duration_write_human_short(struct buf *out, int64_t sec)
{
	if (sec < -1)
		buf_adds(out, "<invalid>");
	else if (sec < 0)
		buf_adds(out, "0s");
	else if (sec < 60)
		pair(out, sec, 's', 0, 0);
	else if (sec < 3600)
		pair(out, sec / 60, 'm', 0, 0);
	else if (sec < 86400)
		pair(out, sec / 3600, 'h', 0, 0);
	else if (sec < 86400LL * 365)
		pair(out, sec / 86400, 'd', 0, 0);
	else
		pair(out, sec / 86400 / 365, 'y', 0, 0);
}
