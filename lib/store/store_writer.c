#include "base/mem.h"
#include "store/store_priv.h"
#include "sys/clock.h"

#include <assert.h>
#include <poll.h>
#include <sys/eventfd.h>

enum {
	SKIPPED_MAX = 1024,  /* writes looked at behind ones that must wait */
	COMPACT_MIN_MS = 50, /* between two looks at the log's length */
	COMPACT_MAX_MS = 5000,
	AWAY_MS = 3000, /* a write waits for an absent database so long */
	RETRY_BASE_MS = 20,
	RETRY_MAX_MS = 1000,
};

uint64_t store_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t max_ms, uint64_t random)
{
	uint64_t top = attempt < 20 ? base_ms << attempt : max_ms;
	if (top > max_ms)
		top = max_ms;
	return random % (top + 1);
}

/* ---- callbacks, in order ---- */

void store_deliver(struct store *s, const struct store_event *ev, size_t n, int64_t rev)
{
	pthread_mutex_lock(&s->delivering);
	int64_t have = store_rev(s);
	while (n > 0 && ev->rev <= have) {
		ev++;
		n--;
	}
	if (rev > have) {
		uint64_t bytes = 0;
		for (size_t i = 0; i < n; i++)
			bytes += ev[i].value->len;
		struct store_history_limits l = { s->cfg.history_revs, s->cfg.history_ms,
						  s->cfg.history_bytes };
		store_history_note(&s->history, &l, clock_mono_ms(), rev, bytes);
		s->cfg.handlers.on_events(s->cfg.handlers.arg, ev, n, rev);
		atomic_store_explicit(&s->delivered, rev, memory_order_release);
	}
	pthread_mutex_unlock(&s->delivering);
}

bool store_step(struct store *s, int64_t epoch, int64_t last, int64_t first)
{
	bool ok = true;
	pthread_mutex_lock(&s->delivering);
	if (epoch > s->epoch) {
		ok = store_rev(s) <= last;
		if (ok) { /* else it stays unknown: no other thread may read on behind it */
			s->epoch = epoch;
			if (s->cfg.handlers.on_epoch)
				s->cfg.handlers.on_epoch(s->cfg.handlers.arg, last, first - 1);
			s->cfg.handlers.on_events(s->cfg.handlers.arg, NULL, 0, first - 1);
			atomic_store_explicit(&s->delivered, first - 1, memory_order_release);
		}
	}
	pthread_mutex_unlock(&s->delivering);
	return ok;
}

void store_compacted(struct store *s, int64_t rev)
{
	pthread_mutex_lock(&s->delivering);
	if (rev > s->compacted) {
		s->compacted = rev;
		store_history_drop(&s->history, rev);
		if (s->cfg.handlers.on_compacted)
			s->cfg.handlers.on_compacted(s->cfg.handlers.arg, rev);
	}
	pthread_mutex_unlock(&s->delivering);
}

void store_lose(struct store *s, const char *why)
{
	if (atomic_exchange(&s->lost, true))
		return;
	if (!s->cfg.handlers.on_lost)
		abort();
	pthread_mutex_lock(&s->delivering);
	s->cfg.handlers.on_lost(s->cfg.handlers.arg, why);
	pthread_mutex_unlock(&s->delivering);
}

void store_open_history(struct store *s, const struct store_event *ev)
{
	struct store_history_limits l = { s->cfg.history_revs, s->cfg.history_ms,
					  s->cfg.history_bytes };
	store_history_note(&s->history, &l, clock_mono_ms(), ev->rev, ev->value->len);
	s->cfg.handlers.on_history(s->cfg.handlers.arg, ev);
}

/* ---- rows of the log as events ---- */

static void hand_on(struct store_reader *r, int64_t rev)
{
	store_deliver(r->s, r->ev, r->n, rev);
	store_reader_drop(r);
}

void store_reader_add(struct store_reader *r, const struct store_event *ev)
{
	if (r->n == STORE_PIECE_EVENTS || r->bytes > STORE_PIECE_BYTES)
		hand_on(r, r->ev[r->n - 1].rev);
	assert(ev->key.len <= STORE_KEY_BYTES_MAX);
	memcpy(r->keys[r->n], ev->key.p, ev->key.len);
	r->ev[r->n] = *ev;
	r->ev[r->n].key.p = r->keys[r->n];
	r->bytes += ev->value->len;
	r->n++;
}

