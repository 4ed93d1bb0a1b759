#include "spool.h"

#include "base/mem.h"
#include "spool_priv.h"
#include "sys/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENTS_MAX = 65536 };

struct segment {
	uint64_t first;
	uint64_t last; /* of the records that are good; first - 1 = none */
	uint64_t bytes;
};

struct spool {
	struct spool_options opt;
	char *dir;
	uint64_t incarnation;
	struct segment *segs; /* oldest first */
	size_t segs_len, segs_cap;
	uint64_t bytes, last, durable, acked, dropped;
	int fd; /* the newest segment, open for appending; -1 = begin a new one */
	size_t unsynced;
	struct buf out;
	/* where reading goes on */
	int read_fd;
	uint64_t read_segment; /* its first sequence; 0 = none */
	uint64_t read_next;    /* number of the record at read_off */
	uint64_t read_off;
};

/* --------------------------------------------------------------------------------------- files */

static void seg_path(const struct spool *s, uint64_t first, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%016llx.seg", s->dir, (unsigned long long)first);
}

static ssize_t do_write(const struct spool *s, int fd, const void *p, size_t n)
{
	const struct spool_io *io = s->opt.io;
	return io && io->write ? io->write(io->arg, fd, p, n) : write(fd, p, n);
}

static int do_sync(const struct spool *s, int fd)
{
	const struct spool_io *io = s->opt.io;
	return io && io->sync ? io->sync(io->arg, fd) : fdatasync(fd);
}

