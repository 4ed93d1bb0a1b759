/* From text to tree. */
#include "template_priv.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void problem_set(struct problem *p, const char *fmt, ...)
{
	if (p->text[0])
		return;
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
}

/* ---- words of an action ---- */

struct parser {
	struct arena *a;
	struct problem *problem;
	struct map *defined;
	struct str text; /* what is left of the template */
	bool trim_next;
	struct str in; /* what is left of the action */
	size_t depth, loops;
};

static void skip_blanks(struct parser *p)
{
	while (p->in.len && isspace((unsigned char)p->in.p[0]))
		p->in = str_sub(p->in, 1, p->in.len);
}

static struct str take(struct parser *p, size_t n)
{
	struct str s = str_sub(p->in, 0, n);
	p->in = str_sub(p->in, n, p->in.len);
	return s;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static size_t word_len(struct str s, size_t from)
{
	while (from < s.len && is_word(s.p[from]))
		from++;
	return from;
}

/* Takes a keyword off; what follows must not belong to it. */
static bool keyword(struct parser *p, const char *word)
{
	size_t n = strlen(word);
	skip_blanks(p);
	if (!str_starts(p->in, str_of(word)) || word_len(p->in, 0) != n)
		return false;
	(void)take(p, n);
	return true;
}

static size_t add_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	out[0] = (char)(lead[n] | c);
	return n;
}

/* The bytes of one escape at in[*i] (behind the backslash). */
static size_t unescape(struct str in, size_t *i, char *out)
{
	static const char from[] = "abfnrtv";
	static const char to[] = "\a\b\f\n\r\t\v";
	char c = in.p[(*i)++];
	const char *at = strchr(from, c);
	if (at && c) {
		*out = to[at - from];
		return 1;
	}
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	if (!digits || *i + digits > in.len) {
		*out = c;
		return 1;
	}
	char hex[9] = { 0 };
	memcpy(hex, in.p + *i, digits);
	*i += digits;
	uint32_t code = (uint32_t)strtoul(hex, NULL, 16);
	if (c == 'x') {
		*out = (char)code;
		return 1;
	}
	return add_utf8(out, code > 0x10ffff ? 0xfffd : code);
}

static struct template_value quoted(struct parser *p)
{
	char quote = p->in.p[0];
	size_t end = 1;
	while (end < p->in.len && p->in.p[end] != quote)
		end += p->in.p[end] == '\\' && quote != '`' ? 2 : 1;
	if (end >= p->in.len) {
		problem_set(p->problem, "unterminated quoted string");
		return (struct template_value){ 0 };
	}
	struct str in = str_sub(take(p, end + 1), 1, end);
	if (quote == '`')
		return template_string(in);
	char *out = arena_alloc(p->a, in.len + 4);
	size_t n = 0;
	for (size_t i = 0; i < in.len;) {
		if (in.p[i] == '\\' && i + 1 < in.len) {
			i++;
			n += unescape(in, &i, out + n);
		} else {
			out[n++] = in.p[i++];
		}
	}
	return template_string(str_n(out, n));
}

static struct template_value number(struct parser *p)
{
	size_t n = 1;
	while (n < p->in.len &&
	       (is_word(p->in.p[n]) || p->in.p[n] == '.' ||
		((p->in.p[n] == '-' || p->in.p[n] == '+') && strchr("eE", p->in.p[n - 1]))))
		n++;
	struct str text = take(p, n);
	int64_t i = 0;
	if (str_to_i64(text, &i))
		return (struct template_value){ .kind = TEMPLATE_INT, .i = i };
	char *end = NULL;
	char *s = arena_printf(p->a, "%.*s", STR_ARG(text));
	double d = strtod(s, &end);
	if (end == s || *end)
		problem_set(p->problem, "bad number syntax: \"%.*s\"", STR_ARG(text));
	return template_number(d);
}

/* ---- pipelines ---- */

static struct pipe *parse_pipe(struct parser *p);

