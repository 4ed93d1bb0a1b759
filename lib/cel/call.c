/* Functions: conversions, lists, sets, times, quantities. */
#include "cel/cel_priv.h"
#include "text/duration.h"
#include "text/quantity.h"
#include "text/rfc3339.h"

#include <math.h>

enum { NS = 1000000000 };

/* Every function: name, whether it may be called as f(x) and as x.f(), arguments (x included). */
static const struct {
	const char *name;
	bool function, method;
	size_t min, max;
} functions[] = {
	{ "size", true, true, 1, 1 },
	{ "int", true, false, 1, 1 },
	{ "uint", true, false, 1, 1 },
	{ "double", true, false, 1, 1 },
	{ "string", true, false, 1, 1 },
	{ "bool", true, false, 1, 1 },
	{ "bytes", true, false, 1, 1 },
	{ "type", true, false, 1, 1 },
	{ "dyn", true, false, 1, 1 },
	{ "duration", true, false, 1, 1 },
	{ "timestamp", true, false, 1, 1 },
	{ "quantity", true, false, 1, 1 },
	{ "isQuantity", true, false, 1, 1 },
	{ "matches", true, true, 2, 2 },
	{ "startsWith", false, true, 2, 2 },
	{ "endsWith", false, true, 2, 2 },
	{ "contains", false, true, 2, 2 },
	{ "split", false, true, 2, 3 },
	{ "join", false, true, 1, 2 },
	{ "lowerAscii", false, true, 1, 1 },
	{ "upperAscii", false, true, 1, 1 },
	{ "trim", false, true, 1, 1 },
	{ "reverse", false, true, 1, 1 },
	{ "replace", false, true, 3, 4 },
	{ "substring", false, true, 2, 3 },
	{ "charAt", false, true, 2, 2 },
	{ "format", false, true, 2, 2 },
	{ "find", false, true, 2, 2 },
	{ "findAll", false, true, 2, 3 },
	{ "indexOf", false, true, 2, 2 },
	{ "lastIndexOf", false, true, 2, 2 },
	{ "isSorted", false, true, 1, 1 },
	{ "sum", false, true, 1, 1 },
	{ "min", false, true, 1, 1 },
	{ "max", false, true, 1, 1 },
	{ "sets.contains", true, false, 2, 2 },
	{ "sets.intersects", true, false, 2, 2 },
	{ "sets.equivalent", true, false, 2, 2 },
	{ "math.greatest", true, false, 1, 16 },
	{ "math.least", true, false, 1, 16 },
	{ "optional.of", true, false, 1, 1 },
	{ "optional.none", true, false, 0, 0 },
	{ "hasValue", false, true, 1, 1 },
	{ "value", false, true, 1, 1 },
	{ "orValue", false, true, 2, 2 },
	{ "isGreaterThan", false, true, 2, 2 },
	{ "isLessThan", false, true, 2, 2 },
	{ "compareTo", false, true, 2, 2 },
	{ "sign", false, true, 1, 1 },
	{ "asInteger", false, true, 1, 1 },
	{ "isInteger", false, true, 1, 1 },
	{ "asApproximateFloat", false, true, 1, 1 },
	{ "add", false, true, 2, 2 },
	{ "sub", false, true, 2, 2 },
	{ "getFullYear", false, true, 1, 1 },
	{ "getMonth", false, true, 1, 1 },
	{ "getDate", false, true, 1, 1 },
	{ "getHours", false, true, 1, 1 },
	{ "getMinutes", false, true, 1, 1 },
	{ "getSeconds", false, true, 1, 1 },
	{ "getMilliseconds", false, true, 1, 1 },
};

bool cel_call_known(struct str name, bool method, size_t args)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (str_is(name, functions[i].name))
			return (method ? functions[i].method : functions[i].function) &&
			       args >= functions[i].min && args <= functions[i].max;
	return false;
}

static struct cel_value no_overload(struct cel_eval *e, const struct cel_node *n,
				    const struct cel_value *v)
{
	return cel_error(e, "no such overload: %.*s of %s", STR_ARG(n->name),
			 v ? cel_type_name(v->type) : "nothing");
}

/* ---- conversions ---- */

