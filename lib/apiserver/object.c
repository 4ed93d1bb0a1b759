/* Objects as they lie in the store and the cache: keys, revisions, versions, forms. */
#include "apiserver/apiserver_priv.h"
#include "sys/clock.h"
#include "text/rfc3339.h"
#include "text/uuid.h"

#include <assert.h>

struct str object_key(struct arena *a, const struct kind *k, struct str ns, struct str name)
{
	const struct str parts[] = { k->resource_key, k->namespaced ? ns : STR_NONE, name };
	size_t len = parts[0].len + 1 + parts[1].len + 1 + parts[2].len;
	char *p = arena_alloc(a, len + 1);
	for (size_t i = 0, at = 0; i < 3; i++) {
		if (parts[i].len)
			memcpy(p + at, parts[i].p, parts[i].len);
		at += parts[i].len;
		p[at] = '/';
		at++;
	}
	p[len] = '\0';
	return str_n(p, len);
}

struct str object_prefix(struct arena *a, const struct kind *k, struct str ns)
{
	if (!k->namespaced)
		return arena_strf(a, "%.*s//", STR_ARG(k->resource_key));
	if (ns.len == 0)
		return arena_strf(a, "%.*s/", STR_ARG(k->resource_key));
	return arena_strf(a, "%.*s/%.*s/", STR_ARG(k->resource_key), STR_ARG(ns));
}

#define API_VERSION_MARK "{\"apiVersion\":\""
#define METADATA_MARK    "\"metadata\":{"

/*
 * Where the text behind the stored apiVersion begins, when it is not the one that
 * k has; else 0.  The stored one may also be that of an earlier storage version.
 */
static size_t foreign_version(const struct kind *k, struct str json)
{
	size_t at = sizeof(API_VERSION_MARK) - 1;
	struct str v = str_sub(json, at, at + k->api_version.len);
	if (str_eq(v, k->api_version) && json.len > at + v.len && json.p[at + v.len] == '"')
		return 0;
	ptrdiff_t end = str_find(json, '"', at);
	assert(end > 0);
	return (size_t)end;
}

bool object_is_foreign(const struct kind *k, struct str json)
{
	return foreign_version(k, json) != 0;
}

struct bytes *object_with_rev(const struct kind *k, const struct bytes *value, int64_t rev)
{
	struct str json = bytes_str(value);
	struct buf out = { 0 };
	buf_reserve(&out, json.len + 64);
	size_t skip = foreign_version(k, json);
	if (skip)
		buf_addf(&out, API_VERSION_MARK "%.*s", STR_ARG(k->api_version));
	ptrdiff_t meta = str_find_str(json, STR(METADATA_MARK), 0);
	assert(meta >= 0);
	size_t at = (size_t)meta + sizeof(METADATA_MARK) - 1;
	buf_add_str(&out, str_sub(json, skip, at));
	if (rev > 0)
		buf_addf(&out, "\"resourceVersion\":\"%lld\",", (long long)rev);
	buf_add_str(&out, str_sub(json, at, json.len));
	struct bytes *b = bytes_of_str(buf_str(&out));
	buf_fini(&out);
	return b;
}

struct bytes *object_in_version(const struct kind *k, struct str json)
{
	size_t skip = foreign_version(k, json);
	struct buf out = { 0 };
	if (skip)
		buf_addf(&out, API_VERSION_MARK "%.*s", STR_ARG(k->api_version));
	buf_add_str(&out, str_sub(json, skip, json.len));
	struct bytes *b = bytes_of_str(buf_str(&out));
	buf_fini(&out);
	return b;
}

struct bytes *object_bytes(const struct kind *k, struct watch_obj *o)
{
	if (!object_is_foreign(k, watch_obj_json(o)))
		return bytes_ref(watch_obj_bytes(o));
	return object_in_version(k, watch_obj_json(o));
}

