/* What a node is to run, out of the watch cache: the whole when it connects, then the difference of each batch. */
#include "agents_priv.h"
#include "base/buf.h"
#include "base/mem.h"
#include "grpc/message.h"
#include "json/json.h"
#include "podrefs.h"

#include <inttypes.h>
#include <stdio.h>

enum { MESSAGE_BYTES = 1 << 20, ITEMS_MAX = 4096 };

/* An Assignment being filled; flushed when it grows. */
struct filler {
	struct session *s;
	struct arena arena;
	bool full;
	int64_t rev;
	size_t bytes;
	Rctl__Agent__V1__PodAssignment *pods[ITEMS_MAX];
	Rctl__Agent__V1__PodRemoval *removals[ITEMS_MAX];
	Rctl__Agent__V1__ConfigObject *configs[ITEMS_MAX];
	Rctl__Agent__V1__ConfigRef *config_removals[ITEMS_MAX];
	size_t pods_len, removals_len, configs_len, config_removals_len;
};

static struct filler *filler_new(struct session *s, bool full, int64_t rev)
{
	struct filler *f = mem_new(struct filler, 1);
	f->s = s;
	f->full = full;
	f->rev = rev;
	return f;
}

static void flush(struct filler *f, bool more)
{
	Rctl__Agent__V1__Assignment as = RCTL__AGENT__V1__ASSIGNMENT__INIT;
	char rev[24];
	(void)snprintf(rev, sizeof(rev), "%" PRId64, f->rev);
	as.full = f->full;
	as.more = more;
	as.revision = rev;
	as.pods = f->pods;
	as.n_pods = f->pods_len;
	as.removals = f->removals;
	as.n_removals = f->removals_len;
	as.configs = f->configs;
	as.n_configs = f->configs_len;
	as.config_removals = f->config_removals;
	as.n_config_removals = f->config_removals_len;
	Rctl__Agent__V1__ServerMessage m = RCTL__AGENT__V1__SERVER_MESSAGE__INIT;
	m.kind_case = RCTL__AGENT__V1__SERVER_MESSAGE__KIND_ASSIGNMENT;
	m.assignment = &as;
	session_send(f->s, &m);
	f->pods_len = f->removals_len = f->configs_len = f->config_removals_len = f->bytes = 0;
	arena_fini(&f->arena);
}

static void filler_end(struct filler *f)
{
	if (f->full || f->pods_len || f->removals_len || f->configs_len || f->config_removals_len)
		flush(f, false);
	arena_fini(&f->arena);
	mem_free(f);
}

static char *cstr(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);
	if (s.len)
		memcpy(p, s.p, s.len);
	return p;
}

static char *rev_text(struct arena *a, int64_t rev)
{
	return arena_printf(a, "%" PRId64, rev);
}

/* Pieces of a message are counted by their size; a message that is full goes out as one of several. */
static void count(struct filler *f, size_t bytes)
{
	f->bytes += bytes + 128;
	if (f->bytes > MESSAGE_BYTES || f->pods_len == ITEMS_MAX || f->removals_len == ITEMS_MAX ||
	    f->configs_len == ITEMS_MAX || f->config_removals_len == ITEMS_MAX)
		flush(f, true);
}

/* ---- ConfigMaps and Secrets ---- */

/* "ConfigMap/ns/name" → the cache's key "/configmaps/ns/name" */
static struct watch_obj *find_config(struct session *s, struct str ref)
{
	bool secret = str_starts(ref, STR("Secret/"));
	struct str rest = str_sub(ref, secret ? 7 : 10, ref.len);
	struct buf key = { 0 };
	buf_addf(&key, "%s%.*s", secret ? "/secrets/" : "/configmaps/", STR_ARG(rest));
	struct watch_obj *o = watch_snap_find(s->agents->snap, buf_str(&key));
	buf_fini(&key);
	return o;
}

static void split_ref(struct str ref, struct str *kind, struct str *ns, struct str *name)
{
	struct str rest = ref;
	(void)str_split(&rest, '/', kind);
	(void)str_split(&rest, '/', ns);
	*name = rest;
}

