/*
 * schema - structural schemas (the OpenAPI v3 subset of CustomResourceDefinitions)
 * compiled to trees of nodes: validation, defaulting, pruning, and what the
 * patch engines must know of lists and maps.
 *
 * Source: Kubernetes' structural schema rules (KEP-2332 and the API reference of
 * JSONSchemaProps); list and map types by KEP-555 (server-side apply).
 *
 * Nodes are immutable after compiling and shared: a definition that many kinds
 * use (PodTemplateSpec) is one tree.  They live as long as the schema_set they
 * were compiled in.  Any number of threads may read.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct regex;

enum schema_type {
	SCHEMA_ANY, /* no type given, with preserve_unknown */
	SCHEMA_STRING,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_BOOLEAN,
	SCHEMA_OBJECT,
	SCHEMA_ARRAY,
	SCHEMA_INT_OR_STRING,
};

enum schema_format {
	SCHEMA_FORMAT_NONE,
	SCHEMA_FORMAT_INT32,
	SCHEMA_FORMAT_INT64,
	SCHEMA_FORMAT_FLOAT,
	SCHEMA_FORMAT_DOUBLE,
	SCHEMA_FORMAT_BYTE, /* base64 */
	SCHEMA_FORMAT_DATE_TIME,
	SCHEMA_FORMAT_DURATION,
	SCHEMA_FORMAT_QUANTITY, /* ours: x-rctl-format quantity */
	SCHEMA_FORMAT_OTHER,    /* kept for OpenAPI, not checked */
};

