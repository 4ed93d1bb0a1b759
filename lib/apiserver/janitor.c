#include "apiserver/janitor.h"

#include "base/log.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "text/rfc3339.h"
#include "text/url.h"

#define NAMESPACES "/namespaces"
#define CRDS       "apiextensions.k8s.io/customresourcedefinitions"
#define EVENTS     "/events"

#define CLUSTER_ROLES "rbac.authorization.k8s.io/clusterroles"

struct str janitor_resource(struct str key)
{
	ptrdiff_t slash = str_find(key, '/', 0);
	slash = slash < 0 ? -1 : str_find(key, '/', (size_t)slash + 1);
	return slash < 0 ? key : str_sub(key, 0, (size_t)slash);
}

struct str janitor_path(struct arena *a, const struct kind *k, struct str ns, struct str name)
{
	struct buf out = { 0 };
	buf_addf(&out, "/%s/%.*s", k->group.len ? "apis" : "api", STR_ARG(k->api_version));
	if (k->namespaced && ns.len)
		buf_addf(&out, "/namespaces/%.*s", STR_ARG(ns));
	buf_addf(&out, "/%.*s", STR_ARG(k->plural));
	if (name.len) {
		buf_addc(&out, '/');
		url_encode(&out, name);
	}
	struct str path = arena_str(a, buf_str(&out));
	buf_fini(&out);
	return path;
}

/* ---- the queue ---- */

static void work_free(struct work *w)
{
	list_del(&w->link);
	loop_timer_stop(&w->timer);
	(void)map_del(&w->j->works, str_of(w->key));
	mem_free(w);
}

static void schedule(struct janitor *j)
{
	if (!j->stopped && !loop_timer_armed(&j->turn))
		loop_timer_set(j->loop, &j->turn, 0);
}

static void on_retry(struct loop_timer *t)
{
	struct work *w = container_of(t, struct work, timer);
	if (!list_linked(&w->link))
		list_append(&w->j->queue, &w->link);
	schedule(w->j);
}

static struct work *work_get(struct janitor *j, struct str key)
{
	struct work *w = map_get(&j->works, key);
	if (w)
		return w;
	w = mem_new_flex(struct work, key, key.len + 1);
	memcpy(w->key, key.p, key.len);
	w->j = j;
	w->timer.fn = on_retry;
	map_set(&j->works, key, w);
	return w;
}

void janitor_add(struct janitor *j, struct str key)
{
	if (j->stopped)
		return;
	struct work *w = work_get(j, key);
	if (w->running) {
		w->again = true;
		return;
	}
	w->attempts = 0;
	loop_timer_stop(&w->timer);
	if (!list_linked(&w->link))
		list_append(&j->queue, &w->link);
	schedule(j);
}

static void wait(struct work *w, uint64_t delay_ms)
{
	w->due_ms = clock_mono_ms() + delay_ms;
	loop_timer_set(w->j->loop, &w->timer, delay_ms);
}

void janitor_add_after(struct janitor *j, struct str key, uint64_t delay_ms)
{
	if (j->stopped)
		return;
	struct work *w = work_get(j, key);
	if (w->running)
		w->again = true;
	else if (list_linked(&w->link))
		return; /* sooner than that */
	else if (!loop_timer_armed(&w->timer) || w->due_ms > clock_mono_ms() + delay_ms)
		wait(w, delay_ms);
}

/* All calls of a pass are answered. */
static void pass_over(struct work *w)
{
	struct janitor *j = w->j;
	w->running = false;
	j->running--;
	if (j->stopped) {
		work_free(w);
	} else if (w->again) {
		w->again = false;
		list_append(&j->queue, &w->link);
	} else if (w->failed) {
		unsigned shift = w->attempts < 6 ? w->attempts : 6;
		uint64_t delay = (uint64_t)JANITOR_RETRY_MS << shift;
		w->attempts++;
		wait(w, delay < JANITOR_RETRY_MAX_MS ? delay : JANITOR_RETRY_MAX_MS);
	} else {
		work_free(w);
	}
	schedule(j);
}

