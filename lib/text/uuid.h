/* text/uuid - random UUIDs (RFC 9562, version 4). Pure: the caller brings the chance. */
#ifndef TEXT_UUID_H
#define TEXT_UUID_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { UUID_LEN = 36 };

/* Sets version and variant in 16 random bytes and writes the text with a NUL. */
void uuid_v4(const uint8_t random[16], char out[UUID_LEN + 1]);

/* 8-4-4-4-12 hexadecimal digits, any version, either case. */
bool uuid_valid(struct str s);

/* The 16 bytes; false when s is no UUID. */
bool uuid_parse(struct str s, uint8_t out[16]);

#endif
