/* What resources a server has: aggregated discovery (KEP-3352), else the older one document a group version. */
#include "base/buf.h"
#include "base/mem.h"
#include "client/client.h"
#include "client/client_priv.h"

#include <string.h>

enum { RESOURCES_MAX = 4096, GROUP_VERSIONS_MAX = 512 };

#define ACCEPT_AGGREGATED \
	"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," \
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/" \
	"json"

struct client_discovery {
	struct arena arena;
	struct client_resource *list;
	size_t len, cap;
};

/* Fetches one document after the other; `todo` grows while older documents are read. */
struct discoverer {
	struct client *client;
	struct client_discovery *d;
	char **todo;
	size_t todo_len, todo_cap, at;
	void (*done)(void *arg, struct client_discovery *d, const struct error *err);
	void *arg;
};

static void next(struct discoverer *w);

static struct client_resource *add(struct client_discovery *d)
{
	if (d->len >= RESOURCES_MAX)
		return NULL;
	mem_grow(d->list, d->len, d->cap);
	d->list[d->len] = (struct client_resource){ 0 };
	return &d->list[d->len++];
}

static struct str keep(struct client_discovery *d, const struct json *j)
{
	return arena_str(&d->arena, json_str(j));
}

static size_t keep_list(struct client_discovery *d, const struct json *j, struct str out[8])
{
	size_t n = 0;
	for (size_t i = 0; i < json_len(j) && n < 8; i++)
		out[n++] = keep(d, json_at(j, i));
	return n;
}

/* ---- aggregated ---- */

static void read_resource(struct client_discovery *d, struct str group, struct str version,
			  const struct json *r)
{
	struct client_resource *x = add(d);
	if (!x)
		return;
	x->group = group;
	x->version = version;
	x->plural = keep(d, json_getc(r, "resource"));
	x->singular = keep(d, json_getc(r, "singularResource"));
	x->kind = keep(d, json_dig(r, "responseKind", "kind", NULL));
	x->namespaced = str_is(json_str(json_getc(r, "scope")), "Namespaced");
	x->short_names_len = keep_list(d, json_getc(r, "shortNames"), x->short_names);
	x->categories_len = keep_list(d, json_getc(r, "categories"), x->categories);
	const struct json *subs = json_getc(r, "subresources");
	for (size_t i = 0; i < json_len(subs); i++) {
		struct str name = json_str(json_getc(json_at(subs, i), "subresource"));
		x->has_status |= str_is(name, "status");
		x->has_scale |= str_is(name, "scale");
	}
}

static void read_aggregated(struct client_discovery *d, const struct json *doc)
{
	const struct json *groups = json_getc(doc, "items");
	for (size_t g = 0; g < json_len(groups); g++) {
		struct str group = keep(d, json_dig(json_at(groups, g), "metadata", "name", NULL));
		const struct json *versions = json_getc(json_at(groups, g), "versions");
		for (size_t v = 0; v < json_len(versions); v++) {
			struct str version = keep(d, json_getc(json_at(versions, v), "version"));
			const struct json *list = json_getc(json_at(versions, v), "resources");
			for (size_t i = 0; i < json_len(list); i++)
				read_resource(d, group, version, json_at(list, i));
		}
	}
}

/* ---- older servers ---- */

static void todo(struct discoverer *w, const char *prefix, struct str rest)
{
	if (w->todo_len >= GROUP_VERSIONS_MAX)
		return;
	struct buf b = { 0 };
	buf_adds(&b, prefix);
	buf_add_str(&b, rest);
	mem_grow(w->todo, w->todo_len, w->todo_cap);
	w->todo[w->todo_len++] = mem_strdup(buf_cstr(&b));
	buf_fini(&b);
}

static struct client_resource *find_plural(struct client_discovery *d, struct str group,
					   struct str version, struct str plural)
{
	for (size_t i = 0; i < d->len; i++)
		if (str_eq(d->list[i].plural, plural) && str_eq(d->list[i].group, group) &&
		    str_eq(d->list[i].version, version))
			return &d->list[i];
	return NULL;
}

static void read_resource_list(struct client_discovery *d, const struct json *doc)
{
	struct str gv = keep(d, json_getc(doc, "groupVersion"));
	ptrdiff_t slash = str_find(gv, '/', 0);
	struct str group = slash < 0 ? STR("") : str_sub(gv, 0, (size_t)slash);
	struct str version = slash < 0 ? gv : str_sub(gv, (size_t)slash + 1, gv.len);
	const struct json *list = json_getc(doc, "resources");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *r = json_at(list, i);
		struct str name = keep(d, json_getc(r, "name"));
		ptrdiff_t sub = str_find(name, '/', 0);
		struct client_resource *x = NULL;
		if (sub >= 0) {
			x = find_plural(d, group, version, str_sub(name, 0, (size_t)sub));
			struct str rest = str_sub(name, (size_t)sub + 1, name.len);
			if (x) {
				x->has_status |= str_is(rest, "status");
				x->has_scale |= str_is(rest, "scale");
			}
			continue;
		}
		x = add(d);
		if (!x)
			return;
		x->group = group;
		x->version = version;
		x->plural = name;
		x->singular = keep(d, json_getc(r, "singularName"));
		x->kind = keep(d, json_getc(r, "kind"));
		x->namespaced = json_bool(json_getc(r, "namespaced"), false);
		x->short_names_len = keep_list(d, json_getc(r, "shortNames"), x->short_names);
		x->categories_len = keep_list(d, json_getc(r, "categories"), x->categories);
	}
}

