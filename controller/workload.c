/* Workloads: from object, Placement and clusters to a plan; records, finalizer and tombstones. */
#include "workload.h"

#include "base/buf.h"
#include "base/mem.h"
#include "bury.h"
#include "manifest.h"
#include "names.h"
#include "object.h"
#include "text/quantity.h"

#include <inttypes.h>
#include <stdlib.h>

enum { STATUS_MS = 100, AGAIN_MIN_MS = 500, DOUBT_MS = 10000 };

/* What every cluster of ours gets: alert rules, receivers, silences. */
static const struct place_spec everywhere = { .failover = false };

void workload_trouble(struct workload *w, struct str text)
{
	if (!w->trouble.len)
		w->trouble = text;
}

/* ---- reading ---- */

static void read_object(struct workload *w)
{
	const struct json *meta = json_getc(w->obj, "metadata");
	const struct json *notes = json_getc(meta, "annotations");
	w->ns = json_str(json_getc(meta, "namespace"));
	w->name = json_str(json_getc(meta, "name"));
	w->uid = json_str(json_getc(meta, "uid"));
	w->deleting = object_is_deleting(w->obj);
	w->has_finalizer = object_has_finalizer(w->obj);
	w->scalable = json_is(json_dig(w->obj, "spec", "replicas", NULL), JSON_INT);
	w->records = records_read(w->arena, json_str(json_getc(notes, FLEET_NOTE_PLACED)));
	struct str by = json_str(json_getc(notes, FLEET_NOTE_PLACEMENT));
	ptrdiff_t at = str_find(by, '@', 0);
	w->placed_by = at < 0 ? by : str_sub(by, 0, (size_t)at);
	if (at >= 0)
		(void)str_to_i64(str_sub(by, (size_t)at + 1, by.len), &w->placed_generation);
	if (!w->kind->broadcast)
		w->placement = fleet_placement_of(w->fleet, w->kind, w->obj);
}

/* A Placement that is there (perhaps on its way out) and does not select what it once placed lets go of it. */
static bool is_released(const struct workload *w)
{
	if (w->kind->broadcast)
		return str_is(json_str(json_dig(w->obj, "spec", "scope", NULL)), "Global");
	if (w->placement || !w->placed_by.len)
		return false;
	return fleet_placement(w->fleet, arena_strf(w->arena, "%.*s/%.*s", STR_ARG(w->ns),
						    STR_ARG(w->placed_by))) != NULL;
}

static bool is_buried(struct workload *w, const struct member *m, struct str uid)
{
	struct tombstones t = bury_list(w->arena, w->fleet, m);
	return tombstones_has(&t, uid);
}

static void read_copy(struct workload *w, struct place_cluster *c, struct copy *x,
		      struct str object_key)
{
	x->have = member_read(w->arena, x->member, w->kind, object_key);
	if (!x->have)
		return;
	struct str origin = manifest_origin(x->have);
	x->ours = str_eq(origin, w->uid);
	c->exists = true;
	c->deleting = object_is_deleting(x->have) || (!x->ours && is_buried(w, x->member, origin));
	c->current = w->scalable ? json_i64(json_dig(x->have, "spec", "replicas", NULL), 1) : 1;
	c->ready =
		w->scalable ? json_i64(json_dig(x->have, "status", "readyReplicas", NULL), 0) : 1;
}

static int64_t requested(const struct workload *w, const char *resource, bool milli)
{
	const struct json *list = json_dig(refs_template(w->obj), "spec", "containers", NULL);
	int64_t sum = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *j =
			json_dig(json_at(list, i), "resources", "requests", resource, NULL);
		struct str text =
			j && !json_is(j, JSON_STRING) ? json_text(w->arena, j) : json_str(j);
		struct quantity q;
		if (text.len && quantity_parse(text, &q, NULL) == 0)
			sum += milli ? quantity_milli(q) : quantity_value(q);
	}
	return sum;
}

static int by_name(const void *a, const void *b)
{
	return str_cmp(((const struct place_cluster *)a)->name,
		       ((const struct place_cluster *)b)->name);
}

