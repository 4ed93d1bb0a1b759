/* The status of a workload in the global API: the sums over its copies, and conditions. */
#include "conditions.h"
#include "object.h"
#include "sys/clock.h"
#include "workload.h"

#include <inttypes.h>

/* ---- sums ---- */

/* What is no count: it belongs to one copy alone. */
static bool is_counted(struct str name, const struct json *v)
{
	return json_is(v, JSON_INT) && !str_is(name, "observedGeneration") &&
	       !str_is(name, "collisionCount");
}

static void add_counts(struct workload *w, const struct json *status, struct json *sums)
{
	for (size_t i = 0; json_is(status, JSON_OBJECT) && i < status->len; i++) {
		struct str name = json_str(&status->members[i].key);
		const struct json *v = &status->members[i].value;
		if (!is_counted(name, v))
			continue;
		int64_t sum = json_i64(json_get(sums, name), 0) + v->i;
		(void)json_set(w->arena, sums, name, json_of_i64(sum));
	}
}

struct progress {
	int64_t updated, available, replicas;
	bool observed;         /* every copy that can be reached has seen this generation */
	bool complete;         /* … and every controller there is done with it */
	struct str failed;     /* cluster whose rollout timed out, "" */
	struct str failed_why; /* its message */
};

static void judge_copy(struct progress *p, const struct workload *w, size_t i)
{
	const struct json *have = w->copies[i].have;
	const struct json *status = json_getc(have, "status");
	int64_t want = w->clusters[i].current;
	bool seen = json_i64(json_getc(status, "observedGeneration"), 0) >=
		    json_i64(json_dig(have, "metadata", "generation", NULL), 0);
	int64_t replicas = json_i64(json_getc(status, "replicas"), 0);
	int64_t updated = json_i64(json_getc(status, "updatedReplicas"), 0);
	int64_t available = json_i64(json_getc(status, "availableReplicas"), 0);
	p->replicas += replicas;
	p->updated += updated;
	p->available += available;
	p->observed &= seen;
	p->complete &= seen && updated == want && replicas == want && available == want;
	const struct json *c = conditions_find(json_getc(status, "conditions"), "Progressing");
	if (str_is(json_str(json_getc(c, "reason")), "ProgressDeadlineExceeded")) {
		p->failed = w->clusters[i].name;
		p->failed_why = json_str(json_getc(c, "message"));
	}
}

static struct progress judge(struct workload *w, bool applied, struct json *sums)
{
	struct progress p = { .observed = applied, .complete = applied };
	static const char *const always[] = { "replicas", "updatedReplicas", "readyReplicas",
					      "availableReplicas", "unavailableReplicas" };
	for (size_t i = 0; w->scalable && i < sizeof(always) / sizeof(*always); i++)
		(void)json_setc(w->arena, sums, always[i], json_of_i64(0));
	for (size_t i = 0; i < w->len; i++) {
		if (!w->copies[i].have)
			continue;
		add_counts(w, json_getc(w->copies[i].have, "status"), sums);
		judge_copy(&p, w, i);
	}
	p.complete = p.complete && p.available >= w->plan.desired;
	return p;
}

/* ---- conditions ---- */

static struct condition placed_condition(const struct workload *w)
{
	static const char *const reasons[] = {
		[PLACE_OK] = "Placed",
		[PLACE_NOT_SELECTED] = "NoPlacement",
		[PLACE_WAITING] = "Waiting",
		[PLACE_TOO_FEW] = "TooFewClusters",
		[PLACE_NOWHERE] = "NoCluster",
		[PLACE_FUSE] = "MassChange",
		[PLACE_HELD] = "PlacementSuspended",
		[PLACE_LEAVES] = "NoPlacement",
	};
	struct condition c = { .type = "Placed", .reason = reasons[w->plan.verdict] };
	bool somewhere = false;
	for (size_t i = 0; i < w->len; i++)
		somewhere |= w->clusters[i].record != PLACE_UNRECORDED;
	c.status = w->plan.verdict == PLACE_OK || (somewhere && (w->plan.verdict == PLACE_WAITING ||
								 w->plan.verdict == PLACE_HELD))
			   ? "True"
			   : "False";
	if (w->plan.verdict == PLACE_OK)
		c.message = arena_strf(w->arena, "placed by Placement %.*s",
				       STR_ARG(w->placement ? w->placement->name : STR("")));
	else if (w->plan.verdict == PLACE_NOT_SELECTED && somewhere)
		c.message = STR("no Placement selects it; where it runs nothing is changed");
	else if (w->plan.verdict == PLACE_NOT_SELECTED)
		c.message = STR("no Placement selects it, so it runs nowhere");
	else
		c.message = w->plan.message;
	return c;
}

