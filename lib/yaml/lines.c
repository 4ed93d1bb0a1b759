#include "base/mem.h"
#include "yaml/yaml_priv.h"

#include <assert.h>

uint32_t yaml_lines_add(struct yaml_lines *l, uint32_t line)
{
	mem_grow(l->v, l->len, l->cap);
	l->v[l->len++] = (struct yaml_line){ .line = line };
	return l->len;
}

/* ---- of JSON text ---- */

struct scanner {
	const char *c, *end;
	uint32_t line;
	struct yaml_lines *lines;
};

static void skip_blanks(struct scanner *s)
{
	for (; s->c < s->end && memchr(" \t\r\n", *s->c, 4); s->c++)
		s->line += *s->c == '\n';
}

static void skip_string(struct scanner *s)
{
	for (s->c++; *s->c != '"'; s->c++)
		s->c += *s->c == '\\';
	s->c++;
}

/* One value at s->c; the text is known to be JSON, and not deeper than its parser allowed. */
static uint32_t scan_value(struct scanner *s)
{
	uint32_t self = yaml_lines_add(s->lines, s->line);
	char open = *s->c;
	if (open == '"') {
		skip_string(s);
		return self;
	}
	if (open != '{' && open != '[') {
		while (s->c < s->end && !memchr(",]} \t\r\n", *s->c, 7))
			s->c++;
		return self;
	}
	uint32_t last = 0;
	for (;;) {
		s->c++; /* bracket or comma */
		skip_blanks(s);
		if (*s->c == '}' || *s->c == ']')
			break;
		if (open == '{') {
			skip_string(s);
			skip_blanks(s);
			s->c++; /* colon */
			skip_blanks(s);
		}
		uint32_t child = scan_value(s);
		*(last ? &s->lines->v[last - 1].next : &s->lines->v[self - 1].child) = child;
		last = child;
		skip_blanks(s);
		if (*s->c != ',')
			break;
	}
	s->c++;
	return self;
}

void yaml_lines_of_json(struct yaml_lines *l, struct str text)
{
	struct scanner s = { .c = text.p, .end = text.p + text.len, .line = 1, .lines = l };
	skip_blanks(&s);
	(void)scan_value(&s);
}

/* ---- looking up ---- */

struct place {
	const struct json *j;
	uint32_t entry; /* index + 1 */
};

/* Child number i of the place. */
static struct place child_at(const struct yaml_doc *doc, struct place at, size_t i)
{
	struct place p = { at.j->type == JSON_ARRAY ? &at.j->items[i] : &at.j->members[i].value,
			   0 };
	p.entry = doc->lines[at.entry - 1].child;
	for (; i && p.entry; i--)
		p.entry = doc->lines[p.entry - 1].next;
	return p;
}

/* "[key]" or "[0]" at the start of *path; its inside, or p NULL */
static struct str bracket(struct str *path)
{
	if (!path->len || path->p[0] != '[')
		return STR_NONE;
	ptrdiff_t close = str_find(*path, ']', 0);
	if (close < 0)
		return STR_NONE;
	struct str inside = str_sub(*path, 1, (size_t)close);
	*path = str_sub(*path, (size_t)close + 1, path->len);
	return inside;
}

/* The longest member name that begins *path and ends at a "." or "[" or the end. */
static ptrdiff_t member_of(const struct json *j, struct str *path)
{
	ptrdiff_t best = -1;
	size_t best_len = 0;
	for (uint32_t i = 0; i < j->len; i++) {
		struct str key = json_str(&j->members[i].key);
		bool fits = str_starts(*path, key) &&
			    (path->len == key.len || path->p[key.len] == '.' ||
			     path->p[key.len] == '[');
		if (fits && (best < 0 || key.len > best_len)) {
			best = (ptrdiff_t)i;
			best_len = key.len;
		}
	}
	if (best >= 0)
		*path = str_sub(*path, best_len, path->len);
	return best;
}

/* The next place on the path; entry 0 when it leads nowhere. */
static struct place step(const struct yaml_doc *doc, struct place at, struct str *path)
{
	static const struct place nowhere = { 0 };
	if (path->p[0] == '.')
		*path = str_sub(*path, 1, path->len);
	if (json_is(at.j, JSON_ARRAY)) {
		uint64_t i = 0;
		return str_to_u64(bracket(path), &i) && i < at.j->len ? child_at(doc, at, i)
								      : nowhere;
	}
	if (!json_is(at.j, JSON_OBJECT))
		return nowhere;
	struct str key = bracket(path);
	ptrdiff_t i = key.p ? member_of(at.j, &key) : member_of(at.j, path);
	return i >= 0 && (!key.p || !key.len) ? child_at(doc, at, (size_t)i) : nowhere;
}

uint32_t yaml_line_of(const struct yaml_doc *doc, struct str path)
{
	if (!doc->lines_len)
		return 0;
	struct place at = { &doc->root, 1 };
	while (path.len) {
		struct place next = step(doc, at, &path);
		if (!next.entry)
			break;
		at = next;
	}
	return doc->lines[at.entry - 1].line;
}
