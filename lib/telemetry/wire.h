/*
 * telemetry/wire - variable-length integers and the fields of protobuf messages
 * (protobuf.dev/programming-guides/encoding), read from bytes that nobody has checked.
 *
 * A reader never reads behind its end: it turns bad, gives zeros and says so at the end.
 */
#ifndef TELEMETRY_WIRE_H
#define TELEMETRY_WIRE_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t wire_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t wire_unzigzag(uint64_t v)
{
	return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

/* Writes v to p (room for 10) and returns the length. */
static inline size_t wire_put(uint8_t *p, uint64_t v)
{
	size_t n = 0;
	while (v >= 128) {
		p[n++] = (uint8_t)(v | 128);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	return n;
}

static inline void wire_add(struct buf *b, uint64_t v)
{
	buf_reserve(b, 10);
	b->len += wire_put((uint8_t *)b->p + b->len, v);
}

static inline void wire_add_bytes(struct buf *b, struct str s)
{
	wire_add(b, s.len);
	buf_add_str(b, s);
}

struct wire {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct wire wire_of(struct str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	return (struct wire){ p, p ? p + s.len : p, false };
}

static inline bool wire_more(const struct wire *r)
{
	return !r->bad && r->p < r->end;
}

static inline uint64_t wire_get(struct wire *r)
{
	uint64_t v = 0;
	if (r->p < r->end && *r->p < 128) /* nearly always */
		return *r->p++;
	for (unsigned shift = 0; shift < 70 && r->p < r->end; shift += 7) {
		uint8_t c = *r->p++;
		v |= shift < 64 ? (uint64_t)(c & 127) << shift : 0;
		if (c < 128)
			return v;
	}
	r->bad = true;
	r->p = r->end;
	return 0;
}

static inline int64_t wire_get_signed(struct wire *r)
{
	return wire_unzigzag(wire_get(r));
}

static inline struct str wire_take(struct wire *r, uint64_t n)
{
	if (n > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		r->p = r->end;
		return STR_NONE;
	}
	struct str s = str_n((const char *)r->p, (size_t)n);
	r->p += n;
	return s;
}

static inline uint64_t wire_fixed64(struct wire *r)
{
	uint64_t v = 0;
	struct str s = wire_take(r, 8);
	for (size_t i = 0; i < s.len; i++)
		v |= (uint64_t)(uint8_t)s.p[i] << (8 * i);
	return v;
}

static inline void wire_add_fixed64(struct buf *b, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		buf_addc(b, (char)(uint8_t)(v >> (8 * i)));
}

/* ---- messages ---- */

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
	uint32_t number;
	enum wire_type type;
	uint64_t u;       /* VARINT, FIXED64, FIXED32 */
	struct str bytes; /* BYTES; into the message */
};

/* The next field; false at the end or when the message is broken (r->bad). */
static inline bool wire_next(struct wire *r, struct wire_field *f)
{
	if (!wire_more(r))
		return false;
	uint64_t tag = wire_get(r);
	*f = (struct wire_field){ .number = (uint32_t)(tag >> 3),
				  .type = (enum wire_type)(tag & 7) };
	r->bad |= f->number == 0 || tag >> 3 > 0x1fffffff;
	switch (f->type) {
	case WIRE_VARINT:
		f->u = wire_get(r);
		break;
	case WIRE_FIXED64:
		f->u = wire_fixed64(r);
		break;
	case WIRE_BYTES:
		f->bytes = wire_take(r, wire_get(r));
		break;
	case WIRE_FIXED32:
		(void)wire_take(r, 4);
		break;
	default:
		r->bad = true;
		break;
	}
	return !r->bad;
}

static inline void wire_add_field(struct buf *b, uint32_t number, uint64_t v)
{
	wire_add(b, (uint64_t)number << 3 | WIRE_VARINT);
	wire_add(b, v);
}

static inline void wire_add_field_bytes(struct buf *b, uint32_t number, struct str s)
{
	wire_add(b, (uint64_t)number << 3 | WIRE_BYTES);
	wire_add_bytes(b, s);
}

#endif
