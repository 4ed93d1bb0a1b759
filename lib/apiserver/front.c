/* Between http/server and the engine: connections in, request log out. */
#include "apiserver/front.h"

#include "apiserver/gzip.h"
#include "base/log.h"
#include "sys/clock.h"

static void on_headers(struct http_request *http)
{
	struct req *r = req_new(http->loop->user);
	http->user = r;
	r->http = http;
	r->method = http->method;
	r->path = http->path;
	r->query = http->query;
	r->content_type = content_type_of(&r->arena, http_request_header(http, "content-type"));
	r->agent = http_request_header(http, "user-agent");
	r->accept_header = http_request_header(http, "accept");
	r->encoding = http_request_header(http, "accept-encoding");
	r->fence = http_request_header(http, RCTL_FENCE_HEADER);
	req_headers(r);
}

static void on_request(struct http_request *http)
{
	struct req *r = http->user;
	r->body = http->body;
	req_dispatch(r);
}

static void log_request(const struct req *r, const struct http_request *http)
{
	struct str path = r->path;
	struct shard *sh = r->shard;
	log_add(&sh->log_lines, LOG_INFO, "request", "method", LOG_STR(http->method), "path",
		LOG_STR(path), "query", LOG_STR(http->query), "user", LOG_STR(r->user.name),
		"impersonator", LOG_STR(r->impersonator), "status", LOG_I(http->status), "bytes",
		LOG_I(http->sent_bytes), "us", LOG_I(clock_mono_us() - r->start_us), "agent",
		LOG_STR(r->agent), "peer", LOG_STR(http->peer_address), "audit", LOG_S(r->audit_id),
		NULL);
	loop_defer(sh->loop, &sh->log_task);
}

static void on_close(struct http_request *http)
{
	struct req *r = http->user;
	if (!r)
		return;
	if (r->s->cfg.request_log)
		log_request(r, http);
	if (r->route_called && r->program_route->closed)
		r->program_route->closed(r->program_route->arg, http);
	if (r->is_watch && !r->program_route)
		watch_closed(r);
	r->gzip = gzip_free(r->gzip);
	r->gone = true;
	r->http = NULL;
	if (r->pending == 0)
		req_free(r);
}

static void on_stop(struct http_request *http)
{
	struct req *r = http->user;
	if (r->program_route && r->program_route->stop)
		r->program_route->stop(r->program_route->arg, http);
	else if (r->program_route)
		http_end(http);
	else if (!r->gzip)
		watch_stop(r);
}

static void on_drained(struct http_request *http)
{
	struct req *r = http->user;
	if (r->gzip)
		gzip_drained(r->gzip);
	if (r->program_route && r->program_route->drained)
		r->program_route->drained(r->program_route->arg, http);
}

void **apiserver_route_state(struct http_request *http)
{
	struct req *r = http->user;
	return &r->route_state;
}

static int load_tls(struct apiserver *s, struct error *err)
{
	const struct apiserver_config *c = &s->cfg;
	if (!c->tls_cert || !c->tls_cert[0])
		return 0;
	struct tls_files files = { .cert_file = c->tls_cert,
				   .key_file = c->tls_key,
				   .ca_file =
					   c->client_ca && c->client_ca[0] ? c->client_ca : NULL };
	return tls_server_new(&files, "h2,http/1.1", &s->tls, err);
}

/* Without TLS everybody on the way reads the tokens: this machine's loopback only. */
static int check_plain(const struct apiserver *s, struct error *err)
{
	for (size_t i = 0; !s->tls && i < s->cfg.listen.len; i++) {
		struct str a = str_of(s->cfg.listen.items[i]);
		if (!str_starts(a, STR("127.")) && !str_starts(a, STR("[::1]:")) &&
		    !str_starts(a, STR("localhost:")))
			return error_set(err, ERR_INVALID,
					 "--listen-address %.*s needs --tls-cert-file and "
					 "--tls-private-key-file: only loopback is served without",
					 STR_ARG(a));
	}
	return 0;
}

int front_start(struct apiserver *s, struct error *err)
{
	int rc = load_tls(s, err);
	if (rc == 0)
		rc = check_plain(s, err);
	if (rc)
		return rc;
	struct str listen[SHARDS_MAX];
	struct loop *loops[SHARDS_MAX];
	size_t n = s->cfg.listen.len < SHARDS_MAX ? s->cfg.listen.len : SHARDS_MAX;
	for (size_t i = 0; i < n; i++)
		listen[i] = str_of(s->cfg.listen.items[i]);
	for (size_t i = 0; i < s->shards_len; i++)
		loops[i] = s->shards[i].loop;
	struct http_server_config cfg = {
		.listen = listen,
		.listen_len = n,
		.loops = loops,
		.loops_len = s->shards_len,
		.tls = s->tls,
		.limits = { .body_bytes_max = (size_t)s->cfg.request_bytes_max,
			    .streams_max = (uint32_t)s->cfg.streams_max,
			    .connections_max = (uint32_t)s->cfg.connections_max,
			    .queue_bytes_max = (size_t)s->cfg.watch_queue_bytes_max,
			    .answers_bytes_max = (size_t)s->cfg.answers_bytes_max,
			    .header_timeout_ms = (uint32_t)s->cfg.header_timeout_ms,
			    .body_timeout_ms = (uint32_t)s->cfg.body_timeout_ms,
			    .write_timeout_ms = (uint32_t)s->cfg.write_timeout_ms },
		.on = { .on_headers = on_headers,
			.on_request = on_request,
			.on_close = on_close,
			.on_stop = on_stop,
			.on_drained = on_drained },
		.metrics = s->metrics,
		.user = s,
	};
	rc = http_server_start(&cfg, &s->http, err);
	for (size_t i = 0; rc == 0 && i < s->shards_len; i++)
		http_server_loop(s->http, i)->user = &s->shards[i];
	return rc;
}
