#include "telemetry/delta.h"

#include "base/mem.h"
#include "telemetry/wire.h"

#include <assert.h>
#include <stdlib.h>

enum { SCALES = 10, RAW = SCALES };

static const int64_t MANTISSA_MAX = 9000000000000000;

static const int64_t power[SCALES] = { 1,      10,      100,      1000,      10000,
				       100000, 1000000, 10000000, 100000000, 1000000000 };

/* A batch being read: its items and the series that ended, both sorted. */
struct batch {
	struct delta_item *items;
	size_t len, cap;
	uint32_t *stale;
	size_t stale_len, stale_cap;
	uint64_t time_ms, interval_ms, base;
};

static void batch_fini(struct batch *b)
{
	mem_free(b->items);
	mem_free(b->stale);
}

void delta_fini(struct delta *d)
{
	mem_free(d->items);
	*d = (struct delta){ 0 };
}

static int broken(struct error *err, const char *what)
{
	return error_set(err, ERR_BAD_REQUEST, "broken %s", what);
}

/* ---- reading ---- */

static bool add_item(struct batch *b, struct delta_item it)
{
	if (b->len == DELTA_SERIES_MAX)
		return false;
	mem_grow(b->items, b->len, b->cap);
	b->items[b->len++] = it;
	return true;
}

static bool next_ref(struct wire *r, uint64_t *ref)
{
	uint64_t d = wire_get(r);
	*ref += d;
	return !r->bad && d <= UINT32_MAX && *ref > 0 && *ref <= UINT32_MAX;
}

static bool read_group(struct batch *b, struct str bytes)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	struct str refs = STR(""), mantissas = STR(""), values = STR("");
	uint64_t scale = 0, ref = 0;
	while (wire_next(&r, &f)) {
		if (f.number == 1)
			scale = f.u;
		else if (f.number == 2)
			refs = f.bytes;
		else if (f.number == 3)
			mantissas = f.bytes;
		else if (f.number == 4)
			values = f.bytes;
	}
	if (r.bad || scale >= SCALES)
		return false;
	struct wire rr = wire_of(refs), m = wire_of(mantissas), v = wire_of(values);
	while (wire_more(&rr)) {
		struct delta_item it = { .scale = mantissas.len ? (uint8_t)scale : RAW };
		if (!next_ref(&rr, &ref))
			return false;
		it.ref = (uint32_t)ref;
		it.mantissa = mantissas.len ? wire_get_signed(&m) : (int64_t)wire_fixed64(&v);
		if (m.bad || v.bad || !add_item(b, it))
			return false;
		if (it.scale != RAW && (it.mantissa > MANTISSA_MAX || it.mantissa < -MANTISSA_MAX))
			return false;
	}
	return !rr.bad && m.p == m.end && v.p == v.end;
}

static bool read_stale(struct batch *b, struct str bytes)
{
	struct wire r = wire_of(bytes);
	while (wire_more(&r)) {
		uint64_t ref = wire_get(&r);
		if (r.bad || ref == 0 || ref > UINT32_MAX || b->stale_len == DELTA_SERIES_MAX)
			return false;
		mem_grow(b->stale, b->stale_len, b->stale_cap);
		b->stale[b->stale_len++] = (uint32_t)ref;
	}
	return !r.bad;
}

static int by_ref(const void *a, const void *b)
{
	const struct delta_item *x = a, *y = b;
	return x->ref < y->ref ? -1 : x->ref > y->ref;
}

/* Sorts, and refuses a series that stands twice. */
static bool sort_items(struct batch *b)
{
	if (b->len)
		qsort(b->items, b->len, sizeof(*b->items), by_ref);
	for (size_t i = 1; i < b->len; i++) {
		if (b->items[i - 1].ref == b->items[i].ref)
			return false;
	}
	return true;
}

static int read_batch(struct batch *b, struct str bytes, struct error *err)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	bool good = true;
	while (good && wire_next(&r, &f)) {
		if (f.number == 1)
			b->time_ms = f.u;
		else if (f.number == 2)
			b->interval_ms = f.u;
		else if (f.number == 3)
			good = read_group(b, f.bytes);
		else if (f.number == 4)
			good = read_stale(b, f.bytes);
	}
	return good && !r.bad && sort_items(b) ? 0 : broken(err, "MetricBatch");
}

/* ---- writing ---- */

