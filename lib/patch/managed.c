#include "patch/managed.h"

#include "patch/patch_priv.h"

#include <string.h>

#define FIELDS_V1 STR("FieldsV1")

/* ---- reading ---- */

static int read_string(const struct json *entry, const char *name, struct str *ret,
		       struct error *err)
{
	const struct json *v = json_getc(entry, name);
	*ret = STR_NONE;
	if (!v || v->type == JSON_NULL)
		return 0;
	if (v->type != JSON_STRING)
		return error_set(err, ERR_BAD_REQUEST, "managedFields: %s is no string", name);
	*ret = json_str(v);
	return 0;
}

static int read_entry(const struct json *entry, struct manager *ret, struct error *err)
{
	struct str operation = STR_NONE;
	struct str type = STR_NONE;
	*ret = (struct manager){ 0 };
	if (!json_is(entry, JSON_OBJECT))
		return error_set(err, ERR_BAD_REQUEST, "managedFields: an entry is no object");
	if (read_string(entry, "manager", &ret->name, err) < 0 ||
	    read_string(entry, "operation", &operation, err) < 0 ||
	    read_string(entry, "apiVersion", &ret->api_version, err) < 0 ||
	    read_string(entry, "subresource", &ret->subresource, err) < 0 ||
	    read_string(entry, "time", &ret->time, err) < 0 ||
	    read_string(entry, "fieldsType", &type, err) < 0)
		return ERR_BAD_REQUEST;
	ret->apply = str_is(operation, "Apply");
	if (!ret->apply && !str_is(operation, "Update"))
		return error_set(err, ERR_BAD_REQUEST,
				 "managedFields: operation must be `Apply` or `Update`");
	if (type.len && !str_eq(type, FIELDS_V1))
		return error_set(err, ERR_BAD_REQUEST,
				 "managedFields: fieldsType must be FieldsV1");
	ret->fields = json_getc(entry, "fieldsV1");
	return 0;
}

int managers_read(struct arena *a, const struct json *entries, bool strict, struct managers *ret,
		  struct error *err)
{
	*ret = (struct managers){ 0 };
	if (!entries || entries->type == JSON_NULL)
		return 0;
	if (entries->type != JSON_ARRAY)
		return error_set(err, ERR_BAD_REQUEST, "managedFields is no list");
	if (entries->len > MANAGERS_MAX + UPDATE_MANAGERS_MAX + 1)
		return error_set(err, ERR_BAD_REQUEST, "managedFields has more than %d entries",
				 MANAGERS_MAX);
	struct managers x = { .list = arena_new(a, struct manager, (size_t)entries->len + 4),
			      .cap = (size_t)entries->len + 4 };
	for (uint32_t i = 0; i < entries->len; i++) {
		struct manager m;
		int rc = read_entry(&entries->items[i], &m, err);
		if (rc == 0 && strict) {
			rc = fset_parse(a, m.fields, &m.set, err);
			m.read = m.changed = true; /* written anew, in its normal form */
		}
		if (rc < 0)
			return rc;
		*managers_entry(a, &x, &m) = m;
	}
	*ret = x;
	return 0;
}

const struct fset *manager_set(struct arena *a, struct manager *m)
{
	if (!m->read && fset_parse(a, m->fields, &m->set, NULL) < 0)
		m->set = (struct fset){ 0 };
	m->read = true;
	return &m->set;
}

void manager_own(struct manager *m, struct fset set)
{
	m->set = set;
	m->read = true;
	m->changed = true;
}

static bool same_identity(const struct manager *x, const struct manager *y)
{
	return x->apply == y->apply && str_eq(x->name, y->name) &&
	       str_eq(x->subresource, y->subresource) &&
	       (x->apply || str_eq(x->api_version, y->api_version));
}

struct manager *managers_find(struct managers *x, const struct manager *id)
{
	for (size_t i = 0; i < x->len; i++) {
		if (same_identity(&x->list[i], id))
			return &x->list[i];
	}
	return NULL;
}

struct manager *managers_entry(struct arena *a, struct managers *x, const struct manager *id)
{
	struct manager *old = managers_find(x, id);
	if (old)
		return old;
	if (x->len == x->cap) {
		x->cap = x->cap * 2 + 4;
		struct manager *list = arena_new(a, struct manager, x->cap);
		if (x->len)
			memcpy(list, x->list, x->len * sizeof(list[0]));
		x->list = list;
	}
	struct manager *m = &x->list[x->len++];
	*m = *id;
	return m;
}

/* ---- the cap on Update managers ---- */

static int by_age(const void *a, const void *b)
{
	const struct manager *x = *(const struct manager *const *)a;
	const struct manager *y = *(const struct manager *const *)b;
	int c = str_cmp(x->time, y->time);
	if (c == 0)
		c = str_cmp(x->name, y->name);
	if (c == 0)
		c = str_cmp(x->api_version, y->api_version);
	return c ? c : str_cmp(x->subresource, y->subresource);
}

