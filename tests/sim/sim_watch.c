/*
 * sim_watch FIRST COUNT - store, watch cache and the clients' informer, in virtual time.
 *
 * The cache (lib/watch) and the informer (lib/client/informer.c) are the product's; the database and the network are made up.
 * Several servers commit to one database and follow it, stand still, crash; power cuts, failovers that lose the tail,
 * compaction; streams cut anywhere, answers that never come.  tests/checker judges what clients saw, and when
 * all faults are over each informer must hold just what the database does.  Each planted bug must be noticed.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "client/client.h"
#include "client/client_priv.h"
#include "sys/clock.h"
#include "tests/checker/checker.h"
#include "tests/sim/sim_watch_db.h"
#include "watch/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERVERS = 3, /* the last has neither faults nor delays: it sees everything */
	INFORMERS = 4,
	WRITERS = 4,
	CALLS = 16,
	BATCH = 8,
	STEPS = 400,
	STEPS_LONG = 1500, /* for bugs that take two faults in a row */
	PAGE_ITEMS = 4,
	WINDOW_EVENTS = 64,
	REST_MS = 20000,
};

#define PREFIX  "/configmaps/"
#define WITNESS (SERVERS - 1)

struct sim;

struct client_call {
	struct sim *s;
	bool used, served, ended, watch;
	int server, informer;
	int64_t from; /* watch: the revision to begin at; then: all up to here was queued */
	int64_t floor;
	char token[64];
	struct client_request req; /* without its path */
	struct buf out;
	int status;
	uint64_t due_ms;
};

struct server {
	struct sim *s;
	struct watch_cache *cache;
	uint64_t epoch;
	bool gone; /* under repair: restarted at the next step */
	uint64_t asleep_until;
	struct db_write batch[BATCH];
	size_t batch_len;
	bool taken; /* BUG_SEQUENCE: revisions are taken, the commit is to come */
};

struct writer {
	bool busy;
	int server;
	uint64_t answer_ms; /* when the answer arrives; 0 = not done yet */
	struct db_write w;
};

struct follower {
	struct client_informer *in;
	struct checker_watch *seen;
	struct buf line;
	struct checker_item items[KEYS * 4]; /* of a list coming in pages */
	size_t items_len;
	int64_t list_rev, floor;
};

struct sim {
	struct db db;
	struct server servers[SERVERS];
	struct writer writers[WRITERS];
	struct client_call calls[CALLS];
	struct follower followers[INFORMERS];
	struct client client;
	struct checker *checker;
	struct checker_watch *witness;
	struct {
		struct loop_timer *t;
		uint64_t due_ms;
	} timers[INFORMERS];
	uint64_t rng, now_ms;
	enum bug bug;
	bool faults;
};

/* The informer has no place for a context in its calls of the clock. */
static struct sim *world;

static uint64_t rnd(struct sim *s, uint64_t n)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return (s->rng >> 11) % n;
}

static bool fault(struct sim *s, uint64_t one_in)
{
	return s->faults && rnd(s, one_in) == 0;
}

/* ---- what the informer stands on ---- */

uint64_t clock_random_u64(void)
{
	return rnd(world, UINT32_MAX);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	(void)l;
	size_t at = 0;
	while (at < INFORMERS && world->timers[at].t && world->timers[at].t != t)
		at++;
	world->timers[at].t = t;
	world->timers[at].due_ms = world->now_ms + delay_ms;
}

void loop_timer_stop(struct loop_timer *t)
{
	for (size_t i = 0; i < INFORMERS; i++)
		if (world->timers[i].t == t)
			world->timers[i].t = NULL;
}

struct str client_object_key(struct arena *a, const struct json *obj)
{
	(void)a;
	return json_str(json_dig(obj, "metadata", "name", NULL));
}

static int64_t number_behind(const char *path, const char *what)
{
	const char *p = strstr(path, what);
	return p ? strtoll(p + strlen(what), NULL, 10) : 0;
}

