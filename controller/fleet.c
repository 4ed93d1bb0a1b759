#include "fleet.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "member.h"
#include "object.h"
#include "sys/clock.h"

#include <stdlib.h>

enum { DISCOVER_MS = 30000, SWEEP_MS = 3000, STATUS_MS = 100 };

struct secrets { /* Secrets of one namespace of the global API */
	struct fleet *fleet;
	char *ns;
	struct client_informer *informer;
};

void fleet_unwatch(struct fleet *f, struct client_informer *i)
{
	if (i && f->cfg.ctl)
		ctl_unwatch(f->cfg.ctl, i);
}

/* ---- paths and keys ---- */

static const struct {
	const char *plural, *name;
} ref_kinds[REF_KINDS] = {
	[REF_CONFIG_MAP] = { "configmaps", "ConfigMap" },
	[REF_SECRET] = { "secrets", "Secret" },
	[REF_SERVICE_ACCOUNT] = { "serviceaccounts", "ServiceAccount" },
};

const char *fleet_ref_plural(enum ref_kind k)
{
	return ref_kinds[k].plural;
}

const char *fleet_ref_name(enum ref_kind k)
{
	return ref_kinds[k].name;
}

const char *fleet_path(struct arena *a, const char *base, const char *plural, struct str ns,
		       struct str name)
{
	return arena_printf(a, "%s/namespaces/%.*s/%s/%.*s", base, STR_ARG(ns), plural,
			    STR_ARG(name));
}

const char *fleet_kind_path(struct arena *a, const struct kind *k, struct str ns, struct str name)
{
	return fleet_path(a, k->base, k->plural, ns, name);
}

struct str fleet_workload_key(struct arena *a, const struct kind *k, struct str object_key)
{
	return arena_strf(a, "%s.%s %.*s", k->name, k->api_version, STR_ARG(object_key));
}

struct kind *fleet_workload_of(struct fleet *f, struct str key, struct str *ret_object_key)
{
	ptrdiff_t blank = str_find(key, ' ', 0);
	ptrdiff_t dot = str_find(key, '.', 0);
	if (blank < 0 || dot < 0 || dot > blank)
		return NULL;
	*ret_object_key = str_sub(key, (size_t)blank + 1, key.len);
	return fleet_kind(f, str_sub(key, (size_t)dot + 1, (size_t)blank),
			  str_sub(key, 0, (size_t)dot));
}

struct kind *fleet_kind(struct fleet *f, struct str api_version, struct str name)
{
	for (size_t i = 0; i < f->kinds_len; i++)
		if (str_is(api_version, f->kinds[i].api_version) && str_is(name, f->kinds[i].name))
			return &f->kinds[i];
	return NULL;
}

/* ---- objects ---- */

struct json *fleet_read(struct arena *a, const struct client_informer *i, struct str key)
{
	struct str text = client_informer_get(i, key);
	struct json *obj = arena_new(a, struct json, 1);
	if (!text.p || json_parse(a, arena_str(a, text), NULL, obj, NULL) != 0)
		return NULL;
	return obj;
}

static void on_secret(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)key;
	(void)obj;
	(void)text;
	const struct secrets *s = arg;
	fleet_add_in_namespace(s->fleet, str_of(s->ns));
}

static void on_secret_delete(void *arg, struct str key, struct str last)
{
	on_secret(arg, key, NULL, last);
}

static void on_secrets_synced(void *arg)
{
	on_secret(arg, STR_NONE, NULL, STR_NONE);
}

static struct client_informer *secrets_of(struct fleet *f, struct str ns)
{
	struct secrets *s = map_get(&f->secrets, ns);
	if (s)
		return s->informer;
	struct arena a = { 0 };
	s = mem_new(struct secrets, 1);
	s->fleet = f;
	s->ns = mem_strndup(ns.p, ns.len);
	(void)map_set(&f->secrets, ns, s);
	const struct client_informer_config cfg = {
		.path = arena_printf(&a, "/api/v1/namespaces/%s/secrets", s->ns),
		.on_set = on_secret,
		.on_delete = on_secret_delete,
		.on_synced = on_secrets_synced,
		.arg = s,
		.keep_text = true,
	};
	s->informer = ctl_watch(f->cfg.ctl, f->cfg.client, &cfg, false);
	arena_fini(&a);
	return s->informer;
}

