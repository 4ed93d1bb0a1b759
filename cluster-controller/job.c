#include "job.h"

#include "base/log.h"
#include "base/mem.h"

struct job {
	struct arena arena;
	struct ctl_queue *queue;
	struct client *client;
	struct str key;
	unsigned pending; /* answers, and 1 until job_end */
	bool failed;
};

struct effect {
	struct job *job;
	struct client_informer *seen_by;
	const char *method; /* literal */
};

struct job *job_new(struct ctl_queue *q, struct str key, struct client *client)
{
	struct job *j = mem_new(struct job, 1);
	j->queue = q;
	j->client = client;
	j->key = arena_str(&j->arena, key);
	j->pending = 1;
	return j;
}

struct arena *job_arena(struct job *j)
{
	return &j->arena;
}

void job_fail(struct job *j)
{
	j->failed = true;
}

static void unpend(struct job *j)
{
	if (--j->pending)
		return;
	ctl_done(j->queue, j->key, !j->failed);
	arena_fini(&j->arena);
	mem_free(j);
}

void job_end(struct job *j)
{
	unpend(j);
}

static int64_t rev_of(struct str body)
{
	struct arena a = { 0 };
	struct json obj;
	int64_t rev = 0;
	if (json_parse(&a, body, NULL, &obj, NULL) == 0)
		(void)str_to_i64(json_str(json_dig(&obj, "metadata", "resourceVersion", NULL)),
				 &rev);
	arena_fini(&a);
	return rev;
}

static void on_done(void *arg, int status, struct str body, const struct error *err)
{
	struct effect *e = arg;
	struct job *j = e->job;
	bool unknown = err && (err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE ||
			       err->code == ERR_UNKNOWN || err->code == ERR_INTERNAL);
	if (!err && e->seen_by) {
		int64_t rev = rev_of(body);
		if (rev > 0)
			ctl_expect(j->queue, j->key, e->seen_by, rev);
	} else if (unknown && e->seen_by) {
		ctl_expect_unknown(j->queue, j->key, e->seen_by);
	}
	bool gone = status == 404 && str_is(str_of(e->method), "DELETE");
	if (err && !gone) {
		j->failed = true;
		if (err->code != ERR_CONFLICT)
			log_warn("effect-failed", "key", LOG_STR(j->key), "method",
				 LOG_S(e->method), "error", LOG_S(err->msg), NULL);
	}
	mem_free(e);
	unpend(j);
}

struct question {
	struct job *job;
	void (*then)(struct job *j, void *arg, const struct json *obj);
	void *arg;
};

static void on_answer(void *arg, int status, struct str body, const struct error *err)
{
	struct question *q = arg;
	struct json obj;
	if (!err && json_parse(&q->job->arena, body, NULL, &obj, NULL) == 0)
		q->then(q->job, q->arg, &obj);
	else if (status != 404)
		job_fail(q->job);
	unpend(q->job);
	mem_free(q);
}

void job_ask(struct job *j, const char *path,
	     void (*then)(struct job *j, void *arg, const struct json *obj), void *arg)
{
	struct question *q = mem_new(struct question, 1);
	*q = (struct question){ j, then, arg };
	j->pending++;
	(void)client_send(j->client,
			  &(struct client_request){
				  .method = "GET", .path = path, .done = on_answer, .arg = q });
}

void job_send(struct job *j, const char *method, const char *path, const char *type,
	      struct str body, struct client_informer *seen_by)
{
	struct effect *e = mem_new(struct effect, 1);
	e->job = j;
	e->seen_by = seen_by;
	e->method = method;
	j->pending++;
	(void)client_send(j->client, &(struct client_request){ .method = method,
							       .path = path,
							       .content_type = type,
							       .body = body,
							       .done = on_done,
							       .arg = e });
}
