/*
 * pushway - rpc Push by way of the API server that has the database: what an agent streams to this server is posted to that
 * one, in order, and acknowledged to the agent when that one has stored it.
 *
 * POST /agent/v1/push[?labels=TOKEN] as the node's user.  The body is messages PushRequest (proto/agent/v1), each behind its
 * length as a varint: PushOpen of the stream first, then what came since the last post.  The answer is one message:
 * 1 acked_sequence, 2 known_series when the post began, 3 TOKEN, 4 refused_records, 5 refused_reason.  410: define the series
 * again; 503: nothing is known of what was posted: open again.
 *
 * A post depends on nothing but the database: what comes twice is told by the stream's watermark, so nothing counts
 * twice and nothing acknowledged is lost, whichever server dies.  TOKEN stands for the labels that the owner puts
 * onto series: when they change, references mean other series, and the stream begins anew.
 */
#ifndef PUSHWAY_H
#define PUSHWAY_H

#include "apiserver/apiserver.h"
#include "peerway.h"
#include "telemetry/intake.h"

enum {
	PUSHWAY_BODY_BYTES = 1 << 20, /* of a post, unless one message alone is larger */
	PUSHWAY_TIMEOUT_MS = 30000,
};

/* ---- this side: all on the peerway's loop ---- */

struct pushway_stream;

/*
 * Opens the stream that the message `open` (a PushRequest of the node) asks for; NULL when no other server
 * has the database.  The handlers are called as those of intake_stream_open().
 */
struct pushway_stream *pushway_open(struct peerway *w, enum peers_store store, struct str node,
				    struct str open, const struct intake_handlers *on, void *arg);
/* A further PushRequest as it came. */
void pushway_message(struct pushway_stream *s, struct str msg, bool is_record);
/* The handler `closed` is called before it returns. */
void pushway_close(struct pushway_stream *s);

/* ---- the owner's side ---- */

struct pushway_owner {
	struct apiserver *api;
	struct loop *loop; /* of the answers */
	const char *cluster;
	struct intake *metrics, *logs; /* may be NULL */
};

/* The route; before apiserver_start().  o is borrowed until the API server is gone. */
void pushway_add_route(struct pushway_owner *o);

#endif
