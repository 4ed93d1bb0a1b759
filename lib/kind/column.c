/* Cells that many kinds use. */
#include "kind/hooks.h"
#include "selector/label.h"
#include "text/duration.h"
#include "text/rfc3339.h"

#include <stdlib.h>

/* ---- helpers ---- */

const struct json *cell_at(const struct json *j, struct str path)
{
	struct str piece;
	while (j && path.len && str_split(&path, '.', &piece))
		if (piece.len)
			j = json_get(j, piece);
	return j && j->type != JSON_NULL ? j : NULL;
}

struct str cell_arg(struct kind_cell *c)
{
	struct str word = STR_NONE;
	if (c->args.len)
		(void)str_split(&c->args, ' ', &word);
	return word;
}

void cell_str(struct kind_cell *c, struct str s)
{
	json_write_str(c->out, s);
}

void cell_i64(struct kind_cell *c, int64_t v)
{
	buf_add_i64(c->out, v);
}

void cell_age(struct kind_cell *c, const struct json *time, const char *none)
{
	struct buf b = { 0 };
	int64_t sec;
	if (!json_str(time).len || !rfc3339_parse(json_str(time), &sec, NULL))
		buf_adds(&b, none);
	else
		duration_write_human(&b, c->now_s - sec);
	cell_str(c, buf_str(&b));
	buf_fini(&b);
}

static const struct json *next_value(struct kind_cell *c)
{
	return cell_at(c->obj, cell_arg(c));
}

/* A scalar as text; the empty string for containers and nothing. */
static void add_scalar(struct buf *b, const struct json *v)
{
	if (json_is(v, JSON_STRING))
		buf_add_str(b, json_str(v));
	else if (v && v->type != JSON_OBJECT && v->type != JSON_ARRAY)
		json_write(b, v);
}

static void finish(struct kind_cell *c, struct buf *b, const char *empty)
{
	if (b->len == 0)
		buf_adds(b, empty);
	cell_str(c, buf_str(b));
	buf_fini(b);
}

/* ---- the functions ---- */

static void cell_name(struct kind_cell *c)
{
	cell_str(c, json_str(json_dig(c->obj, "metadata", "name", NULL)));
}

static void cell_ready(struct kind_cell *c)
{
	long long ready = json_i64(next_value(c), 0), want = json_i64(next_value(c), 0);
	struct buf b = { 0 };
	buf_addf(&b, "%lld/%lld", ready, want);
	finish(c, &b, "");
}

static void cell_number(struct kind_cell *c)
{
	const struct json *v = next_value(c);
	if (json_is(v, JSON_DOUBLE))
		json_write(c->out, v);
	else
		cell_i64(c, json_i64(v, 0));
}

static void cell_or(struct kind_cell *c, const char *none)
{
	struct buf b = { 0 };
	add_scalar(&b, next_value(c));
	finish(c, &b, none);
}

static void cell_or_none(struct kind_cell *c)
{
	cell_or(c, "<none>");
}

static void cell_or_unset(struct kind_cell *c)
{
	cell_or(c, "<unset>");
}

static void cell_count(struct kind_cell *c)
{
	int64_t n = 0;
	for (struct str path = cell_arg(c); path.len; path = cell_arg(c))
		n += (int64_t)json_len(cell_at(c->obj, path));
	cell_i64(c, n);
}

static void cell_keys(struct kind_cell *c)
{
	const struct json *v = next_value(c);
	struct buf b = { 0 };
	for (size_t i = 0; i < json_len(v); i++) {
		if (i)
			buf_addc(&b, ',');
		add_scalar(&b, v->type == JSON_OBJECT ? &v->members[i].key : &v->items[i]);
	}
	finish(c, &b, "<none>");
}

static void join(struct kind_cell *c, const struct json *list, struct str member)
{
	struct buf b = { 0 };
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		if (i)
			buf_addc(&b, ',');
		add_scalar(&b, json_get(json_at(list, i), member));
	}
	finish(c, &b, "<none>");
}

static void cell_names(struct kind_cell *c)
{
	const struct json *list = next_value(c);
	struct str member = cell_arg(c);
	join(c, list, member.len ? member : STR("name"));
}

static void cell_containers(struct kind_cell *c)
{
	join(c, json_getc(next_value(c), "containers"), STR("name"));
}

static void cell_images(struct kind_cell *c)
{
	join(c, json_getc(next_value(c), "containers"), STR("image"));
}

