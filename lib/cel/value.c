/* Values: of documents and made ones, equality, order, arithmetic. */
#include "cel/cel_priv.h"
#include "text/quantity.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const type_names[] = {
	[CEL_ERROR] = "error",       [CEL_NULL] = "null_type",    [CEL_BOOL] = "bool",
	[CEL_INT] = "int",           [CEL_UINT] = "uint",         [CEL_DOUBLE] = "double",
	[CEL_STRING] = "string",     [CEL_BYTES] = "bytes",       [CEL_LIST] = "list",
	[CEL_MAP] = "map",           [CEL_DURATION] = "duration", [CEL_TIMESTAMP] = "timestamp",
	[CEL_QUANTITY] = "quantity", [CEL_TYPE] = "type",         [CEL_OPTIONAL] = "optional",
};

const char *cel_type_name(enum cel_type t)
{
	return type_names[t];
}

struct cel_value cel_error(struct cel_eval *e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return (struct cel_value){ 0 };
}

bool cel_pay(struct cel_eval *e, uint64_t cost)
{
	if (e->spent || cost > e->budget) {
		e->spent = true;
		return false;
	}
	e->budget -= cost;
	return true;
}

struct cel_value cel_of_json(const struct json *j)
{
	switch (j ? (enum json_type)j->type : JSON_NULL) {
	case JSON_NULL:
		break;
	case JSON_BOOL:
		return cel_bool(j->b);
	case JSON_INT:
		return cel_int(j->i);
	case JSON_UINT:
		return (struct cel_value){ .type = CEL_UINT, .u = j->u };
	case JSON_DOUBLE:
		return (struct cel_value){ .type = CEL_DOUBLE, .d = j->d };
	case JSON_STRING:
		return cel_str(json_str(j));
	case JSON_ARRAY:
		return (struct cel_value){ .type = CEL_LIST, .json = j };
	case JSON_OBJECT:
		return (struct cel_value){ .type = CEL_MAP, .json = j };
	}
	return (struct cel_value){ .type = CEL_NULL };
}

struct cel_value cel_optional(struct arena *a, const struct json *j)
{
	struct cel_value *v = NULL;
	if (j) {
		v = arena_new(a, struct cel_value, 1);
		*v = cel_of_json(j);
	}
	return (struct cel_value){ .type = CEL_OPTIONAL, .some = v };
}

/* ---- containers ---- */

size_t cel_len(const struct cel_value *v)
{
	if (v->json)
		return json_len(v->json);
	if (v->type == CEL_MAP)
		return v->map ? v->map->len : 0;
	return v->type == CEL_LIST && v->list ? v->list->len : 0;
}

struct cel_value cel_item(const struct cel_value *v, size_t i)
{
	return v->json ? cel_of_json(&v->json->items[i]) : v->list->items[i];
}

struct cel_value cel_key(const struct cel_value *v, size_t i)
{
	return v->json ? cel_of_json(&v->json->members[i].key) : v->map->keys[i];
}

struct cel_value cel_map_value(const struct cel_value *v, size_t i)
{
	return v->json ? cel_of_json(&v->json->members[i].value) : v->map->values[i];
}

bool cel_find(struct cel_eval *e, const struct cel_value *map, const struct cel_value *key,
	      struct cel_value *ret)
{
	if (map->json) {
		const struct json *j = key->type == CEL_STRING ? json_get(map->json, key->s) : NULL;
		if (j)
			*ret = cel_of_json(j);
		return j != NULL;
	}
	for (size_t i = 0; i < cel_len(map); i++) {
		struct cel_value k = cel_key(map, i);
		if (!cel_equal(e, &k, key, 0))
			continue;
		*ret = cel_map_value(map, i);
		return true;
	}
	return false;
}

/* "foo__dash__bar" -> "foo-bar", "__namespace__" -> "namespace" */
static struct str unescaped(struct arena *a, struct str name)
{
	static const struct {
		const char *word;
		const char *text;
	} words[] = { { "__underscores__", "__" },
		      { "__dot__", "." },
		      { "__dash__", "-" },
		      { "__slash__", "/" } };
	struct buf b = { 0 };
	for (size_t i = 0; i < name.len;) {
		struct str rest = str_sub(name, i, name.len);
		size_t taken = 0;
		for (size_t w = 0; w < 4 && !taken; w++)
			if (str_starts(rest, str_of(words[w].word))) {
				buf_adds(&b, words[w].text);
				taken = strlen(words[w].word);
			}
		if (!taken)
			buf_addc(&b, name.p[i]);
		i += taken ? taken : 1;
	}
	struct str out = arena_str(a, buf_str(&b));
	buf_fini(&b);
	bool reserved = str_eq(out, name) && name.len > 4 && str_starts(name, STR("__")) &&
			str_ends(name, STR("__"));
	return reserved ? str_sub(name, 2, name.len - 2) : out;
}

