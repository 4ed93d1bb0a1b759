/*
 * Volumes at their mountPath without leaving anything on the host.
 *
 * The container has a mount namespace of its own, whose root is the host's.  Where the mountPath
 * exists, the volume is bound over it.  Where it does not, the nearest existing
 * folder above it is replaced, in this namespace alone, by a small tmpfs that shows the same entries (each
 * bound through to the original, links copied) and has the missing folders besides.  Files that the
 * container makes directly in such a shadowed folder stay in the tmpfs; everything below its
 * old entries is the host's own.
 */
#include "shim/shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHADOW_ENTRIES_MAX = 4096 };

struct why {
	char *text;
	size_t len;
};

static int fail(struct why *w, const char *what, const char *path)
{
	snprintf(w->text, w->len, "%s %s: %s", what, path, strerror(errno));
	return -1;
}

static bool is_absolute_clean(const char *p)
{
	size_t n = strlen(p);
	return p[0] == '/' && n < PATH_MAX && !strstr(p, "/../") &&
	       !(n >= 3 && strcmp(p + n - 3, "/..") == 0);
}

static int touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EEXIST ? 0 : -1;
}

/* One entry of a shadowed folder: bound through, links copied. */
static int shadow_entry(const char *from, const char *to)
{
	struct stat st;
	if (lstat(from, &st) != 0)
		return errno == ENOENT ? 0 : -1;
	if (S_ISLNK(st.st_mode)) {
		char target[PATH_MAX];
		ssize_t n = readlink(from, target, sizeof(target) - 1);
		if (n < 0)
			return -1;
		target[n] = '\0';
		return symlink(target, to);
	}
	if (S_ISDIR(st.st_mode) ? mkdir(to, 0755) : touch(to))
		return -1;
	return mount(from, to, NULL, MS_BIND | MS_REC, NULL);
}

/* Where the shadow is built: a folder that gets covered meanwhile, and a copy of the mounts there. */
struct workshop {
	const char *path;
	int original;
	char build[48];
};

static int shadow_entries(const char *dir, const struct workshop *ws, struct why *w)
{
	DIR *d = opendir(dir);
	if (!d)
		return fail(w, "read", dir);
	unsigned n = 0;
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		char from[PATH_MAX], to[PATH_MAX];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int a = snprintf(from, sizeof(from), "%s/%s", strcmp(dir, "/") == 0 ? "" : dir,
				 e->d_name);
		int b = snprintf(to, sizeof(to), "%s/%s", ws->build, e->d_name);
		if (strcmp(from, ws->path) == 0) {
			if (mkdir(to, 0755) != 0 || move_mount(ws->original, "", AT_FDCWD, to,
							       MOVE_MOUNT_F_EMPTY_PATH) != 0)
				rc = fail(w, "bind", ws->path);
			continue;
		}
		if (++n > SHADOW_ENTRIES_MAX)
			errno = E2BIG;
		else if (a >= PATH_MAX || b >= PATH_MAX)
			errno = ENAMETOOLONG;
		else if (shadow_entry(from, to) == 0)
			continue;
		rc = fail(w, "shadow", from);
	}
	closedir(d);
	return rc;
}

