/* Functions of labels and of order. */
#include "base/mem.h"
#include "regex/regex.h"
#include "telemetry/promql_priv.h"

#include <stdlib.h>

struct relabelling {
	struct eval *e;
	const struct node *n;
	struct regex *re;
	struct map seen; /* key → bool[grid.n]: steps that have this set of labels */
	struct buf text, key;
	series_fn fn;
	void *arg;
};

/* The labels with `name` set, or without it when the value is empty. */
static struct labels with_label(struct arena *a, struct labels l, struct str name, struct str value)
{
	struct label *v = arena_new(a, struct label, l.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < l.len; i++)
		if (!str_eq(l.v[i].name, name))
			v[n++] = l.v[i];
	if (value.len)
		v[n++] = (struct label){ name, arena_str(a, value) };
	for (size_t i = n; i-- > 1 && str_cmp(v[i].name, v[i - 1].name) < 0;) {
		struct label x = v[i];
		v[i] = v[i - 1];
		v[i - 1] = x;
	}
	return (struct labels){ v, n };
}

/* Two series must not become the same one in any step. */
static int check_unique(struct relabelling *x, const struct series *s)
{
	buf_clear(&x->key);
	labels_key(s->labels, &x->key);
	buf_addc(&x->key, '.');
	bool *there = map_get(&x->seen, buf_str(&x->key));
	if (!there) {
		int rc = eval_bytes(x->e, x->e->grid.n);
		if (rc)
			return rc;
		there = arena_new(x->e->arena, bool, x->e->grid.n);
		(void)map_set(&x->seen, buf_str(&x->key), there);
	}
	for (size_t i = 0; i < x->e->grid.n; i++) {
		if (is_absent(s->v[i]))
			continue;
		if (there[i])
			return error_set(x->e->err, ERR_INVALID,
					 "vector cannot contain metrics with the same labelset");
		there[i] = true;
	}
	return 0;
}

static int pass(struct relabelling *x, const struct series *s, struct str name, struct str value)
{
	struct series out = *s;
	out.labels = with_label(x->e->arena, s->labels, name, value);
	out.nameless = s->nameless && !str_eq(name, LABELS_NAME);
	int rc = check_unique(x, &out);
	return rc ? rc : x->fn(x->arg, &out);
}

static int replace_one(void *arg, const struct series *s)
{
	struct relabelling *x = arg;
	struct str groups[REGEX_GROUPS_MAX];
	struct str value = labels_get(s->labels, x->n->args[3]->string);
	int found = regex_exec(x->re, value, 0, groups, REGEX_GROUPS_MAX);
	if (found < 0)
		return error_set(x->e->err, ERR_LIMIT,
				 "the regular expression of label_replace() takes too long");
	if (!found) {
		int rc = check_unique(x, s);
		return rc ? rc : x->fn(x->arg, s);
	}
	buf_clear(&x->text);
	regex_expand(x->re, x->n->args[2]->string, groups, regex_groups(x->re) + 1, &x->text);
	return pass(x, s, x->n->args[1]->string, buf_str(&x->text));
}

static int destination(struct eval *e, const struct node *n)
{
	if (labels_name_valid(n->args[1]->string))
		return 0;
	return error_set(e->err, ERR_INVALID, "invalid destination label name in %s(): %.*s",
			 n->func->name, STR_ARG(str_sub(n->args[1]->string, 0, 100)));
}

static int relabel(struct relabelling *x, series_fn each)
{
	int rc = eval_vector(x->e, x->n->args[0], each, x);
	map_fini(&x->seen);
	buf_fini(&x->text);
	buf_fini(&x->key);
	regex_free(x->re);
	return rc;
}

VECTOR_FUNCTION(label_replace)
{
	struct relabelling x = { .e = e, .n = n, .fn = fn, .arg = arg };
	struct error why = { 0 };
	int rc = destination(e, n);
	if (rc)
		return rc;
	x.re = regex_compile(n->args[4]->string, REGEX_FULL, &why);
	if (!x.re)
		return error_set(e->err, ERR_INVALID,
				 "invalid regular expression in label_replace(): %s", why.msg);
	return relabel(&x, replace_one);
}

static int join_one(void *arg, const struct series *s)
{
	struct relabelling *x = arg;
	buf_clear(&x->text);
	for (size_t i = 3; i < x->n->args_len; i++) {
		if (i > 3)
			buf_add_str(&x->text, x->n->args[2]->string);
		buf_add_str(&x->text, labels_get(s->labels, x->n->args[i]->string));
	}
	return pass(x, s, x->n->args[1]->string, buf_str(&x->text));
}

