/* Kinds and subresources to which the engine itself gives a meaning. */
#include "apiserver/apiserver_priv.h"
#include "apiserver/atomic.h"

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

static bool is_kind(const struct kind *k, const char *resource_key)
{
	return k->builtin && str_is(k->resource_key, resource_key);
}

/* Nodes register with their status; of all other kinds the status is not the client's to say first. */
bool special_resets_status(const struct kind *k)
{
	return !is_kind(k, "/nodes");
}

/* A definition stays until its objects are gone. */
void special_prepare_new(struct req *r, struct json *obj)
{
	if (!is_kind(r->kind, "apiextensions.k8s.io/customresourcedefinitions"))
		return;
	struct json *meta = json_child(&r->arena, obj, "metadata");
	struct json *list = json_getc(meta, "finalizers");
	if (!json_is(list, JSON_ARRAY))
		list = json_setc(&r->arena, meta, "finalizers", json_array());
	for (size_t i = 0; i < json_len(list); i++)
		if (str_is(json_str(json_at(list, i)), CRD_FINALIZER))
			return;
	json_push(&r->arena, list, json_of_cstr(CRD_FINALIZER));
}

/* ---- namespaces ---- */

static bool is_terminating(struct req *r, const struct kind *k, const struct watch_obj *o)
{
	for (size_t i = 0; i < k->selectable_len; i++)
		if (str_is(k->selectable[i], "status.phase") && i < watch_obj_fields(o))
			return str_is(watch_obj_field(o, i), "Terminating");
	struct json tree = { 0 };
	return object_parse(&r->arena, k, o, &tree, NULL) == 0 && object_deleting(&tree);
}

static void fail_terminating(struct req *r, struct str name)
{
	struct arena *a = &r->arena;
	struct str ns = r->route.ns;
	struct status_cause cause = { .reason = STR("NamespaceTerminating"),
				      .message = arena_strf(a, "namespace %.*s is being terminated",
							    STR_ARG(ns)),
				      .field = STR("metadata.namespace") };
	struct status st = { .code = ERR_FORBIDDEN,
			     .message = arena_strf(
				     a,
				     "%.*s \"%.*s\" is forbidden: unable to create new content in "
				     "namespace %.*s because it is being terminated",
				     STR_ARG(status_resource(a, r->kind)), STR_ARG(name),
				     STR_ARG(ns)),
			     .name = name,
			     .group = r->kind->group,
			     .kind = r->kind->plural,
			     .causes = &cause,
			     .causes_len = 1 };
	req_fail_status(r, &st);
}

static void fail_no_namespace(struct req *r, const struct kind *k)
{
	struct status st = { .code = ERR_NOT_FOUND,
			     .message = arena_strf(&r->arena, "namespaces \"%.*s\" not found",
						   STR_ARG(r->route.ns)),
			     .name = r->route.ns,
			     .kind = k->plural };
	req_fail_status(r, &st);
}

bool special_namespace_open(struct req *r, struct str name, req_fn retry)
{
	const struct kind *k = kind_find_key(r->kinds, STR("/namespaces"));
	if (!k)
		return true;
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct watch_obj *o =
		watch_snap_find(snap, object_key(&r->arena, k, STR_NONE, r->route.ns));
	bool open = o && !is_terminating(r, k, o);
	if (o && !open)
		fail_terminating(r, name);
	watch_snap_unref(snap);
	if (o)
		return open;
	if (atomic_pending(r, object_key(&r->arena, k, STR_NONE, r->route.ns)))
		return true;
	if (!r->synced && store_is_shared(r->s->store)) {
		/* Another server may have made it a moment ago. */
		r->synced = true;
		req_when_fresh(r, retry);
	} else {
		fail_no_namespace(r, k);
	}
	return false;
}

/* ---- nodes ---- */

static int node_event(struct req *r, struct str node, const struct json *obj, struct error *err)
{
	const struct json *about = json_getc(obj, "involvedObject");
	if (!about)
		about = json_getc(obj, "regarding");
	struct str kind = json_str(json_getc(about, "kind"));
	struct str name = json_str(json_getc(about, "name"));
	if (str_is(kind, "Node") && str_eq(name, node))
		return 0;
	struct auth_action a = { .verb = STR("get"),
				 .resource = STR("pods"),
				 .ns = json_str(json_getc(about, "namespace")),
				 .name = name };
	if (str_is(kind, "Pod") && user_authorize(r, &a, NULL) == 0)
		return 0;
	return error_set(
		err, ERR_FORBIDDEN,
		"events is forbidden: node \"%.*s\" may write events about itself and its pods "
		"only",
		STR_ARG(node));
}

int special_body_allowed(struct req *r, const struct json *obj, struct error *err)
{
	struct str node = auth_node_of(&r->user);
	if (node.len == 0)
		return 0;
	if (is_kind(r->kind, "/events") || is_kind(r->kind, "events.k8s.io/events"))
		return node_event(r, node, obj, err);
	if (r->verb != VERB_CREATE)
		return 0;
	struct auth_action a = r->info.action;
	a.name = object_text(obj, "name");
	if (a.name.len == 0)
		a.name = STR("?");
	return user_authorize(r, &a, err);
}

/* ---- subresources and kinds with verbs of their own ---- */

static bool lists_subresource(const struct kind *k, struct str name)
{
	struct str rest = k->subresources, piece;
	while (rest.len && str_split(&rest, ' ', &piece))
		if (str_eq(piece, name))
			return true;
	return false;
}

static req_fn scale_fn(const struct req *r)
{
	if (!str_is(r->route.subresource, "scale") || !r->kind->scale.on)
		return NULL;
	return r->verb == VERB_GET      ? scale_get
	       : r->verb == VERB_UPDATE ? scale_update
	       : r->verb == VERB_PATCH  ? scale_patch
					: NULL;
}

bool verb_special(struct req *r)
{
	struct str sub = r->route.subresource;
	req_fn fn = scale_fn(r);
	if (r->verb == VERB_CREATE && sub.len && lists_subresource(r->kind, sub)) {
		if (str_is(sub, "binding"))
			fn = pod_binding;
		else if (str_is(sub, "eviction"))
			fn = pod_eviction;
	}
	if (str_is(sub, "finalize") && is_kind(r->kind, "/namespaces") && r->verb == VERB_UPDATE)
		fn = verb_update;
	if (r->verb == VERB_CREATE && !sub.len &&
	    (str_is(r->kind->group, "authorization.k8s.io") ||
	     str_is(r->kind->group, "authentication.k8s.io")))
		fn = review_create;
	if (fn)
		fn(r);
	return fn != NULL;
}
