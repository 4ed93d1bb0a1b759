/*
 * agent/crilog - container logs: the CRI line format and the files of a container.
 *
 *   2026-01-02T03:04:05.678901234Z stdout F text of the line
 */
#ifndef AGENT_CRILOG_H
#define AGENT_CRILOG_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cri_line {
	int64_t unix_ns;
	struct str time; /* as written */
	struct str text; /* without the newline */
	bool is_stderr, partial;
};

/* One line without its newline; false when it is none of that form. */
bool cri_parse(struct str line, struct cri_line *ret);

enum { CRI_FILES_MAX = 32 };

struct cri_file {
	char name[64]; /* "0.log", "0.log.3" */
	uint32_t attempt;
	uint32_t rotation; /* 0 = the open one, else larger = newer */
	uint64_t inode, size;
};

/*
 * The log files in `dir` from the oldest to the newest (attempt, then rotation), at most CRI_FILES_MAX; those
 * beyond it are the oldest and left out.  attempt -1 = of all attempts.
 */
size_t cri_list(const char *dir, int64_t attempt, struct cri_file *list);

#endif
