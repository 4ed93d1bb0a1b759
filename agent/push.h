/*
 * agent/push - one telemetry stream on its way to the API: its spool, its series, its call.
 *
 * Records go into the spool first, packed; what is durable there is sent in order within a window of unacknowledged
 * bytes and leaves the spool when the server has acknowledged it.  Without a connection it only fills the spool.
 *
 * The files are the worker's (worker.h): the loop never waits for the disk.  Records that wait for it are bounded by
 * PUSH_WAITING_BYTES_MAX; what comes beyond is lost and uses up its number, so that the loss is seen.
 */
#ifndef AGENT_PUSH_H
#define AGENT_PUSH_H

#include "base/attr.h"
#include "base/error.h"
#include "series.h"
#include "spool.h"

struct loop;
struct push;
struct rpc_channel;

enum { PUSH_WAITING_BYTES_MAX = 4 << 20, PUSH_PACK_BYTES_MIN = 200 };

struct worker;

struct push_options {
	struct loop *loop;
	struct worker *worker; /* borrowed; freed behind the pushes */
	const char *dir;       /* of the spool */
	const char *node;
	int stream; /* of the protocol */
	uint64_t quota_bytes;
};

ATTR_MUSTCHECK int push_new(const struct push_options *opt, struct push **ret, struct error *err);
/* Waits for the disk: what was added is in the spool behind it. */
struct push *push_free(struct push *p);

/* Waits until all that was added is settled. */
void push_flush(struct push *p);

/* The connection to use from now on; NULL = there is none. */
void push_attach(struct push *p, struct rpc_channel *ch);

/* A record of the protocol's type.  What cannot be spooled is counted as lost. */
void push_add(struct push *p, uint8_t type, struct str payload);

struct series *push_series(struct push *p);

/* How it stands with the spool, as of the worker's last turn. */
struct push_state {
	uint64_t incarnation, first, last, durable, acked;
	uint64_t bytes;   /* on disk */
	uint64_t dropped; /* records lost to the quota */
	uint64_t lost;    /* records that could not be spooled */
};
const struct push_state *push_state(const struct push *p);

/*
 * Records ever added, and how many of them are settled: durable in the spool, or lost and counted.  A reader of
 * files moves its mark when what it had added then is settled.
 */
uint64_t push_added(const struct push *p);
uint64_t push_settled(const struct push *p);

#endif
