#include "base/mem.h"
#include "store/store.h"
#include "watch/watch.h"
#include "watch/watch_priv.h"

#include <criterion/criterion.h>

#include <stdio.h>

#define HEAD "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"

/* ---- objects ---- */

static struct watch_obj *obj_of(const char *key, int64_t rev, const char *json,
				const struct watch_index *ix)
{
	static const struct watch_index NOTHING;
	return watch_obj_new(str_of(key), rev, 1, str_of(json), ix ? ix : &NOTHING);
}

Test(watch, the_revision_is_put_behind_the_brace_of_metadata)
{
	static const struct {
		const char *in, *out;
	} CASES[] = {
		{ HEAD "\"name\":\"a\"}}", HEAD "\"resourceVersion\":\"42\",\"name\":\"a\"}}" },
		{ HEAD "}}", HEAD "\"resourceVersion\":\"42\"}}" },
		{ "{}", "{}" },
		{ "", "" },
		{ "{\"apiVersion\":\"v1", "{\"apiVersion\":\"v1" },
		{ "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{}}",
		  "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{}}" },
		{ HEAD, HEAD "\"resourceVersion\":\"42\"," },
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct watch_obj *o = obj_of("/pods/d/a", 42, CASES[i].in, NULL);
		struct str json = watch_obj_json(o);
		cr_expect(str_is(json, CASES[i].out), "%s: %.*s", CASES[i].in, STR_ARG(json));
		cr_expect_eq(strlen(json.p), json.len);
		cr_expect_eq(watch_obj_rev(o), 42);
		cr_expect_eq(watch_obj_bytes(o)->data, json.p, "the bytes are the object");
		watch_obj_unref(o);
	}
}

Test(watch, another_revision_replaces_the_digits)
{
	struct buf b = { 0 };
	struct watch_obj *o = obj_of("/pods/d/a", 42, HEAD "\"name\":\"a\"}}", NULL);
	watch_obj_with_rev(o, INT64_MAX, &b);
	cr_assert_str_eq(buf_cstr(&b),
			 HEAD "\"resourceVersion\":\"9223372036854775807\",\"name\":\"a\"}}");
	watch_obj_unref(o);
	buf_clear(&b);
	o = obj_of("/pods/d/a", 42, "{}", NULL);
	watch_obj_with_rev(o, 43, &b);
	cr_assert_str_eq(buf_cstr(&b), "{}");
	watch_obj_unref(o);
	buf_fini(&b);
}

Test(watch, a_key_says_namespace_and_name)
{
	static const struct {
		const char *key, *namespace_, *name;
	} CASES[] = {
		{ "/pods/default/web-1", "default", "web-1" },
		{ "apps/deployments/kube-system/dns", "kube-system", "dns" },
		{ "/nodes//n1", "", "n1" },
		{ "x.example.com/things//", "", "" },
		{ "odd", "", "odd" },
	};
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct watch_obj *o = obj_of(CASES[i].key, 1, "{}", NULL);
		cr_expect(str_is(watch_obj_key(o), CASES[i].key));
		cr_expect(str_is(watch_obj_namespace(o), CASES[i].namespace_), "%s", CASES[i].key);
		cr_expect(str_is(watch_obj_name(o), CASES[i].name), "%s", CASES[i].key);
		watch_obj_unref(o);
	}
}

