#include "tests/crash/history.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- recording ---- */

struct record *history_record(struct history *h, const char *key)
{
	mem_grow(h->records, h->records_len, h->records_cap);
	struct record *r = mem_new(struct record, 1);
	(void)snprintf(r->key, sizeof(r->key), "%s", key);
	h->records[h->records_len++] = r;
	return r;
}

void record_add(struct record *r, struct write w)
{
	mem_grow(r->writes, r->len, r->cap);
	r->writes[r->len++] = w;
}

static bool wrong(char why[WHY_BYTES], const char *fmt, ...) ATTR_PRINTF(2, 3);
static bool wrong(char why[WHY_BYTES], const char *fmt, ...)
{
	if (why[0])
		return false;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, WHY_BYTES, fmt, ap);
	va_end(ap);
	return false;
}

static void put_state(struct seen *s, const struct event *e)
{
	struct event *copy = mem_new(struct event, 1);
	*copy = *e;
	mem_free(map_set(&s->state, str_of(e->key), copy));
}

void seen_event(struct seen *s, const struct event *e)
{
	const struct event *known = map_get(&s->state, str_of(e->key));
	if (e->rev <= s->last)
		(void)wrong(s->why, "event of %s at %" PRId64 " came after %" PRId64 " was told",
			    e->key, e->rev, s->last);
	if (e->type == ADDED && known)
		(void)wrong(s->why,
			    "%s was ADDED at %" PRId64 " although it is there since %" PRId64,
			    e->key, e->rev, known->rev);
	if (e->type != ADDED && !known)
		(void)wrong(s->why,
			    "%s was changed or DELETED at %" PRId64 " without having been ADDED",
			    e->key, e->rev);
	if (e->type == DELETED && known && known->seq != e->seq)
		(void)wrong(s->why, "DELETED of %s at %" PRId64 " carries seq %u, the last was %u",
			    e->key, e->rev, e->seq, known->seq);
	s->last = e->rev > s->last ? e->rev : s->last;
	mem_grow(s->events, s->len, s->cap);
	s->events[s->len++] = *e;
	if (e->type == DELETED)
		mem_free(map_del(&s->state, str_of(e->key)));
	else
		put_state(s, e);
}

static void forget_state(struct seen *s)
{
	size_t pos = 0;
	void *v = NULL;
	while (map_next(&s->state, &pos, NULL, &v))
		mem_free(v);
	map_fini(&s->state);
	map_init(&s->state, 1);
}

void seen_list(struct seen *s, const struct item *items, const uint32_t *seqs, size_t n,
	       int64_t rev)
{
	if (rev < s->last)
		(void)wrong(s->why, "a list at %" PRId64 " after %" PRId64 " was told", rev,
			    s->last);
	if (s->start) {
		mem_grow(s->gaps, s->gaps_len, s->gaps_cap);
		s->gaps[s->gaps_len++] = (struct gap){ s->last, rev };
	} else {
		s->start = rev;
	}
	forget_state(s);
	for (size_t i = 0; i < n; i++) {
		struct event e = { .rev = items[i].rev, .type = ADDED, .seq = seqs[i] };
		memcpy(e.key, items[i].key, sizeof(e.key));
		if (e.rev > rev)
			(void)wrong(s->why, "the list at %" PRId64 " has %s at %" PRId64, rev,
				    e.key, e.rev);
		put_state(s, &e);
	}
	s->last = rev;
}

void seen_fini(struct seen *s)
{
	forget_state(s);
	map_fini(&s->state);
	mem_free(s->events);
	mem_free(s->gaps);
}

void history_fini(struct history *h)
{
	for (size_t i = 0; i < h->records_len; i++) {
		mem_free(h->records[i]->writes);
		mem_free(h->records[i]);
	}
	mem_free(h->records);
	for (size_t i = 0; i < h->watchers_len; i++)
		seen_fini(&h->watchers[i]);
	mem_free(h->list);
}

/* ---- the verdict ---- */

static bool covers(const struct seen *s, int64_t rev)
{
	if (rev <= s->start || rev > s->last)
		return false;
	for (size_t i = 0; i < s->gaps_len; i++)
		if (rev > s->gaps[i].from && rev <= s->gaps[i].to)
			return false;
	return true;
}

