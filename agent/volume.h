/*
 * agent/volume - the volumes of a pod as folders below "<pod>/volumes/<name>".
 *
 * configMap, secret, downwardAPI and projected volumes are written the way a kubelet does it: the files in a
 * new hidden folder, then the link "..data" is renamed over to it, so that a reader sees the old or the new
 * set, never a mixture; what a program opens by "<mountPath>/<file>" goes through that link and sees updates.
 * emptyDir is a folder (medium Memory too: its size then counts as disk); hostPath is the path itself.
 */
#ifndef AGENT_VOLUME_H
#define AGENT_VOLUME_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "configs.h"
#include "podenv.h"
#include "podspec.h"
#include "runtime.h"

enum { VOLUME_FILES_MAX = 4096, VOLUME_BYTES_MAX = 8 << 20 };

/*
 * Makes all volumes, or brings them up to date (call again after a change; what is the same is not
 * touched).  ERR_NOT_FOUND: a ConfigMap, Secret or hostPath is missing and not optional; ERR_INVALID: a kind of
 * volume we do not have, or a path that leaves the volume.
 */
ATTR_MUSTCHECK int volume_sync(const struct pod_spec *pod, const struct configs *configs,
			       const struct podenv_facts *facts, struct error *err);

/* A container's mounts in `a`; subPath folders are made. */
ATTR_MUSTCHECK int volume_mounts(struct arena *a, const struct pod_spec *pod,
				 const struct ctr_spec *ctr, const struct podenv *env,
				 const struct podenv_facts *facts, struct rt_mount **ret,
				 size_t *ret_len, struct error *err);

/* Whether the pod names this ConfigMap or Secret in a volume. */
bool volume_uses(const struct pod_spec *pod, struct str kind, struct str name);

#endif
