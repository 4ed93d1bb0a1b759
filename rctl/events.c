/* events: what happened, the oldest first; about everything or about one object. */
#include "rctl.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "text/duration.h"
#include "text/rfc3339.h"
#include "text/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t event_time_ms(const struct json *e)
{
	static const char *const fields[] = { "lastTimestamp", "eventTime", "firstTimestamp" };
	int64_t ms = 0;
	const struct json *series = json_dig(e, "series", "lastObservedTime", NULL);
	if (rfc3339_parse_ms(json_str(series), &ms))
		return ms;
	for (size_t i = 0; i < 3; i++)
		if (rfc3339_parse_ms(json_str(json_getc(e, fields[i])), &ms))
			return ms;
	(void)rfc3339_parse_ms(json_str(json_dig(e, "metadata", "creationTimestamp", NULL)), &ms);
	return ms;
}

static struct str age(struct rctl *r, int64_t ms)
{
	struct buf b = { 0 };
	duration_write_human(&b, (clock_unix_ms() - ms) / 1000);
	struct str s = arena_str(&r->arena, buf_str(&b));
	buf_fini(&b);
	return s;
}

static struct json cells_of(struct rctl *r, const struct json *e)
{
	struct arena *a = &r->arena;
	const struct json *about = json_getc(e, "involvedObject");
	struct str kind = json_str(json_getc(about, "kind"));
	char *lower = arena_alloc(a, kind.len + 1);
	for (size_t i = 0; i < kind.len; i++)
		lower[i] =
			(char)(kind.p[i] >= 'A' && kind.p[i] <= 'Z' ? kind.p[i] + 32 : kind.p[i]);
	int64_t count = json_i64(json_getc(e, "count"), 1);
	struct str last = age(r, event_time_ms(e));
	int64_t first = 0;
	if (count > 1 && rfc3339_parse_ms(json_str(json_getc(e, "firstTimestamp")), &first))
		last = arena_strf(a, "%.*s (x%" PRId64 " over %.*s)", STR_ARG(last), count,
				  STR_ARG(age(r, first)));
	struct json cells = json_array();
	(void)json_push(a, &cells, json_of_str(last));
	(void)json_push(a, &cells, json_of_str(json_str(json_getc(e, "type"))));
	(void)json_push(a, &cells, json_of_str(json_str(json_getc(e, "reason"))));
	(void)json_push(a, &cells,
			json_of_str(arena_strf(a, "%s/%.*s", lower,
					       STR_ARG(json_str(json_getc(about, "name"))))));
	(void)json_push(a, &cells, json_of_str(str_trim(json_str(json_getc(e, "message")))));
	return cells;
}

static bool wanted(struct rctl *r, const struct json *e, const struct target *about)
{
	if (about) {
		const struct json *o = json_getc(e, "involvedObject");
		if (!str_eq(json_str(json_getc(o, "kind")), about->resource->kind) ||
		    !str_eq(json_str(json_getc(o, "name")), about->name))
			return false;
	}
	if (!r->opt.types)
		return true;
	struct str rest = str_of(r->opt.types);
	struct str piece;
	while (str_split(&rest, ',', &piece))
		if (str_eq_nocase(piece, json_str(json_getc(e, "type"))))
			return true;
	return false;
}

struct dated {
	const struct json *event;
	struct str cluster;
	int64_t ms;
	size_t at;
};