static struct condition available_condition(const struct progress *p, int64_t desired, bool placed)
{
	bool enough = desired > 0 ? p->available >= desired : placed;
	return (struct condition){
		.type = "Available",
		.status = enough ? "True" : "False",
		.reason = enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
		.message =
			enough ? STR("All replicas are available in the clusters together.")
			       : STR("Fewer replicas are available in the clusters together than "
				     "asked for."),
	};
}

static struct condition progressing_condition(struct workload *w, const struct progress *p)
{
	struct condition c = { .type = "Progressing", .status = "True" };
	if (json_bool(json_dig(w->obj, "spec", "paused", NULL), false)) {
		c.status = "Unknown";
		c.reason = "DeploymentPaused";
		c.message = STR("Deployment is paused");
	} else if (p->complete) {
		c.reason = "NewReplicaSetAvailable";
		c.message = arena_strf(w->arena, "Deployment \"%.*s\" has successfully progressed.",
				       STR_ARG(w->name));
	} else if (p->failed.len) {
		c.status = "False";
		c.reason = "ProgressDeadlineExceeded";
		c.message = arena_strf(w->arena, "cluster %.*s: %.*s", STR_ARG(p->failed),
				       STR_ARG(p->failed_why));
	} else {
		const struct json *st = json_getc(w->obj, "status");
		c.reason = "ReplicaSetUpdated";
		c.message = arena_strf(w->arena, "Deployment \"%.*s\" is progressing.",
				       STR_ARG(w->name));
		c.touch = json_i64(json_getc(st, "updatedReplicas"), 0) != p->updated ||
			  json_i64(json_getc(st, "availableReplicas"), 0) != p->available;
	}
	return c;
}

/* ---- writing ---- */

void workload_progress(struct workload *w, bool applied)
{
	bool deployment = str_is(str_of(w->kind->name), "Deployment");
	if (!w->kind->has_status || w->kind->broadcast)
		return;
	const struct json *old = json_getc(w->obj, "status");
	const struct json *old_conditions = json_getc(old, "conditions");
	struct json status = json_object();
	struct progress p = judge(w, applied, &status);
	bool placed = w->plan.verdict == PLACE_OK;
	if (w->scalable)
		(void)json_setc(w->arena, &status, "unavailableReplicas",
				json_of_i64(w->plan.desired > p.available
						    ? w->plan.desired - p.available
						    : 0));
	int64_t generation = json_i64(json_dig(w->obj, "metadata", "generation", NULL), 0);
	if (p.observed || !placed)
		(void)json_setc(w->arena, &status, "observedGeneration", json_of_i64(generation));
	if (deployment || str_starts(str_of(w->kind->api_version), STR("apps/"))) {
		struct conditions list = { .arena = w->arena,
					   .old = old_conditions,
					   .now_s = clock_unix_ms() / 1000,
					   .with_update_time = deployment };
		conditions_add(&list, placed_condition(w));
		if (deployment) {
			conditions_add(&list, available_condition(&p, w->plan.desired, placed));
			if (placed)
				conditions_add(&list, progressing_condition(w, &p));
		}
		(void)json_setc(w->arena, &status, "conditions", conditions_done(&list));
	}
	if (old && !object_differs(&status, old))
		return;
	struct json patch = json_object();
	(void)json_setc(w->arena, &patch, "status", status);
	struct job_effect e = { .client = w->fleet->cfg.client,
				.seen_by = w->kind->global,
				.path = arena_printf(
					w->arena, "%s/status",
					fleet_kind_path(w->arena, w->kind, w->ns, w->name)) };
	job_send(w->job, &e, "PATCH", "application/merge-patch+json", json_text(w->arena, &patch));
}