struct cel_value cel_to_string(struct cel_eval *e, const struct cel_value *v)
{
	struct buf b = { 0 };
	switch (v->type) {
	case CEL_STRING:
	case CEL_BYTES:
	case CEL_QUANTITY:
		return cel_str(v->s);
	case CEL_BOOL:
		return cel_str(v->b ? STR("true") : STR("false"));
	case CEL_INT:
		buf_add_i64(&b, v->i);
		break;
	case CEL_UINT:
		buf_addf(&b, "%llu", (unsigned long long)v->u);
		break;
	case CEL_DOUBLE:
		json_write_double(&b, isfinite(v->d) ? v->d : 0);
		break;
	case CEL_DURATION:
		duration_write_go(&b, v->i);
		break;
	case CEL_TIMESTAMP:
		rfc3339_write_nano(&b, v->i / NS, (int32_t)(v->i % NS));
		break;
	case CEL_NULL:
		return cel_str(STR("null"));
	case CEL_TYPE:
		return cel_str(str_of(cel_type_name((enum cel_type)v->i)));
	case CEL_LIST:
	case CEL_MAP:
		if (v->json && cel_pay(e, 1 + json_len(v->json) * 4)) {
			json_write(&b, v->json);
			break;
		}
		return cel_error(e, "no such overload: string of %s", cel_type_name(v->type));
	case CEL_ERROR:
	case CEL_OPTIONAL:
		return cel_error(e, "no such overload: string of %s", cel_type_name(v->type));
	}
	struct cel_value out = cel_str(arena_str(e->a, buf_str(&b)));
	buf_fini(&b);
	return cel_pay(e, out.s.len / 10) ? out : (struct cel_value){ 0 };
}

static struct cel_value to_int(struct cel_eval *e, const struct cel_node *n,
			       const struct cel_value *v)
{
	int64_t i = 0;
	if (v->type == CEL_INT)
		return *v;
	if (v->type == CEL_UINT && v->u <= INT64_MAX)
		return cel_int((int64_t)v->u);
	if (v->type == CEL_DOUBLE && v->d > -9.2e18 && v->d < 9.2e18)
		return cel_int((int64_t)v->d);
	if (v->type == CEL_STRING && str_to_i64(v->s, &i))
		return cel_int(i);
	if (v->type == CEL_TIMESTAMP)
		return cel_int(v->i / NS);
	return v->type == CEL_STRING || v->type == CEL_UINT || v->type == CEL_DOUBLE
		       ? cel_error(e, "type conversion error from '%s' to 'int'",
				   cel_type_name(v->type))
		       : no_overload(e, n, v);
}

static struct cel_value to_uint(struct cel_eval *e, const struct cel_node *n,
				const struct cel_value *v)
{
	struct cel_value i = v->type == CEL_UINT ? *v : to_int(e, n, v);
	if (i.type == CEL_UINT || i.type == CEL_ERROR)
		return i;
	if (i.i < 0)
		return cel_error(e, "unsigned integer overflow");
	return (struct cel_value){ .type = CEL_UINT, .u = (uint64_t)i.i };
}

static struct cel_value to_double(struct cel_eval *e, const struct cel_node *n,
				  const struct cel_value *v)
{
	struct cel_value out = { .type = CEL_DOUBLE };
	struct json j = { 0 };
	if (v->type == CEL_DOUBLE)
		return *v;
	if (v->type == CEL_INT)
		out.d = (double)v->i;
	else if (v->type == CEL_UINT)
		out.d = (double)v->u;
	else if (v->type == CEL_STRING && json_parse(e->a, v->s, NULL, &j, NULL) == 0 &&
		 (j.type == JSON_INT || j.type == JSON_UINT || j.type == JSON_DOUBLE))
		out.d = json_double(&j, 0);
	else
		return no_overload(e, n, v);
	return out;
}

static struct cel_value to_time(struct cel_eval *e, const struct cel_node *n,
				const struct cel_value *v)
{
	int64_t sec = 0, ns = 0;
	int32_t nsec = 0;
	bool duration = str_is(n->name, "duration");
	enum cel_type want = duration ? CEL_DURATION : CEL_TIMESTAMP;
	if (v->type == want)
		return *v;
	if (v->type != CEL_STRING)
		return no_overload(e, n, v);
	if (duration && duration_parse_go(v->s, &ns, NULL) == 0)
		return (struct cel_value){ .type = want, .i = ns };
	/* Nanoseconds in 64 bits: the years 1678 to 2261. */
	if (!duration && rfc3339_parse(v->s, &sec, &nsec) && sec > -9214560000 && sec < 9214646400)
		return (struct cel_value){ .type = want, .i = sec * NS + nsec };
	return cel_error(e, "type conversion error from 'string' to '%s'", cel_type_name(want));
}

