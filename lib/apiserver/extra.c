#include "apiserver/extra.h"

#include "base/mem.h"

void apiserver_add_group(struct apiserver *s, const char *group, const char *version,
			 const char *resources_json)
{
	if (s->groups_len == GROUPS_MAX)
		return;
	s->groups[s->groups_len++] =
		(struct served_group){ .group = mem_strdup(group),
				       .version = mem_strdup(version),
				       .resources = mem_strdup(resources_json) };
}

static struct json text(const char *s)
{
	return json_of_cstr(s);
}

static struct bytes *to_bytes(const struct json *doc)
{
	struct buf out = { 0 };
	json_write(&out, doc);
	buf_addc(&out, '\n');
	struct bytes *b = bytes_of_str(buf_str(&out));
	buf_fini(&out);
	return b;
}

/* One resource of an APIResourceList as an entry of the aggregated form. */
static struct json aggregated_resource(struct arena *a, const struct json *r,
				       const struct served_group *g)
{
	struct json kind = json_object(), out = json_object();
	json_setc(a, &kind, "group", text(g->group));
	json_setc(a, &kind, "version", text(g->version));
	json_setc(a, &kind, "kind", json_of_str(json_str(json_getc(r, "kind"))));
	json_setc(a, &out, "resource", json_of_str(json_str(json_getc(r, "name"))));
	json_setc(a, &out, "responseKind", kind);
	json_setc(a, &out, "scope",
		  text(json_bool(json_getc(r, "namespaced"), false) ? "Namespaced" : "Cluster"));
	json_setc(a, &out, "singularResource", json_of_str(json_str(json_getc(r, "singularName"))));
	const struct json *verbs = json_getc(r, "verbs");
	json_setc(a, &out, "verbs", verbs ? *verbs : json_array());
	return out;
}

static struct json aggregated_group(struct arena *a, const struct served_group *g)
{
	struct json resources = json_array(), list = { 0 };
	if (json_parse(a, str_of(g->resources), NULL, &list, NULL) == 0)
		for (size_t i = 0; i < json_len(&list); i++)
			json_push(a, &resources, aggregated_resource(a, json_at(&list, i), g));
	struct json version = json_object(), versions = json_array(), group = json_object(),
		    meta = json_object();
	json_setc(a, &version, "version", text(g->version));
	json_setc(a, &version, "resources", resources);
	json_setc(a, &version, "freshness", text("Current"));
	json_push(a, &versions, version);
	json_setc(a, &meta, "name", text(g->group));
	json_setc(a, &meta, "creationTimestamp", (struct json){ 0 });
	json_setc(a, &group, "metadata", meta);
	json_setc(a, &group, "versions", versions);
	return group;
}

/* {"name":G,"versions":[{"groupVersion":"G/V","version":"V"}],"preferredVersion":{…}} */
static struct json legacy_group(struct arena *a, const struct served_group *g)
{
	struct json version = json_object(), versions = json_array(), group = json_object();
	json_setc(a, &version, "groupVersion",
		  json_of_str(arena_strf(a, "%s/%s", g->group, g->version)));
	json_setc(a, &version, "version", text(g->version));
	json_push(a, &versions, version);
	json_setc(a, &group, "name", text(g->group));
	json_setc(a, &group, "versions", versions);
	json_setc(a, &group, "preferredVersion", version);
	return group;
}

/* The document with one entry for each group of a route appended to the array `member`. */
static struct bytes *with_groups(struct apiserver *s, struct bytes *doc, const char *member,
				 struct json (*make)(struct arena *, const struct served_group *))
{
	struct arena a = { 0 };
	struct json root = { 0 };
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = SIZE_MAX;
	struct bytes *out = NULL;
	if (json_parse(&a, bytes_str(doc), &limits, &root, NULL) == 0) {
		struct json *list = json_getc(&root, member);
		for (size_t i = 0; json_is(list, JSON_ARRAY) && i < s->groups_len; i++)
			json_push(&a, list, make(&a, &s->groups[i]));
		out = to_bytes(&root);
	}
	arena_fini(&a);
	if (!out)
		return doc;
	bytes_unref(doc);
	return out;
}

struct bytes *extra_discovery(struct apiserver *s, struct kind_set *kinds, bool core,
			      struct arena *a, const char **etag)
{
	struct bytes *doc = kind_discovery_v2(kinds, core, etag);
	if (core || s->groups_len == 0)
		return doc;
	/* Groups of routes never change while the process runs. */
	*etag = arena_printf(a, "%s-%zu", *etag, s->groups_len);
	return with_groups(s, doc, "items", aggregated_group);
}

struct bytes *extra_group_list(struct apiserver *s, struct kind_set *kinds)
{
	struct bytes *doc = kind_api_group_list(kinds);
	return s->groups_len ? with_groups(s, doc, "groups", legacy_group) : doc;
}

static const struct served_group *find(const struct apiserver *s, struct str group)
{
	for (size_t i = 0; i < s->groups_len; i++)
		if (str_is(group, s->groups[i].group))
			return &s->groups[i];
	return NULL;
}

struct bytes *extra_group(struct apiserver *s, struct kind_set *kinds, struct str group)
{
	const struct served_group *g = find(s, group);
	if (!g)
		return kind_api_group(kinds, group);
	struct arena a = { 0 };
	struct json doc = json_object();
	json_setc(&a, &doc, "kind", text("APIGroup"));
	json_setc(&a, &doc, "apiVersion", text("v1"));
	struct json inner = legacy_group(&a, g);
	for (size_t i = 0; i < json_len(&inner); i++)
		json_set(&a, &doc, json_str(&inner.members[i].key), inner.members[i].value);
	struct bytes *b = to_bytes(&doc);
	arena_fini(&a);
	return b;
}

struct bytes *extra_resource_list(struct apiserver *s, struct kind_set *kinds, struct str group,
				  struct str version)
{
	const struct served_group *g = find(s, group);
	if (!g || !str_is(version, g->version))
		return kind_api_resource_list(kinds, group, version);
	struct buf out = { 0 };
	buf_addf(&out,
		 "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"%s/%s\","
		 "\"resources\":%s}\n",
		 g->group, g->version, g->resources);
	struct bytes *b = bytes_of_str(buf_str(&out));
	buf_fini(&out);
	return b;
}
