/*
 * base/list - intrusive doubly linked list.  A struct list is both the head
 * and a member; an unlinked member points at itself (list_init) or is zero.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/mem.h"

#include <stdbool.h>

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return !l->next || l->next == l;
}

/* Puts `item` behind `at`; list_add(head, x) = first. */
static inline void list_add(struct list *at, struct list *item)
{
	item->next = at->next;
	item->prev = at;
	at->next->prev = item;
	at->next = item;
}

/* list_append(head, x) = last. */
static inline void list_append(struct list *head, struct list *item)
{
	list_add(head->prev, item);
}

/* Safe on an unlinked item. */
static inline void list_del(struct list *item)
{
	if (!item->next)
		return;
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

static inline bool list_linked(const struct list *item)
{
	return item->next && item->next != item;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

/* The loop variable `it` is a struct list *; deleting `it` on the way is allowed. */
#define list_for_each(it, head) \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
	     it = it##_next, it##_next = it->next)

#endif
