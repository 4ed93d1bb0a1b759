#include "columns.h"

#include "base/mem.h"
#include "jsonpath/jsonpath.h"
#include "text/quantity.h"
#include "text/rfc3339.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- custom columns ---- */

static int add_column(struct arena *a, struct columns *c, struct str name, struct str path,
		      struct error *err)
{
	if (c->len == CUSTOM_COLUMNS_MAX)
		return error_set(err, ERR_BAD_REQUEST, "custom-columns: more than %d columns",
				 CUSTOM_COLUMNS_MAX);
	int rc = jsonpath_compile(a, path, JSONPATH_RELAXED | JSONPATH_ALLOW_MISSING,
				  &c->paths[c->len], err);
	if (rc)
		return error_wrap(err, "custom-columns: %.*s", STR_ARG(name));
	c->names[c->len++] = arena_str(a, name);
	return 0;
}

/* The next column: a comma inside of brackets belongs to the path. */
static struct str take_column(struct str *rest)
{
	int depth = 0;
	size_t i = 0;
	for (; i < rest->len; i++) {
		char c = rest->p[i];
		depth += c == '[' || c == '(';
		depth -= c == ']' || c == ')';
		if (c == ',' && depth <= 0)
			break;
	}
	struct str piece = str_sub(*rest, 0, i);
	*rest = str_sub(*rest, i < rest->len ? i + 1 : i, rest->len);
	return piece;
}

int columns_parse(struct arena *a, struct str spec, struct columns *ret, struct error *err)
{
	*ret = (struct columns){ 0 };
	if (!spec.len)
		return error_set(err, ERR_BAD_REQUEST,
				 "custom-columns format specified but no custom columns given");
	for (struct str rest = spec; rest.len;) {
		struct str piece = take_column(&rest);
		ptrdiff_t colon = str_find(piece, ':', 0);
		if (colon <= 0 || (size_t)colon + 1 >= piece.len)
			return error_set(err, ERR_BAD_REQUEST,
					 "unexpected custom-columns spec: %.*s, expected "
					 "<header>:<json-path-expr>",
					 STR_ARG(piece));
		int rc = add_column(a, ret, str_sub(piece, 0, (size_t)colon),
				    str_sub(piece, (size_t)colon + 1, piece.len), err);
		if (rc)
			return rc;
	}
	return 0;
}

static bool next_word(struct str *rest, struct str *word)
{
	*rest = str_trim(*rest);
	size_t i = 0;
	while (i < rest->len && !isspace((unsigned char)rest->p[i]))
		i++;
	*word = str_sub(*rest, 0, i);
	*rest = str_sub(*rest, i, rest->len);
	return i > 0;
}

int columns_parse_file(struct arena *a, struct str text, struct columns *ret, struct error *err)
{
	*ret = (struct columns){ 0 };
	struct str names = STR("");
	struct str paths = text;
	(void)str_split(&paths, '\n', &names);
	struct str line = STR("");
	(void)str_split(&paths, '\n', &line);
	struct str name;
	struct str path;
	while (next_word(&names, &name)) {
		if (!next_word(&line, &path))
			return error_set(err, ERR_BAD_REQUEST,
					 "custom-columns-file: column %.*s has no path below it",
					 STR_ARG(name));
		int rc = add_column(a, ret, name, path, err);
		if (rc)
			return rc;
	}
	if (!ret->len || next_word(&line, &path))
		return error_set(err, ERR_BAD_REQUEST,
				 "custom-columns-file: two lines, names and as many paths");
	return 0;
}

static void add_value(struct arena *a, struct buf *b, const struct json *v)
{
	buf_add_str(b, v->type == JSON_STRING ? json_str(v)
		       : v->type == JSON_NULL ? STR("<none>")
					      : json_text(a, v));
}

