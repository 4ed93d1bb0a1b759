/* delete: objects by name, selector or file; waits until they are gone. */
#include "rctl.h"
#include "sys/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 300000 };

static struct str options_body(struct rctl *r, struct str uid)
{
	const struct options *o = &r->opt;
	struct json body = json_object();
	(void)json_setc(&r->arena, &body, "apiVersion", json_of_cstr("v1"));
	(void)json_setc(&r->arena, &body, "kind", json_of_cstr("DeleteOptions"));
	const char *mode = o->propagation ? o->propagation : "background";
	const char *policy = strcmp(mode, "orphan") == 0       ? "Orphan"
			     : strcmp(mode, "foreground") == 0 ? "Foreground"
							       : "Background";
	(void)json_setc(&r->arena, &body, "propagationPolicy", json_of_cstr(policy));
	int64_t grace = o->force ? 0 : o->now ? 1 : o->grace_s;
	if (grace >= 0)
		(void)json_setc(&r->arena, &body, "gracePeriodSeconds", json_of_i64(grace));
	if (o->dry_run && strcmp(o->dry_run, "server") == 0)
		(void)json_push(&r->arena, json_setc(&r->arena, &body, "dryRun", json_array()),
				json_of_cstr("All"));
	if (uid.len)
		(void)json_setc(&r->arena,
				json_setc(&r->arena, &body, "preconditions", json_object()), "uid",
				json_of_str(uid));
	return json_text(&r->arena, &body);
}

static int delete_one(struct rctl *r, const struct client_resource *res, const char *path,
		      struct str name)
{
	struct reply reply;
	struct str shown = rctl_name_of(r, res, name);
	if (r->opt.dry_run && strcmp(r->opt.dry_run, "client") == 0) {
		(void)printf("%.*s deleted (dry run)\n", STR_ARG(shown));
		return 0;
	}
	int rc = rctl_call(r,
			   &(struct client_request){ .method = "DELETE",
						     .path = path,
						     .body = options_body(r, STR("")) },
			   &reply);
	if (rc == ERR_NOT_FOUND && r->opt.ignore_not_found)
		rc = 0;
	else if (rc)
		(void)rctl_fail(&reply.err);
	else
		(void)printf("%.*s %sdeleted%s\n", STR_ARG(shown), r->opt.force ? "force " : "",
			     r->opt.dry_run ? " (server dry run)" : "");
	(void)fflush(stdout);
	reply_fini(&reply);
	return rc ? 1 : 0;
}

struct gone {
	const char *path;
	struct str shown;
};

/* Collects what a target stands for: one object or the list's. */
static int expand(struct rctl *r, const struct target *t, struct gone *out, size_t *n, size_t max)
{
	struct error err = { 0 };
	if (t->name.len) {
		if (*n < max)
			out[(*n)++] = (struct gone){ rctl_target_path(r, t), t->name };
		return 0;
	}
	if (!r->opt.all && !r->opt.selector && !r->opt.field_selector)
		return rctl_usage("say which: names, -l SELECTOR or --all");
	struct json list;
	if (rctl_get_json(r, rctl_target_path(r, t), &list, &err) != 0)
		return rctl_fail(&err);
	const struct json *items = json_getc(&list, "items");
	for (size_t i = 0; i < json_len(items) && *n < max; i++) {
		const struct json *meta = json_getc(json_at(items, i), "metadata");
		struct str name = json_str(json_getc(meta, "name"));
		out[(*n)++] =
			(struct gone){ client_path(&r->arena, t->resource,
						   json_str(json_getc(meta, "namespace")), name),
				       name };
	}
	return 0;
}

static int wait_gone(struct rctl *r, const struct gone *list, size_t n)
{
	if (!r->opt.wait || r->opt.dry_run || r->opt.force)
		return 0;
	uint64_t deadline =
		clock_mono_ms() + (r->opt.timeout_ms > 0 ? (uint64_t)r->opt.timeout_ms : WAIT_MS);
	struct error err = { 0 };
	for (size_t i = 0; i < n; i++)
		if (wait_for(r, list[i].path, list[i].shown, "delete", deadline, &err) != 0)
			return rctl_fail(&err);
	return 0;
}

static int delete_files(struct rctl *r)
{
	struct documents ds;
	struct error err = { 0 };
	if (manifest_read(r, &ds, &err) != 0)
		return rctl_fail(&err);
	int status = 0;
	struct gone *gone = arena_new(&r->arena, struct gone, ds.len);
	size_t n = 0;
	for (size_t i = ds.len;
	     i-- > 0;) { /* the last first: what is inside a namespace before the namespace */
		const struct client_resource *res = NULL;
		char *path = NULL;
		if (manifest_target(r, &ds.list[i], &res, &path, &err) != 0) {
			status = rctl_fail(&err);
			continue;
		}
		struct str name = json_str(json_dig(&ds.list[i].obj, "metadata", "name", NULL));
		int rc = delete_one(r, res, path, name);
		if (!rc)
			gone[n++] = (struct gone){ path, rctl_name_of(r, res, name) };
		status |= rc;
	}
	free(ds.list);
	return status ? status : wait_gone(r, gone, n);
}

int verb_delete(struct rctl *r)
{
	if (r->opt.files.len)
		return delete_files(r);
	struct error err = { 0 };
	if (rctl_connect(r, &err) != 0)
		return rctl_fail(&err);
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int rc = rctl_targets(r, 0, list, &n, &err);
	if (rc)
		return rc == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	enum { GONE_MAX = 10000 };
	struct gone *gone = arena_new(&r->arena, struct gone, GONE_MAX);
	size_t total = 0;
	int status = 0;
	for (size_t i = 0; i < n && !status; i++) {
		size_t from = total;
		status = expand(r, &list[i], gone, &total, GONE_MAX);
		for (size_t k = from; k < total && !status; k++) {
			status = delete_one(r, list[i].resource, gone[k].path, gone[k].shown);
			gone[k].shown = rctl_name_of(r, list[i].resource, gone[k].shown);
		}
	}
	if (!total && !status)
		(void)fprintf(stderr, "No resources found\n");
	return status ? status : wait_gone(r, gone, total);
}
