/* Discovery: aggregated (KEP-3352) and the older documents. */
#include "kind/kind_priv.h"

/* Kinds are in order of group and version, so groups and versions are runs of s->all. */
static bool same_group(const struct kind_set *s, size_t i, size_t j)
{
	return str_eq(s->all[i]->pub.group, s->all[j]->pub.group);
}

static bool same_version(const struct kind_set *s, size_t i, size_t j)
{
	return str_eq(s->all[i]->pub.api_version, s->all[j]->pub.api_version);
}

static size_t group_end(const struct kind_set *s, size_t i)
{
	size_t n = i;
	while (n < s->len && same_group(s, i, n))
		n++;
	return n;
}

static size_t version_end(const struct kind_set *s, size_t i)
{
	size_t n = i;
	while (n < s->len && same_version(s, i, n))
		n++;
	return n;
}

static void add_member(struct buf *b, const char *name, struct str value)
{
	buf_addf(b, "\"%s\":", name);
	json_write_str(b, value);
}

/* ---- aggregated ---- */

static void add_response_kind(struct buf *b, struct str group, struct str version, struct str kind)
{
	buf_adds(b, "\"responseKind\":{");
	add_member(b, "group", group);
	buf_addc(b, ',');
	add_member(b, "version", version);
	buf_addc(b, ',');
	add_member(b, "kind", kind);
	buf_addc(b, '}');
}

static void add_subresources(struct buf *b, const struct kind *k)
{
	struct kind_subresource sub;
	for (size_t i = 0; kind_subresource_at(k, i, &sub); i++) {
		buf_adds(b, i ? "," : ",\"subresources\":[");
		buf_addf(b, "{\"subresource\":\"%s\",", sub.name);
		if (sub.kind)
			add_response_kind(b, str_of(sub.group), str_of(sub.version),
					  str_of(sub.kind));
		else
			add_response_kind(b, k->group, k->version, k->kind);
		buf_adds(b, ",\"verbs\":");
		kind_write_verbs(b, sub.verbs);
		buf_addc(b, '}');
	}
	if (kind_subresource_at(k, 0, &sub))
		buf_addc(b, ']');
}

static void add_names(struct buf *b, const struct kind *k)
{
	if (k->short_names_len) {
		buf_adds(b, ",\"shortNames\":");
		kind_write_strs(b, k->short_names, k->short_names_len);
	}
	if (k->categories_len) {
		buf_adds(b, ",\"categories\":");
		kind_write_strs(b, k->categories, k->categories_len);
	}
}

static void add_resource(struct buf *b, const struct kind *k)
{
	buf_addc(b, '{');
	add_member(b, "resource", k->plural);
	buf_addc(b, ',');
	add_response_kind(b, k->group, k->version, k->kind);
	buf_addf(b, ",\"scope\":\"%s\",", k->namespaced ? "Namespaced" : "Cluster");
	add_member(b, "singularResource", k->singular);
	buf_adds(b, ",\"verbs\":");
	kind_write_verbs(b, k->verbs);
	add_names(b, k);
	add_subresources(b, k);
	buf_addc(b, '}');
}

static void add_group(struct buf *b, const struct kind_set *s, size_t from, size_t to)
{
	struct str group = s->all[from]->pub.group;
	buf_adds(b, "{\"metadata\":{");
	if (group.len) {
		add_member(b, "name", group);
		buf_addc(b, ',');
	}
	buf_adds(b, "\"creationTimestamp\":null},\"versions\":[");
	for (size_t v = from; v < to; v = version_end(s, v)) {
		buf_adds(b, v > from ? ",{" : "{");
		add_member(b, "version", s->all[v]->pub.version);
		buf_adds(b, ",\"resources\":[");
		for (size_t i = v; i < version_end(s, v); i++) {
			if (i > v)
				buf_addc(b, ',');
			add_resource(b, &s->all[i]->pub);
		}
		buf_adds(b, "],\"freshness\":\"Current\"}");
	}
	buf_adds(b, "]}");
}

static struct bytes *make_discovery(const struct kind_set *s, bool core)
{
	struct buf b = { 0 };
	const char *sep = "";
	buf_adds(&b,
		 "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\","
		 "\"metadata\":{},\"items\":[");
	for (size_t i = 0; i < s->len; i = group_end(s, i)) {
		if ((s->all[i]->pub.group.len == 0) != core)
			continue;
		buf_adds(&b, sep);
		add_group(&b, s, i, group_end(s, i));
		sep = ",";
	}
	buf_adds(&b, "]}");
	return kind_take(&b);
}

