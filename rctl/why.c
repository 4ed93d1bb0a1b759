/* why: the reason for the state of an object in a sentence, and what it hangs on: owners, placement, events. */
#include "rctl.h"
#include "reasons.h"
#include "sys/clock.h"
#include "text/duration.h"
#include "text/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWNERS_MAX = 8, EVENTS_SHOWN = 5 };

static void sentence(struct rctl *r, const char *lead, const char *where,
		     const struct client_resource *res, const struct json *obj,
		     const struct reasons *known)
{
	struct buf b = { 0 };
	(void)reasons_say(obj, known, &b);
	(void)printf(
		"%s%.*s%s %s.\n", lead,
		STR_ARG(rctl_name_of(r, res, json_str(json_dig(obj, "metadata", "name", NULL)))),
		where, buf_cstr(&b));
	buf_fini(&b);
}

static struct json events_of(struct rctl *r, const struct json *obj)
{
	struct str ns = json_str(json_dig(obj, "metadata", "namespace", NULL));
	struct buf p = { 0 };
	struct json list;
	struct error err = { 0 };
	buf_addf(&p, "/api/v1/namespaces/%.*s/events?fieldSelector=",
		 STR_ARG(ns.len ? ns : STR("default")));
	url_encode(&p, arena_strf(&r->arena, "involvedObject.uid=%.*s",
				  STR_ARG(json_str(json_dig(obj, "metadata", "uid", NULL)))));
	int rc = rctl_get_json(r, arena_strdup(&r->arena, buf_cstr(&p)), &list, &err);
	buf_fini(&p);
	const struct json *items = json_getc(rc ? NULL : &list, "items");
	return items ? *items : json_array();
}

static int by_time(const void *a, const void *b)
{
	int64_t x = event_time_ms(*(const struct json *const *)a);
	int64_t y = event_time_ms(*(const struct json *const *)b);
	return (x > y) - (x < y);
}

static void put_events(struct rctl *r, const struct json *events)
{
	size_t n = json_len(events);
	const struct json **list = arena_new(&r->arena, const struct json *, n + 1);
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		list[i] = json_at(events, i);
	qsort((void *)list, n, sizeof(list[0]), by_time);
	(void)puts("Events:");
	for (size_t i = n > EVENTS_SHOWN ? n - EVENTS_SHOWN : 0; i < n; i++) {
		const struct json *e = list[i];
		struct buf age = { 0 };
		duration_write_human(&age, (clock_unix_ms() - event_time_ms(e)) / 1000);
		struct str message = str_trim(json_str(json_getc(e, "message")));
		(void)printf("  %s ago  %.*s  %.*s: %.*s\n", buf_cstr(&age),
			     STR_ARG(json_str(json_getc(e, "type"))),
			     STR_ARG(json_str(json_getc(e, "reason"))), STR_ARG(message));
		buf_fini(&age);
	}
}

/* ---- the chain of owners ---- */

static const struct json *controller_of(const struct json *obj)
{
	const struct json *refs = json_dig(obj, "metadata", "ownerReferences", NULL);
	for (size_t i = 0; i < json_len(refs); i++)
		if (json_bool(json_getc(json_at(refs, i), "controller"), false))
			return json_at(refs, i);
	return json_at(refs, 0);
}

/* Prints each owner; the last one in *top. */
static void walk_owners(struct rctl *r, const struct json *obj, struct json *top)
{
	*top = *obj;
	struct str ns = json_str(json_dig(obj, "metadata", "namespace", NULL));
	for (int i = 0; i < OWNERS_MAX; i++) {
		const struct json *ref = controller_of(top);
		struct error err = { 0 };
		struct json owner;
		if (!ref)
			return;
		const struct client_resource *res = client_discovery_find_gvk(
			r->discovery, json_str(json_getc(ref, "apiVersion")),
			json_str(json_getc(ref, "kind")));
		if (!res)
			return;
		struct str name = json_str(json_getc(ref, "name"));
		if (rctl_get_json(r,
				  client_path(&r->arena, res, res->namespaced ? ns : STR(""), name),
				  &owner, &err) != 0) {
			(void)printf("  owner %.*s: %s\n", STR_ARG(rctl_name_of(r, res, name)),
				     err.msg);
			return;
		}
		const struct json events = events_of(r, &owner);
		sentence(r, "  owner ", "", res, &owner, &(struct reasons){ .events = &events });
		*top = owner;
	}
}

/* ---- the placement of the global API ---- */

static const struct json *decision(const struct json *placement, struct str cluster)
{
	const struct json *list = json_dig(placement, "status", "decisions", NULL);
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_getc(json_at(list, i), "cluster")), cluster))
			return json_at(list, i);
	return NULL;
}

