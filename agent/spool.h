/*
 * agent/spool - a bounded queue of numbered records on disk: one a telemetry stream.
 *
 * Records are numbered from 1 without holes.  What is lost (quota, damage, a full or failing disk)
 * shows up to the reader as a gap with its numbers, never silently.
 *
 * Files in the stream's folder: segments "<first sequence, 16 hex digits>.seg" of about segment_bytes, each a
 * header and records; "ack": the number up to which everything is acknowledged.
 *
 *   header  "RCTLSPL1"  u32 stream  u32 0  u64 incarnation  u64 first sequence  u32 crc32c of all before  u32 0
 *   record  u32 length of the payload  u32 crc32c of all behind it  u64 sequence  u8 type  u8 compression
 *           u16 0  u32 0  payload
 * Little-endian.  A tail that does not check is cut when the spool is opened; a record that does not
 * check later ends its segment (the rest is a gap).
 *
 * Durability: spool_sync() after at most sync_ms or sync_bytes is the caller's timer.  A failed write or
 * fsync is not tried again on that file: the kernel may have dropped the pages.  The segment is left as it is
 * and the next record begins a new one.
 *
 * Blocking: local file calls.  One thread.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SPOOL_SEGMENT_BYTES = 8 << 20,
	SPOOL_RECORD_BYTES_MAX = 1 << 20,
	SPOOL_SYNC_MS = 500,
	SPOOL_SYNC_BYTES = 1 << 20,
	SPOOL_HEADER_BYTES = 40,
	SPOOL_RECORD_HEAD_BYTES = 24,
};

struct spool;

/* For tests: what may fail.  NULL members mean the system's own. */
struct spool_io {
	ssize_t (*write)(void *arg, int fd, const void *p, size_t n); /* as write(2) */
	int (*sync)(void *arg, int fd);                               /* as fdatasync(2) */
	void *arg;
};

struct spool_options {
	const char *dir;
	uint32_t stream;
	uint64_t new_incarnation;  /* random, not 0: taken when there is no spool yet */
	uint64_t quota_bytes;      /* of all segments; at least two segments */
	uint64_t segment_bytes;    /* 0 = SPOOL_SEGMENT_BYTES */
	const struct spool_io *io; /* borrowed for ever; NULL = the system's */
};

struct spool_record {
	uint64_t sequence;
	uint8_t type, compression;
	struct str payload; /* in the buffer given to spool_read */
	/* type 0: a gap up to `sequence` */
	uint64_t gap_from, gap_bytes; /* bytes 0 = not known */
	const char *gap_reason;
};

/* ERR_INTERNAL: the folder cannot be used. */
ATTR_MUSTCHECK int spool_open(const struct spool_options *opt, struct spool **ret,
			      struct error *err);
struct spool *spool_close(struct spool *s);

/*
 * Adds a record.  On failure its number is used up all the same (a gap), so that the loss is seen.
 * ERR_TOO_LARGE, ERR_INTERNAL.
 */
ATTR_MUSTCHECK int spool_append(struct spool *s, uint8_t type, uint8_t compression,
				struct str payload, struct error *err);

/* Uses up n numbers of records that were lost before they came here: a gap, so that the loss is seen. */
void spool_skip(struct spool *s, uint64_t n);

/* Makes durable what was added.  ERR_INTERNAL: what was added since the last success may be lost. */
ATTR_MUSTCHECK int spool_sync(struct spool *s, struct error *err);
size_t spool_unsynced(const struct spool *s); /* bytes */

/*
 * The record (or gap) at or behind `sequence` (1 …) into *ret; the payload goes to `buf`.  False when there
 * is none yet.  Reading on in order is cheap.
 */
bool spool_read(struct spool *s, uint64_t sequence, struct buf *buf, struct spool_record *ret);

/*
 * Everything up to `sequence` is stored elsewhere: whole segments are deleted.  Never goes back.  A number above
 * our newest means that we lost records which had been sent: numbering goes on behind it.
 */
void spool_ack(struct spool *s, uint64_t sequence);

uint64_t spool_incarnation(const struct spool *s);
uint64_t spool_acked(const struct spool *s);
uint64_t spool_last(const struct spool *s); /* number of the newest record, 0 = none yet */
uint64_t spool_durable(
	const struct spool *s); /* newest that survives a power cut: send no more than this */
uint64_t spool_first(const struct spool *s); /* of the oldest that is there, last + 1 = none */
uint64_t spool_bytes(const struct spool *s);
uint64_t spool_dropped(const struct spool *s); /* records lost to quota since it was opened */

/* ---- the format, pure ---- */

struct spool_header {
	uint32_t stream;
	uint64_t incarnation, first;
};
bool spool_parse_header(struct str bytes, struct spool_header *ret);

/*
 * The record at bytes[*off], moving *off behind it.  1 = one was there, 0 = the bytes end before it is whole, -1 = it is
 * damaged.
 */
int spool_parse_record(struct str bytes, size_t *off, struct spool_record *ret);

uint32_t spool_crc32c(uint32_t crc, const void *p, size_t n);

#endif
