/* The byte stream under a channel: name lookup, TCP, TLS. */
#include "base/mem.h"
#include "grpc/client_priv.h"
#include "sys/file.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 253 };

/* A lookup on its own thread; whoever comes last frees it. */
struct rpc_conn_lookup {
	atomic_uint refs;
	struct loop *loop;
	struct rpc_conn *conn; /* loop thread only; NULL = nobody waits any more */
	char *host, *port;
	int rc;
	struct addrinfo *found;
};

static void rpc_conn_error(struct rpc_conn *c, enum err_code code, int errnum, const char *what)
{
	struct error err = { 0 };
	if (errnum)
		error_errno(&err, code, errnum, "%s %s:%s", what, c->host, c->port);
	else
		error_set(&err, code, "%s %s:%s", what, c->host, c->port);
	c->failed(c, &err);
}

/* ------------------------------------------------------------------------------------- bytes */

static long io_result(struct rpc_conn *c, ssize_t n, struct error *err)
{
	if (n > 0)
		return n;
	if (n == 0)
		return error_set(err, ERR_UNAVAILABLE, "%s:%s closed the connection", c->host,
				 c->port);
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return error_errno(err, ERR_UNAVAILABLE, errno, "connection to %s:%s", c->host, c->port);
}

long rpc_conn_recv(struct rpc_conn *c, void *p, size_t n, struct error *err)
{
	if (c->state != CONN_OPEN)
		return 0;
	if (c->tls)
		return rpc_conn_tls_recv(c, p, n, err);
	return io_result(c, recv(c->io.fd, p, n, 0), err);
}

long rpc_conn_send(struct rpc_conn *c, const void *p, size_t n, struct error *err)
{
	if (c->state != CONN_OPEN || n == 0)
		return 0;
	long put = c->tls ? rpc_conn_tls_send(c, p, n, err)
			  : io_result(c, send(c->io.fd, p, n, MSG_NOSIGNAL), err);
	c->want_write = put == 0;
	if (put >= 0)
		loop_io_set(c->loop, &c->io, EPOLLIN | (c->want_write ? (uint32_t)EPOLLOUT : 0));
	return put;
}

/* ------------------------------------------------------------------------------------ opening */

static void opened(struct rpc_conn *c)
{
	c->state = CONN_OPEN;
	loop_io_set(c->loop, &c->io, EPOLLIN);
	c->ready(c);
}

static void handshake(struct rpc_conn *c)
{
	struct error err = { 0 };
	uint32_t want = 0;
	int rc = rpc_conn_tls_handshake(c, &want, &err);
	if (rc < 0)
		c->failed(c, &err);
	else if (rc == 0)
		opened(c);
	else
		loop_io_set(c->loop, &c->io, want);
}

static void connected(struct rpc_conn *c)
{
	int e = 0;
	socklen_t len = sizeof(e);
	(void)getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e) {
		rpc_conn_error(c, ERR_UNAVAILABLE, e, "connect to");
		return;
	}
	int one = 1;
	(void)setsockopt(c->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!c->tls) {
		opened(c);
		return;
	}
	c->state = CONN_HANDSHAKE;
	rpc_conn_tls_start(c);
	handshake(c);
}

static void on_io(struct loop_io *io, uint32_t events)
{
	struct rpc_conn *c = container_of(io, struct rpc_conn, io);
	switch (c->state) {
	case CONN_CONNECTING:
		connected(c);
		return;
	case CONN_HANDSHAKE:
		handshake(c);
		return;
	case CONN_OPEN:
		break;
	case CONN_LOOKUP:
	case CONN_CLOSED:
	default:
		return;
	}
	/* One callback an event: it may free the connection; the rest comes in the next turn. */
	if ((events & EPOLLOUT) && c->want_write)
		c->writable(c);
	else
		c->readable(c);
}

static void connect_to(struct rpc_conn *c, const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		rpc_conn_error(c, ERR_UNAVAILABLE, errno, "socket for");
		return;
	}
	c->io.fd = fd;
	c->state = CONN_CONNECTING;
	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS) {
		rpc_conn_error(c, ERR_UNAVAILABLE, errno, "connect to");
		return;
	}
	loop_io_set(c->loop, &c->io, EPOLLOUT);
}

/* ------------------------------------------------------------------------------------- lookup */

