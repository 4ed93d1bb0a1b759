#include "http_site.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "sys/file.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY = 86400, PATIENCE_MS = 20000, PUMP_BYTES = 65536 };

/* ---- the site ---- */

struct later {
	struct loop_timer timer;
	struct http_request *r;
};

struct pump {
	uint64_t left;
};

static struct site *site_of(struct http_request *r)
{
	return http_server_user(r->loop->server);
}

static void write_text(struct http_request *r, const char *text)
{
	struct bytes *b = bytes_of_str(str_of(text));
	(void)http_write(r, b);
	bytes_unref(b);
}

static void on_later(struct loop_timer *t)
{
	struct later *l = container_of(t, struct later, timer);
	http_reply_text(l->r, 200, "text/plain", STR("later\n"));
}

static void answer_later(struct http_request *r)
{
	struct later *l = arena_new(&r->arena, struct later, 1);
	l->timer.fn = on_later;
	l->r = r;
	r->user = l;
	loop_timer_set(r->loop->loop, &l->timer, 1);
}

static void show(struct http_request *r)
{
	struct buf b = { 0 };
	buf_addf(&b, "%.*s|%.*s|%.*s|%.*s\n", STR_ARG(r->method), STR_ARG(r->path),
		 STR_ARG(r->query), STR_ARG(r->authority));
	for (size_t i = 0; i < r->headers_len; i++)
		buf_addf(&b, "%.*s=%.*s\n", STR_ARG(r->headers[i].name),
			 STR_ARG(r->headers[i].value));
	http_reply_text(r, 200, "text/plain", buf_str(&b));
	buf_fini(&b);
}

static void who(struct http_request *r)
{
	struct buf b = { 0 };
	if (r->peer) {
		buf_add_str(&b, r->peer->common_name);
		for (size_t i = 0; i < r->peer->organizations_len; i++)
			buf_addf(&b, " %.*s", STR_ARG(r->peer->organizations[i]));
	} else {
		buf_adds(&b, "nobody");
	}
	http_reply_text(r, 200, "text/plain", buf_str(&b));
	buf_fini(&b);
}

static uint64_t number_of(struct http_request *r)
{
	uint64_t n = 0;
	(void)str_to_u64(r->query, &n);
	return n;
}

static void list(struct http_request *r)
{
	struct http_body body = { 0 };
	struct bytes *ten = bytes_of_str(STR("0123456789"));
	uint64_t n = number_of(r);
	for (uint64_t i = 0; i < n; i++) {
		if (i % 3 == 0)
			http_body_lit(&body, STR("0123456789"));
		else if (i % 3 == 1)
			http_body_add(&body, ten);
		else
			http_body_copy(&body, STR("0123456789"));
	}
	bytes_unref(ten);
	http_reply_body(r, 200, NULL, 0, &body);
}

static void pump(struct http_request *r)
{
	struct pump *p = r->user;
	struct bytes *b = bytes_new(NULL, PUMP_BYTES);
	memset(b->data, 'p', PUMP_BYTES);
	if (p->left >= PUMP_BYTES) {
		p->left -= PUMP_BYTES;
		(void)http_write(r, b);
	} else {
		http_end(r);
	}
	bytes_unref(b);
}

static void flood(struct http_request *r)
{
	struct bytes *b = bytes_new(NULL, PUMP_BYTES);
	memset(b->data, 'f', PUMP_BYTES);
	http_begin(r, 200, NULL, 0);
	while (http_write(r, b))
		;
	bytes_unref(b);
}

static void start_stream(struct http_request *r)
{
	struct site *s = site_of(r);
	struct http_header type = { STR("content-type"), STR("application/json") };
	http_begin(r, 200, &type, 1);
	write_text(r, "one\n");
	(void)pthread_mutex_lock(&s->lock);
	s->streams[s->streams_len++] = r;
	(void)pthread_mutex_unlock(&s->lock);
}

static void small_ones(struct http_request *r)
{
	struct http_header inject = { STR("x-test"), STR("a\r\nx-evil: b") };
	struct http_header sum = { STR("x-sum"), STR("4") };
	if (str_is(r->path, "/inject")) {
		http_reply(r, 200, &inject, 1, STR("ok"));
	} else if (str_is(r->path, "/none")) {
		http_reply(r, 204, NULL, 0, STR_NONE);
	} else if (str_is(r->path, "/trailers")) {
		http_begin(r, 200, NULL, 0);
		write_text(r, "body");
		http_end_trailers(r, &sum, 1);
	} else {
		http_reply_text(r, 404, "text/plain", STR("not found\n"));
	}
}