/*
 * After a write without an answer the cluster counts as one that cannot be reached, for this workload: long enough
 * for the write to arrive or not, and until it was asked and the cache has what it said.
 */
static void doubt(struct workload *w, struct place_cluster *c, struct copy *x,
		  struct str object_key)
{
	uint64_t since = fleet_doubt(w->fleet, c->name, w->key);
	uint64_t now = loop_now_ms(w->fleet->cfg.loop);
	if (!since)
		return;
	c->contact = PLACE_DOWN;
	c->failing_ms = 0;
	if (now - since < DOUBT_MS) {
		ctl_add_after(w->fleet->workloads, w->key, DOUBT_MS - (now - since) + 1);
		return;
	}
	struct job_effect e = { .client = x->member->client,
				.seen_by = x->member->kinds[w->kind->index],
				.where = c->name,
				.path = fleet_kind_path(w->arena, w->kind, w->ns, w->name) };
	job_look(w->job, &e, member_read(w->arena, x->member, w->kind, object_key) != NULL);
}

static int64_t last_ready(const struct workload *w, struct str cluster)
{
	const struct outcome *o = map_get(&w->fleet->outcomes, w->key);
	for (size_t i = 0; o && i < o->shares_len; i++)
		if (str_eq(o->shares[i].cluster, cluster))
			return o->shares[i].last_ready;
	return -1;
}

static void read_clusters(struct workload *w, struct str object_key)
{
	size_t cap = w->fleet->members.len + w->records.len;
	w->clusters = arena_new(w->arena, struct place_cluster, cap);
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&w->fleet->members, &pos, NULL, &v) && w->len < PLACE_CLUSTERS_MAX) {
		const struct member *m = v;
		if (m->spec.listed && (!w->kind->native || m->native))
			w->clusters[w->len++] = m->spec;
	}
	for (size_t i = 0; i < w->records.len && w->len < PLACE_CLUSTERS_MAX; i++)
		if (!map_get(&w->fleet->members, w->records.a[i].cluster))
			w->clusters[w->len++] =
				(struct place_cluster){ .name = w->records.a[i].cluster,
							.contact = PLACE_DOWN };
	qsort(w->clusters, w->len, sizeof(*w->clusters), by_name);
	w->copies = arena_new(w->arena, struct copy, w->len);
	bool room = w->placement && w->placement->spec.place.by_capacity;
	int64_t cpu = room ? requested(w, "cpu", true) : 0;
	int64_t memory = room ? requested(w, "memory", false) : 0;
	for (size_t i = 0; i < w->len; i++) {
		struct place_cluster *c = &w->clusters[i];
		struct member *m = map_get(&w->fleet->members, c->name);
		c->record = records_find(&w->records, c->name);
		w->copies[i].member = m;
		if (!m)
			continue;
		c->contact = member_contact(m, w->kind);
		c->well = member_is_well(m);
		c->failing_ms = member_failing_ms(m);
		c->fits = room ? member_fits(m, cpu, memory) : 0;
		if (c->contact == PLACE_UP)
			doubt(w, c, &w->copies[i], object_key);
		if (c->contact == PLACE_UP)
			read_copy(w, c, &w->copies[i], object_key);
		else
			c->standing = last_ready(w, c->name);
	}
}

static void make_plan(struct workload *w)
{
	int64_t n = w->scalable ? json_i64(json_dig(w->obj, "spec", "replicas", NULL), 1) : 1;
	bool released = is_released(w);
	struct place_input in = {
		.spec = w->placement                      ? &w->placement->spec.place
			: w->kind->broadcast && !released ? &everywhere
							  : NULL,
		.released = released,
		.deleting = w->deleting,
		.scalable = w->scalable,
		.replicas = n < 0                    ? 0
			    : n > PLACE_REPLICAS_MAX ? PLACE_REPLICAS_MAX
						     : n,
		.same_request = w->placement && str_eq(w->placed_by, w->placement->name) &&
				w->placed_generation == w->placement->generation,
		.clusters = w->clusters,
		.clusters_len = w->len,
	};
	placement_plan(w->arena, &in, &w->plan);
}

/* ---- records and finalizer ---- */

