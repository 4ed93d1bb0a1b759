/* history, undo, get --at: what was, from the log that the server keeps (docs/extensions.md). */
#include "changes.h"
#include "rctl.h"
#include "sys/clock.h"
#include "text/duration.h"
#include "text/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 4, KINDS_MAX = 4096 };

static int fetch_history(struct rctl *r, const struct target *t, struct json *ret,
			 struct error *err)
{
	int rc = rctl_get_json(
		r, arena_printf(&r->arena, "%s?rctlHistory=true", rctl_target_path(r, t)), ret,
		err);
	if (!rc && !str_is(json_str(json_getc(ret, "kind")), "ObjectHistory"))
		return error_set(
			err, ERR_METHOD,
			"the server keeps no history: it is no server of rctl, or an older one");
	return rc;
}

static int64_t revision_of(const struct json *item)
{
	int64_t rev = 0;
	(void)str_to_i64(json_str(json_getc(item, "revision")), &rev);
	return rev;
}

/* ---- history ---- */

static void put_row(struct rctl *r, struct table *t, const struct json *item,
		    const struct json *before)
{
	const struct json *obj = json_getc(item, "object");
	struct str type = json_str(json_getc(item, "type"));
	struct buf age = { 0 };
	struct buf what = { 0 };
	int64_t ms = 0;
	struct str who = STR("");
	if (changes_when(obj, &ms, &who))
		duration_write_human(&age, (clock_unix_ms() - ms) / 1000);
	if (str_is(type, "MODIFIED") && before) {
		struct change *list = arena_new(&r->arena, struct change, CHANGES_MAX);
		struct json x = changes_wanted(&r->arena, json_getc(before, "object"));
		struct json y = changes_wanted(&r->arena, obj);
		size_t n = changes_find(&r->arena, &x, &y, list);
		for (size_t i = 0; i < n && i < SHOWN_MAX; i++) {
			buf_adds(&what, i ? "; " : "");
			changes_write(&r->arena, &list[i], &what);
		}
		if (n > SHOWN_MAX)
			buf_addf(&what, "; and %zu more", n - SHOWN_MAX);
		if (!n)
			buf_adds(&what, "status");
	} else {
		buf_adds(&what, str_is(type, "DELETED") ? "deleted"
				: str_is(type, "ADDED") ? "created"
							: "as it was before");
	}
	const struct str cells[] = { json_str(json_getc(item, "revision")), buf_str(&age),
				     who.len ? who : STR("<unknown>"), buf_str(&what) };
	table_cells(t, cells, 4);
	buf_fini(&age);
	buf_fini(&what);
}

static int history_of(struct rctl *r, const struct target *t)
{
	struct error err = { 0 };
	struct json h;
	if (fetch_history(r, t, &h, &err) != 0)
		return rctl_fail(&err);
	if (*r->opt.output)
		return print_object(r, &h, &err) ? rctl_fail(&err) : 0;
	const struct str names[] = { STR("REVISION"), STR("AGE"), STR("BY"), STR("CHANGE") };
	struct table *table = table_new();
	table_plain_columns(table, names, 4);
	const struct json *items = json_getc(&h, "items");
	for (size_t i = 0; i < json_len(items); i++)
		put_row(r, table, json_at(items, i), i ? json_at(items, i - 1) : NULL);
	table_print(table, !r->opt.no_headers);
	(void)table_free(table);
	return 0;
}

int verb_history(struct rctl *r)
{
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int status = rctl_target_list(r, 0, list, &n);
	for (size_t i = 0; i < n && !status; i++)
		status = list[i].name.len ? history_of(r, &list[i])
					  : rctl_usage("history TYPE/NAME");
	return status;
}

/* ---- get --at ---- */

/* "2026-11-21T05:17:01Z", or "10m": so long ago. */
static bool time_of(const char *text, int64_t *ret_ms)
{
	int64_t ns = 0;
	if (rfc3339_parse_ms(str_of(text), ret_ms))
		return true;
	if (duration_parse_go(str_of(text), &ns, NULL) != 0)
		return false;
	*ret_ms = clock_unix_ms() - ns / 1000000;
	return true;
}

