/* apply, create, diff: documents to the server. */
#include "rctl.h"
#include "sys/clock.h"
#include "sys/env.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the server says about a document, with the line it is about ---- */

static void explain(struct rctl *r, const struct document *d, const struct reply *reply)
{
	struct json st;
	struct str text = buf_str(&reply->body);
	const struct json *causes = NULL;
	if (reply->status &&
	    json_parse(&r->arena, arena_str(&r->arena, text), NULL, &st, NULL) == 0)
		causes = json_dig(&st, "details", "causes", NULL);
	(void)fprintf(stderr, "error: %.*s: %s\n", STR_ARG(d->where), reply->err.msg);
	for (size_t i = 0; i < json_len(causes); i++) {
		struct str field = json_str(json_getc(json_at(causes, i), "field"));
		struct str message = json_str(json_getc(json_at(causes, i), "message"));
		struct str path =
			str_starts(field, STR(".")) ? str_sub(field, 1, field.len) : field;
		(void)fprintf(stderr, "  %.*s: %.*s: %.*s\n", STR_ARG(manifest_line(r, d, path)),
			      STR_ARG(path), STR_ARG(message));
	}
	if (reply->err.code == ERR_CONFLICT && json_len(causes))
		(void)fputs("  others own these fields: take them out of the file, or take them "
			    "over with --force-conflicts\n",
			    stderr);
	else if (reply->err.code == ERR_NOT_FOUND && strstr(reply->err.msg, "namespaces"))
		(void)fputs("  create the namespace first, or put its document before this one\n",
			    stderr);
}

static bool dry(const struct rctl *r, const char *mode)
{
	return r->opt.dry_run && strcmp(r->opt.dry_run, mode) == 0;
}

static const char *dry_text(const struct rctl *r)
{
	return dry(r, "server") ? " (server dry run)" : dry(r, "client") ? " (dry run)" : "";
}

/* Applies one document; the object as the server has it in *ret.  0 or 1. */
static int apply_one(struct rctl *r, struct document *d, const char *verb)
{
	const struct client_resource *res = NULL;
	char *path = NULL;
	struct error err = { 0 };
	if (manifest_target(r, d, &res, &path, &err) != 0)
		return rctl_fail(&err);
	struct str name = json_str(json_dig(&d->obj, "metadata", "name", NULL));
	bool create = strcmp(verb, "created") == 0;
	if (!name.len && !create) {
		(void)error_set(&err, ERR_BAD_REQUEST, "%.*s: metadata.name must be set to apply",
				STR_ARG(d->where));
		return rctl_fail(&err);
	}
	if (dry(r, "client")) {
		(void)printf("%.*s %s (dry run)\n", STR_ARG(rctl_name_of(r, res, name)), verb);
		return 0;
	}
	const char *dry_query = dry(r, "server") ? "&dryRun=All" : "";
	struct json *meta = json_getc(&d->obj, "metadata");
	(void)json_removec(meta, "managedFields");
	if (create)
		path = client_path(&r->arena, res, json_str(json_getc(meta, "namespace")), STR(""));
	char *url = arena_printf(&r->arena,
				 create ? "%s?fieldValidation=Strict%s"
					: "%s?fieldValidation=Strict&force=%s%s",
				 path,
				 create                   ? dry_query
				 : r->opt.force_conflicts ? "true"
							  : "false",
				 dry_query);
	struct reply reply;
	int rc = rctl_call(r,
			   &(struct client_request){
				   .method = create ? "POST" : "PATCH",
				   .path = url,
				   .content_type = create ? NULL : "application/apply-patch+yaml",
				   .body = json_text(&r->arena, &d->obj),
			   },
			   &reply);
	struct json obj;
	if (rc) {
		explain(r, d, &reply);
	} else if (json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), NULL, &obj,
			      &err) != 0) {
		rc = rctl_fail(&err);
	} else if (*r->opt.output) {
		rc = print_object(r, &obj, &err) ? rctl_fail(&err) : 0;
	} else {
		const char *what = create ? "created" : reply.status == 201 ? "created" : "applied";
		(void)printf("%.*s %s%s\n",
			     STR_ARG(rctl_name_of(
				     r, res, json_str(json_dig(&obj, "metadata", "name", NULL)))),
			     what, dry_text(r));
	}
	reply_fini(&reply);
	return rc ? 1 : 0;
}

static int each(struct rctl *r, const char *verb)
{
	struct documents ds;
	struct error err = { 0 };
	if (r->opt.dry_run && !dry(r, "server") && !dry(r, "client") && !dry(r, "none"))
		return rctl_usage("--dry-run is none, client or server, not \"%s\"",
				  r->opt.dry_run);
	int rc = manifest_read(r, &ds, &err);
	if (rc)
		return rctl_fail(&err);
	int status = 0;
	for (size_t i = 0; i < ds.len; i++) {
		/* a CustomResourceDefinition or a new group may have come with an earlier document */
		if (i && str_is(json_str(json_getc(&ds.list[i - 1].obj, "kind")),
				"CustomResourceDefinition"))
			r->discovery = client_discovery_free(r->discovery);
		status |= apply_one(r, &ds.list[i], verb);
	}
	free(ds.list);
	return status;
}