static struct cel_value to_quantity(struct cel_eval *e, const struct cel_node *n,
				    const struct cel_value *v)
{
	struct quantity q;
	bool asks = str_is(n->name, "isQuantity");
	if (v->type != CEL_STRING)
		return no_overload(e, n, v);
	bool ok = quantity_parse(v->s, &q, NULL) == 0;
	if (asks)
		return cel_bool(ok);
	return ok ? (struct cel_value){ .type = CEL_QUANTITY, .s = v->s }
		  : cel_error(e, "quantities must match the regular expression of quantities");
}

/* ---- lists ---- */

static struct cel_value list_join(struct cel_eval *e, const struct cel_value *list, struct str sep)
{
	struct buf b = { 0 };
	bool ok = true;
	for (size_t i = 0; i < cel_len(list) && ok; i++) {
		struct cel_value v = cel_item(list, i);
		ok = v.type == CEL_STRING && cel_pay(e, 1 + (v.s.len + sep.len) / 10);
		if (ok && i)
			buf_add_str(&b, sep);
		if (ok)
			buf_add_str(&b, v.s);
	}
	struct cel_value out = cel_str(arena_str(e->a, buf_str(&b)));
	buf_fini(&b);
	return ok ? out : cel_error(e, "no such overload: join of other than strings");
}

static struct cel_value list_extreme(struct cel_eval *e, const struct cel_value *items, size_t len,
				     const struct cel_value *list, bool max)
{
	struct cel_value best = { 0 };
	for (size_t i = 0; i < len; i++) {
		struct cel_value v = list ? cel_item(list, i) : items[i];
		int d = i && cel_pay(e, 1) ? cel_compare(&v, &best) : 0;
		if (d == 3 || e->spent)
			return cel_error(e, "no such overload: order of other than one type");
		if (i == 0 || (max ? d == 1 : d == -1))
			best = v;
	}
	return len ? best : cel_error(e, "min or max called on an empty list");
}

static struct cel_value list_sum(struct cel_eval *e, const struct cel_value *list)
{
	struct cel_value sum = cel_int(0);
	for (size_t i = 0; i < cel_len(list) && sum.type != CEL_ERROR; i++) {
		struct cel_value v = cel_item(list, i);
		if (!cel_pay(e, 1))
			return (struct cel_value){ 0 };
		sum = i ? cel_arith(e, OP_ADD, &sum, &v) : v;
	}
	return sum;
}

static struct cel_value list_sorted(struct cel_eval *e, const struct cel_value *list)
{
	for (size_t i = 1; i < cel_len(list); i++) {
		struct cel_value x = cel_item(list, i - 1), y = cel_item(list, i);
		int d = cel_pay(e, 1) ? cel_compare(&x, &y) : 3;
		if (d == 3)
			return cel_error(e, "no such overload: order of other than one type");
		if (d == 1)
			return cel_bool(false);
	}
	return cel_bool(true);
}

static struct cel_value list_find(struct cel_eval *e, const struct cel_value *list,
				  const struct cel_value *what, bool last)
{
	int64_t found = -1;
	for (size_t i = 0; i < cel_len(list) && (last || found < 0); i++) {
		struct cel_value v = cel_item(list, i);
		if (cel_equal(e, &v, what, 0))
			found = (int64_t)i;
	}
	return e->spent ? (struct cel_value){ 0 } : cel_int(found);
}

static size_t members_in(struct cel_eval *e, const struct cel_value *x, const struct cel_value *y)
{
	size_t n = 0;
	for (size_t i = 0; i < cel_len(x) && !e->spent; i++) {
		struct cel_value v = cel_item(x, i);
		struct cel_value at = list_find(e, y, &v, false);
		n += at.type == CEL_INT && at.i >= 0;
	}
	return n;
}

