/*
 * auth/rbac - role-based access control as Kubernetes has it: Role, ClusterRole,
 * RoleBinding and ClusterRoleBinding made into an index that answers without
 * looking at an object again.
 *
 * An rbac is immutable and counted; a change of one of the objects makes a new
 * one.  A decision costs two look-ups for the user and for each of its groups,
 * then a walk over the rules that were found.  Rules only allow: nothing there
 * forbids what another rule allows.
 *
 * Source: Kubernetes' "Using RBAC Authorization".
 * Threads: any number may ask at once.
 */
#ifndef AUTH_RBAC_H
#define AUTH_RBAC_H

#include "auth/auth.h"
#include "json/json.h"

struct rbac;

/*
 * The objects in any order (borrowed until it returns; others than the four
 * kinds are passed over).  A binding to a role that is not there grants nothing.
 */
struct rbac *rbac_new(const struct json *const *objects, size_t n);
struct rbac *rbac_ref(struct rbac *r);
void rbac_unref(struct rbac *r); /* accepts NULL */

/* A user with a name is in system:authenticated besides its own groups; nobody is in nothing. */
bool rbac_allows(const struct rbac *r, const struct auth_user *u, const struct auth_action *a);

enum { RBAC_COVER_STEPS_MAX = 100000 };

/*
 * Whether the user holds all that `rules` (a JSON array of PolicyRules) would
 * grant in ns ("" = everywhere): may(arg, action) is asked for each combination,
 * "*" standing for itself.  More than RBAC_COVER_STEPS_MAX of them are not held.
 * *ret_missing (may be NULL) is the rule that is not.
 */
bool rbac_covers(const struct json *rules, struct str ns,
		 bool (*may)(void *arg, const struct auth_action *a), void *arg,
		 const struct json **ret_missing);

/* The rules of a role as a JSON text "[…]", ns "" for a ClusterRole; {NULL, 0} when there is none. */
struct str rbac_role_rules(const struct rbac *r, struct str ns, struct str name);

/* Calls fn with the rules (JSON text "[…]") of each role that the user has in ns. */
void rbac_roles_of(const struct rbac *r, const struct auth_user *u, struct str ns,
		   void (*fn)(void *arg, struct str rules, bool everywhere), void *arg);

#endif
