#include "tls/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

void digest_sha256(struct str data, uint8_t out[DIGEST_SHA256_BYTES])
{
	unsigned len = DIGEST_SHA256_BYTES;
	if (EVP_Digest(data.p ? data.p : "", data.len, out, &len, EVP_sha256(), NULL) != 1)
		abort(); /* only without memory */
}

void digest_sha256_hex(struct str data, char out[DIGEST_SHA256_HEX])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[DIGEST_SHA256_BYTES];
	digest_sha256(data, raw);
	for (size_t i = 0; i < sizeof(raw); i++) {
		out[2 * i] = hex[raw[i] >> 4];
		out[2 * i + 1] = hex[raw[i] & 15];
	}
	out[DIGEST_SHA256_HEX - 1] = '\0';
}

void digest_hmac_sha256(struct str key, struct str data, uint8_t out[DIGEST_SHA256_BYTES])
{
	unsigned len = DIGEST_SHA256_BYTES;
	if (key.len > INT32_MAX ||
	    !HMAC(EVP_sha256(), key.p ? key.p : "", (int)key.len,
		  (const unsigned char *)(data.p ? data.p : ""), data.len, out, &len))
		abort();
}

bool digest_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.p, b.p, a.len) == 0);
}
