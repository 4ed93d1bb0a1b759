#include "base/mem.h"
#include "http/http_priv.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	ACCEPTS_PER_TURN = 64,
	ACCEPT_RETRY_MS = 100,
	KEEPALIVE_IDLE_S = 60, /* a vanished h1 client is noticed after 60 + 4 * 15 s */
	KEEPALIVE_INTERVAL_S = 15,
	KEEPALIVE_PROBES = 4,
	HOST_BYTES = 256,
};

/* ---- metrics ---- */

void server_count(struct metric *m, int64_t n)
{
	if (m)
		metric_add(m, n);
}

void server_cut(struct server_loop *l, enum cut why)
{
	server_count(loop_server(l)->m_cut[why], 1);
}

static void add_metrics(struct http_server *s)
{
	static const char *const cut[CUT_COUNT] = { "reason=\"slow-reader\"", "reason=\"timeout\"",
						    "reason=\"refused\"", "reason=\"tls\"",
						    "reason=\"protocol\"" };
	struct metrics *m = s->cfg.metrics;
	if (!m)
		return;
	s->m_conns = metric_gauge(m, "http_server_connections", "", "Open connections");
	s->m_accepted =
		metric_counter(m, "http_server_connections_total", "", "Connections accepted");
	s->m_requests[0] =
		metric_counter(m, "http_server_requests_total", "version=\"1\"", "Requests begun");
	s->m_requests[1] =
		metric_counter(m, "http_server_requests_total", "version=\"2\"", "Requests begun");
	for (int i = 0; i < CUT_COUNT; i++)
		s->m_cut[i] =
			metric_counter(m, "http_server_cut_total", cut[i],
				       "Requests and connections refused or cut by the server");
}

/* ---- messages between the loops; each holds the server ---- */

struct message {
	struct server_loop *to;
	void (*fn)(struct message *m);
	int fd; /* handed over */
	char address[ADDRESS_BYTES];
};

static void server_unref(struct http_server *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < s->loops_len; i++)
		mem_free(s->loops[i]);
	mem_free(s->loops);
	mem_free(s->listeners);
	h2_teardown(s);
	mem_free(s);
}

static void deliver(void *arg)
{
	struct message *m = arg;
	struct http_server *s = loop_server(m->to);
	if (!atomic_load(&s->gone))
		m->fn(m);
	else if (m->fd >= 0)
		(void)close(m->fd);
	mem_free(m);
	server_unref(s);
}

static void send_to(struct server_loop *to, void (*fn)(struct message *m), int fd,
		    const char *address)
{
	struct message *m = mem_new(struct message, 1);
	m->to = to;
	m->fn = fn;
	m->fd = fd;
	(void)strncpy(m->address, address, sizeof(m->address) - 1);
	atomic_fetch_add_explicit(&loop_server(to)->refs, 1, memory_order_relaxed);
	loop_post(to->pub.loop, deliver, m);
}

/* ---- accepting ---- */

static uint64_t total(const struct http_server *s, bool requests)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s->loops_len; i++)
		n += atomic_load_explicit(requests ? &s->loops[i]->requests_len
						   : &s->loops[i]->conns_len,
					  memory_order_relaxed);
	return n;
}

static struct server_loop *least_busy(const struct http_server *s)
{
	struct server_loop *best = NULL;
	uint64_t best_load = UINT64_MAX;
	for (size_t i = 0; i < s->loops_len; i++) {
		struct server_loop *l = s->loops[i];
		uint64_t load = atomic_load_explicit(&l->requests_len, memory_order_relaxed) +
				atomic_load_explicit(&l->conns_len, memory_order_relaxed);
		if (load < best_load) {
			best = l;
			best_load = load;
		}
	}
	return best;
}

static void on_handed(struct message *m)
{
	(void)conn_open(m->to, m->fd, m->address);
}

static void set_options(int fd)
{
	const int on = 1;
	const int idle = KEEPALIVE_IDLE_S;
	const int interval = KEEPALIVE_INTERVAL_S;
	const int probes = KEEPALIVE_PROBES;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void address_text(const struct sockaddr_storage *sa, char out[ADDRESS_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)sa;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&a->sin6_addr);
		(void)inet_ntop(mapped ? AF_INET : AF_INET6,
				mapped ? (const void *)&a->sin6_addr.s6_addr[12] : &a->sin6_addr,
				host, sizeof(host));
		(void)snprintf(out, ADDRESS_BYTES, mapped ? "%s:%u" : "[%s]:%u", host,
			       ntohs(a->sin6_port));
	} else {
		const struct sockaddr_in *a = (const void *)sa;
		(void)inet_ntop(AF_INET, &a->sin_addr, host, sizeof(host));
		(void)snprintf(out, ADDRESS_BYTES, "%s:%u", host, ntohs(a->sin_port));
	}
}

