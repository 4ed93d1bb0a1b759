#include "telemetry/record.h"

#include "base/mem.h"
#include "telemetry/chunk.h"
#include "telemetry/pack.h"
#include "telemetry/sample.h"

#include <stdlib.h>

static int broken(struct error *err, const char *what)
{
	return error_set(err, ERR_BAD_REQUEST, "not a valid %s", what);
}

/* ---- PushRequest ---- */

static bool read_open(struct str bytes, struct request *q)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	while (wire_next(&r, &f)) {
		switch (f.number) {
		case 1:
			q->node = f.bytes;
			break;
		case 2:
			q->stream = (uint32_t)f.u;
			break;
		case 3:
			q->incarnation = f.u;
			break;
		case 4:
			q->next_sequence = f.u;
			break;
		default:
			break;
		}
	}
	return !r.bad;
}

static bool read_record(struct str bytes, struct request *q)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	while (wire_next(&r, &f)) {
		switch (f.number) {
		case 1:
			q->sequence = f.u;
			break;
		case 2:
			q->type = (uint32_t)f.u;
			break;
		case 3:
			q->compression = (uint32_t)f.u;
			break;
		case 4:
			q->payload = f.bytes;
			break;
		default:
			break;
		}
	}
	return !r.bad;
}

int record_request(struct str msg, struct request *ret, struct error *err)
{
	struct wire r = wire_of(msg);
	struct wire_field f;
	bool good = true;
	*ret = (struct request){ 0 };
	while (good && wire_next(&r, &f)) {
		if (f.type != WIRE_BYTES || f.number > REQUEST_RECORD)
			continue;
		*ret = (struct request){ .kind = (enum request_kind)f.number };
		if (f.number == REQUEST_OPEN)
			good = read_open(f.bytes, ret);
		else if (f.number == REQUEST_RECORD)
			good = read_record(f.bytes, ret);
		else
			ret->series = f.bytes;
	}
	return good && !r.bad ? 0 : broken(err, "PushRequest");
}

/* ---- SeriesTable ---- */

static bool read_label(struct str bytes, struct label *l)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*l = (struct label){ STR(""), STR("") };
	while (wire_next(&r, &f)) {
		if (f.number == 1)
			l->name = f.bytes;
		else if (f.number == 2)
			l->value = f.bytes;
	}
	return !r.bad;
}

static bool read_series(struct str bytes, struct record_series *s)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*s = (struct record_series){ 0 };
	while (wire_next(&r, &f)) {
		if ((f.number == 2 || f.number == 3) && s->len == LABELS_MAX)
			return false;
		switch (f.number) {
		case 1:
			s->ref = (uint32_t)f.u;
			break;
		case 2:
			if (f.bytes.len)
				s->labels[s->len++] = (struct label){ LABELS_NAME, f.bytes };
			break;
		case 3:
			if (!read_label(f.bytes, &s->labels[s->len++]))
				return false;
			break;
		case 4:
			s->type = (int)f.u;
			break;
		default:
			break;
		}
	}
	return !r.bad && s->ref > 0;
}

int record_series(struct str table,
		  int (*fn)(void *arg, struct record_series *s, struct error *err), void *arg,
		  struct error *err)
{
	struct wire r = wire_of(table);
	struct wire_field f;
	while (wire_next(&r, &f)) {
		struct record_series s;
		if (f.number != 1)
			continue;
		if (!read_series(f.bytes, &s))
			return broken(err, "Series");
		int rc = fn(arg, &s, err);
		if (rc)
			return rc;
	}
	return r.bad ? broken(err, "SeriesTable") : 0;
}

/* ---- MetricBatch ---- */

struct group {
	unsigned scale;
	struct str refs, mantissas, values;
};

static bool read_group(struct str bytes, struct group *g)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*g = (struct group){ 0 };
	while (wire_next(&r, &f)) {
		if (f.number == 1)
			g->scale = f.u > CHUNK_SCALE_MAX ? CHUNK_SCALE_MAX + 1 : (unsigned)f.u;
		else if (f.number == 2)
			g->refs = f.bytes;
		else if (f.number == 3)
			g->mantissas = f.bytes;
		else if (f.number == 4)
			g->values = f.bytes;
	}
	return !r.bad && g->scale <= CHUNK_SCALE_MAX;
}

struct sink {
	void (*fn)(void *arg, uint32_t ref, double v);
	void *arg;
	size_t samples;
};

