/*
 * Watches.  Those of one loop that ask the same form one group: each batch of
 * events is filtered and encoded once for a group, and its members share the
 * bytes.  A watch starts by itself (initial state, or the events since its
 * revision) and joins its group at the revision where that ended.
 */
#include "apiserver/apiserver_priv.h"
#include "base/mem.h"
#include "sys/clock.h"

#include <assert.h>

enum {
	BOOKMARK_MS = 60000,
	/* A line this long goes out as it is; shorter ones are gathered. */
	GATHER_BYTES_MAX = 64 << 10,
};

/* Groups of one resource. */
struct watch_set {
	struct list groups;
};

struct group {
	struct list link;
	struct watch_set *set;
	struct str id, prefix;
	struct req proto; /* kind, options and form: what object_form() wants to know */
	struct arena arena;
	struct select select;
	struct list members;
	/* while a batch passes */
	struct buf text;
	struct http_body lines;
};

struct watcher {
	struct list link; /* in group->members */
	struct req *r;
	struct group *group;
	int64_t rev;          /* everything up to here was written */
	int64_t bookmark_rev; /* last one sent */
	uint64_t bookmark_ms, end_ms;
};

/* ---- one event in one form ---- */

static bool event_type(const struct group *g, const struct watch_event *e, enum watch_type *ret)
{
	bool now = select_match(&g->select, e->obj);
	if (e->type == WATCH_ADDED || e->type == WATCH_DELETED) {
		*ret = e->type;
		if (e->type == WATCH_DELETED && e->prev)
			return select_match(&g->select, e->prev);
		return now;
	}
	bool before = e->prev ? select_match(&g->select, e->prev) : true;
	*ret = now ? (before ? WATCH_MODIFIED : WATCH_ADDED) : WATCH_DELETED;
	return now || before;
}

static const char *const type_names[] = { "ADDED", "MODIFIED", "DELETED" };

static struct bytes *form_line(const struct group *g, enum watch_type type, struct str json)
{
	struct buf out = { 0 };
	buf_addf(&out, "{\"type\":\"%s\",\"object\":", type_names[type]);
	object_form(&g->proto, json, &out);
	buf_adds(&out, "}\n");
	struct bytes *b = bytes_of_str(buf_str(&out));
	buf_fini(&out);
	return b;
}

/* The object inside a line {"type":"ADDED","object":…}\n */
static struct str line_object(const struct bytes *line, enum watch_type type)
{
	size_t head = strlen("{\"type\":\"\",\"object\":") + strlen(type_names[type]);
	return str_sub(bytes_str(line), head, line->len - 2);
}

static struct bytes *event_line(const struct group *g, struct watch_event *e, enum watch_type type)
{
	struct bytes *line = watch_event_line(e, type);
	struct str json = line_object(line, type);
	bool foreign = object_is_foreign(g->proto.kind, json);
	if (g->proto.accept.as == AS_OBJECT && !foreign)
		return line;
	struct bytes *own = foreign ? object_in_version(g->proto.kind, json) : NULL;
	struct bytes *formed = form_line(g, type, own ? bytes_str(own) : json);
	bytes_unref(own);
	bytes_unref(line);
	return formed;
}

static void add_line(struct group *g, struct bytes *line)
{
	if (line->len < GATHER_BYTES_MAX) {
		buf_add_str(&g->text, bytes_str(line));
		bytes_unref(line);
		if (g->text.len < GATHER_BYTES_MAX)
			return;
		line = NULL;
	}
	if (g->text.len)
		http_body_give(&g->lines, bytes_of_str(buf_str(&g->text)));
	buf_clear(&g->text);
	if (line)
		http_body_give(&g->lines, line);
}

static void finish_lines(struct group *g)
{
	if (g->text.len)
		http_body_give(&g->lines, bytes_of_str(buf_str(&g->text)));
	buf_clear(&g->text);
}

/* ---- groups ---- */

static struct str group_id(struct req *r, struct str prefix)
{
	const struct options *o = &r->opt;
	return arena_strf(&r->arena, "%.*s|%.*s|%zu:%.*s|%zu:%.*s|%d%d|%.*s", STR_ARG(prefix),
			  STR_ARG(r->kind->api_version), o->label_selector.len,
			  STR_ARG(o->label_selector), o->field_selector.len,
			  STR_ARG(o->field_selector), r->accept.as, r->accept.v1beta1,
			  STR_ARG(o->include_object));
}

