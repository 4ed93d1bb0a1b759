#include "client/client.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "client/client_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { REQUEST_MS = 60000, HEADERS_MAX = 8, STATUS_BYTES_MAX = 1 << 20, WARNINGS_MAX = 64 };

struct client_call {
	struct client *client;
	struct list link;
	struct fetch_call *fetch;
	struct buf failure; /* streams: body of an answer that is an error */
	void (*on_data)(void *arg, int status, struct str data);
	client_done_fn done;
	void *arg;
};

static char *copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

void client_config_fini(struct client_config *c)
{
	mem_free(c->server);
	mem_free(c->ca_pem);
	mem_free(c->cert_pem);
	if (c->key_pem)
		explicit_bzero(c->key_pem, strlen(c->key_pem));
	mem_free(c->key_pem);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	mem_free(c->token);
	mem_free(c->tls_server_name);
	mem_free(c->ns);
	mem_free(c->context);
	*c = (struct client_config){ 0 };
}

struct client *client_new(struct fetch *f, struct loop *l, const struct client_config *cfg,
			  const struct client_options *opt)
{
	struct client *c = mem_new(struct client, 1);
	c->fetch = f;
	c->loop = l;
	c->cfg = (struct client_config){
		.server = copy(cfg->server),
		.ca_pem = copy(cfg->ca_pem),
		.cert_pem = copy(cfg->cert_pem),
		.key_pem = copy(cfg->key_pem),
		.token = copy(cfg->token),
		.tls_server_name = copy(cfg->tls_server_name),
		.ns = copy(cfg->ns),
		.context = copy(cfg->context),
		.insecure_skip_verify = cfg->insecure_skip_verify,
	};
	size_t n = strlen(c->cfg.server);
	while (n && c->cfg.server[n - 1] == '/')
		c->cfg.server[--n] = '\0';
	c->identity = (struct fetch_identity){
		.ca_pem = c->cfg.ca_pem,
		.cert_pem = c->cfg.cert_pem,
		.key_pem = c->cfg.key_pem,
		.bearer_token = c->cfg.token,
		.insecure_skip_verify = c->cfg.insecure_skip_verify,
		.server_name = c->cfg.tls_server_name,
	};
	c->user_agent = copy(opt->user_agent);
	c->field_manager = copy(opt->field_manager);
	c->fence = copy(opt->fence);
	c->on_warning = opt->on_warning;
	c->warning_arg = opt->warning_arg;
	list_init(&c->calls);
	return c;
}

static void call_free(struct client_call *call)
{
	list_del(&call->link);
	buf_fini(&call->failure);
	mem_free(call);
}

struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	list_for_each(it, &c->calls) client_cancel(list_entry(it, struct client_call, link));
	client_config_fini(&c->cfg);
	mem_free(c->user_agent);
	mem_free(c->field_manager);
	mem_free(c->fence);
	mem_free(c);
	return NULL;
}

void client_set_fence(struct client *c, const char *fence)
{
	mem_free(c->fence);
	c->fence = copy(fence);
}

void client_cancel(struct client_call *call)
{
	if (!call)
		return;
	fetch_cancel(call->fetch);
	call_free(call);
}

/* ---- answers ---- */

void client_read_status(int status, struct str body, struct error *err)
{
	struct arena a = { 0 };
	struct json j;
	if (body.len <= STATUS_BYTES_MAX && json_parse(&a, body, NULL, &j, NULL) == 0 &&
	    str_is(json_str(json_getc(&j, "kind")), "Status")) {
		char reason[64];
		(void)snprintf(reason, sizeof(reason), "%.*s",
			       STR_ARG(json_str(json_getc(&j, "reason"))));
		struct str msg = json_str(json_getc(&j, "message"));
		(void)error_set(err, error_from_http(status, reason), "%.*s", STR_ARG(msg));
	} else {
		struct str text = str_trim(str_sub(body, 0, 200));
		(void)error_set(err, error_from_http(status, ""), "the server answered %d%s%.*s",
				status, text.len ? ": " : "", STR_ARG(text));
	}
	arena_fini(&a);
}

/* RFC 7234 section 5.5: 299 AGENT "TEXT", with quoted pairs. */
static void tell_warning(struct client *c, struct str header)
{
	struct buf text = { 0 };
	ptrdiff_t from = str_find(header, '"', 0);
	if (!str_starts(header, STR("299 ")) || from < 0)
		return;
	for (size_t i = (size_t)from + 1; i < header.len && header.p[i] != '"'; i++) {
		if (header.p[i] == '\\' && i + 1 < header.len)
			i++;
		buf_addc(&text, header.p[i]);
	}
	c->on_warning(c->warning_arg, buf_str(&text));
	buf_fini(&text);
}

