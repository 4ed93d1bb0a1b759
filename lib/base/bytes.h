/*
 * base/bytes - an immutable, reference-counted run of bytes.
 *
 * Object encodings, watch events and response bodies: made once, shared by
 * threads without copying.  The count is atomic; the bytes never change after
 * the maker let go of them.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/str.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	_Atomic uint32_t refs;
	uint32_t len;
	char data[]; /* a NUL stands behind the len bytes */
};

/* Copies n bytes (n < 2^32 - 64); p NULL leaves them for the maker to fill. One reference. */
struct bytes *bytes_new(const void *p, size_t n);
struct bytes *bytes_of_str(struct str s);
struct bytes *bytes_ref(struct bytes *b);
void bytes_unref(struct bytes *b); /* accepts NULL */

static inline struct str bytes_str(const struct bytes *b)
{
	return (struct str){ b->data, b->len };
}

#endif
