/* get: tables as the server makes them, objects, watches, and the whole fleet at once. */
#include "base/mem.h"
#include "columns.h"
#include "rctl.h"
#include "sys/loop.h"

#include <stdio.h>
#include <string.h>

#define ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

static int parse(struct rctl *r, const struct buf *body, struct json *ret, struct error *err)
{
	struct json_limits limits = JSON_LIMITS;
	limits.bytes_max = 256U << 20;
	limits.values_max = 32U << 20;
	return json_parse(&r->arena, arena_str(&r->arena, buf_str(body)), &limits, ret, err);
}

static struct str row_label(const struct json *row, const char *key)
{
	return json_str(json_dig(row, "object", "metadata", "labels", key, NULL));
}

/* Node of a pod: from the wide columns of the table. */
static struct str node_cell(const struct json *doc, const struct json *row)
{
	const struct json *defs = json_getc(doc, "columnDefinitions");
	for (size_t i = 0; i < json_len(defs); i++)
		if (str_is(json_str(json_getc(json_at(defs, i), "name")), "Node"))
			return json_str(json_at(json_getc(row, "cells"), i));
	return STR("");
}

static const char *const fleet_columns[] = { "CLUSTER", "REGION", "NODE", "ZONE", "NETWORK-AZ" };
enum { FLEET_COLUMNS = sizeof(fleet_columns) / sizeof(fleet_columns[0]) };

/* `m` NULL: of no particular cluster.  What is needed on the way lives in `a`. */
static void add_rows(struct rctl *r, struct arena *a, struct table *t, const struct json *doc,
		     const struct member *m)
{
	table_columns(t, json_getc(doc, "columnDefinitions"), strcmp(r->opt.output, "wide") == 0);
	const struct json *rows = json_getc(doc, "rows");
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *row = json_at(rows, i);
		struct str ns = json_str(json_dig(row, "object", "metadata", "namespace", NULL));
		if (!m) {
			table_row(t, row, ns, NULL, 0);
			continue;
		}
		const char *extra[FLEET_COLUMNS] = {
			arena_str(a, m->name).p,
			arena_str(a, m->region).p,
			arena_str(a, node_cell(doc, row)).p,
			arena_str(a, row_label(row, "topology.kubernetes.io/zone")).p,
			arena_str(a, row_label(row, "topology.rctl.io/network-az")).p,
		};
		table_row(t, row, ns, extra, FLEET_COLUMNS);
	}
}

static char *with_query(struct rctl *r, const char *path, const char *query)
{
	return arena_printf(&r->arena, "%s%c%s", path, strchr(path, '?') ? '&' : '?', query);
}

/* ---- watching ---- */

struct watching {
	struct rctl *r;
	struct table *t;        /* NULL: objects */
	const struct member *m; /* or NULL */
	struct buf line;
	unsigned *open;
	struct error err;
};

static void on_event(struct watching *w, struct str line)
{
	struct arena a = { 0 };
	struct json ev;
	struct error err = { 0 };
	if (json_parse(&a, line, NULL, &ev, &err) != 0) {
		arena_fini(&a);
		return;
	}
	struct str type = json_str(json_getc(&ev, "type"));
	struct json *obj = json_getc(&ev, "object");
	if (str_is(type, "ERROR")) {
		(void)error_set(&w->err, ERR_EXPIRED, "%.*s",
				STR_ARG(json_str(json_getc(obj, "message"))));
	} else if (!str_is(type, "BOOKMARK")) {
		if (w->t) {
			add_rows(w->r, &a, w->t, obj, w->m);
			table_print(w->t, false);
		} else {
			if (strcmp(w->r->opt.output, "yaml") == 0)
				(void)puts("---");
			if (print_object(w->r, obj, &err) != 0)
				w->err = err;
		}
		(void)fflush(stdout);
	}
	arena_fini(&a);
}

static void on_data(void *arg, int status, struct str data)
{
	(void)status;
	struct watching *w = arg;
	buf_add_str(&w->line, data);
	for (ptrdiff_t nl; (nl = str_find(buf_str(&w->line), '\n', 0)) >= 0;
	     buf_consume(&w->line, (size_t)nl + 1))
		on_event(w, str_sub(buf_str(&w->line), 0, (size_t)nl));
}

static void on_done(void *arg, int status, struct str body, const struct error *err)
{
	(void)status;
	(void)body;
	struct watching *w = arg;
	if (err)
		w->err = *err;
	--*w->open;
}

/* One thing to watch: what was listed, where, and up to which revision. */
struct watched {
	struct rctl *at;
	const struct member *m;
	const struct target *t;
	struct table *table;
	struct str rev;
};