static struct job_effect on_global(const struct workload *w, const char *path)
{
	return (struct job_effect){ .client = w->fleet->cfg.client,
				    .seen_by = w->kind->global,
				    .path = path };
}

static void patch_metadata(struct workload *w, struct str placed, struct str by, bool finalizer)
{
	struct json body;
	struct json *meta = object_patch(w->arena, w->obj, &body);
	struct json *notes = json_setc(w->arena, meta, "annotations", json_object());
	(void)json_setc(w->arena, notes, FLEET_NOTE_PLACED,
			placed.len ? json_of_str(placed) : json_of_cstr(NULL));
	(void)json_setc(w->arena, notes, FLEET_NOTE_PLACEMENT,
			by.len ? json_of_str(by) : json_of_cstr(NULL));
	if (finalizer != w->has_finalizer)
		(void)json_setc(w->arena, meta, "finalizers",
				object_finalizers(w->arena, w->obj, finalizer));
	struct job_effect e = on_global(w, fleet_kind_path(w->arena, w->kind, w->ns, w->name));
	job_send(w->job, &e, "PATCH", "application/merge-patch+json", json_text(w->arena, &body));
}

/* Whether the records had to be written: nothing else is done in this turn. */
static bool write_records(struct workload *w)
{
	struct record *r = arena_new(w->arena, struct record, w->len);
	bool any = false;
	for (size_t i = 0; i < w->len; i++) {
		r[i] = (struct record){ w->clusters[i].name, w->plan.shares[i].record };
		any |= r[i].n != PLACE_UNRECORDED;
	}
	struct buf text = { 0 };
	records_write(&text, r, w->len);
	struct str placed = arena_str(w->arena, buf_str(&text));
	buf_fini(&text);
	const struct json *notes = json_dig(w->obj, "metadata", "annotations", NULL);
	struct str by = json_str(json_getc(notes, FLEET_NOTE_PLACEMENT));
	if (w->placement && w->plan.verdict == PLACE_OK && !w->plan.lost)
		by = arena_strf(w->arena, "%.*s@%" PRId64, STR_ARG(w->placement->name),
				w->placement->generation);
	else if (!any && w->plan.verdict == PLACE_LEAVES)
		by = STR("");
	bool want_finalizer = w->has_finalizer || any;
	if (w->deleting) /* no finalizer may be added any more */
		want_finalizer = w->has_finalizer;
	if (str_eq(placed, json_str(json_getc(notes, FLEET_NOTE_PLACED))) &&
	    str_eq(by, json_str(json_getc(notes, FLEET_NOTE_PLACEMENT))) &&
	    want_finalizer == w->has_finalizer)
		return false;
	patch_metadata(w, placed, by, want_finalizer);
	return true;
}

/* Lets the object go once no copy is left, or only such as a tombstone will remove. */
static void let_go(struct workload *w)
{
	bool done = true;
	for (size_t i = 0; i < w->len; i++) {
		if (w->plan.shares[i].record == PLACE_UNRECORDED && !w->clusters[i].exists)
			continue;
		const struct tombstone x = { str_of(w->kind->api_version), str_of(w->kind->name),
					     w->ns, w->name, w->uid };
		bool down = w->clusters[i].contact == PLACE_DOWN && w->copies[i].member;
		struct error err = { 0 };
		done = down && bury(w->fleet, w->job, w->copies[i].member, &x, &err) && done;
		if (err.code)
			workload_trouble(w, arena_str(w->arena, str_of(err.msg)));
	}
	if (done && w->has_finalizer)
		patch_metadata(w, STR(""), STR(""), false);
}

/* ---- telling ---- */

static void tell_event(struct workload *w, bool warning, const char *reason, struct str message)
{
	const struct ctl_object_ref about = { str_of(w->kind->api_version), str_of(w->kind->name),
					      w->ns, w->name, w->uid };
	ctl_event(w->fleet->cfg.ctl, &about, warning, reason, "%.*s", STR_ARG(message));
}

