/*
 * agent/uplink - the agent's connection to its cluster's API: dial, RegisterNode, Connect, and again.
 *
 * Losing the connection changes nothing on the node.  What is reported meanwhile is kept by those
 * who report (every Connect begins with the status of every pod).
 */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include "agent/v1/agent.pb-c.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "grpc/client.h"
#include "linkplan.h"

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct uplink;

struct uplink_options {
	struct loop *loop;
	const char *node, *region, *zone, *network_az;
	const struct link_endpoint *endpoints; /* copied */
	size_t endpoints_len;
	const struct rpc_client_tls *tls; /* borrowed for ever; NULL = plaintext, for tests */
	uint64_t incarnation;
	uint32_t heartbeat_ms;

	/* Writes the Node object for RegisterNode. */
	void (*node_object)(void *arg, struct buf *out);
	/* The stream positions for RegisterNode; returns how many (at most cap). */
	size_t (*positions)(void *arg, Rctl__Agent__V1__StreamPosition *list, size_t cap);
	/* The revision the agent runs from. */
	const char *(*revision)(void *arg);
	/* Fills a heartbeat (count and clock are filled). */
	void (*heartbeat)(void *arg, Rctl__Agent__V1__Heartbeat *h);
	/* Connect is open (ch), or lost (NULL). */
	void (*connected)(void *arg, struct rpc_channel *ch);
	void (*assignment)(void *arg, const Rctl__Agent__V1__Assignment *a);
	void (*request)(void *arg, const Rctl__Agent__V1__Request *r);
	void (*cancel)(void *arg, uint64_t id);
	/* For the log: "connected", "lost", "refused" … with the endpoint and a text. */
	void (*note)(void *arg, const char *event, const char *endpoint, const char *text);
	void *arg;
};

struct uplink *uplink_new(const struct uplink_options *opt);
struct uplink *uplink_free(struct uplink *l);

bool uplink_is_up(const struct uplink *l);

/* Sends on Connect; without one it does nothing (all is sent again on the next Connect). */
void uplink_pod_status(struct uplink *l, const Rctl__Agent__V1__PodStatus *s);
void uplink_node_status(struct uplink *l, struct str status);
void uplink_applied(struct uplink *l, const char *revision);
void uplink_request_failed(struct uplink *l, uint64_t id, enum rpc_status code, const char *text);

#endif
