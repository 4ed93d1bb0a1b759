/* The rules that are there without anybody having written one. They can be changed like any other. */
#include "builtin.h"

#define HEAD(name, scope) \
	"{\"apiVersion\":\"monitoring.rctl.io/v1alpha1\",\"kind\":\"AlertRule\"," \
	"\"metadata\":{\"name\":\"" name "\",\"namespace\":\"kube-system\"}," \
	"\"spec\":{\"scope\":\"" scope "\",\"groups\":[{\"name\":\"builtin\",\"interval\":\"1s\"," \
	"\"rules\":["
#define TAIL "]}]}}"

/* more: further members of the rule, each with a comma behind it */
#define RULE(alert, expr, severity, more, summary, description) \
	"{\"alert\":\"" alert "\",\"expr\":\"" expr "\"," more \
	"\"labels\":{\"severity\":\"" severity "\"}," \
	"\"annotations\":{\"summary\":\"" summary "\",\"description\":\"" description "\"}}"

#define WATCHDOG \
	RULE("Watchdog", "rctl_watchdog", "none", "", "Alerts are evaluated and sent", \
	     "This alert always fires. A receiver that names it and is told no more of it knows " \
	     "that " \
	     "no alert would arrive.")

#define CLUSTER "{{ $externalLabels.cluster }}"

#define NODE_SILENT \
	RULE("NodeSilent", "rctl_node_silent", "critical", "\"keep_firing_for\":\"5s\",", \
	     "Node {{ $labels.node }} of cluster " CLUSTER " does not answer", \
	     "Node {{ $labels.node }} in node zone {{ $labels.zone }}, network zone " \
	     "{{ $labels.network_az }}, region {{ $labels.region }}, cluster " CLUSTER \
	     " sends no heartbeats or is not ready. Its pods are replaced on other nodes. See: " \
	     "rctl describe node {{ $labels.node }} --context " CLUSTER)

/* It waits for the heartbeats that are spread over two seconds, so that its first text names all members. */
#define ZONE_SILENT \
	RULE("ZoneSilent", "rctl_zone_silent", "critical", \
	     "\"for\":\"2s\",\"keep_firing_for\":\"10s\",", \
	     "{{ $value }} of {{ $labels.__nodes__ }} nodes " \
	     "{{ if $labels.zone }}of zone {{ $labels.zone }} {{ end }}" \
	     "{{ if $labels.network_az }}of network zone {{ $labels.network_az }} {{ end }}" \
	     "of region {{ $labels.region }}, cluster " CLUSTER ", do not answer", \
	     "It is told once for all of them: {{ $labels.__members__ }}")

#define POD_CRASH_LOOPING \
	RULE("PodCrashLooping", "rctl_pod_crashlooping", "warning", "\"keep_firing_for\":\"5m\",", \
	     "Container {{ $labels.container }} of pod {{ $labels.namespace }}/{{ $labels.pod }} " \
	     "keeps failing", \
	     "See: rctl logs {{ $labels.pod }} -n {{ $labels.namespace }} -c " \
	     "{{ $labels.container }} --previous --context " CLUSTER)

#define CLUSTER_SILENT \
	"{\"alert\":\"ClusterSilent\",\"expr\":\"rctl_cluster_silent\",\"annotations\":{" \
	"\"summary\":\"Cluster {{ $labels.cluster }} does not answer\"," \
	"\"description\":\"No API server of cluster {{ $labels.cluster }} in region " \
	"{{ $labels.region }} answers.\"}}"

const char *const builtin_keys[2] = { "kube-system/builtin", "kube-system/builtin-fleet" };

const char *const builtin_rules[2] = {
	HEAD("builtin", "Cluster") NODE_SILENT "," ZONE_SILENT "," POD_CRASH_LOOPING
					       "," WATCHDOG TAIL,
	HEAD("builtin-fleet", "Global") CLUSTER_SILENT "," WATCHDOG TAIL,
};
