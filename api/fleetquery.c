#include "fleetquery.h"

#include "apiserver/relay.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "fetch/fetch.h"
#include "fleetmerge.h"
#include "http/server.h"
#include "json/json.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "telemetry/ask.h"
#include "telemetry/promql_spread.h"
#include "text/url.h"
#include "watch/watch.h"

#include <inttypes.h>
#include <pthread.h>

enum {
	CONNECT_MS = 2000,
	EVALUATE_MS = 10000, /* for what is done here, behind the answers */
	REPLY_BYTES_MAX = 64 << 20,
	GET_BYTES_MAX = 2000, /* a longer question is posted */
	HEADERS_MAX = AUTH_GROUPS_MAX + 4,
};

struct fleetquery {
	struct fleetquery_config cfg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list waiting; /* under lock: struct asked, answers complete */
	size_t waiting_len;  /* under lock */
	bool stop;           /* under lock */
};

/* A cluster that is asked. */
struct member {
	struct str name;
	struct label labels[2];
	struct labels place;
	struct passage_target to;
	bool out; /* it did not answer: why */
	char why[200];
};

/* One part at one cluster. */
struct question {
	struct asked *asked;
	struct member *member;
	struct str path, form; /* form: posted */
	size_t next;           /* endpoint */
	struct fetch_call *call;
	struct buf reply;
};

struct asked {
	struct list link;
	struct fleetquery *f;
	struct arena arena;
	struct mstore_ask ask;
	struct error err;
	struct relay *relay;
	bool gone, busy; /* busy: on the thread, or on its way back */
	bool answered;
	const char *path; /* of a cluster's API, for what is no PromQL */
	struct str params;
	struct fetch_header headers[HEADERS_MAX];
	size_t headers_len;
	struct member *members;
	size_t members_len;
	struct promql *promql;
	struct promql_range range;
	struct promql_part *parts;
	size_t parts_len;
	struct question *questions; /* [members][parts] */
	size_t open;
	size_t bytes;
	uint64_t deadline_ms; /* of the answers, then of the evaluation */
	struct buf out;       /* the member "data", and those beside it */
};

static size_t questions_len(const struct asked *a)
{
	return a->questions ? a->members_len * a->parts_len : 0;
}

static void asked_free(struct asked *a)
{
	for (size_t i = 0; i < questions_len(a); i++) {
		if (a->questions[i].call)
			fetch_cancel(a->questions[i].call);
		buf_fini(&a->questions[i].reply);
	}
	if (a->relay)
		relay_done(a->relay);
	promql_free(a->promql);
	buf_fini(&a->out);
	arena_fini(&a->arena);
	mem_free(a);
}

/* ---- the answer ---- */

static void answer(struct asked *a)
{
	struct buf b = { 0 };
	a->answered = true;
	if (a->gone) {
		asked_free(a);
		return;
	}
	const struct error *err = a->err.code ? &a->err : NULL;
	relay_begin(a->relay, ask_write(err, buf_str(&a->out), &b), STR("application/json"));
	relay_write(a->relay, buf_str(&b));
	relay_end(a->relay);
	buf_fini(&b);
}

/* The reasons of clusters that are left out, and the notes of the evaluation. */
static void write_notes(struct asked *a, const struct promql_result *r)
{
	static const char *const key[] = { "infos", "warnings" };
	for (int warning = 1; warning >= 0; warning--) {
		size_t n = 0;
		for (size_t i = 0; warning && i < a->members_len; i++) {
			struct buf text = { 0 };
			if (!a->members[i].out)
				continue;
			buf_addf(&a->out, n++ ? "," : ",\"%s\":[", key[warning]);
			buf_addf(&text, "cluster %.*s is left out: %s", STR_ARG(a->members[i].name),
				 a->members[i].why);
			json_write_str(&a->out, buf_str(&text));
			buf_fini(&text);
		}
		for (size_t i = 0; r && i < r->notes_len; i++) {
			if (r->notes[i].warning != (warning == 1))
				continue;
			buf_addf(&a->out, n++ ? "," : ",\"%s\":[", key[warning]);
			json_write_str(&a->out, r->notes[i].text);
		}
		buf_adds(&a->out, n ? "]" : "");
	}
}

