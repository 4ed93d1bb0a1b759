/* scale, label, annotate, events, top, api-resources, version, config. */
#include "rctl.h"
#include "sys/clock.h"
#include "text/quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int targets(struct rctl *r, size_t from, struct target *list, size_t *n)
{
	struct error err = { 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	int rc = rctl_targets(r, from, list, n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	return 0;
}

static int patch(struct rctl *r, const struct target *t, const char *path, struct str body,
		 const char *done)
{
	struct reply reply;
	int rc = rctl_call(r,
			   &(struct client_request){ .method = "PATCH",
						     .path = path,
						     .content_type = "application/merge-patch+json",
						     .body = body },
			   &reply);
	if (rc)
		(void)rctl_fail(&reply.err);
	else
		(void)printf("%.*s %s\n", STR_ARG(rctl_name_of(r, t->resource, t->name)), done);
	reply_fini(&reply);
	return rc ? 1 : 0;
}

int verb_scale(struct rctl *r)
{
	if (r->opt.replicas < 0)
		return rctl_usage("scale TYPE/NAME --replicas=N");
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = targets(r, 0, list, &n);
	for (size_t i = 0; i < n && !status; i++) {
		if (!list[i].name.len)
			return rctl_usage("scale TYPE/NAME --replicas=N");
		char *path = arena_printf(&r->arena, "%s/scale", rctl_target_path(r, &list[i]));
		if (r->opt.current_replicas >= 0) {
			struct json now;
			struct error err = { 0 };
			if (rctl_get_json(r, path, &now, &err) != 0)
				return rctl_fail(&err);
			int64_t have = json_i64(json_dig(&now, "spec", "replicas", NULL), 0);
			if (have != r->opt.current_replicas) {
				(void)error_set(&err, ERR_CONFLICT,
						"expected replicas to be %" PRId64 ", was %" PRId64,
						r->opt.current_replicas, have);
				return rctl_fail(&err);
			}
		}
		struct str body = arena_strf(&r->arena, "{\"spec\":{\"replicas\":%" PRId64 "}}",
					     r->opt.replicas);
		status |= patch(r, &list[i], path, body, "scaled");
	}
	return status;
}

/* KEY=VALUE sets, KEY- removes. */
static int change_map(struct rctl *r, const char *member, const char *done)
{
	size_t pairs = r->opt.args_len;
	while (pairs > 0) {
		struct str a = str_of(r->opt.args[pairs - 1]);
		if (str_find(a, '=', 0) < 0 && !str_ends(a, STR("-")))
			break;
		pairs--;
	}
	if (pairs == r->opt.args_len || pairs == 0)
		return rctl_usage("TYPE/NAME KEY=VALUE … (KEY- removes)");
	struct json map = json_object();
	for (size_t i = pairs; i < r->opt.args_len; i++) {
		struct str a = str_of(r->opt.args[i]);
		ptrdiff_t eq = str_find(a, '=', 0);
		if (eq < 0)
			(void)json_set(&r->arena, &map, str_sub(a, 0, a.len - 1),
				       (struct json){ 0 });
		else
			(void)json_set(&r->arena, &map, str_sub(a, 0, (size_t)eq),
				       json_of_str(str_sub(a, (size_t)eq + 1, a.len)));
	}
	r->opt.args_len = pairs;
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = targets(r, 0, list, &n);
	struct str body = arena_strf(&r->arena, "{\"metadata\":{\"%s\":%s}}", member,
				     json_text(&r->arena, &map).p);
	for (size_t i = 0; i < n && !status; i++) {
		struct json obj;
		struct error err = { 0 };
		if (!list[i].name.len)
			return rctl_usage("TYPE/NAME KEY=VALUE …");
		if (rctl_get_json(r, rctl_target_path(r, &list[i]), &obj, &err) != 0)
			return rctl_fail(&err);
		const struct json *have = json_dig(&obj, "metadata", member, NULL);
		for (size_t k = 0; k < json_len(&map) && !r->opt.overwrite; k++) {
			struct str key = json_str(&map.members[k].key);
			const struct json *old = json_get(have, key);
			if (old && map.members[k].value.type == JSON_STRING &&
			    !json_equal(old, &map.members[k].value)) {
				(void)error_set(&err, ERR_CONFLICT,
						"'%.*s' already has a value (%.*s), and "
						"--overwrite is false",
						STR_ARG(key), STR_ARG(json_str(old)));
				return rctl_fail(&err);
			}
		}
		status |= patch(r, &list[i], rctl_target_path(r, &list[i]), body, done);
	}
	return status;
}

int verb_label(struct rctl *r)
{
	return change_map(r, "labels", "labeled");
}

int verb_annotate(struct rctl *r)
{
	return change_map(r, "annotations", "annotated");
}

int verb_events(struct rctl *r)
{
	r->opt.args[0] = "events";
	r->opt.args_len = 1;
	return verb_get(r);
}

/* ---- top ---- */

static int64_t usage(const struct json *u, const char *name, bool milli)
{
	struct quantity q;
	if (quantity_parse(json_str(json_getc(u, name)), &q, NULL) != 0)
		return 0;
	return milli ? quantity_milli(q) : quantity_value(q);
}

static void top_line(struct str ns, struct str name, int64_t cpu, int64_t memory, bool all)
{
	char c[32];
	(void)snprintf(c, sizeof(c), "%" PRId64 "m", cpu);
	if (all)
		(void)printf("%-20.*s ", STR_ARG(ns));
	(void)printf("%-48.*s %-12s %" PRId64 "Mi\n", STR_ARG(name), c, memory >> 20);
}

static int top(struct rctl *r, const char *base, bool nodes)
{
	struct error err = { 0 };
	struct json list;
	struct str ns = rctl_ns(r);
	char *path = nodes ? arena_printf(&r->arena, "%s/apis/metrics.k8s.io/v1beta1/nodes", base)
		     : ns.len
			     ? arena_printf(&r->arena,
					    "%s/apis/metrics.k8s.io/v1beta1/namespaces/%.*s/pods",
					    base, STR_ARG(ns))
			     : arena_printf(&r->arena, "%s/apis/metrics.k8s.io/v1beta1/pods", base);
	if (rctl_get_json(r, path, &list, &err) != 0)
		return rctl_fail(&err);
	bool all = r->opt.all_namespaces && !nodes;
	const struct json *items = json_getc(&list, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *it = json_at(items, i);
		int64_t cpu = usage(json_getc(it, "usage"), "cpu", true);
		int64_t memory = usage(json_getc(it, "usage"), "memory", false);
		const struct json *ctrs = json_getc(it, "containers");
		for (size_t k = 0; k < json_len(ctrs); k++) {
			cpu += usage(json_getc(json_at(ctrs, k), "usage"), "cpu", true);
			memory += usage(json_getc(json_at(ctrs, k), "usage"), "memory", false);
		}
		top_line(json_str(json_dig(it, "metadata", "namespace", NULL)),
			 json_str(json_dig(it, "metadata", "name", NULL)), cpu, memory, all);
	}
	return 0;
}

int verb_top(struct rctl *r)
{
	struct str what = str_of(r->opt.args_len ? r->opt.args[0] : "");
	bool nodes = str_is(what, "node") || str_is(what, "nodes") || str_is(what, "no");
	bool pods = str_is(what, "pod") || str_is(what, "pods") || str_is(what, "po");
	if (!nodes && !pods)
		return rctl_usage("top nodes or top pods");
	struct error err = { 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	if (r->opt.all_namespaces && pods)
		(void)printf("%-20s ", "NAMESPACE");
	(void)printf("%-48s %-12s %s\n", "NAME", "CPU(cores)", "MEMORY(bytes)");
	if (!r->opt.clusters)
		return top(r, "", nodes);
	struct json clusters;
	if (rctl_get_json(r, "/apis/topology.rctl.io/v1alpha1/clusters", &clusters, &err) != 0)
		return rctl_fail(&err);
	int status = 0;
	const struct json *items = json_getc(&clusters, "items");
	for (size_t i = 0; i < json_len(items); i++)
		status |= top(r,
			      arena_printf(&r->arena, "/clusters/%.*s",
					   STR_ARG(json_str(json_dig(json_at(items, i), "metadata",
								     "name", NULL)))),
			      nodes);
	return status;
}

/* ---- about the server ---- */

int verb_api_resources(struct rctl *r)
{
	struct error err = { 0 };
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	(void)printf("%-34s %-14s %-36s %-12s %s\n", "NAME", "SHORTNAMES", "APIVERSION",
		     "NAMESPACED", "KIND");
	for (size_t i = 0; i < client_discovery_count(r->discovery); i++) {
		const struct client_resource *x = client_discovery_at(r->discovery, i);
		struct buf shorts = { 0 };
		for (size_t k = 0; k < x->short_names_len; k++)
			buf_addf(&shorts, "%s%.*s", k ? "," : "", STR_ARG(x->short_names[k]));
		char *gv = arena_printf(&r->arena, "%.*s%s%.*s", STR_ARG(x->group),
					x->group.len ? "/" : "", STR_ARG(x->version));
		(void)printf("%-34.*s %-14s %-36s %-12s %.*s\n", STR_ARG(x->plural),
			     buf_cstr(&shorts), gv, x->namespaced ? "true" : "false",
			     STR_ARG(x->kind));
		buf_fini(&shorts);
	}
	return 0;
}

int verb_version(struct rctl *r)
{
	(void)printf("Client Version: v%s\n", RCTL_VERSION);
	struct error err = { 0 };
	struct json v;
	if (rctl_get_json(r, "/version", &v, &err) != 0) {
		(void)fprintf(stderr, "Server Version: unknown (%s)\n", err.msg);
		return 0;
	}
	(void)printf("Server Version: %.*s\n", STR_ARG(json_str(json_getc(&v, "gitVersion"))));
	return 0;
}

int verb_config(struct rctl *r)
{
	struct error err = { 0 };
	struct str what = str_of(r->opt.args_len ? r->opt.args[0] : "");
	if (!str_is(what, "current-context"))
		return rctl_usage("config current-context");
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	(void)printf("%s\n", r->cfg.context);
	return 0;
}
