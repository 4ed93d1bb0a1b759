/*
 * http/body - a chain of pieces that make up one answer's body.
 *
 * Adding a piece costs no allocation of its own and copies no bytes: a list of 5,000
 * objects is 10,000 pieces of 24 bytes.  All zero is an empty body.  A body may be
 * moved by copying the structure.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "base/bytes.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

struct http_piece {
	const char *p;
	size_t len;
	struct bytes *owner; /* one reference; NULL = the bytes outlive everything */
};

struct http_body {
	struct http_piece *pieces; /* NULL while `few` is enough */
	size_t at, len, cap;       /* pieces at..len-1 are there still */
	size_t bytes;              /* of those */
	struct http_piece few[2];
};

void http_body_fini(struct http_body *b);

void http_body_add(struct http_body *b, struct bytes *bytes);  /* takes a reference */
void http_body_give(struct http_body *b, struct bytes *bytes); /* takes the caller's own */
void http_body_lit(struct http_body *b, struct str literal);   /* must outlive everything */
void http_body_copy(struct http_body *b, struct str s);

/* Part of `bytes`: `s` must lie inside it.  Takes a reference. */
void http_body_part(struct http_body *b, struct bytes *bytes, struct str s);

/* Moves all pieces of `from` behind those of b. */
void http_body_move(struct http_body *b, struct http_body *from);

/* What the body alone keeps in memory, about: pieces, and bytes to which nobody else holds a reference. */
size_t http_body_own(const struct http_body *b);

/* Copies the first n bytes (fewer when there are fewer) to p and drops them; how many. */
size_t http_body_take(struct http_body *b, void *p, size_t n);

#endif
