/*
 * base/utf8 - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates,
 * nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_MAX = 4 };

/* Length (1 to 4) of the valid sequence at p, or 0 when there is none before `end`. */
static inline size_t utf8_len(const char *p, const char *end)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t left = (size_t)(end - p);
	if (left == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xC2 || left < 2 || (s[1] & 0xC0) != 0x80)
		return 0;
	if (s[0] < 0xE0)
		return 2;
	if (left < 3 || (s[2] & 0xC0) != 0x80)
		return 0;
	if (s[0] < 0xF0) {
		bool overlong = s[0] == 0xE0 && s[1] < 0xA0;
		bool surrogate = s[0] == 0xED && s[1] >= 0xA0;
		return overlong || surrogate ? 0 : 3;
	}
	if (s[0] > 0xF4 || left < 4 || (s[3] & 0xC0) != 0x80)
		return 0;
	bool overlong = s[0] == 0xF0 && s[1] < 0x90;
	bool too_high = s[0] == 0xF4 && s[1] >= 0x90;
	return overlong || too_high ? 0 : 4;
}

/* The code point of the valid sequence of n bytes at p (n from utf8_len). */
static inline uint32_t utf8_decode(const char *p, size_t n)
{
	const unsigned char *s = (const unsigned char *)p;
	if (n == 1)
		return s[0];
	uint32_t c = s[0] & (0xFFU >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (s[i] & 0x3FU);
	return c;
}

/* Writes code point c (<= U+10FFFF, no surrogate) to p (room for UTF8_MAX); returns its length. */
static inline size_t utf8_encode(char *p, uint32_t c)
{
	if (c < 0x80) {
		p[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		p[i] = (char)(0x80 | (c & 0x3F));
	p[0] = (char)((0xF00U >> n & 0xFFU) | c);
	return n;
}

/* All of s is UTF-8. */
static inline bool utf8_valid(struct str s)
{
	for (size_t i = 0, n; i < s.len; i += n) {
		n = utf8_len(s.p + i, s.p + s.len);
		if (n == 0)
			return false;
	}
	return true;
}

#endif