bool cel_member(const struct cel_value *map, struct str name, struct cel_value *ret,
		struct cel_eval *e)
{
	struct cel_value key = cel_str(name);
	if (cel_find(e, map, &key, ret))
		return true;
	if (str_find_str(name, STR("__"), 0) < 0)
		return false;
	key.s = unescaped(e->a, name);
	return cel_find(e, map, &key, ret);
}

/* ---- numbers ---- */

static bool is_number(const struct cel_value *v)
{
	return v->type == CEL_INT || v->type == CEL_UINT || v->type == CEL_DOUBLE;
}

static double as_double(const struct cel_value *v)
{
	return v->type == CEL_DOUBLE ? v->d : v->type == CEL_INT ? (double)v->i : (double)v->u;
}

static int order(bool less, bool more)
{
	return less ? -1 : more;
}

static int compare_numbers(const struct cel_value *x, const struct cel_value *y)
{
	if (x->type == CEL_DOUBLE || y->type == CEL_DOUBLE) {
		double a = as_double(x), b = as_double(y);
		return isnan(a) || isnan(b) ? 2 : order(a<b, a> b);
	}
	if (x->type == CEL_INT && y->type == CEL_INT)
		return order(x->i<y->i, x->i> y->i);
	if (x->type == CEL_INT && x->i < 0)
		return -1;
	if (y->type == CEL_INT && y->i < 0)
		return 1;
	uint64_t a = x->type == CEL_INT ? (uint64_t)x->i : x->u;
	uint64_t b = y->type == CEL_INT ? (uint64_t)y->i : y->u;
	return order(a<b, a> b);
}

int cel_compare(const struct cel_value *x, const struct cel_value *y)
{
	struct quantity a, b;
	if (is_number(x) && is_number(y))
		return compare_numbers(x, y);
	if (x->type != y->type)
		return 3;
	switch (x->type) {
	case CEL_BOOL:
		return order(!x->b && y->b, x->b && !y->b);
	case CEL_STRING:
	case CEL_BYTES: {
		int d = str_cmp(x->s, y->s);
		return order(d<0, d> 0);
	}
	case CEL_DURATION:
	case CEL_TIMESTAMP:
		return order(x->i<y->i, x->i> y->i);
	case CEL_QUANTITY:
		if (quantity_parse(x->s, &a, NULL) || quantity_parse(y->s, &b, NULL))
			return 3;
		return quantity_cmp(a, b);
	case CEL_ERROR:
	case CEL_NULL:
	case CEL_INT:
	case CEL_UINT:
	case CEL_DOUBLE:
	case CEL_LIST:
	case CEL_MAP:
	case CEL_TYPE:
	case CEL_OPTIONAL:
		break;
	}
	return 3;
}

static bool equal_maps(struct cel_eval *e, const struct cel_value *x, const struct cel_value *y,
		       unsigned depth)
{
	for (size_t i = 0; i < cel_len(x); i++) {
		struct cel_value key = cel_key(x, i), a = cel_map_value(x, i), b;
		if (!cel_pay(e, 1 + cel_len(y) / 16) || !cel_find(e, y, &key, &b) ||
		    !cel_equal(e, &a, &b, depth + 1))
			return false;
	}
	return true;
}

bool cel_equal(struct cel_eval *e, const struct cel_value *x, const struct cel_value *y,
	       unsigned depth)
{
	if (depth > CEL_VALUE_DEPTH || !cel_pay(e, 1))
		return false;
	if (is_number(x) && is_number(y))
		return compare_numbers(x, y) == 0;
	if (x->type != y->type)
		return false;
	if (x->type == CEL_NULL)
		return true;
	if (x->type == CEL_TYPE)
		return x->i == y->i;
	if (x->type == CEL_OPTIONAL)
		return x->some && y->some ? cel_equal(e, x->some, y->some, depth + 1)
					  : x->some == y->some;
	if (x->type != CEL_LIST && x->type != CEL_MAP) {
		if ((x->type == CEL_STRING || x->type == CEL_BYTES) && !cel_pay(e, x->s.len / 10))
			return false;
		return cel_compare(x, y) == 0;
	}
	if (cel_len(x) != cel_len(y))
		return false;
	if (x->type == CEL_MAP)
		return equal_maps(e, x, y, depth);
	for (size_t i = 0; i < cel_len(x); i++) {
		struct cel_value a = cel_item(x, i), b = cel_item(y, i);
		if (!cel_equal(e, &a, &b, depth + 1))
			return false;
	}
	return true;
}

/* ---- arithmetic ---- */

