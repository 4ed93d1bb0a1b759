/* Values: text to the target's type and back. */
#include "base/mem.h"
#include "settings/settings_priv.h"

#include <inttypes.h>

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit duration_units[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};

static const struct unit byte_units[] = {
	{ "Ki", INT64_C(1) << 10 },
	{ "Mi", INT64_C(1) << 20 },
	{ "Gi", INT64_C(1) << 30 },
	{ "Ti", INT64_C(1) << 40 },
	{ "k", 1000 },
	{ "M", 1000000 },
	{ "G", 1000000000 },
	{ "T", 1000000000000 },
};

static const struct unit *find_unit(const struct unit *units, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(name, units[i].name))
			return &units[i];
	return NULL;
}

static size_t span_digits(struct str s)
{
	size_t n = 0;
	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

static size_t span_letters(struct str s)
{
	size_t n = 0;
	while (n < s.len && ((s.p[n] | 0x20) >= 'a' && (s.p[n] | 0x20) <= 'z'))
		n++;
	return n;
}

static bool parse_duration(struct str s, int64_t *ret)
{
	if (str_is(s, "0")) {
		*ret = 0;
		return true;
	}
	int64_t sum = 0;
	size_t pos = 0;
	do {
		struct str rest = str_sub(s, pos, s.len);
		size_t digits = span_digits(rest);
		size_t letters = span_letters(str_sub(rest, digits, rest.len));
		const struct unit *u =
			find_unit(duration_units, sizeof(duration_units) / sizeof(*duration_units),
				  str_sub(rest, digits, digits + letters));
		int64_t v = 0;
		if (!u || !str_to_i64(str_sub(rest, 0, digits), &v) ||
		    __builtin_mul_overflow(v, u->factor, &v) ||
		    __builtin_add_overflow(sum, v, &sum))
			return false;
		pos += digits + letters;
	} while (pos < s.len);
	*ret = sum;
	return true;
}

static bool parse_bytes(struct str s, int64_t *ret)
{
	size_t digits = span_digits(s);
	struct str name = str_sub(s, digits, s.len);
	int64_t v = 0;
	if (!str_to_i64(str_sub(s, 0, digits), &v))
		return false;
	if (name.len == 0) {
		*ret = v;
		return true;
	}
	const struct unit *u =
		find_unit(byte_units, sizeof(byte_units) / sizeof(*byte_units), name);
	return u && !__builtin_mul_overflow(v, u->factor, ret);
}

static void print_duration(int64_t ms, struct buf *out)
{
	if (ms == 0) {
		buf_adds(out, "0s");
		return;
	}
	static const struct unit down[] = {
		{ "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }
	};
	for (size_t i = 0; i < sizeof(down) / sizeof(*down); i++) {
		if (ms < down[i].factor)
			continue;
		buf_addf(out, "%" PRId64 "%s", ms / down[i].factor, down[i].name);
		ms %= down[i].factor;
	}
}

static void print_bytes(int64_t v, struct buf *out)
{
	for (size_t i = 4; i > 0; i--) {
		const struct unit *u = &byte_units[i - 1];
		if (v >= u->factor && v % u->factor == 0) {
			buf_addf(out, "%" PRId64 "%s", v / u->factor, u->name);
			return;
		}
	}
	buf_addf(out, "%" PRId64, v);
}

static void print_number(const struct setting *row, int64_t v, struct buf *out)
{
	if (row->type == SETTING_DURATION)
		print_duration(v, out);
	else if (row->type == SETTING_BYTES)
		print_bytes(v, out);
	else
		buf_addf(out, "%" PRId64, v);
}

static int store_number(const struct setting *row, struct str text, struct error *err)
{
	int64_t v = 0;
	bool ok = row->type == SETTING_INT     ? str_to_i64(text, &v)
		  : row->type == SETTING_BYTES ? parse_bytes(text, &v)
					       : parse_duration(text, &v);
	if (!ok)
		return error_set(err, ERR_INVALID, "\"%.*s\" is no %s", STR_ARG(text),
				 row->type == SETTING_INT     ? "integer"
				 : row->type == SETTING_BYTES ? "size (64Ki, 3Mi, 1G)"
							      : "duration (500ms, 15s, 2m, 1h30m)");
	if ((row->min || row->max) && (v < row->min || v > row->max)) {
		struct buf range = { 0 };
		print_number(row, row->min, &range);
		buf_adds(&range, " to ");
		print_number(row, row->max, &range);
		int rc = error_set(err, ERR_INVALID, "\"%.*s\" is outside %s", STR_ARG(text),
				   buf_cstr(&range));
		buf_fini(&range);
		return rc;
	}
	*(int64_t *)row->target = v;
	return 0;
}

static int store_bool(const struct setting *row, struct str text, struct error *err)
{
	bool yes = str_is(text, "true") || str_is(text, "1") || str_is(text, "yes");
	if (!yes && !str_is(text, "false") && !str_is(text, "0") && !str_is(text, "no"))
		return error_set(err, ERR_INVALID, "\"%.*s\" is neither true nor false",
				 STR_ARG(text));
	*(bool *)row->target = yes;
	return 0;
}

static int store_enum(const struct setting *row, struct str text, struct error *err)
{
	struct buf all = { 0 };
	for (const char *const *c = row->choices; *c; c++) {
		if (str_is(text, *c)) {
			*(const char **)row->target = *c;
			buf_fini(&all);
			return 0;
		}
		buf_addf(&all, "%s%s", all.len ? ", " : "", *c);
	}
	int rc = error_set(err, ERR_INVALID, "\"%.*s\" is none of %s", STR_ARG(text),
			   buf_cstr(&all));
	buf_fini(&all);
	return rc;
}

static void store_items(const struct setting *row, struct str text)
{
	struct setting_list *l = row->target;
	struct str item;
	while (text.len && str_split(&text, ',', &item)) {
		item = str_trim(item);
		if (!item.len)
			continue;
		l->items = mem_resize(l->items, l->len + 1, sizeof(*l->items));
		l->items[l->len++] = mem_strndup(item.p, item.len);
	}
}

void setting_clear(const struct setting *row)
{
	switch (row->type) {
	case SETTING_STRING:
		mem_free(*(char **)row->target);
		*(char **)row->target = NULL;
		break;
	case SETTING_STRINGS: {
		struct setting_list *l = row->target;
		for (size_t i = 0; i < l->len; i++)
			mem_free(l->items[i]);
		mem_free(l->items);
		*l = (struct setting_list){ 0 };
		break;
	}
	case SETTING_BOOL:
		*(bool *)row->target = false;
		break;
	case SETTING_INT:
	case SETTING_BYTES:
	case SETTING_DURATION:
		*(int64_t *)row->target = 0;
		break;
	case SETTING_ENUM:
		*(const char **)row->target = NULL;
		break;
	}
}

int setting_store(const struct setting *row, struct str text, bool append, struct error *err)
{
	switch (row->type) {
	case SETTING_STRING:
		setting_clear(row);
		*(char **)row->target = mem_strndup(text.p, text.len);
		return 0;
	case SETTING_STRINGS:
		if (!append)
			setting_clear(row);
		store_items(row, text);
		return 0;
	case SETTING_BOOL:
		return store_bool(row, text, err);
	case SETTING_ENUM:
		return store_enum(row, text, err);
	case SETTING_INT:
	case SETTING_BYTES:
	case SETTING_DURATION:
		return store_number(row, text, err);
	}
	return error_set(err, ERR_INTERNAL, "unknown type of setting");
}

void setting_print(const struct setting *row, struct buf *out)
{
	switch (row->type) {
	case SETTING_STRING: {
		const char *s = *(char *const *)row->target;
		buf_adds(out, s ? s : "");
		break;
	}
	case SETTING_STRINGS: {
		const struct setting_list *l = row->target;
		for (size_t i = 0; i < l->len; i++)
			buf_addf(out, "%s%s", i ? "," : "", l->items[i]);
		break;
	}
	case SETTING_BOOL:
		buf_adds(out, *(const bool *)row->target ? "true" : "false");
		break;
	case SETTING_ENUM: {
		const char *s = *(const char *const *)row->target;
		buf_adds(out, s ? s : "");
		break;
	}
	case SETTING_INT:
	case SETTING_BYTES:
	case SETTING_DURATION:
		print_number(row, *(const int64_t *)row->target, out);
		break;
	}
}

void setting_env_name(const struct setting *row, struct buf *out)
{
	buf_adds(out, "RCTL_");
	for (const char *p = row->name; *p; p++)
		buf_addc(out, *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
}

void setting_camel_name(const struct setting *row, struct buf *out)
{
	bool up = false;
	for (const char *p = row->name; *p; p++) {
		if (*p != '-')
			buf_addc(out, (char)(up && *p >= 'a' && *p <= 'z' ? *p - 32 : *p));
		up = *p == '-';
	}
}