static void write_groups(struct buf *out, uint32_t number, const struct delta_item *items, size_t n)
{
	for (unsigned k = 0; k <= RAW; k++) {
		struct buf refs = { 0 }, numbers = { 0 }, one = { 0 };
		uint32_t before = 0;
		for (size_t i = 0; i < n; i++) {
			if (items[i].scale != k)
				continue;
			wire_add(&refs, items[i].ref - before);
			before = items[i].ref;
			if (k == RAW)
				wire_add_fixed64(&numbers, (uint64_t)items[i].mantissa);
			else
				wire_add(&numbers, wire_zigzag(items[i].mantissa));
		}
		if (refs.len) {
			if (k && k != RAW)
				wire_add_field(&one, 1, k);
			wire_add_field_bytes(&one, 2, buf_str(&refs));
			wire_add_field_bytes(&one, k == RAW ? 4 : 3, buf_str(&numbers));
			wire_add_field_bytes(out, number, buf_str(&one));
		}
		buf_fini(&refs);
		buf_fini(&numbers);
		buf_fini(&one);
	}
}

static void write_stale(struct buf *out, uint32_t number, const struct batch *b)
{
	struct buf refs = { 0 };
	for (size_t i = 0; i < b->stale_len; i++)
		wire_add(&refs, b->stale[i]);
	if (refs.len)
		wire_add_field_bytes(out, number, buf_str(&refs));
	buf_fini(&refs);
}

/* ---- the base ---- */

static void become(struct delta *d, uint64_t sequence, struct batch *b)
{
	mem_free(d->items);
	d->items = b->items;
	d->len = b->len;
	d->cap = b->cap;
	d->sequence = sequence;
	b->items = NULL;
}

int delta_base(struct delta *d, uint64_t sequence, struct str batch, struct error *err)
{
	struct batch b = { 0 };
	int rc = read_batch(&b, batch, err);
	if (rc)
		delta_fini(d);
	else
		become(d, sequence, &b);
	batch_fini(&b);
	return rc;
}

/* Gives the number the scale of its base where that is the finer one and it fits. */
static void rescale(struct delta_item *it, const struct delta_item *base)
{
	if (it->scale == RAW || base->scale == RAW || base->scale <= it->scale)
		return;
	int64_t f = power[base->scale - it->scale];
	if (it->mantissa > MANTISSA_MAX / f || it->mantissa < -(MANTISSA_MAX / f))
		return;
	it->mantissa *= f;
	it->scale = base->scale;
}

struct changes {
	struct buf refs, deltas;
	uint32_t before;
	struct delta_item *whole;
	size_t whole_len, whole_cap;
};

static void change(struct changes *c, const struct delta_item *it, const struct delta_item *base)
{
	if (base && it->scale == base->scale && it->mantissa == base->mantissa)
		return;
	if (base && it->scale != RAW && it->scale == base->scale) {
		wire_add(&c->refs, it->ref - c->before);
		wire_add(&c->deltas, wire_zigzag(it->mantissa - base->mantissa));
		c->before = it->ref;
		return;
	}
	mem_grow(c->whole, c->whole_len, c->whole_cap);
	c->whole[c->whole_len++] = *it;
}

/* What is in the base and no more in the batch must be said too, whatever the batch says of it. */
static void add_ended(struct batch *b, uint32_t ref)
{
	for (size_t i = 0; i < b->stale_len; i++) {
		if (b->stale[i] == ref)
			return;
	}
	mem_grow(b->stale, b->stale_len, b->stale_cap);
	b->stale[b->stale_len++] = ref;
}

int delta_write(struct delta *d, uint64_t sequence, struct str batch, struct buf *out,
		struct error *err)
{
	struct batch b = { 0 };
	struct changes c = { 0 };
	assert(d->sequence > 0);
	int rc = read_batch(&b, batch, err);
	size_t k = 0;
	for (size_t i = 0; i < b.len && !rc; i++) {
		for (; k < d->len && d->items[k].ref < b.items[i].ref; k++)
			add_ended(&b, d->items[k].ref);
		bool had = k < d->len && d->items[k].ref == b.items[i].ref;
		if (had)
			rescale(&b.items[i], &d->items[k]);
		change(&c, &b.items[i], had ? &d->items[k] : NULL);
		k += had;
	}
	for (; k < d->len && !rc; k++)
		add_ended(&b, d->items[k].ref);
	if (!rc) {
		wire_add_field(out, 1, b.time_ms);
		wire_add_field(out, 2, b.interval_ms);
		wire_add_field(out, 3, d->sequence);
		if (c.refs.len) {
			wire_add_field_bytes(out, 4, buf_str(&c.refs));
			wire_add_field_bytes(out, 5, buf_str(&c.deltas));
		}
		write_groups(out, 6, c.whole, c.whole_len);
		write_stale(out, 7, &b);
		become(d, sequence, &b);
	}
	mem_free(c.whole);
	buf_fini(&c.refs);
	buf_fini(&c.deltas);
	batch_fini(&b);
	return rc;
}

