/*
 * apiserver/janitor - what has to be cleaned up behind the writes of others:
 * dependents of deleted owners, contents of terminating namespaces and
 * definitions, old Events.
 *
 * One work item is the key of an object to look at.  A pass over it reads the
 * cache, begins the calls that bring it forward, and ends; when the calls are
 * answered the item is done, or looked at again.  Nothing is remembered between
 * passes, so a restart or a second process doing the same changes nothing.
 * Everything runs on the first shard's loop.
 */
#ifndef APISERVER_JANITOR_H
#define APISERVER_JANITOR_H

#include "apiserver/apiserver_priv.h"

enum {
	JANITOR_RUNNING_MAX = 32, /* items with calls under way */
	JANITOR_SLICE = 64,       /* items looked at in one turn of the loop */
	JANITOR_CALLS_MAX = 256,  /* of one pass */
	JANITOR_RETRY_MS = 500,
	JANITOR_RETRY_MAX_MS = 30000,
	JANITOR_EVENTS_MS = 5000,
};

/* Who depends on an owner. */
struct owner {
	struct list deps;
	char *waiting; /* key of the owner when it waits for the end of its dependents */
	struct str uid;
	char uid_text[];
};

struct dep {
	struct list by_owner; /* in owner->deps */
	struct dep *next;     /* of the same object */
	struct owner *owner;
	const char *key; /* of the object; owned by the index of objects */
};

struct expiry {
	char *key;
	int64_t rev, due_ms; /* Unix time */
};

struct work {
	struct list link;
	struct janitor *j;
	struct loop_timer timer;
	uint64_t due_ms; /* of the timer: monotonic */
	bool running, again;
	bool expire; /* an Event past its time */
	int64_t expire_rev;
	unsigned calls, failed, attempts;
	char key[];
};

struct janitor {
	struct apiserver *s;
	struct loop *loop;
	struct apiserver_sub *sub;
	struct auth_user user;
	bool stopped;
	struct map works;  /* key -> struct work */
	struct list queue; /* not running */
	size_t running;
	struct loop_timer turn, events_timer, boot_timer;
	struct map owners;     /* uid -> struct owner */
	struct map objects;    /* key -> struct dep (list) */
	struct expiry *events; /* ring, oldest first */
	size_t events_at, events_len, events_cap;
	struct str boot_ns;
	size_t boot_at;
};

/* What a pass works on; lives for the pass. */
struct pass {
	struct janitor *j;
	struct work *w;
	struct arena arena;
	struct watch_snap *snap;
	struct kind_set *kinds;
	const struct kind *kind;
	struct watch_obj *obj;
	struct json tree;
};

void janitor_add(struct janitor *j, struct str key);
/* In a while, so that what happens meanwhile is looked at once. */
void janitor_add_after(struct janitor *j, struct str key, uint64_t delay_ms);
/* A call of this pass; body may be NULL. */
void janitor_call(struct pass *p, const char *method, struct str path, const struct json *body);
bool janitor_call_ok(const struct pass *p); /* room for another one */

/* "/apis/apps/v1/namespaces/shop/deployments/web" */
struct str janitor_path(struct arena *a, const struct kind *k, struct str ns, struct str name);
struct str janitor_resource(struct str key); /* "apps/deployments" of a key */

/* owners.c: the index, and the passes over owners and dependents */
void owners_event(struct janitor *j, const struct watch_event *e);
void owners_load(struct janitor *j, struct watch_obj *o);
void owners_pass(struct pass *p);
void owners_fini(struct janitor *j);

/* contents.c: terminating namespaces and definitions */
void contents_namespace(struct pass *p);
void contents_crd(struct pass *p);
void contents_crd_names(struct pass *p);    /* of one that others had taken names of */
void contents_crd_event(struct janitor *j); /* names may have become free */

/* aggregate.c: ClusterRoles made of others */
void aggregate_event(struct janitor *j); /* a ClusterRole changed */
void aggregate_pass(struct pass *p);

/* quota.c: what the status of a ResourceQuota says */
void quota_event(struct janitor *j, const struct watch_event *e);
void quota_pass(struct pass *p);

/* defaults.c: roles and bindings that are made at the first start; false at the end */
bool defaults_at(size_t i, struct str *ret_path, struct str *ret_body, struct arena *a);
/*
 * A default role that is there already gets the rules, labels and annotations that it lacks; what was added to it
 * stays, and one annotated rbac.authorization.kubernetes.io/autoupdate=false as it is.  True: it changed.
 */
bool defaults_update(struct arena *a, struct json *role, const struct json *wanted);

/* expire.c: Events */
void expire_add(struct janitor *j, struct watch_obj *o, int64_t due_ms);
void expire_turn(struct janitor *j);
void expire_fini(struct janitor *j);

#endif