static void on_request(struct http_request *r)
{
	struct site *s = site_of(r);
	atomic_fetch_add(&s->begun, 1);
	if (str_is(r->path, "/hello"))
		http_reply_text(r, 200, "text/plain", STR("hello\n"));
	else if (str_is(r->path, "/echo"))
		http_reply(r, 200, NULL, 0, r->body);
	else if (str_is(r->path, "/show") || str_is(r->path, "*"))
		show(r);
	else if (str_is(r->path, "/who"))
		who(r);
	else if (str_is(r->path, "/later"))
		answer_later(r);
	else if (str_is(r->path, "/list"))
		list(r);
	else if (str_is(r->path, "/stream"))
		start_stream(r);
	else if (str_is(r->path, "/flood"))
		flood(r);
	else if (str_is(r->path, "/pump")) {
		struct pump *p = arena_new(&r->arena, struct pump, 1);
		p->left = number_of(r);
		r->user = p;
		http_begin(r, 200, NULL, 0);
		pump(r);
	} else
		small_ones(r);
}

static void on_headers(struct http_request *r)
{
	if (str_is(r->path, "/early"))
		http_reply_text(r, 401, "text/plain", STR("who are you\n"));
}

static void on_close(struct http_request *r)
{
	struct site *s = site_of(r);
	if (str_is(r->path, "/later") && r->user)
		loop_timer_stop(&((struct later *)r->user)->timer);
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->streams_len; i++) {
		if (s->streams[i] == r)
			s->streams[i--] = s->streams[--s->streams_len];
	}
	(void)pthread_mutex_unlock(&s->lock);
	atomic_fetch_add(&s->closed, 1);
}

static void on_stop(struct http_request *r)
{
	atomic_fetch_add(&site_of(r)->stopped, 1);
	http_end(r);
}

static void on_drained(struct http_request *r)
{
	atomic_fetch_add(&site_of(r)->drained, 1);
	if (str_is(r->path, "/pump"))
		pump(r);
}

