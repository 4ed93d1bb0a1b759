#include "apiserver/atomic.h"

#include "base/mem.h"
#include "text/url.h"

#include <assert.h>
#include <string.h>

enum { RANKS = 3 };

struct atomic_item {
	struct atomic *t;
	struct str method, path, type, body;
	unsigned rank;
	bool named; /* by the client: nothing else can be tried when the name is taken */
	/* of the try under way */
	struct req *r; /* held; else NULL */
	req_fn next;
	struct store_write writes[1 + REQ_ALSO_MAX];
	size_t writes_len, first; /* first: index of the object's write in the submission */
	int status;
	struct str reply;
};

struct atomic {
	struct req *outer;
	struct shard *shard;
	struct atomic_item *items;
	size_t len;
	bool dry;
	/* the try under way */
	struct arena arena; /* notes and answers */
	struct atomic_note *notes;
	size_t notes_len, notes_cap;
	struct atomic_item *order[ATOMIC_REQUESTS_MAX];
	size_t at;       /* begun, in their order */
	bool stepping;   /* a step is posted */
	bool committing; /* all are settled; the submission is under way, or over */
	bool raced;      /* given up after so many lost races */
	int tries;
	struct store_write writes[ATOMIC_WRITES_MAX];
	struct store_result results[ATOMIC_WRITES_MAX];
	size_t writes_len;
};

static void step(void *arg);

/* ---- what the set is about to write ---- */

static void put_note(struct req *r, struct str key, const struct kind *k, const struct json *obj,
		     bool created)
{
	struct atomic *t = r->atomic->t;
	mem_grow(t->notes, t->notes_len, t->notes_cap);
	t->notes[t->notes_len++] = (struct atomic_note){ .key = arena_str(&t->arena, key),
							 .ns = arena_str(&t->arena, r->route.ns),
							 .kind = k,
							 .obj = obj,
							 .created = created };
}

void atomic_note(struct req *r, struct str key, const struct json *obj, bool old)
{
	if (!r->atomic)
		return;
	struct arena *a = &r->atomic->t->arena;
	for (size_t i = 0; i < r->also_len; i++) {
		struct json *along = arena_new(a, struct json, 1);
		struct str text = arena_str(a, bytes_str(r->also[i].value));
		if (json_parse(a, text, NULL, along, NULL) == 0)
			put_note(r, r->also[i].key, NULL, along, false);
	}
	struct json *copy = arena_new(a, struct json, 1);
	*copy = json_clone(a, obj);
	put_note(r, key, r->kind, copy, !old);
}

const struct atomic_note *atomic_note_at(const struct req *r, size_t i)
{
	const struct atomic *t = r->atomic ? r->atomic->t : NULL;
	return t && i < t->notes_len ? &t->notes[i] : NULL;
}

const struct json *atomic_pending(const struct req *r, struct str key)
{
	const struct json *found = NULL;
	const struct atomic_note *n;
	for (size_t i = 0; (n = atomic_note_at(r, i)) != NULL; i++)
		if (str_eq(n->key, key))
			found = n->obj;
	return found;
}

struct kind_set *atomic_kinds(const struct req *r)
{
	return r->atomic ? r->atomic->t->outer->kinds : NULL;
}

/* ---- inner requests ---- */

static void post_step(struct atomic *t)
{
	if (t->stepping)
		return;
	t->stepping = true;
	loop_post(t->shard->loop, step, t);
}

static void drop_held(struct atomic_item *it)
{
	if (!it->r)
		return;
	it->r->pending--;
	req_free(it->r);
	it->r = NULL;
}

void atomic_hold(struct req *r, const struct store_write *writes, size_t n, req_fn next)
{
	struct atomic_item *it = r->atomic;
	r->pending++;
	it->r = r;
	it->next = next;
	it->writes_len = n;
	for (size_t i = 0; i < n; i++)
		it->writes[i] = writes[i];
	post_step(it->t);
}

static void pass_warnings(struct req *from, struct req *to)
{
	for (size_t i = 0; i < from->warnings_len && to->warnings_len < REQ_WARNINGS_MAX; i++) {
		struct str w = from->warnings[i];
		bool there = to->warnings_bytes + w.len > WARNING_BYTES_MAX;
		for (size_t k = 0; k < to->warnings_len; k++)
			there |= str_eq(to->warnings[k], w);
		if (there)
			continue;
		to->warnings[to->warnings_len++] = arena_str(&to->arena, w);
		to->warnings_bytes += w.len;
	}
}

void atomic_answered(struct req *r, int status, struct str body)
{
	struct atomic_item *it = r->atomic;
	struct atomic *t = it->t;
	it->r = NULL;
	it->status = status;
	it->reply = arena_str(&t->arena, str_trim(body));
	pass_warnings(r, t->outer);
	if (!t->committing)
		post_step(t);
}

