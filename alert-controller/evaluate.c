/* Evaluation of rules: each group has a timer, each rule a query for each target. */
#include "base/log.h"
#include "base/mem.h"
#include "engine_priv.h"
#include "query.h"
#include "sys/clock.h"

#include <stdio.h>

enum { QUERY_TIMEOUT_MS = 30000 };

/* ---- results ---- */

static void ended(struct rule_run *run, const char *problem)
{
	struct engine *e = run->group->engine;
	metric_add(e->m_evaluations, 1);
	if (problem)
		metric_add(e->m_failures, 1);
	if (run->failed == (problem != NULL) && (!problem || strcmp(problem, run->problem) == 0))
		return;
	run->failed = problem != NULL;
	(void)snprintf(run->problem, sizeof(run->problem), "%s", problem ? problem : "");
	if (problem)
		log_warn("evaluation-failed", "rule", LOG_S(run->id), "error", LOG_S(problem),
			 NULL);
	status_rule(e, run->rule->set->key);
}

/* ERR_UNAVAILABLE without a word: templates want queries first. */
static int observe(struct rule_run *run, struct arena *a, const struct series *s, size_t n,
		   struct error *err)
{
	struct engine *e = run->group->engine;
	const struct rule_group *g = &run->rule->set->groups[run->rule->group];
	if (g->limit && (int64_t)n > g->limit)
		return error_set(err, ERR_LIMIT, "%zu alerts are over the group's limit", n);
	struct label target[4];
	struct labels external = e->external;
	if (*run->target) { /* evaluated for a cluster from outside */
		target[0] = (struct label){ STR("cluster"), str_of(run->target) };
		external = (struct labels){ target, 1 };
	}
	const struct template_vars env = { .external = external,
					   .external_url = str_of(e->cfg.external_url),
					   .now_ms = run->at_ms,
					   .query = prefetch_query,
					   .arg = &run->prefetch };
	struct core_seen *seen = arena_new(a, struct core_seen, n);
	for (size_t i = 0; i < n; i++) {
		int rc = query_alert(a, run->rule, &s[i], &env, &seen[i], err);
		if (rc)
			return rc;
	}
	struct str wanted;
	if (prefetch_next(&run->prefetch, &wanted))
		return ERR_UNAVAILABLE;
	const struct core_round round = { .rule = str_of(run->id),
					  .expr = run->rule->expr,
					  .seen = seen,
					  .len = n,
					  .timing = run->rule->timing };
	return core_observe(e->core, &round, engine_now(), err);
}

static void ask(struct rule_run *run, struct str expr, client_done_fn done);
static void on_wanted(void *arg, int status, struct str body, const struct error *err);

/* The evaluation is over. */
static void end(struct rule_run *run, const char *problem)
{
	ended(run, problem);
	prefetch_fini(&run->prefetch);
	arena_fini(&run->arena);
	run->series = NULL;
	run->series_len = 0;
	engine_pump(run->group->engine);
}

/* The alerts of the series that were found; or the next query that their templates want. */
static void conclude(struct rule_run *run)
{
	struct arena a = { 0 };
	struct error err = { 0 };
	struct str wanted;
	int rc = observe(run, &a, run->series, run->series_len, &err);
	arena_fini(&a);
	if (rc == ERR_UNAVAILABLE && prefetch_next(&run->prefetch, &wanted))
		ask(run, wanted, on_wanted);
	else
		end(run, rc ? err.msg : NULL);
}

static void on_wanted(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct rule_run *run = arg;
	run->call = NULL;
	if (!run->group->engine->core) {
		end(run, "the database is away");
		return;
	}
	struct arena a = { 0 };
	struct error own = { 0 };
	struct series *s = NULL;
	size_t n = 0;
	int rc = query_parse(&a, body, &s, &n, &own);
	prefetch_put(&run->prefetch, s, n,
		     rc == 0 && !err             ? NULL
		     : rc == ERR_INVALID || !err ? own.msg
						 : err->msg);
	arena_fini(&a);
	struct str wanted;
	if (prefetch_next(&run->prefetch, &wanted))
		ask(run, wanted, on_wanted);
	else
		conclude(run);
}

static void on_answer(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	struct rule_run *run = arg;
	run->call = NULL;
	if (!run->group->engine->core)
		return;
	struct error own = { 0 };
	int rc = query_parse(&run->arena, body, &run->series, &run->series_len, &own);
	if (rc == 0 && !err)
		conclude(run);
	else /* Prometheus' own word, where there is one, says more than the HTTP status */
		end(run, rc == ERR_INVALID || !err ? own.msg : err->msg);
}

static void evaluate_objects(struct rule_run *run)
{
	objects_series(&run->group->engine->objects, run->rule->builtin, &run->arena, &run->series,
		       &run->series_len);
	/* they borrow the objects' strings, which may be gone when a query is answered */
	for (size_t i = 0; i < run->series_len; i++)
		run->series[i].labels = query_labels_copy(&run->arena, run->series[i].labels);
	conclude(run);
}

/* ---- asking ---- */

static void ask(struct rule_run *run, struct str expr, client_done_fn done)
{
	struct engine *e = run->group->engine;
	struct arena a = { 0 };
	int64_t offset = run->rule->set->groups[run->rule->group].offset_ms;
	struct str base = *run->target ? arena_strf(&a, "/clusters/%s", run->target) : STR("");
	run->call = client_send(
		e->cfg.client,
		&(struct client_request){
			.method = "GET",
			.path = query_path(&a, base, expr, offset ? run->at_ms - offset : 0),
			.timeout_ms = QUERY_TIMEOUT_MS,
			.done = done,
			.arg = run });
	arena_fini(&a);
}

