#include "telemetry/snappy.h"

#include "telemetry/wire.h"

enum tag { TAG_LITERAL, TAG_COPY1, TAG_COPY2, TAG_COPY4 };

/* n bytes, the lowest first. */
static uint32_t little(struct wire *in, size_t n)
{
	struct str s = wire_take(in, n);
	uint32_t v = 0;
	for (size_t i = 0; i < s.len; i++)
		v |= (uint32_t)(uint8_t)s.p[i] << (8 * i);
	return v;
}

static void literal(struct wire *in, unsigned tag, struct buf *out)
{
	size_t len = tag >> 2;
	if (len >= 60)
		len = little(in, len - 59);
	buf_add_str(out, wire_take(in, (uint64_t)len + 1));
}

/* What was written `offset` bytes ago, which may reach into what is being written. */
static bool copy(struct buf *out, size_t head, size_t offset, size_t len)
{
	if (!offset || offset > out->len - head)
		return false;
	buf_reserve(out, len);
	char *to = out->p + out->len;
	if (offset >= len)
		memcpy(to, to - offset, len);
	else
		for (size_t i = 0; i < len; i++)
			to[i] = to[(ptrdiff_t)i - (ptrdiff_t)offset];
	out->len += len;
	return true;
}

static bool element(struct wire *in, struct buf *out, size_t head)
{
	unsigned tag = little(in, 1);
	switch ((enum tag)(tag & 3)) {
	case TAG_LITERAL:
		literal(in, tag, out);
		return true;
	case TAG_COPY1:
		return copy(out, head, (size_t)(tag >> 5) << 8 | little(in, 1), (tag >> 2 & 7) + 4);
	case TAG_COPY2:
		return copy(out, head, little(in, 2), (tag >> 2) + 1);
	case TAG_COPY4:
	default:
		return copy(out, head, little(in, 4), (tag >> 2) + 1);
	}
}

int snappy_unpack(struct str packed, size_t bytes_max, struct buf *out, struct error *err)
{
	struct wire in = wire_of(packed);
	size_t head = out->len;
	uint64_t len = wire_get(&in);
	bool good = !in.bad;
	if (good && len > bytes_max)
		return error_set(err, ERR_TOO_LARGE, "more than %zu bytes unpacked", bytes_max);
	buf_reserve(out, good ? (size_t)len : 0);
	while (good && wire_more(&in) && out->len - head <= len)
		good = element(&in, out, head) && !in.bad;
	if (!good || out->len - head != len) {
		out->len = head;
		return error_set(err, ERR_BAD_REQUEST, "the body is not in Snappy's block format");
	}
	return 0;
}
