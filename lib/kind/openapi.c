/* OpenAPI v3 documents: the schemas.  Paths are in openapi_paths.c. */
#include "base/map.h"
#include "base/mem.h"
#include "kind/openapi_priv.h"

static const char meta_prefix[] = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/* ---- schemas ---- */

static void write_schema(struct openapi *o, const struct json *doc);

/* The definition is to be part of the document. */
static void need(struct openapi *o, struct str name)
{
	if (map_get(&o->seen, name))
		return;
	(void)map_set(&o->seen, name, o);
	mem_grow(o->queue, o->queue_len, o->queue_cap);
	o->queue[o->queue_len++] = name;
}

void openapi_write_ref(struct openapi *o, struct str name)
{
	buf_adds(o->out, "{\"$ref\":\"#/components/schemas/");
	buf_add_str(o->out, name);
	buf_adds(o->out, "\"}");
	need(o, name);
}

static void write_schema_list(struct openapi *o, const struct json *list)
{
	buf_addc(o->out, '[');
	for (size_t i = 0; i < json_len(list); i++) {
		if (i)
			buf_addc(o->out, ',');
		write_schema(o, json_at(list, i));
	}
	buf_addc(o->out, ']');
}

/* "a":{…},"b":{…}; skips what is in `but` (NULL-ended, or NULL). */
static void write_properties(struct openapi *o, const struct json *props, const char *const *but,
			     bool first)
{
	for (size_t i = 0; json_is(props, JSON_OBJECT) && i < json_len(props); i++) {
		const struct json_member *m = &props->members[i];
		bool skip = false;
		for (const char *const *b = but; b && *b; b++)
			skip |= str_is(json_str(&m->key), *b);
		if (skip)
			continue;
		if (!first)
			buf_addc(o->out, ',');
		first = false;
		json_write(o->out, &m->key);
		buf_addc(o->out, ':');
		write_schema(o, &m->value);
	}
}

/* What a number or a string may be, said in the words of OpenAPI too. */
static void write_int_or_string(struct openapi *o, const struct json *doc)
{
	bool quantity = str_is(json_str(json_getc(doc, "x-rctl-format")), "quantity");
	if (json_getc(doc, "anyOf") || json_getc(doc, "oneOf") || json_getc(doc, "allOf"))
		buf_adds(o->out, "true");
	else
		buf_addf(o->out, "true,\"oneOf\":[{\"type\":\"%s\"},{\"type\":\"string\"}]",
			 quantity ? "number" : "integer");
}

static void write_keyword(struct openapi *o, const struct json *doc, const struct json_member *m)
{
	static const char *const lists[] = { "allOf", "anyOf", "oneOf" };
	struct str name = json_str(&m->key);
	json_write(o->out, &m->key);
	buf_addc(o->out, ':');
	for (size_t i = 0; i < 3; i++) {
		if (str_is(name, lists[i])) {
			write_schema_list(o, &m->value);
			return;
		}
	}
	if (str_is(name, "properties")) {
		buf_addc(o->out, '{');
		write_properties(o, &m->value, NULL, true);
		buf_addc(o->out, '}');
	} else if (str_is(name, "items") || str_is(name, "not") ||
		   (str_is(name, "additionalProperties") && m->value.type == JSON_OBJECT)) {
		write_schema(o, &m->value);
	} else if (str_is(name, "x-kubernetes-int-or-string") && json_bool(&m->value, false)) {
		write_int_or_string(o, doc);
	} else {
		json_write(o->out, &m->value);
	}
}

/* The members of a schema but those that are ours alone, the reference and those in `but`. */
static void write_keywords(struct openapi *o, const struct json *doc, const char *const *but,
			   bool first)
{
	for (size_t i = 0; json_is(doc, JSON_OBJECT) && i < json_len(doc); i++) {
		struct str name = json_str(&doc->members[i].key);
		bool skip = str_starts(name, STR("x-rctl-")) || str_is(name, "$ref");
		for (const char *const *b = but; b && *b; b++)
			skip |= str_is(name, *b);
		if (skip)
			continue;
		if (!first)
			buf_addc(o->out, ',');
		first = false;
		write_keyword(o, doc, &doc->members[i]);
	}
}

