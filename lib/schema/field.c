#include "base/mem.h"
#include "schema/schema_priv.h"

#include <assert.h>
#include <stdarg.h>

enum { VALUE_TEXT_MAX = 1024 }; /* bytes of a value that a message repeats */

static const struct {
	const char *name; /* of Status.details.causes */
	const char *text;
	bool value; /* the message repeats the value */
} reasons[] = {
	[FIELD_INVALID] = { "FieldValueInvalid", "Invalid value", true },
	[FIELD_REQUIRED] = { "FieldValueRequired", "Required value", false },
	[FIELD_NOT_SUPPORTED] = { "FieldValueNotSupported", "Unsupported value", true },
	[FIELD_DUPLICATE] = { "FieldValueDuplicate", "Duplicate value", true },
	[FIELD_FORBIDDEN] = { "FieldValueForbidden", "Forbidden", false },
	[FIELD_TYPE] = { "FieldValueTypeInvalid", "Invalid value", true },
	[FIELD_TOO_LONG] = { "FieldValueTooLong", "Too long", false },
	[FIELD_TOO_MANY] = { "FieldValueTooMany", "Too many", true },
	[FIELD_NOT_FOUND] = { "FieldValueNotFound", "Not found", true },
	[FIELD_IMMUTABLE] = { "FieldValueInvalid", "Invalid value", true },
};

const char *field_reason_text(enum field_reason r)
{
	assert((size_t)r < sizeof(reasons) / sizeof(reasons[0]));
	return reasons[r].name;
}

void field_path_write(const struct field_path *p, struct buf *out)
{
	if (!p->up) {
		buf_add_str(out, p->name);
		return;
	}
	field_path_write(p->up, out);
	if (p->key) {
		buf_addc(out, '[');
		buf_add_str(out, p->name);
		buf_addc(out, ']');
	} else if (p->name.p) {
		if (out->len)
			buf_addc(out, '.');
		buf_add_str(out, p->name);
	} else {
		buf_addc(out, '[');
		buf_add_u64(out, p->index);
		buf_addc(out, ']');
	}
}

/* The value as the message repeats it, cut at a character boundary when it is long. */
static void write_value(struct buf *out, const struct json *value)
{
	size_t start = out->len;
	json_write(out, value);
	if (out->len - start <= VALUE_TEXT_MAX)
		return;
	out->len = start + VALUE_TEXT_MAX;
	while (out->len > start && ((unsigned char)out->p[out->len] & 0xC0) == 0x80)
		out->len--;
	buf_adds(out, "...");
}

static void add(struct field_errors *e, enum field_reason reason, struct str path,
		const struct json *value, const char *detail, va_list ap) ATTR_PRINTF(5, 0);

static void add(struct field_errors *e, enum field_reason reason, struct str path,
		const struct json *value, const char *detail, va_list ap)
{
	assert((size_t)reason < sizeof(reasons) / sizeof(reasons[0]));
	if (e->len == FIELD_ERRORS_MAX) {
		e->dropped++;
		return;
	}
	struct buf b = { 0 };
	buf_adds(&b, reasons[reason].text);
	if (value && reasons[reason].value) {
		buf_adds(&b, ": ");
		write_value(&b, value);
	}
	size_t end = b.len;
	buf_adds(&b, ": ");
	buf_vaddf(&b, detail, ap);
	if (b.len == end + 2)
		b.len = end;
	e->list[e->len++] = (struct field_error){
		.reason = reason,
		.path = arena_str(e->arena, path),
		.message = arena_str(e->arena, buf_str(&b)),
	};
	buf_fini(&b);
}

void field_error_add(struct field_errors *e, enum field_reason reason, struct str path,
		     const struct json *value, const char *detail, ...)
{
	va_list ap;
	va_start(ap, detail);
	add(e, reason, path, value, detail, ap);
	va_end(ap);
}

void field_error_at(struct field_errors *e, enum field_reason reason, const struct field_path *at,
		    const struct json *value, const char *detail, ...)
{
	struct buf path = { 0 };
	va_list ap;
	field_path_write(at, &path);
	va_start(ap, detail);
	add(e, reason, buf_str(&path), value, detail, ap);
	va_end(ap);
	buf_fini(&path);
}