/* Objects of a small and a large JSON text, with text inside and outside of it. */
static void check_index(size_t padding)
{
	struct buf b = { 0 };
	buf_adds(&b, HEAD "\"labels\":{\"app\":\"web\"},\"x\":\"");
	for (size_t i = 0; i < padding; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\",\"uid\":\"u-1\"}}");
	const char *json = buf_cstr(&b);
	static struct watch_index ix;
	ix = (struct watch_index){ .labels = 2, .fields = 3, .owners = 1 };
	ix.label_key[0] = str_n(strstr(json, "app"), 3);
	ix.label_value[0] = str_n(strstr(json, "web"), 3);
	ix.label_key[1] = STR("decoded\n");
	ix.label_value[1] = STR_NONE;
	ix.field[0] = str_n(json + 2, 10); /* before the splice */
	ix.field[1] = STR("");
	char *huge = mem_strndup(json, 1); /* longer than a narrow length */
	huge = mem_resize(huge, 6000, 1);
	memset(huge, 'h', 6000);
	ix.field[2] = str_n(huge, padding > 100 ? 6000 : 60);
	ix.owner_uid[0] = str_n(strstr(json, "u-1"), 3);
	struct watch_obj *o = watch_obj_new(STR("/pods/d/a"), 7, 3, buf_str(&b), &ix);
	buf_fini(&b);
	cr_assert_eq(watch_obj_labels(o), 2);
	cr_assert_eq(watch_obj_fields(o), 3);
	cr_assert_eq(watch_obj_owners(o), 1);
	cr_assert_eq(watch_obj_create_rev(o), 3);
	struct str v;
	cr_assert(watch_obj_label(o, STR("app"), &v));
	cr_assert(str_is(v, "web"));
	cr_assert(v.p > watch_obj_json(o).p && v.p < watch_obj_json(o).p + watch_obj_json(o).len);
	cr_assert(watch_obj_label(o, STR("decoded\n"), &v));
	cr_assert_eq(v.len, 0);
	cr_assert_not(watch_obj_label(o, STR("ap"), &v));
	cr_assert(str_is(watch_obj_label_key(o, 1), "decoded\n"));
	cr_assert(str_is(watch_obj_label_value(o, 0), "web"));
	cr_assert(str_is(watch_obj_field(o, 0), "apiVersion"));
	cr_assert_eq(watch_obj_field(o, 1).len, 0);
	cr_assert_eq(watch_obj_field(o, 2).len, padding > 100 ? 6000 : 60);
	cr_assert(str_starts(watch_obj_field(o, 2), STR("hhhh")));
	cr_assert(str_is(watch_obj_owner_uid(o, 0), "u-1"));
	mem_free(huge);
	watch_obj_unref(o);
}

Test(watch, labels_fields_and_owners_point_into_the_text)
{
	check_index(10);
	check_index(2000);
	check_index(3U << 20);
}

/* ---- the tree against a sorted array ---- */

enum { MODEL_KEYS = 600, MODEL_SNAPS = 12 };

struct model {
	int64_t rev[MODEL_KEYS]; /* 0 = not there */
	struct watch_node *root;
};

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static struct str model_key(char out[32], size_t i)
{
	(void)snprintf(out, 32, "g%zu/r%zu/n%zu/%05zu", i / 300, i / 100 % 3, i / 20 % 5, i);
	return str_of(out);
}

struct seen {
	const struct model *m;
	size_t at, n, stop;
	bool wrong;
};

static bool see(void *arg, struct watch_obj *o)
{
	struct seen *s = arg;
	char key[32];
	while (s->at < MODEL_KEYS && s->m->rev[s->at] == 0)
		s->at++;
	if (s->at == MODEL_KEYS || !str_eq(watch_obj_key(o), model_key(key, s->at)) ||
	    watch_obj_rev(o) != s->m->rev[s->at])
		s->wrong = true;
	s->at++;
	return ++s->n != s->stop;
}

/* The keys of the model are in byte order, and these prefixes are ranges of it. */
static void check_model(const struct model *m, uint64_t *seed)
{
	static const struct {
		const char *prefix;
		size_t from, to;
	} RANGES[] = {
		{ "", 0, MODEL_KEYS },
		{ "g0/", 0, 300 },
		{ "g1/", 300, 600 },
		{ "g0/r1/", 100, 200 },
		{ "g1/r2/n4/", 580, 600 },
		{ "g1/r0/n0/", 300, 320 },
		{ "g", 0, MODEL_KEYS },
		{ "g2", 0, 0 },
		{ "f", 0, 0 },
		{ "g0/r1/n0/00100", 100, 101 },
	};
	size_t alive = 0;
	for (size_t i = 0; i < MODEL_KEYS; i++)
		alive += m->rev[i] != 0;
	cr_assert_eq(watch_tree_check(m->root), alive);
	for (size_t k = 0; k < sizeof(RANGES) / sizeof(RANGES[0]); k++) {
		size_t want = 0;
		for (size_t i = RANGES[k].from; i < RANGES[k].to; i++)
			want += m->rev[i] != 0;
		cr_assert_eq(watch_tree_count(m->root, str_of(RANGES[k].prefix)), want);
		struct seen s = { .m = m, .at = RANGES[k].from };
		watch_tree_walk(m->root, str_of(RANGES[k].prefix), STR(""), see, &s);
		cr_assert(!s.wrong && s.n == want, "%s", RANGES[k].prefix);
		if (RANGES[k].to == RANGES[k].from)
			continue;
		/* From some key on, which need not exist, and stopped after a few. */
		char from[32];
		size_t start = RANGES[k].from + next(seed) % (RANGES[k].to - RANGES[k].from);
		s = (struct seen){ .m = m, .at = start, .stop = 1 + next(seed) % 50 };
		watch_tree_walk(m->root, str_of(RANGES[k].prefix), model_key(from, start), see, &s);
		want = 0;
		for (size_t i = start; i < RANGES[k].to && want < s.stop; i++)
			want += m->rev[i] != 0;
		cr_assert(!s.wrong && s.n == want);
	}
	for (size_t i = 0; i < MODEL_KEYS; i += 7) {
		char key[32];
		const struct watch_obj *o = watch_tree_find(m->root, model_key(key, i));
		cr_assert_eq(o ? watch_obj_rev(o) : 0, m->rev[i]);
	}
}

