#include "base/mem.h"
#include "tls/tls_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

struct tls_conn {
	struct tls_context *context;
	SSL *ssl;
	int fd;
	char *name; /* of the server, on a client's side; else NULL */
	bool said_bye;
	struct arena arena; /* holds peer */
	struct pki_info *peer;
};

/* ---- the way to the socket ---- */

static bool would_block(int errnum)
{
	return errnum == EAGAIN || errnum == EINTR;
}

static int socket_read(BIO *b, char *p, int n)
{
	const struct tls_conn *c = BIO_get_data(b);
	ssize_t k = recv(c->fd, p, (size_t)n, 0);
	BIO_clear_retry_flags(b);
	if (k < 0 && would_block(errno))
		BIO_set_retry_read(b);
	return (int)k;
}

static int socket_write(BIO *b, const char *p, int n)
{
	const struct tls_conn *c = BIO_get_data(b);
	ssize_t k = send(c->fd, p, (size_t)n, MSG_NOSIGNAL);
	BIO_clear_retry_flags(b);
	if (k < 0 && would_block(errno))
		BIO_set_retry_write(b);
	return (int)k;
}

static long socket_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_socket_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket");
	if (!m || BIO_meth_set_read(m, socket_read) != 1 ||
	    BIO_meth_set_write(m, socket_write) != 1 || BIO_meth_set_ctrl(m, socket_ctrl) != 1)
		mem_abort();
	return m;
}

/* ---- making and freeing ---- */

static struct tls_conn *conn_new(struct tls_context *t, int fd)
{
	struct tls_conn *c = mem_new(struct tls_conn, 1);
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	c->context = t;
	(void)pthread_mutex_lock(&t->lock);
	c->ssl = SSL_new(t->ctx);
	(void)pthread_mutex_unlock(&t->lock);
	BIO *b = BIO_new(t->socket);
	if (!c->ssl || !b)
		mem_abort();
	c->fd = fd;
	BIO_set_data(b, c);
	BIO_set_init(b, 1);
	SSL_set_bio(c->ssl, b, b);
	return c;
}

struct tls_conn *tls_accept(struct tls_context *t, int fd)
{
	struct tls_conn *c = conn_new(t, fd);
	SSL_set_accept_state(c->ssl);
	return c;
}

struct tls_conn *tls_connect(struct tls_context *t, int fd, const char *name)
{
	struct tls_conn *c = conn_new(t, fd);
	unsigned char raw[16];
	c->name = mem_strdup(name);
	if (inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1) {
		if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), name) != 1)
			mem_abort();
	} else {
		SSL_set_hostflags(c->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		if (SSL_set1_host(c->ssl, name) != 1 ||
		    SSL_set_tlsext_host_name(c->ssl, c->name) != 1)
			mem_abort();
	}
	SSL_set_connect_state(c->ssl);
	return c;
}

struct tls_conn *tls_conn_free(struct tls_conn *c)
{
	if (!c)
		return NULL;
	SSL_set_quiet_shutdown(c->ssl, 1);
	SSL_free(c->ssl);
	arena_fini(&c->arena);
	mem_free(c->name);
	tls_context_unref(c->context);
	mem_free(c);
	return NULL;
}

/* ---- what went wrong ---- */

static int peer_is_bad(const struct tls_conn *c, struct error *err)
{
	long v = SSL_get_verify_result(c->ssl);
	switch (v) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return error_set(err, ERR_UNAUTHORIZED, "certificate has expired");
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return error_set(err, ERR_UNAUTHORIZED, "certificate is not valid yet");
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return error_set(err, ERR_UNAUTHORIZED,
				 "certificate is signed by unknown authority");
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return error_set(err, ERR_UNAUTHORIZED, "certificate is not for %s",
				 c->name ? c->name : "this name");
	case X509_V_ERR_INVALID_PURPOSE:
		return error_set(err, ERR_UNAUTHORIZED, "certificate is not for this use");
	default:
		return error_set(err, ERR_UNAUTHORIZED, "certificate: %s",
				 X509_verify_cert_error_string(v));
	}
}

struct reason {
	int code;
	enum err_code err;
	const char *text;
};

