/*
 * apiserver/extra - discovery documents with the groups that a program's routes
 * serve (metrics.k8s.io) put beside those of the kinds.
 */
#ifndef APISERVER_EXTRA_H
#define APISERVER_EXTRA_H

#include "apiserver/apiserver_priv.h"

struct bytes *extra_discovery(struct apiserver *s, struct kind_set *kinds, bool core,
			      struct arena *a, const char **etag);
struct bytes *extra_group_list(struct apiserver *s, struct kind_set *kinds);
struct bytes *extra_group(struct apiserver *s, struct kind_set *kinds, struct str group);
struct bytes *extra_resource_list(struct apiserver *s, struct kind_set *kinds, struct str group,
				  struct str version);

#endif
