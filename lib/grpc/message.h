/*
 * grpc/message - protobuf-c messages to and from the bytes that grpc/server and grpc/client carry.
 */
#ifndef GRPC_MESSAGE_H
#define GRPC_MESSAGE_H

#include "base/buf.h"

#include <protobuf-c/protobuf-c.h>

#include <stdint.h>

/* Appends the message. */
static inline void rpc_pack(struct buf *out, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	buf_reserve(out, n);
	out->len += protobuf_c_message_pack(m, (uint8_t *)out->p + out->len);
}

/* NULL when the bytes are no such message.  Free with protobuf_c_message_free_unpacked(m, NULL). */
static inline void *rpc_unpack(const ProtobufCMessageDescriptor *d, struct str bytes)
{
	return protobuf_c_message_unpack(d, NULL, bytes.len, (const uint8_t *)bytes.p);
}

static inline struct str rpc_bytes(ProtobufCBinaryData b)
{
	return str_n((const char *)b.data, b.len);
}

/* Borrows; protobuf-c wants a pointer it does not write through when packing. */
static inline ProtobufCBinaryData rpc_binary(struct str s)
{
	union {
		const char *in;
		uint8_t *out;
	} u = { .in = s.p };
	return (ProtobufCBinaryData){ .len = s.len, .data = u.out };
}

#endif
