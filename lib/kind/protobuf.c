#include "kind/protobuf.h"

#include "base/utf8.h"
#include "kind/kind_priv.h"
#include "text/base64.h"
#include "text/rfc3339.h"

/* A length-delimited field's number and type before its length. */
enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;   /* of a number: its bits */
	struct str bytes; /* of WIRE_BYTES */
};

struct decoder {
	struct arena *arena;
	struct protobuf_unknown *unknown;
	struct error *err;
	size_t values, depth, steps;
};

/* Where a value stands, for messages: from the inner to the outer. */
struct place {
	const struct place *parent;
	struct str name;
};

/* ---- wire ---- */

static bool read_varint(struct str *in, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < 10 && i < in->len; i++) {
		unsigned char c = (unsigned char)in->p[i];
		if (i == 9 && c > 1)
			return false;
		v |= (uint64_t)(c & 0x7F) << (7 * i);
		if (c < 0x80) {
			*in = str_sub(*in, i + 1, in->len);
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool read_fixed(struct str *in, size_t n, uint64_t *ret)
{
	*ret = 0;
	if (in->len < n)
		return false;
	for (size_t i = 0; i < n; i++)
		*ret |= (uint64_t)(unsigned char)in->p[i] << (8 * i);
	*in = str_sub(*in, n, in->len);
	return true;
}

static bool read_field(struct str *in, struct field *f)
{
	uint64_t tag = 0, len = 0;
	*f = (struct field){ .bytes = STR("") };
	if (!read_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
		return false;
	f->number = (uint32_t)(tag >> 3);
	f->type = (enum wire_type)(tag & 7);
	switch (tag & 7) {
	case WIRE_VARINT:
		return read_varint(in, &f->value);
	case WIRE_FIXED64:
		return read_fixed(in, 8, &f->value);
	case WIRE_FIXED32:
		return read_fixed(in, 4, &f->value);
	case WIRE_BYTES:
		if (!read_varint(in, &len) || len > in->len)
			return false;
		f->bytes = str_sub(*in, 0, (size_t)len);
		*in = str_sub(*in, (size_t)len, in->len);
		return true;
	default: /* groups */
		return false;
	}
}

/* Nothing but zeros: what Go writes of a member that was never set. */
static bool is_zero(const struct field *f, size_t depth)
{
	struct str in = f->bytes;
	struct field inner;
	if (f->type != WIRE_BYTES)
		return f->value == 0;
	while (in.len && depth < PROTOBUF_DEPTH_MAX) {
		if (!read_field(&in, &inner) || !is_zero(&inner, depth + 1))
			return false;
	}
	return in.len == 0;
}

/* ---- errors ---- */

static void write_place(struct buf *b, const struct place *at)
{
	if (!at)
		return;
	write_place(b, at->parent);
	if (b->len)
		buf_addc(b, '.');
	buf_add_str(b, at->name);
}

static int broken(struct decoder *d, const struct place *at)
{
	struct buf path = { 0 };
	write_place(&path, at);
	int rc = error_set(d->err, ERR_BAD_REQUEST, "protobuf: wrong bytes at \"%.*s\"",
			   STR_ARG(buf_str(&path)));
	buf_fini(&path);
	return rc;
}

static void tell_unknown(struct decoder *d, const struct place *at, uint32_t number)
{
	struct protobuf_unknown *u = d->unknown;
	if (u->len == PROTOBUF_UNKNOWN_MAX)
		return;
	struct buf path = { 0 };
	write_place(&path, at);
	buf_addf(&path, "%sfield %u", path.len ? "." : "", number);
	u->paths[u->len++] = arena_str(d->arena, buf_str(&path));
	buf_fini(&path);
}

/* ---- values ---- */

static int decode_message(struct decoder *d, const struct schema *s, struct str in,
			  struct json *ret, const struct place *at);

static bool is_utf8(struct str s)
{
	const char *p = s.p, *end = s.p + s.len;
	while (p < end) {
		size_t n = utf8_len(p, end);
		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

/* The fields 1, 2 and 3 of a small message: the last one of each counts. */
static bool read_three(struct str in, struct field ret[3])
{
	struct field f;
	for (size_t i = 0; i < 3; i++)
		ret[i] = (struct field){ .bytes = STR("") };
	while (in.len) {
		if (!read_field(&in, &f))
			return false;
		if (f.number <= 3)
			ret[f.number - 1] = f;
	}
	return true;
}

/* Time, MicroTime{seconds, nanos}: null when it is the zero of Go. */
static bool decode_time(struct decoder *d, const struct schema *s, struct str in, struct json *ret)
{
	static const int64_t year_1 = -62135596800, year_10000 = 253402300800;
	struct field f[3];
	if (!read_three(in, f))
		return false;
	int64_t sec = (int64_t)f[0].value, nsec = (int64_t)f[1].value;
	*ret = (struct json){ 0 };
	if (in.len == 0 || sec == year_1)
		return true;
	if (sec < year_1 || sec >= year_10000 || nsec < 0 || nsec > 999999999)
		return false;
	struct buf text = { 0 };
	if (str_ends(s->ref, STR(".MicroTime")))
		rfc3339_write_us(&text, sec * 1000000 + nsec / 1000);
	else
		rfc3339_write(&text, sec);
	*ret = json_of_str(arena_str(d->arena, buf_str(&text)));
	buf_fini(&text);
	return true;
}

static bool decode_text(struct decoder *d, const struct schema *s, struct str in, struct json *ret)
{
	if (s->format == SCHEMA_FORMAT_DATE_TIME)
		return decode_time(d, s, in, ret);
	if (s->format == SCHEMA_FORMAT_BYTE) {
		struct buf text = { 0 };
		base64_write(&text, in.p, in.len);
		*ret = json_of_str(arena_str(d->arena, buf_str(&text)));
		buf_fini(&text);
		return true;
	}
	*ret = json_of_str(in.len ? in : STR(""));
	return is_utf8(in);
}

/* Quantity{string}; IntOrString{type, intVal, strVal} */
static bool decode_int_or_string(const struct schema *s, struct str in, struct json *ret)
{
	struct field f[3];
	if (!read_three(in, f))
		return false;
	if (s->format == SCHEMA_FORMAT_QUANTITY)
		*ret = f[0].bytes.len ? json_of_str(f[0].bytes) : json_of_cstr("0");
	else if (f[0].value == 0)
		*ret = json_of_i64((int32_t)f[1].value);
	else
		*ret = json_of_str(f[2].bytes.len ? f[2].bytes : STR(""));
	return ret->type != JSON_STRING || is_utf8(json_str(ret));
}

/* FieldsV1{raw}, RawExtension{raw}: JSON. */
static int decode_raw(struct decoder *d, struct str in, struct json *ret)
{
	struct field f[3];
	*ret = (struct json){ 0 };
	if (!read_three(in, f))
		return error_set(d->err, ERR_BAD_REQUEST, "protobuf: wrong bytes");
	return f[0].bytes.len ? json_parse(d->arena, f[0].bytes, NULL, ret, d->err) : 0;
}

/* A list that stands where one value is expected: ExtraValue{items}. */
static int decode_items(struct decoder *d, const struct schema *s, struct str in, struct json *ret,
			const struct place *at)
{
	const struct schema_wire item = { .name = STR("items"), .number = 1 };
	const struct schema_property prop = schema_property_of(item.name, s);
	const struct schema holder = {
		.type = SCHEMA_OBJECT, .props = &prop, .props_len = 1, .wire = &item, .wire_len = 1
	};
	struct json tree = { 0 };
	int rc = decode_message(d, &holder, in, &tree, at);
	const struct json *list = json_getc(&tree, "items");
	*ret = list ? *list : json_array();
	return rc;
}

static int decode_number(struct decoder *d, const struct schema *s, const struct field *f,
			 struct json *ret, const struct place *at)
{
	double real;
	if (s->type == SCHEMA_BOOLEAN && f->type == WIRE_VARINT) {
		*ret = json_of_bool(f->value != 0);
	} else if (s->type == SCHEMA_INTEGER && f->type == WIRE_VARINT) {
		*ret = json_of_i64((int64_t)f->value);
	} else if (s->type == SCHEMA_NUMBER && f->type == WIRE_FIXED64) {
		memcpy(&real, &f->value, sizeof(real));
		if (!(real - real == 0)) /* infinite, not a number */
			return broken(d, at);
		*ret = json_of_double(real);
	} else {
		return broken(d, at);
	}
	return 0;
}

static int decode_value(struct decoder *d, const struct schema *s, const struct field *f,
			struct json *ret, const struct place *at)
{
	bool ok = true;
	if (++d->values > PROTOBUF_VALUES_MAX)
		return error_set(d->err, ERR_TOO_LARGE, "protobuf: more than %d values",
				 PROTOBUF_VALUES_MAX);
	if (s->type == SCHEMA_BOOLEAN || s->type == SCHEMA_INTEGER || s->type == SCHEMA_NUMBER)
		return decode_number(d, s, f, ret, at);
	if (f->type != WIRE_BYTES)
		return broken(d, at);
	switch ((int)s->type) {
	case SCHEMA_STRING:
		ok = decode_text(d, s, f->bytes, ret);
		break;
	case SCHEMA_INT_OR_STRING:
		ok = decode_int_or_string(s, f->bytes, ret);
		break;
	case SCHEMA_ARRAY:
		return decode_items(d, s, f->bytes, ret, at);
	case SCHEMA_OBJECT:
		if (!s->wire && s->preserve_unknown)
			return decode_raw(d, f->bytes, ret);
		return decode_message(d, s, f->bytes, ret, at);
	default:
		return decode_raw(d, f->bytes, ret);
	}
	return ok ? 0 : broken(d, at);
}

/* ---- messages ---- */

static int decode_entry(struct decoder *d, const struct schema *s, const struct field *f,
			struct json *map, const struct place *at)
{
	struct field kv[3];
	struct json value = { 0 };
	if (f->type != WIRE_BYTES || !read_three(f->bytes, kv) || !is_utf8(kv[0].bytes))
		return broken(d, at);
	struct place here = { at, kv[0].bytes };
	d->steps += json_len(map); /* each is compared with those before */
	if (d->steps > PROTOBUF_STEPS_MAX)
		return error_set(d->err, ERR_TOO_LARGE, "protobuf: too many entries in maps");
	if (kv[1].number == 0)
		kv[1] = (struct field){ .number = 2, .type = WIRE_BYTES, .bytes = STR("") };
	int rc = decode_value(d, s->additional, &kv[1], &value, &here);
	if (rc == 0)
		json_set(d->arena, map, kv[0].bytes.len ? kv[0].bytes : STR(""), value);
	return rc;
}

/* One element, or numbers packed together. */
static int decode_element(struct decoder *d, const struct schema *s, const struct field *f,
			  struct json *list, const struct place *at)
{
	struct json value = { 0 };
	bool number = s->items->type == SCHEMA_INTEGER || s->items->type == SCHEMA_BOOLEAN;
	struct str in = f->bytes;
	struct field one = { .number = f->number, .type = WIRE_VARINT };
	if (!number || f->type != WIRE_BYTES) {
		int rc = decode_value(d, s->items, f, &value, at);
		if (rc == 0)
			json_push(d->arena, list, value);
		return rc;
	}
	while (in.len) {
		if (!read_varint(&in, &one.value))
			return broken(d, at);
		int rc = decode_value(d, s->items, &one, &value, at);
		if (rc)
			return rc;
		json_push(d->arena, list, value);
	}
	return 0;
}

static int decode_member(struct decoder *d, const struct schema *s, const struct schema_wire *w,
			 const struct field *f, struct json *obj, const struct place *at)
{
	struct json value = { 0 };
	struct json *old = json_get(obj, w->name);
	bool list = s->type == SCHEMA_ARRAY, map = s->type == SCHEMA_OBJECT && s->additional;
	if (list || map) {
		if (!old)
			old = json_set(d->arena, obj, w->name, list ? json_array() : json_object());
		return list ? decode_element(d, s, f, old, at) : decode_entry(d, s, f, old, at);
	}
	/* A message may be empty on purpose (emptyDir), a number or a text only where zero is said. */
	bool scalar = s->type != SCHEMA_OBJECT && s->type != SCHEMA_INT_OR_STRING;
	if (scalar && !w->zero && f->value == 0 && f->bytes.len == 0)
		return 0;
	int rc = decode_value(d, s, f, &value, at);
	if (rc == 0 && value.type != JSON_NULL)
		json_set(d->arena, obj, w->name, value);
	return rc;
}

static const struct schema_wire *wire_find(const struct schema *s, uint32_t outer, uint32_t number)
{
	for (size_t i = 0; i < s->wire_len; i++)
		if (s->wire[i].number == number && s->wire[i].outer == outer)
			return &s->wire[i];
	return NULL;
}

static bool wire_is_outer(const struct schema *s, uint32_t number)
{
	for (size_t i = 0; i < s->wire_len; i++)
		if (s->wire[i].outer == number)
			return true;
	return false;
}

static int decode_fields(struct decoder *d, const struct schema *s, uint32_t outer, struct str in,
			 struct json *obj, const struct place *at)
{
	struct field f;
	int rc = 0;
	while (rc == 0 && in.len) {
		if (!read_field(&in, &f))
			return broken(d, at);
		const struct schema_wire *w = wire_find(s, outer, f.number);
		const struct schema *member = w ? schema_property(s, w->name) : NULL;
		if (member) {
			struct place here = { at, w->name };
			rc = decode_member(d, member, w, &f, obj, &here);
		} else if (outer == 0 && f.type == WIRE_BYTES && wire_is_outer(s, f.number)) {
			rc = decode_fields(d, s, f.number, f.bytes, obj, at);
		} else if (!is_zero(&f, 0)) {
			tell_unknown(d, at, f.number);
		}
	}
	return rc;
}

static int decode_message(struct decoder *d, const struct schema *s, struct str in,
			  struct json *ret, const struct place *at)
{
	if (d->depth == PROTOBUF_DEPTH_MAX)
		return error_set(d->err, ERR_TOO_LARGE, "protobuf: nested deeper than %d",
				 PROTOBUF_DEPTH_MAX);
	d->depth++;
	*ret = json_object();
	int rc = decode_fields(d, s, 0, in, ret, at);
	d->depth--;
	return rc;
}

/* ---- envelope ---- */

/* The schema of what the envelope names, or NULL. */
static const struct schema *find_schema(const struct kind_set *s, struct arena *a,
					struct str api_version, struct str kind)
{
	const struct kind *k = kind_find_gvk(s, api_version, kind);
	if (k)
		return k->schema;
	ptrdiff_t slash = str_find(api_version, '/', 0);
	struct str group = slash < 0 ? STR_NONE : str_sub(api_version, 0, (size_t)slash);
	struct str version = str_sub(api_version, (size_t)(slash + 1), api_version.len);
	struct str name = kind_definition_name(a, group, version, kind);
	if (str_is(kind, "DeleteOptions")) /* every group has it */
		name = STR("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
	return schema_find(s->units[0]->schemas, name);
}

int protobuf_decode(const struct kind_set *s, struct arena *a, struct str body, struct json *ret,
		    struct protobuf_unknown *unknown, struct error *err)
{
	/* runtime.Unknown{typeMeta{apiVersion, kind}, raw, contentEncoding, contentType} */
	struct field unknown_fields[3], type[3];
	struct decoder d = { .arena = a, .unknown = unknown, .err = err };
	*unknown = (struct protobuf_unknown){ 0 };
	if (!str_starts(body, (struct str){ "k8s\0", 4 }))
		return error_set(err, ERR_BAD_REQUEST,
				 "protobuf: the body does not begin with the magic of Kubernetes");
	if (!read_three(str_sub(body, 4, body.len), unknown_fields) ||
	    !read_three(unknown_fields[0].bytes, type))
		return error_set(err, ERR_BAD_REQUEST, "protobuf: wrong bytes in the envelope");
	if (unknown_fields[2].bytes.len)
		return error_set(err, ERR_MEDIA_TYPE, "protobuf: encoded contents are not taken");
	struct str api_version = type[0].bytes, kind = type[1].bytes;
	if (!is_utf8(api_version) || !is_utf8(kind))
		return error_set(err, ERR_BAD_REQUEST, "protobuf: wrong bytes in the envelope");
	const struct schema *schema = find_schema(s, a, api_version, kind);
	if (!schema || !schema->wire)
		return error_set(err, ERR_MEDIA_TYPE,
				 "%.*s %.*s is not read as protobuf, only as JSON or YAML",
				 STR_ARG(api_version), STR_ARG(kind));
	int rc = decode_message(&d, schema, unknown_fields[1].bytes, ret, NULL);
	if (rc)
		return rc;
	json_setc(a, ret, "apiVersion", json_of_str(api_version));
	json_setc(a, ret, "kind", json_of_str(kind));
	return 0;
}