static void call_done(void *arg, int status, struct str reply)
{
	(void)reply;
	struct work *w = arg;
	/* Gone already, or changed under us: both are looked at again, neither is a failure. */
	if (status >= 400 && status != 404 && status != 409)
		w->failed++;
	if (status == 409)
		w->again = true;
	if (--w->calls == 0)
		pass_over(w);
}

bool janitor_call_ok(const struct pass *p)
{
	return p->w->calls < JANITOR_CALLS_MAX;
}

void janitor_call(struct pass *p, const char *method, struct str path, const struct json *body)
{
	struct apiserver_call c = { .method = str_of(method),
				    .path = path,
				    .content_type = STR("application/json"),
				    .user = &p->j->user };
	if (body)
		c.body = json_text(&p->arena, body);
	p->w->calls++;
	apiserver_call(p->j->s, p->j->loop, &c, call_done, p->w);
}

static void look(struct pass *p)
{
	struct str resource = janitor_resource(str_of(p->w->key));
	p->obj = watch_snap_find(p->snap, str_of(p->w->key));
	p->kind = kind_find_key(p->kinds, resource);
	if (!p->obj || !p->kind)
		return;
	if (p->w->expire) {
		if (watch_obj_rev(p->obj) == p->w->expire_rev)
			janitor_call(p, "DELETE",
				     janitor_path(&p->arena, p->kind, watch_obj_namespace(p->obj),
						  watch_obj_name(p->obj)),
				     NULL);
		p->w->expire = false;
		return;
	}
	if (object_parse(&p->arena, p->kind, p->obj, &p->tree, NULL))
		return;
	owners_pass(p);
	if (p->w->calls > 1)
		return;
	if (!object_deleting(&p->tree)) {
		if (str_is(resource, CRDS))
			contents_crd_names(p);
		else if (str_is(resource, CLUSTER_ROLES))
			aggregate_pass(p);
		else if (str_is(resource, "/resourcequotas"))
			quota_pass(p);
		return;
	}
	if (str_is(resource, NAMESPACES))
		contents_namespace(p);
	else if (str_is(resource, CRDS))
		contents_crd(p);
}

static void run(struct janitor *j, struct work *w)
{
	struct pass p = { .j = j, .w = w };
	list_del(&w->link);
	w->running = true;
	w->again = false;
	w->failed = 0;
	j->running++;
	p.snap = watch_snap_get(j->s->cache);
	p.kinds = kinds_get(j->s);
	/* One call more, so that answers cannot end the pass while it goes on. */
	w->calls = 1;
	look(&p);
	watch_snap_unref(p.snap);
	kind_set_unref(p.kinds);
	arena_fini(&p.arena);
	if (--w->calls == 0)
		pass_over(w);
}

static void on_turn(struct loop_timer *t)
{
	struct janitor *j = container_of(t, struct janitor, turn);
	for (int i = 0;
	     i < JANITOR_SLICE && !list_empty(&j->queue) && j->running < JANITOR_RUNNING_MAX; i++)
		run(j, list_entry(j->queue.next, struct work, link));
	if (!list_empty(&j->queue) && j->running < JANITOR_RUNNING_MAX)
		schedule(j);
}

/* ---- what happens ---- */

static bool looks_deleting(const struct watch_obj *o)
{
	return str_find_str(watch_obj_json(o), STR("\"deletionTimestamp\":\""), 0) >= 0;
}

