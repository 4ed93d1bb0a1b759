/* What is no object: discovery, OpenAPI, version, health, metrics, settings. */
#include "apiserver/apiserver_priv.h"
#include "apiserver/atomic.h"
#include "apiserver/extra.h"
#include "text/url.h"

#include <stdio.h>
#include <sys/utsname.h>

static const char json_type[] = "application/json";

/* ---- routes of the program ---- */

static bool route_fits(const struct apiserver_route *t, const struct req *r)
{
	if (t->prefix)
		return t->exact ? str_is(r->path, t->prefix)
				: str_starts(r->path, str_of(t->prefix));
	return r->route.is_resource && str_is(r->route.resource, t->resource) &&
	       str_is(r->route.subresource, t->subresource) && r->route.name.len;
}

const struct apiserver_route *paths_route(const struct req *r)
{
	const struct apiserver_route *best = NULL;
	size_t best_len = 0;
	for (size_t i = 0; i < r->s->routes_len; i++) {
		const struct apiserver_route *t = &r->s->routes[i];
		size_t len = t->prefix ? strlen(t->prefix) : 1;
		if (route_fits(t, r) && len > best_len) {
			best = t;
			best_len = len;
		}
	}
	return best;
}

/* ---- documents ---- */

static void not_found(struct req *r)
{
	req_failf(r, ERR_NOT_FOUND, "the server could not find the requested resource");
}

static void send_document(struct req *r, struct bytes *b /* given away, may be NULL */)
{
	if (b)
		req_reply_bytes(r, 200, json_type, NULL, b);
	else
		not_found(r);
}

/* The tag stands in a list such as `"a", W/"b"` (RFC 9110 section 13.1.2). */
static bool names_tag(struct str list, struct str tag)
{
	struct str one;
	while (list.len && str_split(&list, ',', &one)) {
		one = str_trim(one);
		if (str_starts(one, STR("W/")))
			one = str_sub(one, 2, one.len);
		if (str_is(one, "*") || str_eq(one, tag) ||
		    (one.len + 2 == tag.len && str_eq(one, str_sub(tag, 1, tag.len - 1))))
			return true;
	}
	return false;
}

/* The client has the document with this ETag: answers 304. */
static bool has_already(struct req *r, const struct reply_extra *x)
{
	struct str have = r->http ? http_request_header(r->http, "if-none-match") : STR_NONE;
	if (!names_tag(have, str_of(x->etag)))
		return false;
	struct http_body none = { 0 };
	req_reply_body(r, 304, NULL, x, &none);
	return true;
}

static void serve_discovery(struct req *r, bool core)
{
	if (!accept_wants_aggregated(r->accept_header)) {
		send_document(r, core ? kind_api_versions(r->kinds)
				      : extra_group_list(r->s, r->kinds));
		return;
	}
	const char *etag = NULL;
	struct bytes *b = extra_discovery(r->s, r->kinds, core, &r->arena, &etag);
	char *quoted = arena_printf(&r->arena, "\"%s\"", etag);
	struct reply_extra x = { .etag = quoted, .vary = "Accept", .cache_control = "public" };
	if (has_already(r, &x)) {
		bytes_unref(b);
		return;
	}
	req_reply_bytes(r, 200,
			"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", &x,
			b);
}

static void serve_openapi(struct req *r, struct str rest)
{
	/* rest: api/v1, apis/GROUP/VERSION */
	struct str parts[4] = { 0 }, piece;
	size_t n = 0;
	while (rest.len && n < 4 && str_split(&rest, '/', &piece))
		parts[n++] = piece;
	bool core = n == 2 && str_is(parts[0], "api");
	if (!core && !(n == 3 && str_is(parts[0], "apis"))) {
		not_found(r);
		return;
	}
	const char *hash = NULL;
	struct bytes *b = kind_openapi(r->kinds, core ? STR_NONE : parts[1],
				       core ? parts[1] : parts[2], &hash);
	if (!b) {
		not_found(r);
		return;
	}
	struct str asked = url_query_get(&r->arena, r->query, "hash");
	bool immutable = asked.len && str_is(asked, hash);
	struct reply_extra x = { .etag = arena_printf(&r->arena, "\"%s\"", hash),
				 .vary = "Accept",
				 .cache_control = immutable ? "public, immutable, max-age=31536000"
							    : "no-cache, private" };
	if (has_already(r, &x))
		bytes_unref(b);
	else
		req_reply_bytes(r, 200, json_type, &x, b);
}

