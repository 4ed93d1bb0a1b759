#include "jsonpath/jsonpath.h"
#include "kind/hooks.h"
#include "kind/kind_priv.h"

struct str kind_table_columns(const struct kind *k)
{
	return kind_info(k)->columns_text;
}

/* The results of a JSONPath as a cell of the column's type, as Kubernetes does for CRDs. */
static void path_cell(struct kind_cell *c, const struct kind_column *col)
{
	struct jsonpath_results r;
	struct error err;
	if (jsonpath_find(col->path, c->arena, c->obj, &r, &err) || r.len == 0 ||
	    r.v[0]->type == JSON_NULL) {
		buf_adds(c->out, "null");
		return;
	}
	const struct json *v = r.v[0];
	if (str_is(col->type, "date")) {
		cell_age(c, v, "<unknown>");
	} else if (str_is(col->type, "string")) {
		struct buf text = { 0 };
		if (jsonpath_print(col->path, c->arena, c->obj, &text, &err))
			buf_clear(&text);
		json_write_str(c->out, buf_str(&text));
		buf_fini(&text);
	} else if (v->type == JSON_INT || v->type == JSON_UINT || v->type == JSON_DOUBLE ||
		   v->type == JSON_BOOL) {
		json_write(c->out, v);
	} else {
		buf_adds(c->out, "null");
	}
}

static void write_cells(const struct kind *k, struct kind_cell *c)
{
	buf_adds(c->out, "{\"cells\":[");
	for (size_t i = 0; i < k->columns_len; i++) {
		const struct kind_column *col = &k->columns[i];
		if (i)
			buf_addc(c->out, ',');
		if (col->path) {
			path_cell(c, col);
			continue;
		}
		ptrdiff_t blank = str_find(col->func, ' ', 0);
		c->args =
			blank < 0 ? STR_NONE : str_sub(col->func, (size_t)blank + 1, col->func.len);
		col->cell(c);
	}
	buf_addc(c->out, ']');
}

void kind_table_row(const struct kind *k, struct arena *scratch, struct str json,
		    enum kind_include include, int64_t now_s, struct buf *out)
{
	struct json obj = json_object();
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = json.len;
	if (json_parse(scratch, json, &limits, &obj, NULL))
		obj = json_object(); /* a row of gaps beats no table */
	struct kind_cell c = { .obj = &obj, .now_s = now_s, .arena = scratch, .out = out };
	write_cells(k, &c);
	if (include != KIND_INCLUDE_NONE)
		buf_adds(out, ",\"object\":");
	if (include == KIND_INCLUDE_OBJECT)
		buf_add_str(out, json);
	else if (include == KIND_INCLUDE_METADATA)
		kind_partial_metadata("v1", json, out);
	buf_addc(out, '}');
}
