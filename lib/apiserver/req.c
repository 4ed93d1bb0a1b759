/* The way of a request: limits, who, what, waiting, the verb, the end. */
#include "apiserver/apiserver_priv.h"
#include "apiserver/atomic.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>

enum { REVISION_WAIT_MS = 3000, UUID_BYTES = 16 };

/* On the shard's thread. */
static void make_audit_id(struct req *r)
{
	struct shard *sh = r->shard;
	if (sh->chance_left < UUID_BYTES) {
		clock_random(sh->chance, sizeof(sh->chance));
		sh->chance_left = sizeof(sh->chance);
	}
	sh->chance_left -= UUID_BYTES;
	uuid_v4(sh->chance + sh->chance_left, r->audit_id);
}

struct req *req_new(struct shard *sh)
{
	struct req *r = mem_new(struct req, 1);
	r->s = sh->s;
	r->shard = sh;
	r->start_us = clock_mono_us();
	r->verb = VERB_OTHER;
	return r;
}

void req_drop_also(struct req *r)
{
	for (size_t i = 0; i < r->also_len; i++)
		bytes_unref(r->also[i].value);
	r->also_len = 0;
}

void req_free(struct req *r)
{
	req_drop_also(r);
	assert(r->pending == 0);
	if (r->extra_fini)
		r->extra_fini(r);
	if (r->counted)
		atomic_fetch_sub(&r->s->inflight, 1);
	if (r->is_watch)
		atomic_fetch_sub(&r->s->watches, 1);
	list_del(&r->link);
	watch_obj_unref(r->target.old);
	bytes_unref(r->value);
	kind_set_unref(r->kinds);
	arena_fini(&r->arena);
	mem_free(r);
}

/* ---- waiting ---- */

void req_hold(struct req *r)
{
	r->pending++;
	if (!list_linked(&r->link))
		list_append(&r->shard->pending, &r->link);
}

static void release(struct req *r)
{
	assert(r->pending > 0);
	r->pending--;
	if (r->pending == 0)
		list_del(&r->link);
}

void req_resume(void *req)
{
	struct req *r = req;
	release(r);
	if (!r->gone && !r->answered) {
		if (r->sync_code)
			req_failf(r, ERR_UNAVAILABLE, "the store does not answer");
		else
			r->next(r);
	}
	if (r->pending == 0 && (r->gone || (r->inside && r->answered)))
		req_free(r);
}

static void store_synced(void *arg, enum err_code code, int64_t rev)
{
	(void)rev;
	struct req *r = arg;
	r->sync_code = code;
	loop_post(r->shard->loop, req_resume, r);
}

void req_when_fresh(struct req *r, req_fn next)
{
	r->next = next;
	if (!store_is_shared(r->s->store)) {
		next(r);
		return;
	}
	req_hold(r);
	store_sync(r->s->store, store_synced, r);
}

void req_when_rev(struct req *r, int64_t rev, req_fn next)
{
	r->next = next;
	if (watch_cache_rev(r->s->cache) >= rev) {
		next(r);
		return;
	}
	r->wait_rev = rev;
	r->wait_until_ms = loop_now_ms(r->shard->loop) + REVISION_WAIT_MS;
	req_hold(r);
	list_del(&r->link);
	list_append(&r->shard->waiting, &r->link);
}

static void too_large_revision(struct req *r)
{
	struct status_cause cause = { .reason = STR("ResourceVersionTooLarge"),
				      .message = STR("Too large resource version") };
	struct status st = { .code = ERR_TIMEOUT,
			     .message = arena_strf(
				     &r->arena, "Too large resource version: %lld, current: %lld",
				     (long long)r->wait_rev,
				     (long long)watch_cache_rev(r->s->cache)),
			     .causes = &cause,
			     .causes_len = 1,
			     .retry_after_s = 1 };
	req_fail_status(r, &st);
}

void req_shard_wake(struct shard *sh)
{
	int64_t rev = watch_cache_rev(sh->s->cache);
	list_for_each(it, &sh->waiting)
	{
		struct req *r = list_entry(it, struct req, link);
		if (r->wait_rev <= rev)
			req_resume(r);
	}
}

void req_shard_tick(struct shard *sh)
{
	req_shard_wake(sh);
	uint64_t now = loop_now_ms(sh->loop), now_us = clock_mono_us();
	list_for_each(it, &sh->waiting)
	{
		struct req *r = list_entry(it, struct req, link);
		if (r->gone || r->wait_until_ms <= now) {
			if (!r->gone)
				too_large_revision(r);
			req_resume(r);
		}
	}
	uint64_t limit_us = (uint64_t)sh->s->cfg.request_timeout_ms * 1000;
	list_for_each(it, &sh->pending)
	{
		struct req *r = list_entry(it, struct req, link);
		if (!r->answered && !r->gone && now_us - r->start_us > limit_us)
			req_failf(r, ERR_TIMEOUT,
				  "Timeout: request did not complete within the allotted time; "
				  "whether a "
				  "write was done is not known");
	}
}

