#include "tests/checker/checker.h"

#include "base/map.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSED_MAX = 64 };

struct write {
	enum checker_op op;
	enum checker_outcome outcome;
	bool answered;
	char key[CHECKER_KEY_BYTES];
	int64_t want, rev; /* rev: acknowledged */
	int64_t floor;     /* highest revision acknowledged before it began */
};

/* One change, as somebody told of it. */
struct change {
	int64_t rev;
	uint32_t id; /* DELETED: of the last state */
	enum checker_type type;
	char key[CHECKER_KEY_BYTES];
};

/* What a follower was told between two lists. */
struct segment {
	int64_t start, last;
	size_t at, n; /* of its events */
};

struct checker_watch {
	struct checker *c;
	struct change *events;
	size_t len, cap;
	struct segment *segments;
	size_t segments_len, segments_cap;
};

struct list {
	int64_t rev;
	uint64_t sum;
	size_t n;
};

struct closed {
	int64_t last, first;
};

struct checker {
	struct write *writes; /* id - 1 */
	size_t writes_len, writes_cap;
	struct checker_watch **watches;
	size_t watches_len, watches_cap;
	struct list *lists;
	size_t lists_len, lists_cap;
	struct closed closed[CLOSED_MAX];
	size_t closed_len;
	int64_t acked_rev; /* the highest */
	char why[CHECKER_WHY_BYTES];
	/* of the verdict */
	struct change *log;
	size_t log_len;
};

static bool wrong(struct checker *c, const char *fmt, ...) ATTR_PRINTF(2, 3);
static bool wrong(struct checker *c, const char *fmt, ...)
{
	if (c->why[0])
		return false;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return false;
}

struct checker *checker_new(void)
{
	return mem_new(struct checker, 1);
}

struct checker *checker_free(struct checker *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->watches_len; i++) {
		mem_free(c->watches[i]->events);
		mem_free(c->watches[i]->segments);
		mem_free(c->watches[i]);
	}
	mem_free(c->watches);
	mem_free(c->writes);
	mem_free(c->lists);
	mem_free(c->log);
	mem_free(c);
	return NULL;
}

/* ---- recording ---- */

uint32_t checker_write(struct checker *c, enum checker_op op, const char *key, int64_t want_rev)
{
	mem_grow(c->writes, c->writes_len, c->writes_cap);
	struct write *w = &c->writes[c->writes_len++];
	*w = (struct write){ .op = op, .want = want_rev, .floor = c->acked_rev };
	(void)snprintf(w->key, sizeof(w->key), "%s", key);
	return (uint32_t)c->writes_len;
}

void checker_written(struct checker *c, uint32_t id, enum checker_outcome outcome, int64_t rev)
{
	struct write *w = &c->writes[id - 1];
	w->answered = true;
	w->outcome = outcome;
	if (outcome != CHECKER_ACKED)
		return;
	w->rev = rev;
	if (rev <= w->floor)
		(void)wrong(c,
			    "%s: acknowledged at %" PRId64 ", but %" PRId64 " was before it began",
			    w->key, rev, w->floor);
	if (rev > c->acked_rev)
		c->acked_rev = rev;
}

int64_t checker_list_floor(const struct checker *c)
{
	return c->acked_rev;
}

/* States are compared as sums over what they hold. */
static uint64_t mix(int64_t rev, uint32_t id)
{
	uint64_t x = (uint64_t)rev * 0x9E3779B97F4A7C15U ^ id;
	x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9U;
	return x ^ (x >> 29);
}

void checker_listed(struct checker *c, int64_t floor, int64_t rev, const struct checker_item *items,
		    size_t n)
{
	mem_grow(c->lists, c->lists_len, c->lists_cap);
	struct list *l = &c->lists[c->lists_len++];
	*l = (struct list){ .rev = rev, .n = n };
	for (size_t i = 0; i < n; i++) {
		l->sum += mix(items[i].rev, items[i].id);
		if (items[i].rev > rev)
			(void)wrong(c, "a list at %" PRId64 " shows revision %" PRId64, rev,
				    items[i].rev);
	}
	if (rev < floor)
		(void)wrong(c, "a list at %" PRId64 ", but %" PRId64 " was acknowledged before it",
			    rev, floor);
}

