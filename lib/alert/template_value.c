/* Values: truth, text, members, printf. */
#include "json/json.h"
#include "template_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 400, PAD_MAX = 1000 };

/* ---- truth and text ---- */

bool value_true(const struct template_value *v)
{
	switch (v->kind) {
	case TEMPLATE_NIL:
		return false;
	case TEMPLATE_BOOL:
		return v->b;
	case TEMPLATE_INT:
		return v->i != 0;
	case TEMPLATE_FLOAT:
		return v->d != 0;
	case TEMPLATE_STRING:
		return v->s.len > 0;
	case TEMPLATE_LIST:
		return v->len > 0;
	case TEMPLATE_MAP:
		return v->len > 0 || v->type == TEMPLATE_STRUCT;
	}
	return false;
}

struct str value_special(double d)
{
	return isnan(d) ? STR("NaN") : d > 0 ? STR("+Inf") : STR("-Inf");
}

void value_print(struct buf *out, const struct template_value *v)
{
	switch (v->kind) {
	case TEMPLATE_NIL:
		buf_adds(out, "<no value>");
		break;
	case TEMPLATE_BOOL:
		buf_adds(out, v->b ? "true" : "false");
		break;
	case TEMPLATE_INT:
		buf_add_i64(out, v->i);
		break;
	case TEMPLATE_FLOAT:
		if (isfinite(v->d))
			json_write_double_go(out, v->d);
		else
			buf_add_str(out, value_special(v->d));
		break;
	case TEMPLATE_STRING:
		buf_add_str(out, v->s);
		break;
	case TEMPLATE_LIST:
	case TEMPLATE_MAP:
		buf_adds(out, v->kind == TEMPLATE_MAP ? "map[" : "[");
		for (size_t i = 0; i < v->len && out->len <= TEMPLATE_OUT_MAX; i++) {
			if (i)
				buf_addc(out, ' ');
			if (v->kind == TEMPLATE_MAP) {
				buf_add_str(out, v->keys[i]);
				buf_addc(out, ':');
			}
			value_print(out, &v->v[i]);
		}
		buf_addc(out, ']');
	}
}

struct str value_taken(struct run *r, struct buf *b)
{
	struct str s = arena_str(r->a, buf_str(b));
	buf_fini(b);
	return s;
}

struct str value_text(struct run *r, const struct template_value *v)
{
	if (v->kind == TEMPLATE_STRING)
		return v->s;
	struct buf b = { 0 };
	value_print(&b, v);
	return value_taken(r, &b);
}

double value_number(struct run *r, const struct template_value *v)
{
	if (v->kind == TEMPLATE_FLOAT)
		return v->d;
	if (v->kind == TEMPLATE_INT)
		return (double)v->i;
	char *end = NULL;
	char *s = arena_printf(r->a, "%.*s", STR_ARG(value_text(r, v)));
	double d = strtod(s, &end);
	if (end == s || *end)
		(void)run_fail(r, "not a number: \"%.60s\"", s);
	return d;
}

struct template_value value_list(struct run *r, size_t len)
{
	struct template_value v = { .kind = TEMPLATE_LIST };
	v.v = arena_new(r->a, struct template_value, len);
	v.len = len;
	r->steps += len;
	return v;
}

/* ---- members and methods ---- */

const struct template_value *value_find(const struct template_value *v, struct str name)
{
	for (size_t i = 0; i < v->len; i++)
		if (str_eq(v->keys[i], name))
			return &v->v[i];
	return NULL;
}

static struct template_value pair(struct run *r, struct str name, struct template_value value)
{
	static const char *const keys[] = { "Name", "Value" };
	const struct template_value v[] = { template_string(name), value };
	return template_struct(r->a, 2, keys, v);
}

/* SortedPairs, Names, Values; alertname comes first, as in Alertmanager. */
static struct template_value kv_method(struct run *r, const struct template_value *v, char which)
{
	struct template_value all = value_list(r, v->len);
	size_t n = 0;
	for (int pass = which == 'P' ? 0 : 1; pass < 2; pass++)
		for (size_t i = 0; i < v->len; i++) {
			bool first = which == 'P' && str_is(v->keys[i], "alertname");
			if (first != (pass == 0))
				continue;
			all.v[n++] = which == 'P'   ? pair(r, v->keys[i], v->v[i])
				     : which == 'N' ? template_string(v->keys[i])
						    : v->v[i];
		}
	return all;
}

