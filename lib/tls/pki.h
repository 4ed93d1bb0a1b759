/*
 * tls/pki - X.509 certificates (RFC 5280): looking into them and making them.
 *
 * Keys are P-256, signatures ECDSA with SHA-256, serial numbers 128 random
 * bits.  Everything is PEM text in memory; writing files is the caller's.
 * Times are Unix seconds and passed in.  Any thread.
 */
#ifndef TLS_PKI_H
#define TLS_PKI_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PKI_LIST_MAX = 64 /* organizations, and alternative names, that are looked at */ };

/* What a certificate says.  The strings live in the arena or object that the maker names. */
struct pki_info {
	struct str subject;     /* one line, RFC 2253 order reversed: "O=rctl, CN=api" */
	struct str common_name; /* "" = none */
	struct str *organizations;
	size_t organizations_len;
	struct str *names; /* subjectAltName: DNS names and IP addresses as text */
	size_t names_len;
	struct str serial; /* hex */
	int64_t not_before, not_after;
	bool is_ca;
};

/*
 * The first certificate in a PEM text.  ERR_INVALID when there is none, or when
 * a name in it holds a NUL or is no UTF-8 (such names have fooled others).
 */
ATTR_MUSTCHECK int pki_inspect(struct str cert_pem, struct arena *a, struct pki_info *ret,
			       struct error *err);

/* A certificate (with the chain behind it, if any) and its private key (PKCS#8). */
struct pki_pair {
	struct buf cert, key;
};

void pki_pair_fini(struct pki_pair *p); /* wipes the key */

/* A self-signed authority that signs no further authorities. */
ATTR_MUSTCHECK int pki_make_ca(struct str common_name, int64_t not_before, int64_t not_after,
			       struct pki_pair *ret, struct error *err);

enum pki_use { PKI_SERVER = 1, PKI_CLIENT = 2 }; /* extendedKeyUsage; may be combined by | */

struct pki_request {
	struct str common_name; /* at most 64 bytes, as X.509 says */
	const struct str *organizations;
	size_t organizations_len;
	const struct str *names; /* subjectAltName: "api.example", "*.example", "10.0.0.1", "::1" */
	size_t names_len;
	int use;
	int64_t not_before, not_after;
};

/*
 * A new key and its certificate, signed by the authority.  ERR_INVALID when the
 * authority's texts do not fit each other or the request breaks a limit.
 */
ATTR_MUSTCHECK int pki_issue(struct str ca_cert_pem, struct str ca_key_pem,
			     const struct pki_request *req, struct pki_pair *ret,
			     struct error *err);

#endif
