/*
 * kind/hooks - what a schema cannot say: behaviour of single kinds.
 *
 * Two tables, found by name when the kinds are made: hooks of resources
 * (hooks_*.c) and functions that compute cells of Table columns (column*.c).
 * All of it is pure: no clock, no I/O; objects may be of any shape that JSON
 * allows, so everything is read with json_*() and nothing is taken for granted.
 */
#ifndef KIND_HOOKS_H
#define KIND_HOOKS_H

#include "kind/kind.h"

/* ---- resources ---- */

struct kind_hook {
	const struct kind *kind;
	struct json *obj;
	const struct json *old; /* NULL on create */
	struct str subresource; /* "" for the object itself */
	struct kind_check *check;
};

typedef void (*kind_hook_fn)(struct kind_hook *h);

struct kind_hooks {
	const char *resource; /* resource key: "apps/deployments" */
	kind_hook_fn
		prepare; /* after defaulting, before validation: fills what is computed; or NULL */
	kind_hook_fn validate; /* only when the schema is satisfied; or NULL */
};

/* Never NULL: hooks that do nothing when the resource has none. */
const struct kind_hooks *kind_hooks_of(const struct kind *k);

/* One entry a hooks_*.c file; all are listed in hooks.c. */
extern const struct kind_hooks kind_hooks_cluster_role, kind_hooks_cluster_role_binding,
	kind_hooks_role, kind_hooks_role_binding;
extern const struct kind_hooks kind_hooks_disruption_budget, kind_hooks_limit_range,
	kind_hooks_priority_class, kind_hooks_resource_quota;
extern const struct kind_hooks kind_hooks_alert_rule, kind_hooks_config_map, kind_hooks_crd,
	kind_hooks_daemon_set, kind_hooks_deployment, kind_hooks_event, kind_hooks_job,
	kind_hooks_namespace, kind_hooks_placement, kind_hooks_pod, kind_hooks_prometheus_rule,
	kind_hooks_replica_set, kind_hooks_secret, kind_hooks_stateful_set;

/* Helpers for them. */
struct str hook_path(struct kind_hook *h, const char *fmt, ...) ATTR_PRINTF(2, 3);
void hook_error(struct kind_hook *h, enum field_reason reason, struct str path,
		const struct json *value, const char *detail, ...) ATTR_PRINTF(5, 6);
void hook_warn(struct kind_hook *h, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* FIELD_IMMUTABLE when the value at the members (ended by NULL) differs from the stored one. */
void hook_immutable(struct kind_hook *h, struct str path, const struct json *now,
		    const struct json *before);
/* A pod spec: computed defaults; rules, at `path` ("spec", "spec.template.spec"). */
void hook_pod_spec_prepare(struct kind_hook *h, struct json *spec);
void hook_pod_spec_validate(struct kind_hook *h, const struct json *spec, struct str path);

/* ---- cells ---- */

struct kind_cell {
	const struct json *obj;
	struct str args; /* behind the function's name, without the first blank */
	int64_t now_s;   /* Unix time */
	struct arena *arena;
	struct buf *out; /* takes one JSON value */
};

typedef void (*kind_cell_fn)(struct kind_cell *c);

/* The function of "NAME ARGS…", or NULL. */
kind_cell_fn kind_cell_find(struct str func);

/* The value at ".spec.replicas", or NULL. */
const struct json *cell_at(const struct json *j, struct str path);
/* The next word of c->args, or {NULL, 0}. */
struct str cell_arg(struct kind_cell *c);
void cell_str(struct kind_cell *c, struct str s);
void cell_i64(struct kind_cell *c, int64_t v);
/* "5m", or `none` when the time is missing or wrong. */
void cell_age(struct kind_cell *c, const struct json *time, const char *none);

/* Functions of single kinds. */
void cell_pod_ready(struct kind_cell *c);
void cell_pod_status(struct kind_cell *c);
void cell_pod_restarts(struct kind_cell *c);
void cell_pod_ip(struct kind_cell *c);
void cell_pod_nominated(struct kind_cell *c);
void cell_pod_gates(struct kind_cell *c);
void cell_node_status(struct kind_cell *c);
void cell_node_roles(struct kind_cell *c);
void cell_node_internal_ip(struct kind_cell *c);
void cell_node_external_ip(struct kind_cell *c);
void cell_node_taints(struct kind_cell *c);
void cell_event_last_seen(struct kind_cell *c);
void cell_event_first_seen(struct kind_cell *c);
void cell_event_object(struct kind_cell *c);
void cell_event_source(struct kind_cell *c);
void cell_event_count(struct kind_cell *c);
void cell_service_ports(struct kind_cell *c);
void cell_service_external_ip(struct kind_cell *c);
void cell_job_status(struct kind_cell *c);
void cell_job_completions(struct kind_cell *c);
void cell_job_duration(struct kind_cell *c);

#endif
