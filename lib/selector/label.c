#include "selector/label.h"

#include "selector/label_priv.h"

/* ---- from JSON ---- */

/* The selector must outlive the object it comes from. */
static struct str copied(struct label_build *b, const struct json *j)
{
	return arena_str(b->arena, json_str(j));
}

static int match_labels(struct label_build *b, const struct json *map, struct error *err)
{
	if (map && map->type != JSON_OBJECT && map->type != JSON_NULL)
		return error_set(err, ERR_INVALID, "%sexpected an object of strings", b->wrap);
	for (size_t i = 0; i < json_len(map); i++) {
		const struct json_member *m = &map->members[i];
		if (m->value.type != JSON_STRING)
			return error_set(err, ERR_INVALID, "%svalue of \"%.*s\" must be a string",
					 b->wrap, STR_ARG(json_str(&m->key)));
		int rc = label_build_begin(b, copied(b, &m->key), err);
		rc = rc ? rc : label_build_value(b, copied(b, &m->value), err);
		rc = rc ? rc : label_build_end(b, LABEL_EQUALS, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int expression(struct label_build *b, const struct json *e, struct error *err)
{
	static const struct {
		const char *name;
		enum label_op op;
	} ops[] = {
		{ "In", LABEL_IN },
		{ "NotIn", LABEL_NOT_IN },
		{ "Exists", LABEL_EXISTS },
		{ "DoesNotExist", LABEL_NOT_EXISTS },
	};
	struct str name = json_str(json_getc(e, "operator"));
	size_t op = 0;
	while (op < sizeof(ops) / sizeof(ops[0]) && !str_is(name, ops[op].name))
		op++;
	if (op == sizeof(ops) / sizeof(ops[0]))
		return error_set(err, ERR_INVALID,
				 "%s\"%.*s\" is not a valid label selector operator", b->wrap,
				 STR_ARG(name));
	int rc = label_build_begin(b, copied(b, json_getc(e, "key")), err);
	const struct json *values = json_getc(e, "values");
	if (values && values->type != JSON_ARRAY && values->type != JSON_NULL)
		return error_set(err, ERR_INVALID, "%svalues must be an array of strings", b->wrap);
	for (size_t i = 0; i < json_len(values) && !rc; i++) {
		if (values->items[i].type != JSON_STRING)
			return error_set(err, ERR_INVALID, "%svalues[%zu] must be a string",
					 b->wrap, i);
		rc = label_build_value(b, copied(b, &values->items[i]), err);
	}
	return rc ? rc : label_build_end(b, ops[op].op, err);
}

static int match_expressions(struct label_build *b, const struct json *list, struct error *err)
{
	if (list && list->type != JSON_ARRAY && list->type != JSON_NULL)
		return error_set(err, ERR_INVALID, "%sexpected an array", b->wrap);
	for (size_t i = 0; i < json_len(list); i++) {
		int rc = expression(b, &list->items[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

int label_selector_of_json(struct arena *a, const struct json *j, struct label_selector *ret,
			   struct error *err)
{
	if (!j || j->type == JSON_NULL) {
		*ret = (struct label_selector){ .nothing = true };
		return 0;
	}
	if (j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "label selector: expected an object, not %s",
				 json_type_name(j));
	struct label_build b;
	label_build_init(&b, a);
	b.code = ERR_INVALID;
	b.wrap = "matchLabels: ";
	int rc = match_labels(&b, json_getc(j, "matchLabels"), err);
	b.wrap = "matchExpressions: ";
	rc = rc ? rc : match_expressions(&b, json_getc(j, "matchExpressions"), err);
	if (rc == 0)
		label_build_finish(&b, ret);
	label_build_fini(&b);
	return rc;
}

int label_selector_of_map(struct arena *a, const struct json *map, struct label_selector *ret,
			  struct error *err)
{
	struct label_build b;
	label_build_init(&b, a);
	b.code = ERR_INVALID;
	b.wrap = "selector: ";
	int rc = match_labels(&b, map, err);
	if (rc == 0) {
		label_build_finish(&b, ret);
		ret->nothing = ret->reqs_len == 0;
	}
	label_build_fini(&b);
	return rc;
}

/* ---- matching ---- */

static bool has_value(const struct label_req *r, struct str value)
{
	for (size_t i = 0; i < r->values_len; i++) {
		if (str_eq(r->values[i], value))
			return true;
	}
	return false;
}

static bool req_match(const struct label_req *r, struct str value)
{
	int64_t number = 0;
	switch (r->op) {
	case LABEL_EXISTS:
		return value.p;
	case LABEL_NOT_EXISTS:
		return !value.p;
	case LABEL_EQUALS:
	case LABEL_IN:
		return value.p && has_value(r, value);
	case LABEL_NOT_EQUALS:
	case LABEL_NOT_IN:
		return !value.p || !has_value(r, value);
	case LABEL_GT:
		return str_to_i64(value, &number) && number > r->number;
	case LABEL_LT:
		return str_to_i64(value, &number) && number < r->number;
	}
	return false;
}

bool label_selector_match(const struct label_selector *s, label_get_fn get, void *arg)
{
	if (s->nothing)
		return false;
	for (size_t i = 0; i < s->reqs_len; i++) {
		if (!req_match(&s->reqs[i], get(arg, s->reqs[i].key)))
			return false;
	}
	return true;
}

struct pairs {
	const struct label_pair *v;
	size_t len;
};

static struct str get_pair(void *arg, struct str key)
{
	const struct pairs *p = arg;
	for (size_t i = 0; i < p->len; i++) {
		if (str_eq(p->v[i].key, key))
			return p->v[i].value.p ? p->v[i].value : STR("");
	}
	return STR_NONE;
}

bool label_selector_match_pairs(const struct label_selector *s, const struct label_pair *pairs,
				size_t len)
{
	struct pairs p = { pairs, len };
	return label_selector_match(s, get_pair, &p);
}

struct json_labels {
	const struct json *object;
};

static struct str get_json(void *arg, struct str key)
{
	const struct json_labels *labels = arg;
	return json_str(json_get(labels->object, key));
}

bool label_selector_match_json(const struct label_selector *s, const struct json *labels)
{
	struct json_labels l = { labels };
	return label_selector_match(s, get_json, &l);
}

bool label_selector_requires(const struct label_selector *s, struct str key, struct str *ret_value)
{
	for (size_t i = 0; i < s->reqs_len; i++) {
		const struct label_req *r = &s->reqs[i];
		if ((r->op == LABEL_EQUALS || r->op == LABEL_IN) && r->values_len == 1 &&
		    str_eq(r->key, key)) {
			*ret_value = r->values[0];
			return true;
		}
	}
	return false;
}

/* ---- writing ---- */

static void write_values(struct buf *out, const struct label_req *r, const char *op)
{
	buf_adds(out, op);
	for (size_t i = 0; i < r->values_len; i++) {
		if (i)
			buf_addc(out, ',');
		buf_add_str(out, r->values[i]);
	}
	if (r->op == LABEL_IN || r->op == LABEL_NOT_IN)
		buf_addc(out, ')');
}

void label_selector_write(struct buf *out, const struct label_selector *s)
{
	static const char *const ops[] = {
		[LABEL_EXISTS] = "",       [LABEL_NOT_EXISTS] = "", [LABEL_EQUALS] = "=",
		[LABEL_NOT_EQUALS] = "!=", [LABEL_IN] = " in (",    [LABEL_NOT_IN] = " notin (",
		[LABEL_GT] = ">",          [LABEL_LT] = "<",
	};
	for (size_t i = 0; i < s->reqs_len; i++) {
		const struct label_req *r = &s->reqs[i];
		if (i)
			buf_addc(out, ',');
		if (r->op == LABEL_NOT_EXISTS)
			buf_addc(out, '!');
		buf_add_str(out, r->key);
		write_values(out, r, ops[r->op]);
	}
}
