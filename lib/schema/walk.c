/* What changes values: defaults, pruning; and the walk that finds fields to warn of. */
#include "schema/schema_priv.h"

static struct json *element(struct json *v, size_t i)
{
	return v->type == JSON_ARRAY ? &v->items[i] : &v->members[i].value;
}

/* The schema of child i of v, or NULL when nothing is known of it. */
static const struct schema *child_schema(const struct schema *s, const struct json *v, size_t i)
{
	if (v->type == JSON_ARRAY)
		return s->items;
	return schema_property(s, json_str(&v->members[i].key));
}

static bool is_container(const struct json *v)
{
	return v->type == JSON_ARRAY || v->type == JSON_OBJECT;
}

/* ---- defaults ---- */

static void default_absent(struct arena *a, const struct schema *s, struct json *obj)
{
	for (size_t i = 0; i < s->props_len; i++) {
		const struct json *d = s->props[i].schema->default_value;
		if (d && !json_get(obj, s->props[i].name))
			(void)json_set(a, obj, s->props[i].name, json_clone(a, d));
	}
}

/* Nulls where none may be: the default, or out they go. */
static void default_nulls(struct arena *a, const struct schema *s, struct json *obj)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < obj->len; i++) {
		struct json_member m = obj->members[i];
		if (m.value.type == JSON_NULL) {
			const struct schema *p = schema_property(s, json_str(&m.key));
			if (p && !p->nullable && !p->default_value)
				continue;
			if (p && !p->nullable)
				m.value = json_clone(a, p->default_value);
		}
		obj->members[kept++] = m;
	}
	obj->len = kept;
}

static bool has_null(const struct json *obj)
{
	for (uint32_t i = 0; i < obj->len; i++)
		if (obj->members[i].value.type == JSON_NULL)
			return true;
	return false;
}

void schema_default(struct arena *a, const struct schema *s, struct json *value)
{
	if (s->format == SCHEMA_FORMAT_QUANTITY) {
		struct json q = schema_quantity(a, value);
		if (q.type != JSON_NULL)
			*value = q;
		return;
	}
	if (!is_container(value))
		return;
	if (value->type == JSON_OBJECT) {
		if (s->props_default)
			default_absent(a, s, value);
		if (has_null(value))
			default_nulls(a, s, value);
	}
	if (value->type == JSON_ARRAY && !s->items)
		return;
	for (uint32_t i = 0; i < value->len; i++) {
		struct json *child = element(value, i);
		const struct schema *p = NULL;
		bool number = child->type != JSON_NULL && child->type != JSON_BOOL;
		if (number) /* containers too: whatever may be a quantity or hold one */
			p = child_schema(s, value, i);
		if (p && (is_container(child) || p->format == SCHEMA_FORMAT_QUANTITY))
			schema_default(a, p, child);
	}
}

/* ---- pruning ---- */

struct pruner {
	void (*on_unknown)(void *arg, struct str path);
	void *arg;
	struct buf path; /* scratch */
};

static void tell_unknown(struct pruner *p, const struct field_path *at)
{
	if (!p->on_unknown)
		return;
	buf_clear(&p->path);
	field_path_write(at, &p->path);
	p->on_unknown(p->arg, buf_str(&p->path));
}

/* A member that its schema does not name but that may stay. */
static bool unknown_stays(const struct schema *s, struct str name)
{
	if (s->preserve_unknown)
		return true;
	return s->embedded_resource &&
	       (str_is(name, "apiVersion") || str_is(name, "kind") || str_is(name, "metadata"));
}

static void prune(struct pruner *p, const struct schema *s, struct json *v,
		  const struct field_path *at);

static void prune_object(struct pruner *p, const struct schema *s, struct json *v,
			 const struct field_path *at)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < v->len; i++) {
		struct json_member *m = &v->members[i];
		struct str name = json_str(&m->key);
		const struct schema *child = schema_property(s, name);
		struct field_path here =
			s->additional ? FIELD_KEY(at, name) : FIELD_MEMBER(at, name);
		if (!child && !unknown_stays(s, name)) {
			tell_unknown(p, &here);
			continue;
		}
		if (child && is_container(&m->value))
			prune(p, child, &m->value, &here);
		if (kept != i)
			v->members[kept] = *m;
		kept++;
	}
	v->len = kept;
}

static void prune(struct pruner *p, const struct schema *s, struct json *v,
		  const struct field_path *at)
{
	if (v->type == JSON_OBJECT) {
		/* A value of another type than its schema's is for validation to refuse. */
		if (s->type == SCHEMA_OBJECT || s->type == SCHEMA_ANY)
			prune_object(p, s, v, at);
		return;
	}
	if (v->type != JSON_ARRAY || !s->items)
		return;
	for (uint32_t i = 0; i < v->len; i++)
		if (is_container(&v->items[i]))
			prune(p, s->items, &v->items[i], &FIELD_INDEX(at, i));
}

void schema_prune(const struct schema *s, struct json *value, struct str path,
		  void (*on_unknown)(void *arg, struct str path), void *arg)
{
	struct pruner p = { .on_unknown = on_unknown, .arg = arg };
	prune(&p, s, value, &FIELD_ROOT(path));
	buf_fini(&p.path);
}

/* ---- warnings ---- */

struct warner {
	void (*on_warn)(void *arg, struct str path);
	void *arg;
};

static void warn(struct warner *w, const struct schema *s, const struct json *v,
		 const struct field_path *at)
{
	for (uint32_t i = 0; i < v->len; i++) {
		bool list = v->type == JSON_ARRAY;
		const struct json *child = list ? &v->items[i] : &v->members[i].value;
		const struct schema *p = child_schema(s, v, i);
		if (!p || child->type == JSON_NULL)
			continue;
		struct field_path here =
			list ? FIELD_INDEX(at, i) : FIELD_MEMBER(at, json_str(&v->members[i].key));
		if (p->warn) {
			struct buf path = { 0 };
			field_path_write(&here, &path);
			w->on_warn(w->arg, buf_str(&path));
			buf_fini(&path);
		} else if (is_container(child)) {
			warn(w, p, child, &here);
		}
	}
}

void schema_warnings(const struct schema *s, const struct json *value, struct str path,
		     void (*on_warn)(void *arg, struct str path), void *arg)
{
	struct warner w = { .on_warn = on_warn, .arg = arg };
	if (is_container(value))
		warn(&w, s, value, &FIELD_ROOT(path));
}