static bool walk_group(struct sink *to, const struct group *g)
{
	struct wire refs = wire_of(g->refs), mantissas = wire_of(g->mantissas),
		    values = wire_of(g->values);
	uint64_t ref = 0;
	while (wire_more(&refs)) {
		uint64_t delta = wire_get(&refs);
		double v = g->mantissas.len
				   ? chunk_of_decimal(wire_get_signed(&mantissas), g->scale)
				   : sample_of_bits(wire_fixed64(&values));
		ref += delta;
		if (refs.bad || mantissas.bad || values.bad || delta > UINT32_MAX || ref == 0 ||
		    ref > UINT32_MAX || ++to->samples > RECORD_SAMPLES_MAX)
			return false;
		if (to->fn)
			to->fn(to->arg, (uint32_t)ref, v);
	}
	return mantissas.p == mantissas.end && (g->mantissas.len || values.p == values.end);
}

static bool walk_stale(struct sink *to, struct str refs)
{
	struct wire r = wire_of(refs);
	while (wire_more(&r)) {
		uint64_t ref = wire_get(&r);
		if (r.bad || ref == 0 || ref > UINT32_MAX || ++to->samples > RECORD_SAMPLES_MAX)
			return false;
		if (to->fn)
			to->fn(to->arg, (uint32_t)ref, sample_stale());
	}
	return true;
}

int record_metrics(struct str payload, struct record_batch *ret,
		   void (*fn)(void *arg, uint32_t ref, double v), void *arg, struct error *err)
{
	struct wire r = wire_of(payload);
	struct wire_field f;
	struct sink to = { fn, arg, 0 };
	struct group g;
	bool good = true;
	*ret = (struct record_batch){ 0 };
	while (wire_next(&r, &f)) {
		if (f.number == 1)
			ret->time_ms = (int64_t)f.u;
		else if (f.number == 2)
			ret->interval_ms = (uint32_t)f.u;
	}
	if (r.bad)
		return broken(err, "MetricBatch");
	r = wire_of(payload);
	while (good && wire_next(&r, &f)) {
		if (f.number == 3)
			good = read_group(f.bytes, &g) && walk_group(&to, &g);
		else if (f.number == 4)
			good = walk_stale(&to, f.bytes);
	}
	if (!good)
		return broken(err, "MetricBatch");
	ret->samples = to.samples;
	return 0;
}

enum { SCALES = CHUNK_SCALE_MAX + 1, RAW = SCALES };

/* A SampleGroup being written; the last one is of numbers that have no scale. */
struct writing {
	struct buf refs, numbers;
	uint32_t before;
};

static void write_sample(struct writing *groups, const struct record_sample *s)
{
	int64_t mantissa = 0;
	unsigned scale = RAW;
	bool exact = chunk_decimal(s->v, &mantissa, &scale);
	struct writing *g = &groups[exact ? scale : RAW];
	wire_add(&g->refs, s->ref - g->before);
	g->before = s->ref;
	if (exact)
		wire_add(&g->numbers, wire_zigzag(mantissa));
	else
		wire_add_fixed64(&g->numbers, sample_bits(s->v));
}

static void write_groups(struct writing *groups, struct buf *out)
{
	for (unsigned k = 0; k <= RAW; k++) {
		struct writing *g = &groups[k];
		struct buf one = { 0 };
		if (!g->refs.len)
			continue;
		wire_add_field(&one, 1, k == RAW ? 0 : k);
		wire_add_field_bytes(&one, 2, buf_str(&g->refs));
		wire_add_field_bytes(&one, k == RAW ? 4 : 3, buf_str(&g->numbers));
		wire_add_field_bytes(out, 3, buf_str(&one));
		buf_fini(&one);
		buf_fini(&g->refs);
		buf_fini(&g->numbers);
	}
}

void record_write_metrics(int64_t time_ms, uint32_t interval_ms, const struct record_sample *s,
			  size_t n, struct buf *out)
{
	struct writing groups[SCALES + 1] = { 0 };
	struct buf stale = { 0 };
	wire_add_field(out, 1, (uint64_t)time_ms);
	wire_add_field(out, 2, interval_ms);
	for (size_t i = 0; i < n; i++) {
		if (sample_is_stale(s[i].v))
			wire_add(&stale, s[i].ref);
		else
			write_sample(groups, &s[i]);
	}
	write_groups(groups, out);
	if (stale.len)
		wire_add_field_bytes(out, 4, buf_str(&stale));
	buf_fini(&stale);
}

/* ---- LogBatch ---- */

static bool check_columns(struct record_block *b)
{
	struct wire deltas = wire_of(b->deltas), flags = wire_of(b->flags),
		    lengths = wire_of(b->lengths);
	uint64_t bytes = 0;
	while (wire_more(&lengths)) {
		uint64_t n = wire_get(&lengths);
		(void)wire_get(&deltas);
		(void)wire_get(&flags);
		bytes += n;
		if (n > b->text.len || bytes > b->text.len || deltas.bad || flags.bad)
			return false;
		b->lines++;
	}
	return !lengths.bad && bytes == b->text.len && deltas.p == deltas.end &&
	       flags.p == flags.end && b->lines > 0;
}

