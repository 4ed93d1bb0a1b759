#include "auth/auth.h"

#include "auth/rbac.h"

#include <stdio.h>

/* ---- rules: tables, so that a role can be read at a glance ---- */

struct rule {
	const char *verbs; /* blank-separated; "*" = all but impersonate */
	const char *group; /* "*" = any */
	const char *
		resources; /* blank-separated; "*" = any; "pods/log" names a subresource, "x/" * any */
	bool namespaced_only; /* not across all namespaces */
};

#define READ  "get list watch"
#define WRITE "create update patch delete deletecollection"
#define ALL   READ " " WRITE

/* What is written by nobody but administrators. */
static const char *const admin_groups[] = { "apiextensions.k8s.io", "rbac.authorization.k8s.io",
					    "iam.rctl.io", "certificates.k8s.io" };

static const struct rule controller_rules[] = {
	{ ALL, "",
	  "namespaces nodes pods configmaps services serviceaccounts endpoints events "
	  "replicationcontrollers persistentvolumeclaims",
	  false },
	{ ALL, "", "secrets", true },
	{ ALL, "apps", "*", false },
	{ ALL, "batch", "*", false },
	{ ALL, "coordination.k8s.io", "leases", false },
	{ ALL, "discovery.k8s.io", "endpointslices", false },
	{ ALL, "events.k8s.io", "events", false },
	{ ALL, "policy", "*", false },
	{ ALL, "topology.rctl.io", "*", false },
	{ ALL, "fleet.rctl.io", "*", false },
	{ ALL, "monitoring.rctl.io", "*", false },
	{ ALL, "monitoring.coreos.com", "*", false },
	{ ALL, "gslb.rctl.io", "*", false },
};

static const struct rule self_rules[] = {
	{ "create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews",
	  false },
	{ "create", "authentication.k8s.io", "selfsubjectreviews", false },
};

static bool has_word(const char *words, struct str word)
{
	struct str rest = str_of(words), piece;
	while (str_split(&rest, ' ', &piece))
		if (piece.len && str_eq(piece, word))
			return true;
	return false;
}

static bool rule_allows(const struct rule *r, const struct auth_action *a)
{
	if (strcmp(r->group, "*") != 0 && !str_is(a->group, r->group))
		return false;
	if (strcmp(r->resources, "*") != 0 && !has_word(r->resources, a->resource))
		return false;
	if (r->namespaced_only && a->ns.len == 0)
		return false;
	return has_word(r->verbs, a->verb);
}

static bool any_rule(const struct rule *rules, size_t n, const struct auth_action *a)
{
	for (size_t i = 0; i < n; i++)
		if (rule_allows(&rules[i], a))
			return true;
	return false;
}

#define ANY_RULE(rules, a) any_rule((rules), sizeof(rules) / sizeof(*(rules)), (a))

static bool is_read(struct str verb)
{
	return has_word(READ, verb);
}

static bool is_secret(const struct auth_action *a)
{
	return a->group.len == 0 && str_is(a->resource, "secrets");
}

/* Prometheus' API takes questions as POST too: they read. */
static bool is_query(const struct auth_action *a)
{
	return str_is(a->verb, "create") && a->group.len == 0 && a->ns.len == 0 &&
	       has_word("query query_range labels series", a->resource);
}

/* Streams into a container change its state although they begin with GET. */
static bool is_stream(const struct auth_action *a)
{
	return has_word("exec attach portforward proxy", a->subresource);
}

/* ---- paths that are no resources ---- */

static bool path_under(struct str path, const char *dir)
{
	struct str d = str_of(dir);
	return str_starts(path, d) && (path.len == d.len || path.p[d.len] == '/');
}

static bool path_is_health(struct str path)
{
	return path_under(path, "/healthz") || path_under(path, "/readyz") ||
	       path_under(path, "/livez");
}

static bool path_is_discovery(struct str path)
{
	return str_is(path, "/") || path_under(path, "/api") || path_under(path, "/apis") ||
	       path_under(path, "/openapi") || str_is(path, "/version") ||
	       str_is(path, "/version/");
}

/* ---- nodes ---- */

