/* Tables in columns, objects as JSON, YAML, names or JSONPath. */
#include "base/mem.h"
#include "columns.h"
#include "jsonpath/jsonpath.h"
#include "rctl.h"
#include "sys/env.h"
#include "sys/file.h"
#include "yaml/yaml.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS_MAX = 64, GAP = 3, FORMAT_BYTES_MAX = 1 << 20 };

struct row {
	struct row *next;
	struct str cells[COLUMNS_MAX];
};

struct table {
	struct arena arena;
	struct str names[COLUMNS_MAX];
	size_t source[COLUMNS_MAX]; /* index of the server's cell */
	size_t len;                 /* columns from the server */
	struct str extra[COLUMNS_MAX];
	size_t extra_len;
	bool namespaces, labels, colours;
	struct str prefix;         /* of the first column: "deployment.apps/" */
	size_t width[COLUMNS_MAX]; /* as printed last: a watch goes on in the same columns */
	struct row *head, **tail;
};

struct table *table_new(void)
{
	struct table *t = mem_new(struct table, 1);
	t->tail = &t->head;
	t->colours = print_colours(STDOUT_FILENO);
	return t;
}

struct table *table_free(struct table *t)
{
	if (!t)
		return NULL;
	arena_fini(&t->arena);
	mem_free(t);
	return NULL;
}

void table_columns(struct table *t, const struct json *defs, bool wide)
{
	if (t->len)
		return;
	for (size_t i = 0; i < json_len(defs) && t->len < COLUMNS_MAX / 2; i++) {
		const struct json *d = json_at(defs, i);
		if (json_i64(json_getc(d, "priority"), 0) > 0 && !wide)
			continue;
		t->source[t->len] = i;
		struct str name = arena_str(&t->arena, json_str(json_getc(d, "name")));
		char *up = arena_alloc(&t->arena, name.len + 1);
		for (size_t k = 0; k < name.len; k++)
			up[k] = (char)(name.p[k] >= 'a' && name.p[k] <= 'z' ? name.p[k] - 32
									    : name.p[k]);
		t->names[t->len++] = str_n(up, name.len);
	}
}

void table_plain_columns(struct table *t, const struct str *names, size_t n)
{
	for (size_t i = 0; i < n && t->len < COLUMNS_MAX / 2; i++) {
		t->source[t->len] = t->len;
		t->names[t->len++] = arena_str(&t->arena, names[i]);
	}
}

void table_prefix(struct table *t, struct str prefix)
{
	t->prefix = arena_str(&t->arena, prefix);
}

void table_extra_columns(struct table *t, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		t->extra[t->extra_len++] = str_of(names[i]);
}

void table_namespaces(struct table *t, bool on)
{
	t->namespaces = on;
}

void table_labels(struct table *t, bool on)
{
	t->labels = on;
}

static struct str cell_text(struct table *t, const struct json *j)
{
	if (!j || j->type == JSON_NULL)
		return STR("<none>");
	if (j->type == JSON_STRING) {
		struct str s = json_str(j);
		ptrdiff_t nl = str_find(s, '\n', 0);
		return arena_str(&t->arena, nl < 0 ? s : str_sub(s, 0, (size_t)nl));
	}
	return json_text(&t->arena, j);
}

static struct str labels_text(struct table *t, const struct json *labels)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < json_len(labels) && json_is(labels, JSON_OBJECT); i++)
		buf_addf(&b, "%s%.*s=%.*s", i ? "," : "",
			 STR_ARG(json_str(&labels->members[i].key)),
			 STR_ARG(json_str(&labels->members[i].value)));
	struct str s = b.len ? arena_str(&t->arena, buf_str(&b)) : STR("<none>");
	buf_fini(&b);
	return s;
}

void table_row(struct table *t, const struct json *row, struct str ns, const char *const *extra,
	       size_t extra_len)
{
	struct row *r = arena_new(&t->arena, struct row, 1);
	const struct json *cells = json_getc(row, "cells");
	size_t n = 0;
	if (t->namespaces)
		r->cells[n++] = arena_str(&t->arena, ns);
	for (size_t i = 0; i < t->len; i++) {
		struct str text = cell_text(t, json_at(cells, t->source[i]));
		if (i == 0 && t->prefix.len)
			text = arena_strf(&t->arena, "%.*s%.*s", STR_ARG(t->prefix), STR_ARG(text));
		r->cells[n++] = text;
	}
	for (size_t i = 0; i < extra_len; i++)
		r->cells[n++] =
			arena_str(&t->arena, str_of(extra[i] && *extra[i] ? extra[i] : "<none>"));
	if (t->labels)
		r->cells[n++] = labels_text(t, json_dig(row, "object", "metadata", "labels", NULL));
	*t->tail = r;
	t->tail = &r->next;
}

