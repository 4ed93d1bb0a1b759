#include "yaml/yaml_priv.h"

#include <assert.h>
#include <math.h>

enum { NUMBER_MAX = 400 }; /* a longer scalar is no number */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool one_of(struct str s, const char *const *words)
{
	for (; *words; words++) {
		if (str_is(s, *words))
			return true;
	}
	return false;
}

/* Words with a meaning.  False: no such word. */
static bool word(struct str s, struct json *ret, enum yaml_plain *ret_kind)
{
	static const char *const yes[] = { "y",    "Y",    "yes", "Yes", "YES", "true",
					   "True", "TRUE", "on",  "On",  "ON",  NULL };
	static const char *const no[] = { "n",     "N",     "no",  "No",  "NO",  "false",
					  "False", "FALSE", "off", "Off", "OFF", NULL };
	static const char *const none[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const not_finite[] = { ".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",
						  ".INF",  "+.inf", "+.Inf", "+.INF", "-.inf",
						  "-.Inf", "-.INF", NULL };
	*ret_kind = YAML_PLAIN_VALUE;
	if (s.len > 5)
		return false;
	if (one_of(s, yes))
		*ret = json_of_bool(true);
	else if (one_of(s, no))
		*ret = json_of_bool(false);
	else if (one_of(s, none))
		*ret = (struct json){ 0 };
	else if (one_of(s, not_finite))
		*ret_kind = YAML_PLAIN_NOT_FINITE;
	else
		return false;
	return true;
}

/* Digits of a base 2, 8, 10 or 16; false on anything else or beyond 64 bits. */
static bool digits(struct str s, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;
	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = (char)(s.p[i] | 0x20);
		unsigned d = is_digit(s.p[i])       ? (unsigned)(s.p[i] - '0')
			     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
						    : 99;
		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*ret = v;
	return true;
}

/* [-+]? then 0x.., 0o.., 0b.., 0.. (octal) or decimal */
static bool integer(struct str s, struct json *ret)
{
	bool negative = s.p[0] == '-';
	bool sign = negative || s.p[0] == '+';
	struct str body = str_sub(s, sign, s.len);
	unsigned base = 10;
	size_t skip = 0;
	if (body.len > 1 && body.p[0] == '0') {
		char kind = (char)(body.p[1] | 0x20);
		base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
		skip = kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1;
	}
	uint64_t v = 0;
	if (body.len <= skip || !digits(str_sub(body, skip, body.len), base, &v))
		return false;
	if (negative && v > (uint64_t)INT64_MAX + 1)
		return false;
	if (sign && !negative && v > INT64_MAX)
		return false;
	*ret = negative ? json_of_i64((int64_t)(0 - v)) : json_of_u64(v);
	return true;
}

static size_t digit_run(struct str s, size_t i)
{
	while (i < s.len && is_digit(s.p[i]))
		i++;
	return i;
}

/*
 * [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?  rewritten as a JSON
 * number; 0 when it is none.  `out` has room for s.len + 3.
 */
static size_t as_json_number(struct str s, char *out)
{
	size_t n = 0;
	size_t i = s.p[0] == '-' || s.p[0] == '+';
	if (s.p[0] == '-')
		out[n++] = '-';
	size_t end = digit_run(s, i);
	bool whole = end > i;
	while (end - i > 1 && s.p[i] == '0')
		i++;
	if (!whole)
		out[n++] = '0';
	memcpy(out + n, s.p + i, end - i);
	n += end - i;
	i = end;
	if (i < s.len && s.p[i] == '.') {
		end = digit_run(s, i + 1);
		if (end == i + 1 && !whole)
			return 0;
		if (end > i + 1) {
			memcpy(out + n, s.p + i, end - i);
			n += end - i;
		}
		i = end;
	} else if (!whole) {
		return 0;
	}
	if (i < s.len && (s.p[i] | 0x20) == 'e') {
		size_t e = i + 1;
		e += e < s.len && (s.p[e] == '-' || s.p[e] == '+');
		end = digit_run(s, e);
		if (end == e)
			return 0;
		memcpy(out + n, s.p + i, end - i);
		n += end - i;
		i = end;
	}
	return i == s.len ? n : 0;
}

/* Integral values become integers, as they do on the way through JSON. */
static bool floating(struct str s, struct json *ret)
{
	char text[NUMBER_MAX + 4];
	size_t n = as_json_number(s, text);
	struct arena unused = { 0 };
	if (!n || json_parse(&unused, str_n(text, n), NULL, ret, NULL))
		return false;
	if (ret->type == JSON_DOUBLE && ret->d >= -0x1p63 && ret->d < 0x1p63 &&
	    ret->d == floor(ret->d))
		*ret = json_of_i64((int64_t)ret->d);
	return true;
}

enum yaml_plain yaml_resolve(struct str s, struct json *ret)
{
	enum yaml_plain kind = YAML_PLAIN_STRING;
	if (word(s, ret, &kind))
		return kind;
	bool sign_or_digit = is_digit(s.p[0]) || s.p[0] == '-' || s.p[0] == '+';
	if ((!sign_or_digit && s.p[0] != '.') || s.len > NUMBER_MAX)
		return YAML_PLAIN_STRING;
	char text[NUMBER_MAX];
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] != '_' || !sign_or_digit)
			text[n++] = s.p[i];
	}
	struct str plain = str_n(text, n);
	if (sign_or_digit && n && integer(plain, ret))
		return YAML_PLAIN_VALUE;
	return n && floating(plain, ret) ? YAML_PLAIN_VALUE : YAML_PLAIN_STRING;
}