VECTOR_FUNCTION(label_join)
{
	struct relabelling x = { .e = e, .n = n, .fn = fn, .arg = arg };
	int rc = destination(e, n);
	for (size_t i = 3; !rc && i < n->args_len; i++)
		if (!labels_name_valid(n->args[i]->string))
			rc = error_set(e->err, ERR_INVALID,
				       "invalid source label name in label_join(): %.*s",
				       STR_ARG(str_sub(n->args[i]->string, 0, 100)));
	return rc ? rc : relabel(&x, join_one);
}

/* ---- order: of instant queries alone ---- */

static int by_value(const void *a, const void *b)
{
	double x = ((const struct series *)a)->v[0], y = ((const struct series *)b)->v[0];
	if (x != x || y != y)
		return (x != x) - (y != y);
	return x < y ? -1 : x > y;
}

static int by_value_desc(const void *a, const void *b)
{
	double x = ((const struct series *)a)->v[0], y = ((const struct series *)b)->v[0];
	if (x != x || y != y)
		return (x != x) - (y != y);
	return x > y ? -1 : x < y;
}

static int emit(struct collected *c, series_fn fn, void *arg)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < c->len; i++)
		rc = fn(arg, &c->v[i]);
	return rc;
}

static int sort_by(struct eval *e, const struct node *n, int (*cmp)(const void *, const void *),
		   series_fn fn, void *arg)
{
	struct collected c;
	if (e->grid.n > 1)
		return eval_vector(e, n->args[0], fn, arg);
	int rc = eval_collect(e, n->args[0], &c);
	if (!rc && c.len)
		qsort(c.v, c.len, sizeof(*c.v), cmp);
	e->ordered = true;
	return rc ? rc : emit(&c, fn, arg);
}

VECTOR_FUNCTION(sort)
{
	return sort_by(e, n, by_value, fn, arg);
}

VECTOR_FUNCTION(sort_desc)
{
	return sort_by(e, n, by_value_desc, fn, arg);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* As people order names: runs of digits by their number. */
static int natural(struct str a, struct str b)
{
	size_t i = 0, k = 0;
	while (i < a.len && k < b.len) {
		if (!is_digit(a.p[i]) || !is_digit(b.p[k])) {
			if (a.p[i] != b.p[k])
				return (uint8_t)a.p[i] < (uint8_t)b.p[k] ? -1 : 1;
			i++;
			k++;
			continue;
		}
		size_t ai = i, bk = k;
		while (i < a.len && is_digit(a.p[i]))
			i++;
		while (k < b.len && is_digit(b.p[k]))
			k++;
		while (ai < i && a.p[ai] == '0')
			ai++;
		while (bk < k && b.p[bk] == '0')
			bk++;
		if (i - ai != k - bk)
			return i - ai < k - bk ? -1 : 1;
		int c = i > ai ? memcmp(a.p + ai, b.p + bk, i - ai) : 0;
		if (c)
			return c;
	}
	return (a.len - i > b.len - k) - (a.len - i < b.len - k);
}

static int by_labels(struct labels a, struct labels b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int c = str_cmp(a.v[i].name, b.v[i].name);
		if (!c)
			c = str_cmp(a.v[i].value, b.v[i].value);
		if (c)
			return c;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

static bool before(const struct node *n, const struct series *a, const struct series *b, bool desc)
{
	for (size_t i = 1; i < n->args_len; i++) {
		struct str name = n->args[i]->string;
		int c = natural(labels_get(a->labels, name), labels_get(b->labels, name));
		if (c)
			return desc ? c > 0 : c < 0;
	}
	int c = by_labels(a->labels, b->labels);
	return desc ? c > 0 : c < 0;
}

/* Merges sorted halves: qsort would have no way to know the names. */
static void merge_sort(const struct node *n, struct series *v, struct series *tmp, size_t len,
		       bool desc)
{
	if (len < 2)
		return;
	size_t half = len / 2, i = 0, k = half, out = 0;
	merge_sort(n, v, tmp, half, desc);
	merge_sort(n, v + half, tmp, len - half, desc);
	while (i < half && k < len)
		tmp[out++] = before(n, &v[k], &v[i], desc) ? v[k++] : v[i++];
	while (i < half)
		tmp[out++] = v[i++];
	memcpy(v, tmp, out * sizeof(*v));
}

static int sort_labels(struct eval *e, const struct node *n, bool desc, series_fn fn, void *arg)
{
	struct collected c;
	if (e->grid.n > 1)
		return eval_vector(e, n->args[0], fn, arg);
	int rc = eval_collect(e, n->args[0], &c);
	if (rc)
		return rc;
	merge_sort(n, c.v, arena_new(e->arena, struct series, c.len + 1), c.len, desc);
	e->ordered = true;
	return emit(&c, fn, arg);
}

VECTOR_FUNCTION(sort_by_label)
{
	return sort_labels(e, n, false, fn, arg);
}

VECTOR_FUNCTION(sort_by_label_desc)
{
	return sort_labels(e, n, true, fn, arg);
}
