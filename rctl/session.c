/* The connection of a run, and what is named on the command line. */
#include "base/mem.h"
#include "rctl.h"
#include "sys/env.h"
#include "sys/loop.h"
#include "text/url.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void reply_fini(struct reply *r)
{
	buf_fini(&r->body);
}

static const char *error_word(void)
{
	return print_colours(STDERR_FILENO) ? "\033[1;31merror:\033[0m " : "error: ";
}

int rctl_fail(const struct error *err)
{
	(void)fprintf(stderr, "%s%s\n", error_word(), err->msg);
	return 1;
}

int rctl_usage(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)fputs(error_word(), stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputs("\n", stderr);
	va_end(ap);
	return 2;
}

/* Each text once a run. */
static void on_warning(void *arg, struct str text)
{
	struct rctl *r = arg;
	for (size_t i = 0; i < r->warnings_len; i++)
		if (str_eq(r->warnings[i], text))
			return;
	if (r->warnings_len < WARNINGS_MAX)
		r->warnings[r->warnings_len++] = arena_str(&r->arena, text);
	bool colours = print_colours(STDERR_FILENO);
	(void)fprintf(stderr, "%sWarning:%s %.*s\n", colours ? "\033[33;1m" : "",
		      colours ? "\033[0m" : "", STR_ARG(text));
}

int rctl_connect(struct rctl *r, struct error *err)
{
	if (r->client)
		return 0;
	int rc = client_config_load(r->opt.kubeconfig, env_get("KUBECONFIG"), env_get("HOME"),
				    r->opt.context, &r->cfg, err);
	if (rc)
		return rc;
	rc = loop_new(&r->loop, err);
	if (rc)
		return rc;
	r->fetch = fetch_new(r->loop);
	const struct client_options opt = {
		.user_agent = "rctl/" RCTL_VERSION,
		.field_manager = r->opt.field_manager ? r->opt.field_manager : "rctl",
		.on_warning = on_warning,
		.warning_arg = r,
	};
	r->client = client_new(r->fetch, r->loop, &r->cfg, &opt);
	return 0;
}

/* ---- requests ---- */

struct waiting {
	struct reply *reply;
	bool done;
};

static void on_reply(void *arg, int status, struct str body, const struct error *err)
{
	struct waiting *w = arg;
	w->reply->status = status;
	buf_add_str(&w->reply->body, body);
	if (err)
		w->reply->err = *err;
	w->done = true;
}

int rctl_call(struct rctl *r, const struct client_request *req, struct reply *reply)
{
	*reply = (struct reply){ 0 };
	int rc = rctl_connect(r, &reply->err);
	if (rc)
		return rc;
	struct waiting w = { .reply = reply };
	struct client_request q = *req;
	q.done = on_reply;
	q.arg = &w;
	(void)client_send(r->client, &q);
	while (!w.done)
		loop_turn(r->loop, -1);
	return reply->err.code;
}

int rctl_get(struct rctl *r, const char *path, const char *accept, struct reply *reply)
{
	return rctl_call(
		r, &(struct client_request){ .method = "GET", .path = path, .accept = accept },
		reply);
}

int rctl_get_json(struct rctl *r, const char *path, struct json *ret, struct error *err)
{
	struct reply reply;
	int rc = rctl_get(r, path, NULL, &reply);
	if (rc) {
		*err = reply.err;
	} else {
		struct json_limits limits = JSON_LIMITS;
		limits.bytes_max = 256U << 20;
		limits.values_max = 32U << 20;
		rc = json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), &limits, ret,
				err);
	}
	reply_fini(&reply);
	return rc;
}

struct discovering {
	struct rctl *r;
	struct error err;
	bool done;
};

static void on_discovered(void *arg, struct client_discovery *d, const struct error *err)
{
	struct discovering *w = arg;
	w->r->discovery = d;
	if (err)
		w->err = *err;
	w->done = true;
}

int rctl_discover(struct rctl *r, struct error *err)
{
	if (r->discovery)
		return 0;
	int rc = rctl_connect(r, err);
	if (rc)
		return rc;
	struct discovering w = { .r = r };
	client_discover(r->client, on_discovered, &w);
	while (!w.done)
		loop_turn(r->loop, -1);
	if (w.err.code)
		*err = w.err;
	return w.err.code;
}

