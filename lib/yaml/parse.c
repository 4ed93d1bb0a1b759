#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "json/stack.h"
#include "text/base64.h"
#include "yaml/yaml_priv.h"

#include <yaml.h>

#include <assert.h>

#define TAG_PREFIX "tag:yaml.org,2002:"

/* libyaml compares each %TAG line with all before: more than these are refused. */
enum { TAG_LINES_MAX = 64 };

/* Its address tells a "<<" that merges from the string "<<". */
static const char merge_key[] = "<<";

struct anchor {
	struct json value;
	uint32_t entry;  /* of the line table, index + 1 */
	uint32_t values; /* in the tree of value */
	size_t bytes;    /* of its strings */
	bool done;       /* false: the node is still open, an alias to it would be a loop */
};

/* An open mapping or sequence. */
struct frame {
	uint32_t entry, last_child; /* index + 1 */
	uint32_t values;            /* counters before it */
	size_t bytes;
	struct anchor *anchor; /* that it defines, or NULL */
	bool merges;
};

struct loader {
	struct arena *arena;
	struct yaml_limits limits;
	struct error *err;
	yaml_parser_t parser;
	struct json_stack stack;
	struct yaml_lines lines;
	struct map anchors; /* name -> struct anchor * in the arena */
	struct frame *frames;
	uint32_t depth, frames_cap;
	size_t bytes;       /* of strings so far */
	size_t alias_bytes; /* of strings that aliases brought in */
	uint32_t line;      /* of the event at hand */
	bool duplicate;
};

static int fail(const struct loader *l, const char *what)
{
	return error_set(l->err, ERR_BAD_REQUEST, "yaml: line %u: %s", l->line, what);
}

static void on_duplicate(void *arg, const char *path)
{
	struct loader *l = arg;
	if (!l->duplicate)
		(void)error_set(l->err, ERR_BAD_REQUEST, "yaml: line %u: duplicate field \"%s\"",
				l->line, path);
	l->duplicate = true;
}

/* An entry of the line table for the value that begins now, hung into the open container. */
static uint32_t add_line(struct loader *l)
{
	uint32_t e = yaml_lines_add(&l->lines, l->line);
	if (l->depth) {
		struct frame *f = &l->frames[l->depth - 1];
		*(f->last_child ? &l->lines.v[f->last_child - 1].next
				: &l->lines.v[f->entry - 1].child) = e;
		f->last_child = e;
	}
	return e;
}

static bool at_key(const struct loader *l)
{
	return json_stack_in_object(&l->stack) && !json_stack_after_key(&l->stack);
}

/* ---- anchors ---- */

static struct anchor *define(struct loader *l, const yaml_char_t *name)
{
	if (!name)
		return NULL;
	struct anchor *a = arena_new(l->arena, struct anchor, 1);
	(void)map_set(&l->anchors, str_of((const char *)name), a);
	return a;
}

static void settle(struct loader *l, struct anchor *a, uint32_t entry, uint32_t values,
		   size_t bytes)
{
	if (!a)
		return;
	a->value = l->stack.v[l->stack.len - 1];
	a->entry = entry;
	a->values = l->stack.values - values;
	a->bytes = l->bytes - bytes;
	a->done = true;
}

/* ---- scalars ---- */

static int binary(struct loader *l, struct str text, struct json *ret)
{
	struct buf bytes = { 0 };
	struct buf packed = { 0 };
	for (size_t i = 0; i < text.len; i++) {
		if (!memchr(" \t\r\n", text.p[i], 4))
			buf_addc(&packed, text.p[i]);
	}
	bool ok = base64_read(&bytes, buf_str(&packed)) && utf8_valid(buf_str(&bytes));
	if (ok)
		*ret = json_of_str(arena_str(l->arena, buf_str(&bytes)));
	buf_fini(&packed);
	buf_fini(&bytes);
	return ok ? 0 : fail(l, "!!binary value is no base64 of text");
}

