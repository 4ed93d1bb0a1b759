#include "jsonpath/jsonpath_priv.h"

#include <assert.h>

static int add(struct eval *e, struct values *to, const struct json *j)
{
	if (++e->results > JSONPATH_RESULTS_MAX)
		return error_set(e->err, ERR_TOO_LARGE, "jsonpath: more than %d values on the way",
				 JSONPATH_RESULTS_MAX);
	if (to->len == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 8;
		const struct json **v = arena_new(e->arena, const struct json *, cap);
		if (to->len)
			memcpy((void *)v, (const void *)to->v, to->len * sizeof(*v));
		to->v = v;
		to->cap = cap;
	}
	to->v[to->len++] = j;
	return 0;
}

static const struct json *child_at(const struct json *j, uint32_t i)
{
	return j->type == JSON_OBJECT ? &j->members[i].value : &j->items[i];
}

static int step_field(struct eval *e, const struct step *s, const struct values *in,
		      struct values *out)
{
	for (size_t i = 0; i < in->len; i++) {
		const struct json *v = json_get(in->v[i], s->field);
		int rc = v ? add(e, out, v) : 0;
		if (rc)
			return rc;
	}
	if (in->len && !out->len && !e->allow_missing)
		return error_set(e->err, ERR_NOT_FOUND, "%.*s is not found", STR_ARG(s->field));
	return 0;
}

