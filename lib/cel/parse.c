/* From text to a tree.  Grammar: language definition of CEL, "Syntax". */
#include "base/mem.h"
#include "cel/cel_priv.h"
#include "regex/regex.h"

#include <math.h>
#include <stdlib.h>

enum token { T_END, T_IDENT, T_INT, T_UINT, T_DOUBLE, T_STRING, T_BYTES, T_PUNCT, T_WRONG };

struct parser {
	struct arena *a;
	struct str text;
	size_t at, from; /* behind and at the current token */
	enum token token;
	struct str word;         /* identifier, number or punctuation */
	struct cel_value string; /* of a string token */
	const char *names[CEL_VARS_MAX];
	struct str scope[CEL_VARS_MAX];
	size_t scope_len, free_len;
	size_t nodes, depth;
	struct cel *c;
	size_t regexes_cap;
	struct error *err;
	bool failed;
};

static struct cel_node *parse_expr(struct parser *p);

static struct cel_node *fail(struct parser *p, const char *what)
{
	if (p->failed)
		return NULL;
	p->failed = true;
	size_t line = 1, column = 1;
	for (size_t i = 0; i < p->from && i < p->text.len; i++) {
		column = p->text.p[i] == '\n' ? 1 : column + 1;
		line += p->text.p[i] == '\n';
	}
	(void)error_set(p->err, ERR_BAD_REQUEST, "<input>:%zu:%zu: %s", line, column, what);
	return NULL;
}

/* ---- words ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char peek(const struct parser *p, size_t ahead)
{
	return p->at + ahead < p->text.len ? p->text.p[p->at + ahead] : '\0';
}

static void skip_blanks(struct parser *p)
{
	for (;;) {
		char c = peek(p, 0);
		if (p->at < p->text.len &&
		    (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f')) {
			p->at++;
		} else if (c == '/' && peek(p, 1) == '/') {
			while (p->at < p->text.len && p->text.p[p->at] != '\n')
				p->at++;
		} else {
			return;
		}
	}
}

static void put_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_addc(b, (char)c);
	} else if (c < 0x800) {
		buf_addc(b, (char)(0xC0 | c >> 6));
		buf_addc(b, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		buf_addc(b, (char)(0xE0 | c >> 12));
		buf_addc(b, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_addc(b, (char)(0x80 | (c & 0x3F)));
	} else {
		buf_addc(b, (char)(0xF0 | c >> 18));
		buf_addc(b, (char)(0x80 | (c >> 12 & 0x3F)));
		buf_addc(b, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_addc(b, (char)(0x80 | (c & 0x3F)));
	}
}

static int digit_of(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

static bool code_escape(struct parser *p, struct buf *b, size_t digits, int base, bool bytes)
{
	uint32_t v = 0;
	for (size_t i = 0; i < digits; i++, p->at++) {
		int d = digit_of(peek(p, 0));
		if (d >= base)
			return false;
		v = v * (uint32_t)base + (uint32_t)d;
	}
	if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000) || (bytes && v > 255))
		return false;
	if (bytes)
		buf_addc(b, (char)v);
	else
		put_utf8(b, v);
	return true;
}

static bool escape(struct parser *p, struct buf *b, bool bytes)
{
	static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
	char c = peek(p, 0);
	for (size_t i = 0; c && i < sizeof(from) - 1; i++)
		if (c == from[i]) {
			buf_addc(b, to[i]);
			p->at++;
			return true;
		}
	if (c >= '0' && c <= '3')
		return code_escape(p, b, 3, 8, bytes);
	p->at++;
	if (c == 'x' || c == 'X')
		return code_escape(p, b, 2, 16, bytes);
	if (c == 'u' && !bytes)
		return code_escape(p, b, 4, 16, bytes);
	return c == 'U' && !bytes && code_escape(p, b, 8, 16, bytes);
}

static bool quote_at(const struct parser *p, char quote, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (peek(p, i) != quote)
			return false;
	return true;
}

/* At the quote. */
static enum token read_string(struct parser *p, bool raw, bool bytes)
{
	char quote = peek(p, 0);
	size_t len = quote_at(p, quote, 3) ? 3 : 1;
	struct buf b = { 0 };
	bool ok = true;
	p->at += len;
	while (ok && !quote_at(p, quote, len)) {
		char c = peek(p, 0);
		if (p->at >= p->text.len || (len == 1 && (c == '\n' || c == '\r'))) {
			ok = false;
		} else if (c == '\\' && !raw) {
			p->at++;
			ok = escape(p, &b, bytes);
		} else {
			buf_addc(&b, c);
			p->at++;
		}
	}
	p->at += len;
	p->string = (struct cel_value){ .type = bytes ? CEL_BYTES : CEL_STRING,
					.s = arena_str(p->a, buf_str(&b)) };
	buf_fini(&b);
	return ok ? T_STRING : T_WRONG;
}

