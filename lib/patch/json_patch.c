#include "patch/patch.h"
#include "patch/patch_priv.h"

#include <string.h>

enum {
	TOKENS_MAX = 100,          /* as deep as documents may be */
	COPY_BYTES_MAX = 3 << 20,  /* what "copy" operations may add in all */
	MOVE_BYTES_MAX = 64 << 20, /* what "move" operations may look at in all */
	STEPS_MAX = 200 << 20,     /* members and elements that may be passed in all */
};

struct pointer {
	struct str token[TOKENS_MAX]; /* unescaped */
	size_t len;
	struct str text;
};

struct run {
	struct arena *a;
	struct json doc; /* ours alone: changed in place */
	const char *op;  /* of the operation at hand, for messages */
	size_t copied, moved, steps;
	struct error *err;
};

/* ---- JSON pointers ---- */

static int unescape(struct run *r, struct str raw, struct str *ret)
{
	*ret = raw;
	if (str_find(raw, '~', 0) < 0)
		return 0;
	char *p = arena_alloc(r->a, raw.len + 1);
	size_t len = 0;
	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.p[i];
		if (c == '~') {
			i++;
			if (i >= raw.len || (raw.p[i] != '0' && raw.p[i] != '1'))
				return ERR_BAD_REQUEST;
			c = raw.p[i] == '0' ? '~' : '/';
		}
		p[len++] = c;
	}
	*ret = str_n(p, len);
	return 0;
}

static int pointer_parse(struct run *r, struct str text, struct pointer *ret)
{
	ret->text = text;
	ret->len = 0;
	if (text.len == 0)
		return 0;
	if (text.p[0] != '/')
		return error_set(r->err, ERR_BAD_REQUEST,
				 "invalid JSON pointer \"%.*s\": no leading /", STR_ARG(text));
	struct str rest = str_sub(text, 1, text.len);
	if (!rest.p)
		rest.p = "";
	struct str piece = STR_NONE;
	while (str_split(&rest, '/', &piece)) {
		if (ret->len == TOKENS_MAX)
			return error_set(r->err, ERR_BAD_REQUEST,
					 "JSON pointer of more than %d parts", TOKENS_MAX);
		if (unescape(r, piece, &ret->token[ret->len++]) < 0)
			return error_set(r->err, ERR_BAD_REQUEST,
					 "invalid JSON pointer \"%.*s\": bad ~", STR_ARG(text));
	}
	return 0;
}

static int missing(struct run *r, const struct pointer *p)
{
	return error_set(r->err, ERR_INVALID,
			 "%s operation does not apply: doc is missing path: \"%.*s\"", r->op,
			 STR_ARG(p->text));
}

/* An index as RFC 6901 writes it; false for anything else. */
static bool parse_index(struct str token, size_t *ret)
{
	if (token.len == 0 || token.len > 10 || (token.len > 1 && token.p[0] == '0'))
		return false;
	size_t v = 0;
	for (size_t i = 0; i < token.len; i++) {
		if (token.p[i] < '0' || token.p[i] > '9')
			return false;
		v = v * 10 + (size_t)(token.p[i] - '0');
	}
	*ret = v;
	return true;
}

static struct json *child(struct json *at, struct str token)
{
	if (json_is(at, JSON_OBJECT))
		return json_get(at, token);
	size_t i = 0;
	if (json_is(at, JSON_ARRAY) && parse_index(token, &i))
		return json_at(at, i);
	return NULL;
}

/* The value behind the first `len` tokens, or NULL. */
static struct json *walk(struct run *r, const struct pointer *p, size_t len)
{
	struct json *at = &r->doc;
	for (size_t i = 0; at && i < len; i++) {
		r->steps += json_len(at);
		at = child(at, p->token[i]);
	}
	r->steps += json_len(at);
	return at;
}

/* ---- the operations ---- */

static size_t json_bytes(const struct json *j)
{
	size_t sum = 8;
	if (json_is(j, JSON_STRING))
		return sum + j->len;
	for (uint32_t i = 0; json_is(j, JSON_ARRAY) && i < j->len; i++)
		sum += json_bytes(&j->items[i]);
	for (uint32_t i = 0; json_is(j, JSON_OBJECT) && i < j->len; i++)
		sum += j->members[i].key.len + json_bytes(&j->members[i].value);
	return sum;
}

static int check_depth(struct run *r, const struct pointer *p, const struct json *value)
{
	if (p->len + json_depth(value) > TOKENS_MAX)
		return error_set(
			r->err, ERR_INVALID,
			"%s operation does not apply: \"%.*s\" would be nested more than %d deep",
			r->op, STR_ARG(p->text), TOKENS_MAX);
	return 0;
}

static int op_add(struct run *r, const struct pointer *p, struct json value)
{
	int rc = check_depth(r, p, &value);
	if (rc < 0)
		return rc;
	if (p->len == 0) {
		r->doc = value;
		return 0;
	}
	struct json *parent = walk(r, p, p->len - 1);
	struct str last = p->token[p->len - 1];
	if (json_is(parent, JSON_OBJECT)) {
		json_set(r->a, parent, last, value);
		return 0;
	}
	if (!json_is(parent, JSON_ARRAY))
		return missing(r, p);
	size_t i = parent->len;
	if (!str_is(last, "-") && !parse_index(last, &i))
		return missing(r, p);
	if (i > parent->len)
		return error_set(r->err, ERR_INVALID,
				 "%s operation does not apply: index of \"%.*s\" is out of bounds",
				 r->op, STR_ARG(p->text));
	json_insert_at(r->a, parent, i, value);
	return 0;
}

