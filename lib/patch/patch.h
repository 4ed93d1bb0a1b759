/*
 * patch - the four ways to change an object over the Kubernetes protocol, as
 * pure functions on JSON trees.
 *
 *   JSON patch              RFC 6902   application/json-patch+json
 *   JSON merge patch        RFC 7396   application/merge-patch+json
 *   strategic merge patch   Kubernetes application/strategic-merge-patch+json
 *   server-side apply       KEP-555    application/apply-patch+yaml
 *
 * Results are built in `a` and may share subtrees with the inputs (change a
 * result only through json_clone or where the function says it is fresh).
 */
#ifndef PATCH_PATCH_H
#define PATCH_PATCH_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"
#include "schema/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATCH_OPS_MAX = 10000 }; /* operations of one JSON patch */

/* ERR_BAD_REQUEST for a malformed patch, ERR_INVALID when an operation or a test fails. */
ATTR_MUSTCHECK int patch_json(struct arena *a, const struct json *doc, const struct json *ops,
			      struct json *ret, struct error *err);

/* Cannot fail. */
struct json patch_merge(struct arena *a, const struct json *doc, const struct json *patch);

/* With all directives ($patch, $retainKeys, $setElementOrder/…, $deleteFromPrimitiveList/…). */
ATTR_MUSTCHECK int patch_strategic(struct arena *a, const struct schema *s, const struct json *doc,
				   const struct json *patch, struct json *ret, struct error *err);

/* ---- server-side apply: field sets and managers ---- */

struct patch_conflict {
	struct str manager; /* "kubectl" */
	struct str
		operation_detail; /* ` using v1` or ` with subresource "status"`: rest of the cause's text, may be empty */
	struct str field; /* ".spec.replicas", ".spec.containers[name=\"web\"].image" */
};

enum { PATCH_CONFLICTS_MAX = 64 };

struct patch_apply {
	/* in */
	const struct schema *schema;
	struct str manager;     /* fieldManager, not empty */
	struct str api_version; /* of the request */
	struct str subresource; /* "" or "status", "scale" */
	bool force;
	struct str now; /* RFC 3339 time for managedFields.time */
	/* out */
	struct patch_conflict conflicts[PATCH_CONFLICTS_MAX];
	size_t conflicts_len, conflicts_dropped;
};

/*
 * `live` is the stored object (with metadata.managedFields) or NULL; `applied`
 * the configuration sent.  Writes the merged object with new managedFields.
 * ERR_CONFLICT with ap->conflicts filled; ERR_BAD_REQUEST when `applied` does not
 * fit the schema (wrong type, duplicate or missing list keys) or carries managedFields.
 */
ATTR_MUSTCHECK int patch_apply(struct arena *a, struct patch_apply *ap, const struct json *live,
			       const struct json *applied, struct json *ret, struct error *err);

/*
 * The message of an ERR_CONFLICT as Kubernetes words it, whole (`err` has as
 * much of it as fits): lines for several conflicts, without those dropped.
 */
struct str patch_conflict_text(struct arena *a, const struct patch_apply *ap);

/*
 * After any other write (create, update, the other patches): moves the ownership
 * of what changed between `live` (or NULL) and `obj` to `manager` with operation
 * Update, in obj's metadata.managedFields.  An object whose managedFields were emptied
 * by the client ([{}]) is reset.  When the only change is a timestamp of a manager, the old entry stays.
 */
void patch_managed_update(struct arena *a, const struct schema *schema, struct str manager,
			  struct str api_version, struct str subresource, struct str now,
			  const struct json *live, struct json *obj);

#endif
