#include "selector/label.h"
#include "selector/label_priv.h"
#include "text/names.h"

#include <assert.h>

enum token {
	TOKEN_END,
	TOKEN_IDENTIFIER,
	TOKEN_COMMA,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_NOT,
	TOKEN_EQUALS,
	TOKEN_NOT_EQUALS,
	TOKEN_GT,
	TOKEN_LT,
	TOKEN_IN, /* identifiers where a key or a value is meant */
	TOKEN_NOT_IN,
};

struct parser {
	struct arena *arena;
	struct str rest;
	enum token token; /* the next one */
	struct str text;  /* of it */
	struct error *err;
	struct label_build *build;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
	return memchr("=!(),><", c, 7) != NULL;
}

/* "==", "!=" or one character */
static enum token special(struct str s, size_t *ret_len)
{
	bool equals = s.len > 1 && s.p[1] == '=';
	*ret_len = 1;
	switch (s.p[0]) {
	case '=':
		*ret_len += equals;
		return TOKEN_EQUALS;
	case '!':
		*ret_len += equals;
		return equals ? TOKEN_NOT_EQUALS : TOKEN_NOT;
	case '(':
		return TOKEN_OPEN;
	case ')':
		return TOKEN_CLOSE;
	case ',':
		return TOKEN_COMMA;
	case '>':
		return TOKEN_GT;
	default:
		return TOKEN_LT;
	}
}

static void next(struct parser *p)
{
	size_t i = 0;
	while (i < p->rest.len && is_blank(p->rest.p[i]))
		i++;
	struct str s = str_n(p->rest.p + i, p->rest.len - i);
	size_t n = 0;
	if (!s.len) {
		p->token = TOKEN_END;
	} else if (is_special(s.p[0])) {
		p->token = special(s, &n);
	} else {
		while (n < s.len && !is_blank(s.p[n]) && !is_special(s.p[n]))
			n++;
		struct str word = str_n(s.p, n);
		p->token = str_is(word, "in")      ? TOKEN_IN
			   : str_is(word, "notin") ? TOKEN_NOT_IN
						   : TOKEN_IDENTIFIER;
	}
	p->text = str_n(s.p, n);
	p->rest = str_n(s.p + n, s.len - n);
}

static bool at_identifier(const struct parser *p)
{
	return p->token == TOKEN_IDENTIFIER || p->token == TOKEN_IN || p->token == TOKEN_NOT_IN;
}

static int unexpected(const struct parser *p, const char *wanted)
{
	return error_set(p->err, ERR_BAD_REQUEST,
			 "unable to parse requirement: found '%.*s', expected: %s",
			 STR_ARG(p->text), wanted);
}

/* "(a,b)", "()", "(,a)": a missing value is the empty string. */
static int value_list(struct parser *p)
{
	if (p->token != TOKEN_OPEN)
		return unexpected(p, "'('");
	next(p);
	for (bool want_value = true;; next(p)) {
		if (at_identifier(p)) {
			if (!want_value)
				return unexpected(p, "',' or ')'");
			int rc = label_build_value(p->build, p->text, p->err);
			if (rc)
				return rc;
			want_value = false;
			continue;
		}
		if (p->token != TOKEN_COMMA && p->token != TOKEN_CLOSE)
			return unexpected(p, "',', or identifier");
		if (want_value) {
			int rc = label_build_value(p->build, STR(""), p->err);
			if (rc)
				return rc;
		}
		if (p->token == TOKEN_CLOSE) {
			next(p);
			return 0;
		}
		want_value = true;
	}
}

static int exact_value(struct parser *p)
{
	if (p->token == TOKEN_END || p->token == TOKEN_COMMA)
		return label_build_value(p->build, STR(""), p->err);
	if (!at_identifier(p))
		return unexpected(p, "identifier");
	struct str value = p->text;
	next(p);
	return label_build_value(p->build, value, p->err);
}

static int operator_and_values(struct parser *p, enum label_op *ret)
{
	static const struct {
		enum token token;
		enum label_op op;
	} ops[] = {
		{ TOKEN_EQUALS, LABEL_EQUALS }, { TOKEN_NOT_EQUALS, LABEL_NOT_EQUALS },
		{ TOKEN_IN, LABEL_IN },         { TOKEN_NOT_IN, LABEL_NOT_IN },
		{ TOKEN_GT, LABEL_GT },         { TOKEN_LT, LABEL_LT },
	};
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (p->token != ops[i].token)
			continue;
		*ret = ops[i].op;
		next(p);
		return *ret == LABEL_IN || *ret == LABEL_NOT_IN ? value_list(p) : exact_value(p);
	}
	return unexpected(p, "in, notin, =, ==, !=, gt, lt");
}

static int requirement(struct parser *p)
{
	enum label_op op = LABEL_EXISTS;
	if (p->token == TOKEN_NOT) {
		op = LABEL_NOT_EXISTS;
		next(p);
	}
	if (!at_identifier(p))
		return unexpected(p, "identifier");
	int rc = label_build_begin(p->build, p->text, p->err);
	if (rc)
		return rc;
	next(p);
	if (op == LABEL_EXISTS && p->token != TOKEN_END && p->token != TOKEN_COMMA) {
		rc = operator_and_values(p, &op);
		if (rc)
			return rc;
	}
	rc = label_build_end(p->build, op, p->err);
	return rc ? rc : 0;
}

static int list(struct parser *p)
{
	next(p);
	while (p->token != TOKEN_END) {
		if (!at_identifier(p) && p->token != TOKEN_NOT)
			return error_set(
				p->err, ERR_BAD_REQUEST,
				"found '%.*s', expected: !, identifier, or 'end of string'",
				STR_ARG(p->text));
		int rc = requirement(p);
		if (rc)
			return rc;
		if (p->token == TOKEN_END)
			return 0;
		if (p->token != TOKEN_COMMA)
			return error_set(p->err, ERR_BAD_REQUEST,
					 "found '%.*s', expected: ',' or 'end of string'",
					 STR_ARG(p->text));
		next(p);
		if (!at_identifier(p) && p->token != TOKEN_NOT)
			return error_set(p->err, ERR_BAD_REQUEST,
					 "found '%.*s', expected: identifier after ','",
					 STR_ARG(p->text));
	}
	return 0;
}

int label_selector_parse(struct arena *a, struct str text, struct label_selector *ret,
			 struct error *err)
{
	if (text.len > LABEL_SELECTOR_TEXT_MAX)
		return error_set(err, ERR_BAD_REQUEST,
				 "label selector of %zu bytes, the limit is %d", text.len,
				 LABEL_SELECTOR_TEXT_MAX);
	struct label_build build;
	label_build_init(&build, a);
	build.wrap = "unable to parse requirement: <nil>: ";
	struct str copy = arena_str(a, text);
	struct parser p = { .arena = a, .rest = copy, .err = err, .build = &build };
	int rc = list(&p);
	if (rc == 0)
		label_build_finish(&build, ret);
	label_build_fini(&build);
	return rc;
}
