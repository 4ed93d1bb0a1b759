/* Placements: their finalizer, and in their status what their workloads' turns found. */
#include "base/buf.h"
#include "conditions.h"
#include "fleet.h"
#include "object.h"
#include "sys/clock.h"

#include <inttypes.h>
#include <stdlib.h>

enum { AGAIN_MS = 1000, UNKNOWN_MS = 30000 };

struct decision {
	struct str cluster;
	int64_t replicas, ready;
	enum place_phase phase;
	struct str reason;
};

struct tally {
	struct fleet *fleet;
	struct arena *arena;
	const struct placement *p;
	struct decision *decisions;
	size_t len, cap;
	size_t targets, ours; /* workloads selected; of these decided by this Placement */
	bool pending;         /* one had no turn yet */
	bool applied, settled;
	int64_t desired, ready;
	const struct outcome *blocked; /* one that is not placed as asked for */
	struct str other;              /* an older Placement that decides one of them */
	struct str trouble;
	struct str unknown; /* a kind that the global API does not have, or that cannot be placed */
	bool held;          /* clusters still have what a Placement that goes away placed */
};

/* ---- counting ---- */

/* The phase that says most about several workloads in one cluster. */
static int weight_of(enum place_phase p)
{
	static const int weights[] = {
		[PLACE_READY] = 0,       [PLACE_APPLIED] = 1,  [PLACE_PENDING] = 2,
		[PLACE_SUSPENDED] = 3,   [PLACE_REMOVING] = 4, [PLACE_MOVING] = 5,
		[PLACE_UNREACHABLE] = 6,
	};
	return weights[p];
}

static void add_share(struct tally *t, const struct outcome_share *s)
{
	struct decision *d = NULL;
	for (size_t i = 0; i < t->len && !d; i++)
		if (str_eq(t->decisions[i].cluster, s->cluster))
			d = &t->decisions[i];
	if (!d && t->len == t->cap)
		return;
	if (!d) {
		d = &t->decisions[t->len++];
		*d = (struct decision){ .cluster = s->cluster,
					.phase = s->phase,
					.reason = s->reason };
	}
	d->replicas += s->replicas;
	d->ready += s->ready;
	if (weight_of(s->phase) > weight_of(d->phase)) {
		d->phase = s->phase;
		d->reason = s->reason;
	}
}

static void count(void *arg, const struct kind *k, struct str object_key)
{
	struct tally *t = arg;
	const struct outcome *o =
		map_get(&t->fleet->outcomes, fleet_workload_key(t->arena, k, object_key));
	t->targets++;
	if (!o) {
		t->pending = true;
		return;
	}
	if (!str_eq(o->placement, t->p->key)) {
		t->other = o->placement;
		return;
	}
	t->ours++;
	t->applied &= o->applied;
	t->settled &= o->settled && o->ready >= o->desired;
	t->desired += o->desired;
	t->ready += o->ready;
	if (o->verdict != PLACE_OK && !t->blocked)
		t->blocked = o;
	if (o->trouble.len && !t->trouble.len)
		t->trouble = o->trouble;
	for (size_t i = 0; i < o->shares_len; i++)
		add_share(t, &o->shares[i]);
}

/* ---- conditions ---- */

static struct condition scheduled(const struct tally *t)
{
	static const char *const reasons[] = {
		[PLACE_OK] = "Scheduled",      [PLACE_NOT_SELECTED] = "NoTarget",
		[PLACE_WAITING] = "Waiting",   [PLACE_TOO_FEW] = "TooFewClusters",
		[PLACE_NOWHERE] = "NoCluster", [PLACE_FUSE] = "MassChange",
		[PLACE_HELD] = "Suspended",    [PLACE_LEAVES] = "NoTarget",
	};
	struct condition c = { .type = "Scheduled", .status = "False" };
	if (t->p->bad.len) {
		c.reason = "Invalid";
		c.message = t->p->bad;
	} else if (!t->targets) {
		c.reason = "NoTarget";
		c.message = STR("no workload is selected");
	} else if (!t->ours) {
		c.reason = "OlderPlacement";
		c.message = arena_strf(t->arena, "Placement %.*s is older and decides",
				       STR_ARG(t->other));
	} else if (t->blocked) {
		c.status = t->blocked->verdict == PLACE_HELD ? "True" : "False";
		c.reason = reasons[t->blocked->verdict];
		c.message = t->blocked->message;
	} else {
		c.status = "True";
		c.reason = "Scheduled";
		c.message = arena_strf(t->arena, "%zu %s in %zu %s", t->ours,
				       t->ours == 1 ? "workload" : "workloads", t->len,
				       t->len == 1 ? "cluster" : "clusters");
		if (t->other.len)
			c.message = arena_strf(t->arena, "%.*s; of others Placement %.*s decides",
					       STR_ARG(c.message), STR_ARG(t->other));
	}
	return c;
}

static struct condition applied(const struct tally *t)
{
	bool ok = t->ours && t->applied;
	if (t->unknown.len)
		return (struct condition){
			.type = "Applied",
			.status = "False",
			.reason = "UnknownKind",
			.message = arena_strf(t->arena, "there is no kind %.*s in a namespace",
					      STR_ARG(t->unknown)),
		};
	return (struct condition){
		.type = "Applied",
		.status = ok ? "True" : "False",
		.reason = ok               ? "Applied"
			  : t->trouble.len ? "Failing"
					   : "Applying",
		.message = ok               ? STR("all clusters that can be reached are as decided")
			   : t->trouble.len ? t->trouble
					    : STR("not all clusters are as decided yet"),
	};
}

