/* kload - a small load generator for Kubernetes-style REST API servers.
 *
 * One thread, epoll, OpenSSL, HTTP/1.1 keep-alive, closed loop (each connection has one
 * request under way at a time; -c is the concurrency).  It knows nothing about the server
 * but the Kubernetes API conventions, so the same command line runs against any of them.
 *
 *   cc -O2 -D_GNU_SOURCE -o kload kload.c -lssl -lcrypto
 *
 * Usage: kload [common flags] OP [flags]
 *   OP: create | update | patch | apply | get | list | delete | watch
 */
#include "kload_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum op { OP_CREATE, OP_UPDATE, OP_PATCH, OP_APPLY, OP_GET, OP_LIST, OP_DELETE, OP_WATCH };
static const char *const op_names[] = { "create", "update", "patch",  "apply",
					"get",    "list",   "delete", "watch" };

static struct {
	const char *base, *token, *ca, *cert, *key, *ns, *prefix, *api, *resource, *kind, *field;
	const char *accept, *query, *label, *userpass;
	bool insecure, gzip, quiet, random, one;
	int conns, size, watchers;
	uint64_t total, first, objects;
	double duration, rate, warmup;
	enum op op;
	char host[256], port[16];
	bool tls;
	struct {
		char name[32];
		int pid;
	} pids[8];
	int npids;
} cfg = {
	.base = "https://127.0.0.1:6443",
	.ns = "default",
	.prefix = "kload",
	.api = "/api/v1",
	.resource = "configmaps",
	.kind = "ConfigMap",
	.field = "data",
	.accept = "application/json",
	.conns = 16,
	.size = 1024,
	.watchers = 100,
	.total = 0,
	.objects = 1000,
	.duration = 0,
	.rate = 0,
};

/* ---------- connections ---------- */
enum cstate { C_CONNECT, C_HANDSHAKE, C_IDLE, C_WRITE, C_READ, C_DEAD };
struct conn {
	int fd, id;
	SSL *ssl;
	enum cstate st;
	uint32_t events;
	bool watch; /* a watch stream instead of request/response */
	bool retry; /* request must be sent again after reconnect */
	struct buf out;
	size_t sent;
	uint64_t t0, seq;
	/* response parser */
	struct buf line; /* header or chunk-size line under assembly */
	enum {
		P_STATUS,
		P_HEADERS,
		P_BODY,
		P_CHUNK_SIZE,
		P_CHUNK,
		P_CHUNK_END,
		P_TRAILER,
		P_UNTIL_CLOSE
	} ps;
	int status;
	bool chunked, close;
	int64_t left;
	struct buf body; /* kept for watch lines and for small error bodies */
	uint64_t events_seen;
};

static int ep;
static SSL_CTX *ctx;
static SSL_SESSION *sess;
static struct sockaddr_storage addr;
static socklen_t addrlen;
static struct conn *conns;
static int nconns, nready;
static uint64_t issued, done, errors, reconnects, bytes_in, stop_at, t_start;
static struct samples lat, lag_send, lag_ack;
static uint64_t status_count[600];
static char *payload;
static unsigned run_id;
static bool running;
static char first_error[512];
/* watch mode */
static uint64_t *w_sent, *w_ack, w_cap, w_events, w_first, w_last, w_closed;
static char list_rv[64];