/* ---- expanding ---- */

struct parts {
	struct str refs, deltas;
	struct batch whole; /* its items, the stale ones, times */
};

static bool read_parts(struct parts *p, struct str bytes)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	bool good = true;
	while (good && wire_next(&r, &f)) {
		switch (f.number) {
		case 1:
			p->whole.time_ms = f.u;
			break;
		case 2:
			p->whole.interval_ms = f.u;
			break;
		case 3:
			p->whole.base = f.u;
			break;
		case 4:
			p->refs = f.bytes;
			break;
		case 5:
			p->deltas = f.bytes;
			break;
		case 6:
			good = read_group(&p->whole, f.bytes);
			break;
		case 7:
			good = read_stale(&p->whole, f.bytes);
			break;
		default:
			break;
		}
	}
	return good && !r.bad && sort_items(&p->whole);
}

/* The base with its differences, into *to. */
static bool apply(const struct delta *d, const struct parts *p, struct batch *to)
{
	struct wire refs = wire_of(p->refs), deltas = wire_of(p->deltas);
	uint64_t ref = 0;
	size_t k = 0;
	for (size_t i = 0; i < d->len; i++)
		(void)add_item(to, d->items[i]);
	while (wire_more(&refs)) {
		if (!next_ref(&refs, &ref))
			return false;
		int64_t x = wire_get_signed(&deltas);
		while (k < to->len && to->items[k].ref < ref)
			k++;
		if (deltas.bad || k == to->len || to->items[k].ref != ref ||
		    to->items[k].scale == RAW ||
		    __builtin_add_overflow(to->items[k].mantissa, x, &to->items[k].mantissa) ||
		    to->items[k].mantissa > MANTISSA_MAX || to->items[k].mantissa < -MANTISSA_MAX)
			return false;
	}
	return !refs.bad && deltas.p == deltas.end;
}

static int u32_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* Takes out what ended and puts in what came whole. */
static bool merge(struct batch *base, struct batch *with, struct batch *to)
{
	size_t i = 0, k = 0, s = 0;
	if (with->stale_len)
		qsort(with->stale, with->stale_len, sizeof(*with->stale), u32_cmp);
	while (i < base->len || k < with->len) {
		bool from_with = k < with->len &&
				 (i == base->len || with->items[k].ref <= base->items[i].ref);
		if (from_with && i < base->len && with->items[k].ref == base->items[i].ref)
			i++;
		struct delta_item it = from_with ? with->items[k++] : base->items[i++];
		while (s < with->stale_len && with->stale[s] < it.ref)
			s++;
		bool ended = !from_with && s < with->stale_len && with->stale[s] == it.ref;
		if (!ended && !add_item(to, it))
			return false;
	}
	return true;
}

int delta_read(struct delta *d, uint64_t sequence, struct str delta, struct buf *batch,
	       struct error *err)
{
	struct parts p = { 0 };
	struct batch base = { 0 }, to = { 0 };
	int rc = 0;
	if (!read_parts(&p, delta))
		rc = broken(err, "MetricDelta");
	else if (d->sequence == 0 || p.whole.base != d->sequence)
		rc = error_set(err, ERR_BAD_REQUEST, "a MetricDelta to a record that is not here");
	else if (!apply(d, &p, &base) || !merge(&base, &p.whole, &to))
		rc = broken(err, "MetricDelta");
	if (!rc) {
		wire_add_field(batch, 1, p.whole.time_ms);
		wire_add_field(batch, 2, p.whole.interval_ms);
		write_groups(batch, 3, to.items, to.len);
		write_stale(batch, 4, &p.whole);
		become(d, sequence, &to);
	}
	batch_fini(&base);
	batch_fini(&to);
	batch_fini(&p.whole);
	return rc;
}
