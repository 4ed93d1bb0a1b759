/* Eviction: a deletion that PodDisruptionBudgets have to grant, in one transaction with the grant. */
#include "apiserver/apiserver_priv.h"

enum { GRANTS_MAX = 2000, PROCESSING_RETRY_S = 10 };

#define BUDGETS "policy/poddisruptionbudgets"

static bool is_ready(const struct json *pod)
{
	const struct json *list = json_dig(pod, "status", "conditions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_getc(json_at(list, i), "type")), "Ready"))
			return str_is(json_str(json_getc(json_at(list, i), "status")), "True");
	return false;
}

/* One that is going, has ended or never began is no loss. */
static bool counts(const struct json *pod)
{
	struct str phase = json_str(json_dig(pod, "status", "phase", NULL));
	return !object_deleting(pod) && !str_is(phase, "Succeeded") && !str_is(phase, "Failed") &&
	       !str_is(phase, "Pending");
}

struct search {
	struct req *r;
	const struct kind *kind;
	const struct json *labels;
	struct watch_obj *obj; /* the budget, a reference */
	struct json tree;
	size_t found;
};

static bool look(void *arg, struct watch_obj *o)
{
	struct search *s = arg;
	struct json tree = { 0 };
	struct label_selector sel;
	if (object_parse(&s->r->arena, s->kind, o, &tree, NULL) ||
	    label_selector_of_json(&s->r->arena, json_dig(&tree, "spec", "selector", NULL), &sel,
				   NULL) ||
	    !label_selector_match_json(&sel, s->labels))
		return true;
	if (s->found++ == 0) {
		s->obj = watch_obj_ref(o);
		s->tree = tree;
	}
	return true;
}

static void find(struct search *s)
{
	struct req *r = s->r;
	s->kind = kind_find_key(r->kinds, STR(BUDGETS));
	s->labels = json_dig(&r->target.tree, "metadata", "labels", NULL);
	if (!s->kind)
		return;
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct str prefix = object_prefix(&r->arena, s->kind, r->route.ns);
	watch_snap_walk(snap, prefix, prefix, look, s);
	watch_snap_unref(snap);
}

static bool too_many(struct req *r, struct str why, int64_t retry_s)
{
	struct status_cause cause = { .reason = STR("DisruptionBudget"), .message = why };
	struct status st = { .code = ERR_LIMIT,
			     .message = STR("Cannot evict pod as it would violate the pod's "
					    "disruption budget."),
			     .causes = &cause,
			     .causes_len = 1,
			     .retry_after_s = retry_s };
	req_fail_status(r, &st);
	return false;
}

/* A pod that is not ready takes nothing from those that are, while there are enough of them. */
static bool unhealthy_may_go(const struct json *budget)
{
	const struct json *status = json_getc(budget, "status");
	int64_t have = json_i64(json_getc(status, "currentHealthy"), 0);
	int64_t want = json_i64(json_getc(status, "desiredHealthy"), 0);
	struct str policy = json_str(json_dig(budget, "spec", "unhealthyPodEvictionPolicy", NULL));
	return str_is(policy, "AlwaysAllow") || (have >= want && want > 0);
}

static void set_insufficient(struct arena *a, struct json *status)
{
	struct json *list = json_getc(status, "conditions");
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		struct json *c = json_at(list, i);
		if (!str_is(json_str(json_getc(c, "type")), "DisruptionAllowed"))
			continue;
		json_setc(a, c, "status", json_of_cstr("False"));
		json_setc(a, c, "reason", json_of_cstr("InsufficientPods"));
		json_setc(a, c, "lastTransitionTime", json_of_str(object_now(a)));
	}
}

/* Answers and returns false when the budget does not allow it; else its grant goes along with the deletion. */
static bool grant(struct req *r, struct search *s)
{
	struct arena *a = &r->arena;
	struct json *budget = &s->tree, *status = json_child(a, budget, "status");
	struct str name = object_text(budget, "name");
	int64_t allowed = json_i64(json_getc(status, "disruptionsAllowed"), 0);
	if (json_i64(json_getc(status, "observedGeneration"), 0) <
	    json_i64(json_dig(budget, "metadata", "generation", NULL), 0))
		return too_many(r,
				arena_strf(a,
					   "The disruption budget %.*s is still being processed by "
					   "the server.",
					   STR_ARG(name)),
				PROCESSING_RETRY_S);
	if (json_len(json_getc(status, "disruptedPods")) > GRANTS_MAX) {
		req_failf(r, ERR_FORBIDDEN,
			  "DisruptedPods map too big - too many evictions not confirmed by PDB "
			  "controller");
		return false;
	}
	if (allowed <= 0)
		return too_many(
			r,
			arena_strf(a,
				   "The disruption budget %.*s needs %lld healthy pods and has "
				   "%lld currently",
				   STR_ARG(name),
				   (long long)json_i64(json_getc(status, "desiredHealthy"), 0),
				   (long long)json_i64(json_getc(status, "currentHealthy"), 0)),
			0);
	json_setc(a, status, "disruptionsAllowed", json_of_i64(allowed - 1));
	json_set(a, json_child(a, status, "disruptedPods"), r->route.name,
		 json_of_str(object_now(a)));
	if (allowed == 1)
		set_insufficient(a, status);
	r->also[r->also_len++] = (struct store_write){ .op = STORE_UPDATE,
						       .key = arena_str(a, watch_obj_key(s->obj)),
						       .want_rev = watch_obj_rev(s->obj),
						       .value = kind_encode(s->kind, budget) };
	return true;
}

static bool allowed(struct req *r)
{
	struct search s = { .r = r };
	bool ok = true;
	if (!counts(&r->target.tree))
		return true;
	find(&s);
	if (s.found > 1) {
		req_failf(r, ERR_INTERNAL,
			  "This pod has more than one PodDisruptionBudget, which the eviction "
			  "subresource does not support.");
		ok = false;
	} else if (s.found && (is_ready(&r->target.tree) || !unhealthy_may_go(&s.tree))) {
		ok = grant(r, &s);
	}
	watch_obj_unref(s.obj);
	return ok;
}

/* Also after a lost race: then pod and budget are judged anew. */
static void attempt(struct req *r)
{
	req_drop_also(r);
	if (!write_find_tree(r, r->route.name))
		return;
	if (!r->target.old)
		req_fail_not_found(r, r->route.name);
	else if (allowed(r))
		verb_delete(r);
}

static void evict(struct req *r)
{
	struct buf text = { 0 };
	if (!pod_read_body(r))
		return;
	const struct json *o = json_getc(&r->input, "deleteOptions");
	if (o)
		json_write(&text, o);
	r->body = arena_str(&r->arena, buf_str(&text));
	r->content_type = STR("application/json");
	buf_fini(&text);
	r->route.subresource = STR_NONE;
	r->again = attempt;
	attempt(r);
}

void pod_eviction(struct req *r)
{
	req_when_fresh(r, evict);
}