int rctl_resource(struct rctl *r, struct str name, const struct client_resource **ret,
		  struct error *err)
{
	int rc = rctl_discover(r, err);
	if (rc)
		return rc;
	*ret = client_discovery_find(r->discovery, name);
	if (*ret)
		return 0;
	static const char *const of_clusters[] = { "pods", "pod",         "po", "nodes",
						   "node", "replicasets", "rs" };
	bool there = false;
	for (size_t i = 0; i < sizeof(of_clusters) / sizeof(of_clusters[0]); i++)
		there |= str_is(name, of_clusters[i]);
	if (there && client_discovery_find(r->discovery, STR("clusters")))
		return error_set(
			err, ERR_NOT_FOUND,
			"the global API has no %.*s: clusters have them; add --clusters, or "
			"choose one with --context",
			STR_ARG(name));
	return error_set(
		err, ERR_NOT_FOUND,
		"the server has no resource type \"%.*s\"; 'rctl api-resources' lists those it has",
		STR_ARG(name));
}

struct str rctl_ns(const struct rctl *r)
{
	if (r->opt.all_namespaces)
		return STR("");
	return str_of(r->opt.ns ? r->opt.ns : r->cfg.ns);
}

struct str rctl_name_of(struct rctl *r, const struct client_resource *res, struct str name)
{
	struct str kind = res->singular.len ? res->singular : res->plural;
	if (res->group.len)
		return arena_strf(&r->arena, "%.*s.%.*s/%.*s", STR_ARG(kind), STR_ARG(res->group),
				  STR_ARG(name));
	return arena_strf(&r->arena, "%.*s/%.*s", STR_ARG(kind), STR_ARG(name));
}

/* ---- targets ---- */

struct adding {
	struct rctl *r;
	struct target *out;
	size_t *n;
	struct error *err;
};

static int add(struct adding *a, struct str type, struct str name)
{
	if (*a->n == TARGETS_MAX)
		return error_set(a->err, ERR_BAD_REQUEST, "more than %d objects", TARGETS_MAX);
	const struct client_resource *res = NULL;
	int rc = rctl_resource(a->r, type, &res, a->err);
	if (rc)
		return rc;
	a->out[(*a->n)++] = (struct target){ res, name };
	return 0;
}

/* "pods", "pods,services", "all": every resource of the category. */
static int add_types(struct adding *a, struct str types)
{
	struct str rest = types;
	struct str piece;
	while (str_split(&rest, ',', &piece)) {
		int rc = rctl_discover(a->r, a->err);
		bool category = false;
		for (size_t i = 0; !rc && i < client_discovery_count(a->r->discovery); i++) {
			const struct client_resource *res = client_discovery_at(a->r->discovery, i);
			for (size_t k = 0; k < res->categories_len; k++) {
				if (!str_eq(res->categories[k], piece) || *a->n == TARGETS_MAX)
					continue;
				category = true;
				a->out[(*a->n)++] = (struct target){ res, STR("") };
			}
		}
		if (!rc && !category)
			rc = add(a, piece, STR(""));
		if (rc)
			return rc;
	}
	return 0;
}

int rctl_targets(struct rctl *r, size_t from, struct target *out, size_t *n, struct error *err)
{
	struct adding a = { r, out, n, err };
	*n = 0;
	const struct options *o = &r->opt;
	if (from >= o->args_len)
		return error_set(
			err, ERR_BAD_REQUEST,
			"say what: a type (pods), a type and names (pod web-1), or TYPE/NAME");
	struct str first = str_of(o->args[from]);
	if (str_find(first, '/', 0) < 0) {
		if (from + 1 == o->args_len)
			return add_types(&a, first);
		for (size_t i = from + 1; i < o->args_len; i++) {
			struct str name = str_of(o->args[i]);
			if (str_find(name, '/', 0) >= 0)
				return error_set(err, ERR_BAD_REQUEST,
						 "TYPE NAME and TYPE/NAME cannot be mixed: \"%s\"",
						 o->args[i]);
			int rc = add(&a, first, name);
			if (rc)
				return rc;
		}
		return 0;
	}
	for (size_t i = from; i < o->args_len; i++) {
		struct str rest = str_of(o->args[i]);
		struct str type;
		(void)str_split(&rest, '/', &type);
		if (!rest.len || !type.len)
			return error_set(err, ERR_BAD_REQUEST, "\"%s\" is no TYPE/NAME",
					 o->args[i]);
		int rc = add(&a, type, rest);
		if (rc)
			return rc;
	}
	return 0;
}

