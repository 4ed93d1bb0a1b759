/*
 * metricsapi - metrics.k8s.io/v1beta1: what nodes and pods use, for kubectl top, rctl top and autoscalers.
 *
 * CPU is the rate between the two newest samples of the last two minutes, memory the newest working set, both out of the
 * metrics store.  What has no samples is left out of lists and not found by name, as metrics-server does it.
 */
#ifndef METRICSAPI_H
#define METRICSAPI_H

#include "apiserver/apiserver.h"

struct metricsapi;
struct mstore;
struct peerway;

/* Group and routes, before apiserver_start(); `loop` carries the answers; another server's through `peerway`. */
struct metricsapi *metricsapi_new(struct apiserver *api, struct loop *loop, struct mstore *store,
				  struct peerway *peerway);
/* After the store is gone. */
struct metricsapi *metricsapi_free(struct metricsapi *m);

#endif