/* A single object is watched through its collection. */
static const char *watch_path(const struct watched *x)
{
	struct rctl *r = x->at;
	const struct target all = { x->t->resource, STR("") };
	const char *path = rctl_target_path(r, &all);
	if (x->t->name.len)
		path = with_query(r, path,
				  arena_printf(&r->arena, "fieldSelector=metadata.name%%3D%.*s",
					       STR_ARG(x->t->name)));
	const char *q =
		arena_printf(&r->arena, "watch=true&resourceVersion=%.*s%s", STR_ARG(x->rev),
			     x->table && r->opt.sort_by ? "&includeObject=Object" : "");
	return with_query(r, path, q);
}

static int watch(struct rctl *r, const struct watched *list, size_t n)
{
	struct watching *all = arena_new(&r->arena, struct watching, n + 1);
	unsigned open = 0;
	for (size_t i = 0; i < n; i++) {
		all[i] = (struct watching){
			.r = list[i].at, .t = list[i].table, .m = list[i].m, .open = &open
		};
		open++;
		(void)client_send(
			list[i].at->client,
			&(struct client_request){ .method = "GET",
						  .path = watch_path(&list[i]),
						  .accept = list[i].table ? ACCEPT_TABLE : NULL,
						  .on_data = on_data,
						  .done = on_done,
						  .arg = &all[i] });
	}
	while (open)
		loop_turn(r->loop, -1);
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		if (all[i].err.code)
			status = rctl_fail(&all[i].err);
		buf_fini(&all[i].line);
	}
	return status;
}

/* ---- tables ---- */

static int fetch_table(struct rctl *at, const struct target *t, struct json *ret, struct error *err)
{
	struct reply reply;
	int rc = rctl_get(
		at,
		with_query(at, rctl_target_path(at, t),
			   at->opt.sort_by ? "includeObject=Object" : "includeObject=Metadata"),
		ACCEPT_TABLE, &reply);
	if (rc)
		*err = reply.err;
	else
		rc = parse(at, &reply.body, ret, err);
	reply_fini(&reply);
	if (!rc && at->opt.sort_by)
		rc = columns_sort(&at->arena, json_getc(ret, "rows"), "object",
				  str_of(at->opt.sort_by), err);
	return rc;
}

static struct table *make_table(struct rctl *r, const struct target *t, bool kinds)
{
	struct table *table = table_new();
	table_namespaces(table, r->opt.all_namespaces && t->resource->namespaced);
	table_labels(table, r->opt.show_labels);
	if (kinds || r->opt.show_kind)
		table_prefix(table, rctl_name_of(r, t->resource, STR("")));
	return table;
}

static void show(struct rctl *r, struct table *t, size_t rows, bool *any)
{
	if (!rows || r->opt.watch_only)
		return;
	if (*any)
		(void)puts("");
	*any = true;
	table_print(t, !r->opt.no_headers);
}

/* Several types: names of objects are shown with their type, as kubectl does. */
static bool several_types(const struct target *list, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (list[i].resource != list[0].resource)
			return true;
	return false;
}

static void none_found(struct rctl *r, const struct target *first)
{
	if (r->opt.ignore_not_found)
		return;
	struct str ns = rctl_ns(r);
	if (ns.len && first->resource->namespaced)
		(void)fprintf(stderr, "No resources found in %.*s namespace.\n", STR_ARG(ns));
	else
		(void)fputs("No resources found\n", stderr);
}

/* Rows of the same type stand in one table. */
static int get_tables(struct rctl *r, const struct target *list, size_t n)
{
	struct watched *w = arena_new(&r->arena, struct watched, n + 1);
	bool kinds = several_types(list, n);
	struct table *table = NULL;
	bool any = false;
	size_t rows = 0;
	size_t watched = 0;
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		struct error err = { 0 };
		struct json doc;
		if (!table || list[i].resource != list[i - 1].resource) {
			if (table)
				show(r, table, rows, &any);
			(void)table_free(table);
			table = make_table(r, &list[i], kinds);
			rows = 0;
		}
		int rc = fetch_table(r, &list[i], &doc, &err);
		if (rc == ERR_NOT_FOUND && r->opt.ignore_not_found)
			continue;
		if (rc) {
			status = rctl_fail(&err);
			continue;
		}
		rows += json_len(json_getc(&doc, "rows"));
		add_rows(r, &r->arena, table, &doc, NULL);
		w[watched++] = (struct watched){
			.at = r,
			.t = &list[i],
			.table = table,
			.rev = json_str(json_dig(&doc, "metadata", "resourceVersion", NULL)),
		};
	}
	if (table)
		show(r, table, rows, &any);
	bool watching = r->opt.watch || r->opt.watch_only;
	if (!any && !status && !watching)
		none_found(r, &list[0]);
	if (watching && watched)
		status |= watch(r, w, watched);
	(void)table_free(table);
	return status;
}

/* ---- objects ---- */

