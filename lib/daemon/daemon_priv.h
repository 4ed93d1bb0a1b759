/* Shared by the files of lib/daemon alone. */
#ifndef DAEMON_DAEMON_PRIV_H
#define DAEMON_DAEMON_PRIV_H

#include "daemon/daemon.h"
#include "sys/loop.h"

#include <stdbool.h>

struct daemon_health;

struct daemon {
	const struct daemon_spec *spec;
	int argc;
	char *const *argv;
	struct setting rows[DAEMON_SETTINGS_MAX];
	size_t rows_len;
	struct settings *settings;
	struct metrics *metrics;
	struct loop *loop;
	struct loop_timer started;    /* it runs for a while: starting is over */
	struct daemon_health *health; /* NULL = not listening */
	const char *log_level;
	char *health_address;
	bool stopping, stopped;
	int status; /* what main() returns */
};

struct daemon_health *daemon_health_free(struct daemon_health *h);

#endif
