/* Chunks to rows and back. */
#include "base/mem.h"
#include "telemetry/mstore_priv.h"

#include <inttypes.h>
#include <stdio.h>

static const int64_t DAY_MS = 24LL * 3600 * 1000;

/* series.last_ms follows the samples within half a day. */
static const int64_t LAST_MS_STEP = MSTORE_LAST_STEP_MS;

/* A series without samples for so long leaves nothing of its chunk in memory. */
enum { IDLE_MS = 15 * 60 * 1000, ROWS_PER_STATEMENT = 500 };

enum { STMT_INSERT, STMT_READ, STMT_LAST };

/* The tables are made a day at a time. */
const char *const mstore_steps[] = { "" };
const size_t mstore_steps_len = 0;

#define COLUMNS \
	"(series_id BIGINT NOT NULL, t0 BIGINT NOT NULL, t1 BIGINT NOT NULL," \
	" n BIGINT NOT NULL, data BYTEA NOT NULL, PRIMARY KEY (series_id, t0))"

static const char *columns(struct mstore *s)
{
	bool sqlite = sql_dialect(intake_sql(s->intake)) == SQL_SQLITE;
	return sqlite ? COLUMNS " WITHOUT ROWID" : COLUMNS;
}

static const char *statement(struct intake_part *p, unsigned which, const char *text)
{
	if (!p->statements[which]) {
		struct buf b = { 0 };
		buf_addf(&b, "%.*s%s%s", (int)(strchr(text, '@') - text), text, p->table,
			 strchr(text, '@') + 1);
		p->statements[which] = mem_strdup(buf_cstr(&b));
		buf_fini(&b);
	}
	return p->statements[which];
}

#define ON_CONFLICT \
	" ON CONFLICT (series_id, t0) DO UPDATE SET t1 = excluded.t1, n = excluded.n," \
	" data = excluded.data"

/* ---- writing: one row a statement in SQLite, many in PostgreSQL ---- */

struct writer {
	struct mstore *s;
	struct intake_part *part; /* of the rows that wait */
	bool many;
	struct sql_array id, t0, t1, n, data, seen_id, seen;
	struct error *err;
};

static int flush_rows(struct writer *w)
{
	if (!w->id.n)
		return 0;
	struct sql_value p[] = { sql_array(&w->id), sql_array(&w->t0), sql_array(&w->t1),
				 sql_array(&w->n), sql_array(&w->data) };
	int rc = intake_exec(
		w->s->intake,
		statement(w->part, STMT_INSERT,
			  "INSERT INTO @ SELECT * FROM unnest($1::bigint[], "
			  "$2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])" ON_CONFLICT),
		p, 5, NULL, NULL, w->err);
	sql_array_clear(&w->id, SQL_INT);
	sql_array_clear(&w->t0, SQL_INT);
	sql_array_clear(&w->t1, SQL_INT);
	sql_array_clear(&w->n, SQL_INT);
	sql_array_clear(&w->data, SQL_BLOB);
	return rc;
}

static int write_row(struct writer *w, uint32_t id, int64_t t0, int64_t t1, size_t n,
		     struct str data)
{
	struct mstore *s = w->s;
	int rc = 0;
	if (!w->part || t0 < w->part->start_ms || t0 >= w->part->end_ms) {
		rc = flush_rows(w);
		if (!rc)
			rc = intake_part(s->intake, "chunk", t0, DAY_MS, columns(s), &w->part,
					 w->err);
	}
	if (rc)
		return rc;
	if (w->many) {
		sql_array_add_int(&w->id, id);
		sql_array_add_int(&w->t0, t0);
		sql_array_add_int(&w->t1, t1);
		sql_array_add_int(&w->n, (int64_t)n);
		sql_array_add(&w->data, data);
		return w->id.n < ROWS_PER_STATEMENT ? 0 : flush_rows(w);
	}
	struct sql_value p[] = { sql_int(id), sql_int(t0), sql_int(t1), sql_int((int64_t)n),
				 sql_blob(data) };
	return intake_exec(s->intake,
			   statement(w->part, STMT_INSERT,
				     "INSERT INTO @ VALUES ($1, $2, $3, $4, $5)" ON_CONFLICT),
			   p, 5, NULL, NULL, w->err);
}

static int flush_seen(struct writer *w)
{
	if (!w->seen_id.n)
		return 0;
	struct sql_value p[] = { sql_array(&w->seen_id), sql_array(&w->seen) };
	int rc = intake_exec(w->s->intake,
			     "UPDATE series SET last_ms = x.t FROM unnest($1::bigint[], "
			     "$2::bigint[]) AS x(id, t) WHERE series.id = x.id",
			     p, 2, NULL, NULL, w->err);
	sql_array_clear(&w->seen_id, SQL_INT);
	sql_array_clear(&w->seen, SQL_INT);
	return rc;
}