static struct json list_of(struct rctl *r)
{
	struct json all = json_object();
	(void)json_setc(&r->arena, &all, "apiVersion", json_of_cstr("v1"));
	(void)json_setc(&r->arena, &all, "kind", json_of_cstr("List"));
	(void)json_setc(&r->arena, &all, "items", json_array());
	return all;
}

static void add_items(struct rctl *r, struct json *all, const struct json *obj)
{
	struct json *items = json_getc(all, "items");
	const struct json *part = json_getc(obj, "items");
	if (!part)
		(void)json_push(&r->arena, items, *obj);
	for (size_t k = 0; k < json_len(part); k++)
		(void)json_push(&r->arena, items, *json_at(part, k));
}

static int sort_items(struct rctl *r, struct json *obj, struct error *err)
{
	struct json *items = json_getc(obj, "items");
	if (!r->opt.sort_by || !items)
		return 0;
	return columns_sort(&r->arena, items, NULL, str_of(r->opt.sort_by), err);
}

static int get_objects(struct rctl *r, const struct target *list, size_t n)
{
	struct json all = list_of(r);
	struct error err = { 0 };
	int status = 0;
	struct str rev = STR("");
	bool some = false;
	for (size_t i = 0; i < n; i++) {
		struct json obj;
		int rc = rctl_get_json(r, rctl_target_path(r, &list[i]), &obj, &err);
		if (rc) {
			if (!(rc == ERR_NOT_FOUND && r->opt.ignore_not_found))
				status = rctl_fail(&err);
			continue;
		}
		some = true;
		if (n > 1) {
			add_items(r, &all, &obj);
			continue;
		}
		rev = json_str(json_dig(&obj, "metadata", "resourceVersion", NULL));
		all = obj;
	}
	if (n > 1 ? some || !status : some) {
		if (sort_items(r, &all, &err) != 0 || print_object(r, &all, &err) != 0)
			return rctl_fail(&err);
	}
	if (n == 1 && some && r->opt.watch)
		status |= watch(r, &(struct watched){ .at = r, .t = &list[0], .rev = rev }, 1);
	return status;
}

/* ---- the fleet ---- */

/* What the command line names, as this cluster has it. */
static int targets_there(struct member *m, struct target *list, size_t *n, struct error *err)
{
	if (!m->at->opt.args_len) {
		m->at->opt.args[0] = "pods";
		m->at->opt.args_len = 1;
	}
	return rctl_targets(m->at, 0, list, n, err);
}

/* The rows of all clusters in one order: each knows whose it is. */
static int sort_fleet(struct rctl *r, struct table *t, struct json *docs,
		      const struct member *members, size_t n)
{
	struct json all = json_array();
	struct error err = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct json *rows = json_getc(&docs[i], "rows");
		for (size_t k = 0; k < json_len(rows); k++) {
			struct json row = json_clone(&r->arena, json_at(rows, k));
			(void)json_setc(&r->arena, &row, "member", json_of_i64((int64_t)i));
			(void)json_push(&r->arena, &all, row);
		}
	}
	if (columns_sort(&r->arena, &all, "object", str_of(r->opt.sort_by), &err) != 0)
		return rctl_fail(&err);
	for (size_t k = 0; k < json_len(&all); k++) {
		size_t i = (size_t)json_i64(json_getc(json_at(&all, k), "member"), 0);
		struct json one = json_array();
		(void)json_push(&r->arena, &one, *json_at(&all, k));
		(void)json_setc(&r->arena, &docs[i], "rows", one);
		add_rows(r, &r->arena, t, &docs[i], &members[i]);
	}
	return 0;
}

static int fleet_table(struct rctl *r, struct member *members, size_t n)
{
	struct table *t = table_new();
	table_namespaces(t, r->opt.all_namespaces);
	table_labels(t, r->opt.show_labels);
	table_extra_columns(t, fleet_columns, FLEET_COLUMNS);
	struct watched *w = arena_new(&r->arena, struct watched, n + 1);
	struct json *docs = arena_new(&r->arena, struct json, n + 1);
	size_t watched = 0;
	size_t rows = 0;
	size_t missing = 0;
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		struct target *list = arena_new(&r->arena, struct target, TARGETS_MAX);
		struct error err = { 0 };
		struct json doc;
		size_t len = 0;
		int rc = targets_there(&members[i], list, &len, &err);
		if (!rc && len > 1)
			rc = error_set(&err, ERR_BAD_REQUEST,
				       "--clusters shows one type or one object at a time");
		if (rc == ERR_BAD_REQUEST) {
			(void)table_free(t);
			return rctl_usage("%s", err.msg);
		}
		if (!rc)
			rc = fetch_table(members[i].at, &list[0], &doc, &err);
		if (rc == ERR_NOT_FOUND && list[0].name.len) {
			missing++;
			continue;
		}
		if (rc) {
			(void)error_wrap(&err, "cluster %.*s", STR_ARG(members[i].name));
			status = rctl_fail(&err);
			continue;
		}
		rows += json_len(json_getc(&doc, "rows"));
		docs[i] = doc;
		if (!r->opt.sort_by)
			add_rows(r, &r->arena, t, &doc, &members[i]);
		w[watched++] = (struct watched){
			.at = members[i].at,
			.m = &members[i],
			.t = list,
			.table = t,
			.rev = json_str(json_dig(&doc, "metadata", "resourceVersion", NULL)),
		};
	}
	if (r->opt.sort_by)
		status |= sort_fleet(r, t, docs, members, n);
	bool any = false;
	bool watching = r->opt.watch || r->opt.watch_only;
	show(r, t, rows, &any);
	if (!any && !status && !watching) {
		(void)fputs("No resources found in any cluster.\n", stderr);
		status = missing == n && !r->opt.ignore_not_found;
	}
	if (watching && watched)
		status |= watch(r, w, watched);
	(void)table_free(t);
	return status;
}

