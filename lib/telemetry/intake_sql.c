#include "base/mem.h"
#include "sys/clock.h"
#include "telemetry/intake_priv.h"
#include "telemetry/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { LOAD_ROWS = 1000 };

/* Watermarks of nodes that are silent for so long are forgotten. */
static const int64_t MARK_KEPT_MS = 30LL * 24 * 3600 * 1000;

static const char *const STEPS[] = {
	"CREATE TABLE intake_state (id BIGINT PRIMARY KEY, journal BIGINT NOT NULL,"
	" series_id BIGINT NOT NULL);"
	"CREATE TABLE series (id BIGINT PRIMARY KEY, labels TEXT NOT NULL, type BIGINT NOT NULL,"
	" first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL);"
	"CREATE TABLE push_mark (node TEXT NOT NULL, stream BIGINT NOT NULL,"
	" incarnation BIGINT NOT NULL, acked BIGINT NOT NULL, at_ms BIGINT NOT NULL,"
	" PRIMARY KEY (node, stream, incarnation));"
	"CREATE TABLE push_map (id BIGINT PRIMARY KEY, node TEXT NOT NULL, stream BIGINT NOT NULL,"
	" incarnation BIGINT NOT NULL, added TEXT NOT NULL);"
	"CREATE TABLE push_ref (map_id BIGINT NOT NULL, first_ref BIGINT NOT NULL,"
	" ids BYTEA NOT NULL, PRIMARY KEY (map_id, first_ref));"
	"CREATE TABLE part (name TEXT PRIMARY KEY, kind TEXT NOT NULL, start_ms BIGINT NOT NULL,"
	" end_ms BIGINT NOT NULL);"
	"CREATE TABLE journal_1 (n BIGINT PRIMARY KEY, map_id BIGINT NOT NULL,"
	" sequence BIGINT NOT NULL, type BIGINT NOT NULL, compression BIGINT NOT NULL,"
	" payload BYTEA NOT NULL);"
	"INSERT INTO intake_state VALUES (1, 1, 0);",
};

#define JOURNAL_COLUMNS \
	"(n BIGINT PRIMARY KEY, map_id BIGINT NOT NULL, sequence BIGINT NOT NULL," \
	" type BIGINT NOT NULL, compression BIGINT NOT NULL, payload BYTEA NOT NULL)"

/* ---- statements and transactions ---- */

int intake_exec(struct intake *in, const char *stmt, const struct sql_value *p, size_t n,
		sql_row_fn row, void *arg, struct error *err)
{
	int rc = sql_exec(in->db, stmt, p, n, row, arg, NULL, err);
	in->broken |= rc != 0;
	return rc;
}

static int script(struct intake *in, const char *text, struct error *err)
{
	int rc = sql_script(in->db, text, err);
	in->broken |= rc != 0;
	return rc;
}

static uint64_t generation(struct intake *in)
{
	return sql_dialect(in->db) == SQL_POSTGRES ? sql_generation(in->db) : 0;
}

int intake_begin(struct intake *in, struct error *err)
{
	/* Another connection does not hold the lock on the database any more. */
	if (generation(in) != in->generation) {
		in->broken = true;
		return error_set(err, ERR_UNAVAILABLE, "the connection to the database was lost");
	}
	int rc = sql_begin(in->db, err);
	in->broken |= rc != 0;
	in->in_tx = rc == 0;
	return rc;
}

int intake_commit(struct intake *in, struct error *err)
{
	if (in->broken)
		return ERR_UNAVAILABLE;
	int rc = sql_commit(in->db, err);
	in->broken |= rc != 0;
	in->in_tx = false;
	return rc;
}

void intake_rollback(struct intake *in)
{
	if (in->in_tx)
		sql_rollback(in->db);
	in->in_tx = false;
}

/* ---- keys ---- */

static struct str mark_key(struct intake *in, struct str node, uint32_t stream,
			   uint64_t incarnation)
{
	buf_clear(&in->key);
	buf_addf(&in->key, "%" PRIu32 "/%" PRIu64 "/", stream, incarnation);
	buf_add_str(&in->key, node);
	return buf_str(&in->key);
}

static struct str map_key(struct intake *in, struct str node, uint32_t stream, uint64_t incarnation,
			  struct str added)
{
	(void)mark_key(in, node, stream, incarnation);
	buf_addc(&in->key, ' ');
	buf_add_str(&in->key, added);
	return buf_str(&in->key);
}

