/*
 * statemetrics - the state of the cluster's objects as series, under the names of kube-state-metrics.
 *
 *   kube_pod_status_phase{namespace,pod,uid,phase}          1 for the phase it is in, else 0
 *   kube_pod_container_status_restarts_total{…,container}   kube_pod_container_status_ready, _running, _waiting_reason,
 *   kube_pod_container_status_last_terminated_reason
 *   kube_pod_info{…,host_ip,pod_ip,created_by_kind,created_by_name,priority_class}
 *   kube_pod_owner{…,owner_kind,owner_name,owner_is_controller}
 *   kube_pod_container_resource_requests{…,container,resource,unit}     kube_pod_container_resource_limits
 *   kube_node_info{node,kernel_version,os_image,container_runtime_version,kubelet_version,system_uuid}
 *   kube_node_status_condition{node,condition,status}       kube_node_spec_unschedulable, kube_node_status_capacity
 *   kube_deployment_spec_replicas                           kube_deployment_status_replicas, …_ready, …_available,
 *   kube_deployment_status_replicas_unavailable, …_updated, kube_deployment_status_observed_generation,
 *   kube_deployment_metadata_generation
 *
 * Series of pods and nodes carry node, region, zone, network_az and cluster like all that a node sends.
 */
#ifndef STATEMETRICS_H
#define STATEMETRICS_H

#include "apiserver/apiserver.h"

struct mstore_collect;

struct statemetrics {
	struct apiserver *api; /* started before the first call */
	const char *cluster;
};

/* For mstore_config.collect; reads one snapshot of the watch cache, on the store's thread. */
void statemetrics_collect(void *arg, struct mstore_collect *c);

enum { STATEMETRICS_INTERVAL_MS = 15000 };

#endif
