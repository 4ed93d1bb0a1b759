/* apply, create, diff: documents to the server. */
#include "apply.h"

#include "plan.h"
#include "rctl.h"
#include "sets.h"
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

enum { READY_MS = 300000 };

static const char *dry_text(const struct rctl *r)
{
	return rctl_dry(r, "server")   ? " (server dry run)"
	       : rctl_dry(r, "client") ? " (dry run)"
				       : "";
}

void apply_before(struct rctl *r, const char *path, struct before *ret)
{
	struct reply reply;
	bool whole = rctl_dry(r, "server");
	*ret = (struct before){ .revision = STR("") };
	if (rctl_get(r, path,
		     whole ? NULL
			   : "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,"
			     "application/json",
		     &reply) == 0 &&
	    json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), NULL, &ret->live,
		       NULL) == 0) {
		ret->there = true;
		ret->revision = json_str(json_dig(&ret->live, "metadata", "resourceVersion", NULL));
	}
	reply_fini(&reply);
}

const char *apply_outcome(struct rctl *r, const struct before *b, int status,
			  const struct json *obj)
{
	if (status == 201 || !b->there)
		return "created";
	bool same;
	if (rctl_dry(r, "server")) {
		struct json x = changes_wanted(&r->arena, &b->live);
		struct json y = changes_wanted(&r->arena, obj);
		same = json_equal(&x, &y);
	} else {
		same = str_eq(b->revision,
			      json_str(json_dig(obj, "metadata", "resourceVersion", NULL)));
	}
	return same ? "unchanged" : "configured";
}

int apply_say(struct rctl *r, struct document *d, const struct client_resource *res,
	      struct json *obj, const char *outcome)
{
	struct error err = { 0 };
	d->uid = json_str(json_dig(obj, "metadata", "uid", NULL));
	if (*r->opt.output)
		return print_object(r, obj, &err) ? rctl_fail(&err) : 0;
	(void)printf(
		"%.*s %s%s\n",
		STR_ARG(rctl_name_of(r, res, json_str(json_dig(obj, "metadata", "name", NULL)))),
		outcome, dry_text(r));
	(void)fflush(stdout);
	return 0;
}

static int show(struct rctl *r, struct document *d, const struct client_resource *res,
		const struct reply *reply, const struct before *before)
{
	struct error err = { 0 };
	struct json obj;
	if (json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply->body)), NULL, &obj, &err) !=
	    0)
		return rctl_fail(&err);
	return apply_say(r, d, res, &obj, apply_outcome(r, before, reply->status, &obj));
}

/* Sends one document: 0 or 1. */
static int send_one(struct rctl *r, struct document *d, bool create)
{
	const struct client_resource *res = NULL;
	char *path = NULL;
	struct error err = { 0 };
	if (manifest_target(r, d, &res, &path, &err) != 0)
		return rctl_fail(&err);
	struct str name = json_str(json_dig(&d->obj, "metadata", "name", NULL));
	if (!name.len && !create) {
		(void)error_set(&err, ERR_BAD_REQUEST, "%.*s: metadata.name must be set to apply",
				STR_ARG(d->where));
		return rctl_fail(&err);
	}
	if (rctl_dry(r, "client")) {
		(void)printf("%.*s %s (dry run)\n", STR_ARG(rctl_name_of(r, res, name)),
			     create ? "created" : "applied");
		return 0;
	}
	const char *dry_query = rctl_dry(r, "server") ? "&dryRun=All" : "";
	struct json *meta = json_getc(&d->obj, "metadata");
	(void)json_removec(meta, "managedFields");
	struct before before = { 0 };
	if (create)
		path = client_path(&r->arena, res, json_str(json_getc(meta, "namespace")), STR(""));
	else if (!*r->opt.output)
		apply_before(r, path, &before);
	const char *force = create ? "" : r->opt.force_conflicts ? "&force=true" : "&force=false";
	struct reply reply;
	int rc = rctl_call(r,
			   &(struct client_request){
				   .method = create ? "POST" : "PATCH",
				   .path = arena_printf(&r->arena, "%s?fieldValidation=Strict%s%s",
							path, force, dry_query),
				   .content_type = create ? NULL : "application/apply-patch+yaml",
				   .body = json_text(&r->arena, &d->obj),
			   },
			   &reply);
	if (rc)
		manifest_blame(r, d, &reply);
	else
		rc = show(r, d, res, &reply, &before);
	reply_fini(&reply);
	return rc ? 1 : 0;
}

