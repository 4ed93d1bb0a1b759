/* What a node may send on Push, and what is stored of it. */
#include "telemetry/chunk.h"
#include "telemetry/logchunk.h"
#include "telemetry/record.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_series(void *arg, struct record_series *s, struct error *err)
{
	size_t n = s->len;
	(void)arg;
	assert(s->ref > 0 && n <= LABELS_MAX);
	if (labels_check(s->labels, &n, 4096, err) == 0)
		for (size_t i = 1; i < n; i++)
			assert(str_cmp(s->labels[i - 1].name, s->labels[i].name) < 0);
	return 0;
}

static void on_sample(void *arg, uint32_t ref, double v)
{
	(void)v;
	assert(ref > 0);
	++*(size_t *)arg;
}

static void on_block(void *arg, const struct record_block *b)
{
	struct record_lines it = record_lines(b);
	struct record_line line;
	struct logchunk *c = arg;
	size_t n = 0, bytes = 0;
	while (record_line_next(&it, &line)) {
		logchunk_add(c, &line);
		bytes += line.text.len;
		n++;
	}
	assert(n == b->lines && bytes == b->text.len);
}

static void on_event(void *arg, struct str event)
{
	*(size_t *)arg += event.len;
}

static void payload(struct str p)
{
	struct record_batch batch;
	struct logchunk c = { 0 };
	struct buf packed = { 0 }, raw = { 0 };
	struct logchunk_walk w;
	struct record_line line;
	size_t n = 0, lines = 0;
	if (record_metrics(p, &batch, on_sample, &n, NULL) == 0)
		assert(batch.samples == n);
	(void)!record_events(p, on_event, &n, NULL);
	(void)!record_logs(p, on_block, &c, NULL);
	if (c.lines) {
		logchunk_pack(&c, &packed);
		assert(logchunk_open(buf_str(&packed), &raw, &w, NULL) == 0);
		while (logchunk_next(&w, &line))
			lines++;
		assert(lines == c.lines);
		logchunk_bloom(buf_str(&c.text), &raw);
	}
	logchunk_fini(&c);
	buf_fini(&packed);
	buf_fini(&raw);
}

static void stored(struct str bytes)
{
	struct sample s[CHUNK_SAMPLES_MAX], again[CHUNK_SAMPLES_MAX];
	struct buf b = { 0 };
	struct logchunk_walk w;
	struct record_line line;
	size_t n = chunk_decode(bytes, s);
	if (n) {
		chunk_encode(s, n, &b);
		assert(chunk_decode(buf_str(&b), again) == n);
		for (size_t i = 0; i < n; i++)
			assert(again[i].t_ms == s[i].t_ms &&
			       sample_bits(again[i].v) == sample_bits(s[i].v));
	}
	buf_clear(&b);
	if (logchunk_open(bytes, &b, &w, NULL) == 0)
		while (logchunk_next(&w, &line))
			;
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str msg = str_n((const char *)data, size), unpacked;
	struct request q;
	struct buf b = { 0 };
	(void)!record_series(msg, on_series, NULL, NULL);
	payload(msg);
	stored(msg);
	if (record_request(msg, &q, NULL) == 0) {
		if (q.kind == REQUEST_SERIES)
			(void)!record_series(q.series, on_series, NULL, NULL);
		if (q.kind == REQUEST_RECORD &&
		    record_unpack(q.compression, q.payload, &b, &unpacked, NULL) == 0)
			payload(unpacked);
	}
	buf_fini(&b);
	return 0;
}
