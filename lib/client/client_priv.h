/* client_priv - shared by the files of lib/client. */
#ifndef CLIENT_PRIV_H
#define CLIENT_PRIV_H

#include "client/client.h"
#include "fetch/fetch.h"

struct client {
	struct fetch *fetch;
	struct loop *loop;
	struct client_config cfg; /* own copy */
	struct fetch_identity identity;
	char *user_agent;
	char *field_manager; /* or NULL */
	void (*on_warning)(void *arg, struct str text);
	void *warning_arg;
	char *fence; /* or NULL */
	struct list calls;
};

/* The name and value of the leader's fencing header (docs/architecture.md). */
#define CLIENT_FENCE_HEADER "rctl-fence"

/* "NAMESPACE/NAME" or "NAME" of an object's metadata, in the arena. */
struct str client_object_key(struct arena *a, const struct json *obj);

#endif
