#include "kind/hooks.h"

static const struct kind_hooks none;

const struct kind_hooks *kind_hooks_of(const struct kind *k)
{
	static const struct kind_hooks *const all[] = {
		&kind_hooks_alert_rule,
		&kind_hooks_config_map,
		&kind_hooks_crd,
		&kind_hooks_daemon_set,
		&kind_hooks_deployment,
		&kind_hooks_disruption_budget,
		&kind_hooks_event,
		&kind_hooks_limit_range,
		&kind_hooks_namespace,
		&kind_hooks_placement,
		&kind_hooks_pod,
		&kind_hooks_prometheus_rule,
		&kind_hooks_priority_class,
		&kind_hooks_replica_set,
		&kind_hooks_resource_quota,
		&kind_hooks_secret,
		&kind_hooks_stateful_set,
		&kind_hooks_job,
		&kind_hooks_role,
		&kind_hooks_cluster_role,
		&kind_hooks_role_binding,
		&kind_hooks_cluster_role_binding,
	};
	for (size_t i = 0; k->builtin && i < sizeof(all) / sizeof(all[0]); i++)
		if (str_is(k->resource_key, all[i]->resource))
			return all[i];
	return &none;
}