static int by_time(const void *a, const void *b)
{
	const struct dated *x = a;
	const struct dated *y = b;
	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

struct gathering {
	struct rctl *r;
	struct dated *list;
	size_t len, cap;
	struct str rev;
};

static int gather(struct gathering *g, struct rctl *at, struct str cluster,
		  const struct target *about)
{
	struct error err = { 0 };
	const struct client_resource events = { .version = STR("v1"),
						.plural = STR("events"),
						.namespaced = true };
	struct json list;
	if (rctl_get_json(at, rctl_target_path(at, &(struct target){ &events, STR("") }), &list,
			  &err) != 0) {
		if (cluster.len)
			(void)error_wrap(&err, "cluster %.*s", STR_ARG(cluster));
		return rctl_fail(&err);
	}
	g->rev = json_str(json_dig(&list, "metadata", "resourceVersion", NULL));
	const struct json *items = json_getc(&list, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *e = json_at(items, i);
		if (!wanted(g->r, e, about))
			continue;
		if (g->len == g->cap) {
			size_t cap = g->cap ? 2 * g->cap : 256;
			struct dated *more = arena_new(&g->r->arena, struct dated, cap);
			if (g->len)
				memcpy(more, g->list, g->len * sizeof(*more));
			g->list = more;
			g->cap = cap;
		}
		g->list[g->len] = (struct dated){ e, cluster, event_time_ms(e), g->len };
		g->len++;
	}
	return 0;
}

static int print_events(struct rctl *r, struct gathering *g)
{
	struct error err = { 0 };
	if (g->len > 1)
		qsort(g->list, g->len, sizeof(*g->list), by_time);
	if (!print_is_table(r)) {
		struct json all = json_object();
		(void)json_setc(&r->arena, &all, "apiVersion", json_of_cstr("v1"));
		(void)json_setc(&r->arena, &all, "kind", json_of_cstr("List"));
		struct json *items = json_setc(&r->arena, &all, "items", json_array());
		for (size_t i = 0; i < g->len; i++)
			(void)json_push(&r->arena, items, *g->list[i].event);
		return print_object(r, &all, &err) ? rctl_fail(&err) : 0;
	}
	const struct str names[] = { STR("LAST SEEN"), STR("TYPE"), STR("REASON"), STR("OBJECT"),
				     STR("MESSAGE") };
	const struct str fleet[] = { STR("CLUSTER") };
	struct table *t = table_new();
	table_namespaces(t, r->opt.all_namespaces);
	if (r->opt.clusters)
		table_plain_columns(t, fleet, 1);
	table_plain_columns(t, names, 5);
	for (size_t i = 0; i < g->len; i++) {
		const struct json *e = g->list[i].event;
		struct json cells = cells_of(r, e);
		if (r->opt.clusters)
			(void)json_insert_at(&r->arena, &cells, 0, json_of_str(g->list[i].cluster));
		struct json row = json_object();
		(void)json_setc(&r->arena, &row, "cells", cells);
		table_row(t, &row, json_str(json_dig(e, "metadata", "namespace", NULL)), NULL, 0);
	}
	if (g->len)
		table_print(t, !r->opt.no_headers);
	else
		(void)fputs("No events found\n", stderr);
	(void)table_free(t);
	return 0;
}

/* --for=TYPE/NAME */
static int about_of(struct rctl *r, struct target *ret)
{
	struct error err = { 0 };
	struct str name = str_of(r->opt.for_condition);
	struct str type;
	if (str_find(name, '/', 0) <= 0)
		return rctl_usage("--for is TYPE/NAME, not \"%s\"", r->opt.for_condition);
	(void)str_split(&name, '/', &type);
	ret->name = name;
	if (rctl_resource(r, type, &ret->resource, &err) != 0)
		return rctl_fail(&err);
	return 0;
}

int verb_events(struct rctl *r)
{
	struct error err = { 0 };
	struct target about;
	struct member *members = NULL;
	size_t n = 0;
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	if (r->opt.watch || r->opt.watch_only) { /* as they come: the order of the server */
		r->opt.args[0] = "events";
		r->opt.args_len = 1;
		return verb_get(r);
	}
	struct gathering g = { .r = r };
	int status = 0;
	if (r->opt.clusters && fleet_members(r, &members, &n, &err) != 0)
		return rctl_fail(&err);
	struct rctl *names = n ? members[0].at : r;
	if (r->opt.for_condition) {
		names->opt.for_condition = r->opt.for_condition;
		status = about_of(names, &about);
	}
	const struct target *only = r->opt.for_condition ? &about : NULL;
	for (size_t i = 0; i < n && !status; i++)
		status |= gather(&g, members[i].at, members[i].name, only);
	if (!r->opt.clusters && !status)
		status = gather(&g, r, STR(""), only);
	if (!status || g.len)
		status |= print_events(r, &g);
	fleet_leave(members, n);
	return status;
}
