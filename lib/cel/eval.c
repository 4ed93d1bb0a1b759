/* Evaluation of the tree. */
#include "cel/cel_priv.h"

static struct cel_value node_eval(struct cel_eval *e, const struct cel_node *n)
{
	return cel_node_eval(e, n);
}

static struct cel_value wrong_bool(struct cel_eval *e, const struct cel_value *v)
{
	if (v->type == CEL_ERROR)
		return *v;
	return cel_error(e, "no such overload: %s where a bool is needed", cel_type_name(v->type));
}

/* && and || : what one side says for certain stands, whatever became of the other. */
static struct cel_value logic(struct cel_eval *e, const struct cel_node *n, bool decides)
{
	struct cel_value x = node_eval(e, n->args[0]);
	if (x.type == CEL_BOOL && x.b == decides)
		return x;
	char msg[sizeof(e->msg)];
	memcpy(msg, e->msg, sizeof(msg));
	struct cel_value y = node_eval(e, n->args[1]);
	if (y.type == CEL_BOOL && (y.b == decides || x.type == CEL_BOOL))
		return y;
	if (x.type == CEL_BOOL)
		return wrong_bool(e, &y);
	if (x.type == CEL_ERROR)
		memcpy(e->msg, msg, sizeof(msg));
	return wrong_bool(e, &x);
}

static struct cel_value make_list(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_list *list = arena_new(e->a, struct cel_list, 1);
	struct cel_value *items = arena_new(e->a, struct cel_value, n->len);
	for (size_t i = 0; i < n->len; i++) {
		items[i] = node_eval(e, n->args[i]);
		if (items[i].type == CEL_ERROR)
			return items[i];
	}
	*list = (struct cel_list){ items, n->len };
	return (struct cel_value){ .type = CEL_LIST, .list = list };
}

static struct cel_value make_map(struct cel_eval *e, const struct cel_node *n)
{
	size_t len = n->len / 2;
	struct cel_map *map = arena_new(e->a, struct cel_map, 1);
	struct cel_value *keys = arena_new(e->a, struct cel_value, len);
	struct cel_value *values = arena_new(e->a, struct cel_value, len);
	for (size_t i = 0; i < len; i++) {
		keys[i] = node_eval(e, n->args[2 * i]);
		if (keys[i].type == CEL_ERROR)
			return keys[i];
		values[i] = node_eval(e, n->args[2 * i + 1]);
		if (values[i].type == CEL_ERROR)
			return values[i];
	}
	*map = (struct cel_map){ keys, values, len };
	return (struct cel_value){ .type = CEL_MAP, .map = map };
}

static struct cel_value some(struct cel_eval *e, const struct cel_value *v)
{
	struct cel_value *copy = NULL;
	if (v) {
		copy = arena_new(e->a, struct cel_value, 1);
		*copy = *v;
	}
	return (struct cel_value){ .type = CEL_OPTIONAL, .some = copy };
}

static struct cel_value select_member(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value x = node_eval(e, n->args[0]), v;
	bool optional = n->op == OP_OPT_SELECT;
	if (x.type == CEL_OPTIONAL) {
		if (!x.some)
			return n->op == OP_HAS ? cel_bool(false) : x;
		x = *x.some;
		optional = n->op != OP_HAS;
	}
	if (x.type == CEL_ERROR)
		return x;
	if (x.type != CEL_MAP)
		return cel_error(e, "no such overload: .%.*s of %s", STR_ARG(n->name),
				 cel_type_name(x.type));
	if (!cel_pay(e, 1 + cel_len(&x) / 16))
		return (struct cel_value){ 0 };
	bool found = cel_member(&x, n->name, &v, e);
	if (n->op == OP_HAS)
		return cel_bool(found);
	if (optional)
		return some(e, found ? &v : NULL);
	return found ? v : cel_error(e, "no such key: %.*s", STR_ARG(n->name));
}

static bool index_of(const struct cel_value *v, int64_t *ret)
{
	if (v->type == CEL_INT)
		*ret = v->i;
	else if (v->type == CEL_UINT && v->u <= INT64_MAX)
		*ret = (int64_t)v->u;
	else if (v->type == CEL_DOUBLE && v->d == (double)(int32_t)v->d)
		*ret = (int64_t)v->d;
	else
		return false;
	return true;
}

