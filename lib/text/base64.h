/*
 * text/base64 - RFC 4648 base64 and base64url.
 *
 * Decoding is strict: no line breaks, no foreign characters, unused bits of
 * the last character zero.  Pure.
 */
#ifndef TEXT_BASE64_H
#define TEXT_BASE64_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* "+/" with "=" padding (Secret.data) */
void base64_write(struct buf *out, const void *p, size_t n);
/* "-_" without padding (JWT, continue tokens) */
void base64url_write(struct buf *out, const void *p, size_t n);

/* Appends the bytes to `out`; false (out unchanged) when s is not of that kind. */
bool base64_read(struct buf *out, struct str s);    /* padding required */
bool base64url_read(struct buf *out, struct str s); /* padding refused */

#endif