static void change(struct model *m, uint64_t *seed, int64_t rev, unsigned deletes)
{
	char key[32];
	size_t i = next(seed) % MODEL_KEYS;
	struct watch_obj *old = NULL;
	int64_t was = m->rev[i];
	if (next(seed) % 100 < deletes) {
		m->root = watch_tree_del(m->root, model_key(key, i), &old);
		m->rev[i] = 0;
	} else {
		m->root = watch_tree_put(m->root, obj_of(model_key(key, i).p, rev, HEAD "}}", NULL),
					 &old);
		m->rev[i] = rev;
	}
	cr_assert_eq(old ? watch_obj_rev(old) : 0, was);
	watch_obj_unref(old);
}

Test(watch, the_tree_is_a_sorted_array_and_old_trees_stay_as_they_were)
{
	uint64_t seed = 0x9E3779B97F4A7C15U;
	static struct model now, old[MODEL_SNAPS];
	int64_t rev = 0;
	for (int phase = 0; phase < 12; phase++) {
		/* Grow, churn, shrink to nothing, again. */
		unsigned deletes = phase % 4 == 0 ? 5 : phase % 4 == 3 ? 97 : 50;
		for (int k = 0; k < 3000; k++) {
			change(&now, &seed, ++rev, deletes);
			if (next(&seed) % 400)
				continue;
			struct model *o = &old[next(&seed) % MODEL_SNAPS];
			watch_tree_unref(o->root);
			*o = now;
			(void)watch_tree_ref(now.root);
		}
		check_model(&now, &seed);
		for (size_t i = 0; i < MODEL_SNAPS; i++)
			check_model(&old[i], &seed);
	}
	for (size_t i = 0; i < MODEL_SNAPS; i++)
		watch_tree_unref(old[i].root);
	watch_tree_unref(now.root);
}

Test(watch, keys_in_order_fill_the_nodes)
{
	struct watch_node *root = NULL;
	struct watch_obj *old = NULL;
	for (size_t i = 0; i < 5000; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "%06zu", i);
		root = watch_tree_put(root, obj_of(key, 1, "{}", NULL), &old);
	}
	cr_assert_eq(watch_tree_check(root), 5000);
	for (size_t i = 0; i < 5000; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "%06zu", i);
		root = watch_tree_del(root, str_of(key), &old);
		cr_assert_not_null(old);
		watch_obj_unref(old);
		if (i % 500 == 0)
			cr_assert_eq(watch_tree_check(root), 4999 - i);
	}
	cr_assert_null(root);
}

/* ---- the cache ---- */

struct bed {
	struct watch_cache *c;
	int64_t batch_rev;
	size_t batches, events;
};

static void on_batch(void *arg, struct watch_event *const *ev, size_t n, int64_t rev)
{
	struct bed *b = arg;
	cr_assert_eq(watch_cache_rev(b->c), rev, "a batch is visible when it is told of");
	for (size_t i = 0; i < n; i++)
		cr_assert_leq(ev[i]->rev, rev);
	b->batch_rev = rev;
	b->batches++;
	b->events += n;
}

static void bed_init(struct bed *b, size_t events, size_t bytes)
{
	*b = (struct bed){ 0 };
	struct watch_config cfg = { .window_events = events,
				    .window_bytes = bytes,
				    .on_batch = on_batch,
				    .on_batch_arg = b };
	b->c = watch_cache_new(&cfg);
}

static void feed(struct bed *b, enum store_op op, const char *key, int64_t rev, int64_t prev)
{
	char json[128];
	(void)snprintf(json, sizeof(json), HEAD "\"name\":\"%s\",\"at\":%lld}}", key,
		       (long long)rev);
	struct store_event ev = { .rev = rev,
				  .op = op,
				  .prev_rev = prev,
				  .create_rev = op == STORE_CREATE ? rev : 0,
				  .key = str_of(key),
				  .value = bytes_of_str(str_of(json)) };
	watch_cache_events(b->c, &ev, 1, rev);
	bytes_unref(ev.value);
}

