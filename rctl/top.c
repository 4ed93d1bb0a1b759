/* top: what nodes, pods and clusters use. */
#include "rctl.h"
#include "text/quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int64_t usage(const struct json *u, const char *name, bool milli)
{
	struct quantity q;
	if (quantity_parse(json_str(json_getc(u, name)), &q, NULL) != 0)
		return 0;
	return milli ? quantity_milli(q) : quantity_value(q);
}

struct used {
	int64_t cpu, memory; /* thousandths, bytes */
};

static struct used used_by(const struct json *item)
{
	const struct json *u = json_getc(item, "usage");
	struct used s = { usage(u, "cpu", true), usage(u, "memory", false) };
	const struct json *ctrs = json_getc(item, "containers");
	for (size_t k = 0; k < json_len(ctrs); k++) {
		u = json_getc(json_at(ctrs, k), "usage");
		s.cpu += usage(u, "cpu", true);
		s.memory += usage(u, "memory", false);
	}
	return s;
}

static struct used capacity_of(const struct json *nodes, struct str name)
{
	const struct json *items = json_getc(nodes, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *it = json_at(items, i);
		const struct json *c = json_dig(it, "status", "allocatable", NULL);
		if (str_eq(json_str(json_dig(it, "metadata", "name", NULL)), name))
			return (struct used){ usage(c, "cpu", true), usage(c, "memory", false) };
	}
	return (struct used){ 0, 0 };
}

static void push(struct rctl *r, struct json *cells, struct str s)
{
	(void)json_push(&r->arena, cells, json_of_str(s));
}

static struct str percent(struct rctl *r, int64_t part, int64_t whole)
{
	return whole > 0 ? arena_strf(&r->arena, "%" PRId64 "%%", part * 100 / whole)
			 : STR("<unknown>");
}

static void add_line(struct rctl *r, struct table *t, struct json cells, struct str ns)
{
	struct json row = json_object();
	(void)json_setc(&r->arena, &row, "cells", cells);
	table_row(t, &row, ns, NULL, 0);
}

struct top {
	struct rctl *r; /* of the cluster, or ours */
	struct str cluster;
	bool nodes, clusters;
	struct table *t;
	size_t rows;
};

static void top_cluster(struct top *x, const struct json *items, const struct json *nodes)
{
	struct rctl *r = x->r;
	struct used sum = { 0, 0 };
	struct used cap = { 0, 0 };
	for (size_t i = 0; i < json_len(items); i++) {
		struct used u = used_by(json_at(items, i));
		sum.cpu += u.cpu;
		sum.memory += u.memory;
	}
	const struct json *all = json_getc(nodes, "items");
	for (size_t i = 0; i < json_len(all); i++) {
		struct used u = capacity_of(
			nodes, json_str(json_dig(json_at(all, i), "metadata", "name", NULL)));
		cap.cpu += u.cpu;
		cap.memory += u.memory;
	}
	struct json cells = json_array();
	push(r, &cells, x->cluster);
	push(r, &cells, arena_strf(&r->arena, "%zu/%zu", json_len(items), json_len(all)));
	push(r, &cells, arena_strf(&r->arena, "%" PRId64 "m", sum.cpu));
	push(r, &cells, percent(r, sum.cpu, cap.cpu));
	push(r, &cells, arena_strf(&r->arena, "%" PRId64 "Mi", sum.memory >> 20));
	push(r, &cells, percent(r, sum.memory, cap.memory));
	add_line(r, x->t, cells, STR(""));
	x->rows++;
}

static void top_line(struct top *x, const struct json *it, const struct json *nodes)
{
	struct rctl *r = x->r;
	struct str name = json_str(json_dig(it, "metadata", "name", NULL));
	struct used u = used_by(it);
	struct json cells = json_array();
	push(r, &cells, name);
	push(r, &cells, arena_strf(&r->arena, "%" PRId64 "m", u.cpu));
	struct used cap = nodes ? capacity_of(nodes, name) : (struct used){ 0, 0 };
	if (x->nodes)
		push(r, &cells, percent(r, u.cpu, cap.cpu));
	push(r, &cells, arena_strf(&r->arena, "%" PRId64 "Mi", u.memory >> 20));
	if (x->nodes)
		push(r, &cells, percent(r, u.memory, cap.memory));
	if (x->cluster.len)
		push(r, &cells, x->cluster);
	add_line(r, x->t, cells, json_str(json_dig(it, "metadata", "namespace", NULL)));
	x->rows++;
}

