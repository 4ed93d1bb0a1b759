/* plan: what apply would do, from a server-side dry run of each document, with a hash that apply --plan heeds. */
#include "plan.h"

#include "changes.h"
#include "rctl.h"
#include "tls/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_text(struct rctl *r, struct buf *b, const struct json *obj)
{
	if (obj) {
		struct json wanted = changes_wanted(&r->arena, obj);
		buf_add_str(b, json_text(&r->arena, &wanted));
	}
	buf_addc(b, '\n');
}

/* Live state and what apply would make of it; *live_there false = it would be created. */
static int look(struct rctl *r, struct document *d, struct plan_step *s)
{
	struct error err = { 0 };
	struct reply reply = { 0 };
	if (manifest_target(r, d, &s->resource, &s->path, &err) != 0)
		return rctl_fail(&err);
	s->name = json_str(json_dig(&d->obj, "metadata", "name", NULL));
	int rc = rctl_get_json(r, s->path, &s->live, &err);
	if (rc && rc != ERR_NOT_FOUND)
		return rctl_fail(&err);
	s->there = rc == 0;
	(void)json_removec(json_getc(&d->obj, "metadata"), "managedFields");
	rc = rctl_call(r,
		       &(struct client_request){
			       .method = "PATCH",
			       .path = arena_printf(
				       &r->arena, "%s?dryRun=All&fieldValidation=Strict&force=%s",
				       s->path, r->opt.force_conflicts ? "true" : "false"),
			       .content_type = "application/apply-patch+yaml",
			       .body = json_text(&r->arena, &d->obj) },
		       &reply);
	int status = 0;
	if (rc == ERR_NOT_FOUND && !s->there) /* its namespace comes with this very set */
		s->merged = d->obj;
	else if (rc)
		status = (manifest_blame(r, d, &reply), 1);
	else if (json_parse(&r->arena, arena_str(&r->arena, buf_str(&reply.body)), NULL, &s->merged,
			    &err) != 0)
		status = rctl_fail(&err);
	reply_fini(&reply);
	return status;
}

int plan_make(struct rctl *r, struct documents *ds, struct plan *ret)
{
	int status = 0;
	struct buf all = { 0 };
	*ret = (struct plan){ .steps = arena_new(&r->arena, struct plan_step, ds->len + 1),
			      .len = ds->len };
	for (size_t i = 0; i < ds->len; i++) {
		struct plan_step *s = &ret->steps[i];
		if (look(r, &ds->list[i], s) != 0) {
			status = 1;
			continue;
		}
		struct json x = s->there ? changes_wanted(&r->arena, &s->live) : json_object();
		struct json y = changes_wanted(&r->arena, &s->merged);
		s->changes = arena_new(&r->arena, struct change, CHANGES_MAX);
		s->changes_len = s->there ? changes_find(&r->arena, &x, &y, s->changes) : 0;
		ret->created += !s->there;
		ret->changed += s->there && s->changes_len;
		buf_adds(&all, s->path);
		buf_addc(&all, '\n');
		add_text(r, &all, s->there ? &s->live : NULL);
		add_text(r, &all, &s->merged);
	}
	digest_sha256_hex(buf_str(&all), ret->hash);
	ret->hash[PLAN_HASH_LEN] = '\0';
	buf_fini(&all);
	return status;
}

static void print_step(struct rctl *r, const struct plan_step *s)
{
	bool colours = print_colours(1);
	const char *colour = !colours         ? ""
			     : !s->there      ? "\033[32m"
			     : s->changes_len ? "\033[33m"
					      : "";
	const char *mark = !s->there ? "+" : s->changes_len ? "~" : " ";
	const char *what = !s->there ? "is created" : s->changes_len ? "is changed" : "stays";
	(void)printf("%s%s %.*s %s%s\n", colour, mark,
		     STR_ARG(rctl_name_of(r, s->resource, s->name)), what,
		     *colour ? "\033[0m" : "");
	for (size_t i = 0; i < s->changes_len; i++) {
		struct buf b = { 0 };
		changes_write(&r->arena, &s->changes[i], &b);
		(void)printf("    %s\n", buf_cstr(&b));
		buf_fini(&b);
	}
}

int verb_plan(struct rctl *r)
{
	struct documents ds;
	struct plan p;
	struct error err = { 0 };
	if (manifest_read(r, &ds, &err) != 0)
		return rctl_fail(&err);
	int status = plan_make(r, &ds, &p);
	for (size_t i = 0; i < p.len && !status; i++)
		print_step(r, &p.steps[i]);
	if (!status)
		(void)printf("\nPlan %s: %zu to create, %zu to change, %zu stay as they are.\n"
			     "Exactly this, or nothing: rctl apply --plan %s -f …\n",
			     p.hash, p.created, p.changed, p.len - p.created - p.changed, p.hash);
	free(ds.list);
	return status;
}
