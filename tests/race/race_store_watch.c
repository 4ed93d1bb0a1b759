/*
 * race_store_watch [SECONDS] - one store in memory, its cache, and everybody at once: writers,
 * readers of snapshots, replays, lines, kept snapshots.  Runs under ThreadSanitizer.
 *
 * Each reader checks what it can by itself: a snapshot does not change while it is read; a
 * replay from a snapshot's revision, applied to it, gives the snapshot at the replay's end.
 */
#include "base/mem.h"
#include "store/store.h"
#include "sys/clock.h"
#include "watch/watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { WRITERS = 3, READERS = 3, KEYS = 200 };

struct race {
	struct store *s;
	struct watch_cache *c;
	_Atomic bool stop;
	_Atomic int64_t writes, reads, expired;
	_Atomic int wrong;
};

struct player {
	struct race *r;
	uint64_t seed;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	enum err_code code;
};

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void complain(struct race *r, const char *what)
{
	(void)fprintf(stderr, "wrong: %s\n", what);
	atomic_fetch_add(&r->wrong, 1);
}

static void index_value(void *arg, struct str key, struct str json, struct watch_index *ix)
{
	(void)arg;
	(void)key;
	ix->labels = 1;
	ix->label_key[0] = STR("app");
	ix->label_value[0] = str_sub(json, 2, 12);
}

