#include "store/store.h"

#include "base/mem.h"
#include "store/store_priv.h"
#include "sys/clock.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- submissions ---- */

/* RFC 3629 without NUL: what both databases keep as text and compare as bytes. */
static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.len;) {
		const uint8_t *p = (const uint8_t *)s.p + i;
		size_t n = p[0] < 0x80   ? 1
			   : p[0] < 0xc2 ? 0
			   : p[0] < 0xe0 ? 2
			   : p[0] < 0xf0 ? 3
					 : 4;
		if (p[0] == 0 || n == 0 || p[0] > 0xf4 || s.len - i < n)
			return false;
		for (size_t k = 1; k < n; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return false;
		}
		bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
		bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
		bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
		if (overlong || surrogate || beyond)
			return false;
		i += n;
	}
	return true;
}

static bool is_key(struct str s)
{
	return s.len >= 1 && s.len <= STORE_KEY_BYTES_MAX && is_text(s);
}

static bool is_fence(struct str s)
{
	return s.len == 0 || is_key(s);
}

static enum err_code check(const struct store *s, const struct store_write *w, const char **why)
{
	*why = "a key is 1 to 768 bytes of UTF-8";
	if (!is_key(w->key) || !is_fence(w->fence_key) || !is_fence(w->set_fence_key))
		return ERR_INVALID;
	*why = "the value is empty";
	if (!w->value || w->value->len == 0)
		return ERR_INVALID;
	*why = "the value is larger than the store takes";
	return w->value->len > s->cfg.value_bytes_max ? ERR_TOO_LARGE : ERR_OK;
}

static struct str copy_text(char **to, struct str s)
{
	struct str copy = { *to, s.len };
	if (s.len)
		memcpy(*to, s.p, s.len);
	*to += s.len;
	return copy;
}

static struct store_sub *new_sub(const struct store_write *w, size_t n, bool atomic)
{
	size_t text = 0;
	for (size_t i = 0; i < n; i++)
		text += w[i].key.len + w[i].fence_key.len + w[i].set_fence_key.len;
	struct store_sub *sub = mem_calloc(1, sizeof(*sub) + n * sizeof(sub->items[0]) +
						      n * sizeof(struct store_result) + text);
	sub->results = (struct store_result *)(void *)&sub->items[n];
	char *to = (char *)&sub->results[n];
	sub->n = sub->left = n;
	sub->atomic = atomic && n > 1;
	for (size_t i = 0; i < n; i++) {
		sub->items[i] = (struct store_item){
			.sub = sub,
			.op = w[i].op,
			.key = copy_text(&to, w[i].key),
			.fence_key = copy_text(&to, w[i].fence_key),
			.set_fence_key = copy_text(&to, w[i].set_fence_key),
			.want_rev = w[i].op == STORE_CREATE ? 0 : w[i].want_rev,
			.fence_token = w[i].fence_token,
			.set_fence_token = w[i].set_fence_token,
			.value = w[i].value ? bytes_ref(w[i].value) : NULL,
			.result = &sub->results[i],
		};
	}
	return sub;
}

void store_set_result(struct store_item *it, enum err_code code, const char *msg)
{
	it->result->code = code;
	it->result->rev = 0;
	(void)snprintf(it->result->msg, sizeof(it->result->msg), "%s", msg);
}

/* Answers at once, without the queue. */
static void refuse(struct store_sub *sub, enum err_code code, const char *why)
{
	for (size_t i = 0; i < sub->n; i++) {
		struct store_item *it = &sub->items[i];
		if (it->result->code == ERR_OK)
			store_set_result(it, code, why);
		bytes_unref(it->value);
	}
	sub->done(sub->arg, sub->results, sub->n);
	mem_free(sub);
}

static bool has_twins(const struct store_sub *sub)
{
	for (size_t i = 0; i < sub->n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (str_eq(sub->items[i].key, sub->items[k].key))
				return true;
		}
	}
	return false;
}

