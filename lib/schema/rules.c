/* Rules in CEL: x-kubernetes-validations (KEP-2876). */
#include "base/mem.h"
#include "cel/cel.h"
#include "schema/schema_priv.h"

enum { RULES_MAX = 100, MESSAGE_MAX = 2048, MESSAGE_SHOWN_MAX = 5120 };

struct schema_rule {
	struct cel *rule, *message_expression; /* the second may be NULL */
	struct str text, message;
	struct str field_path; /* ".spec.x", as it stands in the rule; "" = none */
	enum field_reason reason;
	bool transition;   /* asks about the state before */
	bool optional_old; /* … which may be absent */
};

static const char *const variables[] = { "self", "oldSelf" };

/* ---- compiling ---- */

static int compile_one(struct schema_compiler *c, struct str text, const struct field_path *at,
		       struct cel **ret)
{
	struct error err = { 0 };
	struct schema_set *s = c->set;
	if (cel_compile(&s->arena, text, variables, 2, ret, &err)) {
		struct buf msg = { 0 };
		buf_addf(&msg, "compilation failed: ERROR: %s", err.msg);
		int rc = schema_compile_error(c, at, buf_cstr(&msg));
		buf_fini(&msg);
		return rc;
	}
	mem_grow(s->cels, s->cels_len, s->cels_cap);
	s->cels[s->cels_len++] = *ret;
	return 0;
}

static bool take_reason(struct str s, enum field_reason *ret)
{
	static const enum field_reason known[] = { FIELD_INVALID, FIELD_FORBIDDEN, FIELD_REQUIRED,
						   FIELD_DUPLICATE };
	*ret = FIELD_INVALID;
	for (size_t i = 0; s.len && i < sizeof(known) / sizeof(*known); i++)
		if (str_is(s, field_reason_text(known[i]))) {
			*ret = known[i];
			return true;
		}
	return s.len == 0;
}

static int compile_rule(struct schema_compiler *c, struct schema_rule *r, const struct json *doc,
			const struct field_path *at)
{
	struct str text = json_str(json_getc(doc, "rule"));
	struct str expression = json_str(json_getc(doc, "messageExpression"));
	struct field_path rule_at = FIELD_MEMBER(at, STR("rule"));
	r->text = text;
	r->message = json_str(json_getc(doc, "message"));
	r->field_path = json_str(json_getc(doc, "fieldPath"));
	r->optional_old = json_bool(json_getc(doc, "optionalOldSelf"), false);
	if (!str_trim(text).len)
		return schema_compile_error(c, &rule_at, "Required value: rule is not specified");
	if (r->message.len > MESSAGE_MAX)
		return schema_compile_error(c, &FIELD_MEMBER(at, STR("message")),
					    "message is longer than 2048 bytes");
	if (!take_reason(json_str(json_getc(doc, "reason")), &r->reason))
		return schema_compile_error(c, &FIELD_MEMBER(at, STR("reason")),
					    "must be FieldValueInvalid, FieldValueForbidden, "
					    "FieldValueRequired or FieldValueDuplicate");
	if (r->field_path.len && r->field_path.p[0] != '.' && r->field_path.p[0] != '[')
		return schema_compile_error(c, &FIELD_MEMBER(at, STR("fieldPath")),
					    "must be a path that begins with a dot");
	int rc = compile_one(c, text, &rule_at, &r->rule);
	if (rc == 0 && expression.len)
		rc = compile_one(c, expression, &FIELD_MEMBER(at, STR("messageExpression")),
				 &r->message_expression);
	if (rc == 0)
		r->transition = cel_uses(r->rule, 1);
	if (rc == 0 && r->optional_old && !r->transition)
		rc = schema_compile_error(c, &FIELD_MEMBER(at, STR("optionalOldSelf")),
					  "may not be set if oldSelf is not used in rule");
	return rc;
}

int schema_rules_compile(struct schema_compiler *c, struct schema *n, const struct json *list,
			 const struct field_path *at)
{
	size_t len = json_len(list);
	/* Built-in kinds state such rules in code. */
	if (!c->external)
		return 0;
	if (!json_is(list, JSON_ARRAY) || len > RULES_MAX)
		return schema_compile_error(c, at, "must be a list of at most 100 rules");
	struct schema_rule *rules = arena_new(&c->set->arena, struct schema_rule, len);
	for (size_t i = 0; i < len; i++) {
		int rc = compile_rule(c, &rules[i], &list->items[i], &FIELD_INDEX(at, i));
		if (rc)
			return rc;
	}
	n->rules = rules;
	n->rules_len = len;
	return 0;
}

