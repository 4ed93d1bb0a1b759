#include "patch/typed.h"

struct check {
	struct arena *a;
	bool duplicates;
	struct error *err;
	struct pe path[TYPED_DEPTH_MAX];
	size_t depth;
};

static int value(struct check *c, const struct schema *s, const struct json *v);

static int wrong(struct check *c, const char *fmt, ...) ATTR_PRINTF(2, 3);

static int wrong(struct check *c, const char *fmt, ...)
{
	struct buf text = { 0 };
	for (size_t i = 0; i < c->depth; i++)
		pe_print(&text, &c->path[i]);
	if (c->depth)
		buf_adds(&text, ": ");
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	int rc = error_set(c->err, ERR_BAD_REQUEST, "%.*s", STR_ARG(buf_str(&text)));
	buf_fini(&text);
	return rc;
}

static int below(struct check *c, struct pe pe, const struct schema *s, const struct json *v)
{
	if (c->depth == TYPED_DEPTH_MAX)
		return 0;
	c->path[c->depth++] = pe;
	int rc = value(c, s, v);
	c->depth--;
	return rc;
}

static int map(struct check *c, const struct schema *s, const struct json *v)
{
	for (uint32_t i = 0; i < v->len; i++) {
		const struct json_member *m = &v->members[i];
		const struct schema *field = schema_member(s, member_name(m));
		if (!field && !s->preserve_unknown) {
			c->path[c->depth++] = pe_field(member_name(m));
			return wrong(c, "field not declared in schema");
		}
		int rc = field ? below(c, pe_field(member_name(m)), field, &m->value) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int list(struct check *c, const struct schema *s, const struct json *v)
{
	if (s->list == SCHEMA_LIST_ATOMIC) {
		for (uint32_t i = 0; s->items && i < v->len; i++) {
			struct pe pe = { .kind = PE_INDEX, .index = i };
			int rc = below(c, pe, s->items, &v->items[i]);
			if (rc < 0)
				return rc;
		}
		return 0;
	}
	struct pe *pes = arena_new(c->a, struct pe, (size_t)v->len + 1);
	for (uint32_t i = 0; i < v->len; i++) {
		struct error why = { 0 };
		if (typed_element(c->a, s, &v->items[i], &pes[i], &why) < 0)
			return wrong(c, "element %u: %s", i, why.msg);
	}
	struct peindex index;
	peindex_init(&index, c->a, pes, v->len);
	for (uint32_t i = 0; i < v->len; i++) {
		if (!c->duplicates && peindex_find(&index, &pes[i]) != (ptrdiff_t)i) {
			struct buf text = { 0 };
			pe_print(&text, &pes[i]);
			int rc =
				wrong(c, "duplicate entries for key %.*s", STR_ARG(buf_str(&text)));
			buf_fini(&text);
			return rc;
		}
		int rc = s->items ? below(c, pes[i], s->items, &v->items[i]) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool is_number(const struct json *v)
{
	return v->type == JSON_INT || v->type == JSON_UINT || v->type == JSON_DOUBLE;
}

/* Quantities are strings that may be written as numbers. */
static bool is_text(const struct schema *s, const struct json *v)
{
	return v->type == JSON_STRING || (s->format == SCHEMA_FORMAT_QUANTITY && is_number(v));
}

static int value(struct check *c, const struct schema *s, const struct json *v)
{
	bool container = v->type == JSON_OBJECT || v->type == JSON_ARRAY;
	bool fits = true;
	const char *expected = "";
	if (v->type == JSON_NULL)
		return 0;
	switch (s->type) {
	case SCHEMA_ANY:
		return 0;
	case SCHEMA_OBJECT:
		if (v->type == JSON_OBJECT)
			return map(c, s, v);
		return wrong(c, "expected map, got %s", json_type_name(v));
	case SCHEMA_ARRAY:
		if (v->type == JSON_ARRAY)
			return list(c, s, v);
		return wrong(c, "expected list, got %s", json_type_name(v));
	case SCHEMA_STRING:
		fits = is_text(s, v);
		expected = "string";
		break;
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
		fits = is_number(v);
		expected = "numeric (int or float)";
		break;
	case SCHEMA_BOOLEAN:
		fits = v->type == JSON_BOOL;
		expected = "boolean";
		break;
	case SCHEMA_INT_OR_STRING:
		fits = !container;
		expected = "any scalar";
		break;
	}
	return fits ? 0 : wrong(c, "expected %s, got %s", expected, json_type_name(v));
}

int typed_check(struct arena *a, const struct schema *s, const struct json *v, bool duplicates,
		struct error *err)
{
	struct check c = { .a = a, .duplicates = duplicates, .err = err };
	return s ? value(&c, s, v) : 0;
}