/* Marks what is broken; false when nothing of the submission can be queued. */
static bool admit(const struct store *s, struct store_sub *sub, const struct store_write *w)
{
	const char *why = NULL;
	size_t broken = 0;
	for (size_t i = 0; i < sub->n; i++) {
		enum err_code code = check(s, &w[i], &why);
		if (code == ERR_OK)
			continue;
		store_set_result(&sub->items[i], code, why);
		bytes_unref(sub->items[i].value);
		sub->items[i].value = NULL;
		broken++;
	}
	sub->left -= broken;
	return sub->left > 0 && !(sub->atomic && broken);
}

/* The whole submission or nothing enters the queue. */
static enum err_code enqueue(struct store *s, struct store_sub *sub)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < sub->n; i++)
		bytes += sub->items[i].result->code == ERR_OK ? sub->items[i].value->len : 0;
	if (atomic_load(&s->lost))
		return ERR_UNAVAILABLE;
	pthread_mutex_lock(&s->lock);
	assert(!s->closing);
	if (s->waiting + sub->left > s->cfg.queue_writes_max ||
	    (s->waiting && s->waiting_bytes + bytes > s->cfg.queue_bytes_max)) {
		pthread_mutex_unlock(&s->lock);
		return ERR_LIMIT;
	}
	s->waiting += sub->left;
	s->waiting_bytes += bytes;
	for (size_t i = 0; i < sub->n; i++) {
		struct store_item *it = &sub->items[i];
		if (it->result->code != ERR_OK)
			continue;
		*s->tail = it;
		s->tail = &it->next;
	}
	bool wake = s->sleeping;
	s->sleeping = false;
	pthread_mutex_unlock(&s->lock);
	if (wake)
		(void)eventfd_write(s->wake_fd, 1);
	return ERR_OK;
}

void store_submit(struct store *s, const struct store_write *writes, size_t n, bool atomic,
		  store_done_fn done, void *arg)
{
	assert(n >= 1 && n <= s->cfg.batch_writes_max);
	struct store_sub *sub = new_sub(writes, n, atomic);
	sub->done = done;
	sub->arg = arg;
	sub->since_ms = clock_mono_ms();
	if (!admit(s, sub, writes)) {
		refuse(sub, ERR_CONFLICT, "another write of the group is invalid");
		return;
	}
	if (sub->atomic && has_twins(sub)) {
		refuse(sub, ERR_INVALID, "a group writes a key twice");
		return;
	}
	enum err_code code = enqueue(s, sub);
	if (code == ERR_LIMIT)
		refuse(sub, code, "too many writes wait");
	else if (code < 0)
		refuse(sub, code, "the store must be opened again");
}

/* ---- state ---- */

int64_t store_rev(const struct store *s)
{
	return atomic_load_explicit(&s->delivered, memory_order_acquire);
}

bool store_is_shared(const struct store *s)
{
	return s->ops->shared;
}

void store_sync(struct store *s, void (*done)(void *arg, enum err_code code, int64_t rev),
		void *arg)
{
	if (atomic_load(&s->lost))
		done(arg, ERR_UNAVAILABLE, 0);
	else if (s->ops->sync)
		s->ops->sync(s, done, arg);
	else
		done(arg, ERR_OK, store_rev(s));
}

bool store_healthy(const struct store *s)
{
	enum { SLOW_MS = 10000 };
	uint64_t since = atomic_load(&s->busy_since_ms);
	bool stuck = since && clock_mono_ms() - since > SLOW_MS;
	return atomic_load(&s->healthy) && !atomic_load(&s->lost) && !stuck;
}

