/*
 * sign - signatures of webhooks, as the Standard Webhooks specification has them.
 *
 *   webhook-id         the idempotency key
 *   webhook-timestamp  Unix seconds of the attempt
 *   webhook-signature  v1,BASE64(HMAC-SHA256(key, "ID.TIMESTAMP.BODY"))
 *
 * Pure.  Source: Standard Webhooks 1.0.
 */
#ifndef SIGN_H
#define SIGN_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

enum { SIGN_KEY_BYTES_MIN = 16 };

struct sign_message {
	struct str id, body;
	int64_t seconds;
};

/*
 * Appends the value of webhook-signature.  The secret is "whsec_BASE64", or any other text, whose bytes are the key.
 * ERR_INVALID: it is shorter than SIGN_KEY_BYTES_MIN, or no base64.
 */
ATTR_MUSTCHECK int sign_message(struct str secret, const struct sign_message *m, struct buf *out,
				struct error *err);

#endif