static struct cel_value select_index(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value x = node_eval(e, n->args[0]), v = { 0 };
	bool optional = n->op == OP_OPT_INDEX;
	int64_t at = 0;
	if (x.type == CEL_OPTIONAL) {
		if (!x.some)
			return x;
		x = *x.some;
		optional = true;
	}
	if (x.type == CEL_ERROR)
		return x;
	struct cel_value i = node_eval(e, n->args[1]);
	if (i.type == CEL_ERROR)
		return i;
	bool found = false;
	if (x.type == CEL_MAP) {
		found = cel_pay(e, 1 + cel_len(&x) / 16) && cel_find(e, &x, &i, &v);
	} else if (x.type == CEL_LIST && index_of(&i, &at)) {
		found = at >= 0 && (uint64_t)at < cel_len(&x);
		if (found)
			v = cel_item(&x, (size_t)at);
	} else {
		return cel_error(e, "no such overload: %s[%s]", cel_type_name(x.type),
				 cel_type_name(i.type));
	}
	if (e->spent)
		return (struct cel_value){ 0 };
	if (optional)
		return some(e, found ? &v : NULL);
	if (found)
		return v;
	if (x.type == CEL_LIST)
		return cel_error(e, "index out of bounds: %lld", (long long)at);
	struct cel_value key = cel_to_string(e, &i);
	struct str name = key.type == CEL_STRING ? str_sub(key.s, 0, 100) : STR("?");
	return cel_error(e, "no such key: %.*s", STR_ARG(name));
}

/* ---- macros ---- */

static struct cel_value each(const struct cel_value *range, size_t i)
{
	return range->type == CEL_MAP ? cel_key(range, i) : cel_item(range, i);
}

static struct cel_value collect(struct cel_eval *e, const struct cel_node *n,
				const struct cel_value *range)
{
	size_t len = cel_len(range), kept = 0;
	struct cel_list *list = arena_new(e->a, struct cel_list, 1);
	struct cel_value *items = arena_new(e->a, struct cel_value, len);
	bool filtered = n->op == OP_FILTER || n->len == 3;
	for (size_t i = 0; i < len; i++) {
		e->vars[n->slot] = each(range, i);
		struct cel_value keep = e->vars[n->slot], item = keep;
		if (filtered) {
			keep = node_eval(e, n->args[1]);
			if (keep.type != CEL_BOOL)
				return wrong_bool(e, &keep);
			if (!keep.b)
				continue;
		}
		if (n->op == OP_MAP_MACRO)
			item = node_eval(e, n->args[n->len - 1]);
		if (item.type == CEL_ERROR)
			return item;
		items[kept++] = item;
	}
	*list = (struct cel_list){ items, kept };
	return (struct cel_value){ .type = CEL_LIST, .list = list };
}

static struct cel_value count(struct cel_eval *e, const struct cel_node *n,
			      const struct cel_value *range)
{
	size_t len = cel_len(range), found = 0;
	struct cel_value wrong = { .type = CEL_BOOL };
	for (size_t i = 0; i < len; i++) {
		e->vars[n->slot] = each(range, i);
		struct cel_value v = node_eval(e, n->args[1]);
		if (e->spent)
			return v;
		if (v.type != CEL_BOOL)
			wrong = wrong_bool(e, &v);
		else if (n->op == OP_ALL && !v.b)
			return v;
		else if (n->op == OP_EXISTS && v.b)
			return v;
		else
			found += v.b;
	}
	if (wrong.type == CEL_ERROR)
		return wrong;
	return cel_bool(n->op == OP_ALL || (n->op == OP_EXISTS_ONE && found == 1));
}

static struct cel_value macro(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value range = node_eval(e, n->args[0]);
	if (range.type == CEL_ERROR)
		return range;
	if (range.type != CEL_LIST && range.type != CEL_MAP)
		return cel_error(e, "no such overload: a macro over %s", cel_type_name(range.type));
	struct cel_value saved = e->vars[n->slot];
	bool collects = n->op == OP_FILTER || n->op == OP_MAP_MACRO;
	struct cel_value v = { 0 };
	/* What it builds is paid for before it is allocated. */
	if (cel_pay(e, collects ? cel_len(&range) : 1))
		v = collects ? collect(e, n, &range) : count(e, n, &range);
	e->vars[n->slot] = saved;
	return v;
}

/* ---- operators ---- */

static struct cel_value contains(struct cel_eval *e, const struct cel_value *x,
				 const struct cel_value *in)
{
	struct cel_value v;
	if (in->type == CEL_MAP)
		return cel_bool(cel_find(e, in, x, &v));
	if (in->type != CEL_LIST)
		return cel_error(e, "no such overload: in %s", cel_type_name(in->type));
	size_t len = cel_len(in);
	for (size_t i = 0; i < len && cel_pay(e, 1); i++) {
		v = cel_item(in, i);
		if (cel_equal(e, x, &v, 0))
			return cel_bool(true);
	}
	return e->spent ? (struct cel_value){ 0 } : cel_bool(false);
}