static void ep_set(struct conn *c, uint32_t ev)
{
	if (c->events == ev)
		return;
	struct epoll_event e = { .events = ev, .data.ptr = c };
	if (epoll_ctl(ep, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll_ctl: %s", strerror(errno));
	c->events = ev;
}

static void conn_open(struct conn *c)
{
	c->fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(c->fd, (struct sockaddr *)&addr, addrlen) < 0 && errno != EINPROGRESS)
		die("connect: %s", strerror(errno));
	c->st = C_CONNECT;
	c->events = 0;
	c->ps = P_STATUS;
	c->line.len = c->body.len = 0;
	if (cfg.tls) {
		c->ssl = SSL_new(ctx);
		SSL_set_fd(c->ssl, c->fd);
		SSL_set_tlsext_host_name(c->ssl, cfg.host);
		if (!cfg.insecure)
			SSL_set1_host(c->ssl, cfg.host);
		if (sess)
			SSL_set_session(c->ssl, sess);
		SSL_set_connect_state(c->ssl);
	}
	ep_set(c, EPOLLOUT);
}

static void conn_close(struct conn *c)
{
	if (c->ssl)
		SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->events = 0;
	c->st = C_DEAD;
}

static void request_head(struct conn *c, const char *method, const char *path, const char *query,
			 const char *ctype, size_t blen)
{
	c->out.len = 0;
	buf_printf(&c->out,
		   "%s %s%s%s HTTP/1.1\r\nHost: %s:%s\r\nAccept: %s\r\nUser-Agent: kload\r\n",
		   method, path, query && *query ? "?" : "", query && *query ? query : "", cfg.host,
		   cfg.port, cfg.accept);
	if (cfg.token)
		buf_printf(&c->out, "Authorization: Bearer %s\r\n", cfg.token);
	if (cfg.gzip)
		buf_printf(&c->out, "Accept-Encoding: gzip\r\n");
	if (ctype)
		buf_printf(&c->out, "Content-Type: %s\r\nContent-Length: %zu\r\n", ctype, blen);
	buf_add(&c->out, "\r\n", 2);
}

/* One object's JSON, padded to cfg.size bytes with a rotating window of random text. */
static void make_body(struct buf *b, uint64_t index, uint64_t seq, bool apply)
{
	b->len = 0;
	const char *apiv = cfg.api;
	if (!strncmp(apiv, "/apis/", 6))
		apiv += 6;
	else if (!strncmp(apiv, "/api/", 5))
		apiv += 5;
	buf_printf(b,
		   "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s-%07llu\","
		   "\"namespace\":\"%s\"",
		   apiv, cfg.kind, cfg.prefix, (unsigned long long)index, cfg.ns);
	if (cfg.label)
		buf_printf(b, ",\"labels\":{\"load\":\"%s\"}", cfg.label);
	/* "run" differs in every run: a PUT equal to what is stored is a no-op that is not written at all */
	buf_printf(b, "},\"%s\":{\"run\":\"%08x\",\"seq\":\"%010llu\",\"payload\":\"", cfg.field,
		   run_id, (unsigned long long)seq);
	(void)apply;
	int pad = cfg.size - (int)b->len - 3;
	if (pad < 8)
		pad = 8;
	buf_add(b, payload + (seq * 7919) % 65536, (size_t)pad);
	buf_add(b, "\"}}", 3);
}

static void build_request(struct conn *c, enum op op, uint64_t n)
{
	static struct buf b;
	char coll[512], path[640], q[512];
	uint64_t idx = cfg.first + (op == OP_CREATE || op == OP_DELETE ? n
				    : cfg.one                          ? 0
				    : cfg.random ? (uint64_t)random() % cfg.objects
						 : n % cfg.objects);
	snprintf(coll, sizeof coll, "%s/namespaces/%s/%s", cfg.api, cfg.ns, cfg.resource);
	snprintf(path, sizeof path, "%s/%s-%07llu", coll, cfg.prefix, (unsigned long long)idx);
	const char *query = cfg.query ? cfg.query : "";
	switch (op) {
	case OP_CREATE:
		make_body(&b, idx, n, false);
		request_head(c, "POST", coll, query, "application/json", b.len);
		buf_add(&c->out, b.p, b.len);
		break;
	case OP_UPDATE:
		make_body(&b, idx, n, false);
		request_head(c, "PUT", path, query, "application/json", b.len);
		buf_add(&c->out, b.p, b.len);
		break;
	case OP_PATCH:
		b.len = 0;
		buf_printf(&b, "{\"%s\":{\"run\":\"%08x\",\"seq\":\"%010llu\"}}", cfg.field, run_id,
			   (unsigned long long)n);
		request_head(c, "PATCH", path, query, "application/merge-patch+json", b.len);
		buf_add(&c->out, b.p, b.len);
		break;
	case OP_APPLY:
		make_body(&b, idx, n, true);
		snprintf(q, sizeof q, "fieldManager=kload&force=true%s%s", *query ? "&" : "",
			 query);
		request_head(c, "PATCH", path, q, "application/apply-patch+yaml", b.len);
		buf_add(&c->out, b.p, b.len);
		break;
	case OP_DELETE:
		request_head(c, "DELETE", path, query, NULL, 0);
		break;
	case OP_GET:
		request_head(c, "GET", path, query, NULL, 0);
		break;
	case OP_LIST:
		request_head(c, "GET", coll, query, NULL, 0);
		break;
	case OP_WATCH:
		snprintf(q, sizeof q,
			 "watch=1&allowWatchBookmarks=true&timeoutSeconds=3000&resourceVersion=%s",
			 list_rv);
		request_head(c, "GET", coll, q, NULL, 0);
		break;
	}
	c->sent = 0;
}

static bool more_work(void)
{
	if (cfg.total && issued >= cfg.total)
		return false;
	if (stop_at && now_ns() >= stop_at)
		return false;
	return true;
}

static void conn_flush(struct conn *c);

static void conn_next(struct conn *c)
{
	if (c->watch)
		return;
	if (!running || (!c->retry && !more_work())) {
		c->st = C_IDLE;
		ep_set(c, EPOLLIN | EPOLLRDHUP);
		return;
	}
	if (!c->retry) {
		c->seq = issued++;
		build_request(c, cfg.op == OP_WATCH ? OP_UPDATE : cfg.op, c->seq);
		if (cfg.op == OP_WATCH) {
			if (c->seq >= w_cap)
				die("too many writes for the lag table");
			w_sent[c->seq] = now_ns();
		}
	}
	c->retry = false;
	c->sent = 0;
	c->t0 = now_ns();
	c->st = C_WRITE;
	conn_flush(c);
}

static void conn_lost(struct conn *c, const char *why)
{
	bool inflight = c->st == C_WRITE || c->st == C_READ;
	if (c->watch && c->st == C_READ) {
		w_closed++;
		if (!first_error[0])
			snprintf(first_error, sizeof first_error,
				 "watch stream %d ended: %s (status %d)", c->id, why, c->status);
		conn_close(c);
		return;
	}
	if (++reconnects > 10000 || (!running && c->st != C_IDLE && !inflight))
		die("connection %d: %s (%s)", c->id, why, ERR_error_string(ERR_get_error(), NULL));
	conn_close(c);
	c->retry = inflight;
	conn_open(c);
}

static void conn_flush(struct conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t n;
		size_t want = c->out.len - c->sent;
		if (c->ssl) {
			ERR_clear_error();
			int r = SSL_write(c->ssl, c->out.p + c->sent, (int)want);
			if (r <= 0) {
				int e = SSL_get_error(c->ssl, r);
				if (e == SSL_ERROR_WANT_WRITE) {
					ep_set(c, EPOLLOUT);
					return;
				}
				if (e == SSL_ERROR_WANT_READ) {
					ep_set(c, EPOLLIN);
					return;
				}
				conn_lost(c, "write failed");
				return;
			}
			n = r;
		} else {
			n = send(c->fd, c->out.p + c->sent, want, MSG_NOSIGNAL);
			if (n < 0) {
				if (errno == EAGAIN) {
					ep_set(c, EPOLLOUT);
					return;
				}
				conn_lost(c, strerror(errno));
				return;
			}
		}
		c->sent += (size_t)n;
	}
	c->st = C_READ;
	c->ps = P_STATUS;
	c->line.len = 0;
	c->body.len = 0;
	c->chunked = c->close = false;
	c->left = -1;
	ep_set(c, EPOLLIN | EPOLLRDHUP);
}