/* Oldest first; only those that own something.  `sorted` has room for all. */
static size_t updaters(struct arena *a, struct managers *x, struct manager **sorted)
{
	size_t len = 0;
	for (size_t i = 0; i < x->len; i++) {
		if (!x->list[i].apply && !fset_empty(manager_set(a, &x->list[i])))
			sorted[len++] = &x->list[i];
	}
	if (len > 1)
		qsort(sorted, len, sizeof(sorted[0]), by_age);
	return len;
}

/* Where managers of that version are merged: an older bucket, else `first` becomes one. */
static struct manager *bucket_of(struct managers *x, struct manager *first)
{
	struct manager id = { .name = STR("ancient-changes"), .api_version = first->api_version };
	struct manager *bucket = managers_find(x, &id);
	if (bucket && bucket->read && !fset_empty(&bucket->set))
		return bucket;
	first->name = id.name;
	first->subresource = STR_NONE;
	return first;
}

void managers_cap(struct arena *a, struct managers *x)
{
	if (x->len <= UPDATE_MANAGERS_MAX)
		return;
	struct manager **sorted = arena_new(a, struct manager *, x->len);
	size_t len = updaters(a, x, sorted);
	/* A version's oldest manager stays as it is until a second one of it has to go. */
	size_t left = len;
	for (size_t i = 0; i < len && left > UPDATE_MANAGERS_MAX; i++) {
		struct manager *first = NULL;
		for (size_t j = 0; j < i && !first; j++) {
			if (str_eq(sorted[j]->api_version, sorted[i]->api_version) &&
			    !fset_empty(&sorted[j]->set))
				first = sorted[j];
		}
		if (!first)
			continue;
		struct manager *bucket = bucket_of(x, first);
		if (bucket == sorted[i])
			continue;
		bucket->time = sorted[i]->time;
		manager_own(bucket, fset_union(a, &sorted[i]->set, &bucket->set));
		manager_own(sorted[i], (struct fset){ 0 });
		left--;
	}
}

/* ---- writing ---- */

static int by_place(const void *a, const void *b)
{
	const struct manager *x = *(const struct manager *const *)a;
	const struct manager *y = *(const struct manager *const *)b;
	if (x->apply != y->apply)
		return x->apply ? -1 : 1;
	return by_age(a, b);
}

static struct json entry_json(struct arena *a, const struct manager *m)
{
	struct json_member *out = arena_new(a, struct json_member, 7);
	size_t len = 0;
	out[len++] = (struct json_member){ json_of_str(STR("manager")), json_of_str(m->name) };
	out[len++] = (struct json_member){ json_of_str(STR("operation")),
					   json_of_str(m->apply ? STR("Apply") : STR("Update")) };
	if (m->api_version.len)
		out[len++] = (struct json_member){ json_of_str(STR("apiVersion")),
						   json_of_str(m->api_version) };
	if (m->time.len)
		out[len++] = (struct json_member){ json_of_str(STR("time")), json_of_str(m->time) };
	out[len++] = (struct json_member){ json_of_str(STR("fieldsType")), json_of_str(FIELDS_V1) };
	out[len++] = (struct json_member){ json_of_str(STR("fieldsV1")),
					   m->changed || !m->fields ? fset_json(a, &m->set)
								    : *m->fields };
	if (m->subresource.len)
		out[len++] = (struct json_member){ json_of_str(STR("subresource")),
						   json_of_str(m->subresource) };
	return json_of_members(out, len);
}

struct json managers_json(struct arena *a, struct managers *x)
{
	struct manager **sorted = arena_new(a, struct manager *, x->len + 1);
	size_t len = 0;
	for (size_t i = 0; i < x->len; i++) {
		struct manager *m = &x->list[i];
		bool empty = m->read ? fset_empty(&m->set) : json_len(m->fields) == 0;
		if (!empty)
			sorted[len++] = m;
	}
	if (len > 1)
		qsort(sorted, len, sizeof(sorted[0]), by_place);
	struct json *out = arena_new(a, struct json, len + 1);
	for (size_t i = 0; i < len; i++)
		out[i] = entry_json(a, sorted[i]);
	return json_of_items(out, len);
}

/* ---- objects ---- */

const struct json *managed_fields(const struct json *obj)
{
	return json_getc(json_getc(obj, "metadata"), "managedFields");
}

static struct json copy_members(struct arena *a, const struct json *obj)
{
	struct json_member *m = arena_new(a, struct json_member, obj->len);
	if (obj->len)
		memcpy(m, obj->members, obj->len * sizeof(m[0]));
	return json_of_members(m, obj->len);
}

struct json managed_with(struct arena *a, const struct json *obj, const struct json *entries)
{
	bool remove = json_len(entries) == 0;
	const struct json *meta = json_getc(obj, "metadata");
	if (!json_is(obj, JSON_OBJECT) || (meta && meta->type != JSON_OBJECT))
		return *obj;
	if (remove && !json_getc(meta, "managedFields"))
		return *obj;
	struct json out = copy_members(a, obj);
	struct json own = meta ? copy_members(a, meta) : json_object();
	if (remove)
		(void)json_removec(&own, "managedFields");
	else
		json_setc(a, &own, "managedFields", *entries);
	json_setc(a, &out, "metadata", own);
	return out;
}

struct json managed_without(struct arena *a, const struct json *obj)
{
	return managed_with(a, obj, NULL);
}
