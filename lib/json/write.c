#include "base/utf8.h"
#include "json/json.h"
#include "json/scan.h"

/* The letter behind the backslash for each control character; 'u' = \u00XX. */
static const char control_escapes[] = "uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";

/* 0 = the byte stands for itself. */
static inline char escape_of(unsigned char c)
{
	if (c < 0x20)
		return control_escapes[c];
	return c == '"' || c == '\\' ? (char)c : 0;
}

/* buf_addc() without a call while there is room */
static inline void put(struct buf *out, char c)
{
	if (out->len + 1 < out->cap)
		out->p[out->len++] = c;
	else
		buf_addc(out, c);
}

static void write_special(struct buf *out, unsigned char c)
{
	char e = escape_of(c);
	if (e == 'u') {
		buf_addf(out, "\\u%04x", c);
		return;
	}
	buf_addc(out, '\\');
	buf_addc(out, e);
}

/* The rest of a string from its first byte `c` that is not plain ASCII. */
static void write_rest(struct buf *out, const char *c, const char *end)
{
	while (c < end) {
		const char *run = c;
		c = json_skip_plain(c, end);
		buf_add(out, run, (size_t)(c - run));
		if (c == end)
			break;
		if ((unsigned char)*c < 0x80) {
			write_special(out, (unsigned char)*c++);
			continue;
		}
		size_t n = utf8_len(c, end);
		if (n)
			buf_add(out, c, n);
		else
			buf_adds(out, "\xEF\xBF\xBD"); /* U+FFFD: what we write is always JSON */
		c += n ? n : 1;
	}
}

void json_write_str(struct buf *out, struct str s)
{
	buf_reserve(out, s.len + 3); /* quotes, and a comma or colon behind */
	char *to = out->p + out->len;
	const char *end = s.p ? s.p + s.len : NULL;
	const char *stop = s.len ? json_skip_plain(s.p, end) : end;
	size_t n = s.len ? (size_t)(stop - s.p) : 0;
	*to++ = '"';
	if (n)
		memcpy(to, s.p, n);
	out->len += n + 1;
	if (stop != end)
		write_rest(out, stop, end);
	put(out, '"');
}

/* indent < 0: compact */
struct writer {
	struct buf *out;
	int indent;
};

static void new_line(const struct writer *w, int depth)
{
	if (w->indent < 0)
		return;
	size_t n = (size_t)w->indent * (size_t)depth;
	buf_reserve(w->out, n + 1);
	put(w->out, '\n');
	memset(w->out->p + w->out->len, ' ', n);
	w->out->len += n;
}

static void write_value(const struct writer *w, const struct json *j, int depth);

static void write_array(const struct writer *w, const struct json *j, int depth)
{
	put(w->out, '[');
	for (uint32_t i = 0; i < j->len; i++) {
		if (i)
			put(w->out, ',');
		new_line(w, depth + 1);
		write_value(w, &j->items[i], depth + 1);
	}
	if (j->len)
		new_line(w, depth);
	put(w->out, ']');
}

static void write_object(const struct writer *w, const struct json *j, int depth)
{
	put(w->out, '{');
	for (uint32_t i = 0; i < j->len; i++) {
		if (i)
			put(w->out, ',');
		new_line(w, depth + 1);
		json_write_str(w->out, json_str(&j->members[i].key));
		put(w->out, ':');
		if (w->indent >= 0)
			put(w->out, ' ');
		write_value(w, &j->members[i].value, depth + 1);
	}
	if (j->len)
		new_line(w, depth);
	put(w->out, '}');
}

static void write_value(const struct writer *w, const struct json *j, int depth)
{
	switch ((enum json_type)j->type) {
	case JSON_NULL:
		buf_adds(w->out, "null");
		break;
	case JSON_BOOL:
		buf_adds(w->out, j->b ? "true" : "false");
		break;
	case JSON_INT:
		buf_add_i64(w->out, j->i);
		break;
	case JSON_UINT:
		buf_add_u64(w->out, j->u);
		break;
	case JSON_DOUBLE:
		json_write_double(w->out, j->d);
		break;
	case JSON_STRING:
		json_write_str(w->out, json_str(j));
		break;
	case JSON_ARRAY:
		write_array(w, j, depth);
		break;
	case JSON_OBJECT:
		write_object(w, j, depth);
		break;
	}
}

void json_write(struct buf *out, const struct json *j)
{
	struct writer w = { out, -1 };
	write_value(&w, j, 0);
}

void json_write_pretty(struct buf *out, const struct json *j, int indent)
{
	struct writer w = { out, indent };
	write_value(&w, j, 0);
}

struct str json_text(struct arena *a, const struct json *j)
{
	struct buf out = { 0 };
	json_write(&out, j);
	struct str text = arena_str(a, buf_str(&out));
	buf_fini(&out);
	return text;
}
