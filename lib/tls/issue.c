#include "base/mem.h"
#include "sys/clock.h"
#include "tls/pki.h"
#include "tls/tls_priv.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { SERIAL_BYTES = 16, X509_VERSION_3_VALUE = 2 };

void pki_pair_fini(struct pki_pair *p)
{
	if (p->key.p)
		OPENSSL_cleanse(p->key.p, p->key.cap);
	buf_fini(&p->key);
	buf_fini(&p->cert);
}

/* Both or nothing: what is in memory is text only once all of it worked. */
static bool write_pair(X509 *x, EVP_PKEY *key, struct pki_pair *ret)
{
	BIO *cert_out = BIO_new(BIO_s_mem());
	BIO *key_out = BIO_new(BIO_s_secmem());
	bool good = cert_out && key_out && PEM_write_bio_X509(cert_out, x) == 1 &&
		    PEM_write_bio_PKCS8PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1;
	if (good) {
		char *p = NULL;
		long len = BIO_get_mem_data(cert_out, &p);
		buf_add(&ret->cert, p, (size_t)len);
		len = BIO_get_mem_data(key_out, &p);
		/* in one step, so that no copy of the key stays behind in freed memory */
		buf_reserve(&ret->key, (size_t)len + 1);
		buf_add(&ret->key, p, (size_t)len);
	}
	(void)BIO_free(cert_out);
	(void)BIO_free(key_out);
	return good;
}

static bool set_serial(X509 *x)
{
	unsigned char raw[SERIAL_BYTES];
	clock_random(raw, sizeof(raw));
	raw[0] = (unsigned char)((raw[0] & 0x7f) | 0x40); /* positive and always as long */
	BIGNUM *n = BN_bin2bn(raw, sizeof(raw), NULL);
	bool good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return good;
}

static bool add_text(X509_NAME *name, int nid, struct str s)
{
	return s.len <= INT32_MAX &&
	       X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)s.p,
					  (int)s.len, -1, 0) == 1;
}

static bool add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool good = ext && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return good;
}

static GENERAL_NAME *alt_name_of(struct str name)
{
	unsigned char raw[16];
	char text[256];
	if (name.len == 0 || name.len >= sizeof(text) || memchr(name.p, '\0', name.len))
		return NULL;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	int raw_len = inet_pton(AF_INET, text, raw) == 1 ? 4 : 0;
	if (!raw_len)
		raw_len = inet_pton(AF_INET6, text, raw) == 1 ? 16 : 0;
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = raw_len ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	if (!g || !s)
		mem_abort();
	if (ASN1_STRING_set(s, raw_len ? (const void *)raw : text,
			    raw_len ? raw_len : (int)name.len) != 1)
		mem_abort();
	GENERAL_NAME_set0_value(g, raw_len ? GEN_IPADD : GEN_DNS, s);
	return g;
}

/* Built as a value, never as OpenSSL's configuration text: a name with a comma stays one name. */
static bool add_alt_names(X509 *x, const struct pki_request *req)
{
	if (req->names_len == 0)
		return true;
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	bool good = list != NULL;
	for (size_t i = 0; i < req->names_len && good; i++) {
		GENERAL_NAME *g = alt_name_of(req->names[i]);
		good = g && sk_GENERAL_NAME_push(list, g) > 0;
		if (!good)
			GENERAL_NAME_free(g);
	}
	if (good)
		good = X509_add1_ext_i2d(x, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(list);
	return good;
}

/* What authorities and others have in common: version, serial, times, key. */
static X509 *start_cert(EVP_PKEY *key, int64_t not_before, int64_t not_after)
{
	X509 *x = X509_new();
	bool good = x && X509_set_version(x, X509_VERSION_3_VALUE) == 1 && set_serial(x) &&
		    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)not_before) &&
		    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)not_after) &&
		    X509_set_pubkey(x, key) == 1;
	if (good)
		return x;
	X509_free(x);
	return NULL;
}

int pki_make_ca(struct str common_name, int64_t not_before, int64_t not_after, struct pki_pair *ret,
		struct error *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key ? start_cert(key, not_before, not_after) : NULL;
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
	bool good = name && add_text(name, NID_commonName, common_name) &&
		    X509_set_issuer_name(x, name) == 1 &&
		    add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		    add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		    add_ext(x, x, NID_subject_key_identifier, "hash") &&
		    X509_sign(x, key, EVP_sha256()) > 0 && write_pair(x, key, ret);
	X509_free(x);
	EVP_PKEY_free(key);
	return good ? 0 : tls_error(err, ERR_INVALID, "make a certificate authority");
}

static bool describe(X509 *x, X509 *ca, const struct pki_request *req)
{
	X509_NAME *name = X509_get_subject_name(x);
	for (size_t i = 0; i < req->organizations_len; i++) {
		if (!add_text(name, NID_organizationName, req->organizations[i]))
			return false;
	}
	if (req->common_name.len && !add_text(name, NID_commonName, req->common_name))
		return false;
	const char *use = req->use == PKI_SERVER   ? "serverAuth"
			  : req->use == PKI_CLIENT ? "clientAuth"
						   : "serverAuth,clientAuth";
	return X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1 &&
	       add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_ext(x, ca, NID_key_usage, "critical,digitalSignature") &&
	       add_ext(x, ca, NID_ext_key_usage, use) &&
	       add_ext(x, ca, NID_subject_key_identifier, "hash") &&
	       add_ext(x, ca, NID_authority_key_identifier, "keyid:always") &&
	       add_alt_names(x, req);
}

static int issue(X509 *ca, EVP_PKEY *ca_key, const struct pki_request *req, struct pki_pair *ret,
		 struct error *err)
{
	if (X509_check_private_key(ca, ca_key) != 1)
		return tls_error(err, ERR_INVALID, "authority's key does not fit its certificate");
	if (X509_check_ca(ca) != 1)
		return tls_error(err, ERR_INVALID, "certificate is no authority");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key ? start_cert(key, req->not_before, req->not_after) : NULL;
	bool good = x && describe(x, ca, req) && X509_sign(x, ca_key, EVP_sha256()) > 0 &&
		    write_pair(x, key, ret);
	X509_free(x);
	EVP_PKEY_free(key);
	return good ? 0 : tls_error(err, ERR_INVALID, "issue a certificate");
}

int pki_issue(struct str ca_cert_pem, struct str ca_key_pem, const struct pki_request *req,
	      struct pki_pair *ret, struct error *err)
{
	if (req->organizations_len > PKI_LIST_MAX || req->names_len > PKI_LIST_MAX ||
	    !(req->use & (PKI_SERVER | PKI_CLIENT)))
		return error_set(err, ERR_INVALID, "issue a certificate: too many names or no use");
	BIO *cert_in = tls_bio_of(ca_cert_pem);
	BIO *key_in = tls_bio_of(ca_key_pem);
	X509 *ca = PEM_read_bio_X509(cert_in, NULL, tls_no_passphrase, NULL);
	EVP_PKEY *ca_key = PEM_read_bio_PrivateKey(key_in, NULL, tls_no_passphrase, NULL);
	(void)BIO_free(cert_in);
	(void)BIO_free(key_in);
	int rc = ca && ca_key ? issue(ca, ca_key, req, ret, err)
			      : tls_error(err, ERR_INVALID, "read the authority");
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return rc;
}
