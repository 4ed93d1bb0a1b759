/* Blocks of lines to rows. */
#include "base/mem.h"
#include "telemetry/lstore_priv.h"

#include <stdio.h>

static const int64_t DAY_MS = 24LL * 3600 * 1000;

const char *const lstore_steps[] = {
	"CREATE TABLE log_file (stream_id BIGINT NOT NULL, file TEXT NOT NULL,"
	" end_offset BIGINT NOT NULL, last_ns BIGINT NOT NULL, at_ms BIGINT NOT NULL,"
	" PRIMARY KEY (stream_id, file));"
	"CREATE TABLE log_state (id BIGINT PRIMARY KEY, block_id BIGINT NOT NULL);"
	"INSERT INTO log_state VALUES (1, 0);",
};
const size_t lstore_steps_len = 1;

static const char COLUMNS[] =
	"(stream_id BIGINT NOT NULL, id BIGINT NOT NULL, attempt BIGINT NOT NULL,"
	" t0 BIGINT NOT NULL, t1 BIGINT NOT NULL, nlines BIGINT NOT NULL, rawlen BIGINT NOT NULL,"
	" bloom BYTEA NOT NULL, data BYTEA NOT NULL, PRIMARY KEY (stream_id, id))";

static int on_file(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	struct lfile *f = lstore_file(arg, (uint32_t)row[0].i, row[1].s);
	f->end_offset = (uint64_t)row[2].i;
	f->last_ns = row[3].i;
	return 0;
}

static int on_state(void *arg, const struct sql_value *row, size_t columns, struct error *err)
{
	(void)columns;
	(void)err;
	((struct lstore *)arg)->last_id = row[0].i;
	return 0;
}

int lstore_load(void *store, struct error *err)
{
	struct lstore *s = store;
	int rc = intake_exec(s->intake, "SELECT block_id FROM log_state WHERE id = 1", NULL, 0,
			     on_state, s, err);
	return rc ? rc
		  : intake_exec(s->intake,
				"SELECT stream_id, file, end_offset, last_ns FROM log_file", NULL,
				0, on_file, s, err);
}

static int write_block(struct lstore *s, const struct lblock *b, int64_t now_ms, struct error *err)
{
	struct intake_part *part = NULL;
	int rc = intake_part(s->intake, "logchunk", now_ms, DAY_MS, COLUMNS, &part, err);
	if (rc)
		return rc;
	if (!part->statements[0]) {
		struct buf text = { 0 };
		buf_addf(&text, "INSERT INTO %s VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			 part->table);
		part->statements[0] = mem_strdup(buf_cstr(&text));
		buf_fini(&text);
	}
	s->last_id++;
	struct sql_value p[] = { sql_int(b->stream),
				 sql_int(s->last_id),
				 sql_int(b->attempt),
				 sql_int(b->t0_ns),
				 sql_int(b->t1_ns),
				 sql_int((int64_t)b->lines),
				 sql_int((int64_t)b->raw_bytes),
				 sql_blob(buf_str(&b->bloom)),
				 sql_blob(buf_str(&b->data)) };
	rc = intake_exec(s->intake, part->statements[0], p, 9, NULL, NULL, err);
	struct index_entry *e = index_at(intake_index(s->intake), b->stream);
	if (rc || !e || now_ms - e->last_ms < DAY_MS / 2)
		return rc;
	e->last_ms = now_ms;
	struct sql_value seen[] = { sql_int(b->stream), sql_int(now_ms) };
	return intake_exec(s->intake, "UPDATE series SET last_ms = $2 WHERE id = $1", seen, 2, NULL,
			   NULL, err);
}

static int write_files(struct lstore *s, int64_t now_ms, struct error *err)
{
	size_t pos = 0;
	struct str key;
	void *value;
	int rc = 0;
	while (!rc && map_next(&s->files, &pos, &key, &value)) {
		struct lfile *f = value;
		if (!f->dirty)
			continue;
		f->dirty = false;
		struct sql_value p[] = { sql_int(f->stream), sql_text(str_of(f->file)),
					 sql_int((int64_t)f->end_offset), sql_int(f->last_ns),
					 sql_int(now_ms) };
		rc = intake_exec(s->intake,
				 "INSERT INTO log_file VALUES ($1, $2, $3, $4, $5) "
				 "ON CONFLICT (stream_id, file) DO UPDATE SET "
				 "end_offset = excluded.end_offset, last_ns = excluded.last_ns, "
				 "at_ms = excluded.at_ms",
				 p, 5, NULL, NULL, err);
	}
	return rc;
}

static void drop_empty_heads(struct lstore *s)
{
	struct map kept = { .seed = s->heads.seed };
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&s->heads, &pos, &key, &value)) {
		struct lhead *h = value;
		if (h->chunk.lines)
			(void)map_set(&kept, key, h);
		else
			mem_free(h);
	}
	map_fini(&s->heads);
	s->heads = kept;
}

int lstore_checkpoint(void *store, int64_t now_ms, struct error *err)
{
	struct lstore *s = store;
	size_t pos = 0;
	struct str key;
	void *value;
	int rc = 0;
	while (map_next(&s->heads, &pos, &key, &value))
		lstore_seal(s, value);
	drop_empty_heads(s);
	while (!rc && s->blocks) {
		struct lblock *b = s->blocks;
		rc = write_block(s, b, now_ms, err);
		s->blocks = b->next;
		s->bytes -= b->data.len + b->bloom.len;
		lstore_block_free(b);
	}
	s->blocks_end = s->blocks ? s->blocks_end : &s->blocks;
	struct sql_value p = sql_int(s->last_id);
	if (!rc)
		rc = intake_exec(s->intake, "UPDATE log_state SET block_id = $1 WHERE id = 1", &p,
				 1, NULL, NULL, err);
	return rc ? rc : write_files(s, now_ms, err);
}

/* Files of streams that are gone are forgotten in memory too. */
static void forget_files(struct lstore *s)
{
	struct map kept = { .seed = s->files.seed };
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&s->files, &pos, &key, &value)) {
		struct lfile *f = value;
		if (index_at(intake_index(s->intake), f->stream)) {
			(void)map_set(&kept, key, f);
		} else {
			mem_free(f->file);
			mem_free(f);
		}
	}
	map_fini(&s->files);
	s->files = kept;
}

int lstore_expire(void *store, int64_t now_ms, struct error *err)
{
	struct lstore *s = store;
	const struct index *ix = intake_index(s->intake);
	int64_t cutoff = now_ms - s->cfg.retention_ms;
	int rc = intake_parts_drop(s->intake, "logchunk", cutoff, err);
	for (size_t i = 0; !rc && i < ix->all.len;) {
		struct index_entry *e = ix->by_id[ix->all.v[i]];
		if (e->last_ms + DAY_MS > cutoff) {
			i++;
			continue;
		}
		struct sql_value p = sql_int(e->id);
		rc = intake_exec(s->intake, "DELETE FROM log_file WHERE stream_id = $1", &p, 1,
				 NULL, NULL, err);
		if (!rc)
			rc = intake_delete(s->intake, e->id, err);
	}
	if (!rc)
		forget_files(s);
	return rc;
}