static struct str id_key(const int64_t *id)
{
	return str_n((const char *)id, sizeof(*id));
}

/* ---- memory ---- */

static void map_free(struct refmap *m)
{
	mem_free(m->key);
	mem_free(m->ids);
	mem_free(m);
}

static void parts_free(struct intake_parts *parts)
{
	for (size_t i = 0; i < parts->len; i++) {
		mem_free(parts->v[i].table);
		mem_free(parts->v[i].kind);
		for (size_t k = 0; k < 4; k++)
			mem_free(parts->v[i].statements[k]);
	}
	mem_free(parts->v);
	*parts = (struct intake_parts){ 0 };
}

void intake_forget(struct intake *in)
{
	size_t pos = 0;
	struct str key;
	void *value;
	in->cfg.ops->reset(in->cfg.store);
	while (map_next(&in->maps_by_id, &pos, &key, &value))
		map_free(value);
	pos = 0;
	while (map_next(&in->marks, &pos, &key, &value)) {
		mem_free(((struct mark *)value)->node);
		mem_free(value);
	}
	map_fini(&in->maps);
	map_fini(&in->maps_by_id);
	map_fini(&in->marks);
	index_fini(&in->index);
	parts_free(&in->parts);
	while (!list_empty(&in->own)) {
		struct own_record *r = list_entry(in->own.next, struct own_record, link);
		list_del(&r->link);
		bytes_unref(r->payload);
		mem_free(r);
	}
	uint64_t seed = clock_random_u64();
	map_init(&in->maps, seed);
	map_init(&in->maps_by_id, seed);
	map_init(&in->marks, seed);
	index_init(&in->index, seed);
	in->last_map_id = 0;
	in->journal = in->journal_next = 0;
	in->journal_rows = 0;
}

/* ---- loading ---- */

static int on_one(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	int64_t *v = arg;
	for (size_t i = 0; i < columns && i < 2; i++)
		v[i] = row[i].type == SQL_INT ? row[i].i : 0;
	return 0;
}

static int own_database(struct intake *in, struct error *err)
{
	int64_t got[2] = { 0 };
	if (sql_dialect(in->db) != SQL_POSTGRES)
		return 0;
	int rc = intake_exec(in,
			     "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended("
			     "current_schema(), 7240)) THEN 1 ELSE 0 END",
			     NULL, 0, on_one, got, err);
	if (rc)
		return rc;
	in->generation = generation(in);
	return got[0] == 1 ? 0
			   : error_set(err, ERR_CONFLICT,
				       "the database belongs to another process at this time");
}

static int on_series(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	struct intake *in = arg;
	struct arena a = { 0 };
	struct labels l;
	int rc = labels_read_json(&a, row[1].s, &l, err);
	if (rc == 0) {
		struct index_entry *e = index_add(&in->index, (uint32_t)row[0].i, l);
		e->last_ms = row[2].i;
		e->type = (int)row[3].i;
	}
	arena_fini(&a);
	return rc;
}

static int load_series(struct intake *in, struct error *err)
{
	for (;;) {
		struct sql_value p[] = { sql_int(in->index.last_id), sql_int(LOAD_ROWS) };
		size_t before = index_count(&in->index);
		int rc = intake_exec(
			in,
			"SELECT id, labels, last_ms, type FROM series WHERE id > $1 ORDER BY id "
			"LIMIT $2",
			p, 2, on_series, in, err);
		if (rc || index_count(&in->index) - before < LOAD_ROWS)
			return rc;
	}
}

static struct mark *mark_add(struct intake *in, struct str node, uint32_t stream,
			     uint64_t incarnation, uint64_t acked)
{
	struct mark *m = mem_new(struct mark, 1);
	m->node = mem_strndup(node.p, node.len);
	m->stream = stream;
	m->incarnation = incarnation;
	m->acked = acked;
	(void)map_set(&in->marks, mark_key(in, node, stream, incarnation), m);
	return m;
}

static int on_mark(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	mark_add(arg, row[0].s, (uint32_t)row[1].i, (uint64_t)row[2].i, (uint64_t)row[3].i)->at_ms =
		row[4].i;
	return 0;
}

