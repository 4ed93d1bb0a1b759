/*
 * push_events - the Events of one node on their way into the API.
 *
 * Each is created as the node's own user; when it exists already (sent again, or its count has grown), its
 * count, times and message are merged into it.  A record counts as stored when all of its Events are; Events that the
 * API refuses for good are counted and dropped.
 */
#ifndef PUSH_EVENTS_H
#define PUSH_EVENTS_H

#include "apiserver/apiserver.h"

#include <stdint.h>

struct push_events;

struct push_events_handlers {
	void (*stored)(void *arg, uint64_t acked, uint64_t refused);
	void (*failed)(void *arg); /* the API cannot store now: end the stream */
	void (*closed)(void *arg); /* after push_events_close(), the last call */
};

struct push_events *push_events_new(struct apiserver *api, struct loop *loop, struct str node,
				    uint64_t next_sequence, const struct push_events_handlers *on,
				    void *arg);
void push_events_record(struct push_events *e, uint64_t sequence, uint32_t type,
			uint32_t compression, struct str payload);
/* `closed` comes when nothing is under way any more, perhaps at once. */
void push_events_close(struct push_events *e);

#endif