/* ---- what is asked ---- */

static enum verb verb_number(struct str verb)
{
	static const char *const names[VERB_OTHER] = { "get",    "list",   "watch",
						       "create", "update", "patch",
						       "apply",  "delete", "deletecollection" };
	for (size_t i = 0; i < VERB_OTHER; i++)
		if (str_is(verb, names[i]))
			return (enum verb)i;
	return VERB_OTHER;
}

/* RequestInfo takes the name of a list or watch from fieldSelector=metadata.name=NAME. */
static struct str selected_name(struct req *r)
{
	struct field_selector f;
	struct str name = STR_NONE;
	if (r->opt.field_selector.len == 0 ||
	    field_selector_parse(&r->arena, r->opt.field_selector, &f, NULL))
		return STR_NONE;
	(void)field_selector_requires(&f, STR("metadata.name"), &name);
	return name;
}

static void fill_action(struct req *r, struct auth_action *a)
{
	*a = (struct auth_action){ .verb = r->route.verb };
	if (!r->route.is_resource) {
		a->path = r->route.path;
		return;
	}
	a->group = r->route.group;
	a->resource = r->route.resource;
	a->subresource = r->route.subresource;
	a->ns = r->route.ns;
	a->name = r->route.name;
	if (r->verb == VERB_LIST || r->verb == VERB_WATCH || r->verb == VERB_DELETECOLLECTION) {
		a->fields = r->opt.field_selector;
		if (a->name.len == 0)
			a->name = selected_name(r);
	}
}

static int understand(struct req *r, struct error *err)
{
	struct str target = r->path;
	if (r->query.len)
		target = arena_strf(&r->arena, "%.*s?%.*s", STR_ARG(r->path), STR_ARG(r->query));
	int rc = route_parse(&r->arena, r->method, target, &r->route, err);
	if (rc)
		return rc;
	r->query = r->route.query;
	struct kind_set *of_set = atomic_kinds(r);
	r->kinds = of_set ? kind_set_ref(of_set) : kinds_get(r->s);
	r->program_route = paths_route(r);
	/* The query of a route is the route's own matter. */
	if (r->program_route || !r->route.is_resource) {
		r->opt = (struct options){ .resource_version = -1, .grace_s = -1 };
		return 0;
	}
	rc = options_parse(&r->arena, r->query, &r->opt, err);
	if (rc == 0 && str_is(r->route.verb, "list"))
		rc = options_check_list(&r->opt, err);
	if (rc == ERR_INVALID)
		return error_wrap(err, "%s.meta.k8s.io \"\" is invalid",
				  options_kind(r->route.verb));
	if (rc)
		return rc;
	if (r->opt.watch && str_is(r->route.verb, "list"))
		r->route.verb = STR("watch");
	r->verb = verb_number(r->route.verb);
	return accept_parse(r->accept_header, r->encoding, &r->accept, err);
}

static bool over_limits(struct req *r)
{
	struct apiserver *s = r->s;
	bool stream = r->verb == VERB_WATCH || (r->program_route && r->program_route->stream);
	_Atomic int64_t *counter = stream ? &s->watches : &s->inflight;
	int64_t max = stream ? s->cfg.watches_max : s->cfg.inflight_max;
	if (atomic_fetch_add(counter, 1) >= max) {
		atomic_fetch_sub(counter, 1);
		metric_add(s->rejected, 1);
		req_failf(r, ERR_LIMIT,
			  "The server has received too many requests and has asked us to try again "
			  "later");
		return true;
	}
	r->is_watch = stream;
	r->counted = !stream;
	return false;
}

/* Probes must be answered when everything else is refused. */
static bool is_health(const struct req *r)
{
	return str_starts(r->path, STR("/healthz")) || str_starts(r->path, STR("/livez")) ||
	       str_starts(r->path, STR("/readyz"));
}

void req_headers(struct req *r)
{
	struct error err = { 0 };
	make_audit_id(r);
	int rc = r->inside ? 0 : user_authenticate(r, &err);
	if (rc == 0)
		rc = understand(r, &err);
	if (rc == 0) {
		fill_action(r, &r->info.action);
		rc = user_authorize(r, &r->info.action, &err);
		if (rc && r->user.name.len == 0)
			rc = error_set(&err, ERR_UNAUTHORIZED, "Unauthorized");
	}
	if (rc)
		req_fail(r, &err);
	else if (!r->inside && !is_health(r))
		(void)over_limits(r);
}

/* ---- what is done ---- */