struct client_call *client_send(struct client *client, const struct client_request *r)
{
	struct sim *s = container_of(client, struct sim, client);
	size_t at = 0;
	while (s->calls[at].used)
		at++;
	struct client_call *c = &s->calls[at];
	const char *token = strstr(r->path, "&continue=");
	*c = (struct client_call){
		.s = s, .used = true, .req = *r, .server = (int)rnd(s, WITNESS)
	};
	c->watch = strstr(r->path, "watch=true") != NULL;
	c->from = number_behind(r->path, "resourceVersion=");
	c->due_ms = s->now_ms + rnd(s, 10);
	if (token)
		(void)snprintf(c->token, sizeof(c->token), "%s", token + 10);
	for (int i = 0; i < INFORMERS; i++)
		if (r->arg == s->followers[i].in)
			c->informer = i;
	struct follower *f = &s->followers[c->informer];
	if (c->watch)
		buf_clear(&f->line);
	else if (!token)
		f->floor = checker_list_floor(s->checker);
	return c;
}

static void call_over(struct client_call *c)
{
	buf_fini(&c->out);
	c->used = false;
}

void client_cancel(struct client_call *c)
{
	if (c)
		call_over(c);
}

/* ---- servers ---- */

static void cut_clients(struct sim *s, int server)
{
	for (int i = 0; i < CALLS; i++) {
		struct client_call *c = &s->calls[i];
		if (c->used && c->server == server && !c->ended) {
			c->ended = true;
			c->status = 0;
			c->served = true;
		}
	}
}

/* Each batch as it becomes visible: to all watches of the server. */
static void on_batch(void *arg, struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct server *v = arg;
	struct sim *s = v->s;
	int index = (int)(v - s->servers);
	for (int i = 0; i < CALLS; i++) {
		struct client_call *c = &s->calls[i];
		if (!c->used || !c->watch || !c->served || c->ended || c->server != index || !rev)
			continue;
		for (size_t k = 0; k < n; k++) {
			if (ev[k]->rev <= c->from)
				continue;
			struct bytes *line = watch_event_line(ev[k], ev[k]->type);
			buf_add_str(&c->out, bytes_str(line));
			bytes_unref(line);
		}
		c->from = rev > c->from ? rev : c->from;
	}
}

static struct store_event event_of(const struct row *r, char key[32])
{
	db_key(r->key, key);
	return (struct store_event){ .rev = r->rev,
				     .op = r->op,
				     .prev_rev = r->prev_rev,
				     .create_rev = r->create_rev,
				     .key = str_of(key),
				     .value = db_value(r) };
}

static void tell_history(struct server *v, const struct db *d)
{
	char key[32];
	for (size_t i = 0; i < d->len; i++) {
		if (d->log[i].rev < d->compact_rev)
			continue;
		struct store_event ev = event_of(&d->log[i], key);
		watch_cache_history(v->cache, &ev);
		bytes_unref(ev.value);
	}
}

static void witness_lists(struct sim *s)
{
	struct checker_item items[KEYS];
	size_t n = 0;
	for (int i = 0; i < KEYS; i++)
		if (s->db.obj[i].rev)
			items[n++] = (struct checker_item){ s->db.obj[i].rev, s->db.obj[i].id };
	checker_watch_listed(s->witness, s->db.rev);
	checker_listed(s->checker, 0, s->db.rev, items, n);
}