void table_cells(struct table *t, const struct str *cells, size_t n)
{
	struct row *r = arena_new(&t->arena, struct row, 1);
	for (size_t i = 0; i < n && i < COLUMNS_MAX; i++)
		r->cells[i] = arena_str(&t->arena, cells[i]);
	*t->tail = r;
	t->tail = &r->next;
}

/* Words that say how something is: red when it is bad, yellow when it is on its way. */
static const char *colour_of(struct str name, struct str cell)
{
	static const char *const bad[] = { "Failed",  "Error",   "CrashLoopBackOff", "NotReady",
					   "Unknown", "Evicted", "OOMKilled",        "dead",
					   "firing",  "Warning" };
	static const char *const going[] = {
		"Pending",         "Terminating",        "ContainerCreating",
		"PodInitializing", "SchedulingDisabled", "pending"
	};
	static const char *const columns[] = { "STATUS", "PHASE", "STATE", "TYPE", "PID" };
	bool says = false;
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		says |= str_is(name, columns[i]);
	for (size_t i = 0; says && i < sizeof(bad) / sizeof(bad[0]); i++)
		if (str_find_str(cell, str_of(bad[i]), 0) >= 0)
			return "\033[31m";
	for (size_t i = 0; says && i < sizeof(going) / sizeof(going[0]); i++)
		if (str_find_str(cell, str_of(going[i]), 0) >= 0)
			return "\033[33m";
	return NULL;
}

/* Columns a terminal shows for UTF-8 text: one for each character. */
static size_t shown(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void put_line(const struct table *t, const struct str *names, const struct str *cells,
		     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *colour = !t->colours      ? NULL
				     : cells == names ? "\033[1m"
						      : colour_of(names[i], cells[i]);
		(void)printf("%s%.*s%s", colour ? colour : "", STR_ARG(cells[i]),
			     colour ? "\033[0m" : "");
		if (i + 1 < n)
			(void)printf("%*s", (int)(t->width[i] + GAP - shown(cells[i])), "");
	}
	(void)putchar('\n');
}

void table_print(struct table *t, bool headers)
{
	struct str names[COLUMNS_MAX];
	size_t n = 0;
	if (t->namespaces)
		names[n++] = STR("NAMESPACE");
	for (size_t i = 0; i < t->len; i++)
		names[n++] = t->names[i];
	for (size_t i = 0; i < t->extra_len; i++)
		names[n++] = t->extra[i];
	if (t->labels)
		names[n++] = STR("LABELS");
	for (size_t i = 0; i < n; i++) {
		if (headers && shown(names[i]) > t->width[i])
			t->width[i] = shown(names[i]);
		for (const struct row *r = t->head; r; r = r->next)
			if (shown(r->cells[i]) > t->width[i])
				t->width[i] = shown(r->cells[i]);
	}
	if (headers)
		put_line(t, names, names, n);
	for (const struct row *r = t->head; r; r = r->next)
		put_line(t, names, r->cells, n);
	(void)fflush(stdout);
	t->head = NULL; /* printed; a watch adds more */
	t->tail = &t->head;
}

/* ---- objects ---- */

bool print_colours(int fd)
{
	const char *none = env_get("NO_COLOR");
	const char *term = env_get("TERM");
	return isatty(fd) && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
}

/* What kubectl leaves out unless it is asked for. */
static void hide_managed(const struct rctl *r, struct json *obj)
{
	if (r->opt.show_managed)
		return;
	(void)json_removec(json_getc(obj, "metadata"), "managedFields");
	struct json *items = json_getc(obj, "items");
	for (size_t i = 0; i < json_len(items); i++)
		(void)json_removec(json_getc(json_at(items, i), "metadata"), "managedFields");
}