/* What the other side thinks, and mistakes that people make. */
static const struct reason reasons[] = {
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, ERR_UNAUTHORIZED,
	  "the peer refused our certificate: it has expired" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, ERR_UNAUTHORIZED,
	  "the peer refused our certificate: unknown authority" },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, ERR_UNAUTHORIZED, "the peer refused our certificate" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, ERR_UNAUTHORIZED,
	  "the peer refused our certificate" },
	{ SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, ERR_UNAUTHORIZED,
	  "the peer refused our certificate: not for this use" },
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, ERR_UNAUTHORIZED,
	  "the peer demands a certificate" },
	{ SSL_R_HTTP_REQUEST, ERR_UNAVAILABLE, "plain HTTP was sent to a TLS port" },
	{ SSL_R_WRONG_VERSION_NUMBER, ERR_UNAVAILABLE, "the peer does not speak TLS" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, ERR_UNAVAILABLE, "the peer's TLS is too old" },
	{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, ERR_UNAVAILABLE, "no common TLS version" },
};

/* After a call returned `rc` <= 0. */
static int failed(struct tls_conn *c, int rc, struct error *err)
{
	int errnum = errno;
	int kind = SSL_get_error(c->ssl, rc);
	if (kind == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (kind == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (kind == SSL_ERROR_ZERO_RETURN)
		return 0;
	unsigned long e = ERR_peek_error();
	if (e == 0) {
		if (errnum == 0)
			return error_set(err, ERR_UNAVAILABLE, "the peer closed the connection");
		return error_errno(err, ERR_UNAVAILABLE, errnum, "TLS");
	}
	int code = ERR_GET_REASON(e);
	if (ERR_GET_LIB(e) == ERR_LIB_SSL && code == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		ERR_clear_error();
		return peer_is_bad(c, err);
	}
	for (size_t i = 0; ERR_GET_LIB(e) == ERR_LIB_SSL && i < sizeof(reasons) / sizeof(*reasons);
	     i++) {
		if (reasons[i].code == code) {
			ERR_clear_error();
			return error_set(err, reasons[i].err, "%s", reasons[i].text);
		}
	}
	return tls_error(err, ERR_UNAVAILABLE, "TLS");
}

/* ---- bytes ---- */

int tls_handshake(struct tls_conn *c, struct error *err)
{
	ERR_clear_error();
	errno = 0;
	int rc = SSL_do_handshake(c->ssl);
	if (rc != 1) {
		rc = failed(c, rc, err);
		return rc == 0 ? error_set(err, ERR_UNAVAILABLE, "the peer closed the connection")
			       : rc;
	}
	X509 *x = SSL_get0_peer_certificate(c->ssl);
	if (!x || c->peer)
		return 0;
	struct pki_info *info = arena_new(&c->arena, struct pki_info, 1);
	rc = pki_info_of(x, &c->arena, info, err);
	if (rc < 0)
		return error_set(err, ERR_UNAUTHORIZED, "certificate holds a malformed name");
	c->peer = info;
	return 0;
}

static int clamp(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

ssize_t tls_read(struct tls_conn *c, void *p, size_t n, struct error *err)
{
	ERR_clear_error();
	errno = 0;
	int k = SSL_read(c->ssl, p, clamp(n));
	return k > 0 ? k : failed(c, k, err);
}

bool tls_pending(const struct tls_conn *c)
{
	return SSL_has_pending(c->ssl) == 1;
}

ssize_t tls_write(struct tls_conn *c, const void *p, size_t n, struct error *err)
{
	ERR_clear_error();
	errno = 0;
	int k = SSL_write(c->ssl, p, clamp(n));
	if (k > 0)
		return k;
	k = failed(c, k, err);
	return k == 0 ? error_set(err, ERR_UNAVAILABLE, "the peer closed the connection") : k;
}

void tls_shutdown(struct tls_conn *c)
{
	if (c->said_bye || !SSL_is_init_finished(c->ssl))
		return;
	c->said_bye = true;
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
}

struct str tls_alpn(const struct tls_conn *c)
{
	const unsigned char *p = NULL;
	unsigned len = 0;
	SSL_get0_alpn_selected(c->ssl, &p, &len);
	return str_n((const char *)p, len);
}

const struct pki_info *tls_peer(const struct tls_conn *c)
{
	return c->peer;
}