struct json *fleet_read_ref(struct arena *a, struct fleet *f, struct str ns, const struct ref *r,
			    bool *known)
{
	struct client_informer *i = r->kind == REF_SECRET ? secrets_of(f, ns) : f->deps[r->kind];
	*known = client_informer_synced(i);
	return fleet_read(a, i, arena_strf(a, "%.*s/%.*s", STR_ARG(ns), STR_ARG(r->name)));
}

/* ---- Placements ---- */

struct placement *fleet_placement(struct fleet *f, struct str key)
{
	return map_get(&f->placements, key);
}

static bool is_older(const struct placement *a, const struct placement *b)
{
	int c = str_cmp(a->created, b->created);
	return c ? c < 0 : str_cmp(a->name, b->name) < 0;
}

struct placement *fleet_placement_of(struct fleet *f, const struct kind *k, const struct json *obj)
{
	const struct json *meta = json_getc(obj, "metadata");
	struct str ns = json_str(json_getc(meta, "namespace"));
	struct str name = json_str(json_getc(meta, "name"));
	struct placement *found = NULL;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&f->placements, &pos, NULL, &v)) {
		struct placement *p = v;
		if (p->deleting || p->bad.len || !str_eq(p->ns, ns) ||
		    !spec_selects(&p->spec, str_of(k->api_version), str_of(k->name), name,
				  json_getc(meta, "labels")))
			continue;
		if (!found || is_older(p, found))
			found = p;
	}
	return found;
}

struct each_target {
	const struct placement *p;
	const struct kind *k;
	void (*fn)(void *arg, const struct kind *k, struct str object_key);
	void *arg;
};

static void try_target(void *arg, struct str key, struct str text)
{
	const struct each_target *e = arg;
	ptrdiff_t slash = str_find(key, '/', 0);
	if (slash < 0 || !str_eq(str_sub(key, 0, (size_t)slash), e->p->ns))
		return;
	struct arena a = { 0 };
	struct json obj;
	if (json_parse(&a, text, NULL, &obj, NULL) == 0 &&
	    spec_selects(&e->p->spec, str_of(e->k->api_version), str_of(e->k->name),
			 str_sub(key, (size_t)slash + 1, key.len),
			 json_dig(&obj, "metadata", "labels", NULL)))
		e->fn(e->arg, e->k, key);
	arena_fini(&a);
}

void fleet_each_target(struct fleet *f, const struct placement *p,
		       void (*fn)(void *arg, const struct kind *k, struct str object_key),
		       void *arg)
{
	for (size_t i = 0; i < f->kinds_len; i++) {
		struct each_target e = { p, &f->kinds[i], fn, arg };
		if (!f->kinds[i].broadcast)
			client_informer_each(f->kinds[i].global, try_target, &e);
	}
}

/* ---- what changed ---- */

struct adder {
	struct fleet *fleet;
	const struct kind *kind;
	struct str ns; /* "" = all */
};

static void add_workload(const struct adder *x, struct str key)
{
	struct arena a = { 0 };
	ctl_add(x->fleet->workloads, fleet_workload_key(&a, x->kind, key));
	arena_fini(&a);
}

static void add_one(void *arg, struct str key, struct str text)
{
	(void)text;
	const struct adder *x = arg;
	if (x->ns.len &&
	    !(str_starts(key, x->ns) && key.len > x->ns.len && key.p[x->ns.len] == '/'))
		return;
	add_workload(x, key);
}

void fleet_add_in_namespace(struct fleet *f, struct str ns)
{
	for (size_t i = 0; i < f->kinds_len; i++) {
		struct adder x = { f, &f->kinds[i], ns };
		client_informer_each(f->kinds[i].global, add_one, &x);
	}
}

void fleet_add_all(struct fleet *f)
{
	fleet_add_in_namespace(f, STR(""));
}

static void add_namespace(void *arg, struct str key, struct str text)
{
	(void)text;
	struct fleet *f = arg;
	ctl_add(f->namespaces, key);
}

void fleet_member_changed(struct fleet *f, struct member *m)
{
	ctl_add(f->clusters, str_of(m->name));
	fleet_add_all(f);
	client_informer_each(f->i_namespaces, add_namespace, f);
}