static void watch_line(struct conn *c, const char *p, size_t n)
{
	static const char mark[] = "\"seq\":\"";
	const char *m = memmem(p, n, mark, sizeof mark - 1);
	if (!m || (memmem(p, n > 24 ? 24 : n, "BOOKMARK", 8))) {
		if (memmem(p, n > 24 ? 24 : n, "\"ERROR\"", 7) && !first_error[0])
			snprintf(first_error, sizeof first_error, "%.*s", (int)(n > 400 ? 400 : n),
				 p);
		return;
	}
	uint64_t t = now_ns(), seq = strtoull(m + sizeof mark - 1, NULL, 10);
	c->events_seen++;
	w_events++;
	if (!w_first)
		w_first = t;
	w_last = t;
	if (seq < w_cap && w_sent[seq]) {
		sample_add(&lag_send, t - w_sent[seq]);
		sample_add(&lag_ack, w_ack[seq] && t > w_ack[seq] ? t - w_ack[seq] : 0);
	}
}

static void body_data(struct conn *c, const char *p, size_t n)
{
	if (!c->watch || c->status != 200) {
		if (c->status >= 300 || cfg.op == OP_WATCH)
			if (c->body.len < 4096)
				buf_add(&c->body, p, n > 4096 ? 4096 : n);
		return;
	}
	while (n) {
		const char *nl = memchr(p, '\n', n);
		if (!nl) {
			buf_add(&c->body, p, n);
			return;
		}
		size_t k = (size_t)(nl - p);
		if (c->body.len) {
			buf_add(&c->body, p, k);
			watch_line(c, c->body.p, c->body.len);
			c->body.len = 0;
		} else
			watch_line(c, p, k);
		p += k + 1;
		n -= k + 1;
	}
}