static void tell_warnings(struct client_call *call)
{
	struct str header;
	for (size_t i = 0; i < WARNINGS_MAX; i++) {
		header = fetch_reply_header_at(call->fetch, "warning", i);
		if (!header.len)
			return;
		tell_warning(call->client, header);
	}
}

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	struct client_call *call = arg;
	struct error failed = { 0 };
	struct str body = call->on_data ? buf_str(&call->failure) : reply;
	if (!err && status >= 400) {
		client_read_status(status, body, &failed);
		err = &failed;
	}
	if (status && call->client->on_warning)
		tell_warnings(call);
	list_del(&call->link); /* client_free() from done must not meet it again */
	list_init(&call->link);
	call->done(call->arg, status, body, err);
	call_free(call);
}

static void on_data(void *arg, int status, struct str data)
{
	struct client_call *call = arg;
	if (status >= 400) {
		if (call->failure.len + data.len <= STATUS_BYTES_MAX)
			buf_add_str(&call->failure, data);
		return;
	}
	call->on_data(call->arg, status, data);
}

/* ---- requests ---- */

static bool is_write(const char *method)
{
	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

static void make_url(const struct client *c, const struct client_request *r, struct buf *url)
{
	buf_adds(url, c->cfg.server);
	buf_adds(url, r->path);
	bool manages = strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 ||
		       strcmp(r->method, "PATCH") == 0;
	if (manages && c->field_manager && !strstr(r->path, "fieldManager="))
		buf_addf(url, "%cfieldManager=%s", strchr(r->path, '?') ? '&' : '?',
			 c->field_manager);
}

struct client_call *client_send(struct client *c, const struct client_request *r)
{
	struct client_call *call = mem_new(struct client_call, 1);
	call->client = c;
	call->on_data = r->on_data;
	call->done = r->done;
	call->arg = r->arg;
	list_append(&c->calls, &call->link);

	struct buf url = { 0 };
	make_url(c, r, &url);
	struct fetch_header h[HEADERS_MAX];
	size_t n = 0;
	h[n++] = (struct fetch_header){ "Accept", r->accept ? r->accept : "application/json" };
	if (r->body.p)
		h[n++] = (struct fetch_header){ "Content-Type", r->content_type
									? r->content_type
									: "application/json" };
	if (c->user_agent)
		h[n++] = (struct fetch_header){ "User-Agent", c->user_agent };
	if (c->fence && is_write(r->method))
		h[n++] = (struct fetch_header){ CLIENT_FENCE_HEADER, c->fence };
	if (r->impersonate_user)
		h[n++] = (struct fetch_header){ "Impersonate-User", r->impersonate_user };
	assert(n <= HEADERS_MAX);

	call->fetch = fetch_send(c->fetch, &(struct fetch_request){
						   .method = r->method,
						   .url = buf_cstr(&url),
						   .identity = &c->identity,
						   .headers = h,
						   .headers_len = n,
						   .body = r->body,
						   .timeout_ms = r->on_data      ? r->timeout_ms
								 : r->timeout_ms ? r->timeout_ms
										 : REQUEST_MS,
						   .on_data = r->on_data ? on_data : NULL,
						   .on_done = on_done,
						   .arg = call,
					   });
	buf_fini(&url);
	return call;
}

struct client_call *client_apply(struct client *c, const char *path, struct str obj, bool force,
				 client_done_fn done, void *arg)
{
	struct buf p = { 0 };
	buf_addf(&p, "%s%cforce=%s", path, strchr(path, '?') ? '&' : '?', force ? "true" : "false");
	struct client_call *call =
		client_send(c, &(struct client_request){
				       .method = "PATCH",
				       .path = buf_cstr(&p),
				       .content_type = "application/apply-patch+yaml",
				       .body = obj,
				       .done = done,
				       .arg = arg,
			       });
	buf_fini(&p);
	return call;
}

struct str client_object_key(struct arena *a, const struct json *obj)
{
	const struct json *meta = json_getc(obj, "metadata");
	struct str name = json_str(json_getc(meta, "name"));
	struct str ns = json_str(json_getc(meta, "namespace"));
	return ns.len ? arena_strf(a, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name)) : arena_str(a, name);
}

char *client_path(struct arena *a, const struct client_resource *r, struct str ns, struct str name)
{
	struct buf b = { 0 };
	if (r->group.len)
		buf_addf(&b, "/apis/%.*s/%.*s", STR_ARG(r->group), STR_ARG(r->version));
	else
		buf_addf(&b, "/api/%.*s", STR_ARG(r->version));
	if (r->namespaced && ns.len)
		buf_addf(&b, "/namespaces/%.*s", STR_ARG(ns));
	buf_addf(&b, "/%.*s", STR_ARG(r->plural));
	if (name.len)
		buf_addf(&b, "/%.*s", STR_ARG(name));
	char *path = arena_strdup(a, buf_cstr(&b));
	buf_fini(&b);
	return path;
}
