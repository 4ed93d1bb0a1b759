/*
 * member - the connection to one cluster and what it holds.
 *
 * A probe asks for /version again and again; as long as it is answered, informers show the cluster's nodes and our
 * copies.  After silent_ms without an answer the cluster is down: its informers are dropped, so that
 * what was seen before is never taken for what is there now, and started afresh when it answers.
 * Endpoints are tried one after the other.
 */
#ifndef MEMBER_H
#define MEMBER_H

#include "fleet.h"

#include <stdbool.h>
#include <stdint.h>

enum { MEMBER_ENDPOINTS_MAX = 16 };

struct member_node {
	bool ready;
	struct str zone, network_az;                 /* heap */
	int64_t cpu_milli, memory, pods;             /* allocatable */
	int64_t cap_cpu_milli, cap_memory, cap_pods; /* capacity */
};

struct member_pod {
	int64_t cpu_milli, memory;
};

struct member_credential {
	char *ca_pem, *cert_pem, *key_pem, *token, *server_name;
};

struct member {
	struct fleet *fleet;
	struct list link; /* in fleet->retired */
	char *name;
	/* from the Cluster object */
	struct arena arena;
	struct place_cluster spec;
	bool native;
	const char *endpoints[MEMBER_ENDPOINTS_MAX];
	size_t endpoints_len;
	struct str ca, secret_ns, secret_name, uid;
	struct str connection; /* all that the connection depends on */
	struct str seen_spec;  /* labels and spec, as text */
	/* credential from a Secret */
	struct client_informer *i_credential;
	struct member_credential credential;
	bool has_credential;
	/* connection */
	struct client *client;
	size_t endpoint;
	struct client_call *probe;
	struct loop_timer timer;
	bool watching, answered, was_up, reset, retired;
	uint64_t born_ms, answered_ms, up_ms,
		sick_ms; /* monotonic; sick: up, and without a ready node since */
	int64_t seen_unix_s;
	char *trouble, *version;
	enum place_contact told_contact; /* what the workloads were planned with */
	bool told_well;
	/* what it holds */
	struct client_informer *i_nodes, *i_namespaces, *i_pods;
	struct client_informer *deps[REF_KINDS];
	struct client_informer *kinds[FLEET_KINDS_MAX];
	struct member_watch *watches[FLEET_KINDS_MAX]; /* contexts of these informers */
	struct member_watch *dep_watches[REF_KINDS];
	struct map secrets; /* namespace → struct member_watch */
	struct map nodes, pods;
};

struct member *member_new(struct fleet *f, struct str name);
struct member *member_free(struct member *m);
/* Its Cluster is gone: frees it soon, outside of all callbacks. */
void member_retire(struct member *m);

/* A new version of the Cluster object; reconnects when that matters. */
void member_update(struct member *m, const struct json *obj);
void member_add_kind(struct member *m, const struct kind *k);

/* For the plan. */
enum place_contact member_contact(const struct member *m, const struct kind *k);
bool member_is_well(const struct member *m);
uint64_t member_failing_ms(const struct member *m);
/* How many more pods that request so much fit on the ready nodes, roughly. */
int64_t member_fits(const struct member *m, int64_t cpu_milli, int64_t memory);

/* The copy that the cluster holds, or NULL. */
struct json *member_read(struct arena *a, const struct member *m, const struct kind *k,
			 struct str object_key);
/* The same for a ConfigMap, Secret or service account; *known false: the first list is not in yet. */
struct json *member_read_ref(struct arena *a, struct member *m, struct str ns, enum ref_kind kind,
			     struct str name, bool *known, struct client_informer **ret_informer);
bool member_has_namespace(const struct member *m, struct str ns);

/* Some Placement wants free resources, or none does any more. */
void member_watch_pods(struct member *m, bool on);

/* ---- credential.c ---- */

/* Keys of the Secret: kubeconfig | token | tls.crt and tls.key; ca.crt where the Cluster has no caBundle. */
ATTR_MUSTCHECK int member_read_credential(const struct json *secret, struct member_credential *ret,
					  struct error *err);
void member_credential_fini(struct member_credential *c);

#endif