/* A scalar with an explicit core tag other than !!str. */
static int tagged(struct loader *l, struct str tag, struct str text, struct json *ret)
{
	if (str_is(tag, "binary"))
		return binary(l, text, ret);
	struct json v = { 0 };
	enum yaml_plain kind = yaml_resolve(text, &v);
	if (kind == YAML_PLAIN_NOT_FINITE)
		return fail(l, "not a finite number");
	bool number = kind == YAML_PLAIN_VALUE && v.type >= JSON_INT && v.type <= JSON_DOUBLE;
	bool fits = true;
	if (str_is(tag, "int"))
		fits = number && v.type != JSON_DOUBLE;
	else if (str_is(tag, "float"))
		fits = number;
	else if (str_is(tag, "bool"))
		fits = kind == YAML_PLAIN_VALUE && v.type == JSON_BOOL;
	else if (str_is(tag, "null"))
		fits = kind == YAML_PLAIN_VALUE && v.type == JSON_NULL;
	else
		kind = YAML_PLAIN_STRING;
	if (!fits)
		return error_set(l->err, ERR_BAD_REQUEST,
				 "yaml: line %u: cannot decode `%.*s` as a !!%.*s", l->line,
				 (int)(text.len > 100 ? 100 : text.len), text.p, STR_ARG(tag));
	*ret = kind == YAML_PLAIN_VALUE ? v : json_of_str(arena_str(l->arena, text));
	return 0;
}

static int scalar_value(struct loader *l, const yaml_event_t *e, struct json *ret)
{
	struct str text = str_n((const char *)e->data.scalar.value, e->data.scalar.length);
	struct str tag = str_of((const char *)e->data.scalar.tag);
	struct str core = str_starts(tag, STR(TAG_PREFIX))
				  ? str_sub(tag, sizeof(TAG_PREFIX) - 1, tag.len)
				  : STR_NONE;
	if (core.p && !str_is(core, "str"))
		return tagged(l, core, text, ret);
	struct json v = { 0 };
	bool plain = !tag.p && e->data.scalar.plain_implicit;
	enum yaml_plain kind = plain ? yaml_resolve(text, &v) : YAML_PLAIN_STRING;
	if (kind == YAML_PLAIN_NOT_FINITE)
		return fail(l, "not a finite number");
	*ret = kind == YAML_PLAIN_VALUE ? v : json_of_str(arena_str(l->arena, text));
	return 0;
}

/* A scalar as a member name: numbers and booleans as JSON writes them. */
static int key_text(struct loader *l, const struct json *v, struct str *ret)
{
	if (v->type == JSON_STRING)
		*ret = json_str(v);
	else if (v->type == JSON_NULL || v->type == JSON_ARRAY || v->type == JSON_OBJECT)
		return fail(l, "unsupported map key");
	else
		*ret = json_text(l->arena, v);
	return 0;
}

static int add_key(struct loader *l, const struct json *v)
{
	struct str key = STR_NONE;
	int rc = key_text(l, v, &key);
	if (rc)
		return rc;
	json_stack_key(&l->stack, key);
	return l->duplicate ? ERR_BAD_REQUEST : 0;
}

static bool is_merge(const yaml_event_t *e)
{
	const char *tag = (const char *)e->data.scalar.tag;
	bool text = e->data.scalar.length == 2 && memcmp(e->data.scalar.value, "<<", 2) == 0;
	return text && ((!tag && e->data.scalar.plain_implicit) ||
			(tag && strcmp(tag, TAG_PREFIX "merge") == 0));
}

static int on_scalar(struct loader *l, const yaml_event_t *e)
{
	size_t bytes = l->bytes;
	uint32_t values = l->stack.values;
	if (at_key(l) && is_merge(e)) {
		l->frames[l->depth - 1].merges = true;
		json_stack_key(&l->stack, str_n(merge_key, 2));
		return l->duplicate ? ERR_BAD_REQUEST : 0;
	}
	struct json v = { 0 };
	int rc = scalar_value(l, e, &v);
	if (rc)
		return rc;
	l->bytes += e->data.scalar.length;
	struct anchor *a = define(l, e->data.scalar.anchor);
	if (at_key(l)) {
		if (a)
			*a = (struct anchor){ .value = v,
					      .bytes = e->data.scalar.length,
					      .done = true };
		return add_key(l, &v);
	}
	uint32_t entry = add_line(l);
	rc = json_stack_push(&l->stack, v, l->err);
	if (rc)
		return rc;
	settle(l, a, entry, values, bytes);
	return 0;
}

