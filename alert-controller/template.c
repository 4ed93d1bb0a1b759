#include "template.h"

#include "json/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 8, WORD_MAX = 64, NUMBER_MAX = 400 };

struct value {
	bool is_number;
	double d;
	struct str s; /* in the text, the labels or the arena */
};

struct run {
	struct arena arena;
	const struct template_vars *vars;
	const char *problem; /* literal; NULL = none */
	char word[WORD_MAX]; /* what the problem is about */
};

static struct value number(double d)
{
	return (struct value){ .is_number = true, .d = d };
}

static struct value text(struct str s)
{
	return (struct value){ .s = s };
}

static struct value fail(struct run *r, const char *problem, struct str word)
{
	if (!r->problem) {
		r->problem = problem;
		(void)snprintf(r->word, sizeof(r->word), "%.*s",
			       (int)(word.len < WORD_MAX - 1 ? word.len : WORD_MAX - 1),
			       word.p ? word.p : "");
	}
	return text(STR(""));
}

/* ---- numbers as Go's fmt prints them ---- */

static struct str special(double d)
{
	return isnan(d) ? STR("NaN") : d > 0 ? STR("+Inf") : STR("-Inf");
}

static struct str plain(struct run *r, const struct value *v)
{
	if (!v->is_number)
		return v->s;
	if (!isfinite(v->d))
		return special(v->d);
	struct buf b = { 0 };
	json_write_double_go(&b, v->d);
	struct str s = arena_str(&r->arena, buf_str(&b));
	buf_fini(&b);
	return s;
}

static struct str four(struct run *r, double d, const char *unit, const char *tail)
{
	if (!isfinite(d))
		return arena_strf(&r->arena, "%.*s%s%s", STR_ARG(special(d)), unit, tail);
	return arena_strf(&r->arena, "%.4g%s%s", d, unit, tail);
}

static struct str scaled(struct run *r, double d, const char *tail)
{
	static const char *const up[] = { "", "k", "M", "G", "T", "P", "E", "Z", "Y" };
	static const char *const down[] = { "", "m", "u", "n", "p", "f", "a", "z", "y" };
	if (d == 0 || !isfinite(d))
		return four(r, d, "", tail);
	size_t i = 0;
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
	if (d >= 9e15)
		return fail(r, "the number is too large for a duration", STR_NONE).s;
	long long s = (long long)d;
	if (s >= 86400)
		return arena_strf(&r->arena, "%s%lldd %lldh %lldm %llds", sign, s / 86400,
				  s / 3600 % 24, s / 60 % 60, s % 60);
	if (s >= 3600)
		return arena_strf(&r->arena, "%s%lldh %lldm %llds", sign, s / 3600, s / 60 % 60,
				  s % 60);
	if (s >= 60)
		return arena_strf(&r->arena, "%s%lldm %llds", sign, s / 60, s % 60);
	return arena_strf(&r->arena, "%s%.4gs", sign, d);
}

/* ---- printf ---- */

