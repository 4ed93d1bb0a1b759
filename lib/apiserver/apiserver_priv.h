/*
 * Shared by the files of lib/apiserver alone: the server, its shards (one HTTP
 * loop each) and the request on its way through.
 *
 * A request lives in a struct req: arena, route, user, kind.  The file of its
 * verb answers it with one of the req_reply…() functions, at once or after the
 * store answered; each request is answered exactly once.  All that happens to
 * a request happens on its shard's thread.
 */
#ifndef APISERVER_APISERVER_PRIV_H
#define APISERVER_APISERVER_PRIV_H

#include "apiserver/apiserver.h"
#include "apiserver/route.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "http/server.h"
#include "json/json.h"
#include "selector/field.h"
#include "selector/label.h"
#include "store/store.h"
#include "sys/loop.h"
#include "text/uuid.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	SHARDS_MAX = 16,
	ROUTES_MAX = 64,
	CHECKS_MAX = 16,
	GROUPS_MAX = 16,
	REQ_WARNINGS_MAX = 16,
	REQ_ALSO_MAX = 8, /* writes that go along with one */
	QUOTA_RETRIES_MAX = 1000,
	WARNING_BYTES_MAX = 4096, /* all warnings of one answer */
	CONFLICT_RETRIES_MAX = 20,
	GENERATE_RETRIES_MAX = 8,
	GZIP_BYTES_MIN = 128 << 10, /* kube-apiserver's rule */
	AUDIT_ID_LEN = 36,
};

/* ---- the server ---- */

struct shard_message;

struct shard {
	struct apiserver *s;
	struct loop *loop;
	pthread_t thread;
	bool started;
	size_t index;
	uint8_t chance[512]; /* for audit identifiers: one call of the kernel for 32 of them */
	size_t chance_left;
	int64_t rev;         /* batches up to here went through this shard */
	struct map watching; /* resource key -> struct watch_set */
	struct list streams; /* watches: struct req.link */
	struct list pending; /* requests that wait for an answer: struct req.link */
	struct list waiting; /* … and those that wait for a revision */
	struct loop_timer tick;
	struct buf log_lines; /* of the requests of this turn */
	struct loop_task log_task;
	/* Events on their way to watches (fanout.c). */
	struct shard_message *fan_head, **fan_tail;
	struct loop_task fan_done;
	struct loop_timer fan_pause;
	uint64_t fan_from_us; /* when the pass under way began */
};

struct check {
	char *name;
	const char *(*fn)(void *arg);
	void *arg;
};

struct served_group {
	char *group, *version, *resources;
};

/* Verbs as metrics and the request log name them. */
enum verb {
	VERB_GET,
	VERB_LIST,
	VERB_WATCH,
	VERB_CREATE,
	VERB_UPDATE,
	VERB_PATCH,
	VERB_APPLY,
	VERB_DELETE,
	VERB_DELETECOLLECTION,
	VERB_OTHER,
	VERBS
};

struct janitor;

struct apiserver {
	struct apiserver_config cfg;
	struct shard shards[SHARDS_MAX];
	size_t shards_len;
	_Atomic uint32_t next_shard; /* of calls from inside */
	struct store *store;
	struct watch_cache *cache;
	struct auth_tokens *tokens;
	struct tls_context *tls;
	struct http_server *http;
	struct janitor *janitor;
	struct metrics *metrics;

	pthread_mutex_t kinds_lock;
	struct kind_set *kinds;   /* under kinds_lock */
	struct kind_set *builtin; /* the set without CRDs; immutable */
	bool kinds_loaded;        /* store's thread: the first load is over */

	struct apiserver_route routes[ROUTES_MAX];
	size_t routes_len;
	struct check checks[CHECKS_MAX];
	size_t checks_len;
	struct served_group groups[GROUPS_MAX];
	size_t groups_len;

