#include "shim/shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 64 };

/* The largest N of "PATH.N" that exists; 0 = none. */
static unsigned newest_rotated(const char *path)
{
	char dir[4096];
	const char *base = strrchr(path, '/');
	if (!base || (size_t)(base - path) >= sizeof(dir))
		return 0;
	memcpy(dir, path, (size_t)(base - path));
	dir[base - path] = '\0';
	base++;
	size_t base_len = strlen(base);
	unsigned max = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (strncmp(e->d_name, base, base_len) != 0 || e->d_name[base_len] != '.')
			continue;
		unsigned long n = strtoul(e->d_name + base_len + 1, NULL, 10);
		if (n > max && n < 1000000000UL)
			max = (unsigned)n;
	}
	if (d)
		closedir(d);
	return max;
}

static int open_file(struct logfile *l)
{
	l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (l->fd < 0)
		return -1;
	struct stat st;
	l->size = fstat(l->fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

int log_open(struct logfile *l, const struct spec *s)
{
	const char *path = spec_get(s, "log");
	if (!path) {
		errno = EINVAL;
		return -1;
	}
	l->path = strdup(path);
	if (!l->path)
		return -1;
	l->size_max = (uint64_t)spec_number(s, "logmax", 10 << 20);
	l->keep = (unsigned)spec_number(s, "lognum", 5);
	l->rotated = newest_rotated(path);
	if (open_file(l) == 0)
		return 0;
	int e = errno;
	free(l->path);
	l->path = NULL;
	errno = e;
	return -1;
}

void log_close(struct logfile *l)
{
	if (l->fd >= 0 && l->path)
		close(l->fd);
	free(l->path);
	l->path = NULL;
	l->fd = -1;
}

static void rotate(struct logfile *l)
{
	char to[4200];
	snprintf(to, sizeof(to), "%s.%u", l->path, l->rotated + 1);
	if (rename(l->path, to) != 0)
		return;
	l->rotated++;
	if (l->keep > 1 && l->rotated >= l->keep) {
		snprintf(to, sizeof(to), "%s.%u", l->path, l->rotated - l->keep + 1);
		(void)unlink(to);
	}
	close(l->fd);
	if (open_file(l) != 0)
		l->fd = -1;
}

static void put(struct logfile *l, const char *p, size_t n)
{
	while (n) {
		ssize_t k = l->fd >= 0 ? write(l->fd, p, n) : -1;
		if (k < 0 && l->fd >= 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return; /* a full disk costs lines, never the pod */
		p += k;
		n -= (size_t)k;
		l->size += (uint64_t)k;
	}
	if (l->size >= l->size_max)
		rotate(l);
}

/* "2026-01-02T03:04:05.678901234Z stdout F " */
static size_t head(char *to, const char *stream, char flag)
{
	int64_t ns = now_ns();
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;
	gmtime_r(&sec, &tm);
	size_t n = strftime(to, HEAD_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	int k = snprintf(to + n, HEAD_MAX - n, ".%09ldZ %s %c ", (long)(ns % 1000000000), stream,
			 flag);
	return n + (size_t)k;
}

int log_pump(struct logfile *l, struct logpipe *p)
{
	static char out[LOG_LINE_MAX * 3];
	ssize_t got = read(p->fd, p->buf + p->len, sizeof(p->buf) - p->len);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return -1;
	char h[HEAD_MAX];
	if (got <= 0) {
		if (p->len) {
			size_t n = head(out, p->stream, 'F');
			memcpy(out + n, p->buf, p->len);
			out[n + p->len] = '\n';
			put(l, out, n + p->len + 1);
		}
		p->len = 0;
		close(p->fd);
		p->fd = -1;
		return 0;
	}
	size_t h_len = head(h, p->stream, 'F'), n = 0;
	p->len += (size_t)got;
	char *at = p->buf, *end = p->buf + p->len, *nl;
	while ((nl = memchr(at, '\n', (size_t)(end - at)))) {
		size_t line = (size_t)(nl + 1 - at);
		if (n + h_len + line > sizeof(out)) {
			put(l, out, n);
			n = 0;
		}
		memcpy(out + n, h, h_len);
		memcpy(out + n + h_len, at, line);
		n += h_len + line;
		at = nl + 1;
	}
	size_t left = (size_t)(end - at);
	if (left == sizeof(p->buf)) { /* a line longer than the buffer goes out in parts */
		h[h_len - 2] = 'P';
		memcpy(out, h, h_len);
		memcpy(out + h_len, at, left);
		out[h_len + left] = '\n';
		n = h_len + left + 1;
		left = 0;
	}
	if (n)
		put(l, out, n);
	memmove(p->buf, at, left);
	p->len = left;
	return 1;
}