static int on_alias(struct loader *l, const yaml_event_t *e)
{
	const struct anchor *a = map_get(&l->anchors, str_of((const char *)e->data.alias.anchor));
	if (!a)
		return fail(l, "unknown anchor");
	if (!a->done)
		return fail(l, "anchor value contains itself");
	if (at_key(l))
		return add_key(l, &a->value);
	if (a->values > l->limits.values_max - l->stack.values ||
	    a->bytes > l->limits.bytes_max - l->alias_bytes)
		return error_set(l->err, ERR_TOO_LARGE, "yaml: line %u: aliases expand to too much",
				 l->line);
	uint32_t entry = add_line(l);
	if (a->entry) {
		l->lines.v[entry - 1].line = l->lines.v[a->entry - 1].line;
		l->lines.v[entry - 1].child = l->lines.v[a->entry - 1].child;
	}
	int rc = json_stack_push(&l->stack, json_clone(l->arena, &a->value), l->err);
	if (rc)
		return rc;
	l->stack.values += a->values ? a->values - 1 : 0;
	l->bytes += a->bytes;
	l->alias_bytes += a->bytes;
	return 0;
}

/* ---- containers ---- */

static int on_open(struct loader *l, enum json_type type, const yaml_char_t *anchor)
{
	if (at_key(l))
		return fail(l, "invalid map key");
	struct frame f = { .values = l->stack.values, .bytes = l->bytes };
	int rc = json_stack_open(&l->stack, type, l->err);
	if (rc)
		return rc;
	f.entry = add_line(l);
	f.anchor = define(l, anchor);
	mem_grow(l->frames, l->depth, l->frames_cap);
	l->frames[l->depth++] = f;
	return 0;
}

/* A mapping under reconstruction: its own members, then what "<<" brings and it lacks. */
struct merge {
	struct map present;
	struct json *pairs; /* key, value, key, value ... */
	size_t len, cap;
	uint32_t first, last; /* entries of the line table, index + 1 */
};

static void merge_add(struct loader *l, struct merge *m, struct json key, struct json value,
		      uint32_t entry)
{
	if (map_set(&m->present, json_str(&key), m))
		return;
	mem_grow(m->pairs, m->len, m->cap);
	m->pairs[m->len++] = key;
	mem_grow(m->pairs, m->len, m->cap);
	m->pairs[m->len++] = value;
	uint32_t e = yaml_lines_add(&l->lines, entry ? l->lines.v[entry - 1].line : l->line);
	l->lines.v[e - 1].child = entry ? l->lines.v[entry - 1].child : 0;
	if (m->last)
		l->lines.v[m->last - 1].next = e;
	else
		m->first = e;
	m->last = e;
}

static int merge_object(struct loader *l, struct merge *m, const struct json *from, uint32_t entry)
{
	if (from->type != JSON_OBJECT)
		return fail(l, "map merge requires map or sequence of maps as the value");
	uint32_t child = entry ? l->lines.v[entry - 1].child : 0;
	for (uint32_t i = 0; i < from->len; i++) {
		merge_add(l, m, from->members[i].key, from->members[i].value, child);
		child = child ? l->lines.v[child - 1].next : 0;
	}
	return 0;
}

static int merge_value(struct loader *l, struct merge *m, const struct json *value, uint32_t entry)
{
	if (value->type != JSON_ARRAY)
		return merge_object(l, m, value, entry);
	uint32_t child = entry ? l->lines.v[entry - 1].child : 0;
	for (uint32_t i = 0; i < value->len; i++) {
		int rc = merge_object(l, m, &value->items[i], child);
		if (rc)
			return rc;
		child = child ? l->lines.v[child - 1].next : 0;
	}
	return 0;
}

/* The members on the stack, own ones when `own`, else those that "<<" names. */
static int merge_pass(struct loader *l, struct merge *m, const struct frame *f, bool own)
{
	const struct json_stack *s = &l->stack;
	uint32_t entry = l->lines.v[f->entry - 1].child;
	int rc = 0;
	for (uint32_t i = s->top; i + 1 < s->len && !rc; i += 2) {
		bool merges = s->v[i].s == merge_key;
		if (own && !merges)
			merge_add(l, m, s->v[i], s->v[i + 1], entry);
		else if (!own && merges)
			rc = merge_value(l, m, &s->v[i + 1], entry);
		entry = entry ? l->lines.v[entry - 1].next : 0;
	}
	return rc;
}

