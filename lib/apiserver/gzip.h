/* apiserver/gzip - RFC 1952 compression of large answers; the only code that includes zlib. */
#ifndef APISERVER_GZIP_H
#define APISERVER_GZIP_H

#include "http/body.h"

/* Replaces the body's pieces by their compressed form. */
void gzip_body(struct http_body *body);

#endif
