/* cordon, uncordon, taint, drain: taking nodes out of service and back. */
#include "rctl.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "taints.h"
#include "text/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TAINTS_MAX = 64, PODS_MAX = 4096, EVICT_MS = 600000, RETRY_MS = 1000 };

/* Nodes named without a type; or -l. */
static int node_targets(struct rctl *r, size_t to, struct target *list, size_t *n)
{
	struct error err = { 0 };
	const struct client_resource *res = NULL;
	*n = 0;
	if (rctl_resource(r, STR("nodes"), &res, &err) != 0)
		return rctl_fail(&err);
	size_t from = 0;
	if (to > 0 && (strcmp(r->opt.args[0], "node") == 0 ||
		       strcmp(r->opt.args[0], "nodes") == 0 || strcmp(r->opt.args[0], "no") == 0))
		from = 1;
	for (size_t i = from; i < to && *n < TARGETS_MAX; i++) {
		struct str name = str_of(r->opt.args[i]);
		if (str_starts(name, STR("node/")))
			name = str_sub(name, 5, name.len);
		list[(*n)++] = (struct target){ res, name };
	}
	if (*n || !(r->opt.selector || r->opt.all))
		return *n ? 0 : rctl_usage("say which nodes: names or -l SELECTOR");
	struct json all;
	const struct target t = { res, STR("") };
	if (rctl_get_json(r, rctl_target_path(r, &t), &all, &err) != 0)
		return rctl_fail(&err);
	const struct json *items = json_getc(&all, "items");
	for (size_t i = 0; i < json_len(items) && *n < TARGETS_MAX; i++)
		list[(*n)++] = (struct target){ res, json_str(json_dig(json_at(items, i),
								       "metadata", "name", NULL)) };
	return 0;
}

static int set_schedulable(struct rctl *r, const struct target *t, bool on)
{
	struct error err = { 0 };
	struct json node;
	const char *done = on ? "uncordoned" : "cordoned";
	if (rctl_get_json(r, rctl_target_path(r, t), &node, &err) != 0)
		return rctl_fail(&err);
	bool is_on = !json_bool(json_dig(&node, "spec", "unschedulable", NULL), false);
	if (is_on == on) {
		(void)printf("%.*s already %s\n", STR_ARG(rctl_name_of(r, t->resource, t->name)),
			     done);
		return 0;
	}
	return rctl_patch(r, t, rctl_target_path(r, t), "application/merge-patch+json",
			  on ? STR("{\"spec\":{\"unschedulable\":null}}")
			     : STR("{\"spec\":{\"unschedulable\":true}}"),
			  done);
}

static int cordon(struct rctl *r, bool on)
{
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = node_targets(r, r->opt.args_len, list, &n);
	for (size_t i = 0; i < n && !(status & 2); i++)
		status |= set_schedulable(r, &list[i], on);
	return status;
}

int verb_cordon(struct rctl *r)
{
	return cordon(r, false);
}

int verb_uncordon(struct rctl *r)
{
	return cordon(r, true);
}

/* ---- taint ---- */

static int taint_one(struct rctl *r, const struct target *t, const struct taint *changes, size_t n)
{
	struct error err = { 0 };
	struct json node;
	struct json taints;
	if (rctl_get_json(r, rctl_target_path(r, t), &node, &err) != 0 ||
	    taints_apply(&r->arena, json_dig(&node, "spec", "taints", NULL), changes, n,
			 r->opt.overwrite, &taints, &err) != 0)
		return rctl_fail(&err);
	bool removed = true;
	for (size_t i = 0; i < n; i++)
		removed &= changes[i].remove;
	/* the revision makes sure that a taint set meanwhile is not lost */
	struct str body = arena_strf(
		&r->arena,
		"{\"metadata\":{\"resourceVersion\":\"%.*s\"},\"spec\":{\"taints\":%.*s}}",
		STR_ARG(json_str(json_dig(&node, "metadata", "resourceVersion", NULL))),
		STR_ARG(json_len(&taints) ? json_text(&r->arena, &taints) : STR("null")));
	return rctl_patch(r, t, rctl_target_path(r, t), "application/merge-patch+json", body,
			  removed ? "untainted" : "tainted");
}

int verb_taint(struct rctl *r)
{
	struct taint changes[TAINTS_MAX];
	struct error err = { 0 };
	size_t nodes = r->opt.args_len;
	size_t n = 0;
	while (nodes > 0 && (strchr(r->opt.args[nodes - 1], ':') ||
			     str_ends(str_of(r->opt.args[nodes - 1]), STR("-"))))
		nodes--;
	for (size_t i = nodes; i < r->opt.args_len && n < TAINTS_MAX; i++)
		if (taint_parse(str_of(r->opt.args[i]), &changes[n++], &err) != 0)
			return rctl_usage("%s", err.msg);
	if (!n)
		return rctl_usage("taint nodes NAME KEY=VALUE:EFFECT … (KEY- removes)");
	struct target list[TARGETS_MAX];
	size_t len = 0;
	int status = node_targets(r, nodes, list, &len);
	for (size_t i = 0; i < len && !(status & 2); i++)
		status |= taint_one(r, &list[i], changes, n);
	return status;
}

/* ---- drain ---- */

struct evicted {
	struct str ns, name, uid;
	const char *path;
	bool asked, gone;
};

