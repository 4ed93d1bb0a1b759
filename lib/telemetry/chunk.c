#include "telemetry/chunk.h"

#include "telemetry/wire.h"

#include <assert.h>
#include <math.h>

enum flag { IRREGULAR = 1, EQUAL = 2, XOR = 4, SECOND = 8 };

enum { SCALE_SHIFT = 4, INTEGER_BYTES_MAX = 10 };

/* Above it, a double is not every integer and a difference might overflow. */
static const double MANTISSA_MAX = 9e15;

static const double POWER[CHUNK_SCALE_MAX + 1] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };

double chunk_of_decimal(int64_t mantissa, unsigned scale)
{
	assert(scale <= CHUNK_SCALE_MAX);
	return (double)mantissa / POWER[scale];
}

/* Whether v is an integer / 10^k. */
static bool scaled(double v, unsigned k, int64_t *ret)
{
	double x = v * POWER[k];
	if (!(fabs(x) < MANTISSA_MAX))
		return false;
	int64_t r = (int64_t)(x < 0 ? x - 0.5 : x + 0.5);
	if ((double)r / POWER[k] != v || (r == 0 && signbit(v)))
		return false;
	*ret = r;
	return true;
}

bool chunk_decimal(double value, int64_t *mantissa, unsigned *scale)
{
	for (unsigned k = 0; k <= CHUNK_SCALE_MAX; k++) {
		if (scaled(value, k, mantissa)) {
			*scale = k;
			return true;
		}
	}
	return false;
}

/* The smallest scale for all; -1 = none. */
static int find_scale(const struct sample *s, size_t n, int64_t *q)
{
	unsigned k = 0;
	size_t good = 0;
	while (k <= CHUNK_SCALE_MAX && good < n) {
		if (scaled(s[good].v, k, &q[good])) {
			good++;
			continue;
		}
		if (!(fabs(s[good].v * POWER[k]) < MANTISSA_MAX))
			return -1;
		k++;
		good = 0;
	}
	return good == n ? (int)k : -1;
}

/* ---- runs of small integers: zigzag varints, 0 and a count for a run of zeros ---- */

struct runs {
	uint8_t *p;
	size_t len;
	uint64_t zeros;
};

static void runs_flush(struct runs *r)
{
	if (!r->zeros)
		return;
	r->p[r->len++] = 0;
	r->len += wire_put(r->p + r->len, r->zeros);
	r->zeros = 0;
}

static void runs_add(struct runs *r, int64_t v)
{
	if (v == 0) {
		r->zeros++;
		return;
	}
	runs_flush(r);
	r->len += wire_put(r->p + r->len, wire_zigzag(v));
}

/* The next integer; runs end exactly where their chunk does, or the bytes are none of ours. */
static int64_t runs_get(struct wire *in, uint64_t *zeros)
{
	if (*zeros) {
		--*zeros;
		return 0;
	}
	uint64_t v = wire_get(in);
	if (v)
		return wire_unzigzag(v);
	*zeros = wire_get(in);
	if (*zeros == 0 || *zeros > CHUNK_SAMPLES_MAX) {
		in->bad = true;
		*zeros = 0;
		return 0;
	}
	--*zeros;
	return 0;
}

/* Sums wrap in unsigned arithmetic: hostile bytes give nonsense, never undefined behaviour. */
static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t minus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* ---- bits ---- */

struct bits_out {
	struct buf *b;
	uint64_t acc;
	unsigned n;
};

static void put_bits(struct bits_out *w, uint64_t v, unsigned n)
{
	for (unsigned left = n; left > 0;) {
		unsigned take = left < 8 - w->n ? left : 8 - w->n;
		uint64_t piece = (v >> (left - take)) & ((1U << take) - 1);
		w->acc = w->acc << take | piece;
		w->n += take;
		left -= take;
		if (w->n == 8) {
			buf_addc(w->b, (char)(uint8_t)w->acc);
			w->acc = 0;
			w->n = 0;
		}
	}
}

