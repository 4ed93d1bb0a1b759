#include "forward.h"

#include "apiserver/passage.h"
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

enum { PEM_BYTES_MAX = 1 << 20 };

struct forward {
	struct forward_config cfg;
	struct fetch *fetch;
	char *cert_pem, *key_pem;
};

int forward_target(const struct forward *f, struct arena *a, const struct json *cluster,
		   struct passage_target *to, struct error *err)
{
	if (!f->cert_pem)
		return error_set(err, ERR_UNAVAILABLE,
				 "this server does not forward: it has no --cluster-client-cert");
	const struct json *spec = json_getc(cluster, "spec");
	const struct json *list = json_getc(spec, "endpoints");
	for (size_t i = 0; i < json_len(list) && to->endpoints_len < PASSAGE_ENDPOINTS_MAX; i++) {
		struct str url = json_str(json_getc(json_at(list, i), "url"));
		if (url.len)
			to->endpoints[to->endpoints_len++] = arena_str(a, url).p;
	}
	if (!to->endpoints_len)
		return error_set(err, ERR_UNAVAILABLE, "cluster \"%.*s\" has no endpoint",
				 STR_ARG(json_str(json_dig(cluster, "metadata", "name", NULL))));
	struct buf ca = { 0 };
	if (base64_read(&ca, json_str(json_getc(spec, "caBundle"))) && ca.len)
		to->identity.ca_pem = arena_str(a, buf_str(&ca)).p;
	buf_fini(&ca);
	to->identity.cert_pem = arena_strdup(a, f->cert_pem);
	to->identity.key_pem = arena_strdup(a, f->key_pem);
	return 0;
}

struct fetch *forward_fetch(struct forward *f)
{
	return f->fetch;
}

/* The same for the name of one. */
static int find_cluster(const struct forward *f, struct arena *a, struct str name,
			struct passage_target *to, struct error *err)
{
	struct str key = arena_strf(a, "topology.rctl.io/clusters//%.*s", STR_ARG(name));
	struct watch_snap *snap = watch_snap_get(apiserver_cache(f->cfg.api));
	struct watch_obj *o = watch_snap_find(snap, key);
	struct json obj;
	int rc = o ? json_parse(a, arena_str(a, watch_obj_json(o)), NULL, &obj, err)
		   : error_set(err, ERR_NOT_FOUND, "clusters.topology.rctl.io \"%.*s\" not found",
			       STR_ARG(name));
	watch_snap_unref(snap);
	return rc ? rc : forward_target(f, a, &obj, to, err);
}

static void serve(void *arg, struct http_request *req, const struct apiserver_info *info)
{
	struct forward *f = arg;
	struct passage *p = passage_new(f->cfg.loop, f->fetch);
	struct arena *a = passage_arena(p);
	struct passage_target to = { .what = "the cluster's API" };
	struct error err = { 0 };
	ptrdiff_t slash = str_find(info->path_rest, '/', 0);
	struct str name = slash < 0 ? info->path_rest : str_sub(info->path_rest, 0, (size_t)slash);
	struct str path =
		slash < 0 ? STR("/") : str_sub(info->path_rest, (size_t)slash, info->path_rest.len);
	if (find_cluster(f, a, name, &to, &err) != 0) {
		apiserver_fail(req, &err);
		passage_free(p);
		return;
	}
	to.path = req->query.len ? arena_strf(a, "%.*s?%.*s", STR_ARG(path), STR_ARG(req->query))
				 : arena_str(a, path);
	passage_go(p, req, info, &to);
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
