#include "objects.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "text/duration.h"

enum {
	NOT_READY_MS = 30000, /* an agent that starts says "not ready" first */
	LABELS_OF_OBJECT_MAX = 40,
};

/* What is told of one object. */
struct object {
	struct arena arena;
	bool bad; /* its series is there */
	int64_t for_ms;
	struct series *series; /* one; a pod has one for each of its containers that crash */
	size_t len;
	struct str name, region;
	struct str zone, network; /* of a node */
	bool cordoned;
};

static void object_free(struct object *x)
{
	if (!x)
		return;
	arena_fini(&x->arena);
	mem_free(x);
}

static bool same(const struct object *a, const struct object *b)
{
	if (!a || !b || a->bad != b->bad || a->len != b->len)
		return a == b;
	for (size_t i = 0; i < a->len; i++)
		if (!labels_equal(a->series[i].labels, b->series[i].labels) ||
		    a->series[i].timing.for_ms != b->series[i].timing.for_ms)
			return false;
	return true;
}

/* Takes x over (NULL = none); tells when the series of the kind changed. */
static void replace(struct objects *o, struct map *m, struct str key, struct object *x,
		    enum builtin what)
{
	struct object *old = x ? map_set(m, key, x) : map_del(m, key);
	bool changed = !same(old && old->bad ? old : NULL, x && x->bad ? x : NULL);
	object_free(old);
	if (changed)
		o->on_change(o->arg, what);
}

static const struct json *condition(const struct json *obj, const char *type)
{
	const struct json *list = json_dig(obj, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), type))
			return json_at(list, i);
	return NULL;
}

/* ---- series ---- */

struct builder {
	struct arena *a;
	struct label v[LABELS_OF_OBJECT_MAX];
	size_t len;
};

static void add(struct builder *b, const char *name, struct str value)
{
	if (b->len < LABELS_OF_OBJECT_MAX)
		b->v[b->len++] = (struct label){ str_of(name), arena_str(b->a, value) };
}

static void build(struct object *x, struct builder *b, int64_t for_ms)
{
	struct label *v = arena_new(b->a, struct label, b->len);
	size_t n = b->len;
	struct series *s = &x->series[x->len];
	memcpy(v, b->v, n * sizeof(*v));
	if (labels_check(v, &n, 65536, NULL)) /* what is no label set makes no alert */
		return;
	*s = (struct series){ .labels = { v, n }, .value = 1, .timing = { for_ms, 0 } };
	x->len++;
	x->for_ms = for_ms;
	x->bad = true;
}

static struct object *object_new(const struct json *obj, size_t series)
{
	struct object *x = mem_new(struct object, 1);
	x->series = arena_new(&x->arena, struct series, series);
	x->name = arena_str(&x->arena, json_str(json_dig(obj, "metadata", "name", NULL)));
	return x;
}

static struct str label_of(const struct json *obj, const char *name)
{
	return json_str(json_getc(json_dig(obj, "metadata", "labels", NULL), name));
}

static bool same_place(const struct object *a, const struct object *b)
{
	return a && b && a->bad == b->bad && a->cordoned == b->cordoned &&
	       str_eq(a->zone, b->zone) && str_eq(a->network, b->network) &&
	       str_eq(a->region, b->region);
}

/* Takes x over (NULL = the node is gone). */
static void replace_node(struct objects *o, struct str key, struct object *x)
{
	const struct object *old = map_get(&o->nodes, key);
	bool was = old && old->cordoned;
	bool is = x && x->cordoned;
	bool moved = !same_place(old, x);
	struct arena a = { 0 };
	struct str name = arena_str(&a, x ? x->name : key);
	replace(o, &o->nodes, key, x, BUILTIN_NODE_SILENT);
	if (moved)
		o->on_change(o->arg, BUILTIN_ZONE_SILENT);
	if (was != is)
		o->on_cordon(o->arg, name, is);
	arena_fini(&a);
}