/* The alerts of a list that have the status. */
static struct template_value filtered(struct run *r, const struct template_value *v,
				      const char *status)
{
	struct template_value all = value_list(r, v->len);
	all.len = 0;
	for (size_t i = 0; i < v->len; i++) {
		const struct template_value *s =
			v->v[i].kind == TEMPLATE_MAP ? value_find(&v->v[i], STR("Status")) : NULL;
		if (s && s->kind == TEMPLATE_STRING && str_is(s->s, status))
			all.v[all.len++] = v->v[i];
	}
	return all;
}

struct template_value value_member(struct run *r, const struct template_value *v, struct str name)
{
	if (v->kind == TEMPLATE_LIST && (str_is(name, "Firing") || str_is(name, "Resolved")))
		return filtered(r, v, str_is(name, "Firing") ? "firing" : "resolved");
	if (v->kind == TEMPLATE_NIL)
		return run_fail(r, "nil data; no entry for key \"%.*s\"", STR_ARG(name));
	if (v->kind != TEMPLATE_MAP)
		return run_fail(r, "can't evaluate field %.*s", STR_ARG(name));
	if (v->type == TEMPLATE_KV) {
		if (str_is(name, "SortedPairs"))
			return kv_method(r, v, 'P');
		if (str_is(name, "Names"))
			return kv_method(r, v, 'N');
		if (str_is(name, "Values"))
			return kv_method(r, v, 'V');
	}
	const struct template_value *m = value_find(v, name);
	if (m)
		return *m;
	if (v->type != TEMPLATE_STRUCT)
		return template_string(STR(""));
	return run_fail(r, "can't evaluate field %.*s", STR_ARG(name));
}

struct template_value value_remove(struct run *r, const struct template_value *v,
				   const struct template_value *names)
{
	if (v->kind != TEMPLATE_MAP || v->type != TEMPLATE_KV || names->kind != TEMPLATE_LIST)
		return run_fail(r, "Remove wants the labels of an alert and a list of names");
	struct template_value m = *v;
	m.v = arena_new(r->a, struct template_value, v->len);
	m.keys = arena_new(r->a, struct str, v->len);
	m.len = 0;
	r->steps += v->len * (names->len + 1);
	for (size_t i = 0; i < v->len; i++) {
		bool gone = false;
		for (size_t k = 0; k < names->len; k++)
			gone = gone || (names->v[k].kind == TEMPLATE_STRING &&
					str_eq(names->v[k].s, v->keys[i]));
		if (gone)
			continue;
		m.keys[m.len] = v->keys[i];
		m.v[m.len++] = v->v[i];
	}
	return m;
}

/* ---- printf ---- */

const char *value_type(const struct template_value *v)
{
	static const char *const names[] = { "<nil>",
					     "bool",
					     "int",
					     "float64",
					     "string",
					     "[]interface {}",
					     "map[string]interface {}" };
	return names[v->kind];
}

/* What Go prints for a verb that the value does not have. */
static void print_wrong(struct buf *out, char verb, const struct template_value *v)
{
	buf_addf(out, "%%!%c(%s=", verb, value_type(v));
	value_print(out, v);
	buf_addc(out, ')');
}