static int write_seen(struct writer *w, struct index_entry *e, int64_t last_ms)
{
	if (last_ms - e->last_ms < LAST_MS_STEP)
		return 0;
	e->last_ms = last_ms;
	if (w->many) {
		sql_array_add_int(&w->seen_id, e->id);
		sql_array_add_int(&w->seen, last_ms);
		return w->seen_id.n < ROWS_PER_STATEMENT ? 0 : flush_seen(w);
	}
	struct sql_value p[] = { sql_int(e->id), sql_int(last_ms) };
	return intake_exec(w->s->intake, "UPDATE series SET last_ms = $2 WHERE id = $1", p, 2, NULL,
			   NULL, w->err);
}

static void drop_tail(struct mstore *s, struct mseries *m)
{
	s->tail_bytes -= m->tail_cap * sizeof(*m->tail);
	mem_free(m->tail);
	m->tail = NULL;
	m->tail_len = m->tail_cap = 0;
}

static int write_open(struct writer *w, struct index_entry *e, struct mseries *m)
{
	struct sample all[CHUNK_SAMPLES_MAX];
	struct mstore *s = w->s;
	size_t n = mstore_open_chunk(m, all);
	buf_clear(&s->scratch);
	chunk_encode(all, n, &s->scratch);
	int rc = write_row(w, e->id, all[0].t_ms, all[n - 1].t_ms, n, buf_str(&s->scratch));
	mem_free(m->blob);
	m->blob = mem_strndup(s->scratch.p, s->scratch.len);
	m->blob_len = (uint32_t)s->scratch.len;
	m->blob_n = (uint32_t)n;
	drop_tail(s, m);
	return rc;
}

static int write_series(struct writer *w, struct index_entry *e, int64_t now_ms)
{
	struct mseries *m = e->data;
	int rc = 0;
	if (!m || m->last_ms == INT64_MIN)
		return 0;
	bool news = m->sealed || m->tail_len;
	while (!rc && m->sealed) {
		struct sealed *x = m->sealed;
		rc = write_row(w, e->id, x->t0, x->t1, x->n, str_n(x->data, x->len));
		m->sealed = x->next;
		mem_free(x);
	}
	m->sealed_end = m->sealed ? m->sealed_end : &m->sealed;
	if (!rc && m->tail_len)
		rc = write_open(w, e, m);
	if (!rc && news) {
		m->db_last_ms = m->last_ms;
		rc = write_seen(w, e, m->last_ms);
	}
	if (!news && m->blob && m->last_ms < now_ms - IDLE_MS) {
		mem_free(m->blob);
		m->blob = NULL;
		m->blob_len = m->blob_n = 0;
	}
	return rc;
}

int mstore_checkpoint(void *store, int64_t now_ms, struct error *err)
{
	struct mstore *s = store;
	const struct index *ix = intake_index(s->intake);
	struct writer w = { .s = s, .err = err };
	int rc = 0;
	w.many = sql_dialect(intake_sql(s->intake)) == SQL_POSTGRES;
	struct sql_array *all[] = { &w.id, &w.t0, &w.t1, &w.n, &w.data, &w.seen_id, &w.seen };
	for (size_t i = 0; i < 7; i++)
		sql_array_clear(all[i], i == 4 ? SQL_BLOB : SQL_INT);
	for (size_t i = 0; !rc && i < ix->all.len; i++)
		rc = write_series(&w, ix->by_id[ix->all.v[i]], now_ms);
	if (!rc)
		rc = flush_rows(&w);
	if (!rc)
		rc = flush_seen(&w);
	for (size_t i = 0; i < 7; i++)
		sql_array_fini(all[i]);
	return rc;
}

int mstore_expire(void *store, int64_t now_ms, struct error *err)
{
	struct mstore *s = store;
	const struct index *ix = intake_index(s->intake);
	int64_t cutoff = now_ms - s->cfg.retention_ms;
	int rc = intake_parts_drop(s->intake, "chunk", cutoff, err);
	for (size_t i = 0; !rc && i < ix->all.len;) {
		struct index_entry *e = ix->by_id[ix->all.v[i]];
		struct mseries *m = e->data;
		int64_t last = m && m->last_ms > e->last_ms ? m->last_ms : e->last_ms;
		if (last + LAST_MS_STEP > cutoff) {
			i++;
			continue;
		}
		mstore_forget(s, e);
		rc = intake_delete(s->intake, e->id, err);
	}
	return rc;
}

/* ---- reading ---- */

struct reading {
	int64_t min_ms, max_ms;
	struct promql_samples *out;
	bool found;
};

