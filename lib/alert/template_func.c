/* Functions. */
#include "json/json.h"
#include "regex/regex.h"
#include "template_priv.h"
#include "text/duration.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static struct template_value of_bool(bool b)
{
	return (struct template_value){ .kind = TEMPLATE_BOOL, .b = b };
}

static struct template_value of_int(size_t n)
{
	return (struct template_value){ .kind = TEMPLATE_INT, .i = (int64_t)n };
}

/* ---- numbers for people ---- */

static struct str four(struct run *r, double d, const char *unit, const char *tail)
{
	if (!isfinite(d))
		return arena_strf(r->a, "%.*s%s%s", STR_ARG(value_special(d)), unit, tail);
	return arena_strf(r->a, "%.4g%s%s", d, unit, tail);
}

static struct str scaled(struct run *r, double d, const char *tail)
{
	static const char *const up[] = { "", "k", "M", "G", "T", "P", "E", "Z", "Y" };
	static const char *const down[] = { "", "m", "u", "n", "p", "f", "a", "z", "y" };
	size_t i = 0;
	if (d == 0 || !isfinite(d))
		return four(r, d, "", tail);
	if (fabs(d) >= 1) {
		for (; fabs(d) >= 1000 && i < 8; i++)
			d /= 1000;
		return four(r, d, up[i], tail);
	}
	for (; fabs(d) < 1 && i < 8; i++)
		d *= 1000;
	return four(r, d, down[i], tail);
}

