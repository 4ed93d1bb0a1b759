#include "manifest.h"

#include "names.h"
#include "text/quantity.h"
#include "tls/digest.h"

/* ---- making ---- */

static void drop_nulls(struct json *j)
{
	if (json_is(j, JSON_OBJECT)) {
		for (size_t i = j->len; i > 0; i--) {
			if (j->members[i - 1].value.type == JSON_NULL)
				(void)json_remove(j, json_str(&j->members[i - 1].key));
			else
				drop_nulls(&j->members[i - 1].value);
		}
	} else if (json_is(j, JSON_ARRAY)) {
		for (size_t i = 0; i < j->len; i++)
			drop_nulls(&j->items[i]);
	}
}

static bool is_bookkeeping(struct str note)
{
	static const char *const ours[] = { FLEET_NOTE_PLACEMENT, FLEET_NOTE_PLACED,
					    FLEET_NOTE_ORIGIN,    FLEET_NOTE_HASH,
					    NOTE_LAST_APPLIED,    NOTE_REVISION };
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (str_is(note, ours[i]))
			return true;
	return false;
}

static void set_metadata(struct arena *a, struct json *out, const struct json *obj,
			 struct str placement)
{
	const struct json *from = json_getc(obj, "metadata");
	struct json *meta = json_setc(a, out, "metadata", json_object());
	(void)json_setc(a, meta, "name", *json_getc(from, "name"));
	if (json_getc(from, "namespace"))
		(void)json_setc(a, meta, "namespace", *json_getc(from, "namespace"));
	const struct json *labels = json_getc(from, "labels");
	struct json *l =
		json_setc(a, meta, "labels", labels ? json_clone(a, labels) : json_object());
	(void)json_setc(a, l, FLEET_LABEL_MANAGED, json_of_cstr(FLEET_MANAGER));
	struct json *notes = json_setc(a, meta, "annotations", json_object());
	const struct json *old = json_getc(from, "annotations");
	for (size_t i = 0; json_is(old, JSON_OBJECT) && i < old->len; i++)
		if (!is_bookkeeping(json_str(&old->members[i].key)))
			(void)json_set(a, notes, json_str(&old->members[i].key),
				       old->members[i].value);
	const struct json *uid = json_getc(from, "uid");
	(void)json_setc(a, notes, FLEET_NOTE_ORIGIN, uid ? *uid : json_of_cstr(""));
	if (placement.len)
		(void)json_setc(a, notes, FLEET_NOTE_PLACEMENT, json_of_str(placement));
}

/* A Namespace's spec belongs to each cluster; the tokens of a service account are made there. */
static bool is_copied(struct str kind, struct str member)
{
	if (str_is(member, "status") || str_is(member, "metadata") || str_is(member, "kind") ||
	    str_is(member, "apiVersion"))
		return false;
	if (str_is(kind, "Namespace"))
		return false;
	return !(str_is(kind, "ServiceAccount") && str_is(member, "secrets"));
}

struct json manifest_of(struct arena *a, const struct json *obj, struct str placement,
			int64_t replicas)
{
	struct json out = json_object();
	struct str kind = json_str(json_getc(obj, "kind"));
	(void)json_setc(a, &out, "apiVersion", *json_getc(obj, "apiVersion"));
	(void)json_setc(a, &out, "kind", *json_getc(obj, "kind"));
	set_metadata(a, &out, obj, placement);
	for (size_t i = 0; i < obj->len; i++)
		if (is_copied(kind, json_str(&obj->members[i].key)))
			(void)json_set(a, &out, json_str(&obj->members[i].key),
				       json_clone(a, &obj->members[i].value));
	drop_nulls(&out);
	if (replicas != MANIFEST_AS_IT_IS)
		(void)json_setc(a, json_child(a, &out, "spec"), "replicas", json_of_i64(replicas));
	char hex[DIGEST_SHA256_HEX];
	digest_sha256_hex(json_text(a, &out), hex);
	(void)json_setc(a, json_dig(&out, "metadata", "annotations", NULL), FLEET_NOTE_HASH,
			json_of_str(arena_str(a, str_n(hex, 16))));
	return out;
}

bool manifest_is_managed(const struct json *have)
{
	return str_is(json_str(json_dig(have, "metadata", "labels", FLEET_LABEL_MANAGED, NULL)),
		      FLEET_MANAGER);
}

struct str manifest_origin(const struct json *have)
{
	return json_str(json_dig(have, "metadata", "annotations", FLEET_NOTE_ORIGIN, NULL));
}

