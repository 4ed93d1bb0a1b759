/*
 * kind/protobuf - objects in the protobuf of Kubernetes: k8s.io/apimachinery's runtime.Unknown behind the magic
 * "k8s\0", and in it the message of the kind.  The messages are those that the kinds' schemas
 * tell of (x-rctl-proto): proto2 as gogo writes it.
 */
#ifndef KIND_PROTOBUF_H
#define KIND_PROTOBUF_H

#include "kind/kind.h"

enum {
	PROTOBUF_DEPTH_MAX = 100,
	PROTOBUF_VALUES_MAX = 1000000,
	PROTOBUF_UNKNOWN_MAX = 16,
	PROTOBUF_STEPS_MAX = 100000000, /* comparisons of map keys: 14,000 in one map */
};

/* Fields with a value that the schema has no number of: "spec.field 17". */
struct protobuf_unknown {
	struct str paths[PROTOBUF_UNKNOWN_MAX];
	size_t len;
};

/*
 * The JSON tree of a body; strings point into it, so it must outlive the tree.  The kind is
 * what the envelope says: a kind of the set, or a definition such as DeleteOptions.
 * ERR_MEDIA_TYPE: a kind that has no protobuf (custom resources); ERR_BAD_REQUEST: the bytes are wrong;
 * ERR_TOO_LARGE: over a limit.
 */
ATTR_MUSTCHECK int protobuf_decode(const struct kind_set *s, struct arena *a, struct str body,
				   struct json *ret, struct protobuf_unknown *unknown,
				   struct error *err);

#endif