static struct str scaled_1024(struct run *r, double d)
{
	static const char *const up[] = { "", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi" };
	size_t i = 0;
	if (isfinite(d) && fabs(d) > 1)
		for (; fabs(d) >= 1024 && i < 8; i++)
			d /= 1024;
	return four(r, d, up[i], "");
}

static struct str duration(struct run *r, double d)
{
	if (!isfinite(d))
		return four(r, d, "", "");
	if (fabs(d) < 1)
		return scaled(r, d, "s");
	const char *sign = d < 0 ? "-" : "";
	d = fabs(d);
	if (d >= 9e15) {
		(void)run_fail(r, "the number is too large for a duration");
		return STR("");
	}
	long long s = (long long)d;
	if (s >= 86400)
		return arena_strf(r->a, "%s%lldd %lldh %lldm %llds", sign, s / 86400, s / 3600 % 24,
				  s / 60 % 60, s % 60);
	if (s >= 3600)
		return arena_strf(r->a, "%s%lldh %lldm %llds", sign, s / 3600, s / 60 % 60, s % 60);
	if (s >= 60)
		return arena_strf(r->a, "%s%lldm %llds", sign, s / 60, s % 60);
	return arena_strf(r->a, "%s%.4gs", sign, d);
}

/* 2006-01-02 15:04:05.5 +0000 UTC */
static struct str timestamp(struct run *r, double d)
{
	if (!isfinite(d))
		return four(r, d, "", "");
	if (fabs(d) > 250000000000.0) {
		(void)run_fail(r, "the number is too large for a time");
		return STR("");
	}
	double whole = floor(d);
	int32_t nsec = (int32_t)(round((d - whole) * 1000) * 1000000);
	struct buf b = { 0 };
	rfc3339_write_nano(&b, (int64_t)whole + nsec / 1000000000, nsec % 1000000000);
	for (size_t i = 0; i < b.len; i++)
		if (b.p[i] == 'T')
			b.p[i] = ' ';
	b.len--; /* Z */
	buf_adds(&b, " +0000 UTC");
	return value_taken(r, &b);
}

/* ---- comparing ---- */

static int compare(struct run *r, const struct template_value *a, const struct template_value *b)
{
	if (a->kind != b->kind) {
		(void)run_fail(r, "incompatible types for comparison");
		return 0;
	}
	switch (a->kind) {
	case TEMPLATE_BOOL:
		return a->b - b->b;
	case TEMPLATE_INT:
		return (a->i > b->i) - (a->i < b->i);
	case TEMPLATE_FLOAT:
		return isnan(a->d) || isnan(b->d) ? 2 : (a->d > b->d) - (a->d < b->d);
	case TEMPLATE_STRING:
		return str_cmp(a->s, b->s);
	case TEMPLATE_NIL:
		return 0;
	case TEMPLATE_LIST:
	case TEMPLATE_MAP:
		break;
	}
	(void)run_fail(r, "invalid type for comparison");
	return 0;
}

static struct template_value compared(struct run *r, struct str name,
				      const struct template_value *args, size_t n)
{
	if (str_is(name, "eq")) { /* of any of the rest */
		bool any = false;
		for (size_t i = 1; i < n; i++)
			any = any || compare(r, &args[0], &args[i]) == 0;
		return of_bool(any);
	}
	int c = compare(r, &args[0], &args[1]);
	if (c == 2) /* NaN */
		return of_bool(str_is(name, "ne"));
	if (str_is(name, "ne"))
		return of_bool(c != 0);
	bool less = c < 0 || (c == 0 && (str_is(name, "le") || str_is(name, "ge")));
	bool greater = c > 0 || (c == 0 && (str_is(name, "le") || str_is(name, "ge")));
	return of_bool(name.p[0] == 'l' ? less : greater);
}

/* ---- lists, maps, texts ---- */

static struct template_value indexed(struct run *r, const struct template_value *args, size_t n)
{
	struct template_value v = args[0];
	for (size_t i = 1; i < n; i++) {
		const struct template_value *k = &args[i];
		if (v.kind == TEMPLATE_MAP && k->kind == TEMPLATE_STRING) {
			const struct template_value *m = value_find(&v, k->s);
			v = m                           ? *m
			    : v.type == TEMPLATE_STRUCT ? (struct template_value){ 0 }
							: template_string(STR(""));
		} else if (v.kind == TEMPLATE_LIST && k->kind == TEMPLATE_INT && k->i >= 0 &&
			   (uint64_t)k->i < v.len) {
			v = v.v[k->i];
		} else {
			return run_fail(r, "index out of range or of the wrong type");
		}
	}
	return v;
}

static struct template_value sliced(struct run *r, const struct template_value *args, size_t n)
{
	bool text = args[0].kind == TEMPLATE_STRING;
	size_t len = text ? args[0].s.len : args[0].len;
	size_t at[2] = { 0, len };
	if (!text && args[0].kind != TEMPLATE_LIST)
		return run_fail(r, "slice wants a list or a text");
	for (size_t i = 1; i < n && i < 3; i++) {
		if (args[i].kind != TEMPLATE_INT || args[i].i < 0 || (uint64_t)args[i].i > len)
			return run_fail(r, "slice index out of range");
		at[i - 1] = (size_t)args[i].i;
	}
	if (at[0] > at[1])
		return run_fail(r, "slice index out of range");
	if (text)
		return template_string(str_sub(args[0].s, at[0], at[1]));
	struct template_value v = args[0];
	v.v += at[0];
	v.len = at[1] - at[0];
	return v;
}

static struct str cased(struct run *r, struct str s, int (*fn)(int), bool words)
{
	char *p = arena_printf(r->a, "%.*s", STR_ARG(s));
	for (size_t i = 0; p[i]; i++)
		if (!words || i == 0 || isspace((unsigned char)p[i - 1]))
			p[i] = (char)fn((unsigned char)p[i]);
	return str_of(p);
}

static struct str escaped(struct run *r, struct str s, bool html)
{
	struct buf b = { 0 };
	struct str rest = s;
	for (struct str word; !html && str_split(&rest, ' ', &word);) {
		if (b.len || word.p != s.p)
			buf_addc(&b, '+');
		url_encode(&b, word);
	}
	for (size_t i = 0; html && i < s.len; i++) {
		char c = s.p[i];
		const char *e = c == '<'    ? "&lt;"
				: c == '>'  ? "&gt;"
				: c == '&'  ? "&amp;"
				: c == '"'  ? "&#34;"
				: c == '\'' ? "&#39;"
					    : NULL;
		if (e)
			buf_adds(&b, e);
		else
			buf_addc(&b, c);
	}
	return value_taken(r, &b);
}

static struct str joined(struct run *r, struct str sep, const struct template_value *list)
{
	struct buf b = { 0 };
	for (size_t i = 0; list->kind == TEMPLATE_LIST && i < list->len; i++) {
		if (i)
			buf_add_str(&b, sep);
		value_print(&b, &list->v[i]);
	}
	return value_taken(r, &b);
}

static void add_json(struct buf *b, const struct template_value *v)
{
	bool map = v->kind == TEMPLATE_MAP;
	if (v->kind == TEMPLATE_STRING || (v->kind == TEMPLATE_FLOAT && !isfinite(v->d))) {
		json_write_str(b, v->kind == TEMPLATE_STRING ? v->s : value_special(v->d));
	} else if (v->kind == TEMPLATE_NIL) {
		buf_adds(b, "null");
	} else if (map || v->kind == TEMPLATE_LIST) {
		buf_addc(b, map ? '{' : '[');
		for (size_t i = 0; i < v->len && b->len <= TEMPLATE_OUT_MAX; i++) {
			if (i)
				buf_addc(b, ',');
			if (map) {
				json_write_str(b, v->keys[i]);
				buf_addc(b, ':');
			}
			add_json(b, &v->v[i]);
		}
		buf_addc(b, map ? '}' : ']');
	} else {
		value_print(b, v);
	}
}

static struct template_value matched(struct run *r, struct str pattern, struct str s)
{
	struct error err = { 0 };
	struct regex *re = regex_compile(pattern, REGEX_SEARCH, &err);
	if (!re)
		return run_fail(r, "%.150s", err.msg);
	int rc = regex_match(re, s);
	(void)regex_free(re);
	return rc < 0 ? run_fail(r, "the expression takes too long") : of_bool(rc == 1);
}

static struct template_value replaced(struct run *r, struct str pattern, struct str by,
				      struct str s)
{
	struct error err = { 0 };
	struct buf b = { 0 };
	struct regex *re = regex_compile(pattern, REGEX_SEARCH, &err);
	if (!re)
		return run_fail(r, "%.150s", err.msg);
	int rc = regex_replace_all(re, s, by, &b);
	(void)regex_free(re);
	struct str out = value_taken(r, &b);
	return rc < 0 ? run_fail(r, "the expression takes too long") : template_string(out);
}

/* ---- of addresses ---- */

static struct str strip_port(struct str s)
{
	ptrdiff_t colon = -1;
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == ':')
			colon = (ptrdiff_t)i;
	if (s.len && s.p[0] == '[' && colon > 1 && s.p[colon - 1] == ']')
		return str_sub(s, 1, (size_t)colon - 1);
	if (colon < 0 || str_find(s, ':', 0) != colon)
		return s;
	return str_sub(s, 0, (size_t)colon);
}

