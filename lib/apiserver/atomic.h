/*
 * apiserver/atomic - several writes in one request: all of them at consecutive
 * revisions, or none.
 *
 *   POST /rctl.io/atomic[?dryRun=All]
 *   {"requests":[{"method":"PATCH","path":"/api/v1/…?fieldManager=…","contentType":"…","body":…}]}
 *
 * Each inner request is a request of the same user: routed, authorized,
 * admitted and validated as if it came alone.  Only its write is held back;
 * when all are answered or held, what is held goes to the store as one
 * submission.  A lost race begins all of them anew.
 *
 * A request sees what the earlier ones of the set are about to write where
 * admission asks: namespaces, roles, quotas.  Namespaces, quotas and roles are
 * therefore run first, whatever their place in the set.  Objects of a
 * definition that comes in the same set are not known yet.
 *
 * Threads: everything runs on the shard of the outer request.
 */
#ifndef APISERVER_ATOMIC_H
#define APISERVER_ATOMIC_H

#include "apiserver/apiserver_priv.h"

#define ATOMIC_PATH "/rctl.io/atomic"

enum {
	ATOMIC_REQUESTS_MAX = 400,
	ATOMIC_WRITES_MAX = 512, /* with those that go along (quotas): one batch of the store */
	ATOMIC_RETRIES_MAX = 100,
};

/* Answers the outer request, now or later. */
void atomic_serve(struct req *r);

/* An inner request would write this: it is held until all are.  Borrows until r is freed. */
void atomic_hold(struct req *r, const struct store_write *writes, size_t n, req_fn next);
/* An inner request is answered. */
void atomic_answered(struct req *r, int status, struct str body);

/*
 * What r is about to write (old: whether the object is there), told before it
 * is written or, in a dry run, not.  Nothing for requests that come alone.
 */
void atomic_note(struct req *r, struct str key, const struct json *obj, bool old);

/* An object that the set writes. */
struct atomic_note {
	struct str key;
	struct str ns;           /* of the path; "" = none */
	const struct kind *kind; /* NULL: it goes along with another's write */
	const struct json *obj;
	bool created;
};
/* The i-th of those told so far, NULL behind the last; r may be any request. */
const struct atomic_note *atomic_note_at(const struct req *r, size_t i);
/* The newest state of the key that the set writes, or NULL. */
const struct json *atomic_pending(const struct req *r, struct str key);

/* Of an inner request: the kinds of the outer one, or NULL.  Lent. */
struct kind_set *atomic_kinds(const struct req *r);

#endif
