#include "base/mem.h"
#include "selector/label_priv.h"
#include "text/names.h"

#include <stdlib.h>

void label_build_init(struct label_build *b, struct arena *a)
{
	*b = (struct label_build){ .arena = a, .wrap = "", .code = ERR_BAD_REQUEST };
}

void label_build_fini(struct label_build *b)
{
	mem_free(b->reqs);
	mem_free(b->values);
	b->reqs = NULL;
	b->values = NULL;
}

static int invalid(const struct label_build *b, const char *where, struct str value,
		   const char *msg, struct error *err)
{
	return error_set(err, b->code, "%s%sInvalid value: \"%.*s\": %s", b->wrap, where,
			 (int)(value.len > 100 ? 100 : value.len), value.p ? value.p : "", msg);
}

static int check(const struct label_build *b, name_check_fn fn, const char *where, struct str value,
		 struct error *err)
{
	struct name_msgs msgs;
	return fn(value, &msgs) ? 0 : invalid(b, where, value, msgs.msg[0], err);
}

int label_build_begin(struct label_build *b, struct str key, struct error *err)
{
	if (b->len >= LABEL_SELECTOR_REQS_MAX)
		return error_set(err, b->code, "%smore than %d requirements", b->wrap,
				 LABEL_SELECTOR_REQS_MAX);
	int rc = check(b, name_check_qualified, "", key, err);
	if (rc)
		return rc;
	mem_grow(b->reqs, b->len, b->cap);
	b->reqs[b->len] = (struct label_req){ .key = key };
	b->values_len = 0;
	return 0;
}

int label_build_value(struct label_build *b, struct str value, struct error *err)
{
	if (b->values_total >= LABEL_SELECTOR_VALUES_MAX)
		return error_set(err, b->code, "%smore than %d values", b->wrap,
				 LABEL_SELECTOR_VALUES_MAX);
	int rc = check(b, name_check_label_value, "values: ", value, err);
	if (rc)
		return rc;
	mem_grow(b->values, b->values_len, b->values_cap);
	b->values[b->values_len++] = value.p ? value : STR("");
	b->values_total++;
	return 0;
}

static int cmp_str(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void sort_values(struct label_build *b)
{
	if (b->values_len < 2)
		return;
	qsort(b->values, b->values_len, sizeof(b->values[0]), cmp_str);
	size_t n = 1;
	for (size_t i = 1; i < b->values_len; i++) {
		if (!str_eq(b->values[i], b->values[n - 1]))
			b->values[n++] = b->values[i];
	}
	b->values_len = n;
}

int label_build_end(struct label_build *b, enum label_op op, struct error *err)
{
	struct label_req *r = &b->reqs[b->len];
	r->op = op;
	size_t n = b->values_len;
	bool exists = op == LABEL_EXISTS || op == LABEL_NOT_EXISTS;
	if (exists && n)
		return error_set(err, b->code,
				 "%svalues: Invalid value: values set must be empty for exists and "
				 "does not exist",
				 b->wrap);
	if ((op == LABEL_IN || op == LABEL_NOT_IN) && !n)
		return error_set(err, b->code,
				 "%svalues: Invalid value: for 'in', 'notin' operators, values set "
				 "can't be empty",
				 b->wrap);
	if ((op == LABEL_GT || op == LABEL_LT) && (n != 1 || !str_to_i64(b->values[0], &r->number)))
		return invalid(b, "values[0]: ", n ? b->values[0] : STR_NONE,
			       "for 'Gt', 'Lt' operators, the value must be an integer", err);
	sort_values(b);
	struct str *values = arena_new(b->arena, struct str, b->values_len);
	if (b->values_len)
		memcpy(values, b->values, b->values_len * sizeof(*values));
	r->values = values;
	r->values_len = b->values_len;
	b->len++;
	return 0;
}

/* By key; requirements on the same key in an order that depends on nothing but themselves. */
static int cmp_req(const void *pa, const void *pb)
{
	const struct label_req *a = pa;
	const struct label_req *b = pb;
	int c = str_cmp(a->key, b->key);
	if (c || a->op != b->op)
		return c ? c : (int)a->op - (int)b->op;
	for (size_t i = 0; i < a->values_len && i < b->values_len; i++) {
		c = str_cmp(a->values[i], b->values[i]);
		if (c)
			return c;
	}
	return (a->values_len > b->values_len) - (a->values_len < b->values_len);
}

void label_build_finish(struct label_build *b, struct label_selector *ret)
{
	struct label_req *reqs = arena_new(b->arena, struct label_req, b->len);
	if (b->len) {
		qsort(b->reqs, b->len, sizeof(*reqs), cmp_req);
		memcpy(reqs, b->reqs, b->len * sizeof(*reqs));
	}
	*ret = (struct label_selector){ .reqs = reqs, .reqs_len = b->len };
}
