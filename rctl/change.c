/* scale, label, annotate, patch, edit, replace: changes to objects that are there. */
#include "rctl.h"
#include "sys/env.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "yaml/yaml.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EDIT_BYTES_MAX = 4 << 20, EDIT_TRIES_MAX = 20 };

int verb_scale(struct rctl *r)
{
	if (r->opt.replicas < 0)
		return rctl_usage("scale TYPE/NAME --replicas=N");
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = rctl_target_list(r, 0, list, &n);
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
		status |= rctl_patch(r, &list[i], path, "application/merge-patch+json", body,
				     "scaled");
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
	int status = rctl_target_list(r, 0, list, &n);
	if (!status)
		status = rctl_expand(r, list, &n);
	struct str body = arena_strf(&r->arena, "{\"metadata\":{\"%s\":%s}}", member,
				     json_text(&r->arena, &map).p);
	for (size_t i = 0; i < n && !status; i++) {
		struct json obj;
		struct error err = { 0 };
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
		status |= rctl_patch(r, &list[i], rctl_target_path(r, &list[i]),
				     "application/merge-patch+json", body, done);
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

/* ---- patch ---- */

int verb_patch(struct rctl *r)
{
	static const char *const types[][2] = {
		{ "strategic", "application/strategic-merge-patch+json" },
		{ "merge", "application/merge-patch+json" },
		{ "json", "application/json-patch+json" },
	};
	struct error err = { 0 };
	const char *type = r->opt.patch_type ? r->opt.patch_type : "strategic";
	const char *media = NULL;
	for (size_t i = 0; i < 3; i++)
		if (strcmp(type, types[i][0]) == 0)
			media = types[i][1];
	if (!media)
		return rctl_usage("--type is strategic, merge or json, not \"%s\"", type);
	if (!r->opt.patch)
		return rctl_usage("patch TYPE/NAME -p PATCH");
	struct json patch;
	if (yaml_parse(&r->arena, str_of(r->opt.patch), &patch, &err) != 0)
		return rctl_usage("-p: %s", err.msg);
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = rctl_target_list(r, 0, list, &n);
	for (size_t i = 0; i < n && !status; i++) {
		if (!list[i].name.len)
			return rctl_usage("patch TYPE/NAME -p PATCH");
		char *path = rctl_target_path(r, &list[i]);
		if (r->opt.subresource)
			path = arena_printf(&r->arena, "%s/%s", path, r->opt.subresource);
		/* kinds of definitions have no strategic merge: what they accept instead is nearly the same */
		struct reply reply;
		int rc = rctl_patch_call(r, path, media, json_text(&r->arena, &patch), &reply);
		if (rc == ERR_MEDIA_TYPE && !r->opt.patch_type) {
			reply_fini(&reply);
			rc = rctl_patch_call(r, path, types[1][1], json_text(&r->arena, &patch),
					     &reply);
		}
		status |= rctl_changed(r, &list[i], &reply, "patched");
		reply_fini(&reply);
	}
	return status;
}

/* ---- replace ---- */

static int put(struct rctl *r, const char *path, const struct json *obj, struct reply *reply)
{
	const char *dry =
		r->opt.dry_run && strcmp(r->opt.dry_run, "server") == 0 ? "&dryRun=All" : "";
	return rctl_call(
		r,
		&(struct client_request){
			.method = "PUT",
			.path = arena_printf(&r->arena, "%s?fieldValidation=Strict%s", path, dry),
			.body = json_text(&r->arena, obj) },
		reply);
}

int verb_replace(struct rctl *r)
{
	struct documents ds;
	struct error err = { 0 };
	if (manifest_read(r, &ds, &err) != 0)
		return rctl_fail(&err);
	int status = 0;
	for (size_t i = 0; i < ds.len; i++) {
		struct document *d = &ds.list[i];
		struct target t = { .name = json_str(json_dig(&d->obj, "metadata", "name", NULL)) };
		char *path = NULL;
		struct reply reply = { 0 };
		if (manifest_target(r, d, &t.resource, &path, &err) != 0) {
			status = rctl_fail(&err);
		} else if (put(r, path, &d->obj, &reply) != 0) {
			manifest_blame(r, d, &reply);
			status = 1;
		} else {
			status |= rctl_changed(r, &t, &reply, "replaced");
		}
		reply_fini(&reply);
	}
	free(ds.list);
	return status;
}

/* ---- edit ---- */

static int run_editor(struct rctl *r, const char *file, struct error *err)
{
	const char *editor = env_get("RCTL_EDITOR");
	if (!editor || !*editor)
		editor = env_get("KUBE_EDITOR");
	if (!editor || !*editor)
		editor = env_get("VISUAL");
	if (!editor || !*editor)
		editor = env_get("EDITOR");
	if (!editor || !*editor)
		editor = "vi";
	/* the variable may hold arguments: a shell takes it apart */
	char *argv[] = { arena_strdup(&r->arena, "sh"),
			 arena_strdup(&r->arena, "-c"),
			 arena_printf(&r->arena, "%s \"$1\"", editor),
			 arena_strdup(&r->arena, "rctl-edit"),
			 arena_strdup(&r->arena, file),
			 NULL };
	const struct proc_spec spec = { .path = "/bin/sh", .argv = argv, .fds = { 0, 1, 2 } };
	pid_t pid = 0;
	int st = 0;
	int rc = proc_spawn(&spec, &pid, err);
	if (rc)
		return rc;
	if (waitpid(pid, &st, 0) != pid || !WIFEXITED(st) || WEXITSTATUS(st) != 0)
		return error_set(err, ERR_INTERNAL, "the editor \"%s\" failed", editor);
	return 0;
}

/* The text with what went wrong last time as comments on top. */
static int write_edit(const char *file, const char *why, struct str body, struct error *err)
{
	struct buf b = { 0 };
	buf_adds(&b,
		 "# Edit the object; lines that begin with '#' are ignored. An empty file, or one "
		 "left as it is,\n# changes nothing.\n");
	if (*why)
		buf_addf(&b, "#\n# It was not taken: %s\n", why);
	buf_adds(&b, "#\n");
	buf_add_str(&b, body);
	int rc = file_write_atomic(file, buf_str(&b), 0600, err);
	buf_fini(&b);
	return rc;
}

static struct str without_comments(struct rctl *r, struct str text)
{
	struct buf b = { 0 };
	struct str line;
	struct str rest = text;
	bool top = true;
	while (rest.len && str_split(&rest, '\n', &line)) {
		top &= str_starts(line, STR("#"));
		if (!top)
			buf_addf(&b, "%.*s\n", STR_ARG(line));
	}
	struct str out = arena_str(&r->arena, buf_str(&b));
	buf_fini(&b);
	return out;
}

static int edit_loop(struct rctl *r, const struct target *t, const char *file, struct str before)
{
	char why[600] = "";
	struct str body = before;
	for (int tries = 0; tries < EDIT_TRIES_MAX; tries++) {
		struct error err = { 0 };
		struct buf b = { 0 };
		struct json obj;
		if (write_edit(file, why, body, &err) != 0 || run_editor(r, file, &err) != 0 ||
		    file_read(file, EDIT_BYTES_MAX, &b, &err) != 0) {
			buf_fini(&b);
			return rctl_fail(&err);
		}
		struct str after = without_comments(r, buf_str(&b));
		buf_fini(&b);
		if (str_eq(after, body) || !str_trim(after).len) {
			if (*why)
				(void)fprintf(stderr, "error: %s\n", why);
			(void)fputs("Edit cancelled, no changes made.\n", stderr);
			return *why ? 1 : 0;
		}
		body = after;
		struct reply reply = { 0 };
		if (yaml_parse(&r->arena, after, &obj, &err) != 0) {
			(void)snprintf(why, sizeof(why), "%s", err.msg);
			continue;
		}
		int rc = put(r, rctl_target_path(r, t), &obj, &reply);
		if (!rc) {
			int status = rctl_changed(r, t, &reply, "edited");
			reply_fini(&reply);
			return status;
		}
		(void)snprintf(why, sizeof(why), "%s", reply.err.msg);
		reply_fini(&reply);
	}
	return 1;
}

static int edit_one(struct rctl *r, const struct target *t)
{
	struct error err = { 0 };
	struct json obj;
	if (rctl_get_json(r, rctl_target_path(r, t), &obj, &err) != 0)
		return rctl_fail(&err);
	(void)json_removec(json_getc(&obj, "metadata"), "managedFields");
	struct buf text = { 0 };
	yaml_write(&text, &obj, YAML_SORT_KEYS);
	struct str before = arena_str(&r->arena, buf_str(&text));
	buf_fini(&text);
	const char *base = env_get("TMPDIR");
	char *dir = arena_printf(&r->arena, "%s/rctl-edit-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(dir)) {
		(void)error_set(&err, ERR_INTERNAL, "no temporary folder %s", dir);
		return rctl_fail(&err);
	}
	char *file = arena_printf(&r->arena, "%s/%.*s.yaml", dir, STR_ARG(t->name));
	int status = edit_loop(r, t, file, before);
	if (status)
		(void)fprintf(stderr, "A copy of your changes is in %s\n", file);
	else if (file_remove_tree(dir, &err) != 0)
		status = rctl_fail(&err);
	return status;
}

int verb_edit(struct rctl *r)
{
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = rctl_target_list(r, 0, list, &n);
	for (size_t i = 0; i < n && !status; i++)
		status = list[i].name.len ? edit_one(r, &list[i]) : rctl_usage("edit TYPE/NAME");
	return status;
}
