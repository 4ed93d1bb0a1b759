/*
 * leases - the heartbeats of the nodes, shown as Lease objects in namespace kube-node-lease.
 *
 * Soft state: GET and LIST only, made from what the agents said; renewTime is the server's clock at the last heartbeat, for
 * a node that has not spoken to this server yet the server's start.
 */
#ifndef LEASES_H
#define LEASES_H

#include "agents.h"

void leases_add_route(struct apiserver *api, struct agents *agents);

#endif