static int64_t count_waiting(void *arg)
{
	struct store *s = arg;
	pthread_mutex_lock(&s->lock);
	int64_t n = (int64_t)s->waiting;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static int64_t current_rev(void *arg)
{
	return store_rev(arg);
}

static void add_metrics(struct store *s, struct metrics *m)
{
	s->writes = metric_counter(m, "rctl_store_writes_total", "result=\"ok\"",
				   "Writes by their outcome");
	s->conflicts = metric_counter(m, "rctl_store_writes_total", "result=\"conflict\"",
				      "Writes by their outcome");
	s->failures = metric_counter(m, "rctl_store_writes_total", "result=\"error\"",
				     "Writes by their outcome");
	s->unknowns = metric_counter(m, "rctl_store_writes_total", "result=\"unknown\"",
				     "Writes by their outcome");
	s->batches = metric_counter(m, "rctl_store_batches_total", "", "Group commits");
	s->commit_time = metric_seconds(m, "rctl_store_commit_seconds", "",
					"Time of a group commit in the database");
	metric_gauge_fn(m, "rctl_store_waiting_writes", "", "Writes in the queue", count_waiting,
			s);
	metric_gauge_fn(m, "rctl_store_revision", "", "Last revision delivered", current_rev, s);
}

/* ---- opening and closing ---- */

static const struct store_ops *ops_of(const char *url)
{
	if (strcmp(url, "memory:") == 0)
		return &STORE_MEMORY;
	if (strncmp(url, "sqlite:", 7) == 0)
		return &STORE_SQLITE;
	if (strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0)
		return &STORE_POSTGRES;
	return NULL;
}

static void free_store(struct store *s)
{
	if (s->backend)
		s->ops->close(s);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->delivering);
	mem_free(s->marks);
	mem_free(s->items);
	mem_free(s->events);
	mem_free(s);
}

static struct store *new_store(const struct store_config *cfg, const struct store_ops *ops)
{
	struct store *s = mem_new(struct store, 1);
	s->cfg = *cfg;
	s->ops = ops;
	s->tail = &s->head;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->delivering, NULL);
	s->compacted = -1; /* what the database says first is news */
	s->marks = mem_new(struct store_marks, 1);
	s->marks->seed = clock_random_u64();
	s->items = mem_new(struct store_item *, cfg->batch_writes_max);
	s->events = mem_new(struct store_event, cfg->batch_writes_max);
	atomic_store(&s->healthy, true);
	if (cfg->metrics)
		add_metrics(s, cfg->metrics);
	return s;
}

static int start(struct store *s, struct error *err)
{
	int64_t rev = store_rev(s);
	s->cfg.handlers.on_events(s->cfg.handlers.arg, NULL, 0, rev);
	int rc = pthread_create(&s->writer, NULL, store_writer_run, s);
	return rc == 0 ? 0 : error_errno(err, ERR_INTERNAL, rc, "thread of the store");
}

static void stop(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_mutex_unlock(&s->lock);
	(void)eventfd_write(s->wake_fd, 1);
	(void)pthread_join(s->writer, NULL);
}

int store_open(const struct store_config *cfg, struct store **ret, struct error *err)
{
	assert(cfg->handlers.on_load && cfg->handlers.on_history && cfg->handlers.on_events);
	assert(cfg->batch_writes_max >= 1 && cfg->batch_writes_max <= 1024);
	const struct store_ops *ops = ops_of(cfg->url);
	if (!ops)
		return error_set(err, ERR_INVALID,
				 "a store's URL starts with sqlite:, postgres:// or is memory:");
	struct store *s = new_store(cfg, ops);
	int rc = s->wake_fd < 0 ? error_errno(err, ERR_INTERNAL, errno, "eventfd") : 0;
	if (rc == 0)
		rc = ops->open(s, err);
	if (rc < 0) {
		free_store(s);
		return error_wrap(err, "store");
	}
	rc = start(s, err);
	if (rc == 0 && ops->start) {
		rc = ops->start(s, err);
		if (rc < 0)
			stop(s);
	}
	if (rc < 0)
		free_store(s);
	else
		*ret = s;
	return rc;
}

struct store *store_close(struct store *s)
{
	if (s) {
		stop(s);
		free_store(s);
	}
	return NULL;
}
