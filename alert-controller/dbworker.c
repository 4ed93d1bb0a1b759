#include "dbworker.h"

#include "base/mem.h"

#include <assert.h>
#include <pthread.h>

enum what { CLAIM, COMMIT, PRUNE };

struct request {
	struct dbworker *worker; /* the loop's: NULL = nobody wants the answer any more */
	enum what what;
	struct arena arena; /* what the request points at, and what the answer does */
	struct str lease;
	int64_t number; /* token, epoch */
	int64_t before_ms;
	struct alert_batch batch;
	dbworker_fn done;
	void *arg;
	struct dbanswer answer;
};

struct dbworker {
	struct loop *loop;
	char *url;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct request *mailbox; /* one place; under the mutex */
	bool stop;               /* under the mutex */
	struct request *posted;  /* the loop's: under way */
	struct alert_db *db;     /* the thread's */
};

/* ---- the thread ---- */

static int work(struct dbworker *w, struct request *r)
{
	struct error *err = &r->answer.err;
	int rc = w->db ? 0 : alert_db_open(w->url, &w->db, err);
	if (rc)
		return rc;
	switch (r->what) {
	case CLAIM:
		return alert_db_claim(w->db, r->lease, r->number, &r->arena, &r->answer.image, err);
	case COMMIT:
		return alert_db_commit(w->db, r->number, &r->batch, err);
	case PRUNE:
		return alert_db_prune(w->db, r->number, r->before_ms, err);
	}
	return 0;
}

/* On the loop; also from loop_free(), when the worker is gone. */
static void answer(void *arg)
{
	struct request *r = arg;
	if (r->worker) {
		r->worker->posted = NULL;
		r->done(r->arg, &r->answer);
	}
	arena_fini(&r->arena);
	mem_free(r);
}

static void *run(void *arg)
{
	struct dbworker *w = arg;
	struct loop *loop = w->loop;
	for (;;) {
		pthread_mutex_lock(&w->mutex);
		while (!w->mailbox && !w->stop)
			pthread_cond_wait(&w->wake, &w->mutex);
		struct request *r = w->mailbox;
		w->mailbox = NULL;
		pthread_mutex_unlock(&w->mutex);
		if (!r)
			break;
		r->answer.rc = work(w, r);
		loop_post(loop, answer, r);
	}
	w->db = alert_db_close(w->db);
	return NULL;
}

/* ---- the loop ---- */

static void put(struct dbworker *w, struct request *r)
{
	pthread_mutex_lock(&w->mutex);
	assert(!w->mailbox);
	w->mailbox = r;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->mutex);
}

static struct request *request(struct dbworker *w, enum what what, dbworker_fn done, void *arg)
{
	assert(!w->posted);
	struct request *r = mem_new(struct request, 1);
	r->worker = w;
	r->what = what;
	r->done = done;
	r->arg = arg;
	w->posted = r;
	return r;
}

struct dbworker *dbworker_new(struct loop *l, const char *url)
{
	struct dbworker *w = mem_new(struct dbworker, 1);
	w->loop = l;
	w->url = mem_strdup(url);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->wake, NULL);
	if (pthread_create(&w->thread, NULL, run, w) != 0)
		mem_abort();
	return w;
}

struct dbworker *dbworker_free(struct dbworker *w)
{
	if (!w)
		return NULL;
	pthread_mutex_lock(&w->mutex);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->mutex);
	(void)pthread_join(w->thread, NULL);
	if (w->posted)
		w->posted->worker = NULL;
	pthread_mutex_destroy(&w->mutex);
	pthread_cond_destroy(&w->wake);
	mem_free(w->url);
	mem_free(w);
	return NULL;
}

void dbworker_claim(struct dbworker *w, struct str lease, int64_t token, dbworker_fn done,
		    void *arg)
{
	struct request *r = request(w, CLAIM, done, arg);
	r->lease = arena_str(&r->arena, lease);
	r->number = token;
	put(w, r);
}

void dbworker_commit(struct dbworker *w, int64_t epoch, const struct alert_batch *b,
		     struct arena *a, dbworker_fn done, void *arg)
{
	struct request *r = request(w, COMMIT, done, arg);
	r->arena = *a;
	arena_init(a);
	r->number = epoch;
	r->batch = *b;
	put(w, r);
}

void dbworker_prune(struct dbworker *w, int64_t epoch, int64_t before_ms, dbworker_fn done,
		    void *arg)
{
	struct request *r = request(w, PRUNE, done, arg);
	r->number = epoch;
	r->before_ms = before_ms;
	put(w, r);
}