/* ---- times ---- */

/* One or two digits at *i, from min to max. */
static bool number_at(struct str s, size_t *i, int min, int max, int *ret)
{
	size_t end = digit_run(s, *i);
	if (end == *i || end - *i > 2)
		return false;
	int v = 0;
	for (; *i < end; (*i)++)
		v = v * 10 + (s.p[*i] - '0');
	*ret = v;
	return v >= min && v <= max;
}

static bool sep_at(struct str s, size_t *i, char c)
{
	return *i < s.len && s.p[(*i)++] == c;
}

/* 2006-1-2, 2006-1-2T15:4:5.9Z07:00, 2006-1-2 15:4:5.9 */
static bool timestamp(struct str s)
{
	int month = 0;
	int day = 0;
	int v = 0;
	size_t i = 5;
	if (s.len < 8 || digit_run(s, 0) != 4 || s.p[4] != '-' ||
	    !number_at(s, &i, 1, 12, &month) || !sep_at(s, &i, '-') ||
	    !number_at(s, &i, 1, 31, &day))
		return false;
	if (i == s.len)
		return true;
	bool zone = s.p[i] == 'T' || s.p[i] == 't';
	if (!zone && s.p[i] != ' ')
		return false;
	i++;
	if (!number_at(s, &i, 0, 23, &v) || !sep_at(s, &i, ':') || !number_at(s, &i, 0, 59, &v) ||
	    !sep_at(s, &i, ':') || !number_at(s, &i, 0, 59, &v))
		return false;
	if (i < s.len && s.p[i] == '.') {
		size_t end = digit_run(s, i + 1);
		if (end == i + 1)
			return false;
		i = end;
	}
	if (!zone)
		return i == s.len;
	struct str rest = str_sub(s, i, s.len);
	if (i == s.len || str_is(rest, "Z"))
		return i < s.len;
	i++;
	return (rest.p[0] == '+' || rest.p[0] == '-') && rest.len == 6 &&
	       number_at(s, &i, 0, 24, &v) && sep_at(s, &i, ':') && number_at(s, &i, 0, 60, &v);
}

/* [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)? */
static bool base60(struct str s)
{
	size_t i = s.len && (s.p[0] == '-' || s.p[0] == '+');
	if (i >= s.len || !is_digit(s.p[i]))
		return false;
	while (i < s.len && (is_digit(s.p[i]) || s.p[i] == '_'))
		i++;
	size_t groups = 0;
	for (int v = 0; i < s.len && s.p[i] == ':'; groups++) {
		i++;
		if (!number_at(s, &i, 0, 59, &v))
			return false;
	}
	if (i < s.len && s.p[i] == '.') {
		i++;
		while (i < s.len && (is_digit(s.p[i]) || s.p[i] == '_'))
			i++;
	}
	return groups && i == s.len;
}

bool yaml_like_time(struct str s)
{
	return timestamp(s) || base60(s);
}
