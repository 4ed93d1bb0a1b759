#include "base/mem.h"
#include "store/store_postgres.h"
#include "sys/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * A thread with a connection of its own: it hears of other servers' batches by
 * NOTIFY, asks for the counter when nothing is heard, and answers store_sync().
 * Its questions do not wait for the writer's commits.
 */

enum {
	POLL_MS = 200, /* without a notification */
	PEERS_EACH_MS = 1000,
	OWN_COMMIT_MS = 50, /* the writer delivers its own batch cheaper than we read it */
	RETRY_BASE_MS = 50,
	RETRY_MAX_MS = 2000,
};

struct waiter {
	struct waiter *next;
	void (*done)(void *arg, enum err_code code, int64_t rev);
	void *arg;
};

struct store_follower {
	struct store *s;
	struct sql *db;
	char session[512];
	pthread_t thread;
	int wake_fd;
	_Atomic bool stopping;

	pthread_mutex_t lock;
	struct waiter *waiters;

	/* the thread's */
	bool heard; /* a notification of another store */
	uint64_t poll_at_ms, peers_at_ms;
};

static void on_note(void *arg, struct str channel, struct str payload)
{
	struct store_follower *f = arg;
	const struct postgres *q = f->s->backend;
	(void)channel;
	if (!str_is(payload, q->id))
		f->heard = true;
}

/* ---- questions of others ---- */

void pg_follow_sync(struct store *s, void (*done)(void *, enum err_code, int64_t), void *arg)
{
	struct postgres *q = s->backend;
	struct store_follower *f = q->follower;
	struct waiter *w = mem_new(struct waiter, 1);
	*w = (struct waiter){ .done = done, .arg = arg };
	pthread_mutex_lock(&f->lock);
	bool first = !f->waiters;
	w->next = f->waiters;
	f->waiters = w;
	pthread_mutex_unlock(&f->lock);
	if (first)
		(void)eventfd_write(f->wake_fd, 1);
}

static struct waiter *take_waiters(struct store_follower *f)
{
	pthread_mutex_lock(&f->lock);
	struct waiter *w = f->waiters;
	f->waiters = NULL;
	pthread_mutex_unlock(&f->lock);
	return w;
}

static void answer_waiters(struct store_follower *f, struct waiter *w, enum err_code code,
			   int64_t rev)
{
	if (!w)
		return;
	pthread_mutex_lock(&f->s->delivering);
	while (w) {
		struct waiter *next = w->next;
		w->done(w->arg, code, rev);
		mem_free(w);
		w = next;
	}
	pthread_mutex_unlock(&f->s->delivering);
}

/* ---- following ---- */

static int wait_some(struct store_follower *f, int ms, struct error *err)
{
	int rc = sql_wait(f->db, f->wake_fd, ms, on_note, f, err);
	eventfd_t n = 0;
	(void)eventfd_read(f->wake_fd, &n);
	return rc;
}

/* What the counter says may be the writer's batch, whose answer is on its way. */
static int wait_for_own(struct store_follower *f, int64_t rev, struct error *err)
{
	uint64_t end = clock_mono_ms() + OWN_COMMIT_MS;
	int rc = 0;
	while (rc == 0 && store_rev(f->s) < rev && atomic_load(&f->s->busy_since_ms) &&
	       clock_mono_ms() < end)
		rc = wait_some(f, 1, err);
	return rc;
}

/* Everything that was committed before the call is delivered after it. */
static int follow(struct store_follower *f, int64_t *ret_rev, struct error *err)
{
	struct store *s = f->s;
	struct pg_meta m = { 0 };
	f->heard = false;
	f->poll_at_ms = clock_mono_ms() + POLL_MS;
	int64_t before = store_rev(s);
	int rc = pg_read_meta(f->db, &m, err);
	if (rc < 0)
		return rc;
	if (m.rev < before) {
		store_lose(s, "the database went back behind what this server had told of");
		return error_set(err, ERR_EXPIRED, "the counter went back");
	}
	rc = wait_for_own(f, m.rev, err);
	if (rc == 0 && store_rev(s) < m.rev)
		rc = pg_catch_up(s, f->db, m.rev, err);
	if (rc == 0) {
		store_compacted(s, m.compact_rev);
		*ret_rev = m.rev;
	}
	return rc;
}

static int peers_row(void *arg, const struct sql_value *v, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	*(int64_t *)arg = v[0].i;
	return 0;
}