static void evaluate(struct rule_run *run)
{
	if (run->call || run->rule->problem.len)
		return;
	run->at_ms = engine_now();
	if (run->rule->builtin != BUILTIN_NONE)
		evaluate_objects(run);
	else
		ask(run, run->rule->expr, on_answer);
}

static int64_t interval_of(const struct group_run *g)
{
	int64_t ms = g->entry->set->groups[g->index].interval_ms;
	return ms > 0 ? ms : g->engine->cfg.interval_ms;
}

static void on_timer(struct loop_timer *t)
{
	struct group_run *g = container_of(t, struct group_run, timer);
	loop_timer_set(g->engine->cfg.loop, t, (uint64_t)interval_of(g));
	if (!g->engine->core)
		return;
	for (size_t i = 0; i < g->runs_len; i++)
		evaluate(&g->runs[i]);
	engine_pump(g->engine);
}

void evaluate_builtin(struct engine *e, enum builtin what)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->rules, &pos, NULL, &v)) {
		struct rule_entry *r = v;
		for (size_t g = 0; g < r->groups_len; g++)
			for (size_t i = 0; i < r->groups[g].runs_len; i++)
				if (r->groups[g].runs[i].rule->builtin == what)
					evaluate(&r->groups[g].runs[i]);
	}
}

/* ---- runs ---- */

static void add_run(struct group_run *g, const struct rule *rule, struct str target)
{
	struct rule_run *run = &g->runs[g->runs_len++];
	struct buf id = { 0 };
	buf_add_str(&id, rule->id);
	if (target.len)
		buf_addf(&id, "@%.*s", STR_ARG(target));
	run->group = g;
	run->rule = rule;
	run->target = mem_strndup(target.p ? target.p : "", target.len);
	run->id = mem_strndup(id.p, id.len);
	buf_fini(&id);
}

static void start_group(struct engine *e, struct rule_entry *r, size_t index,
			const struct objects_cluster *clusters, size_t clusters_len)
{
	struct group_run *g = &r->groups[index];
	const struct rule_group *spec = &r->set->groups[index];
	g->engine = e;
	g->entry = r;
	g->index = index;
	g->runs = mem_new(struct rule_run, spec->len * (clusters_len ? clusters_len : 1));
	for (size_t i = 0; i < spec->len; i++) {
		if (!e->cfg.global || spec->rules[i].builtin != BUILTIN_NONE) {
			add_run(g, &spec->rules[i], STR(""));
			continue;
		}
		for (size_t c = 0; c < clusters_len; c++)
			add_run(g, &spec->rules[i], clusters[c].name);
	}
	g->timer.fn = on_timer;
	/* groups of one interval spread over it; the first time comes soon */
	int64_t spread = interval_of(g) < 2000 ? interval_of(g) : 2000;
	loop_timer_set(e->cfg.loop, &g->timer,
		       100 + clock_random_u64() % (uint64_t)(spread ? spread : 1));
}

void evaluate_start(struct engine *e, struct rule_entry *r)
{
	if (r->set->global != e->cfg.global)
		return;
	struct arena a = { 0 };
	struct objects_cluster *clusters = NULL;
	size_t n = 0;
	if (e->cfg.global)
		objects_clusters(&e->objects, &a, &clusters, &n);
	r->groups = mem_new(struct group_run, r->set->len);
	r->groups_len = r->set->len;
	for (size_t i = 0; i < r->set->len; i++)
		start_group(e, r, i, clusters, n);
	arena_fini(&a);
}

void evaluate_stop(struct rule_entry *r)
{
	for (size_t i = 0; i < r->groups_len; i++) {
		struct group_run *g = &r->groups[i];
		loop_timer_stop(&g->timer);
		for (size_t k = 0; k < g->runs_len; k++) {
			client_cancel(g->runs[k].call);
			prefetch_fini(&g->runs[k].prefetch);
			arena_fini(&g->runs[k].arena);
			mem_free(g->runs[k].target);
			mem_free(g->runs[k].id);
		}
		mem_free(g->runs);
	}
	mem_free(r->groups);
	r->groups = NULL;
	r->groups_len = 0;
}

/* ---- rules that are no more ---- */

struct unknown {
	struct map known; /* id → something */
	struct arena arena;
	struct str *ids;
	size_t len, cap;
};

static void on_id(void *arg, struct str id)
{
	struct unknown *u = arg;
	if (map_get(&u->known, id))
		return;
	mem_grow(u->ids, u->len, u->cap);
	u->ids[u->len++] = arena_str(&u->arena, id);
}

void evaluate_end_unknown(struct engine *e)
{
	if (!e->core)
		return;
	struct unknown u = { 0 };
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&e->rules, &pos, NULL, &v)) {
		struct rule_entry *r = v;
		for (size_t g = 0; g < r->groups_len; g++)
			for (size_t i = 0; i < r->groups[g].runs_len; i++)
				(void)map_set(&u.known, str_of(r->groups[g].runs[i].id), r);
	}
	core_each_rule(e->core, on_id, &u);
	for (size_t i = 0; i < u.len; i++) {
		const struct core_round none = { .rule = u.ids[i] };
		(void)!core_observe(e->core, &none, engine_now(),
				    NULL); /* nothing cannot be refused */
	}
	map_fini(&u.known);
	arena_fini(&u.arena);
	mem_free(u.ids);
}
