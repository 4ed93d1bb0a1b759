/*
 * sys/env - the process's environment: read at start by settings, by nothing else.
 */
#ifndef SYS_ENV_H
#define SYS_ENV_H

#include <stdlib.h>

/* The value of the variable `name`, or NULL; valid until the environment changes. */
static inline const char *env_get(const char *name)
{
	return getenv(name);
}

#endif