static enum token read_number(struct parser *p)
{
	size_t from = p->at;
	enum token t = T_INT;
	if (peek(p, 0) == '0' && (peek(p, 1) == 'x' || peek(p, 1) == 'X')) {
		p->at += 2;
		while (digit_of(peek(p, 0)) < 16)
			p->at++;
	} else {
		while (is_digit(peek(p, 0)))
			p->at++;
		if (peek(p, 0) == '.' && is_digit(peek(p, 1))) {
			t = T_DOUBLE;
			p->at++;
			while (is_digit(peek(p, 0)))
				p->at++;
		}
		size_t sign = peek(p, 1) == '+' || peek(p, 1) == '-' ? 2 : 1;
		if ((peek(p, 0) == 'e' || peek(p, 0) == 'E') && is_digit(peek(p, sign))) {
			t = T_DOUBLE;
			p->at += sign;
			while (is_digit(peek(p, 0)))
				p->at++;
		}
	}
	p->word = str_sub(p->text, from, p->at);
	if (t == T_INT && (peek(p, 0) == 'u' || peek(p, 0) == 'U')) {
		p->at++;
		t = T_UINT;
	}
	return t;
}

static enum token read_punct(struct parser *p)
{
	static const char *const two[] = { "&&", "||", "==", "!=", "<=", ">=", ".?", "[?" };
	size_t len = 1;
	for (size_t i = 0; i < sizeof(two) / sizeof(*two); i++)
		if (peek(p, 0) == two[i][0] && peek(p, 1) == two[i][1])
			len = 2;
	p->word = str_sub(p->text, p->at, p->at + len);
	p->at += len;
	return str_find(STR("&|="), p->word.p[0], 0) >= 0 && len == 1 ? T_WRONG : T_PUNCT;
}

static enum token read_token(struct parser *p)
{
	skip_blanks(p);
	p->from = p->at;
	if (p->at >= p->text.len)
		return T_END;
	char c = peek(p, 0), d = peek(p, 1), q = peek(p, 2);
	bool raw = c == 'r' || c == 'R', bytes = c == 'b' || c == 'B';
	if (c == '"' || c == '\'')
		return read_string(p, false, false);
	if ((raw || bytes) && (d == '"' || d == '\'')) {
		p->at++;
		return read_string(p, raw, bytes);
	}
	if (((raw && (d == 'b' || d == 'B')) || (bytes && (d == 'r' || d == 'R'))) &&
	    (q == '"' || q == '\'')) {
		p->at += 2;
		return read_string(p, true, true);
	}
	if (is_letter(c)) {
		while (is_letter(peek(p, 0)) || is_digit(peek(p, 0)))
			p->at++;
		p->word = str_sub(p->text, p->from, p->at);
		return T_IDENT;
	}
	if (is_digit(c) || (c == '.' && is_digit(d)))
		return read_number(p);
	return read_punct(p);
}

static void next(struct parser *p)
{
	p->token = read_token(p);
	if (p->token == T_WRONG)
		(void)fail(p, "Syntax error: token recognition error");
}

static bool is_punct(const struct parser *p, const char *s)
{
	return p->token == T_PUNCT && str_is(p->word, s);
}

static bool take(struct parser *p, const char *s)
{
	if (p->failed || !is_punct(p, s))
		return false;
	next(p);
	return true;
}

