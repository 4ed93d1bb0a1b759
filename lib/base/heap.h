/*
 * base/heap - binary min-heap of intrusive nodes ordered by (due, order of adding).
 * The basis of timers and delayed queues.  The heap owns only its array.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t due;
	uint64_t seq; /* set by heap_add: equal due keeps the order of adding */
	size_t index; /* position + 1; 0 = in no heap */
};

struct heap {
	struct heap_node **a;
	size_t len, cap;
	uint64_t seq;
};

void heap_fini(struct heap *h);
void heap_add(struct heap *h, struct heap_node *n, uint64_t due); /* n must be in no heap */
void heap_del(struct heap *h, struct heap_node *n);               /* safe when n is in no heap */
struct heap_node *heap_top(const struct heap *h);                 /* least due, or NULL */

#endif
