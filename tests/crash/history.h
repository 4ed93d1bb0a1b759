/*
 * history - what writers and watchers of an API saw, and the verdict over it.
 *
 * Every key has one writer, which goes on with a key only after a definite answer: its writes
 * have an order, and at most the last of a key has an unknown outcome.  Revisions are unique,
 * so the whole check is one walk.
 */
#ifndef TESTS_CRASH_HISTORY_H
#define TESTS_CRASH_HISTORY_H

#include "base/map.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES = 28, WHY_BYTES = 512 };

enum outcome { UNKNOWN, ACKED };

struct write {
	uint32_t seq; /* in the stored value; a deletion has that of the value it removes */
	bool deletion;
	enum outcome outcome;
	int64_t rev; /* ACKED: its revision; 0 where the answer does not say (deletions) */
};

/* One key: all its writes in order. */
struct record {
	char key[KEY_BYTES];
	struct write *writes;
	size_t len, cap;
};

enum event_type { ADDED, MODIFIED, DELETED };

struct event {
	int64_t rev;
	enum event_type type;
	uint32_t seq;
	char key[KEY_BYTES];
};

/* What a watcher missed by listing again: revisions in (from, to]. */
struct gap {
	int64_t from, to;
};

/* One watcher: where it began, what it was told, what it knows. */
struct seen {
	int64_t start, last; /* revision of the first list; highest it was told of */
	struct event *events;
	size_t len, cap;
	struct gap *gaps;
	size_t gaps_len, gaps_cap;
	struct map state;    /* key → struct event that put it there */
	char why[WHY_BYTES]; /* the first thing that was wrong on the way; "" = nothing */
};

struct item {
	char key[KEY_BYTES];
	int64_t rev;
};

struct history {
	struct record **records;
	size_t records_len, records_cap;
	struct seen *watchers;
	size_t watchers_len;
	struct item *list; /* the final list */
	size_t list_len, list_cap;
};

struct record *history_record(struct history *h, const char *key);
void record_add(struct record *r, struct write w);

/* An event as it arrives: checked against what the watcher knows. */
void seen_event(struct seen *s, const struct event *e);
/* A complete list at rev: the first one, or one after 410. */
void seen_list(struct seen *s, const struct item *items, const uint32_t *seqs, size_t n,
	       int64_t rev);
void seen_fini(struct seen *s);

/* true when everything fits; else the first mistake in why. */
bool history_holds(const struct history *h, char why[WHY_BYTES]);
void history_fini(struct history *h);

/* Runs the verdict over small histories with one planted mistake each; false when one passes. */
bool history_has_teeth(void);

#endif
