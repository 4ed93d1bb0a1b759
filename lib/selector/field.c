#include "selector/field.h"

/* Up to the next comma that no backslash stands before; false at the end. */
static bool next_term(struct str *rest, struct str *term)
{
	if (!rest->p)
		return false;
	size_t i = 0;
	for (; i < rest->len && rest->p[i] != ','; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->len)
			i++;
	}
	*term = str_n(rest->p, i);
	*rest = i < rest->len ? str_n(rest->p + i + 1, rest->len - i - 1) : STR_NONE;
	return true;
}

static int unescape(struct arena *a, struct str s, struct str *ret, struct error *err)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == '\\') {
			struct str sequence = str_sub(s, i, i + 2);
			if (sequence.len < 2 || !memchr("\\,=", sequence.p[1], 3))
				return error_set(
					err, ERR_BAD_REQUEST,
					"invalid field selector: invalid escape sequence: %.*s",
					STR_ARG(sequence));
			c = s.p[++i];
		} else if (c == ',' || c == '=') {
			return error_set(err, ERR_BAD_REQUEST,
					 "invalid field selector: unescaped character in value: %d",
					 c);
		}
		out[n++] = c;
	}
	*ret = str_n(out, n);
	return 0;
}

/* "field=value", "field==value", "field!=value": at the first operator */
static int term_of(struct arena *a, struct str all, struct str term, struct field_req *ret,
		   struct error *err)
{
	for (size_t i = 0; i < term.len; i++) {
		bool pair = i + 1 < term.len && term.p[i + 1] == '=';
		if (term.p[i] != '=' && !(term.p[i] == '!' && pair))
			continue;
		*ret = (struct field_req){ .field = str_n(term.p, i), .equal = term.p[i] == '=' };
		size_t behind = i + 1 + pair;
		return unescape(a, str_n(term.p + behind, term.len - behind), &ret->value, err);
	}
	return error_set(err, ERR_BAD_REQUEST, "invalid selector: '%.*s'; can't understand '%.*s'",
			 STR_ARG(all), STR_ARG(term));
}

int field_selector_parse(struct arena *a, struct str text, struct field_selector *ret,
			 struct error *err)
{
	if (text.len > FIELD_SELECTOR_TEXT_MAX)
		return error_set(err, ERR_BAD_REQUEST,
				 "field selector of %zu bytes, the limit is %d", text.len,
				 FIELD_SELECTOR_TEXT_MAX);
	struct str all = arena_str(a, text);
	size_t commas = 1;
	for (size_t i = 0; i < all.len; i++)
		commas += all.p[i] == ',';
	struct field_selector s = { .reqs = arena_new(a, struct field_req, commas) };
	struct str term;
	for (struct str rest = all; next_term(&rest, &term);) {
		if (!term.len)
			continue;
		if (s.reqs_len >= FIELD_SELECTOR_REQS_MAX)
			return error_set(err, ERR_BAD_REQUEST,
					 "more than %d terms in a field selector",
					 FIELD_SELECTOR_REQS_MAX);
		int rc = term_of(a, all, term, &s.reqs[s.reqs_len], err);
		if (rc)
			return rc;
		s.reqs_len++;
	}
	*ret = s;
	return 0;
}

bool field_selector_match(const struct field_selector *s, field_get_fn get, void *arg)
{
	for (size_t i = 0; i < s->reqs_len; i++) {
		const struct field_req *r = &s->reqs[i];
		if (str_eq(get(arg, r->field), r->value) != r->equal)
			return false;
	}
	return true;
}

bool field_selector_requires(const struct field_selector *s, struct str field,
			     struct str *ret_value)
{
	for (size_t i = 0; i < s->reqs_len; i++) {
		if (s->reqs[i].equal && str_eq(s->reqs[i].field, field)) {
			*ret_value = s->reqs[i].value;
			return true;
		}
	}
	return false;
}

void field_escape(struct buf *out, struct str value)
{
	for (size_t i = 0; i < value.len; i++) {
		if (memchr("\\,=", value.p[i], 3))
			buf_addc(out, '\\');
		buf_addc(out, value.p[i]);
	}
}

void field_selector_write(struct buf *out, const struct field_selector *s)
{
	for (size_t i = 0; i < s->reqs_len; i++) {
		if (i)
			buf_addc(out, ',');
		buf_add_str(out, s->reqs[i].field);
		buf_adds(out, s->reqs[i].equal ? "=" : "!=");
		field_escape(out, s->reqs[i].value);
	}
}