static struct cel_value sets_call(struct cel_eval *e, const struct cel_node *n,
				  const struct cel_value *args)
{
	if (args[0].type != CEL_LIST || args[1].type != CEL_LIST)
		return no_overload(e, n, &args[0]);
	bool all = members_in(e, &args[1], &args[0]) == cel_len(&args[1]);
	bool back = members_in(e, &args[0], &args[1]) == cel_len(&args[0]);
	bool some = members_in(e, &args[0], &args[1]) > 0;
	if (e->spent)
		return (struct cel_value){ 0 };
	if (str_is(n->name, "sets.contains"))
		return cel_bool(all);
	return cel_bool(str_is(n->name, "sets.intersects") ? some : all && back);
}

static struct cel_value list_call(struct cel_eval *e, const struct cel_node *n,
				  const struct cel_value *args)
{
	struct str f = n->name;
	if (str_is(f, "size"))
		return cel_int((int64_t)cel_len(&args[0]));
	if (args[0].type == CEL_MAP)
		return no_overload(e, n, &args[0]);
	if (str_is(f, "join") && (n->len == 1 || args[1].type == CEL_STRING))
		return list_join(e, &args[0], n->len > 1 ? args[1].s : STR(""));
	if (str_is(f, "min") || str_is(f, "max"))
		return list_extreme(e, NULL, cel_len(&args[0]), &args[0], str_is(f, "max"));
	if (str_is(f, "sum"))
		return list_sum(e, &args[0]);
	if (str_is(f, "isSorted"))
		return list_sorted(e, &args[0]);
	if (str_is(f, "indexOf") || str_is(f, "lastIndexOf"))
		return list_find(e, &args[0], &args[1], str_is(f, "lastIndexOf"));
	return no_overload(e, n, &args[0]);
}

/* ---- quantities, times, optional values ---- */

static struct cel_value quantity_call(struct cel_eval *e, const struct cel_node *n,
				      const struct cel_value *args)
{
	struct quantity x, y = { 0 };
	struct str f = n->name;
	bool two = n->len > 1 && args[1].type == CEL_QUANTITY;
	if (quantity_parse(args[0].s, &x, NULL) || (two && quantity_parse(args[1].s, &y, NULL)))
		return no_overload(e, n, &args[0]);
	if (two && str_is(f, "isGreaterThan"))
		return cel_bool(quantity_cmp(x, y) > 0);
	if (two && str_is(f, "isLessThan"))
		return cel_bool(quantity_cmp(x, y) < 0);
	if (two && str_is(f, "compareTo"))
		return cel_int(quantity_cmp(x, y));
	if (two && (str_is(f, "add") || str_is(f, "sub"))) {
		struct buf b = { 0 };
		quantity_write(&b, str_is(f, "add") ? quantity_add(x, y) : quantity_sub(x, y));
		struct str text = arena_str(e->a, buf_str(&b));
		buf_fini(&b);
		return (struct cel_value){ .type = CEL_QUANTITY, .s = text };
	}
	if (str_is(f, "sign"))
		return cel_int(quantity_sign(x));
	if (str_is(f, "asInteger"))
		return cel_int(quantity_value(x));
	if (str_is(f, "isInteger"))
		return cel_bool(x.nano % NS == 0);
	if (str_is(f, "asApproximateFloat"))
		return (struct cel_value){ .type = CEL_DOUBLE, .d = quantity_double(x) };
	return no_overload(e, n, &args[0]);
}

static struct cel_value time_call(struct cel_eval *e, const struct cel_node *n,
				  const struct cel_value *v)
{
	bool span = v->type == CEL_DURATION;
	int64_t sec = v->i / NS - (v->i % NS < 0 && !span), day = sec / 86400 - (sec % 86400 < 0);
	int64_t in_day = sec - day * 86400;
	struct civil c = civil_of_days(span ? 0 : day);
	struct str f = n->name;
	if (str_is(f, "getHours"))
		return cel_int(span ? sec / 3600 : in_day / 3600);
	if (str_is(f, "getMinutes"))
		return cel_int(span ? sec / 60 : in_day / 60 % 60);
	if (str_is(f, "getSeconds"))
		return cel_int(span ? sec : in_day % 60);
	if (str_is(f, "getMilliseconds"))
		return cel_int(span ? v->i / 1000000 : (v->i - sec * NS) / 1000000);
	if (!span && str_is(f, "getFullYear"))
		return cel_int(c.year);
	if (!span && str_is(f, "getMonth"))
		return cel_int(c.month - 1);
	if (!span && str_is(f, "getDate"))
		return cel_int(c.day);
	return no_overload(e, n, v);
}