static void response_done(struct conn *c)
{
	uint64_t t = now_ns();
	if (c->status > 0 && c->status < 600)
		status_count[c->status]++;
	if (c->status < 200 || c->status > 299) {
		errors++;
		if (!first_error[0])
			snprintf(first_error, sizeof first_error, "%d %.*s", c->status,
				 (int)(c->body.len > 400 ? 400 : c->body.len),
				 c->body.p ? c->body.p : "");
	} else
		sample_add(&lat, t - c->t0);
	if (cfg.op == OP_WATCH && c->seq < w_cap)
		w_ack[c->seq] = t;
	done++;
	c->st = C_IDLE;
	if (c->close) {
		conn_close(c);
		conn_open(c);
		return;
	}
	if (cfg.op == OP_WATCH && cfg.rate > 0)
		return; /* paced by the main loop */
	conn_next(c);
}

static void parse(struct conn *c, const char *p, size_t n)
{
	while (n && c->st == C_READ) {
		if (c->ps == P_BODY || c->ps == P_CHUNK || c->ps == P_UNTIL_CLOSE) {
			size_t k = c->left >= 0 && (size_t)c->left < n ? (size_t)c->left : n;
			body_data(c, p, k);
			p += k;
			n -= k;
			if (c->ps == P_UNTIL_CLOSE)
				continue;
			c->left -= (int64_t)k;
			if (c->left == 0) {
				if (c->ps == P_BODY)
					response_done(c);
				else
					c->ps = P_CHUNK_END;
			}
			continue;
		}
		const char *nl = memchr(p, '\n', n);
		size_t k = nl ? (size_t)(nl - p) + 1 : n;
		buf_add(&c->line, p, k);
		p += k;
		n -= k;
		if (!nl)
			return;
		size_t L = c->line.len;
		while (L && (c->line.p[L - 1] == '\n' || c->line.p[L - 1] == '\r'))
			L--;
		c->line.p[L] = 0;
		c->line.len = 0;
		switch (c->ps) {
		case P_STATUS:
			c->status = L > 12 ? atoi(c->line.p + 9) : 0;
			c->ps = P_HEADERS;
			break;
		case P_HEADERS:
			if (L) {
				if (!strncasecmp(c->line.p, "content-length:", 15))
					c->left = atoll(c->line.p + 15);
				else if (!strncasecmp(c->line.p, "transfer-encoding:", 18) &&
					 strcasestr(c->line.p, "chunked"))
					c->chunked = true;
				else if (!strncasecmp(c->line.p, "connection:", 11) &&
					 strcasestr(c->line.p, "close"))
					c->close = true;
			} else {
				if (c->watch && c->status == 200 && !running)
					nready++;
				if (c->status == 100)
					c->ps = P_STATUS;
				else if (c->chunked)
					c->ps = P_CHUNK_SIZE;
				else if (c->left > 0)
					c->ps = P_BODY;
				else if (c->left == 0 || c->status == 204)
					response_done(c);
				else
					c->ps = P_UNTIL_CLOSE;
			}
			break;
		case P_CHUNK_SIZE:
			c->left = (int64_t)strtoull(c->line.p, NULL, 16);
			c->ps = c->left ? P_CHUNK : P_TRAILER;
			break;
		case P_CHUNK_END:
			c->ps = P_CHUNK_SIZE;
			break;
		case P_TRAILER:
			if (!L) {
				if (c->watch)
					conn_lost(c, "end of stream");
				else
					response_done(c);
			}
			break;
		case P_BODY:
		case P_CHUNK:
		case P_UNTIL_CLOSE:
			break; /* taken above */
		}
	}
}

static void conn_ready(struct conn *c);