static struct condition ready(const struct tally *t)
{
	bool ok = t->ours && !t->blocked && t->settled && t->ready >= t->desired;
	return (struct condition){
		.type = "Ready",
		.status = ok ? "True" : "False",
		.reason = ok ? "Ready" : "NotReady",
		.message = arena_strf(t->arena, "%" PRId64 " of %" PRId64 " replicas are ready",
				      t->ready < t->desired ? t->ready : t->desired, t->desired),
	};
}

/* ---- writing ---- */

static int by_cluster(const void *a, const void *b)
{
	return str_cmp(((const struct decision *)a)->cluster,
		       ((const struct decision *)b)->cluster);
}

static struct json decisions_of(struct tally *t)
{
	struct arena *a = t->arena;
	struct json list = json_array();
	if (t->len > 1)
		qsort(t->decisions, t->len, sizeof(*t->decisions), by_cluster);
	for (size_t i = 0; i < t->len; i++) {
		const struct decision *d = &t->decisions[i];
		struct json *j = json_push(a, &list, json_object());
		(void)json_setc(a, j, "cluster", json_of_str(d->cluster));
		(void)json_setc(a, j, "replicas", json_of_i64(d->replicas));
		(void)json_setc(a, j, "ready", json_of_i64(d->ready));
		(void)json_setc(a, j, "phase", json_of_cstr(placement_phase_name(d->phase)));
		(void)json_setc(a, j, "reason", json_of_str(d->reason));
	}
	return list;
}

static struct job_effect to_placement(struct tally *t, const char *sub)
{
	const char *path = fleet_path(t->arena, "/apis/fleet.rctl.io/v1alpha1", "placements",
				      t->p->ns, t->p->name);
	return (struct job_effect){ .client = t->fleet->cfg.client,
				    .seen_by = t->fleet->i_placements,
				    .path = arena_printf(t->arena, "%s%s", path, sub) };
}

static void write_status(struct tally *t, struct job *j, const struct json *obj)
{
	const struct json *old = json_getc(obj, "status");
	struct conditions list = { .arena = t->arena,
				   .old = json_getc(old, "conditions"),
				   .now_s = clock_unix_ms() / 1000 };
	struct condition all[] = { scheduled(t), applied(t), ready(t) };
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		all[i].generation = t->p->generation;
		conditions_add(&list, all[i]);
	}
	struct json status = json_object();
	(void)json_setc(t->arena, &status, "observedGeneration", json_of_i64(t->p->generation));
	(void)json_setc(t->arena, &status, "decisions", decisions_of(t));
	(void)json_setc(t->arena, &status, "conditions", conditions_done(&list));
	if (old && json_equal(&status, old))
		return;
	struct json patch = json_object();
	(void)json_setc(t->arena, &patch, "status", status);
	struct job_effect e = to_placement(t, "/status");
	job_send(j, &e, "PATCH", "application/merge-patch+json", json_text(t->arena, &patch));
}

/* Placements carry our finalizer, so that deleting one is seen, not just its absence. */
static void write_finalizer(struct tally *t, struct job *j, const struct json *obj, bool on)
{
	struct arena *a = t->arena;
	struct json body;
	struct json *meta = object_patch(a, obj, &body);
	(void)json_setc(a, meta, "finalizers", object_finalizers(a, obj, on));
	struct job_effect e = to_placement(t, "");
	job_send(j, &e, "PATCH", "application/merge-patch+json", json_text(a, &body));
}

/* Whether something that can be reached, or is not known yet, still has to be taken out of a cluster. */
static void count_held(void *arg, const struct kind *k, struct str object_key)
{
	struct tally *t = arg;
	const struct outcome *o =
		map_get(&t->fleet->outcomes, fleet_workload_key(t->arena, k, object_key));
	if (!o) {
		t->pending = true;
		return;
	}
	if (str_eq(o->placement, t->p->key)) /* its turn came before the deletion was seen */
		t->pending = true;
	if (o->verdict != PLACE_LEAVES)
		return;
	for (size_t i = 0; i < o->shares_len; i++)
		t->held |= !o->shares[i].left;
}

static void reconcile(struct tally *t, struct job *j, struct ctl_queue *q, struct json *obj)
{
	fleet_need_kinds(t->fleet, t->p);
	if (t->p->deleting) {
		fleet_each_target(t->fleet, t->p, count_held, t);
		if (t->pending || t->held)
			ctl_add_after(q, t->p->key, AGAIN_MS);
		else if (t->p->has_finalizer)
			write_finalizer(t, j, obj, false);
		return;
	}
	if (!t->p->has_finalizer) {
		write_finalizer(t, j, obj, true);
		return;
	}
	fleet_each_target(t->fleet, t->p, count, t);
	for (size_t i = 0; i < t->p->spec.targets_len; i++) {
		const struct spec_target *x = &t->p->spec.targets[i];
		if (!fleet_kind(t->fleet, x->api_version, x->kind))
			t->unknown = arena_strf(t->arena, "%.*s in %.*s", STR_ARG(x->kind),
						STR_ARG(x->api_version));
	}
	if (t->unknown.len) /* it may be defined later */
		ctl_add_after(q, t->p->key, UNKNOWN_MS);
	if (t->pending)
		ctl_add_after(q, t->p->key, AGAIN_MS);
	else
		write_status(t, j, obj);
}

void status_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct fleet *f = arg;
	struct job *j = job_new(&f->jobs, q, key);
	struct arena *a = job_arena(j);
	struct placement *p = fleet_placement(f, key);
	struct json *obj = p ? fleet_read(a, f->i_placements, key) : NULL;
	if (obj) {
		size_t cap = f->members.len + 64;
		struct tally t = { .fleet = f,
				   .arena = a,
				   .p = p,
				   .decisions = arena_new(a, struct decision, cap),
				   .cap = cap,
				   .applied = true,
				   .settled = true };
		reconcile(&t, j, q, obj);
	}
	job_end(j);
}
