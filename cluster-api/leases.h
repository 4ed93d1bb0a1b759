/*
 * leases - the heartbeats of the nodes, shown as Lease objects in namespace kube-node-lease.
 *
 * Soft state: GET and LIST only, made from what the agents said to any server of the cluster (peers.h).  A node that
 * nobody has heard of since has no Lease.
 */
#ifndef LEASES_H
#define LEASES_H

#include "agents.h"

void leases_add_route(struct apiserver *api, struct agents *agents, struct peers *peers);

#endif