static void conn_io(struct conn *c, uint32_t ev)
{
	if (c->st == C_CONNECT) {
		int err = 0;
		socklen_t l = sizeof err;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &l);
		if (err)
			die("connect %s:%s: %s", cfg.host, cfg.port, strerror(err));
		c->st = C_HANDSHAKE;
	}
	if (c->st == C_HANDSHAKE) {
		if (c->ssl) {
			ERR_clear_error();
			int r = SSL_do_handshake(c->ssl);
			if (r != 1) {
				int e = SSL_get_error(c->ssl, r);
				if (e == SSL_ERROR_WANT_READ) {
					ep_set(c, EPOLLIN);
					return;
				}
				if (e == SSL_ERROR_WANT_WRITE) {
					ep_set(c, EPOLLOUT);
					return;
				}
				die("TLS handshake: %s", ERR_error_string(ERR_get_error(), NULL));
			}
		}
		conn_ready(c);
		return;
	}
	if (c->st == C_WRITE) {
		conn_flush(c);
		if (c->st != C_READ || !c->ssl)
			return;
	}
	static char tmp[65536];
	for (int i = 0; i < 16 && c->fd >= 0; i++) {
		ssize_t n;
		if (c->ssl) {
			ERR_clear_error();
			int r = SSL_read(c->ssl, tmp, sizeof tmp);
			if (r <= 0) {
				int e = SSL_get_error(c->ssl, r);
				if (e == SSL_ERROR_WANT_READ)
					return;
				if (e == SSL_ERROR_WANT_WRITE) {
					ep_set(c, EPOLLOUT | EPOLLIN);
					return;
				}
				conn_lost(c, e == SSL_ERROR_ZERO_RETURN ? "closed by server"
									: "read failed");
				return;
			}
			n = r;
		} else {
			n = recv(c->fd, tmp, sizeof tmp, 0);
			if (n < 0) {
				if (errno == EAGAIN)
					return;
				conn_lost(c, strerror(errno));
				return;
			}
			if (n == 0) {
				conn_lost(c, "closed by server");
				return;
			}
		}
		bytes_in += (uint64_t)n;
		if (c->st == C_READ)
			parse(c, tmp, (size_t)n);
	}
	(void)ev;
}

static void conn_ready(struct conn *c)
{
	if (c->ssl && !sess)
		sess = SSL_get1_session(c->ssl);
	c->st = C_IDLE;
	ep_set(c, EPOLLIN | EPOLLRDHUP);
	if (c->watch) {
		build_request(c, OP_WATCH, 0);
		c->st = C_WRITE;
		conn_flush(c);
		return;
	}
	if (!running) {
		nready++;
		return;
	}
	if (c->retry || !(cfg.op == OP_WATCH && cfg.rate > 0))
		conn_next(c);
}

/* ---------- a blocking helper for one request (list revision for watch) ---------- */
static void poll_once(int ms)
{
	struct epoll_event ev[256];
	int n = epoll_wait(ep, ev, 256, ms);
	for (int i = 0; i < n; i++) {
		struct conn *c = ev[i].data.ptr;
		if (c->fd >= 0)
			conn_io(c, ev[i].events);
	}
}