static size_t own_keywords(const struct json *doc)
{
	size_t n = 0;
	for (size_t i = 0; i < json_len(doc); i++)
		n += !str_starts(json_str(&doc->members[i].key), STR("x-rctl-"));
	return n;
}

static void write_schema(struct openapi *o, const struct json *doc)
{
	struct str ref = json_str(json_getc(doc, "$ref"));
	if (!ref.len) {
		buf_addc(o->out, '{');
		write_keywords(o, doc, NULL, true);
		buf_addc(o->out, '}');
	} else if (own_keywords(doc) == 1) {
		openapi_write_ref(o, ref);
	} else {
		buf_adds(o->out, "{\"allOf\":[");
		openapi_write_ref(o, ref);
		buf_addc(o->out, ']');
		write_keywords(o, doc, NULL, false);
		buf_addc(o->out, '}');
	}
}

/* ---- kinds ---- */

void openapi_write_gvk(struct openapi *o, const struct kind *k, struct str kind)
{
	buf_adds(o->out, "\"x-kubernetes-group-version-kind\":{\"group\":");
	json_write_str(o->out, k->group);
	buf_adds(o->out, ",\"version\":");
	json_write_str(o->out, k->version);
	buf_adds(o->out, ",\"kind\":");
	json_write_str(o->out, kind);
	buf_addc(o->out, '}');
}

static void write_gvks(struct openapi *o, const struct kind *k, struct str kind)
{
	buf_adds(o->out, ",\"x-kubernetes-group-version-kind\":[{\"group\":");
	json_write_str(o->out, k->group);
	buf_adds(o->out, ",\"version\":");
	json_write_str(o->out, k->version);
	buf_adds(o->out, ",\"kind\":");
	json_write_str(o->out, kind);
	buf_adds(o->out, "}]");
}

static void write_meta_ref(struct openapi *o, const char *type)
{
	openapi_write_ref(o, arena_strf(&o->arena, "%s%s", meta_prefix, type));
}

static void write_type_properties(struct openapi *o)
{
	buf_adds(
		o->out,
		"\"apiVersion\":{\"type\":\"string\",\"description\":\"The version of the API "
		"that this object is written in, as group/version; for the core group the version "
		"alone.\"},"
		"\"kind\":{\"type\":\"string\",\"description\":\"What kind of object this is.\"},"
		"\"metadata\":{\"description\":\"What every object says about itself: name, labels "
		"and the like.\",\"allOf\":[");
}

static void write_kind(struct openapi *o, const struct kind_info *k)
{
	static const char *const ours[] = { "apiVersion", "kind", "metadata", NULL };
	static const char *const apart[] = { "properties", "x-kubernetes-group-version-kind",
					     NULL };
	const struct json *doc = k->pub.schema->source;
	struct str ref = json_str(json_getc(doc, "$ref"));
	if (ref.len)
		doc = schema_find(o->set->units[0]->schemas, ref)->source;
	json_write_str(o->out, k->definition);
	buf_adds(o->out, ":{\"properties\":{");
	write_type_properties(o);
	write_meta_ref(o, "ObjectMeta");
	buf_adds(o->out, "]}");
	write_properties(o, json_getc(doc, "properties"), ours, false);
	buf_addc(o->out, '}');
	write_keywords(o, doc, apart, false);
	write_gvks(o, &k->pub, k->pub.kind);
	buf_adds(o->out, "},");

	struct str list = openapi_list_name(o, k);
	json_write_str(o->out, list);
	buf_adds(o->out, ":{\"type\":\"object\",\"description\":\"A list of objects.\","
			 "\"required\":[\"items\"],\"properties\":{");
	write_type_properties(o);
	write_meta_ref(o, "ListMeta");
	buf_adds(o->out, "]},\"items\":{\"type\":\"array\",\"description\":\"The objects.\","
			 "\"items\":");
	openapi_write_ref(o, k->definition);
	buf_adds(o->out, "}}");
	write_gvks(o, &k->pub, k->pub.list_kind);
	buf_addc(o->out, '}');
}

