/*
 * peerway - hands a request on to another API server of the cluster: to the one that has a node's agent on the line, or
 * that has a telemetry database open.
 *
 * As the same user, once: what came over a peer is answered there.  See apiserver/passage.h.
 */
#ifndef PEERWAY_H
#define PEERWAY_H

#include "apiserver/apiserver.h"
#include "base/attr.h"
#include "fetch/fetch.h"
#include "peers.h"

struct peerway;

struct peerway_config {
	struct loop *loop;
	struct peers *peers;
	const char *server; /* name of this instance */
	const char *ca_file;
	const char *cert_file, *key_file; /* NULL = nothing is handed on */
};

ATTR_MUSTCHECK int peerway_new(const struct peerway_config *cfg, struct peerway **ret,
			       struct error *err);
ATTR_MUSTCHECK int peerway_reload(struct peerway *w, struct error *err);
struct peerway *peerway_free(struct peerway *w);

/*
 * Whether another server answers the request, which is then on its way there.  On the request's loop;
 * the route's closed and drained are relay_closed and relay_drained.
 */
bool peerway_take(struct peerway *w, struct http_request *req, const struct apiserver_info *info,
		  struct str node);
/* The same for the owner of a telemetry database. */
bool peerway_take_store(struct peerway *w, struct http_request *req,
			const struct apiserver_info *info, enum peers_store store);

/* ---- requests of our own ---- */

/* To the owner of a database, in the name of a user.  Everything is copied. */
struct peerway_request {
	enum peers_store store;
	const char *method, *path; /* with query */
	struct str user;
	const struct str *groups;
	size_t groups_len;                /* at most AUTH_GROUPS_MAX */
	const struct fetch_header *extra; /* ended by a name NULL; may be NULL */
	struct str body;                  /* application/octet-stream; p NULL = none */
	uint64_t timeout_ms, idle_ms;
	/* As in struct fetch_request. */
	void (*on_data)(void *arg, int status, struct str data);
	void (*on_done)(void *arg, int status, struct str reply, const struct error *err);
	void *arg;
};

struct peerway_call;

/* On the peerway's loop; NULL when no other server has the database, or nothing is handed on. */
struct peerway_call *peerway_send(struct peerway *w, const struct peerway_request *r);
/* No callback any more; not behind on_done. */
void peerway_cancel(struct peerway_call *c);
void peerway_pause(struct peerway_call *c);
void peerway_resume(struct peerway_call *c);

#endif