struct replayed {
	size_t n;
	int64_t rev[64];
	enum watch_type type[64];
	bool has_prev[64];
};

static void on_event(void *arg, struct watch_event *e)
{
	struct replayed *r = arg;
	cr_assert(r->n == 0 || r->rev[r->n - 1] < e->rev);
	cr_assert_lt(r->n, 64);
	r->rev[r->n] = e->rev;
	r->has_prev[r->n] = e->prev != NULL;
	r->type[r->n++] = e->type;
}

static int replay(struct bed *b, int64_t from, const char *prefix, struct replayed *r)
{
	struct error err = { 0 };
	int64_t to = 0;
	*r = (struct replayed){ 0 };
	int rc = watch_replay(b->c, from, str_of(prefix), on_event, r, &to, &err);
	if (rc == 0)
		cr_assert_eq(to, watch_cache_rev(b->c));
	return rc;
}

Test(watch, a_replay_gives_each_event_behind_a_revision_once)
{
	struct bed b;
	bed_init(&b, 100, 1U << 20);
	struct replayed r;
	watch_cache_compacted(b.c, 0);
	watch_cache_events(b.c, NULL, 0, 0);
	feed(&b, STORE_CREATE, "/pods/a/x", 1, 0);
	feed(&b, STORE_CREATE, "/pods/b/y", 2, 0);
	feed(&b, STORE_UPDATE, "/pods/a/x", 5, 1);
	feed(&b, STORE_DELETE, "/pods/b/y", 7, 2);
	watch_cache_events(b.c, NULL, 0, 9);
	cr_assert_eq(watch_cache_rev(b.c), 9);
	cr_assert_eq(b.batch_rev, 9);
	cr_assert_eq(replay(&b, 0, "", &r), 0);
	cr_assert_eq(r.n, 4);
	cr_assert_eq(r.type[0], WATCH_ADDED);
	cr_assert_eq(r.type[2], WATCH_MODIFIED);
	cr_assert_eq(r.type[3], WATCH_DELETED);
	cr_assert(!r.has_prev[0] && r.has_prev[2] && r.has_prev[3]);
	cr_assert_eq(replay(&b, 2, "", &r), 0);
	cr_assert_eq(r.n, 2);
	cr_assert_eq(replay(&b, 3, "/pods/a/", &r), 0);
	cr_assert_eq(r.n, 1);
	cr_assert_eq(r.rev[0], 5);
	cr_assert_eq(replay(&b, 9, "", &r), 0);
	cr_assert_eq(r.n, 0);
	cr_assert_eq(replay(&b, 10, "", &r), ERR_TIMEOUT);
	struct watch_snap *s = watch_snap_get(b.c);
	cr_assert_eq(watch_snap_rev(s), 9);
	cr_assert_eq(watch_snap_count(s, STR("")), 1);
	struct watch_obj *o = watch_snap_find(s, STR("/pods/a/x"));
	cr_assert_not_null(o);
	cr_assert_eq(watch_obj_rev(o), 5);
	cr_assert_eq(watch_obj_create_rev(o), 1, "carried over from the object before");
	watch_snap_unref(s);
	(void)watch_cache_free(b.c);
}

Test(watch, revisions_outside_of_the_window_are_expired)
{
	struct bed b;
	struct replayed r;
	bed_init(&b, 10, 1U << 20);
	watch_cache_compacted(b.c, 0);
	for (int64_t rev = 1; rev <= 30; rev++)
		feed(&b, rev == 1 ? STORE_CREATE : STORE_UPDATE, "/pods/a/x", rev, rev - 1);
	cr_assert_eq(replay(&b, 0, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 19, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 20, "", &r), 0, "ten events are kept");
	cr_assert_eq(r.n, 10);
	cr_assert_eq(r.rev[0], 21);
	cr_assert_eq(watch_check_rev(b.c, 19, NULL), ERR_EXPIRED);
	cr_assert_eq(watch_check_rev(b.c, 20, NULL), 0);
	watch_cache_compacted(b.c, 25);
	cr_assert_eq(replay(&b, 24, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 25, "", &r), 0);
	cr_assert_eq(r.n, 5);
	(void)watch_cache_free(b.c);
	/* By bytes: each event has about 100 of them and its own size. */
	bed_init(&b, 1000, 4096);
	for (int64_t rev = 1; rev <= 100; rev++)
		feed(&b, rev == 1 ? STORE_CREATE : STORE_UPDATE, "/pods/a/x", rev, rev - 1);
	cr_assert_eq(replay(&b, 50, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 90, "", &r), 0);
	(void)watch_cache_free(b.c);
}

