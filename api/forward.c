#include "forward.h"

#include "apiserver/relay.h"
#include "base/buf.h"
#include "base/mem.h"
#include "fetch/fetch.h"
#include "http/server.h"
#include "json/json.h"
#include "sys/file.h"
#include "text/base64.h"
#include "watch/watch.h"

#include <string.h>

enum {
	PEM_BYTES_MAX = 1 << 20,
	ENDPOINTS_MAX = 16,
	HEADERS_MAX = AUTH_GROUPS_MAX + 8,
	CONNECT_MS = 5000
};

struct forward {
	struct forward_config cfg;
	struct fetch *fetch;
	char *cert_pem, *key_pem;
};

/* One request, on the far loop; what it needs of the http_request is copied. */
struct passage {
	struct forward *f;
	struct arena arena;
	struct relay *relay;
	struct fetch_call *call;
	struct fetch_identity identity;
	struct str method, rest, body; /* rest: path and query at the cluster */
	const char *endpoints[ENDPOINTS_MAX];
	size_t endpoints_len, next;
	struct fetch_header headers[HEADERS_MAX];
	size_t headers_len;
	bool begun, gone, answered;
};

static void passage_free(struct passage *p)
{
	fetch_cancel(p->call);
	relay_done(p->relay);
	arena_fini(&p->arena);
	mem_free(p);
}

static void attempt(struct passage *p);

static void on_data(void *arg, int status, struct str data)
{
	struct passage *p = arg;
	if (!p->begun) {
		struct str type = fetch_reply_header(p->call, "content-type");
		relay_begin(p->relay, status, type.len ? type : STR("application/json"));
		p->begun = true;
	}
	relay_write(p->relay, data);
	if (relay_full(p->relay))
		fetch_pause(p->call);
}

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	(void)reply;
	struct passage *p = arg;
	struct fetch_call *call = p->call;
	if (err && !p->begun && p->next < p->endpoints_len && err->code == ERR_UNAVAILABLE) {
		p->call = NULL;
		attempt(p);
		return;
	}
	p->answered = true;
	if (err) {
		struct error e = *err;
		(void)error_wrap(&e, "the cluster's API");
		e.code = ERR_UNAVAILABLE;
		relay_fail(p->relay, &e);
	} else {
		if (!p->begun) {
			struct str type = fetch_reply_header(call, "content-type");
			relay_begin(p->relay, status, type.len ? type : STR("application/json"));
		}
		relay_end(p->relay);
	}
	p->call = NULL;
	if (p->gone)
		passage_free(p);
}

static void attempt(struct passage *p)
{
	struct buf url = { 0 };
	buf_adds(&url, p->endpoints[p->next++]);
	while (url.len && url.p[url.len - 1] == '/')
		url.len--;
	buf_add_str(&url, p->rest);
	p->call = fetch_send(p->f->fetch, &(struct fetch_request){
						  .method = arena_str(&p->arena, p->method).p,
						  .url = buf_cstr(&url),
						  .identity = &p->identity,
						  .headers = p->headers,
						  .headers_len = p->headers_len,
						  .body = p->body,
						  .connect_ms = CONNECT_MS,
						  .on_data = on_data,
						  .on_done = on_done,
						  .arg = p,
					  });
	buf_fini(&url);
}

/* ---- the far side of the relay ---- */

static void on_start(struct relay *r, void *data)
{
	struct passage *p = data;
	p->relay = r;
	attempt(p);
}

static void on_room(struct relay *r, void *data)
{
	(void)r;
	struct passage *p = data;
	if (p->call)
		fetch_resume(p->call);
}

static void on_gone(struct relay *r, void *data)
{
	(void)r;
	passage_free(data);
}

static const struct relay_handlers relay_on = { .start = on_start,
						.room = on_room,
						.gone = on_gone };

/* ---- the route (any API loop) ---- */

static void header(struct passage *p, const char *name, struct str value)
{
	if (value.len && p->headers_len < HEADERS_MAX)
		p->headers[p->headers_len++] =
			(struct fetch_header){ name, arena_str(&p->arena, value).p };
}

static void copy_headers(struct passage *p, const struct http_request *req,
			 const struct apiserver_info *info)
{
	static const char *const passed[] = { "accept", "content-type", "user-agent",
					      RCTL_FENCE_HEADER };
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		header(p, passed[i], http_request_header(req, passed[i]));
	header(p, "Impersonate-User", info->user->name);
	for (size_t i = 0; i < info->user->groups_len; i++)
		if (!str_is(info->user->groups[i],
			    "system:authenticated")) /* the other side adds it */
			header(p, "Impersonate-Group", info->user->groups[i]);
}

