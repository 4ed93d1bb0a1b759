#include "topology.h"

#include "watch/watch.h"

static struct str label(struct arena *a, const struct watch_obj *o, struct str key)
{
	struct str v = STR("");
	if (o && watch_obj_label(o, key, &v))
		v = arena_str(a, v);
	return v;
}

struct labels topology_labels(struct arena *a, struct str cluster, struct str node_name,
			      const struct watch_obj *node)
{
	const struct label all[TOPOLOGY_LABELS] = {
		{ STR("cluster"), arena_str(a, cluster) },
		{ STR("network_az"), label(a, node, STR("topology.rctl.io/network-az")) },
		{ STR("node"), arena_str(a, node_name) },
		{ STR("region"), label(a, node, STR("topology.kubernetes.io/region")) },
		{ STR("zone"), label(a, node, STR("topology.kubernetes.io/zone")) },
	};
	struct label *v = arena_new(a, struct label, TOPOLOGY_LABELS);
	size_t n = 0;
	for (size_t i = 0; i < TOPOLOGY_LABELS; i++)
		if (all[i].value.len)
			v[n++] = all[i];
	return (struct labels){ v, n };
}