/* Only what is one write of one object can be held back. */
static bool allowed(struct req *r)
{
	struct atomic *t = r->atomic->t;
	struct str sub = r->route.subresource;
	bool verb = r->verb == VERB_CREATE || r->verb == VERB_UPDATE || r->verb == VERB_PATCH ||
		    r->verb == VERB_APPLY || r->verb == VERB_DELETE;
	if (r->program_route || !r->route.is_resource || !verb)
		req_failf(r, ERR_METHOD,
			  "only create, update, patch, apply and delete of one "
			  "object can be part of an atomic set");
	else if (sub.len && !str_is(sub, "status") && !str_is(sub, "scale"))
		req_failf(r, ERR_METHOD, "the subresource %.*s cannot be part of an atomic set",
			  STR_ARG(sub));
	else if (r->opt.dry_run && !t->dry)
		req_failf(r, ERR_BAD_REQUEST, "dryRun: the whole set is a dry run or none of it");
	else
		return true;
	return false;
}

static void begin(struct atomic_item *it)
{
	struct atomic *t = it->t;
	struct req *outer = t->outer;
	struct req *r = req_new(t->shard);
	ptrdiff_t q = str_find(it->path, '?', 0);
	r->inside = true;
	r->atomic = it;
	r->method = it->method;
	r->path = str_sub(it->path, 0, q < 0 ? it->path.len : (size_t)q);
	r->query = q < 0 ? STR_NONE : str_sub(it->path, (size_t)q + 1, it->path.len);
	r->content_type = it->type;
	r->body = it->body;
	r->agent = outer->agent;
	r->fence = outer->fence;
	r->user = outer->user;
	r->impersonator = outer->impersonator;
	r->pending++;
	req_headers(r);
	if (!r->answered && allowed(r)) {
		r->opt.dry_run = t->dry;
		req_dispatch(r);
	}
	r->pending--;
	if (r->answered && r->pending == 0)
		req_free(r);
}

/* ---- the submission ---- */

static void refuse(struct atomic_item *it, enum err_code code, const char *why)
{
	struct req *r = it->r;
	req_failf(r, code, "%s", why);
	r->pending--;
	req_free(r);
}

static struct store_write *find_write(struct atomic *t, struct str key)
{
	for (size_t i = 0; i < t->writes_len; i++)
		if (str_eq(t->writes[i].key, key))
			return &t->writes[i];
	return NULL;
}

static bool add_object(struct atomic_item *it)
{
	struct atomic *t = it->t;
	if (find_write(t, it->writes[0].key)) {
		refuse(it, ERR_BAD_REQUEST, "the set writes this object twice");
		return false;
	}
	it->first = t->writes_len;
	t->writes[t->writes_len++] = it->writes[0];
	return true;
}

/*
 * What goes along is made with all in mind that came before it, so the last one of a key
 * holds; and the set's own write of the key holds above all.
 */
static bool add_along(struct atomic_item *it, size_t objects)
{
	struct atomic *t = it->t;
	for (size_t i = 1; i < it->writes_len; i++) {
		struct store_write *w = find_write(t, it->writes[i].key);
		if (w && (size_t)(w - t->writes) < objects)
			continue;
		if (!w && t->writes_len == ATOMIC_WRITES_MAX) {
			refuse(it, ERR_TOO_LARGE, "the set changes too many quotas");
			return false;
		}
		if (!w)
			w = &t->writes[t->writes_len++];
		*w = it->writes[i];
	}
	return true;
}

static bool gather(struct atomic *t)
{
	t->writes_len = 0;
	for (size_t i = 0; i < t->len; i++)
		if (t->order[i]->r && !add_object(t->order[i]))
			return false;
	size_t objects = t->writes_len;
	for (size_t i = 0; i < t->len; i++)
		if (t->order[i]->r && !add_along(t->order[i], objects))
			return false;
	return true;
}

/* ---- the end ---- */

static bool is_failed(const struct atomic_item *it)
{
	return it->status >= 400;
}

static void put_items(const struct atomic *t, bool any_failed, struct buf *out)
{
	buf_adds(out, "[");
	for (size_t i = 0; i < t->len; i++) {
		const struct atomic_item *it = &t->items[i];
		buf_addf(out, "%s{\"code\":%d", i ? "," : "", it->status);
		/* Of a set that failed only why. */
		if (it->reply.len && (is_failed(it) || !any_failed)) {
			buf_adds(out, is_failed(it) ? ",\"status\":" : ",\"object\":");
			buf_add_str(out, it->reply);
		}
		buf_addc(out, '}');
	}
	buf_addc(out, ']');
}