/* Takes the value out and hands it over. */
static int op_remove(struct run *r, const struct pointer *p, struct json *ret)
{
	struct json *at = walk(r, p, p->len);
	if (!at)
		return missing(r, p);
	*ret = *at;
	if (p->len == 0) {
		r->doc = (struct json){ 0 };
		return 0;
	}
	struct json *parent = walk(r, p, p->len - 1);
	if (json_is(parent, JSON_OBJECT))
		(void)json_remove(parent, p->token[p->len - 1]);
	else
		json_remove_at(parent, (size_t)(at - parent->items));
	return 0;
}

static int op_replace(struct run *r, const struct pointer *p, struct json value)
{
	int rc = check_depth(r, p, &value);
	if (rc < 0)
		return rc;
	struct json *at = walk(r, p, p->len);
	if (!at)
		return missing(r, p);
	*at = value;
	return 0;
}

static int op_test(struct run *r, const struct pointer *p, const struct json *value)
{
	const struct json *at = walk(r, p, p->len);
	if (!at)
		return missing(r, p);
	if (!json_equal(at, value))
		return error_set(r->err, ERR_INVALID, "testing path %.*s failed", STR_ARG(p->text));
	return 0;
}

static bool is_inside(const struct pointer *p, const struct pointer *of)
{
	if (p->len <= of->len)
		return false;
	for (size_t i = 0; i < of->len; i++) {
		if (!str_eq(p->token[i], of->token[i]))
			return false;
	}
	return true;
}

static int op_move(struct run *r, const struct pointer *from, const struct pointer *to)
{
	const struct json *at = walk(r, from, from->len);
	if (!at)
		return missing(r, from);
	if (is_inside(to, from))
		return error_set(r->err, ERR_INVALID,
				 "move operation does not apply: \"%.*s\" lies inside \"%.*s\"",
				 STR_ARG(to->text), STR_ARG(from->text));
	r->moved += json_bytes(at);
	if (r->moved > MOVE_BYTES_MAX)
		return error_set(r->err, ERR_TOO_LARGE, "the JSON patch moves more than %d bytes",
				 MOVE_BYTES_MAX);
	struct json value = { 0 };
	int rc = op_remove(r, from, &value);
	return rc < 0 ? rc : op_add(r, to, value);
}

static int op_copy(struct run *r, const struct pointer *from, const struct pointer *to)
{
	const struct json *at = walk(r, from, from->len);
	if (!at)
		return missing(r, from);
	r->copied += json_bytes(at);
	if (r->copied > COPY_BYTES_MAX)
		return error_set(r->err, ERR_TOO_LARGE, "the JSON patch copies more than %d bytes",
				 COPY_BYTES_MAX);
	return op_add(r, to, json_clone(r->a, at));
}

/* ---- one operation, all operations ---- */

static int need_pointer(struct run *r, const struct json *op, const char *name, struct pointer *ret)
{
	const struct json *text = json_getc(op, name);
	if (!json_is(text, JSON_STRING))
		return error_set(r->err, ERR_BAD_REQUEST, "%s operation needs a string \"%s\"",
				 r->op, name);
	return pointer_parse(r, json_str(text), ret);
}

static int two_places(struct run *r, const struct json *op, const struct pointer *to, bool move)
{
	struct pointer from;
	int rc = need_pointer(r, op, "from", &from);
	if (rc < 0)
		return rc;
	return move ? op_move(r, &from, to) : op_copy(r, &from, to);
}

static int one_operation(struct run *r, const struct json *op)
{
	static const char *const known[] = { "add", "remove", "replace", "move", "copy", "test" };
	struct str name = json_str(json_getc(op, "op"));
	r->op = NULL;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_is(name, known[i]))
			r->op = known[i];
	}
	if (!json_is(op, JSON_OBJECT) || !r->op)
		return error_set(r->err, ERR_BAD_REQUEST, "unexpected kind of operation: \"%.*s\"",
				 STR_ARG(name));
	struct pointer p;
	int rc = need_pointer(r, op, "path", &p);
	if (rc < 0)
		return rc;
	switch (r->op[2]) {
	case 'v': /* move */
		return two_places(r, op, &p, true);
	case 'p': /* copy and replace */
		if (r->op[0] == 'c')
			return two_places(r, op, &p, false);
		break;
	case 'm': /* remove */
		return op_remove(r, &p, &(struct json){ 0 });
	default:
		break;
	}
	const struct json *value = json_getc(op, "value");
	if (!value)
		return error_set(r->err, ERR_BAD_REQUEST, "%s operation needs a \"value\"", r->op);
	if (r->op[0] == 't')
		return op_test(r, &p, value);
	struct json own = json_clone(r->a, value);
	return r->op[0] == 'a' ? op_add(r, &p, own) : op_replace(r, &p, own);
}

int patch_json(struct arena *a, const struct json *doc, const struct json *ops, struct json *ret,
	       struct error *err)
{
	if (!json_is(ops, JSON_ARRAY))
		return error_set(err, ERR_BAD_REQUEST,
				 "a JSON patch must be an array of operations");
	if (ops->len > PATCH_OPS_MAX)
		return error_set(err, ERR_TOO_LARGE,
				 "The allowed maximum operations in a JSON patch is %d, got %u",
				 PATCH_OPS_MAX, ops->len);
	struct run r = { .a = a, .doc = json_clone(a, doc), .err = err };
	for (uint32_t i = 0; i < ops->len; i++) {
		int rc = one_operation(&r, &ops->items[i]);
		if (rc == 0 && r.steps > STEPS_MAX)
			rc = error_set(
				err, ERR_TOO_LARGE,
				"the JSON patch is too much work for a document of this size");
		if (rc < 0)
			return rc;
	}
	*ret = r.doc;
	return 0;
}