static bool need(struct parser *p, const char *s)
{
	if (take(p, s))
		return true;
	char msg[64];
	(void)snprintf(msg, sizeof(msg), "Syntax error: expecting '%s'", s);
	(void)fail(p, msg);
	return false;
}

/* ---- nodes ---- */

static struct cel_node *node(struct parser *p, enum cel_op op, struct cel_node **args, size_t len)
{
	if (p->failed)
		return NULL;
	if (++p->nodes > CEL_NODES_MAX)
		return fail(p, "the expression is too large");
	struct cel_node *n = arena_new(p->a, struct cel_node, 1);
	*n = (struct cel_node){ .op = op, .args = args, .len = len };
	for (size_t i = 0; i < len; i++)
		if (args[i] && args[i]->depth >= n->depth)
			n->depth = (uint16_t)(args[i]->depth + 1);
	return n->depth > CEL_DEPTH_MAX ? fail(p, "the expression is nested too deeply") : n;
}

static struct cel_node *node_of(struct parser *p, enum cel_op op, struct cel_node *x,
				struct cel_node *y, struct cel_node *z)
{
	size_t len = z ? 3 : y ? 2 : 1;
	struct cel_node **args = arena_new(p->a, struct cel_node *, 3);
	args[0] = x;
	args[1] = y;
	args[2] = z;
	return node(p, op, args, len);
}

static struct cel_node *literal(struct parser *p, struct cel_value v)
{
	struct cel_node *n = node(p, OP_LITERAL, NULL, 0);
	if (n)
		n->literal = v;
	return n;
}

struct arguments {
	struct cel_node **list;
	size_t len, cap;
};

static void argument(struct parser *p, struct arguments *x, struct cel_node *n)
{
	if (x->len == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 4;
		struct cel_node **list = arena_new(p->a, struct cel_node *, cap);
		for (size_t i = 0; i < x->len; i++)
			list[i] = x->list[i];
		x->list = list;
		x->cap = cap;
	}
	x->list[x->len++] = n;
}

/* Up to the closing word, which is taken. */
static void arguments(struct parser *p, struct arguments *x, const char *end)
{
	if (take(p, end))
		return;
	while (!p->failed) {
		argument(p, x, parse_expr(p));
		if (take(p, end))
			return;
		if (!need(p, ","))
			return;
		if (str_is(str_of(end), "]") && take(p, end))
			return;
	}
}

/* ---- macros ---- */

static const struct {
	const char *name;
	size_t args_min, args_max; /* with the variable */
	enum cel_op op;
} macros[] = {
	{ "all", 2, 2, OP_ALL },
	{ "exists", 2, 2, OP_EXISTS },
	{ "exists_one", 2, 2, OP_EXISTS_ONE },
	{ "existsOne", 2, 2, OP_EXISTS_ONE },
	{ "filter", 2, 2, OP_FILTER },
	{ "map", 2, 3, OP_MAP_MACRO },
};

/* Behind "range.name(": VARIABLE, EXPRESSION [, EXPRESSION] ")" */
static struct cel_node *parse_macro(struct parser *p, struct cel_node *range, size_t m)
{
	struct arguments x = { 0 };
	if (p->token != T_IDENT)
		return fail(p, "argument must be a simple name");
	if (p->scope_len == CEL_VARS_MAX)
		return fail(p, "too many variables");
	struct str name = p->word;
	next(p);
	if (!need(p, ","))
		return NULL;
	uint16_t slot = (uint16_t)p->scope_len;
	p->scope[p->scope_len++] = name;
	argument(p, &x, range);
	arguments(p, &x, ")");
	p->scope_len--;
	if (!p->failed && (x.len < macros[m].args_min || x.len > macros[m].args_max))
		return fail(p, "wrong number of arguments of a macro");
	struct cel_node *n = node(p, macros[m].op, x.list, x.len);
	if (n)
		n->slot = slot;
	return n;
}

static struct cel_node *parse_has(struct parser *p)
{
	struct cel_node *x = parse_expr(p);
	if (!need(p, ")"))
		return NULL;
	if (!x || x->op != OP_SELECT)
		return fail(p, "invalid argument to has() macro");
	x->op = OP_HAS;
	return x;
}