Test(watch, revisions_lost_in_a_failover_are_expired_and_no_others)
{
	struct bed b;
	struct replayed r;
	bed_init(&b, 100, 1U << 20);
	watch_cache_compacted(b.c, 0);
	feed(&b, STORE_CREATE, "/pods/a/x", 10, 0);
	watch_cache_epoch(b.c, 10, 1000);
	watch_cache_events(b.c, NULL, 0, 999);
	feed(&b, STORE_UPDATE, "/pods/a/x", 1000, 10);
	cr_assert_eq(replay(&b, 10, "", &r), 0);
	cr_assert_eq(r.n, 1);
	cr_assert_eq(replay(&b, 11, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 999, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 1000, "", &r), 0);
	cr_assert_eq(watch_check_rev(b.c, 500, NULL), ERR_EXPIRED);
	/* However many there were, old ones do not become valid again. */
	for (int64_t i = 0; i < 100; i++)
		watch_cache_epoch(b.c, 2000 + i * 10, 2005 + i * 10);
	cr_assert_eq(watch_check_rev(b.c, 500, NULL), ERR_EXPIRED);
	cr_assert_eq(watch_check_rev(b.c, 2002, NULL), ERR_EXPIRED);
	cr_assert_eq(watch_check_rev(b.c, 2992, NULL), ERR_EXPIRED);
	cr_assert_eq(watch_check_rev(b.c, 2990, NULL), 0);
	(void)watch_cache_free(b.c);
}

Test(watch, what_the_store_loads_can_be_resumed)
{
	struct bed b;
	struct replayed r;
	bed_init(&b, 100, 1U << 20);
	struct bytes *v = bytes_of_str(STR(HEAD "\"name\":\"x\"}}"));
	struct store_event ev = { .key = STR("/pods/a/x"), .value = v };
	watch_cache_compacted(b.c, 5);
	watch_cache_load(b.c, STR("/pods/a/x"), 8, 2, v);
	watch_cache_load(b.c, STR("/pods/a/z"), 3, 3, v);
	ev.op = STORE_UPDATE;
	ev.rev = 6;
	ev.prev_rev = 4;
	watch_cache_history(b.c, &ev);
	ev.rev = 8;
	ev.prev_rev = 6;
	watch_cache_history(b.c, &ev);
	ev.key = STR("/pods/a/y");
	ev.op = STORE_DELETE;
	ev.rev = 9;
	ev.prev_rev = 1;
	watch_cache_history(b.c, &ev);
	watch_cache_events(b.c, NULL, 0, 9);
	cr_assert_eq(replay(&b, 4, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 5, "", &r), 0);
	cr_assert_eq(r.n, 3);
	cr_assert(!r.has_prev[0] && r.has_prev[1] && !r.has_prev[2]);
	feed(&b, STORE_UPDATE, "/pods/a/x", 10, 8);
	cr_assert_eq(replay(&b, 8, "", &r), 0);
	cr_assert_eq(r.n, 2);
	struct watch_snap *s = watch_snap_get(b.c);
	cr_assert_eq(watch_obj_create_rev(watch_snap_find(s, STR("/pods/a/x"))), 2);
	cr_assert_eq(watch_snap_count(s, STR("/pods/")), 2);
	watch_snap_unref(s);
	bytes_unref(v);
	(void)watch_cache_free(b.c);
	/* Without a word about the history there is none before what was loaded. */
	bed_init(&b, 100, 1U << 20);
	v = bytes_of_str(STR(HEAD "}}"));
	watch_cache_load(b.c, STR("/pods/a/x"), 8, 2, v);
	watch_cache_events(b.c, NULL, 0, 9);
	cr_assert_eq(replay(&b, 7, "", &r), ERR_EXPIRED);
	cr_assert_eq(replay(&b, 8, "", &r), 0);
	bytes_unref(v);
	(void)watch_cache_free(b.c);
}

