#include "telemetry/lstore.h"

#include "base/mem.h"
#include "sys/clock.h"
#include "telemetry/lstore_priv.h"

#include <assert.h>
#include <inttypes.h>

/* ---- memory ---- */

void lstore_block_free(struct lblock *b)
{
	buf_fini(&b->data);
	buf_fini(&b->bloom);
	mem_free(b);
}

void lstore_seal(struct lstore *s, struct lhead *h)
{
	if (!h->chunk.lines)
		return;
	struct lblock *b = mem_new(struct lblock, 1);
	b->stream = h->stream;
	b->attempt = h->attempt;
	b->t0_ns = h->chunk.t0_ns;
	b->t1_ns = h->chunk.t1_ns;
	b->lines = h->chunk.lines;
	b->raw_bytes = h->chunk.text.len;
	logchunk_pack(&h->chunk, &b->data);
	logchunk_bloom(buf_str(&h->chunk.text), &b->bloom);
	s->bytes -= h->chunk.text.len + h->chunk.columns.len;
	s->bytes += b->data.len + b->bloom.len;
	logchunk_clear(&h->chunk);
	*s->blocks_end = b;
	s->blocks_end = &b->next;
}

static struct lhead *head_of(struct lstore *s, uint32_t stream, uint32_t attempt)
{
	const uint32_t key[2] = { stream, attempt };
	struct str k = str_n((const char *)key, sizeof(key));
	struct lhead *h = map_get(&s->heads, k);
	if (!h) {
		h = mem_new(struct lhead, 1);
		h->stream = stream;
		h->attempt = attempt;
		(void)map_set(&s->heads, k, h);
	}
	return h;
}

struct lfile *lstore_file(struct lstore *s, uint32_t stream, struct str file)
{
	struct buf key = { 0 };
	buf_add(&key, &stream, sizeof(stream));
	buf_add_str(&key, file);
	struct lfile *f = map_get(&s->files, buf_str(&key));
	if (!f) {
		f = mem_new(struct lfile, 1);
		f->stream = stream;
		f->file = mem_strndup(file.p, file.len);
		(void)map_set(&s->files, buf_str(&key), f);
	}
	buf_fini(&key);
	return f;
}

static void reset(void *store)
{
	struct lstore *s = store;
	size_t pos = 0;
	struct str key;
	void *value;
	while (map_next(&s->heads, &pos, &key, &value)) {
		logchunk_fini(&((struct lhead *)value)->chunk);
		mem_free(value);
	}
	pos = 0;
	while (map_next(&s->files, &pos, &key, &value)) {
		mem_free(((struct lfile *)value)->file);
		mem_free(value);
	}
	map_fini(&s->heads);
	map_fini(&s->files);
	map_init(&s->heads, clock_random_u64());
	map_init(&s->files, clock_random_u64());
	while (s->blocks) {
		struct lblock *b = s->blocks;
		s->blocks = b->next;
		lstore_block_free(b);
	}
	s->blocks_end = &s->blocks;
	s->bytes = 0;
}

/* ---- records ---- */

/* "2.log@4711" is of attempt 2. */
static uint32_t attempt_of(struct str file)
{
	uint64_t n = 0;
	ptrdiff_t dot = str_find(file, '.', 0);
	if (dot > 0 && str_to_u64(str_sub(file, 0, (size_t)dot), &n) && n < UINT32_MAX)
		return (uint32_t)n;
	return 0;
}

static void take_block(struct lstore *s, uint32_t stream, const struct record_block *b)
{
	struct lfile *f = lstore_file(s, stream, b->file);
	bool again = b->offset < f->end_offset;
	if (again && b->end_offset <= f->end_offset) {
		metric_add(s->again, (int64_t)b->lines);
		return;
	}
	struct lhead *h = head_of(s, stream, attempt_of(b->file));
	struct record_lines it = record_lines(b);
	struct record_line line;
	size_t before = h->chunk.text.len + h->chunk.columns.len, lines = 0;
	while (record_line_next(&it, &line)) {
		/* Of a block that begins in what was taken, the part that is new by its time. */
		if (again && line.unix_ns <= f->last_ns)
			continue;
		logchunk_add(&h->chunk, &line);
		lines++;
	}
	s->bytes += h->chunk.text.len + h->chunk.columns.len - before;
	metric_add(s->lines, (int64_t)lines);
	metric_add(s->text_bytes, (int64_t)b->text.len);
	f->end_offset = b->end_offset;
	f->last_ns = it.ns > f->last_ns ? it.ns : f->last_ns;
	f->dirty = true;
	if (h->chunk.text.len >= LOGCHUNK_TEXT_BYTES)
		lstore_seal(s, h);
}

