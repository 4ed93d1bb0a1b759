#include "payload.h"

#include "json/json.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- names ---- */

static uint64_t hash_add(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211ULL;
	return (h ^ 255) * 1099511628211ULL;
}

void fingerprint(struct labels l, char out[FINGERPRINT_LEN + 1])
{
	uint64_t h = 14695981039346656037ULL;
	for (size_t i = 0; i < l.len; i++)
		h = hash_add(hash_add(h, l.v[i].name), l.v[i].value);
	(void)snprintf(out, FINGERPRINT_LEN + 1, "%016" PRIx64, h);
}

void group_key_write(struct labels g, struct buf *out)
{
	buf_adds(out, "{}:{");
	for (size_t i = 0; i < g.len; i++) {
		if (i)
			buf_adds(out, ", ");
		buf_add_str(out, g.v[i].name);
		buf_addc(out, '=');
		json_write_str(out, g.v[i].value);
	}
	buf_addc(out, '}');
}

/* ---- the document ---- */

static void key(struct buf *out, const char *name)
{
	buf_addf(out, "\"%s\":", name);
}

static void add_time(struct buf *out, const char *name, int64_t ms)
{
	key(out, name);
	buf_addc(out, '"');
	if (ms)
		rfc3339_write_nano(out, ms / 1000, (int32_t)(ms % 1000) * 1000000);
	else
		buf_adds(out, "0001-01-01T00:00:00Z");
	buf_adds(out, "\",");
}

static void add_alert(struct buf *out, const struct payload_alert *x)
{
	char fp[FINGERPRINT_LEN + 1];
	fingerprint(x->labels, fp);
	buf_addf(out, "{\"status\":\"%s\",\"labels\":", x->firing ? "firing" : "resolved");
	labels_write_json(x->labels, out);
	buf_adds(out, ",\"annotations\":");
	labels_write_json(x->annotations, out);
	buf_addc(out, ',');
	add_time(out, "startsAt", x->starts_ms);
	add_time(out, "endsAt", x->firing ? 0 : x->ends_ms);
	key(out, "generatorURL");
	json_write_str(out, x->generator_url);
	buf_addf(out, ",\"fingerprint\":\"%s\"}", fp);
}

static struct labels of(const struct payload_alert *x, bool annotations)
{
	return annotations ? x->annotations : x->labels;
}

/* What all alerts have in common. */
static void add_common(struct buf *out, const struct payload *p, bool annotations)
{
	struct label v[LABELS_MAX];
	size_t n = 0;
	struct labels first = p->len ? of(&p->alerts[0], annotations) : (struct labels){ 0 };
	for (size_t i = 0; i < first.len && n < LABELS_MAX; i++) {
		size_t k = 1;
		while (k < p->len &&
		       str_eq(labels_get(of(&p->alerts[k], annotations), first.v[i].name),
			      first.v[i].value))
			k++;
		if (k >= p->len)
			v[n++] = first.v[i];
	}
	labels_write_json((struct labels){ v, n }, out);
}

void payload_write(const struct payload *p, struct buf *out)
{
	size_t start = out->len;
	size_t most = p->max_alerts && p->max_alerts < p->len ? p->max_alerts : p->len;
	bool firing = p->len && p->alerts[0].firing;
	buf_addc(out, '{');
	key(out, "receiver");
	json_write_str(out, p->receiver);
	buf_addf(out, ",\"status\":\"%s\",\"alerts\":[", firing ? "firing" : "resolved");
	size_t i = 0;
	for (; i < most && out->len - start < PAYLOAD_BYTES_MAX; i++) {
		if (i)
			buf_addc(out, ',');
		add_alert(out, &p->alerts[i]);
	}
	buf_adds(out, "],\"groupLabels\":");
	labels_write_json(p->group_labels, out);
	buf_adds(out, ",\"commonLabels\":");
	add_common(out, p, false);
	buf_adds(out, ",\"commonAnnotations\":");
	add_common(out, p, true);
	buf_adds(out, ",\"externalURL\":");
	json_write_str(out, p->external_url);
	buf_adds(out, ",\"version\":\"4\",\"groupKey\":");
	json_write_str(out, p->group_key);
	buf_addf(out, ",\"truncatedAlerts\":%zu,\"groupSequence\":%" PRId64 "}", p->len - i,
		 p->sequence);
}