static int print_columns(struct rctl *r, const struct columns *c, const struct json *obj)
{
	struct table *t = table_new();
	table_plain_columns(t, c->names, c->len);
	const struct json *items = json_getc(obj, "items");
	for (size_t i = 0; i < (items ? json_len(items) : 1); i++) {
		struct json row = json_object();
		(void)json_setc(&r->arena, &row, "cells",
				columns_cells(c, &r->arena, items ? json_at(items, i) : obj));
		table_row(t, &row, STR(""), NULL, 0);
	}
	table_print(t, !r->opt.no_headers);
	(void)table_free(t);
	return 0;
}

static int read_format(struct rctl *r, struct str path, struct str *ret, struct error *err)
{
	struct buf b = { 0 };
	int rc = file_read(arena_str(&r->arena, path).p, FORMAT_BYTES_MAX, &b, err);
	*ret = arena_str(&r->arena, buf_str(&b));
	buf_fini(&b);
	return rc;
}

bool print_is_table(const struct rctl *r)
{
	const char *o = r->opt.output;
	return !*o || strcmp(o, "wide") == 0;
}

static void print_name(struct rctl *r, const struct json *obj)
{
	const struct client_resource *res = NULL;
	if (rctl_discover(r, &(struct error){ 0 }) == 0)
		res = client_discovery_find_gvk(r->discovery,
						json_str(json_getc(obj, "apiVersion")),
						json_str(json_getc(obj, "kind")));
	struct str name = json_str(json_dig(obj, "metadata", "name", NULL));
	if (res)
		(void)printf("%.*s\n", STR_ARG(rctl_name_of(r, res, name)));
	else
		(void)printf("%.*s/%.*s\n", STR_ARG(json_str(json_getc(obj, "kind"))),
			     STR_ARG(name));
}

static int print_jsonpath(struct rctl *r, struct str template, const struct json *obj,
			  struct error *err)
{
	struct jsonpath *p = NULL;
	struct arena scratch = { 0 };
	struct buf out = { 0 };
	int rc = jsonpath_compile(&r->arena, template, JSONPATH_ALLOW_MISSING, &p, err);
	if (rc == 0)
		rc = jsonpath_print(p, &scratch, obj, &out, err);
	if (rc == 0)
		(void)fwrite(out.p ? out.p : "", 1, out.len, stdout);
	buf_fini(&out);
	arena_fini(&scratch);
	return rc;
}

int print_object(struct rctl *r, struct json *obj, struct error *err)
{
	struct str o = str_of(r->opt.output);
	struct buf out = { 0 };
	struct columns columns;
	struct str text;
	int rc = 0;
	hide_managed(r, obj);
	if (str_is(o, "json")) {
		json_write_pretty(&out, obj, 4);
		buf_addc(&out, '\n');
	} else if (str_is(o, "yaml")) {
		yaml_write(&out, obj, YAML_SORT_KEYS);
	} else if (str_is(o, "name")) {
		const struct json *items = json_getc(obj, "items");
		for (size_t i = 0; i < json_len(items); i++)
			print_name(r, json_at(items, i));
		if (!items)
			print_name(r, obj);
	} else if (str_starts(o, STR("jsonpath="))) {
		return print_jsonpath(r, str_sub(o, 9, o.len), obj, err);
	} else if (str_starts(o, STR("jsonpath-file="))) {
		rc = read_format(r, str_sub(o, 14, o.len), &text, err);
		return rc ? rc : print_jsonpath(r, text, obj, err);
	} else if (str_starts(o, STR("custom-columns="))) {
		rc = columns_parse(&r->arena, str_sub(o, 15, o.len), &columns, err);
		return rc ? rc : print_columns(r, &columns, obj);
	} else if (str_starts(o, STR("custom-columns-file="))) {
		rc = read_format(r, str_sub(o, 20, o.len), &text, err);
		if (!rc)
			rc = columns_parse_file(&r->arena, text, &columns, err);
		return rc ? rc : print_columns(r, &columns, obj);
	} else {
		return error_set(err, ERR_BAD_REQUEST,
				 "-o %.*s: use wide, json, yaml, name, jsonpath=TEMPLATE or "
				 "custom-columns=NAME:PATH,…",
				 STR_ARG(o));
	}
	(void)fwrite(out.p ? out.p : "", 1, out.len, stdout);
	buf_fini(&out);
	return 0;
}
