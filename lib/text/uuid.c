#include "text/uuid.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool dash_at(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_v4(const uint8_t random[16], char out[UUID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;
	for (size_t i = 0; i < 16; i++) {
		unsigned b = random[i];
		if (i == 6)
			b = (b & 0x0F) | 0x40;
		else if (i == 8)
			b = (b & 0x3F) | 0x80;
		if (dash_at(at))
			out[at++] = '-';
		out[at++] = hex[b >> 4];
		out[at++] = hex[b & 15];
	}
	out[at] = '\0';
}

bool uuid_parse(struct str s, uint8_t out[16])
{
	uint8_t bytes[16] = { 0 };
	size_t nibble = 0;
	if (s.len != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN; i++) {
		if (dash_at(i)) {
			if (s.p[i] != '-')
				return false;
			continue;
		}
		int digit = hex_digit(s.p[i]);
		if (digit < 0)
			return false;
		bytes[nibble / 2] = (uint8_t)(bytes[nibble / 2] << 4 | digit);
		nibble++;
	}
	memcpy(out, bytes, sizeof(bytes));
	return true;
}

bool uuid_valid(struct str s)
{
	uint8_t bytes[16];
	return uuid_parse(s, bytes);
}
