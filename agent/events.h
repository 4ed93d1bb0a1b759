/*
 * agent/events - Events about pods and the node, de-duplicated and put into the event stream.
 *
 * The same event again (object, container, reason, message) within ten minutes is one Event with a
 * higher count, as a kubelet's correlator has it; repetitions are written when the count has doubled
 * or after a minute, so that a probe failing each second costs little.
 */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include "base/str.h"

#include <stdint.h>

struct events;
struct push;

struct event {
	struct str ns, kind, name, uid, resource_version; /* the object it is about */
	struct str field_path;                            /* "spec.containers{web}", or "" */
	const char *type, *reason, *message;
};

struct events *events_new(const char *node, struct push *push);
struct events *events_free(struct events *e);

/* now_ms is Unix time. */
void events_add(struct events *e, const struct event *ev, int64_t now_ms);

#endif