void schema_rules_note(struct schema *n)
{
	n->rules_below = n->rules_len > 0;
	n->numbers_below = n->type == SCHEMA_NUMBER;
	for (size_t i = 0; i < n->props_len; i++) {
		n->rules_below |= n->props[i].schema->rules_below;
		n->numbers_below |= n->props[i].schema->numbers_below;
	}
	const struct schema *more[] = { n->additional, n->items };
	for (size_t i = 0; i < 2; i++) {
		n->rules_below |= more[i] && more[i]->rules_below;
		n->numbers_below |= more[i] && more[i]->numbers_below;
	}
}

/* ---- evaluating ---- */

struct judge {
	struct field_errors *errors;
	struct arena scratch;
	uint64_t budget; /* of the whole value */
	bool spent;
};

/* A number of the schema is a double to the rules, also when it was written as 3. */
static void numbers_to_doubles(const struct schema *s, struct json *v)
{
	if (!s || !s->numbers_below)
		return;
	if (s->type == SCHEMA_NUMBER && v->type == JSON_INT)
		*v = json_of_double((double)v->i);
	else if (s->type == SCHEMA_NUMBER && v->type == JSON_UINT)
		*v = json_of_double((double)v->u);
	for (size_t i = 0; v->type == JSON_ARRAY && i < v->len; i++)
		numbers_to_doubles(s->items, &v->items[i]);
	for (size_t i = 0; v->type == JSON_OBJECT && i < v->len; i++)
		numbers_to_doubles(schema_property(s, json_str(&v->members[i].key)),
				   &v->members[i].value);
}

static struct json shown_type(const struct json *value)
{
	return json_of_cstr(json_type_name(value));
}

static void out_of_budget(struct judge *j, const struct field_path *at, const struct json *value)
{
	struct json type = shown_type(value);
	j->spent = true;
	field_error_at(j->errors, FIELD_INVALID, at, &type,
		       "validation failed due to running out of cost budget, no further "
		       "validation rules will be run");
}

/* What messageExpression says, else message, else the rule itself. */
static struct str message_of(struct judge *j, const struct schema_rule *r,
			     const struct cel_value *vars)
{
	struct cel_value v = { 0 };
	uint64_t budget = j->budget < SCHEMA_RULE_COST_MAX ? j->budget : SCHEMA_RULE_COST_MAX;
	uint64_t before = budget;
	if (r->message_expression &&
	    cel_eval(r->message_expression, &j->scratch, vars, &budget, &v, NULL) == 0 &&
	    v.type == CEL_STRING && str_trim(v.s).len && v.s.len <= MESSAGE_SHOWN_MAX &&
	    str_find(v.s, '\n', 0) < 0) {
		j->budget -= before - budget;
		return v.s;
	}
	if (r->message.len)
		return r->message;
	return arena_strf(&j->scratch, "failed rule: %.*s", STR_ARG(str_trim(r->text)));
}

static void broken(struct judge *j, const struct schema_rule *r, const struct field_path *at,
		   const struct json *value, struct str message)
{
	struct json type = shown_type(value);
	struct buf path = { 0 };
	field_path_write(at, &path);
	struct str own = r->field_path;
	if (own.len && own.p[0] == '.' && !path.len)
		own = str_sub(own, 1, own.len);
	buf_add_str(&path, own);
	if (r->reason == FIELD_REQUIRED || r->reason == FIELD_FORBIDDEN)
		field_error_add(j->errors, r->reason, buf_str(&path), NULL, "%.*s",
				STR_ARG(message));
	else
		field_error_add(j->errors, r->reason, buf_str(&path), &type, "%.*s",
				STR_ARG(message));
	buf_fini(&path);
}

