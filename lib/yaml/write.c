#include "base/mem.h"
#include "base/utf8.h"
#include "text/base64.h"
#include "yaml/yaml_priv.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum {
	INDENT = 2,
	WIDTH = 80,           /* lines are folded at the first blank behind this column */
	SIMPLE_KEY_MAX = 128, /* longer keys are written as "? key" */
};

struct writer {
	struct buf *out;
	int column; /* characters on the line so far */
	bool sort;
};

/* ---- characters ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* What may stand outside double quotes: no control characters, nothing above U+FFFF. */
static bool is_printable(uint32_t c)
{
	if (c < 0x80)
		return c == '\n' || (c >= 0x20 && c < 0x7F);
	return c >= 0xA0 && c < 0xFFFE && c != 0xFEFF;
}

/* Line separators that are no line feed: only double quotes keep them. */
static bool is_odd_break(uint32_t c)
{
	return c == 0x2028 || c == 0x2029;
}

static void put(struct writer *w, const char *p, size_t n)
{
	buf_add(w->out, p, n);
	for (size_t i = 0; i < n; i++)
		w->column += ((unsigned char)p[i] & 0xC0) != 0x80;
}

static void puts_(struct writer *w, const char *s)
{
	put(w, s, strlen(s));
}

/* To column `indent` of a fresh line. */
static void new_line(struct writer *w, int indent)
{
	if (w->column > 0)
		buf_addc(w->out, '\n');
	w->column = 0;
	for (int i = 0; i < indent; i++)
		put(w, " ", 1);
}

/* ---- scalars ---- */

/* What a text allows. */
struct analysis {
	bool plain, single, block, multiline;
};

static bool first_forbids_plain(struct str s)
{
	char c = s.p[0];
	bool blank_next = s.len == 1 || is_blank(s.p[1]);
	if (str_starts(s, STR("---")) || str_starts(s, STR("...")))
		return true;
	return memchr("#,[]{}&*!|>'\"%@`", c, 16) || (blank_next && memchr("?:-", c, 3));
}

static struct analysis analyze(struct str s)
{
	struct analysis a = { true, true, true, false };
	if (!s.len)
		return (struct analysis){ .plain = true, .single = true };
	bool indicator = first_forbids_plain(s);
	bool special = false;
	bool break_space = false;
	bool space_break = false;
	char before = '\n';
	for (size_t i = 0, n = 0; i < s.len; i += n) {
		n = utf8_len(s.p + i, s.p + s.len);
		uint32_t c = utf8_decode(s.p + i, n);
		char next = i + n < s.len ? s.p[i + n] : ' ';
		special |= !is_printable(c) || is_odd_break(c);
		indicator |= i > 0 && c == ':' && is_blank(next);
		indicator |= i > 0 && c == '#' && (is_blank(before) || before == '\n');
		break_space |= c == ' ' && before == '\n' && i > 0;
		space_break |= c == '\n' && before == ' ';
		a.multiline |= c == '\n';
		before = s.p[i];
	}
	bool edge = s.p[0] == ' ' || s.p[0] == '\n' || before == ' ' || before == '\n';
	a.plain = !edge && !break_space && !space_break && !special && !a.multiline && !indicator;
	a.single = !break_space && !space_break && !special;
	a.block = before != ' ' && !space_break && !special;
	return a;
}

/* A blank at s[i] where the line may be folded. */
static bool fold_here(const struct writer *w, struct str s, size_t i, bool was_blank)
{
	return !was_blank && w->column > WIDTH && i > 0 && i + 1 < s.len && s.p[i + 1] != ' ';
}

static void write_plain(struct writer *w, struct str s, int indent)
{
	bool was_blank = false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == ' ' && indent >= 0 && fold_here(w, s, i, was_blank))
			new_line(w, indent);
		else
			put(w, s.p + i, 1);
		was_blank = s.p[i] == ' ';
	}
}

static void write_single(struct writer *w, struct str s, int indent)
{
	bool was_blank = false;
	puts_(w, "'");
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == ' ' && indent >= 0 && fold_here(w, s, i, was_blank))
			new_line(w, indent);
		else
			put(w, s.p + i, 1);
		if (s.p[i] == '\'')
			puts_(w, "'");
		was_blank = s.p[i] == ' ';
	}
	puts_(w, "'");
}

static void write_escape(struct writer *w, uint32_t c)
{
	static const struct {
		uint32_t c;
		char letter;
	} letters[] = { { 0, '0' },    { 7, 'a' },      { 8, 'b' },     { 9, 't' },
			{ 10, 'n' },   { 11, 'v' },     { 12, 'f' },    { 13, 'r' },
			{ 27, 'e' },   { '"', '"' },    { '\\', '\\' }, { 0x85, 'N' },
			{ 0xA0, '_' }, { 0x2028, 'L' }, { 0x2029, 'P' } };
	char text[16];
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		if (letters[i].c == c) {
			text[0] = '\\';
			text[1] = letters[i].letter;
			put(w, text, 2);
			return;
		}
	}
	size_t from = w->out->len;
	if (c <= 0xFF)
		buf_addf(w->out, "\\x%02X", c);
	else if (c <= 0xFFFF)
		buf_addf(w->out, "\\u%04X", c);
	else
		buf_addf(w->out, "\\U%08X", c);
	w->column += (int)(w->out->len - from);
}

