#include "base/utf8.h"
#include "telemetry/promql_priv.h"
#include "text/duration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int lexer_fail(const struct lexer *lx, size_t pos, const char *fmt, ...)
{
	size_t line = 1, column = 1;
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < pos && i < lx->text.len; i++) {
		column = lx->text.p[i] == '\n' ? 1 : column + 1;
		line += lx->text.p[i] == '\n';
	}
	return error_set(lx->err, ERR_BAD_REQUEST, "%zu:%zu: parse error: %s", line, column, text);
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}

static int at(const struct lexer *lx, size_t pos)
{
	return pos < lx->text.len ? (uint8_t)lx->text.p[pos] : -1;
}

static void bad(struct lexer *lx)
{
	lx->token = TOKEN_BAD;
}

static void skip_blanks(struct lexer *lx)
{
	for (;;) {
		int c = at(lx, lx->pos);
		if (c == '#') {
			while (at(lx, lx->pos) >= 0 && at(lx, lx->pos) != '\n')
				lx->pos++;
		} else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			lx->pos++;
		} else {
			return;
		}
	}
}

/* ---- strings ---- */

static int hex(int c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* n digits of a base at the position; -1 = not. */
static int64_t digits(struct lexer *lx, size_t n, int base)
{
	int64_t v = 0;
	for (size_t i = 0; i < n; i++, lx->pos++) {
		int d = hex(at(lx, lx->pos));
		if (d < 0 || d >= base)
			return -1;
		v = v * base + d;
	}
	return v;
}

/* Behind the backslash, as Go writes strings; false = no such escape. */
static bool escape(struct lexer *lx, struct buf *out)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	int c = at(lx, lx->pos);
	const char *simple = c > 0 ? strchr(from, c) : NULL;
	char utf8[UTF8_MAX];
	if (simple) {
		buf_addc(out, to[simple - from]);
		lx->pos++;
		return true;
	}
	if (is_digit(c)) {
		int64_t v = digits(lx, 3, 8);
		if (v < 0 || v > 255)
			return false;
		buf_addc(out, (char)(uint8_t)v);
		return true;
	}
	if (c != 'x' && c != 'u' && c != 'U')
		return false;
	lx->pos++;
	int64_t v = digits(lx, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16);
	if (v < 0 || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return false;
	if (c == 'x')
		buf_addc(out, (char)(uint8_t)v);
	else
		buf_add(out, utf8, utf8_encode(utf8, (uint32_t)v));
	return true;
}

static void string(struct lexer *lx)
{
	int quote = at(lx, lx->pos++);
	struct buf out = { 0 };
	bool good = false;
	for (;;) {
		int c = at(lx, lx->pos);
		if (c < 0 || (c == '\n' && quote != '`')) {
			(void)lexer_fail(lx, lx->start, "unterminated quoted string");
			break;
		}
		lx->pos++;
		if (c == quote) {
			good = true;
			break;
		}
		if (c == '\\' && quote != '`') {
			if (!escape(lx, &out)) {
				(void)lexer_fail(lx, lx->pos, "unknown escape sequence");
				break;
			}
			continue;
		}
		buf_addc(&out, (char)c);
	}
	lx->token = good ? TOKEN_STRING : TOKEN_BAD;
	lx->word = good ? arena_str(lx->arena, buf_str(&out)) : STR("");
	buf_fini(&out);
}

/* ---- numbers and durations ---- */

static void number_or_duration(struct lexer *lx)
{
	size_t from = lx->pos;
	bool is_hex = at(lx, from) == '0' && (at(lx, from + 1) | 32) == 'x';
	char text[128];
	while (is_digit(at(lx, lx->pos)) ||
	       (is_letter(at(lx, lx->pos)) && at(lx, lx->pos) != ':') || at(lx, lx->pos) == '.' ||
	       ((at(lx, lx->pos) == '+' || at(lx, lx->pos) == '-') && !is_hex &&
		(at(lx, lx->pos - 1) | 32) == 'e'))
		lx->pos++;
	struct str word = str_sub(lx->text, from, lx->pos);
	if (duration_parse_prom(word, &lx->duration, NULL) == 0 &&
	    !is_digit(word.p[word.len - 1])) {
		lx->token = TOKEN_DURATION;
		lx->word = word;
		return;
	}
	char *end = NULL;
	if (word.len < sizeof(text)) {
		memcpy(text, word.p, word.len);
		text[word.len] = '\0';
		lx->number = strtod(text, &end);
	}
	if (!end || *end || strpbrk(text, "pP_")) {
		(void)lexer_fail(lx, from, "bad number or duration syntax: \"%.*s\"",
				 STR_ARG(str_sub(word, 0, 60)));
		bad(lx);
		return;
	}
	lx->token = TOKEN_NUMBER;
	lx->word = word;
}

static void identifier(struct lexer *lx)
{
	size_t from = lx->pos;
	while (is_letter(at(lx, lx->pos)) || is_digit(at(lx, lx->pos)))
		lx->pos++;
	lx->word = str_sub(lx->text, from, lx->pos);
	lx->token = TOKEN_IDENTIFIER;
	if (str_eq_nocase(lx->word, STR("inf")) || str_eq_nocase(lx->word, STR("nan"))) {
		lx->number = str_eq_nocase(lx->word, STR("inf")) ? (double)INFINITY : (double)NAN;
		lx->token = TOKEN_NUMBER;
	}
}

static void symbol(struct lexer *lx)
{
	static const char *const two[] = { "==", "!=", ">=", "<=", "=~", "!~" };
	size_t n = 1;
	for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++)
		if (str_starts(str_sub(lx->text, lx->pos, lx->text.len), str_of(two[i])))
			n = 2;
	int c = at(lx, lx->pos);
	if (n == 1 && (c == 0 || !strchr("+-*/%^<>=(){}[],@:", c))) {
		(void)lexer_fail(lx, lx->pos, "unexpected character: '%c'",
				 c > 32 && c < 127 ? c : '?');
		bad(lx);
		return;
	}
	lx->word = str_sub(lx->text, lx->pos, lx->pos + n);
	lx->pos += n;
	lx->token = TOKEN_OPERATOR;
}

void lexer_next(struct lexer *lx)
{
	if (lx->token == TOKEN_BAD)
		return;
	skip_blanks(lx);
	lx->start = lx->pos;
	lx->word = STR("");
	int c = at(lx, lx->pos);
	if (c < 0)
		lx->token = TOKEN_END;
	else if (c == '"' || c == '\'' || c == '`')
		string(lx);
	else if (is_digit(c) || (c == '.' && is_digit(at(lx, lx->pos + 1))))
		number_or_duration(lx);
	else if (is_letter(c) && c != ':')
		identifier(lx);
	else if (c == ':' && is_letter(at(lx, lx->pos + 1)))
		identifier(lx);
	else
		symbol(lx);
}