static void add_sweep(struct fleet *f, const struct member *m, struct str object_key)
{
	struct arena a = { 0 };
	ptrdiff_t slash = str_find(object_key, '/', 0);
	if (slash > 0)
		ctl_add_after(f->sweeps,
			      arena_strf(&a, "%s %.*s", m->name,
					 STR_ARG(str_sub(object_key, 0, (size_t)slash))),
			      SWEEP_MS);
	arena_fini(&a);
}

void fleet_copy_changed(struct fleet *f, struct member *m, const struct kind *k,
			struct str object_key)
{
	struct adder x = { f, k, STR_NONE };
	add_workload(&x, object_key);
	add_sweep(f, m, object_key);
	ctl_add_after(f->clusters, str_of(m->name), 200); /* tombstones */
}

void fleet_dep_changed(struct fleet *f, struct member *m, struct str object_key)
{
	ptrdiff_t slash = str_find(object_key, '/', 0);
	if (slash > 0)
		fleet_add_in_namespace(f, str_sub(object_key, 0, (size_t)slash));
	add_sweep(f, m, object_key);
}

/* ---- troubles ---- */

static struct str trouble_key(struct arena *a, struct str cluster, struct str workload)
{
	return arena_strf(a, "%.*s %.*s", STR_ARG(cluster), STR_ARG(workload));
}

struct str fleet_trouble(const struct fleet *f, struct str cluster, struct str workload)
{
	struct arena a = { 0 };
	struct str s = str_of(map_get(&f->troubles, trouble_key(&a, cluster, workload)));
	arena_fini(&a);
	return s;
}

void fleet_set_trouble(struct fleet *f, struct str cluster, struct str workload, const char *text)
{
	struct arena a = { 0 };
	struct str key = trouble_key(&a, cluster, workload);
	if (text)
		mem_free(map_set(&f->troubles, key, mem_strdup(text)));
	else
		mem_free(map_del(&f->troubles, key));
	arena_fini(&a);
}

uint64_t fleet_doubt(const struct fleet *f, struct str cluster, struct str workload)
{
	struct arena a = { 0 };
	const uint64_t *since = map_get(&f->doubts, trouble_key(&a, cluster, workload));
	arena_fini(&a);
	return since ? *since : 0;
}

void fleet_set_doubt(struct fleet *f, struct str cluster, struct str workload, bool on)
{
	struct arena a = { 0 };
	struct str key = trouble_key(&a, cluster, workload);
	uint64_t *since = on ? mem_new(uint64_t, 1) : NULL;
	if (on) {
		*since = loop_now_ms(f->cfg.loop);
		mem_free(map_set(&f->doubts, key, since));
	} else {
		mem_free(map_del(&f->doubts, key));
	}
	arena_fini(&a);
}

/* ---- informers of the global API ---- */

static void on_workload(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	struct kind *k = arg;
	const struct adder x = { k->fleet, k, STR_NONE };
	add_workload(&x, key);
}

static void on_workload_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct kind *k = arg;
	struct arena a = { 0 };
	struct str wk = fleet_workload_key(&a, k, key);
	struct outcome *o = map_del(&k->fleet->outcomes, wk);
	if (o) {
		if (o->placement.len)
			ctl_add_after(k->fleet->status, o->placement, STATUS_MS);
		arena_fini(&o->arena);
		mem_free(o);
	}
	size_t pos = 0;
	struct str name;
	void *v = NULL;
	while (map_next(&k->fleet->members, &pos, &name, &v)) {
		fleet_set_trouble(k->fleet, name, wk, NULL);
		fleet_set_doubt(k->fleet, name, wk, false);
		add_sweep(k->fleet, v, key);
	}
	arena_fini(&a);
}

static void on_kind_synced(void *arg)
{
	struct kind *k = arg;
	k->synced = true;
	size_t pos = 0;
	struct str key;
	while (map_next(&k->fleet->placements, &pos, &key, NULL))
		ctl_add_after(k->fleet->status, key, STATUS_MS);
}

