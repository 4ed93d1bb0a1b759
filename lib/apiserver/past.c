/*
 * What was: an extension of GET, out of the events that the cache keeps for watchers.
 *
 *   GET …/NAME?rctlHistory=true   the states of one object inside the window, oldest first: an ObjectHistory
 *   GET …/NAME?rctlAt=REV         the object as it was at that revision
 *   GET …?rctlAt=REV              the collection as it was, in any form that lists have (no pages)
 *
 * Both are the verbs get and list for the authorizer.  410 when REV lies before the window; docs/extensions.md.
 */
#include "apiserver/apiserver_priv.h"
#include "base/mem.h"
#include "text/url.h"

#include <stdlib.h>

static bool past_asked(struct req *r, const char *param, struct str *ret)
{
	*ret = url_query_get(&r->arena, r->route.query, param);
	return ret->len > 0;
}

int past_rev(struct req *r, int64_t *ret, struct error *err)
{
	struct str text;
	*ret = -1;
	if (!past_asked(r, "rctlAt", &text))
		return 0;
	if (!str_to_i64(text, ret) || *ret < 0)
		return error_set(err, ERR_BAD_REQUEST, "rctlAt: \"%.*s\" is no revision",
				 STR_ARG(str_sub(text, 0, 40)));
	return 0;
}

/* ---- one object ---- */

struct states {
	struct req *r;
	struct str key;
	struct buf out;
	size_t n;
};

static void put_state(struct states *s, const char *type, int64_t rev, struct watch_obj *o)
{
	struct bytes *b = object_bytes(s->r->kind, o);
	buf_addf(&s->out, "%s{\"type\":\"%s\",\"revision\":\"%lld\",\"object\":", s->n++ ? "," : "",
		 type, (long long)rev);
	buf_add_str(&s->out, bytes_str(b));
	buf_addc(&s->out, '}');
	bytes_unref(b);
}

static void on_state(void *arg, struct watch_event *e)
{
	static const char *const types[] = {
		[WATCH_ADDED] = "ADDED", [WATCH_MODIFIED] = "MODIFIED", [WATCH_DELETED] = "DELETED"
	};
	struct states *s = arg;
	if (!str_eq(watch_obj_key(e->obj), s->key))
		return;
	if (!s->n && e->prev) /* what the oldest event found */
		put_state(s, "BEFORE", watch_obj_rev(e->prev), e->prev);
	put_state(s, types[e->type], e->rev, e->obj);
}

static void answer_history(struct req *r)
{
	struct states s = { .r = r,
			    .key = object_key(&r->arena, r->kind, r->route.ns, r->route.name) };
	struct error err = { 0 };
	int64_t floor = watch_cache_floor(r->s->cache);
	int64_t to = 0;
	/* the window may move on between the two calls: then it is asked again */
	int rc = watch_replay(r->s->cache, floor, s.key, on_state, &s, &to, &err);
	if (rc == ERR_EXPIRED && r->tries++ < CONFLICT_RETRIES_MAX) {
		answer_history(r);
		return;
	}
	if (rc) {
		req_fail(r, &err);
		return;
	}
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	struct watch_obj *now = watch_snap_find(snap, s.key);
	if (!s.n && now)
		put_state(&s, "BEFORE", watch_obj_rev(now), now);
	watch_snap_unref(snap);
	if (!s.n) {
		req_fail_not_found(r, r->route.name);
		return;
	}
	struct buf all = { 0 };
	buf_addf(&all,
		 "{\"kind\":\"ObjectHistory\",\"apiVersion\":\"rctl.io/v1alpha1\",\"metadata\":{"
		 "\"resourceVersion\":\"%lld\"},\"oldestRevision\":\"%lld\",\"items\":[",
		 (long long)to, (long long)floor);
	buf_add_str(&all, buf_str(&s.out));
	buf_adds(&all, "]}\n");
	buf_fini(&s.out);
	req_reply_text(r, 200, "application/json", &all);
}

/* ---- a revision ---- */

