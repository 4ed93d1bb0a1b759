/* refs - which ConfigMaps, Secrets and service account an object refers to.  Pure. */
#ifndef REFS_H
#define REFS_H

#include "base/arena.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum ref_kind { REF_CONFIG_MAP, REF_SECRET, REF_SERVICE_ACCOUNT, REF_KINDS };

enum { REFS_MAX = 1024 }; /* of one object; more are not looked at */

struct ref {
	enum ref_kind kind;
	struct str name; /* borrowed from the object */
	bool optional;   /* the pod starts without it */
};

struct refs {
	struct ref *a;
	size_t len;
};

/* The pod template of a workload (spec.template, CronJob: spec.jobTemplate.spec.template, Pod: itself), or NULL. */
const struct json *refs_template(const struct json *obj);

/*
 * What the object names, each once: in its pod template env, envFrom, volumes (also projected), pull secrets
 * and service account; in an AlertReceiver the Secrets of its webhook; in a ServiceAccount its pull secrets.
 * What every cluster has of its own is left out (service account "default", ConfigMap "kube-root-ca.crt").
 */
struct refs refs_of(struct arena *a, const struct json *obj);

bool refs_has(const struct refs *r, enum ref_kind kind, struct str name);

#endif