static bool anybody_covers(const struct history *h, int64_t rev)
{
	for (size_t i = 0; i < h->watchers_len; i++)
		if (covers(&h->watchers[i], rev))
			return true;
	return false;
}

static int by_rev(const void *a, const void *b)
{
	const struct event *x = a;
	const struct event *y = b;
	return x->rev < y->rev ? -1 : x->rev > y->rev;
}

/* All events of all watchers, each revision once; two stories of one revision are a mistake. */
static struct event *merge(const struct history *h, size_t *ret_len, char why[WHY_BYTES])
{
	size_t n = 0;
	for (size_t i = 0; i < h->watchers_len; i++)
		n += h->watchers[i].len;
	struct event *all = mem_new(struct event, n);
	n = 0;
	for (size_t i = 0; i < h->watchers_len; i++) {
		const struct seen *s = &h->watchers[i];
		if (s->len)
			memcpy(all + n, s->events, s->len * sizeof(*all));
		n += s->len;
	}
	qsort(all, n, sizeof(*all), by_rev);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		struct event *last = kept ? &all[kept - 1] : NULL;
		if (!last || last->rev != all[i].rev)
			all[kept++] = all[i];
		else if (strcmp(last->key, all[i].key) != 0 || last->seq != all[i].seq ||
			 last->type != all[i].type)
			(void)wrong(why,
				    "revision %" PRId64
				    " is %s seq %u to one watcher and %s seq %u to another",
				    last->rev, last->key, last->seq, all[i].key, all[i].seq);
	}
	*ret_len = kept;
	return all;
}

static bool watcher_is_complete(const struct seen *s, size_t id, const struct event *all, size_t n,
				char why[WHY_BYTES])
{
	if (s->why[0])
		return wrong(why, "watcher %zu: %s", id, s->why);
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		while (at < s->len && s->events[at].rev < all[i].rev)
			at++;
		bool has = at < s->len && s->events[at].rev == all[i].rev;
		if (!has && covers(s, all[i].rev))
			return wrong(why,
				     "watcher %zu was not told of %s at %" PRId64
				     " (it is at %" PRId64 ")",
				     id, all[i].key, all[i].rev, s->last);
	}
	return true;
}

/* The next write of r from *at on that e can be; acknowledged ones may not be passed over. */
static bool explain(const struct history *h, const struct record *r, size_t *at,
		    const struct event *e, char why[WHY_BYTES])
{
	for (; *at < r->len; (*at)++) {
		const struct write *w = &r->writes[*at];
		if (w->deletion == (e->type == DELETED) && w->seq == e->seq)
			break;
		if (w->outcome == ACKED && (!w->rev || anybody_covers(h, w->rev)))
			return wrong(why,
				     "LOST: %s seq %u, acknowledged at %" PRId64
				     ", is followed by seq %u at %" PRId64,
				     r->key, w->seq, w->rev, e->seq, e->rev);
	}
	if (*at == r->len)
		return wrong(why, "%s seq %u at %" PRId64 " was written twice or by nobody", r->key,
			     e->seq, e->rev);
	const struct write *w = &r->writes[(*at)++];
	if (w->outcome == ACKED && w->rev && w->rev != e->rev)
		return wrong(why, "%s seq %u was acknowledged at %" PRId64 " and told at %" PRId64,
			     r->key, w->seq, w->rev, e->rev);
	return true;
}

static bool nothing_is_left(const struct history *h, const struct record *r, size_t at,
			    char why[WHY_BYTES])
{
	for (; at < r->len; at++) {
		const struct write *w = &r->writes[at];
		if (w->outcome != ACKED)
			continue;
		if (w->rev ? anybody_covers(h, w->rev) : !h->watchers[0].gaps_len)
			return wrong(
				why,
				"LOST: %s %s seq %u, acknowledged at %" PRId64 ", was never told",
				r->key, w->deletion ? "deletion of" : "write of", w->seq, w->rev);
	}
	return true;
}

