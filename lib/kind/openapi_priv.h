/* openapi_priv - one OpenAPI v3 document in the making. */
#ifndef KIND_OPENAPI_PRIV_H
#define KIND_OPENAPI_PRIV_H

#include "base/map.h"
#include "kind/kind_priv.h"

struct openapi {
	struct kind_set *set;
	struct buf *out;
	struct arena arena;
	struct map seen;   /* definitions that are written or wait */
	struct str *queue; /* those that wait, or have been written from here */
	size_t queue_len, queue_cap;
};

/* {"$ref": …}, and the definition will be part of the document. */
void openapi_write_ref(struct openapi *o, struct str name);

/* "x-kubernetes-group-version-kind":{…} of an operation */
void openapi_write_gvk(struct openapi *o, const struct kind *k, struct str kind);

/* The definition of the list of a kind. */
struct str openapi_list_name(struct openapi *o, const struct kind_info *k);

/* SHA-256 in hexadecimal, kept in the set. */
const char *openapi_hash(struct kind_set *s, struct str of);

/* The members of "paths" of a group version. */
void openapi_write_paths(struct openapi *o, struct str group, struct str version);

#endif