/* The first of ascending samples behind t_ms. */
static size_t behind(const struct sample *v, size_t n, int64_t t_ms)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (v[mid].t_ms <= t_ms)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void take(struct reading *r, const struct sample *v, size_t n)
{
	size_t from = behind(v, n, r->min_ms), to = behind(v, n, r->max_ms);
	struct promql_samples *out = r->out;
	if (from >= to)
		return;
	if (out->cap - out->len < to - from) {
		out->cap = (out->len + to - from) * 2;
		out->v = mem_resize(out->v, out->cap, sizeof(*out->v));
	}
	memcpy(out->v + out->len, v + from, (to - from) * sizeof(*v));
	out->len += to - from;
}

static int on_chunk(void *arg, const struct sql_value *row, size_t columns_len, struct error *err)
{
	struct sample v[CHUNK_SAMPLES_MAX];
	(void)columns_len;
	size_t n = chunk_decode(row[0].s, v);
	if (!n)
		return error_set(err, ERR_INTERNAL, "a damaged chunk in the metrics database");
	take(arg, v, n);
	((struct reading *)arg)->found = true;
	return 0;
}

/* The first moment that memory knows of this series. */
static int64_t memory_from(const struct mseries *m)
{
	if (m->sealed)
		return m->sealed->t0;
	return m->blob_n + m->tail_len ? m->first_ms : INT64_MAX;
}

/* Chunks with t0 in (min - span, before), newest part first when only the last is wanted. */
static int read_parts(struct mstore *s, uint32_t id, struct reading *r, int64_t before, bool last,
		      struct error *err)
{
	const struct intake_parts *parts = intake_parts(s->intake);
	int64_t to = r->max_ms < before - 1 ? r->max_ms : before - 1;
	int64_t from = r->min_ms - MSTORE_CHUNK_SPAN_MS;
	int rc = 0;
	for (size_t k = 0; !rc && k < parts->len && !(last && r->found); k++) {
		struct intake_part *p = &parts->v[last ? parts->len - 1 - k : k];
		if (p->end_ms <= from || p->start_ms > to || strcmp(p->kind, "chunk") != 0)
			continue;
		struct sql_value v[] = { sql_int(id), sql_int(from), sql_int(to) };
		const char *stmt =
			last ? statement(p, STMT_LAST,
					 "SELECT data FROM @ WHERE series_id = $1 AND t0 > $2 AND "
					 "t0 <= $3 ORDER BY t0 DESC LIMIT 1")
			     : statement(p, STMT_READ,
					 "SELECT data FROM @ WHERE series_id = $1 AND t0 > $2 AND "
					 "t0 <= $3 ORDER BY t0");
		rc = intake_exec(s->intake, stmt, v, 3, on_chunk, r, err);
	}
	return rc;
}

/* The samples of memory behind `from_ms`. */
static void read_memory(const struct mseries *m, struct reading *r)
{
	struct sample v[CHUNK_SAMPLES_MAX];
	for (const struct sealed *x = m->sealed; x; x = x->next)
		if (x->t1 > r->min_ms && x->t0 <= r->max_ms)
			take(r, v, chunk_decode(str_n(x->data, x->len), v));
	bool tail_enough = m->tail_len && m->tail[0].t_ms <= r->min_ms;
	if (tail_enough || !m->blob_n)
		take(r, m->tail, m->tail_len);
	else
		take(r, v, mstore_open_chunk(m, v));
}

int mstore_read(struct mstore *s, struct index_entry *e, int64_t min_ms, int64_t max_ms,
		struct promql_samples *out, struct error *err)
{
	struct mseries *m = mstore_series(s, e);
	struct reading r = { min_ms, max_ms, out, false };
	int64_t from = memory_from(m);
	int rc = 0;
	if (from > min_ms + 1 && m->db_last_ms > min_ms)
		rc = read_parts(s, e->id, &r, from, false, err);
	if (!rc && from <= max_ms)
		read_memory(m, &r);
	return rc;
}

int mstore_last(struct mstore *s, struct index_entry *e, int64_t min_ms, int64_t max_ms,
		struct sample *ret, struct error *err)
{
	struct mseries *m = mstore_series(s, e);
	int64_t from = memory_from(m);
	struct promql_samples found = { 0 };
	struct reading r = { min_ms, max_ms, &found, false };
	if (m->last_ms != INT64_MIN && m->last_ms <= max_ms) {
		*ret = (struct sample){ m->last_ms, m->last };
		return m->last_ms > min_ms;
	}
	for (size_t i = m->tail_len; i-- > 0;) {
		if (m->tail[i].t_ms > max_ms)
			continue;
		*ret = m->tail[i];
		return ret->t_ms > min_ms;
	}
	int rc = 0;
	if (from <= max_ms)
		read_memory(m, &r);
	if (!found.len && from > min_ms + 1 && m->db_last_ms > min_ms)
		rc = read_parts(s, e->id, &r, from, true, err);
	if (!rc && found.len) {
		*ret = found.v[found.len - 1];
		rc = 1;
	}
	mem_free(found.v);
	return rc;
}