int past_resolve(struct rctl *r, const struct target *list, size_t n)
{
	int64_t rev = 0;
	int64_t ms = 0;
	struct error err = { 0 };
	struct json h;
	if (!r->opt.at || str_to_i64(str_of(r->opt.at), &rev))
		return 0;
	if (!time_of(r->opt.at, &ms))
		return rctl_usage("--at is a revision (1234), a time (2026-01-31T12:00:00Z) or so "
				  "long ago (10m)");
	if (n != 1 || !list[0].name.len)
		return rctl_usage("--at with a time needs one named object; lists take a revision, "
				  "see 'rctl history'");
	const char *text = r->opt.at;
	r->opt.at = NULL; /* the history itself is of now */
	if (fetch_history(r, &list[0], &h, &err) != 0)
		return rctl_fail(&err);
	const struct json *items = json_getc(&h, "items");
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *item = json_at(items, i);
		int64_t at = 0;
		struct str who;
		if (changes_when(json_getc(item, "object"), &at, &who) && at <= ms)
			rev = revision_of(item);
	}
	if (!rev) {
		(void)error_set(&err, ERR_EXPIRED,
				"%.*s at %s: not there yet, or older than what the server keeps",
				STR_ARG(list[0].name), text);
		return rctl_fail(&err);
	}
	r->opt.at = arena_printf(&r->arena, "%" PRId64, rev);
	return 0;
}

/* ---- undo ---- */

/* The states on both sides of revision `rev`; 0 = the last change of what is wanted. */
static int find_change(struct rctl *r, const struct json *items, int64_t *rev,
		       const struct json **before, const struct json **after)
{
	bool found = false;
	for (size_t i = 0; i < json_len(items); i++) {
		const struct json *item = json_at(items, i);
		if (str_is(json_str(json_getc(item, "type")), "BEFORE") ||
		    (*rev && revision_of(item) != *rev))
			continue;
		const struct json *last = i ? json_at(items, i - 1) : NULL;
		if (last && str_is(json_str(json_getc(last, "type")), "DELETED"))
			last = NULL;
		if (!*rev && last && str_is(json_str(json_getc(item, "type")), "MODIFIED")) {
			struct json x = changes_intended(&r->arena, json_getc(last, "object"));
			struct json y = changes_intended(&r->arena, json_getc(item, "object"));
			if (json_equal(&x, &y))
				continue; /* its status, or a controller's notes */
		}
		*before = last;
		*after = item;
		found = true;
	}
	if (found && !*rev)
		*rev = revision_of(*after);
	return found ? 0 : -1;
}

static int send(struct rctl *r, const struct target *t, const char *method, const char *path,
		const struct json *obj, const char *done)
{
	struct reply reply;
	if (rctl_dry(r, "server"))
		path = arena_printf(&r->arena, "%s?dryRun=All", path);
	(void)rctl_call(
		r,
		&(struct client_request){ .method = method,
					  .path = path,
					  .body = obj ? json_text(&r->arena, obj) : STR_NONE },
		&reply);
	int status = rctl_changed(r, t, &reply, done);
	reply_fini(&reply);
	return status;
}

static int undo_change(struct rctl *r, const struct target *t, int64_t rev,
		       const struct json *before, const struct json *after)
{
	struct error err = { 0 };
	struct json now;
	const char *path = rctl_target_path(r, t);
	const char *done = arena_printf(&r->arena, "is as before revision %" PRId64, rev);
	bool deleted = str_is(json_str(json_getc(after, "type")), "DELETED");
	int rc = rctl_get_json(r, path, &now, &err);
	if (rc && rc != ERR_NOT_FOUND)
		return rctl_fail(&err);
	struct json *now_is = rc ? NULL : &now;
	if (deleted == (now_is != NULL)) {
		(void)error_set(&err, ERR_CONFLICT,
				deleted ? "%.*s was made again after revision %" PRId64
					: "%.*s is gone since revision %" PRId64,
				STR_ARG(t->name), rev);
		return rctl_fail(&err);
	}
	if (now_is && !r->opt.force) {
		struct json x = changes_intended(&r->arena, json_getc(after, "object"));
		struct json y = changes_intended(&r->arena, now_is);
		if (!json_equal(&x, &y)) {
			(void)error_set(&err, ERR_CONFLICT,
					"%.*s was changed again after revision %" PRId64
					"; undo the later changes first, or lose them with --force",
					STR_ARG(t->name), rev);
			return rctl_fail(&err);
		}
	}
	if (!before && now_is) /* it was made by this revision */
		return send(r, t, "DELETE", path, NULL, done);
	struct json want = changes_wanted(&r->arena, json_getc(deleted ? after : before, "object"));
	struct json *meta = json_getc(&want, "metadata");
	(void)json_removec(meta, "deletionTimestamp");
	(void)json_removec(meta, "deletionGracePeriodSeconds");
	if (!now_is) {
		(void)json_removec(meta, "ownerReferences"); /* of uids that may be gone */
		return send(r, t, "POST", client_path(&r->arena, t->resource, rctl_ns(r), STR("")),
			    &want, done);
	}
	changes_keep_notes(&r->arena, &want, now_is);
	/* the revision makes sure that what is overwritten is what was looked at */
	(void)json_setc(
		&r->arena, meta, "resourceVersion",
		json_of_str(json_str(json_dig(now_is, "metadata", "resourceVersion", NULL))));
	return send(r, t, "PUT", path, &want, done);
}

