/*
 * json/scan - finds the first byte of a string that cannot simply be copied;
 * inside lib/json alone.  Almost all time with JSON goes by in here.
 */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#	include <emmintrin.h>
#endif

/* A quote, a backslash, a control character or a byte above ASCII. */
static inline int json_is_special(unsigned char c)
{
	return c == '"' || c == '\\' || c < 0x20 || c >= 0x80;
}

/*
 * The top bit of each special byte of the word.  A borrow can only mark bytes
 * above one that is special, so the lowest mark is right.
 */
static inline uint64_t json_special_mask(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101ULL;
	uint64_t quote = (w ^ (ones * '"')) - ones;
	uint64_t slash = (w ^ (ones * '\\')) - ones;
	return (w | (w - ones * 0x20) | quote | slash) & 0x8080808080808080ULL;
}

/* The first special byte at or behind s, or end. */
static inline const char *json_skip_plain(const char *s, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i slash = _mm_set1_epi8('\\');
	const __m128i blank = _mm_set1_epi8(0x20);
	for (; end - s >= 16; s += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)s);
		/* signed: bytes above ASCII are less than a blank too */
		__m128i bad = _mm_or_si128(
			_mm_cmplt_epi8(v, blank),
			_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
		int mask = _mm_movemask_epi8(bad);
		if (mask)
			return s + __builtin_ctz((unsigned)mask);
	}
#endif
	for (; end - s >= 8; s += 8) {
		uint64_t w = 0;
		memcpy(&w, s, 8);
		uint64_t mask = json_special_mask(w);
		if (mask)
			return s + __builtin_ctzll(mask) / 8;
	}
	while (s < end && !json_is_special((unsigned char)*s))
		s++;
	return s;
}

#endif
