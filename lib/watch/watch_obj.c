#include "base/buf.h"
#include "base/mem.h"
#include "watch/watch_priv.h"

#include <assert.h>

/*
 * The block: struct bytes, JSON, NUL, padding to 8, struct watch_tail, key, references,
 * text that is not in the JSON as it stands.  Offsets count from the first byte of the JSON.
 */
struct watch_tail {
	int64_t rev, create_rev;
	uint32_t splice; /* where "resourceVersion" was put in; 0 = nowhere */
	uint16_t key_len;
	uint16_t labels;
	uint8_t fields, owners;
	bool wide; /* references have 8 bytes, not 4 */
};

/* Narrow references: the offset in the upper bits, the length in the lower. */
enum { LEN_BITS = 12, OFF_BITS = 20 };

_Static_assert(WATCH_LABELS_MAX <= UINT16_MAX && WATCH_FIELDS_MAX <= UINT8_MAX &&
		       WATCH_OWNERS_MAX <= UINT8_MAX,
	       "the tail's counters");

static size_t tail_offset(size_t json_len)
{
	return (sizeof(struct bytes) + json_len + 1 + 7) & ~(size_t)7;
}

static const struct bytes *bytes_of(const struct watch_obj *o)
{
	return (const struct bytes *)(const void *)o;
}

const struct watch_tail *watch_obj_tail(const struct watch_obj *o)
{
	const char *block = (const char *)o;
	return (const struct watch_tail *)(const void *)(block + tail_offset(bytes_of(o)->len));
}

/* ---- building ---- */

struct layout {
	struct str value;
	size_t splice; /* in the value; 0 = none */
	char rv[48];   /* what is put in there */
	size_t rv_len;
	size_t json_len;
	size_t refs;
	size_t text;    /* bytes of text outside the JSON */
	size_t text_at; /* its offset */
	bool wide;
};

/* The string behind `at` up to its quote; the offset behind that, or 0. */
static size_t skip_plain(struct str s, size_t at)
{
	while (at < s.len && s.p[at] != '"' && s.p[at] != '\\')
		at++;
	return at < s.len && s.p[at] == '"' ? at + 1 : 0;
}

static size_t skip_literal(struct str s, size_t at, struct str literal)
{
	return str_starts(str_sub(s, at, s.len), literal) ? at + literal.len : 0;
}

/* The offset behind {"apiVersion":"…","kind":"…","metadata":{ or 0. */
static size_t find_splice(struct str s)
{
	size_t at = skip_literal(s, 0, STR("{\"apiVersion\":\""));
	at = at ? skip_plain(s, at) : 0;
	at = at ? skip_literal(s, at, STR(",\"kind\":\"")) : 0;
	at = at ? skip_plain(s, at) : 0;
	return at ? skip_literal(s, at, STR(",\"metadata\":{")) : 0;
}

static bool is_inside(const struct layout *l, struct str s)
{
	uintptr_t p = (uintptr_t)s.p;
	uintptr_t from = (uintptr_t)l->value.p;
	return p >= from && p + s.len <= from + l->value.len;
}

static void measure_one(struct layout *l, struct str s)
{
	l->refs++;
	if (s.len && !is_inside(l, s))
		l->text += s.len;
	l->wide |= s.len >= 1U << LEN_BITS;
}

static void for_each_text(const struct watch_index *ix, void (*fn)(void *arg, struct str s),
			  void *arg)
{
	for (size_t i = 0; i < ix->labels; i++) {
		fn(arg, ix->label_key[i]);
		fn(arg, ix->label_value[i]);
	}
	for (size_t i = 0; i < ix->fields; i++)
		fn(arg, ix->field[i]);
	for (size_t i = 0; i < ix->owners; i++)
		fn(arg, ix->owner_uid[i]);
}

static void measure(void *arg, struct str s)
{
	measure_one(arg, s);
}