static void on_tls_error(struct http_loop *l, struct str address, const struct error *err)
{
	struct site *s = http_server_user(l->server);
	cr_assert(str_starts(address, STR("127.0.0.1:")));
	(void)pthread_mutex_lock(&s->lock);
	(void)snprintf(s->tls_error, sizeof(s->tls_error), "%s", err->msg);
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- certificates ---- */

static void save(struct site *s, const char *name, const char *ending, struct buf *text)
{
	char path[128];
	struct error err = { 0 };
	(void)snprintf(path, sizeof(path), "%s/%s.%s", s->dir, name, ending);
	cr_assert_eq(file_write_atomic(path, buf_str(text), 0600, &err), 0, "%s", err.msg);
}

static void issue(struct site *s, struct pki_pair *ca, const char *name, int64_t until)
{
	struct str names[] = { STR("127.0.0.1") };
	struct str orgs[] = { STR("system:masters"), STR("ops") };
	int64_t now = clock_unix_ms() / 1000;
	struct pki_request req = { .common_name = str_of(name),
				   .organizations = orgs,
				   .organizations_len = 2,
				   .names = names,
				   .names_len = 1,
				   .use = PKI_SERVER | PKI_CLIENT,
				   .not_before = now - 2 * DAY,
				   .not_after = now + until };
	struct pki_pair pair = { 0 };
	struct error err = { 0 };
	cr_assert_eq(pki_issue(buf_str(&ca->cert), buf_str(&ca->key), &req, &pair, &err), 0, "%s",
		     err.msg);
	save(s, name, "crt", &pair.cert);
	save(s, name, "key", &pair.key);
	pki_pair_fini(&pair);
}

static void make_certificates(struct site *s)
{
	struct pki_pair ca = { 0 };
	struct pki_pair other = { 0 };
	struct error err = { 0 };
	int64_t now = clock_unix_ms() / 1000;
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/test_http.XXXXXX");
	cr_assert(mkdtemp(s->dir));
	cr_assert_eq(pki_make_ca(STR("ca"), now - 3 * DAY, now + DAY, &ca, &err), 0);
	cr_assert_eq(pki_make_ca(STR("other"), now - 3 * DAY, now + DAY, &other, &err), 0);
	save(s, "ca", "crt", &ca.cert);
	issue(s, &ca, "srv", DAY);
	issue(s, &ca, "alice", DAY);
	issue(s, &ca, "late", -DAY);
	issue(s, &other, "stranger", DAY);
	pki_pair_fini(&ca);
	pki_pair_fini(&other);
	char cert[128];
	char key[128];
	char ca_file[128];
	(void)snprintf(cert, sizeof(cert), "%s/srv.crt", s->dir);
	(void)snprintf(key, sizeof(key), "%s/srv.key", s->dir);
	(void)snprintf(ca_file, sizeof(ca_file), "%s/ca.crt", s->dir);
	struct tls_files files = { cert, key, ca_file };
	cr_assert_eq(tls_server_new(&files, "h2,http/1.1", &s->tls, &err), 0, "%s", err.msg);
}

struct site *site_new(struct site_options opt)
{
	struct site *s = mem_new(struct site, 1);
	struct error err = { 0 };
	struct str listen = STR("127.0.0.1:0");
	(void)pthread_mutex_init(&s->lock, NULL);
	if (opt.tls)
		make_certificates(s);
	struct http_server_config cfg = { .listen = &listen,
					  .listen_len = 1,
					  .threads = opt.threads ? opt.threads : 1,
					  .tls = s->tls,
					  .limits = opt.limits,
					  .on = { .on_request = on_request,
						  .on_headers = on_headers,
						  .on_close = on_close,
						  .on_stop = on_stop,
						  .on_drained = on_drained,
						  .on_tls_error = on_tls_error },
					  .user = s };
	cr_assert_eq(http_server_start(&cfg, &s->server, &err), 0, "%s", err.msg);
	s->port = http_server_port(s->server, 0);
	cr_assert_neq(s->port, 0);
	return s;
}

void site_free(struct site *s)
{
	struct error err = { 0 };
	http_server_free(s->server);
	cr_assert_eq(s->streams_len, 0);
	tls_free(s->tls);
	if (s->dir[0])
		cr_assert_eq(file_remove_tree(s->dir, &err), 0);
	(void)pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

struct emit {
	struct site *s;
	struct http_loop *loop;
	struct bytes *text; /* NULL = the end */
};

static void do_emit(void *arg)
{
	struct emit *e = arg;
	struct http_request *all[1024];
	(void)pthread_mutex_lock(&e->s->lock);
	size_t n = e->s->streams_len;
	memcpy(all, e->s->streams, n * sizeof(*all));
	(void)pthread_mutex_unlock(&e->s->lock);
	for (size_t i = 0; i < n; i++) {
		if (all[i]->loop != e->loop)
			continue;
		if (e->text)
			(void)http_write(all[i], e->text);
		else
			http_end(all[i]);
	}
	bytes_unref(e->text);
	mem_free(e);
}

static void emit(struct site *s, const char *text)
{
	for (size_t i = 0; i < http_server_loops(s->server); i++) {
		struct emit *e = mem_new(struct emit, 1);
		e->s = s;
		e->loop = http_server_loop(s->server, i);
		e->text = text ? bytes_of_str(str_of(text)) : NULL;
		loop_post(e->loop->loop, do_emit, e);
	}
}

void site_emit(struct site *s, const char *text)
{
	emit(s, text);
}

void site_end_streams(struct site *s)
{
	emit(s, NULL);
}

static void on_drain_done(void *arg)
{
	struct site *s = arg;
	atomic_store(&s->drain_done, true);
}

void site_drain(struct site *s, uint32_t grace_ms)
{
	http_server_drain(s->server, grace_ms, on_drain_done, s);
}

void site_wait(atomic_int *count, int at_least)
{
	for (int i = 0; i < PATIENCE_MS && atomic_load(count) < at_least; i++)
		(void)poll(NULL, 0, 1);
	cr_assert_geq(atomic_load(count), at_least);
}

/* ---- the client ---- */

static void wait_for(struct client *c, short events)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	(void)poll(&p, 1, PATIENCE_MS);
}

void client_open(struct client *c, struct site *s, const char *cert, const char *alpn)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(s->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int on = 1;
	struct error err = { 0 };
	*c = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	cr_assert(c->fd >= 0);
	cr_assert_eq(connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	file_set_nonblock(c->fd);
	if (!cert)
		return;
	char paths[3][128];
	(void)snprintf(paths[0], sizeof(paths[0]), "%s/%s.crt", s->dir, cert);
	(void)snprintf(paths[1], sizeof(paths[1]), "%s/%s.key", s->dir, cert);
	(void)snprintf(paths[2], sizeof(paths[2]), "%s/ca.crt", s->dir);
	struct tls_files files = { .ca_file = paths[2] };
	if (*cert) {
		files.cert_file = paths[0];
		files.key_file = paths[1];
	}
	cr_assert_eq(tls_client_new(&files, alpn, &c->context, &err), 0, "%s", err.msg);
	c->tls = tls_connect(c->context, c->fd, "127.0.0.1");
}

int client_handshake(struct client *c, struct error *err)
{
	for (;;) {
		int rc = tls_handshake(c->tls, err);
		if (rc != TLS_WANT_READ && rc != TLS_WANT_WRITE)
			return rc;
		wait_for(c, rc == TLS_WANT_READ ? POLLIN : POLLOUT);
	}
}

void client_close(struct client *c)
{
	tls_conn_free(c->tls);
	tls_free(c->context);
	if (c->fd >= 0)
		(void)close(c->fd);
	buf_fini(&c->in);
	c->fd = -1;
}

void client_send(struct client *c, const char *p, size_t n)
{
	while (n) {
		struct error err;
		ssize_t k =
			c->tls ? tls_write(c->tls, p, n, &err) : send(c->fd, p, n, MSG_NOSIGNAL);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (c->tls ? k == TLS_WANT_WRITE || k == TLS_WANT_READ : errno == EAGAIN) {
			/* the answer may have to be taken before more is accepted */
			struct pollfd f = { .fd = c->fd, .events = POLLOUT };
			if (poll(&f, 1, PATIENCE_MS) <= 0)
				return;
		} else {
			return;
		}
	}
}

void client_say(struct client *c, const char *text)
{
	client_send(c, text, strlen(text));
}

ssize_t client_read(struct client *c)
{
	struct error err;
	buf_reserve(&c->in, 65536);
	for (int tries = 0; tries < 1000; tries++) {
		ssize_t k = c->tls ? tls_read(c->tls, c->in.p + c->in.len, 65536, &err)
				   : recv(c->fd, c->in.p + c->in.len, 65536, 0);
		if (k > 0)
			c->in.len += (size_t)k;
		if (k >= 0)
			return k;
		if (c->tls ? k != TLS_WANT_READ && k != TLS_WANT_WRITE : errno != EAGAIN)
			return -1;
		struct pollfd f = { .fd = c->fd, .events = POLLIN };
		if (poll(&f, 1, PATIENCE_MS) <= 0)
			return -1;
	}
	return -1;
}

void client_read_all(struct client *c)
{
	while (client_read(c) > 0)
		;
}

static bool read_until(struct client *c, size_t n)
{
	while (c->in.len < n) {
		if (client_read(c) <= 0)
			return false;
	}
	return true;
}

static ptrdiff_t find_end(struct client *c, const char *mark)
{
	for (;;) {
		ptrdiff_t at = str_find_str(buf_str(&c->in), str_of(mark), 0);
		if (at >= 0 || client_read(c) <= 0)
			return at;
	}
}

static bool read_chunks(struct client *c, struct buf *body)
{
	for (;;) {
		ptrdiff_t eol = find_end(c, "\r\n");
		if (eol < 0)
			return false;
		size_t size = strtoul(buf_cstr(&c->in), NULL, 16);
		buf_consume(&c->in, (size_t)eol + 2);
		if (size == 0) {
			eol = find_end(c, "\r\n");
			if (eol < 0)
				return false;
			/* trailers go to the body's end, for tests that look for them */
			while (eol > 0) {
				buf_add(body, c->in.p, (size_t)eol);
				buf_consume(&c->in, (size_t)eol + 2);
				eol = find_end(c, "\r\n");
			}
			buf_consume(&c->in, 2);
			return true;
		}
		if (!read_until(c, size + 2))
			return false;
		buf_add(body, c->in.p, size);
		buf_consume(&c->in, size + 2);
	}
}

int client_answer(struct client *c, struct buf *head, struct buf *body, bool no_body)
{
	buf_clear(head);
	buf_clear(body);
	ptrdiff_t end = find_end(c, "\r\n\r\n");
	if (end < 0)
		return 0;
	buf_add(head, c->in.p, (size_t)end + 4);
	buf_consume(&c->in, (size_t)end + 4);
	cr_assert(str_starts(buf_str(head), STR("HTTP/1.1 ")), "%s", buf_cstr(head));
	int status = (int)strtol(buf_cstr(head) + 9, NULL, 10);
	const char *length = strstr(buf_cstr(head), "content-length: ");
	if (no_body || status == 100 || status == 204)
		return status;
	if (length) {
		size_t n = strtoul(length + 16, NULL, 10);
		if (!read_until(c, n))
			return 0;
		buf_add(body, c->in.p, n);
		buf_consume(&c->in, n);
	} else if (strstr(buf_cstr(head), "transfer-encoding: chunked")) {
		if (!read_chunks(c, body))
			return 0;
	} else {
		client_read_all(c);
		buf_add(body, c->in.p, c->in.len);
		buf_clear(&c->in);
	}
	return status;
}

int client_ask(struct client *c, const char *text, struct buf *body)
{
	struct buf head = { 0 };
	client_send(c, text, strlen(text));
	int status = client_answer(c, &head, body, false);
	buf_fini(&head);
	return status;
}
