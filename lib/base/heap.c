#include "base/heap.h"

#include "base/mem.h"

#include <assert.h>

void heap_fini(struct heap *h)
{
	mem_free(h->a);
	*h = (struct heap){ 0 };
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void place(struct heap *h, size_t i, struct heap_node *n)
{
	h->a[i] = n;
	n->index = i + 1;
}

static void up(struct heap *h, size_t i)
{
	struct heap_node *n = h->a[i];
	while (i && before(n, h->a[(i - 1) / 2])) {
		place(h, i, h->a[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(h, i, n);
}

static void down(struct heap *h, size_t i)
{
	struct heap_node *n = h->a[i];
	for (;;) {
		size_t c = 2 * i + 1;
		if (c >= h->len)
			break;
		if (c + 1 < h->len && before(h->a[c + 1], h->a[c]))
			c++;
		if (!before(h->a[c], n))
			break;
		place(h, i, h->a[c]);
		i = c;
	}
	place(h, i, n);
}

void heap_add(struct heap *h, struct heap_node *n, uint64_t due)
{
	assert(n->index == 0);
	mem_grow(h->a, h->len, h->cap);
	n->due = due;
	n->seq = h->seq++;
	place(h, h->len++, n);
	up(h, n->index - 1);
}

void heap_del(struct heap *h, struct heap_node *n)
{
	if (n->index == 0)
		return;
	size_t i = n->index - 1;
	assert(i < h->len && h->a[i] == n);
	struct heap_node *last = h->a[--h->len];
	n->index = 0;
	if (last == n)
		return;
	place(h, i, last);
	up(h, i);
	down(h, last->index - 1);
}

struct heap_node *heap_top(const struct heap *h)
{
	return h->len ? h->a[0] : NULL;
}
