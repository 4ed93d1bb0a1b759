/*
 * peers - what the API servers of one cluster tell each other: which nodes each has on the line, when it last heard of
 * them, which telemetry databases it has opened, where it is reached.
 *
 * Soft state (docs/adr/0003).  On PostgreSQL each server writes one row of the unlogged table rctl_apiserver a turn and
 * reads the others'; on SQLite and in memory there is one server, and nothing is written.
 *
 * The time of a heartbeat is stamped once, by the server that heard it, on the database's clock as this
 * server knows it, and never changed after: so every server shows the same time, and a node that is silent
 * looks silent whoever is asked.
 *
 * Threads: peers_heard() and peers_left() on the agents' loop, all else anywhere.
 */
#ifndef PEERS_H
#define PEERS_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peers;

enum {
	PEERS_TURN_MS = 1000,
	PEERS_FRESH_MS = 5000,     /* a server whose row did not change for so long is not there */
	PEERS_FORGET_MS = 3600000, /* … and for so long: its row is removed */
	PEERS_MAX = 64,
};

/* Databases that belong to one server at a time (telemetry/intake.h). */
enum peers_store { PEERS_METRICS = 1, PEERS_LOGS = 2 };

struct peers_config {
	const char *store_url;
	const char *server; /* name of this instance; one a process of the cluster */
	const char *url;    /* https://host:port of this server's API for the others; "" = none */
	const char *advertise, *region, *network_az; /* for agents; may be "" */
};

/* As others see a server. */
struct peer {
	const char *url, *advertise, *region, *network_az;
};

/* Copies cfg.  Starts the thread when the store is one that servers share. */
struct peers *peers_new(const struct peers_config *cfg);
struct peers *peers_free(struct peers *p);

/* The node is on the line here and was just heard. */
void peers_heard(struct peers *p, struct str node);
/* Its stream ended here. */
void peers_left(struct peers *p, struct str node);

/* This server has the database now, or has it no longer: the others are told at once. */
void peers_owns(struct peers *p, enum peers_store store, bool owns);
/* URL of the other server that said last that it has it; "" when none does.  In the arena. */
struct str peers_owner(struct peers *p, struct arena *a, enum peers_store store);

/* Unix µs of the last heartbeat that any server heard; 0 = none is known. */
int64_t peers_heartbeat_us(struct peers *p, struct str node);

/* URL of the other server that has the node on the line; "" when it is this one, or none. In the arena. */
struct str peers_url_of(struct peers *p, struct arena *a, struct str node);

/* The other servers that are there now, in the arena; at most PEERS_MAX. */
size_t peers_list(struct peers *p, struct arena *a, struct peer **ret);

#endif