static void expect_line(struct watch_event *e, enum watch_type as, const char *want)
{
	struct bytes *line = watch_event_line(e, as);
	struct bytes *again = watch_event_line(e, as);
	cr_expect_eq(line, again, "encoded once");
	cr_expect_str_eq(line->data, want);
	bytes_unref(line);
	bytes_unref(again);
}

Test(watch, an_event_becomes_a_line_once)
{
	struct watch_obj *before = obj_of("/pods/a/x", 4, HEAD "\"a\":1}}", NULL);
	struct watch_obj *after = obj_of("/pods/a/x", 5, HEAD "\"a\":2}}", NULL);
	struct watch_event *e = watch_event_new(WATCH_MODIFIED, 5, after, before);
	expect_line(e, WATCH_ADDED,
		    "{\"type\":\"ADDED\",\"object\":" HEAD
		    "\"resourceVersion\":\"5\",\"a\":2}}}\n");
	expect_line(e, WATCH_MODIFIED,
		    "{\"type\":\"MODIFIED\",\"object\":" HEAD
		    "\"resourceVersion\":\"5\",\"a\":2}}}\n");
	/* It left a filter: its last state inside, at the revision of the change. */
	expect_line(e, WATCH_DELETED,
		    "{\"type\":\"DELETED\",\"object\":" HEAD
		    "\"resourceVersion\":\"5\",\"a\":1}}}\n");
	watch_event_unref(e);
	e = watch_event_new(WATCH_DELETED, 6, obj_of("/pods/a/x", 6, HEAD "\"a\":2}}", NULL), NULL);
	expect_line(e, WATCH_DELETED,
		    "{\"type\":\"DELETED\",\"object\":" HEAD
		    "\"resourceVersion\":\"6\",\"a\":2}}}\n");
	watch_event_unref(e);
}

Test(watch, a_kept_snapshot_comes_back_until_its_time_is_over)
{
	struct bed b;
	bed_init(&b, 100, 1U << 20);
	feed(&b, STORE_CREATE, "/pods/a/x", 1, 0);
	struct watch_snap *s = watch_snap_get(b.c);
	watch_snap_keep(b.c, s, 1000);
	watch_snap_unref(s);
	feed(&b, STORE_DELETE, "/pods/a/x", 2, 1);
	s = watch_snap_at(b.c, 1, 2000);
	cr_assert_not_null(s);
	cr_assert_eq(watch_snap_count(s, STR("")), 1);
	watch_snap_keep(b.c, s, 200000); /* a page more: it lives on */
	watch_snap_unref(s);
	s = watch_snap_at(b.c, 1, 400000);
	cr_assert_not_null(s);
	watch_snap_unref(s);
	cr_assert_null(watch_snap_at(b.c, 1, 600000));
	s = watch_snap_at(b.c, 2, 600000);
	cr_assert_not_null(s, "the newest is always there");
	watch_snap_unref(s);
	for (int64_t rev = 3; rev < 1500; rev++) {
		feed(&b, rev == 3 ? STORE_CREATE : STORE_UPDATE, "/pods/a/x", rev,
		     rev == 3 ? 0 : rev - 1);
		s = watch_snap_get(b.c);
		watch_snap_keep(b.c, s, 700000);
		watch_snap_unref(s);
	}
	cr_assert_null(watch_snap_at(b.c, 400, 700001), "a thousand are kept");
	s = watch_snap_at(b.c, 600, 700001);
	cr_assert_not_null(s);
	cr_assert_eq(watch_obj_rev(watch_snap_find(s, STR("/pods/a/x"))), 600);
	watch_snap_unref(s);
	(void)watch_cache_free(b.c);
}

Test(watch, a_snapshot_outlives_changes_and_the_cache)
{
	struct bed b;
	bed_init(&b, 10, 1U << 20);
	char key[32];
	for (int64_t i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof(key), "/pods/a/%04d", (int)i);
		feed(&b, STORE_CREATE, key, i + 1, 0);
	}
	struct watch_snap *s = watch_snap_get(b.c);
	for (int64_t i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof(key), "/pods/a/%04d", (int)i);
		feed(&b, STORE_DELETE, key, 501 + i, i + 1);
	}
	struct bytes *held = bytes_ref(watch_obj_bytes(watch_snap_find(s, STR("/pods/a/0007"))));
	(void)watch_cache_free(b.c);
	cr_assert_eq(watch_snap_count(s, STR("/pods/")), 500);
	watch_snap_unref(s);
	cr_assert(str_starts(bytes_str(held), STR(HEAD "\"resourceVersion\":\"8\",")));
	bytes_unref(held);
}
