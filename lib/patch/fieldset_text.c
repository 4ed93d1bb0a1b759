#include "patch/fieldset.h"
#include "patch/patch_priv.h"

#include <assert.h>
#include <string.h>

/* ---- reading ---- */

static int by_key_name(const void *a, const void *b)
{
	return str_cmp(((const struct pe_key *)a)->name, ((const struct pe_key *)b)->name);
}

static int parse_keys(struct arena *a, struct str text, struct pe *ret, struct error *err)
{
	struct json keys = { 0 };
	int rc = json_parse(a, text, NULL, &keys, err);
	if (rc < 0) {
		(void)error_wrap(err, "key fields");
		return rc;
	}
	if (keys.type != JSON_OBJECT)
		return error_set(err, ERR_BAD_REQUEST, "key fields are no object");
	struct pe_key *k = arena_new(a, struct pe_key, (size_t)keys.len + 1);
	for (uint32_t i = 0; i < keys.len; i++)
		k[i] = (struct pe_key){ member_name(&keys.members[i]), keys.members[i].value };
	if (keys.len > 1)
		qsort(k, keys.len, sizeof(k[0]), by_key_name);
	*ret = (struct pe){ .kind = PE_KEY, .len = keys.len, .keys = k };
	return 0;
}

static int parse_value(struct arena *a, struct str text, struct pe *ret, struct error *err)
{
	struct json *v = arena_new(a, struct json, 1);
	int rc = json_parse(a, text, NULL, v, err);
	if (rc < 0) {
		(void)error_wrap(err, "value");
		return rc;
	}
	*ret = (struct pe){ .kind = PE_VALUE, .value = v };
	return 0;
}

int pe_parse(struct arena *a, struct str text, struct pe *ret, struct error *err)
{
	if (text.len < 2 || text.p[1] != ':')
		return error_set(err, ERR_BAD_REQUEST, "\"%.*s\" is no path element",
				 STR_ARG(text));
	struct str rest = str_sub(text, 2, text.len);
	int64_t index = 0;
	switch (text.p[0]) {
	case 'f':
		*ret = pe_field(str_n(text.p + 2, text.len - 2));
		return 0;
	case 'k':
		return parse_keys(a, rest, ret, err);
	case 'v':
		return parse_value(a, rest, ret, err);
	case 'i':
		if (!str_to_i64(rest, &index))
			return error_set(err, ERR_BAD_REQUEST, "\"%.*s\" is no index",
					 STR_ARG(rest));
		*ret = (struct pe){ .kind = PE_INDEX, .index = index };
		return 0;
	default:
		return error_set(err, ERR_BAD_REQUEST, "unknown kind of path element '%c'",
				 text.p[0]);
	}
}

/* *member: whether "." stands in the object, or nothing does. */
static int parse_level(struct arena *a, const struct json *fields, struct fset *ret, bool *member,
		       struct error *err)
{
	if (fields->type != JSON_OBJECT)
		return error_set(err, ERR_BAD_REQUEST, "a field set holds only objects, not %s",
				 json_type_name(fields));
	*member = fields->len == 0;
	ret->cap = fields->len;
	ret->nodes = arena_new(a, struct fset_node, (size_t)fields->len + 1);
	for (uint32_t i = 0; i < fields->len; i++) {
		const struct json_member *m = &fields->members[i];
		if (str_is(member_name(m), ".")) {
			*member = true;
			continue;
		}
		struct fset_node n = { 0 };
		int rc = pe_parse(a, member_name(m), &n.pe, err);
		if (rc == 0)
			rc = parse_level(a, &m->value, &n.below, &n.member, err);
		if (rc < 0)
			return rc;
		fset_push(a, ret, n.pe, n.member, n.below);
	}
	fset_sort(a, ret);
	return 0;
}

int fset_parse(struct arena *a, const struct json *fields, struct fset *ret, struct error *err)
{
	*ret = (struct fset){ 0 };
	if (!fields || fields->type == JSON_NULL)
		return 0;
	bool member = false;
	return parse_level(a, fields, ret, &member, err);
}

/* ---- writing ---- */

static struct str prefixed(struct arena *a, const char *prefix, struct str s)
{
	char *p = arena_alloc(a, s.len + 3);
	memcpy(p, prefix, 2);
	if (s.len)
		memcpy(p + 2, s.p, s.len);
	return str_n(p, s.len + 2);
}

