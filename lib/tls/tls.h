/*
 * tls - TLS 1.2 and 1.3 (RFC 8446) over non-blocking sockets, for servers and clients.
 *
 * A context holds what all connections of one listener, or to one kind of
 * server, share; it is made from PEM files and may be shared by threads.  A
 * connection belongs to one thread at a time.
 *
 * Sessions are never resumed: a resumed one would keep a client certificate
 * alive that has expired or whose authority was taken away.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "tls/pki.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_context;
struct tls_conn;

enum { TLS_FILE_BYTES_MAX = 1 << 20 };

/*
 * Files are PEM.  Server: cert and key are needed; with ca_file clients are asked
 * for a certificate, one that is sent must be signed by it, none at all is let
 * in as nobody.  Client: cert and key may be NULL (both); ca_file NULL = the
 * machine's own authorities.
 */
struct tls_files {
	const char *cert_file; /* own certificate, then the chain */
	const char *key_file;
	const char *ca_file;
};

/* `alpn` in order of preference, "h2,http/1.1"; "" = none.  ERR_NOT_FOUND, ERR_FORBIDDEN, ERR_INVALID. */
ATTR_MUSTCHECK int tls_server_new(const struct tls_files *files, const char *alpn,
				  struct tls_context **ret, struct error *err);
ATTR_MUSTCHECK int tls_client_new(const struct tls_files *files, const char *alpn,
				  struct tls_context **ret, struct error *err);

/* Connections still open keep what they need.  Accepts NULL, returns NULL. */
struct tls_context *tls_free(struct tls_context *t);

/*
 * Reads the files again, for connections made from here on.  On an error the
 * context stays as it is.  Any thread.
 */
ATTR_MUSTCHECK int tls_reload(struct tls_context *t, struct error *err);

/* When the own certificate ends, Unix seconds; 0 = there is none.  For a metric. */
int64_t tls_not_after(struct tls_context *t);

/* ---- connections ---- */

/* The socket stays the caller's; it must be non-blocking. */
struct tls_conn *tls_accept(struct tls_context *t, int fd);

/* `name` is what the server's certificate must be for: a DNS name or an IP address. */
struct tls_conn *tls_connect(struct tls_context *t, int fd, const char *name);

/* Sends nothing, see tls_shutdown().  Accepts NULL, returns NULL. */
struct tls_conn *tls_conn_free(struct tls_conn *c);

/* Instead of a result: call again, with the same bytes, when the socket is readable, writable. */
enum { TLS_WANT_READ = -100, TLS_WANT_WRITE = -101 };

/*
 * 0 when done, TLS_WANT_…, or an error: ERR_UNAUTHORIZED when the peer's
 * certificate is not good ("certificate has expired", "unknown authority",
 * "certificate is not for api.example", …) or the peer said so of ours,
 * ERR_UNAVAILABLE for anything else.
 */
ATTR_MUSTCHECK int tls_handshake(struct tls_conn *c, struct error *err);

/*
 * Bytes, 0 when the peer closed, TLS_WANT_…, or an error as of tls_handshake
 * (TLS 1.3 clients learn only here that their certificate was refused).  Read
 * until TLS_WANT_READ or until tls_pending() is false: bytes may lie in the
 * connection where no poll sees them.
 */
ssize_t tls_read(struct tls_conn *c, void *p, size_t n, struct error *err);

bool tls_pending(const struct tls_conn *c);

/* Bytes taken (some of n), TLS_WANT_…, or an error. */
ssize_t tls_write(struct tls_conn *c, const void *p, size_t n, struct error *err);

/* Says good-bye (close_notify) once, without waiting for the answer. */
void tls_shutdown(struct tls_conn *c);

/* The protocol agreed on ("h2"), or "".  Valid with the connection. */
struct str tls_alpn(const struct tls_conn *c);

/* After the handshake: what the peer's verified certificate says; NULL = it sent none. */
const struct pki_info *tls_peer(const struct tls_conn *c);

#endif