static void server_open(struct server *v)
{
	struct sim *s = v->s;
	const struct db *d = &s->db;
	char key[32];
	v->cache = watch_cache_new(&(struct watch_config){
		.window_events = WINDOW_EVENTS, .on_batch = on_batch, .on_batch_arg = v });
	watch_cache_compacted(v->cache, s->bug == BUG_COMPACT ? 1 : d->compact_rev);
	for (size_t i = 0; i < d->closed_len && s->bug != BUG_STALE; i++)
		watch_cache_epoch(v->cache, d->closed[i].last, d->closed[i].first);
	for (int i = 0; i < KEYS; i++) {
		const struct row *r = &d->obj[i];
		if (!r->rev)
			continue;
		struct bytes *value = db_value(r);
		db_key(i, key);
		watch_cache_load(v->cache, str_of(key), r->rev, r->create_rev, value);
		bytes_unref(value);
	}
	tell_history(v, d);
	watch_cache_events(v->cache, NULL, 0, d->rev);
	v->epoch = d->epoch;
	v->gone = false;
	if (v - s->servers == WITNESS)
		witness_lists(s);
}

static void unanswered(struct sim *s, int server)
{
	for (int i = 0; i < WRITERS; i++)
		if (s->writers[i].server == server)
			s->writers[i].busy = false; /* recorded as unknown */
}

static void server_restart(struct server *v)
{
	struct sim *s = v->s;
	int index = (int)(v - s->servers);
	cut_clients(s, index);
	unanswered(s, index);
	v->batch_len = 0;
	v->taken = false;
	v->cache = watch_cache_free(v->cache);
	server_open(v);
}

static void tell_witness(struct sim *s, const struct row *r)
{
	char name[CHECKER_KEY_BYTES];
	(void)snprintf(name, sizeof(name), "k%d", r->key);
	checker_watch_event(s->witness,
			    r->op == STORE_CREATE   ? CHECKER_ADDED
			    : r->op == STORE_UPDATE ? CHECKER_MODIFIED
						    : CHECKER_DELETED,
			    name, r->rev, r->op == STORE_DELETE ? r->last_id : r->id);
}

/* Delivers what the database has and this server does not. */
static void server_follow(struct server *v)
{
	struct sim *s = v->s;
	struct db *d = &s->db;
	bool witness = v - s->servers == WITNESS;
	if (v->epoch != d->epoch) {
		int64_t last = d->closed[d->closed_len - 1].last;
		if (watch_cache_rev(v->cache) > last || d->epoch - v->epoch > 1) {
			server_restart(v);
			return;
		}
		if (s->bug != BUG_STALE)
			watch_cache_epoch(v->cache, last, d->closed[d->closed_len - 1].first);
		v->epoch = d->epoch;
	}
	if (watch_cache_rev(v->cache) >= d->rev)
		return;
	struct store_event ev[LOG_MAX > 64 ? 64 : LOG_MAX];
	char keys[64][32];
	size_t n = 0;
	for (size_t i = db_behind(d, watch_cache_rev(v->cache)); i < d->len; i++) {
		ev[n] = event_of(&d->log[i], keys[n]);
		n++;
		if (witness)
			tell_witness(s, &d->log[i]);
		if (n == 64 || i + 1 == d->len) {
			watch_cache_events(v->cache, ev, n,
					   i + 1 == d->len ? d->rev : ev[n - 1].rev);
			for (size_t k = 0; k < n; k++)
				bytes_unref(ev[k].value);
			n = 0;
		}
	}
	if (watch_cache_rev(v->cache) < d->rev)
		watch_cache_events(v->cache, NULL, 0, d->rev);
	if (s->bug != BUG_COMPACT)
		watch_cache_compacted(v->cache, d->compact_rev);
}

/* The old primary takes it: nobody will ever see it. */
static void commit_to_the_dead(struct server *v)
{
	int64_t rev = watch_cache_rev(v->cache);
	for (size_t i = 0; i < v->batch_len; i++) {
		v->batch[i].ok = true;
		v->batch[i].rev = ++rev;
	}
}

static void answer_writers(struct sim *s, const struct db_write *w)
{
	for (int i = 0; i < WRITERS; i++) {
		struct writer *x = &s->writers[i];
		if (!x->busy || x->w.id != w->id)
			continue;
		x->w = *w;
		x->answer_ms = s->now_ms + 1 + rnd(s, 5);
		if (fault(s, 20))
			x->busy = false; /* the answer is lost on the way */
	}
}

