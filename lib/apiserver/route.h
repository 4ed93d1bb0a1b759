/*
 * apiserver/route - a request's method and path as Kubernetes' RequestInfo:
 * which verb on which resource.  Pure.
 *
 *   GET  /api/v1/namespaces/shop/pods/web-1/log     get pods/log web-1 in shop
 *   GET  /apis/apps/v1/deployments?watch=1          watch deployments.apps everywhere
 *   POST /healthz                                   post of a path that is no resource
 */
#ifndef APISERVER_ROUTE_H
#define APISERVER_ROUTE_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROUTE_PATH_MAX = 4096, ROUTE_QUERY_MAX = 65536 };

struct route {
	bool is_resource;
	struct str path;  /* as it came, without query */
	struct str query; /* raw */
	struct str verb;  /* get list watch create … ; else the method in lower case */
	struct str group, version, resource, subresource, ns, name;
	struct str rest; /* behind the subresource: "pods/x/proxy/REST" */
};

/*
 * `method` in upper case.  The verbs list and watch are told apart by the
 * query, which is read by options_parse(): the route says "list".
 * ERR_BAD_REQUEST for a path that cannot be decoded or holds an encoded "/"
 * or NUL, ERR_METHOD for a method that no resource has.
 */
ATTR_MUSTCHECK int route_parse(struct arena *a, struct str method, struct str target,
			       struct route *ret, struct error *err);

/* ---- what the query says ---- */

enum route_match { MATCH_UNSET, MATCH_EXACT, MATCH_NOT_OLDER };
enum route_propagation {
	PROPAGATE_DEFAULT,
	PROPAGATE_BACKGROUND,
	PROPAGATE_FOREGROUND,
	PROPAGATE_ORPHAN
};

struct options {
	struct str label_selector, field_selector; /* decoded */
	struct str continue_token;
	struct str field_manager;
	struct str include_object; /* Table: None, Metadata, Object */
	struct str field_validation;
	struct str propagation_policy;
	int64_t resource_version; /* -1 = not given */
	int64_t limit;            /* 0 = none */
	int64_t timeout_s;        /* 0 = none */
	int64_t grace_s;          /* -1 = not given */
	enum route_match match;
	bool watch, bookmarks, send_initial, send_initial_given, force, dry_run, pretty;
};

/*
 * ERR_BAD_REQUEST for what cannot be read, ERR_INVALID for values that are not supported; in the
 * words of Kubernetes where it has some.
 */
ATTR_MUSTCHECK int options_parse(struct arena *a, struct str query, struct options *ret,
				 struct error *err);
/*
 * What a list or a watch may ask for together: ERR_INVALID; the message begins with the field.
 */
ATTR_MUSTCHECK int options_check_list(const struct options *o, struct error *err);
/* "CreateOptions": as what Kubernetes reads the query of a request. */
const char *options_kind(struct str verb);
/* ERR_INVALID */
ATTR_MUSTCHECK int route_propagation_of(struct str policy, enum route_propagation *ret,
					struct error *err);

/* ---- continue tokens: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":KEY} ---- */

struct continue_token {
	int64_t rev;      /* -1 = whatever is newest (handed out with a 410) */
	struct str start; /* "NAMESPACE/NAME\0" or "NAME\0": the next key, relative to the list */
};

struct str continue_write(struct arena *a, const struct continue_token *t);
ATTR_MUSTCHECK int continue_read(struct arena *a, struct str text, struct continue_token *ret,
				 struct error *err);

/* ---- content negotiation ---- */

enum accept_as { AS_OBJECT, AS_TABLE, AS_PARTIAL };

struct accept {
	enum accept_as as;
	bool v1beta1; /* of Table and PartialObjectMetadata */
	bool gzip;
};

/* The version of meta.k8s.io that the client chose. */
static inline const char *accept_version(const struct accept *a)
{
	return a->v1beta1 ? "v1beta1" : "v1";
}

/*
 * The first range of `accept` ("" = anything) that we can answer.
 * ERR_NOT_ACCEPTABLE when there is none.  `encoding` is Accept-Encoding.
 */
ATTR_MUSTCHECK int accept_parse(struct str accept, struct str encoding, struct accept *ret,
				struct error *err);

/* Of a body: the type without parameters, lower case; "" stays "". */
struct str content_type_of(struct arena *a, struct str header);

/* The discovery documents' v2 form is asked for. */
bool accept_wants_aggregated(struct str accept);

#endif