static struct refmap *map_add(struct intake *in, int64_t id, struct str key)
{
	struct refmap *m = mem_new(struct refmap, 1);
	m->id = id;
	m->key = mem_strndup(key.p, key.len);
	(void)map_set(&in->maps_by_id, id_key(&m->id), m);
	(void)map_set(&in->maps, key, m);
	in->last_map_id = id > in->last_map_id ? id : in->last_map_id;
	return m;
}

static int on_map(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct intake *in = arg;
	struct str key = map_key(in, row[1].s, (uint32_t)row[2].i, (uint64_t)row[3].i, row[4].s);
	(void)map_add(in, row[0].i, key);
	return 0;
}

static void map_add_id(struct refmap *m, uint32_t id)
{
	mem_grow(m->ids, m->len, m->cap);
	m->ids[m->len++] = id;
}

static int on_refs(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	struct intake *in = arg;
	struct refmap *m = map_get(&in->maps_by_id, id_key(&row[0].i));
	if (!m)
		return 0;
	if (row[1].i != (int64_t)m->len + 1)
		return error_set(err, ERR_INTERNAL, "push_ref of map %" PRId64 " has a hole",
				 row[0].i);
	struct wire r = wire_of(row[2].s);
	while (wire_more(&r))
		map_add_id(m, (uint32_t)wire_get(&r));
	return 0;
}

static int on_part(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct intake_parts *parts = arg;
	mem_grow(parts->v, parts->len, parts->cap);
	parts->v[parts->len++] =
		(struct intake_part){ .table = mem_strndup(row[0].s.p, row[0].s.len),
				      .kind = mem_strndup(row[1].s.p, row[1].s.len),
				      .start_ms = row[2].i,
				      .end_ms = row[3].i };
	return 0;
}

/* ---- replay ---- */

struct replay {
	struct intake *in;
	int64_t last;
	size_t rows;
};

static int on_journal(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct replay *r = arg;
	struct intake *in = r->in;
	const struct refmap *m = map_get(&in->maps_by_id, id_key(&row[1].i));
	struct intake_record rec = { .type = (uint32_t)row[2].i };
	r->last = row[0].i;
	r->rows++;
	if (row[1].i && !m)
		return 0; /* its map ended with its node */
	rec.ids = m ? m->ids : NULL;
	rec.ids_len = m ? m->len : 0;
	/* What did not check was never stored. */
	if (record_unpack((uint32_t)row[3].i, row[4].s, &in->unpacked, &rec.payload, NULL) == 0)
		in->cfg.ops->apply(in->cfg.store, &rec);
	return 0;
}

static int replay(struct intake *in, struct error *err)
{
	struct replay r = { .in = in };
	char stmt[200];
	(void)snprintf(stmt, sizeof(stmt),
		       "SELECT n, map_id, type, compression, payload FROM journal_%" PRId64
		       " WHERE n > $1 ORDER BY n LIMIT $2",
		       in->journal);
	for (;;) {
		struct sql_value p[] = { sql_int(r.last), sql_int(LOAD_ROWS) };
		r.rows = 0;
		int rc = intake_exec(in, stmt, p, 2, on_journal, &r, err);
		if (rc)
			return rc;
		in->journal_rows += r.rows;
		if (r.rows < LOAD_ROWS)
			break;
	}
	in->journal_next = r.last + 1;
	return 0;
}

static void use_journal(struct intake *in, int64_t number)
{
	in->journal = number;
	(void)snprintf(in->journal_insert, sizeof(in->journal_insert),
		       "INSERT INTO journal_%" PRId64 " VALUES ($1, $2, $3, $4, $5, $6)", number);
}

static int load_tables(struct intake *in, struct error *err)
{
	int64_t state[2] = { 0 };
	int rc = intake_exec(in, "SELECT journal, series_id FROM intake_state WHERE id = 1", NULL,
			     0, on_one, state, err);
	if (!rc)
		rc = load_series(in, err);
	if (!rc)
		rc = intake_exec(in,
				 "SELECT node, stream, incarnation, acked, at_ms FROM push_mark",
				 NULL, 0, on_mark, in, err);
	if (!rc)
		rc = intake_exec(in,
				 "SELECT id, node, stream, incarnation, added FROM push_map "
				 "ORDER BY id",
				 NULL, 0, on_map, in, err);
	if (!rc)
		rc = intake_exec(in,
				 "SELECT map_id, first_ref, ids FROM push_ref "
				 "ORDER BY map_id, first_ref",
				 NULL, 0, on_refs, in, err);
	if (!rc)
		rc = intake_exec(in,
				 "SELECT name, kind, start_ms, end_ms FROM part "
				 "ORDER BY start_ms, name",
				 NULL, 0, on_part, &in->parts, err);
	if (rc)
		return rc;
	/* Numbers of deleted series are not given again: old references may still name them. */
	if (in->index.last_id < (uint32_t)state[1])
		in->index.last_id = (uint32_t)state[1];
	use_journal(in, state[0]);
	return 0;
}