static struct group *group_new(struct req *r, struct watch_set *set, struct str id,
			       struct str prefix)
{
	struct group *g = mem_new(struct group, 1);
	struct arena *a = &g->arena;
	g->set = set;
	g->id = arena_str(a, id);
	g->prefix = arena_str(a, prefix);
	g->proto.kinds = kind_set_ref(r->kinds);
	g->proto.kind = r->kind;
	g->proto.accept = r->accept;
	g->proto.opt.include_object = arena_str(a, r->opt.include_object);
	struct options o = { .label_selector = arena_str(a, r->opt.label_selector),
			     .field_selector = arena_str(a, r->opt.field_selector) };
	int rc = select_parse(a, r->kind, &o, &g->select, NULL);
	assert(rc == 0);
	list_init(&g->members);
	list_append(&set->groups, &g->link);
	return g;
}

static void group_free(struct group *g)
{
	list_del(&g->link);
	kind_set_unref(g->proto.kinds);
	buf_fini(&g->text);
	http_body_fini(&g->lines);
	arena_fini(&g->arena);
	mem_free(g);
}

static struct group *group_get(struct req *r, struct str prefix)
{
	struct shard *sh = r->shard;
	struct watch_set *set = map_get(&sh->watching, r->kind->resource_key);
	if (!set) {
		set = mem_new(struct watch_set, 1);
		list_init(&set->groups);
		map_set(&sh->watching, r->kind->resource_key, set);
	}
	struct str id = group_id(r, prefix);
	list_for_each(it, &set->groups)
	{
		struct group *g = list_entry(it, struct group, link);
		/* A changed definition makes a new group even when the words are the same. */
		if (str_eq(g->id, id) && g->proto.kind == r->kind)
			return g;
	}
	return group_new(r, set, id, prefix);
}

void watch_closed(struct req *r)
{
	struct watcher *w = r->extra;
	if (!w)
		return;
	r->extra = NULL;
	list_del(&w->link);
	if (list_empty(&w->group->members))
		group_free(w->group);
	mem_free(w);
}

void watch_shard_fini(struct shard *sh)
{
	size_t pos = 0;
	struct str key;
	void *set;
	while (map_next(&sh->watching, &pos, &key, &set)) {
		struct watch_set *s = set;
		assert(list_empty(&s->groups));
		mem_free(s);
	}
	map_fini(&sh->watching);
}

/* ---- batches ---- */

static void write_member(struct watcher *w, struct http_body *lines)
{
	for (size_t i = lines->at; i < lines->len; i++) {
		const struct http_piece *p = lines->pieces ? &lines->pieces[i] : &lines->few[i];
		if (!http_write(w->r->http, p->owner)) {
			metric_add(w->r->s->cut, 1);
			return;
		}
	}
}

/* A member whose start reached into this batch gets the rest of it by itself. */
static void write_partly(struct watcher *w, const struct batch *b)
{
	struct group *g = w->group;
	for (size_t i = 0; i < b->len; i++) {
		enum watch_type type;
		if (b->ev[i]->rev <= w->rev ||
		    !str_starts(watch_obj_key(b->ev[i]->obj), g->prefix) ||
		    !event_type(g, b->ev[i], &type))
			continue;
		struct bytes *line = event_line(g, b->ev[i], type);
		(void)http_write(w->r->http, line);
		bytes_unref(line);
	}
}

static void group_batch(struct group *g, const struct batch *b, size_t from, size_t to)
{
	/* First revision of the batch: members at or above it started inside. */
	int64_t first = b->ev[0]->rev;
	for (size_t i = from; i < to; i++) {
		enum watch_type type;
		if (str_starts(watch_obj_key(b->ev[i]->obj), g->prefix) &&
		    event_type(g, b->ev[i], &type))
			add_line(g, event_line(g, b->ev[i], type));
	}
	finish_lines(g);
	list_for_each(it, &g->members)
	{
		struct watcher *w = list_entry(it, struct watcher, link);
		if (w->rev >= b->rev)
			continue;
		if (w->rev >= first)
			write_partly(w, b);
		else if (g->lines.len)
			write_member(w, &g->lines);
		w->rev = b->rev;
	}
	http_body_fini(&g->lines);
	g->lines = (struct http_body){ 0 };
}