static void on_done(void *arg, const struct store_result *result, size_t n)
{
	struct player *p = arg;
	(void)n;
	pthread_mutex_lock(&p->lock);
	p->done = true;
	p->code = result->code;
	pthread_cond_signal(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

static struct str key_of(char out[40], uint64_t i)
{
	int n = snprintf(out, 40, "/pods/ns-%u/p-%03u", (unsigned)(i % 7), (unsigned)i);
	return str_n(out, (size_t)n);
}

static void write_once(struct player *p)
{
	struct race *r = p->r;
	char key[40];
	struct str k = key_of(key, next(&p->seed) % KEYS);
	struct watch_snap *s = watch_snap_get(r->c);
	struct watch_obj *o = watch_snap_find(s, k);
	struct store_write w = {
		.op = !o                   ? STORE_CREATE
		      : next(&p->seed) % 3 ? STORE_UPDATE
					   : STORE_DELETE,
		.key = k,
		.want_rev = o ? watch_obj_rev(o) : 0,
		.value = bytes_of_str(STR("{\"apiVersion\":\"v1\",\"kind\":\"Pod\","
					  "\"metadata\":{\"name\":\"x\"}}")),
	};
	watch_snap_unref(s);
	p->done = false;
	store_submit(r->s, &w, 1, false, on_done, p);
	pthread_mutex_lock(&p->lock);
	while (!p->done)
		pthread_cond_wait(&p->cond, &p->lock);
	pthread_mutex_unlock(&p->lock);
	bytes_unref(w.value);
	if (p->code == ERR_OK)
		atomic_fetch_add(&r->writes, 1);
	else if (p->code != ERR_CONFLICT && p->code != ERR_EXISTS)
		complain(r, "code of a write");
}

static void *run_writer(void *arg)
{
	struct player *p = arg;
	while (!atomic_load(&p->r->stop))
		write_once(p);
	return NULL;
}

/* A picture of all keys: the revision of each. */
struct picture {
	int64_t rev[KEYS];
	size_t n;
	struct race *r;
	struct bytes *line;
};

static size_t index_of(struct str key)
{
	int64_t i = 0;
	return str_to_i64(str_sub(key, key.len - 3, key.len), &i) ? (size_t)i : 0;
}

static bool paint(void *arg, struct watch_obj *o)
{
	struct picture *pic = arg;
	struct str label;
	pic->rev[index_of(watch_obj_key(o))] = watch_obj_rev(o);
	pic->n++;
	if (!watch_obj_label(o, STR("app"), &label) || !str_is(label, "apiVersion"))
		complain(pic->r, "label");
	return true;
}

static void advance(void *arg, struct watch_event *e)
{
	struct picture *pic = arg;
	size_t i = index_of(watch_obj_key(e->obj));
	int64_t was = e->prev ? watch_obj_rev(e->prev) : 0;
	if (pic->rev[i] != was)
		complain(pic->r, "an event does not follow the state");
	pic->rev[i] = e->type == WATCH_DELETED ? 0 : e->rev;
	bytes_unref(pic->line);
	pic->line = watch_event_line(e, e->type);
}

static void read_once(struct player *p)
{
	struct race *r = p->r;
	struct picture pic = { .r = r };
	struct watch_snap *s = watch_snap_get(r->c);
	watch_snap_walk(s, STR(""), STR(""), paint, &pic);
	if (watch_snap_count(s, STR("/pods/")) != pic.n)
		complain(r, "count");
	if (next(&p->seed) % 8 == 0)
		watch_snap_keep(r->c, s, clock_mono_ms());
	/* Lets some time go by while the snapshot is held. */
	for (uint64_t i = next(&p->seed) % 4; i > 0; i--) {
		struct watch_snap *other = watch_snap_get(r->c);
		watch_snap_unref(other);
	}
	int64_t to = 0;
	struct error err = { 0 };
	int rc = watch_replay(r->c, watch_snap_rev(s), STR("/pods/"), advance, &pic, &to, &err);
	bytes_unref(pic.line);
	if (rc < 0 && rc != ERR_EXPIRED)
		complain(r, err.msg);
	atomic_fetch_add(rc < 0 ? &r->expired : &r->reads, 1);
	struct watch_snap *end = rc == 0 ? watch_snap_at(r->c, to, clock_mono_ms()) : NULL;
	struct picture real = { .r = r };
	if (end) {
		watch_snap_walk(end, STR(""), STR(""), paint, &real);
		if (memcmp(real.rev, pic.rev, sizeof(real.rev)) != 0)
			complain(r, "list and watch do not give the later list");
		watch_snap_unref(end);
	}
	watch_snap_unref(s);
}

static void *run_reader(void *arg)
{
	struct player *p = arg;
	while (!atomic_load(&p->r->stop))
		read_once(p);
	return NULL;
}

static void start(struct player *p, struct race *r, uint64_t seed, void *(*fn)(void *))
{
	*p = (struct player){ .r = r, .seed = seed };
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->cond, NULL);
	if (pthread_create(&p->thread, NULL, fn, p) != 0)
		abort();
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 3;
	struct race r = { 0 };
	struct metrics *m = metrics_new();
	struct watch_config wc = { .index = index_value, .window_events = 400, .metrics = m };
	r.c = watch_cache_new(&wc);
	struct store_config sc = {
		STORE_CONFIG_DEFAULTS,
		.url = "memory:",
		.metrics = m,
		.handlers = { .on_load = watch_cache_load,
			      .on_history = watch_cache_history,
			      .on_events = watch_cache_events,
			      .on_compacted = watch_cache_compacted,
			      .on_epoch = watch_cache_epoch,
			      .arg = r.c },
	};
	struct error err = { 0 };
	if (store_open(&sc, &r.s, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	static struct player p[WRITERS + READERS];
	for (uint64_t i = 0; i < WRITERS + READERS; i++)
		start(&p[i], &r, 77777 + i * 1234567, i < WRITERS ? run_writer : run_reader);
	struct timespec t = { (time_t)seconds, 0 };
	(void)nanosleep(&t, NULL);
	struct buf text = { 0 };
	metrics_print(m, &text);
	buf_fini(&text);
	atomic_store(&r.stop, true);
	for (size_t i = 0; i < WRITERS + READERS; i++)
		(void)pthread_join(p[i].thread, NULL);
	r.s = store_close(r.s);
	r.c = watch_cache_free(r.c);
	(void)metrics_free(m);
	(void)printf("%lld writes, %lld replays, %lld expired, %d wrong\n",
		     (long long)atomic_load(&r.writes), (long long)atomic_load(&r.reads),
		     (long long)atomic_load(&r.expired), atomic_load(&r.wrong));
	bool worked = atomic_load(&r.writes) > 0 && atomic_load(&r.reads) > 0;
	return worked && atomic_load(&r.wrong) == 0 ? 0 : 1;
}