static int step_wildcard(struct eval *e, const struct values *in, struct values *out)
{
	for (size_t i = 0; i < in->len; i++) {
		for (uint32_t k = 0; k < json_len(in->v[i]); k++) {
			int rc = add(e, out, child_at(in->v[i], k));
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* Every container that has content, parents before children. */
static int descend(struct eval *e, const struct json *j, struct values *out)
{
	if (!json_len(j))
		return 0;
	int rc = add(e, out, j);
	for (uint32_t k = 0; k < j->len && !rc; k++)
		rc = descend(e, child_at(j, k), out);
	return rc;
}

static int out_of_bounds(struct eval *e, int64_t index, int64_t len)
{
	return error_set(e->err, ERR_BAD_REQUEST,
			 "array index out of bounds: index %lld, length %lld", (long long)index,
			 (long long)len);
}

static int slice_one(struct eval *e, const struct slice *s, const struct json *j,
		     struct values *out)
{
	if (j->type == JSON_NULL)
		return 0;
	if (j->type != JSON_ARRAY)
		return error_set(e->err, ERR_BAD_REQUEST, "%s is not array or slice",
				 json_type_name(j));
	int64_t len = j->len;
	int64_t from = s->has_from ? s->from : 0;
	int64_t to = s->single ? from + 1 : s->has_to ? s->to : len;
	from += from < 0 ? len : 0;
	to += to < 0 || (to == 0 && s->single) ? len : 0;
	if (from == to)
		return 0;
	if (from >= len || from < 0)
		return out_of_bounds(e, from, len);
	if (to > len || to < 0)
		return out_of_bounds(e, to - 1, len);
	if (from > to)
		return error_set(e->err, ERR_BAD_REQUEST,
				 "starting index %lld is greater than ending index %lld",
				 (long long)from, (long long)to);
	if (s->has_step && s->step <= 0)
		return error_set(e->err, ERR_BAD_REQUEST, "step must be > 0");
	for (int64_t i = from; i < to; i += s->has_step ? s->step : 1) {
		int rc = add(e, out, &j->items[i]);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- filters ---- */

static bool is_number(const struct json *j)
{
	return j->type == JSON_INT || j->type == JSON_UINT || j->type == JSON_DOUBLE;
}

static int incompatible(struct eval *e)
{
	return error_set(e->err, ERR_BAD_REQUEST, "incompatible types for comparison");
}

/* 1 or 0 */
static int compare(struct eval *e, const struct json *a, const struct json *b, struct str op)
{
	bool equal_only = str_is(op, "==") || str_is(op, "!=");
	int c = 0;
	if (a->type == JSON_NULL || b->type == JSON_NULL) {
		if (!equal_only)
			return incompatible(e);
		c = a->type != b->type;
	} else if (is_number(a) && is_number(b)) {
		double x = json_double(a, 0);
		double y = json_double(b, 0);
		c = json_equal(a, b) ? 0 : x < y ? -1 : 1;
		if (x == y && c && a->type == JSON_INT && b->type == JSON_INT)
			c = a->i < b->i ? -1 : 1;
	} else if (a->type == JSON_STRING && b->type == JSON_STRING) {
		c = str_cmp(json_str(a), json_str(b));
	} else if (a->type == JSON_BOOL && b->type == JSON_BOOL && equal_only) {
		c = a->b != b->b;
	} else {
		return incompatible(e);
	}
	if (str_is(op, "=="))
		return c == 0;
	if (str_is(op, "!="))
		return c != 0;
	if (str_is(op, "<"))
		return c < 0;
	if (str_is(op, "<="))
		return c <= 0;
	return str_is(op, ">") ? c > 0 : c >= 0;
}

/* 1 holds, 0 not, or an error */
static int holds(struct eval *e, const struct condition *cond, const struct json *item)
{
	struct values in = { &item, 1, 1 };
	struct values left = { 0 };
	struct values right = { 0 };
	int rc = jsonpath_eval(e, cond->left, &in, &left);
	if (!cond->right)
		return rc == ERR_TOO_LARGE ? rc : rc == 0 && left.len > 0;
	if (rc || !left.len)
		return rc;
	rc = jsonpath_eval(e, cond->right, &in, &right);
	if (rc || !right.len)
		return rc;
	if (left.len > 1 || right.len > 1)
		return error_set(e->err, ERR_BAD_REQUEST, "can only compare one element at a time");
	return compare(e, left.v[0], right.v[0], cond->op);
}

static int all_hold(struct eval *e, const struct condition *all, const struct json *item)
{
	int rc = 1;
	for (const struct condition *c = all; c && rc == 1; c = c->and_next)
		rc = holds(e, c, item);
	return rc;
}

static int passes(struct eval *e, const struct condition *any, const struct json *item)
{
	for (const struct condition *c = any; c; c = c->or_next) {
		int rc = all_hold(e, c, item);
		if (rc)
			return rc;
	}
	return 0;
}

static int filter_one(struct eval *e, const struct step *s, const struct json *j,
		      struct values *out)
{
	if (j->type == JSON_NULL)
		return 0;
	if (j->type != JSON_ARRAY)
		return error_set(e->err, ERR_BAD_REQUEST,
				 "%s is not array or slice and cannot be filtered",
				 json_type_name(j));
	for (uint32_t i = 0; i < j->len; i++) {
		int rc = passes(e, s->condition, &j->items[i]);
		rc = rc == 1 ? add(e, out, &j->items[i]) : rc;
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- steps ---- */

static int step_each(struct eval *e, const struct step *s, const struct values *in,
		     struct values *out)
{
	int rc = 0;
	for (size_t i = 0; i < in->len && !rc; i++) {
		if (s->type == STEP_SLICE)
			rc = slice_one(e, &s->slice, in->v[i], out);
		else if (s->type == STEP_FILTER)
			rc = filter_one(e, s, in->v[i], out);
		else
			rc = descend(e, in->v[i], out);
	}
	return rc;
}

static int step_union(struct eval *e, const struct step *s, const struct values *in,
		      struct values *out)
{
	int rc = 0;
	for (const struct alternative *a = s->alternatives; a && !rc; a = a->next) {
		struct values some = { 0 };
		rc = jsonpath_eval(e, a->steps, in, &some);
		for (size_t i = 0; i < some.len && !rc; i++)
			rc = add(e, out, some.v[i]);
	}
	return rc;
}

static int run_step(struct eval *e, const struct step *s, const struct values *in,
		    struct values *out)
{
	switch (s->type) {
	case STEP_LITERAL:
		return add(e, out, &s->literal);
	case STEP_FIELD:
		return step_field(e, s, in, out);
	case STEP_WILDCARD:
		return step_wildcard(e, in, out);
	case STEP_UNION:
		return step_union(e, s, in, out);
	case STEP_SLICE:
	case STEP_FILTER:
	case STEP_RECURSIVE:
		return step_each(e, s, in, out);
	}
	return 0;
}

int jsonpath_eval(struct eval *e, const struct step *steps, const struct values *in,
		  struct values *ret)
{
	struct values now = *in;
	for (const struct step *s = steps; s; s = s->next) {
		struct values out = { 0 };
		int rc = run_step(e, s, &now, &out);
		if (rc)
			return rc;
		now = out;
	}
	*ret = now;
	return 0;
}
