/*
 * text/url - URLs (RFC 3986) and query strings.  Pure; pieces point into the text.
 */
#ifndef TEXT_URL_H
#define TEXT_URL_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { URL_MAX = 65536 }; /* longest URL split, bytes */

/* Pieces are raw: still percent-encoded.  What is absent is {NULL, 0}. */
struct url {
	struct str scheme;   /* "https" */
	struct str userinfo; /* "user:secret" */
	struct str host;     /* "example.com", "10.0.0.1", "::1" (no brackets) */
	struct str path;     /* "/api/v1", "" */
	struct str query;    /* without "?" */
	struct str fragment; /* without "#" */
	uint16_t port;       /* 0 = none given */
};

/*
 * Absolute ("https://host:1/p?q#f") or origin form ("/p?q").  ERR_BAD_REQUEST
 * for control characters, blanks, bytes above ASCII, bad "%", bad ports.
 */
ATTR_MUSTCHECK int url_split(struct str s, struct url *ret, struct error *err);

/*
 * Percent-decodes into the arena (no copy when there is nothing to decode).
 * `plus`: "+" is a blank, as in query strings.  False: "%" without two
 * hexadecimal digits.  The result may hold any byte, NUL included.
 */
bool url_decode(struct arena *a, struct str s, bool plus, struct str *ret);

/* Percent-encodes all but unreserved characters (RFC 3986 section 2.3): fit for a path segment or a query. */
void url_encode(struct buf *out, struct str s);
/* The same but keeps "/". */
void url_encode_path(struct buf *out, struct str s);

/*
 * Walks "a=1&b=2": takes one pair off *rest, raw; false at the end.  A pair
 * without "=" has value {NULL, 0}.  Empty pairs are skipped.
 */
bool url_query_next(struct str *rest, struct str *key, struct str *value);

/*
 * First value of `key`, decoded into the arena, or {NULL, 0} when absent.  A
 * pair that cannot be decoded does not count.
 */
struct str url_query_get(struct arena *a, struct str query, const char *key);

/* Appends "key=value" encoded, with "&" before it when out is not at `start`. */
void url_query_add(struct buf *out, size_t start, struct str key, struct str value);

#endif
