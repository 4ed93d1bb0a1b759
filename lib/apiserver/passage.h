/*
 * apiserver/passage - a request handed on to another API server, as the same user.
 *
 * Our own client certificate (group system:apiservers) and the caller in Impersonate-User and Impersonate-Group: what the
 * caller may do is decided there.  Answers are streamed, so watches and logs go through.  Upgrades do not.
 * It is a relay: the route's closed and drained are relay_closed and relay_drained.
 */
#ifndef APISERVER_PASSAGE_H
#define APISERVER_PASSAGE_H

#include "apiserver/apiserver.h"
#include "base/arena.h"
#include "fetch/fetch.h"

enum { PASSAGE_ENDPOINTS_MAX = 16, PASSAGE_CONNECT_MS = 5000 };

/* Set on what is handed on between servers of one cluster, so that it is not handed on again. */
#define PASSAGE_PEER_HEADER "rctl-peer"

/* All strings are in passage_arena(). */
struct passage_target {
	const char *endpoints[PASSAGE_ENDPOINTS_MAX]; /* URLs; the first that answers is taken */
	size_t endpoints_len;
	struct fetch_identity identity;
	struct str path;  /* with query */
	const char *what; /* of an error: "the cluster's API" */
	const char *peer; /* value of PASSAGE_PEER_HEADER; NULL = not sent */
};

struct passage;

/* On the request's loop.  `fetch` lives on `far`, where the request goes out. */
struct passage *passage_new(struct loop *far, struct fetch *fetch);
struct arena *passage_arena(struct passage *p);
/* Sends it; p belongs to the request from here on. */
void passage_go(struct passage *p, struct http_request *req, const struct apiserver_info *info,
		const struct passage_target *to);
/* Instead of passage_go(). */
void passage_free(struct passage *p);

#endif