static void reply_done(struct req *outer)
{
	struct atomic *t = outer->extra;
	struct buf out = { 0 };
	buf_adds(&out, "{\"kind\":\"AtomicResult\",\"apiVersion\":\"rctl.io/v1alpha1\",");
	if (t->writes_len)
		buf_addf(&out, "\"firstRevision\":\"%lld\",\"lastRevision\":\"%lld\",",
			 (long long)t->results[0].rev,
			 (long long)t->results[t->writes_len - 1].rev);
	buf_adds(&out, "\"items\":");
	put_items(t, false, &out);
	buf_adds(&out, "}\n");
	req_reply_text(outer, 200, "application/json", &out);
}

/* The Status of the first that failed, with the answers of all. */
static void reply_failed(struct req *outer, const struct atomic_item *first, size_t failed)
{
	struct atomic *t = outer->extra;
	struct arena *a = &outer->arena;
	struct json st = { 0 };
	struct buf items = { 0 }, out = { 0 };
	if (json_parse(a, first->reply, NULL, &st, NULL) || !json_is(&st, JSON_OBJECT))
		st = json_object();
	struct str why = json_str(json_getc(&st, "message"));
	json_setc(
		a, &st, "message",
		json_of_str(arena_strf(a,
				       "nothing was written: %zu of %zu requests failed; "
				       "requests[%zu]: %.*s",
				       failed, t->len, (size_t)(first - t->items), STR_ARG(why))));
	json_write(&out, &st);
	put_items(t, true, &items);
	out.len--; /* its closing brace */
	buf_addf(&out, ",\"items\":");
	buf_add_str(&out, buf_str(&items));
	buf_adds(&out, "}\n");
	buf_fini(&items);
	req_reply_text(outer, first->status, "application/json", &out);
}

static void reply(struct req *outer)
{
	struct atomic *t = outer->extra;
	const struct atomic_item *first = NULL;
	size_t failed = 0;
	for (size_t i = 0; i < t->len; i++) {
		if (!is_failed(&t->items[i]))
			continue;
		failed++;
		if (!first)
			first = &t->items[i];
	}
	if (t->raced)
		req_failf(outer, ERR_CONFLICT,
			  "nothing was written: others kept changing the same objects or quotas");
	else if (first)
		reply_failed(outer, first, failed);
	else
		reply_done(outer);
}

static void drop_all_held(struct atomic *t)
{
	for (size_t i = 0; i < t->len; i++)
		drop_held(&t->items[i]);
}

static void finish(struct atomic *t)
{
	drop_all_held(t);
	t->outer->next = reply;
	t->outer->sync_code = 0;
	req_resume(t->outer); /* t may be gone */
}

static void answer_held(struct atomic_item *it)
{
	struct req *r = it->r;
	r->result = it->t->results[it->first];
	r->next = it->next;
	r->sync_code = 0;
	req_resume(r);
	assert(!it->r);
}

/* The write that would fail again; NULL: a lost race. */
static struct atomic_item *culprit(struct atomic *t)
{
	for (size_t i = 0; i < t->len; i++) {
		struct atomic_item *it = &t->items[i];
		if (!it->r || t->results[it->first].code == 0)
			continue;
		const struct store_result *res = &t->results[it->first];
		bool race = (res->code == ERR_CONFLICT && !res->fenced) ||
			    (res->code == ERR_EXISTS && !it->named);
		if (!race)
			return it;
	}
	return NULL;
}

static void synced(void *arg, enum err_code code, int64_t rev)
{
	struct atomic *t = arg;
	(void)code; /* a store that is away says so to the next submission */
	(void)rev;
	loop_post(t->shard->loop, step, t);
}

static void begin_anew(struct atomic *t)
{
	drop_all_held(t);
	for (size_t i = 0; i < t->len; i++) {
		t->items[i].status = 0;
		t->items[i].reply = STR_NONE;
	}
	arena_fini(&t->arena);
	t->arena = (struct arena){ 0 };
	t->notes_len = t->writes_len = t->at = 0;
	t->committing = false;
	t->stepping = true;
	t->outer->warnings_len = t->outer->warnings_bytes = 0;
	store_sync(t->outer->s->store, synced, t);
}

static bool all_written(const struct atomic *t)
{
	for (size_t i = 0; i < t->writes_len; i++)
		if (t->results[i].code != 0)
			return false;
	return true;
}

static void stored(void *arg)
{
	struct atomic *t = arg;
	bool done = all_written(t);
	struct atomic_item *bad = done ? NULL : culprit(t);
	if (!done && !bad && t->tries++ < ATOMIC_RETRIES_MAX) {
		begin_anew(t);
		return;
	}
	t->raced = !done && !bad;
	if (bad)
		answer_held(bad);
	for (size_t i = 0; i < t->len && done; i++)
		if (t->items[i].r)
			answer_held(&t->items[i]);
	finish(t);
}

