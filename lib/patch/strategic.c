#include "patch/strategic.h"

#include "patch/patch.h"

#define DIRECTIVE   STR("$patch")
#define RETAIN_KEYS STR("$retainKeys")
#define SET_ORDER   STR("$setElementOrder/")
#define DELETE_FROM STR("$deleteFromPrimitiveList/")

/* ---- values that meet nothing ---- */

static bool is_directive(struct str name)
{
	return name.len && name.p[0] == '$' &&
	       (str_eq(name, DIRECTIVE) || str_eq(name, RETAIN_KEYS) ||
		str_starts(name, SET_ORDER) || str_starts(name, DELETE_FROM));
}

bool smp_plain(struct smp *m, const struct json *patch, struct json *ret)
{
	*ret = *patch;
	if (json_len(patch) == 0)
		return true;
	size_t len = 0;
	if (patch->type == JSON_ARRAY) {
		struct json *out = arena_new(m->a, struct json, patch->len);
		for (uint32_t i = 0; i < patch->len; i++)
			len += smp_plain(m, &patch->items[i], &out[len]);
		*ret = json_of_items(out, len);
		return true;
	}
	if (str_is(json_str(json_get(patch, DIRECTIVE)), "delete"))
		return false;
	struct json_member *out = arena_new(m->a, struct json_member, patch->len);
	for (uint32_t i = 0; i < patch->len; i++) {
		const struct json_member *from = &patch->members[i];
		if (from->value.type == JSON_NULL || is_directive(member_name(from)))
			continue;
		out[len].key = from->key;
		len += smp_plain(m, &from->value, &out[len].value);
	}
	*ret = json_of_members(out, len);
	return true;
}

/* ---- an object on its way ---- */

struct object {
	struct smp *m;
	const struct schema *schema;
	const struct json *patch;
	struct oindex old, new; /* of the members of the document and of the patch */
	struct json_member *out;
	bool *gone;       /* by position in out */
	ptrdiff_t *place; /* of a patch member that was added: its position in out, or -1 */
	bool *done;       /* patch members that need no further work */
	size_t old_len, len;
};

/* The position of a member that is there now, or -1. */
static ptrdiff_t find(const struct object *o, struct str name, size_t hint)
{
	ptrdiff_t at = oindex_find(&o->old, name, hint);
	if (at < 0) {
		ptrdiff_t p = oindex_find(&o->new, name, hint);
		at = p < 0 ? -1 : o->place[p];
	}
	return at >= 0 && !o->gone[at] ? at : -1;
}

/* Sets the member, which a patch member of the same name (`i` in the patch) brings. */
static void put(struct object *o, uint32_t i, ptrdiff_t at, struct json value)
{
	if (at < 0)
		at = oindex_find(&o->old, member_name(&o->patch->members[i]), i);
	if (at < 0) {
		at = (ptrdiff_t)o->len++;
		o->place[i] = at;
		o->out[at].key = o->patch->members[i].key;
	}
	o->out[at].value = value;
	o->gone[at] = false;
}

static void object_init(struct object *o, struct smp *m, const struct schema *s,
			const struct json *doc, const struct json *patch)
{
	size_t old_len = json_is(doc, JSON_OBJECT) ? doc->len : 0;
	*o = (struct object){
		.m = m, .schema = s, .patch = patch, .old_len = old_len, .len = old_len
	};
	oindex_init(&o->old, m->a, doc);
	oindex_init(&o->new, m->a, patch);
	o->out = arena_new(m->a, struct json_member, old_len + patch->len + 1);
	if (old_len)
		memcpy(o->out, doc->members, old_len * sizeof(o->out[0]));
	o->gone = arena_new(m->a, bool, old_len + patch->len + 1);
	o->done = arena_new(m->a, bool, (size_t)patch->len + 1);
	o->place = arena_new(m->a, ptrdiff_t, (size_t)patch->len + 1);
	for (uint32_t i = 0; i < patch->len; i++)
		o->place[i] = -1;
}

