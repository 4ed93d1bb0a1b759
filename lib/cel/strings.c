/* Functions of strings. Positions count code points. */
#include "cel/cel_priv.h"
#include "regex/regex.h"

static size_t next_point(struct str s, size_t at)
{
	at++;
	while (at < s.len && ((unsigned char)s.p[at] & 0xC0) == 0x80)
		at++;
	return at;
}

static size_t points(struct str s)
{
	size_t n = 0;
	for (size_t at = 0; at < s.len; at = next_point(s, at))
		n++;
	return n;
}

/* The byte at which code point n begins; false beyond the end. */
static bool byte_of(struct str s, int64_t n, size_t *ret)
{
	size_t at = 0;
	for (; n > 0 && at < s.len; n--)
		at = next_point(s, at);
	*ret = at;
	return n == 0;
}

static struct cel_value matches(struct cel_eval *e, const struct cel_node *n, struct str text,
				struct str pattern)
{
	struct error err = { 0 };
	struct regex *own = NULL;
	/* A pattern that is made while evaluating is compiled each time. */
	if (!cel_pay(e, 1 + text.len / 4 + (n->regex ? 0 : 500 + 10 * pattern.len)))
		return (struct cel_value){ 0 };
	if (!n->regex) {
		own = regex_compile(pattern, REGEX_SEARCH, &err);
		if (!own)
			return cel_error(e, "%s", err.msg);
	}
	int rc = regex_match(n->regex ? n->regex : own, text);
	own = regex_free(own);
	return rc < 0 ? cel_error(e, "the regular expression costs too much") : cel_bool(rc == 1);
}

static struct cel_value index_of(struct str s, struct str what, bool last)
{
	int64_t at = 0, found = -1;
	for (size_t i = 0;; i = next_point(s, i), at++) {
		if (str_starts(str_sub(s, i, s.len), what)) {
			found = at;
			if (!last)
				break;
		}
		if (i >= s.len)
			break;
	}
	return cel_int(found);
}

static struct cel_value substring(struct cel_eval *e, struct str s, const struct cel_value *args,
				  size_t len)
{
	size_t from = 0, to = s.len;
	bool ok = args[0].type == CEL_INT && args[0].i >= 0 && byte_of(s, args[0].i, &from);
	if (ok && len > 1)
		ok = args[1].type == CEL_INT && args[1].i >= args[0].i &&
		     byte_of(s, args[1].i, &to);
	return ok ? cel_str(str_sub(s, from, to)) : cel_error(e, "index out of range");
}

static struct cel_value char_at(struct cel_eval *e, struct str s, const struct cel_value *i)
{
	size_t at = 0;
	if (i->type != CEL_INT || i->i < 0 || !byte_of(s, i->i, &at))
		return cel_error(e, "index out of range");
	return cel_str(str_sub(s, at, at < s.len ? next_point(s, at) : at));
}

static struct cel_value changed_case(struct cel_eval *e, struct str s, bool upper)
{
	char *p = arena_alloc(e->a, s.len + 1);
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (upper && c >= 'a' && c <= 'z')
			c = (char)(c - 32);
		else if (!upper && c >= 'A' && c <= 'Z')
			c = (char)(c + 32);
		p[i] = c;
	}
	return cel_str(str_n(p, s.len));
}

static struct cel_value replaced(struct cel_eval *e, struct str s, const struct cel_value *args,
				 size_t len)
{
	struct str what = args[0].s, with = args[1].s;
	int64_t left = len > 2 && args[2].type == CEL_INT && args[2].i >= 0 ? args[2].i : INT64_MAX;
	struct buf b = { 0 };
	size_t at = 0;
	while (left > 0 && at <= s.len && cel_pay(e, 1 + with.len / 10)) {
		ptrdiff_t here = what.len ? str_find_str(s, what, at) : (ptrdiff_t)at;
		if (here < 0)
			break;
		buf_add_str(&b, str_sub(s, at, (size_t)here));
		buf_add_str(&b, with);
		at = (size_t)here + what.len;
		if (!what.len) {
			size_t to = at < s.len ? next_point(s, at) : s.len + 1;
			buf_add_str(&b, str_sub(s, at, to));
			at = to;
		}
		left--;
	}
	buf_add_str(&b, str_sub(s, at, s.len));
	struct cel_value v = cel_str(arena_str(e->a, buf_str(&b)));
	buf_fini(&b);
	return e->spent ? (struct cel_value){ 0 } : v;
}

static size_t pieces(struct str s, struct str sep, size_t max, struct cel_value *out)
{
	size_t n = 0, at = 0;
	while (n + 1 < max) {
		size_t to = s.len;
		if (sep.len) {
			ptrdiff_t here = str_find_str(s, sep, at);
			if (here < 0)
				break;
			to = (size_t)here;
		} else {
			if (at >= s.len || next_point(s, at) >= s.len)
				break;
			to = next_point(s, at);
		}
		if (out)
			out[n] = cel_str(str_sub(s, at, to));
		n++;
		at = to + sep.len;
	}
	if (out)
		out[n] = cel_str(str_sub(s, at, s.len));
	return n + 1;
}

static struct cel_value split(struct cel_eval *e, struct str s, const struct cel_value *args,
			      size_t len)
{
	size_t max = SIZE_MAX;
	struct cel_list *list = arena_new(e->a, struct cel_list, 1);
	if (len > 1 && args[1].type == CEL_INT && args[1].i >= 0)
		max = (size_t)args[1].i;
	if (max > 0 && (s.len || args[0].s.len)) {
		size_t n = pieces(s, args[0].s, max, NULL);
		if (!cel_pay(e, n))
			return (struct cel_value){ 0 };
		struct cel_value *items = arena_new(e->a, struct cel_value, n);
		*list = (struct cel_list){ items, pieces(s, args[0].s, max, items) };
	}
	return (struct cel_value){ .type = CEL_LIST, .list = list };
}