static bool selects_node(struct str fields, struct str node)
{
	struct str piece;
	while (fields.len && str_split(&fields, ',', &piece)) {
		if (!str_starts(piece, STR("spec.nodeName=")))
			continue;
		struct str value = str_sub(piece, strlen("spec.nodeName="), piece.len);
		if (value.len && value.p[0] == '=')
			value = str_sub(value, 1, value.len);
		if (str_eq(value, node))
			return true;
	}
	return false;
}

static bool node_may_pod(struct str node, const struct auth_action *a,
			 const struct auth_node_view *view)
{
	if (has_word("list watch", a->verb) && a->subresource.len == 0 &&
	    selects_node(a->fields, node))
		return true;
	bool verb_ok = a->subresource.len == 0 ? has_word("get list watch delete", a->verb)
		       : str_is(a->subresource, "status") ? has_word("get update patch", a->verb)
							  : false;
	return verb_ok && a->name.len && a->ns.len && view && view->pod_on_node &&
	       view->pod_on_node(view->arg, a->ns, a->name, node);
}

/* A create without a name passes: the name stands in the body and is asked for again. */
static bool own_name(struct str node, const struct auth_action *a)
{
	return str_eq(a->name, node) || (a->name.len == 0 && str_is(a->verb, "create"));
}

static bool node_may_core(struct str node, const struct auth_action *a,
			  const struct auth_node_view *view)
{
	if (str_is(a->resource, "nodes"))
		return own_name(node, a) &&
		       (a->subresource.len == 0
				? has_word("get list watch create update patch", a->verb)
				: str_is(a->subresource, "status") &&
					  has_word("get update patch", a->verb));
	if (str_is(a->resource, "pods"))
		return node_may_pod(node, a, view);
	if (str_is(a->resource, "events"))
		return a->ns.len && has_word("create update patch", a->verb);
	if (str_is(a->resource, "configmaps") || str_is(a->resource, "secrets"))
		return a->subresource.len == 0 && has_word(READ, a->verb) && a->ns.len &&
		       a->name.len && view && view->refers &&
		       view->refers(view->arg, node, a->ns, a->resource, a->name);
	return false;
}

static bool node_may(struct str node, const struct auth_action *a,
		     const struct auth_node_view *view)
{
	if (node.len == 0)
		return false;
	if (a->group.len == 0)
		return node_may_core(node, a, view);
	if (str_is(a->group, "events.k8s.io"))
		return str_is(a->resource, "events") && a->ns.len &&
		       has_word("create update patch", a->verb);
	if (str_is(a->group, "coordination.k8s.io"))
		return str_is(a->resource, "leases") && str_is(a->ns, "kube-node-lease") &&
		       own_name(node, a) && has_word("get create update patch delete", a->verb);
	return false;
}

/* ---- groups to roles ---- */

bool auth_in_group(const struct auth_user *u, const char *group)
{
	for (size_t i = 0; i < u->groups_len; i++)
		if (str_is(u->groups[i], group))
			return true;
	return false;
}

static struct str node_name(const struct auth_user *u)
{
	struct str prefix = STR("system:node:");
	if (!auth_in_group(u, "system:nodes") || !str_starts(u->name, prefix))
		return STR_NONE;
	return str_sub(u->name, prefix.len, u->name.len);
}

struct str auth_node_of(const struct auth_user *u)
{
	static const char *const wider[] = { "system:masters", "rctl:admins",
					     "system:controllers" };
	for (size_t i = 0; i < sizeof(wider) / sizeof(*wider); i++)
		if (auth_in_group(u, wider[i]))
			return STR_NONE;
	return node_name(u);
}

static bool may_path(const struct auth_user *u, const struct auth_action *a,
		     const struct auth_node_view *view)
{
	bool get = str_is(a->verb, "get");
	if (get && path_is_health(a->path))
		return true;
	if (u->name.len == 0)
		return false;
	if (auth_in_group(u, "system:masters") || auth_in_group(u, "rctl:admins"))
		return true;
	/* Each request of a set is decided by itself. */
	if (str_is(a->path, "/rctl.io/atomic"))
		return true;
	/* Forwarded as the same user: decided there.  A service account of here is none there. */
	if (path_under(a->path, "/clusters"))
		return !str_starts(u->name, STR("system:serviceaccount:"));
	if (view && view->rbac && rbac_allows(view->rbac, u, a))
		return true;
	/* What an agent may stream, a server may post for it. */
	if (node_name(u).len && str_is(a->verb, "post") && str_is(a->path, "/agent/v1/push"))
		return true;
	if (!get)
		return false;
	if (path_is_discovery(a->path))
		return true;
	if (auth_in_group(u, "rctl:viewers") || auth_in_group(u, "system:controllers"))
		return !path_under(a->path, "/configz");
	return auth_in_group(u, "system:apiservers") && path_under(a->path, "/metrics");
}