static struct cel_value int_arith(struct cel_eval *e, enum cel_op op, int64_t x, int64_t y)
{
	int64_t r = 0;
	bool over = false;
	if ((op == OP_DIV || op == OP_MOD) && y == 0)
		return cel_error(e, op == OP_DIV ? "divide by zero" : "modulus by zero");
	if ((op == OP_DIV || op == OP_MOD) && x == INT64_MIN && y == -1)
		over = true;
	else if (op == OP_ADD)
		over = __builtin_add_overflow(x, y, &r);
	else if (op == OP_SUB)
		over = __builtin_sub_overflow(x, y, &r);
	else if (op == OP_MUL)
		over = __builtin_mul_overflow(x, y, &r);
	else
		r = op == OP_DIV ? x / y : x % y;
	return over ? cel_error(e, "integer overflow") : cel_int(r);
}

static struct cel_value uint_arith(struct cel_eval *e, enum cel_op op, uint64_t x, uint64_t y)
{
	uint64_t r = 0;
	bool over = false;
	if ((op == OP_DIV || op == OP_MOD) && y == 0)
		return cel_error(e, op == OP_DIV ? "divide by zero" : "modulus by zero");
	if (op == OP_ADD)
		over = __builtin_add_overflow(x, y, &r);
	else if (op == OP_SUB)
		over = __builtin_sub_overflow(x, y, &r);
	else if (op == OP_MUL)
		over = __builtin_mul_overflow(x, y, &r);
	else
		r = op == OP_DIV ? x / y : x % y;
	return over ? cel_error(e, "unsigned integer overflow")
		    : (struct cel_value){ .type = CEL_UINT, .u = r };
}

static struct cel_value joined(struct cel_eval *e, const struct cel_value *x,
			       const struct cel_value *y)
{
	size_t n = x->s.len + y->s.len;
	if (!cel_pay(e, 1 + n / 10))
		return (struct cel_value){ 0 };
	char *p = arena_alloc(e->a, n + 1);
	if (x->s.len)
		memcpy(p, x->s.p, x->s.len);
	if (y->s.len)
		memcpy(p + x->s.len, y->s.p, y->s.len);
	return (struct cel_value){ .type = x->type, .s = str_n(p, n) };
}

static struct cel_value joined_lists(struct cel_eval *e, const struct cel_value *x,
				     const struct cel_value *y)
{
	size_t nx = cel_len(x), ny = cel_len(y);
	if (!cel_pay(e, nx + ny))
		return (struct cel_value){ 0 };
	struct cel_list *list = arena_new(e->a, struct cel_list, 1);
	struct cel_value *items = arena_new(e->a, struct cel_value, nx + ny);
	for (size_t i = 0; i < nx + ny; i++)
		items[i] = i < nx ? cel_item(x, i) : cel_item(y, i - nx);
	*list = (struct cel_list){ items, nx + ny };
	return (struct cel_value){ .type = CEL_LIST, .list = list };
}

static bool is_time(const struct cel_value *v)
{
	return v->type == CEL_DURATION || v->type == CEL_TIMESTAMP;
}

static struct cel_value time_arith(struct cel_eval *e, enum cel_op op, const struct cel_value *x,
				   const struct cel_value *y)
{
	struct cel_value r = int_arith(e, op, x->i, y->i);
	bool both = x->type == CEL_TIMESTAMP && y->type == CEL_TIMESTAMP;
	bool one = x->type == CEL_TIMESTAMP || y->type == CEL_TIMESTAMP;
	if ((op != OP_ADD && op != OP_SUB) || (both && op == OP_ADD) ||
	    (op == OP_SUB && y->type == CEL_TIMESTAMP && !both))
		return cel_error(e, "no such overload of times");
	if (r.type == CEL_INT)
		r.type = one && !both ? CEL_TIMESTAMP : CEL_DURATION;
	return r;
}

struct cel_value cel_arith(struct cel_eval *e, enum cel_op op, const struct cel_value *x,
			   const struct cel_value *y)
{
	if (x->type == CEL_INT && y->type == CEL_INT)
		return int_arith(e, op, x->i, y->i);
	if (x->type == CEL_UINT && y->type == CEL_UINT)
		return uint_arith(e, op, x->u, y->u);
	bool doubles = x->type == CEL_DOUBLE || y->type == CEL_DOUBLE;
	if (is_number(x) && is_number(y) && doubles && op != OP_MOD) {
		double a = as_double(x), b = as_double(y);
		double r = op == OP_ADD   ? a + b
			   : op == OP_SUB ? a - b
			   : op == OP_MUL ? a * b
					  : a / b;
		return (struct cel_value){ .type = CEL_DOUBLE, .d = r };
	}
	if (op == OP_ADD && x->type == y->type && (x->type == CEL_STRING || x->type == CEL_BYTES))
		return joined(e, x, y);
	if (op == OP_ADD && x->type == CEL_LIST && y->type == CEL_LIST)
		return joined_lists(e, x, y);
	if (is_time(x) && is_time(y))
		return time_arith(e, op, x, y);
	return cel_error(e, "no such overload: arithmetic of %s and %s", cel_type_name(x->type),
			 cel_type_name(y->type));
}