static void print_number(struct buf *out, const char *spec, double d)
{
	char tmp[NUMBER_MAX + PAD_MAX];
	if (!isfinite(d)) {
		buf_add_str(out, value_special(d));
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	/* spec was checked: one of %e %f %g with flags, at most three digits each of width and precision */
	(void)snprintf(tmp, sizeof(tmp), spec, d);
#pragma GCC diagnostic pop
	buf_adds(out, tmp);
}

static void print_integer(struct buf *out, const char *spec, char verb, int64_t i)
{
	char tmp[NUMBER_MAX + PAD_MAX];
	char full[32];
	size_t n = strlen(spec) - 1;
	(void)snprintf(full, sizeof(full), "%.*s%s", (int)n, spec,
		       verb == 'x'   ? PRIx64
		       : verb == 'X' ? PRIX64
		       : verb == 'o' ? PRIo64
				     : PRId64);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(tmp, sizeof(tmp), full, i);
#pragma GCC diagnostic pop
	buf_adds(out, tmp);
}

static void print_text(struct buf *out, const char *spec, char verb, struct str s)
{
	const char *dot = strchr(spec, '.');
	bool left = strchr(spec, '-') != NULL;
	size_t width = (size_t)strtoul(spec + 1 + strspn(spec + 1, "-+ 0#"), NULL, 10);
	struct buf q = { 0 };
	if (dot)
		s = str_sub(s, 0, (size_t)strtoul(dot + 1, NULL, 10));
	if (verb == 'q') {
		json_write_str(&q, s);
		s = buf_str(&q);
	}
	for (size_t i = s.len; !left && i < width; i++)
		buf_addc(out, ' ');
	buf_add_str(out, s);
	for (size_t i = s.len; left && i < width; i++)
		buf_addc(out, ' ');
	buf_fini(&q);
}

static void print_verb(struct run *r, struct buf *out, const char *spec,
		       const struct template_value *v)
{
	char verb = spec[strlen(spec) - 1];
	bool real = v->kind == TEMPLATE_FLOAT;
	if (verb == 'v' && real && strlen(spec) > 2 && isfinite(v->d)) {
		char *g = arena_strdup(r->a, spec);
		g[strlen(g) - 1] = 'g';
		print_number(out, g, v->d);
	} else if (verb == 'v') {
		print_text(out, spec, verb, value_text(r, v));
	} else if (strchr("sq", verb) && v->kind == TEMPLATE_STRING) {
		print_text(out, spec, verb, v->s);
	} else if (strchr("efgEG", verb) && real) {
		print_number(out, spec, v->d);
	} else if (strchr("dxXo", verb) && v->kind == TEMPLATE_INT) {
		print_integer(out, spec, verb, v->i);
	} else if (verb == 't' && v->kind == TEMPLATE_BOOL) {
		print_text(out, spec, verb, value_text(r, v));
	} else {
		print_wrong(out, verb, v);
	}
}

/* Takes "%-08.3f" off f from *i on into spec (with NUL); false when it is no verb of ours. */
static bool take_spec(struct str f, size_t *i, char spec[16])
{
	size_t n = 0;
	spec[n++] = f.p[(*i)++];
	const char *const sets[] = { "-+ 0#", "0123456789", ".", "0123456789" };
	const size_t most[] = { 5, 3, 1, 3 };
	for (size_t k = 0; k < 4; k++)
		for (size_t c = 0; c < most[k] && *i < f.len && f.p[*i] && strchr(sets[k], f.p[*i]);
		     c++)
			spec[n++] = f.p[(*i)++];
	if (*i >= f.len)
		return false;
	spec[n++] = f.p[(*i)++];
	spec[n] = '\0';
	return spec[n - 1] && strchr("efgEGdxXosvqt%", spec[n - 1]) != NULL;
}

struct template_value value_format(struct run *r, const struct template_value *args, size_t n)
{
	struct str f = args[0].kind == TEMPLATE_STRING ? args[0].s : STR_NONE;
	size_t next = 1;
	struct buf out = { 0 };
	for (size_t i = 0; i < f.len && out.len <= TEMPLATE_OUT_MAX;) {
		if (f.p[i] != '%') {
			buf_addc(&out, f.p[i++]);
			continue;
		}
		char spec[16];
		size_t at = i;
		if (!take_spec(f, &i, spec)) {
			(void)run_fail(r, "printf does not know the verb %.*s",
				       STR_ARG(str_sub(f, at, i)));
			break;
		}
		char verb = spec[strlen(spec) - 1];
		if (verb == '%')
			buf_addc(&out, '%');
		else if (next >= n)
			buf_addf(&out, "%%!%c(MISSING)", verb);
		else
			print_verb(r, &out, spec, &args[next++]);
	}
	return template_string(value_taken(r, &out));
}

/* Blanks stand between values of which neither is a text, as fmt.Sprint does it; println puts them everywhere. */
struct template_value value_concat(struct run *r, const struct template_value *args, size_t n,
				   bool line)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < n; i++) {
		if (i && (line ||
			  (args[i].kind != TEMPLATE_STRING && args[i - 1].kind != TEMPLATE_STRING)))
			buf_addc(&b, ' ');
		value_print(&b, &args[i]);
	}
	if (line)
		buf_addc(&b, '\n');
	return template_string(value_taken(r, &b));
}