static void lookup_unref(struct rpc_conn_lookup *u)
{
	if (atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	if (u->found)
		freeaddrinfo(u->found);
	mem_free(u->host);
	mem_free(u->port);
	mem_free(u);
}

static void lookup_done(void *arg)
{
	struct rpc_conn_lookup *u = arg;
	struct rpc_conn *c = u->conn;
	if (c) {
		u->conn = NULL;
		c->lookup = NULL;
		if (u->rc == 0 && u->found)
			connect_to(c, u->found);
		else
			rpc_conn_error(c, ERR_UNAVAILABLE, 0, "no address for");
		lookup_unref(u);
	}
	lookup_unref(u);
}

static int resolve(const char *host, const char *port, int flags, struct addrinfo **ret)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICSERV | flags };
	return getaddrinfo(host, port, &hints, ret);
}

static void *lookup_thread(void *arg)
{
	struct rpc_conn_lookup *u = arg;
	u->rc = resolve(u->host, u->port, AI_ADDRCONFIG, &u->found);
	loop_post(u->loop, lookup_done, u);
	return NULL;
}

static void on_start(struct loop_task *t)
{
	struct rpc_conn *c = container_of(t, struct rpc_conn, start);
	struct addrinfo *a = NULL;
	if (resolve(c->host, c->port, AI_NUMERICHOST, &a) == 0) {
		connect_to(c, a);
		freeaddrinfo(a);
		return;
	}
	struct rpc_conn_lookup *u = mem_new(struct rpc_conn_lookup, 1);
	atomic_init(&u->refs, 2);
	u->loop = c->loop;
	u->conn = c;
	u->host = mem_strdup(c->host);
	u->port = mem_strdup(c->port);
	c->lookup = u;
	pthread_attr_t attr;
	pthread_t thread;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, 256U << 10);
	int rc = pthread_create(&thread, &attr, lookup_thread, u);
	(void)pthread_attr_destroy(&attr);
	if (rc) {
		lookup_unref(u); /* the thread's */
		c->lookup = NULL;
		lookup_unref(u);
		rpc_conn_error(c, ERR_UNAVAILABLE, rc, "lookup of");
	}
}

/* "host:port" or "[v6]:port" */
static int split_address(struct str a, struct str *host, struct str *port)
{
	size_t colon = a.len;
	while (colon > 0 && a.p[colon - 1] != ':')
		colon--;
	if (colon < 2)
		return -1;
	*host = str_n(a.p, colon - 1);
	*port = str_n(a.p + colon, a.len - colon);
	if (host->p[0] == '[') {
		if (host->len < 3 || host->p[host->len - 1] != ']')
			return -1;
		*host = str_n(host->p + 1, host->len - 2);
	} else if (str_find(*host, ':', 0) >= 0) {
		return -1;
	}
	uint64_t n = 0;
	bool good = str_to_u64(*port, &n) && n >= 1 && n <= UINT16_MAX;
	return good && host->len > 0 && host->len <= HOST_MAX ? 0 : -1;
}

int rpc_conn_open(struct rpc_conn *c, struct loop *l, const struct rpc_channel_options *opt,
		  struct error *err)
{
	struct str host, port;
	c->loop = l;
	c->io.fd = -1;
	c->io.fn = on_io;
	c->start.fn = on_start;
	if (split_address(str_of(opt->address), &host, &port)) {
		c->state = CONN_CLOSED;
		return error_set(err, ERR_INVALID, "%s: an address is host:port", opt->address);
	}
	c->host = mem_strndup(host.p, host.len);
	c->port = mem_strndup(port.p, port.len);
	c->server_name = mem_strdup(opt->server_name ? opt->server_name : c->host);
	c->state = CONN_CLOSED;
	int rc = opt->tls ? rpc_conn_tls_open(c, opt->tls, err) : 0;
	if (rc)
		return rc;
	c->state = CONN_LOOKUP;
	loop_defer(l, &c->start);
	return 0;
}

void rpc_conn_close(struct rpc_conn *c)
{
	if (c->lookup) {
		c->lookup->conn = NULL;
		lookup_unref(c->lookup);
		c->lookup = NULL;
	}
	loop_task_cancel(&c->start);
	loop_io_del(&c->io);
	rpc_conn_tls_close(c);
	if (c->io.fd >= 0)
		close(c->io.fd);
	c->io.fd = -1;
	c->state = CONN_CLOSED;
	mem_free(c->host);
	mem_free(c->port);
	mem_free(c->server_name);
	c->host = c->port = c->server_name = NULL;
}