static struct json object_result(struct object *o)
{
	size_t kept = 0;
	for (size_t i = 0; i < o->len; i++) {
		if (!o->gone[i])
			o->out[kept++] = o->out[i];
	}
	return json_of_members(o->out, kept);
}

/* Merging lists of an unknown schema is not possible: they are replaced. */
static struct smp_list list_of(const struct schema *s)
{
	struct smp_list l = { 0 };
	if (s && s->type == SCHEMA_ARRAY) {
		l.items = s->items;
		l.key = s->patch_merge_key;
		l.merge = s->patch_merge;
	}
	return l;
}

/* ---- directives ---- */

static int retain_keys(struct object *o, const struct json *keep)
{
	struct smp *m = o->m;
	if (!json_is(keep, JSON_ARRAY))
		return error_set(m->err, ERR_BAD_REQUEST,
				 "invalid patch format of $retainKeys: not a list");
	const struct json **names = arena_new(m->a, const struct json *, (size_t)keep->len + 1);
	for (uint32_t i = 0; i < keep->len; i++)
		names[i] = &keep->items[i];
	struct vindex index;
	vindex_init(&index, m->a, names, keep->len);
	for (uint32_t i = 0; i < o->patch->len; i++) {
		const struct json_member *p = &o->patch->members[i];
		if (p->value.type == JSON_NULL || is_directive(member_name(p)))
			continue;
		if (vindex_find(&index, &p->key) < 0)
			return error_set(m->err, ERR_BAD_REQUEST,
					 "invalid patch format of $retainKeys: \"%.*s\" is set but "
					 "not retained",
					 STR_ARG(member_name(p)));
	}
	for (size_t i = 0; i < o->old_len; i++)
		o->gone[i] = vindex_find(&index, &o->out[i].key) < 0;
	return 0;
}

static bool list_or_nothing(const struct json *j)
{
	return !j || j->type == JSON_ARRAY || j->type == JSON_NULL;
}

/* $setElementOrder/NAME: merges NAME's own patch, then sorts. */
static int set_order(struct object *o, uint32_t i)
{
	struct smp *m = o->m;
	const struct json *order = &o->patch->members[i].value;
	struct str name = member_name(&o->patch->members[i]);
	name = str_sub(name, SET_ORDER.len, name.len);
	ptrdiff_t at = find(o, name, i);
	ptrdiff_t p = oindex_find(&o->new, name, i);
	const struct json *old = at < 0 ? NULL : &o->out[at].value;
	const struct json *new = p < 0 ? NULL : &o->patch->members[p].value;
	if (!json_is(order, JSON_ARRAY) || !list_or_nothing(old) || !list_or_nothing(new))
		return error_set(m->err, ERR_BAD_REQUEST,
				 "expected a list for $setElementOrder/%.*s", STR_ARG(name));
	if (json_is(new, JSON_NULL)) /* deletes the list: nothing is left to order */
		return 0;
	struct smp_list l = list_of(schema_member(o->schema, name));
	if (new &&smp_check_order(m, &l, new, order) < 0)
		return ERR_BAD_REQUEST;
	if (p >= 0)
		o->done[p] = true;
	struct json merged = json_array();
	int rc = 0;
	if (!new && !old)
		return 0;
	if (!old)
		(void)smp_plain(m, new, &merged);
	else if (!new)
		merged = *old;
	else if (l.merge)
		rc = smp_list_merge(m, &l, old, new, &merged);
	else
		merged = *new;
	struct json server = old ? *old : json_array();
	if (old && new)
		server = smp_list_seats(m, &l, old, new, &merged);
	if (rc == 0)
		rc = smp_list_order(m, &l, &merged, order, &server, &merged);
	if (rc < 0)
		return rc;
	if (at >= 0)
		o->out[at].value = merged;
	else
		put(o, (uint32_t)p, -1, merged);
	return 0;
}

