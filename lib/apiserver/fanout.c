/* Events from the store's thread to the loops: shards and subscriptions. */
#include "apiserver/apiserver_priv.h"
#include "base/mem.h"
#include "sys/clock.h"

/*
 * A pass over all watches of a loop costs some ten microseconds a watch, however few events it
 * carries.  So a costly pass is followed by a pause, and the next one takes all events that
 * came meanwhile in the same writes; a cheap pass by none.
 */
enum { PASS_CHEAP_US = 1000, PAUSES_A_PASS = 2, PAUSE_MAX_MS = 10 };

struct apiserver_sub {
	_Atomic uint32_t refs;
	struct list link; /* in s->subs, under s->subs_lock */
	struct apiserver *s;
	struct loop *loop;
	void (*fn)(void *arg, struct watch_event *const *ev, size_t n, int64_t rev);
	void *arg;
	int64_t rev; /* delivered up to here */
	bool closed; /* its loop's thread only */
};

struct batch *batch_ref(struct batch *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void batch_unref(struct batch *b)
{
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < b->len; i++)
		watch_event_unref(b->ev[i]);
	mem_free(b);
}

static struct batch *batch_new(struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct batch *b = mem_new_flex(struct batch, ev, n);
	atomic_init(&b->refs, 1);
	b->rev = rev;
	b->len = n;
	for (size_t i = 0; i < n; i++)
		b->ev[i] = watch_event_ref(ev[i]);
	return b;
}

/* ---- to a loop ---- */

struct shard_message {
	struct shard_message *next;
	struct shard *shard;
	struct batch *batch;
};

static void take_message(struct shard *sh, bool deliver)
{
	struct shard_message *m = sh->fan_head;
	sh->fan_head = m->next;
	if (!sh->fan_head)
		sh->fan_tail = &sh->fan_head;
	if (deliver)
		watch_shard_batch(sh, m->batch);
	batch_unref(m->batch);
	mem_free(m);
}

static void pass(struct shard *sh)
{
	if (!list_linked(&sh->fan_done.link))
		sh->fan_from_us = clock_mono_us();
	while (sh->fan_head)
		take_message(sh, true);
	loop_defer(sh->loop, &sh->fan_done); /* behind the connections' writing */
}

static void on_pass_done(struct loop_task *t)
{
	struct shard *sh = container_of(t, struct shard, fan_done);
	uint64_t cost_us = clock_mono_us() - sh->fan_from_us;
	uint64_t ms = cost_us * PAUSES_A_PASS / 1000;
	if (cost_us >= PASS_CHEAP_US && !list_empty(&sh->streams))
		loop_timer_set(sh->loop, &sh->fan_pause, ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS);
}

static void on_pause_over(struct loop_timer *t)
{
	struct shard *sh = container_of(t, struct shard, fan_pause);
	if (sh->fan_head)
		pass(sh);
}

static void shard_receive(void *arg)
{
	struct shard_message *m = arg;
	struct shard *sh = m->shard;
	*sh->fan_tail = m;
	sh->fan_tail = &m->next;
	if (!loop_timer_armed(&sh->fan_pause))
		pass(sh);
	req_shard_wake(sh);
}

void fanout_shard_init(struct shard *sh)
{
	sh->fan_tail = &sh->fan_head;
	sh->fan_done.fn = on_pass_done;
	sh->fan_pause.fn = on_pause_over;
}

void fanout_shard_fini(struct shard *sh)
{
	loop_timer_stop(&sh->fan_pause);
	loop_task_cancel(&sh->fan_done);
	while (sh->fan_head)
		take_message(sh, false);
}

struct sub_message {
	struct apiserver_sub *sub;
	struct batch *batch;
};

static void sub_unref(struct apiserver_sub *sub)
{
	if (atomic_fetch_sub_explicit(&sub->refs, 1, memory_order_acq_rel) == 1)
		mem_free(sub);
}

static void sub_receive(void *arg)
{
	struct sub_message *m = arg;
	struct apiserver_sub *sub = m->sub;
	if (!sub->closed && m->batch->rev > sub->rev) {
		/* The snapshot may have reached into the batch. */
		size_t from = 0;
		while (from < m->batch->len && m->batch->ev[from]->rev <= sub->rev)
			from++;
		sub->rev = m->batch->rev;
		sub->fn(sub->arg, m->batch->ev + from, m->batch->len - from, m->batch->rev);
	}
	batch_unref(m->batch);
	sub_unref(sub);
	mem_free(m);
}

void fanout_batch(void *server, struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct apiserver *s = server;
	kinds_batch(s, ev, n);
	roles_batch(s, ev, n);
	struct batch *b = batch_new(ev, n, rev);
	for (size_t i = 0; i < s->shards_len; i++) {
		struct shard_message *m = mem_new(struct shard_message, 1);
		*m = (struct shard_message){ .shard = &s->shards[i], .batch = batch_ref(b) };
		loop_post(s->shards[i].loop, shard_receive, m);
	}
	pthread_mutex_lock(&s->subs_lock);
	list_for_each(it, &s->subs)
	{
		struct apiserver_sub *sub = list_entry(it, struct apiserver_sub, link);
		struct sub_message *m = mem_new(struct sub_message, 1);
		atomic_fetch_add_explicit(&sub->refs, 1, memory_order_relaxed);
		*m = (struct sub_message){ .sub = sub, .batch = batch_ref(b) };
		loop_post(sub->loop, sub_receive, m);
	}
	pthread_mutex_unlock(&s->subs_lock);
	batch_unref(b);
}

struct apiserver_sub *apiserver_subscribe(struct apiserver *s, struct loop *loop,
					  void (*fn)(void *arg, struct watch_event *const *ev,
						     size_t n, int64_t rev),
					  void *arg, struct watch_snap **snap)
{
	struct apiserver_sub *sub = mem_new(struct apiserver_sub, 1);
	atomic_init(&sub->refs, 1);
	sub->s = s;
	sub->loop = loop;
	sub->fn = fn;
	sub->arg = arg;
	/*
	 * In the list first, then the snapshot: what the snapshot does not hold yet
	 * is posted after this, what it holds is skipped by its revision.
	 */
	pthread_mutex_lock(&s->subs_lock);
	list_append(&s->subs, &sub->link);
	*snap = watch_snap_get(s->cache);
	sub->rev = watch_snap_rev(*snap);
	pthread_mutex_unlock(&s->subs_lock);
	return sub;
}

void apiserver_unsubscribe(struct apiserver_sub *sub)
{
	if (!sub)
		return;
	pthread_mutex_lock(&sub->s->subs_lock);
	list_del(&sub->link);
	pthread_mutex_unlock(&sub->s->subs_lock);
	sub->closed = true;
	sub_unref(sub);
}