int main(int argc, char **argv)
{
	enum {
		O_BASE = 256,
		O_TOKEN,
		O_TOKENF,
		O_CA,
		O_INSEC,
		O_CERT,
		O_KEY,
		O_DUR,
		O_SIZE,
		O_NS,
		O_PREFIX,
		O_FIRST,
		O_OBJ,
		O_ONE,
		O_RANDOM,
		O_API,
		O_RES,
		O_KIND,
		O_FIELD,
		O_QUERY,
		O_ACCEPT,
		O_GZIP,
		O_LABEL,
		O_WATCHERS,
		O_RATE,
		O_PID
	};
	static const struct option lo[] = { { "base", 1, 0, O_BASE },
					    { "token", 1, 0, O_TOKEN },
					    { "token-file", 1, 0, O_TOKENF },
					    { "ca", 1, 0, O_CA },
					    { "insecure", 0, 0, O_INSEC },
					    { "cert", 1, 0, O_CERT },
					    { "key", 1, 0, O_KEY },
					    { "duration", 1, 0, O_DUR },
					    { "size", 1, 0, O_SIZE },
					    { "ns", 1, 0, O_NS },
					    { "prefix", 1, 0, O_PREFIX },
					    { "first", 1, 0, O_FIRST },
					    { "objects", 1, 0, O_OBJ },
					    { "one", 0, 0, O_ONE },
					    { "random", 0, 0, O_RANDOM },
					    { "api", 1, 0, O_API },
					    { "resource", 1, 0, O_RES },
					    { "kind", 1, 0, O_KIND },
					    { "field", 1, 0, O_FIELD },
					    { "query", 1, 0, O_QUERY },
					    { "accept", 1, 0, O_ACCEPT },
					    { "gzip", 0, 0, O_GZIP },
					    { "label", 1, 0, O_LABEL },
					    { "watchers", 1, 0, O_WATCHERS },
					    { "rate", 1, 0, O_RATE },
					    { "pid", 1, 0, O_PID },
					    { 0, 0, 0, 0 } };
	int o;
	while ((o = getopt_long(argc, argv, "c:n:h", lo, NULL)) != -1)
		switch (o) {
		case 'c':
			cfg.conns = atoi(optarg);
			break;
		case 'n':
			cfg.total = strtoull(optarg, NULL, 10);
			break;
		case O_BASE:
			cfg.base = optarg;
			break;
		case O_TOKEN:
			cfg.token = optarg;
			break;
		case O_TOKENF:
			cfg.token = slurp(optarg);
			break;
		case O_CA:
			cfg.ca = optarg;
			break;
		case O_INSEC:
			cfg.insecure = true;
			break;
		case O_CERT:
			cfg.cert = optarg;
			break;
		case O_KEY:
			cfg.key = optarg;
			break;
		case O_DUR:
			cfg.duration = atof(optarg);
			break;
		case O_SIZE:
			cfg.size = atoi(optarg);
			break;
		case O_NS:
			cfg.ns = optarg;
			break;
		case O_PREFIX:
			cfg.prefix = optarg;
			break;
		case O_FIRST:
			cfg.first = strtoull(optarg, NULL, 10);
			break;
		case O_OBJ:
			cfg.objects = strtoull(optarg, NULL, 10);
			break;
		case O_ONE:
			cfg.one = true;
			break;
		case O_RANDOM:
			cfg.random = true;
			break;
		case O_API:
			cfg.api = optarg;
			break;
		case O_RES:
			cfg.resource = optarg;
			break;
		case O_KIND:
			cfg.kind = optarg;
			break;
		case O_FIELD:
			cfg.field = optarg;
			break;
		case O_QUERY:
			cfg.query = optarg;
			break;
		case O_ACCEPT:
			cfg.accept = optarg;
			break;
		case O_GZIP:
			cfg.gzip = true;
			break;
		case O_LABEL:
			cfg.label = optarg;
			break;
		case O_WATCHERS:
			cfg.watchers = atoi(optarg);
			break;
		case O_RATE:
			cfg.rate = atof(optarg);
			break;
		case O_PID: {
			char *eq = strchr(optarg, '=');
			if (!eq || cfg.npids == 8)
				usage();
			snprintf(cfg.pids[cfg.npids].name, 32, "%.*s", (int)(eq - optarg), optarg);
			cfg.pids[cfg.npids++].pid = atoi(eq + 1);
			break;
		}
		default:
			usage();
		}
	if (optind + 1 != argc)
		usage();
	size_t k;
	for (k = 0; k < sizeof op_names / sizeof *op_names; k++)
		if (!strcmp(argv[optind], op_names[k]))
			break;
	if (k == sizeof op_names / sizeof *op_names)
		usage();
	cfg.op = (enum op)k;
	if (!cfg.total && cfg.duration <= 0)
		die("give -n or --duration");
	if (cfg.op == OP_WATCH)
		cfg.conns = 1;

	run_id = (unsigned)(now_ns() ^ ((uint64_t)getpid() << 12));
	signal(SIGPIPE, SIG_IGN);
	if (sscanf(cfg.base, "https://%255[^:/]:%15[0-9]", cfg.host, cfg.port) == 2)
		cfg.tls = true;
	else if (sscanf(cfg.base, "http://%255[^:/]:%15[0-9]", cfg.host, cfg.port) != 2)
		die("--base must be http(s)://host:port");
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;
	if (getaddrinfo(cfg.host, cfg.port, &hints, &ai))
		die("cannot resolve %s", cfg.host);
	memcpy(&addr, ai->ai_addr, ai->ai_addrlen);
	addrlen = ai->ai_addrlen;
	freeaddrinfo(ai);
	if (cfg.tls) {
		ctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					      SSL_MODE_RELEASE_BUFFERS);
		if (cfg.ca && SSL_CTX_load_verify_locations(ctx, cfg.ca, NULL) != 1)
			die("cannot load CA %s", cfg.ca);
		SSL_CTX_set_verify(ctx, cfg.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
		if (cfg.cert && SSL_CTX_use_certificate_chain_file(ctx, cfg.cert) != 1)
			die("cannot load %s", cfg.cert);
		if (cfg.key && SSL_CTX_use_PrivateKey_file(ctx, cfg.key, SSL_FILETYPE_PEM) != 1)
			die("cannot load %s", cfg.key);
	}
	static const char al[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t plen = 65536 + (size_t)cfg.size + 64;
	payload = malloc(plen);
	uint64_t x = 88172645463325252ull;
	for (size_t i = 0; i < plen; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		payload[i] = al[x & 63];
	}
	struct rlimit rl = { 65536, 65536 };
	setrlimit(RLIMIT_NOFILE, &rl);

	ep = epoll_create1(EPOLL_CLOEXEC);
	int nw = cfg.op == OP_WATCH ? cfg.watchers : 0;
	nconns = cfg.conns + nw;
	conns = calloc((size_t)nconns, sizeof *conns);
	for (int i = 0; i < cfg.conns; i++) {
		conns[i].id = i;
		conns[i].fd = -1;
		conn_open(&conns[i]);
	}
	while (nready < cfg.conns)
		poll_once(1000);

	if (cfg.op == OP_WATCH) {
		w_cap = 4u << 20;
		w_sent = calloc(w_cap, sizeof *w_sent);
		w_ack = calloc(w_cap, sizeof *w_ack);
		/* the revision to watch from: a list of at most one object */
		struct conn *c = &conns[0];
		const char *saved = cfg.query;
		cfg.query = "limit=1";
		build_request(c, OP_LIST, 0);
		cfg.query = saved;
		c->seq = w_cap;
		c->st = C_WRITE;
		c->t0 = now_ns();
		conn_flush(c);
		while (done == 0)
			poll_once(1000);
		char *rv = c->body.p ? strstr(c->body.p, "\"resourceVersion\":") : NULL;
		if (!rv || sscanf(rv + 18, " \"%63[^\"]\"", list_rv) != 1)
			die("no resourceVersion in the list: %.200s", c->body.p ? c->body.p : "");
		done = 0;
		lat.n = 0;
		nready = 0;
		memset(status_count, 0, sizeof status_count);
		uint64_t tw = now_ns();
		for (int i = 0; i < nw; i++) {
			struct conn *w = &conns[cfg.conns + i];
			w->id = cfg.conns + i;
			w->fd = -1;
			w->watch = true;
			conn_open(w);
			while (i - nready > 32)
				poll_once(1000);
		}
		while (nready < nw && !w_closed)
			poll_once(1000);
		if (w_closed)
			die("a watch did not start: %s", first_error);
		fprintf(stderr, "%d watches open after %.2f s (from revision %s)\n", nw,
			(double)(now_ns() - tw) / 1e9, list_rv);
		for (int i = 0; i < 20; i++)
			poll_once(50);
		w_events = 0;
		w_first = w_last = 0;
		lag_send.n = lag_ack.n = 0;
	}

	double c0 = self_cpu(), h0 = host_busy(), p0[8];
	for (int i = 0; i < cfg.npids; i++)
		p0[i] = tree_cpu(cfg.pids[i].pid);
	bytes_in = 0;
	running = true;
	t_start = now_ns();
	if (cfg.duration > 0)
		stop_at = t_start + (uint64_t)(cfg.duration * 1e9);
	uint64_t t_lastwork = t_start;
	if (cfg.op == OP_WATCH && cfg.rate > 0) {
		uint64_t step = (uint64_t)(1e9 / cfg.rate), next = t_start;
		while (more_work()) {
			uint64_t t = now_ns();
			if (t >= next && conns[0].st == C_IDLE) {
				next += step;
				conn_next(&conns[0]);
				continue;
			}
			poll_once(t < next ? (int)((next - t) / 1000000) : 1);
		}
		while (conns[0].st == C_READ || conns[0].st == C_WRITE)
			poll_once(100);
	} else {
		for (int i = 0; i < cfg.conns; i++)
			if (conns[i].st == C_IDLE)
				conn_next(&conns[i]);
		for (;;) {
			bool opening = false;
			for (int i = 0; i < cfg.conns && !opening; i++)
				opening = conns[i].st == C_CONNECT || conns[i].st == C_HANDSHAKE;
			if (done >= issued && !(opening && more_work()))
				break;
			poll_once(100);
		}
	}
	t_lastwork = now_ns();
	if (cfg.op ==
	    OP_WATCH) { /* let the streams drain: until all seen or 10 s without an event */
		uint64_t want = done * (uint64_t)nw, last = w_events, tl = now_ns();
		while (w_events < want && now_ns() - tl < 10000000000ull) {
			poll_once(100);
			if (w_events != last) {
				last = w_events;
				tl = now_ns();
			}
		}
	}
	double el = (double)(t_lastwork - t_start) / 1e9, c1 = self_cpu() - c0,
	       h1 = host_busy() - h0, sp = 0;
	qsort(lat.v, lat.n, sizeof *lat.v, cmp_u32);
	double sum = 0;
	for (size_t i = 0; i < lat.n; i++)
		sum += lat.v[i];
	printf("{\"op\":\"%s\",\"c\":%d,\"ok\":%zu,\"errors\":%llu,\"reconnects\":%llu,\"seconds\":"
	       "%.3f,\"per_s\":%.1f,\"mean_ms\":%.3f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%."
	       "3f,\"max_ms\":%.3f,\"in_MBps\":%.2f,\"in_bytes_per_op\":%.0f",
	       op_names[cfg.op], cfg.conns, lat.n, (unsigned long long)errors,
	       (unsigned long long)reconnects, el, (double)lat.n / el,
	       lat.n ? sum / (double)lat.n / 1000 : 0, pct(&lat, .5), pct(&lat, .9), pct(&lat, .99),
	       pct(&lat, 1), (double)bytes_in / 1e6 / el,
	       lat.n ? (double)bytes_in / (double)lat.n : 0);
	if (cfg.op == OP_WATCH) {
		double we = (double)(w_last - t_start) / 1e9;
		qsort(lag_send.v, lag_send.n, sizeof *lag_send.v, cmp_u32);
		qsort(lag_ack.v, lag_ack.n, sizeof *lag_ack.v, cmp_u32);
		printf(",\"watchers\":%d,\"rate\":%.1f,\"events\":%llu,\"expected\":%llu,\"events_"
		       "per_s\":%.0f,\"lag_p50_ms\":%.3f,\"lag_p90_ms\":%.3f,\"lag_p99_ms\":%.3f,"
		       "\"lag_max_ms\":%.3f,\"after_ack_p50_ms\":%.3f,\"after_ack_p99_ms\":%.3f,"
		       "\"streams_lost\":%llu",
		       nw, cfg.rate, (unsigned long long)w_events,
		       (unsigned long long)(done * (uint64_t)nw),
		       we > 0 ? (double)w_events / we : 0, pct(&lag_send, .5), pct(&lag_send, .9),
		       pct(&lag_send, .99), pct(&lag_send, 1), pct(&lag_ack, .5),
		       pct(&lag_ack, .99), (unsigned long long)w_closed);
	}
	printf(",\"client_cpu_s\":%.2f", c1);
	double tot = (double)(now_ns() - t_start) / 1e9;
	for (int i = 0; i < cfg.npids; i++) {
		double d = tree_cpu(cfg.pids[i].pid) - p0[i];
		sp += d;
		printf(",\"%s_cpu_s\":%.2f,\"%s_cpu_us_per_op\":%.1f,\"%s_rss_MiB\":%.1f",
		       cfg.pids[i].name, d, cfg.pids[i].name,
		       cfg.op == OP_WATCH ? (w_events ? d * 1e6 / (double)w_events : 0)
		       : lat.n            ? d * 1e6 / (double)lat.n
					  : 0,
		       cfg.pids[i].name, proc_rss(cfg.pids[i].pid));
	}
	printf(",\"other_cpu_cores\":%.2f", tot > 0 ? (h1 - c1 - sp) / tot : 0);
	for (int i = 0; i < 600; i++)
		if (status_count[i])
			printf(",\"status_%d\":%llu", i, (unsigned long long)status_count[i]);
	puts("}");
	if (first_error[0])
		fprintf(stderr, "first error: %s\n", first_error);
	return errors || w_closed ? 1 : 0;
}
