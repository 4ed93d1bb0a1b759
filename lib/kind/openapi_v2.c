/*
 * OpenAPI v2 for clients from before v3, in the protobuf of gnostic's openapi.v2 (OpenAPIv2.proto): made
 * from the v3 documents.  What v2 cannot say is left out as kube-apiserver does it: alternatives, members of
 * what keeps unknown members, types of what may be null.
 */
#include "base/map.h"
#include "base/mem.h"
#include "kind/openapi_priv.h"

enum { DOCUMENT_BYTES_MAX = 64 << 20 };

/* ---- protobuf ---- */

static void write_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addc(b, (char)(v | 0x80));
	buf_addc(b, (char)v);
}

static void write_text(struct buf *b, unsigned field, struct str s)
{
	write_varint(b, field << 3 | 2);
	write_varint(b, s.len);
	buf_add_str(b, s);
}

static void write_true(struct buf *b, unsigned field)
{
	write_varint(b, field << 3);
	buf_addc(b, 1);
}

/* Where a message begins that close_message() ends: its length is put in front then. */
static size_t open_message(struct buf *b, unsigned field)
{
	write_varint(b, field << 3 | 2);
	return b->len;
}

static void close_message(struct buf *b, size_t at)
{
	struct buf len = { 0 };
	size_t n = b->len - at;
	write_varint(&len, n);
	buf_reserve(b, len.len);
	memmove(b->p + at + len.len, b->p + at, n);
	memcpy(b->p + at, len.p, len.len);
	b->len += len.len;
	buf_fini(&len);
}

/* Any{yaml} */
static void write_any(struct buf *b, unsigned field, const struct json *value)
{
	struct buf text = { 0 };
	json_write(&text, value);
	size_t any = open_message(b, field);
	write_text(b, 2, buf_str(&text));
	close_message(b, any);
	buf_fini(&text);
}

static void write_extensions(struct buf *b, unsigned field, const struct json *doc)
{
	for (size_t i = 0; i < json_len(doc); i++) {
		struct str name = json_str(&doc->members[i].key);
		if (!str_starts(name, STR("x-kubernetes-")))
			continue;
		size_t ext = open_message(b, field);
		write_text(b, 1, name);
		write_any(b, 2, &doc->members[i].value);
		close_message(b, ext);
	}
}

/* ---- schemas: the numbers are those of message Schema ---- */

enum {
	SCHEMA_REF = 1,
	SCHEMA_FORMAT = 2,
	SCHEMA_DESCRIPTION = 4,
	SCHEMA_DEFAULT = 5,
	SCHEMA_REQUIRED = 19,
	SCHEMA_ENUM = 20,
	SCHEMA_ADDITIONAL = 21,
	SCHEMA_TYPE = 22,
	SCHEMA_ITEMS = 23,
	SCHEMA_PROPERTIES = 25,
	SCHEMA_EXTENSION = 31,
};

static void write_schema(struct buf *b, const struct json *doc);

static void write_named_schema(struct buf *b, const struct json_member *m)
{
	size_t named = open_message(b, 1);
	write_text(b, 1, json_str(&m->key));
	size_t value = open_message(b, 2);
	write_schema(b, &m->value);
	close_message(b, value);
	close_message(b, named);
}

static void write_type(struct buf *b, struct str type)
{
	size_t item = open_message(b, SCHEMA_TYPE);
	write_text(b, 1, type);
	close_message(b, item);
}

static void write_ref(struct buf *b, struct str ref)
{
	struct buf text = { 0 };
	buf_adds(&text, "#/definitions/");
	buf_add_str(&text, str_sub(ref, sizeof("#/components/schemas/") - 1, ref.len));
	write_text(b, SCHEMA_REF, buf_str(&text));
	buf_fini(&text);
}

static void write_additional(struct buf *b, const struct json *doc)
{
	size_t item = open_message(b, SCHEMA_ADDITIONAL);
	if (doc->type == JSON_OBJECT) {
		size_t schema = open_message(b, 1);
		write_schema(b, doc);
		close_message(b, schema);
	} else if (json_bool(doc, false)) {
		write_true(b, 2);
	}
	close_message(b, item);
}

/* Type, members and elements. */
static void write_structure(struct buf *b, const struct json *doc)
{
	const struct json *props = json_getc(doc, "properties"), *items = json_getc(doc, "items");
	const struct json *more = json_getc(doc, "additionalProperties");
	const struct json *type = json_getc(doc, "type"), *required = json_getc(doc, "required");
	if (json_bool(json_getc(doc, "nullable"), false))
		return;
	if (type)
		write_type(b, json_str(type));
	if (json_bool(json_getc(doc, "x-kubernetes-preserve-unknown-fields"), false))
		return;
	for (size_t i = 0; i < json_len(required); i++)
		write_text(b, SCHEMA_REQUIRED, json_str(json_at(required, i)));
	if (more)
		write_additional(b, more);
	if (items) {
		size_t item = open_message(b, SCHEMA_ITEMS), schema = open_message(b, 1);
		write_schema(b, items);
		close_message(b, schema);
		close_message(b, item);
	}
	if (json_len(props)) {
		size_t list = open_message(b, SCHEMA_PROPERTIES);
		for (size_t i = 0; i < json_len(props); i++)
			write_named_schema(b, &props->members[i]);
		close_message(b, list);
	}
}