static void put_config(struct filler *f, struct str ref, const struct watch_obj *o)
{
	struct str kind;
	struct str ns;
	struct str name;
	split_ref(ref, &kind, &ns, &name);
	Rctl__Agent__V1__ConfigObject *c = arena_new(&f->arena, Rctl__Agent__V1__ConfigObject, 1);
	rctl__agent__v1__config_object__init(c);
	c->kind = cstr(&f->arena, kind);
	c->namespace_ = cstr(&f->arena, ns);
	c->name = cstr(&f->arena, name);
	c->resource_version = rev_text(&f->arena, watch_obj_rev(o));
	c->object = rpc_binary(arena_str(&f->arena, watch_obj_json(o)));
	f->configs[f->configs_len++] = c;
	count(f, watch_obj_json(o).len);
}

static void drop_config(struct filler *f, struct str ref)
{
	struct str kind;
	struct str ns;
	struct str name;
	split_ref(ref, &kind, &ns, &name);
	Rctl__Agent__V1__ConfigRef *c = arena_new(&f->arena, Rctl__Agent__V1__ConfigRef, 1);
	rctl__agent__v1__config_ref__init(c);
	c->kind = cstr(&f->arena, kind);
	c->namespace_ = cstr(&f->arena, ns);
	c->name = cstr(&f->arena, name);
	f->config_removals[f->config_removals_len++] = c;
	count(f, ref.len);
}

static void add_ref(struct filler *f, struct str ref)
{
	struct sent_ref *r = map_get(&f->s->refs, ref);
	if (!r) {
		r = mem_new(struct sent_ref, 1);
		(void)map_set(&f->s->refs, ref, r);
		struct watch_obj *o = find_config(f->s, ref);
		if (o) {
			r->rev = watch_obj_rev(o);
			put_config(f, ref, o);
		}
	}
	r->count++;
}

static void drop_ref(struct filler *f, struct str ref)
{
	struct sent_ref *r = map_get(&f->s->refs, ref);
	if (!r || --r->count)
		return;
	if (r->rev)
		drop_config(f, ref);
	(void)map_del(&f->s->refs, ref);
	mem_free(r);
}

/* ---- pods ---- */

static void sent_pod_free(struct sent_pod *p)
{
	for (size_t i = 0; i < p->refs_len; i++) {
		union {
			const char *in;
			char *out;
		} u = { .in = p->refs[i].p };
		mem_free(u.out);
	}
	mem_free(p->refs);
	mem_free(p->key);
	mem_free(p);
}

static void put_pod(struct filler *f, const struct watch_obj *o)
{
	struct arena a = { 0 };
	struct json pod;
	if (json_parse(&a, watch_obj_json(o), NULL, &pod, NULL) != 0) {
		arena_fini(&a);
		return;
	}
	struct str uid = json_str(json_dig(&pod, "metadata", "uid", NULL));
	struct str *refs = NULL;
	struct sent_pod *p = mem_new(struct sent_pod, 1);
	p->rev = watch_obj_rev(o);
	p->refs_len = podrefs(&a, &pod, &refs);
	p->refs = mem_new(struct str, p->refs_len);
	for (size_t i = 0; i < p->refs_len; i++) {
		p->refs[i] = str_n(mem_strndup(refs[i].p, refs[i].len), refs[i].len);
		add_ref(f, refs[i]);
	}
	struct buf key = { 0 };
	buf_addf(&key, "%.*s/%.*s", STR_ARG(watch_obj_namespace(o)), STR_ARG(watch_obj_name(o)));
	p->key = mem_strdup(buf_cstr(&key));
	buf_fini(&key);
	struct sent_pod *old = map_set(&f->s->pods, uid, p);
	if (old) {
		for (size_t i = 0; i < old->refs_len; i++)
			drop_ref(f, old->refs[i]);
		sent_pod_free(old);
	}
	Rctl__Agent__V1__PodAssignment *m = arena_new(&f->arena, Rctl__Agent__V1__PodAssignment, 1);
	rctl__agent__v1__pod_assignment__init(m);
	m->uid = cstr(&f->arena, uid);
	m->resource_version = rev_text(&f->arena, watch_obj_rev(o));
	m->pod = rpc_binary(arena_str(&f->arena, watch_obj_json(o)));
	f->pods[f->pods_len++] = m;
	arena_fini(&a);
	count(f, m->pod.len);
}

