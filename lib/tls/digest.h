/*
 * tls/digest - hashes and comparing secrets.  Pure; any thread.
 */
#ifndef TLS_DIGEST_H
#define TLS_DIGEST_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_SHA256_BYTES = 32, DIGEST_SHA256_HEX = 65 /* with NUL */ };

void digest_sha256(struct str data, uint8_t out[DIGEST_SHA256_BYTES]);
void digest_sha256_hex(struct str data, char out[DIGEST_SHA256_HEX]); /* lower case */
void digest_hmac_sha256(struct str key, struct str data, uint8_t out[DIGEST_SHA256_BYTES]);

/* Takes the same time wherever they differ.  The lengths are no secret. */
bool digest_equal(struct str a, struct str b);

#endif
