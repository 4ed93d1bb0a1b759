/* Stored objects as text: encoding, the index of the watch cache, metadata alone. */
#include "kind/kind_priv.h"
#include "kind/scan.h"
#include "watch/watch.h"

/* ---- encoding ---- */

static void write_member(struct buf *b, struct str name, const struct json *value, bool *first)
{
	if (!*first)
		buf_addc(b, ',');
	*first = false;
	json_write_str(b, name);
	buf_addc(b, ':');
	json_write(b, value);
}

static void write_metadata(struct buf *b, const struct json *meta)
{
	bool first = true;
	buf_addc(b, '{');
	for (size_t i = 0; json_is(meta, JSON_OBJECT) && i < json_len(meta); i++) {
		struct str name = json_str(&meta->members[i].key);
		if (str_is(name, "resourceVersion") || str_is(name, "selfLink"))
			continue;
		write_member(b, name, &meta->members[i].value, &first);
	}
	buf_addc(b, '}');
}

struct bytes *kind_encode(const struct kind *k, const struct json *obj)
{
	struct buf b = { 0 };
	bool first = false;
	buf_adds(&b, "{\"apiVersion\":");
	json_write_str(&b, k->storage_version);
	buf_adds(&b, ",\"kind\":");
	json_write_str(&b, k->kind);
	buf_adds(&b, ",\"metadata\":");
	write_metadata(&b, json_getc(obj, "metadata"));
	for (size_t i = 0; json_is(obj, JSON_OBJECT) && i < json_len(obj); i++) {
		struct str name = json_str(&obj->members[i].key);
		if (!str_is(name, "apiVersion") && !str_is(name, "kind") &&
		    !str_is(name, "metadata"))
			write_member(&b, name, &obj->members[i].value, &first);
	}
	buf_addc(&b, '}');
	return kind_take(&b);
}

/* ---- index ---- */

struct indexer {
	struct arena *arena;
	struct watch_index *ix;
};

static void index_labels(struct indexer *x, struct str value)
{
	struct scan s = scan_of(value);
	struct str name, text;
	bool first = true;
	if (!scan_enter(&s, '{'))
		return;
	while (scan_member(&s, &first, &name) && scan_value(&s, &text)) {
		if (x->ix->labels == WATCH_LABELS_MAX)
			return;
		/* A key is scanned without its quotes; put back they make it a value. */
		x->ix->label_key[x->ix->labels] =
			scan_text(x->arena, str_n(name.p - 1, name.len + 2));
		x->ix->label_value[x->ix->labels++] = scan_text(x->arena, text);
	}
}

static void index_owners(struct indexer *x, struct str value)
{
	struct scan s = scan_of(value);
	struct str owner;
	bool first = true;
	if (!scan_enter(&s, '['))
		return;
	while (scan_element(&s, &first) && scan_value(&s, &owner)) {
		struct str uid = scan_find(owner, STR("uid"));
		if (uid.len && x->ix->owners < WATCH_OWNERS_MAX)
			x->ix->owner_uid[x->ix->owners++] = scan_text(x->arena, uid);
	}
}

static void index_fields(struct indexer *x, const struct kind_trie *t, struct str value)
{
	struct scan s = scan_of(value);
	struct str name, text;
	bool first = true;
	if (t->field >= 0 && !str_is(value, "null"))
		x->ix->field[t->field] = scan_text(x->arena, value);
	if (!t->child || !scan_enter(&s, '{'))
		return;
	while (scan_member(&s, &first, &name) && scan_value(&s, &text))
		for (const struct kind_trie *c = t->child; c; c = c->next)
			if (str_eq(c->name, name))
				index_fields(x, c, text);
}

static void index_metadata(struct indexer *x, struct str value)
{
	struct scan s = scan_of(value);
	struct str name, text;
	bool first = true;
	if (!scan_enter(&s, '{'))
		return;
	while (scan_member(&s, &first, &name) && scan_value(&s, &text)) {
		if (str_is(name, "labels"))
			index_labels(x, text);
		else if (str_is(name, "ownerReferences"))
			index_owners(x, text);
	}
}

/* "apps/deployments/default/web" -> "apps/deployments" */
static struct str resource_of(struct str key)
{
	ptrdiff_t slash = str_find(key, '/', 0);
	if (slash >= 0)
		slash = str_find(key, '/', (size_t)slash + 1);
	return slash < 0 ? key : str_sub(key, 0, (size_t)slash);
}

void kind_index(const struct kind_set *s, struct str key, struct str value, struct watch_index *ix)
{
	const struct kind *k = kind_find_key(s, resource_of(key));
	struct indexer x = { .arena = s->scratch, .ix = ix };
	struct scan scan = scan_of(value);
	struct str name, text;
	bool first = true;
	arena_reset(s->scratch);
	ix->labels = ix->owners = 0;
	ix->fields = k ? k->selectable_len : 0;
	for (size_t i = 0; i < ix->fields; i++)
		ix->field[i] = STR_NONE;
	if (!scan_enter(&scan, '{'))
		return;
	const struct kind_trie *root = k ? kind_info(k)->trie : NULL;
	while (scan_member(&scan, &first, &name) && scan_value(&scan, &text)) {
		if (str_is(name, "metadata"))
			index_metadata(&x, text);
		for (const struct kind_trie *c = root ? root->child : NULL; c; c = c->next)
			if (str_eq(c->name, name))
				index_fields(&x, c, text);
	}
}

/* ---- metadata alone ---- */

void kind_partial_metadata(const char *version, struct str json, struct buf *out)
{
	struct str meta = scan_find(json, STR("metadata"));
	buf_addf(out,
		 "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/%s\","
		 "\"metadata\":",
		 version);
	buf_add_str(out, meta.len ? meta : STR("{}"));
	buf_addc(out, '}');
}