static void on_node(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct object *x = object_new(obj, 1);
	struct str ready = json_str(json_getc(condition(obj, "Ready"), "status"));
	x->zone = arena_str(&x->arena, label_of(obj, "topology.kubernetes.io/zone"));
	x->network = arena_str(&x->arena, label_of(obj, "topology.rctl.io/network-az"));
	x->region = arena_str(&x->arena, label_of(obj, "topology.kubernetes.io/region"));
	x->cordoned = json_bool(json_dig(obj, "spec", "unschedulable", NULL), false);
	if (str_is(ready, "Unknown") || str_is(ready, "False")) {
		struct builder b = { .a = &x->arena };
		add(&b, "node", x->name);
		add(&b, "zone", x->zone);
		add(&b, "network_az", x->network);
		add(&b, "region", x->region);
		build(x, &b, str_is(ready, "False") ? NOT_READY_MS : 0);
	}
	replace_node(arg, key, x);
}

static void on_node_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	replace_node(arg, key, NULL);
}

static void on_pod(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct objects *o = arg;
	static const char *const lists[] = { "initContainerStatuses", "containerStatuses" };
	const struct json *status = json_getc(obj, "status");
	struct object *x = object_new(obj, json_len(json_getc(status, lists[0])) +
						   json_len(json_getc(status, lists[1])));
	for (size_t l = 0; l < 2; l++) {
		const struct json *list = json_getc(status, lists[l]);
		for (size_t i = 0; i < json_len(list); i++) {
			const struct json *c = json_at(list, i);
			struct str reason =
				json_str(json_dig(c, "state", "waiting", "reason", NULL));
			if (!str_is(reason, "CrashLoopBackOff"))
				continue;
			struct builder b = { .a = &x->arena };
			add(&b, "namespace",
			    json_str(json_dig(obj, "metadata", "namespace", NULL)));
			add(&b, "pod", x->name);
			add(&b, "container", json_str(json_getc(c, "name")));
			add(&b, "node", json_str(json_dig(obj, "spec", "nodeName", NULL)));
			build(x, &b, 0);
		}
	}
	if (!x->bad) {
		object_free(x);
		x = NULL;
	}
	replace(o, &o->pods, key, x, BUILTIN_POD_CRASHLOOPING);
}

static void on_pod_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct objects *o = arg;
	replace(o, &o->pods, key, NULL, BUILTIN_POD_CRASHLOOPING);
}

static void silent_cluster(struct object *x, const struct json *obj)
{
	const struct json *alerts = json_dig(obj, "spec", "alerts", NULL);
	int64_t ns = 30000000000;
	struct str after = json_str(json_getc(alerts, "silentAfter"));
	if (after.len && duration_parse_go(after, &ns, NULL) == 0 && ns <= 0)
		return;
	struct builder b = { .a = &x->arena };
	const struct json *labels = json_getc(alerts, "labels");
	for (size_t i = 0; json_is(labels, JSON_OBJECT) && i < json_len(labels); i++) {
		struct str name = json_str(&labels->members[i].key);
		if (labels_name_valid(name) && !str_is(name, "cluster") && !str_is(name, "region"))
			add(&b, arena_str(&x->arena, name).p, json_str(&labels->members[i].value));
	}
	if (!json_getc(labels, "severity"))
		add(&b, "severity", STR("critical"));
	add(&b, "cluster", x->name);
	add(&b, "region", x->region);
	build(x, &b, ns / 1000000);
}

static void on_cluster(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct objects *o = arg;
	bool known = map_get(&o->clusters, key) != NULL;
	struct object *x = object_new(obj, 1);
	x->region = arena_str(&x->arena, json_str(json_dig(obj, "spec", "region", NULL)));
	struct str reachable = json_str(json_getc(condition(obj, "Reachable"), "status"));
	if (str_is(reachable, "False") || str_is(reachable, "Unknown"))
		silent_cluster(x, obj);
	replace(o, &o->clusters, key, x, BUILTIN_CLUSTER_SILENT);
	if (!known)
		o->on_cluster(o->arg);
}

static void on_cluster_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct objects *o = arg;
	replace(o, &o->clusters, key, NULL, BUILTIN_CLUSTER_SILENT);
	o->on_cluster(o->arg);
}

/* ---- life ---- */

static void watch(struct objects *o, struct ctl *ctl, struct client *client, const char *path,
		  void (*set)(void *, struct str, const struct json *, struct str),
		  void (*del)(void *, struct str, struct str))
{
	const struct client_informer_config cfg = {
		.path = path, .on_set = set, .on_delete = del, .arg = o
	};
	(void)ctl_watch(ctl, client, &cfg, true);
}