int intake_load(struct intake *in, struct error *err)
{
	char component[64];
	int rc = sql_open(in->url, &in->db, err);
	if (rc)
		return rc;
	in->broken = false;
	(void)snprintf(component, sizeof(component), "telemetry_%s", in->cfg.component);
	in->generation = generation(in);
	/* First: whoever waits for the database leaves its tables alone. */
	rc = own_database(in, err);
	if (!rc)
		rc = sql_migrate(in->db, "telemetry_intake", STEPS,
				 sizeof(STEPS) / sizeof(STEPS[0]), err);
	if (!rc)
		rc = sql_migrate(in->db, component, in->cfg.steps, in->cfg.steps_len, err);
	intake_forget(in);
	if (!rc)
		rc = load_tables(in, err);
	if (!rc)
		rc = in->cfg.ops->load(in->cfg.store, err);
	if (!rc)
		rc = replay(in, err);
	metric_set(in->m.series, (int64_t)index_count(&in->index));
	return rc;
}

/* ---- series ---- */

int intake_define(struct intake *in, struct label *v, size_t n, int type, uint32_t *ret,
		  struct error *err)
{
	int rc = labels_check(v, &n, (size_t)in->cfg.label_bytes_max, err);
	if (rc)
		return rc;
	struct labels l = { v, n };
	struct index_entry *e = index_find(&in->index, l);
	if (e) {
		*ret = e->id;
		return 0;
	}
	if ((int64_t)index_count(&in->index) >= in->cfg.series_max ||
	    in->index.last_id == UINT32_MAX)
		return error_set(err, ERR_LIMIT, "more than %" PRId64 " series",
				 in->cfg.series_max);
	struct buf json = { 0 };
	uint32_t id = in->index.last_id + 1;
	int64_t now = intake_now_ms(in);
	labels_write_json(l, &json);
	struct sql_value p[] = { sql_int(id), sql_text(buf_str(&json)), sql_int(type), sql_int(now),
				 sql_int(now) };
	rc = intake_exec(in, "INSERT INTO series VALUES ($1, $2, $3, $4, $5)", p, 5, NULL, NULL,
			 err);
	buf_fini(&json);
	if (rc)
		return rc;
	e = index_add(&in->index, id, l);
	e->last_ms = now;
	e->type = type;
	metric_set(in->m.series, (int64_t)index_count(&in->index));
	*ret = id;
	return 0;
}

int intake_delete(struct intake *in, uint32_t id, struct error *err)
{
	struct sql_value p[] = { sql_int(id), sql_int(in->index.last_id) };
	int rc = intake_exec(in, "DELETE FROM series WHERE id = $1", p, 1, NULL, NULL, err);
	if (!rc)
		rc = intake_exec(in, "UPDATE intake_state SET series_id = $1 WHERE id = 1", &p[1],
				 1, NULL, NULL, err);
	if (rc)
		return rc;
	index_del(&in->index, id);
	metric_set(in->m.series, (int64_t)index_count(&in->index));
	return 0;
}

/* ---- streams ---- */

static struct str added_text(struct intake_stream *s, struct buf *b)
{
	labels_write_json(s->added->l, b);
	return buf_str(b);
}

int intake_new_map(struct intake *in, struct intake_stream *s, struct error *err)
{
	struct buf added = { 0 };
	struct str text = added_text(s, &added), node = str_of(s->node);
	int64_t id = in->last_map_id + 1;
	struct sql_value p[] = { sql_int(id), sql_text(node), sql_int(s->stream),
				 sql_int((int64_t)s->incarnation), sql_text(text) };
	int rc = intake_exec(in, "INSERT INTO push_map VALUES ($1, $2, $3, $4, $5)", p, 5, NULL,
			     NULL, err);
	if (!rc)
		s->map = map_add(in, id, map_key(in, node, s->stream, s->incarnation, text));
	buf_fini(&added);
	return rc;
}