static struct kind *add_kind(struct fleet *f, const struct kind *like, bool required)
{
	struct kind *k = &f->kinds[f->kinds_len];
	*k = *like;
	k->fleet = f;
	k->index = f->kinds_len++;
	struct arena a = { 0 };
	const struct client_informer_config cfg = {
		.path = arena_printf(&a, "%s/%s", k->base, k->plural),
		.on_set = on_workload,
		.on_delete = on_workload_delete,
		.on_synced = on_kind_synced,
		.arg = k,
		.keep_text = true,
	};
	k->global = ctl_watch(f->cfg.ctl, f->cfg.client, &cfg, required);
	arena_fini(&a);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&f->members, &pos, NULL, &v))
		member_add_kind(v, k);
	return k;
}

/* ---- kinds that Placements name ---- */

static void take_kind(struct fleet *f, const struct client_discovery *d,
		      const struct spec_target *t)
{
	const struct client_resource *r = client_discovery_find_gvk(d, t->api_version, t->kind);
	if (!r || !r->namespaced || f->kinds_len == FLEET_KINDS_MAX ||
	    fleet_kind(f, t->api_version, t->kind))
		return;
	struct arena a = { 0 };
	const struct kind like = {
		.api_version = mem_strndup(t->api_version.p, t->api_version.len),
		.name = mem_strndup(t->kind.p, t->kind.len),
		.base = mem_strdup(
			r->group.len ? arena_printf(&a, "/apis/%.*s", STR_ARG(t->api_version))
				     : arena_printf(&a, "/api/%.*s", STR_ARG(t->api_version))),
		.plural = mem_strndup(r->plural.p, r->plural.len),
		.has_status = r->has_status,
	};
	arena_fini(&a);
	(void)add_kind(f, &like, false);
}

static void on_discovered(void *arg, struct client_discovery *d, const struct error *err)
{
	struct fleet *f = arg;
	f->discovering = false;
	if (err)
		return;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&f->placements, &pos, NULL, &v)) {
		const struct placement *p = v;
		for (size_t i = 0; i < p->spec.targets_len; i++)
			take_kind(f, d, &p->spec.targets[i]);
	}
	(void)client_discovery_free(d);
}

void fleet_need_kinds(struct fleet *f, const struct placement *p)
{
	uint64_t now = loop_now_ms(f->cfg.loop);
	for (size_t i = 0; i < p->spec.targets_len; i++) {
		if (fleet_kind(f, p->spec.targets[i].api_version, p->spec.targets[i].kind))
			continue;
		if (f->discovering || (f->discovered_ms && now - f->discovered_ms < DISCOVER_MS))
			return;
		f->discovering = true;
		f->discovered_ms = now;
		client_discover(f->cfg.client, on_discovered, f);
		return;
	}
}

/* ---- Placements and Clusters ---- */

static void placement_free(struct placement *p)
{
	if (!p)
		return;
	arena_fini(&p->arena);
	mem_free(p);
}

static void add_target(void *arg, const struct kind *k, struct str key)
{
	const struct adder x = { arg, k, STR_NONE };
	add_workload(&x, key);
}

static void watch_pods_where_needed(struct fleet *f)
{
	bool wanted = false;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&f->placements, &pos, NULL, &v))
		wanted |= ((const struct placement *)v)->spec.place.by_capacity;
	f->by_capacity = wanted;
	pos = 0;
	while (map_next(&f->members, &pos, NULL, &v))
		member_watch_pods(v, wanted);
}

static void on_placement(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct fleet *f = arg;
	const struct json *meta = json_getc(obj, "metadata");
	struct placement *p = mem_new(struct placement, 1);
	struct error err = { 0 };
	p->key = arena_str(&p->arena, key);
	p->ns = arena_str(&p->arena, json_str(json_getc(meta, "namespace")));
	p->name = arena_str(&p->arena, json_str(json_getc(meta, "name")));
	p->uid = arena_str(&p->arena, json_str(json_getc(meta, "uid")));
	p->created = arena_str(&p->arena, json_str(json_getc(meta, "creationTimestamp")));
	p->generation = json_i64(json_getc(meta, "generation"), 0);
	p->deleting = object_is_deleting(obj);
	p->has_finalizer = object_has_finalizer(obj);
	if (spec_read_placement(&p->arena, obj, &p->spec, &err) != 0)
		p->bad = arena_str(&p->arena, str_of(err.msg));
	struct placement *old = map_set(&f->placements, key, p);
	if (old) /* what it let go of has to be looked at too */
		fleet_each_target(f, old, add_target, f);
	placement_free(old);
	fleet_each_target(f, p, add_target, f);
	watch_pods_where_needed(f);
	ctl_add_after(f->status, key, STATUS_MS);
}