/* .a.b behind a value */
static void chain(struct parser *p, struct arg *x)
{
	struct str names[32];
	size_t n = 0;
	while (p->in.len > 1 && p->in.p[0] == '.' && is_word(p->in.p[1])) {
		size_t end = word_len(p->in, 1);
		if (n == 32) {
			problem_set(p->problem, "too many members in a row");
			return;
		}
		names[n++] = str_sub(take(p, end), 1, end);
	}
	x->chain = arena_new(p->a, struct str, n);
	x->chain_len = n;
	if (n)
		memcpy(x->chain, names, n * sizeof(*names));
}

static void name_or_constant(struct parser *p, struct arg *x)
{
	x->name = take(p, word_len(p->in, 0));
	if (str_is(x->name, "true") || str_is(x->name, "false")) {
		x->kind = ARG_CONSTANT;
		x->constant = (struct template_value){ .kind = TEMPLATE_BOOL,
						       .b = str_is(x->name, "true") };
	} else if (str_is(x->name, "nil")) {
		x->kind = ARG_CONSTANT;
	} else {
		x->kind = ARG_FUNCTION;
		if (!function_known(x->name))
			problem_set(p->problem, "function \"%.*s\" not defined", STR_ARG(x->name));
	}
}

/* One word; false when there is none (a bar, a parenthesis, the end). */
static bool parse_arg(struct parser *p, struct arg *x)
{
	skip_blanks(p);
	if (!p->in.len || p->in.p[0] == '|' || p->in.p[0] == ')' || p->problem->text[0])
		return false;
	char c = p->in.p[0];
	*x = (struct arg){ .kind = ARG_CONSTANT };
	if (c == '"' || c == '`' || c == '\'') {
		x->constant = quoted(p);
	} else if (isdigit((unsigned char)c) || ((c == '-' || c == '+') && p->in.len > 1 &&
						 isdigit((unsigned char)p->in.p[1]))) {
		x->constant = number(p);
	} else if (c == '.') {
		x->kind = ARG_FIELD;
		if (p->in.len < 2 || !is_word(p->in.p[1]))
			(void)take(p, 1);
		chain(p, x);
	} else if (c == '$') {
		x->kind = ARG_VARIABLE;
		x->name = take(p, word_len(p->in, 1));
		chain(p, x);
	} else if (c == '(') {
		(void)take(p, 1);
		x->kind = ARG_PIPE;
		x->pipe = parse_pipe(p);
		if (p->in.len && p->in.p[0] == ')')
			(void)take(p, 1);
		else
			problem_set(p->problem, "unclosed left paren");
		chain(p, x);
	} else if (is_word(c)) {
		name_or_constant(p, x);
	} else {
		problem_set(p->problem, "unexpected \"%.*s\"", STR_ARG(str_sub(p->in, 0, 20)));
		return false;
	}
	if (p->in.len && !isspace((unsigned char)p->in.p[0]) && !strchr("|),=:", p->in.p[0]))
		problem_set(p->problem, "unexpected \"%.*s\"", STR_ARG(str_sub(p->in, 0, 20)));
	return !p->problem->text[0];
}

static struct command *parse_command(struct parser *p)
{
	struct arg args[ARGS_MAX];
	size_t n = 0;
	while (n < ARGS_MAX && parse_arg(p, &args[n]))
		n++;
	skip_blanks(p);
	if (n == ARGS_MAX)
		problem_set(p->problem, "too many values in a command");
	if (!n)
		problem_set(p->problem, "missing value for command");
	struct command *c = arena_new(p->a, struct command, 1);
	c->args = arena_new(p->a, struct arg, n);
	c->len = n;
	if (n)
		memcpy(c->args, args, n * sizeof(*args));
	return c;
}

/* "$x :=", "$x =", "$i, $e :=" */
static void declaration(struct parser *p, struct pipe *pipe)
{
	struct str before = p->in;
	for (;;) {
		skip_blanks(p);
		if (!p->in.len || p->in.p[0] != '$' || pipe->vars_len == 2)
			break;
		pipe->vars[pipe->vars_len++] = take(p, word_len(p->in, 1));
		skip_blanks(p);
		if (str_starts(p->in, STR(":="))) {
			(void)take(p, 2);
			return;
		}
		if (p->in.len && p->in.p[0] == '=') {
			(void)take(p, 1);
			pipe->assign = true;
			return;
		}
		if (!p->in.len || p->in.p[0] != ',')
			break;
		(void)take(p, 1);
	}
	p->in = before; /* it was none */
	pipe->vars_len = 0;
}