/* Objects of several clusters in one list: annotations say where each is. */
static void mark(struct rctl *r, struct json *obj, const struct member *m)
{
	struct json *a =
		json_child(&r->arena, json_child(&r->arena, obj, "metadata"), "annotations");
	(void)json_setc(&r->arena, a, "topology.rctl.io/cluster", json_of_str(m->name));
	(void)json_setc(&r->arena, a, "topology.kubernetes.io/region", json_of_str(m->region));
}

static int fleet_objects_of(struct rctl *r, struct member *m, struct json *all)
{
	struct target *list = arena_new(&r->arena, struct target, TARGETS_MAX);
	struct error err = { 0 };
	size_t len = 0;
	int rc = targets_there(m, list, &len, &err);
	for (size_t i = 0; i < len && !rc; i++) {
		struct json obj;
		rc = rctl_get_json(m->at, rctl_target_path(m->at, &list[i]), &obj, &err);
		if (rc == ERR_NOT_FOUND && list[i].name.len) {
			rc = 0;
			continue;
		}
		if (rc)
			break;
		size_t from = json_len(json_getc(all, "items"));
		struct json copy = json_clone(&r->arena, &obj);
		add_items(r, all, &copy);
		struct json *items = json_getc(all, "items");
		for (size_t k = from; k < json_len(items); k++)
			mark(r, json_at(items, k), m);
	}
	if (rc) {
		(void)error_wrap(&err, "cluster %.*s", STR_ARG(m->name));
		return rctl_fail(&err);
	}
	return 0;
}

static int get_fleet(struct rctl *r)
{
	struct error err = { 0 };
	struct member *members = NULL;
	size_t n = 0;
	if (fleet_members(r, &members, &n, &err) != 0)
		return rctl_fail(&err);
	int status = 0;
	if (print_is_table(r)) {
		status = fleet_table(r, members, n);
	} else if (r->opt.watch || r->opt.watch_only) {
		status = rctl_usage("--clusters with --watch prints tables only");
	} else {
		struct json all = list_of(r);
		for (size_t i = 0; i < n; i++)
			status |= fleet_objects_of(r, &members[i], &all);
		if (sort_items(r, &all, &err) != 0 || print_object(r, &all, &err) != 0)
			status = rctl_fail(&err);
	}
	fleet_leave(members, n);
	return status;
}

static int get_raw(struct rctl *r)
{
	struct reply reply;
	if (r->opt.args_len || r->opt.raw[0] != '/')
		return rctl_usage("get --raw=/PATH takes no other arguments");
	int rc = rctl_get(r, r->opt.raw, "*/*", &reply);
	if (rc)
		(void)rctl_fail(&reply.err);
	else
		(void)fwrite(reply.body.p ? reply.body.p : "", 1, reply.body.len, stdout);
	reply_fini(&reply);
	return rc ? 1 : 0;
}

int verb_get(struct rctl *r)
{
	struct error err = { 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	if (r->opt.raw)
		return get_raw(r);
	if (r->opt.clusters)
		return get_fleet(r);
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int rc = rctl_targets(r, 0, list, &n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	if ((r->opt.watch || r->opt.watch_only) && several_types(list, n))
		return rctl_usage("--watch follows one type at a time");
	for (size_t i = 0; i < n; i++)
		if (r->opt.all_namespaces && list[i].name.len && list[i].resource->namespaced)
			return rctl_usage("a resource cannot be retrieved by name across all "
					  "namespaces");
	if (r->opt.at && (r->opt.watch || r->opt.watch_only))
		return rctl_usage("--at shows what was: it cannot be watched");
	int status = past_resolve(r, list, n);
	if (status)
		return status;
	return print_is_table(r) ? get_tables(r, list, n) : get_objects(r, list, n);
}