/* The first event behind the revision tells what each key was before it. */
struct walk {
	struct str only; /* one key, or "" */
	struct map seen; /* keys that changed behind the revision */
	struct watch_obj **was;
	size_t len, cap;
	bool unknown; /* the state before is not kept: read from an old log */
};

static void on_event(void *arg, struct watch_event *e)
{
	struct walk *w = arg;
	struct str key = watch_obj_key(e->obj);
	if ((w->only.len && !str_eq(key, w->only)) || map_get(&w->seen, key))
		return;
	(void)map_set(&w->seen, key, w);
	w->unknown |= !e->prev && e->type != WATCH_ADDED;
	if (!e->prev)
		return;
	mem_grow(w->was, w->len, w->cap);
	w->was[w->len++] = watch_obj_ref(e->prev);
}

static bool take_unchanged(void *arg, struct watch_obj *o)
{
	struct walk *w = arg;
	if (!map_get(&w->seen, watch_obj_key(o))) {
		mem_grow(w->was, w->len, w->cap);
		w->was[w->len++] = watch_obj_ref(o);
	}
	return true;
}

static int by_key(const void *a, const void *b)
{
	return str_cmp(watch_obj_key(*(struct watch_obj *const *)a),
		       watch_obj_key(*(struct watch_obj *const *)b));
}

static void walk_fini(struct walk *w)
{
	for (size_t i = 0; i < w->len; i++)
		watch_obj_unref(w->was[i]);
	mem_free(w->was);
	map_fini(&w->seen);
}

/* Fills w with what was there at `rev`, in key order. */
static int gather(struct req *r, int64_t rev, struct str prefix, struct walk *w, struct error *err)
{
	int64_t to = 0;
	map_init(&w->seen, 0);
	/* taken first: a key that changed between is told by its event */
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	int rc = watch_replay(r->s->cache, rev, prefix, on_event, w, &to, err);
	if (rc == ERR_TIMEOUT)
		rc = error_set(err, ERR_BAD_REQUEST,
			       "rctlAt: revision %lld lies in the future, the newest is %lld",
			       (long long)rev, (long long)to);
	if (!rc && w->unknown)
		rc = error_set(err, ERR_EXPIRED,
			       "what was there at revision %lld is not known any more",
			       (long long)rev);
	if (!rc)
		watch_snap_walk(snap, prefix, prefix, take_unchanged, w);
	watch_snap_unref(snap);
	if (!rc && w->len)
		qsort(w->was, w->len, sizeof(struct watch_obj *), by_key);
	return rc;
}

int past_walk(struct req *r, int64_t rev, struct str prefix,
	      bool (*fn)(void *arg, struct watch_obj *o), void *arg, struct error *err)
{
	struct walk w = { 0 };
	int rc = gather(r, rev, prefix, &w, err);
	bool more = true;
	for (size_t i = 0; i < w.len && !rc && more; i++)
		more = fn(arg, w.was[i]);
	walk_fini(&w);
	return rc;
}

static void answer_at(struct req *r)
{
	struct error err = { 0 };
	int64_t rev = 0;
	struct walk w = { .only = object_key(&r->arena, r->kind, r->route.ns, r->route.name) };
	int rc = past_rev(r, &rev, &err);
	if (!rc)
		rc = gather(r, rev, w.only, &w, &err);
	struct watch_obj *found = NULL;
	for (size_t i = 0; i < w.len && !rc; i++)
		if (str_eq(watch_obj_key(w.was[i]), w.only))
			found = w.was[i];
	if (rc)
		req_fail(r, &err);
	else if (found)
		req_reply_object(r, 200, object_bytes(r->kind, found));
	else
		req_fail_not_found(r, r->route.name);
	walk_fini(&w);
}

bool past_get(struct req *r)
{
	struct str text;
	if (past_asked(r, "rctlAt", &text))
		req_when_fresh(r, answer_at);
	else if (past_asked(r, "rctlHistory", &text))
		req_when_fresh(r, answer_history);
	else
		return false;
	return true;
}
