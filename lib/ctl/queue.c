/* The work queue: a key is idle, ready, running, waiting out a delay, or held until an informer caught up. */
#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ctl/ctl_priv.h"
#include "sys/clock.h"

#include <assert.h>

enum { PARALLEL = 8, BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 60000, UNKNOWN_HOLD_MS = 10000 };

struct expect {
	struct expect *next;
	const struct client_informer *informer;
	int64_t rev;       /* 0 = outcome unknown: only time helps */
	uint64_t until_ms; /* rev 0: when the hold ends */
};

struct item {
	struct list link;      /* in ready */
	struct list held_link; /* in held */
	struct heap_node delay;
	struct expect *expects;
	uint32_t failures;
	bool running, dirty;
	size_t key_len;
	char key[];
};

struct ctl_queue {
	struct ctl *ctl;
	struct list link;
	struct ctl_queue_config cfg;
	struct map items; /* key → item */
	struct list ready, held;
	struct heap delayed;
	struct loop_timer timer;
	struct loop_task kick;
	uint32_t running;
	struct metric *m_done, *m_failed, *m_depth;
};

struct list *queue_link(struct ctl_queue *q)
{
	return &q->link;
}

struct ctl_queue *queue_of(struct list *link)
{
	return container_of(link, struct ctl_queue, link);
}

static uint64_t now(const struct ctl_queue *q)
{
	return loop_now_ms(q->ctl->cfg.loop);
}

static void arm(struct ctl_queue *q)
{
	const struct heap_node *top = heap_top(&q->delayed);
	uint64_t due = top ? top->due : UINT64_MAX;
	list_for_each(it, &q->held) for (struct expect *e =
						 container_of(it, struct item, held_link)->expects;
					 e; e = e->next) if (!e->rev && e->until_ms < due) due =
		e->until_ms;
	if (due == UINT64_MAX)
		loop_timer_stop(&q->timer);
	else
		loop_timer_set(q->ctl->cfg.loop, &q->timer, due > now(q) ? due - now(q) : 0);
}

static struct item *find_or_add(struct ctl_queue *q, struct str key)
{
	struct item *it = map_get(&q->items, key);
	if (it)
		return it;
	it = mem_calloc(1, sizeof(*it) + key.len + 1);
	it->key_len = key.len;
	memcpy(it->key, key.p, key.len);
	(void)map_set(&q->items, key, it);
	return it;
}

static void item_free(struct item *it)
{
	for (struct expect *e = it->expects; e;) {
		struct expect *n = e->next;
		mem_free(e);
		e = n;
	}
	mem_free(it);
}

/* An item that nothing is known of any more needs no memory. */
static void forget_if_idle(struct ctl_queue *q, struct item *it)
{
	if (it->running || it->dirty || it->expects || it->delay.index || list_linked(&it->link) ||
	    it->failures)
		return;
	(void)map_del(&q->items, str_n(it->key, it->key_len));
	item_free(it);
}

static void make_ready(struct ctl_queue *q, struct item *it)
{
	heap_del(&q->delayed, &it->delay);
	if (it->running || it->expects) {
		it->dirty = true;
		return;
	}
	if (!list_linked(&it->link))
		list_append(&q->ready, &it->link);
	loop_defer(q->ctl->cfg.loop, &q->kick);
}

/* ---- expectations ---- */

static bool met(const struct ctl_queue *q, const struct expect *e)
{
	return e->rev ? client_informer_rev(e->informer) >= e->rev : now(q) >= e->until_ms;
}

static void drop_met(struct ctl_queue *q, struct item *it)
{
	for (struct expect **p = &it->expects; *p;) {
		struct expect *e = *p;
		if (met(q, e)) {
			*p = e->next;
			mem_free(e);
		} else {
			p = &e->next;
		}
	}
	if (it->expects)
		return;
	list_del(&it->held_link);
	if (it->dirty && !it->running) {
		it->dirty = false;
		make_ready(q, it);
	} else {
		forget_if_idle(q, it);
	}
}

void queue_progress(struct ctl_queue *q)
{
	list_for_each(l, &q->held) drop_met(q, container_of(l, struct item, held_link));
	arm(q);
}

void queue_forget_informer(struct ctl_queue *q, const struct client_informer *i)
{
	list_for_each(l, &q->held)
	{
		struct item *it = container_of(l, struct item, held_link);
		for (struct expect *e = it->expects; e; e = e->next) {
			if (e->informer == i) {
				e->rev = 0; /* nobody will tell: time out */
				e->until_ms = 0;
			}
		}
		drop_met(q, it);
	}
}