static void delete_from(struct object *o, uint32_t i)
{
	struct str name = member_name(&o->patch->members[i]);
	ptrdiff_t at = find(o, str_sub(name, DELETE_FROM.len, name.len), i);
	if (at >= 0 && o->out[at].value.type == JSON_ARRAY)
		o->out[at].value =
			smp_list_without(o->m, &o->out[at].value, &o->patch->members[i].value);
}

/* ---- members ---- */

/* Strategy "replace": the object as a whole (RawExtension). */
static bool replaces(const struct schema *s)
{
	const struct json *strategy =
		s ? json_getc(s->source, "x-kubernetes-patch-strategy") : NULL;
	return str_is(json_str(strategy), "replace");
}

static int both(struct object *o, const struct json_member *p, struct json *value)
{
	const struct schema *s = schema_member(o->schema, member_name(p));
	if (p->value.type == JSON_OBJECT && !replaces(s))
		return smp_object(o->m, s, value, &p->value, value);
	struct smp_list l = list_of(s);
	if (l.merge)
		return smp_list_merge(o->m, &l, value, &p->value, value);
	(void)smp_plain(o->m, &p->value, value);
	return 0;
}

static int member(struct object *o, uint32_t i)
{
	const struct json_member *p = &o->patch->members[i];
	struct str name = member_name(p);
	if (str_starts(name, DELETE_FROM)) {
		delete_from(o, i);
		return 0;
	}
	ptrdiff_t at = find(o, name, i);
	if (p->value.type == JSON_NULL) {
		if (at >= 0)
			o->gone[at] = true;
		return 0;
	}
	bool container = p->value.type == JSON_OBJECT || p->value.type == JSON_ARRAY;
	if (container && at >= 0 && o->out[at].value.type == p->value.type)
		return both(o, p, &o->out[at].value);
	struct json plain = { 0 };
	if (smp_plain(o->m, &p->value, &plain))
		put(o, i, at, plain);
	else if (at >= 0)
		o->gone[at] = true;
	return 0;
}

/* "$patch" in an object: 1 when it decided all. */
static int whole(struct smp *m, const struct json *patch, struct json *ret)
{
	const struct json *directive = json_get(patch, DIRECTIVE);
	if (!directive)
		return 0;
	struct str d = json_str(directive);
	if (str_is(d, "delete")) {
		*ret = json_object();
		return 1;
	}
	if (str_is(d, "replace")) {
		(void)smp_plain(m, patch, ret);
		return 1;
	}
	if (str_is(d, "merge"))
		return 0;
	return error_set(m->err, ERR_BAD_REQUEST, "unknown patch type \"%.*s\"", STR_ARG(d));
}

int smp_object(struct smp *m, const struct schema *s, const struct json *doc,
	       const struct json *patch, struct json *ret)
{
	int rc = whole(m, patch, ret);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	struct object o;
	object_init(&o, m, s, doc, patch);
	const struct json *keep = json_get(patch, RETAIN_KEYS);
	if (keep)
		rc = retain_keys(&o, keep);
	for (uint32_t i = 0; rc == 0 && i < patch->len; i++) {
		if (str_starts(member_name(&patch->members[i]), SET_ORDER))
			rc = set_order(&o, i);
	}
	for (uint32_t i = 0; rc == 0 && i < patch->len; i++) {
		struct str name = member_name(&patch->members[i]);
		bool skip = o.done[i] || str_eq(name, DIRECTIVE) || str_eq(name, RETAIN_KEYS) ||
			    str_starts(name, SET_ORDER);
		if (!skip)
			rc = member(&o, i);
	}
	if (rc == 0)
		*ret = object_result(&o);
	return rc;
}

int patch_strategic(struct arena *a, const struct schema *s, const struct json *doc,
		    const struct json *patch, struct json *ret, struct error *err)
{
	if (!json_is(patch, JSON_OBJECT))
		return error_set(err, ERR_BAD_REQUEST, "a strategic merge patch must be an object");
	struct smp m = { .a = a, .err = err };
	return smp_object(&m, s, doc, patch, ret);
}
