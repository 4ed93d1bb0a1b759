/* Values against schemas, with the words of kube-apiserver. */
#include "base/mem.h"
#include "base/utf8.h"
#include "regex/regex.h"
#include "schema/schema_priv.h"

#include <math.h>
#include <stdlib.h>

struct validation {
	struct field_errors *errors; /* NULL: only count, for alternatives */
	size_t fails;
	size_t *steps;
};

static void check(struct validation *v, const struct schema *s, const struct json *value,
		  const struct field_path *at);

/* "spec.replicas in body" */
static const char *subject(struct validation *v, const struct field_path *at)
{
	struct buf b = { 0 };
	field_path_write(at, &b);
	buf_adds(&b, " in body");
	const char *text = arena_str(v->errors->arena, buf_str(&b)).p;
	buf_fini(&b);
	return text;
}

#define FAIL(v, reason, at, value, fmt, ...) \
	do { \
		(v)->fails++; \
		if ((v)->errors) \
			field_error_at((v)->errors, (reason), (at), (value), "%s " fmt, \
				       subject((v), (at)), __VA_ARGS__); \
	} while (0)

static void fail_plain(struct validation *v, enum field_reason reason, const struct field_path *at,
		       const struct json *value, const char *detail)
{
	v->fails++;
	if (v->errors)
		field_error_at(v->errors, reason, at, value, "%s", detail);
}

/* ---- types ---- */

static bool is_number(const struct json *v)
{
	return v->type == JSON_INT || v->type == JSON_UINT || v->type == JSON_DOUBLE;
}

static bool is_integer(const struct json *v)
{
	if (v->type == JSON_DOUBLE)
		return v->d == trunc(v->d);
	return v->type == JSON_INT || v->type == JSON_UINT;
}

static bool type_fits(const struct schema *s, const struct json *v)
{
	switch (s->type) {
	case SCHEMA_ANY:
		return true;
	case SCHEMA_STRING:
		return v->type == JSON_STRING;
	case SCHEMA_INTEGER:
		return is_integer(v);
	case SCHEMA_NUMBER:
		return is_number(v);
	case SCHEMA_BOOLEAN:
		return v->type == JSON_BOOL;
	case SCHEMA_OBJECT:
		return v->type == JSON_OBJECT;
	case SCHEMA_ARRAY:
		return v->type == JSON_ARRAY;
	case SCHEMA_INT_OR_STRING:
		/* Quantities may come with a fraction. */
		return v->type == JSON_STRING || is_integer(v) ||
		       (s->format == SCHEMA_FORMAT_QUANTITY && is_number(v));
	}
	return false;
}

static const char *type_name(enum schema_type t)
{
	static const char *const names[] = {
		[SCHEMA_ANY] = "any",         [SCHEMA_STRING] = "string",
		[SCHEMA_INTEGER] = "integer", [SCHEMA_NUMBER] = "number",
		[SCHEMA_BOOLEAN] = "boolean", [SCHEMA_OBJECT] = "object",
		[SCHEMA_ARRAY] = "array",     [SCHEMA_INT_OR_STRING] = "integer,string",
	};
	return names[t];
}

static void fail_type(struct validation *v, const char *want, const struct json *shown,
		      const struct field_path *at)
{
	v->fails++;
	if (!v->errors)
		return;
	struct str text = json_text(v->errors->arena, shown);
	const char *quote = shown->type == JSON_STRING ? "" : "\"";
	field_error_at(v->errors, FIELD_TYPE, at, shown, "%s must be of type %s: %s%.*s%s",
		       subject(v, at), want, quote, (int)(text.len < 256 ? text.len : 256), text.p,
		       quote);
}

/* ---- numbers and strings ---- */

static void check_number(struct validation *v, const struct schema *s, const struct json *value,
			 const struct field_path *at)
{
	double d = json_double(value, 0);
	if (s->has_min && (s->exclusive_min ? d <= s->min : d < s->min))
		FAIL(v, FIELD_INVALID, at, value, "should be greater than %s%.15g",
		     s->exclusive_min ? "" : "or equal to ", s->min);
	if (s->has_max && (s->exclusive_max ? d >= s->max : d > s->max))
		FAIL(v, FIELD_INVALID, at, value, "should be less than %s%.15g",
		     s->exclusive_max ? "" : "or equal to ", s->max);
	if (s->multiple_of > 0) {
		double n = d / s->multiple_of;
		if (fabs(n - round(n)) > 1e-9)
			FAIL(v, FIELD_INVALID, at, value, "should be a multiple of %.15g",
			     s->multiple_of);
	}
}