static struct cel_value optional_call(struct cel_eval *e, const struct cel_node *n,
				      const struct cel_value *args)
{
	if (str_is(n->name, "hasValue"))
		return cel_bool(args[0].some != NULL);
	if (str_is(n->name, "orValue"))
		return args[0].some ? *args[0].some : args[1];
	if (str_is(n->name, "value"))
		return args[0].some ? *args[0].some : cel_error(e, "optional.none() dereference");
	return no_overload(e, n, &args[0]);
}

static struct cel_value plain_call(struct cel_eval *e, const struct cel_node *n,
				   const struct cel_value *args, bool *ret_known)
{
	struct str f = n->name;
	*ret_known = true;
	if (str_is(f, "int"))
		return to_int(e, n, args);
	if (str_is(f, "uint"))
		return to_uint(e, n, args);
	if (str_is(f, "double"))
		return to_double(e, n, args);
	if (str_is(f, "string"))
		return cel_to_string(e, args);
	if (str_is(f, "dyn"))
		return args[0];
	if (str_is(f, "type"))
		return (struct cel_value){ .type = CEL_TYPE, .i = args[0].type };
	if (str_is(f, "bytes") && (args[0].type == CEL_STRING || args[0].type == CEL_BYTES))
		return (struct cel_value){ .type = CEL_BYTES, .s = args[0].s };
	if (str_is(f, "bool") && args[0].type == CEL_BOOL)
		return args[0];
	if (str_is(f, "bool") && args[0].type == CEL_STRING &&
	    (str_is(args[0].s, "true") || str_is(args[0].s, "false")))
		return cel_bool(str_is(args[0].s, "true"));
	if (str_is(f, "duration") || str_is(f, "timestamp"))
		return to_time(e, n, args);
	if (str_is(f, "quantity") || str_is(f, "isQuantity"))
		return to_quantity(e, n, args);
	if (str_starts(f, STR("sets.")))
		return sets_call(e, n, args);
	if (str_starts(f, STR("math.")))
		return n->len == 1 && args[0].type == CEL_LIST
			       ? list_extreme(e, NULL, cel_len(args), args,
					      str_is(f, "math.greatest"))
			       : list_extreme(e, args, n->len, NULL, str_is(f, "math.greatest"));
	*ret_known = false;
	return (struct cel_value){ 0 };
}

static struct cel_value optional_of(struct cel_eval *e, const struct cel_node *n,
				    const struct cel_value *args)
{
	struct cel_value *v = NULL;
	if (n->len) {
		v = arena_new(e->a, struct cel_value, 1);
		*v = args[0];
	}
	return (struct cel_value){ .type = CEL_OPTIONAL, .some = v };
}

struct cel_value cel_call(struct cel_eval *e, const struct cel_node *n,
			  const struct cel_value *args)
{
	bool known = false;
	if (str_starts(n->name, STR("optional.")))
		return optional_of(e, n, args);
	struct cel_value v =
		n->op == OP_CALL ? plain_call(e, n, args, &known) : (struct cel_value){ 0 };
	if (known)
		return v;
	switch (args[0].type) {
	case CEL_STRING:
		v = cel_string_call(e, n, args, &known);
		return known ? v : no_overload(e, n, &args[0]);
	case CEL_BYTES:
		if (str_is(n->name, "size"))
			return cel_int((int64_t)args[0].s.len);
		break;
	case CEL_LIST:
	case CEL_MAP:
		return list_call(e, n, args);
	case CEL_QUANTITY:
		return quantity_call(e, n, args);
	case CEL_DURATION:
	case CEL_TIMESTAMP:
		return time_call(e, n, args);
	case CEL_OPTIONAL:
		return optional_call(e, n, args);
	case CEL_ERROR:
	case CEL_NULL:
	case CEL_BOOL:
	case CEL_INT:
	case CEL_UINT:
	case CEL_DOUBLE:
	case CEL_TYPE:
		break;
	}
	return no_overload(e, n, &args[0]);
}