struct str openapi_list_name(struct openapi *o, const struct kind_info *k)
{
	return kind_definition_name(&o->arena, k->pub.group, k->pub.version, k->pub.list_kind);
}

static bool in_version(const struct kind_info *k, struct str group, struct str version)
{
	return str_eq(k->pub.group, group) && str_eq(k->pub.version, version);
}

static void write_components(struct openapi *o, struct str group, struct str version)
{
	static const char *const always[] = { "DeleteOptions", "Patch", "Status" };
	const char *sep = "";
	for (size_t i = 0; i < o->set->len; i++) {
		const struct kind_info *k = o->set->all[i];
		if (!in_version(k, group, version))
			continue;
		buf_adds(o->out, sep);
		sep = ",";
		(void)map_set(&o->seen, k->definition, o);
		(void)map_set(&o->seen, openapi_list_name(o, k), o);
		write_kind(o, k);
	}
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		need(o, arena_strf(&o->arena, "%s%s", meta_prefix, always[i]));
	for (size_t i = 0; i < o->queue_len; i++) {
		const struct schema *s = schema_find(o->set->units[0]->schemas, o->queue[i]);
		if (!s || !s->source)
			continue;
		buf_adds(o->out, sep);
		sep = ",";
		json_write_str(o->out, o->queue[i]);
		buf_addc(o->out, ':');
		write_schema(o, s->source);
	}
}

/* ---- hashes ---- */

const char *openapi_hash(struct kind_set *s, struct str of)
{
	(void)pthread_mutex_lock(&s->lock);
	char *hash = map_get(s->hashes, of);
	if (!hash) {
		hash = mem_calloc(65, 1);
		kind_sha256_hex(of, hash);
		(void)map_set(s->hashes, of, hash);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return hash;
}

/* Of everything that the document of a group version is made of. */
static const char *hash_of(struct kind_set *s, struct str group, struct str version)
{
	struct buf b = { 0 };
	buf_addf(&b, "%.*s/%.*s %s %s", STR_ARG(group), STR_ARG(version), RCTL_VERSION,
		 s->units[0]->hash);
	for (size_t i = 0; i < s->len; i++)
		if (in_version(s->all[i], group, version))
			buf_addf(&b, " %s", s->all[i]->unit->hash);
	const char *hash = openapi_hash(s, buf_str(&b));
	buf_fini(&b);
	return hash;
}

/* ---- documents ---- */

struct bytes *kind_openapi_index(struct kind_set *s)
{
	struct buf b = { 0 };
	buf_adds(&b, "{\"paths\":{");
	for (size_t i = 0; i < s->len; i++) {
		const struct kind *k = &s->all[i]->pub;
		if (i && in_version(s->all[i - 1], k->group, k->version))
			continue;
		const char *root = k->group.len ? "apis" : "api";
		buf_addf(&b,
			 "%s\"%s/%.*s\":{\"serverRelativeURL\":\"/openapi/v3/%s/%.*s?hash=%s\"}",
			 i ? "," : "", root, STR_ARG(k->api_version), root, STR_ARG(k->api_version),
			 hash_of(s, k->group, k->version));
	}
	buf_adds(&b, "}}");
	return kind_take(&b);
}

struct bytes *kind_openapi(struct kind_set *s, struct str group, struct str version,
			   const char **hash)
{
	struct buf b = { 0 };
	struct openapi o = { .set = s, .out = &b };
	if (!version.len || !kind_group_exists(s, group, version))
		return NULL;
	buf_adds(&b,
		 "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"rctl\",\"version\":\"" RCTL_VERSION
		 "\"},\"paths\":{");
	openapi_write_paths(&o, group, version);
	buf_adds(&b, "},\"components\":{\"schemas\":{");
	write_components(&o, group, version);
	buf_adds(&b, "}}}");
	if (hash)
		*hash = hash_of(s, group, version);
	map_fini(&o.seen);
	mem_free(o.queue);
	arena_fini(&o.arena);
	return kind_take(&b);
}
