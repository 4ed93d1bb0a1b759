/*
 * kind - what the server knows of each resource, all from data: the files of lib/kinds
 * for the built-in kinds, CustomResourceDefinition objects for the others, by
 * the very same path.
 *
 * A kind_set is immutable and counted: readers take the current one, a change
 * of a CustomResourceDefinition publishes a new one.  Discovery documents are
 * made on first use and kept in the set.
 *
 * A built-in kind's file is a CustomResourceDefinition document with some
 * additions: lib/kinds/FORMAT.md is the reference, docs/kinds.md the way to add one.
 *
 * Threads: everything may be called by many threads, except kind_index(): one
 * thread at a time for each set.
 */
#ifndef KIND_KIND_H
#define KIND_KIND_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"
#include "schema/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kind_set;
struct jsonpath;
struct watch_index;

enum kind_plane { KIND_GLOBAL = 1, KIND_CLUSTER = 2 };

enum kind_verb {
	KIND_GET = 1 << 0,
	KIND_LIST = 1 << 1,
	KIND_WATCH = 1 << 2,
	KIND_CREATE = 1 << 3,
	KIND_UPDATE = 1 << 4,
	KIND_PATCH = 1 << 5,
	KIND_DELETE = 1 << 6,
	KIND_DELETECOLLECTION = 1 << 7,
};

struct kind_cell;

struct kind_column {
	struct str name, type, format, description;
	int priority;
	const struct jsonpath *path;       /* or NULL: then func */
	struct str func;                   /* named function and its arguments, see hooks.h */
	void (*cell)(struct kind_cell *c); /* that function */
};

struct kind_scale {
	bool on;
	struct str spec_path, status_path, selector_path; /* ".spec.replicas" … */
};

struct kind_hooks;

/* One served version of one resource. */
struct kind {
	struct str group, version, kind, list_kind, plural, singular;
	struct str api_version; /* "apps/v1", "v1" */
	struct str
		resource_key; /* "apps/deployments", "/pods": prefix of the keys, the same for all versions */
	struct str storage_version; /* api_version of what is stored */
	const struct str *short_names;
	size_t short_names_len;
	const struct str *categories;
	size_t categories_len;
	bool namespaced;
	bool builtin;
	bool has_status; /* status subresource: spec and status are written apart */
	struct kind_scale scale;
	unsigned verbs; /* enum kind_verb */
	const struct schema *schema;
	const struct kind_column *columns; /* Name first unless it is listed; Age as declared */
	size_t columns_len;
	const struct str
		*selectable; /* field paths beyond metadata.name/.namespace: "spec.nodeName" */
	size_t selectable_len;
	/*
	 * Objects may stand in the index with other fields than these (of another version, or
	 * of the definition as it was): their text is to be asked.
	 */
	bool fields_moved;
	const struct kind_hooks *hooks; /* never NULL */
	struct str subresources; /* further ones, space separated: "log", "binding", "eviction" */
};

/* ---- sets ---- */

/* The built-in kinds of a plane.  Aborts when an embedded file is wrong (a test loads them all). */
struct kind_set *kind_set_builtin(enum kind_plane plane);

/*
 * A new set: the built-ins of `base` plus the given CustomResourceDefinition
 * objects (JSON).  One whose condition Established is False is left out; one that is
 * wrong or clashes is left out and told to on_error (may be NULL).  Of a CRD that `base` has with the same spec, what was
 * compiled is shared, so pass the current set.  One reference for the caller.
 */
struct kind_set *kind_set_with_crds(struct kind_set *base, const struct json *const *crds, size_t n,
				    void (*on_error)(void *arg, struct str crd_name,
						     const char *msg),
				    void *arg);
struct kind_set *kind_set_ref(struct kind_set *s);
void kind_set_unref(struct kind_set *s); /* accepts NULL */

/* By URL: group ("" core), version, plural. */
const struct kind *kind_find(const struct kind_set *s, struct str group, struct str version,
			     struct str plural);
/* By apiVersion and kind. */
const struct kind *kind_find_gvk(const struct kind_set *s, struct str api_version, struct str kind);
/*
 * By what a user calls it, without regard to case: plural, singular, short name or
 * kind, also with its group behind a dot ("deploy", "deployments.apps").  The first
 * in the order of kind_at().
 */
const struct kind *kind_find_name(const struct kind_set *s, struct str name);
/* By resource key ("apps/deployments"): the storage version. */
const struct kind *kind_find_key(const struct kind_set *s, struct str resource_key);
bool kind_group_exists(const struct kind_set *s, struct str group, struct str version);
/* All of them: the core group first, then built-in groups, then those of CRDs; the preferred version first. */
size_t kind_count(const struct kind_set *s);
const struct kind *kind_at(const struct kind_set *s, size_t i);