static struct str keys_text(struct arena *a, const struct pe *pe)
{
	struct json_member *m = arena_new(a, struct json_member, (size_t)pe->len + 1);
	for (uint32_t i = 0; i < pe->len; i++)
		m[i] = (struct json_member){ json_of_str(pe->keys[i].name), pe->keys[i].value };
	struct json obj = json_of_members(m, pe->len);
	return prefixed(a, "k:", json_text(a, &obj));
}

struct str pe_text(struct arena *a, const struct pe *pe)
{
	switch ((enum pe_kind)pe->kind) {
	case PE_FIELD:
		return prefixed(a, "f:", str_n(pe->name, pe->len));
	case PE_KEY:
		return keys_text(a, pe);
	case PE_VALUE:
		return prefixed(a, "v:", json_text(a, pe->value));
	case PE_INDEX:
		break;
	}
	return arena_strf(a, "i:%lld", (long long)pe->index);
}

/* A member with nothing below is {}; with something below it says ".". */
static struct json level_json(struct arena *a, const struct fset *s, bool member)
{
	bool dot = member && s->len;
	struct json_member *m = arena_new(a, struct json_member, (size_t)s->len + 1);
	size_t len = 0;
	if (dot)
		m[len++] = (struct json_member){ json_of_str(STR(".")), json_object() };
	for (uint32_t i = 0; i < s->len; i++) {
		const struct fset_node *n = &s->nodes[i];
		m[len++] = (struct json_member){ json_of_str(pe_text(a, &n->pe)),
						 level_json(a, &n->below, n->member) };
	}
	return json_of_members(m, len);
}

struct json fset_json(struct arena *a, const struct fset *s)
{
	return level_json(a, s, false);
}

/* ---- printing ---- */

/* As Go's %q: what is printable stays. */
static void print_quoted(struct buf *out, struct str s)
{
	static const char escapes[] = "\a\b\f\n\r\t\v";
	buf_addc(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		const char *e = c ? strchr(escapes, c) : NULL;
		if (c == '"' || c == '\\') {
			buf_addc(out, '\\');
			buf_addc(out, c);
		} else if (e) {
			buf_addc(out, '\\');
			buf_addc(out, "abfnrtv"[e - escapes]);
		} else if ((unsigned char)c < 0x20 || c == 0x7f) {
			buf_addf(out, "\\x%02x", (unsigned)(unsigned char)c);
		} else {
			buf_addc(out, c);
		}
	}
	buf_addc(out, '"');
}

static void print_value(struct buf *out, const struct json *v)
{
	if (v->type == JSON_STRING)
		print_quoted(out, json_str(v));
	else
		json_write(out, v);
}

void pe_print(struct buf *out, const struct pe *pe)
{
	switch ((enum pe_kind)pe->kind) {
	case PE_FIELD:
		buf_addc(out, '.');
		buf_add_str(out, str_n(pe->name, pe->len));
		return;
	case PE_KEY:
		for (uint32_t i = 0; i < pe->len; i++) {
			buf_addc(out, i ? ',' : '[');
			buf_add_str(out, pe->keys[i].name);
			buf_addc(out, '=');
			print_value(out, &pe->keys[i].value);
		}
		buf_adds(out, pe->len ? "]" : "[]");
		return;
	case PE_VALUE:
		buf_adds(out, "[=");
		print_value(out, pe->value);
		buf_addc(out, ']');
		return;
	case PE_INDEX:
		break;
	}
	buf_addf(out, "[%lld]", (long long)pe->index);
}

struct walk {
	struct pe path[FSET_DEPTH_MAX];
	fset_path_fn fn;
	void *arg;
};

static bool each(struct walk *w, const struct fset *s, size_t depth)
{
	if (depth == FSET_DEPTH_MAX)
		return true;
	for (uint32_t i = 0; i < s->len; i++) {
		const struct fset_node *n = &s->nodes[i];
		w->path[depth] = n->pe;
		if (n->member && !w->fn(w->arg, w->path, depth + 1))
			return false;
		if (!each(w, &n->below, depth + 1))
			return false;
	}
	return true;
}

bool fset_each(const struct fset *s, fset_path_fn fn, void *arg)
{
	struct walk w = { .fn = fn, .arg = arg };
	return each(&w, s, 0);
}
