#include "base/utf8.h"
#include "json/json.h"
#include "json/number.h"
#include "json/scan.h"
#include "json/stack.h"

#include <assert.h>

struct parser {
	const char *start, *cur, *end;
	struct json_stack stack;
	struct error *err;
};

/* ERR_BAD_REQUEST with the line and column of `at`. */
static int syntax(const struct parser *p, const char *at, const char *what)
{
	size_t line = 1;
	const char *begin = p->start;
	for (const char *s = p->start; s < at; s++) {
		if (*s == '\n') {
			line++;
			begin = s + 1;
		}
	}
	return error_set(p->err, ERR_BAD_REQUEST, "line %zu column %zu: %s", line,
			 (size_t)(at - begin) + 1, at >= p->end ? "unexpected end of input" : what);
}

static inline void skip_blanks(struct parser *p)
{
	const char *s = p->cur;
	while (s < p->end && (*s == ' ' || *s == '\n' || *s == '\r' || *s == '\t'))
		s++;
	p->cur = s;
}

/* ---- strings ---- */

/* From s to the first quote, backslash, control character or byte that is no UTF-8; or end. */
static inline const char *plain_run(const char *s, const char *end)
{
	for (;;) {
		s = json_skip_plain(s, end);
		if (s == end || (unsigned char)*s < 0x80)
			return s;
		size_t n = utf8_len(s, end);
		if (!n)
			return s;
		s += n;
	}
}

static int hex4(const char *s, const char *end, uint32_t *ret)
{
	if (end - s < 4)
		return -1;
	uint32_t v = 0;
	for (int i = 0; i < 4; i++) {
		char c = s[i];
		uint32_t digit = 0;
		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return -1;
		v = v << 4 | digit;
	}
	*ret = v;
	return 0;
}

/* The code point of \uXXXX[\uXXXX] whose first X is at *s; moves *s behind it. */
static int escape_u(struct parser *p, const char **s, uint32_t *ret)
{
	const char *at = *s - 2;
	uint32_t c = 0;
	if (hex4(*s, p->end, &c))
		return syntax(p, at, "bad \\u escape");
	*s += 4;
	if (c >= 0xDC00 && c <= 0xDFFF)
		return syntax(p, at, "lone surrogate");
	if (c >= 0xD800 && c <= 0xDBFF) {
		uint32_t low = 0;
		if (p->end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u' ||
		    hex4(*s + 2, p->end, &low) || low < 0xDC00 || low > 0xDFFF)
			return syntax(p, at, "lone surrogate");
		*s += 6;
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
	}
	*ret = c;
	return 0;
}

/* One escape at *s (the backslash) is appended at *out; both move on. */
static int escape(struct parser *p, const char **s, char **out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *at = *s;
	if (p->end - at < 2)
		return syntax(p, p->end, "");
	if (at[1] == 'u') {
		uint32_t c = 0;
		*s += 2;
		int rc = escape_u(p, s, &c);
		if (rc)
			return rc;
		*out += utf8_encode(*out, c);
		return 0;
	}
	const char *hit = memchr(from, at[1], sizeof(from) - 1);
	if (!hit)
		return syntax(p, at, "bad escape");
	*(*out)++ = to[hit - from];
	*s += 2;
	return 0;
}

/* The rest of a string that has its first escape at `s`; `begin` is behind the opening quote. */
static int escaped_string(struct parser *p, const char *begin, const char *s, struct str *ret)
{
	/* The decoded form is never longer than the raw one: find the closing quote first. */
	const char *close = s;
	while (close < p->end && *close != '"')
		close += *close == '\\' ? 2 : 1;
	if (close >= p->end)
		return syntax(p, p->end, "");
	char *mem = arena_alloc(p->stack.arena, (size_t)(close - begin) + 1);
	char *out = mem;
	const char *run = begin;
	for (;;) {
		memcpy(out, run, (size_t)(s - run));
		out += s - run;
		if (*s == '"')
			break;
		if (*s != '\\')
			return syntax(p, s,
				      (unsigned char)*s < 0x20 ? "control character in string"
							       : "invalid UTF-8");
		int rc = escape(p, &s, &out);
		if (rc)
			return rc;
		run = s;
		s = plain_run(s, p->end);
		if (s == p->end)
			return syntax(p, s, "");
	}
	p->cur = s + 1;
	*ret = str_n(mem, (size_t)(out - mem));
	return 0;
}

/* p->cur is the opening quote. */
static inline int string(struct parser *p, struct str *ret)
{
	const char *begin = p->cur + 1;
	const char *s = plain_run(begin, p->end);
	if (s == p->end)
		return syntax(p, s, "");
	if (*s == '"') {
		*ret = str_n(begin, (size_t)(s - begin));
		p->cur = s + 1;
		return 0;
	}
	if (*s == '\\')
		return escaped_string(p, begin, s, ret);
	return syntax(p, s,
		      (unsigned char)*s < 0x20 ? "control character in string" : "invalid UTF-8");
}

