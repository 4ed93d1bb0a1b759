/* TLS under a channel, on OpenSSL. */
#include "base/mem.h"
#include "grpc/client_priv.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct conn_tls {
	SSL_CTX *ctx;
	SSL *ssl;
};

static int tls_error(struct error *err, enum err_code code, const char *what)
{
	char text[160] = "no reason given";
	unsigned long e = ERR_peek_last_error();
	if (e)
		ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	return error_set(err, code, "TLS: %s: %s", what, text);
}

int conn_tls_open(struct conn *c, const struct rpc_client_tls *files, struct error *err)
{
	struct conn_tls *t = mem_new(struct conn_tls, 1);
	c->tls = t;
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (!t->ctx)
		return tls_error(err, ERR_INTERNAL, "context");
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(t->ctx, files->ca_file, NULL) != 1)
		return tls_error(err, ERR_INVALID, files->ca_file);
	if (SSL_CTX_use_certificate_chain_file(t->ctx, files->cert_file) != 1)
		return tls_error(err, ERR_INVALID, files->cert_file);
	if (SSL_CTX_use_PrivateKey_file(t->ctx, files->key_file, SSL_FILETYPE_PEM) != 1)
		return tls_error(err, ERR_INVALID, files->key_file);
	static const unsigned char h2[] = { 2, 'h', '2' };
	if (SSL_CTX_set_alpn_protos(t->ctx, h2, sizeof(h2)) != 0)
		return tls_error(err, ERR_INTERNAL, "ALPN");
	return 0;
}

/* The name the certificate must carry: an address among its IP SANs, anything else among its DNS SANs. */
static int expect_name(SSL *ssl, const char *name)
{
	unsigned char bin[16];
	bool is_ip = inet_pton(AF_INET, name, bin) == 1 || inet_pton(AF_INET6, name, bin) == 1;
	if (is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
	return SSL_set_tlsext_host_name(ssl, name) == 1 ? SSL_set1_host(ssl, name) : 0;
}

int conn_tls_start(struct conn *c, struct error *err)
{
	struct conn_tls *t = c->tls;
	t->ssl = SSL_new(t->ctx);
	if (!t->ssl || SSL_set_fd(t->ssl, c->io.fd) != 1 ||
	    expect_name(t->ssl, c->server_name) != 1)
		return tls_error(err, ERR_INTERNAL, "connection");
	SSL_set_connect_state(t->ssl);
	return 0;
}

int conn_tls_handshake(struct conn *c, uint32_t *want, struct error *err)
{
	struct conn_tls *t = c->tls;
	ERR_clear_error();
	int rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		const unsigned char *proto = NULL;
		unsigned len = 0;
		SSL_get0_alpn_selected(t->ssl, &proto, &len);
		if (!str_eq(str_n((const char *)proto, len), STR("h2")))
			return error_set(err, ERR_UNAVAILABLE, "%s:%s does not speak HTTP/2",
					 c->host, c->port);
		return 0;
	}
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		*want = EPOLLIN;
		return 1;
	case SSL_ERROR_WANT_WRITE:
		*want = EPOLLOUT;
		return 1;
	default:
		break;
	}
	long verdict = SSL_get_verify_result(t->ssl);
	if (verdict == X509_V_OK)
		return tls_error(err, ERR_UNAVAILABLE, c->host);
	ERR_clear_error();
	return error_set(err, ERR_UNAUTHORIZED, "TLS: certificate of %s:%s: %s", c->host, c->port,
			 X509_verify_cert_error_string(verdict));
}

/* 0 for "not now", else the error. */
static long tls_result(struct conn *c, int rc, struct error *err)
{
	switch (SSL_get_error(c->tls->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return error_set(err, ERR_UNAVAILABLE, "%s:%s closed the connection", c->host,
				 c->port);
	default:
		return tls_error(err, ERR_UNAVAILABLE, c->host);
	}
}

long conn_tls_recv(struct conn *c, void *p, size_t n, struct error *err)
{
	ERR_clear_error();
	int rc = SSL_read(c->tls->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n);
	return rc > 0 ? rc : tls_result(c, rc, err);
}

long conn_tls_send(struct conn *c, const void *p, size_t n, struct error *err)
{
	ERR_clear_error();
	int rc = SSL_write(c->tls->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n);
	return rc > 0 ? rc : tls_result(c, rc, err);
}

void conn_tls_close(struct conn *c)
{
	if (!c->tls)
		return;
	if (c->tls->ssl && c->state == CONN_OPEN)
		(void)SSL_shutdown(c->tls->ssl);
	ERR_clear_error();
	SSL_free(c->tls->ssl);
	SSL_CTX_free(c->tls->ctx);
	mem_free(c->tls);
	c->tls = NULL;
}
