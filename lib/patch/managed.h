/*
 * managed - the list of managers of an object: metadata.managedFields read,
 * changed and written, and the two writes of server-side apply on top of it.
 *
 * Field sets are read from their JSON when they are first asked for: an apply
 * that changes nothing reads only the set of its own manager.
 */
#ifndef PATCH_MANAGED_H
#define PATCH_MANAGED_H

#include "patch/fieldset.h"
#include "patch/patch.h"

enum {
	MANAGERS_MAX = 1000,      /* of one object; no further one may be added */
	UPDATE_MANAGERS_MAX = 10, /* more are merged into "ancient-changes" */
};

struct manager {
	struct str name;
	struct str api_version;
	struct str subresource;
	struct str time; /* RFC 3339 in UTC, or empty */
	bool apply;      /* operation Apply, else Update */
	bool read;       /* set was read from fields */
	bool changed;    /* set is newer than fields */
	const struct json *fields;
	struct fset set; /* through manager_set() */
};

struct managers {
	struct manager *list;
	size_t len, cap;
};

/*
 * `entries` is metadata.managedFields or NULL; with `strict` all sets are read.
 * ERR_BAD_REQUEST when something in it is not as it must be.
 */
ATTR_MUSTCHECK int managers_read(struct arena *a, const struct json *entries, bool strict,
				 struct managers *ret, struct error *err);

/* What the manager owns; nothing when its fields cannot be read. */
const struct fset *manager_set(struct arena *a, struct manager *m);
void manager_own(struct manager *m, struct fset set);

/* The entry of this identity (Apply: the API version does not count), or NULL. */
struct manager *managers_find(struct managers *x, const struct manager *id);

/* The same, appended with an empty set when it is not there.  Moves other entries. */
struct manager *managers_entry(struct arena *a, struct managers *x, const struct manager *id);

/* Merges the oldest Update managers until there are at most UPDATE_MANAGERS_MAX. */
void managers_cap(struct arena *a, struct managers *x);

/* The sorted list without managers that own nothing. */
struct json managers_json(struct arena *a, struct managers *x);

/* ---- objects ---- */

/* obj.metadata.managedFields, or NULL. */
const struct json *managed_fields(const struct json *obj);

/* The object without it; shares all else. */
struct json managed_without(struct arena *a, const struct json *obj);

/* The object with these; `entries` empty or NULL removes. Shares all else. */
struct json managed_with(struct arena *a, const struct json *obj, const struct json *entries);

/* ---- ownership ---- */

struct ssa {
	struct arena *a;
	const struct schema *schema;
	struct managers *managers;
	struct fset *conflicts; /* by manager, after ERR_CONFLICT */
};

/*
 * After a write that turned `live` (or NULL) into `obj`: what changed belongs
 * to `self` (an entry of managers).  True when self got anything.
 */
bool ssa_update(struct ssa *x, struct manager *self, const struct json *live,
		const struct json *obj);

struct ssa_applied {
	struct json object;
	bool object_changed, set_changed;
};

/*
 * Puts `config` over `live` (or NULL) in the name of `self` and takes away what
 * self applied before and nobody else owns.  ERR_CONFLICT with x->conflicts.
 * Neither object carries managedFields.
 */
ATTR_MUSTCHECK int ssa_apply(struct ssa *x, struct manager *self, struct str api_version,
			     bool force, const struct json *live, const struct json *config,
			     struct ssa_applied *ret, struct error *err);

/* The set without what no manager ever owns: name, namespace, uid and their like. */
struct fset ssa_strip(struct arena *a, const struct fset *set);

/* ---- objects that kubectl applied on the client's side before ---- */

/* True when all conflicts are with what kubectl itself last applied there. */
bool last_applied_allows(struct ssa *x, struct str api_version, const struct json *live);

/* The object with its annotation, if it has one, brought up to date. */
struct json last_applied_sync(struct arena *a, const struct json *obj, const struct json *config);

#endif