static int write_whole(const struct spool *s, int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = do_write(s, fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			errno = k == 0 ? ENOSPC : errno;
			return -1;
		}
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static void reader_reset(struct spool *s)
{
	if (s->read_fd >= 0)
		close(s->read_fd);
	s->read_fd = -1;
	s->read_segment = 0;
}

static void drop_oldest(struct spool *s)
{
	char path[PATH_MAX];
	assert(s->segs_len > 0);
	seg_path(s, s->segs[0].first, path);
	(void)unlink(path);
	if (s->read_segment == s->segs[0].first)
		reader_reset(s);
	s->bytes -= s->segs[0].bytes;
	memmove(s->segs, s->segs + 1, (s->segs_len - 1) * sizeof(*s->segs));
	s->segs_len--;
	if (s->segs_len == 0 && s->fd >= 0) {
		close(s->fd);
		s->fd = -1;
		s->unsynced = 0;
	}
}

/* ------------------------------------------------------------------------------------- opening */

/* Walks one segment; what does not check is cut off.  False: not a segment of this spool. */
static bool load_segment(struct spool *s, uint64_t first, const char *path)
{
	struct buf b = { 0 };
	struct spool_header h;
	struct spool_record r;
	size_t off = SPOOL_HEADER_BYTES;
	struct segment seg = { .first = first, .last = first - 1 };
	uint64_t max = (s->opt.segment_bytes + SPOOL_RECORD_BYTES_MAX) * 2;
	if (file_read(path, max, &b, NULL) != 0 || !spool_parse_header(buf_str(&b), &h) ||
	    h.first != first || h.stream != s->opt.stream ||
	    (s->incarnation && h.incarnation != s->incarnation)) {
		buf_fini(&b);
		return false;
	}
	s->incarnation = h.incarnation;
	size_t good = off;
	while (spool_parse_record(buf_str(&b), &off, &r) > 0 && r.sequence > seg.last) {
		seg.last = r.sequence;
		good = off;
	}
	if (good < b.len)
		(void)!truncate(path, (off_t)good);
	seg.bytes = good;
	buf_fini(&b);
	mem_grow(s->segs, s->segs_len, s->segs_cap);
	s->segs[s->segs_len++] = seg;
	s->bytes += seg.bytes;
	if (seg.last > s->last)
		s->last = seg.last;
	return true;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int load(struct spool *s, struct error *err)
{
	DIR *d = opendir(s->dir);
	uint64_t *firsts = NULL;
	size_t len = 0, cap = 0;
	if (!d)
		return error_errno(err, ERR_INTERNAL, errno, "%s", s->dir);
	for (struct dirent *e; (e = readdir(d)) && len < SEGMENTS_MAX;) {
		char *end = NULL;
		uint64_t n = strtoull(e->d_name, &end, 16);
		if (end != e->d_name + 16 || strcmp(end, ".seg") != 0 || n == 0)
			continue;
		mem_grow(firsts, len, cap);
		firsts[len++] = n;
	}
	closedir(d);
	if (len)
		qsort(firsts, len, sizeof(*firsts), by_number);
	for (size_t i = 0; i < len; i++) {
		char path[PATH_MAX];
		seg_path(s, firsts[i], path);
		if (!load_segment(s, firsts[i], path))
			(void)unlink(path);
	}
	mem_free(firsts);
	return 0;
}

static char *ack_path(const struct spool *s)
{
	struct buf b = { 0 };
	buf_addf(&b, "%s/ack", s->dir);
	(void)buf_cstr(&b);
	return b.p;
}

/* "INCARNATION ACKED LAST": keeps the numbering when all segments are acknowledged and gone. */
static void load_ack(struct spool *s)
{
	struct buf b = { 0 };
	struct str rest, a[2];
	uint64_t inc = 0, acked = 0, last = 0;
	char *path = ack_path(s);
	if (file_read(path, 256, &b, NULL) == 0) {
		rest = str_trim(buf_str(&b));
		bool good = str_split(&rest, ' ', &a[0]) && str_split(&rest, ' ', &a[1]) &&
			    str_to_u64(a[0], &inc) && str_to_u64(a[1], &acked) &&
			    str_to_u64(rest, &last);
		if (good && inc && (!s->incarnation || s->incarnation == inc)) {
			s->incarnation = inc;
			s->acked = acked;
			s->last = last > s->last ? last : s->last;
		}
	}
	mem_free(path);
	buf_fini(&b);
}

static int save_ack(const struct spool *s, struct error *err)
{
	char text[80];
	char *path = ack_path(s);
	snprintf(text, sizeof(text), "%llu %llu %llu\n", (unsigned long long)s->incarnation,
		 (unsigned long long)s->acked, (unsigned long long)s->last);
	int rc = file_write_atomic(path, str_of(text), 0600, err);
	mem_free(path);
	return rc;
}

int spool_open(const struct spool_options *opt, struct spool **ret, struct error *err)
{
	assert(opt->new_incarnation != 0);
	struct spool *s = mem_new(struct spool, 1);
	s->opt = *opt;
	s->dir = mem_strdup(opt->dir);
	s->opt.dir = s->dir;
	s->fd = s->read_fd = -1;
	if (!s->opt.segment_bytes)
		s->opt.segment_bytes = SPOOL_SEGMENT_BYTES;
	if (s->opt.quota_bytes < 2 * s->opt.segment_bytes)
		s->opt.quota_bytes = 2 * s->opt.segment_bytes;
	int rc = file_mkdirs(s->dir, 0700, err);
	if (!rc)
		rc = load(s, err);
	if (!rc) {
		load_ack(s);
		if (!s->incarnation)
			s->incarnation = opt->new_incarnation;
		s->durable = s->last;
		rc = save_ack(s, err);
	}
	if (rc) {
		spool_close(s);
		return rc;
	}
	*ret = s;
	return 0;
}

struct spool *spool_close(struct spool *s)
{
	if (!s)
		return NULL;
	if (s->fd >= 0) {
		(void)!spool_sync(s, NULL);
		close(s->fd);
	}
	if (s->incarnation)
		(void)!save_ack(s, NULL);
	reader_reset(s);
	buf_fini(&s->out);
	mem_free(s->segs);
	mem_free(s->dir);
	mem_free(s);
	return NULL;
}

/* ------------------------------------------------------------------------------------- writing */

static void close_segment(struct spool *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->unsynced = 0;
}

static int begin_segment(struct spool *s, uint64_t first, struct error *err)
{
	char path[PATH_MAX], head[SPOOL_HEADER_BYTES];
	const struct spool_header h = { s->opt.stream, s->incarnation, first };
	while (s->segs_len && s->bytes + s->opt.segment_bytes > s->opt.quota_bytes) {
		s->dropped +=
			s->segs[0].last > s->acked ? s->segs[0].last + 1 - s->segs[0].first : 0;
		drop_oldest(s);
	}
	seg_path(s, first, path);
	s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->fd < 0)
		return error_errno(err, ERR_INTERNAL, errno, "%s", path);
	spool_write_header(head, &h);
	if (write_whole(s, s->fd, head, sizeof(head)) != 0) {
		int rc = error_errno(err, ERR_INTERNAL, errno, "%s", path);
		close_segment(s);
		(void)unlink(path);
		return rc;
	}
	mem_grow(s->segs, s->segs_len, s->segs_cap);
	s->segs[s->segs_len++] = (struct segment){ first, first - 1, sizeof(head) };
	s->bytes += sizeof(head);
	s->unsynced = sizeof(head);
	return 0;
}

int spool_append(struct spool *s, uint8_t type, uint8_t compression, struct str payload,
		 struct error *err)
{
	uint64_t sequence = ++s->last;
	assert(type != 0);
	if (payload.len > SPOOL_RECORD_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "record of %zu bytes", payload.len);
	if (s->fd >= 0 && s->segs[s->segs_len - 1].bytes >= s->opt.segment_bytes) {
		int rc = spool_sync(s, err);
		close_segment(s);
		if (rc)
			return rc;
	}
	if (s->fd < 0) {
		int rc = begin_segment(s, sequence, err);
		if (rc)
			return rc;
	}
	buf_clear(&s->out);
	spool_write_record(&s->out, sequence, type, compression, payload);
	struct segment *seg = &s->segs[s->segs_len - 1];
	if (write_whole(s, s->fd, s->out.p, s->out.len) != 0) {
		int rc = error_errno(err, ERR_INTERNAL, errno, "spool %s", s->dir);
		/* A part of it may be there: readers stop at the last whole record. */
		close_segment(s);
		return rc;
	}
	seg->last = sequence;
	seg->bytes += s->out.len;
	s->bytes += s->out.len;
	s->unsynced += s->out.len;
	if (s->out.cap > 65536)
		buf_fini(&s->out);
	return 0;
}

void spool_skip(struct spool *s, uint64_t n)
{
	s->last += n;
}

int spool_sync(struct spool *s, struct error *err)
{
	if (s->fd < 0 || s->unsynced == 0) {
		s->durable = s->last; /* what is not in a file is a gap, and stays one */
		return 0;
	}
	if (do_sync(s, s->fd) != 0) {
		int rc = error_errno(err, ERR_INTERNAL, errno, "spool %s: fdatasync", s->dir);
		close_segment(s);
		return rc;
	}
	s->unsynced = 0;
	s->durable = s->last;
	return 0;
}

size_t spool_unsynced(const struct spool *s)
{
	return s->unsynced;
}

/* ------------------------------------------------------------------------------------- reading */

static bool gap(struct spool_record *r, uint64_t from, uint64_t to, const char *reason)
{
	memset(r, 0, sizeof(*r));
	r->sequence = to;
	r->gap_from = from;
	r->gap_reason = reason;
	return true;
}

/* The segment that holds `sequence`, or the first behind it; NULL = none. */
static const struct segment *segment_for(const struct spool *s, uint64_t sequence)
{
	for (size_t i = 0; i < s->segs_len; i++) {
		if (s->segs[i].last >= sequence && s->segs[i].last >= s->segs[i].first)
			return &s->segs[i];
	}
	return NULL;
}

static bool reader_open(struct spool *s, const struct segment *seg)
{
	char path[PATH_MAX];
	reader_reset(s);
	seg_path(s, seg->first, path);
	s->read_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	s->read_segment = seg->first;
	s->read_next = seg->first;
	s->read_off = SPOOL_HEADER_BYTES;
	return s->read_fd >= 0;
}

/* The record at the reader's place; false when it is not (whole and good) there. */
static bool read_at(struct spool *s, struct buf *b, struct spool_record *ret)
{
	size_t want = SPOOL_RECORD_HEAD_BYTES;
	for (int pass = 0; pass < 2; pass++) {
		size_t off = 0;
		buf_clear(b);
		buf_reserve(b, want);
		ssize_t n = pread(s->read_fd, b->p, want, (off_t)s->read_off);
		if (n < (ssize_t)want)
			return false;
		b->len = want;
		int rc = spool_parse_record(buf_str(b), &off, ret);
		if (rc > 0) {
			s->read_off += off;
			s->read_next = ret->sequence + 1;
			return true;
		}
		const unsigned char *u = (const unsigned char *)b->p;
		uint32_t len = (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 |
			       (uint32_t)u[3] << 24;
		if (rc < 0 || len > SPOOL_RECORD_BYTES_MAX)
			return false;
		want += len;
	}
	return false;
}

bool spool_read(struct spool *s, uint64_t sequence, struct buf *buf, struct spool_record *ret)
{
	while (sequence <= s->last) {
		const struct segment *seg = segment_for(s, sequence);
		if (!seg)
			return gap(ret, sequence, s->last, "io-error");
		if (seg->first > sequence)
			return gap(ret, sequence, seg->first - 1, "quota");
		uint64_t last = seg->last, first = seg->first;
		if (s->read_segment != first || s->read_next > sequence)
			(void)reader_open(s, seg);
		while (s->read_fd >= 0 && read_at(s, buf, ret)) {
			if (ret->sequence == sequence)
				return true;
			if (ret->sequence > sequence) {
				uint64_t to = ret->sequence - 1;
				reader_reset(s); /* it is read again as what follows the gap */
				return gap(ret, sequence, to, "io-error");
			}
		}
		/* The segment ends before its last record: it was damaged under us. */
		reader_reset(s);
		return gap(ret, sequence, last, "damaged");
	}
	return false;
}

void spool_ack(struct spool *s, uint64_t sequence)
{
	if (sequence <= s->acked)
		return;
	s->acked = sequence;
	bool any = sequence > s->last;
	if (any) {
		close_segment(s);
		s->last = s->durable = sequence;
	}
	while (s->segs_len && s->segs[0].last <= sequence && (s->segs_len > 1 || s->fd < 0)) {
		drop_oldest(s);
		any = true;
	}
	/* A full and acknowledged open segment goes too: the next record begins a new one. */
	if (s->segs_len == 1 && s->segs[0].last <= sequence &&
	    s->segs[0].bytes >= s->opt.segment_bytes / 4) {
		close_segment(s);
		drop_oldest(s);
		any = true;
	}
	if (any)
		(void)!save_ack(s, NULL);
}

uint64_t spool_incarnation(const struct spool *s)
{
	return s->incarnation;
}

uint64_t spool_acked(const struct spool *s)
{
	return s->acked;
}

uint64_t spool_last(const struct spool *s)
{
	return s->last;
}

uint64_t spool_durable(const struct spool *s)
{
	return s->durable;
}

uint64_t spool_first(const struct spool *s)
{
	for (size_t i = 0; i < s->segs_len; i++) {
		if (s->segs[i].last >= s->segs[i].first)
			return s->segs[i].first;
	}
	return s->last + 1;
}

uint64_t spool_bytes(const struct spool *s)
{
	return s->bytes;
}

uint64_t spool_dropped(const struct spool *s)
{
	return s->dropped;
}
