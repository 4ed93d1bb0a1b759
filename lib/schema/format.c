#include "schema/schema_priv.h"
#include "text/base64.h"
#include "text/duration.h"
#include "text/quantity.h"
#include "text/rfc3339.h"

#include <math.h>

static const struct {
	const char *name;
	enum schema_format format;
} formats[] = {
	{ "int32", SCHEMA_FORMAT_INT32 },       { "int64", SCHEMA_FORMAT_INT64 },
	{ "float", SCHEMA_FORMAT_FLOAT },       { "double", SCHEMA_FORMAT_DOUBLE },
	{ "byte", SCHEMA_FORMAT_BYTE },         { "date-time", SCHEMA_FORMAT_DATE_TIME },
	{ "duration", SCHEMA_FORMAT_DURATION }, { "quantity", SCHEMA_FORMAT_QUANTITY },
};

enum schema_format schema_format_of(struct str name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (str_is(name, formats[i].name))
			return formats[i].format;
	return name.len ? SCHEMA_FORMAT_OTHER : SCHEMA_FORMAT_NONE;
}

const char *schema_format_name(enum schema_format format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (formats[i].format == format)
			return formats[i].name;
	return "";
}

/* The value as an integer; false when it is none or needs more than 64 bits. */
static bool as_i64(const struct json *v, int64_t *ret)
{
	if (v->type == JSON_INT) {
		*ret = v->i;
		return true;
	}
	if (v->type != JSON_DOUBLE || v->d != trunc(v->d) || fabs(v->d) >= 9223372036854775808.0)
		return false;
	*ret = (int64_t)v->d;
	return true;
}

static bool base64_ok(struct str s)
{
	static const signed char rest[] = { 0, -1, 2, 1 };
	if (s.len % 4)
		return false;
	size_t data = s.len;
	while (data && s.p[data - 1] == '=' && s.len - data < 2)
		data--;
	if (rest[data % 4] != (signed char)(s.len - data))
		return false;
	for (size_t i = 0; i < data; i++) {
		char c = s.p[i];
		bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			  (c >= '0' && c <= '9') || c == '+' || c == '/';
		if (!ok)
			return false;
	}
	return true;
}

static bool string_ok(enum schema_format format, struct str s)
{
	int64_t n;
	if (format == SCHEMA_FORMAT_BYTE)
		return base64_ok(s);
	if (format == SCHEMA_FORMAT_DATE_TIME)
		return rfc3339_parse(s, &n, NULL);
	if (format == SCHEMA_FORMAT_DURATION)
		return duration_parse_go(s, &n, NULL) == 0 || duration_parse_prom(s, &n, NULL) == 0;
	if (format == SCHEMA_FORMAT_QUANTITY) {
		struct quantity q;
		return quantity_parse(s, &q, NULL) == 0;
	}
	return true;
}

bool schema_format_ok(enum schema_format format, const struct json *value)
{
	int64_t n;
	if (format == SCHEMA_FORMAT_NONE || format == SCHEMA_FORMAT_OTHER)
		return true;
	if (value->type == JSON_STRING)
		return string_ok(format, json_str(value));
	if (format == SCHEMA_FORMAT_INT32)
		return as_i64(value, &n) && n >= INT32_MIN && n <= INT32_MAX;
	if (format == SCHEMA_FORMAT_INT64)
		return as_i64(value, &n);
	return true;
}

struct json schema_quantity(struct arena *a, const struct json *value)
{
	struct json out = { 0 };
	struct quantity q;
	struct str text = json_str(value);
	if (value->type == JSON_INT || value->type == JSON_UINT || value->type == JSON_DOUBLE)
		text = json_text(a, value);
	if (!text.len || quantity_parse(text, &q, NULL))
		return out;
	struct buf b = { 0 };
	quantity_write(&b, q);
	out = str_eq(buf_str(&b), text) ? json_of_str(text)
					: json_of_str(arena_str(a, buf_str(&b)));
	buf_fini(&b);
	return out;
}