char *rctl_target_path(struct rctl *r, const struct target *t)
{
	struct buf p = { 0 };
	buf_adds(&p, client_path(&r->arena, t->resource,
				 t->name.len && r->opt.all_namespaces ? STR("default") : rctl_ns(r),
				 t->name));
	if (!t->name.len) {
		char sep = '?';
		if (r->opt.selector) {
			buf_addf(&p, "%clabelSelector=", sep);
			url_encode(&p, str_of(r->opt.selector));
			sep = '&';
		}
		if (r->opt.field_selector) {
			buf_addf(&p, "%cfieldSelector=", sep);
			url_encode(&p, str_of(r->opt.field_selector));
		}
	}
	if (r->opt.at)
		buf_addf(&p, "%crctlAt=%s", strchr(buf_cstr(&p), '?') ? '&' : '?', r->opt.at);
	char *path = arena_strdup(&r->arena, buf_cstr(&p));
	buf_fini(&p);
	return path;
}

int rctl_target_list(struct rctl *r, size_t from, struct target *list, size_t *n)
{
	struct error err = { 0 };
	*n = 0;
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	int rc = rctl_targets(r, from, list, n, &err);
	if (rc)
		*n = 0;
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	return 0;
}

int rctl_expand(struct rctl *r, struct target *list, size_t *n)
{
	struct target *named = arena_new(&r->arena, struct target, TARGETS_MAX);
	struct error err = { 0 };
	size_t len = 0;
	for (size_t i = 0; i < *n; i++) {
		struct json all;
		if (list[i].name.len) {
			if (len < TARGETS_MAX)
				named[len++] = list[i];
			continue;
		}
		if (!r->opt.all && !r->opt.selector && !r->opt.field_selector)
			return rctl_usage("say which: names, -l SELECTOR or --all");
		if (rctl_get_json(r, rctl_target_path(r, &list[i]), &all, &err) != 0)
			return rctl_fail(&err);
		const struct json *items = json_getc(&all, "items");
		for (size_t k = 0; k < json_len(items) && len < TARGETS_MAX; k++)
			named[len++] = (struct target){
				list[i].resource,
				json_str(json_dig(json_at(items, k), "metadata", "name", NULL))
			};
	}
	for (size_t i = 0; i < len; i++)
		list[i] = named[i];
	*n = len;
	if (!len)
		(void)fputs("No resources found\n", stderr);
	return 0;
}

/* ---- changes ---- */

bool rctl_dry(const struct rctl *r, const char *mode)
{
	return r->opt.dry_run && strcmp(r->opt.dry_run, mode) == 0;
}

int rctl_patch_call(struct rctl *r, const char *path, const char *type, struct str body,
		    struct reply *reply)
{
	if (rctl_dry(r, "server"))
		path = arena_printf(&r->arena, "%s%cdryRun=All", path,
				    strchr(path, '?') ? '&' : '?');
	return rctl_call(
		r,
		&(struct client_request){
			.method = "PATCH", .path = path, .content_type = type, .body = body },
		reply);
}

int rctl_changed(struct rctl *r, const struct target *t, const struct reply *reply,
		 const char *done)
{
	struct error err = { 0 };
	struct json obj;
	if (reply->err.code)
		return rctl_fail(&reply->err);
	if (!*r->opt.output) {
		(void)printf("%.*s %s%s\n", STR_ARG(rctl_name_of(r, t->resource, t->name)), done,
			     rctl_dry(r, "server") ? " (server dry run)" : "");
		(void)fflush(stdout);
		return 0;
	}
	if (json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply->body)), NULL, &obj, &err) !=
		    0 ||
	    print_object(r, &obj, &err) != 0)
		return rctl_fail(&err);
	return 0;
}

int rctl_patch(struct rctl *r, const struct target *t, const char *path, const char *type,
	       struct str body, const char *done)
{
	struct reply reply;
	if (rctl_dry(r, "client")) {
		(void)printf("%.*s %s (dry run)\n", STR_ARG(rctl_name_of(r, t->resource, t->name)),
			     done);
		return 0;
	}
	(void)rctl_patch_call(r, path, type, body, &reply);
	int status = rctl_changed(r, t, &reply, done);
	reply_fini(&reply);
	return status;
}
