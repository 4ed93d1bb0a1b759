#include "fetch/fetch.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"

#include <curl/curl.h>

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECT_MS = 10000,
	REPLY_BYTES_MAX = 64 << 20,
	PEER_SILENT_MS = 30000, /* unacknowledged data or keep-alive probes: the peer is gone */
};

struct fetch_socket {
	struct loop_io io;
	struct fetch *owner;
	struct list link;
};

struct fetch {
	CURLM *multi;
	struct loop *loop;
	struct loop_timer timer;
	struct loop_task reap; /* frees calls cancelled, adds calls sent from inside libcurl */
	struct list calls, sockets;
	unsigned depth; /* inside libcurl: handles must not be removed */
};

struct fetch_call {
	struct fetch *owner;
	struct list link;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char *body;
	struct buf reply;
	size_t reply_bytes_max;
	bool over_limit, guard_hit, cancelled;
	bool waiting; /* sent from inside libcurl: added at the end of the turn */
	bool guard, allow_private;
	void (*on_data)(void *arg, int status, struct str data);
	void (*on_done)(void *arg, int status, struct str reply, const struct error *err);
	void *arg;
	char text[CURL_ERROR_SIZE];
};

static void call_free(struct fetch_call *call)
{
	list_del(&call->link);
	if (call->easy) {
		(void)curl_multi_remove_handle(call->owner->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->connect_to);
	mem_free(call->body);
	buf_fini(&call->reply);
	mem_free(call);
}

static int call_status(const struct fetch_call *call)
{
	long status = 0;
	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

/* ---- the end of a call ---- */

static enum err_code code_of(CURLcode rc)
{
	switch ((int)rc) {
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return ERR_UNAUTHORIZED;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return ERR_BAD_REQUEST;
	default:
		return ERR_UNAVAILABLE;
	}
}

static void finish(struct fetch_call *call, CURLcode rc)
{
	struct error err = { 0 };
	int status = call_status(call);
	const char *url = "";
	(void)curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
	const char *text = call->text[0] ? call->text : curl_easy_strerror(rc);
	if (call->guard_hit)
		(void)error_set(&err, ERR_FORBIDDEN,
				"%s: the address is private and not allowed as a target", url);
	else if (call->over_limit)
		(void)error_set(&err, ERR_TOO_LARGE, "%s: the reply is over %zu bytes", url,
				call->reply_bytes_max);
	else if (rc != CURLE_OK)
		(void)error_set(&err, code_of(rc), "%s: %s", url, text);
	bool ok = err.code == ERR_OK;
	call->on_done(call->arg, ok ? status : 0, ok ? buf_str(&call->reply) : STR_NONE,
		      ok ? NULL : &err);
}

static void reap_finished(struct fetch *c)
{
	CURLMsg *msg = NULL;
	int left = 0;
	while ((msg = curl_multi_info_read(c->multi, &left))) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		struct fetch_call *call = NULL;
		CURLcode rc = msg->data.result;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		assert(call);
		if (!call->cancelled) {
			call->cancelled = true; /* fetch_cancel() from on_done is harmless */
			finish(call, rc);
		}
		call_free(call);
	}
}

static void add_handle(struct fetch_call *call)
{
	call->waiting = false;
	CURLMcode rc = curl_multi_add_handle(call->owner->multi, call->easy);
	assert(rc == CURLM_OK);
	(void)rc;
}

static void reap_cancelled(struct loop_task *t)
{
	struct fetch *c = container_of(t, struct fetch, reap);
	list_for_each(it, &c->calls)
	{
		struct fetch_call *call = list_entry(it, struct fetch_call, link);
		if (call->cancelled)
			call_free(call);
		else if (call->waiting)
			add_handle(call);
	}
}

/* ---- libcurl's sockets and timer on the loop ---- */

static void act(struct fetch *c, curl_socket_t fd, int what)
{
	int running = 0;
	c->depth++;
	(void)curl_multi_socket_action(c->multi, fd, what, &running);
	c->depth--;
	reap_finished(c);
}

static void on_timer(struct loop_timer *t)
{
	act(container_of(t, struct fetch, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(struct loop_io *io, uint32_t events)
{
	struct fetch_socket *s = container_of(io, struct fetch_socket, io);
	int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
		   (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) ? CURL_CSELECT_ERR : 0);
	act(s->owner, io->fd, what);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	(void)multi;
	struct fetch *c = arg;
	if (ms < 0)
		loop_timer_stop(&c->timer);
	else
		loop_timer_set(c->loop, &c->timer, (uint64_t)ms);
	return 0;
}

static void socket_free(struct fetch_socket *s)
{
	loop_io_del(&s->io);
	list_del(&s->link);
	mem_free(s);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *per_socket)
{
	(void)easy;
	struct fetch *c = arg;
	struct fetch_socket *s = per_socket;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			socket_free(s);
		return 0;
	}
	if (!s) {
		s = mem_new(struct fetch_socket, 1);
		s->owner = c;
		s->io.fd = fd;
		s->io.fn = on_socket;
		list_append(&c->sockets, &s->link);
		(void)curl_multi_assign(c->multi, fd, s);
	}
	loop_io_set(c->loop, &s->io,
		    (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
			    (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0));
	return 0;
}

/* ---- what libcurl asks of a call ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch_call *call = arg;
	size_t len = size * n;
	if (call->cancelled)
		return 0;
	if (call->on_data) {
		call->on_data(call->arg, call_status(call), str_n(p, len));
		return call->cancelled ? 0 : len;
	}
	if (call->reply.len + len > call->reply_bytes_max) {
		call->over_limit = true;
		return 0;
	}
	buf_add(&call->reply, p, len);
	return len;
}

static bool private_v4(uint32_t a)
{
	static const struct {
		uint32_t net;
		int bits;
	} nets[] = {
		{ 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 },
		{ 0x7f000000, 8 },  { 0xa9fe0000, 16 }, { 0xac100000, 12 },
		{ 0xc0000000, 24 }, { 0xc0a80000, 16 }, { 0xe0000000, 3 },
	};
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
		if ((a ^ nets[i].net) >> (32 - nets[i].bits) == 0)
			return true;
	return false;
}

static bool private_address(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return private_v4(
			ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
	if (sa->sa_family != AF_INET6)
		return true;
	const uint8_t *b = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr;
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t zero[12] = { 0 };
	if (!memcmp(b, mapped, 12) || !memcmp(b, nat64, 12) || !memcmp(b, zero, 12))
		return private_v4((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 |
				  (uint32_t)b[14] << 8 | b[15]) ||
		       !memcmp(b, zero, 12);
	return (b[0] & 0xfe) == 0xfc || b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0x80));
}

/* Called with the address about to be connected to, after name resolution. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void)purpose;
	struct fetch_call *call = arg;
	if (call->guard && !call->allow_private && private_address(&a->addr)) {
		call->guard_hit = true;
		return CURL_SOCKET_BAD;
	}
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	unsigned silent = PEER_SILENT_MS;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof(silent));
	return fd;
}

/* ---- setting up ---- */

static struct curl_blob blob(const char *pem)
{
	union {
		const char *in;
		void *out;
	} u = { .in = pem }; /* libcurl's blob is not const, but it copies */
	return (struct curl_blob){ .data = u.out, .len = strlen(pem), .flags = CURL_BLOB_COPY };
}

#define SET(opt, value) (void)curl_easy_setopt(call->easy, (opt), (value))

static void set_identity(struct fetch_call *call, const struct fetch_identity *id)
{
	if (!id)
		return;
	if (id->ca_pem) {
		struct curl_blob b = blob(id->ca_pem);
		SET(CURLOPT_CAINFO_BLOB, &b);
	}
	if (id->cert_pem && id->key_pem) {
		struct curl_blob c = blob(id->cert_pem);
		struct curl_blob k = blob(id->key_pem);
		SET(CURLOPT_SSLCERT_BLOB, &c);
		SET(CURLOPT_SSLCERTTYPE, "PEM");
		SET(CURLOPT_SSLKEY_BLOB, &k);
		SET(CURLOPT_SSLKEYTYPE, "PEM");
	}
	if (id->bearer_token) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		SET(CURLOPT_XOAUTH2_BEARER, id->bearer_token);
	}
	if (id->insecure_skip_verify) {
		SET(CURLOPT_SSL_VERIFYPEER, 0L);
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

/*
 * The server is known by another name than its address: ask for that name (SNI,
 * Host, verification) but connect to where the URL points.
 */
static void set_url(struct fetch_call *call, const struct fetch_request *r)
{
	const char *name = r->identity ? r->identity->server_name : NULL;
	CURLU *u = name ? curl_url() : NULL;
	char *host = NULL;
	char *port = NULL;
	char *url = NULL;
	if (u && !curl_url_set(u, CURLUPART_URL, r->url, 0) &&
	    !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
	    !curl_url_set(u, CURLUPART_HOST, name, 0) && !curl_url_get(u, CURLUPART_URL, &url, 0)) {
		struct buf to = { 0 };
		buf_addf(&to, "%s:%s:%s:%s", name, port, host, port);
		call->connect_to = curl_slist_append(NULL, buf_cstr(&to));
		buf_fini(&to);
		SET(CURLOPT_CONNECT_TO, call->connect_to);
	}
	SET(CURLOPT_URL, url ? url : r->url);
	curl_free(host);
	curl_free(port);
	curl_free(url);
	curl_url_cleanup(u);
}

static void set_headers(struct fetch_call *call, const struct fetch_request *r)
{
	/* libcurl adds these by itself unless told not to */
	call->headers = curl_slist_append(call->headers, "Expect:");
	for (size_t i = 0; i < r->headers_len; i++) {
		struct buf line = { 0 };
		buf_addf(&line, "%s: %s", r->headers[i].name, r->headers[i].value);
		call->headers = curl_slist_append(call->headers, buf_cstr(&line));
		buf_fini(&line);
	}
	if (!call->headers)
		mem_abort();
	SET(CURLOPT_HTTPHEADER, call->headers);
}

static void set_limits(struct fetch_call *call, const struct fetch_request *r)
{
	SET(CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(r->connect_ms ? r->connect_ms : CONNECT_MS));
	if (r->idle_ms) {
		SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
		SET(CURLOPT_LOW_SPEED_TIME, (long)((r->idle_ms + 999) / 1000));
	}
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, 15L);
	SET(CURLOPT_TCP_KEEPINTVL, 5L);
}

struct fetch_call *fetch_send(struct fetch *c, const struct fetch_request *r)
{
	struct fetch_call *call = mem_new(struct fetch_call, 1);
	call->owner = c;
	call->on_data = r->on_data;
	call->on_done = r->on_done;
	call->arg = r->arg;
	call->guard = r->guard;
	call->allow_private = r->allow_private;
	call->reply_bytes_max = r->reply_bytes_max ? r->reply_bytes_max : REPLY_BYTES_MAX;
	call->easy = curl_easy_init();
	if (!call->easy)
		mem_abort();
	list_append(&c->calls, &call->link);

	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_ERRORBUFFER, call->text);
	set_url(call, r);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_PIPEWAIT, 1L); /* share one h2 connection */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_ACCEPT_ENCODING, r->on_data ? NULL : "gzip");
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, call);
	SET(CURLOPT_CUSTOMREQUEST, r->method);
	if (!strcmp(r->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	if (r->body.p) {
		call->body = mem_strndup(r->body.p, r->body.len);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
		SET(CURLOPT_POSTFIELDS, call->body);
	}
	set_headers(call, r);
	set_identity(call, r->identity);
	set_limits(call, r);
	if (c->depth) {
		call->waiting = true;
		loop_defer(c->loop, &c->reap);
	} else {
		add_handle(call);
	}
	return call;
}

void fetch_cancel(struct fetch_call *call)
{
	if (!call || call->cancelled)
		return;
	if (call->owner->depth) {
		call->cancelled = true;
		loop_defer(call->owner->loop, &call->owner->reap);
	} else {
		call_free(call);
	}
}

void fetch_pause(struct fetch_call *call)
{
	(void)curl_easy_pause(call->easy, CURLPAUSE_RECV);
}

void fetch_resume(struct fetch_call *call)
{
	(void)curl_easy_pause(call->easy, CURLPAUSE_CONT);
}

struct str fetch_reply_header_at(const struct fetch_call *call, const char *name, size_t i)
{
	struct curl_header *h = NULL;
	if (curl_easy_header(call->easy, name, i, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return STR("");
	return str_of(h->value);
}

struct str fetch_reply_header(const struct fetch_call *call, const char *name)
{
	return fetch_reply_header_at(call, name, 0);
}

struct fetch *fetch_new(struct loop *l)
{
	CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
	assert(rc == CURLE_OK);
	(void)rc;
	struct fetch *c = mem_new(struct fetch, 1);
	c->loop = l;
	c->timer.fn = on_timer;
	c->reap.fn = reap_cancelled;
	list_init(&c->calls);
	list_init(&c->sockets);
	c->multi = curl_multi_init();
	if (!c->multi)
		mem_abort();
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	(void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	(void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	(void)curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	return c;
}

struct fetch *fetch_free(struct fetch *c)
{
	if (!c)
		return NULL;
	assert(c->depth == 0);
	list_for_each(it, &c->calls) call_free(list_entry(it, struct fetch_call, link));
	(void)curl_multi_cleanup(c->multi);
	list_for_each(it, &c->sockets) socket_free(list_entry(it, struct fetch_socket, link));
	loop_timer_stop(&c->timer);
	loop_task_cancel(&c->reap);
	mem_free(c);
	curl_global_cleanup();
	return NULL;
}
