/*
 * taints - what taint, cordon and drain decide before they change anything.  Pure.
 */
#ifndef TAINTS_H
#define TAINTS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

/* "key=value:Effect", "key:Effect" or, with remove, "key:Effect-", "key-". */
struct taint {
	struct str key, value, effect; /* effect "" = every effect (remove only) */
	bool remove;
};
ATTR_MUSTCHECK int taint_parse(struct str text, struct taint *ret, struct error *err);

/*
 * The node's spec.taints with the changes, in the arena.  ERR_CONFLICT when one is there with another value
 * and `overwrite` is false, ERR_NOT_FOUND when one to remove is not there.
 */
ATTR_MUSTCHECK int taints_apply(struct arena *a, const struct json *old,
				const struct taint *changes, size_t n, bool overwrite,
				struct json *ret, struct error *err);

struct drain_rules {
	bool force, ignore_daemonsets, delete_emptydir;
};
enum drain_verdict { DRAIN_EVICT, DRAIN_SKIP, DRAIN_REFUSE };

/* What drain does with a pod; *why says it for DRAIN_SKIP and DRAIN_REFUSE (static text). */
enum drain_verdict drain_judge(const struct json *pod, const struct drain_rules *rules,
			       const char **why);

#endif
