/*
 * base/buf - a growing run of bytes that the holder owns.
 *
 * All zero is an empty buffer.  There is always room for a NUL behind the
 * bytes once something was added, but len does not count it; buf_cstr() sets
 * it.  Out of memory aborts.  Callers bound what comes from outside.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/attr.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *p;
	size_t len, cap;
};

void buf_fini(struct buf *b);
void buf_reserve(struct buf *b, size_t more); /* room for `more` further bytes */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_add_str(struct buf *b, struct str s);
void buf_add_i64(struct buf *b, int64_t v);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_addf(struct buf *b, const char *fmt, ...) ATTR_PRINTF(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) ATTR_PRINTF(2, 0);

/* Drops the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

/* The bytes as a C string; valid until the next change. */
const char *buf_cstr(struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->len };
}

static inline void buf_clear(struct buf *b)
{
	b->len = 0;
}

#endif