/* Endpoints and trust of the Cluster object. */
static int find_cluster(struct passage *p, struct str name, struct error *err)
{
	struct arena *a = &p->arena;
	struct str key = arena_strf(a, "topology.rctl.io/clusters//%.*s", STR_ARG(name));
	struct watch_snap *snap = watch_snap_get(apiserver_cache(p->f->cfg.api));
	struct watch_obj *o = watch_snap_find(snap, key);
	struct json obj;
	int rc = o ? json_parse(a, arena_str(a, watch_obj_json(o)), NULL, &obj, err)
		   : error_set(err, ERR_NOT_FOUND, "clusters.topology.rctl.io \"%.*s\" not found",
			       STR_ARG(name));
	watch_snap_unref(snap);
	if (rc)
		return rc;
	const struct json *spec = json_getc(&obj, "spec");
	const struct json *list = json_getc(spec, "endpoints");
	for (size_t i = 0; i < json_len(list) && p->endpoints_len < ENDPOINTS_MAX; i++) {
		struct str url = json_str(json_getc(json_at(list, i), "url"));
		if (url.len)
			p->endpoints[p->endpoints_len++] = arena_str(a, url).p;
	}
	if (!p->endpoints_len)
		return error_set(err, ERR_UNAVAILABLE, "cluster \"%.*s\" has no endpoint",
				 STR_ARG(name));
	struct buf ca = { 0 };
	if (base64_read(&ca, json_str(json_getc(spec, "caBundle"))) && ca.len)
		p->identity.ca_pem = arena_str(a, buf_str(&ca)).p;
	buf_fini(&ca);
	p->identity.cert_pem = arena_strdup(a, p->f->cert_pem);
	p->identity.key_pem = arena_strdup(a, p->f->key_pem);
	return 0;
}

static void serve(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	struct forward *f = arg;
	struct passage *p = mem_new(struct passage, 1);
	struct error err = { 0 };
	p->f = f;
	ptrdiff_t slash = str_find(info->path_rest, '/', 0);
	struct str name = slash < 0 ? info->path_rest : str_sub(info->path_rest, 0, (size_t)slash);
	struct str path =
		slash < 0 ? STR("/") : str_sub(info->path_rest, (size_t)slash, info->path_rest.len);
	int rc = 0;
	if (!f->cert_pem)
		rc = error_set(&err, ERR_UNAVAILABLE,
			       "this server does not forward: it has no --cluster-client-cert");
	else
		rc = find_cluster(p, name, &err);
	if (rc) {
		apiserver_fail(req, &err);
		arena_fini(&p->arena);
		mem_free(p);
		return;
	}
	p->method = arena_str(&p->arena, req->method);
	p->rest = req->query.len
			  ? arena_strf(&p->arena, "%.*s?%.*s", STR_ARG(path), STR_ARG(req->query))
			  : arena_str(&p->arena, path);
	p->body = req->body.len ? arena_str(&p->arena, req->body) : STR_NONE;
	copy_headers(p, req, info);
	relay_new(req, f->cfg.loop, &relay_on, p);
}

/* ---- life ---- */

static int read_file(const char *path, char **ret, struct error *err)
{
	struct buf b = { 0 };
	int rc = file_read(path, PEM_BYTES_MAX, &b, err);
	if (rc == 0) {
		if (*ret)
			explicit_bzero(*ret, strlen(*ret));
		mem_free(*ret);
		*ret = mem_strndup(b.p, b.len);
	}
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return rc;
}

int forward_reload(struct forward *f, struct error *err)
{
	if (!f->cfg.cert_file || !f->cfg.cert_file[0])
		return 0;
	int rc = read_file(f->cfg.cert_file, &f->cert_pem, err);
	return rc ? rc : read_file(f->cfg.key_file, &f->key_pem, err);
}

int forward_new(const struct forward_config *cfg, struct forward **ret, struct error *err)
{
	struct forward *f = mem_new(struct forward, 1);
	f->cfg = *cfg;
	int rc = forward_reload(f, err);
	if (rc) {
		mem_free(f->cert_pem);
		mem_free(f);
		return error_wrap(err, "--cluster-client-cert");
	}
	f->fetch = fetch_new(cfg->loop);
	const struct apiserver_route route = { .prefix = "/clusters/",
					       .stream = true,
					       .body = true,
					       .fn = serve,
					       .closed = relay_closed,
					       .drained = relay_drained,
					       .arg = f };
	apiserver_add_route(cfg->api, &route);
	*ret = f;
	return 0;
}

struct forward *forward_free(struct forward *f)
{
	if (!f)
		return NULL;
	(void)fetch_free(f->fetch);
	mem_free(f->cert_pem);
	if (f->key_pem)
		explicit_bzero(f->key_pem, strlen(f->key_pem));
	mem_free(f->key_pem);
	mem_free(f);
	return NULL;
}