bool object_same(const struct watch_obj *o, const struct bytes *value)
{
	struct str now = watch_obj_json(o), want = bytes_str(value);
	ptrdiff_t meta = str_find_str(want, STR(METADATA_MARK), 0);
	if (meta < 0 || now.len <= want.len)
		return false;
	size_t at = (size_t)meta + sizeof(METADATA_MARK) - 1;
	size_t more = now.len - want.len; /* "resourceVersion":"N", */
	return memcmp(now.p, want.p, at) == 0 &&
	       memcmp(now.p + at + more, want.p + at, want.len - at) == 0 &&
	       str_starts(str_sub(now, at, now.len), STR("\"resourceVersion\":\""));
}

int object_parse(struct arena *a, const struct kind *k, const struct watch_obj *o, struct json *ret,
		 struct error *err)
{
	/* What was stored is trusted in size: limits are those of the writes that let it in. */
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = SIZE_MAX;
	limits.values_max = UINT32_MAX;
	int rc = json_parse(a, watch_obj_json(o), &limits, ret, err);
	if (rc)
		return error_wrap(err, "stored object");
	if (!str_eq(json_str(json_getc(ret, "apiVersion")), k->api_version))
		json_setc(a, ret, "apiVersion", json_of_str(k->api_version));
	return 0;
}

struct str object_text(const struct json *obj, const char *field)
{
	return json_str(json_dig(obj, "metadata", field, NULL));
}

void object_drop_empty(struct json *meta)
{
	static const char *const optional[] = { "annotations", "finalizers", "labels",
						"ownerReferences" };
	for (size_t i = 0; i < sizeof(optional) / sizeof(*optional); i++) {
		const struct json *v = json_getc(meta, optional[i]);
		bool container = v && (v->type == JSON_ARRAY || v->type == JSON_OBJECT);
		if (v && (v->type == JSON_NULL || (container && v->len == 0)))
			json_removec(meta, optional[i]);
	}
}

bool object_deleting(const struct json *obj)
{
	return object_text(obj, "deletionTimestamp").len > 0;
}

struct str object_now(struct arena *a)
{
	struct buf text = { 0 };
	rfc3339_write(&text, clock_unix_ms() / 1000);
	struct str s = arena_str(a, buf_str(&text));
	buf_fini(&text);
	return s;
}

struct str object_uuid(struct arena *a)
{
	uint8_t random[16];
	char text[UUID_LEN + 1];
	clock_random(random, sizeof(random));
	uuid_v4(random, text);
	return arena_str(a, str_of(text));
}

static enum kind_include include_of(const struct req *r)
{
	if (str_is(r->opt.include_object, "Object"))
		return KIND_INCLUDE_OBJECT;
	return str_is(r->opt.include_object, "None") ? KIND_INCLUDE_NONE : KIND_INCLUDE_METADATA;
}

void object_table_head(const struct accept *accept, struct buf *out)
{
	buf_addf(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":{",
		 accept_version(accept));
}

void object_row(const struct req *r, struct arena *scratch, struct str json, struct buf *out)
{
	kind_table_row(r->kind, scratch, json, include_of(r), clock_unix_ms() / 1000, out);
}

static struct str revision_of(struct str json)
{
	static const char mark[] = METADATA_MARK "\"resourceVersion\":\"";
	ptrdiff_t at = str_find_str(json, str_n(mark, sizeof(mark) - 1), 0);
	if (at < 0)
		return STR_NONE;
	size_t from = (size_t)at + sizeof(mark) - 1;
	ptrdiff_t to = str_find(json, '"', from);
	return to < 0 ? STR_NONE : str_sub(json, from, (size_t)to);
}

void object_form(const struct req *r, struct str json, struct buf *out)
{
	struct arena scratch = { 0 };
	switch (r->accept.as) {
	case AS_OBJECT:
		buf_add_str(out, json);
		break;
	case AS_PARTIAL:
		kind_partial_metadata(accept_version(&r->accept), json, out);
		break;
	case AS_TABLE: {
		struct str rev = revision_of(json);
		object_table_head(&r->accept, out);
		if (rev.len)
			buf_addf(out, "\"resourceVersion\":\"%.*s\"", STR_ARG(rev));
		buf_adds(out, "},");
		buf_add_str(out, kind_table_columns(r->kind));
		buf_adds(out, ",\"rows\":[");
		object_row(r, &scratch, json, out);
		buf_adds(out, "]}");
		break;
	}
	}
	arena_fini(&scratch);
}