int intake_attach(struct intake *in, struct intake_stream *s, struct error *err)
{
	struct str node = str_of(s->node);
	s->mark = map_get(&in->marks, mark_key(in, node, s->stream, s->incarnation));
	if (!s->mark) {
		/* What it does not have any more was acknowledged by whoever stored for us before. */
		s->mark = mark_add(in, node, s->stream, s->incarnation,
				   s->next_sequence ? s->next_sequence - 1 : 0);
		s->mark->dirty = true;
	}
	struct buf added = { 0 };
	struct str text = added_text(s, &added);
	s->map = map_get(&in->maps, map_key(in, node, s->stream, s->incarnation, text));
	buf_fini(&added);
	return s->map ? 0 : intake_new_map(in, s, err);
}

struct taking {
	struct intake *in;
	struct intake_stream *s;
	struct buf ids; /* of the new references, for one row */
};

static bool is_added(const struct intake_stream *s, struct str name)
{
	return labels_get(s->added->l, name).len > 0;
}

static int take_one(void *arg, struct record_series *def, struct error *err)
{
	struct taking *t = arg;
	struct intake *in = t->in;
	struct refmap *m = t->s->map;
	if (def->ref <= m->len)
		return 0; /* it never changes its meaning */
	if (def->ref != m->len + 1)
		return error_set(err, ERR_BAD_REQUEST, "reference %" PRIu32 " does not follow %zu",
				 def->ref, m->len);
	struct label v[LABELS_MAX * 2];
	size_t n = 0;
	for (size_t i = 0; i < def->len; i++)
		if (!is_added(t->s, def->labels[i].name))
			v[n++] = def->labels[i];
	for (size_t i = 0; i < t->s->added->l.len; i++)
		v[n++] = t->s->added->l.v[i];
	uint32_t id = 0;
	struct error why = { 0 };
	if (intake_define(in, v, n, def->type, &id, &why) != 0) {
		if (in->broken) {
			*err = why;
			return why.code;
		}
		t->s->refused++;
		(void)snprintf(t->s->reason, sizeof(t->s->reason), "series refused: %.120s",
			       why.msg);
	}
	map_add_id(m, id);
	wire_add(&t->ids, id);
	return 0;
}

int intake_take_series(struct intake *in, struct intake_stream *s, struct str table,
		       struct error *err)
{
	struct taking t = { .in = in, .s = s };
	size_t first = s->map->len + 1;
	int rc = record_series(table, take_one, &t, err);
	/* Good ones ahead of a bad one are in the map, so they are stored as well. */
	if (!in->broken && s->map->len >= first) {
		struct sql_value p[] = { sql_int(s->map->id), sql_int((int64_t)first),
					 sql_blob(buf_str(&t.ids)) };
		struct error own = { 0 };
		int stored = intake_exec(in, "INSERT INTO push_ref VALUES ($1, $2, $3)", p, 3, NULL,
					 NULL, rc ? &own : err);
		rc = rc ? rc : stored;
	}
	buf_fini(&t.ids);
	return rc;
}

int intake_journal(struct intake *in, int64_t map_id, uint64_t sequence, uint32_t type,
		   uint32_t compression, struct str payload, struct error *err)
{
	struct sql_value p[] = { sql_int(in->journal_next),  sql_int(map_id),
				 sql_int((int64_t)sequence), sql_int(type),
				 sql_int(compression),       sql_blob(payload) };
	int rc = intake_exec(in, in->journal_insert, p, 6, NULL, NULL, err);
	if (rc)
		return rc;
	in->journal_next++;
	in->journal_rows++;
	return 0;
}

int intake_append(struct intake *in, uint32_t type, struct str payload, struct error *err)
{
	int rc = intake_journal(in, 0, 0, type, RECORD_PLAIN, payload, err);
	if (rc)
		return rc;
	struct own_record *r = mem_new(struct own_record, 1);
	r->type = type;
	r->payload = bytes_of_str(payload);
	list_append(&in->own, &r->link);
	return 0;
}