static int top_one(struct top *x)
{
	struct rctl *r = x->r;
	struct error err = { 0 };
	const struct client_resource pods = { .group = STR("metrics.k8s.io"),
					      .version = STR("v1beta1"),
					      .plural = STR("pods"),
					      .namespaced = true };
	const struct client_resource metrics = { .group = STR("metrics.k8s.io"),
						 .version = STR("v1beta1"),
						 .plural = STR("nodes") };
	bool nodes = x->nodes || x->clusters;
	struct target t = { nodes ? &metrics : &pods, STR("") };
	if (!x->clusters && r->opt.args_len > 1)
		t.name = str_of(r->opt.args[1]);
	struct json list;
	struct json all;
	int rc = rctl_get_json(r, rctl_target_path(r, &t), &list, &err);
	if (!rc && nodes)
		rc = rctl_get_json(r, "/api/v1/nodes", &all, &err);
	if (rc) {
		if (rc == ERR_NOT_FOUND && !x->cluster.len && !t.name.len)
			(void)error_set(&err, rc,
					"context \"%s\" has no metrics of its own: add --clusters, "
					"or choose a cluster with --context",
					r->cfg.context);
		else if (x->cluster.len)
			(void)error_wrap(&err, "cluster %.*s", STR_ARG(x->cluster));
		return rctl_fail(&err);
	}
	struct json *items = json_getc(&list, "items");
	if (x->clusters)
		top_cluster(x, items, &all);
	else if (!items)
		top_line(x, &list, nodes ? &all : NULL);
	for (size_t i = 0; i < json_len(items) && !x->clusters; i++)
		top_line(x, json_at(items, i), nodes ? &all : NULL);
	return 0;
}

static struct table *make_table(struct rctl *r, bool nodes, bool clusters)
{
	const struct str pod[] = { STR("NAME"), STR("CPU(cores)"), STR("MEMORY(bytes)") };
	const struct str node[] = { STR("NAME"), STR("CPU(cores)"), STR("CPU(%)"),
				    STR("MEMORY(bytes)"), STR("MEMORY(%)") };
	const struct str cluster[] = { STR("CLUSTER"), STR("NODES"),         STR("CPU(cores)"),
				       STR("CPU(%)"),  STR("MEMORY(bytes)"), STR("MEMORY(%)") };
	const struct str where[] = { STR("CLUSTER") };
	struct table *t = table_new();
	table_namespaces(t, r->opt.all_namespaces && !nodes && !clusters);
	if (clusters)
		table_plain_columns(t, cluster, 6);
	else
		table_plain_columns(t, nodes ? node : pod, nodes ? 5 : 3);
	if (r->opt.clusters && !clusters)
		table_plain_columns(t, where, 1);
	return t;
}

int verb_top(struct rctl *r)
{
	struct str what = str_of(r->opt.args_len ? r->opt.args[0] : "");
	bool nodes = str_is(what, "node") || str_is(what, "nodes") || str_is(what, "no");
	bool pods = str_is(what, "pod") || str_is(what, "pods") || str_is(what, "po");
	bool clusters = str_is(what, "cluster") || str_is(what, "clusters");
	if (!nodes && !pods && !clusters)
		return rctl_usage("top nodes, top pods or top clusters");
	struct error err = { 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	struct top x = { .r = r, .nodes = nodes, .clusters = clusters };
	struct member *members = NULL;
	size_t n = 0;
	bool fleet = r->opt.clusters || clusters;
	if (fleet && fleet_members(r, &members, &n, &err) != 0)
		return rctl_fail(&err);
	x.t = make_table(r, nodes, clusters);
	int status = 0;
	for (size_t i = 0; i < n; i++) {
		x.r = members[i].at;
		x.cluster = members[i].name;
		status |= top_one(&x);
	}
	if (!fleet)
		status = top_one(&x);
	if (x.rows) {
		table_print(x.t, !r->opt.no_headers);
	} else if (!status) {
		(void)error_set(&err, ERR_UNAVAILABLE,
				"metrics not available yet; agents report every 15 seconds");
		status = rctl_fail(&err);
	}
	(void)table_free(x.t);
	fleet_leave(members, n);
	return status;
}
