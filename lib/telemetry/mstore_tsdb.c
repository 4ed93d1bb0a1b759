/* Which metrics and labels make the most series: /api/v1/status/tsdb. */
#include "base/mem.h"
#include "json/json.h"
#include "telemetry/mstore_priv.h"

#include <inttypes.h>

enum { TOP_DEFAULT = 10, TOP_MAX = 1000 };

/* The largest so far, largest first. */
struct top {
	struct {
		struct str name, value;
		size_t n;
	} v[TOP_MAX];
	size_t len, max;
};

struct counting {
	struct top metrics, names, pairs;
	struct str name; /* the values of this one are being counted */
	size_t values, all_pairs;
};

static void offer(struct top *t, struct str name, struct str value, size_t n)
{
	size_t i = t->len;
	if (t->len == t->max && n <= t->v[t->len - 1].n)
		return;
	if (t->len < t->max)
		t->len++;
	else
		i--;
	for (; i > 0 && t->v[i - 1].n < n; i--)
		t->v[i] = t->v[i - 1];
	t->v[i].name = name;
	t->v[i].value = value;
	t->v[i].n = n;
}

static void end_name(struct counting *c)
{
	if (c->values)
		offer(&c->names, c->name, STR(""), c->values);
	c->values = 0;
}

/* The pairs of a name come one behind the other. */
static void on_pair(void *arg, struct str name, struct str value, size_t series)
{
	struct counting *c = arg;
	if (!str_eq(name, c->name))
		end_name(c);
	c->name = name;
	c->values++;
	c->all_pairs++;
	offer(&c->pairs, name, value, series);
	if (str_eq(name, LABELS_NAME))
		offer(&c->metrics, value, STR(""), series);
}

static void write_top(struct buf *out, const char *key, const struct top *t)
{
	struct buf text = { 0 };
	buf_addf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < t->len; i++) {
		buf_clear(&text);
		buf_add_str(&text, t->v[i].name);
		if (t->v[i].value.len) {
			buf_addc(&text, '=');
			buf_add_str(&text, t->v[i].value);
		}
		buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
		json_write_str(out, buf_str(&text));
		buf_addf(out, ",\"value\":%zu}", t->v[i].n);
	}
	buf_addc(out, ']');
	buf_fini(&text);
}

void mstore_write_tsdb(struct mstore *s, int64_t limit, struct buf *out)
{
	const struct index *ix = intake_index(s->intake);
	struct counting *c = mem_new(struct counting, 1);
	size_t max = limit <= 0 ? TOP_DEFAULT : limit < TOP_MAX ? (size_t)limit : TOP_MAX;
	c->metrics.max = c->names.max = c->pairs.max = max;
	index_pairs(ix, on_pair, c);
	end_name(c);
	buf_addf(out, "{\"headStats\":{\"numSeries\":%zu,\"numLabelPairs\":%zu}", index_count(ix),
		 c->all_pairs);
	write_top(out, "seriesCountByMetricName", &c->metrics);
	write_top(out, "labelValueCountByLabelName", &c->names);
	write_top(out, "seriesCountByLabelValuePair", &c->pairs);
	buf_addc(out, '}');
	mem_free(c);
}
