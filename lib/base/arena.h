/*
 * base/arena - memory of one request, one parse, one reconcile: handed out by
 * moving a pointer, freed at once.
 *
 * Memory is zeroed and aligned to 16 bytes.  Nothing inside is freed singly.
 * What is sized from outside is bounded before it gets here; running out of
 * memory aborts, as in base/mem.  An arena belongs to one thread at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/attr.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *head; /* newest block; NULL = nothing handed out yet */
	size_t used, cap;         /* of the newest block, bytes */
	size_t total;             /* bytes of all blocks */
};

/* An arena that is all zero is initialised too. */
void arena_init(struct arena *a);
void arena_fini(struct arena *a);

/* Forgets everything handed out but keeps the first block for the next use. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t bytes) __attribute__((returns_nonnull));

/* Copies with a NUL behind; the result's p is a C string. */
struct str arena_str(struct arena *a, struct str s);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) ATTR_PRINTF(2, 3);
struct str arena_strf(struct arena *a, const char *fmt, ...) ATTR_PRINTF(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) ATTR_PRINTF(2, 0);

/* n zeroed objects of a type */
#define arena_new(a, type, n) ((type *)arena_alloc_n((a), (n), sizeof(type)))
void *arena_alloc_n(struct arena *a, size_t n, size_t size) __attribute__((returns_nonnull));

#endif