static void judge_rule(struct judge *j, const struct schema_rule *r, const struct json *value,
		       const struct json *old, const struct field_path *at)
{
	struct error err = { 0 };
	struct cel_value v = { 0 }, vars[2] = { cel_of_json(value), { .type = CEL_NULL } };
	uint64_t allowed = j->budget < SCHEMA_RULE_COST_MAX ? j->budget : SCHEMA_RULE_COST_MAX;
	uint64_t budget = allowed;
	if (r->transition && !old && !r->optional_old)
		return;
	if (r->optional_old)
		vars[1] = cel_optional(&j->scratch, old);
	else if (old)
		vars[1] = cel_of_json(old);
	int rc = cel_eval(r->rule, &j->scratch, vars, &budget, &v, &err);
	j->budget -= allowed - budget;
	if (rc == 0 && v.type == CEL_BOOL && v.b)
		return;
	if (rc == ERR_LIMIT) {
		out_of_budget(j, at, value);
		return;
	}
	/* What was let in once is not held against a write that leaves it as it was. */
	if (!r->transition && old && json_equal(value, old))
		return;
	if (rc)
		broken(j, r, at, value,
		       arena_strf(&j->scratch, "rule evaluation error: %s (rule: %.*s)", err.msg,
				  STR_ARG(str_trim(r->text))));
	else
		broken(j, r, at, value, message_of(j, r, vars));
}

static void judge(struct judge *j, const struct schema *s, const struct json *value,
		  const struct json *old, const struct field_path *at);

/* The element before that has the same keys; only lists of type map have such. */
static const struct json *element_before(const struct schema *s, const struct json *item,
					 const struct json *old)
{
	if (s->list != SCHEMA_LIST_MAP)
		return NULL;
	for (size_t i = 0; i < json_len(old); i++) {
		const struct json *o = json_at(old, i);
		bool same = s->list_keys_len > 0;
		for (size_t k = 0; same && k < s->list_keys_len; k++) {
			const struct json *x = json_get(item, s->list_keys[k]);
			const struct json *y = json_get(o, s->list_keys[k]);
			same = x && y ? json_equal(x, y) : x == y;
		}
		if (same)
			return o;
	}
	return NULL;
}

static void judge_children(struct judge *j, const struct schema *s, const struct json *value,
			   const struct json *old, const struct field_path *at)
{
	for (size_t i = 0; value->type == JSON_ARRAY && i < value->len && !j->spent; i++) {
		if (!s->items || !s->items->rules_below)
			break;
		/* Pairing looks through the old list for each element: it costs as much. */
		uint64_t cost = s->list == SCHEMA_LIST_MAP ? 1 + json_len(old) : 1;
		if (cost > j->budget) {
			out_of_budget(j, at, value);
			return;
		}
		j->budget -= cost;
		judge(j, s->items, &value->items[i], element_before(s, &value->items[i], old),
		      &FIELD_INDEX(at, i));
	}
	for (size_t i = 0; value->type == JSON_OBJECT && i < value->len && !j->spent; i++) {
		struct str name = json_str(&value->members[i].key);
		const struct schema *p = schema_property(s, name);
		struct field_path here =
			p && p == s->additional ? FIELD_KEY(at, name) : FIELD_MEMBER(at, name);
		if (p && p->rules_below)
			judge(j, p, &value->members[i].value, json_get(old, name), &here);
	}
}

static void judge(struct judge *j, const struct schema *s, const struct json *value,
		  const struct json *old, const struct field_path *at)
{
	if (value->type == JSON_NULL)
		return;
	if (old && old->type != value->type)
		old = NULL;
	for (size_t i = 0; i < s->rules_len && !j->spent; i++)
		judge_rule(j, &s->rules[i], value, old, at);
	judge_children(j, s, value, old, at);
}

void schema_check_rules(const struct schema *s, const struct json *value, const struct json *old,
			struct str path, struct field_errors *errors)
{
	if (!s->rules_below)
		return;
	struct judge j = { .errors = errors, .budget = SCHEMA_RULES_COST_MAX };
	struct json now = *value, before = { 0 };
	if (s->numbers_below) {
		now = json_clone(&j.scratch, value);
		numbers_to_doubles(s, &now);
		if (old) {
			before = json_clone(&j.scratch, old);
			numbers_to_doubles(s, &before);
			old = &before;
		}
	}
	judge(&j, s, &now, old, &FIELD_ROOT(path));
	arena_fini(&j.scratch);
}
