/* Label and field selectors against the cache's index. */
#include "apiserver/apiserver_priv.h"

static bool known_field(const struct kind *k, struct str field)
{
	if (str_is(field, "metadata.name") ||
	    (k->namespaced && str_is(field, "metadata.namespace")))
		return true;
	for (size_t i = 0; i < k->selectable_len; i++)
		if (str_eq(k->selectable[i], field))
			return true;
	return false;
}

static int check_fields(const struct kind *k, const struct field_selector *f, struct error *err)
{
	for (size_t i = 0; i < f->reqs_len; i++)
		if (!known_field(k, f->reqs[i].field))
			return error_set(err, ERR_BAD_REQUEST, "field label not supported: %.*s",
					 STR_ARG(f->reqs[i].field));
	return 0;
}

int select_parse(struct arena *a, const struct kind *k, const struct options *o, struct select *ret,
		 struct error *err)
{
	*ret = (struct select){ .kind = k };
	int rc = label_selector_parse(a, o->label_selector, &ret->labels, err);
	if (rc)
		return error_wrap(err, "unable to parse requirement");
	rc = field_selector_parse(a, o->field_selector, &ret->fields, err);
	if (rc == 0)
		rc = check_fields(k, &ret->fields, err);
	if (rc)
		return rc;
	ret->everything = label_selector_everything(&ret->labels) && ret->fields.reqs_len == 0;
	ret->one_name = field_selector_requires(&ret->fields, STR("metadata.name"), &ret->name);
	(void)field_selector_requires(&ret->fields, STR("metadata.namespace"), &ret->ns);
	return 0;
}

struct subject {
	const struct select *s;
	const struct watch_obj *o;
	struct arena *arena;
	struct json tree; /* read only when the index does not hold the field */
	bool parsed;
};

static struct str get_label(void *arg, struct str key)
{
	const struct subject *j = arg;
	struct str v = STR_NONE;
	if (!watch_obj_label(j->o, key, &v))
		return STR_NONE;
	return v.p ? v : STR("");
}

/*
 * A custom resource that was read before its definition has no fields in the
 * index yet: its text is asked.
 */
static struct str slow_field(struct subject *j, struct str path)
{
	if (!j->parsed && object_parse(j->arena, j->s->kind, j->o, &j->tree, NULL))
		return STR_NONE;
	j->parsed = true;
	const struct json *at = &j->tree;
	struct str rest = path, piece;
	while (at && str_split(&rest, '.', &piece))
		at = json_get(at, piece);
	if (!at || at->type == JSON_NULL || at->type == JSON_OBJECT || at->type == JSON_ARRAY)
		return STR_NONE;
	return at->type == JSON_STRING ? json_str(at) : json_text(j->arena, at);
}

static struct str get_field(void *arg, struct str field)
{
	struct subject *j = arg;
	if (str_is(field, "metadata.name"))
		return watch_obj_name(j->o);
	if (str_is(field, "metadata.namespace"))
		return watch_obj_namespace(j->o);
	const struct kind *k = j->s->kind;
	for (size_t i = 0; i < k->selectable_len; i++)
		if (str_eq(k->selectable[i], field))
			return i < watch_obj_fields(j->o) && !k->fields_moved
				       ? watch_obj_field(j->o, i)
				       : slow_field(j, field);
	return STR_NONE;
}

bool select_match(const struct select *s, const struct watch_obj *o)
{
	if (s->everything)
		return true;
	struct arena scratch = { 0 };
	struct subject j = { .s = s, .o = o, .arena = &scratch };
	bool ok = label_selector_match(&s->labels, get_label, &j) &&
		  field_selector_match(&s->fields, get_field, &j);
	arena_fini(&scratch);
	return ok;
}