static void take(struct http_server *s, int fd, const struct sockaddr_storage *sa)
{
	char address[ADDRESS_BYTES];
	if (total(s, false) >= s->cfg.limits.connections_max) {
		server_cut(s->loops[0], CUT_REFUSED);
		(void)close(fd);
		return;
	}
	set_options(fd);
	address_text(sa, address);
	struct server_loop *l = least_busy(s);
	atomic_fetch_add_explicit(&l->conns_len, 1, memory_order_relaxed);
	server_count(s->m_conns, 1);
	server_count(s->m_accepted, 1);
	if (l == s->loops[0])
		(void)conn_open(l, fd, address);
	else
		send_to(l, on_handed, fd, address);
}

static void on_listener(struct loop_io *io, uint32_t events)
{
	(void)events;
	struct listener *ls = container_of(io, struct listener, io);
	struct loop *loop = io->loop;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t len = sizeof(sa);
		int fd =
			accept4(io->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			take(ls->server, fd, &sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* level-triggered, so without a pause it would spin until one closes */
			loop_io_del(io);
			loop_timer_set(loop, &ls->retry, ACCEPT_RETRY_MS);
			return;
		}
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void on_retry(struct loop_timer *t)
{
	struct listener *ls = container_of(t, struct listener, retry);
	loop_io_set(ls->server->loops[0]->pub.loop, &ls->io, EPOLLIN);
}

static void close_listeners(struct http_server *s)
{
	for (size_t i = 0; i < s->listeners_len; i++) {
		struct listener *ls = &s->listeners[i];
		loop_timer_stop(&ls->retry);
		loop_io_del(&ls->io);
		if (ls->io.fd >= 0)
			(void)close(ls->io.fd);
		ls->io.fd = -1;
	}
}

/* ---- listening ---- */

static int open_socket(const struct addrinfo *a)
{
	const int on = 1;
	const int off = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int errnum = errno;
	(void)close(fd);
	errno = errnum;
	return -1;
}

/* "host:port", "[v6]:port", ":port"; false when it is none of them */
static bool split_address(struct str text, char host[HOST_BYTES], char port[8])
{
	ptrdiff_t colon = -1;
	for (size_t i = text.len; i-- > 0 && colon < 0;)
		colon = text.p[i] == ':' ? (ptrdiff_t)i : -1;
	if (colon < 0)
		return false;
	struct str h = str_sub(text, 0, (size_t)colon);
	struct str p = str_sub(text, (size_t)colon + 1, text.len);
	uint64_t number = 0;
	if (h.len >= 2 && h.p[0] == '[' && h.p[h.len - 1] == ']')
		h = str_sub(h, 1, h.len - 1);
	else if (str_find(h, ':', 0) >= 0)
		return false;
	if (h.len >= HOST_BYTES || !str_to_u64(p, &number) || number > 65535)
		return false;
	(void)snprintf(host, HOST_BYTES, "%.*s", STR_ARG(h));
	(void)snprintf(port, 8, "%u", (unsigned)number);
	return true;
}

static int open_listener(struct listener *ls, struct str address, struct error *err)
{
	char host[HOST_BYTES];
	char port[8];
	if (!split_address(address, host, port))
		return error_set(err, ERR_INVALID, "%.*s is no address: host:port is wanted",
				 STR_ARG(address));
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	/* "::" takes both families; machines without IPv6 fall back below */
	int rc = getaddrinfo(host[0] ? host : "::", port, &hints, &list);
	int fd = -1;
	for (struct addrinfo *a = list; rc == 0 && a && fd < 0; a = a->ai_next)
		fd = open_socket(a);
	if (list)
		freeaddrinfo(list);
	if (fd < 0 && host[0] == '\0' && errno == EAFNOSUPPORT) {
		struct sockaddr_in any = { .sin_family = AF_INET };
		uint64_t number = 0;
		(void)str_to_u64(str_of(port), &number);
		any.sin_port = htons((uint16_t)number);
		struct addrinfo a = { .ai_family = AF_INET,
				      .ai_addr = (struct sockaddr *)&any,
				      .ai_addrlen = sizeof(any) };
		fd = open_socket(&a);
	}
	if (rc != 0)
		return error_set(err, ERR_INVALID, "%.*s: %s", STR_ARG(address), gai_strerror(rc));
	if (fd < 0)
		return error_errno(err, ERR_UNAVAILABLE, errno, "listen on %.*s", STR_ARG(address));
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	(void)getsockname(fd, (struct sockaddr *)&sa, &len);
	ls->port = ntohs(sa.ss_family == AF_INET6
				 ? ((const struct sockaddr_in6 *)(const void *)&sa)->sin6_port
				 : ((const struct sockaddr_in *)(const void *)&sa)->sin_port);
	ls->io = (struct loop_io){ .fd = fd, .fn = on_listener };
	return 0;
}

/* ---- starting ---- */

#define DEFAULT(field, value) \
	do { \
		if (lim->field == 0) \
			lim->field = (value); \
	} while (0)

static void fill_limits(struct http_limits *lim)
{
	DEFAULT(body_bytes_max, 3U << 20);
	DEFAULT(bodies_bytes_max, 256U << 20);
	DEFAULT(header_bytes_max, 64U << 10);
	DEFAULT(headers_max, 128);
	DEFAULT(streams_max, 250);
	DEFAULT(connections_max, 10000);
	DEFAULT(queue_bytes_max, 4U << 20);
	DEFAULT(answers_bytes_max, 256U << 20);
	DEFAULT(idle_timeout_ms, 120000);
	DEFAULT(header_timeout_ms, 10000);
	DEFAULT(body_timeout_ms, 60000);
	DEFAULT(handshake_timeout_ms, 10000);
	DEFAULT(write_timeout_ms, 60000);
	DEFAULT(ping_interval_ms, 30000);
	DEFAULT(ping_timeout_ms, 15000);
	DEFAULT(reset_burst, 1000);
	DEFAULT(reset_per_s, 33);
	/* offsets inside a request are 32 bits wide */
	if (lim->header_bytes_max > 16U << 20)
		lim->header_bytes_max = 16U << 20;
}

static int add_loop(struct http_server *s, struct loop *given, struct error *err)
{
	struct server_loop *l = mem_new(struct server_loop, 1);
	l->pub.server = s;
	l->pub.index = s->loops_len;
	l->pub.loop = given;
	l->own = given == NULL;
	list_init(&l->conns);
	list_init(&l->dirty);
	list_init(&l->free_requests);
	l->flush.fn = conn_flush_all;
	l->tick.fn = timeout_tick;
	int rc = given ? 0 : loop_new(&l->pub.loop, err);
	if (rc < 0) {
		mem_free(l);
		return rc;
	}
	s->loops[s->loops_len++] = l;
	if (s->cfg.on.on_loop)
		s->cfg.on.on_loop(&l->pub);
	return 0;
}

static void *run_loop(void *arg)
{
	struct server_loop *l = arg;
	loop_run(l->pub.loop);
	return NULL;
}

/* Signals stay with the program's own threads. */
static int start_threads(struct http_server *s, struct error *err)
{
	sigset_t all;
	sigset_t before;
	int rc = 0;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (size_t i = 0; i < s->loops_len && rc == 0; i++) {
		struct server_loop *l = s->loops[i];
		if (!l->own)
			continue;
		rc = pthread_create(&l->thread, NULL, run_loop, l);
		if (rc != 0)
			l->thread = 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc == 0 ? 0 : error_errno(err, ERR_INTERNAL, rc, "start a thread");
}

int http_server_start(const struct http_server_config *cfg, struct http_server **ret,
		      struct error *err)
{
	assert(cfg->on.on_request && (cfg->threads > 0) != (cfg->loops_len > 0));
	struct http_server *s = mem_new(struct http_server, 1);
	size_t loops = cfg->threads ? cfg->threads : cfg->loops_len;
	atomic_init(&s->refs, 1);
	s->cfg = *cfg;
	fill_limits(&s->cfg.limits);
	s->tick_ms = timeout_period(&s->cfg.limits);
	s->loops = mem_new(struct server_loop *, loops);
	s->listeners = mem_new(struct listener, cfg->listen_len);
	add_metrics(s);
	int rc = h2_setup(s, err);
	for (size_t i = 0; i < cfg->listen_len && rc == 0; i++) {
		rc = open_listener(&s->listeners[i], cfg->listen[i], err);
		if (rc == 0)
			s->listeners_len++;
	}
	for (size_t i = 0; i < loops && rc == 0; i++)
		rc = add_loop(s, cfg->threads ? NULL : cfg->loops[i], err);
	for (size_t i = 0; i < s->listeners_len && rc == 0; i++) {
		struct listener *ls = &s->listeners[i];
		ls->server = s;
		ls->retry.fn = on_retry;
		loop_io_set(s->loops[0]->pub.loop, &ls->io, EPOLLIN);
	}
	if (rc == 0)
		rc = start_threads(s, err);
	if (rc < 0)
		http_server_free(s);
	else
		*ret = s;
	return rc;
}

uint16_t http_server_port(const struct http_server *s, size_t i)
{
	return s->listeners[i].port;
}

size_t http_server_loops(const struct http_server *s)
{
	return s->loops_len;
}

struct http_loop *http_server_loop(struct http_server *s, size_t i)
{
	return &s->loops[i]->pub;
}

void *http_server_user(const struct http_server *s)
{
	return s->cfg.user;
}

uint64_t http_server_connections(const struct http_server *s)
{
	return total(s, false);
}

uint64_t http_server_requests(const struct http_server *s)
{
	return total(s, true);
}

/* ---- draining ---- */

static void on_loop_drained(struct message *m)
{
	struct http_server *s = loop_server(m->to);
	if (++s->loops_drained == s->loops_len && s->drain_done)
		s->drain_done(s->drain_arg);
}

static void check_drained(struct server_loop *l)
{
	if (!l->draining || l->drained_told ||
	    atomic_load_explicit(&l->conns_len, memory_order_relaxed))
		return;
	l->drained_told = true;
	send_to(loop_server(l)->loops[0], on_loop_drained, -1, "");
}

void server_conn_gone(struct server_loop *l)
{
	atomic_fetch_sub_explicit(&l->conns_len, 1, memory_order_relaxed);
	server_count(loop_server(l)->m_conns, -1);
	if (!atomic_load(&loop_server(l)->gone))
		check_drained(l);
}

static void on_drain_loop(struct message *m)
{
	struct server_loop *l = m->to;
	l->draining = true;
	l->drain_start_ms = loop_now_ms(l->pub.loop);
	l->drain_end_ms = l->drain_start_ms + loop_server(l)->drain_grace_ms;
	list_for_each(it, &l->conns) conn_mark(list_entry(it, struct conn, link));
	if (!list_empty(&l->conns))
		loop_timer_set(l->pub.loop, &l->tick, 0);
	check_drained(l);
}

/* On the first loop: nothing is handed over behind this message. */
static void on_drain(struct message *m)
{
	struct http_server *s = loop_server(m->to);
	close_listeners(s);
	for (size_t i = 0; i < s->loops_len; i++)
		send_to(s->loops[i], on_drain_loop, -1, "");
}

void http_server_drain(struct http_server *s, uint32_t grace_ms, void (*done)(void *arg), void *arg)
{
	if (atomic_exchange(&s->draining, true))
		return;
	s->drain_grace_ms = grace_ms;
	s->drain_done = done;
	s->drain_arg = arg;
	send_to(s->loops[0], on_drain, -1, "");
}

/* ---- the end ---- */

static void free_loop(struct server_loop *l)
{
	while (!list_empty(&l->free_requests)) {
		struct request *r = list_entry(l->free_requests.next, struct request, link);
		list_del(&r->link);
		request_fini(r);
	}
	loop_task_cancel(&l->flush);
	loop_timer_stop(&l->tick);
	if (l->own)
		loop_free(l->pub.loop);
}

struct http_server *http_server_free(struct http_server *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->loops_len; i++) {
		struct server_loop *l = s->loops[i];
		if (!l->thread)
			continue;
		loop_stop(l->pub.loop);
		(void)pthread_join(l->thread, NULL);
	}
	atomic_store(&s->gone, true);
	close_listeners(s);
	/* every connection first: a callback for one may post to the loop of another */
	for (size_t i = 0; i < s->loops_len; i++) {
		struct server_loop *l = s->loops[i];
		while (!list_empty(&l->conns))
			conn_free(list_entry(l->conns.next, struct conn, link));
	}
	for (size_t i = 0; i < s->loops_len; i++)
		free_loop(s->loops[i]);
	server_unref(s);
	return NULL;
}
