#include "statemetrics.h"

#include "base/map.h"
#include "base/mem.h"
#include "json/json.h"
#include "telemetry/mstore.h"
#include "text/quantity.h"
#include "topology.h"
#include "watch/watch.h"

enum { COUNTER = 1, GAUGE = 2, LABELS = 16 };

struct walk {
	struct mstore_collect *c;
	struct str cluster;
	struct arena arena;    /* of one object */
	struct arena topology; /* of the walk */
	struct map nodes;      /* name → struct labels */
};

/* Labels of one object; `fixed` of them come with each of its series. */
struct set {
	struct walk *w;
	struct label v[LABELS];
	size_t len;
};

static void set_add(struct set *s, const char *name, struct str value)
{
	if (s->len < LABELS)
		s->v[s->len++] = (struct label){ str_of(name), value };
}

static void set_add_all(struct set *s, struct labels l)
{
	for (size_t i = 0; i < l.len && s->len < LABELS; i++)
		s->v[s->len++] = l.v[i];
}

static void put(struct set *s, const char *metric, int type, double v)
{
	mstore_put(s->w->c, metric, type, v, s->v, s->len);
}

/* With one or two labels more than the object's. */
static void put_with(struct set *s, const char *metric, double v, const char *l1, struct str v1,
		     const char *l2, struct str v2)
{
	size_t len = s->len;
	set_add(s, l1, v1);
	if (l2)
		set_add(s, l2, v2);
	put(s, metric, GAUGE, v);
	s->len = len;
}

static bool parse(struct walk *w, struct watch_obj *o, struct json *ret)
{
	arena_reset(&w->arena);
	return json_parse(&w->arena, watch_obj_json(o), NULL, ret, NULL) == 0;
}

/* ---- nodes ---- */

static void node_conditions(struct set *s, const struct json *list)
{
	static const char *const statuses[] = { "true", "false", "unknown" };
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *c = json_at(list, i);
		struct str status = json_str(json_getc(c, "status"));
		for (size_t k = 0; k < 3; k++)
			put_with(s, "kube_node_status_condition",
				 str_eq_nocase(status, str_of(statuses[k])), "condition",
				 json_str(json_getc(c, "type")), "status", str_of(statuses[k]));
	}
}

/* kube_node_info */
static void node_info(struct set *s, const struct json *info)
{
	static const char *const names[][2] = {
		{ "kernel_version", "kernelVersion" },
		{ "os_image", "osImage" },
		{ "container_runtime_version", "containerRuntimeVersion" },
		{ "kubelet_version", "kubeletVersion" },
		{ "system_uuid", "systemUUID" },
	};
	size_t len = s->len;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		set_add(s, names[i][0], json_str(json_getc(info, names[i][1])));
	put(s, "kube_node_info", GAUGE, 1);
	s->len = len;
}

/* One series for each resource of a list of quantities. */
static void resources(struct set *s, const char *metric, const struct json *list)
{
	for (size_t i = 0; json_is(list, JSON_OBJECT) && i < json_len(list); i++) {
		struct quantity q;
		struct str name = json_str(&list->members[i].key);
		if (quantity_parse(json_str(&list->members[i].value), &q, NULL) != 0)
			continue;
		bool bytes = !str_is(name, "cpu") && !str_is(name, "pods");
		put_with(s, metric, (double)quantity_milli(q) / 1000, "resource", name, "unit",
			 bytes                 ? STR("byte")
			 : str_is(name, "cpu") ? STR("core")
					       : STR("integer"));
	}
}

static bool on_node(void *arg, struct watch_obj *o)
{
	struct walk *w = arg;
	struct json doc;
	struct str name = arena_str(&w->topology, watch_obj_name(o));
	struct labels *l = arena_new(&w->topology, struct labels, 1);
	*l = topology_labels(&w->topology, w->cluster, name, o);
	(void)map_set(&w->nodes, name, l);
	if (!parse(w, o, &doc))
		return true;
	struct set s = { .w = w };
	set_add_all(&s, *l);
	node_conditions(&s, json_dig(&doc, "status", "conditions", NULL));
	node_info(&s, json_dig(&doc, "status", "nodeInfo", NULL));
	resources(&s, "kube_node_status_capacity", json_dig(&doc, "status", "capacity", NULL));
	resources(&s, "kube_node_status_allocatable",
		  json_dig(&doc, "status", "allocatable", NULL));
	put(&s, "kube_node_spec_unschedulable", GAUGE,
	    json_bool(json_dig(&doc, "spec", "unschedulable", NULL), false));
	return true;
}

/* ---- pods ---- */

static void container(struct set *s, const struct json *st)
{
	size_t len = s->len;
	const struct json *waiting = json_dig(st, "state", "waiting", NULL);
	const struct json *ended = json_dig(st, "lastState", "terminated", NULL);
	set_add(s, "container", json_str(json_getc(st, "name")));
	put(s, "kube_pod_container_status_restarts_total", COUNTER,
	    json_double(json_getc(st, "restartCount"), 0));
	put(s, "kube_pod_container_status_ready", GAUGE, json_bool(json_getc(st, "ready"), false));
	put(s, "kube_pod_container_status_running", GAUGE,
	    json_dig(st, "state", "running", NULL) != NULL);
	put(s, "kube_pod_container_status_waiting", GAUGE, waiting != NULL);
	if (waiting && json_str(json_getc(waiting, "reason")).len)
		put_with(s, "kube_pod_container_status_waiting_reason", 1, "reason",
			 json_str(json_getc(waiting, "reason")), NULL, STR(""));
	if (ended && json_str(json_getc(ended, "reason")).len)
		put_with(s, "kube_pod_container_status_last_terminated_reason", 1, "reason",
			 json_str(json_getc(ended, "reason")), NULL, STR(""));
	s->len = len;
}

