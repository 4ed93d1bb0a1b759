#include "sign.h"

#include "text/base64.h"
#include "tls/digest.h"

#include <inttypes.h>

int sign_message(struct str secret, const struct sign_message *m, struct buf *out,
		 struct error *err)
{
	struct buf key = { 0 };
	struct buf text = { 0 };
	uint8_t mac[DIGEST_SHA256_BYTES];
	int rc = 0;
	if (!str_starts(secret, STR("whsec_")))
		buf_add_str(&key, secret);
	else if (!base64_read(&key, str_sub(secret, 6, secret.len)))
		rc = error_set(err, ERR_INVALID, "what follows whsec_ is not base64");
	if (rc == 0 && key.len < SIGN_KEY_BYTES_MIN)
		rc = error_set(err, ERR_INVALID, "the key is shorter than %d bytes",
			       SIGN_KEY_BYTES_MIN);
	if (rc == 0) {
		buf_addf(&text, "%.*s.%" PRId64 ".", STR_ARG(m->id), m->seconds);
		buf_add_str(&text, m->body);
		digest_hmac_sha256(buf_str(&key), buf_str(&text), mac);
		buf_adds(out, "v1,");
		base64_write(out, mac, sizeof(mac));
	}
	buf_fini(&key);
	buf_fini(&text);
	return rc;
}