static void on_placement_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct fleet *f = arg;
	struct placement *p = map_del(&f->placements, key);
	if (!p)
		return;
	fleet_each_target(f, p, add_target, f);
	placement_free(p);
	watch_pods_where_needed(f);
}

static void on_cluster(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)text;
	struct fleet *f = arg;
	struct member *m = map_get(&f->members, key);
	if (!m) {
		m = member_new(f, key);
		(void)map_set(&f->members, key, m);
	}
	struct arena a = { 0 };
	/* our own status updates must not wake every workload */
	struct json before = json_object();
	struct str old = m->seen_spec;
	(void)json_setc(&a, &before, "l",
			json_dig(obj, "metadata", "labels", NULL)
				? *json_dig(obj, "metadata", "labels", NULL)
				: json_object());
	if (json_getc(obj, "spec"))
		(void)json_setc(&a, &before, "s", *json_getc(obj, "spec"));
	struct str now = json_text(&a, &before);
	bool same = str_eq(old, now);
	member_update(m, obj);
	m->seen_spec = arena_str(&m->arena, now);
	arena_fini(&a);
	ctl_add(f->clusters, key);
	if (!same)
		fleet_add_all(f);
}

static void on_cluster_delete(void *arg, struct str key, struct str last)
{
	(void)last;
	struct fleet *f = arg;
	struct member *m = map_get(&f->members, key);
	if (!m)
		return;
	struct arena a = { 0 };
	ctl_add(f->topology, arena_strf(&a, "region/%.*s", STR_ARG(m->spec.region)));
	arena_fini(&a);
	(void)map_del(&f->members, key);
	member_retire(m);
	fleet_add_all(f);
}

/* ---- the rest of the global API ---- */

static void on_namespace(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	struct fleet *f = arg;
	ctl_add(f->namespaces, key);
	fleet_add_in_namespace(f, key);
}

static void on_dep(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	ptrdiff_t slash = str_find(key, '/', 0);
	if (slash > 0)
		fleet_add_in_namespace(arg, str_sub(key, 0, (size_t)slash));
}

static void on_dep_delete(void *arg, struct str key, struct str last)
{
	on_dep(arg, key, NULL, last);
}

static void on_region(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	struct fleet *f = arg;
	struct arena a = { 0 };
	ctl_add(f->topology, arena_strf(&a, "region/%.*s", STR_ARG(key)));
	arena_fini(&a);
}

static void on_zone(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)obj;
	(void)text;
	struct fleet *f = arg;
	struct arena a = { 0 };
	ctl_add(f->topology, arena_strf(&a, "zone/%.*s", STR_ARG(key)));
	arena_fini(&a);
}

static struct client_informer *watch(struct fleet *f, const char *path,
				     void (*set)(void *, struct str, const struct json *,
						 struct str),
				     void (*del)(void *, struct str, struct str))
{
	const struct client_informer_config cfg = {
		.path = path, .on_set = set, .on_delete = del, .arg = f, .keep_text = true
	};
	return ctl_watch(f->cfg.ctl, f->cfg.client, &cfg, true);
}

static struct ctl_queue *queue(struct fleet *f, const char *name,
			       void (*fn)(void *, struct ctl_queue *, struct str),
			       uint32_t parallel)
{
	const struct ctl_queue_config cfg = {
		.name = name, .reconcile = fn, .arg = f, .parallel = parallel
	};
	return ctl_queue_new(f->cfg.ctl, &cfg);
}

#define MONITORING "monitoring.rctl.io/v1alpha1"

