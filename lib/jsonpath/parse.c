#include "base/utf8.h"
#include "jsonpath/jsonpath_priv.h"

struct parser {
	struct arena *arena;
	struct error *err;
	struct str s;
	size_t i;
	size_t nodes;
	int depth;
};

/* Where the next step is linked to. */
struct chain {
	struct step *first, **tail;
};

static int bad(const struct parser *p, const char *what)
{
	return error_set(p->err, ERR_BAD_REQUEST, "error parsing jsonpath %.*s, %s",
			 (int)(p->s.len > 200 ? 200 : p->s.len), p->s.p ? p->s.p : "", what);
}

static char peek(const struct parser *p, size_t ahead)
{
	return p->i + ahead < p->s.len ? p->s.p[p->i + ahead] : '\0';
}

static bool is_terminator(char c)
{
	return !c || memchr(" \t\r\n.,[]$@{}", c, 12);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return c == '_' || is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (unsigned char)c >= 0x80;
}

/* NULL when the template has too many parts; the error is set then. */
static struct step *add_step(struct parser *p, struct chain *c, enum step_type type)
{
	if (++p->nodes > JSONPATH_NODES_MAX) {
		(void)error_set(p->err, ERR_TOO_LARGE, "jsonpath: more than %d parts",
				JSONPATH_NODES_MAX);
		return NULL;
	}
	struct step *s = arena_new(p->arena, struct step, 1);
	s->type = type;
	*c->tail = s;
	c->tail = &s->next;
	return s;
}

static int parse_action(struct parser *p, struct str text, struct step **ret);

/* ---- pieces of an action ---- */

/* The name behind a dot: up to a terminator that no backslash stands before. */
static int field(struct parser *p, struct chain *c)
{
	char *name = arena_alloc(p->arena, p->s.len - p->i + 1);
	size_t n = 0;
	bool star = peek(p, 0) == '*' && is_terminator(peek(p, 1));
	while (p->i < p->s.len && !is_terminator(peek(p, 0))) {
		if (peek(p, 0) == '\\' && p->i + 1 < p->s.len)
			p->i++;
		if (p->s.p[p->i] != '\\')
			name[n++] = p->s.p[p->i];
		p->i++;
	}
	if (!n)
		return 0; /* "{.}" is the current object */
	struct step *s = add_step(p, c, star ? STEP_WILDCARD : STEP_FIELD);
	if (!s)
		return ERR_TOO_LARGE;
	s->field = str_n(name, n);
	return 0;
}

static int recursive(struct parser *p, struct chain *c)
{
	struct step *last = c->first;
	while (last && last->next)
		last = last->next;
	if (last && last->type == STEP_RECURSIVE)
		return bad(p, "invalid multiple recursive descent");
	if (!add_step(p, c, STEP_RECURSIVE))
		return ERR_TOO_LARGE;
	p->i += 2;
	return is_word(peek(p, 0)) ? field(p, c) : 0;
}

static uint32_t hex_of(struct str s)
{
	uint32_t v = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = (char)(s.p[i] | 0x20);
		if (!is_digit(s.p[i]) && (c < 'a' || c > 'f'))
			return UINT32_MAX;
		v = v << 4 | (uint32_t)(is_digit(s.p[i]) ? s.p[i] - '0' : c - 'a' + 10);
	}
	return v;
}