static void print_number(struct run *r, struct buf *out, const char *spec, const struct value *v)
{
	double d = v->d;
	char tmp[NUMBER_MAX];
	if (!v->is_number) {
		(void)fail(r, "printf wants a number", v->s);
		return;
	}
	if (!isfinite(d)) {
		buf_add_str(out, special(d));
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	/* spec was checked: one of %e %f %g with flags, at most three digits each of width and precision */
	(void)snprintf(tmp, sizeof(tmp), spec, d);
#pragma GCC diagnostic pop
	buf_adds(out, tmp);
}

static void print_text(struct run *r, struct buf *out, const char *spec, const struct value *v)
{
	struct str s = plain(r, v);
	const char *dot = strchr(spec, '.');
	bool left = strchr(spec, '-') != NULL;
	size_t width = (size_t)strtoul(spec + 1 + strspn(spec + 1, "-+ 0#"), NULL, 10);
	if (dot)
		s = str_sub(s, 0, (size_t)strtoul(dot + 1, NULL, 10));
	for (size_t i = s.len; !left && i < width; i++)
		buf_addc(out, ' ');
	buf_add_str(out, s);
	for (size_t i = s.len; left && i < width; i++)
		buf_addc(out, ' ');
}

/* Takes "%-08.3f" off f from *i on into spec (with NUL); false when it is no verb of ours. */
static bool take_spec(struct str f, size_t *i, char spec[16])
{
	size_t n = 0;
	spec[n++] = f.p[(*i)++];
	const char *const sets[] = { "-+ 0#", "0123456789", ".", "0123456789" };
	const size_t most[] = { 5, 3, 1, 3 };
	for (size_t k = 0; k < 4; k++)
		for (size_t c = 0; c < most[k] && *i < f.len && strchr(sets[k], f.p[*i]) && f.p[*i];
		     c++)
			spec[n++] = f.p[(*i)++];
	if (*i >= f.len)
		return false;
	spec[n++] = f.p[(*i)++];
	spec[n] = '\0';
	return strchr("efgEGsv%", spec[n - 1]) != NULL;
}

static struct value formatted(struct run *r, const struct value *args, size_t n)
{
	struct str f = n ? args[0].s : STR_NONE;
	size_t next = 1;
	struct buf out = { 0 };
	for (size_t i = 0; i < f.len && !r->problem;) {
		if (f.p[i] != '%') {
			buf_addc(&out, f.p[i++]);
			continue;
		}
		char spec[16];
		size_t at = i;
		if (!take_spec(f, &i, spec)) {
			(void)fail(r, "printf does not know the verb", str_sub(f, at, i));
			break;
		}
		char verb = spec[strlen(spec) - 1];
		if (verb == '%')
			buf_addc(&out, '%');
		else if (next >= n)
			(void)fail(r, "printf has too few values", f);
		else if (verb == 's' || verb == 'v')
			print_text(r, &out, spec, &args[next++]);
		else
			print_number(r, &out, spec, &args[next++]);
	}
	struct str s = arena_str(&r->arena, buf_str(&out));
	buf_fini(&out);
	return text(s);
}

/* ---- functions ---- */

static struct str cased(struct run *r, struct str s, int (*fn)(int), bool words)
{
	char *p = arena_printf(&r->arena, "%.*s", STR_ARG(s));
	for (size_t i = 0; p[i]; i++)
		if (!words || i == 0 || p[i - 1] == ' ')
			p[i] = (char)fn((unsigned char)p[i]);
	return str_of(p);
}

static double to_number(struct run *r, const struct value *v)
{
	if (v->is_number)
		return v->d;
	char *end = NULL;
	char *s = arena_printf(&r->arena, "%.*s", STR_ARG(v->s));
	double d = strtod(s, &end);
	if (end == s || *end)
		(void)fail(r, "not a number", v->s);
	return d;
}

static struct value printed(struct run *r, const struct value *args, size_t n)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < n; i++)
		buf_add_str(&b, plain(r, &args[i]));
	struct str s = arena_str(&r->arena, buf_str(&b));
	buf_fini(&b);
	return text(s);
}

static struct value call(struct run *r, struct str name, const struct value *args, size_t n)
{
	if (str_is(name, "printf"))
		return formatted(r, args, n);
	if (str_is(name, "print"))
		return printed(r, args, n);
	static const char *const known[] = {
		"humanize", "humanize1024", "humanizeDuration", "humanizePercentage",
		"title",    "toUpper",      "toLower"
	};
	size_t k = 0;
	while (k < 7 && !str_is(name, known[k]))
		k++;
	if (k == 7)
		return fail(r, "unknown function", name);
	if (n != 1)
		return fail(r, "wants one value:", name);
	switch (k) {
	case 0:
		return text(scaled(r, to_number(r, args), ""));
	case 1:
		return text(scaled_1024(r, to_number(r, args)));
	case 2:
		return text(duration(r, to_number(r, args)));
	case 3:
		return text(four(r, to_number(r, args) * 100, "%", ""));
	case 4:
		return text(cased(r, plain(r, args), toupper, true));
	case 5:
		return text(cased(r, plain(r, args), toupper, false));
	default:
		return text(cased(r, plain(r, args), tolower, false));
	}
}

/* ---- expressions ---- */

/* The next token of an action; quoted text with its quotes; false at the end. */
static bool token(struct run *r, struct str *rest, struct str *ret)
{
	*rest = str_trim(*rest);
	if (!rest->len)
		return false;
	char c = rest->p[0];
	size_t i = 1;
	if (c == '"' || c == '`') {
		while (i < rest->len && rest->p[i] != c)
			i += rest->p[i] == '\\' && c == '"' ? 2 : 1;
		if (i >= rest->len) {
			(void)fail(r, "unterminated text", *rest);
			return false;
		}
		i++;
	} else if (c != '|') {
		while (i < rest->len && !isspace((unsigned char)rest->p[i]) && rest->p[i] != '|')
			i++;
	}
	*ret = str_sub(*rest, 0, i);
	*rest = str_sub(*rest, i, rest->len);
	return true;
}

static struct value quoted(struct run *r, struct str t)
{
	struct str in = str_sub(t, 1, t.len - 1);
	if (t.p[0] == '`')
		return text(in);
	char *p = arena_alloc(&r->arena, in.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];
		if (c == '\\' && i + 1 < in.len) {
			c = in.p[++i];
			c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c);
		}
		p[n++] = c;
	}
	return text(str_n(p, n));
}

static bool member(struct str t, const char *a, const char *b, struct str *name)
{
	const char *const prefixes[] = { a, b };
	for (size_t i = 0; i < 2; i++) {
		if (!str_starts(t, str_of(prefixes[i])))
			continue;
		*name = str_sub(t, strlen(prefixes[i]), t.len);
		return labels_name_valid(*name);
	}
	return false;
}

