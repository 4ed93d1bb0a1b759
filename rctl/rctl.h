/*
 * rctl - the command line: one verb a run, over lib/client.
 *
 * Exit status: 0 done, 1 failed (or: differences found, by diff), 2 wrong usage.
 * Results go to stdout, everything else to stderr.  Colours only on a terminal.
 */
#ifndef RCTL_H
#define RCTL_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "client/client.h"
#include "fetch/fetch.h"
#include "json/json.h"
#include "options.h"

#include <stdbool.h>
#include <stdint.h>

enum { WARNINGS_MAX = 64 };

struct rctl {
	struct options opt;
	struct arena arena; /* lives as long as the run */
	struct loop *loop;
	struct fetch *fetch;
	struct client *client;
	struct client_config cfg;
	struct client_discovery *discovery;
	struct str warnings[WARNINGS_MAX]; /* of the server, said already */
	size_t warnings_len;
};

/* A whole answer. */
struct reply {
	int status; /* 0 = none came */
	struct buf body;
	struct error err; /* code 0 when status < 400 */
};
void reply_fini(struct reply *r);

/* Reads the kubeconfig and makes the client.  Does nothing when it was done. */
ATTR_MUSTCHECK int rctl_connect(struct rctl *r, struct error *err);

/* Sends one request and waits for its answer.  Returns reply->err.code. */
int rctl_call(struct rctl *r, const struct client_request *req, struct reply *reply);
int rctl_get(struct rctl *r, const char *path, const char *accept, struct reply *reply);

/* GET as JSON in the run's arena. */
ATTR_MUSTCHECK int rctl_get_json(struct rctl *r, const char *path, struct json *ret,
				 struct error *err);

ATTR_MUSTCHECK int rctl_discover(struct rctl *r, struct error *err);

/* The resource, or ERR_NOT_FOUND with what to do. */
ATTR_MUSTCHECK int rctl_resource(struct rctl *r, struct str name,
				 const struct client_resource **ret, struct error *err);

/* -n, else the context's namespace. */
struct str rctl_ns(const struct rctl *r);

/* "error: …" on stderr; returns 1. */
int rctl_fail(const struct error *err);
int rctl_usage(const char *fmt, ...) ATTR_PRINTF(1, 2); /* returns 2 */

/* ---- what is named on the command line: "pods web-1", "deploy/web svc/x", "pods,services" ---- */

struct target {
	const struct client_resource *resource;
	struct str name; /* "" = all */
};
enum { TARGETS_MAX = 512 };

/* From args[from..]; ERR_BAD_REQUEST for wrong mixtures. */
ATTR_MUSTCHECK int rctl_targets(struct rctl *r, size_t from, struct target *out, size_t *n,
				struct error *err);

/* The same behind rctl_connect(), for verbs: 0, or the exit status with the reason said. */
int rctl_target_list(struct rctl *r, size_t from, struct target *list, size_t *n);

/* Types without a name become the objects that -l or --all select, at most TARGETS_MAX. */
int rctl_expand(struct rctl *r, struct target *list, size_t *n);

/* ---- changes; each honours --dry-run and -o ---- */

bool rctl_dry(const struct rctl *r, const char *mode); /* --dry-run=mode was given */
int rctl_patch_call(struct rctl *r, const char *path, const char *type, struct str body,
		    struct reply *reply);
/* Says "TYPE/NAME done", or what went wrong; the exit status. */
int rctl_changed(struct rctl *r, const struct target *t, const struct reply *reply,
		 const char *done);
/* Both at once. */
int rctl_patch(struct rctl *r, const struct target *t, const char *path, const char *type,
	       struct str body, const char *done);

/* Path of the target in the namespace chosen; "" name = the collection with selectors as query. */
char *rctl_target_path(struct rctl *r, const struct target *t);

/* "deployment.apps/web", as -o name prints. */
struct str rctl_name_of(struct rctl *r, const struct client_resource *res, struct str name);

/* ---- the fleet (fleet.c) ---- */

enum { MEMBERS_MAX = 512 };

/* One cluster, spoken to through the global API as the same user. */
struct member {
	struct str name, region;
	struct rctl *at; /* a run of its own, with its own arena and discovery */
};
/* Every Cluster object's; ERR_NOT_FOUND says that --clusters wants the global API. */
ATTR_MUSTCHECK int fleet_members(struct rctl *r, struct member **ret, size_t *n, struct error *err);
void fleet_leave(struct member *list, size_t n);

/* ---- manifests (manifest.c) ---- */

