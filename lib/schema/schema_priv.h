/* schema_priv - what the files of lib/schema share. */
#ifndef SCHEMA_SCHEMA_PRIV_H
#define SCHEMA_SCHEMA_PRIV_H

#include "base/map.h"
#include "schema/path.h"
#include "schema/schema.h"

/* ---- formats ---- */

/* The value (of a type that fits) has the format. */
bool schema_format_ok(enum schema_format format, const struct json *value);
enum schema_format schema_format_of(struct str name);
const char *schema_format_name(enum schema_format format);

/* The canonical form of a quantity that is a string or a number; null when it is none. */
struct json schema_quantity(struct arena *a, const struct json *value);

/* ---- sets ---- */

/* A node that takes over a definition's content once that is compiled. */
struct schema_link {
	struct schema *node;
	const struct json *doc; /* {"$ref": …, overrides} */
	struct schema_link *next;
	bool done, busy;
};

struct schema_set {
	struct arena arena;
	struct map definitions;    /* name -> struct schema_def */
	struct schema_link *links; /* not resolved yet */
	struct regex **patterns;
	size_t patterns_len, patterns_cap;
	struct cel **cels; /* of rules */
	size_t cels_len, cels_cap;
	size_t undefined; /* definitions that are referred to and not there yet */
	bool finished;
	struct schema any; /* additionalProperties: true */
};

struct schema_def {
	struct schema node;
	struct schema_link *link; /* the definition is itself a reference, or NULL */
	bool defined;
};

/* The definition of a name, made as an empty one when it is not there yet. */
struct schema_def *schema_def_get(struct schema_set *s, struct str name);

/* One compilation. */
struct schema_compiler {
	struct schema_set *set;
	struct error *err;
	bool external;
	size_t nodes;
};

/* Fills *node from doc. */
int schema_node_compile(struct schema_compiler *c, struct schema *node, const struct json *doc,
			const struct field_path *at);

/* What may stand beside a $ref: replaces members of the copied target. */
int schema_node_override(struct schema_compiler *c, struct schema *node, const struct json *doc,
			 const struct field_path *at);

/* x-kubernetes-validations of a node; notes in the node what stands below it. */
int schema_rules_compile(struct schema_compiler *c, struct schema *node, const struct json *list,
			 const struct field_path *at);
void schema_rules_note(struct schema *node);

int schema_compile_error(struct schema_compiler *c, const struct field_path *at, const char *msg);

#endif
