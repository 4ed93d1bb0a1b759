/*
 * ctl/program - what all controller programs do the same way: the settings of their API, lease and
 * identity, the client, the manager, health.
 */
#ifndef CTL_PROGRAM_H
#define CTL_PROGRAM_H

#include "base/attr.h"
#include "base/error.h"
#include "ctl/ctl.h"
#include "daemon/daemon.h"
#include "fetch/fetch.h"
#include "settings/settings.h"

#include <stddef.h>
#include <stdint.h>

struct ctl_program {
	/* settings */
	char *kubeconfig, *context, *lease_ns, *identity;
	int64_t lease_ms, renew_ms, retry_ms;
	/* parts, from ctl_program_start() on */
	struct daemon *daemon;
	struct fetch *fetch;
	struct client *client;
	struct ctl *ctl;
	char host_identity[128];
};

/* The rows of the settings table (targets in *p); at most cap. */
size_t ctl_program_settings(struct ctl_program *p, struct setting *rows, size_t cap);

/*
 * Makes fetch, client and manager (not started: add informers and queues, then ctl_start).
 * `name` is the literal name of program, lease, field manager and event source.
 */
ATTR_MUSTCHECK int ctl_program_start(struct ctl_program *p, struct daemon *d, const char *name,
				     struct error *err);

/* Gives the lease back and then calls daemon_stopped(). */
void ctl_program_stop(struct ctl_program *p);
void ctl_program_fini(struct ctl_program *p);

#endif