static void write_schema(struct buf *b, const struct json *doc)
{
	struct str ref = json_str(json_getc(doc, "$ref"));
	const struct json *description = json_getc(doc, "description");
	const struct json *initial = json_getc(doc, "default"), *enums = json_getc(doc, "enum");
	if (!ref.len)
		ref = json_str(json_getc(json_at(json_getc(doc, "allOf"), 0), "$ref"));
	if (description)
		write_text(b, SCHEMA_DESCRIPTION, json_str(description));
	if (initial && initial->type != JSON_NULL)
		write_any(b, SCHEMA_DEFAULT, initial);
	if (ref.len) {
		write_ref(b, ref);
	} else if (json_bool(json_getc(doc, "x-kubernetes-int-or-string"), false)) {
		write_type(b, STR("string"));
		write_text(b, SCHEMA_FORMAT, STR("int-or-string"));
	} else {
		struct str format = json_str(json_getc(doc, "format"));
		if (format.len)
			write_text(b, SCHEMA_FORMAT, format);
		for (size_t i = 0; i < json_len(enums); i++)
			write_any(b, SCHEMA_ENUM, json_at(enums, i));
		write_structure(b, doc);
	}
	write_extensions(b, SCHEMA_EXTENSION, doc);
}

/* ---- paths ---- */

/* ParametersItem{parameter{non_body_parameter{query_parameter_sub_schema}}} */
static void write_query_parameter(struct buf *b, const struct json *param)
{
	size_t item = open_message(b, 8), parameter = open_message(b, 1);
	size_t non_body = open_message(b, 2), query = open_message(b, 3);
	write_text(b, 2, STR("query"));
	write_text(b, 3, json_str(json_getc(param, "description")));
	write_text(b, 4, json_str(json_getc(param, "name")));
	write_text(b, 6, json_str(json_dig(param, "schema", "type", NULL)));
	close_message(b, query);
	close_message(b, non_body);
	close_message(b, parameter);
	close_message(b, item);
}

static void write_operation(struct buf *b, unsigned field, const struct json *op)
{
	const struct json *params = json_getc(op, "parameters");
	size_t operation = open_message(b, field);
	write_text(b, 5, json_str(json_getc(op, "operationId")));
	for (size_t i = 0; i < json_len(params); i++)
		write_query_parameter(b, json_at(params, i));
	write_extensions(b, 13, op);
	close_message(b, operation);
}

static void write_path(struct buf *b, const struct json_member *m)
{
	static const struct {
		const char *method;
		unsigned field;
	} methods[] = {
		{ "get", 2 }, { "put", 3 }, { "post", 4 }, { "delete", 5 }, { "patch", 8 }
	};
	size_t named = open_message(b, 2);
	write_text(b, 1, json_str(&m->key));
	size_t value = open_message(b, 2);
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		const struct json *op = json_getc(&m->value, methods[i].method);
		if (op)
			write_operation(b, methods[i].field, op);
	}
	close_message(b, value);
	close_message(b, named);
}

/* ---- the document ---- */

struct document {
	struct buf paths, definitions;
	struct map seen;
};

static void add_group_version(struct document *d, struct kind_set *s, const struct kind *k)
{
	struct json_limits limits = JSON_LIMITS;
	struct arena arena = { 0 };
	struct json v3 = { 0 };
	struct bytes *text = kind_openapi(s, k->group, k->version, NULL);
	limits.bytes_max = DOCUMENT_BYTES_MAX;
	/* We wrote the text; what is too large for one document is left out. */
	if (json_parse(&arena, bytes_str(text), &limits, &v3, NULL) == 0) {
		const struct json *paths = json_getc(&v3, "paths");
		const struct json *schemas = json_dig(&v3, "components", "schemas", NULL);
		for (size_t i = 0; i < json_len(paths); i++)
			write_path(&d->paths, &paths->members[i]);
		for (size_t i = 0; i < json_len(schemas); i++)
			if (!map_set(&d->seen, json_str(&schemas->members[i].key), d))
				write_named_schema(&d->definitions, &schemas->members[i]);
	}
	arena_fini(&arena);
	bytes_unref(text);
}

struct bytes *kind_openapi_v2(struct kind_set *s)
{
	struct document d = { 0 };
	struct buf b = { 0 };
	for (size_t i = 0; i < s->len; i++) {
		const struct kind *k = &s->all[i]->pub, *before = i ? &s->all[i - 1]->pub : NULL;
		if (!before || !str_eq(before->api_version, k->api_version))
			add_group_version(&d, s, k);
	}
	write_text(&b, 1, STR("2.0"));
	size_t info = open_message(&b, 2);
	write_text(&b, 1, STR("rctl"));
	write_text(&b, 2, STR(RCTL_VERSION));
	close_message(&b, info);
	write_text(&b, 8, buf_str(&d.paths));
	write_text(&b, 9, buf_str(&d.definitions));
	buf_fini(&d.paths);
	buf_fini(&d.definitions);
	map_fini(&d.seen);
	return kind_take(&b);
}

const char *kind_openapi_v2_etag(struct kind_set *s)
{
	struct buf b = { 0 };
	buf_adds(&b, "v2 " RCTL_VERSION);
	for (size_t i = 0; i < s->units_len; i++)
		buf_addf(&b, " %s", s->units[i]->hash);
	const char *hash = openapi_hash(s, buf_str(&b));
	buf_fini(&b);
	return hash;
}