static void put_bits_end(struct bits_out *w)
{
	if (w->n)
		put_bits(w, 0, 8 - w->n);
}

struct bits_in {
	struct wire *r;
	unsigned n; /* bits of *r->p already taken */
};

static uint64_t get_bits(struct bits_in *in, unsigned n)
{
	uint64_t v = 0;
	while (n > 0) {
		if (in->r->p >= in->r->end) {
			in->r->bad = true;
			return 0;
		}
		unsigned take = n < 8 - in->n ? n : 8 - in->n;
		unsigned piece = (*in->r->p >> (8 - in->n - take)) & ((1U << take) - 1);
		v = v << take | piece;
		in->n += take;
		n -= take;
		if (in->n == 8) {
			in->n = 0;
			in->r->p++;
		}
	}
	return v;
}

static void encode_xor(const struct sample *s, size_t n, struct buf *out)
{
	struct bits_out w = { .b = out };
	uint64_t before = sample_bits(s[0].v);
	unsigned lead = 64, trail = 0;
	put_bits(&w, before, 64);
	for (size_t i = 1; i < n; i++) {
		uint64_t now = sample_bits(s[i].v), x = now ^ before;
		before = now;
		put_bits(&w, x != 0, 1);
		if (!x)
			continue;
		unsigned l = (unsigned)__builtin_clzll(x), t = (unsigned)__builtin_ctzll(x);
		l = l > 31 ? 31 : l;
		bool same = lead < 64 && l >= lead && t >= trail;
		put_bits(&w, !same, 1);
		if (!same) {
			lead = l;
			trail = t;
			put_bits(&w, lead, 5);
			put_bits(&w, (64 - lead - trail) & 63, 6);
		}
		put_bits(&w, x >> trail, 64 - lead - trail);
	}
	put_bits_end(&w);
}

static void decode_xor(struct wire *r, struct sample *s, size_t n)
{
	struct bits_in in = { .r = r };
	uint64_t v = get_bits(&in, 64);
	unsigned lead = 0, width = 64;
	s[0].v = sample_of_bits(v);
	for (size_t i = 1; i < n && !r->bad; i++) {
		if (get_bits(&in, 1)) {
			if (get_bits(&in, 1)) {
				lead = (unsigned)get_bits(&in, 5);
				width = (unsigned)get_bits(&in, 6);
				width = width ? width : 64;
			}
			if (lead + width > 64) {
				r->bad = true;
				return;
			}
			v ^= get_bits(&in, width) << (64 - lead - width);
		}
		s[i].v = sample_of_bits(v);
	}
	if (in.n)
		r->p++;
}

/* ---- encoding ---- */

static bool encode_times(const struct sample *s, size_t n, struct buf *out)
{
	uint8_t bytes[CHUNK_SAMPLES_MAX * INTEGER_BYTES_MAX];
	struct runs r = { .p = bytes };
	wire_add(out, wire_zigzag(s[0].t_ms));
	if (n == 1)
		return false;
	int64_t step = minus(s[1].t_ms, s[0].t_ms);
	bool irregular = false;
	wire_add(out, wire_zigzag(step));
	for (size_t i = 2; i < n; i++) {
		int64_t now = minus(s[i].t_ms, s[i - 1].t_ms);
		irregular |= now != step;
		runs_add(&r, minus(now, step));
		step = now;
	}
	runs_flush(&r);
	if (irregular)
		buf_add(out, bytes, r.len);
	return irregular;
}

static bool all_equal(const struct sample *s, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (sample_bits(s[i].v) != sample_bits(s[0].v))
			return false;
	return true;
}