static void server_commit(struct server *v)
{
	struct sim *s = v->s;
	if (v->batch_len == 0)
		return;
	if (v->epoch != s->db.epoch && s->bug == BUG_FENCE) {
		commit_to_the_dead(v);
	} else {
		if (v->epoch != s->db.epoch)
			server_follow(v);
		if (s->bug == BUG_SEQUENCE && !v->taken) {
			for (size_t i = 0; i < v->batch_len; i++)
				v->batch[i].rev = ++s->db.rev;
			v->taken = true;
			return;
		}
		db_commit(&s->db, v->batch, v->batch_len);
		v->taken = false;
		server_follow(v);
	}
	for (size_t i = 0; i < v->batch_len; i++)
		answer_writers(s, &v->batch[i]);
	v->batch_len = 0;
}

/* ---- requests ---- */

static void reply_expired(struct client_call *c)
{
	c->status = 410;
	c->ended = true;
}

static void add_replayed(void *arg, struct watch_event *e)
{
	struct client_call *c = arg;
	struct bytes *line = watch_event_line(e, e->type);
	if (c->s->bug == BUG_RESUME && e->rev > c->from && c->status == 200) {
		c->status = 201; /* the first one is passed over */
	} else {
		buf_add_str(&c->out, bytes_str(line));
	}
	bytes_unref(line);
}

static void serve_watch(struct client_call *c)
{
	struct server *v = &c->s->servers[c->server];
	struct error err = { 0 };
	int64_t to = 0;
	c->status = 200;
	int rc = watch_replay(v->cache, c->from, STR(PREFIX), add_replayed, c, &to, &err);
	c->status = 200;
	if (rc == ERR_TIMEOUT) { /* the server is behind the client: asked again later */
		c->served = false;
		c->due_ms = c->s->now_ms + 5;
		return;
	}
	if (rc)
		reply_expired(c);
	else
		c->from = to;
}

struct page {
	struct buf *out;
	char last[32];
	size_t n;
	bool more;
};

static bool add_item(void *arg, struct watch_obj *o)
{
	struct page *p = arg;
	if (p->n == PAGE_ITEMS) {
		p->more = true;
		return false;
	}
	if (p->n++)
		buf_addc(p->out, ',');
	buf_add_str(p->out, watch_obj_json(o));
	(void)snprintf(p->last, sizeof(p->last), "%.*s", STR_ARG(watch_obj_name(o)));
	return true;
}

static void serve_list(struct client_call *c)
{
	struct sim *s = c->s;
	struct server *v = &s->servers[c->server];
	if (!c->token[0])
		server_follow(v); /* a fresh read asks the database */
	char after[64] = PREFIX;
	int64_t rev = 0;
	struct watch_snap *snap = NULL;
	if (c->token[0]) {
		char name[32] = "";
		(void)sscanf(c->token, "%" SCNd64 ".%31s", &rev, name);
		(void)snprintf(after, sizeof(after), PREFIX "default/%s ", name);
		snap = s->bug == BUG_PAGES ? watch_snap_get(v->cache)
					   : watch_snap_at(v->cache, rev, s->now_ms);
	} else {
		snap = watch_snap_get(v->cache);
		rev = watch_snap_rev(snap);
	}
	if (!snap) {
		reply_expired(c);
		return;
	}
	struct buf items = { 0 };
	struct page p = { .out = &items };
	watch_snap_walk(snap, STR(PREFIX), str_of(after), add_item, &p);
	if (p.more)
		watch_snap_keep(v->cache, snap, s->now_ms);
	int64_t said = s->bug == BUG_LIST && rev > 2 ? rev - 1 : rev;
	buf_addf(&c->out, "{\"metadata\":{\"resourceVersion\":\"%" PRId64 "\"", said);
	if (p.more)
		buf_addf(&c->out, ",\"continue\":\"%" PRId64 ".%s\"", rev, p.last);
	buf_addf(&c->out, "},\"items\":[%.*s]}", STR_ARG(buf_str(&items)));
	buf_fini(&items);
	watch_snap_unref(snap);
	c->status = 200;
	c->ended = true;
}

