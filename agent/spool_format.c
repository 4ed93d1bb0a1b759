/* The bytes of a spool's segments. */
#include "spool_priv.h"

#include <string.h>

static uint32_t get32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint64_t get64(const char *p)
{
	return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> 8 * i);
}

static void put64(char *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

/* Castagnoli polynomial, reflected; four bits a step keep the table small. */
uint32_t spool_crc32c(uint32_t crc, const void *p, size_t n)
{
	static const uint32_t table[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
					    0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
					    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
					    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };
	const unsigned char *u = p;
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc = table[(crc ^ u[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ u[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

static const char magic[] = "RCTLSPL1";

void spool_write_header(char out[SPOOL_HEADER_BYTES], const struct spool_header *h)
{
	memset(out, 0, SPOOL_HEADER_BYTES);
	memcpy(out, magic, 8);
	put32(out + 8, h->stream);
	put64(out + 16, h->incarnation);
	put64(out + 24, h->first);
	put32(out + 32, spool_crc32c(0, out, 32));
}

bool spool_parse_header(struct str b, struct spool_header *ret)
{
	if (b.len < SPOOL_HEADER_BYTES || memcmp(b.p, magic, 8) != 0 ||
	    get32(b.p + 32) != spool_crc32c(0, b.p, 32))
		return false;
	ret->stream = get32(b.p + 8);
	ret->incarnation = get64(b.p + 16);
	ret->first = get64(b.p + 24);
	return ret->incarnation != 0 && ret->first != 0;
}

void spool_write_record(struct buf *out, uint64_t sequence, uint8_t type, uint8_t compression,
			struct str payload)
{
	char head[SPOOL_RECORD_HEAD_BYTES] = { 0 };
	put32(head, (uint32_t)payload.len);
	put64(head + 8, sequence);
	head[16] = (char)type;
	head[17] = (char)compression;
	uint32_t crc = spool_crc32c(0, head + 8, sizeof(head) - 8);
	put32(head + 4, spool_crc32c(crc, payload.p, payload.len));
	buf_add(out, head, sizeof(head));
	buf_add_str(out, payload);
}

int spool_parse_record(struct str b, size_t *off, struct spool_record *ret)
{
	if (b.len - *off < SPOOL_RECORD_HEAD_BYTES)
		return 0;
	const char *p = b.p + *off;
	uint32_t len = get32(p);
	if (len > SPOOL_RECORD_BYTES_MAX)
		return -1;
	if (b.len - *off - SPOOL_RECORD_HEAD_BYTES < len)
		return 0;
	if (get32(p + 4) != spool_crc32c(0, p + 8, SPOOL_RECORD_HEAD_BYTES - 8 + len))
		return -1;
	memset(ret, 0, sizeof(*ret));
	ret->sequence = get64(p + 8);
	ret->type = (uint8_t)p[16];
	ret->compression = (uint8_t)p[17];
	ret->payload = str_n(p + SPOOL_RECORD_HEAD_BYTES, len);
	if (ret->type == 0 || ret->sequence == 0)
		return -1;
	*off += SPOOL_RECORD_HEAD_BYTES + len;
	return 1;
}
