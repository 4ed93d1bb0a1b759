/* api-resources, api-versions, version, config, auth: about the server and about who asks. */
#include "columns.h"
#include "rctl.h"
#include "sys/env.h"
#include "sys/file.h"
#include "yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 4 << 20 };

int verb_api_resources(struct rctl *r)
{
	struct error err = { 0 };
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	const struct str names[] = { STR("NAME"), STR("SHORTNAMES"), STR("APIVERSION"),
				     STR("NAMESPACED"), STR("KIND") };
	struct table *t = table_new();
	table_plain_columns(t, names, 5);
	for (size_t i = 0; i < client_discovery_count(r->discovery); i++) {
		const struct client_resource *x = client_discovery_at(r->discovery, i);
		struct buf shorts = { 0 };
		for (size_t k = 0; k < x->short_names_len; k++)
			buf_addf(&shorts, "%s%.*s", k ? "," : "", STR_ARG(x->short_names[k]));
		if (strcmp(r->opt.output, "name") == 0) {
			(void)printf("%.*s%s%.*s\n", STR_ARG(x->plural), x->group.len ? "." : "",
				     STR_ARG(x->group));
			buf_fini(&shorts);
			continue;
		}
		const struct str cells[] = { x->plural, arena_str(&r->arena, buf_str(&shorts)),
					     arena_strf(&r->arena, "%.*s%s%.*s", STR_ARG(x->group),
							x->group.len ? "/" : "",
							STR_ARG(x->version)),
					     x->namespaced ? STR("true") : STR("false"), x->kind };
		table_cells(t, cells, 5);
		buf_fini(&shorts);
	}
	if (!*r->opt.output || strcmp(r->opt.output, "wide") == 0)
		table_print(t, !r->opt.no_headers);
	(void)table_free(t);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

int verb_api_versions(struct rctl *r)
{
	struct error err = { 0 };
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	size_t n = client_discovery_count(r->discovery);
	struct str *all = arena_new(&r->arena, struct str, n + 1);
	for (size_t i = 0; i < n; i++) {
		const struct client_resource *x = client_discovery_at(r->discovery, i);
		all[i] = arena_strf(&r->arena, "%.*s%s%.*s", STR_ARG(x->group),
				    x->group.len ? "/" : "", STR_ARG(x->version));
	}
	qsort(all, n, sizeof(all[0]), by_text);
	for (size_t i = 0; i < n; i++)
		if (!i || !str_eq(all[i], all[i - 1]))
			(void)printf("%.*s\n", STR_ARG(all[i]));
	return 0;
}

int verb_version(struct rctl *r)
{
	struct error err = { 0 };
	struct json v;
	struct json out = json_object();
	struct json *client = json_setc(&r->arena, &out, "clientVersion", json_object());
	(void)json_setc(&r->arena, client, "gitVersion", json_of_cstr("v" RCTL_VERSION));
	bool known = rctl_get_json(r, "/version", &v, &err) == 0;
	if (known)
		(void)json_setc(&r->arena, &out, "serverVersion", v);
	if (*r->opt.output)
		return print_object(r, &out, &err) ? rctl_fail(&err) : 0;
	(void)printf("Client Version: v%s\n", RCTL_VERSION);
	if (known)
		(void)printf("Server Version: %.*s\n",
			     STR_ARG(json_str(json_getc(&v, "gitVersion"))));
	else
		(void)fprintf(stderr, "Server Version: unknown (%s)\n", err.msg);
	return 0;
}

/* ---- auth ---- */

static int review(struct rctl *r, const char *kind, const char *plural, const char *group,
		  struct json spec, struct json *ret, struct error *err)
{
	struct json body = json_object();
	struct reply reply;
	(void)json_setc(&r->arena, &body, "apiVersion",
			json_of_cstr(arena_printf(&r->arena, "%s/v1", group)));
	(void)json_setc(&r->arena, &body, "kind", json_of_cstr(kind));
	if (json_len(&spec))
		(void)json_setc(&r->arena, &body, "spec", spec);
	int rc = rctl_call(r,
			   &(struct client_request){
				   .method = "POST",
				   .path = arena_printf(&r->arena, "/apis/%s/v1/%s", group, plural),
				   .body = json_text(&r->arena, &body) },
			   &reply);
	if (rc)
		*err = reply.err;
	else
		rc = json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), NULL, ret,
				err);
	reply_fini(&reply);
	return rc;
}

