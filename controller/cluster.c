/* Clusters: their status, and the tombstones that are to be worked off there. */
#include "base/buf.h"
#include "base/mem.h"
#include "conditions.h"
#include "fleet.h"
#include "manifest.h"
#include "member.h"
#include "names.h"
#include "object.h"
#include "records.h"
#include "sys/clock.h"
#include "text/quantity.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SEEN_S = 60, ZONES_MAX = 256 };

#define CLUSTERS_PATH "/apis/topology.rctl.io/v1alpha1/clusters/"

struct turn {
	struct fleet *fleet;
	struct job *job;
	struct arena *arena;
	struct member *m;
	struct json *obj;
	enum place_contact contact;
};

static struct job_effect to_cluster(struct turn *t, const char *sub)
{
	return (struct job_effect){ .client = t->fleet->cfg.client,
				    .seen_by = t->fleet->i_clusters,
				    .path = arena_printf(t->arena, CLUSTERS_PATH "%s%s", t->m->name,
							 sub) };
}

/* ---- what the nodes say ---- */

static struct json quantity_json(struct turn *t, int64_t v, bool milli, enum quantity_format f)
{
	struct buf b = { 0 };
	quantity_write(&b, milli ? quantity_of_milli(v, f) : quantity_of_value(v, f));
	struct json j = json_of_str(arena_str(t->arena, buf_str(&b)));
	buf_fini(&b);
	return j;
}

static void set_resources(struct turn *t, struct json *status, const char *name, int64_t cpu,
			  int64_t memory, int64_t pods)
{
	struct json *r = json_setc(t->arena, status, name, json_object());
	(void)json_setc(t->arena, r, "cpu", quantity_json(t, cpu, true, QUANTITY_DECIMAL_SI));
	(void)json_setc(t->arena, r, "memory", quantity_json(t, memory, false, QUANTITY_BINARY_SI));
	(void)json_setc(t->arena, r, "pods", quantity_json(t, pods, false, QUANTITY_DECIMAL_SI));
}

struct zone {
	const char *axis;
	struct str name;
	int64_t nodes, ready;
};

static size_t count_zone(struct zone *z, size_t n, const char *axis, struct str name, bool ready)
{
	size_t i = 0;
	while (i < n && !(str_eq(z[i].name, name) && strcmp(z[i].axis, axis) == 0))
		i++;
	if (!name.len || i == ZONES_MAX)
		return n;
	if (i == n)
		z[n++] = (struct zone){ .axis = axis, .name = name };
	z[i].nodes++;
	z[i].ready += ready;
	return n;
}

static int by_zone(const void *pa, const void *pb)
{
	const struct zone *a = pa;
	const struct zone *b = pb;
	int c = strcmp(a->axis, b->axis);
	return c ? c : str_cmp(a->name, b->name);
}

static void set_zones(struct turn *t, struct json *status, struct zone *z, size_t n)
{
	struct json *list = json_setc(t->arena, status, "zones", json_array());
	if (n > 1)
		qsort(z, n, sizeof(*z), by_zone);
	for (size_t i = 0; i < n; i++) {
		struct json *j = json_push(t->arena, list, json_object());
		(void)json_setc(t->arena, j, "axis", json_of_cstr(z[i].axis));
		(void)json_setc(t->arena, j, "name", json_of_str(z[i].name));
		(void)json_setc(t->arena, j, "nodes", json_of_i64(z[i].nodes));
		(void)json_setc(t->arena, j, "readyNodes", json_of_i64(z[i].ready));
	}
}