struct document {
	struct json obj;
	struct str where; /* "web.yaml:12" */
	struct str file;
	struct str uid;   /* of the object, once it was applied */
	const void *yaml; /* struct yaml_doc, for lines of fields */
};
struct documents {
	struct document *list;
	size_t len, cap;
};
/* All of -f, in order; List objects are taken apart. */
ATTR_MUSTCHECK int manifest_read(struct rctl *r, struct documents *ret, struct error *err);
/* "web.yaml:17" of a field path ("spec.replicas") in the document. */
struct str manifest_line(struct rctl *r, const struct document *d, struct str field);
/* What the server says about a document, with the lines of the fields it is about. */
void manifest_blame(struct rctl *r, const struct document *d, const struct reply *reply);
/* Resource and path of a document; metadata.namespace is filled in. */
ATTR_MUSTCHECK int manifest_target(struct rctl *r, struct document *d,
				   const struct client_resource **res, char **path,
				   struct error *err);

/* ---- sets of applied objects (prune.c); each returns the exit status ---- */

struct set;
struct set_member;
int applyset_read(struct rctl *r, struct set *ret); /* empty when there is no record */
int applyset_write(struct rctl *r, const struct set *s);
struct set_member applyset_member(const struct document *d);
int applyset_prune(struct rctl *r, const struct set *stale);

/* ---- printing (print.c) ---- */

struct table;
struct table *table_new(void);
struct table *table_free(struct table *t);
void table_columns(struct table *t, const struct json *definitions, bool wide);
/* Names as they are, cells in their order. */
void table_plain_columns(struct table *t, const struct str *names, size_t n);
void table_prefix(struct table *t, struct str prefix); /* before the first cell of each row */
void table_row(struct table *t, const struct json *row, struct str ns, const char *const *extra,
	       size_t extra_len);
void table_extra_columns(struct table *t, const char *const *names, size_t n);
void table_namespaces(struct table *t, bool on);
void table_labels(struct table *t, bool on);
void table_print(struct table *t, bool headers);

/* A terminal that wants colours: NO_COLOR and TERM=dumb are heeded. */
bool print_colours(int fd);

bool print_is_table(const struct rctl *r);
/* One object or list in the output format, which is no table's.  Takes managedFields out of it. */
ATTR_MUSTCHECK int print_object(struct rctl *r, struct json *obj, struct error *err);

/* A row of plain texts (table_plain_columns). */
void table_cells(struct table *t, const struct str *cells, size_t n);

/* The object that create's arguments describe (make.c); ERR_BAD_REQUEST = wrong usage. */
ATTR_MUSTCHECK int make_object(struct rctl *r, struct json *ret, struct error *err);

/* --at TIME as the revision of then (past.c): 0, or the exit status with the reason said. */
int past_resolve(struct rctl *r, const struct target *list, size_t n);

/* When an Event happened last (events.c). */
int64_t event_time_ms(const struct json *event);

/* Lets the loop run for so long. */
void rctl_pause(struct rctl *r, int ms);

/* ---- verbs: return the exit status ---- */
typedef int (*verb_fn)(struct rctl *r);
int verb_get(struct rctl *r);
int verb_describe(struct rctl *r);
int verb_apply(struct rctl *r);
int verb_create(struct rctl *r);
int verb_diff(struct rctl *r);
int verb_delete(struct rctl *r);
int verb_logs(struct rctl *r);
int verb_wait(struct rctl *r);
int verb_rollout(struct rctl *r);
int verb_scale(struct rctl *r);
int verb_label(struct rctl *r);
int verb_annotate(struct rctl *r);
int verb_patch(struct rctl *r);
int verb_edit(struct rctl *r);
int verb_replace(struct rctl *r);
int verb_taint(struct rctl *r);
int verb_cordon(struct rctl *r);
int verb_uncordon(struct rctl *r);
int verb_drain(struct rctl *r);
int verb_events(struct rctl *r);
int verb_top(struct rctl *r);
int verb_explain(struct rctl *r);
int verb_api_resources(struct rctl *r);
int verb_api_versions(struct rctl *r);
int verb_auth(struct rctl *r);
int verb_version(struct rctl *r);
int verb_config(struct rctl *r);
int verb_history(struct rctl *r);
int verb_undo(struct rctl *r);
int verb_plan(struct rctl *r);
int verb_why(struct rctl *r);
int verb_dev(struct rctl *r);

/* Waits until the object is as `opt.for_condition` says (wait.c), for delete and apply too. */
int wait_for(struct rctl *r, const char *path, struct str what, const char *condition,
	     uint64_t deadline_ms, struct error *err);

#endif
