#include "base/buf.h"
#include "base/mem.h"
#include "sys/file.h"
#include "tls/tls_priv.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* ---- reading files ---- */

static int read_text(const char *path, struct buf *out, struct error *err)
{
	return file_read(path, TLS_FILE_BYTES_MAX, out, err);
}

static int use_chain(SSL_CTX *ctx, BIO *in, const char *path, struct error *err)
{
	X509 *x = PEM_read_bio_X509(in, NULL, tls_no_passphrase, NULL);
	bool good = x && SSL_CTX_use_certificate(ctx, x) == 1;
	X509_free(x);
	while (good && (x = PEM_read_bio_X509(in, NULL, tls_no_passphrase, NULL))) {
		good = SSL_CTX_add1_chain_cert(ctx, x) == 1;
		X509_free(x);
	}
	if (!good)
		return tls_error(err, ERR_INVALID, path);
	ERR_clear_error(); /* "no further certificate" */
	return 0;
}

static int use_pair(SSL_CTX *ctx, const struct tls_context *t, struct error *err)
{
	struct buf text = { 0 };
	int rc = read_text(t->cert_file, &text, err);
	if (rc == 0) {
		BIO *in = tls_bio_of(buf_str(&text));
		rc = use_chain(ctx, in, t->cert_file, err);
		(void)BIO_free(in);
	}
	buf_clear(&text);
	if (rc == 0)
		rc = read_text(t->key_file, &text, err);
	if (rc == 0) {
		BIO *in = tls_bio_of(buf_str(&text));
		EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, tls_no_passphrase, NULL);
		if (!key)
			rc = tls_error(err, ERR_INVALID, t->key_file);
		else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
			 SSL_CTX_check_private_key(ctx) != 1)
			rc = tls_error(err, ERR_INVALID, "key does not fit the certificate");
		EVP_PKEY_free(key);
		(void)BIO_free(in);
	}
	if (text.p)
		OPENSSL_cleanse(text.p, text.cap);
	buf_fini(&text);
	return rc;
}

static int use_authorities(SSL_CTX *ctx, const struct tls_context *t, struct error *err)
{
	struct buf text = { 0 };
	int rc = read_text(t->ca_file, &text, err);
	if (rc < 0)
		return rc;
	BIO *in = tls_bio_of(buf_str(&text));
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	size_t count = 0;
	for (X509 *x; rc == 0 && (x = PEM_read_bio_X509(in, NULL, tls_no_passphrase, NULL));) {
		if (X509_STORE_add_cert(store, x) != 1 ||
		    (t->server && SSL_CTX_add_client_CA(ctx, x) != 1))
			rc = tls_error(err, ERR_INVALID, t->ca_file);
		X509_free(x);
		count++;
	}
	ERR_clear_error();
	if (rc == 0 && count == 0)
		rc = error_set(err, ERR_INVALID, "%s: no certificate", t->ca_file);
	(void)BIO_free(in);
	buf_fini(&text);
	return rc;
}