static void read_document(struct discoverer *w, const struct json *doc)
{
	struct str kind = json_str(json_getc(doc, "kind"));
	if (str_is(kind, "APIGroupDiscoveryList")) {
		read_aggregated(w->d, doc);
	} else if (str_is(kind, "APIResourceList")) {
		read_resource_list(w->d, doc);
	} else if (str_is(kind, "APIVersions")) {
		const struct json *v = json_getc(doc, "versions");
		for (size_t i = 0; i < json_len(v); i++)
			todo(w, "/api/", json_str(json_at(v, i)));
	} else if (str_is(kind, "APIGroupList")) {
		const struct json *groups = json_getc(doc, "groups");
		for (size_t i = 0; i < json_len(groups); i++)
			todo(w, "/apis/",
			     json_str(json_dig(json_at(groups, i), "preferredVersion",
					       "groupVersion", NULL)));
	}
}

/* ---- driving ---- */

static void finish(struct discoverer *w, const struct error *err)
{
	struct client_discovery *d = w->d;
	for (size_t i = 0; i < w->todo_len; i++)
		mem_free(w->todo[i]);
	mem_free(w->todo);
	if (err)
		d = client_discovery_free(d);
	w->done(w->arg, d, err);
	mem_free(w);
}

static void on_document(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct discoverer *w = arg;
	/* a group whose server is away must not hide the others */
	if (err && (err->code == ERR_UNAVAILABLE || err->code == ERR_NOT_FOUND) && w->at > 2 &&
	    status) {
		next(w);
		return;
	}
	struct error bad = { 0 };
	struct arena a = { 0 };
	struct json doc;
	if (!err) {
		struct json_limits limits = JSON_LIMITS;
		limits.bytes_max = 64U << 20;
		if (json_parse(&a, body, &limits, &doc, &bad) == 0)
			read_document(w, &doc);
		else
			err = &bad;
	}
	arena_fini(&a);
	if (err)
		finish(w, err);
	else
		next(w);
}

static void next(struct discoverer *w)
{
	if (w->at == w->todo_len) {
		finish(w, NULL);
		return;
	}
	(void)client_send(w->client, &(struct client_request){ .method = "GET",
							       .path = w->todo[w->at++],
							       .accept = ACCEPT_AGGREGATED,
							       .done = on_document,
							       .arg = w });
}

void client_discover(struct client *c,
		     void (*done)(void *arg, struct client_discovery *d, const struct error *err),
		     void *arg)
{
	struct discoverer *w = mem_new(struct discoverer, 1);
	w->client = c;
	w->d = mem_new(struct client_discovery, 1);
	w->done = done;
	w->arg = arg;
	todo(w, "/api", STR(""));
	todo(w, "/apis", STR(""));
	next(w);
}

struct client_discovery *client_discovery_free(struct client_discovery *d)
{
	if (!d)
		return NULL;
	arena_fini(&d->arena);
	mem_free(d->list);
	mem_free(d);
	return NULL;
}

size_t client_discovery_count(const struct client_discovery *d)
{
	return d->len;
}

const struct client_resource *client_discovery_at(const struct client_discovery *d, size_t i)
{
	return i < d->len ? &d->list[i] : NULL;
}

static bool named(const struct client_resource *r, struct str name)
{
	if (str_eq_nocase(r->plural, name) || str_eq_nocase(r->singular, name) ||
	    str_eq_nocase(r->kind, name))
		return true;
	for (size_t i = 0; i < r->short_names_len; i++)
		if (str_eq_nocase(r->short_names[i], name))
			return true;
	return false;
}

const struct client_resource *client_discovery_find(const struct client_discovery *d,
						    struct str name)
{
	ptrdiff_t dot = str_find(name, '.', 0);
	struct str plain = dot < 0 ? name : str_sub(name, 0, (size_t)dot);
	struct str rest = dot < 0 ? STR_NONE : str_sub(name, (size_t)dot + 1, name.len);
	for (size_t i = 0; i < d->len; i++) {
		const struct client_resource *r = &d->list[i];
		if (!named(r, plain))
			continue;
		if (!rest.p || str_eq(r->group, rest))
			return r;
		/* RESOURCE.VERSION.GROUP */
		if (str_starts(rest, r->version) && rest.len > r->version.len &&
		    rest.p[r->version.len] == '.' &&
		    str_eq(str_sub(rest, r->version.len + 1, rest.len), r->group))
			return r;
	}
	return NULL;
}

const struct client_resource *client_discovery_find_gvk(const struct client_discovery *d,
							struct str api_version, struct str kind)
{
	ptrdiff_t slash = str_find(api_version, '/', 0);
	struct str group = slash < 0 ? STR("") : str_sub(api_version, 0, (size_t)slash);
	struct str version =
		slash < 0 ? api_version : str_sub(api_version, (size_t)slash + 1, api_version.len);
	for (size_t i = 0; i < d->len; i++) {
		const struct client_resource *r = &d->list[i];
		if (str_eq(r->kind, kind) && str_eq(r->group, group) && str_eq(r->version, version))
			return r;
	}
	return NULL;
}