/* ---- values ---- */

static int number(struct parser *p, struct json *ret)
{
	const char *at = p->cur;
	switch (json_number_scan(&p->cur, p->end, ret)) {
	case JSON_NUMBER_OK:
		return 0;
	case JSON_NUMBER_RANGE:
		return syntax(p, at, "number out of range");
	case JSON_NUMBER_BAD:
		break;
	}
	return syntax(p, p->cur, "bad number");
}

static int word(struct parser *p, const char *text, size_t len, struct json value)
{
	if ((size_t)(p->end - p->cur) < len || memcmp(p->cur, text, len) != 0)
		return syntax(p, p->cur, "unexpected character");
	p->cur += len;
	return json_stack_push(&p->stack, value, p->err);
}

static int scalar(struct parser *p)
{
	struct json v = { 0 };
	struct str s;
	int rc = 0;
	switch (*p->cur) {
	case '"':
		rc = string(p, &s);
		if (rc)
			return rc;
		v = json_of_str(s);
		break;
	case 't':
		return word(p, "true", 4, json_of_bool(true));
	case 'f':
		return word(p, "false", 5, json_of_bool(false));
	case 'n':
		return word(p, "null", 4, v);
	default:
		if (*p->cur != '-' && (*p->cur < '0' || *p->cur > '9'))
			return syntax(p, p->cur, "unexpected character");
		rc = number(p, &v);
		if (rc)
			return rc;
		break;
	}
	return json_stack_push(&p->stack, v, p->err);
}

/* A member name and its colon. */
static int key(struct parser *p)
{
	skip_blanks(p);
	if (p->cur == p->end || *p->cur != '"')
		return syntax(p, p->cur, "expected a member name");
	struct str name;
	int rc = string(p, &name);
	if (rc)
		return rc;
	json_stack_key(&p->stack, name);
	skip_blanks(p);
	if (p->cur == p->end || *p->cur != ':')
		return syntax(p, p->cur, "expected ':'");
	p->cur++;
	return 0;
}

/* One value; for a container only its beginning, up to where its first child must come. */
static int value(struct parser *p, bool *ret_opened)
{
	*ret_opened = false;
	skip_blanks(p);
	if (p->cur == p->end)
		return syntax(p, p->cur, "");
	char c = *p->cur;
	if (c != '{' && c != '[')
		return scalar(p);
	int rc = json_stack_open(&p->stack, c == '{' ? JSON_OBJECT : JSON_ARRAY, p->err);
	if (rc)
		return rc;
	p->cur++;
	skip_blanks(p);
	if (p->cur < p->end && *p->cur == (c == '{' ? '}' : ']')) {
		p->cur++;
		json_stack_close(&p->stack);
		return 0;
	}
	*ret_opened = true;
	return c == '{' ? key(p) : 0;
}

/* What follows a complete value: closes containers; *ret_more when another value must come. */
static int behind_value(struct parser *p, bool *ret_more)
{
	for (;;) {
		skip_blanks(p);
		if (!p->stack.top) {
			*ret_more = false;
			return p->cur == p->end ? 0 : syntax(p, p->cur, "trailing input");
		}
		bool object = json_stack_in_object(&p->stack);
		if (p->cur == p->end)
			return syntax(p, p->cur, "");
		if (*p->cur == ',') {
			p->cur++;
			*ret_more = true;
			return object ? key(p) : 0;
		}
		if (*p->cur != (object ? '}' : ']'))
			return syntax(p, p->cur,
				      object ? "expected ',' or '}'" : "expected ',' or ']'");
		p->cur++;
		json_stack_close(&p->stack);
	}
}

static int document(struct parser *p)
{
	bool more = true;
	while (more) {
		bool opened = false;
		int rc = value(p, &opened);
		if (rc)
			return rc;
		if (opened)
			continue;
		rc = behind_value(p, &more);
		if (rc)
			return rc;
	}
	return 0;
}

int json_parse(struct arena *a, struct str text, const struct json_limits *limits, struct json *ret,
	       struct error *err)
{
	struct parser p;
	json_stack_init(&p.stack, a, limits);
	p.start = p.cur = text.p ? text.p : "";
	p.end = p.start + text.len;
	p.err = err;
	if (text.len > p.stack.limits.bytes_max || text.len > UINT32_MAX)
		return error_set(err, ERR_TOO_LARGE, "document of %zu bytes, the limit is %zu",
				 text.len, p.stack.limits.bytes_max);
	int rc = document(&p);
	if (rc == 0)
		*ret = p.stack.v[0];
	json_stack_fini(&p.stack);
	return rc;
}
