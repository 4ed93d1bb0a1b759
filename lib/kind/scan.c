#include "kind/scan.h"

#include "json/json.h"

static void blanks(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
		s->p++;
}

bool scan_enter(struct scan *s, char bracket)
{
	blanks(s);
	if (s->p == s->end || *s->p != bracket)
		return false;
	s->p++;
	return true;
}

/* At a quote: goes behind the closing one. */
static bool skip_string(struct scan *s)
{
	const char *p = s->p + 1;
	while (p < s->end) {
		const char *q = memchr(p, '"', (size_t)(s->end - p));
		if (!q)
			return false;
		const char *b = q;
		while (b > p && b[-1] == '\\')
			b--;
		p = q + 1;
		if ((q - b) % 2 == 0) {
			s->p = p;
			return true;
		}
	}
	return false;
}

/* Behind an opening bracket of any kind. */
static bool skip_nested(struct scan *s)
{
	for (size_t depth = 1; depth;) {
		while (s->p < s->end && *s->p != '"' && *s->p != '{' && *s->p != '}' &&
		       *s->p != '[' && *s->p != ']')
			s->p++;
		if (s->p == s->end)
			return false;
		if (*s->p == '"') {
			if (!skip_string(s))
				return false;
			continue;
		}
		if (*s->p == '{' || *s->p == '[')
			depth++;
		else
			depth--;
		s->p++;
	}
	return true;
}

bool scan_value(struct scan *s, struct str *text)
{
	blanks(s);
	const char *start = s->p;
	if (s->p == s->end)
		return false;
	if (*s->p == '"') {
		if (!skip_string(s))
			return false;
	} else if (*s->p == '{' || *s->p == '[') {
		s->p++;
		if (!skip_nested(s))
			return false;
	} else {
		while (s->p < s->end && *s->p != ',' && *s->p != '}' && *s->p != ']' &&
		       *s->p != ' ' && *s->p != '\n' && *s->p != '\t' && *s->p != '\r')
			s->p++;
	}
	*text = str_n(start, (size_t)(s->p - start));
	return text->len > 0;
}

/* Behind the separator, or at the closing bracket (consumed, false). */
static bool next(struct scan *s, bool *first, char close)
{
	blanks(s);
	if (s->p == s->end)
		return false;
	if (*s->p == close) {
		s->p++;
		return false;
	}
	if (!*first && *s->p++ != ',')
		return false;
	*first = false;
	blanks(s);
	return s->p < s->end;
}

bool scan_member(struct scan *s, bool *first, struct str *name)
{
	struct str key;
	if (!next(s, first, '}') || *s->p != '"' || !scan_value(s, &key))
		return false;
	*name = str_n(key.p + 1, key.len - 2);
	blanks(s);
	if (s->p == s->end || *s->p != ':')
		return false;
	s->p++;
	return true;
}

bool scan_element(struct scan *s, bool *first)
{
	return next(s, first, ']');
}

struct str scan_text(struct arena *a, struct str value)
{
	if (!value.len || value.p[0] != '"')
		return value;
	if (!memchr(value.p, '\\', value.len))
		return str_n(value.p + 1, value.len - 2);
	struct json j;
	if (json_parse(a, value, NULL, &j, NULL))
		return STR_NONE;
	return json_str(&j);
}

struct str scan_find(struct str doc, struct str name)
{
	struct scan s = scan_of(doc);
	struct str key, value;
	bool first = true;
	if (!scan_enter(&s, '{'))
		return STR_NONE;
	while (scan_member(&s, &first, &key) && scan_value(&s, &value))
		if (str_eq(key, name))
			return value;
	return STR_NONE;
}