static bool is_ip(struct str s)
{
	bool digits = s.len > 0;
	for (size_t i = 0; i < s.len; i++)
		digits = digits && (isdigit((unsigned char)s.p[i]) || s.p[i] == '.');
	return digits || str_find(s, ':', 0) >= 0;
}

static struct str strip_domain(struct run *r, struct str s)
{
	struct str host = strip_port(s);
	ptrdiff_t dot = str_find(host, '.', 0);
	if (is_ip(host) || dot < 0)
		return s;
	return arena_strf(r->a, "%.*s%.*s", (int)dot, host.p, STR_ARG(str_sub(s, host.len, s.len)));
}

/* The path of the address, "" without one. */
static struct str path_prefix(struct str url)
{
	ptrdiff_t scheme = str_find_str(url, STR("://"), 0);
	ptrdiff_t slash = str_find(url, '/', scheme < 0 ? 0 : (size_t)scheme + 3);
	return slash < 0 ? STR("") : str_sub(url, (size_t)slash, url.len);
}

/* ---- queries ---- */

static struct template_value sample_value(struct run *r, const struct template_sample *s)
{
	static const char *const keys[] = { "Labels", "Value" };
	const struct template_value v[] = { template_labels(r->a, s->labels, TEMPLATE_LABELS),
					    template_number(s->value) };
	return template_struct(r->a, 2, keys, v);
}