struct bytes *kind_discovery_v2(struct kind_set *s, bool core, const char **etag)
{
	(void)pthread_mutex_lock(&s->lock);
	if (!s->discovery[core]) {
		s->discovery[core] = make_discovery(s, core);
		kind_sha256_hex(bytes_str(s->discovery[core]), s->etag[core]);
	}
	struct bytes *b = bytes_ref(s->discovery[core]);
	(void)pthread_mutex_unlock(&s->lock);
	if (etag)
		*etag = s->etag[core];
	return b;
}

/* ---- older documents ---- */

struct bytes *kind_api_versions(struct kind_set *s)
{
	struct buf b = { 0 };
	const char *sep = "";
	buf_adds(&b, "{\"kind\":\"APIVersions\",\"versions\":[");
	for (size_t i = 0; i < s->len && !s->all[i]->pub.group.len; i = version_end(s, i)) {
		buf_adds(&b, sep);
		json_write_str(&b, s->all[i]->pub.version);
		sep = ",";
	}
	buf_adds(&b, "],\"serverAddressByClientCIDRs\":[{\"clientCIDR\":\"0.0.0.0/0\","
		     "\"serverAddress\":\"\"}]}");
	return kind_take(&b);
}

static void add_group_version(struct buf *b, const struct kind *k)
{
	buf_addc(b, '{');
	add_member(b, "groupVersion", k->api_version);
	buf_addc(b, ',');
	add_member(b, "version", k->version);
	buf_addc(b, '}');
}

static void add_api_group(struct buf *b, const struct kind_set *s, size_t from, size_t to)
{
	add_member(b, "name", s->all[from]->pub.group);
	buf_adds(b, ",\"versions\":[");
	for (size_t v = from; v < to; v = version_end(s, v)) {
		if (v > from)
			buf_addc(b, ',');
		add_group_version(b, &s->all[v]->pub);
	}
	buf_adds(b, "],\"preferredVersion\":");
	add_group_version(b, &s->all[from]->pub);
}

struct bytes *kind_api_group_list(struct kind_set *s)
{
	struct buf b = { 0 };
	const char *sep = "";
	buf_adds(&b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
	for (size_t i = 0; i < s->len; i = group_end(s, i)) {
		if (!s->all[i]->pub.group.len)
			continue;
		buf_addf(&b, "%s{", sep);
		add_api_group(&b, s, i, group_end(s, i));
		buf_addc(&b, '}');
		sep = ",";
	}
	buf_adds(&b, "]}");
	return kind_take(&b);
}

struct bytes *kind_api_group(struct kind_set *s, struct str group)
{
	struct buf b = { 0 };
	for (size_t i = 0; group.len && i < s->len; i = group_end(s, i)) {
		if (!str_eq(s->all[i]->pub.group, group))
			continue;
		buf_adds(&b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
		add_api_group(&b, s, i, group_end(s, i));
		buf_addc(&b, '}');
		return kind_take(&b);
	}
	return NULL;
}

static void add_api_resource(struct buf *b, const struct kind *k)
{
	struct kind_subresource sub;
	buf_addc(b, '{');
	add_member(b, "name", k->plural);
	buf_addc(b, ',');
	add_member(b, "singularName", k->singular);
	buf_addf(b, ",\"namespaced\":%s,", k->namespaced ? "true" : "false");
	add_member(b, "kind", k->kind);
	buf_adds(b, ",\"verbs\":");
	kind_write_verbs(b, k->verbs);
	add_names(b, k);
	buf_addc(b, '}');
	for (size_t i = 0; kind_subresource_at(k, i, &sub); i++) {
		buf_addf(b, ",{\"name\":\"%.*s/%s\",\"singularName\":\"\",\"namespaced\":%s",
			 STR_ARG(k->plural), sub.name, k->namespaced ? "true" : "false");
		if (sub.kind && sub.group[0])
			buf_addf(b, ",\"group\":\"%s\",\"version\":\"%s\"", sub.group, sub.version);
		buf_addc(b, ',');
		add_member(b, "kind", sub.kind ? str_of(sub.kind) : k->kind);
		buf_adds(b, ",\"verbs\":");
		kind_write_verbs(b, sub.verbs);
		buf_addc(b, '}');
	}
}

struct bytes *kind_api_resource_list(struct kind_set *s, struct str group, struct str version)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < s->len; i = version_end(s, i)) {
		const struct kind *k = &s->all[i]->pub;
		if (!str_eq(k->group, group) || !str_eq(k->version, version))
			continue;
		buf_adds(&b, "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",");
		add_member(&b, "groupVersion", k->api_version);
		buf_adds(&b, ",\"resources\":[");
		for (size_t n = i; n < version_end(s, i); n++) {
			if (n > i)
				buf_addc(&b, ',');
			add_api_resource(&b, &s->all[n]->pub);
		}
		buf_adds(&b, "]}");
		return kind_take(&b);
	}
	return NULL;
}