static struct cel_value ordered(struct cel_eval *e, enum cel_op op, const struct cel_value *x,
				const struct cel_value *y)
{
	int d = cel_compare(x, y);
	if (x->type == CEL_STRING && !cel_pay(e, x->s.len / 10))
		return (struct cel_value){ 0 };
	if (d == 3)
		return cel_error(e, "no such overload: %s and %s cannot be compared",
				 cel_type_name(x->type), cel_type_name(y->type));
	if (d == 2)
		return cel_bool(false);
	return cel_bool(op == OP_LT ? d < 0 : op == OP_LE ? d <= 0 : op == OP_GT ? d > 0 : d >= 0);
}

static struct cel_value binary(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value x = node_eval(e, n->args[0]);
	if (x.type == CEL_ERROR)
		return x;
	struct cel_value y = node_eval(e, n->args[1]);
	if (y.type == CEL_ERROR)
		return y;
	if (n->op == OP_EQ || n->op == OP_NE) {
		bool same = cel_equal(e, &x, &y, 0);
		return e->spent ? (struct cel_value){ 0 } : cel_bool(same == (n->op == OP_EQ));
	}
	if (n->op == OP_IN)
		return contains(e, &x, &y);
	if (n->op == OP_LT || n->op == OP_LE || n->op == OP_GT || n->op == OP_GE)
		return ordered(e, n->op, &x, &y);
	return cel_arith(e, n->op, &x, &y);
}

static struct cel_value negated(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value x = node_eval(e, n->args[0]);
	if (n->op == OP_NOT)
		return x.type == CEL_BOOL ? cel_bool(!x.b) : wrong_bool(e, &x);
	struct cel_value zero = cel_int(0);
	if (x.type == CEL_DOUBLE)
		return (struct cel_value){ .type = CEL_DOUBLE, .d = -x.d };
	if (x.type == CEL_DURATION)
		zero.type = CEL_DURATION;
	if (x.type == CEL_INT || x.type == CEL_DURATION)
		return cel_arith(e, OP_SUB, &zero, &x);
	return x.type == CEL_ERROR ? x
				   : cel_error(e, "no such overload: -%s", cel_type_name(x.type));
}

static struct cel_value call(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value *args = arena_new(e->a, struct cel_value, n->len);
	for (size_t i = 0; i < n->len; i++) {
		args[i] = node_eval(e, n->args[i]);
		if (args[i].type == CEL_ERROR)
			return args[i];
	}
	return cel_call(e, n, args);
}

struct cel_value cel_node_eval(struct cel_eval *e, const struct cel_node *n)
{
	struct cel_value v;
	if (!cel_pay(e, 1))
		return (struct cel_value){ 0 };
	switch (n->op) {
	case OP_LITERAL:
		return n->literal;
	case OP_VAR:
		return e->vars[n->slot];
	case OP_LIST:
		return make_list(e, n);
	case OP_MAP:
		return make_map(e, n);
	case OP_SELECT:
	case OP_OPT_SELECT:
	case OP_HAS:
		return select_member(e, n);
	case OP_INDEX:
	case OP_OPT_INDEX:
		return select_index(e, n);
	case OP_CALL:
	case OP_METHOD:
		return call(e, n);
	case OP_NOT:
	case OP_NEGATE:
		return negated(e, n);
	case OP_AND:
		return logic(e, n, false);
	case OP_OR:
		return logic(e, n, true);
	case OP_TERNARY:
		v = node_eval(e, n->args[0]);
		return v.type == CEL_BOOL ? node_eval(e, n->args[v.b ? 1 : 2]) : wrong_bool(e, &v);
	case OP_ALL:
	case OP_EXISTS:
	case OP_EXISTS_ONE:
	case OP_FILTER:
	case OP_MAP_MACRO:
		return macro(e, n);
	case OP_EQ:
	case OP_NE:
	case OP_LT:
	case OP_LE:
	case OP_GT:
	case OP_GE:
	case OP_IN:
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_DIV:
	case OP_MOD:
		break;
	}
	return binary(e, n);
}

int cel_eval(const struct cel *c, struct arena *a, const struct cel_value *vars, uint64_t *budget,
	     struct cel_value *ret, struct error *err)
{
	struct cel_eval e = { .a = a, .budget = *budget };
	for (size_t i = 0; i < c->vars_len; i++)
		e.vars[i] = vars[i];
	struct cel_value v = cel_node_eval(&e, c->root);
	*budget = e.spent ? 0 : e.budget;
	if (e.spent)
		return error_set(err, ERR_LIMIT, "the evaluation costs more than is allowed");
	if (v.type == CEL_ERROR)
		return error_set(err, ERR_INVALID, "%s", e.msg);
	*ret = v;
	return 0;
}