static struct layout plan(struct str key, int64_t rev, struct str value,
			  const struct watch_index *ix)
{
	struct layout l = { .value = value, .splice = find_splice(value) };
	if (l.splice) {
		bool last = l.splice < value.len && value.p[l.splice] == '}';
		l.rv_len = (size_t)snprintf(l.rv, sizeof(l.rv), "\"resourceVersion\":\"%lld\"%s",
					    (long long)rev, last ? "" : ",");
	}
	l.json_len = value.len + l.rv_len;
	for_each_text(ix, measure, &l);
	size_t key_at = tail_offset(l.json_len) + sizeof(struct watch_tail) - sizeof(struct bytes);
	l.wide |= key_at + key.len + l.refs * 4 + l.text >= 1U << OFF_BITS;
	l.text_at = key_at + key.len + l.refs * (l.wide ? 8 : 4);
	return l;
}

struct fill {
	const struct layout *l;
	char *ref;  /* where the next reference goes */
	char *data; /* of the bytes */
	size_t text_at;
};

static void fill_one(void *arg, struct str s)
{
	struct fill *f = arg;
	size_t off = 0;
	if (s.len && is_inside(f->l, s)) {
		off = (size_t)(s.p - f->l->value.p);
		off += f->l->splice && off >= f->l->splice ? f->l->rv_len : 0;
	} else if (s.len) {
		off = f->text_at;
		memcpy(f->data + off, s.p, s.len);
		f->text_at += s.len;
	}
	uint32_t wide[2] = { (uint32_t)off, (uint32_t)s.len };
	uint32_t narrow = (uint32_t)(off << LEN_BITS | s.len);
	if (f->l->wide)
		memcpy(f->ref, wide, sizeof(wide));
	else
		memcpy(f->ref, &narrow, sizeof(narrow));
	f->ref += f->l->wide ? sizeof(wide) : sizeof(narrow);
}

struct watch_obj *watch_obj_new(struct str key, int64_t rev, int64_t create_rev, struct str value,
				const struct watch_index *ix)
{
	assert(key.len <= UINT16_MAX && ix->labels <= WATCH_LABELS_MAX &&
	       ix->fields <= WATCH_FIELDS_MAX && ix->owners <= WATCH_OWNERS_MAX);
	struct layout l = plan(key, rev, value, ix);
	char *block = mem_resize(NULL, sizeof(struct bytes) + l.text_at + l.text, 1);
	struct bytes *b = (struct bytes *)(void *)block;
	atomic_init(&b->refs, 1);
	b->len = (uint32_t)l.json_len;
	memcpy(b->data, value.p, l.splice);
	memcpy(b->data + l.splice, l.rv, l.rv_len);
	memcpy(b->data + l.splice + l.rv_len, value.p + l.splice, value.len - l.splice);
	b->data[l.json_len] = '\0';
	struct watch_tail *t = (struct watch_tail *)(void *)(block + tail_offset(l.json_len));
	*t = (struct watch_tail){
		.rev = rev,
		.create_rev = create_rev,
		.splice = (uint32_t)l.splice,
		.key_len = (uint16_t)key.len,
		.labels = (uint16_t)ix->labels,
		.fields = (uint8_t)ix->fields,
		.owners = (uint8_t)ix->owners,
		.wide = l.wide,
	};
	char *at = (char *)(t + 1);
	memcpy(at, key.p, key.len);
	struct fill f = { &l, at + key.len, b->data, l.text_at };
	for_each_text(ix, fill_one, &f);
	return (struct watch_obj *)(void *)block;
}

void watch_obj_with_rev(const struct watch_obj *o, int64_t rev, struct buf *out)
{
	struct str json = watch_obj_json(o);
	size_t splice = watch_obj_tail(o)->splice;
	struct str name = STR("\"resourceVersion\":\"");
	if (splice == 0) {
		buf_add_str(out, json);
		return;
	}
	buf_add_str(out, str_sub(json, 0, splice + name.len));
	buf_add_i64(out, rev);
	ptrdiff_t quote = str_find(json, '"', splice + name.len);
	assert(quote > 0);
	buf_add_str(out, str_sub(json, (size_t)quote, json.len));
}

/* ---- reading ---- */