/* A batch notifies only while somebody else listens: a tenth of its cost. */
static int look_for_peers(struct store_follower *f, struct error *err)
{
	uint64_t now = clock_mono_ms();
	if (now < f->peers_at_ms)
		return 0;
	f->peers_at_ms = now + PEERS_EACH_MS;
	struct postgres *q = f->s->backend;
	struct sql_value v = sql_text(str_of(q->channel));
	int64_t n = 0;
	int rc = sql_exec(f->db,
			  "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
			  " AND database = (SELECT oid FROM pg_database"
			  " WHERE datname = current_database())"
			  " AND classid = 7226 AND objid = hashtext($1)::bit(32)::bigint::oid",
			  &v, 1, peers_row, &n, NULL, err);
	if (rc == 0)
		atomic_store_explicit(&q->notify, n > 1, memory_order_relaxed);
	return rc;
}

static bool has_waiters(struct store_follower *f)
{
	pthread_mutex_lock(&f->lock);
	bool has = f->waiters != NULL;
	pthread_mutex_unlock(&f->lock);
	return has;
}

static int turn(struct store_follower *f, struct error *err)
{
	uint64_t now = clock_mono_ms();
	int ms = now < f->poll_at_ms ? (int)(f->poll_at_ms - now) : 0;
	int rc = 0;
	if (!f->heard && !has_waiters(f))
		rc = wait_some(f, ms, err);
	if (rc == 0)
		rc = look_for_peers(f, err);
	if (rc < 0 || atomic_load(&f->stopping))
		return rc;
	struct waiter *w = take_waiters(f);
	if (!w && !f->heard && clock_mono_ms() < f->poll_at_ms)
		return 0;
	int64_t rev = 0;
	rc = follow(f, &rev, err);
	answer_waiters(f, w, rc < 0 ? ERR_UNAVAILABLE : ERR_OK, rev);
	return rc;
}

/* The connection is gone: nobody is kept waiting for the next try. */
static void rest(struct store_follower *f, unsigned attempt)
{
	answer_waiters(f, take_waiters(f), ERR_UNAVAILABLE, 0);
	uint64_t ms = store_backoff_ms(attempt, RETRY_BASE_MS, RETRY_MAX_MS, clock_random_u64());
	struct pollfd fd = { f->wake_fd, POLLIN, 0 };
	eventfd_t n = 0;
	uint64_t end = clock_mono_ms() + ms;
	while (!atomic_load(&f->stopping) && clock_mono_ms() < end) {
		if (poll(&fd, 1, (int)(end - clock_mono_ms())) > 0)
			(void)eventfd_read(f->wake_fd, &n);
		answer_waiters(f, take_waiters(f), ERR_UNAVAILABLE, 0);
	}
}

static void *run(void *arg)
{
	struct store_follower *f = arg;
	unsigned attempt = 0;
	while (!atomic_load(&f->stopping)) {
		struct error err = { 0 };
		struct pg_meta m = { 0 };
		int rc = turn(f, &err);
		if (rc == 0) {
			attempt = 0;
			continue;
		}
		rest(f, attempt++);
		(void)pg_read_meta(f->db, &m,
				   &err); /* connects again; the next turn says how it went */
	}
	answer_waiters(f, take_waiters(f), ERR_UNAVAILABLE, 0);
	return NULL;
}

static int connect_follower(struct store_follower *f, struct error *err)
{
	const struct postgres *q = f->s->backend;
	(void)snprintf(f->session, sizeof(f->session),
		       "SET statement_timeout = 0; SET idle_session_timeout = 0;"
		       "SET plan_cache_mode = force_generic_plan; SET jit = off;"
		       "SET enable_seqscan = off; LISTEN \"%s\";"
		       "SELECT pg_advisory_lock_shared(7226, hashtext('%s'))",
		       q->channel, q->channel);
	int rc = sql_open(f->s->cfg.url, &f->db, err);
	return rc < 0 ? rc : sql_session(f->db, f->session, err);
}

static void free_follower(struct store_follower *f)
{
	(void)sql_close(f->db);
	if (f->wake_fd >= 0)
		(void)close(f->wake_fd);
	pthread_mutex_destroy(&f->lock);
	mem_free(f);
}

int pg_follow_start(struct store *s, struct error *err)
{
	struct postgres *q = s->backend;
	struct store_follower *f = mem_new(struct store_follower, 1);
	f->s = s;
	pthread_mutex_init(&f->lock, NULL);
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = f->wake_fd < 0 ? error_errno(err, ERR_INTERNAL, errno, "eventfd")
				: connect_follower(f, err);
	if (rc == 0) {
		rc = -pthread_create(&f->thread, NULL, run, f);
		if (rc < 0)
			rc = error_errno(err, ERR_INTERNAL, -rc, "thread of the store");
	}
	if (rc < 0)
		free_follower(f);
	else
		q->follower = f;
	return rc;
}

void pg_follow_stop(struct store *s)
{
	struct postgres *q = s->backend;
	struct store_follower *f = q->follower;
	if (!f)
		return;
	atomic_store(&f->stopping, true);
	(void)eventfd_write(f->wake_fd, 1);
	(void)pthread_join(f->thread, NULL);
	free_follower(f);
}
