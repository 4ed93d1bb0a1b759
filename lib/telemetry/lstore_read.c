/* Reading a container's lines: what there is, is listed once; then one block at a time is unpacked and printed. */
#include "base/mem.h"
#include "sys/loop.h"
#include "telemetry/lstore_priv.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A block to read: a row, or packed bytes of its own. */
struct item {
	char *table; /* NULL: data */
	uint32_t stream, attempt;
	int64_t id, t0_ns, t1_ns;
	size_t lines;
	bool without; /* certainly none of what is looked for */
	struct buf data;
};

struct lstore_cursor {
	struct intake_work work;
	struct lstore *s;
	struct loop *loop;
	struct lstore_query q;
	struct arena arena; /* of the query */
	lstore_piece_fn fn;
	void *arg;
	/* the worker's, while a work is under way */
	bool listed;
	struct item *items;
	size_t len, cap, at;
	int64_t skip_lines; /* of those that are wanted */
	int64_t left_bytes; /* of limit_bytes */
	bool mid_line;      /* the line before was partial */
	struct buf raw, out;
	struct error err;
	bool end;
	/* the loop's */
	bool closed, busy;
};

static void cursor_free(struct lstore_cursor *c)
{
	for (size_t i = 0; i < c->len; i++) {
		mem_free(c->items[i].table);
		buf_fini(&c->items[i].data);
	}
	mem_free(c->items);
	buf_fini(&c->raw);
	buf_fini(&c->out);
	arena_fini(&c->arena);
	mem_free(c);
}

/* ---- listing ---- */

static struct item *item_add(struct lstore_cursor *c)
{
	mem_grow(c->items, c->len, c->cap);
	c->items[c->len] = (struct item){ 0 };
	return &c->items[c->len++];
}

struct listing {
	struct lstore_cursor *c;
	const char *table;
	uint32_t stream;
};

static bool may_hold(const struct lstore_cursor *c, struct str bloom)
{
	/* A word inside the wanted text is whole in the lines only when something else is on both sides. */
	struct str text = c->q.contains;
	size_t i = 0;
	while (i < text.len) {
		size_t from = i;
		while (i < text.len && (uint8_t)text.p[i] < 128 &&
		       (text.p[i] == '_' || (text.p[i] >= '0' && text.p[i] <= '9') ||
			((text.p[i] | 32) >= 'a' && (text.p[i] | 32) <= 'z')))
			i++;
		if (from > 0 && i < text.len && i > from &&
		    !logchunk_bloom_has(bloom, str_sub(text, from, i)))
			return false;
		i += i == from;
	}
	return true;
}

static int on_row(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct listing *l = arg;
	struct item *it = item_add(l->c);
	it->without = !may_hold(l->c, row[5].s);
	it->table = mem_strdup(l->table);
	it->stream = l->stream;
	it->id = row[0].i;
	it->attempt = (uint32_t)row[1].i;
	it->t0_ns = row[2].i;
	it->t1_ns = row[3].i;
	it->lines = (size_t)row[4].i;
	return 0;
}

static int list_rows(struct lstore_cursor *c, uint32_t stream, struct error *err)
{
	struct intake *in = c->s->intake;
	const struct intake_parts *parts = intake_parts(in);
	int rc = 0;
	for (size_t i = 0; !rc && i < parts->len; i++) {
		struct listing l = { c, parts->v[i].table, stream };
		struct sql_value p = sql_int(stream);
		char stmt[160];
		if (strcmp(parts->v[i].kind, "logchunk") != 0)
			continue;
		(void)snprintf(stmt, sizeof(stmt),
			       "SELECT id, attempt, t0, t1, nlines, bloom FROM %s "
			       "WHERE stream_id = $1 ORDER BY id",
			       l.table);
		rc = intake_exec(in, stmt, &p, 1, on_row, &l, err);
	}
	return rc;
}

static void list_memory(struct lstore_cursor *c, uint32_t stream)
{
	size_t pos = 0;
	struct str key;
	void *value;
	for (const struct lblock *b = c->s->blocks; b; b = b->next) {
		if (b->stream != stream)
			continue;
		struct item *it = item_add(c);
		*it = (struct item){ .stream = stream,
				     .attempt = b->attempt,
				     .id = INT64_MAX - 1,
				     .t0_ns = b->t0_ns,
				     .t1_ns = b->t1_ns,
				     .lines = b->lines };
		buf_add_str(&it->data, buf_str(&b->data));
	}
	while (map_next(&c->s->heads, &pos, &key, &value)) {
		const struct lhead *h = value;
		if (h->stream != stream || !h->chunk.lines)
			continue;
		struct item *it = item_add(c);
		*it = (struct item){ .stream = stream,
				     .attempt = h->attempt,
				     .id = INT64_MAX,
				     .t0_ns = h->chunk.t0_ns,
				     .t1_ns = h->chunk.t1_ns,
				     .lines = h->chunk.lines };
		logchunk_pack(&h->chunk, &it->data);
	}
}

