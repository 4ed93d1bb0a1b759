/*
 * telemetry/index - series by their labels: in memory, rebuilt from the table `series` at start.
 *
 * Series have a number (id) that never changes; the index keeps for each pair of label name and value
 * the numbers that have it (postings).
 */
#ifndef TELEMETRY_INDEX_H
#define TELEMETRY_INDEX_H

#include "base/map.h"
#include "telemetry/labels.h"
#include "telemetry/matcher.h"

#include <stdint.h>

struct index_ids {
	uint32_t *v; /* ascending, but see index_add() */
	size_t len, cap;
};

struct index {
	struct map keys;  /* labels_key → struct index_entry */
	struct map names; /* label name → struct index_name */
	struct index_ids all;
	struct index_entry **by_id; /* [id]; NULL = none */
	size_t by_id_len;
	uint32_t last_id;
	struct buf key;
};

struct index_entry {
	uint32_t id;
	struct labels l; /* owned with the entry */
	int type;        /* MetricType of the one that defined it */
	int64_t last_ms; /* of the table: not later than the newest sample, by at most half a day */
	void *data;      /* the owner's */
};

void index_init(struct index *ix, uint64_t seed);
void index_fini(struct index *ix); /* what `data` points to is the owner's */

/* The series with exactly these labels, or NULL. */
struct index_entry *index_find(struct index *ix, struct labels l);
struct index_entry *index_at(const struct index *ix, uint32_t id); /* or NULL */
size_t index_count(const struct index *ix);

/* Adds a series that is not there; ids are given in ascending order, never twice. */
struct index_entry *index_add(struct index *ix, uint32_t id, struct labels l);
void index_del(struct index *ix, uint32_t id);

/* The ids that match all of m, ascending; appended to *ret (free ret->v with mem_free). */
void index_select(const struct index *ix, const struct matcher *m, size_t n, struct index_ids *ret);

/* Each label name, or each value of one; in no order; the string lives as long as the index is unchanged. */
void index_names(const struct index *ix, void (*fn)(void *arg, struct str name), void *arg);
void index_values(const struct index *ix, struct str name, void (*fn)(void *arg, struct str value),
		  void *arg);
/* Each pair of name and value, with how many series have it. */
void index_pairs(const struct index *ix,
		 void (*fn)(void *arg, struct str name, struct str value, size_t series),
		 void *arg);

#endif