static bool controller_may(const struct auth_action *a)
{
	if (is_stream(a))
		return false;
	if ((is_read(a->verb) && !is_secret(a)) || is_query(a))
		return true;
	for (size_t i = 0; i < sizeof(admin_groups) / sizeof(*admin_groups); i++)
		if (str_is(a->group, admin_groups[i]))
			return false;
	return ANY_RULE(controller_rules, a) ||
	       (str_is(a->subresource, "status") && has_word("update patch", a->verb) &&
		!is_secret(a));
}

static bool may_resource(const struct auth_user *u, const struct auth_action *a,
			 const struct auth_node_view *view)
{
	if (u->name.len == 0)
		return false;
	bool impersonate = str_is(a->verb, "impersonate");
	if (auth_in_group(u, "system:masters"))
		return true;
	if (auth_in_group(u, "system:apiservers") && impersonate)
		return true;
	if (view && view->rbac && rbac_allows(view->rbac, u, a))
		return true;
	/* "*" stands for all verbs when rules are weighed: it holds these too. */
	if (impersonate || has_word("* escalate bind", a->verb))
		return false;
	if (auth_in_group(u, "rctl:admins") || ANY_RULE(self_rules, a))
		return true;
	if (auth_in_group(u, "system:controllers") && controller_may(a))
		return true;
	if (auth_in_group(u, "rctl:viewers") &&
	    (is_query(a) || (is_read(a->verb) && !is_secret(a) && !is_stream(a))))
		return true;
	return node_may(node_name(u), a, view);
}

bool auth_holds(const struct auth_user *u, const struct auth_action *a, const struct rbac *rbac)
{
	if (!u->name.len)
		return false;
	if (auth_in_group(u, "system:masters") || (rbac && rbac_allows(rbac, u, a)))
		return true;
	return auth_in_group(u, "rctl:admins") && !has_word("* impersonate escalate bind", a->verb);
}

static int forbid(const struct auth_user *u, const struct auth_action *a, struct error *err)
{
	struct str who = u->name.len ? u->name : STR("system:anonymous");
	if (a->resource.len == 0)
		return error_set(err, ERR_FORBIDDEN,
				 "forbidden: User \"%.*s\" cannot %.*s path \"%.*s\"", STR_ARG(who),
				 STR_ARG(a->verb), STR_ARG(a->path));
	const char *dot = a->group.len ? "." : "";
	const char *slash = a->subresource.len ? "/" : "";
	char name[300] = "";
	if (a->name.len && a->name.len < 256)
		(void)snprintf(name, sizeof(name), " \"%.*s\"", STR_ARG(a->name));
	char where[300] = "at the cluster scope";
	if (a->ns.len && a->ns.len < 256)
		(void)snprintf(where, sizeof(where), "in the namespace \"%.*s\"", STR_ARG(a->ns));
	return error_set(err, ERR_FORBIDDEN,
			 "%.*s%s%.*s%s is forbidden: User \"%.*s\" cannot %.*s resource "
			 "\"%.*s%s%.*s\" in API group \"%.*s\" %s",
			 STR_ARG(a->resource), dot, STR_ARG(a->group), name, STR_ARG(who),
			 STR_ARG(a->verb), STR_ARG(a->resource), slash, STR_ARG(a->subresource),
			 STR_ARG(a->group), where);
}

int auth_authorize(const struct auth_user *u, const struct auth_action *act,
		   const struct auth_node_view *view, struct error *err)
{
	bool ok = act->resource.len ? may_resource(u, act, view) : may_path(u, act, view);
	return ok ? 0 : forbid(u, act, err);
}
