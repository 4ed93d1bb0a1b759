/* The rules that are there without anybody having written one. They can be changed like any other. */
#include "engine_priv.h"

#define HEAD(name, scope) \
	"{\"apiVersion\":\"monitoring.rctl.io/v1alpha1\",\"kind\":\"AlertRule\"," \
	"\"metadata\":{\"name\":\"" name "\",\"namespace\":\"kube-system\"}," \
	"\"spec\":{\"scope\":\"" scope "\",\"groups\":[{\"name\":\"builtin\",\"interval\":\"5s\"," \
	"\"rules\":["

const char *const builtin_keys[2] = { "kube-system/builtin", "kube-system/builtin-fleet" };

const char *const builtin_rules[2] = {
	HEAD("builtin",
	     "Cluster") "{\"alert\":\"NodeSilent\",\"expr\":\"rctl_node_silent\",\"keep_firing_"
			"for\":\"5s\","
			"\"labels\":{\"severity\":\"critical\"},"
			"\"annotations\":{\"summary\":\"Node {{ $labels.node }} of cluster "
			"{{ $externalLabels.cluster }} does not answer\","
			"\"description\":\"Node {{ $labels.node }} in node zone {{ $labels.zone "
			"}}, "
			"network zone {{ $labels.network_az }}, region {{ $labels.region }}, "
			"cluster "
			"{{ $externalLabels.cluster }} sends no heartbeats or is not ready. Its "
			"pods are "
			"replaced on other nodes. See: rctl describe node {{ $labels.node }} "
			"--context "
			"{{ $externalLabels.cluster }}\"}},"
			"{\"alert\":\"PodCrashLooping\",\"expr\":\"rctl_pod_crashlooping\","
			"\"keep_firing_for\":\"5m\",\"labels\":{\"severity\":\"warning\"},"
			"\"annotations\":{\"summary\":\"Container {{ $labels.container }} of pod "
			"{{ $labels.namespace }}/{{ $labels.pod }} keeps failing\"}}"
			"]}]}}",
	HEAD("builtin-fleet",
	     "Global") "{\"alert\":\"ClusterSilent\",\"expr\":\"rctl_cluster_silent\","
		       "\"annotations\":{\"summary\":\"Cluster {{ $labels.cluster }} does not "
		       "answer\","
		       "\"description\":\"No API server of cluster {{ $labels.cluster }} in region "
		       "{{ $labels.region }} answers.\"}}"
		       "]}]}}",
};