/* A folder that exists, is not `dir` and does not hold it. */
static int workshop_open(struct workshop *ws, const char *dir, struct why *w)
{
	static const char *const places[] = { "/mnt", "/srv", "/media", "/tmp", "/var" };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		size_t n = strlen(places[i]);
		if (strncmp(dir, places[i], n) == 0 && (dir[n] == '/' || !dir[n]))
			continue;
		ws->path = places[i];
		ws->original = open_tree(AT_FDCWD, places[i],
					 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		if (ws->original < 0)
			continue;
		snprintf(ws->build, sizeof(ws->build), "%s/.pod", places[i]);
		if (mount("tmpfs", places[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") ==
			    0 &&
		    mkdir(ws->build, 0755) == 0 &&
		    mount("tmpfs", ws->build, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") ==
			    0)
			return 0;
		close(ws->original);
		return fail(w, "tmpfs on", places[i]);
	}
	errno = ENOENT;
	return fail(w, "no place to build the shadow of", dir);
}

/*
 * Puts a tmpfs with the same entries in front of `dir`.  "/" cannot be covered by a mount:
 * there the new tree becomes the root by chroot.
 */
static int shadow(const char *dir, struct why *w)
{
	struct workshop ws = { .original = -1 };
	if (workshop_open(&ws, dir, w) != 0)
		return -1;
	int rc = shadow_entries(dir, &ws, w);
	close(ws.original);
	if (rc)
		return rc;
	if (strcmp(dir, "/") == 0)
		return chroot(ws.build) == 0 && chdir("/") == 0
			       ? 0
			       : fail(w, "change root to", ws.build);
	if (mount(ws.build, dir, NULL, MS_MOVE, NULL) != 0)
		return fail(w, "cover", dir);
	return umount2(ws.path, MNT_DETACH) == 0 ? 0 : fail(w, "uncover", ws.path);
}

/* Makes `path` exist (as folder or file), shadowing what is above it when that is needed. */
static int ensure(const char *path, bool is_dir, struct why *w)
{
	char at[PATH_MAX];
	struct stat st;
	if (stat(path, &st) == 0)
		return 0;
	strcpy(at, path);
	for (;;) {
		char *slash = strrchr(at, '/');
		*(slash == at ? slash + 1 : slash) = '\0';
		if (stat(at, &st) == 0)
			break;
	}
	if (shadow(at, w) != 0)
		return -1;
	for (size_t i = strlen(at) + (strcmp(at, "/") != 0); path[i]; i++) {
		if (path[i] != '/')
			continue;
		memcpy(at, path, i);
		at[i] = '\0';
		if (mkdir(at, 0755) != 0 && errno != EEXIST)
			return fail(w, "make", at);
	}
	if (is_dir ? mkdir(path, 0755) != 0 && errno != EEXIST : touch(path) != 0)
		return fail(w, "make", path);
	return 0;
}

/* `src` was opened before anything was covered. */
static int bind_one(int src, const char *dst, bool read_only, struct why *w)
{
	struct stat st;
	char from[64];
	if (fstat(src, &st) != 0)
		return fail(w, "look at the volume for", dst);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", src);
	if (ensure(dst, S_ISDIR(st.st_mode), w) != 0)
		return -1;
	if (mount(from, dst, NULL, MS_BIND | MS_REC, NULL) != 0)
		return fail(w, "bind to", dst);
	if (read_only && mount(NULL, dst, NULL,
			       MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0)
		return fail(w, "make read-only", dst);
	return 0;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* Who is not root gets a mount namespace along with a user namespace that holds only himself. */
static int new_namespace(void)
{
	char map[64];
	unsigned uid = geteuid(), gid = getegid();
	if (unshare(CLONE_NEWNS) == 0)
		return 0;
	if (uid == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (put("/proc/self/uid_map", map) != 0 || put("/proc/self/setgroups", "deny") != 0)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return put("/proc/self/gid_map", map);
}

int mount_all(const struct spec *s, char *why, size_t why_len)
{
	struct why w = { why, why_len };
	size_t ps = 0, pd = 0, pr = 0;
	const char *src = spec_next(s, "msrc", &ps);
	if (!src)
		return 0;
	if (new_namespace() != 0)
		return fail(&w, "new mount namespace", "");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 &&
	    mount("/", "/", NULL, MS_BIND | MS_REC, NULL) != 0)
		return fail(&w, "make private", "/");
	for (; src; src = spec_next(s, "msrc", &ps)) {
		const char *dst = spec_next(s, "mdst", &pd), *ro = spec_next(s, "mro", &pr);
		if (!dst || !ro || !is_absolute_clean(dst)) {
			errno = EINVAL;
			return fail(&w, "mount", dst ? dst : "");
		}
		int fd = open(src, O_PATH | O_CLOEXEC);
		if (fd < 0)
			return fail(&w, "open", src);
		int rc = bind_one(fd, dst, ro[0] == '1', &w);
		close(fd);
		if (rc)
			return rc;
	}
	return 0;
}