static void object_event(struct janitor *j, const struct watch_event *e)
{
	struct str key = watch_obj_key(e->obj);
	owners_event(j, e);
	if (str_is(janitor_resource(key), CLUSTER_ROLES))
		aggregate_event(j);
	quota_event(j, e);
	if (e->type != WATCH_ADDED && kinds_is_crd_key(key))
		contents_crd_event(j);
	if (e->type != WATCH_DELETED) {
		if (str_is(janitor_resource(key), EVENTS))
			expire_add(j, e->obj, clock_unix_ms() + j->s->cfg.event_ttl_ms);
		else if (looks_deleting(e->obj) ||
			 (e->type == WATCH_ADDED && watch_obj_owners(e->obj)))
			janitor_add(j, key);
		return;
	}
	/* A namespace or definition that waits for its contents to go has an item while it does. */
	char parent[1024];
	struct str ns = watch_obj_namespace(e->obj), res = janitor_resource(key);
	int n = snprintf(parent, sizeof(parent), NAMESPACES "//%.*s", STR_ARG(ns));
	if (ns.len && map_get(&j->works, str_n(parent, (size_t)n)))
		janitor_add(j, str_n(parent, (size_t)n));
	ptrdiff_t slash = str_find(res, '/', 0);
	struct str group = str_sub(res, 0, (size_t)slash),
		   plural = str_sub(res, (size_t)slash + 1, res.len);
	n = snprintf(parent, sizeof(parent), CRDS "//%.*s.%.*s", STR_ARG(plural), STR_ARG(group));
	if (map_get(&j->works, str_n(parent, (size_t)n)))
		janitor_add(j, str_n(parent, (size_t)n));
}

static void on_batch(void *arg, struct watch_event *const *ev, size_t n, int64_t rev)
{
	(void)rev;
	struct janitor *j = arg;
	for (size_t i = 0; i < n; i++)
		object_event(j, ev[i]);
}

/* When an Event that was there before us has to go: by what it says of itself. */
static int64_t event_due(struct janitor *j, const struct watch_obj *o)
{
	static const char *const fields[] = { "lastTimestamp", "eventTime" };
	struct arena scratch = { 0 };
	struct json tree = { 0 };
	int64_t ms = 0, at = 0;
	if (json_parse(&scratch, watch_obj_json(o), NULL, &tree, NULL) == 0) {
		(void)rfc3339_parse_ms(object_text(&tree, "creationTimestamp"), &ms);
		for (size_t i = 0; i < 2; i++)
			if (rfc3339_parse_ms(json_str(json_getc(&tree, fields[i])), &at) && at > ms)
				ms = at;
	}
	arena_fini(&scratch);
	return ms + j->s->cfg.event_ttl_ms;
}

static bool load_one(void *arg, struct watch_obj *o)
{
	struct janitor *j = arg;
	struct str key = watch_obj_key(o);
	owners_load(j, o);
	if (str_is(janitor_resource(key), EVENTS))
		expire_add(j, o, event_due(j, o));
	else if (watch_obj_owners(o) || looks_deleting(o))
		janitor_add(j, key);
	return true;
}

static void on_events_timer(struct loop_timer *t)
{
	struct janitor *j = container_of(t, struct janitor, events_timer);
	expire_turn(j);
	loop_timer_set(j->loop, t, JANITOR_EVENTS_MS);
}

/* ---- namespaces that always are ---- */

static const char *const boot_namespaces[] = { "default", "kube-system", "kube-public",
					       "kube-node-lease" };

static void boot_next(struct janitor *j);

static bool boot_item(size_t i, struct arena *a, struct str *path, struct str *body);
static void boot_done(void *arg, int status, struct str reply);