static int64_t code_points(struct str s)
{
	int64_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}

static void check_string(struct validation *v, const struct schema *s, const struct json *value,
			 const struct field_path *at)
{
	struct str text = json_str(value);
	bool measure = s->len_min > 0 || (s->len_max >= 0 && text.len > (uint64_t)s->len_max);
	int64_t len = measure ? code_points(text) : 0;
	if (measure && s->len_max >= 0 && len > s->len_max) {
		v->fails++;
		if (v->errors)
			field_error_at(v->errors, FIELD_TOO_LONG, at, value,
				       "may not be more than %lld bytes", (long long)s->len_max);
	}
	if (measure && len < s->len_min)
		FAIL(v, FIELD_INVALID, at, value, "should be at least %lld chars long",
		     (long long)s->len_min);
	/* A match that gives up counts as none: what cannot be checked is not let in. */
	if (s->pattern && regex_match(s->pattern, text) != 1)
		FAIL(v, FIELD_INVALID, at, value, "should match '%.*s'", STR_ARG(s->pattern_text));
}

/* ---- lists ---- */

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xD6E8FEB86659FD93U;
	return h ^ h >> 32;
}

/* Equal values have equal hashes: 1 and 1.0, members in any order. */
static uint64_t value_hash(const struct json *v)
{
	uint64_t h = 0;
	if (!v)
		return 1;
	if (is_number(v)) {
		double d = json_double(v, 0);
		d += 0.0; /* -0 */
		memcpy(&h, &d, sizeof(h));
		return mix(h + 2);
	}
	if (v->type == JSON_STRING)
		return str_hash(json_str(v), 3);
	if (v->type == JSON_BOOL)
		return mix(4 + v->b);
	for (uint32_t i = 0; v->type == JSON_ARRAY && i < v->len; i++)
		h = mix(h + value_hash(&v->items[i]) + 5);
	for (uint32_t i = 0; v->type == JSON_OBJECT && i < v->len; i++)
		h += mix(str_hash(json_str(&v->members[i].key), 6) +
			 mix(value_hash(&v->members[i].value)));
	return mix(h + v->type);
}

struct list_item {
	uint64_t hash;
	uint32_t index;
};