static void drop_pod(struct filler *f, struct str uid)
{
	struct sent_pod *p = map_del(&f->s->pods, uid);
	if (!p)
		return;
	for (size_t i = 0; i < p->refs_len; i++)
		drop_ref(f, p->refs[i]);
	sent_pod_free(p);
	Rctl__Agent__V1__PodRemoval *m = arena_new(&f->arena, Rctl__Agent__V1__PodRemoval, 1);
	rctl__agent__v1__pod_removal__init(m);
	m->uid = cstr(&f->arena, uid);
	f->removals[f->removals_len++] = m;
	count(f, uid.len);
}

static bool on_this_node(const struct session *s, const struct watch_obj *o)
{
	return s->agents->node_field < watch_obj_fields(o) &&
	       str_is(watch_obj_field(o, s->agents->node_field), s->node);
}

/* ---- the whole and the difference ---- */

static bool walk_pod(void *arg, struct watch_obj *o)
{
	struct filler *f = arg;
	if (on_this_node(f->s, o))
		put_pod(f, o);
	return true;
}

void assign_full(struct session *s)
{
	struct filler *f = filler_new(s, true, watch_snap_rev(s->agents->snap));
	watch_snap_walk(s->agents->snap, STR("/pods/"), STR(""), walk_pod, f);
	filler_end(f);
}

/* Whether spec or metadata moved: a status is the agent's own and need not come back. */
static bool matters(const struct watch_event *e)
{
	if (!e->prev)
		return true;
	struct arena a = { 0 };
	struct json now;
	struct json was;
	bool differs = true;
	if (json_parse(&a, watch_obj_json(e->obj), NULL, &now, NULL) == 0 &&
	    json_parse(&a, watch_obj_json(e->prev), NULL, &was, NULL) == 0) {
		struct json *m1 = json_getc(&now, "metadata");
		struct json *m2 = json_getc(&was, "metadata");
		static const char *const soft[] = { "resourceVersion", "managedFields" };
		for (size_t i = 0; i < 2; i++) {
			(void)json_removec(m1, soft[i]);
			(void)json_removec(m2, soft[i]);
		}
		(void)json_removec(&now, "status");
		(void)json_removec(&was, "status");
		differs = !json_equal(&now, &was);
	}
	arena_fini(&a);
	return differs;
}

static void pod_event(struct filler *f, const struct watch_event *e)
{
	bool here = on_this_node(f->s, e->obj);
	bool was_here = e->prev && on_this_node(f->s, e->prev);
	if (!here && !was_here)
		return;
	if (here && e->type != WATCH_DELETED) {
		if (!was_here || matters(e))
			put_pod(f, e->obj);
		return;
	}
	struct arena a = { 0 };
	struct json pod;
	if (json_parse(&a, watch_obj_json(e->obj), NULL, &pod, NULL) == 0)
		drop_pod(f, json_str(json_dig(&pod, "metadata", "uid", NULL)));
	arena_fini(&a);
}

static void config_event(struct filler *f, const struct watch_event *e, const char *kind)
{
	struct str ns = watch_obj_namespace(e->obj);
	struct str name = watch_obj_name(e->obj);
	struct buf ref = { 0 };
	buf_addf(&ref, "%s/%.*s/%.*s", kind, STR_ARG(ns), STR_ARG(name));
	struct sent_ref *r = map_get(&f->s->refs, buf_str(&ref));
	if (r && e->type == WATCH_DELETED) {
		r->rev = 0;
		drop_config(f, buf_str(&ref));
	} else if (r && r->rev < e->rev) {
		r->rev = e->rev;
		put_config(f, buf_str(&ref), e->obj);
	}
	buf_fini(&ref);
}

void assign_events(struct session *s, struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct filler *f = NULL;
	for (size_t i = 0; i < n; i++) {
		struct str key = watch_obj_key(ev[i]->obj);
		bool pod = str_starts(key, STR("/pods/"));
		bool config = str_starts(key, STR("/configmaps/"));
		bool secret = str_starts(key, STR("/secrets/"));
		if (!pod && !config && !secret)
			continue;
		if (!f)
			f = filler_new(s, false, rev);
		if (pod)
			pod_event(f, ev[i]);
		else
			config_event(f, ev[i], config ? "ConfigMap" : "Secret");
	}
	if (f)
		filler_end(f);
}

void assign_forget(struct session *s)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&s->pods, &pos, NULL, &v))
		sent_pod_free(v);
	map_fini(&s->pods);
	pos = 0;
	while (map_next(&s->refs, &pos, NULL, &v))
		mem_free(v);
	map_fini(&s->refs);
}
