/*
 * apiserver/relay - a request of an API loop that is answered from another loop: logs of a node, another cluster's API.
 *
 * The near side is the request's loop, the far side the loop that the answer comes from.  The relay
 * carries messages between both and lives until both let go; the far side never sees the http_request.
 *
 *   near: relay_new() in the route's fn; the route's closed and drained are relay_closed and relay_drained
 *   far:  relay_begin() relay_write() … relay_end(), or relay_fail() before relay_begin();
 *         then relay_done(), always, as the last call
 *
 * Back-pressure: relay_full() says that the client does not keep up; pause what feeds it until on_room.
 */
#ifndef APISERVER_RELAY_H
#define APISERVER_RELAY_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct http_request;
struct loop;
struct relay;

struct relay_handlers {
	/* All on the far loop, with relay_data(). */
	void (*start)(struct relay *r, void *data); /* the first word */
	void (*room)(struct relay *r, void *data); /* may be NULL: the client took what was there */
	/* The client went away; nothing more is wanted.  relay_done() is still to be called (here, or later). */
	void (*gone)(struct relay *r, void *data);
};

/* On the request's loop; `data` is given to the far side. */
void relay_new(struct http_request *req, struct loop *far, const struct relay_handlers *on,
	       void *data);

/* For struct apiserver_route. */
void relay_closed(void *arg, struct http_request *req);
void relay_drained(void *arg, struct http_request *req);

/* ---- far side ---- */

/* content_type is copied.  A second call does nothing. */
void relay_begin(struct relay *r, int status, struct str content_type);
void relay_write(struct relay *r, struct str data);
bool relay_full(const struct relay *r);
void relay_end(struct relay *r);
/* Answers with a Status; behind relay_begin() it cuts the stream. */
void relay_fail(struct relay *r, const struct error *err);
bool relay_gone(const struct relay *r);
/* The far side is through; r is dead behind it. */
void relay_done(struct relay *r);

#endif
