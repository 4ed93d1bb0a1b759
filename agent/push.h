/*
 * agent/push - one telemetry stream on its way to the API: its spool, its series, its call.
 *
 * Records go into the spool first; what is durable there is sent in order within a window of unacknowledged
 * bytes and leaves the spool when the server has acknowledged it.  Without a connection it only fills the spool.
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

struct push_options {
	struct loop *loop;
	const char *dir; /* of the spool */
	const char *node;
	int stream; /* of the protocol */
	uint64_t quota_bytes;
};

ATTR_MUSTCHECK int push_new(const struct push_options *opt, struct push **ret, struct error *err);
struct push *push_free(struct push *p);

/* The connection to use from now on; NULL = there is none. */
void push_attach(struct push *p, struct rpc_channel *ch);

/* A record of the protocol's type.  What cannot be spooled is counted as lost. */
void push_add(struct push *p, uint8_t type, struct str payload);

struct series *push_series(struct push *p);
const struct spool *push_spool(const struct push *p);
uint64_t push_lost(const struct push *p); /* records that could not be spooled */

#endif