/* apply --wait: until what was applied is as it should be. */
static int wait_ready(struct rctl *r, const struct documents *ds)
{
	uint64_t deadline =
		clock_mono_ms() + (r->opt.timeout_ms >= 0 ? (uint64_t)r->opt.timeout_ms : READY_MS);
	struct error err = { 0 };
	for (size_t i = 0; i < ds->len; i++) {
		const struct client_resource *res = NULL;
		char *path = NULL;
		if (manifest_target(r, &ds->list[i], &res, &path, &err) != 0)
			return rctl_fail(&err);
		struct str name = json_str(json_dig(&ds->list[i].obj, "metadata", "name", NULL));
		if (wait_for(r, path, rctl_name_of(r, res, name), "ready", deadline, &err) != 0)
			return rctl_fail(&err);
	}
	(void)printf("%zu objects are ready\n", ds->len);
	return 0;
}

static bool bad_dry(const struct rctl *r)
{
	return r->opt.dry_run && !rctl_dry(r, "server") && !rctl_dry(r, "client") &&
	       !rctl_dry(r, "none");
}

static int each(struct rctl *r, struct documents *ds, bool create)
{
	int status = 0;
	for (size_t i = 0; i < ds->len; i++) {
		/* a CustomResourceDefinition or a new group may have come with an earlier document */
		if (i && str_is(json_str(json_getc(&ds->list[i - 1].obj, "kind")),
				"CustomResourceDefinition"))
			r->discovery = client_discovery_free(r->discovery);
		status |= send_one(r, &ds->list[i], create);
	}
	return status;
}

/* ---- apply --plan ---- */

/* The live object is still the one of the plan: its revision goes with the write as a condition. */
static int still_planned(struct rctl *r, struct document *d, const struct plan_step *s)
{
	struct error err = { 0 };
	struct json live;
	int rc = rctl_get_json(r, s->path, &live, &err);
	if (rc && rc != ERR_NOT_FOUND)
		return rctl_fail(&err);
	bool same = s->there == (rc == 0);
	if (same && s->there) {
		struct json x = changes_wanted(&r->arena, &s->live);
		struct json y = changes_wanted(&r->arena, &live);
		same = json_equal(&x, &y);
		(void)json_setc(&r->arena, json_getc(&d->obj, "metadata"), "resourceVersion",
				json_of_str(json_str(
					json_dig(&live, "metadata", "resourceVersion", NULL))));
	}
	if (same)
		return 0;
	(void)error_set(&err, ERR_CONFLICT,
			"%.*s: changed since the plan was made; nothing more is applied",
			STR_ARG(d->where));
	return rctl_fail(&err);
}

static int apply_planned(struct rctl *r, struct documents *ds)
{
	struct plan p;
	struct error err = { 0 };
	if (plan_make(r, ds, &p) != 0)
		return 1;
	if (strcmp(p.hash, r->opt.plan) != 0) {
		(void)error_set(
			&err, ERR_CONFLICT,
			"the plan is now %s, not %s: the files or the objects changed; look at "
			"'rctl plan' again",
			p.hash, r->opt.plan);
		return rctl_fail(&err);
	}
	int status = 0;
	for (size_t i = 0; i < ds->len && !status; i++) {
		status = still_planned(r, &ds->list[i], &p.steps[i]);
		if (!status && !r->opt.atomic)
			status = send_one(r, &ds->list[i], false);
	}
	return status || !r->opt.atomic ? status : apply_atomic(r, ds);
}

/* ---- apply ---- */