/* One escape of a quoted string, p->i behind the backslash; its text goes to `out`. */
static int escape(struct parser *p, char *out, size_t *n)
{
	static const char from[] = "abfnrtv\\'\"";
	static const char to[] = "\a\b\f\n\r\t\v\\'\"";
	char c = peek(p, 0);
	const char *hit = c ? memchr(from, c, sizeof(from) - 1) : NULL;
	if (hit) {
		out[(*n)++] = to[hit - from];
		p->i++;
		return 0;
	}
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	struct str hex = str_sub(p->s, p->i + 1, p->i + 1 + digits);
	uint32_t v = hex_of(hex);
	if (!digits || hex.len != digits || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
		return bad(p, "invalid escape in quoted string");
	p->i += 1 + digits;
	*n += utf8_encode(out + *n, v);
	return 0;
}

/* p->i at the opening quote */
static int quoted(struct parser *p, struct str *ret)
{
	char quote = peek(p, 0);
	char *out = arena_alloc(p->arena, p->s.len - p->i + UTF8_MAX);
	size_t n = 0;
	for (p->i++; peek(p, 0) != quote;) {
		if (p->i >= p->s.len || peek(p, 0) == '\n')
			return bad(p, "unterminated quoted string");
		if (peek(p, 0) == '\\') {
			p->i++;
			int rc = escape(p, out, &n);
			if (rc)
				return rc;
			continue;
		}
		out[n++] = p->s.p[p->i++];
	}
	p->i++;
	*ret = str_n(out, n);
	return 0;
}

static int literal(struct parser *p, struct chain *c, struct json value)
{
	struct step *s = add_step(p, c, STEP_LITERAL);
	if (!s)
		return ERR_TOO_LARGE;
	s->literal = value;
	return 0;
}

static int number(struct parser *p, struct chain *c)
{
	size_t from = p->i + (peek(p, 0) == '+');
	p->i++;
	while (is_digit(peek(p, 0)) || peek(p, 0) == '.')
		p->i++;
	struct json v;
	if (json_parse(p->arena, str_sub(p->s, from, p->i), NULL, &v, NULL) || v.type < JSON_INT ||
	    v.type > JSON_DOUBLE)
		return bad(p, "cannot parse number");
	return literal(p, c, v);
}

static int word(struct parser *p, struct chain *c)
{
	size_t from = p->i;
	while (!is_terminator(peek(p, 0)))
		p->i++;
	struct str name = str_sub(p->s, from, p->i);
	if (str_is(name, "true") || str_is(name, "false"))
		return literal(p, c, json_of_bool(str_is(name, "true")));
	if (str_is(name, "null"))
		return literal(p, c, (struct json){ 0 });
	return error_set(p->err, ERR_BAD_REQUEST, "unrecognized identifier %.*s", STR_ARG(name));
}

/* ---- brackets ---- */

/* Index of the first of `stops` at or behind `from` outside of quotes and brackets, or -1. */
static ptrdiff_t outside(struct str s, size_t from, const char *stops)
{
	char quote = '\0';
	int level = 0;
	for (size_t i = from; i < s.len; i++) {
		char c = s.p[i];
		if (c == '\\' && i + 1 < s.len) {
			i++;
		} else if (quote) {
			quote = c == quote ? '\0' : quote;
		} else if (level == 0 && strchr(stops, c)) {
			return (ptrdiff_t)i;
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '[' || c == '(') {
			level++;
		} else if (c == ']' || c == ')') {
			level--;
		}
	}
	return -1;
}

/* ":" and "-12" pieces of a slice */
static bool slice_part(struct str *rest, bool *ret_has, int64_t *ret)
{
	struct str piece;
	if (!str_split(rest, ':', &piece) || piece.len == 0)
		return true;
	*ret_has = true;
	return str_to_i64(piece, ret) && *ret >= INT32_MIN && *ret <= INT32_MAX;
}

static int slice(struct parser *p, struct chain *c, struct str text)
{
	struct step *s = add_step(p, c, STEP_SLICE);
	if (!s)
		return ERR_TOO_LARGE;
	s->slice.single = str_find(text, ':', 0) < 0;
	struct str rest = text;
	if (!text.len || !slice_part(&rest, &s->slice.has_from, &s->slice.from) ||
	    !slice_part(&rest, &s->slice.has_to, &s->slice.to) ||
	    !slice_part(&rest, &s->slice.has_step, &s->slice.step) || rest.p)
		return error_set(p->err, ERR_BAD_REQUEST, "invalid array index %.*s",
				 STR_ARG(text));
	return 0;
}

static bool is_quoted(struct str s)
{
	return s.len >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.len - 1] == s.p[0];
}

/*
 * The inside of [...] without commas.  As kubectl has it, a quoted name is a
 * path of its own: ['metadata.name'] goes down two levels.
 */
static int selection(struct parser *p, struct chain *c, struct str text)
{
	if (str_is(text, "*"))
		return slice(p, c, STR(":"));
	if (!is_quoted(text))
		return slice(p, c, text);
	struct step *steps = NULL;
	int rc = parse_action(p, arena_strf(p->arena, ".%.*s", (int)text.len - 2, text.p + 1),
			      &steps);
	if (rc)
		return rc;
	*c->tail = steps;
	while (*c->tail)
		c->tail = &(*c->tail)->next;
	return 0;
}

static int union_of(struct parser *p, struct chain *c, struct str text)
{
	struct step *s = add_step(p, c, STEP_UNION);
	if (!s)
		return ERR_TOO_LARGE;
	struct alternative **tail = &s->alternatives;
	int rc = 0;
	for (size_t from = 0; !rc && from <= text.len;) {
		ptrdiff_t comma = outside(text, from, ",");
		size_t end = comma < 0 ? text.len : (size_t)comma;
		struct alternative *a = arena_new(p->arena, struct alternative, 1);
		struct chain inner = { NULL, &a->steps };
		rc = selection(p, &inner, str_trim(str_sub(text, from, end)));
		*tail = a;
		tail = &a->next;
		from = end + 1;
	}
	return rc;
}