static void serve_openapi_v2(struct req *r)
{
	static const char type[] = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
	if (str_find_str(r->accept_header, str_of(type), 0) < 0) {
		req_failf(r, ERR_NOT_ACCEPTABLE, "only the following media types are accepted: %s",
			  type);
		return;
	}
	/* No "@" in what is answered: kubectl up to 1.29 cannot parse it there. */
	static const char answered[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
	struct reply_extra x = { .etag = arena_printf(&r->arena, "\"%s\"",
						      kind_openapi_v2_etag(r->kinds)),
				 .vary = "Accept",
				 .cache_control = "no-cache, private" };
	if (!has_already(r, &x))
		req_reply_bytes(r, 200, answered, &x, kind_openapi_v2(r->kinds));
}

static void serve_group(struct req *r, struct str rest)
{
	ptrdiff_t slash = str_find(rest, '/', 0);
	if (slash < 0) {
		send_document(r, extra_group(r->s, r->kinds, rest));
		return;
	}
	struct str group = str_sub(rest, 0, (size_t)slash);
	struct str version = str_sub(rest, (size_t)slash + 1, rest.len);
	send_document(r, extra_resource_list(r->s, r->kinds, group, version));
}

static void serve_version(struct req *r)
{
	struct utsname u;
	const char *machine = uname(&u) == 0 && !strcmp(u.machine, "aarch64") ? "arm64" : "amd64";
	struct buf out = { 0 };
	buf_addf(&out,
		 "{\"major\":\"1\",\"minor\":\"32\",\"gitVersion\":\"v1.32.0-rctl." RCTL_VERSION
		 "\",\"gitCommit\":\"\",\"gitTreeState\":\"clean\",\"buildDate\":\"\","
		 "\"goVersion\":\"\","
		 "\"compiler\":\"" __VERSION__ "\",\"platform\":\"linux/%s\"}\n",
		 machine);
	req_reply_text(r, 200, json_type, &out);
}

/* ---- health ---- */

static const char *check_store(struct apiserver *s)
{
	if (atomic_load(&s->lost))
		return "the history was lost; the process must start again";
	return store_healthy(s->store) ? NULL : "the database does not answer";
}

static const char *check_drain(struct apiserver *s)
{
	return atomic_load(&s->draining) ? "the server is stopping" : NULL;
}

struct health {
	struct buf text;
	bool bad, ready;
	struct str only; /* one check; "" = all */
	bool found;
};

static void run_check(struct health *h, const char *name, const char *why)
{
	if (h->only.len && !str_is(h->only, name))
		return;
	h->found = true;
	h->bad |= why != NULL;
	if (why)
		buf_addf(&h->text, "[-]%s failed: %s\n", name, why);
	else
		buf_addf(&h->text, "[+]%s ok\n", name);
}

static void serve_health(struct req *r, bool ready, struct str only)
{
	struct apiserver *s = r->s;
	struct health h = { .ready = ready, .only = only };
	run_check(&h, "ping", NULL);
	run_check(&h, "store", check_store(s));
	if (ready) {
		run_check(&h, "shutdown", check_drain(s));
		run_check(&h, "namespaces",
			  atomic_load(&s->booted) ? NULL
						  : "the first namespaces are not there yet");
		for (size_t i = 0; i < s->checks_len; i++)
			run_check(&h, s->checks[i].name, s->checks[i].fn(s->checks[i].arg));
	}
	if (only.len && !h.found) {
		buf_fini(&h.text);
		not_found(r);
		return;
	}
	bool verbose = url_query_get(&r->arena, r->query, "verbose").p != NULL ||
		       str_find_str(r->query, STR("verbose"), 0) >= 0;
	if (!h.bad && !verbose)
		buf_clear(&h.text);
	const char *last = h.bad ? "check failed" : verbose ? "check passed" : "ok";
	buf_addf(&h.text, verbose || h.bad ? "%s\n" : "%s", last);
	req_reply_text(r, h.bad ? 503 : 200, "text/plain; charset=utf-8", &h.text);
}

static void serve_metrics(struct req *r)
{
	struct buf out = { 0 };
	metrics_print(r->s->metrics, &out);
	req_reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

static void serve_configz(struct req *r)
{
	struct buf out = { 0 };
	if (!r->s->cfg.settings) {
		not_found(r);
		return;
	}
	settings_json(r->s->cfg.settings, &out);
	buf_addc(&out, '\n');
	req_reply_text(r, 200, json_type, &out);
}

static void serve_root(struct req *r)
{
	static const char *const paths[] = { "/api",     "/apis",       "/healthz", "/livez",
					     "/metrics", "/openapi/v3", "/readyz",  "/version" };
	struct buf out = { 0 };
	buf_adds(&out, "{\"paths\":[");
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		buf_addf(&out, "%s\"%s\"", i ? "," : "", paths[i]);
	buf_adds(&out, "]}\n");
	req_reply_text(r, 200, json_type, &out);
}

static bool under(struct str path, const char *dir, struct str *rest)
{
	struct str d = str_of(dir);
	if (!str_starts(path, d) || (path.len > d.len && path.p[d.len] != '/'))
		return false;
	*rest = str_sub(path, d.len + 1, path.len);
	if (rest->len && rest->p[rest->len - 1] == '/')
		rest->len--;
	return true;
}

void paths_serve(struct req *r)
{
	struct str path = r->path, rest = STR_NONE;
	if (str_is(path, ATOMIC_PATH)) {
		atomic_serve(r);
		return;
	}
	if (!str_is(r->route.verb, "get")) {
		req_failf(r, ERR_METHOD,
			  "the server does not allow this method on the requested resource");
		return;
	}
	if (under(path, "/healthz", &rest) || under(path, "/livez", &rest))
		serve_health(r, false, rest);
	else if (under(path, "/readyz", &rest))
		serve_health(r, true, rest);
	else if (str_is(path, "/") || path.len == 0)
		serve_root(r);
	else if (under(path, "/version", &rest) && !rest.len)
		serve_version(r);
	else if (under(path, "/metrics", &rest) && !rest.len)
		serve_metrics(r);
	else if (under(path, "/configz", &rest) && !rest.len)
		serve_configz(r);
	else if (under(path, "/openapi/v3", &rest) && rest.len)
		serve_openapi(r, rest);
	else if (under(path, "/openapi/v3", &rest))
		send_document(r, kind_openapi_index(r->kinds));
	else if (str_is(path, "/openapi/v2"))
		serve_openapi_v2(r);
	else if (under(path, "/api", &rest) && rest.len)
		send_document(r, kind_api_resource_list(r->kinds, STR_NONE, rest));
	else if (under(path, "/api", &rest))
		serve_discovery(r, true);
	else if (under(path, "/apis", &rest) && rest.len)
		serve_group(r, rest);
	else if (under(path, "/apis", &rest))
		serve_discovery(r, false);
	else
		not_found(r);
}