static bool read_block(struct str bytes, struct record_block *b)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*b = (struct record_block){ 0 };
	while (wire_next(&r, &f)) {
		switch (f.number) {
		case 1:
			b->ref = (uint32_t)f.u;
			break;
		case 2:
			b->file = f.bytes;
			break;
		case 3:
			b->offset = f.u;
			break;
		case 4:
			b->end_offset = f.u;
			break;
		case 5:
			b->first_ns = (int64_t)f.u;
			break;
		case 6:
			b->deltas = f.bytes;
			break;
		case 7:
			b->flags = f.bytes;
			break;
		case 8:
			b->lengths = f.bytes;
			break;
		case 9:
			b->text = f.bytes;
			break;
		default:
			break;
		}
	}
	return !r.bad && b->ref > 0 && check_columns(b);
}

int record_logs(struct str payload, void (*fn)(void *arg, const struct record_block *b), void *arg,
		struct error *err)
{
	struct wire r = wire_of(payload);
	struct wire_field f;
	while (wire_next(&r, &f)) {
		struct record_block b;
		if (f.number != 1)
			continue;
		if (!read_block(f.bytes, &b))
			return broken(err, "LogBlock");
		if (fn)
			fn(arg, &b);
	}
	return r.bad ? broken(err, "LogBatch") : 0;
}

struct record_lines record_lines(const struct record_block *b)
{
	return (struct record_lines){ .deltas = wire_of(b->deltas),
				      .flags = wire_of(b->flags),
				      .lengths = wire_of(b->lengths),
				      .text = b->text,
				      .ns = b->first_ns };
}

bool record_line_next(struct record_lines *it, struct record_line *ret)
{
	if (!wire_more(&it->lengths))
		return false;
	uint64_t n = wire_get(&it->lengths), flags = wire_get(&it->flags);
	int64_t delta = wire_get_signed(&it->deltas);
	if (it->started)
		it->ns = (int64_t)((uint64_t)it->ns + (uint64_t)delta);
	it->started = true;
	ret->unix_ns = it->ns;
	ret->is_stderr = flags & 1;
	ret->partial = flags & 2;
	ret->text = str_sub(it->text, 0, (size_t)n);
	it->text = str_sub(it->text, (size_t)n, it->text.len);
	return true;
}

/* ---- EventBatch ---- */

int record_events(struct str payload, void (*fn)(void *arg, struct str event), void *arg,
		  struct error *err)
{
	struct wire r = wire_of(payload);
	struct wire_field f;
	while (wire_next(&r, &f))
		if (f.number == 1 && fn)
			fn(arg, f.bytes);
	return r.bad ? broken(err, "EventBatch") : 0;
}

/* ---- AlertBatch ---- */

static int sample_by_ref(const void *a, const void *b)
{
	const struct record_sample *x = a, *y = b;
	return x->ref < y->ref ? -1 : x->ref > y->ref;
}

static bool read_alert(struct str bytes, struct record_sample *s, int64_t *told_ms)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*s = (struct record_sample){ 0 };
	while (wire_next(&r, &f)) {
		if (f.number == 4)
			s->v = f.u ? 1 : 0;
		else if (f.number == 7 && f.u <= UINT32_MAX)
			s->ref = (uint32_t)f.u;
		else if (f.number == 8)
			*told_ms = (int64_t)f.u;
	}
	return !r.bad && s->ref > 0;
}

int record_alerts(struct str payload, struct buf *batch, struct error *err)
{
	struct wire r = wire_of(payload);
	struct wire_field f;
	struct record_sample *list = NULL;
	size_t len = 0, cap = 0;
	int64_t told_ms = 0;
	bool good = true;
	while (good && wire_next(&r, &f)) {
		if (f.number != 1)
			continue;
		mem_grow(list, len, cap);
		good = len < RECORD_ALERTS_MAX && read_alert(f.bytes, &list[len++], &told_ms);
	}
	good &= !r.bad && len > 0;
	if (good) {
		qsort(list, len, sizeof(*list), sample_by_ref);
		record_write_metrics(told_ms, 0, list, len, batch);
	}
	mem_free(list);
	return good ? 0 : broken(err, "AlertBatch");
}

/* ---- compression ---- */

int record_unpack(uint32_t compression, struct str payload, struct buf *out, struct str *ret,
		  struct error *err)
{
	if (payload.len > RECORD_BYTES_MAX)
		return error_set(err, ERR_TOO_LARGE, "a record of %zu bytes, at most %d",
				 payload.len, RECORD_BYTES_MAX);
	if (compression == RECORD_PLAIN) {
		*ret = payload;
		return 0;
	}
	if (compression != RECORD_ZSTD)
		return error_set(err, ERR_BAD_REQUEST, "unknown compression %u", compression);
	buf_clear(out);
	int rc = pack_open(payload, RECORD_UNPACKED_BYTES_MAX, out, err);
	if (rc == 0)
		*ret = buf_str(out);
	return rc;
}
