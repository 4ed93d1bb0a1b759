#include "records.h"

#include "placement_plan.h"

struct records records_read(struct arena *a, struct str text)
{
	struct records r = { .a = arena_new(a, struct record, PLACE_CLUSTERS_MAX) };
	struct str rest = text;
	struct str piece;
	while (rest.len && r.len < PLACE_CLUSTERS_MAX && str_split(&rest, ',', &piece)) {
		ptrdiff_t eq = str_find(piece, '=', 0);
		if (eq <= 0)
			continue;
		struct str value = str_sub(piece, (size_t)eq + 1, piece.len);
		int64_t n = PLACE_LEAVING;
		if (!str_is(value, "-") && (!str_to_i64(value, &n) || n < 0))
			continue;
		r.a[r.len++] = (struct record){ arena_str(a, str_sub(piece, 0, (size_t)eq)), n };
	}
	return r;
}

void records_write(struct buf *out, const struct record *r, size_t len)
{
	bool first = true;
	for (size_t i = 0; i < len; i++) {
		if (r[i].n == PLACE_UNRECORDED)
			continue;
		if (!first)
			buf_addc(out, ',');
		first = false;
		buf_add_str(out, r[i].cluster);
		buf_addc(out, '=');
		if (r[i].n == PLACE_LEAVING)
			buf_addc(out, '-');
		else
			buf_add_i64(out, r[i].n);
	}
}

int64_t records_find(const struct records *r, struct str cluster)
{
	for (size_t i = 0; i < r->len; i++)
		if (str_eq(r->a[i].cluster, cluster))
			return r->a[i].n;
	return PLACE_UNRECORDED;
}

struct tombstones tombstones_read(struct arena *a, struct str text)
{
	struct tombstones t = { 0 };
	struct json list;
	struct str own = arena_str(a, text);
	if (!own.len || json_parse(a, own, NULL, &list, NULL) != 0)
		return t;
	t.a = arena_new(a, struct tombstone, json_len(&list));
	for (size_t i = 0; i < json_len(&list); i++) {
		const struct json *x = json_at(&list, i);
		t.a[t.len++] = (struct tombstone){
			.api_version = json_str(json_getc(x, "apiVersion")),
			.kind = json_str(json_getc(x, "kind")),
			.ns = json_str(json_getc(x, "namespace")),
			.name = json_str(json_getc(x, "name")),
			.uid = json_str(json_getc(x, "uid")),
		};
	}
	return t;
}

struct str tombstones_write(struct arena *a, const struct tombstones *t)
{
	struct json list = json_array();
	for (size_t i = 0; i < t->len; i++) {
		struct json *x = json_push(a, &list, json_object());
		(void)json_setc(a, x, "apiVersion", json_of_str(t->a[i].api_version));
		(void)json_setc(a, x, "kind", json_of_str(t->a[i].kind));
		if (t->a[i].ns.len)
			(void)json_setc(a, x, "namespace", json_of_str(t->a[i].ns));
		(void)json_setc(a, x, "name", json_of_str(t->a[i].name));
		(void)json_setc(a, x, "uid", json_of_str(t->a[i].uid));
	}
	return json_text(a, &list);
}

bool tombstones_has(const struct tombstones *t, struct str uid)
{
	for (size_t i = 0; i < t->len; i++)
		if (str_eq(t->a[i].uid, uid))
			return true;
	return false;
}