int intake_save_mark(struct intake *in, struct mark *m, struct error *err)
{
	if (!m->dirty)
		return 0;
	m->dirty = false;
	m->at_ms = intake_now_ms(in);
	struct sql_value p[] = { sql_text(str_of(m->node)), sql_int(m->stream),
				 sql_int((int64_t)m->incarnation), sql_int((int64_t)m->acked),
				 sql_int(m->at_ms) };
	return intake_exec(in,
			   "INSERT INTO push_mark VALUES ($1, $2, $3, $4, $5) "
			   "ON CONFLICT (node, stream, incarnation) DO UPDATE SET "
			   "acked = excluded.acked, at_ms = excluded.at_ms",
			   p, 5, NULL, NULL, err);
}

/* ---- checkpoint and expiry ---- */

static int next_journal(struct intake *in, struct error *err)
{
	char text[400];
	int64_t next = in->journal + 1;
	(void)snprintf(text, sizeof(text),
		       "CREATE TABLE journal_%" PRId64 " " JOURNAL_COLUMNS
		       "; DROP TABLE journal_%" PRId64 ";",
		       next, in->journal);
	struct sql_value p = sql_int(next);
	int rc = script(in, text, err);
	if (!rc)
		rc = intake_exec(in, "UPDATE intake_state SET journal = $1 WHERE id = 1", &p, 1,
				 NULL, NULL, err);
	return rc;
}

int intake_checkpoint(struct intake *in, struct error *err)
{
	if (!in->journal_rows)
		return 0;
	int rc = intake_begin(in, err);
	if (!rc)
		rc = in->cfg.ops->checkpoint(in->cfg.store, intake_now_ms(in), err);
	if (!rc)
		rc = next_journal(in, err);
	if (!rc)
		rc = intake_commit(in, err);
	if (rc) {
		in->broken = true;
		return rc;
	}
	use_journal(in, in->journal + 1);
	in->journal_next = 1;
	in->journal_rows = 0;
	in->cfg.ops->checkpointed(in->cfg.store);
	return 0;
}

static int drop_map(struct intake *in, const struct refmap *m, struct error *err)
{
	struct sql_value p = sql_int(m->id);
	int rc = intake_exec(in, "DELETE FROM push_ref WHERE map_id = $1", &p, 1, NULL, NULL, err);
	return rc ? rc
		  : intake_exec(in, "DELETE FROM push_map WHERE id = $1", &p, 1, NULL, NULL, err);
}

static bool in_use(const struct intake *in, const struct refmap *m, const struct mark *mark)
{
	list_for_each(it, &in->streams)
	{
		const struct intake_stream *s = list_entry(it, struct intake_stream, link);
		if ((m && s->map == m) || (mark && s->mark == mark))
			return true;
	}
	return false;
}

/* Marks of nodes that have not been heard of for long; removed from memory with the next load. */
static int expire_marks(struct intake *in, struct map *gone, struct error *err)
{
	size_t pos = 0;
	struct str key;
	void *value;
	int rc = 0;
	while (!rc && map_next(&in->marks, &pos, &key, &value)) {
		struct mark *m = value;
		if (m->at_ms > intake_now_ms(in) - MARK_KEPT_MS || in_use(in, NULL, m))
			continue;
		struct sql_value p[] = { sql_text(str_of(m->node)), sql_int(m->stream),
					 sql_int((int64_t)m->incarnation) };
		(void)map_set(gone, key, m);
		rc = intake_exec(in,
				 "DELETE FROM push_mark WHERE node = $1 AND stream = $2 AND "
				 "incarnation = $3",
				 p, 3, NULL, NULL, err);
	}
	return rc;
}

/* A map that a newer one of its key replaced, or whose mark is gone; the journal must be empty. */
static int expire_maps(struct intake *in, const struct map *gone, struct map *dead,
		       struct error *err)
{
	size_t pos = 0;
	struct str key;
	void *value;
	int rc = 0;
	while (!rc && map_next(&in->maps_by_id, &pos, &key, &value)) {
		struct refmap *m = value;
		struct str mark = str_of(m->key);
		mark = str_sub(mark, 0, (size_t)str_find(mark, ' ', 0));
		bool newest = map_get(&in->maps, str_of(m->key)) == m;
		if (in_use(in, m, NULL) || (newest && !map_get(gone, mark)))
			continue;
		(void)map_set(dead, key, m);
		rc = drop_map(in, m, err);
	}
	return rc;
}