/* p->i at "[" */
static int brackets(struct parser *p, struct chain *c)
{
	ptrdiff_t close = outside(p->s, p->i + 1, "]\n");
	if (close < 0 || p->s.p[close] == '\n')
		return bad(p, "unterminated array");
	struct str text = str_sub(p->s, p->i + 1, (size_t)close);
	p->i = (size_t)close + 1;
	if (outside(text, 0, ",") >= 0)
		return union_of(p, c, text);
	return selection(p, c, text);
}

/* ---- filters ---- */

/* "left op right", or "left" for existence */
static int comparison(struct parser *p, struct str text, struct condition **ret)
{
	struct condition *cond = arena_new(p->arena, struct condition, 1);
	*ret = cond;
	ptrdiff_t at = outside(text, 0, "!<>=");
	if (at < 0)
		return parse_action(p, text, &cond->left);
	size_t end = (size_t)at;
	while (end < text.len && memchr("!<>=", text.p[end], 4))
		end++;
	cond->op = str_sub(text, (size_t)at, end);
	static const char *const ops[] = { "==", "!=", "<", "<=", ">", ">=" };
	bool known = false;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		known |= str_is(cond->op, ops[i]);
	if (!known)
		return error_set(p->err, ERR_BAD_REQUEST, "unrecognized filter operator %.*s",
				 STR_ARG(cond->op));
	int rc = parse_action(p, str_sub(text, 0, (size_t)at), &cond->left);
	rc = rc ? rc : parse_action(p, str_sub(text, end, text.len), &cond->right);
	return rc || cond->right ? rc : bad(p, "nothing to compare with");
}

/* Pieces between "&&" (then "||"): `both` is the character that stands twice. */
static bool next_piece(struct str *rest, char both, struct str *piece)
{
	const char stops[] = { both, '\0' };
	if (!rest->p)
		return false;
	size_t from = 0;
	for (;;) {
		ptrdiff_t at = outside(*rest, from, stops);
		if (at < 0) {
			*piece = *rest;
			*rest = STR_NONE;
			return true;
		}
		if ((size_t)at + 1 < rest->len && rest->p[at + 1] == both) {
			*piece = str_sub(*rest, 0, (size_t)at);
			*rest = str_n(rest->p + at + 2, rest->len - (size_t)at - 2);
			return true;
		}
		from = (size_t)at + 1;
	}
}

static int conditions(struct parser *p, struct str text, struct condition **ret)
{
	struct str any;
	struct condition **or_tail = ret;
	while (next_piece(&text, '|', &any)) {
		struct str all;
		struct condition *first = NULL;
		struct condition **and_tail = &first;
		while (next_piece(&any, '&', &all)) {
			int rc = comparison(p, str_trim(all), and_tail);
			if (rc)
				return rc;
			and_tail = &(*and_tail)->and_next;
		}
		*or_tail = first;
		or_tail = &first->or_next;
	}
	return 0;
}

/* p->i at "[?(" */
static int filter(struct parser *p, struct chain *c)
{
	ptrdiff_t close = outside(p->s, p->i + 3, ")\n");
	if (close < 0 || p->s.p[close] == '\n')
		return bad(p, "unterminated filter");
	struct str text = str_sub(p->s, p->i + 3, (size_t)close);
	p->i = (size_t)close + 1;
	if (peek(p, 0) != ']')
		return bad(p, "unclosed array expect ]");
	p->i++;
	struct step *s = add_step(p, c, STEP_FILTER);
	return s ? conditions(p, text, &s->condition) : ERR_TOO_LARGE;
}

/* ---- actions and templates ---- */

static int action_step(struct parser *p, struct chain *c)
{
	char ch = peek(p, 0);
	if (ch == ' ' || ch == '@' || ch == '$') {
		p->i++; /* the current object: nothing to do */
		return 0;
	}
	if (ch == '[')
		return peek(p, 1) == '?' && peek(p, 2) == '(' ? filter(p, c) : brackets(p, c);
	if (ch == '.' && peek(p, 1) == '.')
		return recursive(p, c);
	if (ch == '.') {
		p->i++;
		return field(p, c);
	}
	if (ch == '"' || ch == '\'') {
		struct str text;
		int rc = quoted(p, &text);
		return rc ? rc : literal(p, c, json_of_str(text));
	}
	if (ch == '+' || ch == '-' || is_digit(ch))
		return number(p, c);
	if (is_word(ch))
		return word(p, c);
	return error_set(p->err, ERR_BAD_REQUEST, "unrecognized character in action: U+%04X '%c'",
			 (unsigned char)ch, ch >= 0x20 && ch < 0x7F ? ch : '?');
}

/* All of `text` as the inside of braces. */
static int parse_action(struct parser *p, struct str text, struct step **ret)
{
	if (p->depth >= JSONPATH_DEPTH_MAX)
		return error_set(p->err, ERR_TOO_LARGE, "jsonpath: nested deeper than %d levels",
				 JSONPATH_DEPTH_MAX);
	struct parser inner = *p;
	inner.s = text;
	inner.i = 0;
	inner.depth++;
	struct chain c = { NULL, &c.first };
	int rc = 0;
	while (inner.i < text.len && !rc)
		rc = action_step(&inner, &c);
	p->nodes = inner.nodes;
	*ret = c.first;
	return rc;
}