enum schema_list { SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

struct schema;

struct schema_property {
	struct str name;
	uint64_t head; /* the first bytes of the name, for searching */
	const struct schema *schema;
};

struct schema_property schema_property_of(struct str name, const struct schema *s);

/* x-rctl-proto: the number of a member in the kind's protobuf message. */
struct schema_wire {
	struct str name;
	uint32_t
		outer; /* the message field that holds the member, which JSON writes flat; 0 = none */
	uint32_t number; /* of the member */
	bool zero;       /* 0, false and "" are said, not left out */
};

/* Value validations beside the structure. */
struct schema_rule;

struct schema_logic {
	const struct schema *const *all_of, *const *any_of, *const *one_of;
	size_t all_of_len, any_of_len, one_of_len;
	const struct schema *not_of; /* or NULL */
};

struct schema {
	enum schema_type type;
	enum schema_format format;
	enum schema_list list; /* arrays: x-kubernetes-list-type */
	bool map_atomic;       /* objects: x-kubernetes-map-type: atomic */
	bool nullable;
	bool preserve_unknown;  /* x-kubernetes-preserve-unknown-fields */
	bool embedded_resource; /* x-kubernetes-embedded-resource */
	bool patch_merge;       /* x-kubernetes-patch-strategy has "merge" */
	bool patch_retain_keys; /* … has "retainKeys" */
	bool warn; /* x-rctl-unsupported: stored, but a Warning says that nothing acts on it */
	bool duplicates_ok; /* x-rctl-duplicates: list type for patches, duplicates are stored */
	bool validations;   /* x-kubernetes-validations is there */
	bool rules_below;   /* … here or further down */
	bool numbers_below; /* a node of type number stands here or further down */
	struct str description;
	struct str
		ref; /* name of the definition this node is, or "" ("io.k8s.api.core.v1.PodSpec") */
	struct str patch_merge_key;          /* x-kubernetes-patch-merge-key */
	const struct schema_property *props; /* sorted by name */
	size_t props_len;
	bool props_default;             /* some of props may have a default */
	const struct schema_wire *wire; /* of props, as protobuf has them; or NULL */
	size_t wire_len;
	const struct schema
		*additional; /* additionalProperties with a schema (true: any value), or NULL */
	const struct schema *items;
	const struct str *required;
	size_t required_len;
	const struct str *list_keys; /* x-kubernetes-list-map-keys */
	size_t list_keys_len;
	const struct json *enums;         /* JSON array or NULL */
	const struct json *default_value; /* or NULL */
	bool has_min, has_max, exclusive_min, exclusive_max;
	double min, max, multiple_of; /* multiple_of 0 = none */
	int64_t len_min, len_max;     /* strings (code points), arrays, objects; -1 = none */
	struct str pattern_text;
	const struct regex *pattern;      /* or NULL */
	const struct schema_logic *logic; /* allOf, anyOf, oneOf, not; or NULL */
	const struct schema_rule *rules;  /* x-kubernetes-validations */
	size_t rules_len;
	const struct json *source; /* the document it came from: OpenAPI */
};

/* Limits of an external schema; a built-in one may be as large as it likes. */
enum {
	SCHEMA_NODES_MAX = 50000,
	SCHEMA_DEPTH_MAX = 60,
	SCHEMA_PATTERN_BYTES_MAX = 4096,
	SCHEMA_WIRE_MAX = 10000, /* number of a protobuf field */
};

struct schema_set;

struct schema_set *schema_set_new(void);
struct schema_set *schema_set_free(struct schema_set *s);

/* Memory that lives as long as the set: for documents given to it. */
struct arena *schema_set_arena(struct schema_set *s);

/*
 * Adds named definitions ({"io.k8s.api.core.v1.PodSpec": {schema}, …}); schemas refer to
 * them by {"$ref": "NAME"}.  References forward and in cycles are fine.  A name
 * that is there already is ERR_EXISTS.  The document is borrowed until the set is freed.
 */
ATTR_MUSTCHECK int schema_set_define(struct schema_set *s, const struct json *definitions,
				     struct error *err);

/* After all definitions: every $ref must be resolved. */
ATTR_MUSTCHECK int schema_set_finish(struct schema_set *s, struct error *err);

/*
 * Compiles a document.  `external`: from a user's CRD - deep-copied into the
 * set, no $ref allowed, structural rules enforced, depth and size limited.
 * Otherwise the document is borrowed until the set is freed, and when the set is
 * finished already the references must resolve at once.
 * ERR_INVALID names the path in the schema.
 */
ATTR_MUSTCHECK int schema_compile(struct schema_set *s, const struct json *doc, bool external,
				  const struct schema **ret, struct error *err);

struct field_errors;

/*
 * The rules of structural schemas that `external` enforces, as field errors below
 * `path` ("spec.versions[0].schema.openAPIV3Schema").
 */
void schema_check_structural(const struct json *doc, struct str path, struct field_errors *errors);

/* The definition of a name, or NULL. */
const struct schema *schema_find(const struct schema_set *s, struct str name);

/* The property, or the additionalProperties schema, or NULL (unknown). */
const struct schema *schema_property(const struct schema *s, struct str name);

/* Follows "spec.template.spec.containers" style member names (arrays: their items). NULL = unknown. */
const struct schema *schema_at(const struct schema *s, struct str path);

/* ---- field errors, as Kubernetes reports them ---- */

enum field_reason {
	FIELD_INVALID,       /* FieldValueInvalid: Invalid value */
	FIELD_REQUIRED,      /* FieldValueRequired */
	FIELD_NOT_SUPPORTED, /* FieldValueNotSupported: Unsupported value */
	FIELD_DUPLICATE,     /* FieldValueDuplicate */
	FIELD_FORBIDDEN,     /* FieldValueForbidden */
	FIELD_TYPE,          /* FieldValueTypeInvalid */
	FIELD_TOO_LONG,      /* FieldValueTooLong */
	FIELD_TOO_MANY,      /* FieldValueTooMany */
	FIELD_NOT_FOUND,     /* FieldValueNotFound */
	FIELD_IMMUTABLE,     /* printed as Invalid value …: field is immutable */
};

struct field_error {
	enum field_reason reason;
	struct str path;    /* spec.containers[0].name */
	struct str message; /* the full text: `Invalid value: "X": must be …` */
};

enum { FIELD_ERRORS_MAX = 64 };

struct field_errors {
	struct arena *arena;
	struct field_error list[FIELD_ERRORS_MAX];
	size_t len;
	size_t dropped; /* found beyond FIELD_ERRORS_MAX */
};

/* value may be NULL; detail is printf. */
void field_error_add(struct field_errors *e, enum field_reason reason, struct str path,
		     const struct json *value, const char *detail, ...) ATTR_PRINTF(5, 6);
const char *field_reason_text(
	enum field_reason r); /* "FieldValueInvalid" … for Status.details.causes */

/* ---- what is done with values ---- */

/*
 * Appends what breaks the schema.  `path` is the prefix of the paths ("" for a
 * whole object).  The work is bounded by SCHEMA_VALIDATE_STEPS_MAX nodes visited; beyond
 * it (alternatives in alternatives) the value is refused.
 */
enum { SCHEMA_VALIDATE_STEPS_MAX = 5000000 };
void schema_validate(const struct schema *s, const struct json *value, struct str path,
		     struct field_errors *errors);

/*
 * Evaluates the rules in CEL (x-kubernetes-validations) over the value, which
 * satisfies the schema.  old: the value before, or NULL; rules about both are
 * judged only where there is one, elements of lists are paired by the keys of a
 * list of type map.  A rule is not held against a value that did not change.
 * Work is bounded: SCHEMA_RULE_COST_MAX for one rule at one place,
 * SCHEMA_RULES_COST_MAX for the whole value; what goes beyond is refused.
 */
enum { SCHEMA_RULE_COST_MAX = 1000000, SCHEMA_RULES_COST_MAX = 2500000 };
void schema_check_rules(const struct schema *s, const struct json *value, const struct json *old,
			struct str path, struct field_errors *errors);

/*
 * Puts defaults where members are absent (also null where not nullable, as
 * Kubernetes does; without a default such a null is taken out) and writes
 * quantities in their canonical form.
 */
void schema_default(struct arena *a, const struct schema *s, struct json *value);

/*
 * Removes members that the schema does not know (unless preserved) and tells
 * each path to on_unknown (may be NULL; the path is lent until it returns).
 */
void schema_prune(const struct schema *s, struct json *value, struct str path,
		  void (*on_unknown)(void *arg, struct str path), void *arg);

/* Calls on_warn for each member present whose schema says x-rctl-unsupported. */
void schema_warnings(const struct schema *s, const struct json *value, struct str path,
		     void (*on_warn)(void *arg, struct str path), void *arg);

#endif
