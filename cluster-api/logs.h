/*
 * logs - GET …/pods/NAME/log: asks the pod's node for the lines and passes them on; the lines of a pod
 * whose node cannot answer, or has them no more, come from the log store.  A node on the line with another
 * API server of the cluster is asked through that one.
 *
 * The node answers on a stream of its own (rpc Logs), matched by the request id.  The query is the one of Kubernetes:
 * container, follow, previous, timestamps, tailLines, sinceSeconds, sinceTime, limitBytes.
 */
#ifndef LOGS_H
#define LOGS_H

#include "agents.h"
#include "peerway.h"

struct logs;
struct lstore;

struct logs *logs_new(struct apiserver *api, struct loop *loop);
struct logs *logs_free(struct logs *l);

/* The method Logs, to be given to agents_new (agents_config.more). */
struct rpc_method logs_method(struct logs *l);

/* The route, before apiserver_start(); agents after agents_new(); store NULL = only what nodes have. */
void logs_add_route(struct logs *l, struct agents *agents, struct peerway *peerway,
		    struct lstore *store);

#endif
