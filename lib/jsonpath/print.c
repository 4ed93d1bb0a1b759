#include "jsonpath/jsonpath_priv.h"

#include <stdlib.h>

/* ---- values as kubectl prints them ---- */

/* Go's encoding/json keeps its output safe inside HTML. */
static void print_quoted(struct buf *out, struct str s)
{

	struct buf plain = { 0 };
	json_write_str(&plain, s);
	for (size_t i = 0; i < plain.len; i++) {
		struct str rest = str_n(plain.p + i, plain.len - i);
		bool line = str_starts(rest, STR("\xE2\x80\xA8"));
		if (plain.p[i] == '<' || plain.p[i] == '>' || plain.p[i] == '&') {
			buf_addf(out, "\\u%04x", (unsigned char)plain.p[i]);
		} else if (line || str_starts(rest, STR("\xE2\x80\xA9"))) {
			buf_adds(out, line ? "\\u2028" : "\\u2029");
			i += 2;
		} else {
			buf_addc(out, plain.p[i]);
		}
	}
	buf_fini(&plain);
}

static int cmp_member(const void *pa, const void *pb)
{
	const struct json_member *const *a = pa;
	const struct json_member *const *b = pb;
	return str_cmp(json_str(&(*a)->key), json_str(&(*b)->key));
}

static void print_json(struct arena *a, struct buf *out, const struct json *j);

/* Members in the order of their names, as a map of Go is written. */
static void print_object(struct arena *a, struct buf *out, const struct json *j)
{
	const struct json_member **order = arena_new(a, const struct json_member *, j->len);
	for (uint32_t i = 0; i < j->len; i++)
		order[i] = &j->members[i];
	qsort((void *)order, j->len, sizeof(*order), cmp_member);
	buf_addc(out, '{');
	for (uint32_t i = 0; i < j->len; i++) {
		if (i)
			buf_addc(out, ',');
		print_quoted(out, json_str(&order[i]->key));
		buf_addc(out, ':');
		print_json(a, out, &order[i]->value);
	}
	buf_addc(out, '}');
}

static void print_json(struct arena *a, struct buf *out, const struct json *j)
{
	if (j->type == JSON_OBJECT) {
		print_object(a, out, j);
	} else if (j->type == JSON_STRING) {
		print_quoted(out, json_str(j));
	} else if (j->type == JSON_ARRAY) {
		buf_addc(out, '[');
		for (uint32_t i = 0; i < j->len; i++) {
			if (i)
				buf_addc(out, ',');
			print_json(a, out, &j->items[i]);
		}
		buf_addc(out, ']');
	} else {
		json_write(out, j);
	}
}

static void print_value(struct arena *a, struct buf *out, const struct json *j)
{
	if (j->type == JSON_STRING)
		buf_add_str(out, json_str(j));
	else if (j->type == JSON_DOUBLE)
		json_write_double_go(out, j->d);
	else
		print_json(a, out, j);
}

/* ---- templates ---- */

static int print_parts(struct eval *e, const struct part *parts, const struct json *at,
		       struct buf *out)
{
	for (const struct part *p = parts; p; p = p->next) {
		if (p->type == PART_TEXT) {
			buf_add_str(out, p->text);
			continue;
		}
		struct values in = { &at, 1, 1 };
		struct values found = { 0 };
		int rc = jsonpath_eval(e, p->steps, &in, &found);
		for (size_t i = 0; i < found.len && !rc; i++) {
			if (p->type == PART_RANGE) {
				rc = print_parts(e, p->body, found.v[i], out);
				continue;
			}
			if (i)
				buf_addc(out, ' ');
			print_value(e->arena, out, found.v[i]);
		}
		if (rc)
			return rc;
	}
	return 0;
}

int jsonpath_print(const struct jsonpath *p, struct arena *scratch, const struct json *root,
		   struct buf *out, struct error *err)
{
	static const struct json null = { 0 };
	struct eval e = { .arena = scratch, .err = err, .allow_missing = p->allow_missing };
	size_t keep = out->len;
	int rc = print_parts(&e, p->parts, root ? root : &null, out);
	if (rc)
		out->len = keep;
	return rc;
}

int jsonpath_find(const struct jsonpath *p, struct arena *a, const struct json *root,
		  struct jsonpath_results *ret, struct error *err)
{
	static const struct json null = { 0 };
	struct eval e = { .arena = a, .err = err, .allow_missing = p->allow_missing };
	const struct json *at = root ? root : &null;
	const struct part *part = p->parts;
	while (part && part->type != PART_EXPR)
		part = part->next;
	struct values found = { 0 };
	if (part) {
		const struct json **one = arena_new(a, const struct json *, 1);
		one[0] = at;
		struct values in = { one, 1, 1 };
		int rc = jsonpath_eval(&e, part->steps, &in, &found);
		if (rc)
			return rc;
	}
	ret->v = found.v;
	ret->len = found.len;
	return 0;
}