/* The end of the action whose brace is at p->i: its closing brace, outside of quotes. */
static ptrdiff_t action_end(const struct parser *p)
{
	char quote = '\0';
	for (size_t i = p->i + 1; i < p->s.len; i++) {
		char c = p->s.p[i];
		if (c == '\\')
			i++;
		else if (quote)
			quote = c == quote ? '\0' : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '}')
			return (ptrdiff_t)i;
		else if (c == '\n')
			return -1;
	}
	return -1;
}

static struct part *add_part(struct parser *p, struct part ***tail, enum part_type type)
{
	if (++p->nodes > JSONPATH_NODES_MAX) {
		(void)error_set(p->err, ERR_TOO_LARGE, "jsonpath: more than %d parts",
				JSONPATH_NODES_MAX);
		return NULL;
	}
	struct part *part = arena_new(p->arena, struct part, 1);
	part->type = type;
	**tail = part;
	*tail = &part->next;
	return part;
}

static bool begins_with_word(struct str s, const char *name)
{
	size_t n = strlen(name);
	return str_starts(s, str_of(name)) && (s.len == n || is_terminator(s.p[n]));
}

static int parts(struct parser *p, struct part **ret, bool in_range);

/* The text of an action that is no {end}, with what belongs to it. */
static int action(struct parser *p, struct part ***tail, struct str text)
{
	bool range = begins_with_word(text, "range");
	struct part *part = add_part(p, tail, range ? PART_RANGE : PART_EXPR);
	if (!part)
		return ERR_TOO_LARGE;
	int rc = parse_action(p, range ? str_sub(text, 5, text.len) : text, &part->steps);
	if (rc || !range)
		return rc;
	if (++p->depth > JSONPATH_DEPTH_MAX)
		return error_set(p->err, ERR_TOO_LARGE, "jsonpath: nested deeper than %d levels",
				 JSONPATH_DEPTH_MAX);
	rc = parts(p, &part->body, true);
	p->depth--;
	return rc;
}

/* Parts up to the end of the text, or with `in_range` up to {end}. */
static int parts(struct parser *p, struct part **ret, bool in_range)
{
	struct part **tail = ret;
	while (p->i < p->s.len) {
		if (peek(p, 0) != '{') {
			ptrdiff_t open = str_find(p->s, '{', p->i);
			size_t end = open < 0 ? p->s.len : (size_t)open;
			struct part *part = add_part(p, &tail, PART_TEXT);
			if (!part)
				return ERR_TOO_LARGE;
			part->text = str_sub(p->s, p->i, end);
			p->i = end;
			continue;
		}
		ptrdiff_t close = action_end(p);
		if (close < 0)
			return bad(p, "unclosed action");
		struct str text = str_trim(str_sub(p->s, p->i + 1, (size_t)close));
		p->i = (size_t)close + 1;
		if (str_is(text, "end"))
			return in_range ? 0 : bad(p, "not in range, nothing to end");
		int rc = action(p, &tail, text);
		if (rc)
			return rc;
	}
	return in_range ? bad(p, "range without end") : 0;
}

/* "spec.x", ".spec.x", "{spec.x}", "{.spec.x}" to "{.spec.x}" */
static struct str unrelaxed(struct arena *a, struct str s)
{
	s = str_trim(s);
	if (s.len >= 2 && s.p[0] == '{' && s.p[s.len - 1] == '}')
		s = str_trim(str_sub(s, 1, s.len - 1));
	if (!s.len)
		return s;
	bool begun = s.p[0] == '.' || s.p[0] == '[' || s.p[0] == '$' || s.p[0] == '@';
	struct buf b = { 0 };
	buf_adds(&b, begun ? "{" : "{.");
	buf_add_str(&b, s);
	buf_addc(&b, '}');
	struct str text = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return text;
}

int jsonpath_compile(struct arena *a, struct str text, unsigned flags, struct jsonpath **ret,
		     struct error *err)
{
	if (text.len > JSONPATH_TEXT_MAX)
		return error_set(err, ERR_TOO_LARGE, "jsonpath of %zu bytes, the limit is %d",
				 text.len, JSONPATH_TEXT_MAX);
	struct parser p = { .arena = a, .err = err };
	p.s = flags & JSONPATH_RELAXED ? unrelaxed(a, text) : arena_str(a, text);
	struct jsonpath *j = arena_new(a, struct jsonpath, 1);
	j->allow_missing = flags & JSONPATH_ALLOW_MISSING;
	int rc = parts(&p, &j->parts, false);
	if (rc == 0)
		*ret = j;
	return rc;
}