static const struct kind builtin[] = {
	{ .api_version = "apps/v1",
	  .name = "Deployment",
	  .base = "/apis/apps/v1",
	  .plural = "deployments",
	  .has_status = true },
	{ .api_version = MONITORING,
	  .name = "AlertRule",
	  .base = "/apis/" MONITORING,
	  .plural = "alertrules",
	  .broadcast = true,
	  .native = true },
	{ .api_version = "monitoring.coreos.com/v1",
	  .name = "PrometheusRule",
	  .base = "/apis/monitoring.coreos.com/v1",
	  .plural = "prometheusrules",
	  .broadcast = true,
	  .native = true },
	{ .api_version = MONITORING,
	  .name = "AlertReceiver",
	  .base = "/apis/" MONITORING,
	  .plural = "alertreceivers",
	  .broadcast = true,
	  .native = true },
	{ .api_version = MONITORING,
	  .name = "Silence",
	  .base = "/apis/" MONITORING,
	  .plural = "silences",
	  .broadcast = true,
	  .native = true },
};

struct fleet *fleet_new(const struct fleet_config *cfg)
{
	struct fleet *f = mem_new(struct fleet, 1);
	f->cfg = *cfg;
	job_list_init(&f->jobs);
	list_init(&f->retired);
	struct map *maps[] = { &f->secrets,  &f->placements, &f->members,
			       &f->outcomes, &f->troubles,   &f->doubts };
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		map_init(maps[i], clock_random_u64());
	f->workloads = queue(f, "workloads", workload_reconcile, 16);
	f->status = queue(f, "placements", status_reconcile, 8);
	f->clusters = queue(f, "clusters", cluster_reconcile, 8);
	f->sweeps = queue(f, "sweeps", sweep_reconcile, 4);
	f->topology = queue(f, "topology", topology_reconcile, 4);
	f->namespaces = queue(f, "namespaces", namespace_reconcile, 4);
	f->i_clusters =
		watch(f, "/apis/topology.rctl.io/v1alpha1/clusters", on_cluster, on_cluster_delete);
	f->i_regions = watch(f, "/apis/topology.rctl.io/v1alpha1/regions", on_region, NULL);
	f->i_zones = watch(f, "/apis/topology.rctl.io/v1alpha1/zones", on_zone, NULL);
	f->i_namespaces = watch(f, "/api/v1/namespaces", on_namespace, NULL);
	f->deps[REF_CONFIG_MAP] = watch(f, "/api/v1/configmaps", on_dep, on_dep_delete);
	f->deps[REF_SERVICE_ACCOUNT] = watch(f, "/api/v1/serviceaccounts", on_dep, on_dep_delete);
	for (size_t i = 0; i < sizeof(builtin) / sizeof(*builtin); i++)
		(void)add_kind(f, &builtin[i], true);
	f->i_placements = watch(f, "/apis/fleet.rctl.io/v1alpha1/placements", on_placement,
				on_placement_delete);
	return f;
}

static void free_text(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = { .in = s };
	mem_free(u.out);
}

static void free_maps(struct fleet *f)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&f->members, &pos, NULL, &v))
		(void)member_free(v);
	pos = 0;
	while (map_next(&f->placements, &pos, NULL, &v))
		placement_free(v);
	pos = 0;
	while (map_next(&f->outcomes, &pos, NULL, &v)) {
		arena_fini(&((struct outcome *)v)->arena);
		mem_free(v);
	}
	pos = 0;
	while (map_next(&f->troubles, &pos, NULL, &v))
		mem_free(v);
	pos = 0;
	while (map_next(&f->secrets, &pos, NULL, &v)) {
		mem_free(((struct secrets *)v)->ns);
		mem_free(v);
	}
	map_fini(&f->members);
	map_fini(&f->placements);
	map_fini(&f->outcomes);
	pos = 0;
	while (map_next(&f->doubts, &pos, NULL, &v))
		mem_free(v);
	map_fini(&f->troubles);
	map_fini(&f->doubts);
	map_fini(&f->secrets);
}

struct fleet *fleet_free(struct fleet *f)
{
	if (!f)
		return NULL;
	f->cfg.ctl = NULL;
	job_list_fini(&f->jobs);
	list_for_each(it, &f->retired)(void) member_free(list_entry(it, struct member, link));
	free_maps(f);
	for (size_t i = sizeof(builtin) / sizeof(*builtin); i < f->kinds_len; i++) {
		free_text(f->kinds[i].api_version);
		free_text(f->kinds[i].name);
		free_text(f->kinds[i].base);
		free_text(f->kinds[i].plural);
	}
	mem_free(f);
	return NULL;
}
