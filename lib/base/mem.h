/*
 * base/mem - allocation for small structures whose size we choose ourselves.
 *
 * Memory comes zeroed.  Running out aborts the process: the supervisor starts
 * it again and all state that matters is in the database.  Sizes that come
 * from outside (bodies, lists) are bounded BEFORE they get here.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/attr.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static inline void mem_abort(void)
{
	(void)fputs("out of memory\n", stderr);
	abort();
}

ATTR_ALLOC static inline void *mem_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p)
		mem_abort();
	return p;
}

static inline void mem_free(void *p)
{
	free(p);
}

/* Grows or shrinks p to n elements of `size`; what is new is NOT zeroed. p may be NULL. */
static inline void *mem_resize(void *p, size_t n, size_t size)
{
	size_t bytes = 0;
	if (__builtin_mul_overflow(n, size, &bytes))
		mem_abort();
	void *q = realloc(p, bytes ? bytes : 1);
	if (!q)
		mem_abort();
	return q;
}

/* n bytes copied to the heap, with a NUL behind them */
static inline char *mem_strndup(const char *p, size_t n)
{
	char *q = mem_calloc(n + 1, 1);
	if (n)
		memcpy(q, p, n);
	return q;
}

static inline char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

/* n zeroed objects of a type */
#define mem_new(type, n) ((type *)mem_calloc((n), sizeof(type)))

/* one zeroed object whose last member is a flexible array of n elements */
#define mem_new_flex(type, member, n) \
	((type *)mem_calloc(1, sizeof(type) + (n) * sizeof(((type *)0)->member[0])))

/*
 * Makes room for one more element in the array `ptr` of length `len` and
 * capacity `cap` (any unsigned type; grows by doubling, from 8).
 */
#define mem_grow(ptr, len, cap) \
	do { \
		if ((len) == (cap)) { \
			(cap) = (cap) ? (cap)*2 : 8; \
			(ptr) = mem_resize((ptr), (cap), sizeof(*(ptr))); \
		} \
	} while (0)

/* The structure that holds `member` at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
