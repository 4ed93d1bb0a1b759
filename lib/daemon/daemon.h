/*
 * daemon - what every long-running program of ours does the same way: settings,
 * logging, limits of the process, signals, service manager, health listener.
 *
 *   int main(int argc, char **argv) { return daemon_main(&spec, argc, argv); }
 *
 * SIGTERM and SIGINT start the graceful stop (a second one exits at once with
 * 130/143); SIGHUP reloads what is reloadable; exit status 0 after a stop,
 * 1 when the program failed, 2 for wrong settings.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "base/attr.h"
#include "base/error.h"
#include "base/metric.h"
#include "settings/settings.h"
#include "sys/loop.h"

#include <stddef.h>
#include <stdint.h>

struct daemon;

enum { DAEMON_SETTINGS_MAX = 96 };

struct daemon_spec {
	const char *program; /* "resource-controller" */
	const char *summary; /* one line for --help and the manual */
	/* Writes the program's rows (targets in *state); returns how many. */
	size_t (*settings)(void *state, struct setting *rows, size_t cap);
	/* Builds the parts on the loop.  What fails here ends the program with 1. */
	int (*start)(void *state, struct daemon *d, struct error *err);
	/* Begins the graceful stop; calls daemon_stopped() when done.  NULL: stops at once. */
	void (*stop)(void *state, struct daemon *d);
	void (*reload)(void *state, struct daemon *d); /* SIGHUP; may be NULL */
	void (*fini)(void *state);                     /* after the loop ended; may be NULL */
	void *state;
};

int daemon_main(const struct daemon_spec *spec, int argc, char **argv);

struct loop *daemon_loop(struct daemon *d);
struct metrics *daemon_metrics(struct daemon *d);
struct settings *daemon_settings(struct daemon *d);

/* The parts are up: tells the service manager, logs "ready". */
void daemon_ready(struct daemon *d);
void daemon_stopped(struct daemon *d);

/* Something happened that only a restart mends: logs, exits with 1 through the graceful path. */
void daemon_fail(struct daemon *d, const struct error *err);

/*
 * Programs without an API of their own (controllers, agent) serve /healthz,
 * /readyz and /metrics on the setting --health-address (127.0.0.1:0 = off by
 * default "" ); `ready` returns NULL or why not.
 */
void daemon_health(struct daemon *d, const char *(*ready)(void *arg), void *arg);

#endif