void objects_init(struct objects *o, struct ctl *ctl, struct client *client, bool global)
{
	map_init(&o->nodes, clock_random_u64());
	map_init(&o->pods, clock_random_u64());
	map_init(&o->clusters, clock_random_u64());
	topology_init(&o->topology, clock_random_u64());
	if (global) {
		watch(o, ctl, client, "/apis/topology.rctl.io/v1alpha1/clusters", on_cluster,
		      on_cluster_delete);
		return;
	}
	watch(o, ctl, client, "/api/v1/nodes", on_node, on_node_delete);
	watch(o, ctl, client, "/api/v1/pods", on_pod, on_pod_delete);
}

static void free_all(struct map *m)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(m, &pos, NULL, &v))
		object_free(v);
	map_fini(m);
}

void objects_fini(struct objects *o)
{
	free_all(&o->nodes);
	free_all(&o->pods);
	free_all(&o->clusters);
	topology_fini(&o->topology);
}

/* ---- nodes and zones ---- */

/* All nodes, and their silent places. */
struct nodes {
	struct topology_node *v;
	const struct object **objects;
	size_t len;
	struct topology_place *places;
	size_t places_len;
};

static struct nodes look(struct objects *o, struct arena *a)
{
	struct nodes n = { .v = arena_new(a, struct topology_node, o->nodes.len),
			   .objects = arena_new(a, const struct object *, o->nodes.len) };
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&o->nodes, &pos, NULL, &v)) {
		const struct object *x = v;
		n.objects[n.len] = x;
		/* an agent that starts says "not ready" first: that is no silence of its zone */
		n.v[n.len++] = (struct topology_node){ .name = x->name,
						       .region = x->region,
						       .zone = x->zone,
						       .network = x->network,
						       .silent = x->bad && !x->for_ms,
						       .excused = x->cordoned };
	}
	topology_run(&o->topology, a, n.v, n.len, &n.places, &n.places_len);
	return n;
}

static void node_series(struct objects *o, struct arena *a, struct series **ret, size_t *ret_len)
{
	struct nodes n = look(o, a);
	struct series *s = arena_new(a, struct series, n.len);
	size_t len = 0;
	for (size_t i = 0; i < n.len; i++) {
		if (!n.objects[i]->bad)
			continue;
		s[len] = n.objects[i]->series[0];
		int64_t hold = topology_hold_ms(&n.v[i]);
		if (s[len].timing.for_ms < hold)
			s[len].timing.for_ms = hold;
		len++;
	}
	*ret = s;
	*ret_len = len;
}

void objects_series(struct objects *o, enum builtin what, struct arena *a, struct series **ret,
		    size_t *ret_len)
{
	if (what == BUILTIN_NODE_SILENT) {
		node_series(o, a, ret, ret_len);
		return;
	}
	if (what == BUILTIN_ZONE_SILENT) {
		struct nodes n = look(o, a);
		topology_series(a, n.places, n.places_len, ret, ret_len);
		return;
	}
	if (what == BUILTIN_WATCHDOG) {
		*ret = arena_new(a, struct series, 1);
		**ret = (struct series){ .value = 1 };
		*ret_len = 1;
		return;
	}
	const struct map *m = what == BUILTIN_POD_CRASHLOOPING ? &o->pods : &o->clusters;
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(m, &pos, NULL, &v))
		n += ((const struct object *)v)->len;
	struct series *s = arena_new(a, struct series, n);
	n = 0;
	pos = 0;
	while (map_next(m, &pos, NULL, &v)) {
		const struct object *x = v;
		for (size_t i = 0; i < x->len; i++)
			s[n++] = x->series[i];
	}
	*ret = s;
	*ret_len = n;
}

void objects_clusters(const struct objects *o, struct arena *a, struct objects_cluster **ret,
		      size_t *ret_len)
{
	struct objects_cluster *c = arena_new(a, struct objects_cluster, o->clusters.len);
	size_t n = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&o->clusters, &pos, NULL, &v)) {
		const struct object *x = v;
		c[n++] = (struct objects_cluster){ x->name, x->region, !x->bad };
	}
	*ret = c;
	*ret_len = n;
}