struct checker_watch *checker_watch(struct checker *c)
{
	mem_grow(c->watches, c->watches_len, c->watches_cap);
	struct checker_watch *w = mem_new(struct checker_watch, 1);
	w->c = c;
	c->watches[c->watches_len++] = w;
	return w;
}

void checker_watch_listed(struct checker_watch *w, int64_t rev)
{
	mem_grow(w->segments, w->segments_len, w->segments_cap);
	w->segments[w->segments_len++] = (struct segment){ rev, rev, w->len, 0 };
}

static struct segment *open_segment(struct checker_watch *w)
{
	if (!w->segments_len) {
		(void)wrong(w->c, "a watch tells something before it began");
		checker_watch_listed(w, 0);
	}
	return &w->segments[w->segments_len - 1];
}

void checker_watch_event(struct checker_watch *w, enum checker_type type, const char *key,
			 int64_t rev, uint32_t id)
{
	struct segment *s = open_segment(w);
	if (rev <= s->last)
		(void)wrong(w->c, "%s at %" PRId64 " is told after %" PRId64, key, rev, s->last);
	s->last = rev > s->last ? rev : s->last;
	s->n++;
	mem_grow(w->events, w->len, w->cap);
	struct change *e = &w->events[w->len++];
	*e = (struct change){ .rev = rev, .id = id, .type = type };
	(void)snprintf(e->key, sizeof(e->key), "%s", key);
}

void checker_watch_bookmark(struct checker_watch *w, int64_t rev)
{
	struct segment *s = open_segment(w);
	if (rev < s->last)
		(void)wrong(w->c, "a bookmark at %" PRId64 " after %" PRId64, rev, s->last);
	s->last = rev > s->last ? rev : s->last;
}

void checker_closed(struct checker *c, int64_t last, int64_t first)
{
	if (c->closed_len < CLOSED_MAX)
		c->closed[c->closed_len++] = (struct closed){ last, first };
}

/* ---- the verdict: one log of all changes ---- */

static int by_rev(const void *a, const void *b)
{
	int64_t x = ((const struct change *)a)->rev;
	int64_t y = ((const struct change *)b)->rev;
	return x < y ? -1 : x > y;
}

static const struct closed *closed_around(const struct checker *c, int64_t rev)
{
	for (size_t i = 0; i < c->closed_len; i++)
		if (rev > c->closed[i].last && rev < c->closed[i].first)
			return &c->closed[i];
	return NULL;
}

/* All that was told, and what was acknowledged, each revision once. */
static bool make_log(struct checker *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->watches_len; i++)
		n += c->watches[i]->len;
	struct change *all = mem_new(struct change, n + 1);
	size_t at = 0;
	for (size_t i = 0; i < c->watches_len; i++) {
		const struct checker_watch *w = c->watches[i];
		if (w->len)
			memcpy(all + at, w->events, w->len * sizeof(*all));
		at += w->len;
	}
	qsort(all, n, sizeof(*all), by_rev);
	mem_free(c->log);
	c->log = all;
	c->log_len = 0;
	for (size_t i = 0; i < n; i++) {
		struct change *last = c->log_len ? &all[c->log_len - 1] : NULL;
		if (!last || last->rev != all[i].rev)
			all[c->log_len++] = all[i];
		else if (strcmp(last->key, all[i].key) != 0 || last->id != all[i].id ||
			 last->type != all[i].type)
			return wrong(c, "revision %" PRId64 " is %s by %u here and %s by %u there",
				     last->rev, last->key, last->id, all[i].key, all[i].id);
	}
	return true;
}