static void set_nodes(struct turn *t, struct json *status)
{
	int64_t nodes = 0;
	int64_t ready = 0;
	struct member_node all = { 0 };
	struct member_node up = { 0 };
	struct zone *zones = arena_new(t->arena, struct zone, ZONES_MAX);
	size_t zones_len = 0;
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&t->m->nodes, &pos, NULL, &v)) {
		const struct member_node *n = v;
		nodes++;
		ready += n->ready;
		all.cpu_milli += n->cap_cpu_milli;
		all.memory += n->cap_memory;
		all.pods += n->cap_pods;
		up.cpu_milli += n->ready ? n->cpu_milli : 0;
		up.memory += n->ready ? n->memory : 0;
		up.pods += n->ready ? n->pods : 0;
		zones_len = count_zone(zones, zones_len, "node", n->zone, n->ready);
		zones_len = count_zone(zones, zones_len, "network", n->network_az, n->ready);
	}
	(void)json_setc(t->arena, status, "nodes", json_of_i64(nodes));
	(void)json_setc(t->arena, status, "readyNodes", json_of_i64(ready));
	set_resources(t, status, "capacity", all.cpu_milli, all.memory, all.pods);
	set_resources(t, status, "allocatable", up.cpu_milli, up.memory, up.pods);
	set_zones(t, status, zones, zones_len);
	if (!t->m->i_pods)
		return;
	int64_t cpu = 0;
	int64_t memory = 0;
	pos = 0;
	while (map_next(&t->m->pods, &pos, NULL, &v)) {
		cpu += ((const struct member_pod *)v)->cpu_milli;
		memory += ((const struct member_pod *)v)->memory;
	}
	set_resources(t, status, "requested", cpu, memory, (int64_t)t->m->pods.len);
}

/* ---- status ---- */

static void set_conditions(struct turn *t, struct json *status, const struct json *old)
{
	bool up = t->contact == PLACE_UP;
	bool well = up && member_is_well(t->m);
	struct str why = str_of(t->m->trouble);
	struct conditions list = { .arena = t->arena,
				   .old = json_getc(old, "conditions"),
				   .now_s = clock_unix_ms() / 1000 };
	int64_t generation = json_i64(json_dig(t->obj, "metadata", "generation", NULL), 0);
	conditions_add(&list,
		       (struct condition){ .type = "Reachable",
					   .status = up ? "True" : "False",
					   .reason = up ? "Answers" : "Silent",
					   .message = up        ? STR("its API answers")
						      : why.len ? why
								: STR("its API does not answer"),
					   .generation = generation });
	conditions_add(
		&list,
		(struct condition){ .type = "Ready",
				    .status = well ? "True" : "False",
				    .reason = well ? "Ready"
					      : up ? "NoReadyNode"
						   : "Unreachable",
				    .message = well ? STR("it can be reached and has a ready node")
					       : up ? STR("no node is ready")
						    : STR("its API does not answer"),
				    .generation = generation });
	(void)json_setc(t->arena, status, "conditions", conditions_done(&list));
}

static void set_seen(struct turn *t, struct json *status, const struct json *old, bool changed)
{
	int64_t before = 0;
	(void)rfc3339_parse(json_str(json_getc(old, "lastSeen")), &before, NULL);
	if (!t->m->seen_unix_s || (!changed && t->m->seen_unix_s < before + SEEN_S))
		return;
	struct buf b = { 0 };
	rfc3339_write(&b, t->m->seen_unix_s);
	(void)json_setc(t->arena, status, "lastSeen",
			json_of_str(arena_str(t->arena, buf_str(&b))));
	buf_fini(&b);
}

static void tell_contact(struct turn *t, const struct json *old)
{
	const struct json *was = conditions_find(json_getc(old, "conditions"), "Reachable");
	bool up = t->contact == PLACE_UP;
	struct str status = json_str(json_getc(was, "status"));
	if (str_is(status, up ? "True" : "False"))
		return;
	const struct ctl_object_ref about = { STR("topology.rctl.io/v1alpha1"), STR("Cluster"),
					      STR(""), str_of(t->m->name), t->m->uid };
	if (up)
		ctl_event(t->fleet->cfg.ctl, &about, false, "Reachable", "cluster %s answers",
			  t->m->name);
	else
		ctl_event(t->fleet->cfg.ctl, &about, true, "Unreachable",
			  "cluster %s does not answer: %s", t->m->name,
			  t->m->trouble ? t->m->trouble : "silent");
}