static void put_decision(const struct json *d)
{
	(void)printf(
		"  cluster %.*s has the share %" PRId64 ", %" PRId64 " ready, phase %.*s: %.*s.\n",
		STR_ARG(json_str(json_getc(d, "cluster"))), json_i64(json_getc(d, "replicas"), 0),
		json_i64(json_getc(d, "ready"), 0), STR_ARG(json_str(json_getc(d, "phase"))),
		STR_ARG(json_str(json_getc(d, "reason"))));
}

/* `cluster` "" = all of its decisions. */
static void put_placement(struct rctl *r, const struct json *workload, struct str cluster)
{
	struct str name = json_str(
		json_dig(workload, "metadata", "annotations", "fleet.rctl.io/placement", NULL));
	ptrdiff_t at = str_find(name, '@', 0);
	struct json placement;
	struct error err = { 0 };
	const struct client_resource *res = NULL;
	name = at < 0 ? name : str_sub(name, 0, (size_t)at);
	if (!name.len)
		return;
	if (rctl_resource(r, STR("placements"), &res, &err) != 0) {
		(void)printf("  placed here by Placement %.*s of the global API.\n", STR_ARG(name));
		return;
	}
	struct str ns = json_str(json_dig(workload, "metadata", "namespace", NULL));
	if (rctl_get_json(r, client_path(&r->arena, res, ns, name), &placement, &err) != 0) {
		(void)printf("  placement %.*s: %s\n", STR_ARG(name), err.msg);
		return;
	}
	sentence(r, "  ", "", res, &placement, &(struct reasons){ 0 });
	const struct json *list = json_dig(&placement, "status", "decisions", NULL);
	const struct json *mine = decision(&placement, cluster);
	if (mine)
		put_decision(mine);
	for (size_t i = 0; i < json_len(list) && !mine; i++)
		put_decision(json_at(list, i));
}

/* ---- one object ---- */

static int why_one(struct rctl *r, const struct target *t, const struct member *m,
		   struct rctl *global)
{
	struct error err = { 0 };
	struct json obj;
	struct json node = { 0 };
	struct json top;
	if (rctl_get_json(r, rctl_target_path(r, t), &obj, &err) != 0)
		return rctl_fail(&err);
	struct str on = json_str(json_dig(&obj, "spec", "nodeName", NULL));
	bool pod = str_is(json_str(json_getc(&obj, "kind")), "Pod");
	bool has_node = pod && on.len &&
			rctl_get_json(r, arena_printf(&r->arena, "/api/v1/nodes/%.*s", STR_ARG(on)),
				      &node, &err) == 0;
	const struct json events = events_of(r, &obj);
	const struct reasons known = { .node = has_node ? &node : NULL, .events = &events };
	sentence(r, "", m ? arena_printf(&r->arena, " of cluster %.*s", STR_ARG(m->name)) : "",
		 t->resource, &obj, &known);
	walk_owners(r, &obj, &top);
	put_placement(global, &top, m ? m->name : STR(""));
	put_events(r, &events);
	return 0;
}

/* What only clusters have is looked for in all of them. */
static int why_fleet(struct rctl *r)
{
	struct error err = { 0 };
	struct member *members = NULL;
	size_t n = 0;
	size_t found = 0;
	int status = 0;
	if (fleet_members(r, &members, &n, &err) != 0)
		return rctl_fail(&err);
	for (size_t i = 0; i < n; i++) {
		struct target *list = arena_new(&r->arena, struct target, TARGETS_MAX);
		struct json obj;
		size_t len = 0;
		struct rctl *at = members[i].at;
		int rc = rctl_targets(at, 0, list, &len, &err);
		for (size_t k = 0; k < len && !rc; k++) {
			if (!list[k].name.len ||
			    rctl_get_json(at, rctl_target_path(at, &list[k]), &obj, &err) != 0)
				continue;
			status |= why_one(at, &list[k], &members[i], r);
			found++;
		}
	}
	if (!found) {
		(void)error_set(&err, ERR_NOT_FOUND, "%s is in no cluster that answers",
				r->opt.args[0]);
		status = rctl_fail(&err);
	}
	fleet_leave(members, n);
	return status;
}

int verb_why(struct rctl *r)
{
	struct error err = { 0 };
	struct target list[TARGETS_MAX];
	size_t n = 0;
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	if (!r->opt.args_len)
		return rctl_usage("why TYPE/NAME");
	int rc = rctl_targets(r, 0, list, &n, &err);
	if (rc == ERR_BAD_REQUEST)
		return rctl_usage("%s", err.msg);
	/* the global API has no pods and nodes: then its clusters are asked */
	if (r->opt.clusters ||
	    (rc == ERR_NOT_FOUND && client_discovery_find(r->discovery, STR("clusters"))))
		return why_fleet(r);
	if (rc)
		return rctl_fail(&err);
	int status = 0;
	for (size_t i = 0; i < n; i++)
		status |= list[i].name.len ? why_one(r, &list[i], NULL, r)
					   : rctl_usage("why TYPE/NAME");
	return status;
}