static bool writes_are_there(const struct history *h, const struct event *all, size_t n,
			     char why[WHY_BYTES])
{
	struct map by_key;
	map_init(&by_key, 2);
	size_t *at = mem_new(size_t, h->records_len);
	for (size_t i = 0; i < h->records_len; i++)
		(void)map_set(&by_key, str_of(h->records[i]->key), &h->records[i]);
	bool ok = true;
	for (size_t i = 0; i < n && ok; i++) {
		struct record **slot = map_get(&by_key, str_of(all[i].key));
		ok = slot ? explain(h, *slot, &at[slot - h->records], &all[i], why)
			  : wrong(why, "%s at %" PRId64 " was written by nobody", all[i].key,
				  all[i].rev);
	}
	for (size_t i = 0; i < h->records_len && ok; i++)
		ok = nothing_is_left(h, h->records[i], at[i], why);
	mem_free(at);
	map_fini(&by_key);
	return ok;
}

/* The final state of a key against its own writes, with no help from the watches. */
static bool value_is_possible(const struct record *r, const struct item *item, const struct seen *s,
			      char why[WHY_BYTES])
{
	const struct write *last = NULL; /* the last acknowledged one */
	bool open = false;               /* something unknown after it */
	for (size_t i = 0; i < r->len; i++) {
		if (r->writes[i].outcome == ACKED) {
			last = &r->writes[i];
			open = false;
		} else {
			open = true;
		}
	}
	if (!item)
		return !last || last->deletion || (open && r->writes[r->len - 1].deletion) ||
		       wrong(why, "LOST: %s, acknowledged at %" PRId64 ", is not in the list",
			     r->key, last->rev);
	const struct event *e = map_get(&s->state, str_of(r->key));
	if (last && last->deletion)
		return wrong(why, "LOST: the acknowledged deletion of %s", r->key);
	if (last && e && e->seq < last->seq)
		return wrong(why, "LOST: %s has seq %u, acknowledged was %u", r->key, e->seq,
			     last->seq);
	return true;
}

static bool list_is_replay(const struct history *h, char why[WHY_BYTES])
{
	struct map items;
	map_init(&items, 3);
	for (size_t i = 0; i < h->list_len; i++)
		(void)map_set(&items, str_of(h->list[i].key), &h->list[i]);
	bool ok = true;
	for (size_t w = 0; w < h->watchers_len && ok; w++) {
		const struct seen *s = &h->watchers[w];
		if (s->state.len != h->list_len)
			ok = wrong(why, "the list has %zu objects, the replay of watcher %zu %zu",
				   h->list_len, w, s->state.len);
		for (size_t i = 0; i < h->list_len && ok; i++) {
			const struct event *e = map_get(&s->state, str_of(h->list[i].key));
			if (!e || e->rev != h->list[i].rev)
				ok = wrong(why,
					   "%s is at %" PRId64 " in the list and at %" PRId64
					   " to watcher %zu",
					   h->list[i].key, h->list[i].rev, e ? e->rev : 0, w);
		}
	}
	for (size_t i = 0; i < h->records_len && ok; i++)
		ok = value_is_possible(h->records[i], map_get(&items, str_of(h->records[i]->key)),
				       &h->watchers[0], why);
	map_fini(&items);
	return ok;
}

bool history_holds(const struct history *h, char why[WHY_BYTES])
{
	why[0] = '\0';
	size_t n = 0;
	struct event *all = merge(h, &n, why);
	bool ok = !why[0];
	for (size_t i = 0; i < h->watchers_len && ok; i++)
		ok = watcher_is_complete(&h->watchers[i], i, all, n, why);
	ok = ok && writes_are_there(h, all, n, why) && list_is_replay(h, why);
	mem_free(all);
	return ok;
}

/* ---- teeth ---- */

struct planted {
	const char *name;
	/* changes the events (of watcher 1), writes and list of a history that holds */
	void (*plant)(struct history *h);
};

/* Watcher 1 sees events[skip] not at all, or events[twice] twice. */
static void tell_again(struct seen *s, size_t skip, size_t twice)
{
	struct event events[8];
	size_t n = s->len;
	memcpy(events, s->events, n * sizeof(*events));
	seen_fini(s);
	*s = (struct seen){ 0 };
	seen_list(s, NULL, NULL, 0, 10);
	for (size_t i = 0; i < n; i++) {
		if (i != skip)
			seen_event(s, &events[i]);
		if (i == twice)
			seen_event(s, &events[i]);
	}
	s->last = 20;
}