static void serve(struct client_call *c)
{
	struct server *v = &c->s->servers[c->server];
	if (v->asleep_until > c->s->now_ms)
		return;
	c->served = true;
	if (c->watch)
		serve_watch(c);
	else
		serve_list(c);
}

static void bookmarks(struct sim *s)
{
	for (int i = 0; i < CALLS; i++) {
		struct client_call *c = &s->calls[i];
		if (!c->used || !c->watch || !c->served || c->ended || rnd(s, 40))
			continue;
		int64_t rev = s->bug == BUG_BOOKMARK ? s->db.rev : c->from;
		buf_addf(&c->out,
			 "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":"
			 "\"%" PRId64 "\"}}}\n",
			 rev);
	}
}

/* ---- what clients see ---- */

static uint32_t id_of(const struct json *o)
{
	int64_t n = 0;
	(void)str_to_i64(json_str(json_dig(o, "data", "id", NULL)), &n);
	return (uint32_t)n;
}

static int64_t rev_in(const struct json *o)
{
	int64_t n = 0;
	(void)str_to_i64(json_str(json_dig(o, "metadata", "resourceVersion", NULL)), &n);
	return n;
}

static void note_line(struct follower *f, struct str line)
{
	struct arena a = { 0 };
	struct json ev;
	if (json_parse(&a, line, NULL, &ev, NULL) == 0) {
		struct str type = json_str(json_getc(&ev, "type"));
		const struct json *o = json_getc(&ev, "object");
		char key[CHECKER_KEY_BYTES];
		(void)snprintf(key, sizeof(key), "%.*s",
			       STR_ARG(json_str(json_dig(o, "metadata", "name", NULL))));
		if (str_is(type, "BOOKMARK"))
			checker_watch_bookmark(f->seen, rev_in(o));
		else
			checker_watch_event(f->seen,
					    str_is(type, "ADDED")      ? CHECKER_ADDED
					    : str_is(type, "MODIFIED") ? CHECKER_MODIFIED
								       : CHECKER_DELETED,
					    key, rev_in(o), id_of(o));
	}
	arena_fini(&a);
}

static void note_stream(struct follower *f, struct str data)
{
	buf_add_str(&f->line, data);
	size_t from = 0;
	for (ptrdiff_t nl; (nl = str_find(buf_str(&f->line), '\n', from)) >= 0;) {
		note_line(f, str_sub(buf_str(&f->line), from, (size_t)nl));
		from = (size_t)nl + 1;
	}
	buf_consume(&f->line, from);
}

static void note_page(struct sim *s, struct follower *f, const struct client_call *c)
{
	struct arena a = { 0 };
	struct json list;
	if (json_parse(&a, buf_str(&c->out), NULL, &list, NULL)) {
		arena_fini(&a);
		return;
	}
	if (!c->token[0]) {
		f->items_len = 0;
		f->list_rev = rev_in(&list);
	}
	const struct json *items = json_getc(&list, "items");
	for (size_t i = 0; i < json_len(items) && f->items_len < KEYS * 4; i++)
		f->items[f->items_len++] = (struct checker_item){ rev_in(json_at(items, i)),
								  id_of(json_at(items, i)) };
	if (!json_dig(&list, "metadata", "continue", NULL)) {
		checker_listed(s->checker, f->floor, f->list_rev, f->items, f->items_len);
		checker_watch_listed(f->seen, f->list_rev);
	}
	arena_fini(&a);
}

