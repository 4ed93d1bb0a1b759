/* TLS under a channel. */
#include "base/mem.h"
#include "grpc/client_priv.h"
#include "tls/tls.h"

struct rpc_conn_tls {
	struct tls_context *ctx;
	struct tls_conn *conn;
};

int rpc_conn_tls_open(struct rpc_conn *c, const struct rpc_client_tls *files, struct error *err)
{
	c->tls = mem_new(struct rpc_conn_tls, 1);
	struct tls_files f = { .cert_file = files->cert_file,
			       .key_file = files->key_file,
			       .ca_file = files->ca_file };
	return tls_client_new(&f, "h2", &c->tls->ctx, err);
}

void rpc_conn_tls_start(struct rpc_conn *c)
{
	c->tls->conn = tls_connect(c->tls->ctx, c->io.fd, c->server_name);
}

int rpc_conn_tls_handshake(struct rpc_conn *c, uint32_t *want, struct error *err)
{
	int rc = tls_handshake(c->tls->conn, err);
	if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE) {
		*want = rc == TLS_WANT_READ ? EPOLLIN : EPOLLOUT;
		return 1;
	}
	if (rc < 0)
		return error_wrap(err, "%s:%s", c->host, c->port);
	if (!str_is(tls_alpn(c->tls->conn), "h2"))
		return error_set(err, ERR_UNAVAILABLE, "%s:%s does not speak HTTP/2", c->host,
				 c->port);
	return 0;
}

long rpc_conn_tls_recv(struct rpc_conn *c, void *p, size_t n, struct error *err)
{
	ssize_t got = tls_read(c->tls->conn, p, n, err);
	if (got == TLS_WANT_READ || got == TLS_WANT_WRITE)
		return 0;
	if (got == 0)
		return error_set(err, ERR_UNAVAILABLE, "%s:%s closed the connection", c->host,
				 c->port);
	return got;
}

long rpc_conn_tls_send(struct rpc_conn *c, const void *p, size_t n, struct error *err)
{
	ssize_t put = tls_write(c->tls->conn, p, n, err);
	return put == TLS_WANT_READ || put == TLS_WANT_WRITE ? 0 : put;
}

void rpc_conn_tls_close(struct rpc_conn *c)
{
	if (!c->tls)
		return;
	if (c->tls->conn && c->state == CONN_OPEN)
		tls_shutdown(c->tls->conn);
	tls_conn_free(c->tls->conn);
	tls_free(c->tls->ctx);
	mem_free(c->tls);
	c->tls = NULL;
}
