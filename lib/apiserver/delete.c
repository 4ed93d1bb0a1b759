/* Deletion: at once, or by marks that finalizers, grace and the janitor work off. */
#include "apiserver/apiserver_priv.h"
#include "base/mem.h"
#include "sys/clock.h"
#include "text/rfc3339.h"

enum { POD_GRACE_S = 30, COLLECTION_CHUNK = 256 };

#define FINALIZER_ORPHAN     "orphan"
#define FINALIZER_FOREGROUND "foregroundDeletion"

/* ---- what a deletion makes of an object: pure ---- */

static bool is_core(const struct kind *k, const char *plural)
{
	return k->group.len == 0 && str_is(k->plural, plural);
}

static bool has_text(const struct json *list, const char *text)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_at(list, i)), text))
			return true;
	return false;
}

static void set_finalizer(struct arena *a, struct json *meta, const char *name, bool on)
{
	struct json *list = json_getc(meta, "finalizers");
	if (on && !has_text(list, name)) {
		if (!json_is(list, JSON_ARRAY))
			list = json_setc(a, meta, "finalizers", json_array());
		json_push(a, list, json_of_cstr(name));
	}
	for (size_t i = json_len(list); !on && i > 0; i--)
		if (str_is(json_str(json_at(list, i - 1)), name))
			json_remove_at(list, i - 1);
	if (list && json_len(list) == 0)
		json_removec(meta, "finalizers");
}

static bool held(const struct kind *k, const struct json *obj)
{
	return json_len(json_dig(obj, "metadata", "finalizers", NULL)) > 0 ||
	       (is_core(k, "namespaces") &&
		json_len(json_dig(obj, "spec", "finalizers", NULL)) > 0);
}

bool delete_due(const struct kind *k, const struct json *obj)
{
	return object_deleting(obj) && !held(k, obj) &&
	       json_i64(json_dig(obj, "metadata", "deletionGracePeriodSeconds", NULL), 0) == 0;
}

/* A pod that runs somewhere is given time; its agent confirms the end by a deletion without grace. */
static int64_t grace_of(const struct kind *k, const struct delete_options *o,
			const struct json *obj)
{
	if (!is_core(k, "pods") || !json_str(json_dig(obj, "spec", "nodeName", NULL)).len)
		return 0;
	struct str phase = json_str(json_dig(obj, "status", "phase", NULL));
	if (str_is(phase, "Succeeded") || str_is(phase, "Failed"))
		return 0;
	if (o->grace_s >= 0)
		return o->grace_s;
	return json_i64(json_dig(obj, "spec", "terminationGracePeriodSeconds", NULL), POD_GRACE_S);
}

static void set_deadline(struct arena *a, struct json *meta, int64_t now_s, int64_t grace_s)
{
	struct buf text = { 0 };
	rfc3339_write(&text, now_s + grace_s);
	json_setc(a, meta, "deletionTimestamp", json_of_str(arena_str(a, buf_str(&text))));
	json_setc(a, meta, "deletionGracePeriodSeconds", json_of_i64(grace_s));
	buf_fini(&text);
}

bool delete_marks(struct arena *a, const struct kind *k, const struct delete_options *o,
		  int64_t now_s, struct json *obj)
{
	struct json *meta = json_child(a, obj, "metadata");
	int64_t grace = grace_of(k, o, obj);
	bool deleting = object_deleting(obj);
	if (o->propagation == PROPAGATE_ORPHAN || o->propagation == PROPAGATE_FOREGROUND ||
	    o->propagation == PROPAGATE_BACKGROUND) {
		set_finalizer(a, meta, FINALIZER_ORPHAN, o->propagation == PROPAGATE_ORPHAN);
		set_finalizer(a, meta, FINALIZER_FOREGROUND,
			      o->propagation == PROPAGATE_FOREGROUND);
	}
	if (grace == 0 && !held(k, obj))
		return false;
	int64_t before = json_i64(json_getc(meta, "deletionGracePeriodSeconds"), 0);
	if (!deleting) {
		set_deadline(a, meta, now_s, grace);
		int64_t generation = json_i64(json_getc(meta, "generation"), 0);
		if (generation > 0)
			json_setc(a, meta, "generation", json_of_i64(generation + 1));
	} else if (grace < before) {
		set_deadline(a, meta, now_s, grace);
	}
	if (is_core(k, "namespaces"))
		json_setc(a, json_child(a, obj, "status"), "phase", json_of_cstr("Terminating"));
	return true;
}

