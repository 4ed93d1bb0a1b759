#include "json/number.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * More digits than these cannot change which double is nearest, except by
 * being not all zero (the longest exact midpoint has 767).
 */
enum { DIGITS_MAX = 780, EXP_CUT = 100000 };

/* Powers of ten that a double holds exactly. */
static const double exact_power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
enum { EXACT_POWER_MAX = 22 };
#define EXACT_INT_MAX (1ULL << 53)

struct decimal {
	bool negative;
	bool integral;      /* neither point nor exponent */
	const char *digits; /* integer part and fraction, a point possibly among them */
	const char *digits_end;
	int64_t exp10; /* of the last digit */
};

static inline bool is_digit(const char *s, const char *end)
{
	return s < end && *s >= '0' && *s <= '9';
}

/* Checks the grammar of RFC 8259 section 6; *s moves to the end or to what is wrong. */
static bool scan(const char **s, const char *end, struct decimal *d)
{
	const char *c = *s;
	*d = (struct decimal){ .negative = *c == '-', .integral = true };
	c += d->negative;
	d->digits = c;
	if (!is_digit(c, end))
		goto bad;
	if (*c == '0')
		c++;
	else
		while (is_digit(c, end))
			c++;
	if (is_digit(c, end))
		goto bad;
	if (c < end && *c == '.') {
		d->integral = false;
		const char *fraction = ++c;
		if (!is_digit(c, end))
			goto bad;
		while (is_digit(c, end))
			c++;
		d->exp10 = fraction - c;
	}
	d->digits_end = c;
	if (c < end && (*c | 0x20) == 'e') {
		d->integral = false;
		c++;
		bool minus = c < end && *c == '-';
		if (c < end && (*c == '-' || *c == '+'))
			c++;
		if (!is_digit(c, end))
			goto bad;
		int64_t exp = 0;
		for (; is_digit(c, end); c++)
			exp = exp < INT32_MAX ? exp * 10 + (*c - '0') : exp;
		d->exp10 += minus ? -exp : exp;
	}
	*s = c;
	return true;
bad:
	*s = c;
	return false;
}

/* Through strtod(3), on text without a decimal point, so that no locale matters. */
static double slow_double(const struct decimal *d)
{
	char text[DIGITS_MAX + 32];
	size_t n = 0;
	int64_t exp10 = d->exp10;
	bool rest = false;
	for (const char *c = d->digits; c < d->digits_end; c++) {
		if (*c == '.' || (n == 0 && *c == '0'))
			continue;
		if (n < DIGITS_MAX) {
			text[n++] = *c;
		} else {
			rest |= *c != '0';
			exp10++;
		}
	}
	if (n == 0)
		return 0;
	if (rest) {
		text[n++] = '1';
		exp10--;
	}
	if (exp10 > EXP_CUT)
		return (double)INFINITY;
	if (exp10 < -EXP_CUT - (int64_t)DIGITS_MAX)
		return 0;
	(void)snprintf(text + n, sizeof(text) - n, "e%d", (int)exp10);
	return strtod(text, NULL);
}

static enum json_number_result to_double(const struct decimal *d, struct json *ret)
{
	uint64_t mantissa = 0;
	bool small = true;
	for (const char *c = d->digits; c < d->digits_end && small; c++) {
		if (*c == '.')
			continue;
		mantissa = mantissa * 10 + (uint64_t)(*c - '0');
		small = mantissa <= EXACT_INT_MAX;
	}
	double v = 0;
	/* Both operands exact: one operation rounds correctly (Clinger 1990). */
	if (small && d->exp10 >= 0 && d->exp10 <= EXACT_POWER_MAX)
		v = (double)mantissa * exact_power[d->exp10];
	else if (small && d->exp10 < 0 && d->exp10 >= -EXACT_POWER_MAX)
		v = (double)mantissa / exact_power[-d->exp10];
	else
		v = slow_double(d);
	if (isinf(v))
		return JSON_NUMBER_RANGE;
	*ret = (struct json){ .type = JSON_DOUBLE, .d = d->negative ? -v : v };
	return JSON_NUMBER_OK;
}

enum json_number_result json_number_scan(const char **s, const char *end, struct json *ret)
{
	struct decimal d;
	if (!scan(s, end, &d))
		return JSON_NUMBER_BAD;
	if (!d.integral)
		return to_double(&d, ret);
	if (d.digits_end - d.digits > 20)
		return to_double(&d, ret);
	uint64_t v = 0;
	for (const char *c = d.digits; c < d.digits_end; c++) {
		if (__builtin_mul_overflow(v, 10U, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*c - '0'), &v))
			return to_double(&d, ret);
	}
	if (d.negative && v > (uint64_t)INT64_MAX + 1)
		return to_double(&d, ret);
	if (d.negative)
		*ret = json_of_i64((int64_t)(0 - v));
	else
		*ret = json_of_u64(v);
	return JSON_NUMBER_OK;
}