static int apply_merges(struct loader *l, const struct frame *f)
{
	struct merge m = { 0 };
	int rc = merge_pass(l, &m, f, true);
	rc = rc ? rc : merge_pass(l, &m, f, false);
	if (rc == 0) {
		uint32_t values = l->stack.values;
		l->stack.len = l->stack.top;
		l->stack.values = 0;
		for (size_t i = 0; i < m.len && !rc; i += 2) {
			json_stack_key(&l->stack, json_str(&m.pairs[i]));
			rc = json_stack_push(&l->stack, m.pairs[i + 1], l->err);
		}
		l->stack.values = values;
		l->lines.v[f->entry - 1].child = m.first;
	}
	map_fini(&m.present);
	mem_free(m.pairs);
	return rc;
}

static int on_close(struct loader *l)
{
	struct frame *f = &l->frames[l->depth - 1];
	int rc = f->merges ? apply_merges(l, f) : 0;
	if (rc)
		return rc;
	json_stack_close(&l->stack);
	l->depth--;
	settle(l, f->anchor, f->entry, f->values, f->bytes);
	return l->duplicate ? ERR_BAD_REQUEST : 0;
}

/* ---- documents ---- */

static void begin_document(struct loader *l)
{
	struct json_limits limits = { .bytes_max = l->limits.bytes_max,
				      .depth_max = l->limits.depth_max,
				      .values_max = l->limits.values_max,
				      .on_duplicate = on_duplicate,
				      .arg = l };
	json_stack_fini(&l->stack);
	json_stack_init(&l->stack, l->arena, &limits);
	map_fini(&l->anchors);
	l->lines.len = 0;
	l->depth = 0;
	l->bytes = l->alias_bytes = 0;
}

static void end_document(struct loader *l, struct yaml_doc *doc)
{
	doc->root = l->stack.v[0];
	doc->line = l->lines.v[0].line;
	struct yaml_line *lines = arena_new(l->arena, struct yaml_line, l->lines.len);
	memcpy(lines, l->lines.v, l->lines.len * sizeof(*lines));
	doc->lines = lines;
	doc->lines_len = l->lines.len;
}