/* ---- options ---- */

static int read_dry_run(struct req *r, const struct json *list, struct error *err)
{
	for (size_t i = 0; i < json_len(list); i++) {
		struct str v = json_str(json_at(list, i));
		if (!str_is(v, "All"))
			return error_set(err, ERR_INVALID,
					 "dryRun: Unsupported value: \"%.*s\": supported values: "
					 "\"All\"",
					 STR_ARG(v));
		r->opt.dry_run = true;
	}
	return 0;
}

static bool read_options(struct req *r, struct delete_options *o)
{
	struct error err = { 0 };
	struct json body = { 0 };
	*o = (struct delete_options){ .grace_s = r->opt.grace_s };
	struct str policy = r->opt.propagation_policy;
	if (str_trim(r->body).len && !write_read_tree(r, &body))
		return false;
	if (json_getc(&body, "propagationPolicy"))
		policy = json_str(json_getc(&body, "propagationPolicy"));
	if (json_getc(&body, "gracePeriodSeconds")) {
		/* Kubernetes takes less than nothing for one second. */
		int64_t s = json_i64(json_getc(&body, "gracePeriodSeconds"), o->grace_s);
		o->grace_s = s < 0 ? 1 : s;
	}
	o->uid = json_str(json_dig(&body, "preconditions", "uid", NULL));
	(void)str_to_i64(json_str(json_dig(&body, "preconditions", "resourceVersion", NULL)),
			 &o->resource_version);
	int rc = read_dry_run(r, json_getc(&body, "dryRun"), &err);
	if (rc == 0 && json_getc(&body, "orphanDependents") && policy.len)
		rc = error_set(&err, ERR_INVALID,
			       "propagationPolicy: Invalid value: \"%.*s\": orphanDependents and "
			       "deletionPropagation cannot be both set",
			       STR_ARG(policy));
	if (rc == 0 && json_bool(json_getc(&body, "orphanDependents"), false))
		policy = STR("Orphan");
	if (rc == 0)
		rc = route_propagation_of(policy, &o->propagation, &err);
	if (rc) {
		(void)error_wrap(&err, "DeleteOptions.meta.k8s.io \"\" is invalid");
		req_fail(r, &err);
	}
	return rc == 0;
}

/* ---- one object ---- */

struct deletion {
	struct delete_options options;
	bool removed;
};

static void answer(struct req *r, const struct bytes *value, int64_t rev)
{
	const struct deletion *d = r->extra;
	if (r->verb == VERB_CREATE) { /* an eviction */
		pod_reply_success(r);
		return;
	}
	if (!d->removed || is_core(r->kind, "pods")) {
		req_reply_object(r, 200, object_with_rev(r->kind, value, rev));
		return;
	}
	struct buf out = { 0 };
	status_success(&out, r->kind, r->route.name, object_text(&r->target.tree, "uid"));
	req_reply_text(r, 200, "application/json", &out);
}

static void attempt(struct req *r);

static void stored(struct req *r)
{
	if (r->result.code == 0)
		answer(r, r->value, r->result.rev);
	else if (r->result.code != ERR_CONFLICT || r->result.fenced)
		write_failed(r);
	else if (!write_lost_race(r, r->again ? r->again : attempt))
		req_fail_modified(r, r->route.name);
}

