/*
 * agent/series - what the references of a stream mean: names and labels, each sent once.
 *
 * References are dense from 1 and keep their meaning as long as the spool's incarnation: the table is a file
 * beside the spool that only grows.  A file of another incarnation, or one that does not check, is begun anew, and
 * so must the spool be (series_open says so).
 */
#ifndef AGENT_SERIES_H
#define AGENT_SERIES_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

enum { SERIES_MAX = 100000, SERIES_KEY_MAX = 4096 };

struct series_def {
	struct str key; /* name NUL label NUL value NUL label … */
	int type;       /* MetricType of the protocol */
};

struct series {
	struct map refs;         /* key → reference as a pointer */
	struct series_def *defs; /* [ref - 1] */
	size_t len, cap;
	struct buf unwritten; /* entries for series_write() */
	int fd;
};

/*
 * *kept tells whether the table belongs to `incarnation`: false with a spool that has records means that
 * these cannot be understood any more.
 */
ATTR_MUSTCHECK int series_open(struct series *s, const char *path, uint64_t incarnation, bool *kept,
			       struct error *err);
void series_close(struct series *s);

/* The reference of `key`, made when it is new; 0 = the table is full. */
uint32_t series_ref(struct series *s, struct str key, int type);

/*
 * Writes entries (of `unwritten`) to the table's file and makes them durable: before any record that uses them
 * is.  Any one thread at a time.  -1: it cannot be written; nothing may be recorded with these references.
 */
ATTR_MUSTCHECK int series_write(int fd, struct str entries);

/* The parts of a key: name first, then label and value in turn.  False at the end. */
bool series_part(struct str *rest, struct str *part);

#endif