static struct template_value queried(struct run *r, struct str expr)
{
	const struct template_sample *s = NULL;
	size_t n = 0;
	struct error err = { 0 };
	if (!r->vars->query)
		return run_fail(r, "query is not available here");
	if (r->vars->query(r->vars->arg, r->a, expr, &s, &n, &err))
		return run_fail(r, "%.180s", err.msg);
	struct template_value list = value_list(r, n);
	for (size_t i = 0; i < n; i++)
		list.v[i] = sample_value(r, &s[i]);
	return list;
}

static struct str sample_label(const struct template_value *sample, struct str name)
{
	const struct template_value *l =
		sample->kind == TEMPLATE_MAP ? value_find(sample, STR("Labels")) : NULL;
	const struct template_value *m = l && l->kind == TEMPLATE_MAP ? value_find(l, name) : NULL;
	return m && m->kind == TEMPLATE_STRING ? m->s : STR("");
}

static struct template_value sorted(struct run *r, struct str name,
				    const struct template_value *list)
{
	if (list->kind != TEMPLATE_LIST)
		return run_fail(r, "sortByLabel wants the result of a query");
	struct template_value all = value_list(r, list->len);
	for (size_t i = 0; i < list->len; i++) {
		size_t k = i;
		struct str key = sample_label(&list->v[i], name);
		for (; k > 0 && str_cmp(sample_label(&all.v[k - 1], name), key) > 0; k--)
			all.v[k] = all.v[k - 1];
		all.v[k] = list->v[i];
		r->steps += i - k;
		if (r->steps > TEMPLATE_STEPS_MAX)
			return run_fail(r, "the template takes too many steps");
	}
	return all;
}

static struct template_value first(struct run *r, const struct template_value *list)
{
	if (list->kind != TEMPLATE_LIST || !list->len)
		return run_fail(r, "first() called on vector with no elements");
	return list->v[0];
}

static struct template_value named_args(struct run *r, const struct template_value *args, size_t n)
{
	struct template_value m = { .kind = TEMPLATE_MAP, .type = TEMPLATE_STRUCT };
	m.v = arena_new(r->a, struct template_value, n);
	m.keys = arena_new(r->a, struct str, n);
	m.len = n;
	for (size_t i = 0; i < n; i++) {
		m.keys[i] = arena_strf(r->a, "arg%zu", i);
		m.v[i] = args[i];
	}
	return m;
}

static struct template_value parsed_duration(struct run *r, struct str s)
{
	int64_t ms = 0;
	if (duration_parse_prom(s, &ms, NULL))
		return run_fail(r, "not a valid duration string: \"%.*s\"", STR_ARG(s));
	return template_number((double)ms / 1000);
}

static struct template_value length(struct run *r, const struct template_value *x)
{
	if (x->kind == TEMPLATE_STRING)
		return of_int(x->s.len);
	if (x->kind == TEMPLATE_LIST || x->kind == TEMPLATE_MAP)
		return of_int(x->len);
	return run_fail(r, "len of type %s", value_type(x));
}

static struct template_value json_of(struct run *r, const struct template_value *x)
{
	struct buf b = { 0 };
	add_json(&b, x);
	return template_string(value_taken(r, &b));
}

static struct template_value list_args(struct run *r, const struct template_value *args, size_t n)
{
	struct template_value list = value_list(r, n);
	for (size_t i = 0; i < n; i++)
		list.v[i] = args[i];
	return list;
}

/* ---- the table ---- */

typedef struct template_value (*function_fn)(struct run *r, struct str name,
					     const struct template_value *args, size_t n);

static struct template_value f_args(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	(void)name;
	return named_args(r, args, n);
}

static struct template_value f_eq(struct run *r, struct str name, const struct template_value *args,
				  size_t n)
{
	return compared(r, name, args, n);
}

static struct template_value f_external_url(struct run *r, struct str name,
					    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	(void)args;
	return template_string(r->vars->external_url);
}

static struct template_value f_first(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return first(r, &args[0]);
}