static void store_done(void *arg, const struct store_result *results, size_t n)
{
	struct atomic *t = arg;
	memcpy(t->results, results, n * sizeof(*results));
	loop_post(t->shard->loop, stored, t);
}

/* ---- one after the other ---- */

static void commit(struct atomic *t)
{
	bool failed = t->outer->gone || t->outer->answered;
	for (size_t i = 0; i < t->len; i++)
		failed |= is_failed(&t->items[i]);
	t->committing = true;
	if (failed || !gather(t) || t->writes_len == 0) {
		finish(t);
		return;
	}
	store_submit(t->outer->s->store, t->writes, t->writes_len, t->writes_len > 1, store_done,
		     t);
}

static void step(void *arg)
{
	struct atomic *t = arg;
	t->stepping = false;
	if (t->at < t->len && !t->outer->gone && !t->outer->answered)
		begin(t->order[t->at++]);
	else
		commit(t);
}

/* ---- what is asked ---- */

static unsigned rank_of(struct str path)
{
	static const char *const second[] = { "/resourcequotas", "/roles", "/clusterroles" };
	if (str_starts(path, STR("/api/v1/namespaces")) &&
	    str_find(str_sub(path, strlen("/api/v1/namespaces/"), path.len), '/', 0) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(second) / sizeof(*second); i++)
		if (str_find_str(path, str_of(second[i]), 0) >= 0)
			return 1;
	return RANKS - 1;
}

static int read_item(struct atomic *t, const struct json *j, struct atomic_item *it,
		     struct error *err)
{
	struct arena *a = &t->outer->arena;
	const struct json *body = json_getc(j, "body");
	*it = (struct atomic_item){ .t = t,
				    .method = json_str(json_getc(j, "method")),
				    .path = json_str(json_getc(j, "path")),
				    .type = json_str(json_getc(j, "contentType")) };
	if (!json_is(j, JSON_OBJECT) || !it->method.len || !str_starts(it->path, STR("/")))
		return error_set(err, ERR_BAD_REQUEST,
				 "requests[%zu]: must be an object with method and path",
				 (size_t)(it - t->items));
	if (body)
		it->body = json_text(a, body);
	it->type = content_type_of(a, it->type);
	it->named = str_is(it->method, "POST") &&
		    json_str(json_dig(body, "metadata", "name", NULL)).len;
	ptrdiff_t q = str_find(it->path, '?', 0);
	it->rank = rank_of(q < 0 ? it->path : str_sub(it->path, 0, (size_t)q));
	return 0;
}

static int read_set(struct atomic *t, const struct json *input, struct error *err)
{
	const struct json *list = json_getc(input, "requests");
	size_t n = json_len(list), at = 0;
	if (!json_is(list, JSON_ARRAY) || n == 0)
		return error_set(err, ERR_BAD_REQUEST, "requests: must be a list of requests");
	if (n > ATOMIC_REQUESTS_MAX)
		return error_set(err, ERR_TOO_LARGE, "requests: %zu are more than %d", n,
				 ATOMIC_REQUESTS_MAX);
	t->items = arena_new(&t->outer->arena, struct atomic_item, n);
	t->len = n;
	for (size_t i = 0; i < n; i++) {
		int rc = read_item(t, json_at(list, i), &t->items[i], err);
		if (rc)
			return rc;
	}
	for (unsigned rank = 0; rank < RANKS; rank++)
		for (size_t i = 0; i < n; i++)
			if (t->items[i].rank == rank)
				t->order[at++] = &t->items[i];
	return 0;
}

static void free_set(struct req *outer)
{
	struct atomic *t = outer->extra;
	arena_fini(&t->arena);
	mem_free(t->notes);
	mem_free(t);
}

void atomic_serve(struct req *r)
{
	struct json input = { 0 };
	struct error err = { 0 };
	if (!str_is(r->method, "POST")) {
		req_failf(r, ERR_METHOD, ATOMIC_PATH " takes POST only");
		return;
	}
	if (!write_read_tree(r, &input))
		return;
	if (r->duplicates_len) {
		req_failf(r, ERR_BAD_REQUEST, "duplicate field \"%.*s\"",
			  STR_ARG(r->duplicates[0]));
		return;
	}
	struct atomic *t = mem_calloc(1, sizeof(*t));
	struct str dry = url_query_get(&r->arena, r->query, "dryRun");
	t->outer = r;
	t->shard = r->shard;
	t->dry = str_is(dry, "All");
	r->extra = t;
	r->extra_fini = free_set;
	int rc = dry.len && !t->dry ? error_set(&err, ERR_BAD_REQUEST, "dryRun: must be All")
				    : read_set(t, &input, &err);
	if (rc) {
		req_fail(r, &err);
		return;
	}
	req_hold(r);
	post_step(t);
}
