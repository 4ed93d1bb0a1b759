/*
 * engine - an alert controller's shell: informers, rule evaluation, the alerts database and the posts around a core.
 *
 * Cluster: evaluates rules of scope Cluster over the cluster's metrics and objects.  Global: rules of scope Global, over
 * the metrics of each cluster in turn, silent clusters; and shows in the status of AlertRules of scope Cluster
 * what they give in all clusters.  Both notify the AlertReceivers of their own API.
 *
 * It works as soon as the manager leads and all informers are synced.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "base/metric.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "fetch/fetch.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;

struct engine_config {
	struct ctl *ctl;
	struct client *client;
	struct fetch *fetch;
	struct loop *loop;
	struct metrics *metrics;
	const char *lease_ns, *program, *identity; /* the Lease and its holder */
	bool global;
	const char *cluster, *region; /* labels of every alert; "" = none */
	const char *store;            /* the alerts database, see sql_open */
	const char *external_url;     /* may be NULL */
	int64_t interval_ms;          /* of groups without one */
	int64_t deadline_ms, retention_ms, mirror_ms;
	bool allow_private;
	/* The database belongs to another, or was refused: only a restart helps. */
	void (*on_lost)(void *arg, const struct error *err);
	void *arg;
};

struct engine *engine_new(const struct engine_config *cfg);
struct engine *engine_free(struct engine *e);

#endif
