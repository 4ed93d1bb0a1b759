/*
 * apiserver - the Kubernetes API over a store: the engine of resource-api and
 * resource-cluster-api.
 *
 * Requests come over HTTPS or from inside the process (apiserver_call), take
 * the same path and the same authorization, and are answered on the loop they
 * came from.  Reads are served from the watch cache; writes go through the
 * store's writer thread and come back as messages.
 *
 * Besides the objects the engine serves: discovery, OpenAPI v3, /version,
 * /healthz /livez /readyz, /metrics, /configz, and routes that a program adds.
 * It collects garbage (ownerReferences), empties terminating namespaces and
 * expires Events after their time (setting event-ttl, 1 h), in small steps on
 * its first loop; doing this in several processes at once is harmless.
 */
#ifndef APISERVER_APISERVER_H
#define APISERVER_APISERVER_H

#include "auth/auth.h"
#include "base/attr.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/metric.h"
#include "base/str.h"
#include "kind/kind.h"
#include "settings/settings.h"
#include "watch/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct apiserver;
struct http_request;
struct loop;
struct store;
struct tls_context;

/*
 * Filled from settings (apiserver_settings) by the program; defaults there.
 * Every limit that the API enforces is one of these.
 */
struct apiserver_config {
	const char *program; /* "resource-api" */
	enum kind_plane plane;
	struct metrics *metrics;    /* NULL = the engine's own */
	struct settings *settings;  /* shown as /configz; may be NULL */
	struct setting_list listen; /* host:port … */
	char *store_url;
	char *tls_cert, *tls_key, *client_ca, *token_file;
	int64_t loops;             /* HTTP loops; 0 = one per core, at most 4 */
	int64_t request_bytes_max; /* 3 MiB */
	int64_t connections_max;
	int64_t streams_max;  /* per connection */
	int64_t inflight_max; /* requests that are no watches; more is 429 with Retry-After */
	int64_t watches_max;
	int64_t watch_queue_bytes_max; /* a slower watcher is cut */
	int64_t answers_bytes_max;     /* waiting for slow readers, of the server */
	int64_t request_timeout_ms;    /* 60 s */
	int64_t header_timeout_ms, body_timeout_ms, write_timeout_ms;
	int64_t watch_timeout_ms; /* longest watch; default 30-60 min, jittered */
	int64_t drain_ms;
	int64_t event_ttl_ms;
	int64_t list_limit_max;
	bool request_log;
	/* The store cannot go on (store.h, on_lost): restart the process.  Any thread; may be NULL. */
	void (*on_lost)(void *arg, const char *why);
	void *on_lost_arg;
};

/* The engine's rows of a program's settings table (targets inside *cfg); returns how many, at most cap. */
size_t apiserver_settings(struct apiserver_config *cfg, struct setting *rows, size_t cap);

ATTR_MUSTCHECK int apiserver_new(const struct apiserver_config *cfg, struct apiserver **ret,
				 struct error *err);

/* Opens the store, loads the cache and listens.  Routes must be added before. */
ATTR_MUSTCHECK int apiserver_start(struct apiserver *s, struct error *err);

/* Graceful: readyz fails, streams end cleanly, requests finish within drain_ms; calls done on the first loop. */
void apiserver_drain(struct apiserver *s, void (*done)(void *arg), void *arg);
struct apiserver *apiserver_free(
	struct apiserver *s); /* after the drain, or at once; not on a loop of its own */

/* Reads certificate and key again. */
ATTR_MUSTCHECK int apiserver_reload(struct apiserver *s, struct error *err);

uint16_t apiserver_port(const struct apiserver *s, size_t listen_index);
struct watch_cache *apiserver_cache(struct apiserver *s);
struct kind_set *apiserver_kinds(struct apiserver *s); /* a reference for the caller */
struct loop *apiserver_loop(struct apiserver *s,
			    size_t i); /* 0 = first loop; routes' own timers live there */

/* ---- events inside the process ---- */

/*
 * fn runs on `loop` for each batch in revision order, without gaps, starting
 * behind the snapshot returned (a reference for the caller).
 */
struct apiserver_sub;
struct apiserver_sub *apiserver_subscribe(struct apiserver *s, struct loop *loop,
					  void (*fn)(void *arg, struct watch_event *const *ev,
						     size_t n, int64_t rev),
					  void *arg, struct watch_snap **snap);
void apiserver_unsubscribe(struct apiserver_sub *sub); /* on its loop */

/* ---- requests from inside the process ---- */

struct apiserver_call {
	struct str method;            /* GET POST PUT PATCH DELETE */
	struct str path;              /* with query */
	struct str content_type;      /* of body */
	struct str body;              /* copied */
	const struct auth_user *user; /* copied */
	struct str fence;             /* "NAMESPACE/LEASE/TOKEN" or "" (see RCTL_FENCE_HEADER) */
};

/* Header by which a leader names its lease and token; a write with a token that was taken over is 409. */
#define RCTL_FENCE_HEADER "rctl-fence"

/* `reply` is the JSON body (object or Status), lent; runs on `loop`. */
typedef void (*apiserver_done_fn)(void *arg, int status, struct str reply);
void apiserver_call(struct apiserver *s, struct loop *loop, const struct apiserver_call *call,
		    apiserver_done_fn done, void *arg);

/* ---- routes of a program ---- */

/* What the engine found out before it called a route; lent for the request's life. */
struct apiserver_info {
	const struct auth_user *user;
	struct auth_action action;
	struct str path_rest; /* behind the route's prefix */
	struct str query;
};

struct apiserver_route {
	const char *prefix; /* "/clusters/", "/api/v1/query": longest prefix wins */
	const char
		*subresource; /* or: requests for this subresource of `resource` ("pods", "log") */
	const char *resource;
	bool exact;  /* prefix must be the whole path */
	bool stream; /* long answer: counts as a watch, not as a request in flight */
	bool body;   /* wants the body; else a body is refused */
	/* On the request's loop, after authorization.  Answers through http/server.h, now or later. */
	void (*fn)(void *arg, struct http_request *req, const struct apiserver_info *info);
	/* Optional, as the handlers of http/server.h of the same names; `closed` once for each fn. */
	void (*closed)(void *arg, struct http_request *req);
	void (*stop)(void *arg, struct http_request *req); /* NULL: http_end() */
	void (*drained)(void *arg, struct http_request *req);
	void *arg;
};

/* The route's own pointer of this request (http_request.user is the engine's); NULL at first. */
void **apiserver_route_state(struct http_request *req);
void apiserver_add_route(struct apiserver *s, const struct apiserver_route *r);

/* Discovery of groups whose resources a route serves (metrics.k8s.io): an APIResourceList document's resources. */
void apiserver_add_group(struct apiserver *s, const char *group, const char *version,
			 const char *resources_json);

/* Answers with a Status object for err (code, reason, message). */
void apiserver_fail(struct http_request *req, const struct error *err);

/* Further readyz checks: fn returns NULL when fine, else why not. Any thread. */
void apiserver_add_check(struct apiserver *s, const char *name, const char *(*fn)(void *arg),
			 void *arg);

#endif
