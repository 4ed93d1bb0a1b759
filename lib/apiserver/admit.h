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
#include "text/quantity.h"

/* Before validation: may change obj.  old is NULL for a create. */
bool admit_change(struct req *r, struct json *obj, const struct json *old);

/* After validation: obj is what will be stored. */
bool admit_check(struct req *r, struct json *obj, const struct json *old);

/* Answers 403: `pods "web" is forbidden: WHY`.  Returns false. */
bool admit_forbid(struct req *r, const struct json *obj, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* ---- definitions (admit_crd.c) ---- */

/* Refuses a new object of a definition that is being deleted. */
bool admit_crd_open(struct req *r);
/* Names and conditions of a definition, seen beside the others of its group. */
void admit_crd_names(struct req *r, struct json *crd);

/* ---- roles and bindings (admit_rbac.c) ---- */

/* Nobody grants what they do not hold (or may not: verbs escalate, bind). */
bool admit_role(struct req *r, const struct json *obj, const struct json *old);
bool admit_binding(struct req *r, const struct json *obj, const struct json *old);

/* ---- pods (admit_pod.c) ---- */

/* Fills priority and preemptionPolicy of a new pod from its PriorityClass, or the one that is the default. */
bool admit_pod_priority(struct req *r, struct json *pod);
/* At most one class is the default. */
bool admit_priority_class(struct req *r, const struct json *obj);

/* ---- LimitRanges (admit_limits.c) ---- */

/* Before validation: what the containers of a new pod do not say. */
void admit_limit_defaults(struct req *r, struct json *pod);
/* After it: min, max and ratio, of containers and of the pod. */
bool admit_limits(struct req *r, const struct json *pod);

bool admit_quantity(const struct json *j, struct quantity *ret);
/* A container's requests or limits (`member`) of a resource; false when it says nothing. */
bool admit_container_takes(const struct json *container, const char *member, struct str resource,
			   struct quantity *ret);
/*
 * The containers and sidecars together, or the largest moment before they run, and the overhead.
 * False when no container says anything.
 */
bool admit_pod_takes(const struct json *pod, const char *member, struct str resource,
		     struct quantity *ret);

/* ---- quotas (quota.c, quota_scope.c) ---- */

/*
 * A write within the quotas of its namespace: what it takes is written to them with it, in one
 * transaction, on condition that they are as they were read.  So two writes never both take the last.
 */
bool admit_quota(struct req *r, const struct json *obj, const struct json *old);
/* Whether a quota with these scopes counts the object. */
bool quota_in_scope(const struct kind *k, const struct json *obj, const struct json *quota_spec);

#endif