static bool is_late(void *arg)
{
	const struct asked *a = arg;
	return clock_mono_ms() > a->deadline_ms;
}

static int evaluate(struct asked *a, struct error *err)
{
	struct promql_gather *g = promql_gather_new(a->parts, a->parts_len);
	struct promql_result r;
	struct arena arena = { 0 };
	const struct promql_limits limits = { .samples_max = a->f->cfg.samples_max,
					      .bytes_max = a->f->cfg.bytes_max,
					      .late = is_late,
					      .arg = a };
	int rc = 0;
	for (size_t i = 0; !rc && i < questions_len(a); i++) {
		struct question *q = &a->questions[i];
		if (q->member->out)
			continue;
		rc = promql_gather_add(g, i % a->parts_len, q->member->place, buf_str(&q->reply),
				       err);
		buf_fini(&q->reply);
		q->reply = (struct buf){ 0 };
		if (rc)
			(void)error_wrap(err, "cluster %.*s", STR_ARG(q->member->name));
	}
	const struct promql_source src = promql_gather_source(g);
	if (!rc && a->ask.kind == MSTORE_RANGE)
		rc = promql_eval_range(a->promql, &a->range, &src, &limits, &arena, &r, err);
	else if (!rc)
		rc = promql_eval(a->promql, a->range.start_ms, &src, &limits, &arena, &r, err);
	if (!rc) {
		bool cut = a->ask.limit > 0 && r.len > (size_t)a->ask.limit;
		r.len = cut ? (size_t)a->ask.limit : r.len;
		promql_write_json(&r, &a->out);
		write_notes(a, &r);
	}
	promql_gather_free(g);
	arena_fini(&arena);
	return rc;
}

static int merge(struct asked *a, struct error *err)
{
	struct fleetmerge_answer *v = mem_new(struct fleetmerge_answer, a->members_len + 1);
	size_t n = 0;
	for (size_t i = 0; i < questions_len(a); i++)
		if (!a->questions[i].member->out)
			v[n++] = (struct fleetmerge_answer){ a->questions[i].member->place,
							     buf_str(&a->questions[i].reply) };
	int rc = fleetmerge(&a->ask, v, n, &a->out, err);
	mem_free(v);
	if (!rc)
		write_notes(a, NULL);
	return rc;
}

static void put_together(struct asked *a)
{
	if (a->promql)
		(void)!evaluate(a, &a->err);
	else
		(void)!merge(a, &a->err);
	/* What a cluster answers is no fault of who asks. */
	if (a->err.code == ERR_BAD_REQUEST && !a->promql)
		a->err.code = ERR_UNAVAILABLE;
}

/* ---- the thread ---- */

static void deliver(void *arg)
{
	struct asked *a = arg;
	a->busy = false;
	answer(a);
}

