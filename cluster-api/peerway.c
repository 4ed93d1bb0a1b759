#include "peerway.h"

#include "apiserver/passage.h"
#include "base/buf.h"
#include "base/mem.h"
#include "http/server.h"
#include "sys/file.h"

#include <pthread.h>
#include <string.h>

enum { PEM_BYTES_MAX = 1 << 20 };

struct peerway {
	struct peerway_config cfg;
	struct fetch *fetch;
	pthread_mutex_t lock; /* over the texts: a reload comes between requests of other loops */
	struct buf ca, cert, key;
};

static void wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->len);
	buf_fini(b);
	*b = (struct buf){ 0 };
}

int peerway_reload(struct peerway *w, struct error *err)
{
	if (!w->cfg.cert_file || !w->cfg.cert_file[0])
		return 0;
	const char *files[] = { w->cfg.ca_file, w->cfg.cert_file, w->cfg.key_file };
	struct buf got[3] = { 0 };
	int rc = 0;
	for (size_t i = 0; i < 3 && rc == 0; i++)
		rc = files[i] ? file_read(files[i], PEM_BYTES_MAX, &got[i], err)
			      : error_set(err, ERR_INVALID, "a key and a CA file are needed too");
	(void)pthread_mutex_lock(&w->lock);
	struct buf *to[] = { &w->ca, &w->cert, &w->key };
	for (size_t i = 0; i < 3; i++) {
		wipe(rc ? &got[i] : to[i]);
		if (!rc)
			*to[i] = got[i];
	}
	(void)pthread_mutex_unlock(&w->lock);
	return rc ? error_wrap(err, "--peer-client-cert") : 0;
}

int peerway_new(const struct peerway_config *cfg, struct peerway **ret, struct error *err)
{
	struct peerway *w = mem_new(struct peerway, 1);
	w->cfg = *cfg;
	(void)pthread_mutex_init(&w->lock, NULL);
	w->fetch = fetch_new(cfg->loop);
	int rc = peerway_reload(w, err);
	if (rc)
		w = peerway_free(w);
	*ret = w;
	return rc;
}

struct peerway *peerway_free(struct peerway *w)
{
	if (!w)
		return NULL;
	(void)fetch_free(w->fetch);
	wipe(&w->ca);
	wipe(&w->cert);
	wipe(&w->key);
	(void)pthread_mutex_destroy(&w->lock);
	mem_free(w);
	return NULL;
}

bool peerway_take(struct peerway *w, struct http_request *req, const struct apiserver_info *info,
		  struct str node)
{
	if (!w->cfg.cert_file || !w->cfg.cert_file[0] ||
	    http_request_header(req, PASSAGE_PEER_HEADER).len)
		return false;
	struct passage *p = passage_new(w->cfg.loop, w->fetch);
	struct arena *a = passage_arena(p);
	struct str url = peers_url_of(w->cfg.peers, a, node);
	if (!url.len) {
		passage_free(p);
		return false;
	}
	(void)pthread_mutex_lock(&w->lock);
	struct passage_target to = {
		.endpoints = { url.p },
		.endpoints_len = 1,
		.identity = { .ca_pem = arena_str(a, buf_str(&w->ca)).p,
			      .cert_pem = arena_str(a, buf_str(&w->cert)).p,
			      .key_pem = arena_str(a, buf_str(&w->key)).p },
		.what = "the API server that has the node on the line",
		.peer = w->cfg.server,
	};
	(void)pthread_mutex_unlock(&w->lock);
	to.path = req->query.len
			  ? arena_strf(a, "%.*s?%.*s", STR_ARG(req->path), STR_ARG(req->query))
			  : arena_str(a, req->path);
	passage_go(p, req, info, &to);
	return true;
}
