/* Regions and Zones: sums over the Clusters' status. */
#include "conditions.h"
#include "fleet.h"
#include "object.h"
#include "sys/clock.h"

struct sums {
	int64_t clusters, ready_clusters, nodes, ready_nodes;
};

struct summer {
	struct arena *arena;
	bool region; /* else a zone */
	struct str name, axis;
	struct sums sums;
};

static void add_cluster(void *arg, struct str key, struct str text)
{
	(void)key;
	struct summer *s = arg;
	struct json c;
	if (json_parse(s->arena, text, NULL, &c, NULL) != 0)
		return;
	const struct json *st = json_getc(&c, "status");
	const struct json *ready = conditions_find(json_getc(st, "conditions"), "Ready");
	if (s->region) {
		if (!str_eq(json_str(json_dig(&c, "spec", "region", NULL)), s->name))
			return;
		s->sums.clusters++;
		s->sums.ready_clusters += str_is(json_str(json_getc(ready, "status")), "True");
		s->sums.nodes += json_i64(json_getc(st, "nodes"), 0);
		s->sums.ready_nodes += json_i64(json_getc(st, "readyNodes"), 0);
		return;
	}
	const struct json *zones = json_getc(st, "zones");
	for (size_t i = 0; i < json_len(zones); i++) {
		const struct json *z = json_at(zones, i);
		if (!str_eq(json_str(json_getc(z, "name")), s->name) ||
		    !str_eq(json_str(json_getc(z, "axis")), s->axis))
			continue;
		s->sums.nodes += json_i64(json_getc(z, "nodes"), 0);
		s->sums.ready_nodes += json_i64(json_getc(z, "readyNodes"), 0);
	}
}

static struct condition ready_condition(const struct summer *s, int64_t generation)
{
	int64_t all = s->region ? s->sums.clusters : s->sums.nodes;
	int64_t good = s->region ? s->sums.ready_clusters : s->sums.ready_nodes;
	struct condition c = { .type = "Ready", .generation = generation };
	c.status = all > 0 && good == all ? "True" : good == 0 ? "False" : "Unknown";
	c.reason = all == 0      ? "Empty"
		   : good == all ? "AllReady"
		   : good == 0   ? "NoneReady"
				 : "SomeReady";
	c.message = s->region ? arena_strf(s->arena, "%lld of %lld clusters are ready",
					   (long long)good, (long long)all)
			      : arena_strf(s->arena, "%lld of %lld nodes are ready",
					   (long long)good, (long long)all);
	return c;
}

static struct json status_of(struct summer *s, const struct json *obj)
{
	struct json st = json_object();
	int64_t generation = json_i64(json_dig(obj, "metadata", "generation", NULL), 0);
	if (s->region) {
		(void)json_setc(s->arena, &st, "clusters", json_of_i64(s->sums.clusters));
		(void)json_setc(s->arena, &st, "readyClusters",
				json_of_i64(s->sums.ready_clusters));
	}
	(void)json_setc(s->arena, &st, "nodes", json_of_i64(s->sums.nodes));
	(void)json_setc(s->arena, &st, "readyNodes", json_of_i64(s->sums.ready_nodes));
	(void)json_setc(s->arena, &st, "observedGeneration", json_of_i64(generation));
	struct conditions list = { .arena = s->arena,
				   .old = json_dig(obj, "status", "conditions", NULL),
				   .now_s = clock_unix_ms() / 1000 };
	conditions_add(&list, ready_condition(s, generation));
	(void)json_setc(s->arena, &st, "conditions", conditions_done(&list));
	return st;
}

/* key: "region/NAME" or "zone/NAME" */
void topology_reconcile(void *arg, struct ctl_queue *q, struct str key)
{
	struct fleet *f = arg;
	struct job *j = job_new(&f->jobs, q, key);
	struct arena *a = job_arena(j);
	struct summer s = { .arena = a, .region = str_starts(key, STR("region/")) };
	s.name = arena_str(a, str_sub(key, s.region ? 7 : 5, key.len));
	struct client_informer *i = s.region ? f->i_regions : f->i_zones;
	const struct json *obj = fleet_read(a, i, s.name);
	if (obj) {
		s.axis = json_str(json_dig(obj, "spec", "axis", NULL));
		client_informer_each(f->i_clusters, add_cluster, &s);
		struct json st = status_of(&s, obj);
		const struct json *old = json_getc(obj, "status");
		if (!old || object_differs(&st, old)) {
			struct json patch = json_object();
			(void)json_setc(a, &patch, "status", st);
			struct job_effect e = {
				.client = f->cfg.client,
				.seen_by = i,
				.path = arena_printf(
					a, "/apis/topology.rctl.io/v1alpha1/%s/%.*s/status",
					s.region ? "regions" : "zones", STR_ARG(s.name))
			};
			job_send(j, &e, "PATCH", "application/merge-patch+json",
				 json_text(a, &patch));
		}
	}
	job_end(j);
}