/* kube_pod_info and kube_pod_owner: a pod that nobody made has "<none>", as kube-state-metrics writes it. */
static void pod_info(struct set *s, const struct json *pod)
{
	const struct json *owners = json_dig(pod, "metadata", "ownerReferences", NULL);
	struct str kind = STR("<none>"), name = STR("<none>");
	size_t len = s->len;
	for (size_t i = 0; i < json_len(owners); i++) {
		const struct json *o = json_at(owners, i);
		bool controls = json_bool(json_getc(o, "controller"), false);
		if (controls) {
			kind = json_str(json_getc(o, "kind"));
			name = json_str(json_getc(o, "name"));
		}
		set_add(s, "owner_kind", json_str(json_getc(o, "kind")));
		set_add(s, "owner_name", json_str(json_getc(o, "name")));
		put_with(s, "kube_pod_owner", 1, "owner_is_controller",
			 controls ? STR("true") : STR("false"), NULL, STR(""));
		s->len = len;
	}
	if (!json_len(owners)) {
		set_add(s, "owner_kind", kind);
		set_add(s, "owner_name", name);
		put_with(s, "kube_pod_owner", 1, "owner_is_controller", STR("<none>"), NULL,
			 STR(""));
		s->len = len;
	}
	set_add(s, "host_ip", json_str(json_dig(pod, "status", "hostIP", NULL)));
	set_add(s, "pod_ip", json_str(json_dig(pod, "status", "podIP", NULL)));
	set_add(s, "priority_class", json_str(json_dig(pod, "spec", "priorityClassName", NULL)));
	put_with(s, "kube_pod_info", 1, "created_by_kind", kind, "created_by_name", name);
	s->len = len;
}

static void pod_resources(struct set *s, const struct json *containers)
{
	size_t len = s->len;
	for (size_t i = 0; i < json_len(containers); i++) {
		const struct json *c = json_at(containers, i);
		set_add(s, "container", json_str(json_getc(c, "name")));
		resources(s, "kube_pod_container_resource_requests",
			  json_dig(c, "resources", "requests", NULL));
		resources(s, "kube_pod_container_resource_limits",
			  json_dig(c, "resources", "limits", NULL));
		s->len = len;
	}
}

static bool on_pod(void *arg, struct watch_obj *o)
{
	static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed",
					      "Unknown" };
	struct walk *w = arg;
	struct json doc;
	if (!parse(w, o, &doc))
		return true;
	struct set s = { .w = w };
	struct str phase = json_str(json_dig(&doc, "status", "phase", NULL));
	struct str node = json_str(json_dig(&doc, "spec", "nodeName", NULL));
	const struct labels *topology = map_get(&w->nodes, node);
	set_add(&s, "namespace", watch_obj_namespace(o));
	set_add(&s, "pod", watch_obj_name(o));
	set_add(&s, "uid", json_str(json_dig(&doc, "metadata", "uid", NULL)));
	if (topology) {
		set_add_all(&s, *topology);
	} else {
		set_add(&s, "cluster", w->cluster);
		set_add(&s, "node", node);
	}
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		put_with(&s, "kube_pod_status_phase", str_is(phase, phases[i]), "phase",
			 str_of(phases[i]), NULL, STR(""));
	pod_info(&s, &doc);
	pod_resources(&s, json_dig(&doc, "spec", "containers", NULL));
	const struct json *list = json_dig(&doc, "status", "containerStatuses", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		container(&s, json_at(list, i));
	return true;
}

/* ---- deployments ---- */

static bool on_deployment(void *arg, struct watch_obj *o)
{
	static const struct {
		const char *metric, *outer, *inner;
	} numbers[] = {
		{ "kube_deployment_spec_replicas", "spec", "replicas" },
		{ "kube_deployment_status_replicas", "status", "replicas" },
		{ "kube_deployment_status_replicas_ready", "status", "readyReplicas" },
		{ "kube_deployment_status_replicas_available", "status", "availableReplicas" },
		{ "kube_deployment_status_replicas_unavailable", "status", "unavailableReplicas" },
		{ "kube_deployment_status_replicas_updated", "status", "updatedReplicas" },
		{ "kube_deployment_status_observed_generation", "status", "observedGeneration" },
		{ "kube_deployment_metadata_generation", "metadata", "generation" },
	};
	struct walk *w = arg;
	struct json doc;
	if (!parse(w, o, &doc))
		return true;
	struct set s = { .w = w };
	set_add(&s, "namespace", watch_obj_namespace(o));
	set_add(&s, "deployment", watch_obj_name(o));
	set_add(&s, "cluster", w->cluster);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		put(&s, numbers[i].metric, GAUGE,
		    json_double(json_dig(&doc, numbers[i].outer, numbers[i].inner, NULL), 0));
	return true;
}

void statemetrics_collect(void *arg, struct mstore_collect *c)
{
	const struct statemetrics *m = arg;
	struct walk w = { .c = c, .cluster = str_of(m->cluster) };
	struct watch_snap *snap = watch_snap_get(apiserver_cache(m->api));
	watch_snap_walk(snap, STR("/nodes/"), STR(""), on_node, &w);
	watch_snap_walk(snap, STR("/pods/"), STR(""), on_pod, &w);
	watch_snap_walk(snap, STR("apps/deployments/"), STR(""), on_deployment, &w);
	watch_snap_unref(snap);
	map_fini(&w.nodes);
	arena_fini(&w.topology);
	arena_fini(&w.arena);
}