	pthread_mutex_t rbac_lock;
	struct rbac *rbac;         /* under rbac_lock */
	int64_t rbac_rev;          /* … of the snapshot it was made of; -1 = none yet */
	_Atomic int64_t roles_rev; /* last revision at which a role or binding changed */

	pthread_mutex_t subs_lock;
	struct list subs; /* struct apiserver_sub, under subs_lock */

	_Atomic int64_t inflight, watches;
	_Atomic bool draining;
	_Atomic bool closing; /* nothing new is begun */
	_Atomic bool booted;  /* the namespaces that always are exist */
	_Atomic bool lost;    /* the store cannot go on */

	struct metric *rejected, *cut, *events_sent;
	struct metric *by_verb[VERBS];
	struct metric *by_class[6]; /* answers 1xx … 5xx */
};

/* ---- one request ---- */

struct req;
typedef void (*req_fn)(struct req *r);

/* What update, patch and delete are about to change. */
struct target {
	struct str key;
	struct watch_obj *old; /* a reference; NULL = no such object */
	struct json tree;      /* of old, with resourceVersion */
};

struct req {
	struct apiserver *s;
	struct shard *shard;
	struct arena arena;
	struct http_request *http; /* NULL: from inside, or the client went away */
	struct loop *call_loop;    /* from inside: where the answer goes */
	apiserver_done_fn call_done;
	void *call_arg;
	bool inside, gone, answered, counted, is_watch;
	int pending; /* answers of others under way: the request must stay */

	/* lent by http until it is closed, or copied into the arena */
	struct str method, path, query, body, content_type, agent, accept_header, encoding, fence;
	struct route route;
	struct options opt;
	struct accept accept;
	enum verb verb;
	struct auth_user user;
	struct str impersonator; /* who acts as `user`; "" = nobody */
	struct kind_set *kinds;  /* a reference */
	const struct kind *kind;
	const struct apiserver_route *program_route; /* or NULL */
	struct apiserver_info info;
	void *route_state;
	bool route_called;
	uint64_t start_us;
	char audit_id[UUID_LEN + 1];
	int status; /* answered */
	struct str warnings[REQ_WARNINGS_MAX];
	size_t warnings_len, warnings_bytes;
	int64_t retry_after_s; /* header Retry-After; 0 = none */

	req_fn again;     /* of a write: begins it anew from the body */
	req_fn next;      /* goes on when what it waits for is there */
	int64_t wait_rev; /* waits for the cache to reach it; 0 = does not */
	uint64_t wait_until_ms;
	enum err_code sync_code;
	struct store_result result;            /* of the last write */
	struct bytes *value;                   /* being written; a reference */
	struct store_write also[REQ_ALSO_MAX]; /* in the same transaction; references to values */
	size_t also_len;
	struct target target;
	struct json input;                       /* the body as a tree */
	struct str duplicates[REQ_WARNINGS_MAX]; /* paths of members that stood twice in it */
	size_t duplicates_len;
	int tries;
	bool named_rev;  /* the client said which revision it changes */
	bool synced;     /* the store was asked because something was missing */
	bool scale_view; /* answer with the Scale of the object */
	void *extra;     /* of the verb */
	void (*extra_fini)(struct req *r);
	struct atomic_item *atomic; /* one of a set (atomic.h); NULL = it came alone */
	struct gzip_stream *gzip;   /* of the answer; NULL = none */
	struct list link;           /* in shard->streams or ->pending */
};

/* req.c */
void req_drop_also(struct req *r);
struct req *req_new(struct shard *sh);
void req_free(struct req *r);
void req_headers(struct req *r); /* limits, who, what: may answer */
void req_dispatch(struct req *r);
void req_hold(struct req *r); /* something is under way */
void req_resume(void *req);   /* it came back: runs next; on the shard */
/* Goes on once all that was committed anywhere before is in the cache. */
void req_when_fresh(struct req *r, req_fn next);
/* Goes on once the cache has reached `rev`; answers 504 after 3 s. */
void req_when_rev(struct req *r, int64_t rev, req_fn next);
void req_shard_tick(struct shard *sh);
void req_shard_wake(struct shard *sh);