static int by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	if (x->t0_ns != y->t0_ns)
		return x->t0_ns < y->t0_ns ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* The last attempt, or the one before it; -1 = none. */
static int64_t wanted_attempt(const struct lstore_cursor *c)
{
	int64_t last = -1, before = -1;
	for (size_t i = 0; i < c->len; i++) {
		int64_t a = c->items[i].attempt;
		if (a > last) {
			before = last;
			last = a;
		} else if (a < last && a > before) {
			before = a;
		}
	}
	return c->q.previous ? before : last;
}

static bool is_filtered(const struct lstore_cursor *c)
{
	return c->q.since_unix_ns || c->q.contains.len;
}

static void choose(struct lstore_cursor *c)
{
	int64_t want = wanted_attempt(c), lines = 0;
	size_t kept = 0;
	for (size_t i = 0; i < c->len; i++) {
		struct item *it = &c->items[i];
		if (it->attempt == want && !it->without &&
		    (!c->q.since_unix_ns || it->t1_ns >= c->q.since_unix_ns)) {
			lines += (int64_t)it->lines;
			c->items[kept++] = *it;
			continue;
		}
		mem_free(it->table);
		buf_fini(&it->data);
	}
	c->len = kept;
	if (kept)
		qsort(c->items, kept, sizeof(*c->items), by_time);
	if (!is_filtered(c) && c->q.tail_lines >= 0 && lines > c->q.tail_lines)
		c->skip_lines = lines - c->q.tail_lines;
}

/* ---- one block ---- */

static bool is_wanted(const struct lstore_cursor *c, const struct record_line *line)
{
	if (c->q.since_unix_ns && line->unix_ns < c->q.since_unix_ns)
		return false;
	return !c->q.contains.len || str_find_str(line->text, c->q.contains, 0) >= 0;
}

static int on_data(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	buf_add_str(arg, row[0].s);
	return 0;
}

/* The row's packed bytes; none when its day was dropped meanwhile. */
static int fetch(struct lstore_cursor *c, struct item *it, struct error *err)
{
	const struct intake_parts *parts = intake_parts(c->s->intake);
	struct sql_value p[] = { sql_int(it->stream), sql_int(it->id) };
	char stmt[120];
	for (size_t i = 0; i < parts->len; i++) {
		if (strcmp(parts->v[i].table, it->table) != 0)
			continue;
		(void)snprintf(stmt, sizeof(stmt),
			       "SELECT data FROM %s WHERE stream_id = $1 AND id = $2", it->table);
		return intake_exec(c->s->intake, stmt, p, 2, on_data, &it->data, err);
	}
	return 0;
}

/* How many wanted lines the block has. */
static int count_item(struct lstore_cursor *c, struct item *it, int64_t *ret, struct error *err)
{
	struct logchunk_walk w;
	struct record_line line;
	int rc = it->table ? fetch(c, it, err) : 0;
	*ret = 0;
	if (rc || !it->data.len)
		return rc;
	rc = logchunk_open(buf_str(&it->data), &c->raw, &w, err);
	while (!rc && logchunk_next(&w, &line))
		*ret += is_wanted(c, &line);
	if (it->table) {
		buf_fini(&it->data);
		it->data = (struct buf){ 0 };
	}
	return rc;
}

/* The tail of wanted lines cannot be told from the rows: counts back from the end. */
static int find_tail(struct lstore_cursor *c, struct error *err)
{
	int64_t lines = 0;
	size_t i = c->len;
	int rc = 0;
	while (!rc && i > 0 && lines < c->q.tail_lines) {
		int64_t n = 0;
		rc = count_item(c, &c->items[--i], &n, err);
		lines += n;
	}
	c->at = i;
	c->skip_lines = lines > c->q.tail_lines ? lines - c->q.tail_lines : 0;
	return rc;
}