static void end_undefined(struct shard *sh);

static struct str resource_of(struct str key)
{
	ptrdiff_t slash = str_find(key, '/', 0);
	slash = slash < 0 ? -1 : str_find(key, '/', (size_t)slash + 1);
	return slash < 0 ? key : str_sub(key, 0, (size_t)slash);
}

void watch_shard_batch(struct shard *sh, const struct batch *b)
{
	sh->rev = b->rev;
	bool definitions = false;
	/* Resources that the batch touches, each once: a batch is small and mostly of one. */
	for (size_t i = 0; i < b->len; i++) {
		struct str res = resource_of(watch_obj_key(b->ev[i]->obj));
		bool seen = false;
		definitions |= kinds_is_crd_key(watch_obj_key(b->ev[i]->obj));
		for (size_t j = 0; j < i && !seen; j++)
			seen = str_eq(resource_of(watch_obj_key(b->ev[j]->obj)), res);
		struct watch_set *set = seen ? NULL : map_get(&sh->watching, res);
		if (!set)
			continue;
		list_for_each(it, &set->groups)
			group_batch(list_entry(it, struct group, link), b, i, b->len);
	}
	if (definitions)
		end_undefined(sh);
}

/* ---- bookmarks and ends ---- */

static void write_text(struct req *r, struct buf *text)
{
	struct bytes *b = bytes_of_str(buf_str(text));
	(void)http_write(r->http, b);
	bytes_unref(b);
	buf_fini(text);
}

