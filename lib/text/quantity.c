#include "text/quantity.h"

#include <assert.h>

#define NANO 1000000000

/* Signed and unsigned 128 bits under names that -Wpedantic lets pass. */
__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;

/* 10^28 units: the cap of decimal quantities; twice that fits as well. */
static const u128 nano_max = (u128)100000000000000000ULL * 100000000000ULL * 1000000000ULL;
/* 2^63-1 units: the cap of binary ones. */
static const u128 binary_max = (u128)INT64_MAX * NANO;

static const char decimal_suffixes[] = "num kMGTPE"; /* 10^-9, 10^-6, ... 10^18 */
static const char binary_suffixes[] = "KMGTPE";

static u128 mul_capped(u128 a, u128 b)
{
	u128 r = 0;
	return __builtin_mul_overflow(a, b, &r) || r > nano_max ? nano_max : r;
}

static u128 add_capped(u128 a, u128 b)
{
	u128 r = 0;
	return __builtin_add_overflow(a, b, &r) || r > nano_max ? nano_max : r;
}

/* What a suffix says: a power of ten, or of two. */
struct scale {
	int64_t exp10;
	unsigned exp2;
	enum quantity_format format;
};

static bool exponent_of(struct str s, struct scale *ret)
{
	int64_t e = 0;
	bool plus = s.len > 1 && s.p[0] == '+' && s.p[1] >= '0' && s.p[1] <= '9';
	if (!str_to_i64(plus ? str_sub(s, 1, s.len) : s, &e))
		return false;
	*ret = (struct scale){ .exp10 = e, .format = QUANTITY_DECIMAL_EXPONENT };
	return true;
}

static bool scale_of(struct str s, struct scale *ret)
{
	*ret = (struct scale){ .format = QUANTITY_DECIMAL_SI };
	if (s.len == 0)
		return true;
	if (s.len > 1 && (s.p[0] | 0x20) == 'e' && s.p[1] != 'i')
		return exponent_of(str_sub(s, 1, s.len), ret);
	if (s.len == 2 && s.p[1] == 'i') {
		const char *hit = memchr(binary_suffixes, s.p[0], sizeof(binary_suffixes) - 1);
		if (!hit)
			return false;
		ret->exp2 = 10 * (unsigned)(hit - binary_suffixes + 1);
		ret->format = QUANTITY_BINARY_SI;
		return true;
	}
	const char *hit = memchr(decimal_suffixes, s.p[0], sizeof(decimal_suffixes) - 1);
	if (s.len != 1 || !hit || *hit == ' ')
		return false;
	ret->exp10 = 3 * (int64_t)(hit - decimal_suffixes) - 9;
	return true;
}

/* Digits with at most one point among them; `point` digits stand before it. */
struct digits {
	struct str s;
	int64_t n, point;
};

static int digit_at(const struct digits *d, int64_t i)
{
	bool behind =
		d->n != (int64_t)d->s.len && i >= d->point; /* the point itself takes a place */
	return d->s.p[i + behind] - '0';
}