static void finish_call(struct client_call *c)
{
	struct client_call done = *c;
	struct error err = { 0 };
	c->out = (struct buf){ 0 };
	c->used = false;
	if (done.status == 410)
		(void)error_set(&err, ERR_EXPIRED, "too old");
	else if (done.status == 0)
		(void)error_set(&err, ERR_UNAVAILABLE, "cut");
	if (done.status == 200 && !done.watch)
		note_page(done.s, &done.s->followers[done.informer], &done);
	done.req.done(done.req.arg, done.status, done.watch ? STR_NONE : buf_str(&done.out),
		      done.status == 200 ? NULL : &err);
	buf_fini(&done.out);
}

/* Some bytes of a stream, however they fall. */
static void deliver(struct client_call *c)
{
	struct sim *s = c->s;
	size_t n = 1 + rnd(s, c->out.len);
	struct buf piece = { 0 };
	buf_add(&piece, c->out.p, n);
	buf_consume(&c->out, n);
	note_stream(&s->followers[c->informer], buf_str(&piece));
	c->req.on_data(c->req.arg, 200, buf_str(&piece));
	buf_fini(&piece);
}

static void network(struct sim *s)
{
	for (int i = 0; i < CALLS; i++) {
		struct client_call *c = &s->calls[i];
		if (!c->used || c->due_ms > s->now_ms)
			continue;
		if (!c->served)
			serve(c);
		if (!c->served)
			continue;
		if (!c->ended && fault(s, 150)) {
			c->ended = true; /* the connection is lost, what was under way too */
			c->status = c->status == 410 ? 410 : 0;
			buf_clear(&c->out);
		}
		if (c->watch && c->out.len && c->status != 410)
			deliver(c);
		else if (c->ended)
			finish_call(c);
	}
}

/* ---- writers ---- */

static void writer_begins(struct sim *s, struct writer *x)
{
	static const enum checker_op ops[] = { CHECKER_CREATE, CHECKER_UPDATE, CHECKER_DELETE };
	int server = (int)rnd(s, WITNESS);
	struct server *v = &s->servers[server];
	if (v->asleep_until > s->now_ms || v->batch_len == BATCH || v->taken)
		return;
	int key = (int)rnd(s, KEYS);
	char text[32], name[CHECKER_KEY_BYTES];
	db_key(key, text);
	struct watch_snap *snap = watch_snap_get(v->cache);
	struct watch_obj *o = watch_snap_find(snap, str_of(text));
	int64_t rev = o ? watch_obj_rev(o) : 0;
	watch_snap_unref(snap);
	for (size_t i = 0; i < v->batch_len; i++)
		if (v->batch[i].key == key)
			return; /* two writes of a key: the second waits for the next batch */
	enum store_op op = !rev ? STORE_CREATE : rnd(s, 4) ? STORE_UPDATE : STORE_DELETE;
	(void)snprintf(name, sizeof(name), "k%d", key);
	uint32_t id = checker_write(s->checker, ops[op], name, rev);
	*x = (struct writer){ .busy = true,
			      .server = server,
			      .w = { .id = id, .op = op, .key = key, .want = rev } };
	v->batch[v->batch_len++] = x->w;
}

static void writer_turn(struct sim *s, struct writer *x)
{
	if (!x->busy) {
		if (s->faults)
			writer_begins(s, x);
	} else if (x->answer_ms && x->answer_ms <= s->now_ms) {
		checker_written(s->checker, x->w.id, x->w.ok ? CHECKER_ACKED : CHECKER_REFUSED,
				x->w.ok ? x->w.rev : 0);
		x->busy = false;
	}
}

/* ---- faults ---- */

static void failover(struct sim *s)
{
	struct db *d = &s->db;
	if (d->closed_len == EPOCHS - 1)
		return;
	db_failover(d, s->now_ms);
	checker_closed(s->checker, d->closed[d->closed_len - 1].last,
		       d->closed[d->closed_len - 1].first);
	server_follow(&s->servers[WITNESS]);
}

