#include "base/arena.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK_MIN = 4096 - 64, BLOCK_MAX = 1 << 20, ALIGN = 16 };

struct arena_block {
	struct arena_block *next;
	size_t cap;
	_Alignas(ALIGN) unsigned char data[];
};

void arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

void arena_fini(struct arena *a)
{
	for (struct arena_block *b = a->head; b;) {
		struct arena_block *next = b->next;
		mem_free(b);
		b = next;
	}
	arena_init(a);
}

void arena_reset(struct arena *a)
{
	if (!a->head)
		return;
	while (a->head->next) {
		struct arena_block *b = a->head;
		a->head = b->next;
		a->total -= b->cap;
		mem_free(b);
	}
	memset(a->head->data, 0, a->head->cap);
	a->cap = a->head->cap;
	a->used = 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	if (bytes > SIZE_MAX / 4)
		mem_abort();
	size_t need = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (need > a->cap - a->used || !a->head) {
		/* doubling with the total keeps the number of blocks logarithmic */
		size_t cap = a->total < BLOCK_MIN ? BLOCK_MIN : a->total;
		cap = cap > BLOCK_MAX ? BLOCK_MAX : cap;
		cap = cap < need ? need : cap;
		struct arena_block *b = mem_calloc(1, sizeof(*b) + cap);
		b->cap = cap;
		b->next = a->head;
		a->head = b;
		a->total += cap;
		a->cap = cap;
		a->used = 0;
	}
	void *p = a->head->data + a->used;
	a->used += need;
	return p;
}

void *arena_alloc_n(struct arena *a, size_t n, size_t size)
{
	size_t bytes = 0;
	if (__builtin_mul_overflow(n, size, &bytes))
		mem_abort();
	return arena_alloc(a, bytes);
}

struct str arena_str(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);
	if (s.len)
		memcpy(p, s.p, s.len);
	return (struct str){ p, s.len };
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t n = strlen(s);
	char *p = arena_alloc(a, n + 1);
	memcpy(p, s, n);
	return p;
}

/* Tried in the room that is left: what does not fit there stays unused, so nobody sees the attempt. */
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	char none[1];
	char *tried = a->head ? (char *)a->head->data + a->used : none;
	size_t room = a->head ? a->cap - a->used : 0;
	int n = vsnprintf(tried, room, fmt, ap);
	if (n < 0)
		mem_abort();
	char *p = arena_alloc(a, (size_t)n + 1);
	if (p != tried)
		(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

struct str arena_strf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return (struct str){ p, strlen(p) };
}
