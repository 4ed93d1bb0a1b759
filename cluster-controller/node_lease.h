/*
 * node_lease - what the heartbeats of nodes prove, as the controller sees them in its polls.
 *
 * Pure.  A lease's value says nothing by itself; only its change between two polls of one unbroken
 * watch is a sign of life.  So clocks do not matter, neither a restart of the API nor of the controller makes a
 * dead node look alive, and while the API does not answer nobody's silence counts.
 */
#ifndef NODE_LEASE_H
#define NODE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* The polls; zeroed at first. */
struct lease_watch {
	bool ok;           /* the last poll was answered */
	uint64_t since_ms; /* … and all since then */
	uint64_t epoch;    /* grows whenever an unbroken row of answers begins */
};

/* One node's; zeroed at first. */
struct lease_seen {
	uint64_t value; /* of the lease: a hash of its text */
	uint64_t changed_ms;
	uint64_t epoch;
	bool alive; /* it changed in this epoch */
};

void lease_polled(struct lease_watch *w, bool ok, uint64_t now_ms);
/* The lease is in the answer. */
void lease_see(const struct lease_watch *w, struct lease_seen *s, uint64_t value, uint64_t now_ms);

bool lease_alive(const struct lease_watch *w, const struct lease_seen *s);
/* How long the node says nothing; born_ms: when the controller first saw the Node. */
uint64_t lease_silent_ms(const struct lease_watch *w, const struct lease_seen *s, uint64_t born_ms,
			 uint64_t now_ms);

#endif
