/*
 * records - the two short texts that the controller keeps in annotations.  Pure.
 *
 * Placed (on each workload): "eu-1=3,us-1=-".  The workload may be in these clusters; so many of its replicas
 * were seen ready there and not taken away since, "-" says that it is to be removed when the cluster can be reached.
 *
 * Tombstones (on each Cluster): a JSON array of {apiVersion, kind, namespace, name, uid}.  The origin of these
 * copies was deleted while the cluster could not be reached.  A tombstone is kept until the cluster was
 * seen without its copy; deleting a Cluster deletes its tombstones, and nothing in it.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include "base/arena.h"
#include "base/buf.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
	struct str cluster;
	int64_t n; /* or PLACE_LEAVING */
};

struct records {
	struct record *a;
	size_t len;
};

/* What cannot be read is left out; the strings are in the arena. */
struct records records_read(struct arena *a, struct str text);
void records_write(struct buf *out, const struct record *r,
		   size_t len); /* without PLACE_UNRECORDED */
int64_t records_find(const struct records *r,
		     struct str cluster); /* PLACE_UNRECORDED = not there */

enum { TOMBSTONES_BYTES_MAX = 128 << 10 }; /* annotations of an object have 256 KiB together */

struct tombstone {
	struct str api_version, kind, ns, name, uid;
};

struct tombstones {
	struct tombstone *a;
	size_t len;
};

struct tombstones tombstones_read(struct arena *a, struct str text);
struct str tombstones_write(struct arena *a, const struct tombstones *t);
bool tombstones_has(const struct tombstones *t, struct str uid);

#endif
