/*
 * client - a client of the Kubernetes API: kubeconfig, requests, list + watch.
 * Shared by rctl and the controllers; speaks to our servers and to any Kubernetes.
 *
 * One thread: everything happens on the loop the client was made with.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct client_call;
struct fetch;

/* ---- where and as whom ---- */

struct client_config {
	char *server; /* https://host:port[/base] */
	char *ca_pem, *cert_pem, *key_pem, *token;
	char *tls_server_name;
	char *ns;      /* the context's namespace, "default" when it names none */
	char *context; /* name of the context */
	bool insecure_skip_verify;
};

/*
 * Reads a kubeconfig as kubectl does: `path` NULL = $KUBECONFIG's value given in
 * `env` (a colon-separated list, merged) or home/.kube/config; `context` NULL = current-context.  Files and
 * inline data; ERR_INVALID names file and field; exec plug-ins and auth providers are refused with a clear text.
 */
ATTR_MUSTCHECK int client_config_load(const char *path, const char *env, const char *home,
				      const char *context, struct client_config *ret,
				      struct error *err);
void client_config_fini(struct client_config *c);

struct client_options {
	const char *user_agent;    /* "resource-controller/0.1.0" */
	const char *field_manager; /* added to writes as fieldManager=, or NULL */
	const char *
		fence; /* value of the rctl-fence header on writes, or NULL; see client_set_fence */
	/*
	 * Text of each warning of the server (header Warning, code 299), before the answer is handed out;
	 * lent.  NULL: warnings are dropped.
	 */
	void (*on_warning)(void *arg, struct str text);
	void *warning_arg;
};

/* The configuration is copied. */
struct client *client_new(struct fetch *f, struct loop *l, const struct client_config *cfg,
			  const struct client_options *opt);
struct client *client_free(struct client *c); /* cancels everything, no callbacks */
void client_set_fence(struct client *c, const char *fence);

/* ---- requests ---- */

/*
 * status is the HTTP status (0: no answer, then err says why).  When status >=
 * 400, err is filled from the Status object (code by reason, message).  `body` is lent.
 */
typedef void (*client_done_fn)(void *arg, int status, struct str body, const struct error *err);

/* What a failed answer's Status says, as err of client_done_fn does; whatever else came is quoted in short. */
void client_read_status(int status, struct str body, struct error *err);

struct client_request {
	const char *method;
	const char *path;         /* "/api/v1/pods?limit=500"; below the server's base path */
	const char *content_type; /* NULL = application/json when there is a body */
	const char *accept;       /* NULL = application/json */
	struct str body;
	uint64_t timeout_ms;                                     /* 0 = 60 s */
	const char *impersonate_user;                            /* or NULL */
	void (*on_data)(void *arg, int status, struct str data); /* streams: logs, watch */
	client_done_fn done;
	void *arg;
};
struct client_call *client_send(struct client *c, const struct client_request *r);
void client_cancel(struct client_call *call);

/*
 * Server-side apply of `obj` (JSON text) to its path: PATCH with fieldManager,
 * force as given.
 */
struct client_call *client_apply(struct client *c, const char *path, struct str obj, bool force,
				 client_done_fn done, void *arg);

/* ---- informer: list + watch with everything that can go wrong ---- */

struct client_informer;

struct client_informer_config {
	const char *path;           /* "/apis/apps/v1/deployments" */
	const char *label_selector; /* or NULL */
	const char *field_selector; /* or NULL */
	/*
	 * An object appeared or changed.  `obj` is its tree, lent for the call; `text`
	 * its JSON, lent; key = "NAMESPACE/NAME" ("NAME" when cluster-scoped).  Called in revision order; also
	 * after a relist for what changed meanwhile.
	 */
	void (*on_set)(void *arg, struct str key, const struct json *obj, struct str text);
	void (*on_delete)(void *arg, struct str key, struct str last_text);
	/* The first list is in (once); then whenever contact is lost (false) and found again (true). */
	void (*on_synced)(void *arg);
	void (*on_contact)(void *arg, bool ok, const struct error *err);
	/* All up to `rev` was told: after each event, bookmark and list.  May be NULL. */
	void (*on_progress)(void *arg, int64_t rev);
	void *arg;
	uint64_t backoff_min_ms, backoff_max_ms; /* 0 = 800 ms, 30 s; full jitter */
	bool keep_text; /* the informer keeps each object's text for client_informer_get */
};

/* Freeing is not allowed from within one of the callbacks. */
struct client_informer *client_informer_new(struct client *c,
					    const struct client_informer_config *cfg);
struct client_informer *client_informer_free(struct client_informer *i);
bool client_informer_synced(const struct client_informer *i);
int64_t client_informer_rev(const struct client_informer *i); /* all up to here was seen */
size_t client_informer_count(const struct client_informer *i);
/* The object's text (keep_text), borrowed until the next event, or {NULL, 0}. */
struct str client_informer_get(const struct client_informer *i, struct str key);
void client_informer_each(const struct client_informer *i,
			  void (*fn)(void *arg, struct str key, struct str text), void *arg);

/* ---- resource names as people type them ---- */

struct client_resource {
	struct str group, version, kind, plural, singular;
	bool namespaced;
	unsigned verbs; /* not interpreted here */
	struct str short_names[8];
	size_t short_names_len;
	struct str categories[8];
	size_t categories_len;
	bool has_status, has_scale;
};

struct client_discovery;

/* Fetches /api and /apis (aggregated, falling back to the old form). */
void client_discover(struct client *c,
		     void (*done)(void *arg, struct client_discovery *d, const struct error *err),
		     void *arg);
struct client_discovery *client_discovery_free(struct client_discovery *d);
size_t client_discovery_count(const struct client_discovery *d);
const struct client_resource *client_discovery_at(const struct client_discovery *d, size_t i);
/* "po", "deploy", "deployments.apps", "deployments.v1.apps", "Deployment"; NULL = unknown. */
const struct client_resource *client_discovery_find(const struct client_discovery *d,
						    struct str name);
const struct client_resource *client_discovery_find_gvk(const struct client_discovery *d,
							struct str api_version, struct str kind);

/* "/apis/apps/v1/namespaces/ns/deployments/name"; name "" = the collection; ns "" = all or cluster-scoped. */
char *client_path(struct arena *a, const struct client_resource *r, struct str ns, struct str name);

#endif
