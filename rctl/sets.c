#include "sets.h"

static struct str group_of(struct str api_version)
{
	ptrdiff_t slash = str_find(api_version, '/', 0);
	return slash < 0 ? STR("") : str_sub(api_version, 0, (size_t)slash);
}

static bool same(const struct set_member *a, const struct set_member *b)
{
	return str_eq(group_of(a->api_version), group_of(b->api_version)) &&
	       str_eq(a->kind, b->kind) && str_eq(a->ns, b->ns) && str_eq(a->name, b->name);
}

const struct set_member *set_find(const struct set *s, const struct set_member *m)
{
	for (size_t i = 0; i < s->len; i++)
		if (same(&s->v[i], m))
			return &s->v[i];
	return NULL;
}

static void push(struct arena *a, struct set *s, const struct set_member *m)
{
	if (s->len == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 32;
		struct set_member *more = arena_new(a, struct set_member, cap);
		for (size_t i = 0; i < s->len; i++)
			more[i] = s->v[i];
		s->v = more;
		s->cap = cap;
	}
	s->v[s->len++] = *m;
}

void set_put(struct arena *a, struct set *s, const struct set_member *m)
{
	for (size_t i = 0; i < s->len; i++) {
		if (!same(&s->v[i], m))
			continue;
		s->v[i].api_version = m->api_version;
		if (m->uid.len)
			s->v[i].uid = m->uid;
		return;
	}
	push(a, s, m);
}

int set_parse(struct arena *a, struct str text, struct set *ret, struct error *err)
{
	struct json list;
	*ret = (struct set){ 0 };
	if (json_parse(a, text, NULL, &list, err) != 0 || !json_is(&list, JSON_ARRAY) ||
	    json_len(&list) > SET_MEMBERS_MAX)
		return error_set(err, ERR_INVALID, "the set's record cannot be read");
	for (size_t i = 0; i < json_len(&list); i++) {
		const struct json *x = json_at(&list, i);
		struct set_member m = { .api_version = json_str(json_getc(x, "apiVersion")),
					.kind = json_str(json_getc(x, "kind")),
					.ns = json_str(json_getc(x, "namespace")),
					.name = json_str(json_getc(x, "name")),
					.uid = json_str(json_getc(x, "uid")) };
		if (!m.api_version.len || !m.kind.len || !m.name.len)
			return error_set(err, ERR_INVALID,
					 "the set's record cannot be read: member %zu", i);
		push(a, ret, &m);
	}
	return 0;
}

struct str set_text(struct arena *a, const struct set *s)
{
	struct json list = json_array();
	for (size_t i = 0; i < s->len; i++) {
		const struct set_member *m = &s->v[i];
		struct json *x = json_push(a, &list, json_object());
		(void)json_setc(a, x, "apiVersion", json_of_str(m->api_version));
		(void)json_setc(a, x, "kind", json_of_str(m->kind));
		if (m->ns.len)
			(void)json_setc(a, x, "namespace", json_of_str(m->ns));
		(void)json_setc(a, x, "name", json_of_str(m->name));
		if (m->uid.len)
			(void)json_setc(a, x, "uid", json_of_str(m->uid));
	}
	return json_text(a, &list);
}

struct set set_stale(struct arena *a, const struct set *old, const struct set *now)
{
	struct set out = { 0 };
	for (size_t i = old->len; i-- > 0;)
		if (old->v[i].uid.len && !set_find(now, &old->v[i]))
			push(a, &out, &old->v[i]);
	return out;
}