static bool operand(struct run *r, struct str t, struct value *ret)
{
	struct str name;
	if (t.p[0] == '"' || t.p[0] == '`')
		*ret = quoted(r, t);
	else if (str_is(t, "$value") || str_is(t, ".Value"))
		*ret = number(r->vars->value);
	else if (member(t, "$labels.", ".Labels.", &name))
		*ret = text(labels_get(r->vars->labels, name));
	else if (member(t, "$externalLabels.", ".ExternalLabels.", &name))
		*ret = text(labels_get(r->vars->external, name));
	else if (isdigit((unsigned char)t.p[0]) || t.p[0] == '-') {
		struct value v = text(t);
		*ret = number(to_number(r, &v));
	} else
		return false;
	return true;
}

/* One command up to "|" or the end; `piped` (or NULL) is its last value. */
static struct value command(struct run *r, struct str *rest, const struct value *piped, bool *more)
{
	struct value args[ARGS_MAX];
	size_t n = 0;
	struct str function = STR_NONE;
	struct str t;
	bool first = true;
	*more = false;
	while (!r->problem && token(r, rest, &t)) {
		if (str_is(t, "|")) {
			*more = true;
			break;
		}
		if (n == ARGS_MAX - 1)
			return fail(r, "too many values", t);
		if (operand(r, t, &args[n]))
			n++;
		else if (first)
			function = t;
		else
			return fail(r, "unexpected", t);
		first = false;
	}
	if (r->problem || first)
		return fail(r, "missing value for command", STR_NONE);
	if (piped)
		args[n++] = *piped;
	if (function.len)
		return call(r, function, args, n);
	return n == 1 ? args[0] : fail(r, "can't give an argument to a value", STR_NONE);
}

static struct str action(struct run *r, struct str rest)
{
	rest = str_trim(rest);
	if (str_starts(rest, STR("/*")))
		return str_ends(rest, STR("*/")) ? STR("") : fail(r, "unclosed comment", rest).s;
	bool more = false;
	struct value v = command(r, &rest, NULL, &more);
	while (more && !r->problem) {
		struct value next = command(r, &rest, &v, &more);
		v = next;
	}
	return plain(r, &v);
}

static struct str trim_right(struct str s)
{
	while (s.len && isspace((unsigned char)s.p[s.len - 1]))
		s.len--;
	return s;
}

/* The end of the action that began before `from`: behind quoted text; -1 = none. */
static ptrdiff_t action_end(struct str t, size_t from)
{
	char quote = 0;
	for (size_t i = from; i + 1 < t.len; i++) {
		char c = t.p[i];
		if (quote == '"' && c == '\\')
			i++;
		else if (quote)
			quote = (char)(c == quote ? 0 : quote);
		else if (c == '"' || c == '`')
			quote = c;
		else if (c == '}' && t.p[i + 1] == '}')
			return (ptrdiff_t)i;
	}
	return -1;
}

static void expand(struct run *r, struct str t, struct buf *out)
{
	bool trim_next = false;
	while (t.len && !r->problem) {
		ptrdiff_t open = str_find_str(t, STR("{{"), 0);
		struct str lead = str_sub(t, 0, open < 0 ? t.len : (size_t)open);
		if (trim_next)
			while (lead.len && isspace((unsigned char)lead.p[0]))
				lead = str_sub(lead, 1, lead.len);
		if (open < 0) {
			buf_add_str(out, lead);
			return;
		}
		ptrdiff_t close = action_end(t, (size_t)open + 2);
		if (close < 0) {
			(void)fail(r, "unclosed action", STR_NONE);
			return;
		}
		struct str in = str_sub(t, (size_t)open + 2, (size_t)close);
		bool trim_before = in.len > 1 && in.p[0] == '-' && isspace((unsigned char)in.p[1]);
		if (trim_before)
			in = str_sub(in, 1, in.len);
		trim_next = in.len > 1 && in.p[in.len - 1] == '-' &&
			    isspace((unsigned char)in.p[in.len - 2]);
		if (trim_next)
			in = str_sub(in, 0, in.len - 1);
		buf_add_str(out, trim_before ? trim_right(lead) : lead);
		buf_add_str(out, action(r, in));
		if (out->len > TEMPLATE_OUT_MAX)
			(void)fail(r, "the text is too long", STR_NONE);
		t = str_sub(t, (size_t)close + 2, t.len);
	}
}

void template_expand(struct str t, const struct template_vars *vars, struct buf *out)
{
	if (str_find_str(t, STR("{{"), 0) < 0) {
		buf_add_str(out, str_sub(t, 0, TEMPLATE_OUT_MAX));
		return;
	}
	struct run r = { .vars = vars };
	struct buf b = { 0 };
	expand(&r, t, &b);
	if (r.problem)
		buf_addf(out, "<error expanding template: %s%s%s>", r.problem, r.word[0] ? " " : "",
			 r.word);
	else
		buf_add_str(out, buf_str(&b));
	buf_fini(&b);
	arena_fini(&r.arena);
}