static void power_cut(struct sim *s)
{
	db_power_cut(&s->db);
	for (int i = 0; i < SERVERS; i++)
		if (watch_cache_rev(s->servers[i].cache) > s->db.rev)
			server_restart(&s->servers[i]);
}

static void trouble(struct sim *s)
{
	struct server *v = &s->servers[rnd(s, WITNESS)];
	if (fault(s, 60))
		server_restart(v);
	if (fault(s, 60))
		v->asleep_until = s->now_ms + rnd(s, 400);
	if (fault(s, 150))
		failover(s);
	if (fault(s, 100))
		power_cut(s);
	if (fault(s, 40))
		db_compact(&s->db, 5 + rnd(s, 40));
	if (!s->faults || rnd(s, 6) == 0)
		s->db.replicated = s->db.len;
	if (!s->faults || rnd(s, 6) == 0)
		s->db.durable = s->db.len;
}

/* ---- a run ---- */

static void timers(struct sim *s)
{
	for (int i = 0; i < INFORMERS; i++) {
		struct loop_timer *t = s->timers[i].t;
		if (!t || s->timers[i].due_ms > s->now_ms)
			continue;
		s->timers[i].t = NULL;
		t->fn(t);
	}
}

static void step(struct sim *s)
{
	s->now_ms += 1 + rnd(s, s->faults ? 10 : 200);
	trouble(s);
	for (int i = 0; i < WITNESS; i++) {
		struct server *v = &s->servers[i];
		if (v->asleep_until > s->now_ms)
			continue;
		if (rnd(s, 3) == 0)
			server_commit(v);
		if (rnd(s, 4) == 0 && !(s->bug == BUG_FENCE && v->batch_len))
			server_follow(v);
	}
	server_follow(&s->servers[WITNESS]);
	for (int i = 0; i < WRITERS; i++)
		writer_turn(s, &s->writers[i]);
	bookmarks(s);
	network(s);
	timers(s);
}

static void on_set(void *arg, struct str key, const struct json *obj, struct str text)
{
	(void)arg;
	(void)key;
	(void)obj;
	(void)text;
}

static bool converged(struct sim *s, char why[CHECKER_WHY_BYTES])
{
	size_t alive = 0;
	for (int k = 0; k < KEYS; k++)
		alive += s->db.obj[k].rev != 0;
	for (int i = 0; i < INFORMERS; i++) {
		const struct client_informer *in = s->followers[i].in;
		bool same = client_informer_count(in) == alive;
		for (int k = 0; k < KEYS && same; k++) {
			char name[16];
			struct arena a = { 0 };
			struct json o;
			(void)snprintf(name, sizeof(name), "k%d", k);
			struct str text = client_informer_get(in, str_of(name));
			same = s->db.obj[k].rev == 0
				       ? text.len == 0
				       : text.len && json_parse(&a, text, NULL, &o, NULL) == 0 &&
						 rev_in(&o) == s->db.obj[k].rev;
			arena_fini(&a);
		}
		if (!same) {
			(void)snprintf(why, CHECKER_WHY_BYTES,
				       "informer %d does not hold what the database does", i);
			return false;
		}
	}
	return true;
}

static void sim_start(struct sim *s, uint64_t seed, enum bug bug)
{
	*s = (struct sim){ .rng = seed * 0x9E3779B97F4A7C15U | 1, .bug = bug, .faults = true };
	world = s;
	for (int i = 0; i < 8; i++)
		(void)rnd(s, 2);
	db_init(&s->db, bug, rnd(s, 2));
	s->checker = checker_new();
	s->witness = checker_watch(s->checker);
	for (int i = 0; i < SERVERS; i++) {
		s->servers[i].s = s;
		server_open(&s->servers[i]);
	}
	for (int i = 0; i < INFORMERS; i++) {
		struct follower *f = &s->followers[i];
		f->seen = checker_watch(s->checker);
		f->in = client_informer_new(
			&s->client, &(struct client_informer_config){ .path = "/api/v1/configmaps",
								      .on_set = on_set,
								      .keep_text = true,
								      .backoff_min_ms = 20,
								      .backoff_max_ms = 500 });
	}
}