static struct asked *next_asked(struct fleetquery *f)
{
	struct asked *a = NULL;
	(void)pthread_mutex_lock(&f->lock);
	while (list_empty(&f->waiting) && !f->stop)
		(void)pthread_cond_wait(&f->wake, &f->lock);
	if (!list_empty(&f->waiting)) {
		a = list_entry(f->waiting.next, struct asked, link);
		list_del(&a->link);
		f->waiting_len--;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return a;
}

static void *worker(void *arg)
{
	struct fleetquery *f = arg;
	struct asked *a;
	while ((a = next_asked(f))) {
		put_together(a);
		loop_post(f->cfg.loop, deliver, a);
	}
	return NULL;
}

/* All clusters answered, or were given up. */
static void complete(struct asked *a)
{
	struct fleetquery *f = a->f;
	size_t out = 0;
	for (size_t i = 0; i < a->members_len; i++)
		out += a->members[i].out;
	if (!a->err.code && out && out == a->members_len)
		(void)error_set(&a->err, ERR_UNAVAILABLE, "no cluster answers; %.*s: %s",
				STR_ARG(a->members[0].name), a->members[0].why);
	if (a->err.code) {
		answer(a);
		return;
	}
	a->deadline_ms = clock_mono_ms() + EVALUATE_MS;
	(void)pthread_mutex_lock(&f->lock);
	bool room = f->waiting_len < FLEETQUERY_WAITING_MAX;
	if (room) {
		a->busy = true;
		list_append(&f->waiting, &a->link);
		f->waiting_len++;
		(void)pthread_cond_signal(&f->wake);
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (room)
		return;
	(void)error_set(&a->err, ERR_UNAVAILABLE, "too many queries wait");
	answer(a);
}

/* ---- clusters ---- */

static void leave_out(struct member *m, const char *why)
{
	if (!m->out)
		(void)snprintf(m->why, sizeof(m->why), "%.190s", why);
	m->out = true;
}

/* The words of an error answer. */
static void error_text(struct str reply, int status, char *out, size_t size)
{
	struct arena a = { 0 };
	struct json doc;
	struct str text = STR("");
	if (json_parse(&a, reply, NULL, &doc, NULL) == 0) {
		text = json_str(json_getc(&doc, "error"));
		if (!text.len)
			text = json_str(json_getc(&doc, "message"));
	}
	if (text.len)
		(void)snprintf(out, size, "%.*s", STR_ARG(str_sub(text, 0, size - 1)));
	else
		(void)snprintf(out, size, "it answers %d", status);
	arena_fini(&a);
}

static void take_reply(struct question *q, int status, struct str reply)
{
	struct asked *a = q->asked;
	char text[160];
	if (status == 200) {
		a->bytes += reply.len;
		if (a->bytes > FLEETQUERY_BYTES_MAX)
			(void)error_set(&a->err, ERR_LIMIT,
					"the answers of the clusters are too large");
		else
			buf_add_str(&q->reply, reply);
		return;
	}
	error_text(reply, status, text, sizeof(text));
	/* About the question itself: all clusters would say so. */
	if ((status == 400 || status == 422) && !a->err.code)
		(void)error_set(&a->err, status == 400 ? ERR_BAD_REQUEST : ERR_INVALID,
				"cluster %.*s: %s", STR_ARG(q->member->name), text);
	leave_out(q->member, text);
}

static void attempt(struct question *q);

static void on_done(void *arg, int status, struct str reply, const struct error *err)
{
	struct question *q = arg;
	struct asked *a = q->asked;
	q->call = NULL;
	if (err && err->code == ERR_UNAVAILABLE && q->next < q->member->to.endpoints_len &&
	    !is_late(a)) {
		attempt(q);
		return;
	}
	if (err)
		leave_out(q->member, err->msg);
	else
		take_reply(q, status, reply);
	if (--a->open == 0)
		complete(a);
}

static void attempt(struct question *q)
{
	struct asked *a = q->asked;
	struct buf url = { 0 };
	uint64_t now = clock_mono_ms();
	buf_adds(&url, q->member->to.endpoints[q->next++]);
	while (url.len && url.p[url.len - 1] == '/')
		url.len--;
	buf_add_str(&url, q->path);
	q->call = fetch_send(forward_fetch(a->f->cfg.forward),
			     &(struct fetch_request){
				     .method = q->form.len ? "POST" : "GET",
				     .url = buf_cstr(&url),
				     .identity = &q->member->to.identity,
				     .headers = a->headers,
				     .headers_len = a->headers_len - (q->form.len ? 0 : 1),
				     .body = q->form.len ? q->form : STR_NONE,
				     .timeout_ms = a->deadline_ms > now ? a->deadline_ms - now : 1,
				     .connect_ms = CONNECT_MS,
				     .reply_bytes_max = REPLY_BYTES_MAX,
				     .on_done = on_done,
				     .arg = q,
			     });
	buf_fini(&url);
}

static void add_time(struct buf *b, const char *key, int64_t ms)
{
	char text[48];
	(void)snprintf(text, sizeof(text), "%s%" PRIu64 ".%03u", ms < 0 ? "-" : "",
		       (ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms) / 1000,
		       (unsigned)((ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms) % 1000));
	url_query_add(b, 0, str_of(key), str_of(text));
}

/* What each cluster is asked for a part. */
static void write_question(struct asked *a, size_t part, struct str *path, struct str *form)
{
	struct buf b = { 0 };
	const char *where = a->path;
	if (a->promql) {
		const struct promql_part *p = &a->parts[part];
		where = p->instant ? "/api/v1/query" : "/api/v1/query_range";
		url_query_add(&b, 0, STR("query"), p->text);
		add_time(&b, p->instant ? "time" : "start", p->range.start_ms);
		if (!p->instant) {
			add_time(&b, "end", p->range.end_ms);
			add_time(&b, "step", p->range.step_ms);
		}
	} else {
		buf_add_str(&b, a->params);
	}
	bool post = b.len > GET_BYTES_MAX;
	*form = post ? arena_str(&a->arena, buf_str(&b)) : STR_NONE;
	*path = post || !b.len ? arena_str(&a->arena, str_of(where))
			       : arena_strf(&a->arena, "%s?%.*s", where, STR_ARG(buf_str(&b)));
	buf_fini(&b);
}

static void send_all(struct asked *a)
{
	a->questions = arena_new(&a->arena, struct question, a->members_len * a->parts_len + 1);
	for (size_t k = 0; k < a->parts_len; k++) {
		struct str path, form;
		write_question(a, k, &path, &form);
		for (size_t i = 0; i < a->members_len; i++)
			a->questions[i * a->parts_len + k] = (struct question){
				.asked = a, .member = &a->members[i], .path = path, .form = form
			};
	}
	for (size_t i = 0; i < questions_len(a); i++)
		a->open += !a->questions[i].member->out;
	size_t sent = a->open;
	for (size_t i = 0; i < questions_len(a); i++)
		if (!a->questions[i].member->out)
			attempt(&a->questions[i]);
	if (!sent)
		complete(a);
}

static int take_apart(struct asked *a)
{
	struct mstore_ask *ask = &a->ask;
	int rc = promql_parse(ask->text, &a->promql, &a->err);
	if (rc)
		return rc;
	int64_t now = clock_unix_ms();
	a->range = (struct promql_range){ ask->time_given ? ask->time_ms : now, 0, 0 };
	if (ask->kind == MSTORE_RANGE)
		a->range = (struct promql_range){ ask->start_ms, ask->end_ms, ask->step_ms };
	return promql_spread(a->promql, &a->range, &a->arena, &a->parts, &a->parts_len, &a->err);
}

static void on_start(struct relay *r, void *data)
{
	struct asked *a = data;
	int64_t ms = a->f->cfg.timeout_ms;
	a->relay = r;
	if (a->ask.timeout_ms > 0 && a->ask.timeout_ms < ms)
		ms = a->ask.timeout_ms;
	a->deadline_ms = clock_mono_ms() + (uint64_t)ms;
	bool promql = a->ask.kind == MSTORE_QUERY || a->ask.kind == MSTORE_RANGE;
	a->parts_len = 1;
	if (a->err.code || (promql && take_apart(a) != 0))
		answer(a);
	else
		send_all(a);
}

static void on_gone(struct relay *r, void *data)
{
	struct asked *a = data;
	(void)r;
	a->gone = true;
	if (!a->busy)
		asked_free(a);
}

/* ---- requests ---- */

static bool on_cluster(void *arg, struct watch_obj *o)
{
	struct asked *a = arg;
	struct json doc;
	struct error err = { 0 };
	struct member *m = &a->members[a->members_len];
	if (json_parse(&a->arena, arena_str(&a->arena, watch_obj_json(o)), NULL, &doc, NULL) != 0)
		return true;
	a->members_len++;
	m->name = json_str(json_dig(&doc, "metadata", "name", NULL));
	m->labels[0] = (struct label){ STR("cluster"), m->name };
	m->labels[1] =
		(struct label){ STR("region"), json_str(json_dig(&doc, "spec", "region", NULL)) };
	m->place = (struct labels){ m->labels, m->labels[1].value.len ? 2 : 1 };
	if (forward_target(a->f->cfg.forward, &a->arena, &doc, &m->to, &err) != 0)
		leave_out(m, err.msg);
	return a->members_len < FLEETQUERY_CLUSTERS_MAX;
}

static void add_header(struct asked *a, const char *name, struct str value)
{
	if (value.len && a->headers_len + 1 < HEADERS_MAX)
		a->headers[a->headers_len++] =
			(struct fetch_header){ name, arena_str(&a->arena, value).p };
}

static void copy_caller(struct asked *a, const struct apiserver_info *info)
{
	add_header(a, "Impersonate-User", info->user->name);
	for (size_t i = 0; i < info->user->groups_len; i++)
		if (!str_is(info->user->groups[i], "system:authenticated"))
			add_header(a, "Impersonate-Group", info->user->groups[i]);
	/* the last: sent with a form alone */
	add_header(a, "Content-Type", STR("application/x-www-form-urlencoded"));
}

static int read_request(struct asked *a, enum mstore_kind kind, struct http_request *req,
			const struct apiserver_info *info, struct error *err)
{
	struct str form, type = http_request_header(req, "content-type");
	int rc = ask_form(req->method, type, req->body, &form, err);
	if (rc)
		return rc;
	const struct ask_request r = { kind, info->path_rest, info->query, form };
	const char *amp = r.query.len && r.form.len ? "&" : "";
	a->params = arena_strf(&a->arena, "%.*s%s%.*s", STR_ARG(r.query), amp, STR_ARG(r.form));
	a->path = arena_str(&a->arena, req->path).p;
	return ask_read(&a->arena, &r, &a->ask, err);
}

static void serve(struct fleetquery *f, enum mstore_kind kind, struct http_request *req,
		  const struct apiserver_info *info)
{
	static const struct relay_handlers on = { .start = on_start, .gone = on_gone };
	struct asked *a = mem_new(struct asked, 1);
	a->f = f;
	copy_caller(a, info);
	if (read_request(a, kind, req, info, &a->err) == 0) {
		struct watch_snap *snap = watch_snap_get(apiserver_cache(f->cfg.api));
		struct str prefix = STR("topology.rctl.io/clusters/");
		size_t n = watch_snap_count(snap, prefix);
		n = n < FLEETQUERY_CLUSTERS_MAX ? n : FLEETQUERY_CLUSTERS_MAX;
		a->members = arena_new(&a->arena, struct member, n + 1);
		if (n)
			watch_snap_walk(snap, prefix, STR(""), on_cluster, a);
		watch_snap_unref(snap);
	}
	relay_new(req, f->cfg.loop, &on, a);
}

#define SERVE(name, kind) \
	static void serve_##name(void *arg, struct http_request *req, \
				 const struct apiserver_info *info) \
	{ \
		serve(arg, kind, req, info); \
	}
SERVE(query, MSTORE_QUERY)
SERVE(range, MSTORE_RANGE)
SERVE(labels, MSTORE_LABELS)
SERVE(values, MSTORE_VALUES)
SERVE(series, MSTORE_SERIES)
SERVE(metadata, MSTORE_METADATA)

struct fleetquery *fleetquery_new(const struct fleetquery_config *cfg)
{
	struct fleetquery *f = mem_new(struct fleetquery, 1);
	const struct {
		const char *prefix;
		bool exact;
		void (*fn)(void *arg, struct http_request *req, const struct apiserver_info *info);
	} routes[] = {
		{ "/api/v1/query", true, serve_query },
		{ "/api/v1/query_range", true, serve_range },
		{ "/api/v1/labels", true, serve_labels },
		{ "/api/v1/label/", false, serve_values },
		{ "/api/v1/series", true, serve_series },
		{ "/api/v1/metadata", true, serve_metadata },
	};
	f->cfg = *cfg;
	list_init(&f->waiting);
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->wake, NULL);
	if (pthread_create(&f->thread, NULL, worker, f) != 0)
		mem_abort();
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct apiserver_route r = { .prefix = routes[i].prefix,
						   .exact = routes[i].exact,
						   .body = true,
						   .fn = routes[i].fn,
						   .closed = relay_closed,
						   .drained = relay_drained,
						   .arg = f };
		apiserver_add_route(cfg->api, &r);
	}
	return f;
}

struct fleetquery *fleetquery_free(struct fleetquery *f)
{
	if (!f)
		return NULL;
	(void)pthread_mutex_lock(&f->lock);
	f->stop = true;
	(void)pthread_cond_signal(&f->wake);
	(void)pthread_mutex_unlock(&f->lock);
	(void)pthread_join(f->thread, NULL);
	loop_turn(f->cfg.loop, 0); /* answers that are on their way free their requests */
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_mutex_destroy(&f->lock);
	mem_free(f);
	return NULL;
}
