/* Who is asking: client certificate, bearer token, impersonation; and what a node's pods refer to. */
#include "apiserver/apiserver_priv.h"
#include "auth/rbac.h"

enum { HEADER_GROUPS_MAX = AUTH_GROUPS_MAX };

static int add_group(struct auth_user *u, struct str group, struct error *err)
{
	if (u->groups_len == AUTH_GROUPS_MAX)
		return error_set(err, ERR_UNAUTHORIZED, "the user is in more than %d groups",
				 AUTH_GROUPS_MAX);
	u->groups[u->groups_len++] = group;
	return 0;
}

static int by_certificate(struct req *r, const struct pki_info *peer, struct error *err)
{
	r->user.name = peer->common_name;
	for (size_t i = 0; i < peer->organizations_len; i++) {
		int rc = add_group(&r->user, peer->organizations[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

static int by_token(struct req *r, struct str header, struct error *err)
{
	struct str kind = str_sub(header, 0, 7);
	const struct auth_user *u = NULL;
	if (str_eq_nocase(kind, STR("Bearer ")))
		u = auth_tokens_find(r->s->tokens, str_trim(str_sub(header, 7, header.len)));
	if (!u)
		return error_set(err, ERR_UNAUTHORIZED, "Unauthorized");
	r->user = *u;
	return 0;
}

static int may_impersonate(struct req *r, const char *resource, struct str name, struct error *err)
{
	struct auth_action a = { .verb = STR("impersonate"),
				 .resource = str_of(resource),
				 .name = name };
	return user_authorize(r, &a, err);
}

/* "system:serviceaccount:NS:NAME" is granted by its namespace and name as well. */
static int may_be_account(struct req *r, struct str as, struct error *err)
{
	struct str prefix = STR("system:serviceaccount:"), rest = as, ns = STR_NONE;
	if (!str_starts(as, prefix))
		return may_impersonate(r, "users", as, err);
	rest = str_sub(as, prefix.len, as.len);
	if (!str_split(&rest, ':', &ns))
		return may_impersonate(r, "users", as, err);
	struct auth_action a = { .verb = STR("impersonate"),
				 .resource = STR("serviceaccounts"),
				 .ns = ns,
				 .name = rest };
	return user_authorize(r, &a, err);
}

static int impersonate(struct req *r, struct str as, struct error *err)
{
	struct auth_user other = { .name = arena_str(&r->arena, as) };
	int rc = may_be_account(r, as, err);
	for (size_t i = 0; i < r->http->headers_len && rc == 0; i++) {
		const struct http_header *h = &r->http->headers[i];
		if (str_is(h->name, "impersonate-uid")) {
			struct auth_action a = { .verb = STR("impersonate"),
						 .group = STR("authentication.k8s.io"),
						 .resource = STR("uids"),
						 .name = h->value };
			rc = user_authorize(r, &a, err);
			other.uid = h->value;
		} else if (str_is(h->name, "impersonate-group")) {
			rc = may_impersonate(r, "groups", h->value, err);
			if (rc == 0)
				rc = add_group(&other, h->value, err);
		}
	}
	if (rc == 0) {
		r->impersonator = r->user.name;
		r->user = other;
	}
	return rc;
}

int user_authenticate(struct req *r, struct error *err)
{
	struct str token = http_request_header(r->http, "authorization");
	int rc = 0;
	if (r->http->peer)
		rc = by_certificate(r, r->http->peer, err);
	else if (token.p)
		rc = by_token(r, token, err);
	if (rc)
		return rc;
	struct str as = http_request_header(r->http, "impersonate-user");
	if (as.len)
		return impersonate(r, as, err);
	if (http_request_header(r->http, "impersonate-group").p ||
	    http_request_header(r->http, "impersonate-uid").p)
		return error_set(err, ERR_BAD_REQUEST,
				 "a group or uid cannot be impersonated without a user");
	return 0;
}

/* ---- what the authorizer asks about nodes ---- */

struct view {
	struct req *r;
	const struct kind *pods;
	size_t node_field;
	struct watch_snap *snap;
};

static bool on_node(const struct view *v, const struct watch_obj *o, struct str node)
{
	return v->node_field < watch_obj_fields(o) &&
	       str_eq(watch_obj_field(o, v->node_field), node);
}

static bool pod_on_node(void *arg, struct str ns, struct str pod, struct str node)
{
	struct view *v = arg;
	if (!v->pods)
		return false;
	struct watch_obj *o = watch_snap_find(v->snap, object_key(&v->r->arena, v->pods, ns, pod));
	return o && on_node(v, o, node);
}

/* Members that hold a reference to a Secret or a ConfigMap, and the member of theirs that names it. */
static const struct {
	const char *member, *name, *resource;
} references[] = {
	{ "configMap", "name", "configmaps" },
	{ "configMapRef", "name", "configmaps" },
	{ "configMapKeyRef", "name", "configmaps" },
	{ "secret", "secretName", "secrets" },
	{ "secret", "name", "secrets" },
	{ "secretRef", "name", "secrets" },
	{ "secretKeyRef", "name", "secrets" },
	{ "imagePullSecrets", "name", "secrets" },
};

static bool refers_here(struct str member, const struct json *value, struct str resource,
			struct str name)
{
	for (size_t i = 0; i < sizeof(references) / sizeof(*references); i++) {
		if (!str_is(member, references[i].member) ||
		    !str_is(resource, references[i].resource))
			continue;
		if (str_eq(json_str(json_getc(value, references[i].name)), name))
			return true;
		for (size_t j = 0; value->type == JSON_ARRAY && j < value->len; j++)
			if (str_eq(json_str(json_getc(&value->items[j], references[i].name)), name))
				return true;
	}
	return false;
}

/* Depth is bounded by what the parser lets in. */
static bool refers_inside(const struct json *j, struct str resource, struct str name)
{
	for (size_t i = 0; i < json_len(j); i++) {
		const struct json *child =
			j->type == JSON_ARRAY ? &j->items[i] : &j->members[i].value;
		if (j->type == JSON_OBJECT &&
		    refers_here(json_str(&j->members[i].key), child, resource, name))
			return true;
		if (child->type >= JSON_ARRAY && refers_inside(child, resource, name))
			return true;
	}
	return false;
}

struct reference_search {
	struct view *v;
	struct str node, resource, name;
	bool found;
};

static bool search_pod(void *arg, struct watch_obj *o)
{
	struct reference_search *q = arg;
	if (!on_node(q->v, o, q->node))
		return true;
	struct arena scratch = { 0 };
	struct json pod = { 0 };
	if (object_parse(&scratch, q->v->pods, o, &pod, NULL) == 0)
		q->found = refers_inside(json_getc(&pod, "spec"), q->resource, q->name);
	arena_fini(&scratch);
	return !q->found;
}

static bool refers(void *arg, struct str node, struct str ns, struct str resource, struct str name)
{
	struct view *v = arg;
	if (!v->pods || ns.len == 0)
		return false;
	struct reference_search q = { .v = v, .node = node, .resource = resource, .name = name };
	struct str prefix = object_prefix(&v->r->arena, v->pods, ns);
	watch_snap_walk(v->snap, prefix, prefix, search_pod, &q);
	return q.found;
}

static void view_init(struct view *v, struct req *r)
{
	*v = (struct view){ .r = r, .node_field = SIZE_MAX };
	v->pods = kind_find_key(r->kinds, STR("/pods"));
	for (size_t i = 0; v->pods && i < v->pods->selectable_len; i++)
		if (str_is(v->pods->selectable[i], "spec.nodeName"))
			v->node_field = i;
	v->snap = watch_snap_get(r->s->cache);
}

int user_authorize_as(struct req *r, const struct auth_user *u, const struct auth_action *a,
		      struct error *err)
{
	struct auth_node_view view = { 0 };
	if (auth_in_group(u, "system:masters"))
		return auth_authorize(u, a, NULL, err);
	struct rbac *rbac = roles_get(r->s);
	view.rbac = rbac;
	struct view v = { 0 };
	if (auth_in_group(u, "system:nodes") && r->kinds) {
		view_init(&v, r);
		view.pod_on_node = pod_on_node;
		view.refers = refers;
		view.arg = &v;
	}
	int rc = auth_authorize(u, a, &view, err);
	watch_snap_unref(v.snap);
	rbac_unref(rbac);
	return rc;
}

int user_authorize(struct req *r, const struct auth_action *a, struct error *err)
{
	return user_authorize_as(r, &r->user, a, err);
}
