/*
 * dev_fleet - what a local fleet consists of: regions, clusters, nodes, and one process for each daemon.
 *
 * Names: region r1, cluster r1c1, node r1c1n1; node availability zones r1-az1, r1-az2 …, network zones
 * r1-net1, r1-net2 …: the nodes of a cluster are dealt over them in turn.
 */
#ifndef DEV_FLEET_H
#define DEV_FLEET_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FLEET_REGIONS_MAX = 8,
	FLEET_CLUSTERS_MAX = 32,
	FLEET_NODES_MAX = 128,
	FLEET_DAEMONS_MAX = 512,
	DAEMON_ARGS_MAX = 40
};

struct fleet_cluster {
	char *name, *region;
	int64_t api_port, agent_port;
};

struct fleet_node {
	char *name, *region, *zone, *network_az;
	size_t cluster;
};

/* One process. */
struct fleet_daemon {
	char *name;    /* "r1c1-api": its log, pid file, certificate */
	char *program; /* "resource-cluster-api" */
	char *argv[DAEMON_ARGS_MAX];
	size_t argc;
	int tier; /* started and stopped in this order: 0 APIs, 1 controllers, 2 agents */
};

struct fleet {
	struct arena arena;
	char *dir;     /* absolute */
	char *bin_dir; /* where the programs are */
	char *store;   /* "sqlite" or a postgres:// URL */
	int64_t regions, clusters_per_region, nodes_per_cluster;
	int64_t api_port;
	struct fleet_cluster clusters[FLEET_CLUSTERS_MAX];
	size_t clusters_len;
	struct fleet_node nodes[FLEET_NODES_MAX];
	size_t nodes_len;
	struct fleet_daemon daemons[FLEET_DAEMONS_MAX];
	size_t daemons_len;
};

/* Fills clusters and nodes from the three numbers; ERR_INVALID over a limit.  Ports stay 0. */
ATTR_MUSTCHECK int fleet_lay_out(struct fleet *f, struct error *err);

/* Fills the daemons; ports are set. */
void fleet_daemons(struct fleet *f);

/* fleet.json: the numbers, the store and the ports. */
struct json fleet_save(struct fleet *f);
ATTR_MUSTCHECK int fleet_load(struct fleet *f, const struct json *j, struct error *err);

/* ---- dev_files.c ---- */

/* Certificates, kubeconfigs; those that are there and valid stay. */
ATTR_MUSTCHECK int fleet_write_files(struct fleet *f, struct error *err);

/* Region, Zone, Cluster and credential objects, as YAML-compatible JSON documents. */
struct str fleet_objects(struct fleet *f, struct error *err);

char *fleet_path(struct fleet *f, const char *fmt, ...) ATTR_PRINTF(2, 3);

#endif
