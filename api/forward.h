/*
 * forward - /clusters/NAME/…: the API of that cluster, as the same user.
 *
 * One context of a kubeconfig so reaches the whole fleet.  The request goes to the first endpoint of the Cluster object that
 * answers, with this server's own client certificate and the caller in Impersonate-User and Impersonate-Group:
 * what the caller may do is decided there.  Answers are streamed, so watches and logs go through.  Upgrades (exec) do not.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include "apiserver/apiserver.h"
#include "apiserver/passage.h"
#include "base/attr.h"
#include "base/error.h"

struct forward;
struct json;

struct forward_config {
	struct apiserver *api;
	struct loop *loop; /* where the outgoing requests live */
	const char *cert_file,
		*key_file; /* client certificate for the clusters; NULL = forwarding is off */
};

/* Reads the certificate and adds the route. */
ATTR_MUSTCHECK int forward_new(const struct forward_config *cfg, struct forward **ret,
			       struct error *err);
ATTR_MUSTCHECK int forward_reload(struct forward *f, struct error *err);
struct forward *forward_free(struct forward *f);

/* ---- for other questions to clusters ---- */

struct fetch *forward_fetch(struct forward *f);
/* Endpoints, trust and certificate for a Cluster object, into the arena.  ERR_UNAVAILABLE: it cannot be asked. */
ATTR_MUSTCHECK int forward_target(const struct forward *f, struct arena *a,
				  const struct json *cluster, struct passage_target *to,
				  struct error *err);

#endif
