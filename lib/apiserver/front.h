/* apiserver/front - the engine's side of http/server. */
#ifndef APISERVER_FRONT_H
#define APISERVER_FRONT_H

#include "apiserver/apiserver_priv.h"

/* Certificates and listeners; the loops must not run yet. */
ATTR_MUSTCHECK int front_start(struct apiserver *s, struct error *err);

#endif
