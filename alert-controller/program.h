/* program - what the two alert controllers have in common: settings and parts. */
#ifndef ALERT_PROGRAM_H
#define ALERT_PROGRAM_H

#include "daemon/daemon.h"

#include <stdbool.h>

struct alert_program_spec {
	const char *name, *summary; /* literals */
	bool global;
};

int alert_program_main(const struct alert_program_spec *spec, int argc, char **argv);

#endif