/* ---- calls ---- */

static struct cel_node *take_regex(struct parser *p, struct cel_node *n)
{
	struct error err = { 0 };
	const struct cel_node *pattern = n->args[n->len - 1];
	if (!str_is(n->name, "matches") || !pattern || pattern->op != OP_LITERAL ||
	    pattern->literal.type != CEL_STRING)
		return n;
	struct regex *re = regex_compile(pattern->literal.s, REGEX_SEARCH, &err);
	if (!re)
		return fail(p, arena_printf(p->a, "invalid matches argument: %s", err.msg));
	mem_grow(p->c->regexes, p->c->regexes_len, p->regexes_cap);
	p->c->regexes[p->c->regexes_len++] = re;
	n->regex = re;
	return n;
}

static struct cel_node *call(struct parser *p, struct str name, struct cel_node *on)
{
	struct arguments x = { 0 };
	if (on)
		argument(p, &x, on);
	arguments(p, &x, ")");
	if (!p->failed && !cel_call_known(name, on != NULL, x.len))
		return fail(p,
			    arena_printf(p->a, "undeclared reference to '%.*s' with %zu arguments",
					 STR_ARG(name), x.len - (on != NULL)));
	struct cel_node *n = node(p, on ? OP_METHOD : OP_CALL, x.list, x.len);
	if (!n)
		return NULL;
	n->name = name;
	return x.len ? take_regex(p, n) : n;
}

static bool is_declared(const struct parser *p, struct str name, size_t *slot)
{
	for (size_t i = p->scope_len; i > 0; i--)
		if (str_eq(p->scope[i - 1], name)) {
			*slot = i - 1;
			return true;
		}
	return false;
}

static const struct {
	const char *name;
	enum cel_type type;
} type_names[] = {
	{ "bool", CEL_BOOL },     { "int", CEL_INT },       { "uint", CEL_UINT },
	{ "double", CEL_DOUBLE }, { "string", CEL_STRING }, { "bytes", CEL_BYTES },
	{ "list", CEL_LIST },     { "map", CEL_MAP },       { "null_type", CEL_NULL },
	{ "type", CEL_TYPE },
};

/* Functions that stand in a namespace: "sets.contains". */
static bool is_namespace(struct str s)
{
	return str_is(s, "sets") || str_is(s, "math") || str_is(s, "optional");
}

static struct cel_node *parse_name(struct parser *p)
{
	struct str name = p->word;
	size_t slot = 0;
	next(p);
	if (str_is(name, "true") || str_is(name, "false"))
		return literal(p, cel_bool(str_is(name, "true")));
	if (str_is(name, "null"))
		return literal(p, (struct cel_value){ .type = CEL_NULL });
	if (str_is(name, "has") && take(p, "("))
		return parse_has(p);
	if (take(p, "("))
		return call(p, name, NULL);
	if (is_declared(p, name, &slot)) {
		struct cel_node *n = node(p, OP_VAR, NULL, 0);
		if (n)
			n->slot = (uint16_t)slot;
		if (slot < p->free_len)
			p->c->used |= 1U << slot;
		return n;
	}
	if (is_namespace(name) && take(p, ".") && p->token == T_IDENT) {
		struct str full = arena_strf(p->a, "%.*s.%.*s", STR_ARG(name), STR_ARG(p->word));
		next(p);
		return need(p, "(") ? call(p, full, NULL) : NULL;
	}
	for (size_t i = 0; i < sizeof(type_names) / sizeof(*type_names); i++)
		if (str_is(name, type_names[i].name))
			return literal(
				p, (struct cel_value){ .type = CEL_TYPE, .i = type_names[i].type });
	return fail(p, arena_printf(p->a, "undeclared reference to '%.*s' (in container '')",
				    STR_ARG(name)));
}

/* ---- literals ---- */

