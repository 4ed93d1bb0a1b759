/*
 * peerway - hands a request about a node on to the API server that has its agent on the line.
 *
 * As the same user, once: what came over a peer is answered there.  See apiserver/passage.h.
 */
#ifndef PEERWAY_H
#define PEERWAY_H

#include "apiserver/apiserver.h"
#include "base/attr.h"
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

#endif