static void cell_sums(struct kind_cell *c)
{
	const struct json *list = next_value(c);
	struct str x = cell_arg(c), y = cell_arg(c);
	long long sum_x = 0, sum_y = 0;
	struct buf b = { 0 };
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++) {
		sum_x += (int32_t)json_i64(json_get(json_at(list, i), x), 0);
		sum_y += (int32_t)json_i64(json_get(json_at(list, i), y), 0);
	}
	buf_addf(&b, "%lld/%lld", sum_x, sum_y);
	finish(c, &b, "");
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* A plain map prints in the order of its keys. */
static void map_selector(struct kind_cell *c, const struct json *map, struct buf *b)
{
	size_t n = json_len(map);
	struct str *pairs = arena_new(c->arena, struct str, n);
	for (size_t i = 0; i < n; i++)
		pairs[i] =
			arena_strf(c->arena, "%.*s=%.*s", STR_ARG(json_str(&map->members[i].key)),
				   STR_ARG(json_str(&map->members[i].value)));
	if (n)
		qsort(pairs, n, sizeof(*pairs), by_text);
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s%.*s", i ? "," : "", STR_ARG(pairs[i]));
}

static void cell_selector(struct kind_cell *c)
{
	const struct json *v = next_value(c);
	struct label_selector sel;
	struct buf b = { 0 };
	bool structured = json_is(json_getc(v, "matchLabels"), JSON_OBJECT) ||
			  json_is(json_getc(v, "matchExpressions"), JSON_ARRAY);
	if (!structured && json_is(v, JSON_OBJECT))
		map_selector(c, v, &b);
	else if (structured && label_selector_of_json(c->arena, v, &sel, NULL) == 0)
		label_selector_write(&b, &sel);
	finish(c, &b, "<none>");
}

static void cell_age_of(struct kind_cell *c)
{
	cell_age(c, next_value(c), "<unknown>");
}

static const struct json *condition(struct kind_cell *c)
{
	const struct json *list = next_value(c);
	struct str type = cell_arg(c);
	for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++)
		if (str_eq(json_str(json_getc(json_at(list, i), "type")), type))
			return json_at(list, i);
	return NULL;
}

static void cell_condition(struct kind_cell *c)
{
	cell_str(c, json_str(json_getc(condition(c), "status")));
}

static void cell_reason(struct kind_cell *c)
{
	cell_str(c, json_str(json_getc(condition(c), "reason")));
}

static void cell_yes_no(struct kind_cell *c)
{
	cell_str(c, json_bool(next_value(c), false) ? STR("True") : STR("False"));
}

kind_cell_fn kind_cell_find(struct str func)
{
	static const struct {
		const char *name;
		kind_cell_fn fn;
	} all[] = {
		{ "age", cell_age_of },
		{ "condition", cell_condition },
		{ "containers", cell_containers },
		{ "count", cell_count },
		{ "event-count", cell_event_count },
		{ "event-first-seen", cell_event_first_seen },
		{ "event-last-seen", cell_event_last_seen },
		{ "event-object", cell_event_object },
		{ "event-source", cell_event_source },
		{ "images", cell_images },
		{ "job-completions", cell_job_completions },
		{ "job-duration", cell_job_duration },
		{ "job-status", cell_job_status },
		{ "keys", cell_keys },
		{ "name", cell_name },
		{ "names", cell_names },
		{ "node-external-ip", cell_node_external_ip },
		{ "node-internal-ip", cell_node_internal_ip },
		{ "node-roles", cell_node_roles },
		{ "node-status", cell_node_status },
		{ "node-taints", cell_node_taints },
		{ "number", cell_number },
		{ "or-none", cell_or_none },
		{ "or-unset", cell_or_unset },
		{ "pod-gates", cell_pod_gates },
		{ "pod-ip", cell_pod_ip },
		{ "pod-nominated", cell_pod_nominated },
		{ "pod-ready", cell_pod_ready },
		{ "pod-restarts", cell_pod_restarts },
		{ "pod-status", cell_pod_status },
		{ "ready", cell_ready },
		{ "reason", cell_reason },
		{ "selector", cell_selector },
		{ "service-external-ip", cell_service_external_ip },
		{ "service-ports", cell_service_ports },
		{ "sums", cell_sums },
		{ "yes-no", cell_yes_no },
	};
	ptrdiff_t blank = str_find(func, ' ', 0);
	struct str name = blank < 0 ? func : str_sub(func, 0, (size_t)blank);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (str_is(name, all[i].name))
			return all[i].fn;
	return NULL;
}
