#include "base/str.h"

int str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.p, b.p, n) : 0;
	if (c)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_n(s.p, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	if (s.len < suffix.len)
		return false;
	return suffix.len == 0 || memcmp(s.p + (s.len - suffix.len), suffix.p, suffix.len) == 0;
}

ptrdiff_t str_find(struct str s, char c, size_t from)
{
	if (from >= s.len)
		return -1;
	const char *q = memchr(s.p + from, c, s.len - from);
	return q ? q - s.p : -1;
}

ptrdiff_t str_find_str(struct str s, struct str needle, size_t from)
{
	if (from > s.len || (from == s.len && needle.len))
		return -1;
	if (needle.len == 0)
		return (ptrdiff_t)from;
	const char *q = memmem(s.p + from, s.len - from, needle.p, needle.len);
	return q ? q - s.p : -1;
}

struct str str_sub(struct str s, size_t from, size_t to)
{
	if (to > s.len)
		to = s.len;
	if (from >= to)
		return (struct str){ s.p, 0 };
	return (struct str){ s.p + from, to - from };
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.len && blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len && blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool str_split(struct str *rest, char sep, struct str *piece)
{
	if (!rest->p)
		return false;
	ptrdiff_t i = str_find(*rest, sep, 0);
	if (i < 0) {
		*piece = *rest;
		*rest = STR_NONE;
		return true;
	}
	*piece = str_n(rest->p, (size_t)i);
	*rest = str_n(rest->p + i + 1, rest->len - (size_t)i - 1);
	return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
	if (s.len == 0 || s.len > 20)
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10U, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
	bool neg = s.len && s.p[0] == '-';
	uint64_t v = 0;
	if (!str_to_u64(neg ? str_sub(s, 1, s.len) : s, &v))
		return false;
	if (v > (uint64_t)INT64_MAX + (neg ? 1 : 0))
		return false;
	*ret = neg ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 m = (unsigned __int128)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t load(const char *p, size_t n)
{
	uint64_t v = 0;
	memcpy(&v, p, n);
	return v;
}

/* Multiply-fold over 8-byte words, after the idea of wyhash (Wang Yi, public domain). */
uint64_t str_hash(struct str s, uint64_t seed)
{
	const uint64_t k0 = 0xa0761d6478bd642fULL;
	const uint64_t k1 = 0xe7037ed1a0b428dbULL;
	uint64_t h = seed ^ k0;
	const char *p = s.p;
	size_t n = s.len;
	for (; n >= 8; p += 8, n -= 8)
		h = mix(h ^ load(p, 8), k1);
	if (n)
		h = mix(h ^ load(p, n), k1);
	return mix(h ^ s.len, k0);
}
