#include "text/rfc3339.h"

enum { DAY_SEC = 86400, US = 1000000, MS = 1000 };
/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z */
static const int64_t sec_min = -62167219200;
static const int64_t sec_max = 253402300799;

/* Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400 years from 1 March. */
int64_t civil_to_days(struct civil c)
{
	int64_t y = c.year - (c.month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

struct civil civil_of_days(int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	struct civil c = { .day = (int)(doy - (153 * mp + 2) / 5 + 1),
			   .month = (int)(mp < 10 ? mp + 3 : mp - 9) };
	c.year = yoe + era * 400 + (c.month <= 2);
	return c;
}

/* n digits at *s as a number from min to max, with the byte `then` behind unless that is 0 */
static bool digits(struct str *s, size_t n, int min, int max, char then, int *ret)
{
	size_t all = n + (then != 0);
	if (s->len < all)
		return false;
	int v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	if (v < min || v > max || (then && s->p[n] != then))
		return false;
	*s = str_sub(*s, all, s->len);
	*ret = v;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month == 2 && leap ? 29 : days[month - 1];
}

/* ".123": nanoseconds; what follows the ninth digit is dropped */
static bool fraction(struct str *s, int32_t *ret)
{
	*ret = 0;
	if (!s->len || s->p[0] != '.')
		return true;
	size_t i = 1;
	int32_t unit = 100000000;
	for (; i < s->len && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		*ret += (s->p[i] - '0') * unit;
		unit /= 10;
	}
	*s = str_sub(*s, i, s->len);
	return i > 1;
}

/* "Z" or "+07:00", all that is left: seconds east of Greenwich */
static bool zone(struct str s, int64_t *ret)
{
	*ret = 0;
	if (str_is(s, "Z"))
		return true;
	if (s.len != 6 || (s.p[0] != '+' && s.p[0] != '-'))
		return false;
	int sign = s.p[0] == '-' ? -1 : 1;
	int h = 0;
	int m = 0;
	struct str rest = str_sub(s, 1, s.len);
	if (!digits(&rest, 2, 0, 23, ':', &h) || !digits(&rest, 2, 0, 59, 0, &m))
		return false;
	*ret = sign * (h * 3600 + m * 60);
	return true;
}

bool rfc3339_parse(struct str s, int64_t *ret_sec, int32_t *ret_nsec)
{
	int year = 0;
	int month = 0;
	int day = 0;
	int h = 0;
	int m = 0;
	int sec = 0;
	int32_t nsec = 0;
	int64_t east = 0;
	bool date = digits(&s, 4, 0, 9999, '-', &year) && digits(&s, 2, 1, 12, '-', &month) &&
		    digits(&s, 2, 1, days_in_month(year, month), 'T', &day);
	if (!date || !digits(&s, 2, 0, 23, ':', &h) || !digits(&s, 2, 0, 59, ':', &m) ||
	    !digits(&s, 2, 0, 59, 0, &sec) || !fraction(&s, &nsec) || !zone(s, &east))
		return false;
	struct civil c = { year, month, day };
	*ret_sec = civil_to_days(c) * DAY_SEC + h * 3600 + m * 60 + sec - east;
	if (ret_nsec)
		*ret_nsec = nsec;
	return true;
}

bool rfc3339_parse_ms(struct str s, int64_t *ret_ms)
{
	int64_t sec = 0;
	int32_t nsec = 0;
	if (!rfc3339_parse(s, &sec, &nsec))
		return false;
	*ret_ms = sec * MS + nsec / 1000000;
	return true;
}

bool rfc3339_parse_us(struct str s, int64_t *ret_us)
{
	int64_t sec = 0;
	int32_t nsec = 0;
	if (!rfc3339_parse(s, &sec, &nsec))
		return false;
	*ret_us = sec * US + nsec / 1000;
	return true;
}

static void put(char *p, size_t n, int64_t v)
{
	for (; n > 0; v /= 10)
		p[--n] = (char)('0' + v % 10);
}

/* Everything before the fraction. */
static void write_seconds(struct buf *out, int64_t sec)
{
	sec = sec < sec_min ? sec_min : sec > sec_max ? sec_max : sec;
	int64_t days = (sec - sec_min) / DAY_SEC + sec_min / DAY_SEC;
	int64_t in_day = (sec - sec_min) % DAY_SEC;
	struct civil c = civil_of_days(days);
	char text[] = "0000-00-00T00:00:00";
	put(text, 4, c.year);
	put(text + 5, 2, c.month);
	put(text + 8, 2, c.day);
	put(text + 11, 2, in_day / 3600);
	put(text + 14, 2, in_day / 60 % 60);
	put(text + 17, 2, in_day % 60);
	buf_add(out, text, sizeof(text) - 1);
}

static void write_fraction(struct buf *out, size_t width, int64_t v)
{
	char text[10] = ".";
	put(text + 1, width, v);
	buf_add(out, text, width + 1);
}

void rfc3339_write(struct buf *out, int64_t sec)
{
	write_seconds(out, sec);
	buf_addc(out, 'Z');
}

/* `t` counts parts of a second, `per` to the second, of `width` digits */
static void write_parts(struct buf *out, int64_t t, int64_t per, size_t width)
{
	int64_t part = t % per;
	part += part < 0 ? per : 0;
	write_seconds(out, (t - part) / per);
	write_fraction(out, width, part);
	buf_addc(out, 'Z');
}

void rfc3339_write_ms(struct buf *out, int64_t ms)
{
	write_parts(out, ms < INT64_MIN + MS ? INT64_MIN + MS : ms, MS, 3);
}

void rfc3339_write_us(struct buf *out, int64_t us)
{
	write_parts(out, us < INT64_MIN + US ? INT64_MIN + US : us, US, 6);
}

void rfc3339_write_nano(struct buf *out, int64_t sec, int32_t nsec)
{
	write_seconds(out, sec);
	size_t width = 9;
	for (; width && nsec % 10 == 0; width--)
		nsec /= 10;
	if (width)
		write_fraction(out, width, nsec);
	buf_addc(out, 'Z');
}