/* ---- answers (reply.c): each ends the request ---- */

/* Headers beyond the usual ones; NULL = not sent. */
struct reply_extra {
	const char *etag, *cache_control, *last_modified, *vary, *expires;
};

void req_reply_body(struct req *r, int status, const char *type, const struct reply_extra *x,
		    struct http_body *body /* taken */);
void req_reply_text(struct req *r, int status, const char *type, struct buf *text /* taken */);
void req_reply_bytes(struct req *r, int status, const char *type, const struct reply_extra *x,
		     struct bytes *b /* given away */);
/* One object's JSON in the form that was asked for. */
void req_reply_object(struct req *r, int status, struct bytes *json /* given away */);
void req_fail(struct req *r, const struct error *err);
void req_failf(struct req *r, enum err_code code, const char *fmt, ...) ATTR_PRINTF(3, 4);
void req_warn(struct req *r, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* Starts a long answer; pieces follow with http_write(). */
void req_begin_stream(struct req *r, const char *type);

/* ---- Status objects (status.c): pure ---- */

struct status_cause {
	struct str reason, message, field;
};

struct status {
	enum err_code code;
	struct str message;
	struct str name, group, kind, uid; /* details */
	struct status_cause *causes;
	size_t causes_len;
	int64_t retry_after_s;
	struct str continue_token; /* metadata.continue of a 410 */
};

void status_write(struct buf *out, const struct status *st);
void status_success(struct buf *out, const struct kind *k, struct str name, struct str uid);
void req_fail_status(struct req *r, const struct status *st);
/* The usual answers about one object of r->kind. */
void req_fail_not_found(struct req *r, struct str name);
void req_fail_exists(struct req *r, struct str name);
void req_fail_modified(struct req *r, struct str name);
void req_fail_precondition(struct req *r, struct str name, const char *what);
void req_fail_invalid(struct req *r, struct str name, const struct field_errors *e);
/* "pods" or "deployments.apps" */
struct str status_resource(struct arena *a, const struct kind *k);

/* ---- who (user.c) ---- */

/* Certificate, token, impersonation: fills r->user.  ERR_UNAUTHORIZED, ERR_FORBIDDEN, ERR_BAD_REQUEST. */
ATTR_MUSTCHECK int user_authenticate(struct req *r, struct error *err);
ATTR_MUSTCHECK int user_authorize(struct req *r, const struct auth_action *a, struct error *err);

ATTR_MUSTCHECK int user_authorize_as(struct req *r, const struct auth_user *u,
				     const struct auth_action *a, struct error *err);

/* ---- roles and bindings (roles.c) ---- */

/* As of all that is in the cache.  A reference. */
struct rbac *roles_get(struct apiserver *s);
void roles_batch(struct apiserver *s, struct watch_event *const *ev, size_t n); /* store's thread */

/* ---- objects (object.c) ---- */

struct str object_key(struct arena *a, const struct kind *k, struct str ns, struct str name);
struct str object_prefix(struct arena *a, const struct kind *k, struct str ns);
/* The stored value with resourceVersion put in and the apiVersion that k has. */
struct bytes *object_with_rev(const struct kind *k, const struct bytes *value, int64_t rev);
/* An object of the cache as k's version: the very bytes when it is the stored one.  A reference. */
struct bytes *object_bytes(const struct kind *k, struct watch_obj *o);
/* Stored under another apiVersion than the one k has. */
bool object_is_foreign(const struct kind *k, struct str json);
/* The text with the apiVersion that k has. */
struct bytes *object_in_version(const struct kind *k, struct str json);
/* The cached text equals `value` but for resourceVersion. */
bool object_same(const struct watch_obj *o, const struct bytes *value);
ATTR_MUSTCHECK int object_parse(struct arena *a, const struct kind *k, const struct watch_obj *o,
				struct json *ret, struct error *err);
/* Empty labels, annotations, finalizers and owners are not kept, as in Kubernetes. */
void object_drop_empty(struct json *meta);
struct str object_text(const struct json *obj, const char *field); /* metadata.FIELD */
/* The object as r wants it: itself, a Table of one row, PartialObjectMetadata. */
void object_form(const struct req *r, struct str json, struct buf *out);
void object_table_head(const struct accept *accept, struct buf *out);
void object_row(const struct req *r, struct arena *scratch, struct str json, struct buf *out);
bool object_deleting(const struct json *obj); /* has a deletionTimestamp */
struct str object_now(struct arena *a);       /* RFC 3339 */
struct str object_uuid(struct arena *a);

/* ---- selectors against cached objects (select.c) ---- */

struct select {
	struct label_selector labels;
	struct field_selector fields;
	const struct kind *kind;
	bool everything;
	struct str name; /* metadata.name=…: one key instead of a walk */
	struct str ns;   /* metadata.namespace=… */
	bool one_name;
};

ATTR_MUSTCHECK int select_parse(struct arena *a, const struct kind *k, const struct options *o,
				struct select *ret, struct error *err);
bool select_match(const struct select *s, const struct watch_obj *o);

/* ---- verbs ---- */

void verb_get(struct req *r);
void verb_list(struct req *r);
void verb_watch(struct req *r);
void verb_create(struct req *r);
void verb_update(struct req *r);
void verb_patch(struct req *r);
void verb_delete(struct req *r);
void verb_delete_collection(struct req *r);
bool verb_special(struct req *r); /* scale, binding, eviction, reviews: true = taken */
void paths_serve(struct req *r);  /* what is no resource */
const struct apiserver_route *paths_route(const struct req *r);

/* ---- what was (past.c) ---- */

/* Answers a GET of one object that asks for its history or an older state; false: it does not. */
bool past_get(struct req *r);
/* The revision that the query asks for (rctlAt), -1 = none; ERR_BAD_REQUEST. */
ATTR_MUSTCHECK int past_rev(struct req *r, int64_t *ret, struct error *err);
/*
 * The objects as they were at `rev`, in key order, lent to fn until it returns false.  ERR_EXPIRED before the
 * window, ERR_BAD_REQUEST in the future.
 */
ATTR_MUSTCHECK int past_walk(struct req *r, int64_t rev, struct str prefix,
			     bool (*fn)(void *arg, struct watch_obj *o), void *arg,
			     struct error *err);

/* ---- writing (write.c, create.c, update.c, patch.c) ---- */

/* Those that return bool answer the request themselves before they return false. */
ATTR_MUSTCHECK int write_parse(struct req *r, struct str text, bool yaml, struct json *ret,
			       struct error *err);
bool write_read_tree(struct req *r, struct json *ret); /* the body as JSON, YAML or protobuf */
bool write_read_body(struct req *r);                   /* r->input: an object of r->kind */
bool write_duplicates_ok(struct req *r);               /* by fieldValidation */
bool write_shape_ok(struct req *r, struct json *obj);  /* an object of r->kind, at least outside */
bool write_manager_ok(struct req *r);
struct str write_manager(struct req *r); /* field manager: asked for, or from the User-Agent */
void write_find(struct req *r, struct str name);      /* r->target.old */
bool write_find_tree(struct req *r, struct str name); /* and its tree */
bool write_check(struct req *r, struct json *obj, const struct json *old, struct str name);
/*
 * Takes a new state through preconditions, validation, ownership and the store,
 * then answers.  `retry` begins anew after a lost race when the client named no
 * revision; it must re-read its input.  obj lives in the arena.
 */
void write_finish(struct req *r, struct json *obj, bool by_apply, req_fn retry);
void write_create(struct req *r, struct json *obj, bool by_apply, req_fn retry);
/* One write (value given away); r->next continues with r->result. */
void write_submit(struct req *r, enum store_op op, struct str key, int64_t want_rev,
		  struct bytes *value, req_fn next);
/* Answers a failed store result other than a lost race. */
void write_failed(struct req *r);
/* After ERR_CONFLICT or ERR_EXISTS: begins anew and returns true when that makes sense. */
bool write_lost_race(struct req *r, req_fn retry);

/* The patch of the body applied to doc; the result is fresh. */
ATTR_MUSTCHECK int patch_document(struct req *r, const struct json *doc, struct json *ret,
				  struct error *err);
bool patch_read(struct req *r);

/* metadata.generation counts the changes of what is wanted. */
bool object_counts_generation(const struct kind *k);

/* ---- deleting (delete.c) ---- */

struct delete_options {
	enum route_propagation propagation;
	int64_t grace_s;          /* -1 = default */
	struct str uid;           /* precondition; "" = any */
	int64_t resource_version; /* precondition; 0 = any */
};

/*
 * What a deletion makes of the object: false = it is removed at once; true = it
 * is marked: *obj has the marks (unchanged when it had them).
 */
bool delete_marks(struct arena *a, const struct kind *k, const struct delete_options *o,
		  int64_t now_s, struct json *obj);
/* A marked object that nothing holds any more. */
bool delete_due(const struct kind *k, const struct json *obj);

/* ---- kinds to which the engine gives a meaning (special.c, scale.c, pod.c) ---- */

void special_prepare_new(struct req *r, struct json *obj);
bool special_resets_status(const struct kind *k);
/* The namespace exists and is not being emptied; answers (or asks the store and retries) if not. */
bool special_namespace_open(struct req *r, struct str name, req_fn retry);
/* What the authorizer must see of the body: a node writes about itself only. */
ATTR_MUSTCHECK int special_body_allowed(struct req *r, const struct json *obj, struct error *err);
void special_reply_scale(struct req *r, const struct bytes *value, int64_t rev);
void scale_get(struct req *r);
void scale_update(struct req *r);
void scale_patch(struct req *r);
void pod_reply_success(struct req *r); /* 201, a Status */
bool pod_read_body(struct req *r);     /* of a subresource; and the pod */
void pod_binding(struct req *r);
void pod_eviction(struct req *r);
void review_create(struct req *r);

/* ---- watching (watch.c) ---- */

/* Events of one batch on their way to the loops. */
struct batch {
	_Atomic uint32_t refs;
	int64_t rev;
	size_t len;
	struct watch_event *ev[];
};

struct batch *batch_ref(struct batch *b);
void batch_unref(struct batch *b);

void watch_shard_batch(struct shard *sh, const struct batch *b);
void watch_shard_tick(struct shard *sh);
void watch_stop(struct req *r);   /* the server is draining */
void watch_closed(struct req *r); /* leaves its group */
void watch_shard_fini(struct shard *sh);

/* ---- events to all loops (fanout.c) ---- */

void fanout_shard_init(struct shard *sh);
void fanout_shard_fini(struct shard *sh); /* before its loop goes */
void fanout_batch(void *server, struct watch_event *const *ev, size_t n, int64_t rev);

/* ---- kinds (kinds.c) ---- */

struct kind_set *kinds_get(struct apiserver *s); /* a reference */
void kinds_index(void *arg, struct str key, struct str json, struct watch_index *ix);
/* Store thread: publishes a new set when the batch touched a CRD. */
void kinds_batch(struct apiserver *s, struct watch_event *const *ev, size_t n);
void kinds_load(struct apiserver *s);
bool kinds_is_crd_key(struct str key);

/* ---- housekeeping (janitor.c …) on the first loop ---- */

struct janitor *janitor_new(struct apiserver *s);
void janitor_stop(struct janitor *j); /* the loops stand still */
struct janitor *janitor_free(struct janitor *j);

#endif