static int on_event(struct loader *l, const yaml_event_t *e)
{
	l->line = (uint32_t)e->start_mark.line + 1;
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(l, e);
	case YAML_ALIAS_EVENT:
		return on_alias(l, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(l, JSON_ARRAY, e->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return on_open(l, JSON_OBJECT, e->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(l);
	case YAML_DOCUMENT_START_EVENT:
		begin_document(l);
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return 0;
}

static int syntax_error(const struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	const char *what = p->problem ? p->problem : "syntax error";
	if (p->error == YAML_MEMORY_ERROR)
		mem_abort();
	if (p->error == YAML_READER_ERROR)
		return error_set(l->err, ERR_BAD_REQUEST, "yaml: byte %zu: %s", p->problem_offset,
				 what);
	return error_set(l->err, ERR_BAD_REQUEST, "yaml: line %zu: %s", p->problem_mark.line + 1,
			 what);
}

struct doc_list {
	struct yaml_doc *v;
	size_t len, cap;
};

/* A document whose only content is nothing at all. */
static bool is_empty(const yaml_event_t *e)
{
	return e->type == YAML_SCALAR_EVENT && e->data.scalar.length == 0 &&
	       e->data.scalar.plain_implicit && !e->data.scalar.tag && !e->data.scalar.anchor;
}

static int read_events(struct loader *l, struct doc_list *docs)
{
	bool root_empty = false;
	bool root_next = false;
	for (;;) {
		yaml_event_t e;
		if (!yaml_parser_parse(&l->parser, &e))
			return syntax_error(l);
		int rc = on_event(l, &e);
		if (root_next)
			root_empty = is_empty(&e);
		root_next = e.type == YAML_DOCUMENT_START_EVENT;
		bool end = e.type == YAML_STREAM_END_EVENT;
		bool doc_end = e.type == YAML_DOCUMENT_END_EVENT;
		yaml_event_delete(&e);
		if (rc || end)
			return rc;
		if (!doc_end || root_empty)
			continue;
		if (docs->len >= l->limits.documents_max)
			return error_set(l->err, ERR_TOO_LARGE, "yaml: more than %u documents",
					 l->limits.documents_max);
		mem_grow(docs->v, docs->len, docs->cap);
		docs->v[docs->len] = (struct yaml_doc){ 0 };
		end_document(l, &docs->v[docs->len++]);
	}
}

static int check_input(struct str text, const struct yaml_limits *limits, struct error *err)
{
	if (text.len > limits->bytes_max || text.len > UINT32_MAX / 4)
		return error_set(err, ERR_TOO_LARGE,
				 "yaml: document of %zu bytes, the limit is %zu", text.len,
				 limits->bytes_max);
	size_t tags = 0;
	for (ptrdiff_t at = 0; (at = str_find_str(text, STR("%TAG"), (size_t)at)) >= 0; at++)
		tags += at == 0 || text.p[at - 1] == '\n';
	if (tags > TAG_LINES_MAX)
		return error_set(err, ERR_TOO_LARGE, "yaml: more than %d %%TAG lines",
				 TAG_LINES_MAX);
	return 0;
}

static int load_yaml(struct loader *l, struct str text, struct doc_list *docs)
{
	if (!yaml_parser_initialize(&l->parser))
		mem_abort();
	yaml_parser_set_input_string(&l->parser, (const unsigned char *)(text.p ? text.p : ""),
				     text.len);
	begin_document(l);
	int rc = read_events(l, docs);
	yaml_parser_delete(&l->parser);
	json_stack_fini(&l->stack);
	map_fini(&l->anchors);
	mem_free(l->frames);
	return rc;
}

/* Text that begins as JSON and is JSON: 1 = done, 0 = not JSON after all, or an error. */
static int load_json(struct loader *l, struct str text, struct doc_list *docs)
{
	struct str trimmed = str_trim(text);
	if (!trimmed.len || (trimmed.p[0] != '{' && trimmed.p[0] != '['))
		return 0;
	struct json_limits limits = { .bytes_max = l->limits.bytes_max,
				      .depth_max = l->limits.depth_max,
				      .values_max = l->limits.values_max,
				      .on_duplicate = on_duplicate,
				      .arg = l };
	struct yaml_doc doc = { 0 };
	struct str copy = arena_str(l->arena, text);
	l->line = 1;
	struct error err = { 0 };
	int rc = json_parse(l->arena, copy, &limits, &doc.root, &err);
	if (rc == ERR_BAD_REQUEST) {
		l->duplicate = false;
		return 0;
	}
	if (rc)
		return error_set(l->err, err.code, "%s", err.msg);
	if (l->duplicate)
		return ERR_BAD_REQUEST;
	yaml_lines_of_json(&l->lines, copy);
	mem_grow(docs->v, docs->len, docs->cap);
	struct yaml_line *lines = arena_new(l->arena, struct yaml_line, l->lines.len);
	memcpy(lines, l->lines.v, l->lines.len * sizeof(*lines));
	doc.lines = lines;
	doc.lines_len = l->lines.len;
	doc.line = lines[0].line;
	docs->v[docs->len++] = doc;
	return 1;
}

int yaml_parse_documents(struct arena *a, struct str text, const struct yaml_limits *limits,
			 struct yaml_doc **ret, size_t *ret_len, struct error *err)
{
	struct loader l = { .arena = a, .limits = limits ? *limits : YAML_LIMITS, .err = err };
	struct doc_list docs = { 0 };
	int rc = check_input(text, &l.limits, err);
	if (rc)
		return rc;
	rc = load_json(&l, text, &docs);
	if (rc == 0)
		rc = load_yaml(&l, text, &docs);
	if (rc >= 0) {
		*ret = arena_new(a, struct yaml_doc, docs.len);
		if (docs.len)
			memcpy(*ret, docs.v, docs.len * sizeof(docs.v[0]));
		*ret_len = docs.len;
	}
	mem_free(docs.v);
	mem_free(l.lines.v);
	return rc < 0 ? rc : 0;
}

int yaml_parse(struct arena *a, struct str text, struct json *ret, struct error *err)
{
	struct yaml_doc *docs = NULL;
	size_t len = 0;
	int rc = yaml_parse_documents(a, text, NULL, &docs, &len, err);
	if (rc)
		return rc;
	if (len > 1)
		return error_set(err, ERR_BAD_REQUEST, "yaml: expected one document, found %zu",
				 len);
	*ret = len ? docs[0].root : (struct json){ 0 };
	return 0;
}