static int list_all(struct lstore_cursor *c, struct error *err)
{
	struct matcher m[2];
	struct index_ids ids = { 0 };
	int rc = matcher_init(&m[0], MATCHER_EQUAL, STR("uid"), c->q.uid, err);
	if (!rc)
		rc = matcher_init(&m[1], MATCHER_EQUAL, STR("container"), c->q.container, err);
	if (!rc)
		index_select(intake_index(c->s->intake), m, 2, &ids);
	for (size_t i = 0; !rc && i < ids.len; i++) {
		rc = list_rows(c, ids.v[i], err);
		list_memory(c, ids.v[i]);
	}
	mem_free(ids.v);
	if (rc)
		return rc;
	/* Lines that are all too old are no lines, and no error; an attempt that never was is one. */
	if (wanted_attempt(c) < 0)
		return error_set(err, ERR_NOT_FOUND, "no stored lines of container \"%.*s\"",
				 STR_ARG(c->q.container));
	choose(c);
	c->listed = true;
	return is_filtered(c) && c->q.tail_lines >= 0 ? find_tail(c, err) : 0;
}

/* ---- printing ---- */

static void print_line(struct lstore_cursor *c, const struct record_line *line)
{
	if (c->q.timestamps && !c->mid_line) {
		int64_t sec = line->unix_ns / 1000000000, ns = line->unix_ns % 1000000000;
		rfc3339_write_nano(&c->out, ns < 0 ? sec - 1 : sec,
				   (int32_t)(ns < 0 ? ns + 1000000000 : ns));
		buf_addc(&c->out, ' ');
	}
	buf_add_str(&c->out, line->text);
	if (!line->partial)
		buf_addc(&c->out, '\n');
	c->mid_line = line->partial;
}

static int print_item(struct lstore_cursor *c, struct item *it, struct error *err)
{
	struct logchunk_walk w;
	struct record_line line;
	if (!is_filtered(c) && c->skip_lines >= (int64_t)it->lines) {
		c->skip_lines -= (int64_t)it->lines;
		return 0;
	}
	int rc = it->table ? fetch(c, it, err) : 0;
	if (rc || !it->data.len)
		return rc;
	rc = logchunk_open(buf_str(&it->data), &c->raw, &w, err);
	while (!rc && logchunk_next(&w, &line)) {
		if (!is_wanted(c, &line))
			continue;
		if (c->skip_lines > 0)
			c->skip_lines--;
		else
			print_line(c, &line);
	}
	buf_fini(&it->data);
	it->data = (struct buf){ 0 };
	return rc;
}

static int piece(struct lstore_cursor *c, const struct error *down, struct error *err)
{
	if (down)
		return error_set(err, ERR_UNAVAILABLE, "%s", down->msg);
	int rc = c->listed ? 0 : list_all(c, err);
	while (!rc && !c->out.len && c->at < c->len)
		rc = print_item(c, &c->items[c->at++], err);
	c->end = c->at == c->len;
	if (!rc && c->q.limit_bytes) {
		if ((int64_t)c->out.len >= c->left_bytes) {
			c->out.len = (size_t)c->left_bytes;
			c->end = true;
		}
		c->left_bytes -= (int64_t)c->out.len;
	}
	return rc;
}

/* ---- there and back ---- */

static void deliver(void *arg)
{
	struct lstore_cursor *c = arg;
	c->busy = false;
	if (c->closed) {
		cursor_free(c);
		return;
	}
	c->fn(c->arg, c->err.code ? &c->err : NULL, buf_str(&c->out), c->end);
}

static void run(struct intake_work *w, struct intake *in, const struct error *down)
{
	struct lstore_cursor *c = container_of(w, struct lstore_cursor, work);
	(void)in;
	buf_clear(&c->out);
	(void)!piece(c, down, &c->err);
	loop_post(c->loop, deliver, c);
}

void lstore_next(struct lstore_cursor *c)
{
	c->busy = true;
	intake_post(c->s->intake, &c->work);
}

struct lstore_cursor *lstore_open(struct lstore *s, struct loop *loop, const struct lstore_query *q,
				  lstore_piece_fn fn, void *arg)
{
	struct lstore_cursor *c = mem_new(struct lstore_cursor, 1);
	c->work.run = run;
	c->s = s;
	c->loop = loop;
	c->q = *q;
	c->q.uid = arena_str(&c->arena, q->uid);
	c->q.container = arena_str(&c->arena, q->container);
	c->q.contains = arena_str(&c->arena, q->contains);
	c->left_bytes = q->limit_bytes;
	c->fn = fn;
	c->arg = arg;
	lstore_next(c);
	return c;
}

void lstore_close(struct lstore_cursor *c)
{
	c->closed = true;
	if (!c->busy)
		cursor_free(c);
}
