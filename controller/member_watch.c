/* What a cluster holds: nodes, namespaces, and our copies, which all carry our label. */
#include "base/mem.h"
#include "member_priv.h"
#include "names.h"
#include "sys/clock.h"
#include "text/quantity.h"

#define OURS FLEET_LABEL_MANAGED "=" FLEET_MANAGER

struct member_watch {
	struct member *member;
	const struct kind *kind; /* NULL: ConfigMaps, Secrets, service accounts */
	struct client_informer *informer;
};

/* ---- nodes ---- */

static void free_str(struct str s)
{
	union {
		const char *in;
		char *out;
	} u = { .in = s.p };
	mem_free(u.out);
}

static void node_free(struct member_node *n)
{
	if (!n)
		return;
	free_str(n->zone);
	free_str(n->network_az);
	mem_free(n);
}

static struct str copied(const struct json *j)
{
	struct str s = json_str(j);
	return str_n(mem_strndup(s.p, s.len), s.len);
}

static int64_t quantity_of(const struct json *list, const char *name, bool milli)
{
	struct quantity q;
	struct arena a = { 0 };
	const struct json *j = json_getc(list, name);
	struct str text = j && !json_is(j, JSON_STRING) ? json_text(&a, j) : json_str(j);
	int64_t v = 0;
	if (text.len && quantity_parse(text, &q, NULL) == 0)
		v = milli ? quantity_milli(q) : quantity_value(q);
	arena_fini(&a);
	return v;
}

static bool node_is_ready(const struct json *obj)
{
	const struct json *list = json_dig(obj, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), "Ready"))
			return str_is(json_str(json_getc(json_at(list, i), "status")), "True");
	return false;
}

static void on_node(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct member *m = arg;
	const struct json *labels = json_dig(obj, "metadata", "labels", NULL);
	const struct json *alloc = json_dig(obj, "status", "allocatable", NULL);
	const struct json *cap = json_dig(obj, "status", "capacity", NULL);
	struct member_node *n = mem_new(struct member_node, 1);
	n->ready = node_is_ready(obj);
	n->zone = copied(json_getc(labels, "topology.kubernetes.io/zone"));
	n->network_az = copied(json_getc(labels, "topology.rctl.io/network-az"));
	n->cpu_milli = quantity_of(alloc, "cpu", true);
	n->memory = quantity_of(alloc, "memory", false);
	n->pods = quantity_of(alloc, "pods", false);
	n->cap_cpu_milli = quantity_of(cap, "cpu", true);
	n->cap_memory = quantity_of(cap, "memory", false);
	n->cap_pods = quantity_of(cap, "pods", false);
	node_free(map_set(&m->nodes, key, n));
	ctl_add_after(m->fleet->clusters, str_of(m->name), 200);
	member_judge(m);
}

static void on_node_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct member *m = arg;
	node_free(map_del(&m->nodes, key));
	ctl_add_after(m->fleet->clusters, str_of(m->name), 200);
	member_judge(m);
}

static void drop_values(struct map *m, bool nodes)
{
	size_t pos = 0;
	void *v = NULL;
	uint64_t seed = m->seed;
	while (map_next(m, &pos, NULL, &v)) {
		if (nodes)
			node_free(v);
		else
			mem_free(v);
	}
	map_fini(m);
	map_init(m, seed);
}

/* ---- pods: what they request, when some Placement goes by free resources ---- */

static void on_pod(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct member *m = arg;
	struct str phase = json_str(json_dig(obj, "status", "phase", NULL));
	const struct json *list = json_dig(obj, "spec", "containers", NULL);
	if (str_is(phase, "Succeeded") || str_is(phase, "Failed")) {
		mem_free(map_del(&m->pods, key));
		return;
	}
	struct member_pod *p = mem_new(struct member_pod, 1);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *r = json_dig(json_at(list, i), "resources", "requests", NULL);
		p->cpu_milli += quantity_of(r, "cpu", true);
		p->memory += quantity_of(r, "memory", false);
	}
	mem_free(map_set(&m->pods, key, p));
}

static void on_pod_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct member *m = arg;
	mem_free(map_del(&m->pods, key));
}

void member_watch_pods(struct member *m, bool on)
{
	if (on == (m->i_pods != NULL) || !m->watching)
		return;
	if (on) {
		m->i_pods = ctl_watch(m->fleet->cfg.ctl, m->client,
				      &(struct client_informer_config){ .path = "/api/v1/pods",
									.on_set = on_pod,
									.on_delete = on_pod_delete,
									.arg = m },
				      false);
	} else {
		fleet_unwatch(m->fleet, m->i_pods);
		m->i_pods = NULL;
		drop_values(&m->pods, false);
	}
}

/* ---- copies ---- */

static void tell(struct member_watch *w, struct str key)
{
	if (w->kind)
		fleet_copy_changed(w->member->fleet, w->member, w->kind, key);
	else
		fleet_dep_changed(w->member->fleet, w->member, key);
}

static void on_copy(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	tell(arg, key);
}

static void on_copy_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	tell(arg, key);
}