/* ---- writing ---- */

/*
 * The shortest decimal, digits[0..n) * 10^exp10, that reads back as d (finite,
 * above 0).  `digits` has room for 18.
 */
static size_t shortest(double d, char *digits, int *ret_exp10)
{
	char text[40];
	/* 15 digits survive the way through any normal double, so fewer need no trial. */
	for (int precision = d < DBL_MIN ? 0 : 14;; precision++) {
		(void)snprintf(text, sizeof(text), "%.*e", precision, d);
		size_t n = 0;
		const char *c = text;
		for (; *c != 'e'; c++) {
			if (*c >= '0' && *c <= '9')
				digits[n++] = *c;
		}
		int exp10 = (int)strtol(c + 1, NULL, 10) - precision;
		while (n > 1 && digits[n - 1] == '0') {
			n--;
			exp10++;
		}
		(void)snprintf(text, sizeof(text), "%.*se%d", (int)n, digits, exp10);
		if (precision >= 16 || strtod(text, NULL) == d) {
			*ret_exp10 = exp10;
			return n;
		}
	}
}

/* At most 15 digits with at most 15 behind the point: no search is needed. */
static bool easy(double d, char *digits, size_t *ret_n, int *ret_exp10)
{
	for (int k = 0; k <= 15; k++) {
		double scaled = d * exact_power[k];
		if (scaled >= 1e15)
			return false;
		uint64_t r = (uint64_t)(scaled + 0.5);
		if ((double)r / exact_power[k] != d)
			continue;
		*ret_n = (size_t)snprintf(digits, 18, "%llu", (unsigned long long)r);
		*ret_exp10 = -k;
		return true;
	}
	return false;
}

/* A finite double above 0 as digits[0..n) * 10^exp10, the shortest that reads back the same. */
struct shortest {
	char digits[24];
	size_t n;
	int exp10;
};

static void shortest_of(double d, struct shortest *s)
{
	if (d < 1e-6 || !easy(d, s->digits, &s->n, &s->exp10))
		s->n = shortest(d, s->digits, &s->exp10);
	for (; s->n > 1 && s->digits[s->n - 1] == '0'; s->exp10++)
		s->n--;
}

static void write_exponent(struct buf *out, const struct shortest *s, int exp_digits)
{
	buf_addc(out, s->digits[0]);
	if (s->n > 1) {
		buf_addc(out, '.');
		buf_add(out, s->digits + 1, s->n - 1);
	}
	int e = s->exp10 + (int)s->n - 1;
	buf_addf(out, "e%c%0*d", e < 0 ? '-' : '+', exp_digits, abs(e));
}

static void write_fixed(struct buf *out, const struct shortest *s)
{
	int point = (int)s->n + s->exp10; /* digits before the point */
	if (point <= 0) {
		buf_adds(out, "0.");
		for (; point < 0; point++)
			buf_addc(out, '0');
		buf_add(out, s->digits, s->n);
	} else if ((size_t)point >= s->n) {
		buf_add(out, s->digits, s->n);
		for (int i = 0; i < s->exp10; i++)
			buf_addc(out, '0');
	} else {
		buf_add(out, s->digits, (size_t)point);
		buf_addc(out, '.');
		buf_add(out, s->digits + point, s->n - (size_t)point);
	}
}

/* The notation of ECMAScript and Go's encoding/json: an exponent below 1e-6 and from 1e21. */
void json_write_double(struct buf *out, double d)
{
	assert(isfinite(d));
	bool negative = signbit(d);
	if (negative) {
		buf_addc(out, '-');
		d = -d;
	}
	if (d < 0x1p64 && d == floor(d)) {
		buf_add_u64(out, (uint64_t)d);
		if (d == 0 && negative)
			buf_adds(out, ".0"); /* -0 would be read as the integer 0 */
		return;
	}
	struct shortest s = { 0 };
	shortest_of(d, &s);
	if (d < 1e-6 || d >= 1e21)
		write_exponent(out, &s, 1);
	else
		write_fixed(out, &s);
}

void json_write_double_go(struct buf *out, double d)
{
	assert(isfinite(d));
	if (signbit(d)) {
		buf_addc(out, '-');
		d = -d;
	}
	if (d == 0) {
		buf_addc(out, '0');
		return;
	}
	struct shortest s = { 0 };
	shortest_of(d, &s);
	int exp = (int)s.n + s.exp10 - 1;
	if (exp < -4 || exp >= 6)
		write_exponent(out, &s, 2);
	else
		write_fixed(out, &s);
}