struct watch_obj *watch_obj_ref(struct watch_obj *o)
{
	(void)bytes_ref((struct bytes *)(void *)o);
	return o;
}

void watch_obj_unref(struct watch_obj *o)
{
	bytes_unref((struct bytes *)(void *)o);
}

struct bytes *watch_obj_bytes(struct watch_obj *o)
{
	return (struct bytes *)(void *)o;
}

int64_t watch_obj_rev(const struct watch_obj *o)
{
	return watch_obj_tail(o)->rev;
}

int64_t watch_obj_create_rev(const struct watch_obj *o)
{
	return watch_obj_tail(o)->create_rev;
}

size_t watch_obj_labels(const struct watch_obj *o)
{
	return watch_obj_tail(o)->labels;
}

size_t watch_obj_fields(const struct watch_obj *o)
{
	return watch_obj_tail(o)->fields;
}

size_t watch_obj_owners(const struct watch_obj *o)
{
	return watch_obj_tail(o)->owners;
}

struct str watch_obj_json(const struct watch_obj *o)
{
	return bytes_str(bytes_of(o));
}

struct str watch_tail_key(const struct watch_tail *t)
{
	return str_n((const char *)(t + 1), t->key_len);
}

struct str watch_obj_key(const struct watch_obj *o)
{
	return watch_tail_key(watch_obj_tail(o));
}

struct str watch_obj_name(const struct watch_obj *o)
{
	struct str key = watch_obj_key(o);
	const char *slash = key.len ? memrchr(key.p, '/', key.len) : NULL;
	return slash ? str_sub(key, (size_t)(slash - key.p) + 1, key.len) : key;
}

struct str watch_obj_namespace(const struct watch_obj *o)
{
	struct str key = watch_obj_key(o);
	ptrdiff_t group = str_find(key, '/', 0);
	ptrdiff_t resource = group < 0 ? -1 : str_find(key, '/', (size_t)group + 1);
	ptrdiff_t end = resource < 0 ? -1 : str_find(key, '/', (size_t)resource + 1);
	return end < 0 ? STR("") : str_sub(key, (size_t)resource + 1, (size_t)end);
}

static struct str text_at(const struct watch_obj *o, const struct watch_tail *t, size_t i)
{
	const char *refs = (const char *)(t + 1) + t->key_len;
	uint32_t off = 0;
	uint32_t len = 0;
	if (t->wide) {
		memcpy(&off, refs + i * 8, sizeof(off));
		memcpy(&len, refs + i * 8 + 4, sizeof(len));
	} else {
		uint32_t narrow = 0;
		memcpy(&narrow, refs + i * 4, sizeof(narrow));
		off = narrow >> LEN_BITS;
		len = narrow & ((1U << LEN_BITS) - 1);
	}
	return str_n(bytes_of(o)->data + off, len);
}

struct str watch_obj_label_key(const struct watch_obj *o, size_t i)
{
	const struct watch_tail *t = watch_obj_tail(o);
	assert(i < t->labels);
	return text_at(o, t, 2 * i);
}

struct str watch_obj_label_value(const struct watch_obj *o, size_t i)
{
	const struct watch_tail *t = watch_obj_tail(o);
	assert(i < t->labels);
	return text_at(o, t, 2 * i + 1);
}

bool watch_obj_label(const struct watch_obj *o, struct str key, struct str *ret)
{
	const struct watch_tail *t = watch_obj_tail(o);
	for (size_t i = 0; i < t->labels; i++) {
		if (!str_eq(text_at(o, t, 2 * i), key))
			continue;
		*ret = text_at(o, t, 2 * i + 1);
		return true;
	}
	return false;
}

struct str watch_obj_field(const struct watch_obj *o, size_t i)
{
	const struct watch_tail *t = watch_obj_tail(o);
	assert(i < t->fields);
	return text_at(o, t, 2 * (size_t)t->labels + i);
}

struct str watch_obj_owner_uid(const struct watch_obj *o, size_t i)
{
	const struct watch_tail *t = watch_obj_tail(o);
	assert(i < t->owners);
	return text_at(o, t, 2 * (size_t)t->labels + t->fields + i);
}
