/*
 * apiserver/gzip - RFC 1952 compression of large answers; the only code that includes ISA-L
 * (ten times as fast as zlib at the same ratio).
 *
 * A long answer is compressed slice by slice, one in each turn of the loop, so
 * that other requests do not wait behind it.
 */
#ifndef APISERVER_GZIP_H
#define APISERVER_GZIP_H

#include "http/body.h"
#include "http/server.h"
#include "sys/loop.h"

struct gzip_stream;

/* Takes the body; http_begin() was called.  Ends the request itself when all is written. */
struct gzip_stream *gzip_start(struct http_request *http, struct loop *loop,
			       struct http_body *body);

/* The connection has room again. */
void gzip_drained(struct gzip_stream *g);

/* Accepts NULL, returns NULL. */
struct gzip_stream *gzip_free(struct gzip_stream *g);

#endif