void store_reader_end(struct store_reader *r, int64_t rev)
{
	hand_on(r, rev);
}

void store_reader_drop(struct store_reader *r)
{
	for (size_t i = 0; i < r->n; i++)
		bytes_unref(r->ev[i].value);
	r->n = r->bytes = 0;
}

/* ---- choosing a batch ---- */

enum { MARK_KEY, MARK_FENCE_USED, MARK_FENCE_SET };

static uint64_t mark_hash(const struct store_marks *m, int kind, struct str key)
{
	return str_hash(key, m->seed + (uint64_t)kind) | 1;
}

static bool is_marked(const struct store_marks *m, int kind, struct str key)
{
	uint64_t hash = mark_hash(m, kind, key);
	for (size_t i = hash % STORE_MARKS; m->slot[i].turn == m->turn; i = (i + 1) % STORE_MARKS) {
		if (m->slot[i].hash == hash)
			return true;
	}
	return false;
}

static void mark(struct store_marks *m, int kind, struct str key)
{
	uint64_t hash = mark_hash(m, kind, key);
	size_t i = hash % STORE_MARKS;
	while (m->slot[i].turn == m->turn)
		i = (i + 1) % STORE_MARKS;
	m->slot[i].hash = hash;
	m->slot[i].turn = m->turn;
	m->used++;
}

/*
 * A batch is applied as if at once: it writes a key once, and does not use a
 * fence that it sets.
 */
static bool must_wait(const struct store_marks *m, const struct store_item *it)
{
	if (is_marked(m, MARK_KEY, it->key))
		return true;
	if (it->fence_key.len && is_marked(m, MARK_FENCE_SET, it->fence_key))
		return true;
	return it->set_fence_key.len && (is_marked(m, MARK_FENCE_SET, it->set_fence_key) ||
					 is_marked(m, MARK_FENCE_USED, it->set_fence_key));
}

static void mark_item(struct store_marks *m, const struct store_item *it)
{
	mark(m, MARK_KEY, it->key);
	if (it->fence_key.len)
		mark(m, MARK_FENCE_USED, it->fence_key);
	if (it->set_fence_key.len)
		mark(m, MARK_FENCE_SET, it->set_fence_key);
}

/* What is taken or left as one: a write, or all of a group (they stand in a row). */
struct unit {
	struct store_item *first, *last;
	size_t n;
	uint64_t bytes;
	bool waits;
};

static struct unit unit_at(const struct store_marks *m, struct store_item *it)
{
	struct unit u = { .first = it, .n = it->sub->atomic ? it->sub->n : 1 };
	u.last = it;
	for (size_t i = 0;; i++) {
		u.bytes += u.last->value->len;
		u.waits |= must_wait(m, u.last);
		if (i + 1 == u.n)
			return u;
		u.last = u.last->next;
	}
}

static void unlink_unit(struct store *s, struct store_item **at, const struct unit *u)
{
	*at = u->last->next;
	if (s->tail == &u->last->next)
		s->tail = at;
	s->waiting -= u->n;
	s->waiting_bytes -= u->bytes;
}

/* Under s->lock.  Fills s->items; the number taken. */
static size_t take_batch(struct store *s)
{
	struct store_marks *m = s->marks;
	size_t n = 0;
	size_t skipped = 0;
	uint64_t bytes = 0;
	m->turn++;
	m->used = 0;
	struct store_item **at = &s->head;
	while (*at && n < s->cfg.batch_writes_max && m->used < STORE_MARKS / 2) {
		struct unit u = unit_at(m, *at);
		bool alone = u.first->sub->atomic && !s->ops->mixes_groups;
		bool full = n + u.n > s->cfg.batch_writes_max ||
			    bytes + u.bytes > s->cfg.batch_bytes_max || alone;
		if (n > 0 && full && !u.waits)
			break;
		if (u.waits && ++skipped > SKIPPED_MAX)
			break;
		struct store_item *end = u.last->next;
		for (struct store_item *it = u.first; it != end; it = it->next) {
			mark_item(m, it);
			if (!u.waits)
				s->items[n++] = it;
		}
		if (u.waits) {
			at = &u.last->next;
			continue;
		}
		unlink_unit(s, at, &u);
		bytes += u.bytes;
		if (alone)
			break;
	}
	return n;
}

/* ---- answering ---- */

