/*
 * auth - who is asking, and whether they may.
 *
 * Authentication: client certificate (CN = user, O = groups), bearer token
 * (static token file, format of kube-apiserver: token,user,uid,"group1,group2"),
 * impersonation headers (Impersonate-User, -Group) for users that may impersonate.
 *
 * Authorization: roles and bindings of RBAC (auth/rbac.h), and fixed roles by
 * group for the parts of the product itself and its operators; deny by default:
 *   system:masters                admin: everything
 *   rctl:admins                   admin but no impersonation, and no escalation (verbs escalate, bind)
 *   rctl:viewers                  view: get, list, watch of everything but Secrets; logs
 *   system:controllers            controller: read all but Secrets by name-spaced need; write workloads, status, events, leases, nodes; no CRDs, no impersonation
 *   system:apiservers             impersonate (the global API forwards as the same user), read /metrics
 *   system:nodes                  node NAME of user system:node:NAME: its own Node and status, status of and
 *                                 events about pods bound to it, its lease, ConfigMaps and Secrets that such pods name
 *   system:authenticated          discovery, OpenAPI, /version; /clusters/NAME/… (forwarded as the same user: decided there;
 *                                 not for service accounts, which are of one API alone)
 *   (anyone)                      /healthz /readyz /livez
 * Pure functions; what a node may see is asked through `auth_node_view`.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { AUTH_GROUPS_MAX = 32 };

struct auth_user {
	struct str name; /* "" = nobody (anonymous) */
	struct str uid;
	struct str groups[AUTH_GROUPS_MAX];
	size_t groups_len;
};

struct auth_action {
	struct str
		verb; /* get list watch create update patch delete deletecollection impersonate */
	struct str group, resource, subresource, ns, name; /* resource "" = path below */
	struct str path;                                   /* non-resource requests */
	struct str
		fields; /* fieldSelector of list, watch, deletecollection as it was sent, decoded */
};

struct rbac;

/* What the authorizer must know of stored objects; the functions are asked for system:nodes only. */
struct auth_node_view {
	const struct rbac *rbac; /* roles and bindings (auth/rbac.h); NULL = none */
	/* Whether pod ns/name is bound to `node`. */
	bool (*pod_on_node)(void *arg, struct str ns, struct str pod, struct str node);
	/* Whether a pod bound to `node` in ns refers to this ConfigMap or Secret. */
	bool (*refers)(void *arg, struct str node, struct str ns, struct str resource,
		       struct str name);
	void *arg;
};

enum { AUTH_TOKENS_MAX = 4096, AUTH_TOKEN_FILE_MAX = 1 << 20 };

bool auth_in_group(const struct auth_user *u, const char *group);

/* The node of a user "system:node:NAME" in system:nodes who holds no wider role; else "". */
struct str auth_node_of(const struct auth_user *u);

/*
 * A node's "create" without a name is let through: the caller asks again with
 * the name that stands in the body.
 * ERR_FORBIDDEN with kube-apiserver's text: `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"`.
 */
ATTR_MUSTCHECK int auth_authorize(const struct auth_user *u, const struct auth_action *act,
				  const struct auth_node_view *view, struct error *err);

/*
 * Whether the user may pass this on to others: by system:masters, by rctl:admins and by RBAC
 * alone, "*" standing for itself.  What a fixed role excepts (Secrets) is so never passed on.
 */
bool auth_holds(const struct auth_user *u, const struct auth_action *a, const struct rbac *rbac);

/* ---- static tokens ---- */

struct auth_tokens;

ATTR_MUSTCHECK int auth_tokens_load(const char *path, struct auth_tokens **ret, struct error *err);
struct auth_tokens *auth_tokens_free(struct auth_tokens *t);
/* Constant-time over the token; the strings live as long as t.  NULL = unknown. */
const struct auth_user *auth_tokens_find(const struct auth_tokens *t, struct str token);

#endif