static bool preconditions(struct req *r, const struct delete_options *o)
{
	struct str uid = object_text(&r->target.tree, "uid");
	int64_t rev = watch_obj_rev(r->target.old);
	char *why = NULL;
	if (o->uid.len && !str_eq(o->uid, uid))
		why = arena_printf(
			&r->arena,
			"Precondition failed: UID in precondition: %.*s, UID in object meta: "
			"%.*s",
			STR_ARG(o->uid), STR_ARG(uid));
	else if (o->resource_version && o->resource_version != rev)
		why = arena_printf(&r->arena,
				   "Precondition failed: ResourceVersion in precondition: %lld, "
				   "ResourceVersion in object meta: %lld",
				   (long long)o->resource_version, (long long)rev);
	if (why)
		req_fail_precondition(r, r->route.name, why);
	return why == NULL;
}

static void attempt(struct req *r)
{
	struct deletion *d = r->extra;
	if (!write_find_tree(r, r->route.name))
		return;
	if (!r->target.old) {
		req_fail_not_found(r, r->route.name);
		return;
	}
	if (!preconditions(r, &d->options))
		return;
	/* The tree is read again for each attempt: it may be marked in place. */
	struct json *obj = &r->target.tree;
	d->removed = !delete_marks(&r->arena, r->kind, &d->options, clock_unix_ms() / 1000, obj);
	struct bytes *value = kind_encode(r->kind, obj);
	int64_t rev = watch_obj_rev(r->target.old);
	if (r->opt.dry_run || (!d->removed && object_same(r->target.old, value))) {
		answer(r, value, rev);
		bytes_unref(value);
		return;
	}
	write_submit(r, d->removed ? STORE_DELETE : STORE_UPDATE, r->target.key, rev, value,
		     stored);
}

/* What the server made for itself it would make again. */
static bool is_permanent(const struct req *r)
{
	static const char *const names[] = { "default", "kube-system", "kube-public",
					     "kube-node-lease" };
	for (size_t i = 0; is_core(r->kind, "namespaces") && i < 4; i++)
		if (str_is(r->route.name, names[i]))
			return true;
	return false;
}

void verb_delete(struct req *r)
{
	if (is_permanent(r)) {
		req_failf(r, ERR_FORBIDDEN,
			  "namespaces \"%.*s\" is forbidden: this namespace may not be deleted",
			  STR_ARG(r->route.name));
		return;
	}
	struct deletion *d = arena_new(&r->arena, struct deletion, 1);
	if (!read_options(r, &d->options))
		return;
	r->extra = d;
	req_when_fresh(r, attempt);
}

/* ---- many objects ---- */

struct collection {
	struct delete_options options;
	struct select select;
	struct watch_snap *snap;
	struct watch_obj **objs; /* references */
	size_t len, cap, at;
	struct http_body items;
	size_t items_len;
	/* the chunk under way */
	struct store_write writes[COLLECTION_CHUNK];
	struct store_result results[COLLECTION_CHUNK];
	size_t writes_len;
	size_t which[COLLECTION_CHUNK];
};

static void collection_fini(struct req *r)
{
	struct collection *c = r->extra;
	for (size_t i = 0; i < c->len; i++)
		watch_obj_unref(c->objs[i]);
	mem_free(c->objs);
	http_body_fini(&c->items);
}

static bool collect(void *arg, struct watch_obj *o)
{
	struct collection *c = arg;
	if (select_match(&c->select, o)) {
		mem_grow(c->objs, c->len, c->cap);
		c->objs[c->len++] = watch_obj_ref(o);
	}
	return true;
}

static void collection_answer(struct req *r)
{
	struct collection *c = r->extra;
	struct buf head = { 0 };
	buf_adds(&head, "{\"kind\":");
	json_write_str(&head, r->kind->list_kind);
	buf_adds(&head, ",\"apiVersion\":");
	json_write_str(&head, r->kind->api_version);
	buf_addf(&head, ",\"metadata\":{\"resourceVersion\":\"%lld\"},\"items\":[",
		 (long long)watch_cache_rev(r->s->cache));
	struct http_body body = { 0 };
	http_body_give(&body, bytes_of_str(buf_str(&head)));
	buf_fini(&head);
	http_body_move(&body, &c->items);
	http_body_lit(&body, STR("]}\n"));
	req_reply_body(r, 200, "application/json", NULL, &body);
}

