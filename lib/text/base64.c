#include "text/base64.h"

#include <stdint.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buf *out, const void *p, size_t n, const char *alphabet, bool padding)
{
	const uint8_t *b = p;
	buf_reserve(out, n / 3 * 4 + 4);
	for (; n >= 3; b += 3, n -= 3) {
		uint32_t w = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
		buf_addc(out, alphabet[w >> 18]);
		buf_addc(out, alphabet[w >> 12 & 63]);
		buf_addc(out, alphabet[w >> 6 & 63]);
		buf_addc(out, alphabet[w & 63]);
	}
	if (n == 0)
		return;
	uint32_t w = (uint32_t)b[0] << 16 | (n == 2 ? (uint32_t)b[1] << 8 : 0);
	buf_addc(out, alphabet[w >> 18]);
	buf_addc(out, alphabet[w >> 12 & 63]);
	if (n == 2)
		buf_addc(out, alphabet[w >> 6 & 63]);
	if (padding)
		buf_adds(out, n == 2 ? "=" : "==");
}

void base64_write(struct buf *out, const void *p, size_t n)
{
	encode(out, p, n, standard, true);
}

void base64url_write(struct buf *out, const void *p, size_t n)
{
	encode(out, p, n, url_safe, false);
}

static int value_of(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	return c == (url ? '_' : '/') ? 63 : -1;
}

/* s without padding */
static bool decode(struct buf *out, struct str s, bool url)
{
	size_t keep = out->len;
	uint32_t bits = 0;
	unsigned n = 0;
	buf_reserve(out, s.len / 4 * 3 + 3);
	for (size_t i = 0; i < s.len; i++) {
		int v = value_of(s.p[i], url);
		if (v < 0)
			goto bad;
		bits = bits << 6 | (uint32_t)v;
		n += 6;
		if (n >= 8) {
			n -= 8;
			buf_addc(out, (char)(uint8_t)(bits >> n));
		}
	}
	if (n >= 6 || (bits & ((1U << n) - 1)))
		goto bad;
	return true;
bad:
	out->len = keep;
	return false;
}

bool base64_read(struct buf *out, struct str s)
{
	if (s.len % 4)
		return false;
	size_t n = s.len;
	for (int i = 0; i < 2 && n && s.p[n - 1] == '='; i++)
		n--;
	return decode(out, str_sub(s, 0, n), false);
}

bool base64url_read(struct buf *out, struct str s)
{
	return decode(out, s, true);
}