static struct cel_node *parse_number(struct parser *p, bool negative)
{
	char text[64];
	char *end = NULL;
	bool hex = p->word.len > 2 && (p->word.p[1] == 'x' || p->word.p[1] == 'X');
	if (p->word.len >= sizeof(text))
		return fail(p, "invalid number");
	memcpy(text, p->word.p, p->word.len);
	text[p->word.len] = '\0';
	struct cel_value v = { .type = CEL_DOUBLE };
	if (p->token == T_DOUBLE) {
		v.d = strtod(text, &end);
		v.d = negative ? -v.d : v.d;
	} else {
		uint64_t u = 0, max = (uint64_t)INT64_MAX + negative;
		int base = hex ? 16 : 10;
		for (const char *s = hex ? text + 2 : text; *s; s++)
			if (__builtin_mul_overflow(u, (uint64_t)base, &u) ||
			    __builtin_add_overflow(u, (uint64_t)digit_of(*s), &u))
				return fail(p, "invalid int literal");
		if (p->token == T_INT && u > max)
			return fail(p, "invalid int literal");
		if (p->token == T_UINT)
			v = (struct cel_value){ .type = CEL_UINT, .u = u };
		else
			v = cel_int(negative ? (int64_t)(0 - u) : (int64_t)u);
	}
	next(p);
	return literal(p, v);
}

static struct cel_node *parse_map(struct parser *p)
{
	struct arguments x = { 0 };
	while (!p->failed && !take(p, "}")) {
		argument(p, &x, parse_expr(p));
		if (!need(p, ":"))
			return NULL;
		argument(p, &x, parse_expr(p));
		if (!is_punct(p, "}") && !need(p, ","))
			return NULL;
	}
	return node(p, OP_MAP, x.list, x.len);
}

static struct cel_node *parse_primary(struct parser *p)
{
	if (p->failed)
		return NULL;
	switch (p->token) {
	case T_INT:
	case T_UINT:
	case T_DOUBLE:
		return parse_number(p, false);
	case T_STRING:
	case T_BYTES: {
		struct cel_value v = p->string;
		next(p);
		return literal(p, v);
	}
	case T_IDENT:
		return parse_name(p);
	case T_PUNCT:
		if (take(p, "(")) {
			struct cel_node *n = parse_expr(p);
			return need(p, ")") ? n : NULL;
		}
		if (take(p, "[")) {
			struct arguments x = { 0 };
			arguments(p, &x, "]");
			return node(p, OP_LIST, x.list, x.len);
		}
		if (take(p, "{"))
			return parse_map(p);
		break;
	case T_END:
	case T_WRONG:
		break;
	}
	return fail(p, "Syntax error: mismatched input");
}

static struct cel_node *parse_selector(struct parser *p, struct cel_node *on, bool optional)
{
	if (p->token != T_IDENT)
		return fail(p, "Syntax error: expecting a name");
	struct str name = p->word;
	next(p);
	if (!optional && take(p, "(")) {
		for (size_t m = 0; m < sizeof(macros) / sizeof(*macros); m++)
			if (str_is(name, macros[m].name))
				return parse_macro(p, on, m);
		return call(p, name, on);
	}
	struct cel_node *n = node_of(p, optional ? OP_OPT_SELECT : OP_SELECT, on, NULL, NULL);
	if (n)
		n->name = name;
	return n;
}

static struct cel_node *parse_member(struct parser *p)
{
	struct cel_node *n = parse_primary(p);
	while (!p->failed && n) {
		bool optional = is_punct(p, "[?");
		if (is_punct(p, ".?")) {
			next(p);
			n = parse_selector(p, n, true);
		} else if (take(p, ".")) {
			n = parse_selector(p, n, false);
		} else if (optional || is_punct(p, "[")) {
			next(p);
			struct cel_node *i = parse_expr(p);
			if (!need(p, "]"))
				return NULL;
			n = node_of(p, optional ? OP_OPT_INDEX : OP_INDEX, n, i, NULL);
		} else {
			break;
		}
	}
	return n;
}