static int plan(struct rctl *r, const struct target *node, struct evicted *out, size_t *n)
{
	const struct drain_rules rules = { r->opt.force, r->opt.ignore_daemonsets,
					   r->opt.delete_emptydir };
	struct error err = { 0 };
	struct json list;
	struct buf p = { 0 };
	buf_addf(&p, "/api/v1/pods?fieldSelector=spec.nodeName%%3D%.*s", STR_ARG(node->name));
	if (r->opt.pod_selector) {
		buf_adds(&p, "&labelSelector=");
		url_encode(&p, str_of(r->opt.pod_selector));
	}
	int rc = rctl_get_json(r, arena_strdup(&r->arena, buf_cstr(&p)), &list, &err);
	buf_fini(&p);
	if (rc)
		return rctl_fail(&err);
	const struct json *items = json_getc(&list, "items");
	int status = 0;
	for (size_t i = 0; i < json_len(items) && *n < PODS_MAX; i++) {
		const struct json *pod = json_at(items, i);
		const struct json *meta = json_getc(pod, "metadata");
		struct str name = json_str(json_getc(meta, "name"));
		struct str ns = json_str(json_getc(meta, "namespace"));
		const char *why = "";
		enum drain_verdict v = drain_judge(pod, &rules, &why);
		if (v == DRAIN_EVICT) {
			out[(*n)++] = (struct evicted){
				.ns = ns,
				.name = name,
				.uid = json_str(json_getc(meta, "uid")),
				.path = arena_printf(&r->arena, "/api/v1/namespaces/%.*s/pods/%.*s",
						     STR_ARG(ns), STR_ARG(name)),
			};
			continue;
		}
		(void)fprintf(stderr, "%s: pod %.*s/%.*s %s\n",
			      v == DRAIN_REFUSE ? "error" : "warning", STR_ARG(ns), STR_ARG(name),
			      why);
		status |= v == DRAIN_REFUSE;
	}
	return status;
}

/* 0 asked, 1 failed; 429 (a disruption budget) is asked again later. */
static int evict(struct rctl *r, struct evicted *e)
{
	struct reply reply;
	struct json body = json_object();
	(void)json_setc(&r->arena, &body, "apiVersion", json_of_cstr("policy/v1"));
	(void)json_setc(&r->arena, &body, "kind", json_of_cstr("Eviction"));
	struct json *meta = json_setc(&r->arena, &body, "metadata", json_object());
	(void)json_setc(&r->arena, meta, "name", json_of_str(e->name));
	(void)json_setc(&r->arena, meta, "namespace", json_of_str(e->ns));
	struct json *opt = json_setc(&r->arena, &body, "deleteOptions", json_object());
	if (r->opt.grace_s >= 0)
		(void)json_setc(&r->arena, opt, "gracePeriodSeconds", json_of_i64(r->opt.grace_s));
	(void)json_setc(&r->arena, json_setc(&r->arena, opt, "preconditions", json_object()), "uid",
			json_of_str(e->uid));
	int rc = rctl_call(
		r,
		&(struct client_request){ .method = "POST",
					  .path = arena_printf(&r->arena, "%s/eviction", e->path),
					  .body = json_text(&r->arena, &body) },
		&reply);
	int status = 0;
	if (rc == ERR_NOT_FOUND || rc == ERR_CONFLICT)
		e->gone = true;
	else if (rc && rc != ERR_LIMIT)
		status = rctl_fail(&reply.err);
	else if (!rc)
		(void)printf("evicting pod %.*s/%.*s\n", STR_ARG(e->ns), STR_ARG(e->name));
	e->asked = rc != ERR_LIMIT;
	(void)fflush(stdout);
	reply_fini(&reply);
	return status;
}

static void look(struct rctl *r, struct evicted *e)
{
	struct json pod;
	struct error err = { 0 };
	int rc = rctl_get_json(r, e->path, &pod, &err);
	e->gone = rc == ERR_NOT_FOUND ||
		  (!rc && !str_eq(json_str(json_dig(&pod, "metadata", "uid", NULL)), e->uid));
	if (e->gone)
		(void)printf("pod/%.*s evicted\n", STR_ARG(e->name));
	(void)fflush(stdout);
}

static int drain_one(struct rctl *r, const struct target *node)
{
	struct evicted *list = arena_new(&r->arena, struct evicted, PODS_MAX);
	size_t n = 0;
	if (set_schedulable(r, node, false) != 0)
		return 1;
	if (plan(r, node, list, &n) != 0) {
		(void)fprintf(stderr, "error: %.*s is cordoned but not drained\n",
			      STR_ARG(node->name));
		return 1;
	}
	if (r->opt.dry_run && !rctl_dry(r, "none")) {
		for (size_t i = 0; i < n; i++)
			(void)printf("evicting pod %.*s/%.*s (dry run)\n", STR_ARG(list[i].ns),
				     STR_ARG(list[i].name));
		return 0;
	}
	uint64_t deadline =
		clock_mono_ms() + (r->opt.timeout_ms > 0 ? (uint64_t)r->opt.timeout_ms : EVICT_MS);
	for (;;) {
		size_t left = 0;
		for (size_t i = 0; i < n; i++) {
			if (!list[i].asked && evict(r, &list[i]) != 0)
				return 1;
			if (list[i].asked && !list[i].gone)
				look(r, &list[i]);
			left += !list[i].gone;
		}
		if (!left)
			break;
		if (clock_mono_ms() > deadline) {
			struct error err = { 0 };
			(void)error_set(&err, ERR_TIMEOUT, "%zu pods are still on %.*s", left,
					STR_ARG(node->name));
			return rctl_fail(&err);
		}
		rctl_pause(r, RETRY_MS);
	}
	(void)printf("%.*s drained\n", STR_ARG(rctl_name_of(r, node->resource, node->name)));
	return 0;
}

int verb_drain(struct rctl *r)
{
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = node_targets(r, r->opt.args_len, list, &n);
	for (size_t i = 0; i < n && !status; i++)
		status = drain_one(r, &list[i]);
	return status;
}