static int by_hash(const void *a, const void *b)
{
	const struct list_item *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t item_hash(const struct schema *s, const struct json *item)
{
	if (s->list != SCHEMA_LIST_MAP)
		return value_hash(item);
	uint64_t h = 0;
	for (size_t k = 0; k < s->list_keys_len; k++)
		h = mix(h + value_hash(json_get(item, s->list_keys[k])));
	return h;
}

static bool item_same(const struct schema *s, const struct json *x, const struct json *y)
{
	if (s->list != SCHEMA_LIST_MAP)
		return json_equal(x, y);
	for (size_t k = 0; k < s->list_keys_len; k++) {
		const struct json *a = json_get(x, s->list_keys[k]);
		const struct json *b = json_get(y, s->list_keys[k]);
		if ((!a) != (!b) || (a && !json_equal(a, b)))
			return false;
	}
	return true;
}

static void fail_duplicate(struct validation *v, const struct schema *s, const struct json *item,
			   const struct field_path *at)
{
	v->fails++;
	if (!v->errors)
		return;
	if (s->list != SCHEMA_LIST_MAP) {
		field_error_at(v->errors, FIELD_DUPLICATE, at, item, "%s", "");
		return;
	}
	if (s->list_keys_len == 1) {
		struct str key = s->list_keys[0];
		field_error_at(v->errors, FIELD_DUPLICATE, &FIELD_MEMBER(at, key),
			       json_get(item, key), "%s", "");
		return;
	}
	struct json keys = json_object();
	for (size_t k = 0; k < s->list_keys_len; k++) {
		const struct json *key = json_get(item, s->list_keys[k]);
		if (key)
			(void)json_set(v->errors->arena, &keys, s->list_keys[k], *key);
	}
	field_error_at(v->errors, FIELD_DUPLICATE, at, &keys, "%s", "");
}

/*
 * Each element that equals an earlier one is told once.  Sorted by hash the
 * equal ones are neighbours; of a run only the first is compared with, so that
 * the work stays n log n whatever a client sends.
 */
static void check_duplicates(struct validation *v, const struct schema *s, const struct json *list,
			     const struct field_path *at)
{
	struct list_item room[32];
	struct list_item *item = room;
	if (list->len > sizeof(room) / sizeof(room[0]))
		item = mem_new(struct list_item, list->len);
	for (uint32_t i = 0; i < list->len; i++)
		item[i] = (struct list_item){ item_hash(s, &list->items[i]), i };
	qsort(item, list->len, sizeof(*item), by_hash);
	for (uint32_t i = 1, first = 0; i < list->len; i++) {
		const struct json *x = &list->items[item[first].index];
		const struct json *y = &list->items[item[i].index];
		if (item[i].hash == item[first].hash && item_same(s, x, y))
			fail_duplicate(v, s, y, &FIELD_INDEX(at, item[i].index));
		else
			first = i;
	}
	if (item != room)
		mem_free(item);
}

static void fail_too_many(struct validation *v, const struct schema *s, size_t have,
			  const struct field_path *at)
{
	v->fails++;
	if (!v->errors)
		return;
	struct json n = json_of_u64(have);
	field_error_at(v->errors, FIELD_TOO_MANY, at, &n, "must have at most %lld items",
		       (long long)s->len_max);
}

static void check_array(struct validation *v, const struct schema *s, const struct json *value,
			const struct field_path *at)
{
	if (s->len_max >= 0 && value->len > s->len_max) {
		fail_too_many(v, s, value->len, at);
		return;
	}
	if (s->len_min > 0 && value->len < s->len_min)
		FAIL(v, FIELD_INVALID, at, value, "should have at least %lld items",
		     (long long)s->len_min);
	for (uint32_t i = 0; s->items && i < value->len; i++)
		check(v, s->items, &value->items[i], &FIELD_INDEX(at, i));
	if (s->list != SCHEMA_LIST_ATOMIC && !s->duplicates_ok && value->len > 1)
		check_duplicates(v, s, value, at);
}

/* ---- objects ---- */

static void check_embedded(struct validation *v, const struct json *value,
			   const struct field_path *at)
{
	static const char *const names[] = { "apiVersion", "kind" };
	for (size_t i = 0; i < 2; i++) {
		if (json_str(json_getc(value, names[i])).len == 0)
			fail_plain(v, FIELD_REQUIRED, &FIELD_MEMBER(at, str_of(names[i])), NULL,
				   "must not be empty");
	}
	const struct json *meta = json_getc(value, "metadata");
	if (meta && meta->type != JSON_OBJECT) {
		struct json type = json_of_cstr(json_type_name(meta));
		fail_type(v, "object", &type, &FIELD_MEMBER(at, STR("metadata")));
	}
}

static void check_object(struct validation *v, const struct schema *s, const struct json *value,
			 const struct field_path *at)
{
	if (s->len_max >= 0 && value->len > s->len_max)
		fail_too_many(v, s, value->len, at);
	if (s->len_min > 0 && value->len < s->len_min)
		FAIL(v, FIELD_INVALID, at, value, "should have at least %lld properties",
		     (long long)s->len_min);
	for (size_t i = 0; i < s->required_len; i++) {
		if (!json_get(value, s->required[i]))
			fail_plain(v, FIELD_REQUIRED, &FIELD_MEMBER(at, s->required[i]), NULL, "");
	}
	if (s->embedded_resource)
		check_embedded(v, value, at);
	if (!s->props_len && !s->additional)
		return;
	for (uint32_t i = 0; i < value->len; i++) {
		const struct json_member *m = &value->members[i];
		struct str name = json_str(&m->key);
		const struct schema *p = schema_property(s, name);
		struct field_path here =
			s->additional ? FIELD_KEY(at, name) : FIELD_MEMBER(at, name);
		if (p)
			check(v, p, &m->value, &here);
	}
}

/* ---- everything ---- */

static void check_enum(struct validation *v, const struct schema *s, const struct json *value,
		       const struct field_path *at)
{
	*v->steps += s->enums->len / 16; /* long ones are work too */
	for (uint32_t i = 0; i < s->enums->len; i++)
		if (json_equal(&s->enums->items[i], value))
			return;
	v->fails++;
	if (!v->errors)
		return;
	struct buf b = { 0 };
	buf_adds(&b, "supported values: ");
	for (uint32_t i = 0; i < s->enums->len; i++) {
		const struct json *e = &s->enums->items[i];
		if (i)
			buf_adds(&b, ", ");
		if (e->type != JSON_STRING)
			buf_addc(&b, '"');
		json_write(&b, e);
		if (e->type != JSON_STRING)
			buf_addc(&b, '"');
	}
	field_error_at(v->errors, FIELD_NOT_SUPPORTED, at, value, "%s", buf_cstr(&b));
	buf_fini(&b);
}

static size_t count_fitting(struct validation *v, const struct schema *const *list, size_t len,
			    const struct json *value, const struct field_path *at)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		struct validation trial = { .steps = v->steps };
		check(&trial, list[i], value, at);
		n += trial.fails == 0;
	}
	return n;
}