/* digits * 10^exp10 * one, rounded up */
static u128 value_of(const struct digits *d, int64_t exp10, u128 one)
{
	enum {
		FAR = 200
	}; /* beyond this a power of ten only means "too large" or "almost nothing" */
	int64_t exp = exp10 < -FAR ? -FAR : exp10 > FAR ? FAR : exp10;
	int64_t point = d->point + exp;
	u128 whole = 0;
	u128 part = 0;
	for (int64_t i = 0; i < point && whole < nano_max; i++)
		whole = add_capped(mul_capped(whole, 10), i < d->n ? (u128)digit_at(d, i) : 0);
	/* Rounding up at each step is rounding up once: ceil(ceil(x)/10) = ceil(x/10). */
	for (int64_t i = d->n - 1; i >= point; i--)
		part = ((i >= 0 ? (u128)digit_at(d, i) : 0) * one + part + 9) / 10;
	return add_capped(mul_capped(whole, one), part);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int bad_format(struct error *err)
{
	return error_set(err, ERR_BAD_REQUEST,
			 "quantities must match the regular expression "
			 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

int quantity_parse(struct str s, struct quantity *ret, struct error *err)
{
	if (s.len == 0 || s.len > QUANTITY_TEXT_MAX)
		return bad_format(err);
	size_t i = s.p[0] == '-' || s.p[0] == '+';
	struct digits d = { 0 };
	size_t begin = i;
	while (i < s.len && is_digit(s.p[i]))
		i++;
	d.n = d.point = (int64_t)(i - begin);
	if (i < s.len && s.p[i] == '.') {
		for (i++; i < s.len && is_digit(s.p[i]); i++)
			d.n++;
	}
	d.s = str_sub(s, begin, i);
	if (d.n == 0)
		return bad_format(err);
	struct scale scale;
	struct str suffix = str_sub(s, i, s.len);
	for (size_t k = 0; k < suffix.len; k++) {
		if (!memchr("eEinumkKMGTP+-0123456789", suffix.p[k], 24))
			return bad_format(err);
	}
	if (!scale_of(suffix, &scale))
		return error_set(err, ERR_BAD_REQUEST, "unable to parse quantity's suffix");
	u128 v = value_of(&d, scale.exp10, (u128)NANO << scale.exp2);
	if (scale.format == QUANTITY_BINARY_SI && v > binary_max)
		v = binary_max;
	if (scale.format == QUANTITY_BINARY_SI && v < NANO && v > 0)
		scale.format = QUANTITY_DECIMAL_SI; /* as Kubernetes does it, to avoid confusion */
	ret->nano = s.p[0] == '-' ? -(i128)v : (i128)v;
	ret->format = scale.format;
	return 0;
}

struct quantity quantity_of_value(int64_t units, enum quantity_format format)
{
	return (struct quantity){ (i128)units * NANO, format };
}

struct quantity quantity_of_milli(int64_t milli, enum quantity_format format)
{
	return (struct quantity){ (i128)milli * (NANO / 1000), format };
}

static void write_u128(struct buf *out, u128 v)
{
	char text[40];
	size_t i = sizeof(text);
	do {
		text[--i] = (char)('0' + (int)(v % 10));
		v /= 10;
	} while (v);
	buf_add(out, text + i, sizeof(text) - i);
}

static void write_decimal(struct buf *out, u128 v, enum quantity_format format)
{
	size_t step = 0; /* in decimal_suffixes */
	while (v % 1000 == 0 &&
	       (step + 1 < sizeof(decimal_suffixes) - 1 || format == QUANTITY_DECIMAL_EXPONENT)) {
		v /= 1000;
		step++;
	}
	write_u128(out, v);
	if (format == QUANTITY_DECIMAL_EXPONENT) {
		if (step != 3)
			buf_addf(out, "e%d", (int)step * 3 - 9);
	} else if (decimal_suffixes[step] != ' ') {
		buf_addc(out, decimal_suffixes[step]);
	}
}

void quantity_write(struct buf *out, struct quantity q)
{
	if (q.nano == 0) {
		buf_addc(out, '0');
		return;
	}
	u128 v = q.nano < 0 ? 0 - (u128)q.nano : (u128)q.nano;
	if (q.nano < 0)
		buf_addc(out, '-');
	if (q.format != QUANTITY_BINARY_SI || v % NANO || v / NANO < 1024) {
		write_decimal(out, v,
			      q.format == QUANTITY_BINARY_SI ? QUANTITY_DECIMAL_SI : q.format);
		return;
	}
	v /= NANO;
	size_t step = 0;
	for (; v % 1024 == 0 && step < sizeof(binary_suffixes) - 1; step++)
		v /= 1024;
	write_u128(out, v);
	if (step) {
		buf_addc(out, binary_suffixes[step - 1]);
		buf_addc(out, 'i');
	}
}

int quantity_cmp(struct quantity a, struct quantity b)
{
	return (a.nano > b.nano) - (a.nano < b.nano);
}

int quantity_sign(struct quantity q)
{
	return (q.nano > 0) - (q.nano < 0);
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
	i128 sum = a.nano + b.nano; /* neither is above nano_max */
	i128 cap = (i128)nano_max;
	sum = sum > cap ? cap : sum < -cap ? -cap : sum;
	return (struct quantity){ sum, a.nano == 0 ? b.format : a.format };
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
	b.nano = -b.nano;
	return quantity_add(a, b);
}

/* nano / per, rounded away from zero, as far as 64 bits go */
static int64_t scaled(i128 nano, int64_t per)
{
	i128 v = nano / per;
	i128 rest = nano % per;
	v += (rest > 0) - (rest < 0);
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_value(struct quantity q)
{
	return scaled(q.nano, NANO);
}

int64_t quantity_milli(struct quantity q)
{
	return scaled(q.nano, NANO / 1000);
}

double quantity_double(struct quantity q)
{
	return (double)(q.nano / NANO) + (double)(q.nano % NANO) / NANO;
}