static void expect(struct ctl_queue *q, struct str key, const struct client_informer *i,
		   int64_t rev)
{
	struct expect *e = mem_new(struct expect, 1);
	e->informer = i;
	e->rev = rev;
	e->until_ms = rev ? 0 : now(q) + UNKNOWN_HOLD_MS;
	if (met(q, e)) {
		mem_free(e);
		return;
	}
	struct item *it = find_or_add(q, key);
	e->next = it->expects;
	it->expects = e;
	if (!list_linked(&it->held_link))
		list_append(&q->held, &it->held_link);
	if (list_linked(&it->link)) {
		list_del(&it->link);
		it->dirty = true;
	}
	arm(q);
}

void ctl_expect(struct ctl_queue *q, struct str key, struct client_informer *i, int64_t rev)
{
	assert(rev > 0);
	expect(q, key, i, rev);
}

void ctl_expect_unknown(struct ctl_queue *q, struct str key, struct client_informer *i)
{
	expect(q, key, i, 0);
}

/* ---- running ---- */

void queue_kick(struct ctl_queue *q)
{
	uint32_t parallel = q->cfg.parallel ? q->cfg.parallel : PARALLEL;
	while (q->ctl->running && q->running < parallel && !list_empty(&q->ready)) {
		struct item *it = list_entry(q->ready.next, struct item, link);
		list_del(&it->link);
		it->running = true;
		q->running++;
		q->cfg.reconcile(q->cfg.arg, q, str_n(it->key, it->key_len));
	}
	if (q->m_depth)
		metric_set(q->m_depth, (int64_t)q->items.len);
}

static void on_kick(struct loop_task *t)
{
	queue_kick(container_of(t, struct ctl_queue, kick));
}

static void on_timer(struct loop_timer *t)
{
	struct ctl_queue *q = container_of(t, struct ctl_queue, timer);
	for (struct heap_node *n; (n = heap_top(&q->delayed)) && n->due <= now(q);)
		make_ready(q, container_of(n, struct item, delay));
	queue_progress(q);
	queue_kick(q);
}

void ctl_add(struct ctl_queue *q, struct str key)
{
	make_ready(q, find_or_add(q, key));
}

void ctl_add_after(struct ctl_queue *q, struct str key, uint64_t delay_ms)
{
	struct item *it = find_or_add(q, key);
	uint64_t due = now(q) + delay_ms;
	if (list_linked(&it->link) || (it->delay.index && it->delay.due <= due))
		return;
	heap_del(&q->delayed, &it->delay);
	heap_add(&q->delayed, &it->delay, due);
	arm(q);
}

void ctl_done(struct ctl_queue *q, struct str key, bool ok)
{
	struct item *it = map_get(&q->items, key);
	assert(it && it->running);
	it->running = false;
	q->running--;
	if (q->m_done)
		metric_add(ok ? q->m_done : q->m_failed, 1);
	if (!ok) {
		uint64_t delay = BACKOFF_MIN_MS;
		for (uint32_t i = 0; i < it->failures && delay < BACKOFF_MAX_MS; i++)
			delay *= 2;
		it->failures++;
		it->dirty = false;
		ctl_add_after(q, key, delay > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : delay);
	} else {
		it->failures = 0;
		if (it->dirty && !it->expects) {
			it->dirty = false;
			make_ready(q, it);
		}
		forget_if_idle(q, it);
	}
	loop_defer(q->ctl->cfg.loop, &q->kick);
}

/* ---- life ---- */

struct ctl_queue *ctl_queue_new(struct ctl *c, const struct ctl_queue_config *cfg)
{
	struct ctl_queue *q = mem_new(struct ctl_queue, 1);
	q->ctl = c;
	q->cfg = *cfg;
	map_init(&q->items, clock_random_u64());
	list_init(&q->ready);
	list_init(&q->held);
	q->timer.fn = on_timer;
	q->kick.fn = on_kick;
	if (c->cfg.metrics) {
		char labels[96];
		(void)snprintf(labels, sizeof(labels), "queue=\"%s\"", cfg->name);
		q->m_done = metric_counter(c->cfg.metrics, "rctl_reconciles_total", labels,
					   "Reconciles that ended well.");
		q->m_failed = metric_counter(c->cfg.metrics, "rctl_reconcile_failures_total",
					     labels, "Reconciles that failed and come back.");
		q->m_depth = metric_gauge(c->cfg.metrics, "rctl_queue_keys", labels,
					  "Keys that the work queue knows.");
	}
	list_append(&c->queues, &q->link);
	return q;
}

void queue_free(struct ctl_queue *q)
{
	list_del(&q->link);
	loop_timer_stop(&q->timer);
	loop_task_cancel(&q->kick);
	size_t pos = 0;
	void *value = NULL;
	while (map_next(&q->items, &pos, NULL, &value))
		item_free(value);
	map_fini(&q->items);
	heap_fini(&q->delayed);
	mem_free(q);
}