static void write_bookmark(struct watcher *w, int64_t rev, bool initial_end)
{
	struct req *r = w->r;
	struct buf out = { 0 };
	buf_adds(&out, "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":");
	switch (r->accept.as) {
	case AS_OBJECT:
		json_write_str(&out, r->kind->kind);
		buf_adds(&out, ",\"apiVersion\":");
		json_write_str(&out, r->kind->api_version);
		break;
	case AS_PARTIAL:
		buf_addf(&out, "\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/%s\"",
			 accept_version(&r->accept));
		break;
	case AS_TABLE:
		buf_addf(&out,
			 "\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"columnDefinitions\":[],"
			 "\"rows\":[]",
			 accept_version(&r->accept));
		break;
	}
	buf_addf(&out, ",\"metadata\":{\"resourceVersion\":\"%lld\"%s}}}\n", (long long)rev,
		 initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
	w->bookmark_rev = rev;
	w->bookmark_ms = loop_now_ms(r->shard->loop);
	write_text(r, &out);
}

/*
 * What the watcher has seen for certain: the shard's revision once all of its
 * batches up to there passed, or what it read itself at its start.
 */
static int64_t seen_rev(const struct watcher *w)
{
	return w->r->shard->rev > w->rev ? w->r->shard->rev : w->rev;
}

static void end_watch(struct watcher *w)
{
	if (w->r->opt.bookmarks && seen_rev(w) > w->bookmark_rev)
		write_bookmark(w, seen_rev(w), false);
	http_end(w->r->http);
}

/* Whether the kind is served as it was when the request found it. */
static bool still_defined(const struct kind_set *kinds, const struct kind *k)
{
	return k->builtin || kind_find(kinds, k->group, k->version, k->plural) == k;
}

/* Watches of a definition that is gone or has changed end: their clients list anew, or learn of the end. */
static void end_undefined(struct shard *sh)
{
	struct kind_set *kinds = kinds_get(sh->s);
	list_for_each(it, &sh->streams)
	{
		struct req *r = list_entry(it, struct req, link);
		struct watcher *w = r->extra;
		if (!w || !r->http || still_defined(kinds, r->kind))
			continue;
		end_watch(w);
		list_del(&r->link);
	}
	kind_set_unref(kinds);
}

void watch_shard_tick(struct shard *sh)
{
	uint64_t now = loop_now_ms(sh->loop);
	list_for_each(it, &sh->streams)
	{
		struct req *r = list_entry(it, struct req, link);
		struct watcher *w = r->extra;
		if (!w || !r->http)
			continue;
		if (now >= w->end_ms) {
			end_watch(w);
			list_del(&r->link);
		} else if (r->opt.bookmarks && now - w->bookmark_ms >= BOOKMARK_MS &&
			   seen_rev(w) > w->bookmark_rev) {
			write_bookmark(w, seen_rev(w), false);
		}
	}
}

void watch_stop(struct req *r)
{
	struct watcher *w = r->extra;
	if (w && r->http)
		end_watch(w);
}

/* ---- the start ---- */

static void write_error(struct req *r, const struct error *err)
{
	struct buf out = { 0 };
	buf_adds(&out, "{\"type\":\"ERROR\",\"object\":");
	struct status st = { .code = err->code, .message = str_of(err->msg) };
	status_write(&out, &st);
	out.len--; /* its line break */
	buf_adds(&out, "}\n");
	write_text(r, &out);
	http_end(r->http);
}

static bool add_initial(void *arg, struct watch_obj *o)
{
	struct group *g = arg;
	if (!select_match(&g->select, o))
		return true;
	struct bytes *own = object_bytes(g->proto.kind, o);
	add_line(g, form_line(g, WATCH_ADDED, bytes_str(own)));
	bytes_unref(own);
	return true;
}

static void add_replayed(void *arg, struct watch_event *e)
{
	struct group *g = arg;
	enum watch_type type;
	if (event_type(g, e, &type))
		add_line(g, event_line(g, e, type));
}

static int gather_start(struct req *r, struct group *g, int64_t *ret_rev, struct error *err)
{
	if (r->opt.resource_version > 0 && !r->opt.send_initial)
		return watch_replay(r->s->cache, r->opt.resource_version, g->prefix, add_replayed,
				    g, ret_rev, err);
	struct watch_snap *snap = watch_snap_get(r->s->cache);
	*ret_rev = watch_snap_rev(snap);
	/* sendInitialEvents=false with no revision: only what comes from now on. */
	if (!r->opt.send_initial_given || r->opt.send_initial)
		watch_snap_walk(snap, g->prefix, g->prefix, add_initial, g);
	watch_snap_unref(snap);
	return 0;
}

static uint64_t end_time(struct req *r)
{
	uint64_t now = loop_now_ms(r->shard->loop);
	uint64_t longest = (uint64_t)r->s->cfg.watch_timeout_ms;
	uint64_t asked = (uint64_t)r->opt.timeout_s * 1000;
	if (asked && asked < 2 * longest)
		return now + asked;
	/* Spread, so that watches that began together do not come back together. */
	return now + longest + clock_random_u64() % (longest + 1);
}

/* The definition may have changed while the request waited; from here on batches tell of it. */
static bool kind_current(struct req *r)
{
	struct kind_set *kinds = kinds_get(r->s);
	bool same = still_defined(kinds, r->kind);
	kind_set_unref(kinds);
	if (!same)
		req_failf(r, ERR_UNAVAILABLE, "the definition of the resource has just changed");
	return same;
}

static void start(struct req *r)
{
	struct error err = { 0 };
	struct select check;
	if (!kind_current(r))
		return;
	if (select_parse(&r->arena, r->kind, &r->opt, &check, &err)) {
		req_fail(r, &err);
		return;
	}
	struct group *g = group_get(r, object_prefix(&r->arena, r->kind, r->route.ns));
	struct watcher *w = mem_new(struct watcher, 1);
	*w = (struct watcher){ .r = r, .group = g, .end_ms = end_time(r) };
	w->bookmark_ms = loop_now_ms(r->shard->loop);
	list_append(&g->members, &w->link);
	r->extra = w;
	list_append(&r->shard->streams, &r->link);
	int rc = gather_start(r, g, &w->rev, &err);
	finish_lines(g);
	req_begin_stream(r, "application/json");
	if (rc) {
		http_body_fini(&g->lines);
		write_error(r, &err);
	} else {
		(void)http_write_body(r->http, &g->lines);
		if (r->opt.send_initial && r->opt.bookmarks)
			write_bookmark(w, w->rev, true);
	}
	g->lines = (struct http_body){ 0 };
}

void verb_watch(struct req *r)
{
	const struct options *o = &r->opt;
	if (r->inside) {
		req_failf(r, ERR_METHOD, "a watch needs a connection");
		return;
	}
	if (o->resource_version > 0)
		req_when_rev(r, o->resource_version, start);
	else if (o->resource_version == 0)
		start(r);
	else
		req_when_fresh(r, start);
}