static void count(struct store *s, const struct store_item *it)
{
	enum err_code code = it->result->code;
	if (!s->writes)
		return;
	bool conflict = code == ERR_CONFLICT || code == ERR_EXISTS;
	metric_add(code == ERR_OK        ? s->writes
		   : conflict            ? s->conflicts
		   : code == ERR_UNKNOWN ? s->unknowns
					 : s->failures,
		   1);
}

/* Under s->delivering. */
static void answer(struct store *s, struct store_item *it)
{
	struct store_sub *sub = it->sub;
	count(s, it);
	bytes_unref(it->value);
	it->value = NULL;
	if (--sub->left > 0)
		return;
	sub->done(sub->arg, sub->results, sub->n);
	mem_free(sub);
}

static void answer_all(struct store *s, struct store_item **items, size_t n)
{
	pthread_mutex_lock(&s->delivering);
	for (size_t i = 0; i < n; i++)
		answer(s, items[i]);
	pthread_mutex_unlock(&s->delivering);
}

static void fail_all(struct store *s, struct store_item **items, size_t n, enum err_code code,
		     const char *why)
{
	for (size_t i = 0; i < n; i++)
		store_set_result(items[i], code, why);
	answer_all(s, items, n);
}

/* ---- committing ---- */

static void deliver_own(struct store *s, const struct store_batch *b)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++) {
		const struct store_item *it = b->items[i];
		if (it->result->code != ERR_OK)
			continue;
		bool made = it->op == STORE_CREATE;
		s->events[n++] = (struct store_event){
			.rev = it->result->rev,
			.op = it->op,
			.prev_rev = made ? 0 : it->want_rev,
			.create_rev = made ? it->result->rev : it->create_rev,
			.key = it->key,
			.value = it->value,
		};
	}
	store_deliver(s, s->events, n, b->rev);
}

static bool is_closing(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool closing = s->closing;
	pthread_mutex_unlock(&s->lock);
	return closing;
}

/*
 * Others wrote between our last batch and this one: theirs come first.  An event
 * that cannot be read keeps back all behind it, so this ends only with success,
 * with the store's end, or with the process's place in history lost.
 */
static void catch_up(struct store *s, int64_t rev)
{
	for (unsigned attempt = 0; store_rev(s) < rev && !atomic_load(&s->lost); attempt++) {
		struct error err = { 0 };
		if (s->ops->catch_up(s, rev, &err) == 0)
			continue;
		atomic_store(&s->healthy, false);
		if (is_closing(s))
			return;
		uint64_t ms =
			store_backoff_ms(attempt, RETRY_BASE_MS, RETRY_MAX_MS, clock_random_u64());
		(void)poll(NULL, 0, (int)ms);
	}
}

static int commit(struct store *s, struct store_batch *b, struct error *err)
{
	uint64_t from = clock_mono_us();
	atomic_store(&s->busy_since_ms, clock_mono_ms());
	for (size_t i = 0; i < b->n; i++)
		*b->items[i]->result = (struct store_result){ 0 };
	int rc = s->ops->commit(s, b, err);
	if (rc < 0)
		atomic_store(&s->busy_since_ms, 0);
	atomic_store(&s->healthy, rc != ERR_UNAVAILABLE && rc != ERR_UNKNOWN);
	if (s->batches) {
		metric_add(s->batches, 1);
		metric_observe_us(s->commit_time, clock_mono_us() - from);
	}
	return rc;
}

/* Answers those that waited too long for the database; keeps the others in order. */
static void give_up_old(struct store *s, struct store_batch *b, const struct error *err)
{
	uint64_t now = clock_mono_ms();
	bool all = is_closing(s) || atomic_load(&s->lost);
	size_t kept = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct store_item *it = b->items[i];
		if (all || now - it->sub->since_ms >= AWAY_MS)
			fail_all(s, &it, 1, ERR_UNAVAILABLE, err->msg);
		else
			b->items[kept++] = it;
	}
	b->n = kept;
}

/* 0 when it was committed, else its code; the batch may be empty afterwards. */
static int commit_patiently(struct store *s, struct store_batch *b, struct error *err)
{
	for (unsigned attempt = 0;; attempt++) {
		int rc = commit(s, b, err);
		if (rc != ERR_UNAVAILABLE)
			return rc;
		give_up_old(s, b, err);
		if (b->n == 0)
			return rc;
		uint64_t ms =
			store_backoff_ms(attempt, RETRY_BASE_MS, RETRY_MAX_MS, clock_random_u64());
		(void)poll(NULL, 0, (int)ms);
	}
}