static int undo_of(struct rctl *r, const struct target *t, int64_t rev)
{
	struct error err = { 0 };
	struct json h;
	const struct json *before = NULL;
	const struct json *after = NULL;
	if (fetch_history(r, t, &h, &err) != 0)
		return rctl_fail(&err);
	if (find_change(r, json_getc(&h, "items"), &rev, &before, &after) != 0) {
		(void)error_set(
			&err, ERR_NOT_FOUND,
			"%.*s has no such change in what the server keeps; see 'rctl history'",
			STR_ARG(t->name));
		return rctl_fail(&err);
	}
	return undo_change(r, t, rev, before, after);
}

/* The object that a revision changed: it bears the revision at that moment, or is missing from then on. */
static bool changed_at(struct rctl *r, const struct client_resource *res, int64_t rev,
		       struct target *ret, struct str *ns)
{
	struct json lists[2];
	struct error err = { 0 };
	for (int i = 0; i < 2; i++)
		if (rctl_get_json(r,
				  arena_printf(&r->arena, "%s?rctlAt=%" PRId64,
					       client_path(&r->arena, res, STR(""), STR("")),
					       rev - i),
				  &lists[i], &err) != 0)
			return false;
	const struct json *now = json_getc(&lists[0], "items");
	const struct json *was = json_getc(&lists[1], "items");
	const struct json *found = NULL;
	struct str text = arena_strf(&r->arena, "%" PRId64, rev);
	for (size_t i = 0; i < json_len(now) && !found; i++)
		if (str_eq(json_str(json_dig(json_at(now, i), "metadata", "resourceVersion", NULL)),
			   text))
			found = json_at(now, i);
	for (size_t i = 0; i < json_len(was) && !found && json_len(was) > json_len(now); i++) {
		struct str uid = json_str(json_dig(json_at(was, i), "metadata", "uid", NULL));
		bool there = false;
		for (size_t k = 0; k < json_len(now) && !there; k++)
			there = str_eq(json_str(json_dig(json_at(now, k), "metadata", "uid", NULL)),
				       uid);
		if (!there)
			found = json_at(was, i);
	}
	if (!found)
		return false;
	*ret = (struct target){ res, json_str(json_dig(found, "metadata", "name", NULL)) };
	*ns = json_str(json_dig(found, "metadata", "namespace", NULL));
	return true;
}

static int undo_revision(struct rctl *r, int64_t rev)
{
	struct error err = { 0 };
	if (rctl_discover(r, &err) != 0)
		return rctl_fail(&err);
	for (size_t i = 0; i < client_discovery_count(r->discovery); i++) {
		const struct client_resource *res = client_discovery_at(r->discovery, i);
		struct target t;
		struct str ns;
		if (str_is(res->plural, "events") || str_is(res->group, "metrics.k8s.io") ||
		    !changed_at(r, res, rev, &t, &ns))
			continue;
		if (ns.len)
			r->opt.ns = arena_str(&r->arena, ns).p;
		return undo_of(r, &t, rev);
	}
	(void)error_set(&err, ERR_NOT_FOUND,
			"no object that you may list was changed at revision %" PRId64
			" inside of what the server keeps",
			rev);
	return rctl_fail(&err);
}

int verb_undo(struct rctl *r)
{
	struct target list[TARGETS_MAX];
	size_t n = 0;
	int64_t rev = 0;
	struct error err = { 0 };
	if (r->opt.args_len == 1 && str_to_i64(str_of(r->opt.args[0]), &rev))
		return rctl_connect(r, &err) ? rctl_fail(&err) : undo_revision(r, rev);
	int status = rctl_target_list(r, 0, list, &n);
	for (size_t i = 0; i < n && !status; i++)
		status = list[i].name.len ? undo_of(r, &list[i], r->opt.to_revision)
					  : rctl_usage("undo REVISION, or undo TYPE/NAME");
	return status;
}