static struct cel_node *parse_unary(struct parser *p)
{
	size_t nots = 0, minuses = 0;
	while (!p->failed && (is_punct(p, "!") || is_punct(p, "-"))) {
		bool minus = is_punct(p, "-");
		if (minus ? nots : minuses)
			return fail(p, "Syntax error: '!' and '-' cannot be mixed");
		next(p);
		if (minus && (p->token == T_INT || p->token == T_DOUBLE) && minuses == 0) {
			struct cel_node *n = parse_number(p, true);
			if (is_punct(p, ".") || is_punct(p, "["))
				return fail(p, "Syntax error: a number has no members");
			return n;
		}
		*(minus ? &minuses : &nots) += 1;
	}
	struct cel_node *n = parse_member(p);
	if (nots % 2)
		n = node_of(p, OP_NOT, n, NULL, NULL);
	if (minuses % 2)
		n = node_of(p, OP_NEGATE, n, NULL, NULL);
	return n;
}

/* ---- operators, by how strongly they bind ---- */

static const struct {
	const char *text;
	unsigned level;
	enum cel_op op;
} operators[] = {
	{ "||", 0, OP_OR }, { "&&", 1, OP_AND }, { "==", 2, OP_EQ }, { "!=", 2, OP_NE },
	{ "<", 2, OP_LT },  { "<=", 2, OP_LE },  { ">", 2, OP_GT },  { ">=", 2, OP_GE },
	{ "in", 2, OP_IN }, { "+", 3, OP_ADD },  { "-", 3, OP_SUB }, { "*", 4, OP_MUL },
	{ "/", 4, OP_DIV }, { "%", 4, OP_MOD },
};

static bool operator_at(const struct parser *p, unsigned level, enum cel_op *ret)
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
		bool here =
			p->token == T_PUNCT || (p->token == T_IDENT && operators[i].op == OP_IN);
		if (here && operators[i].level == level && str_is(p->word, operators[i].text)) {
			*ret = operators[i].op;
			return true;
		}
	}
	return false;
}

static struct cel_node *parse_level(struct parser *p, unsigned level)
{
	enum cel_op op;
	struct cel_node *n = level == 5 ? parse_unary(p) : parse_level(p, level + 1);
	while (level < 5 && !p->failed && operator_at(p, level, &op)) {
		next(p);
		struct cel_node *right = parse_level(p, level + 1);
		n = node_of(p, op, n, right, NULL);
	}
	return n;
}

static struct cel_node *parse_expr(struct parser *p)
{
	if (p->failed)
		return NULL;
	if (++p->depth > CEL_DEPTH_MAX)
		return fail(p, "the expression is nested too deeply");
	struct cel_node *n = parse_level(p, 0);
	if (take(p, "?")) {
		struct cel_node *yes = parse_level(p, 0);
		if (need(p, ":")) {
			struct cel_node *no = parse_expr(p);
			n = node_of(p, OP_TERNARY, n, yes, no);
		}
	}
	p->depth--;
	return p->failed ? NULL : n;
}

int cel_compile(struct arena *a, struct str text, const char *const *vars, size_t vars_len,
		struct cel **ret, struct error *err)
{
	struct error own = { 0 };
	if (text.len > CEL_TEXT_MAX)
		return error_set(err, ERR_TOO_LARGE, "the expression is longer than %d bytes",
				 CEL_TEXT_MAX);
	struct cel *c = arena_new(a, struct cel, 1);
	struct parser p = { .a = a, .text = arena_str(a, text), .c = c, .err = err ? err : &own };
	for (size_t i = 0; i < vars_len && i < CEL_VARS_MAX; i++)
		p.scope[p.scope_len++] = str_of(vars[i]);
	p.free_len = c->vars_len = p.scope_len;
	next(&p);
	c->root = parse_expr(&p);
	if (!p.failed && p.token != T_END)
		(void)fail(&p, "Syntax error: extraneous input");
	if (p.failed) {
		cel_fini(c);
		return ERR_BAD_REQUEST;
	}
	*ret = c;
	return 0;
}

void cel_fini(struct cel *c)
{
	for (size_t i = 0; c && i < c->regexes_len; i++)
		(void)regex_free(c->regexes[i]);
	if (c)
		mem_free(c->regexes);
}

bool cel_uses(const struct cel *c, size_t i)
{
	return c->used & (1U << i);
}