static void write_status(struct turn *t)
{
	const struct json *old = json_getc(t->obj, "status");
	struct json status = json_object();
	(void)json_setc(t->arena, &status, "observedGeneration",
			json_of_i64(json_i64(json_dig(t->obj, "metadata", "generation", NULL), 0)));
	set_conditions(t, &status, old);
	if (t->contact == PLACE_UP) { /* else what was last known stays */
		set_nodes(t, &status);
		if (t->m->version)
			(void)json_setc(t->arena, &status, "version", json_of_cstr(t->m->version));
	}
	bool changed = !old || object_differs(&status, old);
	set_seen(t, &status, old, changed);
	if (!changed && !json_getc(&status, "lastSeen"))
		return;
	tell_contact(t, old);
	struct json patch = json_object();
	(void)json_setc(t->arena, &patch, "status", status);
	struct job_effect e = to_cluster(t, "/status");
	job_send(t->job, &e, "PATCH", "application/merge-patch+json", json_text(t->arena, &patch));
	const struct json *zones = json_getc(&status, "zones");
	for (size_t i = 0; i < json_len(zones); i++)
		ctl_add_after(t->fleet->topology,
			      arena_strf(t->arena, "zone/%.*s",
					 STR_ARG(json_str(json_getc(json_at(zones, i), "name")))),
			      500);
	ctl_add_after(t->fleet->topology,
		      arena_strf(t->arena, "region/%.*s", STR_ARG(t->m->spec.region)), 500);
}

/* ---- tombstones ---- */

/* Namespaces are buried too; they are no kind of workload. */
static const struct json *find_copy(struct turn *t, const struct tombstone *x, bool *known,
				    const char **path, struct client_informer **seen_by)
{
	struct member *m = t->m;
	*known = true;
	if (str_is(x->kind, "Namespace")) {
		*path = arena_printf(t->arena, "/api/v1/namespaces/%.*s", STR_ARG(x->name));
		*seen_by = m->i_namespaces;
		return fleet_read(t->arena, m->i_namespaces, x->name);
	}
	const struct kind *k = fleet_kind(t->fleet, x->api_version, x->kind);
	struct client_informer *i = k ? m->kinds[k->index] : NULL;
	*known = i && client_informer_synced(i);
	if (!*known)
		return NULL;
	*path = fleet_kind_path(t->arena, k, x->ns, x->name);
	*seen_by = i;
	return fleet_read(t->arena, i,
			  arena_strf(t->arena, "%.*s/%.*s", STR_ARG(x->ns), STR_ARG(x->name)));
}

/* Whether the tombstone has done its work. */
static bool work_off(struct turn *t, const struct tombstone *x)
{
	bool known = false;
	const char *path = NULL;
	struct client_informer *seen_by = NULL;
	const struct json *have = find_copy(t, x, &known, &path, &seen_by);
	if (!known)
		return false;
	if (!have || !manifest_is_managed(have) || !str_eq(manifest_origin(have), x->uid))
		return true;
	if (object_is_deleting(have) || !object_uid(have).len)
		return false;
	struct job_effect e = { .client = t->m->client,
				.seen_by = seen_by,
				.where = str_of(t->m->name),
				.path = path };
	job_send(t->job, &e, "DELETE", NULL, object_delete_options(t->arena, have));
	return false;
}

static void work_off_all(struct turn *t)
{
	const struct json *meta = json_getc(t->obj, "metadata");
	struct str text = json_str(json_dig(meta, "annotations", FLEET_NOTE_TOMBSTONES, NULL));
	if (!text.len || t->contact != PLACE_UP)
		return;
	struct tombstones all = tombstones_read(t->arena, text);
	struct tombstones left = { .a = arena_new(t->arena, struct tombstone, all.len) };
	for (size_t i = 0; i < all.len; i++)
		if (!work_off(t, &all.a[i]))
			left.a[left.len++] = all.a[i];
	if (left.len == all.len && all.len)
		return;
	struct json body;
	struct json *m = object_patch(t->arena, t->obj, &body);
	(void)json_setc(t->arena, json_child(t->arena, m, "annotations"), FLEET_NOTE_TOMBSTONES,
			left.len ? json_of_str(tombstones_write(t->arena, &left))
				 : json_of_cstr(NULL));
	struct job_effect e = to_cluster(t, "");
	job_send(t->job, &e, "PATCH", "application/merge-patch+json", json_text(t->arena, &body));
}

void cluster_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct fleet *f = arg;
	struct job *j = job_new(&f->jobs, q, key);
	struct turn t = { .fleet = f,
			  .job = j,
			  .arena = job_arena(j),
			  .m = map_get(&f->members, key),
			  .obj = fleet_read(job_arena(j), f->i_clusters, key) };
	if (t.m && t.obj) {
		t.contact = member_contact(t.m, NULL);
		work_off_all(&t);
		if (!job_sent(j) && t.contact != PLACE_UNKNOWN)
			write_status(&t);
		ctl_add_after(q, key, SEEN_S * 1000);
	}
	job_end(j);
}