static void forget_expired(struct intake *in, struct map *gone, struct map *dead)
{
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(gone, &pos, &key, &value)) {
		(void)map_del(&in->marks, key);
		mem_free(((struct mark *)value)->node);
		mem_free(value);
	}
	pos = 0;
	while (map_next(dead, &pos, &key, &value)) {
		struct refmap *m = value;
		(void)map_del(&in->maps_by_id, key);
		if (map_get(&in->maps, str_of(m->key)) == m)
			(void)map_del(&in->maps, str_of(m->key));
		map_free(m);
	}
}

int intake_expire(struct intake *in, struct error *err)
{
	struct map gone = { 0 }, dead = { 0 };
	int rc = intake_checkpoint(in, err);
	if (!rc)
		rc = intake_begin(in, err);
	if (!rc)
		rc = in->cfg.ops->expire(in->cfg.store, intake_now_ms(in), err);
	if (!rc)
		rc = expire_marks(in, &gone, err);
	if (!rc)
		rc = expire_maps(in, &gone, &dead, err);
	if (!rc)
		rc = intake_commit(in, err);
	if (rc)
		in->broken = true;
	else
		forget_expired(in, &gone, &dead);
	map_fini(&gone);
	map_fini(&dead);
	return rc;
}

/* ---- parts ---- */

const struct intake_parts *intake_parts(const struct intake *in)
{
	return &in->parts;
}

static int64_t floor_to(int64_t t, int64_t span)
{
	int64_t r = t % span;
	return r < 0 ? t - r - span : t - r;
}

int intake_part(struct intake *in, const char *kind, int64_t t_ms, int64_t span_ms,
		const char *columns, struct intake_part **ret, struct error *err)
{
	int64_t start = floor_to(t_ms, span_ms);
	for (size_t i = in->parts.len; i-- > 0;) {
		struct intake_part *p = &in->parts.v[i];
		if (p->start_ms <= t_ms && t_ms < p->end_ms && strcmp(p->kind, kind) == 0) {
			*ret = p;
			return 0;
		}
	}
	struct buf text = { 0 };
	char name[64];
	(void)snprintf(name, sizeof(name), "%s_%s%" PRId64, kind, start < 0 ? "m" : "",
		       start < 0 ? -(start / span_ms) : start / span_ms);
	buf_addf(&text, "CREATE TABLE %s %s;", name, columns);
	/* It is compressed already. */
	if (sql_dialect(in->db) == SQL_POSTGRES)
		buf_addf(&text, "ALTER TABLE %s ALTER COLUMN data SET STORAGE EXTERNAL;", name);
	int rc = script(in, buf_cstr(&text), err);
	buf_fini(&text);
	struct sql_value p[] = { sql_text(str_of(name)), sql_text(str_of(kind)), sql_int(start),
				 sql_int(start + span_ms) };
	if (!rc)
		rc = intake_exec(in, "INSERT INTO part VALUES ($1, $2, $3, $4)", p, 4, NULL, NULL,
				 err);
	if (rc)
		return rc;
	(void)on_part(&in->parts, p, 4, err);
	struct intake_part *v = in->parts.v;
	size_t i = in->parts.len - 1;
	for (; i > 0 && v[i - 1].start_ms > v[i].start_ms; i--) {
		struct intake_part x = v[i];
		v[i] = v[i - 1];
		v[i - 1] = x;
	}
	*ret = &v[i];
	return 0;
}

int intake_parts_drop(struct intake *in, const char *kind, int64_t t_ms, struct error *err)
{
	size_t kept = 0;
	int rc = 0;
	for (size_t i = 0; i < in->parts.len; i++) {
		struct intake_part *p = &in->parts.v[i];
		if (rc || p->end_ms > t_ms || strcmp(p->kind, kind) != 0) {
			in->parts.v[kept++] = *p;
			continue;
		}
		char text[100];
		struct sql_value name = sql_text(str_of(p->table));
		(void)snprintf(text, sizeof(text), "DROP TABLE %s", p->table);
		rc = script(in, text, err);
		if (!rc)
			rc = intake_exec(in, "DELETE FROM part WHERE name = $1", &name, 1, NULL,
					 NULL, err);
		struct intake_parts one = { .v = mem_new(struct intake_part, 1), .len = 1 };
		one.v[0] = *p;
		parts_free(&one);
	}
	in->parts.len = kept;
	return rc;
}