static void sim_end(struct sim *s)
{
	for (int i = 0; i < INFORMERS; i++) {
		s->followers[i].in = client_informer_free(s->followers[i].in);
		buf_fini(&s->followers[i].line);
	}
	for (int i = 0; i < SERVERS; i++)
		s->servers[i].cache = watch_cache_free(s->servers[i].cache);
	s->checker = checker_free(s->checker);
}

static bool run(struct sim *s, uint64_t seed, int steps, enum bug bug, struct checker_verdict *v)
{
	sim_start(s, seed, bug);
	for (int i = 0; i < steps; i++)
		step(s);
	s->faults = false;
	for (uint64_t until = s->now_ms + REST_MS; s->now_ms < until;)
		step(s);
	bool ok = checker_holds(s->checker, v) && converged(s, v->why);
	if (ok && s->db.synchronous && v->lost) {
		(void)snprintf(v->why, sizeof(v->why),
			       "%zu acknowledged writes were lost behind a "
			       "synchronous standby",
			       v->lost);
		ok = false;
	}
	sim_end(s);
	return ok;
}

static const char *const bug_names[BUGS] = {
	[BUG_NONE] = "none",
	[BUG_SEQUENCE] = "a sequence for revisions",
	[BUG_NORMAL] = "acknowledged before it is durable",
	[BUG_FENCE] = "a missing fence",
	[BUG_REUSED] = "a revision used again after a failover",
	[BUG_STEP] = "an epoch step from what is left alone",
	[BUG_BOOKMARK] = "a bookmark ahead of the events",
	[BUG_RESUME] = "a watch that begins one event late",
	[BUG_LIST] = "a list one event too new",
	[BUG_PAGES] = "pages of several revisions",
	[BUG_STALE] = "lost revisions served on",
	[BUG_COMPACT] = "a watch from below the compaction",
	[BUG_DELETED] = "DELETED with an older state",
};

static bool has_teeth(struct sim *s)
{
	enum { SEEDS = 60 };
	bool ok = true;
	struct checker_verdict v;
	for (enum bug bug = BUG_NONE + 1; bug < BUGS; bug++) {
		uint64_t seed = 1;
		while (seed <= SEEDS && run(s, seed, STEPS_LONG, bug, &v))
			seed++;
		ok = ok && seed <= SEEDS;
		(void)printf("# %s: %s, seed %" PRIu64 "\n", bug_names[bug],
			     seed <= SEEDS ? v.why : "not noticed", seed);
	}
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	struct sim *s = mem_new(struct sim, 1);
	struct checker_verdict v, sum = { 0 };
	size_t failed = 0;
	for (uint64_t seed = first; seed < first + count; seed++) {
		if (!run(s, seed, STEPS, BUG_NONE, &v) && failed++ < 10)
			(void)printf("seed %" PRIu64 ": %s\n", seed, v.why);
		sum.acked += v.acked;
		sum.unknown += v.unknown;
		sum.lost += v.lost;
		sum.events += v.events;
		sum.lists += v.lists;
	}
	bool teeth = has_teeth(s);
	mem_free(s);
	(void)printf("%" PRIu64
		     " seeds, %zu failed: %zu writes acknowledged, %zu unknown, %zu lost in closed "
		     "intervals; %zu events and %zu lists checked%s\n",
		     count, failed, sum.acked, sum.unknown, sum.lost, sum.events, sum.lists,
		     teeth ? "" : "; a planted bug was not noticed");
	return failed || !teeth;
}