struct json columns_cells(const struct columns *c, struct arena *a, const struct json *obj)
{
	struct json cells = json_array();
	for (size_t i = 0; i < c->len; i++) {
		struct jsonpath_results res = { 0 };
		struct buf b = { 0 };
		if (jsonpath_find(c->paths[i], a, obj, &res, NULL) != 0 || !res.len)
			buf_adds(&b, "<none>");
		for (size_t k = 0; k < res.len; k++) {
			if (k)
				buf_addc(&b, ',');
			add_value(a, &b, res.v[k]);
		}
		(void)json_push(a, &cells, json_of_str(arena_str(a, buf_str(&b))));
		buf_fini(&b);
	}
	return cells;
}

/* ---- order ---- */

static size_t digits(struct str s, size_t from)
{
	size_t n = 0;
	while (from + n < s.len && isdigit((unsigned char)s.p[from + n]))
		n++;
	return n;
}

int columns_natural_cmp(struct str a, struct str b)
{
	size_t i = 0;
	size_t k = 0;
	while (i < a.len && k < b.len) {
		size_t da = digits(a, i);
		size_t db = digits(b, k);
		if (!da || !db) {
			if (a.p[i] != b.p[k])
				return (unsigned char)a.p[i] < (unsigned char)b.p[k] ? -1 : 1;
			i++;
			k++;
			continue;
		}
		size_t ia = i + da;
		size_t kb = k + db;
		for (; i + 1 < ia && a.p[i] == '0'; i++)
			;
		for (; k + 1 < kb && b.p[k] == '0'; k++)
			;
		if (ia - i != kb - k)
			return ia - i < kb - k ? -1 : 1;
		int c = str_cmp(str_sub(a, i, ia), str_sub(b, k, kb));
		if (c)
			return c;
		i = ia;
		k = kb;
	}
	return (i < a.len) - (k < b.len);
}

struct sorted {
	const struct json *key; /* NULL: lacks the field */
	struct json value;
	size_t at;
};

static int compare_keys(const struct json *a, const struct json *b)
{
	if (!a || !b)
		return (a != NULL) - (b != NULL);
	if (a->type == JSON_STRING && b->type == JSON_STRING) {
		struct quantity x;
		struct quantity y;
		if (quantity_parse(json_str(a), &x, NULL) == 0 &&
		    quantity_parse(json_str(b), &y, NULL) == 0)
			return quantity_cmp(x, y);
		return columns_natural_cmp(json_str(a), json_str(b));
	}
	double x = a->type == JSON_BOOL ? a->b : json_double(a, 0);
	double y = b->type == JSON_BOOL ? b->b : json_double(b, 0);
	return (x > y) - (x < y);
}

static int compare(const void *a, const void *b)
{
	const struct sorted *x = a;
	const struct sorted *y = b;
	int c = compare_keys(x->key, y->key);
	return c ? c : (x->at > y->at) - (x->at < y->at);
}

int columns_sort(struct arena *a, struct json *list, const char *inside, struct str path,
		 struct error *err)
{
	struct jsonpath *p = NULL;
	int rc = jsonpath_compile(a, path, JSONPATH_RELAXED | JSONPATH_ALLOW_MISSING, &p, err);
	if (rc)
		return error_wrap(err, "--sort-by");
	size_t n = json_len(list);
	struct sorted *all = arena_new(a, struct sorted, n + 1);
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		struct json *e = json_at(list, i);
		struct jsonpath_results res = { 0 };
		rc = jsonpath_find(p, a, inside ? json_getc(e, inside) : e, &res, err);
		if (rc)
			return error_wrap(err, "--sort-by");
		all[i] = (struct sorted){ res.len ? res.v[0] : NULL, *e, i };
		any |= res.len > 0;
	}
	if (n && !any)
		return error_set(
			err, ERR_BAD_REQUEST,
			"--sort-by: couldn't find any field with path \"%.*s\" in the list "
			"of objects",
			STR_ARG(path));
	/* the keys point into the elements' children, which do not move */
	qsort(all, n, sizeof(all[0]), compare);
	for (size_t i = 0; i < n; i++)
		*json_at(list, i) = all[i].value;
	return 0;
}