/* The item is there already.  One that lacks what this server gives it is written anew: true. */
static bool boot_update(struct janitor *j)
{
	struct arena a = { 0 };
	struct str path, body;
	struct json wanted = { 0 }, have = { 0 };
	const struct kind *k = kind_find_key(j->s->builtin, STR(CLUSTER_ROLES));
	struct watch_snap *snap = watch_snap_get(j->s->cache);
	bool changed = false;
	if (boot_item(j->boot_at, &a, &path, &body) && str_ends(path, STR("/clusterroles")) &&
	    json_parse(&a, body, NULL, &wanted, NULL) == 0) {
		struct str name = object_text(&wanted, "name");
		struct watch_obj *o = watch_snap_find(snap, object_key(&a, k, STR_NONE, name));
		changed = o && object_parse(&a, k, o, &have, NULL) == 0 &&
			  defaults_update(&a, &have, &wanted);
		if (changed)
			apiserver_call(j->s, j->loop,
				       &(struct apiserver_call){
					       .method = STR("PUT"),
					       .path = janitor_path(&a, k, STR_NONE, name),
					       .content_type = STR("application/json"),
					       .body = json_text(&a, &have),
					       .user = &j->user },
				       boot_done, j);
	}
	watch_snap_unref(snap);
	arena_fini(&a);
	return changed;
}

static void boot_done(void *arg, int status, struct str reply)
{
	struct janitor *j = arg;
	if (j->stopped)
		return;
	if (status == 409 && boot_update(j))
		return;
	if (status == 201 || status == 200 || status == 409) {
		j->boot_at++;
		boot_next(j);
		return;
	}
	log_warn("default-not-created", "index", LOG_I((int64_t)j->boot_at), "status",
		 LOG_I(status), "reply", LOG_STR(reply), NULL);
	loop_timer_set(j->loop, &j->boot_timer, JANITOR_RETRY_MS);
}

/* What is made i-th: the namespaces, then the roles; false at the end. */
static bool boot_item(size_t i, struct arena *a, struct str *path, struct str *body)
{
	size_t namespaces = sizeof(boot_namespaces) / sizeof(*boot_namespaces);
	if (i >= namespaces)
		return defaults_at(i - namespaces, path, body, a);
	*path = STR("/api/v1/namespaces");
	*body = arena_strf(
		a, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}",
		boot_namespaces[i]);
	return true;
}

static void boot_next(struct janitor *j)
{
	struct arena a = { 0 };
	struct apiserver_call c = { .method = STR("POST"),
				    .content_type = STR("application/json"),
				    .user = &j->user };
	if (boot_item(j->boot_at, &a, &c.path, &c.body))
		apiserver_call(j->s, j->loop, &c, boot_done, j);
	else
		atomic_store(&j->s->booted, true);
	arena_fini(&a);
}

static void on_boot(struct loop_timer *t)
{
	boot_next(container_of(t, struct janitor, boot_timer));
}

/* ---- life ---- */

struct janitor *janitor_new(struct apiserver *s)
{
	struct janitor *j = mem_new(struct janitor, 1);
	j->s = s;
	j->loop = s->shards[0].loop;
	j->user = (struct auth_user){ .name = STR("system:apiserver"),
				      .groups = { STR("system:masters") },
				      .groups_len = 1 };
	list_init(&j->queue);
	j->turn.fn = on_turn;
	j->events_timer.fn = on_events_timer;
	j->boot_timer.fn = on_boot;
	struct watch_snap *snap = NULL;
	j->sub = apiserver_subscribe(s, j->loop, on_batch, j, &snap);
	watch_snap_walk(snap, STR(""), STR(""), load_one, j);
	watch_snap_unref(snap);
	loop_timer_set(j->loop, &j->events_timer, JANITOR_EVENTS_MS);
	loop_timer_set(j->loop, &j->boot_timer, 0);
	return j;
}

void janitor_stop(struct janitor *j)
{
	if (!j)
		return;
	j->stopped = true;
	apiserver_unsubscribe(j->sub);
	j->sub = NULL;
	loop_timer_stop(&j->turn);
	loop_timer_stop(&j->events_timer);
	loop_timer_stop(&j->boot_timer);
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&j->works, &pos, &key, &value))
		loop_timer_stop(&((struct work *)value)->timer);
}

struct janitor *janitor_free(struct janitor *j)
{
	if (!j)
		return NULL;
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&j->works, &pos, &key, &value))
		mem_free(value);
	map_fini(&j->works);
	owners_fini(j);
	expire_fini(j);
	mem_free(j);
	return NULL;
}