static void finish_commit(struct store *s, struct store_batch *b)
{
	catch_up(s, b->base);
	if (store_rev(s) >= b->base && !atomic_load(&s->lost))
		deliver_own(s, b);
	atomic_store(&s->busy_since_ms, 0);
	answer_all(s, b->items, b->n);
}

static void run_batch(struct store *s, struct store_item **items, size_t n);

/* Nothing was done because of one of them: each by itself finds out which. */
static void run_one_by_one(struct store *s, struct store_batch *b)
{
	for (size_t i = 0; i < b->n;) {
		const struct store_sub *sub = b->items[i]->sub;
		size_t n = sub->atomic ? sub->n : 1;
		run_batch(s, &b->items[i], n);
		i += n;
	}
}

static void run_batch(struct store *s, struct store_item **items, size_t n)
{
	struct store_batch b = { .items = items, .n = n };
	struct error err = { 0 };
	int rc = commit_patiently(s, &b, &err);
	if (b.n == 0)
		return;
	size_t unit = b.items[0]->sub->atomic ? b.items[0]->sub->n : 1;
	s->uncertain |= rc == ERR_UNKNOWN;
	if (rc == 0)
		finish_commit(s, &b);
	else if (rc == ERR_UNKNOWN || rc == ERR_LIMIT || b.n == unit)
		fail_all(s, b.items, b.n, err.code, err.msg);
	else
		run_one_by_one(s, &b);
}

/* ---- the thread ---- */

static void compact_if_due(struct store *s)
{
	uint64_t now = clock_mono_ms();
	if (now < s->compact_at_ms)
		return;
	uint64_t each = s->cfg.history_ms / 16;
	s->compact_at_ms = now + (each < COMPACT_MIN_MS   ? COMPACT_MIN_MS
				  : each > COMPACT_MAX_MS ? COMPACT_MAX_MS
							  : each);
	pthread_mutex_lock(&s->delivering);
	struct store_history_limits l = { s->cfg.history_revs, s->cfg.history_ms,
					  s->cfg.history_bytes };
	int64_t target = store_history_target(&s->history, &l, now, store_rev(s));
	int64_t from = s->compacted;
	pthread_mutex_unlock(&s->delivering);
	if (target <= from || target == 0)
		return;
	/* A failure is tried again at the next turn; writes will say what is wrong. */
	struct error err = { 0 };
	int rc = s->ops->compact(s, target, &err);
	pthread_mutex_lock(&s->delivering);
	int64_t to = s->compacted;
	pthread_mutex_unlock(&s->delivering);
	if (rc == 0 && to > from && to < target)
		s->compact_at_ms = now + COMPACT_MIN_MS;
}

/* What became of a commit with an unknown outcome: its events are still owed. */
static void reconcile(struct store *s)
{
	struct error err = { 0 };
	if (s->uncertain && (!s->ops->reconcile || s->ops->reconcile(s, &err) == 0))
		s->uncertain = false;
}

static void sleep_until_woken(struct store *s)
{
	uint64_t now = clock_mono_ms();
	uint64_t ms = s->compact_at_ms > now ? s->compact_at_ms - now : 0;
	if (s->uncertain && ms > RETRY_MAX_MS)
		ms = RETRY_MAX_MS;
	struct pollfd fd = { s->wake_fd, POLLIN, 0 };
	eventfd_t n = 0;
	if (poll(&fd, 1, (int)ms) > 0)
		(void)eventfd_read(s->wake_fd, &n);
}

void *store_writer_run(void *arg)
{
	struct store *s = arg;
	for (;;) {
		pthread_mutex_lock(&s->lock);
		size_t n = take_batch(s);
		s->sleeping = n == 0;
		bool end = n == 0 && s->closing;
		pthread_mutex_unlock(&s->lock);
		if (end)
			return NULL;
		if (n == 0)
			sleep_until_woken(s);
		else if (atomic_load(&s->lost))
			fail_all(s, s->items, n, ERR_UNAVAILABLE, "the store must be opened again");
		else
			run_batch(s, s->items, n);
		reconcile(s);
		compact_if_due(s);
	}
}