/* ---- paths of managed fields ---- */

/* name="web",protocol="TCP" of one element */
static bool element_is(const struct json *e, struct str keys)
{
	struct str rest = keys;
	struct str pair;
	while (str_split(&rest, ',', &pair)) {
		ptrdiff_t eq = str_find(pair, '=', 0);
		if (eq < 0)
			return false;
		struct str want = str_sub(pair, (size_t)eq + 1, pair.len);
		const struct json *v = json_get(e, str_sub(pair, 0, (size_t)eq));
		struct arena a = { 0 };
		bool same = v && str_eq(json_text(&a, v), want);
		arena_fini(&a);
		if (!same)
			return false;
	}
	return true;
}

struct str columns_index_path(struct arena *a, const struct json *root, struct str path)
{
	struct buf b = { 0 };
	const struct json *at = root;
	size_t i = 0;
	while (i < path.len) {
		if (path.p[i] == '[') {
			ptrdiff_t end = str_find(path, ']', i);
			if (end < 0)
				break;
			struct str keys = str_sub(path, i + 1, (size_t)end);
			uint64_t index = 0;
			if (!str_to_u64(keys, &index))
				while (index < json_len(at) &&
				       !element_is(json_at(at, index), keys))
					index++;
			if (index >= json_len(at))
				break;
			buf_addf(&b, "[%" PRIu64 "]", index);
			at = json_at(at, index);
			i = (size_t)end + 1;
			continue;
		}
		size_t from = path.p[i] == '.' ? i + 1 : i;
		size_t to = from;
		while (to < path.len && path.p[to] != '.' && path.p[to] != '[')
			to++;
		struct str name = str_sub(path, from, to);
		buf_addf(&b, "%s%.*s", b.len ? "." : "", STR_ARG(name));
		at = json_get(at, name);
		i = to > i ? to : i + 1;
	}
	struct str out = arena_str(a, buf_str(&b));
	buf_fini(&b);
	return out;
}

/* ---- logs ---- */

struct cursor {
	struct str rest, line; /* line: what is next, without its time */
	struct str time;
	int64_t sec;
	int32_t nsec;
	bool some;
};

static void advance(struct cursor *c)
{
	struct str line;
	c->some = c->rest.len > 0;
	if (!c->some)
		return;
	(void)str_split(&c->rest, '\n', &line);
	ptrdiff_t blank = str_find(line, ' ', 0);
	struct str word = blank < 0 ? line : str_sub(line, 0, (size_t)blank);
	int64_t sec = 0;
	int32_t nsec = 0;
	c->time = STR("");
	c->line = line;
	if (!rfc3339_parse(word, &sec, &nsec))
		return;
	c->time = word;
	c->sec = sec;
	c->nsec = nsec;
	c->line = blank < 0 ? STR("") : str_sub(line, (size_t)blank + 1, line.len);
}

static bool before(const struct cursor *a, const struct cursor *b)
{
	return a->sec != b->sec ? a->sec < b->sec : a->nsec < b->nsec;
}

void columns_merge_logs(const struct log_text *logs, size_t n, bool keep_times, struct buf *out)
{
	struct cursor *c = mem_new(struct cursor, n ? n : 1);
	for (size_t i = 0; i < n; i++) {
		c[i] = (struct cursor){ .rest = logs[i].text };
		advance(&c[i]);
	}
	for (;;) {
		size_t first = n;
		for (size_t i = 0; i < n; i++)
			if (c[i].some && (first == n || before(&c[i], &c[first])))
				first = i;
		if (first == n)
			break;
		buf_adds(out, logs[first].prefix);
		if (keep_times && c[first].time.len)
			buf_addf(out, "%.*s ", STR_ARG(c[first].time));
		buf_add_str(out, c[first].line);
		buf_addc(out, '\n');
		advance(&c[first]);
	}
	mem_free(c);
}
