#include "regex/regex_priv.h"

/*
 * PCRE2 knows much that RE2 does not.  What may pass is listed, everything else
 * is refused, so that an expression means here what it means in Prometheus.
 */
struct scan {
	struct str s;
	size_t i;
	struct buf *out;
	struct error *err;
	bool after_quantifier;
	bool after_atom; /* something a quantifier may follow */
};

static int refuse(const struct scan *c, const char *what)
{
	return error_set(c->err, ERR_BAD_REQUEST, "error parsing regexp: %s: `%.*s`", what,
			 STR_ARG(c->s));
}

static char peek(const struct scan *c, size_t ahead)
{
	return c->i + ahead < c->s.len ? c->s.p[c->i + ahead] : '\0';
}

static void copy(struct scan *c, size_t n)
{
	buf_add_str(c->out, str_sub(c->s, c->i, c->i + n));
	c->i += n;
}

/* \Q...\E: everything between stands for itself. */
static void quoted(struct scan *c)
{
	c->i += 2;
	ptrdiff_t end = str_find_str(c->s, STR("\\E"), c->i);
	size_t stop = end < 0 ? c->s.len : (size_t)end;
	regex_quote(c->out, str_sub(c->s, c->i, stop));
	c->i = end < 0 ? stop : stop + 2;
}

/* c->i is at a backslash. */
static int escape(struct scan *c, bool in_class)
{
	char e = peek(c, 1);
	if (!e)
		return refuse(c, "trailing backslash at end of expression");
	c->after_atom = true;
	if (e == 'Q') {
		quoted(c);
	} else if (e == 'v') {
		buf_adds(c->out, "\\x0B"); /* one character in RE2, a class in PCRE2 */
		c->i += 2;
	} else if (e == 's' || e == 'S') {
		/* RE2's blanks have no vertical tab. */
		if (in_class)
			buf_adds(c->out, e == 's' ? "\\t\\n\\f\\r " : "\\S\\x0B");
		else
			buf_adds(c->out, e == 's' ? "[\\t\\n\\f\\r ]" : "[\\S\\x0B]");
		c->i += 2;
	} else if (memchr("aftnrx0dDwWpP", e, 13) || (!in_class && memchr("AbBz", e, 4))) {
		copy(c, 2);
		ptrdiff_t end =
			peek(c, 0) == '{' && memchr("xpP", e, 3) ? str_find(c->s, '}', c->i) : -1;
		if (end >= 0) /* \x{10FFFF}, \p{Greek} */
			copy(c, (size_t)end + 1 - c->i);
	} else if ((e | 0x20) >= 'a' && (e | 0x20) <= 'z') {
		return refuse(c, "invalid escape sequence");
	} else if (e >= '1' && e <= '9') {
		return refuse(c, "invalid escape sequence");
	} else {
		copy(c, 1);
		copy(c, 1);
	}
	return 0;
}

/* "[...]"; c->i is at the bracket. */
static int class_of(struct scan *c)
{
	copy(c, 1);
	if (peek(c, 0) == '^')
		copy(c, 1);
	if (peek(c, 0) == ']') {
		buf_addc(c->out, '\\');
		copy(c, 1);
	}
	while (c->i < c->s.len && peek(c, 0) != ']') {
		if (peek(c, 0) == '\\') {
			int rc = escape(c, true);
			if (rc)
				return rc;
		} else if (peek(c, 0) == '[' && peek(c, 1) == ':') {
			ptrdiff_t end = str_find_str(c->s, STR(":]"), c->i + 2);
			copy(c, end < 0 ? 1 : (size_t)end + 2 - c->i);
		} else {
			if (peek(c, 0) == '[')
				buf_addc(c->out, '\\'); /* "[." and "[=" are errors in PCRE2 */
			copy(c, 1);
		}
	}
	if (c->i >= c->s.len)
		return refuse(c, "missing closing ]");
	copy(c, 1);
	return 0;
}

/* "(": plain, or (?flags), (?flags:...), (?P<name>...), (?<name>...) */
static int group(struct scan *c)
{
	if (peek(c, 1) == '*')
		return refuse(c, "missing argument to repetition operator");
	if (peek(c, 1) != '?') {
		copy(c, 1);
		return 0;
	}
	bool p_name = peek(c, 2) == 'P' && peek(c, 3) == '<';
	bool name = peek(c, 2) == '<' && peek(c, 3) != '=' && peek(c, 3) != '!';
	if (p_name || name) {
		copy(c, p_name ? 4 : 3);
		return 0;
	}
	size_t n = 2;
	while (peek(c, n) && memchr("imsU-", peek(c, n), 5))
		n++;
	if ((peek(c, n) != ')' && peek(c, n) != ':') || (n == 2 && peek(c, n) == ')'))
		return refuse(c, "invalid or unsupported Perl syntax");
	copy(c, n + 1);
	return 0;
}

/* Length of "{2}", "{2,}", "{2,5}" at c->i, or 0: then the brace is a character. */
static size_t repeat_len(const struct scan *c)
{
	size_t n = 1;
	size_t digits = 0;
	for (; peek(c, n) >= '0' && peek(c, n) <= '9'; n++)
		digits++;
	if (!digits)
		return 0;
	if (peek(c, n) == ',') {
		n++;
		while (peek(c, n) >= '0' && peek(c, n) <= '9')
			n++;
	}
	return peek(c, n) == '}' ? n + 1 : 0;
}

/* A quantifier with its "?"; a second one behind it is none in RE2 and possessive in PCRE2. */
static int quantifier(struct scan *c, size_t len)
{
	if (c->after_quantifier)
		return refuse(c, "invalid nested repetition operator");
	if (!c->after_atom)
		return refuse(c, "missing argument to repetition operator");
	copy(c, len);
	if (peek(c, 0) == '?')
		copy(c, 1);
	c->after_quantifier = true;
	return 0;
}

static int step(struct scan *c)
{
	char ch = peek(c, 0);
	size_t len = ch == '{' ? repeat_len(c) : 0;
	if (len || ch == '*' || ch == '+' || ch == '?')
		return quantifier(c, len ? len : 1);
	c->after_quantifier = false;
	if (ch == '\\')
		return escape(c, false);
	if (ch == '(' || ch == '|') {
		c->after_atom = false;
		if (ch == '(')
			return group(c);
		copy(c, 1);
		return 0;
	}
	c->after_atom = true;
	if (ch == '[')
		return class_of(c);
	if (ch == '{' || ch == '}')
		buf_addc(c->out, '\\');
	copy(c, 1);
	return 0;
}

int regex_translate(struct str pattern, struct buf *out, struct error *err)
{
	struct scan c = { .s = pattern, .out = out, .err = err };
	while (c.i < pattern.len) {
		int rc = step(&c);
		if (rc)
			return rc;
	}
	return 0;
}
