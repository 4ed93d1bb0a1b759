#include "sys/file.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static enum err_code code_of(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		return ERR_FORBIDDEN;
	case EEXIST:
		return ERR_EXISTS;
	default:
		return ERR_INTERNAL;
	}
}

int file_read_fd(int fd, size_t bytes_max, struct buf *out, struct error *err)
{
	size_t start = out->len;
	for (;;) {
		size_t got = out->len - start;
		size_t step = got < 4096 ? 4096 : got;
		/* one byte more than allowed tells "exactly full" from "too large" */
		if (step > bytes_max - got)
			step = bytes_max - got + 1;
		buf_reserve(out, step);
		ssize_t k = read(fd, out->p + out->len, step);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			out->len = start;
			return error_errno(err, ERR_INTERNAL, errno, "read");
		}
		if (k == 0)
			return 0;
		out->len += (size_t)k;
		if (out->len - start > bytes_max) {
			out->len = start;
			return error_set(err, ERR_TOO_LARGE, "larger than %zu bytes", bytes_max);
		}
	}
}

int file_read(const char *path, size_t bytes_max, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_errno(err, code_of(errno), errno, "%s", path);
	int rc = file_read_fd(fd, bytes_max, out, err);
	if (rc < 0)
		rc = error_wrap(err, "%s", path);
	(void)close(fd);
	return rc;
}

int file_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;
	while (n) {
		ssize_t k = write(fd, at, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

static int sync_folder_of(const char *path)
{
	char *folder = mem_strdup(path);
	char *slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder ? 1 : 0] = '\0';
	int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);
	int errnum = errno;
	if (fd >= 0)
		(void)close(fd);
	mem_free(folder);
	errno = errnum;
	return rc;
}

int file_write_atomic(const char *path, struct str content, mode_t mode, struct error *err)
{
	struct buf tmp = { 0 };
	buf_addf(&tmp, "%s.XXXXXX", path);
	char *name = tmp.p;
	name[tmp.len] = '\0';
	int fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		int rc = error_errno(err, code_of(errno), errno, "write %s", path);
		buf_fini(&tmp);
		return rc;
	}
	bool good = fchmod(fd, mode) == 0 && file_write_all(fd, content.p, content.len) == 0 &&
		    fsync(fd) == 0;
	int errnum = errno;
	(void)close(fd);
	if (good) {
		good = rename(name, path) == 0;
		errnum = errno;
	}
	if (!good)
		(void)unlink(name);
	buf_fini(&tmp);
	if (good && sync_folder_of(path) != 0) {
		good = false;
		errnum = errno;
	}
	return good ? 0 : error_errno(err, code_of(errnum), errnum, "write %s", path);
}

int file_mkdirs(const char *path, mode_t mode, struct error *err)
{
	char *p = mem_strdup(path);
	int errnum = 0;
	for (char *at = p + (*p == '/'); !errnum; at++) {
		char c = *at;
		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (*p && mkdir(p, mode) != 0 && errno != EEXIST)
			errnum = errno;
		*at = c;
		if (c == '\0')
			break;
	}
	struct stat st;
	if (!errnum && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
		errnum = ENOTDIR;
	mem_free(p);
	return errnum ? error_errno(err, code_of(errnum), errnum, "make folder %s", path) : 0;
}

/*
 * Removing a tree whose shape a stranger chose: no recursion and never more
 * than two open folders.  A folder inside a folder of the top is first moved up
 * into the top, so that the depth is always two.
 */
struct remover {
	int top;
	unsigned moved;
	uint32_t dev_major, dev_minor;
	int errnum; /* first failure */
};

static DIR *open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		(void)close(fd);
	return d;
}

static bool on_same_file_system(struct remover *r, int fd)
{
	struct statx st;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) != 0)
		return false;
	if (st.stx_dev_major == r->dev_major && st.stx_dev_minor == r->dev_minor &&
	    !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return true;
	errno = EXDEV;
	return false;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* unlink or rmdir; 1 when it is a folder with something in it */
static int remove_entry(int at, const char *name)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	int errnum = errno;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return 1;
	if (errno == ENOTDIR)
		errno = errnum;
	return -1;
}

static int move_up(struct remover *r, int from, const char *name)
{
	char to[32];
	for (int tries = 0; tries < 1 << 20; tries++) {
		(void)snprintf(to, sizeof(to), ".removing-%u", r->moved++);
		if (renameat(from, name, r->top, to) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
			return -1;
	}
	return -1;
}

static int empty_folder(struct remover *r, const char *name)
{
	DIR *d = open_folder(r->top, name);
	if (!d)
		return -1;
	int rc = on_same_file_system(r, dirfd(d)) ? 0 : -1;
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		if (is_dots(e->d_name))
			continue;
		rc = remove_entry(dirfd(d), e->d_name);
		if (rc == 1)
			rc = move_up(r, dirfd(d), e->d_name);
	}
	int errnum = errno;
	(void)closedir(d);
	errno = errnum;
	return rc;
}

/* One pass over the top; *more when it may hold something still. */
static int empty_top(struct remover *r, bool *more)
{
	*more = false;
	DIR *d = open_folder(r->top, ".");
	if (!d)
		return -1;
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		if (is_dots(e->d_name))
			continue;
		*more = true;
		rc = remove_entry(r->top, e->d_name);
		if (rc == 1)
			rc = empty_folder(r, e->d_name);
	}
	int errnum = errno;
	(void)closedir(d);
	errno = errnum;
	return rc;
}

int file_remove_tree(const char *path, struct error *err)
{
	int rc = remove_entry(AT_FDCWD, path);
	if (rc == 0 || (rc < 0 && errno == ENOTDIR))
		return 0; /* ENOTDIR: a folder on the way is a file, so it is absent */
	if (rc < 0)
		return error_errno(err, code_of(errno), errno, "remove %s", path);
	struct remover r = { 0 };
	r.top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statx st;
	bool good = r.top >= 0 && statx(r.top, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) == 0;
	if (good) {
		r.dev_major = st.stx_dev_major;
		r.dev_minor = st.stx_dev_minor;
	}
	for (bool more = true; good && more;)
		good = empty_top(&r, &more) == 0;
	if (good)
		good = unlinkat(AT_FDCWD, path, AT_REMOVEDIR) == 0 || errno == ENOENT;
	int errnum = errno;
	if (r.top >= 0)
		(void)close(r.top);
	return good ? 0 : error_errno(err, code_of(errnum), errnum, "remove %s", path);
}

bool file_exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

void file_set_nonblock(int fd)
{
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
