/*
 * agent/logtail - ships the containers' logs: reads what is new in their files and adds it to the log stream.
 *
 * What is read is marked per file (inode and offset) in <state>/logs.positions, written after the records that
 * hold it are durable in the spool.  A crash between the two sends some lines again: file and offset
 * in each LogBlock tell them apart.  Rotated files keep their inode, so nothing is read twice or missed
 * as long as it lies in one of the files kept.
 *
 * A pod that is gone: its log folder is removed once everything in it has been read.
 */
#ifndef AGENT_LOGTAIL_H
#define AGENT_LOGTAIL_H

#include "base/attr.h"
#include "base/error.h"

struct loop;
struct logtail;
struct push;
struct worker;

/*
 * Reads "<state_dir>/logs".  Worker (writes the positions) and push are borrowed; push NULL = nothing is shipped, folders are
 * only removed.
 */
struct logtail *logtail_new(struct loop *l, struct worker *w, const char *state_dir,
			    struct push *push);
struct logtail *logtail_free(struct logtail *t);

/* The pod of this folder is forgotten. */
void logtail_gone(struct logtail *t, const char *log_dir);

#endif
