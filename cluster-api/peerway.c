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

/* Our certificate, in the arena. */
static struct fetch_identity identity(struct peerway *w, struct arena *a)
{
	(void)pthread_mutex_lock(&w->lock);
	struct fetch_identity id = { .ca_pem = arena_str(a, buf_str(&w->ca)).p,
				     .cert_pem = arena_str(a, buf_str(&w->cert)).p,
				     .key_pem = arena_str(a, buf_str(&w->key)).p };
	(void)pthread_mutex_unlock(&w->lock);
	return id;
}

static bool hands_on(const struct peerway *w)
{
	return w->cfg.cert_file && w->cfg.cert_file[0];
}

/* The passage goes to `url`, or ends when there is none. */
static bool go(struct peerway *w, struct passage *p, struct http_request *req,
	       const struct apiserver_info *info, struct passage_target *to)
{
	struct arena *a = passage_arena(p);
	if (!to->endpoints[0][0]) {
		passage_free(p);
		return false;
	}
	to->endpoints_len = 1;
	to->identity = identity(w, a);
	to->peer = w->cfg.server;
	to->path = req->query.len
			   ? arena_strf(a, "%.*s?%.*s", STR_ARG(req->path), STR_ARG(req->query))
			   : arena_str(a, req->path);
	passage_go(p, req, info, to);
	return true;
}

bool peerway_take(struct peerway *w, struct http_request *req, const struct apiserver_info *info,
		  struct str node)
{
	if (!hands_on(w) || http_request_header(req, PASSAGE_PEER_HEADER).len)
		return false;
	struct passage *p = passage_new(w->cfg.loop, w->fetch);
	struct passage_target to = {
		.endpoints = { peers_url_of(w->cfg.peers, passage_arena(p), node).p },
		.what = "the API server that has the node on the line",
	};
	return go(w, p, req, info, &to);
}

static const char *what_owner(enum peers_store store)
{
	return store == PEERS_LOGS ? "the API server that has the log database"
				   : "the API server that has the metrics database";
}

bool peerway_take_store(struct peerway *w, struct http_request *req,
			const struct apiserver_info *info, enum peers_store store)
{
	if (!hands_on(w) || http_request_header(req, PASSAGE_PEER_HEADER).len)
		return false;
	struct passage *p = passage_new(w->cfg.loop, w->fetch);
	struct passage_target to = {
		.endpoints = { peers_owner(w->cfg.peers, passage_arena(p), store).p },
		.what = what_owner(store),
	};
	return go(w, p, req, info, &to);
}

/* ---- requests of our own ---- */

enum { OWN_HEADERS_MAX = AUTH_GROUPS_MAX + 8 };

struct peerway_call {
	struct arena arena;
	struct fetch_identity identity;
	struct fetch_header headers[OWN_HEADERS_MAX];
	size_t headers_len;
	struct peerway_request req; /* its callbacks alone */
	struct fetch_call *call;
};

static void call_free(struct peerway_call *c)
{
	arena_fini(&c->arena);
	mem_free(c);
}

static void on_data(void *arg, int status, struct str data)
{
	struct peerway_call *c = arg;
	c->req.on_data(c->req.arg, status, data);
}

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	struct peerway_call *c = arg;
	struct error e = { 0 };
	if (err) {
		e = *err;
		(void)error_wrap(&e, "%s", what_owner(c->req.store));
	}
	c->req.on_done(c->req.arg, status, reply, err ? &e : NULL);
	call_free(c);
}

static void add_header(struct peerway_call *c, const char *name, struct str value)
{
	if (value.len && c->headers_len < OWN_HEADERS_MAX)
		c->headers[c->headers_len++] =
			(struct fetch_header){ name, arena_str(&c->arena, value).p };
}

struct peerway_call *peerway_send(struct peerway *w, const struct peerway_request *r)
{
	if (!hands_on(w))
		return NULL;
	struct peerway_call *c = mem_new(struct peerway_call, 1);
	struct arena *a = &c->arena;
	struct str url = peers_owner(w->cfg.peers, a, r->store);
	if (!url.len) {
		call_free(c);
		return NULL;
	}
	while (url.len && url.p[url.len - 1] == '/')
		url.len--;
	c->req = *r;
	c->identity = identity(w, a);
	add_header(c, PASSAGE_PEER_HEADER, str_of(w->cfg.server));
	add_header(c, "Content-Type", r->body.p ? STR("application/octet-stream") : STR(""));
	add_header(c, "Impersonate-User", r->user);
	for (size_t i = 0; i < r->groups_len; i++)
		if (!str_is(r->groups[i], "system:authenticated")) /* the other side adds it */
			add_header(c, "Impersonate-Group", r->groups[i]);
	for (const struct fetch_header *h = r->extra; h && h->name; h++)
		add_header(c, h->name, str_of(h->value));
	c->call = fetch_send(w->fetch,
			     &(struct fetch_request){
				     .method = r->method,
				     .url = arena_printf(a, "%.*s%s", STR_ARG(url), r->path),
				     .identity = &c->identity,
				     .headers = c->headers,
				     .headers_len = c->headers_len,
				     .body = r->body,
				     .timeout_ms = r->timeout_ms,
				     .idle_ms = r->idle_ms,
				     .connect_ms = PASSAGE_CONNECT_MS,
				     .on_data = r->on_data ? on_data : NULL,
				     .on_done = on_done,
				     .arg = c,
			     });
	return c;
}

void peerway_cancel(struct peerway_call *c)
{
	fetch_cancel(c->call);
	call_free(c);
}

void peerway_pause(struct peerway_call *c)
{
	fetch_pause(c->call);
}

void peerway_resume(struct peerway_call *c)
{
	fetch_resume(c->call);
}
