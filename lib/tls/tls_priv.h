/*
 * tls/tls_priv - what the files of this module share.
 */
#ifndef TLS_TLS_PRIV_H
#define TLS_TLS_PRIV_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "tls/pki.h"
#include "tls/tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>

struct tls_context {
	_Atomic uint32_t refs; /* the maker's and each connection's */
	bool server;
	char *cert_file, *key_file, *ca_file; /* NULL = none */
	unsigned char alpn[64];               /* as on the wire: length, name, length, name */
	unsigned alpn_len;
	BIO_METHOD *socket;   /* how bytes reach the descriptor */
	pthread_mutex_t lock; /* guards ctx, not_after */
	SSL_CTX *ctx;
	int64_t not_after;
};

void tls_context_unref(struct tls_context *t);

/* Sockets by send(2) without SIGPIPE, which OpenSSL's own way would raise. */
BIO_METHOD *tls_socket_method(void);

/* Empties OpenSSL's error queue of this thread into "what: reason". */
int tls_error(struct error *err, enum err_code code, const char *what);

/* A read-only BIO over borrowed text. */
BIO *tls_bio_of(struct str text);

/* Never asks a terminal for a passphrase. */
int tls_no_passphrase(char *buf, int size, int rw, void *arg);

int64_t pki_time(const ASN1_TIME *t);
int pki_info_of(X509 *x, struct arena *a, struct pki_info *ret, struct error *err);

#endif