static size_t log_behind(const struct checker *c, int64_t rev)
{
	size_t from = 0;
	size_t to = c->log_len;
	while (from < to) {
		size_t mid = (from + to) / 2;
		if (c->log[mid].rev <= rev)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* A segment is the log between its ends, without what was closed on the way. */
static bool segment_is_whole(struct checker *c, const struct checker_watch *w,
			     const struct segment *s)
{
	const struct closed *start = closed_around(c, s->start);
	if (start && s->last >= start->first)
		return wrong(c, "who held %" PRId64 ", which was lost, is served on to %" PRId64,
			     s->start, s->last);
	size_t at = s->at;
	for (size_t i = log_behind(c, s->start); i < c->log_len && c->log[i].rev <= s->last; i++) {
		const struct change *e = &c->log[i];
		bool told = at < s->at + s->n && w->events[at].rev == e->rev;
		const struct closed *hole = closed_around(c, e->rev);
		if (told && hole && s->last >= hole->first)
			return wrong(c, "a watch tells %" PRId64 ", which was lost, and goes on",
				     e->rev);
		if (!told && !(hole && s->last >= hole->first))
			return wrong(c, "a watch at %" PRId64 " was not told of %s at %" PRId64,
				     s->last, e->key, e->rev);
		at += told;
	}
	return true;
}

/* ---- the verdict: the log against the writes ---- */

static bool write_is_told(struct checker *c, const struct write *w, uint32_t id,
			  struct checker_verdict *v)
{
	size_t i = log_behind(c, w->rev - 1);
	v->lost += closed_around(c, w->rev) != NULL;
	const struct change *e = i < c->log_len && c->log[i].rev == w->rev ? &c->log[i] : NULL;
	if (e && strcmp(e->key, w->key) == 0 &&
	    (e->type == CHECKER_DELETED) == (w->op == CHECKER_DELETE) &&
	    (w->op == CHECKER_DELETE || e->id == id))
		return true;
	if (closed_around(c, w->rev))
		return !e || wrong(c, "revision %" PRId64 " of %s was used again for %s", w->rev,
				   w->key, e->key);
	if (e)
		return wrong(c, "LOST: %" PRId64 " was acknowledged for %s by %u and is %s by %u",
			     w->rev, w->key, id, e->key, e->id);
	return wrong(c, "LOST: %s by %u, acknowledged at %" PRId64 ", was never told", w->key, id,
		     w->rev);
}

static bool writes_hold(struct checker *c, struct checker_verdict *v)
{
	for (size_t i = 0; i < c->writes_len; i++) {
		const struct write *w = &c->writes[i];
		v->writes++;
		v->acked += w->outcome == CHECKER_ACKED;
		v->unknown += w->outcome == CHECKER_UNKNOWN;
		if (w->outcome == CHECKER_ACKED && !write_is_told(c, w, (uint32_t)i + 1, v))
			return false;
	}
	return true;
}

/* ---- the verdict: replay ---- */

struct cell {
	int64_t rev; /* 0 = absent */
	uint32_t id;
	/* before the closed interval that is being passed */
	int64_t kept_rev;
	uint32_t kept_id;
	const struct closed *in;
};

struct replay {
	struct checker *c;
	struct map cells;
	uint64_t sum;
	size_t n;
	struct cell **changed; /* in the closed interval */
	size_t changed_len, changed_cap;
	size_t list; /* next to be compared */
};

static void set_cell(struct replay *r, struct cell *cell, int64_t rev, uint32_t id)
{
	if (cell->rev)
		r->sum -= mix(cell->rev, cell->id);
	if (rev)
		r->sum += mix(rev, id);
	r->n += (size_t)(rev != 0) - (size_t)(cell->rev != 0);
	cell->rev = rev;
	cell->id = id;
}

static void leave_closed(struct replay *r)
{
	for (size_t i = 0; i < r->changed_len; i++) {
		struct cell *cell = r->changed[i];
		set_cell(r, cell, cell->kept_rev, cell->kept_id);
		cell->in = NULL;
	}
	r->changed_len = 0;
}

static struct cell *cell_of(struct replay *r, const char *key)
{
	struct cell *cell = map_get(&r->cells, str_of(key));
	if (!cell) {
		cell = mem_new(struct cell, 1);
		(void)map_set(&r->cells, str_of(key), cell);
	}
	return cell;
}

static bool lists_until(struct replay *r, int64_t rev)
{
	struct checker *c = r->c;
	for (; r->list < c->lists_len && c->lists[r->list].rev < rev; r->list++) {
		const struct list *l = &c->lists[r->list];
		if (r->changed_len && l->rev >= r->changed[0]->in->first)
			leave_closed(r);
		if (l->n != r->n || l->sum != r->sum)
			return wrong(c,
				     "the list at %" PRId64 " is not the state at %" PRId64
				     " (%zu objects, %zu are)",
				     l->rev, l->rev, l->n, r->n);
	}
	return true;
}

static bool follows(struct replay *r, const struct change *e, const struct cell *cell)
{
	struct checker *c = r->c;
	if ((e->type == CHECKER_ADDED) != (cell->rev == 0))
		return wrong(c, "%s at %" PRId64 " is %s", e->key, e->rev,
			     cell->rev ? "added although it is there"
				       : "changed although it is not there");
	if (e->type == CHECKER_DELETED)
		return cell->id == e->id ||
		       wrong(c, "DELETED of %s at %" PRId64 " carries %u, not %u", e->key, e->rev,
			     e->id, cell->id);
	if (e->id == 0 || e->id > c->writes_len)
		return wrong(c, "%s at %" PRId64 " was written by nobody", e->key, e->rev);
	const struct write *w = &c->writes[e->id - 1];
	if (strcmp(w->key, e->key) != 0 || w->outcome == CHECKER_REFUSED ||
	    (w->outcome == CHECKER_ACKED && w->rev != e->rev))
		return wrong(c, "%s at %" PRId64 " is by %u, which was %s", e->key, e->rev, e->id,
			     w->outcome == CHECKER_REFUSED ? "refused" : "acknowledged elsewhere");
	if (w->op == CHECKER_UPDATE && w->want != cell->rev)
		return wrong(c,
			     "%s at %" PRId64 " replaces %" PRId64 ", its writer had read %" PRId64,
			     e->key, e->rev, cell->rev, w->want);
	return true;
}

static bool step(struct replay *r, const struct change *e)
{
	if (!lists_until(r, e->rev))
		return false;
	const struct closed *in = closed_around(r->c, e->rev);
	if (r->changed_len && r->changed[0]->in != in)
		leave_closed(r);
	struct cell *cell = cell_of(r, e->key);
	if (!follows(r, e, cell))
		return false;
	if (in && !cell->in) {
		cell->in = in;
		cell->kept_rev = cell->rev;
		cell->kept_id = cell->id;
		mem_grow(r->changed, r->changed_len, r->changed_cap);
		r->changed[r->changed_len++] = cell;
	}
	set_cell(r, cell, e->type == CHECKER_DELETED ? 0 : e->rev, e->id);
	return true;
}

static int list_by_rev(const void *a, const void *b)
{
	int64_t x = ((const struct list *)a)->rev;
	int64_t y = ((const struct list *)b)->rev;
	return x < y ? -1 : x > y;
}

static bool replay_holds(struct checker *c)
{
	struct replay r = { .c = c };
	if (c->lists_len)
		qsort(c->lists, c->lists_len, sizeof(*c->lists), list_by_rev);
	bool ok = true;
	for (size_t i = 0; i < c->log_len && ok; i++)
		ok = step(&r, &c->log[i]);
	ok = ok && lists_until(&r, INT64_MAX);
	size_t pos = 0;
	void *cell = NULL;
	while (map_next(&r.cells, &pos, NULL, &cell))
		mem_free(cell);
	map_fini(&r.cells);
	mem_free(r.changed);
	return ok;
}

bool checker_holds(struct checker *c, struct checker_verdict *ret)
{
	*ret = (struct checker_verdict){ .lists = c->lists_len };
	bool ok = !c->why[0] && make_log(c);
	for (size_t i = 0; i < c->watches_len && ok; i++) {
		const struct checker_watch *w = c->watches[i];
		ret->events += w->len;
		for (size_t k = 0; k < w->segments_len && ok; k++)
			ok = segment_is_whole(c, w, &w->segments[k]);
	}
	ok = ok && writes_hold(c, ret) && replay_holds(c);
	memcpy(ret->why, c->why, sizeof(ret->why));
	return ok;
}
