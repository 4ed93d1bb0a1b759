/* The health listener of programs without an API of their own. */
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon_priv.h"
#include "http/server.h"

struct daemon_health {
	struct http_server *http;
	struct daemon *d;
	const char *(*ready)(void *arg);
	void *arg;
};

static void answer(struct http_request *r)
{
	struct daemon_health *h = r->loop->user;
	struct buf out = { 0 };
	int status = 200;
	const char *type = "text/plain; charset=utf-8";
	const char *why = NULL;
	if (!str_is(r->method, "GET") && !str_is(r->method, "HEAD")) {
		status = 405;
		buf_adds(&out, "only GET is served here\n");
	} else if (str_is(r->path, "/healthz") || str_is(r->path, "/livez")) {
		buf_adds(&out, "ok");
	} else if (str_is(r->path, "/readyz")) {
		why = h->d->stopping ? "the program is stopping" : h->ready(h->arg);
		status = why ? 503 : 200;
		buf_addf(&out, why ? "%s\n" : "%s", why ? why : "ok");
	} else if (str_is(r->path, "/metrics")) {
		type = "text/plain; version=0.0.4; charset=utf-8";
		metrics_print(h->d->metrics, &out);
	} else {
		status = 404;
		buf_adds(&out, "served here: /healthz /livez /readyz /metrics\n");
	}
	http_reply_text(r, status, type, buf_str(&out));
	buf_fini(&out);
}

void daemon_health(struct daemon *d, const char *(*ready)(void *arg), void *arg)
{
	if (!d->health_address || !d->health_address[0])
		return;
	struct daemon_health *h = mem_new(struct daemon_health, 1);
	*h = (struct daemon_health){ .d = d, .ready = ready, .arg = arg };
	struct str listen = str_of(d->health_address);
	struct http_server_config cfg = { .listen = &listen,
					  .listen_len = 1,
					  .loops = &d->loop,
					  .loops_len = 1,
					  .limits = { .body_bytes_max = 1024,
						      .connections_max = 64 },
					  .on = { .on_request = answer } };
	struct error err = { 0 };
	if (http_server_start(&cfg, &h->http, &err)) {
		/* A program works without anybody looking; whoever set the address sees this. */
		log_error("health-not-served", "address", LOG_S(d->health_address), "error",
			  LOG_S(err.msg), NULL);
		mem_free(h);
		return;
	}
	http_server_loop(h->http, 0)->user = h;
	d->health = h;
}

struct daemon_health *daemon_health_free(struct daemon_health *h)
{
	if (!h)
		return NULL;
	http_server_free(h->http);
	mem_free(h);
	return NULL;
}