static void keep_outcome(struct workload *w, bool applied)
{
	struct outcome *o = map_get(&w->fleet->outcomes, w->key);
	struct str old_key = STR_NONE;
	enum place_verdict old = PLACE_OK;
	if (o) {
		old_key = arena_str(w->arena, o->placement);
		old = o->verdict;
		arena_fini(&o->arena);
	} else {
		o = mem_new(struct outcome, 1);
		(void)map_set(&w->fleet->outcomes, w->key, o);
	}
	*o = (struct outcome){ 0 };
	o->placement = w->placement ? arena_str(&o->arena, w->placement->key) : STR("");
	o->verdict = w->plan.verdict;
	o->message = arena_str(&o->arena, w->plan.message);
	o->trouble = arena_str(&o->arena, w->trouble);
	o->settled = w->plan.settled;
	o->applied = applied;
	o->desired = w->plan.desired;
	o->ready = w->plan.ready;
	o->shares = arena_new(&o->arena, struct outcome_share, w->len);
	for (size_t i = 0; i < w->len; i++) {
		const struct place_share *s = &w->plan.shares[i];
		if (!s->decided)
			continue;
		struct str reason = fleet_trouble(w->fleet, w->clusters[i].name, w->key);
		o->shares[o->shares_len++] = (struct outcome_share){
			.cluster = arena_str(&o->arena, w->clusters[i].name),
			.replicas = w->scalable ? s->target : s->target > 0,
			.ready = w->clusters[i].exists ? w->clusters[i].ready : 0,
			.last_ready = w->clusters[i].contact == PLACE_UP ? w->clusters[i].ready
									 : w->clusters[i].standing,
			.phase = s->phase,
			.reason = arena_str(&o->arena, reason.len ? reason : s->reason),
			.left = w->clusters[i].contact == PLACE_DOWN &&
				w->clusters[i].record == PLACE_LEAVING,
		};
	}
	if (o->verdict != old && (o->verdict == PLACE_FUSE || o->verdict == PLACE_TOO_FEW ||
				  o->verdict == PLACE_NOWHERE))
		tell_event(w, true, "NotPlaced", o->message);
	if (o->placement.len)
		ctl_add_after(w->fleet->status, o->placement, STATUS_MS);
	if (old_key.len && !str_eq(old_key, o->placement))
		ctl_add_after(w->fleet->status, old_key, STATUS_MS);
}

/* ---- the turn ---- */

static void on_result(void *arg, struct str where, struct str key, bool looked,
		      const struct error *err)
{
	bool unknown = err && (err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE ||
			       err->code == ERR_UNKNOWN || err->code == ERR_INTERNAL);
	fleet_set_trouble(arg, where, key, err ? err->msg : NULL);
	if (looked && !err) {
		fleet_set_doubt(arg, where, key, false);
		ctl_add(((struct fleet *)arg)->workloads, key);
	} else if (unknown && !looked) {
		fleet_set_doubt(arg, where, key, true);
	}
}

static void reconcile(struct workload *w, struct ctl_queue *q, struct str object_key)
{
	read_object(w);
	read_clusters(w, object_key);
	make_plan(w);
	if (w->plan.again_ms)
		ctl_add_after(q, w->key, w->plan.again_ms + AGAIN_MIN_MS);
	if (w->plan.verdict == PLACE_WAITING)
		ctl_add_after(q, w->key, 1000);
	if (w->deleting && !w->has_finalizer)
		return; /* never placed, or held by others now */
	bool applied = false;
	if (!write_records(w)) {
		applied = workload_apply(w);
		if (w->deleting)
			let_go(w);
	}
	keep_outcome(w, applied);
	if (!w->deleting)
		workload_progress(w, applied);
}

void workload_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct fleet *f = arg;
	struct job *j = job_new(&f->jobs, q, key);
	struct str object_key;
	struct workload w = { .fleet = f, .job = j, .arena = job_arena(j) };
	w.key = arena_str(w.arena, key);
	w.kind = fleet_workload_of(f, w.key, &object_key);
	w.obj = w.kind ? fleet_read(w.arena, w.kind->global, object_key) : NULL;
	job_on_result(j, on_result, f);
	if (w.obj)
		reconcile(&w, q, object_key);
	job_end(j);
}
