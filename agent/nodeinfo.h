/*
 * agent/nodeinfo - the Node object: who the node is, what it has, how it does.
 */
#ifndef AGENT_NODEINFO_H
#define AGENT_NODEINFO_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NODE_LABELS_MAX = 64, NODE_PODS_MAX = 110 };

struct node_facts {
	/* settings */
	const char *name, *region, *zone, *network_az, *address, *state_dir;
	char *const *labels; /* "key=value" */
	size_t labels_len;
	int64_t cpu_m, memory; /* capacity; 0 = what the machine has */
	int64_t reserved_cpu_m, reserved_memory;
	/* found by nodeinfo_probe() */
	char kernel[128], os_image[128], machine_id[64], boot_id[64], system_uuid[64];
	char arch[65];
	int64_t disk;
	int64_t ready_since_s;
	bool memory_pressure, disk_pressure;
	int64_t memory_pressure_since_s, disk_pressure_since_s;
};

/* Fills what the machine says.  now_s is Unix time. */
void nodeinfo_probe(struct node_facts *f, int64_t now_s);

/* Looks at free memory and disk; true when a condition changed. */
bool nodeinfo_refresh(struct node_facts *f, int64_t now_s);

/* Node.status, with the heartbeat time now_s. */
void nodeinfo_status(const struct node_facts *f, int64_t now_s, struct buf *out);

/* The v1 Node with its status. */
void nodeinfo_object(const struct node_facts *f, int64_t now_s, struct buf *out);

#endif