static int can_i(struct rctl *r)
{
	if (r->opt.args_len < 3)
		return rctl_usage("auth can-i VERB TYPE[/NAME] | auth can-i VERB /PATH");
	struct error err = { 0 };
	struct arena *a = &r->arena;
	struct json spec = json_object();
	struct str what = str_of(r->opt.args[2]);
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	bool path = str_starts(what, STR("/"));
	struct json *at = json_setc(a, &spec, path ? "nonResourceAttributes" : "resourceAttributes",
				    json_object());
	(void)json_setc(a, at, "verb", json_of_cstr(r->opt.args[1]));
	if (path) {
		(void)json_setc(a, at, "path", json_of_str(what));
	} else {
		struct str type;
		const struct client_resource *res = NULL;
		(void)str_split(&what, '/', &type);
		if (rctl_resource(r, type, &res, &err) != 0) {
			(void)fprintf(stderr, "warning: %s\n", err.msg);
			(void)json_setc(a, at, "resource", json_of_str(type));
		} else {
			(void)json_setc(a, at, "group", json_of_str(res->group));
			(void)json_setc(a, at, "resource", json_of_str(res->plural));
		}
		if (what.p && what.len)
			(void)json_setc(a, at, "name", json_of_str(what));
		if (r->opt.subresource)
			(void)json_setc(a, at, "subresource", json_of_cstr(r->opt.subresource));
		if (!res || res->namespaced)
			(void)json_setc(a, at, "namespace", json_of_str(rctl_ns(r)));
	}
	struct json ret;
	if (review(r, "SelfSubjectAccessReview", "selfsubjectaccessreviews", "authorization.k8s.io",
		   spec, &ret, &err) != 0)
		return rctl_fail(&err);
	bool yes = json_bool(json_dig(&ret, "status", "allowed", NULL), false);
	struct str why = json_str(json_dig(&ret, "status", "reason", NULL));
	if (!r->opt.quiet)
		(void)printf("%s%s%.*s\n", yes ? "yes" : "no", !yes && why.len ? " - " : "",
			     yes ? 0 : (int)why.len, why.p ? why.p : "");
	return yes ? 0 : 1;
}

static int whoami(struct rctl *r)
{
	struct error err = { 0 };
	struct json ret;
	if (review(r, "SelfSubjectReview", "selfsubjectreviews", "authentication.k8s.io",
		   json_object(), &ret, &err) != 0)
		return rctl_fail(&err);
	if (*r->opt.output)
		return print_object(r, &ret, &err) ? rctl_fail(&err) : 0;
	const struct json *user = json_dig(&ret, "status", "userInfo", NULL);
	const struct str names[] = { STR("ATTRIBUTE"), STR("VALUE") };
	struct str groups = json_text(&r->arena, json_getc(user, "groups"));
	const struct str rows[2][2] = { { STR("Username"), json_str(json_getc(user, "username")) },
					{ STR("Groups"), groups } };
	struct table *t = table_new();
	table_plain_columns(t, names, 2);
	table_cells(t, rows[0], 2);
	table_cells(t, rows[1], 2);
	table_print(t, true);
	(void)table_free(t);
	return 0;
}

int verb_auth(struct rctl *r)
{
	struct str what = str_of(r->opt.args_len ? r->opt.args[0] : "");
	if (str_is(what, "can-i"))
		return can_i(r);
	if (str_is(what, "whoami"))
		return whoami(r);
	return rctl_usage("auth can-i VERB TYPE[/NAME], or auth whoami");
}

/* ---- config: the file that use-context changes is the first of those read ---- */

static int config_file(struct rctl *r, const char **path, struct json *ret, struct error *err)
{
	const char *env = env_get("KUBECONFIG");
	struct str rest = str_of(env);
	struct str first = STR("");
	while (!first.len && rest.len && str_split(&rest, ':', &first))
		;
	const char *home = env_get("HOME");
	*path = r->opt.kubeconfig ? r->opt.kubeconfig
		: first.len       ? arena_str(&r->arena, first).p
				  : arena_printf(&r->arena, "%s/.kube/config", home ? home : "");
	struct buf b = { 0 };
	int rc = file_read(*path, CONFIG_BYTES_MAX, &b, err);
	if (!rc)
		rc = yaml_parse(&r->arena, arena_str(&r->arena, buf_str(&b)), ret, err);
	buf_fini(&b);
	if (rc)
		return error_wrap(err, "kubeconfig %s", *path);
	if (!json_is(ret, JSON_OBJECT))
		return error_set(err, ERR_INVALID, "kubeconfig %s holds no configuration", *path);
	return 0;
}

