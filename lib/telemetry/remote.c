#include "telemetry/remote.h"

static int bad(struct error *err)
{
	return error_set(err, ERR_BAD_REQUEST, "the body is no WriteRequest of remote write 1.0");
}

static bool read_label(struct str bytes, struct label *ret)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*ret = (struct label){ STR(""), STR("") };
	while (wire_next(&r, &f)) {
		if (f.type != WIRE_BYTES)
			continue;
		if (f.number == 1)
			ret->name = f.bytes;
		else if (f.number == 2)
			ret->value = f.bytes;
	}
	return !r.bad;
}

static bool read_sample(struct str bytes, struct sample *ret)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	*ret = (struct sample){ 0, 0 };
	while (wire_next(&r, &f)) {
		if (f.number == 1 && f.type == WIRE_FIXED64)
			ret->v = sample_of_bits(f.u);
		else if (f.number == 2 && f.type == WIRE_VARINT)
			ret->t_ms = (int64_t)f.u;
	}
	return !r.bad;
}

static int read_series(struct str bytes, struct remote_series *s, struct error *err)
{
	struct wire r = wire_of(bytes);
	struct wire_field f;
	s->len = s->samples = 0;
	s->bytes = bytes;
	while (wire_next(&r, &f)) {
		struct sample sample;
		if (f.type != WIRE_BYTES)
			continue;
		if (f.number == 1 && s->len == LABELS_MAX)
			return error_set(err, ERR_BAD_REQUEST, "a series of more than %d labels",
					 LABELS_MAX);
		if (f.number == 1 && !read_label(f.bytes, &s->labels[s->len++]))
			return bad(err);
		if (f.number == 2 && !read_sample(f.bytes, &sample))
			return bad(err);
		s->samples += f.number == 2;
	}
	return r.bad ? bad(err) : 0;
}

int remote_walk(struct str msg, int (*fn)(void *arg, struct remote_series *s, struct error *err),
		void *arg, struct error *err)
{
	struct wire r = wire_of(msg);
	struct wire_field f;
	struct remote_series s;
	int rc = 0;
	while (!rc && wire_next(&r, &f)) {
		if (f.number != 1 || f.type != WIRE_BYTES)
			continue;
		rc = read_series(f.bytes, &s, err);
		if (!rc && fn)
			rc = fn(arg, &s, err);
	}
	return rc ? rc : r.bad ? bad(err) : 0;
}

struct remote_samples remote_samples(const struct remote_series *s)
{
	return (struct remote_samples){ wire_of(s->bytes) };
}

bool remote_sample_next(struct remote_samples *it, struct sample *ret)
{
	struct wire_field f;
	while (wire_next(&it->series, &f))
		if (f.number == 2 && f.type == WIRE_BYTES)
			return read_sample(f.bytes, ret);
	return false;
}

/* ---- the record ---- */

void remote_record_add(struct buf *out, uint32_t series, const struct remote_series *s)
{
	struct remote_samples it = remote_samples(s);
	struct sample x;
	int64_t before = 0;
	wire_add(out, series);
	wire_add(out, s->samples);
	while (remote_sample_next(&it, &x)) {
		wire_add(out, wire_zigzag((int64_t)((uint64_t)x.t_ms - (uint64_t)before)));
		wire_add_fixed64(out, sample_bits(x.v));
		before = x.t_ms;
	}
}

int remote_record_walk(struct str record, void (*fn)(void *arg, uint32_t series, struct sample s),
		       void *arg, struct error *err)
{
	struct wire r = wire_of(record);
	while (wire_more(&r)) {
		uint64_t series = wire_get(&r), n = wire_get(&r);
		int64_t t = 0;
		for (uint64_t i = 0; i < n && !r.bad; i++) {
			t = (int64_t)((uint64_t)t + (uint64_t)wire_get_signed(&r));
			double v = sample_of_bits(wire_fixed64(&r));
			if (!r.bad && series <= UINT32_MAX)
				fn(arg, (uint32_t)series, (struct sample){ t, v });
		}
	}
	return r.bad ? error_set(err, ERR_BAD_REQUEST, "a damaged record of samples") : 0;
}