/*
 * Writes acceptedNames and the conditions NamesAccepted and Established into the status
 * of a CRD, as seen beside the other definitions of its group (itself may be
 * among them): a name belongs to whom it was given first.  Names that a group of the
 * built-in kinds has are taken too.  now: the time of a condition that changes.
 */
void kind_crd_accept_names(struct arena *a, struct json *crd, const struct kind_set *builtin,
			   const struct json *const *others, size_t n, struct str now);

/* Checks a CRD object beyond its schema (names, versions, structural schema, columns). */
void kind_validate_crd(const struct json *crd, struct field_errors *errors);

/* ---- objects ---- */

/*
 * Everything a write does to an incoming object before it is compared with
 * the stored one: unknown fields, defaults, schema, metadata, hooks.
 */
enum kind_field_validation { KIND_FIELDS_IGNORE, KIND_FIELDS_WARN, KIND_FIELDS_STRICT };

struct kind_check {
	struct arena *arena;
	struct field_errors errors;           /* 422 when any */
	struct str unknown[FIELD_ERRORS_MAX]; /* paths: 400 when STRICT, warnings when WARN */
	size_t unknown_len;
	struct str warnings[FIELD_ERRORS_MAX];
	size_t warnings_len;
};

/*
 * Prune + default + validate (schema, metadata names, hooks).  `old` is the stored
 * object or NULL; `subresource` what is written ("status", "binding"), or NULL.
 * obj must be an object whose metadata is an object or absent; its namespace and,
 * on create, its generated name are in place.
 */
void kind_check_object(const struct kind *k, struct json *obj, const struct json *old,
		       const struct str *subresource, struct kind_check *c);

/*
 * The canonical encoding for the store: apiVersion, kind, metadata first,
 * metadata without resourceVersion and selfLink; storage version.  A
 * reference for the caller.
 */
struct bytes *kind_encode(const struct kind *k, const struct json *obj);

/*
 * Index of a stored value for the watch cache (labels, selectable fields, owner
 * uids).  Strings point into the value, or into the set until the next call.
 */
void kind_index(const struct kind_set *s, struct str key, struct str value, struct watch_index *ix);

/*
 * ---- documents served ----
 *
 * Each is a reference for the caller; ETags and hashes live as long as the set.
 */

/*
 * Aggregated discovery (apidiscovery.k8s.io/v2): core = the document of /api, else
 * of /apis.  *etag is a hash, without quotes.
 */
struct bytes *kind_discovery_v2(struct kind_set *s, bool core, const char **etag);
/* Legacy: /api, /apis, /api/v1, /apis/G, /apis/G/V; NULL when there is no such group version. */
struct bytes *kind_api_versions(struct kind_set *s);
struct bytes *kind_api_group_list(struct kind_set *s);
struct bytes *kind_api_group(struct kind_set *s, struct str group);
struct bytes *kind_api_resource_list(struct kind_set *s, struct str group, struct str version);
/*
 * OpenAPI v2 for clients from before v3 (kubectl 1.26 and older), as protobuf: all kinds in one
 * document, made on each call; the ETag is a hash, without quotes.
 */
struct bytes *kind_openapi_v2(struct kind_set *s);
const char *kind_openapi_v2_etag(struct kind_set *s);
/*
 * OpenAPI v3: the index of /openapi/v3, and one group version's document with its
 * hash (hexadecimal, as in the index); NULL when unknown.  The hash is of what the
 * document is made of; documents are made on each call (about 1 ms) and not kept,
 * since clients keep them by their hash.
 */
struct bytes *kind_openapi_index(struct kind_set *s);
struct bytes *kind_openapi(struct kind_set *s, struct str group, struct str version,
			   const char **hash);

/* ---- Table (meta.k8s.io/v1) ---- */

enum kind_include { KIND_INCLUDE_METADATA, KIND_INCLUDE_OBJECT, KIND_INCLUDE_NONE };

/* "columnDefinitions":[…] as text, kept in the kind set. */
struct str kind_table_columns(const struct kind *k);

/* Appends one row object for `json` (the object's text).  now_s: Unix time for ages. */
void kind_table_row(const struct kind *k, struct arena *scratch, struct str json,
		    enum kind_include include, int64_t now_s, struct buf *out);

/* PartialObjectMetadata of an object's text; version of meta.k8s.io: "v1" or "v1beta1". */
void kind_partial_metadata(const char *version, struct str json, struct buf *out);

#endif