static void next_chunk(struct req *r);

static void add_deleted(struct req *r, struct watch_obj *o)
{
	struct collection *c = r->extra;
	if (c->items_len++)
		http_body_lit(&c->items, STR(","));
	http_body_give(&c->items, object_bytes(r->kind, o));
}

/* What somebody else changed meanwhile is looked at again in the next chunk. */
static void chunk_stored(struct req *r)
{
	struct collection *c = r->extra;
	for (size_t i = 0; i < c->writes_len; i++)
		bytes_unref(c->writes[i].value);
	for (size_t i = 0; i < c->writes_len; i++) {
		const struct store_result *res = &c->results[i];
		struct watch_obj *o = c->objs[c->which[i]];
		if (res->code == 0) {
			add_deleted(r, o);
			continue;
		}
		if (res->code != ERR_CONFLICT || res->fenced) {
			r->result = *res;
			write_failed(r);
			return;
		}
		if (r->tries++ < CONFLICT_RETRIES_MAX) {
			mem_grow(c->objs, c->len, c->cap);
			c->objs[c->len++] = watch_obj_ref(o);
		}
	}
	next_chunk(r);
}

static void chunk_done(void *arg, const struct store_result *results, size_t n)
{
	struct req *r = arg;
	struct collection *c = r->extra;
	memcpy(c->results, results, n * sizeof(*results));
	loop_post(r->shard->loop, req_resume, r);
}

static void add_write(struct req *r, size_t i, struct watch_obj *now)
{
	struct collection *c = r->extra;
	struct arena *a = &r->arena;
	struct json obj = { 0 };
	if (object_parse(a, r->kind, now, &obj, NULL))
		return;
	bool marked = delete_marks(a, r->kind, &c->options, clock_unix_ms() / 1000, &obj);
	struct bytes *value = kind_encode(r->kind, &obj);
	if (r->opt.dry_run || (marked && object_same(now, value))) {
		add_deleted(r, now);
		bytes_unref(value);
		return;
	}
	c->which[c->writes_len] = i;
	c->writes[c->writes_len++] =
		(struct store_write){ .op = marked ? STORE_UPDATE : STORE_DELETE,
				      .key = arena_str(a, watch_obj_key(now)),
				      .want_rev = watch_obj_rev(now),
				      .value = value };
}

static void next_chunk(struct req *r)
{
	struct collection *c = r->extra;
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	c->writes_len = 0;
	for (; c->at < c->len && c->writes_len < COLLECTION_CHUNK; c->at++) {
		struct watch_obj *now = watch_snap_find(snap, watch_obj_key(c->objs[c->at]));
		if (now)
			add_write(r, c->at, now);
	}
	watch_snap_unref(snap);
	if (c->writes_len == 0) {
		collection_answer(r);
		return;
	}
	r->next = chunk_stored;
	req_hold(r);
	store_submit(r->s->store, c->writes, c->writes_len, false, chunk_done, r);
}

static void collection_start(struct req *r)
{
	struct collection *c = r->extra;
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct str prefix = object_prefix(&r->arena, r->kind, r->route.ns);
	watch_snap_walk(snap, prefix, prefix, collect, c);
	watch_snap_unref(snap);
	next_chunk(r);
}

void verb_delete_collection(struct req *r)
{
	struct error err = { 0 };
	struct collection *c = arena_new(&r->arena, struct collection, 1);
	if (!read_options(r, &c->options))
		return;
	if (select_parse(&r->arena, r->kind, &r->opt, &c->select, &err)) {
		req_fail(r, &err);
		return;
	}
	r->extra = c;
	r->extra_fini = collection_fini;
	req_when_fresh(r, collection_start);
}