static void plant_gap(struct history *h)
{
	tell_again(&h->watchers[1], 1, 9);
}

static void plant_first(struct history *h)
{
	tell_again(&h->watchers[1], 0, 9);
}

static void plant_duplicate(struct history *h)
{
	tell_again(&h->watchers[1], 9, 2);
}

static void plant_lost_write(struct history *h)
{
	record_add(h->records[0], (struct write){ .seq = 3, .outcome = ACKED, .rev = 16 });
}

static void plant_lost_deletion(struct history *h)
{
	record_add(h->records[0], (struct write){ .seq = 2, .deletion = true, .outcome = ACKED });
}

static void plant_lost_middle(struct history *h)
{
	struct record *a = h->records[0];
	record_add(a, a->writes[1]);
	a->writes[1] = (struct write){ 9, false, ACKED, 12 };
}

static void plant_other_revision(struct history *h)
{
	h->records[0]->writes[1].rev++;
}

static void plant_reused_revision(struct history *h)
{
	h->watchers[1].events[2].seq = 7;
}

static void plant_stale_list(struct history *h)
{
	h->list[0].rev--;
}

static void plant_missing_in_list(struct history *h)
{
	h->list_len = 0;
}

static void plant_nobody(struct history *h)
{
	for (size_t w = 0; w < 2; w++)
		seen_event(&h->watchers[w], &(struct event){ 17, ADDED, 1, "z" });
}

/* Key a: seq 1, 2; key b: seq 1, deleted; an unknown write of c. */
static void small_history(struct history *h, struct seen watchers[2])
{
	static const struct event events[] = {
		{ 11, ADDED, 1, "a" },   { 12, ADDED, 1, "b" }, { 13, MODIFIED, 2, "a" },
		{ 14, DELETED, 1, "b" }, { 15, ADDED, 1, "c" },
	};
	struct record *a = history_record(h, "a");
	record_add(a, (struct write){ 1, false, ACKED, 11 });
	record_add(a, (struct write){ 2, false, ACKED, 13 });
	struct record *b = history_record(h, "b");
	record_add(b, (struct write){ 1, false, ACKED, 12 });
	record_add(b, (struct write){ 1, true, ACKED, 0 });
	record_add(history_record(h, "c"), (struct write){ 1, false, UNKNOWN, 0 });
	h->watchers = watchers;
	h->watchers_len = 2;
	for (size_t w = 0; w < 2; w++) {
		seen_list(&watchers[w], NULL, NULL, 0, 10);
		for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
			seen_event(&watchers[w], &events[i]);
		watchers[w].last = 20;
	}
	static const struct item list[] = { { "a", 13 }, { "c", 15 } };
	h->list = mem_new(struct item, 2);
	memcpy(h->list, list, sizeof(list));
	h->list_len = 2;
}

bool history_has_teeth(void)
{
	static const struct planted rows[] = {
		{ "a gap", plant_gap },
		{ "a missing first event", plant_first },
		{ "a duplicate", plant_duplicate },
		{ "a lost write", plant_lost_write },
		{ "a lost deletion", plant_lost_deletion },
		{ "a lost write in the middle", plant_lost_middle },
		{ "another revision than acknowledged", plant_other_revision },
		{ "a revision used twice", plant_reused_revision },
		{ "a stale list", plant_stale_list },
		{ "an object missing in the list", plant_missing_in_list },
		{ "an object that nobody wrote", plant_nobody },
		{ NULL, NULL },
	};
	bool ok = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct history h = { 0 };
		struct seen watchers[2] = { { 0 }, { 0 } };
		char why[WHY_BYTES];
		small_history(&h, watchers);
		if (rows[i].plant)
			rows[i].plant(&h);
		bool holds = history_holds(&h, why);
		if (holds == (rows[i].plant != NULL)) {
			(void)printf("not ok: the verdict over %s is %s\n",
				     rows[i].plant ? rows[i].name : "a good history",
				     holds ? "good" : why);
			ok = false;
		}
		history_fini(&h);
	}
	return ok;
}