static struct pipe *parse_pipe(struct parser *p)
{
	struct pipe *pipe = arena_new(p->a, struct pipe, 1);
	if (++p->depth > TEMPLATE_DEPTH_MAX)
		problem_set(p->problem, "nested too deeply");
	declaration(p, pipe);
	struct command **end = &pipe->commands;
	while (!p->problem->text[0]) {
		*end = parse_command(p);
		end = &(*end)->next;
		if (!p->in.len || p->in.p[0] != '|')
			break;
		(void)take(p, 1);
	}
	p->depth--;
	return pipe;
}

static struct pipe *last_pipe(struct parser *p)
{
	struct pipe *pipe = parse_pipe(p);
	skip_blanks(p);
	if (p->in.len)
		problem_set(p->problem, "unexpected \"%.*s\"", STR_ARG(str_sub(p->in, 0, 20)));
	return pipe;
}

/* ---- nodes ---- */

/* The end of the action that begins before `from`: behind quoted text; -1 = none. */
static ptrdiff_t action_end(struct str t, size_t from)
{
	char quote = 0;
	for (size_t i = from; i + 1 < t.len; i++) {
		char c = t.p[i];
		if (quote && quote != '`' && c == '\\')
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

static struct str trim_left(struct str s)
{
	while (s.len && isspace((unsigned char)s.p[0]))
		s = str_sub(s, 1, s.len);
	return s;
}

static struct str trim_right(struct str s)
{
	while (s.len && isspace((unsigned char)s.p[s.len - 1]))
		s.len--;
	return s;
}

/* Takes the text up to the next action, and the action into p->in; false at the end of the template. */
static bool next_action(struct parser *p, struct str *lead)
{
	struct str t = p->text;
	ptrdiff_t open = str_find_str(t, STR("{{"), 0);
	*lead = str_sub(t, 0, open < 0 ? t.len : (size_t)open);
	if (p->trim_next)
		*lead = trim_left(*lead);
	p->trim_next = false;
	p->text = STR("");
	if (open < 0)
		return false;
	size_t from = (size_t)open + 2;
	bool trim = from + 1 < t.len && t.p[from] == '-' && isspace((unsigned char)t.p[from + 1]);
	from += trim;
	bool comment = str_starts(trim_left(str_sub(t, from, t.len)), STR("/*"));
	ptrdiff_t from_close = comment ? str_find_str(t, STR("*/"), from) : (ptrdiff_t)from;
	ptrdiff_t close = from_close < 0 ? -1
			  : comment      ? str_find_str(t, STR("}}"), (size_t)from_close)
					 : action_end(t, from);
	if (close < 0) {
		problem_set(p->problem, comment ? "unclosed comment" : "unclosed action");
		return false;
	}
	struct str in = str_sub(t, from, (size_t)close);
	p->trim_next =
		in.len > 1 && in.p[in.len - 1] == '-' && isspace((unsigned char)in.p[in.len - 2]);
	if (p->trim_next)
		in.len--;
	p->in = comment ? STR("/*") : in;
	if (trim)
		*lead = trim_right(*lead);
	p->text = str_sub(t, (size_t)close + 2, t.len);
	return true;
}

enum stop { STOP_EOF, STOP_END, STOP_ELSE };

static struct node *parse_list(struct parser *p, enum stop *stop);

static struct node *node_new(struct parser *p, enum node_kind kind)
{
	struct node *n = arena_new(p->a, struct node, 1);
	n->kind = kind;
	return n;
}

/* if, with and range: pipeline, list, perhaps else. */
static struct node *control(struct parser *p, enum node_kind kind)
{
	struct node *n = node_new(p, kind);
	enum stop stop = STOP_END;
	n->pipe = last_pipe(p);
	p->loops += kind == NODE_RANGE;
	n->list = parse_list(p, &stop);
	p->loops -= kind == NODE_RANGE;
	if (stop == STOP_ELSE) {
		skip_blanks(p);
		if (kind != NODE_RANGE && keyword(p, kind == NODE_IF ? "if" : "with")) {
			n->otherwise = control(p, kind); /* it takes the end too */
			return n;
		}
		if (p->in.len)
			problem_set(p->problem, "unexpected \"%.*s\" in else",
				    STR_ARG(str_sub(p->in, 0, 20)));
		n->otherwise = parse_list(p, &stop);
		if (stop == STOP_ELSE)
			problem_set(p->problem, "expected end; found {{else}}");
	}
	if (stop == STOP_EOF)
		problem_set(p->problem, "unexpected EOF");
	return n;
}

/* {{ define "x" }}, {{ block "x" . }}, {{ template "x" . }} */
static struct node *named(struct parser *p, bool defines, bool calls)
{
	skip_blanks(p);
	struct node *n = node_new(p, NODE_TEMPLATE);
	if (!p->in.len || !strchr("\"`", p->in.p[0])) {
		problem_set(p->problem, "a template's name is missing");
		return n;
	}
	struct template_value name = quoted(p);
	n->text = name.kind == TEMPLATE_STRING ? name.s : STR("");
	skip_blanks(p);
	if (calls && p->in.len)
		n->pipe = last_pipe(p);
	if (!defines)
		return n;
	struct node *head = node_new(p, NODE_TEXT);
	enum stop stop = STOP_END;
	head->text = STR("");
	head->next = parse_list(p, &stop);
	if (stop != STOP_END)
		problem_set(p->problem, "unexpected %s in define",
			    stop == STOP_ELSE ? "else" : "EOF");
	(void)map_set(p->defined, n->text, head);
	return calls ? n : node_new(p, NODE_TEXT);
}

static struct node *jump(struct parser *p, enum node_kind kind, const char *word)
{
	if (!p->loops)
		problem_set(p->problem, "{{%s}} outside {{range}}", word);
	return node_new(p, kind);
}

/* The node of the action in p->in; NULL with *stop for end and else. */
static struct node *parse_action(struct parser *p, enum stop *stop)
{
	if (str_is(p->in, "/*"))
		return node_new(p, NODE_TEXT);
	if (keyword(p, "if"))
		return control(p, NODE_IF);
	if (keyword(p, "with"))
		return control(p, NODE_WITH);
	if (keyword(p, "range"))
		return control(p, NODE_RANGE);
	if (keyword(p, "define"))
		return named(p, true, false);
	if (keyword(p, "block"))
		return named(p, true, true);
	if (keyword(p, "template"))
		return named(p, false, true);
	if (keyword(p, "break"))
		return jump(p, NODE_BREAK, "break");
	if (keyword(p, "continue"))
		return jump(p, NODE_CONTINUE, "continue");
	if (keyword(p, "end")) {
		*stop = STOP_END;
		return NULL;
	}
	if (keyword(p, "else")) {
		*stop = STOP_ELSE;
		return NULL;
	}
	struct node *n = node_new(p, NODE_ACTION);
	n->pipe = last_pipe(p);
	return n;
}

static struct node *parse_list(struct parser *p, enum stop *stop)
{
	struct node *first = NULL;
	struct node **end = &first;
	*stop = STOP_EOF;
	if (++p->depth > TEMPLATE_DEPTH_MAX)
		problem_set(p->problem, "nested too deeply");
	while (!p->problem->text[0]) {
		struct str lead;
		bool more = next_action(p, &lead);
		if (lead.len) {
			*end = node_new(p, NODE_TEXT);
			(*end)->text = lead;
			end = &(*end)->next;
		}
		if (!more)
			break;
		struct node *n = parse_action(p, stop);
		if (!n)
			break;
		*end = n;
		end = &n->next;
		*stop = STOP_EOF;
	}
	p->depth--;
	return first;
}

struct node *template_parse(struct arena *a, struct str text, struct map *defined,
			    struct problem *problem)
{
	struct parser p = { .a = a, .problem = problem, .defined = defined, .text = text };
	enum stop stop = STOP_EOF;
	if (text.len > TEMPLATE_TEXT_MAX)
		problem_set(problem, "the template is too long");
	struct node *list = parse_list(&p, &stop);
	if (stop != STOP_EOF)
		problem_set(problem, "unexpected {{%s}}", stop == STOP_END ? "end" : "else");
	return problem->text[0] ? NULL : list;
}
