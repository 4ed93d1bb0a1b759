#include "fleetmerge.h"

#include "base/map.h"
#include "base/mem.h"
#include "json/json.h"

#include <stdlib.h>

static const struct json_limits LIMITS = { .bytes_max = 64 << 20,
					   .depth_max = 16,
					   .values_max = 20000000 };

/* Distinct texts, and what each stands for. */
struct words {
	struct arena arena;
	struct map seen;
	struct str *v;
	size_t len, cap;
};

static bool add(struct words *w, struct str s)
{
	if (map_get(&w->seen, s))
		return false;
	s = arena_str(&w->arena, s);
	(void)map_set(&w->seen, s, w);
	mem_grow(w->v, w->len, w->cap);
	w->v[w->len++] = s;
	return true;
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void write_words(struct words *w, int64_t limit, struct buf *out)
{
	if (w->len)
		qsort(w->v, w->len, sizeof(*w->v), by_text);
	size_t n = limit > 0 && w->len > (size_t)limit ? (size_t)limit : w->len;
	buf_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		buf_adds(out, i ? "," : "");
		json_write_str(out, w->v[i]);
	}
	buf_addc(out, ']');
}

static void add_words(struct words *w, const struct mstore_ask *ask, struct labels place,
		      const struct json *data)
{
	for (size_t i = 0; i < json_len(data); i++)
		add(w, json_str(json_at(data, i)));
	for (size_t i = 0; i < place.len && (json_len(data) || !ask->matches_len); i++) {
		if (ask->kind == MSTORE_LABELS)
			add(w, place.v[i].name);
		else if (str_eq(ask->text, place.v[i].name))
			add(w, place.v[i].value);
	}
}

/* The same set may be known to several clusters. */
static int add_series(struct words *w, const struct mstore_ask *ask, struct labels place,
		      const struct json *set, struct buf *out, struct error *err)
{
	struct arena a = { 0 };
	struct buf text = { 0 };
	size_t n = json_len(set), k = 0;
	struct label *v = arena_new(&a, struct label, n + place.len + 1);
	for (size_t i = 0; json_is(set, JSON_OBJECT) && i < n; i++)
		v[k++] = (struct label){ json_str(&set->members[i].key),
					 json_str(&set->members[i].value) };
	const struct labels own = { v, k };
	for (size_t i = 0; i < place.len; i++)
		if (!labels_get(own, place.v[i].name).len)
			v[k++] = place.v[i];
	int rc = labels_check(v, &k, SIZE_MAX / 2, err);
	if (!rc) {
		labels_write_json((struct labels){ v, k }, &text);
		bool room = ask->limit <= 0 || w->len < (size_t)ask->limit;
		bool first = !w->len;
		if (room && add(w, buf_str(&text))) {
			buf_adds(out, first ? "" : ",");
			buf_add_str(out, buf_str(&text));
		}
	}
	buf_fini(&text);
	arena_fini(&a);
	return rc;
}

static void add_metadata(struct words *w, const struct mstore_ask *ask, const struct json *data,
			 struct buf *out)
{
	for (size_t i = 0; json_is(data, JSON_OBJECT) && i < json_len(data); i++) {
		const struct json_member *m = &data->members[i];
		bool first = !w->len;
		if ((ask->limit > 0 && w->len == (size_t)ask->limit) || !add(w, json_str(&m->key)))
			continue;
		buf_adds(out, first ? "" : ",");
		json_write_str(out, json_str(&m->key));
		buf_addc(out, ':');
		json_write(out, &m->value);
	}
}

static int merge_one(struct words *w, const struct mstore_ask *ask,
		     const struct fleetmerge_answer *from, struct buf *out, struct error *err)
{
	struct arena a = { 0 };
	struct json doc;
	int rc = json_parse(&a, from->body, &LIMITS, &doc, err);
	const struct json *data = rc ? NULL : json_getc(&doc, "data");
	if (!rc && !data)
		rc = error_set(err, ERR_BAD_REQUEST, "no data");
	if (!rc && ask->kind == MSTORE_METADATA)
		add_metadata(w, ask, data, out);
	else if (!rc && ask->kind != MSTORE_SERIES)
		add_words(w, ask, from->place, data);
	for (size_t i = 0; !rc && ask->kind == MSTORE_SERIES && i < json_len(data); i++)
		rc = add_series(w, ask, from->place, json_at(data, i), out, err);
	arena_fini(&a);
	return rc;
}

int fleetmerge(const struct mstore_ask *ask, const struct fleetmerge_answer *v, size_t n,
	       struct buf *out, struct error *err)
{
	struct words w = { 0 };
	int rc = 0;
	if (ask->kind == MSTORE_METADATA)
		buf_addc(out, '{');
	else if (ask->kind == MSTORE_SERIES)
		buf_addc(out, '[');
	for (size_t i = 0; !rc && i < n; i++)
		rc = merge_one(&w, ask, &v[i], out, err);
	if (ask->kind == MSTORE_METADATA)
		buf_addc(out, '}');
	else if (ask->kind == MSTORE_SERIES)
		buf_addc(out, ']');
	else
		write_words(&w, ask->limit, out);
	mem_free(w.v);
	map_fini(&w.seen);
	arena_fini(&w.arena);
	return rc;
}
