/*
 * apiserver/admit - admission: what is decided of a write beyond its own shape,
 * from other objects (definitions, roles, limits, quotas).
 *
 * Every write of an object goes through both stages, whatever its verb, its
 * patch type or its door (create.c, update.c).  A stage that returns false has
 * answered the request.
 */
#ifndef APISERVER_ADMIT_H
#define APISERVER_ADMIT_H

#include "apiserver/apiserver_priv.h"

/* Before validation: may change obj.  old is NULL for a create. */
bool admit_change(struct req *r, struct json *obj, const struct json *old);

/* After validation: obj is what will be stored. */
bool admit_check(struct req *r, struct json *obj, const struct json *old);

/* ---- definitions (admit_crd.c) ---- */

/* Refuses a new object of a definition that is being deleted. */
bool admit_crd_open(struct req *r);
/* Names and conditions of a definition, seen beside the others of its group. */
void admit_crd_names(struct req *r, struct json *crd);

/* ---- roles and bindings (admit_rbac.c) ---- */

/* Nobody grants what they do not hold (or may not: verbs escalate, bind). */
bool admit_role(struct req *r, const struct json *obj, const struct json *old);
bool admit_binding(struct req *r, const struct json *obj, const struct json *old);

/* ---- quotas (quota.c) ---- */

/*
 * A create within the quotas of its namespace: what it takes is written to them with it, in one
 * transaction, on condition that they are as they were read.  So two creates never both take the last.
 */
bool admit_quota(struct req *r, const struct json *obj);

#endif
