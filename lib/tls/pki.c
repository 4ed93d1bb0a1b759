#include "tls/pki.h"

#include "base/mem.h"
#include "tls/tls_priv.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { NAME_BYTES_MAX = 1024 };

int tls_error(struct error *err, enum err_code code, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	ERR_clear_error();
	return error_set(err, code, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

BIO *tls_bio_of(struct str text)
{
	BIO *b = BIO_new_mem_buf(text.len ? text.p : "", text.len > INT32_MAX ? 0 : (int)text.len);
	if (!b)
		mem_abort();
	return b;
}

int tls_no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

int64_t pki_time(const ASN1_TIME *t)
{
	struct tm tm;
	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* Names decide who somebody is: a NUL or a control character in one is an attack, never a name. */
static bool name_is_sane(const unsigned char *p, int len)
{
	if (len < 0 || len > NAME_BYTES_MAX)
		return false;
	for (int i = 0; i < len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
	}
	return true;
}

static int copy_name(const ASN1_STRING *s, struct arena *a, struct str *ret, struct error *err)
{
	unsigned char *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, s);
	bool good = len >= 0 && name_is_sane(utf8, len);
	if (good)
		*ret = arena_str(a, str_n((const char *)utf8, (size_t)len));
	OPENSSL_free(utf8);
	if (good)
		return 0;
	ERR_clear_error();
	return error_set(err, ERR_INVALID, "certificate holds a malformed name");
}

static int read_subject(X509 *x, struct arena *a, struct pki_info *ret, struct error *err)
{
	X509_NAME *name = X509_get_subject_name(x);
	int entries = X509_NAME_entry_count(name);
	ret->organizations = arena_new(a, struct str, PKI_LIST_MAX);
	for (int i = 0; i < entries; i++) {
		X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
		struct str s = STR_NONE;
		if (nid != NID_commonName && nid != NID_organizationName)
			continue;
		int rc = copy_name(X509_NAME_ENTRY_get_data(e), a, &s, err);
		if (rc < 0)
			return rc;
		if (nid == NID_commonName)
			ret->common_name = s;
		else if (ret->organizations_len < PKI_LIST_MAX)
			ret->organizations[ret->organizations_len++] = s;
		else
			return error_set(err, ERR_INVALID,
					 "certificate names more than %d organizations",
					 PKI_LIST_MAX);
	}
	BIO *out = BIO_new(BIO_s_mem());
	if (!out)
		mem_abort();
	char *line = NULL;
	if (X509_NAME_print_ex(out, name, 0, XN_FLAG_ONELINE & ~(unsigned long)XN_FLAG_SPC_EQ) >
	    0) {
		long len = BIO_get_mem_data(out, &line);
		ret->subject = arena_str(a, str_n(line, len > 0 ? (size_t)len : 0));
	}
	(void)BIO_free(out);
	return 0;
}

static int read_alt_name(const GENERAL_NAME *g, struct arena *a, struct pki_info *ret,
			 struct error *err)
{
	if (ret->names_len == PKI_LIST_MAX)
		return 0;
	if (g->type == GEN_DNS) {
		int rc = copy_name(g->d.dNSName, a, &ret->names[ret->names_len], err);
		if (rc < 0)
			return rc;
		ret->names_len++;
	} else if (g->type == GEN_IPADD) {
		char text[INET6_ADDRSTRLEN] = "";
		int len = ASN1_STRING_length(g->d.iPAddress);
		if (len != 4 && len != 16)
			return error_set(err, ERR_INVALID, "certificate holds a malformed address");
		(void)inet_ntop(len == 4 ? AF_INET : AF_INET6,
				ASN1_STRING_get0_data(g->d.iPAddress), text, sizeof(text));
		ret->names[ret->names_len++] = str_of(arena_strdup(a, text));
	}
	return 0;
}

static int read_alt_names(X509 *x, struct arena *a, struct pki_info *ret, struct error *err)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	if (!list)
		return 0;
	ret->names = arena_new(a, struct str, PKI_LIST_MAX);
	int rc = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(list) && rc == 0; i++)
		rc = read_alt_name(sk_GENERAL_NAME_value(list, i), a, ret, err);
	GENERAL_NAMES_free(list);
	return rc;
}

int pki_info_of(X509 *x, struct arena *a, struct pki_info *ret, struct error *err)
{
	struct pki_info info = { 0 };
	int rc = read_subject(x, a, &info, err);
	if (rc == 0)
		rc = read_alt_names(x, a, &info, err);
	if (rc < 0)
		return rc;
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = serial ? BN_bn2hex(serial) : NULL;
	info.serial = str_of(arena_strdup(a, hex ? hex : ""));
	OPENSSL_free(hex);
	BN_free(serial);
	info.not_before = pki_time(X509_get0_notBefore(x));
	info.not_after = pki_time(X509_get0_notAfter(x));
	info.is_ca = X509_check_ca(x) == 1;
	ERR_clear_error();
	*ret = info;
	return 0;
}

int pki_inspect(struct str cert_pem, struct arena *a, struct pki_info *ret, struct error *err)
{
	BIO *in = tls_bio_of(cert_pem);
	X509 *x = PEM_read_bio_X509(in, NULL, tls_no_passphrase, NULL);
	(void)BIO_free(in);
	if (!x)
		return tls_error(err, ERR_INVALID, "no certificate");
	int rc = pki_info_of(x, a, ret, err);
	X509_free(x);
	return rc;
}