/* ---- comparing ---- */

static bool covers(const struct json *want, const struct json *have, bool quantities);

static bool same_quantity(const struct json *a, const struct json *b)
{
	struct arena s = { 0 };
	struct quantity qa;
	struct quantity qb;
	struct str ta = json_is(a, JSON_STRING) ? json_str(a) : json_text(&s, a);
	struct str tb = json_is(b, JSON_STRING) ? json_str(b) : json_text(&s, b);
	bool same = quantity_parse(ta, &qa, NULL) == 0 && quantity_parse(tb, &qb, NULL) == 0 &&
		    quantity_cmp(qa, qb) == 0;
	arena_fini(&s);
	return same;
}

/* Members whose values, or whose members' values, are quantities. */
static bool holds_quantities(struct str key)
{
	static const char *const keys[] = { "limits", "requests", "sizeLimit", "divisor",
					    "storage" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (str_is(key, keys[i]))
			return true;
	return false;
}

struct list_key {
	const char *a, *b; /* b may be NULL; in `a` all elements have a value */
};

static const struct list_key list_keys[] = {
	{ "name", NULL },          { "mountPath", NULL },  { "containerPort", "protocol" },
	{ "port", "protocol" },    { "devicePath", NULL }, { "topologyKey", "whenUnsatisfiable" },
	{ "conditionType", NULL }, { "ip", NULL },
};

static const struct list_key *key_of(const struct json *list)
{
	for (size_t k = 0; k < sizeof(list_keys) / sizeof(*list_keys); k++) {
		bool all = list->len > 0;
		for (size_t i = 0; i < list->len && all; i++)
			all = json_getc(&list->items[i], list_keys[k].a) != NULL;
		if (all)
			return &list_keys[k];
	}
	return NULL;
}

/* A protocol that is not given is TCP. */
static bool same_member(const struct json *x, const struct json *y, const char *key)
{
	const struct json tcp = json_of_cstr("TCP");
	const struct json *a = json_getc(x, key);
	const struct json *b = json_getc(y, key);
	if (strcmp(key, "protocol") == 0) {
		a = a ? a : &tcp;
		b = b ? b : &tcp;
	}
	return a && b && json_equal(a, b);
}

static const struct json *find_like(const struct json *list, const struct json *x,
				    const struct list_key *k)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (same_member(&list->items[i], x, k->a) &&
		    (!k->b || same_member(&list->items[i], x, k->b)))
			return &list->items[i];
	return NULL;
}

static bool list_covers(const struct json *want, const struct json *have, bool quantities)
{
	const struct list_key *k = key_of(want);
	if (!k && want->len != have->len)
		return false;
	for (size_t i = 0; i < want->len; i++) {
		const struct json *w = &want->items[i];
		const struct json *h = k ? find_like(have, w, k) : &have->items[i];
		if (!h || !covers(w, h, quantities))
			return false;
	}
	return true;
}

static bool is_empty(const struct json *j)
{
	return (j->type == JSON_OBJECT || j->type == JSON_ARRAY) && j->len == 0;
}

static bool object_covers(const struct json *want, const struct json *have, bool quantities)
{
	for (size_t i = 0; i < want->len; i++) {
		struct str key = json_str(&want->members[i].key);
		const struct json *w = &want->members[i].value;
		const struct json *h = json_get(have, key);
		if (!h && is_empty(w)) /* servers drop what is empty */
			continue;
		if (!h || !covers(w, h, quantities || holds_quantities(key)))
			return false;
	}
	return true;
}

static bool covers(const struct json *want, const struct json *have, bool quantities)
{
	if (want->type == JSON_OBJECT && have->type == JSON_OBJECT)
		return object_covers(want, have, quantities);
	if (want->type == JSON_ARRAY && have->type == JSON_ARRAY)
		return list_covers(want, have, quantities);
	return json_equal(want, have) || (quantities && same_quantity(want, have));
}

bool manifest_covers(const struct json *want, const struct json *have)
{
	return covers(want, have, false);
}

bool manifest_is_there(const struct json *want, const struct json *have)
{
	/* stringData is written into data by the server; the hash stands for it */
	struct json w = *want;
	struct json_member kept[32];
	if (json_getc(want, "stringData") && want->len <= 32) {
		w.members = kept;
		w.len = 0;
		for (size_t i = 0; i < want->len; i++)
			if (!str_is(json_str(&want->members[i].key), "stringData"))
				kept[w.len++] = want->members[i];
	}
	return covers(&w, have, false);
}