static struct cel_value find(struct cel_eval *e, struct str s, const struct cel_value *args,
			     size_t len, bool all)
{
	struct error err = { 0 };
	struct str group = STR_NONE;
	int64_t max = !all                                                   ? 1
		      : len > 1 && args[1].type == CEL_INT && args[1].i >= 0 ? args[1].i
									     : INT64_MAX;
	if (!cel_pay(e, 500 + 10 * args[0].s.len + s.len))
		return (struct cel_value){ 0 };
	struct regex *re = regex_compile(args[0].s, REGEX_SEARCH, &err);
	if (!re)
		return cel_error(e, "%s", err.msg);
	struct cel_list *list = arena_new(e->a, struct cel_list, 1);
	struct cel_value *items = arena_new(e->a, struct cel_value, all ? s.len + 1 : 1);
	size_t n = 0, at = 0;
	while ((int64_t)n < max && at <= s.len && cel_pay(e, 10) &&
	       regex_exec(re, s, at, &group, 1) == 1) {
		items[n++] = cel_str(group);
		at = (size_t)(group.p - s.p) + group.len + (group.len == 0);
	}
	re = regex_free(re);
	*list = (struct cel_list){ items, n };
	if (e->spent)
		return (struct cel_value){ 0 };
	if (!all)
		return n ? items[0] : cel_str(STR(""));
	return (struct cel_value){ .type = CEL_LIST, .list = list };
}

/* %s %d %f of "…".format([…]); the rest of the verbs are refused. */
static struct cel_value formatted(struct cel_eval *e, struct str s, const struct cel_value *list)
{
	struct buf b = { 0 };
	size_t arg = 0;
	struct cel_value v = cel_bool(true);
	for (size_t i = 0; i < s.len && v.type != CEL_ERROR; i++) {
		char verb = i + 1 < s.len ? s.p[i + 1] : '\0';
		if (s.p[i] != '%') {
			buf_addc(&b, s.p[i]);
			continue;
		}
		i++;
		if (verb == '%') {
			buf_addc(&b, '%');
		} else if (str_find(STR("sdf"), verb, 0) < 0 || verb == '\0') {
			v = cel_error(e, "unrecognized formatting clause");
		} else if (arg >= cel_len(list)) {
			v = cel_error(e, "index %zu out of range", arg);
		} else {
			struct cel_value x = cel_item(list, arg++);
			v = cel_to_string(e, &x);
			if (v.type == CEL_STRING && cel_pay(e, 1 + v.s.len / 10))
				buf_add_str(&b, v.s);
		}
	}
	if (v.type != CEL_ERROR)
		v = cel_str(arena_str(e->a, buf_str(&b)));
	buf_fini(&b);
	return e->spent ? (struct cel_value){ 0 } : v;
}

static bool strings(const struct cel_value *args, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (args[i].type != CEL_STRING)
			return false;
	return true;
}

static struct cel_value reversed(struct cel_eval *e, struct str s)
{
	char *p = arena_alloc(e->a, s.len + 1);
	size_t out = s.len;
	for (size_t at = 0; at < s.len;) {
		size_t to = next_point(s, at);
		out -= to - at;
		memcpy(p + out, s.p + at, to - at);
		at = to;
	}
	return cel_str(str_n(p, s.len));
}

struct cel_value cel_string_call(struct cel_eval *e, const struct cel_node *n,
				 const struct cel_value *args, bool *ret_known)
{
	struct str s = args[0].s, f = n->name;
	size_t more = n->len - 1;
	*ret_known = true;
	if (!cel_pay(e, 1 + s.len / 10))
		return (struct cel_value){ 0 };
	if (more == 0) {
		if (str_is(f, "size"))
			return cel_int((int64_t)points(s));
		if (str_is(f, "lowerAscii") || str_is(f, "upperAscii"))
			return changed_case(e, s, str_is(f, "upperAscii"));
		if (str_is(f, "trim"))
			return cel_str(str_trim(s));
		if (str_is(f, "reverse"))
			return reversed(e, s);
	} else if (str_is(f, "substring")) {
		return substring(e, s, args + 1, more);
	} else if (str_is(f, "charAt")) {
		return char_at(e, s, &args[1]);
	} else if (str_is(f, "format") && args[1].type == CEL_LIST) {
		return formatted(e, s, &args[1]);
	} else if (strings(args + 1, 1)) {
		struct str x = args[1].s;
		if (str_is(f, "startsWith"))
			return cel_bool(str_starts(s, x));
		if (str_is(f, "endsWith"))
			return cel_bool(str_ends(s, x));
		if (str_is(f, "contains"))
			return cel_bool(cel_pay(e, s.len / 4) && str_find_str(s, x, 0) >= 0);
		if (str_is(f, "matches"))
			return matches(e, n, s, x);
		if (str_is(f, "indexOf") || str_is(f, "lastIndexOf"))
			return cel_pay(e, s.len) ? index_of(s, x, str_is(f, "lastIndexOf"))
						 : (struct cel_value){ 0 };
		if (str_is(f, "split"))
			return split(e, s, args + 1, more);
		if (str_is(f, "find") || str_is(f, "findAll"))
			return find(e, s, args + 1, more, str_is(f, "findAll"));
		if (str_is(f, "replace") && more >= 2 && strings(args + 1, 2))
			return replaced(e, s, args + 1, more);
	}
	*ret_known = false;
	return (struct cel_value){ 0 };
}
