/*
 * agent/podenv - a container's environment, as a kubelet builds it.
 *
 * Order: envFrom sources in their order, then env; a later one of the same name wins.  $(NAME) in a value, in
 * command and args is replaced by a variable defined before; $$(NAME) stays as $(NAME); unknown names stay as they are.
 * Always there: PATH (unless given), HOSTNAME, HOME when known, RCTL_VOLUME_<NAME> for
 * each volume (upper case, "-" and "." as "_": the volume's real folder on the host),
 * RCTL_NODE_NAME.
 */
#ifndef AGENT_PODENV_H
#define AGENT_PODENV_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "configs.h"
#include "podspec.h"

enum { ENV_VARS_MAX = 2048, ENV_BYTES_MAX = 2 << 20 };

struct env_var {
	struct str name, value;
};

struct podenv {
	struct env_var *vars;
	size_t len, cap;
};

/* What fields of the pod and the node are at this moment. */
struct podenv_facts {
	const char *node_name, *host_ip, *pod_ip;
	int64_t node_cpu_m, node_memory; /* for resourceFieldRef without a limit */
	const char *volumes_dir;         /* folder that has one folder a volume */
};

/*
 * The variables in `a`.  ERR_NOT_FOUND: a ConfigMap, Secret or key that is not optional is missing (the
 * container waits, CreateContainerConfigError); ERR_INVALID: a field that cannot be.
 */
ATTR_MUSTCHECK int podenv_build(struct arena *a, const struct pod_spec *pod,
				const struct ctr_spec *ctr, const struct configs *configs,
				const struct podenv_facts *facts, struct podenv *ret,
				struct error *err);

/* $(NAME) replaced. */
struct str podenv_expand(struct arena *a, const struct podenv *env, struct str s);

/* "metadata.labels['x']", "status.podIP", …: ERR_INVALID for a path that is not supported. */
ATTR_MUSTCHECK int podenv_field(struct arena *a, const struct pod_spec *pod,
				const struct podenv_facts *facts, struct str path, struct str *ret,
				struct error *err);
/* "limits.cpu", "requests.memory", … of a container, divided by divisor and rounded up. */
ATTR_MUSTCHECK int podenv_resource(struct arena *a, const struct ctr_spec *ctr,
				   const struct podenv_facts *facts, const struct json *ref,
				   struct str *ret, struct error *err);

/* argv (command + args expanded) and "NAME=value" strings, both ended by NULL, in `a`. */
char **podenv_argv(struct arena *a, const struct podenv *env, const struct ctr_spec *ctr);
char **podenv_strings(struct arena *a, const struct podenv *env);

#endif
