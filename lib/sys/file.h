/*
 * sys/file - whole files and folders, the way daemons need them.
 *
 * Calls block: they are for start-up, for worker threads and for small local
 * files, never for a server loop under load.
 */
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Appends the whole file; ERR_NOT_FOUND, ERR_TOO_LARGE (more than bytes_max), ERR_INTERNAL. */
ATTR_MUSTCHECK int file_read(const char *path, size_t bytes_max, struct buf *out,
			     struct error *err);
ATTR_MUSTCHECK int file_read_fd(int fd, size_t bytes_max, struct buf *out, struct error *err);

/*
 * Replaces the file as a whole: temporary file beside it, fsync, rename, fsync
 * of the folder.  A crash leaves the old or the new content, never a mixture.
 */
ATTR_MUSTCHECK int file_write_atomic(const char *path, struct str content, mode_t mode,
				     struct error *err);

/* mkdir -p */
ATTR_MUSTCHECK int file_mkdirs(const char *path, mode_t mode, struct error *err);

/*
 * rm -rf that stays on one file system and never follows links.  Absent is success.  The tree may be of any
 * depth; when it fails half-way, folders may have been moved up into the top.  Nobody else may go on
 * writing into it.
 */
ATTR_MUSTCHECK int file_remove_tree(const char *path, struct error *err);

bool file_exists(const char *path);

/* write(2) until all is written; 0 or -1 with errno. */
int file_write_all(int fd, const void *p, size_t n);

/* O_CLOEXEC | O_NONBLOCK on an open descriptor. */
void file_set_nonblock(int fd);

#endif