static bool encode_integers(const int64_t *q, size_t n, struct buf *out)
{
	uint8_t first[CHUNK_SAMPLES_MAX * INTEGER_BYTES_MAX];
	uint8_t second[CHUNK_SAMPLES_MAX * INTEGER_BYTES_MAX];
	struct runs a = { .p = first }, b = { .p = second };
	int64_t before = 0;
	for (size_t i = 1; i < n; i++) {
		int64_t d = q[i] - q[i - 1];
		runs_add(&a, d);
		runs_add(&b, d - before);
		before = d;
	}
	runs_flush(&a);
	runs_flush(&b);
	wire_add(out, wire_zigzag(q[0]));
	bool use_second = b.len < a.len;
	if (use_second)
		buf_add(out, second, b.len);
	else
		buf_add(out, first, a.len);
	return use_second;
}

void chunk_encode(const struct sample *s, size_t n, struct buf *out)
{
	int64_t q[CHUNK_SAMPLES_MAX];
	assert(n > 0 && n <= CHUNK_SAMPLES_MAX);
	size_t head = out->len;
	unsigned flags = 0;
	buf_addc(out, 0);
	wire_add(out, n);
	if (encode_times(s, n, out))
		flags |= IRREGULAR;
	int scale = 0;
	if (all_equal(s, n)) {
		flags |= EQUAL;
		wire_add_fixed64(out, sample_bits(s[0].v));
	} else if ((scale = find_scale(s, n, q)) >= 0) {
		flags |= (unsigned)scale << SCALE_SHIFT;
		if (encode_integers(q, n, out))
			flags |= SECOND;
	} else {
		flags |= XOR;
		encode_xor(s, n, out);
	}
	out->p[head] = (char)(uint8_t)flags;
}

/* ---- decoding ---- */

static void decode_times(struct wire *r, unsigned flags, struct sample *s, size_t n)
{
	s[0].t_ms = wire_get_signed(r);
	if (n == 1)
		return;
	int64_t step = wire_get_signed(r);
	uint64_t zeros = 0;
	s[1].t_ms = plus(s[0].t_ms, step);
	for (size_t i = 2; i < n && !r->bad; i++) {
		if (flags & IRREGULAR)
			step = plus(step, runs_get(r, &zeros));
		s[i].t_ms = plus(s[i - 1].t_ms, step);
	}
	r->bad |= zeros > 0;
}

static void decode_integers(struct wire *r, unsigned flags, struct sample *s, size_t n)
{
	unsigned scale = flags >> SCALE_SHIFT;
	if (scale > CHUNK_SCALE_MAX) {
		r->bad = true;
		return;
	}
	double power = POWER[scale];
	int64_t q = wire_get_signed(r), d = 0;
	uint64_t zeros = 0;
	s[0].v = (double)q / power;
	for (size_t i = 1; i < n && !r->bad; i++) {
		int64_t x = runs_get(r, &zeros);
		d = flags & SECOND ? plus(d, x) : x;
		q = plus(q, d);
		s[i].v = (double)q / power;
	}
	r->bad |= zeros > 0;
}

static size_t decode_head(struct wire *r, unsigned *flags)
{
	struct str first = wire_take(r, 1);
	*flags = first.len ? (uint8_t)first.p[0] : 0;
	uint64_t n = wire_get(r);
	return r->bad || n == 0 || n > CHUNK_SAMPLES_MAX ? 0 : (size_t)n;
}

size_t chunk_count(struct str bytes)
{
	struct wire r = wire_of(bytes);
	unsigned flags = 0;
	return decode_head(&r, &flags);
}

size_t chunk_decode(struct str bytes, struct sample *out)
{
	struct wire r = wire_of(bytes);
	unsigned flags = 0;
	size_t n = decode_head(&r, &flags);
	if (n == 0)
		return 0;
	decode_times(&r, flags, out, n);
	if (r.bad)
		return 0;
	if (flags & EQUAL) {
		double v = sample_of_bits(wire_fixed64(&r));
		for (size_t i = 0; i < n; i++)
			out[i].v = v;
	} else if (flags & XOR) {
		decode_xor(&r, out, n);
	} else {
		decode_integers(&r, flags, out, n);
	}
	return r.bad || r.p != r.end ? 0 : n;
}
