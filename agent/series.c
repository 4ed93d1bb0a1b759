#include "series.h"

#include "base/buf.h"
#include "base/mem.h"
#include "spool.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The file: "RCTLSER1" u64 incarnation, then per series u32 crc32c of what follows, u16 length, u8 type, u8 0, key.
 * In the byte order of the machine: it never leaves it.
 */
enum { HEAD = 16, ENTRY_HEAD = 8, FILE_MAX = 64 << 20 };

static void add(struct series *s, struct str key, int type)
{
	mem_grow(s->defs, s->len, s->cap);
	s->defs[s->len] = (struct series_def){ { mem_strndup(key.p, key.len), key.len }, type };
	s->len++;
	map_set(&s->refs, key, (void *)(uintptr_t)s->len);
}

/* Length of the good part of the file; 0 = not ours. */
static size_t load(struct series *s, struct str b, uint64_t incarnation)
{
	uint64_t inc;
	if (b.len < HEAD || memcmp(b.p, "RCTLSER1", 8) != 0)
		return 0;
	memcpy(&inc, b.p + 8, 8);
	if (inc != incarnation)
		return 0;
	size_t at = HEAD;
	while (b.len - at >= ENTRY_HEAD && s->len < SERIES_MAX) {
		uint32_t crc;
		uint16_t n;
		memcpy(&crc, b.p + at, 4);
		memcpy(&n, b.p + at + 4, 2);
		if (n > SERIES_KEY_MAX || b.len - at - ENTRY_HEAD < n ||
		    crc != spool_crc32c(0, b.p + at + 4, 4U + n))
			break;
		add(s, str_n(b.p + at + ENTRY_HEAD, n), b.p[at + 6]);
		at += ENTRY_HEAD + n;
	}
	return at;
}

int series_open(struct series *s, const char *path, uint64_t incarnation, bool *kept,
		struct error *err)
{
	struct buf b = { 0 };
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	(void)!file_read(path, FILE_MAX, &b, NULL);
	size_t good = load(s, buf_str(&b), incarnation);
	buf_fini(&b);
	*kept = good > 0;
	s->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0600);
	if (s->fd < 0 || ftruncate(s->fd, (off_t)good) != 0)
		return error_errno(err, ERR_INTERNAL, errno, "%s", path);
	if (!good) {
		char head[HEAD] = "RCTLSER1";
		memcpy(head + 8, &incarnation, 8);
		if (file_write_all(s->fd, head, sizeof(head)) != 0)
			return error_errno(err, ERR_INTERNAL, errno, "%s", path);
	}
	return 0;
}

void series_close(struct series *s)
{
	for (size_t i = 0; i < s->len; i++) {
		union {
			const char *in;
			char *out;
		} u = { .in = s->defs[i].key.p };
		mem_free(u.out);
	}
	mem_free(s->defs);
	map_fini(&s->refs);
	buf_fini(&s->unwritten);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->defs = NULL;
	s->len = s->cap = 0;
}

uint32_t series_ref(struct series *s, struct str key, int type)
{
	void *found = map_get(&s->refs, key);
	if (found)
		return (uint32_t)(uintptr_t)found;
	if (s->len == SERIES_MAX || key.len > SERIES_KEY_MAX || s->fd < 0)
		return 0;
	char e[ENTRY_HEAD + SERIES_KEY_MAX] = { 0 };
	uint16_t n = (uint16_t)key.len;
	memcpy(e + 4, &n, 2);
	e[6] = (char)type;
	memcpy(e + ENTRY_HEAD, key.p, n);
	uint32_t crc = spool_crc32c(0, e + 4, 4U + n);
	memcpy(e, &crc, 4);
	buf_add(&s->unwritten, e, ENTRY_HEAD + (size_t)n);
	add(s, key, type);
	return (uint32_t)s->len;
}

int series_write(int fd, struct str entries)
{
	struct stat st;
	if (!entries.len)
		return 0;
	if (fstat(fd, &st) != 0)
		return -1;
	if (file_write_all(fd, entries.p, entries.len) == 0 && fdatasync(fd) == 0)
		return 0;
	/* A torn entry in the middle would hide all behind it. */
	(void)!ftruncate(fd, st.st_size);
	return -1;
}

bool series_part(struct str *rest, struct str *part)
{
	return rest->len > 0 && str_split(rest, '\0', part);
}
