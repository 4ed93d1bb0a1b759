#include "job.h"

#include "base/log.h"
#include "base/mem.h"
#include "json/json.h"

struct job {
	struct arena arena;
	struct job_list *list;
	struct ctl_queue *queue;
	struct str key;
	job_result_fn on_result;
	void *arg;
	unsigned pending; /* answers, and 1 until job_end */
	unsigned sent;
	bool failed;
};

struct effect {
	struct list link;
	struct job *job;
	struct client *client;
	struct client_call *call;
	struct client_informer *seen_by;
	const char *method; /* literal */
	const char *path;   /* in the job's arena, as all below */
	struct str where, body;
	bool (*managed)(const struct json *have); /* a create that looks first */
	bool look, shown;                         /* job_look */
};

void job_list_init(struct job_list *l)
{
	list_init(&l->effects);
}

struct job *job_new(struct job_list *l, struct ctl_queue *q, struct str key)
{
	struct job *j = mem_new(struct job, 1);
	j->list = l;
	j->queue = q;
	j->key = arena_str(&j->arena, key);
	j->pending = 1;
	return j;
}

struct arena *job_arena(struct job *j)
{
	return &j->arena;
}

unsigned job_sent(const struct job *j)
{
	return j->sent;
}

void job_fail(struct job *j)
{
	j->failed = true;
}

void job_on_result(struct job *j, job_result_fn fn, void *arg)
{
	j->on_result = fn;
	j->arg = arg;
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

static void finish(struct effect *e, int status, struct str body, const struct error *err)
{
	struct job *j = e->job;
	bool unknown = err && (err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE ||
			       err->code == ERR_UNKNOWN || err->code == ERR_INTERNAL);
	bool gone = status == 404 && str_is(str_of(e->method), "DELETE");
	if (!err && e->seen_by && status != 404) {
		int64_t rev = rev_of(body);
		if (rev > 0)
			ctl_expect(j->queue, j->key, e->seen_by, rev);
	} else if (unknown && e->seen_by && !e->where.len) { /* in clusters: see fleet_doubt */
		ctl_expect_unknown(j->queue, j->key, e->seen_by);
	}
	if (gone)
		err = NULL;
	if (err) {
		j->failed = true;
		if (err->code != ERR_CONFLICT)
			log_warn("effect-failed", "key", LOG_STR(j->key), "cluster",
				 LOG_STR(e->where), "method", LOG_S(e->method), "path",
				 LOG_S(e->path), "error", LOG_S(err->msg), NULL);
	}
	if (j->on_result && e->where.len && (!err || err->code != ERR_CONFLICT))
		j->on_result(j->arg, e->where, j->key, e->look, err);
	list_del(&e->link);
	mem_free(e);
	unpend(j);
}

static void on_done(void *arg, int status, struct str body, const struct error *err)
{
	struct effect *e = arg;
	e->call = NULL;
	finish(e, status, body, err);
}

static struct effect *effect_new(struct job *j, const struct job_effect *x, const char *method,
				 struct str body)
{
	struct effect *e = mem_new(struct effect, 1);
	e->job = j;
	e->client = x->client;
	e->seen_by = x->seen_by;
	e->method = method;
	e->path = arena_strdup(&j->arena, x->path);
	e->where = arena_str(&j->arena, x->where);
	e->body = body.p ? arena_str(&j->arena, body) : STR_NONE;
	list_append(&j->list->effects, &e->link);
	j->pending++;
	j->sent++;
	return e;
}

void job_send(struct job *j, const struct job_effect *x, const char *method, const char *type,
	      struct str body)
{
	struct effect *e = effect_new(j, x, method, body);
	e->call = client_send(e->client, &(struct client_request){ .method = method,
								   .path = e->path,
								   .content_type = type,
								   .body = e->body,
								   .done = on_done,
								   .arg = e });
}

void job_apply(struct job *j, const struct job_effect *x, struct str body)
{
	struct effect *e = effect_new(j, x, "PATCH", body);
	e->call = client_apply(e->client, e->path, e->body, true, on_done, e);
}

/* ---- creating ---- */

static void on_looked(void *arg, int status, struct str body, const struct error *err)
{
	struct effect *e = arg;
	e->call = NULL;
	struct error found = { 0 };
	if (status == 404) {
		e->method = "PATCH";
		e->call = client_apply(e->client, e->path, e->body, false, on_done, e);
		return;
	}
	if (!err) {
		struct arena a = { 0 };
		struct json have;
		bool ours = json_parse(&a, body, NULL, &have, NULL) == 0 && e->managed(&have);
		arena_fini(&a);
		(void)error_set(&found, ours ? ERR_CONFLICT : ERR_EXISTS, "%s %s", e->path,
				ours ? "is not in the cache yet"
				     : "exists there and is not managed by the fleet");
		err = &found;
	}
	finish(e, status, STR_NONE, err);
}

void job_create(struct job *j, const struct job_effect *x, struct str body,
		bool (*managed)(const struct json *have))
{
	struct effect *e = effect_new(j, x, "GET", body);
	e->managed = managed;
	e->call = client_send(
		e->client, &(struct client_request){
				   .method = "GET", .path = e->path, .done = on_looked, .arg = e });
}

static void on_seen(void *arg, int status, struct str body, const struct error *err)
{
	struct effect *e = arg;
	struct error behind = { 0 };
	e->call = NULL;
	if (status == 404) {
		if (e->shown)
			(void)error_set(&behind, ERR_CONFLICT, "%s is gone and still in the cache",
					e->path);
		err = e->shown ? &behind : NULL;
	}
	finish(e, status, body, err);
}

void job_look(struct job *j, const struct job_effect *x, bool shown)
{
	struct effect *e = effect_new(j, x, "GET", STR_NONE);
	e->look = true;
	e->shown = shown;
	e->call = client_send(
		e->client, &(struct client_request){
				   .method = "GET", .path = e->path, .done = on_seen, .arg = e });
}

/* ---- ends ---- */

void job_abandon(struct job_list *l, const struct client *client)
{
	struct error err = { 0 };
	(void)error_set(&err, ERR_UNKNOWN, "the connection was given up");
	list_for_each(it, &l->effects)
	{
		struct effect *e = list_entry(it, struct effect, link);
		if (e->client != client)
			continue;
		client_cancel(e->call);
		e->call = NULL;
		e->seen_by = NULL; /* its informer goes away too */
		finish(e, 0, STR_NONE, &err);
	}
}

void job_list_fini(struct job_list *l)
{
	list_for_each(it, &l->effects)
	{
		struct effect *e = list_entry(it, struct effect, link);
		struct job *j = e->job;
		client_cancel(e->call);
		list_del(&e->link);
		mem_free(e);
		if (--j->pending == 0) {
			arena_fini(&j->arena);
			mem_free(j);
		}
	}
}