struct walk {
	struct lstore *s;
	const struct intake_record *r;
	bool unknown, gone;
};

static void check_block(void *arg, const struct record_block *b)
{
	struct walk *w = arg;
	uint32_t id = intake_id(w->r, b->ref);
	w->unknown |= b->ref > w->r->ids_len;
	w->gone |= id && !index_at(intake_index(w->s->intake), id);
}

static int check(void *store, const struct intake_record *r, struct error *err)
{
	struct walk w = { .s = store, .r = r };
	if (r->type != RECORD_LOGS)
		return error_set(err, ERR_BAD_REQUEST, "record type %" PRIu32 " in a log stream",
				 r->type);
	int rc = record_logs(r->payload, check_block, &w, err);
	if (rc)
		return rc;
	if (w.unknown)
		return error_set(err, ERR_BAD_REQUEST, "lines of a stream that was not defined");
	if (w.gone)
		return error_set(err, ERR_EXPIRED, "a stream was forgotten: define it again");
	return 0;
}

static void apply_block(void *arg, const struct record_block *b)
{
	struct walk *w = arg;
	uint32_t id = intake_id(w->r, b->ref);
	if (id && index_at(intake_index(w->s->intake), id))
		take_block(w->s, id, b);
}

static void apply(void *store, const struct intake_record *r)
{
	struct walk w = { .s = store, .r = r };
	if (r->type == RECORD_LOGS)
		(void)!record_logs(r->payload, apply_block, &w, NULL);
}

static void checkpointed(void *store)
{
	(void)store;
}

static bool full(void *store)
{
	const struct lstore *s = store;
	return s->bytes > (size_t)s->cfg.memory_bytes_max;
}

static const struct intake_ops OPS = {
	.reset = reset,
	.load = lstore_load,
	.check = check,
	.apply = apply,
	.checkpoint = lstore_checkpoint,
	.checkpointed = checkpointed,
	.full = full,
	.expire = lstore_expire,
};

struct intake *lstore_intake(struct lstore *s)
{
	return s->intake;
}

struct lstore *lstore_new(const struct lstore_config *cfg)
{
	struct lstore *s = mem_new(struct lstore, 1);
	struct metrics *m = cfg->metrics;
	assert(m);
	s->cfg = *cfg;
	s->cfg.url = NULL;
	s->blocks_end = &s->blocks;
	s->lines = metric_counter(m, "rctl_logs_lines_total", "", "Lines taken into the log store");
	s->text_bytes = metric_counter(m, "rctl_logs_bytes_total", "",
				       "Bytes of text taken into the log store");
	s->again = metric_counter(m, "rctl_logs_duplicate_lines_total", "",
				  "Lines that came again in other records and were dropped");
	const struct intake_config in = {
		.url = cfg->url,
		.component = "logs",
		.steps = lstore_steps,
		.steps_len = lstore_steps_len,
		.checkpoint_ms = cfg->checkpoint_ms,
		.series_max = cfg->streams_max,
		.label_bytes_max = cfg->label_bytes_max,
		.metrics = m,
		.now_ms = cfg->now_ms,
		.on_state = cfg->on_state,
		.on_state_arg = cfg->on_state_arg,
		.ops = &OPS,
		.store = s,
	};
	s->intake = intake_prepare(&in);
	intake_start(s->intake);
	return s;
}

struct lstore *lstore_free(struct lstore *s)
{
	if (!s)
		return NULL;
	intake_free(s->intake);
	map_fini(&s->heads);
	map_fini(&s->files);
	mem_free(s);
	return NULL;
}