static void fail_logic(struct validation *v, const struct field_path *at, const char *words)
{
	v->fails++;
	if (!v->errors)
		return;
	struct buf b = { 0 };
	struct json none = json_of_cstr("");
	field_path_write(at, &b);
	field_error_at(v->errors, FIELD_INVALID, at, &none, "\"%s\" must %s", buf_cstr(&b), words);
	buf_fini(&b);
}

static void check_logic(struct validation *v, const struct schema_logic *l,
			const struct json *value, const struct field_path *at)
{
	for (size_t i = 0; i < l->all_of_len; i++)
		check(v, l->all_of[i], value, at);
	if (l->any_of_len && count_fitting(v, l->any_of, l->any_of_len, value, at) == 0)
		fail_logic(v, at, "validate at least one schema (anyOf)");
	if (l->one_of_len) {
		size_t n = count_fitting(v, l->one_of, l->one_of_len, value, at);
		if (n == 0)
			fail_logic(v, at,
				   "validate one and only one schema (oneOf). Found none valid");
		else if (n > 1)
			fail_logic(v, at,
				   "validate one and only one schema (oneOf). Found several valid");
	}
	if (l->not_of && count_fitting(v, &l->not_of, 1, value, at))
		fail_logic(v, at, "not validate the schema (not)");
}

static void check(struct validation *v, const struct schema *s, const struct json *value,
		  const struct field_path *at)
{
	if (++*v->steps > SCHEMA_VALIDATE_STEPS_MAX) {
		v->fails++;
		return;
	}
	if (value->type == JSON_NULL && s->nullable)
		return;
	if (!type_fits(s, value)) {
		struct json type = json_of_cstr(json_type_name(value));
		fail_type(v, type_name(s->type), &type, at);
		return;
	}
	if (s->format != SCHEMA_FORMAT_NONE && !schema_format_ok(s->format, value)) {
		fail_type(v, schema_format_name(s->format), value, at);
		return;
	}
	if (value->type == JSON_STRING)
		check_string(v, s, value, at);
	else if (value->type == JSON_OBJECT)
		check_object(v, s, value, at);
	else if (value->type == JSON_ARRAY)
		check_array(v, s, value, at);
	else if (is_number(value))
		check_number(v, s, value, at);
	if (s->enums)
		check_enum(v, s, value, at);
	if (s->logic)
		check_logic(v, s->logic, value, at);
}

void schema_validate(const struct schema *s, const struct json *value, struct str path,
		     struct field_errors *errors)
{
	size_t steps = 0;
	struct validation v = { .errors = errors, .steps = &steps };
	check(&v, s, value, &FIELD_ROOT(path));
	if (steps > SCHEMA_VALIDATE_STEPS_MAX)
		field_error_add(errors, FIELD_INVALID, path, NULL,
				"the alternatives of its schema are too many to try");
}