static struct template_value f_link(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	(void)n;
	return template_string(arena_strf(r->a, "/graph?g0.expr=%.*s&g0.tab=%d",
					  STR_ARG(escaped(r, value_text(r, &args[0]), false)),
					  name.p[0] == 't'));
}

static struct template_value f_escape(struct run *r, struct str name,
				      const struct template_value *args, size_t n)
{
	(void)n;
	return template_string(escaped(r, value_text(r, &args[0]), name.p[0] == 'h'));
}

static struct template_value f_humanize(struct run *r, struct str name,
					const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(scaled(r, value_number(r, args), ""));
}

static struct template_value f_humanize1024(struct run *r, struct str name,
					    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(scaled_1024(r, value_number(r, args)));
}

static struct template_value f_humanize_duration(struct run *r, struct str name,
						 const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(duration(r, value_number(r, args)));
}

static struct template_value f_humanize_percentage(struct run *r, struct str name,
						   const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(four(r, value_number(r, args) * 100, "%", ""));
}

static struct template_value f_humanize_timestamp(struct run *r, struct str name,
						  const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(timestamp(r, value_number(r, args)));
}

static struct template_value f_index(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	return indexed(r, args, n);
}

static struct template_value f_join(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(joined(r, value_text(r, &args[0]), &args[1]));
}

static struct template_value f_to_json(struct run *r, struct str name,
				       const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return json_of(r, args);
}

static struct template_value f_label(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(sample_label(&args[1], value_text(r, &args[0])));
}

static struct template_value f_len(struct run *r, struct str name,
				   const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return length(r, args);
}

static struct template_value f_match(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return matched(r, value_text(r, &args[0]), value_text(r, &args[1]));
}

static struct template_value f_not(struct run *r, struct str name,
				   const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	(void)r;
	return of_bool(!value_true(&args[0]));
}

static struct template_value f_now(struct run *r, struct str name,
				   const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	(void)args;
	return template_number((double)r->vars->now_ms / 1000);
}

static struct template_value f_logic(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)r;
	return args[n - 1];
}

static struct template_value f_parse_duration(struct run *r, struct str name,
					      const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return parsed_duration(r, value_text(r, &args[0]));
}

static struct template_value f_path_prefix(struct run *r, struct str name,
					   const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	(void)args;
	return template_string(path_prefix(r->vars->external_url));
}

static struct template_value f_print(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	return value_concat(r, args, n, name.len == 7);
}

static struct template_value f_printf(struct run *r, struct str name,
				      const struct template_value *args, size_t n)
{
	(void)name;
	return value_format(r, args, n);
}

static struct template_value f_query(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return queried(r, value_text(r, &args[0]));
}

static struct template_value f_re_replace_all(struct run *r, struct str name,
					      const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return replaced(r, value_text(r, &args[0]), value_text(r, &args[1]),
			value_text(r, &args[2]));
}

static struct template_value f_text(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(value_text(r, &args[0]));
}

static struct template_value f_slice(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	return sliced(r, args, n);
}

static struct template_value f_sort(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return sorted(r, value_text(r, &args[0]), &args[1]);
}

static struct template_value f_strings(struct run *r, struct str name,
				       const struct template_value *args, size_t n)
{
	(void)name;
	return list_args(r, args, n);
}

static struct template_value f_strip_domain(struct run *r, struct str name,
					    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(strip_domain(r, value_text(r, &args[0])));
}

static struct template_value f_strip_port(struct run *r, struct str name,
					  const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(strip_port(value_text(r, &args[0])));
}

static struct template_value f_strvalue(struct run *r, struct str name,
					const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	(void)r;
	return template_string(sample_label(args, STR("__value__")));
}

static struct template_value f_title(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(cased(r, value_text(r, &args[0]), toupper, true));
}

static struct template_value f_tmpl(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	static const struct template_value nil = { 0 };
	(void)name;
	return run_named(r, value_text(r, &args[0]), n > 1 ? &args[1] : &nil);
}

static struct template_value f_to_time(struct run *r, struct str name,
				       const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_number(value_number(r, args));
}

static struct template_value f_to_lower(struct run *r, struct str name,
					const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(cased(r, value_text(r, &args[0]), tolower, false));
}