static void write_double(struct writer *w, struct str s, int indent)
{
	bool was_blank = false;
	puts_(w, "\"");
	for (size_t i = 0, n = 0; i < s.len; i += n) {
		n = utf8_len(s.p + i, s.p + s.len);
		uint32_t c = utf8_decode(s.p + i, n);
		bool blank = c == ' ';
		if (blank && indent >= 0 && !was_blank && w->column > WIDTH && i > 0 &&
		    i + 1 < s.len) {
			new_line(w, indent);
			if (s.p[i + 1] == ' ')
				puts_(w, "\\");
		} else if (!is_printable(c) || c == '\n' || is_odd_break(c) || c == '"' ||
			   c == '\\') {
			write_escape(w, c);
		} else {
			put(w, s.p + i, n);
		}
		was_blank = blank;
	}
	puts_(w, "\"");
}

static void write_literal(struct writer *w, struct str s, int indent)
{
	puts_(w, "|");
	if (s.p[0] == ' ' || s.p[0] == '\n')
		puts_(w, "2");
	if (s.p[s.len - 1] != '\n')
		puts_(w, "-");
	else if (s.len == 1 || s.p[s.len - 2] == '\n')
		puts_(w, "+");
	buf_addc(w->out, '\n');
	w->column = 0;
	bool fresh = true;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\n') {
			buf_addc(w->out, '\n');
			w->column = 0;
			fresh = true;
			continue;
		}
		if (fresh)
			new_line(w, indent);
		fresh = false;
		put(w, s.p + i, 1);
	}
}

/* The bytes under a tag: no YAML text can hold what is not UTF-8. */
static void write_binary(struct writer *w, struct str s)
{
	struct buf text = { 0 };
	base64_write(&text, s.p, s.len);
	puts_(w, "!!binary ");
	put(w, text.p, text.len);
	buf_fini(&text);
}

/* `indent` of continued lines; -1 = a simple key, which stays on one line. */
static void write_string(struct writer *w, struct str s, int indent)
{
	if (!utf8_valid(s)) {
		write_binary(w, s);
		return;
	}
	struct json value;
	struct analysis a = analyze(s);
	bool plain_string = yaml_resolve(s, &value) == YAML_PLAIN_STRING && !yaml_like_time(s) &&
			    !str_is(s, "<<");
	if (a.multiline && a.block && indent >= 0)
		write_literal(w, s, indent);
	else if (a.multiline || !plain_string)
		write_double(w, s, indent);
	else if (a.plain)
		write_plain(w, s, indent);
	else if (a.single)
		write_single(w, s, indent);
	else
		write_double(w, s, indent);
}

static void write_number(struct writer *w, double d)
{
	struct buf out = { 0 };
	bool integral = d == floor(d) && d >= -0x1p63 && d < 0x1p64;
	if (integral) /* JSON has it without a point, and so it is an integer to YAML */
		json_write_double(&out, d);
	else
		json_write_double_go(&out, d);
	put(w, out.p, out.len);
	buf_fini(&out);
}

static void write_scalar(struct writer *w, const struct json *j, int indent)
{
	char text[24];
	switch ((enum json_type)j->type) {
	case JSON_NULL:
		puts_(w, "null");
		break;
	case JSON_BOOL:
		puts_(w, j->b ? "true" : "false");
		break;
	case JSON_INT:
		(void)snprintf(text, sizeof(text), "%lld", (long long)j->i);
		puts_(w, text);
		break;
	case JSON_UINT:
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)j->u);
		puts_(w, text);
		break;
	case JSON_DOUBLE:
		write_number(w, j->d);
		break;
	case JSON_STRING:
		write_string(w, json_str(j), indent);
		break;
	case JSON_ARRAY:
		puts_(w, "[]");
		break;
	case JSON_OBJECT:
		puts_(w, "{}");
		break;
	}
}

/* ---- containers ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Close to Unicode's category L: blocks of marks, symbols and private use are left out. */
static bool is_letter(uint32_t c)
{
	static const uint32_t others[][2] = {
		{ 0x80, 0xBF },     { 0xD7, 0xD7 },     { 0xF7, 0xF7 },       { 0x300, 0x36F },
		{ 0x2000, 0x2BFF }, { 0x3000, 0x3004 }, { 0xD7FC, 0xF8FF },   { 0xFE00, 0xFE6F },
		{ 0xFEFF, 0xFF20 }, { 0xFFE0, 0xFFFF }, { 0x1D000, 0x1D3FF }, { 0x1F000, 0x1FFFF }
	};
	if (c < 0x80)
		return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (c >= others[i][0] && c <= others[i][1])
			return false;
	}
	return true;
}

