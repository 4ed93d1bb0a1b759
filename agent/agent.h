/*
 * agent - resource-cluster-agent put together: pods, link, telemetry.
 *
 * It runs from its state directory whatever happens above it: losing the API changes nothing here.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "base/attr.h"
#include "base/error.h"
#include "base/metric.h"
#include "settings/settings.h"

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct loop;

struct agent_config {
	char *node_name, *region, *zone, *network_az, *node_address, *state_dir, *shim;
	char *ca_file, *cert_file, *key_file;
	struct setting_list server; /* host:port[,region=R][,network-az=A] */
	struct setting_list labels;
	int64_t heartbeat_ms, metrics_interval_ms;
	int64_t spool_bytes_max; /* of each stream */
	int64_t log_bytes_max, log_files_max;
	int64_t cpu_m, memory_bytes, reserved_cpu_m, reserved_memory_bytes;
	bool insecure; /* plaintext, for tests */
};

/* Starts everything on the loop; cfg and metrics are borrowed for ever. */
ATTR_MUSTCHECK int agent_new(struct loop *l, const struct agent_config *cfg,
			     struct metrics *metrics, struct agent **ret, struct error *err);

/*
 * Ends all pods of a state directory at once and waits for that: for taking a node away.  No agent may run on it.  Blocks.
 * ERR_UNAVAILABLE: an agent runs, or a pod does not end.
 */
ATTR_MUSTCHECK int agent_stop_pods(const struct agent_config *cfg, struct error *err);

/* Lets go of the pods, which run on. */
struct agent *agent_free(struct agent *a);

/* NULL when it is connected and has had its first assignment (or runs from its disk), else why not. */
const char *agent_ready(const struct agent *a);

#endif