static bool has_context(const struct json *cfg, struct str name)
{
	const struct json *list = json_getc(cfg, "contexts");
	for (size_t i = 0; i < json_len(list); i++)
		if (str_eq(json_str(json_getc(json_at(list, i), "name")), name))
			return true;
	return false;
}

static int use_context(struct rctl *r, const char *path, struct json *cfg, const char *name)
{
	struct error err = { 0 };
	struct buf b = { 0 };
	if (!has_context(cfg, str_of(name))) {
		(void)error_set(&err, ERR_NOT_FOUND,
				"no context exists with the name: \"%s\"; 'rctl config "
				"get-contexts' lists those there are",
				name);
		return rctl_fail(&err);
	}
	(void)json_setc(&r->arena, cfg, "current-context", json_of_cstr(name));
	yaml_write(&b, cfg, 0);
	int rc = file_write_atomic(path, buf_str(&b), 0600, &err);
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	if (rc)
		return rctl_fail(&err);
	(void)printf("Switched to context \"%s\".\n", name);
	return 0;
}

static void hide(struct rctl *r, struct json *list, const char *of)
{
	static const char *const secret[] = { "client-key-data", "client-certificate-data", "token",
					      "password", "certificate-authority-data" };
	for (size_t i = 0; i < json_len(list); i++) {
		struct json *x = json_getc(json_at(list, i), of);
		for (size_t k = 0; k < sizeof(secret) / sizeof(secret[0]); k++)
			if (json_getc(x, secret[k]))
				(void)json_setc(&r->arena, x, secret[k],
						json_of_cstr(k == 1 || k == 4 ? "DATA+OMITTED"
									      : "REDACTED"));
	}
}

static int view(struct rctl *r, struct json *cfg)
{
	struct error err = { 0 };
	hide(r, json_getc(cfg, "users"), "user");
	hide(r, json_getc(cfg, "clusters"), "cluster");
	if (!*r->opt.output)
		r->opt.output = "yaml";
	return print_object(r, cfg, &err) ? rctl_fail(&err) : 0;
}

static int contexts(const struct json *cfg, struct str now)
{
	const struct str names[] = { STR("CURRENT"), STR("NAME"), STR("CLUSTER"), STR("AUTHINFO"),
				     STR("NAMESPACE") };
	struct table *t = table_new();
	table_plain_columns(t, names, 5);
	const struct json *list = json_getc(cfg, "contexts");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *x = json_at(list, i);
		struct str name = json_str(json_getc(x, "name"));
		const struct str cells[] = { str_eq(name, now) ? STR("*") : STR(""), name,
					     json_str(json_dig(x, "context", "cluster", NULL)),
					     json_str(json_dig(x, "context", "user", NULL)),
					     json_str(json_dig(x, "context", "namespace", NULL)) };
		table_cells(t, cells, 5);
	}
	table_print(t, true);
	(void)table_free(t);
	return 0;
}

int verb_config(struct rctl *r)
{
	struct error err = { 0 };
	struct str what = str_of(r->opt.args_len ? r->opt.args[0] : "");
	const char *path = NULL;
	struct json cfg;
	if (config_file(r, &path, &cfg, &err) != 0)
		return rctl_fail(&err);
	struct str now = r->opt.context ? str_of(r->opt.context)
					: json_str(json_getc(&cfg, "current-context"));
	if (str_is(what, "current-context")) {
		(void)printf("%.*s\n", STR_ARG(now));
		return 0;
	}
	if (str_is(what, "view"))
		return view(r, &cfg);
	if (str_is(what, "get-contexts"))
		return contexts(&cfg, now);
	if (str_is(what, "use-context") && r->opt.args_len == 2)
		return use_context(r, path, &cfg, r->opt.args[1]);
	return rctl_usage("config view, config get-contexts, config current-context or config "
			  "use-context NAME");
}