static uint32_t rune_at(struct str s, size_t i)
{
	size_t n = utf8_len(s.p + i, s.p + s.len);
	return n ? utf8_decode(s.p + i, n) : 0xFFFD;
}

static uint64_t number_at(struct str s, size_t *i)
{
	uint64_t v = 0;
	for (; *i < s.len && is_digit(s.p[*i]); (*i)++)
		v = v * 10 + (uint64_t)(s.p[*i] - '0');
	return v;
}

/*
 * The order of kubectl: letters behind everything else, runs of digits by
 * their value ("a2" before "a10"), as the Go library for YAML sorts.
 */
static int key_order(struct str a, struct str b)
{
	size_t i = 0;
	while (i < a.len && i < b.len && a.p[i] == b.p[i])
		i++;
	if (i == a.len || i == b.len)
		return (a.len > b.len) - (a.len < b.len);
	while (i > 0 && (a.p[i] & 0xC0) == 0x80)
		i--; /* to the start of the character */
	uint32_t ca = rune_at(a, i);
	uint32_t cb = rune_at(b, i);
	if (is_letter(ca) != is_letter(cb))
		return is_letter(ca) ? 1 : -1;
	if (is_letter(ca))
		return ca < cb ? -1 : 1;
	size_t ia = i;
	size_t ib = i;
	uint64_t na = 0;
	uint64_t nb = 0;
	bool significant = false; /* a nonzero digit stands before: then a zero counts */
	for (size_t k = i; k > 0 && is_digit(a.p[k - 1]); k--)
		significant |= a.p[k - 1] != '0';
	na = number_at(a, &ia);
	nb = number_at(b, &ib);
	if (significant && (ca == '0' || cb == '0') && ia - i != ib - i)
		return ia < ib ? -1 : 1;
	if (na != nb)
		return na < nb ? -1 : 1;
	if (ia != ib)
		return ia < ib ? -1 : 1;
	return ca < cb ? -1 : 1;
}

static int cmp_member(const void *pa, const void *pb)
{
	const struct json_member *const *a = pa;
	const struct json_member *const *b = pb;
	return key_order(json_str(&(*a)->key), json_str(&(*b)->key));
}

static bool is_inline(const struct json *j)
{
	return json_len(j) == 0;
}

static void write_block(struct writer *w, const struct json *j, int indent);

/* What follows "key:": a scalar behind a blank, or a container on the next lines. */
static void write_member_value(struct writer *w, const struct json *j, int indent)
{
	if (is_inline(j)) {
		puts_(w, " ");
		write_scalar(w, j, indent + INDENT);
		return;
	}
	/* Sequences in mappings are not indented. */
	int inner = j->type == JSON_ARRAY ? indent : indent + INDENT;
	new_line(w, inner);
	write_block(w, j, inner);
}

static void write_member(struct writer *w, const struct json_member *m, int indent)
{
	struct str key = json_str(&m->key);
	bool one_line = str_find(key, '\n', 0) < 0 && str_find(key, '\r', 0) < 0;
	if (key.len <= SIMPLE_KEY_MAX && one_line) {
		if (!key.len)
			puts_(w, "\"\"");
		else
			write_string(w, key, -1);
		puts_(w, ":");
		write_member_value(w, &m->value, indent);
		return;
	}
	puts_(w, "? ");
	write_string(w, key, indent + INDENT);
	new_line(w, indent);
	puts_(w, ": ");
	if (is_inline(&m->value))
		write_scalar(w, &m->value, indent + INDENT);
	else
		write_block(w, &m->value, indent + INDENT);
}

static void write_mapping(struct writer *w, const struct json *j, int indent)
{
	const struct json_member **order = mem_new(const struct json_member *, j->len);
	for (uint32_t i = 0; i < j->len; i++)
		order[i] = &j->members[i];
	if (w->sort)
		qsort(order, j->len, sizeof(*order), cmp_member);
	for (uint32_t i = 0; i < j->len; i++) {
		if (i)
			new_line(w, indent);
		write_member(w, order[i], indent);
	}
	mem_free(order);
}

/* A container with content; the line stands at column `indent` already. */
static void write_block(struct writer *w, const struct json *j, int indent)
{
	if (j->type == JSON_OBJECT) {
		write_mapping(w, j, indent);
		return;
	}
	for (uint32_t i = 0; i < j->len; i++) {
		const struct json *item = &j->items[i];
		if (i)
			new_line(w, indent);
		puts_(w, "- ");
		if (is_inline(item))
			write_scalar(w, item, indent + INDENT);
		else
			write_block(w, item, indent + INDENT);
	}
}

void yaml_write(struct buf *out, const struct json *j, unsigned flags)
{
	struct writer w = { .out = out, .sort = flags & YAML_SORT_KEYS };
	if (is_inline(j))
		write_scalar(&w, j, INDENT);
	else
		write_block(&w, j, 0);
	if (w.column > 0)
		buf_addc(out, '\n');
}