static struct template_value f_to_upper(struct run *r, struct str name,
					const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(cased(r, value_text(r, &args[0]), toupper, false));
}

static struct template_value f_trim(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return template_string(str_trim(value_text(r, &args[0])));
}

static struct template_value f_value(struct run *r, struct str name,
				     const struct template_value *args, size_t n)
{
	(void)name;
	(void)n;
	return value_member(r, args, STR("Value"));
}

static const struct known {
	const char *name;
	function_fn fn;
	size_t min, max; /* values */
} functions[] = {
	{ "and", f_logic, 1, ARGS_MAX },
	{ "args", f_args, 0, ARGS_MAX },
	{ "eq", f_eq, 2, ARGS_MAX },
	{ "externalURL", f_external_url, 0, 0 },
	{ "first", f_first, 1, 1 },
	{ "ge", f_eq, 2, 2 },
	{ "graphLink", f_link, 1, 1 },
	{ "gt", f_eq, 2, 2 },
	{ "html", f_escape, 1, ARGS_MAX },
	{ "humanize", f_humanize, 1, 1 },
	{ "humanize1024", f_humanize1024, 1, 1 },
	{ "humanizeDuration", f_humanize_duration, 1, 1 },
	{ "humanizePercentage", f_humanize_percentage, 1, 1 },
	{ "humanizeTimestamp", f_humanize_timestamp, 1, 1 },
	{ "index", f_index, 1, ARGS_MAX },
	{ "join", f_join, 2, 2 },
	{ "js", f_to_json, 1, 1 },
	{ "label", f_label, 2, 2 },
	{ "le", f_eq, 2, 2 },
	{ "len", f_len, 1, 1 },
	{ "lt", f_eq, 2, 2 },
	{ "match", f_match, 2, 2 },
	{ "ne", f_eq, 2, 2 },
	{ "not", f_not, 1, 1 },
	{ "now", f_now, 0, 0 },
	{ "or", f_logic, 1, ARGS_MAX },
	{ "parseDuration", f_parse_duration, 1, 1 },
	{ "pathPrefix", f_path_prefix, 0, 0 },
	{ "print", f_print, 0, ARGS_MAX },
	{ "printf", f_printf, 1, ARGS_MAX },
	{ "println", f_print, 0, ARGS_MAX },
	{ "query", f_query, 1, 1 },
	{ "reReplaceAll", f_re_replace_all, 3, 3 },
	{ "safeHtml", f_text, 1, 1 },
	{ "safeUrl", f_text, 1, 1 },
	{ "slice", f_slice, 1, 3 },
	{ "sortByLabel", f_sort, 2, 2 },
	{ "stringSlice", f_strings, 0, ARGS_MAX },
	{ "stripDomain", f_strip_domain, 1, 1 },
	{ "stripPort", f_strip_port, 1, 1 },
	{ "strvalue", f_strvalue, 1, 1 },
	{ "tableLink", f_link, 1, 1 },
	{ "title", f_title, 1, 1 },
	{ "tmpl", f_tmpl, 1, 2 },
	{ "toJson", f_to_json, 1, 1 },
	{ "toLower", f_to_lower, 1, 1 },
	{ "toTime", f_to_time, 1, 1 },
	{ "toUpper", f_to_upper, 1, 1 },
	{ "trimSpace", f_trim, 1, 1 },
	{ "urlquery", f_escape, 1, ARGS_MAX },
	{ "value", f_value, 1, 1 },
};

static const struct known *known(struct str name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (str_is(name, functions[i].name))
			return &functions[i];
	return NULL;
}

bool function_known(struct str name)
{
	return known(name) != NULL;
}

struct template_value function_call(struct run *r, struct str name,
				    const struct template_value *args, size_t n)
{
	const struct known *f = known(name);
	if (!f)
		return run_fail(r, "function \"%.*s\" not defined", STR_ARG(name));
	if (n < f->min || n > f->max)
		return run_fail(r, "wrong number of args for %.*s: got %zu", STR_ARG(name), n);
	return f->fn(r, name, args, n);
}