/* ---- contexts ---- */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	(void)ssl;
	const struct tls_context *t = arg;
	unsigned char *choice = NULL;
	if (SSL_select_next_proto(&choice, out_len, t->alpn, t->alpn_len, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = choice;
	return SSL_TLSEXT_ERR_OK;
}

static void set_modes(SSL_CTX *ctx, struct tls_context *t)
{
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* idle connections give their buffers back: 15 KB each instead of 50 */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* one read(2) a record instead of two */
	SSL_CTX_set_read_ahead(ctx, 1);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF |
					       SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	/* an intermediate authority that is trusted by name need not lead to a root, as in Go */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	if (t->server) {
		/* OpenSSL refuses client certificates without one */
		(void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"rctl", 4);
		if (t->alpn_len)
			SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, t);
		/* asked for, not demanded: a bearer token may come instead */
		SSL_CTX_set_verify(ctx, t->ca_file ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	} else {
		if (t->alpn_len)
			(void)SSL_CTX_set_alpn_protos(ctx, t->alpn, t->alpn_len);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
}

static int load(struct tls_context *t, SSL_CTX **ret, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(t->server ? TLS_server_method() : TLS_client_method());
	if (!ctx)
		return tls_error(err, ERR_INTERNAL, "make a TLS context");
	set_modes(ctx, t);
	int rc = 0;
	if (t->cert_file)
		rc = use_pair(ctx, t, err);
	if (rc == 0 && t->ca_file)
		rc = use_authorities(ctx, t, err);
	else if (rc == 0 && !t->server && SSL_CTX_set_default_verify_paths(ctx) != 1)
		rc = tls_error(err, ERR_INTERNAL, "the machine's authorities");
	if (rc < 0)
		SSL_CTX_free(ctx);
	else
		*ret = ctx;
	return rc;
}

int tls_reload(struct tls_context *t, struct error *err)
{
	SSL_CTX *ctx = NULL;
	int rc = load(t, &ctx, err);
	if (rc < 0)
		return error_wrap(err, "TLS");
	X509 *own = SSL_CTX_get0_certificate(ctx);
	(void)pthread_mutex_lock(&t->lock);
	SSL_CTX *old = t->ctx;
	t->ctx = ctx;
	t->not_after = own ? pki_time(X509_get0_notAfter(own)) : 0;
	(void)pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return 0;
}

/* "h2,http/1.1" as TLS wants it */
static void set_alpn(struct tls_context *t, const char *alpn)
{
	struct str rest = str_of(alpn);
	struct str name;
	while (*alpn && str_split(&rest, ',', &name)) {
		assert(name.len && t->alpn_len + 1 + name.len <= sizeof(t->alpn));
		t->alpn[t->alpn_len++] = (unsigned char)name.len;
		memcpy(t->alpn + t->alpn_len, name.p, name.len);
		t->alpn_len += (unsigned)name.len;
	}
}

static int context_new(const struct tls_files *files, const char *alpn, bool server,
		       struct tls_context **ret, struct error *err)
{
	if (server && (!files->cert_file || !files->key_file))
		return error_set(err, ERR_INVALID, "TLS: a server needs a certificate and a key");
	if (!files->cert_file != !files->key_file)
		return error_set(err, ERR_INVALID, "TLS: certificate and key go together");
	struct tls_context *t = mem_new(struct tls_context, 1);
	atomic_init(&t->refs, 1);
	(void)pthread_mutex_init(&t->lock, NULL);
	t->server = server;
	t->cert_file = files->cert_file ? mem_strdup(files->cert_file) : NULL;
	t->key_file = files->key_file ? mem_strdup(files->key_file) : NULL;
	t->ca_file = files->ca_file ? mem_strdup(files->ca_file) : NULL;
	t->socket = tls_socket_method();
	set_alpn(t, alpn);
	int rc = tls_reload(t, err);
	if (rc < 0)
		tls_context_unref(t);
	else
		*ret = t;
	return rc;
}

int tls_server_new(const struct tls_files *files, const char *alpn, struct tls_context **ret,
		   struct error *err)
{
	return context_new(files, alpn, true, ret, err);
}

int tls_client_new(const struct tls_files *files, const char *alpn, struct tls_context **ret,
		   struct error *err)
{
	return context_new(files, alpn, false, ret, err);
}

void tls_context_unref(struct tls_context *t)
{
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->socket);
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t->cert_file);
	mem_free(t->key_file);
	mem_free(t->ca_file);
	mem_free(t);
}

struct tls_context *tls_free(struct tls_context *t)
{
	if (t)
		tls_context_unref(t);
	return NULL;
}

int64_t tls_not_after(struct tls_context *t)
{
	(void)pthread_mutex_lock(&t->lock);
	int64_t v = t->not_after;
	(void)pthread_mutex_unlock(&t->lock);
	return v;
}