static void on_copies_synced(void *arg)
{
	struct member_watch *w = arg;
	fleet_add_all(w->member->fleet);
	member_judge(w->member);
}

static void on_copies_contact(void *arg, bool ok, const struct error *err)
{
	struct member_watch *w = arg;
	if (!ok && !client_informer_synced(w->informer))
		member_note(w->member, err);
}

static struct member_watch *watch_copies(struct member *m, const struct kind *k, const char *path)
{
	struct member_watch *w = mem_new(struct member_watch, 1);
	w->member = m;
	w->kind = k;
	w->informer = ctl_watch(m->fleet->cfg.ctl, m->client,
				&(struct client_informer_config){ .path = path,
								  .label_selector = OURS,
								  .on_set = on_copy,
								  .on_delete = on_copy_delete,
								  .on_synced = on_copies_synced,
								  .on_contact = on_copies_contact,
								  .arg = w,
								  .keep_text = true },
				false);
	return w;
}

static struct member_watch *unwatch_copies(struct member *m, struct member_watch *w)
{
	if (w) {
		fleet_unwatch(m->fleet, w->informer);
		mem_free(w);
	}
	return NULL;
}

void member_add_kind(struct member *m, const struct kind *k)
{
	if (!m->watching || m->watches[k->index] || (k->native && !m->native))
		return;
	struct arena a = { 0 };
	m->watches[k->index] = watch_copies(m, k, arena_printf(&a, "%s/%s", k->base, k->plural));
	m->kinds[k->index] = m->watches[k->index]->informer;
	arena_fini(&a);
}

struct client_informer *member_secrets(struct member *m, struct str ns)
{
	if (!m->watching)
		return NULL;
	struct member_watch *w = map_get(&m->secrets, ns);
	if (!w) {
		struct arena a = { 0 };
		w = watch_copies(m, NULL,
				 arena_printf(&a, "/api/v1/namespaces/%.*s/secrets", STR_ARG(ns)));
		(void)map_set(&m->secrets, ns, w);
		arena_fini(&a);
	}
	return w->informer;
}

/* ---- all of it ---- */

static void on_namespace(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	struct member *m = arg;
	fleet_add_in_namespace(m->fleet, key);
	ctl_add(m->fleet->namespaces, key);
}

static void on_namespace_delete(void *arg, struct str key, struct str last)
{
	on_namespace(arg, key, NULL, last);
}

static void on_synced(void *arg)
{
	member_judge(arg);
}

static void on_contact(void *arg, bool ok, const struct error *err)
{
	struct member *m = arg;
	if (!ok && !m->was_up)
		member_note(m, err);
}

void member_watch(struct member *m)
{
	struct ctl *ctl = m->fleet->cfg.ctl;
	m->watching = true;
	m->i_nodes = ctl_watch(ctl, m->client,
			       &(struct client_informer_config){ .path = "/api/v1/nodes",
								 .on_set = on_node,
								 .on_delete = on_node_delete,
								 .on_synced = on_synced,
								 .on_contact = on_contact,
								 .arg = m },
			       false);
	m->i_namespaces =
		ctl_watch(ctl, m->client,
			  &(struct client_informer_config){ .path = "/api/v1/namespaces",
							    .on_set = on_namespace,
							    .on_delete = on_namespace_delete,
							    .on_synced = on_synced,
							    .on_contact = on_contact,
							    .arg = m,
							    .keep_text = true },
			  false);
	m->dep_watches[REF_CONFIG_MAP] = watch_copies(m, NULL, "/api/v1/configmaps");
	m->dep_watches[REF_SERVICE_ACCOUNT] = watch_copies(m, NULL, "/api/v1/serviceaccounts");
	m->deps[REF_CONFIG_MAP] = m->dep_watches[REF_CONFIG_MAP]->informer;
	m->deps[REF_SERVICE_ACCOUNT] = m->dep_watches[REF_SERVICE_ACCOUNT]->informer;
	for (size_t i = 0; i < m->fleet->kinds_len; i++)
		member_add_kind(m, &m->fleet->kinds[i]);
	member_watch_pods(m, m->fleet->by_capacity);
}

void member_unwatch(struct member *m)
{
	if (!m->watching)
		return;
	member_watch_pods(m, false);
	m->watching = false;
	fleet_unwatch(m->fleet, m->i_nodes);
	fleet_unwatch(m->fleet, m->i_namespaces);
	m->i_nodes = m->i_namespaces = NULL;
	for (size_t i = 0; i < REF_KINDS; i++) {
		m->dep_watches[i] = unwatch_copies(m, m->dep_watches[i]);
		m->deps[i] = NULL;
	}
	for (size_t i = 0; i < FLEET_KINDS_MAX; i++) {
		m->watches[i] = unwatch_copies(m, m->watches[i]);
		m->kinds[i] = NULL;
	}
	size_t pos = 0;
	void *v = NULL;
	uint64_t seed = m->secrets.seed;
	while (map_next(&m->secrets, &pos, NULL, &v))
		(void)unwatch_copies(m, v);
	map_fini(&m->secrets);
	map_init(&m->secrets, seed);
	drop_values(&m->nodes, true);
}
