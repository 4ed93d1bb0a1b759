/* get: tables as the server makes them, objects, watches, and the whole fleet at once. */
#include "base/map.h"
#include "base/mem.h"
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

static void add_rows(struct rctl *r, struct table *t, const struct json *doc)
{
	table_columns(t, json_getc(doc, "columnDefinitions"), strcmp(r->opt.output, "wide") == 0);
	const struct json *rows = json_getc(doc, "rows");
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *row = json_at(rows, i);
		table_row(t, row, json_str(json_dig(row, "object", "metadata", "namespace", NULL)),
			  NULL, 0);
	}
}

static char *with_query(struct rctl *r, const char *path, const char *query)
{
	return arena_printf(&r->arena, "%s%c%s", path, strchr(path, '?') ? '&' : '?', query);
}

/* ---- watching ---- */

struct watching {
	struct rctl *r;
	struct table *t;
	struct buf line;
	bool done;
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
	const struct json *obj = json_getc(&ev, "object");
	if (str_is(type, "ERROR")) {
		(void)error_set(&w->err, ERR_EXPIRED, "%.*s",
				STR_ARG(json_str(json_getc(obj, "message"))));
	} else if (!str_is(type, "BOOKMARK")) {
		if (print_is_table(w->r)) {
			add_rows(w->r, w->t, obj);
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
	w->done = true;
}

static int watch(struct rctl *r, struct table *t, const char *path, struct str rv)
{
	struct watching w = { .r = r, .t = t };
	const char *q = arena_printf(&r->arena, "watch=true&resourceVersion=%.*s", STR_ARG(rv));
	(void)client_send(r->client, &(struct client_request){
					     .method = "GET",
					     .path = with_query(r, path, q),
					     .accept = print_is_table(r) ? ACCEPT_TABLE : NULL,
					     .on_data = on_data,
					     .done = on_done,
					     .arg = &w });
	while (!w.done)
		loop_turn(r->loop, -1);
	buf_fini(&w.line);
	return w.err.code ? rctl_fail(&w.err) : 0;
}

/* ---- one API ---- */

/* A single object is watched through its collection. */
static const char *watch_path(struct rctl *r, const struct target *t)
{
	if (!t->name.len)
		return rctl_target_path(r, t);
	const struct target all = { t->resource, STR("") };
	return with_query(
		r, rctl_target_path(r, &all),
		arena_printf(&r->arena, "fieldSelector=metadata.name%%3D%.*s", STR_ARG(t->name)));
}

static int get_table(struct rctl *r, const struct target *t, bool title, bool *any)
{
	struct reply reply;
	struct error err = { 0 };
	int rc = rctl_get(
		r,
		with_query(r, rctl_target_path(r, t),
			   r->opt.sort_by ? "includeObject=Object" : "includeObject=Metadata"),
		ACCEPT_TABLE, &reply);
	if (rc) {
		bool quiet = rc == ERR_NOT_FOUND && r->opt.ignore_not_found;
		int status = quiet ? 0 : rctl_fail(&reply.err);
		reply_fini(&reply);
		return status;
	}
	struct json doc;
	rc = parse(r, &reply.body, &doc, &err);
	reply_fini(&reply);
	if (rc)
		return rctl_fail(&err);
	struct table *table = table_new();
	table_namespaces(table, r->opt.all_namespaces && t->resource->namespaced);
	table_labels(table, r->opt.show_labels);
	add_rows(r, table, &doc);
	bool some = json_len(json_getc(&doc, "rows")) > 0;
	if (some && !r->opt.watch_only) {
		if (title && *any)
			(void)puts("");
		table_print(table, !r->opt.no_headers);
	}
	*any |= some;
	int status = 0;
	if (r->opt.watch || r->opt.watch_only)
		status = watch(r, table, watch_path(r, t),
			       json_str(json_dig(&doc, "metadata", "resourceVersion", NULL)));
	(void)table_free(table);
	return status;
}

static int get_objects(struct rctl *r, const struct target *list, size_t n)
{
	struct json all = json_object();
	struct json *items = NULL;
	struct error err = { 0 };
	if (n > 1) {
		(void)json_setc(&r->arena, &all, "apiVersion", json_of_cstr("v1"));
		(void)json_setc(&r->arena, &all, "kind", json_of_cstr("List"));
		items = json_setc(&r->arena, &all, "items", json_array());
	}
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		struct json obj;
		int rc = rctl_get_json(r, rctl_target_path(r, &list[i]), &obj, &err);
		if (rc) {
			if (!(rc == ERR_NOT_FOUND && r->opt.ignore_not_found))
				status = rctl_fail(&err);
		} else if (!items) {
			if (print_object(r, &obj, &err) != 0)
				return rctl_fail(&err);
			if (r->opt.watch)
				return watch(r, NULL, watch_path(r, &list[0]),
					     json_str(json_dig(&obj, "metadata", "resourceVersion",
							       NULL)));
		} else if (list[i].name.len) {
			(void)json_push(&r->arena, items, obj);
		} else {
			const struct json *part = json_getc(&obj, "items");
			for (size_t k = 0; k < json_len(part); k++)
				(void)json_push(&r->arena, items, *json_at(part, k));
		}
	}
	if (items && print_object(r, &all, &err) != 0)
		return rctl_fail(&err);
	return status;
}

/* ---- the fleet ---- */

static struct str label(const struct json *row, const char *key)
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

static void add_cluster_rows(struct rctl *r, struct table *t, const struct json *doc,
			     struct str cluster, struct str region)
{
	table_columns(t, json_getc(doc, "columnDefinitions"), false);
	const struct json *rows = json_getc(doc, "rows");
	for (size_t i = 0; i < json_len(rows); i++) {
		const struct json *row = json_at(rows, i);
		const char *extra[] = {
			arena_str(&r->arena, cluster).p,
			arena_str(&r->arena, region).p,
			arena_str(&r->arena, node_cell(doc, row)).p,
			arena_str(&r->arena, label(row, "topology.kubernetes.io/zone")).p,
			arena_str(&r->arena, label(row, "topology.rctl.io/network-az")).p,
		};
		table_row(t, row, json_str(json_dig(row, "object", "metadata", "namespace", NULL)),
			  extra, 5);
	}
}

/* A run of its own against one cluster, through the global API; with an arena of its own. */
static void enter_cluster(struct rctl *r, struct str name, struct rctl *at)
{
	*at = *r;
	at->arena = (struct arena){ 0 };
	at->discovery = NULL;
	struct client_config cfg = r->cfg;
	cfg.server = arena_printf(&at->arena, "%s/clusters/%.*s", r->cfg.server, STR_ARG(name));
	at->client = client_new(r->fetch, r->loop, &cfg,
				&(struct client_options){ .user_agent = "rctl/" RCTL_VERSION });
}

static void leave_cluster(struct rctl *at)
{
	(void)client_discovery_free(at->discovery);
	(void)client_free(at->client);
	arena_fini(&at->arena);
}

/* The table of the type (and name) asked for, as this cluster has it. */
static int get_in_cluster(struct rctl *at, const char *type, struct json *ret, struct error *err)
{
	struct target target = { .name = at->opt.args_len > 1 ? str_of(at->opt.args[1]) : STR("") };
	int rc = rctl_resource(at, str_of(type), &target.resource, err);
	if (rc)
		return rc;
	struct reply reply = { 0 };
	rc = rctl_get(at, with_query(at, rctl_target_path(at, &target), "includeObject=Metadata"),
		      ACCEPT_TABLE, &reply);
	if (rc)
		*err = reply.err;
	else
		rc = parse(at, &reply.body, ret, err);
	reply_fini(&reply);
	return rc;
}

static int get_fleet(struct rctl *r)
{
	struct error err = { 0 };
	struct json clusters;
	if (rctl_get_json(r, "/apis/topology.rctl.io/v1alpha1/clusters", &clusters, &err) != 0) {
		(void)error_wrap(&err, "list of clusters");
		return rctl_fail(&err);
	}
	const char *type = r->opt.args_len ? r->opt.args[0] : "pods";
	const struct json *items = json_getc(&clusters, "items");
	struct table *t = table_new();
	table_namespaces(t, r->opt.all_namespaces);
	static const char *const names[] = { "CLUSTER", "REGION", "NODE", "ZONE", "NETWORK-AZ" };
	table_extra_columns(t, names, 5);
	int status = 0;
	size_t rows = 0;
	for (size_t i = 0; i < json_len(items); i++) {
		struct str name = json_str(json_dig(json_at(items, i), "metadata", "name", NULL));
		struct str region = json_str(json_dig(json_at(items, i), "spec", "region", NULL));
		struct rctl at;
		enter_cluster(r, name, &at);
		struct json doc;
		int rc = get_in_cluster(&at, type, &doc, &err);
		if (rc == 0) {
			rows += json_len(json_getc(&doc, "rows"));
			add_cluster_rows(&at, t, &doc, name, region);
		} else if (rc != ERR_NOT_FOUND || r->opt.args_len < 2) {
			(void)error_wrap(&err, "cluster %.*s", STR_ARG(name));
			status = rctl_fail(&err);
		}
		leave_cluster(&at);
	}
	if (rows)
		table_print(t, !r->opt.no_headers);
	else if (!status)
		(void)fprintf(stderr, "No resources found in any cluster.\n");
	(void)table_free(t);
	return status;
}

int verb_get(struct rctl *r)
{
	struct error err = { 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	if (r->opt.clusters)
		return get_fleet(r);
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int rc = rctl_targets(r, 0, list, &n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	if (!print_is_table(r))
		return get_objects(r, list, n);
	bool any = false;
	int status = 0;
	for (size_t i = 0; i < n; i++)
		status |= get_table(r, &list[i], n > 1, &any);
	if (!any && !status && !r->opt.ignore_not_found) {
		struct str ns = rctl_ns(r);
		if (ns.len && list[0].resource->namespaced)
			(void)fprintf(stderr, "No resources found in %.*s namespace.\n",
				      STR_ARG(ns));
		else
			(void)fprintf(stderr, "No resources found\n");
	}
	return status;
}