static unsigned verb_bit(enum verb v)
{
	static const unsigned bits[VERBS] = {
		[VERB_GET] = KIND_GET,
		[VERB_LIST] = KIND_LIST,
		[VERB_WATCH] = KIND_WATCH,
		[VERB_CREATE] = KIND_CREATE,
		[VERB_UPDATE] = KIND_UPDATE,
		[VERB_PATCH] = KIND_PATCH,
		[VERB_APPLY] = KIND_PATCH,
		[VERB_DELETE] = KIND_DELETE,
		[VERB_DELETECOLLECTION] = KIND_DELETECOLLECTION,
		[VERB_OTHER] = 0,
	};
	return bits[v];
}

static void run_verb(struct req *r)
{
	static const req_fn fns[VERB_OTHER] = {
		[VERB_GET] = verb_get,
		[VERB_LIST] = verb_list,
		[VERB_WATCH] = verb_watch,
		[VERB_CREATE] = verb_create,
		[VERB_UPDATE] = verb_update,
		[VERB_PATCH] = verb_patch,
		[VERB_APPLY] = verb_patch,
		[VERB_DELETE] = verb_delete,
		[VERB_DELETECOLLECTION] = verb_delete_collection,
	};
	fns[r->verb](r);
}

static bool subresource_known(const struct req *r)
{
	struct str sub = r->route.subresource;
	return sub.len == 0 ||
	       (str_is(sub, "status") && r->kind->has_status &&
		(r->verb == VERB_GET || r->verb == VERB_UPDATE || r->verb == VERB_PATCH));
}

/* What Kubernetes has and kubectl asks for, but nothing here does. */
static bool fail_unserved(struct req *r)
{
	static const struct {
		const char *subresource, *what;
	} unserved[] = {
		{ "exec", "commands cannot be run in pods over the API yet: log in to its node "
			  "(kubectl get pod -o wide) and use nsenter" },
		{ "attach",
		  "pods cannot be attached to over the API yet: read what they print with "
		  "kubectl logs -f" },
		{ "portforward", "ports cannot be forwarded over the API yet: connect to the "
				 "pod's address (kubectl get pod -o wide)" },
		{ "ephemeralcontainers", "pods cannot be given containers while they run: put what "
					 "is needed into the template" },
		{ "proxy", "the API does not pass requests on to pods: connect to the pod's "
			   "address (kubectl get pod -o wide)" },
	};
	struct str sub = r->route.subresource;
	for (size_t i = 0; i < sizeof(unserved) / sizeof(*unserved); i++)
		if (sub.len && str_is(r->kind->resource_key, "/pods") &&
		    str_is(sub, unserved[i].subresource)) {
			req_failf(r, ERR_NOT_SERVED, "%s", unserved[i].what);
			return true;
		}
	return false;
}

static void serve_resource(struct req *r)
{
	const struct route *t = &r->route;
	const struct kind *k = kind_find(r->kinds, t->group, t->version, t->resource);
	bool scope_ok = k && (k->namespaced ? t->name.len == 0 || t->ns.len > 0
					    : t->ns.len == 0 || str_is(k->plural, "namespaces"));
	if (!k || !scope_ok) {
		req_failf(r, ERR_NOT_FOUND, "the server could not find the requested resource");
		return;
	}
	r->kind = k;
	if (verb_special(r) || fail_unserved(r))
		return;
	if (!subresource_known(r)) {
		req_failf(r, ERR_NOT_FOUND, "the server could not find the requested resource");
		return;
	}
	/* The janitor alone empties a resource across all namespaces. */
	bool needs_ns =
		k->namespaced && t->ns.len == 0 &&
		(r->verb == VERB_CREATE || (r->verb == VERB_DELETECOLLECTION && !r->inside));
	bool bad_create = r->verb == VERB_CREATE && t->name.len;
	if (!(k->verbs & verb_bit(r->verb)) || needs_ns || bad_create) {
		req_failf(r, ERR_METHOD,
			  "the server does not allow this method on the requested resource");
		return;
	}
	run_verb(r);
}

static void serve_program_route(struct req *r)
{
	const struct apiserver_route *t = r->program_route;
	if (r->inside || !r->http) {
		req_failf(r, ERR_METHOD, "this path is served to connections only");
		return;
	}
	if (!t->body && r->body.len) {
		req_failf(r, ERR_BAD_REQUEST, "this path takes no body");
		return;
	}
	r->info.user = &r->user;
	r->info.query = r->query;
	r->info.path_rest =
		t->prefix ? str_sub(r->path, strlen(t->prefix), r->path.len) : r->route.rest;
	r->route_called = true;
	t->fn(t->arg, r->http, &r->info);
}

void req_dispatch(struct req *r)
{
	if (r->answered)
		return;
	if (r->program_route)
		serve_program_route(r);
	else if (r->route.is_resource)
		serve_resource(r);
	else
		paths_serve(r);
}