int verb_apply(struct rctl *r)
{
	return each(r, "applied");
}

int verb_create(struct rctl *r)
{
	if (r->opt.args_len)
		return rctl_usage("create takes objects from files only: rctl create -f FILE");
	return each(r, "created");
}

/* ---- diff ---- */

/* What differs for no reason of the user's. */
static void strip(struct json *obj)
{
	struct json *meta = json_getc(obj, "metadata");
	static const char *const soft[] = { "managedFields", "resourceVersion", "generation", "uid",
					    "creationTimestamp" };
	for (size_t i = 0; i < sizeof(soft) / sizeof(soft[0]); i++)
		(void)json_removec(meta, soft[i]);
	(void)json_removec(obj, "status");
}

static int write_side(struct rctl *r, const char *dir, const char *name, struct json *obj,
		      struct error *err)
{
	struct buf text = { 0 };
	if (obj) {
		strip(obj);
		yaml_write(&text, obj, YAML_SORT_KEYS);
	}
	int rc = file_mkdirs(dir, 0700, err);
	if (rc == 0)
		rc = file_write_atomic(arena_printf(&r->arena, "%s/%s", dir, name), buf_str(&text),
				       0600, err);
	buf_fini(&text);
	return rc;
}

static int diff_one(struct rctl *r, struct document *d, const char *tmp)
{
	const struct client_resource *res = NULL;
	char *path = NULL;
	struct error err = { 0 };
	if (manifest_target(r, d, &res, &path, &err) != 0)
		return rctl_fail(&err);
	struct json live;
	struct json merged;
	int rc = rctl_get_json(r, path, &live, &err);
	bool absent = rc == ERR_NOT_FOUND;
	if (rc && !absent)
		return rctl_fail(&err);
	struct reply reply;
	char *url =
		arena_printf(&r->arena, "%s?dryRun=All&force=true&fieldValidation=Strict", path);
	rc = rctl_call(r,
		       &(struct client_request){ .method = "PATCH",
						 .path = url,
						 .content_type = "application/apply-patch+yaml",
						 .body = json_text(&r->arena, &d->obj) },
		       &reply);
	/* the dry run of an object in a namespace that only the file has cannot succeed: show the file's own */
	if (rc == ERR_NOT_FOUND && absent)
		merged = d->obj;
	else if (rc)
		explain(r, d, &reply);
	else
		rc = json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), NULL,
				&merged, &err);
	bool ok = !rc || (rc == ERR_NOT_FOUND && absent);
	reply_fini(&reply);
	if (!ok)
		return 1;
	struct str ns = json_str(json_dig(&d->obj, "metadata", "namespace", NULL));
	const char *name =
		arena_printf(&r->arena, "%.*s.%.*s.%.*s", STR_ARG(res->plural), STR_ARG(ns),
			     STR_ARG(json_str(json_dig(&d->obj, "metadata", "name", NULL))));
	const char *old_dir = arena_printf(&r->arena, "%s/LIVE", tmp);
	const char *new_dir = arena_printf(&r->arena, "%s/MERGED", tmp);
	if (write_side(r, old_dir, name, absent ? NULL : &live, &err) != 0 ||
	    write_side(r, new_dir, name, &merged, &err) != 0)
		return rctl_fail(&err);
	return 0;
}

int verb_diff(struct rctl *r)
{
	struct documents ds;
	struct error err = { 0 };
	if (manifest_read(r, &ds, &err) != 0) {
		(void)rctl_fail(&err);
		return 2;
	}
	const char *base = env_get("TMPDIR");
	char *tmp = arena_printf(&r->arena, "%s/rctl-diff-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(tmp)) {
		(void)error_set(&err, ERR_INTERNAL, "no temporary folder %s", tmp);
		(void)rctl_fail(&err);
		return 2;
	}
	int status = 0;
	for (size_t i = 0; i < ds.len; i++)
		status |= diff_one(r, &ds.list[i], tmp);
	free(ds.list);
	if (!status) {
		char *argv[] = { arena_strdup(&r->arena, "diff"),
				 arena_strdup(&r->arena, "-u"),
				 arena_strdup(&r->arena, "-N"),
				 arena_printf(&r->arena, "%s/LIVE", tmp),
				 arena_printf(&r->arena, "%s/MERGED", tmp),
				 NULL };
		const struct proc_spec spec = { .path = "diff", .argv = argv, .fds = { 0, 1, 2 } };
		pid_t pid = 0;
		int wst = 0;
		if (proc_spawn(&spec, &pid, &err) != 0 || waitpid(pid, &wst, 0) != pid ||
		    !WIFEXITED(wst))
			status = 2;
		else
			status = WEXITSTATUS(wst);
	} else {
		status = 2;
	}
	if (file_remove_tree(tmp, &err) != 0)
		(void)rctl_fail(&err);
	return status;
}
