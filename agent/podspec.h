/*
 * agent/podspec - a Pod object as the agent works with it.  Pure.
 *
 * Everything hangs off one allocation that keeps the object's bytes; strings and
 * JSON nodes point into it.
 */
#ifndef AGENT_PODSPEC_H
#define AGENT_PODSPEC_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	POD_CONTAINERS_MAX = 32, /* of all kinds; the shim allows 64 */
	POD_BYTES_MAX = 1 << 20,
	POD_ARGS_MAX = 1024,
};

enum ctr_role { CTR_INIT, CTR_SIDECAR, CTR_MAIN };
enum pod_restart { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };
enum probe_kind { PROBE_NONE, PROBE_EXEC, PROBE_HTTP, PROBE_TCP };
enum probe_use { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_USES };

struct probe_spec {
	enum probe_kind kind;
	const struct json *command; /* PROBE_EXEC: array of strings */
	struct str host, path;      /* host "" = the pod's address */
	const struct json *headers; /* [{name, value}] or NULL */
	uint16_t port;
	uint32_t initial_delay_ms, period_ms, timeout_ms;
	uint32_t success_threshold, failure_threshold;
	int64_t grace_ms; /* -1 = the pod's */
};

struct ctr_spec {
	struct str name, image;
	enum ctr_role role;
	const struct json *json; /* the container object */
	struct probe_spec probes[PROBE_USES];
	const struct json *pre_stop; /* command array or NULL */
	int64_t pre_stop_sleep_ms;
	int64_t cpu_request_m, cpu_limit_m;   /* 0 = none */
	int64_t memory_request, memory_limit; /* bytes, 0 = none */
};

struct pod_spec {
	struct arena arena;
	struct json root;
	struct str uid, ns, name, resource_version, node, runtime_class;
	enum pod_restart restart;
	int64_t grace_ms;           /* terminationGracePeriodSeconds */
	int64_t active_deadline_ms; /* 0 = none */
	bool deleting;              /* has a deletionTimestamp */
	bool over;                  /* its status says Succeeded or Failed: for good */
	int64_t deletion_grace_ms;
	const struct json *spec, *metadata;
	struct ctr_spec *ctrs; /* init and sidecar containers in order, then main */
	size_t ctrs_len;
	size_t first_main;
};

/* Copies `text`.  ERR_INVALID, ERR_BAD_REQUEST, ERR_TOO_LARGE with the field in the message. */
ATTR_MUSTCHECK int pod_spec_parse(struct str text, struct pod_spec **ret, struct error *err);
struct pod_spec *pod_spec_free(struct pod_spec *p);

/* Whether both ask for the same containers: what differs then may be changed without a restart. */
bool pod_spec_same_containers(const struct pod_spec *a, const struct pod_spec *b);

/* Index of container `name`, or -1. */
ptrdiff_t pod_spec_find(const struct pod_spec *p, struct str name);

/* "Guaranteed", "Burstable", "BestEffort" as Kubernetes defines them. */
const char *pod_spec_qos(const struct pod_spec *p);

#endif