static int apply_documents(struct rctl *r, struct documents *ds)
{
	if (r->opt.plan)
		return apply_planned(r, ds);
	return r->opt.atomic && !rctl_dry(r, "client") ? apply_atomic(r, ds) : each(r, ds, false);
}

static int apply_set(struct rctl *r, struct documents *ds)
{
	struct set old;
	struct set both = { 0 };
	struct set now = { 0 };
	struct error err = { 0 };
	struct arena *a = &r->arena;
	bool dry = r->opt.dry_run && !rctl_dry(r, "none");
	if (applyset_read(r, &old) != 0)
		return 1;
	for (size_t i = 0; i < old.len; i++)
		set_put(a, &both, &old.v[i]);
	for (size_t i = 0; i < ds->len; i++) {
		const struct client_resource *res = NULL;
		char *path = NULL; /* fills the namespace in */
		if (manifest_target(r, &ds->list[i], &res, &path, &err) != 0 &&
		    err.code != ERR_NOT_FOUND)
			return rctl_fail(&err);
		struct set_member m = applyset_member(&ds->list[i]);
		set_put(a, &both, &m);
	}
	/* the record's namespace may come with the set: then it is written behind it */
	bool recorded = dry || (old.len && applyset_write(r, &both) == 0);
	if (old.len && !recorded)
		return 1;
	int status = apply_documents(r, ds);
	for (size_t i = 0; i < ds->len; i++) {
		struct set_member m = applyset_member(&ds->list[i]);
		set_put(a, &now, &m);
		if (m.uid.len)
			set_put(a, &both, &m);
	}
	struct set stale = set_stale(a, &old, &now);
	if (!status && r->opt.prune)
		status = applyset_prune(r, &stale);
	if (dry)
		return status;
	/* what failed, and what was not to be deleted, is remembered */
	return status | applyset_write(r, !status && r->opt.prune ? &now : &both);
}

int verb_apply(struct rctl *r)
{
	struct documents ds;
	struct error err = { 0 };
	if (bad_dry(r))
		return rctl_usage("--dry-run is none, client or server, not \"%s\"",
				  r->opt.dry_run);
	if (r->opt.args_len)
		return rctl_usage("apply takes objects from files: apply -f FILE");
	if (r->opt.prune && !r->opt.set)
		return rctl_usage("--prune needs --applyset=NAME: it deletes what that set had");
	if (manifest_read(r, &ds, &err) != 0)
		return rctl_fail(&err);
	int status = r->opt.set ? apply_set(r, &ds) : apply_documents(r, &ds);
	if (!status && r->opt.wait_given && r->opt.wait && !r->opt.dry_run)
		status = wait_ready(r, &ds);
	free(ds.list);
	return status;
}

int verb_create(struct rctl *r)
{
	struct documents ds = { 0 };
	struct error err = { 0 };
	if (bad_dry(r))
		return rctl_usage("--dry-run is none, client or server, not \"%s\"",
				  r->opt.dry_run);
	if (!r->opt.args_len) {
		if (manifest_read(r, &ds, &err) != 0)
			return rctl_fail(&err);
		int status = each(r, &ds, true);
		free(ds.list);
		return status;
	}
	struct document d = { .where = STR("create"), .file = STR("create") };
	if (make_object(r, &d.obj, &err) != 0)
		return err.code == ERR_BAD_REQUEST ? rctl_usage("%s", err.msg) : rctl_fail(&err);
	if (rctl_dry(r, "client") &&
	    *r->opt.output) /* "create … --dry-run=client -o yaml" writes files */
		return print_object(r, &d.obj, &err) ? rctl_fail(&err) : 0;
	return send_one(r, &d, true);
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
		manifest_blame(r, d, &reply);
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
		bool colours = print_colours(STDOUT_FILENO);
		char *argv[] = { arena_strdup(&r->arena, "diff"),
				 arena_strdup(&r->arena, colours ? "-uN" : "-u"),
				 arena_strdup(&r->arena, colours ? "--color=always" : "-N"),
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
