#include "telemetry/logchunk.h"

#include "base/mem.h"
#include "telemetry/pack.h"

enum { PACK_LEVEL = 3, FLAG_STDERR = 1, FLAG_PARTIAL = 2, PROBES = 4 };

void logchunk_add(struct logchunk *c, const struct record_line *line)
{
	if (!c->lines)
		c->t0_ns = line->unix_ns;
	uint64_t before = c->lines ? (uint64_t)c->t1_ns : 0;
	wire_add(&c->columns, wire_zigzag((int64_t)((uint64_t)line->unix_ns - before)));
	buf_addc(&c->columns,
		 (char)((line->is_stderr ? FLAG_STDERR : 0) | (line->partial ? FLAG_PARTIAL : 0)));
	wire_add(&c->columns, line->text.len);
	buf_add_str(&c->text, line->text);
	c->t1_ns = line->unix_ns;
	c->lines++;
}

void logchunk_fini(struct logchunk *c)
{
	buf_fini(&c->columns);
	buf_fini(&c->text);
}

void logchunk_clear(struct logchunk *c)
{
	logchunk_fini(c);
	*c = (struct logchunk){ 0 };
}

void logchunk_pack(const struct logchunk *c, struct buf *out)
{
	struct buf raw = { 0 };
	wire_add_bytes(&raw, buf_str(&c->columns));
	buf_add_str(&raw, buf_str(&c->text));
	pack_close(buf_str(&raw), PACK_LEVEL, out);
	buf_fini(&raw);
}

int logchunk_open(struct str packed, struct buf *raw, struct logchunk_walk *ret, struct error *err)
{
	buf_clear(raw);
	int rc = pack_open(packed, LOGCHUNK_BYTES_MAX, raw, err);
	if (rc)
		return rc;
	struct wire r = wire_of(buf_str(raw));
	struct str columns = wire_take(&r, wire_get(&r));
	if (r.bad)
		return error_set(err, ERR_BAD_REQUEST, "a damaged block of log lines");
	*ret = (struct logchunk_walk){ .columns = wire_of(columns),
				       .text = wire_take(&r, (uint64_t)(r.end - r.p)) };
	return 0;
}

bool logchunk_next(struct logchunk_walk *w, struct record_line *ret)
{
	if (!wire_more(&w->columns))
		return false;
	int64_t delta = wire_get_signed(&w->columns);
	struct str flags = wire_take(&w->columns, 1);
	uint64_t n = wire_get(&w->columns);
	if (w->columns.bad || n > w->text.len)
		return false;
	w->ns = (int64_t)((uint64_t)w->ns + (uint64_t)delta);
	ret->unix_ns = w->ns;
	ret->is_stderr = flags.p[0] & FLAG_STDERR;
	ret->partial = flags.p[0] & FLAG_PARTIAL;
	ret->text = str_sub(w->text, 0, (size_t)n);
	w->text = str_sub(w->text, (size_t)n, w->text.len);
	return true;
}

/* ---- the filter ---- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* FNV-1a: the same in every process, for it is stored. */
static uint64_t hash(struct str word)
{
	uint64_t h = 1469598103934665603ULL;
	for (size_t i = 0; i < word.len; i++) {
		h ^= (uint8_t)word.p[i];
		h *= 1099511628211ULL;
	}
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9ULL;
	return (h ^ h >> 32) | 1;
}

/* Distinct hashes of the words, in an open table of `size` slots; how many, or SIZE_MAX when there are too many. */
static size_t collect(struct str text, uint64_t *slots, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < text.len;) {
		size_t from = i;
		while (i < text.len && is_word(text.p[i]))
			i++;
		if (i == from) {
			i++;
			continue;
		}
		uint64_t h = hash(str_sub(text, from, i));
		size_t at = (size_t)h & (size - 1);
		while (slots[at] && slots[at] != h)
			at = (at + 1) & (size - 1);
		if (slots[at])
			continue;
		slots[at] = h;
		if (++n > LOGCHUNK_TOKENS_MAX)
			return SIZE_MAX;
	}
	return n;
}

static size_t bit_of(uint64_t h, unsigned probe, size_t bits)
{
	return ((uint32_t)h + (size_t)probe * ((uint32_t)(h >> 32) | 1)) % bits;
}

void logchunk_bloom(struct str text, struct buf *out)
{
	const size_t size = LOGCHUNK_TOKENS_MAX * 2;
	uint64_t *slots = mem_new(uint64_t, size);
	size_t n = collect(text, slots, size);
	if (n && n != SIZE_MAX) {
		size_t bytes = (n * LOGCHUNK_TOKEN_BITS + 63) / 64 * 8;
		buf_reserve(out, bytes);
		char *bits = out->p + out->len;
		memset(bits, 0, bytes);
		for (size_t i = 0; i < size; i++)
			for (unsigned k = 0; slots[i] && k < PROBES; k++) {
				size_t bit = bit_of(slots[i], k, bytes * 8);
				bits[bit / 8] = (char)(bits[bit / 8] | 1 << bit % 8);
			}
		out->len += bytes;
	}
	mem_free(slots);
}

bool logchunk_bloom_has(struct str bloom, struct str word)
{
	uint64_t h = hash(word);
	for (unsigned k = 0; bloom.len && k < PROBES; k++) {
		size_t bit = bit_of(h, k, bloom.len * 8);
		if (!((uint8_t)bloom.p[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}
